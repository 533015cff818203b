// A small evaluation in the browser, of perceptrons and networks of one output: what is drawn while something is dragged.
// At rest the lessons show the engine's numbers; the tests compare both for every step of every lesson.

import { eigen } from "./algebra.js";

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

/**
 * The activation, and its slope and curvature from a.
 * @type {Record<string, [(z: number) => number, (a: number) => number, (a: number) => number]>}
 */
const ACTIVATIONS = {
  tanh: [Math.tanh, (a) => 1 - a * a, (a) => -2 * a * (1 - a * a)],
  sigmoid: [sigmoid, (a) => a * (1 - a), (a) => a * (1 - a) * (1 - 2 * a)],
  relu: [(z) => Math.max(0, z), (a) => (a > 0 ? 1 : 0), () => 0],
  softplus: [
    (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
    (a) => 1 - Math.exp(-a),
    (a) => (1 - Math.exp(-a)) * Math.exp(-a),
  ],
  identity: [identity, () => 1, () => 0],
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
  const hessian = hessianAt(model, params);
  const { values, vectors } = eigen(hessian);
  const value = losses.reduce((sum, loss) => sum + loss, penalty(model, params)) / m;
  return {
    value,
    gradient,
    z,
    a,
    deltas,
    losses,
    partials,
    hessian,
    eigenvalues: values,
    eigenvectors: vectors,
  };
}

// Backpropagation of one row: δ of every layer, from the last to the first, and the partials that they give. first: δ of
// the output.
function back(model, params, x, { z, a }, y, first = slopeAt(model, z.at(-1)[0], y)) {
  const layers = layout(model);
  const deltas = layers.map(() => []);
  const partials = params.map(() => 0);
  for (let l = layers.length - 1; l >= 0; l--) {
    const { below, units, W, b } = layers[l];
    for (let k = 0; k < units; k++) {
      if (l === layers.length - 1) deltas[l].push(first);
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

/** The second derivatives of J: column by column, the derivative of the gradient along one parameter (Pearlmutter 1994). */
export function hessianAt(model, params) {
  const m = model.X.length;
  const H = params.map(() => params.map(() => 0));
  model.X.forEach((x, i) => {
    const found = forward(model, params, x);
    const { deltas } = back(model, params, x, found, model.y[i]);
    const bend = curvatureAt(model, found.z.at(-1)[0], model.y[i]);
    for (let c = 0; c < params.length; c++) {
      const along = params.map((_, p) => (p === c ? 1 : 0));
      turned(model, params, x, found, deltas, bend, along).forEach((value, r) => {
        H[r][c] += value / m;
      });
    }
  });
  return curved(model, H);
}

/** Its Gauss-Newton part, in which z is taken as linear in the parameters. */
export function gaussNewtonAt(model, params) {
  const H = params.map(() => params.map(() => 0));
  model.X.forEach((x, i) => {
    const found = forward(model, params, x);
    const z = found.z.at(-1)[0];
    const p = sigmoid(z);
    const bend =
      model.squared && model.sigmoid ? 2 * model.half * (p * (1 - p)) ** 2 : curvatureAt(model, z, model.y[i]);
    const { partials } = back(model, params, x, found, model.y[i], 1);
    for (let r = 0; r < H.length; r++)
      for (let c = 0; c < H.length; c++) H[r][c] += (bend * partials[r] * partials[c]) / model.X.length;
  });
  return curved(model, H);
}

function curved(model, H) {
  if (model.alpha)
    for (const { below, units, W } of layout(model))
      for (let n = 0; n < below * units; n++) H[W + n][W + n] += model.alpha / model.X.length;
  return H;
}

// How one row's partials change along a direction v of the parameters: the forward and the backward pass, each
// differentiated. bend: ∂²L/∂z² of the output.
function turned(model, params, x, { a }, deltas, bend, v) {
  const layers = layout(model);
  const [, slope, curvature] = ACTIVATIONS[model.activation];
  const [dz, da] = [[], []];
  layers.forEach(({ below, units, W, b }, l) => {
    const [from, dfrom] = l ? [a[l - 1], da[l - 1]] : [x, x.map(() => 0)];
    dz.push([]);
    da.push([]);
    for (let k = 0; k < units; k++) {
      let sum = b < 0 ? 0 : v[b + k];
      for (let j = 0; j < below; j++) sum += dfrom[j] * params[W + j * units + k] + from[j] * v[W + j * units + k];
      dz[l].push(sum);
      da[l].push(l === layers.length - 1 ? sum : slope(a[l][k]) * sum);
    }
  });
  const out = params.map(() => 0);
  let above = [bend * dz.at(-1)[0]];
  for (let l = layers.length - 1; l >= 0; l--) {
    const { below, units, W, b } = layers[l];
    const [from, dfrom] = l ? [a[l - 1], da[l - 1]] : [x, x.map(() => 0)];
    const next = from.map(() => 0);
    for (let k = 0; k < units; k++) {
      for (let j = 0; j < below; j++) {
        const p = W + j * units + k;
        out[p] = dfrom[j] * deltas[l][k] + from[j] * above[k];
        next[j] += above[k] * params[p] + deltas[l][k] * v[p];
      }
      if (b >= 0) out[b + k] = above[k];
    }
    if (!l) break;
    const sums = from.map((_, j) => {
      let sum = 0;
      for (let k = 0; k < units; k++) sum += deltas[l][k] * params[W + j * units + k];
      return sum;
    });
    above = next.map((value, j) => value * slope(from[j]) + sums[j] * curvature(from[j]) * dz[l - 1][j]);
  }
  return out;
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
