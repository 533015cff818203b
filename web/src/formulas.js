// Formulas by KaTeX. From step to step a formula keeps its shape and changes its numbers, so a shape is rendered once,
// with marks where the numbers stand; a formula is a copy of it with the numbers filled in, many times quicker.
import katex from "katex";
import { h } from "./dom.js";

// A number that stands free. What is raised, lowered or text belongs to the shape.
const FREE = /\\text\{[^{}]*\}|[\^_](?:\{(?:[^{}]|\{[^{}]*\})*\}|.)|\\[a-zA-Z]+|\d+(?:\.\d+)?(?![\w.^])/g;
const MARK = 913700000; // a number that no formula holds
const MARKED = /9137\d{5}/;

const render = (tex) => {
  const node = document.createElement("span");
  node.innerHTML = katex.renderToString(tex, { output: "htmlAndMathml", throwOnError: false, strict: false });
  return node;
};

function texts(node) {
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) found.push(/** @type {Text} */ (walker.currentNode));
  return found;
}

function split(tex) {
  const numbers = [];
  const shape = tex.replace(FREE, (found) => (/^\d/.test(found) ? String(MARK + numbers.push(found) - 1) : found));
  return { shape, numbers };
}

const made = new Map();
// The nodes of a shape, and which of its texts are made of which numbers: [place of the text, words and numbers in turn].
function template({ shape, numbers }) {
  if (!made.has(shape)) {
    if (made.size > 3000) made.clear();
    const node = render(shape);
    const spots = [];
    texts(node).forEach(({ data }, place) => {
      if (MARKED.test(data))
        spots.push([place, data.split(/(9137\d{5})/).map((part) => (MARKED.test(part) ? Number(part) - MARK : part))]);
    });
    // Each number stands twice, drawn and as MathML; where KaTeX made something else of one, nothing is filled in.
    const seen = numbers.map((_, n) => spots.filter(([, parts]) => parts.includes(n)).length);
    made.set(shape, { node, spots: seen.every((times) => times >= 2) ? spots : null });
  }
  return made.get(shape);
}

function fill(holder, { spots }, numbers) {
  holder.texts ??= texts(holder);
  for (const [place, parts] of spots)
    holder.texts[place].data = parts.map((part) => (typeof part === "number" ? numbers[part] : part)).join("");
}

// Puts a formula into an element of its own; where it has one of the same shape already, only the numbers change.
export function set(holder, tex) {
  if (holder.tex === tex) return holder;
  holder.tex = tex;
  const parts = split(tex);
  const found = template(parts);
  if (found.spots && holder.shape === parts.shape) {
    fill(holder, found, parts.numbers);
    return holder;
  }
  holder.texts = null;
  holder.shape = found.spots ? parts.shape : null;
  holder.replaceChildren(...(found.spots ? found.node.cloneNode(true) : render(tex)).childNodes);
  if (found.spots) fill(holder, found, parts.numbers);
  return holder;
}

export const math = (tex) => set(h("span.nt-math"), tex);
// In a header cell, whose name must be text: a screen reader hears the text and sees no formula.
export const header = (tex, text) => [
  h("span.nt-sr", null, text),
  set(h("span.nt-math", { "aria-hidden": "true" }), tex),
];
// A line of its own: breaks between factors and relations where it is too wide, and scrolls where it cannot.
export const line = (tex) => set(h("div.nt-line"), `\\displaystyle ${tex}`);
export const renewLine = (node, tex) => set(node, `\\displaystyle ${tex}`);
