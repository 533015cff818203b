"""Learn a formula from the rows of a fit, with the package formulaic (extra formula): its grammar, which codings of
categories leave the matrix with full rank, and what transformations learn. Our own evaluation of what is kept is then
compared with formulaic's matrix, so that a formula is either kept exactly or refused."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, ClassLabel, Labels
from newtron.engine.base.words import clean, joined, listed
from newtron.table.cells import distinct_cells, plain
from newtron.table.formula.curves import CURVES, Curve, scaled
from newtron.table.formula.data import Coding, FactorProduct, Formula, FormulaTerm, TermFactor
from newtron.table.formula.expression import (
    FUNCTIONS,
    category_column,
    evaluate,
    parse_expression,
)
from newtron.table.formula.matrix import RowCells, check_bounds, formula_cells, formula_matrix, read_cells
from newtron.table.table import Table

if TYPE_CHECKING:
    import pandas as pd

# formulaic has types, but is not there where types are checked.
Untyped: TypeAlias = Any

# How far our matrix may be from formulaic's, relative to the largest number of a column.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class LearntFormula:
    """A formula with the rows that it was learnt from. X: (n, p); y: (n,) of labels or numbers, or (n, k); targets: the
    names of y; kept: (N,) the rows of the table that have all cells, n of them."""

    formula: Formula
    X: Array
    y: Labels
    targets: tuple[str, ...]
    kept: NDArray[np.bool_]


def learn_formula(text: str, table: Table) -> LearntFormula:
    """Read a formula "y ~ terms" and learn it from a table. Rows with a missing cell in a column of the formula are
    left out, as statsmodels and R do.

    Raises
    ------
    InputError
        The formula cannot be read, or has something that cannot be kept as data.
    ImportError
        formulaic is not installed.
    """
    formulaic = _formulaic()
    sides = _sides(formulaic, text, table)
    left, right = ([factor for term in side for factor in term.factors] for side in sides)
    expressions = {factor.expr: factor for factor in [*left, *right] if factor.eval_method.value != "literal"}
    names = _columns(table, expressions)
    kept = np.ones(table.n_rows, dtype=bool)
    for name in names:
        kept &= ~plain(table.column(name)).is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    if not kept.any():
        raise InputError(f"{table.path}: no row has a cell in every column of the formula {text!r}.")
    rows = table if kept.all() else table.take(np.flatnonzero(kept))
    matrix = _matrix(formulaic, text, rows, names)
    spec = matrix.model_spec
    read = list(
        dict.fromkeys(f.expr for term in spec.formula for f in term.factors if f.eval_method.value != "literal")
    )
    factors = tuple(_factor(text, spec, rows) for text in read)
    terms = tuple(term for s in spec.structure if (term := _term(s, read)) is not None)
    intercept = any("Intercept" in s.columns for s in spec.structure)
    formula = Formula(text, intercept, factors, terms, np.zeros(0))
    X = _computed(formula, rows)
    _check_same(text, X, matrix, formula.feature_names)
    if not X.shape[1]:
        raise InputError(f"the formula {text!r} has no term but the intercept: name a column.")
    y, targets = _response(sides[0], rows)
    return LearntFormula(replace(formula, means=X.mean(axis=0)), X, y, targets, kept)


def _formulaic() -> Untyped:
    try:
        import formulaic
    except ImportError:
        raise ImportError('formulas need formulaic, newtron\'s extra "formula": pip install formulaic.') from None
    return formulaic


def _computed(formula: Formula, rows: Table) -> Array:
    """The matrix of rows that have all cells. Raises InputError where a number has no value, as a logarithm of -1."""
    cells = formula_cells(formula, rows)
    X, _ = formula_matrix(formula, cells)
    wrong = np.argwhere(np.isnan(X))
    if len(wrong):
        row, column = (int(place) for place in wrong[0])
        name = formula.feature_names[column]
        raise InputError(f"{cells.place(formula.columns[0], row)}: the formula's {name!r} is not a number there.")
    return X


def _sides(formulaic: Untyped, text: str, table: Table) -> tuple[Untyped, Untyped]:
    """The terms of both sides."""
    try:
        context = {"__formulaic_variables_available__": list(table.names)}  # what "." stands for
        found = formulaic.Formula.from_spec(text, context=context)
    except (formulaic.errors.FormulaicError, SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"the formula {text!r} cannot be read: {_first_line(error)}") from None
    sides = dict(found._to_dict()) if isinstance(found, formulaic.formula.StructuredFormula) else {}
    if set(sides) != {"lhs", "rhs"} or not all(isinstance(s, formulaic.formula.SimpleFormula) for s in sides.values()):
        raise InputError(
            f'the formula {text!r} must have one "~" with the target before it, and no "|", as in "y ~ a + b".'
        )
    return sides["lhs"], sides["rhs"]


def _first_line(error: Exception) -> str:
    first = str(error).strip().splitlines() or [type(error).__name__]
    return clean(first[0][:200])


def _columns(table: Table, expressions: Mapping[str, Untyped]) -> list[str]:
    """The columns that are read. Raises InputError for expressions that cannot be kept, before anything evaluates
    them."""
    names: dict[str, None] = {}
    for text, factor in expressions.items():
        quoted = f"`{text}`" if factor.eval_method.value == "lookup" else text
        parsed = parse_expression(quoted)
        column = category_column(parsed)
        found = parsed.columns() if column is None else (column,)
        if column is None:
            with np.errstate(all="ignore"):
                evaluate(parsed, {name: np.ones(1) for name in found}, _probe)
            read_cells(table, found, ())  # they are there, and hold numbers
        names |= dict.fromkeys(found)
    read_cells(table, (), tuple(names))  # the columns are there
    for name in names:
        if str(table.cells(name).type).startswith(("date", "timestamp", "time", "duration")):
            raise InputError(f"{table.path}: the column {name!r} holds dates or times, which formulas do not take.")
    return list(names)


def _probe(call: ast.Call, name: str, x: Array) -> Curve:
    """Stands for every curve while an expression is only looked at."""
    del call, x
    single = CURVES[name][0] is scaled
    return Curve(np.zeros(1), np.zeros((1, 1)), -np.inf, np.inf, single=single)


def _matrix(formulaic: Untyped, text: str, rows: Table, names: Sequence[str]) -> Untyped:
    """The matrix of formulaic with its specification."""
    import pandas as pd

    frame = pd.DataFrame({name: rows.cells(name).to_pandas() for name in names})
    context = {name: apply for name, (apply, _) in FUNCTIONS.items() if name != "I"}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return formulaic.model_matrix(text, frame, context=context, output="pandas", na_action="ignore").rhs
    except (formulaic.errors.FormulaicError, ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InputError(f"the formula {text!r} cannot be used on these rows: {_first_line(error)}") from None


def _factor(text: str, spec: Untyped, table: Table) -> TermFactor:
    kind, state = spec.encoder_state.get(text, (None, {}))
    lookup = any(f.expr == text and f.eval_method.value == "lookup" for term in spec.formula for f in term.factors)
    written = f"`{text}`" if lookup else text
    if kind is not None and kind.value == "categorical":
        return _category(written, state)
    parsed = parse_expression(written)
    cells = read_cells(table, parsed.columns(), ())
    learning = _Learning(written, cells)
    with np.errstate(all="ignore"):
        evaluate(parsed, cells.numbers, learning)
    return TermFactor(written, tuple(learning.found))


def _category(text: str, state: Untyped) -> TermFactor:
    column = category_column(parse_expression(text))
    if column is None:
        raise InputError(f"the formula's {text!r} is not supported: C() takes the name of a column.")
    contrasts = state["contrasts"]
    levels = tuple(_label(level) for level in contrasts.levels)
    full, reduced = (
        np.array(contrasts.get_coding_matrix(reduced_rank=reduced), dtype=np.float64) for reduced in (False, True)
    )
    return TermFactor(text, coding=Coding(column, levels, full, reduced))


def _label(level: object) -> ClassLabel:
    plain_level = level.item() if isinstance(level, np.generic) else level
    return plain_level if isinstance(plain_level, str | bool | int | float) else str(plain_level)


class _Learning:
    """Makes the curve of every call from the numbers that reach it, by formulaic's own transformations."""

    def __init__(self, text: str, cells: RowCells) -> None:
        self.found: list[Curve] = []
        self._text, self._cells = text, cells

    def __call__(self, call: ast.Call, name: str, x: Array) -> Curve:
        from formulaic.transforms import TRANSFORMS

        make, positions = CURVES[name]
        state: dict[str, object] = {}
        try:
            given = [ast.literal_eval(argument) for argument in call.args[1:]]
            settings = dict(zip(positions, given, strict=False))
            settings |= {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
            with np.errstate(all="ignore"):
                TRANSFORMS[name](x[~np.isnan(x)], **settings, _state=state)
            curve = make(state, settings)
        except (ValueError, TypeError, KeyError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise InputError(f"the formula's {self._text!r} cannot be used: {_first_line(error)}") from None
        if curve.beyond == "raise":
            check_bounds(curve, x, self._text, self._cells)
        self.found.append(curve)
        return curve


def _term(structure: Untyped, names: list[str]) -> FormulaTerm | None:
    """A term of formulaic's structure; None for the intercept."""
    scoped = [part for part in structure.scoped_terms if part.factors]
    columns = tuple(str(name) for name in structure.columns if name != "Intercept")
    if not columns:
        return None
    products = tuple(
        FactorProduct(
            tuple(names.index(own.factor.expr) for own in part.factors),
            tuple(bool(own.reduced) for own in part.factors),
            float(part.scale),
        )
        for part in scoped
    )
    return FormulaTerm(str(structure.term), products, columns)


def _check_same(text: str, X: Array, expected: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise an InputError where our matrix is not formulaic's."""
    reference = expected.drop(columns="Intercept", errors="ignore")
    theirs = np.asarray(reference, dtype=np.float64)
    wrong = [] if X.shape == theirs.shape else list(names)
    if not wrong:
        size = np.maximum(np.abs(theirs).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)
        apart = ~(np.abs(X - theirs).max(axis=0, initial=0.0) <= _SAME * size)
        wrong = [name for name, differs in zip(names, apart, strict=True) if differs]
    if wrong or tuple(map(str, reference.columns)) != names:
        raise InputError(f"the formula {text!r} cannot be kept as data: {listed(wrong or list(names))} would differ.")


def _response(terms: Untyped, rows: Table) -> tuple[Labels, tuple[str, ...]]:
    """The targets (n,), or (n, k) where the formula has several before its "~", and their names."""
    found = list(_targets(terms, rows))
    if len(found) == 1:
        return found[0][1], (found[0][0],)
    if any(values.dtype.kind not in "biuf" for _, values in found):
        raise InputError(
            f"the targets {joined(name for name, _ in found)} must all be numbers: several are a regression."
        )
    return np.column_stack([values for _, values in found]), tuple(name for name, _ in found)


def _targets(terms: Untyped, rows: Table) -> Iterator[tuple[str, Labels]]:
    for term in terms:
        if len(term.factors) != 1 or term.factors[0].eval_method.value == "literal":
            raise InputError(f"the formula's target {str(term)!r} must be a column or an expression of columns.")
        (factor,) = term.factors
        text = f"`{factor.expr}`" if factor.eval_method.value == "lookup" else factor.expr
        parsed = parse_expression(text)
        column = category_column(parsed)
        if column is not None:
            values, codes = distinct_cells(plain(rows.column(column)))
            yield column, np.array(values)[codes]
            continue
        cells = read_cells(rows, parsed.columns(), ())
        with np.errstate(all="ignore"):
            value = evaluate(parsed, cells.numbers, _Learning(text, cells)).value
        if value.ndim != 1 or not np.isfinite(value).all():
            raise InputError(f"the formula's target {factor.expr!r} must be one finite number for each row.")
        yield factor.expr, value
