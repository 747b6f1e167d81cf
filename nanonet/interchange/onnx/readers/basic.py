"""Basic: the readers of products and tables, of activations, and of what only changes axes or scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.expression import CLOSE
from nanonet.interchange.onnx.graph import FLOATS, Node
from nanonet.interchange.onnx.reached import Reached
from nanonet.interchange.onnx.readers.attention import attention
from nanonet.interchange.onnx.readers.norms import group_norm
from nanonet.interchange.onnx.readers.recurrent import recurrent
from nanonet.interchange.onnx.recognition import meant
from nanonet.interchange.onnx.registration import reads
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.embedding import Embedding
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.linear import Linear
from nanonet.layers.prelu import PReLU
from nanonet.layers.reshape import Permute, Reshape
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.layers.standardize import Standardize

# ---- tables of numbers


@reads("Gemm", "MatMul")
def _sums(reached: Reached, node: Node) -> Layer:
    """Return Gemm's alpha A B + beta C, or MatMul's A B, where A is the current value, and what is added to it next.

    Or the MultiHeadAttention that begins with it.
    """
    if reached.axes == 3 and (found := attention(reached, node)) is not None:
        return found
    matrix = reached.constant(node.inputs[1]) if node.inputs[0] == reached.value else None
    if matrix is None or matrix.ndim != 2:
        got = "another value" if matrix is None else f"shape {matrix.shape}"
        raise ValueError(f"{node}: expected the chain's value times a constant of two axes, got {got}")
    if matrix.dtype != reached.dtype:
        raise ValueError(f"{node}: expected weights of {reached.dtype}, got {matrix.dtype}")
    if node.operator == "MatMul":
        weight, bias = matrix.T, None
    else:
        weight, bias = _gemm(reached, node, matrix)
    last = node
    while (add := reached.next(last.outputs[0], "Add")) is not None:
        row = _row(reached, reached.other(add, last.outputs[0]) or "", len(weight), reached.axes or 2)
        if row is None:
            break
        bias = row if bias is None else bias + row
        reached.take(last := add)
    if reached.shape is not None:
        reached.shape = *reached.shape[:-1], len(weight)
    outputs, inputs = weight.shape
    if bias is None:
        return reached.fill(Linear(inputs, outputs, bias=False), weight=weight)
    return reached.fill(Linear(inputs, outputs), weight=weight, bias=bias)


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
    added = _row(reached, node.inputs[2], len(weight), axes=2)
    if added is None:
        raise ValueError(f"{node}: expected C as a constant, one number for each of {len(weight)} outputs")
    return weight, _times(node.attributes["beta"], added)


def _row(reached: Reached, name: str, outputs: int, axes: int) -> Numbers | None:
    """Return a constant as one number per output; None if it is not such a constant."""
    added = reached.constant(name)
    if added is None or added.ndim > axes or added.size not in (1, outputs) or added.dtype != reached.dtype:
        return None
    if added.size > 1 and added.shape[-1] != outputs:
        return None
    return np.broadcast_to(added.reshape(-1), (outputs,))


def _times(factor: float, array: Numbers) -> Numbers:
    return array if factor == 1 else array * array.dtype.type(factor)


@reads("Gather")
def _gather(reached: Reached, node: Node) -> Layer:
    """Return the Embedding whose table is a constant; indices that count from its end are refused when they come."""
    table = reached.constant(node.inputs[0])
    if table is None or table.ndim != 2 or table.dtype.kind != "f" or node.attributes["axis"] != 0:
        raise ValueError(
            f"{node}: expected the rows, axis 0, of a constant table of floats with two axes{reached.stop}"
        )
    if reached.shape is not None:
        reached.shape = *reached.shape, table.shape[1]
    reached.dtype = table.dtype
    return reached.fill(Embedding(*table.shape), weight=table)


@reads("Sub", "Div")
def _standardize(reached: Reached, node: Node) -> Any:
    """Return (x - mean) / scale, of which one may be missing."""
    if node.inputs[0] != reached.value or not reached.graph.is_constant(node.inputs[1]):
        return NotImplemented
    mean, scale = None, reached.constant(node.inputs[1])
    if node.operator == "Sub":
        mean, div = scale, reached.next(node.outputs[0], "Div")
        scale = reached.constant(div.inputs[1]) if div is not None and div.inputs[0] == node.outputs[0] else None
        if div is not None and _is_shared(reached, scale):
            reached.take(div)
        else:
            scale = None
    given = [array for array in (mean, scale) if array is not None]
    if not given or not all(_is_shared(reached, array) for array in given):
        return NotImplemented
    shape = np.broadcast_shapes(*(array.shape[max(0, array.ndim - len(reached.shape or ())) :] for array in given))
    arrays = {
        name: np.broadcast_to(np.asarray(value, reached.dtype), shape)
        for name, value in (("mean", 0 if mean is None else mean), ("scale", 1 if scale is None else scale))
    }
    return reached.fill(Standardize(shape[0] if len(shape) == 1 else shape), **arrays)


def _is_shared(reached: Reached, array: Numbers | None) -> bool:
    """Return whether an array is the same for all samples, and does not enlarge them."""
    if array is None or array.dtype != reached.dtype or reached.shape is None or array.ndim > 1 + len(reached.shape):
        return False
    inner = array.shape[max(0, array.ndim - len(reached.shape)) :]
    if array.ndim > len(reached.shape) and array.shape[0] != 1:
        return False
    ends = reached.shape[len(reached.shape) - len(inner) :]
    return all(n in (1, m) for n, m in zip(inner, ends, strict=True))


# ---- axes


@reads("Softmax", "LogSoftmax")
def _along_last(reached: Reached, node: Node) -> Layer:
    axis = node.attributes["axis"]
    if axis not in (-1, (reached.axes or 0) - 1) or reached.axes == 1:
        raise ValueError(f"{node}: is along axis {axis}; nanonet's is along the last one")
    return Softmax() if node.operator == "Softmax" else LogSoftmax()


@reads("Flatten")
def _flatten(reached: Reached, node: Node) -> Layer:
    axis = node.attributes["axis"]
    if axis != 1:
        raise ValueError(f"{node}: flattens from axis {axis}; nanonet's Flatten from axis 1")
    reached.shape = (reached.size,)
    return Flatten()


@reads("Reshape")
def _reshape(reached: Reached, node: Node) -> Layer | None:
    """Return Flatten, Reshape, None if each sample stays as it is, or the GroupNorm that it begins."""
    if (norm := group_norm(reached, node)) is not None:
        return norm
    wanted = reached.constant(node.inputs[1]) if node.inputs[0] == reached.value else None
    lengths = [] if wanted is None or wanted.ndim != 1 else [int(length) for length in wanted]
    copies = not node.attributes.get("allowzero")
    keeps_batch = lengths[:1] == [reached.graph.batch] or (lengths[:1] == [0] and copies)
    if keeps_batch or lengths[:1] == [-1]:
        sample, size = _copied(reached, lengths[1:], copies), reached.size
        if size is not None and sample == reached.shape:
            return None
        if len(sample) == 1 and (sample[0] == size or (keeps_batch and sample[0] == -1)):
            flat = reached.axes == 2
            reached.shape = (size,)
            return None if flat else Flatten()
        rest = int(np.prod([length for length in sample if length != -1], dtype=object))
        whole = keeps_batch or (size == rest and -1 not in sample)
        if sample and min(length or -2 for length in sample) >= -1 and sample.count(-1) <= 1 and whole:
            return Reshape(*sample)
    raise ValueError(
        f"{node}: to {lengths}, from samples of shape {reached.shape}; load takes only reshapes that keep the batch "
        f"axis{reached.stop}"
    )


def _copied(reached: Reached, lengths: list[int], copies: bool) -> tuple[int, ...]:
    """Return the lengths of a sample, where 0 stands for the length at the same place before."""
    known: Any = reached.shape or ()
    places = enumerate(lengths)
    return tuple(known[i] or 0 if n == 0 and copies and i < len(known) else n for i, n in places)


@reads("Transpose")
def _transpose(reached: Reached, node: Node) -> Layer:
    if reached.axes == 3 and (found := attention(reached, node) or recurrent(reached, node)) is not None:
        return found
    order = node.attributes.get("perm")
    if order is None or not order or order[0] != 0:
        raise ValueError(f"{node}: to the order {order}; nanonet's Permute leaves the batch axis first{reached.stop}")
    return Permute(*order[1:])


@reads("Cast")
def _cast(reached: Reached, node: Node) -> None:
    if node.attributes["to"] not in FLOATS:
        raise ValueError(f"{node}: expected a cast to float or double")
    reached.dtype = FLOATS[node.attributes["to"]]


# ---- activations


@reads("Dropout")
def _dropout(reached: Reached, node: Node) -> Layer:
    rate: Any = np.float32(node.attributes.get("ratio", 0.5))  # an attribute until opset 11, an input since
    for name, what in zip(node.inputs[1:], ("rate", "training mode"), strict=False):
        constant = reached.constant(name)
        if name and (constant is None or constant.size != 1):
            raise ValueError(f"{node}: expected its {what}, {name}, as a constant of one number")
        if constant is not None and what == "rate":
            rate = constant.reshape(())[()]
        elif constant is not None and constant.any():
            raise ValueError(f"{node}: is active in inference too; export the model in evaluation mode")
    return Dropout(meant(rate))


@reads("PRelu")
def _prelu(reached: Reached, node: Node) -> Layer:
    """Return a PReLU with one slope, or with one for each channel."""
    slope = reached.constant(node.inputs[1]) if node.inputs[0] == reached.value else None
    if slope is not None and slope.size == 1:
        return reached.fill(PReLU(), weight=slope.reshape(1))
    count = (reached.axes or 2) - 1  # of a sample
    if slope is None or slope.shape[-count:] != (slope.size, *[1] * (count - 1)):
        got = "another value" if slope is None else f"shape {slope.shape}"
        raise ValueError(
            f"{node}: expected its slopes as a constant of one number, or of one for each channel, got {got}"
        )
    return reached.fill(PReLU(slope.size), weight=slope.reshape(-1))


@reads("Selu")
def _selu(reached: Reached, node: Node) -> Layer:
    alpha, scale = node.attributes["alpha"], node.attributes["gamma"]
    if not np.allclose([alpha, scale], [act.SELU.alpha, act.SELU.scale], rtol=CLOSE):
        raise ValueError(f"{node}: with alpha {alpha:g} and gamma {scale:g}; nanonet's SELU has those of its paper")
    return act.SELU()


@reads("Gelu")
def _gelu(reached: Reached, node: Node) -> Layer:
    form = node.attributes["approximate"]
    if form not in ("none", "tanh"):
        raise ValueError(f"{node}: expected approximate as 'none' or 'tanh', got {form!r}")
    return GELU(approximate=form == "tanh")


@reads("Swish")
def _swish(reached: Reached, node: Node) -> Layer:
    if node.attributes["alpha"] != 1:
        raise ValueError(f"{node}: with alpha {node.attributes['alpha']:g}; nanonet's SiLU has 1")
    return act.SiLU()


@reads("LeakyRelu", "Elu")
def _sloped(reached: Reached, node: Node) -> Layer:
    alpha = meant(np.float32(node.attributes["alpha"]))
    return act.LeakyReLU(alpha) if node.operator == "LeakyRelu" else act.ELU(alpha)


def _plain(operator: str, layer: type[Layer]) -> None:
    @reads(operator)
    def read(reached: Reached, node: Node) -> Layer:
        return layer()


_plain("Sigmoid", act.Sigmoid)
_plain("Tanh", act.Tanh)
_plain("Relu", act.ReLU)
_plain("Softplus", act.Softplus)
_plain("Softsign", act.Softsign)
_plain("Identity", act.Identity)
