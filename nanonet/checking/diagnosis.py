"""Diagnosis: infer the mistake in the code from the pattern of a wrong gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nanonet.checking.finite_differences import Comparison, tolerance
from nanonet.core.arrays import Array


def diagnose(found: Comparison, batch: int, shares: Iterator[Array], transposed: Iterator[tuple[str, Array]]) -> str:
    """Return the likely cause of a wrong gradient; empty if its pattern is not known.

    Parameters
    ----------
    found : Comparison
    batch : int
        The number of samples.
    shares : iterator of array
        The true gradient of each single sample.
    transposed : iterator of (name, array)
        The layer's gradient with a square parameter transposed.
    """
    given, true = found.analytic, found.numerical
    if not given.any():
        return "it is 0 everywhere: computed for another array, or not at all"
    if _same(given, -true, found.slack):
        return "sign flipped"
    if (
        found.complete
        and given.ndim == 2
        and min(given.shape) > 1
        and _same(given, true.T.reshape(given.shape), found.slack)
    ):
        return "transposed: it is the transpose of the derivative"
    for name, value in transposed:
        if _same(value, true, found.slack):
            return f"transposed: it becomes correct when {name} is transposed; was W used for W.T, or W.T for W?"
    for i, share in enumerate(shares):
        if batch > 1 and _same(given, share, found.slack):
            return f"not summed over the batch: it is the share of sample {i} alone"
    return _factor(given, true, found, batch)


def _same(given: Array, true: Array, slack: Array) -> bool:
    """Return whether two gradients agree wherever both are known."""
    if given.shape != true.shape:
        return False
    known = np.isfinite(true)
    return bool(known.any() and (np.abs(given - true)[known] <= 10 * tolerance(given, true, slack)[known]).all())


def _factor(given: Array, true: Array, found: Comparison, batch: int) -> str:
    """Return the constant factor by which a gradient is off, as text; empty if there is none."""
    known = found.known & np.isfinite(true)
    norm = float(np.sum(true[known] ** 2))
    factor = float(np.sum(given[known] * true[known])) / norm if norm else 0.0
    if factor == 0 or not _same(given, factor * true, found.slack):
        return ""
    features = found.shape[-1] if found.shape else 1
    names = [(1 / batch, "1/batch"), (batch, "batch"), (2, "2"), (0.5, "1/2")]
    names += [(features, "features"), (1 / features, "1/features")]
    names += [(-value, f"-{name}") for value, name in names]
    near = [name for value, name in names if abs(value) != 1 and abs(factor - value) < 1e-3 * abs(value)]
    known_as = f", that is {near[0]}" if near and near[0] != f"{factor:.6g}" else ""
    extra = "; averaged over the batch, which the loss already does?" if near[:1] == ["1/batch"] else ""
    return f"off by a constant factor of {factor:.6g}{known_as}{extra}"
