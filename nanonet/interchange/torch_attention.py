"""torch_attention: registers attention and the block of a transformer with the modules that compute the same.

PyTorch's modules take a mask, or several inputs, as arguments of their own, which no torch.nn.Sequential passes on. So
a layer becomes a module of a class derived from PyTorch's, with the same names of all numbers and one argument, x.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from nanonet.core.layer import Layer
from nanonet.interchange.torch_pairs import Only, pair, pair_for, pair_of
from nanonet.interchange.torch_settings import made, taken
from nanonet.layers.activations import ReLU
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.gelu import GELU
from nanonet.layers.transformer import TransformerBlock

BATCH_FIRST = Only(True, "nanonet's sequences are (batch, length, features)")


# ---- attention


def _attention(module: Any, **settings: Any) -> Layer:
    if module.bias_k is not None:
        raise ValueError("MultiheadAttention: expected add_bias_kv=False; nanonet's has no further key and value")
    return made(
        MultiHeadAttention,
        module.embed_dim,
        module.num_heads,
        dropout=module.dropout,
        bias=module.in_proj_bias is not None,
        **({} if module.kdim == module.embed_dim else {"kdim": module.kdim}),
        **({} if module.vdim == module.embed_dim else {"vdim": module.vdim}),
        **settings,
    )


def _attention_there(nn: Any, layer: Any, shape: Any) -> Any:
    cls = attention_class(nn)
    pair(
        MultiHeadAttention,
        cls,
        there=_attention_there,
        here=lambda module: _attention(
            module, causal=module.causal, inputs=module.inputs, padding_mask=module.padding_mask
        ),
        options={**ATTENTION, **taken("causal", "inputs", "padding_mask")},
    )
    return cls(
        layer.embed_dim,
        layer.num_heads,
        layer.dropout,
        layer.in_proj_bias is not None,
        kdim=layer.kdim,
        vdim=layer.vdim,
        batch_first=True,
        causal=layer.causal,
        inputs=layer.inputs,
        padding_mask=layer.padding_mask,
    )


@lru_cache(maxsize=1)
def attention_class(nn: Any) -> Any:
    """Return a subclass of torch.nn.MultiheadAttention that takes x, or the tuple, that MultiHeadAttention takes."""

    class Attention(nn.MultiheadAttention):  # type: ignore[misc]
        def __init__(self, *args: Any, causal: bool, inputs: int, padding_mask: bool, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.causal, self.inputs, self.padding_mask = causal, inputs, padding_mask

        def forward(self, x: Any) -> Any:
            parts = x if isinstance(x, tuple) else (x,)
            query, key, value = (parts[min(i, self.inputs - 1)] for i in range(3))
            padding = parts[-1].bool() if self.padding_mask else None
            hidden = _later(query, key.shape[1]) if self.causal else None
            return super().forward(query, key, value, key_padding_mask=padding, attn_mask=hidden, need_weights=False)[0]

    return Attention


def _later(query: Any, keys: int) -> Any:
    """Return True where a key comes after the query."""
    return query.new_ones(query.shape[1], keys).triu(1).bool()


ATTENTION: dict[str, str | Only] = {
    **taken("embed_dim", "num_heads", "dropout", "bias", "kdim", "vdim", "add_bias_kv"),
    "batch_first": BATCH_FIRST,
    "add_zero_attn": Only(False, "nanonet's has no further key and value"),
}
pair(
    MultiHeadAttention,
    "MultiheadAttention",
    there=_attention_there,
    here=lambda module: _attention(module, inputs=3),
    options=ATTENTION,
)


# ---- the block of a transformer


def _block(nn: Any, module: Any, **settings: Any) -> Layer:
    name, attention = type(module).__name__, module.self_attn
    if not attention.batch_first:
        raise ValueError(f"{name}: expected batch_first=True, got False; {BATCH_FIRST.why}")
    rates = {attention.dropout, module.dropout.p, module.dropout1.p, module.dropout2.p}
    if len(rates) > 1 or module.norm1.eps != module.norm2.eps:
        got = f"{sorted(rates)} and {sorted({module.norm1.eps, module.norm2.eps})}"
        raise ValueError(f"{name}: expected one dropout rate and one eps, got {got}")
    return made(
        TransformerBlock,
        attention.embed_dim,
        attention.num_heads,
        module.linear1.out_features,
        dropout=rates.pop(),
        activation=_activation(nn, module.activation, name),
        layer_norm_eps=module.norm1.eps,
        norm_first=module.norm_first,
        bias=module.linear1.bias is not None,
        **settings,
    )


def _activation(nn: Any, activation: Any, name: str) -> Layer | None:
    """Return the layer for an activation, which is a function or a module; None for ReLU."""
    if activation is nn.functional.relu:
        return None
    if activation is nn.functional.gelu:
        return GELU()
    found = pair_of(nn, activation)
    if found is None or found.here is None:
        raise ValueError(f"{name}: nanonet has no such activation, {activation!r:.80}")
    return found.here(activation)


def _activation_there(nn: Any, layer: Layer) -> Any:
    if type(layer) is ReLU:
        return nn.functional.relu
    if type(layer) is GELU and not layer.approximate:
        return nn.functional.gelu
    found = pair_for(layer)
    if found is None or found.there is None:
        raise TypeError(f"torch.nn has no module for its activation, {layer!r:.80}")
    return found.there(nn, layer, None)


def _block_there(nn: Any, layer: Any, shape: Any) -> Any:
    attention, settings = layer.self_attn, {}
    cls = nn.TransformerEncoderLayer
    if attention.causal or attention.padding_mask:
        cls = block_class(nn)
        settings = {"causal": attention.causal, "padding_mask": attention.padding_mask}
        pair(
            TransformerBlock,
            cls,
            there=_block_there,
            here=lambda module: _block(nn, module, causal=module.causal, padding_mask=module.padding_mask),
            options={**BLOCK, **taken("causal", "padding_mask")},
        )
    module = cls(
        attention.embed_dim,
        attention.num_heads,
        layer.linear1.out_features,
        attention.dropout,
        _activation_there(nn, layer.activation),
        layer.norm1.eps,
        batch_first=True,
        norm_first=layer.norm_first,
        bias=layer.linear1.bias is not None,
        **settings,
    )
    if isinstance(layer.activation, GELU) and layer.activation.approximate:
        module.activation_relu_or_gelu = 0  # in evaluation PyTorch would take the exact one
    return module


@lru_cache(maxsize=1)
def block_class(nn: Any) -> Any:
    """Return a subclass of torch.nn.TransformerEncoderLayer that takes what a TransformerBlock with masks takes."""

    class Block(nn.TransformerEncoderLayer):  # type: ignore[misc]
        def __init__(self, *args: Any, causal: bool, padding_mask: bool, **keywords: Any) -> None:
            super().__init__(*args, **keywords)
            self.causal, self.padding_mask = causal, padding_mask

        def forward(self, x: Any) -> Any:
            x, padding = (x[0], x[1].bool()) if self.padding_mask else (x, None)
            hidden = _later(x, x.shape[1]) if self.causal else None
            return super().forward(x, src_mask=hidden, src_key_padding_mask=padding)

    return Block


BLOCK: dict[str, str | Only] = taken(
    *("d_model", "nhead", "dim_feedforward", "dropout", "activation", "layer_norm_eps", "batch_first", "bias"),
    "norm_first",
)


def _block_here(module: Any) -> Layer:
    import torch  # there is a module, so it is installed

    return _block(torch.nn, module)


pair(TransformerBlock, "TransformerEncoderLayer", there=_block_there, here=_block_here, options=BLOCK)
