"""images: registers pooling and what else changes the size of sequences and images."""

from __future__ import annotations

from typing import Any

from nanonet.core.layer import Layer
from nanonet.interchange.keras.nodes import Shape
from nanonet.interchange.keras.padding import Ends, count_of, cropped, needed, same_ends
from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import reads
from nanonet.layers.dropout import Dropout2d
from nanonet.layers.flatten import Flatten
from nanonet.layers.pool import AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.reshape import Reshape
from nanonet.layers.resize import Upsample, ZeroPad2d


def _count(reached: Reached) -> int:
    """Return how many axes a layer is for, by its name."""
    return 1 if reached.described.kind.endswith("1D") else 2


@reads("MaxPooling1D", "MaxPooling2D", "MaxPool1D", "MaxPool2D")
def max_pooling(reached: Reached) -> None:
    """Read the maximum; padding that is longer behind is ceil_mode."""
    count = _count(reached)
    lengths, sizes, strides, ends = _places(reached, count)
    options: dict[str, Any] = {} if strides == sizes else {"stride": _short(strides)}
    # at stride 1 there is one place more in front, which is cut off
    extra = [int(after > before and stride == 1) for (before, after), stride in zip(ends, strides, strict=True)]
    if any(after > before for before, after in ends):
        options |= {"ceil_mode": True} if any(s > 1 for s in strides) else {}
    padding = tuple(before + more for (before, _), more in zip(ends, extra, strict=True))
    options |= {"padding": _short(padding)} if any(padding) else {}
    layer = (MaxPool1d if count == 1 else MaxPool2d)(_short(sizes), **options)
    out = tuple(count_of(*each) for each in zip(lengths, sizes, strides, ends, strict=True))
    reached.add(cropped(layer, out, [(more, 0) for more in extra]))
    _pooled(reached, lengths, sizes, strides, ends)


@reads("AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D")
def average_pooling(reached: Reached) -> None:
    """Read a mean in which padding does not count; it must be the same at both ends."""
    count = _count(reached)
    lengths, sizes, strides, ends = _places(reached, count)
    if any(before != after for before, after in ends):
        reached.refuse(
            f"pool_size={sizes}, strides={strides} with padding='same' on samples of {reached.shape}: it pads the two "
            "ends differently, which nanonet's mean does not, and Keras's backends do each in its own way"
        )
    options: dict[str, Any] = {} if strides == sizes else {"stride": _short(strides)}
    if any(before for before, _ in ends):
        options |= {"padding": _short(tuple(before for before, _ in ends)), "count_include_pad": False}
    reached.add((AvgPool1d if count == 1 else AvgPool2d)(_short(sizes), **options))
    _pooled(reached, lengths, sizes, strides, ends)


def _places(reached: Reached, count: int) -> tuple[Shape, tuple[int, ...], tuple[int, ...], tuple[Ends, ...]]:
    """Return the lengths of the axes, the sizes of the kernel, the strides, and the padding."""
    lengths, sizes = reached.images(count), reached.sizes("pool_size", count)
    strides = sizes if reached.config.get("strides") is None else reached.sizes("strides", count)
    padding = reached.setting("padding", "valid")
    if padding == "valid":
        return lengths, sizes, strides, ((0, 0),) * count
    if padding != "same":
        raise ValueError(f"expected padding as 'valid' or 'same', got {padding!r:.60}")
    each = zip(lengths, sizes, strides, strict=True)
    return lengths, sizes, strides, tuple(needed(same_ends(n, k, s), "padding='same' with strides") for n, k, s in each)


def _pooled(
    reached: Reached, lengths: Shape, sizes: tuple[int, ...], strides: tuple[int, ...], ends: tuple[Ends, ...]
) -> None:
    each = zip(lengths, sizes, strides, ends, strict=True)
    reached.shape = reached.with_images(
        reached.shape[0 if reached.channels_first else -1], tuple(count_of(*one) for one in each)
    )


@reads("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D")
def global_average(reached: Reached) -> None:
    """Read the mean over all places."""
    reached.images(_count(reached))
    _globally(reached, GlobalAvgPool())


@reads("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPool1D", "GlobalMaxPool2D")
def global_max(reached: Reached) -> None:
    """Read a pooling as large as the image, whose size must be known."""
    count = _count(reached)
    lengths = tuple(needed(n, reached.described.kind) for n in reached.images(count))
    reached.add((MaxPool1d if count == 1 else MaxPool2d)(_short(lengths)))
    _globally(reached, Flatten())


def _globally(reached: Reached, layer: Layer) -> None:
    channels = reached.channels
    kept, count = reached.flag("keepdims", False), len(reached.shape) - 1
    moved = reached.moved
    reached.add(layer, (channels,))
    if kept:
        reached.add(Reshape(channels, *[1] * count), reached.with_images(channels, (1,) * count))
        reached.moved = moved


@reads("SpatialDropout1D", "SpatialDropout2D")
def spatial_dropout(reached: Reached) -> None:
    """Read a dropout of whole channels."""
    count = _count(reached)
    reached.images(count)
    layer = Dropout2d(reached.number("rate"))
    if count == 2:
        reached.add(layer)
    else:
        _as_images(reached, layer, reached.shape[-1])


def _as_images(reached: Reached, layer: Layer, channels: int | None) -> None:
    """Add a layer for images to sequences, as images of one row."""
    channels = needed(channels, reached.described.kind)
    for each in (Reshape(channels, 1, -1), layer, Reshape(channels, -1)):
        reached.add(each)


@reads("UpSampling1D", "UpSampling2D")
def upsampling(reached: Reached) -> None:
    """Read what repeats, or interpolates."""
    count = _count(reached)
    lengths, channels = reached.images(count), reached.channels
    sizes = reached.sizes("size", count)
    mode: Any = reached.setting("interpolation", "nearest") if count == 2 else "nearest"
    if mode not in ("nearest", "bilinear"):
        reached.refuse(f"interpolation={mode!r:.60}: nanonet has 'nearest' and 'bilinear'")
    out = tuple(None if n is None else n * f for n, f in zip(lengths, sizes, strict=True))
    if count == 2:
        reached.add(Upsample(_short(sizes)) if mode == "nearest" else Upsample(_short(sizes), mode))
    else:
        _as_images(reached, Upsample((1, *sizes)), channels)
    reached.shape = reached.with_images(channels, out)


@reads("ZeroPadding1D", "ZeroPadding2D")
def zero_padding(reached: Reached) -> None:
    """Read zeros before and after each axis."""
    count = _count(reached)
    lengths, channels = reached.images(count), reached.channels
    ends = _padding(reached, count)
    out = tuple(None if n is None else n + sum(each) for n, each in zip(lengths, ends, strict=True))
    (top, bottom), (left, right) = ends if count == 2 else ((0, 0), *ends)
    layer = ZeroPad2d((left, right, top, bottom))
    if count == 2:
        reached.add(layer)
    else:
        _as_images(reached, layer, channels)
    reached.shape = reached.with_images(channels, out)


def _padding(reached: Reached, count: int) -> list[Ends]:
    """Return what is added before and after each axis, from (before, after), or one such pair for each of two axes."""
    value: Any = reached.setting("padding")
    each: Any = [value] if count == 1 else value
    if isinstance(value, int):
        each = [[value, value]] * count
    pairs = [tuple(pair) if isinstance(pair, (list, tuple)) else (pair, pair) for pair in each]
    if len(pairs) != count or any(len(p) != 2 or any(type(n) is not int or n < 0 for n in p) for p in pairs):
        raise ValueError(f"expected padding of 0 or more, got {value!r:.60}")
    return pairs


def _short(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes
