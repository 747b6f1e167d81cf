"""Layers: single layers beside PyTorch's, both passes, from the same weights; the results are compared first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import nanonet
from nanonet import Layer
from tests.benchmarks.peers import Torch
from tests.benchmarks.rows import Matrix
from tests.benchmarks.tables import Table, present
from tests.benchmarks.timing import Run

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Single:
    """A layer that is timed.

    Attributes
    ----------
    layer, arguments, keywords
        nanonet's class and what it is made from.
    shape : tuple of int
        Of x, the batch first.
    module, theirs
        PyTorch's class and keywords, where they have other names.
    below : int, optional
        If given, x is drawn from the integers below it.
    """

    layer: str
    arguments: tuple[int, ...]
    shape: Shape
    module: str | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    below: int | None = None

    @property
    def name(self) -> str:
        """What the table calls it."""
        given = [*map(str, self.arguments), *(f"{key}={value}" for key, value in self.keywords.items())]
        return f"{self.layer}({', '.join(given)}), {' x '.join(map(str, self.shape))}"

    def made(self) -> Layer:
        """Return nanonet's layer."""
        layer: Layer = getattr(nanonet, self.layer)(*self.arguments, **self.keywords)
        return layer

    def made_by(self, nn: Any) -> Any:
        """Return PyTorch's module."""
        return getattr(nn, self.module or self.layer)(*self.arguments, **(self.theirs or self.keywords))

    def data(self, dtype: str) -> Matrix:
        """Return x."""
        draw = np.random.default_rng(0)
        if self.below is not None:
            return draw.integers(self.below, size=self.shape)
        return draw.normal(size=self.shape).astype(dtype)


class Ours:
    """nanonet's layer, as a model of one layer."""

    def __init__(self, row: Single, dtype: str = "float32") -> None:
        self.model, self.x = nanonet.Sequential(row.made(), dtype=dtype, rng=0), row.data(dtype)
        y, _ = self.model.forward(self.x, training=True)
        self.grad = np.random.default_rng(1).normal(size=y.shape).astype(dtype)

    def passes(self) -> tuple[Matrix, Matrix | None]:
        """Return y and dE/dx, None for integers; the gradients of the parameters are assigned."""
        y, cache = self.model.forward(self.x, training=True)
        return y, self.model.backward(self.grad, cache)

    def results(self) -> list[Matrix]:
        """Return y, the gradients of the parameters, and dE/dx if there is one."""
        y, dx = self.passes()
        return [y, *(each.grad for each in self.model.parameters().values()), *([] if dx is None else [dx])]


class Theirs:
    """PyTorch's, with the same weights."""

    def __init__(self, row: Single, ours: Ours) -> None:
        import torch

        torch.set_num_threads(1)
        self.grad_of = torch.autograd.grad
        self.x, self.grad = torch.from_numpy(ours.x), torch.from_numpy(ours.grad)
        self.module = row.made_by(torch.nn).to(self.grad.dtype)
        weights = {name.partition(".")[2]: value.value for name, value in ours.model.parameters().items()}
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name].copy()))
        self.wanted = list(self.module.parameters())
        if self.x.is_floating_point():
            self.wanted.append(self.x.requires_grad_())

    def passes(self) -> tuple[Any, Any]:
        """Return y and the gradients of the parameters and of x."""
        y = self.module(self.x)
        y = y[0] if isinstance(y, tuple) else y  # a recurrent module adds its last state
        return y, self.grad_of(y, self.wanted, self.grad)

    def results(self) -> list[Matrix]:
        """Return what ``Ours.results`` does."""
        y, gradients = self.passes()
        return [y.detach().numpy(), *(each.numpy() for each in gradients)]


def compare(row: Single) -> None:
    """See that both have the same results: to 1e-10 in float64, and in float32 to 1e-4 of the largest."""
    for dtype, close in (("float64", 1e-10), ("float32", 1e-4)):
        ours = Ours(row, dtype)
        for one, other in zip(ours.results(), Theirs(row, ours).results(), strict=True):
            allowed = close * max(1.0, float(np.abs(other).max()))
            np.testing.assert_allclose(one, other, rtol=0, atol=allowed, err_msg=f"{row.name}, {dtype}")


def calls(row: Single) -> dict[str, Callable[[], Any]]:
    """Return what is timed."""
    ours = Ours(row)
    return {"nanonet": ours.passes, "PyTorch eager": Theirs(row, ours).passes}


IMAGES, ROWS = (32, 64, 28, 28), (2048, 512)

BATCH_FIRST = {"batch_first": True}

SINGLES = [
    Single("Conv2d", (1, 6, 5, 1, 2), (32, 1, 28, 28)),
    Single("Conv2d", (32, 64, 3), (32, 32, 26, 26)),
    Single("Conv2d", (64, 64, 3, 2, 1), IMAGES),
    Single("MaxPool2d", (2,), IMAGES),
    Single("MaxPool2d", (3, 2, 1), IMAGES),
    Single("AvgPool2d", (2,), IMAGES),
    Single("AdaptiveAvgPool2d", (6,), IMAGES),
    Single("BatchNorm", (512,), ROWS, "BatchNorm1d"),
    Single("BatchNorm", (64,), IMAGES, "BatchNorm2d"),
    Single("LayerNorm", (64,), (32, 64)),
    Single("LayerNorm", (512,), ROWS),
    Single("RMSNorm", (512,), ROWS),
    Single("GroupNorm", (8, 64), IMAGES),
    Single("InstanceNorm", (64,), IMAGES, "InstanceNorm2d"),
    Single("GELU", (), ROWS),
    Single("GELU", (), ROWS, keywords={"approximate": True}, theirs={"approximate": "tanh"}),
    Single("Embedding", (65, 64), (64, 64), below=65),
    Single("Embedding", (1000, 64), (32, 50), below=1000),
    Single("Embedding", (20_000, 128), (32, 100), below=20_000),
    *(
        Single(name, (64, 128), (batch, 64, 64), theirs=BATCH_FIRST)
        for name in ("LSTM", "GRU", "RNN")
        for batch in (32, 128)
    ),
    Single(
        *("TransformerBlock", (128, 4, 512), (32, 64, 128), "TransformerEncoderLayer"),
        keywords={"dropout": 0.0, "norm_first": True},
        theirs={"dropout": 0.0, "norm_first": True, "batch_first": True},
    ),
]


def measure(run: Run) -> dict[str, dict[str, float]]:
    """Return the seconds of both passes by layer and peer, once the results are the same."""
    found: dict[str, dict[str, float]] = {}
    if present([Torch]):
        table = Table("forward and backward pass", ["nanonet", Torch.name])
        for row in SINGLES:
            compare(row)
            found[row.name] = run.medians(calls(row))
            table.row(row.name, found[row.name])
    return found
