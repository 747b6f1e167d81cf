"""Replaced, overriding: what a layer, or its class, has overridden of the class as which converters know it."""

from __future__ import annotations

from nanonet.core.layer import Layer

FREE = ("input_shape", "integer_input", "several_inputs")
"""Attributes of Layer that a layer may set; names with an underscore are private to nanonet."""


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


HARMLESS = (*FREE, "output_shape", "derivative_formula", "_abc_impl")
"""What a subclass may override without computing something else."""


def overriding(cls: type[Layer], known: type[Layer]) -> list[str]:
    """Return the names of what a subclass overrides of a known class, and by which it may compute something else.

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
    above = known.__mro__
    names = (name for parent in cls.__mro__ if parent not in above for name in vars(parent))
    return [name for name in names if hasattr(known, name) and name[:2] != "__" and name not in HARMLESS]
