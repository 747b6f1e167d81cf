"""sampled: predictions in which the layers that draw at random do so, as in training, to see how far they spread."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.checking.view import View
from nanonet.core.arrays import Arrays, each
from nanonet.core.chain import Chain
from nanonet.core.checks import as_generator, positive_int
from nanonet.core.layer import Layer
from nanonet.core.objects import set_attribute
from nanonet.core.parameter import Buffer, Random
from nanonet.layers.recurrent.recurrent import Recurrent


def sampled(model: Chain, x: Any, samples: int, rng: int | np.random.Generator | None, batch_size: int | None) -> Any:
    """Return so many predictions, shape (samples, batch, ...), each with numbers drawn anew.

    Layers that own a :class:`Random` run as in training, all others as in inference, on a copy of what they change:
    none of it carries over to the next sample, and a recurrent layer begins with the state 0, as in inference. Without
    rng they draw from copies of their own generators, so that the result is the same each time.

    Raises
    ------
    ValueError
        If no layer draws: all samples would be alike.
    """
    count = positive_int(samples, type(model).__name__, "samples")
    view = View(model, live=False)
    drawing = [layer for layer in view.twins.values() if randoms_of(layer)]
    if not drawing:
        raise ValueError(
            f"{type(model).__name__}: samples={samples}, but all would be alike, since no layer draws at random, as "
            "Dropout does"
        )
    if rng is not None:
        seeds = iter(as_generator(rng, type(model).__name__).spawn(sum(len(randoms_of(layer)) for layer in drawing)))
        for random in (random for layer in drawing for random in randoms_of(layer)):
            set_attribute(random, "_generator", next(seeds))
    for layer in drawing:
        if isinstance(layer, Recurrent):
            set_attribute(layer, "carry", None)
        set_attribute(layer, "forward", _training(layer))
    found = [view.root.predict(x, batch_size) for _ in range(count)]
    return each(lambda *parts: np.stack(parts), *found)


def randoms_of(layer: Layer) -> list[Random]:
    """Return a layer's own generators."""
    return [part for _, part in layer.owned_parts() if isinstance(part, Random)]


def _training(layer: Layer) -> Any:
    """Return the layer's forward method in training mode, whatever the caller asks for."""
    method, buffers = layer.forward, [part for _, part in layer.owned_parts() if isinstance(part, Buffer)]

    def forward(x: Arrays, *, training: bool = False) -> Any:
        before = [buffer.value.copy() for buffer in buffers]
        result = method(x, training=True)
        for buffer, value in zip(buffers, before, strict=True):
            buffer.value = value
        return result

    return forward
