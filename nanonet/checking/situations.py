"""Situations: the inputs and modes in which check_gradients tests a layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.checking.view import Snapshot
from nanonet.core.arrays import Array, Shape
from nanonet.core.checks import example
from nanonet.core.layer import Activation, Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree

BATCH = 5  # more than one sample, and an unlikely size for a layer
FEATURES = 3
NEAR, FAR, BEYOND = 0.03, 30.0, 33.0  # magnitudes of x; the last exceeds any bound up to 30
ENTRIES = 40  # minimum number of entries from NEAR to FAR
FLOAT = np.dtype(np.float64)


class Situation(NamedTuple):
    """A test input and mode, and its description in errors; thorough means that every entry is compared."""

    x: Array
    training: bool
    words: str = ""
    thorough: bool = True


def sample(layer: Layer, shape: Shape | None, x: npt.ArrayLike | None, rng: np.random.Generator) -> Array:
    """Return the main sample: x if given, else a random one."""
    if x is not None:
        return np.array(x) if layer.integer_input else np.array(x, FLOAT)
    if layer.integer_input:
        raise ValueError(f"check_gradients: {called(layer)} takes integers; pass x=...")
    pattern = layer.input_shape if shape is None else shape
    if pattern is None and isinstance(layer, Activation):
        pattern = (FEATURES,)
    if pattern is None:
        raise ValueError(f"check_gradients: {called(layer)} has no input_shape; pass one, such as input_shape=(3,)")
    x = rng.normal(size=(BATCH, *example(pattern, FEATURES + 1)))
    x[::2] *= 3  # some samples have larger entries
    return x


def others(x: Array, training: bool, rng: np.random.Generator, *, drawn: bool) -> list[Situation]:
    """Return the further situations: another number of samples and, if x was drawn, a wide range of magnitudes."""
    alone = x[:1].copy() if len(x) > 1 else np.concatenate([x, x])
    found = [Situation(alone, training, f"on a batch of {len(alone)}", thorough=False)] if len(x) else []
    if drawn:
        found.append(Situation(far_out(x.shape[1:], rng), training, FAR_OUT, thorough=False))
    return found


FAR_OUT = f"on x from {NEAR:g} to {BEYOND:g} on both sides of 0"


def far_out(shape: Shape, rng: np.random.Generator) -> Array:
    """Draw samples with entries evenly spread over all magnitudes; in each place two exceed FAR, one of each sign."""
    size = int(np.prod(shape))
    rows = max(BATCH, -(-ENTRIES // max(size, 1)))
    signs = rng.choice([-1.0, 1.0], size=shape)
    ends = np.stack([signs, -signs]) * rng.uniform(FAR + 0.5, BEYOND, size=(2, *shape))
    grid = (np.arange(rows * size) + rng.uniform(size=rows * size)) / (rows * size)
    magnitudes = NEAR * (FAR / NEAR) ** grid
    magnitudes[::2] *= -1
    return np.concatenate([ends, rng.permutation(magnitudes).reshape(rows, *shape)])


def left_out(layer: Layer, situation: Situation) -> str:
    """Return why a layer cannot be tested in a further situation; empty if it can.

    A mean over the batch may reject training on one sample, and an exponential may overflow for large x.
    """
    x, training, words, _ = situation
    if words != FAR_OUT and not (training and len(x) == 1):
        return ""
    snapshot = Snapshot(Tree(layer))
    try:
        with np.errstate(all="ignore"):
            y = layer.forward(x.copy(), training=training)[0]
    except (ValueError, ArithmeticError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        snapshot.restore()
    return "" if np.isfinite(y).all() else "its output is not finite there"


def differs_in_training(layer: Layer, x: Array, rng: np.random.Generator) -> bool:
    """Return whether training passes may differ from inference: the layer has state, or the results differ."""
    tree = Tree(layer)
    if tree.buffers or tree.randoms:
        return True
    results: list[list[bytes]] = []
    for training in (False, True):
        try:
            y, cache = layer.forward(x.copy(), training=training)
            grad = np.random.default_rng(0).normal(size=y.shape)
            dx = layer.backward(grad, cache)
        except Exception:  # inference was checked before; errors of training are reported when it is checked
            return True
        grads = [parameter.grad for parameter in tree.parameters.values()]
        results.append([np.asarray(array).tobytes() for array in (y, dx, *grads)])
    return results[0] != results[1]


# ---- initial values


def part_starts(layer: Layer) -> None:
    """Perturb trainable parameters whose initial values could hide a mistake.

    A value of 0 or 1 hides a missing factor, a symmetric matrix a transposition, and two equal arrays a mix-up of the
    two. Signs are kept, so that positive parameters stay positive.
    """
    rng = np.random.default_rng(0)
    parameters = list(Tree(layer).parameters.values())
    starts = [parameter.value.copy() for parameter in parameters]
    for i, parameter in enumerate(parameters):
        twins = (j for j in range(len(starts)) if j != i and np.array_equal(starts[j], starts[i]))
        if parameter.trainable and starts[i].size and (_hides(starts[i]) or any(True for _ in twins)):
            _move(parameter, rng)


def _hides(start: Array) -> bool:
    constant = bool((start == start.flat[0]).all())
    square = start.ndim == 2 and start.shape[0] == start.shape[1]
    symmetric = square and np.array_equal(start, start.T)
    return start.flat[0] in (-1, 0, 1) if start.size == 1 else constant or symmetric


def _move(parameter: Parameter, rng: np.random.Generator) -> None:
    size = np.abs(parameter.value)
    size = np.where(size == 0, size.max() or 1.0, size)
    parameter.value = parameter.value + size * rng.uniform(-0.5, 0.5, parameter.shape)


def run_in(layer: Layer, x: Array) -> None:
    """Move buffers from their initial values, as training does: a running variance of 1 hides a missing division."""
    if Tree(layer).buffers:
        for factor in (1.0, 1.5):
            layer.forward(factor * x if x.dtype.kind == "f" else x.copy(), training=True)
