"""After tune_allocator, a pass over a large batch uses the memory of the one before."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from typing import Any

import pytest

import nanonet
from nanonet.training import allocator

FAULTS = """
import resource
import numpy as np
import nanonet
if {tuned}:
    nanonet.tune_allocator()
model = nanonet.Sequential(nanonet.Linear(10, 64), nanonet.BatchNorm(64), nanonet.Tanh(), nanonet.Linear(64, 1), rng=0)
trainer = nanonet.Trainer(model, loss=nanonet.SquaredError(), optimizer=nanonet.SGD(0.01))
x, target = np.ones((10_000, 10), np.float32), np.ones((10_000, 1), np.float32)
for _ in range(3):
    trainer.step(x, target)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    trainer.step(x, target)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 5)
"""


def faults(*, tuned: bool) -> float:
    command = [sys.executable, "-c", FAULTS.format(tuned=tuned)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_pass_over_a_whole_batch_faults_no_memory_in() -> None:
    if platform.libc_ver()[0] != "glibc":
        with pytest.raises(OSError, match="expected glibc"):
            nanonet.tune_allocator()
        return
    assert faults(tuned=True) < 50 < faults(tuned=False)


@pytest.mark.parametrize(
    ("keep", "error", "message"),
    [
        (0, ValueError, "expected keep of 1 or more, got 0"),
        (2**31, ValueError, r"expected keep of at most 2\*\*31 - 1, got 2147483648"),
        (1.5, TypeError, "expected keep as an int, got 1.5"),
    ],
)
def test_a_size_that_is_none_is_refused(keep: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nanonet.tune_allocator(keep)


def test_another_c_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with pytest.raises(OSError, match="expected glibc, whose mallopt it calls"):
        nanonet.tune_allocator()
    assert allocator.LARGEST == 2**25
