"""Peer: one way to take the same training step, nanonet's or another's; each computes the loss and gives its value."""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

import nanonet
from tests.benchmarks.rows import BETAS, EPSILON, Matrix, Row

# JAX reads these when it is imported; the run is pinned to one core, and more threads than cores only get in each
# other's way.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


class Peer(ABC):
    """A net in training, made from a row."""

    name: ClassVar[str]
    module: ClassVar[str] = "numpy"

    @classmethod
    def is_installed(cls) -> bool:
        """Tell whether it can be measured here."""
        return importlib.util.find_spec(cls.module) is not None

    @abstractmethod
    def __init__(self, row: Row) -> None: ...

    @abstractmethod
    def step(self) -> float:
        """Take a step on the row's batch, and return the loss."""

    def weights(self) -> list[Matrix]:
        """Return the weights and biases, in order."""
        raise TypeError(f"{self.name} has none to compare")

    def predict(self) -> Any:
        """Return the prediction for the row's batch."""
        raise TypeError(f"{self.name} does not predict")


class Nanonet(Peer):
    """This package: ``Trainer.step``, all its checks included."""

    name, module = "nanonet", "nanonet"

    def __init__(self, row: Row) -> None:
        layers: list[nanonet.Layer] = []
        for weight, bias in row.start():
            activation = nanonet.Sigmoid() if row.activation == "sigmoid" else nanonet.ReLU()
            layers += [nanonet.Linear(weight.shape[1], weight.shape[0], weight=weight, bias=bias), activation]
        if not row.ends_in_sigmoid:
            layers.pop()
        self.model = nanonet.Sequential(*layers, dtype=row.dtype)
        loss = nanonet.SquaredError() if row.loss == "squared" else nanonet.CrossEntropy()
        adam = row.optimizer == "adam"
        optimizer = nanonet.Adam(row.rate, betas=BETAS, epsilon=EPSILON) if adam else nanonet.SGD(row.rate)
        self.trainer = nanonet.Trainer(self.model, loss=loss, optimizer=optimizer)
        self.x, self.target = row.data()

    def step(self) -> float:
        return self.trainer.step(self.x, self.target)

    def weights(self) -> list[Matrix]:
        return [parameter.value for parameter in self.model.parameters().values()]

    def predict(self) -> Any:
        return self.model.predict(self.x)


class Products(Peer):
    """Nothing but the matrix products that a step needs, into arrays that are there: a bound, no net."""

    name = "bare products"

    def __init__(self, row: Row) -> None:
        x, _ = row.data()
        self.layers = []
        below = x
        for weight, _ in row.start():
            above = np.zeros((row.batch, len(weight)), row.dtype)
            self.layers.append((below, weight, above, np.empty_like(weight), np.empty_like(below)))
            below = above

    def step(self) -> float:
        for x, weight, y, _, _ in self.layers:
            np.matmul(x, weight.T, out=y)
        for i, (x, weight, y, gradient, dx) in reversed(list(enumerate(self.layers))):
            np.matmul(y.T, x, out=gradient)
            if i:
                np.matmul(y, weight, out=dx)
        return 0.0

    def predict(self) -> Any:
        for x, weight, y, _, _ in self.layers:
            np.matmul(x, weight.T, out=y)
        return self.layers[-1][2]


class Torch(Peer):
    """PyTorch, eager, on one thread."""

    name, module = "PyTorch eager", "torch"

    def __init__(self, row: Row) -> None:
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        layers: list[Any] = []
        for weight, bias in row.start():
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=getattr(torch, row.dtype))
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
            layers += [layer, torch.nn.Sigmoid() if row.activation == "sigmoid" else torch.nn.ReLU()]
        if not row.ends_in_sigmoid:
            layers.pop()
        self.model = torch.nn.Sequential(*layers)
        x, target = row.data()
        self.x, self.target, self.batch = torch.from_numpy(x), torch.from_numpy(target), row.batch
        self.entropy = torch.nn.CrossEntropyLoss() if row.loss == "cross-entropy" else None
        if row.optimizer == "adam":
            self.optimizer: Any = torch.optim.Adam(self.model.parameters(), row.rate, betas=BETAS, eps=EPSILON)
        else:
            self.optimizer = torch.optim.SGD(self.model.parameters(), row.rate)

    def step(self) -> float:
        self.optimizer.zero_grad()
        y = self.model(self.x)
        if self.entropy is None:
            difference = y - self.target
            loss = 0.5 * (difference * difference).sum() / self.batch
        else:
            loss = self.entropy(y, self.target)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def weights(self) -> list[Matrix]:
        return [parameter.detach().numpy() for parameter in self.model.parameters()]

    def predict(self) -> Any:
        with self.torch.no_grad():
            return self.model(self.x)


class Jax(Peer):
    """JAX: the whole step in one jit, its buffers donated."""

    name, module = "JAX jit", "jax"

    def __init__(self, row: Row) -> None:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        self.parameters = [tuple(map(jnp.array, pair)) for pair in row.start()]
        self.x, self.target = map(jnp.array, row.data())
        zeros = jax.tree.map(jnp.zeros_like, self.parameters)
        self.state = (zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), row.dtype))
        activation = jax.nn.sigmoid if row.activation == "sigmoid" else jax.nn.relu
        last = len(self.parameters) - 1

        def predict(parameters: Any, x: Any) -> Any:
            for i, (weight, bias) in enumerate(parameters):
                x = x @ weight.T + bias
                x = activation(x) if i < last or row.ends_in_sigmoid else x
            return x

        def loss(parameters: Any, x: Any, target: Any) -> Any:
            y = predict(parameters, x)
            if row.loss == "squared":
                return 0.5 * jnp.sum((y - target) ** 2) / row.batch
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(y), target[:, None], axis=1))

        def sgd(parameters: Any, state: Any, x: Any, target: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(parameters, x, target)
            return jax.tree.map(lambda w, g: w - row.rate * g, parameters, gradient), state, value

        def adam(parameters: Any, state: Any, x: Any, target: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(parameters, x, target)
            (b1, b2), (mean, square, count) = BETAS, state
            count = count + 1
            mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, mean, gradient)
            square = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g * g, square, gradient)
            first, second = row.rate / (1 - b1**count), 1 / (1 - b2**count)
            moved = jax.tree.map(
                lambda w, m, s: w - first * m / (jnp.sqrt(s * second) + EPSILON), parameters, mean, square
            )
            return moved, (mean, square, count), value

        self.take = jax.jit(adam if row.optimizer == "adam" else sgd, donate_argnums=(0, 1))
        self.jitted = jax.jit(predict)

    def step(self) -> float:
        self.parameters, self.state, value = self.take(self.parameters, self.state, self.x, self.target)
        return float(value)

    def weights(self) -> list[Matrix]:
        return [np.asarray(array) for pair in self.parameters for array in pair]

    def predict(self) -> Any:
        return self.jitted(self.parameters, self.x).block_until_ready()


class Sklearn(Peer):
    """scikit-learn's own MLP; it is measured where it predicts."""

    name, module = "scikit-learn", "sklearn"

    def __init__(self, row: Row) -> None:
        from sklearn.neural_network import MLPRegressor

        self.x, _ = row.data()
        self.model = MLPRegressor(
            hidden_layer_sizes=row.sizes[1:-1], activation="logistic", max_iter=1, batch_size=2, solver="sgd"
        )
        self.model.partial_fit(self.x[:2].repeat(2, axis=0), np.zeros((len(self.x[:2]) * 2, row.sizes[-1]), row.dtype))
        pairs = row.start()
        self.model.coefs_, self.model.intercepts_ = [w.T.copy() for w, _ in pairs], [b for _, b in pairs]
        self.model.out_activation_ = "logistic"

    def step(self) -> float:
        raise TypeError("scikit-learn is not measured where it trains")

    def predict(self) -> Any:
        return self.model.predict(self.x)


PEERS: list[type[Peer]] = [Nanonet, Products, Torch, Jax]
PREDICTING: list[type[Peer]] = [Nanonet, Products, Torch, Jax, Sklearn]
