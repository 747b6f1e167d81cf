"""Every layer computes the same in onnxruntime, and comes back as a layer that does."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    GroupNorm,
    Layer,
    MaxPool1d,
    MaxPool2d,
    Monotone,
    Sequential,
    ShapeError,
    SpectralNorm,
    Upsample,
    WeightNorm,
    ZeroPad2d,
)
from nanonet.core.arrays import Arrays, Shape, parts_of
from nanonet.core.chain import Chain
from nanonet.interchange.onnx import export, load
from tests.interchange.test_onnx import assert_close, helper, node, numbers, onnx, run, torch_file, write
from tests.registry import LAYERS, LayerCase, params
from tests.storage.test_files import assert_refused

runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

pytestmark = pytest.mark.peer

RECURRENT = {"RNN", "LSTM", "GRU"}
ONLY_SINGLE = {
    "Conv",
    "ConvTranspose",
    "AveragePool",
    "Resize",
    *RECURRENT,
}  # operators that onnxruntime lacks for float64


def is_plain(recurrent: Any) -> bool:
    """Return whether a recurrent operator reads whole sequences forward."""
    backward = any(each.name == "direction" and each.s != b"forward" for each in recurrent.attribute)
    return not backward and "" == (*recurrent.input, "", "", "")[4]


def computed(path: Path, x: Arrays) -> list[Any]:
    """Return what onnxruntime makes of inputs, or onnx itself where onnxruntime lacks an operator for float64."""
    proto = onnx.load(path)
    names = [f"x{i}" for i in range(len(x))] if isinstance(x, tuple) else ["x"]
    given = {  # a mask is of integers there
        name: part.astype(np.int64) if part.dtype == bool else part
        for name, part in zip(names, parts_of(x), strict=True)
    }
    if proto.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
        if any(each.op_type == "ConvTranspose" for each in proto.graph.node):
            return []  # onnx computes it without its groups
        if any(each.op_type in RECURRENT and not is_plain(each) for each in proto.graph.node):
            return []  # and these without lengths, and forward alone
        if ONLY_SINGLE & {each.op_type for each in proto.graph.node}:
            reference: Any = pytest.importorskip("onnx.reference")
            found: list[Any] = reference.ReferenceEvaluator(proto).run(None, given)
            return found
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values: list[Any] = session.run(None, given)
    return values


def moved(model: Sequential, x: Arrays) -> None:
    """Draw weights anew, and move running statistics, so that none is 0 or 1."""
    rng = np.random.default_rng(3)
    for parameter in model.parameters().values():
        parameter.value = parameter.value + rng.normal(0, 0.3, size=parameter.shape)
    try:
        model.forward(x, training=True)
    except ValueError:  # of a BatchNorm with a batch of one number
        return


def check(model: Sequential, shape: Any, x: Arrays, path: Path, tolerance: float) -> Sequential:
    """Compare a model with the file of it, and with what is loaded from the file, which is returned."""
    export(model, path, input_shape=shape)
    onnx.checker.check_model(str(path), full_check=True)
    wanted = parts_of(model(x))
    for found, y in zip(computed(path, x), wanted, strict=False):
        assert (found.dtype, found.shape) == (y.dtype, y.shape)
        np.testing.assert_allclose(found, y, rtol=tolerance, atol=tolerance)
    again = load(path)
    assert again.dtype == model.dtype
    for found, y in zip(parts_of(again(x)), wanted, strict=True):
        np.testing.assert_allclose(found, y, rtol=tolerance, atol=tolerance)
    return again


RULES = (WeightNorm, SpectralNorm, Monotone)  # no layers of their own: a Reparametrised is exported with its weight


@pytest.mark.parametrize("case", params({cls: LAYERS[cls] for cls in LAYERS if cls is not Chain and cls not in RULES}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_runs_elsewhere_and_comes_back(case: LayerCase, dtype: Any, tmp_path: Path) -> None:
    model = Sequential(case.make(), dtype=dtype, rng=0)
    x = model.enter(case.x())
    moved(model, x)
    if isinstance(model[0], AdaptiveAvgPool2d) and model[0].output_size == (3, None):
        with pytest.raises(TypeError, match=r"layer 0, AdaptiveAvgPool2d.*different sizes, as for images of 4 x 5"):
            export(model, tmp_path / "net.onnx", input_shape=case.shape)
        return
    # epsilon is a float32 in ONNX
    check(model, case.shape, x, tmp_path / "net.onnx", 1e-5 if dtype == np.float32 else 1e-7)


SAME = {
    "AdaptiveAvgPool2d(1)": (2, 4, 5),
    "BatchNorm(3)": (3, 4),
    "BatchNorm(3, track_running_stats=False)": (3, 2),
    "LayerNorm(4)": (3, 4),
    "LayerNorm((3, 4), eps=0.01)": (3, 4),
    "RMSNorm(4)": (3, 4),
    "RMSNorm(4, elementwise_affine=False)": (4,),
    "GroupNorm(2, 4)": (4, 3),
    "GroupNorm(2, 4, affine=False)": (4,),
    "InstanceNorm(3, affine=True)": (3, 5),
    "Standardize((3, 1))": (2, 3, 4),
    "Reshape(2, 3)": (6,),
    "Permute(2, 1)": (3, 4),
    "Conv1d(2, 4, 3, stride=2, groups=2, padding=1)": (2, 9),
    "Conv2d(2, 3, (2, 3), dilation=2, bias=False)": (2, 6, 7),
    "Conv2d(2, 3, 4, padding='same')": (2, 6, 7),
    "ConvTranspose2d(2, 3, 3, output_padding=1, stride=2)": (2, 4, 4),
    "MaxPool1d(3, stride=2, padding=1)": (2, 9),
    "MaxPool2d(3, stride=2, ceil_mode=True)": (2, 6, 8),
    "AvgPool2d(2, stride=1, padding=1, count_include_pad=False)": (2, 5, 5),
    "GlobalAvgPool()": (3, 4, 5),
    "Upsample((2, 3))": (2, 3, 4),
    "Upsample(3, 'bilinear')": (2, 3, 4),
    "ZeroPad2d((1, 0, 2, 3))": (2, 3, 4),
    "Embedding(5, 3)": (4,),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("layer", "shape"), SAME.items())
def test_a_layer_comes_back_with_its_settings_and_its_numbers(
    layer: str, shape: Shape, dtype: Any, tmp_path: Path
) -> None:
    made = eval(layer, vars(__import__("nanonet")))
    model = Sequential(made, dtype=dtype, rng=0)
    x = np.random.default_rng(0).integers(5, size=(3, *shape)) if "Embedding" in layer else numbers(3, *shape)
    moved(model, model.enter(x))
    export(model, tmp_path / "net.onnx", input_shape=shape)
    again = load(tmp_path / "net.onnx")
    assert repr(again[0]) == layer
    before, after = model.state_dict(), again.state_dict()
    assert list(before) == list(after)
    for name, array in before.items():
        if "tracked" not in name:
            np.testing.assert_array_equal(after[name], array)


@st.composite
def image_layers(draw: st.DrawFn) -> tuple[Layer, Shape]:
    """Draw a layer for images or sequences with any options, and the shape of its input."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    group = draw(st.integers(1, 2))
    channels, outputs = group * draw(st.integers(1, 2)), group * draw(st.integers(1, 2))
    padding, half = draw(st.tuples(st.integers(0, 2), st.integers(0, 2))), tuple(k // 2 for k in kernel)
    flag, bias = draw(st.booleans()), draw(st.booleans())
    more = tuple(draw(st.integers(0, s - 1)) for s in stride)
    same: Any = draw(st.sampled_from(["same", "valid"]))
    size = draw(st.tuples(st.integers(6, 9), st.integers(6, 9)))
    kind = draw(st.integers(0, 10))
    layers: list[Any] = [
        lambda: Conv2d(channels, outputs, kernel, stride, padding, dilation, group, bias=bias),
        lambda: Conv2d(channels, outputs, kernel, 1, same, dilation, group, bias=bias),
        lambda: ConvTranspose2d(channels, outputs, kernel, stride, padding, more, group, dilation=dilation, bias=bias),
        lambda: MaxPool2d(kernel, stride, half, dilation, ceil_mode=flag),
        lambda: AvgPool2d(kernel, stride, half, count_include_pad=flag),
        lambda: Upsample(stride, "bilinear" if flag else "nearest"),
        lambda: ZeroPad2d((*padding, *more)),
        lambda: Conv1d(channels, outputs, kernel[0], stride[0], padding[0], dilation[0], group, bias=bias),
        lambda: MaxPool1d(kernel[0], stride[0], half[0], dilation[0], ceil_mode=flag),
        lambda: AvgPool1d(kernel[0], stride[0], half[0], count_include_pad=flag),
        lambda: GroupNorm(group, channels, affine=flag),
    ]
    return layers[kind](), (channels, *(size[:1] if 7 <= kind <= 9 else size))


@given(image_layers())
def test_any_setting_of_a_layer_for_images_runs_elsewhere_and_comes_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Layer, Shape]
) -> None:
    layer, shape = drawn
    model = Sequential(layer, rng=0)
    try:
        model.follow(shape)
    except ShapeError:  # nothing is left of the images
        return
    path = tmp_path_factory.getbasetemp() / "image.onnx"
    x = numbers(2, *shape)
    window = getattr(layer, "window", None)
    if window is not None and window.ceil:  # a place may begin in the padding, where load is stricter
        try:
            export(model, path, input_shape=shape)
        except ValueError as error:
            if "ONNX takes less than kernel_size" not in str(error):
                raise
            return
        onnx.checker.check_model(str(path), full_check=True)
        np.testing.assert_array_equal(computed(path, x)[0], model(x))
    else:
        again = check(model, shape, x, path, 1e-5)
        pads = getattr(layer, "padding", None) if isinstance(layer, ZeroPad2d) else (1,)
        assert [type(each) for each in again] == ([type(layer)] if any(pads or ()) else [])


def test_padding_as_wide_as_the_kernel_is_refused(tmp_path: Path) -> None:
    layer = MaxPool2d((1, 2), (2, 2), (0, 1), (1, 2), ceil_mode=True)
    with pytest.raises(ValueError, match=r"its ceil_mode needs 2 of padding on this input, and ONNX takes less than"):
        export(Sequential(layer), tmp_path / "net.onnx", input_shape=(1, 6, 6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_weights_may_hold_an_index_that_stands_for_no_word(dtype: Any, tmp_path: Path) -> None:
    from nanonet import Embedding

    model = Sequential(Embedding(3, 2, padding_idx=-1), dtype=dtype, rng=0)
    moved(model, np.array([0]))
    assert model.state_dict()["0.weight"][2].all()
    x = np.array([[0, 2], [1, 2]])
    export(model, tmp_path / "net.onnx", input_shape=(2,))
    np.testing.assert_array_equal(run(tmp_path / "net.onnx", x), model(x))
    np.testing.assert_array_equal(load(tmp_path / "net.onnx")(x), model(x))


# ---- other files


W = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("nodes", "shape", "layers"),
    [
        ([node("Conv", "x", "w", auto_pad="SAME_UPPER")], (1, 6, 6), "Conv2d(1, 1, 4, padding='same', bias=False)"),
        ([node("Conv", "x", "w", auto_pad="VALID", strides=[2, 1])], (1, 6, 6), "Conv2d(1, 1, 4, stride=(2, 1), bias"),
        ([node("Conv", "x", "w", auto_pad="SAME_LOWER")], (1, 6, 6), "ZeroPad2d((2, 1, 2, 1))"),
        ([node("Conv", "x", "w", auto_pad="SAME_UPPER", strides=[3, 3])], (1, 7, 8), "ZeroPad2d((1, 1, 1, 2))"),
        ([node("Conv", "x", "w", pads=[0, 1, 2, 0])], (1, 6, 6), "ZeroPad2d((1, 0, 0, 2))"),
        ([node("Conv", "x", "w", pads=[1, 0, 1, 0])], (1, 6, 6), "Conv2d(1, 1, 4, padding=(1, 0), bias=False)"),
        ([node("MaxPool", "x", kernel_shape=[2, 3])], (1, 6, 6), "MaxPool2d((2, 3), stride=1)"),
        ([node("MaxPool", "x", kernel_shape=[3, 3], auto_pad="SAME_UPPER")], (1, 6, 6), "MaxPool2d(3, stride=1, padd"),
        (
            [node("AveragePool", "x", kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)],
            (1, 6, 6),
            "ZeroPad2d((0, 1, 0, 1))",
        ),
        ([node("GlobalAveragePool", "x")], (3, 6, 6), "AdaptiveAvgPool2d(1)"),
        ([node("GlobalAveragePool", "x")], (3, 6), "GlobalAvgPool()"),
        ([node("ReduceMean", "x", axes=[-1, 2], keepdims=0)], (3, 6, 6), "GlobalAvgPool()"),
        (
            [node("Resize", "x", "", "s", mode="nearest", nearest_mode="round_prefer_floor")],
            (3, 4, 4),
            "Upsample((3, 2))",
        ),
        ([node("Pad", "x", "none")], (3, 4, 4), ""),
        ([node("PRelu", "x", "one")], (5, 3), "PReLU()"),
        ([node("PRelu", "x", "row")], (3,), "PReLU(3)"),
        ([node("PRelu", "x", "col")], (3, 5), "PReLU(3)"),
        ([node("Sub", "x", "row")], (5, 3), "Standardize(3)"),
        ([node("Div", "x", "col")], (3, 5), "Standardize((3, 1))"),
        ([node("Sub", "x", "row", to="c"), node("Div", "c", "one")], (5, 3), "Standardize(3)"),
        ([node("Sub", "x", "one")], (5, 3), "Standardize(())"),
        ([node("LayerNormalization", "x", "row", "row", axis=2)], (5, 3), "LayerNorm(3)"),
        ([node("Transpose", "x", perm=[0, 2, 1])], (5, 3), "Permute(2, 1)"),
        ([node("Reshape", "x", "to")], (6, 5), "Reshape(2, -1)"),
    ],
    ids=str,
)
def test_what_others_write_for_the_same_layer_is_read(
    nodes: list[Any], shape: Shape, layers: str, tmp_path: Path
) -> None:
    row = np.array([1.0, 2.0, 4.0], np.float32)
    constants: dict[str, Any] = {"w": W, "s": np.array([1, 1, 3, 2], np.float32), "none": np.zeros(8, np.int64)}
    constants |= {"row": row, "col": row[:, None], "one": np.float32(2), "to": np.array([0, 2, -1])}
    path = write(tmp_path / "net.onnx", nodes, ["batch", *shape], **constants)
    model, x = load(path), numbers(3, *shape)
    assert layers in " ".join(" ".join(map(repr, model)).split())
    assert_close(run(path, x), model(x))


@pytest.mark.parametrize(
    ("nodes", "shape", "message"),
    [
        ([node("Conv", "w", "x")], (1, 4, 4), "operator Conv, y: expected its weight as a constant of float32, shape"),
        ([node("Conv", "x", "w", kernel_shape=[3, 3])], (1, 6, 6), r"expected kernel_shape \[4, 4\]"),
        ([node("Conv", "x", "w", group=2)], (1, 6, 6), "operator Conv, y: .*groups=2"),
        ([node("Conv", "x", "w")], (2, 6, 6), r"operator Conv, y: .*expected input of shape \(batch, 1, \?, \?\)"),
        ([node("Conv", "x", "w", dilations=[10**12, 1])], (1, 6, 6), r"its kernel reaches over 3000000000001 entries"),
        ([node("Conv", "x", "w", pads=[1, 1])], (1, 6, 6), "expected pads for 2 axes"),
        ([node("ConvTranspose", "x", "w", pads=[0, 1, 1, 1])], (1, 6, 6), "no such transposed convolution"),
        ([node("ConvTranspose", "x", "w", output_shape=[9, 9])], (1, 6, 6), "no such transposed convolution"),
        ([node("MaxPool", "x", kernel_shape=[10**12, 1])], (1, 6, 6), "its kernel reaches over 1000000000000"),
        ([node("MaxPool", "x", kernel_shape=[2, 2], pads=[0, 0, 1, 1])], (1, 6, 6), "pads the two ends of an axis"),
        ([node("MaxPool", "x", kernel_shape=[1, 1], strides=[5, 5], ceil_mode=1)], (1, 7, 7), "ceil_mode a place may"),
        ([helper.make_node("MaxPool", ["x"], ["v", "y"], kernel_shape=[2, 2])], (1, 6, 6), "only the first of its out"),
        ([node("AveragePool", "x", kernel_shape=[2, 2], ceil_mode=1)], (1, 5, 5), "no ceil_mode"),
        ([node("AveragePool", "x", kernel_shape=[2, 2], pads=[0, 0, 1, 1])], (1, 5, 5), "pads the two ends"),
        ([node("ReduceMean", "x", axes=[1])], (3, 6), r"is over the axes \[1\]"),
        ([node("ReduceMean", "x", axes=[0, 1, 2])], (3, 6), r"is over the axes \[0, 1, 2\]"),
        ([node("PRelu", "x", "row")], (5, 3), r"expected its slopes as .*, got shape \(3,\)"),
        ([node("PRelu", "one", "x")], (3,), "expected its slopes as .*, got another value"),
        ([node("Resize", "x", "", "s", mode="cubic")], (3, 4, 4), "mode cubic"),
        ([node("Resize", "x", "", "half")], (3, 4, 4), "by whole numbers"),
        ([node("Pad", "x", "eight", "one")], (3, 4, 4), "pads the axes after the channels"),
        ([node("Pad", "x", "eight")], (3, 4, 4), "pads the axes after the channels"),
        ([node("BatchNormalization", "x", *["row"] * 4, training_mode=1)], (3, 4), "is in training mode"),
        ([node("BatchNormalization", "x", "row", "row", "row", "one")], (3, 4), "expected its running_var as a const"),
        ([node("LayerNormalization", "x", "row", axis=0)], (5, 3), "is not after the batch axis"),
        ([node("LayerNormalization", "x", "one")], (5, 3), r"expected its scale as a constant of float32, shape \(3\)"),
        ([node("InstanceNormalization", "x", "row", "row")], (3,), "channels and further axes"),
        ([node("Gather", "x", "i", axis=1)], (3,), "expected the rows, axis 0, of a constant table"),
        ([node("Sub", "row", "x")], (3,), r"operator Sub, y: takes an array of shape \(3,\), row"),
        ([node("Sub", "x", "col")], (3,), r"takes an array of shape \(3, 1\)"),
        ([node("Transpose", "x", perm=[1, 0])], (3,), r"to the order \[1, 0\]"),
    ],
    ids=str,
)
def test_what_no_layer_does_is_refused(nodes: list[Any], shape: Shape, message: str, tmp_path: Path) -> None:
    row = np.array([1.0, 2.0, 4.0], np.float32)
    constants: dict[str, Any] = {"w": W, "s": np.array([1, 1, 3, 2], np.float32), "eight": np.ones(8, np.int64)}
    constants |= {"half": np.array([1, 1, 0.5, 1], np.float32), "i": np.array([0])}
    constants |= {"row": row, "col": row[:, None], "one": np.float32(2)}
    assert_refused(write(tmp_path / "net.onnx", nodes, ["batch", *shape], **constants), message, load)


def test_ceil_mode_of_images_of_any_size_is_read_where_no_place_can_begin_in_the_padding(tmp_path: Path) -> None:
    def pool(**settings: Any) -> Path:
        nodes = [node("MaxPool", "x", ceil_mode=1, **settings)]
        return write(tmp_path / "net.onnx", nodes, ["batch", 2, "height", "width"])

    path, x = pool(kernel_shape=[3, 2], strides=[2, 2]), numbers(3, 2, 6, 7)
    assert_close(run(path, x), load(path)(x))
    assert_refused(pool(kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]), "ceil_mode a place may begin", load)


@pytest.mark.parametrize(("dynamo", "opset"), [(False, 17), pytest.param(True, 18, marks=pytest.mark.slow)])
def test_convolutional_nets_come_from_pytorchs_exporters(dynamo: bool, opset: int, tmp_path: Path) -> None:
    def layers(nn: Any) -> list[Any]:
        head = [nn.Conv2d(2, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.GroupNorm(2, 4)]
        body = [nn.ConvTranspose2d(4, 2, 2, 2), nn.InstanceNorm2d(2, affine=True), nn.Upsample(scale_factor=2)]
        rest = [nn.Upsample(scale_factor=2, mode="bilinear"), nn.ZeroPad2d((1, 0, 2, 1)), nn.AvgPool2d(2)]
        return [*head, *body, *rest, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(2), nn.Linear(2, 3)]

    path = tmp_path / "net.onnx"
    module, x = torch_file(path, layers, (2, 15, 15), dynamo, opset), numbers(3, 2, 15, 15)
    model = load(path)
    assert_close(run(path, x), model(x))
    import torch

    assert_close(module(torch.from_numpy(x)).detach().numpy(), model(x))
    found = [type(layer).__name__ for layer in model]
    assert "Wired" not in found
    assert {"Conv2d", "MaxPool2d", "GroupNorm", "ConvTranspose2d", "InstanceNorm", "Upsample", "LayerNorm"} <= {*found}


def test_norms_that_are_written_out_are_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch_file(tmp_path / "net.onnx", lambda nn: [nn.LayerNorm(4), nn.Linear(4, 2)], (3, 4), False, 13)
    model = load(tmp_path / "net.onnx")
    assert [repr(layer) for layer in model] == ["LayerNorm(4)", "Linear(4, 2)"]
    assert_close(run(tmp_path / "net.onnx", numbers(5, 3, 4)), model(numbers(5, 3, 4)))
