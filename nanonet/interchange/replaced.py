"""Replaced: what a layer has of its own in place of its class's, a method above all; converters know classes alone."""

from __future__ import annotations

from nanonet.core.layer import Layer

FREE = ("input_shape", "integer_input")
"""What a layer may set though Layer has it; names with an underscore are nanonet's own affair."""


def replaced(layer: Layer, cls: type[Layer]) -> list[str]:
    """Return the names of the layer's attributes that hide one of the class as which it is converted.

    Examples
    --------
    >>> from nanonet import SELU
    >>> layer = SELU()
    >>> layer.scale = 2.0
    >>> replaced(layer, SELU)
    ['scale']
    """
    return [name for name in vars(layer) if name[0] != "_" and name not in FREE and hasattr(cls, name)]
