// A small evaluation in the browser, of perceptrons and networks of one output: what is drawn while something is dragged.
// At rest the lessons show the engine's numbers; the tests compare both for every step of every lesson.

/** @import { ProblemFacts, Setup } from "../../types/messages" */

/**
 * A model with its rows: all that the mirror computes from.
 * @typedef {object} Model
 * @property {number[]} widths inputs, hidden units, outputs
 * @property {string} activation of the hidden layers
 * @property {boolean} intercept
 * @property {boolean} sigmoid whether ŷ = σ(z), and otherwise ŷ = z
 * @property {boolean} squared whether L = ½(ŷ - y)², and otherwise the log loss
 * @property {number} alpha penalty: α/(2m) Σ w² is added to J
 * @property {number} half what stands before the square: ½, or 1 where a lesson leaves it out
 * @property {number[][]} X
 * @property {number[]} y
 */

/**
 * @param {ProblemFacts} problem
 * @param {Setup} setup
 * @returns {Model}
 */
export const modelOf = (problem, setup) => ({
  widths: problem.widths,
  activation: problem.activation,
  intercept: problem.intercept,
  sigmoid: problem.task === "classification",
  squared: problem.loss !== "log_loss",
  alpha: setup.model.alpha ?? 0,
  half: 0.5,
  X: problem.X,
  y: problem.labels,
});

const identity = (z) => z;
export const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/** @type {Record<string, [(z: number) => number, (a: number) => number]>} the activation, and its slope from a */
const ACTIVATIONS = {
  tanh: [Math.tanh, (a) => 1 - a * a],
  sigmoid: [sigmoid, (a) => a * (1 - a)],
  relu: [(z) => Math.max(0, z), (a) => (a > 0 ? 1 : 0)],
  softplus: [(z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), (a) => 1 - Math.exp(-a)],
  identity: [identity, () => 1],
};

/** The slope of the activation of hidden units where it is a. */
export const slopeOf = (model, a) => ACTIVATIONS[model.activation][1](a);

// Where each weight sits in the flat vector: layer by layer, first W (inputs × units, row by row), then b.
const layouts = new WeakMap();
/** @param {Model} model */
function layout(model) {
  if (layouts.has(model)) return layouts.get(model);
  const found = [];
  let at = 0;
  for (let layer = 1; layer < model.widths.length; layer++) {
    const [below, units] = [model.widths[layer - 1], model.widths[layer]];
    found.push({ below, units, W: at, b: model.intercept ? at + below * units : -1 });
    at += below * units + (model.intercept ? units : 0);
  }
  layouts.set(model, found);
  return found;
}

/**
 * z and a of every layer for one row; the last a is ŷ.
 * @param {Model} model
 * @param {number[]} params
 * @param {number[]} x
 */
export function forward(model, params, x) {
  const [z, a] = [[], []];
  const layers = layout(model);
  let from = x;
  for (let l = 0; l < layers.length; l++) {
    const { below, units, W, b } = layers[l];
    const last = l === layers.length - 1;
    const act = last ? (model.sigmoid ? sigmoid : identity) : ACTIVATIONS[model.activation][0];
    const [sums, out] = [[], []];
    for (let k = 0; k < units; k++) {
      let sum = 0;
      for (let j = 0; j < below; j++) sum += from[j] * params[W + j * units + k];
      sums.push(b < 0 ? sum : sum + params[b + k]);
      out.push(act(sums[k]));
    }
    z.push(sums);
    a.push(out);
    from = out;
  }
  return { z, a };
}

/** L of one row by z. */
export function lossAt(model, z, y) {
  if (!model.squared) return Math.max(z, 0) - y * z + Math.log1p(Math.exp(-Math.abs(z)));
  const error = (model.sigmoid ? sigmoid(z) : z) - y;
  return model.half * error * error;
}

/** ∂L/∂z of one row. */
export function slopeAt(model, z, y) {
  const mean = model.sigmoid ? sigmoid(z) : z;
  if (!model.squared) return mean - y;
  return 2 * model.half * (mean - y) * (model.sigmoid ? mean * (1 - mean) : 1);
}

/** ∂²L/∂z² of one row. */
export function curvatureAt(model, z, y) {
  if (!model.sigmoid) return 2 * model.half;
  const p = sigmoid(z);
  const slope = p * (1 - p);
  return model.squared ? 2 * model.half * (slope * slope + (p - y) * slope * (1 - 2 * p)) : slope;
}

/** J at the parameters. */
export function valueAt(model, params) {
  let sum = 0;
  model.X.forEach((x, i) => {
    sum += lossAt(model, forward(model, params, x).z.at(-1)[0], model.y[i]);
  });
  return (sum + penalty(model, params)) / model.X.length;
}

function penalty(model, params) {
  if (!model.alpha) return 0;
  let sum = 0;
  for (const { below, units, W } of layout(model)) for (let n = 0; n < below * units; n++) sum += params[W + n] ** 2;
  return 0.5 * model.alpha * sum;
}

/**
 * All numbers of one point, as the engine's "point" names them, and each row's own partials.
 * @param {Model} model
 * @param {number[]} params
 */
export function pointAt(model, params) {
  const layers = layout(model);
  const m = model.X.length;
  const gradient = params.map(() => 0);
  const [z, a, deltas] = [layers.map(() => []), layers.map(() => []), layers.map(() => [])];
  const [losses, partials] = [[], []];
  model.X.forEach((x, i) => {
    const found = forward(model, params, x);
    const own = back(model, params, x, found, model.y[i]);
    layers.forEach((_, l) => {
      z[l].push(found.z[l]);
      a[l].push(found.a[l]);
      deltas[l].push(own.deltas[l]);
    });
    losses.push(lossAt(model, found.z.at(-1)[0], model.y[i]));
    partials.push(own.partials);
    own.partials.forEach((partial, p) => {
      gradient[p] += partial / m;
    });
  });
  penalised(model, params, gradient);
  const value = losses.reduce((sum, loss) => sum + loss, penalty(model, params)) / m;
  return {
    value,
    gradient,
    z,
    a,
    deltas,
    losses,
    partials,
    hessian: layers.length === 1 ? hessianAt(model, z[0]) : null,
  };
}

// Backpropagation of one row: δ of every layer, from the last to the first, and the partials that they give.
function back(model, params, x, { z, a }, y) {
  const layers = layout(model);
  const deltas = layers.map(() => []);
  const partials = params.map(() => 0);
  for (let l = layers.length - 1; l >= 0; l--) {
    const { below, units, W, b } = layers[l];
    for (let k = 0; k < units; k++) {
      if (l === layers.length - 1) deltas[l].push(slopeAt(model, z[l][0], y));
      else {
        const above = layers[l + 1];
        let sum = 0;
        for (let c = 0; c < above.units; c++) sum += deltas[l + 1][c] * params[above.W + k * above.units + c];
        deltas[l].push(sum * slopeOf(model, a[l][k]));
      }
      const from = l ? a[l - 1] : x;
      for (let j = 0; j < below; j++) partials[W + j * units + k] = from[j] * deltas[l][k];
      if (b >= 0) partials[b + k] = deltas[l][k];
    }
  }
  return { deltas, partials };
}

// Of a perceptron: the mean of L″(z) x x', with 1 for the intercept, and the penalty on the weights.
function hessianAt(model, z) {
  const m = model.X.length;
  const inputs = model.X.map((x) => (model.intercept ? [...x, 1] : x));
  const P = inputs[0].length;
  const H = Array.from({ length: P }, () => Array(P).fill(0));
  inputs.forEach((x, i) => {
    const bend = curvatureAt(model, z[i][0], model.y[i]) / m;
    for (let r = 0; r < P; r++) for (let c = 0; c < P; c++) H[r][c] += bend * x[r] * x[c];
  });
  if (model.alpha) for (let r = 0; r < model.X[0].length; r++) H[r][r] += model.alpha / m;
  return H;
}

/** The gradient of J alone. */
export function gradientAt(model, params) {
  const gradient = params.map(() => 0);
  for (let i = 0; i < model.X.length; i++) {
    const { partials } = back(model, params, model.X[i], forward(model, params, model.X[i]), model.y[i]);
    for (let p = 0; p < gradient.length; p++) gradient[p] += partials[p] / model.X.length;
  }
  return penalised(model, params, gradient);
}

function penalised(model, params, gradient) {
  if (model.alpha)
    for (const { below, units, W } of layout(model))
      for (let n = 0; n < below * units; n++) gradient[W + n] += (model.alpha * params[W + n]) / model.X.length;
  return gradient;
}

/** Gradient descent: every point from the start on, as long as the numbers are finite. */
export function descend(model, start, rate, steps) {
  const way = [start];
  for (let n = 0; n < steps; n++) {
    const gradient = gradientAt(model, way[n]);
    const next = way[n].map((w, p) => w - rate * gradient[p]);
    if (!next.every(Number.isFinite)) break;
    way.push(next);
  }
  return way;
}

/** Newton's method with plain steps, of a perceptron, until the step is rounding alone. */
export function newtonWay(model, start, steps) {
  const way = [start];
  for (let n = 0; n < steps; n++) {
    const { gradient, hessian } = pointAt(model, way[n]);
    const step = solve(hessian, gradient);
    const next = way[n].map((w, p) => w - step[p]);
    if (!next.every(Number.isFinite)) break;
    way.push(next);
    if (step.every((s, p) => Math.abs(s) <= 1e-14 * Math.max(1, Math.abs(next[p])))) break;
  }
  return way;
}

/** x of A x = b, by elimination with the largest pivot. */
export function solve(A, b) {
  const n = b.length;
  const rows = A.map((row, r) => [...row, b[r]]);
  for (let c = 0; c < n; c++) {
    let best = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r][c]) > Math.abs(rows[best][c])) best = r;
    [rows[c], rows[best]] = [rows[best], rows[c]];
    for (let r = c + 1; r < n; r++) {
      const factor = rows[r][c] / rows[c][c];
      for (let k = c; k <= n; k++) rows[r][k] -= factor * rows[c][k];
    }
  }
  const x = Array(n).fill(0);
  for (let r = n - 1; r >= 0; r--) {
    let sum = rows[r][n];
    for (let k = r + 1; k < n; k++) sum -= rows[r][k] * x[k];
    x[r] = sum / rows[r][r];
  }
  return x;
}
