"""The objective that estimators minimise: mean loss of a network over rows, plus the penalty.

f(params) = ( Σ_i weight_i · loss_i  +  ½ Σ_j alpha_j params_j² )  /  Σ_i weight_i
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import ColumnError
from newtron.engine.base.linalg import is_sparse, squared
from newtron.engine.base.threads import cached_property
from newtron.engine.base.words import either, setting
from newtron.engine.maths.losses import Loss, RowGradients, RowHessians
from newtron.engine.maths.network import Network, short_buffer
from newtron.engine.objective import perceptron
from newtron.engine.objective.least_squares import solve_least_squares
from newtron.engine.objective.no_minimum import flees, runs_away
from newtron.engine.objective.objective import Evaluation, FirstOrder, LinePoint, Minimiser, Objective, SecondOrder
from newtron.engine.objective.whitened import System, condition_seen, has_lost, newton_system
from newtron.engine.rows import Chunk, Rows

Array = NDArray[np.floating]

# Least squares with a worse condition of the (equilibrated) Gram matrix, or with no more numbers than this, goes
# through QR and extended residuals.
_GRAM_CONDITION, _SMALL = 1e6, 5_000
# A sample has this many rows per parameter at least.
_SAMPLE_ROWS = 20.0
# What a line search or Newton-CG keeps of each row, z say, it keeps for this many rows x outputs at most (80 MB), and
# beyond reads X again.
_KEEP = 5_000_000
# A block has as many rows as keep the values of all units within the first number of bytes, about a core's own cache,
# and X (which a gradient reads twice) and the outputs' Hessians within the second. On a plateau from 1,000 to 8,000
# rows a gradient costs the same within 5 % for any network; fewer rows are paid for in calls.
_UNIT_BYTES, _ROW_BYTES, _BLOCK_ROWS = 2**21, 2**22, (128, 8192)


class TrainingObjective(Objective):
    """Mean loss of a network over rows, plus the penalty.

    alpha: (P,) for each parameter, or a number for every weight (intercepts are not penalised then). It is the
    precision of a Gaussian prior in units of one row's loss: scikit-learn's Ridge alpha, MLP alpha and 1/C.
    block_rows: rows at a time in memory; by default from the widths. The sum does not depend on it but for
    rounding.
    """

    def __init__(
        self,
        network: Network,
        loss: Loss,
        rows: Rows,
        alpha: float | Array = 0.0,
        *,
        block_rows: int | None = None,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.rows = network, loss, rows
        self.n_params = network.n_params
        penalty = np.asarray(alpha, dtype=np.float64)
        self.alpha: Array = penalty if penalty.ndim else np.where(network.is_weight, penalty, 0.0)
        # A row measures k - 1 of the k outputs of a softmax, and elsewhere one for each output's own parameters.
        self.rows_per_parameter = rows.n_rows * max(1, rows.n_outputs - 1) / network.n_params
        self.is_linear = network.is_linear
        self.is_convex = network.is_linear and loss.convex
        self.is_quadratic = network.is_linear and loss.quadratic
        self.epsilon = float(np.finfo(rows.dtype).eps)
        if block_rows is None:
            p, *units = network.widths
            most = min(_UNIT_BYTES // sum(units), _ROW_BYTES // (p + units[-1] ** 2)) // rows.dtype.itemsize
            block_rows = int(np.clip(most, *_BLOCK_ROWS))
        self.block_rows = block_rows
        self._squares: Array | None = None
        # Of least squares where QR solved it: the triangle of the weighted [X, 1].
        self.triangle: Array | None = None
        self.kept_curvature: tuple[Array, Array] | None = None  # of objective.linear
        # Of a perceptron: evaluate at raw predictions that are right to their last digits.
        self.careful = False
        self._last_hessian: tuple[Array, Array] | None = None  # with the parameters it was found at
        self._samples: dict[float, TrainingObjective] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What its sums over rows in other processes need: all but what is kept for this one."""
        return {**vars(self), "_last_hessian": None, "triangle": None, "kept_curvature": None, "_samples": {}}

    def __copy__(self) -> TrainingObjective:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    # --- evaluation ---

    def blocks(self, chunk: Chunk) -> Iterator[Chunk]:
        n = chunk.y.shape[0]
        if is_sparse(chunk.X):
            # Little of it is alive at once, and slices of it are dear.
            yield chunk._replace(rows=slice(0, n))
            return
        size = -(-n // max(1, -(-n // self.block_rows)))  # equal pieces: no crumb at the end
        for start in range(0, n, max(1, size)):
            cut = slice(start, min(start + size, n))
            weight = None if chunk.weight is None else chunk.weight[cut]
            yield Chunk(chunk.X[cut], chunk.y[cut], weight, cut)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        cast = params if self.careful else params.astype(self.rows.dtype, copy=False)
        # The first pass that reads X for derivatives finds the scale of its columns on the way.
        unknown = order > 0 and self._squares is None
        on_diagonal = self.is_quadratic and order > 1
        measures = unknown and not on_diagonal
        total: Evaluation
        if measures:

            def of_chunk(chunk: Chunk) -> _WithSquares:
                squares = np.zeros(self.rows.n_features)
                return _WithSquares(self.of_chunk(cast, chunk, order, gauss_newton, squares), squares)

            found = self.rows.sum(of_chunk)
            total, self._squares = found.total, found.squares
        else:
            total = self.rows.sum(lambda chunk: self.of_chunk(cast, chunk, order, gauss_newton))
            if unknown and isinstance(total, SecondOrder):
                self._squares = self.network.split(np.diagonal(total.hessian).copy())[0].W[:, 0]
        weight = self.rows.total_weight
        total.value = (total.value + 0.5 * float(self.alpha @ np.square(params))) / weight
        if isinstance(total, FirstOrder):
            total.gradient += self.alpha * params
            total.gradient /= weight
        if isinstance(total, SecondOrder):
            total.hessian[np.diag_indices(self.n_params)] += self.alpha
            total.hessian /= weight
            if self.is_convex or not gauss_newton:
                self._last_hessian = (params.copy(), total.hessian)
        return total

    def known_hessian(self, params: Array) -> Array | None:
        """The exact Hessian (P, P) at params, where it was formed there last; of a quadratic, wherever it was."""
        if self._last_hessian is None:
            return None
        where, hessian = self._last_hessian
        return hessian if self.is_quadratic or np.array_equal(where, params) else None

    def hessian_at(self, params: Array) -> Array:
        """The exact Hessian (P, P); the last one that was formed, where it is the same."""
        known = self.known_hessian(params)
        return self.evaluate(params, 2).hessian if known is None else known

    def settled(self, before: Array, after: Array) -> None:
        """The loss cannot tell these points apart: the Hessian that was formed at one is that of the other."""
        known = self.known_hessian(before)
        if known is not None:
            self._last_hessian = (after.copy(), known)

    @overload
    def of_chunk(self, params: Array, chunk: Chunk, order: Literal[1]) -> FirstOrder: ...

    @overload
    def of_chunk(
        self, params: Array, chunk: Chunk, order: int, gauss_newton: bool = False, squares: Array | None = None
    ) -> Evaluation: ...

    def of_chunk(
        self, params: Array, chunk: Chunk, order: int, gauss_newton: bool = False, squares: Array | None = None
    ) -> Evaluation:
        """Sum of weighted losses over one chunk, without the penalty. Sums are kept in float64.

        squares: (p,) to which a pass of order 1 or 2 adds the weighted squares of the columns on its way.
        """
        P = self.n_params
        value, gradient, hessian = 0.0, np.zeros(P if order > 0 else 0), np.zeros((P, P) if order > 1 else 0)
        with np.errstate(all="ignore"), short_buffer(order < 2):
            for block in self.blocks(chunk):
                if order == 0 and not self.careful:
                    z = self.network.output(params, block.X)
                    value += self.loss.pointwise(block.y, z, 0).weighted(block.weight).total
                    continue
                at = (
                    perceptron.careful(self, params, block) if self.careful else self.network.linearize(params, block.X)
                )
                row = self.loss.pointwise(block.y, at.output, order, gauss_newton).weighted(block.weight)
                value += row.total
                if isinstance(row, RowGradients):
                    gradient += at.vjp(row.gradient)
                    if squares is not None:
                        squares += _squares(block)
                if isinstance(row, RowHessians):
                    at.sandwich(row.hessian, hessian)
                    if not gauss_newton:
                        at.second_order(row.gradient, hessian)
        if order == 0:
            return Evaluation(value)
        return FirstOrder(value, gradient) if order == 1 else SecondOrder(value, gradient, hessian)

    def _hvp(self, params: Array, v: Array) -> Array:
        keeps = self.rows.here and self.rows.n_outputs == 1 and self.rows.n_rows <= _KEEP
        if self.is_quadratic or (self.is_linear and keeps):
            return perceptron.hessian_product(self, params, v)
        cast, direction = params.astype(self.rows.dtype), v.astype(self.rows.dtype)

        def of_chunk(chunk: Chunk) -> Array:
            total = np.zeros(self.n_params)
            for block in self.blocks(chunk):
                at = self.network.linearize(cast, block.X)
                row = self.loss.pointwise(block.y, at.output, 2).weighted(block.weight)
                total += at.vjp((row.hessian @ at.jvp(direction)[:, :, None])[:, :, 0])
                if not self.is_linear:
                    total += at.hvp(row.gradient, direction)
            return total

        return np.asarray((self.rows.sum(of_chunk) + self.alpha * v) / self.rows.total_weight)

    # --- what a line search reads ---

    def along(self, params: Array, direction: Array) -> Callable[[float], LinePoint]:
        """For a perceptron z moves linearly with t: from the second trial on, each t costs only the losses."""
        at = super().along(params, direction)
        if not (self.is_linear and self.rows.here) or self.rows.n_rows * self.rows.n_outputs > _KEEP:
            return at
        line: Callable[[float], LinePoint] | None = None
        tried = False

        def on_line(t: float) -> LinePoint:
            nonlocal line, tried
            if not tried:
                # The first trial is nearly always taken: then its gradient, in the same pass over X, is what is needed.
                tried = True
                return at(t)
            if line is None:
                line = perceptron.line(self, params, direction)
            return line(t)

        return on_line

    # --- scales, shortcuts, proofs ---

    @cached_property
    def scale(self) -> Array:
        """Root mean square of what each first-layer weight multiplies; 1 for all other parameters."""

        if self._squares is None:
            self._squares = self.rows.sum(self._column_squares)
        rms = np.sqrt(np.asarray(self._squares) / self.rows.total_weight)
        lost = ~np.isfinite(rms)
        if not rms.all():
            lost |= (rms == 0.0) & self._has_numbers()
        if lost.any():
            standardize = setting("standardize", "True")
            raise ColumnError(
                int(np.argmax(lost)),
                f"has numbers whose squares are beyond the range of {self.rows.dtype}: "
                f"{either('multiply it by a constant', standardize and f'set {standardize}')}.",
            )
        zeros = rms == 0.0
        if not self.is_linear:
            # A column that is constant but for rounding must not ask for a gradient below rounding.
            rms = np.maximum(rms, 1e-6 * rms.max(initial=0.0))
        rms[zeros] = 1.0  # a column of zeros moves nothing, whatever its weight
        scale = np.ones(self.n_params)
        self.network.split(scale)[0].W[:] = rms[:, None]
        return scale

    def _column_squares(self, chunk: Chunk) -> Array:
        total: Array = np.zeros(self.rows.n_features)
        for block in self.blocks(chunk):
            total += _squares(block)
        return total

    def _has_numbers(self) -> Array:
        """(p,) True for each column with a number that is not zero, in a row that weighs."""

        def of_chunk(chunk: Chunk) -> Array:
            X = chunk.X if chunk.weight is None else chunk.X[np.flatnonzero(chunk.weight)]
            if X.shape[0] == 0:
                return np.zeros(X.shape[1])
            return np.asarray(np.ravel(abs(X).max(axis=0).toarray()) if is_sparse(X) else abs(X).max(axis=0))

        return np.asarray(self.rows.sum(of_chunk) > 0.0)

    @cached_property
    def gradient_scale(self) -> Array:
        if self.loss.task != "regression":
            return np.asarray(self.scale * self.loss.gradient_scale(np.ones(1), np.ones(1)))

        mean, variance = self.target_moments
        return np.asarray(self.scale * self.loss.gradient_scale(mean, np.sqrt(variance)))

    @cached_property
    def target_moments(self) -> tuple[Array, Array]:
        """Weighted mean and variance of each target, (k,); in two passes, so that no digits cancel."""

        def moment(of: Callable[[Array], Array]) -> Array:
            def add(chunk: Chunk) -> Array:
                y = of(chunk.y.astype(np.float64))
                return np.asarray(y.sum(axis=0) if chunk.weight is None else chunk.weight @ y)

            return self.rows.sum(add) / self.rows.total_weight

        mean = moment(lambda y: y)
        return mean, moment(lambda y: np.square(y - mean))

    def solve_quadratic(self, condition: float) -> Minimiser | None:
        if not self.is_quadratic:
            return None
        # The normal equations lose half the digits of their condition. Small data gets all digits in any case.
        if condition < _GRAM_CONDITION and self.rows.n_rows * self.n_params > _SMALL:
            return None
        q = self.n_params // self.network.n_outputs
        alpha = self.alpha.reshape(q, -1)
        if (alpha != alpha[:, :1]).any():
            return None  # one factorisation serves all outputs only where their penalties are the same
        B, rank, self.triangle, lost = solve_least_squares(self.rows, self.network.intercept, alpha[:, 0])
        counted = "columns, the intercept among them," if self.network.intercept else "columns"
        note = f"Only {rank} of {q} {counted} are independent: of the many solutions this is a short one."
        return Minimiser(B.ravel(), lost / self.rows.total_weight, "" if rank == q else note)

    def newton_system(self, params: Array, hessian: Array, condition: float) -> System | None:
        if not (self.is_linear and self.loss.convex):
            return None
        if has_lost(condition, self.epsilon):
            condition = condition_seen(self, hessian, condition)
        return newton_system(self, params) if has_lost(condition, self.epsilon) else None

    def farthest(self, params: Array) -> float:
        """Largest |z| over the rows, of the part that the loss sees."""

        def of_chunk(chunk: Chunk) -> _Largest:
            cast = params.astype(self.rows.dtype, copy=False)
            seen = (self.loss.visible(self.network.output(cast, b.X)) for b in self.blocks(chunk))
            return _Largest(max(float(np.abs(z).max()) for z in seen))

        return self.rows.sum(of_chunk).value

    def runs_away(self, value: float) -> str | None:
        return runs_away(self, value)

    def flees(self, params: Array, gradient: Array) -> str | None:
        return flees(self, params, gradient)

    def sampled(self, fraction: float) -> TrainingObjective:
        if fraction not in self._samples:
            self._samples[fraction] = self._sampled(fraction)
        return self._samples[fraction]

    def _sampled(self, fraction: float) -> TrainingObjective:
        share = max(fraction, _SAMPLE_ROWS / self.rows_per_parameter)
        n = int(share * self.rows.n_rows)
        if share >= 0.5:
            return self  # half the rows is no saving
        rows = self.rows.sample(n, np.random.default_rng(0))
        if not rows.total_weight > 0.0:
            return self
        # The penalty keeps its share: it is divided by the total weight, which the sample has less of.
        alpha = self.alpha * (rows.total_weight / self.rows.total_weight)
        return TrainingObjective(self.network, self.loss, rows, alpha, block_rows=self.block_rows)

    def with_alpha(self, alpha: Array) -> TrainingObjective:
        """The same loss over the same rows under other penalties (P,); what is known of the rows is kept."""
        other = copy(self)
        other.alpha, other.counts, other._samples = alpha, Counter(), {}
        other._last_hessian = other.triangle = None
        other.careful = False
        return other

    # --- what training on batches needs ---

    def split(
        self, fraction: float, most: int, rng: np.random.Generator
    ) -> tuple[TrainingObjective, TrainingObjective]:
        """The function on random training rows, and the loss alone on the rows held out."""
        kept, held_out = self.rows.split(fraction, most, rng)
        alpha = self.alpha * (kept.total_weight / self.rows.total_weight)
        return (
            TrainingObjective(self.network, self.loss, kept, alpha),
            TrainingObjective(self.network, self.loss, held_out),
        )

    def of_batch(self, params: Array, batch: Chunk) -> FirstOrder:
        """Value and gradient of mean loss over one batch plus the penalty: right on average over batches."""
        self.counts["batch"] += 1
        found = self.of_chunk(params.astype(self.rows.dtype, copy=False), batch, 1)
        # The weight that a batch of this size has on average: its own would favour light rows.
        weight = self.rows.total_weight * batch.y.shape[0] / self.rows.n_rows
        share = self.alpha / self.rows.total_weight
        value = found.value / weight + 0.5 * float(share @ np.square(params))
        return FirstOrder(value, found.gradient / weight + share * params)


@dataclass
class _WithSquares:
    """What a pass found, and the weighted sums of the squares of the columns (p,) that it found on its way."""

    total: Evaluation
    squares: Array

    def __iadd__(self, other: Self) -> Self:
        self.total += other.total
        self.squares += other.squares
        return self


@dataclass
class _Largest:
    """A maximum, as something that adds."""

    value: float

    def __iadd__(self, other: Self) -> Self:
        self.value = max(self.value, other.value)
        return self


def _squares(block: Chunk) -> Array:
    """(p,) weighted sums of the squares of the columns."""
    weight = np.ones(block.y.shape[0], block.y.dtype) if block.weight is None else block.weight
    return np.asarray(squared(block.X).T @ weight)
