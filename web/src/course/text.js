// The words of a lesson: `$…$` is a formula, `[[part|words]]` words that light up a part of the picture, `{J}` a number of
// the picture that is shown, `*…*` what is stressed.
import { fmt, h } from "../dom.js";
import { math } from "../formulas.js";

const PARTS = /(\$[^$]+\$|\[\[[^\]]+\]\]|\{[a-zA-Z]\w*\}|\*[^*]+\*)/;

/** The numbers that a text can name. */
export const NUMBERS = {
  J: (p) => p.point.value,
  L: (p) => p.point.losses[p.row],
  eta: (p) => p.rate,
  m: (p) => p.model.X.length,
  k: (p) => p.k,
  x: (p) => p.model.X[p.row][0],
  x2: (p) => p.model.X[p.row][1],
  y: (p) => p.model.y[p.row],
  z: (p) => p.point.z.at(-1)[p.row][0],
  yhat: (p) => p.point.a.at(-1)[p.row][0],
  error: (p) => p.point.a.at(-1)[p.row][0] - p.model.y[p.row],
  example: (p) => p.row + 1,
  w: (p) => p.params[p.param],
  g: (p) => p.point.gradient[p.param],
  pull: (p) => p.point.partials[p.row][p.param],
  neww: (p) => p.params[p.param] - p.rate * p.point.gradient[p.param],
  w0: (p) => p.params[0],
  w1: (p) => p.params[1],
  g0: (p) => p.point.gradient[0],
  g1: (p) => p.point.gradient[1],
  delta: (p) => p.point.deltas.at(-1)[p.row][0],
  J0: (p) => p.values[p.method][0],
  Jend: (p) => p.values[p.method].at(-1),
  steps: (p) => p.ways[p.method].length - 1,
  largest: (p) => p.point.eigenvalues?.at(-1) ?? p.eigenvalues?.[0] ?? NaN,
  smallest: (p) => p.point.eigenvalues?.[0] ?? p.eigenvalues?.at(-1) ?? NaN,
  limit: (p) => 2 / NUMBERS.largest(p),
};

/**
 * The nodes of a text. live: gets a function for each number in it, which fills it in from a picture.
 * @param {string} text
 * @param {((fill: (picture: any) => void) => void)} live
 * @param {(part: string | null) => void} light
 */
export function rich(text, live, light) {
  const parts = text.split(PARTS);
  return parts.map((part, n) => {
    // Browsers break a line after a formula, even before a full stop: what is written on to a short one stays with it.
    const short = part.startsWith("$") && part.length > 1 && part.length < 26;
    const [, after = "", rest = ""] = short ? (parts[n + 1] ?? "").match(/^([^\s$[{*]{0,12})(.*)$/s) : [];
    if (after) parts[n + 1] = rest;
    if (short) return h("span.nt-keep", null, math(part.slice(1, -1)), after);
    if (part.startsWith("$") && part.length > 1) return math(part.slice(1, -1));
    if (part.startsWith("[[")) {
      const [what, words] = part.slice(2, -2).split("|");
      return h(
        "button.nt-word",
        {
          type: "button",
          onmouseenter: () => light(what),
          onmouseleave: () => light(null),
          onfocus: () => light(what),
          onblur: () => light(null),
        },
        words,
      );
    }
    if (part.startsWith("{") && part.endsWith("}")) {
      const node = h("b.nt-num");
      const name = part.slice(1, -1);
      live((picture) => {
        const value = NUMBERS[name](picture);
        node.textContent = fmt(value, 5);
        node.dataset.v = String(value);
      });
      return node;
    }
    if (part.startsWith("*") && part.endsWith("*") && part.length > 1) return h("em", null, part.slice(1, -1));
    return part;
  });
}

/**
 * A sentence with its places filled in: numbers to four digits.
 * @param {string} sentence
 * @param {Record<string, string | number>} values
 */
export const told = (sentence, values) =>
  sentence.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? fmt(value, 4) : value;
  });
