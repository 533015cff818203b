"""What a run of the tests says and allows beyond pytest.

With NEWTRON_NO_SKIPS=1 a skipped test makes the run fail, so that CI cannot pass by leaving tests out; but with
NEWTRON_WITHOUT_SHARED=1 the tests that read ../shared/data may be skipped. A run that leaves tests out by their markers
says how many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

# scikit-learn's check of array API input is skipped without it; SciPy reads it when it is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

NO_SKIPS = os.environ.get("NEWTRON_NO_SKIPS") == "1"
WITHOUT_SHARED = os.environ.get("NEWTRON_WITHOUT_SHARED") == "1"
MARKERS = ("slow", "browser", "cluster")

left_out: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def same_draws(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the generators of its module as the import left them, whichever tests ran before it."""
    found = [each for each in vars(request.module).values() if isinstance(each, np.random.Generator)]
    states = [generator.bit_generator.state for generator in found]
    yield
    for generator, state in zip(found, states, strict=True):
        generator.bit_generator.state = state


def _skipped(config: pytest.Config) -> list[str]:
    # Under xdist each worker's reports reach the reporter of the one process that prints.
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if NO_SKIPS and reporter else []
    allowed = "shared benchmark data" if WITHOUT_SHARED else None
    return sorted({report.nodeid for report in reports if allowed is None or allowed not in str(report.longrepr)})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # A worker of xdist hands its counts to the process that prints.
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = dict(left_out)
    elif exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items if items[0].config.option.markexpr else ():
        named = [marker for marker in MARKERS if item.get_closest_marker(marker)]
        left_out.update([named[-1]] if named else [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """All workers of xdist collect the same tests, so that the counts of one of them are those of the run."""
    del error
    output: dict[str, dict[str, int]] = getattr(node, "workeroutput", {})
    left_out.update({} if left_out else output.get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left_out:
        counts = ", ".join(f"{left_out[marker]:,} {marker}" for marker in MARKERS if left_out[marker])
        terminalreporter.write_line(f"Left out by their markers: {counts}. scripts/test runs all.")
    if names := _skipped(config):
        terminalreporter.write_line(
            f"The run fails: NEWTRON_NO_SKIPS=1 allows no skipped test, and {len(names)} were skipped for "
            f"the reasons below: {', '.join(names)}",
            red=True,
        )
