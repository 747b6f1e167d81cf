"""Wired: a Composite whose wiring is data, for files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    Composite,
    Embedding,
    Fork,
    Identity,
    Linear,
    Sequential,
    ShapeError,
    Tanh,
    Wired,
    check_gradients,
    load,
    save,
)


class Gated(Composite):
    """The same as gated()."""

    def __init__(self) -> None:
        self.layers = (Linear(4, 3), Tanh(), Linear(2, 3))

    def wire(self, call: Any, x: Any) -> Any:
        a, b = call.split(x, 2, 2)
        gate = call(self.layers[1], call(self.layers[0], call.concatenate(b, a)))
        return call.add(call.multiply(gate, call(self.layers[2], b)), gate)


def gated() -> Wired:
    steps = [("split", 0, (2, 2), -1), ("concatenate", (2, 1), -1), (0, 3), (1, 4), (2, 2), ("multiply", (5, 6))]
    return Wired([Linear(4, 3), Tanh(), Linear(2, 3)], [*steps, ("add", (7, 5))], 8)


def test_steps_do_what_the_same_wire_does() -> None:
    one, other = Sequential(gated(), rng=0), Sequential(Gated(), rng=0)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(one(x), other(x))
    assert list(one.parameters()) == list(other.parameters())
    assert one[0].output_shape((4,)) == (3,)
    check_gradients(gated(), (4,))


def test_several_inputs_and_outputs_and_a_layer_that_gives_several() -> None:
    layer = Wired(
        [Embedding(5, 3), Fork(Linear(2, 3), Identity())],
        [(0, 0), (1, 1), ("add", (2, 3))],
        (5, 4),
        inputs=2,
        input_shape=((), (2,)),
        integer_input=(True, False),
    )
    model = Sequential(layer, rng=0)
    x = (np.array([0, 4]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    y, z = model(x)
    np.testing.assert_array_equal(z, x[1])
    assert (y.shape, layer.output_shape(((), (2,)))) == ((2, 3), ((3,), (2,)))


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    model = Sequential(gated(), Linear(3, 1), rng=0)
    save(model, tmp_path / "net.npz")
    again = load(tmp_path / "net.npz")
    assert repr(again) == repr(model)
    x = np.random.default_rng(0).normal(size=(5, 4))
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize(
    "step",
    [
        (1, 0),
        (-1, 0),
        (True, 0),
        (0, 0, 1),
        (0, -1),
        (0, 1.0),
        (0, ()),
        ("add", 0),
        ("add", (0, "1")),
        ("add", (0, 0), 1),
        ("concatenate", (0, 0)),
        ("concatenate", (0, 0), 0),
        ("split", 0, (1, 0), 1),
        ("split", (0,), (1, 1), 1),
        ("subtract", (0, 0)),
        "add",
        (),
    ],
    ids=repr,
)
def test_a_step_that_is_none_is_refused(step: Any) -> None:
    with pytest.raises(ValueError, match=r"Wired: expected step 1 as \(layer, value\), a layer by its number, or"):
        Wired([Tanh()], [(0, 0), step], 1)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="Wired: expected outputs as the number of a value, or a tuple of some, got"):
        Wired([Tanh()], [(0, 0)], -1)
    with pytest.raises(TypeError, match="Wired: expected layer 0 to be a Layer, got 3"):
        Wired([3], [], 0)  # type: ignore[list-item]  # that is the mistake
    with pytest.raises(ValueError, match="Wired: expected values below 2, got 2"):
        Sequential(Linear(2, 2), Wired([Tanh()], [(0, 0), (0, 2)], 1))
    with pytest.raises(ShapeError, match=r"Wired: add: expected inputs of the same shape, got"):
        Sequential(Linear(2, 2), Wired([Linear(2, 3)], [(0, 0), ("add", (0, 1))], 2))
    with pytest.raises(ShapeError, match="Wired: expected a tuple of 2 arrays, got 1"):
        Sequential(Wired([Tanh()], [(0, 0)], 1, inputs=2))([[1.0]])
