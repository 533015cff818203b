// The network drawn: units with their values for the chosen example, edges by the size and sign of their weights.
import { fmt, h, measured, memo, num, number, powers, renew, replace, s, same, select } from "./dom.js";
import { math } from "./formulas.js";

/** @import { ProblemFacts } from "../types/messages" */
/** @import { App } from "./app.js" */

/** @param {App} app */
export function networkPanel(app, body) {
  const svg = s("svg", { role: "img", "aria-label": "The network" });
  const stage = h("div.nt-stage", null, svg);
  const editor = h("div.nt-editor");
  const key = h(
    "div.nt-key",
    null,
    h("span", null, sample("nt-positive"), "weight above 0"),
    h("span", null, sample("nt-negative"), "below 0"),
    h("span.nt-quiet", null, "thicker: larger"),
  );
  replace(body, stage, key, editor);
  const [still, moving, editing, numbers] = [memo(), memo(), memo(), memo()];
  const widthOf = measured(stage, () => app.redraw(false));
  let drawn;
  let shown;
  return () => {
    if (!app.run) return;
    const width = widthOf();
    if (!width) return; // hidden: the observer of its size draws it once it is seen
    const place = [app.view.step, app.view.active, app.view.param];
    still([same(app.run), width], () => {
      drawn = draw(app, svg, width);
    });
    moving([same(app.run), ...place, same(app.derivation("row")), width], () => renewDrawing(app, svg, drawn));
    editing([same(app.run), app.view.param], () => {
      const at = editor.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      shown = edit(app, editor);
      if (at) editor.querySelector(`[aria-label="${CSS.escape(at)}"]`)?.focus();
    });
    numbers([same(app.run), ...place], () => renewEditor(app, shown));
  };
}

const sample = (css) =>
  s(
    "svg",
    { viewBox: "0 0 28 8", width: 28, height: 8, "aria-hidden": "true" },
    s("line", { x1: 0, x2: 28, y1: 4, y2: 4, class: css, "stroke-width": 3 }),
  );

// Where each parameter sits: [layer, input or -1 for an intercept, unit], in the order of the flat vector.
/**
 * @param {ProblemFacts} problem
 * @returns {number[][]}
 */
export function places(problem) {
  const found = [];
  for (let layer = 1; layer < problem.widths.length; layer++) {
    for (let j = 0; j < problem.widths[layer - 1]; j++)
      for (let k = 0; k < problem.widths[layer]; k++) found.push([layer, j, k]);
    if (problem.intercept) for (let k = 0; k < problem.widths[layer]; k++) found.push([layer, -1, k]);
  }
  return found;
}

// What a step does not change: where units and edges lie. Their weights and values are filled in by `renewDrawing`.
/** @param {App} app */
function draw(app, svg, width) {
  const { problem } = app.run;
  const last = problem.widths.length - 1;
  const tallest = Math.max(...problem.widths.map((w) => w + (problem.intercept ? 1 : 0)));
  const height = Math.max(180, Math.min(340, tallest * 44 + 40));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const outputs = Array.from({ length: problem.widths[last] }, (_, k) =>
    problem.classes.length > 2 ? problem.classes[k] : (problem.classes[1] ?? "ŷ"),
  );
  // Names take the room that they need, up to a third of the width.
  const room = (names) => Math.min(width / 3, 36 + 7.6 * Math.max(...names.map((name) => name.length)));
  const [left, right] = [room(problem.inputs), width - room(outputs)];
  const letters = Math.max(3, Math.floor((width / 3 - 36) / 7.6));
  const at = (layer, unit, bias = false) => {
    const units = problem.widths[layer] + (problem.intercept && layer < last ? 1 : 0);
    const gap = (height - 24) / units;
    return [left + ((right - left) * layer) / last, 12 + gap * ((bias ? units - 1 : unit) + 0.5)];
  };
  const [edges, labels] = [s("g"), s("g")];
  const few = problem.parameters.length <= 6;
  const drawn = places(problem).map(([layer, j, k], index) => {
    const [x1, y1] = at(layer - 1, j, j < 0);
    const [x2, y2] = at(layer, k);
    const half = (x2 - x1) / 2;
    const d = `M${x1} ${y1}C${x1 + half} ${y1} ${x2 - half} ${y2} ${x2} ${y2}`;
    const title = s("title");
    const line = s("path", { d });
    edges.append(line, s("path.nt-hit", { d, onclick: () => app.show({ param: index }) }, title));
    // Between the units, a little apart from edge to edge, so that labels do not lie on each other.
    const [x, y] = cubic([x1, y1], [x1 + half, y1], [x2 - half, y2], [x2, y2], few ? 0.36 + 0.13 * (index % 3) : 0.46);
    const label = s("text", { x, y: y - 5, "text-anchor": "middle" });
    labels.append(label);
    return { d, line, title, label, few };
  });
  const chosen = s("path.nt-chosen-edge");
  edges.prepend(chosen);
  const { group, values } = nodes(app, at, outputs, letters);
  replace(svg, edges, group, labels);
  return { edges: drawn, chosen, values };
}

/** @param {App} app */
function renewDrawing(app, svg, { edges, chosen, values }) {
  const { problem } = app.run;
  svg.setAttribute(
    "aria-label",
    `Network ${problem.widths.join("-")} with its weights at step ${app.stepOf(app.view.active)}`,
  );
  const params = app.params;
  const largest = Math.max(1e-9, ...params.map(Math.abs));
  edges.forEach(({ line, title, label, few }, index) => {
    const w = params[index];
    const picked = index === app.view.param;
    line.setAttribute("class", `nt-edge ${w < 0 ? "nt-negative" : "nt-positive"}`);
    line.setAttribute("stroke-width", (0.8 + 5 * Math.sqrt(Math.abs(w) / largest)).toFixed(2));
    title.textContent = `${plain(problem.parameters[index].plain)} = ${fmt(w)}`;
    label.textContent = few || picked ? fmt(w, 3) : "";
    label.setAttribute("class", `nt-edge-label${picked ? " nt-chosen-label" : ""}`);
    if (label.textContent) label.dataset.v = w;
    else delete label.dataset.v;
  });
  chosen.setAttribute("d", edges[app.view.param].d);
  const units = app.derivation("row")?.units;
  values.forEach(({ layer, k, text }) => {
    const value = units ? (layer === 0 ? units.inputs[k] : units.a[layer - 1][k]) : null;
    text.textContent = value === null ? "" : inside(value);
    text.dataset.v = value ?? "";
  });
}

// A number that fits into a unit; all its digits are in the tables.
function inside(value) {
  const size = Math.abs(value);
  if (size >= 1e4) return powers(value.toExponential(0));
  if (value !== 0 && size < 0.005) return "≈0";
  return fmt(Number(value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0)));
}

function cubic(a, b, c, d, t) {
  const u = 1 - t;
  return [0, 1].map((i) => u ** 3 * a[i] + 3 * u * u * t * b[i] + 3 * u * t * t * c[i] + t ** 3 * d[i]);
}

/** @param {App} app */
function nodes(app, at, outputs, letters) {
  const { problem } = app.run;
  const [group, values] = [s("g"), []];
  const last = problem.widths.length - 1;
  const short = (text) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
  const name = (text, place) => group.append(s("text.nt-unit-name", place, s("title", null, text), short(text)));
  problem.widths.forEach((count, layer) => {
    for (let k = 0; k < count; k++) {
      const [x, y] = at(layer, k);
      const text = s("text.nt-unit-value", { x, y: y + 3.5, "text-anchor": "middle" });
      group.append(s("circle", { cx: x, cy: y, r: 18, class: layer === 0 ? "nt-unit nt-input" : "nt-unit" }), text);
      values.push({ layer, k, text });
      if (layer === 0) name(problem.inputs[k], { x: x - 24, y: y + 4, "text-anchor": "end" });
      if (layer === last) name(outputs[k], { x: x + 24, y: y + 4 });
    }
    if (problem.intercept && layer < last) {
      const [x, y] = at(layer, 0, true);
      group.append(s("rect.nt-unit.nt-input", { x: x - 10, y: y - 10, width: 20, height: 20, rx: 4 }));
      group.append(s("text.nt-unit-value", { x, y: y + 3.5, "text-anchor": "middle" }, "1"));
    }
  });
  return { group, values };
}

// w_{12}^{[1]} as plain text for lists and titles: w₁₂[1].
const LOWERED = "₀₁₂₃₄₅₆₇₈₉";
export const plain = (symbol) =>
  symbol
    .replace(/_\{?(\d+)\}?/g, (_, digits) => [...digits].map((d) => LOWERED[d]).join(""))
    .replace(/[_^]?\{([^}]*)\}/g, "$1")
    .replace(/[_^]/g, "");

/** @param {App} app */
function edit(app, editor) {
  const { problem } = app.run;
  const index = app.view.param;
  const parameter = problem.parameters[index];
  const name =
    parameter.layer === 1 && parameter.weight
      ? problem.inputs[places(problem)[index][1]]
      : parameter.weight
        ? ""
        : "intercept";
  const set = (value) => {
    if (value === null) return;
    const params = [...app.params];
    params[index] = value;
    app.change((setup) => {
      setup.start = { params };
    });
  };
  const [weight, slope] = [num(app.params[index], 6), num(null)];
  replace(
    editor,
    h(
      "label.nt-field",
      null,
      h("span", null, "Parameter"),
      select(
        "Parameter",
        index,
        problem.parameters.map((p, i) => [i, plain(p.plain)]),
        (value) => app.show({ param: Number(value) }),
      ),
    ),
    app.offline
      ? null
      : h(
          "label.nt-field",
          { title: "Type a weight: both methods start again from here" },
          h("span", null, "Set to"),
          number(
            "New value of the parameter; both methods start again from here",
            null,
            { class: "nt-small", blank: true },
            set,
          ),
        ),
    h(
      "div.nt-shown",
      null,
      h("span", null, math(parameter.tex), " = ", weight),
      name && h("span.nt-quiet", null, `(${name})`),
      h("span", null, math(`\\partial J/\\partial ${parameter.tex}`), " = ", slope),
    ),
  );
  return { weight, slope, input: editor.querySelector("input") };
}

/** @param {App} app */
function renewEditor(app, { weight, slope, input }) {
  const index = app.view.param;
  renew(weight, app.params[index], 6);
  renew(slope, app.run.runs[app.view.active].gradient[app.stepOf(app.view.active)][index]);
  if (input) input.placeholder = fmt(app.params[index], 3);
}
