"""ByClass: what is stated for a class of layers, such as how to explain it or draw it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nanonet.core.layer import Layer

F = TypeVar("F", bound=Callable[..., Any])


class ByClass(Generic[F]):
    """Functions by layer class; a subclass has its parent's unless it overrides a method that the function describes.

    Parameters
    ----------
    name : str
        Of the decorator that registers, for error messages.
    methods : str
        Those that the functions describe, such as "forward".

    Examples
    --------
    >>> from nanonet import ReLU, Tanh
    >>> class Quick(Tanh):
    ...     pass
    >>> class Other(Tanh):
    ...     def forward(self, x, *, training=False):
    ...         return super().forward(2 * x, training=training)
    >>> colours = ByClass("coloured", "forward")
    >>> colours.register(Tanh)(lambda layer: "blue")(Tanh())
    'blue'
    >>> [colours.of(layer) is not None for layer in (Tanh(), Quick(), Other(), ReLU())]
    [True, True, False, False]
    """

    def __init__(self, name: str, *methods: str) -> None:
        self.name, self.methods = name, methods
        self._functions: dict[type[Layer], F] = {}

    def register(self, *classes: type[Layer]) -> Callable[[F], F]:
        """Return a decorator that registers a function for layer classes; a later one replaces an earlier one."""
        example = f"; write @{self.name}(MyLayer) above the function"
        if not classes:
            raise TypeError(f"{self.name}: expected one class of layers or more{example}")
        for cls in classes:
            if not (isinstance(cls, type) and issubclass(cls, Layer)):
                raise TypeError(f"{self.name}: expected a class of layers, got {cls!r:.60}{example}")

        def registered(function: F) -> F:
            if not callable(function):
                raise TypeError(f"{self.name}: expected a function, got {function!r:.60}")
            self._functions.update(dict.fromkeys(classes, function))
            return function

        return registered

    def of(self, layer: Layer) -> F | None:
        """Return the function for a layer; None if there is none."""
        for cls in type(layer).__mro__:
            if cls in self._functions:
                return self._functions[cls]
            if any(method in vars(cls) for method in self.methods):
                return None
        return None
