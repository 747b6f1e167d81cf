"""RNN, LSTM and GRU: PyTorch's in all their options; what lies beyond an end counts for nothing; states go on."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    GRU,
    LSTM,
    RNN,
    SGD,
    Adam,
    Array,
    Callback,
    Composite,
    Embedding,
    Identity,
    Layer,
    Linear,
    NonFiniteError,
    Optimizer,
    Parallel,
    Sequential,
    ShapeError,
    SquaredError,
    Trainer,
    check_gradients,
    load,
    save,
    strict,
)
from nanonet.core.arrays import parts_of
from nanonet.core.rows import may_mix
from nanonet.layers.recurrent import product
from nanonet.layers.recurrent.recurrent import Recurrent
from tests.helpers import generator_state

KINDS: list[type[Recurrent]] = [RNN, LSTM, GRU]
every_kind = pytest.mark.parametrize("kind", KINDS)
SAMPLES, TIMES, FEATURES, HIDDEN = 4, 6, 3, 5


def sequences(samples: int = SAMPLES, times: int = TIMES, rng: int = 0) -> Array:
    return np.random.default_rng(rng).normal(size=(samples, times, FEATURES))


def model_of(layer: Layer, *more: Layer) -> Any:
    return Sequential(layer, *more, dtype=np.float64, rng=1)


def close(ours: Any, theirs: Any, tolerance: float = 1e-12) -> None:
    for part, other in zip(parts_of(ours), parts_of(theirs), strict=True):
        np.testing.assert_allclose(part, other, rtol=0, atol=tolerance)


# ---- the formulas


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def by_hand(layer: Any, x: Array) -> Array:
    """Return h of all times for one sample (T, F), as the formulas of the docstrings say."""
    w, u = layer.weight_ih_l0.value, layer.weight_hh_l0.value
    b, d = layer.bias_ih_l0.value, layer.bias_hh_l0.value
    h = c = np.zeros(layer.hidden_size)
    found = []
    for step in x:
        of_x, of_h = w @ step + b, u @ h + d
        if isinstance(layer, RNN):
            h = np.tanh(of_x + of_h)
        elif isinstance(layer, LSTM):
            i, f, g, o = np.split(of_x + of_h, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (rx, zx, nx), (rh, zh, nh) = np.split(of_x, 3), np.split(of_h, 3)
            z, n = sigmoid(zx + zh), np.tanh(nx + sigmoid(rx + rh) * nh)
            h = (1 - z) * n + z * h
        found.append(h)
    return np.array(found)


@every_kind
def test_it_is_what_its_formula_says(kind: type[Recurrent]) -> None:
    layer, x = kind(FEATURES, HIDDEN), sequences()
    close(model_of(layer)(x), np.array([by_hand(layer, each) for each in x]))


@every_kind
def test_its_initial_values_are_uniform_up_to_one_by_the_root_of_the_hidden_size(kind: type[Recurrent]) -> None:
    layer = kind(30, 100)
    model = Sequential(layer, rng=0)
    values = model.vector.value
    assert np.abs(values).max() <= 0.1
    assert abs(float(values.std()) - 0.1 / 3**0.5) < 1e-3
    assert layer.weight_hh_l0.shape == (layer.cell.gates * 100, 100)


@every_kind
def test_large_numbers_overflow_nowhere(kind: type[Recurrent]) -> None:
    x = np.where(sequences() > 0, 1000.0, -1000.0)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        model = model_of(kind(FEATURES, HIDDEN))
        y, cache = model.forward(x)
        dx = model.backward(np.ones_like(y), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


# ---- PyTorch's


def drawn_layer(data: st.DataObject) -> tuple[Recurrent, dict[str, Any]]:
    """Return a layer with options drawn, and those that PyTorch has too."""
    kind = data.draw(st.sampled_from(KINDS))
    shared: dict[str, Any] = {
        "num_layers": data.draw(st.integers(1, 3)),
        "bias": data.draw(st.booleans()),
        "bidirectional": data.draw(st.booleans()),
    }
    if kind is RNN:
        shared["nonlinearity"] = data.draw(st.sampled_from(["tanh", "relu"]))
    own: dict[str, Any] = {
        "output": data.draw(st.sampled_from(["sequence", "last", "all"])),
        "initial_state": data.draw(st.booleans()),
        "lengths": data.draw(st.booleans()),
    }
    input_size, hidden_size = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    return kind(input_size, hidden_size, **shared, **own), shared


def twin(layer: Recurrent, model: Sequential, **shared: Any) -> Any:
    """Return PyTorch's module with the numbers of a layer."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    module = getattr(torch.nn, type(layer).__name__)(layer.input_size, layer.hidden_size, batch_first=True, **shared)
    own = {name.removeprefix("0."): torch.tensor(value) for name, value in model.state_dict().items()}
    assert list(own) == list(module.state_dict())
    module.double().load_state_dict(own)
    return module


def run_there(layer: Recurrent, module: Any, parts: list[Any]) -> list[Any]:
    """Return what a module gives, in the form of the layer."""
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, *others = parts
    whole = x.shape[1]
    if layer.lengths:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, others.pop(), batch_first=True, enforce_sorted=False)
    first = [state.transpose(0, 1).contiguous() for state in others]
    y, last = module(x, None if not first else first[0] if len(first) == 1 else tuple(first))
    if layer.lengths:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=whole)
    states = [state.transpose(0, 1) for state in (last if isinstance(last, tuple) else (last,))]
    if layer.output == "last":
        return [states[0][:, -layer.directions :].flatten(1)]
    return [y, *states] if layer.output == "all" else [y]


@pytest.mark.peer
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_it_is_pytorchs_in_both_passes(data: st.DataObject) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer, shared = drawn_layer(data)
    model = model_of(layer)
    module = twin(layer, model, **shared)
    samples, times = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    state = samples, layer.num_layers * layer.directions, layer.hidden_size
    parts: list[Any] = [rng.normal(rng.normal(), 2, (samples, times, layer.input_size))]
    parts += [rng.normal(size=state) for _ in layer.state_names if layer.initial_state]
    parts += [rng.integers(1, times + 1, samples)] if layer.lengths else []
    y, cache = model.forward(tuple(parts) if len(parts) > 1 else parts[0])
    there = [torch.tensor(part, requires_grad=part.dtype.kind == "f") for part in parts]
    y_there = run_there(layer, module, there)
    close(y, tuple(part.detach().numpy() for part in y_there))
    grads = tuple(rng.normal(size=part.shape) for part in parts_of(y))
    dx = parts_of(model.backward(grads if isinstance(y, tuple) else grads[0], cache))
    torch.autograd.backward(y_there, [torch.tensor(grad) for grad in grads])
    assert [part is None for part in dx] == [not part.requires_grad for part in there]
    for part, part_there in zip(dx, there, strict=True):
        if part is not None:
            close(part, part_there.grad.numpy(), 1e-10)
    for name, parameter in module.named_parameters():
        close(model.parameters()[f"0.{name}"].grad, parameter.grad.numpy(), 1e-10)


@pytest.mark.peer
@every_kind
@pytest.mark.parametrize("optimizer", [SGD(0.05, momentum=0.9), Adam(0.01, epsilon=1e-4)], ids=["SGD", "Adam"])
def test_fifty_steps_lead_where_pytorchs_lead(kind: type[Recurrent], optimizer: Optimizer) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = kind(FEATURES, HIDDEN, 2, bidirectional=True, output="last", lengths=True)
    model = model_of(layer)
    module = twin(layer, model, num_layers=2, bidirectional=True)
    rule = (
        torch.optim.SGD(module.parameters(), 0.05, 0.9)
        if isinstance(optimizer, SGD)
        else torch.optim.Adam(module.parameters(), 0.01, eps=1e-4)
    )
    trainer, rng = Trainer(model, loss=SquaredError(), optimizer=optimizer), np.random.default_rng(0)
    for _ in range(50):
        x, lengths = rng.normal(size=(SAMPLES, TIMES, FEATURES)), rng.integers(1, TIMES + 1, SAMPLES)
        target = rng.normal(size=(SAMPLES, 2 * HIDDEN))
        trainer.step((x, lengths), target)
        (y,) = run_there(layer, module, [torch.tensor(x), torch.tensor(lengths)])
        rule.zero_grad()
        (0.5 * (y - torch.tensor(target)) ** 2).sum(1).mean().backward()
        rule.step()
    for name, parameter in module.named_parameters():
        close(model.parameters()[f"0.{name}"].value, parameter.detach().numpy(), 1e-10)


@pytest.mark.peer
@every_kind
def test_it_goes_to_pytorch_as_a_module_that_passes_on_one_value(kind: type[Recurrent]) -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    from nanonet.interchange.torch import from_torch, to_torch

    x = np.array([[0, 3, 1], [2, 2, 0]])
    model = model_of(Embedding(4, FEATURES), kind(FEATURES, HIDDEN, 2, dropout=0.3), Linear(HIDDEN, 2))
    module = pickle.loads(pickle.dumps(to_torch(model)))
    assert isinstance(module[1], getattr(torch.nn, kind.__name__))
    close(model(x), module(torch.tensor(x)).detach().numpy())
    assert repr(from_torch(module)[1]) == f"{kind.__name__}(3, 5, num_layers=2, dropout=0.3)"
    plain = torch.nn.Sequential(getattr(torch.nn, kind.__name__)(FEATURES, HIDDEN, batch_first=True)).double()
    close(from_torch(plain)(sequences()), plain(torch.tensor(sequences()))[0].detach().numpy())
    with pytest.raises(
        TypeError, match=r"expected batch_first=True, got False; .*make another module with batch_first"
    ):
        from_torch(torch.nn.Sequential(getattr(torch.nn, kind.__name__)(2, 3)))
    with pytest.raises(
        TypeError, match=r"layer 0, .*carry=2\): PyTorch's module carries no state; make the layer with"
    ):
        to_torch(model_of(kind(2, 3, carry=2)))


# ---- lengths


@every_kind
def test_each_sequence_is_read_as_if_it_stood_alone_and_ended_at_its_length(kind: type[Recurrent]) -> None:
    layer = kind(FEATURES, HIDDEN, 2, bidirectional=True, output="all", lengths=True)
    plain = kind(FEATURES, HIDDEN, 2, bidirectional=True, output="all")
    model, alone = model_of(layer), model_of(plain)
    x, lengths = sequences(), np.array([6, 1, 3, 5])
    (y, *states), cache = model.forward((x, lengths))
    grads = [np.random.default_rng(3).normal(size=part.shape) for part in (y, *states)]
    dx, nothing = model.backward(tuple(grads), cache)
    assert nothing is None
    total = np.zeros_like(model.vector.grad)
    for i, length in enumerate(lengths):
        y_alone, cache = alone.forward(x[i : i + 1, :length])
        close(tuple(part[i : i + 1] for part in (y[:, :length], *states)), y_alone)
        cut = [grads[0][i : i + 1, :length], *(grad[i : i + 1] for grad in grads[1:])]
        close(dx[i : i + 1, :length], alone.backward(tuple(cut), cache), 1e-11)
        assert not y[i, length:].any()
        assert not dx[i, length:].any()
        total += alone.vector.grad
    close(model.vector.grad, total, 1e-11)


@every_kind
def test_what_lies_beyond_an_end_may_be_anything(kind: type[Recurrent]) -> None:
    model = model_of(kind(FEATURES, HIDDEN, bidirectional=True, output="last", lengths=True))
    x, lengths = sequences(), [6, 1, 3, 0]
    other = np.where(np.arange(TIMES)[:, None] < np.array(lengths)[:, None, None], x, 1e3)
    np.testing.assert_array_equal(model((x, lengths)), model((other, lengths)))
    assert not model((x, lengths))[3].any()  # of nothing read, the first state is left, which is 0


def test_lengths_go_through_a_parallel_beside_an_embedding() -> None:
    words, lengths = np.array([[1, 2, 0], [3, 0, 0]]), np.array([2, 1])
    model = model_of(Parallel(Embedding(4, FEATURES), Identity()), LSTM(FEATURES, HIDDEN, lengths=True, output="last"))
    with strict():
        y, cache = model.forward(model.enter((words, lengths)))
        model.backward(np.ones_like(y), cache)
    close(y[1:], model((words[1:, :1], lengths[1:])))


class Read(Composite):
    """The last state of words with lengths."""

    input_shape = ((None,), ())
    integer_input = (True, True)

    def __init__(self) -> None:
        self.embedding, self.recurrent = Embedding(4, FEATURES), GRU(FEATURES, HIDDEN, lengths=True, output="last")

    def wire(self, call: Any, x: Any) -> Any:
        """Return the last state."""
        words, lengths = x
        return call(self.recurrent, (call(self.embedding, words), lengths))


def test_a_composite_passes_lengths_on_as_integers() -> None:
    words, lengths = np.array([[1, 2, 0], [3, 0, 0]]), np.array([2, 1])
    assert check_gradients(Read(), x=(words, lengths)).comparisons
    model = model_of(Read())
    close(model((words[1:, :1], lengths[1:])), model((words, lengths))[1:])


@pytest.mark.parametrize("wrong", [7, -1, 2.5])
def test_a_length_outside_the_sequence_is_named_with_its_place(wrong: float) -> None:
    layer = GRU(FEATURES, HIDDEN, lengths=True)
    model_of(layer)
    message = rf"^GRU\(3, 5, lengths=True\): expected lengths from 0 to 6, got {wrong}(\.0)? at 2"
    with pytest.raises(ValueError, match=message):
        layer.forward((sequences(), np.array([1, 6, wrong, 2])))


# ---- states


@every_kind
def test_two_halves_with_the_state_between_them_are_the_whole(kind: type[Recurrent]) -> None:
    layer = kind(FEATURES, HIDDEN, 2, output="all", initial_state=True)
    model, x = model_of(layer), sequences()
    zeros = [np.zeros((SAMPLES, 2, HIDDEN)) for _ in layer.state_names]
    (y, *last), cache = model.forward((x, *zeros))
    (first, *middle), cache_first = model.forward((x[:, :2], *zeros))
    (second, *end), cache_second = model.forward((x[:, 2:], *middle))
    close(np.concatenate([first, second], axis=1), y)
    close(tuple(end), tuple(last))
    grad = np.random.default_rng(2).normal(size=y.shape)
    nothing = tuple(np.zeros_like(state) for state in zeros)
    dx, *_ = model.backward((grad, *nothing), cache)
    whole = model.vector.grad.copy()
    dx_second, *between = model.backward((grad[:, 2:], *nothing), cache_second)
    part = model.vector.grad.copy()
    dx_first, *_ = model.backward((grad[:, :2], *between), cache_first)
    close(np.concatenate([dx_first, dx_second], axis=1), dx)
    close(part + model.vector.grad, whole, 1e-11)


@every_kind
def test_a_carried_state_goes_on_where_the_batch_before_ended(kind: type[Recurrent]) -> None:
    layer = kind(FEATURES, HIDDEN, 2, carry=SAMPLES)
    model, x = model_of(layer), sequences()
    whole = model(x)
    pieces = [model.forward(x[:, start : start + 2], training=True)[0] for start in (0, 2, 4)]
    close(np.concatenate(pieces, axis=1), whole)
    before = model.state_dict()
    close(model(x), whole)  # inference begins with 0, and moves nothing
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    assert [name for name in before if "carried" in name] == [f"0.carried_{name}" for name in layer.state_names]
    layer.reset_state()
    close(model.forward(x, training=True)[0], whole)


class Reset(Callback):
    """Begins each epoch with the state 0."""

    def epoch_begin(self, trainer: Trainer) -> None:
        """Reset the layer."""
        trainer.model[0].reset_state()


def carrying() -> Sequential:
    return Sequential(LSTM(FEATURES, HIDDEN, 2, dropout=0.4, carry=2), Linear(HIDDEN, 1), rng=3)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_resumed_training_goes_on_with_the_carried_state_bit_for_bit(tmp_path: Path, epochs: int) -> None:
    x, target = sequences(8).astype(np.float32), sequences(8)[..., :1].astype(np.float32)
    settings: dict[str, Any] = {"batch_size": 2, "shuffle": False, "verbose": 0}
    whole, first, later = (Trainer(carrying(), loss=SquaredError(), optimizer=Adam(0.01), rng=5) for _ in range(3))
    whole.fit(x, target, epochs=3, **settings)
    first.fit(x, target, epochs=epochs, **settings)
    assert first.model.state_dict()["0.carried_c"].any()
    first.save(tmp_path / "run.npz")
    later.resume(tmp_path / "run.npz")
    later.fit(x, target, until_epoch=3, **settings)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(later.model.state_dict()[name], value)
    save(whole.model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert repr(again) == repr(whole.model)
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], value)


def test_a_callback_may_begin_each_epoch_anew() -> None:
    x = sequences(2)
    model = model_of(RNN(FEATURES, 1, carry=2))
    model.fit(x, x[..., :1], loss=SquaredError(), optimizer=SGD(0.0), epochs=2, callbacks=[Reset()], verbose=0)
    close(model[0].carried_h.value[:, 0], model(x)[:, -1])


def test_a_step_that_is_not_taken_leaves_the_carried_state() -> None:
    model, x = model_of(GRU(FEATURES, 1, carry=SAMPLES)), sequences()
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.1))
    trainer.step(x, x[..., :1])
    before = model.state_dict()
    with pytest.raises(NonFiniteError):
        trainer.step(x, np.where(x[..., :1] > 0, 1e200, 0))
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())


def test_a_batch_whose_states_go_on_is_not_taken_apart() -> None:
    assert not may_mix(model_of(GRU(FEATURES, 1)), training=True)
    assert may_mix(model_of(GRU(FEATURES, 1, carry=4)), training=True)


def test_another_batch_size_is_refused_in_training() -> None:
    model = model_of(LSTM(FEATURES, 1, carry=SAMPLES))
    message = r"LSTM\(3, 1, carry=4\): expected a batch of 4 in training, as carry says, got 3; leave out a last batch"
    with pytest.raises(ValueError, match=message):
        model.forward(sequences(3), training=True)
    assert model(sequences(3)).shape == (3, TIMES, 1)


# ---- layers on each other


def test_dropout_lies_between_the_layers_and_in_training_alone() -> None:
    layer = LSTM(FEATURES, HIDDEN, 2, dropout=0.5)
    model, x = model_of(layer), sequences()
    lower, upper = LSTM(FEATURES, HIDDEN), LSTM(HIDDEN, HIDDEN)
    for single, which in ((lower, 0), (upper, 1)):
        model_of(single)
        for name, parameter in layer.parameters_of(which).items():
            single.parameters()[f"{name}_l0"].value = parameter.value
    between, _ = lower.forward(x)
    close(model(x), upper.forward(between)[0])
    state = generator_state(layer.random.generator)
    y, (cache,) = model.forward(x, training=True)
    mask = cache.masks[1].transpose(2, 0, 1)
    assert {*np.unique(mask)} == {0.0, 2.0}
    close(y, upper.forward(between * mask)[0])
    assert generator_state(layer.random.generator) != state


@every_kind
@pytest.mark.parametrize("columns", [1, 7, 10**6])
def test_the_gradients_do_not_depend_on_how_many_columns_one_product_has(
    kind: type[Recurrent], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(kind(FEATURES, HIDDEN))
    y, cache = model.forward(sequences())
    model.backward(np.ones_like(y), cache)
    expected = model.vector.grad.copy()
    monkeypatch.setattr(product, "COLUMNS", columns)
    model.backward(np.ones_like(y), cache)
    close(model.vector.grad, expected, 1e-11)


@every_kind
def test_the_cache_of_one_pass_outlives_another(kind: type[Recurrent]) -> None:
    model = model_of(kind(FEATURES, HIDDEN, 2, bidirectional=True))
    x, grad = sequences(), np.ones((SAMPLES, TIMES, 2 * HIDDEN))
    _, cache = model.forward(x)
    expected = model.backward(grad, cache)
    y, _ = model.forward(2 * x)
    y[...] = 0
    np.testing.assert_array_equal(model.backward(grad, cache), expected)


@every_kind
@pytest.mark.parametrize("shape", [(0, TIMES, FEATURES), (SAMPLES, 0, FEATURES)])
def test_a_batch_without_samples_or_without_times_is_right_too(kind: type[Recurrent], shape: tuple[int, ...]) -> None:
    model = model_of(kind(FEATURES, HIDDEN, bidirectional=True, output="all"))
    (y, *states), cache = model.forward(np.zeros(shape))
    assert y.shape == (*shape[:2], 2 * HIDDEN)
    dx = model.backward((np.ones_like(y), *map(np.ones_like, states)), cache)
    assert dx.shape == shape
    assert not any(state.any() for state in states)
    assert not model.vector.grad.any()
    last = kind(FEATURES, HIDDEN, bidirectional=True, output="last")
    np.testing.assert_array_equal(model_of(last).predict(np.zeros(shape)), np.zeros((shape[0], 2 * HIDDEN)))


@every_kind
def test_the_checks_hold_in_both_modes_with_options_of_all_kinds(kind: type[Recurrent]) -> None:
    layer = kind(2, 1, 2, dropout=0.2, bidirectional=True, output="all", initial_state=True)
    assert check_gradients(layer, ((2, 2), *((4, 1),) * len(layer.state_names)), fast=True).comparisons


def test_it_learns_under_strict_with_frozen_weights_in_place() -> None:
    layer = LSTM(FEATURES, HIDDEN, output="last")
    model = model_of(layer, Linear(HIDDEN, 1))
    layer.weight_hh_l0.trainable = False
    kept, x = layer.weight_hh_l0.value.copy(), sequences(32)
    target = x[:, -1, :1] - x[:, 0, :1]
    with strict():
        history = model.fit(
            x, target, loss=SquaredError(), optimizer=Adam(0.05), batch_size=4, epochs=10, rng=0, verbose=0
        )
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    np.testing.assert_array_equal(layer.weight_hh_l0.value, kept)


# ---- refusals


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: LSTM(0, 2), ValueError, "LSTM: expected input_size of 1 or more, got 0"),
        (lambda: GRU(2, 3.0), TypeError, "GRU: expected hidden_size as an int, got 3.0"),  # type: ignore[arg-type]
        (lambda: RNN(2, 3, 0), ValueError, "RNN: expected num_layers of 1 or more, got 0"),
        (lambda: RNN(2, 3, nonlinearity="sin"), ValueError, "expected nonlinearity 'tanh' or 'relu', got 'sin'"),  # type: ignore[arg-type]
        (
            lambda: LSTM(2, 3, output="both"),  # type: ignore[arg-type]
            ValueError,
            "LSTM: expected output 'sequence', 'last' or 'all', got 'both'",
        ),
        (lambda: LSTM(2, 3, bias=1), TypeError, "LSTM: expected bias as True or False, got 1"),  # type: ignore[arg-type]
        (lambda: LSTM(2, 3, 2, dropout=1.0), ValueError, "expected a finite dropout of 0 or more and below 1, got 1.0"),
        (lambda: LSTM(2, 3, dropout=0.5), ValueError, "num_layers is 1; put Dropout(0.5) after it"),
        (lambda: GRU(2, 3, carry=0), ValueError, "GRU: expected carry of 1 or more, got 0"),
        (lambda: GRU(2, 3, carry=4, bidirectional=True), ValueError, "GRU: carry goes forward from batch to batch"),
        (
            lambda: GRU(2, 3, carry=4, initial_state=True),
            ValueError,
            "GRU: expected either carry or initial_state=True",
        ),
        (lambda: LSTM(2, 3, batch_first=True), TypeError, "'batch_first'; the batch is always axis 0"),  # type: ignore[call-arg]
        (lambda: RNN(64), TypeError, "'hidden_size'; sizes are explicit: LSTM(8, 64)"),  # type: ignore[call-arg]
        (lambda: GRU(2, 3, return_sequences=True), TypeError, 'write output="last" for the last state'),  # type: ignore[call-arg]
        (lambda: LSTM(2, 3).reset_state(), ValueError, "LSTM(2, 3): it carries no state; write LSTM(..., carry="),
    ],
)
def test_bad_arguments_are_refused_by_the_constructor(
    make: Callable[[], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3)), "LSTM(3, 5): expected input of shape (batch, ?, 3), got (2, 3)"),
        (np.ones((2, 4, 5)), "LSTM(3, 5): expected input of shape (batch, ?, 3), got (2, 4, 5)"),
    ],
)
def test_an_input_of_another_shape_is_named(x: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(message)):
        model_of(LSTM(3, 5))(x)
