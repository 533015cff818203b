"""A schema as JSON: an exact round trip, and strict reading that names the field at fault."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newtron.engine.base.codec import from_json, to_json
from newtron.engine.base.errors import InputError
from newtron.table import Column, Schema, Table, Target, encode, learn_schema
from newtron.table.schema import Kind, Task


def table_of(**columns: Any) -> Table:
    return Table("t.csv", pa.table(columns))


def training() -> Table:
    return table_of(
        number=[1.0, 2.0, None, 6.0, 1.0, 5.0],
        whole=[1, 2, 3, 6, 2, 2],
        flag=["yes", "no", "Yes", None, "no", "no"],
        level=["a", "a", "b", "c", "a", "a"],
        gap=["u", None, "u", "v", "v", "u"],
        day=["1970-01-02", "1970-01-03 12:00", "1970-01-01T02:00+02:00", "1969-12-31", "1970-01-05", None],
        y=[1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
    )


names = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def columns(draw: st.DrawFn, name: str) -> Column:
    kind: Kind = draw(st.sampled_from(["number", "date", "yes/no", "category"]))
    missing = draw(st.booleans())
    indicator = missing and draw(st.booleans())
    levels = draw(st.lists(names, min_size=2, max_size=6, unique=True))
    n_pooled = draw(st.sampled_from([0, 2])) if len(levels) > 3 else 0
    own, pooled = tuple(levels[1 : len(levels) - n_pooled]), tuple(levels[len(levels) - n_pooled :])
    width = indicator + (len(own) + bool(pooled) if kind == "category" else 1)
    encoded = tuple(f"{name}/{i}" for i in range(width))
    if kind == "category":
        shares = tuple(draw(st.lists(numbers, min_size=width, max_size=width)))
        return Column(name, kind, encoded, None, own, levels[0], pooled, shares, missing, indicator)
    binary = kind == "yes/no"
    marked, base = (own[:1], levels[0]) if binary else ((), None)
    return Column(name, kind, encoded, draw(numbers), marked, base, (), (), missing, indicator)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    column_names = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    unique_columns = tuple(draw(columns(f"{i}{name}")) for i, name in enumerate(column_names))
    labels = draw(
        st.lists(names, min_size=2, max_size=4, unique=True)
        | st.lists(st.integers(-(2**63), 2**64 - 1) | numbers, min_size=2, max_size=4, unique=True)
        | st.just([False, True])
    )
    classes = draw(st.sampled_from([(), tuple(labels)]))
    task: Task = "classification" if classes else "regression"
    return Schema(
        unique_columns,
        Target(draw(names), task, classes, draw(names)),
        tuple(draw(st.lists(st.tuples(names, names), max_size=3))),
        tuple(draw(st.lists(names, max_size=3))),
    )


@pytest.mark.slow
@settings(deadline=None)
@given(schemas())
def test_json_round_trip_is_exact(schema: Schema) -> None:
    again = from_json(json.loads(json.dumps(to_json(schema), allow_nan=False)), Schema, "schema")
    assert again == schema
    assert [type(label) for label in again.target.classes] == [type(label) for label in schema.target.classes]


def test_a_schema_read_back_encodes_the_same() -> None:
    schema = learn_schema(training(), "y")
    again = from_json(json.loads(json.dumps(to_json(schema))), Schema, "schema")
    np.testing.assert_array_equal(encode(again, training()).X, encode(schema, training()).X)


REMOVE = object()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("warnings",), REMOVE, "schema.warnings is missing"),
        (("columns",), {}, "schema.columns"),
        (("columns",), [], "columns of a schema must be one or more"),
        (("columns", 0), None, "schema.columns[0]"),
        (("columns", 0, "name"), 5, "schema.columns[0].name"),
        (("columns", 0, "name"), REMOVE, "schema.columns[0].name is missing"),
        (("columns", 0, "extra"), 5, "schema.columns[0].extra"),
        (("columns", 0, "name"), "whole", "twice"),
        (("columns", 0, "kind"), "tensor", "schema.columns[0].kind"),
        (("columns", 0, "kind"), ["number"], "schema.columns[0].kind"),
        (("columns", 0, "kind"), "category", "schema.columns[0]"),
        (("columns", 0, "mean"), float("nan"), "schema.columns[0].mean"),
        (("columns", 0, "mean"), float("inf"), "schema.columns[0].mean"),
        (("columns", 0, "mean"), 10**400, "schema.columns[0].mean"),
        (("columns", 0, "mean"), "3", "schema.columns[0].mean"),
        (("columns", 0, "mean"), None, "schema.columns[0]: mean of the column"),
        (("columns", 0, "mean"), True, "schema.columns[0].mean"),
        (("columns", 0, "encoded"), ["number"], "schema.columns[0]: encoded of the column"),
        (("columns", 0, "encoded"), "number", "schema.columns[0].encoded"),
        (("columns", 0, "missing_seen"), 1, "schema.columns[0].missing_seen"),
        (("columns", 0, "missing_seen"), False, "schema.columns[0]: indicator of the column"),
        (("columns", 0, "levels"), ["a"], "schema.columns[0]: levels of the column"),
        (("columns", 0, "reference"), "a", "schema.columns[0]: reference of the column"),
        (("columns", 0, "pooled"), ["a"], "schema.columns[0]: pooled of the column"),
        (("columns", 0, "shares"), [0.5], "schema.columns[0]: shares of the column"),
        (("columns", 2, "reference"), None, "schema.columns[2]: reference of the column"),
        (("columns", 3, "shares"), [], "schema.columns[3]: shares of the column"),
        (("columns", 3, "shares", 0), float("-inf"), "schema.columns[3].shares[0]"),
        (("columns", 3, "reference"), "b", "schema.columns[3]: levels of the column"),
        (("columns", 1, "encoded", 0), "number", "twice"),
        (("target",), None, "schema.target"),
        (("target", "task"), "ranking", "schema.target.task"),
        (("target", "task"), "classification", "schema.target: classes of the target"),
        (("target", "classes"), ["a"], "schema.target: classes of the target"),
        (("target", "classes"), [None], "schema.target.classes[0]"),
        (("target", "classes"), [float("nan")], "schema.target.classes[0]"),
        (
            ("target",),
            {"name": "y", "task": "classification", "classes": ["a", 1], "why": "", "reading": None},
            "schema.target: classes of the target",
        ),
        (("target", "why"), 1, "schema.target.why"),
        (("dropped",), [["a"]], "schema.dropped[0]"),
        (("dropped",), "no", "schema.dropped"),
        (("warnings",), [1], "schema.warnings[0]"),
    ],
)
def test_json_is_read_strictly(path: tuple[Any, ...], value: Any, part: str) -> None:
    whole = json.loads(json.dumps(to_json(learn_schema(training(), "y"))))
    place = whole
    for step in path[:-1]:
        place = place[step]
    if value is REMOVE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(InputError) as caught:
        from_json(whole, Schema, "schema")
    assert part in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "schema", 5])
def test_json_that_is_no_schema(value: Any) -> None:
    with pytest.raises(InputError, match="schema must be an object"):
        from_json(value, Schema, "schema")
