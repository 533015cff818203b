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
from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling, without_offset
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
        given = model.scaling.of_inputs_in(X)
        with one_blas_thread():
            self._members = [_member_of(member, self._fed, given, model.scaling) for member in model.sharing]

    def predicted(self, own: slice, orders: NDArray[np.int64]) -> Array:
        """Numbers (r * n, k) or probabilities (r * n, classes) where each of the orders (r, n) shuffles these columns'
        rows, one order after the other."""
        columns = [place for j in range(own.start, own.stop) for place in self._inputs[j]]
        model = self._model
        gained: Array = np.zeros((orders.size, 1))
        for j, found in self._gained:
            changed = found[orders.ravel()] if j in range(own.start, own.stop) else np.tile(found, (len(orders), 1))
            gained = gained + changed
        with one_blas_thread():
            total = np.sum(
                [member.share * model.means(member.output(columns, orders) + gained) for member in self._members],
                axis=0,
            )
        if self._exposure is not None:
            moved = model.scaling.offset in range(own.start, own.stop)
            total = total * (self._exposure[orders.ravel()] if moved else np.tile(self._exposure, (len(orders), 1)))
        return np.asarray(total if model.is_regression else tempered(every_class(total), model.temperature))


def _member_of(member: Member, fed: Array, given: Array, scaling: Scaling) -> _OfColumns | _OfLandmarks:
    if member.first_input and scaling.landmarks is not None:
        return _OfLandmarks(member, scaling.landmarks, given)
    return _OfColumns(member, fed)


class _OfLandmarks:
    """A perceptron that compares rows with landmarks, and the distances of all rows to these."""

    def __init__(self, member: Member, landmarks: LandmarkFeatures, given: Array) -> None:
        self.share, self._member, self._landmarks, self._given = member.share, member, landmarks, given
        self._distances = landmarks.distances(given)

    def output(self, columns: list[int], orders: NDArray[np.int64]) -> Array:
        """As that of `_OfColumns`."""
        plain = [place for place in columns if place < self._given.shape[1]]
        along = self._landmarks.distances(self._given, plain)
        moved = self._distances + (along[orders] - along)
        return self._member.linearized(self._landmarks.at_distances(moved.reshape(orders.size, -1))).output


class _OfColumns:
    """A network with the first layer's values of all rows, and the network behind that layer."""

    def __init__(self, member: Member, fed: Array) -> None:
        network, params = member.network, np.asarray(member.params, dtype=np.float64)
        first = network.split(params)[0]
        self.share, self._W, self._f, self._fed = member.share, first.W, network.f, fed
        taken = member.taken(fed)
        self._z = taken @ first.W if first.b is None else taken @ first.W + first.b
        behind = network.widths[1:]
        self._behind = Network(behind, network.activation, network.intercept) if len(behind) > 1 else None
        self._params = params[network.spans[0].stop :]

    def output(self, columns: list[int], orders: NDArray[np.int64]) -> Array:
        """Raw predictions (r * n, k) where each of the orders (r, n) shuffles the rows of these inputs."""
        n, units = self._z.shape
        own = [column for column in columns if column < len(self._W)]
        fed = self._fed[:, own]
        moved = (fed[orders] - fed).reshape(orders.size, len(own)) @ self._W[own]
        z: Array = (moved.reshape(-1, n, units) + self._z).reshape(-1, units)
        if self._behind is None:
            return z
        self._f.apply(z)
        return self._behind.output(self._params, z)
