"""Reached: how far the traversal of a graph has come, and what an operator's reader is given."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.core.chain import output_pattern
from nanonet.core.checks import axes, is_open, is_several
from nanonet.core.layer import Layer
from nanonet.interchange.onnx.graph import Graph, Input, Node
from nanonet.interchange.onnx.registration import READERS

L = TypeVar("L", bound=Layer)
Lengths = tuple[int | None, ...] | None


class Unread(ValueError):
    """An operator, or several together, that no layer is known for."""

    is_of_branches = False
    """Whether only the branches of the graph are what is not a layer, and each operator may be one."""


class Fill(NamedTuple):
    """A layer, and the arrays that its parameters and buffers get once the model is built."""

    layer: Layer
    arrays: dict[str, Numbers]


class Reached:
    """The current value of a graph traversal, with its dtype and, if known, its shape without the batch axis.

    Attributes
    ----------
    graph : Graph
    value : str
    shape : tuple or None
        None for a length that is not known; None if nothing is known.
    dtype : dtype
    known : dict of str to Input
        The values that a layer may take beside it.
    taken, given : tuple of str
        The values that the layer that was read takes, and those that it gives.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[str, Input] = {}
        self.fills: dict[int, Fill] = {}
        self._also: list[Node] = []
        self.enter(graph.inputs[0])

    def enter(self, value: Input) -> None:
        """Go to a value."""
        self.value, self.shape, self.dtype = value

    @property
    def here(self) -> Input:
        """The value with its shape and dtype."""
        return Input(self.value, self.shape, self.dtype)

    @property
    def axes(self) -> int | None:
        """The number of axes, including the batch axis; None if unknown."""
        return None if self.shape is None else 1 + len(self.shape)

    @property
    def size(self) -> int | None:
        """The number of entries per sample; None if unknown."""
        lengths = [] if self.shape is None else [length for length in self.shape if length is not None]
        return math.prod(lengths) if self.shape is not None and len(lengths) == len(self.shape) else None

    @property
    def stop(self) -> str:
        """A hint on how to stop here."""
        first = any(self.value == each.name for each in self.graph.inputs)
        return "" if first else f"; to stop before it write load(path, output={self.value!r})"

    # ---- for readers

    def constant(self, name: str) -> Numbers | None:
        """Return the array of a constant, or None if the name is empty or the value depends on an input.

        Parameters
        ----------
        name : str

        Returns
        -------
        array or None
        """
        return self.graph.constant(name) if name else None

    def floats(self, node: Node, i: int, what: str, *shape: int | None) -> Numbers:
        """Return input i of a node as an array of the current dtype and a shape; None in it is any length."""
        array = self.constant(node.inputs[i]) if i < len(node.inputs) else None
        if array is None or array.dtype != self.dtype or not _fits(array.shape, shape):
            got = "another value" if array is None else f"{array.dtype} of shape {array.shape}"
            wanted = ", ".join("?" if length is None else str(length) for length in shape)
            raise ValueError(f"{node}: expected its {what} as a constant of {self.dtype}, shape ({wanted}), got {got}")
        return array

    def number(self, name: str) -> float | None:
        """Return a constant of one number; None for any other value."""
        array = self.constant(name)
        return None if array is None or array.size != 1 or array.ndim > 1 else float(array.reshape(()))

    def fill(self, layer: L, **arrays: Numbers) -> L:
        """Return a layer whose parameters and buffers of these names get the arrays once the model is built.

        Parameters
        ----------
        layer : Layer
        **arrays : array

        Returns
        -------
        Layer
        """
        self.graph.account(sum(array.size * array.itemsize for array in arrays.values()))
        self.fills[id(layer)] = Fill(layer, arrays)
        return layer

    def next(self, value: str, *operators: str) -> Node | None:
        """Return the only operator that takes a value, if it is one of these and the value is no output.

        Parameters
        ----------
        value : str
            Its name.
        *operators : str

        Returns
        -------
        Node or None
        """
        users = self.graph.users(value)
        if len(users) != 1 or users[0].operator not in operators or value in self.graph.outputs:
            return None
        return users[0]

    def other(self, node: Node, value: str) -> str | None:
        """Return the other one of a node's two inputs."""
        others = [name for name in node.inputs if name != value]
        return others[0] if len(node.inputs) == 2 and len(others) == 1 else None

    def takes(self, *values: str) -> None:
        """Say which values the layer takes, if it is not the current one alone; each must be among :attr:`known`."""
        missing = [value for value in values if value != self.value and value not in self.known]
        if missing:
            raise Unread(f"takes {missing[0]} too, which load has not reached from {self.value}")
        self.taken = values

    def gives(self, *values: Input) -> None:
        """Say which values the layer gives, if it is not the first output of its last operator alone."""
        self.given = values

    def take(self, *nodes: Node) -> None:
        """Say that the layer stands for these operators too, of which the last computes its output.

        Parameters
        ----------
        *nodes : Node
        """
        self._also += nodes

    # ---- for traversals

    def read(self, node: Node) -> tuple[Layer | None, list[Node]] | None:
        """Return the layer that an operator is, if it has an effect, and all operators that the layer stands for.

        None if no reader takes it. The shape and dtype are then those behind the layer, the value is not changed.
        """
        reader = READERS.get(node.operator)
        if reader is None:
            return None
        before, self._also = self.here, []
        self.taken, self.given = (self.value,), ()
        with naming(node):
            layer = reader(self, node)
            if layer is NotImplemented:
                self.enter(before)
                return None
            if self.shape is before.shape and layer is not None and len(self.taken) == 1 and not self.given:
                self.shape = lengths_after(layer, before.shape)
        nodes = [node, *self._also]
        whole = before.dtype.kind != "f"
        if len(self.taken) == 1 and whole != (layer is not None and bool(layer.integer_input)):
            raise ValueError(f"{node}: takes {before.dtype}, which the layer for it does not")
        if whole and self.dtype is before.dtype:
            self.dtype = next((array.dtype for array in self._arrays(layer)), np.dtype(np.float32))
        if not self.given and any(map(self._is_used, (name for each in nodes for name in each.outputs[1:]))):
            raise ValueError(f"{node}: load takes only the first of its outputs")
        return layer, nodes

    def _is_used(self, name: str) -> bool:
        taken = {node.place for node in self._also}
        return name in self.graph.outputs or any(user.place not in taken for user in self.graph.users(name))

    def _arrays(self, layer: Layer | None) -> list[Numbers]:
        fill = self.fills.get(id(layer))
        return [array for array in fill.arrays.values() if array.dtype.kind == "f"] if fill else []

    def advance(self, nodes: list[Node]) -> None:
        """Consume operators, and go to the output of the last."""
        for node in nodes:
            self.graph.take(node)
        self.value = nodes[-1].outputs[0]

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo all that was read within the context if it raises."""
        here, mark = self.here, self.graph.mark()
        try:
            yield
        except (ValueError, TypeError):
            self.enter(here)
            self.graph.back_to(mark)
            raise


@contextmanager
def naming(node: Node) -> Iterator[None]:
    """Begin the errors of a layer's constructor with the node."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if str(node) in str(error):
            raise
        raise ValueError(f"{node}: {error}") from error


def unless(default: object, **settings: Any) -> Any:
    """Return settings that are not the default, as keywords for a layer."""
    return {name: value for name, value in settings.items() if value != default}


def lengths_after(layer: Layer, shape: Lengths) -> Lengths:
    """Return a layer's output shape as far as it is known."""
    given = (...,) if shape is None else shape
    if layer.input_shape is not None and not is_several(layer.input_shape) and shape is None:
        given = layer.input_shape
    out = output_pattern(layer, given)
    if out is None or is_several(out) or is_open(out):
        return None
    return axes(out)


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(m in (None, n) for n, m in zip(found, wanted, strict=True))
