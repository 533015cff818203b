"""PerceptronRegressor beside the linear regressions of NumPy, scikit-learn and statsmodels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.data import columns, response
from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

Array = NDArray[Any]

FULL = {"float64": 1e-12, "float32": 1e-5}  # gradient that counts as full accuracy, y being of spread 1
PROBLEMS = ((1_000_000, 50, "float64"), (1_000_000, 50, "float32"), (200_000, 200, "float64"))
WARM = 2000  # rows of a first fit, so that imports and caches are not part of a round
BLOCK = 4096

WORDS = """\
`PerceptronRegressor` beside `LinearRegression`, `numpy.linalg.lstsq`, statsmodels' `OLS` (by QR, the faster of its
two methods) and `Ridge(solver="cholesky")`, which has alpha = 1 and is judged by its own objective; all others have
alpha = 0. **gradient**: of the objective per row, largest component, intercept included; *there* means 1e-12, and
1e-5 where X is float32, whose coefficients carry 7 digits. The **floor** is X'X once by BLAS (`syrk`), whole or in
blocks of 4,096 rows, whichever is faster.
"""


def gradient(X: Array, y: Array, w: Array, b: float, alpha: float) -> float:
    """Largest component of the gradient of mean(½(y - xw - b)²) + alpha/(2n) ‖w‖², in float64."""
    w = np.asarray(w, dtype=np.float64)
    slope, residuals = alpha * w, 0.0
    for start in range(0, len(X), 65_536):
        block = X[start : start + 65_536].astype(np.float64, copy=False)
        r = block @ w + b - y[start : start + 65_536]
        slope, residuals = slope + block.T @ r, residuals + float(r.sum())
    return float(max(np.abs(slope).max(), abs(residuals))) / len(X)


class Benchmarks(Family):
    name, title = "least-squares", "Least squares"

    def problems(self, size: Size) -> list[Problem]:
        return [self._problem(size.rows(n), p, dtype) for n, p, dtype in PROBLEMS]

    def small(self) -> list[Problem]:
        return [self._problem(100_000, 50, dtype) for dtype in ("float64", "float32")]

    def _problem(self, n: int, p: int, dtype: str) -> Problem:
        settings = {"n": n, "p": p, "dtype": dtype}
        return Problem(f"{n}x{p}-{dtype}", f"{n:,} x {p} {dtype}", settings, FULL[dtype])

    def contenders(self, problem: Problem) -> list[Contender]:
        return [
            Contender(NEWTRON),
            Contender("LinearRegression"),
            Contender("Ridge, cholesky"),
            Contender("numpy lstsq"),
            Contender("statsmodels OLS", ("statsmodels",)),
            Contender(FLOOR),
        ]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        n, p, dtype = (problem.settings[name] for name in ("n", "p", "dtype"))
        X = columns(n, p)
        y = response(X).astype(dtype)
        X = X.astype(dtype, copy=False)
        if contender == FLOOR:
            return syrk_once(X)
        alpha = 1.0 if contender.startswith("Ridge") else 0.0
        fit = FITS[contender]()
        fit(X[:WARM], y[:WARM])
        if contender in ("numpy lstsq", "statsmodels OLS"):
            X = np.column_stack([X, np.ones(n, dtype)])  # the user's work, and not timed

        def round(number: int, limit: float) -> Measurement:
            taken, (w, b) = timed(lambda: fit(X, y))
            return {"seconds": taken, "reached": gradient(X[:, :p], y, w[:p], b if len(w) == p else w[p], alpha)}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import Claim, floor_claims, middle, race_table, ratios, seconds, verdict

        found = list(records.values())
        faster = [
            Claim(r["words"], middle(ratios(r, "LinearRegression", NEWTRON)), 5.0, True)
            for r in found
            if len(seconds(r, "LinearRegression"))
        ]
        return "\n\n".join(
            [
                WORDS,
                race_table(found, "gradient"),
                verdict("1.5 times the floor at most", floor_claims(found, 1.5)),
                verdict("5 times faster than LinearRegression", faster),
            ]
        )


Fit = Callable[[Array, Array], tuple[Array, float]]


def _estimator(model: Any) -> Fit:
    def fit(X: Array, y: Array) -> tuple[Array, float]:
        model.fit(X, y)
        return model.coef_, float(model.intercept_)

    return fit


def _newtron() -> Fit:
    from newtron import PerceptronRegressor

    return _estimator(PerceptronRegressor())


def _linear_regression() -> Fit:
    from sklearn.linear_model import LinearRegression

    return _estimator(LinearRegression())


def _ridge() -> Fit:
    from sklearn.linear_model import Ridge

    return _estimator(Ridge(alpha=1.0, solver="cholesky"))


def _lstsq() -> Fit:
    return lambda X, y: (np.linalg.lstsq(X, y, rcond=None)[0], 0.0)


def _ols() -> Fit:
    from statsmodels.api import OLS

    return lambda X, y: (OLS(y, X).fit(method="qr").params, 0.0)


FITS: dict[str, Callable[[], Fit]] = {
    NEWTRON: _newtron,
    "LinearRegression": _linear_regression,
    "Ridge, cholesky": _ridge,
    "numpy lstsq": _lstsq,
    "statsmodels OLS": _ols,
}


def syrk_once(X: Array) -> Round:
    """X'X by BLAS, without a copy: the faster of one call and of calls per block, chosen when preparing."""
    from scipy.linalg.blas import dsyrk, ssyrk

    syrk = ssyrk if X.dtype == np.float32 else dsyrk
    total = np.zeros((X.shape[1],) * 2, X.dtype, order="F")

    def whole() -> None:
        syrk(1.0, X.T)

    def blocks() -> None:
        for start in range(0, len(X), BLOCK):
            syrk(1.0, X[start : start + BLOCK].T, 1.0, total, overwrite_c=1)

    faster = min((whole, blocks), key=lambda work: min(timed(work)[0] for _ in range(2)))
    return lambda number, limit: {"seconds": timed(faster)[0]}
