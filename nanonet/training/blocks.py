"""Block: a piece of the parameter vector small enough to stay in the CPU cache during an update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from nanonet.core.arrays import Array, is_finite
from nanonet.core.optimizer import Optimizer
from nanonet.core.parameter import Parameter

BLOCK = 32768  # entries


class Block:
    """A piece of the vector, its gradient and optimizer state, and a backup of what a step changes.

    Attributes
    ----------
    decays : float or array
        Whether weight decay applies: 1 or 0, for the whole block or entry by entry.
    """

    __slots__ = ("changing", "decays", "grad", "kept", "state", "value")

    def __init__(self, value: Array, grad: Array, state: list[Array], decays: float | Array) -> None:
        self.value, self.grad, self.state, self.decays = value, grad, state, decays
        self.changing = (value, *state)
        self.kept: list[tuple[Array, Array]] = []  # each array that changes, and its backup; made when first needed

    def save(self) -> None:
        """Back up the current numbers."""
        if not self.kept:
            self.kept = [(array, np.empty_like(array)) for array in self.changing]
        for array, copy in self.kept:
            copy[:] = array

    def is_finite(self) -> bool:
        """Tell whether no number that a step changes is NaN or infinite."""
        for array in self.changing:  # a loop: all() with a generator would add 1 us to the step of a small net
            if not is_finite(array):
                return False
        return True

    def restore(self) -> None:
        """Restore the backup."""
        for array, copy in self.kept:
            array[:] = copy


def cut(
    value: Array, grad: Array, states: list[Array], parameters: Mapping[str, Parameter], optimizer: Optimizer
) -> list[Block]:
    """Divide the vector at frozen parameters and into pieces that fit the cache."""
    decays = _decays(value, parameters, optimizer)
    return [
        Block(
            value[a:b],
            grad[a:b],
            [state[a:b] for state in states],
            decays[a:b] if isinstance(decays, np.ndarray) else decays,
        )
        for a, b in _bounds(list(parameters.values()))
    ]


def _decays(value: Array, parameters: Mapping[str, Parameter], optimizer: Optimizer) -> float | Array:
    """Return 1 where weight decay applies and 0 elsewhere, or one number if it is the same everywhere."""
    flags = [float(bool(optimizer.decays(name, parameter))) for name, parameter in parameters.items()]
    if len(set(flags)) <= 1:
        return flags[0] if flags else 0.0
    return np.repeat(flags, [parameter.size for parameter in parameters.values()]).astype(value.dtype)


def _bounds(parameters: list[Parameter]) -> Iterator[tuple[int, int]]:
    start = stop = 0
    for parameter in parameters:
        if not parameter.trainable:
            yield from _pieces(start, stop)
            start = stop + parameter.size
        stop += parameter.size
    yield from _pieces(start, stop)


def _pieces(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((a, min(a + BLOCK, stop)) for a in range(start, stop, BLOCK))
