"""What nanonet does not have of PyTorch's samples, and why, one line each; the first that fits a sample counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.pytorch_samples.samples import Sample


class Reason(NamedTuple):
    """Why samples are not supported.

    Attributes
    ----------
    names : str
        The modules, functions or optimizers, without "nn.", "nn.functional." and "optim.".
    why : str
        A few words, to stand behind "not supported:".
    options : tuple of str
        Only samples in which one of these has another value than its default; if empty, all.
    fits : callable, optional
        Only samples for which this is true.
    """

    names: str
    why: str
    options: tuple[str, ...] = ()
    fits: Callable[[Sample], bool] = lambda sample: True


def reason_for(sample: Sample) -> str | None:
    """Return why a sample is not supported, or None if it is."""
    name = sample.name.rpartition(".")[2]
    for reason in REASONS:
        if name in reason.names.split():
            chosen = [option for option in reason.options if option in sample.options and sample.is_set(option)]
            if (chosen or not reason.options) and reason.fits(sample):
                return reason.why
    return None


LAST_AXIS = "only along the last axis: put a Permute before and behind"
NO_BIAS = "weight and bias of a norm come together"


def _is_empty(sample: Sample) -> bool:
    return not len(sample.inputs[0])


def _has_weight_per_entry(sample: Sample) -> bool:
    weights = (sample.options.get(name) for name in ("weight", "pos_weight"))
    return any(each is not None and each.dim() > 1 and len(each) > 1 for each in weights)


REASONS = [
    # modules
    Reason("AvgPool3d MaxPool3d AdaptiveAvgPool3d AdaptiveMaxPool3d", "no pooling of volumes"),
    Reason("Conv3d LazyConv3d ConvTranspose3d LazyConvTranspose3d", "no convolution of volumes"),
    Reason("ConvTranspose1d LazyConvTranspose1d", "no transposed convolution of sequences"),
    Reason("FractionalMaxPool2d FractionalMaxPool3d", "no pooling at random places"),
    Reason("LPPool1d LPPool2d LPPool3d", "no pooling by a power mean"),
    Reason("AdaptiveMaxPool1d AdaptiveMaxPool2d", "no adaptive maximum"),
    Reason(
        "AdaptiveAvgPool1d", "of sequences only the mean of all", fits=lambda sample: sample.options["output_size"] != 1
    ),
    Reason("MaxPool1d MaxPool2d", "the places of the maxima are not returned", ("return_indices",)),
    Reason("AvgPool2d", "a mean is divided by the number of its entries", ("divisor_override",)),
    Reason("BatchNorm1d BatchNorm2d BatchNorm3d", "a batch without samples has no statistics", fits=_is_empty),
    Reason("BatchNorm1d BatchNorm2d BatchNorm3d GroupNorm", NO_BIAS, ("bias",)),
    Reason("InstanceNorm1d InstanceNorm2d InstanceNorm3d", NO_BIAS, ("bias",)),
    Reason("InstanceNorm1d InstanceNorm2d InstanceNorm3d", "no running statistics", ("track_running_stats",)),
    Reason("LocalResponseNorm", "normalizes neighbouring channels, which later norms have replaced"),
    Reason("Softmax LogSoftmax", LAST_AXIS, fits=lambda sample: sample.options["dim"] != -1),
    Reason("Softmax2d", LAST_AXIS),
    Reason("Softmin", "the Softmax of -x: let the layer before it give the other sign"),
    Reason("GLU", "splits its input; write a Composite"),
    Reason("Bilinear", "multiplies two inputs; write a Composite"),
    Reason("Tanhshrink Threshold", "write an Activation of two lines"),
    Reason("MultiheadAttention", "no learned key and value beside those of the sequence", ("add_bias_kv",)),
    Reason("MultiheadAttention", "no key of zeros beside those of the sequence", ("add_zero_attn",)),
    Reason("LSTM", "no projection of the state", fits=lambda sample: sample.options["kwargs"].get("proj_size", 0) > 0),
    # losses
    Reason("CTCLoss ctc_loss", "no loss over all alignments of a sequence"),
    Reason(
        "multi_margin_loss",
        "a margin is above 0, and classes are two or more",
        fits=lambda sample: sample.options["margin"] <= 0 or sample.options["input"].dim() == 0,
    ),
    Reason("MultiLabelMarginLoss multilabel_margin_loss", "no hinge of several labels; see BinaryCrossEntropy"),
    Reason("triplet_margin_with_distance_loss", "takes a distance as a function; Triplet has the p-norms"),
    Reason(
        "binary_cross_entropy binary_cross_entropy_with_logits multilabel_soft_margin_loss",
        "a weight is that of an output or of a sample",
        fits=_has_weight_per_entry,
    ),
    # optimizers
    Reason("Adafactor Muon", "needs the shape of each weight; a rule sees one vector"),
    Reason("ASGD", "its averaged weights stand beside the weights; see AveragedWeights"),
    Reason("LBFGS", "evaluates the loss several times a step; for whole batches there is interchange.scipy"),
    Reason("SparseAdam", "for sparse gradients, which nanonet does not have"),
]
"""The reasons, modules first."""
