"""torch: conversion of chains to and from PyTorch, layer by layer; for weights only, see nanonet.read_arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Patterns
from nanonet.core.chain import Chain
from nanonet.core.checks import optional
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.tree import Tree
from nanonet.interchange import torch_attention, torch_images, torch_modules, torch_recurrent
from nanonet.interchange.overridden import overriding, replaced
from nanonet.interchange.torch_checks import (
    check_global_hooks,
    check_held,
    check_numbers,
    check_own,
    check_shapes,
    dtype_of,
    numbers,
)
from nanonet.interchange.torch_pairs import MODULES, Pair, pair_for, pair_of, unlike
from nanonet.interchange.torch_pairs import Only as Only
from nanonet.interchange.torch_pairs import pair as pair
from nanonet.models.sequential import Sequential

BUILT_IN = (torch_modules, torch_images, torch_recurrent, torch_attention)  # imported here to be registered

ENTER = "enter a module of yours by nanonet.interchange.torch.pair"


def to_torch(model: Chain, input_shape: Patterns | None = None) -> Any:
    """Convert a model to an equivalent torch.nn.Sequential, copying the parameters and buffers.

    It is in evaluation mode, in which Dropout is inactive, as in ``model(x)``; ``.train()`` and ``.eval()`` switch.
    Frozen parameters have ``requires_grad=False``.

    Parameters
    ----------
    model : Sequential
    input_shape : tuple of int, optional
        Without the batch axis; needed only where PyTorch has modules for one number of axes each, as for BatchNorm, and
        the layers before do not determine it. After a Linear, BatchNorm becomes BatchNorm1d unless told otherwise.

    Returns
    -------
    torch.nn.Sequential

    Raises
    ------
    TypeError
        If PyTorch has no counterpart of a layer, and none is registered by :func:`pair`; the layer is named.
    ShapeError
        If input_shape does not fit the model.
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
    states: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):  # the modules' own numbers are replaced
        module = _to_module(torch.nn, model, "", input_shape, states)
    module = module.double() if model.dtype == np.float64 else module.float()
    module.load_state_dict({name: torch.from_numpy(np.array(state.value)) for name, state in states.items()})
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(getattr(states[name], "trainable", False))
    return module.eval()


def from_torch(module: Any) -> Sequential:
    """Convert a torch.nn.Sequential to an equivalent Sequential, copying the parameters and buffers.

    It has the module's dtype, and parameters with ``requires_grad=False`` are frozen. ``model(x)`` equals
    ``module.eval()(x)``, in which Dropout is inactive.

    Parameters
    ----------
    module : torch.nn.Sequential

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError
        If nanonet has no counterpart of a module or of one of its settings, and none is registered by :func:`pair`, or
        if more than its class determines what a module computes: hooks, an overridden ``forward``, additional
        registered members. It is named.
    ValueError
        If the parameters are neither float32 nor float64, or two modules share one.
    ImportError
        If PyTorch is not installed.
    """
    torch = optional("from_torch", "PyTorch", "torch", "torch")
    if type(module) is not torch.nn.Sequential:
        raise TypeError(f"from_torch: expected a torch.nn.Sequential, got {type(module).__name__}")
    check_global_hooks(torch)
    check_own(module, "from_torch: the module")
    check_numbers(module)
    found: dict[str, Any] = {}
    layers = _to_layers(torch, module, "", found)
    model = Sequential(*layers, dtype=dtype_of(module))
    model.load_state_dict({name: tensor.detach().cpu().numpy() for name, tensor in found.items()})
    for name, parameter in model.parameters().items():
        parameter.trainable = found[name].requires_grad
    return model


# ---- to PyTorch


def _to_module(nn: Any, layer: Layer, path: str, shape: Patterns | None, states: dict[str, Any]) -> Any:
    """Return the module for a layer, and enter its parameters and buffers in states, by PyTorch's names."""
    whose = f"to_torch: layer {path}, {called(layer)}"
    found = pair_for(layer)
    chain = found is None and isinstance(layer, Sequential) and type(layer).forward is Sequential.forward
    known = Sequential if chain else found.layer if found else type(layer)
    own = replaced(layer, known)
    if own:
        raise TypeError(f"{whose}: its {own[0]} is overridden on the instance, which PyTorch cannot represent")
    if isinstance(layer, Sequential) and chain:
        return _to_chain(nn, layer, path, shape, states)
    if found is None or found.there is None:
        raise TypeError(f"{whose}: torch.nn has no such module; {ENTER}")
    changed = overriding(type(layer), known, also=("backward",))  # which autograd does not call
    if changed:
        raise TypeError(f"{whose}: torch.nn has no such module, since it overrides {changed[0]}; {ENTER}")
    module = _there(nn, layer, found, shape, whose)
    own_states, whose = _states(layer, found), f"{whose}: its module, {type(module).__name__}"
    check_held(module, own_states, module, whose)
    check_shapes(own_states, dict(numbers(module)), whose)
    states |= {_joined(path, name): state for name, state in own_states.items()}
    return module


def _to_chain(nn: Any, chain: Sequential, path: str, shape: Patterns | None, states: dict[str, Any]) -> Any:
    more = [name for name, _ in chain.owned_parts() if not name.isdigit()]
    if more:
        raise TypeError(f"to_torch: layer {path}, {called(chain)}: torch.nn.Sequential has no {more[0]}")
    way = chain.shapes(shape)
    return nn.Sequential(*(_to_module(nn, part, _joined(path, str(i)), taken, states) for i, part, taken, _ in way))


def _there(nn: Any, layer: Layer, found: Pair, shape: Patterns | None, whose: str) -> Any:
    assert found.there is not None
    try:
        module = found.there(nn, layer, shape)
    except (AssertionError, ValueError) as error:
        raise TypeError(f"{whose}: torch.nn refuses it: {error}") from None
    except TypeError as error:
        raise TypeError(f"{whose}: {error}") from error
    if not isinstance(module, nn.Module):
        raise TypeError(f"{whose}: expected there(nn, layer, shape) to return a torch.nn.Module, got {module!r:.80}")
    return module


# ---- from PyTorch


def _to_layers(torch: Any, modules: Any, path: str, found: dict[str, Any]) -> list[Layer]:
    """Return the layers of a torch.nn.Sequential, and enter its parameters and buffers in found, by our names."""
    whose = f"from_torch: module {path}, Sequential" if path else "from_torch: the module"
    check_own(modules, whose)
    direct = [name for name, _ in numbers(modules) if "." not in name]
    if direct:
        raise TypeError(f"{whose}: expected only modules registered in it, got {' and '.join(direct)}")
    return [_to_layer(torch, module, _joined(path, str(i)), found) for i, module in enumerate(modules)]


def _to_layer(torch: Any, module: Any, path: str, found: dict[str, Any]) -> Layer:
    if type(module) is torch.nn.Sequential:
        return Sequential(*_to_layers(torch, module, path, found))
    pair = pair_of(torch.nn, module)
    if pair is None or pair.here is None:
        known = {each if isinstance(each, str) else each.__name__ for each in MODULES} | {"Sequential"}
        raise TypeError(
            f"from_torch: module {path}, {module}: nanonet has no such layer; it has {', '.join(sorted(known))}"
        )
    whose = f"from_torch: module {path}, {type(module).__name__}"
    for name, part in module.named_modules():
        check_own(part, f"{whose}.{name}" if name else whose)
    difference = unlike(module, pair)
    if difference is not None:
        raise TypeError(f"{whose}: {difference}")
    layer = _here(module, pair, path, whose)
    states, there = _states(layer, pair), dict(numbers(module))
    check_held(module, states, _alike(torch, module, layer, pair, whose), whose)
    check_shapes(states, there, whose)
    ours = {pair.names.get(name, name): name for name in Tree(layer).states}
    found |= {_joined(path, ours[name]): tensor for name, tensor in there.items() if name in ours}
    return layer


def _here(module: Any, pair: Pair, path: str, whose: str) -> Layer:
    assert pair.here is not None
    try:
        layer = pair.here(module)
    except AttributeError as error:
        if error.obj is not module:
            raise
        held = [name for name, _ in numbers(module)]
        raise TypeError(f"{whose}: expected {error.name} registered in it, got {' and '.join(held)}") from None
    except (ValueError, TypeError) as error:
        raise type(error)(f"from_torch: module {path}: {error}") from None
    if not isinstance(layer, Layer):
        raise TypeError(f"{whose}: expected here(module) to return a Layer, got {layer!r:.80}")
    return layer


def _alike(torch: Any, module: Any, layer: Layer, pair: Pair, whose: str) -> Any:
    """Return a module that ``there`` makes for a layer, to compare what is in it; None if it makes none."""
    if pair.there is None or not any(module.children()):
        return None
    with torch.random.fork_rng(devices=[]):
        return _there(torch.nn, layer, pair, None, whose)


# ---- names


def _states(layer: Layer, pair: Pair) -> dict[str, Any]:
    """Return the parameters and buffers of a layer by PyTorch's names."""
    return {pair.names.get(name, name): state for name, state in Tree(layer).states.items()}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
