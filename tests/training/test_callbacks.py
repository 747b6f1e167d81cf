"""Callbacks, metrics, the history and the display: what stands beside a training and never changes it."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Adam,
    Array,
    Callback,
    CrossEntropy,
    CSVLog,
    EarlyStopping,
    History,
    Linear,
    ReduceOnPlateau,
    Sequential,
    SquaredError,
    Step,
    Trainer,
    accuracy,
)
from nanonet.training.progress import OneLine
from tests.helpers import (
    Centred,
    Copy,
    Distance,
    Noise,
    Scripted,
    data,
    distance,
    everything,
    loss_of,
    picture,
    small,
    train,
    trainer_of,
)

X, TARGET = data(samples=12)


def fit_with(model: Sequential, numbers: list[float], *callbacks: Callback, **settings: Any) -> History:
    """Fit with one batch an epoch, as many epochs as there are numbers for the metric "number"."""
    return train(model, X, TARGET, epochs=len(numbers), metrics=[Scripted(numbers)], callbacks=callbacks, **settings)


class States(Callback):
    """Keeps the model of every epoch."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def epoch_end(self, trainer: Trainer) -> None:
        self.found.append(trainer.model.state_dict())


def assert_stands(model: Sequential, state: dict[str, Any]) -> None:
    """See that a model holds the numbers of a state."""
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


# ---- hooks


class Diary(Callback):
    """Writes down which hook was called when."""

    def __init__(self, pages: list[Any], name: str = "") -> None:
        self.pages, self.name = pages, name

    def fit_begin(self, trainer: Trainer) -> None:
        self.pages.append(f"{self.name}fit begins")

    def epoch_begin(self, trainer: Trainer) -> None:
        self.pages.append(f"{self.name}epoch {trainer.epoch} begins")

    def step_end(self, trainer: Trainer) -> None:
        self.pages.append(f"{self.name}step {trainer.epoch}.{trainer.batch}/{trainer.batches}")

    def epoch_end(self, trainer: Trainer) -> None:
        self.pages.append(f"{self.name}epoch {trainer.epoch} ends")

    def fit_end(self, trainer: Trainer) -> None:
        self.pages.append(f"{self.name}fit ends")


EPOCH = ["epoch {0} begins", "step {0}.1/3", "step {0}.2/3", "step {0}.3/3", "epoch {0} ends"]


def test_hooks_are_called_in_this_order() -> None:
    pages: list[Any] = []
    trainer = trainer_of(small())
    for first in (1, 3):
        pages.clear()
        trainer.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[Diary(pages)])
        both = [line.format(first) for line in EPOCH] + [line.format(first + 1) for line in EPOCH]
        assert pages == ["fit begins", *both, "fit ends"]


def test_callbacks_are_called_in_the_order_in_which_they_are_given() -> None:
    pages: list[Any] = []
    train(small(), X, TARGET, callbacks=[Diary(pages, "a: "), Diary(pages, "b: ")])
    assert pages[::2] == [page.replace("b: ", "a: ") for page in pages[1::2]]
    assert [page[0] for page in pages] == ["a", "b"] * 5


def test_a_hook_sees_the_numbers_of_its_moment() -> None:
    class Looks(Callback):
        def fit_begin(self, trainer: Trainer) -> None:
            assert trainer.names == ("loss", "distance", "validation_loss", "validation_distance")
            assert trainer.history.epochs == 0

        def step_end(self, trainer: Trainer) -> None:
            assert trainer.steps == 3 * (trainer.epoch - 1) + trainer.batch
            assert trainer.history.epochs == trainer.epoch - 1
            assert trainer.learning_rate == 0.1 / trainer.steps
            losses.append(trainer.batch_loss)

        def epoch_end(self, trainer: Trainer) -> None:
            assert trainer.history.epochs == trainer.epoch
            assert trainer.history["validation_loss"][-1] == loss_of(trainer.model, X, TARGET)
            mean = np.dot(losses[-3:], [5, 5, 2]) / 12
            assert trainer.history["loss"][-1] == pytest.approx(mean, rel=1e-12)

    losses: list[float] = []
    settings: dict[str, Any] = {"metrics": [distance], "validation": (X, TARGET), "optimizer": SGD(falling)}
    train(small(), X, TARGET, epochs=3, batch_size=5, callbacks=[Looks()], **settings)
    assert len(losses) == 9


def falling(step: int) -> float:
    return 0.1 / (step + 1)


def test_a_callback_that_only_looks_changes_nothing() -> None:
    plain, watched = everything(), everything()
    train(plain, X, TARGET, epochs=4, batch_size=5)
    callbacks = [Diary([]), States(), ReduceOnPlateau("loss", 100), EarlyStopping("loss", 100)]
    train(watched, X, TARGET, epochs=4, batch_size=5, callbacks=callbacks[:3], metrics=[distance])
    assert picture(plain) == picture(watched)


@pytest.mark.parametrize("place", ["epoch_begin", "step_end", "epoch_end"])
def test_stop_ends_the_fit_after_the_epoch_and_says_why(place: str) -> None:
    class Stops(Callback):
        pass

    def hook(trainer: Trainer) -> None:
        if trainer.epoch == 2:
            trainer.stop("enough is enough")

    callback, pages = Stops(), list[Any]()
    setattr(callback, place, hook) if place != "step_end" else setattr(
        Stops, "step_end", lambda self, trainer: hook(trainer)
    )
    trainer = trainer_of(small())
    history = trainer.fit(X, TARGET, epochs=5, batch_size=5, callbacks=[callback, Diary(pages)])
    assert history.epochs == 2
    assert trainer.steps == 6
    assert history.stopped == "enough is enough"
    assert not history.interrupted
    assert repr(history).startswith("History(2 epochs, stopped: enough is enough: loss ")
    assert pages[-2:] == ["epoch 2 ends", "fit ends"]
    again = trainer.fit(X, TARGET, epochs=1)
    assert (again.epochs, again.stopped) == (3, "")


def test_an_error_in_a_callback_is_the_users_own_and_every_fit_that_began_ends() -> None:
    class Fails(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            raise RuntimeError("mine")

    pages: list[Any] = []
    with pytest.raises(RuntimeError, match=r"^mine$"):
        train(small(), X, TARGET, callbacks=[Diary(pages), Fails()])
    assert pages[-1] == "fit ends"


def test_a_callback_whose_begin_fails_takes_no_step_and_those_before_it_end() -> None:
    class Fails(Callback):
        def fit_begin(self, trainer: Trainer) -> None:
            raise RuntimeError("mine")

    first, last = list[Any](), list[Any]()
    model = everything()
    before = picture(model)
    with pytest.raises(RuntimeError, match=r"^mine$"):
        train(model, X, TARGET, callbacks=[Diary(first), Fails(), Diary(last)])
    assert (first, last) == (["fit begins", "fit ends"], [])
    assert picture(model) == before


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([print], "fit: expected a callback to be a Callback, got <built-in function print>"),
        ([None], "fit: expected a callback to be a Callback, got None"),
        (["EarlyStopping"], "fit: expected a callback to be a Callback, got 'EarlyStopping'"),
        ([EarlyStopping], "; write EarlyStopping(...)"),
        (EarlyStopping("loss"), "fit: expected callbacks as a list, got EarlyStopping('loss'); write callbacks=[...]"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks: Any, message: str) -> None:
    model = everything()
    before = picture(model)
    with pytest.raises(TypeError, match=re.escape(message)):
        train(model, X, TARGET, callbacks=callbacks)
    assert picture(model) == before


# ---- early stopping


@pytest.mark.parametrize(
    ("numbers", "settings", "epochs", "best"),
    [
        ([5, 4, 3, 3.5, 3.4, 3.3, 1], {"patience": 3}, 6, 3),
        ([5, 4, 3, 3.5, 3.4, 2.9, 3, 3, 3, 3], {"patience": 3}, 9, 6),
        ([5, 6, 4, 5, 3], {"patience": 1}, 2, 1),
        ([3, 3, 3, 3], {"patience": 2}, 3, 1),
        ([5, 4, 3], {"patience": 3}, 3, 3),
        ([5, 4, 4.5], {"patience": 3}, 3, 2),
        ([1, 2, 3, 2.5, 2, 4], {"patience": 2, "mode": "max"}, 5, 3),
        ([5, 4.9, 4.8, 4.7, 4.6, 4.5], {"patience": 3, "margin": 0.25}, 6, 4),
        ([5, 4.9, 4.8, 4.76, 1, 1], {"patience": 3, "margin": 0.25}, 4, 1),
        ([1, 1.1, 1.2, 1.3], {"patience": 2, "mode": "max", "margin": 0.15}, 4, 3),
        ([-1, -2, -3, -2, -2], {"patience": 2}, 5, 3),
    ],
)
def test_early_stopping_stops_in_time_and_restores_the_best_model_with_its_buffers(
    numbers: list[float], settings: dict[str, Any], epochs: int, best: int
) -> None:
    model, states = everything(), States()
    stopping = EarlyStopping("number", **({"mode": "min"} | settings))
    history = fit_with(model, numbers, states, stopping)
    assert history.epochs == epochs
    assert history["number"] == pytest.approx(numbers[:epochs], rel=1e-12)
    assert stopping.best_epoch == best
    assert_stands(model, states.found[best - 1])
    assert len({state["2.branches.1.mean"].tobytes() for state in states.found}) == epochs
    early = epochs < len(numbers) or stopping.waited >= stopping.patience
    assert history.stopped == (f"number has not improved since epoch {best}" if early else "")


def test_early_stopping_watches_the_validation_loss_by_default() -> None:
    model = small()
    history = train(
        model, X, TARGET, validation=data(30, rng=5), epochs=500, optimizer=SGD(0.5), callbacks=[EarlyStopping()]
    )
    best = min(history["validation_loss"])
    assert history.epochs < 500
    assert history["validation_loss"].index(best) == history.epochs - 11
    assert loss_of(model, *data(30, rng=5)) == best


def test_early_stopping_begins_anew_in_every_fit() -> None:
    stopping, model, states = EarlyStopping("number", 2, mode="min"), everything(), States()
    fit_with(model, [0.1, 0.2, 0.3, 0.4], stopping)
    history = fit_with(model, [5, 4, 3, 4], stopping, states)
    assert history.epochs == 4
    assert_stands(model, states.found[2])
    other = small()
    fit_with(other, [9, 9, 9], stopping)
    assert stopping.best_epoch == 1


def test_a_model_is_not_restored_after_an_error() -> None:
    class Fails(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 3:
                raise RuntimeError("mine")

    model, states, stopping = everything(), States(), EarlyStopping("number", 5, mode="min")
    with pytest.raises(RuntimeError):
        fit_with(model, [1, 2, 3, 4], stopping, states, Fails())
    assert_stands(model, states.found[2])
    assert stopping.state is not None  # for the checkpoint of a fit that was broken off


def test_a_model_is_not_restored_after_ctrl_c() -> None:
    class Interrupts(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 3:
                raise KeyboardInterrupt

    model, states = everything(), States()
    history = fit_with(model, [1, 2, 3, 4], EarlyStopping("number", 5, mode="min"), states, Interrupts())
    assert history.interrupted
    assert_stands(model, states.found[2])


def test_a_number_that_is_never_one_stops_and_leaves_the_model() -> None:
    model, states = small(), States()
    history = fit_with(model, [np.nan] * 5, states, EarlyStopping("number", 2, mode="min"))
    assert history.epochs == 2
    assert_stands(model, states.found[-1])


@pytest.mark.parametrize("cls", [EarlyStopping, ReduceOnPlateau])
def test_an_unknown_monitor_is_refused_with_the_names_that_there_are(cls: type[EarlyStopping]) -> None:
    model = everything()
    before = picture(model)
    message = (
        f"{cls.__name__}: this fit has no 'validation_accuracy'; "
        "it has 'loss', 'distance', 'validation_loss', 'validation_distance'"
    )
    monitor = cls("validation_accuracy", mode="max")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(model, X, TARGET, validation=(X, TARGET), metrics=[distance], callbacks=[monitor])
    assert picture(model) == before


@pytest.mark.parametrize("cls", [EarlyStopping, ReduceOnPlateau])
@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"patience": 0}, ValueError, "expected patience of 1 or more, got 0"),
        ({"patience": 2.0}, TypeError, "expected patience as an int, got 2.0"),
        ({"monitor": 3}, TypeError, "expected monitor as a name such as 'validation_loss', got 3"),
        ({"monitor": "accuracy"}, ValueError, "say which 'accuracy' is better: mode='max' or mode='min'"),
        ({"mode": "least"}, ValueError, "expected mode of 'min' or 'max', got 'least'"),
        ({"margin": -1}, ValueError, "expected a finite margin of 0 or more, got -1"),
    ],
)
def test_settings_of_a_monitor_that_mean_nothing_are_refused(
    cls: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(f"{cls.__name__}: {message}")):
        cls(**settings)


@pytest.mark.parametrize("factor", [0, 1, 1.5, -0.1, np.nan])
def test_a_factor_that_lowers_nothing_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"ReduceOnPlateau: expected a (finite )?factor"):
        ReduceOnPlateau(factor=factor)


# ---- a log in a file


def rows_of(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("make", [str, Path])
def test_a_log_has_a_head_and_a_line_for_each_epoch(make: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = train(
        small(), X, TARGET, epochs=3, validation=(X, TARGET), metrics=[distance], callbacks=[CSVLog(make(path))]
    )
    head, *lines = rows_of(path)
    assert head == ["epoch", "loss", "distance", "validation_loss", "validation_distance"]
    assert [line[0] for line in lines] == ["1", "2", "3"]
    for i, name in enumerate(head[1:], 1):
        assert [float(line[i]) for line in lines] == history[name]


def test_a_log_is_complete_after_each_epoch(tmp_path: Path) -> None:
    class Reads(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            assert len(rows_of(path)) == trainer.epoch + 1

    path = tmp_path / "log.csv"
    train(small(), X, TARGET, epochs=3, callbacks=[CSVLog(path), Reads()])


def test_a_log_is_written_anew_unless_it_is_to_go_on(tmp_path: Path) -> None:
    path, trainer = tmp_path / "log.csv", trainer_of(small())
    for append, epochs in ((False, ["1", "2"]), (False, ["3", "4"]), (True, ["3", "4", "5", "6"])):
        trainer.fit(X, TARGET, epochs=2, callbacks=[CSVLog(path, append=append)])
        head, *lines = rows_of(path)
        assert head == ["epoch", "loss"]
        assert [line[0] for line in lines] == epochs


def test_a_log_that_goes_on_begins_a_file_that_is_not_there_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    for name in ("empty.csv", "new.csv"):
        train(small(), X, TARGET, callbacks=[CSVLog(tmp_path / name, append=True)])
        assert [row[0] for row in rows_of(tmp_path / name)] == ["epoch", "1"]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("name", ["no such folder/log.csv", "a folder"])
def test_a_log_that_cannot_be_written_is_refused_before_the_first_step(name: str, append: bool, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "something.txt").touch()
    model = everything()
    before = picture(model)
    with pytest.raises(OSError, match=re.escape(name)):
        train(model, X, TARGET, callbacks=[CSVLog(tmp_path / name, append=append)])
    assert picture(model) == before


# ---- metrics


def test_a_metric_is_that_of_all_samples_of_an_epoch_from_before_each_step() -> None:
    model = small()
    history = train(model, X, TARGET, optimizer=SGD(0), batch_size=5, metrics=[distance], epochs=2)
    assert history["distance"] == pytest.approx([distance(model(X), TARGET)] * 2, rel=1e-6)
    moving = small()
    before = distance(moving(X), TARGET)
    moved = train(moving, X, TARGET, metrics=[distance], validation=(X, TARGET))
    assert moved["distance"] == pytest.approx([before], rel=1e-6)
    assert moved["validation_distance"] == [distance(moving(X), TARGET)]


def test_several_metrics_stand_in_the_history_by_their_names() -> None:
    def largest(prediction: Array, target: Array) -> Any:
        return np.abs(prediction - target).max()

    class Correlation:
        def __call__(self, prediction: Array, target: Array) -> float:
            return float(np.corrcoef(prediction.ravel(), target.ravel())[0, 1])

    history = train(
        small(), X, TARGET, metrics=[distance, largest, Correlation()], validation=(X[:5], TARGET[:5]), epochs=2
    )
    names = ["loss", "distance", "largest", "Correlation"]
    assert list(history) == names + [f"validation_{name}" for name in names]
    assert {type(number) for numbers in history.values() for number in numbers} == {float}
    assert {len(numbers) for numbers in history.values()} == {2}


def test_a_metric_sees_labels_as_they_were_given() -> None:
    def looks(prediction: Array, target: Any) -> float:
        assert target.dtype.kind == "i"
        assert prediction.shape == (len(target), 3)
        return 0.0

    model = Sequential(Linear(3, 3), rng=0)
    train(model, X, np.arange(12) % 3, loss=CrossEntropy(), metrics=[looks], validation=0.25)


def test_a_metric_that_raises_is_the_users_own_error() -> None:
    def fails(prediction: Array, target: Array) -> float:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        train(small(), X, TARGET, metrics=[fails])


@pytest.mark.parametrize(
    ("metrics", "kind", "message"),
    [
        (["accuracy"], TypeError, "fit: expected a metric to be a function of (prediction, target), got 'accuracy'"),
        ([3], TypeError, "fit: expected a metric to be a function of (prediction, target), got 3"),
        ([None], TypeError, "fit: expected a metric to be a function of (prediction, target), got None"),
        ([History], TypeError, "fit: expected a metric to be a function of (prediction, target), got <class"),
        (accuracy, TypeError, "; write metrics=[...]"),
        ("accuracy", TypeError, "fit: expected metrics as a list, got 'accuracy'; write metrics=[...]"),
        (
            [distance, distance],
            ValueError,
            "fit: two metrics have the name 'distance'; give one of them another",
        ),
        ([Scripted([]), Scripted([])], ValueError, "fit: two metrics have the name 'number'"),
    ],
)
def test_what_is_no_metric_is_refused_before_the_first_step(metrics: Any, kind: type[Exception], message: str) -> None:
    model = everything()
    before = picture(model)
    with pytest.raises(kind, match=re.escape(message)):
        train(model, X, TARGET, metrics=metrics)
    assert picture(model) == before


@pytest.mark.parametrize("name", ["loss", "validation_loss", "validation_distance"])
def test_a_metric_must_not_have_the_name_of_another_number(name: str) -> None:
    def other(prediction: Array, target: Array) -> float:
        return 0.0

    other.__name__ = name
    with pytest.raises(ValueError, match=f"'{name}'"):
        train(small(), X, TARGET, metrics=[distance, other], validation=(X, TARGET))


# ---- history


def test_a_history_is_a_mapping_from_names_to_numbers() -> None:
    history = History()
    assert (len(history), history.epochs, repr(history)) == (0, 0, "History(0 epochs)")
    history.append({"loss": 1.0})
    history.append({"loss": 0.5, "accuracy": 0.75})
    history.append({"accuracy": 0.875})
    assert dict(history).keys() == {"loss", "accuracy"} == set(history)
    assert "loss" in history
    np.testing.assert_array_equal(history["loss"], [1.0, 0.5, np.nan])
    np.testing.assert_array_equal(history["accuracy"], [np.nan, 0.75, 0.875])
    assert history.epochs == 3
    with pytest.raises(KeyError, match="History has no 'f1'; it has 'loss', 'accuracy'"):
        history["f1"]


def test_the_repr_of_a_history_says_what_a_reader_wants_to_know() -> None:
    history = History()
    history.append({"loss": 1.23456, "accuracy": 0.5})
    assert repr(history) == "History(1 epoch: loss 1.235 -> 1.235, accuracy 0.5 -> 0.5)"
    history.append({"loss": 0.00012345, "accuracy": 1.0})
    assert repr(history) == "History(2 epochs: loss 1.235 -> 0.0001234, accuracy 0.5 -> 1)"
    history.interrupted = True
    assert repr(history).startswith("History(2 epochs, interrupted: loss")


def lines_in(figure: Any) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for axes in figure.axes for line in axes.get_lines()}


def test_plot_draws_every_number_of_the_history(plt: Any) -> None:
    history = train(small(), X, TARGET, epochs=4, metrics=[distance], validation=(X[:5], TARGET[:5]))
    axes = history.plot()
    drawn = lines_in(axes.figure)
    assert drawn == {name.replace("_", " "): numbers for name, numbers in history.items()}
    assert [line.get_label() for line in axes.get_lines()] == ["loss", "validation loss"]
    assert all(list(line.get_xdata()) == [1, 2, 3, 4] for line in axes.get_lines())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
    (legend,) = [each.get_legend() for each in axes.figure.axes if each.get_legend()]
    assert [text.get_text() for text in legend.get_texts()] == list(drawn)
    axes.figure.savefig(io.BytesIO())


def test_plot_returns_the_axes_that_it_was_given(plt: Any) -> None:
    _, (left, right) = plt.subplots(1, 2)
    history = train(small(), X, TARGET, epochs=2)
    before = plt.get_fignums()
    assert history.plot(right) is right
    assert history.plot(ax=left) is left
    assert plt.get_fignums() == before
    assert [len(axes.get_lines()) for axes in (left, right)] == [1, 1]


def test_plot_makes_a_figure_of_its_own_where_it_is_given_none(plt: Any) -> None:
    history = train(small(), X, TARGET, epochs=1)
    first, second = history.plot(), history.plot()
    assert first.figure is not second.figure
    assert first.get_lines()[0].get_marker() == "o"  # a line of one point would not be seen


def test_plot_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    history = train(small(), X, TARGET)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=re.escape("History.plot needs matplotlib: pip install 'nanonet[plot]'")):
        history.plot()


# ---- Ctrl-C


class Bomb:
    """Raises KeyboardInterrupt when the trainer has taken some steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.trainer: Trainer | None = None

    def __call__(self) -> None:
        if self.trainer is not None and self.trainer.steps == self.steps:
            self.trainer = None
            raise KeyboardInterrupt


def explosive(place: str, bomb: Bomb) -> tuple[Trainer, dict[str, Any]]:
    """Return a trainer, and settings for its fit, with a bomb in some place."""

    class Mined(Copy):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
            if (place == "forward" and training) or (place == "validation" and not training):
                bomb()
            return super().forward(x, training=training)

        def backward(self, grad: Array, cache: Any) -> Array:
            if place == "backward":
                bomb()
            return super().backward(grad, cache)

    class Rule(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            super().update(value, grad, step)
            if place == "update":
                bomb()

    class Hook(Callback):
        def epoch_begin(self, trainer: Trainer) -> None:
            if place == "epoch_begin":
                bomb()

        def step_end(self, trainer: Trainer) -> None:
            if place == "step_end":
                bomb()

        def epoch_end(self, trainer: Trainer) -> None:
            if place == "epoch_end":
                bomb()

    class Mines(Distance):
        def update(self, prediction: Array, target: Array, weight: Any = None) -> None:
            if place == "metric":
                bomb()

        def value(self) -> float:
            return 0.0

    model = Sequential(Centred(3), Noise(), Linear(3, 4), Mined(), Linear(4, 2), rng=0)
    bomb.trainer = Trainer(model, loss=SquaredError(), optimizer=Rule(0.1))
    settings: dict[str, Any] = {"callbacks": [Hook()], "metrics": [Mines()], "validation": (X[:2], TARGET[:2])}
    return bomb.trainer, settings


@pytest.mark.parametrize(
    ("place", "steps", "epochs"),
    [
        ("forward", 4, 1),
        ("forward", 0, 0),
        ("backward", 4, 1),
        ("backward", 0, 0),
        ("update", 4, 1),
        ("metric", 5, 1),
        ("step_end", 5, 1),
        ("step_end", 1, 0),
        ("epoch_begin", 3, 1),
        ("epoch_end", 6, 2),
        ("validation", 6, 1),
    ],
)
def test_ctrl_c_returns_the_history_and_the_model_stands_at_the_last_whole_step(
    place: str, steps: int, epochs: int
) -> None:
    trainer, settings = explosive(place, Bomb(steps))
    pages: list[Any] = []
    settings["callbacks"].append(Diary(pages))
    history = trainer.fit(X, TARGET, epochs=5, batch_size=4, shuffle=False, **settings)
    assert history is trainer.history
    assert history.interrupted
    assert (trainer.steps, history.epochs) == (steps, epochs)
    assert ", interrupted" in repr(history)
    assert not trainer.completed
    assert pages[-1] == "fit ends"
    other, _ = explosive("nowhere", Bomb(-1))
    for step in range(steps):
        rows = slice(4 * (step % 3), 4 * (step % 3) + 4)
        other.step(X[rows], TARGET[rows])
    assert picture(trainer.model) == picture(other.model)


def test_after_ctrl_c_a_fit_goes_on() -> None:
    trainer, settings = explosive("step_end", Bomb(5))
    trainer.fit(X, TARGET, epochs=5, batch_size=4, **settings)
    history = trainer.fit(X, TARGET, epochs=2, batch_size=4, **settings)
    assert (history.epochs, trainer.steps, history.interrupted) == (3, 11, False)


@pytest.mark.parametrize("verbose", [None, 1])
def test_after_ctrl_c_in_an_epoch_the_next_fit_counts_from_1(
    verbose: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, settings = explosive("step_end", Bomb(5))
    trainer.fit(X, TARGET, epochs=5, batch_size=4, **settings)
    capsys.readouterr()
    trainer.fit(X, TARGET, epochs=2, batch_size=4, verbose=verbose)
    lines = capsys.readouterr().err.splitlines()
    shown = [line.split("  ")[0] for line in lines]
    assert shown == (["epoch 1/2, batch 1/3", "epoch 1/2", "epoch 2/2"] if verbose else [])


def test_after_an_error_in_an_epoch_the_next_fit_counts_from_1(capsys: pytest.CaptureFixture[str]) -> None:
    class Fails(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 5:
                raise RuntimeError("mine")

    trainer = trainer_of(small())
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(X, TARGET, epochs=5, batch_size=4, callbacks=[Fails()])
    capsys.readouterr()
    trainer.fit(X, TARGET, epochs=2, verbose=1)
    assert capsys.readouterr().err.startswith("epoch 1/2")


# ---- what is shown on the way


class Clock(Callback):
    """A time that goes on when a step or an epoch ends, and at no other moment."""

    def __init__(self, step: float = 0, epoch: float = 0) -> None:
        self.now, self.step, self.epoch = 100.0, step, epoch

    def step_end(self, trainer: Trainer) -> None:
        self.now += self.step

    def epoch_end(self, trainer: Trainer) -> None:
        self.now += self.epoch


def shown(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *before: Callback,
    **settings: Any,
) -> tuple[list[str], History]:
    """Return the lines that a fit writes, and its history."""
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    given: dict[str, Any] = {"x": X, "target": TARGET, "epochs": 3, "batch_size": 4} | settings
    trainer = trainer_of(small())
    history = trainer.fit(**given, callbacks=[*before, clock])
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines(), history


def test_a_line_has_the_loss_the_metrics_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock(epoch=100)
    lines, history = shown(clock, monkeypatch, capsys, metrics=[distance], validation=(X, TARGET))
    assert len(lines) == 3
    for i, (line, times) in enumerate(
        zip(lines, ("1 min 40 s, about 3 min 20 s left", "3 min 20 s, about 1 min 40 s left", "5 min 0 s"), strict=True)
    ):
        numbers = "  ".join(f"{name} {history[name][i]:.4g}" for name in history)
        assert line == f"epoch {i + 1}/3  {numbers}  learning_rate 0.1  {times}"


def test_in_a_long_epoch_a_line_has_the_batch_and_its_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, history = shown(Clock(step=3), monkeypatch, capsys, epochs=2)
    places = [line.split("  ")[0] for line in lines]
    assert places == [
        f"epoch {epoch}/2{batch}" for epoch in (1, 2) for batch in (", batch 1/3", ", batch 2/3", ", batch 3/3", "")
    ]
    assert lines[0].endswith("learning_rate 0.1  3.0 s, about 15.0 s left")
    assert lines[4].endswith("learning_rate 0.1  12.0 s, about 6.0 s left")
    assert lines[-1] == f"epoch 2/2  loss {history['loss'][-1]:.4g}  learning_rate 0.1  18.0 s"


def test_nothing_is_shown_in_the_first_two_seconds_and_then_a_line_a_second_and_one_an_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = shown(Clock(step=0.25), monkeypatch, capsys, epochs=6)
    seconds = [float(match[1]) for line in lines if (match := re.search(r"  ([\d.]+) s(, about|$)", line))]
    assert seconds == [2.0, 2.2, 3.2, 3.8, 4.5]  # a batch, an epoch; a batch, an epoch; the last epoch
    assert shown(Clock(step=0.1), monkeypatch, capsys, epochs=6)[0] == []


def test_the_log_of_a_long_fit_stays_short_and_has_every_long_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, _ = shown(Clock(step=10), monkeypatch, capsys, epochs=120)  # an hour
    assert len(lines) < 160
    assert [line.split("  ")[0] for line in lines[:4]] == [f"epoch 1/120, batch {batch}/3" for batch in (1, 2, 3)] + [
        "epoch 1/120"
    ]
    assert {f"epoch {epoch}/120" for epoch in range(1, 21)} <= {line.split("  ")[0] for line in lines}


def test_the_first_epoch_of_an_iterable_promises_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many batches there are is not known before the first epoch has ended."""
    parts = [(X[i : i + 4], TARGET[i : i + 4]) for i in (0, 4, 8)]
    lines, _ = shown(Clock(step=10), monkeypatch, capsys, x=parts, target=None, epochs=2)
    assert lines[0].startswith("epoch 1/2, batch 1  loss")
    assert lines[0].endswith("10.0 s")
    assert lines[3].endswith("30.0 s, about 30.0 s left")


def test_after_ctrl_c_the_last_line_is_of_the_last_whole_epoch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupts(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 8:
                raise KeyboardInterrupt

    lines, history = shown(Clock(step=1), monkeypatch, capsys, Interrupts(), epochs=9)
    assert history.epochs == 2
    assert lines[-1] == "interrupted in epoch 3, after step 8"
    whole = [line.split("  ")[0] for line in lines[:-1] if ", batch" not in line]
    assert whole == ["epoch 1/9", "epoch 2/9"]


@pytest.mark.parametrize("terminal", [True, False])
def test_verbose_0_is_silent(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Stream(terminal)
    monkeypatch.setattr("sys.stderr", stream)
    assert shown(Clock(step=100), monkeypatch, capsys, verbose=0)[0] == []
    assert stream.getvalue() == ""


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def on(stream: Stream, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[str, History]:
    """Return what a fit writes on a stream."""
    monkeypatch.setattr("sys.stderr", stream)
    given: dict[str, Any] = {"epochs": 3, "verbose": 1, "validation": (X, TARGET)} | settings
    history = train(small(), X, TARGET, batch_size=4, **given)
    return stream.getvalue(), history


@pytest.mark.peer
def test_on_a_terminal_tqdm_draws_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")
    text, history = on(Stream(True), monkeypatch, metrics=[distance])
    last = text.split("\r")[-1]
    assert "100%|" in last
    assert "3.0/3 epochs [" in last
    for name in history:
        assert f"{name}={history[name][-1]:.4g}" in last
    assert "learning_rate=0.1" in last
    assert "epoch 1/3" not in text


def test_elsewhere_there_are_lines_even_with_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    text, _ = on(Stream(False), monkeypatch)
    assert text.startswith("epoch 1/3, batch 1/3")
    assert "%|" not in text
    assert "\r" not in text


def test_without_tqdm_a_terminal_gets_one_line_that_is_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("COLUMNS", "60")
    text, history = on(Stream(True), monkeypatch)
    first, *lines = text.split("\r")
    assert (first, text.count("\n"), text[-1]) == ("", 1, "\n")
    assert lines[0].startswith("epoch 1/3, batch 1/3")
    assert lines[-1].startswith(f"epoch 3/3  loss {history['loss'][-1]:.4g}")
    assert all(len(line.rstrip("\n")) < 60 for line in lines)


def test_a_shorter_line_covers_the_longer_one_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    display = OneLine(1, 0.0)
    for line in ("epoch 10/20", "epoch 9", "epoch 8/20"):
        display.write(line)
    assert capsys.readouterr().err == "\repoch 10/20\repoch 9    \repoch 8/20"


def test_the_rewritten_line_ends_before_a_report_of_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupts(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 4:
                raise KeyboardInterrupt

    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    text, _ = on(Stream(True), monkeypatch, callbacks=[Interrupts()])
    assert text.splitlines()[-1] == "interrupted in epoch 2, after step 4"


@pytest.mark.parametrize("terminal", [True, False])
def test_verbose_2_writes_one_line_an_epoch_everywhere(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text, history = on(Stream(terminal), monkeypatch, verbose=2)
    lines = text.splitlines()
    assert "\r" not in text
    assert [line.split("  ")[:2] for line in lines] == [
        [f"epoch {i}/3", f"loss {loss:.4g}"] for i, loss in enumerate(history["loss"], 1)
    ]


def test_true_is_1_and_false_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(Stream(False), monkeypatch, verbose=True)[0].startswith("epoch 1/3, batch 1/3")
    assert on(Stream(False), monkeypatch, verbose=False)[0] == ""


def test_a_display_leaves_out_what_belongs_to_single_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Records(Callback):
        called_first = True

        def fit_begin(self, trainer: Trainer) -> None:
            trainer.names += ("mine", "0/mine")

        def epoch_end(self, trainer: Trainer) -> None:
            trainer.history.record({"mine": 3.0, "0/mine": 4.0})

    text, history = on(Stream(False), monkeypatch, verbose=2, callbacks=[Records()])
    assert text.count("mine 3") == 3
    assert "0/mine" not in text + repr(history) + history._repr_html_()
    assert history["0/mine"] == [4.0] * 3


def test_a_short_fit_on_a_terminal_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on(Stream(True), monkeypatch, verbose=None)[0] == ""


@pytest.mark.peer
def test_a_bar_is_closed_when_a_fit_stops_early_or_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")

    class Ends(Callback):
        def __init__(self, error: type[BaseException]) -> None:
            self.error = error

        def epoch_end(self, trainer: Trainer) -> None:
            raise self.error

    text, history = on(Stream(True), monkeypatch, callbacks=[Ends(KeyboardInterrupt)])
    assert history.interrupted
    assert text.endswith("\n")
    stream = Stream(True)
    with pytest.raises(RuntimeError):
        on(stream, monkeypatch, callbacks=[Ends(RuntimeError)])
    assert stream.getvalue().endswith("\n")


def test_a_stream_without_isatty_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    bare = Bare()
    monkeypatch.setattr("sys.stderr", bare)
    train(small(), X, TARGET, optimizer=Adam(), verbose=1)
    assert bare.text.startswith("epoch 1/1")


def test_a_program_without_stderr_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under pythonw on Windows, where sys.stderr is None."""
    monkeypatch.setattr("sys.stderr", None)
    assert train(small(), X, TARGET, verbose=1).epochs == 1
