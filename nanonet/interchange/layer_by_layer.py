"""LayerByLayer: what writes a model in another form, each layer by the function that is registered for its class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np

from nanonet.core.arrays import Patterns, shape_of
from nanonet.core.checks import is_several, known
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.interchange.overridden import inherited, replaced

F = TypeVar("F", bound=Callable[..., Any])


class LayerByLayer:
    """A file that is being written, layer by layer.

    Attributes
    ----------
    form, package : str
        What it is written in, for errors, and the module of nanonet.interchange that does so.
    writers : dict
        The function that writes a layer, by class.
    dtype : dtype
        The model's.
    place : str
        The path of the layer that is being written, such as "2.inner".
    """

    form: ClassVar[str]
    package: ClassVar[str]
    writers: ClassVar[dict[type[Layer], Callable[..., Any]]]
    dtype: np.dtype[Any]
    place: str = ""

    def write(self, layer: Layer, x: Any, shape: Patterns, name: str) -> Any:
        """Add a layer inside the one being written, by its name in it, and return the name of its output.

        Parameters
        ----------
        layer : Layer
            Of the one being written.
        x : str, or tuple of str
            Names of its inputs.
        shape : tuple
            Of x, without the batch axis.
        name : str
            Of the attribute that holds the layer.

        Returns
        -------
        str, or tuple of str
        """
        outside, self.place = self.place, f"{self.place}.{name}" if self.place and name else self.place or name
        try:
            return self._writer(layer)(self, layer, x, shape)
        finally:
            self.place = outside

    def _writer(self, layer: Layer) -> Callable[..., Any]:
        own = replaced(layer, type(layer))
        if own:
            raise TypeError(f"{self.whose(layer)}: its {own[0]} is overridden on the instance, which is not exported")
        writer = inherited(type(layer), self.writers)
        if writer is None:
            raise TypeError(
                f"{self.whose(layer)}: no {self.form} form is known for it; register a function that writes it: "
                f"@nanonet.interchange.{self.package}.writes({type(layer).__name__})"
            )
        return writer

    def whose(self, layer: Layer) -> str:
        """Return the beginning of an error about the layer that is being written."""
        return f"export: layer {self.place}, {called(layer)}" if self.place else f"export: {called(layer)}"

    def shape_after(self, layer: Layer, shape: Patterns) -> Any:
        """Return a layer's output shape; for one that does not know it, by running it on zeros.

        Parameters
        ----------
        layer : Layer
        shape : tuple
            Of its input, without the batch axis.

        Returns
        -------
        tuple
        """
        out = layer.output_shape(shape)
        found = None if out is None else known(out)
        return self._tried(layer, shape) if found is None else found

    def _tried(self, layer: Layer, shape: Patterns) -> Any:
        integers = layer.integer_input
        parts = shape if is_several(shape) else (shape,)
        whole = integers if isinstance(integers, tuple) else (integers,) * len(parts)
        zeros = tuple(np.zeros((1, *s), np.int64 if i else self.dtype) for s, i in zip(parts, whole, strict=True))
        y, _ = layer.forward(zeros if is_several(shape) else zeros[0])
        return shape_of(y)


def by_class(table: dict[type[Layer], Callable[..., Any]], classes: tuple[type[Any], ...]) -> Callable[[F], F]:
    """Return the decorator ``writes``, which enters a function for classes of layers."""
    if not classes:
        raise TypeError("writes: expected the classes of layers; write @writes(Conv2d)")
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise TypeError(f"writes: expected subclasses of Layer, got {cls!r:.60}; write @writes(Conv2d)")
    return _entering(table, classes)


def by_name(table: dict[str, Callable[..., Any]], names: tuple[str, ...], what: str, example: str) -> Callable[[F], F]:
    """Return the decorator ``reads``, which enters a function for names of what a file holds."""
    for name in names or (None,):
        if not isinstance(name, str):
            raise TypeError(f'reads: expected names of {what}, got {name!r:.60}; write @reads("{example}")')
    return _entering(table, names)


def _entering(table: dict[Any, Callable[..., Any]], keys: tuple[Any, ...]) -> Callable[[F], F]:
    def register(function: F) -> F:
        table.update(dict.fromkeys(keys, function))
        return function

    return register
