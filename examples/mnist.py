"""Reproduce published results on MNIST's handwritten digits, and print them next to nanonet's.

    python examples/mnist.py --data DIR --preset nielsen30 --rng 0 1 2

DIR holds the four standard IDX files, plain or .gz. The test set is used once, at the end of a run, except where the
published protocol uses it after every epoch. Learning rates and epochs were chosen with --validate, which holds out
the last 10,000 training images and does not use the test set.
"""

import argparse
import gzip
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    SGD,
    Adadelta,
    Adam,
    AdamW,
    Callback,
    Checkpoint,
    Conv2d,
    CosineRate,
    CrossEntropy,
    Dropout,
    Flatten,
    GlorotUniform,
    HeNormal,
    Layer,
    Linear,
    Loss,
    MaxPool2d,
    Normal,
    Optimizer,
    ReLU,
    Reshape,
    RMSprop,
    Sequential,
    Sigmoid,
    SquaredError,
    Trainer,
    accuracy,
)

HELD_OUT = 10_000  # of the training images, for --validate

# ---- the data


def read_idx(folder: Path, name: str) -> npt.NDArray[np.uint8]:
    """Return the array of an IDX file: two zero bytes, the type, the number of axes, their lengths, the numbers."""
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise SystemExit(f"{folder}: found neither {name} nor {name}.gz")
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (gzip.BadGzipFile, EOFError) as error:
        raise SystemExit(f"{path}: {error}") from None
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise SystemExit(f"{path}: expected an IDX file of bytes, which begins with 00 00 08, got {data[:3].hex(' ')}")
    shape = np.frombuffer(data, ">u4", data[3], offset=4)
    numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * data[3])
    if numbers.size != shape.prod(dtype=int):
        raise SystemExit(f"{path}: expected {shape.prod(dtype=int)} numbers for shape {shape}, got {numbers.size}")
    return numbers.reshape(shape)


@dataclass
class Images:
    """Images as rows of 784 numbers from 0 to 1, and their labels."""

    x: npt.NDArray[np.floating[Any]]
    labels: npt.NDArray[np.intp]

    @classmethod
    def read(cls, folder: Path, kind: str, divisor: int = 255, dtype: npt.DTypeLike = np.float32) -> "Images":
        pixels = read_idx(folder, f"{kind}-images-idx3-ubyte")
        labels = read_idx(folder, f"{kind}-labels-idx1-ubyte")
        if len(pixels) != len(labels):
            raise SystemExit(f"{folder}: {len(pixels)} {kind} images but {len(labels)} labels")
        x = pixels.reshape(len(pixels), -1).astype(dtype)
        x /= divisor
        return cls(x, labels.astype(np.intp))

    def __getitem__(self, part: slice) -> "Images":
        return Images(self.x[part], self.labels[part])

    def target(self, loss: Loss) -> npt.NDArray[Any]:
        """Return labels or one-hot rows, whichever the loss takes."""
        return self.labels if loss.integer_target else np.eye(10, dtype=np.float32)[self.labels]


# ---- the presets


@dataclass(frozen=True)
class Preset:
    """A net, its training settings, and the published result."""

    published: str
    net: Callable[[], list[Layer]]
    loss: Loss
    optimizer: Callable[[int], Optimizer]  # given the number of steps
    batch_size: int
    epochs: int
    train_on: int = 60_000
    best_epoch: bool = False  # whether the published result is that of the best epoch
    divisor: int = 255  # of the pixels
    dtype: npt.DTypeLike = np.float32


def nielsen(hidden: int) -> list[Layer]:
    start = Normal(1)
    first, last = Linear(784, hidden, weight=start, bias=start), Linear(hidden, 10, weight=start, bias=start)
    return [first, Sigmoid(), last, Sigmoid()]


def lecun(*hidden: int) -> list[Layer]:
    net: list[Layer] = []
    for below, above in zip((784, *hidden), (*hidden, 10), strict=True):
        net += [Linear(below, above), Sigmoid()]
    return net


def simard() -> list[Layer]:
    return [Linear(784, 800, weight=HeNormal()), ReLU(), Linear(800, 10)]


def keras() -> list[Layer]:
    first, second = [Linear(784, 512), ReLU(), Dropout(0.2)], [Linear(512, 512), ReLU(), Dropout(0.2)]
    return [*first, *second, Linear(512, 10)]


def lenet5() -> list[Layer]:
    first = [Reshape(1, 28, 28), Conv2d(1, 6, 5, padding=2), ReLU(), MaxPool2d(2)]
    second = [Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Flatten()]
    return [*first, *second, Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, 10)]


def keras_cnn() -> list[Layer]:
    start = GlorotUniform()  # as in Keras
    first = [Reshape(1, 28, 28), Conv2d(1, 32, 3, weight=start), ReLU()]
    second = [Conv2d(32, 64, 3, weight=start), ReLU(), MaxPool2d(2), Dropout(0.25), Flatten()]
    return [*first, *second, Linear(9216, 128), ReLU(), Dropout(0.5), Linear(128, 10)]


def nielsen_preset(hidden: int, published: str) -> Preset:
    return Preset(
        published,
        lambda: nielsen(hidden),
        SquaredError(),
        lambda steps: SGD(3.0),
        batch_size=10,
        epochs=30,
        train_on=50_000,
        best_epoch=True,
        divisor=256,  # as in the file that he read,
        dtype=np.float64,  # and what his program computes in
    )


def lecun_preset(*hidden: int, published: str) -> Preset:
    return Preset(
        f"{published} % test error (LeCun et al. 1998)",
        lambda: lecun(*hidden),
        SquaredError(),
        lambda steps: Adam(CosineRate(1e-3, steps)),
        batch_size=32,
        epochs=20,
    )


PRESETS = {
    "nielsen30": nielsen_preset(
        30, "95.42 %, the best epoch of the best of three runs; 91.29 % after one (Nielsen, ch. 1)"
    ),
    "nielsen100": nielsen_preset(100, "96.59 %, with quite some variation (Nielsen, ch. 1)"),
    "lecun300": lecun_preset(300, published="4.7"),
    "lecun300_100": lecun_preset(300, 100, published="3.05"),
    "lecun500_150": lecun_preset(500, 150, published="2.95"),
    "simard800": Preset(
        "1.6 % test error (Simard et al. 2003, cross-entropy, no distortions)",
        simard,
        CrossEntropy(label_smoothing=0.1),
        lambda steps: AdamW(CosineRate(1e-3, steps), weight_decay=0.3),
        batch_size=128,
        epochs=40,
    ),
    "keras512": Preset(
        "98.40 % (the Keras example)",
        keras,
        CrossEntropy(),
        lambda steps: RMSprop(CosineRate(1e-3, steps), smoothing=0.9, epsilon=1e-7),
        batch_size=128,
        epochs=20,
    ),
    "lenet5": Preset(
        "0.95 % test error (LeCun et al. 1998, LeNet-5, no distortions)",
        lenet5,
        CrossEntropy(label_smoothing=0.1),
        lambda steps: AdamW(CosineRate(2e-3, steps), weight_decay=0.1),
        batch_size=32,
        epochs=20,
    ),
    "keras_cnn": Preset(
        "99.25 % after 12 epochs (the Keras example mnist_cnn)",
        keras_cnn,
        CrossEntropy(),
        lambda steps: Adadelta(1.0, smoothing=0.95, epsilon=1e-7),
        batch_size=128,
        epochs=12,
    ),
}

# ---- a run


class Watch(Callback):
    """Measures and prints the accuracy after every epoch."""

    def __init__(self, images: Images) -> None:
        self.images, self.reached = images, list[float]()

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        return {"reached": self.reached}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.reached = state["reached"].tolist()

    def epoch_end(self, trainer: Trainer) -> None:
        self.reached.append(measure(trainer.model.predict, self.images))
        loss = trainer.history["loss"][-1]
        print(f"  epoch {trainer.epoch:2d}  loss {loss:.5f}  accuracy {self.reached[-1]:.2%}", flush=True)


def measure(predict: Callable[..., npt.NDArray[Any]], images: Images) -> float:
    return accuracy(predict(images.x, batch_size=1000), images.labels)


def run(preset: Preset, train: Images, test: Images, rng: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Train once; return the accuracy at the end, and that of the best epoch if every epoch is measured."""
    steps = -(-len(train.x) // preset.batch_size) * arguments.epochs
    model = Sequential(*preset.net(), dtype=preset.dtype, rng=rng)
    trainer = Trainer(model, loss=preset.loss, optimizer=preset.optimizer(steps))
    watch = Watch(test)
    callbacks: list[Callback] = [watch] if preset.best_epoch or arguments.validate else []
    if arguments.checkpoint is not None:
        callbacks.append(Checkpoint(arguments.checkpoint))
        if arguments.checkpoint.exists():
            trainer.resume(arguments.checkpoint)
            print(f"{arguments.checkpoint}: resuming after epoch {trainer.history.epochs}")
    begun = time.perf_counter()
    trainer.fit(
        train.x,
        train.target(preset.loss),
        until_epoch=arguments.epochs,
        batch_size=preset.batch_size,
        callbacks=callbacks,
        verbose=arguments.verbose,
    )
    took = time.perf_counter() - begun
    reached = measure(model.predict, test)
    best = max([reached, *watch.reached])
    best_text = f", best epoch {best:.2%}" if watch.reached else ""
    print(f"rng {rng}: {reached:.2%}, test error {1 - reached:.2%}{best_text}, {took:.1f} s", flush=True)
    return reached, best


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a net on MNIST and compare it with what was published.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds the four IDX files")
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--rng", type=int, nargs="+", default=[0], metavar="N", help="one run for each; default: 0")
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument("--validate", action="store_true", help="measure on the last 10,000 training images")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE.npz", help="save every epoch, and resume from it")
    parser.add_argument("--verbose", type=int, choices=(0, 1, 2), help="progress: 0 none, 1 always, 2 a line an epoch")
    chosen = parser.parse_args(arguments)
    preset: Preset = PRESETS[chosen.preset]
    chosen.epochs = preset.epochs if chosen.epochs is None else chosen.epochs
    if chosen.checkpoint is not None and len(chosen.rng) > 1:
        parser.error("--checkpoint is for one run: give one --rng")

    train, test = (Images.read(chosen.data, kind, preset.divisor, preset.dtype) for kind in ("train", "t10k"))
    if chosen.validate:
        train, test = train[:-HELD_OUT], train[-HELD_OUT:]
    train = train[: preset.train_on]
    print(f"{chosen.preset}: {len(train.x)} images, batches of {preset.batch_size}, {chosen.epochs} epochs")
    runs = [run(preset, train, test, rng, chosen) for rng in chosen.rng]
    ends = [reached for reached, _ in runs]
    print(f"published: {preset.published}")
    best_text = f", the best epoch of the best {max(best for _, best in runs):.2%}" if preset.best_epoch else ""
    where = f"the last {HELD_OUT:,} training images" if chosen.validate else "the test set"
    print(
        f"here, on {where}: mean {statistics.mean(ends):.2%}, error {1 - statistics.mean(ends):.2%}, "
        f"median {statistics.median(ends):.2%} of {len(ends)}{best_text}"
    )


if __name__ == "__main__":
    main()
