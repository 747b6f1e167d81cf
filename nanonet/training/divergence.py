"""Divergence: where the first number of a step that is not finite arose, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nanonet.core.arrays import Arrays, is_finite, parts_of
from nanonet.core.chain import Chain
from nanonet.core.errors import ContractError, NonFiniteError
from nanonet.core.objects import called
from nanonet.core.tree import Tree


def divergence(
    found: str, x: Arrays, number: int, rate: float, retrace: Callable[[], object] | None = None
) -> NonFiniteError:
    """Return the error for a step that diverged.

    Parameters
    ----------
    found : str
        What is known already.
    x : array
        The batch.
    number : int
        That of the step.
    rate : float
        Its learning rate.
    retrace : callable, optional
        Runs both passes again under the contract, on the model as it was before the step; None if only the update
        diverged.
    """
    if not all(part.dtype.kind != "f" or is_finite(part) for part in parts_of(x)):
        found = "x holds numbers that are not finite"
    elif retrace is not None:
        try:
            with np.errstate(all="ignore"):
                retrace()
        except (NonFiniteError, ContractError) as first:
            found = str(first)
    advice = f"try a learning_rate below {rate:g}, or check the data for extreme values"
    if number == 1 and retrace is not None:
        advice = "no step was taken yet: check that layer's computation and its initial parameters"
    return NonFiniteError(
        f"training stopped at step {number}: {found}. The model is as it was before that step; {advice}"
    )


def of_loss(loss: object, value: float, model: Chain) -> NonFiniteError:
    """Return the error for a loss that is not finite."""
    last = len(model) - 1
    source = f", for a prediction from layer {last}, {called(model[last])}" if last >= 0 else ""
    return NonFiniteError(f"{loss}: the loss is the first number that is not finite, {value}{source}")


def of_gradient(tree: Tree) -> NonFiniteError:
    """Return the error for gradients of which one is not finite."""
    wrong = (name for name, one in tree.parameters.items() if one.trainable and not is_finite(one.grad))
    first = next(wrong, "a frozen parameter, which is 0,")
    return NonFiniteError(f"the gradient of {first} is the first number that is not finite")


def of_update(tree: Tree) -> NonFiniteError:
    """Return the error for an update after which a parameter or the optimizer's state is not finite."""
    overflown = (name for name, parameter in tree.parameters.items() if not is_finite(parameter.value))
    first = next(overflown, "the optimizer's state")
    return NonFiniteError(f"the update of {first} is the first that is not finite")
