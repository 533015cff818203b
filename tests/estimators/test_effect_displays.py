"""Displays of coefficients, effects and residuals draw the model's own numbers; scikit-learn's take the estimators."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.inspection import PartialDependenceDisplay
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)

from newtron import (
    AccumulatedEffectsDisplay,
    CoefficientDisplay,
    InputError,
    MarginalEffectsDisplay,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    ResidualsDisplay,
)

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[2]
Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def penguins() -> pd.DataFrame:
    return pd.read_csv(ROOT / "examples" / "penguins.csv").dropna()


@pytest.fixture(scope="module")
def linear(penguins: pd.DataFrame) -> tuple[PerceptronRegressor, pd.DataFrame, pd.Series]:
    X, y = penguins.drop(columns="body_mass_g"), penguins["body_mass_g"]
    return PerceptronRegressor().fit(X, y), X, y


@pytest.fixture(scope="module")
def classes(penguins: pd.DataFrame) -> tuple[PerceptronClassifier, pd.DataFrame]:
    X = penguins[["bill_length_mm", "bill_depth_mm", "island"]]
    return PerceptronClassifier(alpha=1.0, standardize=True).fit(X, penguins["species"]), X


def bars(container: Any) -> tuple[Array, Array]:
    """The points (n,) and the ends (n, 2) of error bars."""
    points, _, (lines,) = container
    ends = np.array([segment[:, 0] for segment in lines.get_segments()])
    return np.asarray(points.get_xdata()), ends


def labels(ax: Any) -> list[str]:
    return [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]


def test_coefficients_are_those_of_the_summary(linear: Any) -> None:
    model, X, y = linear
    display = CoefficientDisplay.from_estimator(model, X, y, covariance="HC3")
    summary = model.summary(X, y, covariance="HC3")
    points, ends = bars(display.bars_[0])
    np.testing.assert_allclose(points, summary.estimates[1:])
    np.testing.assert_allclose(ends, summary.intervals[1:])
    assert labels(display.ax_) == list(summary.terms[1:])
    assert display.ax_.get_ylim()[0] > display.ax_.get_ylim()[1]  # the first one is at the top
    whole = CoefficientDisplay.from_estimator(model, intercept=True)
    assert labels(whole.ax_)[0] == "intercept"


def test_standardized_coefficients_can_be_compared(linear: Any) -> None:
    model, _, _ = linear
    display = CoefficientDisplay.from_estimator(model, standardized=True)
    summary = model.summary(standardized=True)
    points, ends = bars(display.bars_[0])
    np.testing.assert_allclose(points, summary.standardized[1:])
    np.testing.assert_allclose(ends / points[:, None], summary.intervals[1:] / summary.estimates[1:, None])


def test_ratios_are_drawn_on_a_logarithmic_axis(classes: Any) -> None:
    model, _ = classes
    display = CoefficientDisplay.from_estimator(model, exponentiate=True)
    points, ends = bars(display.bars_[0])
    summary = model.summary(exponentiate=True)
    np.testing.assert_allclose(points, summary.estimates.reshape(2, -1)[0, 1:])
    np.testing.assert_allclose(ends, summary.intervals.reshape(2, -1, 2)[0, 1:])
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "odds ratio, 95 % intervals"
    with pytest.raises(InputError, match="take one of them"):
        CoefficientDisplay.from_estimator(model, exponentiate=True, standardized=True)


def test_each_class_has_a_colour_and_a_mark(classes: Any) -> None:
    model, _ = classes
    display = CoefficientDisplay.from_estimator(model)
    summary = model.summary()
    assert [bar.get_label() for bar in display.bars_] == ["Chinstrap", "Gentoo"]
    for number, bar in enumerate(display.bars_):
        points, _ = bars(bar)
        np.testing.assert_allclose(points, summary.estimates.reshape(2, -1)[number, 1:])
    marks = {(bar[0].get_color(), bar[0].get_marker()) for bar in display.bars_}
    assert len(marks) == 2
    (legend,) = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Chinstrap", "Gentoo"]


def test_marginal_effects_are_those_of_effects(classes: Any) -> None:
    model, X = classes
    display = MarginalEffectsDisplay.from_estimator(model, X)
    found = model.effects(X)
    assert labels(display.ax_) == [
        "bill_length_mm",
        "bill_depth_mm",
        "island: Dream - Biscoe",
        "island: Torgersen - Biscoe",
    ]
    for number, bar in enumerate(display.bars_):
        points, ends = bars(bar)
        np.testing.assert_allclose(points, found.estimates.reshape(3, 4)[number])
        np.testing.assert_allclose(ends, found.intervals.reshape(3, 4, 2)[number])
    assert [bar.get_label() for bar in display.bars_] == [f"species = {name}" for name in model.classes_]


def test_effects_at_numbers_are_a_curve(penguins: pd.DataFrame) -> None:
    X = penguins[["bill_depth_mm", "sex"]]
    model = PerceptronClassifier().fit(X, penguins["species"] == "Gentoo")
    at = {"bill_depth_mm": [14.0, 16.0, 18.0], "sex": ["male", "female"]}
    display = MarginalEffectsDisplay.from_estimator(model, X, columns="bill_depth_mm", at=at)
    found = model.effects(X, columns="bill_depth_mm", at=at)
    assert [line.get_label() for line in display.lines_] == ["sex = male", "sex = female"]
    for sex, line in zip(("male", "female"), display.lines_, strict=True):
        own = np.array(found.conditions["sex"]) == sex
        np.testing.assert_array_equal(line.get_xdata(), [14.0, 16.0, 18.0])
        np.testing.assert_allclose(line.get_ydata(), found.estimates[own])
    assert display.ax_.get_xlabel() == "bill_depth_mm"
    with pytest.raises(InputError, match="too many to draw"):
        MarginalEffectsDisplay.from_estimator(model, X, at="rows")


def test_accumulated_effects_of_a_line_are_the_line(linear: Any) -> None:
    model, X, _ = linear
    display = AccumulatedEffectsDisplay.from_estimator(model, X, "flipper_length_mm", pieces=10)
    summary = model.summary()
    place = summary.terms.index("flipper_length_mm")
    x, values = display.lines_[0].get_data()
    np.testing.assert_allclose(np.diff(values) / np.diff(x), summary.estimates[place], rtol=1e-9)
    middle = x[0] - values[0] / summary.estimates[place]  # where the effect is 0, about the mean
    assert abs(middle - X["flipper_length_mm"].mean()) < 1.0
    np.testing.assert_allclose(
        display.effects.standard_errors[:, 0], np.abs(x - middle) * summary.standard_errors[place], rtol=1e-7
    )
    assert (x[0], x[-1]) == (X["flipper_length_mm"].min(), X["flipper_length_mm"].max())


def test_accumulated_effects_of_levels(linear: Any) -> None:
    model, X, _ = linear
    display = AccumulatedEffectsDisplay.from_estimator(model, X, "island")
    points, _ = bars(display.bars_[0])
    assert labels(display.ax_) == ["Biscoe", "Dream", "Torgersen"]
    summary = model.summary()
    own = [i for i, term in enumerate(summary.terms) if term.startswith("island=")]
    np.testing.assert_allclose(points[1:] - points[0], summary.estimates[own], rtol=1e-8)
    counts = X["island"].value_counts()[["Biscoe", "Dream", "Torgersen"]]
    assert points @ counts == pytest.approx(0.0, abs=1e-6 * np.abs(points).max() * counts.sum())


def test_accumulated_effects_of_a_network_average_its_own_derivatives() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 2)) @ [[1.0, 0.7], [0.0, 0.7]]
    y = np.tanh(2.0 * X[:, 0]) + X[:, 0] * X[:, 1] + 0.1 * rng.normal(size=200)
    model = NetworkRegressor(hidden=(3,), n_starts=1, alpha=0.1).fit(X, y)
    found = AccumulatedEffectsDisplay.from_estimator(model, X, "x1", pieces=8).effects
    step = np.array([1e-5, 0.0])
    slopes = (model.predict(X + step) - model.predict(X - step)) / 2e-5
    own = np.clip(np.searchsorted(found.points, X[:, 0], side="left") - 1, 0, 7)
    means = np.array([slopes[own == piece].mean() for piece in range(8)])
    np.testing.assert_allclose(np.diff(found.values[:, 0]), means * np.diff(found.points), rtol=1e-6)
    assert (found.intervals[:, 0, 0] < found.values[:, 0]).all()
    with pytest.raises(InputError, match="is the same in all rows"):
        AccumulatedEffectsDisplay.from_estimator(model, X[:1].repeat(5, axis=0), "x1")


def test_residuals_are_targets_less_predictions(linear: Any) -> None:
    model, X, y = linear
    display = ResidualsDisplay.from_estimator(model, X, y)
    drawn = np.asarray(display.points_.get_offsets())
    np.testing.assert_allclose(drawn, np.column_stack([model.predict(X), y - model.predict(X)]))
    assert len(display.means) == 20
    against = ResidualsDisplay.from_estimator(model, X, y, against="flipper_length_mm", kind="standardized")
    _, deviation = model.predict(X, return_std=True)
    drawn = np.asarray(against.points_.get_offsets())
    np.testing.assert_allclose(drawn[:, 0], X["flipper_length_mm"])
    np.testing.assert_allclose(drawn[:, 1], (y - model.predict(X)) / deviation)


def test_residuals_of_classes_are_binned(penguins: pd.DataFrame) -> None:
    X = penguins[["bill_depth_mm", "body_mass_g"]]
    model = PerceptronClassifier().fit(X, penguins["sex"])
    display = ResidualsDisplay.from_estimator(model, X, penguins["sex"])
    assert display.points_ is None
    p = model.predict_proba(X)[:, 1]
    first = np.array_split(np.argsort(p, kind="stable"), 20)[0]
    residual = ((penguins["sex"] == "male").to_numpy() - p)[first]
    np.testing.assert_allclose(display.means_.get_xydata()[0], [p[first].mean(), residual.mean()])
    assert display.bounds[0] == pytest.approx(2.0 * np.sqrt((p * (1 - p))[first].sum()) / len(first))
    # The fit makes the residuals orthogonal to the columns, and here the model is about right.
    assert np.mean(np.abs(display.means[:, 1]) <= display.bounds) > 0.8
    other = ResidualsDisplay.from_estimator(model, X, penguins["sex"], output="female")
    np.testing.assert_allclose(other.residuals, -display.residuals, atol=1e-12)
    with pytest.raises(InputError, match="'bird' is no class"):
        ResidualsDisplay.from_estimator(model, X, penguins["sex"], output="bird")


def test_residuals_of_counts_are_pearsons() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 1))
    y = rng.poisson(np.exp(0.5 * X[:, 0]))
    model = PerceptronRegressor(loss="poisson").fit(X, y)
    display = ResidualsDisplay.from_estimator(model, X, y, kind="standardized")
    mean = model.predict(X)
    np.testing.assert_allclose(display.residuals, (y - mean) / np.sqrt(mean))
    assert display.points_ is not None


def test_long_names_keep_their_end_and_are_no_mathematics(linear: Any) -> None:
    names = [f"a name of a column that goes on and on, and then on again, which $x_{i}$ ends" for i in range(12)]
    display = CoefficientDisplay(
        names=names, estimates=np.zeros((12, 1)), intervals=np.zeros((12, 1, 2)), outputs=("",)
    ).plot()
    shown = labels(display.ax_)
    assert len(set(shown)) == 12
    assert all(len(line) <= 40 and r"\$" in line for line in (name.split("... ...")[1] for name in shown))
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_given_axes_are_used_and_styles_taken(linear: Any) -> None:
    model, X, y = linear
    figure, axes = pyplot.subplots(2, 2)
    CoefficientDisplay.from_estimator(model, ax=axes[0, 0], color="black")
    MarginalEffectsDisplay.from_estimator(model, X, ax=axes[0, 1], color="black")
    AccumulatedEffectsDisplay.from_estimator(model, X, "year", ax=axes[1, 0], color="black")
    display = ResidualsDisplay.from_estimator(model, X, y, ax=axes[1, 1], alpha=1.0)
    assert display.figure_ is figure
    assert pyplot.get_fignums() == [figure.number]
    assert axes[0, 0].lines[0].get_color() == axes[1, 0].lines[0].get_color() == "black"
    again = display.plot()
    assert again is display
    assert again.figure_ is not figure


def test_what_is_not_fitted_or_not_known_is_told(linear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, X, y = linear
    with pytest.raises(NotFittedError):
        CoefficientDisplay.from_estimator(PerceptronRegressor())
    with pytest.raises(InputError, match="kind='raw'"):
        ResidualsDisplay.from_estimator(model, X, y, kind="raw")
    with pytest.raises(InputError, match="against='weight' is no column of X"):
        ResidualsDisplay.from_estimator(model, X, y, against="weight")
    with pytest.raises(InputError, match="against='sex' is no column of numbers"):
        ResidualsDisplay.from_estimator(model, X, y, against="sex")
    with pytest.raises(InputError, match="has no column 'weight'"):
        AccumulatedEffectsDisplay.from_estimator(model, X, "weight")
    original = builtins.__import__

    def without_matplotlib(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ImportError, match='extra "plot"'):
        CoefficientDisplay.from_estimator(model)


@pytest.mark.slow
def test_displays_of_scikit_learn_take_the_estimators(penguins: pd.DataFrame, linear: Any) -> None:
    X, sex = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    model = PerceptronClassifier().fit(X, sex)
    roc = RocCurveDisplay.from_estimator(model, X, sex)
    assert float(np.atleast_1d(roc.roc_auc)[0]) > 0.9
    PrecisionRecallDisplay.from_estimator(model, X, sex, pos_label="male")
    DetCurveDisplay.from_estimator(model, X, sex)
    counts = ConfusionMatrixDisplay.from_estimator(model, X, sex).confusion_matrix
    assert counts.trace() == (model.predict(X) == sex).sum()
    PartialDependenceDisplay.from_estimator(model, X, [0], grid_resolution=5)
    regression, rows, y = linear
    errors = PredictionErrorDisplay.from_estimator(regression, rows, y)
    np.testing.assert_allclose(errors.y_pred, regression.predict(rows))
