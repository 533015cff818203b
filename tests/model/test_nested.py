"""Terms left out, analyses of variance and deviance, nested models: against statsmodels and what R and books print."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats
from support.certified import logistic_set, needs_shared
from support.present import of_type

import newtron.model.nested as nested
from newtron import InputError, PerceptronClassifier, PerceptronRegressor
from newtron.inference.coefficients.term_table import TermTable
from newtron.inference.coefficients.terms import Term
from newtron.table import encode, learn_schema
from newtron.table.encode import encode_target
from newtron.table.frames import table_of

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parents[2]
PENGUINS = pd.read_csv(ROOT / "examples/penguins.csv").dropna()
COLUMNS = ["species", "bill_length_mm", "bill_depth_mm", "body_mass_g"]


def of_table(frame: pd.DataFrame, target: str, estimator: Any) -> tuple[Any, Array, Array]:
    """An estimator fitted to the encoded columns of a table, which knows their schema; with its X and y."""
    table = table_of(frame)
    schema = learn_schema(table, target)
    X, (y, _) = encode(schema, table).X, encode_target(schema.target, table)
    classes = np.array(schema.target.classes)
    y = classes[y] if len(classes) else y
    model = estimator.fit(X, y)
    data = replace(model.model_.data, names=schema.feature_names, schema=schema)
    model.model_ = replace(model.model_, data=data)
    return model, X, y


def numbers(table: TermTable, names: Sequence[str]) -> list[tuple[float, float, float]]:
    frame = table.to_frame()
    return [tuple(frame.loc[name, ["df", "statistic", "p_value"]]) for name in names]


# --- a squared error ---


def linear() -> tuple[Any, Any]:
    model, _, _ = of_table(PENGUINS[[*COLUMNS, "flipper_length_mm"]], "flipper_length_mm", PerceptronRegressor())
    return model, smf.ols("flipper_length_mm ~ species + bill_length_mm + bill_depth_mm + body_mass_g", PENGUINS).fit()


@pytest.mark.parametrize("kind", ["I", "II"])
def test_an_analysis_of_variance_is_that_of_statsmodels(kind: str) -> None:
    model, theirs = linear()
    expected = sm.stats.anova_lm(theirs, typ={"I": 1, "II": 2}[kind])
    found = model.anova(type=kind).to_frame()
    for name in COLUMNS:
        row, other = found.loc[name], expected.loc[name]
        assert row["df"] == other["df"]
        assert row["sum_of_squares"] == pytest.approx(other["sum_sq"], rel=1e-9)
        assert (row["statistic"], row["p_value"]) == pytest.approx((other["F"], other["PR(>F)"]), rel=1e-8)


def test_terms_left_out_have_the_aic_and_rss_of_the_smaller_fits() -> None:
    model, whole = linear()
    found = model.drop1().to_frame()
    assert found.loc["(whole model)", "rss"] == pytest.approx(whole.ssr, rel=1e-10)
    assert found.loc["(whole model)", "aic"] == pytest.approx(model.summary().aic, rel=1e-12)
    for name in COLUMNS:
        others = " + ".join(column for column in COLUMNS if column != name)
        smaller = smf.ols(f"flipper_length_mm ~ {others}", PENGUINS).fit()
        assert found.loc[name, "rss"] == pytest.approx(smaller.ssr, rel=1e-10)
        assert found.loc[name, "aic"] == pytest.approx(smaller.aic + 2.0, rel=1e-10)  # the variance is counted here
        statistic, p, freedom = whole.compare_f_test(smaller)
        assert tuple(found.loc[name, ["df", "statistic", "p_value"]]) == pytest.approx(
            (freedom, statistic, p), rel=1e-8
        )


def test_a_wald_test_is_the_f_test_of_a_whole_category() -> None:
    model, theirs = linear()
    of_category = model.wald_test("species")
    assert of_category.statistic == pytest.approx(model.drop1()["species"].statistic, rel=1e-9)
    restriction = "species[T.Chinstrap] = species[T.Gentoo] = body_mass_g = 0"
    expected = theirs.f_test(restriction)
    found = model.wald_test(["species", "body_mass_g"])
    assert (found.statistic, found.p_value) == pytest.approx((expected.fvalue, expected.pvalue), rel=1e-8)
    assert (found.degrees_of_freedom, found.residual_degrees_of_freedom) == (3.0, theirs.df_resid)
    assert str(found).startswith("Wald test of species = body_mass_g = 0: F ")
    assert model.wald_test("species=Gentoo").degrees_of_freedom == 1.0
    _, X, y = of_table(PENGUINS[[*COLUMNS, "flipper_length_mm"]], "flipper_length_mm", PerceptronRegressor())
    robust = model.wald_test("species", X, y, covariance="HC3")
    white = smf.ols(theirs.model.formula, PENGUINS).fit(cov_type="HC3", use_t=True)
    expected = white.f_test("species[T.Chinstrap] = species[T.Gentoo] = 0")
    assert robust.statistic == pytest.approx(expected.fvalue, rel=1e-8)


def test_what_r_prints_of_plant_weights_and_warp_breaks() -> None:
    """The outputs of R's example(lm) (Dobson 1990) and of anova(lm(breaks ~ wool * tension)) (Tippett 1950)."""
    control = [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14]
    treated = [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69]
    table = PerceptronRegressor().fit(np.repeat([[0.0], [1.0]], 10, axis=0), control + treated).anova(type="I")
    frame = table.to_frame().loc["x1"]
    assert tuple(frame[["sum_of_squares", "rss"]].round(4)) == (0.6882, 8.7292)
    assert tuple(frame[["statistic", "p_value"]].round(4)) == (1.4191, 0.249)

    breaks = (
        "26 30 54 25 70 52 51 26 67 18 21 29 17 12 18 35 30 36 36 21 24 18 10 43 28 15 26 "
        "27 14 29 19 29 31 41 20 44 42 26 19 16 39 28 21 39 29 20 21 24 17 13 15 15 16 28"
    )
    y = np.array(breaks.split(), dtype=float)
    wool, tension = np.repeat([0.0, 1.0], 27), np.eye(3)[np.tile(np.repeat([0, 1, 2], 9), 2)][:, 1:]
    X = np.column_stack([wool, tension, wool[:, None] * tension])
    model = PerceptronRegressor().fit(X, y)
    table = with_terms(model, WARP, lambda: model.anova(type="I"))
    found = table.to_frame().loc[["wool", "tension", "wool:tension"]]
    assert found["df"].tolist() == [1.0, 2.0, 2.0]
    assert found["sum_of_squares"].round(1).tolist() == [450.7, 2034.3, 1002.8]
    assert found["statistic"].round(4).tolist() == [3.7653, 8.4980, 4.1891]
    np.testing.assert_allclose(found["p_value"], [0.0582130, 0.0006926, 0.0210442], rtol=1e-3)


WARP = (
    Term("wool", (0,), ("B",), "A", ("wool",)),
    Term("tension", (1, 2), ("M", "H"), "L", ("tension",)),
    Term("wool:tension", (3, 4), ("B:M", "B:H"), None, ("wool", "tension")),
)


def with_terms(model: Any, terms: tuple[Term, ...], ask: Any) -> TermTable:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nested, "terms_of", lambda _: terms)
        return of_type(TermTable, ask())


def test_an_interaction_is_judged_before_its_parts() -> None:
    """Type II of an unbalanced table is statsmodels' typ=2; drop1 keeps what the interaction contains, as R's does."""
    some = PENGUINS.iloc[::3]
    sex = (some["sex"] == "male").to_numpy(float)
    species = pd.get_dummies(some["species"])[["Chinstrap", "Gentoo"]].to_numpy(float)
    X = np.column_stack([sex, species, sex[:, None] * species])
    model = PerceptronRegressor().fit(X, some["body_mass_g"])
    names = ("sex", "species", "sex:species")
    terms = tuple(
        replace(term, name=name, factors=tuple(name.split(":"))) for term, name in zip(WARP, names, strict=True)
    )
    expected = sm.stats.anova_lm(smf.ols("body_mass_g ~ sex * species", some).fit(), typ=2)
    found = with_terms(model, terms, lambda: model.anova()).to_frame()
    for name in names:
        assert tuple(found.loc[name, ["df", "sum_of_squares", "statistic"]]) == pytest.approx(
            tuple(expected.loc[name, ["df", "sum_sq", "F"]]), rel=1e-8
        )
    dropped = with_terms(model, terms, lambda: model.drop1())
    assert [row.name for row in dropped.rows] == ["(whole model)", "sex:species"]
    assert dropped.notes == ("sex and species: not left out, because an interaction contains them.",)


def test_a_formula_is_judged_term_by_term() -> None:
    text = "body_mass_g ~ species * sex + bs(bill_length_mm, df=4)"
    model = PerceptronRegressor().fit_formula(text, PENGUINS)
    expected = sm.stats.anova_lm(smf.ols(text, PENGUINS).fit(), typ=2)
    found = model.anova().to_frame()
    for name in ("species", "sex", "species:sex", "bs(bill_length_mm, df=4)"):
        assert tuple(found.loc[name, ["df", "statistic", "p_value"]]) == pytest.approx(
            tuple(expected.loc[name, ["df", "F", "PR(>F)"]]), rel=1e-7
        )
    assert [row.name for row in model.drop1().rows[1:]] == ["bs(bill_length_mm, df=4)", "species:sex"]


def test_a_frame_with_categories_is_tested_as_it_is() -> None:
    """The estimator takes the frame; reference levels are those that were chosen, and tests do not depend on them."""
    X, y = PENGUINS[["species", "island", "flipper_length_mm"]], PENGUINS["sex"]
    plain = PerceptronClassifier().fit(X, y)
    chosen = PerceptronClassifier(columns={"island": ["Torgersen", "Biscoe", "Dream"]}).fit(X, y)
    assert "island (reference Torgersen)\n  Biscoe " in str(chosen.summary())
    assert "island (reference Biscoe)\n  Dream " in str(plain.summary())
    one, other = plain.drop1(X, y), chosen.drop1(X, y)
    assert one["island"].statistic == pytest.approx(other["island"].statistic, rel=1e-8)
    assert str(plain.nested_test(PerceptronClassifier().fit(X[["flipper_length_mm"]], y))).startswith(
        "Likelihood ratio test of species = island = 0: χ² "
    )


def test_columns_that_depend_on_each_other_have_the_degrees_of_freedom_of_their_rank() -> None:
    X = PENGUINS[["bill_length_mm", "bill_depth_mm", "body_mass_g"]].to_numpy()
    X = np.column_stack([X, X[:, 0] + X[:, 1]])
    model = PerceptronRegressor().fit(X, PENGUINS["flipper_length_mm"])
    found = model.drop1()
    assert [row.degrees_of_freedom for row in found.rows[1:]] == [0.0, 0.0, 1.0, 0.0]
    assert np.isnan(found["x1"].p_value)
    without = PerceptronRegressor().fit(X[:, :3], PENGUINS["flipper_length_mm"])
    assert found["x3"].statistic == pytest.approx(without.drop1()["x3"].statistic, rel=1e-8)
    # Two of three such columns leave one combination that the rows determine.
    wald = model.wald_test(["x1", "x4"])
    assert wald.degrees_of_freedom == 1.0
    assert wald.statistic == pytest.approx(
        model.nested_test(PerceptronRegressor().fit(X[:, 1:3], PENGUINS["flipper_length_mm"])).statistic
    )


# --- classes and counts ---


def birthweights() -> pd.DataFrame:
    path = Path(of_type(str, of_type(importlib.machinery.ModuleSpec, importlib.util.find_spec("statsmodels")).origin))
    found = pd.read_csv(path.parent / "genmod/tests/results/stata_lbw_glm.csv")
    visits = np.array(["0", "1", "2+"])[np.minimum(found["ftv"], 2)]
    return pd.DataFrame(
        {
            "low": np.where(found["low"] == 1, "yes", "no"),
            **{name: found[name] for name in ("age", "lwt", "race")},
            **{name: found[name].astype(str) for name in ("smoke", "ht", "ui")},
            "ptd": (found["ptl"] > 0).astype(int).astype(str),
            "ftv": [f"v{visit}" for visit in visits],
        }
    )


def test_categories_of_a_logistic_regression_are_left_out_as_a_whole() -> None:
    frame = birthweights()
    model, X, y = of_table(frame, "low", PerceptronClassifier())
    columns = [name for name in frame.columns if name != "low"]
    target = (frame["low"] == "yes").astype(int)

    def fit(names: list[str]) -> Any:
        return smf.logit("y ~ " + " + ".join(names), frame.assign(y=target)).fit(disp=0, tol=1e-12)

    whole, found = fit(columns), model.drop1(X, y).to_frame()
    for name in columns:
        smaller = fit([other for other in columns if other != name])
        expected = (whole.df_model - smaller.df_model, 2.0 * (whole.llf - smaller.llf), smaller.aic)
        assert tuple(found.loc[name, ["df", "statistic", "aic"]]) == pytest.approx(expected, rel=1e-8)
    assert found.loc["race", "df"] == found.loc["ftv", "df"] == 2.0


@needs_shared
def test_what_ucla_prints_of_admissions() -> None:
    """The page Logit Regression of UCLA's R Data Analysis Examples: the likelihood ratio of the model, its Wald test of
    the whole rank, and the odds ratios with profile intervals."""
    X, y, names, _ = logistic_set("ucla_binary")
    model = PerceptronClassifier().fit(pd.DataFrame(X, columns=names), y)
    summary = model.summary()
    overall = summary.overall[0]
    assert round(overall.statistic, 5) == 41.45903
    assert overall.degrees_of_freedom == 5.0
    assert overall.p_value == pytest.approx(7.578194e-08, rel=1e-6)
    assert round(summary.log_likelihood, 4) == -229.2587
    of_rank = model.wald_test(["rank2", "rank3", "rank4"])
    assert round(of_rank.statistic, 1) == 20.9
    assert (of_rank.degrees_of_freedom, round(of_rank.p_value, 5)) == (3.0, 0.00011)
    ratios = model.summary(pd.DataFrame(X, columns=names), y, intervals="profile", exponentiate=True).to_frame()
    assert "standard_error" not in ratios
    printed = {
        "intercept": (0.0185, 0.00189, 0.1665),
        "gre": (1.0023, 1.00014, 1.0045),
        "gpa": (2.2345, 1.17386, 4.3238),
        "rank2": (0.5089, 0.27229, 0.9448),
        "rank3": (0.2618, 0.13164, 0.5115),
        "rank4": (0.2119, 0.09072, 0.4707),
    }
    for name, values in printed.items():
        np.testing.assert_allclose(ratios.loc[name, ["estimate", "lower", "upper"]].to_numpy(float), values, rtol=3e-3)


def test_what_r_prints_of_dobsons_counts() -> None:
    """anova(glm.D93, test = "Chisq") of R's example(glm) (Dobson 1990, p. 93). The score test of a one-way table of
    counts is Pearson's χ²."""
    counts = np.array([18.0, 17, 15, 20, 10, 20, 25, 13, 12])
    outcome, treatment = np.eye(3)[np.tile([0, 1, 2], 3)][:, 1:], np.eye(3)[np.repeat([0, 1, 2], 3)][:, 1:]
    X = np.hstack([outcome, treatment])
    model = PerceptronRegressor(loss="poisson").fit(X, counts)
    terms = (
        Term("outcome", (0, 1), ("2", "3"), "1", ("outcome",)),
        Term("treatment", (2, 3), ("2", "3"), "1", ("treatment",)),
    )
    found = with_terms(model, terms, lambda: model.anova(X, counts, type="I")).to_frame()
    assert found["deviance"].round(4).tolist() == [10.5814, 5.1291, 5.1291]
    assert round(found["statistic"]["outcome"], 4) == 5.4523
    assert round(found["p_value"]["outcome"], 5) == 0.06547
    assert round(model.summary().aic, 2) == 56.76
    score = model.score_test(X, counts, terms=["x1", "x2"])
    sums = counts.reshape(3, 3).sum(axis=0)
    assert score.statistic == pytest.approx(np.sum((sums - 50.0) ** 2) / 50.0, rel=1e-8)


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_score_tests_are_those_of_statsmodels(family: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(200, 4))
    z = 0.5 * X[:, 0] + 0.2 * X[:, 2]
    y = rng.poisson(np.exp(z)) if family == "poisson" else (z + rng.logistic(size=200) > 0).astype(int)
    theirs = sm.GLM(
        y, sm.add_constant(X[:, :2]), family=sm.families.Poisson() if family == "poisson" else sm.families.Binomial()
    )
    fitted = theirs.fit(tol=1e-13)
    statistic, p, freedom = theirs.score_test(fitted.params, exog_extra=X[:, 2:])
    whole, part = (
        PerceptronRegressor(loss="poisson") if family == "poisson" else PerceptronClassifier() for _ in range(2)
    )
    whole.fit(X, y), part.fit(X[:, :2], y)
    for found in (part.score_test(X[:, :2], y, extra=X[:, 2:]), whole.score_test(X, y, terms=["x3", "x4"])):
        assert (found.statistic, found.p_value, found.degrees_of_freedom) == pytest.approx(
            (float(np.squeeze(statistic)), float(np.squeeze(p)), freedom), rel=1e-7
        )
    ratio = whole.nested_test(part)
    larger = sm.GLM(y, sm.add_constant(X), family=theirs.family).fit(tol=1e-13)
    assert ratio.statistic == pytest.approx(2.0 * (larger.llf - fitted.llf), rel=1e-8)
    assert ratio.p_value == pytest.approx(stats.chi2(2).sf(ratio.statistic))
    assert whole.wald_test(["x3", "x4"]).statistic == pytest.approx(
        float(larger.wald_test(np.eye(5)[3:], scalar=True).statistic), rel=1e-6
    )


def test_the_score_test_of_least_squares_is_n_r_squared() -> None:
    rng = np.random.default_rng(4)
    X, extra = rng.normal(size=(60, 2)) + 10.0, rng.normal(size=(60, 1))
    y = X[:, 0] + 0.3 * extra[:, 0] + rng.normal(size=60)
    model = PerceptronRegressor().fit(X, y)
    residuals = y - model.predict(X)
    auxiliary = sm.OLS(residuals, sm.add_constant(np.hstack([X, extra]))).fit()
    found = model.score_test(X, y, extra=extra)
    assert found.statistic == pytest.approx(60 * auxiliary.rsquared, rel=1e-8)


@pytest.mark.parametrize("settings", [{}, {"fit_intercept": False}, {"standardize": True}])
def test_a_multinomial_term_has_a_parameter_for_each_class(settings: dict[str, Any]) -> None:
    X = PENGUINS[["bill_length_mm", "bill_depth_mm", "body_mass_g"]].to_numpy()
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = PENGUINS["island"].to_numpy()
    model = PerceptronClassifier(**settings).fit(X, y)
    first = 1 if settings.get("fit_intercept") is False else 0
    A = sm.add_constant(X)

    def fit(columns: list[int]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sm.MNLogit(pd.Categorical(y).codes, A[:, columns]).fit(
                disp=0, tol=1e-12, method="newton", maxiter=100
            )

    whole = fit(list(range(first, 4)))
    table = model.drop1(X, y).to_frame()
    smaller = fit([j for j in range(first, 4) if j != 2])
    assert table.loc["x2", "df"] == 2.0
    assert table.loc["x2", "statistic"] == pytest.approx(2.0 * (whole.llf - smaller.llf), rel=1e-7)
    assert table.loc["x2", "aic"] == pytest.approx(smaller.aic, rel=1e-8)
    summary = model.summary()
    if not first:
        assert summary.pseudo_r_squared == pytest.approx(whole.prsquared, rel=1e-8)
        assert (summary.overall[0].statistic, summary.overall[0].p_value) == pytest.approx(
            (whole.llr, whole.llr_pvalue)
        )
    sequential = model.anova(X, y, type="I").to_frame()
    null = -len(y) * np.log(3.0) if first else whole.llnull
    assert sequential["deviance"].iloc[0] == pytest.approx(-2.0 * null, rel=1e-8)
    assert sequential["deviance"].iloc[-1] == pytest.approx(-2.0 * whole.llf, rel=1e-10)


def test_an_exposure_stays_in_all_models() -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(80, 3))
    exposure = rng.uniform(0.5, 9.0, size=80)
    y = rng.poisson(exposure * np.exp(0.3 * X[:, 0]))
    given = np.column_stack([X[:, 0], np.log(exposure), X[:, 1:]])
    model = PerceptronRegressor(loss="poisson", offset=1).fit(given, y)

    def fit(columns: list[int]) -> Any:
        A = sm.add_constant(X)[:, columns]
        return sm.GLM(y, A, family=sm.families.Poisson(), offset=np.log(exposure)).fit(tol=1e-13)

    whole, null = fit([0, 1, 2, 3]), fit([0])
    found = model.drop1(given, y)
    assert found["x1"].statistic == pytest.approx(2 * (whole.llf - fit([0, 2, 3]).llf), rel=1e-7)
    assert found["x4"].statistic == pytest.approx(2 * (whole.llf - fit([0, 1, 2]).llf), rel=1e-7)
    summary = model.summary()
    assert summary.pseudo_r_squared == pytest.approx(1 - whole.llf / null.llf, rel=1e-9)
    assert summary.overall[0].statistic == pytest.approx(2 * (whole.llf - null.llf), rel=1e-8)
    extra = np.square(X[:, 0])
    glm = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson(), offset=np.log(exposure))
    assert model.score_test(given, y, extra=extra).degrees_of_freedom == 1.0
    assert model.score_test(given, y, terms="x3").statistic == pytest.approx(_score(glm, y, exposure, X, 1), rel=1e-7)


def _score(glm: Any, y: Array, exposure: Array, X: Array, column: int) -> float:
    """Rao's statistic of one column, written out."""
    A = glm.exog
    kept = [j for j in range(A.shape[1]) if j != column + 1]
    fitted = sm.GLM(y, A[:, kept], family=sm.families.Poisson(), offset=np.log(exposure)).fit(tol=1e-13)
    mean = fitted.fittedvalues
    score, information = A.T @ (y - mean), A.T @ (mean[:, None] * A)
    return float(score @ np.linalg.solve(information, score))


# --- what is said ---


def test_tables_print_and_convert() -> None:
    model, X, y = of_table(birthweights(), "low", PerceptronClassifier())
    table = model.drop1(X, y)
    lines = str(table).splitlines()
    assert lines[0] == "Each term left out: logistic regression"
    assert all(len(line) <= 80 for line in lines)
    assert "<td" in table._repr_html_()
    assert table.to_latex().startswith("\\begin{tabular}{lrrrrr}")
    with pytest.raises(KeyError):
        table["nothing"]


def test_a_perfect_fit_has_no_tests() -> None:
    X = np.random.default_rng(3).normal(size=(40, 2)) + 5.0
    for y in (X @ [1.0, 2.0] + 3.0, np.ones(40)):
        model = PerceptronRegressor().fit(X, y)
        for table in (model.drop1(), model.anova(type="I")):
            assert np.isnan([table[name].p_value for name in ("x1", "x2")]).all()
            assert "perfect but for rounding" in table.notes[0]
        smaller = PerceptronRegressor().fit(X[:, :1], y)
        assert np.isnan(model.nested_test(smaller).p_value)
        assert np.isnan(model.wald_test("x2").p_value)
    few = PerceptronRegressor().fit(X[:3], [1.0, 2.0, 5.0])
    assert np.isnan(few.drop1()["x1"].p_value)
    assert "all columns together" not in str(few.summary())


def test_what_cannot_be_tested_is_refused_in_one_sentence() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    y, c = X[:, 0] + rng.normal(size=50), (X[:, 0] + rng.normal(size=50) > 0).astype(int)
    linear, logistic = PerceptronRegressor().fit(X, y), PerceptronClassifier().fit(X, c)
    for ask, said in (
        (lambda: PerceptronRegressor(alpha=1.0).fit(X, y).drop1(), "no tests of terms under a penalty"),
        (lambda: PerceptronRegressor(alpha=1.0).fit(X, y).wald_test("x1"), "no tests under a penalty"),
        (lambda: PerceptronClassifier(penalty="firth").fit(X, c).drop1(X, c), "no tests of terms under a penalty"),
        (lambda: logistic.drop1(), "give the X and y that the model was trained on"),
        (lambda: logistic.drop1(X + 1.0, c), "not the rows the model was trained on"),
        (lambda: logistic.drop1(X), "give both"),
        (lambda: linear.wald_test("x7"), "'x7' is no column of the model: these are intercept, x1, x2"),
        (lambda: linear.wald_test([]), "must be the name of a column"),
        (lambda: linear.anova(type="III"), "type='III' is not known: choose one of 'I', 'II'"),
        (lambda: PerceptronRegressor().fit(X, np.column_stack([y, y])).drop1(), "for each target alone"),
        (lambda: PerceptronClassifier(class_weight="balanced").fit(X, c).drop1(X, c), "With class_weight"),
        (lambda: PerceptronRegressor().fit(X, y, np.full(50, 0.5)).drop1(), "fit with weights='precision'"),
        (lambda: linear.nested_test(logistic), "not fitted to the same rows"),
        (lambda: linear.nested_test(PerceptronRegressor().fit(X[:49, :1], y[:49])), "not fitted to the same rows"),
        (lambda: linear.nested_test(PerceptronRegressor().fit(X, y)), "of the larger model with the smaller one"),
        (lambda: linear.nested_test("x1"), "another fitted perceptron"),
        (lambda: linear.score_test(X, y), "give one of the two"),
        (lambda: linear.score_test(X, y, extra=np.zeros(3)), "a value for each of the 50 rows"),
        (lambda: linear.score_test(X, y, extra=["a"] * 50), "must hold numbers"),
        (lambda: linear.score_test(X, y, terms=["x1", "x2"]), "name fewer terms"),
    ):
        with pytest.raises(InputError, match=said) as error:
            ask()
        assert str(error.value).count("\n") == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = PerceptronClassifier().fit(X, X[:, 0] > 0)
    with pytest.raises(InputError, match="Terms are tested at an optimum"):
        apart.drop1(X, X[:, 0] > 0)
