"""A summary shows the parts of a layer that is made of layers, with the shapes that they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nanonet import (
    Array,
    BatchNorm,
    Concatenate,
    Constant,
    Conv2d,
    Flatten,
    Fork,
    GlobalAvgPool,
    Identity,
    Layer,
    Linear,
    MaxPool2d,
    Parallel,
    Parameter,
    Residual,
    Sequential,
    Shape,
    ShapeError,
    Tanh,
)
from tests.inspection.test_wiring import Siamese, Skip, Unet


def rows(model: Sequential, shape: Any = None) -> dict[str, list[str]]:
    """Return the cells of each row by the first, without the title and the names of the columns."""
    _, head, *lines = model.summary(shape).splitlines()
    starts = [head.index(name) for name in ("layer", "input", "output", "parameters", "numbers")]
    starts[-1] = head.rindex("numbers")
    cells = [[line[a:b].strip() for a, b in zip([0, *starts], [*starts, None], strict=True)] for line in lines]
    return {first: rest for first, *rest in cells}


UNET = """\
Sequential: 6 layers, 63 parameters, float32
          layer                       input             output            parameters                      numbers
0         Unet()                      (batch, 1, 8, 8)  (batch, 1, 8, 8)  -                                     0
0.down    Conv2d(1, 2, 3, padding=1)  (batch, 1, 8, 8)  (batch, 2, 8, 8)  weight (2, 1, 3, 3), bias (2,)       20
0.relu    ReLU()                      (batch, 2, 8, 8)  (batch, 2, 8, 8)  -                                     0
0.pool    MaxPool2d(2)                (batch, 2, 8, 8)  (batch, 2, 4, 4)  -                                     0
0.mid     Conv2d(2, 2, 3, padding=1)  (batch, 2, 4, 4)  (batch, 2, 4, 4)  weight (2, 2, 3, 3), bias (2,)       38
0.relu#2  ReLU()                      (batch, 2, 4, 4)  (batch, 2, 4, 4)  -                                     0
0.up      Upsample(2)                 (batch, 2, 4, 4)  (batch, 2, 8, 8)  -                                     0
0.out     Conv2d(4, 1, 1)             (batch, 4, 8, 8)  (batch, 1, 8, 8)  weight (1, 4, 1, 1), bias (1,)        5"""


def test_the_parts_of_a_composite_have_rows_with_their_shapes() -> None:
    assert Sequential(Unet(), rng=0).summary((1, 8, 8)) == UNET


def test_lengths_that_are_not_known_are_question_marks() -> None:
    found = rows(Sequential(Unet(), MaxPool2d(2), Flatten(), rng=0))
    assert found["0.up"][1:3] == ["(batch, 2, ?, ?)", "(batch, 2, ?, ?)"]
    assert found["1"][1] == "(batch, 1, ?, ?)"
    assert found["2"][2] == "?"


def test_further_axes_are_three_dots() -> None:
    found = rows(Sequential(BatchNorm(3), GlobalAvgPool(), Linear(3, 1)))
    assert [found[i][1:3] for i in "01"] == [
        ["(batch, 3, ...)", "(batch, 3, ...)"],
        ["(batch, 3, ?, ...)", "(batch, 3)"],
    ]


def test_several_inputs_are_joined_by_and() -> None:
    branches = Parallel(Linear(2, 8), Sequential(Conv2d(1, 2, 3), Flatten(), Linear(72, 8)))
    found = rows(Sequential(branches, Concatenate(), Linear(16, 1), rng=0))
    assert found["0"][:3] == ["Parallel", "(batch, 2) and (batch, 1, ?, ?)", "(batch, 8) and (batch, 8)"]
    assert list(found) == ["0", "0.branches.0", "0.branches.1", *(f"0.branches.1.{i}" for i in range(3)), "1", "2"]


def test_a_layer_that_is_called_again_counts_once() -> None:
    model = Sequential(Siamese(), rng=0)
    found = rows(model)
    assert found["0.embed.0"][-1] == "15"
    assert found["0.embed.0#2"] == ["Linear(4, 3)", "(batch, 4)", "(batch, 3)", "-", "0"]
    assert model.summary().startswith("Sequential: 3 layers, 22 parameters")


@pytest.mark.parametrize(
    "model",
    [
        Sequential(Skip(), Linear(3, 2), rng=0),
        Sequential(Linear(2, 3), Residual(Residual(Linear(3, 3))), Fork(Identity(), Linear(3, 4)), rng=0),
        Sequential(Sequential(Siamese(), Residual(Sequential(Linear(1, 1), Tanh()))), rng=0),
        Sequential(Residual(Sequential(*[Linear(2, 2) for _ in range(40)])), rng=0),
    ],
    ids=["skip", "residual", "nested", "long"],
)
def test_the_numbers_add_up_to_those_of_the_model(model: Sequential) -> None:
    assert sum(int(cells[-1]) for cells in rows(model).values()) == model.vector.size
    assert str(model.vector.size) in model.summary().splitlines()[0]


def test_of_a_layer_with_many_parts_there_is_one_row() -> None:
    found = rows(Sequential(Residual(Sequential(*[Linear(2, 2) for _ in range(40)])), rng=0))
    assert list(found) == ["0"]
    assert found["0"][0] == "Residual"
    assert found["0"][3].endswith("and 76 more")


class Scaled(Layer):
    """y = gain * inner(x), with a parameter of its own beside its part."""

    def __init__(self, inner: Layer) -> None:
        self.gain, self.inner = Parameter((), Constant(2.0)), inner

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = self.inner.forward(x, training=training)
        return self.gain.value * y, (y, cache)

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = (grad * cache[0]).sum()
        return self.inner.backward(grad * self.gain.value, cache[1])


def test_a_users_container_is_shown_by_its_parts_if_it_asks_for_their_shapes() -> None:
    class Shaped(Scaled):
        def output_shape(self, input_shape: Shape) -> Shape | None:
            return self.inner.output_shape(input_shape)

    shaped = rows(Sequential(Linear(2, 3), Shaped(Linear(3, 4)), rng=0))
    assert shaped["1"][3:] == ["gain ()", "1"]
    assert shaped["1.inner"][1:] == ["(batch, 3)", "(batch, 4)", "weight (4, 3), bias (4,)", "16"]
    plain = rows(Sequential(Linear(2, 3), Scaled(Linear(3, 4)), rng=0))
    assert plain["1"][3:] == ["gain (), inner.weight (4, 3), inner.bias (4,)", "17"]


def test_a_container_that_does_not_ask_all_of_its_parts_has_one_row() -> None:
    class Half(Scaled):
        def __init__(self, inner: Layer, other: Layer) -> None:
            super().__init__(inner)
            self.other = other

        def output_shape(self, input_shape: Shape) -> Shape | None:
            return self.inner.output_shape(input_shape)

    found = rows(Sequential(Half(Linear(3, 4), Linear(2, 2)), rng=0), (3,))
    assert list(found) == ["0"]
    assert found["0"][-1] == "23"


def test_looking_changes_nothing() -> None:
    model = Sequential(Skip(), rng=0)
    before = model.state_dict()
    model.summary()
    assert all(
        "output_shape" not in vars(layer) for layer in (model[0], *vars(model[0]).values()) if isinstance(layer, Layer)
    )
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_shape_that_does_not_fit_is_told_as_elsewhere() -> None:
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, 1, \?, \?\)"):
        Sequential(Unet(), rng=0).summary((2, 8, 8))
