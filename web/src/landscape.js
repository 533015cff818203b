// The loss as a landscape over two parameters, or along one; the ways of both methods on it.
import { fmt, h, measured, memo, num, replace, s, same, segmented, select, unique } from "./dom.js";
import { math } from "./formulas.js";
import { handle } from "./handle.js";
import {
  COLOURS,
  DASHES,
  frame,
  isolines,
  methodMark,
  path,
  rampKey,
  scale,
  tickTexts,
  ticks,
  viridis,
} from "./plot.js";
import { plain } from "./network.js";

/** @import { App } from "./app.js" */

/** @param {App} app */
export function landscapePanel(app, body) {
  const bar = h("div.nt-bar");
  const [drawn, top] = [s("g"), s("g")];
  const svg = s("svg", { role: "group", "aria-label": "The loss over the parameters" }, drawn, top);
  const canvas = h("canvas", { role: "img", tabindex: "0", "aria-label": "The loss as a surface" });
  const key = h("div.nt-key");
  const stage = h("div.nt-stage", null, svg, canvas);
  const caption = h("p.nt-caption");
  replace(body, bar, stage, key, caption);
  const turn = { angle: 0.7, tilt: 0.95 };
  rotate(canvas, turn, () => app.redraw(false));
  const [picture, choices, ground] = [memo(), memo(), memo()];
  const widthOf = measured(stage, () => app.redraw(false));
  const land = { clip: unique("clip"), ground: memo(), ways: s("g"), drawn, grip: gripOf(app, svg, top) };
  return () => {
    if (!app.run) return;
    const kind = app.view.landscape;
    const width = widthOf();
    if (!width) return; // hidden: the observer of its size draws it once it is seen
    const still = app.offline || app.gone;
    const height = Math.round(Math.max(220, Math.min(340, width * 0.78)));
    ground([width, height, kind], () => {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("height", height);
      svg.style.display = kind === "surface" ? "none" : "";
      canvas.style.display = kind === "surface" ? "" : "none";
    });
    const { view } = app;
    choices([same(app.run), kind, view.pair, view.param, view.bowl], () => tools(app, bar));
    const bowl = kind === "contour" && view.bowl ? app.bowl() : null;
    const found = kind === "one" ? app.profile() : app.surface();
    picture(
      [
        same(app.run),
        kind,
        same(found),
        found?.stale,
        same(bowl),
        view.bowl,
        view.step,
        view.active,
        view.param,
        width,
        turn,
        app.gone,
      ],
      () => {
        if (still || !found) land.grip.hide(still);
        replace(key, found && kind !== "one" && rampKey([found.high, found.low], "loss J"));
        if (kind === "one") alongOne(app, found, svg, caption, width, height, land);
        else if (kind === "surface") {
          hill(app, found, canvas, caption, width, height, turn, land);
        } else map(app, found, svg, caption, width, height, land, bowl);
      },
    );
  };
}

// The handle of the start: it moves at once, and both methods start anew where it is dropped, or where the keys have
// left it for a moment.
const REST = 400;
/** @param {App} app */
function gripOf(app, svg, top) {
  /** @type {any} how the picture that is shown places the handle, and what it changes */
  let place = null;
  let params = null;
  let moved = false;
  let timer;
  const move = (next) => {
    if (!place || !next.every(Number.isFinite)) return;
    params = next.map((w) => Number(w.toPrecision(4)));
    moved = true;
    put();
  };
  const put = () => {
    const here = place.named(params);
    grip.at(...place.at(params), here[0], here[1]);
  };
  const grip = handle(svg, top, "Start of the methods", {
    drag: (x, y) => place && move(place.from(x, y, params)),
    key: (dx, dy) => place && move(place.by(dx, dy, params)),
    drop: () => {
      if (!moved) return;
      moved = false;
      clearTimeout(timer);
      const start = params;
      const go = () =>
        app.change((setup) => {
          setup.start = { params: start };
        });
      if (grip.node.dragging) go();
      else timer = setTimeout(go, REST);
    },
  });
  grip.node.style.display = "none";
  return {
    /** While its picture is computed it is not seen, and keeps the focus and hears the keys. */
    hide: (away) => {
      if (away) place = null;
      grip.node.classList.add("nt-unseen");
      if (away) grip.node.style.display = "none";
    },
    /** Where the handle stands while nobody moves it, and how the picture turns places into parameters and back. */
    show: (next, given) => {
      if (grip.node.dragging) return;
      place = next;
      params = [...given];
      grip.node.classList.remove("nt-unseen");
      put();
    },
  };
}

/** @param {App} app */
function tools(app, bar) {
  const { parameters } = app.run.problem;
  const options = parameters.map((p, i) => [i, plain(p.plain)]);
  const kinds = [
    ["contour", "Contour"],
    ["surface", "Surface"],
    ["one", "One parameter"],
  ].filter(([key]) => key === "one" || parameters.length > 1);
  const at = bar.contains(document.activeElement) ? document.activeElement : null;
  const focused = at?.getAttribute("aria-label")
    ? `[aria-label="${at.getAttribute("aria-label")}"]`
    : at
      ? '[aria-pressed="true"]'
      : null;
  const pair = (place) =>
    select(
      place ? "Vertical parameter" : "Horizontal parameter",
      app.view.pair[place],
      options.filter(([i]) => i !== app.view.pair[1 - place]),
      (value) => {
        const next = [...app.view.pair];
        next[place] = Number(value);
        app.show({ pair: next });
      },
    );
  replace(
    bar,
    segmented("Kind of picture", app.view.landscape, kinds, (landscape) => app.show({ landscape })),
    app.view.landscape === "one"
      ? select("Parameter of the curve", app.view.param, options, (value) => app.show({ param: Number(value) }))
      : parameters.length > 1 && h("span.nt-pair", null, pair(0), " × ", pair(1)),
    app.view.landscape === "contour" &&
      parameters.length > 1 &&
      h(
        "label.nt-check",
        null,
        h("input", {
          type: "checkbox",
          checked: app.view.bowl,
          "aria-label": "Newton's bowl",
          onchange: (event) => app.show({ bowl: event.target.checked }),
        }),
        "Newton's bowl",
      ),
  );
  if (focused) bar.querySelector(focused)?.focus();
}

/** @param {App} app */
function others(app) {
  const count = app.run.problem.parameters.length - 2;
  return count === 1 ? "the third parameter is" : `the other ${count} parameters are`;
}

/** @param {App} app */
function note(app, surface) {
  if (!surface)
    return app.offline ? "No picture was saved for this pair of parameters." : "The loss is being computed …";
  const start = app.offline ? "" : " Drag the white handle, or click, to start both methods elsewhere.";
  const flat =
    surface.high - surface.low <= 1e-9 * Math.abs(surface.high)
      ? " Within it the loss is the same everywhere to nine digits."
      : "";
  const outside = away(app, surface) ? " The method stands outside of it." : "";
  if (!surface.slice) return `The whole loss: there are two parameters.${outside}${flat}${start}`;
  const saved = surface.savedAt === undefined ? app.stepOf(app.view.active) : surface.savedAt;
  return `A slice: ${others(app)} held as at step ${saved} of ${app.label(app.view.active)}. It changes from step to step, so only the point where the method stands is drawn.${outside}${flat}${start}`;
}

/** @param {App} app */
const away = (app, { pair, windows }) =>
  pair.some((index, n) => app.params[index] < windows[n][0] || app.params[index] > windows[n][1]);

/** @param {App} app */
function map(app, surface, svg, caption, width, height, land, bowl) {
  replace(caption, note(app, surface), app.view.bowl && said(bowl));
  if (!surface) {
    land.ground(null, () => {});
    return replace(land.drawn, s("text.nt-waiting", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "…"));
  }
  // The ground stands as long as it is the same surface; the ways on it change with the step.
  land.ground([same(surface.of ?? surface), width, height, "map", app.offline], () => {
    land.scales = drawMap(app, surface, svg, width, height, land);
  });
  land.bands.classList.toggle("nt-stale", Boolean(surface.stale));
  drawWays(app, surface, land, bowl);
}

const said = (bowl) =>
  ` White dashes: Newton's bowl at the same levels, ${bowl && !bowl.lowest ? "which has no lowest point here." : "lowest at the cross."}`;

/** @param {App} app */
function drawMap(app, surface, svg, width, height, land) {
  const {
    pair: [i, j],
    windows: [wx, wy],
    size,
    values,
    levels,
    low,
    high,
  } = surface;
  const { parameters } = app.run.problem;
  const { box, sx, sy, axes } = frame(width, height, wx, wy, {
    x: plain(parameters[i].plain),
    y: plain(parameters[j].plain),
    grid: false,
  });
  const filled = values.map((v) => (v === null ? high : v));
  const colour = (value) => `rgb(${viridis(1 - Math.sqrt(Math.max(0, (value - low) / (high - low || 1)))).join(" ")})`;
  const inside = { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top };
  const clip = s("clipPath", { id: land.clip }, s("rect", inside));
  const clipped = { "clip-path": `url(#${land.clip})` };
  land.bands = s("g", clipped, s("rect", { ...inside, fill: colour(low) }));
  for (const [level, d] of isolines(filled, size, levels, sx, sy, wx, wy)) {
    land.bands.append(
      s("path", {
        d,
        fill: colour(level),
        stroke: "rgb(255 255 255 / 0.28)",
        "stroke-width": 0.8,
        "fill-rule": "evenodd",
      }),
    );
  }
  land.ways = s("g", clipped);
  replace(land.drawn, clip, axes, land.bands, s("rect.nt-border", inside), land.ways);
  svg.setAttribute(
    "aria-label",
    `Contours of the loss over ${plain(parameters[i].plain)} and ${plain(parameters[j].plain)}, from ${fmt(low)} to ${fmt(high)}`,
  );
  svg.onclick = app.offline
    ? null
    : (event) => {
        const place = svg.getBoundingClientRect();
        const unit = width / place.width;
        const x = (event.clientX - place.left) * unit;
        const y = (event.clientY - place.top) * unit;
        if (x < box.left || x > box.right || y < box.top || y > box.bottom) return;
        const params = [...app.params];
        params[i] = Number(scale([box.left, box.right], wx)(x).toPrecision(4));
        params[j] = Number(scale([box.bottom, box.top], wy)(y).toPrecision(4));
        app.change((setup) => {
          setup.start = { params };
        });
      };
  svg.style.cursor = app.offline ? "" : "crosshair";
  return { sx, sy, box };
}

/** @param {App} app */
function drawWays(app, surface, { ways, scales: { sx, sy, box }, grip }, bowl) {
  const [i, j] = surface.pair;
  const [wx, wy] = surface.windows;
  if (!app.offline && !app.gone) {
    const with2 = (params, a, b) => params.map((w, p) => (p === i ? a : p === j ? b : w));
    const bounded = (value, [low, high]) => Math.max(low, Math.min(high, value));
    const names = [i, j].map((p) => plain(app.run.problem.parameters[p].plain));
    grip.show(
      {
        at: (p) => [sx(p[i]), sy(p[j])],
        named: (p) => [p[i], `${names[0]} = ${fmt(p[i], 4)}, ${names[1]} = ${fmt(p[j], 4)}`],
        from: (x, y, p) =>
          with2(p, bounded(scale([box.left, box.right], wx)(x), wx), bounded(scale([box.bottom, box.top], wy)(y), wy)),
        by: (dx, dy, p) => with2(p, p[i] + 0.02 * dx * (wx[1] - wx[0]), p[j] + 0.02 * dy * (wy[1] - wy[0])),
      },
      surface.slice ? app.params : app.run.runs[0].params[0],
    );
  }
  const drawn = [];
  if (bowl && bowl.values.every((v) => v !== null)) {
    const lines = isolines(
      bowl.values,
      bowl.size,
      surface.levels.filter((_, n) => n % 2 === 0),
      sx,
      sy,
      ...bowl.windows,
    );
    drawn.push(...lines.map(([, d]) => s("path.nt-bowl", { d })));
    if (bowl.lowest) {
      const [x, y] = [sx(bowl.lowest[0]), sy(bowl.lowest[1])];
      drawn.push(
        s("path.nt-bowl.nt-lowest-point", {
          d:
            path([
              [x - 6, y - 6],
              [x + 6, y + 6],
            ]) +
            path([
              [x - 6, y + 6],
              [x + 6, y - 6],
            ]),
        }),
      );
    }
  }
  app.run.runs.forEach((run, method) => {
    if (surface.slice && method !== app.view.active) return;
    const points = run.params.slice(0, app.stepOf(method) + 1).map((p) => [sx(p[i]), sy(p[j])]);
    if (!surface.slice) {
      const d = path(points);
      drawn.push(
        s("path.nt-halo", { d, "stroke-width": 5 }),
        s("path", {
          d,
          fill: "none",
          stroke: COLOURS[method],
          "stroke-width": 2.4,
          "stroke-dasharray": DASHES[method],
        }),
      );
      const dots = points.length <= 60 ? points : points.slice(-60);
      for (const [x, y] of dots.slice(0, -1)) drawn.push(methodMark(method, x, y, 2.6, { "stroke-width": 1 }));
    }
    const [x, y] = points.at(-1);
    drawn.push(methodMark(method, x, y, 6));
  });
  replace(ways, drawn);
}

/** @param {App} app */
function alongOne(app, found, svg, caption, width, height, land) {
  land.ground(null, () => {});
  svg.onclick = null;
  svg.style.cursor = "";
  const parameter = app.run.problem.parameters[app.view.param];
  if (!found) {
    replace(caption, app.offline ? "No curve was saved for this step." : "The loss is being computed …");
    if (app.offline) replace(land.drawn);
    return;
  }
  const values = found.value.filter((v) => v !== null);
  if (values.length < 2) {
    land.grip.hide(true);
    replace(land.drawn);
    return replace(caption, "The loss is not finite around here.");
  }
  const low = Math.min(...values);
  const high = Math.max(...values);
  const space = 0.15 * (high - low) || 1;
  const { box, sx, sy, axes } = frame(width, height, [found.w[0], found.w.at(-1)], [low - space, high + space], {
    x: plain(parameter.plain),
    y: "J",
  });
  const clip = s(
    "clipPath",
    { id: land.clip },
    s("rect", { x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }),
  );
  const drawn = s("g", { "clip-path": `url(#${land.clip})` });
  const curve = (ys, css) =>
    drawn.append(s("path", { class: css, d: path(found.w.map((w, i) => [sx(w), ys[i] === null ? NaN : sy(ys[i])])) }));
  curve(found.parabola, "nt-parabola");
  curve(found.tangent, "nt-tangent");
  curve(found.value, "nt-curve");
  if (found.lowest !== null)
    drawn.append(s("line.nt-lowest", { x1: sx(found.lowest), x2: sx(found.lowest), y1: box.top, y2: box.bottom }));
  drawn.append(methodMark(app.view.active, sx(found.here[0]), sy(found.here[1]), 6));
  replace(land.drawn, clip, axes, drawn);
  if (!app.offline && !app.gone) {
    const index = app.view.param;
    const name = plain(parameter.plain);
    const window = [found.w[0], found.w.at(-1)];
    const bounded = (w) => Math.max(window[0], Math.min(window[1], w));
    const with1 = (params, w) => params.map((value, p) => (p === index ? bounded(w) : value));
    // On the curve: between the two points of it that are nearest.
    const height1 = (w) => {
      const at = ((w - window[0]) / (window[1] - window[0])) * (found.w.length - 1);
      const n = Math.max(0, Math.min(found.w.length - 2, Math.floor(at)));
      return found.value[n] + (at - n) * (found.value[n + 1] - found.value[n]);
    };
    land.grip.show(
      {
        at: (p) => [sx(p[index]), sy(height1(p[index]))],
        named: (p) => [p[index], `${name} = ${fmt(p[index], 4)}, J = ${fmt(height1(p[index]), 4)}`],
        from: (x, _, p) => with1(p, scale([box.left, box.right], window)(x)),
        by: (dx, _, p) => with1(p, p[index] + 0.02 * dx * (window[1] - window[0])),
      },
      app.params,
    );
  }
  svg.setAttribute("aria-label", `The loss along ${plain(parameter.plain)} with its tangent and parabola`);
  const slope = app.run.problem.parameters.length > 1 ? "All other parameters are held. " : "";
  replace(
    caption,
    app.offline ? "" : "Drag the point to start both methods from there. ",
    slope,
    "The tangent is all that gradient descent knows: slope ",
    num(found.slope),
    ". Newton's parabola also knows the curvature ",
    num(found.curvature),
    found.lowest === null
      ? "; it is not positive here, so the parabola has no lowest point."
      : h("span", null, " and is lowest at ", math(parameter.tex), " = ", num(found.lowest), "."),
  );
}

// --- the surface: painter's algorithm, far facets first ---

function rotate(canvas, turn, changed) {
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    turn.angle += (event.clientX - last[0]) / 120;
    turn.tilt = Math.max(0.3, Math.min(1.4, turn.tilt - (event.clientY - last[1]) / 200));
    last = [event.clientX, event.clientY];
    changed();
  });
  canvas.addEventListener("pointerup", () => {
    last = null;
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { a: -0.15, d: 0.15 }[event.key];
    if (!by) return;
    turn.angle += by;
    changed();
  });
}

/** @param {App} app */
function hill(app, surface, canvas, caption, width, height, turn, land) {
  replace(
    caption,
    note(app, surface).replace(/ ?Drag the white handle, or click, to start both methods elsewhere\./, ""),
    " Drag to turn it, or press A and D.",
  );
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = "100%";
  const context = canvas.getContext("2d");
  if (!surface) return;
  canvas.setAttribute("aria-label", `The loss as a surface, from ${fmt(surface.low)} to ${fmt(surface.high)}`);
  const {
    low,
    high,
    windows: [wx, wy],
    pair: [i, j],
  } = surface;
  const lift = (value) => Math.sqrt(Math.max(0, ((value ?? high) - low) / (high - low || 1)));
  const [cos, sin, tilt] = [Math.cos(turn.angle), Math.sin(turn.angle), turn.tilt];
  const unit = Math.min(width * 0.62, height * 0.78);
  const project = (a, b, up) => {
    const [x, y] = [a - 0.5, b - 0.5];
    const depth = x * sin + y * cos;
    return [
      width / 2 + (x * cos - y * sin) * unit,
      height * 0.64 - depth * unit * Math.cos(tilt) - up * unit * 0.52 * Math.sin(tilt),
      depth,
    ];
  };
  // The ground is painted once for a surface and a turn; the ways on it change with the step.
  land.ground([same(surface.of ?? surface), canvas.width, canvas.height, turn], () => {
    land.painted = new OffscreenCanvas(canvas.width, canvas.height);
    paintHill(land.painted.getContext("2d"), surface, project, lift, ratio);
  });
  context.drawImage(land.painted, 0, 0);
  context.scale(ratio, ratio);
  const names = [i, j].map((index) => plain(app.run.problem.parameters[index].plain));
  paintAxes(canvas, context, project, [wx, wy], names, turn);
  paintWays(app, surface, canvas, context, (p, value) =>
    project(scale(wx, [0, 1])(p[i]), scale(wy, [0, 1])(p[j]), lift(value)),
  );
}

function paintHill(context, { size, values }, project, lift, ratio) {
  context.scale(ratio, ratio);
  const facets = [];
  for (let r = 0; r < size - 1; r++)
    for (let c = 0; c < size - 1; c++) {
      const corner = (y, x) => project(x / (size - 1), y / (size - 1), lift(values[y * size + x]));
      const corners = [corner(r, c), corner(r, c + 1), corner(r + 1, c + 1), corner(r + 1, c)];
      facets.push([corners[0][2] + corners[2][2], corners, lift(values[r * size + c])]);
    }
  facets.sort((a, b) => b[0] - a[0]);
  for (const [, corners, up] of facets) {
    context.beginPath();
    corners.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.fillStyle = `rgb(${viridis(1 - up).join(" ")})`;
    context.fill();
    context.strokeStyle = "rgb(255 255 255 / 0.18)";
    context.lineWidth = 0.6;
    context.stroke();
  }
}

// A colour of the style sheet as the canvas takes it: the scheme, light or dark, is resolved by the browser.
function colourOf(canvas, name) {
  canvas.style.color = `var(${name})`;
  return getComputedStyle(canvas).color;
}

// The two edges of the ground that are in front, with numbers and names; and the height's name.
function paintAxes(canvas, context, project, windows, names, turn) {
  const style = getComputedStyle(canvas);
  context.fillStyle = colourOf(canvas, "--nt-ink");
  context.strokeStyle = colourOf(canvas, "--nt-quiet");
  context.lineWidth = 1;
  context.font = `11px ${style.fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const near = (a, b) => project(a, b, 0);
  // In front is what has less depth: x·sin + y·cos.
  const [front, side] = [Math.cos(turn.angle) > 0 ? 0 : 1, Math.sin(turn.angle) > 0 ? 0 : 1];
  const edges = [
    (share, out) => near(share, front + (front ? out : -out)),
    (share, out) => near(side + (side ? out : -out), share),
  ];
  edges.forEach((at, axis) => {
    const marks = ticks(windows[axis], 4);
    const texts = tickTexts(marks);
    const place = scale(windows[axis], [0, 1]);
    context.beginPath();
    context.moveTo(...at(0, 0).slice(0, 2));
    context.lineTo(...at(1, 0).slice(0, 2));
    marks.forEach((value) => {
      context.moveTo(...at(place(value), 0).slice(0, 2));
      context.lineTo(...at(place(value), 0.03).slice(0, 2));
    });
    context.stroke();
    marks.forEach((value, n) => context.fillText(texts[n], ...at(place(value), 0.09).slice(0, 2)));
    context.font = `bold 12px ${style.fontFamily}`;
    context.fillText(names[axis], ...at(0.5, 0.2).slice(0, 2));
    context.font = `11px ${style.fontFamily}`;
  });
  context.font = `bold 12px ${style.fontFamily}`;
  context.textAlign = "left";
  context.fillText("J upwards", 6, 12);
}

/** @param {App} app */
function paintWays(app, surface, canvas, context, place) {
  app.run.runs.forEach((run, method) => {
    if (surface.slice && method !== app.view.active) return;
    const until = app.stepOf(method);
    const from = surface.slice ? until : 0;
    const points = run.params.slice(from, until + 1).map((p, n) => place(p, run.value[from + n]));
    const colour = colourOf(canvas, method ? "--nt-b" : "--nt-a");
    for (const [stroke, line] of [
      ["#fff", 5],
      [colour, 2.5],
    ]) {
      context.strokeStyle = stroke;
      context.lineWidth = line;
      context.beginPath();
      points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.stroke();
    }
    const [x, y] = points.at(-1);
    context.beginPath();
    if (method) context.rect(x - 5, y - 5, 10, 10);
    else context.arc(x, y, 6, 0, 7);
    context.fillStyle = colour;
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.fill();
    context.stroke();
  });
}
