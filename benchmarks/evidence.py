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
from default_cost import cost_section
from library import certified, facts
from results import Results
from tables import ROOT, paragraph
from uci_classification import classification_section, run_classification, run_classification_peers
from uci_regression import regression_section, run_regression, run_regression_peers

RUNS: dict[str, Callable[[Results], None]] = {
    "nist": run_nist,
    "logistic": run_logistic,
    "regression": run_regression,
    "regression-peers": run_regression_peers,
    "classification": run_classification,
    "classification-peers": run_classification_peers,
    "adult": run_adult,
}
# What each section of the page is made from.
SECTIONS: dict[tuple[str, ...], Callable[..., str]] = {
    ("nist",): nist_section,
    ("logistic",): logistic_section,
    ("regression", "regression-peers"): regression_section,
    ("classification", "classification-peers"): classification_section,
    ("regression", "classification"): cost_section,
    ("adult",): adult_section,
}
HEAD = """\
# Evidence

Every number of newtron's on this page is computed by one script, which also writes the page:

```console
$ scripts/evidence                       # everything: {minutes} minutes of CPU time in training
$ scripts/evidence --only nist logistic  # some parts: {parts}
$ scripts/evidence --fresh               # forget the results kept in build/evidence
```

It goes on where it was interrupted, and parts may run in several processes at once. NIST's data come with the tests;
the other sets are looked for in `../shared/data` beside the repository.

LRE is the number of correct digits: -log10 of the relative error, of the worst coefficient.

{facts}
"""


def page() -> str:
    training = sum(record.get("cpu", 0.0) for part in RUNS for record in Results(part).records.values())
    sections = [HEAD.format(minutes=math.ceil(training / 60.0), parts=", ".join(RUNS), facts=facts())]
    for parts, section in SECTIONS.items():
        results = [Results(part) for part in parts]
        known = any(each.records for each in results)
        sections.append(section(*results) if known else f"## {parts[0].capitalize()}\n\nNot run yet.")
    blocks = [block for section in sections for block in section.strip().split("\n\n")]
    return (
        "\n\n".join(block if block.startswith(("#", "|", ">", "- ", "```")) else paragraph(block) for block in blocks)
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/evidence", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS), help="run these parts alone")
    parser.add_argument("--fresh", action="store_true", help="compute anew what is kept in build/evidence")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is kept")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "evidence.md", help="where the page goes")
    options = parser.parse_args()
    for part in () if options.page else options.only:
        if part != "nist" and not certified.SHARED.is_dir():
            print(f"{part} is left out: ../shared/data beside the repository is absent.", file=sys.stderr)
            continue
        results = Results(part, options.fresh)
        if results.other_sources:
            print(
                f"{part}: {results.other_sources} kept results are of other sources than today's; --fresh renews them.",
                file=sys.stderr,
            )
        RUNS[part](results)
    written = options.output.with_suffix(".part")
    written.write_text(page(), encoding="utf-8")
    os.replace(written, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
