"""Draft: the nodes and constants of a graph that is being written, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers, Patterns, shape_of
from nanonet.core.checks import is_several, known
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.interchange.onnx.elementwise import NAMES, Symbol
from nanonet.interchange.onnx.registration import WRITERS
from nanonet.interchange.overridden import inherited, replaced

Names = Any
"""The name of a value, or a tuple of names where there are several."""


class Draft:
    """The nodes and constants of a graph built layer by layer; values are referred to by name.

    Parameters
    ----------
    onnx : module
    dtype : dtype
        As in the attributes.

    Attributes
    ----------
    dtype : dtype
        The model's.
    place : str
        The path of the layer that is being written, such as "2.inner".
    """

    def __init__(self, onnx: Any, dtype: np.dtype[Any]) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.place = ""

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output; the name of an input that is left out is empty.

        Parameters
        ----------
        operator : str
            Of ONNX, such as "Gemm".
        *inputs : str
            Names of values.
        **attributes
            Of the node.

        Returns
        -------
        str
        """
        return self.add_several(1, operator, *inputs, **attributes)[0]

    def add_several(self, count: int, operator: str, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Add a node, and return the names of so many outputs.

        Parameters
        ----------
        count : int
            The number of outputs.
        operator, *inputs, **attributes
            As for ``add``.

        Returns
        -------
        tuple of str
        """
        name = f"{self.place}.{operator}.{len(self.nodes)}"
        outputs = (name, *(f"{name}.{i}" for i in range(1, count)))
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, name: str, array: Numbers) -> str:
        """Add an array that belongs to the layer, such as its "weight", and return its name in the file.

        Parameters
        ----------
        name : str
        array : array

        Returns
        -------
        str
        """
        return self._hold(f"{self.place}.{name}" if self.place else name, array)

    def number(self, value: float) -> str:
        """Add a number in the model's dtype, and return its name.

        Parameters
        ----------
        value : float

        Returns
        -------
        str
        """
        return self._hold(f"number {value!r}", self.dtype.type(value))

    def integers(self, *values: int) -> str:
        """Add a row of integers, such as a shape, and return its name.

        Parameters
        ----------
        *values : int

        Returns
        -------
        str
        """
        return self._hold(f"integers {values}", np.array(values, np.int64))

    def _hold(self, name: str, array: Any) -> str:
        self.constants[name] = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        return name

    @property
    def is_double(self) -> bool:
        """Whether the model is float64, for which runtimes support fewer operators."""
        return self.dtype == np.float64

    def write(self, layer: Layer, x: Names, shape: Patterns, name: str) -> Names:
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

    def _writer(self, layer: Layer) -> Any:
        own = replaced(layer, type(layer))
        if own:
            raise TypeError(f"{self.whose(layer)}: its {own[0]} is overridden on the instance, which is not exported")
        writer = inherited(type(layer), WRITERS)
        if writer is None:
            raise TypeError(
                f"{self.whose(layer)}: no ONNX form is known for it; register a function that writes it: "
                f"@nanonet.interchange.onnx.writes({type(layer).__name__})"
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


class Value(Symbol):
    """A value of a draft, to which NumPy's functions add nodes."""

    def __init__(self, draft: Draft, name: str) -> None:
        self.draft, self.name = draft, name

    def apply(self, function: Any, *inputs: Any) -> Value:
        """Add the operator for a NumPy function."""
        names = (each.name if isinstance(each, Value) else self.draft.number(float(each)) for each in inputs)
        return Value(self.draft, self.draft.add(NAMES[function], *names))
