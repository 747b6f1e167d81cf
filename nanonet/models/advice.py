"""Advice: what to type instead of an input of a wrong shape."""

from __future__ import annotations

import math

from nanonet.core.arrays import Array, Pattern
from nanonet.core.checks import axes


def for_shape(expected: Pattern, x: Array) -> str:
    """Return what to try instead of an input of another shape than the expected one, or nothing."""
    lengths, shape = axes(expected), x.shape
    if lengths == shape:
        return "; for one sample try x.reshape(1, -1)"
    if len(shape) > 2 and len(lengths) == 1 and math.prod(shape[1:]) == lengths[0]:
        return "; try Flatten() as the first layer"
    if len(lengths) > 1 and len(shape) == len(lengths) + 1 and lengths[0] == shape[-1]:
        order = ", ".join(map(str, (0, len(shape) - 1, *range(1, len(shape) - 1))))
        return f"; channels come first: try x.transpose({order})"
    if len(lengths) > 1 and len(shape) == len(lengths) and lengths[0] == 1:
        return "; for one channel try x[:, None]"
    if len(lengths) > 1 and len(shape) == len(lengths) and shape[0] == lengths[0]:
        return "; for one sample try x[None]"
    return ""
