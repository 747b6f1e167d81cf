"""Layer: the contract that every part of a net keeps, ours and yours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nanonet.arrays import Array, Shape
from nanonet.errors import ShapeError
from nanonet.recorded import Recorded, obey_override
from nanonet.state import State
from nanonet.vector import Vector


class Layer(Recorded, ABC):
    """One step of a net: a function of its input and its parameters, and that function's derivative.

    Write ``__init__`` (no ``super().__init__()`` needed), ``forward`` and ``backward``:

    >>> import numpy as np
    >>> from nanonet import Array, Constant, Layer, Parameter, check_gradients
    >>> class Scale(Layer):
    ...     '''y = x * gain, one gain for each feature.'''
    ...
    ...     def __init__(self, features: int) -> None:
    ...         self.input_shape = (features,)
    ...         self.gain = Parameter((features,), Constant(1.0))
    ...
    ...     def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
    ...         return x * self.gain.value, x
    ...
    ...     def backward(self, grad: Array, cache: Array) -> Array:
    ...         self.gain.grad = (grad * cache).sum(axis=0)
    ...         return grad * self.gain.value
    >>> report = check_gradients(Scale(3))  # raises GradientError where it is wrong

    The rules, which :func:`nanonet.check_gradients` checks, and all but the mathematics the first batch of every
    ``fit``:

    - What the layer owns is an attribute: :class:`Parameter`, :class:`Buffer`, :class:`Random` and further layers,
      in lists, tuples and dicts too. They get their numbers when a :class:`Sequential` is built around them.
    - ``forward`` returns the output and a cache: whatever ``backward`` needs. It sets no attribute, changes buffers and
      generators only when ``training``, and parameters never, so that many threads may predict with one model.
    - ``backward`` gets dE/dy and the cache, **assigns** (never adds) ``parameter.grad`` for each of its own
      parameters, frozen or not, summed over the batch, and returns dE/dx, which has the shape of x.
    - Neither writes into ``x``, ``grad``, the cache, or an array that was already handed out: ``y = y + x``, not
      ``y += x``, where y came from another layer.

    Attributes
    ----------
    input_shape : tuple of int or None
        What it takes, without the batch axis; None where it takes more than one shape.
    integer_input : bool
        Whether x holds integers, such as the rows of a table to look up.
    """

    input_shape: Shape | None = None
    integer_input: bool = False
    _home: Vector | None = None  # its part of the vector of the model that owns it

    def __init_subclass__(cls, **keywords: Any) -> None:
        """See to it that a class that overrides only ``backward`` is obeyed where ``backward_parameters`` is asked."""
        super().__init_subclass__(**keywords)
        obey_override(cls, Layer, chosen=("backward",), dependent=("backward_parameters",))

    @abstractmethod
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return the output for x, and the cache that ``backward`` will need."""

    @abstractmethod
    def backward(self, grad: Array, cache: Any) -> Array:
        """Take dE/dy, assign dE/dparameter to each own ``parameter.grad``, return dE/dx."""

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        """Assign the gradients of the parameters alone: the lowest layer of a net is not asked for dE/dx."""
        self.backward(grad, cache)

    def output_shape(self, input_shape: Shape) -> Shape | None:
        """Return the output's shape, both without the batch axis; None where it is not known beforehand.

        This default sees to it that ``input_shape`` is kept, and tells no more.

        Raises
        ------
        ShapeError
            If the layer does not take such an input.
        """
        if self.input_shape is not None and input_shape != self.input_shape:
            raise ShapeError.misfit(self, expected=self.input_shape, got=input_shape)
        return None

    def parts(self) -> Iterator[tuple[str, State | Layer]]:
        """Yield what the layer owns, with its name, in the order in which the attributes were set."""
        for name, value in vars(self).items():
            yield from _found(name, value)

    def __getstate__(self) -> Any:
        """Return what a copy is made of: everything but the methods that strict puts on a layer for a while."""
        state = super().__getstate__()
        attributes, *slots = state if isinstance(state, tuple) else (state,)
        kept = {name: value for name, value in (attributes or {}).items() if not isinstance(value, Patch)}
        return (kept, *slots) if slots else kept

    def __setattr__(self, name: str, value: object) -> None:
        if name == "input_shape" and not isinstance(value, tuple | None):
            raise TypeError(f"{type(self).__name__}: expected input_shape as a tuple such as (3,), got {value!r}")
        if name == "trainable" and self._home is not None and name not in vars(self):
            raise TypeError(
                f"{type(self).__name__} has no trainable; freeze its parameters: layer.weight.trainable = False"
            )
        old = vars(self).get(name)
        kind, label = type(old).__name__, f"{type(self).__name__}.{name}"
        if isinstance(old, State) and not isinstance(value, State | None):
            raise TypeError(f"{label} is a {kind}; to change its numbers write layer.{name}.value = ...")
        if self._home is not None and value is not old and (_holds(old) or _holds(value)):
            raise TypeError(f"{label} cannot be set: {self!r} is part of a model; set it before, and build anew")
        if isinstance(value, State):
            value.label = label
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if self._home is not None and _holds(vars(self).get(name)):
            raise TypeError(f"{type(self).__name__}.{name} cannot be deleted: {self!r} is part of a model")
        super().__delattr__(name)


class Patch:
    """A method that stands on one object for a while, in place of its class's; a copy of the object has the class's."""

    def __init__(self, owner: object, name: str, call: Callable[..., Any]) -> None:
        self.owner, self.name, self.call = owner, name, call

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call what stands in."""
        return self.call(*arguments, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.owner, self.name)


@contextmanager
def patched(owner: object, calls: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Let calls stand in place of the methods of one object."""
    attributes = vars(owner)
    before = {name: attributes[name] for name in calls if name in attributes}
    attributes.update({name: Patch(owner, name, call) for name, call in calls.items()})
    try:
        yield
    finally:
        for name in calls:
            del attributes[name]
        attributes.update(before)


def _holds(value: object) -> bool:
    """Tell whether an attribute is, or holds, a state or a layer."""
    return next(_found("", value), None) is not None


def _found(name: str, value: object) -> Iterator[tuple[str, State | Layer]]:
    """Yield the states and layers in one attribute: itself, or the entries of a list, tuple or dict."""
    if isinstance(value, (State, Layer)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, entry in enumerate(value):
            yield from _found(f"{name}.{i}", entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _found(f"{name}.{key}", entry)
