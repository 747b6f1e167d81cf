"""Growth: how the time of a step grows with depth and width, and what the article's recursion would cost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from functools import partial
from itertools import pairwise

import numpy as np

from nanonet import SGD, Linear, Sequential, Sigmoid, SquaredError, Trainer
from tests.benchmarks.timing import interleaved

DEPTHS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
WIDTHS = (4, 16, 64, 256, 1024, 2048)


def trainer_of(sizes: Iterable[int]) -> Trainer:
    """Return a sigmoid net in training, float32."""
    layers = [layer for below, above in pairwise(sizes) for layer in (Linear(below, above), Sigmoid())]
    return Trainer(Sequential(*layers, rng=0), loss=SquaredError(), optimizer=SGD(0.01))


def depths(width: int = 16, batch: int = 16, rounds: int = 7) -> dict[int, float]:
    """Return the seconds of a step for each depth."""
    return _grown({depth: (width,) * (depth + 1) for depth in DEPTHS}, batch, rounds)


def widths(batch: int = 32, rounds: int = 7) -> dict[int, float]:
    """Return the seconds of a step of two layers for each width."""
    return _grown({width: (width,) * 3 for width in WIDTHS}, batch, rounds)


def _grown(nets: dict[int, tuple[int, ...]], batch: int, rounds: int) -> dict[int, float]:
    draw = np.random.default_rng(0)
    calls = {}
    for key, sizes in nets.items():
        x = draw.normal(size=(batch, sizes[0])).astype(np.float32)
        calls[str(key)] = partial(trainer_of(sizes).step, x, x)
    times = interleaved(calls, rounds=rounds, seconds=0.2)
    return {key: times[str(key)] for key in nets}


def exponent(times: dict[int, float], low: int, high: int) -> float:
    """Return b of the fit time = a size^b between two sizes, by least squares of the logarithms."""
    sizes = [size for size in times if low <= size <= high]
    return float(np.polyfit(np.log(sizes), np.log([times[size] for size in sizes]), 1)[0])


def recursion(most: int = 12, width: int = 2) -> dict[int, tuple[float, float]]:
    """Return for each depth the seconds of the article's recursion, which asks for each g anew, and of nanonet."""
    found = {}
    for depth in range(1, most + 1):
        trainer = trainer_of((width,) * (depth + 1))
        x = np.ones((1, width), np.float32)
        ours = interleaved({"": partial(trainer.step, x, x)}, rounds=5, seconds=0.02)[""]
        found[depth] = (_article(depth, width), ours)
    return found


def _article(depth: int, width: int) -> float:
    """Return the seconds of all gradients of one sample by g(l, j) = sum_i g(l + 1, i) W[i, j] f'(a[j])."""
    weights = np.random.default_rng(0).normal(size=(depth, width, width)).tolist()
    outputs = [[0.5] * width]
    for weight in weights:
        sums = [sum(w * x for w, x in zip(row, outputs[-1], strict=True)) for row in weight]
        outputs.append([1 / (1 + math.exp(-a)) for a in sums])

    def g(layer: int, j: int) -> float:
        y: float = outputs[layer][j]
        if layer == depth:
            return (y - 1) * (1 - y) * y
        above: float = sum(g(layer + 1, i) * weights[layer][i][j] for i in range(width))
        return above * (1 - y) * y

    begun = time.perf_counter()
    for layer in range(1, depth + 1):
        for j in range(width):
            for k in range(width):
                g(layer, j) * outputs[layer - 1][k]
    return time.perf_counter() - begun
