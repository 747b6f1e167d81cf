"""Draw ONNX graphs, load them, and see that none is loaded with another result than onnxruntime's.

    python -m tests.onnx_graphs [--count 10000] [--seed 0]

Bounds, comparisons, slopes, spelled-out activations whose numbers are sometimes not quite theirs, inputs that are left
out, attributes of other opsets, residual blocks: whatever `load` might take for something else. Inputs stand at, beside
and between a graph's constants, at tiny numbers, and far outside. What onnxruntime does not run is drawn anew.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import Linear, LogSoftmax, Residual, Sequential, Softmax
from nanonet.interchange.onnx import load

Numbers = npt.NDArray[Any]
FLOAT, DOUBLE = 1, 11  # ONNX's element types

NUMBERS = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, 6.0, -0.5, 0.1, 60.0, -60.0, 1e-3, 1e3, -1e3, 0.01, 1e-8, 20.0, 55.5]
BOUNDS = [*NUMBERS, 3.4028234663852886e38, -3.4028234663852886e38, float("inf"), float("-inf")]
SUMS = (Linear, LogSoftmax, Residual, Softmax)  # whose rounding goes by the largest number that goes in
TRICKS = [
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.0,
    1.001,
    0.99,
    1.00001,
    1.5,
    -1.0,
    0.0,
]  # what a right number is multiplied by


class Graph:
    """A graph that grows node by node, from x."""

    def __init__(self, onnx: Any, rng: random.Random) -> None:
        self.onnx, self.rng = onnx, rng
        self.opset = rng.choice([9, 10, 11, 12, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21])
        self.double = rng.random() < 0.1
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.numbers: list[float] = []
        self.shape: list[Any] = rng.choice([["batch", 3]] * 6 + [["batch", 2, 3]])
        self.features = 3

    @property
    def dtype(self) -> type[np.floating[Any]]:
        return np.float64 if self.double else np.float32

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of what it gives."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [name], name=f"{operator}_{name}", **attributes))
        return name

    def array(self, array: Numbers) -> str:
        """Return the name of a constant."""
        name = f"c{len(self.tensors)}"
        self.tensors.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def constant(self, value: float) -> str:
        """Return the name of a number, which stands in one of many ways in the file."""
        self.numbers.append(value)
        array = np.array(value, self.dtype).reshape(self.rng.choice([(), (), (), (1,), (1, 1), (1, 1, 1)]))
        match self.rng.randrange(6):
            case 0:
                return self.add("Constant", value=self.onnx.numpy_helper.from_array(array))
            case 1:
                return self.add("Identity", self.array(array))
            case 2:
                return self.add("Cast", self.array(array.astype(np.float64)), to=DOUBLE if self.double else FLOAT)
        return self.array(array)

    def near(self, value: float) -> str:
        """Return the name of a number, or of one that is not quite that."""
        return self.constant(value * self.rng.choice(TRICKS))

    def number(self) -> str:
        """Return the name of any number."""
        return self.constant(self.rng.choice(NUMBERS))

    def either(self, *inputs: str) -> list[str]:
        """Return inputs in any order."""
        return self.rng.sample(inputs, len(inputs))

    def proto(self, output: str) -> Any:
        """Return the model."""
        helper, kind = self.onnx.helper, DOUBLE if self.double else FLOAT
        x, y = helper.make_tensor_value_info("x", kind, self.shape), helper.make_tensor_value_info(output, kind, None)
        graph = helper.make_graph(self.nodes, "drawn", [x], [y], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


# ---- pieces of graphs


def clip(g: Graph, x: str) -> str:
    low, high = (g.rng.choice([None, *BOUNDS]) for _ in range(2))
    if g.opset < 11:
        return g.add("Clip", x, **{k: v for k, v in (("min", low), ("max", high)) if v is not None})
    inputs = ["" if bound is None else g.constant(bound) for bound in (low, high)]
    while inputs and not inputs[-1] and g.rng.random() < 0.7:
        inputs.pop()
    return g.add("Clip", x, *inputs)


def least_or_most(g: Graph, x: str) -> str:
    others = [g.constant(g.rng.choice(BOUNDS)) for _ in range(g.rng.choice([0, 1, 1, 1, 2]))]
    return g.add(g.rng.choice(["Min", "Max"]), *g.either(x, *others))


def bounded(g: Graph, x: str) -> str:
    low, high = sorted(g.rng.sample(NUMBERS, 2))
    first, second = g.either("Max", "Min")
    bounds = {"Max": g.constant(low), "Min": g.constant(high)}
    return g.add(second, *g.either(g.add(first, *g.either(x, bounds[first])), bounds[second]))


def compared(g: Graph, x: str) -> str:
    operators = ["Greater", "Less"] + ["GreaterOrEqual", "LessOrEqual"] * (g.opset >= 12) + ["Equal"] * (g.opset >= 11)
    condition = g.add(g.rng.choice(operators), *g.either(x, g.number()))
    return g.add("Not", condition) if g.rng.random() < 0.2 else condition


def chosen(g: Graph, x: str) -> str:
    ways: list[Callable[[], str]] = [lambda: x, g.number, lambda: g.add("Mul", x, g.number()), lambda: unary(g, x)]
    return g.add("Where", compared(g, x), g.rng.choice(ways)(), g.rng.choice(ways)())


def leaky(g: Graph, x: str) -> str:
    slope = g.near(g.rng.choice([0.1, 0.01, 0.2, 0.5]))
    match g.rng.randrange(3):
        case 0:
            return g.add("Where", g.add("Greater", x, g.near(0.0)), x, g.add("Mul", x, slope))
        case 1:
            return g.add("Max", *g.either(x, g.add("Mul", *g.either(x, slope))))
    return g.add("Add", *g.either(g.add("Relu", x), g.add("Mul", g.add("Min", x, g.near(0.0)), slope)))


def unary(g: Graph, x: str) -> str:
    alpha = g.rng.choice([{}, {"alpha": g.rng.choice([0.1, 0.5, 1.0, 2.0, -0.3])}])
    operator = g.rng.choice(
        ["Relu", "Sigmoid", "Tanh", "Softsign", "Identity", "LeakyRelu", "Elu", "Selu", "Abs", "Neg", "Exp"]
        + ["HardSigmoid", "ThresholdedRelu", "Ceil"]
        + ["Softplus"] * (not g.double)  # in float64 onnxruntime computes log(1 + exp(x)), which overflows
        + ["Gelu"] * (g.opset >= 20)
        + ["HardSwish"] * (g.opset >= 14)
        + ["Celu"] * (g.opset >= 12)
        + ["Mish"] * (g.opset >= 18)
    )
    if operator == "Gelu":
        return g.add("Gelu", x, **g.rng.choice([{}, {"approximate": "tanh"}, {"approximate": "none"}]))
    if operator == "Selu":
        return g.add("Selu", x, **g.rng.choice([{}, {}, {"gamma": 1.0507009873554805}, {"gamma": 1.0}, {"alpha": 1.0}]))
    takes_alpha = operator in ("LeakyRelu", "Elu", "Celu", "HardSigmoid", "ThresholdedRelu")
    return g.add(operator, x, **(alpha if takes_alpha else {}))


def sigmoid(g: Graph, x: str) -> str:
    if g.rng.random() < 0.5:
        return g.add("Sigmoid", x)
    below = g.add("Add", *g.either(g.near(1.0), g.add("Exp", g.add("Neg", x))))
    return g.add("Reciprocal", below) if g.rng.random() < 0.5 else g.add("Div", g.near(1.0), below)


def silu(g: Graph, x: str) -> str:
    return g.add("Mul", *g.either(x, sigmoid(g, x)))


def softplus(g: Graph, x: str) -> str:
    if g.rng.random() < 0.5:
        return g.add("Log", g.add("Add", *g.either(g.add("Exp", x), g.near(1.0))))
    tail = g.add("Exp", g.add("Neg", g.add("Abs", x)))
    whole = g.add("Add", g.add("Relu", x), g.add("Log", g.add("Add", tail, g.near(1.0))))
    if g.rng.random() < 0.5:
        return whole
    return g.add("Where", g.add("Greater", x, g.constant(g.rng.choice([20.0, 20.0, 10.0, 2.0]))), x, whole)


def tanh(g: Graph, x: str) -> str:
    two = g.near(2.0)
    return g.add("Sub", g.add("Mul", g.add("Sigmoid", g.add("Mul", x, two)), two), g.near(1.0))


def softsign(g: Graph, x: str) -> str:
    return g.add("Div", x, g.add("Add", *g.either(g.add("Abs", x), g.near(1.0))))


def elu(g: Graph, x: str) -> str:
    alpha = g.near(g.rng.choice([1.0, 0.5, 0.3]))
    below = g.add("Mul", g.add("Sub", g.add("Exp", g.add("Min", x, g.near(0.0))), g.near(1.0)), alpha)
    if g.rng.random() < 0.5:
        return g.add("Add", *g.either(g.add("Relu", x), below))
    return g.add("Where", g.add("Greater", x, g.near(0.0)), x, below)


def selu(g: Graph, x: str) -> str:
    below = g.add("Mul", g.add("Sub", g.add("Exp", g.add("Min", x, g.near(0.0))), g.near(1.0)), g.near(1.6732632))
    return g.add("Mul", g.near(1.050701), g.add("Add", g.add("Max", x, g.near(0.0)), below))


def gelu(g: Graph, x: str) -> str:
    if g.rng.random() < 0.5:
        inner = g.add("Erf", g.rng.choice([g.add("Div", x, g.near(2**0.5)), g.add("Mul", x, g.near(0.5**0.5))]))
    else:
        cube = g.add("Mul", g.add("Pow", x, g.near(3.0)), g.near(0.044715))
        inner = g.add("Tanh", g.add("Mul", g.add("Add", x, cube), g.near((2 / np.pi) ** 0.5)))
    factor = g.add("Add", inner, g.near(1.0))
    if g.rng.random() < 0.5:
        return g.add("Mul", g.add("Mul", x, factor), g.near(0.5))
    return g.add("Mul", g.add("Mul", x, g.near(0.5)), factor)


def there_and_back(g: Graph, x: str) -> str:
    """Multiply or add, do something, and undo it: what was lost on the way must not be forgotten."""
    number = g.rng.choice([1.0, 2.0, 0.5, 3.0, 100.0, 1e-3, 1e6, 1e30, -2.0])
    go, back = g.rng.choice([("Mul", "Div"), ("Div", "Mul"), ("Add", "Sub"), ("Sub", "Add")])
    inner = g.add(go, x, g.constant(number))
    return g.add(back, g.rng.choice([lambda g, x: x, clip, leaky, bounded])(g, inner), g.constant(number))


def mixed(g: Graph, x: str) -> str:
    """Combine a few values in any way."""
    values = [x]
    for _ in range(g.rng.randint(1, 5)):
        operator = g.rng.choice(
            ["Add", "Sub", "Mul", "Div", "Min", "Max", "Relu", "Neg", "Abs", "Exp", "Sigmoid", "Tanh"]
        )
        inputs = [g.rng.choice([*values, values[-1], g.number()])]
        if operator in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
            inputs.append(g.rng.choice([*values, g.number()]))
        values.append(g.add(operator, *g.either(*inputs)))
    return values[-1]


def linear(g: Graph, x: str) -> str:
    outputs = g.features if g.rng.random() < 0.5 else g.rng.choice([1, 2, 3])
    eye = outputs == g.features and g.rng.random() < 0.6
    weight = (
        np.eye(outputs) if eye else np.array([[g.rng.gauss(0, 1) for _ in range(outputs)] for _ in range(g.features)])
    )
    bias = np.array([g.rng.choice([0.0, 1.0, g.rng.gauss(0, 1)]) for _ in range(outputs)])
    g.features, turned = outputs, g.rng.random() < 0.5
    held = g.array((weight.T if turned else weight).astype(g.dtype))
    shape = g.rng.choice([(outputs,), (1, outputs)])
    added = g.array(bias.reshape(shape).astype(g.dtype))
    if len(g.shape) > 2 or g.rng.random() < 0.4:
        product = g.add("MatMul", x, g.add("Transpose", held, perm=[1, 0]) if turned else held)
        return product if g.rng.random() < 0.3 else g.add("Add", *g.either(product, added))
    inputs = g.rng.choice([[], [""], [added]]) if g.opset >= 11 else [added]
    attributes = {name: value for name, value in (("alpha", 0.5), ("beta", 2.0)) if g.rng.random() < 0.3}
    return g.add("Gemm", x, held, *inputs, **attributes, **({"transB": 1} if turned else {}))


def along(g: Graph, x: str) -> str:
    axis = g.rng.choice([{}, {"axis": -1}, {"axis": 1}, {"axis": len(g.shape) - 1}])
    return g.add(g.rng.choice(["Softmax", "LogSoftmax"]), x, **axis)


def harmless(g: Graph, x: str) -> str:
    kind = DOUBLE if g.double else FLOAT
    ways: list[Callable[[], str]] = [lambda: g.add("Identity", x), lambda: g.add("Cast", x, to=kind)]
    ways += [lambda: g.add("Flatten", x), lambda: g.add("Flatten", x, axis=g.rng.choice([0, 1, 2]))]
    ways.append(
        lambda: g.add("Reshape", x, g.array(np.array(g.rng.choice([[0, -1], [-1, g.features], [0, 3], [3, -1]]))))
    )
    if g.opset < 12:
        ways.append(lambda: g.add("Dropout", x, ratio=0.3))
    else:
        rate, training = g.array(np.array(0.3, np.float32)), g.array(np.array(g.rng.random() < 0.1))
        ways.append(lambda: g.add("Dropout", x, *g.rng.choice([[], [rate], ["", training], [rate, training]])))
    return g.rng.choice(ways)()


def residual(g: Graph, x: str) -> str:
    features, y = g.features, x
    for _ in range(g.rng.randint(1, 2)):
        y = g.rng.choice([linear, unary, silu, clip, leaky, gelu, residual])(g, y)
    return g.add("Add", *g.either(x, y)) if g.features == features else y


PARTS: list[Callable[[Graph, str], str]] = [
    *(clip, clip, least_or_most, bounded, chosen, leaky, unary, unary, sigmoid, silu, softplus, tanh, softsign, elu),
    *(selu, gelu, gelu, there_and_back, mixed, linear, linear, along, harmless, residual),
]


def spoiled(g: Graph) -> None:
    """Give a node what its operator may not have in this opset."""
    node = g.rng.choice(g.nodes)
    match g.rng.randrange(4):
        case 0:
            name, value = g.rng.choice(
                [("alpha", 0.5), ("min", 0.0), ("max", 6.0), ("axis", 1), ("ratio", 0.5), ("odd", 1)]
            )
            if all(attribute.name != name for attribute in node.attribute):
                node.attribute.append(g.onnx.helper.make_attribute(name, value))
        case 1 if node.input:
            del node.input[-1]
        case 2 if node.input:
            node.input[g.rng.randrange(len(node.input))] = ""
        case 3:
            node.input.append(g.number())


def drawn(onnx: Any, rng: random.Random) -> tuple[Any, Numbers]:
    """Return a model, and an input for it."""
    g, value = Graph(onnx, rng), "x"
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
        value = rng.choice(PARTS)(g, value)
    if rng.random() < 0.08:
        spoiled(g)
    points = np.array(list(_points(g, rng)), g.dtype)
    points = points[np.abs(points) < 1e37]  # a bound near the largest number of all counts as none
    sample = [size for size in g.shape if size != "batch"]
    return g.proto(value), np.resize(points, (-(-len(points) // np.prod(sample)), *sample))


def _points(g: Graph, rng: random.Random) -> Iterator[Any]:
    numbers = [*g.numbers, *(a.f for node in g.nodes for a in node.attribute if a.type == a.FLOAT)]
    with np.errstate(all="ignore"):
        for each in numbers:
            c = g.dtype(each)
            for at in (c, -c):
                yield from (at, np.nextafter(at, g.dtype(-np.inf)), np.nextafter(at, g.dtype(np.inf)), at + at, at / 2)
                yield from (at * g.dtype(1.001), at * g.dtype(0.999), at + g.dtype(1e-3), at - g.dtype(1e-3))
    for size in (0.0, 1e-30, 1e-6, 0.05, 0.3, 0.7, 1.3, 2.1, 5.0, 11.0, 17.0, 30.0, 59.0, 61.0, 90.0, 1e3, 1e6, 1e30):
        yield from (size, -size)
    for _ in range(30):
        yield rng.gauss(0, 3)


# ---- one graph


def outcome(onnx: Any, runtime: Any, proto: Any, x: Numbers, path: Path) -> str:
    """Return "loaded", "refused", or "not run" where onnxruntime refuses it; anything else is what went wrong."""
    path.write_bytes(proto.SerializeToString())
    try:
        model: Sequential | None = load(path)
    except ValueError as error:
        model = None
        if str(path) not in str(error):
            return f"the error does not name the file: {error!r}"
    except Exception as error:
        return f"{error!r}"
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        _check(onnx, proto)
        shown = _with_powers_shown(onnx, proto)
        session = runtime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
        wanted, *powers = session.run(None, {"x": x})
    except Exception:  # each has classes of its own for many mistakes
        return "not run"
    return "refused" if model is None else _compared(model, x, wanted, powers)


def _check(onnx: Any, proto: Any) -> None:
    """Have onnx refuse what is against its rules, on which onnxruntime may crash."""
    shaped = onnx.ModelProto()
    shaped.CopyFrom(proto)
    shaped.graph.output[0].type.tensor_type.shape.dim.add().dim_param = "any"  # a check that it must have a shape
    onnx.checker.check_model(shaped)
    for node in proto.graph.node:  # which onnx allows
        if node.op_type in ("Min", "Max") and not all(node.input):
            raise ValueError(f"{node.op_type} without an input")


def _with_powers_shown(onnx: Any, proto: Any) -> Any:
    """Return a model that gives the results of Exp too, where Log follows: log(1 + exp(a)) overflows, Softplus not."""
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    if any(node.op_type == "Log" for node in proto.graph.node):
        names = [node.output[0] for node in proto.graph.node if node.op_type == "Exp"]
        kind = proto.graph.input[0].type.tensor_type.elem_type
        shown.graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, None) for name in names)
    return shown


def _compared(model: Sequential, x: Numbers, wanted: Numbers, powers: list[Numbers]) -> str:
    found, size = x, np.abs(x).max(axis=tuple(range(1, x.ndim)), initial=0.0)
    with np.errstate(all="ignore"):
        for layer in model:
            found = layer.forward(found.astype(model.dtype))[0]
            size = np.maximum(size, np.abs(found).max(axis=tuple(range(1, found.ndim)), initial=0.0))
        if found.shape != wanted.shape:
            return f"{model!r} gives shape {found.shape}, not {wanted.shape}"
        sums = any(isinstance(layer, SUMS) for layer in model)
        room = 1e-5 * np.abs(wanted) + 1e-5 + (1e-5 * size if sums else 0 * size).reshape(-1, *[1] * (wanted.ndim - 1))
        right = (np.abs(found - wanted) <= room) | (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        right |= ~np.isfinite(wanted) & (room > 1e32)
    for each in powers:
        if each.shape[:1] == x.shape[:1]:
            right[np.isinf(each).any(axis=tuple(range(1, each.ndim)))] = True
    if right.all():
        return "loaded"
    place = tuple(np.argwhere(~right)[0])
    return f"{model!r} gives {found[place]} at {x[place[0]]}, onnxruntime gives {wanted[place]}"


def run(count: int, seed: str) -> tuple[Counter[str], list[str]]:
    """Draw graphs until count of them were run; return how many were loaded and refused, and what went wrong."""
    import onnx
    import onnxruntime

    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while counts["loaded"] + counts["refused"] + len(wrong) < count:
            rng = random.Random(f"{seed} {number}")
            proto, x = drawn(onnx, rng)
            result = outcome(onnx, onnxruntime, proto, x, Path(folder) / "drawn.onnx")
            if result in ("loaded", "refused", "not run"):
                counts[result] += 1
            else:
                wrong.append(f"seed {seed!r}, graph {number}: {result}\n{onnx.printer.to_text(proto)}")
            number += 1
            if counts["not run"] > max(100, 2 * number // 3):
                raise AssertionError(f"seed {seed!r}: onnxruntime runs too few of these graphs: {dict(counts)}")
    return counts, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    counts, wrong = run(options.count, options.seed)
    for each in wrong[:20]:
        print(each, end="\n\n")
    print(f"seed {options.seed}: {counts['loaded']} loaded, {counts['refused']} refused, {len(wrong)} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
