"""A short form of ``python -m tests.hostile``, with another seed each time."""

import random

import pytest

from tests.hostile import PARTS

COUNTS = {"files": 150, "signals": 45, "threads": 12}


@pytest.mark.parametrize("part", PARTS)
def test_nothing_goes_wrong_in_silence(part: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    seen = PARTS[part](COUNTS[part], seed)
    assert sum(seen.values()) >= COUNTS[part] - 3, f"with --seed {seed}"
