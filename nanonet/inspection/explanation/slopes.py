"""Slopes: how an entry goes through a PReLU, and what its learned slopes multiply."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.inspection.explanation.terms import Factor, Terms, explains
from nanonet.inspection.record import LayerTrace
from nanonet.layers.prelu import PReLU

SLOPED = {
    "en": "Each entry of `{x}` is multiplied by `{factor}`, which is 1 above 0, and the learned slope elsewhere:",
    "ja": "`{x}` の各成分には `{factor}` が掛けられます。0 より大きいところでは 1、ほかでは学習された傾きです。",
}
MULTIPLIES = {
    "en": "`{z}` multiplies the entries of `{x}` that are not above 0:",
    "ja": "`{z}` は、0 より大きくない `{x}` の成分に掛けられます。",
}


@explains(PReLU)
def _slope(record: LayerTrace, name: str, place: tuple[int, ...]) -> Terms | None:
    """Return the one output of an entry, or those of all entries that a slope multiplies."""
    layer: Any = record.layer
    x, slopes = record.input[0], record.parameters["weight"]
    if name == "x":
        slope = 1.0 if x[place] > 0 else float(slopes[place[0] if layer.num_parameters > 1 else 0])
        return Terms([place], Factor("s", [slope]), [place], SLOPED)
    below = np.argwhere(x <= 0)
    if layer.num_parameters > 1:
        below = below[below[:, 0] == place[0]]
    return Terms(below, "x", below, MULTIPLIES) if len(below) else None
