"""Every layer of the package is drawn, summarized and explained, alone and above a convolution."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from nanonet import Conv1d, Conv2d, Layer, Sequential, SquaredError, Together
from nanonet.core.arrays import each, parts_of
from nanonet.core.tree import Tree
from tests.inspection.test_drawing import assert_nothing_overlaps
from tests.inspection.test_explaining import check_lines
from tests.registry import LAYERS, LayerCase, params


def check(model: Sequential, x: Any) -> None:
    """Draw and summarize a model, and explain the first and the last entry of each parameter."""
    y = model.predict(x)
    assert str(model.vector.size) in model.summary().splitlines()[0]
    loss: Any = Together(*[SquaredError()] * len(y)) if isinstance(y, tuple) else SquaredError()
    trace = model.trace(x, each(np.ones_like, y), loss)
    figure = trace.draw()
    assert_nothing_overlaps(figure)
    ElementTree.fromstring(figure.svg)
    for name, parameter in Tree(trace.model).parameters.items():
        for entry in {tuple(0 for _ in parameter.shape), tuple(n - 1 for n in parameter.shape)}:
            explanation = trace.explain(name, entry)
            check_lines(explanation)
            assert explanation.gradient == parameter.grad[entry]
            assert all(line.is_rounding for line in explanation.lines if line.in_pass)


@pytest.mark.parametrize("case", params(LAYERS))
def test_a_layer_alone(case: LayerCase) -> None:
    check(Sequential(case.make(), dtype=np.float64, rng=0), case.x(1))


def images(case: LayerCase) -> bool:
    x = case.x(1)
    return all(part.ndim in (3, 4) and part.dtype.kind == "f" for part in parts_of(x)) and not isinstance(x, tuple)


@pytest.mark.slow
@pytest.mark.parametrize("case", [param for param in params(LAYERS) if images(param.values[0])])
def test_a_layer_above_a_convolution(case: LayerCase) -> None:
    x = case.x(1)
    kind: Any = Conv2d if x.ndim == 4 else Conv1d
    below: Layer = kind(x.shape[1], x.shape[1], 1)
    check(Sequential(below, case.make(), dtype=np.float64, rng=0), x)
