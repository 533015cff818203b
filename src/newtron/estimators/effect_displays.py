"""Displays of what a model says about columns, on matplotlib: coefficients, marginal effects, accumulated effects and
residuals. They follow scikit-learn's manner, as those of `newtron.estimators.displays` do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Self, TypeVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import clean, column_names
from newtron.estimators.coefficients import Perceptron
from newtron.estimators.displays import BLUE, GREY, VERMILLION, Drawn, new_axes
from newtron.estimators.effects import EstimatorWithEffects
from newtron.inference.effects.effects import Effects
from newtron.model.effects.accumulated import AccumulatedEffects, accumulated_of
from newtron.model.effects.effects import predicted_names, subject_of
from newtron.model.residuals import means_of_groups, residuals_of
from newtron.table.frames import is_frame, table_of

# Colours (Okabe and Ito) and marks of several outputs or groups; both differ, for readers who do not see the colours.
_COLOURS = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKS = ("o", "s", "D", "^", "v", "P")
# Characters of a line of a name at the axis, and lines that are shown.
_NAME_WIDTH, _NAME_LINES = 32, 2


class CoefficientDisplay:
    """The coefficients of a perceptron with their intervals: a point and a line for each, below each other.

    Parameters
    ----------
    names : (M,)
        The names of the rows.
    estimates : (M, k)
        The coefficients, of k outputs.
    intervals : (M, k, 2)
        The ends of their intervals.
    outputs : tuple of str
        The names of the outputs.
    none : float
        Where there is no effect: 0, or 1 for ratios.
    label : str
        The label of the axis.

    Attributes
    ----------
    ax_, figure_, bars_
        What `plot` has drawn: the axes, their figure, and a container of error bars for each output.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import CoefficientDisplay, PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(model, X, y, standardized=True)
    >>> display.names
    ('bill_depth_mm', 'body_mass_g')
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        estimates: Array,
        intervals: Array,
        outputs: Sequence[str] = ("",),
        none: float = 0.0,
        label: str = "coefficient",
    ) -> None:
        self.names, self.estimates, self.intervals = names, estimates, intervals
        self.outputs, self.none, self.label = outputs, none, label

    @classmethod
    def from_estimator(
        cls,
        estimator: Perceptron,
        X: Matrix = None,
        y: object = None,
        *,
        covariance: str | None = None,
        groups: object = None,
        sample_weight: object = None,
        coverage: float = 0.95,
        intercept: bool = False,
        standardized: bool = False,
        exponentiate: bool = False,
        ax: Drawn = None,
        **kwargs: object,
    ) -> Self:
        """Draw what `summary` of a fitted perceptron says.

        X, y, covariance, groups, sample_weight, coverage: as in `summary`. intercept: whether it is drawn too.
        standardized: coefficients for one standard deviation of each column, which can be compared; their intervals are
        scaled alike. exponentiate: odds or rate ratios, on a logarithmic axis. ax: axes to draw in; None: new ones.
        kwargs: for matplotlib's `errorbar`.

        Raises InputError as `summary` does, NotFittedError before `fit`.
        """
        check_is_fitted(estimator)
        settings = {"covariance": covariance, "groups": groups, "sample_weight": sample_weight, "coverage": coverage}
        if standardized and exponentiate:
            raise InputError("standardized coefficients and ratios are two pictures: take one of them.")
        settings |= {"standardized": standardized, "exponentiate": exponentiate}
        summary = estimator.summary(X, y, **settings)
        k, n = len(summary.outputs), len(summary.terms)
        estimates, ends = summary.estimates.reshape(k, n).T, summary.intervals.reshape(k, n, 2).transpose(1, 0, 2)
        first = 1 if summary.terms[0] == "intercept" and (standardized or not intercept) else 0
        label = summary.ratio or "coefficient"
        if standardized:
            scaled = summary.standardized.reshape(k, n).T
            with np.errstate(all="ignore"):
                ends = ends * (scaled / estimates)[:, :, None]
            estimates, label = scaled, "coefficient for one standard deviation"
        found = cls(
            names=summary.terms[first:],
            estimates=estimates[first:],
            intervals=ends[first:],
            outputs=summary.outputs,
            none=1.0 if exponentiate else 0.0,
            label=f"{label}, {100 * coverage:g} % intervals",
        )
        return found.plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for matplotlib's `errorbar`. Returns self."""
        self.ax_ = new_axes(type(self).__name__, ax, _size(self.names, len(self.outputs)))
        self.figure_ = self.ax_.figure
        self.bars_ = _forest(self.ax_, self.names, self.estimates, self.intervals, self.outputs, self.none, kwargs)
        if self.none > 0.0:  # ratios
            self.ax_.set_xscale("log")
            self.ax_.xaxis.set_major_formatter("{x:g}")
        self.ax_.set_xlabel(self.label)
        return self


class MarginalEffectsDisplay:
    """Marginal effects with their intervals: a point and a line for each column, or a curve over one column's values.

    Parameters
    ----------
    names : (M,)
        The names of the rows.
    estimates : (M, k)
        The effects, of k outputs or groups.
    intervals : (M, k, 2)
        The ends of their intervals.
    outputs : tuple of str
        The names of the outputs or groups.
    positions : (M,) or None
        Numbers of a condition over which one effect is drawn as a curve; None: points below each other.
    label, condition : str
        The labels of the axis of effects and of that of the positions.

    Attributes
    ----------
    ax_, figure_, bars_, lines_, bands_
        What `plot` has drawn: the axes, their figure, and containers of error bars, or lines and bands.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import MarginalEffectsDisplay, PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = MarginalEffectsDisplay.from_estimator(model, X)
    >>> display.names
    ['bill_depth_mm', 'body_mass_g']
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        estimates: Array,
        intervals: Array,
        outputs: Sequence[str] = ("",),
        positions: Array | None = None,
        label: str = "marginal effect",
        condition: str = "",
    ) -> None:
        self.names, self.estimates, self.intervals, self.outputs = names, estimates, intervals, outputs
        self.positions, self.label, self.condition = positions, label, condition

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorWithEffects,
        X: Matrix,
        y: object = None,
        *,
        columns: str | Sequence[str] | None = None,
        at: object = "overall",
        by: object = None,
        per: str = "unit",
        covariance: str | None = None,
        coverage: float = 0.95,
        ax: Drawn = None,
        **kwargs: object,
    ) -> Self:
        """Draw what `effects` of a fitted estimator says; its settings are those of `effects`.

        One column with ``at={"age": [20, 30, 40]}``, three numbers or more, is a curve over these. ax: axes to draw in;
        None: new ones. kwargs: for matplotlib's `errorbar`, or `plot` of a curve.

        Raises InputError as `effects` does, NotFittedError before `fit`.
        """
        check_is_fitted(estimator)
        if at == "rows":
            raise InputError('at="rows" has an effect for each row, which are too many to draw: take another.')
        found = estimator.effects(
            X, y, columns=columns, at=at, by=by, per=per, covariance=covariance, coverage=coverage
        )
        label = f"on {subject_of(estimator.model_)}{' for one standard deviation' * (per == 'sd')}"
        label += f", {100 * coverage:g} % intervals"
        names = [_named(column, what) for column, what in zip(found.columns, found.contrasts, strict=True)]
        over = _numeric_condition(found) if len(set(names)) == 1 else None
        rows = names if over is None else np.array(found.conditions[over], dtype=np.float64).tolist()
        places, outputs, estimates, ends = _arranged(found, rows, [found.group(i, over) for i in range(len(found))])
        display = cls(
            names=places if over is None else names[:1],
            estimates=estimates,
            intervals=ends,
            outputs=outputs,
            positions=None if over is None else np.array(places),
            label=f"effect {label}" if over is None else f"effect of {names[0]} {label}",
            condition=over or "",
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for `errorbar`, or `plot` of a curve. Returns self."""
        if self.positions is None:
            self.ax_ = new_axes(type(self).__name__, ax, _size(self.names, len(self.outputs)))
            self.bars_ = _forest(self.ax_, self.names, self.estimates, self.intervals, self.outputs, 0.0, kwargs)
            self.ax_.set_xlabel(_wrapped(self.label, 60))
        else:
            self.ax_ = new_axes(type(self).__name__, ax)
            self.lines_, self.bands_ = _curves(
                self.ax_, self.positions, self.estimates, self.intervals, self.outputs, kwargs
            )
            self.ax_.axhline(0.0, color=GREY, linewidth=0.8, zorder=0.5)
            self.ax_.set_xlabel(_plain(self.condition))
            self.ax_.set_ylabel(_wrapped(self.label, 40))
        self.figure_ = self.ax_.figure
        return self


class AccumulatedEffectsDisplay:
    """How the mean prediction changes along one column, by accumulated local effects (Apley & Zhu 2020).

    Parameters
    ----------
    effects : AccumulatedEffects
        The numbers.
    outputs : tuple of str
        The names of the outputs.
    label : str
        The label of the axis of effects.

    Attributes
    ----------
    ax_, figure_, lines_, bands_, bars_
        What `plot` has drawn: the axes, their figure, and lines and bands for a number, bars for a category.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import AccumulatedEffectsDisplay, PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = AccumulatedEffectsDisplay.from_estimator(model, X, "body_mass_g")
    >>> display.ax_.get_xlabel()
    'body_mass_g'
    """

    def __init__(self, *, effects: AccumulatedEffects, outputs: Sequence[str] = ("",), label: str = "effect") -> None:
        self.effects, self.outputs, self.label = effects, outputs, label

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorWithEffects,
        X: Matrix,
        column: str,
        *,
        pieces: int = 20,
        covariance: str | None = None,
        coverage: float = 0.95,
        ax: Drawn = None,
        **kwargs: object,
    ) -> Self:
        """Draw the accumulated local effects of a column over the rows X (n, p).

        The exact derivatives are averaged between quantiles of a number, at most `pieces` of them; along a category
        rows of neighbouring levels are moved from one to the other. Bands are intervals by the delta method.
        covariance: as in `effects`. ax: axes to draw in; None: new ones. kwargs: for matplotlib's `plot`, or `errorbar`
        of a category.

        Raises InputError where the column is not known or is the same in all rows, NotFittedError before `fit`.
        """
        check_is_fitted(estimator)
        model, errors, _, rows = estimator._asked(X, None, "overall", None, True, covariance, None, None)
        effects = accumulated_of(model, rows, errors, column, pieces=pieces, coverage=coverage)
        names = predicted_names(model) if model.n_outputs > 1 else ("",)
        label = f"accumulated effect on {subject_of(model)}"
        return cls(effects=effects, outputs=names, label=label).plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for `plot`, or `errorbar` of a category. Returns self."""
        found = self.effects
        if found.levels:
            self.ax_ = new_axes(type(self).__name__, ax, _size(found.levels, len(self.outputs)))
            self.bars_ = _forest(self.ax_, found.levels, found.values, found.intervals, self.outputs, 0.0, kwargs)
            self.ax_.set_ylabel(_plain(found.column))
            self.ax_.set_xlabel(_wrapped(self.label, 60))
        else:
            self.ax_ = new_axes(type(self).__name__, ax)
            self.lines_, self.bands_ = _curves(
                self.ax_, found.points, found.values, found.intervals, self.outputs, kwargs
            )
            self.ax_.axhline(0.0, color=GREY, linewidth=0.8, zorder=0.5)
            # Marks for the rows, along the lower edge.
            self.ax_.plot(
                found.density,
                np.full(len(found.density), 0.01),
                "|",
                color=GREY,
                markersize=8,
                alpha=0.5,
                transform=self.ax_.get_xaxis_transform(),
            )
            self.ax_.set_xlabel(_plain(found.column))
            self.ax_.set_ylabel(_wrapped(self.label, 40))
        self.figure_ = self.ax_.figure
        return self


class ResidualsDisplay:
    """What a model leaves over: residuals against its predictions or a column, with the means of groups of rows.

    Parameters
    ----------
    x, residuals : (n,)
    means : (G, 2)
        The means of x and of the residuals in groups of equal size along x.
    bounds : (G,)
        Two standard errors of such a mean, if the model is right.
    label, against : str
        The labels of the axes.
    points : bool
        Whether each row is drawn; the residuals of classes lie on two curves, so the groups alone are (binned
        residuals; Gelman & Hill 2007).

    Attributes
    ----------
    ax_, figure_, points_, band_, means_
        What `plot` has drawn: the axes, their figure, the rows (None where they are not drawn), the band and the means.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier, ResidualsDisplay
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> display = ResidualsDisplay.from_estimator(model, X, y, kind="standardized")
    >>> display.residuals.shape
    (333,)
    """

    def __init__(
        self,
        *,
        x: Array,
        residuals: Array,
        means: Array,
        bounds: Array,
        label: str = "residual",
        against: str = "prediction",
        points: bool = True,
    ) -> None:
        self.x, self.residuals, self.means, self.bounds = x, residuals, means, bounds
        self.label, self.against, self.points = label, against, points

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorWithEffects,
        X: Matrix,
        y: object,
        *,
        kind: str = "residual",
        against: str | None = None,
        output: object = None,
        ax: Drawn = None,
        **kwargs: object,
    ) -> Self:
        """Draw the residuals of the rows X (n, p) with targets or classes y (n,).

        kind: "residual" is the target less the prediction (of classes 1 in the class, 0 else, less its probability);
        "standardized" is divided by the standard deviation that the model has for the row. against: a column of numbers
        of X; None: the predictions. output: the position of a target or a class; None: the first target, the second of
        two classes, the first of more. ax: axes to draw in; None: new ones. kwargs: for matplotlib's `scatter`.

        Raises InputError for settings that do not fit the model, NotFittedError before `fit`.
        """
        check_is_fitted(estimator)
        model, given = estimator.model_, X
        X = estimator._for_prediction(X)
        found = residuals_of(model, X, y, kind=kind, output=output)
        x = found.predictions if against is None else _column(model.data.names, given, against)
        means, bounds = means_of_groups(x, found)
        prediction = "prediction" if model.is_regression else f"probability of {found.output}"
        display = cls(
            x=x,
            residuals=found.values,
            means=means,
            bounds=bounds,
            label=f"{'standardized ' * (kind == 'standardized')}residual{f' of {found.output}' * bool(found.output)}",
            against=prediction if against is None else against,
            points=model.is_regression,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Drawn = None, **kwargs: object) -> Self:
        """Draw into the axes, or new ones. kwargs: for matplotlib's `scatter`. Returns self."""
        self.ax_ = new_axes(type(self).__name__, ax)
        self.figure_ = self.ax_.figure
        self.points_: Drawn = None
        if self.points:
            style = {"s": 14, "color": BLUE, "alpha": 0.45, "linewidths": 0.0, "zorder": 1.5}
            self.points_ = self.ax_.scatter(self.x, self.residuals, **(style | kwargs))
        self.ax_.axhline(0.0, color=GREY, linewidth=0.8, zorder=1.0)
        x, means = self.means.T
        band = {"color": GREY, "alpha": 0.25, "linewidth": 0.0, "zorder": 0.5}
        self.band_ = self.ax_.fill_between(x, -self.bounds, self.bounds, label="2 standard errors of a mean", **band)
        line = {"color": VERMILLION, "marker": "o", "markersize": 4.5, "linewidth": 1.6, "zorder": 2.0}
        (self.means_,) = self.ax_.plot(x, means, label="means of groups of rows", **line)
        self.ax_.set_xlabel(_plain(self.against))
        self.ax_.set_ylabel(_wrapped(self.label, 40))
        self.ax_.legend()
        return self


def _column(names: Sequence[str] | None, X: Matrix, name: str) -> Array:
    """(n,) a column of numbers of X."""
    if is_frame(X):
        table = table_of(X)
        if name in table:
            values = np.asarray(table.cells(name).to_numpy())
            if values.dtype.kind in "biuf":
                return np.asarray(values, dtype=np.float64)
            raise InputError(f"against={name!r} is no column of numbers.")
    known = column_names(names, X.shape[1])
    if name not in known:
        raise InputError(f"against={name!r} is no column of X.")
    return np.asarray(X[:, list(known).index(name)], dtype=np.float64)


def _named(column: str, contrast: str) -> str:
    return column if contrast == "dy/dx" else f"{column}: {contrast}"


def _numeric_condition(found: Effects) -> str | None:
    """The condition with three different numbers or more, over which a curve is drawn."""
    for name, values in found.conditions.items():
        if len(set(values)) > 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            return name
    return None


R = TypeVar("R", str, float)


def _arranged(found: Effects, rows: list[R], groups: list[str]) -> tuple[list[R], list[str], Array, Array]:
    """Effects as a table: the different rows and groups, and the estimates (M, k) with their intervals (M, k, 2)."""
    down, across = list(dict.fromkeys(rows)), list(dict.fromkeys(groups))
    estimates, ends = np.full((len(down), len(across)), np.nan), np.full((len(down), len(across), 2), np.nan)
    for i, (row, group) in enumerate(zip(rows, groups, strict=True)):
        place = down.index(row), across.index(group)
        estimates[place], ends[place] = found.estimates[i], found.intervals[i]
    return down, across, estimates, ends


def _size(names: Sequence[str], outputs: int) -> tuple[float, float]:
    """The size of a figure in which names and points do not overlap."""
    lines = max(_name(name).count("\n") + 1 for name in names)
    return 6.4, max(2.4, 1.4 + len(names) * max(0.12 + 0.18 * lines, 0.14 * outputs + 0.1))


def _forest(
    ax: Drawn,
    names: Sequence[str],
    estimates: Array,
    intervals: Array,
    outputs: Sequence[str],
    none: float,
    style: dict[str, object],
) -> list[Drawn]:
    """Points with lines, the first name at the top; several outputs beside each other."""
    n, k = estimates.shape
    shift = np.linspace(-0.28, 0.28, k) if k > 1 else np.zeros(1)
    bars = []
    for c in range(k):
        own = {
            "fmt": _MARKS[c % len(_MARKS)],
            "color": _COLOURS[c % len(_COLOURS)],
            "markersize": 5.0,
            "linewidth": 1.6,
            "label": _plain(outputs[c]) or None,
        }
        reach = np.abs(intervals[:, c].T - estimates[:, c])
        bars.append(ax.errorbar(estimates[:, c], np.arange(n) + shift[c], xerr=reach, **(own | style)))
    ax.axvline(none, color=GREY, linewidth=0.8, zorder=0.5)
    ax.set_yticks(np.arange(n), [_name(name) for name in names])
    ax.set_ylim(n - 0.4, -0.6)
    if k > 1:
        _legend(ax, k)
    return bars


def _curves(
    ax: Drawn, x: Array, values: Array, intervals: Array, outputs: Sequence[str], style: dict[str, object]
) -> tuple[list[Drawn], list[Drawn]]:
    """Lines with bands around them."""
    lines, bands = [], []
    dashes = ("-", "--", "-.", ":")
    for c in range(values.shape[1]):
        own = {
            "color": _COLOURS[c % len(_COLOURS)],
            "linestyle": dashes[c % len(dashes)],
            "linewidth": 2.0,
            "label": _plain(outputs[c]) or None,
        } | style
        (line,) = ax.plot(x, values[:, c], **own)
        lines.append(line)
        low, high = intervals[:, c].T
        bands.append(ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0.0))
    if values.shape[1] > 1:
        ax.legend()
    return lines, bands


def _plain(text: str) -> str:
    """Text from the data is no mathematics of matplotlib."""
    return clean(text).replace("$", r"\$")


def _legend(ax: Drawn, count: int) -> None:
    """Above the axes, where it hides no point, if they are alone in their figure."""
    if len(ax.figure.axes) == 1:
        ax.figure.legend(loc="outside upper center", ncols=min(count, 3), frameon=False)
    else:
        ax.legend()


def _name(text: str) -> str:
    """A name at the axis, on two lines at most; a long one loses its middle, since names of one kind differ at the
    end."""
    lines = textwrap.wrap(_plain(text), _NAME_WIDTH)
    if len(lines) <= _NAME_LINES:
        return "\n".join(lines)
    kept = _NAME_WIDTH - 3
    return f"{_plain(text[:kept])}...\n...{_plain(text[-kept:])}"


def _wrapped(text: str, width: int, most: int = 3) -> str:
    """A long text on several lines, cut where it is longer."""
    return "\n".join(textwrap.wrap(_plain(text), width, max_lines=most, placeholder=" ..."))
