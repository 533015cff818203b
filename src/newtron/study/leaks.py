"""Target leakage: columns that are the target in another form, one alone or a weighted sum of several.

Such columns are often computed from the target, or measured after it, and then they are not available for rows whose
target is not known yet. They are named before training goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.row_hashes import row_hashes
from newtron.engine.base.types import Array, Labels
from newtron.engine.base.words import clean, columns_setting, count, percent
from newtron.model.predicting import predicted
from newtron.study.sample import Sample
from newtron.table.schema import Column, Schema
from newtron.training.fitted import FittedModel

# A column determines a numeric target from this R² on, and a class if at most this share of rows is classified wrongly.
_LEAST_R2, _MOST_WRONG = 0.999, 0.001
# At most this share of the rows outside the largest class may be classified wrongly, or a rare class would not count.
_MOST_MISSED = 0.05
# Rows outside the largest class, rows that have a value, and rows for each distinct value that must be there: fewer can
# agree with the target by chance.
_FEWEST, _ROWS_PER_VALUE = 5, 5
# Rows that are examined, evenly spaced; and distinct values of a column that are always looked up one by one.
_MOST_ROWS, _MOST_VALUES = 100_000, 20
# A perceptron predicts exactly if 1 - R² of held-out rows is at most this. Rounding errors of float64 leave far less,
# and noise in real data leaves far more.
_EXACT = 1e-10
# A term is left out of the formula, and a coefficient may be rounded to 6 digits, if that changes predictions by at
# most this share of the target's spread.
_NEGLIGIBLE = 1e-6
# Kinds of columns whose values are levels.
_GROUPS = ("category", "factor")
# Columns that a sentence names.
_NAMED = 6


def revealing_columns(schema: Schema, rows: Sample) -> list[str]:
    """A sentence on each column that determines the target alone, in rows that this schema encoded."""
    X, y = rows.X, rows.y
    if len(y) > _MOST_ROWS:
        some = np.linspace(0, len(y) - 1, _MOST_ROWS).astype(np.int64)
        X, y = X[some], y[some]
    if len(schema.columns) == 1:
        return []  # the user knows that there is nothing else to predict from
    how = _r_squared if schema.target.task == "regression" else _accuracy
    found, start = [], 0
    with np.errstate(all="ignore"):
        for column in schema.columns:
            finding = how(column, X[:, start : start + len(column.encoded)], y)
            start += len(column.encoded)
            if finding:
                before = f"If it is not known before {clean(schema.target.name)!r} is"
                found.append(
                    f"{clean(column.name)!r} alone {finding}. {before}, "
                    f"leave it out ({columns_setting('ignore', [column.name])})."
                )
    return found


def _has_value(column: Column, own: Array) -> NDArray[np.bool_]:
    """(n,) whether a row has a value in this column."""
    return own[:, -1] == 0.0 if column.indicator else np.ones(len(own), dtype=bool)


def _r_squared(column: Column, own: Array, y: Array) -> str:
    """How well a column with the features `own` predicts a number, in words, if it determines it; else ""."""
    if column.kind in _GROUPS:
        _, group, sizes = np.unique(row_hashes(own), return_inverse=True, return_counts=True)
        spread = y - y.mean()
        left = spread - (np.bincount(group, spread) / sizes)[group]
        n, k = len(y), len(sizes)
        unexplained = float(left @ left) / float(spread @ spread) * (n - 1) / max(n - k, 1e-9)
    else:
        there = _has_value(column, own)
        x, z, n = own[there, 0], y[there], int(there.sum())
        if n < 2 * _FEWEST:
            return ""
        x, z = _from_mean(x), _from_mean(z)
        if not (x.any() and z.any()):
            return ""
        unexplained = 1.0 - float(x @ z) / float(x @ x) * (float(x @ z) / float(z @ z))
    return f"predicts the target (R² {max(0.0, 1.0 - unexplained):.6g})" if unexplained < 1.0 - _LEAST_R2 else ""


def _from_mean(values: Array) -> Array:
    """Deviations from the mean relative to the largest, so that no square overflows or underflows."""
    apart = values - values.mean()
    largest = float(np.abs(apart).max(initial=0.0))
    return np.asarray(apart / largest if largest else apart)


def _accuracy(column: Column, own: Array, codes: NDArray[np.int64]) -> str:
    """How well a column with the features `own` predicts the class, in words, if it determines it; else ""."""
    there = _has_value(column, own) if column.kind not in _GROUPS else np.ones(len(own), dtype=bool)
    codes, n = codes[there], int(there.sum())
    counts = np.bincount(codes, minlength=2)
    others = n - int(counts.max(initial=0))
    if others < _FEWEST:
        return ""
    if column.kind in _GROUPS:
        wrong = _wrong_by_value(row_hashes(own), codes)
    else:
        x = own[there, 0]
        wrong = min(_wrong_by_value(x, codes), _wrong_by_threshold(x, codes) if len(counts) == 2 else n)
    if wrong > _MOST_WRONG * n or wrong > _MOST_MISSED * others:
        return ""
    return f"tells the class of {percent(1.0 - wrong / n)} of {count(n, 'row')}"


def _wrong_by_value(values: Labels, codes: NDArray[np.int64]) -> int:
    """How many rows are not of the most frequent class among the rows of the same value."""
    distinct, group = np.unique(values, return_inverse=True)
    if len(distinct) > max(_MOST_VALUES, len(codes) // (10 * _ROWS_PER_VALUE)) or len(codes) < _ROWS_PER_VALUE * len(
        distinct
    ):
        return len(codes)
    table = np.zeros((len(distinct), int(codes.max()) + 1), dtype=np.int64)
    np.add.at(table, (group, codes), 1)
    return len(codes) - int(table.max(axis=1).sum())


def _wrong_by_threshold(x: Array, codes: NDArray[np.int64]) -> int:
    """How many rows are on the wrong side of the best threshold between two classes."""
    order = np.argsort(x, kind="stable")
    x, ones = x[order], np.cumsum(codes[order])
    ends = np.flatnonzero(x[1:] > x[:-1])
    if not len(ends):
        return len(codes)
    below, total, n = ones[ends], int(ones[-1]), len(codes)
    zeros_above = (n - 1 - ends) - (total - below)
    wrong = below + zeros_above  # where class 0 is below
    return int(min(wrong.min(), (n - wrong).min()))


def exact_sum(model: FittedModel, schema: Schema, held_out: Sample, n_rows: int, skips: bool) -> str:
    """The target as a formula of columns, in a sentence, where a perceptron predicts rows that it was not trained on to
    the last digits; else "". n_rows: rows that it was trained on; skips: because of this, no network is trained."""
    X, y = held_out.X, held_out.y
    if schema.target.task != "regression" or n_rows <= X.shape[1] + 1:
        return ""
    with np.errstate(all="ignore"):
        error, spread = y - predicted(model, X).ravel(), float(np.std(y))
        if not float(np.mean(np.square(error))) <= _EXACT * spread**2:
            return ""
        W, b = model.coefficients
        weights, intercept = W.ravel(), float(b[0])
        matter = np.flatnonzero(np.abs(weights) * X.std(axis=0) > _NEGLIGIBLE * spread)
        terms = [(float(f"{weights[j]:.6g}"), schema.feature_names[j], X[:, j]) for j in matter]
        constant = float(f"{intercept:.6g}") if abs(intercept) > _NEGLIGIBLE * spread else 0.0
        again = constant + sum(weight * x for weight, _, x in terms)
        plain = 0 < len(terms) <= _NAMED and float(np.abs(y - again).max()) <= _NEGLIGIBLE * spread
    what = _formula([(w, name) for w, name, _ in terms], constant) if plain else f"a sum of {len(terms):,} columns"
    used = _columns_of(schema, matter)
    ignore = f" ({columns_setting('ignore', used)})" if len(used) <= _NAMED else ""
    these, them = ("this column is", "it") if len(used) == 1 else ("these columns are", "them")
    spared = ", so no network is trained" if skips else ""
    return (
        f"{what} is {clean(schema.target.name)}: a perceptron predicts held-out rows to the last digits{spared}. If "
        f"{these} not known before {clean(schema.target.name)!r} is, leave {them} out{ignore}."
    )


def _formula(terms: Iterable[tuple[float, str]], constant: float) -> str:
    """The sum as it is written, such as 2.5 × x - y + 3."""
    found = ""
    for weight, name in terms:
        size = "" if abs(weight) == 1.0 else f"{abs(weight):g} × "
        sign = (" + " if weight > 0.0 else " - ") if found else ("" if weight > 0.0 else "-")
        found += f"{sign}{size}{clean(name)}"
    return found + (f" {'+' if constant > 0.0 else '-'} {abs(constant):g}" if constant else "")


def _columns_of(schema: Schema, features: Sequence[int] | NDArray[np.int64]) -> list[str]:
    """The names of the columns of the file that these features are computed from."""
    owners = np.repeat(np.arange(len(schema.columns)), [len(column.encoded) for column in schema.columns])
    return [schema.columns[i].name for i in np.unique(owners[np.asarray(features, dtype=np.int64)])]
