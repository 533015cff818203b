"""Which training a checkpoint is of: the settings that its result depends on, and a digest of the data."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.solvers import SOLVERS, Solver
from newtron.training.members import Task

if TYPE_CHECKING:
    from newtron.model_file.checkpoint import Checkpoint

# Settings that change no bit of the result, and the limit that a resumed training may raise.
_FREE = ("callback", "verbose", "n_jobs", "max_iter", "random_state")
# Not where the data choose a perceptron's penalty: each stage of that starts from where the limit ended the one before.
_FREE_BY_RULE = tuple(name for name in _FREE if name != "max_iter")


def with_checkpoint(task: Task, estimator: Any, path: str | os.PathLike[str]) -> tuple[Task, Checkpoint]:
    """The task that goes on where the checkpoint stands, if there is one, and keeps its runs there."""
    from newtron.model_file.checkpoint import Checkpoint, digest

    if isinstance(task.solver, Solver) and type(task.solver) not in SOLVERS.values():
        raise InputError(
            f"checkpoint: only the states of newtron's own solvers ({', '.join(SOLVERS)}) can be kept, and "
            f"{type(task.solver).__name__} is none of them; train without a checkpoint."
        )
    settings = {"estimator": type(estimator).__name__}
    free = _FREE_BY_RULE if isinstance(task.alpha, str) and () in task.shapes else _FREE
    for name, value in sorted(estimator.get_params(deep=False).items()):
        if name not in free:
            settings[name] = repr(value.item() if isinstance(value, np.generic) else value)
    scaling = task.scaling
    scales = [scaling.x_center, scaling.x_scale, scaling.y_center, scaling.y_scale]
    data = digest([task.X, task.Y, task.weight, *scales], task.threads)
    if task.source is not None:
        data += task.source.source.digest()
    # Without a random_state each training draws its own seed, and a resumed one keeps that of its beginning.
    seed = None if estimator.random_state is None else task.seed
    checkpoint = Checkpoint(path, settings, data, len(task.jobs), seed)
    return replace(task, checkpoint=checkpoint, seed=checkpoint.seed(task.seed)), checkpoint
