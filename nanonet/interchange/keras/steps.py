"""Steps: what a loaded model does one after the other, with the values that it passes on."""

from __future__ import annotations

from typing import Any, NamedTuple

from nanonet.core.layer import Layer
from nanonet.interchange.keras.nodes import Shape
from nanonet.interchange.keras.reached import moving
from nanonet.interchange.keras.weights import Numbers


class Value(NamedTuple):
    """A value by its number, with its shape in Keras's order and whether its channels have been moved first."""

    number: int
    shape: Shape
    moved: bool = False


class Step(NamedTuple):
    """A step as Wired has it, but with the layer itself, and the number of the value that it makes."""

    what: Layer | str
    taken: int | tuple[int, ...]
    settings: tuple[Any, ...]
    made: int

    @property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the values that it takes."""
        return self.taken if isinstance(self.taken, tuple) else (self.taken,)


class Steps:
    """The steps so far, and the numbers that their layers are to be filled with."""

    def __init__(self) -> None:
        self.made: list[Step] = []
        self.count = 0
        self.fills: list[tuple[Any, Numbers]] = []

    def value(self, shape: Shape, moved: bool = False) -> Value:
        """Return a new value."""
        self.count += 1
        return Value(self.count - 1, shape, moved)

    def step(
        self, what: Layer | str, taken: int | tuple[int, ...], *settings: Any, shape: Shape, moved: bool = False
    ) -> Value:
        """Add a step, and return its value."""
        value = self.value(shape, moved)
        self.made.append(Step(what, taken, settings, value.number))
        return value

    def aligned(self, value: Value, *, moved: bool) -> Value:
        """Return a value with its channels first, or where Keras has them."""
        if value.moved == moved or len(value.shape) < 2:
            return value
        return self.step(moving(len(value.shape), first=moved), value.number, shape=value.shape, moved=moved)
