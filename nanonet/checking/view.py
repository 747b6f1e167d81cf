"""View: a private twin of a layer and all layers below it, with the same numbers, whose methods can be replaced."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, Generic, TypeVar

import numpy as np

from nanonet.core.arrays import read_only
from nanonet.core.holding import attributes, set_attribute, twin_of, with_entries
from nanonet.core.layer import Layer, found
from nanonet.core.parameter import Buffer, State
from nanonet.core.tree import Tree

L = TypeVar("L", bound=Layer)
Methods = Mapping[str, Callable[..., Any]]


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
                    self._made[id(part)] = part.viewed(live=live)
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
