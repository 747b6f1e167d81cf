"""Situations: the inputs and modes in which check_gradients tests a layer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nanonet.checking.view import Snapshot
from nanonet.core.arrays import Array, Arrays, Patterns, Shape, batch_size_of, each, parts_of
from nanonet.core.checks import axes, is_several
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.layers.activations import Activation

BATCH = 5  # more than one sample, and an unlikely size for a layer
FEATURES = 3
NEAR, FAR, BEYOND = 0.03, 30.0, 33.0  # magnitudes of x; the last exceeds any bound up to 30
ENTRIES = 40  # minimum number of entries from NEAR to FAR
FLOAT = np.dtype(np.float64)


class Situation(NamedTuple):
    """A test input and mode, and its description in errors; thorough means that every entry is compared."""

    x: Arrays
    training: bool
    words: str = ""
    thorough: bool = True


def sample(layer: Layer, shape: Patterns | None, x: Any, rng: np.random.Generator) -> Arrays:
    """Return the main sample: x if given, else a random one."""
    integers = layer.integer_input
    if x is not None and (layer.several_inputs or is_several(layer.input_shape)):
        kinds = integers if isinstance(integers, tuple) else (integers,) * len(x)
        return tuple(np.array(part, None if whole else FLOAT) for part, whole in zip(x, kinds, strict=True))
    if x is not None:
        return np.array(x) if integers else np.array(x, FLOAT)
    if any(integers) if isinstance(integers, tuple) else integers:
        raise ValueError(f"check_gradients: {called(layer)} takes integers; pass x=...")
    pattern = layer.input_shape if shape is None else shape
    if pattern is None and isinstance(layer, Activation):
        pattern = (FEATURES,)
    if pattern is None:
        raise ValueError(f"check_gradients: {called(layer)} has no input_shape; pass one, such as input_shape=(3,)")
    shape = example(pattern, FEATURES + 1)
    return tuple(_drawn(part, rng) for part in shape) if is_several(shape) else _drawn(shape, rng)


def example(pattern: Patterns, length: int) -> Any:
    """Return a shape that fits a pattern: unknown lengths become ``length``, and so does ``...`` at the end.

    Examples
    --------
    >>> example((None, 8), 4), example((..., 8), 4), example((3, ...), 4)
    ((4, 8), (8,), (3, 4))
    """
    if is_several(pattern):
        return tuple(example(part, length) for part in pattern)
    lengths = (*pattern[:-1], None) if pattern[-1:] == (...,) else axes(pattern)
    return tuple(length if each is None else each for each in lengths)


def _drawn(shape: Shape, rng: np.random.Generator) -> Array:
    x = rng.normal(size=(BATCH, *shape))
    x[::2] *= 3  # some samples have larger entries
    return x


def others(x: Arrays, training: bool, rng: np.random.Generator, *, drawn: bool) -> list[Situation]:
    """Return the further situations: another number of samples and, if x was drawn, a wide range of magnitudes."""
    size = batch_size_of(x)
    alone = each(lambda part: part[:1].copy() if size > 1 else np.concatenate([part, part]), x)
    found = [Situation(alone, training, f"on a batch of {batch_size_of(alone)}", thorough=False)] if size else []
    if drawn:
        wide = [far_out(part.shape[1:], rng) for part in parts_of(x)]
        rows = min(map(len, wide))
        far = tuple(part[:rows] for part in wide) if isinstance(x, tuple) else wide[0]
        found.append(Situation(far, training, FAR_OUT, thorough=False))
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

    A deviation over the batch may reject one sample, or in training not be finite there, and an exponential may
    overflow for large x.
    """
    x, training, words, _ = situation
    if words != FAR_OUT and batch_size_of(x) != 1:
        return ""
    snapshot = Snapshot(Tree(layer))
    try:
        with np.errstate(all="ignore"):
            y = layer.forward(each(np.copy, x), training=training)[0]
    except (ValueError, ArithmeticError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        snapshot.restore()
    excused = (training or words == FAR_OUT) and not all(np.isfinite(part).all() for part in parts_of(y))
    return "its output is not finite there" if excused else ""


def differs_in_training(layer: Layer, x: Arrays, rng: np.random.Generator) -> bool:
    """Return whether training passes may differ from inference: the layer has state, or the results differ."""
    tree = Tree(layer)
    if tree.buffers or tree.randoms:
        return True
    results: list[list[bytes]] = []
    for training in (False, True):
        try:
            y, cache = layer.forward(each(np.copy, x), training=training)
            drawing = np.random.default_rng(0)
            grad = each(lambda y, rng=drawing: rng.normal(size=y.shape) if y.dtype.kind == "f" else None, y)
            dx = layer.backward(grad, cache)
        except Exception:  # inference was checked before; errors of training are reported when it is checked
            return True
        grads = [parameter.grad for parameter in tree.parameters.values()]
        results.append([np.asarray(array).tobytes() for array in (*parts_of(y), *parts_of(dx), *grads)])
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


def run_in(layer: Layer, x: Arrays) -> None:
    """Move buffers from their initial values, as training does: a running variance of 1 hides a missing division."""
    if Tree(layer).buffers:
        for factor in (1.0, 1.5):
            scaled = each(lambda part, by=factor: by * part if part.dtype.kind == "f" else part.copy(), x)
            layer.forward(scaled, training=True)
