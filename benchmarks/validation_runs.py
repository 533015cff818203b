"""The runs of the validation half: one for each release candidate, and what came of it, kept with date and commit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
from contenders import CLASSIFIERS, REGRESSORS
from halves import REPORTED_BEFORE, VALIDATION, VALIDATION_REGRESSION
from results import Record, Results
from tables import ROOT, aligned

HISTORY = ROOT / "benchmarks" / "validation_runs.json"


def committed(strict: bool) -> str:
    """'1a2b3c4', this commit, with a plus where the library's sources are not those of a commit.

    strict: SystemExit where they are not.
    """
    git = ["git", "-C", str(ROOT)]
    changed = subprocess.run([*git, "status", "--porcelain", "src"], capture_output=True, text=True, check=True).stdout
    if changed and strict:
        raise SystemExit("A candidate is a commit: src has changes that are not committed.")
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    return commit.strip() + ("+" if changed else "")


def outcome(classification: Results, regression: Results) -> Record | None:
    """What the kept run of the validation half came to; None where there is none."""
    records = [*classification.records.values(), *regression.records.values()]
    if not records:
        return None
    found: Record = {"date": max(record["date"] for record in records), "commit": records[0]["commit"]}
    by_set = {name: classification.under(f"{name}/{CLASSIFIERS[-1].name}") for name in VALIDATION}
    known = {name: of_set for name, of_set in by_set.items() if of_set}
    for words, names in (
        ("classification", list(known)),
        ("unreported", [n for n in known if n not in REPORTED_BEFORE]),
    ):
        if names:
            means = {
                key: float(np.mean([np.mean([record[key] for record in known[name]]) for name in names]))
                for key in ("accuracy", "log_loss")
            }
            found[words] = {"sets": len(names), "folds": sum(len(known[name]) for name in names)} | means
    for name in VALIDATION_REGRESSION:
        if of_set := regression.under(f"{name}/{REGRESSORS[-1].name}"):
            means = {key: float(np.mean([record[key] for record in of_set])) for key in ("rmse", "nll", "covered")}
            found[name] = {"splits": len(of_set)} | means
    return found


def kept_runs(classification: Results, regression: Results, history: Path = HISTORY) -> list[Record]:
    """All runs, oldest first; the kept one is written to the history, in the place of an earlier part of itself."""
    runs = json.loads(history.read_text(encoding="utf-8")) if history.exists() else []
    last = outcome(classification, regression)
    if last is not None:
        runs = [run for run in runs if run["commit"] != last["commit"]] + [last]
        written = history.with_suffix(".part")
        written.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
        os.replace(written, history)
    return runs


def table_of_runs(runs: list[Record]) -> str:
    rows = []
    for run in runs:
        cells = [run["date"], run["commit"]]
        for words in ("classification", "unreported"):
            of = run.get(words)
            cells += (
                [f"{100 * of['accuracy']:.2f} ({of['sets']}, {of['folds']})", f"{of['log_loss']:.4f}"]
                if of
                else ["-", "-"]
            )
        for name in VALIDATION_REGRESSION:
            of = run.get(name)
            cells.append(
                f"{of['rmse']:.4g} / {of['nll']:.3f} / {100 * of['covered']:.1f} ({of['splits']})" if of else "-"
            )
        rows.append(cells)
    header = ["date", "commit", "accuracy % (sets, folds)", "log loss", "without †: accuracy %", "log loss"]
    return aligned([*header, *(f"{name}: RMSE / NLL / in 90 %" for name in VALIDATION_REGRESSION)], rows, 2)
