"""Images: the writers of convolution, pooling, resizing and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Shape
from nanonet.interchange.onnx.draft import Draft
from nanonet.interchange.onnx.registration import writes
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.pad import Pad
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.resize import Upsample, ZeroPad2d


def _window(layer: Any) -> dict[str, Any]:
    """Return where the kernel lies, as attributes; a sequence has one axis, the width of its window."""
    window, first = layer.window, 2 - layer.axes
    ends = window.padding[first:]
    return {
        "kernel_shape": window.kernel[first:],
        "strides": window.stride[first:],
        "pads": [*(before for before, _ in ends), *(after for _, after in ends)],
    }


def _weights(draft: Draft, layer: Any) -> list[str]:
    weight = draft.constant("weight", layer.weight.value)
    return [weight] if layer.bias is None else [weight, draft.constant("bias", layer.bias.value)]


@writes(Conv1d, Conv2d)
def _conv(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    dilation = layer.window.dilation[2 - layer.axes :]
    return draft.add("Conv", x, *_weights(draft, layer), **_window(layer), dilations=dilation, group=layer.groups)


@writes(ConvTranspose2d)
def _conv_transpose(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    where = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
    pads, more = [*layer.padding, *layer.padding], layer.output_padding
    weights = _weights(draft, layer)
    return draft.add("ConvTranspose", x, *weights, **where, pads=pads, output_padding=more, group=layer.groups)


@writes(MaxPool1d, MaxPool2d)
def _max_pool(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a MaxPool; with ceil_mode, the padding that its places need, where opsets and runtimes count another one."""
    window, first = layer.window, 2 - layer.axes
    settings = {**_window(layer), "dilations": window.dilation[first:], "ceil_mode": int(window.ceil)}
    if window.ceil:
        size = (1,) * first + tuple(shape[1:])
        axes = list(zip(size, window.places(size), window.stride, window.reach, window.padding, strict=True))[first:]
        if any(count * stride < n + sum(ends) - reach + stride for n, count, stride, reach, ends in axes):
            after = [max(0, (m - 1) * stride + reach - ends[0] - n) for n, m, stride, reach, ends in axes]
            if any(pad >= n for pad, n in zip(after, layer.kernel_size, strict=True)):
                raise ValueError(
                    f"{draft.whose(layer)}: its ceil_mode needs {max(after)} of padding on this input, "
                    f"and ONNX takes less than kernel_size={layer.kernel_size}"
                )
            settings |= {"pads": [*(ends[0] for *_, ends in axes), *after], "ceil_mode": 0}
    return draft.add("MaxPool", x, **settings)


@writes(AvgPool1d, AvgPool2d)
def _avg_pool(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("AveragePool", x, **_window(layer), count_include_pad=int(layer.count_include_pad))


@writes(GlobalAvgPool)
def _global_avg_pool(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    return draft.add("ReduceMean", x, axes=list(range(2, 1 + len(shape))), keepdims=0)


@writes(AdaptiveAvgPool2d)
def _adaptive_avg_pool(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add the mean of the whole image, or a pooling with areas of equal size."""
    size = [wanted or n for wanted, n in zip(layer.output_size, shape[1:], strict=True)]
    if size == [1, 1]:
        return draft.add("ReduceMean", x, axes=[2, 3], keepdims=1)
    if any(n % out for n, out in zip(shape[1:], size, strict=True)):
        raise TypeError(
            f"{draft.whose(layer)}: ONNX has no pooling with areas of different sizes, as for images of "
            f"{shape[1]} x {shape[2]}; choose an output_size that divides them"
        )
    kernel = [n // out for n, out in zip(shape[1:], size, strict=True)]
    return draft.add("AveragePool", x, kernel_shape=kernel, strides=kernel)


@writes(Upsample)
def _upsample(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    scales = draft.constant("scales", np.array([1, 1, *layer.scale_factor], np.float32))
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if layer.mode == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return draft.add("Resize", x, "", scales, **how)


@writes(ZeroPad2d)
def _zero_pad(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    left, right, top, bottom = layer.padding
    return draft.add("Pad", x, draft.integers(0, 0, top, left, 0, 0, bottom, right))


@writes(Pad)
def _pad(draft: Draft, layer: Any, x: str, shape: Shape) -> str:
    """Add a Pad, whose mode "wrap" is newer than opset 17."""
    if layer.mode == "circular":
        raise ValueError(f"{draft.whose(layer)}: opset 17 has no circular Pad")
    pads = draft.integers(0, 0, *(before for before, _ in layer.ends), 0, 0, *(after for _, after in layer.ends))
    value = [draft.number(layer.value)] if layer.value else []
    return draft.add("Pad", x, pads, *value, mode="edge" if layer.mode == "replicate" else layer.mode)
