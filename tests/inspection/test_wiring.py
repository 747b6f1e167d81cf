"""A Composite is drawn by its parts: each call is a column, and arrows lead to it from the values that it takes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np

from nanonet import (
    Array,
    Composite,
    Conv2d,
    Fork,
    Identity,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    SquaredError,
    Tanh,
    Trace,
    Upsample,
)
from nanonet.inspection.drawing.columns import Column, columns_of
from nanonet.inspection.drawing.figure import Stroke
from nanonet.inspection.wiring import Wiring, X
from tests.inspection.test_drawing import assert_nothing_overlaps


class Skip(Composite):
    """b(tanh(a(x))) + a(x) + x, with a(x) taken twice."""

    def __init__(self) -> None:
        self.input_shape = (3,)
        self.a, self.tanh, self.b = Linear(3, 3), Tanh(), Linear(3, 3)

    def wire(self, call: Any, x: Any) -> Any:
        h = call(self.a, x)
        return call.add(call(self.b, call(self.tanh, h)), h, x)


class Siamese(Composite):
    """One embedding for two inputs."""

    def __init__(self) -> None:
        self.input_shape = ((4,), (4,))
        self.embed, self.head = Sequential(Linear(4, 3), Tanh()), Linear(6, 1)

    def wire(self, call: Any, x: Any) -> Any:
        a, b = x
        return call(self.head, call.concatenate(call(self.embed, a), call(self.embed, b)))


class Unet(Composite):
    """A small image beside what becomes of it at half the size."""

    def __init__(self) -> None:
        self.input_shape = (1, None, None)
        self.down, self.mid, self.out = Conv2d(1, 2, 3, padding=1), Conv2d(2, 2, 3, padding=1), Conv2d(4, 1, 1)
        self.pool, self.up, self.relu = MaxPool2d(2), Upsample(2), ReLU()

    def wire(self, call: Any, x: Any) -> Any:
        a = call(self.relu, call(self.down, x))
        b = call(self.relu, call(self.mid, call(self.pool, a)))
        return call(self.out, call.concatenate(a, call(self.up, b), axis=1))


class Halves(Composite):
    """Both halves of x, each through a layer of several outputs; the first half comes out too."""

    def __init__(self) -> None:
        self.input_shape = (4,)
        self.fork, self.gate = Fork(Identity(), Linear(2, 2)), Linear(2, 2)

    def wire(self, call: Any, x: Any) -> Any:
        one, other = call.split(x, 2, 2)
        y, z = call(self.fork, one)
        return call.multiply(y, call(self.gate, other)), z, one


def traced(composite: Composite, *shapes: tuple[int, ...]) -> Trace:
    rng = np.random.default_rng(0)
    x = tuple(rng.normal(size=(1, *shape)) for shape in shapes)
    model = Sequential(composite, dtype=np.float64, rng=0)
    return model.trace(x if len(x) > 1 else x[0])


def steps(trace: Trace, name: str = "0") -> list[tuple[str, list[int]]]:
    return [(step.name, step.sources) for step in Wiring(trace, trace[name]).steps]


def drawn(trace: Trace) -> list[Column]:
    """Draw a trace, check the figure, and return the columns."""
    figure = trace.draw()
    assert_nothing_overlaps(figure)
    ElementTree.fromstring(figure.svg)
    return columns_of(trace)


# ---- the steps


def test_a_step_takes_the_values_of_others() -> None:
    assert steps(traced(Skip(), (3,))) == [("0.a", [X]), ("0.tanh", [0]), ("0.b", [1]), ("add", [2, 0, X])]


def test_a_layer_called_again_is_another_step_with_its_own_numbers() -> None:
    trace = traced(Siamese(), (4,), (4,))
    found = Wiring(trace, trace["0"]).steps
    assert [step.name for step in found] == ["0.embed", "0.embed#2", "concatenate, axis -1", "0.head"]
    assert found[1].record is trace["0.embed#2"]


def test_pieces_and_several_outputs_come_from_one_step() -> None:
    assert steps(traced(Halves(), (4,))) == [
        ("split, axis -1", [X]),
        ("0.fork", [0]),
        ("0.gate", [0]),
        ("multiply", [1, 2]),
        ("output", [3, 1, 0]),
    ]


def test_looking_runs_no_layer_and_changes_nothing() -> None:
    trace = traced(Skip(), (3,))
    before = {name: record.output.copy() for name, record in trace.items()}
    trace.draw()
    assert list(trace) == list(before)
    for name, output in before.items():
        np.testing.assert_array_equal(trace[name].output, output)


# ---- the figure


def heads(columns: list[Column]) -> list[str]:
    return [column.heading[0] for column in columns]


def test_parts_are_columns_and_skips_are_arrows_below_them() -> None:
    trace = traced(Skip(), (3,))
    columns = drawn(trace)
    assert heads(columns) == ["input", "0.a  Linear(3, 3)", "0.tanh  Tanh()", "0.b  Linear(3, 3)", "add"]
    assert [column.wires for column in columns] == [[], [], [], [], [1, 0]]
    np.testing.assert_array_equal(columns[-1].rows["y"], trace.prediction[0])
    figure = trace.draw()
    lowest = max(words.y for column in columns for words in figure.words if words.text.startswith("a["))
    below = [s for s in figure.shapes if isinstance(s, Stroke) and s.y1 == s.y2 and s.y1 > lowest and s.x2 - s.x1 > 99]
    assert len({line.y1 for line in below}) == 2
    assert "0.a  Linear(3, 3) leads to add; input leads to add" in figure.description


def test_an_activation_shares_the_units_of_sums_that_it_takes_alone() -> None:
    class Chained(Skip):
        def wire(self, call: Any, x: Any) -> Any:
            return call(self.b, call(self.tanh, call(self.a, x)))

    assert len(drawn(traced(Chained(), (3,)))) == 3
    assert len(drawn(traced(Skip(), (3,)))) == 5


def test_an_activation_of_feature_maps_that_others_take_too_stands_apart() -> None:
    class Both(Unet):
        def wire(self, call: Any, x: Any) -> Any:
            a = call(self.down, x)
            return call.add(call(self.relu, a), a)

    columns = drawn(traced(Both(), (1, 4, 4)))
    assert [list(column.pictures) for column in columns] == [["x"], ["W", "a"], ["y"], ["y"]]


def test_several_pieces_have_no_value_of_their_own() -> None:
    (split,) = [column for column in drawn(traced(Halves(), (4,))) if column.heading[0].startswith("split")]
    assert split.count == 0


def test_a_composite_that_is_called_twice_is_a_block_each_time() -> None:
    class Twice(Composite):
        def __init__(self) -> None:
            self.input_shape = (3,)
            self.skip = Skip()

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.skip, call(self.skip, x))

    found = heads(drawn(traced(Twice(), (3,))))
    assert found == ["input", "0.skip  Skip()", "y of 0.skip", "0.skip#2  Skip()", "y of 0.skip#2"]


def test_the_value_of_an_operation_is_shown_where_a_layer_takes_it() -> None:
    trace = traced(Unet(), (1, 4, 4))
    columns = drawn(trace)
    (joined,) = [column for column in columns if column.heading[0] == "concatenate, axis 1"]
    np.testing.assert_array_equal(joined.pictures["y"][:, 0], trace["0.out"].input[0])
    assert joined.wires == [heads(columns).index("0.down  Conv2d(1, 2, 3, padding=1)")]
    assert "0.relu#2  ReLU()" in [line for column in columns for line in column.heading]


def test_what_is_no_neighbour_is_linked_by_a_wire_alone() -> None:
    columns = drawn(traced(Siamese(), (4,), (4,)))
    again = next(column for column in columns if column.heading[0].startswith("0.embed#2"))
    assert (again.link, again.wires) == ("none", [0])
    assert drawn(traced(Halves(), (4,)))[-1].heading[0] == "output"


def test_composites_within_composites_and_chains_are_drawn_by_their_parts() -> None:
    class Outer(Composite):
        def __init__(self) -> None:
            self.input_shape = (3,)
            self.inner, self.chain = Skip(), Sequential(Linear(3, 2), Tanh())

        def wire(self, call: Any, x: Any) -> Any:
            return call(self.chain, call(self.inner, x))

    found = heads(drawn(traced(Outer(), (3,))))
    assert found[1:] == [
        "0.inner.a  Linear(3, 3)",
        "0.inner.tanh  Tanh()",
        "0.inner.b  Linear(3, 3)",
        "add",
        "0.chain.0  Linear(3, 2)",
    ]


def test_a_composite_with_a_forward_of_its_own_or_many_calls_is_a_block() -> None:
    class Other(Skip):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return super().forward(x, training=training)

    class Long(Skip):
        def wire(self, call: Any, x: Any) -> Any:
            for _ in range(13):
                x = call(self.a, x)
            return x

    for composite in (Other(), Long()):
        columns = drawn(traced(composite, (3,)))
        assert len(columns) == 3
        assert columns[1].heading[1:-1] == ["· a: Linear(3, 3)", "· tanh: Tanh()", "· b: Linear(3, 3)"]


def test_wires_keep_clear_of_matrices_and_targets() -> None:
    model = Sequential(Skip(), Linear(3, 9), Tanh(), rng=0)
    assert_nothing_overlaps(model.trace(np.ones((1, 3)), np.ones((1, 9)), SquaredError()).draw())
