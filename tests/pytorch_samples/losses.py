"""A sample of a loss, a module's or a function's: the value, and the gradient by the prediction."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nanonet import (
    BinaryCrossEntropy,
    CosineEmbedding,
    CrossEntropy,
    GaussianNLL,
    HingeEmbedding,
    Huber,
    KLDivergence,
    Loss,
    MarginRanking,
    MeanAbsoluteError,
    MeanSquaredError,
    MultiMargin,
    PoissonNLL,
    Triplet,
)
from tests.layers.beside_pytorch import close
from tests.pytorch_samples import linear_cross_entropy
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
Options = Mapping[str, Any]


class Translated(NamedTuple):
    """How a loss is made, and what it is given.

    Attributes
    ----------
    loss : callable
        The loss for PyTorch's options, the first tensor, and the reduction.
    options : tuple of str
        The options that it has, beside reduction.
    arrays : callable
        Prediction and target for the tensors of a sample, as tensors.
    scale : callable
        What the loss is multiplied by.
    each : callable
        What the numbers of ``each`` become.
    behind : callable
        What PyTorch's loss stands behind, where nanonet's has it within.
    """

    loss: Callable[..., Loss]
    options: tuple[str, ...] = ()
    arrays: Callable[..., tuple[Any, Any]] = lambda prediction, target: (prediction, target)
    scale: Callable[[Options, Any], float] = lambda options, prediction: 1.0
    each: Callable[[Any], Any] = lambda numbers: numbers
    behind: Callable[[Any], Any] = lambda prediction: prediction


def _plain(cls: Callable[..., Loss], **names: str) -> Translated:
    """Return the translation to a loss that has all options, by names of its own."""
    return Translated(
        lambda options, prediction, reduction: cls(
            **{ours: options[theirs] for ours, theirs in names.items()}, reduction=reduction
        ),
        tuple(names.values()),
    )


def _cross_entropy(cls: Callable[..., Loss]) -> Callable[..., Loss]:
    def make(options: Options, prediction: Any, reduction: str) -> Loss:
        labels = {"ignore_index": options["ignore_index"]} if options["of_labels"] else {}
        smoothing = {"label_smoothing": options["label_smoothing"]} if "label_smoothing" in options else {}
        return cls(axis=1, class_weight=options["weight"], **labels, **smoothing, reduction=reduction)

    return make


def _one_batch(prediction: Any, target: Any) -> tuple[Any, Any]:
    """Return a prediction without a batch axis as a batch of one."""
    return (prediction, target) if prediction.dim() > 1 else (prediction[None], target[None])


def _mean_and_variance(mean: Any, target: Any, variance: Any) -> tuple[Any, Any]:
    """Return both side by side on the last axis, all in the shape of the mean, to which PyTorch broadcasts."""
    import torch

    if variance.dim() == mean.dim() - 1:
        variance = variance[..., None]
    mean, target, variance = (each.broadcast_to(mean.shape) for each in (mean, target, variance))
    if mean.dim() == 1:
        mean, target, variance = mean[:, None], target[:, None], variance[:, None]
    return torch.cat((mean, variance), -1), target


def _logits(probability: Any, target: Any) -> tuple[Any, Any]:
    """Return the logits whose sigmoids the probabilities are."""
    import torch

    return torch.logit(probability), target


def _log_softmax(prediction: Any) -> Any:
    import torch

    return torch.log_softmax(prediction, 1 if prediction.dim() > 1 else 0)


def _compared(a: Any, b: Any, target: Any) -> tuple[Any, Any]:
    """Return both inputs of a sample as a tuple."""
    return ((a, b), target) if a.dim() > 1 else ((a[None], b[None]), target[None])


def _pair(a: Any, b: Any, target: Any) -> tuple[Any, Any]:
    """Return two arrays of scores of one shape, to which PyTorch broadcasts."""
    import torch

    functions: Any = torch
    shape = functions.broadcast_shapes(a.shape, b.shape, target.shape) or (1,)
    a, b, target = (part.broadcast_to(shape) for part in (a, b, target))
    return (a, b), target


def _rows(prediction: Any) -> Any:
    """Return a prediction for one sample as a batch of one."""
    return prediction.reshape(-1, *prediction.shape[-1:] or (1,))


def _triplet(*three: Any) -> tuple[Any, Any]:
    import torch

    three = three if three[0].dim() > 1 else tuple(each[None] for each in three)
    return three, torch.zeros(len(three[0]))


def _smooth(options: Options, prediction: Any, reduction: str) -> Loss:
    """Return the Huber loss, whose quotient by beta it is; the absolute error where beta is 0."""
    return Huber(options["beta"], reduction=reduction) if options["beta"] else MeanAbsoluteError(reduction=reduction)


HERE: dict[str, Translated] = {
    "BCELoss": _plain(BinaryCrossEntropy, weight="weight")._replace(arrays=_logits),
    "BCEWithLogitsLoss": _plain(BinaryCrossEntropy, weight="weight", pos_weight="pos_weight"),
    "CosineEmbeddingLoss": _plain(CosineEmbedding, margin="margin")._replace(arrays=_compared),
    "CrossEntropyLoss": Translated(
        _cross_entropy(CrossEntropy), ("weight", "ignore_index", "label_smoothing"), _one_batch
    ),
    "GaussianNLLLoss": Translated(
        lambda options, prediction, reduction: GaussianNLL(
            log_variance=False, full=options["full"], eps=options["eps"], reduction=reduction
        ),
        ("full", "eps"),
        _mean_and_variance,
    ),
    "HingeEmbeddingLoss": _plain(HingeEmbedding, margin="margin"),
    "HuberLoss": _plain(Huber, threshold="delta"),
    "KLDivLoss": _plain(KLDivergence, log_target="log_target")._replace(
        # its "mean" is that over all numbers
        scale=lambda options, prediction: (
            len(prediction) / prediction.numel() if options["reduction"] == "mean" and prediction.dim() else 1.0
        )
    ),
    "L1Loss": _plain(MeanAbsoluteError),
    "MSELoss": _plain(MeanSquaredError),
    "MarginRankingLoss": _plain(MarginRanking, margin="margin")._replace(arrays=_pair),
    "MultiMarginLoss": _plain(MultiMargin, p="p", margin="margin", class_weight="weight")._replace(
        arrays=lambda prediction, target: (_rows(prediction), target.reshape(-1))
    ),
    "MultiLabelSoftMarginLoss": _plain(BinaryCrossEntropy, weight="weight")._replace(
        # a mean over the classes, whatever becomes of the samples
        scale=lambda options, prediction: (
            1.0 if options["reduction"] == "mean" or not prediction.dim() else 1 / prediction.shape[-1]
        ),
        each=lambda numbers: numbers.sum(axis=-1),
        arrays=lambda prediction, target: tuple(
            each.reshape(-1, *each.shape[-1:] or (1,)) for each in (prediction, target)
        ),
    ),
    "NLLLoss": Translated(  # of log-probabilities; most samples are such already
        _cross_entropy(CrossEntropy), ("weight", "ignore_index"), _one_batch, behind=_log_softmax
    ),
    "PoissonNLLLoss": _plain(PoissonNLL, log_input="log_input", full="full", eps="eps"),
    "SmoothL1Loss": Translated(_smooth, ("beta",), scale=lambda options, prediction: 1 / (options["beta"] or 1)),
    "SoftMarginLoss": _plain(BinaryCrossEntropy)._replace(  # with classes -1 and 1
        arrays=lambda prediction, target: (prediction, (target + 1) / 2)
    ),
    "TripletMarginLoss": _plain(Triplet, margin="margin", p="p", swap="swap", eps="eps")._replace(arrays=_triplet),
}
"""The loss for each of PyTorch's modules."""


SIGNS = ("HingeEmbeddingLoss", "MarginRankingLoss", "SoftMarginLoss")  # whose targets are -1 and 1


def sensible(sample: Sample) -> Sample:
    """Return a sample with weights of 0 or more, probabilities and signs, where PyTorch draws any numbers.

    nanonet refuses others. Weights become their absolute values, probabilities are normalized, targets become signs.
    """
    import torch

    kind, options, inputs = kind_of(sample), dict(sample.options), list(sample.inputs)
    for name in ("weight", "pos_weight"):
        if torch.is_tensor(options.get(name)):
            options[name] = options[name].detach().abs()
            while options[name].shape[:1] == (1,):  # the same for every sample
                options[name] = options[name][0]
    at = _names(sample).index("target") if "target" in _names(sample) else 1
    target = (inputs or [options[name] for name in _names(sample)])[at]
    if kind == "KLDivLoss":
        shape, rows = target.shape, target.detach().nan_to_num().reshape(-1, *target.shape[-1:] or (1,))
        target = torch.softmax(rows, -1).reshape(shape)
        target = target.log() if options["log_target"] else target
        if inputs:
            inputs[0] = inputs[0].detach().nan_to_num()
    elif kind == "CrossEntropyLoss" and target.is_floating_point():
        target = torch.softmax(target.detach(), 1 if target.dim() > 1 else 0)
    elif kind in SIGNS:
        target = torch.where(target.detach() < 0, -1.0, 1.0).to(torch.float64)
    elif kind == "MultiLabelSoftMarginLoss" and target.is_floating_point():
        target = (target.detach() > 0).to(torch.float64)
    if inputs:
        inputs[at] = target
        old = dict(zip(inspect.signature(sample.called).parameters, sample.given[0], strict=False))
        given = {name: options[name] for name in (*old, *sample.given[1])}
        return dataclasses.replace(sample, options=options, given=((), given), inputs=tuple(inputs))
    options[_names(sample)[at]] = target
    return dataclasses.replace(sample, options=options)


def is_loss(sample: Sample) -> bool:
    """Return whether a module or a function is a loss."""
    return kind_of(sample).endswith("Loss")


def kind_of(sample: Sample) -> str:
    """Return the name of the module that computes a loss."""
    name = sample.name.rpartition(".")[2]
    return FUNCTIONS.get(name, name)


def compare(sample: Sample) -> None:
    """Compare the value to 1e-12, and the gradients by all that is predicted to 1e-10.

    With reduction="none" it is what ``each`` returns, and the gradients of its sum.

    Raises
    ------
    TypeError, ValueError
        If nanonet has no such loss, not one of its options, or refuses what it is given.
    """
    kind = kind_of(sample)
    if kind == "LinearCrossEntropyLoss":
        linear_cross_entropy.compare(sample)
        return
    if kind not in HERE:
        raise TypeError(f"nanonet has no {kind}")
    translated = HERE[kind]
    extra = [name for name in sample.options if sample.is_set(name) and name not in (*translated.options, *KNOWN)]
    if extra:
        raise TypeError(f"nanonet's {kind} has no {extra[0]}")
    _compare(translated, sensible(sample))


KNOWN = ("reduction", *OLD)


def _compare(translated: Translated, sample: Sample) -> None:
    import torch

    there, here = (_leaves(sample) for _ in range(2))
    expected = _value_there(sample, [translated.behind(there[0]), *there[1:]])
    prediction, target = translated.arrays(*here)
    prediction = prediction if isinstance(prediction, tuple) or prediction.dim() else prediction[None]
    target = target if target.dim() or isinstance(prediction, tuple) else target[None]
    options = {name: _numbers(value) for name, value in sample.options.items()}
    options["of_labels"] = not target.is_floating_point()
    reduction, scale = options["reduction"], translated.scale(options, here[0])
    makes = {"none": "sum", "batchmean": "mean"}
    loss = translated.loss(options, here[0], makes.get(reduction, reduction))
    y: Any = tuple(map(_numbers, prediction)) if isinstance(prediction, tuple) else _numbers(prediction)
    aim = _numbers(target)
    value, cache = loss.forward(y, *loss.check(y, aim))
    if reduction == "none":
        numbers = scale * translated.each(loss.each(y, aim))
        close(numbers.reshape(tuple(expected.shape)), expected, 1e-12)
    else:
        close(np.asarray(scale * value), expected, 1e-12)
    expected.sum().backward()
    slopes: Any = loss.backward(cache)
    parts = prediction if isinstance(prediction, tuple) else (prediction,)
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)
    torch.autograd.backward(list(parts), [torch.tensor(scale * slope) for slope in slopes])
    for ours, theirs in zip(here, there, strict=True):
        if theirs.requires_grad:
            close(ours.grad.numpy(), theirs.grad, 1e-10)


def _leaves(sample: Sample) -> list[Any]:
    """Return copies of the tensors of a sample, which are to have gradients."""
    tensors: Any = sample.inputs or [sample.options[name] for name in _names(sample)]
    named = zip(tensors, _names(sample), strict=True)
    return [each.detach().clone().requires_grad_(each.is_floating_point() and name != "target") for each, name in named]


def _names(sample: Sample) -> list[str]:
    """Return the names of the tensors: the arguments of a function that have no default."""
    if sample.inputs:
        return [name for name in inspect.signature(sample.called.forward).parameters if name != "self"]
    parameters = inspect.signature(sample.called).parameters
    return [name for name, parameter in parameters.items() if parameter.default is parameter.empty]


def _value_there(sample: Sample, tensors: list[Any]) -> Any:
    if sample.inputs:
        arguments, keywords = sample.given
        return sample.called(*arguments, **keywords)(*tensors)
    return sample.called(**{**sample.options, **dict(zip(_names(sample), tensors, strict=True))})


def _numbers(value: Any) -> Any:
    return value.detach().numpy() if hasattr(value, "detach") else value
