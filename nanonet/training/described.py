"""described_by: what a function hands on is described once, where it arrives, and shown by help() in both places."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

_TITLE = re.compile(r"(?:\A|^)([A-Z][\w ]+)\n-{3,}\n", re.MULTILINE)
_MERGED = ("Parameters", "Returns", "Raises")


def described_by(*sources: object) -> Callable[[T], T]:
    """Complete a docstring: the parameters that it shares with the sources, and what they return and raise.

    An entry of its own takes the place of theirs with the same name.

    Parameters
    ----------
    *sources : function or class
        Those with docstrings in NumPy's style that take the arguments in the end.

    Returns
    -------
    callable
        A decorator, which changes nothing but the docstring.

    Examples
    --------
    >>> def scaled(x: float, by: float) -> float:
    ...     '''Return x times by.
    ...
    ...     Parameters
    ...     ----------
    ...     x : float
    ...     by : float
    ...         The factor.
    ...     '''
    ...     return x * by
    >>> @described_by(scaled)
    ... def doubled(x: float) -> float:
    ...     '''Return 2 x.'''
    ...     return scaled(x, 2.0)
    >>> sections(doubled.__doc__)
    {'': 'Return 2 x.', 'Parameters': 'x : float'}
    """

    def describe(described: T) -> T:
        if described.__doc__ is None:  # as with python -OO
            return described
        own = sections(described.__doc__)
        theirs = [sections(source.__doc__ or "") for source in sources]
        places = {name: i for i, name in enumerate(inspect.signature(described).parameters)}
        merged = {title: _merge([own, *theirs], title) for title in _MERGED}
        shared = [entry for entry in merged["Parameters"] if all(name in places for name in names_of(entry))]
        merged["Parameters"] = sorted(shared, key=lambda entry: places[names_of(entry)[0]])
        merged["Returns"] = merged["Returns"][:1]
        whole = {"": own.pop("")} | {title: "\n".join(found) for title, found in merged.items() if found}
        whole |= {title: text for title, text in own.items() if title not in _MERGED}
        described.__doc__ = "\n\n".join(f"{title}\n{'-' * len(title)}\n{whole[title]}".lstrip("\n-") for title in whole)
        return described

    return describe


def sections(docstring: str) -> dict[str, str]:
    """Return the sections of a docstring by title; what stands before them has the title ""."""
    first, *rest = _TITLE.split(inspect.cleandoc(docstring))
    return {"": first.rstrip()} | {title: text.rstrip() for title, text in zip(rest[::2], rest[1::2], strict=True)}


def entries(section: str) -> list[str]:
    """Return the entries of a section, each a line of its own with the indented lines below it."""
    return re.split(r"\n(?=\S)", section) if section else []


def names_of(entry: str) -> list[str]:
    """Return what an entry describes: ["x", "target"] for ``x, target : array``."""
    return [name.strip(" *") for name in entry.splitlines()[0].partition(" : ")[0].split(",")]


def _merge(described: Sequence[dict[str, str]], title: str) -> list[str]:
    """Return the entries of the sections with a title, and of those for the same name only the first."""
    found: dict[str, str] = {}
    for each in described:
        for entry in entries(each.get(title, "")):
            found.setdefault(entry.partition("\n")[0].partition(" : ")[0], entry)
    return list(found.values())
