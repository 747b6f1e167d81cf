"""Chain: a linear stack of layers, and the article's recursion as a loop of any depth."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Patterns, Shape, batch_size_of, each, parts_of, shape_of
from nanonet.core.checks import as_generator, as_input, expect, floating_dtype, is_several, known, positive_int
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, found, input_pattern
from nanonet.core.objects import attributes, called, set_attribute, shortened
from nanonet.core.parameter import State
from nanonet.core.rows import LARGE, WHOLE, Rows, rows_in_cache
from nanonet.core.tree import Tree, build
from nanonet.core.vector import Vector, home_of

# For each thread inside a ``strict`` block, by id: the function that returns the checked view of a model.
checked_views: dict[int, list[Callable[[Chain], Chain | None]]] = {}


def _checked(model: Chain, method: str = "") -> Chain | None:
    """Return the checked view to run this thread's pass on; None (the default) for the model itself.

    If a subclass overrides the method, its call of ``super()`` is part of that method, not a pass of its own.
    """
    blocks = checked_views.get(threading.get_ident())
    if not blocks or (method and getattr(type(model), method) is not getattr(Chain, method)):
        return None
    return blocks[-1](model)


class Chain(Layer):
    """A linear stack of layers, itself a layer: y = f_L(... f_2(f_1(x))).

    The base of :class:`nanonet.Sequential`, without the methods that need more than the layers: the passes, the
    parameter vector and the state dict. Everything below ``Sequential`` is written for a Chain.

    Attributes
    ----------
    layers : tuple of Layer
    rng : Generator
        The source of randomness for initial weights, shuffling and dropout.
    """

    mixes_samples = False
    sliced_as: ClassVar[type[Chain]]  # the class of a slice of a chain: Sequential, whatever the class of the chain

    def __init__(
        self, *layers: Layer, dtype: npt.DTypeLike = np.float32, rng: int | np.random.Generator | None = None
    ) -> None:
        name = type(self).__name__
        for i, layer in enumerate(layers):
            hint = f"; write {name}(*layers)" if isinstance(layer, (list, tuple)) else ""
            expect(layer, Layer, f"{name}: expected layer {i}", hint=hint)
        self._chain(layers, as_generator(rng, name))
        self._build(floating_dtype(dtype, name))

    _accepted: Patterns | None = None  # the input shape that was checked last
    _rows: tuple[Patterns | None, Rows] = (None, WHOLE)  # such a shape, and the samples of its blocks
    _plan: tuple[object, int | None] = (None, None)  # the layout, and the lowest layer with trainable parameters

    def _chain(self, layers: tuple[Layer, ...], rng: np.random.Generator) -> None:
        self.layers, self.rng = layers, rng
        if layers:
            self.input_shape, self.integer_input = layers[0].input_shape, layers[0].integer_input
            self.several_inputs = layers[0].several_inputs or is_several(layers[0].input_shape)

    def _build(self, dtype: np.dtype[Any]) -> None:
        tree = Tree(self)
        tree.refuse_foreign()
        self.follow(None)
        build(tree, dtype, self.rng)

    def __getstate__(self) -> dict[str, Any]:
        kept = {name: value for name, value in attributes(self) if name not in ("_home", "_plan", "_rows")}
        return kept | {"dtype": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "dtype"})
        self._build(state["dtype"])

    # ---- parts

    @property
    def vector(self) -> Vector:
        """All parameters as one flat array (``.value``), and all gradients (``.grad``)."""
        assert self._home is not None
        return self._home

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64, of the parameters and of everything computed."""
        return self.vector.dtype

    def owned_parts(self) -> Iterator[tuple[str, State | Layer]]:
        """Yield each layer, named by its position "0", "1", ..., then the parts that a subclass adds."""
        for i, layer in enumerate(self.layers):
            yield str(i), layer
        for name, value in attributes(self):
            if name != "layers":
                yield from found(name, value)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, index: int | slice) -> Any:
        """Return a layer, or for a slice a chain that shares the layers and their part of the vector."""
        if not isinstance(index, slice):
            return self.layers[index]
        if index.step not in (None, 1):
            raise ValueError(f"{type(self).__name__}: expected a slice of neighbouring layers, got step {index.step}")
        return self._slice(*index.indices(len(self.layers))[:2])

    def _slice(self, first: int, last: int) -> Chain:
        chain = Chain.sliced_as.__new__(Chain.sliced_as)
        layers = self.layers[first:last]
        sizes = [home.size if home else 0 for home in map(home_of, self.layers[:last])]
        start, stop = sum(sizes[:first]), sum(sizes)
        Chain._chain(chain, layers, self.rng)
        set_attribute(chain, "_home", Vector(chain, self.vector, start, max(start, stop), keeper=self))
        return chain

    @shortened
    def __repr__(self) -> str:
        lines = [f"  {i}: " + repr(layer).replace("\n", "\n  ") for i, layer in _ends(self.layers)]
        if len(lines) < len(self.layers):
            lines.insert(len(lines) // 2, f"  ... {len(self.layers) - len(lines)} more layers ...")
        name = type(self).__name__
        return "\n".join([f"{name}(", *lines, ")"]) if lines else f"{name}()"

    # ---- shapes

    def shapes(self, shape: Patterns | None) -> Iterator[tuple[int, Layer, Patterns | None, Patterns | None]]:
        """Yield each layer with its input and output shapes, from the first layer that fixes one; None if unknown."""
        for i, layer in enumerate(self.layers):
            try:
                taken = input_pattern(layer, shape)
                out = output_pattern(layer, taken)
            except ShapeError as error:
                if shape is None or i == 0:
                    raise
                below = f"layer {i - 1}, {called(self.layers[i - 1])}, gives {shape_text(shape)}"
                if error.expected is None or error.got != shape:
                    raise ShapeError(f"{type(self).__name__}: {below}, which does not fit layer {i}: {error}") from None
                wanted = f"layer {i}, {called(layer)}, expects {shape_text(error.expected)}"
                raise ShapeError(f"{type(self).__name__}: {wanted}, but {below}") from None
            yield i, layer, taken, out
            shape = out

    def follow(self, shape: Patterns | None) -> Patterns | None:
        """Return the output pattern for an input pattern, or None if a layer does not know its own."""
        links = list(self.shapes(shape))  # consumed without a frame of its own: chains nest 256 deep
        return links[-1][-1] if links else shape

    def output_shape(self, input_shape: Patterns) -> Shape | None:
        """Return the last layer's output shape, or None if a layer does not know its own."""
        return self.follow(input_shape)

    # ---- passes

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, list[Any]]:
        """Return the output of the last layer and the list of caches."""
        if checked_views and (view := _checked(self, "forward")) is not None:
            return view.forward(x, training=training)
        caches = []
        for layer in self.layers:
            x, cache = layer.forward(x, training=training)
            caches.append(cache)
        return x, caches

    def backward(self, grad: Array, cache: list[Any]) -> Array:
        """Assign all gradients, from the last layer to the first, and return dE/dx.

        Between an activation and the Linear below it, grad is the article's g: this loop is its recursion.
        """
        if checked_views and (view := _checked(self, "backward")) is not None:
            return view.backward(grad, cache)
        for layer, layer_cache in zip(reversed(self.layers), reversed(cache), strict=True):
            grad = layer.backward(grad, layer_cache)
        return grad

    def backward_parameters(self, grad: Arrays, cache: list[Any]) -> None:
        """Assign the gradients, stopping at the lowest layer with trainable parameters."""
        if checked_views and (view := _checked(self, "backward_parameters")) is not None:
            return view.backward_parameters(grad, cache)
        lowest = self._lowest_trainable()
        if lowest is None:
            return
        for i in range(len(cache) - 1, lowest, -1):
            grad = self.layers[i].backward(grad, cache[i])
        self.layers[lowest].backward_parameters(grad, cache[lowest])

    def _lowest_trainable(self) -> int | None:
        layout, lowest = self._plan
        if layout is not self.vector.layout:
            trainable = [any(part.trainable for part in layer.parameters().values()) for layer in self.layers]
            lowest = trainable.index(True) if True in trainable else None
            self._plan = (self.vector.layout, lowest)
        return lowest

    def _infer(self, x: Array) -> Array:
        """Return the output alone, without keeping caches; uses ``forward`` if a subclass overrides it."""
        if checked_views and (view := _checked(self)) is not None:
            return view.forward(x)[0]
        if type(self).forward is not Chain.forward:
            return self.forward(x)[0]
        for layer in self.layers:
            x = Chain._infer(layer, x) if isinstance(layer, Chain) else layer.forward(x)[0]
        return x

    # ---- input

    def enter(self, x: object) -> Any:
        """Return x converted and checked for the first layer."""
        arrays = as_input(x, self.several_inputs, self.integer_input, self.vector.dtype, type(self).__name__)
        if shape_of(arrays) != self._accepted:
            self._accept(arrays)
        return arrays

    def _accept(self, x: Arrays) -> None:
        shape = shape_of(x)
        try:
            self.follow(shape)
        except ShapeError as error:
            if error.got != shape or error.expected is None:
                raise
            subject = str(error).split(": expected input")[0]
            full = ShapeError.misfit(subject, expected=error.expected, got=shape, batch=batch_size_of(x))
            raise ShapeError(f"{full}{self.advice(error.expected, x)}") from None
        self._accepted = shape

    def advice(self, expected: Patterns, x: Arrays) -> str:
        """Return what to try instead of an input of another shape than the expected one; here nothing."""
        return ""

    def rows(self) -> Rows:
        """Return how many samples of the shape that was checked last go through in one block."""
        shape, rows = self._rows
        if shape is not self._accepted:
            shape = self._accepted
            rows = rows_in_cache(self, (out for *_, out in self.shapes(shape)), self.dtype.itemsize)
            self._rows = shape, rows
        return rows

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Return the prediction for x, in the model's dtype; same as ``predict(x)``."""
        return self.predict(x)

    def predict(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """Return the prediction for x, shape (batch, ...).

        Parameters
        ----------
        x : array, or tuple of arrays
            Shape (batch, ...); a tuple for a model with several inputs. An empty batch gives an empty prediction. Of a
            model with several outputs the prediction is a tuple.
        batch_size : int, optional
            Number of samples per forward pass, to limit memory; default: as many as fit into the cache, or all if a
            layer may mix samples.

        Returns
        -------
        array, or tuple of arrays
            In the model's dtype.

        Raises
        ------
        ShapeError
            If x does not have the first layer's input shape.
        TypeError
            If x is not numeric.
        """
        entered = self.enter(x)
        size = batch_size_of(entered)
        if batch_size is not None:
            step = positive_int(batch_size, type(self).__name__, "batch_size")
        else:
            step = size if size < LARGE else self.rows().predict or size
        if size <= step:
            return self._predict(entered)
        whole: Any = None
        for start in range(0, size, step):
            rows = slice(start, start + step)
            piece = self._predict(each(operator.itemgetter(rows), entered))
            if whole is None:
                whole = each(lambda y: np.empty((size, *y.shape[1:]), y.dtype), piece)
            for into, part in zip(parts_of(whole), parts_of(piece), strict=True):
                into[rows] = part
        prediction: Array = whole
        return prediction

    def _predict(self, x: Arrays) -> Array:
        try:
            y = self._infer(x)
        except Exception as error:
            self.raise_cause(error, x, backward=False)
        own: Array = each(lambda part: _own(part, x), y)
        return own

    def raise_cause(self, error: Exception, x: Arrays, training: bool = False, *, backward: bool = True) -> Any:
        """Raise the most specific error for a pass that failed; here the error itself."""
        raise error

    # ---- state dict

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return a copy of every parameter and buffer, by name.

        Returns
        -------
        dict of array
        """
        return {name: np.array(state.value, order="C") for name, state in Tree(self).states.items()}

    if TYPE_CHECKING:  # for those who hold a Chain: every one of them is a Sequential, which has it

        def load_state_dict(self, state: Mapping[str, npt.ArrayLike], *, strict: bool = True) -> Any:
            """See :meth:`nanonet.Sequential.load_state_dict`."""


def _own(y: npt.NDArray[Any], x: Arrays) -> npt.NDArray[Any]:
    """Return an output, copied if it is an input or a view, as parameters and buffers are."""
    return y.copy() if y.base is not None or y is x or any(y is part for part in parts_of(x)) else y


def output_pattern(layer: Layer, taken: Patterns | None) -> Patterns | None:
    """Return the output pattern of a layer, or None if it is not known."""
    if isinstance(layer, Chain) and type(layer).output_shape is Chain.output_shape:
        return layer.follow(taken)
    if taken is None:
        return None
    try:
        return layer.output_shape(taken)
    except TypeError:
        if known(taken) is not None:
            raise
        return None  # it computes with lengths that are not known until the first batch


def _ends(layers: tuple[Layer, ...], shown: int = 40) -> Iterable[tuple[int, Layer]]:
    numbered = list(enumerate(layers))
    return numbered if len(numbered) <= shown else numbered[: shown // 2] + numbered[-shown // 2 :]
