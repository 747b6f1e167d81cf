"""Factors by names: what lets a setting of an optimizer differ from parameter to parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from nanonet.core.checks import finite_number
from nanonet.core.parameter import Parameter

Factors = Mapping[str, float] | Callable[[str, Parameter], Any]


def expect_factors(given: Factors, subject: str, setting: str) -> Factors:
    """Return a copy of a table from patterns of names to factors, or a callable as it is; or raise."""
    if callable(given):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"{subject}: expected {setting} as a table from patterns of names to factors, such as {{'0.*': 0.1}}, or a "
            f"callable of (name, parameter), got {given!r:.60}"
        )
    for pattern, factor in given.items():
        if not isinstance(pattern, str):
            raise TypeError(f"{subject}: expected patterns of names in {setting}, such as '0.*', got {pattern!r:.60}")
        finite_number(factor, subject, f"factor for {pattern!r} in {setting}", low=0)
    return dict(given)


def factors_of(given: Factors, parameters: Mapping[str, Parameter], subject: str, setting: str) -> list[float]:
    """Return the factor of each parameter: that of the first pattern that matches its name, 1 if none does.

    A callable returns the factor, or True or False for 1 and 0.

    Raises
    ------
    ValueError
        If a pattern matches no parameter.
    """
    if callable(given):
        found = ((name, given(name, parameter)) for name, parameter in parameters.items())
        return [_number(factor, subject, f"factor for {name!r} from {setting}") for name, factor in found]
    for pattern in given:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            raise ValueError(
                f"{subject}: {setting} has the pattern {pattern!r}, which matches no parameter; the names are "
                f"{', '.join(parameters) or 'none'}"
            )
    matches = ([float(given[pattern]) for pattern in given if fnmatchcase(name, pattern)] for name in parameters)
    return [matching[0] if matching else 1.0 for matching in matches]


def _number(factor: object, subject: str, name: str) -> float:
    if isinstance(factor, (bool, np.bool_)):
        return float(factor)
    return finite_number(factor, subject, name, low=0)
