// What the scenes share: a picture that fits its width, and heat over a plane.
import { h, measured, replace, s, unique } from "../dom.js";
import { viridis } from "../plot.js";

/**
 * An SVG picture that is drawn anew for each frozen picture of the stage and for each width.
 * @param {string} label
 * @param {{ ratio?: number, most?: number, least?: number }} size height as a share of the width, and its limits
 * @param {(svg: any, width: number, height: number, picture: any, clip: string) => any[]} draw
 */
export function plot(label, { ratio = 0.62, most = 420, least = 230 }, draw) {
  const ground = s("g");
  const top = s("g"); // handles, which stand, so that a pointer or the focus keeps them
  const svg = s("svg", { role: "group", "aria-label": label }, ground, top);
  const node = h("div.nt-stage", null, svg);
  const clip = unique("clip");
  let last = null;
  const width = measured(node, () => last && renew(last));
  const renew = (picture) => {
    last = picture;
    const w = width();
    if (!w) return;
    const height = Math.round(Math.max(least, Math.min(most, w * ratio)));
    svg.setAttribute("viewBox", `0 0 ${w} ${height}`);
    svg.setAttribute("height", height);
    replace(ground, draw(svg, w, height, picture, clip));
  };
  return { node, svg, top, renew };
}

// A canvas for each size of image: a context is costly to make, and quick to read where it lies in memory.
const canvases = new Map();
function canvasOf(size) {
  if (!canvases.has(size)) {
    const canvas = h("canvas", { width: size, height: size });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    canvases.set(size, { canvas, context, image: context.createImageData(size, size) });
  }
  return canvases.get(size);
}

/** Numbers over a plane as the address of a small image: rows from low to high. */
export function heat(size, value, colour) {
  const { canvas, context, image } = canvasOf(size);
  for (let r = 0; r < size; r++)
    for (let c = 0; c < size; c++) {
      const place = 4 * ((size - 1 - r) * size + c);
      image.data.set(colour(value(c / (size - 1), r / (size - 1))), place);
    }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL();
}

/** From -1 (purple) over white to 1 (teal): the colours of negative and positive weights. */
export const signed = (value) => {
  const t = Math.max(-1, Math.min(1, value));
  const [r, g, b] = t < 0 ? [162, 28, 175] : [14, 116, 144];
  const share = Math.abs(t);
  return [255 - (255 - r) * share, 255 - (255 - g) * share, 255 - (255 - b) * share, 255].map(Math.round);
};

export const ramp = (share) => [...viridis(share), 255];

export const inside = ({ left, right, top, bottom }) => ({
  x: left,
  y: top,
  width: right - left,
  height: bottom - top,
});
