"""LeNet-5 on scikit-learn's handwritten digits, or with --data on MNIST; mnist.py has published nets and results.

    python examples/lenet.py
    python examples/lenet.py --data DIR --epochs 3

Needs scikit-learn for its data: pip install 'nanonet[examples]'. DIR holds the four IDX files of MNIST, plain or .gz.
"""

import argparse
import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    Adam,
    Conv2d,
    CosineRate,
    CrossEntropy,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    Upsample,
    ZeroPad2d,
    accuracy,
)

Numbers = npt.NDArray[Any]
BATCH = 32


def lenet(entrance: Layer) -> Sequential:
    """LeCun's layers (1998), behind one that makes images of 32 x 32; he had tanh, and trainable means for pooling."""
    first = [entrance, Conv2d(1, 6, 5), ReLU(), MaxPool2d(2)]
    second = [Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Flatten()]
    return Sequential(*first, *second, Linear(400, 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, 10), rng=0)


def small_digits() -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return 1437 training images of shape (1, 8, 8) and their labels, and 360 others."""
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[360:], order[:360]
    images = x.reshape(-1, 1, 8, 8) / 16
    return images[train], labels[train], images[test], labels[test]


def read(folder: Path, name: str) -> Numbers:
    """Return the bytes of an IDX file as an array."""
    path = folder / name if (folder / name).is_file() else folder / f"{name}.gz"
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        data = file.read()
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(np.frombuffer(data, ">u4", data[3], offset=4))


def mnist(folder: Path) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return the training images of shape (1, 28, 28) and their labels, and the test set."""
    parts: list[Numbers] = []
    for kind in ("train", "t10k"):
        images = read(folder, f"{kind}-images-idx3-ubyte")[:, None].astype(np.float32) / 255
        parts += [images, read(folder, f"{kind}-labels-idx1-ubyte").astype(int)]
    return parts[0], parts[1], parts[2], parts[3]


def main() -> None:
    parser = argparse.ArgumentParser(description="Train LeNet-5 on handwritten digits.")
    parser.add_argument("--data", type=Path, metavar="DIR", help="MNIST's folder; default: scikit-learn's digits")
    parser.add_argument("--epochs", type=int, help="default: 20, or 3 on MNIST")
    chosen = parser.parse_args()
    x, labels, new, new_labels = mnist(chosen.data) if chosen.data else small_digits()
    epochs = chosen.epochs or (3 if chosen.data else 20)
    model = lenet(ZeroPad2d(2) if chosen.data else Upsample(scale_factor=4))
    shape: Any = x.shape[1:]
    for layer in model:
        shape = layer.output_shape(shape)
        print(f"{layer!r:28} {shape}")

    rate = CosineRate(2e-3, steps=epochs * -(-len(x) // BATCH))
    begun = time.perf_counter()
    shown = None if chosen.data else 0  # progress, if it takes long
    history = model.fit(
        x, labels, loss=CrossEntropy(), optimizer=Adam(rate), epochs=epochs, batch_size=BATCH, verbose=shown
    )
    took = time.perf_counter() - begun
    print(f"\nloss {history['loss'][0]:.4f} in the first epoch, {history['loss'][-1]:.4f} in the last; {took:.1f} s")
    right = accuracy(model.predict(new, batch_size=500), new_labels)
    print(f"accuracy on the {len(new)} digits held out: {right:.1%}")


if __name__ == "__main__":
    main()
