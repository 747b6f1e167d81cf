"""Row: a net, a batch and a rule that are timed, with the numbers that every framework starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]

RATES = {"sgd": 1e-3, "adam": 1e-4}
BETAS, EPSILON = (0.9, 0.999), 1e-6  # Adam's; a smaller epsilon makes whole steps of rounding errors


@dataclass(frozen=True)
class Row:
    """What is timed.

    Attributes
    ----------
    sizes : tuple of int
        Units of each layer, the inputs first.
    activation : str
        "sigmoid", "relu" or "tanh", between the layers; a sigmoid net has one after the last layer too.
    optimizer : str
        "sgd" or "adam".
    loss : str
        "squared", half the squares, or "cross-entropy".
    """

    sizes: tuple[int, ...]
    activation: str
    batch: int
    dtype: str
    optimizer: str
    loss: str = "squared"

    @property
    def name(self) -> str:
        """What the table calls it."""
        inner = set(self.sizes)
        deep = len(self.sizes) > 5 and len(inner) == 1
        net = f"{len(self.sizes) - 1} layers of {self.sizes[0]}" if deep else "-".join(map(str, self.sizes))
        kind = f"{net} {self.activation}, {self.batch}, f{self.dtype[-2:]}, {self.optimizer}"
        return f"{kind}, {self.loss}" if self.loss != "squared" else kind

    @property
    def rate(self) -> float:
        """The learning rate."""
        return RATES[self.optimizer]

    @property
    def ends_in_sigmoid(self) -> bool:
        """Whether the last layer has an activation."""
        return self.activation == "sigmoid"

    def start(self) -> list[tuple[Matrix, Matrix]]:
        """Return (weight, bias) of each layer, the same for everyone."""
        draw = np.random.default_rng(0)
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        return [
            (
                draw.normal(0, np.sqrt(2 / (below + above)), (above, below)).astype(self.dtype),
                draw.normal(0, 0.1, above).astype(self.dtype),
            )
            for below, above in pairs
        ]

    def data(self, samples: int | None = None) -> tuple[Matrix, Matrix]:
        """Return one batch, or as many samples as are asked for: x, and targets or labels."""
        draw, samples = np.random.default_rng(1), samples or self.batch
        x = draw.normal(size=(samples, self.sizes[0])).astype(self.dtype)
        if self.loss == "cross-entropy":
            return x, draw.integers(self.sizes[-1], size=samples)
        return x, draw.random((samples, self.sizes[-1])).astype(self.dtype)


TRAINING = [
    Row((2, 2, 2), "sigmoid", 1, "float64", "sgd"),
    Row((16,) * 51, "sigmoid", 16, "float32", "sgd"),
    Row((784, 300, 10), "sigmoid", 1, "float32", "sgd"),
    Row((784, 300, 10), "sigmoid", 32, "float32", "sgd"),
    Row((784, 300, 10), "sigmoid", 128, "float32", "sgd"),
    Row((8, 32, 32, 1), "relu", 32, "float32", "adam"),
    Row((784, 512, 512, 10), "relu", 128, "float32", "adam", "cross-entropy"),
    Row((1024, 2048, 2048, 10), "relu", 512, "float32", "sgd"),
    Row((1024, 2048, 2048, 10), "relu", 128, "float32", "adam", "cross-entropy"),
]

FULL = [  # batches of all samples
    Row((4, 32, 16, 4), "tanh", 10_000, "float32", "adam"),
    Row((10, 64, 64, 1), "tanh", 10_000, "float32", "adam"),
]

INFERENCE = [
    Row((784, 300, 10), "sigmoid", 1, "float32", "sgd"),
    Row((784, 300, 10), "sigmoid", 10_000, "float32", "sgd"),
]
