"""How names, numbers, plurals and commands are written everywhere. Only the standard library is needed.

Numbers are formatted with "z", so that what rounds to zero is "0" and never "-0".
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Literal, TypeAlias

# Characters that turn the direction of writing (Unicode, bidirectional controls).
_TURNS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Unicode categories of characters that are not to be seen: control, format, surrogate, line and paragraph separators.
_UNSHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def clean(text: str) -> str:
    """Text from the data as it may be shown on a screen or a page: control characters, marks that turn the direction of
    writing and the like are written as escapes."""
    if text.isprintable():  # then it has none of them
        return text
    return "".join(c if unicodedata.category(c) not in _UNSHOWN else c.encode("unicode_escape").decode() for c in text)


def in_html(text: str) -> str:
    """Text from the data as it may stand in a page: as `clean` writes it, with markup escaped."""
    return escape(clean(text))


# Characters that LaTeX's text mode takes for commands.
_LATEX_SPECIAL = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"} | {
    c: f"\\{c}" for c in "&%$#_{}"
}


def in_latex(text: str) -> str:
    """Text from the data as it may stand in LaTeX's text mode."""
    return "".join(_LATEX_SPECIAL.get(c, c) for c in clean(text))


def without_controls(text: str) -> str:
    """Text from the data as a file may hold it. What a terminal or a viewer would execute (control characters other
    than tab and the ends of lines, marks that turn the direction of writing) is escaped, and all else is kept."""
    return "".join(c.encode("unicode_escape").decode() if _controls(c) else c for c in text)


def _controls(c: str) -> bool:
    return c in _TURNS or (unicodedata.category(c) == "Cc" and c not in "\t\n\r")


def number(value: float | None) -> str:
    """Four digits; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:z.4g}" if abs(value) < 1e4 or abs(value) >= 1e7 else f"{value:z,.0f}"


def power(value: float) -> str:
    """Two digits and a power of ten; a dash where there is no finite number."""
    return f"{value:z.1e}" if math.isfinite(value) else "-"


def percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100.0 * value:z.1f} %"


def plus_minus(value: float, error: float) -> str:
    """The error to two digits, the value to the same place: 0.0154 ± 0.0046, 840 ± 700."""
    if not (math.isfinite(value) and 1e-4 <= error < 1e7 and abs(value) < 1e9):
        return f"{value:z.3g} ± {error:z.2g}"
    places = 1 - math.floor(math.log10(error))
    shown = max(places, 0)
    return f"{round(value, places):z,.{shown}f} ± {round(error, places):z,.{shown}f}"


def amount(value: float) -> str:
    """Five significant digits; trailing zeros stay, so that a column is easy to compare. A dash for nan."""
    return "-" if math.isnan(value) else f"{value:z#.5g}".rstrip(".")


def degrees_in_words(value: float) -> str:
    """Degrees of freedom: whole where they are, else to four digits."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.4g}"


def statistic_in_words(value: float) -> str:
    """A statistic to three decimals."""
    if math.isnan(value):
        return "-"
    return f"{value:z.3f}" if abs(value) < 1e5 else f"{value:.3e}"


def probability(p: float) -> str:
    """A p-value to four decimals, or two digits where it is smaller."""
    if math.isnan(p):
        return "-"
    if p < 1e-300:
        return "<1e-300"
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 100.0 else f"{value / 60.0:.1f} min"


def size(n_bytes: float) -> str:
    """A number of bytes in the form in which sizes are typed: 500MB, 1.5GB."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.4g}{name}"
    return f"{n_bytes:.0f}B"


def count(n: int, thing: str, plural: str | None = None) -> str:
    """'1 row', '1,234 rows'."""
    return f"{n:,} {thing if n == 1 else plural or thing + 's'}"


def column_names(names: Sequence[str] | None, n: int) -> tuple[str, ...]:
    """The names of n columns; x1, x2, ... where they have none."""
    return tuple(name or f"x{j}" for j, name in enumerate(names or [""] * n, start=1))


def target_names(names: Sequence[str], k: int) -> tuple[str, ...]:
    """The names of k targets; target 1, target 2, ... where they have none."""
    return tuple(names) if len(names) == k else tuple(f"target {i}" for i in range(1, k + 1))


def listed(names: Sequence[str], most: int = 12) -> str:
    """'a, b, c'; where there are more than `most`, the first ones and how many more there are."""
    shown = ", ".join(clean(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def joined(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


# What the settings of estimators are called where a study is made: by `newtron fit` and `newtron.fit`.
_OPTIONS = {"n_jobs": "threads", "n_starts": "starts", "random_state": "seed"} | {
    name: name
    for name in (
        "activation",
        "alpha",
        "checkpoint",
        "class_weight",
        "cluster",
        "cv",
        "data",
        "date_parts",
        "effort",
        "encoding",
        "hidden",
        "group",
        "holdout",
        "holdout_by",
        "ignore",
        "intercepts",
        "interval",
        "keep",
        "levels",
        "loss",
        "max_iter",
        "memory",
        "missing",
        "model",
        "no_refit",
        "no_report",
        "offset",
        "output",
        "penalty",
        "reference",
        "report",
        "scratch",
        "sheet",
        "seed",
        "starts",
        "table",
        "target",
        "task",
        "test",
        "threads",
        "verbose",
        "weights",
        "weights_kind",
    )
}
Door: TypeAlias = Literal["estimator", "study", "command"]
# The doors at which work is being done, the latest last. Several threads may do some at once, and end in any order.
_doors: list[Door] = []
QUOTES = "'\""


@contextmanager
def told_at(door: Door) -> Iterator[None]:
    """While inside, settings are told as they are given there: alpha=1 to an estimator and to `newtron.fit`, which has
    some other names, and --alpha 1 on the command line."""
    _doors.append(door)
    try:
        yield
    finally:
        del _doors[max(place for place, each in enumerate(_doors) if each == door)]


def _told_at() -> Door:
    return _doors[-1] if _doors else "estimator"


def setting(name: str, value: str = "") -> str:
    """A setting, or the setting to a value that is written as in Python, as whoever reads it would give it; "" where
    there is none such at this door."""
    if _told_at() == "estimator":
        return f"{name}={value}" if value else name
    option = _OPTIONS.get(name, "")
    if _told_at() == "study" or not option:
        return f"{option}={value}" if value and option else option
    option = "--" + option.replace("_", "-")
    said = "none" if value == "None" else value.strip(QUOTES)
    return option if value == "True" else f"{option} {said}".strip()


def called_in_study(name: str) -> str:
    """What a setting of the estimators is called where a study is made; "" for others."""
    return _OPTIONS.get(name, "")


def columns_setting(name: str, columns: Sequence[str]) -> str:
    """A setting to names of columns, as whoever reads it would give it: --ignore a 'b c', or ignore=['a', 'b c']."""
    if _told_at() == "command":
        return f"{setting(name)} {' '.join(shlex.quote(column) for column in columns)}"
    return setting(name, repr(columns[0] if len(columns) == 1 else list(columns)))


def column_setting(name: str, kind: str, order: str = "") -> str:
    """The setting that says what a column is, as whoever reads it would give it. order: of day, month and year in its
    dates."""
    if _told_at() == "estimator":
        return f"columns={{{name!r}: {(order or kind)!r}}}"
    if _told_at() == "study":
        return f"{kind}={[f'{name}={order}' if order else name]!r}"
    return f"--{kind} {_quoted(in_list(f'{name}={order}' if order else name))}"


def in_list(name: str) -> str:
    """A name as it is typed in a list of names that are separated by commas."""
    return f'"{name.replace(QUOTES[1], 2 * QUOTES[1])}"' if "," in name or QUOTES[1] in name else name


def either(*ways: str) -> str:
    """'a', 'a or b', 'a, b or c'; ways that are "" are left out."""
    *first, last = [way for way in ways if way]
    return f"{', '.join(first)} or {last}" if first else last


def command(typed: Iterable[str]) -> str:
    """A command as it can be copied to a shell: words in quotes where they need them, control characters as $'...'."""
    return " ".join(map(_quoted, typed))


def _quoted(word: str) -> str:
    if clean(word) == word:
        return shlex.quote(word)

    def escaped(c: str) -> str:
        if c in "\\'":
            return "\\" + c
        if unicodedata.category(c) not in _UNSHOWN:
            return c
        return "".join(f"\\x{byte:02x}" for byte in c.encode("utf-8", "surrogateescape"))

    return f"$'{''.join(map(escaped, word))}'"


_BETWEEN_SENTENCES = re.compile(r"(?<=[.]) (?=[A-Z])")


def without_repeats(lines: Iterable[str], said: Iterable[str]) -> list[str]:
    """Lines without the sentences of `said`, which are already on the same screen; lines that become empty are left
    out."""
    known = [sentence for text in said for sentence in _BETWEEN_SENTENCES.split(text)]
    found = []
    for line in lines:
        parts = [s for s in _BETWEEN_SENTENCES.split(line) if not any(sentence in s for sentence in known)]
        found += [" ".join(parts)] if parts else []
    return found


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def label(value: object) -> str:
    """A class as files write it: true and false in small letters, as in CSV."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def strict(value: object) -> object:
    """The same value with None (null in JSON) for every number that JSON cannot write."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value
