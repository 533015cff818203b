"""Separation: whether the log loss of a perceptron has a minimum at all, decided by linear programming.

A direction of the coefficients separates the classes when no row's margins fall along it and some rise. The log loss
then falls without end along it, and there is no finite optimum. Classes are completely separated when one direction
raises the margins of all rows, quasi-completely when the best direction leaves some margins unchanged, and they overlap
when there is no such direction (Albert & Anderson 1984). The linear program "largest sum of margins, none negative,
every parameter within [-1, 1]" has a positive value exactly where there is such a direction (Konis 2007). It computes
in floating point, so its direction is only a candidate, which `exact_margins` proves on the rows in exact arithmetic.

Where there is no such direction, a sum of the margins with positive weights is zero (Stiemke 1915). The gradient at a
finite optimum is such a sum, so a fit that has converged is nearly always its own proof and needs no program
(`overlap`). Otherwise a second program finds such weights, and they are checked with a bound on rounding.

Where columns are nearly combinations of others, the first program can miss a separation along their small difference.
So where nothing is proved, the programs are tried again in orthogonal coordinates. Where neither is proved, the answer
is "undecided".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import interruptible
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import clean, column_names, count
from newtron.inference.separation.exact_margins import ProvedDirection, overlap_proved, prove_direction
from newtron.inference.separation.margins import Margins

Index = NDArray[np.integer]

# Margins are relative to the sizes of the row and of the direction. A margin below the first number is made zero. A
# margin that is then below minus the second number is a violation.
_ZERO, _VIOLATED = 1e-8, 1e-10
# The number of margins times columns in one program. Where there are more, violated margins are added to the program,
# in at most so many rounds, at least so many margins or half of those that it has at a time.
_CELLS, _ROUNDS, _ADDED = 4e6, 60, 1000
# Tolerance of the programs, and their simplex iterations at most: many times what a program of _CELLS needs.
_TOLERANCE, _ITERATIONS = 1e-10, 200_000
# The gain of a program for each margin, and a constant, below which it is rounding.
_GAIN, _LEAST_GAIN = 1e-9, 1e-8
# A parameter below this share of the largest is rounding in the answer of a program, and below the second share in a
# direction whose small margins have been made zero.
_NO_PARAMETER, _NO_PARAMETER_LEFT = 1e-9, 1e-12
# A fit is itself a candidate where its smallest margin is above so many epsilons, which are rounding.
_MARGIN_OF_FIT = 100.0
# The columns that a sentence names.
_NAMED = 6
# At most so many programs look for a direction with few columns: one where they have more numbers than the second
# value, none where they have more than the third, because that would take many seconds.
_SPARSER, _QUICK, _SLOW = 5, 1e5, 1e6
# What is added to the relative size of a column before its inverse becomes its cost in the next of these programs.
_COST_OFFSET = 0.01

Kind: TypeAlias = Literal["none", "quasi-complete", "complete", "undecided"]
# What a user may do for finite coefficients. A model keeps this sentence, so it names settings as Python and the
# command line both do.
CHOICES = (
    "For finite coefficients give a penalty (alpha), let the data choose it (alpha: evidence), or use Firth's "
    "likelihood (penalty: firth)."
)


@dataclass(frozen=True, eq=False, repr=False)
class Separation:
    """The finding whether planes separate the classes, with its proof.

    Attributes
    ----------
    kind : "none", "quasi-complete", "complete" or "undecided"
        "undecided" where neither was proved.
    rows, rows_apart : int
        The number of rows with a positive weight, and of those whose margins the direction raises.
    columns, names : tuple of int, tuple of str
        The numbers of the columns that the direction needs, and their names ("x1", "x2", ... where X has no names).
    direction, intercept : (1, p) and (1,) for two classes, (K, p) and (K,) for more; None unless separated
        In the units of X. Along it no row's margins fall, and those of `rows_apart` rows grow without end.
    smallest_margin : float
        The smallest margin of any row along the direction, relative to the sizes of both. It is positive for a complete
        separation, else 0.
    proof : str
        How it was proved, or why it was not.

    Examples
    --------
    >>> import warnings
    >>> from newtron import PerceptronClassifier
    >>> with warnings.catch_warnings(action="ignore"):  # separated classes are told
    ...     model = PerceptronClassifier().fit([[1.0], [2.0], [3.0], [4.0]], [0, 0, 1, 1])
    >>> model.separation_.kind, model.separation_.names
    ('complete', ('x1',))
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
        """True if the classes are separated, completely or quasi-completely."""
        return self.kind in ("quasi-complete", "complete")

    @property
    def sentence(self) -> str:
        """The finding as a sentence, and the choices where the coefficients have no finite optimum."""
        return f"{self.finding} {CHOICES}" if self.found else self.finding

    @property
    def finding(self) -> str:
        """The finding as a sentence."""
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
        """The finding and its proof; the fields hold the numbers."""
        proof = f" Proof: {self.proof}." if self.proof and self.kind != "undecided" else ""
        return f"<Separation {self.kind!r}: {self.finding}{proof}>"


def _listed(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return names[0]
    if len(names) > _NAMED:
        return f"{', '.join(names[: _NAMED - 1])} and {len(names) - _NAMED + 1:,} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def find_separation(
    X: Matrix,
    codes: Index,
    n_classes: int,
    weight: Array | None = None,
    *,
    intercept: bool = True,
    names: tuple[str, ...] | None = None,
    start: tuple[Array, Array] | None = None,
) -> Separation:
    """Decide whether planes separate the classes of the rows.

    X: (n, p) dense or CSR. codes: (n,) whole numbers from 0 to n_classes - 1. weight: (n,) or None; rows of weight zero
    do not count. intercept: False where the planes go through zero. names: (p,) of the columns. start: coefficients
    and intercepts of a fit, along which the search starts; any finite ones do.
    For large data the program begins with some of the rows, and violated ones are added until there are none. That may
    take a minute; Ctrl-C (KeyboardInterrupt) ends it at once.
    """
    margins = Margins(X, np.asarray(codes), n_classes, weight, intercept)
    names = column_names(names, margins.n_features)
    first = np.zeros(margins.n_params) if start is None else margins.from_user(*start)
    reason = ""
    for coordinates in (_scaled_columns, _orthogonal_columns):
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
            proof_of_overlap = "weights from a linear program with which the margins of the rows cancel"
            return Separation("none", margins.n_rows, proof=proof_of_overlap)
        reason = reason or "rounding hides on which side of a plane the nearest rows lie"
    return Separation("undecided", margins.n_rows, proof=reason)


class _Coordinates(NamedTuple):
    """Margins as functions of other parameters. back: (q, q') the map from these to the parameters of the scaled
    columns; None where they are the same."""

    margins: Margins
    back: Array | None

    def scaled(self, params: Array) -> Array:
        """Parameters of these coordinates as parameters of the scaled columns."""
        if self.back is None:
            return params
        coef, _ = self.margins.to_user(params)
        return np.asarray(self.back @ coef.T).ravel()


def _scaled_columns(margins: Margins) -> _Coordinates:
    """The scaled columns themselves."""
    return _Coordinates(margins, None)


def _orthogonal_columns(margins: Margins) -> _Coordinates | None:
    """Combinations of the columns that are nearly orthogonal; None where that takes too long or X is sparse."""
    found = margins.orthogonal()
    if found is None:
        return None
    Z, back = found
    return _Coordinates(Margins(Z, margins.codes, margins.others + 1, None, False), back)


def _best(margins: Margins, candidates: list[Array]) -> ProvedDirection | None:
    """The proved direction that raises the most margins, with as few columns as can be found."""
    best: ProvedDirection | None = None
    for params in candidates:
        found = prove_direction(margins, params)
        if found is not None and (best is None or found.signs.sum(dtype=np.int64) > best.signs.sum(dtype=np.int64)):
            best = found
    return None if best is None else _sparsest(margins, best)


class _UndecidedError(Exception):
    """The reason why there is no answer."""


class _Found(NamedTuple):
    """params: a direction in scaled columns. margins: (n, others) along it."""

    params: Array
    margins: Array


class _Search:
    """The search for a direction: those that programs find are added up until no further margin can be raised."""

    def __init__(self, margins: Margins, first: Array) -> None:
        self._margins, self._first = margins, first
        # How the direction was found, and what was not decided about further rows.
        self.proof, self.left = "a direction found by a linear program", ""
        self._found: _Found | None = None
        self._tried: Array | None = None
        # The first program has the margins that are smallest along the fit, which are the ones that may bind, and some
        # that are spread evenly over all.
        at_once = int(_CELLS / (margins.cells / margins.n_margins))
        self._taken = np.ones(margins.n_margins, dtype=bool)
        if margins.n_margins > at_once:
            self._taken[:] = False
            least = np.argsort(margins.along(first).ravel(), kind="stable")[: at_once // 4]
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
                # The classes are separated; whether a direction raises still more margins was not decided.
                self.left = f"; of further rows nothing is proved: {reason}"
                return

    @property
    def candidates(self) -> list[Array]:
        """The directions to be proved: the one that was found, in three forms (with zeros where classes agree and where
        a parameter is rounding; with zeros where classes agree; as it is), and that of the last program."""
        found = [] if self._found is None else [self._found.params]
        found = [self._between_classes(params) for params in found] + found
        cleaned = [np.where(np.abs(p) <= _NO_PARAMETER * np.abs(p).max(), 0.0, p) for p in found[:1]]
        return cleaned + found + ([] if self._tried is None else [self._tried])

    def _between_classes(self, params: Array) -> Array:
        """The same direction with zeros where classes agree. For more than two classes only differences of parameters
        count, and a direction with fewer parameters takes less exact arithmetic."""
        W = params.reshape(-1, self._margins.outputs)
        if self._margins.outputs == 1:
            return params
        middle = np.sort(W, axis=1)[:, (self._margins.outputs - 1) // 2]
        return np.asarray((W - middle[:, None]).ravel())

    @property
    def which(self) -> Index:
        """The margins that the programs had."""
        return np.flatnonzero(self._taken)

    def _of_the_fit(self) -> _Found | None:
        """The fit itself, where it classifies every row correctly."""
        found = self._measured(self._first)
        return found if found is not None and found.margins.min() > _MARGIN_OF_FIT * np.finfo(float).eps else None

    def _measured(self, params: Array) -> _Found | None:
        size = float(np.abs(params).max(initial=0.0))
        if not (np.isfinite(size) and size > 0.0):
            return None
        params = params / size
        return _Found(params, self._margins.along(params))

    def _next(self, open_: NDArray[np.bool_]) -> Array | None:
        """A direction that raises an open margin and lowers none; None where there is none."""
        for _ in range(_ROUNDS):
            which = np.flatnonzero(self._taken)
            params, gain = _program(self._margins.matrix(which), open_[which])
            if gain <= _GAIN * len(which) + _LEAST_GAIN:
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
                added = added[~self._taken[added]][: max(_ADDED, len(which) // 2)]
                if not len(added):
                    raise _UndecidedError("rounding hides whether rows lie on the plane or beyond it")
            self._taken[added] = True
        raise _UndecidedError(f"{_ROUNDS} linear programs were not enough")

    def _exact(self, params: Array) -> tuple[Array, Array]:
        """A program's direction, in which margins that are zero within rounding are made zero, and its margins. Where
        that would violate other margins, because some margin was small and not zero, the direction stays as it is."""
        exact = _without_small(self._margins, params)
        at = self._margins.along(exact).ravel()
        if at.min() < -_VIOLATED:
            plain = self._margins.along(params).ravel()
            if plain.min() >= -_VIOLATED:
                return params, plain
        return exact, at

    def _unseen(self, which: Index, open_: NDArray[np.bool_]) -> Index:
        """The open margins outside the program that change along directions in which no margin of the program
        changes."""
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
            moved = np.maximum(moved, np.abs(self._margins.along(free)).ravel())
        outside = np.flatnonzero((moved > 1e-8 * np.sqrt(P)) & open_ & ~self._taken)
        return outside[np.argsort(-moved[outside], kind="stable")][: max(_ADDED, len(which) // 2)]

    def _checked(self, params: Array) -> _Found:
        found = self._measured(params)
        if found is None or found.margins.min() < -_VIOLATED:
            raise _UndecidedError("two directions that separate cancel in rounding")
        return found


def _program(A: Matrix, open_: NDArray[np.bool_]) -> tuple[Array, float]:
    """The parameters within [-1, 1] with the largest sum of open margins and no negative margin; and that sum."""
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
            "primal_feasibility_tolerance": _TOLERANCE,
            "dual_feasibility_tolerance": _TOLERANCE,
            "maxiter": _ITERATIONS,
        },
    )
    answer = interruptible(solve)
    if answer.status != 0:
        raise _UndecidedError(f"the linear program ended with status {answer.status} ({answer.message.strip('. ')})")
    return np.asarray(answer.x), -float(answer.fun) * largest


def _without_small(margins: Margins, params: Array) -> Array:
    """The nearest parameters along which the margins that are zero within rounding are zero to the last digits."""
    size = float(np.abs(params).max(initial=0.0))
    if size == 0.0:
        return params
    small = np.flatnonzero(np.abs(margins.along(params / size)).ravel() <= _ZERO)
    seen = margins.span(small) if len(small) else None
    if seen is None:
        return params
    for _ in range(2):
        params = params - seen @ (seen.T @ params)
    return params


def _sparsest(margins: Margins, found: ProvedDirection) -> ProvedDirection:
    """A direction that raises the same margins with few columns: that of the least weighted sum of |coefficients| which
    raises each of them by 1. The weights of columns with small coefficients are raised in each of several programs
    (Candès, Wakin & Boyd 2008)."""
    if margins.cells > min(_SLOW, _CELLS):
        return found
    A = margins.matrix(np.arange(margins.n_margins))
    raised = found.signs > 0
    cost = np.ones(margins.n_columns)
    best, fewest = found, margins.n_columns + 1
    for _ in range(_SPARSER if margins.cells <= _QUICK else 1):
        params = _least_sum(A, raised, np.repeat(cost, margins.outputs), margins)
        proof = None if params is None else prove_direction(margins, params)
        if params is None or proof is None or not np.array_equal(proof.signs, found.signs):
            break
        used = np.abs(params.reshape(margins.n_columns, -1)).max(axis=1)
        some = int(np.count_nonzero(used[: margins.n_features]))
        if some >= fewest:
            break
        best, fewest = proof, some
        cost = 1.0 / (used / used.max() + _COST_OFFSET)
    return best


def _least_sum(A: Matrix, raised: NDArray[np.bool_], cost: Array, margins: Margins) -> Array | None:
    """The parameters with the least sum of cost times size (an intercept costs nothing) that raise some margins by 1
    and lower none, relative to the largest of them; None where the program finds none."""
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
    params[np.abs(params) <= _NO_PARAMETER * size] = 0.0
    params = _without_small(margins, params / size)
    params[np.abs(params) <= _NO_PARAMETER_LEFT] = 0.0
    return params


def _described(margins: Margins, found: ProvedDirection, proof: str, names: tuple[str, ...]) -> Separation:
    raised = found.signs > 0
    apart = int(np.count_nonzero(raised.reshape(margins.n_rows, -1).any(axis=1)))
    coef, b = margins.to_user(found.params)
    W = found.params.reshape(-1, margins.outputs)[: margins.n_features]
    # A common shift of all classes changes no margin.
    spread = np.ptp(W, axis=1) if margins.outputs > 1 else np.abs(W[:, 0])
    columns = tuple(int(j) for j in np.flatnonzero(spread > _NO_PARAMETER * max(1.0, spread.max(initial=0.0))))
    return Separation(
        "complete" if raised.all() else "quasi-complete",
        margins.n_rows,
        apart,
        columns,
        tuple(names[j] for j in columns),
        coef,
        b,
        max(0.0, float(margins.along(found.params).min())) if raised.all() else 0.0,
        proof,
    )
