"""The point where a training ended, as far as it must be kept to say later what it is: a minimum, a saddle or neither.

`measure` is called while the rows are at hand and does no more than read them; what follows from what it read is worked
out when somebody first asks, and only that is saved with a model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import squared
from newtron.engine.base.threads import cached_property, one_blas_thread
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk
from newtron.engine.solvers import Newton, Solution
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.certificate.gap import curvature_bound, penalty_bound
from newtron.inference.certificate.rounding import Rounding, rounding_of
from newtron.inference.certificate.spectrum import (
    LANCZOS_STEPS,
    LONG_STEP,
    Sign,
    Spectrum,
    exact_spectrum,
    lanczos,
    visible_basis,
)

Array = NDArray[np.floating]

# A Hessian of more parameters than the first number is never formed for a certificate; of more than the second it is
# looked at right away and not kept (4 MB).
_MATRIX, _KEPT = 2000, 700
# Multiplications that a certificate may always take, some milliseconds, and else its share of the training's own.
FREE_WORK, SHARE_OF_TRAINING = 2e7, 0.3
# BLAS multiplies matrices this many times faster than a pass over rows does its work; eigenvalues take this many
# times P³.
_DENSE, _EIGEN = 4.0, 5.0

# Rows of the longest chunk there is.
_LONGEST = 65536

Method = Literal["none", "lanczos", "exact"]
METHODS: tuple[Method, ...] = ("none", "lanczos", "exact")
NO_CURVATURE = "the curvature was not measured, which would have taken long beside the training"


@dataclass(frozen=True)
class Curvature:
    """What second derivatives say of a point. Numbers are nan where they are not known.

    method: "exact" (all eigenvalues of the Hessian), "lanczos" (values within their range) or "none".
    sign: of the smallest curvature, 0 where rounding hides it, None where it is not known. flat_directions: in
    how many directions rounding hides it.
    loss_gap_bound: the objective here is proved to be at most this much above its minimum; no_bound_reason says why
    there is none.
    fingerprint: of the parameters and penalties at this end (`fingerprint_of`); empty where it is not known.
    """

    method: Method = "none"
    sign: Sign | None = None
    smallest: float = float("nan")
    largest: float = float("nan")
    decrement: float = float("nan")
    loss_gap_bound: float = float("nan")
    no_bound_reason: str = NO_CURVATURE
    flat_directions: int = 0
    fingerprint: str = ""


def fingerprint_of(params: Array, alpha: Array) -> str:
    """Identifies the parameters and the penalty on each to the last bit, so that a changed coefficient is noticed even
    where it is too small for any derivative, such as 1e-17."""
    held = np.concatenate([params, alpha]).astype("<f8", copy=False)
    return hashlib.sha256(held.tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class Endpoint:
    """An end as it was measured. All (P,) and (P, P) arrays are in the parameters as they were trained.

    penalty: (P,) the curvature that the penalty adds to each parameter. unseen: (q,) the inputs of the output layer
    for which a common shift of all classes changes nothing. concordance: of a convex loss (`Loss.self_concordance`),
    None where the objective is not convex. kinked: a unit has its kink within rounding of a row. fingerprint:
    see `Curvature`.
    """

    value: float
    gradient: Array
    relative_gradient: float
    hessian: Array | None
    products: Spectrum | None
    rounding: Rounding
    scale: Array
    gradient_scale: Array
    penalty: Array
    unseen: NDArray[np.bool_]
    n_outputs: int
    radius: float
    concordance: float | None
    kinked: bool
    epsilon: float
    fingerprint: str

    @cached_property
    def spectrum(self) -> Spectrum | None:
        if self.hessian is None or not np.isfinite(self.gradient).all():
            return self.products
        basis = visible_basis(len(self.gradient), self.n_outputs, self.unseen)
        with one_blas_thread(), np.errstate(all="ignore"):
            return exact_spectrum(self.hessian, self.gradient, self.scale, basis, self.rounding.curvature)

    @cached_property
    def curvature(self) -> Curvature:
        bound, reason = self._bound()
        s = self.spectrum
        if s is None:
            return Curvature(loss_gap_bound=bound, no_bound_reason=reason, fingerprint=self.fingerprint)
        sign: Sign | None = s.sign
        flat = s.flat
        if self.concordance is None and s.far:
            # Curvature so weak that the gradient which is left leads far away along it proves no minimum here.
            sign, flat = 0, flat + s.far
        method: Method = "exact" if s.exact else "lanczos" if np.isfinite(s.largest) else "none"
        sign = None if self.kinked else sign
        return Curvature(method, sign, s.smallest, s.largest, s.decrement, bound, reason, flat, self.fingerprint)

    @property
    def on_plateau(self) -> bool:
        """Is there no minimum near that would explain the vanishing gradient? None is where all curvature is so small
        that Newton's step, |H^-1 g| >= |g| / |H|, is long all the same: on the tail of a sigmoid g and H fade alike."""
        if self.concordance is not None or self.hessian is None or self.value <= self.epsilon:
            return False
        unit = 1.0 / self.scale
        curvature = float(np.linalg.norm(self.hessian * unit * unit[:, None]))
        slope = float(np.linalg.norm(self.gradient * unit))
        return curvature <= self.rounding.curvature or slope >= LONG_STEP * curvature

    def _bound(self) -> tuple[float, str]:
        """The proven bound, or nan and why there is none."""
        nan = float("nan")
        if self.concordance is None:
            return nan, "the objective is not convex: a lower minimum elsewhere cannot be excluded"
        if not (np.isfinite(self.value) and np.isfinite(self.gradient).all()):
            return nan, "the objective is not finite there"
        found = [penalty_bound(self.gradient, self.rounding.gradient, self.penalty)]
        s, reason = self.spectrum, NO_CURVATURE
        if s is not None and s.exact:
            off = float(np.linalg.norm(self.rounding.gradient / self.scale))
            found.append(curvature_bound(s.decrement, s.scaled_smallest, s.error, off, self.radius, self.concordance))
            flat = (
                "there are directions whose curvature rounding hides, so columns that depend on each other, or almost"
            )
            far = "the point is too far from a minimum, if there is one, for its curvature to say how far"
            reason = far if s.sign == 1 else flat
        proved = [bound for bound in found if bound is not None]
        return (min(proved), "") if proved else (nan, reason)

    def __getstate__(self) -> dict[str, Any]:
        # The matrix need not travel: what it says does.
        self.curvature  # noqa: B018  (works it out)
        return {**vars(self), "hessian": None}


def measure(objective: TrainingObjective, solution: Solution, *, thorough: bool = False) -> Endpoint:
    """Read the rows once more at the solution. thorough: whatever it takes, and else little beside the training."""
    with one_blas_thread(), np.errstate(all="ignore"):
        params = solution.params
        plan = "matrix" if objective.n_params <= _MATRIX else "products"
        if not thorough:
            plan = _affordable(objective, solution)
        value, gradient = solution.value, solution.gradient
        if thorough:
            found = objective.evaluate(params, 1)
            value, gradient = found.value, found.gradient
        hessian = objective.hessian_at(params) if plan == "matrix" else None
        facts = _read(objective, params)
        rounding = rounding_of(objective, params, value, facts.radius, facts.longest, hessian)
        network = objective.network
        end = Endpoint(
            value=value,
            gradient=gradient,
            relative_gradient=relative_gradient(objective, gradient),
            hessian=hessian,
            products=_lanczos(objective, params) if plan == "products" else None,
            rounding=rounding,
            scale=objective.scale,
            gradient_scale=objective.gradient_scale,
            penalty=objective.alpha / objective.rows.total_weight,
            unseen=_unseen(objective),
            n_outputs=network.n_outputs,
            radius=facts.radius,
            concordance=objective.loss.self_concordance if network.is_linear else None,
            kinked=facts.kinked,
            epsilon=objective.epsilon,
            fingerprint=fingerprint_of(params, objective.alpha),
        )
    if len(gradient) > _KEPT:
        end.curvature  # noqa: B018  (works it out while the matrix is here)
        object.__setattr__(end, "hessian", None)
    return end


def _affordable(objective: TrainingObjective, solution: Solution) -> str:
    """How to look at the curvature: by "matrix", by "products" or not ("nothing"). Judged by multiplications, not by
    a clock, so that the same fit has the same certificate."""
    P, n, k = objective.n_params, objective.rows.n_rows, objective.network.n_outputs
    one_pass = 2.0 * n * P
    if isinstance(solution.solver, Newton) and P <= _KEPT:
        return "matrix"  # it has just been formed
    matrix = one_pass + n * P**2 * (0.5 * (k + 1) / k if objective.is_linear else k) / _DENSE
    counts = solution.counts
    passes = counts.get("value", 0) + counts.get("gradient", 0) + 3.0 * counts.get("hessian_product", 0)
    if counts.get("batch", 0):
        passes += 2.0 * solution.n_iter
    spent = passes * one_pass + counts.get("hessian", 0) * (matrix + P**3 / _DENSE)
    free = max(FREE_WORK, SHARE_OF_TRAINING * spent)
    eigen = _EIGEN * P**3 if P > _KEPT else 0.0
    if P <= _MATRIX and matrix + eigen <= free:
        return "matrix"
    # The sign of a convex objective's curvature is known.
    return "products" if not objective.is_convex and 3.0 * LANCZOS_STEPS * one_pass <= free else "nothing"


@dataclass
class _RowFacts:
    """Largest over the rows, as something that adds. radius: of the scaled rows, with the 1 of the intercept."""

    radius: float = 1.0
    longest: int = 1
    kinked: bool = False

    def __iadd__(self, other: _RowFacts) -> _RowFacts:
        self.radius = max(self.radius, other.radius)
        self.longest = max(self.longest, other.longest)
        self.kinked |= other.kinked
        return self


def _read(objective: TrainingObjective, params: Array) -> _RowFacts:
    """A pass over the rows, where anything depends on single ones."""
    network, loss = objective.network, objective.loss
    concordant = network.is_linear and bool(loss.self_concordance)
    has_kinks = network.activation == "relu" and not network.is_linear
    if not (concordant or has_kinks):
        return _RowFacts(longest=min(objective.rows.n_rows, _LONGEST))
    squares = np.square(1.0 / network.split(objective.scale)[0].W[:, 0])
    cast = params.astype(objective.rows.dtype, copy=False)

    def of_chunk(chunk: Chunk) -> _RowFacts:
        facts = _RowFacts()
        for block in objective.blocks(chunk):
            X = block.X
            lengths = squared(X) @ squares
            radius = float(np.sqrt(np.max(lengths, initial=0.0) + float(network.intercept)))
            facts += _RowFacts(radius * 1.001, block.y.shape[0], has_kinks and _on_a_kink(objective, cast, X))
        return facts

    return objective.rows.sum(of_chunk)


def _on_a_kink(objective: TrainingObjective, params: Array, X: Any) -> bool:
    """Is a hidden unit's z within rounding of 0 in some row? Then the Hessian is that of one side only."""
    at = objective.network.linearize(params, X)
    for layer, below, values in zip(at.weights[:-1], at.inputs[:-1], at.layers[:-1], strict=True):
        size = np.abs(below) @ np.abs(layer.W) + (0.0 if layer.b is None else np.abs(layer.b))
        if np.any(np.abs(values.z) <= 4.0 * (below.shape[1] + 3.0) * objective.epsilon * size):
            return True
    return False


def _unseen(objective: TrainingObjective) -> NDArray[np.bool_]:
    k = objective.network.n_outputs
    last = objective.alpha[objective.network.spans[-1]].reshape(-1, k)
    if objective.loss.min_outputs < 2:
        return np.zeros(len(last), dtype=bool)
    return np.asarray(~last.any(axis=1))


def _lanczos(objective: TrainingObjective, params: Array) -> Spectrum:
    start = np.random.default_rng(0).normal(size=objective.n_params)
    basis = _unseen(objective)
    if basis.any():
        k = objective.network.n_outputs
        last = start[objective.network.spans[-1]].reshape(-1, k)
        last[basis] -= last[basis].mean(axis=1, keepdims=True)
    # A product adds over the rows and the units as a gradient does; taken generously.
    terms = objective.rows.n_rows + sum(objective.network.widths)
    rounding = 4.0 * min(terms, 70_000) * objective.epsilon
    return lanczos(lambda v: objective.hvp(params, v), start, rounding, LANCZOS_STEPS)
