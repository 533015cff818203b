"""What a compiled kernel would gain for small networks: a step of Levenberg-Marquardt in Numba beside newtron's.

    pip install numba && PYTHONPATH=src python benchmarks/compiled_step.py

The kernel is as plain as a reader would want it: one hidden layer of tanh units, the Jacobian in loops, J'J and the
solution of its system by the same BLAS and LAPACK. It was written to decide whether newtron should have one; what it
gained and why there is none stands in docs/design.md. CPU time, so that other work on the machine does not count.
"""

from __future__ import annotations

import os
import sys
from time import process_time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from newtron import LevenbergMarquardt, minimize
from newtron.engine.maths.losses import SquaredError
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows

try:
    from numba import njit
except ImportError:
    sys.exit("This comparison needs Numba: pip install numba")

Array = NDArray[np.float64]

PROBLEMS = ((200, 1, 20), (128, 7, 20), (900, 2, 30))  # rows, columns, units: sinc, parity and peaks of the benchmarks
STEPS, ROUNDS, ALPHA = 50, 7, 1e-4


@njit  # type: ignore[untyped-decorator]  # Numba has no types
def squares(X: Array, y: Array, w: Array, h: int, residuals: Array, J: Array, slopes: bool) -> float:
    """½ mean squared residual; where slopes are wanted, also the Jacobian of the predictions."""
    n, p = X.shape
    hidden, out = p * h, p * h + h
    total: float = 0.0
    for i in range(n):
        z = w[-1]
        for k in range(h):
            s = w[hidden + k]
            for j in range(p):
                s += X[i, j] * w[j * h + k]
            a = np.tanh(s)
            z += a * w[out + k]
            if slopes:
                d = (1.0 - a * a) * w[out + k]
                for j in range(p):
                    J[i, j * h + k] = X[i, j] * d
                J[i, hidden + k], J[i, out + k] = d, a
        J[i, -1] = 1.0
        residuals[i] = z - y[i]
        total += residuals[i] ** 2
    return float(0.5 * total / n)


@njit  # type: ignore[untyped-decorator]  # Numba has no types
def compiled(X: Array, y: Array, start: Array, h: int, alpha: float, steps: int) -> Array:
    n, w, mu = X.shape[0], start.copy(), 0.01
    J, r, unused = np.empty((n, w.size)), np.empty(n), np.empty(n)
    for _ in range(steps):
        value = squares(X, y, w, h, r, J, True) + 0.5 * alpha * np.dot(w, w)
        gradient = np.dot(J.T, r) / n + alpha * w
        H = np.dot(J.T, J) / n
        for _ in range(30):
            damped = H.copy()
            for q in range(w.size):
                damped[q, q] += alpha + mu
            trial = w - np.linalg.solve(damped, gradient)
            if squares(X, y, trial, h, unused, J, False) + 0.5 * alpha * np.dot(trial, trial) < value:
                w, mu = trial, max(mu / 3.0, 1e-15)
                break
            mu *= 4.0
    return w


def main() -> None:
    rng = np.random.default_rng(0)
    for n, p, h in PROBLEMS:
        X = rng.uniform(-3.0, 3.0, (n, p))
        y = np.sin(X).mean(axis=1)
        network = Network((p, h, 1), "tanh", True)
        start = network.start(rng, np.zeros(1))
        compiled(X, y, start, h, ALPHA, 1)
        ratios, times = [], []
        for _ in range(ROUNDS):
            objective = TrainingObjective(network, SquaredError(), ArrayRows(X, y[:, None], threads=1), ALPHA)
            began = process_time()
            taken = minimize(objective, start, LevenbergMarquardt(), tol=1e-16, max_iter=STEPS).n_iter
            between = process_time()
            compiled(X, y, start, h, ALPHA, STEPS)
            ours, theirs = (between - began) / taken, (process_time() - between) / STEPS
            ratios.append(ours / theirs)
            times.append(ours)
        print(
            f"{n} rows, {p}-{h}-1, {network.n_params} parameters: newtron {1e6 * np.median(times):.0f} microseconds a "
            f"step, {np.median(ratios):.2f} times the kernel's ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
