"""Objects: what their attributes hold, the call that made them, and how they are named."""

from __future__ import annotations

import functools
import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

T = TypeVar("T")

OURS = "nanonet."  # prefix of the names of nanonet's own modules and classes
LEVELS = 20  # nesting depth that a repr shows


def _kept(value: Any) -> Any:
    """Return an argument as recorded: ... for an array or a table, a copy of a list."""
    if isinstance(value, np.ndarray) or _is_table(value):
        return ...
    return value.copy() if type(value) is list else value


def _is_table(value: Any) -> bool:
    """Return whether value is a list of rows of numbers, not another list of lists, such as branches of layers."""
    depth = 0
    while isinstance(value, list) and value and depth < 64:  # NumPy has no more axes
        value, depth = value[0], depth + 1
    return depth > 1 and isinstance(value, (int, float, np.generic))


def _text(value: Any) -> str:
    return "..." if value is ... else repr(value)


class Arguments:
    """The arguments of one constructor call, without arrays and tables, whose numbers the object itself holds."""

    __slots__ = ("keywords", "positional")

    def __init__(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.positional = tuple(map(_kept, positional))
        self.keywords = {name: _kept(value) for name, value in keywords.items()}

    def __repr__(self) -> str:
        return ", ".join(
            [_text(value) for value in self.positional]
            + [f"{name}={_text(value)}" for name, value in self.keywords.items()]
        )


def shortened(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """Make a ``__repr__`` abbreviate objects nested more than ``LEVELS`` deep."""

    @functools.wraps(write)
    def text(thing: Any) -> str:
        return write(thing) if _levels() < LEVELS else f"{type(thing).__name__}(...)"

    return text


def _levels() -> int:
    """Return the nesting depth of these calls, from the stack, since a counter might miss the end of one."""
    frame, count = inspect.currentframe(), -1
    while frame is not None:
        count += frame.f_code.co_name == "text" and frame.f_globals is globals()
        frame = frame.f_back
    return count


def hinting(method: Callable[..., T], hints: Mapping[str, str]) -> Callable[..., T]:
    """Return a method whose errors for wrong arguments say what to write, by the parts of a message that hints names.

    A part in quotes is the name of an argument.
    """

    @functools.wraps(method)
    def call(*positional: Any, **keywords: Any) -> T:
        try:
            return method(*positional, **keywords)
        except (TypeError, ValueError) as error:
            said = str(error)
            found = [h for p, h in hints.items() if p in said and h not in said and ("argument" in said or p[0] != "'")]
            if found:
                error.args = ("; ".join([said, *found]),)
            raise

    return call


class Recorded:
    """Base of the classes that people subclass; ``repr`` shows the constructor call, a subclass's too.

    Examples
    --------
    >>> from nanonet import Linear
    >>> Linear(2, 3, bias=False)
    Linear(2, 3, bias=False)
    """

    _arguments = Arguments((), {})

    if not TYPE_CHECKING:  # type checkers read the constructor from __init__, which has the real signature

        def __new__(cls, *positional, **keywords):
            """Create the object and record its arguments."""
            made = super().__new__(cls)
            if positional or keywords:
                if cls.__init__ is object.__init__:
                    raise TypeError(f"{cls.__name__}() takes no arguments")
                made.__dict__["_arguments"] = Arguments(positional, keywords)
            return made

    @shortened
    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments})"


class Extensible(Recorded):
    """Base of the classes whose methods nanonet calls: no attribute may take the place of one."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.__dict__:
            _refuse_hiding(self, name)
        super().__setattr__(name, value)


arguments_of: Callable[[Recorded], Arguments] = attrgetter("_arguments")
"""The arguments of the call that made an object."""


def _refuse_hiding(thing: object, name: str) -> None:
    """Raise TypeError for an attribute that would hide a method that nanonet calls."""
    kind = type(thing)
    ours = [vars(cls)[name] for cls in kind.__mro__ if name in vars(cls) and is_own(cls)]
    if any(inspect.isroutine(each) or (isinstance(each, property) and each.fset is None) for each in ours):
        raise TypeError(
            f"{kind.__name__}: self.{name} = ... would hide the method {name}, which nanonet calls; "
            "choose another name, or override the method in a subclass"
        )


def is_own(cls: type) -> bool:
    """Return whether a class is nanonet's own, not a user's of the same name."""
    return cls.__module__.startswith(OURS)


def called(thing: object) -> str:
    """Return the name of a thing in errors: its ``str`` if that is one line, else its class name.

    Examples
    --------
    >>> from nanonet import Linear, Sequential
    >>> called("fit"), called(Linear(2, 3)), called(Sequential(Linear(2, 3)))
    ('fit', 'Linear(2, 3)', 'Sequential')
    """
    text = str(thing)
    return type(thing).__name__ if "\n" in text else text


def obey_override(cls: type, base: type, *, chosen: tuple[str, ...], dependent: tuple[str, ...]) -> None:
    """Reset the dependent methods to base's if cls, or a mixin, overrides a chosen one more recently.

    A built-in class may override both a simple method and the full pass that computes it together with others. A
    subclass that overrides only the simple one must then have its version called.
    """
    for name in dependent:
        default = getattr(base, name)
        if getattr(cls, name) is not default and min(_depth(cls, other) for other in chosen) < _depth(cls, name):
            setattr(cls, name, default)


def _depth(cls: type, name: str) -> int:
    """Return the position in the method resolution order of the class that defines name."""
    return next(depth for depth, parent in enumerate(cls.__mro__) if name in vars(parent))


def attributes(thing: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object by name, in the order they were set, then those in slots."""
    yield from named_state(object.__getstate__(thing)).items()


def named_state(state: Any) -> dict[str, Any]:
    """Return what ``__getstate__`` gives for an object, with slots or without, as one dict."""
    own, in_slots = state if isinstance(state, tuple) else (state, None)
    return {**(own or {}), **(in_slots or {})}


def set_attribute(thing: object, name: str, value: object) -> None:
    """Set an attribute, bypassing the class's own ``__setattr__``, such as that of a frozen dataclass."""
    object.__setattr__(thing, name, value)


def twin_of(thing: T, changed: Mapping[str, Any], replaced: Callable[[Any], Any] | None = None) -> T:
    """Return a shallow copy of an object with other attributes or methods; the object itself is unchanged."""
    twin = object.__new__(type(thing))
    kept = {name: value if replaced is None else replaced(value) for name, value in attributes(thing)}
    for name, value in {**kept, **changed}.items():
        set_attribute(twin, name, value)
    return twin


def entries(container: object) -> Iterator[tuple[object, Any]]:
    """Yield the entries of a container by position, key or field; nothing for any other object."""
    if isinstance(container, (list, tuple, deque)):
        yield from enumerate(container)
    elif isinstance(container, dict):
        yield from container.items()
    elif _has_fields(container):
        yield from attributes(container)


def _has_fields(value: object) -> bool:
    return hasattr(type(value), "__dataclass_fields__") or isinstance(value, SimpleNamespace)
