"""Nothing that only looks may write: checks and explanations run on views of a model, which nobody else notices."""

from __future__ import annotations

import copy
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import (
    SGD,
    Adam,
    Array,
    Callback,
    Constant,
    Dropout,
    Layer,
    Linear,
    Loss,
    Normal,
    Parameter,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from nanonet.checking.view import View
from tests.helpers import Centred, everything, picture

RNG = np.random.default_rng(0)
X, TARGET = RNG.normal(size=(16, 4)), RNG.normal(size=(16, 4))


class Table(Layer):
    """y = the rows of a table that x names."""

    integer_input = True

    def __init__(self, rows: int, features: int) -> None:
        self.input_shape = (3,)
        self.table = Parameter((rows, features), Normal(1.0))

    def forward(self, x: Any, *, training: bool = False) -> tuple[Array, Any]:
        return self.table.value[x].reshape(len(x), -1), x

    def backward(self, grad: Array, cache: Any) -> Array:
        table = np.zeros_like(self.table.value)
        np.add.at(table, cache.ravel(), grad.reshape(cache.size, -1))
        self.table.grad = table
        return np.zeros(cache.shape, grad.dtype)


def looked_up() -> Sequential:
    return Sequential(Table(50, 4), Linear(12, 16), Tanh(), Linear(16, 2), rng=0)


class Meanwhile(Callback):
    """Lets something run in another thread in the middle of a fit, once its first steps are done."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run, self.ran = run, 0

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps % 5 == 0:
            thread = threading.Thread(target=self.run)
            thread.start()
            thread.join()
            self.ran += 1


def refused(model: Sequential) -> None:
    """Ask for a row that is not in the table."""
    with pytest.raises(IndexError):
        model([[1, 2, 99]])


def test_a_failed_predict_changes_nothing_of_a_training_beside_it() -> None:
    x, target = RNG.integers(50, size=(64, 3)), RNG.normal(size=(64, 2))
    alone, beside = looked_up(), looked_up()
    keywords: dict[str, Any] = {"loss": SquaredError(), "optimizer": SGD(0.01), "epochs": 3, "batch_size": 4, "rng": 5}
    alone.fit(x, target, **keywords)
    meanwhile = Meanwhile(lambda: refused(beside))
    beside.fit(x, target, callbacks=[meanwhile], **keywords)
    assert meanwhile.ran > 5
    assert picture(alone) == picture(beside)
    assert all(parameter.value.flags.writeable for parameter in beside.parameters().values())


def test_threads_that_fail_side_by_side_leave_the_model_as_it_was() -> None:
    model = looked_up()
    before = picture(model)
    errors: list[Exception] = []

    def ask() -> None:
        for _ in range(40):
            try:
                model([[1, 2, 99]])
            except IndexError:
                pass
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert picture(model) == before
    model.load_state_dict(model.state_dict())


def test_fits_in_threads_may_share_a_loss_and_an_optimizer() -> None:
    loss, optimizer = SquaredError(), Adam()
    alone = Sequential(Linear(4, 8), Tanh(), Linear(8, 4), rng=0)
    alone.fit(X, TARGET, loss=loss, optimizer=optimizer, epochs=2, verbose=0)
    results: list[Any] = []

    def work() -> None:
        model = Sequential(Linear(4, 8), Tanh(), Linear(8, 4), rng=0)
        try:
            model.fit(X, TARGET, loss=loss, optimizer=optimizer, epochs=2, verbose=0)
            results.append(picture(model))
        except Exception as error:
            results.append(error)

    for _ in range(6):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [picture(alone)] * 48


@pytest.mark.parametrize("every", [181, pytest.param(61, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_line_of_a_first_batch_leaves_a_model_that_can_be_trained(every: int) -> None:
    """SIGINT arrives at the at-th line that runs in nanonet; not every one is tried."""
    package = str(Path(nanonet.__file__).parent)
    count = 0

    def interrupted(at: int) -> Sequential:
        nonlocal count
        count = 0
        model = Sequential(Linear(4, 5), Dropout(0.2), Centred(5), Linear(5, 4), rng=0)

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal count
            if not frame.f_code.co_filename.startswith(package):
                return None if event == "call" else trace
            count += event == "line"
            if event == "line" and count == at:
                signal.raise_signal(signal.SIGINT)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            model.fit(X, TARGET, loss=SquaredError(), optimizer=SGD(0.1), epochs=1, batch_size=16, verbose=0)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        return model

    untouched, taken = picture(Sequential(Linear(4, 5), Dropout(0.2), Centred(5), Linear(5, 4), rng=0)), interrupted(-1)
    for at in range(1, count, every):
        model = interrupted(at)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        numbers = {name: value for name, value in picture(model).items() if "weight" in name or "bias" in name}
        assert any(numbers == {name: whole[name] for name in numbers} for whole in (untouched, picture(taken)))
        assert all(parameter.value.flags.writeable for parameter in model.parameters().values())
        assert not any(callable(value) for layer in model for value in vars(layer).values())


# ---- views themselves


def test_a_view_leaves_no_trace_unless_it_is_live() -> None:
    model = everything()
    x, before = RNG.normal(size=(6, 3)), picture(model)
    grad = model.vector.grad.copy()
    twin = View(model, live=False).root
    y, cache = twin.forward(x.astype(np.float32), training=True)
    twin.backward(np.ones_like(y), cache)
    assert picture(model) == before
    np.testing.assert_array_equal(model.vector.grad, grad)
    twin = View(model, live=True).root
    y, cache = twin.forward(x.astype(np.float32), training=True)
    twin.backward(np.ones_like(y), cache)
    assert picture(model) != before
    assert not np.array_equal(model.vector.grad, grad)


def test_a_view_computes_what_its_model_computes() -> None:
    model = everything()
    x = RNG.normal(size=(6, 3)).astype(np.float32)
    y = model(x)
    assert View(model, live=False).root.forward(x)[0].tobytes() == y.tobytes()


def test_arrays_that_a_layer_keeps_cannot_be_written_to_through_a_view() -> None:
    class Scratch(Tanh):
        def __init__(self) -> None:
            self.scratch = np.zeros(4)

        def function(self, a: Array) -> Array:
            self.scratch[:] = a[0]
            return np.tanh(a)

        def derivative(self, a: Array, y: Array) -> Array:
            return 1 - y * y

    model = Sequential(Scratch(), rng=0)
    with nanonet.strict(), pytest.raises(nanonet.ContractError, match=r"layer 0, Scratch.*writes to"):
        model(X)


# ---- what a prediction may share


class Position(Layer):
    """y = the first rows of a table: a view of a parameter."""

    def __init__(self) -> None:
        self.input_shape = (3,)
        self.table = Parameter((4, 3), Constant(1.0))
        self.mean = nanonet.Buffer((4, 3), Constant(2.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.table.value[: len(x)], x.shape

    def backward(self, grad: Array, cache: Any) -> Array:
        self.table.grad = np.concatenate([grad, np.zeros((4 - len(grad), 3), grad.dtype)])
        return np.zeros(cache, grad.dtype)


class OfTheBuffer(Position):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.mean.value, x.shape


@pytest.mark.parametrize("kind", [Position, OfTheBuffer])
@pytest.mark.parametrize("wrap", [lambda layer: Sequential(layer), lambda layer: Sequential(Sequential(layer))])
def test_a_prediction_shares_no_memory_with_the_model(
    kind: type[Position], wrap: Callable[[Layer], Sequential]
) -> None:
    layer = kind()
    model = wrap(layer)
    before = picture(model)
    for _ in range(2):
        y = model(np.zeros((4, 3)))
        y += 100
        assert picture(model) == before


@pytest.mark.parametrize("layers", [[], [nanonet.Identity()], [nanonet.Flatten()], [Sequential()]])
def test_a_prediction_shares_no_memory_with_x(layers: list[Layer]) -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    assert not np.may_share_memory(Sequential(*layers)(x), x)


# ---- depth


def nested(levels: int) -> Sequential:
    model = Sequential(Linear(2, 2), rng=0)
    for _ in range(levels - 1):
        model = Sequential(model, rng=0)
    return model


DEEP: list[Any] = [
    lambda model, x: model(x),
    lambda model, x: copy.deepcopy(model),
    lambda model, x: model.trace(x, x, SquaredError()),
    lambda model, x: model.fit(x, x, loss=SquaredError(), optimizer=SGD(0.1), epochs=1, verbose=0),
    lambda model, x: model.summary(),
    lambda model, x: repr(model),
    pytest.param(lambda model, x: nanonet.check_gradients(model), marks=pytest.mark.slow),
    lambda model, x: Trainer(model, loss=SquaredError(), optimizer=SGD(0.1)).step(x, x),
]


def alternating(levels: int) -> Sequential:
    model = nested(1)
    for _ in range(levels // 2):
        model = Sequential(nanonet.Residual(model), rng=0)
    return model


@pytest.fixture(scope="module", params=[nested, alternating])
def deep(request: pytest.FixtureRequest) -> Sequential:
    """Return a model of 150 levels: building it takes longer than most of what is done with it."""
    model: Sequential = request.param(150)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("use", DEEP)
def test_layers_may_be_nested_150_deep(deep: Sequential, use: Callable[[Sequential, Array], Any]) -> None:
    use(deep, np.full((2, 2), 1e-3))


def test_the_text_of_a_deep_model_ends_in_dots() -> None:
    text = repr(nested(150))
    assert text.count("\n") == 40
    assert "0: Sequential(...)" in text
    assert "..." not in repr(nested(19))


def test_deeper_nesting_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="Sequential: layers are nested more than 256 deep"):
        nested(300)


# ---- copies of a trainer


@pytest.mark.parametrize("again", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
@pytest.mark.parametrize("when", ["new", "trained"])
def test_a_copied_trainer_goes_on_as_the_original(again: Callable[[Trainer], Trainer], when: str) -> None:
    trainer = Trainer(everything(), loss=SquaredError(), optimizer=Adam(0.01))
    x, target = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
    if when == "trained":
        trainer.fit(x, target, epochs=2, batch_size=5, validation=0.25, verbose=0)
    twin = again(trainer)
    assert twin.model is not trainer.model
    for each in (trainer, twin):
        each.step(x, target)
        each.fit(x, target, epochs=2, batch_size=5, validation=0.25, verbose=0)
    assert picture(twin.model) == picture(trainer.model)
    assert twin.history["loss"] == trainer.history["loss"]
    assert twin.steps == trainer.steps


def test_a_loss_and_an_optimizer_are_left_alone_by_a_fit() -> None:
    class Mine(Loss):
        def __init__(self) -> None:
            self.asked = 0

        def function(self, prediction: Array, target: Array) -> Array:
            each: Array = ((prediction - target) ** 2).sum(axis=1)
            return each

        def derivative(self, prediction: Array, target: Array) -> Array:
            return 2 * (prediction - target)

    loss, optimizer = Mine(), SGD(0.1)
    before = dict(vars(loss)), dict(vars(optimizer))
    Sequential(Linear(4, 4), rng=0).fit(X, TARGET, loss=loss, optimizer=optimizer, epochs=1, verbose=0)
    assert (vars(loss), vars(optimizer)) == before
