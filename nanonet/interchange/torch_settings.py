"""torch_settings: the constructor arguments of a layer that comes from a module, and of a module for a layer."""

from __future__ import annotations

import inspect
from typing import Any

from nanonet.core.checks import axes, is_open
from nanonet.core.layer import Layer
from nanonet.interchange.torch_pairs import TAKEN, Only


def taken(*names: str) -> dict[str, str | Only]:
    """Return the meaning of options that are passed to the layer."""
    return dict.fromkeys(names, TAKEN)


def made(cls: type[Layer], *needed: Any, **settings: Any) -> Layer:
    """Return a layer, called with as few and short arguments as say the same."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(cls.__init__).parameters.items()}
    short = {name: one(value) for name, value in settings.items()}
    return cls(*needed, **{name: value for name, value in short.items() if value != defaults[name]})


def one(value: Any) -> Any:
    """Return sizes that are equal as one number, and a list of others as a tuple."""
    if not isinstance(value, (tuple, list)):
        return value
    return value[0] if len({*value}) == 1 else tuple(value)


def spatial(shape: Any) -> int | None:
    """Return the number of axes after the channel, or None if the shape leaves that open."""
    if shape is None or shape[-1:] == (...,):
        raise TypeError(
            "PyTorch has a module for each number of axes, and that of its input is not known; "
            "try to_torch(model, input_shape=(...)), the shape of one sample"
        )
    return None if is_open(shape) else len(axes(shape)) - 1


def of_axes(nn: Any, shape: Any, *names: str) -> Any:
    """Return the module class for sequences (N, C, L), images (N, C, H, W) or volumes, in this order."""
    count = spatial(shape)
    if count is None:
        return of_axes(nn, None, *names)
    if not 1 <= count <= len(names):
        raise TypeError(f"torch.nn has only {' and '.join(names)}, for other axes than those of {shape}")
    return getattr(nn, names[count - 1])
