"""Overridden: attributes, above all methods, by which a layer differs from the class that a converter is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from nanonet.core.layer import Activation, Layer
from nanonet.models.sequential import Sequential

T = TypeVar("T")

FREE = ("input_shape", "integer_input", "several_inputs")
"""Attributes of Layer that a layer may set; names with an underscore are private to nanonet."""

COMPUTES = ("forward", "function")
"""The methods of Layer and Activation on which the output depends."""

CONTRACT = {
    name for base in (*Sequential.__mro__, Activation) for name in vars(base) if not name.startswith("_")
} - set(COMPUTES)
"""The other methods of nanonet's base classes: passes backward, shapes, training, printing."""


def replaced(layer: Layer, cls: type[Layer]) -> list[str]:
    """Return the names of the layer's attributes that override those of the class it is converted as.

    Examples
    --------
    >>> from nanonet import SELU
    >>> layer = SELU()
    >>> layer.scale = 2.0
    >>> replaced(layer, SELU)
    ['scale']
    """
    return [name for name in vars(layer) if name[0] != "_" and name not in FREE and hasattr(cls, name)]


def inherited(cls: type[Layer], table: Mapping[type[Layer], T]) -> T | None:
    """Return the entry of a class, or of the nearest parent that has one, or None if cls may compute something else.

    It may if it, or a class between the two, overrides ``forward``, ``function`` or an attribute of the parent that is
    not part of the contract of a Layer. What is abstract in the parent is there to be written.

    Examples
    --------
    >>> from nanonet import Tanh
    >>> class Loud(Tanh):
    ...     def __repr__(self):
    ...         return "TANH"
    >>> class Other(Tanh):
    ...     def function(self, a):
    ...         return a
    >>> inherited(Loud, {Tanh: "tanh"}), inherited(Other, {Tanh: "tanh"})
    ('tanh', None)
    """
    for i, parent in enumerate(cls.__mro__):
        if parent in table:
            return None if any(_changes(child, parent) for child in cls.__mro__[:i]) else table[parent]
    return None


def _changes(child: type, parent: Any) -> bool:
    """Return whether a class overrides an attribute on which the parent's output may depend."""
    for name, value in vars(child).items():
        harmless = name.startswith("__") or name in CONTRACT or name in parent.__abstractmethods__
        default = name == "forward" and value is vars(Activation)["forward"]  # set where derivative is overridden
        if not harmless and not default and name not in ("_abc_impl", "derivative_formula") and hasattr(parent, name):
            return True
    return False
