// The network drawn: units with their values for the chosen example, edges by the size and sign of their weights.
import { fmt, h, math, memo, num, number, replace, s, same, select } from "./dom.js";

export function networkPanel(app, body) {
  const svg = s("svg", { role: "img" });
  const stage = h("div.nt-stage", null, svg);
  const editor = h("div.nt-editor");
  replace(body, stage, editor);
  const drawing = memo();
  const editing = memo();
  return () => {
    if (!app.run) return;
    const key = [same(app.run), app.view.step, app.view.active, app.view.param];
    drawing([...key, same(app.story("row")), stage.clientWidth], () => draw(app, stage, svg));
    editing(key, () => {
      const at = editor.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      edit(app, editor);
      if (at) editor.querySelector(`[aria-label="${CSS.escape(at)}"]`)?.focus();
    });
  };
}

// Where each parameter sits: [layer, input or -1 for an intercept, unit], in the order of the flat vector.
export function places(problem) {
  const found = [];
  for (let layer = 1; layer < problem.widths.length; layer++) {
    for (let j = 0; j < problem.widths[layer - 1]; j++) for (let k = 0; k < problem.widths[layer]; k++) found.push([layer, j, k]);
    if (problem.intercept) for (let k = 0; k < problem.widths[layer]; k++) found.push([layer, -1, k]);
  }
  return found;
}

function draw(app, stage, svg) {
  const { problem } = app.run;
  const width = stage.clientWidth;
  const tallest = Math.max(...problem.widths.map((w) => w + (problem.intercept ? 1 : 0)));
  const height = Math.max(180, Math.min(340, tallest * 44 + 40));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-label", `Network ${problem.widths.join("-")} with its weights at step ${app.stepOf(app.view.active)}`);
  const left = 74;
  const right = width - 74;
  const at = (layer, unit, bias = false) => {
    const units = problem.widths[layer] + (problem.intercept && layer < problem.widths.length - 1 ? 1 : 0);
    const gap = (height - 24) / units;
    const place = bias ? units - 1 : unit;
    return [left + ((right - left) * layer) / (problem.widths.length - 1), 12 + gap * (place + 0.5)];
  };
  const params = app.params;
  const largest = Math.max(1e-9, ...params.map(Math.abs));
  const edges = s("g");
  const labels = s("g");
  const few = params.length <= 6;
  places(problem).forEach(([layer, j, k], index) => {
    const [x1, y1] = at(layer - 1, j, j < 0);
    const [x2, y2] = at(layer, k);
    const w = params[index];
    const chosen = index === app.view.param;
    const bend = (x2 - x1) / 2;
    const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
    if (chosen) edges.append(s("path.nt-chosen-edge", { d }));
    edges.append(s("path", {
      d, class: `nt-edge ${w < 0 ? "nt-negative" : "nt-positive"}`, "stroke-width": (0.8 + 5 * Math.sqrt(Math.abs(w) / largest)).toFixed(2),
    }));
    edges.append(s("path.nt-hit", { d, onclick: () => app.show({ param: index }) }, s("title", null, `${plain(problem.parameters[index].plain)} = ${fmt(w)}`)));
    if (few || chosen) {
      const share = 0.3 + 0.12 * (index % 4);
      const [x, y] = cubic([x1, y1], [x1 + bend, y1], [x2 - bend, y2], [x2, y2], share);
      labels.append(s("text", { x, y: y - 3, class: `nt-edge-label${chosen ? " nt-chosen-label" : ""}`, "text-anchor": "middle", "data-v": w }, fmt(w, 3)));
    }
  });
  replace(svg, edges, nodes(app, at), labels);
}

function cubic(a, b, c, d, t) {
  const u = 1 - t;
  return [0, 1].map((i) => u ** 3 * a[i] + 3 * u * u * t * b[i] + 3 * u * t * t * c[i] + t ** 3 * d[i]);
}

function nodes(app, at) {
  const { problem } = app.run;
  const units = app.story("row")?.units;
  const group = s("g");
  const last = problem.widths.length - 1;
  problem.widths.forEach((count, layer) => {
    for (let k = 0; k < count; k++) {
      const [x, y] = at(layer, k);
      const value = units ? (layer === 0 ? units.inputs[k] : units.a[layer - 1][k]) : null;
      group.append(s("circle", { cx: x, cy: y, r: 17, class: layer === 0 ? "nt-unit nt-input" : "nt-unit" }));
      group.append(s("text.nt-unit-value", { x, y: y + 3.5, "text-anchor": "middle", "data-v": value ?? "" }, value === null ? "" : fmt(value, 2)));
      if (layer === 0) group.append(s("text.nt-unit-name", { x: x - 23, y: y + 4, "text-anchor": "end" }, short(problem.inputs[k])));
      if (layer === last) group.append(s("text.nt-unit-name", { x: x + 23, y: y + 4 }, short(problem.classes.length > 2 ? problem.classes[k] : problem.classes[1] ?? "ŷ")));
    }
    if (problem.intercept && layer < last) {
      const [x, y] = at(layer, 0, true);
      group.append(s("rect.nt-unit.nt-input", { x: x - 10, y: y - 10, width: 20, height: 20, rx: 4 }));
      group.append(s("text.nt-unit-value", { x, y: y + 3.5, "text-anchor": "middle" }, "1"));
    }
  });
  return group;
}

const short = (text) => (text.length > 8 ? `${text.slice(0, 7)}…` : text);

// w_{12}^{[1]} as plain text for lists and titles: w12[1].
export const plain = (symbol) => symbol.replace(/[_^]?\{([^}]*)\}/g, "$1").replace(/[_^]/g, "");

function edit(app, editor) {
  const { problem, runs } = app.run;
  const index = app.view.param;
  const parameter = problem.parameters[index];
  const name = parameter.layer === 1 && parameter.weight ? problem.inputs[places(problem)[index][1]] : parameter.weight ? "" : "intercept";
  const set = (value) => {
    if (value === null || !Number.isFinite(value)) return;
    const params = [...app.params];
    params[index] = value;
    app.change((setup) => { setup.start = { params }; });
  };
  const gradient = runs[app.view.active].gradient[app.stepOf(app.view.active)][index];
  replace(editor,
    h("label.nt-field", null, h("span", null, "Parameter"),
      select("Parameter", index, problem.parameters.map((p, i) => [i, plain(p.plain)]), (value) => app.show({ param: Number(value) }))),
    h("span.nt-shown", null, math(parameter.tex), " = ", num(app.params[index], 6), name && h("span.nt-quiet", null, ` (${name})`)),
    h("span.nt-shown", null, math(`\\partial J/\\partial ${parameter.tex}`), " = ", num(gradient)),
    app.offline ? null : h("label.nt-field", { title: "Type a weight: both methods start again from here" }, h("span", null, "Set to"),
      number("New value of the parameter; both methods start again from here", null, { class: "nt-small", placeholder: fmt(app.params[index], 3) }, set)));
}
