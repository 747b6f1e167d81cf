"""Pieces of ONNX graphs, drawn at random, of which tests.onnx_graphs puts graphs together."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
FLOAT, DOUBLE = 1, 11  # ONNX's element types

NUMBERS = [0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 3.0, 6.0, -0.5, 0.1, 60.0, -60.0, 1e-3, 1e3, -1e3, 0.01, 1e-8, 20.0, 55.5]
BOUNDS = [*NUMBERS, 3.4028234663852886e38, -3.4028234663852886e38, float("inf"), float("-inf")]
TRICKS = [*[1.0] * 7, 1.001, 0.99, 1.00001, 1.5, -1.0, 0.0]  # what a right number is multiplied by


class Graph:
    """A graph that grows node by node, from x."""

    def __init__(self, onnx: Any, rng: random.Random) -> None:
        self.onnx, self.rng = onnx, rng
        self.opset = rng.choice([9, 10, 11, 12, 13, 14, 15, 16, 17, 17, 18, 19, 20, 21])
        self.double = rng.random() < 0.1
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.numbers: list[float] = []
        self.shape: list[Any] = rng.choice([["batch", 3]] * 6 + [["batch", 2, 3]] + [["batch", 2, 4, 3]] * 3)
        self.features = 3
        self.images = len(self.shape) == 4

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


def branches(g: Graph, x: str) -> str:
    """Do two or three things to a value, and join them in any way."""
    ways: list[Callable[[Graph, str], str]] = [
        unary,
        silu,
        clip,
        leaky,
        there_and_back,
        lambda g, x: x,
        gelu,
        branches,
        scaled,
    ]
    values: list[str] = [g.rng.choice(ways)(g, x) for _ in range(g.rng.randint(2, 3))]
    operator: str = g.rng.choice(["Add", "Mul", "Concat", "Sum", "Sub", "Max"])
    if operator in ("Concat", "Sum", "Max"):
        axis = {"axis": g.rng.choice([1, -1, 0, len(g.shape) - 1])} if operator == "Concat" else {}
        return g.add(operator, *values, **axis)
    y = values[0]
    for other in values[1:]:
        y = g.add(operator, *g.either(y, other))
    return y


def cut(g: Graph, x: str) -> str:
    """Cut a value in two, and join the pieces the other way round, or use one of them."""
    axis, length = len(g.shape) - 1, g.rng.choice([3, 3, 3, 4])
    if g.rng.random() < 0.5 and g.opset >= 10:
        start, end = g.rng.choice([(0, 1), (0, -1), (1, 9), (1, 2), (0, 9)])
        bounds = [g.array(np.array([n])) for n in (start, end, axis, g.rng.choice([1, 1, 1, 2, -1]))]
        g.features = 0
        return g.add("Slice", x, *bounds)
    sizes = g.rng.choice([[1, length - 1], [2, length - 2]])
    if g.opset < 13:
        first = g.add("Split", x, axis=axis, split=sizes)
    else:
        first = g.add("Split", x, g.array(np.array(sizes)), axis=axis)
    g.nodes[-1].output.append(f"{first}_1")
    return g.add("Concat", *g.either(first, f"{first}_1", first)[: g.rng.choice([2, 3])], axis=axis)


def scaled(g: Graph, x: str) -> str:
    """Subtract and divide by arrays, some of which are too large."""
    shape = g.rng.choice([(3,), (1,), (1, 3), (2, 1), (2, 3), (1, 1, 3), ()])
    arrays = [
        g.array(np.array([g.rng.choice([1.0, 2.0, -3.0]) for _ in range(int(np.prod(shape)))], g.dtype).reshape(shape))
        for _ in "ab"
    ]
    y = g.add(g.rng.choice(["Sub", "Sub", "Mul", "Add"]), x, arrays[0])
    return g.add("Div", y, arrays[1]) if g.rng.random() < 0.7 else y


def norm(g: Graph, x: str) -> str:
    """Normalize, in one operator or in several, one of which is sometimes another."""
    axes = g.rng.choice([[-1], [-1], [len(g.shape) - 1], [1], [1, 2]])
    if g.rng.random() < 0.3 and g.opset >= 17:
        scale = g.array(np.array([1.0, 2.0, -1.0], g.dtype))
        return g.add("LayerNormalization", x, scale, *g.rng.choice([[], [scale]]), axis=g.rng.choice([-1, -1, 1, 0]))
    c = x
    if g.rng.random() < 0.6:
        c = (
            g.add("Sub", *g.either(x, _mean(g, x, axes)))
            if g.rng.random() < 0.2
            else g.add("Sub", x, _mean(g, x, axes))
        )
    square = g.add("Mul", c, c) if g.rng.random() < 0.5 else g.add("Pow", c, g.near(2.0))
    root = g.add("Sqrt", g.add("Add", _mean(g, square, axes), g.constant(g.rng.choice([1e-5, 1e-3, 1.0]))))
    y = g.add("Div", c, root) if g.rng.random() < 0.6 else g.add("Mul", c, g.add("Reciprocal", root))
    for operator in ("Mul", "Add"):
        if g.rng.random() < 0.4:
            y = g.add(
                operator, y, g.array(np.array([1.5, 2.0, -1.0], g.dtype).reshape(g.rng.choice([(3,), (1, 3), (3, 1)])))
            )
    return y


def _mean(g: Graph, x: str, axes: list[int]) -> str:
    if g.opset >= 18:
        return g.add("ReduceMean", x, g.array(np.array(axes)), keepdims=g.rng.choice([1] * 9 + [0]))
    return g.add("ReduceMean", x, axes=axes, keepdims=g.rng.choice([1] * 9 + [0]))


def image(g: Graph, x: str) -> str:
    """Do what layers for images do, with any settings; on rows it is no graph that runs."""
    if not g.images:
        return scaled(g, x)
    pads = {"pads": g.rng.choice([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1], [1, 0, 0, 0], [0, 1, 1, 2]])}
    where: dict[str, Any] = g.rng.choice([{}, pads, pads, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}])
    kernel = {"kernel_shape": g.rng.choice([[2, 2], [1, 2], [3, 1], [2, 3]])}
    steps: dict[str, Any] = g.rng.choice([{}, {"strides": [2, 1]}, {"strides": [2, 2]}, {"strides": [1, 1]}])
    match g.rng.randrange(9):
        case 0 | 1:
            group = g.rng.choice([1, 2])
            shape = (g.rng.choice([2, 4]), 2 // group, *kernel["kernel_shape"])
            weight = np.reshape([g.rng.gauss(0, 1) for _ in range(int(np.prod(shape)))], shape)
            return g.add("Conv", x, g.array(weight.astype(g.dtype)), **where, **steps, group=group)
        case 2:
            weight = np.reshape([g.rng.gauss(0, 1) for _ in range(2 * 3 * 4)], (2, 3, 2, 2))
            more = g.rng.choice([{}, {"output_padding": [1, 0]}, {"output_padding": [0, 0]}])
            return g.add("ConvTranspose", x, g.array(weight.astype(g.dtype)), **where, **steps, **more)
        case 3:
            ceil = {"ceil_mode": g.rng.choice([0, 1])} if g.opset >= 10 else {}
            return g.add("MaxPool", x, **kernel, **where, **steps, **ceil)
        case 4:
            counts = {"count_include_pad": g.rng.choice([0, 1])}
            return g.add("AveragePool", x, **kernel, **where, **steps, **counts)
        case 5:
            return (
                g.add("GlobalAveragePool", x)
                if g.rng.random() < 0.5
                else _mean(g, x, g.rng.choice([[2, 3], [-1, -2], [1, 2, 3]]))
            )
        case 6 if g.opset >= 11:
            sizes = g.array(
                np.array(g.rng.choice([[1, 1, 2, 2], [1, 1, 3, 1], [1, 1, 0.5, 1], [1, 1, 1.5, 2]]), np.float32)
            )
            places = g.rng.choice(["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"])
            how = {"mode": g.rng.choice(["nearest", "nearest", "linear"]), "coordinate_transformation_mode": places}
            how["nearest_mode"] = g.rng.choice(["floor", "floor", "round_prefer_floor", "round_prefer_ceil", "ceil"])
            return g.add("Resize", x, "", sizes, **how)
        case 7 if g.opset >= 11:
            ends = g.array(
                np.array(g.rng.choice([[0, 0, 1, 2, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0]]))
            )
            return g.add("Pad", x, ends, **g.rng.choice([{}, {}, {"mode": "reflect"}]))
        case 8:
            four = [g.array(np.array([1.0, 2.0], g.dtype)) for _ in range(4)]
            return g.add("BatchNormalization", x, *four, **g.rng.choice([{}, {"epsilon": 0.1}]))
    return g.add("Transpose", x, perm=g.rng.choice([[0, 1, 3, 2], [0, 2, 3, 1], [1, 0, 2, 3]]))


PARTS: list[Callable[[Graph, str], str]] = [
    *(branches, branches, branches, cut, scaled, norm, norm, image, image, image),
    *(clip, clip, least_or_most, bounded, chosen, leaky, unary, unary, sigmoid, silu, softplus, tanh, softsign, elu),
    *(selu, gelu, gelu, there_and_back, mixed, linear, linear, along, harmless, residual),
]
