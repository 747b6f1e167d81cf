"""A small GPT of nanonet's layers has the published losses of microgpt (Karpathy 2026)."""

import pytest

from tests.microgpt import FIRST, NAMES, PUBLISHED, losses, net, shuffled


def test_the_first_losses_are_the_published_ones() -> None:
    _, stream = shuffled(NAMES)
    model = net(stream)
    assert model.vector.size == 4192
    reached = list(losses(model, FIRST))
    assert reached == pytest.approx(PUBLISHED, abs=1e-9)
    assert reached[1:] == pytest.approx(PUBLISHED[1:], abs=1e-12)  # the first differs by one in its tenth decimal
