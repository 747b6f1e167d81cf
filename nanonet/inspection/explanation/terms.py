"""Terms: what a layer states so that trace.explain can write out its gradients as sums of products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.inspection.by_class import ByClass
from nanonet.inspection.explanation.formulas import names, parse
from nanonet.inspection.record import SUMS, LayerTrace

Indices: TypeAlias = Sequence[Sequence[int]] | npt.NDArray[np.integer]


@dataclass(frozen=True)
class Factor:
    """A factor of terms that is neither x nor a parameter, such as x after a layer has normalized it.

    Attributes
    ----------
    letter : str
        Its symbol, which has the places of the terms as indices.
    numbers : array
        Its number in each term.
    formula : str
        How one of them follows from ``x``, the entry of x at the same place, and the names in ``known``: written out
        in front of the sum. Default: only the numbers are shown.
    known : dict
        The other numbers in the formula, by name; of an array, the entry with the first of the indices of the place,
        as many as it has axes.

    Raises
    ------
    ValueError
        If it is not a formula, or has other names.

    Examples
    --------
    >>> centred = Factor("c", [-1.0, 1.0], "x - m", {"m": np.array(5.0)})
    >>> Terms([(0,), (1,)], centred, [(0,), (1,)]).factor.letter
    'c'
    """

    letter: str
    numbers: Sequence[float] | Array
    formula: str = ""
    known: Mapping[str, float | Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in parse(self.formula, f"Factor({self.letter!r})") if self.formula else []:
            if strange := [name for name in names(part.expression) if name != "x" and name not in self.known]:
                known = ", ".join(["x", *self.known])
                raise ValueError(
                    f"Factor({self.letter!r}): {self.formula!r} names {strange[0]!r}; expected names among {known}"
                )
            if part.name:
                raise ValueError(f"Factor({self.letter!r}): expected one expression, got {self.formula!r}")

    def arrays(self, x: Array) -> dict[str, Array]:
        """Return the arrays in the formula by name, of which x is one if it is named."""
        found = {name: value for name, value in self.known.items() if isinstance(value, np.ndarray)}
        named = names(parse(self.formula, self.letter)[-1].expression) if self.formula else []
        return {**found, "x": x} if "x" in named else found


@dataclass(frozen=True)
class Entry:
    """A number of a layer that is named in a worked line, with its symbol.

    Attributes
    ----------
    letter : str
        Such as "h", or "dE/dh" for a derivative.
    index : str
        Such as "2, 0"; "#" in it stands for the index in several numbers.
    numbers : float or array
        The number; or several, for a name within ``sum(...)``.
    """

    letter: str
    index: str
    numbers: float | Array


@dataclass(frozen=True)
class Worked:
    """A line in front of a sum: how a number inside a layer follows from others.

    Attributes
    ----------
    result : Entry
    formula : str
        In the names of ``known``.
    known : dict of Entry or float

    Raises
    ------
    ValueError
        If it is not a formula, or has other names.

    Examples
    --------
    >>> state, slope = Entry("h", "0", 0.5), Entry("s", "0", 0.75)
    >>> Worked(slope, "1 - h**2", {"h": state}).formula
    '1 - h**2'
    """

    result: Entry
    formula: str
    known: Mapping[str, Entry | float]

    def __post_init__(self) -> None:
        for part in parse(self.formula, f"Worked({self.result.letter!r})"):
            if strange := [name for name in names(part.expression) if name not in self.known]:
                raise ValueError(
                    f"Worked({self.result.letter!r}): {self.formula!r} names {strange[0]!r}; expected names among "
                    f"{', '.join(self.known)}"
                )


@dataclass(frozen=True)
class Signal:
    """Derivatives inside a layer that take the place of dE/dy in terms, such as the error signals of all times.

    Attributes
    ----------
    letter : str
        Their symbol, such as "g" or "dE/dq", which has the ``outputs`` of the terms as indices.
    numbers : array
        Its number in each term.
    worked : sequence of Worked
        How they follow from dE/dy; written out in front of the sum.
    needs : array of int
        The entries of y, without the batch axis, whose dE/dy are used in that.
    """

    letter: str
    numbers: Sequence[float] | Array
    worked: Sequence[Worked] = ()
    needs: Indices = ()


@dataclass(frozen=True)
class Terms:
    """The gradient of one entry z of a parameter or of x as a sum: dE/dz = Σ dE/dy[output] × factor.

    Attributes
    ----------
    outputs : array of int
        The entries of y, without the batch axis, that z goes into: one row of indices for each term.
    factor : str, Factor or float
        What each dE/dy is multiplied by: "x" or the name of a parameter for an entry of it, a quantity of another
        kind, or a number, the same in every term.
    places : array of int
        The entries of that array, x without its batch axis, one row for each term; not for a number.
    words : dict of str
        By language, "en" and "ja", how z goes into y; ``{z}``, ``{x}``, ``{y}`` and ``{factor}`` stand for the symbols
        of the entry, the input, the output and the factor. Default: a sentence that fits any layer.
    general : tuple of str
        The letters of the sum, and the indices of dE/dy and of the factor in these letters, such as ("ij", "0, i, j",
        "2, i + 1, j + 1"); empty: the sum begins with its terms.
    signal : Signal, optional
        Derivatives inside the layer in place of dE/dy; ``outputs`` are then the indices of their symbols.

    Raises
    ------
    ValueError
        If there are not as many places, and numbers of a Factor, as outputs.
    """

    outputs: Indices
    factor: str | Factor | float = 1.0
    places: Indices = ()
    words: Mapping[str, str] = field(default_factory=dict)
    general: tuple[str, str, str] | tuple[()] = ()
    signal: Signal | None = None

    def __post_init__(self) -> None:
        count, factor = len(self.outputs), self.factor
        if isinstance(factor, (str, Factor)) and len(self.places) != count:
            name = factor if isinstance(factor, str) else factor.letter
            raise ValueError(
                f"Terms: expected places in {name} for each of the {count} outputs, got {len(self.places)}"
            )
        if isinstance(factor, Factor) and len(factor.numbers) != count:
            raise ValueError(
                f"Terms: expected a number of {factor.letter} for each of the {count} outputs, "
                f"got {len(factor.numbers)}"
            )
        if self.signal is not None and len(self.signal.numbers) != count:
            raise ValueError(
                f"Terms: expected a number of {self.signal.letter} for each of the {count} outputs, "
                f"got {len(self.signal.numbers)}"
            )


Explained: TypeAlias = Callable[[LayerTrace, str, tuple[int, ...]], Terms | None]
EXPLAINED: ByClass[Explained] = ByClass("explains", "forward", "backward")


def explains(*classes: type[Layer], sums: bool = False) -> Callable[[Explained], Explained]:
    """Register how layers of some classes are explained: ``@explains(MyLayer)`` above a function.

    The function takes the :class:`nanonet.LayerTrace` of one sample, the name of one of the layer's own parameters or
    "x", and the indices of an entry of it, without the batch axis; it returns the :class:`Terms` of the gradient of
    that entry, or None if that is not written out. A subclass is explained in the same way unless it overrides
    ``forward`` or ``backward``.

    Parameters
    ----------
    *classes : type
        Subclasses of Layer.
    sums : bool
        Whether the output is a sum of products with a weight, as Linear's is: it is written a, and dE/da is the error
        signal g.

    Returns
    -------
    callable
        The decorator; it leaves the function as it is.

    Examples
    --------
    >>> from nanonet import Constant, Layer, Parameter, Sequential, SquaredError
    >>> class Gain(Layer):
    ...     def __init__(self):
    ...         self.gain = Parameter((), Constant(2.0))
    ...
    ...     def forward(self, x, *, training=False):
    ...         return x * self.gain.value, x
    ...
    ...     def backward(self, grad, cache):
    ...         self.gain.grad = (grad * cache).sum()
    ...         return grad * self.gain.value
    >>> @explains(Gain)
    ... def gain_terms(record, name, place):
    ...     if name == "x":
    ...         return Terms([place], "gain", [()])
    ...     everywhere = list(np.ndindex(record.output.shape[1:]))
    ...     return Terms(everywhere, "x", everywhere)
    >>> trace = Sequential(Gain()).trace([[1, 2]], [[1, 3]], SquaredError())
    >>> print(trace.explain("0.gain", ()).lines[-1].sides[-2:])
    ('1 × 1 + 1 × 2', '3')
    """
    register, add = EXPLAINED.register(*classes), SUMS.register(*classes)

    def registered(function: Explained) -> Explained:
        register(function)
        if sums:
            add(function)
        return function

    return registered


def terms_of(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    """Return the terms that the class of a layer with one input and one output states; None if it states none.

    Raises
    ------
    ValueError
        If they name an entry that does not exist.
    """
    function = EXPLAINED.of(record.layer)
    with np.errstate(all="ignore"):  # numbers that overflow are shown as they are
        found = None if function is None else function(record, name, place)
    if found is None:
        return None
    if not isinstance(found, Terms):
        raise TypeError(f"explains({type(record.layer).__name__}): expected Terms or None, got {found!r:.60}")
    _check(record, "y", found.outputs if found.signal is None else found.signal.needs, record.output[0])
    if isinstance(found.factor, str):
        _check(record, found.factor, found.places, factor_of(record, found.factor))
    elif isinstance(found.factor, Factor):
        for name, array in found.factor.arrays(record.input[0]).items():
            _check(record, name, np.asarray(found.places)[:, : array.ndim], array)
    return found


def factor_of(record: LayerTrace, name: str) -> Array:
    """Return x of the one sample, or a parameter."""
    if name == "x":
        x: Array = record.input[0]
        return x
    if name not in record.parameters:
        known = ", ".join(map(repr, ["x", *record.parameters]))
        raise ValueError(
            f"explains({type(record.layer).__name__}): expected the factor as a number or one of {known}, got {name!r}"
        )
    return record.parameters[name]


def _check(record: LayerTrace, name: str, places: Indices, array: Array) -> None:
    if len(places) == 0:
        return
    table = np.asarray(places)
    if table.ndim != 2 or table.shape[1] != array.ndim or not _within(table, array.shape):
        wrong = next(iter(place for place in places if not _within(np.array([place]), array.shape)), places[0])
        raise ValueError(
            f"explains({type(record.layer).__name__}): {called(record.layer)}: {name} has shape {array.shape} "
            f"and no entry {tuple(map(int, wrong))}"
        )


def _within(table: npt.NDArray[np.integer], shape: tuple[int, ...]) -> bool:
    return table.shape[1] == len(shape) and bool(((table >= 0) & (table < shape)).all())
