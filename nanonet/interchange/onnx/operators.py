"""Operators: the ONNX operators that correspond to a single layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.expression import CLOSE
from nanonet.interchange.onnx.graph import FLOATS, Graph, Node
from nanonet.interchange.onnx.recognition import meant
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.linear import Linear
from nanonet.layers.softmax import LogSoftmax, Softmax

Reader = Callable[["Reached", Node], Layer | None]


class Sums(NamedTuple):
    """A Linear and the parameters that it gets when the model is built; its bias may come from a later operator."""

    layer: Linear
    weight: Numbers
    bias: Numbers | None

    @classmethod
    def of(cls, weight: Numbers, bias: Numbers | None) -> Sums:
        """Return the sums with a new layer."""
        outputs, inputs = weight.shape
        return cls(Linear(inputs, outputs) if bias is not None else Linear(inputs, outputs, bias=False), weight, bias)


class Reached:
    """The current value of a graph traversal, with its dtype and, if known, its shape without the batch axis."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.value, self.shape, self.dtype = graph, graph.input, graph.input_shape, graph.input_dtype
        self.sums: list[Sums] = []

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

    def row(self, name: str, outputs: int, axes: int) -> Numbers | None:
        """Return a constant as one number per output; None if it is not such a constant."""
        added = self.graph.constant(name)
        if added is None or added.ndim > axes or added.size not in (1, outputs) or added.dtype != self.dtype:
            return None
        if added.size > 1 and added.shape[-1] != outputs:
            return None
        return np.broadcast_to(added.reshape(-1), (outputs,))

    def with_bias(self, node: Node, layers: list[Layer]) -> Linear | None:
        """Return the last of the layers with a bias if it is a Linear to which the node adds one."""
        other = [name for name in node.inputs if name != self.value]
        if node.operator != "Add" or not layers or not isinstance(layers[-1], Linear) or len(other) != 1:
            return None
        _, weight, bias = self.sums[-1]
        row = self.row(other[0], len(weight), self.axes or 2)
        if row is None:
            return None
        self.sums[-1] = Sums.of(weight, row if bias is None else bias + row)
        return self.sums[-1].layer


def _sums(reached: Reached, node: Node) -> Layer:
    """Return Gemm's alpha A B + beta C, or MatMul's A B, where A is the current value."""
    matrix = reached.graph.constant(node.inputs[1]) if node.inputs[0] == reached.value else None
    if matrix is None or matrix.ndim != 2:
        got = "another value" if matrix is None else f"shape {matrix.shape}"
        raise ValueError(f"{node}: expected the chain's value times a constant of two axes, got {got}")
    if matrix.dtype != reached.dtype:
        raise ValueError(f"{node}: expected weights of {reached.dtype}, got {matrix.dtype}")
    if node.operator == "MatMul":
        weight, bias = matrix.T, None
    else:
        weight, bias = _gemm(reached, node, matrix)
    if reached.shape is not None:
        reached.shape = *reached.shape[:-1], len(weight)
    reached.sums.append(Sums.of(weight, bias))
    return reached.sums[-1].layer


def _gemm(reached: Reached, node: Node, matrix: Numbers) -> tuple[Numbers, Numbers | None]:
    """Return the weight alpha B and the bias beta C, if there is one."""
    if node.attributes["transA"]:
        raise ValueError(f"{node}: transposes its input (transA), which mixes the samples of a batch")
    if reached.axes not in (None, 2):
        raise ValueError(f"{node}: expected rows, got samples of shape {reached.shape}")
    reached.shape = reached.shape or (None,)
    weight = _times(node.attributes["alpha"], matrix if node.attributes["transB"] else matrix.T)
    if not node.inputs[2]:
        return weight, None
    added = reached.row(node.inputs[2], len(weight), axes=2)
    if added is None:
        raise ValueError(f"{node}: expected C as a constant, one number for each of {len(weight)} outputs")
    return weight, _times(node.attributes["beta"], added)


def _times(factor: float, array: Numbers) -> Numbers:
    return array if factor == 1 else array * array.dtype.type(factor)


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
    if node.attributes["to"] not in FLOATS:
        raise ValueError(f"{node}: expected a cast to float or double")
    reached.dtype = FLOATS[node.attributes["to"]]


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
    **{"Gemm": _sums, "MatMul": _sums},
    **{"Sigmoid": _plain(act.Sigmoid), "Tanh": _plain(act.Tanh), "Relu": _plain(act.ReLU)},
    **{"Softplus": _plain(act.Softplus), "Softsign": _plain(act.Softsign), "Identity": _plain(act.Identity)},
    "LeakyRelu": lambda reached, node: act.LeakyReLU(_alpha(node)),
    "Elu": lambda reached, node: act.ELU(_alpha(node)),
    **{"Selu": _selu, "Gelu": _gelu, "Swish": _swish},
    "Softmax": lambda reached, node: _along_last(reached, node, Softmax),
    "LogSoftmax": lambda reached, node: _along_last(reached, node, LogSoftmax),
    **{"Flatten": _flatten, "Reshape": _reshape, "Cast": _cast, "Dropout": _dropout},
}
"""The layer for each operator, or None if it has no effect."""
