"""Graph: the nodes and constants of an ONNX file that its outputs depend on, by ONNX's schemas in the file's opset."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.folding import FOLDS, folded
from nanonet.interchange.onnx.lengths import RULES
from nanonet.storage.archive import ALLOWED, UNFOLDED
from nanonet.storage.disk import read_whole

OWN = ("", "ai.onnx")  # the two names of the domain of ONNX's own operators
FLOATS: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    11: np.dtype(np.float64),
}  # by ONNX's number of the element type
INTEGERS: dict[int, np.dtype[Any]] = {6: np.dtype(np.int32), 7: np.dtype(np.int64)}
MOST = 20_000  # operators
DEEPEST = 99  # operators between a constant and its use
CHANGES = {"Identity", "Transpose", "Cast", *FOLDS}  # operators on constants that are computed
OLDEST = 9  # opset; before it, broadcasting rules differ


class Node:
    """An operator, the names of its inputs and outputs, and its attributes.

    Attributes
    ----------
    operator : str
        With its domain, unless that is ONNX's own.
    inputs : list of str
        By position in the operator's schema; "" for an omitted one.
    """

    def __init__(self, proto: Any, place: int) -> None:
        self.place = place
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        self.is_foreign = bool(domain)
        self.operator = f"{domain}.{proto.op_type}" if domain else str(proto.op_type)
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.name = proto.name or ", ".join(self.outputs)
        self._given = list(proto.attribute)
        self.attributes: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"operator {self.operator}, {self.name}"

    def read(self, onnx: Any, opset: int) -> None:
        """Check inputs, outputs and attributes against ONNX's schema in an opset, and fill in its defaults."""
        if self.is_foreign:
            return
        try:
            schema = onnx.defs.get_schema(self.operator, opset, "")
        except onnx.defs.SchemaError:
            raise ValueError(f"{self}: ONNX has no such operator in opset {opset}") from None
        self._read_inputs(schema)
        if len(self.outputs) < max(schema.min_output, 1) or not self.outputs[0]:
            raise ValueError(f"{self}: expected {schema.min_output} outputs or more, got {self.outputs}")
        self._read_attributes(onnx, schema, f"{self.operator} of opset {opset}")

    def _read_inputs(self, schema: Any) -> None:
        least, most = schema.min_input, schema.max_input
        if not least <= len(self.inputs) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}" if most < 1000 else f"{least} or more"
            raise ValueError(f"{self}: expected {wanted} inputs, got {len(self.inputs)}")
        formal = list(schema.inputs)
        for i, name in enumerate(self.inputs):
            parameter = formal[min(i, len(formal) - 1)]  # the last may be variadic
            if not name and parameter.option.name != "Optional":
                raise ValueError(f"{self}: its required input {parameter.name} is missing")
        if most == len(formal):
            self.inputs += [""] * (most - len(self.inputs))

    def _read_attributes(self, onnx: Any, schema: Any, whose: str) -> None:
        known = schema.attributes
        for attribute in self._given:
            name = attribute.name
            if name not in known:
                raise ValueError(f"{self}: has an attribute {name!r}, which {whose} does not have")
            if attribute.type != known[name].type.value or attribute.ref_attr_name:
                raise ValueError(f"{self}: expected attribute {name!r} to be of type {known[name].type.name}")
            if name in self.attributes:
                raise ValueError(f"{self}: has two attributes {name!r}")
            self.attributes[name] = _value(onnx, attribute)
        for name, attribute in known.items():
            if attribute.required and name not in self.attributes:
                raise ValueError(f"{self}: attribute {name!r} is missing, which {whose} must have")
            if name not in self.attributes and attribute.default_value.type:
                self.attributes[name] = _value(onnx, attribute.default_value)


def _value(onnx: Any, attribute: Any) -> Any:
    """Return the value of an attribute: a number, a string, a list of numbers, or a tensor."""
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class Input(NamedTuple):
    """An input of a graph; its shape is without the batch axis, and None if the file does not say."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: np.dtype[Any]


Mark = tuple[int, int]


class Graph:
    """The part of a graph that its outputs, or one of them, depend on."""

    def __init__(self, onnx: Any, proto: Any, folder: Path, size: int, output: str | None) -> None:
        self.onnx, self.folder, self.size = onnx, folder, size
        self.opset = self._opset(proto)
        self._tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
        self._nodes = [Node(node, place) for place, node in enumerate(proto.graph.node)]
        self._makers = {name: node for node in self._nodes for name in node.outputs if name}
        self._constant: dict[str, bool] = {}  # for the outputs of operators
        self._arrays: dict[str, Numbers] = {}
        self._taken: dict[int, None] = {}  # in the order in which they were taken
        self._read_bytes: dict[Path, int] = defaultdict(int)
        self._unfolded = 0
        given = [value for value in proto.graph.input if value.name not in self._tensors]
        self._refuse_two_of_a_name(proto, [value.name for value in given])
        self.outputs = self._chosen([value.name for value in proto.graph.output], output)
        self._users: dict[str, list[Node]] = defaultdict(list)
        needed = self._before(self.outputs)
        if len(needed) > MOST:
            raise ValueError(f"{self.outputs[0]} comes of {len(needed)} operators; load takes no more than {MOST}")
        if output is not None:  # then what only others depend on does not count
            names = {name for node in needed for name in node.inputs}
            given = [value for value in given if value.name in names]
        self.batch: int | None = None
        self.inputs = [self._input(value) for value in given]
        self._measured: set[str] = set()
        for node in needed:
            node.read(onnx, self.opset)
            if self._measures(node):
                self._measured.update(node.outputs)
                continue
            for name in dict.fromkeys(node.inputs):
                self._users[name].append(node)

    def _measures(self, node: Node) -> bool:
        """Return whether a node takes the shape of a value, or computes with shapes and constants alone."""
        if node.operator == "Shape":
            return True
        others = [name for name in node.inputs if name and not self.is_constant(name)]
        return node.operator in RULES and all(name in self._measured for name in others)

    def is_measured(self, value: str) -> bool:
        """Return whether a value depends on shapes and constants alone; what measures is no user of a value."""
        return value in self._measured

    def _opset(self, proto: Any) -> int:
        opsets = [each.version for each in proto.opset_import if each.domain in OWN]
        if not proto.HasField("graph") or len(opsets) != 1 or opsets[0] < OLDEST:
            got = " and ".join(map(str, opsets)) or "none"
            raise ValueError(f"expected a graph of ONNX's operators, opset {OLDEST} or later, got {got}")
        newest = self.onnx.defs.onnx_opset_version()
        if opsets[0] > newest:
            raise ValueError(
                f"of opset {opsets[0]}; onnx {self.onnx.__version__} knows up to {newest}: install a newer onnx"
            )
        anew = [function.name for function in proto.functions if function.domain in OWN]
        if anew:
            raise ValueError(f"redefines ONNX's own operators: {anew}")
        return int(opsets[0])

    def _refuse_two_of_a_name(self, proto: Any, inputs: list[str]) -> None:
        names = [*inputs, *(tensor.name for tensor in proto.graph.initializer)]
        names += [name for node in self._nodes for name in node.outputs if name]
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise ValueError(f"the name {twice!r} is used twice")

    def _input(self, value: Any) -> Input:
        kind = value.type.tensor_type
        dtypes: dict[int, np.dtype[Any]] = {**FLOATS, **INTEGERS}
        if kind.elem_type not in dtypes:
            raise ValueError(
                f"expected an input of floats or doubles, or of integers, got element type {kind.elem_type} of "
                f"{value.name}"
            )
        lengths = [each.dim_value if each.dim_value > 0 else None for each in kind.shape.dim]
        if lengths and lengths[0] is not None:
            self.batch = lengths[0]
        return Input(value.name, tuple(lengths[1:]) if lengths else None, dtypes[kind.elem_type])

    def _chosen(self, outputs: list[str], wanted: str | None) -> list[str]:
        if wanted is None:
            return outputs
        if wanted not in self._makers:
            raise ValueError(f"no node produces {wanted!r}; its outputs are {outputs}")
        return [wanted]

    def _before(self, outputs: list[str]) -> list[Node]:
        """Return the nodes that the outputs depend on, in the order of the file, which is topological."""
        found: dict[int, Node] = {}
        names = list(outputs)
        while names:
            node = self._makers.get(names.pop())
            if node is not None and node.place not in found:
                found[node.place] = node
                names += node.inputs
        return [found[place] for place in sorted(found)]

    def users(self, value: str) -> list[Node]:
        """Return the unconsumed nodes that take a value, in the order of the file."""
        return [node for node in self._users[value] if node.place not in self._taken]

    def maker(self, value: str) -> Node | None:
        """Return the node that a value comes from."""
        return self._makers.get(value)

    def take(self, node: Node) -> None:
        """Mark a node as consumed."""
        self._taken[node.place] = None

    def is_taken(self, node: Node) -> bool:
        """Return whether a node is consumed."""
        return node.place in self._taken

    def mark(self) -> Mark:
        """Return what was consumed and read so far, for :meth:`back_to`."""
        return len(self._taken), self._unfolded

    def back_to(self, mark: Mark) -> None:
        """Undo what was consumed since a mark."""
        taken, self._unfolded = mark
        while len(self._taken) > taken:
            self._taken.popitem()

    def account(self, size: int) -> None:
        """Count size bytes about to be allocated; raise ValueError if they are too many for the size of the file."""
        self._unfolded += size
        if self._unfolded > UNFOLDED * self.size + ALLOWED:
            raise ValueError(f"what it holds would take more than {UNFOLDED} times its {self.size} bytes")

    def is_constant(self, name: str, depth: int = 0) -> bool:
        """Return whether :meth:`constant` gives an array for a name, without reading it."""
        node = self._makers.get(name)
        if name in self._tensors or (node is not None and node.operator == "Constant"):
            return True
        if name not in self._constant:
            inputs = [] if node is None or node.operator not in CHANGES else [each for each in node.inputs if each]
            deep = depth > DEEPEST
            self._constant[name] = bool(inputs) and not deep and all(self.is_constant(e, depth + 1) for e in inputs)
        return self._constant[name]

    def constant(self, name: str) -> Numbers | None:
        """Return the array of a constant name, or None if it depends on the input."""
        if not self.is_constant(name):
            return None
        if name not in self._arrays:
            node = self._makers.get(name)
            if name in self._tensors:
                self._arrays[name] = self.array(self._tensors[name])
            elif node is not None:
                self._arrays[name] = self._held(node) if node.operator == "Constant" else self._changed(node)
        return self._arrays[name]

    def _changed(self, node: Node) -> Numbers:
        """Return what an operator makes of constants."""
        arrays = [array for array in map(self.constant, filter(None, node.inputs)) if array is not None]
        try:
            if node.operator == "Transpose":
                return arrays[0].transpose(node.attributes.get("perm"))
            if node.operator == "Cast":
                dtype = self._dtype(node.attributes["to"])
                self.account(arrays[0].size * dtype.itemsize)
                return _numbers(arrays[0].astype(dtype))
            if node.operator in FOLDS:
                held = node.attributes.get("value")
                attributes = node.attributes if held is None else node.attributes | {"value": self.array(held)}
                return folded(node.operator, attributes, arrays)
        except ValueError as error:
            raise ValueError(f"{node}: {error}") from None
        return arrays[0]

    def _dtype(self, kind: int) -> np.dtype[Any]:
        try:
            dtype: np.dtype[Any] = self.onnx.helper.tensor_dtype_to_np_dtype(kind)
        except KeyError:
            raise ValueError(f"unknown element type {kind}") from None
        return dtype

    def _held(self, node: Node) -> Numbers:
        """Return the value of a Constant node."""
        if len(node.attributes) == 1:
            ((name, value),) = node.attributes.items()
            if name == "value":
                return self.array(value)
            if name in ("value_float", "value_floats"):
                return np.array(value, np.float32)
            if name in ("value_int", "value_ints"):
                return np.array(value, np.int64)
        raise ValueError(f"{node}: expected numbers, got {' and '.join(node.attributes) or 'none'}")

    def array(self, tensor: Any) -> Numbers:
        """Return the numbers of a constant, from this file or an external one."""
        try:
            if min(tensor.dims, default=0) < 0:
                raise ValueError(f"a shape of {list(tensor.dims)}")
            if tensor.data_location == tensor.EXTERNAL:
                tensor = self._fetched(tensor)
            array = _numbers(self.onnx.numpy_helper.to_array(tensor))
            self.account(array.nbytes)
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ValueError(f"constant {tensor.name}: {error}") from None
        return array

    def _fetched(self, tensor: Any) -> Any:
        """Return a tensor with its data from an external file."""
        external = {entry.key: entry.value for entry in tensor.external_data}
        place = (self.folder / external["location"]).resolve()
        if not place.is_relative_to(self.folder.resolve()) or not place.is_file():
            raise ValueError(f"expected its numbers in a file beside this one, got {external['location']!r}")
        size = place.stat().st_size
        dtype = self._dtype(tensor.data_type)
        start, wanted = int(external.get("offset", 0)), math.prod(tensor.dims) * dtype.itemsize
        length = int(external.get("length", wanted))
        self._read_bytes[place] += length
        if length != wanted or self._read_bytes[place] > size or start + length > size:
            raise ValueError(f"{length} bytes from {start} of {place.name}, which has {size}, are not its {wanted}")
        self.size += length
        raw = read_whole(place, start, length)
        return self.onnx.helper.make_tensor(tensor.name, tensor.data_type, tensor.dims, raw, raw=True)


def _numbers(array: Numbers) -> Numbers:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected numbers, got {array.dtype}")
    return array
