"""Small data: what a fit and the prediction of one row cost beside scikit-learn's same models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import mean_seconds

Array = NDArray[Any]

TOLERANCE = 1e-8
ONE_ROW = 100e-6

# data, model, scikit-learn's
MODELS = (
    ("iris", "classifier", "LogisticRegression"),
    ("wine", "classifier", "LogisticRegression"),
    ("diabetes", "regressor", "LinearRegression"),
    ("diabetes", "ridge", "Ridge"),
)
WORK = {"fit": "fit and predict", "one": "predict one row"}

WORDS = f"""\
`PerceptronClassifier(alpha=1)` beside `LogisticRegression(C=1)` (lbfgs), both with tol={TOLERANCE:g};
`PerceptronRegressor` beside `LinearRegression`, and with alpha=1 beside `Ridge(alpha=1)`. Columns standardised. The
interpreter decides here: both check what they are given. **difference**: between the two models' coefficients, relative
to the largest; there means 1e-5.
"""


class Benchmarks(Family):
    name, title = "small", "Small data"

    def problems(self, size: Size) -> list[Problem]:
        return [
            Problem(
                f"{data}-{model}-{work}",
                f"{data}, {model}: {words}",
                {"data": data, "model": model, "peer": peer, "work": work},
                1e-5,
            )
            for work, words in WORK.items()
            for data, model, peer in MODELS
        ]

    def small(self) -> list[Problem]:
        return [problem for problem in self.problems(Size()) if problem.settings["data"] != "wine"]

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(NEWTRON), Contender(problem.settings["peer"])]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        settings = problem.settings
        X, y = standardised(settings["data"])
        model = estimator(contender, settings["model"])
        model.fit(X, y)
        other = estimator(settings["peer"], settings["model"]).fit(X, y)
        difference = float(np.abs(_centred(model) - _centred(other)).max() / np.abs(other.coef_).max())
        row = X[:1]
        work = (lambda: model.fit(X, y).predict(X)) if settings["work"] == "fit" else (lambda: model.predict(row))

        def round(number: int, limit: float) -> Measurement:
            return {"seconds": mean_seconds(work, 0.05), "reached": difference}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import Claim, middle, race_table, ratios, seconds, verdict

        found = list(records.values())
        fits = [record for record in found if record["settings"]["work"] == "fit"]
        ones = [record for record in found if record["settings"]["work"] == "one"]
        beside = [Claim(r["words"], middle(ratios(r, NEWTRON, r["settings"]["peer"])), 2.0) for r in fits]
        alone = [Claim(r["words"], 1e6 * middle(seconds(r, NEWTRON)), 1e6 * ONE_ROW) for r in ones]
        return "\n\n".join(
            [
                WORDS,
                race_table(found, "difference"),
                verdict("fit within 2 times scikit-learn's", beside),
                verdict(f"predict one row in under {1e6 * ONE_ROW:.0f} microseconds", alone),
            ]
        )


def standardised(data: str) -> tuple[Array, Array]:
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def estimator(name: str, model: str) -> Any:
    if name == NEWTRON:
        from newtron import PerceptronClassifier, PerceptronRegressor

        if model == "classifier":
            return PerceptronClassifier(alpha=1.0, tol=TOLERANCE)
        return PerceptronRegressor(alpha=1.0 if model == "ridge" else 0.0)
    from sklearn import linear_model

    if name == "LogisticRegression":
        return linear_model.LogisticRegression(tol=TOLERANCE, max_iter=10_000)
    return getattr(linear_model, name)()


def _centred(model: Any) -> Array:
    """Coefficients without what softmax cannot see."""
    coef = np.atleast_2d(model.coef_)
    return coef if len(coef) == 1 else coef - coef.mean(axis=0)
