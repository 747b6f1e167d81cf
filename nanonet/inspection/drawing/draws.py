"""Draws: what a layer class states about its figure: pictures beside the channels of its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.inspection.by_class import ByClass
from nanonet.inspection.record import LayerTrace
from nanonet.layers.conv import Conv1d, Conv2d

Pictures: TypeAlias = dict[str, npt.NDArray[Any]]
"""By symbol, the pictures in each row of a column: shape (rows, pictures, height, width)."""
Drawn: TypeAlias = Callable[[LayerTrace], Mapping[str, npt.NDArray[Any]]]
DRAWN: ByClass[Drawn] = ByClass("draws", "forward")


def draws(*classes: type[Layer]) -> Callable[[Drawn], Drawn]:
    """Register what the figure shows of layers of some classes: ``@draws(MyLayer)`` above a function.

    The function takes the :class:`nanonet.LayerTrace` of one sample, and returns pictures by name, such as "W": each
    an array (rows, height, width), or (rows, pictures, height, width) for several in a row. There is one row for each
    channel if the output is an image, and one for a sequence; beside a row of numbers there may be any number. The
    output itself is always shown. A subclass is drawn in the same way unless it overrides ``forward``.

    Parameters
    ----------
    *classes : type
        Subclasses of Layer.

    Returns
    -------
    callable
        The decorator; it leaves the function as it is.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> class Template(Linear):
    ...     '''Compares images of 2 x 2 with a template for each output.'''
    >>> @draws(Template)
    ... def templates(record):
    ...     return {"W": record.parameters["weight"].reshape(-1, 2, 2)}
    >>> figure = Sequential(Template(4, 3), rng=0).trace([[1, 2, 3, 4]]).draw()
    >>> figure.svg.count("<image")
    3
    """
    return DRAWN.register(*classes)


@draws(Conv1d, Conv2d)
def _kernels(record: LayerTrace) -> Mapping[str, npt.NDArray[Any]]:
    weight = record.parameters["weight"]
    return {"W": weight if weight.ndim == 4 else weight[None]}  # a sequence is one strip, with all kernels before it


def stated_pictures(record: LayerTrace) -> Pictures:
    """Return the pictures that a layer's class states; none if it states none.

    Raises
    ------
    ValueError
        If they are no images, or of different numbers of rows.
    """
    function = DRAWN.of(record.layer)
    if function is None:
        return {}
    found = {name: np.asarray(array) for name, array in function(record).items()}
    for name, array in found.items():
        if array.ndim not in (3, 4) or 0 in array.shape or array.dtype.kind not in "fiub":
            raise ValueError(
                f"draws({type(record.layer).__name__}): {called(record.layer)}: expected {name} as pictures (rows, "
                f"height, width) or (rows, pictures, height, width), got shape {array.shape} of {array.dtype}"
            )
    same_rows(record, found)
    return {name: array if array.ndim == 4 else array[:, None] for name, array in found.items()}


def same_rows(record: LayerTrace, pictures: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise ValueError unless all pictures have the same number of rows."""
    counts = {name: len(array) for name, array in pictures.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(
            f"draws({type(record.layer).__name__}): {called(record.layer)}: expected one row for each channel of the "
            f"output, or one for a sequence, but {said}"
        )


def maps_of(array: Any) -> npt.NDArray[Any] | None:
    """Return an array of one sample as pictures: an image channel by channel, a sequence as a strip; else None."""
    if not isinstance(array, np.ndarray) or 0 in array.shape or array.dtype.kind not in "fiub":
        return None
    if array.ndim == 3:
        return array[:, None]  # one strip
    return array[0][:, None] if array.ndim == 4 else None


def pictures_of(record: LayerTrace, stated: Pictures) -> Pictures:
    """Return what is stated and the output of a layer, if that is an image or a sequence; nothing for others."""
    output, grad = maps_of(record.output), maps_of(record.grad_output)
    if output is None:
        return {}
    shown = stated | {record.symbol: output}
    if record.symbol == "a" and grad is not None:
        shown["g"] = grad
    same_rows(record, shown)
    return shown
