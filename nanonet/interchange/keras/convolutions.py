"""convolutions: registers convolutions, whose "same" padding depends on the size of the image in Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.interchange.keras.elementwise import activate
from nanonet.interchange.keras.nodes import Shape
from nanonet.interchange.keras.padding import Ends, count_of, cropped, needed, same_ends
from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import reads
from nanonet.interchange.keras.weights import Numbers
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.reshape import Reshape
from nanonet.layers.resize import ZeroPad2d


@reads("Conv1D", "Conv2D", "Convolution1D", "Convolution2D")
def convolution(reached: Reached) -> None:
    """Kernel is (*kernel_size, channels / groups, filters)."""
    count = 1 if reached.described.kind.endswith("1D") else 2
    lengths, channels = reached.images(count), reached.channels
    filters, groups = reached.size("filters"), reached.size("groups", 1)
    sizes = reached.sizes("kernel_size", count)
    kernel = reached.array(0, "kernel", *sizes, channels // groups, filters)
    weight = np.moveaxis(kernel, (-1, -2), (0, 1))
    biased = reached.flag("use_bias", True)
    bias = reached.array(1, "bias", filters) if biased else None
    convolved(reached, lengths, weight, bias, groups)
    activate(reached)


@reads("DepthwiseConv2D")
def depthwise(reached: Reached) -> None:
    """Read depthwise_kernel, (*kernel_size, channels, multiplier), a group for each channel."""
    _depthwise(reached, 0, bias=reached.flag("use_bias", True))
    activate(reached)


@reads("SeparableConv2D", "SeparableConvolution2D")
def separable(reached: Reached) -> None:
    """Read a convolution of each channel, then one of kernel size 1 that mixes them."""
    _depthwise(reached, 0, bias=False)
    filters, biased = reached.size("filters"), reached.flag("use_bias", True)
    kernel = reached.array(1, "pointwise_kernel", 1, 1, reached.channels, filters)
    bias = reached.array(2, "bias", filters) if biased else None
    lengths = reached.images(2)
    layer = Conv2d(reached.channels, filters, 1) if biased else Conv2d(reached.channels, filters, 1, bias=False)
    reached.add(layer, reached.with_images(filters, lengths))
    _filled(reached, layer, np.moveaxis(kernel, (-1, -2), (0, 1)), bias)
    activate(reached)


def _depthwise(reached: Reached, i: int, *, bias: bool) -> None:
    lengths, channels = reached.images(2), reached.channels
    many = reached.size("depth_multiplier", 1)
    name = "depthwise_kernel" if reached.described.kind.startswith("Separable") else DEPTHWISE
    kernel = reached.array(i, name, *reached.sizes("kernel_size", 2), channels, many)
    weight = kernel.reshape(*kernel.shape[:2], 1, channels * many)
    biases = reached.array(i + 1, "bias", channels * many) if bias else None
    convolved(reached, lengths, np.moveaxis(weight, (-1, -2), (0, 1)), biases, channels)


DEPTHWISE = "kernel"


def convolved(reached: Reached, lengths: Shape, weight: Numbers, bias: Numbers | None, groups: int) -> None:
    """Add a convolution, with a ZeroPad2d before it if its padding differs between two ends."""
    count, sizes = len(lengths), weight.shape[2:]
    strides, dilation = reached.sizes("strides", count, 1), reached.sizes("dilation_rate", count, 1)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(sizes, dilation, strict=True))
    ends = _ends(reached, lengths, reach, strides)
    channels, filters = weight.shape[1] * groups, len(weight)
    out = tuple(count_of(n, k, s, e) for n, k, s, e in zip(lengths, reach, strides, ends, strict=True))
    options: dict[str, Any] = {"stride": strides, "dilation": dilation}
    options = {name: _short(each) for name, each in options.items() if set(each) != {1}}
    options |= {"groups": groups} if groups > 1 else {}
    options |= {} if bias is not None else {"bias": False}
    even = all(before == after for before, after in ends)
    if even or (set(strides) == {1} and ends == tuple(same_ends(None, k, 1) for k in reach)):
        padding: Any = _short(tuple(before for before, _ in ends)) if even else "same"
        options |= {"padding": padding} if padding else {}
        layer: Layer = (Conv1d if count == 1 else Conv2d)(channels, filters, _short(sizes), **options)
        reached.add(layer)
    else:
        flat = count == 1  # there is no padding of sequences, so that they are images of one row
        (top, bottom), (left, right) = ((0, 0), *ends) if flat else ends
        if flat:
            reached.add(Reshape(channels, 1, -1))
            options = {name: (1, each) if name in ("stride", "dilation") else each for name, each in options.items()}
            weight = weight[:, :, None]
        reached.add(ZeroPad2d((left, right, top, bottom)))
        layer = Conv2d(channels, filters, weight.shape[2:] if flat else _short(sizes), **options)
        reached.add(layer)
        if flat:
            reached.add(Reshape(filters, -1))
    reached.shape = reached.with_images(filters, out)
    _filled(reached, layer, weight, bias)


def _ends(reached: Reached, lengths: Shape, reach: tuple[int, ...], strides: tuple[int, ...]) -> tuple[Ends, ...]:
    """Return what is added before and after each axis."""
    padding = reached.setting("padding", "valid")
    each = zip(lengths, reach, strides, strict=True)
    if padding == "same":
        return tuple(needed(same_ends(n, k, s), "padding='same' with strides") for n, k, s in each)
    if padding == "causal" and len(lengths) == 1:
        return ((reach[0] - 1, 0),)
    if padding != "valid":
        raise ValueError(f"expected padding as 'valid', 'same' or 'causal', got {padding!r:.60}")
    return ((0, 0),) * len(lengths)


def _filled(reached: Reached, layer: Layer, weight: Numbers, bias: Numbers | None) -> None:
    reached.fill(layer, weight=weight, **({} if bias is None else {"bias": bias}))


def _short(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    """Return sizes that are equal as one number."""
    return sizes[0] if len(set(sizes)) == 1 else sizes


# ---- transposed


@reads("Conv2DTranspose", "Convolution2DTranspose")
def transposed(reached: Reached) -> None:
    """Kernel is (*kernel_size, filters, channels)."""
    lengths, channels = reached.images(2), reached.channels
    filters, sizes = reached.size("filters"), reached.sizes("kernel_size", 2)
    strides, dilation = reached.sizes("strides", 2, 1), reached.sizes("dilation_rate", 2, 1)
    kernel, biased = reached.array(0, "kernel", *sizes, filters, channels), reached.flag("use_bias", True)
    more = (None, None) if reached.config.get("output_padding") is None else _sizes_from_0(reached, "output_padding")
    reach = tuple(d * (k - 1) + 1 for k, d in zip(sizes, dilation, strict=True))
    cuts = [_cut(reached, k, s, m) for k, s, m in zip(reach, strides, more, strict=True)]
    whole = [None if n is None else (n - 1) * s + k for n, s, k in zip(lengths, strides, reach, strict=True)]
    out = tuple(None if n is None else n - before - after for n, (before, after) in zip(whole, cuts, strict=True))
    behind = tuple(max(0, before - after) for before, after in cuts)
    if any(m >= max(s, d) for m, s, d in zip(behind, strides, dilation, strict=True)):
        reached.refuse(f"padding and output_padding add {behind} behind, which nanonet allows below strides alone")
    options: dict[str, Any] = {"stride": strides, "dilation": dilation}
    options = {name: _short(each) for name, each in options.items() if set(each) != {1}}
    options |= {"padding": _short(before)} if any(before := tuple(cut[0] for cut in cuts)) else {}
    options |= {"output_padding": _short(behind)} if any(behind) else {}
    options |= {} if biased else {"bias": False}
    layer = ConvTranspose2d(channels, filters, _short(sizes), **options)
    rest = [(0, max(0, after - before)) for before, after in cuts]
    reached.add(cropped(layer, out, rest), reached.with_images(filters, out))
    bias = reached.array(1, "bias", filters) if biased else None
    _filled(reached, layer, np.moveaxis(kernel, (-1, -2), (0, 1)), bias)
    activate(reached)


def _cut(reached: Reached, reach: int, stride: int, more: int | None) -> Ends:
    """Return what Keras cuts off before and after an axis of (n - 1) stride + reach; below 0 for what it adds."""
    if reached.setting("padding", "valid") == "valid":
        return 0, -(max(reach, stride) - reach if more is None else more)
    total = reach - stride if more is None else reach - reach % 2 - more
    before = max(0, total // 2)
    return before, total - before


def _sizes_from_0(reached: Reached, name: str) -> tuple[int, ...]:
    value: Any = reached.setting(name)
    each = tuple(value) if isinstance(value, list) else (value,) * 2
    if len(each) != 2 or any(type(n) is not int or n < 0 for n in each):
        raise ValueError(f"expected {name} as 2 of 0 or more, got {value!r:.60}")
    return each
