"""Values: what an attention consists of, from the sequences that come in to its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.described.arrangement import Index
from nanonet.interchange.onnx.graph import Input
from nanonet.interchange.onnx.lengths import Length


@dataclass(frozen=True)
class Given:
    """A value that comes in: a sequence, or for keys that do not count a mask."""

    value: Input


@dataclass(frozen=True)
class Projected:
    """x Wᵀ + b, times a factor."""

    x: str
    length: Length
    weight: Numbers
    bias: Numbers | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Hidden:
    """Which keys are not seen: those of a mask that is given, and those of a constant (queries, keys)."""

    padding: str | None
    later: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Scores:
    """q kᵀ, and what of it is hidden."""

    q: Projected
    k: Projected
    rows: tuple[Index, Index]
    factor: float
    hidden: Hidden | None = None
    lowest: float = 0.0


@dataclass(frozen=True)
class Weights:
    """The softmax of scores; whether it is 0 for a query that sees no key."""

    scores: Scores
    is_zeroed: bool = False


@dataclass(frozen=True)
class Mixed:
    """weights v, with the features of all heads beside each other."""

    weights: Weights
    v: Projected
    rows: Index


@dataclass(frozen=True)
class Output:
    """What is mixed, times a weight."""

    mixed: Mixed
    weight: Numbers
    bias: Numbers | None = None
    factor: float = 1.0
