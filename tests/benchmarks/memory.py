"""Memory: the most that a training takes at each of its moments, in multiples of the bytes of the parameters."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nanonet import SGD, Adam, CrossEntropy, Linear, Optimizer, ReLU, Sequential, Trainer
from tests.benchmarks.alone import alone, told
from tests.benchmarks.timing import Run
from tests.memory import resident

OPTIMIZERS: dict[str, Callable[[], Optimizer]] = {
    "SGD": lambda: SGD(1e-3),
    "SGD, momentum": lambda: SGD(1e-3, momentum=0.9),
    "Adam": Adam,
}
MOMENTS = ("model", "Trainer", "first step", "later steps")
SIZES, BATCH = (1024, 2048, 2048, 10), 32


def measure(run: Run) -> dict[str, dict[str, dict[str, float]]]:
    """Return the peaks by optimizer, way of counting and moment."""
    net = "-".join(map(str, SIZES))
    print(f"\npeak memory over parameters, {net}, batch {BATCH}, from before the model was made")
    print(f"{'':32}" + "".join(f"{moment:>14}" for moment in MOMENTS))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in OPTIMIZERS:
        found[name] = {}
        for way in ("resident", "traced"):
            found[name][way] = peaks = alone("memory", name, way)
            print(f"{f'{name}, {way}':32}" + "".join(f"{peaks[moment]:14.2f}" for moment in MOMENTS), flush=True)
    return found


def peaks(name: str, way: str) -> dict[str, float]:
    """Return the peak of each moment: resident, as the system counts, or traced, as Python and NumPy allocate."""
    train(OPTIMIZERS[name], (8, 8, 8, 10), lambda moment: None)  # what the first of its kind imports and keeps
    if way == "traced":
        tracemalloc.start()
    held, found = now(way), {}
    begin(way)

    def note(moment: str) -> None:
        found[moment] = peak(way) - held
        begin(way)

    size = train(OPTIMIZERS[name], SIZES, note)
    return {moment: extra / size for moment, extra in found.items()}


def train(rule: Callable[[], Optimizer], sizes: tuple[int, ...], note: Callable[[str], None]) -> int:
    """Train a net, note each moment when it is over, and return the bytes of the parameters."""
    draw = np.random.default_rng(0)
    x, target = draw.random((BATCH, sizes[0]), dtype=np.float32), draw.integers(sizes[-1], size=BATCH)
    one, two, three, four = sizes
    model = Sequential(Linear(one, two), ReLU(), Linear(two, three), ReLU(), Linear(three, four), rng=0)
    note(MOMENTS[0])
    trainer = Trainer(model, loss=CrossEntropy(), optimizer=rule())
    note(MOMENTS[1])
    trainer.step(x, target)
    note(MOMENTS[2])
    for _ in range(5):
        trainer.step(x, target)
    note(MOMENTS[3])
    return model.vector.value.nbytes


def now(way: str) -> float:
    """Return the bytes that are held."""
    return float(resident("VmRSS") if way == "resident" else tracemalloc.get_traced_memory()[0])


def peak(way: str) -> float:
    """Return the most bytes that were held since ``begin``."""
    return float(resident("VmHWM") if way == "resident" else tracemalloc.get_traced_memory()[1])


def begin(way: str) -> None:
    """Forget the peak so far."""
    if way == "resident":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    else:
        tracemalloc.reset_peak()


if __name__ == "__main__":
    print(json.dumps(peaks(*told())))
