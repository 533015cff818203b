"""The census income data: a file with categories and missing cells, and the errors published with it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from contenders import CLASSIFIERS
from held_out import classified
from jobs import Job
from library import certified
from results import Record, Results
from tables import aligned

from newtron.table import encode, encode_target, learn_schema, read_table

# Errors in percent that adult.names gives for the original split, rows with unknown cells removed.
PUBLISHED = {
    "FSS naive Bayes": 14.05,
    "NBTree": 14.10,
    "C4.5-auto": 14.46,
    "IDTM (decision table)": 14.46,
    "HOODG": 14.82,
    "C4.5 rules": 14.94,
    "OC1": 15.04,
    "C4.5": 15.54,
    "Voted ID3 (0.6)": 15.64,
    "CN2": 16.00,
    "Naive Bayes": 16.12,
    "Voted ID3 (0.8)": 16.47,
    "T2": 16.84,
    "1R": 19.54,
    "Nearest neighbour (3)": 20.35,
    "Nearest neighbour (1)": 21.42,
}


def adult_jobs() -> Iterator[Job]:
    for round, rows in enumerate(("all", "known")):
        for who in CLASSIFIERS:
            yield Job(f"{rows}/{who.name}", partial(_measured, rows, who.name), round, may_wait=True)


def _measured(rows: str, who: str) -> Record:
    """rows: "known" leaves out those with unknown cells, as the published errors do."""
    folder = certified.SHARED / "adult"
    train, test = (read_table(folder / f"adult_{part}.csv") for part in ("train", "test"))
    if rows == "known":
        train, test = (
            t.take(np.flatnonzero([all(c is not None for c in row.values()) for row in t.data.to_pylist()]))
            for t in (train, test)
        )
    schema = learn_schema(train, "income")
    (y, kept), (y_test, kept_test) = encode_target(schema.target, train), encode_target(schema.target, test)
    X, X_test = encode(schema, train).X[kept], encode(schema, test).X[kept_test]
    (contender,) = (each for each in CLASSIFIERS if each.name == who)
    size = {"train": len(y), "test": len(y_test), "columns": X.shape[1]}
    return size | classified(partial(contender.make, X.shape[1]), X, y, X_test, y_test)


def adult_section(results: Results) -> str:
    table = []
    for rows, words in (("known", "unknowns removed"), ("all", "all rows")):
        for who in CLASSIFIERS:
            if f"{rows}/{who.name}" in results:
                r = results[f"{rows}/{who.name}"]
                counts = [f"{r['train']:,}", f"{r['test']:,}", str(r["columns"])]
                measured = [f"{100.0 * (1.0 - r['accuracy']):.2f}", f"{r['log_loss']:.4f}", f"{r['cpu']:.2g}"]
                table.append([f"newtron {who.name}", words, *counts, *measured])
    table += [[who, "unknowns removed", "", "", "", f"{error:.2f}", "", ""] for who, error in PUBLISHED.items()]
    header = ["method", "rows", "trained", "tested", "columns", "test error %", "log loss", "CPU s"]
    return "\n\n".join(
        [
            "## Census income (adult)",
            "Test error on the original split. The file goes through `newtron.table` as it is, categories and missing "
            "cells included, and then into the estimators with their defaults; the other rows are the errors in "
            "adult.names, for which rows with unknown cells were removed.",
            aligned(header, table, 2),
        ]
    )
