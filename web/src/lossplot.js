// The loss of both methods, step by step; a click goes to that step.
import { fmt, h, measured, memo, replace, s, same, segmented } from "./dom.js";
import { COLOURS, DASHES, frame, methodMark, path, scale } from "./plot.js";

/** @import { App } from "./app.js" */

/** @param {App} app */
export function lossPanel(app, body) {
  const bar = h("div.nt-bar");
  const svg = s("svg", { role: "img", "aria-label": "The loss by step" });
  const stage = h("div.nt-stage", null, svg);
  replace(body, bar, stage);
  const [legend, still, picture] = [memo(), memo(), memo()];
  const widthOf = measured(stage, () => app.redraw(false));
  const [below, moving] = [s("g"), s("g")];
  const readout = s("text.nt-readout", { "text-anchor": "end" });
  replace(svg, below, moving, readout);
  let plot;
  return () => {
    if (!app.run) return;
    const { runs } = app.run;
    legend([app.run.setup.methods, app.view.log, runs.length], () => {
      const focused = bar.contains(document.activeElement);
      replace(
        bar,
        h(
          "div.nt-legend",
          null,
          runs.map((_, method) => h("span", null, swatch(method), app.label(method))),
        ),
        segmented(
          "Scale of the loss",
          app.view.log ? "log" : "linear",
          [
            ["log", "log"],
            ["linear", "linear"],
          ],
          (key) => app.show({ log: key === "log" }),
        ),
      );
      if (focused) bar.querySelector('[aria-pressed="true"]').focus();
    });
    const width = widthOf();
    if (!width) return; // hidden: the observer of its size draws it once it is seen
    const height = Math.round(Math.max(190, Math.min(330, width * 0.72)));
    still([same(app.run), app.view.log, width], () => {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.setAttribute("height", height);
      plot = lines(app, svg, readout, width, height);
      replace(below, plot.axes, plot.lines);
    });
    picture([same(app.run), app.view.step, app.view.log, width], () => marks(app, moving, plot));
  };
}

export function swatch(method) {
  return s(
    "svg.nt-swatch",
    { viewBox: "0 0 26 12", width: 26, height: 12, "aria-hidden": "true" },
    s("line", {
      x1: 0,
      x2: 26,
      y1: 6,
      y2: 6,
      stroke: COLOURS[method],
      "stroke-width": 2.5,
      "stroke-dasharray": method ? "6 3" : "none",
    }),
    methodMark(method, 13, 6, 4, { "stroke-width": 1 }),
  );
}

// The axes and both curves, which the step does not change, and what the pointer does on them.
/** @param {App} app */
function lines(app, svg, readout, width, height) {
  const { runs } = app.run;
  const all = runs.flatMap((run) => run.value).filter((v) => v !== null && (!app.view.log || v > 0));
  const turn = (v) => (v === null || (app.view.log && v <= 0) ? NaN : app.view.log ? Math.log10(v) : v);
  const shown = all.map(turn);
  let [low, high] = shown.length ? [Math.min(...shown), Math.max(...shown)] : [0, 1];
  // What is rounding alone, as at an optimum, is drawn as the level line that it is.
  const flat = !(high - low > 1e-9 * Math.max(app.view.log ? 1 : 0, Math.abs(high)));
  const space = !flat ? 0.06 * (high - low) : app.view.log ? 0.3 : 0.5 * Math.abs(high) || 0.5;
  [low, high] = [low - space, high + space];
  const { box, sx, sy, axes } = frame(width, height, [0, Math.max(1, app.lastStep)], [low, high], {
    x: "step",
    y: "loss J",
    log: app.view.log,
  });
  const drawn = [];
  runs.forEach((run, method) => {
    const d = path(run.value.map((v, step) => [sx(step), sy(turn(v))]));
    drawn.push(
      s("path", { d, fill: "none", stroke: COLOURS[method], "stroke-width": 2.2, "stroke-dasharray": DASHES[method] }),
    );
  });
  svg.setAttribute(
    "aria-label",
    runs
      .map(
        (run, m) =>
          `${app.label(m)}: loss ${fmt(run.value[0])} at step 0, ${fmt(run.value.at(-1))} at step ${run.value.length - 1}`,
      )
      .join("; "),
  );
  const stepAt = (event) => {
    const place = svg.getBoundingClientRect();
    const step = scale(
      [box.left, box.right],
      [0, Math.max(1, app.lastStep)],
    )(((event.clientX - place.left) * width) / place.width);
    return Math.max(0, Math.min(app.lastStep, Math.round(step)));
  };
  // Under the pointer: the step, and the loss of each method there.
  readout.setAttribute("x", box.right - 4);
  readout.setAttribute("y", box.top + 12);
  readout.textContent = "";
  svg.onmousemove = (event) => {
    const step = stepAt(event);
    readout.textContent = `step ${step}: ${runs.map((run) => fmt(run.value[Math.min(step, run.value.length - 1)], 4)).join(" and ")}`;
  };
  svg.onmouseleave = () => {
    readout.textContent = "";
  };
  svg.onclick = (event) => app.go(stepAt(event));
  svg.style.cursor = "pointer";
  return { axes, lines: drawn, box, sx, at: (v) => sy(turn(v)) };
}

// Where both methods stand.
/** @param {App} app */
function marks(app, moving, { box, sx, at }) {
  replace(
    moving,
    s("line.nt-now", { x1: sx(app.view.step), x2: sx(app.view.step), y1: box.top, y2: box.bottom }),
    app.run.runs.map((run, method) => {
      const step = app.stepOf(method);
      const y = at(run.value[step]);
      return Number.isFinite(y) && methodMark(method, sx(step), y, 5.5);
    }),
  );
}
