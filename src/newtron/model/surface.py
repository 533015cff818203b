"""The objective of a fitted model over two of its parameters, the others held: what `LossSurfaceDisplay` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective
from newtron.engine.objective.grid import values_on_grid
from newtron.engine.rows import Rows
from newtron.explain import Names
from newtron.model.certified import objective_on
from newtron.model.explanation import fed_names, input_names, member_at
from newtron.training.fitted import FittedModel, Member

# Half the side of a window where nothing bends, as a share of the parameter's size, and the least and most in general.
_FLAT, _LEAST, _MOST = 1.0, 1e-3, 10.0


class Slice(NamedTuple):
    """values (second, first): the objective where the two parameters take these values; point: those of the fit.

    symbols: of the two parameters, as explanations write them. names: of the inputs that they belong to, or "".
    held: how many other parameters keep their fitted values.
    """

    first: Array
    second: Array
    values: Array
    point: tuple[float, float]
    symbols: tuple[str, str]
    names: tuple[str, str]
    held: int


def slice_of(
    model: FittedModel,
    rows: Rows,
    *,
    parameters: Sequence[int],
    member: int | None,
    span: float | None,
    size: int,
) -> Slice:
    """The slice through the parameters of one member over rows in the user's units. The settings are those of
    `LossSurfaceDisplay.from_estimator`."""
    if check_count("grid_resolution", size) < 2:
        raise InputError("grid_resolution=1 is a point: give at least 2.")
    if span is not None:
        check_number("span", span, above=0.0)
    chosen = model.members[member_at(model, member)]
    pair = _pair(parameters, chosen)
    objective, params = _objective(model, chosen, rows)
    with one_blas_thread(), np.errstate(all="ignore"):
        halves = [span or _half(objective, params, index) for index in pair]
        axes = [params[index] + half * np.linspace(-1.0, 1.0, size) for index, half in zip(pair, halves, strict=True)]
        values = values_on_grid(objective, params, pair, axes[0], axes[1])
    named = Names(chosen.network, model.loss, fed_names(model.scaling_of(chosen), input_names(model))).parameters
    (first, first_name), (second, second_name) = (named[index] for index in pair)
    return Slice(
        axes[0],
        axes[1],
        values,
        (float(params[pair[0]]), float(params[pair[1]])),
        (first, second),
        (first_name, second_name),
        len(params) - 2,
    )


def _pair(parameters: Sequence[int], member: Member) -> tuple[int, int]:
    P = member.network.n_params
    if P < 2:
        raise InputError("This model has one parameter: a surface needs two.")
    try:
        first, second = parameters
    except (TypeError, ValueError):
        raise InputError(f"parameters={parameters!r} must be the places of two parameters, such as (0, 1).") from None
    if first == second or max(check_count("parameters", place, least=0) for place in (first, second)) >= P:
        raise InputError(f"parameters={parameters!r} must be two different whole numbers from 0 to {P - 1}.")
    return int(first), int(second)


def _objective(model: FittedModel, member: Member, rows: Rows) -> tuple[Objective, Array]:
    objective = objective_on(model, member, rows)
    params = np.asarray(member.params, dtype=np.float64)
    if objective.n_params != len(params):
        raise InputError("The surface of Firth's likelihood is drawn for two classes alone.")
    return objective, params


def _half(objective: Objective, params: Array, index: int) -> float:
    """As far as a parabola with this bend doubles the objective."""
    at = objective.evaluate(params, 2)
    bend, size = float(at.hessian[index, index]), max(1.0, abs(float(params[index])))
    half = np.sqrt(2.0 * abs(at.value) / bend) if bend > 0.0 and at.value else _FLAT * size
    return float(np.clip(half, _LEAST * size, _MOST * size))
