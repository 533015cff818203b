"""What is quick for plain arrays must be what the slow way would have given: the same bits, errors and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import newtron.estimators.base as base
import newtron.estimators.given as given
import newtron.estimators.plain as plain
import newtron.model.predicting as predicting
import newtron.training.targets as targets
from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.engine.base.linalg import as_csr, exact_product, pair_sum, squared
from newtron.engine.objective import TrainingObjective, least_squares
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import LBFGS
from newtron.estimators.plain import is_plain_matrix, is_plain_target

rng = np.random.default_rng(5)
X = rng.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=40)
C = (Y + rng.normal(size=40) > 0).astype(int)
K = np.digitize(Y + rng.normal(size=40), [-1.0, 1.0])

MODELS: list[Any] = [
    PerceptronRegressor(),
    PerceptronClassifier(alpha=1.0),
    NetworkRegressor(hidden=(2,), n_starts=2),
    NetworkClassifier(hidden=(2,), n_starts=2),
]
# The data of one kind below, and training that is cut short.
pytestmark = pytest.mark.filterwarnings(
    "ignore:the matrix subclass:PendingDeprecationWarning", "ignore::sklearn.exceptions.ConvergenceWarning"
)
four = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


class Subclass(np.ndarray):
    """An array of another class, such as a user may hand in."""


def _memmap(folder: Path) -> Any:
    kept = np.memmap(folder / "x.dat", dtype=np.float64, mode="w+", shape=X.shape)
    kept[:] = X
    return kept


def _with(value: float, kind: type = np.float64) -> Any:
    broken: np.ndarray = X.astype(kind)
    broken[7, 1] = value
    return broken


def _read_only() -> Any:
    frozen = X.copy()
    frozen.setflags(write=False)
    return frozen


def _frame(names: list[str]) -> Any:
    return pd.DataFrame(X, columns=names)


MATRICES: dict[str, Callable[[Path], Any]] = {
    "float64": lambda _: X.copy(),
    "float32": lambda _: X.astype(np.float32),
    "one row": lambda _: X[:1].copy(),
    "Fortran order": lambda _: np.asfortranarray(X),
    "strided": lambda _: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda _: X[::-1],
    "transposed": lambda _: np.ascontiguousarray(X.T).T,
    "read-only": lambda _: _read_only(),
    "memmap": _memmap,
    "subclass": lambda _: X.copy().view(Subclass),
    "masked": lambda _: np.ma.masked_array(X),
    "matrix": lambda _: np.asmatrix(X),
    "list": lambda _: X.tolist(),
    "frame": lambda _: _frame(["a", "b", "c"]),
    "frame in another order": lambda _: _frame(["c", "a", "b"]),
    "frame without names": lambda _: pd.DataFrame(X),
    "sparse": lambda _: sp.csr_matrix(X),
    "integers": lambda _: np.round(X).astype(np.int64),
    "bool": lambda _: X > 0,
    "float16": lambda _: X.astype(np.float16),
    "long double": lambda _: X.astype(np.longdouble),
    "big-endian": lambda _: X.astype(">f8"),
    "object": lambda _: X.astype(object),
    "text": lambda _: X.astype(str),
    "complex": lambda _: X.astype(complex),
    "nan": lambda _: _with(np.nan),
    "inf": lambda _: _with(np.inf),
    "both infinities": lambda _: np.where(X > 0, np.inf, -np.inf),
    "inf float32": lambda _: _with(np.inf, np.float32),
    "sum overflows": lambda _: np.where(X > 0, 1.7e308, 1.0),
    "too narrow": lambda _: X[:, :2].copy(),
    "too wide": lambda _: np.hstack([X, X]),
    "1-D": lambda _: X[:, 0].copy(),
    "0-D": lambda _: np.array(3.0),
    "3-D": lambda _: X[:, :, None].copy(),
    "no rows": lambda _: X[:0].copy(),
    "no columns": lambda _: X[:, :0].copy(),
    "none": lambda _: None,
}
TARGETS: dict[str, Any] = {
    "float64": Y,
    "float32": Y.astype(np.float32),
    "integers": C,
    "three classes": K,
    "bool": C == 1,
    "unsigned": C.astype(np.uint8),
    "many classes": np.arange(40),
    "list": C.tolist(),
    "series": pd.Series(C),
    "text": np.array(["no", "yes"])[C],
    "object": C.astype(object),
    "column": C[:, None],
    "two columns": np.column_stack([Y, C]),
    "one class": np.ones(40, dtype=int),
    "classes as float": C.astype(float),
    "complex": Y.astype(complex),
    "nan": np.where(np.arange(40) == 3, np.nan, Y),
    "inf": np.where(np.arange(40) == 3, np.inf, Y),
    "too short": Y[:-1],
    "empty": Y[:0],
    "scalar": np.array(1.0),
    "none": None,
}


def told(work: Callable[[], Any]) -> tuple[Any, ...]:
    """All that a caller sees: the answers to the bit or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: Any = [(a.dtype.str, a.shape, a.tobytes()) for a in work()]
        except Exception as error:  # whatever it is, both ways must raise it
            found = (type(error), str(error))
    return found, [(w.category, str(w.message)) for w in caught]


def slowly(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> tuple[Any, ...]:
    with monkeypatch.context() as patch:
        patch.setattr(base, "is_plain_matrix", lambda X: False)
        patch.setattr(predicting, "_ALONE", 0)
        return told(work)


def answers(fitted: Any, given: Any) -> list[Any]:
    names = ("predict", "predict_proba", "decision_function")
    return [np.asarray(getattr(fitted, name)(given)) for name in names if hasattr(fitted, name)]


@pytest.fixture(scope="module", params=range(len(MODELS)), ids=[type(model).__name__ for model in MODELS])
def fitted_pair(request: pytest.FixtureRequest) -> list[Any]:
    """One model fitted without names and one fitted with."""
    model = MODELS[request.param]
    y = C if "Classifier" in type(model).__name__ else Y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [clone(model).set_params(max_iter=3).fit(data, y) for data in (X, _frame(["a", "b", "c"]))]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MATRICES)
def test_predictions(fitted_pair: list[Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = MATRICES[kind](tmp_path)
    for fitted in fitted_pair:

        def work(fitted: Any = fitted) -> list[Any]:
            return answers(fitted, given)

        assert told(work) == slowly(monkeypatch, work)


def fitted_answers(model: Any, X: Any, y: Any) -> list[Any]:
    fitted = clone(model).set_params(max_iter=3).fit(X, y)
    return [*answers(fitted, X), *(member.params for member in fitted.members_), np.array(fitted.n_features_in_)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("model", MODELS[:2], ids=lambda model: type(model).__name__)
def test_fits_on_any_matrix(model: Any, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = MATRICES[kind](tmp_path)

    def work() -> list[Any]:
        return fitted_answers(model, given, C)

    assert told(work) == slowly(monkeypatch, work)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TARGETS)
@four
def test_fits_on_any_target(model: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> list[Any]:
        return fitted_answers(model, X, TARGETS[kind])

    assert told(work) == slowly(monkeypatch, work)


def test_the_quick_way_is_taken_for_plain_arrays_alone(tmp_path: Path) -> None:
    """Else the tests above would compare the slow way with itself."""
    quick = {kind for kind, make in MATRICES.items() if is_plain_matrix(make(tmp_path))}
    assert quick == {
        *("float64", "float32", "one row", "Fortran order", "strided", "reversed", "transposed", "read-only"),
        *("too narrow", "too wide"),
    }
    assert {kind for kind, y in TARGETS.items() if is_plain_target(y, 40)} == {
        *("float64", "float32", "integers", "three classes", "bool", "unsigned", "many classes", "one class"),
        "classes as float",
    }


def test_a_plain_array_is_not_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = PerceptronRegressor().fit(X, Y)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("validated")

    monkeypatch.setattr(given, "validated", refuse)
    assert np.array_equal(PerceptronRegressor().fit(X, Y).predict(X), fitted.predict(X))
    with pytest.raises(AssertionError, match="validated"):
        fitted.predict(X[:, :2])


def test_names_are_forgotten_by_a_fit_on_an_array() -> None:
    model = PerceptronRegressor().fit(_frame(["a", "b", "c"]), Y)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    assert not hasattr(model.fit(X, Y), "feature_names_in_")
    assert model.predict(X).shape == (40,)
    with pytest.warns(UserWarning, match="was fitted without feature names"):
        model.predict(_frame(["a", "b", "c"]))


@four
def test_what_is_not_fitted_says_so(model: Any) -> None:
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


@pytest.mark.parametrize("model", MODELS[1::2], ids=lambda model: type(model).__name__)
def test_very_many_classes_are_warned_of_as_scikit_learn_does(model: Any) -> None:
    short = clone(model).set_params(max_iter=1, alpha=1.0)
    with pytest.warns(UserWarning, match="number of unique classes is greater than 50%"):
        short.fit(X, np.arange(40) % 21)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        short.fit(X, np.arange(40) % 20)
    assert not [w for w in caught if "unique classes" in str(w.message)]


@pytest.mark.parametrize("config", [{"assume_finite": True}, {"array_api_dispatch": True}], ids=str)
def test_the_configuration_of_scikit_learn_is_heeded(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = PerceptronRegressor().fit(X, Y)
    with sklearn.config_context(**config):
        for given in (X, _with(np.nan), _with(np.inf)):

            def work(given: Any = given) -> list[Any]:
                return [fitted.predict(given)]

            assert told(work) == slowly(monkeypatch, work)


def test_the_sum_of_an_array_says_whether_it_is_finite() -> None:
    assert plain._surely_finite(X)
    assert not any(plain._surely_finite(_with(value)) for value in (np.nan, np.inf, -np.inf))


@pytest.mark.parametrize("number", [0, 7, 2**32 - 1])
def test_a_number_gives_the_seed_of_its_generator(number: int) -> None:
    once = np.random.RandomState(number).randint(2**31 - 1)
    for same in (number, np.int64(number), np.random.RandomState(number)):
        assert base._seed(same) == base._seed(number) == once


def test_a_generator_goes_on_from_fit_to_fit() -> None:
    generator = np.random.RandomState(3)
    model = NetworkRegressor(hidden=(2,), n_starts=1, max_iter=1, random_state=generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        first, second = (model.fit(X, Y).members_[0].params.copy() for _ in range(2))
    assert not np.array_equal(first, second)


def test_predictions_do_not_depend_on_how_many_rows_are_asked_at_once() -> None:
    """More rows than one product that BLAS computes alone, and more than one block."""
    many = np.tile(X, (300, 1))
    for model in (PerceptronRegressor(), NetworkRegressor(hidden=(2,), n_starts=2)):
        fitted = model.fit(X, Y)
        assert len(fitted.predict(many)) == 12_000
        np.testing.assert_allclose(fitted.predict(many), np.tile(fitted.predict(X), 300), rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 3, 82, 442, 5000])
@pytest.mark.parametrize("kind", ["plain", "cancelling", "of all sizes", "zero"])
def test_sums_are_carried_to_all_digits_of_a_pair(rows: int, kind: str) -> None:
    rng = np.random.default_rng(rows)
    high = rng.normal(size=(rows, 2))
    if kind == "cancelling":
        high[rows // 2 : 2 * (rows // 2)] = -high[: rows // 2]
        high = 1e8 * high + 1e-8 * rng.normal(size=high.shape)
    elif kind == "of all sizes":
        high *= 10.0 ** rng.integers(-30, 30, size=high.shape)
    elif kind == "zero":
        high *= 0.0
    low = 1e-17 * high * rng.normal(size=high.shape)
    orders: tuple[Literal["C", "F"], ...] = ("C", "F")
    for order in orders:
        found = pair_sum(np.asarray(high, order=order), np.asarray(low, order=order))
        for c in range(2):
            exact = sum(map(Fraction, high[:, c].tolist()), Fraction(0)) + sum(map(Fraction, low[:, c].tolist()))
            size = sum(abs(Fraction(number)) for number in high[:, c].tolist())
            error = abs(Fraction(float(found[0][c])) + Fraction(float(found[1][c])) - exact)
            assert error <= Fraction(1, 10**31) * size
            assert abs(found[1][c]) <= np.spacing(abs(found[0][c]))


def test_least_squares_do_not_depend_on_the_blocks_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns so nearly dependent that every digit comes from the rounds of refinement."""
    A = rng.normal(size=(300, 4))
    A[:, 3] = A[:, 0] + 1e-7 * A[:, 3]
    weight = rng.uniform(0.5, 2.0, size=300)
    rows = ArrayRows(A, np.column_stack([Y[:30].repeat(10), A @ [1.0, 2.0, 3.0, 4.0]]), weight)
    whole, rank, *_ = least_squares.solve_least_squares(rows, True, np.full(5, 1e-12))
    monkeypatch.setattr(least_squares, "_BLOCK_NUMBERS", 64)
    cut, *_ = least_squares.solve_least_squares(rows, True, np.full(5, 1e-12))
    assert rank == 5
    np.testing.assert_allclose(cut, whole, rtol=4e-16, atol=1e-300)


# --- classes ---


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64, bool, float, object, str])
@pytest.mark.parametrize("spread", [2, 100, 10**6])
def test_classes_are_those_of_a_sort(dtype: Any, spread: int) -> None:
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.iinfo(np.int64)
    spread = min(spread, info.max // 2)
    for low in {0, info.min, info.max - spread} if np.dtype(dtype).kind in "iu" else {0}:
        drawn = rng.integers(0, spread + 1, 50)
        y = np.array([low + int(d) for d in drawn], dtype=dtype)
        classes, codes = targets._classes(y)
        expected, expected_codes = np.unique(y, return_inverse=True)
        assert classes.dtype == expected.dtype
        np.testing.assert_array_equal(classes, expected)
        np.testing.assert_array_equal(codes, expected_codes)


def test_sparse_cells_that_stand_twice_are_one() -> None:
    twice = sp.csr_matrix((np.array([1.0, 2.0, -3.0, 4.0]), np.array([1, 1, 0, 2]), np.array([0, 2, 4])), shape=(2, 3))
    before = twice.data.copy()
    assert not twice.has_canonical_format
    assert np.array_equal(squared(as_csr(twice)).toarray(), np.square(twice.toarray()))
    assert np.array_equal(twice.data, before)
    once = sp.csr_array(np.array([[0.0, -2.0], [3.0, 0.0]]))
    assert np.array_equal(squared(as_csr(once)).toarray(), [[0.0, 4.0], [9.0, 0.0]])


@pytest.mark.parametrize("heavy", [False, True])
def test_curvature_of_a_sample_is_made_where_pairs_are_slow_and_only_there(
    heavy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []
    shares = TrainingObjective.sampled

    def sampled(self: TrainingObjective, share: float) -> TrainingObjective:
        made.append(share)
        return shares(self, share)

    monkeypatch.setattr(TrainingObjective, "sampled", sampled)
    draw = np.random.default_rng(0)
    p = 60
    columns = draw.normal(size=(6000, p))
    if heavy:  # few rows decide, which a sample misses
        columns = draw.standard_t(1.5, size=(6000, p))
    score = columns @ draw.normal(size=p)
    y = (score / np.std(score) * 3.0 + draw.logistic(size=6000) > 0).astype(int)
    model = PerceptronClassifier(alpha=1.0, solver="lbfgs").fit(columns, y)
    assert model.solution_.converged
    if heavy:
        assert len(made) > 2
        assert (
            model.solution_.n_iter
            < PerceptronClassifier(alpha=1.0, solver=LBFGS(sample_below=0)).fit(columns, y).solution_.n_iter
        )
    else:
        assert made == [LBFGS().sample]  # the rows of the warm start


def test_careful_predictions_are_right_to_their_last_digits_where_the_intercept_cancels_them() -> None:
    rng = np.random.default_rng(0)
    X = 1e8 + rng.normal(size=(50, 2))
    W, b = np.array([[1.2345678], [-0.3]]), np.array([-0.9345678e8])
    parts = [[Fraction(x) * Fraction(w) for x, w in zip(row, W[:, 0].tolist(), strict=True)] for row in X.tolist()]
    exact = [[float(sum(part) + Fraction(b[0]))] for part in parts]
    np.testing.assert_array_equal(exact_product(X, W, b), exact)
    np.testing.assert_array_equal(exact_product(sp.csr_array(X), W, b), exact)
    alone = exact_product(np.zeros((3, 0)), np.zeros((0, 2)), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(alone, [[1.0, 2.0]] * 3)
