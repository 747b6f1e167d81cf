"""The most memory that a call takes, in multiples of the bytes of the parameters.

    python -m tests.memory [--parameters 25] [--only save]

Each row is a process of its own, which makes what the call needs, forgets what that took at its worst, and then makes
the call: the peak is that of the resident memory (VmHWM), beyond what the process held before it made the model. So a
model counts as 2, its values and their gradients, and a trainer with Adam as 4. Needs Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nanonet
from nanonet import Adam, Initializer, Layer, Linear, ReLU, Sequential, Shape, SquaredError, Trainer
from nanonet.checking.situations import example
from tests import ROOT

MILLION = 1_000_000


class Plain(Initializer):
    """Costs no memory to draw."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Any:
        return np.broadcast_to(np.float32(0.001), shape)


class Scene(NamedTuple):
    """What the rows are about: a model's size and a folder for files."""

    parameters: int
    folder: Path

    def model(self) -> Sequential:
        """Return a model of two large layers and a small one."""
        width = round((self.parameters / 2) ** 0.5)
        layers: list[Layer] = []
        for inputs, outputs in ((width, width), (width, width), (width, 10)):
            layers += [Linear(inputs, outputs, weight=Plain()), ReLU()]
        return Sequential(*layers, rng=0)

    def trainer(self) -> Trainer:
        return Trainer(self.model(), loss=SquaredError(), optimizer=Adam())

    def path(self, suffix: str) -> Path:
        return self.folder / f"net{suffix}"


Prepared = Callable[[], object]


def create(scene: Scene) -> Prepared:
    model = scene.model()
    return lambda: Trainer(model, loss=SquaredError(), optimizer=Adam())


def first_batch(scene: Scene) -> Prepared:
    trainer = scene.trainer()
    x, target = np.zeros((1, *example(trainer.model.input_shape or (), 1)), np.float32), np.ones((1, 10), np.float32)
    return lambda: trainer.fit(x, target, epochs=1, batch_size=1, verbose=0)


def trainer_save(scene: Scene) -> Prepared:
    trainer = scene.trainer()
    return lambda: trainer.save(scene.path(".npz"))


def trainer_resume(scene: Scene) -> Prepared:
    trainer = scene.trainer()
    trainer.save(scene.path(".npz"))
    return lambda: trainer.resume(scene.path(".npz"))


def save(scene: Scene, suffix: str) -> Prepared:
    model = scene.model()
    return lambda: nanonet.save(model, scene.path(suffix))


def load(scene: Scene, suffix: str) -> Prepared:
    nanonet.save(scene.model(), scene.path(suffix))
    return lambda: nanonet.load(scene.path(suffix))


ROWS: dict[str, Callable[[Scene], Prepared]] = {
    "Trainer(model, optimizer=Adam())": create,
    "trainer.fit, the first batch": first_batch,
    "trainer.save": trainer_save,
    "trainer.resume": trainer_resume,
    "save, .npz": lambda scene: save(scene, ".npz"),
    "save, .safetensors": lambda scene: save(scene, ".safetensors"),
    "load, .npz": lambda scene: load(scene, ".npz"),
    "load, .safetensors": lambda scene: load(scene, ".safetensors"),
}


def resident(field: str) -> int:
    """Return VmRSS or VmHWM in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) << 10


def measured(name: str, parameters: int) -> tuple[float, float]:
    """Return what a process holds before a call and at most during it, in multiples of the parameters."""
    with tempfile.TemporaryDirectory() as folder:
        ROWS[name](Scene(10_000, Path(folder)))()  # what the first call of its kind imports and keeps
        before = resident("VmRSS")
        call = ROWS[name](Scene(parameters, Path(folder)))
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        held = resident("VmRSS")
        result = call()
        peak = resident("VmHWM")
        del result
    return (held - before) / (4 * parameters), (peak - before) / (4 * parameters)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, default=25, help="in millions")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row is not None:
        print(*(f"{multiple:8.2f}" for multiple in measured(arguments.row, int(arguments.parameters * MILLION))))
        return
    print(f"{'bytes, over those of the parameters':36}  before  at most")
    for name in ROWS:
        if arguments.only in name:
            command = [sys.executable, "-m", "tests.memory", "--row", name, "--parameters", str(arguments.parameters)]
            told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            print(f"{name:36}{told.stdout.rstrip()}", flush=True)


if __name__ == "__main__":
    main()
