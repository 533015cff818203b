// Axes, colours and marks that the plots share.
import { contours } from "d3-contour";
import { fmt, h, s } from "./dom.js";

/** @import { App } from "./app.js" */

export const COLOURS = ["var(--nt-a)", "var(--nt-b)"];
export const DASHES = ["none", "7 4"];
export const CLASS_COLOURS = [
  "var(--nt-c0)",
  "var(--nt-c1)",
  "var(--nt-c2)",
  "var(--nt-c3)",
  "var(--nt-c4)",
  "var(--nt-c5)",
];
// For the canvas, which knows no CSS variables: the same colours as numbers.
export const CLASS_RGB = [
  [0, 114, 178],
  [230, 159, 0],
  [0, 158, 115],
  [204, 121, 167],
  [86, 180, 233],
  [170, 90, 0],
];

const VIRIDIS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

// A colour of the viridis scale, share from 0 to 1.
export function viridis(share) {
  const place = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[low].map((c, i) => Math.round(c + (VIRIDIS[low + 1][i] - c) * (place - low)));
}

// What the colours of an area or of a map mean: dark is low or high, by the order of the two numbers.
export function rampKey([dark, bright], name) {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => `rgb(${viridis(share).join(" ")})`).join(", ");
  return h(
    "span",
    null,
    `${name}: ${fmt(dark, 3)}`,
    h("span.nt-ramp", { style: `background: linear-gradient(to right, ${stops})`, "aria-hidden": "true" }),
    fmt(bright, 3),
  );
}

export const scale = (from, to) => (value) => to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);

export function ticks([low, high], count = 5) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].find((u) => u * power >= raw) * power;
  const first = Math.ceil(low / unit);
  // Counted, since near a large number adding the unit could change nothing.
  const many = Math.max(0, Math.min(3 * count, Math.floor(high / unit + 1e-9) - first)) + 1;
  return Array.from({ length: many }, (_, n) => (first + n) * unit || 0);
}

// Ticks as text, with as many digits as tell neighbours apart; dates (days since 1970) as dates.
export function tickTexts(values, date = false) {
  if (date) return values.map((days) => new Date(Math.round(days) * 864e5).toISOString?.().slice(0, 10));
  const gap = values.length > 1 ? values[1] - values[0] : 1;
  const largest = Math.max(...values.map(Math.abs), 1e-300);
  const digits = Math.max(3, Math.min(17, Math.ceil(Math.log10(largest / gap)) + 1));
  return values.map((value) => fmt(value, digits));
}

// Powers of ten, every few of them where they are many; with 2 and 5 between where they are few. Where the window holds
// no such number, even steps of the values themselves.
function logTicks([low, high]) {
  const every = Math.max(1, Math.ceil((high - low) / 6));
  const found = [];
  for (let power = Math.floor(low); power <= high; power++) {
    if (power % every) continue;
    for (const unit of high - low > 2.2 ? [1] : high - low > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9])
      found.push(power + Math.log10(unit));
  }
  const inside = found.filter((tick) => tick >= low && tick <= high);
  if (inside.length > 1) return inside;
  return ticks([10 ** low, 10 ** high], 4).map(Math.log10);
}

const logTexts = (up) => {
  const values = up.map((tick) => 10 ** tick);
  const closest = Math.min(1, ...values.slice(1).map((value, n) => (value - values[n]) / value));
  return values.map((value) => fmt(value, Math.max(2, Math.ceil(-Math.log10(closest)) + 1)));
};

// A name as formulas write it: the layer, which plain text puts behind it in brackets, is raised.
const raised = (name) =>
  name
    .split(/(\[\d+\])/)
    .map((part, n) =>
      n % 2 ? s("tspan", { dy: "-0.4em", "font-size": "75%" }, part) : s("tspan", { dy: n ? "0.3em" : null }, part),
    );

// The frame of a plot: axes with ticks and names, and the two scales.
export function frame(
  width,
  height,
  xWindow,
  yWindow,
  { x = "", y = "", log = false, grid = true, dates = [false, false] } = {},
) {
  const box = { left: dates[1] ? 82 : 52, right: width - 10, top: 10, bottom: height - 36 };
  const sx = scale(xWindow, [box.left, box.right]);
  const sy = scale(yWindow, [box.bottom, box.top]);
  const axes = s("g.nt-axes", { "aria-hidden": "true" });
  const across = ticks(xWindow, dates[0] ? 3 : width < 320 ? 4 : 6);
  const texts = tickTexts(across, dates[0]);
  for (const [n, tick] of across.entries()) {
    if (grid) axes.append(s("line.nt-grid-line", { x1: sx(tick), x2: sx(tick), y1: box.top, y2: box.bottom }));
    axes.append(s("text", { x: sx(tick), y: box.bottom + 15, "text-anchor": "middle" }, texts[n]));
  }
  const up = log ? logTicks(yWindow) : ticks(yWindow, 5);
  const named = log ? logTexts(up) : tickTexts(up, dates[1]);
  for (const [n, tick] of up.entries()) {
    if (grid) axes.append(s("line.nt-grid-line", { x1: box.left, x2: box.right, y1: sy(tick), y2: sy(tick) }));
    axes.append(s("text", { x: box.left - 6, y: sy(tick) + 3.5, "text-anchor": "end" }, named[n]));
  }
  axes.append(
    s("text.nt-axis-name", { x: (box.left + box.right) / 2, y: height - 4, "text-anchor": "middle" }, raised(x)),
  );
  if (y) {
    const middle = (box.top + box.bottom) / 2;
    axes.append(
      s(
        "text.nt-axis-name",
        { x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` },
        raised(y),
      ),
    );
  }
  return { box, sx, sy, axes };
}

// SVG takes no exponents, which a number far outside the picture would be written with.
const far = (v) => Math.max(-1e5, Math.min(1e5, v)).toFixed(1);

export function path(points) {
  let text = "";
  let pen = false;
  for (const [x, y] of points) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      pen = false;
      continue;
    }
    text += `${pen ? "L" : "M"}${far(x)} ${far(y)}`;
    pen = true;
  }
  return text;
}

// Lines of equal value on a grid over two windows, as SVG paths: [level, path] each.
export function isolines(values, size, levels, sx, sy, xWindow, yWindow) {
  const toX = (c) => sx(xWindow[0] + ((c - 0.5) / (size - 1)) * (xWindow[1] - xWindow[0]));
  const toY = (c) => sy(yWindow[0] + ((c - 0.5) / (size - 1)) * (yWindow[1] - yWindow[0]));
  return contours()
    .size([size, size])
    .thresholds(levels)(values)
    .map((shape) => [
      shape.value,
      shape.coordinates
        .flat()
        .map((ring) => `${path(ring.map(([a, b]) => [toX(a), toY(b)]))}Z`)
        .join(""),
    ]);
}

// A mark for class or method: circle, triangle, square, diamond, so that colour is never all there is.
export function mark(kind, x, y, r, attributes = {}) {
  const at = (points) => points.map(([a, b]) => `${far(x + a * r)},${far(y + b * r)}`).join(" ");
  if (kind === 0) return s("circle", { cx: far(x), cy: far(y), r, ...attributes });
  const shapes = [
    [
      [0, -1.25],
      [1.15, 0.8],
      [-1.15, 0.8],
    ],
    [
      [-0.9, -0.9],
      [0.9, -0.9],
      [0.9, 0.9],
      [-0.9, 0.9],
    ],
    [
      [0, -1.3],
      [1.3, 0],
      [0, 1.3],
      [-1.3, 0],
    ],
    [
      [0, 1.25],
      [1.15, -0.8],
      [-1.15, -0.8],
    ],
    [
      [-1.3, -0.4],
      [1.3, -0.4],
      [0, 1.2],
    ],
  ];
  return s("polygon", { points: at(shapes[(kind - 1) % shapes.length]), ...attributes });
}

export const methodMark = (method, x, y, r, attributes = {}) =>
  mark(method === 0 ? 0 : 2, x, y, r, {
    fill: COLOURS[method],
    stroke: "var(--nt-halo)",
    "stroke-width": 2,
    ...attributes,
  });

/** @param {App} app */
export function legend(app) {
  return app.run.runs.map((_, method) => ({ method, text: app.label(method) }));
}
