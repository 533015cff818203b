"""Makes the model files of this folder, which every later newtron must open, and what each predicts.

Run from the root of the project:

    PYTHONPATH=src python tests/data/models/make.py

Only add to these files: a file that was released with a version of newtron stays as that version wrote it. To make a
single new one, name it: `python tests/data/models/make.py NAME`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from newtron import (
    GradientDescent,
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.cli import main

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
# Rows for which the predictions of each model are kept.
N_KEPT = 8


def training_rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (60, 3), a target for regression, and one of three classes that overlap."""
    rng = np.random.default_rng(2024)
    X = rng.normal(size=(60, 3))
    y = 3.0 + 2.0 * X[:, 0] - X[:, 1] ** 2 + 0.3 * rng.normal(size=60)
    classes = np.array(["high", "low", "middle"])[np.digitize(y + rng.normal(size=60), [1.0, 3.0])]
    return X, y, classes


X, Y, CLASSES = training_rows()
SMALL: dict[str, Any] = {"hidden": (3,), "n_starts": 2, "n_jobs": 1}

ESTIMATORS: dict[str, Callable[[], object]] = {
    "perceptron-regressor": lambda: PerceptronRegressor(standardize=True).fit(X, Y),
    "perceptron-two-targets": lambda: PerceptronRegressor(alpha=0.5).fit(X, np.column_stack([Y, X[:, 0] - Y])),
    "perceptron-classifier": lambda: PerceptronClassifier(alpha=1.0, class_weight={"low": 2.0, "high": 1.0}).fit(
        X[CLASSES != "middle"], CLASSES[CLASSES != "middle"]
    ),
    "perceptron-softmax": lambda: PerceptronClassifier(alpha="evidence").fit(X, CLASSES),
    "solver-object": lambda: PerceptronRegressor(
        alpha=1.0, solver=GradientDescent(learning_rate=0.1), tol=1e-3, max_iter=5000
    ).fit(X, Y),
    "poisson": lambda: PerceptronRegressor(loss="poisson").fit(X, np.floor(np.abs(Y))),
    "separation": lambda: PerceptronClassifier().fit(X, X[:, 0] > 0.2),
    "firth": lambda: PerceptronClassifier(penalty="firth").fit(X, (X[:, 0] > 0.2).astype(np.int8)),
    "network-regressor": lambda: NetworkRegressor(**SMALL).fit(X, Y),
    "network-mix": lambda: NetworkRegressor(n_starts=1, n_jobs=1).fit(X[:, :1], Y),
    "network-classifier": lambda: NetworkClassifier(**SMALL).fit(X, CLASSES),
    "network-best": lambda: NetworkClassifier(**SMALL, alpha=0.1, combine="best").fit(X, CLASSES == "low"),
    "network-rows-seen": lambda: NetworkRegressor(**SMALL, alpha=1.0).fit(
        X[np.arange(80) % 60], (Y + 3.0 * np.sin(97.0 * X[:, 2]))[np.arange(80) % 60]
    ),
    "network-relu": lambda: NetworkRegressor(hidden=[(2,), (2, 2)], n_starts=1, alpha=0.1, activation="relu").fit(X, Y),
}
# Models of tables: the options of `newtron fit`, and the table.
TABLES = {
    "table-regression": ("examples/concrete.csv", "--target", "strength_mpa", "--model", "perceptron"),
    "table-classes": ("examples/penguins.csv", "--target", "species", "--hidden", "3", "--starts", "1"),
}


def predictions(name: str) -> dict[str, list[object]]:
    """Rows of numbers within the range of the training data, and what the model predicts for them."""
    model = load(FOLDER / f"{name}.newtron")
    rows = np.random.default_rng(7).uniform(-1.5, 1.5, size=(N_KEPT, model.n_features_in_))
    rows = model.scaling_.x_center + rows * model.scaling_.x_scale
    found: dict[str, list[object]] = {"rows": rows.tolist(), "predict": model.predict(rows).tolist()}
    if model.model_.is_regression:
        with contextlib.suppress(InputError):  # a Poisson model has no standard deviation
            found["std"] = model.predict(rows, return_std=True)[1].tolist()
    else:
        found["predict_proba"] = model.predict_proba(rows).tolist()
    return found


def make(name: str) -> None:
    path = FOLDER / f"{name}.newtron"
    if name in TABLES:
        table, *options = TABLES[name]
        words = ["fit", str(ROOT / table), *options, "--no-report", "--quiet", "--output", str(path)]
        with contextlib.redirect_stdout(io.StringIO()):
            if main(words) != 0:
                raise SystemExit(f"{name}: the fit failed")
    else:
        ESTIMATORS[name]().save(path)  # type: ignore[attr-defined]
    kept = json.dumps(predictions(name))
    (FOLDER / f"{name}.json").write_text(kept + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # some of these fits do not converge, and are here for that
    for chosen in sys.argv[1:] or [*ESTIMATORS, *TABLES]:
        make(chosen)
