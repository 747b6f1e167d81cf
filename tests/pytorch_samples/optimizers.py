"""A sample of an optimizer: twenty steps of a small net with each, from the same weights on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nanonet import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Linear,
    MeanSquaredError,
    Optimizer,
    RMSprop,
    Rprop,
    Sequential,
    Tanh,
    Trainer,
)
from nanonet.interchange.torch import to_torch
from tests.layers.beside_pytorch import close
from tests.pytorch_samples.samples import Sample

STEPS = 20
HERE: dict[str, tuple[Callable[..., Optimizer], Mapping[str, str]]] = {
    "optim.SGD": (SGD, {"momentum": "momentum", "nesterov": "nesterov"}),
    "optim.Adagrad": (Adagrad, {"eps": "epsilon"}),
    "optim.RMSprop": (RMSprop, {"alpha": "smoothing", "eps": "epsilon", "momentum": "momentum"}),
    "optim.Adam": (Adam, {"betas": "betas", "eps": "epsilon"}),
    "optim.AdamW": (AdamW, {"betas": "betas", "eps": "epsilon"}),
    "optim.Rprop": (Rprop, {"etas": "factors", "step_sizes": "sizes"}),
}
"""The optimizer for each of PyTorch's, and the names of its settings beside those that all have."""
EVERYWHERE = {"lr": "learning_rate", "weight_decay": "weight_decay"}
WITHOUT_EFFECT = ("params", "foreach", "fused", "capturable", "differentiable")  # on the numbers


def optimizer_for(sample: Sample) -> Optimizer:
    """Return the optimizer with the same settings, or raise TypeError for one that it does not have."""
    if sample.name not in HERE:
        raise TypeError(f"nanonet has no {sample.name}")
    cls, names = HERE[sample.name]
    names = {**EVERYWHERE, **names}
    settings = {}
    for option, value in sample.options.items():
        if option in names:
            settings[names[option]] = float(value) if option == "lr" else value
        elif option not in WITHOUT_EFFECT and sample.is_set(option):
            raise TypeError(f"{cls.__name__} has no {option}")
    return cls(**settings)


def compare(sample: Sample) -> None:
    """Compare the weights after each step to 1e-10."""
    import torch

    optimizer, rng = optimizer_for(sample), np.random.default_rng(0)
    model = Sequential(Linear(3, 4), Tanh(), Linear(4, 2), dtype=np.float64, rng=0)
    module = to_torch(model).train()
    there = sample.called(module.parameters(), **sample.given[1])
    trainer = Trainer(model, optimizer=optimizer, loss=MeanSquaredError())
    for _ in range(STEPS):
        x, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
        trainer.step(x, target)
        there.zero_grad()
        loss: Any = torch.nn.functional.mse_loss(module(torch.tensor(x)), torch.tensor(target))
        loss.backward()
        there.step()
        for name, parameter in module.named_parameters():
            close(model.parameters()[name].value, parameter, 1e-10)
