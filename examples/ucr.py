"""Time series of the UCR archive, by the nets and the protocol of Wang, Yan and Oates (2017): MLP, FCN and ResNet.

    python examples/ucr.py --data DIR --name GunPoint --net fcn --rng 0 1 2 3 4

DIR holds GunPoint/GunPoint_TRAIN.ts and so on; the package aeon has some series, in its folder datasets/data. Here are
fewer epochs than the 5000, 2000 and 1500 of the authors, whose number --epochs takes.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    Adadelta,
    Adam,
    Add,
    BatchNorm,
    Conv1d,
    CrossEntropy,
    Dropout,
    EarlyStopping,
    Fork,
    GlobalAvgPool,
    Layer,
    Linear,
    ReduceOnPlateau,
    ReLU,
    Reshape,
    Sequential,
    Trainer,
    accuracy,
)

Numbers = npt.NDArray[Any]
EPOCHS = {"mlp": 1000, "fcn": 300, "resnet": 300}
PUBLISHED = {  # in per cent, means and deviations of ten runs: Fawaz et al. 2019, who ran the authors' nets again
    "ArrowHead": {"mlp": "77.8 (1.2)", "fcn": "84.3 (1.5)", "resnet": "84.5 (1.2)"},
    "GunPoint": {"mlp": "92.7 (1.1)", "fcn": "100.0 (0.0)", "resnet": "99.1 (0.7)"},
    "ItalyPowerDemand": {"mlp": "95.4 (0.2)", "fcn": "96.1 (0.3)", "resnet": "96.3 (0.4)"},
    "OSULeaf": {"mlp": "55.7 (1.0)", "fcn": "97.7 (0.9)", "resnet": "97.9 (0.8)"},
}


class Halve(ReduceOnPlateau):
    """Halves the learning rate when the training loss no longer falls, but to no less than a tenth."""

    def epoch_end(self, trainer: Trainer) -> None:
        super().epoch_end(trainer)
        trainer.rate_factor = max(trainer.rate_factor, 0.1)


def mlp(length: int, classes: int, rng: np.random.Generator) -> Sequential:
    layers: list[Layer] = [Dropout(0.1)]
    for inputs, rate in ((length, 0.2), (500, 0.2), (500, 0.3)):
        layers += [Linear(inputs, 500), ReLU(), Dropout(rate)]
    return Sequential(*layers, Linear(500, classes), rng=rng)


def conv(inputs: int, outputs: int, kernel: int) -> list[Layer]:
    return [Conv1d(inputs, outputs, kernel, padding="same"), BatchNorm(outputs)]


def fcn(length: int, classes: int, rng: np.random.Generator) -> Sequential:
    layers: list[Layer] = [Reshape(1, length)]
    for inputs, outputs, kernel in ((1, 128, 8), (128, 256, 5), (256, 128, 3)):
        layers += [*conv(inputs, outputs, kernel), ReLU()]
    return Sequential(*layers, GlobalAvgPool(), Linear(128, classes), rng=rng)


def resnet(length: int, classes: int, rng: np.random.Generator) -> Sequential:
    layers: list[Layer] = [Reshape(1, length)]
    for inputs, outputs in ((1, 64), (64, 128), (128, 128)):
        path = [*conv(inputs, outputs, 8), ReLU(), *conv(outputs, outputs, 5), ReLU(), *conv(outputs, outputs, 3)]
        shortcut = [BatchNorm(outputs)] if inputs == outputs else conv(inputs, outputs, 1)
        layers += [Fork(Sequential(*path, rng=rng), Sequential(*shortcut, rng=rng)), Add(), ReLU()]
    return Sequential(*layers, GlobalAvgPool(), Linear(128, classes), rng=rng)


NETS = {"mlp": mlp, "fcn": fcn, "resnet": resnet}


def read(path: Path) -> tuple[Numbers, list[str]]:
    """Return the series of a .ts file as rows, and their classes."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from None
    rows = [line.rsplit(":", 1) for line in lines if line and line[0] not in "#@"]
    return np.array([numbers.split(",") for numbers, _ in rows], dtype=float), [name.strip() for _, name in rows]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Classify series of the UCR archive.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds a folder for each name")
    parser.add_argument("--name", required=True, help="such as GunPoint")
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--epochs", type=int, help=f"default: {EPOCHS}")
    parser.add_argument("--rng", type=int, nargs="+", default=[0], metavar="N", help="one run for each; default: 0")
    chosen = parser.parse_args(arguments)
    (x, names), (new, new_names) = (
        read(chosen.data / chosen.name / f"{chosen.name}_{kind}.ts") for kind in ("TRAIN", "TEST")
    )
    classes = sorted(set(names))
    labels, new_labels = (np.array([classes.index(name) for name in part]) for part in (names, new_names))
    mean, deviation = x.mean(), x.std()  # of all numbers together, as the authors have it
    x, new = (x - mean) / deviation, (new - mean) / deviation
    epochs, batch = chosen.epochs or EPOCHS[chosen.net], min(len(x) // 10, 16)
    print(f"{chosen.name}, {chosen.net}: {x.shape[0]} series of {x.shape[1]}, batches of {batch}, {epochs} epochs")

    reached = []
    for rng in chosen.rng:
        begun = time.perf_counter()
        model = NETS[chosen.net](x.shape[1], len(classes), np.random.default_rng(rng))
        optimizer = Adadelta(1.0, smoothing=0.95, epsilon=1e-8) if chosen.net == "mlp" else Adam(1e-3)
        patience = 200 if chosen.net == "mlp" else 50
        callbacks = [Halve("loss", patience, factor=0.5), EarlyStopping("loss", epochs)]  # the latter restores the best
        settings: Any = {"epochs": epochs, "batch_size": batch, "callbacks": callbacks, "verbose": 0}
        history = model.fit(x, labels, loss=CrossEntropy(), optimizer=optimizer, **settings)
        reached.append(accuracy(model.predict(new, batch_size=100), new_labels))
        took = time.perf_counter() - begun
        print(
            f"rng {rng}: {reached[-1]:.2%}, lowest training loss {min(history['loss']):.5f}, {took:.1f} s", flush=True
        )
    if chosen.name in PUBLISHED:
        print(f"published: {PUBLISHED[chosen.name][chosen.net]}")
    spread = f", deviation {statistics.stdev(reached):.2%}" if len(reached) > 1 else ""
    print(f"on the {len(new)} test series: mean {statistics.mean(reached):.2%} of {len(reached)}{spread}")


if __name__ == "__main__":
    main()
