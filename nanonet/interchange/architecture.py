"""Architecture: the constructor calls that made a model, as plain data for a file, and a model made anew from them."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import nanonet
from nanonet.building import Tree
from nanonet.initializers import Initializer
from nanonet.layer import Layer
from nanonet.recorded import called
from nanonet.sequential import Sequential

OURS = "nanonet."  # before the names of our classes, so that a Residual of yours is not taken for ours
LEFT_OUT = (Initializer, np.ndarray, np.random.Generator, np.random.BitGenerator, np.random.SeedSequence, type(...))
BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
SCALARS = (bool, int, float, str, type(None))

Call = dict[str, Any]


# ---- from a model to plain data


def described(model: Sequential) -> Call:
    """Return the constructor calls of a model, once it is known that they make the same model.

    Raises
    ------
    TypeError
        If an argument is of a kind that a file does not keep.
    ValueError
        If a model made by these calls differs from this one.
    """
    call = _call(model, "the model")
    classes = _own_classes(model)
    try:
        again = made(call, classes, sum(part.value.size for _, part in Tree(model).states()))
    except (ValueError, TypeError) as error:
        raise type(error)(f"save: this model could not be loaded again: {error}") from error
    _compare(model, again)
    return call


def _call(layer: Layer, place: str) -> Call:
    """Return the call that made a layer: the name of its class, and its arguments by name."""
    whose = f"{place}, {called(layer)}"
    if type(layer) is Sequential:  # slices too, which no call made
        parts = [_call(part, f"layer {i}" if place == "the model" else f"{place}.{i}") for i, part in enumerate(layer)]
        chain = {"layers": {"tuple": parts}, "dtype": layer.dtype.name}
        return {"class": _name(Sequential), "arguments": chain}
    signature = inspect.signature(type(layer).__init__)
    recorded = layer._arguments
    arguments = signature.bind(layer, *recorded.positional, **recorded.keywords).arguments
    plain = {}
    for name, value in list(arguments.items())[1:]:
        if not isinstance(value, LEFT_OUT):
            plain[name] = _plain(value, f"{whose}: {name}")
        elif signature.parameters[name].default is inspect.Parameter.empty:
            raise TypeError(
                f"save: {whose}: a file leaves out {name}, a starting array, an initializer or a generator, but the "
                f"layer cannot be made without it; give it a default, such as {name}=None"
            )
    return {"class": _name(type(layer)), "arguments": plain}


def _plain(value: Any, whose: str) -> Any:
    """Return a value as JSON has it; what JSON does not have becomes a table with one entry that says what it is."""
    if isinstance(value, Layer):
        return _call(value, whose)
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        value = bool(value) if value.dtype.kind == "b" else int(value) if value.dtype.kind in "iu" else float(value)
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return {"float": str(value)}
    if kind in SCALARS:
        return value
    if kind is list:
        return [_plain(entry, whose) for entry in value]
    if kind is tuple:
        return {"tuple": [_plain(entry, whose) for entry in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: _plain(entry, whose) for key, entry in value.items()}}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return {"dtype": np.dtype(value).str}
    text = "an array" if value is ... else f"{value!r:.60}"
    raise TypeError(
        f"save: {whose} is {text}, which a file does not keep; it keeps numbers, strings, True, False, None, "
        "layers, and lists, tuples and dicts of them: take the name of such a thing, and look it up in the constructor"
    )


def _name(cls: type[Layer]) -> str:
    return OURS + cls.__name__ if _ours(cls.__name__) is cls else cls.__name__


def _ours(name: str) -> type[Layer] | None:
    cls = getattr(nanonet, name, None)
    return cls if isinstance(cls, type) and issubclass(cls, Layer) else None


def _own_classes(model: Sequential) -> dict[str, type[Layer]]:
    """Return the classes below a model that are not nanonet's, by name."""
    classes: dict[str, type[Layer]] = {}
    for layer in Tree(model).layers.values():
        if classes.setdefault(_name(type(layer)), type(layer)) is not type(layer):
            raise ValueError(f"save: two classes of this model are called {type(layer).__name__}; rename one")
    return classes


def _compare(model: Sequential, again: Sequential) -> None:
    """Raise ValueError with the first thing in which a model made anew differs."""
    here, there = _facts(model), _facts(again)
    for path, what in here | there:
        found, made_anew = (facts.get((path, what), "not there") for facts in (here, there))
        if found != made_anew:
            whose = f"layer {path}, {called(Tree(model).layers[path])}" if path else "this model"
            raise ValueError(
                f"save: {whose}: its {what} is {found:.300}, but made anew with the same arguments it is "
                f"{made_anew:.300}; a file keeps the arguments of a layer, its parameters and its buffers"
            )


def _facts(model: Sequential) -> dict[tuple[str, str], str]:
    """Return what must be the same when a model is made anew: classes, names, shapes, settings and constant arrays."""
    tree = Tree(model)
    facts = {
        ("", "dtype"): model.dtype.name,
        ("", "layers"): str({path: _name(type(layer)) for path, layer in tree.layers.items()}),
        ("", "state"): str({name: (part.shape, part.value.dtype.name) for name, part in tree.states()}),
    }
    for path, layer in tree.layers.items():
        arguments = inspect.signature(type(layer).__init__).parameters
        for name, value in vars(layer).items():
            if isinstance(value, np.ndarray):
                facts[path, name] = f"{value!r} {hashlib.sha256(value.tobytes()).hexdigest()}"
            elif name in arguments and _is_plain(value):
                facts[path, name] = repr(value)
    return facts


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return type(value) in SCALARS


# ---- from plain data to a model


def made(call: Any, classes: Mapping[str, type[Layer]], room: int) -> Sequential:
    """Return a new model made by such calls.

    Parameters
    ----------
    call : dict
        What :func:`described` returned, or what a file holds that is not trusted.
    classes : mapping
        Classes that are not nanonet's, by name.
    room : int
        How many numbers the model may have: as many as the file holds. No memory is taken for more.

    Raises
    ------
    ValueError
        If a class is not there, the model is too large, or the layers do not fit.
    """
    missing = sorted(set(_missing(call, classes)))
    if missing:
        there = [name for name in missing if name.startswith(OURS)]
        if there:
            raise ValueError(f"it holds layers that this nanonet, {nanonet.__version__}, does not have: {there}")
        typed = ", ".join(f'"{name}": {name}' for name in missing)
        raise ValueError(f"it holds layers of your own; write load(path, layers={{{typed}}})")
    model = _Maker(classes, room).layer(call)
    if not isinstance(model, Sequential):
        raise ValueError(f"expected a Sequential, got {called(model)}")
    return model


def _missing(value: Any, classes: Mapping[str, type[Layer]]) -> Iterator[str]:
    """Yield the names of the classes that are not there."""
    if isinstance(value, list):
        for entry in value:
            yield from _missing(entry, classes)
    elif isinstance(value, dict):
        name = value.get("class")
        if isinstance(name, str) and "arguments" in value and _find(name, classes) is None:
            yield name
        yield from _missing(list(value.values()), classes)


def _find(name: str, classes: Mapping[str, type[Layer]]) -> type[Layer] | None:
    return _ours(name.removeprefix(OURS)) if name.startswith(OURS) else classes.get(name)


class _Maker:
    """Makes layers of calls, as long as there is room for their numbers."""

    def __init__(self, classes: Mapping[str, type[Layer]], room: int) -> None:
        self.classes, self.room, self.left = classes, room, room

    def layer(self, call: Any) -> Layer:
        if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
            raise ValueError(f"expected the call of a layer, got {call!r:.60}")
        cls = _find(str(call.get("class")), self.classes)
        if cls is None or inspect.isabstract(cls):
            raise ValueError(f"expected the call of a layer, got {call!r:.60}")
        arguments = {name: self.value(value) for name, value in call["arguments"].items()}
        signature = inspect.signature(cls.__init__)
        unknown = [name for name in arguments if name not in list(signature.parameters)[1:]]
        if unknown:
            raise ValueError(f"{cls.__name__} takes no argument {unknown[0]}")
        if issubclass(cls, Sequential):
            self._take_room(arguments.get("layers", ()))
        bound = inspect.BoundArguments(signature, {"self": None, **arguments})
        if any(parameter.kind in BY_PLACE for parameter in signature.parameters.values()):
            bound.apply_defaults()  # what stands before them must be there
        try:
            return cls(*bound.args[1:], **bound.kwargs)
        except (TypeError, ValueError) as error:
            if str(error).startswith(cls.__name__):
                raise
            raise type(error)(f"{cls.__name__}: {error}") from error

    def value(self, value: Any) -> Any:
        """Return what :func:`_plain` made plain."""
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"class": _}:
                return self.layer(value)
            case {"tuple": [*entries]}:
                return tuple(self.value(entry) for entry in entries)
            case {"dict": dict(entries)}:
                return {key: self.value(entry) for key, entry in entries.items()}
            case {"float": ("inf" | "-inf" | "nan") as text}:
                return float(text)
            case {"dtype": str(text)}:
                return np.dtype(text)
        raise ValueError(f"expected the value of an argument, got {value!r:.60}")

    def _take_room(self, layers: Any) -> None:
        """Raise ValueError where layers without numbers need more of them than are left."""
        for layer in layers:
            if isinstance(layer, Layer):
                states = [part for _, part in Tree(layer).states() if not part.is_built]
                self.left -= sum(math.prod(part.shape) for part in states)
        if self.left < 0:
            raise ValueError(f"its layers take {self.room - self.left} numbers, but it holds {self.room}")
