"""A trace holds every number of one pass, as the scalar recursion has it, and changes nothing in the model."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from nanonet import (
    SGD,
    Array,
    ContractError,
    CrossEntropy,
    Dropout,
    Identity,
    Layer,
    Linear,
    Residual,
    Sequential,
    Sigmoid,
    SquaredError,
    Tanh,
    Together,
    Trace,
)
from nanonet.core.arrays import parts_of
from nanonet.core.objects import called
from nanonet.inspection.rounding import written
from nanonet.inspection.table import FIGURE_SPACE
from tests import oracle
from tests.core.test_recursion import Problem, assert_equal, problems
from tests.helpers import Copy, Handing, Scale, data, everything, picture
from tests.registry import LAYERS, LayerCase, params


def net(dtype: Any = np.float64) -> Sequential:
    return Sequential(Linear(3, 4), Tanh(), Linear(4, 2), Sigmoid(), dtype=dtype, rng=0)


X, TARGET = [[1.0, -2.0, 0.5], [0.3, 0.1, -1.0]], [[1.0, 0.0], [0.0, 1.0]]


@settings(max_examples=60)
@given(problems())
def test_its_numbers_are_those_of_the_scalar_recursion(problem: Problem) -> None:
    trace = problem.model().trace(problem.x, problem.target, SquaredError())
    found = oracle.gradients(problem.net, problem.x, problem.target)
    assert trace.value is not None
    assert_equal(trace.value, oracle.loss(problem.net, problem.x, problem.target))
    for i, step in enumerate(problem.net):
        linear, activation = trace[2 * i], trace[2 * i + 1]
        passes = [oracle.outputs(problem.net, x) for x in problem.x]
        assert_equal(linear.input, [inputs[i] for _, inputs in passes])
        assert_equal(linear.output, [sums[i] for sums, _ in passes])
        assert_equal(activation.output, [inputs[i + 1] for _, inputs in passes])
        assert_equal(linear.parameters["weight"], step.weight)
        assert_equal(linear.gradients["weight"], found.weights[i])
        assert linear.grad_output is not None
        assert_equal(linear.grad_output.sum(axis=0), found.biases[i])
    assert_equal(trace[0].grad_input if trace[0].grad_input is not None else np.nan, found.inputs)


@pytest.mark.parametrize("case", params(LAYERS))
def test_it_takes_every_layer_there_is(case: LayerCase) -> None:
    layer = case.make()
    model, x = Sequential(layer, rng=0), case.x()
    before, y = picture(model), model(x)
    loss = Together(*[SquaredError()] * len(y)) if isinstance(y, tuple) else SquaredError()
    trace = model.trace(x, y, loss)
    for part, output, prediction in zip(*map(parts_of, (y, trace["0"].output, trace.prediction)), strict=True):
        np.testing.assert_array_equal(output, part)
        np.testing.assert_array_equal(prediction, part)
    whole = layer.integer_input if isinstance(layer.integer_input, tuple) else [bool(layer.integer_input)] * 9
    for part, grad, is_whole in zip(parts_of(x), parts_of(trace["0"].grad_input), whole, strict=False):
        assert grad is None if is_whole else grad.shape == part.shape
    assert picture(model) == before
    assert re.search(rf"^0 +{re.escape(called(layer)[:40])}", str(trace), re.MULTILINE)


def test_nothing_is_changed_in_the_model_its_gradients_included() -> None:
    model, (x, target) = everything(), data()
    model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.01), epochs=1)
    model.vector.grad = np.arange(model.vector.size)
    grads = {name: parameter.grad.copy() for name, parameter in model.parameters().items()}
    before, attributes = picture(model), {name: dict(vars(layer)) for name, layer in enumerate(model)}
    trace = model.trace(x, target, SquaredError())
    assert picture(model) == before
    assert {name: dict(vars(layer)) for name, layer in enumerate(model)} == attributes
    for name, parameter in model.parameters().items():
        np.testing.assert_array_equal(parameter.grad, grads[name])
    trace[0].parameters["weight"][...] = 7
    trace[0].output[...] = 7
    assert picture(model) == before


def test_layers_within_layers_are_reached_by_the_names_of_their_parameters() -> None:
    model, (x, target) = everything(), data()
    trace = model.trace(x, target, SquaredError())
    owners = {name.rpartition(".")[0] for name in model.parameters()}
    assert owners <= set(trace)
    _, grad = model.loss_and_grad(x, target, SquaredError())
    for name, parameter in model.parameters().items():
        owner, _, own = name.rpartition(".")
        np.testing.assert_array_equal(trace[owner].parameters[own], parameter.value)
        np.testing.assert_allclose(trace[owner].gradients[own], parameter.grad, rtol=1e-6, atol=1e-7)
    assert grad.any()


def test_a_number_means_the_layer_of_the_chain() -> None:
    trace = net().trace(X)
    assert trace[1] is trace["1"]
    assert trace[-1] is trace["3"]
    assert trace[np.int64(2)] is trace["2"]
    assert list(trace) == ["0", "1", "2", "3"]
    assert len(trace) == 4


def test_a_layer_that_is_called_twice_is_there_twice() -> None:
    class Twice(Layer):
        def __init__(self) -> None:
            self.cell = Scale(2)

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            y, first = self.cell.forward(x, training=training)
            z, second = self.cell.forward(y, training=training)
            return z, (first, second)

        def backward(self, grad: Array, cache: Any) -> Array:
            above = self.cell.backward(grad, cache[1])
            kept = self.cell.gain.grad.copy()
            below = self.cell.backward(above, cache[0])
            self.cell.gain.grad = self.cell.gain.grad + kept
            return below

    trace = Sequential(Twice(), dtype=np.float64).trace([[1.0, 2.0]], [[0.0, 0.0]], SquaredError())
    assert list(trace) == ["0", "0.cell", "0.cell#2"]
    np.testing.assert_allclose(trace["0.cell"].output, [[1.5, 3.0]])
    np.testing.assert_allclose(trace["0.cell#2"].output, [[2.25, 4.5]])
    assert trace["0.cell"].grad_output is not None
    assert trace["0.cell#2"].grad_output is not None
    np.testing.assert_allclose(trace["0.cell#2"].grad_output, [[2.25, 4.5]])
    np.testing.assert_allclose(trace["0.cell"].grad_output, [[3.375, 6.75]])
    np.testing.assert_allclose(trace["0.cell"].gradients["gain"], [2 * 1.5 * 2.25, 2 * 3.0 * 4.5])


class Both(Layer):
    """y = (f(x), f(10 x)) side by side, by one layer, gone back through in the order of the calls or in reverse."""

    def __init__(self, inner: Layer, *, reverse: bool) -> None:
        self.inner, self.reverse = inner, reverse

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        results = [self.inner.forward(factor * x, training=training) for factor in (1, 10)]
        return np.concatenate([y for y, _ in results], axis=1), [cache for _, cache in results]

    def backward(self, grad: Array, cache: Any) -> Array:
        calls = list(zip(np.split(grad, 2, axis=1), cache, (1, 10), strict=True))
        parts = [factor * self.inner.backward(g, own) for g, own, factor in (calls[::-1] if self.reverse else calls)]
        total: Array = np.sum(parts, axis=0)
        return total


def assert_told_apart(trace: Trace) -> None:
    """See that what went back through each of the two calls is what came out of it."""
    for name in ("0.inner", "0.inner#2"):
        back = trace[name].grad_output
        assert back is not None
        np.testing.assert_array_equal(back, trace[name].output)


@pytest.mark.parametrize("reverse", [False, True])
def test_calls_are_told_apart_by_their_caches_in_whatever_order_they_are_gone_back_through(reverse: bool) -> None:
    assert_told_apart(Sequential(Both(Copy(), reverse=reverse)).trace([[1.0]], [[0.0, 0.0]], SquaredError()))


def test_calls_with_one_cache_for_all_are_gone_back_through_in_reverse() -> None:
    assert_told_apart(Sequential(Both(Handing(), reverse=True)).trace([[1.0]], [[0.0, 0.0]], SquaredError()))


def test_a_layer_that_is_asked_for_its_parameters_alone_has_the_gradient_of_its_output() -> None:
    class Lowest(Layer):
        def __init__(self) -> None:
            self.inner = Linear(2, 2)

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return self.inner.forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            self.inner.backward_parameters(grad, cache)
            return np.zeros_like(grad)

    trace = Sequential(Lowest(), rng=0).trace([[1.0, 2.0]], [[0.0, 0.0]], SquaredError())
    inner = trace["0.inner"]
    assert inner.grad_output is not None
    np.testing.assert_array_equal(inner.grad_output, trace.prediction)
    assert inner.grad_input is None


def test_a_layer_that_writes_into_its_arguments_spoils_no_record() -> None:
    class Writing(Layer):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            x += 1
            return x, None

        def backward(self, grad: Array, cache: Any) -> Array:
            grad *= 2
            return grad

    trace = Sequential(Copy(), Writing(), Writing(), dtype=np.float64).trace([[1.0]], [[0.0]], SquaredError())
    assert [(layer.input.item(), layer.output.item()) for layer in trace.values()] == [(1, 1), (1, 2), (2, 3)]
    assert [layer.grad_input.item() for layer in trace.values() if layer.grad_input is not None] == [12, 12, 6]


def test_a_later_pass_of_its_model_changes_nothing_in_a_trace() -> None:
    trace = net().trace(X, TARGET, SquaredError())
    before = {name: layer.gradients["weight"].copy() for name, layer in trace.items() if layer.gradients}
    y, cache = trace.model.forward(-np.array(X))
    trace.model.backward(np.ones_like(y), cache)
    for name, gradient in before.items():
        np.testing.assert_array_equal(trace[name].gradients["weight"], gradient)


def test_without_a_target_there_are_no_gradients() -> None:
    trace = net().trace(X)
    assert (trace.value, trace.target, trace.loss) == (None, None, None)
    assert all(layer.grad_output is None and layer.gradients == {} for layer in trace.values())
    assert "dE" not in str(trace)
    assert "no target, so no gradients" in str(trace)


def test_one_sample_by_itself_has_its_own_loss_and_gradients() -> None:
    model = net()
    trace = model.trace(X, TARGET, SquaredError())
    for i in (1, -1):
        alone, expected = trace.sample(i), model.trace(X[i : i + 1 or None], TARGET[i : i + 1 or None], SquaredError())
        assert alone.value == expected.value
        np.testing.assert_array_equal(alone[0].gradients["weight"], expected[0].gradients["weight"])
    assert trace.value == pytest.approx((trace.sample(0).value + trace.sample(1).value) / 2)  # type: ignore[operator]  # there is a loss


def test_it_is_a_pass_in_inference() -> None:
    model = Sequential(Linear(3, 3), Dropout(0.5), dtype=np.float64, rng=0)
    trace = model.trace(X)
    np.testing.assert_array_equal(trace[1].output, trace[0].output)


# ---- the table


def test_the_table_names_shapes_and_shows_each_error_signal_once() -> None:
    trace = Sequential(Linear(2, 2, bias=False), Sigmoid(), dtype=np.float64, rng=0).trace(
        [[0.3, 0.2]], [[1, 0]], SquaredError()
    )
    text = str(trace)
    assert "(batch, 2)" in text
    assert text.count("g = dE/da") == 1
    assert re.search(r"^ +a +\(batch, 2\)", text, re.MULTILINE)
    assert re.search(r"^ +y +\(batch, 2\)", text, re.MULTILINE)
    g = trace[0].grad_output
    assert g is not None
    for number in g.ravel():
        assert text.count(f"{number:#.5g}") == 1


def test_every_number_of_the_table_is_the_true_one_to_5_digits() -> None:
    trace = net().trace(X, TARGET, SquaredError())
    table = str(trace)
    for layer in trace.values():
        for array in (layer.output, layer.grad_output, *layer.parameters.values(), *layer.gradients.values()):
            assert array is not None
            for number in array.ravel():
                shown = [float(text) for text in re.findall(r"-?\d[\d.]*(?:e-?\d+)?", table)]
                assert any(
                    abs(one - number) <= 0.51 * 10.0 ** (np.floor(np.log10(abs(number) or 1)) - 4) for one in shown
                )


def test_large_arrays_are_cut_and_say_so() -> None:
    trace = Sequential(Linear(20, 12), rng=0).trace(np.ones((30, 20)))
    assert "... 14 more ..." in str(trace)
    assert "... 24 more rows ..." in str(trace)
    assert max(map(len, str(trace).splitlines())) < 140


def test_of_what_is_cut_the_first_and_the_last_numbers_are_shown() -> None:
    table = str(Sequential(Identity()).trace(1000 + 20 * np.arange(20)[:, None] + np.arange(20)))
    rows = [re.findall(r"1\d{3}\.0", line) for line in table.splitlines() if "1" in line and "more ..." in line]
    expected = [[f"{1000 + 20 * i + k}.0" for k in (0, 1, 2, 3, 18, 19)] for i in (0, 1, 2, 3, 18, 19)]
    assert [row for row in rows if row] == 2 * expected


def test_numbers_in_a_column_have_their_points_below_each_other() -> None:
    weight = np.array([[1e-10, 2.0], [-1234.5, -0.001], [12.5, 99.0]])
    table = str(Sequential(Linear(2, 3, weight=weight, bias=False), dtype=np.float64).trace([[1.0, 1.0]]))
    first = table.splitlines().index(next(line for line in table.splitlines() if " weight " in line))
    points = [[place.start() for place in re.finditer(r"\.", line)] for line in table.splitlines()[first : first + 3]]
    assert points[0] == points[1] == points[2]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (99999.5, "1.0000e5"), (9999.95, "10000"), (999.994, "999.99"), (9.99999, "10.000"), (9.99999e-5, "0.00010000"),
        (5e-324, "4.9407e-324"), (-1.7976931348623157e308, "-1.7977e308"), (-0.0, "0"), (float("-inf"), "-inf"),
    ],
)  # fmt: skip
def test_a_number_that_rounds_up_has_no_digit_too_many(number: float, text: str) -> None:
    assert written(number) == text


def test_several_samples_are_said_to_have_the_gradients_of_the_mean() -> None:
    assert "E is the mean over the 2 samples, one row each; gradients are those of E." in str(
        net().trace(X, TARGET, SquaredError())
    )


def test_a_notebook_gets_a_table_that_is_well_formed_and_escaped() -> None:
    class Odd(Scale):
        def __repr__(self) -> str:
            return "Odd(<b>&)"

    html = Sequential(Odd(3), rng=0).trace(X)._repr_html_()
    assert "Odd(<b>&)" in "".join(ElementTree.fromstring(html).itertext())
    assert "<script" not in html


def test_a_notebook_gets_its_columns_aligned_too() -> None:
    trace = Sequential(Linear(1, 2, weight=[[1.0], [-100.0]], bias=False)).trace([[1.0]])
    cells = [cell.text or "" for cell in ElementTree.fromstring(trace._repr_html_()).iter("td")]
    assert f"{3 * FIGURE_SPACE}1.0000" in cells
    assert "-100.00" in cells


def test_a_nan_is_shown_as_such() -> None:
    model = net()
    x = np.array(X)
    x[0, 0] = np.nan
    trace = model.trace(x, TARGET, SquaredError())
    assert "NaN" in str(trace)
    assert "NaN" in trace._repr_html_()
    assert np.isnan(trace.value if trace.value is not None else 0.0)


# ---- bad input


def test_a_name_that_does_not_exist_is_refused_with_the_nearest() -> None:
    trace = Sequential(Residual(Linear(3, 3)), rng=0).trace(X)
    with pytest.raises(KeyError, match=r"there is no layer '0.iner'; did you mean '0.inner'\?"):
        trace["0.iner"]
    with pytest.raises(KeyError, match=r"there is no layer 'hidden'; there are '0', '0.inner'"):
        trace["hidden"]


@pytest.mark.parametrize("i", [1, -2])
def test_a_number_beyond_the_chain_is_refused(i: int) -> None:
    with pytest.raises(IndexError, match=f"trace: there is no layer {i}; the model has 1"):
        Sequential(Linear(3, 3), rng=0).trace(X)[i]


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a layer's number or name, such as 0 or \"0\", got 0.5"):
        net().trace(X)[0.5]  # type: ignore[index]  # what is wrong on purpose


def test_target_and_loss_go_together() -> None:
    with pytest.raises(TypeError, match=r"a target needs a loss: trace\(x, target, SquaredError\(\)\)"):
        net().trace(X, TARGET)
    with pytest.raises(TypeError, match="a loss needs a target"):
        net().trace(X, loss=SquaredError())
    with pytest.raises(TypeError, match=r"expected loss to be a Loss, got <class .*; write SquaredError\(\.\.\.\)"):
        net().trace(X, TARGET, SquaredError)  # type: ignore[arg-type]  # what is wrong on purpose


def test_shapes_that_do_not_fit_are_refused_as_everywhere() -> None:
    with pytest.raises(ValueError, match=r"expected input of shape \(batch, 3\)"):
        net().trace([[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"prediction has shape \(2, 2\) but target has shape \(2,\)"):
        net().trace(X, [1.0, 2.0], SquaredError())
    with pytest.raises(ValueError, match="expected one sample or more"):
        net().trace(np.empty((0, 3)))


def test_a_sample_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError, match="there is no sample 2; it holds 2, from 0 to 1"):
        net().trace(X).sample(2)


def test_a_layer_that_fails_is_named() -> None:
    class Failing(Scale):
        def backward(self, grad: Array, cache: Any) -> Array:
            raise ZeroDivisionError("out of hope")

    with pytest.raises(ZeroDivisionError, match="out of hope"):
        Sequential(Failing(3), rng=0).trace(X, X, SquaredError())


def test_a_layer_that_breaks_the_contract_is_named() -> None:
    class Silent(Copy):
        def backward(self, grad: Array, cache: Any) -> Array:
            return None  # type: ignore[return-value]  # what is wrong on purpose

    with pytest.raises(ContractError, match=r"layer 1, Silent\(\): backward must return an array, got NoneType"):
        Sequential(Linear(3, 3), Silent(), rng=0).trace(X, X, SquaredError())


def test_an_empty_chain_has_a_trace() -> None:
    trace = Sequential().trace(X)
    assert isinstance(trace, Trace)
    np.testing.assert_allclose(trace.prediction, X, rtol=1e-6)
    assert "x" in str(trace)


def test_labels_are_shown_as_they_are() -> None:
    trace = net().trace(X, [1, 0], CrossEntropy())
    assert re.search(r"t +\(batch\) +1  0$", str(trace), re.MULTILINE)


# ---- models that are more than a chain


class Skip(Sequential):
    """y = x + chain(x)."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        y, cache = super().forward(x, training=training)
        return x + y, cache

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad + super().backward(grad, cache)


def test_a_chain_with_passes_of_its_own_is_traced_as_a_whole() -> None:
    model = Skip(Linear(2, 2), Tanh(), dtype=np.float64, rng=0)
    trace = model.trace([[1.0, 2.0]], [[0.0, 0.0]], SquaredError())
    np.testing.assert_array_equal(trace.prediction, model([[1.0, 2.0]]))
    assert trace.grad_x is not None
    assert trace[0].grad_input is not None
    np.testing.assert_allclose(trace.grad_x, trace.prediction + trace[0].grad_input)
    assert "model" in [words.text.split()[0] for words in trace.draw().words]


def test_a_chain_that_leaves_out_its_last_layer_has_a_trace() -> None:
    class Features(Sequential):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return self.layers[0].forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            return self.layers[0].backward(grad, cache)

    trace = Features(Linear(2, 3), Tanh(), rng=0).trace([[1.0, 2.0]])
    assert list(trace) == ["0"]
    np.testing.assert_array_equal(trace.prediction, trace[0].output)


def test_a_linear_with_a_forward_of_its_own_is_not_said_to_give_sums() -> None:
    class Rectified(Linear):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            y, cache = super().forward(x, training=training)
            return np.maximum(y, 0), cache

    trace = Sequential(Rectified(3, 2), rng=0).trace(X, TARGET, SquaredError())
    assert trace[0].symbol == "y"
    assert "g = dE/da" not in str(trace)


def test_where_no_backward_ran_there_are_no_gradients() -> None:
    class Stop(Scale):
        def __init__(self) -> None:
            self.inner = Linear(3, 3)

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            return self.inner.forward(x)[0], None

        def backward(self, grad: Array, cache: Any) -> Array:
            return np.zeros_like(grad)

    trace = Sequential(Stop(), rng=0).trace(X, X, SquaredError())
    assert trace["0.inner"].gradients == {}


def test_a_layer_that_writes_into_its_argument_spoils_neither_the_data_nor_the_trace() -> None:
    class Greedy(Scale):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            x += 1
            return super().forward(x, training=training)

    x = np.array(X, np.float32)
    trace = Sequential(Greedy(3), rng=0).trace(x)
    np.testing.assert_array_equal(x, np.array(X, np.float32))
    np.testing.assert_array_equal(trace.x, x)


def test_no_sample_of_another_kind_and_no_strange_key_is_taken_for_one() -> None:
    trace = net().trace(X)
    for odd in ("a", 1.5, True):
        with pytest.raises(TypeError, match="expected a sample's number, such as 0"):
            trace.sample(odd)  # type: ignore[arg-type]  # what is wrong on purpose
    assert [key in trace for key in (3, 5, "3", "5")] == [True, False, True, False]
    assert None not in trace


def test_an_input_without_features_has_a_table() -> None:
    trace = Sequential().trace(np.empty((1, 0)))
    assert "(batch, 0)" in str(trace)
    assert trace.draw().svg.startswith("<svg")
