"""Cores: two threads that share a step beside one, and two processes by MPI; always by the clock on the wall."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import ours
from tests.benchmarks.agreement import close_in
from tests.benchmarks.alone import alone, told
from tests.benchmarks.rows import FULL, TRAINING, Row
from tests.benchmarks.timing import Run

SHARED = Row((784, 512, 512, 10), "relu", 512, "float32", "adam", "cross-entropy")
ROWS = [SHARED, *(row for row in TRAINING if max(row.sizes) > 1024), *FULL]


def measure(run: Run) -> dict[str, Any]:
    """Return the seconds of a step by row and number of threads or processes."""
    if len(cores()) < 2:
        print("\ncores are left out: this process may use one alone")
        return {}
    found: dict[str, Any] = {}
    if ours.takes("workers"):
        print("\nstep on two cores, threads")
        for i, row in enumerate(ROWS):
            found[f"{row.name}, threads"] = times = alone("cores", "threads", i, run.rounds, run.seconds)
            show(row, times, "one thread", "workers=2")
    else:
        print("\nthreads are left out: Trainer takes no workers")
    if why := no_mpi():
        print(f"processes are left out: {why}")
    else:
        print("\nstep on two cores, processes")
        found[f"{SHARED.name}, processes"] = times = processes(run)
        show(SHARED, times, "one process", "two ranks")
    return found


def show(row: Row, times: dict[str, float], one: str, two: str) -> None:
    """Print a row, and how much faster two are than one."""
    each = ", ".join(f"{name} {1e3 * seconds:.3f} ms" for name, seconds in times.items())
    print(f"{row.name:56}{times[one] / times[two]:6.2f} times as fast: {each}", flush=True)


# ---- threads


def threads(row: int, rounds: int, seconds: float) -> dict[str, float]:
    """Return the seconds of a step without workers, with one and with two, once the results are the same."""
    spread(cores()[:2])
    chosen = ROWS[row]
    x, target = chosen.data()
    options: tuple[dict[str, Any], ...] = ({}, {"workers": 1}, {"workers": 2}, {"workers": 2})
    trainers = [ours.trainer(chosen, **option) for option in options]
    for trainer in trainers:
        for _ in range(5):
            trainer.step(x, target)
    alone, one, two, again = (trainer.model.vector.value for trainer in trainers)
    np.testing.assert_array_equal(one, two, err_msg=f"{chosen.name}: two threads have other bits than one")
    np.testing.assert_array_equal(two, again, err_msg=f"{chosen.name}: two threads have other bits each time")
    assert (abs(one - alone) > close_in(chosen.dtype)).mean() < 1e-3, f"{chosen.name}: workers change the result"
    names = ("one thread", "workers=1", "workers=2")
    calls = {name: partial(trainer.step, x, target) for name, trainer in zip(names, trainers, strict=False)}
    return Run(rounds, seconds).medians(calls)


# ---- processes


def no_mpi() -> str:
    """Return why processes cannot be measured, or an empty string."""
    if not ours.takes("reducer"):
        return "Trainer takes no reducer"
    if not find_spec("mpi4py"):
        return "mpi4py is not installed"
    return "" if mpiexec() else "there is no mpiexec"


def mpiexec() -> str | None:
    """Return the command that starts ranks, the one beside this Python first."""
    return shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def processes(run: Run) -> dict[str, float]:
    """Return the median seconds of a step by one process and by two ranks, in turns."""
    under: dict[str, tuple[str, ...]] = {"one process": (), "two ranks": (str(mpiexec()), "-n", "2")}
    runs: dict[str, list[float]] = {name: [] for name in under}
    norms = set()
    for _ in range(max(3, run.rounds // 2)):
        for name, command in under.items():
            seconds, norm = alone("cores", "rank", bool(command), under=command)
            runs[name].append(seconds)
            norms.add(round(norm, 3))
    assert len(norms) == 1, f"{SHARED.name}: two ranks change the result: {norms}"
    return {name: statistics.median(each) for name, each in runs.items()}


def rank(shared: bool, steps: int = 50) -> tuple[float, float] | None:
    """Return the mean seconds of some steps, and the norm of the weights after ten; None but on the first rank."""
    options, number = dict[str, Any](), 0
    if shared:
        options["reducer"] = reducer = import_module("nanonet.training.distributed").MPIReducer()
        number = reducer.rank
    spread([cores()[number]])
    trainer = ours.trainer(SHARED, **options)
    x, target = SHARED.data()
    for _ in range(10):
        trainer.step(x, target)
    norm = float(np.linalg.norm(trainer.model.vector.value))
    begun = time.perf_counter()
    for _ in range(steps):  # as many on each rank
        trainer.step(x, target)
    seconds = (time.perf_counter() - begun) / steps
    return None if number else (seconds, norm)


# ---- where they run


def cores() -> list[int]:
    """Return the cores that a process may be let use, also by one that is held to a core itself."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    held = os.sched_getaffinity(0)
    spread(range(os.cpu_count() or 1))
    free = sorted(os.sched_getaffinity(0))
    spread(held)
    return free


def spread(over: Any) -> None:
    """Let this process use these cores."""
    os.sched_setaffinity(0, over)


if __name__ == "__main__":
    job, *arguments = told()
    result = {"threads": threads, "rank": rank}[job](*arguments)  # type: ignore[operator]
    if result is not None:
        print(json.dumps(result))
