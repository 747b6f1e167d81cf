"""Writing ONNX: a model becomes a graph, each layer one or more nodes, each parameter a constant of the same name."""

from __future__ import annotations

from typing import Any

from nanonet.core.arrays import Patterns, parts_of
from nanonet.core.checks import is_several
from nanonet.interchange.onnx.draft import Draft
from nanonet.models.sequential import Sequential


def graph_of(onnx: Any, model: Sequential, shape: Patterns) -> Any:
    """Return the graph of a model for an input shape without the batch axis; for several inputs a tuple of shapes."""
    draft = Draft(onnx, model.dtype)
    shapes = shape if is_several(shape) else (shape,)
    names = _numbered("x", len(shapes)) if is_several(shape) else ("x",)
    given = draft.write(model, names if is_several(shape) else "x", shape, "")
    out = draft.shape_after(model, shape)
    found = _named(draft, given)
    proto, integers = onnx.TensorProto, model.integer_input
    kind = proto.DOUBLE if draft.is_double else proto.FLOAT
    kinds = [proto.INT64 if whole else kind for whole in parts_of(integers)]
    kinds *= 1 if isinstance(integers, tuple) else len(shapes)
    inputs = [_declared(onnx, *each) for each in zip(names, kinds, shapes, strict=True)]
    outs = out if is_several(out) else (out,)
    outputs = [_declared(onnx, name, kind, each) for name, each in zip(found, outs, strict=True)]
    return onnx.helper.make_graph(draft.nodes, "nanonet", inputs, outputs, list(draft.constants.values()))


def _declared(onnx: Any, name: str, kind: int, shape: Any) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, ["batch", *shape])


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}{i}" for i in range(count))


def _named(draft: Draft, given: Any) -> tuple[str, ...]:
    """Name the outputs y, or y0, y1, ...; one that is an input, or that is another output too, through an Identity."""
    wanted = _numbered("y", len(given)) if isinstance(given, tuple) else ("y",)
    made = {name for node in draft.nodes for name in node.output}
    names: dict[str, str] = {}
    for value, name in zip(parts_of(given), wanted, strict=True):
        if value in made and value not in names:
            names[value] = name
        else:
            draft.nodes.append(draft.onnx.helper.make_node("Identity", [value], [name], name=f"Identity.{name}"))
    for node in draft.nodes:
        for places in (node.input, node.output):
            places[:] = [names.get(each, each) for each in places]
    return wanted
