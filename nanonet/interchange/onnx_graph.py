"""Graph: what an ONNX file says of values, nodes and constants, of which only those before one output count."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

OLDEST = 9  # opset; before it, operators broadcast in other ways


class Node:
    """An operator, the names of what goes in and comes out, and its attributes."""

    def __init__(self, proto: Any, place: int) -> None:
        self.place = place
        self.domain = "" if proto.domain == "ai.onnx" else proto.domain
        self.operator = proto.op_type if self.domain in ("", "ai.onnx.ml") else f"{proto.domain}.{proto.op_type}"
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.attributes = {attribute.name: attribute for attribute in proto.attribute}
        self.name = proto.name or ", ".join(self.outputs)

    def number(self, name: str, default: float) -> Any:
        """Return an attribute that is a number."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return default
        return attribute.i if attribute.type == attribute.INT else attribute.f

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a string."""
        attribute = self.attributes.get(name)
        return default if attribute is None else attribute.s.decode(errors="replace")

    def __str__(self) -> str:
        return f"operator {self.operator}, {self.name}"


class Graph:
    """The part of a graph that an output needs."""

    def __init__(self, onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> None:
        self.onnx, self.folder, self.size = onnx, folder, size
        self.opset = next((each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")), 0)
        if not proto.HasField("graph") or self.opset < OLDEST:
            raise ValueError(
                f"expected a graph of ONNX's operators, opset {OLDEST} or later, got {self.opset or 'none'}"
            )
        self._tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._nodes = [Node(node, place) for place, node in enumerate(proto.graph.node)]
        self._makers = {name: node for node in self._nodes for name in node.outputs if name}
        self._taken: set[int] = set()
        self._read_bytes: dict[Path, int] = defaultdict(int)
        self._set_input(proto)
        self.output = self._chosen([value.name for value in proto.graph.output], output)
        self._needed = self._before(self.output)
        self._users: dict[str, list[Node]] = defaultdict(list)
        for node in self._needed:
            for name in dict.fromkeys(node.inputs):
                self._users[name].append(node)

    def _set_input(self, proto: Any) -> None:
        inputs = [value for value in proto.graph.input if value.name not in self._tensors]
        if len(inputs) != 1:
            raise ValueError(f"expected a graph of one input, got {[value.name for value in inputs]}")
        kind = inputs[0].type.tensor_type
        dtypes = {self.onnx.TensorProto.FLOAT: np.float32, self.onnx.TensorProto.DOUBLE: np.float64}
        if kind.elem_type not in dtypes:
            raise ValueError(f"expected an input of floats or doubles, got element type {kind.elem_type}")
        self.input, self.input_dtype = inputs[0].name, np.dtype(dtypes[kind.elem_type])
        lengths = [each.dim_value or None for each in kind.shape.dim] if kind.HasField("shape") else None
        self.batch = lengths[0] if lengths else None
        self.input_shape = tuple(lengths[1:]) if lengths else None  # None where the file does not tell

    def _chosen(self, outputs: list[str], wanted: str | None) -> str:
        if wanted is None and len(outputs) == 1:
            return outputs[0]
        if wanted is None:
            raise ValueError(f"has the outputs {outputs}; write load(path, output=...) with one of them")
        if wanted not in self._makers:
            raise ValueError(f"nothing in it gives {wanted!r}; its outputs are {outputs}")
        return wanted

    def _before(self, output: str) -> list[Node]:
        """Return the nodes that an output needs, in the order of the file, in which each comes after what it takes."""
        found: dict[int, Node] = {}
        names = [output]
        while names:
            node = self._makers.get(names.pop())
            if node is not None and node.place not in found:
                found[node.place] = node
                names += node.inputs
        return [found[place] for place in sorted(found)]

    def users(self, value: str) -> list[Node]:
        """Return the nodes that take a value and were not taken yet."""
        return [node for node in self._users[value] if node.place not in self._taken]

    def nodes(self) -> Iterator[Node]:
        """Yield the nodes that were not taken yet."""
        return (node for node in self._needed if node.place not in self._taken)

    def take(self, node: Node) -> None:
        """Count a node as dealt with."""
        self._taken.add(node.place)

    def constant(self, name: str) -> Numbers | None:
        """Return the array that a name always stands for, None where it depends on the input."""
        steps: list[Node] = []
        while name not in self._tensors:
            node = self._makers.get(name)
            if node is None or node.operator not in ("Constant", "Identity", "Transpose", "Cast") or len(steps) > 99:
                return None
            if node.operator == "Constant":
                return self._folded(_value(self, node), steps)
            steps.append(node)
            name = node.inputs[0]
        return self._folded(self.array(self._tensors[name]), steps)

    def _folded(self, array: Numbers, steps: list[Node]) -> Numbers:
        for node in reversed(steps):
            if node.operator == "Transpose":
                order = node.attributes.get("perm")
                array = array.transpose(list(order.ints) if order is not None else None)
            if node.operator == "Cast":
                array = array.astype(self.onnx.helper.tensor_dtype_to_np_dtype(node.number("to", 1)))
        return array

    def array(self, tensor: Any) -> Numbers:
        """Return the numbers of a constant, from the file or from one beside it."""
        try:
            if min(tensor.dims, default=0) < 0:
                raise ValueError(f"a shape of {list(tensor.dims)}")
            if tensor.data_location == tensor.EXTERNAL:
                tensor = self._fetched(tensor)
            array: Numbers = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ValueError(f"constant {tensor.name}: {error}") from None
        if array.dtype.kind not in "fiub":
            raise ValueError(f"constant {tensor.name}: expected numbers, got {array.dtype}")
        return array

    def _fetched(self, tensor: Any) -> Any:
        """Return a tensor with its bytes, which stand in a file beside this one."""
        told = {entry.key: entry.value for entry in tensor.external_data}
        place = (self.folder / told["location"]).resolve()
        if not place.is_relative_to(self.folder.resolve()) or not place.is_file():
            raise ValueError(f"expected its numbers in a file beside this one, got {told['location']!r}")
        size = place.stat().st_size
        dtype = self.onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        start, wanted = int(told.get("offset", 0)), math.prod(tensor.dims) * dtype.itemsize
        length = int(told.get("length", wanted))
        self._read_bytes[place] += length
        if length != wanted or self._read_bytes[place] > size or start + length > size:
            raise ValueError(f"{length} bytes from {start} of {place.name}, which has {size}, are not its {wanted}")
        self.size += length
        with open(place, "rb") as file:
            file.seek(start)
            raw = file.read(length)
        return self.onnx.helper.make_tensor(tensor.name, tensor.data_type, tensor.dims, raw, raw=True)


def _value(graph: Graph, node: Node) -> Numbers:
    """Return what a node of the operator Constant holds."""
    for name, attribute in node.attributes.items():
        match name:
            case "value":
                return graph.array(attribute.t)
            case "value_float":
                return np.array(attribute.f, np.float32)
            case "value_int":
                return np.array(attribute.i, np.int64)
            case "value_floats":
                return np.array(attribute.floats, np.float32)
            case "value_ints":
                return np.array(attribute.ints, np.int64)
    raise ValueError(f"{node}: holds no numbers")
