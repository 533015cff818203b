// Linear algebra of small symmetric matrices.

/** x of A x = b, by elimination with the largest pivot. */
export function solve(A, b) {
  const n = b.length;
  const rows = A.map((row, r) => [...row, b[r]]);
  for (let c = 0; c < n; c++) {
    let best = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r][c]) > Math.abs(rows[best][c])) best = r;
    [rows[c], rows[best]] = [rows[best], rows[c]];
    for (let r = c + 1; r < n; r++) {
      const factor = rows[r][c] / rows[c][c];
      for (let k = c; k <= n; k++) rows[r][k] -= factor * rows[c][k];
    }
  }
  const x = Array(n).fill(0);
  for (let r = n - 1; r >= 0; r--) {
    let sum = rows[r][n];
    for (let k = r + 1; k < n; k++) sum -= rows[r][k] * x[k];
    x[r] = sum / rows[r][r];
  }
  return x;
}

/** L with LL' = A, row by row; null where A is not positive definite. */
export function cholesky(A) {
  const L = A.map((row) => row.map(() => 0));
  for (let r = 0; r < A.length; r++)
    for (let c = 0; c <= r; c++) {
      let sum = A[r][c];
      for (let k = 0; k < c; k++) sum -= L[r][k] * L[c][k];
      if (r > c) L[r][c] = sum / L[c][c];
      else if (sum > 0) L[r][r] = Math.sqrt(sum);
      else return null;
    }
  return L;
}

/** x of LL'x = b. */
export function solveBy(L, b) {
  const x = [...b];
  for (let r = 0; r < x.length; r++) {
    for (let k = 0; k < r; k++) x[r] -= L[r][k] * x[k];
    x[r] /= L[r][r];
  }
  for (let r = x.length - 1; r >= 0; r--) {
    for (let k = r + 1; k < x.length; k++) x[r] -= L[k][r] * x[k];
    x[r] /= L[r][r];
  }
  return x;
}

/**
 * Eigenvalues from low to high and their eigenvectors, by Jacobi's rotations, which find small ones to all digits.
 * @param {number[][]} given symmetric
 * @returns {{ values: number[], vectors: number[][] }}
 */
export function eigen(given) {
  const n = given.length;
  const A = given.map((row) => [...row]);
  const V = A.map((_, r) => A.map((_row, c) => (r === c ? 1 : 0))); // one eigenvector a row
  const turn = (M, p, q, cos, sin) => {
    for (let k = 0; k < n; k++) {
      const [a, b] = [M[p][k], M[q][k]];
      M[p][k] = cos * a - sin * b;
      M[q][k] = sin * a + cos * b;
    }
  };
  const tiny = 1e-17 * Math.max(...A.flat().map(Math.abs));
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (!(Math.abs(A[p][q]) > tiny)) continue;
        turned = true;
        const theta = (A[q][q] - A[p][p]) / (2 * A[p][q]);
        const tan = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const cos = 1 / Math.sqrt(tan * tan + 1);
        const sin = tan * cos;
        turn(A, p, q, cos, sin);
        for (let k = 0; k < n; k++) {
          const [a, b] = [A[k][p], A[k][q]];
          A[k][p] = cos * a - sin * b;
          A[k][q] = sin * a + cos * b;
        }
        turn(V, p, q, cos, sin);
      }
    if (!turned) break;
  }
  const order = A.map((_, k) => k).sort((a, b) => A[a][a] - A[b][b]);
  return { values: order.map((k) => A[k][k]), vectors: order.map((k) => V[k]) };
}
