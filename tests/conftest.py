"""With NEWTRON_NO_SKIPS=1 a skipped test makes the run fail, so that CI cannot pass by leaving tests out."""

from __future__ import annotations

import os

import pytest

# scikit-learn's check of array API input is skipped without it; SciPy reads it when it is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

NO_SKIPS = os.environ.get("NEWTRON_NO_SKIPS") == "1"


def _skipped(config: pytest.Config) -> list[str]:
    # Under xdist each worker's reports reach the reporter of the one process that prints.
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if NO_SKIPS and reporter else []
    return sorted({report.nodeid for report in reports})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if names := _skipped(config):
        terminalreporter.write_line(
            f"The run fails: NEWTRON_NO_SKIPS=1 allows no skipped test, and {len(names)} were skipped for "
            f"the reasons below: {', '.join(names)}",
            red=True,
        )
