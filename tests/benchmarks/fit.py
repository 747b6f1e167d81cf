"""Fit: what ``fit`` costs beyond as many steps on ready batches, and its first batch, which runs under the contract."""

from __future__ import annotations

from collections.abc import Callable

from nanonet import Trainer, batches
from tests.benchmarks import ours
from tests.benchmarks.rows import Row
from tests.benchmarks.timing import Run

SAMPLES = 20_000
LOOPS = [
    Row((784, 30, 10), "sigmoid", 10, "float32", "sgd"),
    Row((784, 300, 10), "sigmoid", 32, "float32", "sgd"),
]
FIRST = [
    *LOOPS,
    Row((8, 32, 32, 1), "relu", 32, "float32", "adam"),
    Row((784, 512, 512, 10), "relu", 128, "float32", "adam", "cross-entropy"),
    Row((1024, 2048, 2048, 10), "relu", 128, "float32", "adam", "cross-entropy"),
]


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of a step by hand and within fits of one and of five epochs, and of fits of one batch."""
    found: dict[str, dict[str, float]] = {}
    print("\nstep on ready batches, and within a fit of 1 and of 5 epochs")
    for row in LOOPS:
        found[row.name] = each = loops(row, run)
        ratios = ", ".join(f"{name}: {each[name] / each['steps']:.3f}" for name in list(each)[1:])
        print(f"{row.name:52}{1e6 * each['steps']:10.1f} us; {ratios}", flush=True)
    print("\nfirst batch: a fit of one batch, in units of a step")
    for row in FIRST:
        found[f"{row.name}, first"] = each = first(row, run)
        print(f"{row.name:52}{1e6 * each['steps']:10.1f} us; {each['fit'] / each['steps']:.2f}", flush=True)
    return found


def loops(row: Row, run: Run) -> dict[str, float]:
    """Return the seconds of a step on ready batches and within fits."""
    x, target = row.data(SAMPLES)
    ready = [batch[:2] for batch in batches(x, target, row.batch, rng=0)]

    def by_hand(trainer: Trainer = ours.trainer(row)) -> None:  # one trainer for all calls
        for batch in ready:
            trainer.step(*batch)

    def fit(epochs: int) -> Callable[[], object]:
        trainer = ours.trainer(row)
        return lambda: trainer.fit(x, target, epochs=epochs, batch_size=row.batch, verbose=0)

    times = run.medians({"steps": by_hand, "1 epoch": fit(1), "5 epochs": fit(5)}, least=1)
    return {name: seconds / len(ready) / (5 if name == "5 epochs" else 1) for name, seconds in times.items()}


def first(row: Row, run: Run) -> dict[str, float]:
    """Return the seconds of a step, and of a fit of one batch: all checks, and a step under the contract."""
    x, target = row.data()
    one, other = ours.trainer(row), ours.trainer(row)
    calls = {
        "steps": lambda: one.step(x, target),
        "fit": lambda: other.fit(x, target, epochs=1, batch_size=row.batch, verbose=0),
    }
    return run.medians(calls)
