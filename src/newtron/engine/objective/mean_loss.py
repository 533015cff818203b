"""The mean loss of a network over rows, plus the penalty: the only place where loss, network and rows meet.

f(params) = ( Σ_i weight_i · loss_i  +  ½ Σ_j alpha_j params_j² )  /  Σ_i weight_i
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import ColumnError
from newtron.engine.base.linalg import exact_product, is_sparse, squared
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array
from newtron.engine.base.words import either, setting
from newtron.engine.maths import curvature
from newtron.engine.maths.layer_curvature import LayerFactor, LayerMoments, LayerSpectrum, layer_moments
from newtron.engine.maths.losses import Loss, RowGradients, RowHessians
from newtron.engine.maths.network import FirstInputs, Linearization, Network, short_buffer
from newtron.engine.maths.row_system import row_system
from newtron.engine.objective.local_curvature import LocalCurvature, RowCurvature
from newtron.engine.objective.objective import Evaluation, FirstOrder, Objective, SecondOrder
from newtron.engine.rows import Chunk, Rows

# Rows for each parameter that a sample has at least.
_SAMPLE_ROWS = 20.0
# Bytes that the values of all units take in a block of rows at most: 2 MiB, about a core's own cache.
_UNIT_BYTES = 2**21
# Bytes that X (which a gradient reads twice) and the outputs' Hessians take in a block at most: 4 MiB.
_ROW_BYTES = 2**22
# Rows of a block, at least and at most. Measured: from 1,000 to 8,000 rows a gradient costs the same within 5 % for any
# network; with fewer rows the calls of Python count.
_BLOCK_ROWS = (128, 8192)


class MeanLoss(Objective):
    """Mean loss of a network over rows, plus the penalty.

    alpha: (P,) for each parameter, or a number for every weight (intercepts are not penalised then). It is the
    precision of a Gaussian prior in units of one row's loss: scikit-learn's Ridge alpha, MLP alpha and 1/C.
    block_rows: rows that are computed at a time; by default this follows from the widths. It changes the sum by
    rounding only.
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
        self.network, self.loss, self.rows = network, loss, rows
        self.n_params = network.n_params
        penalty = np.asarray(alpha, dtype=np.float64)
        self.alpha: Array = penalty if penalty.ndim else np.where(network.is_weight, penalty, 0.0)
        # A row determines k - 1 of the k outputs of a softmax; with other losses each output has parameters of its own.
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
        # The triangle of the weighted [X, 1], where least squares was solved by QR.
        self.triangle: Array | None = None
        # The parameters and the weighted second derivatives of the loss (n, 1) there, of a perceptron with one output.
        self.row_curvature: tuple[Array, Array] | None = None
        # True: a weight is no number of rows, so that a row is left out with all of its weight.
        self.whole_rows = False
        # True: a perceptron is evaluated at raw predictions that are right to their last digits.
        self.extended_precision = False
        self._last_hessian: tuple[Array, Array] | None = None  # with the parameters it was found at
        # All rows of a network, where its values for them are one block.
        few = None if network.is_linear else rows.few(self.block_rows, _ROW_BYTES)
        self._few = None if few is None else _Few(few, FirstInputs(few.X, network.intercept))
        self._point = _Point()
        self._samples: dict[float, Self] = {}
        # The numbers of the rows that a training in batches holds out; None: it draws some.
        self._held_out: NDArray[np.intp] | None = None
        self._split: tuple[tuple[float, int, int], tuple[Self, Self]] | None = None  # the last one, by its arguments

    def __getstate__(self) -> dict[str, object]:
        """All that sums over rows in other processes need; what is cached for this process stays here."""
        kept_here: dict[str, object] = {
            "_last_hessian": None,
            "triangle": None,
            "row_curvature": None,
            "_few": None,
            "_point": _Point(),
            "_samples": {},
            "_split": None,
            "_held_out": None,
        }
        return {**vars(self), **kept_here}

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        return other

    # --- evaluation ---

    def blocks(self, chunk: Chunk) -> Iterator[Chunk]:
        """The rows of a chunk, `block_rows` at a time; a sparse chunk is one block."""
        n = chunk.y.shape[0]
        if is_sparse(chunk.X):
            # A sparse chunk needs little memory, and slicing it copies.
            yield chunk._replace(rows=slice(0, n))
            return
        size = -(-n // max(1, -(-n // self.block_rows)))  # pieces of equal size, so that the last is not small
        for start in range(0, n, max(1, size)):
            cut = slice(start, min(start + size, n))
            weight = None if chunk.weight is None else chunk.weight[cut]
            yield Chunk(chunk.X[cut], chunk.y[cut], weight, cut)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        total, weight = self._sums(params, order, gauss_newton), self.rows.total_weight
        if not isinstance(total, FirstOrder):
            return Evaluation((total.value + self._penalty(params)) / weight)
        found = self._mean(total, params)
        if not isinstance(total, SecondOrder):
            return found
        diagonal = (np.diagonal(total.hessian) + self.alpha) / weight
        # The sums of a network are kept, and so they are not changed here; those of a perceptron may be large.
        hessian = np.divide(total.hessian, weight, out=total.hessian if self.is_linear else None)
        hessian.ravel()[:: self.n_params + 1] = diagonal
        if self.is_convex or not gauss_newton:
            self._last_hessian = (params.copy(), hessian)
        return SecondOrder(found.value, found.gradient, hessian)

    def _mean(self, total: FirstOrder, params: Array) -> FirstOrder:
        """The value and the gradient from the sums over the rows."""
        weight = self.rows.total_weight
        gradient = total.gradient + self.alpha * params
        gradient /= weight
        return FirstOrder((total.value + self._penalty(params)) / weight, gradient)

    def _penalty(self, params: Array) -> float:
        return 0.5 * float(self.alpha @ np.square(params))

    def _sums(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        """The sums over the rows, without the penalty."""
        if order == 2 and gauss_newton and (known := self._point.sums_at(params)) is not None:
            return known
        cast = params if self.extended_precision else params.astype(self.rows.dtype, copy=False)
        few = self._few
        # The first pass that reads X for derivatives finds the scale of its columns on the way.
        unknown = order > 0 and self._squares is None
        on_diagonal = self.is_quadratic and order > 1
        total: Evaluation
        if few is not None:
            if unknown:
                self._squares = self._column_squares(few.rows)
            total = self._of_few(few, cast, order, gauss_newton)
        elif unknown and not on_diagonal:

            def of_chunk(chunk: Chunk) -> _WithSquares:
                squares = np.zeros(self.rows.n_features)
                return _WithSquares(self.of_chunk(cast, chunk, order, gauss_newton, squares), squares)

            found = self.rows.sum(of_chunk)
            total, self._squares = found.total, found.squares
        else:
            total = self.rows.sum(lambda chunk: self.of_chunk(cast, chunk, order, gauss_newton))
            if unknown and isinstance(total, SecondOrder):
                self._squares = self.network.split(np.diagonal(total.hessian).copy())[0].W[:, 0]
        if isinstance(total, SecondOrder) and gauss_newton and not self.is_linear:
            self._point.summed(params, total)
        return total

    def gauss_newton(self, params: Array) -> tuple[FirstOrder, LocalCurvature]:
        few = self._few
        if few is None or not self._by_rows:
            return super().gauss_newton(params)
        self.counts["hessian"] += 1
        with np.errstate(all="ignore"):
            at = self._network_at(few, params.astype(self.rows.dtype, copy=False))
            row = self.loss.pointwise(few.rows.y, at.output, 2, gauss_newton=True).weighted(few.rows.weight)
            total = FirstOrder(0.0, np.zeros(self.n_params))
            self._add(total, at, few.rows, gauss_newton=True)
            system = row_system(at, row.hessian)
            if system is None:
                return super().gauss_newton(params)
            return self._mean(total, params), RowCurvature(system, self.alpha, self.rows.total_weight)

    def layer_curvature(self, params: Array) -> LayerFactor | None:
        self.counts["layer_curvature"] += 1
        cast, inputs, few = params.astype(self.rows.dtype, copy=False), self._point.inputs, self._few
        first = inputs is None

        def moments(at: Linearization, block: Chunk) -> LayerMoments:
            row = self.loss.pointwise(block.y, at.output, 2, gauss_newton=True).weighted(block.weight)
            return layer_moments(at, row.hessian, block.weight, first)

        def of_chunk(chunk: Chunk) -> LayerMoments:
            of_blocks = (moments(self.network.linearize(cast, block.X), block) for block in self.blocks(chunk))
            return reduce(operator.iadd, of_blocks)

        with np.errstate(all="ignore"):
            total = self.rows.sum(of_chunk) if few is None else moments(self._network_at(few, cast), few.rows)
        weight = self.rows.total_weight
        if not all(np.isfinite(part).all() for part in total.inputs + total.units):
            return None
        fed, units = ([LayerSpectrum.of(part / weight) for part in parts] for parts in (total.inputs, total.units))
        if inputs is None:
            inputs, *fed = fed
            self._point.inputs = inputs
        weights = self.network.is_weight
        of_weights = [self.alpha[span][weights[span]] for span in self.network.spans]
        penalties = [float(alpha.sum()) / max(1, alpha.size) / weight for alpha in of_weights]
        return LayerFactor(self.network, [inputs, *fed], units, penalties)

    @property
    def _by_rows(self) -> bool:
        """Has the network more parameters than there are rows times outputs, each with a penalty that is the same for
        all units of an input? The intercepts of the output need no penalty."""
        network, alpha = self.network, self.alpha
        if self.rows.n_rows * network.n_outputs >= self.n_params or self.rows.dtype != np.float64:
            return False
        if not (alpha[: -network.n_outputs if network.intercept else None] > 0.0).all():
            return False
        layers = [alpha[span].reshape(-1, units) for span, units in zip(network.spans, network.widths[1:], strict=True)]
        return all(bool((layer == layer[:, :1]).all()) for layer in layers)

    def _of_few(self, few: _Few, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        """The sums over few rows. The forward pass at a point is made once, also where its derivatives are asked for
        later, and so is the Gauss-Newton matrix."""
        at = self._network_at(few, params)
        if order == 2 and not gauss_newton and (known := self._point.sums_at(params)) is not None:
            row = self.loss.pointwise(few.rows.y, at.output, 1).weighted(few.rows.weight)
            total = SecondOrder(known.value, known.gradient, known.hessian.copy())
            curvature.add_second_order(at, row.gradient, total.hessian)
            return total
        found = _zeros(order, self.n_params)
        self._add(found, at, few.rows, gauss_newton)
        return found

    def _network_at(self, few: _Few, params: Array) -> Linearization:
        at = self._point.network_at(params)
        if at is None:
            own = params.copy()  # the network's layers are views of it, and the caller may change `params`
            at = self.network.linearize(own, few.rows.X, few.inputs)
            self._point.passed(own, at)
        return at

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

    def reuse_hessian(self, before: Array, after: Array) -> None:
        """Use the Hessian that was formed at `before` also at `after`, whose difference the loss does not see."""
        known = self.known_hessian(before)
        if known is not None:
            self._last_hessian = (after.copy(), known)
        sums = self._point.sums_at(before)
        if sums is not None:
            self._point.summed(after, sums)

    def of_chunk(
        self, params: Array, chunk: Chunk, order: int, gauss_newton: bool = False, squares: Array | None = None
    ) -> Evaluation:
        """Sum of weighted losses over one chunk, without the penalty. Sums are kept in float64.

        squares: (p,) to which a pass of order 1 or 2 adds the weighted squares of the columns on its way.
        """
        total = _zeros(order, self.n_params)
        with np.errstate(all="ignore"), short_buffer(order < 2):
            for block in self.blocks(chunk):
                if order == 0 and not self.extended_precision:
                    z = self.network.output(params, block.X)
                    total.value += self.loss.pointwise(block.y, z, 0).weighted(block.weight).total
                    continue
                self._add(total, self._linearized(params, block), block, gauss_newton)
                if order > 0 and squares is not None:
                    squares += _squares(block)
        return total

    def _add(self, total: Evaluation, at: Linearization, block: Chunk, gauss_newton: bool) -> None:
        """Add the weighted losses of a block, with as many derivatives as the total has."""
        order = 2 if isinstance(total, SecondOrder) else int(isinstance(total, FirstOrder))
        row = self.loss.pointwise(block.y, at.output, order, gauss_newton).weighted(block.weight)
        total.value += row.total
        if isinstance(total, FirstOrder) and isinstance(row, RowGradients):
            total.gradient += at.vjp(row.gradient)
            if isinstance(total, SecondOrder) and isinstance(row, RowHessians):
                curvature.add_gauss_newton(at, row.hessian, total.hessian)
                if not gauss_newton:
                    curvature.add_second_order(at, row.gradient, total.hessian)

    def _linearized(self, params: Array, block: Chunk) -> Linearization:
        """The network at params. With `extended_precision` a perceptron's raw predictions are right to their last
        digits, which matters where columns nearly depend on each other: there they are small differences of large
        products."""
        if not self.extended_precision:
            return self.network.linearize(params, block.X)
        X = block.X.astype(np.float64)
        layer = self.network.split(params)[0]
        return Linearization(self.network, (layer,), (X,), exact_product(X, layer.W, layer.b))

    def _hvp(self, params: Array, v: Array) -> Array:
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

    # --- scales ---

    @cached_property
    def scale(self) -> Array:
        """Root mean square of the column that each first-layer weight multiplies; 1 for all other parameters."""
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
        """(p,) True for each column that has a number other than zero in a row of positive weight."""

        def of_chunk(chunk: Chunk) -> Array:
            X = chunk.X if chunk.weight is None else chunk.X[np.flatnonzero(chunk.weight)]
            if X.shape[0] == 0:
                return np.zeros(X.shape[1])
            return np.asarray(np.ravel(abs(X).max(axis=0).toarray()) if is_sparse(X) else abs(X).max(axis=0))

        return np.asarray(self.rows.sum(of_chunk) > 0.0)

    @cached_property
    def gradient_scale(self) -> Array:
        if self.loss.task != "regression":
            return self.scale  # the targets are probabilities

        # The size of the residuals of the mean alone. A constant target has no spread; then its size is the only scale
        # that there is.
        mean, variance = self.target_moments
        size, typical = float(np.abs(mean).max(initial=0.0)), float(np.sqrt(np.square(np.sqrt(variance)).sum()))
        return np.asarray(self.scale * (typical if typical > np.finfo(np.float64).eps * size else size or 1.0))

    @cached_property
    def target_mean(self) -> Array:
        """Weighted mean of each target, (k,)."""
        return self._target_moment(lambda y: y)

    @cached_property
    def target_moments(self) -> tuple[Array, Array]:
        """Weighted mean and variance of each target, (k,); in two passes, so that no digits cancel."""
        mean = self.target_mean
        return mean, self._target_moment(lambda y: np.square(y - mean))

    def _target_moment(self, of: Callable[[Array], Array]) -> Array:
        def add(chunk: Chunk) -> Array:
            y = of(chunk.y.astype(np.float64))
            return np.asarray(y.sum(axis=0) if chunk.weight is None else chunk.weight @ y)

        return np.asarray(self.rows.sum(add) / self.rows.total_weight)

    def largest_prediction(self, params: Array) -> float:
        """Largest |z| over the rows, of the part of z on which the loss depends."""

        def of_chunk(chunk: Chunk) -> list[float]:
            cast = params.astype(self.rows.dtype, copy=False)
            seen = (self.loss.visible(self.network.output(cast, b.X)) for b in self.blocks(chunk))
            return [max(float(np.abs(z).max()) for z in seen)]

        return max(self.rows.sum(of_chunk))

    def sampled(self, fraction: float) -> Self:
        if fraction not in self._samples:
            self._samples[fraction] = self._sampled(fraction)
        return self._samples[fraction]

    def _sampled(self, fraction: float) -> Self:
        share = max(fraction, _SAMPLE_ROWS / self.rows_per_parameter)
        n = int(share * self.rows.n_rows)
        if share >= 0.5:
            return self  # half the rows is no saving
        rows = self.rows.sample(n, np.random.default_rng(0))
        if not rows.total_weight > 0.0:
            return self
        # The penalty keeps its share: it is divided by the total weight, which the sample has less of.
        alpha = self.alpha * (rows.total_weight / self.rows.total_weight)
        return type(self)(self.network, self.loss, rows, alpha, block_rows=self.block_rows)

    def with_alpha(self, alpha: Array) -> Self:
        """The same loss over the same rows under other penalties (P,); what is known of the rows is kept."""
        other = copy(self)
        other.alpha, other.counts, other._samples = alpha, Counter(), {}
        other._last_hessian = other.triangle = other._split = None
        other.extended_precision = False
        return other

    # --- what training on batches needs ---

    def holding_out(self, numbers: NDArray[np.intp]) -> Self:
        """The same function, whose `split` holds out the rows with these numbers, in order; both parts are in single
        precision where the rows are in memory."""
        other = copy(self)
        other._held_out, other._split = numbers, None
        return other

    def split(self, fraction: float, most: int, seed: int) -> tuple[Self, Self]:
        """The function on the rows that batches are drawn from, and the loss alone on the rows held out: those of
        `holding_out`, or a random share of all rows, at most `most`. The same two objects while the arguments are the
        same."""
        if self._split is None or self._split[0] != (fraction, most, seed):
            if self._held_out is None:
                kept, held_out = self.rows.split(fraction, most, np.random.default_rng(seed))
            else:
                kept, held_out = (part.in_single() for part in self.rows.parted(self._held_out))
            alpha = self.alpha * (kept.total_weight / self.rows.total_weight)
            parts = type(self)(self.network, self.loss, kept, alpha), type(self)(self.network, self.loss, held_out)
            self._split = (fraction, most, seed), parts
        return self._split[1]


def _zeros(order: int, n_params: int) -> Evaluation:
    """Sums of an order, to add to."""
    if order == 0:
        return Evaluation(0.0)
    gradient = np.zeros(n_params)
    return FirstOrder(0.0, gradient) if order == 1 else SecondOrder(0.0, gradient, np.zeros((n_params, n_params)))


class _Few(NamedTuple):
    """All rows as one block, and its inputs."""

    rows: Chunk
    inputs: FirstInputs


class _Point:
    """The point where a network was last evaluated, for all objectives that differ in their penalties alone: the
    forward pass there, for few rows, and the sums with the Gauss-Newton matrix; and what is the same at every point."""

    def __init__(self) -> None:
        # Each with all bits of the parameters, which are quicker to compare than numbers.
        self._at: tuple[bytes, Linearization] | None = None
        self._sums: tuple[bytes, SecondOrder] | None = None
        # The second moment of the inputs, which is the same at every point.
        self.inputs: LayerSpectrum | None = None

    def network_at(self, params: Array) -> Linearization | None:
        """The forward pass, if it was made at these parameters."""
        last = self._at
        return last[1] if last is not None and last[0] == params.tobytes() else None

    def passed(self, params: Array, at: Linearization) -> None:
        self._at = (params.tobytes(), at)

    def sums_at(self, params: Array) -> SecondOrder | None:
        """The sums, which nobody changes, if they were formed at these parameters."""
        last = self._sums
        return last[1] if last is not None and last[0] == params.tobytes() else None

    def summed(self, params: Array, sums: SecondOrder) -> None:
        self._sums = (params.tobytes(), sums)


@dataclass
class _WithSquares:
    """What a pass found, and the weighted sums of the squares of the columns (p,) that it found on its way."""

    total: Evaluation
    squares: Array

    def __iadd__(self, other: Self) -> Self:
        self.total += other.total
        self.squares += other.squares
        return self


def _squares(block: Chunk) -> Array:
    """(p,) weighted sums of the squares of the columns."""
    weight = np.ones(block.y.shape[0], block.y.dtype) if block.weight is None else block.weight
    return np.asarray(squared(block.X).T @ weight)
