// The lessons in the order of the course. Each step sets the page up, points at one panel and says what to see there.
import { h, memo, replace } from "./dom.js";
import { math } from "./formulas.js";

/** @import { MethodChoice, ModelChoice, StartChoice } from "../types/messages" */
/** @import { Lesson, LessonStep } from "../types/page" */
/** @import { App } from "./app.js" */

const gd = (rate, steps = 40) => ({ solver: "gradient-descent", rate, momentum: 0, steps });
const newton = (damped = true, steps = 20) => ({ solver: "newton", damped, steps });
const model = (hidden = [], more = {}) => ({
  hidden,
  activation: "tanh",
  loss: null,
  intercept: true,
  scale: false,
  alpha: 0,
  ...more,
});
/**
 * @param {string} source
 * @param {ModelChoice} net
 * @param {MethodChoice[]} methods
 * @param {StartChoice} start
 * @returns {LessonStep["setup"]}
 */
const setup = (source, net, methods, start = { seed: 0 }) => ({ data: { source }, model: net, methods, start });

const line = (rate, steps) => setup("line", model(), [gd(rate, steps), newton()]);
const hours = (loss, start, methods = [gd(0.3, 100), newton()]) => setup("hours", model([], { loss }), methods, start);

/** @type {Lesson[]} */
export const LESSONS = [
  {
    id: "line",
    title: "A line by gradient descent",
    steps: [
      {
        setup: line(0.1, 40),
        view: { step: 0, tab: "forward", scope: "row", active: 0, row: 11, landscape: "contour" },
        panel: "data",
        text: [
          "A perceptron without an activation is a line: ",
          { tex: "\\hat{y} = w x + b" },
          ". It starts at ",
          { tex: "w = b = 0" },
          ". The dashed stroke is the error at the chosen point; click other points.",
        ],
      },
      {
        view: { step: 1, tab: "update", active: 0 },
        panel: "maths",
        text: [
          "One step: each parameter moves against its partial derivative, times the rate η. Both partials are means over all rows.",
        ],
      },
      {
        view: { step: 40, tab: "update", active: 0 },
        panel: "landscape",
        text: [
          "Forty steps on the map of the loss. The first steps are long, since the slope is steep; along the valley they grow short. Play them with the space bar.",
        ],
      },
      {
        setup: line(0.36, 40),
        view: { step: 12, tab: "update", active: 0 },
        panel: "loss",
        text: [
          "With η = 0.36 every step jumps over the valley and lands higher: the loss grows. The rate has a limit, 2 over the largest eigenvalue of H. Try others in Method A.",
        ],
      },
    ],
  },
  {
    id: "half",
    title: "Why the ½",
    steps: [
      {
        setup: line(0.1, 40),
        view: { step: 3, tab: "loss", scope: "row", active: 0, row: 5 },
        panel: "maths",
        text: ["Squared error is written with a ½ in front. The ½ changes no optimum, it only rescales the loss."],
      },
      {
        view: { step: 3, tab: "backward", scope: "row", param: 0, notation: "lecture" },
        panel: "maths",
        text: [
          "It cancels the 2 that the square brings down: what is left of the derivative is the plain error ",
          { tex: "\\hat{y} - y" },
          ", times the input x for the weight and 1 for the intercept.",
        ],
      },
    ],
  },
  {
    id: "sigmoid",
    title: "The sigmoid and its slope",
    steps: [
      {
        setup: hours("log_loss", { seed: 0 }),
        view: { step: 60, tab: "forward", scope: "row", active: 0, row: 3 },
        panel: "data",
        text: ["A yes or no: the sigmoid turns the line into a probability between 0 and 1."],
      },
      {
        view: { step: 60, tab: "backward", scope: "row", param: 0, notation: "lecture" },
        panel: "maths",
        text: [
          "Its slope, derived line by line: add and subtract 1 in the numerator, factor, and σ(1 − σ) is left. Open “How this is derived” at ",
          { tex: "\\partial\\hat{y}/\\partial z" },
          ".",
        ],
      },
    ],
  },
  {
    id: "logloss",
    title: "Log loss against squared loss",
    steps: [
      {
        setup: hours("squared_error", { params: [-3, 6] }),
        view: { step: 100, tab: "backward", scope: "row", active: 0, row: 16, param: 0, landscape: "contour" },
        panel: "loss",
        text: [
          "Squared error through a sigmoid, from a start that is wrong and sure of it. In a hundred steps gradient descent has hardly moved: look at the chosen example, whose error is almost 1. The factor ŷ(1 − ŷ) is almost 0 exactly there, and so is the product.",
        ],
      },
      {
        setup: hours("log_loss", { params: [-3, 6] }),
        view: { step: 100, tab: "backward", scope: "row", active: 0, row: 16, param: 0 },
        panel: "maths",
        text: [
          "With log loss that factor cancels. What is left is ",
          { tex: "-x\\,(y - \\hat{y})" },
          ", as in regression, and the same start is left at once.",
        ],
      },
    ],
  },
  {
    id: "xor",
    title: "Two layers and XOR",
    steps: [
      {
        setup: setup("xor", model(), [gd(0.5), newton()]),
        view: { step: 40, tab: "forward", scope: "row", active: 0, row: 0 },
        panel: "data",
        text: [
          "Opposite corners belong together. No straight line parts them: the perceptron's best is to say about one half everywhere.",
        ],
      },
      {
        setup: setup(
          "xor",
          model([3], { alpha: 0.1 }),
          [gd(2, 100), { solver: "levenberg-marquardt", damping: null, steps: 40 }],
          { seed: 8 },
        ),
        view: { step: 100, tab: "forward", scope: "row", active: 0, row: 0 },
        panel: "data",
        text: [
          "Three hidden units draw one line each, and the output combines them: the corners are parted. Scrub back to see how the boundary came about.",
        ],
      },
      {
        view: { step: 100, tab: "forward", active: 0 },
        panel: "network",
        text: [
          "Each hidden unit has its own weights. Click an edge to follow that weight through all panels; the strongest decide where the boundary runs.",
        ],
      },
    ],
  },
  {
    id: "backprop",
    title: "Backpropagation",
    steps: [
      {
        setup: setup("xor", model([2]), [gd(1), newton()], { seed: 3 }),
        view: { step: 5, tab: "backward", scope: "row", active: 0, row: 0, param: 0, notation: "lecture" },
        panel: "maths",
        text: [
          "A weight of the first layer acts through all that lies above. Its partial is the product of the slopes on the way: five factors for this one.",
        ],
      },
      {
        view: { step: 5, tab: "backward", param: 1 },
        panel: "maths",
        text: [
          "Another weight, and the first factors are the same: they were there already. That is all of backpropagation, computing shared factors once, from the output backwards.",
        ],
      },
      {
        view: { step: 5, tab: "backward", notation: "lab" },
        panel: "maths",
        text: [
          "The lab's notation says the same with matrices, all rows at once. ",
          { tex: "dZ" },
          " stands for ",
          { tex: "\\partial L/\\partial z" },
          ": the shared factors.",
        ],
      },
      {
        view: { step: 5, tab: "check", notation: "lecture" },
        panel: "maths",
        text: [
          "Do not believe it: move the weight a little to both sides and divide the difference. Press the button.",
        ],
      },
    ],
  },
  {
    id: "newton1",
    title: "Newton in one variable",
    steps: [
      {
        setup: setup("line", model([], { intercept: false }), [gd(0.05), newton()], { params: [-1] }),
        view: { step: 0, tab: "newton", active: 1, param: 0, landscape: "one" },
        panel: "landscape",
        text: [
          "One parameter: the loss is a curve. Gradient descent follows the tangent. Newton's method lays a parabola with the same slope and curvature, and jumps to its lowest point, ",
          { tex: "w - f'/f''" },
          ".",
        ],
      },
      {
        view: { step: 1, tab: "newton", active: 1 },
        panel: "landscape",
        text: ["Squared error of a line is a parabola itself: one step arrives."],
      },
      {
        setup: setup("clouds", model([], { intercept: false }), [gd(0.5), newton()], { params: [-1, 1] }),
        view: { step: 0, tab: "newton", active: 1, param: 0, landscape: "one" },
        panel: "landscape",
        text: [
          "Log loss is no parabola. Each parabola fits only nearby, so the jump is repeated: scrub and watch the parabola follow.",
        ],
      },
    ],
  },
  {
    id: "race",
    title: "Newton against gradient descent",
    steps: [
      {
        setup: line(0.1, 60),
        view: { step: 0, tab: "newton", active: 1, landscape: "contour", bowl: true },
        panel: "landscape",
        text: [
          "The same start, the same loss. The white dashes are Newton's bowl, which is the loss itself here. Newton's step is ",
          { tex: "-H^{-1} g" },
          ": it knows the curvature of the valley and is at its bottom after one step.",
        ],
      },
      {
        setup: setup("clouds", model(), [gd(0.5, 100), newton()]),
        view: { step: 6, tab: "newton", active: 1, landscape: "contour" },
        panel: "loss",
        text: [
          "Log loss: a few Newton steps against a hundred. Near the end Newton doubles its correct digits with each step; look at the loss on the log scale.",
        ],
      },
      {
        view: { step: 6, tab: "newton", active: 0 },
        panel: "maths",
        text: ["What decides is the ratio of the eigenvalues of H: it says how much longer than broad the valley is."],
      },
    ],
  },
  {
    id: "damping",
    title: "Undamped Newton, and damped",
    steps: [
      {
        setup: setup("clouds", model([], { intercept: false }), [newton(false), newton()], { params: [-1.5, 1.5] }),
        view: { step: 2, tab: "newton", active: 0, landscape: "contour", pair: [0, 1], bowl: true },
        panel: "landscape",
        text: [
          "Without an intercept there are two weights, and the map is the whole loss. From this start the plain step overshoots, each time farther: where the loss is nearly straight its curvature is almost 0, and the parabola's lowest point lies far away.",
        ],
      },
      {
        view: { step: 5, active: 0 },
        panel: "loss",
        text: [
          "Each step lands farther out, where the curvature is even smaller, until H is singular in floating point. The run stops at its last finite step and says so.",
        ],
      },
      {
        view: { step: 20, active: 1 },
        panel: "maths",
        text: [
          "Damped: a step that would not lower the loss as promised is shortened. The same start arrives in a few steps.",
        ],
      },
    ],
  },
  {
    id: "saddle",
    title: "Saddle points",
    steps: [
      {
        setup: setup("xor", model([2], { alpha: 0.1 }), [gd(0.5, 60), newton()], {
          params: [0.05, -0.02, 0.03, 0.04, 0, 0, 0.02, -0.03, 0],
        }),
        view: { step: 0, tab: "newton", active: 0, landscape: "surface", pair: [0, 6] },
        panel: "maths",
        text: [
          "Near zero weights the gradient almost vanishes, but this is no minimum: some eigenvalues of H are negative. A saddle.",
        ],
      },
      {
        view: { step: 60, tab: "newton", active: 0 },
        panel: "loss",
        text: ["Gradient descent stays on the saddle for all its steps: the slope is too small to move."],
      },
      {
        view: { step: 3, tab: "newton", active: 1 },
        panel: "loss",
        text: [
          "Newton in a trust region sees the negative curvature and goes along its direction, downhill. The loss falls within a few steps.",
        ],
      },
      {
        setup: setup("xor", model([2]), [newton(false), newton()], {
          params: [0.05, -0.02, 0.03, 0.04, 0, 0, 0.02, -0.03, 0],
        }),
        view: { step: 20, tab: "newton", active: 0 },
        panel: "loss",
        text: [
          "The undamped step ",
          { tex: "-H^{-1}g" },
          " looks for any point without slope, and runs into the saddle itself. There it ends: H is singular, and two of its eigenvalues are negative. No minimum, and newtron does not call it one.",
        ],
      },
    ],
  },
];

/** @param {App} app */
export function lessonPanel(app, body) {
  const changed = memo();
  return () => changed([app.view.lesson, app.view.lessonStep], draw);
  function draw() {
    const lesson = LESSONS.find(({ id }) => id === app.view.lesson);
    body.hidden = !lesson;
    if (!lesson) return;
    const n = Math.min(app.view.lessonStep, lesson.steps.length - 1);
    const step = lesson.steps[n];
    const focused = body.contains(document.activeElement) ? document.activeElement.textContent : null;
    const place = LESSONS.indexOf(lesson);
    const next = LESSONS[place + 1];
    replace(
      body,
      h(
        "div.nt-lesson-head",
        null,
        h("h2", null, `${place + 1}. ${lesson.title}`),
        h("span.nt-quiet", null, `${n + 1} of ${lesson.steps.length}`),
        h("button.nt-link", { type: "button", onclick: () => app.show({ lesson: null }) }, "Close"),
      ),
      h(
        "p.nt-lesson-text",
        { "aria-live": "polite" },
        step.text.map((part) => (typeof part === "string" ? part : math(part.tex))),
      ),
      h(
        "div.nt-lesson-foot",
        null,
        h("button", { type: "button", disabled: n === 0, onclick: () => enter(app, lesson, n - 1) }, "Back"),
        n + 1 < lesson.steps.length
          ? h("button.nt-primary", { type: "button", onclick: () => enter(app, lesson, n + 1) }, "Next")
          : next &&
              h(
                "button.nt-primary",
                { type: "button", onclick: () => enter(app, next, 0) },
                `Next lesson: ${next.title}`,
              ),
      ),
    );
    if (focused)
      (
        [...body.querySelectorAll("button")].find((b) => b.textContent === focused && !b.disabled) ??
        body.querySelector(".nt-primary")
      )?.focus();
  }
}

// The set-up of a step is the last one that a step up to it names.
/** @param {App} app */
export function enter(app, lesson, n) {
  const before = app.view.lesson === lesson.id ? app.view.lessonStep : -1;
  const from = lesson.steps.slice(0, n + 1).findLastIndex((step) => step.setup);
  const view = { bowl: false, ...lesson.steps[n].view, lesson: lesson.id, lessonStep: n, axes: null };
  const same = before >= 0 && lesson.steps.slice(0, before + 1).findLastIndex((step) => step.setup) === from;
  if (same) return app.show(view);
  // The rest of the view is about the run that is on its way: parameters that the present one may not have.
  Object.assign(app.view, { lesson: lesson.id, lessonStep: n, axes: view.axes });
  return app
    .change((s) => Object.assign(s, JSON.parse(JSON.stringify(lesson.steps[from].setup))))
    .then(() => app.run && app.show(view));
}

/** @param {App} app */
export function focusedPanel(app) {
  const lesson = LESSONS.find(({ id }) => id === app.view.lesson);
  return lesson?.steps[Math.min(app.view.lessonStep, lesson.steps.length - 1)].panel ?? null;
}
