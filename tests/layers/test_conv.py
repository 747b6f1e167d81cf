"""Convolutions: equal to PyTorch for drawn shapes and options, whatever the pieces that a batch is cut into."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import Conv1d, Conv2d, ConvTranspose2d, Layer, Linear, Sequential, ShapeError, check_gradients
from nanonet.layers import columns

small = st.integers(1, 3)


def built(layer: Layer, dtype: npt.DTypeLike = np.float64) -> Sequential:
    """Return a model of one layer, all its numbers drawn."""
    model = Sequential(layer, dtype=dtype, rng=0)
    model.vector.value[:] = np.random.default_rng(1).normal(size=model.vector.size)
    return model


def passes(model: Sequential, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return y, dE/dx and the gradients of the parameters, for a drawn dE/dy."""
    y, cache = model.forward(x, training=True)
    dx = model.backward(np.random.default_rng(2).normal(size=y.shape).astype(y.dtype), cache)
    return [y, dx, *(parameter.grad.copy() for parameter in model.parameters().values())]


def passes_there(module: Any, model: Sequential, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return what ``passes`` returns, of a PyTorch module with the numbers of a model."""
    torch = pytest.importorskip("torch")
    module = module.double()
    state = {name.removeprefix("0."): torch.tensor(array) for name, array in model.state_dict().items()}
    module.load_state_dict(state)
    there = torch.tensor(x, requires_grad=True)
    y = module(there)
    y.backward(torch.tensor(np.random.default_rng(2).normal(size=tuple(y.shape))))
    return [array.detach().numpy() for array in (y, there.grad, *(p.grad for p in module.parameters()))]


def assert_equal_to_pytorch(layer: Layer, module: Any, shape: tuple[int, ...]) -> None:
    model, x = built(layer), np.random.default_rng(3).normal(size=shape)
    (y, *gradients), (y_there, *gradients_there) = passes(model, x), passes_there(module, model, x)
    np.testing.assert_allclose(y, y_there, rtol=1e-12, atol=1e-12)
    for found, wanted in zip(gradients, gradients_there, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)
    assert model.follow(shape[1:]) == y.shape[1:]


@st.composite
def convolutions(draw: st.DrawFn, axes: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Draw the arguments of a convolution, and a shape that it takes."""
    groups, each = draw(small), st.tuples(*[small] * axes)
    kernel, dilation = draw(each), draw(each)
    stride, padding = draw(each), draw(st.one_of(st.tuples(*[st.integers(0, 2)] * axes), st.just("valid")))
    if draw(st.booleans()):
        stride, padding = (1,) * axes, draw(st.sampled_from(["same", padding]))
    ends = (0,) * axes if isinstance(padding, str) else padding
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, ends, strict=True)]
    arguments = {
        "in_channels": groups * draw(small),
        "out_channels": groups * draw(small),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    size = (n + draw(st.integers(0, 5)) for n in least)
    return arguments, (draw(small), arguments["in_channels"], *size)


@st.composite
def transposed(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Draw the arguments of a transposed convolution, and a shape that it takes."""
    groups, each = draw(small), st.tuples(small, small)
    arguments: dict[str, Any] = {"kernel_size": draw(each), "stride": draw(each), "dilation": draw(each)}
    reach = [d * (k - 1) + 1 for k, d in zip(arguments["kernel_size"], arguments["dilation"], strict=True)]
    beyond = [max(s, d) - 1 for s, d in zip(arguments["stride"], arguments["dilation"], strict=True)]
    arguments |= {
        "in_channels": groups * draw(small),
        "out_channels": groups * draw(small),
        "padding": tuple(draw(st.integers(0, (n - 1) // 2)) for n in reach),
        "output_padding": tuple(draw(st.integers(0, n)) for n in beyond),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return arguments, (draw(small), arguments["in_channels"], draw(st.integers(1, 5)), draw(st.integers(1, 5)))


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=60, deadline=None)
@given(convolutions(2))
def test_a_conv2d_is_pytorchs(drawn: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape = drawn
    assert_equal_to_pytorch(Conv2d(**arguments), torch.nn.Conv2d(**arguments), shape)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=60, deadline=None)
@given(convolutions(1))
def test_a_conv1d_is_pytorchs(drawn: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape = drawn
    assert_equal_to_pytorch(Conv1d(**arguments), torch.nn.Conv1d(**arguments), shape)


@pytest.mark.peer
@settings(max_examples=60, deadline=None)
@given(transposed())
def test_a_transposed_conv2d_is_pytorchs(drawn: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape = drawn
    assert_equal_to_pytorch(ConvTranspose2d(**arguments), torch.nn.ConvTranspose2d(**arguments), shape)


def test_a_conv1d_slides_its_kernel_over_a_sequence() -> None:
    model = Sequential(Conv1d(1, 1, 2, weight=[[[1.0, -1.0]]], bias=[10.0]))
    np.testing.assert_array_equal(model([[[1, 4, 9, 16]]]), [[[7, 5, 3]]])


def test_a_conv2d_sums_what_lies_under_its_kernel() -> None:
    image = [[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]]
    layer = Conv2d(1, 1, 2, weight=[[[[1.0, 10.0], [100.0, 1000.0]]]], bias=False)
    model = Sequential(layer)
    y, cache = model.forward(model.enter(image))
    np.testing.assert_array_equal(y, [[[[5421, 6532]]]])
    dx = model.backward(np.array([[[[1.0, 2.0]]]], np.float32), cache)
    np.testing.assert_array_equal(dx, [[[[1, 12, 20], [100, 1200, 2000]]]])
    np.testing.assert_array_equal(layer.weight.grad, [[[[5, 8], [14, 17]]]])


def test_a_transposed_conv2d_stamps_its_kernel() -> None:
    layer = ConvTranspose2d(1, 1, (1, 3), (1, 2), weight=[[[[1.0, 2.0, 3.0]]]], bias=[0.5])
    np.testing.assert_array_equal(Sequential(layer)([[[[1, 10]]]]), [[[[1.5, 2.5, 13.5, 20.5, 30.5]]]])


def test_a_transposed_conv2d_is_the_transpose_of_a_conv2d() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3, 3, 2))
    there = built(Conv2d(3, 4, (3, 2), (2, 1), (1, 0), bias=False))
    back = built(ConvTranspose2d(4, 3, (3, 2), (2, 1), (1, 0), bias=False))
    there.load_state_dict({"0.weight": weight})
    back.load_state_dict({"0.weight": weight})
    x, y = np.random.default_rng(1).normal(size=(2, 3, 7, 5)), np.random.default_rng(2).normal(size=(2, 4, 4, 4))
    assert np.vdot(there(x), y) == pytest.approx(np.vdot(x, back(y)), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("samples", [0, 1, 5, 7])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: Conv2d(2, 4, 3, padding=1, groups=2),
        lambda: Conv2d(2, 3, 2, stride=2),
        lambda: Conv1d(2, 3, 3, padding="same"),
        lambda: ConvTranspose2d(2, 3, 3, stride=2, padding=1),
    ],
    ids=["groups", "stride", "one axis", "transposed"],
)
def test_the_pieces_that_a_batch_is_cut_into_do_not_matter(
    layer: Callable[[], Layer], samples: int, dtype: npt.DTypeLike, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (samples, 2, 6) if isinstance(layer(), Conv1d) else (samples, 2, 6, 5)
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    wanted = passes(built(layer(), dtype), x)
    for cache, small, worth in ((1, 10**6, 10**9), (4000, 10**6, 10**9), (2**20, 10**4, 1), (2**20, 1, 0)):
        monkeypatch.setattr(columns, "CACHE", cache)
        monkeypatch.setattr(columns, "SMALL", small)
        monkeypatch.setattr(columns, "WORTH", worth)
        for found, one in zip(passes(built(layer(), dtype), x), wanted, strict=True):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, one, rtol=1e-5 if dtype is np.float32 else 1e-12, atol=1e-5)


@pytest.mark.parametrize("layer", [Conv2d(2, 3, 3), ConvTranspose2d(2, 3, 3, padding=1)], ids=repr)
def test_the_memory_order_of_the_input_does_not_matter(layer: Layer) -> None:
    model, x = built(layer), np.random.default_rng(0).normal(size=(4, 2, 6, 5))
    wanted = passes(model, x)
    for other in (
        np.asfortranarray(x),
        x.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
        np.repeat(x, 2, 3)[..., ::2],
    ):
        for found, one in zip(passes(model, other), wanted, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layer", [Conv1d(2, 3, 3), Conv2d(2, 3, 3), ConvTranspose2d(2, 3, 3)], ids=repr)
def test_both_backward_methods_assign_the_same_gradients(layer: Layer) -> None:
    model = built(layer)
    x = np.random.default_rng(0).normal(size=(4, 2, 6) if isinstance(layer, Conv1d) else (4, 2, 6, 5))
    wanted = passes(model, x)[2:]
    y, cache = model.forward(x)
    model.vector.grad[:] = np.nan
    layer.backward_parameters(np.random.default_rng(2).normal(size=y.shape), cache[0])
    for parameter, one in zip(model.parameters().values(), wanted, strict=True):
        np.testing.assert_array_equal(parameter.grad, one)


def test_a_sample_with_nan_or_infinity_leaves_the_others_alone() -> None:
    model, x = built(Conv2d(2, 3, 3, padding=1)), np.random.default_rng(0).normal(size=(3, 2, 6, 5))
    wanted = model(x)
    x[1, :, 2, 3], x[1, :, 5, 4] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        found = model(x)
    np.testing.assert_array_equal(found[[0, 2]], wanted[[0, 2]])
    assert np.isfinite(found[1, :, :, 0]).all()


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
def test_padding_by_name_keeps_the_length_or_adds_nothing(kernel: int) -> None:
    x = np.zeros((1, 1, 9))
    assert Sequential(Conv1d(1, 1, kernel, padding="same", dilation=2))(x).shape == (1, 1, 9)
    assert Sequential(Conv1d(1, 1, kernel, padding="valid"))(x).shape == (1, 1, 10 - kernel)


@pytest.mark.parametrize("layer", [Conv2d(2, 3, 3), Conv2d(2, 2, 3, 2, 1, 1, 2, bias=False), Conv1d(2, 3, 3)], ids=repr)
def test_the_gradients_are_right_without_a_shape(layer: Layer) -> None:
    check_gradients(layer)


# ---- shapes


def test_lengths_that_are_not_known_stay_open() -> None:
    assert Sequential(Conv2d(1, 6, 5)).follow(None) == (6, None, None)
    assert Sequential(Conv2d(1, 6, 5, padding=2)).follow((..., None, 28)) == (6, None, 28)
    assert Sequential(Conv1d(1, 6, 5, 2)).follow((1, None)) == (6, None)
    assert Sequential(ConvTranspose2d(1, 6, 2, 2)).follow((1, None, 7)) == (6, None, 14)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Conv2d(1, 6, 5), (1, 4, 9), "(batch, C, H, W) with H >= 5 and W >= 5, got (batch, 1, 4, 9)"),
        (Conv2d(1, 6, 5, padding=1), (1, 4, 2), "(batch, C, H, W) with H >= 3 and W >= 3, got (batch, 1, 4, 2)"),
        (Conv2d(1, 6, (5, 1)), (1, 4, 9), "(batch, C, H, W) with H >= 5 and W >= 1, got (batch, 1, 4, 9)"),
        (Conv1d(1, 6, 5, dilation=2), (1, 8), "(batch, C, L) with L >= 9, got (batch, 1, 8)"),
        (Conv2d(1, 6, 5), (3, 9, 9), "input of shape (batch, 1, ?, ?), got (4, 3, 9, 9)"),
        (Conv2d(1, 6, 5), (9, 9), "input of shape (batch, 1, ?, ?), got (4, 9, 9)"),
        (Conv1d(1, 6, 5), (1, 9, 9), "input of shape (batch, 1, ?), got (4, 1, 9, 9)"),
        (ConvTranspose2d(1, 6, 3, padding=2), (1, 2, 3), "padding=(2, 2) leaves something, got (batch, 1, 2, 3)"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_what_would(
    layer: Layer, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(layer)(np.zeros((4, *shape)))


def test_a_layer_that_does_not_fit_the_one_below_is_named() -> None:
    with pytest.raises(ShapeError, match=r"layer 1, Conv2d\(5, 1, 3\), expects \(batch, 5, \?, \?\), but layer 0"):
        Sequential(Conv2d(1, 6, 5), Conv2d(5, 1, 3))
    with pytest.raises(ShapeError, match=r"layer 0, Linear\(3, 4\), gives .*, which does not fit layer 1: Conv1d"):
        Sequential(Linear(3, 4), Conv1d(2, 1, 5))


# ---- arguments

any_1d: Any = Conv1d
any_2d: Any = Conv2d
any_transposed: Any = ConvTranspose2d


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: any_2d(0, 1, 3), ValueError, "Conv2d: expected in_channels of 1 or more, got 0"),
        (lambda: any_2d(1, 1.0, 3), TypeError, "Conv2d: expected out_channels as an int, got 1.0"),
        (lambda: any_2d(1, 1, 0), ValueError, "Conv2d: expected kernel_size of 1 or more, got 0"),
        (lambda: any_2d(1, 1, (3, 3, 3)), ValueError, "Conv2d: expected kernel_size as an int or 2 of them, got (3,"),
        (lambda: any_1d(1, 1, (3, 3)), ValueError, "Conv1d: expected kernel_size as an int, got (3, 3)"),
        (lambda: any_1d(1, 1, "3"), TypeError, "Conv1d: expected kernel_size as an int, got '3'"),
        (lambda: any_2d(1, 1, 3, stride=0), ValueError, "Conv2d: expected stride of 1 or more, got 0"),
        (lambda: any_2d(1, 1, 3, padding=-1), ValueError, "Conv2d: expected padding of 0 or more, got -1"),
        (lambda: any_2d(1, 1, 3, padding=True), TypeError, "Conv2d: expected padding as an int, got True"),
        (lambda: any_2d(1, 1, 3, padding="full"), ValueError, '"same" or "valid", got \'full\''),
        (lambda: any_2d(1, 1, 3, 2, "same"), ValueError, 'Conv2d: padding="same" needs stride 1, got stride (2, 2)'),
        (lambda: any_2d(1, 1, 3, dilation=0.5), TypeError, "Conv2d: expected dilation as an int, got 0.5"),
        (
            lambda: any_2d(4, 6, 3, groups=3),
            ValueError,
            "expected in_channels as a multiple of groups=3, got 4",
        ),
        (lambda: any_2d(4, 6, 3, groups=4), ValueError, "expected out_channels as a multiple of groups=4, got 6"),
        (lambda: any_2d(1, 1, 3, bias=[1.0, 2.0]), ShapeError, "Conv2d(1, 1, 3, bias=[1.0, 2.0]).bias: expected a st"),
        (lambda: any_2d(1, 1, 3, weight=np.ones((1, 3, 3))), ShapeError, "weight: expected a starting array of shape"),
        (lambda: any_transposed(1, 1, 3, output_padding=1), ValueError, "expected output_padding below stride=1 or"),
        (lambda: any_transposed(1, 1, 3, padding="same"), TypeError, "expected padding as an int, got 'same'"),
    ],
)
def test_a_bad_argument_fails_in_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


def test_the_arguments_are_attributes_under_pytorchs_names() -> None:
    layer = Conv2d(4, 6, 3, (2, 1), 1, groups=2)
    assert (layer.kernel_size, layer.stride, layer.padding, layer.dilation) == ((3, 3), (2, 1), (1, 1), (1, 1))
    assert (layer.in_channels, layer.out_channels, layer.groups, layer.weight.shape) == (4, 6, 2, (6, 2, 3, 3))
    assert Conv1d(4, 6, 3, padding="same").padding == "same"
    assert ConvTranspose2d(4, 6, 3, groups=2).weight.shape == (4, 3, 3, 3)
    assert repr(layer) == "Conv2d(4, 6, 3, (2, 1), 1, groups=2)"


@pytest.mark.parametrize("layer", [Conv1d(8, 64, 25), Conv2d(8, 64, 5), ConvTranspose2d(64, 8, 5)], ids=repr)
def test_weights_start_he_uniform_and_biases_at_0(layer: Conv1d | Conv2d | ConvTranspose2d) -> None:
    Sequential(layer, rng=0)
    bound = (6 / (8 * 25)) ** 0.5
    assert 0.99 * bound < np.abs(layer.weight.value).max() <= np.float32(bound)
    assert layer.bias is not None
    assert not layer.bias.value.any()
