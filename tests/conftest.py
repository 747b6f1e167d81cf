"""What all tests share: Ctrl-C as Python has it; with NANONET_NO_SKIPS=1 a skipped test is a failed one."""

import os
import signal
from collections.abc import Generator, Iterator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    """Watch skips in the doctests of nanonet too, which this file's own hooks would not see."""
    if os.environ.get("NANONET_NO_SKIPS", "0") not in ("", "0"):
        config.pluginmanager.register(NoSkips(), "no-skips")


@pytest.fixture(autouse=True)
def _ctrl_c_is_pythons_own() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt; a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class NoSkips:
    """Turns what was skipped into a failure that gives the reason; an expected failure stays one."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Look at a test."""
        return _refused((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Look at a whole module."""
        return _refused((yield))


def _refused(report: Report) -> Report:
    if report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"NANONET_NO_SKIPS is set, but this did not run. {reason}"
    return report
