"""Times newtron beside its peers and the floor of the machine, and writes docs/benchmarks.md.

Results are kept in build/bench as they come: a run that is interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from library import facts
from results import Record, Results
from speed.families import FAMILIES, family_named
from speed.family import Family, Problem, Size
from speed.peers import versions
from speed.racing import Workers, race
from speed.regression import against
from speed.report import summary
from tables import ROOT, paragraph

FOLDER = ROOT / "build" / "bench"
FULL = Size()
QUICK = Size(rounds=2, budget=0.3, patience=1.0)

HEAD = """\
# Benchmarks

How long newtron takes beside its peers for the same objective and the same tolerance, and beside what the arithmetic
must cost on the machine. Written by one script:

```console
$ scripts/bench                              # this page: {minutes}
$ scripts/bench --only least-squares pass    # some rows: {names}
$ scripts/bench --against HEAD~1             # is this checkout slower than another commit? under two minutes
$ scripts/bench --quick                      # the page in small, to build/bench/quick.md
$ scripts/bench --fresh                      # forget the results kept in build/bench
```

Every contender has a process of its own; they run in turn, again and again, and **newtron / it** is the ratio of
their times within each round: below 1, newtron is faster. Its median is shown with the least and the most.
Milliseconds are medians and belong to one machine; ratios travel better. What each reached is computed by the
script, in float64, from coefficients. A peer is waited for 60 seconds, or 20 times as long as newtron took if that is
more; one that takes over 10 seconds runs two rounds. The peers are those of the extra `bench` (torch: its CPU build
will do), and R with its package nnet; FANN is used where its library is installed. Whether a target is met is
computed, too. Sections say when they were measured, older ones with the code of that day; the versions are those of
the latest run.

{facts}
- {versions}
- {threads}
"""


def problems_of(family: Family, size: Size) -> Sequence[Problem]:
    return family.small() if size.rounds == QUICK.rounds else family.problems(size)


def folder_of(size: Size) -> Path:
    """One for each size, so that no page mixes them."""
    name = "quick" if size.rounds == QUICK.rounds else "full" if size.share == 1.0 else f"share-{size.share:g}"
    return FOLDER / (name if size.threads == 1 else f"{name}-threads-{size.threads}")


def run(family: Family, size: Size, fresh: bool) -> None:
    results = Results(family.name, fresh, folder_of(size))
    if results.other_sources:
        print(f"{family.name}: {results.other_sources} kept results are of other sources; --fresh renews them.")
    with Workers(threads=size.threads) as workers:
        for problem in problems_of(family, size):
            results.add(problem.key, partial(_timed, family, problem, size, workers), summary)


def _timed(family: Family, problem: Problem, size: Size, workers: Workers) -> Record:
    return race(family, problem, size, workers) | {"clock": os.environ["BENCH_CLOCK"]}


def measured(results: Results) -> str:
    """When, and by which clock where that is not the wall's."""
    busy = any(record.get("clock") == "cpu" for record in results.records.values())
    return f"Measured {results.dates}{', in CPU time, because other work was going on' if busy else ''}."


def sections_of(page: str) -> dict[str, str]:
    """The text of each section of a page, by title."""
    return {title: text.strip() for title, _, text in (part.partition("\n") for part in page.split("\n## ")[1:])}


def page(names: list[str], size: Size, about: str, earlier: str = "") -> str:
    """earlier: the page as it stands, whose sections stay where no results of them are kept."""
    stand = sections_of(earlier)
    threads = "Threads in this run: each library's own default."
    if size.threads:
        threads = (
            f"Threads in this run: every library is held to {size.threads}, so that no other work on the machine, "
            "which makes threads wait for each other, decides the ratio."
        )
    sections = [
        HEAD.format(
            minutes="about an hour",
            names=", ".join(FAMILIES),
            facts=about,
            versions=f"Peers: {versions()}.",
            threads=threads,
        )
    ]
    for name in names:
        family, results = family_named(name), Results(name, folder=folder_of(size))
        wanted = {problem.key for problem in problems_of(family, size)}
        found = {key: record for key, record in results.records.items() if key in wanted}
        text = stand.get(family.title, "Not run yet.")
        if found:
            text = f"{measured(results)}\n\n{family.section(found)}"
        sections.append(f"## {family.title}\n\n{text}")
    return (
        "\n\n".join(_wrapped(block) for section in sections for block in section.split("\n\n") if block.strip()) + "\n"
    )


def _wrapped(block: str) -> str:
    block = block.strip()
    if block.startswith("- "):
        items = ("- " + item for item in block[2:].split("\n- "))
        return "\n".join(paragraph(" ".join(item.split())).replace("\n", "\n  ") for item in items)
    return block if block.startswith(("#", "|", ">", "```")) else paragraph(" ".join(block.split()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), help="these rows alone")
    parser.add_argument("--quick", action="store_true", help="small problems, to build/bench/quick.md")
    parser.add_argument("--against", metavar="COMMIT", help="is this checkout slower than that commit? then exit 1")
    parser.add_argument("--share", type=float, default=1.0, help="rows relative to the full problems")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: where other work is going on")
    parser.add_argument("--threads", type=int, default=1, help="of every library; 0: each library's own default")
    parser.add_argument("--fresh", action="store_true", help="measure anew what is kept in build/bench")
    parser.add_argument("--page", action="store_true", help="run nothing; write the page from what is kept")
    parser.add_argument("--output", type=Path, help="where the page goes: docs/benchmarks.md")
    options = parser.parse_args()
    size = replace(QUICK if options.quick or options.against else FULL, share=options.share, threads=options.threads)
    os.environ["BENCH_CLOCK"] = options.clock
    if options.against:
        return against(options.against, options.only, options.threads)
    about = facts()
    for name in () if options.page else options.only:
        run(family_named(name), size, options.fresh)
    output = options.output or (
        ROOT / "docs" / "benchmarks.md" if size == FULL else FOLDER / f"{folder_of(size).name}.md"
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    written = output.with_suffix(".part")
    # The whole page, unless it goes elsewhere: rows not asked for keep what is known of them.
    names = list(FAMILIES) if options.output is None else options.only
    earlier = output.read_text(encoding="utf-8") if output.exists() else ""
    written.write_text(page(names, size, about, earlier), encoding="utf-8")
    os.replace(written, output)
    print(f"Written: {output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
