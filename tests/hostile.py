"""What hostile surroundings do to nanonet: damaged files, signals at any line, threads that disturb each other.

    python -m tests.hostile [--files 20000] [--signals 9000] [--threads 4000] [--seed 0]

Each part counts what it tried, and raises AssertionError at the first thing that went wrong in silence: a damaged file
that loads as other numbers, a signal that leaves half a step, a thread that changes what another one computes.
docs/reliability.md has the counts of a long run; a short one is part of the tests.
"""

from __future__ import annotations

import argparse
import collections
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import nanonet
from nanonet import SGD, Adam, Callback, Dropout, Linear, Sequential, SquaredError, Tanh, Trainer
from tests.helpers import Centred, picture
from tests.killed import digest

PACKAGE = str(Path(nanonet.__file__).parent)
RNG = np.random.default_rng(0)
X, TARGET = RNG.normal(size=(24, 4)), RNG.normal(size=(24, 3))
Counts = collections.Counter[str]


def new_model(rng: int = 0) -> Sequential:
    """Return a net with all kinds of state."""
    return Sequential(Linear(4, 6), Dropout(0.2), Centred(6), Tanh(), Linear(6, 3), rng=rng)


def new_trainer(optimizer: Any = None) -> Trainer:
    """Return a trainer of it."""
    return Trainer(new_model(), loss=SquaredError(), optimizer=optimizer or Adam(0.01))


# ---- files


def damages(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield damaged versions of a file, for ever."""
    while True:
        at, other = rng.randrange(len(data)), rng.randrange(len(data))
        low, high = sorted((at, other))
        yield "a flipped bit", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        yield "another byte", data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        yield "cut off", data[:at]
        yield "a piece gone", data[:low] + data[high:]
        yield "a piece twice", data[:high] + data[low:]
        yield "a piece of zeros", data[:low] + bytes(high - low) + data[high:]
        yield "bytes before", rng.randbytes(rng.randrange(1, 40)) + data
        yield "bytes after", data + rng.randbytes(rng.randrange(1, 40))


def readers(folder: Path) -> Iterator[tuple[Path, Callable[[Path], Any]]]:
    """Yield a file of each kind, and what reads it: the numbers in it, in a form that can be compared."""
    model, trainer = new_model(), new_trainer()
    trainer.fit(X, TARGET, epochs=2, batch_size=8, verbose=0)
    own = {"Centred": Centred}
    for suffix in (".npz", ".safetensors"):
        path = folder / f"model{suffix}"
        nanonet.save(model, path)
        yield path, lambda place: picture(nanonet.load(place, layers=own))
    path = folder / "checkpoint.npz"
    trainer.save(path)

    def resumed(place: Path) -> str:
        other = new_trainer()
        before = digest(other)
        try:
            other.resume(place)
        except (ValueError, OSError):
            assert digest(other) == before, "a checkpoint that was refused has changed the trainer"
            raise
        return digest(other)

    yield path, resumed


def files(count: int, seed: int) -> Counts:
    """Read damaged files: each is refused with its name, or holds the same numbers."""
    rng, seen = random.Random(seed), Counts()
    with tempfile.TemporaryDirectory() as folder:
        kinds = list(readers(Path(folder)))
        for path, read in kinds:
            whole, data = read(path), path.read_bytes()
            for (what, damaged), _ in zip(damages(data, rng), range(count // len(kinds)), strict=False):
                path.write_bytes(damaged)
                try:
                    found = read(path)
                except (ValueError, OSError) as error:
                    if path.name not in str(error):
                        raise AssertionError(f"{what}: the error does not name the file") from error
                    seen["refused"] += 1
                else:
                    assert found == whole or damaged == data, f"{path.name}, {what}: loaded as other numbers"
                    seen["loaded as it was"] += 1
    return seen


# ---- signals


class Stop(BaseException):
    """What the handlers raise."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop


class Digests(Callback):
    """Keeps what a trainer is after each step."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def step_end(self, trainer: Trainer) -> None:
        self.seen.add(state(trainer))


def state(trainer: Trainer) -> str:
    """Return everything that a step changes, generators of batches aside."""
    numbers = [array.tobytes() for array in (trainer.model.vector.value, *trainer.stepper.states.values())]
    buffers = [layer.mean.value.tobytes() for layer in trainer.model if isinstance(layer, Centred)]
    return repr((trainer.steps, numbers, buffers))


def interrupted(trainer: Trainer, at: int, number: int) -> int:
    """Fit, with a signal at the at-th line that runs in nanonet; return how many lines ran."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None if event == "call" else trace
        if event == "line":
            count += 1
            if count == at:
                signal.raise_signal(number)
        return trace

    before = sys.gettrace()  # a coverage run's
    sys.settrace(trace)
    try:
        trainer.fit(X, TARGET, epochs=2, batch_size=8, verbose=0, shuffle=False)
    except (KeyboardInterrupt, Stop):
        pass
    finally:
        sys.settrace(before)
    return count


def signals(count: int, seed: int) -> Counts:
    """Interrupt a fit at drawn lines: the model is that of a whole step, and nothing is left locked or replaced."""
    rng, seen = random.Random(seed), Counts()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    kept = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _stop)
        handlers = {number: signal.getsignal(number) for number in numbers}
        for make in (lambda: SGD(0.1, momentum=0.9), lambda: Adam(0.01), lambda: nanonet.Rprop(0.01)):
            whole, digests = new_trainer(make()), Digests()
            digests.seen.add(state(whole))
            whole.fit(X, TARGET, epochs=2, batch_size=8, verbose=0, shuffle=False, callbacks=[digests])
            lines = interrupted(new_trainer(make()), -1, signal.SIGINT)
            for _ in range(count // 3):
                trainer, number = new_trainer(make()), rng.choice(numbers)
                interrupted(trainer, rng.randrange(1, lines), number)
                assert state(trainer) in digests.seen, "the model is that of no whole step"
                assert {each: signal.getsignal(each) for each in numbers} == handlers, "a handler was left in place"
                assert all(p.value.flags.writeable for p in trainer.model.parameters().values()), "left read-only"
                assert not any(callable(value) for layer in trainer.model for value in vars(layer).values())
                seen[signal.Signals(number).name] += 1
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    return seen


# ---- threads


def at_once(*calls: Callable[[], None]) -> list[BaseException]:
    """Run calls in threads of their own; return what they raised."""
    raised: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def threads(count: int, seed: int) -> Counts:
    """Fit, predict, fail and save side by side: each computes what it computes alone."""
    rng, seen = random.Random(seed), Counts()
    loss, optimizer = SquaredError(), SGD(0.01)

    def fit(model: Sequential) -> None:
        model.fit(X, TARGET, loss=loss, optimizer=optimizer, epochs=2, batch_size=8, verbose=0)

    alone = new_model()
    fit(alone)
    predictions = alone(X)
    saved = {name: array.tobytes() for name, array in alone.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shared.npz"
        nanonet.save(alone, path)
        for _ in range(count // 4):
            models = [new_model() for _ in range(4)]

            def fails(model: Sequential = models[0]) -> None:
                for _ in range(10):
                    try:
                        model(np.full((2, 4), np.nan) if rng.random() < 0.5 else [[1, 2]])
                    except ValueError:
                        seen["failed predictions"] += 1

            def predicts() -> None:
                for _ in range(10):
                    assert alone(X).tobytes() == predictions.tobytes(), "a prediction differs"
                    seen["predictions"] += 1

            def saves() -> None:
                nanonet.save(alone, path)
                loaded = nanonet.load(path, layers={"Centred": Centred}).state_dict()
                assert {name: array.tobytes() for name, array in loaded.items()} == saved, "another file"
                seen["saves to one path"] += 1

            raised = at_once(*(partial(fit, model) for model in models), fails, predicts, saves, saves)
            assert not raised, raised
            for model in models:
                assert picture(model) == picture(alone), "a fit beside others is not the fit alone"
                seen["fits"] += 1
    return seen


# ---- the command

PARTS = {"files": files, "signals": signals, "threads": threads}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("files", 20000), ("signals", 9000), ("threads", 4000)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name, part in PARTS.items():
        begun = time.monotonic()
        seen = part(getattr(arguments, name), arguments.seed)
        told = ", ".join(f"{count} {what}" for what, count in sorted(seen.items()))
        print(f"{name}: {told}; nothing wrong ({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
