"""hidden="auto": the kinds of members, whose size follows from the columns and the outputs."""

from __future__ import annotations

from typing import NamedTuple

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.training.members import Kind
from newtron.training.scaling import with_asinh
from newtron.training.settings import Settings, Shape

# Units of a hidden layer and parameters of a network, at most; a network of fewer units than the last number is none.
# More units gained nothing below 3,000 rows, where a penalty from the data says how much they do; 2,000 parameters are
# what can be trained in some seconds there.
_UNITS, _PARAMETERS, _LEAST_UNITS = 10, 2000, 2


class Plan(NamedTuple):
    """A plan: the kinds of the members, their starts, the units, and how they are combined."""

    kinds: tuple[Kind, ...]
    n_starts: int
    scaling: Scaling
    combine: str


def planned(settings: Settings, scaling: Scaling, rows: Rows) -> Plan:
    """Return what an estimator with these settings trains. scaling: that of the rows, without asinh features."""
    shapes = settings.shapes()
    if shapes is not None:
        kinds = tuple(Kind(shape, scaling.n_inputs) for shape in shapes)
        return Plan(kinds, int(settings.n_starts), scaling, settings.combine)
    # A feature of each column doubles the inputs. Where they would cost units, there are none.
    if settings.standardize and units(2 * rows.n_features, rows.n_outputs) == _UNITS:
        with one_blas_thread():
            scaling = with_asinh(scaling, rows)
    kinds = tuple(
        Kind(shape, scaling.n_inputs) for shape in shapes_for(settings.task, scaling.n_inputs, rows.n_outputs)
    )
    combine = "stacking" if settings.combine == "average" else settings.combine
    return Plan(kinds, int(settings.n_starts), scaling, combine)


def shapes_for(task: str, n_inputs: int, n_outputs: int) -> tuple[Shape, ...]:
    """A perceptron; a network, if the inputs are not too many; and in regression one of two layers, which follows
    smooth targets with little noise more closely."""
    found = units(n_inputs, n_outputs)
    if found < _LEAST_UNITS:
        return ((),)
    two = found - 2
    return ((), (found,), (two, two)) if task == "regression" and two >= _LEAST_UNITS else ((), (found,))


def units(n_inputs: int, n_outputs: int) -> int:
    """Units of a hidden layer. They never rise as inputs or outputs rise, and do not depend on the rows."""
    return max(0, min(_UNITS, (_PARAMETERS - n_outputs) // (n_inputs + 1 + n_outputs)))
