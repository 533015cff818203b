"""Values with exact first and second derivatives by many variables, by forward differentiation.

A `Jet` holds an array of values (...), their gradients (..., n) and, where they are wanted, their Hessians (..., n, n).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Jet:
    """v (...,), d (..., n), h (..., n, n) or None."""

    v: Array
    d: Array
    h: Array | None

    __array_ufunc__ = None  # array + jet is left to the jet

    @classmethod
    def variables(cls, x: Array, second: bool) -> Jet:
        n = len(x)
        return cls(np.asarray(x, dtype=float), np.eye(n), np.zeros((n, n, n)) if second else None)

    def _of(self, value: Array, slope: Any, bend: Any) -> Jet:
        """A function of it, by its value and two derivatives."""
        slope, bend = np.asarray(slope), np.asarray(bend)
        h = None
        if self.h is not None:
            h = slope[..., None, None] * self.h + bend[..., None, None] * _outer(self.d, self.d)
        return Jet(value, slope[..., None] * self.d, h)

    def __getitem__(self, which: Any) -> Jet:
        return Jet(self.v[which], self.d[which], None if self.h is None else self.h[which])

    def __add__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(*_stretched(self, np.asarray(other, dtype=float)))
        h = None if self.h is None or other.h is None else self.h + other.h
        return Jet(self.v + other.v, self.d + other.d, h)

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            c = np.asarray(other, dtype=float)
            h = None if self.h is None else c[..., None, None] * self.h
            return Jet(c * self.v, c[..., None] * self.d, h)
        h = None
        if self.h is not None and other.h is not None:
            cross = _outer(self.d, other.d)
            h = self.v[..., None, None] * other.h + other.v[..., None, None] * self.h
            h = h + cross + np.swapaxes(cross, -1, -2)
        return Jet(self.v * other.v, self.v[..., None] * other.d + other.v[..., None] * self.d, h)

    def __pow__(self, power: float) -> Jet:
        v = self.v
        bend = 0.0 * v if power == 1 else power * (power - 1) * v ** (power - 2)
        return self._of(v**power, power * v ** (power - 1), bend)

    def __rpow__(self, base: Any) -> Jet:
        return exp(self * np.log(base))

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Jet:
        return -1.0 * self

    def __sub__(self, other: Any) -> Jet:
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> Jet:
        return (-self).__add__(other)

    def __truediv__(self, other: Any) -> Jet:
        return self * (1.0 / other if not isinstance(other, Jet) else other**-1)

    def __rtruediv__(self, other: Any) -> Jet:
        return (self**-1).__mul__(other)

    def sum(self) -> Jet:
        """Over the first axis."""
        return Jet(self.v.sum(axis=0), self.d.sum(axis=0), None if self.h is None else self.h.sum(axis=0))

    def product_with(self, A: Array) -> Jet:
        """A @ it, along the first axis."""
        h = None if self.h is None else np.tensordot(A, self.h, axes=1)
        return Jet(A @ self.v, A @ self.d, h)


def _outer(a: Array, b: Array) -> Array:
    return np.asarray(a[..., :, None] * b[..., None, :])


def _stretched(jet: Jet, added: Array) -> tuple[Array, Array, Array | None]:
    v = jet.v + added
    d = np.broadcast_to(jet.d, (*v.shape, jet.d.shape[-1]))
    h = None if jet.h is None else np.broadcast_to(jet.h, (*v.shape, *jet.h.shape[-2:]))
    return v, d, h


def joined(*jets: Jet) -> Jet:
    """One after the other; a single value is an array of one."""
    n = jets[0].d.shape[-1]
    v = np.concatenate([np.atleast_1d(jet.v) for jet in jets])
    d = np.concatenate([jet.d.reshape(-1, n) for jet in jets])
    second = [jet.h.reshape(-1, n, n) for jet in jets if jet.h is not None]
    return Jet(v, d, np.concatenate(second) if second else None)


def exp(x: Jet) -> Jet:
    e = np.exp(x.v)
    return x._of(e, e, e)


def log(x: Jet) -> Jet:
    return x._of(np.log(x.v), 1.0 / x.v, -1.0 / x.v**2)


def sin(x: Jet) -> Jet:
    return x._of(np.sin(x.v), np.cos(x.v), -np.sin(x.v))


def cos(x: Jet) -> Jet:
    return x._of(np.cos(x.v), -np.sin(x.v), -np.cos(x.v))


def arctan(x: Jet) -> Jet:
    slope = 1.0 / (1.0 + x.v**2)
    return x._of(np.arctan(x.v), slope, -2.0 * x.v * slope**2)


def sqrt(x: Jet) -> Jet:
    return x**0.5
