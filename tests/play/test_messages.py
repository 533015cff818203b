"""The table of messages: the page's declarations are made from it, and the answers are what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from support.page import answer_of, setup
from support.typescript import declarations, required_keys

from newtron.play import Session
from newtron.play.messages import (
    DerivationFacts,
    DifferenceCheck,
    HelloAnswer,
    LossProfile,
    LossSurface,
    NewtonBowl,
    RunAnswer,
)

DECLARED = Path(__file__).resolve().parents[2] / "web" / "types" / "messages.d.ts"


def test_the_pages_declarations_are_made_from_the_table() -> None:
    command = "PYTHONPATH=src:tests python -m support.typescript > web/types/messages.d.ts"
    assert DECLARED.read_text(encoding="utf-8") == declarations(), f"run: {command}"


def mismatch(value: Any, hint: Any, where: str) -> str:
    """Where a value is not what its type says, or ""."""
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        if not isinstance(value, dict) or not required_keys(hint) <= value.keys() <= hints.keys():
            return f"{where}: {sorted(value) if isinstance(value, dict) else value!r} is no {hint.__name__}"
        return next(filter(None, (mismatch(value[name], hints[name], f"{where}.{name}") for name in value)), "")
    origin, parts = get_origin(hint), get_args(hint)
    if origin is list:
        if not isinstance(value, list):
            return f"{where}: {value!r} is no list"
        return next(filter(None, (mismatch(one, parts[0], f"{where}[{i}]") for i, one in enumerate(value))), "")
    if origin is tuple:
        if len(value) != len(parts):
            return f"{where}: {value!r} has not {len(parts)} parts"
        return next(filter(None, (mismatch(*pair, where) for pair in zip(value, parts, strict=True))), "")
    if parts and origin is not None:
        return "" if any(not mismatch(value, part, where) for part in parts) else f"{where}: {value!r} is no {hint}"
    fits = isinstance(value, int | float) and not isinstance(value, bool) if hint is float else isinstance(value, hint)
    return "" if fits else f"{where}: {value!r} is no {hint}"


def test_a_mismatch_is_found() -> None:
    assert mismatch([1.0, "a"], list[float | None], "x") == "x[1]: 'a' is no float | None"
    assert mismatch({"key": "k"}, HelloAnswer | None, "x")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["line", "xor", "three"])
@pytest.mark.parametrize("row", [None, 2])
def test_answers_are_what_the_table_says(source: str, row: int | None) -> None:
    session, about = Session(), setup(source, model={"loss": None})
    run = answer_of(session, {"kind": "run", "setup": about})
    point = {"setup": about, "params": run["start"], "row": row, "method": about["methods"][1], "index": 0}
    drawn = {**point, "pair": [0, 1], "windows": [[-1, 1], [-2, 2]], "window": [-1, 1]}
    answers = {
        "hello": (HelloAnswer, answer_of(session, {"kind": "hello"})),
        "run": (RunAnswer, run),
        "derivation": (DerivationFacts, answer_of(session, {"kind": "derivation", **point})["derivation"]),
        "surface": (LossSurface, answer_of(session, {"kind": "surface", **drawn})["surface"]),
        "bowl": (NewtonBowl, answer_of(session, {"kind": "bowl", **drawn})["bowl"]),
        "profile": (LossProfile, answer_of(session, {"kind": "profile", **drawn})["profile"]),
        "check": (DifferenceCheck, answer_of(session, {"kind": "check", **point})["check"]),
    }
    for name, (hint, answer) in answers.items():
        answer.pop("kind", None)
        assert mismatch(answer, hint, name) == ""
