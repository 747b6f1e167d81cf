"""What a fit tries before and in its first step: the model on one sample, the loss, and the optimizer's rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from nanonet.arrays import Array, read_only
from nanonet.building import Snapshot, Tree
from nanonet.errors import ContractError
from nanonet.layer import Layer, patched
from nanonet.losses import Loss
from nanonet.optimizers import Optimizer, Step
from nanonet.strict import contract, guarded, locked

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
def optimizer_contract(optimizer: Optimizer, dtype: np.dtype[Any]) -> Iterator[None]:
    """Check that an optimizer changes value and state in place, returns nothing, and leaves the gradient alone."""
    update, name = optimizer.update, repr(optimizer)
    _probe(optimizer, name, dtype)

    def checked(value: Array, grad: Array, step: Step, *state: Array) -> None:
        with guarded(name, "update"):
            update(value, read_only(grad), step, *state)

    with patched(optimizer, {"update": checked}):
        yield


def _probe(optimizer: Optimizer, name: str, dtype: np.dtype[Any]) -> None:
    """Let the rule make a few steps on numbers of its own, to see that it changes them and its state in place.

    The same is done in two pieces: the vector comes in blocks, and a rule must not notice.
    """
    whole, state = _rehearse(optimizer, name, dtype, [slice(None)])
    if not whole.any():
        raise ContractError(
            f"{name}: update leaves value as it was; change it in place: value -= ..., or value[:] = ..."
        )
    for key, start in optimizer.states().items():
        if (state[key] == dtype.type(start)).all():
            raise ContractError(
                f"{name}: update leaves its state {key} as it was; change it in place: {key} *= ..., or {key}[:] = ..."
            )
    pieces, _ = _rehearse(optimizer, name, dtype, [slice(0, 2), slice(2, None)])
    if not np.allclose(whole, pieces, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ContractError(
            f"{name}: update looks beyond single entries: the vector comes in blocks, and in two pieces it moves "
            "otherwise than in one; for the norm of all gradients there is clip_norm"
        )


def _rehearse(
    optimizer: Optimizer, name: str, dtype: np.dtype[Any], pieces: list[slice]
) -> tuple[Array, dict[str, Array]]:
    """Return four numbers, and the states that go with them, after a few steps in pieces."""
    value = np.zeros(4, dtype)
    state = {key: np.full(4, float(start), dtype) for key, start in optimizer.states().items()}
    for number in range(1, PROBES + 1):
        grad = np.array([1.0, -2.0, 0.5, 4.0], dtype) / number
        for piece in pieces:
            _rehearse_update(optimizer, name, value[piece], grad[piece], number, [a[piece] for a in state.values()])
    return value, state


def _rehearse_update(
    optimizer: Optimizer, name: str, value: Array, grad: Array, number: int, state: list[Array]
) -> None:
    try:
        with np.errstate(all="ignore"):
            returned: object = optimizer.update(value, grad, Step(number, 1.0), *state)
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        names = ", ".join(optimizer.states()) or "none"
        raise ContractError(f"{name}: update must take the state vectors that states names, {names}; {error}") from None
    if returned is not None:
        raise ContractError(f"{name}: update must change value in place and return nothing; write value[:] = ...")
