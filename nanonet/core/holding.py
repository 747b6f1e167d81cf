"""Holding: the attributes of an object and the entries of its containers, where a layer may keep its parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any


def attributes(thing: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object by name, in the order they were set, then those in slots."""
    kind: Any = type(thing)
    yield from list(getattr(thing, "__dict__", {}).items())
    for name in slots(kind):
        if hasattr(thing, name):
            yield name, getattr(thing, name)


@lru_cache(maxsize=256)
def slots(cls: Any) -> tuple[str, ...]:
    """Return the names of all slots of a class, its parents' first."""
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


def _has_fields(value: object) -> bool:
    return hasattr(type(value), "__dataclass_fields__") or isinstance(value, SimpleNamespace)
