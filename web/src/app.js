// The state of the page and its questions to Python. It computes nothing: every number comes in an answer.
import { base64, text64 } from "./url.js";

/** @import { ExampleEntry, FileEntry, FittedStart, NewtonBowl, LossProfile, Setup } from "../types/messages" */
/** @import { Checks, KeptDerivation, KeptSurface, Run, SavedState, Source, View } from "../types/page" */

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

// All that was computed about one run. It is made with the run and goes with it, so that nothing of one run can be drawn
// with another's.
export class Kept {
  constructor() {
    /** @type {Map<string, KeptDerivation>} */
    this.derivations = new Map();
    /** @type {Map<string, any>} */
    this.pictures = new Map();
    /** @type {Set<string>} */
    this.asked = new Set();
    /** @type {Checks} */
    this.checks = new Map();
    /** @type {KeptSurface | null} */
    this.surface = null; // the last that was drawn, which stands until the next is here
    /** @type {object | null} */
    this.quiz = null;
  }
}

export class App {
  /**
   * @param {Source | null} source
   * @param {SavedState | null} saved
   */
  constructor(source, saved) {
    this.number = ++pages; // a notebook may show several
    this.source = source;
    this.offline = !source;
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
    /** @type {{ setup: Setup, run: Run } | null} */
    this.before = null; // what was shown until data were chosen that cannot be
    /** @type {((whole: boolean) => void)[]} */
    this.panels = [];
    /** @type {Set<string>} */
    this.lanes = new Set();
    /** @type {ReturnType<typeof setInterval> | null} */
    this.playing = null;
    this.serial = 0;
    this.stride = 1;
    this.saved = saved;
    /** @type {Record<string, ReturnType<typeof setTimeout>>} */
    this.timers = {};
    this.whole = false;
    /** @type {number | null} */
    this.frame = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.urlTimer = undefined;
    /** @type {(() => void) | undefined} */
    this.onready = undefined;
    /** @type {() => void} */
    this.openLessons = () => {};
    this.aside = false; // the lessons are shown, and have the address
    /** @type {object | undefined} */
    this.course = undefined;
  }

  async begin() {
    if (this.saved) {
      Object.assign(this.setup, this.saved.setup);
      Object.assign(this.view, this.saved.view);
      const kept = new Kept();
      for (const [key, derivation] of Object.entries(this.saved.derivations)) kept.derivations.set(key, derivation);
      for (const [key, picture] of Object.entries(this.saved.pictures)) kept.pictures.set(key, picture);
      this.run = { ...this.saved.run, kept };
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
      const answer = await this.source.ask(message);
      if (this.gone) this.setGone(false);
      return answer;
    } catch {
      this.setGone(true);
      return { error: this.source.gone.what, gone: true };
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
    if (answer.error) return this.refuse(answer);
    this.error = "";
    this.before = null;
    // What is asked about a run is asked of the set-up that made it: the controls may have moved on.
    this.run = { ...answer, setup, kept: new Kept() };
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

  // What is shown is what is used: a setting that could not be followed goes back to the one that was. Of data that
  // cannot be shown nothing is drawn, and the controls stay, since another of their columns may do.
  refuse(answer) {
    if (!answer.gone) this.error = answer.error;
    const shown = this.run;
    if (!shown) return this.redraw(true);
    if (!answer.gone && JSON.stringify(this.setup.data) !== JSON.stringify(shown.setup.data)) {
      this.before = { setup: clone(shown.setup), run: shown };
      this.run = null;
    } else this.setup = clone(shown.setup);
    this.redraw(true);
  }

  goBack() {
    this.setup = this.before.setup;
    this.run = this.before.run;
    this.before = null;
    this.error = "";
    this.redraw(true);
  }

  // A change of data, model, methods or start: everything is computed anew.
  change(edit, keep = false) {
    edit(this.setup);
    return this.train(keep);
  }

  cancel() {
    if (this.source) this.source.ask({ kind: "cancel" }).catch(() => {});
  }

  show(patch) {
    Object.assign(this.view, patch);
    if (this.run) this.view.step = Math.max(0, Math.min(this.view.step, this.lastStep));
    if (this.run && ("row" in patch || "param" in patch)) this.run.kept.quiz = null;
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

  // The derivation at this step, or null where it is on its way or, without Python, was not kept.
  derivation(scope) {
    const key = this.derivationKey(scope);
    const { derivations } = this.run.kept;
    if (derivations.has(key)) {
      if (!this.offline && !this.gone) this.fetchAhead(scope);
      return derivations.get(key);
    }
    if (!this.offline && !this.gone) this.fetchDerivation(scope, key);
    return null;
  }

  // Where there is no more to be asked: of which steps the derivation of this example, or of the mean, was kept.
  derivedSteps(scope) {
    const own = this.derivationKey(scope).split("/");
    const found = [...this.run.kept.derivations.keys()].map((key) => key.split("/"));
    return found.filter(([active, , what]) => active === own[0] && what === own[2]).map(([, step]) => Number(step));
  }

  // The derivation of the step that comes next the same way, so that it is here when one gets there.
  fetchAhead(scope) {
    const { params } = this.run.runs[this.view.active];
    const step = Math.max(0, Math.min(params.length - 1, this.stepOf(this.view.active) + this.stride));
    const key = this.derivationKey(scope, step);
    if (!this.run.kept.derivations.has(key)) this.fetchDerivation(scope, key, params[step]);
  }

  async fetchDerivation(scope, key, params = this.params, active = this.view.active) {
    const row = scope === "row" ? this.view.row : null;
    return this.keep(
      "derivations",
      key,
      { kind: "derivation", params, row, method: this.run.setup.methods[active] },
      "derivation",
    );
  }

  // Asks once for each key, and draws when the answer is here.
  async keep(where, key, message, name) {
    // One question of a kind at a time: the drawing after its answer asks for the step that is then looked at, so that
    // whoever scrubs quickly does not wait for all the steps between.
    const lane = `${name}${message.row === null}`;
    const run = this.run;
    const { asked } = run.kept;
    if (asked.has(key + name) || this.lanes.has(lane) || this.gone) return;
    asked.add(key + name);
    this.lanes.add(lane);
    const answer = await this.ask({ ...message, setup: run.setup });
    this.lanes.delete(lane);
    // The answer is kept with the run that it is about, which may come back ("Back to what was shown before").
    if (answer[name]) run.kept[where].set(key, answer[name]);
    else if (answer.gone) asked.delete(key + name);
    if (answer.error && !answer.gone && run === this.run) this.error = answer.error;
    this.redraw(false);
  }

  surface() {
    const [i, j] = this.view.pair;
    const active = this.view.active;
    if (Math.max(i, j) >= this.params.length) return null;
    const key = this.linearTwo ? `s/${i},${j}` : `s${i},${j}/${this.stepOf(active)}/${active}`;
    const { kept } = this.run;
    if (!kept.pictures.has(key) && !this.offline) {
      this.later("surface", () =>
        this.keep(
          "pictures",
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
    const found = kept.pictures.get(key);
    if (found) {
      found.savedAt ??= this.stepOf(active); // what its caption says, also where it has to stand in for another step
      kept.surface = found;
    }
    const last = kept.surface;
    return found ?? (last?.pair.join() === `${i},${j}` ? { ...last, of: last, stale: true } : null);
  }

  // Newton's quadratic over the same two parameters, at the step that is looked at.
  bowl() {
    const [i, j] = this.view.pair;
    const key = `b${i},${j}/${this.stepOf(this.view.active)}/${this.view.active}`;
    const { pictures } = this.run.kept;
    if (!pictures.has(key) && !this.offline) {
      this.later("bowl", () =>
        this.keep(
          "pictures",
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
    return pictures.get(key) ?? null;
  }

  profile() {
    const index = this.view.param;
    const key = `p${index}/${this.stepOf(this.view.active)}/${this.view.active}`;
    const { pictures } = this.run.kept;
    if (!pictures.has(key) && !this.offline) {
      this.later("profile", () =>
        this.keep(
          "pictures",
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
    return pictures.get(key) ?? null;
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
    if (!this.source?.url || this.aside) return;
    clearTimeout(this.urlTimer);
    this.urlTimer = setTimeout(() => {
      const shared = { setup: this.setup, view: this.view };
      history.replaceState(null, "", `#token=${this.source.token}&s=${base64(JSON.stringify(shared))}`);
    }, 150);
  }

  readUrl() {
    if (!this.source?.url) return null;
    try {
      const text = new URLSearchParams(location.hash.slice(1)).get("s");
      return text ? JSON.parse(text64(text)) : null;
    } catch {
      return null;
    }
  }
}
