"""What the four estimators say to settings and data that cannot be used, and that odd data is no reason to fail."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from newtron import (
    LBFGS,
    GradientDescent,
    InputError,
    LevenbergMarquardt,
    NetworkClassifier,
    NetworkRegressor,
    Newton,
    NewtonCG,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
)
from newtron.engine.base.threads import thread_count
from newtron.engine.solvers import Status

SMALL: dict[str, Any] = {"hidden": (4,), "n_starts": 2}
FOUR = [PerceptronRegressor(), PerceptronClassifier(), NetworkRegressor(**SMALL), NetworkClassifier(**SMALL)]
four = pytest.mark.parametrize("model", FOUR, ids=lambda model: type(model).__name__)
networks = pytest.mark.parametrize("model", FOUR[2:], ids=lambda model: type(model).__name__)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X @ [1.0, 2.0, -1.0, 0.5] + 0.3 * RNG.normal(size=60)
C = (Y + RNG.normal(size=60) > 0.0).astype(int)
NAN, INF = float("nan"), float("inf")


def target(model: Any) -> Any:
    return C if hasattr(model, "class_weight") else Y


def answers(model: Any, at: Any = X) -> Any:
    return model.predict_proba(at)[:, -1] if hasattr(model, "predict_proba") else model.predict(at)


def refusal(model: Any, X: Any = X, y: Any = None, **fit: Any) -> str:
    """The sentence with which a fit is refused."""
    with pytest.raises(ValueError) as told:  # noqa: PT011  (the callers read the sentence)
        clone(model).fit(X, target(model) if y is None else y, **fit)
    return str(told.value)


def assert_names(sentence: str, setting: str, value: Any) -> None:
    """One sentence that says which setting, what it was, and what it may be."""
    assert setting in sentence
    assert repr(value) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert any(word in sentence for word in ("must", "choose", "give", "use"))


# --- settings ---

BAD: dict[str, list[Any]] = {
    "alpha": [-1.0, NAN, INF, "1", None, True, [1.0, 2.0]],
    "solver": [None, 3, "sgd", "Newton", Newton],
    "loss": ["mse", 3],
    "tol": [0, -1.0, NAN, "a", None, INF, True],
    "max_iter": [0, -3, "a", 1.5, NAN, True],
    "n_jobs": [0, "2", 1.5],
    "callback": [3, "print"],
    "fit_intercept": ["no", None],
    "standardize": ["no", None],
}
BAD_NETWORK: dict[str, list[Any]] = {
    "hidden": [0, -1, (0,), (2.5,), "large", None, [], [(2,), 3], ((2,), (3,)), True, (True,), (-4,), {3}],
    "activation": ["gelu", None, [], np.tanh],
    "n_starts": [0, -1, 1.5, "1", True],
    "combine": ["median", None, ["best"]],
}


def cases(table: Mapping[str, Sequence[Any]]) -> pytest.MarkDecorator:
    pairs = [(setting, value) for setting, values in table.items() for value in values]
    return pytest.mark.parametrize(("setting", "value"), pairs, ids=lambda item: str(item)[:20])


@four
@cases(BAD)
def test_a_bad_setting_is_named(model: Any, setting: str, value: Any) -> None:
    assert_names(refusal(clone(model).set_params(**{setting: value})), setting, value)


@networks
@cases(BAD_NETWORK)
def test_a_bad_setting_of_a_network_is_named(model: Any, setting: str, value: Any) -> None:
    assert_names(refusal(clone(model).set_params(**{setting: value})), setting, value)


@pytest.mark.parametrize("value", [{0: 0, 1: 0}, {0: -1.0, 1: 1.0}, {0: NAN}, {0: INF}], ids=str)
def test_a_class_weight_that_is_no_weight(value: Any) -> None:
    assert "class_weight" in refusal(PerceptronClassifier(class_weight=value))


@pytest.mark.parametrize(("value", "told"), [("x", "class_weight"), (3, "class_weight"), ({0: 1.0, 7: 1.0}, "class")])
def test_class_weight_is_checked_as_scikit_learn_does(value: Any, told: str) -> None:
    assert told in refusal(PerceptronClassifier(class_weight=value))


@pytest.mark.parametrize(
    ("solver", "setting", "value"),
    [
        (GradientDescent, "learning_rate", 0.0),
        (GradientDescent, "learning_rate", -1.0),
        (GradientDescent, "learning_rate", NAN),
        (GradientDescent, "learning_rate", INF),
        (GradientDescent, "learning_rate", "a"),
        (GradientDescent, "momentum", 1.0),
        (GradientDescent, "momentum", -0.1),
        (Newton, "radius", -1.0),
        (Newton, "radius", 0.0),
        (Newton, "radius", NAN),
        (NewtonCG, "max_inner", 0),
        (NewtonCG, "max_inner", -1),
        (NewtonCG, "max_inner", 1.5),
        (LBFGS, "memory", -1),
        (LBFGS, "memory", 0),
        (LBFGS, "sample", -1.0),
        (LBFGS, "sample", 2.0),
        (LevenbergMarquardt, "damping", -1.0),
        (LevenbergMarquardt, "damping", NAN),
        (LevenbergMarquardt, "exact_after", -1),
        (Stochastic, "method", "sgd"),
        (Stochastic, "learning_rate", 0.0),
        (Stochastic, "learning_rate", INF),
        (Stochastic, "batch_size", 0),
        (Stochastic, "batch_size", 2.5),
        (Stochastic, "validation", 0.0),
        (Stochastic, "validation", 1.0),
        (Stochastic, "validation", NAN),
        (Stochastic, "patience", 0),
        (Stochastic, "max_stalls", 0),
        (Stochastic, "seed", -1),
        (Stochastic, "seed", "a"),
    ],
    ids=lambda item: getattr(item, "__name__", str(item)),
)
def test_a_bad_setting_of_a_solver_is_named(solver: Any, setting: str, value: Any) -> None:
    with pytest.raises(InputError) as told:
        solver(**{setting: value})
    assert_names(str(told.value), setting, value)


def test_momentum_needs_a_rate() -> None:
    with pytest.raises(InputError, match="momentum needs a fixed learning_rate"):
        GradientDescent(momentum=0.5)


@pytest.mark.parametrize("rows", [1, 2, 3, 20])
def test_batches_from_few_rows(rows: int) -> None:
    model = PerceptronRegressor(solver=Stochastic(validation=0.999))
    if rows == 1:
        assert "two rows" in refusal(model, X[:1], Y[:1])
    else:
        assert model.fit(X[:rows], Y[:rows]).solution_.status is Status.EARLY_STOPPED


# --- data ---


@pytest.mark.slow
@four
@pytest.mark.parametrize("bad", [NAN, INF, -INF], ids=str)
def test_what_is_not_a_number_is_refused(model: Any, bad: float) -> None:
    missing = bool(np.isnan(bad))
    model = clone(model).set_params(missing="error")
    broken = X.copy()
    broken[7, 2] = bad
    in_x = "X, row 8, column 'x3': this cell is empty" if missing else "X contains"
    assert in_x in refusal(model, broken)
    with pytest.raises(ValueError, match=in_x):
        clone(model).fit(X, target(model)).predict(broken)
    wrong = target(model).astype(float)
    wrong[5] = bad
    assert ("y is missing in row 6" if missing else "y contains") in refusal(model, X, wrong)
    assert "sample_weight contains" in refusal(model, sample_weight=np.where(np.arange(60) == 3, bad, 1.0))


@four
def test_a_weight_must_weigh(model: Any) -> None:
    assert "sample_weight" in refusal(model, sample_weight=np.full(60, -1.0))
    # In newer versions of scikit-learn the sentence is scikit-learn's own.
    assert "zero" in refusal(model, sample_weight=np.zeros(60))
    assert "sample_weight" in refusal(model, sample_weight=np.ones(59))
    assert "ample weights" in refusal(model, sample_weight=np.ones((60, 1)))


@four
def test_wrong_shapes(model: Any) -> None:
    y = target(model)
    assert "Expected 2D array" in refusal(model, X[:, 0])
    assert "inconsistent numbers of samples" in refusal(model, X, y[:-1])
    assert "minimum of 1 is required" in refusal(model, X[:0], y[:0])
    assert "minimum of 1 is required" in refusal(model, X[:, :0], y)
    assert "dim 3" in refusal(model, X[:, :, None])
    with pytest.raises(ValueError, match="expecting 4 features"):
        clone(model).fit(X, y).predict(X[:, :3])


@networks
def test_networks_refuse_sparse(model: Any) -> None:
    with pytest.raises(TypeError, match="dense data is required"):
        clone(model).fit(sp.csr_matrix(X), target(model))


@pytest.mark.slow
@pytest.mark.parametrize("model", [FOUR[1], FOUR[3]], ids=["perceptron", "network"])
def test_labels_of_any_kind(model: Any) -> None:
    plain = clone(model).fit(X, C)
    for labels in (np.array([False, True]), np.array(["no", "yes"]), np.array([-7, 30]), np.array([0.0, 2.0])):
        fitted = clone(model).fit(X, labels[C])
        assert fitted.classes_.dtype == labels.dtype
        assert fitted.classes_.tolist() == labels.tolist()
        assert np.array_equal(fitted.predict_proba(X), plain.predict_proba(X))
        assert np.array_equal(fitted.predict(X), labels[plain.predict(X)])
    listed = clone(model).fit(X.tolist(), ["no" if c == 0 else "yes" for c in C])
    assert listed.score(X, np.array(["no", "yes"])[C]) == plain.score(X, C)
    assert "one class" in refusal(model, X, np.ones(60, dtype=int))
    assert "Unknown label type" in refusal(model, X, Y)


@pytest.mark.parametrize("setting", ["two", "1.5", "0"])
def test_the_environment_variable_for_threads_is_named(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("NEWTRON_NUM_THREADS", setting)
    assert "NEWTRON_NUM_THREADS" in refusal(PerceptronRegressor())
    assert PerceptronRegressor(n_jobs=1).fit(X, Y).solution_.converged  # n_jobs speaks first


def test_the_environment_variable_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWTRON_NUM_THREADS", "3")
    assert thread_count() == 3
    assert thread_count(2) == 2
    monkeypatch.setenv("NEWTRON_NUM_THREADS", "")
    assert thread_count() == thread_count(-1)


# --- odd data that must work: every warning is an error here ---


@pytest.mark.slow
@four
def test_scales_do_not_matter(model: Any) -> None:
    y = target(model)
    plain = answers(clone(model).fit(X, y))
    for scale in ([1e150] * 4, [1e-150] * 4, [1e-150, 1e150, 1.0, 1e10]):
        np.testing.assert_allclose(answers(clone(model).fit(X * scale, y), X * scale), plain, rtol=1e-4, atol=1e-5)
    if model._task == "regression":
        for size in (1e150, 1e-150):
            np.testing.assert_allclose(answers(clone(model).fit(X, y * size)) / size, plain, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(answers(clone(model).fit(X, y + 1e9)) - 1e9, plain, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs", "levenberg-marquardt", "gradient-descent", "stochastic"])
@four
def test_no_solver_lets_arithmetic_warnings_out(model: Any, solver: str) -> None:
    odd = X * [1e-150, 1e150, 1.0, 1e10]
    poor = clone(model).set_params(solver=solver, standardize=False, max_iter=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for n_jobs in (1, 2):
            assert np.isfinite(poor.set_params(n_jobs=n_jobs).fit(odd, target(model)).solution_.value)


@pytest.mark.slow
@pytest.mark.parametrize("model", [FOUR[0], FOUR[2]], ids=["perceptron", "network"])
@pytest.mark.parametrize("size", [1e-200, 1e160, 1e300])
def test_beyond_the_range_of_squares_nothing_false_is_called_converged(model: Any, size: float) -> None:
    plain = clone(model).fit(X, Y).score(X, Y)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = clone(model).fit(X, Y * size)
    except ValueError:
        return
    found = fitted.predict(X) / size
    right = 1.0 - np.sum((found - Y) ** 2) / np.sum((Y - Y.mean()) ** 2) > plain - 1e-3
    assert right or not fitted.solution_.converged


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "lbfgs", "levenberg-marquardt"])
@pytest.mark.parametrize("offset", [1e3, 1e6, 1e7, 1e8])
def test_columns_far_from_zero(solver: str, offset: float) -> None:
    """Times in seconds, say: their spread is small beside them. Right, or not called converged, nor separated."""
    plain = PerceptronClassifier().fit(X, C)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = PerceptronClassifier(solver=solver).fit(X + offset, C)
    assert fitted.solution_.status is not Status.UNBOUNDED
    if fitted.solution_.converged:
        np.testing.assert_allclose(fitted.coef_, plain.coef_, rtol=1e-13 * offset + 1e-9)
    assert offset > 1e3 or fitted.solution_.converged


@pytest.mark.slow
@four
@pytest.mark.parametrize("value", [0.0, 7.3, 1e6 + 0.1, 1.0])
def test_constant_columns(model: Any, value: float) -> None:
    y = target(model)
    column = np.full((60, 1), value)
    zeros, constant = np.hstack([X, 0.0 * column]), np.hstack([X, column])
    plain = clone(model).fit(zeros, y)
    fitted = clone(model).fit(constant, y)
    np.testing.assert_allclose(answers(fitted, constant), answers(plain, zeros), rtol=1e-4, atol=1e-5)
    assert all(member.solution.converged for member in fitted.members_)


@four
@pytest.mark.parametrize("value", [0.0, 7.3, 1e6 + 0.1])
def test_nothing_but_constant_columns(model: Any, value: float) -> None:
    same = np.full((60, 3), value)
    fitted = clone(model).fit(same, target(model))
    np.testing.assert_allclose(answers(fitted, same), target(model).mean(), atol=1e-6)


@pytest.mark.parametrize("classes", [X[:, 0] > 0, np.digitize(X[:, 0], [-1, 1])], ids=["two", "three"])
def test_separated_classes_name_alpha(classes: Any) -> None:
    with pytest.warns(ConvergenceWarning, match=r"separated.*alpha"):
        fitted = PerceptronClassifier().fit(X, classes)
    assert fitted.solution_.status is Status.UNBOUNDED
    assert PerceptronClassifier(alpha=1e-3).fit(X, classes).solution_.converged


@pytest.mark.slow
@four
def test_few_rows_and_many_columns(model: Any) -> None:
    y = target(model)
    for cols in (X[:, :1], np.hstack([X, X])):
        fitted = clone(model).fit(cols, y)
        assert np.isfinite(answers(fitted, cols)).all()
    wide = np.random.default_rng(1).normal(size=(8, 20))
    rows = np.r_[np.flatnonzero(C)[:4], np.flatnonzero(C == 0)[:4]]
    with warnings.catch_warnings():
        if isinstance(model, PerceptronClassifier):
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer rows than columns are always separated
        fitted = clone(model).set_params(alpha=1e-3 if "hidden" in model.get_params() else 0.0).fit(wide, y[rows])
    assert fitted.score(wide, y[rows]) > 0.99
    twice = clone(model).fit(np.hstack([X, X]), y)
    if "hidden" not in model.get_params():
        np.testing.assert_allclose(answers(twice, np.hstack([X, X])), answers(clone(model).fit(X, y)), rtol=1e-8)
        np.testing.assert_allclose(np.ravel(twice.coef_)[:4], np.ravel(twice.coef_)[4:], rtol=1e-6)


@pytest.mark.parametrize("model", [FOUR[0], FOUR[2]], ids=["perceptron", "network"])
def test_constant_targets_and_one_row(model: Any) -> None:
    for value in (0.0, 3.3, 1e9, -1e-9):
        np.testing.assert_allclose(clone(model).fit(X, np.full(60, value)).predict(X), value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(clone(model).fit(X[:1], Y[:1]).predict(X[:1]), Y[:1], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("data", [np.float16, np.int8, np.uint64, bool, object], ids=lambda t: np.dtype(t).name)
@four
def test_any_kind_of_number(model: Any, data: Any) -> None:
    rounded = np.abs(np.round(X)).astype(data)
    fitted = clone(model).fit(rounded, target(model))
    same = rounded.astype(float)
    assert np.array_equal(answers(fitted, rounded), answers(clone(model).fit(same, target(model)), same))
    assert np.array_equal(answers(fitted, rounded[::-1]), answers(fitted, rounded)[::-1])


@four
def test_fit_leaves_the_data_alone(model: Any) -> None:
    frozen, y, w = X.copy(order="F"), target(model).copy(), np.linspace(0.0, 2.0, 60)
    for array in (frozen, y, w):
        array.setflags(write=False)
    assert np.isfinite(answers(clone(model).fit(frozen, y, sample_weight=w), frozen)).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PerceptronRegressor().fit(X * 1e-170, Y), "Column 0"),
        (lambda: PerceptronRegressor().fit(X * 1e170, Y), "Column 0"),
        (lambda: PerceptronRegressor().fit(X.astype(np.float32), Y * 1e40), "y has numbers too large"),
        (lambda: PerceptronRegressor().fit(X, Y, sample_weight=np.full(len(X), 1e300)), "sample_weight"),
    ],
)
def test_numbers_beyond_the_arithmetic_are_refused(make: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


def test_a_small_spread_on_a_large_offset_survives_float32_inputs() -> None:
    model = NetworkRegressor(hidden=(3,), n_starts=1).fit(X.astype(np.float32), Y + 1e6)
    assert model.score(X, Y + 1e6) > 0.5
