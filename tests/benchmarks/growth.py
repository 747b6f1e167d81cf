"""Growth: how the time of a step grows with depth and width, and what the article's recursion would cost."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import numpy as np

from nanonet import Trainer
from tests.benchmarks import ours
from tests.benchmarks.rows import Row
from tests.benchmarks.timing import Run

DEPTHS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)
WIDTHS = (4, 16, 64, 256, 1024, 2048)


def measure(run: Run) -> dict[str, Any]:
    """Return the seconds of a step by depth, by width, and of the article's recursion and nanonet's step by depth."""
    found = deep, wide, article = depths(), widths(), recursion()
    print("\ndepth, layers of 16: " + ", ".join(f"{d}: {1e6 * t:.0f} us" for d, t in deep.items()))
    for low, high in ((100, 10_000), (1000, 10_000)):
        print(f"  exponent from {low} to {high}: {exponent(deep, low, high):.3f}")
    print("width, two layers: " + ", ".join(f"{w}: {1e6 * t:.0f} us" for w, t in wide.items()))
    print(f"  exponent from 256 to 2048: {exponent(wide, 256, 2048):.3f}")
    print("the article's recursion, 2 units wide, and nanonet's step, by depth:")
    print("  " + ", ".join(f"{d}: {1e6 * a:.0f} and {1e6 * o:.0f} us" for d, (a, o) in article.items()))
    return dict(zip(("depths", "widths", "recursion"), found, strict=True))


def trainer_of(*sizes: int) -> Trainer:
    """Return a sigmoid net in training, float32."""
    return ours.trainer(Row(sizes, "sigmoid", 1, "float32", "sgd"))


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
        calls[str(key)] = partial(trainer_of(*sizes).step, x, x)
    times = Run(rounds, 0.2).medians(calls)
    return {key: times[str(key)] for key in nets}


def exponent(times: dict[int, float], low: int, high: int) -> float:
    """Return b of the fit time = a size^b between two sizes, by least squares of the logarithms."""
    sizes = [size for size in times if low <= size <= high]
    return float(np.polyfit(np.log(sizes), np.log([times[size] for size in sizes]), 1)[0])


def recursion(most: int = 12, width: int = 2) -> dict[int, tuple[float, float]]:
    """Return for each depth the seconds of the article's recursion, which asks for each g anew, and of nanonet."""
    found = {}
    for depth in range(1, most + 1):
        trainer = trainer_of(*(width,) * (depth + 1))
        x = np.ones((1, width), np.float32)
        step = Run(5, 0.02).medians({"": partial(trainer.step, x, x)})[""]
        found[depth] = (_article(depth, width), step)
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
