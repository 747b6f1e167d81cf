"""Masked classes: logits of -inf, or too far apart for their difference to be a number, are logits like others."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import nanonet
from nanonet import (
    SGD,
    Array,
    CrossEntropy,
    Layer,
    Linear,
    LogSoftmax,
    NonFiniteError,
    Sequential,
    ShapeError,
    Softmax,
    SquaredError,
)
from tests.helpers import Copy, train

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.peer

INF = math.inf
DTYPES = [np.float32, np.float64]
ORDINARY = st.floats(-30, 30, width=32).map(lambda a: round(8 * a) / 8)


@st.composite
def logits(draw: st.DrawFn, dtype: npt.DTypeLike) -> Array:
    """Draw rows of logits, some of them -inf or near the largest numbers of float32; one in each row is ordinary."""
    largest = float(np.finfo(np.float32).max)
    anything = st.one_of(ORDINARY, st.sampled_from([-INF, 0.6 * largest, -0.6 * largest, largest, -largest, 1e30]))
    rows = draw(arrays(dtype, st.tuples(st.integers(1, 4), st.integers(2, 5)), elements=anything))
    for row in rows:
        row[draw(st.integers(0, len(row) - 1))] = draw(ORDINARY)
    return rows


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, npt.NDArray[Any], float]:
    """Draw logits, labels or rows of probabilities, and a smoothing."""
    rows = draw(logits(draw(st.sampled_from(DTYPES))))
    samples, classes = rows.shape
    labels = draw(arrays(int, samples, elements=st.integers(0, classes - 1)))
    others = draw(arrays(int, samples, elements=st.integers(0, classes - 1)))
    mixed = ((3 * np.eye(classes)[labels] + np.eye(classes)[others]) / 4).astype(rows.dtype)
    return rows, draw(st.sampled_from([labels, mixed])), draw(st.sampled_from([0.0, 0.1]))


@given(cases())
def test_cross_entropy_and_its_gradient_are_those_of_pytorch(case: tuple[Array, npt.NDArray[Any], float]) -> None:
    rows, target, smoothing = case
    loss = CrossEntropy(label_smoothing=smoothing)
    with np.errstate(all="raise"):
        value, cache = loss.forward(rows, *loss.check(rows, target))
        grad = loss.backward(cache)

    there = torch.tensor(rows, requires_grad=True)
    whole = torch.nn.functional.cross_entropy(there, torch.tensor(target), label_smoothing=smoothing)
    whole.backward()
    tolerance = 64 * float(np.finfo(rows.dtype).eps)
    np.testing.assert_allclose(grad, there.grad.numpy(), rtol=tolerance, atol=tolerance)

    one_hot = np.eye(rows.shape[1])[target] if target.ndim == 1 else target
    k = (1 - smoothing) * one_hot + smoothing / rows.shape[1]
    logs = torch.log_softmax(torch.tensor(rows), dim=1).double().numpy()
    expected = float(np.mean([-sum(k[i, j] * logs[i, j] for j in np.flatnonzero(k[i])) for i in range(len(k))]))
    assert value == pytest.approx(expected, rel=tolerance, abs=tolerance) or value == expected == INF
    if math.isfinite(whole.item()):  # PyTorch makes NaN of 0 times -inf, and infinity of a sum that overflows
        assert value == pytest.approx(whole.item(), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("row", "target", "value"),
    [
        ([0, 1, -INF], 0, math.log(1 + math.e)),
        ([0, 1, -INF], 2, INF),
        ([0, 1, -INF], [0.0, 1.0, 0.0], math.log(1 + 1 / math.e)),
        ([2e38, -2e38, 0], 0, 0.0),
        ([2e38, -1e38, 0], 1, 3e38),
        ([0, 1, math.nan], 0, math.nan),
        ([0, 1, INF], 2, math.nan),
        ([-INF, -INF, -INF], 0, math.nan),
    ],
)
def test_one_row_by_hand(row: list[float], target: Any, value: float, dtype: npt.DTypeLike) -> None:
    with np.errstate(all="raise"):
        found = CrossEntropy()(np.array([row], dtype), [target])
    assert found == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_logits_whose_difference_float64_cannot_hold() -> None:
    with np.errstate(all="raise"):
        assert CrossEntropy()([[1.2e308, -1.2e308, 0.0]], [0]) == 0
        assert CrossEntropy()([[1.2e308, -1.2e308, 0.0]], [2]) == 1.2e308
        assert CrossEntropy()([[1.2e308, -1.2e308, 0.0]], [1]) == INF


def test_a_masked_class_of_weight_0_counts_nothing() -> None:
    rows = [[0.0, 1.0, -INF], [0.0, 1.0, 2.0]]
    alone = CrossEntropy()(rows[1:], [0])
    assert CrossEntropy(class_weight=[1, 1, 0])(rows, [2, 0]) == pytest.approx(alone, rel=1e-15)


LAYERS = {Softmax: torch.softmax, LogSoftmax: torch.log_softmax}


@pytest.mark.parametrize("kind", LAYERS)
@given(drawn=st.data())
def test_both_passes_of_the_layers_are_those_of_pytorch(kind: type[Layer], drawn: st.DataObject) -> None:
    rows = drawn.draw(logits(drawn.draw(st.sampled_from(DTYPES))))
    grad = drawn.draw(arrays(rows.dtype, rows.shape, elements=st.integers(-6, 6).map(lambda n: n / 2)))
    layer = kind()
    with np.errstate(all="raise"):
        y, cache = layer.forward(rows)
        dx = layer.backward(grad, cache)
    there = torch.tensor(rows, requires_grad=True)
    y_there = LAYERS[kind](there, dim=-1)
    y_there.backward(torch.tensor(grad))
    tolerance = 64 * float(np.finfo(rows.dtype).eps)
    np.testing.assert_allclose(y, y_there.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, there.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("row", [[-INF] * 3, [0, INF, 1], [INF, INF, 0], [0, math.nan, 1]], ids=str)
def test_a_row_that_has_no_probabilities_is_nan_as_in_pytorch(kind: type[Layer], row: list[float]) -> None:
    with np.errstate(all="raise"):
        y, _ = kind().forward(np.array([row, [0, 0, 0]], np.float32))
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()
    assert torch.isnan(LAYERS[kind](torch.tensor(row, dtype=torch.float32), dim=-1)).all()


class Cut(Copy):
    """y = none of the features."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x[:, :0].copy(), x.shape


@pytest.mark.parametrize("kind", LAYERS)
def test_a_last_axis_without_entries_is_refused_and_names_the_layer(kind: type[Layer]) -> None:
    message = rf"{kind.__name__}\(\): expected input of shape \(batch, ..., n\) with n >= 1, got \(batch, 0\)"
    with pytest.raises(ShapeError, match=message):
        Sequential(kind())(np.zeros((2, 0)))
    with pytest.raises(ShapeError, match=message):
        Sequential(Linear(3, 3), Cut(), kind())(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=message):
        train(Sequential(Linear(3, 3), Cut(), kind()), np.zeros((2, 3)), np.zeros((2, 0)), loss=SquaredError())
    with pytest.raises(ShapeError, match=message):
        kind().forward(np.zeros((2, 0)))
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, \?\), got \(3,\)"):  # along the batch
        Sequential(kind())(np.zeros(3))
    assert Sequential(kind())(np.zeros((0, 3))).shape == (0, 3)


class Mask(Layer):
    """y = x where a class is possible, and -inf where not."""

    def __init__(self, last: int) -> None:
        self.last = last

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = x.copy()
        y[:, self.last :] = -np.inf
        return y, None

    def backward(self, grad: Array, cache: Any) -> Array:
        dx = grad.copy()
        dx[:, self.last :] = 0
        return dx


def test_a_net_that_ends_in_a_mask_is_trained_from_its_first_batch_on() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    labels = (x[:, 0] > 0).astype(int)
    for context in (nullcontext(), nanonet.strict()):
        model = Sequential(Linear(3, 3), Mask(2), rng=0)
        with context:
            history = model.fit(x, labels, loss=CrossEntropy(), optimizer=SGD(0.5), epochs=20, verbose=0)
        assert history["loss"][-1] < 0.3
    assert model(x)[0, 2] == -np.inf


def test_a_mask_over_the_right_class_is_named_with_its_layer() -> None:
    model = Sequential(Linear(3, 3), Mask(1), rng=0)
    with pytest.raises(NonFiniteError, match=r"layer 1, Mask\(1\): its output is the first that is not finite"):
        model.fit(np.ones((4, 3)), [0, 1, 2, 1], loss=CrossEntropy(), optimizer=SGD(0.5), epochs=1, verbose=0)
