// Ways over the loss: the map of two parameters, the loss by step, and the pulls of the rows that make one step.
import { fmt, h, s } from "../../dom.js";
import { math } from "../../formulas.js";
import { plain } from "../../network.js";
import { COLOURS, DASHES, frame, isolines, methodMark, path, rampKey, viridis } from "../../plot.js";
import { valueAt } from "../mirror.js";
import { handle } from "../../handle.js";
import { inside, plot } from "../plots.js";
import { told } from "../text.js";
import { arrow } from "./curves.js";

const SIZE = 41;
const LEVELS = 14;

/** The loss over two parameters, all others held, with the ways on it; the start can be dragged. */
export function map(stage, options, words) {
  const [i, j] = options.pair ?? [0, 1];
  let now;
  /** @type {any} */
  let ground = { key: "" };
  const legend = h("div.nt-key");
  const drawn = plot(words.map, { ratio: 0.74, most: 460 }, (svg, width, height, picture, clip) => {
    const { model, params, ways } = picture;
    const given = picture.moved ? null : options.windows;
    const [wx, wy] = given ?? [picture.windows[i], picture.windows[j]];
    const names = [i, j].map((p) => plain(picture.problem.parameters[p].plain));
    const { box, sx, sy, axes } = frame(width, height, wx, wy, { x: names[0], y: names[1], grid: false });
    now = { box, wx, wy, names };
    const whole = params.length === 2;
    const key = JSON.stringify([wx, wy, stage.own.y, stage.own.X, stage.own.half, whole ? 0 : params]);
    if (ground.key !== key) {
      const values = Array.from({ length: SIZE * SIZE }, (_, n) => {
        const at = [...params];
        at[i] = wx[0] + ((n % SIZE) / (SIZE - 1)) * (wx[1] - wx[0]);
        at[j] = wy[0] + (Math.floor(n / SIZE) / (SIZE - 1)) * (wy[1] - wy[0]);
        return valueAt(model, at);
      });
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const levels = Array.from({ length: LEVELS }, (_, n) => low + ((n + 0.4) / LEVELS) ** 2 * (high - low));
      ground = { key, values, low, high, levels };
      legend.replaceChildren(rampKey([high, low], "J"));
    }
    const { values, low, high, levels } = ground;
    const colour = (v) => `rgb(${viridis(1 - Math.sqrt((v - low) / (high - low || 1))).join(" ")})`;
    const inner = s("g", { "clip-path": `url(#${clip})` }, s("rect", { ...inside(box), fill: colour(low) }));
    for (const [level, d] of isolines(values, SIZE, levels, sx, sy, wx, wy))
      inner.append(
        s("path", {
          d,
          fill: colour(level),
          stroke: "rgb(255 255 255 / 0.3)",
          "stroke-width": 0.8,
          "data-part": "levels",
        }),
      );
    if (options.bowl && picture.point.hessian) inner.append(...bowl(picture, [i, j], ground, [sx, sy, wx, wy]));
    ways.forEach((way, method) => {
      if (options.only !== undefined && method !== options.only) return;
      const until = Math.min(picture.k, way.length - 1);
      const points = way.slice(0, until + 1).map((p) => [sx(p[i]), sy(p[j])]);
      inner.append(s("path.nt-halo", { d: path(points), "stroke-width": 5 }));
      inner.append(
        s("path", {
          d: path(points),
          fill: "none",
          stroke: COLOURS[method],
          "stroke-width": 2.4,
          "stroke-dasharray": DASHES[method],
          "data-part": `way${method}`,
        }),
      );
      for (const [x, y] of points.slice(-60, -1)) inner.append(methodMark(method, x, y, 2.6, { "stroke-width": 1 }));
      const [x, y] = points.at(-1);
      inner.append(methodMark(method, x, y, 6));
    });
    if (picture.free) inner.append(methodMark(0, sx(params[i]), sy(params[j]), 6, { fill: "var(--nt-ink)" }));
    if (options.arrow && picture.rate) {
      const next = params.map((w, p) => w - picture.rate * picture.point.gradient[p]);
      inner.append(arrow(sx(params[i]), sy(params[j]), sx(next[i]), sy(next[j]), "nt-step-arrow nt-on-map", "step"));
    }
    const start = ways[0][0];
    grip?.at(
      sx(start[i]),
      sy(start[j]),
      start[i],
      `${names[0]} = ${fmt(start[i], 3)}, ${names[1]} = ${fmt(start[j], 3)}`,
    );
    return [s("clipPath", { id: clip }, s("rect", inside(box))), axes, inner, s("rect.nt-border", inside(box))];
  });
  const put = (x, y) => {
    const start = [...stage.picture().ways[0][0]];
    start[i] = Number(x.toPrecision(4));
    start[j] = Number(y.toPrecision(4));
    stage.change({ start });
  };
  const grip = options.drag
    ? handle(drawn.svg, drawn.top, words.moveStart, {
        drag: (px, py) => {
          const { box, wx, wy } = now;
          const bounded = (share) => Math.max(0, Math.min(1, share));
          put(
            wx[0] + bounded((px - box.left) / (box.right - box.left)) * (wx[1] - wx[0]),
            wy[0] + bounded((box.bottom - py) / (box.bottom - box.top)) * (wy[1] - wy[0]),
          );
        },
        key: (dx, dy) => {
          const [a, b] = [i, j].map((p) => stage.picture().ways[0][0][p]);
          put(a + 0.02 * dx * (now.wx[1] - now.wx[0]), b + 0.02 * dy * (now.wy[1] - now.wy[0]));
        },
      })
    : null;
  const tell = (picture) => {
    const { wx, wy, names } = now;
    const at = ground.values.indexOf(ground.low);
    const named = { a: names[0], b: names[1] };
    const ways = picture.ways.map((way, method) => {
      if (options.only !== undefined && method !== options.only) return "";
      const k = Math.min(picture.k, way.length - 1);
      const [J0, J1] = [picture.values[method][0], picture.values[method][k]];
      const places = { a0: way[0][i], b0: way[0][j], a1: way[k][i], b1: way[k][j] };
      return told(words.tell.mapWay, { ...named, ...places, name: stage.named(method), k, J0, J1 });
    });
    return told(words.tell.map, {
      ...named,
      a0: wx[0],
      a1: wx[1],
      b0: wy[0],
      b1: wy[1],
      a2: wx[0] + ((at % SIZE) / (SIZE - 1)) * (wx[1] - wx[0]),
      b2: wy[0] + (Math.floor(at / SIZE) / (SIZE - 1)) * (wy[1] - wy[0]),
      least: ground.low,
      most: ground.high,
      ways: ways.join(""),
    });
  };
  return { node: h("div", null, drawn.node, legend), renew: drawn.renew, tell };
}

// Newton's quadratic at the point: the same value, slopes and curvatures; its lowest point as a cross.
function bowl({ params, point }, [i, j], { levels }, [sx, sy, wx, wy]) {
  const H = point.hessian;
  const values = Array.from({ length: SIZE * SIZE }, (_, n) => {
    const dx = wx[0] + ((n % SIZE) / (SIZE - 1)) * (wx[1] - wx[0]) - params[i];
    const dy = wy[0] + (Math.floor(n / SIZE) / (SIZE - 1)) * (wy[1] - wy[0]) - params[j];
    const slope = point.gradient[i] * dx + point.gradient[j] * dy;
    return point.value + slope + 0.5 * (H[i][i] * dx * dx + 2 * H[i][j] * dx * dy + H[j][j] * dy * dy);
  });
  const lines = isolines(
    values,
    SIZE,
    levels.filter((_, n) => n % 2 === 0),
    sx,
    sy,
    wx,
    wy,
  );
  const drawn = lines.map(([, d]) => s("path.nt-bowl", { d, "data-part": "bowl" }));
  const det = H[i][i] * H[j][j] - H[i][j] ** 2;
  if (det > 0 && H[i][i] > 0) {
    const x = sx(params[i] - (H[j][j] * point.gradient[i] - H[i][j] * point.gradient[j]) / det);
    const y = sy(params[j] - (H[i][i] * point.gradient[j] - H[i][j] * point.gradient[i]) / det);
    const cross =
      path([
        [x - 6, y - 6],
        [x + 6, y + 6],
      ]) +
      path([
        [x - 6, y + 6],
        [x + 6, y - 6],
      ]);
    drawn.push(s("path.nt-bowl.nt-lowest-point", { d: cross, "data-part": "bowl" }));
  }
  return drawn;
}

/** The loss of both methods by step. */
export function steps(stage, options, words) {
  const drawn = plot(words.steps, { ratio: 0.5, least: 200 }, (svg, width, height, picture) => {
    const log = options.log !== false;
    const turn = (v) => (Number.isFinite(v) && (!log || v > 0) ? (log ? Math.log10(v) : v) : NaN);
    // How far J is above the lowest that a method reached: only so are the last digits seen.
    const best = options.gap ? Math.min(...picture.values.flat().filter(Number.isFinite)) : 0;
    const all = picture.values.map((values) => values.map((v) => v - best));
    const drawn = [...all.entries()].filter(([method]) => options.only === undefined || method === options.only);
    const shown = drawn
      .flatMap(([, values]) => values)
      .map(turn)
      .filter(Number.isFinite);
    let [low, high] = [Math.min(...shown), Math.max(...shown)];
    const space = 0.06 * (high - low) || 0.3;
    [low, high] = [low - space, high + space];
    const last = Math.max(1, ...drawn.map(([, values]) => values.length - 1));
    const { box, sx, sy, axes } = frame(width, height, [0, last], [low, high], {
      x: words.step,
      y: options.gap ? "J − lowest J" : "J",
      log,
    });
    const inner = s("g");
    inner.append(s("line.nt-now", { x1: sx(picture.k), x2: sx(picture.k), y1: box.top, y2: box.bottom }));
    drawn.forEach(([method, values]) => {
      inner.append(
        s("path", {
          d: path(values.map((v, k) => [sx(k), sy(turn(v))])),
          fill: "none",
          stroke: COLOURS[method],
          "stroke-width": 2.3,
          "stroke-dasharray": DASHES[method],
          "data-part": `way${method}`,
        }),
      );
      const k = Math.min(picture.k, values.length - 1);
      if (Number.isFinite(turn(values[k]))) inner.append(methodMark(method, sx(k), sy(turn(values[k])), 5.5));
    });
    return [axes, inner];
  });
  const tell = (picture) =>
    picture.values
      .map((values, method) => {
        if (options.only !== undefined && method !== options.only) return "";
        const k = Math.min(picture.k, values.length - 1);
        const told4 = { first: values[0], now: values[k], last: values.at(-1), k, n: values.length - 1 };
        return told(words.tell.stepsWay, { name: stage.named(method), ...told4 });
      })
      .join("");
  return { node: drawn.node, renew: drawn.renew, tell };
}

/** Each row's pull on one parameter, one after the other: together they are m times the partial derivative. */
export function pulls(stage, options, words) {
  const drawn = plot(words.pulls, { ratio: 0.62, most: 400 }, (svg, width, height, picture) => {
    const { point, param } = picture;
    const m = picture.model.X.length;
    const parts = point.partials.map((row) => row[param] / m);
    const sums = parts.reduce((found, part) => [...found, found.at(-1) + part], [0]);
    const all = [...sums, point.gradient[param]];
    const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
    const space = 0.06 * (high - low) || 0.1;
    const window = [low - space, high + space];
    const { box, sx, axes } = frame(width, height, window, [0, 1], {
      x: `∂J/∂${plain(picture.problem.parameters[param].plain)}`,
      grid: false,
    });
    for (const text of [...axes.querySelectorAll("text")]) if (Number(text.getAttribute("x")) < box.left) text.remove();
    const rows = m + 1;
    const each = (box.bottom - box.top) / rows;
    const drawnRows = s("g");
    drawnRows.append(s("line.nt-now", { x1: sx(0), x2: sx(0), y1: box.top, y2: box.bottom }));
    parts.forEach((part, i) => {
      const [from, to] = [sx(sums[i]), sx(sums[i + 1])];
      const y = box.top + i * each;
      drawnRows.append(
        s("rect", {
          x: Math.min(from, to),
          y: y + 0.15 * each,
          width: Math.max(1, Math.abs(to - from)),
          height: 0.7 * each,
          class: `nt-pull ${part < 0 ? "nt-pull-negative" : ""} ${i === picture.row ? "nt-pull-chosen" : ""}`,
          "data-part": i === picture.row ? "pull pulls" : "pulls",
          onclick: () => stage.show({ row: i }),
        }),
      );
      if (m <= 16)
        drawnRows.append(
          s("text.nt-tiny-text", { x: box.left - 6, y: y + 0.68 * each, "text-anchor": "end" }, String(i + 1)),
        );
    });
    const y = box.top + m * each;
    const [from, to] = [sx(0), sx(point.gradient[param])];
    drawnRows.append(
      s("rect.nt-pull.nt-pull-mean", {
        x: Math.min(from, to),
        y: y + 0.1 * each,
        width: Math.max(1, Math.abs(to - from)),
        height: 0.8 * each,
        "data-part": "mean",
      }),
    );
    return [axes, drawnRows];
  });
  const said = h("div.nt-sum");
  const renew = (picture) => {
    drawn.renew(picture);
    const { param, point, params, rate } = picture;
    const tex = picture.problem.parameters[param].tex;
    const m = picture.model.X.length;
    const g = point.gradient[param];
    said.replaceChildren(
      math(
        `\\frac{\\partial J}{\\partial ${tex}} = \\frac{1}{${m}} \\sum_i \\frac{\\partial L^{(i)}}{\\partial ${tex}} =`,
      ),
      h("b.nt-num", { "data-v": g, "data-part": "mean" }, fmt(g, 5)),
      ...(rate === null
        ? []
        : [
            math(`\\quad ${tex} - \\eta \\, \\frac{\\partial J}{\\partial ${tex}} =`),
            `${fmt(params[param], 5)} − ${fmt(rate, 4)} × ${g < 0 ? `(${fmt(g, 5)})` : fmt(g, 5)} =`,
            h("b.nt-num", { "data-v": params[param] - rate * g, "data-part": "new" }, fmt(params[param] - rate * g, 5)),
          ]),
    );
  };
  const tell = ({ point, param, row, problem }) => {
    const all = point.partials.map((partials) => partials[param] / point.partials.length);
    const most = all.reduce((found, pull, n) => (Math.abs(pull) > Math.abs(all[found]) ? n : found), 0);
    const name = plain(problem.parameters[param].plain);
    const pulls = { most: most + 1, pull: all[most], row: row + 1, own: all[row] };
    return told(words.tell.pulls, { n: all.length, name, g: point.gradient[param], ...pulls });
  };
  return { node: h("div", null, drawn.node, said), renew, tell };
}
