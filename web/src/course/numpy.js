// What a picture shows, as a program in NumPy alone that prints the same digits, in the letters of the course.

const list = (rows) =>
  `np.array([${rows.map((row) => (Array.isArray(row) ? `[${row.join(", ")}]` : row)).join(", ")}])`;
const transposed = (rows) => rows[0].map((_, c) => rows.map((row) => row[c]));
const ACTIVATION = {
  tanh: ["np.tanh({z})", "1 - {a}**2"],
  sigmoid: ["1 / (1 + np.exp(-{z}))", "{a} * (1 - {a})"],
  relu: ["np.maximum({z}, 0)", "({a} > 0)"],
  softplus: ["np.logaddexp({z}, 0)", "1 - np.exp(-{a})"],
  identity: ["{z}", "1"],
};
const put = (text, names) => text.replace(/\{(\w)\}/g, (_, name) => names[name]);

/**
 * @param {any} picture
 * @param {boolean} byRows whether each example is a row, and otherwise a column
 */
export function numpyText(picture, byRows) {
  const { model, params, rate, setup, method } = picture;
  const L = model.widths.length - 1;
  const mark = (l) => (L > 1 ? String(l) : "");
  const plainNewton = setup.methods[method].solver === "newton" && L === 1;
  const out = ["import numpy as np", "", `# Each example is a ${byRows ? "row" : "column"} of X.`];
  out.push(`X = ${list(byRows ? model.X : transposed(model.X))}`);
  out.push(`Y = ${list(byRows ? model.y.map((y) => [y]) : [model.y])}`);
  let at = 0;
  for (let l = 1; l <= L; l++) {
    const [below, units] = [model.widths[l - 1], model.widths[l]];
    const W = Array.from({ length: below }, (_, j) => params.slice(at + j * units, at + (j + 1) * units));
    at += below * units;
    out.push(`W${mark(l)} = ${list(byRows ? W : transposed(W))}`);
    if (!model.intercept) continue;
    const b = params.slice(at, at + units);
    at += units;
    out.push(`b${mark(l)} = ${list(byRows ? [b] : b.map((value) => [value]))}`);
  }
  out.push(`m = ${model.X.length}`, "", "# forward");
  const fed = (l) => (l === 1 ? "X" : `A${l - 1}`);
  for (let l = 1; l <= L; l++) {
    const product = byRows ? `${fed(l)} @ W${mark(l)}` : `W${mark(l)} @ ${fed(l)}`;
    out.push(`Z${mark(l)} = ${product}${model.intercept ? ` + b${mark(l)}` : ""}`);
    if (l < L) out.push(`A${l} = ${put(ACTIVATION[model.activation][0], { z: `Z${l}` })}`);
  }
  const Z = `Z${mark(L)}`;
  // Where a probability is 0 or 1 to all digits, the formulas of the course would take the logarithm of 0.
  const sure = picture.point.z.at(-1).some(([z]) => Math.abs(z) > 30);
  const sigma = sure ? `np.exp(-np.logaddexp(0, -${Z}))  # = 1 / (1 + e^-Z)` : `1 / (1 + np.exp(-${Z}))`;
  out.push(model.sigmoid ? `Yhat = ${sigma}` : `Yhat = ${Z}`);
  const weights = Array.from({ length: L }, (_, n) => `np.sum(W${mark(n + 1)}**2)`).join(" + ");
  const penalty = model.alpha ? ` + ${model.alpha} / (2 * m) * (${weights})` : "";
  out.push(
    model.squared
      ? `J = np.sum(${model.half === 1 ? "" : `${model.half} * `}(Yhat - Y)**2) / m${penalty}`
      : sure
        ? `J = np.sum(np.logaddexp(0, ${Z}) - Y * ${Z}) / m${penalty}  # the log loss, without log 0`
        : `J = -np.sum(Y * np.log(Yhat) + (1 - Y) * np.log(1 - Yhat)) / m${penalty}`,
  );
  out.push("", "# backward");
  const twice = model.half === 0.5 ? "" : `${2 * model.half} * `;
  out.push(
    `dZ${mark(L)} = ${model.squared ? `${twice}(Yhat - Y)${model.sigmoid ? " * Yhat * (1 - Yhat)" : ""}` : "Yhat - Y"}`,
  );
  const printed = ["J"];
  for (let l = L; l >= 1; l--) {
    const dZ = `dZ${mark(l)}`;
    const product = byRows ? `${fed(l)}.T @ ${dZ}` : `${dZ} @ ${fed(l)}.T`;
    out.push(`dW${mark(l)} = ${product} / m${model.alpha ? ` + ${model.alpha} / m * W${mark(l)}` : ""}`);
    if (model.intercept) out.push(`db${mark(l)} = np.sum(${dZ}, axis=${byRows ? 0 : 1}, keepdims=True) / m`);
    if (l === 1) break;
    out.push(`dA${l - 1} = ${byRows ? `${dZ} @ W${l}.T` : `W${l}.T @ ${dZ}`}`);
    out.push(`dZ${l - 1} = dA${l - 1} * (${put(ACTIVATION[model.activation][1], { a: `A${l - 1}` })})`);
  }
  for (let l = 1; l <= L; l++) printed.push(`dW${mark(l)}`, ...(model.intercept ? [`db${mark(l)}`] : []));
  out.push("");
  if (plainNewton) {
    const bend = model.sigmoid
      ? model.squared
        ? "Yhat * (1 - Yhat) * (Yhat * (1 - Yhat) + (Yhat - Y) * (1 - 2 * Yhat))"
        : "Yhat * (1 - Yhat)"
      : `${2 * model.half} * np.ones_like(Z)`;
    out.push("# the plain step of Newton's method");
    const X = byRows ? "X.T" : "X";
    out.push(`A = ${model.intercept ? `np.vstack([${X}, np.ones((1, m))])` : X}`);
    out.push(`H = A * (${bend}).reshape(1, m) @ A.T / m`);
    out.push(`g = np.concatenate([dW.ravel()${model.intercept ? ", db.ravel()" : ""}])`);
    out.push(`s = -np.linalg.solve(H, g)`);
    printed.push("H", "s");
  } else if (rate !== null) {
    out.push("# one step of gradient descent", `eta = ${rate}`);
    for (let l = 1; l <= L; l++) {
      out.push(`W${mark(l)} = W${mark(l)} - eta * dW${mark(l)}`);
      printed.push(`W${mark(l)}`);
      if (!model.intercept) continue;
      out.push(`b${mark(l)} = b${mark(l)} - eta * db${mark(l)}`);
      printed.push(`b${mark(l)}`);
    }
  }
  out.push("", "np.set_printoptions(formatter={'float': '{:.10g}'.format})");
  out.push(...printed.map((name) => `print("${name}", np.asarray(${name}))`));
  return `${out.join("\n")}\n`;
}
