"""Train one model and say how it ended."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.cli.interrupt import Interrupts
from newtron.cli.progress import Reporter
from newtron.engine.base.errors import ColumnError, InputError
from newtron.engine.base.words import count, joined, seconds
from newtron.engine.solvers import Solution, Status
from newtron.estimators import (
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)
from newtron.training.uncertainty import lacking

# Strength of the penalty that makes separated classes a problem with an answer: that of scikit-learn's
# default.
RESCUE_ALPHA = 1.0

ENDS = {
    Status.CONVERGED: "converged",
    Status.PRECISION: "converged",
    Status.MAX_ITER: "stopped at the iteration limit",
    Status.STALLED: "stalled before convergence",
    Status.PLATEAU: "ended on a plateau",
    Status.UNBOUNDED: "without a minimum",
    Status.DIVERGED: "diverged",
    Status.NOT_FINITE: "not finite at the start",
    Status.EARLY_STOPPED: "stopped early by rule",
    Status.STOPPED: "stopped",
    Status.INTERRUPTED: "interrupted",
}


class Columns(NamedTuple):
    """What a model is trained on: X (n, p), or rows of files, what its columns are called, and what its target."""

    X: Any
    names: Sequence[str]
    target: str


@dataclass(frozen=True)
class Trained:
    """A model, how long it took, and what should be known about it."""

    name: str
    estimator: Any
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def interrupted(self) -> bool:
        return any(m.solution.status is Status.INTERRUPTED for m in self.estimator.members_)


def train(
    name: str,
    task: str,
    columns: Columns,
    y: NDArray[Any] | None,
    options: Any,
    alpha: float | None,
    reporter: Reporter,
    interrupts: Interrupts,
    stage: str,
) -> Trained:
    """Fit the perceptron or the network with the settings that were typed, and this penalty (None: the
    usual). y: None where the columns are rows of files."""
    started = perf_counter()
    notes: list[str] = []
    interrupts.keeping = True
    checkpoint = _checkpoint(options, stage)
    if checkpoint is not None and os.path.exists(checkpoint):
        reporter.say(f"{stage}: going on from where {checkpoint} stands")
    with reporter.stage(stage):
        estimator = _make(name, task, options, reporter, alpha)
        warned = _fit(estimator, columns, y, options.data, checkpoint)
        unbounded = estimator.solution_.status is Status.UNBOUNDED
        if name == "perceptron" and unbounded and alpha is None and not interrupts.asked:
            found = getattr(estimator, "separation_", None)
            growing = "Without a penalty the perceptron's coefficients go on growing."
            known = found.finding if found is not None and found.found else growing
            notes.append(
                f"{known} The perceptron was fitted with a penalty, --alpha {RESCUE_ALPHA:g}, which keeps its "
                "coefficients finite. The other choice is --penalty firth."
            )
            estimator = _make(name, task, options, reporter, RESCUE_ALPHA)
            warned = _fit(estimator, columns, y, options.data, _checkpoint(options, f"{stage} with penalty"))
    # The number of threads is no property of the model, and the progress display ends here.
    estimator.set_params(n_jobs=None, callback=None)
    missing = [] if interrupts.asked else [f"The {name}: {sentence}" for sentence in lacking(estimator)]
    trained = Trained(name, estimator, perf_counter() - started, notes + warned + missing)
    reporter.say(f"{stage}: {ending(estimator)}, {seconds(trained.seconds)}")
    return trained


def check_penalty(options: Any, task: str) -> None:
    """Firth's penalty is the perceptron's, for classes, and a penalty of its own."""
    if options.penalty != "firth":
        return
    if task != "classification":
        raise InputError("--penalty firth is for classes, and the target is a number: leave it out, or use --alpha.")
    if options.model == "network":
        raise InputError("--penalty firth is the perceptron's: choose --model perceptron with it, or leave it out.")
    if options.alpha:
        raise InputError("--penalty firth is a penalty of its own: leave out --alpha, or --penalty.")


def _make(name: str, task: str, options: Any, reporter: Reporter, alpha: float | None) -> Any:
    common: dict[str, Any] = {
        "n_jobs": options.threads,
        "max_iter": options.max_iter,
        "random_state": options.seed,
        "callback": reporter.step,
    }
    if name == "perceptron":
        kind: Any = PerceptronClassifier if task == "classification" else PerceptronRegressor
        if task == "classification":
            common["penalty"] = options.penalty
        # A penalty must weigh all columns alike, whatever their units.
        return kind(alpha=alpha or 0.0, standardize=bool(alpha), **common)
    if alpha is not None:
        common["alpha"] = alpha
    if options.hidden:
        common["hidden"] = options.hidden[0] if len(options.hidden) == 1 else options.hidden
    kind = NetworkClassifier if task == "classification" else NetworkRegressor
    return kind(activation=options.activation, n_starts=options.starts, **common)


def _checkpoint(options: Any, stage: str) -> str | None:
    """The file that keeps where this fit stands; each has one of its own."""
    return None if options.checkpoint is None else f"{options.checkpoint}.{stage.replace(' ', '-')}"


def remove_checkpoints(options: Any) -> None:
    """Once the model is written, they have done their duty."""
    for name in ("perceptron", "network"):
        for stage in (name, f"{name} on all rows"):
            for path in (_checkpoint(options, stage), _checkpoint(options, f"{stage} with penalty")):
                if path is not None:
                    with suppress(OSError):
                        os.unlink(path)


def _fit(estimator: Any, columns: Columns, y: NDArray[Any] | None, data: str, checkpoint: str | None) -> list[str]:
    """Fit; the warnings as sentences, but those of convergence, which `ending` tells better. data: the file's name."""
    estimator.call_columns(columns.names)
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
        warnings.simplefilter("always")
        try:
            if y is None:
                estimator.fit_rows(columns.X, checkpoint=checkpoint)
            else:
                estimator.fit(columns.X, y, checkpoint=checkpoint)
        except ColumnError as error:
            raise InputError(f"{data}: {error}") from None
    estimator._targets = (columns.target,)
    told = [str(w.message) for w in caught if w.category.__name__ != "ConvergenceWarning"]
    return list(dict.fromkeys(text for text in told if "encountered in" not in text))


def ending(estimator: Any) -> str:
    """'6 iterations, converged' or '3 members: 2 converged and 1 stopped at the iteration limit'; where not all that
    were trained predict, '9 members, of which 8 predict: 8 converged'."""
    n_trained, solutions = len(estimator.members_), _of_those_that_predict(estimator)
    if n_trained == 1:
        return f"{count(solutions[0].n_iter, 'iteration')}, {ENDS[solutions[0].status]}"
    tally = Counter(ENDS[solution.status] for solution in solutions)
    ends = joined(f"{n} {end}" for end, n in tally.items())
    n = len(solutions)
    part = "" if n == n_trained else f", of which {n:,} predict{'s' if n == 1 else ''}"
    return f"{count(n_trained, 'member')}{part}: {ends}"


def sentences(estimator: Any) -> list[str]:
    """Each way in which the members that predict ended, in whole sentences."""
    return list(dict.fromkeys(solution.sentence for solution in _of_those_that_predict(estimator)))


def _of_those_that_predict(estimator: Any) -> list[Solution]:
    return [member.solution for member in estimator.members_ if member.share]


def ends_facts(trained: Trained) -> list[dict[str, Any]]:
    """How each member ended, for --json."""
    return [
        {
            "hidden": list(member.hidden),
            "status": member.solution.status.name.lower(),
            "sentence": member.solution.sentence,
            "converged": member.solution.converged,
            "iterations": member.solution.n_iter,
            "objective": member.solution.value,
            "gradient_norm": member.solution.gradient_norm,
            "solver": member.solution.solver.name,
            "share": member.share,
            "seconds": member.solution.seconds,
        }
        for member in trained.estimator.members_
    ]
