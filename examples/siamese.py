"""A siamese net: one net looks at two images, and their codes tell whether both show the same digit.

It is trained on pairs of the digits 0 to 7 only, and then also asked about 8 and 9, which it has never seen: eight
digits are too few to learn from what makes any two shapes differ. Needs scikit-learn for its data: pip install
'nanonet[examples]'
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

from nanonet import (
    Adam,
    Array,
    BinaryCrossEntropy,
    Composite,
    Conv2d,
    CosineRate,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Reshape,
    Sequential,
    Shape,
    binary_accuracy,
    check_gradients,
)

Numbers = npt.NDArray[Any]


class SquaredDifference(Layer):
    """y = (x0 - x1)^2, feature by feature."""

    several_inputs = True

    def forward(self, x: tuple[Array, Array], *, training: bool = False) -> tuple[Array, Array]:
        difference = x[0] - x[1]
        return difference**2, difference

    def backward(self, grad: Array, cache: Array) -> Any:
        slope = 2 * grad * cache
        return slope, -slope

    def output_shape(self, input_shape: tuple[Shape, Shape]) -> Shape:
        return input_shape[0]


class Siamese(Composite):
    """head((code(x0) - code(x1))^2): code is called twice, and its gradients are added."""

    several_inputs = True

    def __init__(self, code: Layer, head: Layer) -> None:
        self.code, self.difference, self.head = code, SquaredDifference(), head

    def wire(self, call: Any, x: Any) -> Any:
        one, other = x
        return call(self.head, call(self.difference, (call(self.code, one), call(self.code, other))))


def pairs(x: Numbers, labels: Numbers, count: int, rng: np.random.Generator) -> tuple[tuple[Numbers, Numbers], Numbers]:
    """Return images (one, other), and 1 where both show the same digit, else 0; half of them do."""
    one, same = rng.integers(len(x), size=count), np.arange(count) % 2
    other = np.array([rng.choice(np.flatnonzero((labels == labels[i]) == s)) for i, s in zip(one, same, strict=True)])
    return (x[one], x[other]), same[:, None]


def main() -> None:
    x, labels = load_digits(return_X_y=True)
    x = x / 16
    rng = np.random.default_rng(0)
    known = rng.permutation(np.flatnonzero(labels < 8))
    train, test, strange = known[300:], known[:300], np.flatnonzero(labels >= 8)

    layers = [Reshape(1, 8, 8), Conv2d(1, 16, 3, padding=1), ReLU(), MaxPool2d(2), Flatten(), Linear(256, 32)]
    siamese = Siamese(Sequential(*layers, rng=0), Linear(32, 1))
    print(check_gradients(siamese, ((64,), (64,))))

    model = Sequential(siamese, rng=0)
    optimizer = Adam(CosineRate(2e-3, steps=20 * 125))
    images, same = pairs(x[train], labels[train], 8000, rng)
    history = model.fit(
        images, same, loss=BinaryCrossEntropy(), optimizer=optimizer, epochs=20, batch_size=64, verbose=0
    )
    print(f"\nloss {history['loss'][0]:.4f} in the first epoch, {history['loss'][-1]:.4f} in the last")
    print("right on 2000 pairs, half of which show the same digit:")
    for name, part in (("new images of 0 to 7", test), ("8 and 9, never seen", strange)):
        images, same = pairs(x[part], labels[part], 2000, rng)
        print(f"  {name}: {binary_accuracy(model.predict(images), same):.1%}")


if __name__ == "__main__":
    main()
