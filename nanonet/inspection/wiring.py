"""Wiring: which calls of a Composite take the values of which others, found by running ``wire`` with their numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanonet.core.arrays import Arrays
from nanonet.core.layer import Layer
from nanonet.core.tree import Tree
from nanonet.inspection.record import LayerTrace, Record
from nanonet.layers.composite import Composite

X = -1  # the number of x


@dataclass(frozen=True)
class Step:
    """One call: its name, the record of the layer or None for an operation, and the steps whose values it takes."""

    name: str
    record: LayerTrace | None
    sources: list[int]


class Wiring:
    """The steps of a Composite in a trace, in order; a value is the number of the step that it comes from.

    Examples
    --------
    >>> from nanonet import Composite, Linear, Sequential, Tanh
    >>> class Skip(Composite):
    ...     def __init__(self):
    ...         self.inner, self.tanh = Linear(2, 2), Tanh()
    ...
    ...     def wire(self, call, x):
    ...         return call.add(call(self.tanh, call(self.inner, x)), x)
    >>> trace = Sequential(Skip()).trace([[1, 2]])
    >>> [(step.name, step.sources) for step in Wiring(trace, trace["0"]).steps]
    [('0.inner', [-1]), ('0.tanh', [0]), ('add', [1, -1])]
    """

    def __init__(self, trace: Record, whole: LayerTrace) -> None:
        self.trace, self.whole = trace, whole
        self.steps: list[Step] = []
        self._names = {id(layer): name for name, layer in Tree(whole.layer).layers.items()}
        self._calls: dict[str, int] = {}
        composite = whole.layer
        assert isinstance(composite, Composite)
        wired = composite.wire(self, _like(whole.input, X))
        if list(_numbers(wired)) != [len(self.steps) - 1]:
            self._add("output", None, wired)  # of several values, or of one that comes from an earlier step

    def __call__(self, layer: Layer, value: Any) -> Any:
        """Add the call of a layer."""
        name = f"{self.whole.name}.{self._names[id(layer)]}"
        self._calls[name] = self._calls.get(name, 0) + 1
        record = self.trace[name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"]
        return _like(record.output, self._add(record.name, record, value))

    def add(self, *values: Any) -> int:
        """Add a sum."""
        return self._add("add", None, values)

    def multiply(self, *values: Any) -> int:
        """Add a product."""
        return self._add("multiply", None, values)

    def concatenate(self, *values: Any, axis: int = -1) -> int:
        """Add values joined."""
        return self._add(f"concatenate, axis {axis}", None, values)

    def split(self, value: Any, *sizes: int, axis: int = -1) -> tuple[int, ...]:
        """Add the pieces of a value."""
        return (self._add(f"split, axis {axis}", None, value),) * len(sizes)

    def _add(self, name: str, record: LayerTrace | None, value: Any) -> int:
        self.steps.append(Step(name, record, list(dict.fromkeys(_numbers(value)))))
        return len(self.steps) - 1


def _like(arrays: Arrays, number: int) -> Any:
    """Return a number, or as many as there are arrays."""
    return (number,) * len(arrays) if isinstance(arrays, tuple) else number


def _numbers(value: Any) -> Iterator[int]:
    for part in value if isinstance(value, tuple) else (value,):
        if isinstance(part, tuple):
            yield from _numbers(part)
        else:
            yield part
