"""Peer: one way to take the same training step, nanonet's or another's; each computes the loss and gives its value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from tests.benchmarks import ours
from tests.benchmarks.rows import BETAS, EPSILON, Matrix, Row


class Peer(ABC):
    """A net in training, made from a row."""

    name: ClassVar[str]
    module: ClassVar[str] = "numpy"

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot be measured here, or an empty string."""
        return "" if find_spec(cls.module) else f"{cls.module} is not installed"

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
    """This package on NumPy alone: ``Trainer.step``, all its checks included."""

    name, module = "nanonet", "nanonet"
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, row: Row) -> None:
        self.trainer = ours.trainer(row, **self.options)
        self.x, self.target = row.data()

    def step(self) -> float:
        return self.trainer.step(self.x, self.target)

    def weights(self) -> list[Matrix]:
        return ours.weights(self.trainer)

    def predict(self) -> Any:
        return self.trainer.model.predict(self.x)


class Fast(Nanonet):
    """The same with what its extra ``fast`` compiles."""

    name, module = "nanonet, fast", "numba"
    options: ClassVar[dict[str, Any]] = {"fast": True}

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ("" if ours.takes("fast") else "Trainer takes no fast")


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
        activation = {"sigmoid": torch.nn.Sigmoid, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[row.activation]
        layers: list[Any] = []
        for weight, bias in row.start():
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=getattr(torch, row.dtype))
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))
            layers += [layer, activation()]
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
