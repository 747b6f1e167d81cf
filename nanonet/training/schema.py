"""Schema: declarative validation of plain data from a file, before it is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any, str], Any]
"""Takes a value from a file and its place; returns it for use, or raises ValueError saying what was expected."""

LARGEST = 2**53
"""The largest integer allowed: up to here every integer is exact as a float."""


def misfit(place: str, expected: str, got: Any) -> ValueError:
    """Return the error for an unexpected value at a place."""
    shown = f"{type(got).__name__} of {len(got)}" if isinstance(got, (list, dict)) else f"{got!r:.60}"
    return ValueError(f"{place}: expected {expected}, got {shown}")


def text(value: Any, place: str) -> str:
    """Take a string."""
    if not isinstance(value, str):
        raise misfit(place, "a string", value)
    return value


def flag(value: Any, place: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise misfit(place, "true or false", value)
    return value


def nothing(value: Any, place: str) -> None:
    """Take null."""
    if value is not None:
        raise misfit(place, "null", value)


def anything(value: Any, place: str) -> Any:
    """Take anything; it is checked elsewhere."""
    return value


def whole(low: int = 0, high: int = LARGEST) -> Check:
    """Take an integer from low to high."""

    def check(value: Any, place: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise misfit(place, f"an integer from {low} to {high}", value)
        return value

    return check


def finite(low: float = -math.inf, high: float = math.inf) -> Check:
    """Take a finite number strictly between low and high."""
    expected = "a finite number" if math.isinf(low) else f"a number between {low:g} and {high:g}"

    def check(value: Any, place: str) -> float:
        if type(value) is not float or not math.isfinite(value) or not low < value < high:
            raise misfit(place, expected, value)
        return value

    return check


def one_of(*names: str) -> Check:
    """Take one of the given strings."""
    known = frozenset(names)
    listed = ", ".join(names) if len(names) < 10 else f"{names[0]}, {names[1]}, ... {len(names) - 2} more"

    def check(value: Any, place: str) -> str:
        if not isinstance(value, str) or value not in known:
            raise misfit(place, f"one of {listed}", value)
        return value

    return check


def maybe(check: Check) -> Check:
    """Take null, or a value that passes check."""
    return lambda value, place: None if value is None else check(value, place)


def each(check: Check, *, alike: bool = True) -> Check:
    """Take a list whose entries pass check; they must be distinct unless alike."""

    def check_list(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list):
            raise misfit(place, "a list", value)
        entries = [check(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if not alike and len(set(entries)) < len(entries):
            raise ValueError(f"{place}: expected distinct entries")
        return entries

    return check_list


def row(*checks: Check) -> Check:
    """Take a list of fixed length, each entry with its own check."""

    def check_row(value: Any, place: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(checks):
            raise misfit(place, f"a list of {len(checks)}", value)
        return tuple(check(entry, f"{place}[{i}]") for i, (check, entry) in enumerate(zip(checks, value, strict=True)))

    return check_row


def table(entries: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Take a table with exactly these entries, and perhaps the optional ones."""
    known = {**entries, **(optional or {})}

    def check_table(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise misfit(place, "a table", value)
        inside = f"{place}." if place else ""
        for name in value:
            if name not in known:
                raise ValueError(f"{inside}{name:.60}: not known")
        for name in entries:
            if name not in value:
                raise ValueError(f"{inside}{name}: missing")
        return {name: known[name](entry, f"{inside}{name}") for name, entry in value.items()}

    return check_table


def named(check: Check, name_check: Check = text) -> Check:
    """Take a table whose names and entries pass their checks."""

    def check_named(value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise misfit(place, "a table", value)
        return {name_check(name, place): check(entry, f"{place}.{name:.60}") for name, entry in value.items()}

    return check_named


def either(first: Check, second: Check) -> Check:
    """Take what passes either check; otherwise the error is the second's."""

    def check(value: Any, place: str) -> Any:
        try:
            return first(value, place)
        except ValueError:
            return second(value, place)

    return check
