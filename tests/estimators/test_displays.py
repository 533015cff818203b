"""Displays on matplotlib draw the model's own numbers; scikit-learn's own displays take the estimators as they are."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest
from sklearn.calibration import CalibrationDisplay
from sklearn.exceptions import NotFittedError
from sklearn.inspection import DecisionBoundaryDisplay

from newtron import (
    ConvergenceDisplay,
    LossSurfaceDisplay,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.estimators.displays import BLUE, GREY, VERMILLION

matplotlib.use("Agg")
from matplotlib import colormaps, colors, pyplot

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 2))
Y = X @ [1.0, -2.0] + np.sin(2.0 * X[:, 0]) + 0.3 * RNG.normal(size=90)
LABELS = np.where(Y + RNG.normal(size=90) > 0.0, "yes", "no")


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def network() -> NetworkRegressor:
    return NetworkRegressor(hidden=(3,), n_starts=3).fit(X, Y)


# --- convergence ---


@pytest.mark.parametrize(
    ("quantity", "field"), [("gradient", "gradient_norm"), ("objective", "value"), ("decrement", "decrement")]
)
def test_the_lines_are_the_traces(network: NetworkRegressor, quantity: str, field: str) -> None:
    display = ConvergenceDisplay.from_estimator(network, quantity=quantity)
    assert len(display.lines_) == len(network.members_) == 3
    for line, member in zip(display.lines_, network.members_, strict=True):
        trace = member.solution.trace
        np.testing.assert_array_equal(line.get_xdata(), [row.iteration for row in trace])
        np.testing.assert_array_equal(line.get_ydata(), [getattr(row, field) for row in trace])
    assert network.members_[display.best].solution is network.solution_
    best = display.lines_[display.best]
    assert best.get_color() == BLUE
    assert all(line.get_zorder() < best.get_zorder() for line in display.lines_ if line is not best)
    assert display.ax_.get_yscale() == ("linear" if quantity == "objective" else "log")
    said = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert said == ["2 others", "the best network", *(["tol = 1e-08"] if quantity == "gradient" else [])]


def test_a_loaded_model_shows_how_it_was_trained(network: NetworkRegressor, tmp_path: Any) -> None:
    network.save(tmp_path / "m.newtron")
    again = ConvergenceDisplay.from_estimator(load(tmp_path / "m.newtron"))
    for one, other in zip(again.lines_, ConvergenceDisplay.from_estimator(network).lines_, strict=True):
        np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())


def test_axes_and_styles_are_the_callers() -> None:
    model = PerceptronClassifier().fit(X, LABELS)
    figure, axes = pyplot.subplots(1, 2)
    display = ConvergenceDisplay.from_estimator(model, quantity="objective", ax=axes[1], color="black", label="mine")
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.lines_[0].get_color() == "black"
    assert not axes[0].lines
    assert display.ax_.get_yscale() == "linear"  # it falls by less than a factor of ten
    again = display.plot()
    assert again is display
    assert display.ax_ is not axes[1]


# --- surface ---


@pytest.mark.parametrize("parameters", [(0, 1), (8, 3)])
def test_the_surface_is_the_objective(network: NetworkRegressor, parameters: tuple[int, int]) -> None:
    display = LossSurfaceDisplay.from_estimator(network, X, Y, parameters=parameters, grid_resolution=11)
    fitted = network.solution_.params
    assert display.point == tuple(fitted[list(parameters)])
    assert display.values.shape == (11, 11)
    # The middle is the fit, whose objective training wrote down; it is the lowest point of the slice.
    assert display.values[5, 5] == pytest.approx(network.solution_.value, rel=1e-12)
    assert display.values.min() == display.values[5, 5]
    for row, column in ((0, 0), (2, 9), (10, 4)):
        params = fitted.copy()
        params[list(parameters)] = display.first[column], display.second[row]
        assert display.values[row, column] == pytest.approx(by_hand(network, params), rel=1e-10)
    np.testing.assert_array_equal(np.ravel(display.point_.get_data()), display.point)
    low, high = display.surface_.get_clim()
    assert (low, high) == (display.values.min(), display.values.max())
    assert "the 11 other parameters" in display.ax_.get_title()


def by_hand(model: NetworkRegressor, params: Any) -> float:
    """½ squared error of a network with one hidden layer of tanh and its penalty, without newtron's engine."""
    member = next(one for one in model.members_ if one.solution is model.solution_)
    scaling, h = model.scaling_, 3
    inputs = (X - scaling.x_center) / scaling.x_scale
    targets = (Y[:, None] - scaling.y_center) / scaling.y_scale
    W, b = params[: 2 * h].reshape(2, h), params[2 * h : 3 * h]
    V, c = params[3 * h : 4 * h].reshape(h, 1), params[4 * h :]
    error = targets - (np.tanh(inputs @ W + b) @ V + c)
    return float((0.5 * np.sum(error**2) + 0.5 * np.sum(member.alpha * params**2)) / len(X))


def test_a_perceptron_with_two_parameters_has_its_whole_surface() -> None:
    model = PerceptronRegressor(fit_intercept=False).fit(X, Y)
    display = LossSurfaceDisplay.from_estimator(model, X, Y, span=0.5, grid_resolution=5)
    assert display.held == 0
    assert display.ax_.get_title() == ""
    for row, column in ((0, 0), (4, 1)):
        weights = np.array([display.first[column], display.second[row]])
        assert display.values[row, column] == pytest.approx(0.5 * np.mean((Y - X @ weights) ** 2), rel=1e-12)
    np.testing.assert_allclose([display.first[0], display.first[-1]], model.coef_[0] + np.array([-0.5, 0.5]))


def test_names_from_the_data_are_words_on_the_axes() -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=["a$_b$", "c"])
    display = LossSurfaceDisplay.from_estimator(PerceptronClassifier().fit(frame, LABELS), frame, LABELS)
    assert display.ax_.get_xlabel() == r"$w_{1}$ (a\$_b\$)"
    display.figure_.canvas.draw()


def test_firths_likelihood_and_weights_have_their_own_surface() -> None:
    weight = RNG.integers(1, 4, size=90)
    for settings in ({"penalty": "firth"}, {"alpha": 0.5}, {"class_weight": "balanced"}):
        model = PerceptronClassifier(**settings).fit(X, LABELS, sample_weight=weight)
        display = LossSurfaceDisplay.from_estimator(model, X, LABELS, sample_weight=weight, grid_resolution=3)
        assert display.values[1, 1] == pytest.approx(model.solution_.value, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"parameters": (0, 0)}, "two different"),
        ({"parameters": (0, 99)}, "0 to 12"),
        ({"parameters": 3}, "two parameters"),
        ({"member": 9}, "member=9"),
        ({"span": -1.0}, "span"),
        ({"grid_resolution": 1}, "grid_resolution"),
    ],
)
def test_a_surface_that_there_is_not_is_a_sentence(
    network: NetworkRegressor, settings: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        LossSurfaceDisplay.from_estimator(network, X, Y, **settings)


def test_other_wrong_uses_are_sentences(network: NetworkRegressor) -> None:
    with pytest.raises(NotFittedError):
        ConvergenceDisplay.from_estimator(NetworkRegressor())
    with pytest.raises(NotFittedError):
        LossSurfaceDisplay.from_estimator(NetworkRegressor(), X, Y)
    with pytest.raises(ValueError, match="quantity"):
        ConvergenceDisplay.from_estimator(network, quantity="loss")
    with pytest.raises(ValueError, match="classes"):
        LossSurfaceDisplay.from_estimator(PerceptronClassifier().fit(X, LABELS), X, np.where(Y > 0.0, "a", "b"))
    with pytest.raises(ValueError, match="one parameter"):
        LossSurfaceDisplay.from_estimator(PerceptronRegressor(fit_intercept=False).fit(X[:, :1], Y), X[:, :1], Y)


def test_without_matplotlib_the_extra_is_named(network: NetworkRegressor, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return honest(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ImportError, match='extra "plot": pip install matplotlib'):
        ConvergenceDisplay.from_estimator(network)


# --- colours ---

# Deuteranopia by Viénot, Brettel, Mollon (1999), in linear RGB.
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def lightness(colour: Any) -> float:
    """CIE L* of a colour as a deuteranope sees it."""
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(np.clip(DEUTERANOPIA @ linear, 0.0, 1.0) @ [0.2126, 0.7152, 0.0722])
    return float(116.0 * np.cbrt(luminance) - 16.0)


def test_colours_stay_apart_without_red_and_green(network: NetworkRegressor) -> None:
    scale = [lightness(colormaps["cividis_r"](share)) for share in np.linspace(0.0, 1.0, 20)]
    assert (np.diff(scale) < -1.0).all()
    display = ConvergenceDisplay.from_estimator(network)
    looks = {(line.get_color(), line.get_linestyle()) for line in display.ax_.lines}
    assert looks == {(BLUE, "-"), (GREY, "--"), (VERMILLION, ":")}  # the dashes tell them apart without any colour
    fit = LossSurfaceDisplay.from_estimator(network, X, Y, grid_resolution=3).point_
    assert lightness(fit.get_markeredgecolor()) - lightness(fit.get_color()) > 30.0


# --- scikit-learn's own displays ---


@pytest.mark.parametrize("model", [PerceptronClassifier(), NetworkClassifier(hidden=(3,), n_starts=1)])
def test_decision_boundaries_are_the_models(model: Any) -> None:
    model.fit(X, LABELS)
    display = DecisionBoundaryDisplay.from_estimator(model, X, response_method="predict_proba", grid_resolution=7)
    points = np.column_stack([display.xx0.ravel(), display.xx1.ravel()])
    np.testing.assert_allclose(display.response.ravel(), model.predict_proba(points)[:, 1], rtol=1e-12)
    regions = DecisionBoundaryDisplay.from_estimator(model, X, response_method="predict", grid_resolution=7)
    np.testing.assert_array_equal(regions.response.ravel(), np.searchsorted(model.classes_, model.predict(points)))


def test_calibration_is_the_models() -> None:
    model = PerceptronClassifier().fit(X, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        display = CalibrationDisplay.from_estimator(model, X, LABELS, n_bins=4)
    np.testing.assert_array_equal(display.y_prob, model.predict_proba(X)[:, 1])
