"""BatchNorm: equal to PyTorch in both modes, its running statistics too; it needs two numbers for each feature."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import BatchNorm, Layer, Linear, Sequential, Shape, ShapeError, SquaredError, Tanh, check_gradients
from nanonet.layers import batch_norm, norm
from tests.helpers import data, picture, train
from tests.layers.beside_pytorch import assert_module_equal


def numbers(layer: BatchNorm) -> tuple[Any, Any, int]:
    """Return the running statistics, and after how many batches."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.num_batches_tracked is not None
    return layer.running_mean.value.tolist(), layer.running_var.value.tolist(), int(layer.num_batches_tracked.value)


# ---- values


def test_a_batch_of_two_numbers_becomes_minus_1_and_1() -> None:
    model = Sequential(BatchNorm(1, eps=0), dtype=np.float64)
    y, _ = model.forward(np.array([[1.0], [5.0]]), training=True)
    np.testing.assert_allclose(y, [[-1], [1]], rtol=1e-15)


def test_the_running_variance_is_the_unbiased_one() -> None:
    layer = BatchNorm(1, momentum=0.25)
    model = Sequential(layer, dtype=np.float64)
    model.forward(np.array([[1.0], [5.0]]), training=True)
    assert numbers(layer) == ([0.25 * 3], [0.75 + 0.25 * 8], 1)


def test_inference_uses_the_running_statistics_and_changes_nothing() -> None:
    layer = BatchNorm(1, eps=0)
    model = Sequential(layer, dtype=np.float64)
    model.load_state_dict(model.state_dict() | {"0.running_mean": [2.0], "0.running_var": [9.0]})
    before = picture(model)
    np.testing.assert_allclose(model([[8.0], [2.0]]), [[2], [0]], rtol=1e-15)
    np.testing.assert_allclose(model([[8.0]]), [[2]], rtol=1e-15)  # one sample alone too
    assert picture(model) == before


def test_backward_belongs_to_its_own_forward_whatever_has_been_trained_since() -> None:
    model, rng = Sequential(BatchNorm(3), dtype=np.float64, rng=0), np.random.default_rng(0)
    x, grad = rng.normal(size=(2, 6, 3))
    _, cache = model.forward(x)
    expected = model.backward(grad, cache), model.vector.grad.copy()
    model.forward(5 * x + 1, training=True)
    np.testing.assert_array_equal(model.backward(grad, cache), expected[0])
    np.testing.assert_array_equal(model.vector.grad, expected[1])


def test_without_momentum_the_running_statistics_are_means_over_all_batches() -> None:
    layer = BatchNorm(1, momentum=None)
    model = Sequential(layer, dtype=np.float64)
    for centre in (1.0, 2.0, 6.0):
        model.forward(np.array([[centre - 1], [centre + 1]]), training=True)
    mean, variance, count = numbers(layer)
    assert mean == pytest.approx([3])
    assert variance == pytest.approx([2])
    assert count == 3


def test_without_running_statistics_inference_uses_its_batch() -> None:
    model = Sequential(BatchNorm(1, eps=0, track_running_stats=False), dtype=np.float64)
    np.testing.assert_allclose(model([[1.0], [5.0]]), [[-1], [1]], rtol=1e-15)
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_the_state_has_pytorchs_names_and_kinds() -> None:
    state = Sequential(BatchNorm(2)).state_dict()
    assert list(state) == ["0.weight", "0.bias", "0.running_mean", "0.running_var", "0.num_batches_tracked"]
    assert state["0.num_batches_tracked"].dtype == np.int64
    assert state["0.running_var"].dtype == np.float32


@pytest.mark.parametrize("length", [1, 3, 300])
@pytest.mark.parametrize("training", [False, True])
def test_a_large_batch_in_blocks_is_what_it_is_in_one(
    length: int, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rng = Sequential(BatchNorm(4), dtype=np.float64, rng=0), np.random.default_rng(0)
    model.vector.value[:] = rng.normal(size=8)
    x, grad = rng.normal(3, 2, size=(2, 50, 4, length))
    state = model.state_dict()
    y, cache = model.forward(x, training=training)
    found = y, model.backward(grad, cache), model.vector.grad.copy(), *model.state_dict().values()
    monkeypatch.setattr(norm, "BLOCK", 28 * length)
    model.load_state_dict(state)
    y, cache = model.forward(x, training=training)
    again = y, model.backward(grad, cache), model.vector.grad.copy(), *model.state_dict().values()
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def test_the_sums_of_a_large_batch_far_from_0_keep_their_digits() -> None:
    x = np.random.default_rng(0).normal(1000, 1, size=(200_000, 1)).astype(np.float32)
    y, _ = Sequential(BatchNorm(1)).forward(x, training=True)
    true = x.astype(np.float64)
    np.testing.assert_allclose(y, (true - true.mean()) / true.std(), atol=2e-4)  # float32 has 1000 to 6e-5


def test_a_constant_feature_is_0_and_finite() -> None:
    model = Sequential(BatchNorm(2))
    with np.errstate(all="raise"):
        y, cache = model.forward(np.full((3, 2), -1000, np.float32), training=True)
        assert not y.any()
        assert np.isfinite(model.backward(np.ones((3, 2), np.float32), cache)).all()


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 2)])
def test_its_gradients_are_right_in_both_modes(shape: Shape) -> None:
    for layer in (BatchNorm(3), BatchNorm(3, 0.1, affine=False)):
        check_gradients(layer, shape)
    if len(shape) > 1:  # in inference too, it takes more than one number then
        check_gradients(BatchNorm(3, track_running_stats=False), shape)
    check_gradients(Sequential(BatchNorm(3), Tanh(), rng=0), shape)


def test_backward_parameters_gives_the_same_gradients_without_dx() -> None:
    model, rng = Sequential(BatchNorm(3), dtype=np.float64, rng=0), np.random.default_rng(0)
    x, grad = rng.normal(size=(2, 6, 3, 5))
    _, cache = model.forward(x, training=True)
    model.backward(grad, cache)
    expected = model.vector.grad.copy()
    model.vector.grad[:] = np.nan
    model.backward_parameters(grad, cache)
    np.testing.assert_array_equal(model.vector.grad, expected)


def test_a_net_with_it_learns_and_predicts_with_what_it_has_seen() -> None:
    model = Sequential(Linear(3, 16), BatchNorm(16), Tanh(), Linear(16, 2), rng=0)
    x = data(60)[0]
    history = train(model, x, x[:, :2], epochs=40, validation=(x, x[:, :2]))
    assert history["validation_loss"][-1] < 0.3 * history["validation_loss"][0]
    assert SquaredError()(model(x[:1]), x[:1, :2]) < 1


# ---- PyTorch


@pytest.mark.peer
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_it_is_pytorchs_in_both_modes(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    sizes = st.integers(1, 5)
    further = data.draw(st.lists(sizes, max_size=3))
    samples = data.draw(st.integers(1 if math.prod(further) > 1 else 2, 6))
    there = [torch.nn.BatchNorm1d, torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d][len(further)]
    features, eps = data.draw(sizes), data.draw(st.sampled_from([1e-5, 1e-2, 1.0]))
    momentum = data.draw(st.sampled_from([0.1, 0.7, 0.0, 1.0, None]))
    affine, tracks, training = (data.draw(st.booleans()) for _ in range(3))
    assert_module_equal(
        BatchNorm(features, eps, momentum, affine=affine, track_running_stats=tracks),
        there(features, eps, momentum, affine, tracks),
        (samples, features, *further),
        training=training,
        passes=3,
        tolerance=1e-11,
    )


@pytest.mark.peer
def test_long_channels_are_pytorchs_too() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    length = batch_norm.LONG + 1
    assert_module_equal(BatchNorm(3), torch.nn.BatchNorm1d(3), (4, 3, length), training=True, passes=2, tolerance=1e-11)


# ---- what does not fit


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1), (0, 3)])
def test_training_on_one_number_for_each_feature_is_an_error(shape: Shape) -> None:
    model = Sequential(BatchNorm(3))
    before = picture(model)
    message = (
        "BatchNorm(3): expected more than one number for each feature, since it divides by their deviation, got x of "
        f"shape {shape}; train with larger batches, and leave out a last batch of one sample"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.forward(np.ones(shape, np.float32), training=True)
    assert picture(model) == before
    assert model(np.ones(shape)).shape == shape


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: BatchNorm(0), ValueError, "BatchNorm: expected num_features of 1 or more, got 0"),
        (lambda: BatchNorm(3.0), TypeError, "BatchNorm: expected num_features as an int, got 3.0"),  # type: ignore[arg-type]
        (lambda: BatchNorm(3, -1e-5), ValueError, "BatchNorm: expected a finite eps of 0 or more, got -1e-05"),
        (lambda: BatchNorm(3, momentum=1.5), ValueError, "momentum of 0 or more and at most 1, got 1.5"),
        (lambda: BatchNorm(3, affine=0), TypeError, "BatchNorm: expected affine as True or False, got 0"),  # type: ignore[arg-type]
        (
            lambda: BatchNorm(3, track_running_stats=None),  # type: ignore[arg-type]
            TypeError,
            "BatchNorm: expected track_running_stats as True or False, got None",
        ),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(
    make: Callable[[], Layer], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


@pytest.mark.parametrize("shape", [(2,), (4, 2), (4, 2, 3)])
def test_an_input_with_other_features_is_refused(shape: Shape) -> None:
    message = f"BatchNorm(3): expected input of shape (batch, 3, ...), got {shape}"
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(BatchNorm(3))(np.ones(shape))


def test_unknown_lengths_go_through() -> None:
    cases: list[tuple[Layer, Any, Any]] = [
        (BatchNorm(3), (None, None), (3, None)),
        (BatchNorm(3), (..., 8), (3, ..., 8)),
        (BatchNorm(8), (..., 8), (..., 8)),
    ]
    for layer, before, after in cases:
        assert layer.output_shape(before) == after
