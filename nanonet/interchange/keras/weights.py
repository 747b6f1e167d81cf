"""Weights: the arrays of a layer in an HDF5 file, by number as .keras files have them, or by name as .h5 files do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]


class Weights(Protocol):
    """Where the arrays of one layer are, or those of the layers in a model."""

    def layers(self, named: Sequence[tuple[str, str]]) -> list[Weights]:
        """Return the places of layers, each given by its name and its class, that a model is made of."""

    def part(self, attribute: str, name: str | None) -> Weights:
        """Return the place of a layer that is an attribute of this one; name is None if it is the only one."""

    def array(self, i: int, name: str) -> Numbers:
        """Return the array that is number i of the layer, by the name of Keras's attribute."""


class Guard:
    """Reads an HDF5 file, and nothing outside of it: no links to other files, and no more than it may hold."""

    def __init__(self, package: Any, allowed: int) -> None:
        self._package, self._left = package, allowed

    def entry(self, group: Any, name: str) -> Any:
        """Return what a group has by a name; None if there is nothing."""
        for part in name.split("/"):
            if not isinstance(group, self._package.Group) or part in ("", "."):
                return None
            link = group.get(part, getlink=True)
            if link is None:
                return None
            if not isinstance(link, self._package.HardLink):
                raise ValueError(f"{name} is a link, which load does not follow")
            group = group[part]
        return group

    def numbers(self, group: Any, name: str) -> Numbers | None:
        """Return an array; None if there is none."""
        found = self.entry(group, name)
        if found is None:
            return None
        if not isinstance(found, self._package.Dataset):
            raise ValueError(f"{name} is no array")
        if found.external or found.is_virtual:
            raise ValueError(f"the numbers of {name} lie in another file, which load does not read")
        if found.dtype.kind not in "fiub" or found.shape is None:
            raise ValueError(f"{name}: expected numbers, got dtype {found.dtype}")
        self._left -= found.size * found.dtype.itemsize
        if self._left < 0:
            raise ValueError("its arrays would take more than 100 times the size of the file")
        return np.asarray(found[()])


class Numbered:
    """The weights of a .keras file: layers/<class>_<count>/vars/<number>."""

    def __init__(self, guard: Guard, group: Any) -> None:
        self._guard, self._group = guard, group

    def layers(self, named: Sequence[tuple[str, str]]) -> list[Weights]:
        """Return the places of layers, which are counted class by class."""
        container = self._inner("layers") or self._inner("_layer_checkpoint_dependencies")
        counts: Counter[str] = Counter()
        found: list[Weights] = []
        for _, kind in named:
            name = snake_case(kind)
            found.append(Numbered(self._guard, None if container is None else self._numbered(container, name, counts)))
            counts[name] += 1
        return found

    def _numbered(self, container: Any, name: str, counts: Counter[str]) -> Any:
        return self._guard.entry(container, f"{name}_{counts[name]}" if counts[name] else name)

    def part(self, attribute: str, name: str | None) -> Weights:
        """Return the place of an attribute."""
        return Numbered(self._guard, self._inner(attribute))

    def _inner(self, name: str) -> Any:
        return None if self._group is None else self._guard.entry(self._group, name)

    def array(self, i: int, name: str) -> Numbers:
        """Return an array by its number."""
        found = None if self._group is None else self._guard.numbers(self._group, f"vars/{i}")
        return _there(found, name)


class Named:
    """The weights of an .h5 file: a group for each layer of the outer model, which lists what it holds."""

    def __init__(self, guard: Guard, group: Any, within: tuple[str, ...] | None = None) -> None:
        self._guard, self._group, self._within = guard, group, within

    def layers(self, named: Sequence[tuple[str, str]]) -> list[Weights]:
        """Return the places of layers, by their names."""
        if self._within is None:
            return [Named(self._guard, self._guard.entry(self._group, name), ()) for name, _ in named]
        return [Named(self._guard, self._group, (*self._within, name)) for name, _ in named]

    def part(self, attribute: str, name: str | None) -> Weights:
        """Return the place of a part, by its name."""
        return Named(self._guard, self._group, (*(self._within or ()), *([] if name is None else [name])))

    def array(self, i: int, name: str) -> Numbers:
        """Return an array by its name."""
        paths = [] if self._group is None else attribute_texts(self._group, "weight_names")
        fitting = [path for path in paths if self._fits(path.split("/"), name)]
        if len(fitting) > 1:
            raise ValueError(f"the file has several arrays for its {name}: {' and '.join(fitting[:3])}")
        return _there(self._guard.numbers(self._group, fitting[0]) if fitting else None, name)

    def _fits(self, parts: list[str], name: str) -> bool:
        return parts[-1].split(":")[0] == name and all(part in parts[:-1] for part in self._within or ())


def attribute_texts(group: Any, name: str) -> list[str]:
    """Return a list of texts that a group has as an attribute, which Keras cuts into several if it is long."""
    if name in group.attrs:
        return [_text(each) for each in np.atleast_1d(group.attrs[name])]
    found: list[str] = []
    i = 0
    while f"{name}{i}" in group.attrs:
        found += [_text(each) for each in np.atleast_1d(group.attrs[f"{name}{i}"])]
        i += 1
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _there(found: Numbers | None, name: str) -> Numbers:
    if found is None:
        raise ValueError(f"the file holds no {name} of it")
    return found


def snake_case(kind: str) -> str:
    """Return the name that Keras makes of a class: conv2d_transpose of Conv2DTranspose."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
