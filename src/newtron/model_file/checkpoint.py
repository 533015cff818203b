"""Checkpoints: a training that was stopped, even by a power cut, is resumed where it stood and gives the same bits.

A checkpoint is an archive like a model file, a JSON text and one array of numbers. It holds the last state of each
member's solver, and the settings and a digest of the data, so that no other training is resumed from it. Reading it
executes nothing.

A member may be trained in stages, one for each penalty that is tried. Each stage starts from the results of those
before it, so the last state of every stage is kept; a stage that is complete returns at once when training is resumed.
"""

from __future__ import annotations

import json
import math
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.codec import Codec, FlatNumbers
from newtron.engine.base.errors import InputError
from newtron.engine.base.forms import stored_fields
from newtron.engine.base.strict_json import DAMAGED, parse_json, wrong
from newtron.engine.base.version import __version__
from newtron.engine.base.whole_files import check_writable, remove_parts, rewrite
from newtron.engine.solvers import SOLVERS, Run, State
from newtron.model_file.archive import MANIFEST, Archive, open_file, pack

VERSION = 1
NUMBERS = "numbers.npy"
CODEC = Codec({State: {name: solver.state_type for name, solver in SOLVERS.items()}})
# The next write begins this many times as long after a write as the write took: checkpoints take at most 4 % of the
# time.
_WAIT = 24.0
_BLOCK = 2**24  # bytes hashed at a time
# Characters of a setting that a message shows.
_SHOWN = 60


@dataclass(frozen=True)
class KeptTraining:
    """The content of a checkpoint.

    newtron: the version that wrote it, because another version may compute other bits. settings: those that the result
    depends on, by name. seed: the seed of the training. data: a digest of its rows. members: for each member the runs
    of its stages; the tuple is empty where the member has not begun.
    """

    format: Literal["newtron-checkpoint"]
    version: int
    newtron: str
    settings: dict[str, str]
    seed: int | None
    data: str
    members: tuple[tuple[Run, ...], ...]


class Checkpoint:
    """Keeps the runs of a training's members in one file. It is written after a step, unless the last write was too
    recent (`_WAIT`).

    settings: those that the result depends on, by name; data: a digest of the rows; members: their number; seed: of the
    training, None where it is drawn. If the file exists, it must belong to the same training. Several threads may call
    `keep` at the same time.

    Raises InputError where the file cannot be written, is no checkpoint, is damaged, or belongs to another training.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: Mapping[str, str], data: str, members: int, seed: int | None
    ) -> None:
        self.path = os.fspath(path)
        self._real = check_writable(self.path)
        self._settings, self._data = dict(settings), data
        self._runs: dict[tuple[int, int], Run] = {}  # by member and stage
        self._members = members
        self._lock = threading.Lock()
        self._next_write, self._n_written, self._warned = 0.0, 0, False
        remove_parts(self._real)
        self._seed = seed
        if os.path.exists(self._real):
            try:
                kept = self._read()
            except InputError as error:
                why = str(error).split(";")[0].removesuffix(".").replace("a newtron model", "a checkpoint")
                raise InputError(
                    f"{self.path}: no training can be resumed from this file ({why}); delete it to start anew, or "
                    "give another name."
                ) from None
            self._check_same(kept)
            self._seed = kept.seed if seed is None else seed
            self._runs = {(m, stage): run for m, runs in enumerate(kept.members) for stage, run in enumerate(runs)}

    # --- reading ---

    def seed(self, drawn: int) -> int:
        """The seed of the training: the one that it began with, or else `drawn`."""
        if self._seed is None:
            self._seed = drawn
        return self._seed

    def run(self, member: int, stage: int, kind: type[State], n_params: int) -> Run | None:
        """The kept run of a member in a stage; None where the stage had not begun. kind: the class of the solver's
        states."""
        found = self._runs.get((member, stage))
        if found is not None:
            try:
                check_run(found, f"members[{member}][{stage}]", kind, n_params)
            except InputError as error:
                raise InputError(
                    f"{self.path}: this checkpoint is damaged ({str(error).split(';')[0]}); delete it to start anew."
                ) from None
        return found

    def _read(self) -> KeptTraining:
        with open_file(self._real) as file:
            archive = Archive(file)
            manifest = parse_json(archive.manifest())
            archive.expect((MANIFEST, NUMBERS))
            numbers = FlatNumbers(archive.vector(NUMBERS))
        found = CODEC.read(manifest, KeptTraining, numbers)
        if found.version != VERSION:
            raise wrong("version", str(VERSION), found.version)
        if not numbers.all_read:
            raise wrong(NUMBERS, "the numbers of the runs and no more", "longer")
        return found

    def _check_same(self, kept: KeptTraining) -> None:
        """Raise InputError, which says what is different, if the checkpoint belongs to another training."""
        different = [name for name in self._settings if kept.settings.get(name) != self._settings[name]]
        if kept.newtron != __version__:
            why = f"newtron {kept.newtron}, and this is newtron {__version__}"
        elif different:
            name = different[0]
            there, here = str(kept.settings.get(name))[:_SHOWN], self._settings[name][:_SHOWN]
            why = f"{name}={there}, and this training has {name}={here}"
        elif self._seed is not None and kept.seed != self._seed:
            why = "another random_state"
        elif kept.data != self._data or len(kept.members) != self._members:
            why = "other data"
        else:
            return
        raise InputError(
            f"{self.path}: this checkpoint is of a training with {why}; train with the same to go on, or delete it "
            "to start anew."
        )

    # --- writing ---

    def keep(self, member: int, stage: int, run: Run) -> None:
        """Keep the run of a member after a step, and write the file if the last write was long enough ago."""
        self._runs[member, stage] = run
        if perf_counter() < self._next_write or not self._lock.acquire(blocking=False):
            return  # the state after the next step will be written instead
        try:
            self._write()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Write the last runs."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        started = perf_counter()
        try:
            rewrite(self._real, self._packed())
            self._n_written += 1
        except InputError as error:
            if not self._n_written:
                raise
            # The training continues even if the disk is full.
            if not self._warned:
                warnings.warn(f"The checkpoint stays as it was, and training goes on. {error}", stacklevel=2)
            self._warned = True
        now = perf_counter()
        self._next_write = now + _WAIT * (now - started)

    def _packed(self) -> bytes:
        known = dict(self._runs)
        members = [
            tuple(replace(run, trace=run.trace[: run.rows]) for (m, _), run in sorted(known.items()) if m == number)
            for number in range(self._members)
        ]
        kept = KeptTraining(
            "newtron-checkpoint", VERSION, __version__, self._settings, self._seed, self._data, tuple(members)
        )
        numbers = FlatNumbers()
        text = json.dumps(CODEC.write(kept, KeptTraining, numbers), ensure_ascii=True, allow_nan=False)
        return pack(text.encode("utf-8"), {NUMBERS: numbers.vector})


def check_run(run: Run, where: str, kind: type[State], n_params: int) -> None:
    """Raise InputError where a run that was read cannot be one of a solver whose states are of this kind, with so many
    parameters."""
    state, trace = run.state, run.trace
    if type(state) is not kind:
        raise wrong(f"{where}.state", f"a {kind.__name__}", type(state).__name__)
    counted = run.rows == len(trace) == state.iteration + 1 > 0
    if not counted or any(row.iteration != number for number, row in enumerate(trace)):
        raise InputError(f"{where}.trace does not count its iterations; {DAMAGED}.")
    ends = math.isfinite(state.value) and all(math.isfinite(row.value + row.gradient_norm) for row in trace)
    if run.status is None and not ends:
        raise InputError(f"{where} goes on from values that are not finite; {DAMAGED}.")
    for name in stored_fields(kind):
        value, place = vars(state)[name], f"{where}.state.{name}"
        if isinstance(value, int) and value < 0:
            raise wrong(place, "a whole number, 0 or more", value)
        arrays = list(_arrays(value))
        # Those of one dimension have a number for every parameter; a tuple of matrices belongs to the layers.
        if any(array.ndim < 2 and array.shape != (n_params,) for array in arrays):
            raise wrong(place, f"of {n_params} numbers", [list(array.shape) for array in arrays])
        # What has ended may have ended where nothing is finite.
        if run.status is None and not all(np.isfinite(array).all() for array in arrays):
            raise InputError(f"{place} holds numbers that are not finite; {DAMAGED}.")
    if any(count < 0 for count in run.counts.values()):
        raise wrong(f"{where}.counts", "whole numbers, 0 or more", dict(run.counts))


def _arrays(value: object) -> Iterator[NDArray[np.generic]]:
    """The arrays in a value: itself, or those in its tuples."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _arrays(item)
