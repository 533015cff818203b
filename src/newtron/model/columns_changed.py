"""Predictions of a fitted model for rows of which some columns change.

A row that changes is none that was seen before, so intercepts are those of groups alone.

Only what depends on these columns is computed again: the first layer is linear in its inputs. So asking of every column
costs as much as a few predictions of all rows for each, whatever the number of columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import first_inputs, without_offset
from newtron.inference.predictive.temperature import every_class, tempered
from newtron.training.fitted import FittedModel, Member


class ColumnsChanged:
    """Starts from a fitted model and rows X (n, p), in float64 and valid for it."""

    def __init__(self, model: FittedModel, X: Array) -> None:
        self._model = model
        self._fed: Array = model.scaling.inputs(X)
        offset = model.scaling.offset
        self._exposure = None if offset is None else without_offset(X, offset)[1][:, None]
        made_of = model.scaling.made_of
        # The inputs that are made of each column.
        self._inputs = [np.flatnonzero(made_of == j).tolist() for j in range(len(model.scaling.x_center))]
        for j in model.scaling.no_inputs:
            self._inputs.insert(j, [])
        groups = () if model.random_intercepts is None else model.random_intercepts.groups
        # Of each grouping column its position and what each row gains by it.
        self._gained = [(group.column, group.at(group.places(X))) for group in groups]
        with one_blas_thread():
            self._members = [_Member(member, self._fed) for member in model.sharing]

    def predicted(self, own: slice, orders: NDArray[np.int64]) -> Array:
        """Numbers (r * n, k) or probabilities (r * n, classes) where each of the orders (r, n) shuffles these columns'
        rows, one order after the other."""
        columns = [place for j in range(own.start, own.stop) for place in self._inputs[j]]
        fed = self._fed[:, columns]
        change = (fed[orders] - fed).reshape(orders.size, len(columns))
        model = self._model
        gained: Array = np.zeros((len(change), 1))
        for j, found in self._gained:
            changed = found[orders.ravel()] if j in range(own.start, own.stop) else np.tile(found, (len(orders), 1))
            gained = gained + changed
        with one_blas_thread():
            total = np.sum(
                [member.share * model.means(member.output(columns, change) + gained) for member in self._members],
                axis=0,
            )
        if self._exposure is not None:
            moved = model.scaling.offset in range(own.start, own.stop)
            total = total * (self._exposure[orders.ravel()] if moved else np.tile(self._exposure, (len(orders), 1)))
        return np.asarray(total if model.is_regression else tempered(every_class(total), model.temperature))


class _Member:
    """A network with the first layer's values of all rows, and the network behind that layer."""

    def __init__(self, member: Member, fed: Array) -> None:
        network, params = member.network, np.asarray(member.params, dtype=np.float64)
        first = network.split(params)[0]
        self.share, self._W, self._f = member.share, first.W, network.f
        taken = first_inputs(fed, len(first.W))
        self._z = taken @ first.W if first.b is None else taken @ first.W + first.b
        behind = network.widths[1:]
        self._behind = Network(behind, network.activation, network.intercept) if len(behind) > 1 else None
        self._params = params[network.spans[0].stop :]

    def output(self, columns: list[int], change: Array) -> Array:
        """Raw predictions (r * n, k) where these inputs change by change (r * n, len(columns))."""
        n, units = self._z.shape
        own = [place for place, column in enumerate(columns) if column < len(self._W)]
        moved = change[:, own] @ self._W[[columns[place] for place in own]]
        z: Array = (moved.reshape(-1, n, units) + self._z).reshape(-1, units)
        if self._behind is None:
            return z
        self._f.apply(z)
        return self._behind.output(self._params, z)
