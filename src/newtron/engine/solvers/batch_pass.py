"""Gradient and curvature statistics of an objective over one batch, in buffers that are kept from batch to batch.

A step on a batch is short, so the time outside the matrix products counts. All arrays are feature-major (units, rows),
with the intercept as a last row of ones: the weights and intercepts of a layer are then one matrix, as they lie in
the flat vector of parameters, each layer is one product, and its gradient is another.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.linalg import eigh, is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk

# Columns of the output's curvature that are propagated back through the network for one estimate of K-FAC's factors: as
# much work as a gradient on a batch of so many rows.
_CURVATURE_COLUMNS = 1000


class BatchPass:
    """One batch at a time through the network and back.

    inputs: what each layer is fed, (inputs + 1, rows), the last row of ones where there are intercepts; of a sparse
    batch the first is sparse.
    """

    def __init__(self, objective: TrainingObjective) -> None:
        self.network, self.loss = objective.network, objective.loss
        rows = objective.rows
        self.dtype = rows.dtype
        # The weight that a batch has on average per row; dividing by its own weight would favour rows of little weight.
        self._row_weight = rows.total_weight / rows.n_rows
        self._penalty = (objective.alpha / rows.total_weight).astype(self.dtype)
        self._gradient = np.empty(objective.n_params, dtype=self.dtype)
        self._kept: dict[int, list[Array]] = {}
        self.inputs: list[Matrix] = []
        self._slopes: list[Array] = []

    def matrices(self, flat: Array) -> list[Array]:
        """Each layer's part of a flat vector, (inputs + 1, units); views."""
        spans, units = self.network.spans, self.network.widths[1:]
        return [flat[span].reshape(-1, width) for span, width in zip(spans, units, strict=True)]

    def gradient(self, params: Array, batch: Chunk) -> Array:
        """The gradient (P,) of the mean loss over the batch plus the penalty, right on average over batches. It lies in
        a buffer that the next call overwrites."""
        layers = self.matrices(params)
        z = self._forward(layers, batch)
        u = self.loss.pointwise(batch.y, z.T, 1).gradient
        size = batch.y.shape[0] * self._row_weight
        delta = np.ascontiguousarray((u / size if batch.weight is None else u * (batch.weight / size)[:, None]).T)
        deltas = self._backward(layers, delta, batch.y.shape[0])
        for part, fed, delta in zip(self.matrices(self._gradient), self.inputs, deltas, strict=True):
            if is_sparse(fed):
                part[:] = fed @ delta.T
            else:
                np.dot(fed, delta.T, out=part)
        self._gradient += self._penalty * params
        return self._gradient

    def mean_penalty(self, layer: int) -> float:
        """What the penalty adds to the curvature of a layer, on average over its parameters."""
        return float(self._penalty[self.network.spans[layer]].mean())

    def _buffers(self, n: int) -> list[Array]:
        """Buffers for n rows: the inputs with a column of ones (rows, inputs + 1), then each layer's values
        (units + 1, rows)."""
        if n not in self._kept:
            one, (inputs, *hidden, outputs) = int(self.network.intercept), self.network.widths
            shapes = [(n, inputs + one), *((units + one, n) for units in hidden), (outputs, n)]
            self._kept[n] = [np.ones(shape, dtype=self.dtype) for shape in shapes]
        return self._kept[n]

    def _forward(self, layers: list[Array], batch: Chunk) -> Array:
        rows, *values = self._buffers(batch.y.shape[0])
        f = self.network.f
        self.inputs, self._slopes = [self._fed(rows, batch.X)], []
        for W, a in zip(layers, values, strict=True):
            fed, units = self.inputs[-1], W.shape[1]
            if is_sparse(fed):
                a[:units] = (fed.T @ W).T
            else:
                np.dot(W.T, fed, out=a[:units])
            if W is not layers[-1]:
                f.apply(a[:units])
                self._slopes.append(f.slope(a[:units]))
                self.inputs.append(a)
        return values[-1]

    def _fed(self, rows: Array, X: Matrix) -> Matrix:
        if is_sparse(X):
            from scipy.sparse import hstack

            return hstack([X, np.ones((X.shape[0], rows.shape[1] - X.shape[1]), dtype=self.dtype)]).tocsr().T
        if not self.network.intercept:
            return X.T
        rows[:, :-1] = X
        return rows.T

    def _backward(self, layers: list[Array], u: Array, n: int) -> list[Array]:
        """Backpropagation of u (outputs, columns), several columns for each of the first n rows: the derivative of
        sum(u * z) with respect to what enters each layer's units."""
        found = [u]
        for W, slope in zip(layers[:0:-1], reversed(self._slopes), strict=True):
            delta = W[: slope.shape[0]] @ found[-1]
            by_row = delta.reshape(slope.shape[0], -1, n)
            by_row *= slope[:, None, :n]
            found.append(delta)
        return found[::-1]

    def curvature_columns(self, params: Array, batch: Chunk) -> list[Array]:
        """Columns S of each layer with S S' = the mean over rows of J'HJ for what enters the layer's units. H is the
        Gauss-Newton Hessian of a row's loss, and J is the derivative of the output by the units. They are computed from
        the first rows of the batch whose gradient was computed last."""
        k = self.network.n_outputs
        n = min(batch.y.shape[0], max(1, _CURVATURE_COLUMNS // k))
        z = self._buffers(batch.y.shape[0])[-1][:, :n]
        H = self.loss.pointwise(batch.y[:n], z.T, 2, gauss_newton=True).hessian
        H = H / (n * self._row_weight)
        if batch.weight is not None:
            H *= batch.weight[:n, None, None]
        return self._backward(self.matrices(params), _roots(H).astype(self.dtype), n)


def _roots(H: Array) -> Array:
    """R of each row with R R' = H (n, k, k), as (k, k * n). Eigenvalues that rounding made negative count as 0."""
    n, k, _ = H.shape
    if k == 1:
        return np.sqrt(np.maximum(H[:, 0, 0], 0.0))[None, :]
    values, vectors = eigh(H)
    root: Array = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return root.transpose(1, 2, 0).reshape(k, k * n)
