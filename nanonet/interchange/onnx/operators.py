"""Operators: the ONNX operators that correspond to a single layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.interchange.onnx.expression import CLOSE
from nanonet.interchange.onnx.graph import Graph, Node
from nanonet.interchange.onnx.recognition import meant
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.softmax import LogSoftmax, Softmax

Reader = Callable[["Reached", Node], Layer | None]


class Reached:
    """The current value of a graph traversal, with its dtype and, if known, its shape without the batch axis."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.value, self.shape, self.dtype = graph, graph.input, graph.input_shape, graph.input_dtype

    @property
    def axes(self) -> int | None:
        """The number of axes, including the batch axis; None if unknown."""
        return None if self.shape is None else 1 + len(self.shape)

    @property
    def size(self) -> int | None:
        """The number of entries per sample; None if unknown."""
        lengths = [] if self.shape is None else [length for length in self.shape if length is not None]
        return math.prod(lengths) if self.shape is not None and len(lengths) == len(self.shape) else None

    @property
    def stop(self) -> str:
        """A hint on how to stop here."""
        first = self.value == self.graph.input
        return "" if first else f"; to stop before it write load(path, output={self.value!r})"

    def put_last(self, length: int) -> None:
        """Change the length of the last axis."""
        if self.shape is not None:
            self.shape = *self.shape[:-1], length


def _along_last(reached: Reached, node: Node, layer: type[Layer]) -> Layer:
    axis = node.attributes["axis"]
    if axis not in (-1, (reached.axes or 0) - 1) or reached.axes == 1:
        raise ValueError(f"{node}: is along axis {axis}; nanonet's is along the last one")
    return layer()


def _flatten(reached: Reached, node: Node) -> Layer:
    axis = node.attributes["axis"]
    if axis != 1:
        raise ValueError(f"{node}: flattens from axis {axis}; nanonet's Flatten from axis 1")
    reached.shape = (reached.size,)
    return Flatten()


def _reshape(reached: Reached, node: Node) -> Layer | None:
    """Return Flatten, or None for a reshape that leaves each sample as it is."""
    wanted = reached.graph.constant(node.inputs[1])
    lengths = [] if wanted is None or wanted.ndim != 1 else [int(length) for length in wanted]
    keeps_batch = lengths[:1] == [reached.graph.batch] or (lengths[:1] == [0] and not node.attributes.get("allowzero"))
    if keeps_batch or lengths[:1] == [-1]:
        sample, size = tuple(lengths[1:]), reached.size
        if size is not None and sample == reached.shape:
            return None
        if len(sample) == 1 and (sample[0] == size or (keeps_batch and sample[0] == -1)):
            flat = reached.axes == 2
            reached.shape = (size,)
            return None if flat else Flatten()
    raise ValueError(
        f"{node}: to {lengths}, from samples of shape {reached.shape}; load takes only reshapes that leave "
        f"samples unchanged or flatten them{reached.stop}"
    )


def _cast(reached: Reached, node: Node) -> None:
    types = reached.graph.onnx.TensorProto
    dtypes: dict[int, Any] = {types.FLOAT: np.float32, types.DOUBLE: np.float64}
    if node.attributes["to"] not in dtypes:
        raise ValueError(f"{node}: expected a cast to float or double")
    reached.dtype = np.dtype(dtypes[node.attributes["to"]])


def _dropout(reached: Reached, node: Node) -> Layer:
    rate: Any = np.float32(node.attributes.get("ratio", 0.5))  # an attribute until opset 11, an input since
    for name, what in zip(node.inputs[1:], ("rate", "training mode"), strict=False):
        constant = reached.graph.constant(name) if name else None
        if name and (constant is None or constant.size != 1):
            raise ValueError(f"{node}: expected its {what}, {name}, as a constant of one number")
        if constant is not None and what == "rate":
            rate = constant.reshape(())[()]
        elif constant is not None and constant.any():
            raise ValueError(f"{node}: is active in inference too; export the model in evaluation mode")
    return Dropout(meant(rate))


def _selu(reached: Reached, node: Node) -> Layer:
    alpha, scale = node.attributes["alpha"], node.attributes["gamma"]
    if not np.allclose([alpha, scale], [act.SELU.alpha, act.SELU.scale], rtol=CLOSE):
        raise ValueError(f"{node}: with alpha {alpha:g} and gamma {scale:g}; nanonet's SELU has those of its paper")
    return act.SELU()


def _gelu(reached: Reached, node: Node) -> Layer:
    form = node.attributes["approximate"]
    if form not in ("none", "tanh"):
        raise ValueError(f"{node}: expected approximate as 'none' or 'tanh', got {form!r}")
    return GELU(approximate=form == "tanh")


def _swish(reached: Reached, node: Node) -> Layer:
    if node.attributes["alpha"] != 1:
        raise ValueError(f"{node}: with alpha {node.attributes['alpha']:g}; nanonet's SiLU has 1")
    return act.SiLU()


def _alpha(node: Node) -> float:
    return meant(np.float32(node.attributes["alpha"]))


def _plain(layer: type[Layer]) -> Reader:
    return lambda reached, node: layer()


READERS: dict[str, Reader] = {
    **{"Sigmoid": _plain(act.Sigmoid), "Tanh": _plain(act.Tanh), "Relu": _plain(act.ReLU)},
    **{"Softplus": _plain(act.Softplus), "Softsign": _plain(act.Softsign), "Identity": _plain(act.Identity)},
    "LeakyRelu": lambda reached, node: act.LeakyReLU(_alpha(node)),
    "Elu": lambda reached, node: act.ELU(_alpha(node)),
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
"""The layer for each operator, or None if it has no effect."""
