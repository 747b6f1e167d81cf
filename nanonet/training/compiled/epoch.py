"""The loop of an epoch: the steps of many batches in one call, which ends when signals and displays are due."""

from __future__ import annotations

from collections.abc import Generator
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.chain import checked_views
from nanonet.training.compiled import codes
from nanonet.training.compiled.plan import Plan
from nanonet.training.compiled.step import CompiledStepper
from nanonet.training.data import Dataset
from nanonet.training.history import Means

SECONDS = 0.02  # for a call
BYTES = 1 << 20  # of the samples in it, which are gathered first
FIRST = 16  # steps of the first call, by which the time for one is measured


class Gathered(NamedTuple):
    """Samples as the kernels take them, their weights of size 0 if each counts 1."""

    x: Array
    target: npt.NDArray[Any]
    weights: Array


class Underway(Protocol):
    """What the loop needs of an epoch; see :class:`nanonet.training.feed.Epoch`."""

    means: Means
    done: int


def in_chunks(
    stepper: CompiledStepper, data: Dataset, order: npt.NDArray[np.intp] | None, size: int, epoch: Underway, done: int
) -> Generator[int, None, int]:
    """Take the steps of an epoch after its first batches, and yield the number of the last batch after each call.

    Return how many batches are done with; the next, if there is one, is for the readable step.
    """
    while done * size < len(data):
        plan = stepper.plan()
        if isinstance(plan, str) or checked_views or size > plan.largest:
            break
        rates = stepper.rates(_count(stepper, plan, data, size))
        batches = None if rates is None else _gathered(plan, data, order, done * size, (done + len(rates)) * size)
        if rates is None or batches is None:
            break
        begun, before = perf_counter(), stepper.steps
        plan.numbers[codes.LOSSES :] = epoch.means.sums.get("loss", (0.0, 0.0))
        finished = stepper.run(plan, plan.arguments(*batches, rates, size))
        stepper.pace = (perf_counter() - begun) / max(finished, 1)
        if stepper.steps > before:
            total, weights = plan.numbers[codes.LOSSES :].tolist()
            epoch.means.sums["loss"] = total, weights
            epoch.done = done + int(plan.numbers[codes.LAST_BATCH])
            yield epoch.done
        done += finished
        if finished * size < len(batches.x):
            break
    return done


def _count(stepper: CompiledStepper, plan: Plan, data: Dataset, size: int) -> int:
    """Return how many batches go into the next call."""
    in_time = int(SECONDS / stepper.pace) if stepper.pace else FIRST
    in_cache = BYTES // (size * plan.bytes_of_a_sample)
    return max(1, min(in_time, in_cache, -(-len(data) // size)))


def _gathered(plan: Plan, data: Dataset, order: npt.NDArray[np.intp] | None, start: int, stop: int) -> Gathered | None:
    """Return the samples of some batches as the kernels take them; None if they are not of that kind."""
    chosen = slice(start, stop) if order is None else order[start:stop]
    x, target = data.x[chosen], data.target[chosen]
    weights = np.empty(0) if data.weight is None else np.require(data.weight[chosen], np.float64, ["C", "W"])
    if x.ndim != 2 or x.dtype != plan.dtype or target.shape[1:] != plan.target_shape:
        return None
    kind: Any = plan.dtype
    if plan.has_labels:
        kind = np.intp
        if target.dtype.kind not in "iu" or not 0 <= target.min() <= target.max() < plan.outputs:
            return None  # somebody has changed them since they were checked
    return Gathered(np.require(x, plan.dtype, ["C", "W"]), np.require(target, kind, ["C", "W"]), weights)
