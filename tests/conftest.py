"""What all tests share. With NANONET_NO_SKIPS=1 a skipped test is a failed one."""

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

import nanonet

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


# How long drawing takes depends on the machine and on what else runs there, so it is no reason to fail.
for _name, _examples in {"quick": 40, "thorough": 200}.items():
    settings.register_profile(
        _name, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Divide a run of all tests among the processor's cores.

    What is named by a file or by -k runs in this process, and so does what somebody watches: -s, --pdb, coverage.
    """
    option = config.option
    by_name = config.args_source is config.ArgsSource.ARGS or option.keyword or option.collectonly
    is_watched = option.usepdb or option.trace or option.capture == "no"
    is_watched |= sys.gettrace() is not None or "coverage" in sys.modules
    is_open = getattr(option, "numprocesses", 0) is None  # not where xdist is missing or -n was given
    if is_open and not by_name and not is_watched and not hasattr(config, "workerinput"):
        option.numprocesses, option.maxprocesses, option.dist = "auto", 4, "worksteal"
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, "1")  # of each process: more would be in each other's way


def pytest_configure(config: pytest.Config) -> None:
    """Watch skips in nanonet's doctests too, and let processes that tests start import the nanonet that is tested."""
    os.environ["PYTHONPATH"] = str(Path(nanonet.__file__).parents[1])
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("quick" if config.option.markexpr == "not slow" else "thorough")
    if os.environ.get("NANONET_NO_SKIPS", "0") not in ("", "0"):
        config.pluginmanager.register(NoSkips(), "no-skips")


@pytest.fixture(autouse=True)
def _ctrl_c_is_pythons_own() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt; a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def plt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return matplotlib's pyplot, drawing on no screen, whose show fails."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    pyplot: Any = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    monkeypatch.setattr(pyplot, "show", lambda *a, **k: pytest.fail("a plot must not call show"))
    yield pyplot
    pyplot.close("all")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what draws with matplotlib as a test that needs a peer."""
    for item in items:
        if "plt" in getattr(item, "fixturenames", ()):
            item.add_marker("peer")


def pytest_collection_finish() -> None:
    """Keep what the imported modules hold out of every garbage collection to come: it is most of what there is."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _tracing_goes_on() -> Iterator[None]:
    """Put back a coverage run's trace function after a test that has one of its own."""
    before = sys.gettrace()
    yield
    if sys.gettrace() is not before:
        sys.settrace(before)


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
