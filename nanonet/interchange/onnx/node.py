"""Node: an operator of an ONNX file, interpreted by ONNX's schema for it in the file's opset."""

from __future__ import annotations

from typing import Any


class Schemas:
    """ONNX's operator schemas in one opset; None for an unknown operator.

    Raises
    ------
    ValueError
        If the installed onnx does not know the opset.
    """

    def __init__(self, onnx: Any, opset: int) -> None:
        newest = onnx.defs.onnx_opset_version()
        if opset > newest:
            raise ValueError(f"of opset {opset}; onnx {onnx.__version__} knows up to {newest}: install a newer onnx")
        self.onnx, self.opset = onnx, opset
        self._found: dict[str, Any] = {}

    def __getitem__(self, operator: str) -> Any:
        if operator not in self._found:
            try:
                self._found[operator] = self.onnx.defs.get_schema(operator, self.opset, "")
            except self.onnx.defs.SchemaError:
                self._found[operator] = None
        return self._found[operator]


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

    def read(self, schemas: Schemas) -> None:
        """Check inputs, outputs and attributes against the schema, and fill in its defaults."""
        if self.is_foreign:
            return
        schema = schemas[self.operator]
        if schema is None:
            raise ValueError(f"{self}: ONNX has no such operator in opset {schemas.opset}")
        self._read_inputs(schema)
        if len(self.outputs) < max(schema.min_output, 1) or not self.outputs[0]:
            raise ValueError(f"{self}: expected {schema.min_output} outputs or more, got {self.outputs}")
        self._read_attributes(schema, f"{self.operator} of opset {schemas.opset}")

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

    def _read_attributes(self, schema: Any, whose: str) -> None:
        known = schema.attributes
        for attribute in self._given:
            name = attribute.name
            if name not in known:
                raise ValueError(f"{self}: has an attribute {name!r}, which {whose} does not have")
            if attribute.type != known[name].type.value or attribute.ref_attr_name:
                raise ValueError(f"{self}: expected attribute {name!r} to be of type {known[name].type.name}")
            if name in self.attributes:
                raise ValueError(f"{self}: has two attributes {name!r}")
            self.attributes[name] = _value(attribute)
        for name, attribute in known.items():
            if attribute.required and name not in self.attributes:
                raise ValueError(f"{self}: attribute {name!r} is missing, which {whose} must have")
            if attribute.default_value.type:
                self.attributes.setdefault(name, _value(attribute.default_value))


def _value(attribute: Any) -> Any:
    """Return the value of an attribute: a number, a string, a list of numbers, or a tensor."""
    match attribute.type:
        case attribute.FLOAT:
            return float(attribute.f)
        case attribute.INT:
            return int(attribute.i)
        case attribute.STRING:
            return attribute.s.decode(errors="replace")
        case attribute.FLOATS:
            return list(attribute.floats)
        case attribute.INTS:
            return list(attribute.ints)
        case attribute.TENSOR:
            return attribute.t
    return attribute
