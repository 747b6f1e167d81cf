"""Timing: several calls in turns, on one core, so that what disturbs one disturbs all; medians of several rounds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LEAST = 5  # calls in a turn: the first of a large net finds the caches full of another's numbers


@dataclass(frozen=True)
class Run:
    """How a run is timed.

    Attributes
    ----------
    rounds : int
        Of which the medians are taken.
    seconds : float
        For each call in a round.
    busy : bool
        Whether others use the machine too: the time of the processor is counted then, and not the clock's.
    """

    rounds: int = 11
    seconds: float = 0.1
    busy: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """What is read before and after a turn."""
        return time.process_time if self.busy else time.perf_counter

    def medians(self, calls: Mapping[str, Callable[[], Any]], *, least: int = LEAST) -> dict[str, float]:
        """Return the median seconds of each call; a round gives each its time or ``least`` calls, in turns."""
        counts = {name: max(least, self._count(call)) for name, call in calls.items()}
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(self.rounds):
            for name, call in calls.items():
                times[name].append(self._time(call, counts[name]))
        return {name: statistics.median(each) for name, each in times.items()}

    def _count(self, call: Callable[[], Any]) -> int:
        """Return how many calls fill the time, after some to warm up."""
        call()
        spent: list[float] = []
        while len(spent) < 3 and sum(spent) < self.seconds:
            spent.append(self._time(call, 1))
        return round(self.seconds / min(spent))

    def _time(self, call: Callable[[], Any], count: int) -> float:
        begun = self.clock()
        for _ in range(count):
            call()
        return (self.clock() - begun) / count


def pin(core: int) -> str:
    """Hold this process, and those that it starts, to one core, where the system can; return what was done."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned to a core: this system cannot"
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"
