"""Samples of PyTorch's linear_cross_entropy, which fuses a Linear and a CrossEntropy: here they are two objects."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nanonet import CrossEntropy, Layer, Linear, Reshape, Sequential
from tests.layers.beside_pytorch import close
from tests.pytorch_samples.samples import Sample


class Fused(NamedTuple):
    """What PyTorch computes with, and the result."""

    x: Any
    weight: Any
    bias: Any
    target: Any
    sizes: tuple[int, ...]  # of a sample's logits, classes first
    class_weight: Any
    value: Any


def compare(sample: Sample) -> None:
    """Compare the value, and the gradients by the input, the weight and the bias.

    The options say in which pieces PyTorch computes it, which does not affect the numbers.
    """
    there = _module(sample) if sample.inputs else _function(sample)
    x, target = (_rows(part, there.x.dim()) for part in (there.x, there.target))
    model, loss = _model(there), _loss(sample, there)
    logits, cache = model.forward(x, training=True)
    value, loss_cache = loss.forward(logits, *loss.check(logits, target))
    is_each = sample.options["reduction"] == "none"
    numbers = loss.each(logits, target).reshape(tuple(there.value.shape)) if is_each else np.asarray(value)
    close(numbers, there.value, 1e-12)
    there.value.sum().backward()
    dx = model.backward(loss.backward(loss_cache), cache)
    close(dx.reshape(tuple(there.x.shape)), there.x.grad, 1e-10)
    for name, theirs in (("weight", there.weight), ("bias", there.bias)):
        if theirs is not None:
            close(model.parameters()[f"0.{name}"].grad.reshape(tuple(theirs.shape)), theirs.grad, 1e-10)


def _model(there: Fused) -> Sequential:
    outputs, features = math.prod(there.sizes), there.x.shape[-1]
    weight = there.weight.detach().numpy().reshape(outputs, features)
    bias = False if there.bias is None else there.bias.detach().numpy().reshape(outputs)
    layers: list[Layer] = [Linear(features, outputs, weight=weight, bias=bias)]
    return Sequential(*layers, *([Reshape(*there.sizes)] if len(there.sizes) > 1 else []), dtype=np.float64)


def _loss(sample: Sample, there: Fused) -> CrossEntropy:
    options = sample.options
    return CrossEntropy(
        axis=1,
        ignore_index=None if there.target.is_floating_point() else options["ignore_index"],
        label_smoothing=options["label_smoothing"],
        class_weight=None if there.class_weight is None else there.class_weight.numpy(),
        reduction="sum" if options["reduction"] == "none" else options["reduction"],
    )


def _module(sample: Sample) -> Fused:
    class_weight = _positive(sample.options["weight"])
    arguments, keywords = sample.given
    module = sample.called(*arguments, **{**keywords, "weight": class_weight})
    x, target = _leaf(sample.inputs[0]), _normalized(sample.inputs[1])
    sizes = (module.num_classes, *module.out_features)
    return Fused(x, module.linear.weight, module.linear.bias, target, sizes, class_weight, module(x, target))


def _function(sample: Sample) -> Fused:
    options = dict(sample.options)
    for name in ("input", "linear_weight", "linear_bias"):
        options[name] = None if options[name] is None else _leaf(options[name])
    options["target"], options["weight"] = _normalized(options["target"]), _positive(options["weight"])
    x, weight, bias, target = (options[name] for name in ("input", "linear_weight", "linear_bias", "target"))
    return Fused(x, weight, bias, target, tuple(weight.shape[:-1]), options["weight"], sample.called(**options))


def _rows(tensor: Any, axes: int) -> Any:
    """Return an array with a batch axis."""
    array = tensor.detach().numpy()
    return array[None] if axes == 1 else array


def _leaf(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_()


def _positive(weight: Any) -> Any:
    """Return the absolute values of class weights, as in losses.py."""
    return None if weight is None else weight.detach().abs()


def _normalized(target: Any) -> Any:
    """Return labels, or probabilities that sum to 1."""
    if not target.is_floating_point():
        return target
    return target.detach().softmax(1 if target.dim() > 1 else 0)
