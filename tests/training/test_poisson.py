"""Poisson regression: coefficients, errors and deviance of statsmodels, and what counts do to every part of a fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from newtron import (
    FileRows,
    GradientDescent,
    InputError,
    NetworkRegressor,
    PerceptronRegressor,
    load,
)
from newtron.engine.maths.losses import PoissonLoss
from newtron.engine.solvers import Status

Array = NDArray[np.floating]

DATA = Path(__file__).parents[1] / "data"
REFERENCE: dict[str, dict[str, Any]] = json.loads((DATA / "statsmodels" / "reference.json").read_text())["poisson"]


def table(name: str) -> tuple[pd.DataFrame, Array]:
    """Inputs, with a column of 0 and 1 for each value but the first of a text, and counts."""
    folder = DATA.parents[1] / "examples" if name == "ships" else DATA / "counts"
    data = pd.read_csv(folder / f"{name}.csv", dtype={"type": str, "built": str, "period": str})
    y = data.pop(data.columns[0]).to_numpy(dtype=np.float64)
    return pd.get_dummies(data, drop_first=True).astype(float), y


def simulated(n: int = 300, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, rng.poisson(np.exp(0.5 + X @ [0.3, -0.5, 0.2])).astype(np.float64)


def poisson(**settings: Any) -> PerceptronRegressor:
    return PerceptronRegressor(loss="poisson", **settings)


def check_summary(found: Any, name: str, kind: str, rtol: float = 1e-9) -> None:
    expected = REFERENCE[name][kind]
    for field in ("estimates", "standard_errors"):
        np.testing.assert_allclose(getattr(found, field), expected[field], rtol=rtol, err_msg=field)
    np.testing.assert_allclose(found.p_values, expected["p_values"], rtol=1e-6, atol=1e-300)
    for field in ("log_likelihood", "aic", "bic", "deviance"):
        assert getattr(found, field) == pytest.approx(expected[field], rel=rtol), field


@pytest.mark.parametrize("kind", ["classical", "HC0"])
@pytest.mark.parametrize("name", ["warpbreaks", "randhie"])
def test_a_summary_is_that_of_statsmodels(name: str, kind: str) -> None:
    X, y = table(name)
    weight = 1.0 + np.arange(len(y)) % 3 if name == "randhie" else None
    model = poisson().fit(X, y, weight)
    if kind == "HC0" and weight is not None:
        # statsmodels takes a weight of 2 for one row of twice the score, newtron for two rows.
        again = X.loc[X.index.repeat(weight.astype(int))], np.repeat(y, weight.astype(int))
        twice = poisson().fit(*again).summary(*again, covariance=kind)
        found = model.summary(X, y, covariance=kind, sample_weight=weight)
        np.testing.assert_allclose(found.standard_errors, twice.standard_errors, rtol=1e-9)
        return
    check_summary(model.summary(X, y, covariance=kind, sample_weight=weight), name, kind)
    assert "Poisson regression, log link" in str(model.summary())
    assert "deviance" in str(model.summary())


def test_exposure_may_be_a_weight() -> None:
    """Counts per unit of exposure, each weighed by its exposure, have the likelihood of counts with an offset."""
    X, y = table("ships")
    exposure = X.pop("service").to_numpy()
    found = poisson().fit(X, y / exposure, exposure).summary()
    expected = REFERENCE["ships"]["classical"]
    np.testing.assert_allclose(found.estimates, expected["estimates"], rtol=1e-9)
    np.testing.assert_allclose(found.standard_errors, expected["standard_errors"], rtol=1e-9)
    assert (found.statistic, found.residual_sd) == ("z", None)
    assert found.deviance == pytest.approx(expected["deviance"], rel=1e-9)


def test_the_loss_is_half_the_deviance_and_keeps_its_digits() -> None:
    """Where the mean is near a large count, the terms of the textbook's formula cancel."""
    loss = PoissonLoss()
    y = np.array([[1e12], [3.0], [0.0]])
    z = np.log(np.array([[1e12 * (1.0 + 1e-8)], [2.0], [0.25]]))
    value = loss.pointwise(y, z, 0).value
    # y (e^r - 1 - r) with r = z - log y, of which r²/2 is what is left; z itself is rounded to 4e-15.
    r = z[0, 0] - np.log(1e12)
    assert value[0] == pytest.approx(1e12 * r * r / 2.0, rel=1e-6)
    np.testing.assert_allclose(value[1:], [3.0 * np.log(1.5) - 1.0, 0.25], rtol=1e-14)
    np.testing.assert_allclose(loss.terms(y[1:], np.exp(z[1:]))[:, 0], value[1:], rtol=1e-14)
    assert loss.pointwise(y, np.log(np.maximum(y, 1e-300)), 0).value == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    "solver", ["newton", "newton-cg", "lbfgs", "levenberg-marquardt", GradientDescent(learning_rate=0.2)]
)
def test_every_solver_finds_the_same_optimum(solver: Any) -> None:
    X, y = simulated()
    reference = poisson().fit(X, y)
    found = poisson(solver=solver, tol=1e-8).fit(X, y)
    assert found.solution_.converged
    np.testing.assert_allclose(found.coef_, reference.coef_, atol=1e-6)


def test_scaled_and_sparse_inputs_and_files_give_the_same_coefficients(tmp_path: Path) -> None:
    X, y = simulated()
    plain = poisson().fit(X, y)
    far = X * [1.0, 1000.0, 1.0] + [0.0, 20_000.0, 0.0]
    scaled = poisson(standardize=True).fit(far, y)
    np.testing.assert_allclose(scaled.coef_ * [1.0, 1000.0, 1.0], plain.coef_, rtol=1e-10)
    assert not scaled.scaling_.changes_targets
    np.testing.assert_allclose(poisson().fit(scipy.sparse.csr_matrix(X), y).coef_, plain.coef_, rtol=1e-12)
    path = tmp_path / "counts.csv"
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(n=y).to_csv(path, index=False)
    streamed = poisson().fit_rows(FileRows(path, target="n", task="regression"))
    np.testing.assert_allclose(streamed.coef_, plain.coef_, rtol=1e-10)
    found, expected = streamed.summary(), plain.summary()
    assert found.deviance == pytest.approx(expected.deviance, rel=1e-12)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)


def test_predictions_are_means() -> None:
    X, y = simulated()
    model = poisson().fit(X, y)
    np.testing.assert_allclose(model.predict(X), np.exp(X @ model.coef_ + model.intercept_), rtol=1e-14)
    # The score of the intercept is zero: the means add up to the counts.
    assert model.predict(X).sum() == pytest.approx(y.sum(), rel=1e-12)
    network = NetworkRegressor(loss="poisson", hidden=(3,), n_starts=1).fit(X, y)
    assert "follows from its mean" in str(network.predictive_)


def test_the_certificate_is_a_proof_that_is_verified() -> None:
    X, y = simulated()
    model = poisson().fit(X, y)
    assert "it has this one minimum" in str(model.certificate_)
    assert "is proved to be at most" in str(model.certificate_)
    assert model.certificate_.verify(X, y)
    assert not model.certificate_.verify(X, np.maximum(y - 1.0, 0.0))
    # The bound holds: no point nearby is lower by more than it says.
    rng = np.random.default_rng(1)
    W = np.append(model.coef_, model.intercept_)
    design = np.column_stack([X, np.ones(len(X))])
    loss = PoissonLoss()

    def value(w: Array) -> float:
        return float(loss.pointwise(y[:, None], (design @ w)[:, None], 0).value.mean())

    bound = model.members_[0].curvature.loss_gap_bound
    assert 0.0 <= bound < 1e-12
    assert min(value(W + 1e-5 * rng.normal(size=4)) for _ in range(50)) >= value(W) - bound - 1e-15


def test_a_saved_model_gives_the_same_answers(tmp_path: Path) -> None:
    X, y = simulated()
    for model in (poisson().fit(X, y), NetworkRegressor(loss="poisson", hidden=(3,), n_starts=1).fit(X, y)):
        model.save(tmp_path / "model.newtron")
        again = load(tmp_path / "model.newtron")
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert str(again.certificate_) == str(model.certificate_)
        if isinstance(model, PerceptronRegressor):
            assert str(again.summary()) == str(model.summary())


def test_an_explanation_derives_the_exponential() -> None:
    X, y = simulated()
    model = poisson().fit(X, y)
    for row in (int(np.argmax(y == 0.0)), int(np.argmax(y > 1.0))):
        derived = model.explain(X[row], y[row])
        text = str(derived)
        assert "(Poisson regression)" in derived.title
        for formula in ("ŷ = e^z", "∂ŷ/∂z = ŷ", "-x_j (y - ŷ)"):
            assert formula in text
        error = model.predict(X[row : row + 1])[0] - y[row]
        np.testing.assert_allclose(derived.gradient, error * np.append(X[row], 1.0), rtol=1e-12)
    assert "exp(Z" in str(model.explain(X[:3], y[:3], notation="lab"))


@pytest.mark.parametrize("rule", ["evidence", "loo"])
def test_penalties_are_chosen_from_counts(rule: str) -> None:
    X, y = simulated(80)
    noise = np.random.default_rng(3).normal(size=(80, 8))
    model = poisson(alpha=rule).fit(np.hstack([X, noise]), y)
    plain = poisson().fit(np.hstack([X, noise]), y)
    assert model.solution_.converged
    assert model.members_[0].noise == 1.0
    new, counts = simulated(3000, seed=5)
    more = np.random.default_rng(6).normal(size=(3000, 8))

    def deviance(fitted: PerceptronRegressor) -> float:
        z = np.log(fitted.predict(np.hstack([new, more])))[:, None]
        return float(PoissonLoss().pointwise(counts[:, None], z, 0).value.mean())

    assert deviance(model) < deviance(plain)
    assert not np.isfinite(model.summary().p_values).any()


def test_the_leave_one_out_loss_is_near_that_of_fits_without_each_row() -> None:
    X, y = simulated(40)
    model = poisson(alpha=3.0).fit(X, y)
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows
    from newtron.inference.penalties.evidence import evidence_at
    from newtron.inference.penalties.leave_one_out import leave_one_out

    objective = TrainingObjective(Network((3, 1)), PoissonLoss(), ArrayRows(X, y[:, None]), 3.0)
    params = model.members_[0].params
    known = evidence_at(objective, params)
    assert known is not None
    found = leave_one_out(objective, params, known.inverse).loss
    expected = []
    for row in range(40):
        rest = np.arange(40) != row
        z = np.log(poisson(alpha=3.0).fit(X[rest], y[rest]).predict(X[row : row + 1]))
        expected.append(PoissonLoss().pointwise(y[row : row + 1, None], z[:, None], 0).value[0])
    np.testing.assert_allclose(found, expected, rtol=0.25, atol=0.02)
    assert found.mean() == pytest.approx(np.mean(expected), rel=0.02)


def test_a_network_beats_the_perceptron_on_a_curved_rate() -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(-3.0, 3.0, 300)[:, None]
    rate = np.exp(1.0 + np.sin(2.0 * x[:, 0]))
    y = rng.poisson(rate).astype(np.float64)
    network = NetworkRegressor(loss="poisson", hidden=(10,)).fit(x, y)
    errors = [float(np.mean(np.square(model.predict(x) - rate))) for model in (network, poisson().fit(x, y))]
    assert errors[0] < 0.1 * errors[1]
    np.testing.assert_array_equal(network.relevance_, [1.0])


def test_counts_that_have_no_finite_optimum_are_not_called_converged() -> None:
    X, y = simulated()
    with pytest.warns(ConvergenceWarning, match="All counts are 0"):
        model = poisson().fit(X, 0.0 * y)
    assert model.solution_.status is Status.UNBOUNDED
    alone = np.zeros((len(y), 1))
    alone[:40], y[:40] = 1.0, 0.0
    with pytest.warns(ConvergenceWarning, match="count 0"):
        model = poisson().fit(np.hstack([X, alone]), y)
    assert model.solution_.status is Status.UNBOUNDED
    assert np.isnan(model.summary().standard_errors).all()
    assert poisson(alpha=0.1).fit(np.hstack([X, alone]), y).solution_.converged


def test_huge_counts_converge() -> None:
    rng = np.random.default_rng(0)
    X, _ = simulated()
    y = rng.poisson(1e12 * np.exp(0.5 + X @ [0.3, -0.5, 0.2])).astype(np.float64)
    model = poisson().fit(X, y)
    assert model.solution_.converged
    np.testing.assert_allclose(model.coef_, [0.3, -0.5, 0.2], atol=1e-6)


def test_what_is_no_count_gets_one_sentence() -> None:
    X, y = simulated()
    wrong = y.copy()
    wrong[[6, 9]] = -2.0
    with pytest.raises(InputError, match=r"^y is -2 in row 7, and loss='poisson' is for counts, 0 or more\.$"):
        poisson().fit(X, wrong)
    model = poisson().fit(X, y)
    with pytest.raises(InputError, match="y is -2 in row 7"):
        model.summary(X, wrong, covariance="HC0")
    with pytest.raises(InputError, match="takes 1 target, and y has 2"):
        poisson().fit(X, np.column_stack([y, y]))
    wrong[6] = np.nan
    with pytest.raises(InputError, match="y is missing in row 7"):
        poisson().fit(X, wrong)


def with_log_service(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(service=np.log(data["service"])).rename(columns={"service": "log_service"})


@pytest.mark.parametrize("kind", ["classical", "HC0"])
@pytest.mark.parametrize("by", ["name", "position"])
def test_an_offset_gives_the_summary_of_statsmodels(kind: str, by: str) -> None:
    X, y = table("ships")
    X = with_log_service(X)
    offset = "log_service" if by == "name" else list(X.columns).index("log_service")
    model = poisson(offset=offset).fit(X, y)
    check_summary(model.summary(X, y, covariance=kind), "ships", kind)
    assert "log_service" not in model.summary().names
    assert model.n_features_in_ == 9
    # The coefficient of the offset is 1, so that X coef_ + intercept_ is the logarithm of the mean.
    assert model.coef_[list(X.columns).index("log_service")] == 1.0
    np.testing.assert_allclose(model.predict(X), np.exp(X.to_numpy() @ model.coef_ + model.intercept_), rtol=1e-12)
    assert model.predict(X).sum() == pytest.approx(y.sum(), rel=1e-12)
    assert model.certificate_.verify(X, y)


def test_an_offset_goes_with_weights_files_and_sparse_rows(tmp_path: Path) -> None:
    X, y = table("ships")
    X = with_log_service(X)
    model = poisson(offset="log_service").fit(X, y)
    twice = np.repeat(np.arange(len(y)), 1 + np.arange(len(y)) % 2)
    weighed = poisson(offset="log_service").fit(X, y, 1.0 + np.arange(len(y)) % 2)
    repeated = poisson(offset="log_service").fit(X.iloc[twice], y[twice])
    for field in ("estimates", "standard_errors", "log_likelihood", "bic", "deviance"):
        np.testing.assert_allclose(
            getattr(weighed.summary(), field), getattr(repeated.summary(), field), rtol=1e-10, err_msg=field
        )
    position = list(X.columns).index("log_service")
    sparse = poisson(offset=position).fit(scipy.sparse.csr_matrix(X.to_numpy()), y)
    np.testing.assert_allclose(sparse.coef_, model.coef_, rtol=1e-9)
    np.testing.assert_allclose(sparse.predict(scipy.sparse.csr_matrix(X.to_numpy())), model.predict(X), rtol=1e-9)
    path = tmp_path / "ships.csv"
    X.assign(incidents=y).to_csv(path, index=False)
    rows = FileRows(path, target="incidents", task="regression")
    streamed = poisson(offset="log_service").fit_rows(rows)
    for kind in ("classical", "HC0"):
        found = streamed.summary(rows, covariance=kind) if kind == "HC0" else streamed.summary()
        expected = model.summary(X, y, covariance=kind)
        np.testing.assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-9)
        assert found.aic == pytest.approx(expected.aic, rel=1e-10)


def test_a_model_with_an_offset_is_stored_and_explained(tmp_path: Path) -> None:
    X, y = simulated()
    exposure = np.random.default_rng(1).uniform(0.5, 20.0, len(y))
    y = np.random.default_rng(2).poisson(exposure * np.exp(0.3 * X[:, 0])).astype(np.float64)
    given = np.column_stack([X[:, :1], np.log(exposure), X[:, 1:]])
    for model in (
        poisson(offset=1, standardize=True).fit(given, y),
        NetworkRegressor(loss="poisson", offset=1, hidden=(3,), n_starts=1).fit(given, y),
    ):
        path = tmp_path / "model.newtron"
        model.save(path)
        again = load(path)
        np.testing.assert_array_equal(again.predict(given), model.predict(given))
        derived = model.explain(given[0], y[0])
        assert "exposure of 1" in str(derived)
        rate = model.predict(given[:1])[0] / exposure[0]
        assert derived.loss == pytest.approx(
            float(PoissonLoss().pointwise(y[:1, None] / exposure[0], np.log([[rate]]), 0).value[0]), rel=1e-9
        )
        moved = given.copy()
        moved[:, 1] += np.log(2.0)
        np.testing.assert_allclose(model.predict(moved), 2.0 * model.predict(given), rtol=1e-12)
        assert model.certificate_.verify(given, y)
        if isinstance(model, NetworkRegressor):
            assert model.relevance_.shape == (4,)
            assert model.relevance_[1] == 0.0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"offset": "x"}, "names a column, and the columns of X have no names"),
        ({"offset": 3}, "is no position in 3 columns"),
        ({"offset": -1}, "must be the name of a column"),
        ({"offset": 0, "loss": None}, 'set loss="poisson"'),
    ],
)
def test_what_is_no_offset_gets_one_sentence(settings: dict[str, Any], sentence: str) -> None:
    X, y = simulated()
    with pytest.raises(InputError, match=sentence):
        PerceptronRegressor(**{"loss": "poisson", **settings}).fit(X, y)


def test_offsets_that_are_not_logarithms_or_are_missing_are_refused() -> None:
    X, y = simulated()
    with pytest.raises(InputError, match="give the logarithm and not the exposure itself"):
        poisson(offset=0).fit(np.column_stack([np.linspace(1.0, 5000.0, len(y)), X]), y)
    with pytest.raises(InputError, match="no column but the offset"):
        poisson(offset=0).fit(X[:, :1], y)
    X[3, 0] = np.nan
    with pytest.raises(InputError, match="has missing cells, and an exposure must be known"):
        poisson(offset=0).fit(X, y)
    frame = pd.DataFrame(np.abs(X), columns=["a", "b", "c"])
    with pytest.raises(InputError, match="offset='d' is no column of X: these are a, b, c"):
        poisson(offset="d").fit(frame.fillna(0.0), y)
