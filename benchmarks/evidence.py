"""Holds newtron against answers that others certified or published, and writes docs/evidence.md.

Results are kept in build/evidence as they come: a run that is interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from adult import adult_section, run_adult
from certified_answers import logistic_section, nist_section, run_logistic, run_nist
from default_cost import cost_section, run_cost
from halves import DEVELOPMENT, REPORTED_BEFORE, VALIDATION, VALIDATION_REGRESSION
from interval_coverage import few_rows_section, run_few_rows
from library import certified, facts
from promises import promises_section
from results import OutOfTimeError, Record, Results, merged
from tables import ROOT, paragraph
from uci_classification import (
    classification_section,
    run_classification,
    run_classification_peers,
    run_classification_slow_peers,
    run_classification_validation,
)
from uci_regression import (
    regression_section,
    run_regression,
    run_regression_peers,
    run_regression_slow_peers,
    run_regression_validation,
)
from validation_runs import candidate, kept_runs, of_candidate, table_of_runs

# The parts that are run once for each release candidate.
VALIDATION_RUNS: dict[str, Callable[[Results], None]] = {
    "classification-validation": run_classification_validation,
    "regression-validation": run_regression_validation,
}
RUNS: dict[str, Callable[[Results], None]] = {
    "nist": run_nist,
    "logistic": run_logistic,
    "regression": run_regression,
    "regression-peers": run_regression_peers,
    "classification": run_classification,
    "classification-peers": run_classification_peers,
    "few-rows": run_few_rows,
    "cost": run_cost,
    "adult": run_adult,
    "classification-slow-peers": run_classification_slow_peers,
    "regression-slow-peers": run_regression_slow_peers,
}
# What each section of the page is made from: groups of parts, each of which is read as one.
OWN_REGRESSION, OWN_CLASSIFICATION = (
    ("regression", "regression-validation"),
    ("classification", "classification-validation"),
)
SECTIONS: dict[tuple[tuple[str, ...], ...], Callable[..., str]] = {
    (("nist",),): nist_section,
    (("logistic",),): logistic_section,
    (OWN_REGRESSION, ("regression-peers", "regression-slow-peers")): regression_section,
    (OWN_CLASSIFICATION, ("classification-peers", "classification-slow-peers")): classification_section,
    (OWN_REGRESSION, OWN_CLASSIFICATION): promises_section,
    (("few-rows",),): few_rows_section,
    (OWN_REGRESSION, OWN_CLASSIFICATION, ("cost",)): cost_section,
    (("adult",),): adult_section,
}
HEAD = """\
# Evidence

Every number of newtron's on this page is computed by one script, which also writes the page:

```console
$ scripts/evidence                       # everything: {minutes} minutes of CPU time in training
$ scripts/evidence --only nist logistic  # some parts: {parts}
$ scripts/evidence --fresh               # forget the results kept in build/evidence
$ scripts/evidence --minutes 10          # at most so long for each part
$ scripts/evidence --candidate           # the validation half, once for each release candidate
```

It goes on where it was interrupted, and parts may run in several processes at once. NIST's data come with the tests;
the other sets are looked for in `../shared/data` beside the repository. The peers are those of the extra `evidence`;
what is not installed is left out.

LRE is the number of correct digits: -log10 of the relative error, of the worst coefficient.

{facts}
"""


PROTOCOL = """\
## What was seen when

Defaults are chosen on the **development half** alone, on rows held out inside the training rows of the first
published split ({command}): the {development} classification sets that are named so below, and yacht, concrete, wine
and power. The **validation half**, {validation} classification sets and {regression}, is run once for each release
candidate, and what comes of it is published as it is. The halves follow a rule that was written down before results of
the further sets were looked at (`benchmarks/halves.py`): 20 classification sets and 4 of regression, shown on this page
from the beginning, were seen while earlier defaults were chosen and are development sets; of the 30 further ones,
ordered by the SHA-256 of their names, the first 15 are development sets.

Not everything about the validation half was unseen: earlier defaults had been run on all 50 sets, and a report of their
faults named results of {reported}, of which those in the validation half carry a dagger (†) below; kin8nm and protein
had been run with earlier defaults, too. No default was chosen by these results, but what the report said of their
causes was known. Other libraries run at their defaults, in both halves.

Dates of what is kept: {dates}.

Runs of the validation half, classification by NetworkClassifier() and regression by NetworkRegressor():

{runs}
"""


def protocol_section() -> str:
    parts = {name: Results(name) for name in ("classification", "regression", *VALIDATION_RUNS)}
    runs = kept_runs(parts["classification-validation"], parts["regression-validation"])
    dates = ", ".join(f"{name} {results.dates}" for name, results in parts.items() if results.dates)
    return PROTOCOL.format(
        command="`python benchmarks/development.py`",
        development=len(DEVELOPMENT),
        validation=len(VALIDATION),
        regression=" and ".join(VALIDATION_REGRESSION),
        reported=", ".join(REPORTED_BEFORE),
        dates=dates or "none",
        runs=table_of_runs(runs) if runs else "None yet.",
    )


def page() -> str:
    every = (*RUNS, *VALIDATION_RUNS)
    training = sum(record.get("cpu", 0.0) for part in every for record in Results(part).records.values())
    sections = [
        HEAD.format(minutes=math.ceil(training / 60.0), parts=", ".join(RUNS), facts=facts()),
        protocol_section(),
    ]
    for groups, section in SECTIONS.items():
        results = [merged([Results(part) for part in parts]) for parts in groups]
        known = any(each.records for each in results)
        sections.append(section(*results) if known else f"## {groups[0][0].capitalize()}\n\nNot run yet.")
    blocks = [block for section in sections for block in section.strip().split("\n\n")]
    return (
        "\n\n".join(block if block.startswith(("#", "|", ">", "- ", "```")) else paragraph(block) for block in blocks)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/evidence", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[*RUNS, *VALIDATION_RUNS], help="run these parts alone")
    parser.add_argument("--candidate", action="store_true", help="run the validation half on this commit")
    parser.add_argument("--minutes", type=float, help="at most so many for each part; what is left out is said")
    parser.add_argument("--fresh", action="store_true", help="compute anew what is kept in build/evidence")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is kept")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence.md", help="where the page goes")
    options = parser.parse_args()
    allowed = VALIDATION_RUNS if options.candidate else RUNS
    wanted = options.only or list(allowed)
    if unwanted := [part for part in wanted if part not in allowed]:
        parser.error(f"{', '.join(unwanted)}: the validation half is run with --candidate, and nothing else is.")
    for part in () if options.page else wanted:
        if part != "nist" and not certified.SHARED.is_dir():
            print(f"{part} is left out: ../shared/data beside the repository is absent.", file=sys.stderr)
            continue
        run(part, options.fresh, options.minutes, candidate() if options.candidate else None)
    written = options.output.with_suffix(".part")
    written.write_text(page(), encoding="utf-8")
    os.replace(written, options.output)
    return 0


def run(part: str, fresh: bool, minutes: float | None, stamp: Record | None) -> None:
    """Compute the records of one part that are not there yet. stamp: of a candidate, whose records are its own."""
    results = Results(part, fresh, minutes=minutes, stamp=stamp)
    if stamp is not None and not of_candidate(results):
        results = Results(part, True, minutes=minutes, stamp=stamp)
    if results.other_sources:
        print(
            f"{part}: {results.other_sources} kept results are of other sources than today's; --fresh renews them.",
            file=sys.stderr,
        )
    try:
        (RUNS | VALIDATION_RUNS)[part](results)
    except OutOfTimeError:
        print(f"{part}: the {minutes:g} minutes are over; another run goes on from here.", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
