// A point of a picture that pointer and keyboard move.
import { s } from "./dom.js";

/**
 * A point that can be dragged, and moved by the arrow keys.
 * @param {any} svg
 * @param {any} top
 * @param {string} label
 * @param {{ drag: (x: number, y: number) => void, key: (dx: number, dy: number) => void, drop?: () => void }} on in units
 *   of the picture; drop: after a drag, and after each key
 */
export function handle(svg, top, label, { drag, key, drop = () => {} }) {
  const dot = s("circle.nt-handle", { r: 8 });
  const node = s(
    "g.nt-grip",
    { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": -1e6, "aria-valuemax": 1e6 },
    s("circle.nt-grip-area", { r: 20 }),
    dot,
  );
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    const unit = svg.viewBox.baseVal.width / box.width;
    drag((event.clientX - box.left) * unit, (event.clientY - box.top) * unit);
  };
  node.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    node.focus();
    node.setPointerCapture(event.pointerId);
    node.dragging = true;
  });
  node.addEventListener("pointermove", (event) => node.dragging && place(event));
  for (const end of ["pointerup", "pointercancel"])
    node.addEventListener(end, () => {
      if (node.dragging) drop();
      node.dragging = false;
    });
  node.addEventListener("click", (event) => event.stopPropagation());
  node.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    key(by[0] * (event.shiftKey ? 5 : 1), by[1] * (event.shiftKey ? 5 : 1));
    drop();
  });
  top.append(node);
  return {
    node,
    /** Puts it at a place of the picture; value, text: what a screen reader hears. */
    at(x, y, value, text) {
      node.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      node.setAttribute("aria-valuenow", String(value));
      node.setAttribute("aria-valuetext", text);
      node.style.display = Number.isFinite(x + y) ? "" : "none";
    },
  };
}
