"""Operators: what becomes of each of ONNX's that is a layer of nanonet by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.activations import ELU, GELU, SELU, Identity, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Softsign, Tanh
from nanonet.interchange.onnx_graph import Graph, Node
from nanonet.layer import Layer
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.softmax import LogSoftmax, Softmax

NO_ERF = "GELU with erf, which NumPy does not have; train and export GELU(approximate='tanh') instead"


class Reached:
    """The value that a walk through a graph has reached, and its shape, without the batch axis, where it is known."""

    def __init__(self, graph: Graph, value: str, shape: tuple[int | None, ...] | None) -> None:
        self.graph, self.value, self.shape = graph, value, shape

    @property
    def axes(self) -> int | None:
        """How many axes it has, the batch's among them; None where that is unknown."""
        return None if self.shape is None else 1 + len(self.shape)

    @property
    def size(self) -> int | None:
        """How many numbers a sample has; None where that is unknown."""
        lengths = [] if self.shape is None else [length for length in self.shape if length is not None]
        return math.prod(lengths) if self.shape is not None and len(lengths) == len(self.shape) else None

    @property
    def stop(self) -> str:
        """What to type to stop here."""
        first = self.value == self.graph.input
        return "" if first else f"; to stop before it write load(path, output={self.value!r})"

    def put_last(self, length: int) -> None:
        """Give the last axis another length."""
        if self.shape is not None:
            self.shape = *self.shape[:-1], length


def _along_last(reached: Reached, node: Node, layer: type[Layer]) -> Layer:
    axis = node.number("axis", -1 if reached.graph.opset >= 13 else 1)
    if axis != -1 and (reached.axes is None or axis != reached.axes - 1):
        raise ValueError(f"{node}: goes along axis {axis}; nanonet's goes along the last one")
    return layer()


def _flatten(reached: Reached, node: Node) -> Layer:
    if node.number("axis", 1) != 1:
        raise ValueError(f"{node}: flattens from axis {node.number('axis', 1)}; nanonet's Flatten from axis 1")
    reached.shape = (reached.size,)
    return Flatten()


def _reshape(reached: Reached, node: Node) -> Layer | None:
    """Return Flatten, or None for a reshape that leaves each sample as it is."""
    wanted = reached.graph.constant(node.inputs[1])
    lengths = [] if wanted is None or wanted.ndim != 1 else [int(length) for length in wanted]
    keeps_batch = lengths[:1] == [reached.graph.batch] or (lengths[:1] == [0] and not node.number("allowzero", 0))
    if keeps_batch or lengths[:1] == [-1]:
        sample, size = tuple(lengths[1:]), reached.size
        if size is not None and sample == reached.shape:
            return None
        if len(sample) == 1 and (sample[0] == size or (keeps_batch and sample[0] == -1)):
            flat = reached.axes == 2
            reached.shape = (size,)
            return None if flat else Flatten()
    raise ValueError(
        f"{node}: to {lengths}, from samples of shape {reached.shape}; load takes what leaves samples as they are, or "
        f"flattens them{reached.stop}"
    )


def _cast(reached: Reached, node: Node) -> None:
    types = reached.graph.onnx.TensorProto
    if node.number("to", 0) not in (types.FLOAT, types.DOUBLE):
        raise ValueError(f"{node}: to another type than float or double")


def _dropout(reached: Reached, node: Node) -> Layer:
    rate, training = ([*map(reached.graph.constant, node.inputs[1:3]), None, None])[:2]
    if training is not None and training.any():
        raise ValueError(f"{node}: drops in inference too; export the model in evaluation mode")
    return Dropout(_short(np.float32(node.number("ratio", 0.5)) if rate is None else rate.reshape(-1)[0]))


def _selu(reached: Reached, node: Node) -> Layer:
    alpha, scale = node.number("alpha", SELU.alpha), node.number("gamma", SELU.scale)
    if not np.allclose([alpha, scale], [SELU.alpha, SELU.scale], rtol=1e-5):
        raise ValueError(f"{node}: with alpha {alpha:g} and gamma {scale:g}; nanonet's SELU has those of its paper")
    return SELU()


def _gelu(reached: Reached, node: Node) -> Layer:
    if node.text("approximate", "none") != "tanh":
        raise ValueError(f"{node}: {NO_ERF}")
    return GELU()


def _swish(reached: Reached, node: Node) -> Layer:
    if node.number("alpha", 1.0) != 1:
        raise ValueError(f"{node}: with alpha {node.number('alpha', 1.0):g}; nanonet's SiLU has 1")
    return SiLU()


def _alpha(node: Node, default: float) -> float:
    return _short(np.float32(node.number("alpha", default)))


def _short(number: Any) -> float:
    """Return a float32 as the number that was meant: 0.1 for 0.10000000149."""
    return float(str(number)) if isinstance(number, np.float32) else float(number)


READERS: dict[str, Callable[[Reached, Node], Layer | None]] = {
    "Sigmoid": lambda reached, node: Sigmoid(),
    "Tanh": lambda reached, node: Tanh(),
    "Relu": lambda reached, node: ReLU(),
    "Softplus": lambda reached, node: Softplus(),
    "Softsign": lambda reached, node: Softsign(),
    "Identity": lambda reached, node: Identity(),
    "LeakyRelu": lambda reached, node: LeakyReLU(_alpha(node, 0.01)),
    "Elu": lambda reached, node: ELU(_alpha(node, 1.0)),
    "Selu": _selu,
    "Gelu": _gelu,
    "Swish": _swish,
    "Softmax": lambda reached, node: _along_last(reached, node, Softmax),
    "LogSoftmax": lambda reached, node: _along_last(reached, node, LogSoftmax),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Cast": _cast,
    "Dropout": _dropout,
}
"""A layer for an operator, or None where it changes nothing."""
