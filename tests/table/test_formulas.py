"""Formulas: the matrix of formulaic, kept as data, by every door; and what is no formula that can be kept."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import formulaic
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from support.present import of_type

import newtron
from newtron import InputError, NetworkRegressor, PerceptronClassifier, PerceptronRegressor, load
from newtron.cli import main
from newtron.engine.base.errors import SchemaWarning
from newtron.table import Schema
from newtron.table.formula.curves import Curve
from newtron.table.formula.data import Formula
from newtron.table.formula.learn import learn_formula
from newtron.table.formula.matrix import encode_formula, formula_cells, formula_matrix
from newtron.table.frames import table_of

ROOT = Path(__file__).resolve().parents[2]


def rows(n: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "a": rng.choice(["u", "v", "w"], n),
            "b": rng.choice(["p", "q"], n),
            "x": np.clip(rng.normal(size=n), -2.0, 2.0),
            "z": rng.uniform(1.0, 90.0, n),
            "year": rng.choice([2007, 2008, 2009], n),
            "flag": rng.random(n) < 0.5,
            "my col": rng.normal(size=n),
        }
    )


def penguins() -> pd.DataFrame:
    return pd.read_csv(ROOT / "examples" / "penguins.csv")


FORMULAS = [
    "y ~ a * b * x",
    "y ~ x + I(x**2) + log(z) + np.exp(-x / 2)",
    "y ~ a:b",
    "y ~ 0 + a + x:a",
    "y ~ x / a",
    "y ~ (a + b + x)**2 - a:b",
    "y ~ `my col` + sqrt(z):Q('my col')",
    "y ~ C(year) * x + flag",
    "y ~ C(a, Treatment('w')) + C(b, Sum) + C(year, contr.helmert)",
    "y ~ C(a, levels=['w', 'v', 'u']):x",
    "y ~ bs(x, 4) * a",
    "y ~ bs(x, knots=[-1, 0, 1], degree=2, include_intercept=True) + b",
    "y ~ bs(log(z), df=5, lower_bound=0, upper_bound=6)",
    "y ~ cr(z, df=4) + cc(x, df=4)",
    "y ~ cr(z, df=4, constraints='center')",
    "y ~ poly(z, 3) * b + poly(x, 2, raw=True)",
    "y ~ center(x) + scale(z) + standardize(z):x + center(log(z))",
    "y ~ I(x > 0.5):z + abs(x) + arcsinh(z)",
    "y ~ .",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_the_matrix_is_formulaics(text: str) -> None:
    """Of the rows that it is learnt from, and of others, by what is kept alone."""
    frame, new = rows(), rows(40, seed=1)
    new["z"] = new["z"].clip(frame["z"].min(), frame["z"].max())
    new["x"] = new["x"].clip(frame["x"].min(), frame["x"].max())
    context = {"sqrt": np.sqrt, "arcsinh": np.arcsinh, "abs": np.abs}
    expected = formulaic.model_matrix(text, frame, context=context).rhs
    learnt = learn_formula(text, table_of(frame))
    names = [name for name in expected.columns if name != "Intercept"]
    assert learnt.formula.feature_names == tuple(names)
    assert learnt.formula.intercept == ("Intercept" in expected.columns)
    assert learnt.targets == ("y",)
    np.testing.assert_array_equal(learnt.y, frame["y"])
    np.testing.assert_allclose(learnt.X, expected[names], rtol=1e-9, atol=1e-10)
    later = expected.model_spec.get_model_matrix(new, context=context)[names]
    np.testing.assert_allclose(encode_formula(learnt.formula, table_of(new)).X, later, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("text", FORMULAS)
def test_derivatives_are_differences(text: str) -> None:
    frame = rows()
    formula = learn_formula(text, table_of(frame)).formula
    inside = frame.iloc[5:60].copy()
    inside["z"] = inside["z"].clip(5.0, 80.0)
    inside["x"] = inside["x"].clip(-1.5, 1.5)
    for name in formula.number_columns:
        if name in ("flag", "year"):
            continue
        _, slopes = formula_matrix(formula, formula_cells(formula, table_of(inside)), along=name)
        step = 1e-5
        high, low = (inside.assign(**{name: inside[name] + by}) for by in (step, -step))
        change = encode_formula(formula, table_of(high)).X - encode_formula(formula, table_of(low)).X
        np.testing.assert_allclose(of_type(np.ndarray, slopes), change / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("beyond", "expected"), [("extend", "a cubic"), ("clip", "the end"), ("zero", "0"), ("na", "missing")]
)
def test_beyond_the_knots(beyond: str, expected: str) -> None:
    frame = rows()
    formula = learn_formula(f'y ~ bs(x, 4, extrapolation="{beyond}")', table_of(frame)).formula
    far, end = frame.head(1).assign(x=frame["x"].max() + 0.5), frame.head(1).assign(x=frame["x"].max())
    found, last = (encode_formula(formula, table_of(each)).X[0] for each in (far, end))
    if expected == "a cubic":  # R's bs goes on with the last polynomial
        theirs = formulaic.model_matrix(formula.text, frame).rhs.model_spec.get_model_matrix(far)
        np.testing.assert_allclose(found, theirs.iloc[0, 1:], rtol=1e-9)
    else:
        np.testing.assert_allclose(found, {"the end": last, "0": 0.0 * last, "missing": formula.means}[expected])


def test_a_natural_spline_goes_on_as_a_line() -> None:
    frame = rows()
    formula = learn_formula("y ~ cr(x, df=4)", table_of(frame)).formula
    far = pd.DataFrame({"x": [-5.0, -4.0, -3.0, 3.0, 4.0, 5.0]})
    X = encode_formula(formula, table_of(far)).X
    np.testing.assert_allclose(np.diff(X[:3], 2, axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.diff(X[3:], 2, axis=0), 0.0, atol=1e-12)


def test_coefficients_agree_with_statsmodels() -> None:
    frame = penguins().dropna()
    text = "body_mass_g ~ species * flipper_length_mm + C(sex) + np.log(bill_depth_mm)"
    expected = smf.ols(text, frame).fit()
    summary = PerceptronRegressor(standardize=True).fit_formula(text, frame).summary()
    names = ["Intercept" if name == "intercept" else name for name in summary.names]
    assert set(names) == set(expected.params.index)
    np.testing.assert_allclose(summary.estimates, expected.params[names], rtol=1e-7)
    np.testing.assert_allclose(summary.standard_errors, expected.bse[names], rtol=1e-7)
    species = summary.wald_test("species:flipper_length_mm")
    theirs = expected.wald_test_terms(scalar=True).table.loc["species:flipper_length_mm"]
    assert species.statistic == pytest.approx(float(theirs["statistic"]), rel=1e-7)


def test_terms_are_left_out_and_analysed_as_in_statsmodels() -> None:
    frame = penguins().dropna()
    text = "body_mass_g ~ species * np.log(flipper_length_mm) + bs(bill_depth_mm, 4)"
    expected = sm.stats.anova_lm(smf.ols(text, frame).fit(), typ=2)
    found = PerceptronRegressor().fit_formula(text, frame).anova(frame, frame["body_mass_g"])
    names = [name for name in expected.index if name != "Residual"]
    squares = {row.name: row.squares for row in found.rows}
    for name in names:
        assert squares[name] == pytest.approx(float(expected.loc[name, "sum_sq"]), rel=1e-6)


def test_classes_and_counts_agree_with_statsmodels() -> None:
    frame = penguins().dropna().assign(male=lambda d: (d["sex"] == "male").astype(int))
    text = "male ~ species + bs(bill_depth_mm, 4)"
    logit = smf.logit(text, frame).fit(disp=0, tol=1e-13, maxiter=100)
    model = PerceptronClassifier().fit_formula(text, frame)
    np.testing.assert_allclose(model.predict_proba(frame)[:, 1], logit.predict(frame), rtol=1e-8)
    visits = sm.datasets.randhie.load_pandas().data.head(1000)
    text = "mdvis ~ lncoins * C(idp) + center(disea)"
    poisson = smf.poisson(text, visits).fit(disp=0, method="newton", tol=1e-12)
    counts = PerceptronRegressor(loss="poisson").fit_formula(text, visits)
    np.testing.assert_allclose(counts.predict(visits), poisson.predict(visits), rtol=1e-8)


def test_text_is_a_target_and_so_are_several_numbers() -> None:
    frame = penguins().dropna()
    model = PerceptronClassifier().fit_formula("species ~ poly(bill_length_mm, 2) + sex", frame)
    assert model.classes_.tolist() == ["Adelie", "Chinstrap", "Gentoo"]
    assert model.score(frame, frame["species"]) > 0.7
    both = PerceptronRegressor().fit_formula("bill_length_mm + log(body_mass_g) ~ species", frame)
    assert both.model_.data.targets == ("bill_length_mm", "log(body_mass_g)")
    assert both.predict(frame.head(3)).shape == (3, 2)


# --- every door ---


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pd.DataFrame, Path]:
    frame = penguins().dropna()
    model = PerceptronRegressor().fit_formula("body_mass_g ~ species * bs(bill_depth_mm, 4) + sqrt(year) + sex", frame)
    path = tmp_path_factory.mktemp("formula") / "model.newtron"
    model.save(path)
    return model, frame, path


@pytest.mark.slow
def test_a_saved_model_predicts_the_same_bits_without_formulaic(kept: Any) -> None:
    model, frame, path = kept
    np.testing.assert_array_equal(load(path).predict(frame), model.predict(frame))
    code = (
        "import sys, pandas as pd, newtron; sys.modules['formulaic'] = None;"
        f"print(newtron.load({str(path)!r}).predict(pd.read_csv({str(ROOT / 'examples/penguins.csv')!r}).dropna())[0])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == str(model.predict(frame)[0]), run.stderr


def test_the_command_predicts_files(kept: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, frame, path = kept
    frame.head(20).drop(columns="island").to_csv(tmp_path / "new.csv", index=False)
    assert main(["predict", str(path), str(tmp_path / "new.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    np.testing.assert_array_equal(np.array(lines[1:], dtype=float), model.predict(frame.head(20)))
    assert main(["show", str(path)]) == 0
    assert "formula  body_mass_g ~ species * bs(bill_depth_mm, 4)" in capsys.readouterr().out
    frame.head(3).drop(columns="sex").to_csv(tmp_path / "less.csv", index=False)
    assert main(["predict", str(path), str(tmp_path / "less.csv")]) == 2
    assert "the column 'sex', which the model needs, is missing" in capsys.readouterr().err


def test_cells_that_are_not_known_are_the_average_and_told(kept: Any) -> None:
    model, frame, _ = kept
    new = frame.head(3).copy()
    new["sex"] = ["male", None, "unknown"]
    with pytest.warns(SchemaWarning, match="'sex': 1 cell with a value never seen .* 'sex': 1 missing cell"):
        found = model.predict(new)
    share = (frame["sex"] == "male").mean()
    male, female = (model.predict(new.assign(sex=sex)) for sex in ("male", "female"))
    np.testing.assert_allclose(found[1:], share * male[1:] + (1 - share) * female[1:], rtol=1e-12)


def test_an_array_has_the_columns_of_the_matrix(kept: Any) -> None:
    model, frame, _ = kept
    formula = of_type(Formula, of_type(Schema, model.model_.data.schema).formula)
    X = encode_formula(formula, table_of(frame)).X
    np.testing.assert_array_equal(model.predict(X), model.predict(frame))


def test_what_fit_and_the_command_do_with_a_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "log(body_mass_g) ~ species + center(flipper_length_mm)"
    study = newtron.fit(penguins(), text, model="perceptron", verbose=0)
    told = " ".join(str(study).split())  # its lines are wrapped
    assert "2 rows are left out: they have a missing cell in a column of the formula" in told
    assert "The target is log(body_mass_g): predictions are in its units" in told
    assert "those of all rows, held-out ones among them" in told
    path = tmp_path / "model.newtron"
    arguments = ["fit", str(ROOT / "examples/penguins.csv"), "--target", text, "--model", "perceptron"]
    assert main([*arguments, "--output", str(path), "--quiet"]) == 0
    capsys.readouterr()
    frame = penguins().dropna()
    np.testing.assert_array_equal(load(path).predict(frame), study.model.predict(frame))
    assert main(["fit", str(ROOT / "examples/penguins.csv"), "--target", "sex ~ 0 + species"]) == 2
    assert "has no intercept, which this job always has" in capsys.readouterr().err


def test_rows_with_missing_cells_are_left_out_with_their_weights() -> None:
    frame, weight = penguins(), np.arange(344.0) % 3 + 1.0
    text = "body_mass_g ~ flipper_length_mm + sex"
    whole = frame[["body_mass_g", "flipper_length_mm", "sex"]].notna().all(axis=1)
    with pytest.warns(SchemaWarning, match="11 rows are left out"):
        found = PerceptronRegressor().fit_formula(text, frame, weight)
    expected = smf.wls(text, frame[whole], weights=weight[whole]).fit()
    np.testing.assert_allclose(found.predict(frame[whole]), expected.fittedvalues, rtol=1e-9)


# --- effects through a formula ---


def test_the_effect_of_a_column_is_that_of_all_its_terms(kept: Any) -> None:
    model, frame, _ = kept
    found = model.effects(frame)
    assert found.columns[:2] == ("bill_depth_mm", "year")
    inside = frame[frame["bill_depth_mm"].between(13.2, 21.4)]
    slope = model.effects(inside, columns="bill_depth_mm")
    high, low = (inside.assign(bill_depth_mm=inside["bill_depth_mm"] + by) for by in (1e-5, -1e-5))
    assert slope.estimates[0] == pytest.approx((model.predict(high) - model.predict(low)).mean() / 2e-5, rel=1e-6)
    by_level = [model.predict(frame.assign(species=name)).mean() for name in ("Adelie", "Gentoo")]
    contrast = model.contrasts(frame, "species", values=["Adelie", "Gentoo"])
    assert contrast.estimates[0] == pytest.approx(by_level[1] - by_level[0], rel=1e-10)
    at = model.effects(frame, columns="sex", at={"species": ["Gentoo"], "bill_depth_mm": 15})
    assert at.estimates[0] == pytest.approx(model.coef_[list(model.model_.data.names).index("sex[T.male]")])
    assert np.isfinite(at.standard_errors).all()
    typical = model.effects(frame, at="mean", columns="year")
    assert typical.estimates[0] != 0.0
    with pytest.raises(InputError, match="no level 'Emperor'"):
        model.contrasts(frame, "species", values=["Adelie", "Emperor"])
    with pytest.raises(InputError, match="give a data frame"):
        model.effects(np.zeros((3, model.n_features_in_)))


def test_a_network_takes_a_formula() -> None:
    frame = penguins().dropna().head(120)
    network = NetworkRegressor(hidden=(2,), n_starts=1, alpha=1.0)
    network.fit_formula("body_mass_g ~ log(flipper_length_mm) + sex", frame)
    found = network.effects(frame)
    moved = [network.predict(frame.assign(sex=sex)).mean() for sex in ("male", "female")]
    assert found.estimates[1] == pytest.approx(moved[0] - moved[1], rel=1e-10)


# --- what is refused ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("y", 'must have one "~" with the target before it'),
        ("y ~ a | b", 'must have one "~"'),
        ("y ~ bs(x", "cannot be read"),
        ("y ~ 1", "has no term but the intercept"),
        ("y ~ x + weight", "the column 'weight', which the formula needs, is missing"),
        ("y ~ lag(x)", "the formula's 'lag(x)' is not supported: the functions are I, log"),
        ("y ~ hashed(a)", "is not supported"),
        ("y ~ C(I(x > 0))", "is not supported"),
        ("y ~ log(x, 2)", "must have one column or expression in it"),
        ("y ~ bs(x, df='four')", "cannot be used"),
        ("y ~ bs(x, 2)", "cannot be used"),
        ("y ~ bs(x, 4) + log(bs(z, 4))", "is several columns: it must stand alone"),
        ("y ~ log(x)", "the formula's 'log(x)' is not a number there"),
        ("y ~ I(1 / (x - x))", "is infinite there"),
        ("y ~ I(x if x else z)", "is not supported"),
        ("y ~ I(a + 1)", "is not a number, as the formula takes this column"),
        ("a + y ~ x", "must all be numbers"),
        ("y:x ~ z", "must be a column or an expression of columns"),
        ("y ~ __import__('os').system('exit 3')", "cannot be read"),
        ("y ~ I(x.__class__)", "is not supported"),
        ("y ~ np.linalg.norm(x)", "is not supported"),
        ("y ~ I(" + "(" * 300 + "x" + ")" * 300 + ")", ""),
    ],
)
def test_what_cannot_be_kept_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        learn_formula(text, table_of(rows()))
    assert sentence in str(refused.value)


def test_numbers_beyond_the_knots_are_refused_by_row(kept: Any) -> None:
    model, frame, _ = kept
    far = frame.head(3).assign(bill_depth_mm=[15.0, 40.0, 15.0])
    with pytest.raises(InputError, match=r"row 2, column 'bill_depth_mm': 40 is beyond the bounds 13\.1 and 21\.5"):
        model.predict(far)


def test_the_intercept_must_be_that_of_the_setting() -> None:
    with pytest.raises(InputError, match="has no intercept, and fit_intercept=True: set fit_intercept=False"):
        PerceptronRegressor().fit_formula("y ~ 0 + x", rows())
    with pytest.raises(InputError, match="has an intercept, and fit_intercept=False: write 0 \\+ in it"):
        PerceptronRegressor(fit_intercept=False).fit_formula("y ~ x", rows())
    found = PerceptronRegressor(fit_intercept=False).fit_formula("y ~ 0 + x", rows())
    assert found.coef_.shape == (1,)
    with pytest.raises(InputError, match="data must be a data frame"):
        PerceptronRegressor().fit_formula("y ~ x", np.zeros((3, 2)))
    with pytest.raises(InputError, match="one weight for each of the 120 rows"):
        PerceptronRegressor().fit_formula("y ~ x", rows(), [1.0, 2.0])


HOSTILE = "__import__('os').system('touch executed')"


def _with_text(formula: Formula, text: str) -> Formula:
    first, second, *rest = formula.factors
    return replace(formula, factors=(first, replace(second, text=text), *rest))


def _save_with(model: Any, damage: Any, path: Path) -> None:
    schema = of_type(Schema, model.model_.data.schema)
    damaged = replace(schema, formula=damage(of_type(Formula, schema.formula)))
    other = PerceptronRegressor()
    other.model_ = replace(model.model_, data=replace(model.model_.data, schema=damaged))
    other.save(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: _with_text(f, HOSTILE),
        lambda f: _with_text(f, "log(" * 400 + "x"),
        lambda f: _with_text(f, "bs(bill_depth_mm, 4) + center(bill_depth_mm)"),
        lambda f: replace(f, means=f.means[1:]),
        lambda f: replace(f, factors=f.factors[1:]),
        lambda f: replace(f, terms=f.terms[1:]),
        lambda f: replace(f, factors=(f.factors[0], replace(f.factors[1], curves=()), *f.factors[2:])),
        lambda f: replace(
            f,
            factors=(
                f.factors[0],
                replace(f.factors[1], curves=(Curve(np.zeros(0), np.zeros((4, 2)), 0.0, 1.0),)),
                *f.factors[2:],
            ),
        ),
    ],
)
def test_a_damaged_formula_is_no_model(kept: Any, tmp_path: Path, damage: Any, monkeypatch: Any) -> None:
    """A model file is refused with a sentence, and never executes anything."""
    model, _, _ = kept
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        _save_with(model, damage, tmp_path / "damaged.newtron")
    assert not (tmp_path / "executed").exists()


def test_without_formulaic_a_sentence_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match='newtron\'s extra "formula"'):
        PerceptronRegressor().fit_formula("y ~ x", rows())


def test_nothing_that_was_given_is_changed() -> None:
    frame = rows()
    before = frame.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PerceptronRegressor().fit_formula("y ~ a * x", frame).predict(frame)
    pd.testing.assert_frame_equal(frame, before)
