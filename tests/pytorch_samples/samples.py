"""Sample: one call that PyTorch tests itself with, whichever of its data bases it is from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """What is called with which arguments.

    Attributes
    ----------
    name : str
        As users type it, without "torch.": "nn.ReLU", "nn.functional.mse_loss", "optim.Adam".
    called : callable
        The class or the function.
    options : dict
        Its arguments by name, the defaults included.
    given : tuple
        The positional and the keyword arguments as they are in the data base.
    inputs : tuple
        What a module is then called with by position.
    named : dict
        What it is called with by name.
    """

    name: str
    called: Any
    options: Mapping[str, Any]
    given: tuple[tuple[Any, ...], Mapping[str, Any]]
    inputs: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        arguments, keywords = self.given
        texts = [*map(_short, arguments), *(f"{name}={_short(value)}" for name, value in keywords.items())]
        return f"{self.name}({', '.join(texts)}) on {', '.join(map(_short, (*self.inputs, *self.named.values())))}"

    def is_set(self, option: str) -> bool:
        """Return whether an option, an argument that has a default, has another value."""
        parameter = inspect.signature(self.called).parameters[option]
        default, value = parameter.default, self.options[option]
        return default is not parameter.empty and value is not default and (hasattr(value, "shape") or value != default)


def options_of(called: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments of a call by name."""
    bound = inspect.signature(called).bind(*arguments, **keywords)
    bound.apply_defaults()
    return dict(bound.arguments)


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return " ".join(repr(value).split())[:80] if shape is None else f"{type(value).__name__}{tuple(shape)}"
