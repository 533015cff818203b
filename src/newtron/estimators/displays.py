"""Displays on matplotlib, in the manner of scikit-learn's: `from_estimator`, then `plot(ax)`, `ax_` and `figure_`.

scikit-learn's own `DecisionBoundaryDisplay` and `CalibrationDisplay` take newtron's estimators as they are. matplotlib
is imported when something is drawn (extra plot). The colours are those of Okabe and Ito, and cividis (Nuñez,
Anderton, Renslow 2018): they stay apart for readers who see no difference between red and green, and lines also differ
in dashes and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from newtron.engine.base.checks import check_choice
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import clean
from newtron.estimators.base import NewtronEstimator
from newtron.explain.show.symbols import to_latex
from newtron.training.fitted import FittedModel

# matplotlib is an extra, and is not there where types are checked.
Drawn: TypeAlias = Any

BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#8C8C8C"
# What a display of convergence can show: the field of a trace row, and the name of the axis.
QUANTITIES = {
    "gradient": ("gradient_norm", "largest component of the gradient, relative"),
    "objective": ("value", "objective"),
    "decrement": ("decrement", "Newton decrement"),
}
_LEVELS = 14


def new_axes(name: str, ax: Drawn, size: tuple[float, float] | None = None) -> Drawn:
    """The given axes, or those of a new figure of this size in inches."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(f'{name}.plot needs matplotlib, newtron\'s extra "plot": pip install matplotlib.') from None
    return pyplot.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


class ConvergenceDisplay:
    """How training went to its end, iteration by iteration: one line for each network of the model.

    Parameters
    ----------
    iterations, values : sequence of (steps + 1,)
        The numbers of the steps and the quantity after each, of each network.
    best : int
        The position of the best network, which is drawn in front.
    tol : float or None
        The gradient at which training converges, drawn as a line; None: not drawn.
    quantity : "gradient", "objective" or "decrement"

    Attributes
    ----------
    ax_, figure_, lines_
        What `plot` has drawn: the axes, their figure, and a line for each network.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import ConvergenceDisplay, PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(model)
    >>> display.ax_.get_xlabel()
    'iteration'
    """

    def __init__(
        self,
        *,
        iterations: Sequence[Array],
        values: Sequence[Array],
        best: int = 0,
        tol: float | None = None,
        quantity: str = "gradient",
    ) -> None:
        self.iterations, self.values, self.best = iterations, values, best
        self.tol, self.quantity = tol, quantity

    @classmethod
    def from_estimator(
        cls, estimator: NewtronEstimator, *, quantity: str = "gradient", ax: Drawn = None, **kwargs: object
    ) -> Self:
        """Draw `solution_.trace` of a fitted estimator, which may have been loaded from a file.

        quantity: "gradient" (its largest component, relative to the objective's scale: what `tol` is compared with),
        "objective" (in units of training), or "decrement" (Newton's, where the solver knows it). ax: axes to draw in;
        None: new ones. kwargs: for matplotlib's `plot` of the best network's line.

        Raises InputError where the quantity is unknown or no solver computed it, NotFittedError before `fit`.
        """
        field, _ = QUANTITIES[check_choice("quantity", quantity, QUANTITIES)]
        check_is_fitted(estimator)
        model: FittedModel = estimator.model_
        solutions = [member.solution for member in model.members]
        values = [np.array([getattr(row, field) for row in solution.trace]) for solution in solutions]
        if not any(np.isfinite(one).any() for one in values):
            raise InputError(f"quantity={quantity!r} was not computed by {solutions[0].solver.name!r}: choose another.")
        found = cls(
            iterations=[np.array([row.iteration for row in solution.trace]) for solution in solutions],
            values=values,
            best=model.best,
            tol=float(model.settings.tol) if quantity == "gradient" else None,
            quantity=quantity,
        )
        return found.plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for the line of the best network. Returns self."""
        self.ax_ = new_axes(type(self).__name__, ax)
        self.figure_ = self.ax_.figure
        several, lines = len(self.values) > 1, {}
        # The best one last, so that no other line hides it.
        others = [place for place in range(len(self.values)) if place != self.best]
        for place in others:
            style = {"color": GREY, "linewidth": 0.9, "linestyle": "--", "alpha": 0.7, "zorder": 1.5}
            label = f"{len(others)} other{'s' if len(others) > 1 else ''}" if place == others[0] else None
            lines[place] = self._line(place, style | {"label": label})
        style = {"color": BLUE, "linewidth": 2.0, "marker": "o", "markersize": 4.0}
        lines[self.best] = self._line(self.best, style | ({"label": "the best network"} if several else {}) | kwargs)
        self.lines_ = [lines[place] for place in range(len(self.values))]
        if self.tol is not None:
            self.ax_.axhline(self.tol, color=VERMILLION, linestyle=":", linewidth=1.5, label=f"tol = {self.tol:g}")
        shown = np.concatenate([one[np.isfinite(one)] for one in self.values])
        # An objective may be negative, and one that hardly falls is easier to read as it is.
        if len(shown) and (self.quantity != "objective" or 0.0 < 10.0 * shown.min() < shown.max()):
            self.ax_.set_yscale("log", nonpositive="mask")
        self.ax_.set_xlabel("iteration")
        self.ax_.set_ylabel(QUANTITIES[self.quantity][1])
        if several or self.tol is not None:
            self.ax_.legend()
        return self

    def _line(self, place: int, style: dict[str, object]) -> Drawn:
        (line,) = self.ax_.plot(self.iterations[place], self.values[place], **style)
        return line


class LossSurfaceDisplay:
    """The objective of a fitted model over two of its parameters; the others keep their fitted values.

    Parameters
    ----------
    first, second : (n,), (m,)
        The values of the two parameters.
    values : (m, n)
        The objective there, as training computes it.
    point : (2,)
        The fitted parameters.
    names : tuple of str
        The names of the axes.
    held : int
        How many other parameters there are.

    Attributes
    ----------
    ax_, figure_, surface_, contours_, point_
        What `plot` has drawn: the axes, their figure, the filled contours, the lines and the point.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import LossSurfaceDisplay, PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = LossSurfaceDisplay.from_estimator(model, X, y, grid_resolution=11)
    >>> display.values.shape
    (11, 11)
    """

    def __init__(
        self,
        *,
        first: Array,
        second: Array,
        values: Array,
        point: tuple[float, float],
        names: tuple[str, str] = ("first parameter", "second parameter"),
        held: int = 0,
    ) -> None:
        self.first, self.second, self.values, self.point = first, second, values, point
        self.names, self.held = names, held

    @classmethod
    def from_estimator(
        cls,
        estimator: NewtronEstimator,
        X: Matrix,
        y: object,
        *,
        sample_weight: object = None,
        parameters: tuple[int, int] = (0, 1),
        member: int | None = None,
        span: float | None = None,
        grid_resolution: int = 61,
        ax: Drawn = None,
        **kwargs: object,
    ) -> Self:
        """Draw the loss of a fitted estimator on rows X (n, p) with targets or classes y, as `fit` takes them.

        parameters: places of two in the flat vector `solution_.params`: layer by layer the weights, unit by unit of
        each input, then the intercepts. They are in units of training (`standardize`). member: which network of an
        average, counted from 1; None: the best. span: how far the window reaches to both sides; None: as far as a
        parabola with the curvature there doubles the objective. grid_resolution: points along each side. ax: axes to
        draw in; None: new ones. kwargs: for matplotlib's `contourf`.

        Raises InputError for settings that do not fit the model, NotFittedError before `fit`.
        """
        from newtron.model.surface import slice_of

        check_is_fitted(estimator)
        found = slice_of(
            estimator.model_,
            estimator._rows_given(X, y, sample_weight),
            parameters=parameters,
            member=member,
            span=span,
            size=grid_resolution,
        )
        names = [_axis(symbol, name) for symbol, name in zip(found.symbols, found.names, strict=True)]
        display = cls(
            first=found.first,
            second=found.second,
            values=found.values,
            point=found.point,
            names=(names[0], names[1]),
            held=found.held,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for matplotlib's `contourf`. Returns self."""
        self.ax_ = new_axes(type(self).__name__, ax)
        self.figure_ = self.ax_.figure
        shown = np.ma.masked_invalid(self.values)
        low, high = float(shown.min()), float(shown.max())
        # Levels lie closer near the bottom, where the fit is.
        levels = low + ((high - low) or 1.0) * np.linspace(0.0, 1.0, _LEVELS + 1) ** 2
        settings = {"levels": levels, "cmap": "cividis_r"} | kwargs
        self.surface_ = self.ax_.contourf(self.first, self.second, shown, **settings)
        lines = {"levels": self.surface_.levels, "colors": "white", "linewidths": 0.5, "alpha": 0.6}
        self.contours_ = self.ax_.contour(self.first, self.second, shown, **lines)
        mark = {"marker": "o", "markersize": 8, "color": VERMILLION, "markeredgecolor": "white", "linestyle": "none"}
        (self.point_,) = self.ax_.plot(*([value] for value in self.point), label="fit", **mark)
        self.figure_.colorbar(self.surface_, ax=self.ax_, label="objective", format="%.4g")
        self.ax_.set_xlabel(self.names[0])
        self.ax_.set_ylabel(self.names[1])
        if self.held:
            others = "the other parameter" if self.held == 1 else f"the {self.held:,} other parameters"
            self.ax_.set_title(f"A slice: {others} as fitted", fontsize="medium")
        self.ax_.legend()
        return self


def _axis(symbol: str, name: str) -> str:
    """A symbol as matplotlib's mathematics, and what it belongs to; text from the data is no mathematics."""
    escaped = clean(name).replace("$", r"\$")
    return f"${to_latex(symbol)}$" + (f" ({escaped})" if name else "")
