"""Nodes: the description of a model as Keras writes it, in JSON: its layers, and which values each is called with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

MODELS = ("Sequential", "Functional", "Model")
MOST = 10_000  # layers of one model

Reference = tuple[str, int, int]
"""A value: the name of the layer, which of its calls, and which of the outputs."""

Shape = tuple[int | None, ...]


class Described(NamedTuple):
    """A layer of a model: what the file says of it, and the values of each call.

    kind is its class, as a reader is registered for it: "package>Class" for one that was registered with Keras.
    """

    name: str
    kind: str
    class_name: str
    config: dict[str, Any]
    is_of_keras: bool
    calls: list[list[Reference]]

    def __str__(self) -> str:
        return f"layer {self.name!r} ({self.kind})"

    @property
    def is_model(self) -> bool:
        """Whether it is a model itself."""
        return self.kind in MODELS and self.is_of_keras

    @property
    def is_operation(self) -> bool:
        """Whether it is a function of keras.ops, which a list of layers leaves out."""
        return self.config.get("__operation__") is True


class Graph(NamedTuple):
    """A model: its layers in the order of the file, its inputs and its outputs."""

    layers: list[Described]
    inputs: list[Reference]
    outputs: list[Reference]
    shape: Shape | None
    """Of the input of a Sequential that has no InputLayer."""


def graph_of(page: dict[str, Any], whose: str = "the model") -> Graph:
    """Return a model from its description."""
    kind, config = page.get("class_name"), page.get("config")
    if kind not in MODELS or not _is_keras(page):
        raise TypeError(
            f"{whose} is a {kind!r:.60}; load takes a Sequential or a functional Model, whose layers are in the file"
        )
    if isinstance(config, list):  # Keras before 2.3
        config = {"layers": config}
    config = _table(config, whose)
    pages = config.get("layers")
    if not isinstance(pages, list) or not pages or len(pages) > MOST:
        raise ValueError(f"{whose}: expected a list of 1 to {MOST} layers, got {pages!r:.60}")
    if kind != "Sequential":
        layers = [_described(_table(each, whose), whose) for each in pages]
        inputs, outputs = (list(_references(config.get(name), whose)) for name in ("input_layers", "output_layers"))
        if not inputs or not outputs:
            raise ValueError(f"{whose}: the file names no inputs, or no outputs")
        return Graph(layers, inputs, outputs, None)
    return _chain(page, config, [_table(each, whose) for each in pages], whose)


def _chain(page: dict[str, Any], config: dict[str, Any], pages: list[dict[str, Any]], whose: str) -> Graph:
    """Return a Sequential as a graph."""
    layers: list[Described] = []
    last: Reference = ("", 0, 0)
    for each in pages:
        one = _described(each, whose)
        if one.kind == "InputLayer":
            if layers:
                raise ValueError(f"{one} is not the first of {whose}")
            layers.append(one)
        else:
            layers.append(one._replace(calls=[[last]]))
        last = (one.name, 0, 0)
    built = [config.get("build_input_shape"), *(_table(page.get("build_config") or {}, whose).get("input_shape"),)]
    first = [layers[0].config.get(name) for name in ("batch_shape", "batch_input_shape")]
    given = next((shape for shape in (*first, *built) if shape is not None), None)
    begins = layers[0].kind == "InputLayer"
    start: Reference = (layers[0].name, 0, 0) if begins else ("", 0, 0)
    return Graph(layers, [start], [last], None if given is None else sample(given, whose))


def _described(page: dict[str, Any], whose: str) -> Described:
    kind, config = page.get("class_name"), page.get("config")
    registered = page.get("registered_name")
    if not isinstance(kind, str) or len(kind) > 200:
        raise ValueError(f"{whose}: expected the class of each layer, got {kind!r:.60}")
    if isinstance(config, list):
        config = {"layers": config}
    config = _table(config, f"{whose}, a {kind}")
    name = page.get("name", config.get("name"))
    if not isinstance(name, str):
        raise ValueError(f"{whose}: expected a name for a {kind}, got {name!r:.60}")
    of_keras = _is_keras(page)
    registered = registered if not of_keras and isinstance(registered, str) else kind
    module = page.get("module")
    if isinstance(module, str) and ".ops" in module:
        config = {**config, "__operation__": True}
    calls = [_values(each, f"layer {name!r} ({registered})") for each in _list(page.get("inbound_nodes"), name)]
    return Described(name, registered, kind, config, of_keras, calls)


def _is_keras(page: dict[str, Any]) -> bool:
    """Return whether a class is one of Keras's own; an .h5 file does not say, but a registered name has a >."""
    module, kind = page.get("module", "keras"), str(page.get("class_name"))
    return isinstance(module, str) and module.split(".")[0] in ("keras", "tf_keras") and ">" not in kind


def _values(node: Any, whose: str) -> list[Reference]:
    """Return the values that a call takes; raise ValueError if it takes anything else."""
    if isinstance(node, dict):
        found = list(_tensors(node.get("args"), whose))
        settings = node.get("kwargs") or {}
    else:  # Keras 2
        parts = node if isinstance(node, list) else None
        parts = [parts] if parts and isinstance(parts[0], str) else parts
        if not parts or not all(isinstance(part, list) and len(part) in (3, 4) for part in parts):
            raise ValueError(f"{whose}: the file says {node!r:.60} of what it is called with")
        found = [_reference(part[:3], whose) for part in parts]
        settings = {name: value for part in parts for name, value in (part[3] if len(part) > 3 else {}).items()}
    for name, value in _table(settings, whose).items():
        if value is not None and not (name == "training" and value is False):
            raise ValueError(f"{whose}: is called with {name}={value!r:.60}, which nanonet does not have")
    return found


def _tensors(value: Any, whose: str) -> Iterator[Reference]:
    if isinstance(value, list):
        for part in value:
            yield from _tensors(part, whose)
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield _reference(_table(value.get("config"), whose).get("keras_history"), whose)
    else:
        raise ValueError(f"{whose}: is called with {value!r:.60}, which is no value of a layer")


def _references(value: Any, whose: str) -> Iterator[Reference]:
    """Yield references from one, a list of them, or a table of named ones."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list) and value and not isinstance(value[0], str):
        for part in value:
            yield from _references(part, whose)
    elif value:
        yield _reference(value, whose)


def _reference(value: Any, whose: str) -> Reference:
    match value:
        case [str(name), int(call), int(output)]:
            return name, call, output
    raise ValueError(f"{whose}: expected a value as [layer, call, output], got {value!r:.60}")


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise ValueError(f"layer {name!r}: expected a list of calls, got {value!r:.60}")
    return value or []


def _table(value: Any, whose: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{whose}: expected a table, got {value!r:.60}")
    return value


def sample(shape: Any, whose: str) -> Shape:
    """Return the shape of one sample from that of a batch."""
    if not isinstance(shape, (list, tuple)) or not shape:
        raise ValueError(f"{whose}: expected the shape of a batch, got {shape!r:.60}")
    for length in shape[1:]:
        if length is not None and (type(length) is not int or length < 1):
            raise ValueError(f"{whose}: expected the shape of a batch, got {shape!r:.60}")
    return tuple(shape[1:])
