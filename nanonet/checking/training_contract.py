"""Checks before and in the first step of a fit: the model on a few samples, the loss, and the optimizer's rule."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from nanonet.checking.contract import checked, guarded, locked
from nanonet.checking.view import twin_of
from nanonet.core.arrays import Array, read_only
from nanonet.core.errors import ContractError
from nanonet.core.layer import Layer
from nanonet.core.loss import Loss
from nanonet.core.optimizer import Optimizer, Step

PATIENT = 400  # number of steps if it has not done so by then
PROBES = 20  # number of steps within which an optimizer must change its state


def preflight(model: Layer, x: Array) -> Array:
    """Return the prediction for a few samples, checked against the contract, before training changes anything."""
    with np.errstate(all="ignore"):
        return checked(model, masks=True).forward(x)[0]


def checked_loss(loss: Loss) -> Loss:
    """Return a twin of a loss that checks that it does not write to its arguments."""
    name = repr(loss)

    def forward(prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        with guarded(name, "forward"):
            value, cache = loss.forward(read_only(prediction), read_only(target), weight)
        return value, locked(cache)

    def backward(cache: Any) -> Array:
        with guarded(name, "backward"):
            return loss.backward(cache)

    return twin_of(loss, {"forward": forward, "backward": backward})


def checked_optimizer(optimizer: Optimizer, starts: Mapping[str, float], dtype: np.dtype[Any]) -> Optimizer:
    """Return a twin of an optimizer that checks that value and state change in place and the gradient does not."""
    name = repr(optimizer)
    _probe(optimizer, name, starts, dtype)

    @functools.wraps(optimizer.update)
    def update(value: Array, grad: Array, step: Step, *state: Array) -> None:
        with guarded(name, "update"):
            optimizer.update(value, read_only(grad), step, *state)

    return twin_of(optimizer, {"update": update, "scale": optimizer.scale, "rate": optimizer.rate})


def _probe(optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any]) -> None:
    """Check on a few test steps of a copy of the rule that it changes value and state in place.

    This is repeated in two pieces: the vector is passed in blocks, which must not change the result.
    """
    steps = PROBES
    whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any() or any((state[key] == dtype.type(start)).all() for key, start in starts.items()):
        steps = PATIENT  # a rule may change value or a state only occasionally
        whole, state = _rehearse(optimizer, name, starts, dtype, [slice(None)], steps)
    if not whole.any():
        raise ContractError(
            f"{name}: update leaves value unchanged; change it in place: value -= ..., or value[:] = ..."
        )
    for key, start in starts.items():
        if (state[key] == dtype.type(start)).all():
            raise ContractError(
                f"{name}: update leaves its state {key} unchanged; change it in place: {key} *= ..., or {key}[:] = ..."
            )
    pieces, _ = _rehearse(optimizer, name, starts, dtype, [slice(0, 2), slice(2, None)], steps)
    if not np.allclose(whole, pieces, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ContractError(
            f"{name}: update is not elementwise: the vector is passed in blocks, and the result for two blocks differs "
            "from that for one; for the norm of all gradients use clip_norm"
        )


def _rehearse(
    optimizer: Optimizer, name: str, starts: Mapping[str, float], dtype: np.dtype[Any], pieces: list[slice], steps: int
) -> tuple[Array, dict[str, Array]]:
    """Return four test values and their states after some steps of a copy of the rule, each in the given pieces."""
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
