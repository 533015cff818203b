"""What is asked of a study. It needs the standard library alone, so that the command line can hand it over at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from newtron.table.choices import ColumnChoices
    from newtron.table.table import Table
    from newtron.training.settings import Hidden

# Bytes that the cells of a file may take in memory; files that take more are read in pieces.
MEMORY = 10**9
# The share of the rows that is held out where nothing else is asked for.
HOLDOUT = 0.2
# Bytes in each unit of a size; "b" is last, since the others end with it.
_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "b": 1}


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Options of `newtron fit` and settings of `newtron.fit`, under the same names.

    Parameters
    ----------
    data
        The path of a file, of a folder or a pattern of names; or a table in memory.
    more
        Further files of text with the same columns, whose rows follow.
    target
        The column to predict.
    output
        The path of the model that the command writes; None in Python, where nothing is written unasked.
    ignore
        Columns that are not used.
    category, number, date, text
        Columns that are this, whatever their cells look like; a date may be "COLUMN=dmy", where day, month and year
        stand in an order that the cells do not tell.
    levels
        The number of levels that a category or text keeps at most; the others are joined. None: by a rule.
    reference
        Levels of reference, as "COLUMN=LEVEL", or in Python as a mapping; by default the most frequent level.
    date_parts
        Parts of dates that recur, of "year", "week" and "day": each column of dates also has a sine and a cosine of
        them.
    missing
        "indicator" fills in a missing cell with the mean and marks it in a column of its own; "error" refuses it.
    task
        "regression" or "classification"; None: decided by the target, and regression where a loss is given.
    encoding
        The encoding of text files.
    sheet
        The sheet of a workbook; None: the first that is not empty.
    model
        "perceptron", "network", or "auto" for both, which are compared.
    hidden
        The units of the hidden layers of the network: (20,), or [(20,), (10, 10)] for an average of several shapes;
        "auto" is a mix of small ones.
    activation
        The activation of the hidden units: "tanh", "sigmoid", "relu", "softplus" or "identity".
    alpha
        The strength of the penalty on weights, or the rule that chooses it from the data, "cv", "evidence" or
        "loo". None: no penalty for a perceptron, which is trained again with alpha=1 where its coefficients would grow
        without limit; "cv", rows left out in folds, for a network.
    penalty
        "l2", or "firth" for Firth's likelihood, of a perceptron for classes.
    loss
        Of a target that is a number: "squared_error" or, for counts, "poisson". None: squared error.
    offset
        The column that is the logarithm of the exposure of counts and has no coefficient.
    intercepts
        Columns whose values group rows, and have a random intercept each: "auto" for those of a network that predict
        rows left out better (numbers that repeat, rows that are equal and, where `model` is "network", text with more
        than 20 levels), or names, or None (on the command line "none").
    starts
        Random starts of each shape of the network; above 3,000 rows its members. None: as `effort` says.
    effort
        How much time is spent on the network: "fast" (3 members above 3,000 rows), "default" (5) or "best" (10).
    holdout
        The share of the rows that the models are compared on; 0 holds out none. None: 0.2, unless `cv` or `test` says
        what they are compared on.
    holdout_by
        A column of dates or numbers: the last rows by it are held out, and not random ones.
    test
        The path of a file, or a table in memory: its rows are those that are held out. With `cv` the models are
        compared on folds of the data, and the one that is kept is scored on these rows in the end.
    cv
        The number of folds of a cross-validation, in which every row is held out once.
    group
        A column whose equal values say that rows belong together: such rows are never both trained on and held out. It
        is no feature.
    weights
        A column of weights, 0 or more, of the rows, in training and in scores. It is no feature.
    weights_kind
        What a weight is: "frequency", the number of rows that a row stands for, as where it is None; "precision", the
        inverse of a variance; or "sampling", the inverse of the chance to be in the sample.
    class_weight
        "balanced" gives each class the same weight, in training and in the log loss that compares; None: each row.
    no_refit
        Is the better model not trained again on all rows?
    seed
        The seed of all random choices.
    max_iter
        The limit on iterations; None: that of the solver.
    memory
        Bytes that the cells of a file may take in memory; files that take more are read in pieces.
    scratch
        The folder for the copy of a text file larger than `memory`; None: the system's.
    checkpoint
        The beginning of the names of files that keep where training stands; the same call goes on from there.
    cluster
        The address of a Dask scheduler, or "" for a cluster that is started on this machine; None: no cluster.
    threads
        Threads; None: all cores. They change no result.
    report
        The path of the report that is written at the end, which rows that are read in pieces cannot have.
    typed
        The whole command or call, as code.
    """

    data: str | Table
    target: str
    more: Sequence[str] = ()
    output: str | None = None
    ignore: Sequence[str] = ()
    category: Sequence[str] = ()
    number: Sequence[str] = ()
    date: Sequence[str] = ()
    text: Sequence[str] = ()
    levels: int | None = None
    reference: Sequence[str] | Mapping[str, str] = ()
    date_parts: Sequence[str] = ()
    missing: str = "indicator"
    task: str | None = None
    encoding: str = "utf-8"
    sheet: str | None = None
    model: str = "auto"
    hidden: Hidden = "auto"
    activation: str = "tanh"
    alpha: float | str | None = None
    penalty: str = "l2"
    loss: str | None = None
    offset: str | None = None
    intercepts: str | Sequence[str] | None = "auto"
    starts: int | None = None
    effort: str = "default"
    holdout: float | None = None
    holdout_by: str | None = None
    test: str | Table | None = None
    cv: int | None = None
    group: str | None = None
    weights: str | None = None
    weights_kind: str | None = None
    class_weight: str | None = None
    no_refit: bool = False
    seed: int = 0
    max_iter: int | None = None
    memory: int = MEMORY
    scratch: str | None = None
    checkpoint: str | None = None
    cluster: str | None = None
    threads: int | None = None
    report: str | None = None
    typed: str = ""

    @property
    def data_name(self) -> str:
        """What messages call the data."""
        return self.data if isinstance(self.data, str) else self.data.path

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of what is read, which nothing may be written over."""
        return tuple(path for path in (self.data, *self.more, self.test) if isinstance(path, str))

    @property
    def holdout_share(self) -> float:
        """The share of the rows that is held out where they are not compared on folds or on a test file."""
        return HOLDOUT if self.holdout is None else self.holdout

    @property
    def grouping(self) -> tuple[str, ...] | Literal["auto"] | None:
        """The columns that have random intercepts, as estimators take them."""
        from newtron.table.choices import split_names

        names = split_names([] if self.intercepts is None else self.intercepts)
        if names == ["auto"]:
            return "auto"
        return tuple(names) if names and names != ["none"] else None

    @property
    def _factors(self) -> tuple[str, ...] | Literal["auto"]:
        """The columns whose text says what group a row is of: by rule those of a network that is not compared with a
        perceptron, which takes their levels for columns."""
        asked = self.grouping
        if asked == "auto":
            return "auto" if self.model == "network" else ()
        return asked or ()

    @property
    def groups_for_network(self) -> bool:
        """May text with many levels be groups to the network alone, because a perceptron is trained beside it?"""
        return self.grouping == "auto" and self.model == "auto"

    @property
    def choices(self) -> ColumnChoices:
        """What the user says of columns."""
        from newtron.table.choices import choices_of

        return choices_of(
            category=self.category,
            number=self.number,
            date=self.date,
            text=self.text,
            levels=self.levels,
            reference=self.reference,
            missing=self.missing,
            date_parts=self.date_parts,
            factors=self._factors,
        )


def bytes_of(text: str) -> int:
    """Return a size such as '1GB', '500 MB' or a number of bytes, in bytes. Raises ValueError for what is no size."""
    word = text.strip().lower()
    unit = next((unit for unit in _UNITS if word.endswith(unit)), "")
    try:
        return int(float(word.removesuffix(unit)) * _UNITS.get(unit, 1))
    except OverflowError:
        raise ValueError(f"{text!r} is no size") from None
