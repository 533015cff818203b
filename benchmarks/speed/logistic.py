"""PerceptronClassifier beside the logistic regressions of scikit-learn, glum and statsmodels: two classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.data import classes, columns, sparse_columns
from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

Array = NDArray[Any]

ALPHA = 0.1  # = 1/C, the same for all; small, and enough for a finite optimum
# Gradient per row that is asked for; float32 columns and coefficients permit no more than the second.
TOLERANCE = {"float64": 1e-8, "float32": 1e-7}
SLACK = 1.5  # on what is reached: sums in another order differ
WARM = 2000
BLOCK = 4096

DENSE = (
    (500_000, 50, "float64", "normal"),
    (500_000, 50, "float32", "normal"),
    (500_000, 50, "float64", "condition 1e2"),
    (500_000, 50, "float64", "condition 1e4"),
    (500_000, 50, "float32", "condition 1e2"),
    (500_000, 50, "float32", "condition 1e4"),
    (500_000, 50, "float64", "correlated"),
    (500_000, 50, "float64", "heavy"),
    (100_000, 500, "float64", "normal"),
)
SPARSE = (200_000, 20_000, "float64", "sparse")
KINDS = {
    "normal": "",
    "condition 1e2": ", condition 1e2",
    "condition 1e4": ", condition 1e4",
    "correlated": ", correlated 0.99",
    "heavy": ", heavy tails",
    "sparse": ", sparse",
}

WORDS = f"""\
`PerceptronClassifier` beside `LogisticRegression`, glum (`irls-ls`; `lbfgs` where X is sparse) and statsmodels'
`Logit` (Newton), penalty alpha = 1/C = {ALPHA:g}, all asked for the same gradient of the mean loss, largest component:
1e-8, and 1e-7 where X is float32 (rounded coefficients alone move the gradient by nearly that). *there* means within
1.5 times of it, computed in float64 from the coefficients. Condition: columns are rotated, so that scaling them does
not help; correlated: each two columns by 0.99; heavy tails: Student's t of 1.5 to 3 degrees of freedom; sparse: 20 to
50 cells a row, no intercept. liblinear penalises the intercept and is given `intercept_scaling=100`, which makes that
negligible. statsmodels has no such penalty: it fits alpha = 0 and is judged by the gradient of that. The **floor** is
one pass over X at the speed of memory (Xv and X'u, block by block): "newtron / it" counts such passes.
"""


class Benchmarks(Family):
    name, title = "logistic", "Logistic regression"

    def problems(self, size: Size) -> list[Problem]:
        return [problem(size.rows(n), p, dtype, kind) for n, p, dtype, kind in (*DENSE, SPARSE)]

    def small(self) -> list[Problem]:
        return [
            problem(50_000, 50, "float64", "normal"),
            problem(50_000, 50, "float32", "normal"),
            problem(50_000, 50, "float64", "condition 1e4"),
            problem(20_000, 2_000, "float64", "sparse"),
        ]

    def contenders(self, problem: Problem) -> list[Contender]:
        sparse = problem.settings["kind"] == "sparse"
        p = problem.settings["p"]
        matrix = f"would form a {p:,} x {p:,} Hessian" if sparse and p > 5000 else ""
        return [
            Contender(NEWTRON),
            Contender("lbfgs"),
            Contender("newton-cholesky", (), matrix),
            Contender("newton-cg"),
            Contender("liblinear"),
            Contender("glum", ("glum",)),
            Contender("statsmodels", ("statsmodels",), "takes no sparse X" if sparse else ""),
            Contender(FLOOR),
        ]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        X, y = data(problem.settings)
        if contender == FLOOR:
            return one_pass(X)
        return rounds_of(problem, contender, X, y)

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import best_claims, race_table, verdict

        found = list(records.values())
        dense, sparse = (
            [r for r in found if (r["settings"]["kind"] == "sparse") == wanted] for wanted in (False, True)
        )
        return "\n\n".join(
            [
                WORDS,
                race_table(found, "gradient"),
                verdict("3 times faster than the best peer that gets there, dense X", best_claims(dense, 3.0)),
                verdict("1.5 times faster than it, sparse X", best_claims(sparse, 1.5)),
                verdict("never slower than any peer that gets there", best_claims(found, 1.0)),
            ]
        )


def problem(n: int, p: int, dtype: str, kind: str, n_classes: int = 2) -> Problem:
    settings = {"n": n, "p": p, "dtype": dtype, "kind": kind, "classes": n_classes}
    words = f"{n:,} x {p:,} {dtype}{KINDS[kind]}" + (f", {n_classes} classes" if n_classes > 2 else "")
    return Problem(f"{n}x{p}-{dtype}-{kind}-{n_classes}", words, settings, SLACK * TOLERANCE[dtype])


def data(settings: dict[str, Any]) -> tuple[Any, Array]:
    n, p, kind = settings["n"], settings["p"], settings["kind"]
    X = sparse_columns(n, p) if kind == "sparse" else columns(n, p, kind)
    y = classes(X, settings["classes"])
    return X.astype(settings["dtype"], copy=False), y


def rounds_of(problem: Problem, contender: str, X: Any, y: Array) -> Round:
    settings = problem.settings
    alpha = 0.0 if contender == "statsmodels" else ALPHA
    fit = FITS[contender](settings, X)
    fit(X[:WARM], y[:WARM], True)
    if contender == "statsmodels":
        X = np.column_stack([np.ones(len(y), X.dtype), X])  # the user's work, and not timed

    def round(number: int, limit: float) -> Measurement:
        taken, (W, b) = timed(lambda: fit(X, y, False))
        inputs = X[:, 1:] if contender == "statsmodels" else X
        return {"seconds": taken, "reached": gradient(inputs, y, W, b, alpha, settings["kind"] != "sparse")}

    return round


def gradient(X: Any, y: Array, W: Array, b: Array, alpha: float, intercept: bool = True) -> float:
    """Largest component of the gradient of mean(log loss) + alpha/(2n) ‖W‖², in float64, for W (p, k), b (k,).

    k = 1 is two classes; for more, softmax (a reference class with weights of zero is a class like the others).
    """
    from scipy.special import expit, softmax

    W, b = np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64)
    n, k = X.shape[0], W.shape[1]
    slope, shift = alpha * W, np.zeros(k)
    for start in range(0, n, 65_536):
        block, labels = X[start : start + 65_536].astype(np.float64, copy=False), y[start : start + 65_536]
        z = np.asarray(block @ W) + b
        error = expit(z) - labels[:, None] if k == 1 else softmax(z, axis=1) - np.eye(k)[labels]
        slope, shift = slope + block.T @ error, shift + error.sum(axis=0)
    return float(max(np.abs(slope).max(), np.abs(shift).max() if intercept else 0.0) / n)


# fit(X, y, warm) -> W (p, k), b (k,). Made for the settings of a problem and its X. warm: a first fit of a few rows.
Fit = Callable[[Any, Array, bool], tuple[Array, Array]]


def _newtron(settings: dict[str, Any], X: Any) -> Fit:
    from newtron import PerceptronClassifier

    dense = settings["kind"] != "sparse"
    # newtron's tolerance is relative to the columns' root mean square: at this one the plain gradient is surely met.
    squares = X.multiply(X) if not dense else np.square(X, dtype=np.float64)
    largest = float(np.sqrt(squares.mean(axis=0).max()))
    tol = TOLERANCE[settings["dtype"]] / (max(1.0, largest) if dense else largest)
    return _from_sklearn(PerceptronClassifier(alpha=ALPHA, tol=tol, fit_intercept=dense))


def _from_sklearn(model: Any) -> Fit:
    def fit(X: Any, y: Array, warm: bool) -> tuple[Array, Array]:
        model.fit(X, y)
        return model.coef_.T, np.atleast_1d(model.intercept_)

    return fit


def _logistic_regression(solver: str) -> Callable[[dict[str, Any], Any], Fit]:
    def make(settings: dict[str, Any], X: Any) -> Fit:
        from sklearn.linear_model import LogisticRegression

        return _from_sklearn(
            LogisticRegression(
                C=1.0 / ALPHA,
                solver=solver,
                tol=TOLERANCE[settings["dtype"]],
                fit_intercept=settings["kind"] != "sparse",
                intercept_scaling=100.0 if solver == "liblinear" else 1.0,
                max_iter=100_000,
            )
        )

    return make


def _glum(settings: dict[str, Any], X: Any) -> Fit:
    from glum import GeneralizedLinearRegressor

    dense = settings["kind"] != "sparse"
    # irls-ls compares the sum of all absolute components, and would go on long after the largest is small enough.
    summed = X.shape[1] / 4.0 if dense else 1.0
    model = GeneralizedLinearRegressor(
        family="binomial",
        l1_ratio=0.0,
        alpha=ALPHA / X.shape[0],  # its penalty stands beside the mean
        fit_intercept=dense,
        solver="irls-ls" if dense else "lbfgs",
        gradient_tol=TOLERANCE[settings["dtype"]] * summed,
        max_iter=100 if dense else 10_000,
        copy_X=False,
        check_input=False,
    )

    def fit(X: Any, y: Array, warm: bool) -> tuple[Array, Array]:
        model.fit(X.tocsc() if not dense else X, y.astype(X.dtype))
        return model.coef_[:, None], np.atleast_1d(model.intercept_)

    return fit


def _statsmodels(settings: dict[str, Any], X: Any) -> Fit:
    from statsmodels.api import Logit, MNLogit

    def fit(X: Array, y: Array, warm: bool) -> tuple[Array, Array]:
        if warm:  # without the column of ones, and with little enough data to be separated
            return np.zeros((1, 1)), np.zeros(1)
        model = (Logit if settings["classes"] == 2 else MNLogit)(y, X)
        B = np.asarray(model.fit(method="newton", disp=0, tol=1e-10, maxiter=100, warn_convergence=False).params)
        B = B.reshape(X.shape[1], -1)
        if settings["classes"] > 2:
            B = np.column_stack([np.zeros(len(B)), B])  # its first class is the reference
        return B[1:], B[0]

    return fit


FITS: dict[str, Callable[[dict[str, Any], Any], Fit]] = {
    NEWTRON: _newtron,
    "lbfgs": _logistic_regression("lbfgs"),
    "newton-cholesky": _logistic_regression("newton-cholesky"),
    "newton-cg": _logistic_regression("newton-cg"),
    "liblinear": _logistic_regression("liblinear"),
    "glum": _glum,
    "statsmodels": _statsmodels,
}


def one_pass(X: Any, k: int = 1) -> Round:
    """X v and X'u once, the second while the block is in the cache; k columns each."""
    v, u = np.ones((X.shape[1], k), X.dtype), np.ones((X.shape[0], k), X.dtype)
    block = BLOCK if isinstance(X, np.ndarray) else X.shape[0]

    def work() -> None:
        for start in range(0, X.shape[0], block):
            rows = X[start : start + block]
            rows @ v
            rows.T @ u[start : start + block]

    work()
    return lambda number, limit: {"seconds": timed(work)[0]}
