"""What is asked of a training: the settings of an estimator, with their types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, Self, TypeAlias

import numpy as np

from newtron.engine.base.checks import (
    check_choice,
    check_count,
    check_flag,
    check_number,
    check_penalty,
    is_count,
    shown,
)
from newtron.engine.base.errors import InputError
from newtron.engine.maths.activations import activation_named
from newtron.engine.solvers import Solver
from newtron.inference.coefficients.information import WEIGHTS_KINDS, WeightsKind
from newtron.inference.penalties.penalty_path import RULES
from newtron.table.choices import ColumnChoices, column_choices, level_name
from newtron.training.effort import EFFORTS

# Widths of the hidden layers of one network; () is a perceptron.
Shape: TypeAlias = tuple[int, ...]
TaskName: TypeAlias = Literal["regression", "classification"]
Family: TypeAlias = Literal["perceptron", "network"]
Label: TypeAlias = str | bool | int | float
ClassWeight: TypeAlias = str | dict[Label, float] | None
# What the columns of frames are: the name of a kind, or levels in order.
# Which columns have random intercepts: by name or position, those that repay it ("auto"), or none.
Intercepts: TypeAlias = str | Sequence[str | int] | None
ColumnKinds: TypeAlias = Mapping[str, str | Sequence[object]] | None
Hidden: TypeAlias = str | int | tuple[int, ...] | list[int | tuple[int, ...] | list[int]]


@dataclass(frozen=True)
class Settings:
    """The settings of one of the four estimators, as they were given. The estimators' docstrings say what each means.

    A setting that an estimator does not have keeps its default. random_state: None also where a generator was given,
    because a generator has moved on since. The callback is no part of them: a function cannot be stored.
    """

    family: Family
    task: TaskName
    alpha: float | str = 0.0
    penalty: str = "l2"
    hidden: Hidden = ()
    activation: str = "identity"
    n_starts: int | None = 1
    effort: str = "default"
    combine: str = "average"
    solver: str | Solver = "auto"
    loss: str | None = None
    class_weight: ClassWeight = None
    offset: str | int | None = None
    weights: WeightsKind = "frequency"
    intercepts: str | tuple[str | int, ...] | None = None
    method: str = "reml"
    columns: dict[str, str | tuple[str, ...]] | None = None
    missing: str = "indicator"
    standardize: bool = False
    fit_intercept: bool = True
    tol: float = 1e-12
    max_iter: int | None = None
    random_state: int | None = 0
    n_jobs: int | None = None
    verbose: int = 0

    @classmethod
    def of(cls, family: Family, task: TaskName, given: Mapping[str, object]) -> Self:
        """Make settings from the parameters of an estimator; a NumPy number becomes a number of Python."""
        known = {field.name for field in fields(cls)}
        values = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in given.items()
            if name in known
        }
        if not is_count(values.get("random_state", 0), least=0):
            values["random_state"] = None
        if values.get("columns") is not None:
            values["columns"] = _stored_columns(values["columns"])
        listed = values.get("intercepts")
        if isinstance(listed, list | tuple | np.ndarray):
            values["intercepts"] = tuple(each.item() if isinstance(each, np.generic) else each for each in listed)
        return cls(family, task, **values)  # type: ignore[arg-type]  # `checked` judges what the user gave

    def checked(self) -> Self:
        """These settings. Raises InputError for the first that cannot be used."""
        check_penalty(self.alpha, RULES)
        check_number("tol", self.tol, above=0.0)
        if self.max_iter is not None:
            check_count("max_iter", self.max_iter)
        check_flag("fit_intercept", self.fit_intercept)
        check_flag("standardize", self.standardize)
        if self.family == "network":
            activation_named(self.activation)
            if self.n_starts is not None:
                check_count("n_starts", self.n_starts)
            check_choice("effort", self.effort, tuple(EFFORTS))
            check_choice("combine", self.combine, ("average", "best"))
        check_choice("weights", self.weights, WEIGHTS_KINDS)
        self._check_firth()
        self._check_offset()
        self._check_intercepts()
        self.choices()
        return self

    def choices(self) -> ColumnChoices:
        """What is chosen of the columns of a frame. Raises InputError for what is no kind of a column."""
        return column_choices(self.columns, self.missing)

    def _check_offset(self) -> None:
        """An offset is the logarithm of an exposure, and so needs a log link."""
        if self.offset is None:
            return
        if not (isinstance(self.offset, str) or is_count(self.offset, least=0)):
            raise InputError(f"offset={self.offset!r} must be the name of a column, its position from 0, or None.")
        if self.loss != "poisson":
            raise InputError(f'offset={self.offset!r} is the logarithm of an exposure of counts: set loss="poisson".')

    def _check_intercepts(self) -> None:
        check_choice("method", self.method, ("reml", "ml"))
        found = self.intercepts
        auto = found == "auto" and self.family == "network"
        if found is None or auto:
            return
        given = isinstance(found, tuple) and all(isinstance(each, str) or is_count(each, least=0) for each in found)
        if not given or not found:
            ways = "'auto', None, or a list" if self.family == "network" else "None or a list"
            raise InputError(
                f"intercepts={shown(found)} must be {ways} of columns, by their names or their positions from 0."
            )

    def _check_firth(self) -> None:
        """Firth's penalty stands alone, and is one of the log loss."""
        if self.penalty not in ("l2", "firth"):
            raise InputError(f"penalty={self.penalty!r} is not known: choose one of 'l2', 'firth'.")
        if not self.is_firth:
            return
        if self.alpha != 0.0:
            raise InputError(f'penalty="firth" is a penalty of its own: set alpha=0 with it, not {self.alpha!r}.')
        if self.weights != "frequency":
            raise InputError(
                f'penalty="firth" takes a weight for a number of rows: leave out weights={self.weights!r}.'
            )
        if self.loss not in (None, "log_loss"):
            raise InputError(f'penalty="firth" is a penalty on the log loss: set loss=None with it, not {self.loss!r}.')

    @property
    def estimator(self) -> str:
        """The name of the estimator that has these settings."""
        return f"{self.family.capitalize()}{'Regressor' if self.task == 'regression' else 'Classifier'}"

    @property
    def is_firth(self) -> bool:
        """Is the model fitted by Firth's penalised likelihood?"""
        return self.penalty == "firth"

    @property
    def is_mix(self) -> bool:
        """Are the shapes those of the measured mix?"""
        return isinstance(self.hidden, str) and self.hidden == "auto"

    def shapes(self) -> tuple[Shape, ...] | None:
        """The shapes of the members; None is the measured mix. Raises InputError where `hidden` names no shapes."""
        if self.is_mix:
            return None
        return read_shapes(self.hidden) if self.family == "network" else ((),)


def _stored_columns(columns: object) -> dict[str, str | tuple[str, ...]]:
    """The kinds and the levels of columns, as a model keeps them. Raises InputError for what is neither."""
    if not isinstance(columns, Mapping):
        raise InputError(
            f"columns={shown(columns)} must be a dict from names of columns to what they are, as in "
            "{'zip': 'category', 'size': ['S', 'M', 'L']}."
        )
    column_choices({str(name): value for name, value in columns.items()})
    return {
        str(name): value if isinstance(value, str) else tuple(map(level_name, value)) for name, value in columns.items()
    }


def read_shapes(hidden: object) -> tuple[Shape, ...]:
    """`hidden` as shapes: one tuple of widths, or a list of them, one member each; a number is one layer."""
    if is_count(hidden):
        return ((int(hidden),),)
    if isinstance(hidden, list) and not hidden:
        raise InputError("hidden=[] names no network: give a tuple of widths such as (20,).")
    shapes = hidden if isinstance(hidden, list) and not all(is_count(h) for h in hidden) else [hidden]
    read = []
    for shape in shapes:
        if not isinstance(shape, (tuple, list)) or not all(is_count(width) for width in shape):
            raise InputError(
                f"hidden={hidden!r} must be 'auto', a tuple of widths such as (20,) or (10, 10), or a list of such "
                "tuples."
            )
        read.append(tuple(int(width) for width in shape))
    return tuple(read)
