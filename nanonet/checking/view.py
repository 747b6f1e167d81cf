"""View and Snapshot: a private twin of a model, whose methods can be replaced, and a copy of what a pass changes."""

from __future__ import annotations

import copy
import math
import mmap
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any, Generic, TypeVar

import numpy as np

from nanonet.core.arrays import Array, Arrays, Shape, read_only
from nanonet.core.layer import Layer, found
from nanonet.core.objects import attributes, entries, set_attribute, twin_of
from nanonet.core.parameter import Buffer, Parameter, Random, State
from nanonet.core.tree import Tree
from nanonet.core.vector import home_of

L = TypeVar("L", bound=Layer)

LARGE = 1 << 18  # entries of an array that is worth pages of its own


class View(Generic[L]):
    """Twins of the layers of a model. Attributes set on a twin do not affect the model, in this thread or another.

    Parameters
    ----------
    root : Layer
        A model, or a layer of one.
    live : bool
        Whether gradients, buffers and generators are shared with the model, so that a pass takes effect. Otherwise
        they are copies, and a pass has no side effects. Parameters are always read-only, as are arrays that are
        attributes of a layer.

    Attributes
    ----------
    tree : Tree
        The tree of the model itself.
    twins : dict of Layer
        By path; the root's is "".
    buffers : list of Buffer
        The twins of all buffers.
    """

    def __init__(self, root: L, *, live: bool) -> None:
        self.live = live
        self.tree = Tree(root)
        self._made: dict[int, Layer | State] = {}
        self.twins: dict[str, Layer] = {}
        for path, layer in reversed(self.tree.layers.items()):  # the innermost first
            for _, part in layer.owned_parts():
                if isinstance(part, State):
                    self._made[id(part)] = _viewed(part, live)
            twin = twin_of(layer, {}, self._replaced)
            self._made[id(layer)] = self.twins[path] = twin
        for twin in self.twins.values():
            self._rebind(twin)

        self.buffers = [part for part in self._made.values() if isinstance(part, Buffer)]

    def _rebind(self, twin: Layer) -> None:
        """Rebind bound methods that a layer keeps as attributes to the twins."""
        for name, value in attributes(twin):
            if isinstance(value, MethodType) and id(value.__self__) in self._made:
                set_attribute(twin, name, MethodType(value.__func__, self._made[id(value.__self__)]))

    @property
    def root(self) -> L:
        """The twin of the root."""
        return self.twins[""]  # type: ignore[return-value]  # a twin is of its layer's class

    def _replaced(self, value: Any) -> Any:
        """Return the twin's value for an attribute of its layer."""
        if id(value) in self._made:
            return self._made[id(value)]
        if isinstance(value, np.ndarray):
            return read_only(value)
        if isinstance(value, np.random.Generator) and not self.live:
            return copy.deepcopy(value)
        return with_entries(value, self._replaced) if next(found("", value), None) is not None else value


def with_entries(container: Any, replaced: Callable[[Any], Any]) -> Any:
    """Return a copy of a container, with its attributes, in which each entry is replaced."""
    if isinstance(container, tuple):
        return tuple.__new__(type(container), [replaced(entry) for entry in container])
    made = copy.copy(container)
    for key, entry in list(entries(container)):
        if isinstance(container, (list, deque, dict)):
            made[key] = replaced(entry)
        else:
            set_attribute(made, str(key), replaced(entry))
    return made


def _viewed(state: State, live: bool) -> State:
    """Return a twin that has the same numbers."""
    match state:
        case Parameter():
            grad = state.grad if live else _zeros(state.shape, state.value.dtype)
            return state.twin(_memory=None, _value=read_only(state.value), _grad=grad)
        case Buffer():
            return state.twin(_value=state.value if live else state.value.copy())
        case Random():
            return state.twin(_generator=state.generator if live else copy.deepcopy(state.generator))
    raise TypeError(f"{type(state).__name__} cannot be viewed")


def _zeros(shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Return zeros that take memory only where they are written to: np.zeros fills what it takes from the heap."""
    count = math.prod(shape)
    if count < LARGE:
        return np.zeros(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype).reshape(shape)


@contextmanager
def locked_buffer(buffer: Buffer) -> Iterator[None]:
    """Let the value of a twin be read-only for a while."""
    value = buffer.value
    buffer.settle(read_only(value), home_of(buffer))
    try:
        yield
    finally:
        buffer.settle(value, home_of(buffer))


def locked(cache: Any) -> Any:
    """Return a cache with read-only arrays, also within lists, tuples and dicts; cache itself if all are already."""
    if isinstance(cache, np.ndarray):
        return read_only(cache) if cache.flags.writeable else cache
    if type(cache) is dict:
        entered = {name: locked(value) for name, value in cache.items()}
        return cache if all(entered[name] is value for name, value in cache.items()) else entered
    if type(cache) is list or isinstance(cache, tuple):
        entries = [locked(entry) for entry in cache]
        if all(new is old for new, old in zip(entries, cache, strict=True)):
            return cache
        return cache._make(entries) if hasattr(cache, "_make") else type(cache)(entries)
    return cache


def named_parts(name: str, arrays: Arrays) -> dict[str, Any]:
    """Return arrays by name: one by the name itself, several with their index; None is left out.

    Examples
    --------
    >>> named_parts("x", 3), named_parts("x", (3, None, 4))
    ({'x': 3}, {'x[0]': 3, 'x[2]': 4})
    """
    if not isinstance(arrays, tuple):
        return {} if arrays is None else {name: arrays}
    return {f"{name}[{i}]": part for i, part in enumerate(arrays) if part is not None}


class Snapshot:
    """A copy of the buffers and generator states of a model, which can be restored."""

    def __init__(self, tree: Tree) -> None:
        self._buffers = [(buffer, buffer.value.copy()) for buffer in tree.buffers.values()]
        self._states = [(bits, bits.state) for bits in (r.generator.bit_generator for r in tree.randoms.values())]

    def restore(self) -> None:
        """Restore the buffers and generators."""
        for buffer, value in self._buffers:
            buffer.value = value
        for bits, state in self._states:
            bits.state = state
