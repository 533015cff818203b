// One scrubber for everything: which step, and which of the two methods is looked at.
import { fmt, h, memo, num, renew, replace, s, same } from "./dom.js";
import { swatch } from "./lossplot.js";

/** @import { App } from "./app.js" */

const ENDS = {
  CONVERGED: "converged",
  PRECISION: "converged to the last digits",
  MAX_ITER: "stopped at its last step",
  STALLED: "stalled",
  UNBOUNDED: "no minimum",
  DIVERGED: "diverged",
  NOT_FINITE: "not finite",
  EARLY_STOPPED: "stopped early",
  STOPPED: "stopped",
  INTERRUPTED: "interrupted",
};

const SHAPES = {
  first: "M3 3h2v10H3zM13 3v10L6 8z",
  back: "M11 3v10L4 8z",
  play: "M4 2.5v11L13.5 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  on: "M5 3v10l7-5z",
  last: "M11 3h2v10h-2zM3 3v10l7-5z",
};
const icon = (shape) =>
  s(
    "svg",
    { viewBox: "0 0 16 16", width: 15, height: 15, "aria-hidden": "true" },
    s("path", { d: SHAPES[shape], fill: "currentColor" }),
  );

/** @param {App} app */
export function scrubber(app, body) {
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 1,
    value: 0,
    "aria-label": "Step",
    class: "nt-slider",
    oninput: (event) => {
      app.stop();
      app.go(Number(event.target.value));
    },
  });
  const button = (shape, label, action) =>
    h("button.nt-step-button", { type: "button", "aria-label": label, title: label, onclick: action }, icon(shape));
  const play = button("play", "Play", () => app.toggle());
  const shown = h("output.nt-step-shown", { "aria-live": "off" });
  const methods = h("div.nt-methods", { role: "group", "aria-label": "Method that is looked at" });
  replace(
    body,
    h(
      "div.nt-transport",
      null,
      button("first", "First step", () => app.go(0)),
      button("back", "One step back", () => app.go(app.view.step - 1)),
      play,
      button("on", "One step on", () => app.go(app.view.step + 1)),
      button("last", "Last step", () => app.go(app.lastStep)),
      slider,
      shown,
    ),
    methods,
  );
  const [changed, numbers] = [memo(), memo()];
  let buttons = [];
  return () => {
    if (!app.run) return;
    slider.max = app.lastStep;
    slider.value = app.view.step;
    slider.setAttribute("aria-valuetext", `step ${app.view.step} of ${app.lastStep}`);
    if (play.playing !== app.playing) replace(play, icon(app.playing ? "pause" : "play"));
    play.playing = app.playing;
    for (const name of ["aria-label", "title"]) play.setAttribute(name, app.playing ? "Pause" : "Play");
    replace(shown, "step ", h("b", null, String(app.view.step)), ` of ${app.lastStep}`);
    changed([same(app.run)], () => {
      const focused = methods.contains(document.activeElement)
        ? [...methods.children].indexOf(document.activeElement)
        : -1;
      buttons = app.run.runs.map((run, m) => one(app, run, m));
      replace(
        methods,
        buttons.map(({ button }) => button),
      );
      if (focused >= 0) methods.children[focused]?.focus();
    });
    numbers([same(app.run), app.view.step, app.view.active], () =>
      buttons.forEach((found, m) => renewOne(app, found, m)),
    );
  };
}

/** @param {App} app */
function one(app, run, m) {
  const [value, end] = [num(run.value[0], 6), h("span.nt-method-end")];
  const button = h(
    "button.nt-method",
    { type: "button", title: run.sentence, onclick: () => app.show({ active: m }) },
    swatch(m),
    h("span.nt-method-name", null, app.label(m)),
    h("span.nt-method-value", null, "J = ", value),
    end,
  );
  return { button, value, end };
}

const BAD = ["DIVERGED", "NOT_FINITE", "UNBOUNDED", "STALLED"];

/** @param {App} app */
function renewOne(app, { button, value, end }, m) {
  const run = app.run.runs[m];
  const step = app.stepOf(m);
  const last = run.params.length - 1;
  const there = step === last;
  button.setAttribute("aria-pressed", String(app.view.active === m));
  renew(value, run.value[step], 6);
  end.textContent = `${step} of ${last}${there && ENDS[run.status] ? `: ${ENDS[run.status]}` : ""}`;
  end.classList.toggle("nt-bad", there && BAD.includes(run.status));
  end.classList.toggle("nt-good", there && run.converged && !BAD.includes(run.status));
}

// What the method's own sentence says where it did not go well, and what may mend it.
/** @param {App} app */
export function endings(app, body) {
  const changed = memo();
  return () => app.run && changed([same(app.run), app.view.step], draw);
  function draw() {
    const bad = app.run.runs
      .map((run, m) => ({ run, m }))
      .filter(({ run, m }) => BAD.includes(run.status) && app.stepOf(m) === run.params.length - 1);
    replace(
      body,
      bad.map(({ run, m }) =>
        h("p.nt-ending", null, swatch(m), " ", h("b", null, `${app.label(m)}: `), run.sentence, damp(app, m)),
      ),
    );
  }
}

/** @param {App} app */
function damp(app, m) {
  const given = app.run.setup.methods[m];
  if (app.offline || given.solver !== "newton" || given.damped) return null;
  return [
    " ",
    h(
      "button.nt-link",
      {
        type: "button",
        onclick: () =>
          app.change((s) => {
            s.methods[m].damped = true;
          }),
      },
      "Take damped steps instead",
    ),
  ];
}
