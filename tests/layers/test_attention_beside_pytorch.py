"""Attention and transformer blocks equal PyTorch's, for options and shapes drawn: values, gradients, and 50 steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import GELU, SGD, MultiHeadAttention, Sequential, SquaredError, Trainer, TransformerBlock
from tests.layers.beside_pytorch import close

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.peer
nn: Any = torch.nn

small = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)


def alike(model: Sequential, module: Any, rng: np.random.Generator) -> None:
    """Give both the same random numbers; all names must be those of PyTorch, in its order."""
    names = [name.removeprefix("0.") for name in model.state_dict()]
    assert names == list(module.state_dict())
    model.vector.value[:] = rng.normal(size=model.vector.size)
    module.load_state_dict({name: torch.tensor(model.state_dict()[f"0.{name}"]) for name in names})


def some_padding(rng: np.random.Generator, samples: int, keys: int) -> npt.NDArray[np.bool_]:
    """Draw a mask of which no sample is padding alone: PyTorch gives NaN there."""
    mask = rng.uniform(size=(samples, keys)) < 0.4
    mask[:, 0] = False
    return mask


def later(queries: int, keys: int) -> Any:
    """Return True where a key comes after the query."""
    return torch.ones(queries, keys).triu(1).bool()


def assert_parameter_gradients_equal(model: Sequential, module: Any) -> None:
    for name, parameter in module.named_parameters():
        close(model.parameters()[f"0.{name}"].grad, parameter.grad, 1e-10)


@given(st.data(), seeds, small, st.booleans(), st.booleans(), st.booleans())
def test_attention_with_any_options(
    data: st.DataObject, seed: int, samples: int, causal: bool, padded: bool, bias: bool
) -> None:
    heads, inputs = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    d, queries, keys = data.draw(small), data.draw(small), data.draw(small)
    size, rng = heads * d, np.random.default_rng(seed)
    kdim = data.draw(st.none() | small) if inputs > 1 else None
    vdim = kdim if inputs == 2 else data.draw(st.none() | small) if inputs == 3 else None
    layer = MultiHeadAttention(
        size, heads, bias=bias, kdim=kdim, vdim=vdim, causal=causal, inputs=inputs, padding_mask=padded
    )
    model: Any = Sequential(layer, dtype=np.float64, rng=0)
    module = nn.MultiheadAttention(size, heads, bias=bias, kdim=kdim, vdim=vdim, batch_first=True).double()
    alike(model, module, rng)
    keys = queries if inputs == 1 else keys
    shapes = [(queries, size), (keys, kdim or size), (keys, vdim or size)][:inputs]
    x = [rng.normal(size=(samples, *shape)) for shape in shapes]
    there = [torch.tensor(part, requires_grad=True) for part in x]
    mask = some_padding(rng, samples, keys) if padded else None

    taken = (*x, mask) if padded else x[0] if inputs == 1 else tuple(x)
    y, cache = model.forward(taken)
    query, key, value = (there[min(i, inputs - 1)] for i in range(3))
    y_there, weights = module(
        *(query, key, value),
        key_padding_mask=torch.tensor(mask) if padded else None,
        attn_mask=later(queries, keys) if causal else None,
        average_attn_weights=False,
    )
    close(y, y_there, 1e-12)
    close(layer.weights(taken), weights, 1e-12)
    grad = rng.normal(size=y.shape)
    y_there.backward(torch.tensor(grad))
    dx = model.backward(grad, cache)
    for part, part_there in zip(dx if isinstance(dx, tuple) else (dx,), there, strict=False):
        close(part, part_there.grad, 1e-10)
    assert_parameter_gradients_equal(model, module)


def block(data: st.DataObject, *, dropout: float = 0.0, **settings: Any) -> tuple[TransformerBlock, Any]:
    """Draw a block, and return it beside PyTorch's."""
    heads, d, wide = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 4)), data.draw(small)
    drawn: dict[str, Any] = {"norm_first": data.draw(st.booleans()), "bias": data.draw(st.booleans())}
    gelu = data.draw(st.booleans())
    sizes: Any = heads * d, heads, wide
    cls: Any = TransformerBlock
    layer: TransformerBlock = cls(*sizes, dropout=dropout, activation=GELU() if gelu else None, **drawn, **settings)
    module = nn.TransformerEncoderLayer(
        *sizes, dropout, activation="gelu" if gelu else "relu", batch_first=True, **drawn
    )
    return layer, module.double()


@given(st.data(), seeds, small, small, st.booleans(), st.booleans())
def test_a_block_with_any_options(
    data: st.DataObject, seed: int, samples: int, length: int, causal: bool, padded: bool
) -> None:
    layer, module = block(data, causal=causal, padding_mask=padded)
    model: Any = Sequential(layer, dtype=np.float64, rng=0)
    rng = np.random.default_rng(seed)
    alike(model, module, rng)
    x, mask = rng.normal(size=(samples, length, layer.self_attn.embed_dim)), some_padding(rng, samples, length)
    x_there = torch.tensor(x, requires_grad=True)
    y, cache = model.forward((x, mask) if padded else x)
    masks = {"src_mask": later(length, length)} if causal else {}
    masks |= {"src_key_padding_mask": torch.tensor(mask)} if padded else {}
    y_there = module(x_there, **masks)
    close(y, y_there, 1e-12)
    grad = rng.normal(size=y.shape)
    y_there.backward(torch.tensor(grad))
    dx = model.backward(grad, cache)
    close(dx[0] if padded else dx, x_there.grad, 1e-10)
    assert_parameter_gradients_equal(model, module)


def test_50_steps_of_two_blocks() -> None:
    rng = np.random.default_rng(0)
    orders = [False, True]
    blocks = [TransformerBlock(6, 2, 8, dropout=0.0, norm_first=first, causal=True) for first in orders]
    model = Sequential(*blocks, dtype=np.float64, rng=0)
    module = nn.ModuleList(
        [nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True, norm_first=first) for first in orders]
    ).double()
    module.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    rule = torch.optim.SGD(module.parameters(), 0.01, 0.9)  # Adam would blow up what is 0 but for rounding
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.01, momentum=0.9))
    for _ in range(50):
        x, target = rng.normal(size=(2, 4, 5, 6))
        y = torch.tensor(x)
        for part in module:
            y = part(y, src_mask=later(5, 5))
        loss = ((y - torch.tensor(target)) ** 2).sum() / 2 / len(x)
        rule.zero_grad()
        loss.backward()
        rule.step()
        assert trainer.step(x, target) == pytest.approx(loss.item(), rel=1e-10)
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], value.numpy(), rtol=1e-10, atol=1e-10)


def test_the_same_weights_are_dropped_in_both_as_often() -> None:
    """Compare mean and deviation of what dropout leaves: which weights are dropped differs."""
    rng = np.random.default_rng(0)
    layer = MultiHeadAttention(4, 2, dropout=0.3)
    model = Sequential(layer, dtype=np.float64, rng=0)
    module = nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True).double()
    alike(model, module, rng)
    x = np.repeat(rng.normal(size=(1, 3, 4)), 4000, axis=0)
    torch.manual_seed(0)
    y_there = module(*[torch.tensor(x)] * 3)[0].detach().numpy()
    y, _ = model.forward(x, training=True)
    deviation = y.std(axis=0)
    np.testing.assert_allclose(y.mean(axis=0), y_there.mean(axis=0), atol=0.12 * deviation.max())
    np.testing.assert_allclose(deviation, y_there.std(axis=0), rtol=0.1)
