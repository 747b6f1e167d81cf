"""Overridden: attributes, above all methods, by which a layer differs from the class that a converter is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from nanonet.core.layer import Layer
from nanonet.layers.activations import Activation
from nanonet.models.sequential import Sequential

T = TypeVar("T")

FREE = ("input_shape", "integer_input", "several_inputs", "mixes_samples")
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


def overriding(cls: type[Layer], known: type[Layer], *, also: tuple[str, ...] = ()) -> list[str]:
    """Return the names of what a subclass overrides of a known class, and by which it may compute something else.

    These are the names in ``also``, ``forward``, ``function`` and the attributes of the class that are not part of the
    contract of a Layer. What is abstract in the class is there to be written.

    Examples
    --------
    >>> from nanonet import Linear
    >>> class Wide(Linear):
    ...     def __init__(self, features):
    ...         super().__init__(features, 4 * features)
    >>> class Halved(Wide):
    ...     def forward(self, x, *, training=False):
    ...         return super().forward(x / 2, training=training)
    >>> overriding(Wide, Linear), overriding(Halved, Linear)
    ([], ['forward'])
    """
    between = [parent for parent in cls.__mro__ if parent not in known.__mro__]
    named = [(name, value) for parent in between for name, value in vars(parent).items()]
    return [name for name, value in named if name in also or _matters(name, value, known)]


def inherited(cls: type[Layer], table: Mapping[type[Layer], T]) -> T | None:
    """Return the entry of a class, or of the nearest parent that has one, or None if cls may compute something else.

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
    known = next((parent for parent in cls.__mro__ if parent in table), None)
    return None if known is None or overriding(cls, known) else table[known]


def _matters(name: str, value: object, known: Any) -> bool:
    """Return whether an attribute of a subclass is one on which the output of a known class may depend."""
    harmless = name.startswith("__") or name in CONTRACT or name in known.__abstractmethods__
    default = name == "forward" and value is vars(Activation)["forward"]  # set where derivative is overridden
    return not harmless and not default and name not in ("_abc_impl", "derivative_formula") and hasattr(known, name)
