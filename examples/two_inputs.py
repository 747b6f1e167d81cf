"""Two inputs and two losses: from the image of a digit and a number, the digit and the product of both.

The image passes through a convolution and the number through an Embedding; joined, they lead to ten logits and to one
number, each with a loss of its own. Needs scikit-learn for its data: pip install 'nanonet[examples]'
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from nanonet import (
    Adam,
    Concatenate,
    Conv2d,
    CosineRate,
    CrossEntropy,
    Embedding,
    Flatten,
    Fork,
    Linear,
    MaxPool2d,
    MeanSquaredError,
    Parallel,
    ReLU,
    Reshape,
    Sequential,
    Together,
    accuracy,
)

Numbers = npt.NDArray[Any]
SCALE = 20.0  # of the products, so that both losses count


def net() -> Sequential:
    layers = [Reshape(1, 8, 8), Conv2d(1, 16, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(256, 64)]
    image = Sequential(*layers, rng=0)
    return Sequential(
        Parallel(image, Embedding(10, 16)),
        Concatenate(),
        ReLU(),
        Linear(80, 64),
        ReLU(),
        Fork(Linear(64, 10), Linear(64, 1)),
        rng=0,
    )


def drawn(images: Numbers, digits: Numbers, rng: np.random.Generator) -> tuple[tuple[Numbers, Numbers], Any]:
    """Return (images, numbers), a random number beside each image, and the targets (digits, products)."""
    numbers = rng.integers(10, size=len(images))
    return (images, numbers), (digits, (digits * numbers / SCALE)[:, None])


def main() -> None:
    x, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(x))
    train, test = np.tile(order[360:], 5), order[:360]  # each training image with five numbers
    x_train, target_train = drawn(x[train] / 16, digits[train], rng)
    x_test, target_test = drawn(x[test] / 16, digits[test], rng)

    model, loss = net(), Together(CrossEntropy(), MeanSquaredError(), weights=(0.5, 1.0))
    rate = CosineRate(3e-3, steps=20 * -(-len(train) // 64))
    history = model.fit(x_train, target_train, loss=loss, optimizer=Adam(rate), epochs=20, batch_size=64, verbose=0)
    print(f"both losses together: {history['loss'][0]:.4f} in the first epoch, {history['loss'][-1]:.4f} in the last")

    logits, products = model.predict(x_test)
    off = np.abs(SCALE * (products - target_test[1]))
    guess = np.abs(SCALE * (target_train[1].mean() - target_test[1]))
    print(f"on {len(test)} images held out:")
    print(f"  digits right: {accuracy(logits, target_test[0]):.1%}")
    print(f"  products off by {off.mean():.2f} on average, by {np.median(off):.2f} in the median")
    print(f"  always the mean product would be off by {guess.mean():.2f} on average")


if __name__ == "__main__":
    main()
