"""Program: the C file that is being written, layer by layer: its constants, its memory and its statements."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.interchange.c.loops import index, loop, text
from nanonet.interchange.c.numbers import number, quantized, wrapped
from nanonet.interchange.layer_by_layer import F, LayerByLayer, by_class

WRITERS: dict[type[Layer], Callable[..., str]] = {}
"""The writer of each layer."""


def writes(*classes: type[Any]) -> Callable[[F], F]:
    """Register a function that writes a layer as C, for :func:`export`; nanonet's own are registered so.

    It is called as ``function(program, layer, x, shape)`` and returns the name of the output: ``x`` is the name of the
    input, an array of floats in C order, ``shape`` its shape without the batch axis. See :class:`Program`. A subclass
    inherits it unless it overrides ``forward``, or anything else on which the output may depend.

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
        If one is not a subclass of Layer.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Activation
    >>> from nanonet.interchange import c
    >>> class Square(Activation):
    ...     def function(self, a):
    ...         return a * a
    ...
    ...     def derivative(self, a, y):
    ...         return 2 * a
    >>> @c.writes(Square)
    ... def write_square(program, layer, x, shape):
    ...     return program.each("a * a", x, shape)
    """
    return by_class(WRITERS, classes)


class Matrix(NamedTuple):
    """Weights in the file: the name of their array, and how an entry and a whole sum over a row are written.

    Attributes
    ----------
    name : str
    scales : str
        The name of the array that has a factor for each row; empty for floats.
    """

    name: str
    scales: str

    def entry(self, index: str) -> str:
        """Return an entry as an expression; of int8, times its row's factor still to come.

        Parameters
        ----------
        index : str
            An expression in C.

        Returns
        -------
        str
        """
        return f"(float){self.name}[{index}]" if self.scales else f"{self.name}[{index}]"

    def scaled(self, total: str, row: str) -> str:
        """Return a sum over a row's entries, with the row's factor.

        Parameters
        ----------
        total, row : str
            Expressions in C: the sum, and the index of the row.

        Returns
        -------
        str
        """
        return f"{total} * {self.scales}[{row}]" if self.scales else total


class _Value(NamedTuple):
    """An array in memory: its size, and from which statement on it is used."""

    size: int
    born: int


class Program(LayerByLayer):
    """The parts of a C file: constants, statements, and the arrays that the statements fill.

    Attributes
    ----------
    place : str
        The path of the layer that is being written, such as "2.inner".
    int8 : bool
        Whether matrices are held as int8.
    weight_bytes : int
        Of all constants.
    matrices : list of Parameter
        What went through ``matrix``.
    """

    form, package, writers = "C", "c", WRITERS
    dtype = np.dtype(np.float32)

    def __init__(self, *, int8: bool = False) -> None:
        self.int8, self.weight_bytes = int8, 0
        self.matrices: list[Parameter] = []
        self.constants: list[str] = []
        self.statements: list[str] = []
        self._values: dict[str, _Value] = {}
        self._labels: set[str] = set()

    # ---- constants

    def constant(self, name: str, array: Array) -> str:
        """Add numbers that belong to the layer, such as its "bias", and return the name of their array.

        Parameters
        ----------
        name : str
        array : array

        Returns
        -------
        str
        """
        label = self._label(name)
        numbers = np.asarray(array, np.float32).ravel()
        self._hold("float", label, map(number, numbers), numbers.nbytes, np.shape(array))
        return label

    def matrix(self, name: str, parameter: Parameter) -> Matrix:
        """Add weights, shape (rows, ...): as floats, or as int8 with a factor for each row if the file has such.

        Parameters
        ----------
        name : str
        parameter : Parameter
            Of the layer; itself rather than its numbers, so that export can tell what rounding it costs.

        Returns
        -------
        Matrix

        Raises
        ------
        TypeError
            If it is none.
        """
        if not isinstance(parameter, Parameter):
            raise TypeError(f"matrix: expected a Parameter, such as layer.weight, got {called(parameter)}")
        self.matrices.append(parameter)
        if not self.int8:
            return Matrix(self.constant(name, parameter.value), "")
        whole, scales = quantized(parameter.value)
        label = self._label(name)
        self._hold("signed char", label, map(str, whole.ravel()), whole.size, whole.shape)
        return Matrix(label, self.constant(f"{name}_scale", scales))

    def _label(self, name: str) -> str:
        """Return a name that the file does not have yet."""
        label = re.sub(r"\W", "_", f"{name}_{self.place}" if self.place else name, flags=re.ASCII)
        while label in self._labels:
            label += "_"
        self._labels.add(label)
        return label

    def _hold(self, kind: str, label: str, numbers: Iterable[str], nbytes: int, shape: Shape) -> None:
        rows = "\n".join(wrapped(list(numbers)))
        size = math.prod(shape)
        comment = f" /* {' x '.join(map(str, shape))} */" if len(shape) > 1 else ""
        self.constants.append(f"static const {kind} {label}[{size}] = {{{comment}\n{rows}\n}};")
        self.weight_bytes += nbytes

    # ---- statements

    def array(self, size: int) -> str:
        """Return the name of a new array of floats in memory.

        Parameters
        ----------
        size : int

        Returns
        -------
        str
        """
        name = f"v{len(self._values)}"
        self._values[name] = _Value(size, len(self.statements))
        return name

    def add(self, text: str) -> None:
        """Add statements; the first of a layer begin with a comment that names it.

        Parameters
        ----------
        text : str
            In C.
        """
        self.statements.append(text)

    def comment(self, layer: Layer) -> None:
        """Name the layer whose statements follow.

        Parameters
        ----------
        layer : Layer
        """
        name = called(layer).replace("*/", "* /").replace("/*", "/ *")
        self.add(f"/* {self.place}: {name} */" if self.place else f"/* {name} */")

    def each(self, expression: str, x: str, shape: Shape) -> str:
        """Compute each number by an expression of a, and return the name of the array of results.

        Parameters
        ----------
        expression : str
            Of a, in C; its index is i.
        x : str
            The name of the input.
        shape : tuple of int
            Of x, without the batch axis.

        Returns
        -------
        str
        """
        size = math.prod(shape)
        y = self.array(size)
        if size == 1:
            expression = re.sub(r"\bi\b", "0", expression)
        place = index(("i", size))
        lines = loop("i", size, [f"const float a = {x}[{place}];", f"{y}[{place}] = {expression};"])
        self.add(text(lines))
        return y

    # ---- the whole

    def body(self, result: str, size: int) -> tuple[str, int]:
        """Return the statements, which leave a result in y, and how many floats of memory they use."""
        if result not in self._values:  # a layer that changes nothing
            copied, result = result, self.array(size)
            place = index(("i", size))
            self.add("\n".join(loop("i", size, [f"{result}[{place}] = {copied}[{place}];"])))
        values = {name: value for name, value in self._values.items() if name != result}
        places, needed = _placed(values, self._ends())
        code = "\n".join(self.statements)
        declared = [f"float *const {name} = memory{f' + {place}' if place else ''};" for name, place in places.items()]
        return re.sub(rf"\b{result}\b", "y", "\n".join([*declared, code])), needed

    def _ends(self) -> dict[str, int]:
        """Return the last statement in which each array is used."""
        return {
            name: max((i for i, code in enumerate(self.statements) if re.search(rf"\b{name}\b", code)), default=0)
            for name in self._values
        }


def _placed(values: dict[str, _Value], ends: dict[str, int]) -> tuple[dict[str, int], int]:
    """Return where each array lies, so that two lie apart if they are in use at the same time, and the whole size."""
    places: dict[str, int] = {}
    for name, value in values.items():
        busy = sorted(
            (places[other], places[other] + values[other].size)
            for other in places
            if ends[other] >= value.born and values[other].born <= ends[name]
        )
        at = 0
        for start, stop in busy:
            if at + value.size <= start:
                break
            at = max(at, stop)
        places[name] = at
    return places, max((places[name] + value.size for name, value in values.items()), default=0)
