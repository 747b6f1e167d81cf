"""Windows: convolutions and pooling as loops over the places of a kernel and over its entries."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from nanonet.core.arrays import Shape
from nanonet.interchange.c.loops import index, loop, loops, text, times, under
from nanonet.interchange.c.numbers import number
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.windows import Window


class _Axis(NamedTuple):
    """The places of a kernel along one axis of an image, and the names of their indices in C."""

    place: str
    entry: str
    name: str
    size: int
    places: int
    kernel: int
    stride: int
    dilation: int
    before: int

    @property
    def declared(self) -> list[str]:
        """The index on the image; none on an axis of length 1 that no place leaves."""
        terms = [times(self.place, self.stride)] if self.places > 1 else []
        terms += [times(self.entry, self.dilation)] if self.kernel > 1 else []
        source = " + ".join(terms) or "0"
        source += f" - {self.before}" if self.before else ""
        return [f"const int {self.name} = {source};"] if self.size > 1 or self.inside else []

    @property
    def inside(self) -> list[str]:
        """The conditions under which an entry lies on the image."""
        last = (self.places - 1) * self.stride + (self.kernel - 1) * self.dilation - self.before
        low = [f"{self.name} >= 0"] if self.before else []
        return low + ([f"{self.name} < {self.size}"] if last >= self.size else [])


class _Places:
    """The loops of a window over an image; a sequence has height 1."""

    def __init__(self, window: Window, shape: Shape) -> None:
        size = (1, *shape[1:]) if len(shape) == 2 else shape[1:]
        before = [ends[0] for ends in window.padding]
        numbers = zip(
            size, window.places(size), window.kernel, window.stride, window.dilation, before, strict=True
        )  # fmt: skip
        self.axes = [_Axis(*names, *row) for names, row in zip(("rki", "clj"), numbers, strict=True)]
        self.count = math.prod(axis.places for axis in self.axes)

    def image(self, channel: str, channels: int) -> str:
        """Return the place of an entry of the image."""
        return index((channel, channels), *((axis.name, axis.size) for axis in self.axes))

    def under_kernel(self, statements: list[str]) -> list[str]:
        """Return loops over the entries of the kernel that lie on the image."""
        conditions = [text for axis in self.axes for text in axis.inside]
        if conditions:
            statements = under(f"if ({' && '.join(conditions)})", statements)
        declared = [line for axis in self.axes for line in axis.declared]
        return loops([(axis.entry, axis.kernel) for axis in self.axes], [*declared, *statements])

    def everywhere(self, channels: int, y: str, first: list[str], result: str) -> str:
        """Return loops over the entries of y, each made by statements and an expression."""
        axes = [("o", channels), *((axis.place, axis.places) for axis in self.axes)]
        return text(loops(axes, [*first, f"{y}[{index(*axes)}] = {result};"]))


@writes(Conv1d, Conv2d)
def _convolution(program: Program, layer: Any, x: str, shape: Shape) -> str:
    places, inner = _Places(layer.window, shape), layer.in_channels // layer.groups
    y = program.array(layer.out_channels * places.count)
    program.comment(layer)
    weight, row = program.matrix("weight", layer.weight), index(("o", layer.out_channels))
    total = weight.scaled("sum", row)
    if layer.bias is not None:
        total += f" + {program.constant('bias', layer.bias.value)}[{row}]"
    channel = _in_group("o", "m", layer.out_channels // layer.groups, inner, layer.groups)
    kernel = ((axis.entry, axis.kernel) for axis in places.axes)
    entry = weight.entry(index(("o", layer.out_channels), ("m", inner), *kernel))
    add = places.under_kernel([f"sum += {entry} * {x}[{places.image(channel, layer.in_channels)}];"])
    program.add(places.everywhere(layer.out_channels, y, ["float sum = 0.0f;", *loop("m", inner, add)], total))
    return y


def _in_group(own: str, other: str, each: int, others: int, groups: int) -> str:
    """Return the channel on the other side of a group: that which is number ``other`` in the group of ``own``."""
    if groups == 1:
        return other
    group = own if each == 1 else f"{own} / {each}"
    return group if others == 1 else f"{times(group, others)} + {other}"


@writes(ConvTranspose2d)
def _transposed(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """Write each y as the sum of the x that reach it: those at i with r = i stride + k dilation - padding."""
    out: Any = program.shape_after(layer, shape)
    each, inner = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    y = program.array(math.prod(out))
    program.comment(layer)
    channel = _in_group("o", "m", each, inner, layer.groups)
    own = "o" if layer.groups == 1 else f"o % {each}"
    kernel = [("k", layer.kernel_size[0]), ("l", layer.kernel_size[1])]
    weight = program.matrix("weight", layer.weight)
    entry = weight.entry(index((channel, layer.in_channels), (own, each), *kernel))
    declared, conditions, at = list[str](), list[str](), [(channel, layer.in_channels)]
    for d, (name, place) in enumerate((("i", "r"), ("j", "c"))):
        stride, size = layer.stride[d], shape[1 + d]
        source = (place if out[1 + d] > 1 else "0") + (f" + {layer.padding[d]}" if layer.padding[d] else "")
        source += f" - {times(kernel[d][0], layer.dilation[d])}" if kernel[d][1] > 1 else ""
        declared.append(f"const int {name} = {source};")
        conditions += [f"{name} >= 0", f"{name} < {size * stride}"]
        conditions += [f"{name} % {stride} == 0"] if stride > 1 else []
        at.append((f"{name} / {stride}" if stride > 1 else name, size))
    product = weight.scaled(f"{entry} * {x}[{index(*at)}]", index((channel, layer.in_channels)))
    inside = under(f"if ({' && '.join(conditions)})", [f"sum += {product};"])
    add = loops([("m", inner), *kernel], [*declared, *inside])
    bias = "" if layer.bias is None else f" + {program.constant('bias', layer.bias.value)}[{index(('o', out[0]))}]"
    axes = [("o", out[0]), ("r", out[1]), ("c", out[2])]
    program.add(text(loops(axes, ["float sum = 0.0f;", *add, f"{y}[{index(*axes)}] = sum{bias};"])))
    return y


@writes(MaxPool1d, MaxPool2d)
def _max_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    places = _Places(layer.window, shape)
    y = program.array(shape[0] * places.count)
    program.comment(layer)
    most = places.under_kernel([f"most = fmaxf(most, {x}[{places.image('o', shape[0])}]);"])
    program.add(places.everywhere(shape[0], y, ["float most = -INFINITY;", *most], "most"))
    return y


@writes(AvgPool1d, AvgPool2d)
def _avg_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    places = _Places(layer.window, shape)
    y = program.array(shape[0] * places.count)
    program.comment(layer)
    add = [f"sum += {x}[{places.image('o', shape[0])}];"]
    if layer.count_include_pad or not any(axis.inside for axis in places.axes):
        first, size = ["float sum = 0.0f;"], number(math.prod(layer.window.kernel))
    else:
        first, size, add = ["float sum = 0.0f;", "int count = 0;"], "(float)count", [*add, "count++;"]
    program.add(places.everywhere(shape[0], y, [*first, *places.under_kernel(add)], f"sum / {size}"))
    return y


@writes(AdaptiveAvgPool2d)
def _adaptive(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """Write the means over rows from floor(r H / h) up to ceil((r + 1) H / h); columns likewise."""
    (channels, h, w), out = shape, program.shape_after(layer, shape)
    y = program.array(math.prod(out))
    program.comment(layer)
    axes = [("o", channels), ("r", out[1]), ("c", out[2])]
    r, c = (index(axis) for axis in axes[1:])
    lines = [
        f"const int top = {r} * {h} / {out[1]}, bottom = (({r} + 1) * {h} + {out[1] - 1}) / {out[1]};",
        f"const int left = {c} * {w} / {out[2]}, right = (({c} + 1) * {w} + {out[2] - 1}) / {out[2]};",
        "float sum = 0.0f;",
        "for (int i = top; i < bottom; i++)",
        f"    for (int j = left; j < right; j++) sum += {x}[{index(('o', channels), ('i', h), ('j', w))}];",
        f"{y}[{index(*axes)}] = sum / (float)((bottom - top) * (right - left));",
    ]
    program.add(text(loops(axes, lines)))
    return y


@writes(GlobalAvgPool)
def _global_avg_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    channels, size = shape[0], math.prod(shape[1:])
    y = program.array(channels)
    program.comment(layer)
    add = loop("i", size, [f"sum += {x}[{index(('o', channels), ('i', size))}];"])
    lines = ["float sum = 0.0f;", *add, f"{y}[{index(('o', channels))}] = sum / {number(size)};"]
    program.add(text(loop("o", channels, lines)))
    return y
