// The data, and what the model says of every place between them; the line and the points can be dragged.
import { fmt, s } from "../../dom.js";
import { CLASS_COLOURS, CLASS_RGB, frame, isolines, mark, path } from "../../plot.js";
import { forward } from "../mirror.js";
import { handle } from "../../handle.js";
import { heat, inside, plot } from "../plots.js";
import { told } from "../text.js";

const UNITS = ["var(--nt-c2)", "var(--nt-c3)", "var(--nt-c5)", "var(--nt-c4)"];
// Points of a curve, and of each side of an area and of the lines over it.
const CURVE = 81;
const AREA = 40;

/** @param {any} stage */
export function fit(stage, options, words) {
  const kind = { now: null };
  const drawn = plot(words.fit, { ratio: 0.68, most: 430 }, (svg, width, height, picture, clip) => {
    const { windows } = picture.view;
    kind.now =
      windows.length > 1
        ? plane(picture, width, height, options, clip)
        : line(picture, width, height, options, clip, stage);
    grips(picture);
    return kind.now.drawn;
  });
  const places = [];
  const isLine = stage.step.setup.data.source === "line" && !stage.step.setup.model.hidden.length;
  if (options.drag?.includes("line") && isLine)
    for (const share of [0.12, 0.88])
      places.push({
        share,
        grip: handle(drawn.svg, drawn.top, share < 0.5 ? words.lineLeft : words.lineRight, mover(share)),
      });
  const point = options.drag?.includes("point")
    ? handle(drawn.svg, drawn.top, words.movePoint, {
        drag: (_, y) => setY(kind.now.sy.back(y)),
        key: (_, dy) => setY(stage.picture().model.y[stage.picture().row] + 0.05 * dy),
      })
    : null;
  function mover(share) {
    const put = (y) => {
      const picture = stage.picture();
      const [low, high] = picture.view.windows[0];
      const at = (part) => low + part * (high - low);
      const other = 1 - share;
      const [w, b] = [picture.params[0], picture.params[1] ?? 0];
      const far = w * at(other) + b;
      const slope = (y - far) / (at(share) - at(other));
      const rounded = Number((stage.base.problem.intercept ? slope : y / at(share)).toPrecision(6));
      const params = stage.base.problem.intercept
        ? [rounded, Number((y - rounded * at(share)).toPrecision(6))]
        : [rounded];
      stage.change({ params });
    };
    return {
      drag: (_, y) => put(kind.now.sy.back(y)),
      key: (_, dy) => {
        const { params, view } = stage.picture();
        const [low, high] = view.windows[0];
        put(params[0] * (low + share * (high - low)) + (params[1] ?? 0) + 0.05 * dy);
      },
    };
  }
  function setY(value) {
    const picture = stage.picture();
    const y = picture.model.y.map((old, i) => (i === picture.row ? Number(value.toFixed(2)) : old));
    stage.change({ y });
  }
  function grips(picture) {
    const { sx, sy } = kind.now;
    const [low, high] = picture.view.windows[0];
    for (const { share, grip } of places) {
      const x = low + share * (high - low);
      const y = picture.params[0] * x + (picture.params[1] ?? 0);
      grip.at(
        sx(x),
        Math.max(kind.now.box.top, Math.min(kind.now.box.bottom, sy(y))),
        y.toFixed(3),
        `ŷ = ${fmt(y, 3)}`,
      );
    }
    if (point) {
      const y = picture.model.y[picture.row];
      point.at(sx(picture.model.X[picture.row][0]), sy(y), y, `y = ${fmt(y, 3)}`);
    }
  }
  const tell = ({ model, point, params, row, problem, view }) => {
    const x = model.X[row];
    const said = { n: model.X.length, J: point.value, row: row + 1, x: x[0], y: model.y[row] };
    const yhat = point.a.at(-1)[row][0];
    if (x.length > 1) {
      const correct = model.y.filter((y, n) => point.a.at(-1)[n][0] > 0.5 === y > 0.5).length;
      return told(words.tell.fitPlane, { ...said, x2: x[1], yhat, correct });
    }
    const [x0, x1] = view.windows[0];
    const [left, right] = [x0, x1].map((at) => forward(model, params, [at]).a.at(-1)[0]);
    return told(words.tell.fitLine, { ...said, input: problem.inputs[0], x0, x1, left, right, yhat });
  };
  return { ...drawn, tell };
}

/** @type {(map: (value: number) => number, pixels: number[], window: number[]) => any} */
const invertible = (map, [from, to], [low, high]) =>
  Object.assign((value) => map(value), { back: (pixel) => low + ((pixel - from) / (to - from)) * (high - low) });

/** @param {any} picture */
function line(picture, width, height, options, clip, stage) {
  const { problem, model, params, view } = picture;
  /** @type {[number, number]} */
  const xw = view.windows[0];
  // What the model says at the start is in the picture too, and zero, where a line begins.
  const [low, high] = view.range;
  const yWindow = model.sigmoid ? [-0.12, 1.12] : [Math.min(low, -0.25), high + 0.1];
  const dates = [problem.dates.includes(0), false];
  const name = model.sigmoid ? `${problem.classes[1]}: ŷ` : problem.target;
  const { box, sx, sy, axes } = frame(width, height, xw, yWindow, { x: problem.inputs[0], y: name, dates });
  const scaleY = invertible(sy, [box.bottom, box.top], yWindow);
  const xs = Array.from({ length: CURVE }, (_, n) => xw[0] + (n / (CURVE - 1)) * (xw[1] - xw[0]));
  const predicted = (p, x) => forward(model, p, [x]).a.at(-1)[0];
  const curve = (p) => path(xs.map((x) => [sx(x), sy(predicted(p, x))]));
  const inner = s("g", { "clip-path": `url(#${clip})` });
  if (options.ghost !== undefined)
    inner.append(s("path.nt-ghost", { d: curve(picture.ways[picture.method][options.ghost]) }));
  const shown = options.errors === "all" ? model.X.map((_, i) => i) : options.errors === "none" ? [] : [picture.row];
  for (const i of shown) {
    const [x, y, to] = [model.X[i][0], model.y[i], predicted(params, model.X[i][0])];
    const side = Math.abs(sy(y) - sy(to));
    const left = sx(x) + side > box.right ? sx(x) - side : sx(x);
    if (options.squares)
      inner.append(
        s("rect.nt-square", { x: left, y: Math.min(sy(y), sy(to)), width: side, height: side, "data-part": "square" }),
      );
    inner.append(
      s("line", {
        x1: sx(x),
        x2: sx(x),
        y1: sy(y),
        y2: sy(to),
        class: i === picture.row ? "nt-residual nt-bold" : "nt-residual",
        "data-part": i === picture.row ? "error errors" : "errors",
      }),
    );
  }
  const d = curve(params);
  inner.append(s("path.nt-halo", { d, "stroke-width": 6 }), s("path.nt-model", { d, "data-part": "line curve" }));
  const dots = s("g");
  model.X.forEach(([x], i) => {
    const chosen = i === picture.row;
    if (chosen) dots.append(s("circle.nt-ring", { cx: sx(x), cy: sy(model.y[i]), r: 10, "data-part": "point" }));
    const fill = model.sigmoid ? CLASS_COLOURS[model.y[i]] : "var(--nt-point)";
    dots.append(
      mark(model.sigmoid ? model.y[i] : 0, sx(x), sy(model.y[i]), chosen ? 6 : 4.5, {
        fill,
        stroke: "var(--nt-halo)",
        "stroke-width": 1.2,
        class: "nt-point",
        "data-part": "points",
        onclick: () => stage.show({ row: i }),
      }),
    );
  });
  if (predicted(params, model.X[picture.row][0]) !== undefined) {
    const x = model.X[picture.row][0];
    dots.append(
      s("circle.nt-said", {
        cx: sx(x),
        cy: Math.max(box.top, Math.min(box.bottom, sy(predicted(params, x)))),
        r: 4.5,
        "data-part": "yhat",
      }),
    );
  }
  return { box, sx, sy: scaleY, drawn: [s("clipPath", { id: clip }, s("rect", inside(box))), axes, inner, dots] };
}

function plane(picture, width, height, options, clip) {
  const { problem, model, params } = picture;
  const [xw, yw] = picture.view.windows;
  const { box, sx, sy, axes } = frame(width, height, xw, yw, {
    x: problem.inputs[0],
    y: problem.inputs[1],
    grid: false,
  });
  const at = (a, b) => [xw[0] + a * (xw[1] - xw[0]), yw[0] + b * (yw[1] - yw[0])];
  const points = Array.from({ length: AREA * AREA }, (_, n) =>
    forward(model, params, at((n % AREA) / (AREA - 1), Math.floor(n / AREA) / (AREA - 1))),
  );
  const said = (a, b) => points[Math.round(b * (AREA - 1)) * AREA + Math.round(a * (AREA - 1))].a.at(-1)[0];
  const image = heat(AREA, said, (v) => [
    ...CLASS_RGB[v > 0.5 ? 1 : 0],
    Math.round(255 * (0.06 + 1.0 * Math.abs(v - 0.5))),
  ]);
  const inner = s("g", { "clip-path": `url(#${clip})` });
  inner.append(s("image", { href: image, ...inside(box), preserveAspectRatio: "none" }));
  const grid = (value) => points.map(value);
  const border = (values, css, attributes = {}) =>
    isolines(values, AREA, [0], sx, sy, xw, yw).forEach(([, d]) =>
      inner.append(s("path", { d, class: css, ...attributes })),
    );
  if (options.units)
    for (let k = 0; k < model.widths[1]; k++)
      border(
        grid(({ z }) => z[0][k]),
        "nt-unit-line",
        { stroke: UNITS[k % UNITS.length], "data-part": `unit${k + 1} units` },
      );
  const values = grid(({ z }) => z.at(-1)[0]);
  border(values, "nt-border-halo");
  border(values, "nt-border-line", { "data-part": "border" });
  const dots = s("g");
  model.X.forEach((x, i) => {
    const [a, b] = [sx(x[0]), sy(x[1])];
    if (i === picture.row) dots.append(s("circle.nt-ring", { cx: a, cy: b, r: 10, "data-part": "point" }));
    dots.append(
      mark(model.y[i], a, b, i === picture.row ? 6 : 4.2, {
        fill: CLASS_COLOURS[model.y[i]],
        stroke: "var(--nt-halo)",
        "stroke-width": 1.2,
        class: "nt-point",
        "data-part": "points",
      }),
    );
  });
  return {
    box,
    sx,
    sy,
    drawn: [s("clipPath", { id: clip }, s("rect", inside(box))), axes, inner, s("rect.nt-border", inside(box)), dots],
  };
}

export { UNITS };
