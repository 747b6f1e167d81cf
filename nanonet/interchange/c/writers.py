"""Writers: each layer but the activations as loops in C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.core.chain import Chain
from nanonet.interchange.c.program import Program, number, writes
from nanonet.layers.activations import Identity
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.conv import Conv1d, Conv2d
from nanonet.layers.dropout import Dropout, Dropout2d, GaussianNoise
from nanonet.layers.flatten import Flatten
from nanonet.layers.linear import Linear
from nanonet.layers.norm import LayerNorm
from nanonet.layers.pool import AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.reshape import Permute, Reshape
from nanonet.layers.residual import Residual
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.layers.standardize import Standardize
from nanonet.layers.windows import Window


@writes(Chain)
def _chain(program: Program, chain: Any, x: str, shape: Shape) -> str:
    for i, layer in enumerate(chain.layers):
        x = program.write(layer, x, shape, str(i))
        shape = program.shape_after(layer, shape)
    return x


@writes(Residual)
def _residual(program: Program, layer: Any, x: str, shape: Shape) -> str:
    inner, size = program.write(layer.inner, x, shape, "inner"), math.prod(shape)
    y = program.array(size)
    program.add(f"for (int i = 0; i < {size}; i++) {y}[i] = {x}[i] + {inner}[i];")
    return y


@writes(Identity, Dropout, Dropout2d, GaussianNoise, Flatten, Reshape)
def _unchanged(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """In inference these change no number, nor their order."""
    return x


def _each_row(rows: int, lines: list[str]) -> str:
    """Return statements for each row n; without the loop if there is one row."""
    if rows == 1:
        return "\n".join(lines)
    return "\n".join([f"for (int n = 0; n < {rows}; n++) {{", *("    " + line for line in lines), "}"])


def _block(rows: int, lines: list[str]) -> str:
    """Return statements for each row n that declare names of their own."""
    return _each_row(rows, lines) if rows > 1 else "\n".join(["{", *("    " + line for line in lines), "}"])


def _first(rows: int, size: int) -> str:
    """Return what is added to the index of an entry of row n."""
    return "" if rows == 1 else f"n * {size} + "


@writes(Linear)
def _linear(program: Program, layer: Any, x: str, shape: Shape) -> str:
    rows, taken, given = math.prod(shape[:-1]), layer.in_features, layer.out_features
    y = program.array(rows * given)
    program.comment(layer)
    weight = program.matrix("weight", layer.weight.value)
    total = weight.scaled("sum", "o")
    if layer.bias is not None:
        total += f" + {program.constant('bias', layer.bias.value)}[o]"
    entry = f"{weight.entry(f'o * {taken} + i')} * {x}[{_first(rows, taken)}i]"
    lines = [
        f"for (int o = 0; o < {given}; o++) {{",
        "    float sum = 0.0f;",
        f"    for (int i = 0; i < {taken}; i++) sum += {entry};",
        f"    {y}[{_first(rows, given)}o] = {total};",
        "}",
    ]
    program.add(_each_row(rows, lines))
    return y


@writes(Standardize)
def _standardize(program: Program, layer: Any, x: str, shape: Shape) -> str:
    whole = [np.broadcast_to(part.value, shape) for part in (layer.mean, layer.scale)]
    program.comment(layer)
    mean, scale = program.constant("mean", whole[0]), program.constant("scale", whole[1])
    return program.each(f"(a - {mean}[i]) / {scale}[i]", x, shape)


@writes(BatchNorm)
def _batch_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    """Write y = rate x + shift, with the running statistics in both."""
    if layer.running_mean is None:
        raise TypeError(f"export: {layer}: it takes the statistics of the batch, and in C there is none")
    features = layer.num_features
    rate = 1 / np.sqrt(layer.running_var.value.astype(np.float64) + layer.eps)
    rate = rate if layer.weight is None else rate * layer.weight.value
    shift = -rate * layer.running_mean.value + (0 if layer.bias is None else layer.bias.value)
    program.comment(layer)
    rates, shifts = program.constant("rate", rate), program.constant("shift", shift)
    feature = "i" if len(shape) == 1 else f"i / {math.prod(shape[1:])}"
    assert shape[0] == features
    return program.each(f"{rates}[{feature}] * a + {shifts}[{feature}]", x, shape)


@writes(LayerNorm)
def _layer_norm(program: Program, layer: Any, x: str, shape: Shape) -> str:
    size = math.prod(layer.normalized_shape)
    rows, y = math.prod(shape) // size, program.array(math.prod(shape))
    program.comment(layer)
    at = f"{_first(rows, size)}i"
    scaled = f"({x}[{at}] - mean) * rate"
    if layer.weight is not None:
        scaled += f" * {program.constant('weight', layer.weight.value)}[i]"
    if layer.bias is not None:
        scaled += f" + {program.constant('bias', layer.bias.value)}[i]"
    lines = [
        "float mean = 0.0f, square = 0.0f;",
        f"for (int i = 0; i < {size}; i++) mean += {x}[{at}];",
        f"mean /= {number(size)};",
        f"for (int i = 0; i < {size}; i++) square += ({x}[{at}] - mean) * ({x}[{at}] - mean);",
        f"const float rate = 1.0f / sqrtf(square / {number(size)} + {number(layer.eps)});",
        f"for (int i = 0; i < {size}; i++) {y}[{at}] = {scaled};",
    ]
    program.add(_block(rows, lines))
    return y


@writes(Softmax, LogSoftmax)
def _softmax(program: Program, layer: Any, x: str, shape: Shape) -> str:
    rows, size, y = math.prod(shape[:-1]), shape[-1], program.array(math.prod(shape))
    program.comment(layer)
    is_log = isinstance(layer, LogSoftmax)
    at = f"{_first(rows, size)}i"
    last = f"{x}[{at}] - most - logf(sum)" if is_log else f"expf({x}[{at}] - most) / sum"
    lines = [
        "float most = -INFINITY, sum = 0.0f;",
        f"for (int i = 0; i < {size}; i++) most = fmaxf(most, {x}[{at}]);",
        f"for (int i = 0; i < {size}; i++) sum += expf({x}[{at}] - most);",
        f"for (int i = 0; i < {size}; i++) {y}[{at}] = {last};",
    ]
    program.add(_block(rows, lines))
    return y


@writes(Permute)
def _permute(program: Program, layer: Any, x: str, shape: Shape) -> str:
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    wanted = [(shape[axis - 1], strides[axis - 1]) for axis in layer.axes]
    y = program.array(math.prod(shape))
    program.comment(layer)
    lines = [f"{'    ' * d}for (int i{d} = 0; i{d} < {length}; i{d}++)" for d, (length, _) in enumerate(wanted)]
    to, place = "", [f"i{d} * {stride}" for d, (_, stride) in enumerate(wanted)]
    for d, (length, _) in enumerate(wanted):
        to = f"({to}) * {length} + i{d}" if to else f"i{d}"
    lines.append(f"{'    ' * len(wanted)}{y}[{to}] = {x}[{' + '.join(place)}];")
    program.add("\n".join(lines))
    return y


# ---- windows


class _Sizes:
    """The numbers of a window over an image, and the loops over its places and entries; a sequence has height 1."""

    def __init__(self, window: Window, shape: Shape) -> None:
        self.channels, *size = shape
        self.h, self.w = (1, *size) if len(size) == 1 else tuple(size)
        self.oh, self.ow = window.places((self.h, self.w))
        (self.kh, self.kw), (self.sh, self.sw), (self.dh, self.dw) = window.kernel, window.stride, window.dilation
        self.top, self.left = window.padding[0][0], window.padding[1][0]
        self.leaves = window.ceil or any(map(any, window.padding))  # the image

    @property
    def places(self) -> int:
        return self.oh * self.ow

    def under(self, statement: str) -> list[str]:
        """Return the loops over the entries k, l of the kernel with a statement for those on the image, at i, j."""
        inside = f"if (i >= 0 && i < {self.h} && j >= 0 && j < {self.w}) " if self.leaves else ""
        return [
            f"for (int k = 0; k < {self.kh}; k++)",
            f"    for (int l = 0; l < {self.kw}; l++) {{",
            f"        const int i = {_place('r', self.sh, 'k', self.dh, self.top)};",
            f"        const int j = {_place('c', self.sw, 'l', self.dw, self.left)};",
            f"        {inside}{statement}",
            "    }",
        ]

    def loops(self, channels: int, lines: list[str]) -> str:
        """Return statements for each number of y."""
        inner = "\n".join(f"            {line}" for line in lines)
        return (
            f"for (int o = 0; o < {channels}; o++)\n"
            f"    for (int r = 0; r < {self.oh}; r++)\n"
            f"        for (int c = 0; c < {self.ow}; c++) {{\n{inner}\n"
            "        }"
        )


def _place(output: str, stride: int, entry: str, dilation: int, before: int) -> str:
    """Return the index on the image of an entry of the kernel at a place."""
    index = f"{_times(output, stride)} + {_times(entry, dilation)}"
    return f"{index} - {before}" if before else index


def _times(name: str, factor: int) -> str:
    return name if factor == 1 else f"{name} * {factor}"


@writes(Conv1d, Conv2d)
def _convolution(program: Program, layer: Any, x: str, shape: Shape) -> str:
    sizes, inner = _Sizes(layer.window, shape), layer.in_channels // layer.groups
    y = program.array(layer.out_channels * sizes.places)
    program.comment(layer)
    weight = program.matrix("weight", layer.weight.value)
    total = weight.scaled("sum", "o")
    if layer.bias is not None:
        total += f" + {program.constant('bias', layer.bias.value)}[o]"
    each = layer.out_channels // layer.groups
    channel = "m" if layer.groups == 1 else f"({_times(f'o / {each}', inner)} + m)"
    entry = weight.entry(f"((o * {inner} + m) * {sizes.kh} + k) * {sizes.kw} + l")
    at = f"({channel} * {sizes.h} + i) * {sizes.w} + j"
    lines = [
        "float sum = 0.0f;",
        f"for (int m = 0; m < {inner}; m++)",
        *("    " + line for line in sizes.under(f"sum += {entry} * {x}[{at}];")),
        f"{y}[(o * {sizes.oh} + r) * {sizes.ow} + c] = {total};",
    ]
    program.add(sizes.loops(layer.out_channels, lines))
    return y


@writes(MaxPool1d, MaxPool2d)
def _max_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    sizes = _Sizes(layer.window, shape)
    y = program.array(sizes.channels * sizes.places)
    program.comment(layer)
    at = f"{x}[(o * {sizes.h} + i) * {sizes.w} + j]"
    lines = [
        "float most = -INFINITY;",
        *sizes.under(f"most = fmaxf(most, {at});"),
        f"{y}[(o * {sizes.oh} + r) * {sizes.ow} + c] = most;",
    ]
    program.add(sizes.loops(sizes.channels, lines))
    return y


@writes(AvgPool1d, AvgPool2d)
def _avg_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    sizes = _Sizes(layer.window, shape)
    y = program.array(sizes.channels * sizes.places)
    program.comment(layer)
    at = f"{x}[(o * {sizes.h} + i) * {sizes.w} + j]"
    counted = not layer.count_include_pad
    divisor = "(float)count" if counted else number(sizes.kh * sizes.kw)
    lines = [
        "float sum = 0.0f;",
        *(["int count = 0;"] if counted else []),
        *sizes.under(f"{{ sum += {at}; count++; }}" if counted else f"sum += {at};"),
        f"{y}[(o * {sizes.oh} + r) * {sizes.ow} + c] = sum / {divisor};",
    ]
    program.add(sizes.loops(sizes.channels, lines))
    return y


@writes(GlobalAvgPool)
def _global_avg_pool(program: Program, layer: Any, x: str, shape: Shape) -> str:
    channels, size = shape[0], math.prod(shape[1:])
    y = program.array(channels)
    program.comment(layer)
    program.add(
        f"for (int o = 0; o < {channels}; o++) {{\n"
        "    float sum = 0.0f;\n"
        f"    for (int i = 0; i < {size}; i++) sum += {x}[o * {size} + i];\n"
        f"    {y}[o] = sum / {number(size)};\n"
        "}"
    )
    return y
