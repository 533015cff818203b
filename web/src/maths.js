// The derivation: symbols, the same line in numbers, the result; as Python's explanation tells it.
import { copy, fmt, h, header, line, math, memo, num, replace, same, segmented } from "./dom.js";

export const TABS = [
  ["forward", "Forward"], ["loss", "Loss"], ["backward", "Backward"], ["newton", "Hessian"], ["update", "Update"], ["check", "Check"],
];
const SECTIONS = {
  forward: ["scaling", "forward", "answer"], loss: ["loss"], backward: ["backward", "mean"], newton: ["newton"],
  update: ["update", "solver"], check: ["check"],
};
// These are about the whole objective: a step is never taken for one example alone.
const ALWAYS_MEAN = new Set(["newton", "update"]);

export function mathsPanel(app, body) {
  const tabs = h("div.nt-tabs", { role: "tablist", "aria-label": "Mathematics" });
  const tools = h("div.nt-bar");
  const content = h("div.nt-story", { role: "tabpanel", tabindex: "0", id: "nt-maths", "aria-live": "off" });
  replace(body, tabs, tools, content);
  const [tabsChanged, toolsChanged, contentChanged] = [memo(), memo(), memo()];
  return () => {
    if (!app.run) return;
    const { view } = app;
    tabsChanged(view.tab, () => drawTabs(app, tabs, content));
    toolsChanged([same(app.run), view.tab, view.scope, view.row, view.notation], () => drawTools(app, tools));
    const check = app.checks?.get(checkKey(app));
    contentChanged([same(app.run), same(app.story(scopeOf(app))), same(check), same(app.quiz), view.tab, view.scope, view.row, view.param, view.notation, view.step, view.active],
      () => drawContent(app, content));
  };
}

export function scopeOf(app) {
  return ALWAYS_MEAN.has(app.view.tab) ? "all" : app.view.scope;
}

function drawTabs(app, tabs, content) {
  const focused = tabs.contains(document.activeElement);
  replace(tabs, TABS.map(([key, text], n) => h("button", {
    type: "button", role: "tab", id: `nt-tab-${key}`, "aria-controls": "nt-maths", "aria-selected": String(app.view.tab === key),
    tabindex: app.view.tab === key ? "0" : "-1", title: `Key ${n + 1}`, onclick: () => app.show({ tab: key }),
    onkeydown: (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.stopPropagation();
      event.preventDefault();
      app.show({ tab: TABS[(n + by + TABS.length) % TABS.length][0] });
    },
  }, text)));
  content.setAttribute("aria-labelledby", `nt-tab-${app.view.tab}`);
  if (focused) tabs.querySelector('[aria-selected="true"]').focus();
}

function drawTools(app, tools) {
  const focused = tools.contains(document.activeElement) ? document.activeElement.textContent : null;
  const { view } = app;
  const said = h("span.nt-quiet", { role: "status" });
  const copied = (text) => async () => {
    const value = await text();
    said.textContent = value && (await copy(value)) ? "copied" : "could not be copied";
  };
  const ask = (kind) => async () => (await app.ask({
    kind, setup: app.run.setup, params: app.params, row: scopeOf(app) === "row" ? view.row : null, method: app.run.setup.methods[view.active], notation: view.notation,
  })).text;
  replace(tools,
    ALWAYS_MEAN.has(view.tab)
      ? h("span.nt-quiet", null, `mean over all ${app.run.problem.X.length} rows`)
      : segmented("Of which rows", view.scope, [["row", `Example ${view.row + 1}`], ["all", `Mean over ${app.run.problem.X.length}`]], (scope) => app.show({ scope })),
    segmented("Notation", view.notation, [["lecture", "Lecture", "ŷ, one number at a time"], ["lab", "Lab", "A, Z, W as matrices"]], (notation) => app.show({ notation })),
    app.offline ? null : h("span.nt-copy", null,
      h("button.nt-link", { type: "button", onclick: copied(ask("latex")) }, "Copy LaTeX"),
      h("button.nt-link", { type: "button", onclick: copied(ask("python")) }, "Copy Python"), said));
  if (focused) [...tools.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
}

function drawContent(app, content) {
  const { tab, notation } = app.view;
  const story = app.story(scopeOf(app));
  if (!story) {
    content.classList.add("nt-stale");
    if (!content.firstChild || app.offline) replace(content, h("p.nt-quiet", null, app.offline ? "No derivation was saved for this choice." : "…"));
    return;
  }
  content.classList.remove("nt-stale");
  const place = content.scrollTop;
  const parts = [];
  if (story.savedAt !== undefined && story.savedAt !== app.stepOf(app.view.active)) {
    parts.push(h("p.nt-note", null, `Only the derivations of some steps are here; these are the numbers of step ${story.savedAt}.`));
  }
  if (tab === "backward") parts.push(scopeOf(app) === "row" ? hero(app, story) : meanHero(app, story));
  if (tab === "check") parts.push(checker(app));
  if (tab === "newton") parts.push(eigenvalues(app));
  if (!(tab === "backward" && app.quiz)) {
    for (const section of story.sections.filter(({ key }) => SECTIONS[tab].includes(key))) {
      const steps = section.steps.filter((step) => step.notation === "" || step.notation === notation);
      if (!steps.length) continue;
      parts.push(h("h3", null, section.title), steps.map((step) => drawStep(app, step)));
    }
  }
  replace(content, parts);
  if (place) content.scrollTop = place;
}

// --- one step ---

const words = (sentence) => sentence.map((part) => (part.tex ? math(part.tex) : part.text));

function drawStep(app, step) {
  return h("div.nt-step", { "data-step": step.key },
    line(step.tex),
    step.numbers && h("div.nt-numbers", { "data-v": step.value ?? "" }, line(step.numbers)),
    !step.numbers && step.value !== null && h("div.nt-numbers", null, h("div.nt-line", null, "= ", num(step.value))),
    step.matrix && matrix(step.matrix),
    step.lines.length > 0 && h("details.nt-lines", { open: step.lines.length < 4 }, h("summary", null, "How this is derived"), step.lines.map((text) => line(text))),
    step.sentence.length > 0 && h("p", null, words(step.sentence)),
    step.table && table(app, step.table));
}

function matrix({ values, shape, cut }) {
  const rows = values.map((row) => h("tr", null, row.map((v) => h("td", null, num(v, 4)))));
  const size = shape.length === 1 ? `${shape[0]} numbers` : `${shape[0]} × ${shape[1]}`;
  return h("div.nt-scroll", { tabindex: "0", role: "group", "aria-label": `Matrix, ${size}` }, h("table.nt-matrix", null, h("tbody", null, rows)),
    h("span.nt-quiet", null, cut ? `${size}, of which a corner is shown` : size));
}

function table(app, { columns, lines, texts, values, reused, hidden, product }) {
  const symbols = app.run.problem.parameters.map((p) => p.plain);
  const head = h("tr", null, h("th", { scope: "col" }, h("span.nt-sr", null, "of")),
    columns.map(({ tex, text }, c) => [
      product && c > 0 && h("td.nt-op", { "aria-hidden": "true" }, c === columns.length - 1 ? "=" : "·"),
      h("th", { scope: "col", class: reused.includes(c) ? "nt-reused" : "", title: reused.includes(c) ? "already computed above" : null }, header(tex, text)),
    ]));
  const body = lines.map(({ tex, plain, text, name }, n) => {
    const index = symbols.indexOf(plain);
    const cells = values[n].map((v, c) => [
      product && c > 0 && h("td.nt-op", { "aria-hidden": "true" }, c === columns.length - 1 ? "=" : "×"),
      h("td", { class: reused.includes(c) ? "nt-reused" : c === columns.length - 1 ? "nt-result" : "", "data-v": v ?? "" }, texts[n][c].replace(/-/g, "−")),
    ]);
    return h("tr", {
      class: index >= 0 && index === app.view.param ? "nt-chosen" : "", onclick: index >= 0 ? () => app.show({ param: index }) : null,
      style: index >= 0 ? "cursor:pointer" : null,
    }, h("th", { scope: "row" }, header(tex, text), name && h("span.nt-quiet", null, ` ${name}`)), cells);
  });
  return h("div.nt-scroll", { tabindex: "0", role: "group", "aria-label": "Table of numbers" },
    h("table.nt-table", null, h("thead", null, head), h("tbody", null, body)),
    hidden > 0 && h("span.nt-quiet", null, `and ${hidden} more`));
}

// --- the chosen parameter, its chain, and the quiz ---

function hero(app, story) {
  const chain = story.chains[app.view.param];
  if (!chain) return h("p.nt-quiet", null, "Choose a parameter in the network to see its chain of factors.");
  const symbols = h("div.nt-chain", { role: "group", "aria-label": "The chain rule for the chosen parameter" },
    h("span.nt-chain-result", null, math(`\\displaystyle ${chain.result}`)), h("span.nt-op", null, "="),
    chain.factors.map((factor, n) => [
      n > 0 && h("span.nt-op", null, "·"),
      h("span.nt-factor", { class: `nt-factor${chain.reused.includes(n) ? " nt-reused" : ""}`, title: chain.reused.includes(n) ? "reused: found already, one layer up or for another weight" : "this parameter's own factor" },
        math(`\\displaystyle ${factor}`), num(chain.values[n])),
    ]),
    h("span.nt-op", null, "="), app.quiz ? h("span.nt-hidden-number", null, "?") : h("strong", null, num(chain.values.at(-1))));
  return h("section.nt-hero", { "data-chain": app.run.problem.parameters[app.view.param].plain, "aria-label": "Chosen parameter" },
    symbols,
    chain.reused.length > 0 && h("p.nt-quiet", null, "Shaded factors were there already: backpropagation computes them once and uses them again."),
    quiz(app, chain.values.at(-1)));
}

function meanHero(app, story) {
  const parameter = app.run.problem.parameters[app.view.param];
  const value = story.gradient[app.view.param];
  return h("section.nt-hero", { "aria-label": "Chosen parameter" },
    h("div.nt-chain", null, math(`\\displaystyle \\frac{\\partial J}{\\partial ${parameter.tex}} = \\frac{1}{m}\\sum_i \\frac{\\partial L^{(i)}}{\\partial ${parameter.tex}}`), h("span.nt-op", null, "="), h("strong", null, num(value))));
}

function quiz(app, value) {
  if (!app.quiz) {
    return h("button.nt-link", { type: "button", onclick: () => { app.quiz = {}; app.redraw(false); } }, "Predict first: hide the result");
  }
  const answer = h("p", { role: "status" });
  const input = h("input.nt-small", { type: "number", step: "any", "aria-label": "Your result", onkeydown: (event) => event.key === "Enter" && tell() });
  const tell = () => {
    if (input.value === "") return;
    // Two digits are enough to have multiplied rightly.
    const right = Math.abs(Number(input.value) - value) <= 0.02 * Math.abs(value) + 5e-4;
    answer.textContent = right ? `Right: ${fmt(value)}.` : Math.sign(Number(input.value)) === -Math.sign(value) ? "Not yet: look at the signs of the factors." : "Not yet: multiply the factors once more.";
    answer.className = right ? "nt-right" : "nt-wrong";
  };
  return h("div.nt-quiz", null, h("label.nt-field", null, h("span", null, "Multiply the factors"), input),
    h("button", { type: "button", onclick: tell }, "Check"),
    h("button.nt-link", { type: "button", onclick: () => { app.quiz = null; document.activeElement.blur(); app.redraw(false); } }, "Show the result"), answer);
}

// --- the check by differences ---

function checker(app) {
  const parameter = app.run.problem.parameters[app.view.param];
  const scope = app.view.scope;
  const key = checkKey(app);
  const found = app.checks?.get(key);
  const whose = scope === "row" ? `L^{(${app.view.row + 1})}` : "J";
  const ask = async () => {
    const answer = await app.ask({ kind: "check", setup: app.run.setup, params: app.params, row: scope === "row" ? app.view.row : null, index: app.view.param });
    if (!answer.check) return;
    app.checks ??= new Map();
    app.checks.set(key, answer.check);
    app.redraw(false);
  };
  return h("section.nt-hero", { "aria-label": "Check by differences" },
    line(`\\frac{\\partial ${whose}}{\\partial ${parameter.tex}} \\approx \\frac{${whose}(${parameter.tex} + h) - ${whose}(${parameter.tex} - h)}{2h}`),
    found ? differences(found) : app.offline ? null : h("button", { type: "button", onclick: ask }, "Check this partial by differences"));
}

const checkKey = (app) => `${app.serial}/${app.storyKey(app.view.scope)}/${app.view.param}`;

function differences({ exact, lines, best }) {
  return h("div", null,
    h("p", null, "By the chain rule: ", h("strong", null, num(exact, 10)), ". The error falls with h² until rounding eats the digits of the difference; the best agrees to ", num(best, 2), "."),
    h("div.nt-scroll", { tabindex: "0", role: "group", "aria-label": "Differences for smaller and smaller h" }, h("table.nt-table", null,
      h("thead", null, h("tr", null, ["h", "difference quotient", "error"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", null, lines.map((row) => h("tr", { class: row.error === best ? "nt-chosen" : "" },
        h("th", { scope: "row" }, num(row.h, 2)), h("td", null, num(row.quotient, 10)), h("td", null, num(row.error, 2))))))));
}

// --- eigenvalues at a glance ---

function eigenvalues(app) {
  const run = app.run.runs[app.view.active];
  const values = run.eigenvalues?.[app.stepOf(app.view.active)];
  if (!values || values[0] === null) return null;
  const largest = Math.max(...values.map(Math.abs)) || 1;
  return h("section.nt-hero", { "aria-label": "Eigenvalues of the Hessian" },
    h("p", null, "Bends of the loss along directions that do not mix, eigenvalues of H: ", values.some((v) => v < -1e-12 * largest) ? "some are negative, a saddle or a ridge." : "none is negative, a bowl or a valley."),
    h("div.nt-bars", null, values.slice(0, 20).map((v) => h("div", { class: v < 0 ? "nt-bar-negative" : "" },
      h("span.nt-bar-fill", { style: `width:${(100 * Math.abs(v)) / largest}%` }), num(v, 4)))));
}
