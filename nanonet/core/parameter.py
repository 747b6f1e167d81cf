"""The state of a layer: Parameter, Buffer and Random."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import as_numbers, as_shape, stranger, true_or_false
from nanonet.core.errors import ShapeError
from nanonet.core.objects import attributes, is_own, set_attribute, twin_of
from nanonet.core.vector import Memory, Vector, copy_in

# The name in quotes defers the import of numpy.random to the first model, as NumPy itself does.
Init = Callable[[Shape, "np.random.Generator"], Array] | npt.ArrayLike


OF_THE_MODEL = ("_home", "_memory", "_start", "_grad")  # attributes that a copy leaves out


class State:
    """Base of Parameter, Buffer and Random: declared as a layer's attribute, initialized when a model is built."""

    __slots__ = ("__weakref__", "_home", "_init", "label")

    def __init__(self, init: Init, label: str) -> None:
        self.label = label  # what errors call it, until the model that is built names it by its place
        self._init: Init | None = init  # None once it is built
        self._home: Vector | None = None  # that of the owning layer

    def __getattr__(self, name: str) -> Any:
        # Called only for missing attributes: a property without its slot yet, or a name that this class does not have.
        if name in ("value", "grad", "generator"):
            raise RuntimeError(
                f"{self.label} is used before it is built; put its layer into a model first: Sequential(layer)"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}; its numbers are in .value")

    def __array__(self, *arguments: Any, **keywords: Any) -> npt.NDArray[Any]:
        """Raise TypeError; otherwise NumPy would make an array of objects."""
        raise TypeError(f"{self.label} is a {type(self).__name__}; its numbers are in .value")

    def __array_ufunc__(self, *arguments: Any, **keywords: Any) -> Any:
        """Raise TypeError, as for ``x * parameter``."""
        return self.__array__()

    @property
    def init(self) -> Init | None:
        """The initializer, or the array of initial values; None once it is built."""
        return self._init

    @property
    def is_built(self) -> bool:
        """Whether it has numbers."""
        return self._init is None

    def twin(self, **numbers: Any) -> State:
        """Return a twin that differs only in the attributes given, for a view of a model."""
        return twin_of(self, numbers)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy: the numbers themselves, independent of the vector."""
        kept = {name: value for name, value in attributes(self) if name not in OF_THE_MODEL}
        return {name: np.array(v, order="C") if isinstance(v, np.ndarray) else v for name, v in kept.items()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            set_attribute(self, name, value)
        self._home = None


def _starting(init: Init, shape: Shape, kind: str) -> Init:
    """Check the init argument of a Parameter or Buffer; an array is copied."""
    if isinstance(init, type) and is_own(init):
        raise TypeError(f"{kind}: expected an initializer, got the class {init.__name__}; write {init.__name__}(...)")
    if callable(init):
        return init
    array = as_numbers(init, kind)
    if array.shape != shape:
        hint = f"; to fill it with one number try Constant({array})" if array.ndim == 0 else ""
        raise ShapeError(f"{kind}: expected a starting array of shape {shape}, got {array.shape}{hint}")
    if not np.isfinite(array).all():
        raise ValueError(f"{kind}: expected finite starting values, got {stranger(array, ~np.isfinite(array))}")
    return array.copy()


def _drawn(init: Init, shape: Shape, rng: np.random.Generator, label: str) -> npt.NDArray[Any]:
    """Return the initial values for a shape, checked."""
    drawn = as_numbers(init(shape, rng) if callable(init) else init, label)
    if drawn.shape != shape:
        raise ShapeError(f"{label}: its initializer gave shape {drawn.shape}, expected {shape}")
    return drawn


class Parameter(State):
    """Trainable numbers of a layer, and their gradient.

    Parameters
    ----------
    shape : int or tuple of int
    init : callable or array
        An initializer, called with (shape, rng) when the model is built, or an array of initial values.
    trainable : bool
        If False, the parameter is frozen: training leaves it unchanged. It may be unfrozen and frozen at any time.
    label : str
        What error messages call it until a model is built, such as "Linear(2, 3).weight".

    Raises
    ------
    ShapeError
        If the initial array, or an array assigned to value or grad, has another shape.

    Examples
    --------
    >>> from nanonet import Constant, Parameter
    >>> Parameter(3, Constant(1.5))
    Parameter((3,), not built)
    """

    __slots__ = ("_grad", "_memory", "_start", "_trainable", "_value", "shape")

    def __init__(self, shape: int | Shape, init: Init, trainable: bool = True, label: str = "Parameter") -> None:
        self.shape = as_shape(shape, label)
        super().__init__(_starting(init, self.shape, label), label)
        self._trainable = true_or_false(trainable, label, "trainable")
        self._value: Array
        self._grad: Array
        self._memory: Memory | None = None
        self._start = 0

    @property
    def value(self) -> Array:
        """The numbers, a view of the model's vector; assignment checks the shape and copies into it."""
        return self._value

    @value.setter
    def value(self, numbers: npt.ArrayLike) -> None:
        if self._memory is not None:
            self._memory.version += 1
        if numbers is not (own := self.value):  # `value += x` assigns the array itself
            copy_in(own, numbers, f"{self.label}.value")

    @property
    def grad(self) -> Array:
        """dE/dvalue, a view of the vector's grad unless frozen; assignment checks the shape and copies into it."""
        return self._grad

    @grad.setter
    def grad(self, numbers: npt.ArrayLike) -> None:
        if numbers is not (own := self.grad):
            copy_in(own, numbers, f"{self.label}.grad")

    @property
    def trainable(self) -> bool:
        """Whether training updates it."""
        return self._trainable

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        if true_or_false(trainable, self.label, "trainable") != self._trainable:
            self._trainable = bool(trainable)
            if self._memory is not None:
                self._place_grad(self._memory)
                self._memory.layout = object()

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    @property
    def offset(self) -> int:
        """Its start index in the outermost model's vector."""
        return self._start

    def first_numbers(self, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return its value if it is built, else its initial values."""
        return self._value if self._init is None else _drawn(self._init, self.shape, rng, self.label)

    def laid(self, flat: Array) -> Array:
        """Return a flat array of this parameter's size as a view in its shape."""
        return flat.reshape(self.shape)

    def move_to(self, memory: Memory, start: int, home: Vector) -> None:
        """Become a view of memory, which already holds the numbers."""
        self._memory, self._start, self._init, self._home = memory, start, None, home
        self._value = self.laid(memory.value[start : start + self.size])
        self._place_grad(memory)

    def _place_grad(self, memory: Memory) -> None:
        """Make grad a view of the vector's; if frozen, a separate array, with zeros in the vector."""
        shared = self.laid(memory.grad[self._start : self._start + self.size])
        shared[...] = 0
        self._grad = shared if self._trainable else np.zeros_like(self._value)

    def __repr__(self) -> str:
        frozen = "" if self._trainable else ", trainable=False"
        return f"Parameter({self.shape}, {self._value.dtype if self.is_built else 'not built'}{frozen})"

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__(state)
        self._memory, self._start = None, 0
        if self.is_built:
            self._grad = np.zeros_like(self._value)


class Buffer(State):
    """Numbers of a layer that no optimizer updates, such as a running mean; saved with the model.

    Parameters
    ----------
    shape : int or tuple of int
        () for a single number.
    init : callable or array
        As for a Parameter.
    dtype : dtype, optional
        Default: the model's.
    """

    __slots__ = ("_dtype", "_value", "shape")

    def __init__(self, shape: int | Shape, init: Init, dtype: npt.DTypeLike | None = None) -> None:
        self.shape = as_shape(shape, "Buffer")
        super().__init__(_starting(init, self.shape, "Buffer"), "Buffer")
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._value: npt.NDArray[Any]

    @property
    def value(self) -> npt.NDArray[Any]:
        """The numbers; assignment checks the shape and copies into it."""
        return self._value

    @value.setter
    def value(self, numbers: npt.ArrayLike) -> None:
        if numbers is not (own := self.value):
            copy_in(own, numbers, f"{self.label}.value")

    def first_numbers(self, dtype: np.dtype[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Return a copy of its value if it is built, else its initial values, in its dtype."""
        numbers = self._value if self._init is None else _drawn(self._init, self.shape, rng, self.label)
        return np.array(numbers, dtype=self._dtype or dtype, order="C")

    def settle(self, value: npt.NDArray[Any], home: Vector | None) -> None:
        """Take value as its own array, through a view, by which ``predict`` knows it from a result."""
        self._value, self._init, self._home = value[...], None, home

    def __repr__(self) -> str:
        return f"Buffer({self.shape}, {self._value.dtype if self.is_built else 'not built'})"


class Random(State):
    """A layer's own random generator, spawned from the model's when it is built.

    Spawning does not advance the model's generator, so an additional Dropout does not change the initial weights.
    """

    __slots__ = ("_generator",)

    def __init__(self) -> None:
        super().__init__((), "Random")
        self._generator: np.random.Generator

    @property
    def generator(self) -> np.random.Generator:
        """The generator; a forward pass draws from it only if ``training``."""
        return self._generator

    def settle(self, generator: np.random.Generator, home: Vector) -> None:
        """Take generator as its own."""
        self._generator, self._init, self._home = generator, None, home

    def __repr__(self) -> str:
        return f"Random({'' if self.is_built else 'not built'})"
