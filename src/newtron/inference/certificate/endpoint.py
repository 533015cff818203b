"""The end of a training, as it is kept for a certificate that says later whether it is a minimum.

`measure` is called while the rows are at hand, and only reads them. The eigenvalues and the bound that follow are
computed when they are first asked for, and only these (`Curvature`) are saved with a model.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import factorize, squared
from newtron.engine.base.threads import cached_property, one_blas_thread
from newtron.engine.base.types import Array, Matrix
from newtron.engine.objective import TrainingObjective, whitened
from newtron.engine.rows import Chunk
from newtron.engine.solvers import Newton, Solution
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.certificate.gap import curvature_bound, penalty_bound
from newtron.inference.certificate.rounding import RootRounding, Rounding, root_rounding, rounding_of
from newtron.inference.certificate.spectrum import (
    LANCZOS_STEPS,
    LONG_STEP,
    Sign,
    Spectrum,
    exact_spectrum,
    lanczos,
    spectrum_of_root,
    visible_basis,
)

# A certificate never forms a Hessian of more parameters than the first number. A Hessian of more parameters than the
# second (4 MB) is not kept: its eigenvalues are computed at once.
_MATRIX, _KEPT = 2000, 700
# A certificate may always take so many multiplications, at most some tens of milliseconds, and else this share of those
# of the training. On ten tables of 84 to 1,092 rows, the curvatures of all networks with up to 671 parameters are then
# measured, in 0.1 to 1.7 % of the CPU time of a default fit, and their eigenvalues take 1 to 3 % of `newtron fit`.
FREE_WORK, SHARE_OF_TRAINING = 2e8, 0.3
# BLAS does so many times more multiplications in a second, in products of matrices, than a pass over rows. Eigenvalues
# take so many times P³ multiplications.
_DENSE, _EIGEN = 4.0, 5.0
# A Hessian is nearly singular where its condition number times its rounding error is above this.
_NEARLY_SINGULAR = 0.1
# Rows of the longest chunk that rows are summed in.
_LONGEST = 65536
# By how much the largest norm of a row is rounded up, far more than its rounding error.
_ROUND_UP = 1.001
# The rounding error of a unit's z is at most so many times its terms times epsilon.
_KINK = 4.0
# A product with the Hessian is a sum over rows and units, in blocks of at most so many terms, with an error of at most
# so many times their number times epsilon.
_PRODUCT_TERMS, _PRODUCT_ERROR = 70_000, 4.0

Method = Literal["none", "lanczos", "exact"]
METHODS: tuple[Method, ...] = ("none", "lanczos", "exact")
NO_CURVATURE = "the curvature was not measured, which would have taken long beside the training"
NO_DIGITS = "rounding hides the gradient along columns that nearly depend on each other"


@dataclass(frozen=True)
class Curvature:
    """The second derivatives at the end of a training, as a model keeps them. Numbers are nan where they are not known.

    method: how the eigenvalues were found: "exact" (all of them, from the Hessian), "lanczos" (values within their
    range) or "none". sign: the sign of the smallest curvature, 0 where it is within rounding, None where it is not
    known. smallest, largest: eigenvalues of the Hessian. decrement: Newton's, sqrt(g'H⁻¹g). flat_directions: the number
    of directions whose curvature is within rounding.
    loss_gap_bound: the objective is proved to be at most this much above its minimum. no_bound_reason: a sentence where
    there is no bound, else empty.
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
    """A hash of all bits of the parameters and of the penalty on each, so that a changed coefficient is noticed even
    where the change is too small for any derivative, such as 1e-17."""
    held = np.concatenate([params, alpha]).astype("<f8", copy=False)
    return hashlib.sha256(held.tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class Endpoint:
    """The end of a training as it was measured. All (P,) and (P, P) arrays are in the parameters as they were trained.

    root, root_rounding: R (P, P) with R'R = hessian, from a QR decomposition of the rows, and bounds on its error; only
    where a perceptron's Hessian is nearly singular. products: the spectrum by Lanczos's method, where it was measured
    so. penalty: (P,) the curvature that the penalty adds to each parameter. unseen: (q,) the inputs of the output layer
    for which a common shift of all classes changes nothing. radius: the largest norm of a row in scaled columns.
    concordance: the constant of self-concordance of a convex loss (`Loss.self_concordance`), None where the objective
    is not convex. kinked: whether a unit's argument is within rounding of its kink in some row. epsilon: the rounding
    of the rows' type. fingerprint: see `Curvature`.
    """

    value: float
    gradient: Array
    relative_gradient: float
    hessian: Array | None
    root: Array | None
    root_rounding: RootRounding | None
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
            if self.root is not None and self.root_rounding is not None:
                return spectrum_of_root(self.root, self.gradient, self.scale, basis, self.root_rounding)
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
            # Where Newton's step is long along a weak curvature, this curvature does not prove a minimum here.
            sign, flat = 0, flat + s.far
        method: Method = "exact" if s.exact else "lanczos" if np.isfinite(s.largest) else "none"
        sign = None if self.kinked else sign
        return Curvature(method, sign, s.smallest, s.largest, s.decrement, bound, reason, flat, self.fingerprint)

    @property
    def on_plateau(self) -> bool:
        """True where the gradient vanishes but no minimum is near: all curvature is so small that Newton's step is
        long, |H^-1 g| >= |g| / |H|. On the tail of a sigmoid, for example, g and H vanish together."""
        if self.concordance is not None or self.hessian is None or self.value <= self.epsilon:
            return False
        unit = 1.0 / self.scale
        curvature = float(np.linalg.norm(self.hessian * unit * unit[:, None]))
        slope = float(np.linalg.norm(self.gradient * unit))
        return curvature <= self.rounding.curvature or slope >= LONG_STEP * curvature

    def _bound(self) -> tuple[float, str]:
        """The proved bound and "", or nan and the reason why there is none."""
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
            reason = flat if s.sign != 1 else far if self.root is None else NO_DIGITS
        # The objective is not negative, so along nearly dependent columns a bound may be larger than all that there is.
        most = math.inf if self.root is None else self.value
        proved = [bound for bound in found if bound is not None and bound <= most]
        return (min(proved), "") if proved else (nan, reason)

    def __getstate__(self) -> dict[str, object]:
        # The curvature is pickled in place of the Hessian that it is computed from.
        self.curvature  # noqa: B018  (computes it)
        return {**vars(self), "hessian": None, "root": None}


def measure(objective: TrainingObjective, solution: Solution, *, thorough: bool = False) -> Endpoint:
    """Read the rows once more at the solution. thorough: measure the curvature whatever it takes; else only where that
    is little beside the training."""
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
        root = None if hessian is None else _root(objective, params, hessian, rounding.curvature)
        end = Endpoint(
            value=value,
            gradient=gradient,
            relative_gradient=relative_gradient(objective, gradient),
            hessian=hessian,
            root=root,
            root_rounding=None if root is None else root_rounding(objective, params, facts.radius, facts.longest),
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
        end.curvature  # noqa: B018  (computes it while the matrix is here)
        object.__setattr__(end, "hessian", None)
        object.__setattr__(end, "root", None)
    return end


def _root(objective: TrainingObjective, params: Array, hessian: Array, rounding: float) -> Array | None:
    """R with R'R = the Hessian of a perceptron's convex objective, where the Hessian is so nearly singular that its
    rounding, in scaled parameters, may hide its smallest eigenvalue; else None."""
    if not (objective.network.is_linear and objective.loss.convex and objective.rows.dtype == np.float64):
        return None
    factor = factorize(hessian)
    condition = float("inf") if factor is None else factor.condition
    if condition * rounding > _NEARLY_SINGULAR:
        condition = whitened.condition_seen(objective, hessian, condition)
    if not condition * rounding > _NEARLY_SINGULAR:
        return None
    system = whitened.newton_system(objective, params)
    return None if system is None else system.R / np.sqrt(system.weight)


def _affordable(objective: TrainingObjective, solution: Solution) -> str:
    """The way to measure the curvature: by "matrix", by "products" or not at all ("nothing"). The decision counts
    multiplications and reads no clock, so that the same fit has the same certificate."""
    P, n, k = objective.n_params, objective.rows.n_rows, objective.network.n_outputs
    one_pass = 2.0 * n * P
    if isinstance(solution.solver, Newton) and P <= _KEPT:
        return "matrix"  # it has just been formed
    # The matrix of a network is one product of tables of all outputs (`add_gauss_newton`).
    matrix = one_pass + n * P**2 * (0.5 * (k + 1) / k if objective.is_linear else 1.0) / _DENSE
    counts = solution.counts
    passes = counts.get("value", 0) + counts.get("gradient", 0) + 3.0 * counts.get("hessian_product", 0)
    if counts.get("batch", 0):
        passes += 2.0 * solution.n_iter
    spent = passes * one_pass + counts.get("hessian", 0) * (matrix + P**3 / _DENSE)
    free = max(FREE_WORK, SHARE_OF_TRAINING * spent)
    eigen = _EIGEN * P**3 if P > _KEPT else 0.0
    if P <= _MATRIX and matrix + eigen <= free:
        return "matrix"
    # Lanczos's method can only prove a negative curvature, which a convex objective does not have.
    return "products" if not objective.is_convex and 3.0 * LANCZOS_STEPS * one_pass <= free else "nothing"


@dataclass
class _RowFacts:
    """The largest values over rows; pieces add up. radius: the norm of a scaled row, with the 1 of the intercept.
    longest: the rows of a block. kinked: whether a unit's argument is within rounding of its kink."""

    radius: float = 1.0
    longest: int = 1
    kinked: bool = False

    def __iadd__(self, other: _RowFacts) -> _RowFacts:
        self.radius = max(self.radius, other.radius)
        self.longest = max(self.longest, other.longest)
        self.kinked |= other.kinked
        return self


def _read(objective: TrainingObjective, params: Array) -> _RowFacts:
    """The facts of all rows; this passes over the rows only where something depends on single ones."""
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
            facts += _RowFacts(radius * _ROUND_UP, block.y.shape[0], has_kinks and _on_a_kink(objective, cast, X))
        return facts

    return objective.rows.sum(of_chunk)


def _on_a_kink(objective: TrainingObjective, params: Array, X: Matrix) -> bool:
    """True where a hidden unit's z is within rounding of 0 in some row: the Hessian is then that of one side only."""
    at = objective.network.linearize(params, X)
    for layer, below, values in zip(at.weights[:-1], at.inputs[:-1], at.layers[:-1], strict=True):
        size = np.abs(below) @ np.abs(layer.W) + (0.0 if layer.b is None else np.abs(layer.b))
        if np.any(np.abs(values.z) <= _KINK * (below.shape[1] + 3.0) * objective.epsilon * size):
            return True
    return False


def _unseen(objective: TrainingObjective) -> NDArray[np.bool_]:
    """(q,) the inputs of the output layer for which a common shift of all classes changes nothing."""
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
    terms = objective.rows.n_rows + sum(objective.network.widths)
    rounding = _PRODUCT_ERROR * min(terms, _PRODUCT_TERMS) * objective.epsilon
    return lanczos(lambda v: objective.hvp(params, v), start, rounding, LANCZOS_STEPS)
