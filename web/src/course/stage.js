// What one step of a lesson shows. A stage is made for the step and goes with it; its scenes draw one frozen picture, in
// which every number is of the same run, the same point and the same row.
import { canonical } from "../source.js";
import { modelOf, pointAt, valueAt } from "./mirror.js";
import { wayOf } from "./solvers.js";

/** @import { Source } from "../../types/page" */
/** @import { Model } from "./mirror.js" */

// While something is dragged the browser computes; newtron is asked once it rests, in milliseconds.
const REST = 120;

/**
 * What the reader has changed: null or missing where the lesson's own stands.
 * @typedef {object} Own
 * @property {number[]} [params] a point apart from the runs
 * @property {number[]} [start]
 * @property {number} [rate]
 * @property {number[]} [y]
 * @property {number[][]} [X]
 * @property {number} [half]
 * @property {number} [z] a place on the axis of z
 */

export class Stage {
  /**
   * @param {Source} source
   * @param {any} step of lessons.json
   * @param {() => void} changed
   * @param {Own} [own] what a link brings along
   */
  constructor(source, step, changed, own = {}) {
    this.source = source;
    this.step = step;
    this.changed = changed;
    /** @type {Own} */
    this.own = own;
    this.look = { method: 0, k: 0, row: 0, param: 0, ...step.look };
    this.runs = new Map();
    this.points = new Map();
    this.checks = new Map();
    this.base = null;
    this.error = "";
    /** @type {string | null} */
    this.refused = null;
    /** @type {(method: number) => string} */
    this.named = String;
    this.kept = null;
    this.timer = undefined;
    /** @type {any[]} */
    this.scenes = [];
    /** @type {((picture: any) => void) | undefined} */
    this.drawn = undefined;
  }

  async load() {
    const answer = await this.ask({ kind: "run", setup: this.step.setup, axes: null });
    if (answer.error) this.error = answer.error;
    else {
      this.base = answer;
      this.runs.set(canonical(this.step.setup), answer);
      const { problem } = answer;
      const wrong = this.own.X || this.own.y ? this.unfit(problem) : null;
      if (wrong) {
        const { X, y, ...rest } = this.own;
        this.own = rest;
        this.refused = wrong;
      }
      if (this.own.start && this.own.start.length !== answer.start.length) delete this.own.start;
      if (this.step.look?.params && !Object.keys(this.own).length) this.own = { params: this.step.look.params };
      await this.fetchRun();
      await this.fetchPoint();
    }
    this.renew();
  }

  // Why rows that a link brings cannot be used: "ownCount" or "ownClasses" (texts of the page), or null.
  unfit({ inputs, task, ...problem }) {
    const { X = problem.X, y } = this.own;
    if (X.some((row) => row.length !== inputs.length || row.includes(undefined)) || X.length !== y?.length)
      return "ownCount";
    return task === "classification" && y.some((value) => value !== 0 && value !== 1) ? "ownClasses" : null;
  }

  async ask(message) {
    try {
      return await this.source.ask(message);
    } catch {
      return { error: `${this.source.gone.what} This step was not computed yet.` };
    }
  }

  /** @param {Own} own */
  change(own) {
    this.own = { ...this.own, ...own };
    if ("start" in own || "rate" in own || "X" in own || "y" in own) delete this.own.params;
    this.later();
    this.renew();
  }

  /** @param {Partial<Stage["look"]>} look */
  show(look) {
    if ("k" in look || "method" in look) delete this.own.params;
    this.look = { ...this.look, ...look };
    const last = this.picture().ways[this.look.method].length - 1;
    this.look.k = Math.max(0, Math.min(this.look.k, last));
    this.later();
    this.renew();
  }

  reset() {
    this.own = this.step.look?.params ? { params: this.step.look.params } : {};
    this.look = { ...this.look, ...this.step.look };
    this.later();
    this.renew();
  }

  get isOwn() {
    const { params, ...rest } = this.own;
    return Object.keys(rest).length > 0 || (params && canonical(params) !== canonical(this.step.look?.params ?? null));
  }

  renew() {
    this.kept = null;
    this.changed();
  }

  // newtron's own numbers for what is shown, once the reader rests.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      await this.fetchRun();
      await this.fetchPoint();
      this.renew();
    }, REST);
  }

  get setup() {
    const { start, rate } = this.own;
    const setup = this.step.setup;
    if (start === undefined && rate === undefined) return setup;
    const methods = setup.methods.map((method) =>
      rate !== undefined && method.solver === "gradient-descent" ? { ...method, rate } : method,
    );
    return { ...setup, methods, start: start ? { params: start } : setup.start };
  }

  // Rows that were moved and a loss without its ½ are known to the browser alone.
  get isNewtrons() {
    return this.own.X === undefined && this.own.y === undefined && this.own.half === undefined;
  }

  async fetchRun() {
    const setup = this.setup;
    const key = canonical(setup);
    if (!this.base || !this.source.live || !this.isNewtrons || this.runs.has(key)) return;
    const answer = await this.ask({ kind: "run", setup, axes: null });
    if (!answer.error) this.runs.set(key, answer);
  }

  async fetchPoint() {
    if (!this.base || !this.isNewtrons) return;
    const { params } = this.picture();
    const key = params.join();
    if (this.points.has(key)) return;
    const answer = await this.ask({ kind: "point", setup: this.step.setup, params });
    if (answer.point) this.points.set(key, answer.point);
    this.kept = null;
  }

  /** @returns {Model} */
  get model() {
    const { X, y, half } = this.own;
    const model = modelOf(this.base.problem, this.step.setup);
    return { ...model, X: X ?? model.X, y: y ?? model.y, half: half ?? model.half };
  }

  /** The frozen picture of now; null while its run is not here. */
  picture() {
    if (!this.base) return null;
    this.kept ??= Object.freeze(this.make());
    return this.kept;
  }

  make() {
    const { problem } = this.base;
    const { setup, model, look, own } = this;
    const answer = this.isNewtrons ? this.runs.get(canonical(setup)) : null;
    const start = setup.start.params ?? this.base.start;
    const ways = answer
      ? answer.runs.map(({ params }) => params)
      : setup.methods.map((method) => wayOf(model, method, start));
    const values = answer
      ? answer.runs.map(({ value }) => value)
      : ways.map((way) => way.map((p) => valueAt(model, p)));
    const k = Math.min(look.k, ways[look.method].length - 1);
    const params = own.params ?? ways[look.method][k];
    const given = this.isNewtrons ? this.points.get(params.join()) : null;
    const point = given ? { ...given, partials: partialsOf(model, given) } : pointAt(model, params);
    const rate = setup.methods.find(({ solver }) => solver === "gradient-descent")?.rate ?? null;
    return {
      problem,
      model,
      setup,
      answer,
      ways,
      values,
      windows: this.isNewtrons ? this.base.windows : windowsOf(ways),
      view: own.X ? viewOf(model) : problem.view,
      moved: !this.isNewtrons,
      method: look.method,
      k,
      row: Math.min(look.row, model.X.length - 1),
      param: look.param,
      params,
      point,
      rate,
      free: own.params !== undefined,
      z: own.z ?? this.step.look?.z ?? 0,
      statuses: answer ? answer.runs.map(({ sentence }) => sentence) : [],
      eigenvalues: answer ? answer.runs[look.method].eigenvalues?.[k] : null,
      // What stands over an axis of z is computed here.
      computed: answer && given && this.step.look?.z === undefined ? "newtron" : "browser",
    };
  }
}

// For each parameter a window that holds all ways, and of rows that are not newtron's the windows of a picture.
const around = (values) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const space = 0.15 * (high - low) || 0.5;
  return [low - space, high + space];
};
const windowsOf = (ways) => ways[0][0].map((_, p) => around(ways.flatMap((way) => way.map((point) => point[p]))));
const viewOf = (model) => ({
  windows: model.X[0].map((_, j) => around(model.X.map((x) => x[j]))),
  range: around(model.y),
});

// Each row's own partials, δ times what the layer is fed: the products that the engine sums.
function partialsOf(model, { a, deltas }) {
  return model.X.map((x, i) =>
    deltas.flatMap((layer, l) => {
      const from = l ? a[l - 1][i] : x;
      return [...from.flatMap((value) => layer[i].map((delta) => value * delta)), ...(model.intercept ? layer[i] : [])];
    }),
  );
}
