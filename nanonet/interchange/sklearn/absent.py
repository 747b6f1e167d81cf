"""Absent: placeholders for scikit-learn's base classes, so that without it only using an estimator fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class BaseEstimator:
    """Raises on instantiation."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> BaseEstimator:
        """Raise ImportError with what to install."""
        raise ImportError(f"{cls.__name__} needs scikit-learn: pip install 'nanonet[sklearn]'")


class ClassifierMixin:
    """A placeholder base class."""


class RegressorMixin:
    """A placeholder base class."""


class TransformerMixin:
    """A placeholder base class."""


class ClassNamePrefixFeaturesOutMixin:
    """A placeholder base class."""


def available_if(check: Callable[[Any], bool]) -> Callable[[Any], Any]:
    """Return a no-op decorator."""
    return lambda method: method
