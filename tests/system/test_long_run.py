"""A long training: step 10,000 costs neither more memory nor more work than step 1,000."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Adam,
    Callback,
    CosineRate,
    Dropout,
    Linear,
    Residual,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from tests.helpers import Centred, data

EARLY, LATE = 1_000, 10_000


def trainer_of() -> Trainer:
    """Return a trainer of a small net with state of every kind, whose loss falls without end."""
    model = Sequential(Linear(3, 8), Centred(8), Dropout(0.1), Residual(Linear(8, 8)), Tanh(), Linear(8, 2), rng=0)
    optimizer = Adam(CosineRate(1e-3, LATE), weight_decay=1e-4, clip_norm=1.0)
    return Trainer(model, loss=SquaredError(), optimizer=optimizer)


class Measured(Callback):
    """Notes what is in use after the early and after the late step."""

    def __init__(self) -> None:
        self.early: Any = None
        self.late: Any = None

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == EARLY:
            self.early = in_use()
        elif trainer.steps == LATE:
            self.late = in_use()


def in_use() -> tuple[int, int, int]:
    """Return how many bytes and objects Python has in use, and how many bytes the process."""
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    return traced, len(gc.get_objects()), resident()


def resident() -> int:
    """Return how many bytes of memory the process holds, 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def by_stream(trainer: Trainer, measured: Measured) -> None:
    trainer.fit([data()] * 100, epochs=LATE // 100, callbacks=[measured], metrics=[lambda p, t: 0.0])


def by_steps(trainer: Trainer, measured: Measured) -> None:
    x, target = data()
    for _ in range(LATE):
        trainer.step(x, target)
        measured.step_end(trainer)


@pytest.mark.slow
@pytest.mark.parametrize("run", [by_stream, by_steps])
def test_10_000_steps_take_no_more_memory_than_1_000(run: Callable[[Trainer, Measured], None]) -> None:
    measured, trainer = Measured(), trainer_of()
    tracemalloc.start()
    try:
        run(trainer, measured)
    finally:
        tracemalloc.stop()
    assert trainer.steps == LATE
    (early, objects, pages), (late, later_objects, later_pages) = measured.early, measured.late
    assert late - early < 100_000  # 11 bytes a step, of which the history takes some in a fit
    assert later_objects - objects < 500
    assert later_pages - pages < 8 * 2**20


def calls_of(trainer: Trainer) -> int:
    """Return how many functions, Python's and C's, are called in a step."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    x, target = data()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        trainer.step(x, target)
    finally:
        sys.setprofile(before)
    return calls


def test_a_late_step_does_no_more_work_than_an_early_one() -> None:
    trainer, (x, target) = trainer_of(), data()
    trainer.step(x, target)
    early = calls_of(trainer)
    for _ in range(3_000):
        trainer.step(x, target)
    assert calls_of(trainer) == early > 50


def test_an_epoch_does_no_more_work_late_in_a_training_than_early() -> None:
    """The history grows by a line an epoch; nothing that is done in an epoch goes through all of it."""

    class Counts(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            counts.append(calls)

    counts: list[int] = []
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    model = Sequential(Linear(3, 2), rng=0)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        model.fit(*data(), loss=SquaredError(), optimizer=SGD(0.01), epochs=500, callbacks=[Counts()], verbose=0)
    finally:
        sys.setprofile(before)
    each = np.diff(counts)
    assert each[10] > 20
    assert each[-1] <= each[10] + 2
