"""plot_units: each picture is the output of one unit at the points of the plane where it is drawn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from nanonet import (
    Composite,
    Dropout,
    Flatten,
    Linear,
    ReLU,
    Reshape,
    Sequential,
    ShapeError,
    Sigmoid,
    Tanh,
    plot_units,
)
from tests.helpers import picture

X = np.random.default_rng(0).normal(size=(30, 2))

pytestmark = pytest.mark.usefixtures("plt")


def net() -> Sequential:
    return Sequential(Linear(2, 5), Tanh(), Sequential(Linear(5, 3), ReLU()), Linear(3, 1), rng=0)


def labels(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def rows(axes: Any) -> list[list[Any]]:
    """Return the images from top to bottom, each row from left to right."""
    tops = sorted({image.get_extent()[3] for image in axes.images})
    return [
        sorted((i for i in axes.images if i.get_extent()[3] == top), key=lambda i: i.get_extent()[0]) for top in tops
    ]


def plane(resolution: int) -> Any:
    """Return the points of the pictures, from the bottom up, shape (resolution, resolution, 2)."""
    ends = [(column.min(), column.max()) for column in X.T]
    sides = []
    for low, high in ends:
        edges = np.linspace(low - (high - low) / 8, high + (high - low) / 8, resolution + 1)
        sides.append((edges[1:] + edges[:-1]) / 2)
    return np.stack(np.meshgrid(*sides), axis=-1)


def test_each_row_is_a_layer_and_each_picture_a_unit() -> None:
    model = net()
    axes = plot_units(model, X, resolution=7)
    found = rows(axes)
    points = plane(7).reshape(-1, 2)
    for row, depth in zip(found, (2, 3, 4), strict=True):
        expected = model[:depth](points).T.reshape(-1, 7, 7)
        for image, numbers in zip(row, expected, strict=True):
            assert image.origin == "lower"
            np.testing.assert_allclose(image.get_array(), numbers, rtol=1e-5, atol=1e-6)
    assert [label.splitlines()[0] for label in labels(axes)] == ["1 Tanh()", "2.1 ReLU()", "3 Linear(3, 1)"]


def test_all_pictures_of_a_row_have_the_scale_that_its_label_says() -> None:
    axes = plot_units(net(), X)
    for row, label in zip(rows(axes), labels(axes), strict=True):
        (limits,) = {image.get_clim() for image in row}
        largest = max(np.abs(image.get_array()).max() for image in row)
        assert limits == (-largest, largest)
        assert label.endswith(f"±{largest:.3g}")


def test_units_that_are_not_drawn_have_no_part_in_the_scale() -> None:
    axes = plot_units(Sequential(Linear(2, 2, weight=[[1.0, 0.0], [9.0, 0.0]]), rng=0), X, units=1)
    ((image,),) = rows(axes)
    assert labels(axes)[0].endswith(f"±{np.abs(image.get_array()).max():.3g}")


def test_of_many_units_the_first_are_drawn_and_the_label_says_of_how_many() -> None:
    axes = plot_units(net(), X, units=3, resolution=5)
    assert [len(row) for row in rows(axes)] == [3, 3, 1]
    assert [re.findall(r"\d+ of \d+ units", label) for label in labels(axes)] == [["3 of 5 units"], [], []]


def test_layers_without_units_are_left_out_and_dropout_does_nothing() -> None:
    model = Sequential(Linear(2, 4), Reshape(2, 2), Flatten(), Dropout(0.5), Linear(4, 2), rng=0)
    axes = plot_units(model, X, resolution=5)
    assert [label.split("\n")[0] for label in labels(axes)] == ["2 Flatten()", "3 Dropout(0.5)", "4 Linear(4, 2)"]
    for first, second in zip(*rows(axes)[:2], strict=True):
        np.testing.assert_array_equal(first.get_array(), second.get_array())


def test_a_layer_with_a_wiring_of_its_own_is_one_row() -> None:
    class Skip(Composite):
        def __init__(self) -> None:
            self.linear = Linear(2, 2)

        def wire(self, call: Any, x: Any) -> Any:
            return call.add(x, call(self.linear, x))

    assert [label.split("\n")[0] for label in labels(plot_units(Sequential(Skip(), Sigmoid()), X))] == [
        "0 Skip()", "1 Sigmoid()"
    ]  # fmt: skip


def test_the_model_and_the_samples_are_not_changed() -> None:
    model, samples = net(), X.copy()
    before = picture(model)
    plot_units(model, X).figure.canvas.draw()
    assert picture(model) == before
    np.testing.assert_array_equal(X, samples)


@pytest.mark.filterwarnings("error")
def test_outputs_that_are_not_finite_leave_holes() -> None:
    model = Sequential(Linear(2, 1, weight=[[1e38, 0.0]]), Linear(1, 1, weight=[[1e38]]))
    plot_units(model, X, resolution=8).figure.canvas.draw()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((Sequential(Linear(3, 1)), X), ShapeError, "expected a net of two inputs, (batch, 2), got one that takes"),
        ((net(), X[:, :1]), ShapeError, "expected x of shape (batch, 2), got (30, 1)"),
        ((net(), X[:0]), ValueError, "expected x of one sample or more, all of it finite, got none"),
        ((Linear(2, 1), X), TypeError, "expected model to be a Sequential, got Linear(2, 1)"),
        ((Sequential(Linear(2, 4), Reshape(2, 2)), X), ValueError, "expected a layer whose output has the shape"),
        ((Sequential(), X), ValueError, "expected a layer whose output has the shape (batch, units)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(plt: Any, arguments: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match="^plot_units: " + re.escape(message)):
        plot_units(*arguments)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("setting", [{"units": 0}, {"resolution": 0}])
def test_there_is_at_least_one_unit_and_one_point(setting: dict[str, int]) -> None:
    (name,) = setting
    with pytest.raises(ValueError, match=f"plot_units: expected {name} of 1 or more, got 0"):
        plot_units(net(), X, **setting)
