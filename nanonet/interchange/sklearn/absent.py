"""Absent: what stands in for scikit-learn's bases where it is not installed, so that only using an estimator fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class BaseEstimator:
    """Refuses to be made."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> BaseEstimator:
        """Say what to install."""
        raise ImportError(f"{cls.__name__} needs scikit-learn: pip install 'nanonet[sklearn]'")


class ClassifierMixin:
    """Stands in for a base."""


class RegressorMixin:
    """Stands in for a base."""


class TransformerMixin:
    """Stands in for a base."""


class ClassNamePrefixFeaturesOutMixin:
    """Stands in for a base."""


def available_if(check: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return a decorator that changes nothing."""
    return lambda method: method
