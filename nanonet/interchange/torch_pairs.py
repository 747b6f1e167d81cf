"""Pair: a layer class and the PyTorch module class that computes the same, registered so that either becomes the other.

The layers of nanonet are registered here in the same way as yours.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nanonet.core.layer import Layer

TAKEN = "taken"
"""The option is passed to the layer, or tells in the numbers of its states."""

HARMLESS = "harmless"
"""The option does not affect the result."""

EVIDENT = ("device", "dtype")  # from the parameters


class Only(NamedTuple):
    """The only value of a module's option that the layer computes, and why.

    Examples
    --------
    >>> Only(True, "sequences are (batch, length, features)").value
    True
    """

    value: Any
    why: str


class Pair(NamedTuple):
    """What :func:`pair` was given."""

    layer: type[Layer]
    there: Callable[[Any, Any, Any], Any] | None
    here: Callable[[Any], Layer] | None
    options: Mapping[str, str | Only]
    names: Mapping[str, str]


LAYERS: dict[type[Layer], Pair] = {}
"""The pair by which a layer goes to PyTorch."""

MODULES: dict[str | type, Pair] = {}
"""The pair by which a module comes from PyTorch, by its name in torch.nn or by its class."""


def pair(
    layer: type[Layer],
    module: str | type | tuple[str | type, ...],
    *,
    there: Callable[[Any, Any, Any], Any] | None = None,
    here: Callable[[Any], Layer] | None = None,
    options: Mapping[str, str | Only] | None = None,
    names: Mapping[str, str] | None = None,
) -> None:
    """Register that a layer class and a PyTorch module class compute the same, for ``to_torch`` and ``from_torch``.

    The numbers go by name, those of Buffers too, and so does what is frozen; ``there`` and ``here`` make objects
    alone. A later registration of the same class replaces an earlier one, a built-in one too.

    A subclass of the layer class goes to PyTorch in the same way, unless it overrides what the layer computes. A module
    is converted if it is of exactly this class, its instance has no hooks and nothing overridden, and its parameters,
    buffers and further modules are those that the pair expects.

    Parameters
    ----------
    layer : type
        A subclass of Layer.
    module : str, type, or tuple of these
        The name of a class in torch.nn, or a module class of yours. With several, ``there`` chooses one of them.
    there : callable, optional
        ``there(nn, layer, shape)`` returns the module for a layer, with any numbers. nn is ``torch.nn``; shape is the
        layer's input shape without the batch axis, with None for an unknown length, ``...`` for unknown axes, and None
        if nothing is known. Without ``there``, no layer becomes a module.
    here : callable, optional
        ``here(module)`` returns the layer for a module. Without ``here``, no module becomes a layer.

        Both raise ValueError or TypeError for what the other side cannot compute.
    options : dict, optional
        The meaning of the module's options, by argument of its constructor: "taken" if ``here`` uses it, "harmless" if
        it does not affect the result, or ``Only(value, why)`` for the only value that is the same. An option that is
        not named must have its default value, and one without a default counts as taken.
    names : dict, optional
        PyTorch's name of each parameter and buffer whose name in the layer is another one.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from nanonet.interchange.torch import Only, pair
    >>> pair(  # doctest: +SKIP
    ...     LSTM,
    ...     "LSTM",
    ...     there=lambda nn, layer, shape: nn.LSTM(layer.features, layer.hidden, batch_first=True),
    ...     here=lambda module: LSTM(module.input_size, module.hidden_size),
    ...     options={"batch_first": Only(True, "sequences are (batch, length, features)")},
    ...     names={"weight_x": "weight_ih_l0", "weight_h": "weight_hh_l0", "bias_x": "bias_ih_l0"},
    ... )
    """
    if not (isinstance(layer, type) and issubclass(layer, Layer)):
        raise TypeError(f"pair: expected layer as a subclass of Layer, got {layer!r:.80}")
    modules = module if isinstance(module, tuple) else (module,)
    for each in modules:
        if not isinstance(each, (str, type)):
            raise TypeError(f"pair: expected module as the name of a class in torch.nn, or a class, got {each!r:.80}")
    if there is None and here is None:
        raise ValueError(f"pair: expected there, here or both, to convert {layer.__name__}")
    found = Pair(layer, there, here, _checked(options or {}), dict(names or {}))
    if len({*found.names.values()}) < len(found.names):
        raise ValueError(f"pair: expected a name of its own for each state of {layer.__name__}, got {found.names}")
    if there is not None:
        LAYERS[layer] = found
    if here is not None:
        MODULES.update(dict.fromkeys(modules, found))


def _checked(options: Mapping[str, str | Only]) -> dict[str, str | Only]:
    for name, meaning in options.items():
        if meaning not in (TAKEN, HARMLESS) and not isinstance(meaning, Only):
            raise ValueError(
                f'pair: expected the meaning of option {name} as "taken", "harmless" or Only(value, why), '
                f"got {meaning!r:.80}"
            )
    return dict(options)


def pair_for(layer: Layer) -> Pair | None:
    """Return the pair of a layer's class, or of the nearest class that it inherits from; None if there is none."""
    return next((LAYERS[cls] for cls in type(layer).__mro__ if cls in LAYERS), None)


def pair_of(nn: Any, module: Any) -> Pair | None:
    """Return the pair of a module's very class; None if there is none."""
    cls = type(module)
    by_name = MODULES.get(cls.__name__) if cls is getattr(nn, cls.__name__, None) else None
    return MODULES.get(cls, by_name)


def unlike(module: Any, pair: Pair) -> str | None:
    """Return an error text for an option of a module that its layer does not compute; None if there is none."""
    named = dict(module.named_parameters(recurse=False))  # the option bias=True makes one, which is compared by name
    for option, default in options_of(type(module)):
        unknown = Only(default, "nanonet does not know this option")
        meaning = pair.options.get(option, TAKEN if default is inspect.Parameter.empty else unknown)
        if isinstance(meaning, Only) and option not in (*EVIDENT, *named):
            got = getattr(module, option, "no such attribute")
            if not _same(got, meaning.value):
                return f"expected {option}={meaning.value!r}, got {got!r}; {meaning.why}"
    return None


def _same(got: Any, wanted: Any) -> bool:
    try:
        return bool(got == wanted)
    except (TypeError, ValueError, RuntimeError):  # such as for arrays and tensors
        return False


def options_of(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the options of a module class with their defaults, those that its constructor passes on included."""
    seen = set()
    for parent in cls.__mro__:
        init = vars(parent).get("__init__")
        if init is None:
            continue
        parameters = list(inspect.signature(init).parameters.values())[1:]
        passed_on = [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        for parameter in parameters:
            if parameter not in passed_on and parameter.name not in seen:
                seen.add(parameter.name)
                yield parameter.name, parameter.default
        if not passed_on:
            return
