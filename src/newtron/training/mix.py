"""hidden="auto": the kinds of members, whose size follows from the columns and the outputs."""

from __future__ import annotations

from typing import NamedTuple

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.inference.coefficients.information import MOST_PARAMETERS
from newtron.training.batches import MANY_ROWS, large_shape, pieces_of_a_column, shape_beside
from newtron.training.effort import Effort, effort_named
from newtron.training.scaling import columns_with_pieces, with_asinh, with_landmarks, with_pieces
from newtron.training.settings import Settings, Shape
from newtron.training.task import Kind

# Units of a hidden layer and parameters of a network, at most; a network of fewer units than the last number is none.
# More units gained nothing below 3,000 rows, where a penalty from the data says how much they do; 2,000 parameters are
# what can be trained in some seconds there.
_UNITS, _PARAMETERS, _LEAST_UNITS = 10, 2000, 2
# Networks and perceptrons of few rows take so many pieces of each column, by task. In regression such a network has at
# most so many parameters, divided by the root of the outputs, and at most this share of the rows.
# Inside the training rows of concrete and yacht (three divisions each) and on two samples of Friedman's functions 8
# pieces lower the error by 6 % and the negative log density by .061, with the standard error .022, beside 4 pieces, 400
# parameters and half of the rows; they take 7 % more time.
_PIECES, _PARAMETERS_OF_REGRESSION, _SHARE_OF_ROWS = {"classification": 4, "regression": 8}, 600, 0.6
# The landmarks of a perceptron of classes, at most. Inside the training rows of ten development sets, twice each, the
# log loss is .642 with 150 and with 300 of them, and .651 with 100.
_LANDMARKS = 150


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
    fed = scaling
    if settings.standardize:
        with one_blas_thread():
            fed = with_pieces(scaling, rows, _PIECES[settings.task])
    of_task = kinds_of_classes if settings.task == "classification" else kinds_of_regression
    kinds = of_task(rows.n_rows, scaling.n_inputs, fed.n_inputs, rows.n_outputs)
    scaling = fed if any(kind.n_inputs > scaling.n_inputs for kind in kinds) else scaling
    if settings.standardize and settings.task == "classification" and rows.n_rows <= MANY_ROWS and not rows.is_sparse:
        with one_blas_thread():
            scaling = with_landmarks(scaling, rows, _LANDMARKS, inputs_of_landmarks(kinds[0].n_inputs, rows.n_outputs))
        if scaling.landmarks is not None:
            r = len(scaling.landmarks.mean)
            kinds = (kinds[0], Kind((), r, scaling.n_inputs - r), *kinds[1:])
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


def kinds_of_regression(n_rows: int, n_inputs: int, n_fed: int, n_outputs: int) -> tuple[Kind, ...]:
    """A perceptron; a network, if the inputs are not too many, and one of two layers, which follows smooth targets with
    little noise more closely; and a network that takes pieces. n_fed: inputs with pieces, n_inputs where no column has
    any."""
    found, most = units(n_inputs, n_outputs), min(_PARAMETERS_OF_REGRESSION / n_outputs**0.5, _SHARE_OF_ROWS * n_rows)
    shapes = [(), *_layer(found), *([(found - 2, found - 2)] if found - 2 >= _LEAST_UNITS else [])]
    with_pieces = _layer(units(n_fed, n_outputs, most)) if n_fed > n_inputs else []
    return (*(Kind(shape, n_inputs) for shape in shapes), *(Kind(shape, n_fed) for shape in with_pieces))


def kinds_of_classes(n_rows: int, n_inputs: int, n_fed: int, n_outputs: int) -> tuple[Kind, ...]:
    """A perceptron; and a network that takes pieces, if it has half of the most units, or else one that does not. A
    perceptron on landmarks comes beside them, which follows what no column says by itself, as the leaves of deep trees
    do.

    Arguments as in `kinds_of_regression`.
    """
    found = units(n_fed, n_outputs)
    network = Kind((found,), n_fed) if n_fed > n_inputs and 2 * found >= _UNITS else None
    plain = (Kind(shape, n_inputs) for shape in _layer(units(n_inputs, n_outputs)))
    return (Kind((), n_inputs), *(plain if network is None else (network,)))


def inputs_of_landmarks(n_inputs: int, n_outputs: int) -> int:
    """The most inputs that a perceptron with so many outputs takes of landmarks: so many that what it keeps of its rows
    is small, unless that of a perceptron with `n_inputs` inputs is already too large to be kept."""
    kept = MOST_PARAMETERS // n_outputs - 1 if (n_inputs + 1) * n_outputs <= MOST_PARAMETERS else _PARAMETERS
    return min(_LANDMARKS, kept, _PARAMETERS // n_outputs)


def _layer(found: int) -> list[Shape]:
    """The shape of a network with so many units, if these are not too few."""
    return [(found,)] if found >= _LEAST_UNITS else []


def units(n_inputs: int, n_outputs: int, parameters: float = _PARAMETERS) -> int:
    """Units of a hidden layer with at most so many parameters. They never rise as inputs or outputs rise."""
    return max(0, min(_UNITS, int((parameters - n_outputs) / (n_inputs + 1 + n_outputs))))
