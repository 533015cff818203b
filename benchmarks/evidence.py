"""Holds newtron against answers that others certified or published, and writes docs/evidence.md.

Results are kept in build/evidence as they come: a run that is interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from adult import adult_jobs, adult_section
from certified_answers import logistic_jobs, logistic_section, nist_jobs, nist_section
from default_cost import cost_jobs, cost_section
from halves import DEVELOPMENT, REPORTED_BEFORE, VALIDATION, VALIDATION_REGRESSION
from in_short import in_short
from interval_coverage import few_rows_jobs, few_rows_section
from jobs import Job, in_order, work_on
from library import certified, facts
from promises import promises_section
from results import Results, merged
from tables import ROOT, paragraph
from uci_classification import (
    classification_jobs,
    classification_peers_jobs,
    classification_section,
    classification_slow_peers_jobs,
    classification_validation_jobs,
)
from uci_regression import (
    regression_jobs,
    regression_peers_jobs,
    regression_section,
    regression_slow_peers_jobs,
    regression_validation_jobs,
)
from validation_runs import committed, kept_runs, table_of_runs

# The parts of the validation half, which are run once for each release candidate, newtron's others, and those of other
# libraries: each in the order of importance.
VALIDATION_PARTS: dict[str, Callable[[], Iterable[Job]]] = {
    "classification-validation": classification_validation_jobs,
    "regression-validation": regression_validation_jobs,
}
OWN_PARTS: dict[str, Callable[[], Iterable[Job]]] = {
    "regression": regression_jobs,
    "classification": classification_jobs,
    "cost": cost_jobs,
    "few-rows": few_rows_jobs,
    "nist": nist_jobs,
    "logistic": logistic_jobs,
    "adult": adult_jobs,
}
PEER_PARTS: dict[str, Callable[[], Iterable[Job]]] = {
    "regression-peers": regression_peers_jobs,
    "classification-peers": classification_peers_jobs,
    "classification-slow-peers": classification_slow_peers_jobs,
    "regression-slow-peers": regression_slow_peers_jobs,
}
PARTS = VALIDATION_PARTS | OWN_PARTS | PEER_PARTS
# What each section of the page is made from: groups of parts, each of which is read as one.
OWN_REGRESSION, OWN_CLASSIFICATION, REGRESSION_PEERS, CLASSIFICATION_PEERS = (
    ("regression", "regression-validation"),
    ("classification", "classification-validation"),
    ("regression-peers", "regression-slow-peers"),
    ("classification-peers", "classification-slow-peers"),
)
SECTIONS: dict[tuple[tuple[str, ...], ...], Callable[..., str]] = {
    (OWN_CLASSIFICATION, CLASSIFICATION_PEERS): classification_section,
    (OWN_REGRESSION, REGRESSION_PEERS): regression_section,
    (OWN_REGRESSION, OWN_CLASSIFICATION): promises_section,
    (("few-rows",),): few_rows_section,
    (OWN_REGRESSION, OWN_CLASSIFICATION, ("cost",)): cost_section,
    (("adult",),): adult_section,
    (("nist",),): nist_section,
    (("logistic",),): logistic_section,
}
HEAD = """\
# Evidence

What newtron's defaults do on published data sets beside other libraries, and how exact its optima are.

{in_short}
"""
FOOT = """\
## How this page is made

Every number of newtron's on this page is computed by one script, which also writes the page:

```console
$ scripts/evidence --processes 2               # all but the validation half; {minutes} CPU minutes so far
$ scripts/evidence --only nist logistic        # some parts: {parts}
$ scripts/evidence --fresh                     # forget the results kept in build/evidence
$ scripts/evidence --candidate --processes 2   # newtron on both halves, once for each release candidate
$ scripts/evidence --candidate --minutes 15    # no longer than that, the most important first
$ scripts/evidence --page                      # run nothing, write the page
```

It goes on where it was interrupted or ran out of time: the first fold or split of every set comes before the second
of any, networks before perceptrons, small sets before large ones. NIST's data come with the tests; the other sets are
looked for in `../shared/data` beside the repository. The peers are those of the extra `evidence`; what is not
installed is left out.

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
causes was known. What came of a candidate is known, too, when the next one is made, which is why every run stays in the
table below. Other libraries run at their defaults, in both halves.

Dates of what is kept: {dates}.

Runs of the validation half, classification by NetworkClassifier() and regression by NetworkRegressor():

{runs}
"""


def protocol_section() -> str:
    parts = {name: Results(name) for name in ("classification", "regression", *VALIDATION_PARTS)}
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
    training = sum(record.get("cpu", 0.0) for part in PARTS for record in Results(part).records.values())
    first_screen = (OWN_REGRESSION, REGRESSION_PEERS, OWN_CLASSIFICATION, CLASSIFICATION_PEERS)
    sections = [HEAD.format(in_short=in_short(*map(_read, first_screen))), protocol_section()]
    for groups, section in SECTIONS.items():
        results = [_read(parts) for parts in groups]
        known = any(each.records for each in results)
        sections.append(section(*results) if known else f"## {groups[0][0].capitalize()}\n\nNot run yet.")
    parts = ", ".join(OWN_PARTS | PEER_PARTS)
    sections.append(FOOT.format(minutes=math.ceil(training / 60.0), parts=parts, facts=facts()))
    blocks = [block for section in sections for block in section.strip().split("\n\n")]
    return (
        "\n\n".join(block if block.startswith(("#", "|", ">", "- ", "```")) else paragraph(block) for block in blocks)
        + "\n"
    )


def _read(parts: Sequence[str]) -> Results:
    return merged([Results(part) for part in parts])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/evidence", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="run these parts alone")
    parser.add_argument("--candidate", action="store_true", help="run newtron on both halves, on this commit")
    parser.add_argument("--minutes", type=float, help="at most so many; what is left out is said")
    parser.add_argument("--processes", type=int, default=1, help="so many measurements at a time")
    parser.add_argument("--fresh", action="store_true", help="compute anew what is kept in build/evidence")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is kept")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence.md", help="where the page goes")
    options = parser.parse_args()
    allowed = VALIDATION_PARTS | OWN_PARTS if options.candidate else OWN_PARTS | PEER_PARTS
    wanted = options.only or list(allowed)
    if unwanted := [part for part in wanted if part not in allowed]:
        parser.error(
            f"{', '.join(unwanted)}: the validation half is run with --candidate, and other libraries without it."
        )
    failed = 0 if options.page else run(wanted, options)
    written = options.output.with_suffix(".part")
    written.write_text(page(), encoding="utf-8")
    os.replace(written, options.output)
    return int(failed > 0)


def run(wanted: Sequence[str], options: argparse.Namespace) -> int:
    """Compute what is not kept yet of these parts; return how many measurements failed."""
    commit = committed(strict=options.candidate)
    if options.candidate:
        # Nothing of newtron's on the page is of another state than the candidate's.
        for part in VALIDATION_PARTS | OWN_PARTS:
            Results(part).drop_other_sources()
    there = [part for part in wanted if part == "nist" or certified.SHARED.is_dir()]
    if len(there) < len(wanted):
        absent = ", ".join(part for part in wanted if part not in there)
        print(f"{absent}: left out, because ../shared/data beside the repository is absent.", file=sys.stderr)
    kept = {part: Results(part, options.fresh) for part in there}
    for part, results in kept.items():
        if results.other_sources:
            print(
                f"{part}: {results.other_sources} kept results are of other sources than today's; --fresh renews them.",
                file=sys.stderr,
            )
    jobs = in_order({part: PARTS[part]() for part in there})
    failed, left = work_on(jobs, kept, options.processes, options.minutes, commit)
    print(f"{failed} measurements failed, {left} were not reached.", file=sys.stderr)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
