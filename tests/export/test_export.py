"""Exported models give newtron's predictions in their real consumers, from cells that are missing or new too."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.consumers import CONSUMERS, Cells, in_c, without_newtron
from support.present import present

from newtron import InputError, NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.engine.base.types import Array
from newtron.export.walk import program_of
from newtron.model.predicting import intervals, most_probable, predicted
from newtron.table import Table, encode, encode_target, learn_schema
from newtron.table.choices import ColumnChoices
from newtron.table.frames import table_of
from newtron.training.fitted import FittedModel

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TOLERANCE = 1e-12
COVERAGE = 0.9
ROWS = 24  # of each table, of those that are predicted


class Case(NamedTuple):
    """A model, and rows that it predicts: columns of cells, or of (n, p) numbers by the names x1, x2, ..."""

    model: FittedModel
    columns: Cells
    interval: float | None = None

    @property
    def inputs(self) -> Array:
        """The rows as newtron's own encoder has them."""
        schema = self.model.data.schema
        if schema is None:
            X = np.array(list(self.columns.values()), dtype=np.float64).T
            means = self.model.data.column_means
            return X if means is None else np.where(np.isnan(X), means, X)
        return encode(schema, Table("rows", pa.table(self.columns))).X


# --- models ---


def of_table(columns: Cells, target: str, estimator: Any, choices: ColumnChoices | None = None) -> Case:
    """A model of a table, with its schema, and some of its rows: as they are, and with missing and new cells."""
    table = Table("data", pa.table(columns))
    schema = learn_schema(table, target, choices=choices or ColumnChoices())
    y, kept = encode_target(schema.target, table)
    classes = schema.target.classes
    estimator.fit(encode(schema, table).X[kept], np.array(classes)[y.astype(int)] if classes else y)
    data = replace(estimator.model_.data, names=tuple(schema.feature_names), targets=(target,), schema=schema)
    names = [column.name for column in schema.columns]
    rows = {name: columns[name][:ROWS] for name in names}
    texts = {column.name for column in schema.columns if column.kind in ("category", "yes/no")}
    if schema.missing == "indicator":
        for name in names:
            rows = {other: [*cells, None if other == name else cells[0]] for other, cells in rows.items()}
        rows = {name: [*cells, None] for name, cells in rows.items()}
    new = {name: "never seen" if isinstance(cells[0], str) else cells[0] for name, cells in rows.items()}
    rows = {name: [*cells, new[name] if name in texts else cells[1]] for name, cells in rows.items()}
    return Case(replace(estimator.model_, data=data), rows)


def example(name: str, most: int = 10**6) -> Cells:
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    table = pyarrow.csv.read_csv(EXAMPLES / name, convert_options=options)
    return {name: cells[:most] for name, cells in table.to_pydict().items()}


def of_arrays(estimator: Any, *, classes: int = 0, targets: int = 1, columns: int = 3) -> Case:
    """A model of plain arrays."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, columns)) * [1.0, 30.0, 0.1][:columns] + [0.0, 5.0, 2000.0][:columns]
    Y = np.sin(X[:, :1]) + X @ rng.normal(size=(columns, targets)) + rng.normal(size=(60, targets))
    y: Any = Y if targets > 1 else Y[:, 0]
    if classes:
        y = np.array(["a", "b", "c"])[np.digitize(Y[:, 0], np.quantile(Y[:, 0], [0.3, 0.6]))]
        y = y if classes == 3 else y == "a"
    estimator.fit(X, y)
    cells = {f"x{j}": [*X[:ROWS, j - 1].tolist(), None] for j in range(1, columns + 1)}
    return Case(estimator.model_, cells | {"x1": [None, *cells["x1"][1:]]})


def mixed_columns() -> Cells:
    """A table of dates, times, flags, levels of which some are rare, numbers, and missing cells in some of them."""
    rng = np.random.default_rng(5)
    start = datetime(2023, 11, 28)
    columns: Cells = {
        "day": [(start + timedelta(days=int(d))).date() for d in rng.integers(0, 800, 80)],
        "moment": [start + timedelta(seconds=int(s)) for s in rng.integers(0, 10**8, 80)],
        "flag": rng.choice(["Yes", "no"], 80).tolist(),
        "known": rng.choice([True, False], 80).tolist(),
        "town": [*rng.choice(["Ulm", "Bonn", "Köln", "it's"], 76).tolist(), "Aa", "Bb", "Cc", "Dd"],
        "count": rng.integers(0, 9, 80).tolist(),
        "size": rng.lognormal(size=80).tolist(),
    }
    for name in ("flag", "town", "size"):
        columns[name] = [None if k % 11 == 5 else cell for k, cell in enumerate(columns[name])]
    columns["day"][7] = None
    columns["y"] = rng.normal(size=80).tolist()
    return columns


def poisson(offset: bool) -> Case:
    columns = example("ships.csv")
    service = np.array(columns.pop("service"), dtype=float)
    columns["exposure"] = np.log(np.maximum(service, 1.0)).tolist()
    columns["built"], columns["period"] = (list(map(str, columns[name])) for name in ("built", "period"))
    kinds = ColumnChoices(kinds={"built": "category", "period": "category"})
    # The position of the offset among the columns of the matrix: it is the last.
    width = len(encoded_names(columns, "incidents", kinds))
    estimator = PerceptronRegressor(loss="poisson", alpha=0.1, offset=width - 1 if offset else None)
    return of_table(columns, "incidents", estimator, kinds)


def grouped() -> Case:
    """Random intercepts of text and of repeated numbers, with groups that training never saw."""
    rng = np.random.default_rng(8)
    towns, x = rng.integers(0, 30, 120), rng.integers(0, 40, 120) / 8.0
    columns: Cells = {"town": [f"t{town}" for town in towns], "x": x.tolist(), "z": rng.normal(size=120).tolist()}
    columns["town"][5] = None
    y = (np.sin(x) + rng.normal(size=30)[towns] + rng.normal(size=120) > 0.0).tolist()
    estimator = NetworkClassifier(intercepts=["x", "town"], **FEW).fit(pd.DataFrame(columns), y)
    rows = {name: [*cells[:ROWS], None, cells[0], "new" if name == "town" else 99.5] for name, cells in columns.items()}
    return Case(estimator.model_, rows)


def remembering() -> Case:
    """Rows of training that come twice, beside groups: rows that were seen, rows of which one number is moved by
    less than its digits, by more, or is -0 in place of 0, and rows with missing and new cells."""
    rng = np.random.default_rng(9)
    twice = np.concatenate([np.arange(150), np.arange(50)])
    x, z = rng.normal(size=150) / 3.0, np.round(rng.normal(size=150))
    columns: Cells = {
        "town": [None if row == 8 else f"t{row % 5}" for row in twice],
        "x": [None if row == 5 else float(x[row]) for row in twice],
        "z": z[twice].tolist(),
    }
    Y = rng.normal(size=(150, 2))[twice] + 0.1 * rng.normal(size=(200, 2))
    model = NetworkRegressor(hidden=(2,), **FEW).fit(pd.DataFrame(columns), Y).model_
    # Not the groups of x, of which a number is none where its last digits differ.
    by_groups = present(model.random_intercepts)
    model = replace(model, random_intercepts=replace(by_groups, groups=by_groups.groups[1:]))
    others = [
        {"x": x[0] * (1.0 + 1e-12)}, {"x": x[0] * (1.0 + 1e-5)}, {"town": None}, {"x": None}, {"z": 1e30},
        {"town": "new"}, {"x": None, "town": None, "z": None},
        {name: cells[columns["z"].index(0.0)] for name, cells in columns.items()} | {"z": -0.0},
    ]  # fmt: skip
    rows = {name: [*cells[:ROWS], *(other.get(name, cells[0]) for other in others)] for name, cells in columns.items()}
    case = Case(model, rows)
    known = present(model.seen_rows).places(case.inputs) < 150
    assert known[[*range(ROWS + 1), -1]].all()
    assert not known[ROWS + 1 : -1].any()
    return case


def encoded_names(columns: Cells, target: str, choices: ColumnChoices) -> tuple[str, ...]:
    return learn_schema(Table("data", pa.table(columns)), target, choices=choices).feature_names


def calibrated(case: Case, temperature: float) -> Case:
    return case._replace(model=replace(case.model, temperature=temperature))


FEW: dict[str, Any] = {"n_starts": 1, "max_iter": 3, "alpha": 1.0}
CASES: dict[str, Callable[[], Case]] = {
    "species by a network": lambda: of_table(
        example("penguins.csv"), "species", NetworkClassifier(hidden=[(3,), (2, 2)], **FEW)
    ),
    "species by the mix": lambda: of_table(example("penguins.csv"), "species", NetworkClassifier(**FEW)),
    "sex by a perceptron": lambda: of_table(example("penguins.csv"), "sex", PerceptronClassifier(alpha=1.0)),
    "mass by a perceptron": lambda: of_table(example("penguins.csv"), "body_mass_g", PerceptronRegressor())._replace(
        interval=COVERAGE
    ),
    "strength by the mix": lambda: of_table(
        example("concrete.csv", 100), "strength_mpa", NetworkRegressor(n_starts=1, max_iter=5)
    ),
    "random intercepts": grouped,
    "rows seen before": remembering,
    "ships by Poisson": lambda: poisson(False),
    "ships with an offset": lambda: poisson(True),
    "dates and flags": lambda: of_table(mixed_columns(), "y", NetworkRegressor(hidden=(2,), **FEW)),
    "dates and an interval": lambda: of_table(mixed_columns(), "y", PerceptronRegressor(standardize=True))._replace(
        interval=COVERAGE
    ),
    "missing cells refused": lambda: of_table(
        example("ships.csv"), "incidents", PerceptronRegressor(), ColumnChoices(missing="error")
    ),
    "two targets": lambda: of_arrays(PerceptronRegressor(), targets=2)._replace(interval=0.5),
    "two targets by a network": lambda: of_arrays(NetworkRegressor(hidden=(3,), **FEW), targets=2),
    "no intercept": lambda: of_arrays(PerceptronRegressor(fit_intercept=False))._replace(interval=COVERAGE),
    "one column": lambda: of_arrays(PerceptronRegressor(), columns=1),
    "Firth": lambda: of_arrays(PerceptronClassifier(penalty="firth"), classes=2),
    "three classes": lambda: of_arrays(PerceptronClassifier(alpha=0.1), classes=3),
    "three classes by the mix": lambda: of_arrays(NetworkClassifier(**FEW), classes=3),
    "squared error of classes": lambda: of_arrays(PerceptronClassifier(loss="squared_error", alpha=0.1), classes=3),
    "a high temperature": lambda: calibrated(of_arrays(NetworkClassifier(hidden=(2,), **FEW), classes=2), 3.0),
    "a low temperature": lambda: calibrated(of_arrays(PerceptronClassifier(alpha=0.01), classes=3), 0.2),
    "the best of three": lambda: of_arrays(NetworkRegressor(hidden=(2,), combine="best", **(FEW | {"n_starts": 3}))),
    **{
        activation: lambda activation=activation: of_arrays(  # type: ignore[misc]
            NetworkRegressor(hidden=(4, 3), activation=activation, **FEW)
        )
        for activation in ("sigmoid", "relu", "softplus", "identity")
    },
}


@cache
def case_of(name: str) -> Case:
    return CASES[name]()


# --- predictions ---


def check(found: dict[str, Any], case: Case, tolerance: float = TOLERANCE) -> None:
    """What a consumer found is what newtron predicts."""
    model, X = case.model, case.inputs
    with np.errstate(all="ignore"):
        expected = predicted(model, X)
    if not model.is_regression:
        np.testing.assert_allclose(found["probabilities"], expected, rtol=tolerance, atol=tolerance)
        labels = model.data.known_classes[most_probable(model, X)]
        assert found["label"].tolist() == labels.tolist()
        return
    size = float(np.abs(expected).max())
    np.testing.assert_allclose(found["prediction"], expected, rtol=tolerance, atol=tolerance * size)
    assert (case.interval is None) == ("lower" not in found)
    if case.interval is not None:
        ends = intervals(model, X, case.interval)
        for name, values in zip(("lower", "upper"), np.moveaxis(ends, 2, 0), strict=True):
            np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance * size)


FIRST = ("species by the mix", "random intercepts")
OTHERS = [name for name in CASES if name not in FIRST]


@pytest.mark.parametrize("name", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_consumer_predicts_what_newtron_does(consumer: str, name: str, tmp_path: Path) -> None:
    case = case_of(name)
    if case.model.seen_rows is not None and consumer in ("onnx", "sqlite", "duckdb"):
        language = "ONNX" if consumer == "onnx" else "SQL"
        with pytest.raises(InputError, match=f"150 rows of training by hashes .* which {language} cannot compute: "):
            CONSUMERS[consumer](case.model, case.columns, tmp_path)
        return
    check(CONSUMERS[consumer](case.model, case.columns, tmp_path, case.interval), case)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["species by a network", "dates and flags", "mass by a perceptron"])
@pytest.mark.parametrize("consumer", ["sqlite", "duckdb"])
def test_a_database_may_hold_all_cells_as_text(consumer: str, name: str, tmp_path: Path) -> None:
    case = case_of(name)
    texts = {name: [as_text(cell) for cell in cells] for name, cells in case.columns.items()}
    check(CONSUMERS[consumer](case.model, texts, tmp_path, case.interval), case)


def as_text(cell: object) -> str | None:
    return "NA" if cell is None else cell.isoformat(" ") if isinstance(cell, datetime) else str(cell)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_missing_cell_that_is_refused_makes_the_prediction_missing(consumer: str, tmp_path: Path) -> None:
    case = case_of("missing cells refused")
    for name in ("type", "service"):
        columns = {other: [None, cells[1]] if other == name else cells[:2] for other, cells in case.columns.items()}
        found = CONSUMERS[consumer](case.model, columns, tmp_path)["prediction"]
        expected = predicted(case.model, case.inputs)[1]
        assert np.isnan(found[0]).all()
        np.testing.assert_allclose(found[1], expected, rtol=TOLERANCE)


@pytest.mark.parametrize("consumer", ["c", "sqlite", "duckdb"])
def test_a_row_without_probabilities_has_no_class(consumer: str, tmp_path: Path) -> None:
    case = case_of("three classes by the mix")
    model = replace(case.model, data=replace(case.model.data, column_means=None))
    columns = {name: [None if name == "x2" else cells[1], cells[2]] for name, cells in case.columns.items()}
    found = CONSUMERS[consumer](model, columns, tmp_path)
    assert found["label"][0] is None
    assert found["label"][1] is not None
    assert np.isnan(found["probabilities"][0]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["species by a network", "species by the mix", "mass by a perceptron", "softplus", "rows seen before"]
)
def test_c_computes_in_single_precision_where_it_is_told_to(name: str, tmp_path: Path) -> None:
    case = case_of(name)
    check(in_c(case.model, case.columns, tmp_path, case.interval, real="float"), case, 2e-4)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_row_far_from_all_of_training_is_predicted(consumer: str, tmp_path: Path) -> None:
    """It is near no landmark."""
    case = case_of("three classes by the mix")
    case = case._replace(columns={name: [3.0, 1e9, -1e9] for name in case.columns})
    check(CONSUMERS[consumer](case.model, case.columns, tmp_path), case)


def test_rows_of_training_are_written_only_where_a_member_that_shares_compares_with_them() -> None:
    model = case_of("three classes by the mix").model
    landmarks = model.scaling.landmarks
    assert landmarks is not None
    for share in (1 / 3, 0.0):
        members = [replace(m, share=share) if m.first_input else m for m in model.members]
        program = program_of(replace(model, members=tuple(members)))
        said = f"This file holds {len(landmarks.points)} rows of training, without their targets"
        held = [constant for constant in program.constants if constant.values is landmarks.points]
        assert len(held) == sum(said in text for text in program.about) == (share > 0.0)


# --- names ---

ODD = st.one_of(
    st.sampled_from(
        [
            "int",
            "select",
            "class",
            "row",
            "label",
            "prediction",
            "probabilities",
            "x1",
            "c1",
            "k1",
            "newtron_1",
            "x",
            "NaN",
            "1",
            "1.0",
            "linux",
        ]
    ),
    st.sampled_from(["a b", "a_b", "a-b", "ä", "Ä", "日本", "'", '"', '""', "*/", "/*", "??/", "\\", "\n", "--", ";"]),
    st.sampled_from(['"""', "'''", "{", "%s", "@", "/x", "/constant1", "\t", "\u202e", "#", "# *"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6),
)


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(
    names=st.lists(ODD, min_size=3, max_size=4, unique_by=str.casefold),
    levels=st.lists(ODD, min_size=2, max_size=4, unique=True),
)
def test_names_are_escaped_in_every_language(
    names: list[str], levels: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(1)
    columns: Cells = {name: rng.normal(size=40).tolist() for name in names}
    columns[names[0]] = [levels[k] for k in rng.integers(0, 2, 40)]
    columns[names[-1]] = [levels[k] for k in rng.integers(0, len(levels), 40)]
    kinds = ColumnChoices(kinds={names[0]: "category"})
    case = of_table(columns, names[-1], PerceptronClassifier(alpha=1.0), kinds)
    for consumer in CONSUMERS:
        check(CONSUMERS[consumer](case.model, case.columns, tmp_path_factory.mktemp(consumer)), case)


# --- frames ---


def frame_of_all_types(rows: int = 60) -> pd.DataFrame:
    """A frame with a column of each type that a schema knows, and missing cells in some."""
    rng = np.random.default_rng(0)
    k = np.arange(rows)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=rows),
            "nullable": pd.array([None if i % 7 == 0 else i % 4 for i in range(rows)], dtype="Int64"),
            "bool": rng.random(rows) > 0.5,
            "maybe": pd.array([None if i % 9 == 0 else i % 2 == 1 for i in range(rows)], dtype="boolean"),
            "ordered": pd.Categorical(np.array(["lo", "mid", "hi"])[k % 3], ["lo", "mid", "hi"], ordered=True),
            "codes": pd.Categorical(k % 3),
            "text": np.array(["x", " y ", "NA", None], dtype=object)[k % 4],
            "moment": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 10**7, rows), unit="s"),
            "duration": pd.to_timedelta(rng.integers(0, 10**5, rows), unit="s"),
        }
    )
    frame.loc[3, "moment"] = pd.NaT
    frame.loc[4, "duration"] = pd.NaT
    return frame


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_module_takes_the_frame_that_was_fitted(library: str, tmp_path: Path) -> None:
    given: Any = frame_of_all_types()
    if library == "polars":
        given = pl.from_pandas(given.drop(columns="codes"))
    model = PerceptronRegressor(alpha=1.0).fit(given, np.sin(np.arange(60.0)))
    model.export(tmp_path / "model.py")
    with without_newtron():
        module = runpy.run_path(str(tmp_path / "model.py"))
    np.testing.assert_allclose(module["predict"](given), model.predict(given), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("consumer", CONSUMERS)
def test_a_model_of_a_frame_is_exported_with_its_columns(consumer: str, tmp_path: Path) -> None:
    frame = frame_of_all_types()
    model = PerceptronRegressor(alpha=1.0).fit(frame, np.sin(np.arange(60.0))).model_
    cells = {str(name): list(map(plain_cell, column)) for name, column in table_of(frame).data.to_pydict().items()}
    found = CONSUMERS[consumer](model, cells, tmp_path)["prediction"]
    expected = predicted(model, encode(model.data.schema, table_of(frame)).X)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def plain_cell(cell: Any) -> object:
    """A duration in days; any other cell as it is."""
    return cell / timedelta(days=1) if isinstance(cell, timedelta) else cell
