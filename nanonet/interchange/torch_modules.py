"""torch_modules: the modules of torch.nn with equivalent layers, and what their options mean for these."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nanonet.core.layer import Layer
from nanonet.layers import activations as act
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.linear import Linear
from nanonet.layers.softmax import LogSoftmax, Softmax

TAKEN = "taken"
"""The option is passed to the layer."""

HARMLESS = "harmless"
"""The option does not affect the result, or is evident from the parameters."""


class Only(NamedTuple):
    """The only value of an option that the layer supports, and why."""

    value: Any
    why: str


class Module(NamedTuple):
    """How to convert a module to a layer, and the meaning of all its options, by constructor argument."""

    layer: Callable[[Any], Layer]
    options: Mapping[str, str | Only]


INPLACE = {"inplace": HARMLESS}
IGNORED = {"args": HARMLESS, "kwargs": HARMLESS}  # by PyTorch too
LAST_AXIS = {"dim": Only(-1, "for rows dim=1 is the same")}
ENOUGH = 40.0  # log(1 + exp(a)) equals a from here on, in float64 too


def _linear(module: Any) -> Linear:
    out_features, in_features = module.weight.shape
    return Linear(in_features, out_features, **({"bias": False} if module.bias is None else {}))


def _softplus(module: Any) -> act.Softplus:
    if module.threshold < ENOUGH:
        return act.Softplus(module.beta, module.threshold)
    return act.Softplus() if module.beta == 1 else act.Softplus(module.beta)


def _gelu(module: Any) -> GELU:
    if module.approximate not in ("none", "tanh"):  # set after construction; PyTorch itself fails with it
        raise ValueError(f"GELU: expected approximate='none' or 'tanh', got {module.approximate!r}")
    return GELU(approximate=True) if module.approximate == "tanh" else GELU()


MODULES: dict[str, Module] = {
    "Linear": Module(
        _linear,
        {**{"in_features": TAKEN, "out_features": TAKEN, "bias": TAKEN}, **{"device": HARMLESS, "dtype": HARMLESS}},
    ),
    "Sigmoid": Module(lambda module: act.Sigmoid(), IGNORED),
    "Tanh": Module(lambda module: act.Tanh(), IGNORED),
    "Identity": Module(lambda module: act.Identity(), IGNORED),
    "Softsign": Module(lambda module: act.Softsign(), IGNORED),
    "ReLU": Module(lambda module: act.ReLU(), INPLACE),
    "ReLU6": Module(lambda module: act.Clip(module.min_val, module.max_val), INPLACE),
    "Hardtanh": Module(
        lambda module: act.Clip(module.min_val, module.max_val),
        {
            **{"min_val": TAKEN, "max_val": TAKEN, **INPLACE},
            **{"min_value": HARMLESS, "max_value": HARMLESS},  # older names of the two, stored under the new ones
        },
    ),
    "LeakyReLU": Module(lambda module: act.LeakyReLU(module.negative_slope), {"negative_slope": TAKEN, **INPLACE}),
    "ELU": Module(lambda module: act.ELU(module.alpha), {"alpha": TAKEN, **INPLACE}),
    "SELU": Module(lambda module: act.SELU(), INPLACE),
    "SiLU": Module(lambda module: act.SiLU(), INPLACE),
    "GELU": Module(_gelu, {"approximate": TAKEN}),
    "Softplus": Module(_softplus, {"beta": TAKEN, "threshold": TAKEN}),
    "Softmax": Module(lambda module: Softmax(), LAST_AXIS),
    "LogSoftmax": Module(lambda module: LogSoftmax(), LAST_AXIS),
    "Dropout": Module(lambda module: Dropout(module.p), {"p": TAKEN, **INPLACE}),
    "Flatten": Module(
        lambda module: Flatten(),
        {"start_dim": Only(1, "nanonet supports no other"), "end_dim": Only(-1, "nanonet supports no other")},
    ),
}
"""By class name in torch.nn. A test compares the options with PyTorch's constructors."""

LAYERS: dict[type[Layer], Callable[[Any, Any], Any]] = {
    Linear: lambda nn, layer: nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None),
    act.Sigmoid: lambda nn, layer: nn.Sigmoid(),
    act.Tanh: lambda nn, layer: nn.Tanh(),
    act.Identity: lambda nn, layer: nn.Identity(),
    act.Softsign: lambda nn, layer: nn.Softsign(),
    act.ReLU: lambda nn, layer: nn.ReLU(),
    act.Clip: lambda nn, layer: nn.Hardtanh(layer.low, layer.high),
    act.LeakyReLU: lambda nn, layer: nn.LeakyReLU(layer.slope),
    act.ELU: lambda nn, layer: nn.ELU(layer.alpha),
    act.SELU: lambda nn, layer: nn.SELU(),
    act.SiLU: lambda nn, layer: nn.SiLU(),
    GELU: lambda nn, layer: nn.GELU("tanh" if layer.approximate else "none"),
    act.Softplus: lambda nn, layer: nn.Softplus(layer.beta, min(layer.threshold, ENOUGH)),
    Softmax: lambda nn, layer: nn.Softmax(dim=-1),
    LogSoftmax: lambda nn, layer: nn.LogSoftmax(dim=-1),
    Dropout: lambda nn, layer: nn.Dropout(layer.rate),
    Flatten: lambda nn, layer: nn.Flatten(),
}
"""The module for each layer, without parameters."""


def unlike(module: Any, name: str) -> str | None:
    """Return an error text for an option of a module that its layer does not support; None if there is none.

    An option that is not in the table, from a newer PyTorch, must have its default value.
    """
    options = MODULES[name].options
    for option, parameter in list(inspect.signature(type(module).__init__).parameters.items())[1:]:
        meaning = options.get(option, Only(parameter.default, "nanonet does not know this option"))
        if isinstance(meaning, Only):
            got = getattr(module, option, "no such attribute")
            if got != meaning.value:
                return f"expected {option}={meaning.value!r}, got {got!r}; {meaning.why}"
    return None
