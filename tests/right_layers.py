"""Layers that are right, though unusual: check_gradients has to pass them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    GELU,
    Array,
    Buffer,
    Constant,
    Dropout,
    Layer,
    Linear,
    LogSoftmax,
    Normal,
    Parameter,
    Random,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    Zeros,
)
from tests.helpers import Branches
from tests.helpers import Residual as ListedResidual
from tests.wrong_layers import Affine, BatchNorm, Case, Entrywise, F, Gain, Pair, Softmax, Sorted

RNG = np.random.default_rng(5)
RIGHT: dict[str, Case] = {}


def right(name: str, *arguments: Any, **keywords: Any) -> Callable[[type[Layer]], type[Layer]]:
    """Enter a class, made with the arguments; input_shape=3 unless told otherwise."""

    def enter(cls: type[Layer]) -> type[Layer]:
        add(name, lambda: cls(*arguments), **keywords)
        return cls

    return enter


def add(name: str, make: Callable[[], Layer], **keywords: Any) -> None:
    """Enter a way to make a layer."""
    assert name not in RIGHT
    RIGHT[name] = Case(make, keywords or {"input_shape": F})


# ---- functions of single numbers: kinks, jumps, steep ones, large and small ones


def steep(a: Array) -> Array:
    """Return a sigmoid that is all over within ±0.001."""
    y: Array = 0.5 * (1 + np.tanh(1e4 * a))
    return y


FUNCTIONS: dict[str, tuple[Callable[[Array], Any], Callable[[Array, Array], Any]]] = {
    "two kinks": (lambda a: np.clip(a, 0, 6), lambda a, y: (a > 0) & (a < 6)),
    "kinks far out": (lambda a: np.clip(a, -30, 30), lambda a, y: np.abs(a) < 30),
    "kinks close together": (lambda a: np.clip(a, -1e-3, 1e-3), lambda a, y: np.abs(a) < 1e-3),
    "a kink of infinite slopes": (lambda a: np.sqrt(np.abs(a)), lambda a, y: np.sign(a) / (2 * y)),
    "many kinks": (lambda a: np.abs(a - np.round(a)), lambda a, y: np.sign(a - np.round(a))),
    "jumps": (lambda a: np.where(np.abs(a) > 0.5, a, 0), lambda a, y: np.abs(a) > 0.5),
    "steps": (np.round, lambda a, y: 0),
    "small steps": (lambda a: np.floor(100 * a), lambda a, y: 0),
    "a kink in the slope": (
        lambda a: np.where(a > 0, a, np.expm1(np.fmin(a, 0))),
        lambda a, y: np.where(a > 0, 1, 1 + y),
    ),
    "a steep sigmoid": (steep, lambda a, y: 2e4 * y * (1 - y)),
    "a fast wave": (lambda a: np.sin(1e3 * a), lambda a, y: 1e3 * np.cos(1e3 * a)),
    "a fast wave on a slow one": (lambda a: a + 1e-6 * np.sin(1e4 * a), lambda a, y: 1 + 1e-2 * np.cos(1e4 * a)),
    "a high power": (lambda a: a**9, lambda a, y: 9 * a**8),
    "an exponential": (np.exp, lambda a, y: y),
    "finite near 0 alone": (lambda a: np.exp(a * a), lambda a, y: 2 * a * y),
    "a pole near 0": (lambda a: 1 / a, lambda a, y: -y * y),
    "a bell": (lambda a: np.exp(-a * a), lambda a, y: -2 * a * y),
    "a narrow bell": (lambda a: np.exp(-1e4 * a * a), lambda a, y: -2e4 * a * y),
    "a tiny scale": (lambda a: 1e-12 * np.sin(a), lambda a, y: 1e-12 * np.cos(a)),
    "a huge scale": (lambda a: 1e12 * np.sin(a), lambda a, y: 1e12 * np.cos(a)),
    "a huge offset": (lambda a: 1e8 + np.sin(a), lambda a, y: np.cos(a)),
    "an offset that cancels": (lambda a: (np.sin(a) + 1e6) - 1e6, lambda a, y: np.cos(a)),
    "a constant": (lambda a: np.full_like(a, 3), lambda a, y: 0),
    "a step of signs": (np.sign, lambda a, y: 0),
    "float32 within": (lambda a: np.tanh(a.astype(np.float32)), lambda a, y: 1 - np.tanh(a) ** 2),
    "a limit at 0": (np.sinc, lambda a, y: np.where(a == 0, 0, (np.cos(np.pi * a) - y) / np.where(a == 0, 1, a))),
}
for name, pair in FUNCTIONS.items():
    add(name, lambda pair=pair: Entrywise(*pair), input_shape=F)  # type: ignore[misc]  # mypy knows no lambda with a default
add("a logarithm, on positive x", lambda: Entrywise(np.log, lambda a, y: 1 / a), x=RNG.uniform(1e-3, 3, (4, F)))
add("a root near 0", lambda: Entrywise(np.sqrt, lambda a, y: 0.5 / y), x=RNG.uniform(1e-6, 1e-2, (4, F)))
add("an arc sine up to its ends", lambda: Entrywise(np.arcsin, lambda a, y: 1 / np.cos(y)), x=[[0.9999, -0.999, 0.0]])
add("a sigmoid on huge x", Sigmoid, x=[[1e8, -1e8, 40.0], [1.0, 700.0, -700.0]])
add("ReLU on zeros", ReLU, x=np.zeros((4, F)))
add("a number a sample", Tanh, x=RNG.normal(size=6))
add("one number", Tanh, x=[[0.3]])
add("no features", Tanh, x=np.zeros((5, 0)))
add("no samples", lambda: Linear(F, 2), x=np.zeros((0, F)))
add("many axes", GELU, input_shape=(1, 2, 1, 2))


# ---- parameters: frozen, single, ill-scaled, alike, in dicts


@right("gains that start at 1", 1.0)
@right("gains that start at 0", 0.0)
@right("tiny gains", 1e-9)
@right("huge gains", 1e9)
class AnyGain(Gain):
    pass


@right("a frozen parameter")
class Frozen(Gain):
    def __init__(self) -> None:
        self.gain = Parameter((F,), Constant(1.0), trainable=False)


@right("a parameter without axes")
class Temperature(Layer):
    def __init__(self) -> None:
        self.temperature = Parameter((), Constant(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = x / self.temperature.value
        return y, y

    def backward(self, grad: Array, cache: Any) -> Array:
        self.temperature.grad = -(grad * cache).sum() / self.temperature.value
        dx: Array = grad / self.temperature.value
        return dx


@right("a parameter that has to be positive", 1e-5)
@right("a very narrow width", 1e-8)
@right("a width of 1", 1.0)
class Width(Layer):
    def __init__(self, width: float) -> None:
        self.width = Parameter((F,), Constant(width))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        root = np.sqrt(self.width.value)
        return x * root, (x, root)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, root = cache
        self.width.grad = (grad * x).sum(axis=0) / (2 * root)
        result: Array = grad * root
        return result


@right("x and weights of very different sizes", x=RNG.normal(size=(4, F)) * [1e-6, 1.0, 1e6])
@right("a matrix that starts as the identity", np.eye(F))
@right("a matrix of zeros", np.zeros((F, F)))
@right("large x", x=RNG.normal(size=(4, F)) + 1e6)
class Matrix(Affine):
    pass


@right("a matrix that is inverted")
class Solved(Layer):
    def __init__(self) -> None:
        self.matrix = Parameter((F, F), np.eye(F) * 3)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = np.linalg.solve(self.matrix.value, x.T).T
        return y, y

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = np.linalg.solve(self.matrix.value.T, grad.T).T
        self.matrix.grad = -dx.T @ cache
        return dx


@right("a dict of layers, and a list in it")
class Dicts(Branches):
    def __init__(self) -> None:
        super().__init__([Affine(), Gain()], left=Sequential(Affine(), Tanh(), rng=0), right=Gain())


add("two gains that start alike", lambda: Pair(Gain(), Gain()))
add("blocks in blocks", lambda: ListedResidual(ListedResidual(Affine()), Pair(Affine(), ReLU()), Affine()))
add("a deep net of kinks", lambda: Sequential(*[layer for _ in range(5) for layer in (Linear(F, F), ReLU())], rng=0))
add("a net whose kinks all lie at 0", lambda: Sequential(Linear(F, 4), ReLU(), Linear(4, 2), rng=0), x=np.zeros((3, F)))
add("float32 in a net", lambda: Sequential(Linear(F, 4), RIGHT["float32 within"].make(), Linear(4, 2), rng=0))
add("many parameters", lambda: Sequential(Linear(40, 30), Tanh(), Linear(30, 2), rng=0), input_shape=40)
add("dropouts and a norm", lambda: Sequential(Linear(F, 4), Dropout(), Linear(4, F), BatchNorm(), Dropout(0.1), rng=0))


# ---- training, chance and state

add("a norm over the batch", BatchNorm)


@right("a norm over the batch that refuses to train on one sample")
class Refusing(BatchNorm):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if training and len(x) < 2:
            raise ValueError("Refusing: expected more than one sample in training")
        return super().forward(x, training=training)


@right("a deviation of the batch that one sample does not have")
class Standardised(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if not training:
            return x.copy(), None
        rate = 1 / x.std(axis=0)
        z = (x - x.mean(axis=0)) * rate
        return z, (z, rate)

    def backward(self, grad: Array, cache: Any) -> Array:
        if cache is None:
            return grad.copy()
        z, rate = cache
        dx: Array = (grad - grad.mean(axis=0) - z * (grad * z).mean(axis=0)) * rate
        return dx


@right("samples that look at each other")
class FromTheMean(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x - x.mean(axis=0), None

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad - grad.mean(axis=0)
        return result


@right("noise that multiplies")
class Noise(Layer):
    def __init__(self) -> None:
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        noise = np.exp(self.random.generator.normal(size=x.shape)) if training else np.ones_like(x)
        return x * noise, noise

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * cache
        return result


@right("whole samples left out by chance")
class Depth(Noise):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        kept = 2.0 * (self.random.generator.random((len(x), 1)) < 0.5) if training else np.ones((len(x), 1))
        return x * kept, kept


@right("a buffer that counts, and a factor that sinks with it")
class Sinking(Layer):
    def __init__(self) -> None:
        self.steps = Buffer((), 0, dtype=np.int64)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        factor = 1 / (1 + float(self.steps.value))
        if training:
            self.steps.value = self.steps.value + 1
        return x * factor, factor

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * cache
        return result


@right("a running extreme")
class Ranged(Layer):
    def __init__(self) -> None:
        self.largest = Buffer((), 0.0)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if training:
            self.largest.value = np.maximum(self.largest.value, np.abs(x).max())
        scale = 1 / (1 + float(self.largest.value)) if not training else 1.0
        return x * scale, scale

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = grad * cache
        return result


# ---- across the features

add("softmax", Softmax)
add("log softmax far out", LogSoftmax, x=RNG.normal(size=(4, F)) * 300)
add("features in rising order", Sorted)


@right("a steep softmax")
class Steep(Softmax):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return super().forward(1e3 * x)

    def backward(self, grad: Array, cache: Any) -> Array:
        return 1e3 * super().backward(grad, cache)


@right("a norm over the features", 1e-5)
@right("a norm with a tiny epsilon", 1e-12)
@right("a norm over one feature", 1e-5, input_shape=1)
@right("a norm over features that hardly differ", 1e-5, x=1e4 + RNG.normal(size=(4, F)))
class LayerNorm(Layer):
    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        rate = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + self.epsilon)
        z = (x - x.mean(axis=-1, keepdims=True)) * rate
        return z, (z, rate)

    def backward(self, grad: Array, cache: Any) -> Array:
        z, rate = cache
        dx: Array = (grad - grad.mean(-1, keepdims=True) - z * (grad * z).mean(-1, keepdims=True)) * rate
        return dx


@right("the length of a sample")
class Length(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = np.sqrt((x * x).sum(axis=1))
        return y, (x, y)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, y = cache
        dx: Array = (grad / y)[:, None] * x
        return dx


@right("a running sum")
class RunningSum(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.cumsum(axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad[:, ::-1].cumsum(axis=1)[:, ::-1]


@right("a running product")
class RunningProduct(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = x.cumprod(axis=1)
        return y, (x, y)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, y = cache
        dx: Array = (grad * y)[:, ::-1].cumsum(axis=1)[:, ::-1] / x
        return dx


@right("the largest two of five, found by sorting", input_shape=5)
class LargestTwo(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        order = x.argsort(axis=1)[:, -2:]
        return np.take_along_axis(x, order, axis=1), (order, x.shape)

    def backward(self, grad: Array, cache: Any) -> Array:
        order, shape = cache
        dx = np.zeros(shape, grad.dtype)
        np.put_along_axis(dx, order, grad, axis=1)
        return dx


@right("a median", input_shape=5)
class Median(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = np.median(x, axis=1, keepdims=True)
        return y, x == y

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad * cache
        return dx


@right("an output that is a view of x, backwards")
class Backwards(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x[:, ::-1], None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad[:, ::-1]


@right("an output that is broadcast", input_shape=1)
class Spread(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.broadcast_to(x, (len(x), 4)), None

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad.sum(axis=1, keepdims=True)
        return dx


@right("axes exchanged", input_shape=(2, F))
class Exchanged(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.swapaxes(1, 2), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.swapaxes(1, 2)


@right("a spectrum, through complex numbers", input_shape=5)
class Spectrum(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        z = np.fft.fft(x, axis=1)
        return z.real**2 + z.imag**2, z

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = 2 * cache.shape[1] * np.fft.ifft(grad * cache, axis=1).real
        return dx


@right("products of all pairs")
class Pairs(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x[:, :, None] * x[:, None, :], x

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = np.einsum("nij,nj->ni", grad + grad.swapaxes(1, 2), cache)
        return dx


@right("attention", input_shape=(4, F))
class Attention(Softmax):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        p = super().forward(x @ x.swapaxes(1, 2) / np.sqrt(float(F)))[0]
        return p @ x, (x, p)

    def backward(self, grad: Array, cache: Any) -> Array:
        x, p = cache
        s = super().backward(grad @ x.swapaxes(1, 2), p) / np.sqrt(float(F))
        dx: Array = p.swapaxes(1, 2) @ grad + s @ x + s.swapaxes(1, 2) @ x
        return dx


@right("a recurrence", input_shape=(6, F))
class Recurrence(Layer):
    def __init__(self) -> None:
        self.weight = Parameter((F, F), Normal(0.7))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        states = [np.zeros_like(x[:, 0])]
        for step in range(x.shape[1]):
            states.append(np.tanh(x[:, step] + states[-1] @ self.weight.value))
        return np.stack(states[1:], axis=1), states

    def backward(self, grad: Array, cache: Any) -> Array:
        dx, total = np.empty_like(grad), np.zeros(self.weight.shape, grad.dtype)
        g = np.zeros_like(grad[:, 0])
        for step in reversed(range(grad.shape[1])):
            g = (grad[:, step] + g) * (1 - cache[step + 1] ** 2)
            total += cache[step].T @ g
            dx[:, step] = g
            g = g @ self.weight.value.T
        self.weight.grad = total
        return dx


@right("Newton's root of x³ + x = a, its derivative implicit")
class Implicit(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = np.cbrt(x)
        for _ in range(30):
            y = y - (y**3 + y - x) / (3 * y * y + 1)
        return y, y

    def backward(self, grad: Array, cache: Any) -> Array:
        dx: Array = grad / (3 * cache * cache + 1)
        return dx


# ---- integers


@right("rows of a table, some of them twice", x=np.array([[0, 2], [2, 2], [1, 0]]))
class Table(Layer):
    integer_input = True

    def __init__(self) -> None:
        self.table = Parameter((3, 2), Zeros())

    def forward(self, x: npt.NDArray[Any], *, training: bool = False) -> tuple[Array, Any]:
        return self.table.value[x], x

    def backward(self, grad: Array, cache: Any) -> Array:
        total = np.zeros(self.table.shape, grad.dtype)
        np.add.at(total, cache, grad)
        self.table.grad = total
        return np.zeros(cache.shape, grad.dtype)


@right("a label as a vector of zeros and a one", x=np.array([0, 2, 1, 1]))
class OneHot(Layer):
    integer_input = True

    def forward(self, x: npt.NDArray[Any], *, training: bool = False) -> tuple[Array, Any]:
        return np.eye(3)[x], x

    def backward(self, grad: Array, cache: Any) -> Array:
        return np.zeros(cache.shape, grad.dtype)


@right("a domain with a wall")
class Walled(Layer):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if np.abs(x).max(initial=0) > 20:
            raise ValueError("Walled: expected numbers up to 20")
        return x * x, x

    def backward(self, grad: Array, cache: Any) -> Array:
        result: Array = 2 * grad * cache
        return result
