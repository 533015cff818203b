"""What `newtron fit` found out, as its screen, its JSON and its report tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.solvers import Status
from newtron.study.compare import Report, Verdict
from newtron.study.data import FitData
from newtron.study.options import FitOptions
from newtron.study.sample import Sample, TargetValues
from newtron.study.scores import Score
from newtron.table import Schema
from newtron.training.fitted import FittedModel


@dataclass(frozen=True)
class Candidate:
    """A trained model, how many seconds its training took, and sentences that the user should read."""

    name: str
    model: FittedModel
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        return any(m.solution.status is Status.INTERRUPTED for m in self.model.members)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The models that were trained on the training rows, and how they compare on the held-out rows. Of a
    cross-validation, `schema`, `n_training`, `held_out` and `candidates` are those of the first fold.

    schema: what the columns mean to the model that is kept, learnt from the training rows. held_out: None where no rows
    were. notes: sentences for the user; cautions: more of them, which say that the model may be wrong. ends: the
    candidates of all folds. kind: of the target, a key of `METRICS`. how: what they are compared on, as the end of a
    heading. n_held_out: the rows that were held out, in all folds together; y: (n,) their targets, and said: what the
    model that is kept predicts for them. by_fold: the metrics of each model in each fold.
    """

    schema: Schema
    n_training: int
    held_out: Sample | None
    candidates: dict[str, Candidate]
    scores: dict[str, Score]
    verdict: Verdict
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    ends: dict[str, list[Candidate]] = field(default_factory=dict)
    kind: str = ""
    how: str = ""
    n_held_out: int = 0
    y: TargetValues = field(default_factory=lambda: np.empty(0))
    said: Array | None = None
    by_fold: list[dict[str, dict[str, float]]] = field(default_factory=list)

    @property
    def kept(self) -> Candidate:
        """The model that was found to be the better one."""
        return self.candidates[self.verdict.kept]


@dataclass(frozen=True, eq=False)
class Job:
    """One run of the main job. refit: the better model, trained again on all rows; None where it was not. notes: all
    sentences for the user; cautions: those of them which say that the model that is kept may be wrong. tested: its
    scores and those of the simplest guess on the rows of a test file, where another comparison chose it; tested_on:
    what that is, as the end of a heading."""

    options: FitOptions
    data: FitData
    comparison: Comparison
    refit: Candidate | None
    interrupted: bool
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    tested: dict[str, Score] = field(default_factory=dict)
    tested_on: str = ""

    @property
    def task(self) -> str:
        return self.data.schema.target.task

    @property
    def final(self) -> Candidate:
        """The model that is written."""
        return self.refit or self.comparison.kept

    @property
    def schema(self) -> Schema:
        """What the columns mean to the model that is written."""
        return self.data.schema_of(self.final.name) if self.refit else self.comparison.schema

    @property
    def n_trained(self) -> int:
        """Rows that the model that is written was trained on."""
        return self.data.n_known if self.refit else self.comparison.n_training

    @property
    def in_python(self) -> bool:
        """Was `newtron.fit` called, and not the command typed?"""
        return self.options.output is None

    @property
    def report(self) -> Report:
        """What is stored beside the model."""
        compared = self.comparison
        kept = compared.scores.get(compared.verdict.kept)
        return Report(
            rows=self.data.n_rows,
            columns=len(self.data.names),
            trained_rows=self.n_trained,
            held_out_rows=compared.n_held_out,
            seed=self.options.seed,
            refit=self.refit is not None,
            kept=compared.verdict.kept,
            how=compared.how,
            weighted=self.options.weights is not None,
            metrics={name: score.metrics for name, score in compared.scores.items()},
            by_class=[] if kept is None else list(kept.by_class),
            tested_on=self.tested_on,
            tested={name: score.metrics for name, score in self.tested.items()},
            gain=compared.verdict.gain,
            error=compared.verdict.error,
            interval=compared.verdict.interval,
            why=compared.verdict.why,
            notes=self.notes,
        )
