"""The norms within a sample: equal to PyTorch for any options and shapes, right by hand, and clear about bad input."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Array,
    GroupNorm,
    InstanceNorm,
    Layer,
    LayerNorm,
    Linear,
    RMSNorm,
    Sequential,
    Shape,
    ShapeError,
    check_gradients,
)
from nanonet.layers import norm
from tests.layers.beside_pytorch import assert_module_equal

drawn = settings(max_examples=40, deadline=None)
sizes = st.integers(1, 5)
eps = st.sampled_from([0.0, 1e-5, 1e-2, 1.0])


def normalized(x: Array, axes: int | Shape, eps: float = 1e-5, *, centred: bool = True) -> Array:
    """Return what the formula says."""
    c = x - x.mean(axis=axes, keepdims=True) if centred else x
    result: Array = c / np.sqrt((c * c).mean(axis=axes, keepdims=True) + eps)
    return result


# ---- values


def test_layer_norm_of_1_2_3_is_what_the_formula_says() -> None:
    y = Sequential(LayerNorm(3, eps=0), dtype=np.float64)([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(y, [[-math.sqrt(1.5), 0, math.sqrt(1.5)]], rtol=1e-15)


def test_rms_norm_divides_by_the_root_of_the_mean_square() -> None:
    y = Sequential(RMSNorm(2, eps=0), dtype=np.float64)([[3.0, 4.0]])
    np.testing.assert_allclose(y, [[3 / math.sqrt(12.5), 4 / math.sqrt(12.5)]], rtol=1e-15)


def test_each_group_and_each_channel_is_normalized_on_its_own() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(5, 4, 6))
    groups = Sequential(GroupNorm(2, 4), dtype=np.float64)(x)
    np.testing.assert_allclose(groups.reshape(5, 2, 12), normalized(x.reshape(5, 2, 12), -1), rtol=1e-12)
    channels = Sequential(InstanceNorm(4), dtype=np.float64)(x)
    np.testing.assert_allclose(channels, normalized(x, -1), rtol=1e-12)


def test_each_channel_has_a_weight_and_a_bias_of_its_own() -> None:
    layers: list[Any] = [GroupNorm(2, 4), InstanceNorm(4, affine=True)]
    for layer in layers:
        model, x = Sequential(layer, dtype=np.float64), np.random.default_rng(0).normal(size=(5, 4, 6))
        plain = model(x)
        layer.weight.value, layer.bias.value = [1, 2, 3, 4], [0, 10, 20, 30]
        np.testing.assert_allclose(
            model(x), plain * np.array([1, 2, 3, 4])[:, None] + np.array([0, 10, 20, 30])[:, None]
        )


def test_the_default_eps_of_rms_norm_is_that_of_the_dtype() -> None:
    for dtype in (np.float32, np.float64):
        y = Sequential(RMSNorm(1), dtype=dtype)([[1e-8]])
        assert y.dtype == dtype
        assert float(y[0, 0]) == pytest.approx(1e-8 / math.sqrt(1e-16 + float(np.finfo(dtype).eps)), rel=1e-6)


@pytest.mark.parametrize("layer", [LayerNorm(4), GroupNorm(1, 4), RMSNorm(4)], ids=repr)
def test_a_constant_sample_is_finite(layer: Layer) -> None:
    model = Sequential(layer)
    with np.errstate(all="raise"):
        for number in (0, 1, -1000):
            y, cache = model.forward(np.full((2, 4), number, np.float32))
            assert np.abs(y).max() <= 1
            assert np.isfinite(model.backward(np.ones((2, 4), np.float32), cache)).all()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: LayerNorm(40), (3, 40)),
        (lambda: RMSNorm(40), (3, 40)),
        (lambda: GroupNorm(2, 4), (4, 10)),
        (lambda: InstanceNorm(4, affine=True), (4, 10)),
    ],
)
def test_a_large_batch_in_blocks_is_what_its_samples_are_alone(
    make: Callable[[], Layer], shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rng = Sequential(make(), dtype=np.float64, rng=0), np.random.default_rng(0)
    model.vector.value[:] = rng.normal(size=model.vector.size)
    x, grad = rng.normal(size=(2, 50, *shape))
    whole, cache = model.forward(x)
    dx, dw = model.backward(grad, cache), model.vector.grad.copy()
    monkeypatch.setattr(norm, "BLOCK", 7 * math.prod(shape))
    y, cache = model.forward(x)
    np.testing.assert_allclose(y, whole, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(model.backward(grad, cache), dx, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(model.vector.grad, dw, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(LayerNorm((3, 2)), (4, 3, 2)), (RMSNorm(2), (3, 2)), (GroupNorm(2, 4), (4,)), (InstanceNorm(2), (2, 3))],
    ids=repr,
)
def test_an_empty_batch_gives_an_empty_one(layer: Layer, shape: Shape) -> None:
    model = Sequential(layer)
    y, cache = model.forward(np.ones((0, *shape), np.float32))
    assert y.shape == model.backward(y, cache).shape == (0, *shape)
    assert not model.vector.grad.any()


def test_check_gradients_needs_no_shape_where_the_layer_states_it() -> None:
    check_gradients(LayerNorm((3, 2)))
    check_gradients(RMSNorm(4))


# ---- PyTorch


@pytest.mark.peer
@drawn
@given(st.data())
def test_layer_norm_is_pytorchs(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    axes = data.draw(st.lists(sizes, min_size=1, max_size=3).map(tuple))
    further, e = data.draw(st.lists(sizes, max_size=2).map(tuple)), data.draw(eps.filter(bool))
    affine, bias = data.draw(st.booleans()), data.draw(st.booleans())
    assert_module_equal(
        LayerNorm(axes, e, elementwise_affine=affine, bias=bias),
        torch.nn.LayerNorm(axes, e, affine, bias),
        (data.draw(sizes), *further, *axes),
    )


@pytest.mark.peer
@drawn
@given(st.data())
def test_rms_norm_is_pytorchs(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    axes = data.draw(st.lists(sizes, min_size=1, max_size=3).map(tuple))
    e, affine = data.draw(st.none() | eps.filter(bool)), data.draw(st.booleans())
    assert_module_equal(
        RMSNorm(axes, e, elementwise_affine=affine),
        torch.nn.RMSNorm(axes, e, affine),
        (data.draw(sizes), *data.draw(st.lists(sizes, max_size=2)), *axes),
    )


@pytest.mark.peer
@drawn
@given(st.data())
def test_group_norm_is_pytorchs(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    groups, each = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    further = data.draw(st.lists(sizes, max_size=3))
    samples, e, affine = data.draw(st.integers(2, 5)), data.draw(eps.filter(bool)), data.draw(st.booleans())
    assert_module_equal(
        GroupNorm(groups, groups * each, e, affine=affine),
        torch.nn.GroupNorm(groups, groups * each, e, affine),
        (samples, groups * each, *further),
    )


@pytest.mark.peer
@drawn
@given(st.data())
def test_instance_norm_is_pytorchs(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    further = data.draw(st.lists(sizes, min_size=1, max_size=3).filter(lambda lengths: math.prod(lengths) > 1))
    there = [torch.nn.InstanceNorm1d, torch.nn.InstanceNorm2d, torch.nn.InstanceNorm3d][len(further) - 1]
    channels, e, affine = data.draw(sizes), data.draw(eps.filter(bool)), data.draw(st.booleans())
    assert_module_equal(
        InstanceNorm(channels, e, affine=affine),
        there(channels, e, affine=affine),
        (data.draw(sizes), channels, *further),
    )


# ---- what does not fit


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: LayerNorm(0), ValueError, "LayerNorm: normalized_shape: expected each size of 1 or more, got 0"),
        (lambda: LayerNorm(()), ValueError, "LayerNorm: expected normalized_shape of at least one axis, got ()"),
        (lambda: LayerNorm(2.5), TypeError, "LayerNorm: normalized_shape: expected each size as an int, got 2.5"),  # type: ignore[arg-type]
        (lambda: LayerNorm(3, -1), ValueError, "LayerNorm: expected a finite eps of 0 or more, got -1"),
        (lambda: LayerNorm(3, bias=1), TypeError, "LayerNorm: expected bias as True or False, got 1"),  # type: ignore[arg-type]
        (
            lambda: LayerNorm(3, elementwise_affine=None),  # type: ignore[arg-type]
            TypeError,
            "LayerNorm: expected elementwise_affine as True or False, got None",
        ),
        (lambda: RMSNorm(3, np.nan), ValueError, "RMSNorm: expected a finite eps of 0 or more, got nan"),
        (lambda: GroupNorm(2, 3), ValueError, "a multiple of num_groups, got 3 channels in 2 groups"),
        (lambda: GroupNorm(0, 3), ValueError, "GroupNorm: expected num_groups of 1 or more, got 0"),
        (lambda: GroupNorm(1, 3, affine="no"), TypeError, "GroupNorm: expected affine as True or False, got 'no'"),  # type: ignore[arg-type]
        (lambda: InstanceNorm(True), TypeError, "InstanceNorm: expected num_features as an int, got True"),
        (lambda: InstanceNorm(2, "a"), TypeError, "InstanceNorm: expected eps as a number, got 'a'"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (LayerNorm(3), (4, 2), "LayerNorm(3): expected input of shape (batch, 3), got (4, 2)"),
        (LayerNorm((2, 3)), (4, 3), "LayerNorm((2, 3)): expected input of shape (batch, 2, 3), got (4, 3)"),
        (RMSNorm(3), (4, 1), "RMSNorm(3): expected input of shape (batch, 3), got (4, 1)"),
        (GroupNorm(1, 3), (4, 2, 3), "GroupNorm(1, 3): expected input of shape (batch, 3, ...), got (4, 2, 3)"),
        (InstanceNorm(3), (4, 3), "expected input of shape (batch, 3, ?, ...), got (4, 3)"),
        (InstanceNorm(3), (4, 3, 1, 1), "expected more than one number in each channel, got (batch, 3, 1, 1)"),
    ],
)
def test_an_input_of_another_shape_is_refused(layer: Layer, shape: Shape, message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(layer)(np.ones(shape))


def test_a_neighbour_that_does_not_fit_is_named() -> None:
    message = "layer 1, LayerNorm(3), expects (batch, 3), but layer 0, Linear(2, 4), gives (batch, 4)"
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(Linear(2, 4), LayerNorm(3))


def test_unknown_lengths_go_through() -> None:
    cases: list[tuple[Layer, Any, Any]] = [
        (LayerNorm((2, 3)), (None, None, 3), (None, 2, 3)),
        (GroupNorm(1, 3), (None, 5), (3, 5)),
        (GroupNorm(1, 3), (..., 8), (3, ..., 8)),
        (InstanceNorm(3), (3, None), (3, None)),
    ]
    for layer, before, after in cases:
        assert layer.output_shape(before) == after


def test_an_instance_norm_fits_where_only_the_last_axis_is_known() -> None:
    model = Sequential(Linear(3, 1), InstanceNorm(2))
    assert model(np.ones((4, 2, 5, 3))).shape == (4, 2, 5, 1)
    with pytest.raises(ShapeError, match="expected more than one number in each channel"):
        model(np.ones((4, 2, 1, 3)))
