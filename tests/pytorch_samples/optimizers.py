"""A sample of an optimizer: twenty steps of a small net with each, from the same weights on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nanonet import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    InverseTimeRate,
    Linear,
    MeanSquaredError,
    NAdam,
    Optimizer,
    RAdam,
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
DECOUPLED = {"decoupled_weight_decay": "decoupled"}
HERE: dict[str, tuple[Callable[..., Optimizer], Mapping[str, str]]] = {
    "optim.SGD": (SGD, {"momentum": "momentum", "nesterov": "nesterov", "dampening": "dampening"}),
    "optim.Adadelta": (Adadelta, {"rho": "smoothing", "eps": "epsilon"}),
    "optim.Adagrad": (Adagrad, {"eps": "epsilon", "initial_accumulator_value": "initial_sum"}),
    "optim.RMSprop": (
        RMSprop,
        {"alpha": "smoothing", "eps": "epsilon", "momentum": "momentum", "centered": "centered"},
    ),
    "optim.Adam": (Adam, {"betas": "betas", "eps": "epsilon", "amsgrad": "amsgrad"}),
    "optim.Adamax": (Adamax, {"betas": "betas", "eps": "epsilon"}),
    "optim.AdamW": (AdamW, {"betas": "betas", "eps": "epsilon", "amsgrad": "amsgrad"}),
    "optim.NAdam": (NAdam, {"betas": "betas", "eps": "epsilon", "momentum_decay": "momentum_decay", **DECOUPLED}),
    "optim.RAdam": (RAdam, {"betas": "betas", "eps": "epsilon", **DECOUPLED}),
    "optim.Rprop": (Rprop, {"etas": "factors", "step_sizes": "sizes"}),
}
"""The optimizer for each of PyTorch's, and the names of its settings beside those that all have."""
EVERYWHERE = {"weight_decay": "weight_decay", "maximize": "maximize"}
WITHOUT_EFFECT = ("params", "foreach", "fused", "capturable", "differentiable")  # on the numbers


def optimizer_for(sample: Sample) -> Optimizer:
    """Return the optimizer with the same settings, or raise TypeError for one that it does not have."""
    if sample.name not in HERE:
        raise TypeError(f"nanonet has no {sample.name}")
    cls, names = HERE[sample.name]
    names = {**EVERYWHERE, **names}
    rate = float(sample.options["lr"])
    decay = sample.options.get("lr_decay", 0)  # Adagrad's, which a schedule is here
    settings: dict[str, Any] = {"learning_rate": InverseTimeRate(rate, decay=decay) if decay else rate}
    for option, value in sample.options.items():
        if option in names:
            settings[names[option]] = value
        elif option not in ("lr", "lr_decay", *WITHOUT_EFFECT) and sample.is_set(option):
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
