"""Which training a checkpoint is of: the settings that its result depends on, and a digest of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TypeAlias

from newtron.engine.base.errors import InputError
from newtron.engine.solvers import SOLVERS, Solver
from newtron.training.settings import Settings
from newtron.training.task import Keeper, Task

# Makes the keeper of a training from its settings, the digest of its data, the number of its members, and its seed
# (None where each training draws its own).
OpenKeeper: TypeAlias = Callable[[dict[str, str], str, int, int | None], Keeper]

# Settings that change no bit of the result, and the limit that a resumed training may raise.
_FREE = ("verbose", "n_jobs", "max_iter", "random_state")


@contextmanager
def kept(task: Task, settings: Settings, open_keeper: OpenKeeper | None) -> Iterator[Task]:
    """The task that is resumed where its keeper stands, if there is one; its runs are kept once more at the end."""
    if open_keeper is None:
        yield task
        return
    if isinstance(task.solver, Solver) and type(task.solver) not in SOLVERS.values():
        raise InputError(
            f"checkpoint: only the states of newtron's own solvers ({', '.join(SOLVERS)}) can be kept, and "
            f"{type(task.solver).__name__} is none of them; train without a checkpoint."
        )
    # Where the data choose a perceptron's penalty, each stage starts from where the limit ended the one before.
    free = [
        name
        for name in _FREE
        if name != "max_iter" or not (isinstance(task.alpha, str) and any(not kind.shape for kind in task.kinds))
    ]
    asked = {"estimator": settings.estimator}
    asked |= {
        field.name: repr(getattr(settings, field.name))
        for field in sorted(fields(settings), key=lambda field: field.name)
        if field.name not in free
    }
    # Without a random_state each training draws its own seed, and a resumed one keeps that of its beginning.
    seed = None if settings.random_state is None else task.seed
    data = task.given.on_threads(task.threads).digest()
    keeper = open_keeper(asked, data, task.kept_runs, seed)
    try:
        yield replace(task, keeper=keeper, seed=keeper.seed(task.seed))
    finally:
        keeper.close()
