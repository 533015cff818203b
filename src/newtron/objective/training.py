"""The objective that estimators minimise: mean loss of a network over rows, plus the penalty.

f(params) = ( Σ_i weight_i · loss_i  +  ½ Σ_j alpha_j params_j² )  /  Σ_i weight_i
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from newtron.errors import InputError
from newtron.least_squares import solve_least_squares
from newtron.linalg import is_sparse
from newtron.losses import Loss, Pointwise
from newtron.network import Network
from newtron.objective.base import Evaluation, LinePoint, Objective
from newtron.rows import Chunk, Rows

Array = NDArray[np.floating]

# Least squares with a worse condition of the (equilibrated) Gram matrix, or with no more numbers than this, goes
# through QR and extended residuals.
_GRAM_CONDITION, _SMALL = 1e6, 5_000
# A raw prediction beyond this (a probability within 0.7 % of 0 or 1) is reason to ask whether classes are separated;
# where they are, Newton's step moves z by about 1, and at a minimum by as little as the gradient is.
_FAR, _STEP_IN_FLIGHT = 5.0, 0.3
# A Hessian of more parameters than this is not formed only to ask that; and without it a z beyond the second number,
# whose curvature is lost in rounding, is answer enough.
_MATRIX, _LOST = 2000, 30.0
# Numbers a block of rows may keep alive in one pass; about the size of a core's own cache.
_BLOCK_NUMBERS = 2**18


class TrainingObjective(Objective):
    """Mean loss of a network over rows, plus the penalty.

    alpha: (P,) or a number for every weight (intercepts are not penalised). It is the precision of a Gaussian
    prior in units of one row's loss: scikit-learn's Ridge alpha, MLP alpha and 1/C.
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
        self.alpha: Array = np.where(network.is_weight, np.asarray(alpha, dtype=np.float64), 0.0)
        self.is_linear = network.is_linear
        self.is_quadratic = network.is_linear and loss.quadratic
        self.epsilon = float(np.finfo(rows.dtype).eps)
        if block_rows is None:
            per_row = network.widths[0] + 2 * sum(network.widths[1:])
            block_rows = int(np.clip(2 ** int(np.log2(_BLOCK_NUMBERS / per_row)), 128, 8192))
        self.block_rows = block_rows

    # --- evaluation ---

    def _blocks(self, chunk: Chunk) -> Iterator[Chunk]:
        n = chunk.y.shape[0]
        for start in range(0, n, self.block_rows):
            cut = slice(start, min(start + self.block_rows, n))
            weight = None if chunk.weight is None else chunk.weight[cut]
            yield Chunk(chunk.X[cut], chunk.y[cut], weight, cut)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        cast = params.astype(self.rows.dtype, copy=False)
        total = self.rows.sum(lambda chunk: self.of_chunk(cast, chunk, order, gauss_newton))
        weight = self.rows.total_weight
        total.value = (total.value + 0.5 * float(self.alpha @ np.square(params))) / weight
        if total.gradient is not None:
            total.gradient += self.alpha * params
            total.gradient /= weight
        if total.hessian is not None:
            total.hessian[np.diag_indices(self.n_params)] += self.alpha
            total.hessian /= weight
        return total

    def of_chunk(self, params: Array, chunk: Chunk, order: int, gauss_newton: bool = False) -> Evaluation:
        """Sum of weighted losses over one chunk, without the penalty. Sums are kept in float64."""
        P = self.n_params
        total = Evaluation(
            0.0,
            np.zeros(P) if order > 0 else None,
            np.zeros((P, P)) if order > 1 else None,
        )
        with np.errstate(all="ignore"):
            for block in self._blocks(chunk):
                if order == 0:
                    z = self.network.output(params, block.X)
                    total.value += _weighted(self.loss.pointwise(block.y, z, 0), block.weight)[0]
                    continue
                at = self.network.linearize(params, block.X)
                row = self.loss.pointwise(block.y, at.output, order, gauss_newton)
                value, gradient, hessian = _weighted(row, block.weight)
                total.value += value
                assert gradient is not None
                assert total.gradient is not None
                total.gradient += at.vjp(gradient)
                if hessian is not None:
                    assert total.hessian is not None
                    at.sandwich(hessian, total.hessian)
                    if not gauss_newton:
                        at.second_order(gradient, total.hessian)
        return total

    def _hvp(self, params: Array, v: Array) -> Array:
        cast, direction = params.astype(self.rows.dtype), v.astype(self.rows.dtype)

        def of_chunk(chunk: Chunk) -> Array:
            total = np.zeros(self.n_params)
            for block in self._blocks(chunk):
                at = self.network.linearize(cast, block.X)
                row = self.loss.pointwise(block.y, at.output, 2)
                _, gradient, hessian = _weighted(row, block.weight)
                assert gradient is not None
                assert hessian is not None
                total += at.vjp((hessian @ at.jvp(direction)[:, :, None])[:, :, 0])
                if not self.is_linear:
                    total += at.hvp(gradient, direction)
            return total

        return np.asarray((self.rows.sum(of_chunk) + self.alpha * v) / self.rows.total_weight)

    # --- what a line search reads ---

    def along(self, params: Array, direction: Array) -> Callable[[float], LinePoint]:
        """For a perceptron z moves linearly with t: X is read once, and each t costs only the losses."""
        if not self.is_linear:
            return super().along(params, direction)
        z = np.empty((self.rows.n_rows, self.rows.n_outputs), dtype=self.rows.dtype)
        dz = np.empty_like(z)
        cast, move = params.astype(self.rows.dtype), direction.astype(self.rows.dtype)

        def keep(chunk: Chunk) -> float:
            for block in self._blocks(chunk):
                rows = slice(chunk.rows.start + block.rows.start, chunk.rows.start + block.rows.stop)
                z[rows] = self.network.output(cast, block.X)
                dz[rows] = self.network.output(move, block.X)
            return 0.0

        self.counts["gradient"] += 1
        self.rows.sum(keep)
        penalty = [0.5 * float(a @ (self.alpha * b)) for a, b in _pairs(params, direction)]
        weight = self.rows.total_weight

        def on_line(t: float) -> LinePoint:
            def of_chunk(chunk: Chunk) -> Array:
                there = z[chunk.rows] + self.rows.dtype.type(t) * dz[chunk.rows]
                row = self.loss.pointwise(chunk.y, there, 1)
                value, gradient, _ = _weighted(row, chunk.weight)
                assert gradient is not None
                return np.array([value, float(np.vdot(gradient, dz[chunk.rows]))])

            with np.errstate(all="ignore"):
                value, slope = self.rows.sum(of_chunk)
            value += penalty[0] + t * (2.0 * penalty[1] + t * penalty[2])
            slope += 2.0 * (penalty[1] + t * penalty[2])
            return LinePoint(float(value) / weight, float(slope) / weight)

        return on_line

    # --- scales, shortcuts, proofs ---

    @cached_property
    def scale(self) -> Array:
        """Root mean square of what each first-layer weight multiplies; 1 for all other parameters."""

        def squares(chunk: Chunk) -> Array:
            total = np.zeros(self.rows.n_features)
            for block in self._blocks(chunk):
                weight = np.ones(block.y.shape[0], self.rows.dtype) if block.weight is None else block.weight
                squared = block.X.multiply(block.X) if not isinstance(block.X, np.ndarray) else block.X**2
                total += squared.T @ weight
            return total

        with np.errstate(over="ignore"):
            rms = np.sqrt(self.rows.sum(squares) / self.rows.total_weight)
        lost = ~np.isfinite(rms)
        if not rms.all():
            lost |= (rms == 0.0) & self._has_numbers()
        if lost.any():
            raise InputError(
                f"Column {int(np.argmax(lost))} of X (counting from 0) has numbers whose squares are beyond the range "
                f"of {self.rows.dtype}: multiply it by a constant, or set standardize=True."
            )
        if not self.is_linear:
            # A column that is constant but for rounding must not ask for a gradient below rounding.
            rms = np.maximum(rms, 1e-6 * rms.max(initial=0.0))
        rms[rms == 0.0] = 1.0  # a column of zeros moves nothing, whatever its weight
        scale = np.ones(self.n_params)
        self.network.split(scale)[0].W[:] = rms[:, None]
        return scale

    def _has_numbers(self) -> Array:
        """(p,) True for each column with a number that is not zero."""

        def of_chunk(chunk: Chunk) -> Array:
            return np.asarray(abs(chunk.X).max(axis=0).toarray()[0] if is_sparse(chunk.X) else abs(chunk.X).max(axis=0))

        return np.asarray(self.rows.sum(of_chunk) > 0.0)

    @cached_property
    def gradient_scale(self) -> Array:
        def moment(of: Callable[[Array], Array]) -> Array:
            def add(chunk: Chunk) -> Array:
                y = of(chunk.y.astype(np.float64))
                return np.asarray(y.sum(axis=0) if chunk.weight is None else chunk.weight @ y)

            return self.rows.sum(add) / self.rows.total_weight

        mean = moment(lambda y: y)
        spread = np.sqrt(moment(lambda y: np.square(y - mean)))  # in two passes: no digits cancel
        return np.asarray(self.scale * self.loss.gradient_scale(mean, spread))

    def solve_quadratic(self, condition: float) -> tuple[Array, str] | None:
        if not self.is_quadratic:
            return None
        # The normal equations lose half the digits of their condition. Small data gets all digits in any case.
        if condition < _GRAM_CONDITION and self.rows.n_rows * self.n_params > _SMALL:
            return None
        q = self.n_params // self.network.n_outputs
        B, rank = solve_least_squares(self.rows, self.network.intercept, self.alpha.reshape(q, -1)[:, 0])
        if rank == q:
            return B.ravel(), ""
        counted = "columns, the intercept among them," if self.network.intercept else "columns"
        return B.ravel(), f"Only {rank} of {q} {counted} are independent: of the many solutions this is a short one."

    def runs_away(self, value: float) -> str | None:
        """Classification without a penalty on the output layer: a total loss this small puts every row on its right
        side, since each row's own loss is no larger, and then a larger output layer lowers it for ever."""
        last = self.network.spans[-1]
        if self.alpha[last].any() or self.loss.separated_below == 0.0:
            return None
        if value * self.rows.total_weight >= self.loss.separated_below * min(1.0, self.rows.min_weight):
            return None
        return (
            "Every row is on its right side of the boundary: the classes are completely separated. Give a penalty "
            "(alpha) for finite coefficients."
        )

    def flees(self, params: Array, gradient: Array) -> str | None:
        """Quasi-separation: the log loss of some rows falls for ever along a direction that moves no other row.
        There the gradient fades, but Newton's step stays near one unit of z, where at a minimum it is as small
        as the gradient."""
        unpenalised = np.any(self.alpha[self.network.is_weight] == 0.0)
        if self.loss.name != "log_loss" or not self.is_linear or not unpenalised:
            return None
        farthest = self._farthest(params)
        if farthest < _FAR:
            return None
        lost = self.n_params > _MATRIX and farthest > _LOST
        if not lost and self._farthest(self._newton_like(params, gradient)) < _STEP_IN_FLIGHT:
            return None
        return (
            "Some coefficients grow for ever while the fit hardly changes: some rows are perfectly separated. Give "
            "a penalty (alpha) for finite coefficients."
        )

    def _newton_like(self, params: Array, gradient: Array) -> Array:
        """Newton's step in all directions that have any curvature left: from the Hessian, or, where that would be too
        large, by conjugate gradients."""
        unit = 1.0 / self.scale
        if self.n_params <= _MATRIX:
            hessian = self.evaluate(params, 2).hessian
            assert hessian is not None
            values, V = np.linalg.eigh(hessian * unit * unit[:, None])
            along = V.T @ (gradient * unit)
            return np.asarray(unit * (V @ (-along / np.maximum(np.abs(values), 1e-300))))
        step, residual = np.zeros_like(params), gradient * unit
        direction, squared = -residual, float(residual @ residual)
        first = squared
        for _ in range(_MATRIX):
            product = unit * self.hvp(params, unit * direction)
            curvature = float(direction @ product)
            if not curvature > 0.0 or squared <= 1e-4 * first:
                break
            t = squared / curvature
            step, residual = step + t * direction, residual + t * product
            before, squared = squared, float(residual @ residual)
            direction = -residual + (squared / before) * direction
        return np.asarray(unit * step)

    def _farthest(self, params: Array) -> float:
        """Largest |z| over the rows, of the part that the loss sees."""

        def of_chunk(chunk: Chunk) -> _Largest:
            cast = params.astype(self.rows.dtype, copy=False)
            seen = (self.loss.visible(self.network.output(cast, b.X)) for b in self._blocks(chunk))
            return _Largest(max(float(np.abs(z).max()) for z in seen))

        return self.rows.sum(of_chunk).value

    def sampled(self, fraction: float) -> TrainingObjective:
        n = max(int(fraction * self.rows.n_rows), 20 * self.n_params)
        if 2 * n >= self.rows.n_rows:
            return self  # half the rows is no saving
        rows = self.rows.sample(n, np.random.default_rng(0))
        # The penalty keeps its share: it is divided by the total weight, which the sample has less of.
        alpha = self.alpha * (rows.total_weight / self.rows.total_weight)
        return TrainingObjective(self.network, self.loss, rows, alpha, block_rows=self.block_rows)

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

    def of_batch(self, params: Array, batch: Chunk) -> Evaluation:
        """Value and gradient of mean loss over one batch plus the penalty: right on average over batches."""
        self.counts["batch"] += 1
        found = self.of_chunk(params.astype(self.rows.dtype, copy=False), batch, 1)
        # The weight that a batch of this size has on average: its own would favour light rows.
        weight = self.rows.total_weight * batch.y.shape[0] / self.rows.n_rows
        assert found.gradient is not None
        share = self.alpha / self.rows.total_weight
        value = found.value / weight + 0.5 * float(share @ np.square(params))
        return Evaluation(value, found.gradient / weight + share * params)


@dataclass
class _Largest:
    """A maximum, as something that adds."""

    value: float

    def __iadd__(self, other: _Largest) -> _Largest:
        self.value = max(self.value, other.value)
        return self


def _weighted(row: Pointwise, weight: Array | None) -> tuple[float, Array | None, Array | None]:
    """Sum of the values in float64, and the derivatives times the weights."""
    if weight is None:
        return float(row.value.sum(dtype=np.float64)), row.gradient, row.hessian
    gradient = None if row.gradient is None else row.gradient * weight[:, None]
    hessian = None if row.hessian is None else row.hessian * weight[:, None, None]
    return float(np.sum(row.value * weight, dtype=np.float64)), gradient, hessian


def _pairs(a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
    yield a, a
    yield a, b
    yield b, b
