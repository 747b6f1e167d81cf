"""Ours: nanonet's nets as the rows say them, on NumPy alone unless a measurement asks for more."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import nanonet
from tests.benchmarks.rows import BETAS, EPSILON, Matrix, Row

ACTIVATIONS: dict[str, Callable[[], nanonet.Layer]] = {
    "sigmoid": nanonet.Sigmoid,
    "relu": nanonet.ReLU,
    "tanh": nanonet.Tanh,
}


def takes(option: str) -> bool:
    """Tell whether a Trainer takes an option, such as ``fast``."""
    return option in inspect.signature(nanonet.Trainer).parameters


def trainer(row: Row, **options: Any) -> nanonet.Trainer:
    """Return the net of a row in training."""
    if takes("fast"):
        options = {"fast": False, **options}
    layers: list[nanonet.Layer] = []
    for weight, bias in row.start():
        linear = nanonet.Linear(weight.shape[1], weight.shape[0], weight=weight, bias=bias)
        layers += [linear, ACTIVATIONS[row.activation]()]
    if not row.ends_in_sigmoid:
        layers.pop()
    model = nanonet.Sequential(*layers, dtype=row.dtype)
    loss = nanonet.SquaredError() if row.loss == "squared" else nanonet.CrossEntropy()
    adam = row.optimizer == "adam"
    optimizer = nanonet.Adam(row.rate, betas=BETAS, epsilon=EPSILON) if adam else nanonet.SGD(row.rate)
    return nanonet.Trainer(model, loss=loss, optimizer=optimizer, rng=0, **options)


def weights(trained: nanonet.Trainer) -> list[Matrix]:
    """Return weights and biases, in order."""
    return [parameter.value for parameter in trained.model.parameters().values()]
