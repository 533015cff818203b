"""Estimators on data frames: every library's frames, every type of cell, every question, and scikit-learn's tools."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import newtron
from newtron import (
    FileRows,
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    SchemaWarning,
    load,
)
from newtron.cli import main
from newtron.table import encode, learn_schema, read_table

SIZES = pd.CategoricalDtype(["small", "middle", "large"], ordered=True)


def mixed(n: int = 80) -> pd.DataFrame:
    """Columns of all kinds, missing cells in some."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "island": rng.choice(["Biscoe", "Dream", "Torgersen"], n, p=[0.5, 0.3, 0.2]),
            "size": pd.Series(rng.choice(SIZES.categories, n)).astype(SIZES),
            "length": rng.normal(40.0, 3.0, n),
            "born": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
            "eggs": pd.array(rng.integers(0, 5, n), "Int64"),
            "ringed": rng.random(n) < 0.5,
            "site": pd.Categorical(rng.integers(3, 6, n)),
            "waited": pd.to_timedelta(rng.integers(1, 99, n), unit="h"),
        }
    )
    frame.loc[[3, 30], "length"] = np.nan
    frame.loc[5, "eggs"] = pd.NA
    frame.loc[[7, 9], "island"] = None
    return frame


def targets(frame: pd.DataFrame) -> pd.Series[float]:
    rng = np.random.default_rng(4)
    z = (frame["island"] == "Dream") + 0.2 * frame["length"].fillna(40.0) + frame["size"].cat.codes
    return (z + 0.3 * rng.normal(size=len(frame))).rename("mass")


def in_days(durations: pd.Series[Any]) -> pd.Series[float]:
    found: pd.Series[float] = durations.dt.total_seconds() / 86400.0
    return found


FRAME = mixed()
Y = targets(FRAME)


def in_polars() -> pl.DataFrame:
    """The frame in types that polars has: it knows no categories that are numbers, and calls ordered ones Enum."""
    frame = pl.from_pandas(FRAME)
    size = pl.col("size").cast(pl.String).cast(pl.Enum(list(SIZES.categories)))
    return frame.with_columns(size, pl.col("site").cast(pl.String).cast(pl.Categorical))


@pytest.fixture(scope="module")
def model() -> PerceptronRegressor:
    return PerceptronRegressor().fit(FRAME, Y)


# --- frames of every library ---


def _of_duckdb() -> object:
    duckdb = pytest.importorskip("duckdb")
    # Its categories have no order, and its intervals have months.
    frame = FRAME.assign(size=FRAME["size"].astype(str), waited=in_days(FRAME["waited"]))
    return duckdb.from_arrow(pa.Table.from_pandas(frame))


@pytest.mark.slow
@pytest.mark.parametrize(
    "frame",
    [
        lambda: FRAME.copy(),
        lambda: nw.from_native(FRAME),
        lambda: pl.from_pandas(FRAME),
        lambda: pl.from_pandas(FRAME).lazy(),
        lambda: pa.Table.from_pandas(FRAME),
        lambda: pa.Table.from_pandas(FRAME).to_batches()[0],
        lambda: FRAME.convert_dtypes(dtype_backend="pyarrow"),
        lambda: FRAME[FRAME.columns[::-1]].assign(other="x"),  # columns are found by name, and others ignored
        lambda: FRAME.to_numpy(),  # an array has the columns of fit, in their order
        _of_duckdb,
    ],
    ids=["pandas", "narwhals", "polars", "lazy", "arrow", "batch", "pandas on arrow", "order", "array", "duckdb"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_every_library_gives_the_same_predictions(model: PerceptronRegressor, frame: Callable[[], object]) -> None:
    expected = model.predict(FRAME)
    np.testing.assert_array_equal(model.predict(frame()), expected)


@pytest.mark.parametrize("make", [in_polars, lambda: pa.Table.from_pandas(FRAME), lambda: nw.from_native(FRAME)])
def test_every_library_gives_the_same_fit(model: PerceptronRegressor, make: Callable[[], object]) -> None:
    other = PerceptronRegressor().fit(make(), pl.Series("mass", Y.to_numpy()))
    assert other.schema_ == model.schema_
    np.testing.assert_array_equal(other.coef_, model.coef_)


def test_a_fit_equals_that_of_the_encoded_columns(model: PerceptronRegressor) -> None:
    """By hand: the mean and a mark for missing numbers, 0 and 1 for levels, days for dates."""
    length, eggs = FRAME["length"], FRAME["eggs"].astype(float)
    by_hand = np.column_stack(
        [
            *(FRAME["island"] == level for level in ("Dream", "Torgersen")),
            FRAME["island"].isna(),
            *(FRAME["size"] == level for level in ("middle", "large")),
            length.fillna(length.mean()),
            length.isna(),
            in_days(FRAME["born"] - pd.Timestamp("1970-01-01")),
            eggs.fillna(eggs.mean()),
            eggs.isna(),
            FRAME["ringed"],
            *(FRAME["site"] == level for level in _without_most_frequent(FRAME["site"])),
            in_days(FRAME["waited"]),
        ]
    ).astype(float)
    plain = PerceptronRegressor().fit(by_hand, Y.to_numpy())
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict(FRAME), plain.predict(by_hand), rtol=1e-12)


def _without_most_frequent(column: pd.Series[Any]) -> list[int]:
    counts = column.value_counts()
    return sorted(set(counts.index) - {counts.index[0]})


def test_names_speak_of_the_frame_and_coefficients_of_encoded_columns(model: PerceptronRegressor) -> None:
    assert model.n_features_in_ == FRAME.shape[1]
    assert list(model.feature_names_in_) == list(FRAME.columns)
    names = model.schema_.feature_names
    assert names[:5] == ("island=Dream", "island=Torgersen", "island is missing", "size=middle", "size=large")
    assert model.coef_.shape == (len(names),)
    shown = str(model.summary())
    assert "island (reference Biscoe)" in shown
    assert "size (reference small)" in shown
    assert model.model_.data.targets == ("mass",)


def test_a_schema_prints_as_a_table(model: PerceptronRegressor) -> None:
    shown = str(model.schema_)
    assert "8 columns become 14 columns of numbers" in shown
    assert "island: Biscoe, Dream, Torgersen" in shown
    assert "size: small, middle, large" in shown
    assert f"mean {FRAME['length'].mean():.4g}, marked" in shown
    assert "<table>" in model.schema_._repr_html_()


def test_a_frame_of_plain_numbers_is_taken_as_it_is() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=30), "b": rng.integers(0, 9, 30), "c": rng.random(30) < 0.5, "d": 7.0})
    y = rng.normal(size=30)
    model = PerceptronRegressor(alpha=1.0).fit(frame, y)
    assert model.model_.data.schema is None
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    assert model.coef_.shape == (4,)
    np.testing.assert_array_equal(model.coef_, PerceptronRegressor(alpha=1.0).fit(frame.to_numpy(dtype=float), y).coef_)
    assert model.schema_.feature_names == ("a", "b", "c", "d")
    for other in (pl.from_pandas(frame), pa.Table.from_pandas(frame), frame.convert_dtypes()):
        again = PerceptronRegressor(alpha=1.0).fit(other, y)
        assert again.model_.data.schema is None
        np.testing.assert_allclose(again.predict(other), model.predict(frame), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])


# --- what is told, and what is refused ---


def test_values_never_seen_are_counted_and_told(model: PerceptronRegressor) -> None:
    frame = FRAME.assign(island=["Mars"] * 3 + ["Dream"] * 77, born=FRAME["born"].where(FRAME.index > 0))
    with pytest.warns(SchemaWarning) as told:
        predictions = model.predict(frame)
    assert len(told) == 1
    assert str(told[0].message) == (
        "X: Column 'island': 3 cells with a value never seen in training, taken as the average row. Column 'born': 1 "
        "missing cell, though training had none; filled in with the average."
    )
    assert told[0].filename == __file__
    shares = [(FRAME["island"] == level).mean() for level in ("Dream", "Torgersen")] + [FRAME["island"].isna().mean()]
    known = FRAME.assign(island="Biscoe", born=FRAME["born"].astype("datetime64[ns]"))
    known.loc[0, "born"] = FRAME["born"].mean()
    expected = model.predict(known)[:3] + np.array(shares) @ model.coef_[:3]
    np.testing.assert_allclose(predictions[:3], expected, rtol=1e-10)


def test_a_row_without_any_value_is_predicted_and_told(model: PerceptronRegressor) -> None:
    frame = FRAME.astype(object)
    frame.loc[3] = None
    with pytest.warns(SchemaWarning, match="1 row without a value in any column that the model reads is predicted"):
        found = model.predict(frame)
    np.testing.assert_allclose(np.delete(found, 3), np.delete(model.predict(FRAME), 3))
    assert abs(found[3] - Y.mean()) < 1.0


def test_columns_that_are_left_out_are_told_at_the_fit() -> None:
    frame = FRAME.assign(same=1, name=[f"person {k}" for k in range(80)])
    with pytest.warns(SchemaWarning, match="The column 'same' is not used: it is 1 in every row") as told:
        model = PerceptronRegressor().fit(frame, Y)
    assert "The column 'name' is not used: it is text with 80 different values" in str(told[0].message)
    assert dict(model.schema_.dropped).keys() == {"same", "name"}
    assert model.n_features_in_ == 10
    np.testing.assert_array_equal(model.predict(FRAME), model.predict(frame))  # they need not be there


def test_missing_cells_are_refused_where_that_is_asked() -> None:
    with pytest.raises(InputError, match="X, rows 8 and 10, column 'island': these cells are empty"):
        PerceptronRegressor(missing="error").fit(FRAME, Y)
    whole = FRAME.dropna().reset_index(drop=True)
    model = PerceptronRegressor(missing="error").fit(whole, Y[: len(whole)])
    model.predict(whole)
    with pytest.raises(InputError, match="X, rows 4 and 31, column 'length'"):
        model.predict(FRAME.assign(island="Dream", eggs=1))
    X = np.arange(12.0).reshape(6, 2)
    plain = PerceptronRegressor(missing="error", alpha=1.0).fit(X, X[:, 0])
    X[2, 1] = np.nan
    for ask in (lambda: plain.predict(X), lambda: clone(plain).fit(X, X[:, 0])):
        with pytest.raises(InputError, match="X, row 3, column 'x2': this cell is empty"):
            ask()


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (
            lambda m: m.predict(FRAME.drop(columns="length")),
            "X: the column 'length', which the model needs, is missing",
        ),
        (lambda m: m.predict(FRAME.assign(length="long")), "X, row 1, column 'length': 'long' is not a number"),
        (lambda m: m.predict(FRAME.assign(length=np.inf)), "column 'length': these cells are infinite"),
        (lambda m: clone(m).fit(FRAME.assign(length=np.inf), Y), "column 'length': these cells are infinite"),
        (lambda m: clone(m).fit(FRAME.assign(length=[1, "x"] * 40), Y), "row 1 holds 1 (int) and row 2 'x' (str)"),
        (lambda m: clone(m).fit(FRAME, Y.where(Y.index != 4)), "y is missing in row 5:"),
        (lambda m: clone(m).fit(FRAME, [None, *Y[1:]]), "y is missing in row 1:"),
        (lambda m: clone(m).fit(FRAME, Y.astype("Float64").where(Y.index % 4 != 3)), "row 4 and in 19 other places"),
        (lambda m: clone(m).fit(FRAME.to_numpy()[:, 2:3].astype(float), ["1", "two"] * 40), "y is 'two' in row 2"),
        (lambda m: clone(m).fit(FRAME, ["1", "two"] * 40), "y is 'two' in row 2, and a regression needs numbers"),
        (lambda m: clone(m).fit(FRAME, pd.to_timedelta(np.arange(80), "D")), "y holds dates or durations"),
        (lambda m: clone(m).fit(FRAME, pd.date_range("2024-01-01", periods=80)), "y holds dates or durations"),
        (lambda m: clone(m).fit(FRAME, Y[:-1]), "inconsistent numbers of samples"),
        (lambda m: m.predict(FRAME.to_numpy()[:, :3]), "X has 3 features, but PerceptronRegressor is expecting 8"),
        (lambda m: m.predict(FRAME.iloc[0]), "X is of the type Series, and rows to predict are a frame"),
        (lambda m: m.predict(dict(FRAME.iloc[0])), "X is of the type dict, and rows to predict are a frame"),
        (lambda m: clone(m).fit(FRAME[[]], Y), "X: the frame has no columns"),
        (lambda m: m.set_params(columns={"lenght": "number"}).fit(FRAME, Y), "did you mean 'length'?"),
        (lambda m: m.set_params(columns={"length": "amount"}).fit(FRAME, Y), "cannot be 'amount'"),
        (lambda m: m.set_params(columns={"island": "number"}).fit(FRAME, Y), "column 'island'"),
        (lambda m: m.set_params(columns=["length"]).fit(FRAME, Y), "columns=['length'] must be a dict"),
        (lambda m: m.set_params(missing="drop").fit(FRAME, Y), "missing='drop'"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_cannot_be_used_is_one_sentence(
    model: PerceptronRegressor, ask: Callable[[PerceptronRegressor], object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=r".*") as error:
        ask(pickle.loads(pickle.dumps(model)))
    assert sentence in str(error.value)


def test_what_is_given_is_never_changed(model: PerceptronRegressor) -> None:
    frame, y = mixed(), targets(mixed())
    PerceptronRegressor(columns={"site": "number"}).fit(frame, y).predict(frame)
    pd.testing.assert_frame_equal(frame, mixed())
    pd.testing.assert_series_equal(y, targets(mixed()))


# --- what columns are ---


def test_levels_and_kinds_can_be_given() -> None:
    columns: dict[str, Any] = {"island": ["Torgersen", "Dream", "Biscoe"], "site": "number", "ringed": "category"}
    model = PerceptronRegressor(columns=columns).fit(FRAME, Y)
    found = {column.name: column for column in model.schema_.columns}
    assert (found["island"].reference, found["island"].levels) == ("Torgersen", ("Dream", "Biscoe"))
    assert found["site"].kind == "number"
    assert found["ringed"].kind == "category"
    assert "island (reference Torgersen)" in str(model.summary())
    again = clone(model).fit(FRAME, Y)
    assert again.get_params()["columns"] is columns or again.get_params()["columns"] == columns
    assert again.schema_ == model.schema_


def test_the_order_of_a_category_is_kept_and_its_unused_levels_are_not() -> None:
    model = PerceptronRegressor().fit(FRAME[FRAME["size"] != "small"], Y[FRAME["size"] != "small"])
    size = next(column for column in model.schema_.columns if column.name == "size")
    assert (size.reference, size.levels) == ("middle", ("large",))
    enum = pl.from_pandas(FRAME).with_columns(pl.col("size").cast(pl.String).cast(pl.Enum(list(SIZES.categories))))
    size = PerceptronRegressor().fit(enum, Y).schema_.columns[1]
    assert (size.reference, size.levels) == ("small", ("middle", "large"))


def test_columns_of_numbers_can_be_categories() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 3, (60, 2)).astype(float), rng.normal(size=60)
    for given, name in ((X, "x2"), (pd.DataFrame(X, columns=["a", "b"]), "b"), (pl.DataFrame(X, ["a", "b"]), "b")):
        model = PerceptronRegressor(columns={name: "category"}).fit(given, y)
        assert [column.kind for column in model.schema_.columns] == ["number", "category"]
        assert model.coef_.shape == (3,)
        means = [model.predict(given)[X[:, 1] == level].mean() for level in (0.0, 1.0, 2.0)]
        np.testing.assert_allclose(means, [y[X[:, 1] == level].mean() for level in (0.0, 1.0, 2.0)])
    with pytest.raises(InputError, match="rows of files come with theirs"):
        PerceptronRegressor(missing="error").fit_rows(object.__new__(FileRows))


def test_a_study_of_a_frame_keeps_the_order_of_categories() -> None:
    study = newtron.fit(FRAME.assign(mass=Y), "mass", model="perceptron", verbose=0)
    found = {column.name: column for column in study.model.schema_.columns}
    assert (found["size"].reference, found["size"].levels) == ("small", ("middle", "large"))
    assert found["site"].kind == "category"
    np.testing.assert_array_equal(study.model.predict(FRAME), study.model.predict(in_polars()))


# --- NaN in arrays ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_in_an_array_is_the_mean_and_marked(dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 3)).astype(dtype)
    y = X @ np.array([1.0, 2.0, 3.0]) + rng.normal(size=60)
    X[::7, 1] = np.nan
    gap = np.isnan(X[:, 1])
    by_hand = np.column_stack([X[:, 0], np.where(gap, np.nanmean(X[:, 1].astype(float)), X[:, 1]), gap, X[:, 2]])
    model = PerceptronRegressor().fit(X, y)
    np.testing.assert_allclose(model.coef_, PerceptronRegressor().fit(by_hand.astype(float), y).coef_, rtol=1e-9)
    assert (model.n_features_in_, model.schema_.feature_names) == (3, ("x1", "x2", "x2 is missing", "x3"))
    assert model.predict(X).shape == (60,)
    assert model.predict(X[~gap]).shape == (int((~gap).sum()),)
    assert not hasattr(model, "feature_names_in_")
    assert model.__sklearn_tags__().input_tags.allow_nan


def test_nan_after_a_fit_without_is_the_mean_and_told() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2)) + 5.0
    model = NetworkRegressor(hidden=(2,), n_starts=1, alpha=0.1).fit(X, X[:, 0])
    gap = X[:4].copy()
    gap[1, 0] = np.nan
    with pytest.warns(SchemaWarning, match="Column 'x1': 1 missing cell, though training had none"):
        found = model.predict(gap)
    gap[1, 0] = X[:, 0].mean()
    np.testing.assert_allclose(found, model.predict(gap), rtol=1e-12)


def test_infinite_numbers_and_sparse_nan_are_refused() -> None:
    import scipy.sparse as sp

    X = np.eye(4)
    model = PerceptronRegressor(alpha=1.0).fit(sp.csr_array(X), np.arange(4.0))
    with pytest.raises(ValueError, match="NaN"):
        model.predict(sp.csr_array(np.where(X > 0, np.nan, 0.0)))
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.where(X > 0, np.inf, 0.0))


# --- every question to a model ---


def test_every_question_takes_a_frame(model: PerceptronRegressor) -> None:
    frame, y = in_polars(), Y.to_numpy()
    assert model.predict_interval(frame).shape == (80, 2)
    assert model.log_density(frame, y).shape == (80,)
    assert model.predict_uncertainty(frame).mean.shape == (80,)
    assert model.certificate_.verify(FRAME, y)
    robust = [model.summary(*rows, covariance="HC3").standard_errors for rows in ((frame, y), (FRAME, Y))]
    np.testing.assert_allclose(robust[0], robust[1])
    assert "Torgersen" in str(model.explain(FRAME.iloc[0], Y.iloc[0]))
    assert str(model.explain(FRAME.iloc[:1], Y.iloc[:1])) == str(model.explain(frame[:1], y[:1]))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert str(model.explain(FRAME.iloc[0].tolist(), y[0])) == str(model.explain(frame[:1], y[:1]))
    assert model.score(FRAME, Y) > 0.5


def test_classifiers_take_frames() -> None:
    kind = np.where(Y.median() < Y, "heavy", "light")
    for model in (PerceptronClassifier(alpha=1.0), NetworkClassifier(hidden=(2,), n_starts=1, alpha=1.0)):
        model.fit(FRAME, pd.Series(kind, name="kind"), sample_weight=np.ones(80))
        assert model.model_.data.schema is not None
        assert model.model_.data.schema.target.classes == ("heavy", "light")
        np.testing.assert_array_equal(model.predict_proba(FRAME), model.predict_proba(pl.from_pandas(FRAME)))
        assert model.score(FRAME, kind) > 0.8


def test_several_targets_of_a_frame() -> None:
    Z = pd.DataFrame({"mass": Y, "less": -Y})
    model = PerceptronRegressor().fit(FRAME, Z)
    np.testing.assert_allclose(model.predict(FRAME)[:, 0], PerceptronRegressor().fit(FRAME, Y).predict(FRAME))
    assert model.model_.data.targets == ("mass", "less")


def test_an_offset_of_a_frame_by_name_and_position() -> None:
    rng = np.random.default_rng(0)
    frame = FRAME[["island", "length"]].assign(exposure=rng.normal(size=80))
    y = rng.poisson(np.exp(frame["exposure"]))
    by_name = PerceptronRegressor(loss="poisson", offset="exposure").fit(frame, y)
    by_position = PerceptronRegressor(loss="poisson", offset=2).fit(frame, y)
    np.testing.assert_array_equal(by_name.predict(frame), by_position.predict(frame))
    assert by_name.coef_[by_name.schema_.feature_names.index("exposure")] == 1.0


# --- keeping ---


def test_a_model_is_kept_by_every_way(model: PerceptronRegressor, tmp_path: Path) -> None:
    expected = model.predict(FRAME)
    model.save(tmp_path / "m.newtron")
    joblib.dump(model, tmp_path / "m.joblib")
    for again in (load(tmp_path / "m.newtron"), joblib.load(tmp_path / "m.joblib"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.predict(FRAME), expected)
        assert again.schema_ == model.schema_
        assert again.n_features_in_ == 8
        assert list(again.feature_names_in_) == list(FRAME.columns)
    given = PerceptronRegressor(columns={"island": ["Dream", "Biscoe", "Torgersen"]}, missing="indicator").fit(FRAME, Y)
    given.save(tmp_path / "given.newtron")
    again = load(tmp_path / "given.newtron")
    assert again.get_params()["columns"] == {"island": ("Dream", "Biscoe", "Torgersen")}
    assert clone(again).fit(FRAME, Y).schema_ == given.schema_


def _column(path: Path, name: str = "prediction") -> np.ndarray[Any, Any]:
    return pd.read_csv(path)[name].to_numpy()


def test_a_model_of_python_predicts_files(model: PerceptronRegressor, tmp_path: Path) -> None:
    words = ["predict", str(tmp_path / "m.newtron"), str(tmp_path / "d.csv"), "--output", str(tmp_path / "p.csv")]
    model.save(tmp_path / "m.newtron")
    FRAME.assign(waited=in_days(FRAME["waited"]), mass=Y).to_csv(tmp_path / "d.csv", index=False)
    assert main(words) == 0
    np.testing.assert_allclose(_column(tmp_path / "p.csv"), model.predict(FRAME), rtol=1e-12)
    X = np.random.default_rng(0).normal(size=(20, 2))
    bools = pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0.0})
    for given, names in ((X, ["x1", "x2"]), (pd.DataFrame(X, columns=["a", "b"]), ["a", "b"]), (bools, ["a", "b"])):
        plain = PerceptronRegressor().fit(given, X[:, 0] - X[:, 1] ** 2)
        plain.save(tmp_path / "m.newtron")
        pd.DataFrame(given).set_axis(names, axis=1).to_csv(tmp_path / "d.csv", index=False)
        assert main(words) == 0
        np.testing.assert_allclose(_column(tmp_path / "p.csv"), plain.predict(given), rtol=1e-12)


@pytest.mark.slow
def test_a_model_of_the_command_predicts_frames(tmp_path: Path) -> None:
    frame = FRAME.drop(columns="waited").assign(mass=Y)
    frame.to_csv(tmp_path / "d.csv", index=False)
    path = str(tmp_path / "m.newtron")
    words = ["fit", str(tmp_path / "d.csv"), "--target", "mass", "--model", "perceptron", "--output", path]
    assert main(words) == 0
    assert main(["predict", path, str(tmp_path / "d.csv"), "--output", str(tmp_path / "p.csv")]) == 0
    model = load(path)
    for given in (frame, pl.from_pandas(frame), frame.drop(columns="mass")):
        np.testing.assert_allclose(model.predict(given), _column(tmp_path / "p.csv"), rtol=1e-12)


def test_a_model_of_rows_of_files_predicts_frames(tmp_path: Path) -> None:
    FRAME.assign(size=FRAME["size"].astype(str), mass=Y).to_parquet(tmp_path / "d.parquet")
    rows = FileRows(tmp_path / "d.parquet", "mass")
    model = PerceptronRegressor().fit_rows(rows)
    X = encode(rows.schema, read_table(tmp_path / "d.parquet")).X
    np.testing.assert_array_equal(model.predict(FRAME), model.predict(X))
    with pytest.raises(ValueError, match="NaN"):
        model.predict(np.where(X > 0, np.nan, X))


# --- scikit-learn's tools ---


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::newtron.SchemaWarning")  # some folds have no missing cell
def test_searches_and_cross_validation_take_frames() -> None:
    for frame in (FRAME, in_polars()):
        scores = cross_val_score(PerceptronRegressor(alpha=1.0), frame, Y, cv=3)
        assert scores.mean() > 0.5
    grid = {"alpha": [0.1, 10.0], "columns": [None, {"site": "number"}], "missing": ["indicator"]}
    search = GridSearchCV(PerceptronRegressor(), grid, cv=3).fit(FRAME, Y)
    assert search.predict(FRAME).shape == (80,)
    assert search.best_score_ > 0.5


def test_transformers_may_stand_before() -> None:
    scaled = ColumnTransformer(
        [("number", StandardScaler(), ["length"])], remainder="passthrough", verbose_feature_names_out=False
    )
    for container in ("pandas", "polars"):
        pipe = make_pipeline(clone(scaled).set_output(transform=container), PerceptronRegressor())
        frame = FRAME if container == "pandas" else in_polars()
        pipe.fit(frame, Y)
        found = pipe[-1]
        assert isinstance(found, PerceptronRegressor)
        assert "island=Dream" in found.schema_.feature_names
        np.testing.assert_allclose(pipe.predict(frame), PerceptronRegressor().fit(FRAME, Y).predict(FRAME), rtol=1e-8)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Found unknown categories")
@pytest.mark.filterwarnings("ignore::newtron.SchemaWarning")
def test_the_vectorizer_of_skrub_may_stand_before() -> None:
    skrub = pytest.importorskip("skrub")
    pipe = make_pipeline(skrub.TableVectorizer(), PerceptronRegressor(alpha=1.0))
    assert cross_val_score(pipe, FRAME, Y, cv=3).mean() > 0.3


@pytest.mark.slow
def test_inspection_takes_frames(model: PerceptronRegressor) -> None:
    import matplotlib

    matplotlib.use("Agg")
    found = permutation_importance(model, FRAME, Y, n_repeats=2, random_state=0)
    assert found.importances_mean.shape == (8,)
    assert found.importances_mean[0] > 0.01
    frame = FRAME.dropna()
    found = partial_dependence(model, frame, ["length"], kind="average")
    slope = model.coef_[model.schema_.feature_names.index("length")]
    np.testing.assert_allclose(np.diff(found["average"][0]), slope * np.diff(found["grid_values"][0]), rtol=1e-6)
    shown = partial_dependence(model, frame, ["island"], categorical_features=["island"])
    assert shown["average"].shape == (1, 3)
    PartialDependenceDisplay.from_estimator(model, frame, ["length", "size"], categorical_features=["size"])


def test_warnings_of_the_schema_can_be_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SchemaWarning)
        with pytest.raises(SchemaWarning):
            PerceptronRegressor().fit(FRAME.assign(same=1), Y)


@pytest.mark.parametrize(
    ("name", "target", "model"),
    [
        ("penguins", "species", PerceptronClassifier(alpha=1.0)),
        ("ships", "incidents", PerceptronRegressor(loss="poisson", alpha=1.0)),
        ("concrete", "strength_mpa", PerceptronRegressor(columns={})),  # which are numbers alone
    ],
)
def test_a_frame_is_learnt_as_the_file_that_it_was_read_from(name: str, target: str, model: Any) -> None:
    path = Path(__file__).resolve().parents[2] / "examples" / f"{name}.csv"
    of_file = learn_schema(read_table(path), target)
    frame = pd.read_csv(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        found = clone(model).fit(frame.drop(columns=target), frame[target]).schema_
    assert found.columns == of_file.columns
    assert found.dropped == of_file.dropped
    assert (found.target.name, found.target.classes) == (of_file.target.name, of_file.target.classes)
