"""Ensembles and samples with dropout: what they spread by is what was asked for, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nanonet import (
    LSTM,
    SGD,
    Adam,
    Array,
    BatchNorm,
    Buffer,
    Conv1d,
    CrossEntropy,
    Dropout,
    Embedding,
    Ensemble,
    Flatten,
    Fork,
    GaussianNoise,
    Layer,
    Linear,
    Loss,
    MeanSquaredError,
    Optimizer,
    Parallel,
    Random,
    ReLU,
    Residual,
    RMSprop,
    Sequential,
    SquaredError,
    Tanh,
    Zeros,
    check_gradients,
    weights_only,
)
from nanonet.models import ensemble as module
from nanonet.models.side_by_side import SideBySide, is_dense
from tests.helpers import picture

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 3))
TARGET = np.sin(X[:, :2])
LABELS = (X[:, 0] > 0).astype(int)
WEIGHT = np.linspace(0, 1, 60)


def make() -> Sequential:
    return Sequential(Linear(3, 8), Tanh(), Linear(8, 5, bias=False), ReLU(), Linear(5, 2), dtype=np.float64)


# ---- ensembles

LOSSES: list[tuple[Loss, Any]] = [(SquaredError(), TARGET), (MeanSquaredError(), TARGET), (CrossEntropy(), LABELS)]


@pytest.mark.parametrize(("loss", "target"), LOSSES)
@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9), Adam(0.01), RMSprop(0.01, clip_value=0.1)])
def test_members_side_by_side_train_as_each_does_alone(loss: Loss, target: Any, optimizer: Optimizer) -> None:
    together, alone = Ensemble(make, 4, rng=0), Ensemble(make, 4, rng=0)
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": False, "sample_weight": WEIGHT}
    settings |= {"validation": (X[:10], target[:10]), "verbose": 0}
    history = together.fit(X, target, loss=loss, optimizer=optimizer, **settings)
    others = [model.fit(X, target, loss=loss, optimizer=optimizer, **settings) for model in alone]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours.vector.value, theirs.vector.value, atol=1e-12)
    for name in ("loss", "validation_loss"):
        means = np.mean([other[name] for other in others], axis=0)
        np.testing.assert_allclose(history[name], means, atol=1e-12)


def test_the_model_of_all_members_passes_the_checks() -> None:
    side = SideBySide(Ensemble(make, 3, rng=0).models)
    for layer in (side.model[0], side.model[2]):
        check_gradients(layer)
    assert side.model.predict(X).shape == (60, 3, 2)


def fitted(maker: Callable[[], Sequential], optimizer: Optimizer, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return whether an ensemble was trained side by side."""
    used: list[bool] = []

    class Seen(SideBySide):
        def __init__(self, models: Any) -> None:
            used.append(True)
            super().__init__(models)

    monkeypatch.setattr(module, "SideBySide", Seen)
    Ensemble(maker, 2, rng=0).fit(X, TARGET, loss=SquaredError(), optimizer=optimizer, epochs=1, verbose=0)
    return bool(used)


def frozen() -> Sequential:
    model = make()
    model.freeze(1)
    return model


@pytest.mark.parametrize(
    ("maker", "optimizer", "at_once"),
    [
        (make, SGD(0.1), True),
        (make, SGD(0.1, weight_decay=0.1), True),
        (make, SGD(0.1, weight_decay=0.1, decays=weights_only), False),
        (make, SGD(0.1, clip_norm=1.0), False),
        (frozen, SGD(0.1), False),
        (lambda: Sequential(Linear(3, 4), BatchNorm(4), Linear(4, 2)), SGD(0.1), False),
        (lambda: Sequential(Linear(3, 2), Dropout(0.1)), SGD(0.1), False),
        (lambda: Sequential(Linear(3, 3), Residual(Linear(3, 3)), Linear(3, 2)), SGD(0.1), False),
    ],
)
def test_only_what_is_the_same_side_by_side_is_trained_so(
    maker: Callable[[], Sequential], optimizer: Optimizer, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fitted(maker, optimizer, monkeypatch) == at_once


def test_a_subclass_of_linear_is_not_taken_for_one() -> None:
    class Twice(Linear):
        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Array]:
            return super().forward(2 * x, training=training)

    assert is_dense(Sequential(Linear(2, 2)))
    assert not is_dense(Sequential(Twice(2, 2)))
    assert not is_dense(Sequential(Tanh()))


def test_other_nets_are_trained_one_after_the_other_and_give_the_mean_history() -> None:
    def image() -> Sequential:
        return Sequential(Conv1d(1, 2, 2), Flatten(), Linear(4, 2))

    ensemble = Ensemble(image, 3, rng=0)
    before = [model.vector.value.copy() for model in ensemble]
    history = ensemble.fit(X[:, None], TARGET, loss=SquaredError(), optimizer=Adam(0.01), epochs=4, verbose=0)
    assert history.epochs == 4
    assert history["loss"][-1] < history["loss"][0]
    assert all((model.vector.value != start).any() for model, start in zip(ensemble, before, strict=True))


def test_one_number_fixes_an_ensemble_and_its_training() -> None:
    def run(rng: int) -> Array:
        ensemble = Ensemble(make, 3, rng=rng)
        ensemble.fit(X, TARGET, loss=SquaredError(), optimizer=SGD(0.1), epochs=2, verbose=0)
        return ensemble.predict(X)

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()


def test_a_member_that_diverges_stops_the_training_and_the_members_keep_the_last_good_weights() -> None:
    from nanonet import NonFiniteError

    ensemble = Ensemble(make, 3, rng=0)
    with pytest.raises(NonFiniteError):
        ensemble.fit(X, 1e160 * TARGET, loss=SquaredError(), optimizer=SGD(10.0), epochs=5, verbose=0)
    assert all(np.isfinite(model.vector.value).all() for model in ensemble)


def test_it_is_a_sequence_of_its_models() -> None:
    ensemble = Ensemble(make, 3, rng=0)
    assert len(ensemble) == 3
    assert ensemble[1] is list(ensemble)[1] is ensemble.models[1]
    assert repr(ensemble).startswith("Ensemble of 3 x Sequential(")
    assert ensemble.predict(X).shape == (3, 60, 2)
    np.testing.assert_array_equal(ensemble.predict(X)[2], ensemble[2].predict(X))


class Spread(Loss):
    """The variance of the predictions over the batch: a loss of the users' that relates samples."""

    def function(self, prediction: Array, target: Array) -> Array:
        each: Array = ((prediction - prediction.mean(axis=0)) ** 2).sum(axis=1)
        return each

    def derivative(self, prediction: Array, target: Array) -> Array:
        slope: Array = 2 * (prediction - prediction.mean(axis=0))
        return slope


def test_a_loss_that_relates_samples_never_relates_members() -> None:
    together, alone = Ensemble(make, 3, rng=0), Ensemble(make, 3, rng=0)
    settings: dict[str, Any] = {"epochs": 2, "shuffle": False, "verbose": 0, "optimizer": SGD(0.1)}
    together.fit(X, TARGET, loss=Spread(), **settings)
    for ours, theirs in zip(together, alone, strict=True):
        theirs.fit(X, TARGET, loss=Spread(), **settings)
        np.testing.assert_array_equal(ours.vector.value, theirs.vector.value)


def test_several_outputs_give_a_tuple_of_predictions() -> None:
    ensemble = Ensemble(lambda: Sequential(Fork(Linear(3, 2), Linear(3, 1))), 4, rng=0)
    first, second = ensemble.predict(X)
    assert (first.shape, second.shape) == ((4, 60, 2), (4, 60, 1))
    np.testing.assert_array_equal(second[3], ensemble[3].predict(X)[1])


SHARED = make()


def as_any(value: Any) -> Any:
    """Hide a wrong type from the type checker."""
    return value


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Ensemble(as_any(make()), 3), TypeError, "expected make as a function that returns a Sequential"),
        (lambda: Ensemble(as_any(lambda: Linear(2, 1)), 3), TypeError, "expected what make returns to be a Sequential"),
        (
            lambda: Ensemble(lambda: SHARED, 2),
            ValueError,
            "member 1 has the weights of member 0; build each model anew",
        ),
        (
            lambda: Ensemble(lambda: Sequential(Linear(2, 1), rng=0), 2),
            ValueError,
            "member 1 has the weights of member 0",
        ),
        (lambda: Ensemble(make, 0), ValueError, "Ensemble: expected n of 1 or more, got 0"),
        (
            lambda: Ensemble(make, 2).fit(X, TARGET, loss=as_any(SquaredError), optimizer=SGD(0.1), epochs=1),
            TypeError,
            r"Ensemble.fit: expected loss to be a Loss, got .*; write SquaredError\(...\)",
        ),
        (
            lambda: Ensemble(make, 2).fit(X, TARGET, loss=SquaredError(), optimizer=as_any(SGD), epochs=1),
            TypeError,
            r"Ensemble.fit: expected optimizer to be an Optimizer, got .*; write SGD\(...\)",
        ),
    ],
)
def test_what_makes_no_ensemble_is_named(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_members_of_other_layers_are_refused() -> None:
    widths = iter([3, 4])
    with pytest.raises(ValueError, match="member 1 has other layers than member 0"):
        Ensemble(lambda: Sequential(Linear(2, next(widths))), 2)


def test_the_loss_of_all_members_is_the_sum_of_theirs() -> None:
    loss, prediction = SideBySide(Ensemble(make, 3).models).loss(SquaredError()), RNG.normal(size=(5, 3, 2))
    target = RNG.normal(size=(5, 2))
    value, cache = loss.forward(prediction, *loss.check(prediction, target))
    assert value == pytest.approx(sum(SquaredError()(prediction[:, k], target) for k in range(3)))
    for k in range(3):
        _, own = SquaredError().forward(prediction[:, k], target)
        np.testing.assert_allclose(loss.backward(cache)[:, k], SquaredError().backward(own))


# ---- samples


def noisy() -> Sequential:
    inner = Sequential(Linear(8, 8), Dropout(0.4), BatchNorm(8))
    return Sequential(Linear(3, 8), Residual(inner), GaussianNoise(0.1), Linear(8, 2), dtype=np.float64, rng=0)


def test_samples_are_drawn_anew_each_the_same_at_each_call_and_the_model_stays_as_it_was() -> None:
    model = noisy()
    before = picture(model)
    samples = model.predict(X, samples=4)
    assert samples.shape == (4, 60, 2)
    assert all((samples[i] != samples[j]).any() for i in range(4) for j in range(i))
    np.testing.assert_array_equal(samples, model.predict(X, samples=4))
    assert picture(model) == before


def test_rng_chooses_other_samples() -> None:
    model = noisy()
    first = model.predict(X, samples=2, rng=1)
    np.testing.assert_array_equal(first, model.predict(X, samples=2, rng=1))
    assert (first != model.predict(X, samples=2, rng=2)).any()
    assert (first != model.predict(X, samples=2)).any()


def test_samples_of_dropout_are_those_of_training_and_batch_norm_keeps_its_running_statistics() -> None:
    model = Sequential(BatchNorm(3), Dropout(0.5), dtype=np.float64, rng=0)
    model.load_state_dict(model.state_dict() | {"0.running_mean": [1.0, 2.0, 3.0]})
    plain, samples = model.predict(X), model.predict(X, samples=2000)
    kept = samples != 0
    assert kept.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(samples[kept], np.broadcast_to(2 * plain, samples.shape)[kept], atol=1e-12)


def test_no_state_carries_over_from_one_sample_to_the_next() -> None:
    model = Sequential(LSTM(3, 4, 2, dropout=1e-9, carry=5), dtype=np.float64, rng=0)  # a rate that drops nothing
    x = RNG.normal(size=(5, 6, 3))
    model.forward(x, training=True)
    before = picture(model)
    for batch in (x, x[:2]):
        np.testing.assert_allclose(model.predict(batch, samples=3), np.stack([model.predict(batch)] * 3), atol=1e-7)
    assert picture(model) == before


def test_buffers_that_a_layer_that_draws_moves_stand_before_each_sample() -> None:
    class Counting(Layer):
        def __init__(self) -> None:
            self.random, self.count = Random(), Buffer((1,), Zeros())

        def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
            if training:
                self.count.value += 1
            return x + self.count.value, None

        def backward(self, grad: Array, cache: None) -> Array:
            return grad

    samples = Sequential(Counting()).predict(X, samples=3)
    assert (samples == samples[0]).all()


def test_large_batches_go_in_blocks_and_several_outputs_give_a_tuple() -> None:
    model = Sequential(Linear(3, 4), Dropout(0.5), rng=0)
    assert model.predict(np.ones((5000, 3)), 100, samples=2).shape == (2, 5000, 4)
    pair = Sequential(Parallel(Sequential(Embedding(4, 2), Flatten()), Dropout(0.5)), rng=0)
    first, second = pair.predict((np.zeros((6, 1), int), X[:6]), samples=3)
    assert (first.shape, second.shape) == ((3, 6, 2), (3, 6, 3))
    assert (first[0] == first[1]).all()


@pytest.mark.parametrize("layer", [Tanh(), BatchNorm(3)])
def test_a_model_that_draws_nothing_has_no_samples(layer: Layer) -> None:
    with pytest.raises(ValueError, match="samples=3, but all would be alike, since no layer draws at random"):
        Sequential(layer).predict(X, samples=3)
