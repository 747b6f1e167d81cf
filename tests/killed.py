"""Kill a training at random moments, go on from what stands on the disk, and see that it is what was once written.

    python -m tests.killed [--times 200] [--seed 0]

A process trains and saves every two steps; SIGKILL ends it at a random moment, most often within a save, and the next
one goes on from the file. After every kill the checkpoint has to load, to hold no step less than the last that the
process reported as saved, and to equal bit for bit, in all that a training goes on with, an uninterrupted training at
that step, which is computed beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nanonet import (
    Adam,
    Array,
    Callback,
    Checkpoint,
    CosineRate,
    Dropout,
    Linear,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from tests import ROOT
from tests.helpers import picture

EVERY = 2  # steps between two saves
LONGEST = 0.3  # seconds that a process trains at most before it is killed
ENDLESS = 2000  # epochs: more than a process gets to
FIT: dict[str, Any] = {"batch_size": 16, "validation": 0.25, "verbose": 0}


def trainer_of(seed: int) -> Trainer:
    """Return a trainer of 70 thousand parameters, whose save takes longer than its step."""
    model = Sequential(Linear(64, 256), Tanh(), Dropout(0.2), Linear(256, 200), Tanh(), Linear(200, 8), rng=seed)
    return Trainer(model, loss=SquaredError(), optimizer=Adam(CosineRate(1e-3, 5000, end=1e-4)))


def data() -> tuple[Array, Array]:
    """Return what all of them train on: 12 batches an epoch."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(256, 64)), rng.normal(size=(256, 8))


def digest(trainer: Trainer) -> str:
    """Return all that a training goes on with, bit for bit; it knows nothing of files."""
    states = {name: numbers.tobytes() for name, numbers in trainer.stepper.states.items()}
    generators = [rng.bit_generator.state for rng in (trainer.model.rng, trainer.rng)]
    told = trainer.steps, trainer.epoch, trainer.batch, trainer.batch_loss, dict(trainer.history)
    return hashlib.sha256(repr((picture(trainer.model), states, generators, told)).encode()).hexdigest()


class Uninterrupted(Callback):
    """The training as it would be without kills: its digest at each step, computed as far as anyone asks."""

    def __init__(self) -> None:
        self.trainer, self.digests = trainer_of(0), dict[int, str]()

    def step_end(self, trainer: Trainer) -> None:
        self.digests[trainer.steps] = digest(trainer)

    def at(self, step: int) -> str:
        """Return the digest at a step."""
        while step not in self.digests:
            self.trainer.fit(*data(), epochs=1, callbacks=[self], **FIT)
        return self.digests[step]


# ---- the process that is killed


class Reports(Callback):
    """Says on stdout which step was saved last, as soon as the save is over."""

    called_last = True

    def fit_begin(self, trainer: Trainer) -> None:
        print("trains", flush=True)

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps % EVERY == 0:
            print(trainer.steps, flush=True)


def train(path: Path, seed: int) -> None:
    """Go on from the file, if there is one, until killed."""
    trainer = trainer_of(seed)
    if path.exists():
        trainer.resume(path)
    trainer.fit(*data(), epochs=ENDLESS, callbacks=[Checkpoint(path, steps=EVERY), Reports()], **FIT)


# ---- the one that kills


class Kill(NamedTuple):
    """What a kill left: the step on the disk, the last one reported as saved, and whether a save was under way."""

    step: int
    reported: int
    during_save: bool


class Summary(NamedTuple):
    """What came of it all."""

    kills: int
    verified: int
    during_save: int
    steps: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.during_save} of them during a save; after {self.verified} of them a checkpoint "
            f"was on the disk, each whole, not older than the last one reported, and equal bit for bit to the "
            f"uninterrupted training at its step; {self.steps} steps in {self.seconds:.0f} s"
        )


def kills(path: Path, times: int, seed: int) -> Iterator[Kill]:
    """Start a process and kill it, again and again; yield what each kill left. The folder has to be its own."""
    rng = random.Random(seed)
    for number in range(times):
        delay = rng.uniform(0, LONGEST)
        command = [sys.executable, "-m", "tests.killed", "--child", str(path), "--seed", str(number)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines: list[str] = []
            try:
                first = process.stdout.readline()
                assert first == "trains\n", "the process that goes on did not get as far as its fit"
                reader = threading.Thread(target=lines.extend, args=[process.stdout])
                reader.start()
                time.sleep(delay)
                assert process.poll() is None, "the process that trains ended by itself"
            finally:
                process.kill()
            reader.join()
        assert process.returncode == -signal.SIGKILL
        left = [file for file in path.parent.iterdir() if file != path]
        for file in left:
            file.unlink()
        reported = int(lines[-1]) if lines and lines[-1].endswith("\n") else 0
        yield Kill(held(path), reported, bool(left))


def held(path: Path) -> int:
    """Return the step of a checkpoint, 0 where there is none."""
    if not path.exists():
        return 0
    trainer = trainer_of(5)
    trainer.resume(path)
    return trainer.steps


def kill_and_verify(folder: Path, times: int, seed: int = 0) -> Summary:
    """Kill a training so many times, and raise AssertionError as soon as a checkpoint is not what it should be."""
    path, uninterrupted = folder / "run.npz", Uninterrupted()
    begun, verified, during, last = time.monotonic(), 0, 0, 0
    for number, kill in enumerate(kills(path, times, seed), 1):
        assert kill.step >= max(kill.reported, last), (
            f"kill {number}: step {kill.step} on the disk after {kill.reported}"
        )
        during, last = during + kill.during_save, kill.step
        if kill.step:
            trainer = trainer_of(5)
            trainer.resume(path)
            assert digest(trainer) == uninterrupted.at(kill.step), f"kill {number}: step {kill.step} is another one"
            verified += 1
    return Summary(times, verified, during, last, time.monotonic() - begun)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        train(arguments.child, arguments.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(kill_and_verify(Path(folder), arguments.times, arguments.seed))


if __name__ == "__main__":
    main()
