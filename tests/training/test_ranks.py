"""Several ranks train one model: here threads with a barrier, in test_distributed.py processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    Adam,
    Array,
    BatchNorm,
    Callback,
    Checkpoint,
    CrossEntropy,
    CSVLog,
    Dropout,
    EarlyStopping,
    Layer,
    Linear,
    NonFiniteError,
    Sequential,
    SquaredError,
    Tanh,
    Trainer,
    accuracy,
)
from nanonet.training.reducer import Reducer

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 6))
LABELS = RNG.integers(3, size=50)


class Table:
    """What the ranks of one group have laid down for each other."""

    def __init__(self, ranks: int) -> None:
        self.things: list[Any] = [None] * ranks
        self.barrier = threading.Barrier(ranks, timeout=10)


class Threads(Reducer):
    """A rank that is a thread; written as a user would write one on sockets."""

    def __init__(self, table: Table, rank: int, parts: int | None = None) -> None:
        self.rank, self.ranks, self._table = rank, len(table.things), table
        super().__init__(parts)

    def gather_objects(self, thing: Any) -> list[Any]:
        self._table.things[self.rank] = thing
        self._table.barrier.wait()
        things = list(self._table.things)
        self._table.barrier.wait()
        return things

    def gather(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.array(self.gather_objects(numbers.copy()))

    def exchange(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.array([each[self.rank] for each in self.gather_objects(numbers.copy())])

    def add_up(self, numbers: npt.NDArray[Any]) -> None:
        numbers[...] = sum(self.gather_objects(numbers.copy()))

    def broadcast(self, thing: Any) -> Any:
        return self.gather_objects(thing)[0]


def on_ranks(ranks: int, run: Callable[[Reducer], Any], parts: int | None = None) -> list[Any]:
    """Return what run returns, or raises, on each rank."""
    table = Table(ranks)

    def one(rank: int) -> Any:
        try:
            return run(Threads(table, rank, parts))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(one, range(ranks)))


def new(reducer: Reducer | None, *more: Layer, rng: int | None = 0, workers: int | None = None) -> Trainer:
    model = Sequential(Linear(6, 5), Tanh(), *more, Linear(5, 3), dtype=np.float64, rng=rng)
    return Trainer(model, loss=CrossEntropy(), optimizer=Adam(0.01), reducer=reducer, workers=workers)


def fitted(reducer: Reducer | None, *more: Layer, callbacks: Any = (), **settings: Any) -> Trainer:
    trainer = new(reducer, *more, **settings)
    weight = np.linspace(0, 1, 50)
    trainer.fit(
        X, LABELS, epochs=2, batch_size=14, sample_weight=weight, metrics=[accuracy], callbacks=callbacks, verbose=0
    )
    return trainer


def bits(trainer: Trainer) -> list[bytes]:
    buffers = [buffer.value for buffer in trainer.stepper.tree.buffers.values()]
    return [array.tobytes() for array in (trainer.model.vector.value, *trainer.stepper.states.values(), *buffers)]


@pytest.mark.parametrize("more", [[], [Dropout], [BatchNorm]])
def test_with_as_many_parts_any_number_of_ranks_computes_the_same_bits(more: list[type[Layer]]) -> None:
    def run(reducer: Reducer) -> Trainer:
        return fitted(reducer, *(Dropout(0.3) if kind is Dropout else BatchNorm(5) for kind in more))

    found = [trainer for ranks in (1, 2, 4) for trainer in on_ranks(ranks, run, parts=4)]
    assert len(found) == 7
    assert all(bits(trainer) == bits(found[0]) for trainer in found)
    assert all(trainer.history == found[0].history for trainer in found)


def test_a_rank_reads_only_its_own_samples_once_the_first_step_is_checked() -> None:
    def run(reducer: Reducer) -> list[list[float]]:
        trainer, read = new(reducer), []
        take = trainer.stepper.take

        def noted(x: Any, *arguments: Any) -> Any:
            read.append(x[:, 0].tolist())
            return take(x, *arguments)

        trainer.stepper.take = noted  # type: ignore[method-assign, assignment]
        trainer.fit(X, LABELS, epochs=1, batch_size=14, shuffle=False, verbose=0)
        return read

    def samples(*pieces: slice) -> list[list[float]]:
        return [X[piece, 0].tolist() for piece in pieces]

    first, second = on_ranks(2, run)
    assert first == samples(slice(14), slice(14, 21), slice(28, 35), slice(42, 46))
    assert second == samples(slice(14), slice(21, 28), slice(35, 42), slice(46, 50))


def test_an_interrupt_while_the_ranks_agree_comes_after_the_step() -> None:
    class Struck(Threads):
        def gather(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
            if trainer.steps == 1:
                signal.raise_signal(signal.SIGINT)
            return super().gather(numbers)

    trainer = new(None)  # for the name, which gather reads
    trainer = new(Struck(Table(1), 0, parts=2))
    trainer.step(X, LABELS)
    before = bits(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.step(X, LABELS)
    assert trainer.steps == 2
    assert bits(trainer) != before


@pytest.mark.parametrize("with_metrics", [False, True])
def test_it_is_the_same_whether_the_samples_are_dealt_or_all_read(with_metrics: bool) -> None:
    def run(reducer: Reducer) -> Trainer:
        trainer = new(reducer, Dropout(0.3))
        metrics = [accuracy] if with_metrics else []
        trainer.fit(X[:45], LABELS[:45], epochs=2, batch_size=14, metrics=metrics, verbose=0)
        return trainer

    found = [trainer for ranks in (1, 4) for trainer in on_ranks(ranks, run, parts=4)]
    assert all(bits(trainer) == bits(found[0]) for trainer in found)
    assert all(trainer.history["loss"] == found[0].history["loss"] for trainer in found)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_train_as_one_process_does(ranks: int) -> None:
    alone = fitted(None)
    for trainer in on_ranks(ranks, fitted):
        np.testing.assert_allclose(trainer.model.vector.value, alone.model.vector.value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(trainer.history["loss"], alone.history["loss"], rtol=1e-9)
        assert trainer.history["accuracy"] == alone.history["accuracy"]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ranks_of_which_each_ignores_other_labels_train_as_one_process_does(reduction: str) -> None:
    labels = np.where(np.arange(50) % 14 < 6, -1, LABELS)  # a whole part of two and of three, and some of the others

    def run(reducer: Reducer | None) -> Trainer:
        model = Sequential(Linear(6, 5), Tanh(), Linear(5, 3), dtype=np.float64, rng=0)
        loss = CrossEntropy(ignore_index=-1, class_weight=[1.0, 2.0, 0.1], reduction=reduction)
        trainer = Trainer(model, loss=loss, optimizer=Adam(0.01), reducer=reducer)
        trainer.fit(X, labels, epochs=2, batch_size=14, shuffle=False, verbose=0)
        return trainer

    alone = run(None)
    for trainer in on_ranks(3, run):
        np.testing.assert_allclose(trainer.model.vector.value, alone.model.vector.value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(trainer.history["loss"], alone.history["loss"], rtol=1e-9)


def test_a_batch_with_fewer_samples_than_ranks_is_taken_by_some_of_them() -> None:
    def run(reducer: Reducer | None) -> Array:
        trainer = new(reducer)
        trainer.step(X[:2], LABELS[:2])
        value: Array = trainer.model.vector.value
        return value

    for value in on_ranks(4, run):
        np.testing.assert_allclose(value, run(None), rtol=1e-9)


def test_all_ranks_start_with_the_numbers_of_the_first() -> None:
    first, second = on_ranks(2, lambda reducer: fitted(reducer, Dropout(0.5), rng=None))
    assert bits(first) == bits(second)


def test_threads_and_ranks_go_together() -> None:
    alone, first, second = fitted(None), *on_ranks(2, lambda reducer: fitted(reducer, workers=2))
    assert bits(first) == bits(second)
    np.testing.assert_allclose(first.model.vector.value, alone.model.vector.value, rtol=1e-9, atol=1e-12)


class At(Callback):
    """Raises an error on one rank, after a step."""

    def __init__(self, rank: int, step: int, error: BaseException) -> None:
        self.rank, self.step, self.error = rank, step, error

    def step_end(self, trainer: Trainer) -> None:
        if trainer.stepper.ranks and trainer.stepper.ranks.rank == self.rank and trainer.steps == self.step:
            raise self.error


@pytest.mark.parametrize("step", [1, 5, 8])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_stops_all_with_its_message(rank: int, step: int) -> None:
    error = LookupError("of the user")
    results = on_ranks(2, lambda reducer: fitted(reducer, callbacks=[At(rank, step, error)]))
    assert results[rank] is error
    other = results[1 - rank]
    assert isinstance(other, RuntimeError)
    assert str(other) == f"rank {rank} failed, so that rank {1 - rank} stops too: LookupError: of the user"


def test_an_interrupt_of_one_rank_ends_the_fit_of_all_after_the_same_step() -> None:
    trainers = on_ranks(2, lambda reducer: fitted(reducer, callbacks=[At(1, 3, KeyboardInterrupt())]))
    assert [trainer.history.interrupted for trainer in trainers] == [True, True]
    assert [trainer.steps for trainer in trainers] == [3, 3]
    assert bits(trainers[0]) == bits(trainers[1])


def test_a_loss_that_is_not_finite_on_one_rank_is_refused_on_all_alike() -> None:
    target = np.zeros((4, 3))
    target[3] = 1e200  # in the part of the last rank

    def run(reducer: Reducer) -> str:
        trainer = Trainer(new(None).model, loss=SquaredError(), optimizer=Adam(), reducer=reducer)
        trainer.step(X[:4], np.zeros((4, 3)))
        before = bits(trainer)
        with pytest.raises(NonFiniteError) as raised:
            trainer.step(X[:4], target)
        assert bits(trainer) == before
        return str(raised.value)

    first, second = on_ranks(2, run)
    assert "step 2: SquaredError: the loss is the first number that is not finite" in first
    assert second == first


def test_ranks_with_other_data_or_other_models_are_told_apart() -> None:
    def other_data(reducer: Reducer) -> None:
        new(reducer).fit(X * (1 + reducer.rank), LABELS, epochs=1, verbose=0)

    def fewer_steps(reducer: Reducer) -> None:
        new(reducer).fit(X, LABELS, epochs=1 + reducer.rank, verbose=0)

    def other_model(reducer: Reducer) -> None:
        new(reducer, *[Linear(5, 5)] * reducer.rank)

    assert all("different losses for the same batch" in str(error) for error in on_ranks(2, other_data))
    assert all("every rank needs the same data and arguments" in str(error) for error in on_ranks(2, fewer_steps))
    first, second = on_ranks(2, other_model)
    assert str(second) == "Trainer: rank 1 has another model or optimizer than rank 0"
    assert "rank 1 failed" in str(first)


def test_what_may_relate_the_samples_of_a_batch_is_refused() -> None:
    class Silent(Tanh):
        mixes_samples = True  # type: ignore[assignment]

    class Own(SquaredError):
        mixes_samples = True

    with pytest.raises(ValueError, match=r"layer 2, Silent\(\), may relate the samples .* mixes_samples = False"):
        new(Threads(Table(1), 0), Silent())
    with pytest.raises(ValueError, match=r"Own may relate the samples"):
        Trainer(new(None).model, loss=Own(), optimizer=Adam(), reducer=Threads(Table(1), 0))
    with pytest.raises(TypeError, match="Trainer: expected reducer"):
        Trainer(new(None).model, loss=CrossEntropy(), optimizer=Adam(), reducer="mpi")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected parts as a multiple of the number of ranks, 2, got 3"):
        Threads(Table(2), 0, parts=3)


def test_only_the_first_rank_writes_and_all_resume(tmp_path: Path) -> None:
    def run(reducer: Reducer) -> Trainer:
        mine = tmp_path / str(reducer.rank)
        if reducer.rank == 0:
            mine.mkdir()
        return fitted(reducer, Dropout(0.3), callbacks=[Checkpoint(mine / "run.npz"), CSVLog(mine / "log.csv")])

    def resumed(reducer: Reducer) -> Trainer:
        trainer = new(reducer, Dropout(0.3))
        trainer.resume(tmp_path / "0" / "run.npz")
        trainer.fit(X, LABELS, epochs=1, batch_size=14, verbose=0)
        return trainer

    def longer(reducer: Reducer) -> Trainer:
        trainer = fitted(reducer, Dropout(0.3))
        trainer.fit(X, LABELS, epochs=1, batch_size=14, verbose=0)
        return trainer

    on_ranks(2, run)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0", "log.csv", "run.npz"]
    first, second, whole, _ = on_ranks(2, resumed) + on_ranks(2, longer)
    assert bits(first) == bits(second) == bits(whole)


def test_a_callback_that_stops_does_so_on_all_ranks() -> None:
    trainers = on_ranks(2, lambda reducer: fitted(reducer, callbacks=[EarlyStopping("loss", patience=1, margin=10)]))
    assert all(trainer.history.stopped for trainer in trainers)


def test_apply_takes_the_mean_of_the_ranks_gradients() -> None:
    def run(reducer: Reducer) -> Array:
        trainer = new(reducer)
        before = trainer.model.vector.value.copy()
        trainer.model.vector.grad = np.full(before.shape, 2.0 * reducer.rank)
        trainer.apply()
        return trainer.stepper.states["sum"]

    for total in on_ranks(2, run):
        np.testing.assert_array_equal(total, np.ones_like(total))
