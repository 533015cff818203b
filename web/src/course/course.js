// The lessons: a map of them, and a page for each step with its words, a question before the answer, and its scenes.
import { copy, h, number, replace, segmented, select, unique } from "../dom.js";
import { plain } from "../network.js";
import { swatch } from "../lossplot.js";
import plan from "./lessons.json";
import english from "./en.json";
import korean from "./ko.json";
import { numpyText } from "./numpy.js";
import { SCENES } from "./scenes.js";
import { Stage } from "./stage.js";
import { NUMBERS, rich, told } from "./text.js";

/** @import { Source } from "../../types/page" */

/** @type {Record<string, any>} all words by language, one file each */
const TEXTS = { en: english, ko: korean };
/** @type {any[]} */
export const LESSONS = plan.lessons.map((lesson) => ({
  ...lesson,
  steps: lesson.steps.map((step) => ({ ...step, setup: plan.setups[step.setup] })),
}));

// A picture is put into words once it rests, in milliseconds.
const REST = 250;
// What was done, and the language, in this browser only; without storage, for as long as the page is open.
const STORE = "newtron-lessons";
const LANGUAGE = "newtron-language";
function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // a browser that keeps nothing
  }
}
function keep(name, text) {
  try {
    localStorage.setItem(name, text);
  } catch {
    /* as above */
  }
}
let done = {};
try {
  done = JSON.parse(kept(STORE) ?? "{}") ?? {};
} catch {
  /* text of another program */
}
const isDone = (id, n) => Boolean(done[`${id}/${n}`]);
function finish(id, n) {
  done[`${id}/${n}`] = true;
  keep(STORE, JSON.stringify(done));
}

// What the reader has changed, as a part of a link that a teacher can write by hand: ?rate=0.2&start=1,-1&x=1,2,3&y=2,4,5;
// for a lesson of two inputs x2=... too.
/** @param {import("./stage.js").Own} own */
function shared({ rate, start, X, y }) {
  const x2 = X?.[0].length > 1 ? X.map(([, x]) => x) : undefined;
  const parts = Object.entries({ rate, start, x: X?.map(([x]) => x), x2, y }).filter(
    ([, value]) => value !== undefined,
  );
  return parts.length ? `?${parts.map(([name, value]) => `${name}=${[value].flat().join(",")}`).join("&")}` : "";
}

/**
 * @param {string} text
 * @returns {import("./stage.js").Own}
 */
function ownOf(text) {
  const given = new URLSearchParams(text);
  const list = (name) => {
    const values = (given.get(name) ?? "").split(",").map(Number);
    return given.get(name) && values.every(Number.isFinite) ? values.slice(0, 200) : undefined;
  };
  const [[rate] = [undefined], start, x, x2, y] = ["rate", "start", "x", "x2", "y"].map(list);
  const long = Math.max(x?.length ?? 0, x2?.length ?? 0);
  const X = x && Array.from({ length: long }, (_, n) => (x2 ? [x[n], x2[n]] : [x[n]]));
  const found = { rate: rate > 0 ? rate : undefined, start, X, y };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}

// Does what is told begin with the answer itself?
const opens = (told, answer) => told.toLowerCase().startsWith(answer.split(/[ ,:]/)[0].toLowerCase());

/**
 * @typedef {object} Host where the lessons are shown
 * @property {Source} source of runs
 * @property {(id: string | null, n?: number | "print") => string} href the address of a step, or of the map
 * @property {((id: string | null, n?: number | "print") => void) | null} go shows a step without leaving the page
 * @property {(() => void) | null} free leads to the free mode
 * @property {string | null} [only] the lesson whose runs are here, where not all are; null on the map
 * @property {string} [docs] the address of the documentation
 */

export class Course {
  /**
   * @param {HTMLElement} el
   * @param {Host} host
   */
  constructor(el, host) {
    this.el = el;
    this.host = host;
    const wanted = kept(LANGUAGE) ?? navigator.language.slice(0, 2);
    this.language = wanted in TEXTS ? wanted : "en";
    this.text = TEXTS[this.language];
    /** @type {any[]} */
    this.stages = [];
    this.frame = null;
    this.telling = undefined;
    this.playing = null;
    /** @type {{ id: string | null, n: number | "print" }} */
    this.place = { id: null, n: 0 };
    this.lit = null;
    this.begun = false;
    // Space or P plays, unless a control has the focus, which Space belongs to.
    el.addEventListener("keydown", (event) => {
      const { target, key } = event;
      const control = /** @type {HTMLElement} */ (target).closest(
        "button, a, input, select, summary, [role=slider], [role=button]",
      );
      if (
        (key !== " " && key !== "p") ||
        (control && key === " ") ||
        /** @type {HTMLElement} */ (target).matches("input, select")
      )
        return;
      const play = el.querySelector(".nt-controls .nt-primary");
      if (!play || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      /** @type {HTMLElement} */ (play).click();
    });
    this.scenes = null;
    this.live = [];
  }

  /**
   * @param {string | null} id
   * @param {number | "print"} [n] the step, counted from 0
   * @param {string} [own] what a link brings along, as `shared` writes it
   */
  show(id, n = 0, own = "") {
    this.stop();
    const lesson = LESSONS.find((one) => one.id === id);
    const bounded = n === "print" || !lesson ? n : Math.max(0, Math.min(lesson.steps.length - 1, n));
    this.place = { id: lesson ? id : null, n: bounded };
    this.stages = [];
    if (!lesson) this.drawMap();
    else if (n === "print") this.drawSheet(lesson);
    else this.drawStep(lesson, Number(bounded), ownOf(own));
    this.el.lang = this.language;
    if (!this.begun) {
      this.begun = true;
      return;
    }
    // What follows is read from its beginning, and the keys are free: no button has the focus.
    /** @type {HTMLElement | null} */ (this.el.querySelector("[data-focus]"))?.focus({ preventScroll: true });
    this.el.scrollIntoView?.({ block: "start" });
  }

  // A link to a place of the course; on a page that holds it, without loading anything.
  link(css, attributes, id, n, ...children) {
    const { go, href } = this.host;
    return h(
      css,
      {
        href: href(id, n),
        onclick: (event) => {
          if (!go || event.ctrlKey || event.metaKey || event.shiftKey) return;
          if (!this.here(id)) return;
          event.preventDefault();
          go(id, n);
        },
        ...attributes,
      },
      children,
    );
  }

  speak(language) {
    this.language = language;
    this.text = TEXTS[language];
    keep(LANGUAGE, language);
    this.show(this.place.id, this.place.n);
    /** @type {HTMLElement | null} */ (this.el.querySelector("header select"))?.focus();
  }

  here(id) {
    return this.host.only === undefined || this.host.only === id;
  }

  header(...tools) {
    const { ui } = this.text;
    return h(
      "header.nt-top.nt-no-print",
      null,
      h("h1", null, ui.title, h("span", null, ui.subtitle)),
      h(
        "nav.nt-top-tools",
        { "aria-label": ui.lessons },
        tools,
        select(
          ui.languageName,
          this.language,
          Object.entries(TEXTS).map(([key, { language }]) => [key, language]),
          (language) => this.speak(language),
        ),
        this.host.free
          ? h("button", { type: "button", onclick: () => this.host.free() }, ui.free)
          : this.host.docs && h("a.nt-button", { href: this.host.docs }, ui.docs),
      ),
    );
  }

  // --- the map ---

  drawMap() {
    const { ui, lessons } = this.text;
    const first = LESSONS.findIndex(({ id, steps }) => !steps.every((_, n) => isDone(id, n)));
    const any = Object.keys(done).length > 0;
    const cards = LESSONS.map((lesson, place) => {
      const count = lesson.steps.filter((_, n) => isDone(lesson.id, n)).length;
      const whole = count === lesson.steps.length;
      const next = lesson.steps.findIndex((_, n) => !isDone(lesson.id, n));
      return h(
        "li",
        { class: place === first ? "nt-card nt-card-next" : "nt-card" },
        place === first && h("span.nt-flag", null, any ? ui.continue : ui.start),
        h("h2", null, this.link("a", null, lesson.id, Math.max(0, next), `${place + 1}. ${lessons[lesson.id].title}`)),
        h("p", null, lessons[lesson.id].goal),
        h(
          "p.nt-quiet",
          null,
          h(
            "span.nt-dots",
            { "aria-hidden": "true" },
            lesson.steps.map((_, n) => h("i", { class: isDone(lesson.id, n) ? "nt-dot-done" : "" })),
          ),
          whole ? `✓ ${ui.done}` : `${count} ${ui.of} ${lesson.steps.length}`,
        ),
      );
    });
    replace(
      this.el,
      h(
        "div.nt.nt-course",
        null,
        this.header(),
        h(
          "div.nt-map",
          null,
          h("h2.nt-map-title", { tabindex: "-1", "data-focus": "" }, ui.map),
          h("p.nt-lead", null, ui.mapGoal),
          h("ol.nt-cards", null, cards),
          this.allSteps(),
          h(
            "p",
            null,
            h(
              "button",
              {
                type: "button",
                disabled: !any,
                onclick: () => {
                  done = {};
                  keep(STORE, "{}");
                  this.show(null);
                },
              },
              ui.clear,
            ),
          ),
          !this.host.free && h("p.nt-quiet", null, ui.freeHint),
        ),
      ),
    );
    this.ready();
  }

  // One link a step, and one to the sheet of each lesson: what a teacher copies from.
  allSteps() {
    const { ui, lessons } = this.text;
    return h(
      "details.nt-all-steps",
      null,
      h("summary", null, ui.allSteps),
      h(
        "ol",
        null,
        LESSONS.map(({ id, steps }) =>
          h(
            "li",
            null,
            lessons[id].title,
            " (",
            this.link("a", null, id, "print", ui.sheet),
            ")",
            h(
              "ol",
              null,
              steps.map((_, n) => h("li", null, this.link("a", null, id, n, lessons[id].steps[n].title))),
            ),
          ),
        ),
      ),
    );
  }

  // --- one step ---

  drawStep(lesson, n, own) {
    const { ui, lessons } = this.text;
    const words = lessons[lesson.id];
    const place = LESSONS.indexOf(lesson);
    const step = lesson.steps[n];
    const live = [];
    const stage = new Stage(this.host.source, step, () => this.redraw(), own);
    this.stages = [stage];
    stage.named = (method) => this.methodName(step.setup.methods[method]);
    const scenes = h("div.nt-scenes");
    const { node: asked, rest } = this.question(lesson, n, stage, live, scenes);
    const following = LESSONS[place + 1];
    const last = n === lesson.steps.length - 1;
    const dots = h(
      "ol.nt-steps",
      { "aria-label": words.title },
      lesson.steps.map((_, k) =>
        h(
          "li",
          null,
          this.link(
            "a",
            {
              "aria-current": k === n ? "step" : null,
              class: isDone(lesson.id, k) ? "nt-dot-done" : "",
              "aria-label": `${ui.step} ${k + 1}: ${words.steps[k].title}`,
            },
            lesson.id,
            k,
            String(k + 1),
          ),
        ),
      ),
    );
    const before = h(
      "div.nt-words.nt-before",
      null,
      h("p.nt-quiet", null, `${ui.lesson} ${place + 1}: ${words.title}`),
      dots,
      h("h2", { tabindex: "-1", "data-focus": "" }, words.steps[n].title),
      words.steps[n].say.map((text) =>
        h(
          "p",
          null,
          rich(
            text,
            (fill) => live.push(fill),
            (part) => this.light(scenes, part),
          ),
        ),
      ),
    );
    const after = h(
      "div.nt-words.nt-after",
      null,
      asked,
      rest,
      last && this.ending(words),
      h(
        "nav.nt-lesson-foot",
        { "aria-label": ui.step },
        n > 0 && this.link("a.nt-button", null, lesson.id, n - 1, ui.back),
        last
          ? following
            ? this.link(
                "a.nt-button.nt-primary",
                null,
                following.id,
                0,
                `${ui.nextLesson}: ${lessons[following.id].title}`,
              )
            : this.link("a.nt-button.nt-primary", null, null, 0, ui.map)
          : this.link("a.nt-button.nt-primary", null, lesson.id, n + 1, ui.next),
      ),
    );
    this.fill(scenes, stage, step, words.steps[n]);
    const origin = h("p.nt-quiet.nt-origin", { role: "status" });
    const tools = this.tools(stage, lesson, n);
    live.push((picture) => {
      const text = picture.computed === "newtron" ? ui.byNewtron : ui.byBrowser;
      if (origin.textContent !== text) origin.textContent = text;
      origin.dataset.computed = picture.computed;
    });
    const picture = h(
      "div.nt-scene-side",
      null,
      this.controls(stage, step),
      scenes,
      h("div.nt-scene-foot", null, origin, tools),
    );
    this.live = live;
    replace(
      this.el,
      h(
        "div.nt.nt-course",
        null,
        this.header(
          this.link("a.nt-button", null, null, 0, ui.map),
          this.link("a.nt-button", null, lesson.id, "print", ui.print),
        ),
        h("div.nt-lesson-view", null, before, picture, after),
      ),
    );
    this.scenes = scenes;
    stage.load().then(() => this.ready());
  }

  // The scenes of a step, which stand empty until its run is here.
  fill(scenes, stage, step, text) {
    stage.scenes = step.scenes.map(([name, options]) => {
      const id = unique("told");
      const scene = { ...SCENES[name](stage, options, this.text.words, text), told: h("p.nt-sr", { id }) };
      if (scene.tell) scene.node.querySelector("svg")?.setAttribute("aria-describedby", id);
      return scene;
    });
    replace(
      scenes,
      stage.scenes.map(({ node, tell, told: words }) => h("figure.nt-scene", null, node, tell ? words : null)),
    );
  }

  light(scenes, part) {
    this.lit = part;
    for (const node of scenes.querySelectorAll("[data-part]"))
      node.classList.toggle("nt-lit", part !== null && node.dataset.part.split(" ").includes(part));
    scenes.classList.toggle("nt-has-lit", part !== null);
  }

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      for (const stage of this.stages) this.drawStage(stage);
    });
  }

  drawStage(stage) {
    const picture = stage.picture();
    const node = this.el.querySelector(".nt-stage-error");
    if (node) node.textContent = stage.refused ? this.refusal(stage) : stage.error;
    if (!picture) return;
    for (const scene of stage.scenes) scene.renew(picture);
    for (const fill of this.live ?? []) fill(picture);
    stage.drawn?.(picture);
    if (this.lit && this.scenes) this.light(this.scenes, this.lit);
    clearTimeout(this.telling);
    this.telling = setTimeout(() => this.tell(), REST);
  }

  // Each picture in words, for readers who hear it, once it rests.
  tell() {
    for (const stage of this.stages) {
      const picture = stage.picture();
      for (const scene of picture ? stage.scenes : []) if (scene.tell) scene.told.textContent = scene.tell(picture);
    }
  }

  refusal({ refused, base }) {
    const { ui } = this.text;
    const names = [...(base.problem.inputs.length > 1 ? ["x", "x2"] : ["x"]), "y"].join(", ");
    return told(ui.ownRows, { why: told(ui[refused], { names }) });
  }

  ready() {
    this.redraw();
    requestAnimationFrame(() => this.el.firstElementChild?.setAttribute("data-ready", "true"));
  }

  // --- controls over the scenes ---

  controls(stage, step) {
    const { ui } = this.text;
    const wanted = step.controls;
    const bar = h("div.nt-controls.nt-no-print", { role: "group" });
    const error = h("p.nt-stage-error", { role: "alert" });
    let drawn = "";
    stage.drawn = (picture) => {
      const key = JSON.stringify([
        picture.ways.map((way) => way.length),
        picture.row,
        picture.param,
        picture.method,
        picture.rate,
        stage.own.half,
        stage.isOwn,
        Boolean(this.playing),
      ]);
      if (key !== drawn) {
        drawn = key;
        const at = bar.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
        replace(bar, make(picture));
        if (at) /** @type {HTMLElement} */ (bar.querySelector(`[aria-label="${CSS.escape(at)}"]`))?.focus();
      }
      const slider = bar.querySelector("[type=range]");
      if (slider) {
        slider.value = String(picture.k);
        slider.setAttribute("aria-valuetext", `${ui.step} ${picture.k}`);
        bar.querySelector("output.nt-k").textContent =
          `${ui.step.toLowerCase()} ${picture.k} ${ui.of} ${picture.ways[picture.method].length - 1}`;
      }
    };
    const make = (picture) => {
      const last = picture.ways[picture.method].length - 1;
      const { parameters } = picture.problem;
      const m = picture.model.X.length;
      const parts = [];
      if (wanted.includes("scrub"))
        parts.push(
          h(
            "button.nt-primary",
            { type: "button", "aria-label": this.playing ? ui.pause : ui.play, onclick: () => this.toggle(stage) },
            this.playing ? `❚❚ ${ui.pause}` : `▶ ${ui.play}`,
          ),
          h("input.nt-slider", {
            type: "range",
            min: 0,
            max: last,
            step: 1,
            value: picture.k,
            "aria-label": ui.stepOf,
            oninput: ({ target }) => {
              this.stop();
              stage.show({ k: Number(target.value) });
            },
          }),
          h("output.nt-k"),
        );
      if (wanted.includes("method"))
        parts.push(
          segmented(
            ui.method,
            picture.method,
            picture.setup.methods.map((method, n) => [n, [swatch(n), this.methodName(method)]]),
            (method) => stage.show({ method }),
          ),
        );
      else if (picture.ways.length > 1 && step.scenes.some(([name]) => name === "steps" || name === "map"))
        parts.push(
          h(
            "span.nt-key",
            null,
            picture.setup.methods.map(
              (given, n) =>
                step.scenes.some(
                  ([name, { only }]) => (name === "steps" || name === "map") && (only === undefined || only === n),
                ) && h("span", null, swatch(n), this.methodName(given)),
            ),
          ),
        );
      if (wanted.includes("row"))
        parts.push(
          h(
            "span.nt-picker",
            { role: "group", "aria-label": ui.row },
            h(
              "button",
              {
                type: "button",
                "aria-label": `${ui.row} −1`,
                onclick: () => stage.show({ row: (picture.row + m - 1) % m }),
              },
              "◀",
            ),
            h("output", null, `${ui.row} ${picture.row + 1} ${ui.of} ${m}`),
            h(
              "button",
              {
                type: "button",
                "aria-label": `${ui.row} +1`,
                onclick: () => stage.show({ row: (picture.row + 1) % m }),
              },
              "▶",
            ),
          ),
        );
      if (wanted.includes("param") && parameters.length > 1)
        parts.push(
          h(
            "label.nt-check",
            null,
            ui.parameter,
            select(
              ui.parameter,
              picture.param,
              parameters.map((p, n) => [n, plain(p.plain)]),
              (param) => stage.show({ param: Number(param) }),
            ),
          ),
        );
      if (wanted.includes("rate"))
        parts.push(
          h(
            "label.nt-check",
            null,
            ui.rate,
            number(ui.rate, picture.rate, { above: 0, most: 100, class: "nt-small" }, (rate) => stage.change({ rate })),
          ),
        );
      if (wanted.includes("half"))
        parts.push(
          h(
            "label.nt-check",
            null,
            h("input", {
              type: "checkbox",
              checked: stage.own.half === undefined,
              "aria-label": ui.half,
              onchange: ({ target }) => {
                if (target.checked) {
                  const { half, ...own } = stage.own;
                  stage.own = own;
                  stage.renew();
                } else stage.change({ half: 1 });
              },
            }),
            ui.half,
          ),
        );
      if (stage.isOwn)
        parts.push(
          h("button.nt-link", { type: "button", "aria-label": ui.reset, onclick: () => stage.reset() }, ui.reset),
        );
      return parts;
    };
    bar.addEventListener("nt-refused", (event) => {
      error.textContent = /** @type {CustomEvent} */ (event).detail;
    });
    return h("div", null, bar, error);
  }

  methodName({ solver, damped }) {
    const { ui } = this.text;
    return solver === "newton" && !damped ? ui.undamped : ui[solver];
  }

  toggle(stage) {
    if (this.playing) {
      this.stop();
      return stage.renew();
    }
    const { k, ways, method } = stage.picture();
    const last = ways[method].length - 1;
    if (k >= last) stage.show({ k: 0 });
    this.playing = setInterval(
      () => {
        const now = stage.picture();
        if (now.k >= last) {
          this.stop();
          return stage.renew();
        }
        stage.show({ k: now.k + 1 });
      },
      Math.max(80, Math.min(500, 6000 / (last + 1))),
    );
    stage.renew();
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
  }

  tools(stage, lesson, n) {
    const { ui } = this.text;
    const said = h("span.nt-quiet", { role: "status" });
    const order = select(
      "NumPy",
      "columns",
      [
        ["columns", ui.columns],
        ["rows", ui.rows],
      ],
      () => {},
    );
    const tell = async (text, word) => {
      said.textContent = (await copy(text)) ? word : ui.notCopied;
    };
    return h(
      "div.nt-copy.nt-no-print",
      null,
      h(
        "button.nt-link",
        {
          type: "button",
          onclick: () => stage.picture() && tell(numpyText(stage.picture(), order.value === "rows"), ui.copied),
        },
        ui.copy,
      ),
      order,
      h(
        "button.nt-link",
        {
          type: "button",
          onclick: () => tell(new URL(this.host.href(lesson.id, n) + shared(stage.own), location.href).href, ui.linked),
        },
        ui.embed,
      ),
      said,
    );
  }

  // --- the question, and what is told after it ---

  question(lesson, n, stage, live, scenes) {
    const { ui, lessons } = this.text;
    const words = lessons[lesson.id].steps[n];
    const { answer } = lesson.steps[n];
    const draw = (text) =>
      rich(
        text,
        (fill) => live.push(fill),
        (part) => this.light(scenes, part),
      );
    const rest = h(
      "div.nt-tell",
      { hidden: !isDone(lesson.id, n) },
      words.tell.map((text) => h("p", null, draw(text))),
    );
    const verdict = h("p", { role: "status" });
    const reveal = () => {
      rest.hidden = false;
      finish(lesson.id, n);
      this.el.querySelectorAll(".nt-steps a")[n]?.classList.add("nt-dot-done");
    };
    const judge = (right) => {
      verdict.className = right ? "nt-right" : "nt-wrong";
      verdict.textContent = right ? `✓ ${ui.right}` : `${ui.wrong} ${ui.hint} ${words.hint}`;
      if (right) reveal();
    };
    const show = h(
      "button.nt-link",
      {
        type: "button",
        onclick: () => {
          reveal();
          verdict.textContent = "";
        },
      },
      ui.showAnswer,
    );
    const id = unique("asked");
    const body = words.options
      ? h(
          "div.nt-options",
          { role: "group", "aria-labelledby": id },
          words.options.map((option, k) =>
            h(
              "button",
              {
                type: "button",
                onclick: ({ currentTarget }) => {
                  currentTarget.classList.add(k === answer ? "nt-option-right" : "nt-option-wrong");
                  judge(k === answer);
                },
              },
              option,
            ),
          ),
        )
      : this.numeric(answer, stage, judge, id);
    const node = h(
      "section.nt-asked.nt-hero",
      { "aria-labelledby": id },
      h("p.nt-quiet", null, ui.question),
      h("p.nt-asked-text", { id }, draw(words.ask)),
      body,
      verdict,
      show,
    );
    return { node, rest };
  }

  // A number is right to one part in fifty: enough to have computed it and not guessed.
  numeric(answer, stage, judge, id) {
    const { ui } = this.text;
    const tell = () => {
      const picture = stage.picture();
      if (input.value.trim() === "" || !picture) return;
      const value = answer.value ?? NUMBERS[answer.of](picture);
      const given = Number(input.value.trim().replace(",", ".").replace("−", "-"));
      judge(Math.abs(given - value) <= 0.02 * Math.abs(value) + 1e-12);
    };
    const input = h("input.nt-small", {
      type: "text",
      inputmode: "decimal",
      "aria-labelledby": id,
      onkeydown: (event) => event.key === "Enter" && tell(),
    });
    return h("div.nt-quiz", null, input, h("button", { type: "button", onclick: tell }, ui.check));
  }

  ending(words) {
    return h(
      "section.nt-known",
      { "aria-label": this.text.ui.known },
      h("h3", null, this.text.ui.known),
      h(
        "ul",
        null,
        words.known.map((text) => h("li", null, text)),
      ),
    );
  }

  // --- a sheet to print: tasks with space, then the solutions ---

  drawSheet(lesson) {
    const { ui, lessons } = this.text;
    const words = lessons[lesson.id];
    const place = LESSONS.indexOf(lesson);
    const all = [];
    const tasks = lesson.steps.map((step, n) => {
      const live = [];
      const scenes = h("div.nt-scenes");
      const stage = new Stage(this.host.source, step, () => this.redraw());
      stage.named = (method) => this.methodName(step.setup.methods[method]);
      this.stages.push(stage);
      this.fill(scenes, stage, step, words.steps[n]);
      for (const scene of stage.scenes) scene.all?.();
      stage.drawn = (picture) => live.forEach((fill) => fill(picture));
      const draw = (text) =>
        rich(
          text,
          (fill) => live.push(fill),
          () => {},
        );
      all.push(stage.load());
      const text = words.steps[n];
      const task = h(
        "section.nt-task",
        null,
        h("h3", null, `${n + 1}. ${text.title}`),
        text.say.map((part) => h("p", null, draw(part))),
        scenes,
        h("p.nt-asked-text", null, draw(text.ask)),
        text.options &&
          h(
            "ul.nt-boxes",
            null,
            text.options.map((option) => h("li", null, option)),
          ),
        h("p.nt-space", null, ui.space),
      );
      const solution = h(
        "li",
        null,
        text.options && !opens(text.tell[0], text.options[step.answer])
          ? h("b", null, `${text.options[step.answer]}. `)
          : null,
        text.tell.map((part) => h("span", null, draw(part), " ")),
      );
      return { task, solution };
    });
    this.live = [];
    replace(
      this.el,
      h(
        "div.nt.nt-course.nt-sheet",
        null,
        this.header(
          this.link("a.nt-button", null, lesson.id, 0, ui.screen),
          h("button", { type: "button", onclick: () => window.print() }, ui.print),
        ),
        h("h2", { tabindex: "-1", "data-focus": "" }, `${ui.lesson} ${place + 1}: ${words.title}`),
        h("p.nt-lead", null, words.goal),
        tasks.map(({ task }) => task),
        this.ending(words),
        h(
          "section.nt-solutions",
          null,
          h("h3", null, ui.solutions),
          h(
            "ol",
            null,
            tasks.map(({ solution }) => solution),
          ),
        ),
      ),
    );
    Promise.all(all).then(() => this.ready());
  }
}
