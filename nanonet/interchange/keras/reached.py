"""Reached: a Keras layer that is being read, and the layers of nanonet that take its place."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from nanonet.core.layer import Layer
from nanonet.interchange.keras.nodes import Described, Shape
from nanonet.interchange.keras.weights import Numbers, Weights
from nanonet.layers.reshape import Permute
from nanonet.layers.standardize import Standardize

REQUIRED: Any = object()


class Reached:
    """What a reader is given: the settings and arrays of a Keras layer, and the shape of what it is called with.

    Keras has the channels of sequences and images last, nanonet first. Both orders occur within a loaded model:
    :meth:`here` moves the channels, with a Permute, where they are not as a layer needs them.

    Attributes
    ----------
    described : Described
        The layer, as the file describes it.
    weights : Weights
        Its arrays.
    config : dict
        The settings, as the file has them.
    shape : tuple
        The shape of a sample in Keras's order, with None for a length that is not known.
    moved : bool
        Whether the channels, Keras's last axis, are the first one now.
    """

    def __init__(self, described: Described, weights: Weights, shape: Shape, moved: bool) -> None:
        self.described, self.weights = described, weights
        self.config, self.shape, self.moved = described.config, shape, moved
        self.layers: list[Layer] = []
        self.fills: list[tuple[Any, Numbers]] = []
        self.held: list[Any] = []  # parameters that Keras does not have, and so does not train

    def __str__(self) -> str:
        return str(self.described)

    # ---- what the file says

    def setting(self, name: str, default: Any = REQUIRED) -> Any:
        """Return a setting as the file has it.

        Parameters
        ----------
        name : str
        default : object, optional
            What it is if the file has none.

        Returns
        -------
        object

        Raises
        ------
        ValueError
            If the file has none, and there is no default.
        """
        if name not in self.config and default is REQUIRED:
            raise ValueError(f"the file does not say its {name}")
        return self.config.get(name, default)

    def number(self, name: str, default: Any = REQUIRED) -> float:
        """Return a setting that is a number.

        Parameters
        ----------
        name : str
        default : object, optional
            What it is if the file has none.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If it is none.
        """
        value = self.setting(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"expected a number as {name}, got {value!r:.60}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return a setting that is True or False.

        Parameters
        ----------
        name : str
        default : object, optional
            What it is if the file has none.

        Returns
        -------
        bool

        Raises
        ------
        ValueError
            If it is none.
        """
        value = self.setting(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"expected {name} as true or false, got {value!r:.60}")
        return value

    def size(self, name: str, default: Any = REQUIRED) -> int:
        """Return a setting that is an int of 1 or more.

        Parameters
        ----------
        name : str
        default : object, optional
            What it is if the file has none.

        Returns
        -------
        int
        """
        (value,) = self.sizes(name, 1, default)
        return value

    def sizes(self, name: str, count: int, default: Any = REQUIRED) -> tuple[int, ...]:
        """Return a setting of one int of 1 or more for each of several axes.

        Parameters
        ----------
        name : str
        count : int
            Number of axes.
        default : object, optional
            What it is if the file has none.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If it is none.
        """
        value = self.setting(name, default)
        each = tuple(value) if isinstance(value, (list, tuple)) else (value,) * count
        if len(each) != count or any(type(n) is not int or n < 1 for n in each):
            raise ValueError(f"expected {name} as {count} of 1 or more, got {value!r:.60}")
        return each

    def only(self, name: str, *allowed: Any, why: str = "nanonet has no such option") -> None:
        """Raise ValueError if a setting is there and is none of those allowed."""
        value = self.config.get(name, allowed[0])
        if value not in allowed:
            self.refuse(f"{name}={value!r:.60}: {why}")

    def array(self, i: int, name: str, *shape: int | None) -> Numbers:
        """Return an array of the layer.

        Parameters
        ----------
        i : int
            Its number among the weights of the layer.
        name : str
            What an error calls it.
        *shape : int or None
            None stands for any length.

        Returns
        -------
        array

        Raises
        ------
        ValueError
            If it has another shape.
        """
        found = self.weights.array(i, name)
        if len(found.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            wanted = str(shape).replace("None", "any")
            raise ValueError(f"expected its {name} of shape {wanted}, got {found.shape}")
        return found

    def refuse(self, why: str) -> NoReturn:
        """Raise ValueError, in which the layer is named.

        Parameters
        ----------
        why : str
            What nanonet lacks.

        Raises
        ------
        ValueError
            Always.
        """
        raise ValueError(why)

    # ---- axes

    @property
    def channels_first(self) -> bool:
        """Whether the layer itself has the channels first in Keras, by its data_format."""
        return bool(self.setting("data_format", "channels_last") == "channels_first")

    def axis(self, name: str, default: int = -1) -> int:
        """Return a setting that is one axis, with the batch as axis 0, counted from the front."""
        value = self.setting(name, default)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if type(value) is not int:
            self.refuse(f"{name}={value!r:.60}: nanonet takes one axis")
        found: int = value + 1 + len(self.shape) if value < 0 else value
        if not 1 <= found <= len(self.shape):
            raise ValueError(f"{name}={value} is no axis of {self.shape}")
        return found

    def images(self, count: int) -> Shape:
        """Put the channels first, check that as many axes follow, and return their lengths."""
        self.ranked(count + 1)
        if self.channels_first:
            self.here(moved=False)
            return self.shape[1:]
        self.here(moved=True)
        return self.shape[:-1]

    def ranked(self, count: int) -> None:
        """Raise ValueError unless a sample has so many axes."""
        if len(self.shape) != count:
            raise ValueError(f"expected samples of {count} axes, got {self.shape}")

    @property
    def features(self) -> int:
        """The length of the last axis, which must be known."""
        found = self.shape[-1] if self.shape else None
        if found is None:
            raise ValueError(f"its input has an open number of features, {self.shape}")
        return found

    @property
    def channels(self) -> int:
        """The number of channels, which must be known."""
        found = self.shape[0 if self.channels_first else -1]
        if found is None:
            raise ValueError(f"its input has an open number of channels, {self.shape}")
        return found

    def with_images(self, channels: int | None, lengths: Shape) -> Shape:
        """Return the shape in Keras's order of images with so many channels."""
        return (channels, *lengths) if self.channels_first else (*lengths, channels)

    def here(self, *, moved: bool) -> None:
        """Move the channels first, or back to where Keras has them, if they are not there.

        Parameters
        ----------
        moved : bool
            Whether they are to be first.
        """
        count = len(self.shape)
        if moved != self.moved and count > 1:
            self.layers.append(moving(count, first=moved))
            self.moved = moved

    # ---- what is made of it

    def add(self, layer: Layer, shape: Shape | None = None) -> Layer:
        """Add a layer, and return it.

        Parameters
        ----------
        layer : Layer
        shape : tuple, optional
            That of a sample after it, in Keras's order. Default: as before it.

        Returns
        -------
        Layer
        """
        self.layers.append(layer)
        if shape is not None:
            self.shape = shape
            self.moved = self.moved and len(shape) > 1
        return layer

    def fill(self, layer: Any, **arrays: Any) -> None:
        """Assign arrays to parameters and buffers of a layer, once the model is built.

        Parameters
        ----------
        layer : Layer
        **arrays : array
            By the names of its parameters and buffers.

        Raises
        ------
        ValueError
            If one has another shape.
        """
        for name, array in arrays.items():
            state = getattr(layer, name)
            values = np.asarray(array)
            if values.shape != state.shape:
                raise ValueError(f"expected its {name} of shape {state.shape}, got {values.shape}")
            self.fills.append((state, values))


def moving(count: int, *, first: bool) -> Permute:
    """Return the Permute that moves the last of so many axes first, or the first one last."""
    return Permute(*((count, *range(1, count)) if first else (*range(2, count + 1), 1)))


def scaling(mean: Any, scale: Any) -> tuple[Standardize, list[tuple[Any, Numbers]]]:
    """Return the layer (x - mean) / scale, of the last axes, and the numbers that it is to be filled with."""
    both = np.broadcast_arrays(mean, scale)
    layer = Standardize(both[0].shape)
    return layer, [(layer.mean, both[0]), (layer.scale, both[1])]
