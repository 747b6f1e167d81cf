"""Rules for Reparametrised: weights of a given length, of slope 1 at most, or above 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Shape
from nanonet.core.objects import called
from nanonet.core.parameter import Buffer, Parameter
from nanonet.layers.activations import Softplus
from nanonet.layers.reparametrised import Rule

ITERATIONS = 15  # of the power method before the first step, as in PyTorch


class WeightNorm(Rule):
    """W' = g W / |W|, row by row: length and direction of each unit's weights are trained apart.

    Rows are along axis 0 of the weight, the outputs of Linear and of a convolution; g, shape (rows,), starts as their
    lengths, so that the first weight is that of the layer. As ``torch.nn.utils.parametrizations.weight_norm``, whose
    ``original0`` is g and ``original1`` W (Salimans and Kingma 2016).

    Examples
    --------
    >>> from nanonet import Linear, Reparametrised, Sequential, WeightNorm
    >>> layer = Reparametrised(Linear(2, 1, weight=[[3.0, 4.0]]), WeightNorm())
    >>> Sequential(layer).parameters()["0.rule.g"].value
    array([5.], dtype=float32)
    """

    mixes_samples = False
    g: Parameter

    def start(self, shape: Shape, weight: Callable[[], Array]) -> None:
        """Declare g."""
        self.input_shape = shape
        self.g = Parameter(shape[0], partial(_lengths, weight))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return g x / |x|."""
        rows = _rows(x)
        length = np.sqrt(np.einsum("nij,nij->ni", rows, rows))
        y: Array = rows * (_owned(self, "g").value / length)[..., np.newaxis]
        return y.reshape(x.shape), (rows, length)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Assign dE/dg = G · u for u = x / |x| and G = dE/dy; return dE/dx = g / |x| (G - (G · u) u)."""
        rows, length = cache
        g = _rows(grad)
        along = np.einsum("nij,nij->ni", g, rows) / length
        self.g.grad = along.sum(axis=0)
        scale = self.g.value / length
        dx: Array = g * scale[..., np.newaxis]
        dx -= rows * (scale * along / length)[..., np.newaxis]
        return dx.reshape(grad.shape)


class SpectralNorm(Rule):
    """W' = W / σ, with σ the largest singular value of W as a matrix (rows, all else): a map of slope 1 at most.

    σ = uᵀ W v, with u and v from the power method: in each training pass u <- Wv / abs(Wv), then v <- Wᵀu / abs(Wᵀu);
    in inference they stand. As ``torch.nn.utils.parametrizations.spectral_norm`` (Miyato et al. 2018), except that
    ``backward`` is the derivative of that iteration too. Once u and v have converged both are the same.

    Examples
    --------
    >>> from nanonet import Linear, Reparametrised, Sequential, SpectralNorm
    >>> layer = Reparametrised(Linear(2, 2, weight=[[3.0, 0.0], [0.0, 1.0]]), SpectralNorm())
    >>> model = Sequential(layer, rng=0)
    >>> layer.plain().weight.value.round(3)
    array([[1.   , 0.   ],
           [0.   , 0.333]], dtype=float32)
    """

    u: Buffer
    v: Buffer

    mixes_samples = "training"  # each pass moves its singular vectors on

    def start(self, shape: Shape, weight: Callable[[], Array]) -> None:
        """Declare u and v."""
        self.input_shape = shape
        vectors = _Vectors(weight)
        self.u = Buffer(shape[0], vectors.left)
        self.v = Buffer(int(np.prod(shape[1:])), vectors.right)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return x / σ; in training after a step of the power method on the mean over the batch, which is of one."""
        w, u, v = _rows(x), _owned(self, "u").value.copy(), self.v.value.copy()
        step = None
        if training:
            mean, before = w[0] if len(w) == 1 else w.mean(axis=0), v
            left = mean.dot(v)
            u = _unit(left)
            right = mean.T.dot(u)
            v = _unit(right)
            self.u.value, self.v.value = u, v
            step = mean, before, left, right
        sigma = np.array([u.dot(each.dot(v)) for each in w])
        y = w / sigma[:, np.newaxis, np.newaxis]
        return y.reshape(x.shape), (w, y, sigma, u, v, step)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return dE/dx = (G - (G · y) u vᵀ) / σ, and in training what u and v have of x."""
        w, y, sigma, u, v, step = cache
        g = _rows(grad)
        slopes = -np.einsum("nij,nij->n", g, y) / sigma  # dE/dσ
        columns: list[Array] = []
        rows: list[Array] = []
        if step is not None:
            mean, before, left, right = step
            pairs = list(zip(slopes, w, strict=True))
            dright = _unit_backward(sum(slope * each.T.dot(u) for slope, each in pairs), right)
            dleft = _unit_backward(sum(slope * each.dot(v) for slope, each in pairs) + mean.dot(dright), left)
            columns, rows = [u / len(w), dleft / len(w)], [dright, before]
        dx: Array = g / sigma[:, np.newaxis, np.newaxis]
        for slope, each in zip(slopes, dx, strict=True):
            each += _product(np.stack([slope * u, *columns]), np.stack([v, *rows]), like=each)
        return dx.reshape(grad.shape)


class Monotone(Rule):
    """W' = log(1 + exp(beta W)) / beta > 0: each output grows with each input, and so through a chain with Tanh.

    The first W' is the absolute value of the layer's own weight, or 1e-6 if that is larger (Sill 1997).

    Parameters
    ----------
    beta : float
        Above 0, as for Softplus.

    Examples
    --------
    >>> from nanonet import Linear, Monotone, Reparametrised, Sequential, Tanh
    >>> layers = [Reparametrised(Linear(1, 8), Monotone()), Tanh(), Reparametrised(Linear(8, 1), Monotone())]
    >>> y = Sequential(*layers, rng=0)(np.linspace(-2, 2, 9).reshape(-1, 1))
    >>> bool((np.diff(y[:, 0]) > 0).all())
    True
    """

    mixes_samples = False
    input_shape = (...,)

    def __init__(self, beta: float = 1.0) -> None:
        self.softplus = Softplus(beta)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        """Return log(1 + exp(beta x)) / beta."""
        return self.softplus.forward(x)

    def backward(self, grad: Array, cache: Any) -> Array:
        """Return dE/dx = G / (1 + exp(-beta x)) for G = dE/dy."""
        return self.softplus.backward(grad, cache)

    def inverse(self, weight: Array) -> Array:
        """Return log(exp(beta w) - 1) / beta for w = abs(weight), at least 1e-6."""
        z = self.softplus.beta * np.maximum(np.abs(weight), 1e-6)
        w: Array = (z + np.log(-np.expm1(-z))) / self.softplus.beta
        return w


class _Vectors:
    """The initial vectors of a SpectralNorm: the power method from a random start."""

    def __init__(self, weight: Callable[[], Array]) -> None:
        self.weight = weight
        self.found: Array | None = None

    def left(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return u."""
        matrix = _matrix(self.weight())
        v: Array = rng.normal(size=(matrix.shape[1],))
        for _ in range(ITERATIONS):
            u = _unit(matrix.dot(v))
            v = _unit(matrix.T.dot(u))
        self.found = v
        return u

    def right(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Return v, found with u."""
        assert self.found is not None
        return self.found


def _owned(rule: Rule, name: str) -> Any:
    """Return what a rule has declared in ``start``."""
    if not hasattr(rule, name):
        raise RuntimeError(f"{called(rule)} is a rule; write Reparametrised(layer, {called(rule)})")
    return getattr(rule, name)


def _matrix(weight: Array) -> Array:
    return weight.reshape(len(weight), -1)


def _rows(weights: Array) -> Array:
    """Return a batch of weights as one of matrices."""
    return weights.reshape(*weights.shape[:2], -1)


def _lengths(weight: Callable[[], Array], shape: Shape, rng: np.random.Generator) -> Array:
    lengths: Array = np.linalg.norm(_matrix(weight()), axis=1)
    return lengths


def _product(columns: Array, rows: Array, like: Array) -> Array:
    """Return columnsᵀ rows, in the memory order of another array, to which it can then be added quickly."""
    turned = like.ndim == 2 and like.strides[0] < like.strides[1]
    product: Array = rows.T.dot(columns).T if turned else columns.T.dot(rows)
    return product


def _unit(vector: Array) -> Array:
    unit: Array = vector / np.sqrt(vector.dot(vector))
    return unit


def _unit_backward(grad: Array, vector: Array) -> Array:
    """Return dE/dvector for a gradient of the unit vector."""
    length = np.sqrt(vector.dot(vector))
    unit = vector / length
    dvector: Array = (grad - grad.dot(unit) * unit) / length
    return dvector
