"""torch_checks: whether the class of a module alone determines what it computes, and which numbers it holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where PyTorch stores hooks."""


def check_global_hooks(torch: Any) -> None:
    """Raise TypeError if hooks for all modules are registered."""
    everywhere = vars(torch.nn.modules.module)
    if any(everywhere[f"_global{kind}"] for kind in HOOKS):
        raise TypeError(
            "from_torch: hooks for all modules are registered (torch.nn.modules.module.register_module_..._hook), "
            "which nanonet cannot convert; remove them"
        )


def check_own(module: Any, whose: str) -> None:
    """Raise TypeError if an instance may compute something else than its class."""
    tensors = module.parameters(recurse=False)
    if any(getattr(module, kind) for kind in HOOKS) or any(tensor._backward_hooks for tensor in tensors):
        raise TypeError(f"{whose}: it has hooks, which nanonet cannot convert; remove them")
    methods = (name for name in vars(module) if callable(getattr(type(module), name, None)))
    own = [*methods, *(name for name in vars(module) if name in module._parameters)]
    if own:
        raise TypeError(f"{whose}: its {own[0]} is overridden on the instance, which nanonet cannot convert")


def numbers(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters and buffers by name, those in two places twice."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def check_numbers(module: Any) -> None:
    """Raise ValueError if two modules share a parameter or a buffer, or one has no values."""
    seen: dict[int, str] = {}
    for name, tensor in numbers(module):
        if seen.setdefault(id(tensor), name) != name:
            raise ValueError(f"from_torch: {seen[id(tensor)]} and {name} are one parameter; nanonet cannot share it")
        if tensor.is_meta:
            raise ValueError(f"from_torch: {name} is on PyTorch's meta device, where it has no values")


def dtype_of(module: Any) -> np.dtype[Any]:
    """Return the dtype of all parameters and floating buffers."""
    tensors = [*module.parameters(), *(buffer for buffer in module.buffers() if buffer.is_floating_point())]
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors})
    if len(dtypes) > 1 or not set(dtypes) <= {"float32", "float64"}:
        raise ValueError(
            f"from_torch: expected parameters of float32, or of float64, got {' and '.join(dtypes)}; try module.float()"
        )
    return np.dtype(dtypes[0] if dtypes else "float32")


def check_held(module: Any, expected: Collection[str], alike: Any, whose: str) -> None:
    """Raise TypeError if other parameters, buffers and modules are registered in a module than should be.

    The numbers of its state dict must be the expected ones. Modules within it, and buffers that belong to no state
    dict, must be those of a module that is alike; if there is none, only modules that hold expected numbers may be.
    """
    passing = {*_passing(module)}
    got = [name for name, _ in numbers(module) if name not in passing]
    inner = {name: type(part) for name, part in module.named_modules() if name}
    if alike is None:
        more = [*passing, *(name for name in inner if not any(each.startswith(f"{name}.") for each in got))]
    else:
        same = {name: type(part) for name, part in alike.named_modules() if name}
        more = [*(passing - {*_passing(alike)}), *(name for name in inner if inner[name] is not same.get(name))]
    if more or {*got} != {*expected}:
        wanted = " and ".join(expected) or "nothing"
        raise TypeError(f"{whose}: expected {wanted} registered in it, got {' and '.join([*got, *more]) or 'nothing'}")


def _passing(module: Any) -> Iterator[str]:
    """Yield the names of buffers that belong to no state dict."""
    for path, part in module.named_modules():
        yield from (f"{path}.{name}" if path else name for name in part._non_persistent_buffers_set)


def check_shapes(ours: Mapping[str, Any], theirs: Mapping[str, Any], whose: str) -> None:
    """Raise TypeError if two sets of numbers of the same names differ in a shape."""
    for name, state in ours.items():
        if tuple(theirs[name].shape) != state.shape:
            raise TypeError(
                f"{whose}: expected its {name} to have shape {state.shape}, got {tuple(theirs[name].shape)}"
            )
