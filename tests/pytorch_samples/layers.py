"""A sample of a module beside the layer that from_torch makes of it: values, gradients and buffers, in both modes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from nanonet import Sequential
from nanonet.interchange.torch import from_torch
from tests.layers.beside_pytorch import close
from tests.pytorch_samples import sequences
from tests.pytorch_samples.samples import Sample

AXES = {"1d": 3, "2d": 4, "3d": 5, "GLU": 2, "Linear": 2}  # of a batch, by the end of the module's name; else 1


def compare(sample: Sample) -> None:
    """Compare in training and in inference; a sample without a batch axis is a batch of one.

    Raises
    ------
    TypeError, ValueError
        If from_torch refuses the module.
    """
    import torch

    arguments, keywords = sample.given
    module = sample.called(*arguments, **keywords).double()
    if sample.name in sequences.HERE:
        sequences.compare(sample, module)
        return
    (x,) = (*sample.inputs, *sample.named.values())
    least = next((axes for end, axes in AXES.items() if type(module).__name__.endswith(end)), 1)
    x = (x[None] if x.dim() < least and "BatchNorm" not in sample.name else x).detach()
    if "Lazy" in sample.name:
        module(x)  # sets its sizes, and makes it an ordinary module
    model = from_torch(torch.nn.Sequential(module))
    for training in (True, False):
        _compare(model, copy.deepcopy(module).train(training), x, training)


def _compare(model: Sequential, module: Any, x: Any, training: bool) -> None:
    import torch

    before, is_float = model.state_dict(), x.is_floating_point()
    there = x.clone().requires_grad_(is_float)
    y_there = module(there)
    y, cache = model.forward(x.numpy(), training=training)
    close(y, y_there, 1e-12)
    grad = np.random.default_rng(0).normal(size=y.shape)
    y_there.backward(torch.tensor(grad))
    dx = model.backward(grad, cache)
    if is_float:
        close(dx, there.grad, 1e-10)
    for name, parameter in module.named_parameters():
        close(model.parameters()[f"0.{name}"].grad, parameter.grad, 1e-10)
    for name, value in module.state_dict().items():
        close(model.state_dict()[f"0.{name}"], value, 1e-12)
    model.load_state_dict(before)
