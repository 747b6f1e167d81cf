"""GELU in training keeps its derivative for the backward pass: the same numbers as in inference."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import GELU, Array, Sequential
from nanonet.layers import gelu

both_forms = pytest.mark.parametrize("approximate", [False, True])


@both_forms
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_has_the_values_of_inference_and_the_derivative(approximate: bool, dtype: npt.DTypeLike) -> None:
    layer = GELU(approximate=approximate)
    tiny = np.finfo(dtype).smallest_subnormal
    ends = [0.0, -0.0, tiny, -tiny, 1000, -1000, np.finfo(dtype).max, -np.finfo(dtype).max]
    a = np.concatenate([np.linspace(-45, 45, 4001), np.linspace(-2, 2, 501), ends]).astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        y, cache = layer.forward(a, training=True)
        slope = layer.backward(np.ones_like(a), cache)
        again, other = layer.forward(a)
        expected = layer.backward(np.ones_like(a), other)
    np.testing.assert_array_equal(y, again)
    assert slope.dtype == dtype
    np.testing.assert_allclose(slope, expected, rtol=0, atol=4 * float(np.finfo(dtype).eps))
    if not approximate:  # in the tail each term keeps its digits
        tail = (a < -1) & (a > -9)
        np.testing.assert_allclose(slope[tail], expected[tail], rtol=2e-4 if dtype == np.float32 else 1e-12)


@both_forms
def test_a_large_array_in_blocks_is_what_it_is_in_one(approximate: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = GELU(approximate=approximate), np.random.default_rng(0).normal(size=(3, 40, 5))
    y, slope = layer.forward(x, training=True)
    monkeypatch.setattr(gelu, "BLOCK", 7)
    for one, other in zip(layer.forward(x, training=True), (y, slope), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-15)


def test_a_subclass_with_another_function_or_derivative_is_obeyed_in_training() -> None:
    class Doubled(GELU):
        def function(self, a: Array) -> Array:
            return 2 * super().function(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return 2 * super().derivative(a, y / 2)

    x = np.random.default_rng(0).normal(size=(3, 4))
    passes = [Sequential(layer, dtype=np.float64).forward(x, training=True) for layer in (Doubled(), GELU())]
    np.testing.assert_allclose(passes[0][0], 2 * passes[1][0], rtol=1e-14)
    gradients = [
        Sequential(layer, dtype=np.float64).backward(x, cache)
        for layer, (_, cache) in zip((Doubled(), GELU()), passes, strict=True)
    ]
    np.testing.assert_allclose(gradients[0], 2 * gradients[1], rtol=1e-12, atol=1e-14)
