// Data, model, methods and start: what may be steered.
import { clone } from "./app.js";
import { fmt, h, number, replace, segmented, select } from "./dom.js";
import { swatch } from "./lossplot.js";

/** @import { FileEntry, MethodChoice } from "../types/messages" */
/** @import { App } from "./app.js" */

/** @type {[string, string, MethodChoice][]} */
const SOLVERS = [
  ["gd", "Gradient descent", { solver: "gradient-descent", rate: 0.5, momentum: 0, steps: 40 }],
  ["gd-search", "Gradient descent, line search", { solver: "gradient-descent", rate: null, momentum: 0, steps: 40 }],
  ["newton", "Newton, damped", { solver: "newton", damped: true, steps: 20 }],
  ["newton-plain", "Newton, undamped", { solver: "newton", damped: false, steps: 20 }],
  ["lm", "Levenberg–Marquardt", { solver: "levenberg-marquardt", damping: null, steps: 40 }],
  ["newton-cg", "Newton-CG", { solver: "newton-cg", steps: 20 }],
  ["lbfgs", "L-BFGS", { solver: "lbfgs", steps: 40 }],
];
const ACTIVATIONS = ["tanh", "sigmoid", "relu", "softplus", "identity"];
/** @param {MethodChoice} m */
const solverKey = (m) =>
  m.solver === "gradient-descent"
    ? m.rate === null
      ? "gd-search"
      : "gd"
    : m.solver === "newton"
      ? m.damped
        ? "newton"
        : "newton-plain"
      : m.solver === "levenberg-marquardt"
        ? "lm"
        : m.solver;

/** @param {App} app */
export function setupPanel(app, body) {
  return (whole) => {
    if (!whole || app.offline) return;
    const active = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    replace(
      body,
      data(app),
      model(app),
      app.setup.methods.map((_, m) => method(app, m)),
      start(app),
    );
    if (active) body.querySelector(`[aria-label="${CSS.escape(active)}"]`)?.focus();
  };
}

const group = (title, ...children) => h("fieldset.nt-group", null, h("legend", null, title), children);
const labelled = (text, control) => h("label.nt-field", null, h("span", null, text), control);
const check = (text, value, onchange) =>
  h(
    "label.nt-check",
    null,
    h("input", { type: "checkbox", checked: value, "aria-label": text, onchange: (e) => onchange(e.target.checked) }),
    text,
  );

// --- data ---

/** @param {App} app */
function data(app) {
  const { setup } = app;
  const options = [
    ...app.examples.map(({ key, title }) => [key, title]),
    ...app.files.map((file) => [file.key, file.name]),
  ];
  const file = app.files.find(({ key }) => key === setup.data.source);
  const picker = h("input.nt-sr", {
    type: "file",
    accept: ".csv,.tsv,.txt,.parquet,.arrow,.feather",
    "aria-label": "Open your own file",
    onchange: (e) => e.target.files[0] && open(app, e.target.files[0]),
  });
  return group(
    "Data",
    labelled(
      "Source",
      select("Data", setup.data.source, options, (source) => choose(app, source)),
    ),
    file &&
      labelled(
        "Predict",
        select(
          "Column to predict",
          setup.data.target ?? file.target,
          file.columns.map((c) => [c, c]),
          (target) => {
            app.view.axes = null;
            return app.change((s) => {
              s.data = { source: file.key, target };
              s.start = { seed: 0 };
            });
          },
        ),
      ),
    file && inputs(app, file),
    app.source?.open && h("label.nt-button", null, picker, "Open a CSV …"),
  );
}

/** @param {App} app */
function inputs(app, file) {
  const target = app.setup.data.target ?? file.target;
  // Ticked is what is used, which the run says: of many columns only the first are.
  const chosen = new Set(app.run?.problem.columns ?? app.setup.data.inputs ?? []);
  const flip = (name) => (on) =>
    app.change((s) => {
      app.view.axes = null;
      if (on) chosen.add(name);
      else chosen.delete(name);
      s.data.inputs = file.columns.filter((c) => c !== target && chosen.has(c));
      s.start = { seed: 0 };
    });
  return h(
    "details.nt-menu",
    null,
    h("summary", null, chosen.size === 1 ? "1 column" : `${chosen.size} columns`),
    h(
      "div.nt-menu-body",
      null,
      file.columns
        .filter((c) => c !== target)
        .slice(0, 60)
        .map((name) => check(name, chosen.has(name), flip(name))),
    ),
  );
}

/** @param {App} app */
function choose(app, source) {
  const file = app.files.find(({ key }) => key === source);
  app.view.param = 0;
  app.view.row = 0;
  app.view.axes = null;
  app.change((s) => {
    s.data = file ? { source, target: file.target } : { source };
    s.start = { seed: 0 };
    if (file) s.model.scale = true;
  });
}

/** @param {App} app */
async function open(app, file) {
  // The server refuses it too, unread; a browser that is still sending then sees no more than a broken connection.
  const size = file.size / 2 ** 20;
  if (size > 50)
    return app.fail(
      `${file.name}: this file has ${fmt(Math.round(size))} MB; the page takes up to 50 MB. Train on the whole file with 'newtron fit', or open a part of its rows here.`,
    );
  let answer;
  try {
    answer = await app.source.open(file);
  } catch {
    answer = { error: "The file could not be sent: is newtron play still running?" };
  }
  if (answer.error) return app.fail(answer.error);
  app.files = [...app.files, answer.file];
  choose(app, answer.file.key);
}

// --- model ---

/** @param {App} app */
function model(app) {
  const { model: m } = app.setup;
  const classification = app.run ? app.run.problem.task === "classification" : true;
  const edit = (change) =>
    app.change((s) => {
      change(s.model);
      if (s.start.params) s.start = { seed: s.start.seed ?? 0 };
    });
  const layers = m.hidden.map((width, n) =>
    number(`Units of hidden layer ${n + 1}`, width, { least: 1, most: 8, whole: true, class: "nt-tiny" }, (value) =>
      edit((x) => {
        x.hidden[n] = value;
      }),
    ),
  );
  const few = h(
    "span.nt-layers",
    null,
    layers,
    m.hidden.length < 3 &&
      h(
        "button.nt-round",
        {
          type: "button",
          "aria-label": "Add a hidden layer",
          onclick: () => edit((x) => x.hidden.push(x.hidden.length ? 2 : 3)),
        },
        "+",
      ),
    m.hidden.length > 0 &&
      h(
        "button.nt-round",
        { type: "button", "aria-label": "Remove a hidden layer", onclick: () => edit((x) => x.hidden.pop()) },
        "−",
      ),
  );
  return group(
    "Model",
    h("div.nt-field", null, h("span", null, m.hidden.length ? "Hidden units" : "No hidden layer"), few),
    m.hidden.length > 0 &&
      labelled(
        "Activation",
        select(
          "Activation",
          m.activation,
          ACTIVATIONS.map((a) => [a, a]),
          (value) =>
            edit((x) => {
              x.activation = value;
            }),
        ),
      ),
    classification &&
      labelled(
        "Loss",
        select(
          "Loss",
          m.loss ?? "log_loss",
          [
            ["log_loss", "log loss"],
            ["squared_error", "½ squared error"],
          ],
          (value) =>
            edit((x) => {
              x.loss = value;
            }),
        ),
      ),
    labelled(
      "Penalty α",
      number("Penalty alpha", m.alpha, { least: 0, class: "nt-small" }, (value) =>
        edit((x) => {
          x.alpha = value;
        }),
      ),
    ),
    check("Scale the data", m.scale, (on) =>
      edit((x) => {
        x.scale = on;
      }),
    ),
  );
}

// --- methods ---

/** @param {App} app */
function method(app, m) {
  const given = app.setup.methods[m];
  const edit = (change) => app.change((s) => change(s.methods[m]));
  const name = m ? "B" : "A";
  return h(
    "fieldset.nt-group",
    { class: `nt-group nt-method-${name.toLowerCase()}` },
    h("legend", null, swatch(m), ` Method ${name}`),
    labelled(
      "Solver",
      select(
        `Solver of method ${name}`,
        solverKey(given),
        SOLVERS.map(([key, text]) => [key, text]),
        (key) =>
          app.change((s) => {
            s.methods[m] = { ...SOLVERS.find(([k]) => k === key)[2] };
          }),
      ),
    ),
    given.solver === "gradient-descent" &&
      given.rate !== null &&
      labelled(
        "Rate η",
        number(`Learning rate of method ${name}`, given.rate, { above: 0, class: "nt-small" }, (v) =>
          edit((x) => {
            x.rate = v;
          }),
        ),
      ),
    given.solver === "gradient-descent" &&
      given.rate !== null &&
      labelled(
        "Momentum",
        number(`Momentum of method ${name}`, given.momentum, { least: 0, most: 0.99, class: "nt-tiny" }, (v) =>
          edit((x) => {
            x.momentum = v;
          }),
        ),
      ),
    given.solver === "levenberg-marquardt" &&
      labelled(
        "Damping μ",
        number(
          `Damping of method ${name}`,
          given.damping,
          { above: 0, blank: true, placeholder: "auto", class: "nt-small" },
          (v) =>
            edit((x) => {
              x.damping = v;
            }),
        ),
      ),
    labelled(
      "Steps",
      number(`Steps of method ${name}`, given.steps, { least: 1, most: 400, whole: true, class: "nt-tiny" }, (v) =>
        edit((x) => {
          x.steps = v;
        }),
      ),
    ),
  );
}

// --- start ---

/** @param {App} app */
function start(app) {
  const { start: given } = app.setup;
  const P = app.run?.problem.parameters.length ?? 0;
  const { fitted } = app;
  const atFitted = fitted && String(given.params) === String(fitted.params);
  return group(
    "Start",
    given.params
      ? h(
          "span.nt-quiet",
          null,
          atFitted
            ? "the fitted model"
            : P <= 3
              ? `at ${given.params.map((v) => fmt(v, 3)).join(", ")}`
              : "set by hand",
        )
      : labelled(
          "Seed",
          number("Seed of the start", given.seed ?? 0, { least: 0, whole: true, class: "nt-tiny" }, (v) =>
            app.change((s) => {
              s.start = { seed: v };
            }),
          ),
        ),
    h(
      "button",
      { type: "button", title: "Step 0, the same start for both methods", onclick: () => app.go(0) },
      "⟲ Rewind",
    ),
    h(
      "button",
      {
        type: "button",
        onclick: () =>
          app.change((s) => {
            s.start = { seed: (s.start.seed ?? 0) + (s.start.params ? 0 : 1) };
          }),
      },
      given.params ? "Back to the seed" : "New start",
    ),
    fitted &&
      !atFitted &&
      h(
        "button",
        {
          type: "button",
          title: "Both methods start at the parameters of the fitted model",
          onclick: () =>
            app.change((s) => {
              Object.assign(s, clone({ data: fitted.data, model: fitted.model }), {
                start: { params: [...fitted.params] },
              });
            }),
        },
        "Fitted model",
      ),
  );
}

export { segmented };
