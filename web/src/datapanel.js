// The data, and what the model says of every place between them.
import { fmt, h, measured, memo, replace, s, same, select, unique } from "./dom.js";
import {
  COLOURS,
  CLASS_COLOURS,
  CLASS_RGB,
  DASHES,
  frame,
  isolines,
  mark,
  path,
  rampKey,
  tickTexts,
  viridis,
} from "./plot.js";
import { bytes64 } from "./url.js";

/** @import { DecodedRun } from "../types/page" */
/** @import { ProblemFacts } from "../types/messages" */
/** @import { App } from "./app.js" */

/** @param {App} app */
export function dataPanel(app, body) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const svg = s("svg", { role: "img", "aria-label": "The data" });
  const stage = h("div.nt-stage", null, canvas, svg);
  const caption = h("p.nt-caption", { "aria-live": "off" });
  const bar = h("div.nt-bar");
  const key = h("div.nt-key");
  const { node: chooser, renew: picker } = examplePicker();
  replace(body, bar, stage, h("div.nt-bar.nt-under", null, chooser, key), caption);
  const [changed, choices, still, said] = [memo(), memo(), memo(), memo()];
  const widthOf = measured(stage, () => app.redraw(false));
  // What the step does not change lies in groups of its own, which stand: axes below, points above.
  const clip = unique("clip");
  const [below, moving, above] = [s("g"), s("g", { "clip-path": `url(#${clip})` }), s("g")];
  replace(svg, below, moving, above);
  let plot;
  return () => {
    if (!app.run) return;
    const width = widthOf();
    if (!width) return; // hidden: the observer of its size draws it once it is seen
    choices([same(app.run)], () => {
      inputs(app, bar);
      replace(key, classKey(app));
    });
    said([same(app.run), app.view.row], () => replace(caption, captionOf(app)));
    picker(app);
    still([same(app.run), width, app.view.row], () => {
      const height = Math.round(Math.max(220, Math.min(340, width * 0.78)));
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("height", height);
      plot = (app.run.problem.view.curve ? curveFrame : areaFrame)(app, width, height);
      const { left, right, top, bottom } = plot.box;
      const inside = { x: left, y: top, width: right - left, height: bottom - top };
      canvas.hidden = Boolean(app.run.problem.view.curve);
      Object.assign(canvas.style, {
        left: `${left}px`,
        top: `${top}px`,
        width: `${right - left}px`,
        height: `${bottom - top}px`,
      });
      replace(
        below,
        s("clipPath", { id: clip }, s("rect", inside)),
        plot.axes,
        canvas.hidden ? null : s("rect.nt-border", inside),
      );
      replace(above, points(app, plot.sx, plot.sy, plot.place));
    });
    const derivation = app.run.kept.derivations.get(app.derivationKey("row"));
    changed([same(app.run), same(derivation), width, app.view.step, app.view.active, app.view.row], () => {
      svg.setAttribute("aria-label", describe(app));
      if (canvas.hidden) curves(app, moving, plot);
      else areas(app, moving, canvas, plot);
    });
  };
}

// The chosen example, by buttons that the keyboard reaches.
function examplePicker() {
  const shown = h("output", { "aria-live": "polite" });
  let app;
  const by = (jump) => () => {
    const many = app.run.problem.X.length;
    app.show({ row: (app.view.row + jump + many) % many });
  };
  const node = h(
    "div.nt-picker",
    { role: "group", "aria-label": "Chosen example" },
    h("button", { type: "button", "aria-label": "Example before", title: "Example before", onclick: by(-1) }, "◀"),
    shown,
    h("button", { type: "button", "aria-label": "Next example", title: "Next example", onclick: by(1) }, "▶"),
  );
  const renew = (/** @type {App} */ given) => {
    app = given;
    const text = `example ${app.view.row + 1} of ${app.run.problem.X.length}`;
    if (shown.textContent !== text) shown.textContent = text;
  };
  return { node, renew };
}

// What the colours mean.
/** @param {App} app */
function classKey(app) {
  const { classes, view } = app.run.problem;
  if (!classes.length) return view.curve ? [] : rampKey(view.range, app.run.problem.target);
  return classes.map((name, kind) =>
    h(
      "span",
      null,
      s(
        "svg",
        { viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" },
        mark(kind, 7, 7, 4.5, { fill: CLASS_COLOURS[kind] }),
      ),
      name,
    ),
  );
}

// Of more than two inputs, which two are drawn.
/** @param {App} app */
function inputs(app, bar) {
  const { problem } = app.run;
  if (app.offline || problem.inputs.length < 3) return replace(bar);
  const axis = (place) =>
    select(
      place ? "Vertical input" : "Horizontal input",
      problem.view.axes[place],
      problem.inputs.map((name, j) => [j, name]).filter(([j]) => j !== problem.view.axes[1 - place]),
      (value) => {
        app.view.axes = problem.view.axes.map((j, n) => (n === place ? Number(value) : j));
        app.train(true);
      },
    );
  replace(bar, h("span.nt-pair", null, axis(0), " × ", axis(1)));
}

/** @param {App} app */
function describe(app) {
  const { problem } = app.run;
  const what =
    problem.task === "regression" ? "the fitted line or curve" : "the regions that the model gives to each class";
  return `${problem.X.length} rows and ${what}, ${app.label(app.view.active)}, step ${app.stepOf(app.view.active)}`;
}

/** @param {App} app */
function captionOf(app) {
  const { problem } = app.run;
  const row = app.view.row;
  const told = (value, j) => (problem.dates.includes(j) ? tickTexts([value], true)[0] : fmt(value));
  const inputs = problem.inputs.map((name, j) => `${name} = ${told(problem.X[row][j], j)}`).join(", ");
  const label = problem.classes.length ? problem.classes[problem.labels[row]] : fmt(problem.labels[row]);
  const number = problem.rows.length
    ? ` (row ${problem.rows[row]} of the ${app.run.setup.data.source.startsWith("file:") ? "file" : "data"})`
    : "";
  const held = problem.view.held ? `Drawn with ${problem.view.held}. ` : "";
  return `${held}Chosen example ${row + 1}${number}: ${inputs}; ${problem.target} = ${label}.`;
}

/** @param {App} app */
function points(app, sx, sy, place) {
  const { problem } = app.run;
  const group = s("g");
  problem.X.forEach((x, row) => {
    const kind = problem.classes.length ? problem.labels[row] : 0;
    const chosen = row === app.view.row;
    const [a, b] = place(x, row);
    const fill = problem.classes.length
      ? CLASS_COLOURS[kind]
      : problem.view.curve
        ? "var(--nt-point)"
        : rgb(viridis(share(problem.labels[row], problem.view.range)));
    const node = mark(kind, sx(a), sy(b), chosen ? 6.5 : problem.X.length > 200 ? 3 : 4.5, {
      fill,
      stroke: "var(--nt-halo)",
      "stroke-width": 1.2,
      class: "nt-point",
    });
    node.addEventListener("click", () => app.show({ row }));
    node.append(s("title", null, `example ${row + 1}`));
    if (chosen) group.append(s("circle.nt-ring", { cx: sx(a), cy: sy(b), r: 11 }));
    group.append(node);
  });
  return group;
}

const rgb = (c) => `rgb(${c.join(" ")})`;
const share = (value, [low, high]) => (value - low) / (high - low);

/** @param {App} app */
function curveFrame(app, width, height) {
  const { problem } = app.run;
  const { windows, range } = problem.view;
  const yWindow = problem.classes.length ? [-0.12, 1.12] : range;
  const several = problem.classes.length > 2;
  const name = problem.classes.length
    ? `probability of ${several ? "each class" : problem.classes[1]}`
    : problem.target;
  const place = (x, row) => [x[0], several ? -0.06 : problem.labels[row]];
  const dates = [problem.dates.includes(0), false];
  return { ...frame(width, height, windows[0], yWindow, { x: problem.inputs[0], y: name, dates }), place };
}

/** @param {App} app */
function curves(app, moving, { sx, sy }) {
  const { problem, runs } = app.run;
  const { curve } = problem.view;
  const several = problem.classes.length > 2;
  const drawn = [];
  const order = runs.map((_, method) => method).sort((m) => (m === app.view.active ? 1 : -1));
  for (const method of order) {
    const values = /** @type {any[]} */ (runs[method].frames[app.stepOf(method)]);
    const outputs = several ? problem.classes.map((_, c) => values.map((v) => v && v[c])) : [values];
    outputs.forEach((line, c) => {
      const d = path(curve.map((x, i) => [sx(x), line[i] === null ? NaN : sy(line[i])]));
      const stroke = several ? CLASS_COLOURS[c] : COLOURS[method];
      if (several && method !== app.view.active) return;
      if (!several) drawn.push(s("path.nt-halo", { d, "stroke-width": 5 }));
      drawn.push(
        s("path", {
          d,
          fill: "none",
          stroke,
          "stroke-width": method === app.view.active ? 3 : 2,
          "stroke-dasharray": DASHES[method],
        }),
      );
    });
  }
  if (!problem.classes.length) drawn.push(residual(app, sx, sy));
  replace(moving, drawn);
}

// The error of the chosen example, which the loss squares: from the point to the curve.
/** @param {App} app */
function residual(app, sx, sy) {
  const { problem } = app.run;
  const derivation = app.run.kept.derivations.get(app.derivationKey("row"));
  const mean = derivation?.predicted;
  if (mean === undefined || mean === null) return null;
  const x = sx(problem.X[app.view.row][0]);
  return s("line.nt-residual", { x1: x, x2: x, y1: sy(problem.labels[app.view.row]), y2: sy(mean) });
}

/** @param {App} app */
function areaFrame(app, width, height) {
  const {
    inputs,
    view: { windows, axes: which },
    dates: known,
  } = app.run.problem;
  const dates = which.map((input) => known.includes(input));
  return {
    ...frame(width, height, windows[0], windows[1], { x: inputs[which[0]], y: inputs[which[1]], grid: false, dates }),
    place: (x) => [x[which[0]], x[which[1]]],
  };
}

/** @param {App} app */
function areas(app, moving, canvas, { sx, sy }) {
  const { problem, runs } = app.run;
  const { windows, grid } = problem.view;
  paint(canvas, bytes(runs[app.view.active], app.stepOf(app.view.active)), grid, problem);
  const lines = [];
  if (problem.classes.length === 2) {
    const order = runs.map((_, method) => method).sort((m) => (m === app.view.active ? 1 : -1));
    for (const method of order) {
      const values = Array.from(new Int16Array(bytes(runs[method], app.stepOf(method)).buffer, grid * grid));
      for (const [, d] of isolines(values, grid, [0], sx, sy, windows[0], windows[1])) {
        lines.push(s("path.nt-halo", { d, "stroke-width": 5 }));
        lines.push(
          s("path", {
            d,
            fill: "none",
            stroke: COLOURS[method],
            "stroke-width": method === app.view.active ? 3 : 2,
            "stroke-dasharray": DASHES[method],
          }),
        );
      }
    }
  }
  replace(moving, lines);
}

/**
 * @param {DecodedRun} run
 * @param {number} step
 */
function bytes(run, step) {
  run.decoded ??= [];
  run.decoded[step] ??= bytes64(run.frames[step]);
  return run.decoded[step];
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} values
 * @param {number} grid
 * @param {ProblemFacts} problem
 */
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
