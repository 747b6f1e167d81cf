"""Alone: a measurement in a process that has run nothing else, since what ran before hides what a fresh one pays.

Arrays that are freed go back to the system and are faulted in again at the next pass, until the allocator has learnt
not to; after PyTorch, say, it has.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.benchmarks.timing import Run


def alone(module: str, *arguments: object, under: tuple[str, ...] = ()) -> Any:
    """Return what ``python -m tests.benchmarks.MODULE``, with arguments in JSON, prints in JSON as its last line."""
    given = [json.dumps(argument) for argument in arguments]
    command = [*under, sys.executable, "-m", f"tests.benchmarks.{module}", *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def told() -> list[Any]:
    """Return the arguments that ``alone`` gave to this process."""
    return [json.loads(argument) for argument in sys.argv[1:]]


def watched(call: Callable[[], Any], run: Run, passes: int = 15) -> dict[str, float]:
    """Return the median seconds of a call after three to warm up, and how many pages each faults in."""
    times, faults = [], 0
    for i in range(3 + passes):
        begun, before = run.clock(), faulted()
        call()
        if i >= 3:
            times.append(run.clock() - begun)
            faults += faulted() - before
    return {"seconds": statistics.median(times), "faults": faults / passes}


def faulted() -> int:
    """Return how many pages this process has faulted in without reading them."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
