"""Kernels: the steps of a small dense chain as loops over numbers, for numba to compile.

Every formula here stands elsewhere too, as NumPy and to be read: those of the layers in nanonet/layers, of the losses
in nanonet/losses, of the rules in nanonet/optimizers; the tests hold each pair together. A step is taken, or else
nothing has changed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.training.compiled import codes
from nanonet.training.compiled.exponential import compiled, exponentials
from nanonet.training.compiled.products import relate, weigh, weigh_back

LEAST_SINGLE, LEAST_DOUBLE = (float(np.finfo(kind).tiny) for kind in (np.float32, np.float64))


# ---- activations


@compiled
def activate(kind: int, y: Array) -> None:
    """Replace a by y = f(a); 1 / (1 + exp(-a)), and tanh as 1 - 2 / (1 + exp(2 a))."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    if kind == codes.SIGMOID:
        for k in range(y.size):
            y[k] = -y[k]
        exponentials(y)
        for k in range(y.size):
            y[k] = one / (one + y[k])
    elif kind == codes.TANH:
        for k in range(y.size):
            y[k] += y[k]
        exponentials(y)
        for k in range(y.size):
            y[k] = one - (one + one) / (one + y[k])
    elif kind == codes.RELU:
        for k in range(y.size):
            y[k] = max(y[k], zero)


@compiled
def slope(kind: int, g: Array, y: Array) -> None:
    """Multiply g by f'(a), which needs only y = f(a)."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    if kind == codes.SIGMOID:
        for k in range(y.size):
            g[k] *= y[k] * (one - y[k])
    elif kind == codes.TANH:
        for k in range(y.size):
            g[k] *= (one - y[k]) * (one + y[k])
    elif kind == codes.RELU:
        for k in range(y.size):
            g[k] = g[k] if y[k] > zero else zero


# ---- losses: the value returned, g <- dE/dy


@compiled
def squared_error(y: Array, target: Array, share: Array, g: Array, count: int) -> float:
    """E = Σₙ sₙ 1/2 Σⱼ (yₙⱼ - tₙⱼ)^2, with the share sₙ of each sample."""
    loss, kind = 0.0, y.dtype.type
    for n in range(y.size // count):
        total = kind(0)
        for k in range(n * count, (n + 1) * count):
            difference = y[k] - target[k]
            total += difference * difference
            g[k] = difference * kind(share[n])
        loss += share[n] * total
    return 0.5 * loss


@compiled
def cross_entropy(y: Array, labels: Any, share: Array, g: Array, count: int) -> float:
    """E = Σₙ sₙ (log Σⱼ exp(yₙⱼ - m) - (yₙₖ - m)), with m the largest yₙⱼ, k the label and sₙ the share."""
    loss, kind = 0.0, y.dtype.type
    for n in range(y.size // count):
        first, label = n * count, n * count + labels[n]
        most, total = y[first], kind(0)
        for k in range(first, first + count):
            most = max(most, y[k])
        for k in range(first, first + count):
            g[k] = y[k] - most
        exponentials(g[first : first + count])
        for k in range(first, first + count):
            total += g[k]
        for k in range(first, first + count):
            g[k] *= kind(share[n]) / total
        g[label] -= kind(share[n])
        loss += share[n] * (np.log(total) - (y[label] - most))
    return loss


# ---- passes


@compiled
def forward(value: Array, net: Any, x: Array, rows: int, space: Array, spare: Array) -> int:
    """Compute the outputs of all layers, one after the other in space; return where the last begins."""
    here, at, below = 0, 0, x
    for k in range(len(net)):
        size, count, kind, biased = net[k, 0], net[k, 1], net[k, 2], net[k, 3]
        y = space[here : here + rows * count]
        weigh(below, value[at : at + count * size], y, rows, size, count, spare)
        at += count * size
        if biased:
            bias = value[at : at + count]
            for n in range(rows):
                for j in range(count):
                    y[n * count + j] += bias[j]
            at += count
        activate(kind, y)
        below = y
        here += rows * count
    return here - y.size


@compiled
def backward(
    value: Array, grad: Array, net: Any, x: Array, rows: int, here: int, space: Array, g: Array, other: Array
) -> None:
    """Assign dE/dvalue to grad, from the last layer, whose output begins at here and whose dE/dy is g, down."""
    at = value.size
    for k in range(len(net) - 1, -1, -1):
        size, count, kind, biased = net[k, 0], net[k, 1], net[k, 2], net[k, 3]
        slope(kind, g, space[here : here + rows * count])
        if biased:
            at -= count
            sums = grad[at : at + count]
            for j in range(count):
                sums[j] = g[j]
            for n in range(1, rows):
                for j in range(count):
                    sums[j] += g[n * count + j]
        at -= count * size
        here -= rows * size
        below = x if k == 0 else space[here : here + rows * size]
        relate(g, below, grad[at : at + count * size], rows, size, count)
        if k:
            weigh_back(g, value[at : at + count * size], other, rows, size, count)
            g, other = other, g


# ---- rules


@compiled
def copy(array: Array, into: Array) -> None:
    """Copy an array."""
    for i in range(array.size):
        into[i] = array[i]


@compiled
def copy_back(array: Array, kept: Array) -> None:
    """Copy back what was kept of an array."""
    for i in range(array.size):
        array[i] = kept[i]


@compiled
def flushed(number: Any, least: Any) -> Any:
    """Return a number, and 0 for one that is subnormal, with which a processor computes a hundred times as slowly."""
    return number if not abs(number) < least else number - number


@compiled
def moved(value: Array, grad: Array, first: Array, second: Array, rule: int, numbers: Array, rate: float) -> Any:
    """Update value and its states; return whether all of them are finite, and so is their sum."""
    kind = value.dtype.type
    total, b1, b2, each = kind(0), kind(numbers[codes.B1]), kind(numbers[codes.B2]), kind(rate)
    least = kind(LEAST_SINGLE if value.itemsize == 4 else LEAST_DOUBLE)
    if rule == codes.GRADIENT:
        for i in range(value.size):
            value[i] -= each * grad[i]
            total += abs(value[i])
    elif rule == codes.MOMENTUM:
        for i in range(value.size):
            first[i] = flushed(b1 * first[i] + grad[i], least)
            value[i] -= each * first[i]
            total += abs(value[i]) + abs(first[i])
    elif rule == codes.NESTEROV:
        for i in range(value.size):
            first[i] = flushed(b1 * first[i] + grad[i], least)
            value[i] -= each * (grad[i] + b1 * first[i])
            total += abs(value[i]) + abs(first[i])
    else:
        c1 = (1 - numbers[codes.B1] ** (numbers[codes.STEPS] + 1)) / (1 - numbers[codes.B1])
        c2 = (1 - numbers[codes.B2] ** (numbers[codes.STEPS] + 1)) / (1 - numbers[codes.B2])
        each, epsilon = kind(rate * np.sqrt(c2) / c1), kind(numbers[codes.EPSILON] * np.sqrt(c2))
        for i in range(value.size):
            first[i] = flushed(b1 * first[i] + grad[i], least)
            second[i] = flushed(b2 * second[i] + grad[i] * grad[i], least)
            value[i] -= each * (first[i] / (np.sqrt(second[i]) + epsilon))
            total += abs(value[i]) + abs(first[i]) + second[i]
    return np.isfinite(total)


@compiled
def prepared(value: Array, grad: Array, numbers: Array, decays: int, scale: float, used: Array, decay: Array) -> None:
    """Set used to the gradient, clipped, and with its weight decay."""
    kind, most = value.dtype.type, numbers[codes.CLIP_VALUE]
    for i in range(value.size):
        used[i] = min(max(grad[i] * kind(scale), kind(-most)), kind(most))
    if decays == codes.COUPLED:
        for i in range(value.size):
            used[i] += decay[i] * value[i]


@compiled
def update(
    value: Array, grad: Array, first: Array, second: Array, form: Any, numbers: Array, rate: float, kept: Array
) -> bool:
    """Take the second half of a step, and return True; or leave all as it was, if a number would not be finite.

    Finite numbers whose sum or norm overflows count as some that are not: the readable step knows better.
    """
    kind, n, end = value.dtype.type, value.size, value.size + first.size + second.size
    total, squares = kind(0), kind(0)
    for i in range(n):
        total += abs(grad[i])
    used, scale, decay = grad, 1.0, kept[end + n :]
    if numbers[codes.CLIP_NORM] < np.inf:
        for i in range(n):
            squares += grad[i] * grad[i]
        scale = min(1.0, numbers[codes.CLIP_NORM] / (np.sqrt(float(squares)) + 1e-6))
    if not np.isfinite(total + squares):
        return False
    if scale < 1 or numbers[codes.CLIP_VALUE] < np.inf or form[codes.DECAYS] == codes.COUPLED:
        used = kept[end : end + n]
        prepared(value, grad, numbers, form[codes.DECAYS], scale, used, decay)
    copy(value, kept)
    copy(first, kept[n:])
    copy(second, kept[n + first.size :])
    if form[codes.DECAYS] == codes.DECOUPLED:
        for i in range(n):
            value[i] *= kind(1) - kind(rate) * decay[i]
    if moved(value, used, first, second, form[codes.RULE], numbers, rate):
        return True
    copy_back(value, kept)
    copy_back(first, kept[n:])
    copy_back(second, kept[n + first.size :])
    return False


# ---- steps


@compiled
def passes(
    value: Array,
    grad: Array,
    form: Any,
    net: Any,
    x: Array,
    target: Array,
    labels: Any,
    share: Array,
    space: Array,
    spare: Array,
) -> float:
    """Take the first half of a step, and return the loss of the batch; if that is finite, grad is dE/dvalue."""
    rows, outputs = x.size // net[0, 0], net[-1, 1]
    half = form[codes.BATCH] * form[codes.WIDEST]
    g, other = space[space.size - 2 * half : space.size - half], space[space.size - half :]
    here = forward(value, net, x, rows, space, spare)
    y = space[here : here + rows * outputs]
    if form[codes.LOSS] == codes.SQUARED_ERROR:
        loss = squared_error(y, target, share, g, outputs)
    else:
        loss = cross_entropy(y, labels, share, g, outputs)
    if np.isfinite(loss):
        backward(value, grad, net, x, rows, here, space, g, other)
    return loss


def add_up(numbers: Array, loss: float, divisor: float) -> None:
    """Add to the sums of an epoch, to the last bit as nanonet.training.history.Means does."""
    numbers[codes.LOSSES] += divisor * loss
    numbers[codes.DIVISORS] += divisor


add = compiled(add_up, as_written=True)


def steps(
    value: Any,
    grad: Any,
    first: Any,
    second: Any,
    form: Any,
    numbers: Any,
    x: Any,
    target: Any,
    labels: Any,
    weights: Any,
    rates: Any,
    space: Any,
    kept: Any,
) -> int:
    """Take a step on each batch of x, up to the first that cannot be taken; return how many batches are done with.

    Parameters
    ----------
    value, grad, first, second : array of float
        The vector, its gradient, and the states of the optimizer, of size 0 where it has none.
    form : array of int
        Entries named in nanonet/training/compiled/codes.py, then those of each layer.
    numbers : array of float64
        Entries named there too: settings, and what is known after the call.
    x, target, labels, weights : array
        The samples: target for the squared error, labels for the cross-entropy, weights of size 0 if each counts 1.
    rates : array of float64
        The learning rate of each step.
    space, kept : array of float
        Room for the outputs of a batch and twice its widest gradient, and for the numbers before a step, the gradient
        used and the weight decay of each entry.
    """
    net = form[codes.ENTRIES :].reshape(-1, 4)
    size, count, batch = net[0, 0], net[-1, 1], form[codes.BATCH]
    share, samples, taken, done = np.empty(batch, np.float64), x.size // size, 0, 0
    for start in range(0, samples, batch):
        stop = min(start + batch, samples)
        divisor, loss = float(stop - start), numbers[codes.LAST_LOSS]
        share[:] = 1 / divisor
        if weights.size:
            divisor = weights[start:stop].sum()
            for n in range(start, stop):
                share[n - start] = weights[n] / divisor
        if divisor > 0:
            if form[codes.HALF] != codes.UPDATE:
                xs, targets = x[start * size : stop * size], target[start * count : stop * count]
                loss = passes(value, grad, form, net, xs, targets, labels[start:stop], share, space, kept)
                if not np.isfinite(loss):
                    return done
            if form[codes.HALF] != codes.PASSES:
                if not update(value, grad, first, second, form, numbers, rates[taken], kept):
                    return done
                numbers[codes.STEPS] += 1
            numbers[codes.LAST_BATCH], numbers[codes.LAST_LOSS], numbers[codes.LAST_RATE] = done + 1, loss, rates[taken]
            add(numbers, loss, divisor)
            taken += 1
        done += 1
    return done


take_steps = compiled(steps, cache=True)
