"""Images: whole training steps of two well-known convolutional nets beside PyTorch's, from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import nanonet
from nanonet import Layer
from tests.benchmarks.agreement import agree
from tests.benchmarks.peers import Torch
from tests.benchmarks.rows import BETAS, EPSILON, RATES, Matrix
from tests.benchmarks.tables import Table, present
from tests.benchmarks.timing import Run


def lenet(dropout: float) -> list[Layer]:
    """Return LeNet-5 as it is built today: maxima and ReLU; nothing is dropped."""
    return [
        *(nanonet.Conv2d(1, 6, 5, padding=2), nanonet.ReLU(), nanonet.MaxPool2d(2)),
        *(nanonet.Conv2d(6, 16, 5), nanonet.ReLU(), nanonet.MaxPool2d(2)),
        *(nanonet.Flatten(), nanonet.Linear(400, 120), nanonet.ReLU()),
        *(nanonet.Linear(120, 84), nanonet.ReLU(), nanonet.Linear(84, 10)),
    ]


def torch_lenet(nn: Any, dropout: float) -> list[Any]:
    """Return PyTorch's."""
    return [
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    ]


def mnist_cnn(dropout: float) -> list[Layer]:
    """Return the net of Keras' example mnist_cnn; its rates of dropout, 0.25 and 0.5, times a number."""
    return [
        *(nanonet.Conv2d(1, 32, 3), nanonet.ReLU(), nanonet.Conv2d(32, 64, 3), nanonet.ReLU()),
        *(nanonet.MaxPool2d(2), nanonet.Dropout(0.25 * dropout), nanonet.Flatten()),
        *(nanonet.Linear(9216, 128), nanonet.ReLU(), nanonet.Dropout(0.5 * dropout), nanonet.Linear(128, 10)),
    ]


def torch_mnist_cnn(nn: Any, dropout: float) -> list[Any]:
    """Return PyTorch's."""
    return [
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25 * dropout), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5 * dropout), nn.Linear(128, 10)),
    ]


@dataclass(frozen=True)
class ImageNet:
    """A net and a batch of images of 28 x 28; Adam, cross-entropy of ten classes."""

    net: str
    layers: Callable[[float], list[Layer]]
    modules: Callable[[Any, float], list[Any]]
    batch: int
    dtype: str = "float32"
    dropout: float = 1.0  # 0 where results are compared: nobody draws the same masks
    activation = "relu"

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.net}, {self.batch}, f{self.dtype[-2:]}, adam, cross-entropy"

    def data(self) -> tuple[Matrix, Matrix]:
        """Return images and labels."""
        draw = np.random.default_rng(1)
        return draw.random((self.batch, 1, 28, 28)).astype(self.dtype), draw.integers(10, size=self.batch)


class OurNet:
    """nanonet's: ``Trainer.step``, all its checks included."""

    def __init__(self, row: ImageNet) -> None:
        self.model = nanonet.Sequential(*row.layers(row.dropout), dtype=row.dtype, rng=0)
        optimizer = nanonet.Adam(RATES["adam"], betas=BETAS, epsilon=EPSILON)
        self.trainer = nanonet.Trainer(self.model, loss=nanonet.CrossEntropy(), optimizer=optimizer)
        self.x, self.target = row.data()

    def step(self) -> float:
        return self.trainer.step(self.x, self.target)

    def weights(self) -> list[Matrix]:
        return [parameter.value for parameter in self.model.parameters().values()]


class TorchNet:
    """PyTorch's, eager, on one thread."""

    def __init__(self, row: ImageNet, weights: list[Matrix]) -> None:
        import torch

        torch.set_num_threads(1)
        self.model = torch.nn.Sequential(*row.modules(torch.nn, row.dropout)).to(getattr(torch, row.dtype))
        with torch.no_grad():
            for parameter, weight in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(weight.copy()))
        x, target = row.data()
        self.x, self.target, self.entropy = torch.from_numpy(x), torch.from_numpy(target), torch.nn.CrossEntropyLoss()
        self.optimizer: Any = torch.optim.Adam(self.model.parameters(), RATES["adam"], betas=BETAS, eps=EPSILON)

    def step(self) -> float:
        self.optimizer.zero_grad()
        loss = self.entropy(self.model(self.x), self.target)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def weights(self) -> list[Matrix]:
        return [parameter.detach().numpy() for parameter in self.model.parameters()]


def both(row: ImageNet) -> dict[str, Any]:
    """Return the net of each, with the same weights."""
    ours = OurNet(row)
    return {"nanonet": ours, "PyTorch eager": TorchNet(row, ours.weights())}


NETS = [
    ImageNet("LeNet", lenet, torch_lenet, 32),
    ImageNet("LeNet", lenet, torch_lenet, 128),
    ImageNet("mnist_cnn", mnist_cnn, torch_mnist_cnn, 128),
]


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of a step by row and peer, once the results are the same without dropout."""
    found: dict[str, dict[str, float]] = {}
    if present([Torch]):
        table = Table("training step on images", ["nanonet", Torch.name])
        for row in NETS:
            for dtype in ("float32", "float64"):
                same = replace(row, dtype=dtype, dropout=0.0)
                agree(both(same), same)
            found[row.name] = run.medians({name: net.step for name, net in both(row).items()})
            table.row(row.name, found[row.name])
    return found
