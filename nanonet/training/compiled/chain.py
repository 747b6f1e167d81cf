"""Which chains take whole compiled steps, and what the kernels are told about them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nanonet.core.chain import Chain
from nanonet.core.layer import Layer
from nanonet.core.objects import is_own
from nanonet.core.parameter import Parameter
from nanonet.core.tree import Tree
from nanonet.layers.activations import ReLU, Sigmoid, Tanh
from nanonet.layers.linear import Linear
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.loss import Loss
from nanonet.losses.regression import SquaredError
from nanonet.optimizers.adam import Adam, AdamW
from nanonet.optimizers.optimizer import Optimizer
from nanonet.optimizers.sgd import SGD
from nanonet.training.compiled import codes

ACTIVATIONS: dict[type[Layer], int] = {Sigmoid: codes.SIGMOID, Tanh: codes.TANH, ReLU: codes.RELU}
LOSS_KINDS: dict[type[Loss], int] = {SquaredError: codes.SQUARED_ERROR, CrossEntropy: codes.CROSS_ENTROPY}

MOST_UNITS = 256  # units of a layer; for larger products a call of the compiled step saves next to nothing


class Described(NamedTuple):
    """What the kernels are told.

    Attributes
    ----------
    net : array of int
        For each Linear its inputs, outputs, activation, and whether it has a bias.
    loss, rule, decays : int
    numbers : tuple of float
        b1 or the momentum, b2, epsilon, clip_norm and clip_value, infinity where there is none.
    """

    net: npt.NDArray[np.int64]
    loss: int
    rule: int
    decays: int
    numbers: tuple[float, ...]


def described(model: Chain, loss: Loss, optimizer: Optimizer) -> Described | str:
    """Return what the kernels are told of a training, or why it is none of theirs."""
    if importlib.util.find_spec("scipy") is None:
        return "SciPy, by which numba calls BLAS, is not installed"
    net = _net(model)
    if isinstance(net, str):
        return net
    if type(loss) not in LOSS_KINDS:
        return f"the loss is {loss}"
    if not is_plain(loss):
        return "the loss has settings"
    rule = _rule(optimizer)
    if rule is None:
        return f"the optimizer is {type(optimizer).__name__}"
    unknown = [name for name in ("rates", "maximize", "amsgrad", "dampening") if getattr(optimizer, name, None)]
    if unknown:
        return f"the optimizer has {' and '.join(unknown)}"
    decays = 0 if not optimizer.weight_decay else codes.DECOUPLED if optimizer.decay_is_decoupled else codes.COUPLED
    return Described(net, LOSS_KINDS[type(loss)], rule, decays, _numbers(optimizer))


def is_plain(loss: Loss) -> bool:
    """Return whether a loss has no settings that the kernels do not know."""
    if type(loss) is CrossEntropy:
        defaults = loss.axis in (-1, 1) and loss.ignore_index is None and not loss.label_smoothing
        return defaults and loss.class_weight is None and loss.reduction == "mean"
    return loss.reduction == "mean"


def settings_of(optimizer: Optimizer) -> Any:
    """Return a function of the optimizer, for its settings: a description holds while they are the same."""
    own = (
        ()
        if _rule(optimizer) is None
        else ("betas", "epsilon", "amsgrad")
        if isinstance(optimizer, Adam)
        else ("momentum", "nesterov", "dampening")
    )
    shared = ("weight_decay", "decay_is_decoupled", "decays", "rates", "clip_norm", "clip_value", "maximize")
    return attrgetter(*shared, *own)


def _net(model: Chain) -> npt.NDArray[np.int64] | str:
    """Return the description of the layers, or what is not as expected."""
    if not is_own(type(model)):
        return f"the model is a class of its own, {type(model).__name__}"
    rows: list[list[int]] = []
    for i, layer in enumerate(model.layers):
        if type(layer) is Linear:
            rows.append([layer.in_features, layer.out_features, codes.NONE, int(layer.bias is not None)])
        elif type(layer) in ACTIVATIONS and rows and rows[-1][2] == codes.NONE:
            rows[-1][2] = ACTIVATIONS[type(layer)]
        else:
            return f"layer {i} is {layer}, where Linear, or Sigmoid, Tanh or ReLU after it, was expected"
    if not rows:
        return "it has no layers"
    wide = max(max(row[:2]) for row in rows)
    if wide > MOST_UNITS:
        return f"a layer of {wide} units is wider than {MOST_UNITS}"
    return _placed(model) or np.array(rows, np.int64)


def _placed(model: Chain) -> str:
    """Return which parameter does not lie in the vector as the kernels expect; nothing if all do."""
    tree, at = Tree(model), model.vector.offset
    linear: Iterable[Any] = (layer for layer in model.layers if isinstance(layer, Linear))
    expected = [p for layer in linear for p in (layer.weight, layer.bias) if p is not None]
    if tree.buffers or tree.randoms or len(tree.parameters) != len(expected):
        return "a layer has been given further parameters, buffers or generators"
    for name, parameter in tree.parameters.items():
        if type(parameter) is not Parameter or parameter is not expected.pop(0) or parameter.offset != at:
            return f"{name} is not where it was expected"
        if not parameter.trainable:
            return f"{name} is frozen"
        at += parameter.size
    return ""


def _rule(optimizer: Optimizer) -> int | None:
    if type(optimizer) is SGD:
        return codes.NESTEROV if optimizer.nesterov else codes.MOMENTUM if optimizer.momentum else codes.GRADIENT
    return codes.ADAM if type(optimizer) in (Adam, AdamW) else None


def _numbers(optimizer: Any) -> tuple[float, ...]:
    own = (*optimizer.betas, optimizer.epsilon) if isinstance(optimizer, Adam) else (optimizer.momentum, 0.0, 0.0)
    return (*own, *(np.inf if limit is None else limit for limit in (optimizer.clip_norm, optimizer.clip_value)))
