"""What stands in a checkpoint: all that a training goes on with is in it, and nothing else gets out of it."""

from __future__ import annotations

import copy
import functools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import (
    Adam,
    Callback,
    Checkpoint,
    CSVLog,
    Dropout,
    EarlyStopping,
    Layer,
    LeakyReLU,
    Linear,
    NonFiniteError,
    ReLU,
    Residual,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
)
from nanonet.storage.archive import read_archive, write_archive
from nanonet.storage.stored_array import Stored
from tests.format_1 import written
from tests.helpers import Centred, Noise, data, small
from tests.training.test_checkpoint_files import assert_refused, npy, packed, sealed
from tests.training.test_checkpoints import SaveIn, other, saved, trainer_of, whole

X, TARGET = data(samples=20)
FIT: dict[str, Any] = {"batch_size": 5, "verbose": 0}


def plain(seed: int = 0) -> Trainer:
    return trainer_of(small(rng=seed))


def freeze(trainer: Trainer, *names: str, trainable: bool = False) -> None:
    for name in names:
        trainer.model.parameters()[name].trainable = trainable


def frozen(trainer: Trainer) -> set[str]:
    return {name for name, parameter in trainer.model.parameters().items() if not parameter.trainable}


def resumed(trainer: Trainer, path: Path) -> Trainer:
    trainer.resume(path)
    return trainer


# ---- what is frozen


@given(st.sets(st.sampled_from(["0.weight", "0.bias", "2.weight", "2.bias"])), st.sets(st.sampled_from(["0.weight"])))
@settings(max_examples=20, derandomize=True)
@pytest.mark.filterwarnings("ignore:fit. all parameters are frozen")
def test_what_is_frozen_stays_frozen_and_what_is_not_is_thawed(names: set[str], before: set[str]) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=1, **FIT)
    freeze(trainer, *names)
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder) / "run.npz")
        later = plain(1)
        freeze(later, *before)
        later.resume(Path(folder) / "run.npz")
    assert frozen(later) == names
    for each in (trainer, later):
        each.fit(X, TARGET, epochs=2, **FIT)
    assert other(whole(later), whole(trainer)) == []


def test_the_optimizers_state_of_a_frozen_parameter_is_there_when_it_is_thawed(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=2, **FIT)
    freeze(trainer, "0.weight")
    trainer.save(tmp_path / "run.npz")
    later = resumed(plain(1), tmp_path / "run.npz")
    for each in (trainer, later):
        each.fit(X, TARGET, epochs=1, **FIT)
        freeze(each, "0.weight", trainable=True)
        each.fit(X, TARGET, epochs=1, **FIT)
    assert other(whole(later), whole(trainer)) == []


# ---- what callbacks freeze, thaw and slow down


class Thaw(Callback):
    """Keeps the first layer frozen for two epochs: the how-to page's."""

    def fit_begin(self, trainer: Trainer) -> None:
        freeze(trainer, "0.weight", "0.bias")

    def epoch_end(self, trainer: Trainer) -> None:
        if trainer.epoch == 2:
            freeze(trainer, "0.weight", "0.bias", trainable=True)


class Hold(Callback):
    """Keeps a parameter frozen while it trains, and leaves it as it was."""

    def __init__(self, name: str = "0.weight") -> None:
        self.name = name

    def fit_begin(self, trainer: Trainer) -> None:
        freeze(trainer, self.name)

    def fit_end(self, trainer: Trainer) -> None:
        freeze(trainer, self.name, trainable=True)


class Slow(Callback):
    """Begins with a tenth of the rate, and ends with all of it."""

    def fit_begin(self, trainer: Trainer) -> None:
        trainer.rate_factor = 0.1

    def epoch_end(self, trainer: Trainer) -> None:
        trainer.rate_factor = min(1.0, 2 * trainer.rate_factor)

    def fit_end(self, trainer: Trainer) -> None:
        trainer.rate_factor = 1.0


class Break(Callback):
    """What Ctrl-C does, at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == self.step:
            raise KeyboardInterrupt


STEERING: dict[str, Callable[[], list[Callback]]] = {
    "thaws": lambda: [Thaw()],
    "freezes for the time of a fit": lambda: [Hold()],
    "slows down": lambda: [Slow()],
    "all of them": lambda: [Thaw(), Slow(), Hold("2.bias")],
}
HOOKS = {"fit_begin": 1, "epoch_begin": 4, "step_end": 16, "epoch_end": 4, "fit_end": 1}
MOMENTS = [(hook, first) for hook in HOOKS for first in (False, True) if not (first and hook == "epoch_end")]
"""One that saves before others have done what they do at the end of an epoch misses that: Checkpoint is told last."""


@pytest.mark.parametrize("steering", STEERING)
@pytest.mark.parametrize(("hook", "first"), MOMENTS)
def test_a_training_that_callbacks_steer_goes_on_from_a_save_in_any_hook(
    hook: str, steering: str, first: bool, tmp_path: Path
) -> None:
    expected = plain()
    expected.fit(X, TARGET, epochs=6, callbacks=STEERING[steering](), **FIT)
    save = [SaveIn(tmp_path, hook)]
    callbacks = [*save, *STEERING[steering]()] if first else [*STEERING[steering](), *save]
    plain().fit(X, TARGET, epochs=4, callbacks=callbacks, **FIT)
    for path in saved(tmp_path, HOOKS[hook]):
        later = resumed(plain(1), path)
        later.fit(X, TARGET, epochs=6 - later.history.epochs, callbacks=STEERING[steering](), **FIT)
        assert other(whole(later), whole(expected)) == [], path.name


@pytest.mark.parametrize("steering", STEERING)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_training_that_callbacks_steer_goes_on_from_a_fit_that_came_to_its_end(
    steering: str, epochs: int, tmp_path: Path
) -> None:
    expected, half = plain(), plain()
    expected.fit(X, TARGET, epochs=6, callbacks=STEERING[steering](), **FIT)
    half.fit(X, TARGET, epochs=epochs, callbacks=STEERING[steering](), **FIT)
    half.save(tmp_path / "run.npz")
    later = resumed(plain(1), tmp_path / "run.npz")
    later.fit(X, TARGET, epochs=6 - epochs, callbacks=STEERING[steering](), **FIT)
    assert other(whole(later), whole(expected)) == []


@pytest.mark.parametrize("steering", STEERING)
@pytest.mark.parametrize("steps", [(1, 2), (6, 7), (9, 14)])
def test_a_training_that_callbacks_steer_goes_on_after_ctrl_c_and_after_another(
    steering: str, steps: tuple[int, int], tmp_path: Path
) -> None:
    expected, path = plain(), tmp_path / "run.npz"
    expected.fit(X, TARGET, epochs=6, callbacks=STEERING[steering](), **FIT)
    plain().fit(X, TARGET, epochs=6, callbacks=[*STEERING[steering](), Checkpoint(path), Break(steps[0])], **FIT)
    later = resumed(plain(1), path)
    callbacks = [*STEERING[steering](), Checkpoint(path), Break(steps[1])]
    later.fit(X, TARGET, epochs=6 - later.history.epochs, callbacks=callbacks, **FIT)
    assert later.history.interrupted
    last = resumed(plain(2), path)
    last.fit(X, TARGET, epochs=6 - last.history.epochs, callbacks=STEERING[steering](), **FIT)
    assert other(whole(last), whole(expected)) == []


def test_ctrl_c_before_the_first_step_of_a_resumed_fit_loses_nothing(tmp_path: Path) -> None:
    class Never(Callback):
        def epoch_begin(self, trainer: Trainer) -> None:
            raise KeyboardInterrupt

    expected, path = plain(), tmp_path / "run.npz"
    expected.fit(X, TARGET, epochs=4, callbacks=[Hold(), Slow()], **FIT)
    plain().fit(X, TARGET, epochs=2, callbacks=[Hold(), Slow(), SaveIn(tmp_path, "epoch_end")], **FIT)
    middle = resumed(plain(1), tmp_path / "02.npz")
    middle.fit(X, TARGET, epochs=2, callbacks=[Hold(), Slow(), Never(), Checkpoint(path)], **FIT)
    assert (middle.steps, middle.history.interrupted) == (8, True)
    later = resumed(plain(2), path)
    later.fit(X, TARGET, epochs=2, callbacks=[Hold(), Slow()], **FIT)
    assert other(whole(later), whole(expected)) == []


def test_a_callback_that_took_no_part_before_freezes_as_it_says(tmp_path: Path) -> None:
    """One made by another call is another one."""
    for trainer in (plain(), resumed_after_hold(tmp_path)):
        trainer.fit(X, TARGET, epochs=1, callbacks=[Hold("2.weight"), Watch({"2.weight"})], **FIT)


class Watch(Callback):
    """Sees that just this is frozen in every step."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def step_end(self, trainer: Trainer) -> None:
        assert frozen(trainer) == self.names


def resumed_after_hold(folder: Path) -> Trainer:
    """Return a trainer that goes on after a fit in which a parameter was held."""
    trainer = plain()
    trainer.fit(X, TARGET, epochs=1, callbacks=[Hold(), Watch({"0.weight"})], **FIT)
    trainer.save(folder / "run.npz")
    return resumed(plain(1), folder / "run.npz")


def test_what_is_frozen_by_hand_after_a_resume_stays_so_whatever_callbacks_go_on(tmp_path: Path) -> None:
    later = resumed_after_hold(tmp_path)
    freeze(later, "2.bias")
    later.fit(X, TARGET, epochs=1, callbacks=[Hold(), Watch({"0.weight", "2.bias"})], **FIT)
    assert frozen(later) == {"2.bias"}


def test_what_is_frozen_by_hand_after_a_fit_is_frozen_when_it_goes_on(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=3, callbacks=[Thaw()], **FIT)
    freeze(trainer, "0.bias")
    trainer.save(tmp_path / "run.npz")
    later = resumed(plain(1), tmp_path / "run.npz")
    later.fit(X, TARGET, epochs=1, callbacks=[Thaw(), Watch({"0.bias"})], **FIT)


def test_without_the_callback_nothing_of_it_is_left(tmp_path: Path) -> None:
    later = resumed_after_hold(tmp_path)
    later.fit(X, TARGET, epochs=1, callbacks=[Watch(set())], **FIT)


def test_a_second_fit_of_a_resumed_trainer_begins_its_callbacks_anew(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=3, callbacks=[Thaw()], **FIT)
    trainer.save(tmp_path / "run.npz")
    later = resumed(plain(1), tmp_path / "run.npz")
    later.fit(X, TARGET, epochs=1, callbacks=[Thaw(), Watch(set())], **FIT)
    later.fit(X, TARGET, epochs=1, callbacks=[Thaw(), Watch({"0.weight", "0.bias"})], **FIT)


def test_a_fit_that_is_refused_leaves_flags_and_rate_as_they_were_and_can_be_repeated(tmp_path: Path) -> None:
    expected = plain()
    expected.fit(X, TARGET, epochs=4, callbacks=[Thaw(), Slow()], **FIT)
    plain().fit(X, TARGET, epochs=3, callbacks=[Thaw(), Slow(), SaveIn(tmp_path, "epoch_end")], **FIT)
    later = resumed(plain(1), tmp_path / "03.npz")
    before = whole(later)
    with pytest.raises(ValueError, match="this fit has no"):
        later.fit(X, TARGET, epochs=1, callbacks=[Thaw(), Slow(), EarlyStopping()], **FIT)
    assert other(whole(later), before) == []
    later.fit(X, TARGET, epochs=1, callbacks=[Thaw(), Slow()], **FIT)
    assert other(whole(later), whole(expected)) == []


def test_a_file_tells_of_the_callbacks_that_were_given_alone(tmp_path: Path) -> None:
    """The display of the progress, which is one too, is none of the training."""
    trainer = plain()
    trainer.fit(X, TARGET, epochs=1, callbacks=[Checkpoint(tmp_path / "run.npz"), Hold("2.bias")])
    trainer.save(tmp_path / "run.npz")
    page, _ = read_archive(tmp_path / "run.npz")
    assert sorted(callback["class"] for callback in page["callbacks"]) == ["Checkpoint", "Hold"]
    assert {
        "class": "Hold",
        "call": "Hold('2.bias')",
        "undone": {"trainable": {"2.bias": False}, "rate_factor": None},
    } in (page["callbacks"])


# ---- the classes of the layers


class Tanh2(Tanh):
    """A user's own."""


def local(name: str) -> type[Tanh]:
    """Return a class with a name, made within a function."""

    class Local(Tanh):
        pass

    Local.__name__, Local.__qualname__ = name, f"local.<locals>.{name}"
    return Local


MISFITS: dict[str, tuple[Layer, Layer, str]] = {
    "ours and ours": (Tanh(), ReLU(), "layer 1: nanonet.Tanh in the file, nanonet.ReLU here"),
    "ours and yours": (Tanh(), Tanh2(), "layer 1: nanonet.Tanh in the file, Tanh2 here"),
    "yours by our name": (local("Tanh")(), Tanh(), "layer 1: Tanh in the file, nanonet.Tanh here"),
    "within": (Residual(Tanh()), Residual(ReLU()), "layer 1.inner: nanonet.Tanh in the file, nanonet.ReLU here"),
    "around": (Sequential(Tanh()), Residual(Tanh()), "layer 1: nanonet.Sequential in the file, nanonet.Residual here"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_file_of_another_class_is_refused_with_both(case: str, tmp_path: Path) -> None:
    first, second, told = MISFITS[case]
    path = tmp_path / "run.npz"
    trainer_of(small(middle=copy.deepcopy(first))).save(path)
    refusal = assert_refused(trainer_of(small(rng=1, middle=copy.deepcopy(second))), path, "does not fit this trainer")
    assert f"  {told}" in str(refusal.value).splitlines()


def test_a_file_of_another_class_of_chain_is_refused(tmp_path: Path) -> None:
    class Net(Sequential):
        pass

    path = tmp_path / "run.npz"
    trainer_of(Net(*small().layers)).save(path)
    assert_refused(plain(1), path, r"layer \(the model\): Net in the file, nanonet\.Sequential here")


def test_a_class_that_moved_into_a_function_or_another_module_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    trainer_of(small(middle=Tanh2())).save(path)
    resumed(trainer_of(small(rng=1, middle=local("Tanh2")())), path)


def test_the_settings_of_a_layer_are_taken_from_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    for made, again in [(Dropout(0.3), Dropout(0.1)), (LeakyReLU(0.1), LeakyReLU(0.2))]:
        trainer_of(small(middle=made)).save(path)
        later = resumed(trainer_of(small(rng=1, middle=again)), path)
        assert later.model[1] is again


# ---- files of format 1


def test_a_file_of_format_1_is_gone_on_with() -> None:
    _, arrays = read_archive(written.PATH)
    later = written.trainer_of(seed=1)
    later.resume(written.PATH)
    assert (later.steps, later.epoch, later.batch, later.history.epochs) == (12, 3, 2, 2)
    for name, parameter in later.model.parameters().items():
        assert parameter.value.tobytes() == arrays[f"parameter/{name}"].tobytes()
    stopping = EarlyStopping(patience=9)
    later.fit(*written.data(), epochs=3, callbacks=[stopping], **written.FIT)
    expected = written.trainer_of()
    expected.fit(*written.data(), epochs=5, callbacks=[EarlyStopping(patience=9)], **written.FIT)
    assert stopping.best_epoch > 0
    for name in ("loss", "validation_loss"):  # on another machine the last bits may be others
        np.testing.assert_allclose(later.history[name], expected.history[name], rtol=1e-5)


def test_a_file_of_format_1_leaves_what_is_frozen_and_says_nothing_of_classes() -> None:
    for names in ({"0.bias"}, {"0.weight", "3.bias"}, set[str]()):
        later = written.trainer_of(seed=1)
        freeze(later, "0.bias", trainable=True)
        freeze(later, *names)
        later.resume(written.PATH)
        assert frozen(later) == names
    model = Sequential(Linear(3, 4), ReLU(), Dropout(0.2), Linear(4, 2), rng=1)
    resumed(Trainer(model, loss=SquaredError(), optimizer=Adam(0.01)), written.PATH)


def test_a_file_of_format_1_is_saved_again_in_the_present_one(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    resumed(written.trainer_of(1), written.PATH).save(path)
    later, straight = resumed(written.trainer_of(2), path), resumed(written.trainer_of(3), written.PATH)
    for each in (later, straight):
        each.fit(*written.data(), epochs=3, callbacks=[EarlyStopping(patience=9)], **written.FIT)
    assert read_archive(path)[0]["format"] == 2
    assert other(whole(later), whole(straight)) == []


def test_an_entry_of_format_2_in_a_file_of_format_1_is_refused(tmp_path: Path) -> None:
    page, arrays = read_archive(written.PATH)
    write_archive(tmp_path / "run.npz", page | {"frozen": []}, arrays)
    assert_refused(written.trainer_of(1), tmp_path / "run.npz", "frozen: not known")


# ---- every entry is what it has to be


def rich(seed: int = 0) -> Trainer:
    """Return a trainer that has some of everything."""
    model = Sequential(Linear(3, 4), Centred(4), Tanh(), Noise(), Linear(4, 2), rng=seed)
    model.parameters()["0.bias"].trainable = False
    return trainer_of(model)


def distance(prediction: Any, target: Any) -> float:
    return float(np.abs(prediction - target).mean())


def go_on(trainer: Trainer, epochs: int, *callbacks: Callback) -> None:
    told = [EarlyStopping(patience=9), Hold(), *callbacks]
    trainer.fit(X, TARGET, epochs=epochs, validation=0.2, metrics=[distance], callbacks=told, batch_size=4, verbose=0)


Parts = tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]


@functools.cache
def valid() -> Parts:
    """Return the page and the arrays of a checkpoint with some of everything, saved in the middle of an epoch."""
    trainer = rich()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.npz"
        go_on(trainer, 3, Break(10))
        trainer.save(path)
        return read_archive(path)


def forge(path: Path, page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write what nanonet itself would not: numbers in the page that are not finite."""
    entries = {"nanonet.json": json.dumps(page).encode()}
    path.write_bytes(sealed(packed(entries | {f"{name}.npy": npy(array) for name, array in arrays.items()})))


def at(page: Mapping[str, Any], place: Iterable[Any]) -> Any:
    """Return an entry of a page."""
    return functools.reduce(lambda part, name: part[name], place, page)


def changed(page: Mapping[str, Any], place: list[Any], value: Any) -> dict[str, Any]:
    """Return a page in which one entry is another; ... takes it out."""
    forged = copy.deepcopy(dict(page))
    *path, last = place
    part = at(forged, path)
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return forged


def test_what_is_forged_without_a_change_is_gone_on_with_bit_for_bit(tmp_path: Path) -> None:
    """Else what follows would be refused for another reason than the one meant."""
    forge(tmp_path / "run.npz", *valid())
    later, expected = resumed(rich(1), tmp_path / "run.npz"), rich()
    go_on(later, 1)
    go_on(expected, 3)
    assert other(whole(later), whole(expected)) == []


PAGES: list[tuple[str, list[Any], Any, str]] = [
    ("a negative step", ["steps"], -1, "steps: expected an integer from 0 to"),
    ("half a step", ["steps"], 1.5, "steps: expected an integer"),
    ("true for a step", ["steps"], True, "steps: expected an integer"),
    ("more steps than there are numbers", ["steps"], 10**40, "steps: expected an integer"),
    ("a negative epoch", ["epoch"], -1, "epoch: expected an integer"),
    ("an entry more", ["fit"], 1, "fit: not known"),
    ("an entry less", ["splits"], ..., "splits: missing"),
    ("an entry less, deeper", ["underway", "begun"], ..., r"underway\.begun: missing"),
    ("1 for true", ["interrupted"], 1, "interrupted: expected true or false, got 1"),
    ("a number for a text", ["stopped"], 3, "stopped: expected a string, got 3"),
    ("no generators", ["generators"], None, "generators: expected a table"),
    ("a generator less", ["generators", "layer/3.random"], ..., "other generators"),
    ("a state of nothing", ["generators", "model", "state"], None, r"generators\.model: expected a state of PCG64"),
    (
        "a negative state",
        ["generators", "model", "state", "state"],
        -1,
        r"generators\.model: expected a state of PCG64",
    ),
    ("a state too large", ["generators", "model", "state", "inc"], 2**129 + 1, r"generators\.model: expected a state"),
    ("a state that stands still", ["generators", "trainer", "state", "inc"], 2, r"generators\.trainer\.state\.inc: "),
    ("half a number", ["generators", "trainer", "uinteger"], 1.5, r"generators\.trainer: expected a state of PCG64"),
    ("more in a state", ["generators", "trainer", "more"], 1, "one that NumPy changes"),
    ("a split of nothing", ["splits", 0, 2], None, r"splits\[0\]\[2\]: expected a table"),
    ("a split of another kind", ["splits", 0, 2], {"bit_generator": "SFC64"}, "expected a generator of the kind PCG64"),
    ("a fraction above 1", ["splits", 0, 1], 1.5, r"splits\[0\]\[1\]: expected a number between 0 and 1, got 1\.5"),
    ("a fraction that is none", ["splits", 0, 1], float("nan"), r"splits\[0\]\[1\]: expected a number between 0 and 1"),
    ("a fraction of too few", ["splits", 0, 0], 2, r"splits: a fraction of 0\.2 of 2 samples leaves none on one side"),
    ("a frozen parameter that is none", ["frozen", 0], "9.weight", r"frozen\[0\]: expected one of .*got '9\.weight'"),
    ("one frozen twice", ["frozen"], ["0.bias", "0.bias"], "frozen: expected distinct entries"),
    ("a class that is none", ["layers", "0"], 3, r"layers\.0: expected a string"),
    ("a layer more", ["layers", "7"], "nanonet.Tanh", "layer 7: only in the file"),
    ("a layer less", ["layers", "2"], ..., "layer 2: not in the file"),
    ("no batch done", ["underway", "done"], 0, r"underway\.done: expected an integer from 1"),
    (
        "more batches than there are",
        ["underway", "done"],
        5,
        r"underway\.done: 5 batches are more than 16 samples make",
    ),
    ("an order that nothing drew", ["underway", "begun"], None, r"underway\.begun: expected the generator's state"),
    ("an order of none", ["underway", "data", "shuffle"], False, r"underway\.begun: expected the generator's state"),
    ("no batch size", ["underway", "data", "batch_size"], 0, r"underway\.data\.batch_size: expected an integer"),
    ("a state without a metric", ["underway", "data", "metrics"], [], "metric/0/several: there is no such metric"),
    ("sums without an epoch", ["underway"], None, "underway/loss: there is no unfinished epoch"),
    ("a callback less", ["callbacks"], [], "callback/0/best: there is no such callback"),
    ("a callback undoing nothing known", ["callbacks", 1, "undone", "trainable"], {"9.weight": True}, "got '9.weight'"),
    ("a callback undoing otherwise", ["callbacks", 1, "undone", "trainable", "0.weight"], 0, "expected true or false"),
    ("a rate that is none", ["callbacks", 1, "undone", "rate_factor"], float("inf"), "rate_factor: expected a finite"),
    ("a fit that was over", ["completed"], True, "callback/0/best: there is no such callback"),
]


@pytest.mark.parametrize(("place", "value", "told"), [case[1:] for case in PAGES], ids=[case[0] for case in PAGES])
def test_an_entry_of_the_page_that_cannot_be_is_refused_by_name(
    place: list[Any], value: Any, told: str, tmp_path: Path
) -> None:
    page, arrays = valid()
    forge(tmp_path / "run.npz", changed(page, place, value), arrays)
    assert_refused(rich(1), tmp_path / "run.npz", f"{told}.*nothing was changed|nothing was changed.*(?s:.*){told}")


def array(*numbers: Any, dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
    return np.array(numbers[0] if len(numbers) == 1 else numbers, dtype)


ARRAYS: list[tuple[str, str, npt.NDArray[Any] | None, str]] = [
    ("an attribute", "trainer/model", array(1.0), "trainer/model: not known"),
    ("a method", "trainer/fit", array(1.0), "trainer/fit: not known"),
    ("what goes nowhere", "other", array(1.0), "other: not known"),
    ("what goes nowhere, deeper", "other/loss", array(1.0), "other/loss: not known"),
    ("no factor", "trainer/rate_factor", None, "trainer/rate_factor: missing"),
    ("a factor that is none", "trainer/rate_factor", array(np.nan), "trainer/rate_factor: expected finite numbers"),
    ("a factor of two numbers", "trainer/rate_factor", array(1.0, 2.0), r"expected float64 of shape \(\), got float64"),
    (
        "a whole loss",
        "trainer/batch_loss",
        np.array(1),
        r"trainer/batch_loss: expected float64 of shape \(\), got int64",
    ),
    ("a longer history", "history/loss", array(1.0, 2.0, 3.0), "history: expected the same number of epochs"),
    (
        "a history of whole numbers",
        "history/loss",
        np.array([1, 2]),
        r"history/loss: expected float64 of shape \(epochs",
    ),
    ("a history of nothing", "history/loss", np.zeros(0), r"history/loss: expected float64 of shape \(epochs"),
    ("a history of tables", "history/loss", np.zeros((2, 2)), r"history/loss: expected float64 of shape \(epochs"),
    ("no weights", "underway/loss", array(1.0, 0.0), r"underway/loss: expected weights above 0, got 0\.0"),
    ("negative weights", "underway/loss", array(1.0, -1.0), "underway/loss: expected weights above 0"),
    ("a sum of three", "underway/loss", array(1.0, 1.0, 1.0), r"underway/loss: expected float64 of shape \(2,\)"),
    ("a sum more", "underway/more", array(1.0, 1.0), "underway/more: not known"),
    ("a callback that is none", "callback/9/best", array(1.0), "callback/9/best: there is no such callback"),
    ("a callback without a place", "callback/best", array(1.0), "callback/best: there is no such callback"),
    ("a callback at -1", "callback/-1/best", array(1.0), "callback/-1/best: there is no such callback"),
    ("a weight of another shape", "parameter/0.weight", np.zeros((3, 4), np.float32), r"parameter/0\.weight: float32"),
    ("a weight of another dtype", "parameter/0.weight", np.zeros((4, 3)), r"parameter/0\.weight: float64 \(4, 3\) in"),
    ("a weight that is none", "parameter/0.weight", np.full((4, 3), np.nan, np.float32), "expected finite numbers"),
    ("a state that is none", "state/sum/4.bias", np.full(2, np.inf, np.float32), "state/sum/4.bias: expected finite"),
    ("a state less", "state/sum/4.bias", None, r"state/sum/4\.bias: not in the file"),
    ("a buffer more", "buffer/9", array(1.0), "buffer/9: only in the file"),
]


@pytest.mark.parametrize(("name", "value", "told"), [case[1:] for case in ARRAYS], ids=[case[0] for case in ARRAYS])
def test_an_array_that_cannot_be_is_refused_by_name(
    name: str, value: npt.NDArray[Any] | None, told: str, tmp_path: Path
) -> None:
    page, arrays = valid()
    kept = {key: numbers for key, numbers in arrays.items() if key != name}
    forge(tmp_path / "run.npz", page, kept if value is None else kept | {name: value})
    assert_refused(rich(1), tmp_path / "run.npz", f"{told}.*nothing was changed|nothing was changed.*(?s:.*){told}")


KINDS: list[tuple[type[np.random.BitGenerator], list[str], Any]] = [
    (np.random.MT19937, ["state", "pos"], 10**6),
    (np.random.MT19937, ["state", "pos"], -1),
    (np.random.MT19937, ["state", "key"], [1, 2]),
    (np.random.MT19937, ["state", "key"], [1.5] * 624),
    (np.random.Philox, ["buffer_pos"], -9),
    (np.random.Philox, ["buffer_pos"], 10**6),
    (np.random.Philox, ["buffer"], [1, 2, 3, 4, 5]),
    (np.random.SFC64, ["state", "state"], [1]),
    (np.random.PCG64DXSM, ["state", "inc"], 4),
]


@pytest.mark.parametrize(("kind", "place", "value"), KINDS)
def test_a_state_in_which_numpy_would_read_beyond_its_arrays_is_refused(
    kind: type[np.random.BitGenerator], place: list[str], value: Any, tmp_path: Path
) -> None:
    def make(seed: int) -> Trainer:
        return trainer_of(Sequential(Linear(3, 2), rng=np.random.Generator(kind(seed))))

    path = tmp_path / "run.npz"
    make(0).save(path)
    page, arrays = read_archive(path)
    forge(path, changed(page, ["generators", "model", *place], value), arrays)
    assert_refused(make(1), path, r"generators\.model.*: expected")


def test_a_frozen_parameter_may_be_infinite(tmp_path: Path) -> None:
    trainer = plain()
    freeze(trainer, "0.bias")
    trainer.model.parameters()["0.bias"].value = np.full(4, -np.inf)
    trainer.save(tmp_path / "run.npz")
    assert other(whole(resumed(plain(1), tmp_path / "run.npz")), whole(trainer)) == []


def test_what_a_callback_cannot_go_on_with_refuses_the_fit_by_its_name(tmp_path: Path) -> None:
    page, arrays = valid()
    wrong: list[tuple[str, npt.NDArray[Any]]] = [
        ("best", np.zeros(2)),
        ("best", np.array(np.nan)),
        ("waited", np.array(-1)),
        ("best_epoch", np.array(0.5)),
        ("model/0.weight", np.zeros((4, 3))),
        ("model/more", np.zeros((4, 3))),
    ]
    for name, value in wrong:
        forge(tmp_path / "run.npz", page, arrays | {f"callback/0/{name}": value})
        later = resumed(rich(1), tmp_path / "run.npz")
        before = whole(later)
        with pytest.raises(ValueError, match=r"^EarlyStopping\(patience=9\): "):
            go_on(later, 2)
        assert other(whole(later), before) == []


def test_a_log_does_not_go_on_before_its_first_epoch(tmp_path: Path) -> None:
    plain().fit(X, TARGET, epochs=2, callbacks=[CSVLog(tmp_path / "a.csv"), SaveIn(tmp_path, "step_end")], **FIT)
    page, arrays = read_archive(tmp_path / "05.npz")
    for first in (-5, 2, 10**9):
        forge(tmp_path / "run.npz", page, arrays | {"callback/0/first": np.array(first)})
        later = resumed(plain(1), tmp_path / "run.npz")
        with pytest.raises(
            ValueError, match=r"CSVLog\(.*\): expected a checkpoint with an integer 'first' from 0 to 1"
        ):
            later.fit(X, TARGET, epochs=1, callbacks=[CSVLog(tmp_path / "a.csv")], **FIT)


# ---- whatever stands in a file


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each entry of a page stands, tables and lists too."""
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, entry in inner:
        yield (*path, name)
        yield from places(entry, (*path, name))


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 30),
    st.sampled_from([2**31, 2**53, 2**63, 2**128, 10**40, -(2**70)]),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["0.weight", "PCG64", "loss", "nanonet.Tanh", "Hold", "__class__", "model"]),
)
VALUES = st.one_of(
    SCALARS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)),
)
NUMBERS: st.SearchStrategy[npt.NDArray[Any]] = st.one_of(
    st.builds(
        np.full,
        st.lists(st.integers(0, 4), max_size=3),
        st.sampled_from([0.0, 1.0, -1.0, 3.0, 1e30, np.nan, np.inf]),
        st.sampled_from(["<f4", "<f8", ">f8"]),
    ),
    st.builds(
        np.full,
        st.lists(st.integers(0, 4), max_size=3),
        st.integers(0, 100),
        st.sampled_from(["<i8", "<i4", "u1", "?", "<f2"]),
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> Parts:
    """Draw a checkpoint in which one entry is another, is missing, has come, or moved."""
    page, arrays = valid()
    name = draw(st.sampled_from(list(arrays)))
    others = {key: value for key, value in arrays.items() if key != name}
    match draw(
        st.sampled_from(
            ["page", "page", "page", "less", "more", "array", "spoiled", "no array", "moved", "more arrays"]
        )
    ):
        case "page":
            return changed(page, list(draw(st.sampled_from(list(places(page))))), draw(VALUES)), arrays
        case "less":
            return changed(page, list(draw(st.sampled_from(list(places(page))))), ...), arrays
        case "more":
            tables = [place for place in places(page) if isinstance(at(page, place), dict)]
            place = draw(st.sampled_from([(), *tables]))
            return changed(page, [*place, draw(st.text(max_size=5))], draw(VALUES)), arrays
        case "array":
            return page, others | {name: draw(NUMBERS)}
        case "spoiled":
            spoiled = np.array(arrays[name])
            spoiled.flat[:1] = (
                draw(st.sampled_from([-1, 0, 2, 100]))
                if spoiled.dtype.kind in "iu"
                else draw(st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e30]))
            )
            return page, others | {name: spoiled}
        case "no array":
            return page, others
        case "moved":
            return page, others | {draw(st.sampled_from(list(arrays))): arrays[name]}
        case _:
            begin = draw(st.sampled_from(["", "trainer/", "history/", "underway/", "callback/0/", "state/", "x/"]))
            end = draw(st.sampled_from(["a", "model", "loss", "rate_factor", "_tree", "0.weight"]))
            return page, arrays | {begin + end: draw(NUMBERS)}


def assert_sound(parts: Parts, path: Path) -> str:
    """See that a file is refused and changes nothing, or that training goes on from it; return which it was.

    The numbers of a weight may be any that are finite: a step that they blow up is refused as such a step always is.
    """
    forge(path, *parts)
    trainer = rich(1)
    before = whole(trainer)
    attributes = vars(trainer).keys()
    told = ""
    try:
        trainer.resume(path)
    except ValueError as error:
        told = str(error)
    if told:
        assert told.startswith(f"{path}: ")
        assert other(whole(trainer), before) == []
        return "refused"
    assert vars(trainer).keys() == attributes
    taken = whole(trainer)
    try:
        go_on(trainer, 2)
    except NonFiniteError:
        return "diverged"
    except ValueError:  # such as an epoch under way on other data, or a callback that does not go on
        assert other(whole(trainer), taken) == []
        return "not gone on with"
    assert trainer.steps > parts[0]["steps"]
    trainer.save(path)
    return "gone on with"


@settings(derandomize=True)
@given(mutated())
def test_whatever_one_entry_says_a_file_is_refused_or_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, parts: Parts
) -> None:
    assert_sound(parts, tmp_path_factory.getbasetemp() / "mutated.npz")


# ---- a file that somebody changes while it is read


@pytest.mark.parametrize("error", [ValueError("it changed while it was read"), KeyboardInterrupt()], ids=repr)
def test_a_trainer_that_got_half_of_a_file_takes_no_step(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain().save(tmp_path / "run.npz")
    later, real, asked = plain(1), Stored.copy_into, list[str]()

    def copy_into(stored: Stored, place: npt.NDArray[Any], name: str) -> None:
        asked.append(name)
        if asked.count("parameter/2.bias") == 2:  # once everything was looked at
            raise error
        real(stored, place, name)

    with monkeypatch.context() as patch:
        patch.setattr(Stored, "copy_into", copy_into)
        with pytest.raises(type(error)):
            later.resume(tmp_path / "run.npz")
    for use in (lambda: later.step(X, TARGET), lambda: later.save(tmp_path / "half.npz")):
        with pytest.raises(RuntimeError, match=r"run\.npz was changed while it was read.*trainer\.resume\(path\)"):
            use()
    later.resume(tmp_path / "run.npz")
    assert other(whole(later), whole(plain())) == []
