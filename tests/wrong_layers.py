"""Layers whose backward pass is wrong, one of each kind that people write: check_gradients has to refuse them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet import Activation, Array, Buffer, Constant, Layer, Linear, Normal, Parameter, Random, Tanh, Zeros

F = 3  # features


class Case(NamedTuple):
    """How a layer is made, and what check_gradients is told besides."""

    make: Callable[[], Layer]
    keywords: dict[str, Any]


WRONG: dict[str, Case] = {}


def wrong(name: str, **keywords: Any) -> Callable[[type[Layer]], type[Layer]]:
    """Enter a class; input_shape=3 unless told otherwise."""

    def enter(cls: type[Layer]) -> type[Layer]:
        assert name not in WRONG
        WRONG[name] = Case(cls, keywords or {"input_shape": F})
        return cls

    return enter


# ---- functions of single numbers


class Entrywise(Activation):
    """y = f(a), with a derivative that need not be f'."""

    def __init__(self, function: Callable[[Array], Any], derivative: Callable[[Array, Array], Any]) -> None:
        self.functions = function, derivative

    def function(self, a: Array) -> Array:
        return np.asarray(self.functions[0](a), a.dtype)

    def derivative(self, a: Array, y: Array) -> Array:
        return np.broadcast_to(np.asarray(self.functions[1](a, y), a.dtype), a.shape)


FUNCTIONS: dict[str, tuple[Callable[[Array], Any], Callable[[Array, Array], Any]]] = {
    "a factor forgotten": (lambda a: np.sin(2 * a), lambda a, y: np.cos(2 * a)),
    "a sign": (np.cos, lambda a, y: np.sin(a)),
    "an upper bound forgotten": (lambda a: np.clip(a, 0, 6), lambda a, y: a > 0),
    "a lower bound forgotten": (lambda a: np.clip(a, -20, 20), lambda a, y: a < 20),
    "a bound far out forgotten": (lambda a: np.clip(a, -30, 30), lambda a, y: a > -30),
    "a tail cut off": (lambda a: np.logaddexp(0, a), lambda a, y: np.where(a > 15, 0, 1 - np.exp(-y))),
    "a tail that is 1 % off": (np.arctan, lambda a, y: np.where(a < -10, 1.01, 1) / (1 + a * a)),
    "0.05 % too much": (np.tanh, lambda a, y: 1.0005 * (1 - y * y)),
    "0.009 % too little": (np.tanh, lambda a, y: 0.99991 * (1 - y * y)),
    "0.003 % too much": (np.sin, lambda a, y: 1.00003 * np.cos(a)),
    "a for y": (lambda a: 1 / (1 + np.exp(-a)), lambda a, y: a * (1 - a)),
    "a square forgotten": (np.tanh, lambda a, y: 1 - y),
    "1 for alpha": (lambda a: np.where(a > 0, a, 2 * np.expm1(np.fmin(a, 0))), lambda a, y: np.where(a > 0, 1, y + 1)),
    "a small slope forgotten": (lambda a: np.where(a > 0, a, 0.01 * a), lambda a, y: a > 0),
    "the sides mixed up": (lambda a: np.maximum(a, 0), lambda a, y: a < 0),
    "a dead zone forgotten": (lambda a: np.where(np.abs(a) > 0.5, a, 0), lambda a, y: 1),
    "the sign of |a| forgotten": (np.abs, lambda a, y: 1),
    "a term forgotten": (lambda a: a / (1 + np.exp(-a)), lambda a, y: 1 / (1 + np.exp(-a))),
    "epsilon forgotten": (lambda a: np.sqrt(a * a + 0.1), lambda a, y: np.sign(a)),
    "the exponent not reduced": (lambda a: a**3, lambda a, y: 3 * a**3),
    "a jump for a slope": (np.sign, lambda a, y: 1 - np.tanh(a) ** 2),
    "straight through a rounding": (np.round, lambda a, y: 1),
    "a derivative in half precision": (np.tanh, lambda a, y: (1 - y * y).astype(np.float16)),
}
WRONG |= {name: Case(lambda pair=pair: Entrywise(*pair), {}) for name, pair in FUNCTIONS.items()}  # type: ignore[misc]  # mypy knows no lambda with a default


# ---- one gain a feature


class Gain(Layer):
    """y = gain x: right; the wrong ones below are made from it."""

    def __init__(self, start: float = 1.5) -> None:
        self.gain = Parameter((F,), Constant(start))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * self.gain.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = (grad * cache).reshape(-1, F).sum(axis=0)
        return grad * self.gain.value


@wrong("the gain left out where it starts at 1")
class GainLeftOut(Gain):
    def __init__(self) -> None:
        super().__init__(1.0)

    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        return grad.copy()


@wrong("its square in place of a gain of -1")
class GainSquared(Gain):
    def __init__(self) -> None:
        super().__init__(-1.0)

    def backward(self, grad: Array, cache: Any) -> Array:
        return -super().backward(grad, cache) * self.gain.value


@wrong("y = x (1 + gain), and the gain left out where it starts at 0")
class TermLeftOut(Gain):
    def __init__(self) -> None:
        super().__init__(0.0)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x + super().forward(x)[0], x

    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        return grad.copy()


@wrong("the input forgotten in the gradient of the gain")
class InputForgotten(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = grad.sum(axis=0)
        return dx


@wrong("dE/dx 0.009 % off")
class SlightlyOff(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache) * 1.00009


@wrong("one entry of a gradient 0.1 % off")
class OneEntryOff(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad[1] *= 1.001
        return dx


@wrong("dE/dx twice as large for a batch of one")
class WrongAlone(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache) * (2 if len(grad) == 1 else 1)


@wrong("a parameter's gradient wrong for a batch of one")
class ParameterWrongAlone(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        if len(grad) == 1:
            self.gain.grad = grad[0]
        return dx


@wrong("a mean over the batch")
class BatchMean(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = (grad * cache).mean(axis=0)
        return dx


@wrong("one sample in place of all")
class OneSample(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = (grad * cache)[0]
        return dx


@wrong("the sum over the wrong axis", x=np.random.default_rng(0).normal(size=(F, F)))
class WrongAxis(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = (grad * cache).sum(axis=1)
        return dx


@wrong("a mean over the steps of a sequence", input_shape=(4, F))
class MeanOverTime(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = (grad * cache).sum(axis=0).mean(axis=0)
        return dx


@wrong("the last step of a sequence alone", input_shape=(4, F))
class LastStep(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = (grad * cache)[:, -1].sum(axis=0)
        return dx


# ---- what a derivative never is


@wrong("a gradient held within bounds")
class Clipped(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return np.clip(super().backward(grad, cache), -100, 100)


@wrong("the gradient of a parameter held within bounds")
class ClippedParameter(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.gain.grad = np.clip(self.gain.grad, -500, 500)
        return dx


@wrong("small gradients dropped")
class Dropped(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache) * (np.abs(grad) > 1e-3)


@wrong("a constant added")
class ConstantAdded(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache) + 1e-6


@wrong("a gradient brought to length 1")
class Normalised(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = super().backward(grad, cache) / np.linalg.norm(grad)
        return dx


class Remembering(Gain):
    """Keeps something in a list, where no attribute changes."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []


@wrong("the last gradient leaks into the next")
class Leaking(Remembering):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        if self.kept and self.kept[-1].shape == dx.shape:
            dx = dx + 1e-3 * self.kept[-1]
        self.kept.append(dx)
        return dx


@wrong("right for a few calls only")
class WearsOut(Remembering):
    def backward(self, grad: Array, cache: Any) -> Array:
        self.kept.append(None)
        return super().backward(grad, cache) * (1 if len(self.kept) < 4 else 2)


@wrong("a stale cache: the input of the last forward pass")
class Stale(Remembering):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.kept[:] = [x]
        return super().forward(x)

    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, self.kept[0])


@wrong("the gradients of all calls summed")
class Accumulating(Remembering):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.kept.append(self.gain.grad.copy())
        self.gain.grad = np.sum(self.kept, axis=0)
        return dx


@wrong("backward_parameters alone doubles a gradient")
class DoublesAlone(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.gain.grad = 2 * (grad * cache).sum(axis=0)


@wrong("backward_parameters alone is wrong for a batch of one")
class AloneAlone(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache)

    def backward_parameters(self, grad: Array, cache: Any) -> None:
        self.gain.grad = (grad * cache).sum(axis=0) * (3 if len(grad) == 1 else 1)


@wrong("entries taken as they lie in memory")
class AsTheyLie(Gain):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        return dx.ravel(order="C").reshape(dx.shape) if grad.flags.c_contiguous else dx.ravel("K").reshape(dx.shape)


# ---- matrices


class Affine(Layer):
    """y = x Wᵀ + b: right."""

    def __init__(self, start: Any = None) -> None:
        self.weight = Parameter((F, F), Normal(1.0) if start is None else start)
        self.bias = Parameter((F,), Zeros())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x @ self.weight.value.T + self.bias.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.weight.grad, self.bias.grad = grad.T @ cache, grad.sum(axis=0)
        return grad @ self.weight.value


@wrong("W for its transpose")
class Transposed(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        return grad @ self.weight.value.T


@wrong("W for its transpose, where it starts as the identity")
class TransposedIdentity(Transposed):
    def __init__(self) -> None:
        super().__init__(np.eye(F))


@wrong("a gradient transposed")
class GradientTransposed(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad = cache.T @ grad
        return dx


@wrong("the gradient of the bias 0")
class NoBias(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.bias.grad = np.zeros(F)
        return dx


@wrong("the gradient of the bias a mean")
class MeanBias(Affine):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.bias.grad = grad.mean(axis=0)
        return dx


@wrong("x W x, as if W were symmetric", input_shape=F)
class Quadratic(Affine):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * (x @ self.weight.value.T) + self.bias.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.weight.grad, self.bias.grad = (grad * cache).T @ cache, grad.sum(axis=0)
        result: Array = 2 * grad * (cache @ self.weight.value.T)
        return result


@wrong("a matrix used twice, its gradient from one use")
class UsedTwice(Affine):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        inner = super().forward(x)[0]
        return super().forward(inner)[0], (x, inner)

    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache[1])
        return dx @ self.weight.value


# ---- several layers


class Pair(Layer):
    """Two layers in a row: right."""

    def __init__(self, first: Layer, second: Layer) -> None:
        self.first, self.second = first, second

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        x, first = self.first.forward(x, training=training)
        y, second = self.second.forward(x, training=training)
        return y, (first, second)

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.first.backward(self.second.backward(grad, cache[1]), cache[0])


@wrong("the second of two gains that start alike in place of the first")
class SwappedGains(Pair):
    def __init__(self) -> None:
        super().__init__(Gain(), Gain())

    def backward(self, grad: Array, cache: Any) -> Array:
        super().backward(grad, cache)
        second: Any = self.second
        result: Array = grad * second.gain.value * second.gain.value
        return result


@wrong("the gradients of two matrices that start alike swapped")
class SwappedMatrices(Layer):
    def __init__(self) -> None:
        start = np.random.default_rng(0).normal(size=(F, F))
        self.left, self.right = Parameter((F, F), start), Parameter((F, F), start)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        left, right = x @ self.left.value, x @ self.right.value
        return left * right, (x, left, right)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, left, right = cache
        self.left.grad, self.right.grad = x.T @ (grad * right), x.T @ (grad * left)
        result: Array = (grad * left) @ self.left.value.T + (grad * right) @ self.right.value.T
        return result


@wrong("the second layer's dE/dx not handed down")
class NotHandedDown(Pair):
    def __init__(self) -> None:
        super().__init__(Affine(), Affine())

    def backward(self, grad: Array, cache: Any) -> Array:
        self.second.backward(grad, cache[1])
        return self.first.backward(grad, cache[0])


@wrong("a layer of the chain whose dE/dx is that of a layer below all others", input_shape=F)
class FirstOfAll(Pair):
    def __init__(self) -> None:
        super().__init__(Affine(), ZeroDx())


class ZeroDx(Affine):
    """Right about its parameters; as the first layer of a net nobody would notice."""

    def backward(self, grad: Array, cache: Any) -> Array:
        return 0 * super().backward(grad, cache)


@wrong("the way around a residual block forgotten")
class Residual(Pair):
    def __init__(self) -> None:
        super().__init__(Affine(), Tanh())

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = super().forward(x, training=training)
        return x + y, cache


# ---- training, chance and state


@wrong("dropout without its mask")
class MaskForgotten(Layer):
    def __init__(self) -> None:
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if not training:
            return x.copy(), np.ones_like(x)
        mask = 2.0 * (self.random.generator.random(x.shape) > 0.5)
        return x * mask, mask

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()


@wrong("dropout without its scale")
class ScaleForgotten(MaskForgotten):
    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * (cache > 0)
        return result


@wrong("dropout with a mask drawn anew")
class MaskAnew(MaskForgotten):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad * 2.0 * (self.random.generator.random(grad.shape) > 0.5) if (cache != 1).any() else grad.copy()


@wrong("dropout with the mask of the last pass")
class MaskReused(MaskForgotten):
    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Any] = []

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, mask = super().forward(x, training=training)
        self.masks[:] = [*self.masks, mask][-2:]
        return y, mask

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * self.masks[0] if self.masks[0].shape == grad.shape else grad * cache
        return result


@wrong("a factor in training alone")
class FactorInTraining(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * (2 if training else 1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()


@wrong("a cache in training alone, read otherwise")
class CacheInTraining(Gain):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * self.gain.value, x + 1 if training else x


class BatchNorm(Layer):
    """Right: by the batch's own mean and deviation in training, by running ones otherwise."""

    def __init__(self) -> None:
        self.mean, self.variance = Buffer((F,), Zeros()), Buffer((F,), Constant(1.0))
        self.gain = Parameter((F,), Constant(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        mean, variance = self.mean.value, self.variance.value
        if training:
            mean, variance = x.mean(axis=0), x.var(axis=0)
            self.mean.value = 0.9 * self.mean.value + 0.1 * mean
            self.variance.value = 0.9 * self.variance.value + 0.1 * variance
        rate = 1 / np.sqrt(variance + 1e-5)
        z = (x - mean) * rate
        return z * self.gain.value, (z, rate, training)

    def backward(self, grad: Array, cache: Any) -> Array:
        z, rate, training = cache
        self.gain.grad = (grad * z).sum(axis=0)
        g = grad * self.gain.value
        dx: Array = (g - g.mean(axis=0) - z * (g * z).mean(axis=0)) * rate if training else g * rate
        return dx


@wrong("statistics of the batch taken for constants")
class ConstantStatistics(BatchNorm):
    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, (*cache[:2], False))


@wrong("a running variance forgotten, which starts at 1")
class VarianceForgotten(BatchNorm):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        return dx if cache[2] else dx / cache[1]


@wrong("the deviation for the variance")
class MeanTermForgotten(BatchNorm):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        return dx + (grad * self.gain.value).mean(axis=0) * cache[1] if cache[2] else dx


# ---- across the features


class Softmax(Layer):
    """Right."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        return p, p

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = cache * (grad - (grad * cache).sum(axis=-1, keepdims=True))
        return dx


@wrong("softmax as if its outputs were independent")
class Independent(Softmax):
    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * cache * (1 - cache)
        return result


@wrong("softmax summed over the batch", x=np.random.default_rng(1).normal(size=(F, F)))
class OverTheBatch(Softmax):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = cache * (grad - (grad * cache).sum(axis=0))
        return dx


@wrong("softmax with a mean for a sum")
class MeanForSum(Softmax):
    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = cache * (grad - (grad * cache).mean(axis=-1, keepdims=True))
        return dx


class Sorted(Layer):
    """Right: the features in rising order."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        order = x.argsort(axis=1)
        return np.take_along_axis(x, order, axis=1), order

    def backward(self, grad: Array, cache: Any) -> Array:
        return np.take_along_axis(grad, cache.argsort(axis=1), axis=1)


@wrong("a permutation for its inverse")
class Permuted(Sorted):
    def backward(self, grad: Array, cache: Any) -> Array:
        return np.take_along_axis(grad, cache, axis=1)


@wrong("the largest entry for all")
class MaxForAll(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.max(axis=1, keepdims=True), x

    def backward(self, grad: Array, cache: Any) -> Array:
        return np.broadcast_to(grad / cache.shape[1], cache.shape)


@wrong("a running sum that is not reversed")
class NotReversed(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.cumsum(axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.cumsum(axis=1)


@wrong("a share of the sum as if the sum were constant")
class ShareOfTheSum(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        size = np.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-3)
        return x / size, size

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad / cache
        return dx


@wrong("each entry repeated, its gradient a mean")
class Repeated(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.repeat(x, 2, axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad.reshape(len(grad), -1, 2).mean(axis=2)
        return result


@wrong("padding cut off at the wrong end")
class Padded(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.pad(x, ((0, 0), (1, 0))), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad[:, :-1].copy()


@wrong("a convolution whose kernel is not flipped", input_shape=6)
class NotFlipped(Layer):
    def __init__(self) -> None:
        self.kernel = Parameter((F,), Normal(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        windows: npt.NDArray[Any] = np.lib.stride_tricks.sliding_window_view(x, F, axis=1)
        return windows @ self.kernel.value, windows

    def backward(self, grad: Array, cache: Any) -> Array:
        self.kernel.grad = np.einsum("ni,nik->k", grad, cache)
        wide = np.pad(grad, ((0, 0), (F - 1, F - 1)))
        dx: Array = np.lib.stride_tricks.sliding_window_view(wide, F, axis=1) @ self.kernel.value
        return dx


@wrong("a recurrence of which the last step alone is gone back", input_shape=(4, F))
class LastStepAlone(Layer):
    def __init__(self) -> None:
        self.weight = Parameter((F, F), Normal(0.5))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        states = [np.zeros_like(x[:, 0])]
        for step in range(x.shape[1]):
            states.append(np.tanh(x[:, step] + states[-1] @ self.weight.value))
        return states[-1], (states, x.shape)

    def backward(self, grad: Array, cache: Any) -> Array:
        states, shape = cache
        dx = np.zeros(shape, grad.dtype)
        g = grad * (1 - states[-1] ** 2)
        dx[:, -1] = g
        self.weight.grad = states[-2].T @ g
        return dx


@wrong("attention without its scale on the way back", input_shape=(4, F))
class ScaleLost(Softmax):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        p = super().forward(x @ x.swapaxes(1, 2) / np.sqrt(float(F)))[0]
        return p @ x, (x, p)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, p = cache
        s = super().backward(grad @ x.swapaxes(1, 2), p)
        dx: Array = p.swapaxes(1, 2) @ grad + s @ x + s.swapaxes(1, 2) @ x
        return dx


# ---- integers, many entries


@wrong("a row that is looked up twice gets the gradient of one", x=np.array([[0, 2], [2, 2], [1, 0]]))
class LookedUpTwice(Layer):
    integer_input = True

    def __init__(self) -> None:
        self.table = Parameter((3, 2), Normal(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.table.value[x], x

    def backward(self, grad: Array, cache: Any) -> Array:
        total = np.zeros(self.table.shape, grad.dtype)
        total[cache] = grad
        self.table.grad = total
        return np.zeros(cache.shape, grad.dtype)


@wrong("a few of very many entries wrong", input_shape=60)
class FewOfMany(Linear):
    def __init__(self) -> None:
        super().__init__(60, 50)

    def backward(self, grad: Array, cache: Any) -> Array:
        dx = super().backward(grad, cache)
        self.weight.grad[7, 3:6] *= 1.01
        return dx
