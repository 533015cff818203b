"""What users give is read and never written to, and the same numbers give the same model in whatever form they come."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from newtron import (
    LBFGS,
    GradientDescent,
    InputError,
    LevenbergMarquardt,
    LossSurfaceDisplay,
    NetworkClassifier,
    NetworkRegressor,
    Newton,
    NewtonCG,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
    minimize,
)
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.training.scaling import learn_scaling

matplotlib.use("Agg")

N, P = 60, 4
RNG = np.random.default_rng(5)
# Quarters: exact as float32 and as sums, so that all forms hold the same numbers. A column without any, as one-hot
# encoders make them.
X = np.where(RNG.random((N, P)) < 0.6, RNG.integers(-8, 9, (N, P)) / 4.0, 0.0)
X[:, 2] = 0.0
Y = X @ [1.0, -0.5, 0.0, 2.0] + RNG.normal(size=N)
TWO = np.array(["no", "yes"])[(Y + RNG.normal(size=N) > 0.0).astype(int)]
THREE = np.digitize(Y + RNG.normal(size=N), [-1.0, 1.0])
WEIGHT = RNG.integers(1, 4, N).astype(np.float64)
GROUPS = np.repeat(np.arange(N // 4), 4)

PERCEPTRONS = {
    "regression": (PerceptronRegressor(), Y),
    "several targets": (PerceptronRegressor(alpha=1.0, standardize=True), np.column_stack([Y, -Y + X[:, 0]])),
    "two classes": (PerceptronClassifier(), TWO),
    "two classes, balanced": (PerceptronClassifier(alpha=0.5, standardize=True, class_weight="balanced"), TWO),
    "three classes": (PerceptronClassifier(alpha=0.5), THREE),
    "no intercept": (PerceptronClassifier(alpha=0.5, standardize=True, fit_intercept=False), TWO),
}
_NET: dict[str, Any] = {"hidden": (2,), "n_starts": 1, "alpha": 0.5}
NETWORKS = {
    "network": (NetworkRegressor(**_NET), Y),
    "network of classes": (NetworkClassifier(**_NET), THREE),
    "mix": (NetworkRegressor(n_starts=1), Y),
}
MODELS = PERCEPTRONS | NETWORKS

# --- forms of one matrix ---


def strided(X: Any) -> Any:
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]


def backwards(X: Any) -> Any:
    return np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]


def mapped(X: Any, folder: Path) -> Any:
    path = folder / f"{np.random.default_rng().integers(2**60)}.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


DENSE: dict[str, Callable[..., Any]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "float32": lambda X: X.astype(np.float32),
    "whole numbers": lambda X: (4 * X).astype(np.int64),
    "big-endian": lambda X: X.astype(">f8"),
    "lists": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])]),
    "polars": lambda X: pl.DataFrame(X, schema=[f"c{j}" for j in range(X.shape[1])]),
}


def scattered(X: Any, kind: Any) -> Any:
    """Entries in any order, each of them in two halves that stand in two places of its row (or column)."""
    by_column = kind in (sp.csc_matrix, sp.csc_array)
    of = X.T if by_column else X
    at, entry = np.nonzero(of)
    at, entry = np.repeat(at, 2), np.repeat(entry, 2)
    data = of[at, entry] / 2.0
    mixed = np.random.default_rng(1).permutation(len(at))
    mixed = mixed[np.argsort(at[mixed], kind="stable")]
    at, entry, data = at[mixed], entry[mixed], data[mixed]
    if kind in (sp.coo_matrix, sp.coo_array):
        return kind((data, (at, entry)), shape=X.shape)
    return kind((data, entry, np.searchsorted(at, np.arange(of.shape[0] + 1))), shape=X.shape)


KINDS = (sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array, sp.coo_matrix, sp.coo_array)
SPARSE: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in KINDS}
SPARSE |= {f"scattered {kind.__name__}": lambda X, kind=kind: scattered(X, kind) for kind in KINDS}
SPARSE |= {"float32": lambda X: sp.csr_array(X.astype(np.float32)), "dia": sp.dia_matrix, "lil": sp.lil_array}


def buffers(value: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays that hold the numbers of a value; of frames, those that show them without a copy."""
    if isinstance(value, np.ndarray):
        return [value]
    if sp.issparse(value):
        names = ("data", "indices", "indptr", "row", "col", "offsets", "rows")
        return [part for name in names if isinstance(part := getattr(value, name, None), np.ndarray)]
    if isinstance(value, pd.DataFrame | pd.Series):
        return [np.asarray(value)]
    if isinstance(value, pl.DataFrame):
        return [column.to_numpy() for column in value]
    return [np.asarray(value)]


def contents(value: Any) -> list[tuple[Any, ...]]:
    return [(p.dtype, p.shape, p.tolist() if p.dtype.kind == "O" else p.tobytes()) for p in buffers(value)]


class Kept:
    """Values that are read-only as long as they are watched, and the same in the end, byte by byte."""

    def __init__(self, *values: Any) -> None:
        self.values = values
        self.before = [contents(value) for value in values]
        for value in values:
            for part in buffers(value):
                if part.flags.writeable and part.dtype.kind != "O":  # SciPy itself reads no such rows of lists
                    part.setflags(write=False)

    def check(self, what: str) -> None:
        assert [contents(value) for value in self.values] == self.before, f"{what} changed what it was given"


# --- everything that a model can be asked ---


def asked(model: Any, X: Any, y: Any, weight: Any, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every public method by its name, with an answer of numbers."""
    classes = hasattr(model, "class_weight")
    perceptron = hasattr(model, "summary")
    yield "fit", lambda: model.fit(X, y, sample_weight=weight).solution_.params
    yield "predict", lambda: np.asarray(model.predict(X) == y if classes else model.predict(X))
    yield "score", lambda: model.score(X, y, sample_weight=weight)
    yield "log_density", lambda: model.log_density(X, y)
    yield "certificate_", lambda: model.certificate_.verify(X, y, weight)
    yield "predict_uncertainty", lambda: np.stack(list(vars(model.predict_uncertainty(X)).values()))
    yield "explain", lambda: str(model.explain(rows_of(X, 3), y[:3])) and 1
    yield "play", lambda: model.play(X, y) and 1
    yield "save", lambda: model.save(folder / "model.newtron")
    yield "export", lambda: model.export(folder / "model.py")
    yield "LossSurfaceDisplay", lambda: surface(model, X, y, weight)
    yield "effects", lambda: numbers(model.effects(X, sample_weight=weight))
    yield "contrasts", lambda: numbers(model.contrasts(X, model.effects(X).columns[0], values=[0.0, 1.0]))
    if classes:
        yield "predict_proba", lambda: model.predict_proba(X)
        yield "predict_log_proba", lambda: model.predict_log_proba(X)
    else:
        yield "predict_interval", lambda: model.predict_interval(X)
        yield "predict", lambda: np.stack(model.predict(X, return_std=True))
    if not perceptron:
        return
    if classes:
        yield "decision_function", lambda: model.decision_function(X)
        if len(model.classes_) == 2 and model.alpha == 0.0:
            yield "profile_intervals", lambda: model.profile_intervals(X, y, weight)
            yield "summary", lambda: numbers(model.summary(X, y, sample_weight=weight, intervals="profile"))
    yield "summary", lambda: numbers(model.summary())

    def robust(covariance: str) -> Any:
        return numbers(model.summary(X, y, sample_weight=weight, covariance=covariance))

    for covariance in ("HC0", "HC3"):
        yield "summary", partial(robust, covariance)
    yield "summary", lambda: numbers(model.summary(X, y, sample_weight=weight, groups=GROUPS))
    yield from asked_of_coefficients(model, X, y, weight)
    if classes:
        yield "predict_proba_interval", lambda: model.predict_proba_interval(X)
    else:
        yield "predict_mean_interval", lambda: model.predict_mean_interval(X)


def asked_of_coefficients(model: Any, X: Any, y: Any, weight: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The tests of coefficients; the first column is the strongest."""

    def first() -> str:
        return str(model.summary().terms[int(model.fit_intercept)])

    def tables(*found: Any) -> Any:
        return np.array([table[first()].statistic for table in found])

    yield "wald_test", lambda: model.wald_test(first(), X, y, covariance="HC0", sample_weight=weight).statistic
    yield "drop1", lambda: tables(model.drop1(X, y, sample_weight=weight))
    yield "anova", lambda: tables(model.anova(X, y, sample_weight=weight), model.anova(X, y, type="I"))
    yield "nested_test", lambda: model.nested_test(model)
    yield "score_test", lambda: model.score_test(X, y, terms=first(), sample_weight=weight).statistic


def rows_of(X: Any, n: int) -> Any:
    if isinstance(X, list | pl.DataFrame):
        return X[:n]
    if isinstance(X, pd.DataFrame):
        return X.iloc[:n]
    return X.tocsr()[:n] if sp.issparse(X) else X[:n]


def numbers(summary: Any) -> Any:
    return np.stack([summary.estimates, summary.standard_errors])


def surface(model: Any, X: Any, y: Any, weight: Any) -> Any:
    import matplotlib.pyplot as plt

    shown = LossSurfaceDisplay.from_estimator(model, X, y, sample_weight=weight, grid_resolution=3)
    plt.close("all")
    return shown.values


def answers(
    model: Any, X: Any, y: Any, weight: Any, folder: Path, watched: Kept | None = None, *, refit: bool = True
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, (name, ask) in enumerate(asked(model, X, y, weight, folder)):
            if name == "fit" and not refit:
                continue
            try:
                found[f"{name} {number}"] = ask()
            except InputError as error:  # an answer, too: the same for all forms
                found[f"{name} {number}"] = str(error)
            if watched is not None:
                watched.check(name)
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        if isinstance(value, str | None):
            assert found[name] == value, name
        else:
            np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_no_public_method_is_forgotten() -> None:
    # What takes no rows, or rows of files, or comes from scikit-learn.
    others = {"call_columns", "fit_rows", "fit_formula", "foretell_to"}
    for model, y in MODELS.values():
        public = {name for name in dir(type(model)) if not name.startswith(("_", "get_", "set_")) and name[-1] != "_"}
        tried = {name for name, _ in asked(clone(model).fit(X, y), X, y, None, Path())}
        assert public - others <= tried | {"profile_intervals"}


@cache
def of_rows(name: str, scale: float) -> dict[str, Any]:
    """What a model says of dense rows of float64 that nobody looks after."""
    model, y = MODELS[name]
    with tempfile.TemporaryDirectory() as folder:
        return answers(clone(model), scale * X, y.copy(), WEIGHT.copy(), Path(folder))


@cache
def of_sparse_rows(name: str) -> dict[str, Any]:
    model, y = PERCEPTRONS[name]
    with tempfile.TemporaryDirectory() as folder:
        return answers(clone(model), sp.csr_matrix(X), y.copy(), WEIGHT.copy(), Path(folder))


def case(name: str, form: str) -> Any:
    """One process compares all forms of a model with the same answers."""
    return pytest.param(name, form, marks=pytest.mark.xdist_group(f"forms of {name}"))


# Every form meets two models, and every model two forms.
DENSE_CASES = [
    case(name, form)
    for name in MODELS
    for form in (*DENSE, "mapped")
    if name in ("two classes", "network") or form in ("columns", "mapped")
]
SPARSE_CASES = [
    case(name, form)
    for name in PERCEPTRONS
    for form in SPARSE
    if name in ("regression", "two classes, balanced") or form in ("csr_array", "scattered csr_matrix")
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), DENSE_CASES)
def test_dense_rows_are_never_written_to(name: str, form: str, tmp_path: Path) -> None:
    model, y = MODELS[name]
    given = mapped(X, tmp_path) if form == "mapped" else DENSE[form](X)
    expected = of_rows(name, 4.0 if form == "whole numbers" else 1.0)
    y, weight = y.copy(), WEIGHT.copy()
    watched = Kept(given, y, weight, GROUPS)
    found = answers(clone(model), given, y, weight, tmp_path, watched)
    assert_same(found, expected, 2e-3 if form == "float32" else 1e-9 if name in PERCEPTRONS else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), SPARSE_CASES)
def test_sparse_rows_are_never_written_to_and_are_the_same_rows(name: str, form: str, tmp_path: Path) -> None:
    model, y = PERCEPTRONS[name]
    expected = of_sparse_rows(name)
    assert expected["certificate_ 4"] is True
    given, y, weight = SPARSE[form](X), y.copy(), WEIGHT.copy()
    watched = Kept(given, y, weight, GROUPS)
    assert_same(answers(clone(model), given, y, weight, tmp_path, watched), expected, 2e-3 if form == "float32" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.xdist_group(f"forms of {n}")) for n in PERCEPTRONS])
def test_targets_and_weights_of_any_form(name: str, tmp_path: Path) -> None:
    model, y = PERCEPTRONS[name]
    expected = of_rows(name, 1.0)
    forms: list[Callable[[Any], Any]] = [strided_rows, lambda a: a[::-1].copy()[::-1], np.asfortranarray]
    if y.ndim == 1:
        forms += [pd.Series]
    for form in forms:
        y_given, weight = form(y), form(WEIGHT)
        watched = Kept(X.copy(), y_given, weight)
        assert_same(answers(clone(model), X, y_given, weight, tmp_path, watched), expected, 1e-12)


def strided_rows(a: Any) -> Any:
    return np.repeat(a, 3, axis=0)[::3]


# --- dense or sparse ---


@pytest.mark.slow
@pytest.mark.parametrize("name", PERCEPTRONS)
@pytest.mark.parametrize("offset", [0.0, 500.0], ids=["", "far from zero"])
@pytest.mark.parametrize("dense", [True, False], ids=["fitted dense", "fitted sparse"])
def test_dense_or_sparse_it_is_the_same_model(name: str, offset: float, dense: bool, tmp_path: Path) -> None:
    model, y = PERCEPTRONS[name]
    given = X + offset * (np.arange(P) == 0)
    forms = (given, sp.csr_array(given), scattered(given, sp.coo_matrix))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(model).fit(given if dense else forms[1], y, sample_weight=WEIGHT)
    told = [answers(fitted, form, y, WEIGHT, tmp_path, refit=False) for form in forms]
    assert told[0]["certificate_ 4"] is True
    for found in told[1:]:
        assert_same(found, told[0], 1e-7)


@pytest.mark.parametrize("weight", [None, WEIGHT, WEIGHT / 7.0], ids=["", "counts", "weights"])
def test_the_spread_of_sparse_columns_is_that_of_dense_ones(weight: Any) -> None:
    given = X.copy()
    given[:, 1] += 1e9  # no zero, and digits that squares would lose
    given[:, 3] = np.where(X[:, 3] == 0.0, 0.0, X[:, 3] * 1e180)  # squares that overflow
    given = np.column_stack([given, np.full(N, 7.3), X[:, 0] * 1e-200, np.eye(N)[0]])
    forms = (ArrayRows(form, np.zeros((N, 1)), weight) for form in (given, sp.csr_matrix(given)))
    dense, sparse = (learn_scaling(rows, targets=False).x_scale for rows in forms)
    np.testing.assert_allclose(sparse, dense, rtol=1e-9)


def test_cells_that_stand_twice_and_sum_beyond_all_numbers_are_refused() -> None:
    twice = sp.csr_matrix(([1e308, 1e308, 1.0, 2.0], [0, 0, 1, 0], [0, 2, 3, 4]), shape=(3, 2))
    with pytest.raises(ValueError, match="infinity"):
        PerceptronRegressor().fit(twice, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_what_scipy_knows_of_a_matrix_may_be_old(dtype: Any) -> None:
    """Between two fits a user may write to a matrix, whose flags of order SciPy keeps."""
    given = sp.csr_matrix(X)
    given.indices, given.indptr = given.indices.astype(dtype), given.indptr.astype(dtype)
    PerceptronRegressor(alpha=1.0).fit(given, Y)
    row = slice(given.indptr[0], given.indptr[1])
    given.indices[row], given.data[row] = given.indices[row][::-1].copy(), given.data[row][::-1].copy()
    assert np.array_equal(PerceptronRegressor(alpha=1.0).fit(given, Y).coef_, fresh(X).coef_)


def fresh(X: Any) -> Any:
    return PerceptronRegressor(alpha=1.0).fit(sp.csr_matrix(X), Y)


# --- the engine on its own ---


SOLVERS = [Newton(), NewtonCG(), LBFGS(), LevenbergMarquardt(), GradientDescent(), Stochastic()]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: solver.name)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_minimize_leaves_the_start_and_the_rows_alone(solver: Any, sparse: bool) -> None:
    network = Network((P, 1), "identity", True)
    given, y, weight = scattered(X, sp.csr_array) if sparse else X.copy(), Y[:, None].copy(), WEIGHT.copy()
    start = np.linspace(-1.0, 1.0, network.n_params)
    watched = Kept(given, y, weight, start)
    objective = TrainingObjective(network, loss_for("regression", None, 1), ArrayRows(given, y, weight), 0.5)
    solution = minimize(objective, start, solver, tol=1e-8, max_iter=5)
    watched.check("minimize")
    assert not np.shares_memory(solution.params, start)


def test_a_class_of_no_weight_cannot_be_balanced() -> None:
    weight = np.where(THREE == 1, 0.0, 1.0)
    for model in (PerceptronClassifier(class_weight="balanced"), NetworkClassifier(class_weight="balanced", **_NET)):
        with pytest.raises(InputError, match="no weight for the class 1, because none of its rows counts") as told:
            model.fit(X, THREE, sample_weight=weight)
        assert str(told.value).count(".") == 1
    given = PerceptronClassifier(class_weight={0: 2.0, 2: 1.0, 1: 1.0}, alpha=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        given.fit(X, THREE, sample_weight=weight)
