"""What export writes for an activation computes the same in onnxruntime, whatever the activation is set to."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import GELU, SELU, Activation, Array, Clip, Hardtanh, ReLU, ReLU6, Sequential, Tanh
from nanonet.interchange.onnx import export, load
from tests.registry import LAYERS, LayerCase, params

onnx: Any = pytest.importorskip("onnx", reason="onnx is not installed")
runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

pytestmark = pytest.mark.peer


def run(path: Path, x: Array) -> Array:
    """Return what onnxruntime makes of an input."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    y: Array = session.run(None, {"x": x})[0]
    return y


@pytest.mark.parametrize("case", params(LAYERS, Activation))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_activation_is_written_as_what_it_computes(case: LayerCase, dtype: Any, tmp_path: Path) -> None:
    model = Sequential(case.make(), dtype=dtype)
    export(model, tmp_path / "net.onnx", input_shape=(1,))
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    x = np.concatenate([np.linspace(-200, 200, 801), np.linspace(-4, 4, 801)]).astype(dtype)[:, None]
    found = run(tmp_path / "net.onnx", x)
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(found, model(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("clip", "inputs", "constants"),
    [
        (Clip(-0.5, 2.0), 3, [-0.5, 2.0]),
        (Clip(-0.5, None), 2, [-0.5]),
        (Clip(None, 2.0), 3, [2.0]),
    ],
)
def test_a_bound_that_is_not_there_is_left_out(clip: Clip, inputs: int, constants: list[float], tmp_path: Path) -> None:
    export(Sequential(clip), tmp_path / "net.onnx", input_shape=(2,))
    graph = onnx.load(tmp_path / "net.onnx").graph
    (node,) = graph.node
    assert (node.op_type, len(node.input), node.input[0]) == ("Clip", inputs, "x")
    assert [name for name in node.input[1:] if name] == [tensor.name for tensor in graph.initializer]
    assert [float(onnx.numpy_helper.to_array(tensor)) for tensor in graph.initializer] == constants


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "clip", [Clip(-1.0, 0.5), Clip(-1.0, np.inf), Clip(-np.inf, 0.5), ReLU6(), Hardtanh(), Clip(0.1, 0.3)], ids=repr
)
@pytest.mark.parametrize("clip_first", [False, True])
def test_a_clip_beside_a_relu_runs_and_comes_back(clip: Clip, clip_first: bool, dtype: Any, tmp_path: Path) -> None:
    layers = (copy.deepcopy(clip), ReLU()) if clip_first else (ReLU(), copy.deepcopy(clip))
    model = Sequential(*layers, dtype=dtype)
    export(model, tmp_path / "net.onnx", input_shape=(1,))
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    x = np.array([-1e30, -2, -1, -0.5, -0.0, 0.1, 0.2, 0.3, 0.5, 1, 6, 7, 1e30, np.nan], dtype)[:, None]
    np.testing.assert_array_equal(run(tmp_path / "net.onnx", x), model(x))
    again = load(tmp_path / "net.onnx")
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again(x), model(x))


def test_the_exact_gelu_is_written_as_runtimes_look_for_it(tmp_path: Path) -> None:
    export(Sequential(GELU()), tmp_path / "net.onnx", input_shape=(2,))
    assert [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node] == ["Div", "Erf", "Add", "Mul", "Mul"]


def test_a_layer_with_something_of_its_own_is_not_written(tmp_path: Path) -> None:
    scaled, silent = SELU(), Tanh()
    scaled.scale = 3.0
    vars(silent)["function"] = lambda a: 0 * a  # past the refusal of `silent.function = ...`
    for layer, name in ((scaled, "scale"), (silent, "function")):
        with pytest.raises(TypeError, match=rf"export: layer 0, .*: its {name} is overridden on the instance"):
            export(Sequential(layer), tmp_path / "net.onnx", input_shape=(2,))
    assert list(tmp_path.iterdir()) == []
