// The state of the page and its questions to Python. It computes nothing: every number comes in an answer.
import { base64, text64 } from "./url.js";

/** @import { ExampleEntry, FileEntry, FittedStart, NewtonBowl, LossProfile, Setup } from "../types/messages" */
/** @import { Checks, KeptDerivation, KeptSurface, Run, SavedState, Transport, View } from "../types/page" */

/** @type {Setup} */
export const DEFAULT_SETUP = {
  data: { source: "clouds" },
  model: { hidden: [], activation: "tanh", loss: null, intercept: true, scale: false, alpha: 0 },
  start: { seed: 0 },
  methods: [
    { solver: "gradient-descent", rate: 0.5, momentum: 0, steps: 40 },
    { solver: "newton", damped: true, steps: 20 },
  ],
};

/** @type {View} */
export const DEFAULT_VIEW = {
  step: 0,
  active: 0,
  row: 0,
  param: 0,
  pair: [0, 1],
  notation: "lecture",
  tab: "backward",
  scope: "row",
  landscape: "contour",
  log: true,
  lesson: null,
  lessonStep: 0,
  axes: null,
  bowl: false,
};

/** @type {Record<string, string>} */
export const METHOD_NAMES = {
  "gradient-descent": "Gradient descent",
  newton: "Newton",
  "levenberg-marquardt": "Levenberg–Marquardt",
  "newton-cg": "Newton-CG",
  lbfgs: "L-BFGS",
};

/**
 * @template T
 * @param {T} value
 * @returns {T}
 */
export const clone = (value) => JSON.parse(JSON.stringify(value));

let pages = 0;

export class App {
  /**
   * @param {Transport | null} transport
   * @param {SavedState | null} saved
   */
  constructor(transport, saved) {
    this.number = ++pages; // a notebook may show several
    this.transport = transport;
    this.offline = !transport;
    this.setup = clone(DEFAULT_SETUP);
    this.view = clone(DEFAULT_VIEW);
    /** @type {Run | null} */
    this.run = null;
    /** @type {ExampleEntry[]} */
    this.examples = [];
    /** @type {FileEntry[]} */
    this.files = [];
    /** @type {FittedStart | null} */
    this.fitted = null; // the model that `model.play` was called on: its set-up and parameters
    this.note = "";
    this.error = "";
    this.gone = false;
    this.busy = false;
    /** @type {object | null} */
    this.quiz = null;
    /** @type {((whole: boolean) => void)[]} */
    this.panels = [];
    /** @type {Map<string, KeptDerivation>} */
    this.derivations = new Map();
    /** @type {Map<string, any>} */
    this.pictures = new Map();
    /** @type {Set<string>} */
    this.asked = new Set();
    /** @type {Set<string>} */
    this.lanes = new Set();
    /** @type {ReturnType<typeof setInterval> | null} */
    this.playing = null;
    this.serial = 0;
    this.stride = 1;
    this.saved = saved;
    /** @type {Checks} */
    this.checks = new Map();
    /** @type {Record<string, ReturnType<typeof setTimeout>>} */
    this.timers = {};
    /** @type {KeptSurface | undefined} */
    this.lastSurface = undefined;
    this.whole = false;
    /** @type {number | null} */
    this.frame = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.urlTimer = undefined;
    /** @type {(() => void) | undefined} */
    this.onready = undefined;
    /** @type {() => void} */
    this.showLesson = () => {};
  }

  async begin() {
    if (this.saved) {
      Object.assign(this.setup, this.saved.setup);
      Object.assign(this.view, this.saved.view);
      for (const [key, derivation] of Object.entries(this.saved.derivations)) this.derivations.set(key, derivation);
      for (const [key, picture] of Object.entries(this.saved.pictures)) this.pictures.set(key, picture);
      this.run = this.saved.run;
      this.redraw(true);
      return;
    }
    this.busy = true;
    const waiting = setTimeout(() => this.redraw(true), 200);
    const hello = await this.ask({ kind: "hello" });
    clearTimeout(waiting);
    if (hello.error) return this.fail(hello.error);
    this.examples = hello.examples;
    this.files = hello.files;
    this.fitted = hello.fitted;
    this.note = hello.note;
    const shared = this.readUrl();
    if (shared) {
      this.setup = { ...this.setup, ...shared.setup };
      this.view = { ...this.view, ...shared.view };
    } else if (hello.setup) {
      const { data, model, methods } = hello.setup;
      this.setup = {
        ...this.setup,
        data,
        model: { ...this.setup.model, ...model },
        methods: methods ?? this.setup.methods,
      };
    }
    await this.train(Boolean(shared));
    if (this.run || this.gone) return;
    // Never a blank page: what cannot be shown is said beside an example.
    const said = this.error;
    this.setup = clone(DEFAULT_SETUP);
    this.view = clone(DEFAULT_VIEW);
    await this.train();
    this.fail(said);
  }

  // The id of an element: no two pages in one document share any.
  id(name) {
    return `nt-${this.number}-${name}`;
  }

  // --- questions ---

  async ask(message) {
    try {
      const answer = await this.transport.ask(message);
      if (this.gone) this.setGone(false);
      return answer;
    } catch {
      this.setGone(true);
      return { error: this.transport.gone.what, gone: true };
    }
  }

  setGone(gone) {
    if (this.gone === gone) return;
    this.gone = gone;
    this.redraw(true);
  }

  fail(sentence) {
    this.error = sentence;
    this.busy = false;
    this.redraw(true);
  }

  // Runs both methods from the same start. keep: the step that is looked at stays.
  async train(keep = false) {
    if (this.offline) return;
    const serial = ++this.serial;
    this.stop();
    this.busy = true;
    const waiting = setTimeout(() => this.redraw(true), 200);
    const setup = clone(this.setup);
    const answer = await this.ask({ kind: "run", setup, axes: this.view.axes });
    clearTimeout(waiting);
    if (serial !== this.serial) return;
    this.busy = false;
    if (answer.error) {
      if (!answer.gone) this.error = answer.error;
      return this.redraw(true);
    }
    this.error = "";
    // What is asked about a run is asked of the set-up that made it: the controls may have moved on.
    this.run = { ...answer, setup };
    this.derivations.clear();
    this.pictures.clear();
    this.asked.clear();
    this.quiz = null;
    const view = this.view;
    const P = answer.problem.parameters.length;
    if (view.param >= P) view.param = 0;
    if (view.row >= answer.problem.X.length) view.row = 0;
    if (view.pair.some((index) => index >= P) || view.pair[0] === view.pair[1]) view.pair = [0, Math.min(1, P - 1)];
    if (view.active >= answer.runs.length) view.active = 0;
    if (P < 2) view.landscape = "one";
    view.step = keep ? Math.min(view.step, this.lastStep) : 0;
    this.writeUrl();
    this.redraw(true);
  }

  // A change of data, model, methods or start: everything is computed anew.
  change(edit, keep = false) {
    edit(this.setup);
    return this.train(keep);
  }

  cancel() {
    if (this.transport) this.transport.ask({ kind: "cancel" }).catch(() => {});
  }

  show(patch) {
    Object.assign(this.view, patch);
    if (this.run) this.view.step = Math.max(0, Math.min(this.view.step, this.lastStep));
    if ("row" in patch || "param" in patch) this.quiz = null;
    this.writeUrl();
    this.redraw(false);
  }

  // --- what is looked at ---

  get lastStep() {
    return Math.max(...this.run.runs.map((run) => run.params.length - 1));
  }

  stepOf(method) {
    return Math.min(this.view.step, this.run.runs[method].params.length - 1);
  }

  paramsOf(method) {
    return this.run.runs[method].params[this.stepOf(method)];
  }

  get params() {
    return this.paramsOf(this.view.active);
  }

  get linearTwo() {
    return this.run.problem.parameters.length === 2;
  }

  label(method) {
    const given = this.run.setup.methods[method];
    const name = METHOD_NAMES[given.solver];
    if (given.solver === "gradient-descent")
      return given.rate === null ? `${name}, line search` : `${name}, η = ${given.rate}`;
    if (given.solver === "newton" && !given.damped) return `${name}, undamped`;
    return name;
  }

  derivationKey(scope, step = this.stepOf(this.view.active), active = this.view.active) {
    return `${active}/${step}/${scope === "row" ? this.view.row : "all"}`;
  }

  // The derivation at this step, or null while it is on its way; offline the nearest that was saved.
  derivation(scope) {
    const key = this.derivationKey(scope);
    if (this.derivations.has(key)) {
      if (!this.offline && !this.gone) this.fetchAhead(scope);
      return this.derivations.get(key);
    }
    if (this.offline || this.gone) return this.nearest(this.derivations, key);
    this.fetchDerivation(scope, key);
    return null;
  }

  // The derivation of the step that comes next the same way, so that it is here when one gets there.
  fetchAhead(scope) {
    const { params } = this.run.runs[this.view.active];
    const step = Math.max(0, Math.min(params.length - 1, this.stepOf(this.view.active) + this.stride));
    const key = this.derivationKey(scope, step);
    if (!this.derivations.has(key)) this.fetchDerivation(scope, key, params[step]);
  }

  nearest(map, key) {
    const [active, step, what] = key.split("/");
    const found = [...map.keys()].map((k) => k.split("/")).filter(([a, , w]) => a === active && w === what);
    if (!found.length) return null;
    found.sort((a, b) => Math.abs(a[1] - step) - Math.abs(b[1] - step));
    return { ...map.get(found[0].join("/")), savedAt: Number(found[0][1]) };
  }

  async fetchDerivation(scope, key, params = this.params, active = this.view.active) {
    const row = scope === "row" ? this.view.row : null;
    return this.keep(
      this.derivations,
      key,
      { kind: "derivation", params, row, method: this.run.setup.methods[active] },
      "derivation",
    );
  }

  // Asks once for each key, and draws when the answer is here.
  async keep(map, key, message, name) {
    // One question of a kind at a time: the drawing after its answer asks for the step that is then looked at, so that
    // whoever scrubs quickly does not wait for all the steps between.
    const lane = `${name}${message.row === null}`;
    if (this.asked.has(key + name) || this.lanes.has(lane) || this.gone) return;
    this.asked.add(key + name);
    this.lanes.add(lane);
    const run = this.run;
    const answer = await this.ask({ ...message, setup: run.setup });
    this.lanes.delete(lane);
    // An answer about a run that has been replaced is of no use; the drawing asks about the new one.
    if (run !== this.run) return this.redraw(false);
    if (answer[name]) map.set(key, answer[name]);
    else if (answer.gone) this.asked.delete(key + name);
    if (answer.error && !answer.gone) this.error = answer.error;
    this.redraw(false);
  }

  surface() {
    const [i, j] = this.view.pair;
    const active = this.view.active;
    if (Math.max(i, j) >= this.params.length) return null;
    const key = this.linearTwo ? `s/${i},${j}` : `s${i},${j}/${this.stepOf(active)}/${active}`;
    if (!this.pictures.has(key) && !this.offline) {
      this.later("surface", () =>
        this.keep(
          this.pictures,
          key,
          {
            kind: "surface",
            params: this.params,
            pair: [i, j],
            windows: [this.run.windows[i], this.run.windows[j]],
          },
          "surface",
        ),
      );
    }
    const found = this.pictures.get(key);
    if (found) {
      found.savedAt ??= this.stepOf(active); // what its caption says, also where it has to stand in for another step
      this.lastSurface = found;
    }
    return (
      found ??
      (this.lastSurface?.pair.join() === `${i},${j}`
        ? { ...this.lastSurface, of: this.lastSurface, stale: true }
        : null)
    );
  }

  // Newton's quadratic over the same two parameters, at the step that is looked at.
  bowl() {
    const [i, j] = this.view.pair;
    const key = `b${i},${j}/${this.stepOf(this.view.active)}/${this.view.active}`;
    if (!this.pictures.has(key) && !this.offline) {
      this.later("bowl", () =>
        this.keep(
          this.pictures,
          key,
          {
            kind: "bowl",
            params: this.params,
            pair: [i, j],
            windows: [this.run.windows[i], this.run.windows[j]],
          },
          "bowl",
        ),
      );
    }
    return this.pictures.get(key) ?? null;
  }

  profile() {
    const index = this.view.param;
    const key = `p${index}/${this.stepOf(this.view.active)}/${this.view.active}`;
    if (!this.pictures.has(key) && !this.offline) {
      this.later("profile", () =>
        this.keep(
          this.pictures,
          key,
          {
            kind: "profile",
            params: this.params,
            index,
            window: this.run.windows[index],
          },
          "profile",
        ),
      );
    }
    return this.pictures.get(key) ?? null;
  }

  // While one scrubs quickly, only the place where one rests is asked for.
  later(name, action) {
    clearTimeout(this.timers[name]);
    const run = this.run;
    this.timers[name] = setTimeout(() => run === this.run && action(), 40);
  }

  // --- steps ---

  go(step) {
    if (!this.run) return;
    const to = Math.max(0, Math.min(this.lastStep, Math.round(step)));
    if (to === this.view.step) return;
    this.stride = to - this.view.step;
    this.show({ step: to });
  }

  toggle() {
    if (this.playing) return this.stop();
    if (!this.run) return;
    if (this.view.step >= this.lastStep) this.go(0);
    const pause = Math.max(60, Math.min(500, 6000 / (this.lastStep + 1)));
    this.playing = setInterval(() => {
      if (this.view.step >= this.lastStep) return this.stop();
      this.go(this.view.step + 1);
    }, pause);
    this.redraw(false);
  }

  stop() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.redraw(false);
  }

  // --- drawing ---

  redraw(whole) {
    this.whole = this.whole || whole;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      const all = this.whole;
      this.whole = false;
      for (const panel of this.panels) panel(all);
      this.onready?.();
    });
  }

  // --- address ---

  writeUrl() {
    if (!this.transport?.url) return;
    clearTimeout(this.urlTimer);
    this.urlTimer = setTimeout(() => {
      const shared = { setup: this.setup, view: this.view };
      history.replaceState(null, "", `#token=${this.transport.token}&s=${base64(JSON.stringify(shared))}`);
    }, 150);
  }

  readUrl() {
    if (!this.transport?.url) return null;
    try {
      const text = new URLSearchParams(location.hash.slice(1)).get("s");
      return text ? JSON.parse(text64(text)) : null;
    } catch {
      return null;
    }
  }
}
