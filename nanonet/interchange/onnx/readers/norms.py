"""Norms: the readers of what normalizes, in an operator of its own or written out in several."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers, Shape
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.reached import Reached, unless
from nanonet.interchange.onnx.recognition import meant
from nanonet.interchange.onnx.registration import reads
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.norm import LayerNorm, RMSNorm

# ---- one operator


@reads("BatchNormalization")
def _batch_norm(reached: Reached, node: Node) -> Layer:
    if node.attributes.get("training_mode"):
        raise ValueError(f"{node}: is in training mode; export the model in evaluation mode")
    weight = reached.floats(node, 1, "scale", None)
    names = ("bias", "running_mean", "running_var")
    rest = {name: reached.floats(node, i, name, len(weight)) for i, name in enumerate(names, 2)}
    momentum = round(1 - meant(np.float32(node.attributes["momentum"])), 9)  # ONNX's is what is kept
    layer = BatchNorm(len(weight), **_eps(node), **unless(0.1, momentum=momentum))
    return reached.fill(layer, weight=weight, **rest)


@reads("LayerNormalization")
def _layer_norm(reached: Reached, node: Node) -> Layer:
    axis, axes = node.attributes["axis"], reached.axes
    if axis >= 0 and axes is None:
        raise ValueError(f"{node}: from axis {axis}, of inputs whose number of axes is not known")
    count = -axis if axis < 0 else (axes or 0) - axis
    if count < 1 or (axes is not None and count >= axes):
        raise ValueError(f"{node}: from axis {axis}, which is not after the batch axis")
    shape = (None,) * count if reached.shape is None else reached.shape[-count:]
    weight = reached.floats(node, 1, "scale", *shape)
    shape = _one_or_more(weight.shape)
    if not node.inputs[2]:
        return reached.fill(LayerNorm(shape, **_eps(node), bias=False), weight=weight)
    bias = reached.floats(node, 2, "bias", *weight.shape)
    return reached.fill(LayerNorm(shape, **_eps(node)), weight=weight, bias=bias)


@reads("InstanceNormalization")
def _instance_norm(reached: Reached, node: Node) -> Layer:
    weight = reached.floats(node, 1, "scale", None)
    bias = reached.floats(node, 2, "bias", len(weight))
    if reached.axes is not None and reached.axes < 3:
        raise ValueError(f"{node}: expected samples with channels and further axes, got shape {reached.shape}")
    if (weight == 1).all() and not bias.any():
        return InstanceNorm(len(weight), **_eps(node))
    return reached.fill(InstanceNorm(len(weight), **_eps(node), affine=True), weight=weight, bias=bias)


def _eps(node: Node) -> Any:
    return unless(1e-5, eps=meant(np.float32(node.attributes["epsilon"])))


def _one_or_more(shape: Shape) -> Any:
    """Return the length of a single axis as a number."""
    return shape[0] if len(shape) == 1 else shape


# ---- several operators


class _Written(NamedTuple):
    """A normalization that is written out: over which axes, and the operators that it consists of."""

    nodes: list[Node]
    axes: list[int]
    eps: dict[str, Any]  # as a keyword
    centred: bool


@reads("Mul", "Pow")
def normalization(reached: Reached, node: Node) -> Any:
    """Return the norm that begins with an operator, x / √(mean(x²) + eps), where x may be less its mean."""
    found = None if reached.axes is None else _written(reached, reached.value, node, reached.axes)
    if found is None or reached.axes is None or reached.shape is None:
        return NotImplemented  # as for comparisons
    reached.take(*[each for each in found.nodes if each is not node])
    last, rest = found.nodes[-1], list(range(2, reached.axes))
    if found.centred and reached.shape[0] is not None:
        channels = reached.shape[0]
        batch, instance = found.axes == [0, *rest], found.axes == rest and not _counts_back(reached, node)
        if batch or instance:
            affine = _affine(reached, last, (channels, *[1] * len(rest)))
            options = {"track_running_stats": False, **unless(True, affine=bool(affine))}
            options = options if batch else unless(False, affine=bool(affine))
            layer: Layer = (BatchNorm if batch else InstanceNorm)(channels, **found.eps, **options)
            return reached.fill(layer, **_filled(affine, (channels,)))
    return _of_last_axes(reached, node, found)


def _of_last_axes(reached: Reached, node: Node, found: _Written) -> Layer:
    """Return the LayerNorm, or the RMSNorm, that a normalization is."""
    first = (reached.axes or 0) - len(found.axes)
    shape: Any = (reached.shape or ())[first - 1 :]
    if first < 1 or found.axes != list(range(first, first + len(found.axes))) or None in shape:
        raise ValueError(f"{node}: begins a normalization over the axes {found.axes}, which nanonet does not have")
    affine = _affine(reached, found.nodes[-1], shape, biased=found.centred)
    options = unless(True, elementwise_affine=bool(affine))
    if not found.centred:
        smallest = meant(np.finfo(reached.dtype).eps)
        eps = unless(smallest, eps=found.eps.get("eps", 1e-5))
        return reached.fill(RMSNorm(_one_or_more(shape), **eps, **options), **affine)
    options |= unless(True, bias="bias" in affine or not affine)
    return reached.fill(LayerNorm(_one_or_more(shape), **found.eps, **options), **affine)


def group_norm(reached: Reached, node: Node) -> Layer | None:
    """Return the GroupNorm that begins with the reshape of channels to groups; None if it is none."""
    lengths, shape = reached.constant(node.inputs[1]), reached.shape
    if lengths is None or lengths.shape != (3,) or lengths[0] != 0 or lengths[2] != -1 or not shape or None in shape:
        return None
    groups = int(lengths[1])
    found = _of_groups(reached, node, groups)
    back = None if found is None else reached.next(found.nodes[-1].outputs[0], "Reshape")
    if found is None or back is None or groups < 1 or found.axes != [2]:
        return None
    nodes = [*found.nodes, *_restored(reached, back)]
    if nodes[-1] is not back:
        return None
    reached.take(*nodes)
    channels: Any = shape[0]
    affine = _affine(reached, back, (channels, *[1] * (len(shape) - 1)))
    layer = GroupNorm(groups, channels, **found.eps, **unless(True, affine=bool(affine)))
    reached.shape = tuple(shape)
    return reached.fill(layer, **_filled(affine, (channels,)))


def _of_groups(reached: Reached, node: Node, groups: int) -> _Written | None:
    """Return the normalization of each group, by an operator for instances or written out."""
    z = node.outputs[0]
    norm = reached.next(z, "InstanceNormalization")
    if norm is None:
        users = reached.graph.users(z)
        return _written(reached, z, users[0], 3) if users and z not in reached.graph.outputs else None
    weight, bias = reached.constant(norm.inputs[1]), reached.constant(norm.inputs[2])
    if weight is None or bias is None or len(weight) != groups or not (weight == 1).all() or bias.any():
        return None
    return _Written([norm], [2], _eps(norm), True)


def _restored(reached: Reached, back: Node) -> list[Node]:
    """Return the operators that reshape to the shape before, the reshape last; none if it is another shape."""
    wanted, maker = reached.constant(back.inputs[1]), reached.graph.maker(back.inputs[1])
    if wanted is not None:
        same = wanted.ndim == 1 and wanted[0] in (0, -1) and tuple(wanted[1:].tolist()) == reached.shape
        return [back] if same else []
    if maker is None or maker.operator != "Shape" or maker.inputs != [reached.value]:
        return []
    whole = not maker.attributes.get("start") and maker.attributes.get("end") is None
    return [maker, back] if whole and reached.next(maker.outputs[0], "Reshape") is back else []


def _written(reached: Reached, x: str, first: Node, axes: int) -> _Written | None:
    """Return the normalization of a value that begins with an operator; None if it is none."""
    nodes, over, c = [], None, x
    square = first
    if first.operator == "ReduceMean":
        sub = reached.next(first.outputs[0], "Sub")
        if sub is None or sub.inputs != [x, first.outputs[0]]:
            return None
        nodes, over, c = [first, sub], _kept_axes(reached, first, axes), sub.outputs[0]
        square = reached.graph.users(c)[0] if reached.graph.users(c) else first
    mean = reached.next(square.outputs[0], "ReduceMean") if _is_square(reached, square, c) else None
    add = None if mean is None else reached.next(mean.outputs[0], "Add")
    root = None if add is None else reached.next(add.outputs[0], "Sqrt")
    if mean is None or add is None or root is None:
        return None
    eps = reached.number(reached.other(add, mean.outputs[0]) or "")
    ends = _divided(reached, root, c)
    found = _kept_axes(reached, mean, axes)
    if eps is None or not ends or found is None or (nodes and over != found):
        return None
    if nodes and ({user.place for user in reached.graph.users(c)} != {square.place, ends[-1].place}):
        return None  # what is centred is used for something else too
    if nodes and c in reached.graph.outputs:
        return None
    told = unless(1e-5, eps=meant(reached.dtype.type(eps)))
    return _Written([*nodes, square, mean, add, root, *ends], found, told, bool(nodes))


def _divided(reached: Reached, root: Node, c: str) -> list[Node]:
    """Return the operators that divide a value by a root; none if it is not divided by it."""
    end = reached.next(root.outputs[0], "Div", "Reciprocal")
    if end is None or end.operator == "Div":
        return [end] if end is not None and end.inputs == [c, root.outputs[0]] else []
    times = reached.next(end.outputs[0], "Mul")
    return [end, times] if times is not None and reached.other(times, end.outputs[0]) == c else []


def _is_square(reached: Reached, node: Node, c: str) -> bool:
    if node.operator == "Pow":
        return node.inputs[0] == c and reached.number(node.inputs[1]) == 2
    return node.operator == "Mul" and node.inputs == [c, c]


def _kept_axes(reached: Reached, node: Node, axes: int) -> list[int] | None:
    return reduced_axes(reached, node, axes) if node.attributes["keepdims"] else None


def reduced_axes(reached: Reached, node: Node, axes: int) -> list[int] | None:
    """Return the axes that a ReduceMean is over, none of them negative; None if they are not known."""
    given = _given_axes(reached, node)
    if not given or not all(-axes <= axis < axes for axis in given):
        return None
    return sorted({int(axis) % axes for axis in given})


def _given_axes(reached: Reached, node: Node) -> list[int]:
    if len(node.inputs) > 1:  # an attribute until opset 17, an input since
        array = reached.constant(node.inputs[1])
        return [] if array is None or array.ndim != 1 else array.tolist()
    return list(node.attributes.get("axes") or [])


def _counts_back(reached: Reached, node: Node) -> bool:
    """Return whether the axes are counted from the last, as those of a LayerNorm are."""
    return any(axis < 0 for axis in _given_axes(reached, node))


# ---- weight and bias


def _affine(reached: Reached, last: Node, shape: Shape, *, biased: bool = True) -> dict[str, Numbers]:
    """Return the weight of a shape that an operator's output is multiplied by, and the bias that is added next."""
    mul = reached.next(last.outputs[0], "Mul")
    weight = None if mul is None else _of_shape(reached, mul, last, shape)
    if mul is not None and weight is not None:
        reached.take(last := mul)
    add = reached.next(last.outputs[0], "Add") if biased else None
    bias = None if add is None else _of_shape(reached, add, last, shape)
    if add is not None and bias is not None:
        reached.take(add)
        weight = np.ones(shape, reached.dtype) if weight is None else weight
    found = {"weight": weight, "bias": bias}
    return {name: array for name, array in found.items() if array is not None}


def _of_shape(reached: Reached, node: Node, last: Node, shape: Shape) -> Numbers | None:
    """Return a node's other input if it is a constant of a shape, but for leading axes of length 1."""
    array = reached.constant(reached.other(node, last.outputs[0]) or "")
    if array is None or array.dtype != reached.dtype or array.ndim > 1 + len(shape):
        return None
    extra = array.ndim - len(shape)
    fits = extra >= 0 and array.shape[extra:] == tuple(shape) and set(array.shape[:extra]) <= {1}
    return array.reshape(shape) if fits else None


def _filled(affine: dict[str, Numbers], shape: Shape) -> dict[str, Numbers]:
    """Return weight and bias in the layer's shape, with zeros for a bias that is missing."""
    if not affine:
        return {}
    bias = affine.get("bias", np.zeros(shape, affine["weight"].dtype))
    return {"weight": affine["weight"].reshape(shape), "bias": bias.reshape(shape)}
