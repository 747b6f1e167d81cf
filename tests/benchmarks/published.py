"""Published: two nets of SimpleChains.jl's own examples on one core here, beside what its authors measured elsewhere.

Its figures are those of its README (loss and gradient, double precision, dropout active) and of its announcement
(Adam on all samples, on 18 cores). They come from other machines: no ratio is taken. LeNet, its third example, is
among the images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nanonet import Dropout, Linear, Sequential, SquaredError, Tanh
from tests.benchmarks import ours
from tests.benchmarks.peers import Fast
from tests.benchmarks.rows import FULL
from tests.benchmarks.tables import present
from tests.benchmarks.timing import Run

GRADIENT = "24-8-2 tanh, dropout, 200, f64, loss and gradient"
STEP = "4-32-16-4 tanh, 10000, f32, adam, step"
ELSEWHERE = {GRADIENT: "5.66 us on one core", STEP: "41 us on 18 cores"}


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of each row."""
    steps = {"nanonet": step()}
    if present([Fast]):
        steps[Fast.name] = step(fast=True)
    found = {GRADIENT: run.medians({"nanonet": gradient()}), STEP: run.medians(steps)}
    print()
    for name, times in found.items():
        here = ", ".join(f"{who} {1e6 * seconds:.1f} us" for who, seconds in times.items())
        print(f"{name:52}{here}; SimpleChains.jl, by its authors: {ELSEWHERE[name]}", flush=True)
    return found


def gradient() -> Callable[[], object]:
    """Return a call of the loss and the gradient of 24-8-2, the second layer without bias."""
    layers = Linear(24, 8), Tanh(), Dropout(0.2), Linear(8, 2, bias=False)
    model, loss, draw = Sequential(*layers, dtype=np.float64, rng=0), SquaredError(), np.random.default_rng(1)
    x, target = draw.random((200, 24)), 10 * draw.normal(size=(200, 2))
    return lambda: model.loss_and_grad(x, target, loss, training=True)


def step(**options: bool) -> Callable[[], float]:
    """Return a step of Adam on all samples."""
    trainer, (x, target) = ours.trainer(FULL[0], **options), FULL[0].data()
    return lambda: trainer.step(x, target)
