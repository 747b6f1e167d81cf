"""Full batches, as whole arrays and in blocks, each in a process of its own, since others before it hide the cost.

    python -m tests.benchmarks.full_batch

After PyTorch, say, has raised the allocator's threshold, freed arrays are no longer given back to the system, and the
page faults by which a fresh process loses its time do not occur.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from nanonet import Adam, Linear, Sequential, SquaredError, Tanh, Trainer

NETS = ((4, 32, 16, 4), (10, 64, 64, 1))
SAMPLES, PASSES = 10_000, 15
BLOCKS = {"default": None, "whole": SAMPLES, "2000": 2000, "1000": 1000, "500": 500, "250": 250}


def measure(sizes: tuple[int, ...], job: str, rows: int | None) -> None:
    """Print the milliseconds and the page faults of a pass."""
    layers = [part for pair in itertools.pairwise(sizes) for part in (Linear(*pair), Tanh())][:-1]
    model, rng = Sequential(*layers, rng=0), np.random.default_rng(0)
    x, target = (rng.normal(size=(SAMPLES, n)).astype(np.float32) for n in (sizes[0], sizes[-1]))
    trainer = Trainer(model, loss=SquaredError(), optimizer=Adam(), micro_batch_size=rows)
    times, faults = [], 0
    for i in range(3 + PASSES):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        if job == "step":
            trainer.step(x, target)
        else:
            model.predict(x, rows)
        if i >= 3:
            times.append(time.perf_counter() - begun)
            faults += resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(f"{1e3 * statistics.median(times):10.2f} ms, {faults / PASSES:6.0f} faults", flush=True)


def main() -> None:
    """Measure every net, job and size of blocks, each in a new process."""
    for sizes in NETS:
        for job in ("step", "predict"):
            print(f"{'-'.join(map(str, sizes))}, {SAMPLES} samples, {job}")
            for name in BLOCKS:
                print(f"{name:>10}", end="", flush=True)
                arguments = [",".join(map(str, sizes)), job, name]
                subprocess.run([sys.executable, "-m", "tests.benchmarks.full_batch", *arguments], check=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(tuple(map(int, sys.argv[1].split(","))), sys.argv[2], BLOCKS[sys.argv[3]])
    else:
        main()
