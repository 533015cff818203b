"""The linear mixed model y = Xβ + Σ_g Z_g b_g + e by restricted or full maximum likelihood.

b_g has variance τ_g² = θ_g² σ² in each level, and e variance σ², over the weight of the row. β and σ² have a formula
for given θ, so that the deviance is a function of θ alone, profiled over the rest (Bates, Mächler, Bolker & Walker
2015, *Fitting linear mixed-effects models using lme4*, sections 3.4 to 3.6). With V = W⁻¹ + Z Λ Λ Z', r = y - Xβ, and
n rows of which β takes q,

    ML:    log det V + n (1 + log(2π r'V⁻¹r / n))
    REML:  log det V + log det X'V⁻¹X + (n - q)(1 + log(2π r'V⁻¹r / (n - q)))

and the derivatives by θ_g² are, with P = V⁻¹ - V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹,

    ML:    tr(Z_g'V⁻¹Z_g) - n |Z_g'V⁻¹r|² / r'V⁻¹r
    REML:  tr(Z_g'P Z_g) - (n - q) |Z_g'V⁻¹r|² / r'V⁻¹r

The rows are read once: products of columns within the levels of the first grouping column, and sums over levels, are
all that the search needs. Products within levels do not lose digits where levels differ much. For the same reason the
rows may be cells of rows (`inference.mixed.cells`), beside which a few more rows, of no level, stand for what differs
inside the cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array
from newtron.inference.mixed.grouping import Factored, Grouping
from newtron.inference.mixed.outer import DevianceSearch, Minimum, Slope, Watch

# θ from which the search starts, over the root of the mean weight of a level; the best of them, and of 1, is taken.
_STARTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)

# Beyond this θ the noise is rounding of the intercepts: they would have 14 digits before it shows.
_LARGEST = 1e7


@dataclass(frozen=True, eq=False)
class _Profile:
    """What the deviance at one θ is made of, in the coordinates of Q, where X = QR in the metric of the weights.

    gram: (q + 1, q + 1) of [Q, y] in the metric V⁻¹. gamma: (q,) the coefficients R β, beyond those of least squares.
    squares: r'V⁻¹r. seen: Z'V⁻¹ [Q, y] by the first grouping column and by the others.
    """

    factored: Factored
    gram: Array
    gamma: Array
    squares: float
    seen: tuple[Array, Array]


class LinearMixed:
    """The rows of a linear mixed model, read once.

    X: (n, q) with the intercept among its columns, which are independent. y: (n,). weight: (n,) above 0. grouping: of
    the rows. within: (m, q + 1) more rows of [X, y], of weight 1, that have no level. counted: n of the formulas.
    log_weights: the sum of the logarithms of weights that are one over a variance.
    """

    def __init__(
        self,
        X: Array,
        y: Array,
        weight: Array,
        grouping: Grouping,
        *,
        within: Array | None = None,
        counted: float,
        log_weights: float,
        reml: bool,
    ) -> None:
        self.grouping, self.reml, self.counted, self.log_weights = grouping, reml, counted, log_weights
        root, n, q = np.sqrt(weight), *X.shape
        self.q = q
        rows = np.column_stack([X, y]) * root[:, None]
        if within is not None:
            rows = np.vstack([rows, within])
        Q, self.R = np.linalg.qr(rows[:, :q])
        # Of y what X leaves is kept, so that squares of it are no small differences.
        self.ordinary = np.linalg.solve(self.R, Q.T @ rows[:, q])
        columns = np.column_stack([Q, rows[:, q] - rows[:, :q] @ self.ordinary])
        columns, apart = columns[:n] / root[:, None], columns[n:]
        self._first = grouping.sums_of_first(weight)
        sums = grouping.sums_of_first(columns * weight[:, None])
        self._means = sums / np.where(self._first > 0.0, self._first, 1.0)[:, None]
        inside = (columns - self._means[grouping.codes[0]]) * root[:, None]
        self._within = inside.T @ inside + apart.T @ apart
        self._others = grouping.sums_of_others(columns * weight[:, None])
        self._C, self._among = grouping.crossing(weight), grouping.among_others(weight)

    @property
    def freedom(self) -> float:
        """What r'V⁻¹r is divided by for σ²."""
        return self.counted - self.q if self.reml else self.counted

    def at(self, theta: Array) -> _Profile:
        """β, σ² and the parts of the deviance at θ."""
        factored = Factored(self.grouping, theta, self._first, self._C, self._among)
        between = self._first / factored.pivots
        gram = self._within + (self._means * between[:, None]).T @ self._means
        first, others = self._means * between[:, None], np.zeros((0, self.q + 1))
        if self.grouping.n_others:
            sums = self._means * self._first[:, None]
            scale, reached = factored.scale[:, None], theta[0] ** 2 / factored.pivots
            G = self._others - self._C @ (reached[:, None] * sums)
            solved = factored.inverse @ (scale * G)
            gram = gram - (scale * G).T @ solved
            first = (sums - self._C.T @ (scale * solved)) / factored.pivots[:, None]
            others = G - factored.H @ (scale * solved)
            others = np.where(scale > 0.0, solved / np.where(scale > 0.0, scale, 1.0), others)
        gram = 0.5 * (gram + gram.T)
        q = self.q
        gamma = np.linalg.solve(gram[:q, :q], gram[:q, q]) if q else np.zeros(0)
        squares = float(gram[q, q] - gram[q, :q] @ gamma)
        return _Profile(factored, gram, gamma, squares, (first, others))

    def slope(self, theta: Array, others: Array) -> Slope:
        """The deviance at θ with its derivatives by θ²."""
        profile = self.at(theta)
        q, freedom = self.q, self.freedom
        variance = profile.squares / freedom
        deviance = profile.factored.log_determinant - self.log_weights
        with np.errstate(divide="ignore", invalid="ignore"):
            deviance += freedom * (1.0 + np.log(2.0 * np.pi * variance))
        inner = profile.gram[:q, :q]
        if self.reml:
            deviance += float(np.linalg.slogdet(inner)[1] + 2.0 * np.sum(np.log(np.abs(np.diagonal(self.R)))))
        derivatives = profile.factored.traces.copy()
        parts = [profile.seen[0], *(profile.seen[1][part] for part in self.grouping.parts)]
        for g, seen in enumerate(parts):
            left = seen[:, q] - seen[:, :q] @ profile.gamma
            derivatives[g] -= float(left @ left) / variance
            if self.reml and q:
                derivatives[g] -= float(np.trace(np.linalg.solve(inner, seen[:, :q].T @ seen[:, :q])))
        return Slope(float(deviance), derivatives, np.zeros(0))

    def coefficients(self, theta: Array) -> Array:
        """(q,) β at θ."""
        return np.asarray(self.ordinary + np.linalg.solve(self.R, self.at(theta).gamma))

    def intercepts(self, theta: Array) -> tuple[list[Array], list[Array]]:
        """The conditional modes of the intercepts at θ and their conditional variances, (L,) for each column."""
        profile = self.at(theta)
        variance = profile.squares / self.freedom
        contrast = np.append(-profile.gamma, 1.0)
        seen = [profile.seen[0], *(profile.seen[1][part] for part in self.grouping.parts)]
        first, others = profile.factored.diagonals
        diagonals = [first, *(others[part] for part in self.grouping.parts)]
        modes = [size**2 * (each @ contrast) for size, each in zip(theta, seen, strict=True)]
        return modes, [variance * size**2 * each for size, each in zip(theta, diagonals, strict=True)]

    def searching(self, watch: Watch | None = None) -> DevianceSearch:
        """The search for the minimum over θ."""
        reach = [float(self._first.max(initial=0.0))]
        reach += [float(self._among.diagonal()[part].max(initial=0.0)) for part in self.grouping.parts]
        return DevianceSearch(self.slope, np.maximum(reach, 1e-300), np.zeros(0), _LARGEST, watch)

    def search(self, watch: Watch | None = None) -> Minimum:
        """The minimum over θ."""
        unit = 1.0 / np.sqrt(max(float(np.mean(self._first)), 1e-300))
        none, sizes = np.zeros(0), [*(start * unit for start in _STARTS), 1.0]
        starts = [np.full(len(self.grouping.sizes), size) for size in sizes]
        start = min(starts, key=lambda theta: self.slope(theta, none).deviance)
        return self.searching(watch).minimum(start, none)
