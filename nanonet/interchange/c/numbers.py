"""Numbers as C writes them: floats so that the same is read, weights as int8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.interchange.c.loops import LINE


def number(value: Any) -> str:
    """Return a float as C writes it.

    Examples
    --------
    >>> number(1), number(0.1), number(1e-20), number(-np.inf)
    ('1.0f', '0.1f', '1e-20f', '-INFINITY')
    """
    single = np.float32(value)
    if np.isinf(single):
        return "INFINITY" if single > 0 else "-INFINITY"
    return f"{single!s}f"  # the fewest digits from which the same float32 is read


def quantized(array: Array) -> tuple[Any, Array]:
    """Return weights as int8 and a factor for each row, whose products are nearest to them."""
    rows = np.asarray(array, np.float64).reshape(len(array), -1)
    scales = np.abs(rows).max(axis=1) / 127
    scales[scales == 0] = 1
    whole = np.rint(rows / scales[:, None]).astype(np.int8).reshape(np.shape(array))
    return whole, scales.astype(np.float32)


def wrapped(words: list[str]) -> Iterable[str]:
    """Yield lines of words with commas between them."""
    line = "   "
    for i, word in enumerate(words):
        piece = word + ("," if i + 1 < len(words) else "")
        if len(line) + 1 + len(piece) > LINE:
            yield line
            line = "   "
        line += " " + piece
    yield line
