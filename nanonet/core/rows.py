"""Rows: how many samples of a large batch go through a chain in one block, so that their numbers stay in the cache.

The arrays of a whole large batch are given back to the system after each pass, and cleared anew for the next: a full
batch of 10,000 samples through a net of 64 units takes more than twice as long as the same in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from nanonet.core.arrays import Patterns
from nanonet.core.checks import is_several, known
from nanonet.core.layer import Layer, below

CACHE = 96_000  # bytes of the widest output of a layer in one block; more than 128 KiB are given back when freed
FEWEST = 256  # samples of a block; products of fewer rows are slower
LARGE = 2 * FEWEST  # samples of a batch that is worth cutting


class Rows(NamedTuple):
    """How many samples a block has: in a prediction, in both passes, and in both passes of a training.

    Attributes
    ----------
    predict, gradients, training : int
        0 where a batch must stay whole.
    """

    predict: int
    gradients: int
    training: int


WHOLE = Rows(0, 0, 0)


def may_mix(layer: Layer, *, training: bool) -> bool:
    """Return whether a layer, or one below it, may relate the samples of a batch to each other."""
    said = [each.mixes_samples for each in below(layer)]
    return True in said or (training and any(said))


def rows_in_cache(layer: Layer, outputs: Iterable[Patterns | None], itemsize: int) -> Rows:
    """Return how many samples a block has for the output shapes of the layers.

    With gradients each block costs a sum over all parameters, which must be little beside what the layers compute.
    """
    shapes: list[Any] = [None if out is None else known(out) for out in outputs]
    if None in shapes or not shapes or may_mix(layer, training=False):
        return WHOLE
    widths = [sum(math.prod(part) for part in (shape if is_several(shape) else (shape,))) for shape in shapes]
    rows = max(FEWEST, CACHE // (max(*widths, 1) * itemsize))
    size = sum(parameter.size for parameter in layer.parameters().values())
    gradients = rows if size <= rows * sum(widths) else 0
    return Rows(rows, gradients, 0 if may_mix(layer, training=True) else gradients)
