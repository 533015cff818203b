// Small makers of elements, formulas and numbers. Text from the data is only ever set as text.
import katex from "katex";

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "selected", "open", "hidden"].includes(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(4)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  return fill(node, attributes, children);
}

export function s(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElementNS(SVG, name);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  return fill(node, attributes, children);
}

// Five significant digits, a true minus sign; what is not a number is a dash.
export function fmt(value, digits = 5) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 2);
  return text.replace("e+", "e").replace(/-/g, "−");
}

// A number that a test, or a reader's script, can find with all its digits.
export const num = (value, digits) => h("span.nt-num", { "data-v": value ?? "" }, fmt(value, digits));

const made = new Map();
// A formula's nodes: rendered once, and copied from then on, which is several times quicker.
function formula(tex) {
  let node = made.get(tex);
  if (node === undefined) {
    if (made.size > 3000) made.clear();
    node = document.createElement("span");
    node.innerHTML = katex.renderToString(tex, { output: "htmlAndMathml", throwOnError: false, strict: false });
    made.set(tex, node);
  }
  return [...node.cloneNode(true).childNodes];
}
export const math = (tex) => h("span.nt-math", null, formula(tex));
// In a header cell, whose name must be text: a screen reader hears the text and sees no formula.
export const header = (tex, text) => [h("span.nt-sr", null, text), h("span.nt-math", { "aria-hidden": "true" }, formula(tex))];
// A line of its own: breaks between factors and relations where it is too wide, and scrolls where it cannot.
export const line = (tex) => h("div.nt-line", null, formula(`\\displaystyle ${tex}`));

export function replace(node, ...children) {
  node.replaceChildren(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
}

// Draws only where what it shows has changed: a button that is replaced while it is pressed loses its click.
const numbers = new WeakMap();
let count = 0;
const stamp = (_, value) => {
  if (value instanceof Same) {
    if (value.of === null || typeof value.of !== "object") return value.of ?? null;
    if (!numbers.has(value.of)) numbers.set(value.of, ++count);
    return `#${numbers.get(value.of)}`;
  }
  return value;
};
class Same {
  constructor(of) { this.of = of; }
}
export const same = (value) => new Same(value); // compared by identity
export function memo() {
  let last = null;
  return (key, draw) => {
    const now = JSON.stringify(key, stamp);
    if (now === last) return;
    last = now;
    draw();
  };
}

export function select(label, value, options, onchange, extra = {}) {
  const node = h("select", { "aria-label": label, onchange: (event) => onchange(event.target.value), ...extra },
    options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text)));
  return node;
}

export function field(label, control) {
  return h("label.nt-field", null, h("span", null, label), control);
}

export function number(label, value, attributes, onchange) {
  return h("input", {
    type: "number", "aria-label": label, value: value ?? "", step: "any", ...attributes,
    onchange: (event) => onchange(event.target.value === "" ? null : Number(event.target.value)),
  });
}

export function segmented(label, value, options, onchange) {
  return h("div.nt-seg", { role: "group", "aria-label": label },
    options.map(([key, text, title]) => h("button", {
      type: "button", "aria-pressed": String(key === value), title, onclick: () => onchange(key),
    }, text)));
}

// Copies by the clipboard where the browser lets a page, and otherwise says that it cannot.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, style: "position:fixed;opacity:0" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
