"""Arrangement: where the entries of a value stand, after reshapes, transpositions and cuts of whatever kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.interchange.onnx.lengths import ONE, Length, Unproven, lengths, product

Index = npt.NDArray[np.intp]


class Part(NamedTuple):
    """A part of one axis of what is arranged: so many of its entries, each a stride from the one before."""

    axis: str
    length: Length
    stride: Length = ONE


Parts = tuple[Part, ...]


@dataclass(frozen=True)
class View:
    """What a value is, and where its entries stand.

    Attributes
    ----------
    what : object
        What is arranged.
    dims : tuple
        For each axis of the value the parts of axes that run along it, the first the slowest; none for a length of 1.
    offset : int
        Of the features, the first in the view.
    """

    what: Any
    dims: tuple[Parts, ...]
    offset: int = 0

    @property
    def shape(self) -> list[Length]:
        """The lengths of the axes."""
        return [product(part.length for part in dim) for dim in self.dims]

    def axes(self) -> list[list[str]]:
        """Return the names of the axes that run along each axis of the value."""
        return [[part.axis for part in dim] for dim in self.dims]

    def is_whole(self, i: int, axis: str, length: Length) -> bool:
        """Return whether axis i of the value is one whole axis of what is arranged."""
        return self.dims[i] == (() if length == ONE else (Part(axis, length),))

    # ---- what moves entries

    def transposed(self, order: Sequence[int] | None) -> View:
        """Return it with its axes in another order."""
        order = list(range(len(self.dims)))[::-1] if order is None else order
        return replace(self, dims=tuple(self.dims[i] for i in order))

    def unsqueezed(self, axes: Sequence[int]) -> View:
        """Return it with further axes of length 1."""
        ndim = len(self.dims) + len(axes)
        new, old = {axis % ndim for axis in axes}, iter(self.dims)
        return replace(self, dims=tuple(() if i in new else next(old) for i in range(ndim)))

    def squeezed(self, axes: Sequence[int] | None) -> View:
        """Return it without axes of length 1."""
        ndim = len(self.dims)
        gone = {i for i, dim in enumerate(self.dims) if not dim} if axes is None else {axis % ndim for axis in axes}
        if any(self.dims[i] for i in gone):
            raise Unproven("Squeeze of a length that is not 1")
        return replace(self, dims=tuple(dim for i, dim in enumerate(self.dims) if i not in gone))

    def reshaped(self, wanted: npt.NDArray[Any], allowzero: bool) -> View:
        """Return it in another shape, in which -1 stands for what is left, and 0 for the length before."""
        before, shape = self.shape, lengths(wanted)
        shape = [before[i] if each == Length(0) and not allowzero else each for i, each in enumerate(shape)]
        given = product(each for each in shape if each != Length(-1))
        shape = [product(before) // given if each == Length(-1) else each for each in shape]
        if product(shape) != product(before):
            raise Unproven("Reshape to another size")
        parts = [part for dim in self.dims for part in dim][::-1]
        return replace(self, dims=tuple(_taken(parts, length) for length in shape))

    def cut(self, i: int, start: int, length: int) -> View:
        """Return some of the features, which run along an axis."""
        if self.shape[i] == Length(length):
            return self
        if len(self.dims[i]) != 1 or self.dims[i][0].axis != "feature":
            raise Unproven("a piece of what are no features")
        (part,) = self.dims[i]
        kept = () if length == 1 else (part._replace(length=Length(length)),)
        offset = self.offset + start * known(part.stride)
        return replace(self, dims=(*self.dims[:i], kept, *self.dims[i + 1 :]), offset=offset)

    def merged(self) -> View:
        """Return it with neighbours that are one part of an axis as one."""
        return replace(self, dims=tuple(map(_joined, self.dims)))

    # ---- features

    def features(self, *dims: Parts) -> Index:
        """Return the numbers of the features that stand along parts, one axis each for every argument."""
        found = np.full((), self.offset)
        for dim in dims:
            along = np.zeros(1, int)
            for part in dim:
                if part.axis != "feature":
                    raise Unproven(f"{part.axis} among features")
                steps = np.arange(known(part.length)) * known(part.stride)
                along = (along[:, None] + steps).reshape(-1)
            found = found[..., None] + along
        return found


def known(length: Length) -> int:
    """Return a length as a number."""
    if length.unknown:
        raise Unproven("a length that is not known")
    return length.number


def _taken(parts: list[Part], length: Length) -> Parts:
    """Remove parts of a length from the end of a list, and return them; a part may be divided in two."""
    found: list[Part] = []
    while length != ONE:
        if not parts:
            raise Unproven("Reshape to another size")
        part = parts.pop()
        if not length.is_multiple_of(part.length):
            rest = part.length // length
            parts.append(Part(part.axis, rest, part.stride))
            part = Part(part.axis, length, part.stride * rest)
        found.append(part)
        length = length // part.length
    return _joined(tuple(found))


def _joined(dim: Parts) -> Parts:
    found: list[Part] = []
    for part in dim:
        last = found[-1] if found else None
        if last is not None and last.axis == part.axis and last.stride == part.stride * part.length:
            found[-1] = Part(part.axis, last.length * part.length, part.stride)
        else:
            found.append(part)
    return tuple(found)
