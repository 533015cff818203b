"""hidden="auto": the kinds of members, whose size follows from the columns and the outputs."""

from __future__ import annotations

from typing import NamedTuple

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.training.batches import MANY_ROWS, large_shape, pieces_of_a_column, shape_beside
from newtron.training.effort import Effort, effort_named
from newtron.training.scaling import columns_with_pieces, with_asinh, with_pieces
from newtron.training.settings import Settings, Shape
from newtron.training.task import Kind

# Units of a hidden layer and parameters of a network, at most; a network of fewer units than the last number is none.
# More units gained nothing below 3,000 rows, where a penalty from the data says how much they do; 2,000 parameters are
# what can be trained in some seconds there.
_UNITS, _PARAMETERS, _LEAST_UNITS = 10, 2000, 2
# One more network takes so many pieces of each column. It has at most so many parameters, divided by the root of the
# outputs, and in regression at most this share of the rows. Measured by rows held out inside the training rows of
# concrete, yacht, wine, diabetes and two of Friedman's functions: 4 pieces did as well as 8 at half the inputs.
_PIECES, _PARAMETERS_WITH_PIECES, _SHARE_OF_ROWS = 4, 400, 0.5


class Plan(NamedTuple):
    """A plan: the kinds of the members, their starts, the units, how they are combined, how much is spent, and whether
    networks are trained in batches."""

    kinds: tuple[Kind, ...]
    n_starts: int
    scaling: Scaling
    combine: str
    effort: Effort
    in_batches: tuple[Kind, ...] = ()


def planned(settings: Settings, scaling: Scaling, rows: Rows) -> Plan:
    """Return what an estimator with these settings trains. scaling: that of the rows, without features."""
    shapes, effort = settings.shapes(), effort_named(settings.effort)
    n_starts = effort.starts if settings.n_starts is None else int(settings.n_starts)
    if shapes is not None:
        kinds = tuple(Kind(shape, scaling.n_inputs) for shape in shapes)
        return Plan(kinds, n_starts, scaling, settings.combine, effort)
    if _in_batches(settings, rows):
        return _large(settings, scaling, rows, effort)
    # A feature of each column doubles the inputs. Where they would cost units, there are none.
    if settings.standardize and units(2 * rows.n_features, rows.n_outputs) == _UNITS:
        with one_blas_thread():
            scaling = with_asinh(scaling, rows)
    kinds = tuple(
        Kind(shape, scaling.n_inputs) for shape in shapes_for(settings.task, scaling.n_inputs, rows.n_outputs)
    )
    if settings.standardize:
        with one_blas_thread():
            fed = with_pieces(scaling, rows, _PIECES)
        found = units_with_pieces(settings.task, rows.n_rows, fed.n_inputs, rows.n_outputs)
        if fed.pieces is not None and found >= _LEAST_UNITS:
            scaling, kinds = fed, (*kinds, Kind((found,), fed.n_inputs))
    combine = "stacking" if settings.combine == "average" else settings.combine
    return Plan(kinds, n_starts, scaling, combine, effort)


def _in_batches(settings: Settings, rows: Rows) -> bool:
    """Are the networks of the mix trained in batches? Whoever chooses a solver, a number of steps or another rule for
    the penalty wants what these lead to."""
    own = settings.solver != "auto" or settings.max_iter is not None or settings.alpha != "cv"
    return rows.n_rows > MANY_ROWS and rows.in_process and not own


def _large(settings: Settings, scaling: Scaling, rows: Rows, effort: Effort) -> Plan:
    """The plan for many rows: a perceptron, large networks, and as large ones that take the columns in pieces."""
    n, k = rows.n_rows, rows.n_outputs
    large, others = [Kind(large_shape(n, scaling.n_inputs, k), scaling.n_inputs)], [Kind((), scaling.n_inputs)]
    if settings.task == "regression" and (shape := shape_beside(n, scaling.n_inputs, k)):
        others.append(Kind(shape, scaling.n_inputs))
    with one_blas_thread():
        pieces = pieces_of_a_column(n, columns_with_pieces(rows)) if settings.standardize else 0
        scaling = with_pieces(scaling, rows, pieces) if pieces else scaling
    if scaling.pieces is not None:
        large.append(Kind(large_shape(n, scaling.n_inputs, k), scaling.n_inputs))
    members = effort.members if settings.n_starts is None else int(settings.n_starts)
    combine = "stacking" if settings.combine == "average" else settings.combine
    return Plan((*others, *large), members, scaling, combine, effort, in_batches=tuple(large))


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


def units_with_pieces(task: str, n_rows: int, n_inputs: int, n_outputs: int) -> int:
    """Units of the network that takes pieces. They never rise as inputs or outputs rise, or rows are fewer."""
    most = _PARAMETERS_WITH_PIECES / n_outputs**0.5
    if task == "regression":
        most = min(most, _SHARE_OF_ROWS * n_rows)
    return max(0, min(_UNITS, int((most - n_outputs) / (n_inputs + 1 + n_outputs))))
