"""Checkpoints: a training that goes on in another process, or another day, as if it had never stopped.

The trainer that goes on is made with other seeds here: what it starts from must come from the file, all of it.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Adam,
    AdamW,
    Array,
    Callback,
    Checkpoint,
    CosineRate,
    CrossEntropy,
    CSVLog,
    Dropout,
    EarlyStopping,
    Huber,
    Linear,
    NonFiniteError,
    Optimizer,
    ReduceOnPlateau,
    Residual,
    Rprop,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
    WarmUp,
    accuracy,
    weights_only,
)
from nanonet.training.history import Means
from tests import ROOT
from tests.helpers import (
    Centred,
    Distance,
    Momentum,
    Noise,
    Recorder,
    Scale,
    data,
    distance,
    everything,
    generator_state,
    picture,
)
from tests.registry import OPTIMIZERS, OptimizerCase

X, TARGET = data(samples=20)
LABELS = np.arange(20) % 2
WEIGHT = np.linspace(0.5, 2.0, 20)
EPOCHS = 10
POSITIONS = [(1, 1), (1, 3), (1, 4), (2, 1), (5, 2), (5, 4), (6, 1), (10, 3), (10, 4)]
"""Of an epoch of four batches, and a batch in it: the first, the last and others."""

Seeded = Callable[[int], Trainer]


# ---- what trains, and all that it goes on with


def net(rng: Any = 0, dtype: npt.DTypeLike = np.float32) -> Sequential:
    """Return a net 3 -> 2 with a generator of its own."""
    return Sequential(Linear(3, 4), Tanh(), Dropout(0.3), Linear(4, 2), dtype=dtype, rng=rng)


def trainer_of(model: Sequential, optimizer: Optimizer | None = None, **settings: Any) -> Trainer:
    return Trainer(model, loss=SquaredError(), optimizer=optimizer or Adam(0.01), **settings)


def plain(seed: int = 0) -> Trainer:
    return trainer_of(net(seed))


def whole(trainer: Trainer) -> dict[str, str]:
    """Return all that a training goes on with, by name and bit for bit; it knows nothing of files."""
    found = {f"model {name}": hashlib.sha256(bits).hexdigest() for name, bits in picture(trainer.model).items()}
    found |= {f"state {name}": numbers.tobytes().hex() for name, numbers in trainer.stepper.states.items()}
    found["frozen"] = repr([name for name, p in trainer.model.parameters().items() if not p.trainable])
    for name in ("steps", "epoch", "batch", "batch_loss", "learning_rate", "rate_factor"):
        found[name] = repr(getattr(trainer, name))
    history = trainer.history
    found["history"] = repr((dict(history), history.interrupted, history.stopped))
    found["the model's generator"] = generator_state(trainer.model.rng)
    found["the trainer's generator"] = generator_state(trainer.rng)
    found["splits"] = json.dumps(sorted((*key, state) for key, state in trainer.splits.items()), default=plainly)
    return found


def plainly(numbers: npt.NDArray[Any]) -> Any:
    return numbers.tolist()


def other(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the names in which two trainings differ."""
    return [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]


class SaveAt(Callback):
    """Saves after chosen batches, when all other callbacks were called."""

    called_last = True

    def __init__(self, folder: Path, positions: list[tuple[int, int]] | None = None) -> None:
        self.folder, self.positions = folder, positions

    def step_end(self, trainer: Trainer) -> None:
        if self.positions is None or (trainer.epoch, trainer.batch) in self.positions:
            trainer.save(self.folder / f"epoch{trainer.epoch:02} batch{trainer.batch}.npz")


def saved(folder: Path, count: int) -> list[Path]:
    """Return the files in a folder, of which there are so many."""
    paths = sorted(folder.glob("*.npz"))
    assert len(paths) == count
    return paths


def resumed(trainer: Trainer, path: Path) -> Trainer:
    """Return the trainer, once it has taken over a file."""
    trainer.resume(path)
    return trainer


# ---- the trainings that are broken off, and gone on with in another process


class Again:
    """An iterable of four batches that begins anew each time, in the same order."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for i in range(4):
            rows = slice(5 * i, 5 * i + 5)
            yield (X[rows], TARGET[rows], WEIGHT[rows]) if i == 2 else (X[rows], TARGET[rows])


class Recipe(NamedTuple):
    """A way to make a trainer, and what its fit gets; in each epoch it takes four batches."""

    make: Seeded
    data: Callable[[Path], tuple[Any, Any]] = lambda folder: (X, TARGET)
    settings: Mapping[str, Any] = {}
    positions: list[tuple[int, int]] = POSITIONS

    def fit(self, trainer: Trainer, folder: Path, epochs: int, *callbacks: Callback) -> None:
        settings = {"batch_size": 5, "verbose": 0} | dict(self.settings)
        trainer.fit(*self.data(folder), epochs=epochs, callbacks=callbacks, **settings)


def mapped(folder: Path) -> tuple[Any, Any]:
    """Return arrays that stand on the disk."""
    for name, array in (("x", X), ("target", TARGET)):
        if not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", array)
    x, target = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "target"))
    assert isinstance(x, np.memmap)
    return x, target


def scheduled(seed: int) -> Trainer:
    return trainer_of(net(seed), Adam(WarmUp(7, then=CosineRate(0.05, 30, end=0.001))))


def within(seed: int) -> Trainer:
    """Return a trainer of a model that is part of another."""
    inner = net(seed)
    outer = Sequential(Linear(3, 3), Residual(Sequential(Linear(3, 3), rng=seed)), inner, rng=seed)
    trainer = trainer_of(inner, rng=seed + 1)
    trainer.outer = outer  # type: ignore[attr-defined]  # else nothing keeps the model around it
    return trainer


def sliced(seed: int) -> Trainer:
    """Return a trainer of the upper part of a model."""
    return trainer_of(
        Sequential(Linear(5, 3), Noise(), Linear(3, 4), Centred(4), Dropout(0.4), Linear(4, 2), rng=seed)[1:]
    )


def partly_frozen(seed: int) -> Trainer:
    frozen = Linear(3, 4)
    frozen.weight.trainable = False
    model = Sequential(frozen, Scale(4, trainable=False), Dropout(0.3), Linear(4, 2), rng=seed)
    settings: Any = {"weight_decay": 0.1, "decays": weights_only, "clip_norm": 0.5}
    return trainer_of(model, AdamW(0.02, **settings))


def apart(seed: int) -> Trainer:
    """Return a trainer that shuffles with a generator of its own, of another kind than the model's."""
    return trainer_of(net(np.random.Generator(np.random.Philox(seed))), rng=np.random.Generator(np.random.SFC64(seed)))


def drawing(kind: type[np.random.BitGenerator], seed: int) -> Trainer:
    """Return a trainer whose generators, those of the layers too, are of one kind."""
    rng = np.random.Generator(kind(seed))
    return trainer_of(Sequential(Linear(3, 4), Noise(), Centred(4), Dropout(0.3), Linear(4, 2), rng=rng))


def moved(case: OptimizerCase, seed: int) -> Trainer:
    return trainer_of(net(seed), case.make())


def weighing(*weights: float) -> dict[str, Any]:
    """Return settings that give each batch a weight; no step is taken on one that has none."""
    return {"shuffle": False, "sample_weight": np.repeat(weights, 5)}


BITS = [np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64]
FRACTION = {"validation": 0.2}

RECIPES: dict[str, Recipe] = {
    "Adam, dropout, shuffling, a validation fraction and a schedule": Recipe(scheduled, settings=FRACTION),
    "without shuffling": Recipe(plain, settings={"shuffle": False}),
    "validation data": Recipe(plain, settings={"validation": (X[:7], TARGET[:7])}),
    "metrics": Recipe(plain, settings={"metrics": [distance], "validation": 0.2}),
    "accuracy": Recipe(
        lambda seed: Trainer(net(seed), loss=CrossEntropy(class_weight=[1.0, 3.0]), optimizer=Adam(0.01)),
        lambda folder: (X, LABELS),
        {"metrics": [accuracy], "validation": 0.2},
    ),
    "an iterable that begins anew": Recipe(plain, lambda folder: (Again(), None)),
    "a list of batches": Recipe(scheduled, lambda folder: (list(Again()), None), {"metrics": [distance]}),
    "memory-mapped arrays": Recipe(plain, mapped),
    "memory-mapped arrays with a validation fraction": Recipe(plain, mapped, FRACTION),
    "sample weights": Recipe(plain, settings={"sample_weight": WEIGHT, "validation": 0.2}),
    "a first batch without weight": Recipe(plain, settings=weighing(0, 1, 2, 1)),
    "a last batch without weight": Recipe(plain, settings=weighing(1, 2, 1, 0)),
    "micro_batch_size": Recipe(lambda seed: trainer_of(net(seed), micro_batch_size=2), settings=FRACTION),
    "a trainer with its own generator": Recipe(apart, settings=FRACTION),
    "buffers, generators and frozen parameters in nested models": Recipe(
        lambda seed: trainer_of(everything(rng=seed)), settings=FRACTION
    ),
    "float64": Recipe(lambda seed: trainer_of(everything(np.float64, rng=seed)), settings=FRACTION),
    "a part of another model": Recipe(within),
    "a slice of another model": Recipe(sliced),
    "frozen parameters, clipping and decay": Recipe(partly_frozen),
    "an optimizer of one's own": Recipe(lambda seed: trainer_of(net(seed), Momentum(0.01))),
    "a loss with a setting": Recipe(lambda seed: Trainer(net(seed), loss=Huber(0.3), optimizer=SGD(0.1, momentum=0.9))),
}
for _kind in BITS:
    RECIPES[f"the generator {_kind.__name__}"] = Recipe(functools.partial(drawing, _kind), settings=FRACTION)
for _number, _case in enumerate(itertools.chain.from_iterable(OPTIMIZERS.values())):
    RECIPES[f"{_number} {_case.make()}"] = Recipe(
        functools.partial(moved, _case), settings=FRACTION, positions=[(5, 2), (6, 1)]
    )


def go_on(folder: Path) -> None:
    """Go on from every checkpoint in a folder to the tenth epoch, and write down where that leads."""
    arrived: dict[str, dict[str, dict[str, str]]] = {}
    for number, (name, recipe) in enumerate(RECIPES.items()):
        arrived[name] = {}
        for path in sorted((folder / str(number)).glob("*.npz")):
            try:
                trainer = resumed(recipe.make(99), path)
                recipe.fit(trainer, folder, EPOCHS - trainer.history.epochs)
                arrived[name][path.stem] = whole(trainer)
            except Exception as error:  # the test of this recipe shows it
                arrived[name][path.stem] = {"error": repr(error)}
    (folder / "arrived.json").write_text(json.dumps(arrived))


class Runs(NamedTuple):
    """By recipe: where ten epochs lead, where those lead that are saved in between, and what another process made."""

    expected: dict[str, dict[str, str]]
    while_saving: dict[str, dict[str, str]]
    five_and_five: dict[str, dict[str, str]]
    arrived: dict[str, dict[str, dict[str, str]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Train with every recipe, save on the way, and go on from all of it in one new process."""
    folder = tmp_path_factory.mktemp("checkpoints")
    found = Runs({}, {}, {}, {})
    for number, (name, recipe) in enumerate(RECIPES.items()):
        (folder / str(number)).mkdir()
        straight, saving, halves = recipe.make(0), recipe.make(0), recipe.make(0)
        recipe.fit(straight, folder, EPOCHS)
        found.expected[name] = whole(straight)
        recipe.fit(saving, folder, EPOCHS, SaveAt(folder / str(number), recipe.positions))
        found.while_saving[name] = whole(saving)
        recipe.fit(halves, folder, 5)
        halves.save(folder / str(number) / "five.npz")
        recipe.fit(halves, folder, 5)
        found.five_and_five[name] = whole(halves)
    command = [sys.executable, "-m", "tests.training.test_checkpoints", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found.arrived.update(json.loads((folder / "arrived.json").read_text()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_in_another_process_five_epochs_after_five_are_ten(runs: Runs, name: str) -> None:
    assert other(runs.arrived[name]["five"], runs.expected[name]) == []
    assert other(runs.five_and_five[name], runs.expected[name]) == []


@pytest.mark.parametrize("name", RECIPES)
def test_another_process_goes_on_in_the_middle_of_an_epoch_and_counts_it_as_its_first(runs: Runs, name: str) -> None:
    found = runs.arrived[name]
    assert {place: names for place, end in found.items() if (names := other(end, runs.expected[name]))} == {}
    assert len(found) >= min(7, len(RECIPES[name].positions) + 1)  # a batch without weight has no step


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_saving_changes_nothing_in_the_training(runs: Runs, name: str) -> None:
    assert other(runs.while_saving[name], runs.expected[name]) == []


def test_what_goes_on_was_made_with_other_numbers() -> None:
    for recipe in RECIPES.values():
        first, later = (whole(recipe.make(seed)) for seed in (0, 99))
        assert {"model the vector", "the model's generator", "the trainer's generator"} <= set(other(first, later))


def test_a_checkpoint_is_gone_on_with_any_number_of_times(tmp_path: Path) -> None:
    first = plain()
    first.fit(X, TARGET, epochs=EPOCHS, batch_size=5)
    trainer = plain()
    trainer.fit(X, TARGET, epochs=1, batch_size=5, callbacks=[SaveAt(tmp_path)])
    path = tmp_path / "epoch01 batch2.npz"
    for seed in range(12):  # each goes on in an epoch that the one before began, and saves in the next one
        later = resumed(plain(seed), path)
        left = EPOCHS - later.history.epochs
        later.fit(X, TARGET, epochs=min(left, 2), batch_size=5, callbacks=[SaveAt(tmp_path)])
        path = tmp_path / f"epoch{min(later.epoch, EPOCHS):02} batch{seed % 4 + 1}.npz"
    assert later.epoch == EPOCHS
    assert other(whole(later), whole(first)) == []


def test_a_resumed_trainer_can_be_saved_as_it_is(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=3, batch_size=5, callbacks=[SaveAt(tmp_path)])
    for path in saved(tmp_path, 12):
        copy = tmp_path / "copy.npz"
        resumed(plain(5), path).save(copy)
        later = resumed(plain(6), copy)
        later.fit(X, TARGET, epochs=3 - later.history.epochs, batch_size=5)
        assert other(whole(later), whole(trainer)) == []


def test_an_epoch_that_goes_on_leaves_out_the_batches_that_are_done(tmp_path: Path) -> None:
    def recorded(seed: int) -> tuple[Trainer, list[list[float]]]:
        recorder = Recorder()
        return trainer_of(Sequential(recorder, Linear(3, 2), rng=seed)), recorder.seen

    trainer, seen = recorded(0)
    trainer.fit(X, TARGET, epochs=3, batch_size=5, callbacks=[SaveAt(tmp_path, [(2, 3)])])
    later, rest = recorded(1)
    later.resume(tmp_path / "epoch02 batch3.npz")
    later.fit(X, TARGET, epochs=2, batch_size=5)
    assert rest == seen[7:]
    assert sorted(itertools.chain(*seen[4:7], rest[0])) == sorted(X[:, 0].tolist())


def test_resume_sets_what_a_reader_sees(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=2, batch_size=5, metrics=[distance], callbacks=[SaveAt(tmp_path)])
    later = resumed(plain(1), tmp_path / "epoch02 batch3.npz")
    assert (later.steps, later.epoch, later.batch, later.completed) == (7, 2, 3, False)
    assert dict(later.history) == {name: values[:1] for name, values in trainer.history.items()}
    assert later.learning_rate == 0.01


# ---- when it is saved


class SaveIn(Callback):
    """Saves in one of the hooks, the first times that it is called; each time in a file of its own."""

    def __init__(self, folder: Path, hook: str) -> None:
        self.folder, self.hook, self.times = folder, hook, 0

    def _save(self, hook: str, trainer: Trainer) -> None:
        if hook == self.hook:
            self.times += 1
            trainer.save(self.folder / f"{self.times:02}.npz")

    def fit_begin(self, trainer: Trainer) -> None:
        self._save("fit_begin", trainer)

    def epoch_begin(self, trainer: Trainer) -> None:
        self._save("epoch_begin", trainer)

    def step_end(self, trainer: Trainer) -> None:
        self._save("step_end", trainer)

    def epoch_end(self, trainer: Trainer) -> None:
        self._save("epoch_end", trainer)

    def fit_end(self, trainer: Trainer) -> None:
        self._save("fit_end", trainer)


SETTINGS: dict[str, Any] = {"batch_size": 5, "validation": 0.2}
HOOKS = {"fit_begin": 1, "epoch_begin": 5, "step_end": 20, "epoch_end": 5, "fit_end": 1}


@pytest.mark.parametrize("make", [plain, apart])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_training_goes_on_from_a_save_in_any_hook(make: Seeded, hook: str, tmp_path: Path) -> None:
    trainer = make(0)
    trainer.fit(X, TARGET, epochs=5, callbacks=[SaveIn(tmp_path, hook)], **SETTINGS)
    trainer.fit(X, TARGET, epochs=2, **SETTINGS)
    for path in saved(tmp_path, HOOKS[hook]):
        later = resumed(make(1), path)
        later.fit(X, TARGET, epochs=7 - later.history.epochs, **SETTINGS)
        assert other(whole(later), whole(trainer)) == [], path.name


@pytest.mark.parametrize("make", [plain, apart, scheduled, partly_frozen, within])
def test_a_training_goes_on_from_before_its_first_fit(make: Seeded, tmp_path: Path) -> None:
    trainer = make(0)
    trainer.save(tmp_path / "run.npz")
    trainer.fit(X, TARGET, epochs=3, **SETTINGS)
    later = resumed(make(1), tmp_path / "run.npz")
    assert (later.steps, later.history.epochs) == (0, 0)
    later.fit(X, TARGET, epochs=3, **SETTINGS)
    assert other(whole(later), whole(trainer)) == []


def test_a_training_goes_on_from_steps_taken_by_hand(tmp_path: Path) -> None:
    trainer = scheduled(0)
    for _ in range(9):
        trainer.step(X, TARGET)
    trainer.save(tmp_path / "run.npz")
    later = resumed(scheduled(1), tmp_path / "run.npz")
    assert later.steps == 9
    for each in (trainer, later):
        for _ in range(9):
            each.step(X[:7], TARGET[:7], WEIGHT[:7])
        each.fit(X, TARGET, epochs=2, **SETTINGS)
    assert other(whole(later), whole(trainer)) == []


class Interrupts(Distance):
    """A metric that is interrupted at one of its batches; as the step is not taken yet, it is none."""

    def __init__(self, call: int) -> None:
        super().__init__()
        calls = itertools.count(1)
        self.is_due: Callable[[], bool] = lambda: next(calls) == call

    def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
        super().update(prediction, target)
        if self.is_due():
            raise KeyboardInterrupt


@pytest.mark.parametrize("make", [plain, apart])
@pytest.mark.parametrize("call", range(1, 17))
def test_a_training_goes_on_after_ctrl_c_at_any_batch_and_in_the_validation(
    make: Seeded, call: int, tmp_path: Path
) -> None:
    trainer, broken = make(0), make(0)
    trainer.fit(X, TARGET, epochs=5, metrics=[Distance()], **SETTINGS)
    broken.fit(X, TARGET, epochs=5, metrics=[Interrupts(call)], **SETTINGS)
    assert broken.history.interrupted
    assert broken.history.epochs == (call - 1) // 5  # four batches and the validation
    broken.save(tmp_path / "run.npz")
    later = resumed(make(1), tmp_path / "run.npz")
    assert later.history.interrupted
    later.fit(X, TARGET, epochs=5 - later.history.epochs, metrics=[Distance()], **SETTINGS)
    assert other(whole(later), whole(trainer)) == []


class Bursts(CosineRate):
    """A rate at which nothing bursts, but for one step."""

    burst: int | None = None

    def __call__(self, step: int) -> float:
        return 1e300 if step == self.burst else super().__call__(step)


@pytest.mark.parametrize("burst", [0, 3, 4, 9])
def test_a_training_goes_on_after_a_step_that_was_not_finite(burst: int, tmp_path: Path) -> None:
    def make(seed: int) -> tuple[Trainer, Bursts]:
        rate = Bursts(0.1, 100)
        return trainer_of(net(seed), SGD(rate, momentum=0.9)), rate

    trainer, _ = make(0)
    trainer.fit(X, TARGET, epochs=5, **SETTINGS)
    broken, rate = make(0)
    rate.burst = burst
    with pytest.raises(NonFiniteError, match=rf"epoch {burst // 4 + 1}, batch {burst % 4 + 1},"):
        broken.fit(X, TARGET, epochs=5, **SETTINGS)
    broken.save(tmp_path / "run.npz")
    later, _ = make(1)
    later.resume(tmp_path / "run.npz")
    later.fit(X, TARGET, epochs=5 - later.history.epochs, **SETTINGS)
    assert other(whole(later), whole(trainer)) == []


def test_a_checkpoint_of_a_fit_in_a_trainer_that_had_one_before_is_its_own(tmp_path: Path) -> None:
    """What a broken-off fit left behind is not what a later one goes on with."""
    trainer = plain()
    trainer.fit(X, TARGET, epochs=5, metrics=[Interrupts(7)], **SETTINGS)
    trainer.fit(X[:15], TARGET[:15], epochs=2, batch_size=4, callbacks=[SaveAt(tmp_path)])
    trainer.save(tmp_path / "z.npz")
    for path in saved(tmp_path, 9):
        later = resumed(plain(1), path)
        later.fit(X[:15], TARGET[:15], epochs=5 - later.history.epochs, batch_size=4)
        assert later.history.epochs == 5
        assert later.history["loss"][:3] == trainer.history["loss"]
    assert later.steps == trainer.steps + 8


# ---- a fit that is refused


def at_a_batch(folder: Path, seed: int = 1) -> tuple[Trainer, Trainer]:
    """Return a trainer after two epochs, and one that is resumed in the second of them."""
    trainer = plain()
    trainer.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[SaveAt(folder, [(2, 2)])])
    return trainer, resumed(plain(seed), folder / "epoch02 batch2.npz")


REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "batch size": ((X, TARGET), {"batch_size": 4}, "expected batch_size=5, got batch_size=4"),
    "default batch size": ((X, TARGET), {}, "expected batch_size=5, got batch_size=32"),
    "number of samples": ((X[:19], TARGET[:19]), {"batch_size": 5}, "expected samples=20, got samples=19"),
    "a fraction": ((X, TARGET), {"batch_size": 5, "validation": 0.2}, "expected samples=20, got samples=16"),
    "shuffle": ((X, TARGET), {"batch_size": 5, "shuffle": False}, "expected shuffle=True, got shuffle=False"),
    "an iterable": ((Again(),), {}, "expected samples=20, batch_size=5, shuffle=True, got an iterable"),
    "a metric more": (
        (X, TARGET),
        {"batch_size": 5, "metrics": [distance]},
        r"expected metrics=\[\], got metrics=\['distance'\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_fit_on_other_data_is_refused_with_what_was_expected_and_can_be_repeated(case: str, tmp_path: Path) -> None:
    given, settings, told = REFUSED[case]
    trainer, later = at_a_batch(tmp_path)
    before = whole(later)
    for _ in range(2):
        message = rf"fit: 2 batches of this epoch are done, .*: {told}$"
        with pytest.raises(ValueError, match=message):
            later.fit(*given, epochs=1, **settings)
        assert other(whole(later), before) == []
    later.fit(X, TARGET, epochs=1, batch_size=5)
    assert other(whole(later), whole(trainer)) == []


def test_arrays_are_refused_where_an_iterable_was_under_way(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(Again(), epochs=2, callbacks=[SaveAt(tmp_path, [(2, 2)])])
    later = resumed(plain(1), tmp_path / "epoch02 batch2.npz")
    with pytest.raises(ValueError, match=r"expected an iterable, got samples=20, batch_size=5, shuffle=True$"):
        later.fit(X, TARGET, epochs=1, batch_size=5)
    later.fit(Again(), epochs=1)
    assert other(whole(later), whole(trainer)) == []


def test_data_that_a_fit_refuses_anyway_leave_the_position_in_the_epoch(tmp_path: Path) -> None:
    trainer, later = at_a_batch(tmp_path)
    before = whole(later)
    for wrong in (X[:, :2], np.full_like(X, np.nan)):
        with pytest.raises(ValueError, match=r"expected|holds nan"):
            later.fit(wrong, TARGET, epochs=1, batch_size=5)
    with pytest.raises(ValueError, match="this fit has no 'accuracy'"):
        later.fit(X, TARGET, epochs=1, batch_size=5, callbacks=[EarlyStopping("accuracy", mode="max")])
    assert other(whole(later), before) == []
    later.fit(X, TARGET, epochs=1, batch_size=5)
    assert other(whole(later), whole(trainer)) == []


def test_between_two_epochs_a_resumed_fit_may_go_on_with_anything(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=2, batch_size=5)
    trainer.save(tmp_path / "run.npz")
    later = resumed(plain(1), tmp_path / "run.npz")
    for each in (trainer, later):
        each.fit(X[:9], TARGET[:9], epochs=1, batch_size=2, shuffle=False)
        each.fit(Again(), epochs=1)
    assert other(whole(later), whole(trainer)) == []


@pytest.mark.parametrize("left", [0, 1])
def test_an_iterable_that_got_shorter_is_an_error_that_counts(left: int, tmp_path: Path) -> None:
    plain().fit(Again(), epochs=1, callbacks=[SaveAt(tmp_path, [(1, 2)])])
    later = resumed(plain(1), tmp_path / "epoch01 batch2.npz")
    message = rf"^fit: 2 batches of this epoch are done, but the iterable yields only {left}$"
    with pytest.raises(ValueError, match=message):
        later.fit(list(Again())[:left], epochs=1)


# ---- callbacks that remember


def scripted(trainer: Trainer, numbers: list[float]) -> Callable[[Array, Array], float]:
    """Return a metric with a number for each epoch."""

    def number(prediction: Array, target: Array) -> float:
        return numbers[trainer.epoch - 1]

    return number


class Average(Callback):
    """A user's own: a running mean of the parameters, and of how many steps."""

    def __init__(self) -> None:
        self.steps, self.mean = 0, np.zeros(0)

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        return {"steps": self.steps, "deep/mean": self.mean}

    def fit_begin(self, trainer: Trainer) -> None:
        self.steps, self.mean = 0, np.zeros(trainer.model.vector.size)

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.steps, self.mean = int(state["steps"]), state["deep/mean"].copy()

    def step_end(self, trainer: Trainer) -> None:
        self.steps += 1
        self.mean += (trainer.model.vector.value - self.mean) / self.steps


NUMBERS = [5.0, 1.0, 2.0, 4.0, 1.5, 9.0, 9.0, 0.5]  # the best is in the second epoch, for long


def watched(trainer: Trainer, epochs: int, callbacks: list[Callback]) -> None:
    trainer.fit(X, TARGET, epochs=epochs, batch_size=5, metrics=[scripted(trainer, NUMBERS)], callbacks=callbacks)


def from_every_step(
    folder: Path, epochs: int, make: Callable[[], list[Callback]], steps: int | None = None
) -> Iterator[tuple[Trainer, list[Callback], Trainer, list[Callback]]]:
    """Yield a trainer with its callbacks after some epochs, with one that went on from each of its steps."""
    trainer, callbacks = plain(), make()
    watched(trainer, epochs, [*callbacks, SaveAt(folder)])
    for path in saved(folder, 4 * epochs if steps is None else steps):
        later, others = resumed(plain(1), path), make()
        watched(later, epochs - later.history.epochs, others)
        yield trainer, callbacks, later, others


def test_early_stopping_goes_on_with_its_best_model_and_its_patience(tmp_path: Path) -> None:
    def make() -> list[Callback]:
        return [EarlyStopping("number", 3, mode="min")]

    for trainer, _, later, _ in from_every_step(tmp_path, 7, make, steps=20):  # it stops after five epochs
        assert later.history.stopped == "number has not improved since epoch 2"
        assert other(whole(later), whole(trainer)) == []


def test_reduce_on_plateau_goes_on_with_what_it_waits_for(tmp_path: Path) -> None:
    for trainer, _, later, _ in from_every_step(
        tmp_path, 7, lambda: [ReduceOnPlateau("number", 2, factor=0.5, mode="min")]
    ):
        assert later.rate_factor == 0.25
        assert other(whole(later), whole(trainer)) == []


def test_two_callbacks_of_one_class_go_on_with_their_own_numbers(tmp_path: Path) -> None:
    def make() -> list[Callback]:
        first, second = (
            ReduceOnPlateau("number", n, factor=f, mode=m) for n, f, m in [(2, 0.5, "min"), (3, 0.9, "max")]
        )
        return [first, Callback(), second]

    for trainer, callbacks, later, others in from_every_step(tmp_path, 8, make):
        assert later.rate_factor == 0.25 * 0.9
        assert [callback.state_dict() for callback in others] == [callback.state_dict() for callback in callbacks]
        assert other(whole(later), whole(trainer)) == []


def test_a_users_own_callback_goes_on_with_what_it_gave(tmp_path: Path) -> None:
    for trainer, (first,), later, (second,) in from_every_step(tmp_path, 3, lambda: [Average()]):
        assert isinstance(first, Average)
        assert isinstance(second, Average)
        assert first.steps == second.steps == trainer.steps == later.steps
        assert first.mean.tobytes() == second.mean.tobytes()


def test_a_callback_without_what_it_kept_begins_anew(tmp_path: Path) -> None:
    trainer = plain()
    watched(trainer, 1, [SaveAt(tmp_path), EarlyStopping("number", 3, mode="min")])
    average, later = Average(), resumed(plain(1), tmp_path / "epoch01 batch3.npz")
    watched(later, 1, [average])
    assert average.steps == 1
    assert other(whole(later), whole(trainer)) == []


def test_callbacks_begin_anew_after_a_fit_that_came_to_its_end(tmp_path: Path) -> None:
    later = plain(1)
    for trainer in (plain(0), later):
        if trainer is later:
            later.resume(tmp_path / "run.npz")
        average = Average()
        watched(trainer, 2, [average])
        trainer.save(tmp_path / "run.npz")
        assert average.steps == 8


@pytest.mark.parametrize("append", [False, True])
def test_a_csv_log_goes_on_after_ctrl_c(append: bool, tmp_path: Path) -> None:
    class Breaks(Callback):
        def step_end(self, trainer: Trainer) -> None:
            if trainer.steps == 10:
                raise KeyboardInterrupt

    straight, log = tmp_path / "straight.csv", tmp_path / "log.csv"
    watched(plain(), 5, [CSVLog(straight)])
    broken = plain()
    watched(broken, 5, [CSVLog(log, append=append), Breaks(), Checkpoint(tmp_path / "run.npz")])
    assert log.read_bytes() != straight.read_bytes()
    later = resumed(plain(1), tmp_path / "run.npz")
    watched(later, 3, [CSVLog(log, append=append), Checkpoint(tmp_path / "run.npz")])
    assert log.read_bytes() == straight.read_bytes()
    assert [row[0] for row in csv.reader(log.read_text().splitlines())] == ["epoch", "1", "2", "3", "4", "5"]


def test_a_csv_log_that_is_written_anew_holds_each_epoch_once_whatever_came_after_the_checkpoint(
    tmp_path: Path,
) -> None:
    log, trainer = tmp_path / "log.csv", plain()
    watched(trainer, 1, [])  # of an earlier fit, which the log is not of
    watched(trainer, 3, [CSVLog(log), SaveAt(tmp_path)])
    expected = log.read_bytes()
    assert len(expected.splitlines()) == 4
    for path in saved(tmp_path, 12):
        later = resumed(plain(1), path)
        watched(later, 4 - later.history.epochs, [CSVLog(log)])  # the log holds all epochs, as if killed at the end
        assert log.read_bytes() == expected


def test_the_best_checkpoint_is_not_overwritten_by_a_worse_epoch_after_a_resume(tmp_path: Path) -> None:
    best = tmp_path / "run.best.npz"
    steps = tmp_path / "steps"
    steps.mkdir()
    trainer = plain()
    watched(trainer, 7, [Checkpoint(tmp_path / "run.npz", monitor="number", mode="min"), SaveAt(steps)])
    expected = best.read_bytes()
    assert resumed(plain(1), best).history["number"] == [5.0, 1.0]
    for path in saved(steps, 28)[8:]:
        later = resumed(plain(1), path)
        watched(later, 7 - later.history.epochs, [Checkpoint(tmp_path / "run.npz", monitor="number", mode="min")])
        assert best.read_bytes() == expected
    later = resumed(plain(1), steps / "epoch07 batch4.npz")
    watched(later, 2, [Checkpoint(tmp_path / "run.npz", monitor="number", mode="min")])
    assert resumed(plain(1), best).history["number"] == NUMBERS  # a better one does


class Fragile(Callback):
    """Fails in one of the two methods of a checkpoint, as long as it is to."""

    failing: str | None = None

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        if self.failing == "state_dict":
            raise RuntimeError("mine")
        return {"a": 1.0}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        if self.failing == "fit_resumed":
            raise RuntimeError("mine")
        assert state == {"a": 1.0}


def test_an_error_of_a_callback_that_is_saved_is_its_own_and_the_file_of_before_stands(tmp_path: Path) -> None:
    fragile, trainer, path = Fragile(), plain(), tmp_path / "run.npz"
    trainer.save(path)
    before = path.read_bytes()
    fragile.failing = "state_dict"
    with pytest.raises(RuntimeError, match=r"^mine$"):
        trainer.fit(X, TARGET, epochs=1, callbacks=[fragile, Checkpoint(path, steps=1)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_a_callback_that_goes_on_refuses_the_fit_which_can_be_repeated(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[Fragile(), SaveAt(tmp_path, [(2, 2)])])
    later, fragile = resumed(plain(1), tmp_path / "epoch02 batch2.npz"), Fragile()
    before, fragile.failing = whole(later), "fit_resumed"
    average = Average()
    with pytest.raises(RuntimeError, match=r"^mine$"):
        later.fit(X, TARGET, epochs=1, batch_size=5, callbacks=[average, fragile])
    assert other(whole(later), before) == []
    assert average.steps == 0
    fragile.failing = None
    later.fit(X, TARGET, epochs=1, batch_size=5, callbacks=[fragile])
    assert other(whole(later), whole(trainer)) == []


# ---- the callback that saves


class Notes(Callback):
    """Notes, after all others, how many steps and epochs a file holds; nothing where there is none."""

    called_last = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, tuple[int, int] | None] = {}

    def _note(self, moment: str) -> None:
        self.found[moment] = held(self.path)

    def step_end(self, trainer: Trainer) -> None:
        self._note(f"{trainer.epoch}.{trainer.batch}")

    def epoch_end(self, trainer: Trainer) -> None:
        self._note(f"{trainer.epoch}")

    def fit_end(self, trainer: Trainer) -> None:
        self._note("end")


def held(path: Path) -> tuple[int, int] | None:
    """Return the steps and the epochs of a checkpoint."""
    if not path.exists():
        return None
    later = resumed(plain(1), path)
    return later.steps, later.history.epochs


def notes(path: Path, **settings: Any) -> dict[str, tuple[int, int] | None]:
    """Return what the file holds at each moment of three epochs with four batches."""
    noted = Notes(path)
    trainer = plain()
    watched(trainer, 3, [Checkpoint(path, **settings), noted])
    return noted.found


def test_a_checkpoint_is_written_after_every_epoch(tmp_path: Path) -> None:
    found = notes(tmp_path / "run.npz")
    assert {name: found[name] for name in ("1.4", "1", "2.4", "2", "3", "end")} == {
        "1.4": None,
        "1": (4, 1),
        "2.4": (4, 1),
        "2": (8, 2),
        "3": (12, 3),
        "end": (12, 3),
    }


def test_a_checkpoint_is_written_after_so_many_epochs_and_at_the_end(tmp_path: Path) -> None:
    found = notes(tmp_path / "run.npz", epochs=2)
    assert [found[name] for name in ("1", "2", "3", "end")] == [None, (8, 2), (8, 2), (12, 3)]


def test_a_checkpoint_is_written_after_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    found = notes(tmp_path / "run.npz", steps=5)
    assert [found[name] for name in ("1.4", "1", "2.1", "2", "3.2", "3.4", "3", "end")] == [
        None,
        None,
        (5, 1),
        (5, 1),
        (10, 2),
        (10, 2),
        (10, 2),
        (12, 3),
    ]


def test_a_checkpoint_is_written_after_so_many_steps_and_so_many_epochs(tmp_path: Path) -> None:
    found = notes(tmp_path / "run.npz", steps=3, epochs=1)
    assert [found[name] for name in ("1.3", "1", "2.1", "2.2", "2.4", "2")] == [
        (3, 0),
        (4, 1),
        (4, 1),
        (6, 1),
        (6, 1),
        (8, 2),
    ]


def test_the_best_epoch_is_saved_beside_it(tmp_path: Path) -> None:
    trainer = plain()
    checkpoint = Checkpoint(tmp_path / "run.v1.npz", epochs=3, monitor="number", mode="min")
    assert checkpoint.best_path == tmp_path / "run.v1.best.npz"
    watched(trainer, 4, [checkpoint])
    assert held(checkpoint.best_path) == (8, 2)
    assert held(checkpoint.path) == (16, 4)
    watched(plain(), 5, [Checkpoint(tmp_path / "max.npz", monitor="number", mode="max")])
    assert held(tmp_path / "max.best.npz") == (4, 1)
    watched(plain(), 2, [Checkpoint(tmp_path / "loss.npz", monitor="loss")])
    assert held(tmp_path / "loss.best.npz") is not None


def test_ctrl_c_leaves_a_checkpoint_of_the_last_whole_step(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=5, metrics=[Interrupts(8)], callbacks=[Checkpoint(tmp_path / "run.npz")], **SETTINGS)
    later = resumed(plain(1), tmp_path / "run.npz")
    assert (later.steps, later.epoch, later.batch, later.history.epochs) == (6, 2, 2, 1)
    assert later.history.interrupted


def test_an_error_leaves_the_checkpoint_of_before(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.npz", plain()
    with pytest.raises(ZeroDivisionError):
        watched(trainer, 4, [Checkpoint(path, steps=3), Fails(8)])
    assert held(path) == (6, 1)


class Fails(Callback):
    """Breaks a fit at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_end(self, trainer: Trainer) -> None:
        if trainer.steps == self.step:
            raise ZeroDivisionError


def test_a_fit_that_is_refused_writes_no_checkpoint(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=5, metrics=[Interrupts(8)], **SETTINGS)
    with pytest.raises(ValueError, match="this fit has no"):
        watched(
            trainer, 1, [Checkpoint(tmp_path / "run.npz"), Checkpoint(tmp_path / "b.npz", monitor="validation_loss")]
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("order", [1, -1])
def test_a_checkpoint_is_called_after_all_other_callbacks(order: int, tmp_path: Path) -> None:
    """Else the file would hold a plateau that has not seen the epoch."""
    path, trainer = tmp_path / "run.npz", plain()
    callbacks = [Checkpoint(path, epochs=1), ReduceOnPlateau("number", 1, factor=0.5, mode="min"), Fails(13)]
    with pytest.raises(ZeroDivisionError):
        watched(trainer, 4, callbacks[::order])
    assert resumed(plain(1), path).rate_factor == trainer.rate_factor == 0.5


def test_a_missing_folder_is_found_before_the_first_step(tmp_path: Path) -> None:
    trainer = plain()
    before = whole(trainer)
    with pytest.raises(FileNotFoundError, match=r"Checkpoint: there is no folder .*missing for run\.npz"):
        trainer.fit(X, TARGET, epochs=1, callbacks=[Checkpoint(tmp_path / "missing" / "run.npz")], **SETTINGS)
    assert other(whole(trainer), before) == []
    assert list(tmp_path.iterdir()) == []


def test_a_monitored_name_that_the_fit_does_not_have_is_found_before_the_first_step(tmp_path: Path) -> None:
    trainer = plain()
    before = whole(trainer)
    with pytest.raises(ValueError, match="this fit has no 'validation_loss'; it has 'loss'"):
        trainer.fit(X, TARGET, epochs=1, callbacks=[Checkpoint(tmp_path / "run.npz", monitor="validation_loss")])
    assert other(whole(trainer), before) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (("run",), {}, ValueError, r"^Checkpoint: expected a path that ends in \.npz, got 'run'$"),
        (("run.npy",), {}, ValueError, r"ends in \.npz, got 'run.npy'$"),
        ((Path("run.zip"),), {}, ValueError, r"ends in \.npz, got 'run.zip'$"),
        ((".npz",), {}, ValueError, r"ends in \.npz, got '.npz'$"),
        ((3,), {}, TypeError, r"^Checkpoint: expected path as a str or Path, got 3$"),
        ((None,), {}, TypeError, r"expected path as a str or Path, got None$"),
        ((b"run.npz",), {}, TypeError, r"expected path as a str or Path, got b'run.npz'$"),
        (("run.npz",), {"epochs": 0}, ValueError, r"^Checkpoint: expected epochs .*got 0$"),
        (("run.npz",), {"epochs": 1.5}, TypeError, r"^Checkpoint: expected epochs .*got 1\.5$"),
        (("run.npz",), {"steps": -1}, ValueError, r"^Checkpoint: expected steps .*got -1$"),
        (("run.npz",), {"steps": True}, TypeError, r"^Checkpoint: expected steps .*got True$"),
        (("run.npz",), {"monitor": 3}, TypeError, r"expected monitor as a name such as 'validation_loss', got 3$"),
        (
            ("run.npz",),
            {"monitor": "accuracy"},
            ValueError,
            r"say which 'accuracy' is better: mode='max' or mode='min'",
        ),
        (
            ("run.npz",),
            {"monitor": "loss", "mode": "best"},
            ValueError,
            r"expected mode of 'min' or 'max', got 'best'$",
        ),
        (("run.npz",), {"mode": "max"}, ValueError, r"^Checkpoint: mode='max' .*give monitor too$"),
    ],
    ids=str,
)
def test_a_checkpoint_with_wrong_arguments_says_what_it_expected(
    arguments: tuple[Any, ...], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Checkpoint(*arguments, **settings)


def test_a_checkpoint_prints_as_the_call_that_made_it() -> None:
    assert repr(Checkpoint("run.npz", steps=5)) == "Checkpoint('run.npz', steps=5)"


def test_a_relative_path_and_a_str_do_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = plain()
    watched(trainer, 1, [Checkpoint("run.npz")])
    trainer.save("other.npz")
    later = plain(1)
    later.resume("run.npz")
    assert other(whole(later), whole(trainer)) == ["batch"]  # that of the epoch under way; there is none
    assert (tmp_path / "other.npz").exists()


if __name__ == "__main__":
    go_on(Path(sys.argv[1]))


def test_the_best_checkpoint_is_that_of_the_whole_history(tmp_path: Path) -> None:
    """A fit that came to its end and is gone on with leaves the better epochs before it alone."""
    numbers, path = [3.0, 1.0, 2.0, 1.5, 0.5], tmp_path / "run.npz"
    trainer = plain()

    def watch(count: int) -> None:
        epochs = trainer.history.epochs
        metric = scripted(trainer, numbers)
        callbacks = [Checkpoint(path, monitor="number", mode="min")]
        trainer.fit(X, TARGET, epochs=count, metrics=[metric], callbacks=callbacks, **SETTINGS)
        assert trainer.history.epochs == epochs + count

    watch(3)
    best = path.with_name("run.best.npz").read_bytes()
    watch(1)
    assert path.with_name("run.best.npz").read_bytes() == best
    watch(1)
    assert resumed(plain(1), path.with_name("run.best.npz")).history.epochs == 5


# ---- what independent eyes found


def test_a_schedule_that_ends_with_the_training_is_asked_for_no_step_beyond_it(tmp_path: Path) -> None:
    rates = [0.01] * 12  # three epochs of four batches

    def make(seed: int) -> Trainer:
        return trainer_of(net(seed), SGD(lambda step: rates[step]))

    trainer = make(0)
    trainer.fit(X, TARGET, epochs=3, batch_size=5, callbacks=[SaveAt(tmp_path, [(2, 2)])])
    later = resumed(make(1), tmp_path / "epoch02 batch2.npz")
    later.fit(X, TARGET, epochs=2, batch_size=5)
    assert other(whole(later), whole(trainer)) == []


@pytest.mark.parametrize("optimizer", [SGD(0.05), Momentum(0.05)], ids=str)
def test_ctrl_c_after_an_update_waits_until_the_batch_is_counted(
    optimizer: Optimizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a rule that says what it reaches, and for a user's that does not."""
    added, add = [0], Means.add

    def press(means: Means, *arguments: Any, **keywords: Any) -> None:
        added[0] += 1
        if added[0] == 6:
            signal.raise_signal(signal.SIGINT)
        add(means, *arguments, **keywords)

    expected, trainer = trainer_of(net(), optimizer), trainer_of(net(), optimizer)
    expected.fit(X, TARGET, epochs=3, batch_size=5)
    monkeypatch.setattr(Means, "add", press)
    assert trainer.fit(X, TARGET, epochs=3, batch_size=5).interrupted
    assert (trainer.steps, trainer.epoch, trainer.batch) == (6, 2, 2)
    trainer.save(tmp_path / "a.npz")
    later = resumed(trainer_of(net(1), optimizer), tmp_path / "a.npz")
    later.fit(X, TARGET, epochs=2, batch_size=5)
    assert other(whole(later), whole(expected)) == []


def test_a_checkpoint_that_is_resumed_and_saved_again_is_the_same_file(tmp_path: Path) -> None:
    watched(plain(), 3, [EarlyStopping("number", 3, mode="min"), SaveAt(tmp_path, [(3, 2)])])
    path = tmp_path / "epoch03 batch2.npz"
    resumed(plain(1), path).save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_a_fit_that_is_saved_as_it_begins_is_not_the_one_that_was_broken_off_before(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(X, TARGET, epochs=5, metrics=[Interrupts(7)], **SETTINGS)
    trainer.fit(X, TARGET, epochs=2, callbacks=[SaveIn(tmp_path, "fit_begin")], **SETTINGS)
    later = resumed(plain(1), tmp_path / "01.npz")
    later.fit(X, TARGET, epochs=2, **SETTINGS)
    assert other(whole(later), whole(trainer)) == []


def test_a_fit_that_found_too_few_batches_can_be_repeated(tmp_path: Path) -> None:
    trainer = plain()
    trainer.fit(Again(), epochs=1, callbacks=[SaveAt(tmp_path, [(1, 2)])])
    later = resumed(plain(1), tmp_path / "epoch01 batch2.npz")
    with pytest.raises(ValueError, match="the iterable yields only 1"):
        later.fit(list(Again())[:1], epochs=1)
    later.fit(Again(), epochs=1)
    assert other(whole(later), whole(trainer)) == []


@pytest.mark.parametrize(
    ("saved_by", "made", "message"),
    [
        (Adam(0.01), AdamW(0.01), r"its optimizer was Adam\(0\.01\), that of this trainer is AdamW\(0\.01\)"),
        (SGD(0.1), Rprop(0.1), r"its optimizer was SGD\(0\.1\)"),
    ],
)
def test_a_rule_of_another_class_is_refused(saved_by: Optimizer, made: Optimizer, message: str, tmp_path: Path) -> None:
    trainer = trainer_of(net(), saved_by)
    trainer.save(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=message):
        trainer_of(net(), made).resume(tmp_path / "a.npz")


def test_a_loss_of_another_class_is_refused(tmp_path: Path) -> None:
    trainer = trainer_of(net(), SGD(0.1))
    trainer.save(tmp_path / "a.npz")
    other_loss = Trainer(net(), loss=Huber(), optimizer=SGD(0.1))
    with pytest.raises(ValueError, match=r"a\.npz: its loss was .*, that of this trainer is Huber\(\)"):
        other_loss.resume(tmp_path / "a.npz")


def test_another_setting_of_the_same_rule_is_taken_from_the_trainer(tmp_path: Path) -> None:
    trainer_of(net(), SGD(0.1)).save(tmp_path / "a.npz")
    later = resumed(trainer_of(net(), SGD(0.2)), tmp_path / "a.npz")
    later.step(X, TARGET)
    assert later.learning_rate == 0.2


@pytest.mark.parametrize("value", [None, [1, [2, 3]], "text", object()])
def test_what_a_callback_keeps_and_is_no_number_is_named(value: Any, tmp_path: Path) -> None:
    class Keeps(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"mine": value}

    with pytest.raises(TypeError, match=r"Keeps\(\): state_dict\(\)\['mine'\]: expected"):
        plain().fit(X, TARGET, epochs=1, callbacks=[Keeps(), Checkpoint(tmp_path / "a.npz")])


@pytest.mark.parametrize("wrong", [{"monitor": "accuracy"}, {"monitor": 3}, {"mode": "min"}])
def test_a_checkpoint_that_watches_nothing_sensible_names_itself(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=r"^Checkpoint: "):
        Checkpoint("a.npz", **wrong)


def test_a_callback_is_saved_as_it_is_and_not_as_it_was_in_the_file_it_goes_on_with(tmp_path: Path) -> None:
    first, expected = plain(), Average()
    first.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[expected])
    plain().fit(X, TARGET, epochs=2, batch_size=5, callbacks=[Average(), SaveAt(tmp_path, [(1, 1)])])
    middle = resumed(plain(1), tmp_path / "epoch01 batch1.npz")
    middle.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[Average(), SaveAt(tmp_path, [(1, 3)])])
    later, found = resumed(plain(2), tmp_path / "epoch01 batch3.npz"), Average()
    later.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[found])
    assert found.steps == expected.steps
    np.testing.assert_array_equal(found.mean, expected.mean)
