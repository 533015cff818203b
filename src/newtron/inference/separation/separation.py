"""Separation: whether the log loss of a perceptron has a minimum at all, decided by linear programming.

A direction of the coefficients separates when no row's margins fall along it and some rise: along it the log loss falls
for ever, and there is no finite optimum. Classes are completely separated when one direction raises the margins of all
rows, quasi-completely when the best one leaves some as they are, and overlap when there is none (Albert & Anderson
1984). The linear program "largest sum of margins, none negative, every parameter within [-1, 1]" is positive exactly
where there is such a direction (Konis 2007). A linear program computes in floating point, so what it finds is only a
candidate: `exact_margins` proves it on the rows as they are before it is told.

Where there is none, a sum of the margins with positive weights is zero (Stiemke 1915), and a finite optimum is
such a sum: its gradient. So a fit that has converged is nearly always its own proof, and costs no program at all.
Otherwise a second program finds such weights, and they are checked with a bound on rounding.

Columns that are nearly combinations of others hide a separation along their small difference from the first program.
Where nothing is proved, the programs are tried again in orthogonal coordinates. What is proved neither way is
"undecided".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import interruptible
from newtron.engine.base.words import clean, column_names, count
from newtron.inference.separation.exact_margins import Proved, overlap_proved, proved
from newtron.inference.separation.margins import Margins

Array = NDArray[np.floating]
Index = NDArray[np.integer]

# Margins are relative to the sizes of the row and of the direction. Below the first a margin is taken for zero, and
# made so; what then falls by more than the second is a violation.
_ZERO, _VIOLATED = 1e-8, 1e-10
# Margins times columns in one program; more are taken in by and by, as they are violated.
_CELLS = 4e6
_ROUNDS = 60
# Simplex iterations: what a program of _CELLS needs many times over.
_ITERATIONS = 200_000
_NAMED = 6
# Programs to find few columns; one where they have more numbers than the second, none (it takes many seconds to leave
# out few of many columns) where they have more than the third.
_SPARSER, _QUICK, _SLOW = 5, 1e5, 1e6

Kind: TypeAlias = Literal["none", "quasi-complete", "complete", "undecided"]
KINDS: tuple[Kind, ...] = ("none", "quasi-complete", "complete", "undecided")
# What a user may do for finite coefficients. A model keeps this sentence, so it names settings as Python and the
# command line both do.
CHOICES = (
    "For finite coefficients give a penalty (alpha), let the data choose it (alpha: evidence), or use Firth's "
    "likelihood (penalty: firth)."
)


@dataclass(frozen=True, eq=False, repr=False)
class Separation:
    """Whether a plane separates the classes, with what proves it.

    kind: "none", "quasi-complete", "complete", or "undecided" where neither could be proved.
    rows, rows_apart: rows with a positive weight, and those of them whose margins the direction raises.
    direction, intercept: (1, p) and (1,) for two classes, (K, p) and (K,) for more, in the units of X: along it no row
    gets worse and `rows_apart` rows get ever better. None where there is none.
    columns, names: numbers of the columns that the direction needs, and their names ("x1", "x2", ... where X has none).
    smallest_margin: the smallest margin of any row along the direction, relative to the sizes of both: 0 for a
    quasi-complete separation and where there is no direction, else positive.
    proof: what it is known from.
    """

    kind: Kind
    rows: int
    rows_apart: int = 0
    columns: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    direction: Array | None = None
    intercept: Array | None = None
    smallest_margin: float = 0.0
    proof: str = ""

    @property
    def found(self) -> bool:
        """Are the classes separated, completely or quasi-completely?"""
        return self.kind in ("quasi-complete", "complete")

    @property
    def sentence(self) -> str:
        """What was found, in words, and what to choose from where the coefficients have no finite best values."""
        return f"{self.finding} {CHOICES}" if self.found else self.finding

    @property
    def finding(self) -> str:
        """What was found, in words."""
        if self.kind == "none":
            return "The classes overlap: no direction of the coefficients improves some rows and worsens none."
        if self.kind == "undecided":
            return f"Whether the classes are separated was not decided: {self.proof}."
        one = len(self.names) == 1
        names = tuple(f'"{clean(name)}"' if " " in name else clean(name) for name in self.names)
        who = f"the column{'' if one else 's'} {_listed(names)}" if self.names else "the intercept alone"
        if self.kind == "complete":
            tell = "tells" if one or not self.names else "together tell"
            return f"The classes are completely separated: {who} {tell} the class of each of {count(self.rows, 'row')}."
        grow = "its coefficient grows" if one or not self.names else "their coefficients grow"
        return (
            f"Some rows are perfectly separated (quasi-complete separation): along {who}, {self.rows_apart:,} of "
            f"{count(self.rows, 'row')} {'fits' if self.rows_apart == 1 else 'fit'} ever better and none worse, so "
            f"{grow} for ever."
        )

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        """What was found and from what it is known; the fields hold the numbers."""
        proof = f" Proof: {self.proof}." if self.proof and self.kind != "undecided" else ""
        return f"<Separation {self.kind!r}: {self.finding}{proof}>"


def _listed(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1:,} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def find_separation(
    X: Any,
    codes: Index,
    n_classes: int,
    weight: Any = None,
    *,
    intercept: bool = True,
    names: tuple[str, ...] | None = None,
    start: tuple[Array, Array] | None = None,
) -> Separation:
    """Are the classes of the rows separated by planes?

    X (n, p) dense or CSR; codes (n,) whole numbers from 0 to n_classes - 1; weight (n,) or None, where rows of weight
    zero do not count; intercept: the planes need not go through zero; names (p,) of the columns.
    start: coefficients and intercepts of a fit, which tell where to look first; any finite ones do.
    Large data are decided on the rows that matter: violated ones are taken into the program until none is. That may
    take a minute; Ctrl-C (KeyboardInterrupt) ends it at once.
    """
    margins = Margins(X, np.asarray(codes), n_classes, weight, intercept)
    names = column_names(names, margins.n_features)
    first = np.zeros(margins.n_params) if start is None else margins.from_user(*start)
    reason = ""
    for coordinates in (_as_they_are, _orthogonal):
        at = coordinates(margins)
        if at is None:
            continue
        search = _Search(at.margins, first if at.back is None else np.zeros(at.margins.n_params))
        try:
            search.run()
        except _UndecidedError as why:
            reason = reason or str(why)
        proof = _best(margins, [at.scaled(params) for params in search.candidates])
        if proof is not None:
            return _described(margins, proof, f"{search.proof}, checked in exact arithmetic{search.left}", names)
        if overlap_proved(at.margins, search.which):
            told = "weights from a linear program with which the margins of the rows cancel"
            return Separation("none", margins.n_rows, proof=told)
        reason = reason or "rounding hides on which side of a plane the nearest rows lie"
    return Separation("undecided", margins.n_rows, proof=reason)


class _Coordinates(NamedTuple):
    """Margins as functions of other parameters than those of the scaled columns; back (q, q') turns a column of such
    parameters into the scaled columns' own, and is None where they are these."""

    margins: Margins
    back: Array | None

    def scaled(self, params: Array) -> Array:
        """Parameters of these coordinates as parameters of the scaled columns."""
        if self.back is None:
            return params
        coef, _ = self.margins.to_user(params)
        return np.asarray(self.back @ coef.T).ravel()


def _as_they_are(margins: Margins) -> _Coordinates:
    return _Coordinates(margins, None)


def _orthogonal(margins: Margins) -> _Coordinates | None:
    """Combinations of the columns that are nearly orthogonal; None where that takes too long or X is sparse."""
    found = margins.orthogonal()
    if found is None:
        return None
    Z, back = found
    return _Coordinates(Margins(Z, margins.codes, margins.others + 1, None, False), back)


def _best(margins: Margins, candidates: list[Array]) -> Proved | None:
    """Of the directions that are proved the one that raises most margins, with few columns where that is as good."""
    best: Proved | None = None
    for params in candidates:
        found = proved(margins, params)
        if found is not None and (best is None or found.signs.sum(dtype=np.int64) > best.signs.sum(dtype=np.int64)):
            best = found
    return None if best is None else _sparsest(margins, best)


class _UndecidedError(Exception):
    """Why there is no answer."""


class _Found(NamedTuple):
    """A direction in scaled columns, and its margins."""

    params: Array
    margins: Array


class _Search:
    """Directions are collected and added up, until no further row's margin can be raised."""

    def __init__(self, margins: Margins, first: Array) -> None:
        self._margins, self._first = margins, first
        # Where the direction comes from, and what is not known of further rows where some are apart.
        self.proof, self.left = "a direction found by a linear program", ""
        self._found: _Found | None = None
        self._tried: Array | None = None
        # Those of the least margin along a fit that runs away are the ones that may bind; and some from everywhere.
        at_once = int(_CELLS / (margins.cells / margins.n_margins))
        self._taken = np.ones(margins.n_margins, dtype=bool)
        if margins.n_margins > at_once:
            self._taken[:] = False
            least = np.argsort(margins.of(first).ravel(), kind="stable")[: at_once // 4]
            self._taken[least] = True
            self._taken[np.linspace(0, margins.n_margins - 1, at_once // 4).astype(int)] = True

    def run(self) -> None:
        self._found = self._of_the_fit()
        if self._found is not None:
            self.proof = "the fit puts every row on its right side"
            return
        found: _Found | None = None
        total: Array | None = None
        while found is None or found.margins.min() <= _ZERO:
            open_ = np.ones(self._margins.n_margins, bool) if found is None else found.margins.ravel() <= _ZERO
            try:
                more = self._next(open_)
                if more is None:
                    return
                total = more if total is None else total + more
                found = self._found = self._checked(total)
            except _UndecidedError as reason:
                if found is None:
                    raise
                # That they are separated stands; only whether in still more rows was not decided.
                self.left = f"; of further rows nothing is proved: {reason}"
                return

    @property
    def candidates(self) -> list[Array]:
        """The direction found, without what moves no margin and without the parameters that are rounding, then with
        these, and as it is; and the last program's own."""
        found = [] if self._found is None else [self._found.params]
        found = [self._between_classes(params) for params in found] + found
        cleaned = [np.where(np.abs(params) <= 1e-9 * np.abs(params).max(), 0.0, params) for params in found[:1]]
        return cleaned + found + ([] if self._tried is None else [self._tried])

    def _between_classes(self, params: Array) -> Array:
        """The same direction with zeros where classes agree: of more than two classes only differences count, and the
        fewer parameters a direction has, the fewer there are to compute exactly."""
        W = params.reshape(-1, self._margins.outputs)
        if self._margins.outputs == 1:
            return params
        middle = np.sort(W, axis=1)[:, (self._margins.outputs - 1) // 2]
        return np.asarray((W - middle[:, None]).ravel())

    @property
    def which(self) -> Index:
        """The margins that the programs have seen."""
        return np.flatnonzero(self._taken)

    def _of_the_fit(self) -> _Found | None:
        """The fit itself, where it puts every row on its right side."""
        found = self._measured(self._first)
        return found if found is not None and found.margins.min() > 100.0 * np.finfo(float).eps else None

    def _measured(self, params: Array) -> _Found | None:
        size = float(np.abs(params).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return None
        params = params / size
        return _Found(params, self._margins.of(params))

    def _next(self, open_: NDArray[np.bool_]) -> Array | None:
        """A direction that raises an open margin and lowers none, or None where there is none."""
        for _ in range(_ROUNDS):
            which = np.flatnonzero(self._taken)
            params, gain = _program(self._margins.matrix(which), open_[which])
            if gain <= 1e-9 * len(which) + 1e-8:
                added = self._unseen(which, open_)
                if not len(added):
                    return None
            else:
                self._tried = params
                exact, at = self._exact(params)
                if np.abs(exact).max(initial=0.0) < _ZERO or not np.any(at[open_] > _ZERO):
                    raise _UndecidedError("the classes are separated, if at all, by less than can be told from zero")
                violated = np.flatnonzero(at < -_VIOLATED)
                if not len(violated):
                    return exact
                added = violated[np.argsort(at[violated], kind="stable")]
                added = added[~self._taken[added]][: max(1000, len(which) // 2)]
                if not len(added):
                    raise _UndecidedError("rounding hides whether rows lie on the plane or beyond it")
            self._taken[added] = True
        raise _UndecidedError(f"{_ROUNDS} linear programs were not enough")

    def _exact(self, params: Array) -> tuple[Array, Array]:
        """A program's answer with the margins that are zero but for rounding made so, and its margins; as it is where
        that would violate others, because some margin was small but not zero."""
        exact = _without_small(self._margins, params)
        at = self._margins.of(exact).ravel()
        if at.min() < -_VIOLATED:
            plain = self._margins.of(params).ravel()
            if plain.min() >= -_VIOLATED:
                return params, plain
        return exact, at

    def _unseen(self, which: Index, open_: NDArray[np.bool_]) -> Index:
        """Open margins outside the program that could rise along directions in which nothing inside moves."""
        if self._taken.all():
            return np.zeros(0, dtype=np.int64)
        seen = self._margins.span(which)
        if seen is None:
            raise _UndecidedError("the rows are too many for a linear program")
        P = self._margins.n_params
        rng = np.random.default_rng(0)
        moved = np.zeros(self._margins.n_margins)
        for _ in range(3):
            free = rng.normal(size=P)
            free -= seen @ (seen.T @ free)
            free -= seen @ (seen.T @ free)
            moved = np.maximum(moved, np.abs(self._margins.of(free)).ravel())
        outside = np.flatnonzero((moved > 1e-8 * np.sqrt(P)) & open_ & ~self._taken)
        return outside[np.argsort(-moved[outside], kind="stable")][: max(1000, len(which) // 2)]

    def _checked(self, params: Array) -> _Found:
        found = self._measured(params)
        if found is None or found.margins.min() < -_VIOLATED:
            raise _UndecidedError("two directions that separate cancel in rounding")
        return found


def _program(A: Any, open_: NDArray[np.bool_]) -> tuple[Array, float]:
    """The parameters within [-1, 1] with the largest sum of open margins, no margin negative; and that sum."""
    from scipy.optimize import linprog

    gain = np.asarray(A[np.flatnonzero(open_)].sum(axis=0)).ravel()
    largest = float(np.abs(gain).max(initial=0.0))
    if largest == 0.0:
        return np.zeros(A.shape[1]), 0.0
    solve = partial(
        linprog,
        -gain / largest,
        A_ub=-A,
        b_ub=np.zeros(A.shape[0]),
        bounds=(-1.0, 1.0),
        method="highs",
        options={
            "primal_feasibility_tolerance": 1e-10,
            "dual_feasibility_tolerance": 1e-10,
            "maxiter": _ITERATIONS,
        },
    )
    answer = interruptible(solve)
    if answer.status != 0:
        raise _UndecidedError(f"the linear program ended with status {answer.status} ({answer.message.strip('. ')})")
    return np.asarray(answer.x), -float(answer.fun) * largest


def _without_small(margins: Margins, params: Array) -> Array:
    """The nearest parameters along which the margins that are zero but for rounding are so to the last digits."""
    size = float(np.abs(params).max(initial=0.0))
    if size == 0.0:
        return params
    small = np.flatnonzero(np.abs(margins.of(params / size)).ravel() <= _ZERO)
    seen = margins.span(small) if len(small) else None
    if seen is None:
        return params
    for _ in range(2):
        params = params - seen @ (seen.T @ params)
    return params


def _sparsest(margins: Margins, found: Proved) -> Proved:
    """A direction that raises the same margins with few columns: the least weighted sum of |coefficients| that raises
    each of them by 1, with the weights of columns that were little used raised again and again (Candès, Wakin & Boyd
    2008)."""
    if margins.cells > min(_SLOW, _CELLS):
        return found
    A = margins.matrix(np.arange(margins.n_margins))
    raised = found.signs > 0
    cost = np.ones(margins.n_columns)
    best, fewest = found, margins.n_columns + 1
    for _ in range(_SPARSER if margins.cells <= _QUICK else 1):
        params = _least_sum(A, raised, np.repeat(cost, margins.outputs), margins)
        proof = None if params is None else proved(margins, params)
        if params is None or proof is None or not np.array_equal(proof.signs, found.signs):
            break
        used = np.abs(params.reshape(margins.n_columns, -1)).max(axis=1)
        some = int(np.count_nonzero(used[: margins.n_features]))
        if some >= fewest:
            break
        best, fewest = proof, some
        cost = 1.0 / (used / used.max() + 0.01)
    return best


def _least_sum(A: Any, raised: NDArray[np.bool_], cost: Array, margins: Margins) -> Array | None:
    """The parameters of the least sum of cost times size (none for an intercept) that raise some margins by 1 and lower
    none, relative to the largest of them; None where the program finds none."""
    from scipy import sparse
    from scipy.optimize import linprog

    P = margins.n_params
    if margins.intercept:
        cost[P - margins.outputs :] = 0.0
    solve = partial(
        linprog,
        np.r_[cost, cost],
        A_ub=-sparse.hstack([A, -A], format="csr"),
        b_ub=-raised.astype(np.float64),
        bounds=(0.0, None),
        method="highs",
        options={"maxiter": _ITERATIONS},
    )
    answer = interruptible(solve)
    if answer.status != 0:
        return None
    params = np.asarray(answer.x[:P] - answer.x[P:])
    size = float(np.abs(params).max(initial=0.0))
    if size == 0.0:
        return None
    params[np.abs(params) <= 1e-9 * size] = 0.0
    params = _without_small(margins, params / size)
    params[np.abs(params) <= 1e-12] = 0.0
    return params


def _described(margins: Margins, found: Proved, proof: str, names: tuple[str, ...]) -> Separation:
    raised = found.signs > 0
    apart = int(np.count_nonzero(raised.reshape(margins.n_rows, -1).any(axis=1)))
    coef, b = margins.to_user(found.params)
    W = found.params.reshape(-1, margins.outputs)[: margins.n_features]
    # A shift of all classes alike moves no margin.
    spread = np.ptp(W, axis=1) if margins.outputs > 1 else np.abs(W[:, 0])
    columns = tuple(int(j) for j in np.flatnonzero(spread > 1e-9 * max(1.0, spread.max(initial=0.0))))
    return Separation(
        "complete" if raised.all() else "quasi-complete",
        margins.n_rows,
        apart,
        columns,
        tuple(names[j] for j in columns),
        coef,
        b,
        max(0.0, float(margins.of(found.params).min())) if raised.all() else 0.0,
        proof,
    )
