"""Train the candidates on the training rows of each split, score them on the rows that are held out, and judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import count, setting
from newtron.model.predicting import predicted
from newtron.study.compare import Verdict, judge, remedy
from newtron.study.data import FitData, Split
from newtron.study.job import Candidate, Comparison
from newtron.study.leaks import exact_sum, revealing_columns
from newtron.study.options import FitOptions
from newtron.study.rows_to_test import RowsToTest
from newtron.study.sample import Sample
from newtron.study.scores import BASELINE, Score, Scoring
from newtron.study.split import FEWEST
from newtron.study.train import Trainer, stage_name
from newtron.training.class_weight import class_totals, class_weights


def compare(data: FitData, trainer: Trainer, test: RowsToTest | None) -> Comparison:
    """Train what is asked for, score it on rows that it was not trained on, and judge. test: the rows of a test
    file."""
    options = trainer.options
    try:
        return _compared(_splits(data, options, test), data, trainer)
    except InputError as error:
        if not (leaves_one_out(data, options) and options.holdout_share):
            raise
        # A model without some row may not be possible where one of all rows is.
        without = replace(trainer, options=replace(options, holdout=0.0))
        found = _compared(data.splits(without.options), data, without)
        note = f"{_on_few(data)}: none were held out, and none could be left out one by one: {error}"
        return replace(found, notes=[*found.notes, note])


def leaves_one_out(data: FitData, options: FitOptions) -> bool:
    """Are there too few rows to hold some out, so that each is left out in turn?"""
    asked = options.cv is not None or options.test is not None or options.holdout_by is not None
    return data.n_known < FEWEST and not asked


@dataclass(eq=False)
class _Work:
    """What was done so far. ends: all candidates by name, one for each split; parts: the rows that were held out in
    each split; predicted: what the models and the simplest guess say of these, by name."""

    first: Split
    scoring: Scoring
    notes: list[str]
    cautions: list[str] = field(default_factory=list)
    ends: dict[str, list[Candidate]] = field(default_factory=dict)
    parts: list[Sample] = field(default_factory=list)
    predicted: list[dict[str, Array]] = field(default_factory=list)

    def add(self, split: Split, candidates: dict[str, Candidate]) -> None:
        """Add the candidates of one split, and what they predict."""
        for name, trained in candidates.items():
            self.ends.setdefault(name, []).append(trained)
        if split.held_out is None:
            return
        found = {BASELINE: self.scoring.guess(split.training.known, split.held_out)}
        with np.errstate(all="ignore"):
            for name, trained in candidates.items():
                rows = split.seen_by(name)[1]
                found[name] = predicted(trained.model, (split.held_out if rows is None else rows).X)
        self.parts.append(split.held_out)
        self.predicted.append(found)


def _splits(data: FitData, options: FitOptions, test: RowsToTest | None) -> Iterator[Split]:
    """The splits of the data, or where there is a test file and no cross-validation all rows and those of the file."""
    if test is None or options.cv is not None:
        yield from data.splits(options)
        return
    rows, held_out = data.everything(), test.sample(data.schema)
    seen = data.schema_of("network")
    grouped = None if seen is data.schema else (data.everything("network"), test.sample(seen))
    how = f"on the {count(len(test.y), 'row')} of {test.name}; trained on the {rows.n_rows:,} of {data.name}"
    examined = rows.rows if isinstance(rows.rows, Sample) else held_out
    yield Split(rows, held_out, examined, [], how, grouped=grouped)


def _compared(splits: Iterable[Split], data: FitData, trainer: Trainer) -> Comparison:
    options, work = trainer.options, None
    names = ["perceptron", "network"] if options.model == "auto" else [options.model]
    for split in splits:
        if work is None:
            work = _Work(split, _scoring(split, options), [*split.notes, *_on_holding_out(data, split, options)])
            work.cautions = _leaks(split, trainer)
            names = names if split.held_out is not None and not _is_one_of_many(split, options) else names[:1]
        candidates: dict[str, Candidate] = {}
        for name in names:
            if trainer.interrupts.asked:
                break
            small = _is_one_of_many(split, options)
            stage = stage_name(name, split.fold, split.of if not small else 0)
            candidates[name] = trainer.train(name, split.seen_by(name)[0], options.alpha, stage, small=small)
            if work.first is split and _is_exact_sum(work, candidates, trainer):
                names = [name]
                break
        if trainer.interrupts.asked and work.ends:
            break  # the folds that are complete are compared
        work.add(split, candidates)
    if work is None:
        raise TypeError("there is no split")
    return _judged(work, options)


def _is_one_of_many(split: Split, options: FitOptions) -> bool:
    """Is this a split of a leave-one-out, whose fits are small and many?"""
    return split.of > 0 and options.cv is None


def _scoring(split: Split, options: FitOptions) -> Scoring:
    target = split.training.schema.target
    factors, known = None, split.training.known
    if options.class_weight is not None:
        labels = np.array(target.classes)
        factors = class_weights("balanced", labels, class_totals(known.y, known.weight, len(labels)))
    kind = "counts" if options.loss == "poisson" else target.task
    repeats = options.weights is not None and options.weights_kind in (None, "frequency")
    return Scoring(kind, target.classes, factors, repeats)


def _leaks(split: Split, trainer: Trainer) -> list[str]:
    """A sentence on each column that reveals the target, which is told before training goes on."""
    found = [] if split.examined is None else revealing_columns(split.training.schema, split.examined)
    for sentence in found:
        trainer.reporter.note(sentence)
    return found


def _is_exact_sum(work: _Work, candidates: dict[str, Candidate], trainer: Trainer) -> bool:
    """Does the perceptron that was just trained predict the held-out rows exactly, so that there is nothing left to
    learn? That is told."""
    split, first, options = work.first, candidates.get("perceptron"), trainer.options
    alone = first is not None and len(candidates) == 1 and not first.interrupted
    if first is None or split.held_out is None or not alone or _is_one_of_many(split, options):
        return False
    training, skips = split.training, options.model == "auto"
    sentence = exact_sum(first.model, training.schema, split.held_out, training.n_rows, skips)
    if sentence:
        trainer.reporter.note(sentence)
        # Where one column alone is the target, this says all of it.
        left_out = sentence.rpartition(" leave ")[2]
        work.cautions = [*(each for each in work.cautions if each.rpartition(" leave ")[2] != left_out), sentence]
    return bool(sentence)


def _on_few(data: FitData) -> str:
    known = count(data.n_known, "row has", "rows have")
    return f"Only {known} a value of the target, fewer than {FEWEST}"


def _on_holding_out(data: FitData, split: Split, options: FitOptions) -> list[str]:
    """What a user should know of the rows that the models are compared on."""
    notes, network = [], setting("model", repr("network"))
    if _is_one_of_many(split, options):
        notes.append(
            f"{_on_few(data)}: none were held out, and each was predicted by a perceptron that was trained without it, "
            "with one training for each (leave-one-out)."
        )
        if options.model == "auto":
            folds = setting("cv", "5")
            notes.append(
                "So few rows do not tell two models apart: the perceptron is fitted, as the simpler one; ask for the "
                f"other with {network}, or for both with {folds}."
            )
    elif split.held_out is None:
        if options.holdout_share:
            notes.append(f"{_on_few(data)}: none were held out, so nothing says how well the model predicts new rows.")
        if options.model == "auto":
            notes.append(
                "Without held-out rows models cannot be compared: the perceptron is fitted, as the simpler "
                f"one; ask for the other with {network}."
            )
    elif options.test is not None and options.cv is None and options.model == "auto":
        notes.append(
            "The better of the two models is chosen by the rows of the test file, so that its score on them is a "
            f"little too good; {setting('cv', '5')} chooses by the other rows, and the test is then of one model."
        )
    return notes


def _judged(work: _Work, options: FitOptions) -> Comparison:
    """The scores on the held-out rows, and which model is kept."""
    training, candidates = work.first.training, {name: ends[0] for name, ends in work.ends.items()}
    found = Comparison(
        training.schema,
        training.n_rows,
        work.first.held_out,
        candidates,
        {},
        Verdict(next(iter(candidates)), []),
        work.notes,
        work.cautions,
        work.ends,
    )
    if not work.parts:
        return found
    rows, n = Sample.joined(work.parts), len(work.parts)
    fold = np.repeat(np.arange(n), list(map(len, work.parts))) if n > 1 else None
    names = (BASELINE, *candidates)
    said = {name: np.concatenate([each[name] for each in work.predicted]) for name in names}
    scores = {name: work.scoring.score(said[name], rows, fold) for name in names}
    remedies = {name: remedy(trained.model, training.n_rows) for name, trained in candidates.items()}
    verdict = judge(work.scoring.kind, scores, remedies)
    kept, held_out = work.first.seen_by(verdict.kept)
    how = work.first.how
    if n < work.first.of:
        how += f", of which {count(n, 'fold is', 'folds are')} done"
    by_fold: list[dict[str, dict[str, float]]] = []
    if n > 1 and options.cv is not None:
        parts = zip(work.parts, work.predicted, strict=True)
        by_fold = [{name: work.scoring.score(each[name], part).metrics for name in scores} for part, each in parts]
    return replace(
        found,
        schema=kept.schema,
        held_out=held_out,
        scores=scores,
        verdict=verdict,
        kind=work.scoring.kind,
        how=how,
        n_held_out=len(rows),
        y=rows.y,
        said=said[verdict.kept],
        by_fold=by_fold,
    )


def tested(data: FitData, final: Candidate, test: RowsToTest, options: FitOptions) -> dict[str, Score]:
    """The scores of the model that is kept and of the simplest guess on the rows of a test file."""
    schema = final.model.data.schema
    rows, training = test.sample(schema if schema is not None else data.schema), data.everything()
    scoring = _scoring(Split(training, None, None, []), options)
    with np.errstate(all="ignore"):
        said = predicted(final.model, rows.X)
    guess = scoring.guess(training.known, rows)
    return {BASELINE: scoring.score(guess, rows), final.name: scoring.score(said, rows)}
