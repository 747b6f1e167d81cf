"""padding: how many zeros Keras puts before and after an axis, so that its length is divided by the stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from nanonet.core.layer import Layer
from nanonet.interchange.keras.nodes import Shape
from nanonet.layers.wired import Wired

T = TypeVar("T")

Ends = tuple[int, int]


def same_ends(length: int | None, reach: int, stride: int) -> Ends | None:
    """Return what padding="same" adds before and after an axis, one more behind; None if that depends on its length."""
    if length is None:
        if stride > 1:
            return None
        length = 1
    total = max((-(-length // stride) - 1) * stride + reach - length, 0)
    return total // 2, total - total // 2


def needed(found: T | None, what: str) -> T:
    """Return what depends on a length, or raise ValueError if it is not known."""
    if found is None:
        raise ValueError(
            f"{what}: depends on the size of the input, which the file leaves open; save a model that begins with "
            "keras.Input((height, width, channels)), or (length, channels)"
        )
    return found


def count_of(length: int | None, reach: int, stride: int, ends: Ends) -> int | None:
    """Return how many places a kernel has along an axis; None if its length is not known."""
    if length is None:
        return None
    free = length + sum(ends) - reach
    if free < 0:
        raise ValueError(f"its kernel reaches over {reach}, and its input has a length of {length}")
    return free // stride + 1


def cropped(layer: Layer, lengths: Shape, more: Sequence[Ends]) -> Layer:
    """Return a layer that cuts off so many entries before and after what another one gives, to these lengths."""
    steps: list[tuple[Any, ...]] = [(0, 0)]
    value, count = 1, 2  # the value so far, and how many there are
    for axis, (length, (before, after)) in enumerate(zip(lengths, more, strict=True), 2):
        if before or after:
            pieces = [before, needed(length, "padding='same' at such strides"), after]
            steps.append(("split", value, tuple(filter(None, pieces)), axis))
            value, count = count + bool(before), count + 1 + bool(before) + bool(after)
    return Wired([layer], steps, value) if len(steps) > 1 else layer
