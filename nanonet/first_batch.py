"""What a fit tries before and in its first step: the model on one sample, the loss, and the optimizer's rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nanonet.arrays import Array, read_only
from nanonet.building import Snapshot, Tree
from nanonet.errors import ContractError
from nanonet.layer import Layer
from nanonet.losses import Loss
from nanonet.optimizers import Optimizer, Step
from nanonet.strict import contract, guarded, locked, patched

PROBES = 20  # steps in which an optimizer has to touch its state once


def preflight(model: Layer, x: Array) -> Array:
    """Return the prediction for a few samples, made under the contract, before a training changes anything."""
    snapshot = Snapshot(Tree(model))
    try:
        with contract(model), np.errstate(all="ignore"):
            return model.forward(x)[0]
    finally:
        snapshot.restore()


@contextmanager
def loss_contract(loss: Loss) -> Iterator[None]:
    """Check that a loss writes to nothing that it is given."""
    forward, backward, name = loss.forward, loss.backward, repr(loss)

    def checked_forward(prediction: Array, target: Array, weight: Array | None = None) -> tuple[float, Any]:
        with guarded(name, "forward"):
            value, cache = forward(read_only(prediction), read_only(target), weight)
        return value, locked(cache)

    def checked_backward(cache: Any) -> Array:
        with guarded(name, "backward"):
            return backward(cache)

    with patched(loss, {"forward": checked_forward, "backward": checked_backward}):
        yield


@contextmanager
def optimizer_contract(optimizer: Optimizer) -> Iterator[None]:
    """Check that an optimizer changes value and state in place, returns nothing, and leaves the gradient alone."""
    update, name = optimizer.update, repr(optimizer)
    _probe(optimizer, name)

    def checked(value: Array, grad: Array, step: Step, *state: Array) -> None:
        with guarded(name, "update"):
            update(value, read_only(grad), step, *state)

    with patched(optimizer, {"update": checked}):
        yield


def _probe(optimizer: Optimizer, name: str) -> None:
    """Let the rule make a few steps on three numbers of its own, to see that it changes them and its state in place."""
    value = np.zeros(3)
    state = {key: np.full(3, start) for key, start in optimizer.states().items()}
    kept = {key: array.copy() for key, array in state.items()}
    try:
        with np.errstate(all="ignore"):
            for number in range(1, PROBES + 1):
                grad = np.array([1.0, -2.0, 0.5]) / number
                returned: object = optimizer.update(value, grad, Step(number, 1.0), *state.values())
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        names = ", ".join(state) or "none"
        raise ContractError(f"{name}: update must take the state vectors that states names, {names}; {error}") from None
    if returned is not None:
        raise ContractError(f"{name}: update must change value in place and return nothing; write value[:] = ...")
    if not value.any():
        raise ContractError(
            f"{name}: update leaves value as it was; change it in place: value -= ..., or value[:] = ..."
        )
    for key, array in state.items():
        if np.array_equal(array, kept[key]):
            raise ContractError(
                f"{name}: update leaves its state {key} as it was; change it in place: {key} *= ..., or {key}[:] = ..."
            )
