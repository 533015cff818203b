"""The predicted mean of a fitted model as a function of the cells and of the parameters, with its exact derivatives.

Let ŷ = h(z) be a member's mean with z = network(x). Along a direction t of the inputs it has the slope h'(z) dz, where
dz is the derivative of z along t. By the parameters the mean has the derivative h'(z) J, and the slope has
h'(z) dJ + (h''(z) dz) J, where J = dz/dparameters and dJ is its derivative along t: the chain rule, twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import cached_property, one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.maths.curvature import jacobian, jacobian_along
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling, without_offset
from newtron.inference.effects.quantity import Quantity
from newtron.inference.predictive.temperature import every_class, tempered
from newtron.model.effects.cells import Changes, Shift, VariedRows
from newtron.training.fitted import FittedModel

# Numbers of the derivatives of a block of rows in memory at a time: 8 MB.
_PIECE = 2**20


class _Local(NamedTuple):
    """At the rows of a block: value (m, k), that of a member or the model, and gradient (P, k, m), a member's."""

    value: Array
    gradient: Array


@dataclass(frozen=True, eq=False)
class _Part:
    """One member: its network with the parameters (P,) and the scaling of its inputs and targets."""

    network: Network
    params: Array
    scaling: Scaling
    share: float


class Response:
    """The mean of each target, or the probability of each class (of two classes, that of the second)."""

    def __init__(self, model: FittedModel) -> None:
        self.model, self.loss, self.temperature = model, model.loss, model.temperature
        self.parts = _parts(model)
        self.k = model.n_outputs

    @cached_property
    def share(self) -> Array:
        """(M,) the shares of the members in the prediction."""
        return np.array([part.share for part in self.parts])

    def means(self, rows: VariedRows, weights: Array | None, changes: Changes) -> Quantity:
        """The means of the rows with these changes, averaged by weights (G, n): G · k quantities, or n · k of the rows
        themselves where weights is None."""
        return self._summed(rows, weights, changes, None, "dydx")

    def slopes(
        self, rows: VariedRows, weights: Array | None, changes: Changes, name: str, method: str = "dydx"
    ) -> Quantity:
        """The derivatives of the means by a column of numbers, averaged like `means`. method: "dydx", or for relative
        changes "eyex", "dyex", "eydx" (e: of the logarithm)."""
        return self._summed(rows, weights, changes, name, method)

    def _summed(
        self, rows: VariedRows, weights: Array | None, changes: Changes, name: str | None, method: str
    ) -> Quantity:
        n, k, parts = rows.n_rows if weights is None else len(weights), self.k, self.parts
        value, own = np.zeros((n, k)), np.zeros((len(parts), n, k))
        gradients = [np.zeros((n, k, part.network.n_params)) for part in parts]
        with one_blas_thread(), np.errstate(all="ignore"):
            for block in self._blocks(rows):
                W = None if weights is None else weights[:, block]
                where = block if W is None else slice(None)
                whole, members = self._at(rows, block, changes, name, method)
                value[where] += _over_rows(whole.T, W)
                for m, local in enumerate(members):
                    own[m, where] += _over_rows(local.value.T, W)
                    gradients[m][where] += _over_rows(local.gradient, W)
        outputs: NDArray[np.intp] = np.tile(np.arange(k), n)
        flat = tuple(g.reshape(n * k, -1) for g in gradients)
        return Quantity(value.ravel(), outputs, own.reshape(len(parts), -1), flat)

    def _blocks(self, rows: VariedRows) -> Iterator[slice]:
        largest = max(part.network.n_params for part in self.parts) * self.k
        size = max(16, _PIECE // largest)
        for start in range(0, rows.n_rows, size):
            yield slice(start, min(start + size, rows.n_rows))

    def _at(
        self, rows: VariedRows, block: slice, changes: Changes, name: str | None, method: str
    ) -> tuple[Array, list[_Local]]:
        """(m, k) of the model, and what each member has."""
        X = rows.block(block, changes)
        tangent = None if name is None else rows.tangent(name, block, changes)
        x = rows.values(name, block, changes) if name is not None and method in ("eyex", "dyex") else None
        gained = self._gained(rows, block, changes)
        raw = [_Raw.of(part, X, tangent, gained) for part in self.parts]
        exposure = None
        if self.model.scaling.offset is not None:
            exposure = without_offset(X, self.model.scaling.offset)[1]
        members = [self._member(part, one, exposure, method, x) for part, one in zip(self.parts, raw, strict=True)]
        if self.temperature != 1.0:
            return self._tempered(raw, method, x), members
        return np.tensordot(self.share, [local.value for local in members], axes=1), members

    def _gained(self, rows: VariedRows, block: slice, changes: Changes) -> Array:
        """What z gains by random intercepts: those of the groups that cells are set to, and else of the rows' own. A
        number that is shifted keeps its group, because almost every other number is none. A row that changes is none
        that was seen before: effects are those of the networks and of groups."""
        if self.model.random_intercepts is None:
            return self.model.gained_by_groups(np.empty((0, 0)))
        kept = {name: cell for name, cell in changes.items() if not isinstance(cell, Shift)}
        gained = self.model.gained_by_groups(rows.block(block, kept))
        return gained * self.model.scaling.y_scale if self.model.is_perceptron else gained

    def _member(self, part: _Part, raw: _Raw, exposure: Array | None, method: str, x: Array | None) -> _Local:
        loss, T = self.loss, self.temperature
        slope: Array
        if loss.has_identity_link:
            mean, slope = part.scaling.outputs(raw.z), part.scaling.y_scale[:, None] * np.eye(self.k)[None]
        else:
            mean, slope = loss.inverse_link(raw.z / T), loss.mean_by_z(raw.z / T) / T
        by_parameters = _times(slope, raw.J)
        if exposure is not None:
            mean, slope = mean * exposure[:, None], slope * exposure[:, None, None]
            by_parameters = by_parameters * exposure
        if raw.along is None:
            return _Local(mean, by_parameters)
        dz, moved = raw.along
        value = np.einsum("mcd,md->mc", slope, dz)
        gradient = _times(slope, moved)
        if not loss.has_identity_link:
            bend = loss.mean_by_z_change(raw.z / T, dz / T) / T
            gradient += _times(bend if exposure is None else bend * exposure[:, None, None], raw.J)
        return _relative(_Local(mean, by_parameters), _Local(value, gradient), method, x)

    def _tempered(self, raw: list[_Raw], method: str, x: Array | None) -> Array:
        """The same of the model, where the members' mean probabilities are taken to the power 1 / temperature."""
        links = [self.loss.inverse_link(one.z) for one in raw]
        mean = every_class(np.tensordot(self.share, links, axes=1))
        p = tempered(mean, self.temperature)
        slopes = [
            np.einsum("mcd,md->mc", self.loss.mean_by_z(one.z), one.along[0]) for one in raw if one.along is not None
        ]
        if not slopes:
            return p[:, -self.k :]
        moved = np.tensordot(self.share, slopes, axes=1)
        moved = np.hstack([-moved, moved]) if self.k == 1 else moved
        relative = moved / mean / self.temperature
        slope = p * (relative - np.einsum("mc,mc->m", p, relative)[:, None])
        no = np.zeros((0, self.k, len(p)))
        return _relative(_Local(p[:, -self.k :], no), _Local(slope[:, -self.k :], no), method, x).value


class _Raw(NamedTuple):
    """A member's z (m, k) and J (P, k, m), and where there is a tangent their derivatives along it."""

    z: Array
    J: Array
    along: tuple[Array, Array] | None

    @classmethod
    def of(cls, part: _Part, X: Array, tangent: Array | None, gained: Array) -> _Raw:
        at = part.network.linearize(part.params, np.asarray(part.scaling.inputs(X)))
        along = None if tangent is None else jacobian_along(at, part.scaling.inputs_along(X, tangent))
        return cls(at.output + gained, jacobian(at), along)


def _over_rows(found: Array, weights: Array | None) -> Array:
    """(..., m) of m rows, turned round so that rows come first, or what the weights (G, m) make of them."""
    if weights is None:
        return found.T
    return (found.reshape(-1, found.shape[-1]) @ weights.T).reshape(*found.shape[:-1], len(weights)).T


def _times(slope: Array, J: Array) -> Array:
    """(P, k, m) from (m, k, k) or (1, k, k) and (P, k, m)."""
    if J.shape[1] == 1:
        return J * slope[:, 0, 0]
    if len(slope) == 1:
        return np.asarray(np.einsum("cd,pdm->pcm", slope[0], J))
    return np.asarray(np.einsum("mcd,pdm->pcm", slope, J, optimize=True))


def _relative(mean: _Local, slope: _Local, method: str, x: Array | None) -> _Local:
    """The slope by the method: relative to the mean (ey), for a relative change of the column (ex)."""
    value, gradient = slope
    if method in ("eyex", "eydx"):
        gradient = gradient / mean.value.T - (value / np.square(mean.value)).T * mean.gradient
        value = value / mean.value
    if x is not None:
        value, gradient = value * x[:, None], gradient * x
    return _Local(value, gradient)


def _parts(model: FittedModel) -> list[_Part]:
    if not model.is_perceptron:
        return [
            _Part(m.network, np.asarray(m.params, dtype=np.float64), model.scaling_of(m), m.share)
            for m in model.sharing
        ]
    # A perceptron in the user's units, whose coefficients its summary has the covariance of.
    W, b = model.coefficients
    network = Network(W.shape, intercept=model.members[0].network.intercept)
    params = np.concatenate([W.ravel(), b]) if network.intercept else W.ravel()
    none = replace(Scaling.none(*W.shape), offset=model.scaling.offset, aside=model.scaling.aside)
    return [_Part(network, params, none, 1.0)]
