"""basics: registers Dense and Embedding, and the layers that only give the numbers other axes."""

from __future__ import annotations

import math

from nanonet.interchange.keras.elementwise import activate
from nanonet.interchange.keras.reached import Reached
from nanonet.interchange.keras.registration import READERS, reads
from nanonet.layers.embedding import Embedding
from nanonet.layers.flatten import Flatten
from nanonet.layers.linear import Linear
from nanonet.layers.reshape import Permute, Reshape
from nanonet.layers.resize import Upsample


@reads("Dense")
def dense(reached: Reached) -> None:
    """Kernel is the transpose of weight."""
    units, biased = reached.size("units"), reached.flag("use_bias", True)
    reached.here(moved=False)
    kernel = reached.array(0, "kernel", reached.features, units)
    layer = Linear(len(kernel), units) if biased else Linear(len(kernel), units, bias=False)
    reached.add(layer, (*reached.shape[:-1], units))
    reached.fill(layer, weight=kernel.T)
    if biased:
        reached.fill(layer, bias=reached.array(1, "bias", units))
    activate(reached)


@reads("TimeDistributed")
def time_distributed(reached: Reached) -> None:
    """Read one of Dense, which nanonet applies along the last axis, whatever comes before; likewise of Activation."""
    inner = reached.setting("layer")
    kind = inner.get("class_name") if isinstance(inner, dict) else None
    if kind not in ("Dense", "Activation") or not isinstance(inner.get("config"), dict):
        reached.refuse(f"load takes TimeDistributed of Dense and Activation, not of {kind!r:.60}")
    whole, place = reached.config, reached.weights
    reached.config = inner["config"]
    reached.weights = place.part("layer", str(inner["config"].get("name")))
    READERS[kind](reached)
    reached.config, reached.weights = whole, place


@reads("Embedding")
def embedding(reached: Reached) -> None:
    """Read a table; its input must be integers."""
    if reached.flag("mask_zero", False):
        reached.refuse("mask_zero=True: nanonet's layers take no masks that go with the values")
    rows, columns = reached.size("input_dim"), reached.size("output_dim")
    layer = reached.add(Embedding(rows, columns), (*reached.shape, columns))
    reached.fill(layer, weight=reached.array(0, "embeddings", rows, columns))


@reads("Flatten")
def flatten(reached: Reached) -> None:
    """Read it in Keras's order of the axes: for channels_first they go last before."""
    count = len(reached.shape)
    reached.here(moved=False)
    if reached.channels_first and count > 1:
        reached.add(Permute(*range(2, count + 1), 1), (*reached.shape[1:], reached.shape[0]))
    reached.add(Flatten(), (product(reached.shape),))


@reads("Reshape")
def reshape(reached: Reached) -> None:
    """Read the shape; one size may be -1."""
    target = reached.setting("target_shape")
    if not isinstance(target, list) or not target or any(type(n) is not int or n < -1 or n == 0 for n in target):
        raise ValueError(f"expected target_shape as a list of sizes, got {target!r:.60}")
    whole, known = product(reached.shape), math.prod(n for n in target if n > 0)
    reached.here(moved=False)
    reached.add(Reshape(*target), tuple((None if whole is None else whole // known) if n < 0 else n for n in target))


@reads("Permute")
def permute(reached: Reached) -> None:
    """Read what is the same in nanonet."""
    axes = reached.sizes("dims", len(reached.shape))
    reached.here(moved=False)
    layer = Permute(*axes)
    reached.add(layer, tuple(reached.shape[axis - 1] for axis in axes))


@reads("RepeatVector")
def repeat(reached: Reached) -> None:
    """Read (N, F) to (N, n, F) as an image of one row that is made n times as high."""
    reached.ranked(1)
    n = reached.size("n")
    (features,) = reached.shape
    reached.add(Reshape(1, 1, -1))
    reached.add(Upsample((n, 1)))
    reached.add(Reshape(n, -1), (n, features))


def product(shape: tuple[int | None, ...]) -> int | None:
    """Return the number of entries; None if it is not known."""
    sizes = [n for n in shape if n is not None]
    return math.prod(sizes) if len(sizes) == len(shape) else None
