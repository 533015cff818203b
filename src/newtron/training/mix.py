"""hidden="auto": the mix of shapes and inputs that predicted best, as large as the data allow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.training.members import Kind, affords_choice
from newtron.training.scaling import with_asinh
from newtron.training.settings import Settings, Shape


@dataclass(frozen=True)
class _Tier:
    """A mix for up to so many rows, as long as rows x outputs x parameters² is at most `work`.

    task: the one it is for, "" is any. steps: for each penalty from its own start, and as many more for the best, which
    are the last by rule; None: a path of penalties, and the best to its optimum.
    """

    rows: float
    work: float
    shapes: tuple[Shape, ...]
    share_of_starts: int
    asinh: bool
    task: str = ""
    steps: int | None = None


_MANY = float("inf")
# Few rows: small networks, all starts, seconds. Many rows: larger ones, which they determine. In regression these are
# stopped after some steps: the way to an optimum is ten times as long, and predictions gain nothing from it. In
# classification they are from half the starts. Many columns: no asinh features. The first tier that fits is taken.
_TIERS = (
    _Tier(3000, 5e8, ((10,), (8, 8)), 1, True),
    _Tier(_MANY, 7e9, ((20, 20),), 1, False, "regression", 20),
    _Tier(_MANY, 1e9, ((20,), (10, 10)), 2, True),
    _Tier(_MANY, 1e9, ((20,), (10, 10)), 2, False),
    _Tier(_MANY, 1e9, ((10,), (8, 8)), 2, False),
)
# What is too large for a matrix of curvature gets more units, trained without one.
_LARGE: tuple[Shape, ...] = ((50,),)


@dataclass(frozen=True)
class Mix:
    """shapes: of the members. share_of_starts: each has n_starts divided by this. scaling: with asinh features,
    where they are used. steps: as of a tier."""

    shapes: tuple[Shape, ...]
    share_of_starts: int
    scaling: Scaling
    steps: int | None = None


class Plan(NamedTuple):
    """A plan: the kinds of the members, their starts, the units, how they are combined, and `Task.steps`."""

    kinds: tuple[Kind, ...]
    n_starts: int
    scaling: Scaling
    combine: str
    steps: int | None = None


def planned(settings: Settings, scaling: Scaling, rows: Rows) -> Plan:
    """Return what an estimator with these settings trains. scaling: that of the rows, without asinh features."""
    shapes = settings.shapes()
    if shapes is not None:
        return Plan(
            tuple(Kind(shape, scaling.n_inputs) for shape in shapes), int(settings.n_starts), scaling, settings.combine
        )
    features = partial(with_asinh, scaling, rows) if settings.standardize else None
    with one_blas_thread():
        mix = measured_mix(settings.task, scaling, rows.n_rows, rows.n_features, rows.n_outputs, features)
    combine = settings.combine
    if combine == "average":
        combine = "stacking"
    # Whoever chooses a penalty, a solver or a number of steps wants what these lead to.
    own = settings.solver != "auto" or settings.max_iter is not None or not isinstance(settings.alpha, str)
    steps = None if own else mix.steps
    kinds = tuple(Kind(shape, mix.scaling.n_inputs) for shape in mix.shapes)
    return Plan(kinds, -(-int(settings.n_starts) // mix.share_of_starts), mix.scaling, combine, steps)


def measured_mix(
    task: str, scaling: Scaling, n: int, p: int, n_outputs: int, with_features: Callable[[], Scaling] | None
) -> Mix:
    """The mix for n rows of p columns. with_features: makes the scaling with asinh features; None where there may be
    none. A perceptron is always among the members."""
    for tier in _TIERS:
        if n > tier.rows or tier.task not in ("", task) or not _fits(tier, n, p, n_outputs):
            continue
        fed = with_features() if with_features is not None and tier.asinh else scaling
        return Mix(((), *tier.shapes), tier.share_of_starts, fed, tier.steps)
    return Mix(_LARGE, 1, scaling)


def _fits(tier: _Tier, n: int, p: int, k: int) -> bool:
    inputs = 2 * p if tier.asinh else p  # as if all had an asinh feature
    sizes = [Network((inputs, *shape, k)).n_params for shape in tier.shapes]
    return all(affords_choice(size, n, k) and n * k * size**2 <= tier.work for size in sizes)
