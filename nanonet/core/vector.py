"""Vector: the flat array that all parameters of a model share, and that of their gradients."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import as_numbers
from nanonet.core.errors import ShapeError


def copy_in(place: npt.NDArray[Any], numbers: object, label: str) -> None:
    """Copy numbers into place; the shapes must be equal, nothing is broadcast."""
    array = as_numbers(numbers, label)
    if array.shape != place.shape:
        kept = array.size == place.size and array.ndim > place.ndim
        summed = array.ndim > place.ndim and array.shape[-place.ndim or array.ndim :] == place.shape
        turned = array.ndim == 2 and array.shape == place.shape[::-1]
        hint = "; leave out keepdims?" if kept and 1 in array.shape else ""
        hint = hint or ("; sum it over the batch axis?" if summed else "; transpose it?" if turned else "")
        raise ShapeError(f"{label}: expected shape {place.shape}, got {array.shape}{hint}")
    place[...] = array


sketched: ContextVar[bool] = ContextVar("sketched", default=False)
"""Whether models are built as sketches: with names and shapes, but one shared 0 in place of all numbers."""


def _one_zero(size: int, dtype: np.dtype[Any]) -> Array:
    """Return a vector whose entries all share one memory cell."""
    return np.ndarray((size,), dtype, np.zeros(1, dtype), strides=(0,))


class Memory:
    """The two arrays of one outermost model.

    Attributes
    ----------
    layout : object
        A token that is replaced whenever a parameter is moved, frozen or unfrozen.
    version : int
        The number of assignments to values: what was established for an earlier version may no longer hold.
    """

    __slots__ = ("dtype", "grad", "is_sketch", "layout", "value", "version")

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.dtype, self.is_sketch = dtype, sketched.get()
        self.value: Array = _one_zero(size, dtype) if self.is_sketch else np.empty(size, dtype)
        self.grad: Array = _one_zero(size, dtype) if self.is_sketch else np.zeros(size, dtype)
        self.layout, self.version = object(), 0

    @property
    def memory(self) -> Memory:
        """Itself: the outermost source of a Vector."""
        return self


class Vector:
    """All parameters of a model as one flat array, and all gradients as another.

    A model inside another model, and a slice of a model, use a part of the outer vector.

    Parameters
    ----------
    layer : Layer
        Whose parameters they are.
    source : Memory or Vector
        What holds the numbers; for a model inside another one the outer vector.
    start, stop : int
        The part of it.
    keeper : object
        Kept alive with it: the model that a slice was taken from.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> model = Sequential(Linear(2, 3), Linear(3, 1))
    >>> model.vector.value.shape
    (13,)
    >>> model[1:].vector.value.shape
    (4,)
    """

    __slots__ = ("_keeper", "_layer", "_parent", "_source", "_start", "_stop", "dtype")

    def __init__(self, layer: Any, source: Memory | Vector, start: int, stop: int, keeper: object = None) -> None:
        self._layer: Callable[[], Any] = weakref.ref(layer)
        self._parent: Callable[[], Any] = lambda: None
        self._keeper = keeper  # a slice keeps the owner of its layers alive
        self.move_to(source, start, stop)

    def move_to(self, source: Memory | Vector, start: int, stop: int) -> None:
        """Move to another part of a vector; slices of this one follow."""
        self._source, self._start, self._stop = source, start, stop
        self.dtype: np.dtype[Any] = source.dtype  # float32 or float64

    @property
    def value(self) -> Array:
        """The numbers, shape (size,); assignment checks the shape and copies into it."""
        self.memory.version += 1  # who asks for the array may write to it
        return self._source.value[self._start : self._stop]

    @value.setter
    def value(self, numbers: npt.ArrayLike) -> None:
        self.memory.version += 1
        copy_in(self.value, numbers, "vector.value")

    @property
    def grad(self) -> Array:
        """The gradients, shape (size,), 0 for frozen parameters; assignment checks the shape and copies into it."""
        return self._source.grad[self._start : self._stop]

    @grad.setter
    def grad(self, numbers: npt.ArrayLike) -> None:
        copy_in(self.grad, numbers, "vector.grad")

    @property
    def memory(self) -> Memory:
        """The arrays of the outermost model."""
        return self._source.memory

    @property
    def layout(self) -> object:
        """A token that is replaced whenever a parameter is moved, frozen or unfrozen."""
        return self._source.layout

    def set_parent(self, parent: Any) -> None:
        """Set the owner of the layer whose part of the vector this is."""
        self._parent = weakref.ref(parent)

    def owner(self) -> Any:
        """Return the outermost owner that is still alive; None if even its own layer is gone."""
        layer, home = self._layer(), self
        while (parent := home._parent()) is not None:
            layer, home = parent, home_of(parent)
        return layer

    @property
    def offset(self) -> int:
        """Its start index in the outermost model's vector."""
        return self._start + (self._source.offset if isinstance(self._source, Vector) else 0)

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._stop - self._start

    def __repr__(self) -> str:
        return f"Vector({self.size} parameters, {self.dtype})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy as None: a copied layer belongs to no model, and a copied model builds its own vector."""
        return type(None), ()


home_of: Callable[[Any], Any] = attrgetter("_home")
"""Of a layer: its part of the vector of the model that owns it, or None before it is built."""
