// The ways of the solvers, evaluated in the browser where the start, the rate or the rows are the reader's own: gradient
// descent, Newton's method (plain steps, and steps within a trust region) and Levenberg-Marquardt. The rules are those
// of newtron's solvers; the tests compare the points for every step of every lesson and for other starts.
import { cholesky, eigen, solve, solveBy } from "./algebra.js";
import { gaussNewtonAt, gradientAt, hessianAt, valueAt } from "./mirror.js";

/** @import { Model } from "./mirror.js" */

const EPSILON = 2 ** -52;
const TRIES = 60; // trial steps from one point
const SINGULAR = 1e13; // the condition of a matrix from which on it counts as singular
const TOLERANCE = 1e-10; // the gradient, relative to its scale, at which a run has converged

const dot = (u, v) => u.reduce((sum, value, p) => sum + value * v[p], 0);
const norm = (v) => Math.hypot(...v);
const plus = (u, v) => u.map((value, p) => value + v[p]);
const times = (H, v) => H.map((row) => dot(row, v));
const finite = (v) => v.every(Number.isFinite);

/**
 * Every point of a method from the start on, as long as the numbers are finite.
 * @param {Model} model
 * @param {any} method of a set-up
 * @param {number[]} start
 * @returns {number[][]}
 */
export function wayOf(model, method, start) {
  const { solver, damped, rate, steps } = method;
  if (solver === "gradient-descent") return descend(model, start, rate, steps);
  if (solver === "levenberg-marquardt") return levenbergMarquardt(model, start, steps);
  const quadratic = model.widths.length === 2 && model.squared && !model.sigmoid;
  return damped && !quadratic ? dampedNewton(model, start, steps) : plainNewton(model, start, steps);
}

function descend(model, start, rate, steps) {
  const way = [start];
  for (let n = 0; n < steps; n++) {
    const gradient = gradientAt(model, way[n]);
    const next = way[n].map((w, p) => w - rate * gradient[p]);
    if (!finite(next)) break;
    way.push(next);
  }
  return way;
}

// What Newton's method sees at a point. decrement: √(g'H⁻¹g), infinite where the point is near no minimum.
function secondOrder(model, params) {
  const [value, gradient, hessian] = [valueAt, gradientAt, hessianAt].map((of) => of(model, params));
  const plain = newtonStep(hessian, gradient);
  const decrement = plain ? Math.sqrt(Math.max(0, -dot(gradient, plain))) : Infinity;
  return { params, value, gradient, hessian, plain, decrement };
}
const isMinimum = (model, { value, gradient, decrement }) =>
  relative(model, gradient) <= TOLERANCE && decrement ** 2 <= TOLERANCE ** 2 * Math.abs(value) * gradient.length;

// Plain steps, to a minimum or as far as they go.
function plainNewton(model, start, steps) {
  const way = [start];
  for (let n = 0; n < steps; n++) {
    const state = secondOrder(model, way[n]);
    if (isMinimum(model, state)) break;
    const step = solve(state.hessian, state.gradient);
    const next = way[n].map((w, p) => w - step[p]);
    if (!finite(next) || !Number.isFinite(valueAt(model, next))) break;
    way.push(next);
  }
  return way;
}

// Does a trial lower J by at least 1e-4 of what was predicted? null where rounding leaves that open.
function lowers(value, trial, predicted) {
  if (!Number.isFinite(trial)) return false;
  const unsure = 1e-9 * Math.max(Math.abs(value), Math.abs(trial));
  const gained = value - trial;
  if (gained >= 1e-4 * predicted && (gained > unsure || predicted > 10 * EPSILON * Math.abs(value))) return true;
  return predicted <= unsure && trial <= value + unsure ? null : false;
}

// The root mean square of what each weight of the first layer is fed, and 1 for every other parameter.
function scaleOf(model) {
  const [inputs, units] = model.widths;
  const rms = Array.from({ length: inputs }, (_, j) => norm(model.X.map((x) => x[j])) / Math.sqrt(model.X.length));
  return (_, p) => (p < inputs * units ? rms[Math.floor(p / units)] : 1);
}

// The largest component of the gradient, relative to its scale: that of the parameters, and of the targets.
function relative(model, gradient) {
  const scale = gradient.map(scaleOf(model));
  const mean = model.y.reduce((sum, y) => sum + y, 0) / model.y.length;
  const spread = model.sigmoid ? 1 : norm(model.y.map((y) => y - mean)) / Math.sqrt(model.y.length);
  return Math.max(...gradient.map((g, p) => Math.abs(g) / scale[p])) / (spread || 1);
}

// --- Newton's method within a trust region (Moré & Sorensen 1983) ---

// The plain step -H⁻¹g; of a singular H that is not negative the shortest one; null where H bends downwards.
function newtonStep(H, g) {
  const scale = H.map((row, p) => Math.sqrt(Math.max(row[p], 0)) || 1);
  const scaled = H.map((row, r) => row.map((value, c) => value / scale[r] / scale[c]));
  const { values, vectors } = eigen(scaled);
  const [lowest, highest] = [values[0], values.at(-1)];
  if (lowest > highest / SINGULAR) return solve(H, g).map((value) => -value);
  if (!(lowest >= -1e-10 * highest)) return null;
  const along = vectors.map((v) =>
    dot(
      v,
      g.map((value, p) => value / scale[p]),
    ),
  );
  const lost = values.map((value) => !(value > highest / SINGULAR));
  if (norm(along.filter((_, n) => lost[n])) > 1e-3 * norm(along)) return null;
  return g.map(
    (_, p) => -values.reduce((sum, v, n) => (lost[n] ? sum : sum + (vectors[n][p] * along[n]) / v), 0) / scale[p],
  );
}

// λ with ‖(H + λ)⁻¹g‖ equal to the radius within 0.1 %, by Newton's method on 1/‖s‖ in a bracket.
function shiftOf(values, g, radius, lowest, tiny) {
  let low = lowest + Math.max(tiny, 1e-14);
  let high = Math.max(low * 2, lowest + norm(g) / radius + tiny);
  let shift = low;
  for (let n = 0; n < 100; n++) {
    const s = g.map((value, p) => value / (values[p] + shift));
    const length = norm(s);
    if (length < radius) {
      high = shift;
      if (shift === low || length > (1 - 1e-3) * radius) break;
    } else if (length <= (1 + 1e-3) * radius) break;
    else low = shift;
    const slope = s.reduce((sum, value, p) => sum + (value * value) / (values[p] + shift), 0);
    shift += slope > 0 ? ((length / radius - 1) * length * length) / slope : high;
    if (!(low < shift && shift < high)) shift = 0.5 * (low + high);
  }
  return shift;
}

// min g's + ½ s'Hs with ‖metric s‖ at most the radius.
function within({ params, gradient, hessian }, metric, given) {
  const { values, vectors } = eigen(hessian.map((row, r) => row.map((value, c) => value / metric[c] / metric[r])));
  const g = vectors.map((v) =>
    dot(
      v,
      gradient.map((value, p) => value / metric[p]),
    ),
  );
  const back = (s) => metric.map((unit, p) => s.reduce((sum, value, n) => sum + vectors[n][p] * value, 0) / unit);
  const largest = Math.max(...values.map(Math.abs)) || 1;
  const tiny = values.length * EPSILON * largest;
  if (values[0] > -tiny) {
    const flat = values.map((value) => value <= tiny);
    const s = values.map((value, n) => (flat[n] ? 0 : -g[n] / value));
    const lost = Math.max(0, ...g.filter((_, n) => flat[n]).map(Math.abs));
    if (norm(s) <= given && lost <= 1e-12 * Math.max(...g.map(Math.abs))) return back(s);
  }
  const radius = given > 0 && given < 1e150 ? given : Math.max(1, norm(params.map((w, p) => w * metric[p])));
  const shift = shiftOf(values, g, radius, Math.max(0, -values[0]), tiny);
  const s = g.map((value, n) => -value / (values[n] + shift));
  const length = norm(s);
  // At a saddle the gradient has no part along the most negative direction: the step goes along it to the edge.
  if (length < radius && values[0] < -tiny)
    s[0] += Math.sqrt(radius * radius - length * length) * (s[0] < 0 || Object.is(s[0], -0) ? -1 : 1);
  return back(s);
}

function dampedNewton(model, start, steps) {
  const linear = model.widths.length === 2;
  const scale = start.map(scaleOf(model));
  const metricOf = (hessian) => {
    if (!linear) return scale;
    const diagonal = hessian.map((row, p) => Math.sqrt(Math.abs(row[p])));
    const least = 1e-8 * (Math.max(...diagonal) || 1);
    return diagonal.map((value) => Math.max(value, least));
  };
  let state = secondOrder(model, start);
  let radius = linear ? Infinity : 1;
  const way = [start];
  while (way.length <= steps) {
    if (isMinimum(model, state)) break;
    const metric = metricOf(state.hessian);
    let moved = null;
    for (let n = 0; n < TRIES && !moved; n++) {
      const { plain, gradient, hessian } = state;
      const direct = plain && norm(plain.map((s, p) => s * metric[p])) <= radius;
      const step = direct ? plain : within(state, metric, radius);
      const predicted = -(dot(gradient, step) + 0.5 * dot(step, times(hessian, step)));
      if (!(predicted > 0)) break;
      const trial = plus(state.params, step);
      const value = valueAt(model, trial);
      const worth = lowers(state.value, value, predicted);
      const length = norm(step.map((s, p) => s * metric[p]));
      if (worth !== false) {
        const found = secondOrder(model, trial);
        if (worth || found.decrement < state.decrement) {
          const ratio = (state.value - value) / predicted;
          if (ratio < 0.25) radius = 0.25 * length;
          else if (ratio > 0.75 && length > 0.9 * radius) radius *= 2;
          moved = found;
          break;
        }
        if (predicted <= 10 * EPSILON * Math.abs(state.value)) break;
      }
      radius = 0.25 * length;
    }
    if (!moved) break;
    state = moved;
    way.push(state.params);
  }
  return way;
}

// --- Levenberg-Marquardt (damping by Nielsen 1999), with the exact Hessian where its steps become slow ---

const FIRST_DAMPING = 1e-2;
const LEAST_DAMPING = 1e-15;
const EXACT_AFTER = 10; // steps that neither halved the gradient nor lowered J by a tenth
const FALL = 0.9;

function levenbergMarquardt(model, start, steps) {
  const squared = start.map(scaleOf(model)).map((scale) => scale * scale);
  const metricOf = (H) => {
    const mean = squared.reduce((sum, unit, p) => sum + Math.max(H[p][p], 0) / unit, 0) / squared.length || 1;
    return squared.map((unit) => unit * mean);
  };
  const reach = (H, metric) => Math.min(1, Math.max(...metric.map((unit, p) => Math.abs(H[p][p]) / unit)));
  const seen = (params, exact) => ({
    params,
    value: valueAt(model, params),
    gradient: gradientAt(model, params),
    curvature: (exact ? hessianAt : gaussNewtonAt)(model, params),
    exact,
  });
  const stepOf = ({ curvature, gradient }, added) => {
    const factor = cholesky(curvature.map((row, r) => row.map((value, c) => (r === c ? value + added[r] : value))));
    return (
      factor &&
      solveBy(
        factor,
        gradient.map((g) => -g),
      )
    );
  };
  let state = seen(start, false);
  let metric = metricOf(state.curvature);
  let [damping, growth, since, wanted] = [FIRST_DAMPING, 2, 0, false];
  let [bestGradient, bestValue] = [Infinity, Infinity];
  const way = [start];
  while (way.length <= steps) {
    let moved = null;
    for (let n = 0; n < TRIES && !moved; n++) {
      const added = metric.map((unit) => damping * unit);
      const step = stepOf(state, added);
      if (step) {
        const predicted = 0.5 * step.reduce((sum, s, p) => sum + s * (added[p] * s - state.gradient[p]), 0);
        if (!(predicted > 0)) break;
        const trial = plus(state.params, step);
        const value = valueAt(model, trial);
        const worth = lowers(state.value, value, predicted);
        if (worth) moved = { trial, ratio: (state.value - value) / predicted };
        // Where rounding hides what a step is worth, nothing is seen in a picture any more.
        else if (worth === null) return way;
      }
      if (!moved) {
        damping = Math.max(damping, 1e-12 * reach(state.curvature, metric)) * growth;
        growth = Math.min(2 * growth, 1e6);
      }
    }
    if (!moved) break;
    const stuck = since >= EXACT_AFTER;
    state = seen(moved.trial, wanted || stuck);
    way.push(state.params);
    const reached = relative(model, state.gradient);
    const halved = reached <= 0.5 * bestGradient;
    const fell = state.value <= FALL * bestValue;
    metric = metricOf(state.curvature);
    const least = LEAST_DAMPING * reach(state.curvature, metric);
    damping = Math.max(damping * Math.max(1 / 3, 1 - (2 * Math.min(moved.ratio, 1) - 1) ** 3), least);
    growth = 2;
    wanted = (wanted || stuck) && !fell;
    if (halved) bestGradient = reached;
    if (fell || stuck) bestValue = state.value;
    since = halved || fell || stuck ? 0 : since + 1;
    if (reached <= TOLERANCE) break;
  }
  return way;
}
