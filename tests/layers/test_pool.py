"""Pooling: equal to PyTorch for drawn shapes, options and ties, on images and on sequences."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    GlobalAvgPool,
    Layer,
    MaxPool1d,
    MaxPool2d,
    Sequential,
    Shape,
    ShapeError,
    check_gradients,
)
from nanonet.layers import pool

small = st.integers(1, 3)
Draw = Callable[[Shape], npt.NDArray[Any]]


def normal(shape: Shape) -> npt.NDArray[Any]:
    return np.random.default_rng(0).normal(size=shape)


def tied(shape: Shape) -> npt.NDArray[Any]:
    """Draw few different numbers, so that many maxima are shared, all below the zeros of any padding."""
    return np.random.default_rng(0).integers(-3, 0, size=shape).astype(float)


def assert_equal_to_pytorch(layer: Layer, there: Callable[[Any], Any], x: npt.NDArray[Any]) -> None:
    torch = pytest.importorskip("torch")
    x_there = torch.tensor(x, requires_grad=True)
    y_there = there(x_there)
    if not torch.isfinite(y_there).all():
        return  # PyTorch crashes in backward where a dilated kernel lies on padding alone
    grad = np.random.default_rng(1).normal(size=tuple(y_there.shape))
    y_there.backward(torch.tensor(grad))
    y, cache = layer.forward(x, training=True)
    np.testing.assert_allclose(y, y_there.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(grad, cache), x_there.grad.numpy(), rtol=1e-10, atol=1e-10)
    assert layer.output_shape(x.shape[1:]) == y.shape[1:]


@st.composite
def pools(draw: st.DrawFn, axes: int, dilated: bool) -> tuple[dict[str, Any], Shape]:
    """Draw the arguments of a pooling layer, and a shape that it takes."""
    each = st.tuples(*[small] * axes)
    arguments: dict[str, Any] = {"kernel_size": draw(each), "stride": draw(st.one_of(st.none(), each))}
    arguments["padding"] = tuple(draw(st.integers(0, k // 2)) for k in arguments["kernel_size"])
    dilation = draw(each) if dilated else (1,) * axes
    if dilated:
        arguments |= {"dilation": dilation, "ceil_mode": draw(st.booleans())}
    else:
        arguments["count_include_pad"] = draw(st.booleans())
    stride = arguments["stride"] or arguments["kernel_size"]
    beyond = [s - 1 if arguments.get("ceil_mode") else 0 for s in stride]  # by how much a first place may be too large
    ends = zip(arguments["kernel_size"], dilation, arguments["padding"], beyond, strict=True)
    size = (max(1, d * (k - 1) + 1 - 2 * p - b) + draw(st.integers(0, 6)) for k, d, p, b in ends)
    return arguments, (draw(small), draw(small), *size)


@pytest.mark.peer
@pytest.mark.parametrize("kind", [MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d])
@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from([normal, tied]))
def test_pooling_is_pytorchs(kind: Any, data: st.DataObject, draw: Draw) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape = data.draw(pools(kind.axes, dilated=kind in (MaxPool1d, MaxPool2d)))
    assert_equal_to_pytorch(kind(**arguments), getattr(torch.nn, kind.__name__)(**arguments), draw(shape))


sides = st.one_of(st.none(), st.integers(1, 8))


@pytest.mark.peer
@settings(max_examples=60, deadline=None)
@given(st.tuples(sides, sides), st.tuples(small, small, st.integers(1, 9), st.integers(1, 9)))
def test_an_adaptive_avgpool2d_is_pytorchs(output_size: tuple[int | None, int | None], shape: Shape) -> None:
    torch = pytest.importorskip("torch")
    assert_equal_to_pytorch(AdaptiveAvgPool2d(output_size), torch.nn.AdaptiveAvgPool2d(output_size), normal(shape))


@pytest.mark.peer
@pytest.mark.parametrize("shape", [(3, 2, 5), (3, 2, 4, 5), (1, 1, 2, 3, 4)])
def test_a_global_mean_is_over_all_axes_after_the_channel(shape: Shape) -> None:
    assert_equal_to_pytorch(GlobalAvgPool(), lambda x: x.mean(dim=tuple(range(2, len(shape)))), normal(shape))


def test_the_first_of_equal_maxima_in_the_order_of_rows_has_the_gradient() -> None:
    layer = MaxPool2d(2)
    y, cache = layer.forward(np.array([[[[0.0, 1.0], [1.0, 0.0]]]]))
    np.testing.assert_array_equal(layer.backward(np.full_like(y, 5.0), cache), [[[[0, 5], [0, 0]]]])


def test_a_maximum_under_two_kernels_has_the_sum_of_their_gradients() -> None:
    layer = MaxPool1d(2, 1)
    y, cache = layer.forward(np.array([[[1.0, 9.0, 3.0]]]))
    np.testing.assert_array_equal(y, [[[9, 9]]])
    np.testing.assert_array_equal(layer.backward(np.array([[[2.0, 5.0]]]), cache), [[[0, 7, 0]]])


def test_padding_is_never_the_maximum_but_counts_in_the_mean_unless_told_otherwise() -> None:
    x = [[[-4.0, -8.0]]]
    np.testing.assert_array_equal(Sequential(MaxPool1d(2, 1, 1))(x), [[[-4, -4, -8]]])
    np.testing.assert_array_equal(Sequential(AvgPool1d(2, 1, 1))(x), [[[-2, -6, -4]]])
    np.testing.assert_array_equal(Sequential(AvgPool1d(2, 1, 1, count_include_pad=False))(x), [[[-4, -6, -8]]])


def test_what_reaches_over_the_end_counts_in_ceil_mode_alone() -> None:
    x = [[[1.0, 2.0, 3.0, 4.0, 5.0]]]
    np.testing.assert_array_equal(Sequential(MaxPool1d(2))(x), [[[2, 4]]])
    np.testing.assert_array_equal(Sequential(MaxPool1d(2, ceil_mode=True))(x), [[[2, 4, 5]]])
    np.testing.assert_array_equal(Sequential(AvgPool1d(2))(x), [[[1.5, 3.5]]])


def test_a_dilated_kernel_on_padding_alone_gives_minus_infinity_and_no_gradient() -> None:
    layer = MaxPool1d(2, padding=1, dilation=3)
    y, cache = layer.forward(np.array([[[1.0, 2.0]]]))
    np.testing.assert_array_equal(y, [[[-np.inf]]])
    np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache), [[[0, 0]]])


def test_areas_of_unequal_size_overlap() -> None:
    layer = AdaptiveAvgPool2d((1, 2))
    y, cache = layer.forward(np.array([[[[1.0, 2.0, 6.0]]]]))
    np.testing.assert_array_equal(y, [[[[1.5, 4]]]])
    np.testing.assert_array_equal(layer.backward(np.array([[[[2.0, 4.0]]]]), cache), [[[[1, 3, 2]]]])


every_pool: list[Layer] = [MaxPool2d(2), MaxPool2d(1), MaxPool2d(3, 2, 1), AvgPool2d(2), AvgPool2d(1)]
every_pool += [AvgPool2d(3, 2, 1, count_include_pad=False), GlobalAvgPool(), AdaptiveAvgPool2d(3), AdaptiveAvgPool2d(2)]


@pytest.mark.parametrize("layer", every_pool, ids=repr)
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_results_are_new_arrays_of_the_inputs_dtype_for_any_batch(layer: Layer, samples: int) -> None:
    x = normal((samples, 2, 6, 4)).astype(np.float32)
    y, cache = layer.forward(x)
    grad = normal(y.shape).astype(np.float32)
    dx = layer.backward(grad, cache)
    assert y.dtype == dx.dtype == np.float32
    assert dx.shape == x.shape
    assert not np.shares_memory(x, y)
    assert not np.shares_memory(grad, dx)


def test_the_pieces_that_a_batch_is_cut_into_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = MaxPool2d(3, 2, 1), tied((7, 2, 6, 5))
    y, cache = layer.forward(x)
    wanted = layer.backward(normal(y.shape), cache)
    for size in (1, 2000, 10**9):
        monkeypatch.setattr(pool, "CACHE", size)
        np.testing.assert_array_equal(layer.backward(normal(y.shape), cache), wanted)


@pytest.mark.parametrize("layer", [*every_pool, MaxPool1d(2), AvgPool1d(3, 1, 1)], ids=repr)
def test_the_gradients_are_right_without_a_shape(layer: Layer) -> None:
    check_gradients(layer)


# ---- shapes and arguments


def test_lengths_that_are_not_known_stay_open() -> None:
    assert Sequential(MaxPool2d(2)).follow(None) == (None, None, None)
    assert Sequential(MaxPool2d(2)).follow((6, None, 28)) == (6, None, 14)
    assert Sequential(AvgPool1d(2)).follow((..., 6, None)) == (6, None)
    assert Sequential(AdaptiveAvgPool2d((7, None))).follow((6, None, None)) == (6, 7, None)
    assert Sequential(GlobalAvgPool()).follow((6, None, None)) == (6,)
    assert Sequential(GlobalAvgPool()).follow((..., 6, 5)) == (None,)
    assert Sequential(GlobalAvgPool()).follow(None) == (None,)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (MaxPool2d(3), (2, 2, 5), "MaxPool2d(3): expected input of shape (batch, C, H, W) with H >= 3 and W >= 3, got"),
        (MaxPool1d(4, 2, ceil_mode=True), (2, 2), "expected input of shape (batch, C, L) with L >= 3, got"),
        (AvgPool1d(4, 1, 1), (2, 1), "AvgPool1d(4, 1, 1): expected input of shape (batch, C, L) with L >= 2, got"),
        (MaxPool2d(2), (5, 5), "MaxPool2d(2): expected input of shape (batch, ?, ?, ?), got (4, 5, 5)"),
        (GlobalAvgPool(), (5,), "GlobalAvgPool(): expected input of shape (batch, ?, ?, ...), got (4, 5)"),
        (AdaptiveAvgPool2d(1), (5, 5), "AdaptiveAvgPool2d(1): expected input of shape (batch, ?, ?, ?), got (4, 5, 5)"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_what_would(layer: Layer, shape: Shape, message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(layer)(np.zeros((4, *shape)))


max_1d: Any = MaxPool1d
max_2d: Any = MaxPool2d
avg_2d: Any = AvgPool2d
adaptive: Any = AdaptiveAvgPool2d


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: max_2d(0), ValueError, "MaxPool2d: expected kernel_size of 1 or more, got 0"),
        (
            lambda: max_2d((2, 2, 2)),
            ValueError,
            "expected kernel_size as an int or 2 of them, got (2, 2, 2)",
        ),
        (lambda: max_1d((2, 2)), ValueError, "MaxPool1d: expected kernel_size as an int, got (2, 2)"),
        (lambda: max_2d(2, stride=0), ValueError, "MaxPool2d: expected stride of 1 or more, got 0"),
        (
            lambda: max_2d(3, padding=2),
            ValueError,
            "expected padding of at most half of kernel_size=3, got 2",
        ),
        (lambda: avg_2d(2, padding="same"), TypeError, "AvgPool2d: expected padding as an int, got 'same'"),
        (lambda: max_2d(2, ceil_mode=1), TypeError, "MaxPool2d: expected ceil_mode as True or False, got 1"),
        (lambda: avg_2d(2, count_include_pad=None), TypeError, "expected count_include_pad as True or False, got None"),
        (lambda: adaptive((1, 2, 3)), ValueError, "expected output_size as an int or two of them, got (1, 2, 3)"),
        (lambda: adaptive(0), ValueError, "AdaptiveAvgPool2d: expected output_size of 1 or more, got 0"),
    ],
)
def test_a_bad_argument_fails_in_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


def test_the_arguments_are_attributes_under_pytorchs_names() -> None:
    layer = MaxPool2d((3, 2), padding=1, dilation=2)
    assert (layer.kernel_size, layer.stride, layer.padding) == ((3, 2), (3, 2), (1, 1))
    assert (layer.window.dilation, layer.window.ceil) == ((2, 2), False)
    assert (MaxPool1d(3).kernel_size, MaxPool1d(3).stride, AvgPool1d(3, 2).stride) == ((3,), (3,), (2,))
    assert AdaptiveAvgPool2d(7).output_size == (7, 7)
