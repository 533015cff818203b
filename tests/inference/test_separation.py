"""Separation: proved or disproved by the fit or by linear programs, and told in words that name the columns."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, sparse
from sklearn.exceptions import ConvergenceWarning
from support.certified import SHARED, logistic_set, needs_shared
from support.present import present

from newtron import GradientDescent, InputError, PerceptronClassifier, load
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective, no_minimum
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Status
from newtron.inference.separation import exact_margins, separation
from newtron.inference.separation.margins import Margins
from newtron.inference.separation.overlap import classes_overlap
from newtron.inference.separation.separation import find_separation

Array = NDArray[np.floating]
Draw = tuple[Array, NDArray[np.int64], int, bool]

# Of each kind; NEWTRON_DRAWS=1000 takes minutes.
DRAWS = int(os.environ.get("NEWTRON_DRAWS", "25"))


def quietly(model: Any, X: Any, y: Any, **fit: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **fit)


# --- draws whose truth is known by construction ---


def columns(rng: np.random.Generator, n: int, p: int) -> Array:
    """Yes/no, whole, continuous and heavy-tailed columns; some the same, some sums of others, some constant."""
    X = rng.normal(size=(n, p))
    for j in range(p):
        kind = rng.integers(4)
        if kind == 0:
            X[:, j] = rng.integers(0, 2, n)
        elif kind == 1:
            X[:, j] = rng.integers(-2, 4, n)
        elif kind == 2:
            X[:, j] = np.round(np.exp(2.0 * X[:, j]), 3)
    if p > 1 and rng.random() < 0.2:
        X[:, -1] = X[:, 0]
    if p > 2 and rng.random() < 0.2:
        X[:, -1] = X[:, 0] + X[:, 1]
    if rng.random() < 0.1:
        X[:, 0] = 3.0
    return X


def shape(rng: np.random.Generator) -> tuple[int, int, int, bool]:
    k, p = int(rng.choice([2, 2, 3, 4])), int(rng.integers(1, 9))
    return int(rng.integers(p + 4, 40 * (p + 1))), p, k, bool(rng.random() < 0.8)


def separated_draw(rng: np.random.Generator) -> Draw:
    """Classes by planes with small whole numbers, so that rows lie on them; those are of any class that meets there."""
    while True:
        n, p, k, intercept = shape(rng)
        X = columns(rng, n, p)
        W = rng.integers(-2, 3, size=(p, k)).astype(float)
        whole = np.all(np.round(X) == X, axis=0)
        if rng.random() < 0.4 and whole.any():
            W[~whole] = 0.0
        z = X @ W + rng.integers(-2, 3, size=k) * intercept
        best = z >= z.max(axis=1, keepdims=True) - 1e-12
        y = np.array([rng.choice(np.flatnonzero(row)) for row in best])
        if not best.all() and len(np.unique(y)) == k:
            return X, y, k, intercept


def overlapping_draw(rng: np.random.Generator) -> Draw:
    """Some rows stand there once for each class, and span all that X spans: any direction that moves them hurts one."""
    n, p, k, intercept = shape(rng)
    X = columns(rng, n, p)
    full = np.column_stack([X, np.ones(n)]) if intercept else X
    rank = np.linalg.matrix_rank(full)
    which = rng.choice(n, p + 1)
    while np.linalg.matrix_rank(full[which]) < rank:
        which = np.append(which, rng.integers(n))
    noise = rng.choice([0.01, 1.0, 3.0])
    y = (X @ rng.normal(size=(p, k)) + noise * rng.normal(size=(n, k))).argmax(axis=1)
    X = np.vstack([X, np.repeat(X[which], k, axis=0)])
    return X, np.append(y, np.tile(np.arange(k), len(which))), k, intercept


def in_other_units(rng: np.random.Generator, draw: Draw) -> Draw:
    """By powers of two, which round nothing, and in another order."""
    X, y, k, intercept = draw
    order = rng.permutation(len(y))
    return (X * np.ldexp(1.0, rng.integers(-20, 20, X.shape[1])))[order], y[order], k, intercept


def draws(separated: bool) -> list[Draw]:
    rng = np.random.default_rng(10 + separated)
    make = separated_draw if separated else overlapping_draw
    return [in_other_units(rng, make(rng)) for _ in range(DRAWS)]


def check_direction(X: Array, y: Any, k: int, found: Any) -> None:
    """The direction in the units of X: no margin falls, and as many rows as it says rise."""
    z = X @ found.direction.T + found.intercept
    if k == 2:
        z = np.column_stack([-0.5 * z, 0.5 * z])
    margins = z[np.arange(len(y)), y][:, None] - z
    size = np.abs(X) @ np.abs(found.direction.T).max(axis=1) + np.abs(found.intercept).max()
    assert (margins >= -1e-10 * size[:, None]).all()
    rises = (margins > 1e-12 * size[:, None]).any(axis=1)
    assert rises.sum() == found.rows_apart
    used = np.ptp(np.vstack([found.direction, np.zeros(X.shape[1])]), axis=0) > 0.0
    assert set(found.columns) <= set(np.flatnonzero(used))


@pytest.mark.slow
def test_no_separation_is_missed() -> None:
    for X, y, k, intercept in draws(separated=True):
        found = find_separation(X, y, k, intercept=intercept)
        assert found.found, found.sentence
        check_direction(X, y, k, found)
        fitted = quietly(PerceptronClassifier(fit_intercept=intercept), X, y)
        assert fitted.separation_.found
        assert present(fitted.separation_).kind == found.kind
        assert fitted.solution_.status is Status.UNBOUNDED


@pytest.mark.slow
def test_no_overlap_is_called_separated() -> None:
    for X, y, k, intercept in draws(separated=False):
        assert find_separation(X, y, k, intercept=intercept).kind == "none"
        fitted = quietly(PerceptronClassifier(fit_intercept=intercept), X, y)
        assert present(fitted.separation_).kind == "none"
        assert fitted.solution_.status is not Status.UNBOUNDED


def objective(draw: Draw) -> TrainingObjective:
    X, y, k, intercept = draw
    Y = (y == 1).astype(float)[:, None] if k == 2 else np.eye(k)[y]
    network = Network((X.shape[1], Y.shape[1]), "identity", intercept)
    return TrainingObjective(network, loss_for("classification", "log_loss", Y.shape[1]), ArrayRows(X, Y))


@pytest.mark.slow
def test_the_gradient_proves_no_overlap_where_there_is_none() -> None:
    """Anywhere on the way: from the start to far out along the direction that separates."""
    rng = np.random.default_rng(5)
    for draw in draws(separated=True):
        X, y, k, intercept = draw
        found = find_separation(X, y, k, intercept=intercept)
        direction = present(found.direction).T
        far = np.vstack([direction, present(found.intercept)]) if intercept else direction
        at = objective(draw)
        for t in (0.0, 1.0, 30.0, 1000.0):
            params = t * far.ravel() + 0.1 * rng.normal(size=at.n_params) / at.scale
            gradient = at.evaluate(params, 1).gradient
            assert not classes_overlap(at, params, gradient)


def test_the_gradient_proves_overlap_at_nearly_every_optimum() -> None:
    proved = [
        "gradient" in quietly(PerceptronClassifier(fit_intercept=intercept), X, y).separation_.proof
        for X, y, _, intercept in draws(separated=False)
    ]
    assert np.mean(proved) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("separated", [True, False])
def test_rows_taken_in_by_and_by_decide_the_same(separated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for X, y, k, intercept in draws(separated)[:20]:
        whole = find_separation(X, y, k, intercept=intercept)
        with monkeypatch.context() as patch:
            patch.setattr(separation, "_CELLS", 300.0)
            part = find_separation(X, y, k, intercept=intercept)
        assert (part.kind, part.rows_apart) == (whole.kind, whole.rows_apart)


@pytest.mark.parametrize("rare", [[1, 1], [0, 1]])
def test_rows_that_alone_move_are_taken_in(rare: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """No row of the first program has anything in the second column; two others have, of one class or of both."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=1000), np.zeros(1000)])
    y = rng.integers(0, 2, 1000)
    X[[501, 777], 1], y[[501, 777]] = 1.0, rare
    monkeypatch.setattr(separation, "_CELLS", 300.0)
    found = find_separation(X, y, 2)
    assert (found.kind, found.rows_apart) == (("quasi-complete", 2) if rare == [1, 1] else ("none", 0))


def test_margins_that_are_zero_but_for_rounding_are_made_so() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 50), rng.normal(size=50), 1e3 * rng.normal(size=50)])
    y = np.where(X[:, 0] == 1.0, 1, rng.integers(0, 2, 50))
    margins = Margins(X, y, 2)
    blurred = margins.from_user(np.array([[1.0, 0.0, 0.0]]), np.zeros(1)) + 1e-10 * rng.normal(size=4)
    assert np.abs(margins.along(blurred)).min() > 1e-13
    exact = separation._without_small(margins, blurred)
    assert np.abs(margins.along(exact)[X[:, 0] == 0.0]).max() < 1e-15
    np.testing.assert_allclose(exact, blurred, atol=1e-9)


# --- proofs at the edge of the arithmetic ---


@pytest.mark.parametrize("half", [1e-2, 1e-6, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-14])
def test_two_rows_that_overlap_by_very_little_are_never_called_separated(half: float) -> None:
    """All rows but two are apart; the two overlap, however little, so there is a finite optimum."""
    x = np.concatenate([np.linspace(-2.0, -0.1, 5), [half, -half], np.linspace(0.1, 2.0, 5)])
    y = np.array([0] * 5 + [0, 1] + [1] * 5)
    assert Fraction(x[y == 0].max()) > Fraction(x[y == 1].min())
    assert not find_separation(x[:, None], y, 2).found
    fitted = quietly(PerceptronClassifier(), x[:, None], y)
    assert not fitted.separation_.found
    if half >= 1e-12:
        assert present(fitted.separation_).kind == "none"
        assert fitted.solution_.converged
    elif present(fitted.separation_).kind == "undecided":
        assert "not decided" in fitted.solution_.sentence


@pytest.mark.parametrize("half", [1e-2, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12])
def test_classes_with_a_narrow_gap_are_separated(half: float) -> None:
    rng = np.random.default_rng(0)
    x, y = np.abs(rng.normal(size=50)) + half, np.array([0, 1] * 25)
    x[:2] = half
    fitted = quietly(PerceptronClassifier(), (x * (2 * y - 1))[:, None], y)
    assert fitted.separation_.found
    assert fitted.solution_.status is Status.UNBOUNDED


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("part", [1e-3, 1e-6, 1e-8, 1e-10, 1e-12])
def test_the_small_difference_of_two_columns_separates(part: float, offset: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=60) + offset
    X = np.column_stack([x, x + part * rng.normal(size=60), rng.normal(size=60)])
    y = (X[:, 1] - X[:, 0] > 0).astype(int)  # exact: the columns are within a factor of two
    found = find_separation(X, y, 2)
    assert found.found or found.kind == "undecided"
    assert found.found or part < 1e-11
    fitted = quietly(PerceptronClassifier(), X, y)
    assert present(fitted.separation_).kind != "none"
    assert not fitted.solution_.converged
    rows = np.append(np.arange(60), [3, 7, 11, 19, 23])  # five rows of both classes span all that moves
    y = np.append(rng.integers(0, 2, 60), 1 - y[rows[60:]])
    y[rows[60:]] = 1 - y[60:]
    assert not find_separation(X[rows], y, 2).found
    assert not quietly(PerceptronClassifier(), X[rows], y).separation_.found


def test_signs_of_margins_are_exact() -> None:
    rng = np.random.default_rng(4)
    for case in range(40):
        k, n, p = int(rng.choice([2, 3])), 30, int(rng.integers(1, 5))
        X = np.round(rng.normal(size=(n, p)) * 8) / rng.choice([1.0, 10.0, 3.0]) + rng.choice([0.0, 1e9])
        y = rng.integers(0, k, n)
        margins = Margins(X if case % 3 else sparse.csr_matrix(X), y, k)
        params = np.round(rng.normal(size=margins.n_params) * 4) / 4
        # On one row's own plane, but for the rounding of the intercept.
        W = params.reshape(-1, margins.outputs)
        dense = margins.inputs.toarray() if sparse.issparse(margins.inputs) else margins.inputs
        W[-1] = -(dense[0, :p] @ W[:p])
        told = exact_margins.signs(margins, params)
        low = np.zeros((n, p)) if margins.low is None else margins.low
        for at, sign in enumerate(told):
            rows, own, other = (int(a[0]) for a in margins.ends(np.array([at])))
            exact = sum(
                (
                    (Fraction(dense[rows, j]) + (Fraction(low[rows, j]) if j < p else 0))
                    * (
                        Fraction(W[j, 0]) * (1 if own == 1 else -1)
                        if k == 2
                        else Fraction(W[j, own]) - Fraction(W[j, other])
                    )
                    for j in range(p + 1)
                ),
                Fraction(0),
            )
            assert sign == (exact > 0) - (exact < 0)


def test_a_direction_that_is_not_made_of_doubles_is_proved() -> None:
    """Rows of both classes lie on 3 x1 = 7 x2, whose direction has the coefficient 3/7."""
    t = np.array([1.0, 2.0, -1.0, 5.0, 3.0, -2.0])
    X = np.column_stack([7.0 * t, 3.0 * t])
    X = np.vstack([X, X[:2] + np.array([1.0, 0.0]), X[:2] - np.array([1.0, 0.0])])
    y = np.array([0, 1, 0, 1, 0, 1, 1, 1, 0, 0])
    found = find_separation(X, y, 2)
    assert (found.kind, found.rows_apart, found.smallest_margin) == ("quasi-complete", 4, 0.0)
    assert "exact arithmetic" in found.proof
    check_direction(X, y, 2, found)
    # One row beyond the plane, by a rounding error: nothing separates.
    X[0, 0] = np.nextafter(X[0, 0], np.inf)
    X = np.vstack([X, [[7.0, 3.0]]])
    assert not find_separation(X, np.append(y, 1), 2).found


@pytest.mark.slow
@pytest.mark.parametrize("n_classes", [3, 4, 5])
def test_one_of_many_classes_that_has_one_value_only_is_proved(n_classes: int) -> None:
    # Class 0 has no rain; all others have some days without. Thousands of margins are exactly zero along the direction.
    rng = np.random.default_rng(2)
    n = 1200
    y = np.arange(n) % n_classes
    rain = np.round(rng.exponential(5.0, n), 1) * (rng.random(n) < 0.5) * (y > 0)
    X = np.column_stack([rain, np.round(rng.normal(14.0, 5.0, (n, 3)), 1)])
    found = find_separation(X, y, n_classes)
    assert found.kind == "quasi-complete"
    assert found.columns == (0,)
    assert found.rows_apart == int((rain > 0.0).sum())


def test_a_plane_through_a_value_that_both_classes_have() -> None:
    x = np.array([0.1, 0.2, 0.3, 0.3, 0.7, 1.1])
    found = find_separation(x[:, None], np.array([0, 0, 0, 1, 1, 1]), 2)
    assert (found.kind, found.rows_apart) == ("quasi-complete", 4)


# --- what counts ---

LINE = np.array([[-2.0], [-1.0], [1.0], [2.0]])


@pytest.mark.parametrize(
    ("X", "y", "kind", "apart"),
    [
        (LINE, [0, 0, 1, 1], "complete", 4),
        (np.array([[-1.0], [0.0], [0.0], [1.0]]), [0, 0, 1, 1], "quasi-complete", 2),
        (LINE, [0, 1, 0, 1], "none", 0),
        (np.vstack([LINE, [[9.0]]]), [0, 1, 0, 1, 2], "quasi-complete", 5),
        (LINE[:2].repeat(2, axis=0), [0, 1, 0, 1], "none", 0),
    ],
)
def test_small_cases_by_hand(X: Array, y: list[int], kind: str, apart: int) -> None:
    for given in (X, sparse.csr_matrix(X), sparse.csr_array(X), X.astype(np.float32)):
        found = find_separation(given, np.array(y), max(y) + 1)
        assert (found.kind, found.rows_apart, found.rows) == (kind, apart, len(y))


def test_rows_of_weight_zero_do_not_count() -> None:
    X, y = np.vstack([LINE, [[3.0]]]), np.array([0, 0, 1, 1, 0])
    assert find_separation(X, y, 2).kind == "none"
    found = find_separation(X, y, 2, np.array([1.0, 1.0, 1.0, 1.0, 0.0]))
    assert (found.kind, found.rows) == ("complete", 4)
    fitted = quietly(PerceptronClassifier(), X, y, sample_weight=[1, 1, 1, 1, 0])
    assert present(fitted.separation_).kind == "complete"


def test_without_an_intercept_the_plane_goes_through_zero() -> None:
    X, y = LINE + 5.0, np.array([0, 0, 1, 1])
    assert find_separation(X, y, 2).kind == "complete"
    assert find_separation(X, y, 2, intercept=False).kind == "none"


def test_a_class_that_no_row_of_weight_has_is_told_by_the_intercept_alone() -> None:
    found = find_separation(LINE, np.array([0, 1, 0, 1]), 2, np.array([1.0, 0.0, 1.0, 0.0]))
    assert (found.kind, found.names) == ("complete", ())
    assert "the intercept alone" in found.sentence


def test_a_direction_in_which_nothing_moves_is_no_separation() -> None:
    x = np.random.default_rng(0).normal(size=(40, 1))
    y = (x[:, 0] + np.random.default_rng(1).normal(size=40) > 0).astype(int)
    twice = np.hstack([x, x, x + 1.0, np.ones((40, 1))])
    assert find_separation(twice, y, 2).kind == "none"
    fitted = PerceptronClassifier().fit(twice, y)
    assert present(fitted.separation_).kind == "none"
    assert fitted.solution_.converged


def test_the_direction_is_in_the_users_units_and_names_few_columns() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 6)) * [1.0, 1e6, 1e-6, 1.0, 1e3, 1.0] + [0.0, 1e7, 0.0, 50.0, 0.0, 0.0]
    y = (X[:, 1] > 1e7).astype(int)
    found = find_separation(X, y, 2, names=tuple("abcdef"))
    assert found.names == ("b",)
    assert found.columns == (1,)
    check_direction(X, y, 2, found)


# --- what the fit makes of it ---


@needs_shared
def test_endometrial() -> None:
    X, y, names, _ = logistic_set("endometrial")
    pandas = pytest.importorskip("pandas")
    with pytest.warns(ConvergenceWarning, match=r"along the column NV, 13 of 79 rows.*alpha: evidence.*penalty: firth"):
        fitted = PerceptronClassifier().fit(pandas.DataFrame(X, columns=names), y)
    found = present(fitted.separation_)
    assert (found.kind, found.names, found.columns, found.rows_apart) == ("quasi-complete", ("NV",), (0,), 13)
    np.testing.assert_array_equal(present(found.direction), [[1.0, 0.0, 0.0]])
    assert present(found.intercept)[0] == found.smallest_margin == 0.0
    assert not fitted.solution_.converged
    assert PerceptronClassifier(alpha=1.0).fit(X, y).separation_ is None


@needs_shared
def test_the_hostile_file() -> None:
    data = np.genfromtxt(SHARED / "hostile" / "quasi_separable.csv", delimiter=",", names=True)
    X, y = np.column_stack([data["x1"], data["x2"]]), data["y"]
    both, first = quietly(PerceptronClassifier(), X, y), quietly(PerceptronClassifier(), X[:, :1], y)
    # x1 alone tells the class where it is 1; with x2 both columns tell all rows.
    assert (both.separation_.kind, both.separation_.names) == ("complete", ("x1", "x2"))
    assert (first.separation_.kind, first.separation_.names) == ("quasi-complete", ("x1",))
    assert first.separation_.rows_apart == np.count_nonzero(X[:, 0] == 1.0)


QUASI = np.array([[0.0, -1.0], [0.0, 1.0], [0.0, -1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 2.0], [0.0, 0.5], [0.0, 0.7]])
QUASI_Y = np.array([0, 0, 1, 1, 1, 1, 0, 1])


@pytest.mark.parametrize(
    "settings",
    [{"tol": 0.9}, {"max_iter": 2}, {"solver": GradientDescent(learning_rate=0.1), "max_iter": 5}],
    ids=["a loose tolerance", "few iterations", "gradient descent"],
)
def test_no_end_of_separated_classes_is_convergence_or_asks_for_more_iterations(settings: dict[str, Any]) -> None:
    fitted = quietly(PerceptronClassifier(**settings), QUASI, QUASI_Y)
    assert fitted.solution_.status is Status.UNBOUNDED
    assert "max_iter" not in fitted.solution_.sentence
    assert fitted.separation_.names == ("x1",)


def test_a_stop_by_the_user_stays_one() -> None:
    fitted = quietly(PerceptronClassifier(callback=lambda progress: progress.row.iteration == 2), QUASI, QUASI_Y)
    assert fitted.solution_.status is Status.STOPPED
    assert "x1" in fitted.solution_.sentence


def test_overlapping_classes_that_the_solver_gave_up_on_are_trained_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, _, _ = overlapping_draw(np.random.default_rng(3))
    plain = PerceptronClassifier().fit(X, y)
    monkeypatch.setattr(no_minimum, "unbounded_below", lambda objective, value: "Given up." if value < 0.68 else None)
    again = PerceptronClassifier().fit(X, y)
    assert present(again.separation_).kind == "none"
    assert again.solution_.converged
    np.testing.assert_allclose(again.coef_, plain.coef_, rtol=1e-8)
    iterations = [row.iteration for row in again.solution_.trace]
    assert iterations == list(range(again.n_iter_ + 1))


def test_what_is_not_decided_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = SimpleNamespace(status=1, message="Iteration limit reached.")
    monkeypatch.setattr(optimize, "linprog", lambda *args, **settings: given_up)
    found = find_separation(QUASI, QUASI_Y, 2)
    assert found.kind == "undecided"
    assert not found.found
    assert "status 1" in found.sentence
    fitted = quietly(PerceptronClassifier(), QUASI, QUASI_Y)
    assert present(fitted.separation_).kind == "undecided"
    assert fitted.solution_.status is Status.UNBOUNDED  # what the solver saw by itself


# --- kept ---


@pytest.mark.parametrize(
    "y", [QUASI_Y, [0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2, 0, 1]], ids=["two", "none", "three"]
)
def test_it_survives_a_model_file_and_a_pickle(y: Any, tmp_path: Any) -> None:
    fitted = quietly(PerceptronClassifier(), QUASI, np.array(y))
    fitted.save(tmp_path / "m.newtron")
    for back in (load(tmp_path / "m.newtron"), pickle.loads(pickle.dumps(fitted))):
        for field in ("kind", "rows", "rows_apart", "columns", "names", "smallest_margin", "proof", "sentence"):
            assert getattr(back.separation_, field) == getattr(fitted.separation_, field)
        if fitted.separation_.found:
            np.testing.assert_array_equal(back.separation_.direction, fitted.separation_.direction)
            np.testing.assert_array_equal(back.separation_.intercept, fitted.separation_.intercept)
        assert back.penalty == "l2"


def test_hostile_fields_of_a_model_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with pytest.warns(ConvergenceWarning):
        PerceptronClassifier().fit(QUASI, QUASI_Y).save(path)
    assert load(path).separation_.found
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for field, value in (
        ("kind", "perfect"),
        ("kind", "none"),
        ("rows", 0),
        ("rows_apart", 9),
        ("rows_apart", True),
        ("columns", [2]),
        ("columns", [0, 0]),
        ("names", []),
        ("names", [1]),
        ("direction", None),
        ("direction", {"array": "float64", "shape": [1, 1]}),
        ("direction", {"array": "float64", "shape": [2]}),
        ("intercept", {"array": "float64", "shape": [2]}),
        ("smallest_margin", "inf"),
        ("proof", 3),
        ("more", 3),
        ("direction.npy", np.nan),
        ("direction.npy", np.inf),
    ):
        changed, manifest = dict(files), json.loads(files["manifest.json"])
        if field == "direction.npy":
            held = io.BytesIO()
            np.save(held, np.array([value, 0.0]))
            changed["separation/direction.npy"] = held.getvalue()
        else:
            manifest["model"]["separation"][field] = value
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**changed, "manifest.json": json.dumps(manifest).encode()}.items():
                archive.writestr(name, data)
        with pytest.raises(InputError, match="separation"):
            load(path)
