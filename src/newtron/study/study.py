"""A study: what `newtron.fit` found out, and what can be asked of it."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import cached_property
from newtron.engine.base.whole_files import check_writable, same_file
from newtron.engine.base.words import count, setting, told_at
from newtron.estimators.base import NewtronEstimator
from newtron.estimators.stored import estimator_of
from newtron.inference.certificate.certificate import Certificate
from newtron.model.certified import certificate_of
from newtron.model_file import write_model
from newtron.study.data import TableData
from newtron.study.html import HtmlSheet
from newtron.study.job import Job
from newtron.study.scores import Score
from newtron.study.screen import Screen
from newtron.study.told import facts_of, tell
from newtron.study.train import remove_checkpoints
from newtron.table.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

# The libraries whose frames a comparison can be.
Library: TypeAlias = Literal["pandas", "polars", "pyarrow"]


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A perceptron and a network that were trained on a table and compared, and the better of them, trained again on
    all rows. `newtron.fit` makes it.

    ``print(study)`` shows what `newtron fit` prints; a notebook shows it as HTML.

    Examples
    --------
    >>> import newtron
    >>> study = newtron.fit("examples/penguins.csv", "sex", model="perceptron", verbose=0)
    >>> study
    <Study: the perceptron for the classes of sex, from 333 of 344 rows of examples/penguins.csv>
    >>> study.certificate.nature
    'minimum'
    """

    _job: Job
    _library: Library = "pyarrow"

    def __str__(self) -> str:
        text = io.StringIO()
        with told_at("study"):
            tell(self._job, Screen(text))
        return text.getvalue().rstrip("\n")

    def __repr__(self) -> str:
        job = self._job
        target = job.schema.target
        what = target.name if target.task == "regression" else f"the classes of {target.name}"
        n, known = job.data.n_rows, job.n_trained
        rows = count(n, "row") if n == known else f"{known:,} of {count(n, 'row')}"
        return f"<Study: the {self.kept} for {what}, from {rows} of {job.data.name}>"

    def _repr_html_(self) -> str:
        sheet = HtmlSheet()
        with told_at("study"):
            tell(self._job, sheet)
        return sheet.html

    @cached_property
    def model(self) -> NewtronEstimator:
        """The estimator that is kept, fitted, as `newtron.load` gives it."""
        return estimator_of(self._job.final.model)

    @property
    def kept(self) -> str:
        """The name of the model that is kept: "perceptron" or "network"."""
        return self._job.final.name

    @property
    def comparison(self) -> pd.DataFrame | None:
        """The metrics of each model on the rows that were held out; None where none were.

        It is a frame of the library that `fit` was given a frame of; for files of pandas, or of pyarrow where pandas is
        not installed. Its columns are `model` ("baseline" is the simplest guess: the mean, or the share of each class),
        the metrics, as `newtron fit --json` names them, and `kept`.
        """
        return self._frame_of(self._job.comparison.scores)

    @property
    def classes(self) -> pd.DataFrame | None:
        """Precision, recall, F1 and AUC of each class, of the model that is kept, on the rows that it was compared on;
        None for a target that is a number, and where no rows were held out. `rows` counts the rows of a class, or adds
        their weights."""
        scores, kept = self._job.comparison.scores, self.kept
        if kept not in scores or not scores[kept].by_class:
            return None
        lines = [asdict(line) for line in scores[kept].by_class]
        return self._framed({"class" if key == "name" else key: [line[key] for line in lines] for key in lines[0]})

    @property
    def tested(self) -> pd.DataFrame | None:
        """The metrics of the model that is kept and of the simplest guess on the rows of `test`, where a
        cross-validation chose the model by other rows; None elsewhere. Its columns are those of `comparison`."""
        return self._frame_of(self._job.tested)

    def _frame_of(self, scores: Mapping[str, Score]) -> pd.DataFrame | None:
        """The metrics of each model as a frame."""
        if not scores:
            return None
        columns: dict[str, list[object]] = {"model": list(scores)}
        for name in next(iter(scores.values())).metrics:
            columns[name] = [score.metrics[name] for score in scores.values()]
        return self._framed(columns | {"kept": [name == self._job.comparison.verdict.kept for name in scores]})

    def _framed(self, columns: dict[str, list[object]]) -> pd.DataFrame:
        import narwhals as nw

        frame: pd.DataFrame = nw.from_dict(columns, backend=self._library).to_native()
        return frame

    @property
    def schema(self) -> Schema:
        """What the columns mean to the model, and what was left out and why."""
        return self._job.schema

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that should be read: on the data, the columns and the models."""
        return (*self._job.notes, *self._job.comparison.verdict.warnings)

    @property
    def certificate(self) -> Certificate:
        """How good the end of training is, of the model that is kept."""
        return certificate_of(self._job.final.model)

    @property
    def interrupted(self) -> bool:
        """Did Ctrl-C stop training?"""
        return self._job.interrupted

    def to_dict(self) -> dict[str, object]:
        """Return all facts in the types of JSON, as `newtron fit --json` prints them."""
        with told_at("study"):
            return facts_of(self._job)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, as `newtron fit` does: `newtron.load`, `newtron predict`, `newtron show` and
        `newtron explain` open it. An older file of that name is replaced when the new one is complete; checkpoints of
        this study are removed.

        Raises
        ------
        InputError
            The file cannot be written, or is the data itself.
        """
        self._check_place(path)
        save_job(self._job, path)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write the report, one HTML file that loads nothing: the data, the comparison, predictions beside what came,
        which columns matter, coefficients, how training ended, and the calculus of one row.

        Raises
        ------
        InputError
            The file cannot be written, or is the data itself; or the rows were read in pieces or lie on a cluster: what
            a report shows of single rows needs them in memory.
        """
        from newtron.study.report.page import write_report

        with told_at("study"):
            if not isinstance(self._job.data, TableData):
                raise InputError(
                    f"{self._job.data.name}: a report shows single rows, and these are not in memory; give more "
                    f"{setting('memory')}."
                )
            self._check_place(path)
            write_report(self._job, self._job.data, os.fspath(path))

    def _check_place(self, path: str | os.PathLike[str]) -> None:
        """Raise InputError where the file cannot be written, or is the data."""
        check_writable(path)
        for data in self._job.options.files:
            if same_file(path, data):
                raise InputError(f"{os.fspath(path)}: this is the data itself; give another name.")


def save_job(job: Job, path: str | os.PathLike[str]) -> None:
    """Write the model with what was found out about it, and remove the checkpoints of a job that is done."""
    write_model(job.final.model, path, report=to_json(job.report))
    if not job.interrupted:
        remove_checkpoints(job.options)
