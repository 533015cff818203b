"""The codec: every value returns to the last bit, and a file that is not as it must be is refused by its field."""

from __future__ import annotations

import enum
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron.engine.base.checks import check_number
from newtron.engine.base.codec import Codec, FlatNumbers
from newtron.engine.base.errors import InputError
from newtron.engine.base.forms import Hint
from newtron.engine.base.strict_json import parse_json
from newtron.engine.base.types import Array, Json, Labels


class Colour(enum.Enum):
    RED = "a"
    BLUE = "b"


@dataclass(frozen=True)
class Row:
    number: int
    value: float


@dataclass(frozen=True)
class Point:
    name: str
    at: Array
    size: float = 1.0

    def __post_init__(self) -> None:
        check_number("size", self.size, above=0.0)


@dataclass(frozen=True)
class Everything:
    count: int
    flag: bool
    text: str
    number: float
    maybe: int | float | None
    rule: float | str
    method: Literal["kfac", "adam"]
    sign: Literal[-1, 0, 1] | None
    colour: Colour | None
    shape: tuple[int, ...]
    shapes: str | tuple[int, ...] | list[int | tuple[int, ...] | list[int]]
    pair: tuple[str, float]
    points: list[Point]
    counts: Mapping[str, int]
    weights: dict[bool | int | float | str, float] | None
    rows: tuple[Row, ...]
    matrix: Array
    columns: NDArray[np.intp]
    classes: Labels | None
    first: Point | str | None
    left_out: Array | None = field(default=None, metadata={"derived": True})


def everything(**changed: object) -> Everything:
    values: dict[str, object] = {
        "count": -3,
        "flag": True,
        "text": "né \"'\\",
        "number": math.pi,
        "maybe": None,
        "rule": "evidence",
        "method": "adam",
        "sign": -1,
        "colour": Colour.BLUE,
        "shape": (2, 3),
        "shapes": [(2,), [3, 2], 4],
        "pair": ("a", 0.1),
        "points": [Point("p", np.array([0.1, -0.0])), Point("q", np.empty(0), 2.0)],
        "counts": {"value": 3, "hessian": 0},
        "weights": {True: 1.0, 2: 0.5, 2.5: 1.0, "x": 3.0},
        "rows": (Row(0, 1.5), Row(1, math.nan)),
        "matrix": np.asfortranarray([[1.0, np.nan], [np.inf, 5e-324], [0.0, -1.0]]),
        "columns": np.array([0, 2], dtype=np.intp),
        "classes": np.array(["a", "né"]),
        "first": "none",
        "left_out": np.ones(2),
    }
    return Everything(**{**values, **changed})  # type: ignore[arg-type]


CODEC = Codec()


def stored(value: object, hint: Hint, codec: Codec = CODEC) -> tuple[Json, NDArray[np.float64]]:
    """As JSON that went through its text, and the numbers beside it."""
    numbers = FlatNumbers()
    text = json.dumps(codec.write(value, hint, numbers), allow_nan=False)
    return json.loads(text), numbers.vector


def returned(value: object, hint: type, codec: Codec = CODEC) -> object:
    text, vector = stored(value, hint, codec)
    numbers = FlatNumbers(vector)
    found: object = codec.read(text, hint, numbers)
    assert numbers.all_read
    return found


def same(one: object, other: object) -> bool:
    """The same types and bits, but for what is derived."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        order = one.flags.f_contiguous == other.flags.f_contiguous
        return (
            order
            and (one.shape, one.dtype) == (other.shape, other.dtype)
            and one.tolist() is not None
            and (one.tobytes("A") == other.tobytes("A") if one.dtype != object else one.tolist() == other.tolist())
        )
    if isinstance(one, float | np.floating):
        return np.asarray(one).tobytes() == np.asarray(other).tobytes()
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return same(list(one.items()), list(other.items()))
    if hasattr(one, "__dataclass_fields__"):
        names = [name for name, of in one.__dataclass_fields__.items() if not of.metadata.get("derived")]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return one == other


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {
            "maybe": 2,
            "rule": 0.25,
            "shapes": (4, 4),
            "weights": None,
            "classes": None,
            "first": None,
            "colour": None,
            "sign": None,
        },
        {"maybe": 2.0, "rule": math.inf, "shapes": "auto", "first": Point("r", np.zeros(3))},
        {"number": np.float64(0.1), "rule": np.float32(0.1), "maybe": -math.inf, "rows": (), "shape": ()},
        {"matrix": np.array([[0.1, np.inf]], dtype=np.float32), "classes": np.array(["a", "b"], dtype=object)},
        {"matrix": np.empty((0, 0)), "classes": np.array([-1, 2], dtype=np.int8), "points": []},
        {"classes": np.array([0, 2**64 - 1], dtype=np.uint64), "number": -0.0},
        {"classes": np.array([False, True]), "matrix": np.array(0.5)},
        {"classes": np.array([0.5, 1.5], dtype=np.float16)},
    ],
)
def test_every_bit_returns(changed: dict[str, object]) -> None:
    value = everything(**changed)
    found = returned(value, Everything)
    assert same(value, found)
    assert isinstance(found, Everything)
    assert found.left_out is None
    assert stored(found, Everything)[0] == stored(value, Everything)[0]


def test_numpy_scalars_are_what_they_hold_and_whole_numbers_become_numbers() -> None:
    found = returned(everything(count=np.int64(5), flag=np.bool_(False), number=3), Everything)
    assert isinstance(found, Everything)
    assert (type(found.count), type(found.flag), type(found.number)) == (int, bool, float)


class Shape:
    """A base class of the kinds below."""


class Plain(Shape):
    """It has no fields."""


@dataclass(frozen=True)
class Circle(Shape):
    radius: float = 1.0


@dataclass(frozen=True)
class Stranger(Shape):
    radius: float = 1.0


@dataclass(frozen=True)
class Drawing:
    shape: str | Shape
    other: Shape | None = None


KINDS = Codec({Shape: {"plain": Plain, "circle": Circle}})


def test_subclasses_are_stored_by_their_names() -> None:
    text, _ = stored(Drawing(Circle(2.0), Plain()), Drawing, KINDS)
    assert text == {"shape": {"circle": {"radius": 2.0}}, "other": "plain"}
    found = returned(Drawing(Circle(2.0), Plain()), Drawing, KINDS)
    assert isinstance(found, Drawing)
    assert found.shape == Circle(2.0)
    assert type(found.other) is Plain
    assert returned(Drawing("auto"), Drawing, KINDS) == Drawing("auto")
    with pytest.raises(InputError, match=r"other: a file names .*Shape that newtron has \(plain, circle\), and Strang"):
        stored(Drawing("auto", Stranger()), Drawing, KINDS)
    with pytest.raises(InputError, match=r"shape: .*and Stranger is none of them"):
        stored(Drawing(Stranger()), Drawing, KINDS)


def test_a_class_without_kinds_is_never_stored() -> None:
    @dataclass(frozen=True)
    class Held:
        what: Point | Stranger | None

    codec = Codec({Stranger: {}})
    Held.__annotations__["what"] = Point | Stranger | None
    assert returned(Held(None), Held, codec) == Held(None)
    with pytest.raises(InputError, match=r"what=.*cannot be stored"):
        stored(Held(Stranger()), Held, codec)


def test_hints_that_cannot_be_stored_are_told_to_the_programmer() -> None:
    for hint in (object, Point | Circle, dict[str, object]):
        with pytest.raises(TypeError):
            CODEC.write(None, hint, FlatNumbers())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"count": 1.5}, "count=1.5 cannot be stored in a file: it must be a whole number"),
        ({"text": 3}, "text=3 cannot be stored"),
        ({"number": "x"}, "number='x' cannot be stored"),
        ({"rule": None}, "rule=None cannot be stored in a file: it must be text or a number"),
        ({"method": "sgd"}, "must be one of kfac, adam"),
        ({"pair": ("a",)}, "pair=.*must be a list of 2"),
        ({"points": [Circle()]}, r"points\[0\]=Circle.*must be a Point"),
        ({"classes": np.array(["2020-01-01"], "M8[D]")}, "classes=.*cannot be stored"),
        ({"classes": np.array([b"a"])}, "classes=.*cannot be stored"),
        ({"classes": np.array([1j])}, "classes=.*cannot be stored"),
        ({"matrix": np.zeros(2, dtype=np.longdouble)}, "matrix=.*cannot be stored"),
    ],
)
def test_what_is_not_of_its_type_is_not_written(changed: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        stored(everything(**changed), Everything)


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("count", 1.5, "count must be a whole number, but it is 1.5; the model file is damaged: save the model again"),
        ("count", True, "count must be a whole number, but it is True"),
        ("count", 2**70, "count must be a whole number"),
        ("count", ..., "count is missing"),
        ("surplus", 1, "surplus is not a known field"),
        ("flag", 1, "flag must be true or false"),
        ("text", None, "text must be text"),
        ("number", "big", "number must be a finite number, but it is 'big'"),
        ("number", 10**400, "number must be a finite number, but it is 1000"),
        ("number", {"float16": 1.0}, "number must be a number"),
        ("number", {"float64": "x"}, "number must be a finite number"),
        ("maybe", "text", "maybe must be null or a whole number or a number"),
        ("rule", None, "rule must be text or a number"),
        ("method", "sgd", "method must be one of kfac, adam"),
        ("method", ["adam"], "method must be one of kfac, adam"),
        ("sign", True, "sign must be one of -1, 0, 1"),
        ("sign", 2, "sign must be one of -1, 0, 1"),
        ("colour", "GREEN", "colour must be one of RED, BLUE"),
        ("shape", 3, "shape must be a list"),
        ("shape", [1, "x"], r"shape[1] must be a whole number"),
        ("shapes", {"tuple": 3}, "shapes must be a list"),
        ("shapes", [[1], "x"], "shapes[1] must be a list or a whole number"),
        ("pair", ["a", 1.0, 2.0], "pair must be a list of 2"),
        ("points[1].name", 3, "points[1].name must be text"),
        ("points[1].size", -1.0, "points[1]: size=-1.0 must be a finite number above 0. The model file is damaged"),
        ("points[0].at.array", "float128", "points[0].at must be an array"),
        ("points[0].at.array", "text", "points[0].at.values is missing"),
        ("points[0].at.shape", [1, 1, 1], "points[0].at.shape must be a list of at most two sizes"),
        ("points[0].at.shape", [-1], "points[0].at.shape must be a list of at most two sizes"),
        ("points[0].at.shape", [10**15], "points[0].at must be an array that the file holds"),
        ("points[1].at.shape", [0, 10**30], "points[1].at.shape must be that of 0 elements"),
        ("points[0].at.order", "K", "points[0].at.order must be one of C, F"),
        ("counts", [], "counts must be an object"),
        ("counts.value", 0.5, "counts.value must be a whole number"),
        ("weights", [[1, 2, 3]], "weights[0] must be a list of 2"),
        ("weights", [[1, 2.0], [1, 3.0]], "weights gives a key twice"),
        ("weights", [[[1], 2.0]], "weights[0][0] must be true or false or text or a whole number or a number"),
        ("rows.shape", [4], "rows must be rows of 2 numbers"),
        ("columns.array", "float16", "columns.array must be a type of array that this field has"),
        ("columns.values", [0, 10**30], "columns.values must be a list of elements of type int64"),
        ("columns.values", [0.0, 1.0], "columns.values must be a list of elements of type int64"),
        ("columns.shape", [3], "columns.shape must be that of 2 elements"),
        ("classes.array", "datetime64[D]", "classes must be an array"),
        ("classes.values", ["a\0", "b"], "classes.values must be a list of elements of type text"),
        ("classes.values", ["x" * 10**6] + [""] * 10**3, "classes.values holds a text that is too long"),
        ("first", 3, "first must be a Point or text or null"),
    ],
)
def test_an_error_names_the_field(place: str, value: object, sentence: str) -> None:
    document, vector = stored(everything(), Everything)
    steps = [int(step) if step.isdigit() else step for step in place.replace("[", ".").replace("]", "").split(".")]
    inner: object = document
    for step in steps[:-1]:
        inner = inner[step]  # type: ignore[index]
    if value is ...:
        del inner[steps[-1]]  # type: ignore[attr-defined]
    else:
        inner[steps[-1]] = value  # type: ignore[index]
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        CODEC.read(document, Everything, FlatNumbers(vector))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_counts_of_rows_are_whole() -> None:
    document, vector = stored(everything(points=[]), Everything)
    for number in (0.5, math.nan, math.inf, 1e300):
        damaged = vector.copy()
        damaged[0] = number
        with pytest.raises(InputError, match="rows has counts that are not whole numbers"):
            CODEC.read(document, Everything, FlatNumbers(damaged))


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b'{"a": 1, "a": 2}', b'"\\ud800"'], ids=repr
)
def test_json_is_strict(text: bytes) -> None:
    with pytest.raises(InputError, match=r"manifest\.json"):
        parse_json(text)
