"""The settings of `newtron.fit` as users give them: each is checked, and an error is one sentence that names it."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from inspect import Parameter, Signature

from newtron.engine.base.checks import check_choice, check_count, check_flag, check_number, check_penalty, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import called_in_study, in_list, setting
from newtron.inference.penalties.penalty_path import RULES
from newtron.study.options import FitOptions, bytes_of
from newtron.table.choices import level_name
from newtron.table.frames import is_frame, table_of
from newtron.table.table import Table
from newtron.training.settings import read_shapes

# Fields of the options that are no settings: `fit` gives them.
_OF_THE_CALL = {"data", "more", "target", "output", "report", "typed"}
_LARGEST_SEED = 2**32 - 1
Check = Callable[[str, object], object]


def read_settings(given: Mapping[str, object]) -> dict[str, object]:
    """Return settings as fields of `FitOptions`. Raises InputError for the first that is not known or is wrong."""
    for name in given:
        if name not in CHECKS and (ours := called_in_study(name)):
            raise InputError(f"{name}={shown(given[name])}: newtron.fit calls this {ours}.")
        if name not in CHECKS:
            near = difflib.get_close_matches(name, CHECKS, n=2, cutoff=0.7)
            known = f"did you mean {' or '.join(near)}?" if near else f"the settings are {', '.join(CHECKS)}."
            raise InputError(f"{name}={shown(given[name])}: newtron.fit has no setting of this name; {known}")
    return {name: CHECKS[name](name, value) for name, value in given.items()}


def signature(first: Iterable[Parameter], last: Iterable[Parameter]) -> Signature:
    """Return the signature of `newtron.fit`: these parameters around the settings with their defaults."""
    settings = [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(FitOptions)
        if field.name not in _OF_THE_CALL
    ]
    return Signature([*first, *settings, *last], return_annotation="Study")


def documentation(text: str | None) -> str | None:
    """Return the docstring of `newtron.fit` with the settings, as `FitOptions` describes them, in place of the entry
    `settings`. Python without docstrings has none."""
    described = inspect.getdoc(FitOptions)
    if text is None or described is None:
        return None
    entries = re.split(r"^(?=\w+(?:, \w+)*$)", described.partition("----------\n")[2], flags=re.MULTILINE)
    known = {field.name: field for field in fields(FitOptions)}
    found = ""
    for entry in filter(None, entries):
        names, _, meaning = entry.partition("\n")
        first = known.get(names.partition(",")[0])
        if first is not None and first.name not in _OF_THE_CALL:
            found += f"{names} : {first.type}, default {first.default!r}\n{meaning.rstrip()}\n"
    head, _, rest = inspect.cleandoc(text).partition("settings\n")
    return head + found + rest[rest.index("\n\n") :]


def _or_none(check: Check, name: str, value: object) -> object:
    return None if value is None else check(name, value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{setting(name, shown(value))} must be text.")
    return value


def _path(name: str, value: object) -> str:
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{setting(name, shown(value))} must be a path.")
    return os.fsdecode(value)


def _file_or_frame(name: str, value: object) -> str | Table:
    if not isinstance(value, str | os.PathLike) and is_frame(value):
        return table_of(value, name)
    return _path(name, value)


def _columns(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    columns = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(column, str) for column in columns):
        raise InputError(f"{setting(name, shown(value))} must be the name of a column or a list of names.")
    return columns


def _listed(name: str, value: object) -> tuple[str, ...]:
    """Return names as they are typed on the command line, where one text may name several columns."""
    columns = _columns(name, value)
    return columns if isinstance(value, str) else tuple(map(in_list, columns))


def _references(name: str, value: object) -> object:
    if not isinstance(value, Mapping):
        return _columns(name, value)
    return {column: level_name(level) for column, level in value.items()}


def _choice(*choices: str) -> Check:
    return lambda name, value: check_choice(name, value, choices)


def _hidden(name: str, value: object) -> object:
    if not (isinstance(value, str) and value == "auto"):
        read_shapes(value)
    return value


def _seed(name: str, value: object) -> int:
    seed = check_count(name, value, least=0)
    if seed > _LARGEST_SEED:
        raise InputError(f"{setting(name, shown(value))} must be a whole number from 0 to {_LARGEST_SEED}.")
    return seed


def _memory(name: str, value: object) -> int:
    if not isinstance(value, str):
        return check_count(name, value)
    try:
        return bytes_of(value)
    except ValueError:
        raise InputError(f"{setting(name, shown(value))} is no size: give one such as '500MB' or '4GB'.") from None


# The check of each setting, which returns the field of `FitOptions`.
CHECKS: dict[str, Check] = {
    "ignore": _columns,
    "category": _listed,
    "number": _listed,
    "date": _listed,
    "text": _listed,
    "levels": partial(_or_none, partial(check_count, least=2)),
    "reference": _references,
    "date_parts": _listed,
    "missing": _choice("indicator", "error"),
    "task": partial(_or_none, _choice("regression", "classification")),
    "encoding": _text,
    "sheet": partial(_or_none, _text),
    "model": _choice("perceptron", "network", "auto"),
    "hidden": _hidden,
    "activation": _choice("tanh", "sigmoid", "relu", "softplus", "identity"),
    "alpha": partial(_or_none, lambda name, value: check_penalty(value, RULES)),
    "penalty": _choice("l2", "firth"),
    "loss": partial(_or_none, _choice("squared_error", "poisson")),
    "offset": partial(_or_none, _text),
    "intercepts": partial(_or_none, lambda name, value: value if value == "auto" else _listed(name, value)),
    "starts": partial(_or_none, check_count),
    "effort": _choice("fast", "default", "best"),
    "holdout": partial(_or_none, lambda name, value: check_number(name, value, least=0.0, below=1.0)),
    "holdout_by": partial(_or_none, _text),
    "test": partial(_or_none, _file_or_frame),
    "cv": partial(_or_none, partial(check_count, least=2)),
    "group": partial(_or_none, _text),
    "weights": partial(_or_none, _text),
    "weights_kind": partial(_or_none, _choice("frequency", "precision", "sampling")),
    "class_weight": partial(_or_none, _choice("balanced")),
    "no_refit": check_flag,
    "seed": _seed,
    "max_iter": partial(_or_none, check_count),
    "memory": _memory,
    "scratch": partial(_or_none, _path),
    "checkpoint": partial(_or_none, _path),
    "cluster": partial(_or_none, _text),
    "threads": partial(_or_none, check_count),
}
