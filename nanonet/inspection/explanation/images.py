"""How layers for images are explained: which places of an image meet an entry, and what goes back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Shape
from nanonet.inspection.explanation.terms import Factor, Terms, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.flatten import Flatten
from nanonet.layers.pad import Pad
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.resize import Upsample, ZeroPad2d
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
    "en": "`{z}` appears in every sum of its channel, as a separate term:",
    "ja": "`{z}` は、そのチャネルのすべての和に、単独の項として現れます。",
}
COVERED = {
    "en": "Each entry of `{x}` goes into the sums `{y}` of the places at which the kernels cover it, with the weight "
    "that lies on it:",
    "ja": "`{x}` の各成分は、カーネルがそれを覆う位置の和 `{y}` に、重なった重みを掛けて加えられます。",
}
SPREAD = {
    "en": "`{z}` multiplies every entry of a channel of `{x}`, {count} in all, and each product is a term of an entry "
    "of `{y}`; the gradient is a sum over these:",
    "ja": "`{z}` は、`{x}` のあるチャネルの {count} 個の成分すべてに掛けられ、それぞれの積は `{y}` の成分の項に"
    "なります。勾配は、これらについての和です。",
}
SPREAD_CUT = {
    "en": "`{z}` multiplies every entry of a channel of `{x}`, and each product is a term of an entry of `{y}`; "
    "padding cuts off {more} of them, and the gradient is a sum over the other {count}:",
    "ja": "`{z}` は、`{x}` のあるチャネルの成分すべてに掛けられ、それぞれの積は `{y}` の成分の項になります。そのうち "
    "{more} 個はパディングで切り落とされ、勾配は残りの {count} 個についての和です。",
}
HANDED = {
    "en": "Each entry of `{x}` is multiplied by every weight of its kernels, and each product is added to the entry of "
    "`{y}` on which that weight lies:",
    "ja": "`{x}` の各成分は、そのカーネルのすべての重みを掛けて、重みが重なる `{y}` の成分に加えられます。",
}
LARGEST = {
    "en": "The gradient of each maximum `{y}` goes to the first entry of `{x}` that has its value:",
    "ja": "最大値 `{y}` の勾配は、その値をもつ最初の `{x}` の成分に渡されます。",
}
MEAN = {
    "en": "Each entry of `{x}` has an equal share in the means `{y}` that it goes into:",
    "ja": "`{x}` の各成分は、それを含む平均 `{y}` に等しい割合で加えられます。",
}
REPEATED = {
    "en": "Each entry of `{x}` is repeated as an area of `{y}`:",
    "ja": "`{x}` の各成分は、`{y}` の 1 つの領域に繰り返されます。",
}
SHARED = {
    "en": "Each entry of `{x}` goes into entries of `{y}`, with its share `{factor}` in each:",
    "ja": "`{x}` の各成分は、`{y}` の各成分に割合 `{factor}` で加えられます。",
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
        return _added(place[0], record.output.shape[2:])
    return _covered(layer, place, record.output.shape[2:])


def _added(channel: int, out: Shape) -> Terms:
    """Return the terms of a bias: every place of its channel."""
    letters = LETTERS[: len(out)]
    return Terms(_in_channel(channel, _grid(out)), words=ADDED, general=(letters, _listed(channel, letters), ""))


def _kernel_entry(layer: Any, place: tuple[int, ...], image: Shape, out: Shape) -> Terms:
    """Return the terms of one entry of a kernel: one for each place of the kernel at which it lies on the image."""
    o, own, *kernel = place
    channel = o // (layer.out_channels // layer.groups) * (layer.in_channels // layer.groups) + own
    stride, shift = _steps(layer.window, tuple(kernel))
    outputs = _grid(out)
    places = outputs * stride + shift
    on = np.all((places >= 0) & (places < image), axis=1)
    words = _counted(MEETS if on.all() else MEETS_PADDING, on)
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


@explains(ConvTranspose2d, sums=True)
def _transposed(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    layer: Any = record.layer
    out = record.output.shape[2:]
    if name == "bias":
        return _added(place[0], out)
    if name == "weight":
        return _spread_entry(layer, place, record.input.shape[2:], out)
    channel, *at = place
    both = [
        ((o, *where), (channel, own, *kernel))
        for own, o in enumerate(_handed_to(layer, channel))
        for kernel in product(*map(range, layer.kernel_size))
        if _inside(where := _landed(layer, np.array([at]), kernel)[0].tolist(), out)
    ]
    return Terms([output for output, _ in both], "weight", [weight for _, weight in both], HANDED)


def _spread_entry(layer: ConvTranspose2d, place: tuple[int, ...], image: Shape, out: Shape) -> Terms:
    """Return the terms of one entry of a kernel that is added to y: one for each x whose product lies on y."""
    channel, own, *kernel = place
    entries = _grid(image)
    outputs = _landed(layer, entries, tuple(kernel))
    on = np.all((outputs >= 0) & (outputs < out), axis=1)
    o = _handed_to(layer, channel)[own]
    shift = _landed(layer, np.zeros((1, 2), int), tuple(kernel))[0]
    moved = [_moved(*each) for each in zip(LETTERS, layer.stride, shift.tolist(), strict=True)]
    general = (LETTERS, _listed(o, moved), _listed(channel, LETTERS))
    words = _counted(SPREAD if on.all() else SPREAD_CUT, on)
    return Terms(_in_channel(o, outputs[on]), "x", _in_channel(channel, entries[on]), words, general)


def _handed_to(layer: ConvTranspose2d, channel: int) -> range:
    """Return the channels of y that a channel of x is added to."""
    count = layer.out_channels // layer.groups
    first = channel // (layer.in_channels // layer.groups) * count
    return range(first, first + count)


def _landed(layer: ConvTranspose2d, entries: Places, kernel: Shape) -> Places:
    """Return where on y an entry of the kernel lies, for places of x."""
    shift: Places = np.array(kernel) * layer.dilation - np.array(layer.padding)
    return entries * layer.stride + shift


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


@explains(Upsample, Pad, ZeroPad2d, AdaptiveAvgPool2d)
def _linear(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms:
    """Return the entries of y that a single 1 in an image is spread over, and how much of it each has."""
    channel, *at = place
    single = np.zeros((1, 1, *record.input.shape[2:]), record.input.dtype)
    single[(0, 0, *at)] = 1
    y = (record.layer.forward(single)[0] - record.layer.forward(np.zeros_like(single))[0])[0, 0]  # without a constant
    near = np.argwhere(y)
    shares = y[tuple(near.T)]
    outputs, words = _in_channel(channel, near), MOVED if len(near) == 1 else REPEATED
    if (shares == 1).all():
        return Terms(outputs, words=words)
    return Terms(outputs, Factor("s", shares), np.column_stack([near, np.full_like(near, at)]), SHARED)


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


def _counted(words: dict[str, str], on: Places) -> dict[str, str]:
    """Return words with the number of terms, and of the places without one."""
    counts = (("{count}", int(on.sum())), ("{more}", int(on.size - on.sum())))
    for mark, count in counts:
        words = {lang: text.replace(mark, str(count)) for lang, text in words.items()}
    return words


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
