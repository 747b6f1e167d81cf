"""Timing: several calls in turns, on one core, so that what disturbs one disturbs all; medians of several rounds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

Clock = Callable[[], float]

LEAST = 5  # calls in a turn: the first of a large net finds the caches full of another's numbers


def pin(core: int) -> str:
    """Hold this process to one core, where the system can; return what was done."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned to a core: this system cannot"
    os.sched_setaffinity(0, {core})
    return f"pinned to core {core}"


def interleaved(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int, seconds: float, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return the median time of each call in seconds; a round gives each about ``seconds``, and
    five calls or more, in turns.
    """
    counts = {name: _count(call, seconds, clock) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_time(call, counts[name], clock))
    return {name: statistics.median(each) for name, each in times.items()}


def _count(call: Callable[[], Any], seconds: float, clock: Clock) -> int:
    """Return how many calls fill the time, after some to warm up."""
    call()
    once = min(_time(call, 1, clock) for _ in range(3))
    return max(LEAST, round(seconds / once))


def _time(call: Callable[[], Any], count: int, clock: Clock) -> float:
    begun = clock()
    for _ in range(count):
        call()
    return (clock() - begun) / count
