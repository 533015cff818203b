// A derivation line by line, and the check of a partial derivative by differences.
import { h, num, replace } from "../../dom.js";
import { line } from "../../formulas.js";
import { forward, lossAt } from "../mirror.js";

/** The lines of a derivation, none skipped: each comes when it is asked for, with what was done to get it. */
export function lines(stage, options, words, text) {
  let shown = 1;
  const body = h("ol.nt-derived");
  const next = h("button.nt-primary", { type: "button", onclick: () => show(shown + 1) }, words.nextLine);
  const all = h("button", { type: "button", onclick: () => show(text.lines.length) }, words.allLines);
  const show = (count) => {
    shown = Math.min(count, text.lines.length);
    replace(
      body,
      text.lines
        .slice(0, shown)
        .map(([tex, why], n) =>
          h("li", { class: n === shown - 1 ? "nt-newest" : "" }, line(tex), h("p.nt-quiet", null, why)),
        ),
    );
    next.disabled = all.disabled = shown === text.lines.length;
  };
  show(options.all ? text.lines.length : 1);
  const node = h("div.nt-lines-scene", null, body, h("div.nt-lesson-foot.nt-no-print", null, next, all));
  return { node, renew: () => {}, all: () => show(text.lines.length) };
}

/** ∂L/∂w beside difference quotients for smaller and smaller h. */
export function check(stage, options, words) {
  const node = h("div");
  const renew = async (picture) => {
    const { params, row, param } = picture;
    const tex = picture.problem.parameters[param].tex;
    const message = { kind: "check", setup: stage.step.setup, params, row, index: param };
    const key = JSON.stringify([params, row, param]);
    if (!picture.moved && !stage.checks.has(key)) stage.checks.set(key, await stage.ask(message));
    if (stage.picture() !== picture) return;
    // What newtron was not asked, or knows no rows of, is computed here.
    const found = (picture.moved ? null : stage.checks.get(key).check) ?? differences(picture);
    replace(
      node,
      line(
        `\\frac{\\partial L}{\\partial ${tex}} \\approx \\frac{L(${tex} + h) - L(${tex} - h)}{2h}, \\qquad ${tex} = ${params[param]}`,
      ),
      h("p.nt-caption", null, words.byChainRule, " ", h("b", null, num(found.exact, 12))),
      h(
        "div.nt-scroll",
        { tabindex: "0", role: "group", "aria-label": words.check },
        h(
          "table.nt-table",
          null,
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              ["h", "L(w + h)", "L(w − h)", words.quotient, words.error].map((name) => h("th", { scope: "col" }, name)),
            ),
          ),
          h(
            "tbody",
            null,
            found.lines.slice(0, options.lines ?? 8).map((row) =>
              h(
                "tr",
                { class: row.error === found.best ? "nt-chosen" : "" },
                h("th", { scope: "row" }, num(row.h, 2)),
                [num(row.above, 16), num(row.below, 16), num(row.quotient, 12), num(row.error, 2)].map((cell) =>
                  h("td", null, cell),
                ),
              ),
            ),
          ),
        ),
      ),
    );
  };
  return { node, renew };
}

function differences({ model, params, point, row, param }) {
  const exact = point.partials[row][param];
  const loss = (by) => {
    const moved = params.map((w, p) => (p === param ? w + by : w));
    return lossAt(model, forward(model, moved, model.X[row]).z.at(-1)[0], model.y[row]);
  };
  const lines = Array.from({ length: 12 }, (_, n) => {
    const h = 10 ** -(n + 1);
    const [above, below] = [loss(h), loss(-h)];
    const quotient = (above - below) / (2 * h);
    return { h, above, below, quotient, error: Math.abs(quotient - exact) };
  });
  return { exact, lines, best: Math.min(...lines.map(({ error }) => error)) };
}
