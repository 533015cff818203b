// The derivation: symbols, the same line in numbers, the result; as Python's explanation tells it.
import { heroPart } from "./chain.js";
import { copy, fmt, h, keyed, memo, num, powers, replace, same, segmented } from "./dom.js";
import { header, line, math, renewLine } from "./formulas.js";

/** @import { DifferenceCheck, MatrixFacts, SentencePart, StepFacts, TableFacts } from "../types/messages" */
/** @import { App } from "./app.js" */

export const TABS = [
  ["forward", "Forward"],
  ["loss", "Loss"],
  ["backward", "Backward"],
  ["newton", "Hessian"],
  ["update", "Update"],
  ["check", "Check"],
];
const SECTIONS = {
  forward: ["scaling", "forward", "answer"],
  loss: ["loss"],
  backward: ["backward", "mean"],
  newton: ["newton"],
  check: ["check"],
};
// These are about the whole objective: a step is never taken for one example alone.
const ALWAYS_MEAN = new Set(["newton", "update"]);

/** @param {App} app */
export function mathsPanel(app, body) {
  const tabs = h("div.nt-tabs", { role: "tablist", "aria-label": "Mathematics" });
  const tools = h("div.nt-bar");
  const content = h("div.nt-derivation", { role: "tabpanel", tabindex: "0", id: app.id("maths"), "aria-live": "off" });
  replace(body, tabs, tools, content);
  const [tabsChanged, toolsChanged, contentChanged] = [memo(), memo(), memo()];
  return () => {
    if (!app.run) return;
    const { view } = app;
    tabsChanged(view.tab, () => drawTabs(app, tabs, content));
    toolsChanged([same(app.run), view.tab, view.scope, view.row, view.notation], () => drawTools(app, tools));
    const check = app.run.kept.checks.get(checkKey(app));
    contentChanged(
      [
        same(app.run),
        same(app.derivation(scopeOf(app))),
        same(check),
        same(app.run.kept.quiz),
        view.tab,
        view.scope,
        view.row,
        view.param,
        view.notation,
        view.step,
        view.active,
      ],
      () => drawContent(app, content),
    );
  };
}

/** @param {App} app */
export function scopeOf(app) {
  return ALWAYS_MEAN.has(app.view.tab) ? "all" : app.view.scope;
}

/** @param {App} app */
function drawTabs(app, tabs, content) {
  const focused = tabs.contains(document.activeElement);
  replace(
    tabs,
    TABS.map(([key, text], n) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: app.id(`tab-${key}`),
          "aria-controls": app.id("maths"),
          "aria-selected": String(app.view.tab === key),
          tabindex: app.view.tab === key ? "0" : "-1",
          title: `Key ${n + 1}`,
          onclick: () => app.show({ tab: key }),
          onkeydown: (event) => {
            const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!by) return;
            event.stopPropagation();
            event.preventDefault();
            app.show({ tab: TABS[(n + by + TABS.length) % TABS.length][0] });
          },
        },
        text,
      ),
    ),
  );
  content.setAttribute("aria-labelledby", app.id(`tab-${app.view.tab}`));
  if (focused) tabs.querySelector('[aria-selected="true"]').focus();
}

/** @param {App} app */
function drawTools(app, tools) {
  const focused = tools.contains(document.activeElement) ? document.activeElement.textContent : null;
  const { view } = app;
  /** @param {number[]} values */
  const said = h("span.nt-quiet", { role: "status" });
  const copied = (text) => async () => {
    const value = await text();
    said.textContent = value && (await copy(value)) ? "copied" : "could not be copied";
  };
  const ask = (kind) => async () =>
    (
      await app.ask({
        kind,
        setup: app.run.setup,
        params: app.params,
        row: scopeOf(app) === "row" ? view.row : null,
        method: app.run.setup.methods[view.active],
        notation: view.notation,
      })
    ).text;
  replace(
    tools,
    ALWAYS_MEAN.has(view.tab)
      ? h("span.nt-quiet", null, `mean over all ${app.run.problem.X.length} rows`)
      : segmented(
          "Of which rows",
          view.scope,
          [
            ["row", `Example ${view.row + 1}`],
            ["all", `Mean over ${app.run.problem.X.length}`],
          ],
          (scope) => app.show({ scope }),
        ),
    segmented(
      "Notation",
      view.notation,
      [
        ["lecture", "Lecture", "ŷ, one number at a time"],
        ["lab", "Lab", "A, Z, W as matrices"],
      ],
      (notation) => app.show({ notation }),
    ),
    app.offline
      ? null
      : h(
          "span.nt-copy",
          null,
          h("button.nt-link", { type: "button", onclick: copied(ask("latex")) }, "Copy LaTeX"),
          h("button.nt-link", { type: "button", onclick: copied(ask("python")) }, "Copy Python"),
          said,
        ),
  );
  if (focused) [...tools.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
}

// From step to step only the numbers change: what stands is kept, with all that is opened and scrolled in it.
/** @param {App} app */
function drawContent(app, content) {
  const { tab, notation } = app.view;
  const derivation = app.derivation(scopeOf(app));
  if (!derivation) {
    content.classList.add("nt-stale");
    if (!app.offline && content.firstChild && content.run === app.run) return;
    content.run = app.run;
    keyed(content, [["none", app.offline && [app.view.step, app.view.row, app.view.active], () => missing(app)]]);
    return;
  }
  content.classList.remove("nt-stale");
  content.run = app.run;
  const of = [same(app.run), tab, notation, scopeOf(app)];
  const parts = [];
  if (tab === "backward") parts.push(heroPart(app, derivation, scopeOf(app), of));
  if (tab === "check")
    parts.push([
      "check",
      [of, same(app.run.kept.checks.get(checkKey(app))), app.view.param, app.view.row],
      () => checker(app),
    ]);
  if (tab === "newton")
    parts.push(["eigenvalues", [of, app.view.active, app.view.step], () => eigenvalues(app) ?? h("span")]);
  if (!(tab === "backward" && app.run.kept.quiz)) {
    for (const section of derivation.sections) {
      const steps = section.steps.filter(
        (step) => belongs(app, tab, section.key, step.key) && (step.notation === "" || step.notation === notation),
      );
      if (!steps.length) continue;
      parts.push([`title/${section.key}`, [of, section.title], () => h("h3", null, section.title)]);
      for (const step of steps) {
        parts.push([
          `${section.key}/${step.key}`,
          [of, step, app.view.param],
          () =>
            stepParts(app, h("div.nt-step", { "data-step": step.key, "data-of": JSON.stringify(of.slice(1)) }), step),
          (node) =>
            node.dataset.of === JSON.stringify(of.slice(1)) && node.run === app.run && stepParts(app, node, step),
        ]);
      }
    }
  }
  keyed(content, parts);
}

// What stands under a tab. An update is the step of the method that is looked at, with its own rate or curvature.
/**
 * @param {App} app
 * @param {string} tab
 * @param {string} section
 * @param {string} step
 */
function belongs(app, tab, section, step) {
  if (tab !== "update") return SECTIONS[tab].includes(section);
  const { solver, rate } = app.run.setup.methods[app.view.active];
  if (solver === "newton") return ["newton.step", "newton.value", "newton.size"].includes(step);
  return section === (solver === "gradient-descent" && rate !== null ? "update" : "solver");
}

// Of a saved page: which steps it has the derivation of, and a way to the nearest.
/** @param {App} app */
function missing(app) {
  if (!app.offline) return h("p.nt-quiet", null, "…");
  const steps = app.derivedSteps(scopeOf(app));
  const whose = scopeOf(app) === "row" ? `of example ${app.view.row + 1}` : "of the mean over all rows";
  const here = app.stepOf(app.view.active);
  const nearest = steps.toSorted((a, b) => Math.abs(a - here) - Math.abs(b - here))[0];
  return h(
    "p.nt-note",
    null,
    `This file has no derivation ${whose} at step ${here}. `,
    nearest !== undefined &&
      h("button.nt-link", { type: "button", onclick: () => app.go(nearest) }, `Go to step ${nearest}, which it has`),
  );
}

// --- one step ---

/** @param {SentencePart[]} sentence */
const words = (sentence) => sentence.map((part) => (part.tex ? math(part.tex) : part.text));

/**
 * @param {App} app
 * @param {any} node
 * @param {StepFacts} step
 */
function stepParts(app, node, step) {
  node.run = app.run;
  return keyed(node, [
    ["tex", step.tex, () => line(step.tex), (old) => renewLine(old, step.tex)],
    step.numbers && [
      "numbers",
      step.numbers,
      () => h("div.nt-numbers", { "data-v": step.value ?? "" }, line(step.numbers)),
      (old) => {
        old.dataset.v = step.value ?? "";
        return renewLine(old.firstChild, step.numbers);
      },
    ],
    !step.numbers &&
      step.value !== null && [
        "value",
        step.value,
        () => h("div.nt-numbers", null, h("div.nt-line", null, "= ", num(step.value))),
      ],
    step.matrix && ["matrix", step.matrix, () => matrix(step.matrix), (old) => renewMatrix(old, step.matrix)],
    step.lines.length > 0 && [
      "lines",
      step.lines,
      () =>
        h(
          "details.nt-lines",
          { open: step.lines.length < 4 },
          h("summary", null, "How this is derived"),
          step.lines.map((text) => line(text)),
        ),
      (old) => {
        const lines = [...old.children].slice(1);
        return lines.length === step.lines.length && lines.every((one, n) => renewLine(one, step.lines[n]));
      },
    ],
    step.sentence.length > 0 && ["sentence", step.sentence, () => h("p", null, words(step.sentence))],
    step.table && [
      "table",
      [step.table, app.view.param],
      () => table(app, step.table),
      (old) => renewTable(app, old, step.table),
    ],
  ]);
}

// Numbers of a column with their points below each other: what is shorter is filled up by spaces as wide as a digit.
/**
 * @param {string[]} texts
 * @returns {string[]}
 */
export function aligned(texts) {
  const plain = (text) => !text.includes("10") || !/10[⁻⁰-⁹¹²³]/.test(text); // powers of ten stand at the right
  const after = texts.map((text) => (plain(text) && text.includes(".") ? text.length - text.indexOf(".") - 1 : -1));
  const most = Math.max(...after);
  return texts.map((text, n) =>
    text === "" || most < 0 || !plain(text)
      ? text
      : `${text}${after[n] < 0 ? "\u2008" : ""}${"\u2007".repeat(most - Math.max(0, after[n]))}`,
  );
}

/** @param {MatrixFacts} given */
function matrix(given) {
  const { values, shape, cut } = given;
  const size = shape.length === 1 ? `${shape[0]} numbers` : `${shape[0]} × ${shape[1]}`;
  const cells = values.map((row) => row.map(() => h("td")));
  const node = h(
    "div.nt-scroll",
    { tabindex: "0", role: "group", "aria-label": `Matrix, ${size}` },
    h(
      "table.nt-matrix",
      null,
      h(
        "tbody",
        null,
        cells.map((row) => h("tr", null, row)),
      ),
    ),
    h("span.nt-quiet", null, cut ? `${size}, of which a corner is shown` : size),
  );
  node.matrix = { size: `${shape}/${cut}/${values.length}`, cells };
  renewMatrix(node, given);
  return node;
}

/**
 * @param {any} node
 * @param {MatrixFacts} given
 */
function renewMatrix(node, { values, shape, cut }) {
  if (node.matrix.size !== `${shape}/${cut}/${values.length}`) return false;
  const columns = values[0].map((_, c) => aligned(values.map((row) => fmt(row[c], 4))));
  node.matrix.cells.forEach((row, r) =>
    row.forEach((cell, c) => cell.replaceChildren(shown(columns[c][r], values[r][c]))),
  );
  return true;
}

const shown = (text, value) => h("span.nt-num", { "data-v": value ?? "" }, text);

/**
 * @param {App} app
 * @param {TableFacts} given
 */
function table(app, given) {
  const { columns, lines, reused, hidden, product } = given;
  const symbols = app.run.problem.parameters.map((p) => p.plain);
  const last = columns.length - 1;
  const head = h(
    "tr",
    null,
    h("th", { scope: "col" }, h("span.nt-sr", null, "of")),
    columns.map(({ tex, text }, c) => [
      product && c > 0 && h("td.nt-op", { "aria-hidden": "true" }, c === last ? "=" : "·"),
      h(
        "th",
        {
          scope: "col",
          class: reused.includes(c) ? "nt-reused" : "",
          title: reused.includes(c) ? "already computed above" : null,
        },
        header(tex, text),
      ),
    ]),
  );
  const cells = lines.map(() =>
    columns.map((_, c) => h("td", { class: reused.includes(c) ? "nt-reused" : c === last ? "nt-result" : "" })),
  );
  const rows = lines.map(({ tex, plain, text, name }, n) => {
    const index = symbols.indexOf(plain);
    const row = h(
      "tr",
      { onclick: index >= 0 ? () => app.show({ param: index }) : null, style: index >= 0 ? "cursor:pointer" : null },
      h("th", { scope: "row" }, header(tex, text), name && h("span.nt-quiet", null, ` ${name}`)),
      cells[n].map((cell, c) => [
        product && c > 0 && h("td.nt-op", { "aria-hidden": "true" }, c === last ? "=" : "×"),
        cell,
      ]),
    );
    row.param = index;
    return row;
  });
  const node = h(
    "div.nt-scroll",
    { tabindex: "0", role: "group", "aria-label": "Table of numbers" },
    h("table.nt-table", null, h("thead", null, head), h("tbody", null, rows)),
    hidden > 0 && h("span.nt-quiet", null, `and ${hidden} more`),
  );
  node.table = { shape: tableShape(given), rows, cells };
  renewTable(app, node, given);
  return node;
}

/** @param {TableFacts} given */
const tableShape = ({ columns, lines, reused, hidden, product }) =>
  JSON.stringify([columns, lines, reused, hidden, product]);

/**
 * @param {App} app
 * @param {any} node
 * @param {TableFacts} given
 */
function renewTable(app, node, given) {
  if (node.table.shape !== tableShape(given)) return false;
  const { rows, cells } = node.table;
  given.columns.forEach((_, c) => {
    aligned(given.texts.map((row) => powers(row[c]))).forEach((text, n) => {
      if (cells[n][c].textContent !== text) cells[n][c].textContent = text;
      cells[n][c].dataset.v = given.values[n][c] ?? "";
    });
  });
  for (const row of rows) row.classList.toggle("nt-chosen", row.param >= 0 && row.param === app.view.param);
  return true;
}

// --- the check by differences ---

/** @param {App} app */
function checker(app) {
  const parameter = app.run.problem.parameters[app.view.param];
  const scope = app.view.scope;
  const key = checkKey(app);
  const found = app.run.kept.checks.get(key);
  const whose = scope === "row" ? `L^{(${app.view.row + 1})}` : "J";
  const { run } = app;
  const ask = async () => {
    const answer = await app.ask({
      kind: "check",
      setup: run.setup,
      params: app.params,
      row: scope === "row" ? app.view.row : null,
      index: app.view.param,
    });
    if (!answer.check) return;
    run.kept.checks.set(key, answer.check);
    app.redraw(false);
  };
  return h(
    "section.nt-hero",
    { "aria-label": "Check by differences" },
    line(
      `\\frac{\\partial ${whose}}{\\partial ${parameter.tex}} \\approx \\frac{${whose}(${parameter.tex} + h) - ${whose}(${parameter.tex} - h)}{2h}`,
    ),
    found
      ? differences(found, scope === "row" ? "L" : "J", app.params[app.view.param])
      : app.offline
        ? null
        : h("button", { type: "button", onclick: ask }, "Check this partial by differences"),
  );
}

/** @param {App} app */
const checkKey = (app) => `${app.derivationKey(app.view.scope)}/${app.view.param}`;

/**
 * @param {DifferenceCheck} check
 * @param {string} whose
 * @param {number} w
 */
function differences({ exact, lines, best }, whose, w) {
  return h(
    "div",
    null,
    h(
      "p",
      null,
      "By the chain rule: ",
      h("strong", null, num(exact, 12)),
      " at w = ",
      num(w, 17),
      ". Each line can be redone by hand: all digits are here. The error falls with h² until rounding eats the digits of the difference; the best agrees to ",
      num(best, 2),
      ".",
    ),
    h(
      "div.nt-scroll",
      { tabindex: "0", role: "group", "aria-label": "Differences for smaller and smaller h" },
      h(
        "table.nt-table",
        null,
        h(
          "thead",
          null,
          h(
            "tr",
            null,
            [`h`, `${whose} at w + h`, `${whose} at w − h`, "difference ÷ 2h", "error"].map((text) =>
              h("th", { scope: "col" }, text),
            ),
          ),
        ),
        h(
          "tbody",
          null,
          lines.map((row) =>
            h(
              "tr",
              { class: row.error === best ? "nt-chosen" : "" },
              h("th", { scope: "row" }, num(row.h, 2)),
              h("td", null, num(row.above, 16)),
              h("td", null, num(row.below, 16)),
              h("td", null, num(row.quotient, 12)),
              h("td", null, num(row.error, 2)),
            ),
          ),
        ),
      ),
    ),
  );
}

// --- eigenvalues at a glance ---

function said(values) {
  const largest = Math.max(...values.map(Math.abs));
  if (largest === 0) return "all are zero: no curvature is left here, and H has no inverse.";
  if (values.some((v) => v < -1e-12 * largest)) return "some are negative, a saddle or a ridge.";
  return values.every((v) => v > 1e-12 * largest)
    ? "all are positive, a bowl."
    : "none is negative, but some are zero to the last digits: a valley, along which the loss is flat.";
}

/** @param {App} app */
function eigenvalues(app) {
  const run = app.run.runs[app.view.active];
  const values = run.eigenvalues?.[app.stepOf(app.view.active)];
  if (!values || values[0] === null) return null;
  const largest = Math.max(...values.map(Math.abs)) || 1;
  const texts = aligned(values.slice(0, 20).map((v) => fmt(v, 4)));
  return h(
    "section.nt-hero",
    { "aria-label": "Eigenvalues of the Hessian" },
    h("p", null, "Curvatures of the loss along the eigenvectors of H, its eigenvalues: ", said(values)),
    h(
      "div.nt-bars",
      null,
      values
        .slice(0, 20)
        .map((v, n) =>
          h(
            "div",
            { class: v < 0 ? "nt-bar-negative" : "" },
            h("span.nt-bar-fill", { style: `width:${(100 * Math.abs(v)) / largest}%` }),
            shown(texts[n], v),
          ),
        ),
    ),
  );
}
