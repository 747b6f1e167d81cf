"""Layer: the base class of all layers, and their contract."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

from nanonet.core.arrays import Array, Arrays, Patterns, Shape
from nanonet.core.checks import agreed, is_several
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.objects import Extensible, attributes, entries, named_state, obey_override, set_attribute
from nanonet.core.parameter import Parameter, State
from nanonet.core.vector import Vector

PLAIN = frozenset({int, float, bool, str, type(None)})  # checked first, since most attributes have these types


class Layer(Extensible, ABC):
    """One step of a network: a function of its input and its parameters, and its derivative.

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
    >>> report = check_gradients(Scale(3))  # raises GradientError if it is wrong

    The rules, all checked by :func:`nanonet.check_gradients`, and all but the mathematics by the first batch of every
    ``fit``:

    - What the layer owns is an attribute: :class:`Parameter`, :class:`Buffer`, :class:`Random` and further layers,
      also within lists, tuples, deques, dicts and dataclasses. They are initialized when a :class:`Sequential` is built
      from them. A part hidden elsewhere, such as in a closure, is rejected in the first batch.
    - ``forward`` returns the output and a cache: whatever ``backward`` needs. It sets no attribute, changes buffers and
      generators only if ``training``, and never changes parameters, so many threads may predict with one model.
    - ``backward`` takes dE/dy and the cache, **assigns** (never adds to) ``parameter.grad`` for each of its own
      parameters, frozen or not, summed over the batch, and returns dE/dx, which has the shape of x.
    - ``backward`` never calls ``self.backward_parameters``, whose default calls ``backward``. A container that runs a
      layer twice calls ``layer.backward_again`` the second time, since ``backward`` would replace the first gradient.
    - Neither writes into ``x``, ``grad``, the cache, or an array it has already returned: ``y = y + x``, not
      ``y += x``, if y came from another layer.
    - A layer with several inputs or outputs takes or returns a tuple of arrays, and so do grad and dE/dx; a part of
      dE/dx is None where that part of x holds no floats, such as indices or a mask. It says so by an ``input_shape``
      that is a tuple of shapes, or by ``several_inputs``.

    Attributes
    ----------
    input_shape : tuple or None
        The input shape without the batch axis: (3,), or (None, 8) for sequences of any length, (..., 8) for any axes
        before the last, (3, ...) for any after the first; None if not specified. For several inputs a tuple of these:
        ((3,), (..., 8)).
    integer_input : bool or tuple of bool
        Whether x holds integers, such as indices into a table; for several inputs a tuple. A mask of booleans counts
        as integers.
    several_inputs : bool
        Whether x is a tuple of arrays, if ``input_shape`` does not show it, such as for any number of them.
    mixes_samples : bool or "training"
        Whether an output may depend on other samples than its own, always or in training only. A large batch goes in
        blocks through a chain of layers that mix none. Default: True, which is always right.
    """

    input_shape: Patterns | None = None
    integer_input: bool | tuple[bool, ...] = False
    several_inputs: bool = False
    mixes_samples: bool | Literal["training"] = True
    _home: Vector | None = None  # its part of the owning model's vector

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Check the class attributes, and make ``backward_parameters`` call an overridden ``backward``.

        Raises
        ------
        TypeError
            If a parameter, buffer or generator is a class attribute, which all instances would share.
        """
        super().__init_subclass__(**keywords)
        obey_override(cls, Layer, chosen=("backward",), dependent=("backward_parameters",))
        obey_override(cls, Layer, chosen=("forward", "backward"), dependent=("mixes_samples",))
        for name, value in vars(cls).items():
            for _, part in found(name, value):
                if isinstance(part, State) or any(_owns_state(layer) for layer in below(part)):
                    raise TypeError(
                        f"{cls.__name__}.{name} is a class attribute, which all instances would share; "
                        f"set it in __init__: self.{name} = {type(part).__name__}(...)"
                    )

    @abstractmethod
    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Return the output for x, and the cache for ``backward``.

        Parameters
        ----------
        x : array, or tuple of arrays
            Shape (batch, ...), in the model's dtype.
        training : bool
            Whether a step of training follows, as Dropout and BatchNorm must know.

        Returns
        -------
        y : array, or tuple of arrays
        cache : object
        """

    @abstractmethod
    def backward(self, grad: Arrays, cache: Any) -> Array:
        """Take dE/dy, assign dE/dparameter to the ``grad`` of each own parameter, and return dE/dx.

        Parameters
        ----------
        grad : array, or tuple of arrays
            dE/dy, of the shape of y.
        cache : object
            As ``forward`` returned it.

        Returns
        -------
        array, or tuple of arrays
            dE/dx, of the shape of x.
        """

    def backward_parameters(self, grad: Arrays, cache: Any) -> None:
        """Assign the gradients of the parameters only; the lowest layer does not need dE/dx.

        Parameters
        ----------
        grad, cache
            As for ``backward``.
        """
        self.backward(grad, cache)

    def output_shape(self, input_shape: Patterns) -> Shape | None:
        """Return the output shape for an input shape, both without the batch axis; None if not known in advance.

        For several inputs or outputs the shape is a tuple of shapes.

        The default checks ``input_shape`` and returns None. When a model is built, a length that is not yet known is
        passed as None, and any number of axes as ``...``; return None if that is not enough.

        Parameters
        ----------
        input_shape : tuple
            Such as (3,), or ((3,), (8,)) for several inputs.

        Returns
        -------
        tuple or None

        Raises
        ------
        ShapeError
            If the layer does not take such an input.
        """
        if self.input_shape is not None:
            input_pattern(self, input_shape)
        return None

    def owned_parts(self) -> Iterator[tuple[str, State | Layer]]:
        """Yield the parts of the layer by name, in the order the attributes were set.

        Yields
        ------
        name : str
        part : Parameter, Buffer, Random or Layer
        """
        for name, value in attributes(self):
            yield from found(name, value)

    def parameters(self) -> dict[str, Parameter]:
        """Return every parameter of this layer and those below it by name, such as "0.weight", in order.

        Returns
        -------
        dict of Parameter
        """
        named: dict[str, Parameter] = {}
        for name, part in self.owned_parts():
            inner = {"": part} if isinstance(part, Parameter) else part.parameters() if isinstance(part, Layer) else {}
            named |= {f"{name}.{below}" if below else name: parameter for below, parameter in inner.items()}
        return named

    def freeze(self) -> None:
        """Freeze every parameter of this layer and those below it: training leaves them unchanged."""
        for parameter in self.parameters().values():
            parameter.trainable = False

    def unfreeze(self) -> None:
        """Let training change every parameter of this layer and those below it."""
        for parameter in self.parameters().values():
            parameter.trainable = True

    def backward_again(self, grad: Arrays, cache: Any) -> Array:
        """Call ``backward``, and add to the gradients instead of replacing them: for a layer called twice in one pass.

        A container that runs a layer forward several times calls ``backward`` for one of these, and this for the rest.

        Parameters
        ----------
        grad, cache
            As for ``backward``.

        Returns
        -------
        array, or tuple of arrays
            dE/dx.
        """
        before = [(parameter, parameter.grad.copy()) for parameter in self.parameters().values()]
        dx = self.backward(grad, cache)
        for parameter, first in before:
            parameter.grad += first
        return dx

    def __deepcopy__(self, memo: dict[int, Any]) -> Layer:
        """Return a copy that belongs to no model, made from the innermost layer outwards to avoid recursion."""
        for layer in reversed(list(below(self))):
            if id(layer) not in memo:
                _copy(layer, memo)
        twin: Layer = memo[id(self)]
        return twin

    def __setstate__(self, state: Any) -> None:
        for name, value in named_state(state).items():
            set_attribute(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "input_shape" and not isinstance(value, tuple | None):
            raise TypeError(f"{type(self).__name__}: expected input_shape as a tuple such as (3,), got {value!r}")
        old = self._attribute(name)
        if name == "trainable" and self._home is not None and name not in vars(self):
            raise TypeError(
                f"{type(self).__name__} has no trainable; write layer.freeze(), or layer.weight.trainable = False"
            )
        kind, label = type(old).__name__, f"{type(self).__name__}.{name}"
        if isinstance(old, State) and not isinstance(value, State | None):
            raise TypeError(f"{label} is a {kind}; to change its numbers write layer.{name}.value = ...")
        if self._home is not None and value is not old and (_holds(old) or _holds(value)):
            raise TypeError(f"{label} cannot be set: {self!r} is part of a model; set it first, then build a new model")
        if isinstance(value, State):
            value.label = label
        super().__setattr__(name, value)

    def _attribute(self, name: str) -> object:
        """Return an instance attribute, also from a slot; None if there is none."""
        in_slot = inspect.ismemberdescriptor(inspect.getattr_static(type(self), name, None))
        return getattr(self, name, None) if in_slot else vars(self).get(name)

    def __delattr__(self, name: str) -> None:
        if self._home is not None and _holds(self._attribute(name)):
            raise TypeError(f"{type(self).__name__}.{name} cannot be deleted: {self!r} is part of a model")
        super().__delattr__(name)


def _copy(layer: Layer, memo: dict[int, Any]) -> None:
    """Put a deep copy of one layer into memo, as the copy module does; the layers below it are already there."""
    reduced: Any = layer.__reduce_ex__(4)
    make, arguments, state = reduced[:3]
    twin: Layer = make(*copy.deepcopy(arguments, memo))
    memo[id(layer)] = twin  # before its state, which may refer back to it, as a bound method does
    try:
        copied = copy.deepcopy(state, memo)
    except TypeError as error:
        raise TypeError(f"{layer!r}: it holds an object that cannot be copied: {error}") from error
    twin.__setstate__(copied)


def input_pattern(layer: Layer, input_shape: Patterns) -> Patterns | None:
    """Return the input's shape, combined with the layer's ``input_shape``: what is not known here may be known there.

    A layer that keeps the shape of its input says ``output_shape = input_pattern``.

    Raises
    ------
    ShapeError
        If the layer does not take such an input.
    """
    if input_shape is None:
        return layer.input_shape
    if layer.input_shape is None:
        if is_several(input_shape) != layer.several_inputs:
            wanted = "a tuple of arrays" if layer.several_inputs else "one array"
            hint = "" if layer.several_inputs else "; a layer that takes several says several_inputs = True"
            raise ShapeError(f"{layer}: expected {wanted}, got {shape_text(input_shape)}{hint}")
        return input_shape
    both = agreed(layer.input_shape, input_shape)
    if both is None:
        raise ShapeError.misfit(layer, expected=layer.input_shape, got=input_shape)
    return both


def below(root: Layer) -> Iterator[Layer]:
    """Yield a layer and all layers below it, each after its owner."""
    waiting, seen = [root], set[int]()
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            yield layer
            waiting += [part for _, part in layer.owned_parts() if isinstance(part, Layer)]


def found(name: str, value: object, within: tuple[int, ...] = ()) -> Iterator[tuple[str, State | Layer]]:
    """Yield the states and layers in one attribute, by name: the value itself or the entries of a container."""
    if type(value) in PLAIN:
        return
    if isinstance(value, (State, Layer)):
        yield name, value
    elif id(value) not in within:  # a container may hold itself
        for key, entry in entries(value):
            if type(entry) not in PLAIN:
                yield from found(f"{name}.{key}", entry, (*within, id(value)))


def _owns_state(layer: Layer) -> bool:
    return any(isinstance(part, State) for _, part in layer.owned_parts())


def _holds(value: object) -> bool:
    """Return whether an attribute is or contains a state or a layer."""
    return next(found("", value), None) is not None
