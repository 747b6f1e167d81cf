"""Upsample and ZeroPad2d: equal to PyTorch, and to what one can see."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import Layer, Sequential, Shape, ShapeError, Upsample, ZeroPad2d

small = st.integers(1, 3)
shapes = st.tuples(small, small, st.integers(1, 4), st.integers(1, 4))


def assert_equal_to_pytorch(layer: Layer, module: Any, shape: Shape) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=shape)
    x_there = torch.tensor(x, requires_grad=True)
    y_there = module(x_there)
    grad = np.random.default_rng(1).normal(size=tuple(y_there.shape))
    y_there.backward(torch.tensor(grad))
    y, cache = layer.forward(x, training=True)
    np.testing.assert_allclose(y, y_there.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.backward(grad, cache), x_there.grad.numpy(), rtol=1e-12, atol=1e-12)
    assert layer.output_shape(shape[1:]) == y.shape[1:]


@pytest.mark.peer
@settings(max_examples=30, deadline=None)
@given(st.tuples(small, small), st.sampled_from(["nearest", "bilinear"]), shapes)
def test_an_upsample_is_pytorchs(scale_factor: tuple[int, int], mode: Any, shape: Shape) -> None:
    torch = pytest.importorskip("torch")
    there = torch.nn.Upsample(scale_factor=scale_factor, mode=mode)
    assert_equal_to_pytorch(Upsample(scale_factor, mode), there, shape)


@pytest.mark.peer
@settings(max_examples=30, deadline=None)
@given(st.one_of(st.integers(0, 2), st.tuples(*[st.integers(0, 2)] * 4)), shapes)
def test_a_zeropad2d_is_pytorchs(padding: int | tuple[int, int, int, int], shape: Shape) -> None:
    torch = pytest.importorskip("torch")
    assert_equal_to_pytorch(ZeroPad2d(padding), torch.nn.ZeroPad2d(padding), shape)


def test_each_entry_becomes_an_area_and_gets_its_gradient() -> None:
    layer = Upsample((1, 2))
    y, cache = layer.forward(np.array([[[[1.0, 2.0]]]]))
    np.testing.assert_array_equal(y, [[[[1, 1, 2, 2]]]])
    np.testing.assert_array_equal(layer.backward(np.array([[[[1.0, 10.0, 2.0, 20.0]]]]), cache), [[[[11, 22]]]])


def test_between_two_entries_bilinear_steps_are_equal_and_ends_stay() -> None:
    layer = Upsample((1, 4), mode="bilinear")
    y, cache = layer.forward(np.array([[[[0.0, 8.0]]]]))
    np.testing.assert_array_equal(y, [[[[0, 0, 1, 3, 5, 7, 8, 8]]]])
    np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache), [[[[4, 4]]]])


def test_padding_is_left_right_top_and_bottom() -> None:
    np.testing.assert_array_equal(Sequential(ZeroPad2d((1, 0, 0, 1)))([[[[7.0]]]]), [[[[0, 7], [0, 0]]]])


@pytest.mark.parametrize(
    "layer", [Upsample(2), Upsample(1), Upsample(2, "bilinear"), ZeroPad2d(1), ZeroPad2d(0)], ids=repr
)
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_results_have_the_inputs_dtype_for_any_batch(layer: Layer, samples: int) -> None:
    x = np.ones((samples, 2, 4, 3), np.float32)
    y, cache = layer.forward(x)
    dx = layer.backward(np.ones_like(y), cache)
    assert y.dtype == dx.dtype == np.float32
    assert dx.shape == x.shape


def test_lengths_that_are_not_known_stay_open() -> None:
    assert Sequential(Upsample(2)).follow(None) == (None, None, None)
    assert Sequential(Upsample((2, 3))).follow((6, None, 5)) == (6, None, 15)
    assert Sequential(ZeroPad2d((1, 2, 3, 4))).follow((..., None, 5)) == (None, None, 8)
    with pytest.raises(ShapeError, match=re.escape("expected input of shape (batch, ?, ?, ?), got (4, 5)")):
        Sequential(Upsample(2))(np.zeros((4, 5)))


upsample: Any = Upsample
zero_pad: Any = ZeroPad2d


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: upsample(0), ValueError, "Upsample: expected scale_factor of 1 or more, got 0"),
        (lambda: upsample(1.5), TypeError, "Upsample: expected scale_factor as an int, got 1.5"),
        (lambda: upsample((2, 2, 2)), ValueError, "Upsample: expected scale_factor as an int or 2 of them, got (2, 2"),
        (lambda: upsample(2, "cubic"), ValueError, 'expected mode as "nearest" or "bilinear", got \'cubic\''),
        (lambda: zero_pad((1, 2)), ValueError, "ZeroPad2d: expected padding as an int or 4 of them, got (1, 2)"),
        (lambda: zero_pad(-1), ValueError, "ZeroPad2d: expected padding of 0 or more, got -1"),
    ],
)
def test_a_bad_argument_fails_in_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()
