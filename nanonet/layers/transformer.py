"""TransformerBlock: attention between the places of a sequence, then a small net at each place, both residual."""

from __future__ import annotations

from typing import Any

from nanonet.core.checks import expect, positive_int, true_or_false
from nanonet.core.layer import Layer
from nanonet.layers.activations import ReLU
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.composite import Composite
from nanonet.layers.dropout import Dropout
from nanonet.layers.linear import Linear
from nanonet.layers.norm import LayerNorm


class TransformerBlock(Composite):
    """z = norm1(x + self_attn(x)), y = norm2(z + linear2(f(linear1(z)))) for x of shape (N, T, embed_dim).

    One layer of a transformer's encoder (Vaswani et al. 2017, section 3.1), with ``causal=True`` one of a language
    model. With ``norm_first=True`` z = x + self_attn(norm1(x)), y = z + linear2(f(linear1(norm2(z)))), which trains
    more easily when there are many (Xiong et al. 2020). The names are those of PyTorch's TransformerEncoderLayer.

    Parameters
    ----------
    embed_dim : int
        Features of x and of y.
    num_heads : int
        Heads of the attention; divides embed_dim.
    dim_feedforward : int
        Features between linear1 and linear2, often 4 embed_dim.
    dropout : float
        The probability with which a weight of the attention, a number between linear1 and linear2, and a number of
        either branch before it is added, is dropped in training.
    activation : Layer, optional
        f, which works on each number alone; default: ReLU().
    layer_norm_eps : float
        ``eps`` of both norms.
    norm_first : bool
    bias : bool
        If False, neither the products nor the norms have a bias.
    causal : bool
        Whether a place sees only those up to its own.
    padding_mask : bool
        Whether x is a tuple (x, mask), mask of shape (N, T), True at places that no other may see.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import GELU, Sequential, TransformerBlock
    >>> blocks = [TransformerBlock(8, 2, 32, activation=GELU(), norm_first=True, causal=True) for _ in range(2)]
    >>> Sequential(*blocks)(np.ones((1, 5, 8))).shape
    (1, 5, 8)
    """

    mixes_samples = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dim_feedforward: int,
        *,
        dropout: float = 0.1,
        activation: Layer | None = None,
        layer_norm_eps: float = 1e-5,
        norm_first: bool = False,
        bias: bool = True,
        causal: bool = False,
        padding_mask: bool = False,
    ) -> None:
        name = type(self).__name__
        embed_dim = positive_int(embed_dim, name, "embed_dim")
        dim_feedforward = positive_int(dim_feedforward, name, "dim_feedforward")
        self.norm_first = true_or_false(norm_first, name, "norm_first")
        plain: dict[str, Any] = {} if true_or_false(bias, name, "bias") else {"bias": False}
        self.self_attn = MultiHeadAttention(
            embed_dim, num_heads, dropout=dropout, causal=causal, padding_mask=padding_mask, **plain
        )
        self.linear1 = Linear(embed_dim, dim_feedforward, **plain)
        self.linear2 = Linear(dim_feedforward, embed_dim, **plain)
        self.norm1 = LayerNorm(embed_dim, layer_norm_eps, **plain)
        self.norm2 = LayerNorm(embed_dim, layer_norm_eps, **plain)
        if activation is not None:
            expect(activation, Layer, f"{name}: expected activation", hint="; write ReLU() or GELU()")
        self.activation = ReLU() if activation is None else activation
        self.dropout, self.dropout1, self.dropout2 = (Dropout(dropout) if dropout else None for _ in range(3))
        self.input_shape = self.self_attn.input_shape
        self.integer_input = self.self_attn.integer_input

    def wire(self, call: Any, x: Any) -> Any:
        """Return the output for x, or for (x, mask)."""
        x, *mask = x if self.self_attn.padding_mask else (x,)

        def attended(part: Any) -> Any:
            return self._dropped(call, self.dropout1, call(self.self_attn, (part, *mask) if mask else part))

        def fed_forward(part: Any) -> Any:
            inner = self._dropped(call, self.dropout, call(self.activation, call(self.linear1, part)))
            return self._dropped(call, self.dropout2, call(self.linear2, inner))

        if self.norm_first:
            x = call.add(x, attended(call(self.norm1, x)))
            return call.add(x, fed_forward(call(self.norm2, x)))
        x = call(self.norm1, call.add(x, attended(x)))
        return call(self.norm2, call.add(x, fed_forward(x)))

    @staticmethod
    def _dropped(call: Any, dropout: Layer | None, value: Any) -> Any:
        return value if dropout is None else call(dropout, value)
