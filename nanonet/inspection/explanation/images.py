"""How convolution, pooling and Flatten are explained: which places of an image meet an entry, and what goes back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Shape
from nanonet.inspection.explanation.terms import Terms, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.conv import Conv1d, Conv2d
from nanonet.layers.flatten import Flatten
from nanonet.layers.pool import AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.windows import Window

Places = npt.NDArray[np.intp]
LETTERS = "ij"

MEETS = {
    "en": "At {count} places of its kernel `{z}` meets an entry of `{x}`, and their product is a term of the sum `{y}` "
    "of that place; the gradient is a sum over these places:",
    "ja": "`{z}` は、カーネルの {count} か所の位置で `{x}` の成分と重なり、その積は各位置の和 `{y}` の項になります。"
    "勾配は、これらの位置についての和です。",
}
MEETS_PADDING = {
    "en": "At {count} places of its kernel `{z}` meets an entry of `{x}`, and their product is a term of the sum `{y}` "
    "of that place; at the other {more} it meets the padding, which is 0. The gradient is a sum over the former:",
    "ja": "`{z}` は、カーネルの {count} か所の位置で `{x}` の成分と重なり、その積は各位置の和 `{y}` の項になります。"
    "残りの {more} か所では、値が 0 のパディングと重なります。勾配は、前者の位置についての和です。",
}
ADDED = {
    "en": "\nAt the other {more} it lies on the padding, which is 0.",
    "ja": "\n残りの {more} か所では、値が 0 のパディングと重なります。",
}
ADDED = {
    "en": "`{z}` appears in every sum of its channel, as a separate term:",
    "ja": "`{z}` は、そのチャネルのすべての和に、単独の項として現れます。",
}
COVERED = {
    "en": "Each entry of `{x}` goes into the sums `{y}` of the places at which the kernels cover it, with the weight "
    "that lies on it:",
    "ja": "`{x}` の各成分は、カーネルがそれを覆う位置の和 `{y}` に、重なった重みを掛けて加えられます。",
}
LARGEST = {
    "en": "The gradient of each maximum `{y}` goes to the first entry of `{x}` that has its value:",
    "ja": "最大値 `{y}` の勾配は、その値をもつ最初の `{x}` の成分に渡されます。",
}
MEAN = {
    "en": "Each entry of `{x}` has an equal share in the means `{y}` that it goes into:",
    "ja": "`{x}` の各成分は、それを含む平均 `{y}` に等しい割合で加えられます。",
}
MOVED = {
    "en": "Each entry of `{x}` has a new place in `{y}`:",
    "ja": "`{x}` の各成分は、`{y}` の中の新しい位置に移ります。",
}


@explains(Conv1d, Conv2d, sums=True)
def _convolution(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    if name == "weight":
        return _kernel_entry(layer, place, record.input.shape[2:], record.output.shape[2:])
    if name == "bias":
        out = record.output.shape[2:]
        letters = LETTERS[: len(out)]
        return Terms(_in_channel(place[0], _grid(out)), words=ADDED, general=(letters, _listed(place[0], letters), ""))
    return _covered(layer, place, record.output.shape[2:])


def _kernel_entry(layer: Any, place: tuple[int, ...], image: Shape, out: Shape) -> Terms:
    """Return the terms of one entry of a kernel: one for each place of the kernel at which it lies on the image."""
    o, own, *kernel = place
    channel = o // (layer.out_channels // layer.groups) * (layer.in_channels // layer.groups) + own
    stride, shift = _steps(layer.window, tuple(kernel))
    outputs = _grid(out)
    places = outputs * stride + shift
    on = ((places >= 0) & (places < image)).all(axis=1)
    counts = {"{count}": str(int(on.sum())), "{more}": str(int((~on).sum()))}
    words = MEETS if on.all() else MEETS_PADDING
    for mark, count in counts.items():
        words = {lang: text.replace(mark, count) for lang, text in words.items()}
    letters = LETTERS[: len(out)]
    moved = [_moved(*each) for each in zip(letters, stride, shift, strict=True)]
    general = (letters, _listed(o, letters), _listed(channel, moved))
    return Terms(_in_channel(o, outputs[on]), "x", _in_channel(channel, places[on]), words, general)


def _covered(layer: Any, place: tuple[int, ...], out: Shape) -> Terms:
    """Return the terms of an entry of x: one for each kernel of its group and each place at which that covers it."""
    channel, *at = place
    group, own = divmod(channel, layer.in_channels // layer.groups)
    kernels = layer.out_channels // layer.groups
    over = list(_over(layer.window, tuple(at), out))
    both = [((o, *where), (o, own, *k)) for o in range(group * kernels, (group + 1) * kernels) for k, where in over]
    return Terms([output for output, _ in both], "weight", [weight for _, weight in both], COVERED)


@explains(AvgPool1d, AvgPool2d)
def _mean(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    if any(layer.padding) and not layer.count_include_pad:
        return None  # the shares differ from place to place
    channel, *at = place
    outputs = [(channel, *where) for _, where in _over(layer.window, tuple(at), record.output.shape[2:])]
    share = record.output.dtype.type(1 / math.prod(layer.window.kernel))
    return Terms(outputs, share, words=MEAN)


@explains(GlobalAvgPool)
def _whole_mean(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    share = record.output.dtype.type(1 / math.prod(record.input.shape[2:]))
    return Terms([place[:1]], share, words=MEAN)


@explains(MaxPool1d, MaxPool2d)
def _maximum(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    channel, *at = place
    x, y = record.input[0, channel], record.output[0, channel]
    outputs = []
    for kernel, where in _over(layer.window, tuple(at), y.shape):
        stride, shift = _steps(layer.window, kernel)
        first = _grid(layer.window.kernel[2 - x.ndim :])
        dilation = np.array(layer.window.dilation[2 - x.ndim :])
        under = (np.array(where) * stride + shift) + (first - kernel) * dilation  # the entries under that maximum
        equal = (tuple(i) for i in under.tolist() if _inside(i, x.shape) and x[tuple(i)] == y[where])
        if next(equal, None) == tuple(at):
            outputs.append((channel, *where))
    return Terms(outputs, words=LARGEST)


@explains(Flatten)
def _flat(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    if record.input.ndim == 2:
        return None  # rows stay as they are
    return Terms([(int(np.ravel_multi_index(place, record.input.shape[1:])),)], words=MOVED)


# ---- places


def _grid(size: Shape) -> Places:
    """Return every place of an array, in order."""
    return np.indices(size).reshape(len(size), -1).T


def _in_channel(channel: int, places: Places) -> Places:
    return np.column_stack([np.full(len(places), channel), places])


def _steps(window: Window, kernel: Shape) -> tuple[Places, Places]:
    """Return s and d so that the entry of a kernel, at its place i, lies on i s + d of an image or sequence."""
    first = 2 - len(kernel)
    stride, dilation = np.array(window.stride[first:]), np.array(window.dilation[first:])
    return stride, np.array(kernel) * dilation - [before for before, _ in window.padding[first:]]


def _over(window: Window, at: Shape, out: Shape) -> Iterator[tuple[Shape, Shape]]:
    """Yield each entry of a kernel, and its place at which that entry lies on an entry of the image."""
    for kernel in product(*map(range, window.kernel[2 - len(at) :])):
        stride, shift = _steps(window, kernel)
        where, rest = np.divmod(np.array(at) - shift, stride)
        if not rest.any() and _inside(where, out):
            yield kernel, tuple(where.tolist())


def _inside(place: Any, size: Shape) -> bool:
    return all(0 <= i < n for i, n in zip(place, size, strict=True))


# ---- letters


def _listed(channel: int, letters: Any) -> str:
    return ", ".join([str(channel), *letters])


def _moved(letter: str, stride: int, shift: int) -> str:
    """Return i s + d as text.

    Examples
    --------
    >>> _moved("i", 1, 0), _moved("i", 2, -1)
    ('i', '2i − 1')
    """
    scaled = letter if stride == 1 else f"{stride}{letter}"
    return scaled if shift == 0 else f"{scaled} {'−' if shift < 0 else '+'} {abs(shift)}"
