"""What one default network costs: python benchmarks/default_cost.py [--before CHECKOUT]

Fits the default to ten development sets by size, on one thread, and to a table whose target is a sum of two columns.
--before: with the sources of another checkout too, in turns. Results are kept in build/evidence/cost.json, from which
scripts/evidence makes its section.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from contenders import CLASSIFIERS, REGRESSORS
from development import Worker, inner_rows, measured
from halves import VALIDATION, VALIDATION_REGRESSION
from jobs import Job
from library import certified
from results import Record, Results
from speed.default_fits import SETS, SMALL
from tables import ROOT, aligned, significant
from uci_classification import set_sizes
from uci_regression import REGRESSION


def cost_jobs() -> Iterator[Job]:
    for name in SETS:
        yield Job(f"{name}/now", partial(_fit, name))


def _fit(name: str, worker: Worker | None = None) -> Record:
    """worker: a process with other sources than this one's."""
    X, y = inner_rows(name, 0)[:2]
    classes = 0 if "/" in name else len(np.unique(y))
    found = (worker.measured if worker else measured)("default", name, 0, None)
    return found | {"rows": len(X), "columns": X.shape[1], "classes": classes}


def run_cost(results: Results, before: Path) -> None:
    """One fit of each set with the sources of this checkout, and in turns with those of another."""
    workers = {"now": Worker(ROOT), "before": Worker(before.resolve())}
    for name in SETS:
        for when, worker in workers.items():
            results.add(f"{name}/{when}", partial(_fit, name, worker))


def ten_sets(results: Results) -> str:
    """The table of the ten sets, and of each size its median and worst."""
    times = [when for when in ("now", "before") if any(f"{name}/{when}" in results for name in SETS)]
    rows = []
    for name in SETS:
        if f"{name}/now" in results:
            now = results[f"{name}/now"]
            cells = [name, f"{now['rows']:,}", str(now["columns"]), str(now["classes"] or "-"), significant(now["cpu"])]
            if "before" in times:
                before = results[f"{name}/before"]["cpu"] if f"{name}/before" in results else np.nan
                cells += [significant(before), f"{now['cpu'] / before:.2f}"]
            rows.append(cells)
    for size, small in ((f"fewer than {SMALL:,} rows", True), (f"{SMALL:,} rows or more", False)):
        for when in times:
            of_size = [
                results[f"{name}/{when}"]["cpu"]
                for name in SETS
                if f"{name}/{when}" in results and (results[f"{name}/{when}"]["rows"] < SMALL) == small
            ]
            if of_size:
                middle, worst = significant(float(np.median(of_size))), significant(max(of_size))
                rows.append([f"**{size}**, {when}: median {middle}, worst {worst}", *[""] * (len(rows[0]) - 1)])
    header = ["set", "rows", "columns", "classes", "CPU s now", *(["before", "now / before"] * ("before" in times))]
    return aligned(header, rows)


def seconds_of_sets(regression: Results, classification: Results) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """Of each half and size ("small" or "large") the CPU seconds of its sets with their names, least first."""
    seconds: dict[tuple[str, str], list[tuple[float, str]]] = {}
    suites = (
        (
            "regression",
            regression,
            REGRESSORS[-1].name,
            {name: len(certified.regression_set(name)[0]) for name in REGRESSION},
        ),
        ("classification", classification, CLASSIFIERS[-1].name, {name: size[0] for name, size in set_sizes().items()}),
    )
    for suite, results, who, sizes in suites:
        for name, rows in sizes.items():
            if records := results.under(f"{name}/{who}"):
                validation = name in (VALIDATION if suite == "classification" else VALIDATION_REGRESSION)
                key = ("validation" if validation else "development", "small" if rows < SMALL else "large")
                median = float(np.median([record["cpu"] for record in records]))
                seconds.setdefault(key, []).append((median, f"{name}, {suite}, {rows:,} rows"))
    return {key: sorted(found) for key, found in seconds.items()}


def cost_section(regression: Results, classification: Results, cost: Results) -> str:
    seconds = seconds_of_sets(regression, classification)
    table = []
    for size, words in (("small", f"fewer than {SMALL:,}"), ("large", f"{SMALL:,} or more")):
        for half in ("development", "validation"):
            if found := seconds.get((half, size), []):
                median = float(np.median([value for value, _ in found]))
                ends = [f"{value:.2g} ({name})" for value, name in (found[0], found[-1])]
                table.append([words, half, str(len(found)), f"{median:.2g}", *ends])
    before = any(key.endswith("/before") for key in cost.records)
    return "\n\n".join(
        [
            "## What a default network costs",
            "CPU seconds of `NetworkRegressor().fit` and `NetworkClassifier().fit` on one thread, penalties, intervals "
            "and temperature included: of each set of the two suites above the median over its splits, and of these "
            "the median, the least and the most. They were measured on a machine with other work, which makes CPU "
            "seconds longer rather than shorter.",
            aligned(["rows", "half", "sets", "median CPU s", "least", "most"], table, 2),
            "Ten development sets by size, one fit each on three quarters of the training rows of the first split, and "
            "a table whose target is a sum of two columns (`python benchmarks/default_cost.py`)"
            + ("; before: an earlier state, in turns in the same run." if before else ".")
            + ("" if cost.records else " Not run yet."),
            *([ten_sets(cost)] if cost.records else []),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="another checkout")
    options = parser.parse_args()
    results = Results("cost", fresh=options.before is not None)
    if options.before is None:
        for job in cost_jobs():
            results.add(job.key, job.compute)
    else:
        run_cost(results, options.before)
    print(ten_sets(results))


if __name__ == "__main__":
    main()
