// newtron's page as one module, in the form of anywidget's front end: `export default { render }`. The same module is
// the page of `newtron play` and of a saved run; what differs is how Python is reached, or that it is not.
import katex from "katex";
import { App } from "./app.js";
import { Course, LESSONS } from "./course/course.js";
import * as mirror from "./course/mirror.js";
import { numpyText } from "./course/numpy.js";
import { wayOf } from "./course/solvers.js";
import { dataPanel } from "./datapanel.js";
import { download, h, memo, replace } from "./dom.js";
import { landscapePanel } from "./landscape.js";
import { lossPanel } from "./lossplot.js";
import { TABS, mathsPanel } from "./maths.js";
import { networkPanel } from "./network.js";
import { endings, scrubber } from "./scrub.js";
import { setupPanel } from "./setup.js";
import { Http, Recorded, Widget } from "./source.js";
import { unpacked } from "./url.js";

/** @import { SavedState, WidgetModel } from "../types/page" */

const KEYS = [
  ["← →", "one step back, one on"],
  ["Shift + ← →", "ten steps"],
  ["Home, End", "first, last step"],
  ["P, or Space", "play, pause"],
  ["1 … 6", "Forward, Loss, Backward, Hessian, Update, Check"],
  ["M", "the other method"],
  ["?", "this list"],
];

/** @param {App} app */
function mount(app, el) {
  const panel = (key, title) => {
    const body = h("div.nt-body");
    return [
      h(
        "section.nt-panel",
        { class: `nt-panel nt-${key}`, "aria-label": title, "data-panel": key },
        h("h2", null, title),
        body,
      ),
      body,
    ];
  };
  const [data, dataBody] = panel("data", "Data and model");
  const [network, networkBody] = panel("network", "Network");
  const [landscape, landscapeBody] = panel("landscape", "Loss over the parameters");
  const [loss, lossBody] = panel("loss", "Loss by step");
  const [maths, mathsBody] = panel("maths", "Mathematics");
  const setup = h("div.nt-setup-body");
  const steer = h(
    "details.nt-setup",
    { open: (el.clientWidth || window.innerWidth) > 700 },
    h("summary", null, "Data, model and methods"),
    setup,
  );
  const notices = h("div.nt-notices");
  const ends = h("div.nt-endings", { role: "status" });
  const scrub = h("div.nt-scrub", { role: "region", "aria-label": "Steps" });
  const help = h(
    "dialog.nt-help",
    { "aria-label": "Keys" },
    h("h2", null, "Keys"),
    h(
      "dl",
      null,
      KEYS.map(([key, text]) => [h("dt", null, key), h("dd", null, text)]),
    ),
    h("form", { method: "dialog" }, h("button", null, "Close")),
  );
  const grid = h("div.nt-grid", null, data, network, landscape, loss, maths);
  const bottom = h("div.nt-bottom", null, ends, scrub);
  // In a notebook a click must take the keys from the cell.
  const root = h(
    "div.nt",
    { tabindex: el.id === "newtron" ? null : "-1" },
    header(app, help),
    notices,
    app.offline ? null : steer,
    grid,
    bottom,
    help,
  );
  // A control that was given what it cannot take says so, and keeps what it has.
  root.addEventListener("nt-refused", (event) => app.fail(/** @type {CustomEvent} */ (event).detail));
  replace(el, root);
  const panels = [
    setupPanel(app, setup),
    dataPanel(app, dataBody),
    networkPanel(app, networkBody),
    landscapePanel(app, landscapeBody),
    lossPanel(app, lossBody),
    mathsPanel(app, mathsBody),
    endings(app, ends),
    scrubber(app, scrub),
  ];
  const noticed = memo();
  app.panels = [
    ...panels,
    () => {
      noticed([app.gone, app.error, app.busy, Boolean(app.run), app.note, app.run?.problem.notes ?? []], () =>
        drawNotices(app, notices),
      );
      root.classList.toggle("nt-busy", app.busy);
      root.classList.toggle("nt-nothing", !app.run && !app.busy && Boolean(app.error) && !app.before);
      root.classList.toggle("nt-unshown", Boolean(app.before));
    },
  ];
  app.onready = () => {
    if (app.run || app.error) root.dataset.ready = "true";
  };
  const stop = keys(app, root, help);
  const sizes = new ResizeObserver(() => app.redraw(false));
  sizes.observe(root);
  return () => {
    stop();
    sizes.disconnect();
    app.stop();
  };
}

/** @param {App} app */
function header(app, help) {
  return h(
    "header.nt-top",
    null,
    h("h1", null, "newtron", h("span", null, "see and steer every derivative")),
    h(
      "div.nt-top-tools",
      null,
      app.offline
        ? null
        : h("button.nt-primary", { type: "button", onclick: () => app.openLessons() }, "Lessons: start here"),
      h("button", { type: "button", onclick: () => exportJson(app) }, "Save JSON"),
      app.offline
        ? null
        : h("button", { type: "button", onclick: (event) => exportHtml(app, event.target) }, "Save page"),
      h("button", { type: "button", "aria-label": "Keys", title: "Keys", onclick: () => help.showModal() }, "?"),
    ),
  );
}

/** @param {App} app */
function drawNotices(app, notices) {
  const parts = [];
  const [before, command, after] = app.source?.gone.again ?? [];
  if (app.gone)
    parts.push(
      h(
        "div.nt-banner",
        { role: "alert" },
        h("b", null, app.source.gone.what),
        " What is here stays and can be scrubbed and saved as JSON; for anything new ",
        before,
        h("code", null, command),
        `${after}.`,
      ),
    );
  if (app.error)
    parts.push(
      h(
        "div.nt-error",
        { role: "alert" },
        app.error,
        " ",
        app.before &&
          h("button.nt-link", { type: "button", onclick: () => app.goBack() }, "Back to what was shown before"),
        h(
          "button.nt-link",
          {
            type: "button",
            onclick: () => {
              app.error = "";
              app.redraw(true);
            },
          },
          "Close",
        ),
      ),
    );
  if (app.busy && !app.run) parts.push(h("div.nt-note", { role: "status" }, "Python is computing …"));
  else if (app.busy)
    parts.push(
      h(
        "div.nt-note",
        { role: "status" },
        "Python is computing … ",
        h("button.nt-link", { type: "button", onclick: () => app.cancel() }, "Cancel"),
      ),
    );
  for (const note of [app.note, ...(app.run?.problem.notes ?? [])]) if (note) parts.push(h("div.nt-note", null, note));
  replace(notices, parts);
}

// --- keys ---

/** @param {App} app */
function keys(app, root, help) {
  const standalone = root.closest("#newtron") !== null;
  const listen = (event) => {
    if (root.hidden) return; // the lessons are shown
    const inside = root.contains(event.target);
    if (!inside && !(standalone && event.target === document.body)) return;
    // A notebook would take arrows for its own cells.
    if (!standalone) event.stopPropagation();
    const typing =
      ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) &&
      event.target.type !== "range" &&
      event.target.type !== "checkbox";
    if (typing || event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.getAttribute?.("role") === "tab" && event.key.startsWith("Arrow")) return;
    const jump = event.shiftKey ? 10 : 1;
    const actions = {
      ArrowRight: () => app.go(app.view.step + jump),
      ArrowLeft: () => app.go(app.view.step - jump),
      Home: () => app.go(0),
      End: () => app.run && app.go(app.lastStep),
      " ": () => app.toggle(),
      p: () => app.toggle(),
      "?": () => help.showModal(),
      m: () => app.run && app.show({ active: (app.view.active + 1) % app.run.runs.length }),
    };
    const pressing = ["BUTTON", "SUMMARY"].includes(event.target.tagName) || event.target.type === "checkbox";
    if (event.key === " " && pressing) return;
    const tab = /^[1-6]$/.test(event.key) ? () => app.show({ tab: TABS[Number(event.key) - 1][0] }) : null;
    const action = actions[event.key] ?? tab;
    if (!action) return;
    event.preventDefault();
    if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") app.stop();
    action();
  };
  window.addEventListener("keydown", listen, true);
  return () => window.removeEventListener("keydown", listen, true);
}

// --- files ---

/** @param {App} app */
function exportJson(app) {
  if (!app.run) return;
  const { problem, runs, start } = app.run;
  const plain = runs.map((run, m) => {
    const { frames, decoded, ...rest } = run;
    return { method: app.run.setup.methods[m], ...rest };
  });
  download(
    "newtron-run.json",
    JSON.stringify({ setup: app.run.setup, problem, start, runs: plain }, null, 1),
    "application/json",
  );
}

// A page without Python: the run, the pictures that were in view, and the derivations, which Python adds.
/** @param {App} app */
async function exportHtml(app, button) {
  if (!app.run || app.gone) return;
  const text = button.textContent;
  button.disabled = true;
  button.textContent = "Saving …";
  try {
    const { kept, ...run } = app.run;
    const state = {
      setup: run.setup,
      view: app.view,
      run: { ...run, runs: run.runs.map(({ decoded, ...rest }) => rest) },
      pictures: Object.fromEntries(kept.pictures),
    };
    const answer = await app.ask({ kind: "export", setup: run.setup, state });
    if (answer.html) download("newtron-run.html", answer.html, "text/html");
    else app.fail(answer.error);
  } finally {
    button.disabled = false;
    button.textContent = text;
  }
}

// --- hosts ---

/** @param {{ model: WidgetModel, el: HTMLElement }} host */
function render({ model, el }) {
  const saved = model.get("saved");
  const source = model.source ?? (saved ? null : new Widget(model));
  const app = new App(source, saved);
  const end = mount(app, el);
  if (!app.offline) lessonsOf(app, el);
  app.begin();
  source?.watch(() => app.setGone(true));
  if (el.id === "newtron") window.newtron = app;
  return () => {
    end();
    source?.close?.();
  };
}

// KaTeX as it is in the page, with which the tests set every formula that an explanation writes.
export { katex };
export default { render };

// The lessons beside the free mode: one of the two is shown. Where the page has an address, a step of a lesson has one.
/** @param {App} app */
function lessonsOf(app, el) {
  const lab = el.firstElementChild;
  const place = h("div", { hidden: true });
  el.append(place);
  const token = app.source.url ? `token=${app.source.token}&` : "";
  /** @type {(id: string | null, n?: number | "print") => string} */
  const href = (id, n = 0) => `#${token}lesson=${id === null ? "map" : `${id}/${n === "print" ? n : n + 1}`}`;
  const free = () => {
    course.stop();
    app.aside = false;
    place.hidden = true;
    lab.hidden = false;
    app.writeUrl();
    app.redraw(false);
  };
  const show = (id, n, own = "") => {
    app.stop();
    app.aside = true;
    clearTimeout(app.urlTimer);
    lab.hidden = true;
    place.hidden = false;
    course.show(id, n, own);
  };
  const go = (id, n) => {
    if (app.source.url) history.pushState(null, "", href(id, n));
    show(id, n);
  };
  const course = new Course(place, { source: app.source, href, go, free });
  app.course = course;
  app.openLessons = () => go(null);
  if (!app.source.url) return;
  const follow = () => {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("lesson");
    if (wanted !== null) show(...placeOf(location.hash.split("lesson=")[1]));
    else if (!place.hidden) free();
  };
  window.addEventListener("popstate", follow);
  follow();
}

// "backprop/3", or "6/3" by the lesson's number: its key, and its step counted from 0.
/**
 * @param {string} text
 * @returns {[string | null, number | "print", string]}
 */
function placeOf(text) {
  const [place, own = ""] = text.split("?");
  const [name, step] = place.split("/");
  const lesson = LESSONS[Number(name) - 1] ?? LESSONS.find(({ id }) => id === name);
  return [lesson?.id ?? null, step === "print" ? "print" : Math.max(0, (Number(step) || 1) - 1), own];
}

// A page of the lessons by link: the map, or one lesson with what newtron answered when the page was made.
function bootLesson(el) {
  const { lesson, docs } = el.dataset;
  const record = JSON.parse(document.getElementById("newtron-record")?.textContent ?? "[]");
  const only = lesson === "" ? null : lesson;
  /** @type {(id: string | null, n?: number | "print") => string} */
  const href = (id, n = 0) => (id === null ? "index.html" : `${id}.html#${n === "print" ? n : n + 1}`);
  const go = (id, n) => {
    history.pushState(null, "", href(id, n));
    course.show(id, n);
  };
  const course = new Course(el, { source: new Recorded(record), href, go, free: null, only, docs });
  const follow = () => course.show(only, ...stepOf(`${only}/${location.hash.slice(1)}`));
  const stepOf = (text) => /** @type {[number | "print", string]} */ (placeOf(text).slice(1));
  window.addEventListener("popstate", follow);
  window.newtron = { course, mirror, numpyText, wayOf };
  follow();
  // Formulas are drawn by the script, so their fonts come after it and hold nothing up.
  document.head.append(h("link", { rel: "stylesheet", href: "fonts.css" }));
}

async function boot(own) {
  const text = document.getElementById("newtron-state")?.textContent;
  const saved = text ? JSON.parse(await unpacked(text)) : null;
  render({
    model: { get: (name) => (name === "saved" ? saved : undefined), source: saved ? null : new Http() },
    el: own,
  });
}
const own = typeof document === "undefined" ? null : document.getElementById("newtron");
if (own) boot(own);
const lesson = typeof document === "undefined" ? null : document.getElementById("newtron-lesson");
if (lesson) bootLesson(lesson);
