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


REASONS = [
    Reason("MaxPool1d MaxPool2d", "the places of the maxima are not returned", ("return_indices",)),
]
