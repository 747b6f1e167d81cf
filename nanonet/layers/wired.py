"""Wired: a Composite whose wiring is data instead of a method, so that it can come from a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nanonet.core.arrays import Patterns
from nanonet.core.checks import expect, positive_int
from nanonet.core.errors import ShapeError
from nanonet.core.layer import Layer
from nanonet.layers.composite import Composite

OPERATIONS = ("add", "multiply", "concatenate", "split")
"""What a step does besides calling a layer, by the names of the methods of :class:`nanonet.layers.composite.Call`."""

Step = tuple[Any, ...]


class Wired(Composite):
    """Layers wired by a list of steps, such as :func:`nanonet.interchange.onnx.load` makes of a graph that is no chain.

    Values are numbered: first the inputs, then the outputs of each step. To write a wiring by hand subclass Composite.

    Parameters
    ----------
    layers : sequence of Layer
    steps : sequence of tuple
        In order: ``(i, value)`` calls layer i with a value, ``(i, (v, w))`` with several. ``("add", (v, w))`` and
        ``("multiply", (v, w))`` join values of one shape, ``("concatenate", (v, w), axis)`` joins them along an axis,
        and ``("split", value, sizes, axis)`` cuts one into pieces.
    outputs : int or tuple of int
        The value that is the output, or those that are.
    inputs : int
        How many there are.
    input_shape : tuple, optional
        As :class:`Layer` has it.
    integer_input : bool or tuple of bool

    Raises
    ------
    ValueError
        If a step is none of these, or takes a layer or a value that does not exist.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh, Wired
    >>> gated = Wired([Linear(3, 3), Tanh(), Linear(3, 3)], [(0, 0), (1, 1), (2, 0), ("multiply", (2, 3))], 4)
    >>> Sequential(gated)([[1, 2, 3]]).shape  # tanh(A x) * B x
    (1, 3)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        steps: Sequence[Step],
        outputs: int | tuple[int, ...],
        *,
        inputs: int = 1,
        input_shape: Patterns | None = None,
        integer_input: bool | tuple[bool, ...] = False,
    ) -> None:
        for i, layer in enumerate(layers):
            expect(layer, Layer, f"Wired: expected layer {i}")
        self.layers = tuple(layers)
        self.steps = tuple(_checked(i, step, len(self.layers)) for i, step in enumerate(steps))
        if not all(map(_is_value, outputs if isinstance(outputs, tuple) else (outputs,))):
            raise ValueError(
                f"Wired: expected outputs as the number of a value, or a tuple of some, got {outputs!r:.60}"
            )
        self.outputs, self.inputs = outputs, positive_int(inputs, "Wired", "inputs")
        self.several_inputs = self.inputs > 1
        self.input_shape, self.integer_input = input_shape, integer_input

    def wire(self, call: Any, x: Any) -> Any:
        """Return the outputs, after all steps."""
        values = list(x) if self.several_inputs else [x]
        if len(values) != self.inputs:
            raise ShapeError(f"Wired: expected a tuple of {self.inputs} arrays, got {len(values)}")
        for what, taken, *settings in self.steps:
            given = self._picked(values, taken)
            if what == "concatenate":
                found = call.concatenate(*given, axis=settings[0])
            elif what == "split":
                found = call.split(given, *settings[0], axis=settings[1])
            elif isinstance(what, str):
                found = (call.add if what == "add" else call.multiply)(*given)
            else:
                found = call(self.layers[what], given)
            several = what == "split" or (not isinstance(what, str) and _is_several(found))
            values += found if several else [found]
        return self._picked(values, self.outputs)

    def _picked(self, values: list[Any], numbers: int | tuple[int, ...]) -> Any:
        """Return a value by its number, or a tuple of values."""
        try:
            return tuple(values[i] for i in numbers) if isinstance(numbers, tuple) else values[numbers]
        except IndexError:
            raise ValueError(f"Wired: expected values below {len(values)}, got {numbers}") from None


def _is_several(found: Any) -> bool:
    """Return whether a layer gave several outputs: a plain tuple, of anything but lengths."""
    lengths = (int, type(None), type(...))
    return type(found) is tuple and bool(found) and not any(isinstance(part, lengths) for part in found)


def _is_value(number: object) -> bool:
    return type(number) is int and number >= 0


def _checked(i: int, step: Any, layers: int) -> Step:
    """Return a step as a tuple, or raise ValueError."""
    wanted = "(layer, value), a layer by its number, or (operation, values, ...)"
    if not isinstance(step, (tuple, list)) or len(step) < 2:
        raise ValueError(f"Wired: expected step {i} as {wanted}, got {step!r:.60}")
    what, taken, *settings = step
    several = isinstance(taken, tuple) and len(taken) > 0
    match what, settings:
        case int(), []:
            fits = type(what) is int and 0 <= what < layers
        case "add" | "multiply", []:
            fits = several
        case "concatenate", [int(axis)]:
            fits = several and axis != 0
        case "split", [tuple(sizes), int(axis)]:
            fits = not several and axis != 0 and len(sizes) > 0 and all(type(s) is int and s > 0 for s in sizes)
        case _:
            fits = False
    if not fits or not all(map(_is_value, taken if several else (taken,))):
        raise ValueError(f"Wired: expected step {i} as {wanted}, with layers below {layers}, got {step!r:.60}")
    return tuple(step)
