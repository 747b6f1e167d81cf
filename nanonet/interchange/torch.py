"""torch: conversion of chains to and from PyTorch, layer by layer; for weights only, see nanonet.read_arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nanonet.core.chain import Chain
from nanonet.core.checks import optional
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.interchange.overridden import replaced
from nanonet.interchange.torch_modules import LAYERS, MODULES, unlike
from nanonet.models.sequential import Sequential

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where PyTorch stores hooks."""

COMPILED = "_compiled_call_impl"  # set on a compiled module, which computes the same


def to_torch(model: Chain) -> Any:
    """Convert a model to an equivalent torch.nn.Sequential, copying the parameters.

    It is in evaluation mode, in which Dropout is inactive, as in ``model(x)``; ``.train()`` and ``.eval()`` switch.
    Frozen parameters have ``requires_grad=False``.

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
    torch = optional("to_torch", "PyTorch", "torch", "torch")
    if not isinstance(model, Sequential):
        raise TypeError(f"to_torch: expected a Sequential, got {called(model)}")
    module = _to_module(torch.nn, model, "")
    module = module.double() if model.dtype == np.float64 else module.float()
    module.load_state_dict({name: torch.from_numpy(array) for name, array in model.state_dict().items()})
    ours = model.parameters()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(ours[name].trainable)
    return module.eval()


def from_torch(module: Any) -> Sequential:
    """Convert a torch.nn.Sequential to an equivalent Sequential, copying the parameters.

    It has the module's dtype, and parameters with ``requires_grad=False`` are frozen. ``model(x)`` equals
    ``module.eval()(x)``, in which Dropout is inactive.

    Raises
    ------
    TypeError
        If nanonet has no counterpart of a module or of one of its settings, or if more than its class determines what
        a module computes: hooks, an overridden ``forward``, additional registered members. It is named.
    ValueError
        If the parameters are neither float32 nor float64, or two modules share one.
    ImportError
        If PyTorch is not installed.
    """
    torch = optional("from_torch", "PyTorch", "torch", "torch")
    if type(module) is not torch.nn.Sequential:
        raise TypeError(f"from_torch: expected a torch.nn.Sequential, got {type(module).__name__}")
    _check_global_hooks(torch)
    _check_own(torch.nn, module, "from_torch: the module")
    there = dict(_parameters(module))
    chain = Sequential(*(_to_layer(torch.nn, part, str(i)) for i, part in enumerate(module)), dtype=_dtype(there))
    ours = chain.parameters()
    values = [parameter.detach().cpu().numpy() for parameter in there.values()]
    chain.load_state_dict(dict(zip(ours, values, strict=True)))  # PyTorch's names may differ: "fc.bias"
    for parameter, other in zip(ours.values(), there.values(), strict=True):
        parameter.trainable = other.requires_grad
    return chain


def _to_module(nn: Any, layer: Layer, path: str) -> Any:
    chain = isinstance(layer, Sequential) and type(layer).forward is Sequential.forward
    own = replaced(layer, Sequential if chain else type(layer))
    if own:
        raise TypeError(
            f"to_torch: layer {path}, {called(layer)}: its {own[0]} is overridden on the instance, which PyTorch "
            "cannot represent"
        )
    if isinstance(layer, Sequential) and chain:
        inner = (_to_module(nn, part, f"{path}.{i}" if path else str(i)) for i, part in enumerate(layer))
        return nn.Sequential(*inner)
    if type(layer) not in LAYERS:
        raise TypeError(f"to_torch: layer {path}, {called(layer)}: torch.nn has no such module")
    try:
        return LAYERS[type(layer)](nn, layer)
    except (AssertionError, ValueError) as error:
        raise TypeError(f"to_torch: layer {path}, {called(layer)}: torch.nn refuses it: {error}") from None


def _check_global_hooks(torch: Any) -> None:
    everywhere = vars(torch.nn.modules.module)
    if any(everywhere[f"_global{kind}"] for kind in HOOKS):
        raise TypeError(
            "from_torch: hooks for all modules are registered (torch.nn.modules.module.register_module_..._hook), "
            "which nanonet cannot convert; remove them"
        )


def _check_own(nn: Any, module: Any, whose: str) -> None:
    """Raise TypeError if an instance may compute something else than its class."""
    tensors = [tensor for tensor in module._parameters.values() if tensor is not None]
    if any(getattr(module, kind) for kind in HOOKS) or any(tensor._backward_hooks for tensor in tensors):
        raise TypeError(f"{whose}: it has hooks, which nanonet cannot convert; remove them")
    own = [name for name in vars(module) if hasattr(type(module), name) or name in module._parameters]
    if own and own != [COMPILED]:
        raise TypeError(f"{whose}: its {own[0]} is overridden on the instance, which nanonet cannot convert")
    children = {} if type(module) is nn.Sequential else module._modules
    held = [*module._parameters, *module._buffers, *children]
    expected = ["weight", "bias"] if type(module) is nn.Linear else []
    if held != expected:
        raise TypeError(
            f"{whose}: expected {' and '.join(expected) or 'nothing'} registered in it, got {' and '.join(held)}"
        )


def _to_layer(nn: Any, module: Any, path: str) -> Layer:
    name = type(module).__name__
    if type(module) is not getattr(nn, name, None) or name not in {*MODULES, "Sequential"}:
        names = ", ".join(sorted([*MODULES, "Sequential"]))
        raise TypeError(f"from_torch: module {path}, {module}: nanonet has no such layer; it has {names}")
    _check_own(nn, module, f"from_torch: module {path}, {name}")
    if name == "Sequential":
        return Sequential(*(_to_layer(nn, part, f"{path}.{i}") for i, part in enumerate(module)))
    difference = unlike(module, name)
    if difference is not None:
        raise TypeError(f"from_torch: module {path}, {name}: {difference}")
    try:
        return MODULES[name].layer(module)
    except ValueError as error:
        raise ValueError(f"from_torch: module {path}: {error}") from None


def _parameters(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters by name; by default PyTorch would omit duplicates of a shared one."""
    seen: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if seen.setdefault(id(parameter), name) != name:
            raise ValueError(f"from_torch: {seen[id(parameter)]} and {name} are one parameter; nanonet cannot share it")
        if parameter.is_meta:
            raise ValueError(f"from_torch: {name} is on PyTorch's meta device, where it has no values")
        yield name, parameter


def _dtype(parameters: dict[str, Any]) -> Any:
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in parameters.values()})
    if len(dtypes) > 1 or not set(dtypes) <= {"float32", "float64"}:
        raise ValueError(
            f"from_torch: expected parameters of float32, or of float64, got {' and '.join(dtypes)}; try module.float()"
        )
    return np.dtype(dtypes[0] if dtypes else "float32")
