"""ONNX: files that other runtimes run as nanonet does, chains from the files of others, and a name for what is none."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    GELU,
    Array,
    BatchNorm,
    Flatten,
    Identity,
    Linear,
    Normal,
    ReLU,
    Residual,
    Sequential,
    ShapeError,
    SiLU,
    Softmax,
    Tanh,
)
from nanonet.interchange.onnx import export, load
from tests.helpers import Scale, picture
from tests.storage.test_files import PLAIN, Peak, assert_refused, nets, read_or_refused

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed")

pytestmark = pytest.mark.peer
helper: Any = onnx.helper


def run(path: Path | str, x: npt.NDArray[Any], output: str | None = None) -> Any:
    """Return what onnxruntime makes of an input."""
    runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None if output is None else [output], {session.get_inputs()[0].name: x})[0]


def assert_close(found: Any, wanted: Array) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def numbers(*shape: int, dtype: Any = np.float32) -> Array:
    return np.random.default_rng(0).normal(0, 2, size=shape).astype(dtype)


# ---- our own files


@given(nets())
def test_a_drawn_net_runs_elsewhere_and_comes_back(net: tuple[Sequential, Array]) -> None:
    model, x = net
    before = picture(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export(model, path, input_shape=x.shape[1:])
        onnx.checker.check_model(str(path), full_check=True)
        assert_close(run(path, x), model(x))
        again = load(path)
    assert again.dtype == model.dtype
    np.testing.assert_allclose(again(x), model(x), rtol=1e-5, atol=1e-6)
    assert picture(model) == before


@pytest.mark.parametrize("make", PLAIN, ids=lambda make: repr(make()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (5, 3)], ids=str)
def test_every_layer_comes_back_with_its_settings(
    make: Callable[[], Any], dtype: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    model = Sequential(Linear(3, 4), make(), dtype=dtype, rng=0)
    export(model, tmp_path / "net.onnx", input_shape=shape)
    assert repr(load(tmp_path / "net.onnx")) == repr(model)
    x = numbers(7, *shape, dtype=dtype)
    assert_close(run(tmp_path / "net.onnx", 5 * x), model(5 * x))


def test_a_file_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    export(Sequential(Linear(3, 4), Tanh(), Linear(4, 2, bias=False)), tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx")
    assert (proto.ir_version, proto.opset_import[0].version, proto.producer_name) == (8, 17, "nanonet")
    shapes = {}
    for value in (*proto.graph.input, *proto.graph.output):
        shapes[value.name] = [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
    assert shapes == {"x": ["batch", 3], "y": ["batch", 2]}
    weights = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert weights == {"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4)}
    assert [node.op_type for node in proto.graph.node] == ["Gemm", "Tanh", "Gemm"]


def test_residual_layers_come_back(tmp_path: Path) -> None:
    inner = Sequential(Tanh(), Residual(Linear(3, 3)), SiLU(), rng=1)
    empty = Residual(Sequential())
    model = Sequential(empty, Residual(inner), Residual(GELU()), Residual(Tanh()), Linear(3, 2), rng=0)
    export(model, tmp_path / "net.onnx", input_shape=(3,))
    again = load(tmp_path / "net.onnx")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again(numbers(5, 3)), model(numbers(5, 3)))


def test_the_empty_chain_comes_back_as_identity(tmp_path: Path) -> None:
    export(Sequential(), tmp_path / "net.onnx", input_shape=(3,))
    assert_close(run(tmp_path / "net.onnx", numbers(2, 3)), numbers(2, 3))
    assert repr(load(tmp_path / "net.onnx")[0]) == "Identity()"


def test_what_export_cannot_take_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(TypeError, match=r"export: layer 1\.0, Scale\(2\): no ONNX form is known for it"):
        export(Sequential(Linear(2, 2), Sequential(Scale(2))), path)
    with pytest.raises(
        ValueError, match=r"does not determine its input shape; write export\(model, path, input_shape=\(3,\)\)"
    ):
        export(Sequential(Flatten(), Linear(4, 2)), path)
    with pytest.raises(ValueError, match="does not determine its input shape"):
        export(Sequential(BatchNorm(3)), path)  # it takes rows and images
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, 2\)"):
        export(Sequential(Linear(2, 2)), path, input_shape=(3,))
    with pytest.raises(TypeError, match=r"export: expected a Sequential, got Linear\(2, 2\)"):
        export(Linear(2, 2), path)  # type: ignore[arg-type]  # that is the mistake
    for call in (lambda name: export(Sequential(), name), load):
        with pytest.raises(ValueError, match=r"expected a path that ends in \.onnx, got 'net\.npz'"):
            call("net.npz")
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (lambda path: export(Sequential(), path), load):
        with pytest.raises(ImportError, match=r"needs onnx: pip install 'nanonet\[onnx\]'"):
            call(tmp_path / "net.onnx")


# ---- PyTorch's files


def torch_file(path: Path, layers: Callable[[Any], list[Any]], shape: tuple[int, ...], dynamo: bool, opset: int) -> Any:
    """Write a module as PyTorch's exporters do, and return it."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    module = torch.nn.Sequential(*layers(torch.nn)).eval()
    names = {"input_names": ["input"], "dynamic_axes": {"input": {0: "batch"}}}
    more: dict[str, Any] = {"dynamic_shapes": {"input": {0: "batch"}}, "verbose": False} if dynamo else names
    if dynamo:
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters use what PyTorch itself has deprecated
        torch.onnx.export(module, (torch.zeros(5, *shape),), str(path), dynamo=dynamo, opset_version=opset, **more)
    return module


ACTIVATIONS: list[Callable[[Any], Any]] = [
    *(lambda nn: nn.Sigmoid(), lambda nn: nn.Tanh(), lambda nn: nn.ReLU(), lambda nn: nn.LeakyReLU(0.2)),
    *(lambda nn: nn.ELU(0.5), lambda nn: nn.SELU(), lambda nn: nn.SiLU(), lambda nn: nn.GELU(approximate="tanh")),
    *(lambda nn: nn.GELU(), lambda nn: nn.ReLU6(), lambda nn: nn.Hardtanh(-0.5, 2.0)),
    lambda nn: nn.Softplus(beta=3, threshold=10),
    *(lambda nn: nn.Softplus(), lambda nn: nn.Softsign(), lambda nn: nn.Softmax(dim=-1), lambda nn: nn.Softmax(dim=1)),
    *(lambda nn: nn.LogSoftmax(dim=-1), lambda nn: nn.Dropout(0.3), lambda nn: nn.Identity(), lambda nn: nn.Flatten()),
]


@pytest.mark.parametrize(
    ("dynamo", "opset"),
    [
        *[(False, opset) for opset in (10, 13, 17, 20)],
        *[pytest.param(True, opset, marks=pytest.mark.slow) for opset in (18, 20)],
    ],
)
def test_every_activation_comes_from_pytorchs_exporters(dynamo: bool, opset: int, tmp_path: Path) -> None:
    for i, activation in enumerate(ACTIVATIONS):
        path = tmp_path / f"{i}.onnx"

        def layers(nn: Any, activation: Callable[[Any], Any] = activation) -> list[Any]:
            return [nn.Linear(3, 4), activation(nn), nn.Linear(4, 2, bias=False)]

        module = torch_file(path, layers, (3,), dynamo, opset)
        model, x = load(path), numbers(7, 3)
        assert_close(model(x), run(path, x))
        np.testing.assert_array_equal(model.state_dict()["0.weight"], module[0].weight.detach().numpy())
        nothing = ("Identity", "Flatten", "Dropout")  # which exporters leave out, or may
        found = [type(layer).__name__ for layer in model if type(layer).__name__ not in nothing]
        named = {"ReLU6": "Clip", "Hardtanh": "Clip"}
        assert found == [
            named.get(name, name) for name in (type(each).__name__ for each in module) if name not in nothing
        ]


@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_images_and_sequences_come_from_pytorchs_exporters(dynamo: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    torch_file(path, lambda nn: [nn.Flatten(), nn.Linear(784, 300), nn.Softmax(dim=1)], (1, 28, 28), dynamo, 18)
    assert (tmp_path / "net.onnx.data").exists() == dynamo  # the weights stand in a file of their own
    model, x = load(path), numbers(3, 1, 28, 28)
    assert [repr(layer) for layer in model] == ["Flatten()", "Linear(784, 300)", "Softmax()"]
    assert_close(model(x), run(path, x))
    torch_file(path, lambda nn: [nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2, bias=False)], (6, 3), dynamo, 18)
    model, x = load(path), numbers(4, 6, 3)
    assert [repr(layer) for layer in model] == ["Linear(3, 4)", "SiLU()", "Linear(4, 2, bias=False)"]
    assert_close(model(x), run(path, x))


@pytest.mark.parametrize(
    ("layers", "shape", "operator"),
    [
        (lambda nn: [nn.Conv3d(1, 1, 3)], (1, 5, 5, 5), "Conv, .*3 spatial axes"),
        (lambda nn: [nn.LPPool2d(2, 2)], (1, 4, 4), "Pow|LpPool"),
        (lambda nn: [nn.Linear(2, 2), nn.Tanhshrink()], (2,), "Tanh, Sub"),
        (lambda nn: [nn.Flatten(2)], (2, 3, 4), "Reshape|Shape"),
        (lambda nn: [nn.Softmax(dim=1)], (2, 3), "Softmax|Transpose"),
    ],
)
def test_an_operator_that_is_no_layer_is_named(
    layers: Callable[[Any], list[Any]], shape: tuple[int, ...], operator: str, tmp_path: Path
) -> None:
    torch_file(tmp_path / "net.onnx", layers, shape, False, 20)
    assert_refused(tmp_path / "net.onnx", rf"operators? .*({operator})", load)


# ---- scikit-learn's files


def sklearn_file(
    path: Path, kind: str, classes: int = 0, outputs: int = 1, dtype: Any = np.float32, **settings: Any
) -> Any:
    """Write a net as skl2onnx does, and return it."""
    networks: Any = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed")
    convert: Any = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    x = numbers(60, 3, dtype=dtype)
    target = np.arange(60) % classes if classes else (x @ np.ones((3, outputs))).squeeze()
    net = getattr(networks, kind)(hidden_layer_sizes=(5, 4), max_iter=3, random_state=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # three epochs are not enough
        net.fit(x, target)
    options = {id(net): {"zipmap": False}} if classes else None
    path.write_bytes(convert.to_onnx(net, x[:1], options=options).SerializeToString())
    return net


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scikit_learns_regressor_comes_whole(activation: str, dtype: Any, tmp_path: Path) -> None:
    net = sklearn_file(tmp_path / "net.onnx", "MLPRegressor", dtype=dtype, activation=activation)
    model, x = load(tmp_path / "net.onnx"), numbers(7, 3, dtype=dtype)
    assert model.dtype == dtype
    assert_close(model(x), run(tmp_path / "net.onnx", x))
    np.testing.assert_allclose(model(x)[:, 0], net.predict(x), rtol=1e-4, atol=1e-5)


def test_scikit_learns_regressor_of_two_outputs_comes_up_to_its_sums(tmp_path: Path) -> None:
    net = sklearn_file(tmp_path / "net.onnx", "MLPRegressor", outputs=2)
    with pytest.raises(
        ValueError, match=r"operator Reshape, .*: to \[-1, 1\], .*write load\(path, output='add_result2'\)"
    ):
        load(tmp_path / "net.onnx")
    model, x = load(tmp_path / "net.onnx", output="add_result2"), numbers(7, 3)
    np.testing.assert_allclose(model(x), net.predict(x), rtol=1e-4, atol=1e-5)


def test_scikit_learns_classifier_comes_up_to_its_probabilities(tmp_path: Path) -> None:
    net = sklearn_file(tmp_path / "net.onnx", "MLPClassifier", classes=3)
    assert_refused(
        tmp_path / "net.onnx", r"has the outputs \['label', 'probabilities'\]; write load\(path, output=\.\.\.\)", load
    )
    model, x = load(tmp_path / "net.onnx", output="probabilities"), numbers(7, 3)
    np.testing.assert_allclose(model(x), net.predict_proba(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"operator ArgMax, .*: nanonet has no such layer; to stop before it write"):
        load(tmp_path / "net.onnx", output="label")
    with pytest.raises(ValueError, match=r"no node produces 'y'; its outputs are \['label', 'probabilities'\]"):
        load(tmp_path / "net.onnx", output="y")


def test_scikit_learns_classifier_of_two_classes_comes_up_to_the_second_ones_probability(tmp_path: Path) -> None:
    net = sklearn_file(tmp_path / "net.onnx", "MLPClassifier", classes=2)
    with pytest.raises(ValueError, match=r"(Sub|Concat).*(to stop before it write|no activation)"):
        load(tmp_path / "net.onnx", output="probabilities")
    model, x = load(tmp_path / "net.onnx", output="out_activations_result"), numbers(7, 3)
    np.testing.assert_allclose(model(x)[:, 0], net.predict_proba(x)[:, 1], rtol=1e-4, atol=1e-5)


def test_a_zip_map_is_refused_with_what_to_type(tmp_path: Path) -> None:
    net = sklearn_file(tmp_path / "net.onnx", "MLPClassifier", classes=3)
    convert: Any = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    (tmp_path / "net.onnx").write_bytes(convert.to_onnx(net, numbers(1, 3)).SerializeToString())
    with pytest.raises(
        ValueError, match=r"operator ai\.onnx\.ml\.ZipMap, .*write load\(path, output='out_activations_result'\)"
    ):
        load(tmp_path / "net.onnx", output="output_probability")
    model, x = load(tmp_path / "net.onnx", output="out_activations_result"), numbers(7, 3)
    np.testing.assert_allclose(model(x), net.predict_proba(x), rtol=1e-4, atol=1e-5)


# ---- files by hand

W = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
B = np.array([0.5, -0.5], np.float32)


def write(
    path: Path,
    nodes: list[Any],
    shape: list[Any] | None = None,
    *,
    opset: int = 17,
    outputs: list[str] | None = None,
    **constants: Any,
) -> Path:
    """Write a graph of x, of constants and of nodes, which gives y."""
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3] if shape is None else shape)
    ys = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs or ["y"]]
    tensors = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "by hand", [x], ys, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def node(operator: str, *inputs: str, to: str = "y", **attributes: Any) -> Any:
    return helper.make_node(operator, inputs, [to], **attributes)


@pytest.mark.parametrize("bias", ["none", "B", "row", "one"])
@pytest.mark.parametrize(
    "attributes", [{}, {"alpha": 0.5}, {"beta": 3.0}, {"transB": 1, "alpha": 2.0, "beta": -1.0}], ids=str
)
def test_gemm_is_read_with_all_its_attributes(attributes: dict[str, Any], bias: str, tmp_path: Path) -> None:
    added = {"B": B, "row": B[None], "one": np.full((), 2, np.float32)}.get(bias)
    constants: dict[str, Any] = {"w": W if attributes.get("transB") else W.T} | ({} if added is None else {"b": added})
    path = write(tmp_path / "net.onnx", [node("Gemm", "x", *constants, **attributes)], **constants)
    x = numbers(4, 3)
    model = load(path)
    assert_close(model(x), run(path, x))
    assert (model.layers[0].bias is None) == (added is None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("inputs", [("s", "b"), ("b", "s")], ids=str)
@pytest.mark.parametrize("bias", [B, B[None], np.float32(3), np.ones((1, 1), np.float32)], ids=np.shape)
def test_a_product_and_a_sum_in_either_order_are_a_linear(
    bias: npt.NDArray[Any], inputs: tuple[str, str], tmp_path: Path
) -> None:
    nodes = [node("MatMul", "x", "w", to="s"), node("Add", *inputs)]
    path = write(tmp_path / "net.onnx", nodes, w=W.T, b=bias)
    model, x = load(path), numbers(4, 3)
    assert_close(model(x), run(path, x))
    assert len(model) == 1


def test_constants_may_be_nodes_and_turned_and_cast(tmp_path: Path) -> None:
    held = onnx.numpy_helper.from_array(W.astype(np.float64), "held")
    nodes = [
        node("Constant", to="c", value=held),
        node("Cast", "c", to="f", **{"to": 1}) if False else helper.make_node("Cast", ["c"], ["f"], to=1),
        node("Transpose", "f", to="t"),
        node("MatMul", "x", "t", to="s"),
        node("Constant", to="three", value_float=3.0),
        node("Add", "three", "s", to="a"),
        node("Add", "a", "three"),
    ]
    path = write(tmp_path / "net.onnx", nodes)
    model, x = load(path), numbers(4, 3)
    assert_close(model(x), run(path, x))
    assert len(model) == 1


SPELLED: dict[str, list[Any]] = {
    "SiLU": [node("Sigmoid", "x", to="s"), node("Mul", "s", "x")],
    "Softsign": [node("Abs", "x", to="a"), node("Add", "one", "a", to="b"), node("Div", "x", "b")],
    "Softplus": [node("Exp", "x", to="e"), node("Add", "e", "one", to="s"), node("Log", "s")],
    "Tanh": [
        *(node("Add", "x", "x", to="d"), node("Sigmoid", "d", to="s")),
        *(node("Add", "s", "s", to="t"), node("Sub", "t", "one")),
    ],
    "ReLU": [node("Max", "x", "zero")],
    "LeakyReLU": [node("Mul", "x", "tenth", to="m"), node("Max", "x", "m")],
    "Sigmoid": [
        *(node("Neg", "x", to="n"), node("Exp", "n", to="e")),
        *(node("Add", "e", "one", to="s"), node("Div", "one", "s")),
    ],
    "Identity": [node("Mul", "x", "one")],
}


@pytest.mark.parametrize("name", SPELLED)
def test_an_activation_spelled_out_is_recognised(name: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {"one": np.float32(1), "zero": np.float32(0), "tenth": np.float32(0.1)}
    path = write(tmp_path / "net.onnx", SPELLED[name], **constants)
    model, x = load(path), numbers(4, 3)
    assert [type(layer).__name__ for layer in model] == [name]
    assert_close(model(x), run(path, x))


@pytest.mark.parametrize(
    ("nodes", "constants", "layers"),
    [
        ([node("Reshape", "x", "s")], {"s": [-1, 3]}, ""),
        ([node("Reshape", "x", "s")], {"s": [0, -1]}, ""),
        ([node("Reshape", "x", "s")], {"s": [0, 3]}, ""),
        ([helper.make_node("Cast", ["x"], ["y"], to=1)], {}, ""),
        ([node("Flatten", "x")], {}, "Flatten()"),
        ([node("Dropout", "x", "r")], {"r": np.float32(0.3)}, "Dropout(0.3)"),
        ([node("Dropout", "x")], {}, "Dropout(0.5)"),
        ([node("Dropout", "x", "r", "t")], {"r": np.float32(0.3), "t": np.False_}, "Dropout(0.3)"),
        ([node("LeakyRelu", "x", alpha=0.1)], {}, "LeakyReLU(0.1)"),
        ([node("Elu", "x")], {}, "ELU(1.0)"),
        ([node("Softmax", "x", axis=1)], {}, "Softmax()"),
        ([node("LogSoftmax", "x")], {}, "LogSoftmax()"),
    ],
    ids=str,
)
def test_what_is_harmless_is_taken(nodes: list[Any], constants: dict[str, Any], layers: str, tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", nodes, **constants)
    model, x = load(path), numbers(4, 3)
    assert " ".join(repr(layer) for layer in model) == layers
    assert_close(model(x), run(path, x))


def test_a_reshape_of_images_is_flatten(tmp_path: Path) -> None:
    for shape, target in (
        (["batch", 2, 2], [-1, 4]),
        (["batch", 2, 2], [0, -1]),
        ([5, 2, 2], [5, 4]),
        ([5, 2, 2], [5, -1]),
    ):
        path = write(tmp_path / "net.onnx", [node("Reshape", "x", "s")], shape, s=np.array(target))
        assert [type(layer) for layer in load(path)] == [Flatten]
        assert_close(load(path)(numbers(5, 2, 2)), run(path, numbers(5, 2, 2)))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Gemm", "x", "w", transA=1)], r"transposes its input \(transA\), which mixes the samples"),
        ([node("Gemm", "w", "x")], "expected the chain's value times a constant of two axes, got another value"),
        ([node("MatMul", "w", "x")], "expected the chain's value times a constant of two axes"),
        ([node("MatMul", "x", "b")], r"of two axes, got shape \(2,\)"),
        ([node("MatMul", "x", "x")], "of two axes, got another value"),
        ([node("MatMul", "x", "i")], "expected weights of float32, got int64"),
        ([node("MatMul", "x", "h")], "expected weights of float32, got float16"),
        ([node("Gemm", "x", "t", "w")], "expected C as a constant, one number for each of 2 outputs"),
        ([node("Gemm", "x", "t", "x")], "expected C as a constant, one number for each of 2 outputs"),
        ([node("MatMul", "x", "t", to="s"), node("Add", "s", "w")], r"takes an array of shape \(2, 3\), w"),
        ([node("MatMul", "x", "t", to="s"), node("Add", "s", "col")], r"takes an array of shape \(2, 1\), col"),
        (
            [node("Mul", "x", "b")],
            r"operator Mul, y: takes an array of shape \(2,\), b, which no layer of nanonet",
        ),
        ([node("Tanh", "x", to="a"), node("Sub", "x", "a")], "operators Tanh, Sub after x: no activation"),
        ([node("Tanh", "x", to="a"), node("MatMul", "x", "a")], "operators Tanh, MatMul after x: no activation"),
        ([node("Concat", "x", "x", axis=0)], "operator Concat, y: is along axis 0"),
        ([node("Concat", "x", "b", axis=1)], "operator Concat, y: nanonet has no such layer"),
        ([node("Softmax", "x", axis=0)], "operator Softmax, y: is along axis 0"),
        ([node("Flatten", "x", axis=0)], "flattens from axis 0"),
        ([node("Reshape", "x", "target")], r"operator Reshape, y: to \[3, -1\], from samples of shape \(3,\)"),
        ([node("Reshape", "x", "x")], r"operator Reshape, y: to \[\]"),
        ([node("Dropout", "x", "", "yes")], "is active in inference too; export the model in evaluation mode"),
        ([node("Dropout", "x", "two")], "Dropout: expected a finite rate"),
        ([node("Selu", "x", alpha=1.0)], "with alpha 1 and gamma"),
        ([node("LeakyRelu", "x", alpha=float("nan"))], "LeakyReLU: expected a finite slope"),
        ([helper.make_node("Cast", ["x"], ["y"], to=7)], "operator Cast, y: expected a cast to float or double"),
        ([helper.make_node("Relu", ["x"], ["y"], domain="com.else")], r"operator com\.else\.Relu"),
        ([node("Tanh", "nothing")], "y does not depend on x"),
        ([node("Constant", value_float=3.0)], "y does not depend on x"),
        ([node("Tanh", "y")], "y does not depend on x"),
        ([], "no node produces|does not depend on x"),
        ([node("Gemm", "x", "t", to="s"), node("Gemm", "s", "t")], "expects|expected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_graph_that_is_no_chain_is_refused_by_its_operator(nodes: list[Any], message: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {"w": W, "t": W.T, "b": B, "i": np.ones((3, 2), np.int64), "h": W.T.astype(np.float16)}
    constants |= {"col": B[:, None], "target": np.array([3, -1]), "yes": np.True_, "two": np.float32(2)}
    assert_refused(write(tmp_path / "net.onnx", nodes, **constants), message, load)


def test_other_inputs_and_outputs_and_opsets_are_refused(tmp_path: Path) -> None:
    path, tanh = tmp_path / "net.onnx", [node("Tanh", "x")]
    assert_refused(write(path, tanh, opset=8), "opset 9 or later, got 8", load)
    assert_refused(
        write(path, [*tanh, node("ArgMax", "y", to="z")], outputs=["y", "z"]),
        r"has the outputs \['y', 'z'\]; write load\(path, output=\.\.\.\) .*operator ArgMax, z",
        load,
    )
    proto = onnx.load(write(path, tanh))
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    path.write_bytes(proto.SerializeToString())
    assert_refused(path, "expected an input of floats or doubles, or of integers, got element type 10 of x", load)
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path.write_bytes(proto.SerializeToString())
    assert_refused(path, "operator Tanh, y: takes int64, which the layer for it does not", load)


def test_before_opset_13_a_softmax_that_names_no_axis_goes_along_the_second(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("Softmax", "x")], opset=11)
    assert_close(load(path)(numbers(4, 3)), run(path, numbers(4, 3)))
    assert_refused(write(path, [node("Softmax", "x")], ["batch", 2, 3], opset=11), "is along axis 1", load)
    path = write(path, [node("Softmax", "x")], ["batch", 2, 3])
    assert_close(load(path)(numbers(4, 2, 3)), run(path, numbers(4, 2, 3)))


def test_constants_that_are_also_inputs_are_constants(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("MatMul", "x", "w")], w=W.T)
    proto = onnx.load(path)
    proto.graph.input.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [3, 2]))
    path.write_bytes(proto.SerializeToString())
    np.testing.assert_array_equal(load(path)(np.eye(3)), W.T)


def test_weights_that_are_not_numbers_are_read_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("MatMul", "x", "w")], w=np.full((3, 2), np.nan, np.float32))
    assert np.isnan(load(path).vector.value).all()


# ---- damaged and hostile files


def small_file(path: Path) -> bytes:
    export(Sequential(Linear(2, 1), GELU(), Linear(1, 1, bias=Normal(1.0)), Softmax(), rng=0), path)
    return path.read_bytes()


def test_a_file_that_is_cut_off_at_any_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    good = small_file(path)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        assert_refused(path, ".", load)
    path.write_bytes(good)
    load(path)


def damaged(good: bytes) -> Iterator[bytes]:
    for i in range(len(good)):
        for change in (1 << i % 8, 255):
            yield good[:i] + bytes([good[i] ^ change]) + good[i + 1 :]


def test_a_file_with_a_byte_of_another_value_is_read_or_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for each in damaged(small_file(path)):
        path.write_bytes(each)
        read_or_refused(path, load)


@given(st.data())
def test_a_file_with_any_damage_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    contents = bytearray(small_file(path))
    for _ in range(draw.draw(st.integers(1, 4))):
        start = draw.draw(st.integers(0, len(contents)))
        end = draw.draw(st.integers(start, min(start + 9, len(contents))))
        contents[start:end] = draw.draw(st.binary(max_size=9))
    path.write_bytes(contents)
    read_or_refused(path, load)


@pytest.mark.parametrize("contents", [b"", b"\x80\x04N.", b"x" * 100, bytes(100)], ids=repr)
def test_what_is_no_onnx_file_is_refused(contents: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(contents)
    assert_refused(tmp_path / "net.onnx", "damaged, or not an ONNX file|expected a graph of ONNX's operators", load)


def tampered(path: Path, change: Callable[[Any], Any]) -> Path:
    proto = onnx.load(write(path, [node("MatMul", "x", "w")], w=W.T))
    change(proto.graph.initializer[0])
    path.write_bytes(proto.SerializeToString())
    return path


def outside(location: str, offset: int = 0, length: int | None = 24) -> Callable[[Any], None]:
    def change(tensor: Any) -> None:
        tensor.ClearField("raw_data")
        tensor.data_location = tensor.EXTERNAL
        told = {"location": location, "offset": str(offset)} | ({} if length is None else {"length": str(length)})
        for key, value in told.items():
            tensor.external_data.add(key=key, value=value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.dims.__setitem__(0, 10**12),
        lambda tensor: tensor.dims.__setitem__(0, -(10**12)),
        lambda tensor: tensor.dims.__setitem__(0, 2),
        lambda tensor: tensor.dims.append(10**12),
        lambda tensor: setattr(tensor, "data_type", 8),
        lambda tensor: setattr(tensor, "data_type", 99),
        lambda tensor: setattr(tensor, "data_type", 16),
        lambda tensor: setattr(tensor, "raw_data", b""),
        outside("../secret.bin"),
        outside("/etc/hostname", 0, None),
        outside("link.bin"),
        outside("missing.bin"),
        outside("."),
        outside("here.bin", 1),
        outside("here.bin", -8),
        outside("here.bin", 0, 10**12),
        outside("here.bin", 10**30),
    ],
)
def test_a_constant_whose_numbers_are_not_there_is_refused_within_bounds(
    change: Callable[[Any], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    (folder / "here.bin").write_bytes(bytes(24))
    if os.name == "posix":
        (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = tampered(folder / "net.onnx", change)
    with Peak() as peak:
        assert_refused(path, "constant w|times a constant of two axes", load)
    assert peak.bytes < 4 << 20


def test_numbers_beside_it_that_are_too_few_are_refused(tmp_path: Path) -> None:
    (tmp_path / "here.bin").write_bytes(bytes(24))
    path = tampered(tmp_path / "net.onnx", outside("here.bin", 0, 12))
    assert_refused(path, r"constant w: 12 bytes from 0 of here\.bin, which has 24, are not its 24", load)


def test_numbers_in_a_file_beside_it_are_read(tmp_path: Path) -> None:
    path = tampered(tmp_path / "net.onnx", outside("here.bin", 8))
    (tmp_path / "here.bin").write_bytes(bytes(8) + W.T.tobytes())
    np.testing.assert_array_equal(load(path)(np.eye(3)), W.T)


def test_one_constant_of_many_layers_takes_memory_in_bounds(tmp_path: Path) -> None:
    size, count = 300, 400
    nodes = [node("MatMul", f"v{i}" if i else "x", "w", to=f"v{i + 1}") for i in range(count)]
    path = write(tmp_path / "net.onnx", nodes, ["batch", size], outputs=[f"v{count}"], w=np.eye(size, dtype=np.float32))
    assert_refused(path, "what it holds would take more than 100 times its", load)
    path = write(tmp_path / "net.onnx", nodes[:3], ["batch", size], outputs=["v3"], w=np.eye(size, dtype=np.float32))
    assert len(load(path)) == 3


def test_a_long_chain_is_read(tmp_path: Path) -> None:
    model = Sequential(*(layer for _ in range(150) for layer in (Linear(2, 2), ReLU(), Identity())), rng=0)
    export(model, tmp_path / "net.onnx")
    np.testing.assert_array_equal(load(tmp_path / "net.onnx")(numbers(3, 2)), model(numbers(3, 2)))
