"""Results of long runs, kept in a JSON file per part, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from tables import ROOT

Record = dict[str, Any]

FOLDER = ROOT / "build" / "evidence"


@cache
def sources() -> str:
    """A fingerprint of the library's sources, taken once, when the run begins."""
    files = sorted((ROOT / "src" / "newtron").rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


class Results:
    """The records of one part by key; what is there already is not computed again."""

    def __init__(self, part: str, fresh: bool = False, folder: Path = FOLDER) -> None:
        self.file: Path = folder / f"{part}.json"
        self.records: dict[str, Record] = {}
        if self.file.exists() and not fresh:
            self.records = json.loads(self.file.read_text(encoding="utf-8"))

    def __contains__(self, key: str) -> bool:
        return key in self.records

    def __getitem__(self, key: str) -> Record:
        return self.records[key]

    def under(self, prefix: str) -> list[Record]:
        """The records whose keys begin with prefix/, in the order in which they were computed."""
        return [record for key, record in self.records.items() if key.startswith(f"{prefix}/")]

    def numbered(self, prefix: str) -> dict[int, Record]:
        """The records whose keys are prefix/0, prefix/1 and so on, by number, the smallest first."""
        found = {int(key.rpartition("/")[2]): self.records[key] for key in self.records if key.startswith(f"{prefix}/")}
        return dict(sorted(found.items()))

    def lacks(self, key: str, made_by: str | None = None) -> bool:
        """made_by: "package version" of another library; its records are computed anew when the version changes,
        newtron's own only when all are."""
        return key not in self.records or made_by not in (None, self.records[key]["sources"])

    def keep(
        self, key: str, record: Record, words: Callable[[Record], object] = dict, made_by: str | None = None
    ) -> None:
        """words: what is printed of the record."""
        self.records[key] = record | {"sources": made_by or sources(), "date": date.today().isoformat()}
        self._write()
        print(key, words(record), flush=True)

    def add(self, key: str, compute: Callable[[], Record], words: Callable[[Record], object] = dict) -> None:
        if self.lacks(key):
            self.keep(key, compute(), words)

    def drop_other_sources(self) -> None:
        """Forget the records that other sources of newtron's than today's computed."""
        of_today = {key: record for key, record in self.records.items() if record["sources"] == sources()}
        if len(of_today) < len(self.records):
            self.records = of_today
            self._write()

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        written = self.file.with_suffix(".part")
        written.write_text(json.dumps(self.records, indent=1), encoding="utf-8")
        os.replace(written, self.file)

    @property
    def dates(self) -> str:
        """'2026-11-30', or the first and the last day on which the records were computed; '' where none is dated."""
        days = sorted({record["date"] for record in self.records.values() if "date" in record})
        return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""

    @property
    def made_by(self) -> list[str]:
        """What computed the records: a fingerprint of newtron's sources, or another library and its version."""
        return sorted({record["sources"] for record in self.records.values()})

    @property
    def other_sources(self) -> int:
        """How many records of newtron's other sources than today's computed."""
        made_by = [record["sources"] for record in self.records.values()]
        return sum(each != sources() for each in made_by if " " not in each)


def merged(parts: Sequence[Results]) -> Results:
    """Return the records of several parts as those of one, to be read only."""
    found = Results("", folder=FOLDER / "merged")
    found.records = {key: record for part in parts for key, record in part.records.items()}
    return found


def versions(peers: Results) -> list[str]:
    """'xgboost 3.2.0' and the like."""
    return [each for each in peers.made_by if " " in each]
