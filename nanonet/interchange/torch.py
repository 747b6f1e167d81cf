"""torch: whole chains to PyTorch and from it, layer by layer; weights alone go by file, see nanonet.read_arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nanonet.activations import ELU, GELU, SELU, Identity, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Softsign, Tanh
from nanonet.layer import Layer
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.linear import Linear
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.recorded import called
from nanonet.sequential import Sequential

PLAIN: dict[str, type[Layer]] = {
    cls.__name__: cls for cls in (Sigmoid, Tanh, ReLU, Identity, SELU, SiLU, Softplus, Softsign)
}
"""Layers without settings, which have one name here and there."""

THERE: dict[type[Layer], Callable[[Any, Any], Any]] = {
    Linear: lambda nn, layer: nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None),
    LeakyReLU: lambda nn, layer: nn.LeakyReLU(layer.slope),
    ELU: lambda nn, layer: nn.ELU(layer.alpha),
    GELU: lambda nn, layer: nn.GELU(approximate="tanh"),
    Softmax: lambda nn, layer: nn.Softmax(dim=-1),
    LogSoftmax: lambda nn, layer: nn.LogSoftmax(dim=-1),
    Dropout: lambda nn, layer: nn.Dropout(layer.rate),
    Flatten: lambda nn, layer: nn.Flatten(),
}
"""A PyTorch module for a layer with settings, its numbers aside."""

HERE: dict[str, Callable[[Any], Layer]] = {
    "Linear": lambda module: Linear(
        module.in_features, module.out_features, **({} if module.bias is not None else {"bias": False})
    ),
    "LeakyReLU": lambda module: LeakyReLU(module.negative_slope),
    "ELU": lambda module: ELU(module.alpha),
    "GELU": lambda module: GELU(),
    "Softmax": lambda module: Softmax(),
    "LogSoftmax": lambda module: LogSoftmax(),
    "Dropout": lambda module: Dropout(module.p),
    "Flatten": lambda module: Flatten(),
}

SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "GELU": ({"approximate": "tanh"}, "NumPy has no erf; the two differ by less than 0.0005"),
    "Softplus": ({"beta": 1.0}, "nanonet has no other"),
    "Softmax": ({"dim": -1}, "for rows dim=1 is the same"),
    "LogSoftmax": ({"dim": -1}, "for rows dim=1 is the same"),
    "Flatten": ({"start_dim": 1, "end_dim": -1}, "nanonet has no other"),
}
"""What a module must be set to, and why."""


def to_torch(model: Sequential) -> Any:
    """Return a torch.nn.Sequential that computes the same, with copies of the numbers.

    It is in evaluation mode, in which Dropout does nothing, as in ``model(x)``; ``.train()`` and ``.eval()`` switch.
    What is frozen has no ``requires_grad``.

    Raises
    ------
    TypeError
        If PyTorch has no counterpart of a layer; it is named.
    ImportError
        If PyTorch is not installed.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Tanh
    >>> model = Sequential(Linear(2, 3), Tanh(), rng=0)
    >>> to_torch(model)  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """
    torch = _torch("to_torch")
    if not isinstance(model, Sequential):
        raise TypeError(f"to_torch: expected a Sequential, got {called(model)}")
    module = _there(torch.nn, model, "")
    module = module.double() if model.dtype == np.float64 else module.float()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in model.state_dict().items()})
    ours = model.parameters()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(ours[name].trainable)
    return module.eval()


def from_torch(module: Any) -> Sequential:
    """Return a Sequential that computes what a torch.nn.Sequential computes, with copies of its numbers.

    It has the module's dtype, and what has no ``requires_grad`` is frozen. ``model(x)`` is ``module.eval()(x)``, in
    which Dropout does nothing.

    Raises
    ------
    TypeError
        If nanonet has no counterpart of a module or of one of its settings; it is named.
    ValueError
        If the numbers are neither float32 nor float64, or two modules share them.
    ImportError
        If PyTorch is not installed.
    """
    torch = _torch("from_torch")
    if type(module) is not torch.nn.Sequential:
        raise TypeError(f"from_torch: expected a torch.nn.Sequential, got {type(module).__name__}")
    for name, part in module.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            raise TypeError(
                f"from_torch: module {name}, {part}, has hooks, of which nanonet knows nothing; remove them"
            )
    there = dict(_parameters(module))
    chain = Sequential(*(_here(torch.nn, part, str(i)) for i, part in enumerate(module)), dtype=_dtype(there))
    ours = chain.parameters()
    values = [
        parameter.detach().cpu().numpy() for parameter in there.values()
    ]  # theirs may have other names: "fc.bias"
    chain.load_state_dict(dict(zip(ours, values, strict=True)))
    for parameter, other in zip(ours.values(), there.values(), strict=True):
        parameter.trainable = other.requires_grad
    return chain


def _torch(owner: str) -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError(f"{owner} needs PyTorch: pip install 'nanonet[torch]'") from None
    return torch


def _there(nn: Any, layer: Layer, path: str) -> Any:
    if isinstance(layer, Sequential) and type(layer).forward is Sequential.forward:
        inner = (_there(nn, part, f"{path}.{i}" if path else str(i)) for i, part in enumerate(layer))
        return nn.Sequential(*inner)
    name = type(layer).__name__
    if PLAIN.get(name) is type(layer):
        return getattr(nn, name)()
    if type(layer) in THERE:
        return THERE[type(layer)](nn, layer)
    raise TypeError(f"to_torch: layer {path}, {called(layer)}: torch.nn has no such module")


def _here(nn: Any, module: Any, path: str) -> Layer:
    name = type(module).__name__
    known = type(module) is getattr(nn, name, None)
    if known and name == "Sequential":
        return Sequential(*(_here(nn, part, f"{path}.{i}") for i, part in enumerate(module)))
    if not known or name not in {*PLAIN, *HERE}:
        names = ", ".join(sorted([*PLAIN, *HERE, "Sequential"]))
        raise TypeError(f"from_torch: module {path}, {module}: nanonet has no such layer; it has {names}")
    settings, why = SETTINGS.get(name, ({}, ""))
    for setting, wanted in settings.items():
        if getattr(module, setting) != wanted:
            got = getattr(module, setting)
            raise TypeError(f"from_torch: module {path}, {name}: expected {setting}={wanted!r}, got {got!r}; {why}")
    try:
        return HERE[name](module) if name in HERE else PLAIN[name]()
    except ValueError as error:
        raise ValueError(f"from_torch: module {path}: {error}") from None


def _parameters(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters by name; PyTorch itself would leave one out that stands in two places."""
    seen: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if seen.setdefault(id(parameter), name) != name:
            raise ValueError(f"from_torch: {seen[id(parameter)]} and {name} are one parameter; nanonet shares none")
        yield name, parameter


def _dtype(parameters: dict[str, Any]) -> Any:
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters.values()})
    if len(dtypes) > 1 or not set(dtypes) <= {"float32", "float64"}:
        raise ValueError(
            f"from_torch: expected parameters of float32, or of float64, got {' and '.join(dtypes)}; try module.float()"
        )
    return np.dtype(dtypes[0] if dtypes else "float32")
