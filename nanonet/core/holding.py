"""Holding: the attributes of an object and the entries of its containers, where a layer may keep its parts."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar

T = TypeVar("T")


def attributes(thing: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object by name, in the order they were set, then those in slots."""
    kind: Any = type(thing)
    yield from list(getattr(thing, "__dict__", {}).items())
    for name in _slots(kind):
        if hasattr(thing, name):
            yield name, getattr(thing, name)


@lru_cache(maxsize=256)
def _slots(cls: type) -> tuple[str, ...]:
    names = []
    for parent in reversed(cls.__mro__):
        slots = vars(parent).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{parent.__name__.lstrip('_')}{name}" if private else name)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def set_attribute(thing: object, name: str, value: object) -> None:
    """Set an attribute, bypassing the class's own ``__setattr__``, such as that of a frozen dataclass."""
    object.__setattr__(thing, name, value)


def entries(container: object) -> Iterator[tuple[object, Any]]:
    """Yield the entries of a container by position, key or field; nothing for any other object."""
    if isinstance(container, (list, tuple, deque)):
        yield from enumerate(container)
    elif isinstance(container, dict):
        yield from container.items()
    elif _has_fields(container):
        yield from attributes(container)


def with_entries(container: Any, replaced: Callable[[Any], Any]) -> Any:
    """Return a copy of a container, with its attributes, in which each entry is replaced."""
    if isinstance(container, tuple):
        return tuple.__new__(type(container), [replaced(entry) for entry in container])
    made = copy.copy(container)
    for key, entry in list(entries(container)):
        if isinstance(container, (list, deque, dict)):
            made[key] = replaced(entry)
        else:
            set_attribute(made, str(key), replaced(entry))
    return made


def _has_fields(value: object) -> bool:
    return hasattr(type(value), "__dataclass_fields__") or isinstance(value, SimpleNamespace)


def twin_of(thing: T, methods: Mapping[str, Callable[..., Any]], replaced: Callable[[Any], Any] | None = None) -> T:
    """Return a shallow copy of an object with other methods; the object itself is unchanged."""
    twin = object.__new__(type(thing))
    for name, value in attributes(thing):
        set_attribute(twin, name, value if replaced is None else replaced(value))
    vars(twin).update(methods)
    return twin
