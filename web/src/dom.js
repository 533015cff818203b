// Small makers of elements and numbers. Text from the data is only ever set as text.
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

/**
 * @param {string} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {any[]} children
 * @returns {any}
 */
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  return fill(node, attributes, children);
}

/**
 * @param {string} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {any[]} children
 * @returns {any}
 */
export function s(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElementNS(SVG, name);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  return fill(node, attributes, children);
}

// Five significant digits, a true minus sign; what is not a number is a dash.
/**
 * @param {number | null} value
 * @param {number} [digits]
 * @returns {string}
 */
export function fmt(value, digits = 5) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e-4 && size < 1e6 ? String(Number(value.toPrecision(digits))) : value.toExponential(digits - 1);
  return powers(text);
}

// 1.20e-7 as 1.2·10⁻⁷, the one way in which powers of ten are written; a true minus sign.
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
/** @param {string} text */
export const powers = (text) =>
  text
    .replace(/^(-?)(\d)(\.\d+)?e\+?(-?)0*(\d+)$/, (_, sign, first, rest, minus, power) => {
      const digits = `${first}${(rest ?? "").replace(/\.?0+$/, "")}`;
      return `${sign}${digits === "1" ? "" : `${digits}·`}10${[...(minus + power)].map((c) => RAISED[c]).join("")}`;
    })
    .replace(/-/g, "−");

// A number that a test, or a reader's script, can find with all its digits.
/**
 * @param {number | null} value
 * @param {number} [digits]
 */
export const num = (value, digits) => h("span.nt-num", { "data-v": value ?? "" }, fmt(value, digits));

// The same number with another value, where the element stands already.
/**
 * @param {HTMLElement} node
 * @param {number | null} value
 * @param {number} [digits]
 */
export function renew(node, value, digits) {
  const text = fmt(value, digits);
  if (node.textContent !== text) node.textContent = text;
  node.dataset.v = String(value ?? "");
}

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
  constructor(of) {
    this.of = of;
  }
}
export const same = (value) => new Same(value); // compared by identity
/** @returns {(key: unknown, draw: () => void) => void} */
export function memo() {
  let last = null;
  return (key, draw) => {
    const now = JSON.stringify(key, stamp);
    if (now === last) return;
    last = now;
    draw();
  };
}

// Children by key. A child whose content is what it was stays as it is, opened or scrolled as it may be; of another
// content it is renewed where it can be, and otherwise made. Each part: [key, content, make, renew (node -> done?)].
export function keyed(parent, parts) {
  const before = parent.parts ?? new Map();
  const now = new Map();
  for (const [key, content, make, again] of parts.filter(Boolean)) {
    const text = JSON.stringify(content, stamp) ?? "";
    const old = before.get(key);
    const kept = old && (old.text === text || again?.(old.node));
    now.set(key, { text, node: kept ? old.node : make() });
  }
  parent.parts = now;
  const nodes = new Set([...now.values()].map(({ node }) => node));
  for (const node of [...parent.childNodes]) if (!nodes.has(node)) node.remove();
  let at = parent.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  return parent;
}

// How wide an element is, without asking in the middle of a drawing, when the browser would have to lay out the page.
/**
 * @param {Element} node
 * @param {() => void} changed
 * @returns {() => number}
 */
export function measured(node, changed) {
  let width = 0;
  new ResizeObserver(([entry]) => {
    const found = Math.round(entry.contentRect.width);
    if (found === width) return;
    width = found;
    changed();
  }).observe(node);
  return () => (width ||= node.clientWidth);
}

// A name that no other element of the document has, as where two pages stand in one notebook.
/** @param {string} name */
export const unique = (name) => `nt-${name}-${++count}`;

/**
 * @param {string} label
 * @param {unknown} value
 * @param {any[][]} options of each a value and a text
 * @param {(value: string) => void} onchange
 * @param {object} [extra]
 */
export function select(label, value, options, onchange, extra = {}) {
  const node = h(
    "select",
    { "aria-label": label, onchange: (event) => onchange(event.target.value), ...extra },
    options.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value) }, text)),
  );
  return node;
}

export function field(label, control) {
  return h("label.nt-field", null, h("span", null, label), control);
}

/**
 * @param {string} label
 * @param {number | null} value
 * @param {object} attributes
 * @param {(value: number | null) => void} onchange
 */
export function number(
  label,
  value,
  { least = -Infinity, above = -Infinity, most = Infinity, whole = false, blank = false, ...attributes },
  onchange,
) {
  // What cannot be used is not shown as if it were: the field says why, and keeps the number that is used.
  const wrong = (text) => {
    if (text === "") return blank ? "" : "a number";
    const given = Number(text);
    if (!Number.isFinite(given) || (whole && !Number.isInteger(given))) return whole ? "a whole number" : "a number";
    if (!(given > above)) return `above ${fmt(above)}`;
    if (given < least) return `at least ${fmt(least)}`;
    return given > most ? `at most ${fmt(most)}` : "";
  };
  return h("input", {
    type: "number",
    "aria-label": label,
    value: value ?? "",
    step: whole ? 1 : "any",
    min: Number.isFinite(least) ? least : null,
    max: Number.isFinite(most) ? most : null,
    ...attributes,
    onchange: ({ target }) => {
      const found = target.validity.badInput ? "a number" : wrong(target.value);
      if (!found) return onchange(target.value === "" ? null : Number(target.value));
      target.value = value ?? "";
      const kept = value === null || value === undefined ? "nothing has changed" : `it stays ${fmt(value)}`;
      target.dispatchEvent(
        new CustomEvent("nt-refused", { bubbles: true, detail: `${label}: this must be ${found}; ${kept}.` }),
      );
    },
  });
}

export function segmented(label, value, options, onchange) {
  return h(
    "div.nt-seg",
    { role: "group", "aria-label": label },
    options.map(([key, text, title]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(key === value),
          title,
          onclick: () => onchange(key),
        },
        text,
      ),
    ),
  );
}

// Copies by the clipboard where the browser lets a page, and otherwise says that it cannot.
/** @param {string} text */
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

/**
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
