"""A sample of a loss, a module's or a function's: the value, and the gradient by the prediction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nanonet import BinaryCrossEntropy, CrossEntropy, Huber, Loss, MeanAbsoluteError, MeanSquaredError, PoissonNLL
from tests.layers.beside_pytorch import close
from tests.pytorch_samples.samples import Sample

FUNCTIONS = {
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "cosine_embedding_loss": "CosineEmbeddingLoss",
    "cross_entropy": "CrossEntropyLoss",
    "ctc_loss": "CTCLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "huber_loss": "HuberLoss",
    "kl_div": "KLDivLoss",
    "l1_loss": "L1Loss",
    "linear_cross_entropy": "LinearCrossEntropyLoss",
    "margin_ranking_loss": "MarginRankingLoss",
    "mse_loss": "MSELoss",
    "multi_margin_loss": "MultiMarginLoss",
    "multilabel_margin_loss": "MultiLabelMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "nll_loss": "NLLLoss",
    "poisson_nll_loss": "PoissonNLLLoss",
    "smooth_l1_loss": "SmoothL1Loss",
    "soft_margin_loss": "SoftMarginLoss",
    "triplet_margin_loss": "TripletMarginLoss",
    "triplet_margin_with_distance_loss": "TripletMarginWithDistanceLoss",
}
"""The module that computes what a function does."""

OLD = ("size_average", "reduce")  # PyTorch's former names of reduction


class Translated(NamedTuple):
    """How a loss is made of the options of PyTorch's, which of these it has, and what its prediction and target are."""

    loss: Callable[[Mapping[str, Any]], Loss]
    options: tuple[str, ...] = ()
    arrays: Callable[..., tuple[Any, Any]] = lambda prediction, target: (prediction, target)


HERE: dict[str, Translated] = {
    "BCEWithLogitsLoss": Translated(lambda options: BinaryCrossEntropy()),
    "CrossEntropyLoss": Translated(
        lambda options: CrossEntropy(label_smoothing=options["label_smoothing"], class_weight=options["weight"]),
        ("label_smoothing", "weight"),
    ),
    "HuberLoss": Translated(lambda options: Huber(options["delta"]), ("delta",)),
    "L1Loss": Translated(lambda options: MeanAbsoluteError()),
    "MSELoss": Translated(lambda options: MeanSquaredError()),
    "PoissonNLLLoss": Translated(lambda options: PoissonNLL()),
}
"""The loss for each of PyTorch's modules."""


def is_loss(sample: Sample) -> bool:
    """Return whether a module or a function is a loss."""
    return kind_of(sample).endswith("Loss")


def kind_of(sample: Sample) -> str:
    """Return the name of the module that computes a loss."""
    name = sample.name.rpartition(".")[2]
    return FUNCTIONS.get(name, name)


def compare(sample: Sample) -> None:
    """Compare the value to 1e-12, and the gradient to 1e-10.

    Raises
    ------
    TypeError
        If nanonet has no such loss, or not one of its options.
    """
    kind = kind_of(sample)
    if kind not in HERE:
        raise TypeError(f"nanonet has no {kind}")
    translated, options = HERE[kind], dict(sample.options)
    tensors = sample.inputs or _tensors(sample)
    extra = [name for name in options if sample.is_set(name) and name not in (*translated.options, *OLD)]
    if extra:
        raise TypeError(f"nanonet's {kind} has no {extra[0]}")
    values = {name: value.numpy() if hasattr(value, "numpy") else value for name, value in options.items()}
    loss = translated.loss(values)
    _compare(loss, sample, tensors, translated.arrays)


def _tensors(sample: Sample) -> tuple[Any, ...]:
    """Return the arguments of a function that have no default."""
    parameters = inspect.signature(sample.called).parameters
    return tuple(sample.options[name] for name, parameter in parameters.items() if parameter.default is parameter.empty)


def _compare(loss: Loss, sample: Sample, tensors: tuple[Any, ...], arrays: Callable[..., tuple[Any, Any]]) -> None:
    import torch

    there = [tensor.detach().clone().requires_grad_(tensor.is_floating_point()) for tensor in tensors]
    arguments, keywords = sample.given
    if sample.inputs:
        value_there = sample.called(*arguments, **keywords)(*there)
    else:
        names = list(inspect.signature(sample.called).parameters)
        given = dict(zip(names, arguments, strict=False)) | dict(keywords)
        value_there = sample.called(**given | dict(zip(names, there, strict=False)))
    value_there.backward()
    prediction, target = arrays(*(np.atleast_1d(tensor.detach().numpy()) for tensor in there))
    value, cache = loss.forward(prediction, *loss.check(prediction, target))
    close(np.asarray(value), value_there, 1e-12)
    close(loss.backward(cache).reshape(there[0].shape), there[0].grad, 1e-10)
    assert torch.is_grad_enabled()
