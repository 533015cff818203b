// The chosen parameter on top of Backward: its partial as a chain of factors, and the quiz about it.
import { fmt, h, num, renew, same } from "./dom.js";
import { math } from "./formulas.js";

/** @import { ChainFacts, LabLine } from "../types/messages" */
/** @import { KeptDerivation } from "../types/page" */
/** @import { App } from "./app.js" */

// A part of what `keyed` draws: made anew for another parameter, and given other numbers for another step.
/**
 * @param {App} app
 * @param {KeptDerivation} derivation
 * @param {string} scope
 * @param {unknown[]} of
 * @returns {any[]}
 */
export function heroPart(app, derivation, scope, of) {
  const { param, notation } = app.view;
  if (scope !== "row") return ["hero", [of, param, derivation.means[param]], () => meanHero(app, derivation)];
  const chain = derivation.chains[param];
  if (!chain)
    return [
      "hero",
      [of, null],
      () => h("p.nt-quiet", null, "Choose a parameter in the network to see its chain of factors."),
    ];
  const lines = notation === "lab" ? derivation.lab[param] : [lectureLine(chain)];
  const shape = JSON.stringify([
    of.slice(1),
    param,
    lines.map(({ result, op, factors }) => [result, op, factors.map(({ tex, reused }) => [tex, reused])]),
  ]);
  return [
    "hero",
    [of, lines, same(app.run.kept.quiz), param],
    () => hero(app, lines, shape),
    (node) => {
      if (node.shape !== shape || node.run !== app.run || app.run.kept.quiz || node.quiz) return false;
      lines.forEach((line, n) =>
        [...line.factors.map(({ value }) => value), line.value].forEach((value, i) => renew(node.numbers[n][i], value)),
      );
      return true;
    },
  ];
}

/**
 * @param {ChainFacts} chain
 * @returns {LabLine}
 */
const lectureLine = (chain) => ({
  result: chain.result,
  op: "·",
  value: chain.values.at(-1),
  factors: chain.factors.map((tex, n) => ({ tex, value: chain.values[n], reused: chain.reused.includes(n) })),
});

/**
 * @param {App} app
 * @param {LabLine[]} lines
 * @param {string} shape
 */
function hero(app, lines, shape) {
  const numbers = [];
  const drawn = lines.map((line, n) => chainLine(line, n === 0 && app.run.kept.quiz, numbers));
  const node = h(
    "section.nt-hero",
    { "data-chain": app.run.problem.parameters[app.view.param].plain, "aria-label": "Chosen parameter" },
    drawn,
    lines.some(({ factors }) => factors.some(({ reused }) => reused)) &&
      h(
        "p.nt-quiet",
        null,
        "Shaded factors were there already: backpropagation computes them once and uses them again.",
      ),
    quiz(app, lines[0].value),
  );
  return Object.assign(node, { shape, numbers, run: app.run, quiz: app.run.kept.quiz });
}

/**
 * @param {LabLine} line
 * @param {unknown} hidden
 * @param {HTMLElement[][]} numbers
 */
function chainLine({ result, op, factors, value }, hidden, numbers) {
  const shown = factors.map((factor) => num(factor.value));
  const end = num(value);
  numbers.push([...shown, end]);
  const box = ({ tex, reused }, n) =>
    h(
      "span.nt-factor",
      {
        class: `nt-factor${reused ? " nt-reused" : ""}`,
        title: reused ? "reused: found already, one layer up or for another weight" : "this parameter's own factor",
      },
      math(`\\displaystyle ${tex}`),
      shown[n],
    );
  // What joins a factor to the one before goes to the next line with it.
  const joined = (mark, what) => h("span.nt-joined", null, h("span.nt-op", null, mark), what);
  return h(
    "div.nt-chain",
    { role: "group", "aria-label": "The chain rule for the chosen parameter" },
    h("span.nt-chain-result", null, math(`\\displaystyle ${result}`)),
    factors.map((factor, n) => joined(n ? op : "=", box(factor, n))),
    joined("=", hidden ? h("span.nt-hidden-number", null, "?") : h("strong", null, end)),
  );
}

// Of the whole objective: the mean over the rows, and the penalty's pull where there is one.
/**
 * @param {App} app
 * @param {KeptDerivation} derivation
 */
function meanHero(app, derivation) {
  const { param, notation } = app.view;
  const mean = derivation.means[param];
  return h(
    "section.nt-hero",
    { "aria-label": "Chosen parameter" },
    h(
      "div.nt-chain",
      null,
      math(`\\displaystyle ${mean[notation]}`),
      h("span.nt-op", null, "="),
      mean.parts.map((part, n) => [n > 0 && h("span.nt-op", null, "+"), num(part)]),
      mean.parts.length > 0 && h("span.nt-op", null, "="),
      h("strong", null, num(mean.value)),
    ),
  );
}

/**
 * @param {App} app
 * @param {number} value
 */
function quiz(app, value) {
  if (!app.run.kept.quiz) {
    return h(
      "button.nt-link",
      {
        type: "button",
        onclick: () => {
          app.run.kept.quiz = {};
          app.redraw(false);
        },
      },
      "Predict first: hide the result",
    );
  }
  const answer = h("p", { role: "status" });
  const input = h("input.nt-small", {
    type: "number",
    step: "any",
    "aria-label": "Your result",
    onkeydown: (event) => event.key === "Enter" && tell(),
  });
  const tell = () => {
    if (input.value === "") return;
    // Two digits are enough to have multiplied rightly.
    const right = Math.abs(Number(input.value) - value) <= 0.05 * Math.abs(value);
    answer.textContent = right
      ? `Right: ${fmt(value)}.`
      : Math.sign(Number(input.value)) === -Math.sign(value)
        ? "Not yet: look at the signs of the factors."
        : "Not yet: multiply the factors once more.";
    answer.className = right ? "nt-right" : "nt-wrong";
  };
  return h(
    "div.nt-quiz",
    null,
    h("label.nt-field", null, h("span", null, "Multiply the factors"), input),
    h("button", { type: "button", onclick: tell }, "Check"),
    h(
      "button.nt-link",
      {
        type: "button",
        onclick: () => {
          app.run.kept.quiz = null;
          /** @type {HTMLElement} */ (document.activeElement).blur();
          app.redraw(false);
        },
      },
      "Show the result",
    ),
    answer,
  );
}
