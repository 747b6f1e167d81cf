"""Registration: which function writes a layer as operators, or reads an operator as a layer; open to everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nanonet.core.layer import Layer
from nanonet.interchange.layer_by_layer import F, by_class, by_name

WRITERS: dict[type[Layer], Callable[..., Any]] = {}
"""The writer of each layer."""

READERS: dict[str, Callable[..., Any]] = {}
"""The reader of each operator."""


def writes(*classes: type[Any]) -> Callable[[F], F]:
    """Register a function that writes a layer as ONNX operators, for :func:`export`; nanonet's own are registered so.

    It is called as ``function(draft, layer, x, shape)`` and returns the name of the output, for several outputs a tuple
    of names:

    - ``draft`` has ``add(operator, *inputs, **attributes)``, which adds a node and returns the name of its output,
      ``constant("weight", array)``, ``number(0.5)`` and ``integers(1, 2)``, which return the names of constants, and
      ``write(layer.inner, x, shape, "inner")`` for a layer inside this one; see :class:`Draft`.
    - ``x`` is the name of the input, and ``shape`` its shape without the batch axis; for several inputs tuples.

    A subclass inherits it unless it overrides ``forward``, or anything else on which the output may depend.

    Parameters
    ----------
    *classes : subclasses of Layer

    Returns
    -------
    callable
        The decorator; it leaves the function as it is.

    Raises
    ------
    TypeError
        If the arguments are not classes of layers.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Activation
    >>> from nanonet.interchange import onnx
    >>> class Sine(Activation):
    ...     def function(self, a):
    ...         return np.sin(a)
    ...
    ...     def derivative(self, a, y):
    ...         return np.cos(a)
    >>> @onnx.writes(Sine)
    ... def write_sine(draft, layer, x, shape):
    ...     return draft.add("Sin", x)
    """
    return by_class(WRITERS, classes)


def reads(*operators: str) -> Callable[[F], F]:
    """Register a function that reads an ONNX operator as a layer, for :func:`load`; nanonet's own are registered so.

    It is called as ``function(reached, node)`` for an operator one of whose inputs is not constant, and returns a
    layer, or None if the operator has no effect:

    - ``node`` has ``attributes``, with the defaults of ONNX's schema filled in, and ``inputs``, names of values,
      "" for one that is left out. An operator of another domain is "domain.Operator".
    - ``reached.constant(name)`` is the array of a constant input, or None if it is not constant, and ``reached.value``
      the name of the input that is not. ``reached.shape`` is its shape without the batch axis, with None for a length
      that is not known, or None if nothing is.
    - ``reached.fill(layer, weight=array)`` returns the layer, and assigns the arrays to the parameters and buffers of
      these names once the model is built.
    - ``reached.take(*nodes)`` says that the layer stands for these operators too, ``reached.takes(*values)`` that it
      takes several values, which must be in ``reached.known``, and ``reached.gives(*inputs)`` that it gives several.

    It raises ValueError for what the layer cannot do: a graph is loaded only if the layers compute what it does.

    Parameters
    ----------
    *operators : str

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
    >>> from nanonet.interchange import onnx
    >>> class Sine(Activation):
    ...     def function(self, a):
    ...         return np.sin(a)
    ...
    ...     def derivative(self, a, y):
    ...         return np.cos(a)
    >>> @onnx.reads("Sin")
    ... def read_sine(reached, node):
    ...     return Sine()
    """
    return by_name(READERS, operators, "operators", "Conv")
