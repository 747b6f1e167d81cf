"""What a fit tries before and in its first step: the model on one sample, the loss, and the optimizer's rule."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from nanonet.checking.contract import checked, guarded, locked
from nanonet.checking.view import stand_in
from nanonet.core.arrays import Array, read_only
from nanonet.core.errors import ContractError
from nanonet.core.layer import Layer
from nanonet.core.loss import Loss
from nanonet.core.optimizer import Optimizer, Step

PATIENT = 400  # steps, where a rule has not touched all of it by then
PROBES = 20  # steps in which an optimizer has to touch its state once


def preflight(model: Layer, x: Array) -> Array:
    """Return the prediction for a few samples, made under the contract, before a training changes anything."""
    with np.errstate(all="ignore"):
        return checked(model, masks=True).forward(x)[0]


def checked_loss(loss: Loss) -> Loss:
    """Return a twin of a loss that is checked to write to nothing that it is given."""
    name = repr(loss)

    def forward(prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        with guarded(name, "forward"):
            value, cache = loss.forward(read_only(prediction), read_only(target), weight)
        return value, locked(cache)

    def backward(cache: Any) -> Array:
        with guarded(name, "backward"):
            return loss.backward(cache)

    return stand_in(loss, {"forward": forward, "backward": backward})


def checked_optimizer(optimizer: Optimizer, starts: Mapping[str, float], dtype: np.dtype[Any]) -> Optimizer:
    """Return a twin of an optimizer, checked to change value and state in place and to leave the gradient alone."""
    name = repr(optimizer)
    _probe(optimizer, name, starts, dtype)

    @functools.wraps(optimizer.update)
    def update(value: Array, grad: Array, step: Step, *state: Array) -> None:
        with guarded(name, "update"):
            optimizer.update(value, read_only(grad), step, *state)

    return stand_in(optimizer, {"update": update, "scale": optimizer.scale, "rate": optimizer.rate})


def _probe(optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any]) -> None:
    """Let a copy of the rule make some steps on numbers of its own, to see that it changes them and its state.

    The same is done in two pieces: the vector comes in blocks, and a rule must not notice.
    """
    steps = PROBES
    whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any() or any((state[key] == dtype.type(start)).all() for key, start in starts.items()):
        steps = PATIENT  # a rule may wait, or change a state now and then only
        whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any():
        raise ContractError(
            f"{name}: update leaves value as it was; change it in place: value -= ..., or value[:] = ..."
        )
    for key, start in starts.items():
        if (state[key] == dtype.type(start)).all():
            raise ContractError(
                f"{name}: update leaves its state {key} as it was; change it in place: {key} *= ..., or {key}[:] = ..."
            )
    pieces, _ = _rehearse(optimizer, name, starts, dtype, [slice(0, 2), slice(2, None)], steps)
    if not np.allclose(whole, pieces, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ContractError(
            f"{name}: update looks beyond single entries: the vector comes in blocks, and in two pieces it moves "
            "otherwise than in one; for the norm of all gradients there is clip_norm"
        )


def _rehearse(
    optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any], pieces: list[slice], steps: int
) -> tuple[Array, dict[str, Array]]:
    """Return four numbers, and the states that go with them, after some steps in pieces by a copy of the rule."""
    rule = copy.deepcopy(optimizer)
    value = np.zeros(4, dtype)
    state = {key: np.full(4, float(start), dtype) for key, start in starts.items()}
    for number in range(1, steps + 1):
        grad = np.array([1.0, -2.0, 0.5, 4.0], dtype) / number
        for piece in pieces:
            arrays = {key: array[piece] for key, array in state.items()}
            _rehearse_update(rule, name, value[piece], grad[piece], number, arrays)
    return value, state


def _rehearse_update(
    optimizer: Optimizer, name: str, value: Array, grad: Array, number: int, state: Mapping[str, Array]
) -> None:
    try:
        with np.errstate(all="ignore"):
            returned: object = optimizer.update(value, grad, Step(number, 1.0), *state.values())
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        names = ", ".join(state) or "none"
        raise ContractError(f"{name}: update must take the state vectors that states names, {names}; {error}") from None
    if returned is not None:
        raise ContractError(f"{name}: update must change value in place and return nothing; write value[:] = ...")
