"""What load makes of an ONNX file is what the file's operators compute, or it is refused by name, and in short time."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import Activation, Layer, Residual, Sequential, SiLU
from nanonet.interchange.onnx import export, load
from nanonet.interchange.onnx import graph as onnx_graph
from nanonet.interchange.onnx import reading as onnx_reading
from tests import onnx_graphs
from tests.interchange.test_onnx import assert_close, helper, node, onnx, run, write
from tests.registry import LAYERS, LayerCase, params
from tests.storage.test_files import assert_refused

FAR = np.array([[-1e30, 80.0, 1e30], [-1e3, 61.0, 59.5], [-3.0, 2.0, 6.5], [0.0, -1e-3, 1e-3]], np.float32)
ONE = np.float32(1)


# ---- functions


def test_no_drawn_graph_is_loaded_with_another_result() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    counts, wrong = onnx_graphs.run(300, secrets.token_hex(4))
    assert not wrong, "\n\n".join(wrong)
    assert counts["loaded"] > 60
    assert counts["refused"] > 60


def settings_of(layer: Layer) -> tuple[type[Layer], dict[str, Any]]:
    return type(layer), {name: value for name, value in vars(layer).items() if name[0] != "_"}


@pytest.mark.parametrize("case", params(LAYERS, Activation))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_activation_comes_back_as_it_was_written(case: LayerCase, dtype: Any, tmp_path: Path) -> None:
    model = Sequential(case.make(), dtype=dtype)
    export(model, tmp_path / "net.onnx", input_shape=(3,))
    again = load(tmp_path / "net.onnx")
    assert settings_of(again[0]) == settings_of(model[0])
    np.testing.assert_array_equal(again(FAR), model(FAR))


@pytest.mark.parametrize(
    ("opset", "nodes", "layer"),
    [
        (10, [node("Clip", "x", min=0.0, max=6.0)], "Clip(0.0, 6.0)"),
        (9, [node("Clip", "x", max=0.0)], "Clip(-inf, 0.0)"),
        (10, [node("Clip", "x", min=0.0)], "ReLU()"),
        (10, [node("Clip", "x")], "Identity()"),
        (17, [node("Clip", "x", "", "zero")], "Clip(-inf, 0.0)"),
        (17, [node("Clip", "x", "zero", "sixty")], "Clip(0.0, 60.0)"),
        (17, [node("Clip", "x", "zero", "")], "ReLU()"),
        (17, [node("Clip", "x", "least", "sixty")], "Clip(-inf, 60.0)"),
        (17, [node("Min", "x", "sixty")], "Clip(-inf, 60.0)"),
        (17, [node("Max", "zero", "x", "one")], "Clip(1.0, inf)"),
        (17, [node("Max", "x", "zero", to="a"), node("Min", "sixty", "a")], "ReLU() Clip(-inf, 60.0)"),
        (17, [node("Less", "x", "one", to="c"), node("Where", "c", "one", "x")], "Clip(1.0, inf)"),
        (17, [node("Greater", "x", "zero", to="c"), node("Where", "c", "x", "zero")], "ReLU()"),
    ],
)
def test_bounds_come_from_the_graph(opset: int, nodes: list[Any], layer: str, tmp_path: Path) -> None:
    constants: dict[str, Any] = {
        "zero": np.float32(0),
        "one": ONE,
        "sixty": np.float32(60),
        "least": np.float32(-np.inf),
    }
    path = write(tmp_path / "net.onnx", nodes, opset=opset, **constants)
    assert " ".join(map(repr, load(path))) == layer
    assert_close(load(path)(FAR), run(path, FAR))


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Greater", "x", "k", to="c"), node("Where", "c", "x", "zero")],  # a step
        [node("Clip", "x", "big", "zero")],  # a constant, whatever x is
        [node("Mul", "x", "tenth", to="m"), node("Greater", "x", "tiny", to="c"), node("Where", "c", "x", "m")],
        [node("Sigmoid", "x", to="s"), node("Mul", "x", "almost", to="m"), node("Mul", "s", "m")],
        [node("Add", "x", "big", to="a"), node("Sub", "a", "big")],  # x, but for rounding
        [node("Mul", "x", "huge", to="a"), node("Div", "a", "huge")],  # x, but for overflow
        [  # x + 0 * -inf, which is NaN
            *(node("Clip", "x", "big", "least", to="c"), node("Neg", "c", to="n"), node("Exp", "n", to="e")),
            *(node("Reciprocal", "e", to="r"), node("Mul", "r", "c", to="m"), node("Add", "x", "m")),
        ],
        [node("Mul", "x", "cube")],  # three axes
        [node("Selu", "x", gamma=1.05)],
    ],
    ids=str,
)
def test_what_is_nearly_an_activation_is_refused(nodes: list[Any], tmp_path: Path) -> None:
    constants: dict[str, Any] = {"k": 0.5, "zero": 0, "big": 1e9, "huge": 1e30, "tenth": 0.1, "tiny": 1e-9}
    constants |= {"almost": 1.00001, "cube": np.ones((1, 1, 1)), "least": -np.inf}
    arrays: dict[str, Any] = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    assert_refused(write(tmp_path / "net.onnx", nodes, **arrays), "operator", load)


# ---- schemas


def two_of_a_name() -> Any:
    twice = node("LeakyRelu", "x", alpha=0.1)
    twice.attribute.append(helper.make_attribute("alpha", 0.2))
    return twice


@pytest.mark.parametrize(
    ("opset", "nodes", "message"),
    [
        (17, [node("Clip", "x", min=0.0)], "operator Clip, y: has an attribute 'min', which Clip of opset 17 does not"),
        (10, [node("Clip", "x", "one")], "operator Clip, y: expected 1 inputs, got 2"),
        (17, [node("Relu", "x", alpha=0.5)], "operator Relu, y: has an attribute 'alpha', which Relu of opset 17"),
        (17, [node("Softmax", "x", axis=1.0)], "operator Softmax, y: expected attribute 'axis' to be of type INT"),
        (17, [node("Cast", "x")], "operator Cast, y: attribute 'to' is missing"),
        (17, [two_of_a_name()], "operator LeakyRelu, y: has two attributes 'alpha'"),
        (17, [node("Clip", "", "one")], "operator Clip, y: its required input input is missing"),
        (17, [node("Max", "x", "")], "operator Max, y: its required input data_0 is missing"),
        (17, [helper.make_node("Relu", ["x"], [""]), node("Relu", "")], r"expected 1 outputs or more|is missing"),
        (17, [node("Gelu", "x")], "operator Gelu, y: ONNX has no such operator in opset 17"),
        (17, [node("Relu", "x", to="one"), node("Relu", "one")], "the name 'one' is used twice"),
        (9999, [node("Relu", "x")], "of opset 9999; onnx .* knows up to .*: install a newer onnx"),
        (17, [node("Gemm", "x")], "operator Gemm, y: expected 2 to 3 inputs, got 1"),
        (17, [node("Reshape", "x")], "operator Reshape, y: expected 2 inputs, got 1"),
        (17, [node("Dropout", "x", "none")], "operator Dropout, y: expected its rate, none, as a constant of one"),
        (
            17,
            [helper.make_node("Cast", ["w"], ["v"], to=77), node("MatMul", "x", "v")],
            "operator Cast, v: unknown element type 77",
        ),
    ],
)
def test_a_node_against_its_schema_is_refused_by_name(
    opset: int, nodes: list[Any], message: str, tmp_path: Path
) -> None:
    constants: dict[str, Any] = {"one": ONE, "none": np.zeros(0, np.float32), "w": np.eye(3, dtype=np.float32)}
    assert_refused(write(tmp_path / "net.onnx", nodes, opset=opset, **constants), message, load)


def test_a_file_that_says_anew_what_an_operator_does_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", [node("Relu", "x")])
    proto = onnx.load(path)
    opsets = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [helper.make_node("Neg", "a", "b")], opsets))
    path.write_bytes(proto.SerializeToString())
    assert_refused(path, r"redefines ONNX's own operators: \['Relu'\]", load)


# ---- long files


def repeated(path: Path, count: int, first: str, second: str) -> Path:
    """Write v = second(v, first(v)), count times."""
    nodes = []
    for i in range(count):
        x, y = "x" if i == 0 else f"v{i}", "y" if i == count - 1 else f"v{i + 1}"
        nodes += [node(first, x, to=f"s{i}"), node(second, x, f"s{i}", to=y)]
    return write(path, nodes)


@pytest.mark.parametrize(("first", "second", "layer"), [("Tanh", "Add", Residual), ("Sigmoid", "Mul", SiLU)])
def test_a_long_chain_looks_at_each_operator_a_few_times(
    first: str, second: str, layer: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    users = onnx_graph.Graph.users

    def counted(graph: onnx_graph.Graph, value: str) -> list[Any]:
        found = users(graph, value)
        looks.append(len(found))
        return found

    monkeypatch.setattr(onnx_graph.Graph, "users", counted)
    model = load(repeated(tmp_path / "net.onnx", 3000, first, second))
    assert [type(part) for part in model] == [layer] * 3000
    assert sum(looks) + len(looks) < 20 * 6000


def test_what_is_too_long_or_too_deep_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"

    def nested(depth: int) -> Path:
        nodes = [node("Tanh", "x", to="v0"), *(node("Add", "x", f"v{i}", to=f"v{i + 1}") for i in range(depth))]
        return write(path, nodes, outputs=[f"v{depth}"])

    assert_close(load(nested(onnx_reading.DEEPEST))(FAR[2:]), run(path, FAR[2:]))
    assert_refused(nested(5000), "more than 40 nested residual blocks, the most that load takes", load)
    monkeypatch.setattr(onnx_graph, "MOST", 100)
    assert len(load(repeated(path, 50, "Tanh", "Add"))) == 50
    assert_refused(repeated(path, 51, "Tanh", "Add"), "y comes of 102 operators; load takes no more than 100", load)
