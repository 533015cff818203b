// Curves over one number: the loss along a parameter, the loss of one row over z, the sigmoid and its slope.
import { fmt, h, s } from "../../dom.js";
import { math } from "../../formulas.js";
import { frame, methodMark, path } from "../../plot.js";
import { curvatureAt, lossAt, sigmoid, slopeAt, valueAt } from "../mirror.js";
import { handle } from "../../handle.js";
import { inside, plot } from "../plots.js";
import { plain } from "../../network.js";
import { told } from "../text.js";

const POINTS = 121;
const along = ([low, high]) => Array.from({ length: POINTS }, (_, n) => low + (n / (POINTS - 1)) * (high - low));

/** J along one parameter, the others held, with tangent and parabola; the parameter can be dragged. */
export function curve(stage, options, words) {
  let now;
  const drawn = plot(words.curve, { ratio: 0.66 }, (svg, width, height, picture, clip) => {
    const { model, params, point, param } = picture;
    const window = (stage.own.X || stage.own.y ? null : options.window) ?? picture.windows[param];
    const xs = along(window);
    const at = (w) => params.map((value, p) => (p === param ? w : value));
    const values = xs.map((w) => valueAt(model, at(w)));
    const finite = values.filter(Number.isFinite);
    const [low, high] = [Math.min(...finite), Math.max(...finite)];
    const space = 0.12 * (high - low) || 1;
    const name = plain(picture.problem.parameters[param].plain);
    const yWindow = [low - 2 * space, high + space];
    const { box, sx, sy, axes } = frame(width, height, window, yWindow, { x: name, y: "J" });
    now = { box, window, sx, sy, xs, values, name };
    const w = params[param];
    const [slope, value] = [point.gradient[param], point.value];
    const bend = point.hessian?.[param]?.[param];
    const inner = s("g", { "clip-path": `url(#${clip})` });
    const add = (f, css, part) =>
      inner.append(s("path", { class: css, d: path(xs.map((x, n) => [sx(x), sy(f(x, n))])), "data-part": part }));
    if (options.parabola && bend !== undefined)
      add((x) => value + slope * (x - w) + 0.5 * bend * (x - w) ** 2, "nt-parabola", "parabola");
    if (options.tangent !== false) add((x) => value + slope * (x - w), "nt-tangent", "tangent");
    add((_, n) => values[n], "nt-curve", "curve");
    if (options.rate && picture.rate) {
      const next = w - picture.rate * slope;
      inner.append(arrow(sx(w), sy(value), sx(next), sy(valueAt(model, at(next))), "nt-step-arrow", "step"));
    }
    if (options.parabola && bend > 0) {
      const lowest = w - slope / bend;
      inner.append(
        s("line.nt-lowest", { x1: sx(lowest), x2: sx(lowest), y1: box.top, y2: box.bottom, "data-part": "lowest" }),
      );
      inner.append(
        s("circle.nt-landing", { cx: sx(lowest), cy: sy(valueAt(model, at(lowest))), r: 5, "data-part": "lowest" }),
      );
    }
    grip.at(sx(w), sy(value), w, `${name} = ${fmt(w, 4)}, J = ${fmt(value, 4)}`);
    return [s("clipPath", { id: clip }, s("rect", inside(box))), axes, inner];
  });
  const put = (w) => {
    const { params, param } = stage.picture();
    stage.change({ params: params.map((value, p) => (p === param ? Number(w.toPrecision(5)) : value)) });
  };
  const grip = handle(drawn.svg, drawn.top, words.moveW, {
    drag: (x) =>
      put(now.window[0] + ((x - now.box.left) / (now.box.right - now.box.left)) * (now.window[1] - now.window[0])),
    key: (dx) => put(stage.picture().params[stage.picture().param] + 0.01 * dx * (now.window[1] - now.window[0])),
  });
  const said = h("p.nt-caption");
  const renew = (picture) => {
    drawn.renew(picture);
    const tex = picture.problem.parameters[picture.param].tex;
    const slope = picture.point.gradient[picture.param];
    const bend = picture.point.hessian?.[picture.param]?.[picture.param];
    said.replaceChildren(
      math(tex),
      ` = ${fmt(picture.params[picture.param], 5)}, J = ${fmt(picture.point.value, 6)}, ${words.slope} ${fmt(slope, 5)}`,
      ...(options.parabola && bend !== undefined
        ? [
            `, ${words.curvature} ${fmt(bend, 5)}`,
            bend > 0
              ? `, ${words.jump} ${fmt(picture.params[picture.param] - slope / bend, 6)}`
              : `; ${words.noLowest}`,
          ]
        : []),
      ".",
    );
  };
  const tell = ({ params, param, point }) => {
    const least = Math.min(...now.values.filter(Number.isFinite));
    return told(words.tell.curve, {
      name: now.name,
      x0: now.window[0],
      x1: now.window[1],
      left: now.values[0],
      right: now.values.at(-1),
      least,
      lowest: now.xs[now.values.indexOf(least)],
      w: params[param],
      J: point.value,
      slope: point.gradient[param],
    });
  };
  return { node: h("div", null, drawn.node, said), renew, tell };
}

export function arrow(x1, y1, x2, y2, css, part) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [ux, uy] = length > 0.5 ? [(x2 - x1) / length, (y2 - y1) / length] : [0, 0];
  const size = Math.min(9, length);
  const head = [
    [x2, y2],
    [x2 - size * ux + 0.5 * size * uy, y2 - size * uy - 0.5 * size * ux],
    [x2 - size * ux - 0.5 * size * uy, y2 - size * uy + 0.5 * size * ux],
  ];
  return s(
    "g",
    { class: css, "data-part": part },
    s("line", { x1, y1, x2: x2 - 0.8 * size * ux, y2: y2 - 0.8 * size * uy }),
    s("polygon", { points: head.map((p) => p.map((v) => v.toFixed(1)).join()).join(" ") }),
  );
}

// Several curves over z, one below the other, with one z that is dragged through all of them.
function overZ(stage, words, label, panels, window, ratio = 1.05) {
  let now;
  const drawn = plot(label, { ratio, most: 560, least: 330 }, (svg, width, height, picture) => {
    const each = height / panels.length;
    const xs = along(window);
    const nodes = [];
    panels.forEach(({ name, range, curves, tangent, peak }, n) => {
      const f = frame(width, each, window, range, { x: n === panels.length - 1 ? "z" : "", y: name });
      const group = s("g", { transform: `translate(0 ${n * each})` });
      group.append(f.axes);
      const clipped = s("svg", {
        x: f.box.left,
        y: f.box.top,
        width: f.box.right - f.box.left,
        height: f.box.bottom - f.box.top,
        overflow: "hidden",
      });
      const shift = ([x, y]) => [x - f.box.left, y - f.box.top];
      clipped.append(
        s("line.nt-now", { x1: f.sx(picture.z) - f.box.left, x2: f.sx(picture.z) - f.box.left, y1: 0, y2: each }),
      );
      for (const { of, css, part, mark } of curves) {
        clipped.append(
          s("path", { class: css, d: path(xs.map((z) => shift([f.sx(z), f.sy(of(z))]))), "data-part": part }),
        );
        const [x, y] = shift([f.sx(picture.z), f.sy(of(picture.z))]);
        clipped.append(
          methodMark(mark ?? 0, x, y, 5, {
            fill: mark === 1 ? "var(--nt-b)" : mark === 0 ? "var(--nt-a)" : "var(--nt-ink)",
          }),
        );
      }
      if (tangent) {
        const [value, slope] = tangent(picture.z);
        const d = path([-2.2, 2.2].map((step) => shift([f.sx(picture.z + step), f.sy(value + slope * step)])));
        clipped.append(s("path.nt-tangent", { d, "data-part": "tangent" }));
      }
      if (peak) {
        clipped.append(
          s("line.nt-lowest", {
            x1: 0,
            x2: width,
            y1: f.sy(peak) - f.box.top,
            y2: f.sy(peak) - f.box.top,
            "data-part": "peak",
          }),
        );
      }
      group.append(clipped);
      nodes.push(group);
      if (n === 0) now = { box: f.box, y: f.sy(curves[0].of(picture.z)) };
      now.sx = f.sx;
    });
    grip.at(now.sx(picture.z), height - 30, picture.z, `z = ${fmt(picture.z, 3)}`);
    return nodes;
  });
  const put = (z) => stage.change({ z: Number(Math.max(window[0], Math.min(window[1], z)).toFixed(2)) });
  const grip = handle(drawn.svg, drawn.top, words.moveZ, {
    drag: (x) => put(window[0] + ((x - now.box.left) / (now.box.right - now.box.left)) * (window[1] - window[0])),
    key: (dx) => put(stage.picture().z + 0.1 * dx),
  });
  const [x0, x1] = window;
  const tell = ({ z }) => {
    const curves = panels.flatMap(({ name, curves }) =>
      curves.map(({ of, said }) =>
        told(words.tell.overZOne, {
          name: said ? `${name}, ${said}` : name,
          left: of(x0),
          right: of(x1),
          now: of(z),
          z,
        }),
      ),
    );
    return told(words.tell.overZ, { x0, x1, curves: curves.join("; "), z });
  };
  return { ...drawn, tell };
}

/** The line z, the sigmoid with its tangent, and the bell of its slope. */
export function sigmoidStage(stage, options, words) {
  const slope = (z) => sigmoid(z) * (1 - sigmoid(z));
  const panels = [
    {
      name: "σ(z)",
      range: [-0.08, 1.08],
      curves: [{ of: sigmoid, css: "nt-curve", part: "sigmoid" }],
      tangent: (z) => [sigmoid(z), slope(z)],
    },
    {
      name: "σ(z)(1 − σ(z))",
      range: [-0.03, 0.29],
      curves: [{ of: slope, css: "nt-tangent nt-thick", part: "bell", mark: 0 }],
      peak: 0.25,
    },
  ];
  if (options.line)
    panels.unshift({
      name: "z = wx + b",
      range: [-6.5, 6.5],
      curves: [{ of: (z) => z, css: "nt-curve", part: "line" }],
      tangent: undefined,
    });
  const drawn = overZ(stage, words, words.sigmoid, panels, [-6, 6], 0.5 * panels.length);
  const said = h("p.nt-caption");
  const renew = (picture) => {
    drawn.renew(picture);
    const [p, z] = [sigmoid(picture.z), picture.z];
    said.textContent = `z = ${fmt(z, 3)}: σ(z) = ${fmt(p, 5)}, σ(z)(1 − σ(z)) = ${fmt(p, 5)} × ${fmt(1 - p, 5)} = ${fmt(slope(z), 5)}.`;
  };
  return { node: h("div", null, drawn.node, said), renew, tell: drawn.tell };
}

/** The two losses of an example with y = 1 over z, and their slopes. */
export function losses(stage, options, words) {
  const base = { sigmoid: true, half: 0.5 };
  const [log, squared] = [
    { ...base, squared: false },
    { ...base, squared: true },
  ];
  const pair = (f) => [
    { of: (z) => f(log, z, 1), css: "nt-parabola nt-solid", part: "log", mark: 1, said: words.logLoss },
    { of: (z) => f(squared, z, 1), css: "nt-tangent nt-thick", part: "squared", mark: 0, said: words.squaredLoss },
  ];
  const panels = [
    { name: words.lossY1, range: [-0.3, 5.2], curves: pair(lossAt) },
    { name: "∂L/∂z", range: [-1.1, 0.12], curves: pair(slopeAt) },
  ];
  if (options.curvature) panels.push({ name: "∂²L/∂z²", range: [-0.13, 0.29], curves: pair(curvatureAt) });
  const drawn = overZ(stage, words, words.losses, panels, [-6, 4], 0.42 * panels.length);
  const said = h("p.nt-caption");
  const key = h(
    "div.nt-key",
    null,
    h("span", null, h("i.nt-dash", { style: "background: var(--nt-b)" }), words.logLoss),
    h("span", null, h("i.nt-dash", { style: "background: var(--nt-a)" }), words.squaredLoss),
  );
  const renew = (picture) => {
    drawn.renew(picture);
    const z = picture.z;
    said.textContent = `z = ${fmt(z, 3)}, ŷ = ${fmt(sigmoid(z), 4)}: ${words.logLoss} ${fmt(lossAt(log, z, 1), 4)}, ${words.slope} ${fmt(slopeAt(log, z, 1), 4)}; ${words.squaredLoss} ${fmt(lossAt(squared, z, 1), 4)}, ${words.slope} ${fmt(slopeAt(squared, z, 1), 4)}.`;
  };
  return { node: h("div", null, drawn.node, key, said), renew, tell: drawn.tell };
}

/** J along the two eigenvectors of H with the smallest and the largest eigenvalue: a saddle bends both ways. */
export function saddle(stage, options, words) {
  let ends = [
    [NaN, NaN],
    [NaN, NaN],
  ];
  const drawn = plot(words.saddle, { ratio: 0.56, least: 250 }, (svg, width, height, picture, clip) => {
    const { model, params, point } = picture;
    if (!point.eigenvectors) return [s("text.nt-waiting", { x: 20, y: 40 }, words.waiting)];
    const window = options.window ?? [-1.5, 1.5];
    const xs = along(window);
    const ways = [point.eigenvectors[0], point.eigenvectors.at(-1)].map((v) =>
      xs.map((t) =>
        valueAt(
          model,
          params.map((w, p) => w + t * v[p]),
        ),
      ),
    );
    // One scale for both shows which is steeper; where the smaller bend would not be seen, each has its own.
    ends = ways.map((values) => [values[0], values.at(-1)]);
    const own = Boolean(options.separate);
    const shares = own ? [0, 1] : [null];
    const nodes = [];
    for (const [place, only] of shares.entries()) {
      const shown = ways.filter((_, n) => only === null || n === only);
      const [low, high] = [Math.min(...shown.flat()), Math.max(...shown.flat())];
      const space = 0.1 * (high - low);
      const part = own ? width / 2 : width;
      const name = own ? words[only ? "alongLargest" : "alongSmallest"] : words.alongEigen;
      const { box, sx, sy, axes } = frame(part, height, window, [low - space, high + space], { x: name, y: "J" });
      const id = `${clip}-${place}`;
      const inner = s("g", { "clip-path": `url(#${id})` });
      ways.forEach((values, n) => {
        if (only !== null && n !== only) return;
        const d = path(xs.map((t, i) => [sx(t), sy(values[i])]));
        inner.append(s("path", { class: n ? "nt-curve" : "nt-down", d, "data-part": n ? "up" : "down" }));
      });
      inner.append(methodMark(picture.method, sx(0), sy(point.value), 6));
      nodes.push(
        s(
          "g",
          { transform: `translate(${place * part} 0)` },
          s("clipPath", { id }, s("rect", inside(box))),
          axes,
          inner,
        ),
      );
    }
    return nodes;
  });
  const bars = h("div.nt-bars", { role: "img", "aria-label": words.eigenvalues });
  const title = h("p.nt-caption", null, words.eigenvalues);
  const renew = (picture) => {
    drawn.renew(picture);
    const values = picture.point.eigenvalues ?? [];
    const largest = Math.max(1e-300, ...values.map(Math.abs));
    bars.replaceChildren(
      ...[...values]
        .reverse()
        .map((v) =>
          h(
            "div",
            { class: v < 0 ? "nt-bar-negative" : "" },
            h("span.nt-bar-fill", { style: `width:${(100 * Math.abs(v)) / largest}%` }),
            h("span.nt-num", { "data-v": v }, fmt(v, 4)),
          ),
        ),
    );
  };
  const tell = ({ point }) => {
    const [[left, right], [left2, right2]] = ends;
    const [low, high] = [point.eigenvalues[0], point.eigenvalues.at(-1)];
    return told(words.tell.saddle, { low, high, left, right, left2, right2, J: point.value });
  };
  return { node: h("div", null, drawn.node, title, bars), renew, tell };
}
