"""The covariance of a perceptron's estimates: classical, robust, clustered, and under a penalty.

Let R'R = I be the information in the rows and S the Hessian of the penalty. Every covariance here is Z M Z' with
ZZ' = (I + S)^-1. Z is computed from a QR decomposition of R stacked on the root of S, and no matrix is inverted. M is

- classical, posterior, fisher (under Firth's penalty): 1, times the residual variance for a regression (Laplace's
  approximation under a penalty)
- sandwich, under a penalty: Z'IZ, the variance of the penalised estimate if the model is right (Gray 1992)
- HC0 to HC3: the sum of u u' over the rows, where u = Z'B'e is the row's score. HC0 takes the residuals e as they are
  (White 1980). HC1 multiplies the sum by n/(n - p), HC2 divides each e by the root of 1 - leverage, and HC3 by
  1 - leverage (MacKinnon & White 1985; with several outputs the leverage is a matrix: Bell & McCaffrey 2002)
- cluster: the sum of U U' over the groups, where U is the sum of the group's scores, times G/(G - 1) (n - 1)/(n - p)
  (Liang & Zeger 1986; the factor is Stata's for regress)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigh, qr_triangle, singular_values
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.losses import Loss
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.whitened import Whitened, WhitenedBlock
from newtron.engine.rows import Chunk
from newtron.inference.coefficients.information import Information, identified_blocks, penalty_root, square_triangle

Array = NDArray[np.floating]

FROM_THE_FIT = ("classical", "posterior", "sandwich", "fisher")
FROM_THE_ROWS = ("HC0", "HC1", "HC2", "HC3", "cluster")
COVARIANCES = (*FROM_THE_FIT, *FROM_THE_ROWS)

# The weight of a column in a combination of columns of equal norm; below this it is taken for 0.
NEGLIGIBLE_WEIGHT = 1e-8
# A leverage whose distance from 1 is below this is 1: the row is fitted exactly, whatever its target.
_LEVERAGE_ONE = 1e-10


@dataclass(frozen=True)
class Alias:
    """A column that is a combination of others, so that its own coefficient has no meaning.

    column: its position; the intercept has the last one. combination: the factor of each of the other columns, by
    position, in the units of training.
    """

    column: int
    combination: dict[int, float]


# A combination of coefficients is estimable where it is orthogonal to all directions that change no prediction, as far
# as rounding lets it be.
_ORTHOGONAL = 1e-7


@dataclass(frozen=True, eq=False)
class CoefficientCovariance:
    """The covariance of the estimates, also of those combinations that the rows determine where they do not determine
    each coefficient alone.

    solution: (M, M) that of one solution among many, finite. null: (M, d) directions of the coefficients that change no
    prediction; d = 0 where every coefficient is estimable.
    """

    solution: Array
    null: Array

    def part(self, which: Sequence[int]) -> CoefficientCovariance:
        """The covariance of some of the coefficients."""
        return CoefficientCovariance(self.solution[np.ix_(which, which)], self.null[list(which)])

    @property
    def estimable(self) -> Array:
        """(M, r) orthonormal combinations that span all that the rows determine of these coefficients."""
        if not self.null.any():
            return np.eye(len(self.solution))
        U, values, _ = np.linalg.svd(self.null)
        return np.asarray(U[:, int((values > _ORTHOGONAL * values[0]).sum()) :])

    @property
    def matrix(self) -> Array:
        """(M, M) the covariance of the coefficients themselves; nan where one is not estimable."""
        return self.of(np.eye(len(self.solution)))

    def of(self, combinations: Array) -> Array:
        """(E, E) the covariance of combinations (E, M) of the coefficients; nan where one is not estimable."""
        found = combinations @ self.solution @ combinations.T
        unknown = self.unknown(combinations)
        found[unknown], found[:, unknown] = np.nan, np.nan
        return np.asarray(found)

    def unknown(self, combinations: Array) -> NDArray[np.bool_]:
        """(E,) whether each of the combinations (E, M) is not estimable."""
        moved, size = np.abs(combinations @ self.null), np.abs(combinations) @ np.abs(self.null)
        return np.asarray(np.any(moved > _ORTHOGONAL * size, axis=1))


@dataclass(frozen=True)
class Bread:
    """Z (m, r) with ZZ' = (I + S)^-1 over the independent columns, r of them; rows of other columns are zero.

    seen: RZ, the identity without a penalty. null: (m, d) directions of the parameters that change no row's prediction.
    condition: the condition number of the independent columns, scaled to equal norms. aliases: the dependent columns.
    """

    Z: Array
    seen: Array
    null: Array
    aliases: tuple[Alias, ...]
    condition: float

    @property
    def effective(self) -> float:
        """tr((I + S)^-1 I), the number of parameters that the rows determine and not the penalty; r without one."""
        return float(np.sum(np.square(self.seen)))


def bread(information: Information, loss: Loss, intercept: bool) -> Bread:
    """(I + S)^-1 as a product. intercept: whether the parameters of each output end with an intercept."""
    R = information.root
    m, q = R.shape[1], information.penalty.shape[1]
    with one_blas_thread():
        penalised = bool(information.penalty.any())
        H = square_triangle(qr_triangle(np.vstack([R, penalty_root(information.penalty, loss)]))) if penalised else R
        norm = np.linalg.norm(H, axis=0)
        norm[norm == 0.0] = 1.0
        H = H / norm
        kept, dependent = independent(H, q, intercept)
        triangle = qr_triangle(H[:, kept])
        Z = np.zeros((m, len(kept)))
        Z[kept] = _inverse(triangle) / norm[kept][:, None]
        values = singular_values(triangle)
        condition = float(values[0] / values[-1]) if kept else 1.0
        null = np.zeros((m, len(dependent)))
        aliases = []
        for number, (column, weights) in enumerate(dependent.items()):
            factors = {c: w * norm[column] / norm[c] for c, w in weights.items() if abs(w) > NEGLIGIBLE_WEIGHT}
            null[list(factors), number] = list(factors.values())
            null[column, number] = -1.0
            # The same columns are dependent for every output, so only the first output reports them. A dependent
            # intercept is not reported.
            if column < q - intercept:
                aliases.append(Alias(column, factors))
        seen = R @ Z if penalised else np.eye(len(kept))
        return Bread(Z, seen, null, tuple(aliases), condition)


def _inverse(R: Array) -> Array:
    from scipy.linalg.lapack import dtrtri

    inverse: Array = dtrtri(R)[0] if R.size else R
    return np.triu(inverse)


def independent(H: Array, q: int, intercept: bool) -> tuple[list[int], dict[int, dict[int, float]]]:
    """The columns of H (norms 1) that are independent, and the others as combinations of those.

    A column is called dependent if it is a combination of the columns before it; an intercept counts as the first
    column. q: columns for each output. The rank is decided by the same tolerance as in `least_squares`.
    """
    m = H.shape[1]
    tolerance = 10 * m * float(np.finfo(np.float64).eps)
    values = singular_values(H)
    if values[-1] > values[0] * tolerance:
        return list(range(m)), {}
    order = [c * q + j for c in range(m // q) for j in ((q - 1, *range(q - 1)) if intercept else range(q))]
    Q = np.empty((H.shape[0], m))
    kept: list[int] = []
    dependent: list[int] = []
    for column in order:
        rest = H[:, column].copy()
        for _ in range(2):  # twice is enough (Kahan & Parlett)
            known = Q[:, : len(kept)]
            rest -= known @ (known.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > tolerance * max(1.0, float(values[0])):
            Q[:, len(kept)] = rest / length
            kept.append(column)
        else:
            dependent.append(column)
    weights = np.linalg.lstsq(H[:, kept], H[:, dependent], rcond=None)[0]
    return kept, {column: dict(zip(kept, weights[:, d].tolist(), strict=True)) for d, column in enumerate(dependent)}


def residual_covariance(information: Information, effective: float) -> Array:
    """(k, k) the covariance of a regression's residuals: sums of products over rows less effective parameters; nan
    where none are left."""
    left = information.counted - effective
    return np.asarray(information.residual_products / left if left > 1e-9 * information.counted else np.nan)


def from_fit(kind: str, found: Bread, residuals: Array | None) -> Array:
    """The covariance (M, M) of all parameters, target by target. residuals: (k, k) of a regression, else None."""
    root = found.Z @ found.seen.T if kind == "sandwich" else found.Z
    of_one = root @ root.T
    return of_one if residuals is None else np.kron(np.atleast_2d(residuals), of_one)


@dataclass(frozen=True)
class Scores:
    """The spread of the rows' scores.

    meat: (M, M) the sum of their products in the coordinates of Z. n_groups: the number of groups that it sums over, 0
    without groups. leverage_one: the number of rows whose leverage is 1. total: (M,) the sum of the scores in the
    parameters' own coordinates.
    """

    meat: Array
    n_groups: int
    leverage_one: int
    total: Array


class _Sums:
    """Arrays that add."""

    def __init__(self, *arrays: Array) -> None:
        self.arrays = arrays

    def __iadd__(self, other: _Sums) -> _Sums:
        for mine, its in zip(self.arrays, other.arrays, strict=True):
            mine += its
        return self


def scores(
    objective: TrainingObjective,
    params: Array,
    found: Bread,
    kind: str,
    factor: Callable[[WhitenedBlock], Array] | None = None,
    groups: NDArray[np.integer] | None = None,
) -> Scores:
    """The scores of all rows, in one pass. A row of weight w counts as w rows. factor: gives, for the rows of a block,
    the part of the weight of each by which training multiplied its loss, and that is no number of rows: the weight of
    its class, its exposure, or all of it where a weight is a precision or a sampling weight. groups: (n,) numbers of
    the clusters, from 0."""
    k = objective.rows.n_outputs if objective.loss.quadratic else 1
    size, m = k * found.Z.shape[1], k * found.Z.shape[0]
    n_groups = 0 if groups is None else int(groups.max()) + 1

    def of_chunk(chunk: Chunk) -> _Sums:
        meat, by_group, in_group = np.zeros((size, size)), np.zeros((n_groups, size)), np.zeros(n_groups)
        leverage_one, total = np.zeros(1), np.zeros(m)
        for block in identified_blocks(objective, params, chunk):
            total += _score_sum(block)
            if factor is not None:
                block = _multiplied(block, factor(block))
            u, of_leverage_one = _row_scores(block, found, kind)
            leverage_one += of_leverage_one
            if groups is None:
                meat += u.T @ (block.weight[:, None] * u)
            else:
                np.add.at(by_group, groups[block.rows], block.weight[:, None] * u)
                np.add.at(in_group, groups[block.rows], block.weight)
        return _Sums(meat, by_group, in_group, leverage_one, total)

    with one_blas_thread():
        sums = objective.rows.sum(of_chunk)
    meat, by_group, in_group, leverage_one, total = sums.arrays
    counted = int((in_group > 0.0).sum())  # a group whose rows have no weight is none
    return Scores(meat if groups is None else by_group.T @ by_group, counted, int(leverage_one[0]), total)


def weight_of_block(block: WhitenedBlock) -> Array:
    """The factor on the losses of a block's rows where their weights are no numbers of rows."""
    return block.weight


def score_products(objective: TrainingObjective, params: Array, information: Information) -> Array:
    """(M, M) what a fit with sampling weights keeps for its covariance: the sum of the products of the rows' scores, in
    the parameters of `Information.root`."""
    m = information.root.shape[1]
    plain = Bread(np.eye(m), np.eye(m), np.zeros((m, 0)), (), 1.0)
    return scores(objective, params, plain, "HC0", weight_of_block).meat


def kept_scores(information: Information, found: Bread) -> Scores | None:
    """The spread of the scores that a fit has kept; None where it kept none."""
    products = information.score_products
    if not products.size:
        return None
    Z = np.kron(np.eye(len(products) // len(found.Z)), found.Z)
    return Scores(Z.T @ products @ Z, 0, 0, np.zeros(len(products)))


def _multiplied(block: WhitenedBlock, factor: Array) -> WhitenedBlock:
    """The same rows with the factor on their loss moved from the weight into B and e."""
    root = np.sqrt(factor)
    S, e = block.white
    weight = np.divide(block.weight, factor, out=np.zeros_like(block.weight), where=factor > 0.0)
    return block._replace(white=Whitened(S * root[:, None, None], e * root[:, None]), weight=weight)


def _score_sum(block: WhitenedBlock) -> Array:
    """The sum of the rows' scores, in the parameters' own coordinates."""
    e = block.white.e * block.weight[:, None]
    if block.white.S.shape[1] == 1:
        S = block.white.S[:, :, 0]
        return np.asarray((S * e).T @ block.A).ravel()
    return np.asarray(np.einsum("ns,nsm->m", e, block.B))


# By what HC2 and HC3 multiply a residual, from 1 - leverage.
_ADJUST: dict[str, Callable[[Array], Array]] = {
    "HC2": lambda left: 1.0 / np.sqrt(left),
    "HC3": lambda left: 1.0 / left,
}


def _row_scores(block: WhitenedBlock, found: Bread, kind: str) -> tuple[Array, int]:
    """(n, size): every row's score in the coordinates of Z; and how many rows have leverage 1."""
    e, leverage_one = block.white.e, 0
    Q = block.B @ found.Z
    if kind in _ADJUST and Q.shape[1] == 1:
        left = 1.0 - np.einsum("nsr,nsr->n", Q, Q)
        alone = left < _LEVERAGE_ONE
        leverage_one = int(alone.sum())
        e = e * np.where(alone, 0.0, _ADJUST[kind](np.where(alone, 1.0, left)))[:, None]
    elif kind in _ADJUST:
        values, V = eigh(Q @ Q.transpose(0, 2, 1))
        left = 1.0 - values
        alone = left < _LEVERAGE_ONE
        leverage_one = int(alone.any(axis=1).sum())
        scale = np.where(alone, 0.0, _ADJUST[kind](np.where(alone, 1.0, left)))
        e = np.einsum("nij,nj,nkj,nk->ni", V, scale, V, e, optimize=True)
    if Q.shape[1] == 1:
        return (e[:, :, None] * Q).reshape(e.shape[0], -1), leverage_one
    return np.asarray(np.einsum("nsr,ns->nr", Q, e)), leverage_one


def from_rows(kind: str, found: Bread, sums: Scores, counted: float) -> Array:
    """The sandwich covariance (M, M), with the small-sample factor of its kind; nan where no rows are left for that.
    counted: the number of rows that it counts."""
    n, p, G = counted, found.effective, sums.n_groups
    factor = 1.0
    if kind in ("HC1", "cluster"):
        factor = n / (n - p) if n > p else np.nan
    if kind == "cluster":
        factor *= G / (G - 1.0) * (n - 1.0) / n
    k = sums.total.size // found.Z.shape[0]
    Z = np.kron(np.eye(k), found.Z)
    return np.asarray(factor * (Z @ sums.meat @ Z.T))
