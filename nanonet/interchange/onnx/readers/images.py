"""Images: the readers of convolution, pooling, resizing and padding."""

from __future__ import annotations

from typing import Any

from nanonet.core.layer import Layer
from nanonet.interchange.onnx.graph import Node
from nanonet.interchange.onnx.reached import Reached, unless
from nanonet.interchange.onnx.readers.norms import normalization, reduced_axes
from nanonet.interchange.onnx.recognition import meant
from nanonet.interchange.onnx.registration import reads
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.pad import MODES, Pad
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.reshape import Reshape
from nanonet.layers.resize import Upsample, ZeroPad2d
from nanonet.models.sequential import Sequential

Ends = list[tuple[int, int]]


# ---- where the kernel lies


class _Window:
    """The attributes that all sliding operators have, filled in for one or two axes."""

    def __init__(self, reached: Reached, node: Node, kernel: tuple[int, ...]) -> None:
        self.node, self.kernel, count = node, kernel, len(kernel)
        if count not in (1, 2):
            raise ValueError(f"{node}: has {count} spatial axes; nanonet has 1 and 2{reached.stop}")
        stated = node.attributes.get("kernel_shape")
        self.stride = self._each("strides", count)
        self.dilation = self._each("dilations", count)
        if stated is not None and tuple(stated) != kernel:
            raise ValueError(f"{node}: expected kernel_shape {list(kernel)}, as its weight has, got {stated}")
        self.reach = tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, kernel, strict=True))
        self.ends = self._ends(reached, count)
        lengths = (None,) * count if reached.shape is None else reached.shape[-count:]
        for length, reach, ends in zip(lengths, self.reach, self.ends, strict=False):
            if length is not None and length + sum(ends) < reach:
                raise ValueError(f"{node}: its kernel reaches over {reach} entries, of an axis of {length}")

    def _each(self, name: str, count: int) -> tuple[int, ...]:
        values = tuple(self.node.attributes.get(name) or (1,) * count)
        if len(values) != count:
            raise ValueError(f"{self.node}: expected {name} for {count} axes, got {list(values)}")
        return values

    def _ends(self, reached: Reached, count: int) -> Ends:
        """Return what is padded before and after each axis."""
        how, pads = self.node.attributes.get("auto_pad", "NOTSET"), self.node.attributes.get("pads") or [0] * 2 * count
        if how == "VALID":
            return [(0, 0)] * count
        if how == "NOTSET":
            if len(pads) != 2 * count:
                raise ValueError(f"{self.node}: expected pads for {count} axes, got {pads}")
            return list(zip(pads[:count], pads[count:], strict=True))
        if how not in ("SAME_UPPER", "SAME_LOWER"):
            raise ValueError(f"{self.node}: expected another auto_pad, got {how!r}")
        totals = [self._same(reached, i) for i in range(count)]
        first = [n // 2 if how == "SAME_UPPER" else n - n // 2 for n in totals]
        return [(n, total - n) for n, total in zip(first, totals, strict=True)]

    def _same(self, reached: Reached, i: int) -> int:
        """Return how much must be padded for ceil(length / stride) places."""
        length = None if reached.shape is None or len(reached.shape) != 1 + len(self.kernel) else reached.shape[1 + i]
        if self.stride[i] == 1:
            return self.reach[i] - 1
        if length is None:
            raise ValueError(f"{self.node}: its auto_pad depends on the length of axis {2 + i}, which is not known")
        return max(0, (-(-length // self.stride[i]) - 1) * self.stride[i] + self.reach[i] - length)

    @property
    def is_even(self) -> bool:
        """Whether as much is padded before as after each axis."""
        return all(before == after for before, after in self.ends)

    @property
    def is_same(self) -> bool:
        """Whether it is what nanonet's padding="same" does."""
        ends = [((r - 1) // 2, r - 1 - (r - 1) // 2) for r in self.reach]
        return self.ends == ends and set(self.stride) == {1}

    @property
    def padding(self) -> tuple[int, ...]:
        """The padding on each side, where both are equal."""
        return tuple(before for before, _ in self.ends)

    def framed(self, layer: Layer) -> Layer:
        """Return a layer behind zeros for uneven padding."""
        if len(self.ends) == 1:
            raise ValueError(f"{self.node}: pads its two ends by {self.ends[0]}; nanonet pads both by the same")
        (top, bottom), (left, right) = self.ends
        return Sequential(ZeroPad2d((left, right, top, bottom)), layer)


def _sizes(values: tuple[int, ...]) -> Any:
    """Return a row of equal sizes as one."""
    return values[0] if len(set(values)) == 1 else values


# ---- convolution


@reads("Conv")
def _conv(reached: Reached, node: Node) -> Layer:
    weight = _kernel(reached, node)
    window, group = _Window(reached, node, weight.shape[2:]), node.attributes["group"]
    padding: Any = _sizes(window.padding) if window.is_even else "same" if window.is_same else 0
    make = Conv1d if len(window.kernel) == 1 else Conv2d
    channels, kernel = (weight.shape[1] * group, weight.shape[0]), _sizes(window.kernel)
    options = unless(1, stride=_sizes(window.stride), dilation=_sizes(window.dilation), groups=group)
    options |= unless(0, padding=padding) | unless(True, bias=bool(node.inputs[2]))
    layer = make(*channels, kernel, **options)
    _fill(reached, node, layer, weight, weight.shape[0])
    return layer if window.is_even or window.is_same else window.framed(layer)


@reads("ConvTranspose")
def _conv_transpose(reached: Reached, node: Node) -> Layer:
    weight = _kernel(reached, node)
    window, group = _Window(reached, node, weight.shape[2:]), node.attributes["group"]
    how, size = node.attributes.get("auto_pad", "NOTSET"), node.attributes.get("output_shape")
    if len(window.kernel) != 2 or not window.is_even or how not in ("NOTSET", "VALID") or size:
        raise ValueError(f"{node}: nanonet has no such transposed convolution (two axes, even pads){reached.stop}")
    more = tuple(node.attributes.get("output_padding") or (0, 0))
    options = unless(0, padding=_sizes(window.padding), output_padding=_sizes(more))
    options |= unless(1, stride=_sizes(window.stride), groups=group, dilation=_sizes(window.dilation))
    options |= unless(True, bias=bool(node.inputs[2]))
    channels, kernel = (weight.shape[0], weight.shape[1] * group), _sizes(window.kernel)
    layer = ConvTranspose2d(*channels, kernel, **options)
    _fill(reached, node, layer, weight, weight.shape[1] * group)
    return layer


def _kernel(reached: Reached, node: Node) -> Any:
    weight = reached.constant(node.inputs[1]) if node.inputs[0] == reached.value else None
    return reached.floats(node, 1, "weight", *[None] * (3 if weight is None else max(weight.ndim, 3)))


def _fill(reached: Reached, node: Node, layer: Layer, weight: Any, outputs: int) -> None:
    bias = {"bias": reached.floats(node, 2, "bias", outputs)} if node.inputs[2] else {}
    reached.fill(layer, weight=weight, **bias)


# ---- pooling


@reads("MaxPool")
def _max_pool(reached: Reached, node: Node) -> Layer:
    window = _Window(reached, node, tuple(node.attributes["kernel_shape"]))
    if not window.is_even:
        raise ValueError(f"{node}: pads the two ends of an axis by {window.ends}; nanonet pads both by the same")
    ceil = bool(node.attributes.get("ceil_mode"))
    if ceil:
        _check_ceil(reached, node, window)
    make = MaxPool1d if len(window.kernel) == 1 else MaxPool2d
    return make(
        _sizes(window.kernel),
        **unless(_sizes(window.kernel), stride=_sizes(window.stride)),
        **unless(0, padding=_sizes(window.padding), ceil_mode=ceil),
        **unless(1, dilation=_sizes(window.dilation)),
    )


def _check_ceil(reached: Reached, node: Node, window: _Window) -> None:
    """Refuse a place that begins in the padding behind, which opsets and runtimes count or not."""
    for i, (stride, reach, (before, after)) in enumerate(zip(window.stride, window.reach, window.ends, strict=True)):
        n = None if reached.shape is None or len(reached.shape) != 1 + len(window.kernel) else reached.shape[1 + i]
        last = None if n is None else -(-(n + before + after - reach) // stride) * stride
        if stride > reach - before if n is None or last is None else last >= n + before:
            raise ValueError(f"{node}: with ceil_mode a place may begin in the padding, which nanonet leaves out")


@reads("AveragePool")
def _average_pool(reached: Reached, node: Node) -> Layer:
    window = _Window(reached, node, tuple(node.attributes["kernel_shape"]))
    if node.attributes.get("ceil_mode") or set(window.dilation) != {1}:
        raise ValueError(f"{node}: nanonet's AvgPool has no ceil_mode and no dilation{reached.stop}")
    counts = bool(node.attributes["count_include_pad"])
    if not window.is_even and not counts:
        raise ValueError(f"{node}: pads the two ends of an axis by {window.ends}; nanonet pads both by the same")
    padding = window.padding if window.is_even else (0,) * len(window.kernel)
    make = AvgPool1d if len(window.kernel) == 1 else AvgPool2d
    layer = make(
        _sizes(window.kernel),
        **unless(_sizes(window.kernel), stride=_sizes(window.stride)),
        **unless(0, padding=_sizes(padding)),
        **({} if counts or not any(padding) else {"count_include_pad": False}),
    )
    return layer if window.is_even else window.framed(layer)


@reads("GlobalAveragePool")
def _global_average_pool(reached: Reached, node: Node) -> Layer:
    return _mean(reached, node, keepdims=True)


def _mean(reached: Reached, node: Node, *, keepdims: bool) -> Layer:
    """Return the mean over all axes from 2."""
    if not keepdims:
        return GlobalAvgPool()
    if reached.axes == 4:
        return AdaptiveAvgPool2d(1)
    if reached.axes is None or reached.axes < 3:
        raise ValueError(f"{node}: expected images of a known number of axes{reached.stop}")
    return Sequential(GlobalAvgPool(), Reshape(-1, *[1] * (reached.axes - 2)))


@reads("ReduceMean")
def _reduce_mean(reached: Reached, node: Node) -> Any:
    """Return the mean of images, or the norm that begins with the mean."""
    norm = normalization(reached, node)
    if norm is not NotImplemented:
        return norm
    found = None if reached.axes is None else reduced_axes(reached, node, reached.axes)
    if found is None or reached.axes is None or found != list(range(2, reached.axes)):
        raise ValueError(f"{node}: is over the axes {found}; nanonet has means over all axes from 2{reached.stop}")
    return _mean(reached, node, keepdims=bool(node.attributes["keepdims"]))


# ---- resizing


@reads("Resize")
def _resize(reached: Reached, node: Node) -> Layer:
    how = node.attributes
    if "coordinate_transformation_mode" not in how or how.get("antialias") or how.get("axes"):
        raise ValueError(f"{node}: load takes Resize of opset 11 or later, without antialias and axes{reached.stop}")
    factors, places = _factors(reached, node), how["coordinate_transformation_mode"]
    half = places in ("half_pixel", "pytorch_half_pixel")  # they differ for a single output only
    if how["mode"] == "linear" and half:
        return Upsample(_sizes(factors), "bilinear")
    down = places == "asymmetric" and how["nearest_mode"] == "floor"
    if how["mode"] == "nearest" and (down or (half and how["nearest_mode"].startswith("round_prefer"))):
        return Upsample(_sizes(factors))
    raise ValueError(
        f"{node}: mode {how['mode']}, {places}, {how['nearest_mode']}: nanonet's Upsample has nearest (asymmetric and "
        f"floor) and linear (half_pixel){reached.stop}"
    )


def _factors(reached: Reached, node: Node) -> tuple[int, int]:
    """Return by which whole numbers height and width are multiplied."""
    sizes = reached.constant(node.inputs[3]) if len(node.inputs) > 3 else None
    scales = reached.constant(node.inputs[2])
    shape = (reached.graph.batch, *(reached.shape or ()))
    if scales is not None and scales.shape == (4,):
        ratios = scales.tolist()
    elif sizes is not None and sizes.shape == (4,) and len(shape) == 4 and None not in shape:
        ratios = [n / m for n, m in zip(sizes.tolist(), shape, strict=True) if m]
    else:
        raise ValueError(f"{node}: expected images, and scales as a constant of 4 numbers{reached.stop}")
    high, wide = ratios[2], ratios[3]
    if ratios[:2] != [1, 1] or high != int(high) or wide != int(wide):
        raise ValueError(f"{node}: by {ratios}; nanonet multiplies height and width by whole numbers{reached.stop}")
    return int(high), int(wide)


@reads("Pad")
def _pad(reached: Reached, node: Node) -> Layer | None:
    """Return Pad, ZeroPad2d for zeros around images, or None where nothing is padded."""
    pads, value, axes = node.attributes.get("pads"), node.attributes.get("value", 0), False
    if pads is None:  # inputs since opset 11
        array = reached.constant(node.inputs[1])
        pads = None if array is None or array.ndim != 1 else array.tolist()
        value = reached.number(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else 0
        axes = len(node.inputs) > 3 and bool(node.inputs[3])
    if pads is None or value is None or axes:
        raise ValueError(f"{node}: nanonet pads by constant numbers for all axes{reached.stop}")
    if not any(pads):
        return None
    before, after = pads[: len(pads) // 2], pads[len(pads) // 2 :]
    if len(before) not in (3, 4, 5) or any([*before[:2], *after[:2]]) or min(pads) < 0:
        raise ValueError(f"{node}: by {pads}; nanonet pads the axes after the channels{reached.stop}")
    mode: Any = {there: here for here, there in MODES.items()}[node.attributes["mode"]]
    padding = [n for ends in zip(before[:1:-1], after[:1:-1], strict=True) for n in ends]
    if mode == "constant" and value == 0 and len(padding) == 4:
        return ZeroPad2d(_sizes((*padding,)))
    return Pad((*padding,), **unless("constant", mode=mode), **unless(0.0, value=meant(reached.dtype.type(value))))
