"""Several inputs, outputs and targets: a fit takes tuples of arrays wherever it takes arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nanonet import (
    SGD,
    Adam,
    Batch,
    Concatenate,
    CrossEntropy,
    Dropout,
    Fork,
    Linear,
    MeanSquaredError,
    NonFiniteError,
    Parallel,
    Sequential,
    ShapeError,
    SquaredError,
    Tanh,
    Together,
    Trainer,
    batches,
)

LOSS = Together(CrossEntropy(), MeanSquaredError(), weights=(1.0, 0.5))


def two_by_two(rng: int = 0) -> Sequential:
    inputs = Parallel(Linear(3, 8), Linear(5, 8)), Concatenate(), Tanh(), Dropout(0.1)
    return Sequential(*inputs, Fork(Linear(16, 2), Linear(16, 1)), rng=rng)


def data(samples: int = 60) -> tuple[Any, Any]:
    rng = np.random.default_rng(samples)
    a, b = rng.normal(size=(samples, 3)), rng.normal(size=(samples, 5))
    return (a, b), ((a[:, 0] * b[:, 0] > 0).astype(int), a.sum(axis=1, keepdims=True) - b[:, 1:2])


def rows(part: Any, some: slice) -> Any:
    return tuple(array[some] for array in part)


def of_batches(x: Any, target: Any) -> list[tuple[Any, Any]]:
    return [(rows(x, slice(i, i + 20)), rows(target, slice(i, i + 20))) for i in range(0, 60, 20)]


def test_a_model_with_two_inputs_and_two_losses_learns() -> None:
    x, target = data(200)
    history = two_by_two().fit(x, target, loss=LOSS, optimizer=Adam(0.01), epochs=40, validation=0.2, verbose=0)
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    assert history["validation_loss"][-1] < 0.6 * history["validation_loss"][0]


def test_arrays_and_an_iterable_of_the_same_batches_train_alike() -> None:
    x, target = data()
    models = two_by_two(), two_by_two()
    settings: dict[str, Any] = {"loss": LOSS, "optimizer": SGD(0.1), "epochs": 2, "verbose": 0}
    models[0].fit(x, target, batch_size=20, shuffle=False, **settings)
    models[1].fit(of_batches(x, target), **settings)
    assert models[0].vector.value.tobytes() == models[1].vector.value.tobytes()


def test_a_step_in_micro_batches_is_that_in_one() -> None:
    x, target = data()
    inputs = Parallel(Linear(3, 8), Linear(5, 8)), Concatenate(), Tanh()
    whole = Sequential(*inputs, Fork(Linear(16, 2), Linear(16, 1)), dtype=np.float64, rng=0)
    values = []
    for size in (None, 7):
        start = whole.vector.value.copy()
        loss = Trainer(whole, loss=LOSS, optimizer=SGD(0.1), micro_batch_size=size).step(x, target)
        values.append((loss, whole.vector.value.copy()))
        whole.vector.value = start
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-12, atol=1e-14)


def test_evaluate_is_the_same_in_any_batches() -> None:
    x, target = data()
    trainer = Trainer(two_by_two(), loss=LOSS, optimizer=SGD(0.1))
    assert trainer.evaluate(x, target, batch_size=7) == pytest.approx(trainer.evaluate(x, target), rel=1e-6)


def test_metrics_get_the_tuples() -> None:
    def exact(prediction: Any, target: Any) -> float:
        return float((prediction[0].argmax(axis=1) == target[0]).mean())

    x, target = data()
    history = two_by_two().fit(
        x, target, loss=LOSS, optimizer=SGD(0.1), epochs=1, metrics=[exact], validation=(x, target), verbose=0
    )
    assert 0 <= history["exact"][0] <= 1
    assert 0 <= history["validation_exact"][0] <= 1


def test_a_resumed_fit_goes_on_bit_for_bit(tmp_path: Path) -> None:
    x, target = data()
    whole, first, second = (Trainer(two_by_two(), loss=LOSS, optimizer=Adam(0.01), rng=3) for _ in range(3))
    whole.fit(x, target, epochs=4, verbose=0)
    first.fit(x, target, epochs=2, verbose=0)
    first.save(tmp_path / "run.npz")
    second.resume(tmp_path / "run.npz")
    second.fit(x, target, epochs=2, verbose=0)
    assert second.model.vector.value.tobytes() == whole.model.vector.value.tobytes()


def test_arrays_on_disk_are_read_batch_by_batch(tmp_path: Path) -> None:
    x, target = data()
    np.save(tmp_path / "a.npy", x[0].astype(np.float32))
    on_disk = np.load(tmp_path / "a.npy", mmap_mode="r")
    models = two_by_two(), two_by_two()
    for model, first in zip(models, (x[0], on_disk), strict=True):
        model.fit((first, x[1]), target, loss=LOSS, optimizer=SGD(0.1), epochs=1, verbose=0)
    assert models[0].vector.value.tobytes() == models[1].vector.value.tobytes()


def test_batches_yields_tuples() -> None:
    x, target = data(5)
    found = list(batches(x, target, 2, shuffle=False))
    assert [len(batch.x[0]) for batch in found] == [2, 2, 1]
    assert isinstance(found[0], Batch)
    np.testing.assert_array_equal(found[1].target[1], target[1][2:4])


def test_weights_of_samples_apply_to_both_outputs() -> None:
    x, target = data(4)
    trainer = Trainer(two_by_two(), loss=LOSS, optimizer=SGD(0.1))
    one = trainer.evaluate(rows(x, slice(1)), rows(target, slice(1)))
    assert trainer.evaluate(x, target, sample_weight=[1, 0, 0, 0]) == pytest.approx(one, rel=1e-6)


def wrong_data() -> Iterator[Any]:
    x, target = data()
    short, spoiled = (x[0], x[1][:-1]), (x[0], np.where(np.arange(5) == 2, np.nan, x[1]))
    yield short, target, LOSS, ShapeError, r"all arrays of x to have the same batch length, got \(60,\), \(59,\)"
    yield x, (target[0], target[1][:-1]), LOSS, ShapeError, r"fit: x has 60 samples but target\[1\] has 59"
    yield x, target[1], LOSS, TypeError, r"expected target as a tuple of arrays, got ndarray; write \(a, b\)"
    yield x, target[1], SquaredError(), TypeError, "the model has 2 outputs; give each a loss of its own"
    yield x[0], target, LOSS, TypeError, "expected x as a tuple of arrays, got ndarray"
    yield spoiled, target, LOSS, ValueError, r"fit: x\[1\] holds nan at \(0, 2\) in float32"


@pytest.mark.parametrize(("x", "target", "loss", "error", "message"), [*wrong_data()], ids=range(6))
def test_what_does_not_fit_is_refused_before_the_first_step(
    x: Any, target: Any, loss: Any, error: type[Exception], message: str
) -> None:
    model = two_by_two()
    before = model.vector.value.copy()
    with pytest.raises(error, match=message):
        model.fit(x, target, loss=loss, optimizer=SGD(0.1), epochs=1, verbose=0)
    np.testing.assert_array_equal(model.vector.value, before)


def test_a_step_that_diverges_changes_nothing() -> None:
    x, target = data()
    trainer = Trainer(two_by_two(), loss=LOSS, optimizer=SGD(0.1))
    before = trainer.model.vector.value.copy()
    with pytest.raises(NonFiniteError, match="x holds numbers that are not finite"):
        trainer.step((x[0], x[1] * np.inf), target)
    np.testing.assert_array_equal(trainer.model.vector.value, before)
