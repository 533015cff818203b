"""Problems whose answers are certified or known to many digits: NIST's least squares, published logistic tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from jobs import Job
from library import FormulaObjective, certified
from numpy.typing import NDArray
from results import Record, Results
from sklearn.linear_model import LinearRegression
from tables import aligned, paragraph

from newtron import LevenbergMarquardt, PerceptronClassifier, PerceptronRegressor, minimize

Array = NDArray[Any]

# Mean LRE over the runs of each, as the authors of Ceres report them.
PUBLISHED_LRE = {"Excel": 2.3, "Gnuplot": 4.3, "MinPack": 4.4, "HBN": 6.8, "Ceres": 9.4}
LOGISTIC_SOLVERS = ("newton", "newton-cg", "lbfgs")
ENDS = {
    "CONVERGED": "converged",
    "PRECISION": "converged to rounding",
    "MAX_ITER": "iteration limit",
    "STALLED": "stalled",
    "UNBOUNDED": "no finite optimum",
}


def end(status: str) -> str:
    return ENDS.get(status, status.lower().replace("_", " "))


# --- NIST ---


def nist_jobs() -> Iterator[Job]:
    for name in certified.LINEAR:
        yield Job(f"linear/{name}", partial(_linear, name))
    for name in certified.NONLINEAR:
        for number, start in enumerate(certified.starts(name), 1):
            yield Job(f"nonlinear/{name}/{number}", partial(_nonlinear, name, start))


def _linear(name: str) -> Record:
    X, y, exact, intercept = certified.linear_set(name)
    same_doubles = certified.exact_least_squares(X, y, intercept)

    def digits(model: Any) -> dict[str, float]:
        model.fit(X, y)
        found = [*np.full(int(intercept), model.intercept_), *model.coef_]
        return {"certified": certified.lre(found, exact), "same": certified.lre(found, same_doubles)}

    model = PerceptronRegressor(fit_intercept=intercept)
    ours = digits(model)
    peer = digits(LinearRegression(fit_intercept=intercept, tol=0.0))
    status = model.solution_.status.name
    return {"rows": len(y), "parameters": len(exact), "status": status, "newtron": ours, "peer": peer}


def _nonlinear(name: str, start: Array) -> Record:
    objective = FormulaObjective(certified.NONLINEAR[name], len(start))
    solution = minimize(objective, start, LevenbergMarquardt())
    right, rss = certified.certified(name)
    return {
        "lre": certified.lre(list(solution.params), list(right), 11.0),
        "lre_rss": certified.lre([2.0 * solution.value], [repr(rss)], 11.0),
        "iterations": solution.n_iter,
        "evaluations": sum(solution.counts.values()),
        "status": solution.status.name,
    }


def nist_section(results: Results) -> str:
    linear = []
    for name in certified.LINEAR:
        if f"linear/{name}" in results:
            r = results[f"linear/{name}"]
            digits = [r[who][what] for what in ("certified", "same") for who in ("newtron", "peer")]
            counts = [str(r["rows"]), str(r["parameters"])]
            linear.append([name, *counts, *(f"{d:.1f}" for d in digits), end(r["status"])])
    header = ["set", "rows", "parameters", "newtron", "LinearRegression", "newtron, same doubles"]
    header += ["LinearRegression, same doubles", "end"]
    parts = [
        "## NIST: linear least squares",
        "Correct digits (LRE: -log10 of the relative error) of the worst coefficient, at most 15, of "
        "`PerceptronRegressor()` and of scikit-learn's "
        "`LinearRegression(tol=0)` (its default tol=1e-6 drops directions that count here). "
        "The powers of a polynomial are rounded to doubles before either sees them, which alone "
        'leaves 7.6 digits of Filip\'s certified answer; "same doubles" compares with the exact rational solution of '
        "the rounded numbers, so what is missing there is the solver's own error.",
        aligned(header, linear),
        "## NIST: nonlinear least squares",
    ]
    runs = results.under("nonlinear")
    if not runs:
        return "\n\n".join([*parts, "Not run yet."])
    nonlinear = []
    for name in certified.NONLINEAR:
        pair = [results[f"nonlinear/{name}/{i}"] for i in (1, 2) if f"nonlinear/{name}/{i}" in results]
        cells = [cell for r in pair for cell in (f"{r['lre']:.1f}", str(r["iterations"]), end(r["status"]))]
        nonlinear.append([name, *cells, *[""] * (6 - len(cells))])
    header = ["set", "LRE, start 1", "iterations", "end", "LRE, start 2", "iterations", "end"]
    lres = [r["lre"] for r in runs]
    means = [["newtron", f"{np.mean(lres):.1f}"]]
    means += [[who, f"{value:.1f}"] for who, value in PUBLISHED_LRE.items()]
    passed = sum(lre > 4.0 for lre in lres)
    parts += [
        "`minimize(objective, start, LevenbergMarquardt())`, all settings left alone, on an `Objective` made from "
        "each set's formula, from both of NIST's starting points (1 is the far one). LRE of the worst parameter, at "
        "most 11: the certified values have 11 digits.",
        aligned(header, nonlinear),
        f"{passed} of {len(lres)} runs have more than four digits of every parameter, which Ceres counts as passed; "
        f"the worst has {min(lres):.1f}. The mean beside the means that the authors of Ceres give for other programs; "
        "theirs are over their runs of all of NIST's sets, ours over these 13.",
        aligned(["program", "mean LRE"], means),
    ]
    return "\n\n".join(parts)


# --- logistic regression ---


def logistic_jobs() -> Iterator[Job]:
    for name in certified.LOGISTIC:
        for solver in LOGISTIC_SOLVERS:
            yield Job(f"{name}/{solver}", partial(_logistic, name, solver))


def _logistic(name: str, solver: str) -> Record:
    X, y, _, reference = certified.logistic_set(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PerceptronClassifier(solver=solver).fit(X, y)
    found = [*model.coef_[0], *model.intercept_]
    solution = model.solution_
    return {
        "rows": len(y),
        "parameters": len(found),
        "lre": certified.lre(found, reference["coef"]) if reference["method"] == "ml" else None,
        "iterations": solution.n_iter,
        "status": solution.status.name,
        "sentence": solution.sentence,
    }


def logistic_section(results: Results) -> str:
    rows, sentences = [], {}
    for name in certified.LOGISTIC:
        for solver in LOGISTIC_SOLVERS:
            if f"{name}/{solver}" in results:
                r = results[f"{name}/{solver}"]
                lre = "-" if r["lre"] is None else f"{r['lre']:.1f}"
                counts = [str(r[what]) for what in ("rows", "parameters")]
                rows.append([name, solver, *counts, lre, str(r["iterations"]), end(r["status"])])
                if r["lre"] is None:
                    sentences[r["sentence"]] = name
    header = ["set", "solver", "rows", "parameters", "LRE", "iterations", "end"]
    said = "\n".join(paragraph(sentence, "> ") for sentence in sentences)
    return "\n\n".join(
        [
            "## Logistic regression",
            "Correct digits (LRE, at most 15) of the worst coefficient of `PerceptronClassifier(solver=...)` against "
            "the maximum likelihood estimates known to 20 digits.",
            aligned(header, rows, 2),
            "The maximum likelihood estimate of endometrial is infinite in one coefficient (quasi-separation; R's "
            "`glm` stops at 18.19 with a standard error of 1715.75 and no warning). The fit must say so, and says:",
            said,
        ]
    )
