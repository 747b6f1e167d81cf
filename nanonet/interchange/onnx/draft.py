"""Draft: the nodes and constants of a graph that is being written, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.interchange.layer_by_layer import LayerByLayer
from nanonet.interchange.onnx.elementwise import NAMES, Symbol
from nanonet.interchange.onnx.registration import WRITERS


class Draft(LayerByLayer):
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

    form, package, writers = "ONNX", "onnx", WRITERS

    def __init__(self, onnx: Any, dtype: np.dtype[Any]) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

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


class Value(Symbol):
    """A value of a draft, to which NumPy's functions add nodes."""

    def __init__(self, draft: Draft, name: str) -> None:
        self.draft, self.name = draft, name

    def apply(self, function: Any, *inputs: Any) -> Value:
        """Add the operator for a NumPy function."""
        names = (each.name if isinstance(each, Value) else self.draft.number(float(each)) for each in inputs)
        return Value(self.draft, self.draft.add(NAMES[function], *names))
