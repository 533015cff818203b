"""Effects of columns: against statsmodels and marginaleffects, and against differences of predictions."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import statsmodels.api as sm
from scipy import stats
from support.present import of_type

from newtron import InputError, NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.inference.effects.effects import Effects
from newtron.inference.posterior import Posterior
from newtron.model.effects.cells import NO_CHANGES, EncodedRows
from newtron.model.effects.effects import Contrast, contrasts_of, effects_of
from newtron.model.effects.errors import errors_of
from newtron.model.effects.response import Response
from newtron.model.effects.scenarios import Averaging
from newtron.model.predicting import predicted
from newtron.table import Schema, Table, encode, encode_target, learn_schema
from newtron.training.fitted import FittedModel

Array = np.ndarray[Any, Any]

ROOT = Path(__file__).resolve().parents[2]
AGREES: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}


def spector() -> tuple[pd.DataFrame, pd.Series]:
    data = sm.datasets.spector.load_pandas()
    return data.exog, data.endog.astype(int)


def anes() -> tuple[pd.DataFrame, pd.Series]:
    data = sm.datasets.anes96.load_pandas()
    return data.exog[["logpopul", "selfLR", "age", "educ"]], data.endog.astype(int)


def visits() -> tuple[pd.DataFrame, pd.Series]:
    data = sm.datasets.randhie.load_pandas()
    return data.exog.iloc[:1500], data.endog.iloc[:1500]


def logit(X: pd.DataFrame, y: pd.Series, **settings: Any) -> Any:
    return sm.Logit(y, sm.add_constant(X)).fit(disp=0, tol=1e-14, maxiter=100, **settings)


# --- against statsmodels ---


@pytest.mark.parametrize("method", ["dydx", "eyex", "dyex", "eydx"])
@pytest.mark.parametrize("at", ["overall", "mean", "median"])
def test_two_classes_agree_with_statsmodels(at: str, method: str) -> None:
    X, y = spector()
    expected = logit(X, y).get_margeff(at=at, method=method)
    found = PerceptronClassifier().fit(X, y).effects(X, at=at, method=method, dummy=False)
    np.testing.assert_allclose(found.estimates, expected.margeff, **AGREES)
    np.testing.assert_allclose(found.standard_errors, expected.margeff_se, **AGREES)
    with np.errstate(invalid="ignore"):  # an elasticity at 0 is 0, without an error
        np.testing.assert_allclose(found.p_values, expected.pvalues, **AGREES)
    np.testing.assert_allclose(found.intervals, expected.conf_int(), **AGREES)


def test_a_column_of_zeros_and_ones_is_changed_from_one_to_the_other() -> None:
    X, y = spector()
    expected = logit(X, y).get_margeff(dummy=True)
    found = PerceptronClassifier().fit(X, y).effects(X)
    assert found.contrasts == ("dy/dx", "dy/dx", "1 - 0")
    np.testing.assert_allclose(found.estimates, expected.margeff, **AGREES)
    np.testing.assert_allclose(found.standard_errors, expected.margeff_se, **AGREES)


@pytest.mark.parametrize(("ours", "theirs"), [("HC0", "HC0"), ("HC1", "HC1"), ("cluster", "cluster")])
def test_robust_errors_agree_with_statsmodels(ours: str, theirs: str) -> None:
    X, y = spector()
    groups = np.arange(len(y)) // 3
    settings: dict[str, Any] = {"cov_type": theirs}
    if theirs == "cluster":
        settings["cov_kwds"] = {"groups": groups}
    expected = logit(X, y, **settings).get_margeff().margeff_se
    # statsmodels leaves out the factor n / (n - p) of HC1 for discrete models.
    factor = np.sqrt(32 / 28) if ours == "HC1" else 1.0
    model = PerceptronClassifier().fit(X, y)
    of_groups = groups if ours == "cluster" else None
    found = model.effects(X, y, covariance=ours, groups=of_groups, dummy=False)
    np.testing.assert_allclose(found.standard_errors, factor * expected, rtol=1e-7)
    summary = model.summary(X, y, covariance=ours, groups=of_groups)
    again = model.effects(X, covariance=summary, dummy=False)
    np.testing.assert_allclose(again.standard_errors, found.standard_errors, **AGREES)


def test_many_classes_agree_with_statsmodels() -> None:
    X, y = anes()
    expected = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, tol=1e-14, maxiter=100).get_margeff()
    found = PerceptronClassifier().fit(X, y).effects(X)
    assert found.outputs[::4] == tuple(map(str, range(7)))
    assert found.columns[:4] == tuple(X.columns)
    np.testing.assert_allclose(found.estimates.reshape(7, 4).T, expected.margeff, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.standard_errors.reshape(7, 4).T, expected.margeff_se, rtol=1e-8)
    assert np.allclose(found.estimates.reshape(7, 4).sum(axis=0), 0.0)


@pytest.mark.parametrize("dummy", [False, True])
def test_counts_agree_with_statsmodels(dummy: bool) -> None:
    X, y = visits()
    fit = sm.Poisson(y, sm.add_constant(X)).fit(disp=0, maxiter=100, method="newton", tol=1e-12)
    expected = fit.get_margeff(dummy=dummy)
    found = PerceptronRegressor(loss="poisson").fit(X, y).effects(X, dummy=dummy)
    np.testing.assert_allclose(found.estimates, expected.margeff, rtol=1e-8)
    np.testing.assert_allclose(found.standard_errors, expected.margeff_se, rtol=1e-8)


def test_effects_of_least_squares_are_its_coefficients() -> None:
    X, y = anes()
    model = PerceptronRegressor().fit(X, y)
    found, summary = model.effects(X), model.summary()
    np.testing.assert_allclose(found.estimates, summary.estimates[1:], **AGREES)
    np.testing.assert_allclose(found.standard_errors, summary.standard_errors[1:], **AGREES)
    np.testing.assert_allclose(found.p_values, summary.p_values[1:], **AGREES)
    np.testing.assert_allclose(found.intervals, summary.intervals[1:], **AGREES)
    assert found.statistic == "t"
    assert found.degrees_of_freedom == len(y) - 5


# --- against marginaleffects, with categories ---


def penguins() -> pd.DataFrame:
    frame = pd.read_csv(ROOT / "examples" / "penguins.csv").dropna().reset_index(drop=True)
    frame["mass_kg"] = frame["body_mass_g"] / 1000.0
    return frame[["species", "island", "bill_depth_mm", "mass_kg", "sex"]]


def of_table(frame: pd.DataFrame, target: str, **settings: Any) -> tuple[FittedModel, Array]:
    """A perceptron of a table with categories, with its schema, and the matrix."""
    table = Table("frame", pa.Table.from_pandas(frame, preserve_index=False), 1)
    schema = learn_schema(table, target)
    X = encode(schema, table).X
    y, _ = encode_target(schema.target, table)
    model = PerceptronClassifier(**settings).fit(X, np.array(schema.target.classes)[y]).model_
    return replace(model, data=replace(model.data, names=schema.feature_names, schema=schema)), X


@pytest.fixture(scope="module")
def sexes() -> tuple[FittedModel, Array, pd.DataFrame]:
    frame = penguins()
    return *of_table(frame, "sex"), frame


def effects_at(model: FittedModel, X: Array, averaging: Averaging | None = None, **settings: Any) -> Effects:
    rows, errors = EncodedRows(model, X), errors_of(model, None, None, None)
    return effects_of(model, rows, errors, averaging or Averaging(), **settings)


def contrasts_at(model: FittedModel, X: Array, column: str, averaging: Averaging | None = None, **more: Any) -> Effects:
    rows, errors = EncodedRows(model, X), errors_of(model, None, None, None)
    return contrasts_of(model, rows, errors, averaging or Averaging(), column, Contrast(**more))


def theirs(name: str) -> pd.DataFrame:
    """What marginaleffects found; tests/data/effects/make.py asked it."""
    return pd.DataFrame(json.loads((ROOT / "tests/data/effects/marginaleffects.json").read_text("utf-8"))[name])


def agrees(found: Effects, expected: pd.DataFrame) -> None:
    # marginaleffects takes derivatives by differences: its errors have about four digits.
    np.testing.assert_allclose(found.estimates, expected["estimate"], rtol=1e-6)
    np.testing.assert_allclose(found.standard_errors, expected["std_error"], rtol=4e-4)


def test_categories_agree_with_marginaleffects(sexes: Any) -> None:
    model, X, _ = sexes
    found = effects_at(model, X)
    keys = [(c, k.replace("dy/dx", "dY/dX")) for c, k in zip(found.columns, found.contrasts, strict=True)]
    assert len(keys) == 6
    agrees(found, theirs("slopes").set_index(["term", "contrast"]).loc[keys])


def test_groups_agree_with_marginaleffects(sexes: Any) -> None:
    model, X, frame = sexes
    found = effects_at(model, X, Averaging(by=("island", np.array(frame["island"]))), columns="mass_kg")
    assert found.conditions["island"] == ("Biscoe", "Dream", "Torgersen")
    agrees(found, theirs("by island").sort_values("island"))


def test_representative_values_agree_with_marginaleffects(sexes: Any) -> None:
    model, X, _ = sexes
    grid = {"species": ["Adelie", "Gentoo"], "bill_depth_mm": [15, 18]}
    found = effects_at(model, X, Averaging(at=grid), columns="mass_kg")
    assert found.conditions["bill_depth_mm"] == (15, 18, 15, 18)
    agrees(found, theirs("at values").sort_values(list(grid)))


@pytest.mark.parametrize(
    ("kind", "comparison"), [("difference", "differenceavg"), ("ratio", "lnratioavg"), ("odds ratio", "lnoravg")]
)
def test_contrasts_agree_with_marginaleffects(sexes: Any, kind: str, comparison: str) -> None:
    model, X, _ = sexes
    expected = theirs(comparison)
    found = contrasts_at(model, X, "species", values=["Adelie", "Gentoo", "Chinstrap"], against="pairwise", kind=kind)
    sign = " - " if kind == "difference" else " / "
    pairs = [re.findall("Adelie|Chinstrap|Gentoo", text) for text in expected["contrast"]]
    assert [contrast.split(sign) for contrast in found.contrasts] == pairs
    logs = found.estimates if kind == "difference" else np.log(found.estimates)
    errors = found.standard_errors / (1.0 if kind == "difference" else found.estimates)
    np.testing.assert_allclose(logs, expected["estimate"], rtol=1e-6)
    np.testing.assert_allclose(errors, expected["std_error"], rtol=4e-4)
    np.testing.assert_allclose(found.statistics, expected["statistic"], rtol=4e-4)


# --- what an effect is, from predictions alone ---


def means(model: FittedModel, X: Array) -> Array:
    return predicted(model, X)[:, -model.n_outputs :]


def network_cases() -> dict[str, tuple[Any, Array, Any]]:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(160, 3)) * [1.0, 5.0, 0.2] + [0.0, 30.0, 1.0]
    z = np.tanh(X[:, 0]) + 0.1 * (X[:, 1] - 30.0) * (X[:, 2] - 1.0)
    labels = np.array(["a", "b", "c"])[np.digitize(z + 0.3 * rng.normal(size=160), [-0.4, 0.4])]
    settings: dict[str, Any] = {"hidden": (3,), "n_starts": 2, "alpha": 0.3}
    long = np.column_stack([np.exp(2.0 * X[:, 0]), X[:, 1]])
    return {
        "tanh": (NetworkRegressor(**settings), X, z + 0.1 * rng.normal(size=160)),
        "two layers, two targets": (
            NetworkRegressor(**settings | {"hidden": (3, 2)}),
            X,
            np.column_stack([z, X[:, 0]]) + 0.1 * rng.normal(size=(160, 2)),
        ),
        "two classes": (NetworkClassifier(**settings), X, labels == "a"),
        "three classes": (NetworkClassifier(**settings, activation="softplus"), X, labels),
        "squared error": (NetworkClassifier(**settings, loss="squared_error"), X, labels),
        "counts": (
            NetworkRegressor(**settings, loss="poisson", offset=2),
            X,
            rng.poisson(np.exp(np.tanh(X[:, 0]) + X[:, 2])),
        ),
        "mix": (NetworkRegressor(hidden="auto", n_starts=1), long, np.log1p(long[:, 0]) + 0.1 * rng.normal(size=160)),
    }


@pytest.fixture(scope="module")
def networks() -> dict[str, tuple[FittedModel, Array]]:
    found = {}
    for name, (estimator, X, y) in network_cases().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = estimator.fit(X, y).model_, X
    two = found["three classes"][0], found["two classes"][0]
    for model, name in zip(two, ("tempered three", "tempered two"), strict=True):
        found[name] = replace(model, temperature=1.7), found["three classes"][1]
    return found


CASES = ("tanh", "two layers, two targets", "two classes", "three classes", "squared error", "counts", "mix")


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, "tempered two", "tempered three"])
def test_slopes_of_networks_are_those_of_their_predictions(networks: Any, case: str) -> None:
    model, X = networks[case]
    found = effects_at(model, X)
    known = [j for j in range(X.shape[1]) if j != model.scaling.offset]
    expected = []
    for j in known:
        step = np.zeros(X.shape[1])
        step[j] = 1e-5 * X[:, j].std()
        change = means(model, X + step) - means(model, X - step)
        expected.append(change.mean(axis=0) / (2.0 * step[j]))
    np.testing.assert_allclose(found.estimates, np.array(expected).T.ravel(), rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "method"),
    [*((case, "dydx") for case in CASES[:-1]), ("tempered three", "dydx"), ("two classes", "eyex"), ("counts", "eydx")],
)
def test_gradients_are_differences_over_the_parameters(networks: Any, case: str, method: str) -> None:
    model, X = networks[case]
    rows, weights, name = EncodedRows(model, X), np.full((1, len(X)), 1.0 / len(X)), "x1"
    found = Response(model).slopes(rows, weights, NO_CHANGES, name, method)
    rng = np.random.default_rng(0)
    for m, gradient in enumerate(found.gradients):
        member, direction = model.sharing[m], rng.normal(size=gradient.shape[1])

        def moved(by: float, m: int = m, member: Any = member, direction: Any = direction) -> Array:
            params = member.params + by * direction
            members = list(model.sharing)
            members[m] = replace(member, solution=replace(member.solution, params=params))
            other = Response(replace(model, members=tuple(members)))
            return np.array(other.slopes(rows, weights, NO_CHANGES, name, method).own[m])

        expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
        np.testing.assert_allclose(gradient @ direction, expected, rtol=2e-6, atol=1e-9)


@pytest.mark.slow
def test_errors_of_networks_are_those_of_their_posterior(networks: Any) -> None:
    """Samples of the parameters from the posterior, in a network that is nearly linear in them."""
    model, X = networks["tanh"]
    found = effects_at(model, X)
    assert (found.covariance, found.interval_kind) == ("posterior", "credible")
    assert np.isnan(found.p_values).all()
    assert (found.standard_errors > 0.0).all()
    rng, drawn = np.random.default_rng(0), []
    rows, weights = EncodedRows(model, X), np.full((1, len(X)), 1.0 / len(X))
    noise = model.noise_model.variance
    for m, member in enumerate(model.sharing):
        U = of_type(Posterior, member.posterior).factor.matrix
        for _ in range(150):
            # A small step of the posterior, so that the effect is linear along it.
            step = 1e-3 * np.sqrt(noise[m, 0]) * np.linalg.solve(U, rng.normal(size=len(U)))
            moved = replace(member, solution=replace(member.solution, params=member.params + step))
            members = tuple(moved if i == m else each for i, each in enumerate(model.sharing))
            own = Response(replace(model, members=members)).slopes(rows, weights, NO_CHANGES, "x1").own[m]
            drawn.append((m, float(own[0])))
    plain = Response(model).slopes(rows, weights, NO_CHANGES, "x1").own[:, 0]
    share = np.array([member.share for member in model.sharing])
    within = [1e6 * np.var([own - plain[m] for k, own in drawn if k == m]) for m in range(len(share))]
    between = share @ np.square(plain - share @ plain)
    np.testing.assert_allclose(found.standard_errors[0], np.sqrt(share @ within + between), rtol=0.15)


def test_a_category_changes_the_cell() -> None:
    """As if the table itself had been changed, its missing cells included."""
    frame = penguins().head(200)
    frame.loc[::7, "mass_kg"] = None
    frame.loc[::11, "island"] = None
    model, X = of_table(frame, "sex")
    schema = of_type(Schema, model.data.schema)

    def mean_with(**cells: Any) -> Array:
        table = Table("frame", pa.Table.from_pandas(frame.assign(**cells), preserve_index=False), 1)
        return np.asarray(means(model, encode(schema, table).X).mean(axis=0))

    found = contrasts_at(model, X, "island", against="pairwise")
    for contrast, estimate in zip(found.contrasts, found.estimates, strict=True):
        high, low = contrast.split(" - ")
        assert estimate == pytest.approx(float((mean_with(island=high) - mean_with(island=low))[0]), abs=1e-14)
    found = contrasts_at(model, X, "mass_kg", values=[3, 4])
    expected = float((mean_with(mass_kg=4.0) - mean_with(mass_kg=3.0))[0])
    assert found.estimates[0] == pytest.approx(expected, abs=1e-14)
    # Where the cell is missing there is no number to move.
    kept = frame["mass_kg"].notna().to_numpy()
    slope = effects_at(model, X, columns="mass_kg")
    assert slope.estimates[0] == pytest.approx(effects_at(model, X[kept], columns="mass_kg").estimates[0])
    rows = effects_at(model, X, Averaging(at="rows"), columns="mass_kg")
    assert np.isnan(rows.estimates).tolist() == (~kept).tolist()


def test_at_the_means_a_category_has_its_most_frequent_level(sexes: Any) -> None:
    model, X, frame = sexes
    found = effects_at(model, X, Averaging(at="mean"), columns="mass_kg")
    typical = {"species": ["Adelie"], "island": ["Biscoe"]} | {
        name: [frame[name].mean()] for name in ("bill_depth_mm", "mass_kg")
    }
    at = effects_at(model, X[:1], Averaging(at=typical), columns="mass_kg")
    np.testing.assert_allclose(found.estimates, at.estimates, rtol=1e-12)
    np.testing.assert_allclose(found.standard_errors, at.standard_errors, rtol=1e-12)


def test_an_average_is_that_of_the_rows() -> None:
    X, y = anes()
    model, weight = PerceptronClassifier().fit(X, y), np.arange(len(y)) % 3 + 0.5
    rows = model.effects(X, at="rows", columns="age")
    table = rows.to_frame().pivot(index="row", columns="output", values="estimate")
    found = model.effects(X, columns="age", sample_weight=weight)
    np.testing.assert_allclose(found.estimates, np.average(table, axis=0, weights=weight), rtol=1e-10)
    by = model.effects(X, columns="age", by=np.where(X["educ"] > 3, "more", "less"))
    expected = table.groupby(np.where(X["educ"] > 3, "more", "less")).mean()
    np.testing.assert_allclose(by.estimates.reshape(7, 2), expected.T, rtol=1e-10)


def test_one_standard_deviation() -> None:
    X, y = spector()
    model = PerceptronClassifier().fit(X, y)
    plain, by_sd = model.effects(X, dummy=False), model.effects(X, dummy=False, per="sd")
    np.testing.assert_allclose(by_sd.estimates, plain.estimates * X.std().to_numpy(), rtol=1e-12)
    np.testing.assert_allclose(by_sd.p_values, plain.p_values, rtol=1e-9)


def test_a_step_of_a_number() -> None:
    X, y = spector()
    model = PerceptronClassifier().fit(X, y)
    found = model.contrasts(X, "GPA", step=0.5)
    assert found.contrasts == ("+0.5",)
    moved = model.predict_proba(X.assign(GPA=X["GPA"] + 0.5))[:, 1].mean()
    assert found.estimates[0] == pytest.approx(moved - model.predict_proba(X)[:, 1].mean(), abs=1e-14)


def test_columns_that_depend_on_each_other() -> None:
    """What can be traded between copies has no effect of its own; all else has the errors that it has without them."""
    X, y = spector()
    twice = X.assign(again=2.0 * X["GPA"] + 1.0)
    plain = PerceptronClassifier().fit(X, y).effects(X)
    found = PerceptronClassifier().fit(twice, y).effects(twice)
    assert np.isnan(found.standard_errors).tolist() == [True, False, False, True]
    np.testing.assert_allclose(found.standard_errors[1:3], plain.standard_errors[1:], rtol=1e-6)
    assert "not estimable" in repr(found)


def test_separated_classes_have_no_errors() -> None:
    X = np.arange(10.0)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PerceptronClassifier().fit(X, X[:, 0] > 4)
    found = model.effects(X)
    assert np.isnan(found.standard_errors).all()
    assert found.trouble
    assert "std. error" not in repr(found)


def test_a_penalty_leaves_no_tests() -> None:
    X, y = spector()
    found = PerceptronClassifier(alpha=1.0).fit(X, y).effects(X)
    assert found.interval_kind == "credible"
    assert np.isnan(found.p_values).all()
    assert " z " not in repr(found)
    assert "credible" in repr(found)


# --- how it is shown ---


def test_the_table(sexes: Any) -> None:
    model, X, _ = sexes
    found = effects_at(model, X)
    text = repr(found).splitlines()
    assert text[0] == "Average marginal effects on the probability of male"
    assert [line.split("  ")[0] for line in text[-6:]] == [
        "species: Chinstrap - Adelie",
        "species: Gentoo - Adelie",
        "island: Dream - Biscoe",
        "island: Torgersen - Biscoe",
        "bill_depth_mm",
        "mass_kg",
    ]
    frame = found.to_frame()
    assert list(frame.columns) == [
        *("column", "contrast", "output", "estimate", "standard_error", "statistic", "p_value", "lower", "upper")
    ]
    np.testing.assert_array_equal(frame["estimate"], found.estimates)
    page = found._repr_html_()
    assert found.to_latex().count(r" \\") == 7
    assert page.count("<tr>") == 7
    assert "<th" in page
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(of_type(np.ndarray, found.covariance_matrix))), found.standard_errors
    )


def test_names_are_escaped() -> None:
    X, y = spector()
    X = X.rename(columns={"GPA": "<b>\x1b[31m"})
    found = PerceptronClassifier().fit(X, y).effects(X)
    assert "<b>" not in found._repr_html_().replace("<b>Average", "")
    assert "\x1b" not in repr(found)


def test_a_long_table_says_what_it_leaves_out() -> None:
    X, y = anes()
    found = PerceptronClassifier().fit(X, y).effects(X, at="rows", columns="age")
    assert len(found) == 7 * 944
    assert repr(found).endswith(f"... and {7 * 944 - 60:,} more: to_frame() has all.")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"columns": "weight"}, "the model has no column 'weight': its columns are GPA, TUCE, PSI"),
        ({"columns": []}, "columns names no column"),
        ({"at": "means"}, "at='means' must be one of 'overall', 'mean', 'median', 'rows'"),
        ({"at": {"GPA": []}}, "at must name one column or more"),
        ({"at": {"GPA": ["high"]}}, "the column 'GPA' holds numbers, and 'high' is none"),
        ({"at": {"weight": 1}}, "the model has no column 'weight'"),
        ({"by": "weight"}, "by='weight' is no column of X"),
        ({"by": [1, 2]}, "by must name a group for each of the 32 rows"),
        ({"by": np.array([np.nan] * 32)}, "none of them missing"),
        ({"by": "PSI", "at": "rows"}, "leave out by"),
        ({"method": "slope"}, "method='slope'"),
        ({"method": "eyex", "columns": "PSI"}, "'PSI' is a category"),
        ({"per": "range"}, "per='range'"),
        ({"coverage": 95}, "coverage=95"),
        ({"covariance": "HC3"}, "covariance='HC3' is made from the rows of the fit"),
        ({"groups": [1] * 32}, "covariance='cluster' is made from the rows of the fit"),
    ],
)
def test_what_is_not_known_is_refused(settings: dict[str, Any], sentence: str) -> None:
    X, y = spector()
    with pytest.raises(InputError) as refused:
        PerceptronClassifier().fit(X, y).effects(X, **settings)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("column", "settings", "sentence"),
    [
        ("GPA", {"against": "pairwise"}, "give the values that are compared"),
        ("GPA", {"values": [3.0]}, "must hold two values or more"),
        ("PSI", {"against": "sometimes"}, "against='sometimes' must be one of"),
        ("PSI", {"kind": "product"}, "kind='product'"),
    ],
)
def test_contrasts_that_are_not_known_are_refused(column: str, settings: dict[str, Any], sentence: str) -> None:
    X, y = spector()
    with pytest.raises(InputError) as refused:
        PerceptronClassifier().fit(X, y).contrasts(X, column, **settings)
    assert sentence in str(refused.value)


def test_ratios_need_positive_means(sexes: Any) -> None:
    X, y = anes()
    model = PerceptronRegressor().fit(X, y - 10)
    with pytest.raises(InputError, match="needs means above 0"):
        model.contrasts(X, "age", values=[20, 40], kind="ratio")
    with pytest.raises(InputError, match="is for probabilities"):
        model.contrasts(X, "age", values=[20, 40], kind="odds ratio")
    fitted, matrix, _ = sexes
    with pytest.raises(InputError, match="the column 'island' has no level 'Mars': its levels are Biscoe"):
        contrasts_at(fitted, matrix, "island", values=["Biscoe", "Mars"])


@pytest.mark.slow
def test_networks_take_no_covariance(networks: Any) -> None:
    model, _ = networks["tanh"]
    with pytest.raises(InputError, match="come from its posterior"):
        errors_of(model, None, "HC3", None)


@pytest.mark.slow
def test_intervals_hold_the_effect() -> None:
    """Of 300 samples about 95 % have an interval around the true average effect."""
    rng, beta, held = np.random.default_rng(8), np.array([0.8, -0.5]), 0
    X = rng.normal(size=(150, 2))
    p = 1.0 / (1.0 + np.exp(-(X @ beta)))
    true = float((p * (1.0 - p)).mean() * beta[0])
    for _ in range(300):
        y = rng.random(150) < p
        low, high = PerceptronClassifier().fit(X, y).effects(X, columns="x1").intervals[0]
        held += low <= true <= high
    low, high = stats.binom.ppf([0.0005, 0.9995], 300, 0.95)
    assert low <= held <= high


# --- tables with columns of every kind ---


def test_dates_and_yes_no() -> None:
    rng = np.random.default_rng(6)
    day = pd.Timestamp("2024-01-31") + pd.to_timedelta(rng.integers(0, 300, 150), unit="D")
    frame = pd.DataFrame({"smokes": rng.choice(["yes", "no"], 150), "day": day})
    days = (frame["day"] - pd.Timestamp("1970-01-01")).dt.days
    y = 0.01 * days + 2.0 * (frame["smokes"] == "yes") + rng.normal(size=150)
    model = PerceptronRegressor().fit(frame, y)
    found = model.effects(frame)
    assert found.contrasts == ("yes - no", "dy/dx")
    summary = model.summary()
    np.testing.assert_allclose(found.estimates, summary.estimates[1:], rtol=1e-8)
    moved = model.contrasts(frame, "day", values=["2024-02-01", "2024-02-11"])
    assert moved.estimates[0] == pytest.approx(10.0 * found.estimates[1], rel=1e-8)
    same = model.effects(frame, columns="day", at={"smokes": [True, "no"]})
    np.testing.assert_allclose(same.estimates, found.estimates[1])
    with pytest.raises(InputError, match="the column 'day' holds dates, and 'soon' is none"):
        model.effects(frame, at={"day": "soon"})


def test_sparse_rows_and_frames_of_other_libraries() -> None:
    X, y = spector()
    dense = PerceptronClassifier().fit(X.to_numpy(), y)
    expected = dense.effects(X.to_numpy())
    sparse = dense.effects(scipy.sparse.csr_array(X.to_numpy()))
    np.testing.assert_allclose(sparse.estimates, expected.estimates, rtol=1e-12)
    np.testing.assert_allclose(sparse.standard_errors, expected.standard_errors, rtol=1e-12)
    frame = pl.DataFrame(X.to_dict("list"))
    named = PerceptronClassifier().fit(frame, y).effects(frame, by="PSI")
    assert named.conditions["PSI"] == (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)


def test_the_exposure_is_no_column_of_interest() -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=200), rng.normal(size=200)])
    y = rng.poisson(np.exp(0.3 * X[:, 0] + X[:, 1]))
    model = PerceptronRegressor(loss="poisson", offset=1).fit(X, y)
    found = model.effects(X)
    assert found.columns == ("x1",)
    assert found.estimates[0] == pytest.approx(float(model.predict(X).mean() * model.coef_[0]), rel=1e-12)
    one = model.effects(X, at={"x2": 0.0})
    moved = X.copy()
    moved[:, 1] = 0.0
    assert one.estimates[0] == pytest.approx(float(model.predict(moved).mean() * model.coef_[0]), rel=1e-12)
