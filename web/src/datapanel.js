// The data, and what the model says of every place between them.
import { fmt, h, memo, replace, s, same, select } from "./dom.js";
import { COLOURS, CLASS_COLOURS, CLASS_RGB, DASHES, frame, isolines, mark, path, viridis } from "./plot.js";
import { bytes64 } from "./url.js";

export function dataPanel(app, body) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const svg = s("svg", { role: "img" });
  const stage = h("div.nt-stage", null, canvas, svg);
  const caption = h("p.nt-caption", { "aria-live": "off" });
  const bar = h("div.nt-bar");
  replace(body, bar, stage, caption);
  const changed = memo();
  const choices = memo();
  return () => {
    if (!app.run) return;
    choices([same(app.run)], () => inputs(app, bar));
    const story = app.stories.get(app.storyKey("row"));
    changed([same(app.run), same(story), stage.clientWidth, app.view.step, app.view.active, app.view.row], draw);
  };
  function draw() {
    const width = stage.clientWidth;
    const height = Math.round(Math.max(220, Math.min(340, width * 0.78)));
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    const view = app.run.problem.view;
    svg.setAttribute("aria-label", describe(app));
    if (view.curve) curves(app, svg, canvas, width, height);
    else areas(app, svg, canvas, width, height);
    replace(caption, captionOf(app));
  }
}

// Of more than two inputs, which two are drawn.
function inputs(app, bar) {
  const { problem } = app.run;
  if (app.offline || problem.inputs.length < 3) return replace(bar);
  const axis = (place) => select(place ? "Vertical input" : "Horizontal input", problem.view.axes[place],
    problem.inputs.map((name, j) => [j, name]).filter(([j]) => j !== problem.view.axes[1 - place]),
    (value) => { app.view.axes = problem.view.axes.map((j, n) => (n === place ? Number(value) : j)); app.train(true); });
  replace(bar, h("span.nt-pair", null, axis(0), " × ", axis(1)));
}

function describe(app) {
  const { problem } = app.run;
  const what = problem.task === "regression" ? "the fitted line or curve" : "the regions that the model gives to each class";
  return `${problem.X.length} rows and ${what}, ${app.label(app.view.active)}, step ${app.stepOf(app.view.active)}`;
}

function captionOf(app) {
  const { problem } = app.run;
  const row = app.view.row;
  const inputs = problem.inputs.map((name, j) => `${name} = ${fmt(problem.X[row][j])}`).join(", ");
  const label = problem.classes.length ? problem.classes[problem.labels[row]] : fmt(problem.labels[row]);
  const number = problem.rows.length ? ` (row ${problem.rows[row]} of the file)` : "";
  const held = problem.view.held ? `Drawn with ${problem.view.held}. ` : "";
  return `${held}Chosen example ${row + 1}${number}: ${inputs}; ${problem.target} = ${label}.`;
}

function points(app, sx, sy, place) {
  const { problem } = app.run;
  const group = s("g");
  problem.X.forEach((x, row) => {
    const kind = problem.classes.length ? problem.labels[row] : 0;
    const chosen = row === app.view.row;
    const [a, b] = place(x, row);
    const fill = problem.classes.length ? CLASS_COLOURS[kind] : problem.view.curve ? "var(--nt-point)" : rgb(viridis(share(problem.labels[row], problem.view.range)));
    const node = mark(kind, sx(a), sy(b), chosen ? 6.5 : problem.X.length > 200 ? 3 : 4.5, { fill, stroke: "var(--nt-halo)", "stroke-width": 1.2, class: "nt-point" });
    node.addEventListener("click", () => app.show({ row }));
    node.append(s("title", null, `example ${row + 1}`));
    if (chosen) group.append(s("circle.nt-ring", { cx: sx(a), cy: sy(b), r: 11 }));
    group.append(node);
  });
  return group;
}

const rgb = (c) => `rgb(${c.join(" ")})`;
const share = (value, [low, high]) => (value - low) / (high - low);

function curves(app, svg, canvas, width, height) {
  canvas.hidden = true;
  const { problem, runs } = app.run;
  const { windows, curve, range } = problem.view;
  const yWindow = problem.classes.length ? [-0.12, 1.12] : range;
  const several = problem.classes.length > 2;
  const name = problem.classes.length ? `probability of ${several ? "each class" : problem.classes[1]}` : problem.target;
  const { box, sx, sy, axes } = frame(width, height, windows[0], yWindow, { x: problem.inputs[0], y: name });
  const clip = s("clipPath", { id: "nt-clip-data" }, s("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }));
  const drawn = s("g", { "clip-path": "url(#nt-clip-data)" });
  const order = runs.map((_, method) => method).sort((m) => (m === app.view.active ? 1 : -1));
  for (const method of order) {
    const values = runs[method].frames[app.stepOf(method)];
    const outputs = several ? problem.classes.map((_, c) => values.map((v) => v && v[c])) : [values];
    outputs.forEach((line, c) => {
      const d = path(curve.map((x, i) => [sx(x), line[i] === null ? NaN : sy(line[i])]));
      const stroke = several ? CLASS_COLOURS[c] : COLOURS[method];
      if (several && method !== app.view.active) return;
      if (!several) drawn.append(s("path.nt-halo", { d, "stroke-width": 5 }));
      drawn.append(s("path", { d, fill: "none", stroke, "stroke-width": method === app.view.active ? 3 : 2, "stroke-dasharray": DASHES[method] }));
    });
  }
  if (!problem.classes.length) residual(app, drawn, sx, sy, curve);
  const place = (x, row) => [x[0], several ? -0.06 : problem.labels[row]];
  replace(svg, clip, axes, drawn, points(app, sx, sy, place));
}

// The error of the chosen example, which the loss squares: from the point to the curve.
function residual(app, drawn, sx, sy) {
  const { problem } = app.run;
  const story = app.stories.get(app.storyKey("row"));
  const mean = story?.predicted;
  if (mean === undefined || mean === null) return;
  const x = sx(problem.X[app.view.row][0]);
  drawn.append(s("line.nt-residual", { x1: x, x2: x, y1: sy(problem.labels[app.view.row]), y2: sy(mean) }));
}

function areas(app, svg, canvas, width, height) {
  const { problem, runs } = app.run;
  const { windows, axes: which, grid } = problem.view;
  const { box, sx, sy, axes } = frame(width, height, windows[0], windows[1], { x: problem.inputs[which[0]], y: problem.inputs[which[1]], grid: false });
  canvas.hidden = false;
  paint(canvas, bytes(runs[app.view.active], app.stepOf(app.view.active)), grid, problem);
  Object.assign(canvas.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.right - box.left}px`, height: `${box.bottom - box.top}px` });
  const lines = s("g");
  if (problem.classes.length === 2) {
    const order = runs.map((_, method) => method).sort((m) => (m === app.view.active ? 1 : -1));
    for (const method of order) {
      const values = Array.from(new Int16Array(bytes(runs[method], app.stepOf(method)).buffer, grid * grid));
      for (const [, d] of isolines(values, grid, [0], sx, sy, windows[0], windows[1])) {
        lines.append(s("path.nt-halo", { d, "stroke-width": 5 }));
        lines.append(s("path", { d, fill: "none", stroke: COLOURS[method], "stroke-width": method === app.view.active ? 3 : 2, "stroke-dasharray": DASHES[method] }));
      }
    }
  }
  const clip = s("clipPath", { id: "nt-clip-data" }, s("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }));
  lines.setAttribute("clip-path", "url(#nt-clip-data)");
  const border = s("rect.nt-border", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top });
  replace(svg, clip, axes, border, lines, points(app, sx, sy, (x) => [x[which[0]], x[which[1]]]));
}

function bytes(run, step) {
  run.decoded ??= [];
  run.decoded[step] ??= bytes64(run.frames[step]);
  return run.decoded[step];
}

function paint(canvas, values, grid, problem) {
  canvas.width = grid;
  canvas.height = grid;
  const context = canvas.getContext("2d");
  const image = context.createImageData(grid, grid);
  const several = problem.classes.length > 2;
  for (let i = 0; i < grid * grid; i++) {
    let colour;
    let alpha = 1;
    if (several) {
      colour = CLASS_RGB[values[i] >> 5];
      alpha = Math.max(0, ((values[i] & 31) / 31 - 1 / problem.classes.length) * 1.1);
    } else if (problem.classes.length) {
      colour = CLASS_RGB[values[i] > 127 ? 1 : 0];
      alpha = Math.abs(values[i] - 127.5) / 127.5;
    } else colour = viridis(values[i] / 255);
    const row = grid - 1 - Math.floor(i / grid);
    const place = 4 * (row * grid + (i % grid));
    image.data.set([...colour, Math.round(255 * (problem.classes.length ? 0.08 + 0.5 * alpha : 0.85))], place);
  }
  context.putImageData(image, 0, 0);
}
