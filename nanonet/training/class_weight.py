"""ClassWeight: weights of classes in the loss, as weights of their samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.checks import finite_number
from nanonet.core.errors import ShapeError
from nanonet.training.data import Dataset
from nanonet.training.metrics.reading import winners
from nanonet.training.stream import Stream

OTHERWISE = "give sample_weight, or for several labels a sample loss=CrossEntropy(class_weight=[...])"
ClassWeights = Mapping[Any, float] | Literal["balanced"] | None


class ClassWeight:
    """Multiplies the weight of each sample by that of its class.

    Parameters
    ----------
    given : mapping or "balanced"
        From label to weight, 1 for a label that is missing; "balanced": samples / (classes * samples of the class), as
        scikit-learn has it, so that all classes weigh the same.
    data : Dataset or Stream
        What is trained on.

    Raises
    ------
    TypeError, ValueError
        If a weight is not a number from 0 on, a label does not occur, or the target is not one class a sample.
    """

    def __init__(self, given: Mapping[Any, float] | Literal["balanced"], data: Dataset | Stream) -> None:
        if given != "balanced" and not isinstance(given, Mapping):
            wanted = "'balanced' or a dict from label to weight"
            raise TypeError(f"fit: expected class_weight as {wanted}, got {given!r:.60}")
        if isinstance(data, Stream):
            if given == "balanced":
                raise ValueError(
                    "fit: class_weight='balanced' counts the labels of arrays; for an iterable give a dict from label "
                    "to weight"
                )
            weights = _checked(given)
        else:
            chosen = slice(None) if data.chosen is None else data.chosen
            labels, counts = np.unique(labels_of(data.target)[chosen], return_counts=True)
            if given == "balanced":
                weights = dict(zip(labels.tolist(), (counts.sum() / (len(labels) * counts)).tolist(), strict=True))
            else:
                weights = _checked(given)
                for label in weights:
                    if label not in labels:
                        raise ValueError(
                            f"fit: class_weight has label {label!r}, which the target does not: its labels are "
                            f"{', '.join(map(str, labels[:10].tolist()))}{', ...' * (len(labels) > 10)}"
                        )
        self.labels = np.array(sorted(weights))
        self.weights = np.array([weights[label] for label in sorted(weights)], np.float64)

    def of(self, target: Any, weight: Any) -> Array:
        """Return the weights of samples: each that of its class, times its own."""
        labels = labels_of(target)
        places = np.searchsorted(self.labels, labels).clip(max=len(self.labels) - 1)
        weights: Array = np.where(self.labels[places] == labels, self.weights[places], 1.0)
        return weights if weight is None else weights * weight


def _checked(given: Any) -> dict[Any, float]:
    if not given:
        raise ValueError("fit: expected class_weight as a dict from label to weight, got an empty one")
    return {label: finite_number(weight, "fit", f"class_weight[{label!r}]", low=0) for label, weight in given.items()}


def labels_of(target: Any) -> npt.NDArray[Any]:
    """Return the label of each sample: of one-hot rows the place of the 1, of one column its number."""
    if isinstance(target, tuple) or target.ndim > 2:
        raise ShapeError(f"fit: class_weight is for a target of one class a sample; {OTHERWISE}")
    if target.ndim == 2 and target.shape[1] > 1:
        return winners(target, "fit: class_weight", OTHERWISE)
    labels: npt.NDArray[Any] = target.ravel()
    if labels.dtype.kind == "f" and not (labels == np.rint(labels)).all():
        raise ValueError(
            "fit: class_weight is for a target of classes, and this one holds numbers such as "
            f"{labels[labels != np.rint(labels)][0]}"
        )
    return labels
