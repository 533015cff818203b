"""`newtron.fit`: the main job on a path or a frame, in Python."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.util import find_spec
from inspect import Parameter

from newtron.engine.base.checks import check_count, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import told_at
from newtron.study.given import documentation, read_settings, signature
from newtron.study.interrupt import Interrupts
from newtron.study.options import FitOptions
from newtron.study.progress import Reporter
from newtron.study.run import run_job
from newtron.study.study import Library, Study
from newtron.study.train import Trainer
from newtron.table.frames import is_frame, table_of
from newtron.table.table import Table, check_finite

# What messages call a frame.
_FRAME = "data"


def fit(data: object, target: str, *, verbose: int = 1, **settings: object) -> Study:
    """Train a perceptron and a network on a table, compare them on rows that are held out, and train the better one
    again on all rows: what the command `newtron fit` does.

    Nothing is written to disk, but where `checkpoint` or `scratch` name a place. Ctrl-C stops training at its next step
    and keeps the best so far, and a second one ends the call. The same data, settings and seed give the same model to
    the last bit, from a file or a frame.

    Parameters
    ----------
    data : path or frame
        A CSV, Parquet or Arrow file, a folder or a pattern of such; or a frame of pandas, polars, pyarrow or another
        library that narwhals knows, which is not changed. Its columns may be numbers, text, categories, booleans and
        dates, with missing cells.
    target : str
        The column to predict.
    verbose : int, default 1
        0 shows no progress.
    settings
        The options of the command under their names, with underscores.

    Returns
    -------
    Study
        It prints what the command prints, and has the model, its comparison, the report and what to `save`.

    Raises
    ------
    InputError
        The data cannot be read or used, or a setting is not known or cannot be what it is: the message says which.

    Warns
    -----
    UserWarning
        For each sentence that says that the model may be wrong: it predicts no better than a guess, a column reveals
        the target, training did not converge or was interrupted.

    Examples
    --------
    >>> import newtron
    >>> study = newtron.fit("examples/penguins.csv", "sex", model="perceptron", verbose=0)
    >>> study.comparison["model"].tolist()
    ['baseline', 'perceptron']
    """
    with told_at("study"):
        options = _options(data, target, settings)
        quiet = check_count("verbose", verbose, least=0) == 0
        with Interrupts(own_process=False) as interrupts:
            reporter = Reporter(interrupts, quiet=quiet, warned=True)
            try:
                job = run_job(Trainer(options, reporter, interrupts))
            finally:
                reporter.close()
    for sentence in dict.fromkeys([*job.cautions, *job.comparison.verdict.warnings]):
        warnings.warn(sentence, stacklevel=2)
    return Study(job, _library_of(data))


def _options(data: object, target: object, settings: dict[str, object]) -> FitOptions:
    """Check everything that was given."""
    if not isinstance(target, str):
        raise InputError(f"target={shown(target)} must be the name of the column to predict.")
    read = read_settings(settings)
    if read.get("cluster") is not None and not isinstance(data, str | os.PathLike):
        raise InputError("cluster reads files: give the path of the data, or leave it out for a frame.")
    given = shown(os.fspath(data)) if isinstance(data, str | os.PathLike) else "data"
    named = [
        given,
        shown(target),
        *(f"{name}={name if is_frame(value) else shown(value)}" for name, value in settings.items()),
    ]
    return FitOptions(data=_data(data), target=target, **read, typed=f"newtron.fit({', '.join(named)})")  # type: ignore[arg-type]


def _data(data: object) -> str | Table:
    """Return the path, or the frame as a table."""
    if isinstance(data, str | os.PathLike):
        return os.fsdecode(data)
    if is_frame(data):
        table = table_of(data, _FRAME)
        check_finite(table)
        return table
    raise InputError(
        f"data is of the type {type(data).__name__}: give a path or a frame, whose columns have names; an estimator, "
        "such as newtron.PerceptronRegressor, takes arrays."
    )


def _library_of(data: object) -> Library:
    """Return the library whose frames the comparison is given as."""
    if not isinstance(data, str | os.PathLike):
        import narwhals as nw

        known = nw.from_native(data, pass_through=True)
        if isinstance(known, nw.DataFrame | nw.LazyFrame):
            if known.implementation.is_polars():
                return "polars"
            if known.implementation.is_pyarrow():
                return "pyarrow"
    return "pandas" if "pandas" in sys.modules or find_spec("pandas") else "pyarrow"


fit.__signature__ = signature(  # type: ignore[attr-defined]
    [
        Parameter("data", Parameter.POSITIONAL_OR_KEYWORD, annotation="object"),
        Parameter("target", Parameter.POSITIONAL_OR_KEYWORD, annotation="str"),
    ],
    [Parameter("verbose", Parameter.KEYWORD_ONLY, default=1, annotation="int")],
)
fit.__doc__ = documentation(fit.__doc__)
