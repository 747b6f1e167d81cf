"""What tests of inspection share: a registry that forgets."""

from collections.abc import Iterator

import pytest

from nanonet.inspection.explanation.terms import EXPLAINED
from nanonet.inspection.record import SUMS


@pytest.fixture
def registrations() -> Iterator[None]:
    """Let what a test registers be gone after it."""
    kept = [dict(each._functions) for each in (EXPLAINED, SUMS)]
    yield
    for registry, functions in zip((EXPLAINED, SUMS), kept, strict=True):
        registry._functions.clear()
        registry._functions.update(functions)
