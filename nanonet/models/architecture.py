"""Architecture: the constructor calls of a model as plain data for a file, and a model rebuilt from them."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from nanonet.core.layer import Layer
from nanonet.core.objects import OURS, arguments_of, attributes, called, is_own
from nanonet.core.tree import Tree, build
from nanonet.core.vector import sketched
from nanonet.core.version import __version__
from nanonet.models.comparison import STARTS, Likeness
from nanonet.models.sequential import Sequential

LEFT_OUT = (*STARTS, np.ndarray, type(...))
BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
SCALARS = (bool, int, float, str, type(None))
NESTED = 32  # maximum nesting of a page, whose readers are recursive
VISITS = 1 << 18  # layers of a model, each counted once per chain around it, like the time to build them
NOT_THERE = type("NotThere", (), {"__repr__": lambda self: "missing"})()
KEPT_ANYWAY = {"_arguments", "_home", "_accepted", "_plan"}  # nanonet's own attributes of a layer

Call = dict[str, Any]


# ---- from a model to plain data


def described(model: Sequential) -> tuple[Call, list[Call]]:
    """Return the constructor calls of a model, after checking that they rebuild the same model.

    The first is the model's; those of deeply nested layers are in a list, referred to as ``{"part": 3}``.

    Raises
    ------
    TypeError
        If an argument is of a kind that cannot be stored.
    ValueError
        If a model rebuilt by these calls differs from this one.
    """
    try:
        call, *parts = _Writer().calls(model)
        limit = sum(part.value.size for part in Tree(model).states.values())
        rebuilt = sketch_of(call, parts, _own_classes(model), limit)
        _compare(model, rebuilt)
    except RecursionError:
        raise ValueError("save: this model is nested too deeply, in its layers or in an argument of one") from None
    return call, parts


class _Place:
    """The path to a layer, formatted only if an error needs it."""

    def __init__(self, above: _Place | None, layer: Layer, step: str) -> None:
        self.above, self.layer, self.step = above, layer, step

    def __str__(self) -> str:
        if self.above is None:
            return self.step
        if type(self.above.layer) is not Sequential:
            return f"{self.above.whose}: {self.step}"
        return f"layer {self.step}" if self.above.above is None else f"{self.above}.{self.step}"

    @property
    def whose(self) -> str:
        """The path and the layer."""
        return f"{self}, {called(self.layer)}"


class _Writer:
    """Writes the calls of a model and of its layers; deeply nested layers are deferred."""

    def __init__(self) -> None:
        self._waiting: list[_Place] = []

    def calls(self, model: Sequential) -> list[Call]:
        """Return the model's call, and those of all deferred layers, each after the one that refers to it."""
        self._waiting.append(_Place(None, model, "the model"))
        calls: list[Call] = []
        for place in self._waiting:  # grows during the loop
            calls.append(self._call(place, 0))
        return calls

    def _call(self, place: _Place, depth: int) -> Call:
        """Return the call that made a layer: the name of its class, and its arguments by name."""
        layer = place.layer
        if depth >= NESTED:
            self._waiting.append(place)
            return {"part": len(self._waiting) - 2}  # the model itself is not a part
        if type(layer) is Sequential:  # including slices, which were not made by a call
            parts = [self._call(_Place(place, part, str(i)), depth + 1) for i, part in enumerate(layer)]
            return {"class": _name(Sequential), "arguments": {"layers": {"tuple": parts}, "dtype": layer.dtype.name}}
        signature = _signature(type(layer))
        recorded = arguments_of(layer)
        arguments = signature.bind(layer, *recorded.positional, **recorded.keywords).arguments
        plain = {}
        for name, value in list(arguments.items())[1:]:
            if not isinstance(value, LEFT_OUT):
                plain[name] = self._plain(value, place, name, depth + 1)
            elif signature.parameters[name].default is inspect.Parameter.empty:
                raise TypeError(
                    f"save: {place.whose}: a file omits {name}, an initial array, an initializer or a generator, but "
                    f"the layer cannot be created without it; give it a default, such as {name}=None"
                )
        return {"class": _name(type(layer)), "arguments": plain}

    def _plain(self, value: Any, place: _Place, name: str, depth: int) -> Any:
        """Return a value as JSON data; other types become a table whose only key names the type."""
        if isinstance(value, Layer):
            return self._call(_Place(place, value, name), depth)
        if isinstance(value, np.generic) and value.dtype.kind in "fiub":
            value = bool(value) if value.dtype.kind == "b" else int(value) if value.dtype.kind in "iu" else float(value)
        kind = type(value)
        if kind is float and not math.isfinite(value):
            return {"float": str(value)}
        if kind in SCALARS:
            return value
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"dtype": np.dtype(value).str}
        if kind in (list, tuple):
            entries = [self._plain(entry, place, name, depth + 1) for entry in value]
            return entries if kind is list else {"tuple": entries}
        if kind is dict and all(type(key) is str for key in value):
            return {"dict": {key: self._plain(entry, place, name, depth + 1) for key, entry in value.items()}}
        text = "an array" if value is ... else f"{value!r:.60}"
        raise TypeError(
            f"save: {place.whose}: {name} is {text}, which cannot be saved; a file stores numbers, strings, True, "
            "False, None, layers, and lists, tuples and dicts of them: pass a name instead, and look it up in the "
            "constructor"
        )


@functools.lru_cache  # a deep net has few classes
def _signature(cls: type[Layer]) -> inspect.Signature:
    return inspect.signature(cls.__init__)


def _name(cls: type[Layer]) -> str:
    return OURS + cls.__name__ if is_own(cls) else cls.__name__


def _own_classes(model: Sequential) -> dict[str, type[Layer]]:
    """Return the classes below a model that are not nanonet's, by name."""
    classes: dict[str, type[Layer]] = {}
    for layer in Tree(model).layers.values():
        if classes.setdefault(_name(type(layer)), type(layer)) is not type(layer):
            raise ValueError(f"save: two classes of this model are called {type(layer).__name__}; rename one")
    return classes


def _compare(model: Sequential, rebuilt: Sequential) -> None:
    """Raise ValueError with the first difference between a model and the rebuilt one."""
    here, there = Tree(model), Tree(rebuilt)
    for (what, fact), other in zip(_facts(here).items(), _facts(there).values(), strict=True):
        if fact != other:
            raise _other("this model", what, fact, other)
    for path, layer in here.layers.items():
        twin, likeness = there.layers[path], Likeness()
        for name in _settings(layer) | _settings(twin):
            setting, other = getattr(layer, name, NOT_THERE), getattr(twin, name, NOT_THERE)
            if not likeness.same(setting, other):
                whose = f"layer {path}, {called(layer)}" if path else "this model"
                raise _other(whose, name, repr(setting), repr(other))


def _other(whose: str, what: str, here: str, there: str) -> ValueError:
    return ValueError(
        f"save: {whose}: its {what} is {here:.300}, but rebuilt from the same arguments it is {there:.300}; a file "
        f"stores the arguments of a layer, its parameters and its buffers: pass {what} to the constructor, or declare "
        "it as a Buffer"
    )


def _facts(tree: Tree) -> dict[str, str]:
    """Return what a model and the rebuilt one must have in common, as text for an error."""
    assert isinstance(tree.root, Sequential)
    return {
        "dtype": tree.root.dtype.name,
        "layers": str({path: _name(type(layer)) for path, layer in tree.layers.items()}),
        "state": str({name: (part.shape, part.value.dtype.name) for name, part in tree.states.items()}),
    }


def _settings(layer: Layer) -> dict[str, Any]:
    """Return the attributes of a layer by name, without nanonet's own."""
    return {name: value for name, value in attributes(layer) if name not in KEPT_ANYWAY and name[:2] != "__"}


# ---- from plain data to a model


def made(call: Any, parts: Any, classes: Mapping[str, type[Layer]], limit: int) -> Sequential:
    """Build a new model from such calls, with all parameters zero.

    Parameters
    ----------
    call, parts : dict and list
        The result of :func:`described`, or the contents of an untrusted file.
    classes : mapping
        Classes that are not nanonet's, by name.
    limit : int
        Maximum number of parameter and buffer entries: as many as the file holds. No memory is allocated for more.

    Raises
    ------
    ValueError
        If a class is missing, the model is too large, or the layers do not fit.
    """
    model = sketch_of(call, parts, classes, limit)
    build(Tree(model), model.dtype, model.rng)  # once, for all layers
    return model


def sketch_of(call: Any, parts: Any, classes: Mapping[str, type[Layer]], limit: int) -> Sequential:
    """Build the same model as a sketch, without numbers; see :data:`nanonet.core.vector.sketched`."""
    missing = sorted(set(_missing([call, parts], classes)))
    if missing:
        there = [name for name in missing if name.startswith(OURS)]
        if there:
            raise ValueError(f"it holds layers that this nanonet, {__version__}, does not have: {there}")
        typed = ", ".join(f'"{name}": {name}' for name in missing)
        raise ValueError(f"it holds layers of your own; write load(path, layers={{{typed}}})")
    with sketching():
        model = _Maker(classes, limit).model(call, parts)
    if not isinstance(model, Sequential):
        raise ValueError(f"expected a Sequential, got {called(model)}")
    return model


@contextmanager
def sketching() -> Iterator[None]:
    """Build models as sketches within the context; :func:`nanonet.core.tree.build` then gives them numbers."""
    token = sketched.set(True)
    try:
        yield
    finally:
        sketched.reset(token)


def _missing(value: Any, classes: Mapping[str, type[Layer]]) -> Iterator[str]:
    """Yield the names of the missing classes."""
    waiting = [value]
    for value in waiting:  # grows during the loop
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            name = value.get("class")
            if isinstance(name, str) and "arguments" in value and _find(name, classes) is None:
                yield name
            waiting += value.values()


def _find(name: str, classes: Mapping[str, type[Layer]]) -> type[Layer] | None:
    """Return the class that has a name, or None; of nanonet's own classes, if it is imported."""
    if not name.startswith(OURS):
        return classes.get(name)
    waiting = [Layer]
    for cls in waiting:  # grows during the loop
        if is_own(cls) and OURS + cls.__name__ == name:
            return cls
        waiting += cls.__subclasses__()
    return None


class _Maker:
    """Builds layers from calls, up to a limit on the number of their entries."""

    def __init__(self, classes: Mapping[str, type[Layer]], limit: int) -> None:
        self.classes, self.limit, self.left, self.visits = classes, limit, limit, 0
        self.parts: list[Layer | None] = []

    def model(self, call: Any, parts: Any) -> Layer:
        """Build all parts, from the last, which refers to no other, to the first, and then the model."""
        if not isinstance(parts, list):
            raise ValueError(f"expected its parts as a list, got {parts!r:.60}")
        self.parts = [None] * len(parts)
        for i in reversed(range(len(parts))):
            self.parts[i] = self.layer(parts[i])
        return self.layer(call)

    def _part(self, i: int) -> Layer:
        layer = self.parts[i] if 0 <= i < len(self.parts) else None
        if layer is None:
            raise ValueError(f"part {i} is missing, is used twice, or contains itself")
        self.parts[i] = None
        return layer

    def layer(self, call: Any) -> Layer:
        if not isinstance(call, dict) or not isinstance(call.get("arguments"), dict):
            raise ValueError(f"expected the call of a layer, got {call!r:.60}")
        cls = _find(str(call.get("class")), self.classes)
        if cls is None or inspect.isabstract(cls):
            raise ValueError(f"expected the call of a layer, got {call!r:.60}")
        arguments = {name: self.value(value) for name, value in call["arguments"].items()}
        signature = _signature(cls)
        unknown = [name for name in arguments if name not in list(signature.parameters)[1:]]
        if unknown:
            raise ValueError(f"{cls.__name__} takes no argument {unknown[0]}")
        if issubclass(cls, Sequential):
            self._check_limits(arguments.get("layers", ()))
        bound = inspect.BoundArguments(signature, {"self": None, **arguments})
        if any(parameter.kind in BY_PLACE for parameter in signature.parameters.values()):
            bound.apply_defaults()  # the parameters before them must be present
        try:
            return cls(*bound.args[1:], **bound.kwargs)
        except (TypeError, ValueError) as error:
            if str(error).startswith(cls.__name__):
                raise
            raise type(error)(f"{cls.__name__}: {error}") from error

    def value(self, value: Any) -> Any:
        """Restore a value from plain data."""
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        match value:
            case {"class": _}:
                return self.layer(value)
            case {"part": int(i)}:
                return self._part(i)
            case {"tuple": [*entries]}:
                return tuple(self.value(entry) for entry in entries)
            case {"dict": dict(entries)}:
                return {key: self.value(entry) for key, entry in entries.items()}
            case {"float": ("inf" | "-inf" | "nan") as text}:
                return float(text)
            case {"dtype": str(text)}:
                return np.dtype(text)
        raise ValueError(f"expected the value of an argument, got {value!r:.60}")

    def _check_limits(self, layers: Any) -> None:
        """Raise ValueError if unbuilt layers exceed the limits on entries or on build time."""
        for layer in layers:
            if isinstance(layer, Layer):
                tree = Tree(layer)
                self.visits += len(tree.layers)
                self.left -= sum(math.prod(part.shape) for part in tree.states.values() if not part.is_built)
        if self.visits > VISITS:
            raise ValueError(f"it has more than {VISITS} layers, counting each once per chain around it")
        if self.left < 0:
            raise ValueError(f"its layers need {self.limit - self.left} numbers, but it holds {self.limit}")
