"""Checkpoints: a training that was stopped, even by a power cut, goes on where it stood, to the same bits.

A checkpoint is an archive like a model file, a JSON text and plain numbers: the last state of each member's solver, and
what the training is of (settings, data), so that no other training takes it for its own. Reading it executes nothing.

A member may be trained in stages, one for each penalty that is tried: each stage starts where what came before it led,
so the last state of every stage is kept, and those that are done return at once when the training is taken up again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import warnings
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import newtron
from newtron.engine.base.codec import a_count, a_text, an_object, one_of, parse_json, wrong
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import ordered_map
from newtron.engine.base.whole_files import check_writable, remove_parts, rewrite
from newtron.engine.solvers import Run, State
from newtron.model_file.archive import MANIFEST, Archive, Vector, open_file, pack
from newtron.model_file.states import Numbers, run_from_json, run_to_json

FORMAT, VERSION = "newtron-checkpoint", 1
_FIELDS = ("format", "version", "newtron", "settings", "seed", "data", "members")
_MEMBER = ("runs", "numbers")
# After a write that took t seconds the next one waits for so many t, so that checkpoints take at most 4 % of the time.
_WAIT = 24.0
_BLOCK = 2**24  # bytes hashed at a time
_SHOWN = 60


class Checkpoint:
    """The runs of a training's members in one file, written after each step, but never for long.

    settings: what the training is of, by name; data: a digest of its rows. An existing file must be of the same.
    Several threads may keep their runs at once.

    Raises InputError where the file cannot be written, is no checkpoint, is damaged, or is of another training.
    """

    def __init__(
        self, path: str | os.PathLike[str], settings: Mapping[str, str], data: str, members: int, seed: int | None
    ) -> None:
        self.path = os.fspath(path)
        self._real = check_writable(self.path)
        self._settings, self._data = dict(settings), data
        self._runs: dict[tuple[int, int], Run] = {}  # by member and stage
        self._stored: dict[int, tuple[list[Any], Vector]] = {}
        self._members = members
        self._lock = threading.Lock()
        self._next, self._written, self._behind = 0.0, 0, False
        remove_parts(self._real)
        self._seed = seed
        if os.path.exists(self._real):
            try:
                manifest = self._read()
            except InputError as error:
                why = str(error).split(";")[0].removesuffix(".").replace("a newtron model", "a checkpoint")
                raise InputError(
                    f"{self.path}: no training can be resumed from this file ({why}); delete it to start anew, or "
                    "give another name."
                ) from None
            self._check_same(manifest)
            self._seed = manifest["seed"] if seed is None else seed

    # --- reading ---

    def seed(self, drawn: int) -> int:
        """The seed of the training: the one that it began with, or the one just drawn."""
        if self._seed is None:
            self._seed = drawn
        return self._seed

    def run(self, member: int, stage: int, kind: type[State], n_params: int) -> Run | None:
        """Where a member stood in a stage, None where it had not begun. kind: of its solver's states."""
        if member in self._stored:
            runs = self._decoded(member, kind, n_params)
            with self._lock:
                self._runs.update({(member, number): run for number, run in enumerate(runs)})
                del self._stored[member]
        return self._runs.get((member, stage))

    def _decoded(self, member: int, kind: type[State], n_params: int) -> list[Run]:
        stored, vector = self._stored[member]
        numbers = Numbers(vector)
        try:
            runs = [
                run_from_json(run, f"members[{member}].runs[{stage}]", kind, n_params, numbers)
                for stage, run in enumerate(stored)
            ]
            if not numbers.spent:
                raise wrong(f"members[{member}].numbers", "only what its runs mention", len(vector))
        except InputError as error:
            raise InputError(
                f"{self.path}: this checkpoint is damaged ({str(error).split(';')[0]}); delete it to start anew."
            ) from None
        return runs

    def _read(self) -> dict[str, Any]:
        with open_file(self._real) as file:
            archive = Archive(file)
            manifest = an_object(parse_json(archive.manifest()), "", _FIELDS)
            one_of(manifest["format"], "format", (FORMAT,))
            if manifest["version"] != VERSION:
                raise wrong("version", str(VERSION), manifest["version"])
            a_text(manifest["newtron"], "newtron")
            a_text(manifest["data"], "data")
            a_count(manifest["seed"], "seed")
            if not isinstance(manifest["settings"], dict):
                raise wrong("settings", "an object", manifest["settings"])
            if not isinstance(manifest["members"], list):
                raise wrong("members", "a list", manifest["members"])
            begun = {}
            for number, member in enumerate(manifest["members"]):
                if member is not None:
                    begun[number] = an_object(member, f"members[{number}]", _MEMBER)
            archive.expect((MANIFEST, *map(_name, begun)))
            for number, member in begun.items():
                length = a_count(member["numbers"], f"members[{number}].numbers")
                if length > archive.capacity:
                    raise wrong(f"members[{number}].numbers", "a length that the file has", length)
                if not isinstance(member["runs"], list) or not member["runs"]:
                    raise wrong(f"members[{number}].runs", "a list of one or more", member["runs"])
                self._stored[number] = member["runs"], archive.vector(_name(number), length)
        return manifest

    def _check_same(self, manifest: dict[str, Any]) -> None:
        """Refuse a checkpoint of another training, and say what is different."""
        other = manifest["settings"]
        different = [name for name in self._settings if other.get(name) != self._settings[name]]
        if manifest["newtron"] != newtron.__version__:
            why = f"newtron {manifest['newtron']}, and this is newtron {newtron.__version__}"
        elif different:
            name = different[0]
            there, here = str(other.get(name))[:_SHOWN], self._settings[name][:_SHOWN]
            why = f"{name}={there}, and this training has {name}={here}"
        elif self._seed is not None and manifest["seed"] != self._seed:
            why = "another random_state"
        elif manifest["data"] != self._data or len(manifest["members"]) != self._members:
            why = "other data"
        else:
            return
        raise InputError(
            f"{self.path}: this checkpoint is of a training with {why}; train with the same to go on, or delete it "
            "to start anew."
        )

    # --- writing ---

    def keep(self, member: int, stage: int, run: Run) -> None:
        """Take a member's run after a step, and write the file if that is due."""
        self._runs[member, stage] = run
        if perf_counter() < self._next or not self._lock.acquire(blocking=False):
            return  # the next step has a later state
        try:
            self._write()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Write what is not on the disk yet."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        started = perf_counter()
        try:
            rewrite(self._real, self._packed())
            self._written += 1
        except InputError as error:
            if not self._written:
                raise
            # A full disk is no reason to lose the training itself.
            if not self._behind:
                warnings.warn(f"The checkpoint stays as it was, and training goes on. {error}", stacklevel=2)
            self._behind = True
        now = perf_counter()
        self._next = now + _WAIT * (now - started)

    def _packed(self) -> bytes:
        arrays: dict[str, Vector] = {}
        members: list[dict[str, Any] | None] = []
        known = dict(self._runs)
        for number in range(self._members):
            numbers = Numbers()
            runs: list[Any] = [run_to_json(known[key], numbers) for key in sorted(known) if key[0] == number]
            vector = numbers.vector()
            if number in self._stored:
                runs, vector = self._stored[number]
            if not runs:
                members.append(None)
                continue
            arrays[_name(number)] = vector
            members.append({"runs": runs, "numbers": len(vector)})
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "newtron": newtron.__version__,
            "settings": self._settings,
            "seed": self._seed,
            "data": self._data,
            "members": members,
        }
        return pack(json.dumps(manifest, ensure_ascii=True, allow_nan=False).encode("utf-8"), arrays)


def _name(member: int) -> str:
    return f"member-{member}.npy"


def digest(arrays: list[Any], threads: int) -> str:
    """SHA-256 of arrays, dense, CSR or None, with their shapes and types; the same for any number of threads."""
    total = hashlib.sha256()
    for array in arrays:
        if array is None:
            total.update(b"none")
            continue
        total.update(f"{array.shape} {array.dtype}".encode())
        parts = (array.data, array.indices, array.indptr) if is_sparse(array) else (array,)
        for part in parts:
            for one in ordered_map(_digest, _pieces(part), threads):
                total.update(one)
    return total.hexdigest()


def _digest(piece: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(piece).data).digest()


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    size = max(1, _BLOCK // max(1, array[:1].nbytes))
    for start in range(0, len(array), size):
        yield array[start : start + size]
