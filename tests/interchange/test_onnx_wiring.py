"""Any wiring: Composites and layers side by side run elsewhere, and a graph that is no chain is loaded as a Wired."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    ELU,
    Add,
    BatchNorm,
    Composite,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    Flatten,
    Fork,
    Identity,
    Layer,
    Linear,
    MaxPool2d,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Shape,
    SiLU,
    Softmax,
    Tanh,
    Upsample,
    Wired,
    check_gradients,
    save,
)
from nanonet import load as load_npz
from nanonet.interchange.onnx import export, load
from tests.interchange.test_onnx import assert_close, node, numbers, onnx, run, torch_file, write
from tests.interchange.test_onnx_layers import check
from tests.storage.test_files import assert_refused

pytestmark = pytest.mark.peer


class Gated(Composite):
    """tanh(A x) * B x + x, cut in two and joined the other way round."""

    def __init__(self) -> None:
        self.input_shape = (4,)
        self.a, self.b = Linear(4, 4), [Linear(4, 4)]

    def wire(self, call: Any, x: Any) -> Any:
        gate = call(Tanh(), call(self.a, x))
        left, right = call.split(call.add(call.multiply(gate, call(self.b[0], x)), x, gate), 1, 3)
        return call.concatenate(right, left)


class Siamese(Composite):
    """One layer for two inputs, of which one is a sum of table rows; two outputs."""

    def __init__(self) -> None:
        self.input_shape, self.integer_input = ((2,), (3,)), (True, False)
        self.table, self.same, self.flat = Embedding(5, 3), Linear(3, 3), Sequential(Flatten(), Linear(6, 3), rng=1)

    def wire(self, call: Any, x: Any) -> Any:
        one, other = call(self.flat, call(self.table, x[0])), x[1]
        one, other = call(self.same, one), call(self.same, other)
        return call.multiply(one, other), call.add(one, other)


class UNet(Composite):
    def __init__(self) -> None:
        self.input_shape = (1, 8, 8)
        self.down = [Conv2d(1, 4, 3, padding=1), MaxPool2d(2), Conv2d(4, 8, 3, padding=1), BatchNorm(8), SiLU()]
        self.up, self.out = ConvTranspose2d(8, 4, 2, 2), Conv2d(8, 1, 1)

    def wire(self, call: Any, x: Any) -> Any:
        first = below = call(self.down[0], x)
        for layer in self.down[1:]:
            below = call(layer, below)
        return call(self.out, call.concatenate(first, call(self.up, below), axis=1))


class Unrolled(Composite):
    """A cell that is called three times."""

    def __init__(self) -> None:
        self.input_shape = (3,)
        self.cell = Sequential(Linear(3, 3), Tanh(), rng=2)

    def wire(self, call: Any, x: Any) -> Any:
        for _ in range(3):
            x = call(self.cell, x)
        return x


MODELS: list[tuple[Any, Any]] = [
    (lambda: [Gated()], (4,)),
    (lambda: [Linear(3, 4), Gated(), Linear(4, 2)], (3,)),
    (lambda: [Siamese()], ((2,), (3,))),
    (lambda: [UNet()], (1, 8, 8)),
    (lambda: [Unrolled()], (3,)),
    (lambda: [Fork(Linear(3, 2), Identity(), Sequential(Tanh(), Linear(3, 1), rng=3)), Concatenate()], (3,)),
    (lambda: [Fork(Tanh(), Linear(3, 3), Identity()), Add()], (3,)),
    (lambda: [Parallel(Embedding(5, 3), Linear(2, 3)), Add(), Softmax()], ((), (2,))),
    (lambda: [Parallel(Identity(), Tanh()), Parallel(Identity(), Identity())], ((2,), (2,))),
    (lambda: [Residual(Gated()), Residual(Fork1())], (4,)),
]


class Fork1(Composite):
    """x, from branches that join once in between."""

    def __init__(self) -> None:
        self.a, self.b, self.c = Linear(4, 4), ELU(), Linear(4, 4)

    def wire(self, call: Any, x: Any) -> Any:
        y = call.add(call(self.a, x), call(self.b, x))
        return call.multiply(call(self.c, y), call(self.b, y))


def arrays(model: Sequential, shape: Any) -> Any:
    """Return inputs of a shape, integers where the model takes them."""
    several = isinstance(shape[0], tuple) if shape else False
    whole = model.integer_input if isinstance(model.integer_input, tuple) else (bool(model.integer_input),) * 9
    rng = np.random.default_rng(0)
    found = []
    for part, integer in zip(shape if several else (shape,), whole, strict=False):
        found.append(rng.integers(5, size=(4, *part)) if integer else rng.normal(size=(4, *part)).astype(model.dtype))
    return tuple(found) if several else found[0]


@pytest.mark.parametrize(("layers", "shape"), MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_wiring_runs_elsewhere_and_comes_back(layers: Any, shape: Any, dtype: Any, tmp_path: Path) -> None:
    model = Sequential(*layers(), dtype=dtype, rng=0)
    x = arrays(model, shape)
    again = check(model, shape, x, tmp_path / "net.onnx", 1e-5 if dtype == np.float32 else 1e-7)
    save(again, tmp_path / "net.npz")
    copy = load_npz(tmp_path / "net.npz")
    np.testing.assert_equal(copy(x), again(x))
    np.testing.assert_equal(pickle.loads(pickle.dumps(again))(x), again(x))


def test_inputs_and_outputs_are_declared_with_their_types(tmp_path: Path) -> None:
    export(Sequential(Siamese(), rng=0), tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    found = {
        value.name: (value.type.tensor_type.elem_type, [d.dim_value for d in value.type.tensor_type.shape.dim][1:])
        for value in (*graph.input, *graph.output)
    }
    single, integer = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    assert found == {"x0": (integer, [2]), "x1": (single, [3]), "y0": (single, [3]), "y1": (single, [3])}
    with pytest.raises(ValueError, match=r"expected input_shape as a tuple of shapes, \(\(3,\), \(5,\)\), since"):
        export(Sequential(Add()), tmp_path / "net.onnx", input_shape=(3,))
    with pytest.raises(ValueError, match="expected input_shape as one, got"):
        export(Sequential(Tanh()), tmp_path / "net.onnx", input_shape=((3,),))


def test_a_layer_that_is_called_twice_has_one_constant(tmp_path: Path) -> None:
    export(Sequential(Unrolled(), rng=0), tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    assert [tensor.name for tensor in graph.initializer] == ["0.cell.0.weight", "0.cell.0.bias"]
    assert [each.op_type for each in graph.node] == ["Gemm", "Tanh"] * 3


def test_a_wire_that_computes_is_refused(tmp_path: Path) -> None:
    class Computes(Composite):
        def output_shape(self, input_shape: Any) -> Any:
            return input_shape

        def wire(self, call: Any, x: Any) -> Any:
            return "x"

    with pytest.raises(Exception, match="wire may only pass values on, got str"):
        export(Sequential(Computes()), tmp_path / "net.onnx", input_shape=(3,))


# ---- what a graph becomes


@pytest.mark.parametrize(
    ("layers", "shape", "found"),
    [
        (lambda: [Residual(Linear(4, 4)), ReLU(), Gated()], (4,), [Residual, ReLU, Wired, Wired]),
        (lambda: [Tanh(), Fork(SiLU(), Identity()), Concatenate(), Linear(8, 1)], (4,), [Tanh, Wired, Linear]),
        (lambda: [UNet(), Upsample(2)], (1, 8, 8), [Conv2d, Wired, Conv2d, Upsample]),
        (lambda: [Unrolled()], (3,), [Linear, Tanh, Linear, Tanh, Linear, Tanh]),
    ],
)
def test_only_what_is_no_chain_becomes_a_wired(
    layers: Any, shape: Shape, found: list[type[Layer]], tmp_path: Path
) -> None:
    export(Sequential(*layers(), rng=0), tmp_path / "net.onnx", input_shape=shape)
    assert [type(layer) for layer in load(tmp_path / "net.onnx")] == found


def test_what_is_loaded_can_be_trained(tmp_path: Path) -> None:
    export(Sequential(Linear(3, 4), Gated(), rng=0), tmp_path / "net.onnx")
    check_gradients(load(tmp_path / "net.onnx"), (3,))


T = np.arange(1.0, 7.0, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize(
    ("nodes", "opset", "wired"),
    [
        ([node("Mul", "x", "x")], 17, "Wired([], [('multiply', (0, 0))], 1"),
        ([node("Tanh", "x", to="a"), node("Mul", "x", "a")], 17, "Wired([Tanh()], [(0, 0), ('multiply', (0, 1))], 2"),
        (
            [node("MatMul", "x", "t", to="m"), node("MatMul", "x", "t", to="n"), node("Add", "m", "n")],
            17,
            "Wired([Linear(3, 2, bias=False), Linear(3, 2, bias=False)], [(0, 0), (1, 0), ('add', (1, 2))], 3",
        ),
        ([node("Concat", "x", "x", axis=1)], 17, "Wired([], [('concatenate', (0, 0), 1)], 1"),
        ([node("Concat", "x", "x", axis=-1)], 17, "Wired([], [('concatenate', (0, 0), 1)], 1"),
        ([node("Sum", "x", "x", "x")], 17, "Wired([], [('add', (0, 0, 0))], 1"),
        ([node("Softsign", "x", to="s"), node("Tanh", "s", to="a"), node("Mul", "x", "a")], 17, "[Softsign(), Tanh()]"),
        ([node("Slice", "x", "one", "end", "one")], 17, "Wired([], [('split', 0, (1, 2), 1)], 2"),
        ([node("Slice", "x", axes=[1], starts=[0], ends=[-2])], 9, "Wired([], [('split', 0, (1, 2), 1)], 1"),
        ([node("Slice", "x", axes=[1], starts=[1], ends=[2])], 9, "Wired([], [('split', 0, (1, 1, 1), 1)], 2"),
        (
            [
                onnx.helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
                *(node("Tanh", "b", to="c"), node("Concat", "c", "a", axis=1)),
            ],
            17,
            "Wired([Tanh()], [('split', 0, (2, 1), 1), (0, 2), ('concatenate', (3, 1), 1)], 4",
        ),
        (
            [  # an activation that is written out, beside another use of its input
                *(node("MatMul", "x", "t", to="m"), node("Sigmoid", "x", to="s"), node("Mul", "s", "x", to="g")),
                *(node("MatMul", "g", "t", to="n"), node("Mul", "m", "n")),
            ],
            17,
            "[SiLU(), Linear(3, 2, bias=False), Linear(3, 2, bias=False)]",
        ),
    ],
    ids=str,
)
def test_branches_are_read_as_they_are(nodes: list[Any], opset: int, wired: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {"t": T, "one": np.array([1]), "end": np.array([10**9]), "sizes": np.array([2, 1])}
    path = write(tmp_path / "net.onnx", nodes, opset=opset, **constants)
    model, x = load(path), numbers(4, 3)
    assert wired in repr(model)
    assert_close(run(path, x), model(x))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Tanh", "x", to="a"), node("Div", "x", "a")], "operators Tanh, Div after x: no activation"),
        ([node("Sub", "x", "x", to="a"), node("Div", "a", "row")], "operators Sub, Div after x|operator Div"),
        (
            [node("MatMul", "x", "t", to="m"), node("Tanh", "x", to="a"), node("Add", "m", "a")],
            r"operator Add, y: expected values of one shape, got \(2,\) and \(3,\)",
        ),
        ([node("MatMul", "x", "col", to="m"), node("Mul", "m", "x")], r"one shape, got \(1,\) and \(3,\)"),
        ([node("Tanh", "x", to="a"), node("Concat", "x", "a", axis=0)], "operator Concat, y: is along axis 0"),
        (
            [node("Tanh", "x", to="a"), node("Concat", "x", "a", "row", axis=1)],
            "operators Tanh, Concat after x: no activation",
        ),
        ([node("Tanh", "x", to="a"), node("ThresholdedRelu", "a", to="b"), node("Mul", "x", "b")], "ThresholdedRelu"),
        ([onnx.helper.make_node("Split", ["x"], ["y", "z"], axis=1)], "2 constant sizes that add up to 3, got None"),
        ([onnx.helper.make_node("Split", ["x", "sizes"], ["y", "z"], axis=0)], "operator Split, y, z: is along axis 0"),
        ([node("Slice", "x", "one", "end", "one", "two")], "by steps of 1"),
        ([node("Slice", "x", "two", "one", "one")], "operator Slice, y: is empty"),
        ([node("Slice", "x", "one", "end", "zero")], "operator Slice, y: is along axis 0"),
    ],
    ids=str,
)
def test_branches_that_no_wiring_joins_are_refused(nodes: list[Any], message: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {
        "t": T,
        "one": np.array([1]),
        "two": np.array([2]),
        "zero": np.array([0]),
        "end": np.array([9]),
    }
    constants |= {"sizes": np.array([2, 1]), "col": T[:, :1], "row": T.T[:1]}
    assert_refused(write(tmp_path / "net.onnx", nodes, **constants), message, load)


def test_several_outputs_are_loaded_or_one_of_them(tmp_path: Path) -> None:
    nodes = [node("Tanh", "x", to="a"), node("Sigmoid", "x", to="s"), node("Mul", "s", "x")]
    path = write(tmp_path / "net.onnx", nodes, outputs=["a", "s", "y", "x"])
    x = numbers(4, 3)
    model = load(path)
    for found, name in zip(model(x), ("a", "s", "y"), strict=False):
        assert_close(run(path, x, name), found)
    np.testing.assert_array_equal(model(x)[3], x)
    assert [repr(layer) for layer in load(path, output="y")] == ["SiLU()"]
    assert repr(load(path)[0]).startswith("Wired([Tanh(), Sigmoid()]")  # what is an output is not taken into SiLU


def test_an_input_that_nothing_uses_is_an_input_but_not_of_an_output_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("Tanh", "x")])
    proto = onnx.load(path)
    proto.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 2]))
    path.write_bytes(proto.SerializeToString())
    x = numbers(4, 3)
    assert_close(np.tanh(x), load(path)((x, numbers(4, 2))))
    assert [repr(layer) for layer in load(path, output="y")] == ["Tanh()"]


def test_a_value_with_many_branches_is_read_in_short_time(tmp_path: Path) -> None:
    count = 3000
    nodes = [node("Tanh" if i % 2 else "Sigmoid", "x", to=f"v{i}") for i in range(count)]
    path = write(tmp_path / "net.onnx", [*nodes, node("Sum", *(f"v{i}" for i in range(count)))])
    x = numbers(2, 3)
    np.testing.assert_allclose(load(path)(x), run(path, x), rtol=1e-4)


@pytest.mark.parametrize(("dynamo", "opset"), [(False, 17), pytest.param(True, 18, marks=pytest.mark.slow)])
def test_a_residual_net_comes_from_pytorchs_exporters(dynamo: bool, opset: int, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

    def layers(nn: Any) -> list[Any]:
        class Block(nn.Module):  # type: ignore[misc]  # PyTorch may be missing
            def __init__(self, channels: int, outputs: int) -> None:
                super().__init__()
                self.a = nn.Sequential(nn.Conv2d(channels, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.SiLU())
                self.b = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs))
                self.skip = nn.Conv2d(channels, outputs, 1) if channels != outputs else nn.Identity()

            def forward(self, x: Any) -> Any:
                return torch.relu(self.b(self.a(x)) + self.skip(x))

        return [Block(2, 2), Block(2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)]

    path = tmp_path / "net.onnx"
    torch_file(path, layers, (2, 6, 6), dynamo, opset)
    model, x = load(path), numbers(3, 2, 6, 6)
    assert_close(run(path, x), model(x))
    names = [type(layer).__name__ for layer in model]
    assert names == ["Residual", "ReLU", "Wired", "ReLU", "AdaptiveAvgPool2d", "Flatten", "Linear"]
