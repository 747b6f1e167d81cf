"""Attention, positions and transformer blocks: what they see and what they do not, and values without PyTorch."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import (
    GELU,
    SGD,
    Array,
    Composite,
    CrossEntropy,
    Embedding,
    Flatten,
    Layer,
    Linear,
    MultiHeadAttention,
    Normal,
    PositionalEncoding,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    TransformerBlock,
    check_gradients,
    strict,
)
from nanonet.core.stable import softmax
from nanonet.layers import heads

RNG = np.random.default_rng


def built(layer: Layer, seed: int = 0) -> Sequential:
    """Return a model of one layer, in float64, with random numbers in all parameters."""
    model = Sequential(layer, dtype=np.float64, rng=seed)
    model.vector.value[:] = RNG(seed).normal(size=model.vector.size)
    return model


def by_hand(layer: Any, x: Array, kept: Any = 1.0) -> Array:
    """Return the attention of x to itself as the formula says it, head by head; kept is (N, heads, queries, keys)."""
    size, d = layer.embed_dim, layer.embed_dim // layer.num_heads
    a = x @ layer.in_proj_weight.value.T + layer.in_proj_bias.value
    outputs = []
    for head in range(layer.num_heads):
        q, k, v = (a[..., i * size + head * d : i * size + (head + 1) * d] for i in range(3))
        scores = q @ k.swapaxes(1, 2) / np.sqrt(d)
        if layer.causal:
            scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
        dropped = kept[:, head] if isinstance(kept, np.ndarray) else kept
        outputs.append((softmax(scores) * dropped) @ v)
    y: Array = np.concatenate(outputs, axis=-1) @ layer.out_proj.weight.value.T + layer.out_proj.bias.value
    return y


# ---- values


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_what_the_formula_says(causal: bool) -> None:
    layer = MultiHeadAttention(6, 3, causal=causal)
    model, x = built(layer), RNG(1).normal(size=(2, 5, 6))
    np.testing.assert_allclose(model(x), by_hand(layer, x), rtol=1e-12)


def test_dropout_drops_weights_of_the_softmax_and_in_training_alone() -> None:
    layer = MultiHeadAttention(6, 3, dropout=0.4)
    model, x = built(layer), RNG(1).normal(size=(2, 5, 6))
    np.testing.assert_allclose(model(x), by_hand(layer, x), rtol=1e-12)
    drawn = copy.deepcopy(layer.random.generator).random((2, 3, 5, 5)) >= 0.4
    y, _ = model.forward(x, training=True)
    np.testing.assert_allclose(y, by_hand(layer, x, drawn.swapaxes(2, 3) / 0.6), rtol=1e-12)
    assert not np.array_equal(model.forward(x, training=True)[0], y)
    check_gradients(layer, x=x, training=True)


def test_the_weights_of_each_head_sum_to_1_and_look_back_alone_if_causal() -> None:
    layer = MultiHeadAttention(4, 2, causal=True)
    built(layer)
    weights = layer.weights(RNG(1).normal(size=(3, 5, 4)))
    assert weights.shape == (3, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-12)
    assert (np.triu(weights, 1) == 0).all()
    assert (np.tril(weights).sum(axis=-1) > 0).all()


def test_the_weights_can_be_seen_in_a_trace() -> None:
    model, x = Sequential(MultiHeadAttention(4, 2), Linear(4, 1), rng=0), RNG(1).normal(size=(2, 3, 4))
    seen = model.trace(x)["0"]
    layer: Any = seen.layer
    np.testing.assert_allclose(layer.weights(seen.input).sum(axis=-1), 1, rtol=1e-6)


def test_the_waves_are_those_of_the_paper() -> None:
    table = Sequential(PositionalEncoding(6), dtype=np.float64)(np.zeros((1, 50, 6)))[0]
    for place in (0, 1, 49):
        for i in range(3):
            angle = place / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(table[place, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-14)
    odd = Sequential(PositionalEncoding(5), dtype=np.float64)(np.zeros((1, 50, 5)))[0]
    np.testing.assert_allclose(odd[:, 4], np.sin(np.arange(50) / 10000 ** (4 / 5)), rtol=1e-12)


def test_a_learned_table_is_added_row_by_row_and_its_unused_rows_have_no_gradient() -> None:
    layer: Any = PositionalEncoding(2, 4, learned=[[1, 2], [3, 4], [5, 6], [7, 8]])
    model = Sequential(layer, dtype=np.float64)
    y, cache = model.forward(np.zeros((2, 3, 2)))
    assert y.tolist() == [[[1, 2], [3, 4], [5, 6]]] * 2
    layer.weight.grad = np.full((4, 2), np.nan)
    model.backward(np.ones((2, 3, 2)), cache)
    assert layer.weight.grad.tolist() == [[2, 2]] * 3 + [[0, 0]]


def test_a_learned_table_starts_small_or_as_it_is_told() -> None:
    small: Any = PositionalEncoding(50, 40, learned=True)
    wide: Any = PositionalEncoding(50, 40, learned=Normal(2.0))
    Sequential(small, rng=0), Sequential(wide, rng=0)
    assert float(small.weight.value.std()) == pytest.approx(0.02, rel=0.1)
    assert float(wide.weight.value.std()) == pytest.approx(2, rel=0.1)


# ---- what is seen


@pytest.mark.parametrize("make", [MultiHeadAttention, lambda f, h, **k: TransformerBlock(f, h, 5, dropout=0.0, **k)])
def test_what_comes_later_changes_nothing_before_it_if_causal(make: Any) -> None:
    model, x = built(make(4, 2, causal=True)), RNG(1).normal(size=(2, 6, 4))
    later = x.copy()
    later[:, 3:] += 1
    np.testing.assert_allclose(model(later)[:, :3], model(x)[:, :3], rtol=1e-12)
    assert not np.allclose(model(later)[:, 3:], model(x)[:, 3:])
    grad = np.zeros_like(x)
    grad[:, 2] = 1
    dx = model.backward(grad, model.forward(x)[1])
    assert (dx[:, 3:] == 0).all()
    assert (dx[:, :3] != 0).all()


@pytest.mark.parametrize("make", [MultiHeadAttention, lambda f, h, **k: TransformerBlock(f, h, 5, dropout=0.0, **k)])
def test_padding_changes_nothing_and_has_no_gradient(make: Any) -> None:
    model: Any = built(make(4, 2, padding_mask=True))
    x = RNG(1).normal(size=(2, 6, 4))
    mask = np.zeros((2, 6), bool)
    mask[0, 4:] = True
    other = np.where(mask[..., None], 100.0, x)
    seen = ~mask
    np.testing.assert_allclose(model((other, mask))[seen], model((x, mask))[seen], rtol=1e-12)
    alone = model((x[:1, :4], mask[:1, :4]))
    np.testing.assert_allclose(model((x, mask))[:1, :4], alone, rtol=1e-12)
    grad = np.where(mask[..., None], 0, RNG(2).normal(size=x.shape))
    dx, nothing = model.backward(grad, model.forward((x, mask))[1])
    assert nothing is None
    assert (dx[mask] == 0).all()


def test_a_mask_of_ones_and_zeros_is_one_of_true_and_false() -> None:
    model, x = built(MultiHeadAttention(4, 2, padding_mask=True)), RNG(1).normal(size=(2, 3, 4))
    mask = np.array([[0, 0, 1], [0, 1, 1]])
    np.testing.assert_array_equal(model((x, mask)), model((x, mask.astype(bool))))
    with pytest.raises(TypeError, match=r"x\[1\]: expected integers, got float64"):
        model((x, mask.astype(float)))


@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_sees_no_key_gives_the_bias_and_has_no_gradient(causal: bool) -> None:
    layer = MultiHeadAttention(4, 2, padding_mask=True, causal=causal)
    model: Any = built(layer)
    x = RNG(1).normal(size=(3, 3, 4))
    mask = np.array([[True, True, True], [True, False, False], [False, False, False]])
    with np.errstate(all="raise"):
        y, cache = model.forward((x, mask))
        dx, _ = model.backward(np.ones_like(y), cache)
    assert np.isfinite(dx).all()
    assert np.isfinite(model.vector.grad).all()
    bias: Any = layer.out_proj.bias
    np.testing.assert_array_equal(y[0], np.tile(bias.value, (3, 1)))
    assert (dx[0] == 0).all()
    assert (layer.weights((x, mask))[0] == 0).all()
    assert np.array_equal(y[1, 0], bias.value) == causal


def test_scores_of_any_size_are_finite() -> None:
    model = built(MultiHeadAttention(2, 1, causal=True))
    x = np.array([[[1000.0, -1000], [-1000, 1000], [1000, 1000]]])
    with np.errstate(all="raise"):
        y, cache = model.forward(x)
        dx = model.backward(np.ones_like(x), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_a_sequence_longer_than_any_before_is_seen_as_a_whole() -> None:
    model = built(Sequential(PositionalEncoding(4), TransformerBlock(4, 2, 5, causal=True), dtype=np.float64))
    x = RNG(1).normal(size=(1, 9, 4))
    np.testing.assert_allclose(model(x[:, :3]), model(x)[:, :3], rtol=1e-12)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 4), st.integers(0, 5), st.integers(1, 40))
def test_blocks_cover_all_weights_once(samples: int, count: int, keys: int, queries: int, size: int) -> None:
    before, heads.BLOCK = heads.BLOCK, size
    try:
        covered: npt.NDArray[Any] = np.zeros((samples, count, keys, queries), int)
        for place in heads.blocks(covered.shape):
            covered[place] += 1
    finally:
        heads.BLOCK = before
    assert (covered == 1).all()


@pytest.mark.parametrize("size", [1, 30, 60, 100])
def test_many_samples_in_blocks_are_what_they_are_in_one(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = built(MultiHeadAttention(6, 3, causal=True, padding_mask=True))
    x = RNG(1).normal(size=(7, 5, 6))
    given_ = x, RNG(2).uniform(size=(7, 5)) < 0.3
    y, cache = model.forward(given_)
    dx, _ = model.backward(x, cache)
    monkeypatch.setattr(heads, "BLOCK", size)
    parts, cache = model.forward(given_)
    np.testing.assert_allclose(parts, y, rtol=1e-12)
    np.testing.assert_allclose(model.backward(x, cache)[0], dx, rtol=1e-11, atol=1e-13)


def test_an_empty_batch_and_an_empty_sequence_are_seen_through() -> None:
    model = built(Sequential(PositionalEncoding(4), TransformerBlock(4, 2, 5, causal=True), dtype=np.float64))
    for shape in ((0, 3, 4), (2, 0, 4)):
        y, cache = model.forward(np.zeros(shape))
        assert y.shape == model.backward(np.zeros(shape), cache).shape == shape


# ---- in nets


class Decoder(Composite):
    """A layer of a decoder: causal attention, then attention to a memory."""

    def __init__(self) -> None:
        self.input_shape = ((None, 4), (None, 3), (None,))
        self.integer_input = (False, False, True)
        self.own = MultiHeadAttention(4, 2, causal=True)
        self.cross = MultiHeadAttention(4, 2, kdim=3, vdim=3, inputs=2, padding_mask=True)

    def wire(self, call: Any, x: Any) -> Any:
        x, memory, padding = x
        x = call.add(x, call(self.own, x))
        return call.add(x, call(self.cross, (x, memory, padding)))


def test_a_decoder_attends_to_what_it_has_and_to_a_memory() -> None:
    rng = RNG(0)
    x = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 5, 3)), rng.uniform(size=(3, 5)) < 0.4
    check_gradients(Decoder(), x=x)
    assert Sequential(Decoder(), rng=0)(x).shape == (3, 4, 4)


def test_a_small_transformer_learns_to_copy_the_token_before() -> None:
    tokens = RNG(0).integers(5, size=(64, 6))
    model = Sequential(
        Embedding(5, 16),
        PositionalEncoding(16),
        TransformerBlock(16, 2, 32, dropout=0.0, norm_first=True, causal=True, activation=GELU()),
        Flatten(),
        Linear(96, 5),
        rng=0,
    )
    with strict():
        history = model.fit(tokens, tokens[:, 3], loss=CrossEntropy(), optimizer=SGD(0.1), epochs=30, verbose=0)
    assert history["loss"][-1] < history["loss"][0] / 4


def test_a_block_may_have_any_activation_that_keeps_the_shape() -> None:
    layer = TransformerBlock(4, 2, 3, dropout=0.0, activation=Sequential(Tanh(), Linear(3, 3)))
    check_gradients(layer, (2, 4))
    assert "0.activation.1.weight" in Sequential(layer).parameters()


# ---- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiHeadAttention(6, 4), "MultiHeadAttention: expected num_heads that divides embed_dim, 6, got 4"),
        (lambda: MultiHeadAttention(6, 2, dropout=1), "MultiHeadAttention: expected a finite dropout of 0 or more and"),
        (lambda: MultiHeadAttention(6, 2, inputs=4), "expected inputs as 1 (x), 2 (query, memory) or 3 (query, key"),
        (lambda: MultiHeadAttention(6, 2, kdim=3), "expected inputs=3 for features that differ, query of 6, key of 3"),
        (lambda: MultiHeadAttention(6, 2, kdim=3, inputs=2), "key of 3, value of 6; got 2"),
        (lambda: PositionalEncoding(6, learned=True), "PositionalEncoding: expected max_length, the rows of the table"),
        (lambda: TransformerBlock(6, 4, 8), "expected num_heads that divides embed_dim, 6, got 4"),
        (lambda: TransformerBlock(6, 2, 0), "dim_feedforward of 1 or more, got 0"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_an_activation_is_a_layer() -> None:
    activation: Any = "gelu"
    with pytest.raises(TypeError, match=r"TransformerBlock: expected activation .* got 'gelu'; write ReLU\(\) or GELU"):
        TransformerBlock(4, 2, 8, activation=activation)


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (MultiHeadAttention(4, 2), (2, 5), "MultiHeadAttention(4, 2): expected input of shape (batch, ?, 4)"),
        (PositionalEncoding(4, 3), (2, 5, 4), "PositionalEncoding(4, 3): expected sequences of at most 3, got 5"),
        (TransformerBlock(4, 2, 8), (2, 5, 3), "expected input of shape (batch, ?, 4), got (2, 5, 3)"),
    ],
)
def test_a_sequence_that_does_not_fit_is_refused(layer: Layer, x: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        Sequential(layer)(np.zeros(x))


def test_keys_values_and_mask_have_one_length() -> None:
    model = Sequential(MultiHeadAttention(4, 2, inputs=3, padding_mask=True))
    with pytest.raises(ShapeError, match="expected keys, values and mask of one length"):
        model((np.zeros((2, 3, 4)), np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), np.zeros((2, 3), bool)))
    with pytest.raises(ShapeError, match="expected keys, values and mask of one length"):
        Sequential(MultiHeadAttention(4, 2, padding_mask=True))((np.zeros((2, 3, 4)), np.zeros((2, 4), bool)))


def test_a_step_with_a_mask_is_one_of_a_fit() -> None:
    rng = RNG(0)
    model = Sequential(TransformerBlock(4, 2, 8, padding_mask=True), Linear(4, 1), rng=0)
    x = rng.normal(size=(20, 3, 4)), rng.uniform(size=(20, 3)) < 0.3
    history = model.fit(x, rng.normal(size=(20, 3, 1)), loss=SquaredError(), optimizer=SGD(0.01), epochs=2, verbose=0)
    assert len(history["loss"]) == 2
