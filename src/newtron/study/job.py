"""What `newtron fit` found out, as its screen, its JSON and its report tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

from newtron.study.compare import Report, Score, Verdict
from newtron.study.data import FitData
from newtron.study.options import FitOptions
from newtron.study.sample import Sample
from newtron.study.train import Candidate
from newtron.table import Schema


@dataclass(frozen=True, eq=False)
class Comparison:
    """The models that were trained on the training rows, and how they compare on the held-out rows.

    schema: what the columns mean, learnt from the training rows. held_out: None where no rows were. notes: sentences
    for the user; cautions: more of them, which say that the model may be wrong.
    """

    schema: Schema
    n_training: int
    held_out: Sample | None
    candidates: dict[str, Candidate]
    scores: dict[str, Score]
    verdict: Verdict
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)

    @property
    def n_held_out(self) -> int:
        return 0 if self.held_out is None else len(self.held_out)

    @property
    def kept(self) -> Candidate:
        """The model that was found to be the better one."""
        return self.candidates[self.verdict.kept]


@dataclass(frozen=True, eq=False)
class Job:
    """One run of the main job. refit: the better model, trained again on all rows; None where it was not. notes: all
    sentences for the user; cautions: those of them which say that the model that is kept may be wrong."""

    options: FitOptions
    data: FitData
    comparison: Comparison
    refit: Candidate | None
    interrupted: bool
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)

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
        return self.data.schema if self.refit else self.comparison.schema

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
        return Report(
            rows=self.data.n_rows,
            columns=len(self.data.names),
            trained_rows=self.n_trained,
            held_out_rows=compared.n_held_out,
            seed=self.options.seed,
            refit=self.refit is not None,
            kept=compared.verdict.kept,
            metrics={name: score.metrics for name, score in compared.scores.items()},
            gain=compared.verdict.gain,
            error=compared.verdict.error,
            why=compared.verdict.why,
            notes=self.notes,
        )
