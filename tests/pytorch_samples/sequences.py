"""Samples of recurrent layers and of attention, whose inputs are several and lie in another order.

PyTorch's modules take (time, batch, features), or have no batch axis; nanonet's (batch, time, features). A decoder is a
Composite, as a user writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nanonet import (
    GELU,
    GRU,
    LSTM,
    RNN,
    Composite,
    Layer,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    ReLU,
    Sequential,
    TransformerBlock,
)
from nanonet.core.arrays import parts_of
from tests.layers.beside_pytorch import close
from tests.pytorch_samples.samples import Sample

RECURRENT: dict[str, Any] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}

# ---- recurrent layers


def _recurrent(sample: Sample, module: Any) -> None:
    """Compare the whole sequence and the last states."""
    kind = type(module).__name__
    settings = {name: getattr(module, name) for name in ("num_layers", "bias", "bidirectional")}
    settings |= {"nonlinearity": module.nonlinearity} if kind == "RNN" else {}
    if getattr(module, "proj_size", 0):
        raise TypeError(f"nanonet's {kind} has no proj_size")
    x, *state = sample.inputs
    layer: Layer = RECURRENT[kind](
        module.input_size, module.hidden_size, output="all", initial_state=bool(state), **settings
    )
    axis = 0 if x.dim() == 2 else 0 if module.batch_first else 1  # of the batch

    def batch_first(sequence: Any) -> Any:
        return sequence[None] if x.dim() == 2 else sequence.movedim(axis, 0)

    def state_first(part: Any) -> Any:
        return part[None] if x.dim() == 2 else part.movedim(1, 0)

    leaves = [x, *(parts_of(state[0]) if state else ())]
    place = [batch_first] + [state_first] * (len(leaves) - 1)

    def there(*parts: Any) -> tuple[Any, ...]:
        first, *others = parts
        y, last = module(first, (tuple(others) if kind == "LSTM" else others[0]) if others else None)
        return batch_first(y), *map(state_first, parts_of(last))

    names = {name: name for name, _ in module.named_parameters()}
    _beside(layer, module, names, leaves, lambda *parts: tuple(f(p) for f, p in zip(place, parts, strict=True)), there)


def _cell(sample: Sample, module: Any) -> None:
    """Compare a cell with its layer on a sequence of one time."""
    kind = type(module).__name__.removesuffix("Cell")
    settings = {"nonlinearity": module.nonlinearity} if kind == "RNN" else {}
    layer: Layer = RECURRENT[kind](module.input_size, module.hidden_size, output="all", initial_state=True, **settings)
    x, state = sample.inputs
    leaves = [x, *parts_of(state)]

    def here(*parts: Any) -> tuple[Any, ...]:
        return tuple((part if part.dim() == 2 else part[None])[:, None] for part in parts)

    def there(*parts: Any) -> tuple[Any, ...]:
        first, *others = parts
        last = parts_of(module(first, tuple(others) if kind == "LSTM" else others[0]))
        return here(last[0], *last)

    _beside(layer, module, {name: f"{name}_l0" for name, _ in module.named_parameters()}, leaves, here, there)


# ---- attention


def _attention(sample: Sample, module: Any) -> None:
    if module.bias_k is not None or module.add_zero_attn:
        raise TypeError("nanonet's MultiHeadAttention adds no key")
    three = {**dict(zip(("query", "key", "value"), sample.inputs, strict=False)), **sample.named}
    query, key, value = (three[name] for name in ("query", "key", "value"))
    axis = None if query.dim() == 2 else 0 if module.batch_first else 1
    hidden = _hidden(axis, sample.named.get("key_padding_mask"), sample.named.get("attn_mask"))
    bias = module.in_proj_bias is not None
    layer = MultiHeadAttention(module.embed_dim, module.num_heads, bias=bias, inputs=3, padding_mask=hidden is not None)
    _masked(layer, module, [query, key, value], [hidden], axis, lambda *parts: module(*parts, **_others(sample))[0])


def _encoder_layer(sample: Sample, module: Any) -> None:
    _encoder(sample, module, lambda hidden: _block(module, padding_mask=hidden is not None))


def _encoders(sample: Sample, module: Any) -> None:
    _encoder(sample, module, lambda hidden: Encoder(module, hidden is not None))


def _encoder(sample: Sample, module: Any, make: Callable[[Any], Layer]) -> None:
    x, others = _first(sample, "src"), _others(sample)
    axis = _batch_axis(x, module)
    hidden = _hidden(axis, others.get("src_key_padding_mask"), others.get("src_mask", others.get("mask")))
    _masked(make(hidden), module, [x], [hidden], axis, lambda part: module(part, **others))


def _decoder_layer(sample: Sample, module: Any) -> None:
    _decoding(sample, module, ("tgt", "memory"), Decoder)


def _transformer(sample: Sample, module: Any) -> None:
    _decoding(sample, module, ("src", "tgt"), Both)


def _decoding(sample: Sample, module: Any, names: tuple[str, str], make: Callable[..., Layer]) -> None:
    both = {**dict(zip(names, sample.inputs, strict=False)), **sample.named}
    one, two = (both.pop(name) for name in names)
    axis = _batch_axis(one, module)
    hidden = [_hidden(axis, both.get(f"{name}_key_padding_mask"), both.get(f"{name}_mask")) for name in names]
    if make is Both:  # the memory is not masked, unless its own mask is given
        hidden.append(_hidden(axis, both.get("memory_key_padding_mask"), both.get("memory_mask")))
    layer = make(module, [mask is not None for mask in hidden])
    _masked(layer, module, [one, two], hidden, axis, lambda *parts: module(*parts, **both))


def _first(sample: Sample, name: str) -> Any:
    return sample.inputs[0] if sample.inputs else sample.named[name]


def _others(sample: Sample) -> dict[str, Any]:
    return {name: value for name, value in sample.named.items() if name not in ("query", "key", "value", "src")}


def _batch_axis(x: Any, module: Any) -> int | None:
    attention = next(part for part in module.modules() if type(part).__name__ == "MultiheadAttention")
    return None if x.dim() == 2 else 0 if attention.batch_first else 1


def _hidden(axis: int | None, padding: Any, mask: Any) -> Any:
    """Return the keys that no query sees, (batch, keys): PyTorch's samples mask the same ones for each query."""
    if mask is not None and not (mask == mask.reshape(-1, mask.shape[-1])[0]).all():
        raise TypeError("nanonet's MultiHeadAttention has no mask of its own for each query")
    row = None if mask is None else mask.reshape(-1, mask.shape[-1])[:1]
    several = None if padding is None else padding[None] if axis is None else padding
    return row if several is None else several if row is None else several | row


def _masked(
    layer: Layer, module: Any, leaves: list[Any], hidden: list[Any], axis: int | None, call: Callable[..., Any]
) -> None:
    """Compare where some keys are hidden; each mask is a further input."""

    def batch_first(part: Any) -> Any:
        return part[None] if axis is None else part.movedim(axis, 0)

    def here(*parts: Any) -> tuple[Any, ...]:
        first = tuple(map(batch_first, parts))
        return *first, *(each.expand(len(first[0]), -1) for each in hidden if each is not None)

    names = {name: name for name, _ in module.named_parameters()}
    _beside(layer, module, names, leaves, here, lambda *parts: (batch_first(call(*parts)),))


# ---- transformers, as a user of nanonet writes them


def _block(module: Any, *, padding_mask: bool) -> TransformerBlock:
    attention, first = module.self_attn, module.linear1
    return TransformerBlock(
        attention.embed_dim,
        attention.num_heads,
        first.out_features,
        dropout=0.0,
        activation=_activation(module),
        norm_first=module.norm_first,
        bias=first.bias is not None,
        padding_mask=padding_mask,
    )


def _activation(module: Any) -> Layer:
    import torch

    return GELU() if module.activation is torch.nn.functional.gelu else ReLU()


class Encoder(Composite):
    """Blocks that hide the same keys, and a norm."""

    def __init__(self, module: Any, padding_mask: bool) -> None:
        self.layers = [_block(layer, padding_mask=padding_mask) for layer in module.layers]
        if module.norm is not None:
            self.norm: Layer = _norm(module.norm)

    def wire(self, call: Any, x: Any) -> Any:
        x, *mask = x if isinstance(x, tuple) else (x,)
        for layer in self.layers:
            x = call(layer, (x, *mask) if mask else x)
        return call(self.norm, x) if hasattr(self, "norm") else x


def _norm(module: Any) -> LayerNorm:
    return LayerNorm(module.normalized_shape, module.eps, bias=module.bias is not None)


class Decoder(Composite):
    """One layer of a decoder: attention to itself and to a memory, and two Linear."""

    def __init__(self, module: Any, masked: list[bool]) -> None:
        size, heads, bias = module.self_attn.embed_dim, module.self_attn.num_heads, module.linear1.bias is not None
        self.masked, self.norm_first = masked, module.norm_first
        self.self_attn = MultiHeadAttention(size, heads, bias=bias, padding_mask=masked[0])
        self.multihead_attn = MultiHeadAttention(size, heads, bias=bias, inputs=2, padding_mask=masked[1])
        self.linear1 = Linear(size, module.linear1.out_features, bias=bias)
        self.linear2 = Linear(module.linear1.out_features, size, bias=bias)
        self.norm1, self.norm2, self.norm3 = _norm(module.norm1), _norm(module.norm2), _norm(module.norm3)
        self.activation = _activation(module)

    def wire(self, call: Any, x: Any) -> Any:
        x, memory, *masks = x
        own = masks[:1] if self.masked[0] else []
        other = masks[-1:] if self.masked[1] else []

        def to_itself(part: Any) -> Any:
            return call(self.self_attn, (part, *own) if own else part)

        def to_memory(part: Any) -> Any:
            return call(self.multihead_attn, (part, memory, *other))

        def forward(part: Any) -> Any:
            return call(self.linear2, call(self.activation, call(self.linear1, part)))

        for branch, norm in ((to_itself, self.norm1), (to_memory, self.norm2), (forward, self.norm3)):
            x = call.add(x, branch(call(norm, x))) if self.norm_first else call(norm, call.add(x, branch(x)))
        return x


class Decoders(Composite):
    """Layers of a decoder, and a norm."""

    def __init__(self, module: Any, masked: list[bool]) -> None:
        self.layers = [Decoder(layer, masked) for layer in module.layers]
        self.norm = _norm(module.norm)

    def wire(self, call: Any, x: Any) -> Any:
        x, *others = x
        for layer in self.layers:
            x = call(layer, (x, *others))
        return call(self.norm, x)


class Both(Composite):
    """The transformer of Vaswani et al.: an encoder, whose output is the memory of a decoder."""

    def __init__(self, module: Any, masked: list[bool]) -> None:
        self.masked = masked
        self.encoder = Encoder(module.encoder, masked[0])
        self.decoder = Decoders(module.decoder, masked[1:])

    def wire(self, call: Any, x: Any) -> Any:
        source, target, *masks = x
        own = masks[:1] if self.masked[0] else []
        memory = call(self.encoder, (source, *own) if own else source)
        return call(self.decoder, (target, memory, *masks[len(own) :]))


# ---- comparison


def _beside(
    layer: Layer,
    module: Any,
    names: dict[str, str],
    leaves: list[Any],
    here: Callable[..., tuple[Any, ...]],
    there: Callable[..., tuple[Any, ...]],
) -> None:
    """Compare all outputs, and the gradients by the leaves, from which both sides' inputs are made, and the weights."""
    import torch

    model = Sequential(layer, dtype=np.float64)
    model.load_state_dict({f"0.{names[name]}": each.detach().numpy() for name, each in module.named_parameters()})
    ours, theirs = ([leaf.detach().clone().requires_grad_() for leaf in leaves] for _ in range(2))
    parts = here(*ours)
    x: Any = tuple(part.detach().numpy() for part in parts)
    y, cache = model.forward(x if len(x) > 1 else x[0], training=True)
    y_there, rng = there(*theirs), np.random.default_rng(0)
    grads = [rng.normal(size=each.shape) for each in parts_of(y)]
    for each, other in zip(parts_of(y), y_there, strict=True):
        close(each, other, 1e-12)
    torch.autograd.backward(y_there, [torch.tensor(grad) for grad in grads])
    dx = parts_of(model.backward(tuple(grads) if isinstance(y, tuple) else grads[0], cache))
    floats = [(part, torch.tensor(g)) for part, g in zip(parts, dx, strict=True) if part.requires_grad]
    torch.autograd.backward([part for part, _ in floats], [g for _, g in floats])
    for each, other in zip(ours, theirs, strict=True):
        close(each.grad.numpy(), other.grad, 1e-10)
    for name, parameter in module.named_parameters():
        close(model.parameters()[f"0.{names[name]}"].grad, parameter.grad, 1e-10)


HERE: dict[str, Callable[[Sample, Any], None]] = {
    **{f"nn.{kind}": _recurrent for kind in RECURRENT},
    **{f"nn.{kind}Cell": _cell for kind in RECURRENT},
    "nn.MultiheadAttention": _attention,
    "nn.Transformer": _transformer,
    "nn.TransformerDecoderLayer": _decoder_layer,
    "nn.TransformerEncoder": _encoders,
    "nn.TransformerEncoderLayer": _encoder_layer,
}


def compare(sample: Sample, module: Any) -> None:
    """Compare a module in training, where PyTorch takes no short cuts; none of the samples has dropout."""
    HERE[sample.name](sample, module.train())
