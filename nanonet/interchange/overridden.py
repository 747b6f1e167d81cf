"""Replaced: attributes, above all methods, overridden on a layer instance, which converters cannot handle."""

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
