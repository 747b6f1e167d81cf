"""PyTorch's own samples: each is equal in nanonet, or there is a reason why it is not supported."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import ROOT
from tests.pytorch_samples.table import Row, rows, text

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("expecttest", reason="expecttest is not installed, which PyTorch's samples need")

pytestmark = [pytest.mark.peer, pytest.mark.slow]

PAGE = ROOT / "docs" / "reliability.md"
COMMAND = "python -m tests.pytorch_samples"


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, Row]]:
    """Compare all samples, which fails if one differs, or is refused without a reason, or has one and is equal."""
    from tests.pytorch_samples.databases import everything

    return {title: rows(samples) for title, samples in everything().items()}


def test_every_sample_is_equal_or_has_a_reason_and_most_are_equal(tables: dict[str, dict[str, Row]]) -> None:
    for title, most in (("Modules", 0.14), ("Losses in torch.nn.functional", 0.05)):
        found = tables[title].values()
        missing, samples = sum(row.missing.total() for row in found), sum(row.samples for row in found)
        assert samples > 500
        assert missing <= most * samples, f"{title}: {missing} of {samples} are not supported"


def test_the_table_in_the_docs_is_that_of_these_samples(tables: dict[str, dict[str, Row]]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    version = re.search(r"PyTorch (\d+\.\d+)'s samples", page)
    assert version is not None
    if torch.__version__.startswith(f"{version[1]}."):  # another release has other samples
        assert text(tables) in page, f"docs/reliability.md has an older table; put in what {COMMAND} prints"
