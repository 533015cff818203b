// The network: what every unit says for the chosen row, over the plane too; and the way of a derivative back through it.
import { fmt, h, replace, s } from "../../dom.js";
import { header, math, set } from "../../formulas.js";
import { path } from "../../plot.js";
import { places, plain } from "../../network.js";
import { forward, slopeOf } from "../mirror.js";
import { heat, plot, signed } from "../plots.js";
import { told } from "../text.js";
import { UNITS } from "./fit.js";

const PICTURE = 22; // points of each side of a unit's picture
const NAMES = {
  tanh: "\\tanh",
  sigmoid: "\\sigma",
  relu: "\\mathrm{relu}",
  softplus: "\\mathrm{softplus}",
  identity: "",
};
const subscript = (k, many) => (many > 1 ? `_{${k + 1}}` : "");
const inputRadius = (radius) => Math.max(18, 0.7 * radius); // room for five letters
const bracket = (value) => (value < 0 ? `(${fmt(value, 4)})` : fmt(value, 4));

/** @param {any} stage */
export function net(stage, options, words) {
  const chosen = { unit: options.unit ?? null, before: null, lit: 0 };
  const hidden = stage.step.setup.model.hidden.length > 0;
  const drawn = plot(
    words.net,
    { ratio: hidden ? 0.6 : 0.42, most: 430, least: hidden ? 290 : 220 },
    (svg, width, height, picture) => draw(stage, picture, width, height, options, chosen, words, () => renew(picture)),
  );
  const under = h("div.nt-unfold", { "aria-live": "polite" });
  const chooser = h("div.nt-seg.nt-params", { role: "group", "aria-label": words.weight });
  const renew = (picture) => {
    drawn.renew(picture);
    if (options.back) {
      renewChooser(stage, picture, chooser, chosen);
      replace(under, backTable(stage, picture, chosen, words));
    } else replace(under, unfolded(picture, chosen, words));
  };
  const tell = ({ model, point, params, row, problem }) => {
    const list = (names, values) => names.map((name, n) => `${name} = ${fmt(values[n], 4)}`).join(", ");
    const activations = hidden ? point.a[0][row] : [];
    const units = activations.map((_, k) => plain(`a_${k + 1}`));
    return told(words.tell.net, {
      row: row + 1,
      inputs: list(problem.inputs, model.X[row]),
      hidden: hidden ? told(words.tell.netHidden, { values: list(units, activations) }) : "",
      yhat: point.a.at(-1)[row][0],
      weights: list(
        problem.parameters.map(({ plain: name }) => plain(name)),
        params,
      ),
    });
  };
  return { node: h("div", null, options.back ? chooser : null, drawn.node, under), renew, tell };
}

function renewChooser(stage, picture, chooser, chosen) {
  const { parameters } = picture.problem;
  if (chooser.childElementCount !== parameters.length)
    replace(
      chooser,
      parameters.map(({ tex, plain: name }, p) =>
        h(
          "button",
          {
            type: "button",
            "aria-label": plain(name),
            onclick: () => {
              chosen.before = chosen.shown?.map(({ id }) => id) ?? null;
              chosen.lit = 99;
              stage.show({ param: p });
            },
          },
          set(h("span.nt-math", { "aria-hidden": "true" }), tex),
        ),
      ),
    );
  [...chooser.children].forEach((node, p) => node.setAttribute("aria-pressed", String(p === picture.param)));
}

// The factors of ∂L/∂w from the loss back to the weight: where each stands, and the product so far.
export function backward(picture, param = picture.param) {
  const { model, point, params, row } = picture;
  const [layer, j, k] = places(picture.problem)[param];
  const last = model.widths.length - 1;
  const spots = [
    {
      id: `n${last}-0`,
      tex: `\\frac{\\partial L}{\\partial z^{[${last}]}}`,
      value: point.deltas[last - 1][row][0],
      said: "∂L/∂z",
    },
  ];
  if (last === 1) spots[0].tex = "\\frac{\\partial L}{\\partial z}";
  if (layer < last) {
    // One hidden layer, as in the lessons: one edge down to the unit, and through its activation.
    const many = model.widths[1];
    const at = places(picture.problem).findIndex(([l, from]) => l === 2 && from === k);
    spots.push({
      id: `e${at}`,
      tex: `\\frac{\\partial z^{[2]}}{\\partial a${subscript(k, many)}^{[1]}} = w${subscript(k, many)}^{[2]}`,
      value: params[at],
      said: "∂z/∂a",
    });
    const a = point.a[0][row][k];
    const name =
      model.activation === "tanh" ? `1 - (a${subscript(k, many)}^{[1]})^2` : `f'(z${subscript(k, many)}^{[1]})`;
    spots.push({
      id: `n1-${k}`,
      tex: `\\frac{\\partial a${subscript(k, many)}^{[1]}}{\\partial z${subscript(k, many)}^{[1]}} = ${name}`,
      value: slopeOf(model, a),
      said: "∂a/∂z",
    });
  }
  const from = layer === 1 ? model.X[row] : point.a[layer - 2][row];
  const fed = j < 0 ? 1 : from[j];
  const z = last === 1 ? "z" : `z${subscript(k, model.widths[layer])}^{[${layer}]}`;
  const what =
    j < 0 ? "1" : layer === 1 ? `x${subscript(j, model.widths[0])}` : `a${subscript(j, model.widths[1])}^{[1]}`;
  spots.push({
    id: `e${param}`,
    tex: `\\frac{\\partial ${z}}{\\partial ${picture.problem.parameters[param].tex}} = ${what}`,
    value: fed,
    said: `∂z/∂${plain(picture.problem.parameters[param].plain)}`,
  });
  let product = 1;
  return spots.map((spot) => {
    product *= spot.value;
    return { ...spot, product };
  });
}

function backTable(stage, picture, chosen, words) {
  const spots = backward(picture);
  chosen.shown = spots;
  const lit = Math.min(chosen.lit, spots.length);
  const shared = new Set(chosen.before ?? []);
  // What is shared is shared from the loss on: the first factor that differs ends it.
  let together = true;
  const rows = spots.slice(0, lit).map((spot) => {
    together = together && shared.has(spot.id);
    return h(
      "tr",
      { class: together ? "nt-reused" : "" },
      h("th", { scope: "row" }, header(`\\displaystyle ${spot.tex}`, spot.said)),
      h("td", null, h("span.nt-num", { "data-v": spot.value }, fmt(spot.value, 5))),
      h("td", null, h("span.nt-num", { "data-v": spot.product }, fmt(spot.product, 5))),
      h("td", null, together ? words.shared : ""),
    );
  });
  const go = (by) => () => {
    chosen.lit = Math.max(0, Math.min(spots.length, Math.min(chosen.lit, spots.length) + by));
    stage.renew();
  };
  return [
    h(
      "div.nt-lesson-foot",
      null,
      h("button", { type: "button", disabled: lit === 0, onclick: go(-1) }, words.edgeBack),
      h("button.nt-primary", { type: "button", disabled: lit === spots.length, onclick: go(1) }, words.edgeOn),
      h(
        "button",
        {
          type: "button",
          onclick: () => {
            chosen.lit = 0;
            chosen.before = null;
            stage.renew();
          },
        },
        words.again,
      ),
    ),
    rows.length > 0 &&
      h(
        "div.nt-scroll",
        { tabindex: "0", role: "group", "aria-label": words.factors },
        h(
          "table.nt-table",
          null,
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              [words.slopeHere, words.itsValue, words.product, ""].map((text) =>
                text ? h("th", { scope: "col" }, text) : h("td"),
              ),
            ),
          ),
          h("tbody", null, rows),
        ),
      ),
  ];
}

function unfolded(picture, chosen, words) {
  const { model, point, params, row } = picture;
  const last = model.widths.length - 1;
  const [layer, k] = chosen.unit ?? [last, 0];
  const from = layer === 1 ? model.X[row] : point.a[layer - 2][row];
  const terms = [];
  const numbers = [];
  places(picture.problem).forEach(([l, j, unit], p) => {
    if (l !== layer || unit !== k) return;
    const { tex } = picture.problem.parameters[p];
    const what = layer === 1 ? `x${subscript(j, model.widths[0])}` : `a${subscript(j, model.widths[1])}^{[1]}`;
    terms.push(j < 0 ? tex : `${tex} ${what}`);
    numbers.push(j < 0 ? bracket(params[p]) : `${bracket(params[p])} \\cdot ${bracket(from[j])}`);
  });
  const [z, a] = [point.z[layer - 1][row][k], point.a[layer - 1][row][k]];
  const mark = last === 1 ? "" : `${subscript(k, model.widths[layer])}^{[${layer}]}`;
  const f = layer === last ? (model.sigmoid ? "\\sigma" : "") : NAMES[model.activation];
  const out = layer === last ? "\\hat{y}" : `a${mark}`;
  const plainTex = (text) => text.replaceAll("−", "-").replace(/·10([⁻⁰¹²³⁴-⁹]+)/g, "\\cdot 10^{$1}");
  return [
    h(
      "div.nt-line",
      null,
      math(`z${mark} = ${terms.join(" + ")} = ${plainTex(numbers.join(" + "))} = ${plainTex(fmt(z, 5))}`),
    ),
    h(
      "div.nt-line",
      null,
      math(f ? `${out} = ${f}(z${mark}) = ${plainTex(fmt(a, 5))}` : `${out} = z${mark} = ${plainTex(fmt(a, 5))}`),
    ),
    model.widths.length > 2 && h("p.nt-caption", null, words.clickUnit),
  ];
}

function draw(stage, picture, width, height, options, chosen, words, renew) {
  const { model, problem, params, point, row } = picture;
  const last = model.widths.length - 1;
  const radius = Math.min(30, height / 9, width / 16);
  const [left, right] = [Math.min(110, width * 0.2), width - Math.min(110, width * 0.2)];
  const at = (layer, unit, bias = false) => {
    const many = model.widths[layer] + (model.intercept && layer < last ? 1 : 0);
    const gap = (height - 20) / many;
    return [left + ((right - left) * layer) / last, 10 + gap * ((bias ? many - 1 : unit) + 0.5)];
  };
  const largest = Math.max(1e-9, ...params.map(Math.abs));
  const area = overPlane(picture);
  const spots = options.back ? backward(picture) : [];
  const lit = new Map(spots.slice(0, options.back ? chosen.lit : 0).map((spot, n) => [spot.id, { ...spot, n }]));
  const [edges, labels, nodes] = [s("g"), s("g"), s("g")];
  places(problem).forEach(([layer, j, k], p) => {
    const [from, to] = [at(layer - 1, j, j < 0), at(layer, k)];
    const d = path([from, to]);
    const glow = lit.get(`e${p}`);
    if (glow) edges.append(s("path", { d, class: "nt-lit-edge" }));
    edges.append(
      s("path", {
        d,
        class: `nt-edge ${params[p] < 0 ? "nt-negative" : "nt-positive"}`,
        "stroke-width": (0.8 + 5 * Math.sqrt(Math.abs(params[p]) / largest)).toFixed(2),
        "data-part": `weight${p} weights layer${layer}`,
      }),
    );
    const [unitLayer, unitPlace] = chosen.unit ?? [last, 0];
    const named = `${last === 1 ? `${plain(problem.parameters[p].plain)} = ` : ""}${fmt(params[p], 3)}`;
    const feeds = !options.back && layer === unitLayer && k === unitPlace;
    const text = glow ? `× ${fmt(glow.value, 3)}` : feeds ? named : "";
    if (text) {
      // Beside what the edge comes from, where the edges into one unit are farthest apart.
      const away = (j < 0 ? 24 : layer === 1 ? inputRadius(radius) + 14 : 1.25 * radius + 10) + 3.4 * text.length;
      const where = away / Math.hypot(to[0] - from[0], to[1] - from[1]);
      const [x, y] = [from[0] + where * (to[0] - from[0]), from[1] + where * (to[1] - from[1])];
      const wide = 6.6 * text.length + 4;
      labels.append(
        s("rect.nt-edge-plate", { x: x - wide / 2, y: y - 8, width: wide, height: 16, rx: 4 }),
        s(
          "text",
          { x, y: y + 4, "text-anchor": "middle", class: `nt-edge-label ${glow ? "nt-chosen-label" : ""}` },
          text,
        ),
      );
    }
  });
  // The pulse runs along what the last step back has reached.
  const latest = spots[Math.min(chosen.lit, spots.length) - 1];
  if (options.back && latest?.id.startsWith("e")) edges.append(pulse(picture, latest.id, at));
  model.widths.forEach((many, layer) => {
    for (let k = 0; k < many; k++) {
      const [x, y] = at(layer, k);
      const glow = lit.get(`n${layer}-${k}`);
      const picked = !options.back && layer > 0 && String(chosen.unit ?? [last, 0]) === String([layer, k]);
      const value = layer === 0 ? model.X[row][k] : point.a[layer - 1][row][k];
      nodes.append(
        unit({ x, y, radius, layer, k, last, picture, value, glow, picked, options, chosen, renew, words, area }),
      );
      if (layer === 0)
        nodes.append(s("text.nt-unit-name", { x: x - radius - 6, y: y + 4, "text-anchor": "end" }, problem.inputs[k]));
      if (layer === last)
        nodes.append(s("text.nt-unit-name", { x: x + radius + 6, y: y + 4, "data-part": "yhat" }, "ŷ"));
    }
    if (model.intercept && layer < last) {
      const [x, y] = at(layer, 0, true);
      nodes.append(
        s("rect.nt-unit.nt-input", { x: x - 11, y: y - 11, width: 22, height: 22, rx: 4 }),
        s("text.nt-unit-value", { x, y: y + 4, "text-anchor": "middle" }, "1"),
      );
    }
  });
  return [edges, nodes, labels];
}

// What every unit says at each point of a small grid over the plane.
function overPlane({ model, params, view }) {
  if (model.X[0].length !== 2) return [];
  const [xw, yw] = view.windows;
  const at = (n, [low, high]) => low + (n / (PICTURE - 1)) * (high - low);
  return Array.from(
    { length: PICTURE * PICTURE },
    (_, n) => forward(model, params, [at(n % PICTURE, xw), at(Math.floor(n / PICTURE), yw)]).a,
  );
}

function pulse(picture, id, at) {
  const [layer, j, k] = places(picture.problem)[Number(id.slice(1))];
  const [to, from] = [at(layer - 1, j, j < 0), at(layer, k)];
  const dot = s("circle.nt-pulse", { r: 6 });
  if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches)
    dot.animate?.(
      [{ transform: `translate(${from[0]}px, ${from[1]}px)` }, { transform: `translate(${to[0]}px, ${to[1]}px)` }],
      { duration: 700, easing: "ease-in-out", fill: "forwards" },
    );
  else dot.setAttribute("transform", `translate(${to[0]} ${to[1]})`);
  return dot;
}

// A unit: the picture of its activation over the plane, its value, and below it the derivative that has reached it.
function unit({ x, y, radius, layer, k, last, picture, value, glow, picked, options, chosen, renew, words, area }) {
  const { model } = picture;
  const hidden = layer > 0 && layer < last;
  const group = s("g", { "data-part": layer === 0 ? "inputs" : layer === last ? "output" : `unit${k + 1} units` });
  const size = radius * 1.7;
  if (layer > 0 && model.X[0].length === 2) {
    const said = (a, b) => area[Math.round(b * (PICTURE - 1)) * PICTURE + Math.round(a * (PICTURE - 1))][layer - 1][k];
    const colour = (v) => signed(layer === last ? 2 * v - 1 : v);
    group.append(
      s("image", {
        href: heat(PICTURE, said, colour),
        x: x - size / 2,
        y: y - size / 2,
        width: size,
        height: size,
        preserveAspectRatio: "none",
      }),
    );
    group.append(
      s("rect", {
        x: x - size / 2,
        y: y - size / 2,
        width: size,
        height: size,
        rx: 4,
        class: "nt-unit-frame",
        stroke: hidden ? UNITS[k % UNITS.length] : "var(--nt-ink)",
      }),
    );
    group.append(s("text.nt-unit-value.nt-on-picture", { x, y: y + 4, "text-anchor": "middle" }, fmt(value, 2)));
  } else {
    group.append(
      s("circle", {
        cx: x,
        cy: y,
        r: layer === 0 ? inputRadius(radius) : radius,
        class: layer === 0 ? "nt-unit nt-input" : "nt-unit",
      }),
    );
    if (layer === last && last === 1 && model.sigmoid)
      group.append(s("path.nt-thin", { d: sigmoidIn(x, y - radius * 0.45, radius * 0.5) }));
    else if (layer > 0)
      group.append(s("text.nt-unit-name", { x, y: y - radius * 0.3, "text-anchor": "middle" }, hidden ? "" : "Σ"));
    group.append(
      s(
        "text.nt-unit-value",
        { x, y: layer === 0 ? y + 4 : y + radius * 0.45, "text-anchor": "middle" },
        fmt(value, 3),
      ),
    );
  }
  if (picked)
    group.append(
      s("rect.nt-picked", { x: x - size / 2 - 4, y: y - size / 2 - 4, width: size + 8, height: size + 8, rx: 7 }),
    );
  if (glow) {
    group.append(
      s("rect.nt-picked.nt-lit-node", {
        x: x - size / 2 - 4,
        y: y - size / 2 - 4,
        width: size + 8,
        height: size + 8,
        rx: 7,
      }),
    );
    group.append(
      s(
        "text.nt-edge-label.nt-chosen-label",
        { x, y: hidden && k === 0 ? y - size / 2 - 10 : y + size / 2 + 18, "text-anchor": "middle" },
        `${glow.n ? "× " : ""}${fmt(glow.value, 3)}${glow.n ? ` = ${fmt(glow.product, 3)}` : ""}`,
      ),
    );
  }
  if (!options.back && layer > 0) {
    const choose = () => {
      chosen.unit = [layer, k];
      renew();
    };
    group.setAttribute("role", "button");
    group.setAttribute("tabindex", "0");
    group.setAttribute("aria-label", `${words.unit} ${layer === last ? "ŷ" : k + 1}: ${fmt(value, 3)}`);
    group.classList.add("nt-clickable");
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      const svg = group.ownerSVGElement;
      const place = [...svg.querySelectorAll("[role=button]")].indexOf(group);
      choose();
      svg.querySelectorAll("[role=button]")[place]?.focus();
    });
  }
  return group;
}

const sigmoidIn = (x, y, r) =>
  path(
    Array.from({ length: 21 }, (_, n) => [
      x - r + (n / 20) * 2 * r,
      y + r * 0.6 - (r * 1.2) / (1 + Math.exp(-(n - 10) / 1.7)),
    ]),
  );
