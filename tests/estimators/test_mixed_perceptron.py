"""Perceptrons with random intercepts: estimates, summary, intervals, certificate, files, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

from newtron import FileRows, InputError, PerceptronClassifier, PerceptronRegressor, load
from newtron.cli import main
from newtron.engine.solvers import Progress
from newtron.inference.mixed.cells import LevelCells
from newtron.table.choices import ColumnChoices
from newtron.table.large import files
from newtron.training import mixed

FOLDER = Path(__file__).parents[1] / "data" / "mixed"


def data(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


def known(name: str, method: str) -> dict[tuple[str, str], float]:
    """What lme4 estimates, by quantity and name."""
    table = pd.read_csv(FOLDER / "lme4.csv", keep_default_na=False)
    own = table[(table["set"] == name) & (table["method"] == method)]
    return dict(zip(zip(own["quantity"], own["name"], strict=True), own["value"].astype(float), strict=True))


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    found = pd.read_csv(Path(__file__).parents[2] / "examples" / "sleepstudy.csv")
    return found.assign(Subject="s" + found["Subject"].astype(str))


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_sleepstudy_is_that_of_lme4(sleep: pd.DataFrame, method: str, standardize: bool) -> None:
    expected = known("sleepstudy", method)
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = PerceptronRegressor(intercepts=["Subject"], method=method, standardize=standardize).fit(X, y)
    summary = model.summary()
    assert [*model.coef_, model.intercept_] == pytest.approx(
        [expected["estimate", "Days"], expected["estimate", "(Intercept)"]], rel=1e-9
    )
    assert summary.names == ("intercept", "Days")
    errors = [expected["error", "(Intercept)"], expected["error", "Days"]]
    assert summary.standard_errors == pytest.approx(errors, rel=1e-6)
    assert summary.log_likelihood == pytest.approx(expected["log_likelihood", ""], abs=1e-8)
    assert (summary.aic, summary.bic) == pytest.approx((expected["aic", ""], expected["bic", ""]), rel=1e-9)
    (component,) = summary.variance_components
    assert component.standard_deviation == pytest.approx(expected["sd", "Subject"], rel=1e-6)
    assert summary.residual_sd == pytest.approx(expected["sd", "Residual"], rel=1e-6)
    assert component.levels == 18
    own = model.random_intercepts_.set_index("group").loc["s308"]
    assert own["intercept"] == pytest.approx(expected["mode of Subject", "308"], rel=1e-6)
    assert own["standard_deviation"] == pytest.approx(expected["mode error of Subject", "308"], rel=1e-6)
    assert model.certificate_.nature == "minimum"
    assert model.certificate_.verify(X, y)
    assert not model.certificate_.verify(X, y + np.arange(180) % 2 * 1e-4)


def test_precision_weights_and_positions_in_an_array(sleep: pd.DataFrame) -> None:
    """A column of numbers groups by its values, in whatever order the rows are."""
    expected = known("sleepstudy weighted", "reml")
    X = np.column_stack([sleep["Subject"].str[1:].astype(float), sleep["Days"]])
    weight, order = 1.0 + np.arange(180) % 3, np.random.default_rng(0).permutation(180)
    model = PerceptronRegressor(intercepts=[0], weights="precision")
    model.fit(X[order], sleep["Reaction"].to_numpy()[order], weight[order])
    assert model.coef_.tolist() == pytest.approx([expected["estimate", "Days"]], rel=1e-8)
    assert model.summary().log_likelihood == pytest.approx(expected["log_likelihood", ""], abs=1e-8)


def test_a_weight_of_two_is_two_rows(sleep: pd.DataFrame) -> None:
    X, y, counts = sleep[["Days", "Subject"]], sleep["Reaction"], 1 + np.arange(180) % 3
    weighted = PerceptronRegressor(intercepts=["Subject"]).fit(X, y, counts)
    repeated = PerceptronRegressor(intercepts=["Subject"]).fit(
        X.loc[X.index.repeat(counts)], np.repeat(y.to_numpy(), counts)
    )
    one, other = weighted.summary(), repeated.summary()
    assert one.standard_errors == pytest.approx(other.standard_errors, rel=1e-7)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-10)


def test_crossed_columns_without_any_other() -> None:
    """Penicillin's model has the intercept and two crossed grouping columns alone."""
    frame, expected = data("penicillin"), known("penicillin", "reml")
    model = PerceptronRegressor(intercepts=["sample", "plate"]).fit(frame[["plate", "sample"]], frame["diameter"])
    assert model.intercept_ == pytest.approx(expected["estimate", "(Intercept)"], rel=1e-9)
    deviations = {part.name: part.standard_deviation for part in model.summary().variance_components}
    assert deviations["plate"] == pytest.approx(expected["sd", "plate"], rel=1e-6)
    assert deviations["sample"] == pytest.approx(expected["sd", "sample"], rel=1e-6)
    assert model.random_intercepts_["column"].value_counts().to_dict() == {"plate": 24, "sample": 6}


def test_counts_with_an_offset() -> None:
    """Twice the exposure of every row moves the intercept, and nothing else."""
    frame = data("grouseticks")
    X, y = frame[["HEIGHT", "BROOD"]].astype(float), frame["TICKS"]
    model = PerceptronRegressor(intercepts=["BROOD"], loss="poisson", standardize=True).fit(X, y)
    more = X.assign(exposure=np.log(2.0))
    doubled = PerceptronRegressor(intercepts=["BROOD"], loss="poisson", standardize=True, offset="exposure")
    doubled.fit(more, y)
    assert doubled.intercept_ == pytest.approx(model.intercept_ - np.log(2.0), abs=1e-6)
    assert doubled.summary().log_likelihood == pytest.approx(model.summary().log_likelihood, abs=1e-7)
    np.testing.assert_allclose(doubled.predict(more), model.predict(X), rtol=1e-6)
    assert doubled.certificate_.verify(more, y)


def test_classes_by_rows_and_by_numbers_of_rows() -> None:
    frame, expected = data("cbpp"), known("cbpp", "ml")
    sick = frame["incidence"]
    rows = pd.concat([frame.assign(sick=1, n=sick), frame.assign(sick=0, n=frame["size"] - sick)])
    X = rows[["period", "herd"]].assign(period="p" + rows["period"].astype(str))
    model = PerceptronClassifier(intercepts=["herd"], columns={"period": ["p1", "p2", "p3", "p4"]})
    model.fit(X, rows["sick"], rows["n"])
    names = ["(Intercept)", "period2", "period3", "period4"]
    summary = model.summary()
    assert summary.estimates == pytest.approx([expected["estimate", name] for name in names], rel=1e-6)
    assert summary.standard_errors == pytest.approx([expected["error", name] for name in names], rel=1e-5)
    (component,) = summary.variance_components
    assert component.standard_deviation == pytest.approx(expected["sd", "herd"], rel=1e-6)
    share = component.variance / (component.variance + np.pi**2 / 3.0)
    assert component.intraclass_correlation == pytest.approx(share)
    assert model.certificate_.verify(X, rows["sick"], rows["n"])


def test_the_test_of_a_variance_halves_the_p_value(sleep: pd.DataFrame) -> None:
    """The restricted likelihood without intercepts is that of least squares."""
    from scipy.stats import chi2

    X, y = sleep[["Days", "Subject"]], sleep["Reaction"].to_numpy()
    (component,) = PerceptronRegressor(intercepts=["Subject"]).fit(X, y).summary().variance_components
    A = np.column_stack([np.ones(180), sleep["Days"]])
    squares = float(np.square(y - A @ np.linalg.lstsq(A, y)[0]).sum())
    restricted = 178.0 * (1.0 + np.log(2.0 * np.pi * squares / 178.0)) + np.linalg.slogdet(A.T @ A)[1]
    ratio = restricted + 2.0 * known("sleepstudy", "reml")["log_likelihood", ""]
    assert component.likelihood_ratio == pytest.approx(ratio, rel=1e-9)
    assert component.p_value == pytest.approx(0.5 * chi2.sf(ratio, 1), rel=1e-6)


def test_nested_models_by_full_likelihoods(sleep: pd.DataFrame) -> None:
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    larger = PerceptronRegressor(intercepts=["Subject"], method="ml").fit(X, y)
    smaller = PerceptronRegressor(intercepts=["Subject"], method="ml").fit(X[["Subject"]], y)
    test = larger.nested_test(smaller)
    expected = 2.0 * (larger.summary().log_likelihood - smaller.summary().log_likelihood)
    assert (test.statistic, test.degrees_of_freedom) == pytest.approx((expected, 1.0))
    restricted = PerceptronRegressor(intercepts=["Subject"]).fit(X, y)
    with pytest.raises(InputError, match="fit both with"):
        restricted.nested_test(smaller)
    with pytest.raises(InputError, match="their variance is 0 is tested in the summary"):
        larger.nested_test(PerceptronRegressor().fit(X[["Days"]], y))
    for ask in (larger.drop1, larger.anova):
        with pytest.raises(InputError, match="not made for models with random intercepts"):
            ask()


def test_a_variance_of_zero_is_said() -> None:
    frame = data("dyestuff2")
    model = PerceptronRegressor(intercepts=["Batch"]).fit(frame[["Batch"]], frame["Yield"])
    assert "The variance of the intercepts of Batch is 0" in model.solution_.sentence
    assert model.solution_.converged
    assert "the likelihood is greatest without these intercepts" in repr(model.summary())
    assert not model.random_intercepts_["intercept"].any()
    assert model.certificate_.verify(frame[["Batch"]], frame["Yield"])


def test_predictions_know_their_groups(sleep: pd.DataFrame) -> None:
    """A group that was never seen has no correction, and an interval that is wider by the intercepts' variance."""
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = PerceptronRegressor(intercepts=["Subject"]).fit(X, y)
    new = X.head(1).assign(Subject="somebody")
    with pytest.warns(UserWarning, match="never seen in training"):
        assert model.predict(new).tolist() == pytest.approx([model.intercept_])
    own = model.random_intercepts_.set_index("group")["intercept"]["s308"]
    assert model.predict(X.head(1))[0] == pytest.approx(float(model.intercept_) + own)
    with pytest.warns(UserWarning, match="never seen in training"):
        wide = float(np.diff(model.predict_interval(new, 0.9))[0, 0])
    summary = model.summary()
    variance = summary.variance_components[0].variance + float(np.square(summary.residual_sd or 0.0))
    expected = 2.0 * 1.6449 * np.sqrt(variance + summary.standard_errors[0] ** 2)
    assert wide == pytest.approx(expected, rel=0.02)  # Student's t in place of the normal distribution


def test_the_file_keeps_all(tmp_path: Path, sleep: pd.DataFrame) -> None:
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    model = PerceptronRegressor(intercepts=["Subject"]).fit(X, y)
    model.save(tmp_path / "m.newtron")
    again = load(tmp_path / "m.newtron")
    assert repr(again.summary()) == repr(model.summary())
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.certificate_.verify(X, y)


def test_the_callback_sees_the_search_and_ends_it(sleep: pd.DataFrame) -> None:
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    seen: list[Progress] = []

    def stop(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) == 3

    with pytest.warns(UserWarning, match=r"[Ss]topped"):
        model = PerceptronRegressor(intercepts=["Subject"], callback=stop).fit(X, y)
    assert model.model_.mixed is None
    with pytest.raises(InputError, match="fit again to the end"):
        model.summary()


# --- rows of files ---


def same_model(found: PerceptronRegressor, expected: PerceptronRegressor) -> None:
    one, other = found.summary(), expected.summary()
    assert one.names == other.names
    np.testing.assert_allclose(one.estimates, other.estimates, rtol=1e-9)
    np.testing.assert_allclose(one.standard_errors, other.standard_errors, rtol=1e-9)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
    assert (one.residual_sd, one.aic, one.bic) == pytest.approx((other.residual_sd, other.aic, other.bic), rel=1e-9)
    for mine, its in zip(one.variance_components, other.variance_components, strict=True):
        assert (mine.name, mine.levels) == (its.name, its.levels)
        assert mine.variance == pytest.approx(its.variance, rel=1e-9)
        assert mine.likelihood_ratio == pytest.approx(its.likelihood_ratio, rel=1e-9, abs=1e-9)
    pd.testing.assert_frame_equal(found.random_intercepts_, expected.random_intercepts_, rtol=1e-9)


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LEAST_ROWS", 10)
    monkeypatch.setattr("newtron.table.large.file_rows._FEWEST_ROWS", 40)
    monkeypatch.setattr("newtron.table.large.file_rows._MOST_ROWS", 40)


def houses(n: int = 300) -> pd.DataFrame:
    """Towns in crossed years, with a town of one house, and houses without a price."""
    rng = np.random.default_rng(3)
    town, year = rng.integers(0, 12, n), rng.integers(0, 5, n)
    town[7] = 12
    area = rng.uniform(40.0, 200.0, n)
    price = 2.0 * area + rng.normal(0.0, 60.0, 13)[town] + rng.normal(0.0, 20.0, 5)[year] + rng.normal(0.0, 30.0, n)
    frame = pd.DataFrame({"area": area, "town": [f"town {t}" for t in town], "year": 2000 + year, "price": price})
    return frame.assign(price=frame["price"].where(frame.index % 50 != 13))


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize(
    ("form", "settings"),
    [("csv", {"standardize": True}), ("parquet", {"method": "ml"}), ("parquet", {"fit_intercept": False})],
    ids=str,
)
def test_rows_of_files_give_the_model_of_memory(form: str, settings: dict[str, Any], tmp_path: Path) -> None:
    frame, path = houses(), tmp_path / f"houses.{form}"
    if form == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=40)
    known = frame[frame["price"].notna()]
    X, y = known.drop(columns="price"), known["price"]
    model = PerceptronRegressor(intercepts=["year", "town"], **settings)
    expected = clone(model).fit(X, y)
    one, two = (
        FileRows(path, "price", choices=ColumnChoices(factors=("town",)), memory=32e6, n_jobs=n) for n in (1, 2)
    )
    assert len(list(one.source.read(range(len(one.source.sizes))))) > 7
    found = clone(model).fit_rows(one)
    same_model(found, expected)
    assert found.model_.members[0].params.tobytes() == clone(model).fit_rows(two).model_.members[0].params.tobytes()
    for given in ((one,), (X, y)):
        assert found.certificate_.verify(*given)
    assert expected.certificate_.verify(one)
    for wrong in ((one, y), (X,)):
        with pytest.raises(TypeError, match="give X and y, or FileRows or ClusterRows alone"):
            found.certificate_.verify(*wrong)
    changed = frame.assign(price=frame["price"] + np.arange(len(frame)) % 2 * 1e-4)
    changed.to_parquet(tmp_path / "changed.parquet")
    other = FileRows(tmp_path / "changed.parquet", "price", choices=ColumnChoices(factors=("town",)))
    assert not found.certificate_.verify(other)
    new = X.head(3).assign(town=["town 1", "elsewhere", "town 12"])
    with pytest.warns(UserWarning, match="never seen in training"):
        predicted = found.predict(new)
    with pytest.warns(UserWarning, match="never seen in training"):
        np.testing.assert_allclose(predicted, expected.predict(new), rtol=1e-9)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("name", ["sleepstudy", "penicillin"])
def test_rows_of_files_give_the_published_estimates(name: str) -> None:
    target, groups = {"sleepstudy": ("Reaction", ["Subject"]), "penicillin": ("diameter", ["plate", "sample"])}[name]
    folder = Path(__file__).parents[2] / "examples" if name == "sleepstudy" else FOLDER
    rows = FileRows(folder / f"{name}.csv", target, choices=ColumnChoices(factors=tuple(groups)), task="regression")
    model, expected = PerceptronRegressor(intercepts=groups).fit_rows(rows), known(name, "reml")
    assert model.intercept_ == pytest.approx(expected["estimate", "(Intercept)"], rel=1e-9)
    summary = model.summary()
    assert summary.residual_sd == pytest.approx(expected["sd", "Residual"], rel=1e-6)
    assert summary.log_likelihood == pytest.approx(expected["log_likelihood", ""], abs=1e-8)
    for component in summary.variance_components:
        assert component.standard_deviation == pytest.approx(expected["sd", component.name], rel=1e-6)


@pytest.mark.usefixtures("_small_pieces")
def test_rows_of_files_that_make_no_mixed_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, path = houses(), tmp_path / "houses.parquet"
    frame.assign(dear=frame["price"] > 250.0, same="a").to_parquet(path, row_group_size=40)

    def fit(model: Any, target: str, *factors: str) -> None:
        model.fit_rows(FileRows(path, target, choices=ColumnChoices(factors=factors)))

    with pytest.raises(InputError, match="of classes and of counts needs all rows in memory, since each step"):
        fit(PerceptronClassifier(intercepts=["town"]), "dear", "town")
    with pytest.raises(InputError, match=r"'town' is a category .*: give the rows choices=.*factors=\('town',\)"):
        fit(PerceptronRegressor(intercepts=["town"]), "price")
    with pytest.raises(InputError, match="'same': this column cannot be used: it is 'a' in every row"):
        fit(PerceptronRegressor(intercepts=["same"]), "price", "same")
    with monkeypatch.context() as few:
        few.setattr("newtron.table.gather.MANY_GROUPS", 5)
        with pytest.raises(InputError, match=r"'town': this column cannot be used: it has more than .* values"):
            fit(PerceptronRegressor(intercepts=["town"]), "price", "town")
    with monkeypatch.context() as small:
        small.setattr(mixed, "_NUMBERS", 24)
        with pytest.raises(InputError, match="a product of each two of the 3 columns of X, and these are too large"):
            fit(PerceptronRegressor(intercepts=["town"]), "price", "town")
    monkeypatch.setattr(mixed, "_CELLS", 1e-6)
    with pytest.raises(InputError, match="combinations of the levels of the grouping columns so far"):
        fit(PerceptronRegressor(intercepts=["town", "year"]), "price", "town")


def test_text_of_more_levels_than_are_counted_elsewhere_groups_rows_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("newtron.table.gather.MANY", 5)
    houses().to_parquet(tmp_path / "houses.parquet")
    rows = FileRows(tmp_path / "houses.parquet", "price", choices=ColumnChoices(factors=("town",)))
    assert len(PerceptronRegressor(intercepts=["town"]).fit_rows(rows).random_intercepts_) == 13


def test_ctrl_c_while_cells_are_added_up_keeps_the_perceptron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LevelCells, "of", interrupted)
    houses().to_parquet(tmp_path / "houses.parquet")
    rows = FileRows(tmp_path / "houses.parquet", "price", choices=ColumnChoices(factors=("town",)), n_jobs=1)
    with pytest.warns(UserWarning, match=r"[Ii]nterrupted"):
        model = PerceptronRegressor(intercepts=["town"]).fit_rows(rows)
    assert model.model_.mixed is None


def test_the_command_fits_files_that_are_read_in_pieces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, model = tmp_path / "houses", tmp_path / "m.newtron"
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(300), 2)):
        houses().iloc[part].to_parquet(folder / f"{number}.parquet")
    asked = ["--model", "perceptron", "--intercepts", "town,year", "--holdout", "0", "--output", str(model)]
    assert main(["fit", str(folder), "--target", "price", *asked]) == 0
    told = capsys.readouterr().out
    assert "read in pieces for every pass" in told
    assert "town: 13 levels with a random intercept each" in told
    assert load(model).random_intercepts_["column"].value_counts().to_dict() == {"town": 13, "year": 5}


ROWS = pd.DataFrame({"x": np.arange(12.0) % 5, "town": list("aabbccddeeff"), "row": range(12)})
Y = np.sin(np.arange(12.0) * 7.0)


@pytest.mark.parametrize(
    ("settings", "columns", "match"),
    [
        ({"intercepts": ["row"]}, ["x", "row"], "as many levels as there are rows"),
        ({"intercepts": ["town"], "alpha": 1.0}, ["x", "town"], "alpha=1.0"),
        ({"intercepts": ["town"], "weights": "sampling"}, ["x", "town"], "weights='sampling'"),
        ({"intercepts": ["town"], "solver": "lbfgs"}, ["x", "town"], "a search of its own"),
        ({"intercepts": ["town"], "method": "bayes"}, ["x", "town"], "method"),
        ({"intercepts": ["village"]}, ["x", "town"], "no column 'village'"),
        ({"intercepts": "town"}, ["x", "town"], "a list of columns"),
        ({"intercepts": []}, ["x", "town"], "a list of columns"),
    ],
    ids=str,
)
def test_what_makes_no_mixed_model_is_refused(settings: dict[str, Any], columns: list[str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        PerceptronRegressor(**settings).fit(ROWS[columns], Y)


def test_sparse_columns_too_large_to_be_dense_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one time a chunk of rows is dense, and the cells are."""
    rng = np.random.default_rng(0)
    group, other = np.arange(300) % 8, np.arange(300) % 25
    X = sparse.csr_matrix(np.column_stack([rng.normal(size=(300, 3)), 1 + group, 1 + other]))
    y = rng.normal(size=300) + group
    for numbers, columns, match in [
        (35, [3], "a product of each two of the 4 columns of X"),
        (100, [3], "the 4 sparse columns of X dense, and 300 rows of them are too large: leave columns out"),
        (500, [3, 4], "the 3 sparse columns of X dense, and 200 rows of them are too large"),
    ]:
        monkeypatch.setattr(mixed, "_NUMBERS", numbers)
        monkeypatch.setattr("newtron.engine.rows.arrays._MIN_CHUNK", 4096 if numbers < 500 else 10)
        with pytest.raises(InputError, match=match):
            PerceptronRegressor(intercepts=columns, n_jobs=1).fit(X, y)
    PerceptronRegressor(intercepts=[3], n_jobs=1).fit(X, y)


def test_rows_that_make_no_mixed_model_are_refused() -> None:
    X, model = ROWS[["x", "town"]], PerceptronRegressor(intercepts=["town"])
    with pytest.raises(InputError, match="one level only"):
        PerceptronRegressor(intercepts=[1]).fit(np.column_stack([X["x"], np.ones(12)]), Y)
    with pytest.raises(InputError, match="missing cells"):
        model.fit(X.assign(town=X["town"].where(X["x"] > 0.0)), Y)
    with pytest.raises(InputError, match="one target"):
        model.fit(X, np.column_stack([Y, Y]))
    with pytest.raises(InputError, match="do not depend on each other: leave out twice"):
        model.fit(X.assign(twice=2.0 * X["x"]), Y)
    with pytest.raises(InputError, match="not whole numbers"):
        model.fit(X, Y, np.linspace(0.5, 1.5, 12))
    with pytest.raises(InputError, match="groups the rows as 'town' does"):
        PerceptronRegressor(intercepts=["town", "twin"]).fit(X.assign(twin=X["town"].str.upper()), Y)
    with pytest.raises(InputError, match="without any noise"):
        model.fit(X, X["town"].map(ord).to_numpy() * 1.0)
    classes = PerceptronClassifier(intercepts=["town"])
    with pytest.raises(InputError, match="two classes"):
        classes.fit(X, np.arange(12) % 3)
    with pytest.raises(InputError, match="separated by x"):
        classes.fit(X, X["x"] > 2)
    with pytest.raises(InputError, match="class_weight"):
        PerceptronClassifier(intercepts=["town"], class_weight="balanced").fit(X, np.arange(12) % 2)
