"""MultiHeadAttention: each place of a sequence takes from all others what it looks for."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Patterns, parts_of
from nanonet.core.checks import agreed, finite_number, positive_int, true_or_false
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer, input_pattern
from nanonet.core.parameter import Parameter, Random
from nanonet.layers.heads import Heads, attend, attend_back
from nanonet.layers.initializers import GlorotUniform, Uniform, Zeros
from nanonet.layers.linear import Linear, product

ROLES = ("query", "key", "value")
FED: dict[int, tuple[tuple[int, int], ...]] = {1: ((0, 3),), 2: ((0, 1), (1, 3)), 3: ((0, 1), (1, 2), (2, 3))}
"""For each number of inputs the roles that each of them plays, as a range of ROLES."""


class MultiHeadAttention(Layer):
    """y = concatenate(head₁, ...) Wₒᵀ + bₒ, headᵢ = softmax(qᵢ kᵢᵀ / √d) vᵢ with q, k, v = x Wᵀ + b, d features each.

    Attention of a sequence (N, T, embed_dim) to itself, or to another one (Vaswani et al. 2017, section 3.2). Names of
    the parameters and initial values are those of PyTorch's MultiheadAttention.

    Parameters
    ----------
    embed_dim : int
        Features of the queries and of y.
    num_heads : int
        Divides embed_dim: each head has embed_dim / num_heads features.
    dropout : float
        The probability that a weight of the softmax is dropped in training; the others are divided by 1 - dropout.
    bias : bool
        If False, none of the four products has a bias.
    kdim, vdim : int, optional
        Features of the keys and of the values; default: embed_dim.
    causal : bool
        Whether a query at t sees only the keys up to t.
    inputs : int
        1: x, which is query, key and value. 2: (query, memory), the latter key and value. 3: (query, key, value).
    padding_mask : bool
        Whether a mask (N, keys) comes as a further input, (x, mask): True, or 1, at the keys that do not count.

    Raises
    ------
    ValueError
        If num_heads does not divide embed_dim, or kdim or vdim do not fit ``inputs``.

    Notes
    -----
    A query that sees no key, since all are padding, takes nothing: its y is the output bias, its gradient 0. PyTorch
    gives NaN there.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import MultiHeadAttention, Sequential
    >>> x = np.ones((2, 5, 8), np.float32)
    >>> Sequential(MultiHeadAttention(8, 2, causal=True))(x).shape
    (2, 5, 8)
    >>> model = Sequential(MultiHeadAttention(8, 2, inputs=2, padding_mask=True))
    >>> model((x, np.ones((2, 3, 8)), [[False, False, True], [False, False, False]])).shape
    (2, 5, 8)
    """

    mixes_samples = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        kdim: int | None = None,
        vdim: int | None = None,
        causal: bool = False,
        inputs: int = 1,
        padding_mask: bool = False,
    ) -> None:
        name = type(self).__name__
        self.embed_dim = positive_int(embed_dim, name, "embed_dim")
        self.num_heads = positive_int(num_heads, name, "num_heads")
        if self.embed_dim % self.num_heads:
            raise ValueError(f"{name}: expected num_heads that divides embed_dim, {embed_dim}, got {num_heads}")
        self.dropout = finite_number(dropout, name, "dropout", low=0, high=1, open_high=True)
        self.kdim = self.embed_dim if kdim is None else positive_int(kdim, name, "kdim")
        self.vdim = self.embed_dim if vdim is None else positive_int(vdim, name, "vdim")
        self.causal = true_or_false(causal, name, "causal")
        self.inputs = positive_int(inputs, name, "inputs")
        self.padding_mask = true_or_false(padding_mask, name, "padding_mask")
        self._check_inputs(name)
        self._declare(true_or_false(bias, name, "bias"))
        self.random = Random()

    def _check_inputs(self, name: str) -> None:
        """Check how many inputs there are, and which features each has."""
        if self.inputs not in FED:
            raise ValueError(
                f"{name}: expected inputs as 1 (x), 2 (query, memory) or 3 (query, key, value), got {self.inputs}"
            )
        features = self._features()
        for first, last in FED[self.inputs]:
            if len({*features[first:last]}) > 1:
                taken = ", ".join(f"{role} of {n}" for role, n in zip(ROLES, features, strict=True))
                raise ValueError(f"{name}: expected inputs=3 for features that differ, {taken}; got {self.inputs}")
        shapes = tuple((None, features[first]) for first, _ in FED[self.inputs])
        self.several_inputs = self.inputs > 1 or self.padding_mask
        self.integer_input = (*[False] * self.inputs, True) if self.padding_mask else False
        self.input_shape: Any = (*shapes, *[(None,)] * self.padding_mask) if self.several_inputs else shapes[0]

    def _features(self) -> tuple[int, int, int]:
        return self.embed_dim, self.kdim, self.vdim

    def _declare(self, bias: bool) -> None:
        """Declare the parameters, named and initialized as PyTorch's."""
        size, features = self.embed_dim, self._features()
        if len({*features}) == 1:
            self.in_proj_weight = Parameter((3 * size, size), GlorotUniform())
        else:
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (
                Parameter((size, n), GlorotUniform()) for n in features
            )
        self.in_proj_bias = Parameter(3 * size, Zeros()) if bias else None
        bound = 1 / math.sqrt(size)
        self.out_proj = Linear(size, size, weight=Uniform(-bound, bound), bias=bias)

    def forward(self, x: Arrays, *, training: bool = False) -> tuple[Array, Any]:
        """Return y; the cache has the attention weights, among others."""
        given = parts_of(x)
        heads, weights = self._heads(given, training)
        y, out = self.out_proj.forward(heads.y.reshape(*heads.y.shape[:2], self.embed_dim), training=training)
        return y, _Cache(given, weights, heads, out)

    def weights(self, x: Arrays) -> Array:
        """Return the attention weights, as without dropout.

        Parameters
        ----------
        x : array, or tuple of arrays
            As for ``forward``, in the dtype of the model.

        Returns
        -------
        array
            Shape (N, num_heads, queries, keys).

        Examples
        --------
        >>> import numpy as np
        >>> from nanonet import MultiHeadAttention, Sequential
        >>> attention = MultiHeadAttention(4, 2, causal=True)
        >>> model = Sequential(attention, rng=0)
        >>> attention.weights(np.ones((1, 3, 4), np.float32))[0, 0].round(3)
        array([[1.   , 0.   , 0.   ],
               [0.5  , 0.5  , 0.   ],
               [0.333, 0.333, 0.333]], dtype=float32)
        """
        heads, _ = self._heads(parts_of(x), training=False)
        return heads.weights.swapaxes(2, 3)

    def backward(self, grad: Array, cache: Any) -> Any:
        """Assign all gradients, and return dE/dx, for several inputs a tuple, with None for the mask."""
        sums = self._assign(grad, cache)
        parts = zip(cache.given, cache.weights, sums, strict=False)
        dx = [product(da, w).reshape(part.shape) for part, w, da in parts]
        return (*dx, *[None] * self.padding_mask) if self.several_inputs else dx[0]

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        """Assign the gradients only."""
        self._assign(grad, cache)

    def _heads(self, given: tuple[Array, ...], training: bool) -> tuple[Heads, list[Array]]:
        """Return the heads, and the weight that each input was multiplied by."""
        projected: list[Array] = []
        weights = []
        for (first, last), part in zip(FED[self.inputs], given, strict=False):
            w, b = self._projection(first, last)
            a = product(part.reshape(-1, part.shape[-1]), w.T)
            if b is not None:
                a += b
            weights.append(w)
            projected.extend(self._by_head(a, part))
        q, k, v = projected
        kept, factor = None, 1.0
        if training and self.dropout:
            shape = (*q.shape[:2], k.shape[2], q.shape[2])
            kept = self.random.generator.random(shape, dtype=q.dtype) >= self.dropout
            factor = 1 / (1 - self.dropout)
        padding = given[-1] if self.padding_mask else None
        return attend(q, k, v, causal=self.causal, padding=padding, kept=kept, factor=factor), weights

    def _assign(self, grad: Array, cache: Any) -> list[Array]:
        """Assign all gradients, and return those for the sums of each input's product."""
        heads: Heads = cache.heads
        dy = self.out_proj.backward(grad, cache.out).reshape(heads.y.shape)
        sums: list[Array] = []
        by_head: list[Array] = []
        for (first, last), part in zip(FED[self.inputs], cache.given, strict=False):
            sums.append(np.empty((part.shape[0] * part.shape[1], (last - first) * self.embed_dim), grad.dtype))
            by_head.extend(self._by_head(sums[-1], part))
        dq, dk, dv = by_head
        attend_back(np.ascontiguousarray(dy), heads, dq, dk, dv)
        for (first, last), part, da in zip(FED[self.inputs], cache.given, sums, strict=False):
            self._assign_projection(first, last, part.reshape(-1, part.shape[-1]), da)
        return sums

    # ---- what the queries, the keys and the values are made by: roles 0, 1 and 2

    @property
    def _scale(self) -> float:
        """1 / √d, by which the queries are multiplied; their weight instead, which is smaller."""
        return 1 / math.sqrt(self.embed_dim // self.num_heads)

    def _rows(self, first: int, last: int) -> slice:
        return slice(first * self.embed_dim, last * self.embed_dim)

    def _projection(self, first: int, last: int) -> tuple[Array, Array | None]:
        """Return the weight and the bias of some roles together, those of the queries scaled."""
        w = np.concatenate([self._weight(role, "value") for role in range(first, last)])
        b = None if self.in_proj_bias is None else self.in_proj_bias.value[self._rows(first, last)].copy()
        if first == 0:
            w[: self.embed_dim] *= self._scale
            if b is not None:
                b[: self.embed_dim] *= self._scale
        return w, b

    def _assign_projection(self, first: int, last: int, rows: Array, da: Array) -> None:
        """Assign the gradients of the weight and the bias of some roles."""
        dw, db = product(da.T, rows), np.ones(len(da), da.dtype).dot(da)
        if first == 0:
            dw[: self.embed_dim] *= self._scale
            db[: self.embed_dim] *= self._scale
        for role in range(first, last):
            self._weight(role, "grad")[...] = dw[self._rows(role - first, role - first + 1)]
        if self.in_proj_bias is not None:
            self.in_proj_bias.grad[self._rows(first, last)] = db

    def _weight(self, role: int, of: str) -> Array:
        """Return the weight of a role, or its gradient."""
        if len({*self._features()}) == 1:
            whole: Array = getattr(self.in_proj_weight, of)
            return whole[self._rows(role, role + 1)]
        own: Array = getattr((self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[role], of)
        return own

    def _by_head(self, a: Array, part: Array) -> Array:
        """Return sums (N T, roles embed_dim) as views (roles, N, heads, T, d)."""
        roles, d = a.shape[1] // self.embed_dim, self.embed_dim // self.num_heads
        return a.reshape(*part.shape[:2], roles, self.num_heads, d).transpose(2, 0, 3, 1, 4)

    def output_shape(self, input_shape: Patterns) -> Patterns:
        """Return the queries' shape."""
        both: Any = input_pattern(self, input_shape)
        shapes = both if self.several_inputs else (both,)
        lengths = [shape[:1] for shape in shapes[self.inputs > 1 :]]  # of what is looked at
        common: Any = lengths[0]
        for length in lengths[1:]:
            common = None if common is None else agreed(common, length)
        if common is None:
            raise ShapeError(f"{self}: expected keys, values and mask of one length, got {shape_text(input_shape)}")
        return shapes[0]


class _Cache(NamedTuple):
    """What the backward pass needs: the inputs, the weights of their products, the heads, and the cache of out_proj."""

    given: tuple[npt.NDArray[Any], ...]
    weights: list[Array]
    heads: Heads
    out: Any
