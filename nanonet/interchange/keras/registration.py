"""Registration: which function reads a Keras layer; open to everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanonet.interchange.layer_by_layer import F, by_name

READERS: dict[str, Callable[..., Any]] = {}
"""The reader of each class of Keras."""


def reads(*classes: str) -> Callable[[F], F]:
    """Register a function that reads a Keras layer, for :func:`load`; those of Keras's own are registered so.

    It is called with a :class:`Reached`, which has the layer's settings and arrays, and adds layers of nanonet to it.
    It raises ValueError for what they cannot do: a file is loaded only if the layers compute what Keras does.

    Parameters
    ----------
    *classes : str
        As the file names them: ``"Dense"``, or ``"package>Class"`` for a class that was registered with Keras.

    Returns
    -------
    callable
        The decorator; it leaves the function as it is.

    Raises
    ------
    TypeError
        If the arguments are not names.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Activation
    >>> from nanonet.interchange import keras
    >>> class Sine(Activation):
    ...     def function(self, a):
    ...         return np.sin(a)
    ...
    ...     def derivative(self, a, y):
    ...         return np.cos(a)
    >>> @keras.reads("mine>Sine")
    ... def read_sine(reached):
    ...     reached.add(Sine())
    """
    return by_name(READERS, classes, "Keras classes", "Dense")
