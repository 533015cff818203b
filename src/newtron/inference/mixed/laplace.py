"""Mixed models of classes and counts: the likelihood with the intercepts integrated out by Laplace's approximation.

z = Xβ + ZΛu with u standard normal, and l(z) is the loss of a row. For given θ and β the mode û of the intercepts has
the least Σ w l + ½|u|²; Newton's steps find it (penalised iteratively reweighted least squares). The deviance is

    2 Σ w l(ẑ) + |û|² + log det A,    A = I + Λ Z'WZ Λ,    W = w l''(ẑ)

and is minimised over θ and β (Bates et al. 2015; glmer with nAGQ = 1). Its derivatives are exact, with the change of û
by θ and β in them. With s = l'''(ẑ) times the leverages z'ΛA⁻¹Λz of the rows, t = s - W ZΛA⁻¹ΛZ's, and m_g =
Z_g'l'(ẑ), they are X'(2 l' + t) by β, and tr(Z_g'V⁻¹Z_g) - |m_g|² - m_g'Z_g't by θ_g², where V = W⁻¹ + ZΛΛZ'.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from newtron.engine.base.types import Array
from newtron.inference.mixed.grouping import Factored, Grouping
from newtron.inference.mixed.outer import DevianceSearch, Minimum, Slope, Watch

# Losses with the canonical link: their mean is the inverse link, so that l' = mean - y.
MixedLoss: TypeAlias = Literal["log_loss", "poisson"]

# The inner steps end where they expect a descent of at most this, in nats, or where rounding lets it fall no more:
# derivatives by θ and β are taken at the mode, and its error is one of theirs.
_INNER_AT_REST, _MOST_INNER = 1e-24, 200
# No step is made shorter than by this factor: then rounding hides the descent.
_SHORTEST = 1e-10
# θ from which the search starts; the best of them is taken.
_STARTS = (0.1, 0.3, 1.0, 3.0)

# Beyond this θ, in log odds or in the logarithm of a mean, levels have probabilities of 0 or 1 and means of 0.
_LARGEST = 1e3


class _Point(NamedTuple):
    """The mode of the intercepts at one θ and β: its two parts, z, the penalised loss, and A there."""

    first: Array
    others: Array
    z: Array
    penalised: float
    factored: Factored


class LaplaceMixed:
    """The rows of a mixed model of classes or counts.

    X: (n, q) with independent columns. y: (n,) of 0 and 1, or counts. weight: (n,) above 0, numbers of rows.
    """

    def __init__(self, X: Array, y: Array, weight: Array, grouping: Grouping, loss: MixedLoss) -> None:
        root = np.sqrt(weight)
        Q, self.R = np.linalg.qr(X * root[:, None])
        self.Q, self.y, self.weight, self.grouping, self.loss = Q / root[:, None], y, weight, grouping, loss
        self._start = (np.zeros(grouping.sizes[0]), np.zeros(grouping.n_others))

    def _losses(self, z: Array) -> float:
        """Σ w l at z, without what does not depend on z."""
        with np.errstate(over="ignore"):
            mean = np.exp(z) if self.loss == "poisson" else np.logaddexp(0.0, z)
        return float(self.weight @ (mean - self.y * z))

    def _derivatives(self, z: Array) -> tuple[Array, Array, Array]:
        """w l', w l'' and w l''' of each row."""
        from scipy.special import expit

        if self.loss == "poisson":
            mean = np.exp(z)
            return self.weight * (mean - self.y), self.weight * mean, self.weight * mean
        mean, beside = expit(z), expit(-z)
        variance = self.weight * mean * beside
        return self.weight * (mean - self.y), variance, variance * (beside - mean)

    def _z(self, fixed: Array, theta: Array, first: Array, others: Array) -> Array:
        scale = np.repeat(theta[1:], self.grouping.sizes[1:])
        return fixed + self.grouping.to_rows(theta[0] * first, scale * others)

    def mode(self, theta: Array, gamma: Array) -> _Point:
        """û for given θ and β = R⁻¹γ, from the last one that was found."""
        fixed, grouping = self.Q @ gamma, self.grouping
        first, others = self._start

        def penalised(a: Array, b: Array) -> tuple[Array, float]:
            z = self._z(fixed, theta, a, b)
            return z, self._losses(z) + 0.5 * float(a @ a + b @ b)

        z, value = penalised(first, others)
        zero_z, zero = penalised(0.0 * first, 0.0 * others)
        if not value < zero:
            first, others, z, value = 0.0 * first, 0.0 * others, zero_z, zero
        last = np.inf
        for _ in range(_MOST_INNER):
            slope, curvature, _ = self._derivatives(z)
            factored = Factored.of(grouping, theta, curvature)
            down = theta[0] * grouping.sums_of_first(slope) + first
            down_others = factored.scale * grouping.sums_of_others(slope) + others
            step, step_others = factored.solve(down, down_others)
            decrement = 0.5 * float(down @ step + down_others @ step_others)
            if not decrement > _INNER_AT_REST or (decrement < 1e-12 and decrement > 0.25 * last):
                break
            last, share = decrement, 1.0
            while share > _SHORTEST:
                moved = first - share * step, others - share * step_others
                at, reached = penalised(*moved)
                if reached <= value or decrement <= 1e-12 * max(1.0, abs(value)):
                    break
                share *= 0.5
            if share <= _SHORTEST:
                break
            (first, others), z, value = moved, at, reached
        self._start = first, others
        return _Point(first, others, z, value, factored)

    def slope(self, theta: Array, gamma: Array) -> Slope:
        """The deviance at θ and γ, where β = R⁻¹γ, with its derivatives."""
        grouping, point = self.grouping, self.mode(theta, gamma)
        factored = point.factored
        deviance = 2.0 * point.penalised + factored.log_determinant
        slope, curvature, third = self._derivatives(point.z)
        s = factored.row_leverages() * third
        k, k_others = factored.solve(theta[0] * grouping.sums_of_first(s), factored.scale * grouping.sums_of_others(s))
        t = s - curvature * grouping.to_rows(theta[0] * k, factored.scale * k_others)
        by_variance = factored.traces.copy()
        m, t_sums = grouping.sums_of_first(slope), grouping.sums_of_first(t)
        by_variance[0] -= float(m @ m + m @ t_sums)
        m_others, t_others = grouping.sums_of_others(slope), grouping.sums_of_others(t)
        for g, part in enumerate(grouping.parts):
            by_variance[1 + g] -= float(m_others[part] @ (m_others[part] + t_others[part]))
        return Slope(float(deviance), by_variance, self.Q.T @ (2.0 * slope + t))

    def coefficients(self, gamma: Array) -> Array:
        """(q,) β = R⁻¹γ."""
        return np.asarray(np.linalg.solve(self.R, gamma))

    def intercepts(self, theta: Array, gamma: Array) -> tuple[list[Array], list[Array]]:
        """The conditional modes of the intercepts and their conditional variances, (L,) for each column."""
        point, parts = self.mode(theta, gamma), self.grouping.parts
        first, others = point.factored.diagonals
        spherical = [point.first, *(point.others[part] for part in parts)]
        diagonals = [first, *(others[part] for part in parts)]
        modes = [size * u for size, u in zip(theta, spherical, strict=True)]
        return modes, [size**2 * each for size, each in zip(theta, diagonals, strict=True)]

    def searching(self, gamma: Array, watch: Watch | None = None) -> DevianceSearch:
        """The search for the minimum over θ and γ. gamma: near which units are measured."""
        point = self.mode(np.zeros(len(self.grouping.sizes)), gamma)
        reach = [float(point.factored.first.max(initial=0.0))]
        reach += [float(point.factored.among.diagonal()[part].max(initial=0.0)) for part in self.grouping.parts]
        information = float(point.factored.first.sum()) / float(self.weight.sum())
        unit = 1.0 / np.sqrt(max(information, 1e-300))
        return DevianceSearch(self.slope, np.maximum(reach, 1e-300), np.full(len(gamma), unit), _LARGEST, watch)

    def search(self, beta: Array, watch: Watch | None = None) -> Minimum:
        """The minimum over θ and γ from these coefficients without intercepts."""
        gamma = self.R @ beta
        searching = self.searching(gamma, watch)
        starts = [np.full(len(self.grouping.sizes), start) for start in _STARTS]
        start = min(starts, key=lambda theta: self.slope(theta, gamma).deviance)
        return searching.minimum(start, gamma)
