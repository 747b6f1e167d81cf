"""Layers, optimizers and small helpers that several test files share; all are written as a user would write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import (
    SGD,
    Array,
    Buffer,
    Constant,
    History,
    Layer,
    Linear,
    Loss,
    Metric,
    Normal,
    Optimizer,
    Parameter,
    Random,
    Sequential,
    Shape,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    Zeros,
)
from nanonet.core.chain import Chain


class Scale(Layer):
    """y = x * gain, one gain for each feature."""

    def __init__(self, features: int, trainable: bool = True) -> None:
        self.input_shape = (features,)
        self.gain = Parameter(features, Constant(1.5), trainable)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * self.gain.value, x

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = (grad * cache).sum(axis=0)
        return grad * self.gain.value

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class Copy(Layer):
    """y = x, in a new array, of a shape that it does not tell: the base of layers that break one rule."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.copy(), x

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()


class Handing(Copy):
    """y = x, the very array: allowed, since it writes to nothing."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x, None


class Flipped(Copy):
    """y = x with its features in reverse order, as a view."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x[:, ::-1], None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad[:, ::-1]


class Doubled(Layer):
    """y = (x, x) side by side, of a shape that it does not tell."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return np.concatenate([x, x], axis=1), None

    def backward(self, grad: Array, cache: Any) -> Array:
        left, right = np.split(grad, 2, axis=1)
        return left + right


class Counting(Copy):
    """y = x; counts its passes."""

    def __init__(self) -> None:
        self.forwards = self.backwards = self.shapes_asked = 0

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        self.forwards += 1
        return super().forward(x, training=training)

    def backward(self, grad: Array, cache: Any) -> Array:
        self.backwards += 1
        return super().backward(grad, cache)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.shapes_asked += 1
        return input_shape


class Noise(Layer):
    """y = x + noise in training, y = x otherwise: owns a generator."""

    def __init__(self, deviation: float = 0.1) -> None:
        self.deviation = deviation
        self.random = Random()

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if not training:
            return x.copy(), None
        return x + (self.deviation * self.random.generator.normal(size=x.shape)).astype(x.dtype), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class Centred(Layer):
    """y = x - mean, where mean is a running mean that moves in training: owns a buffer."""

    def __init__(self, features: int) -> None:
        self.input_shape = (features,)
        self.mean = Buffer(features, Zeros())
        self.batches = Buffer((), 0, dtype=np.int64)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y = x - self.mean.value
        if training:
            self.mean.value = 0.9 * self.mean.value + 0.1 * x.mean(axis=0)
            self.batches.value = self.batches.value + 1
        return y, None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.copy()

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class Recorder(Copy):
    """Notes the first feature of every sample that it sees in training, batch by batch."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        if training:
            self.seen.append(x[:, 0].tolist())
        return super().forward(x, training=training)


class Residual(Layer):
    """y = x + f_n(... f_1(x)), with its layers in a list."""

    def __init__(self, *inner: Layer) -> None:
        self.inner = list(inner)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, caches = x, []
        for layer in self.inner:
            y, cache = layer.forward(y, training=training)
            caches.append(cache)
        return x + y, caches

    def backward(self, grad: Array, cache: Any) -> Array:
        inner = grad
        for layer, layer_cache in zip(reversed(self.inner), reversed(cache), strict=True):
            inner = layer.backward(inner, layer_cache)
        return grad + inner


class Branches(Layer):
    """y = the sum of what its branches give, which stand in a tuple and in a dict."""

    def __init__(self, branches: Sequence[Layer], **named: Layer) -> None:
        self.branches = tuple(branches)
        self.named = named

    def _all(self) -> list[Layer]:
        return [*self.branches, *self.named.values()]

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        results = [layer.forward(x, training=training) for layer in self._all()]
        total: Array = np.sum([y for y, _ in results], axis=0)
        return total, [cache for _, cache in results]

    def backward(self, grad: Array, cache: Any) -> Array:
        total: Array = np.sum([b.backward(grad, c) for b, c in zip(self._all(), cache, strict=True)], axis=0)
        return total


class Momentum(Optimizer):
    """v <- 0.9 v + g; w <- w - learning_rate v."""

    def states(self) -> dict[str, float]:
        return {"velocity": 0.0}

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (velocity,) = state
        velocity *= 0.9
        velocity += grad
        value -= step.learning_rate * velocity


class Decay(Optimizer):
    """w <- w - learning_rate (g + 0.5 w + 1): moves a parameter whose gradient is 0."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * (grad + 0.5 * value + 1)


OPTIMIZERS = [SGD(0.01), Momentum(0.01), Decay(0.01)]


class Quartic(Loss):
    """Sum of (y - t)^4."""

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = ((prediction - target) ** 4).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        return 4 * (prediction - target) ** 3


def small(outputs: int = 2, dtype: npt.DTypeLike = np.float32, rng: int = 0, middle: Layer | None = None) -> Sequential:
    """Return a net 3 -> 4 -> outputs."""
    return Sequential(Linear(3, 4), middle or Tanh(), Linear(4, outputs), dtype=dtype, rng=rng)


def trainer_of(model: Sequential, optimizer: Optimizer | None = None, **settings: Any) -> Trainer:
    """Return a trainer on half squares, with a plain descent of rate 0.1 unless told otherwise."""
    return Trainer(model, loss=SquaredError(), optimizer=optimizer or SGD(0.1), **settings)


def distance(prediction: Array, target: Array) -> float:
    """Return the mean distance: a metric."""
    return float(np.abs(prediction - target).mean())


class Distance(Metric):
    """The mean distance, added up batch by batch."""

    __name__ = "distance"

    def __init__(self) -> None:
        self.total, self.numbers = 0.0, 0

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        self.total += float(np.abs(prediction - target).sum(dtype=np.float64))
        self.numbers += prediction.size

    def value(self) -> float:
        return self.total / self.numbers


class Scripted(Metric):
    """One number after the other, one a batch; an epoch has that of its last batch."""

    __name__ = "number"

    def __init__(self, numbers: Iterable[float]) -> None:
        left = iter(numbers)
        self.draw: Callable[[], float] = lambda: next(left)
        self.number = float("nan")

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        self.number = self.draw()

    def value(self) -> float:
        return self.number


def everything(dtype: npt.DTypeLike = np.float32, rng: int = 0) -> Sequential:
    """Return a net 3 -> 2 that nests chains, containers, buffers, generators and frozen parameters."""
    frozen = Linear(4, 4, bias=Normal(0.1))
    frozen.weight.trainable = False
    return Sequential(
        Linear(3, 4),
        Sequential(Tanh(), Residual(frozen, Noise(), Tanh()), rng=rng + 1),
        Branches([Linear(4, 4), Centred(4)], left=Sequential(Linear(4, 4), Tanh(), rng=rng + 2), right=Scale(4)),
        Noise(),
        Linear(4, 2),
        dtype=dtype,
        rng=rng,
    )


def data(samples: int = 12, features: int = 3, outputs: int = 2, rng: int = 0) -> tuple[Array, Array]:
    """Return x and target to train on, float32."""
    generator = np.random.default_rng(rng)
    x = generator.normal(size=(samples, features)).astype(np.float32)
    return x, generator.normal(size=(samples, outputs)).astype(np.float32)


def train(
    model: Sequential, x: Any, target: Any, *, loss: Any = None, optimizer: Any = None, **settings: Any
) -> History:
    """Fit for one epoch, with half squares and a small rate, unless told otherwise."""
    return model.fit(
        x,
        target,
        loss=SquaredError() if loss is None else loss,
        optimizer=SGD(0.1) if optimizer is None else optimizer,
        **({"epochs": 1} | settings),
    )


def loss_of(model: Chain, x: Array, target: Array, loss: Loss | None = None) -> float:
    """Return the loss of a model in inference."""
    return (loss or SquaredError())(model(x), target)


def walk(layer: Layer, path: str = "") -> dict[str, Any]:
    """Return every layer, parameter, buffer and generator below a layer by its name; written for the tests."""
    found: dict[str, Any] = {path: layer}
    attributes: dict[str, Any] = dict(vars(layer))
    if isinstance(layer, Sequential):
        attributes.pop("layers")
        attributes = {str(i): child for i, child in enumerate(layer)} | attributes
    _walk_into(found, path, attributes)
    return found


def _walk_into(found: dict[str, Any], path: str, entries: dict[str, Any]) -> None:
    for name, value in entries.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, Layer):
            found |= walk(value, inner)
        elif isinstance(value, (Parameter, Buffer, Random)):
            found[inner] = value
        elif isinstance(value, (list, tuple)):
            _walk_into(found, inner, {str(i): entry for i, entry in enumerate(value)})
        elif isinstance(value, dict):
            _walk_into(found, inner, {str(key): entry for key, entry in value.items()})


def picture(model: Chain) -> dict[str, bytes]:
    """Return every number that a model holds, and the state of each of its generators, to be compared bit for bit."""
    seen: dict[str, bytes] = {}
    for name, part in walk(model).items():
        if isinstance(part, (Parameter, Buffer)) and part.is_built:
            seen[name] = part.value.tobytes() + str(part.value.dtype).encode()
        elif isinstance(part, Random) and part.is_built:
            seen[name] = repr(part.generator.bit_generator.state).encode()
    seen["the vector"] = model.vector.value.tobytes()
    return seen


def generator_state(generator: np.random.Generator) -> str:
    """Return all that decides what a generator will draw."""
    return repr(generator.bit_generator.state)


def assert_one_vector(model: Sequential) -> None:
    """See that all parameters, one after another, are the model's vector, and the gradients of trainable ones too."""
    parts = list(model.parameters().values())
    vector = model.vector
    assert vector.value.flags.c_contiguous
    assert vector.value.size == vector.grad.size == sum(part.value.size for part in parts)
    start = 0
    for part in parts:
        place = slice(start, start + part.value.size)
        start += part.value.size
        assert same_memory(part.value, vector.value[place])
        if part.trainable:
            assert same_memory(part.grad, vector.grad[place])
        else:
            assert not np.shares_memory(part.grad, vector.grad)


def same_memory(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    """Tell whether two contiguous arrays are the same bytes."""
    first, second = (array.__array_interface__["data"][0] for array in (a, b))
    return bool(first == second and a.nbytes == b.nbytes)
