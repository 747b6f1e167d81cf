"""Optimizers: clipping, weight decay, micro-batches and blocks, of which a rule itself knows nothing."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nanonet import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Array,
    Constant,
    CrossEntropy,
    Flatten,
    Layer,
    Linear,
    NonFiniteError,
    Optimizer,
    Parameter,
    RMSprop,
    Rprop,
    Sequential,
    Shape,
    ShapeError,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    accuracy,
    weights_only,
)
from nanonet.training import atomic
from tests.helpers import Centred, Momentum, Noise, data, everything, picture, train, trainer_of
from tests.registry import LOSSES, OPTIMIZERS, LossCase, OptimizerCase, params

STEPS = 15


def deep(rng: int = 0) -> Sequential:
    """Return a net 3 -> 2 of three Linears, float64."""
    return Sequential(Linear(3, 5), Tanh(), Linear(5, 4), Tanh(), Linear(4, 2), dtype=np.float64, rng=rng)


# ---- the same as PyTorch, step by step


class Twins:
    """A net of ours and its counterpart in PyTorch, trained on the same batches; a parameter may be frozen in both."""

    def __init__(self, optimizer: Optimizer, frozen: tuple[str, ...] = ()) -> None:
        self.torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
        self.peer: Any = importlib.import_module("tests.system.test_against_pytorch")
        self.model, self.optimizer = deep(), optimizer
        self.module = self.peer.twin(self.model)
        self.there: dict[str, Any] = dict(self.module.named_parameters())
        for name in frozen:
            self.model.parameters()[name].trainable = False
            self.there[name].requires_grad_(False)
        self.free = {name: parameter for name, parameter in self.there.items() if name not in frozen}
        self.start = self.model.state_dict()

    def rule(self, groups: Any = None) -> Any:
        """Return PyTorch's optimizer, on all that is not frozen or on groups of it."""
        make = self.peer.OPTIMIZERS_THERE[type(self.optimizer)]
        return make(self.optimizer, list(self.free.values()) if groups is None else groups)

    def train(
        self, rule: Any, clip: Callable[[list[Any]], None] = lambda parameters: None, still: tuple[str, ...] = ()
    ) -> int:
        """Take steps with both, see that they stay together, and return how often clipping changed a gradient."""
        rng, trainer, clipped = np.random.default_rng(6), trainer_of(self.model, self.optimizer), 0
        for _ in range(STEPS):
            x, target = rng.normal(size=(6, 3)), 3 * rng.normal(size=(6, 2))
            trainer.step(x, target)
            rule.zero_grad()
            difference = self.module(self.torch.tensor(x)) - self.torch.tensor(target)
            (0.5 * (difference**2).sum() / len(x)).backward()
            before = [parameter.grad.clone() for parameter in self.free.values()]
            clip(list(self.free.values()))
            clipped += any(
                not self.torch.equal(grad, parameter.grad)
                for grad, parameter in zip(before, self.free.values(), strict=True)
            )
            rule.step()
        self.compare(still)
        return clipped

    def compare(self, still: tuple[str, ...]) -> None:
        """See that every parameter has moved to the same place, and the frozen ones, and those still, nowhere."""
        for name, parameter in self.there.items():
            ours = self.model.parameters()[name].value
            np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=0, atol=1e-10, err_msg=name)
            moved = not np.array_equal(ours, self.start[name])
            assert moved == (name in self.free and name not in still), name


def with_settings(rule: Optimizer, **settings: float) -> Optimizer:
    """Return the rule with clipping or decay, which are the base class's."""
    for name, value in settings.items():
        setattr(rule, name, value)
    return rule


FROZEN = [pytest.param((), id="all trainable"), pytest.param(("2.weight",), id="a frozen weight in between")]


@pytest.mark.peer
@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("limit", [1.0, 2.5, 1e6])
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_clipping_by_norm_is_that_of_clip_grad_norm(case: OptimizerCase, limit: float, frozen: tuple[str, ...]) -> None:
    twins = Twins(with_settings(case.make(), clip_norm=limit), frozen)
    utils = twins.torch.nn.utils
    clipped = twins.train(twins.rule(), lambda parameters: utils.clip_grad_norm_(parameters, limit))
    assert (clipped > 0) == (limit < 1e6)


@pytest.mark.peer
@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("limit", [0.1, 0.7, 1e6])
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_clipping_by_value_is_that_of_clip_grad_value(
    case: OptimizerCase, limit: float, frozen: tuple[str, ...]
) -> None:
    twins = Twins(with_settings(case.make(), clip_value=limit), frozen)
    utils = twins.torch.nn.utils
    clipped = twins.train(twins.rule(), lambda parameters: utils.clip_grad_value_(parameters, limit))
    assert (clipped > 0) == (limit < 1e6)


@pytest.mark.peer
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_clipping_by_norm_comes_before_clipping_by_value(case: OptimizerCase) -> None:
    twins = Twins(with_settings(case.make(), clip_norm=2.0, clip_value=0.5))
    utils = twins.torch.nn.utils

    def clip(parameters: list[Any]) -> None:
        utils.clip_grad_norm_(parameters, 2.0)
        utils.clip_grad_value_(parameters, 0.5)

    assert twins.train(twins.rule(), clip) > 0


@pytest.mark.peer
@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("case", params({cls: cases for cls, cases in OPTIMIZERS.items() if cls is not Rprop}))
def test_weight_decay_after_clipping_is_pytorchs(case: OptimizerCase, frozen: tuple[str, ...]) -> None:
    """PyTorch's Rprop has no weight decay."""
    twins = Twins(with_settings(case.make(), clip_norm=1.5, weight_decay=0.2), frozen)
    utils = twins.torch.nn.utils
    assert twins.train(twins.rule(), lambda parameters: utils.clip_grad_norm_(parameters, 1.5)) > 0


@pytest.mark.peer
@pytest.mark.parametrize("frozen", FROZEN)
@pytest.mark.parametrize("case", params({cls: cases for cls, cases in OPTIMIZERS.items() if cls is not Rprop}))
def test_decays_weights_only_is_two_groups_of_pytorch(case: OptimizerCase, frozen: tuple[str, ...]) -> None:
    optimizer = with_settings(case.make(), weight_decay=0.2)
    optimizer.decays = weights_only
    twins = Twins(optimizer, frozen)
    weights = [parameter for name, parameter in twins.free.items() if name.endswith("weight")]
    biases = [parameter for name, parameter in twins.free.items() if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": 0.2}, {"params": biases, "weight_decay": 0.0}]
    assert twins.train(twins.rule(groups)) == 0


@pytest.mark.peer
def test_adam_and_adamw_have_pytorchs_defaults() -> None:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
    parameters = [torch.zeros(1, requires_grad=True)]
    for ours, theirs in ((Adam(), torch.optim.Adam(parameters)), (AdamW(), torch.optim.AdamW(parameters))):
        there = theirs.defaults
        assert (ours.learning_rate, ours.betas, ours.epsilon) == (there["lr"], there["betas"], there["eps"])
        assert ours.weight_decay == there["weight_decay"]
    root, there = RMSprop(), torch.optim.RMSprop(parameters).defaults
    assert (root.learning_rate, root.smoothing, root.epsilon) == (there["lr"], there["alpha"], there["eps"])
    grad, there = Adagrad(), torch.optim.Adagrad(parameters).defaults
    assert (grad.learning_rate, grad.epsilon) == (there["lr"], there["eps"])
    sign, there = Rprop(), torch.optim.Rprop(parameters).defaults
    assert (sign.learning_rate, (sign.down, sign.up)) == (there["lr"], there["etas"])
    assert (sign.least, sign.most) == there["step_sizes"]


# ---- clipping and decay by themselves


def one_step(optimizer: Optimizer, **settings: Any) -> tuple[Array, Array]:
    """Return by how much a step moved the parameters, and the gradient that it had."""
    model, (x, target) = deep(), data()
    before = model.vector.value.copy()
    _, grad = model.loss_and_grad(x, target, SquaredError())
    trainer_of(model, optimizer, **settings).step(x, target)
    return model.vector.value - before, grad


def test_the_norm_is_that_of_all_gradients_together() -> None:
    moved, grad = one_step(SGD(1.0, clip_norm=0.01))
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(moved, -0.01 * grad / (np.linalg.norm(grad) + 1e-6), rtol=1e-9)


def test_a_gradient_within_its_limits_stays_as_it_is() -> None:
    moved, grad = one_step(SGD(1.0))
    np.testing.assert_allclose(moved, -grad, rtol=1e-9)
    np.testing.assert_array_equal(one_step(SGD(1.0, clip_norm=1e3, clip_value=1e3))[0], moved)


def test_a_value_is_held_within_plus_and_minus_the_limit() -> None:
    moved, grad = one_step(SGD(1.0, clip_value=0.02))
    assert np.abs(grad).max() > 0.02
    np.testing.assert_allclose(moved, -np.clip(grad, -0.02, 0.02), rtol=0, atol=1e-15)


def test_clipping_leaves_the_gradient_in_the_vector_as_it_was() -> None:
    model, (x, target) = deep(), data()
    _, grad = model.loss_and_grad(x, target, SquaredError())
    trainer_of(model, SGD(1.0, clip_norm=0.01, clip_value=0.001, weight_decay=0.5)).step(x, target)
    np.testing.assert_array_equal(model.vector.grad, grad)


def test_a_gradient_whose_square_overflows_is_clipped_to_the_norm_too() -> None:
    model = Sequential(Linear(1, 1, weight=Constant(0.0), bias=False), rng=0)
    trainer_of(model, SGD(1.0, clip_norm=0.5)).step([[1e12]], [[1e12]])
    np.testing.assert_allclose(model.vector.value, [0.5], rtol=1e-5)


class Sees(Momentum):
    """Notes the gradients that reach the rule."""

    def __init__(self, rate: float, **settings: Any) -> None:
        super().__init__(rate, **settings)
        self.seen: list[Array] = []

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        self.seen.append(grad.copy())
        super().update(value, grad, step, *state)


def test_a_users_rule_gets_clipping_and_decay_without_knowing_of_them() -> None:
    model, (x, target) = deep(), data()
    start = model.vector.value.copy()
    _, grad = model.loss_and_grad(x, target, SquaredError())
    rule = Sees(0.1, weight_decay=0.5, clip_value=0.01)
    trainer_of(model, rule).step(x, target)
    np.testing.assert_allclose(rule.seen[0], np.clip(grad, -0.01, 0.01) + 0.5 * start, rtol=1e-12)


def test_a_decay_predicate_sees_every_parameter_with_its_name() -> None:
    model, seen = deep(), {}

    def decays(name: str, parameter: Parameter) -> bool:
        seen[name] = parameter
        return name == "2.weight"

    start = model.state_dict()
    trainer = trainer_of(model, SGD(0.1, weight_decay=0.5, decays=decays))
    assert seen.keys() == model.parameters().keys()
    assert all(seen[name] is parameter for name, parameter in model.parameters().items())
    x, target = data()
    same = deep()
    trainer.step(x, target)
    trainer_of(same, SGD(0.1)).step(x, target)
    for name, parameter in model.parameters().items():
        shrunk = 0.1 * 0.5 * start[name] if name == "2.weight" else 0
        np.testing.assert_allclose(parameter.value, same.parameters()[name].value - shrunk, rtol=0, atol=1e-15)


def test_weights_only_is_told_by_the_shape_and_not_by_the_name() -> None:
    assert weights_only("0.bias", Parameter((2, 3), Constant(0.0)))
    assert weights_only("0.kernel", Parameter((2, 3, 4, 5), Constant(0.0)))
    assert not weights_only("1.weight", Parameter(3, Constant(1.0)))
    assert not weights_only("1.scale", Parameter((), Constant(1.0)))


class Still(Layer):
    """y = x, with a parameter whose gradient is always 0."""

    def __init__(self) -> None:
        self.gain = Parameter(3, Constant(1.0))

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.copy(), None

    def backward(self, grad: Array, cache: Any) -> Array:
        self.gain.grad = np.zeros(3)
        return grad.copy()

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def test_the_decay_of_adamw_does_not_pass_through_the_rule() -> None:
    """Where the gradient is 0 the weights shrink by exactly 1 - rate * decay; Adam would step by the whole rate."""
    decoupled, coupled = (Sequential(Still(), Linear(3, 2), dtype=np.float64, rng=0) for _ in range(2))
    x, target = data()
    for model, optimizer in ((decoupled, AdamW(0.01, weight_decay=0.3)), (coupled, Adam(0.01, weight_decay=0.3))):
        trainer = trainer_of(model, optimizer)
        for _ in range(5):
            trainer.step(x, target)
    np.testing.assert_allclose(decoupled.parameters()["0.gain"].value, (1 - 0.003) ** 5, rtol=1e-14)
    np.testing.assert_allclose(coupled.parameters()["0.gain"].value, 1 - 5 * 0.01, rtol=1e-3)


def test_without_decay_adamw_is_adam() -> None:
    models = [deep(), deep()]
    for model, optimizer in zip(models, (Adam(0.01), AdamW(0.01, weight_decay=0)), strict=True):
        train(model, *data(), optimizer=optimizer, epochs=5)
    assert picture(models[0]) == picture(models[1])


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_every_number_moves_down_a_steady_slope_and_up_it_to_maximize(case: OptimizerCase, maximize: bool) -> None:
    model = Sequential(Linear(2, 2), dtype=np.float64, rng=0)
    rule = with_settings(case.make(), weight_decay=0.0, maximize=maximize)
    trainer, before = trainer_of(model, rule), model.vector.value.copy()
    slope = np.array([1.0, -2.0, 0.5, -0.25, 3.0, -1.0])
    for _ in range(10):
        model.vector.grad = slope
        trainer.apply()
    assert ((model.vector.value - before) * slope * (1 if maximize else -1) > 0).all()


@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_a_frozen_parameter_never_moves_and_has_no_part_in_the_norm(case: OptimizerCase) -> None:
    model, (x, target) = deep(), data()
    model.parameters()["2.weight"].trainable = False
    before = model.parameters()["2.weight"].value.copy()
    train(model, x, target, optimizer=with_settings(case.make(), clip_norm=0.1, weight_decay=0.3), epochs=10)
    np.testing.assert_array_equal(model.parameters()["2.weight"].value, before)


def test_clipping_and_decay_keep_a_float32_model_float32() -> None:
    model = everything()
    rule = Sees(0.1, weight_decay=0.5, clip_value=0.01, clip_norm=0.1, decays=weights_only)
    train(model, *data(), optimizer=rule, epochs=2)
    assert {grad.dtype for grad in rule.seen if grad.size != 3} == {np.dtype(np.float32)}
    assert model.vector.value.dtype == np.float32


# ---- micro-batches


def net_for(case: LossCase) -> Sequential:
    """Return a net 3 -> the shape of the loss's prediction, float64."""
    outputs = int(np.prod(case.shape))
    return Sequential(Linear(3, 4), Tanh(), Linear(4, outputs), Folded(case.shape), dtype=np.float64, rng=0)


class Folded(Layer):
    """Rows in another shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x.reshape(len(x), *self.shape), None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad.reshape(len(grad), -1)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("size", [1, 3, 4, 10])
@pytest.mark.parametrize("case", params(LOSSES))
def test_the_gradients_of_micro_batches_add_up_to_that_of_the_batch(case: LossCase, size: int, weighted: bool) -> None:
    """Of 11 samples the last piece is smaller; weights leave out samples 3 to 5, which with 3 is a whole piece."""
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(11, 3)), case.target(11)
    weight = np.where((np.arange(11) >= 3) & (np.arange(11) < 6), 0, rng.uniform(0.1, 3, 11)) if weighted else None
    whole, pieces = net_for(case), net_for(case)
    full = Trainer(whole, loss=case.make(), optimizer=SGD(0.1))
    micro = Trainer(pieces, loss=case.make(), optimizer=SGD(0.1), micro_batch_size=size)
    for _ in range(3):
        loss = full.step(x, target, weight)
        assert micro.step(x, target, weight) == pytest.approx(loss, rel=1e-12, abs=1e-14)
        np.testing.assert_allclose(pieces.vector.grad, whole.vector.grad, rtol=0, atol=1e-12)
    np.testing.assert_allclose(pieces.vector.value, whole.vector.value, rtol=0, atol=1e-12)
    assert np.abs(whole.vector.grad).max() > 1e-3


def test_a_piece_whose_classes_all_have_weight_0_counts_nothing() -> None:
    x, target = np.random.default_rng(1).normal(size=(6, 3)), np.array([0, 0, 1, 2, 0, 1])
    loss = CrossEntropy(class_weight=[0.0, 1.0, 2.0])
    whole, pieces = (Sequential(Linear(3, 3), dtype=np.float64, rng=0) for _ in range(2))
    full = Trainer(whole, loss=loss, optimizer=SGD(0.1)).step(x, target)
    micro = Trainer(pieces, loss=loss, optimizer=SGD(0.1), micro_batch_size=2).step(x, target)
    assert micro == pytest.approx(full, rel=1e-12)
    np.testing.assert_allclose(pieces.vector.value, whole.vector.value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD(0.1, clip_norm=0.3, weight_decay=0.1), Adam(0.01, clip_value=0.1)], ids=repr)
def test_a_fit_in_micro_batches_has_the_losses_and_metrics_of_one_without(optimizer: Optimizer) -> None:
    rng = np.random.default_rng(2)
    x, target, weight = rng.normal(size=(23, 3)), rng.integers(2, size=23), rng.integers(3, size=23)
    models = [deep(), deep()]
    first, second = (
        Trainer(model, loss=CrossEntropy(class_weight=[1.0, 0.3]), optimizer=optimizer, micro_batch_size=size).fit(
            x, target, epochs=3, batch_size=10, sample_weight=weight, metrics=[accuracy], validation=(x, target)
        )
        for model, size in zip(models, (None, 3), strict=True)
    )
    np.testing.assert_allclose(models[0].vector.value, models[1].vector.value, rtol=0, atol=1e-12)
    assert list(first) == list(second) == ["loss", "accuracy", "validation_loss", "validation_accuracy"]
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-12)


def test_a_metric_gets_the_prediction_of_the_whole_batch() -> None:
    shapes: list[tuple[Shape, Shape]] = []

    def noted(prediction: Array, target: Array) -> float:
        shapes.append((prediction.shape, target.shape))
        return float(np.abs(prediction - target).mean())

    x, target = data(10)
    Trainer(deep(), loss=SquaredError(), optimizer=SGD(0.1), micro_batch_size=3).fit(
        x, target, epochs=1, batch_size=7, metrics=[noted]
    )
    assert shapes == [((7, 2), (7, 2)), ((10, 2), (10, 2))]  # the first batch, and then all


def test_micro_batches_as_large_as_the_batch_change_nothing() -> None:
    models = [everything(), everything()]
    for model, size in zip(models, (None, 12), strict=True):
        trainer_of(model, SGD(0.1), micro_batch_size=size).fit(*data(), epochs=2)
    assert picture(models[0]) == picture(models[1])


def test_a_batch_that_diverges_in_its_second_piece_is_not_taken() -> None:
    model = Sequential(Linear(3, 4), Centred(4), Noise(), Linear(4, 2), rng=0)
    trainer, (x, target) = trainer_of(model, Momentum(0.1), micro_batch_size=4), data()
    trainer.step(x, target)
    before = picture(model)
    target[7] = 3e38
    with pytest.raises(NonFiniteError, match="step 2"):
        trainer.step(x, target)
    assert picture(model) == before


@pytest.mark.parametrize(
    ("target", "weight"),
    [(12, None), (11, None), (9, None), (10, 12), (10, 9)],
    ids=["target far longer", "target longer", "target shorter", "weight longer", "weight shorter"],
)
def test_micro_batches_of_unequal_lengths_are_refused_as_whole_batches_are(target: int, weight: int | None) -> None:
    x, rows = np.ones((10, 3)), np.ones((target, 2))
    weights = None if weight is None else np.ones(weight)
    for size in (None, 5):
        model = deep()
        before = picture(model)
        with pytest.raises(ShapeError):
            trainer_of(model, SGD(0.1), micro_batch_size=size).step(x, rows, weights)
        assert picture(model) == before


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [
        (0, ValueError, "Trainer: expected micro_batch_size of 1 or more, got 0"),
        (2.0, TypeError, "Trainer: expected micro_batch_size as an int, got 2.0"),
        ("2", TypeError, "Trainer: expected micro_batch_size as an int, got '2'"),
    ],
)
def test_a_bad_micro_batch_size_is_refused(size: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        trainer_of(deep(), SGD(0.1), micro_batch_size=size)


# ---- blocks


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "clip_norm": 0.5}], ids=["plain", "decay and clip"])
@pytest.mark.parametrize("case", params(OPTIMIZERS))
def test_a_vector_of_several_blocks_is_trained_as_one_of_small_ones(
    case: OptimizerCase, settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert atomic.BLOCK == 32768
    results: list[npt.NDArray[Any]] = []
    x, target = data(features=200, outputs=100)
    for size in (32768, 1000, 10**9):
        monkeypatch.setattr(atomic, "BLOCK", size)
        model = Sequential(Linear(200, 180), Tanh(), Linear(180, 100), dtype=np.float64, rng=0)
        assert model.vector.size > 32768
        model.parameters()["0.bias"].trainable = False
        optimizer = with_settings(case.make(), **settings)
        optimizer.decays = weights_only
        trainer = trainer_of(model, optimizer)
        for _ in range(3):
            trainer.step(x, target)
        results.append(model.vector.value.copy())
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=0, atol=1e-14)


def test_no_block_is_larger_than_the_cache_and_none_has_a_frozen_entry() -> None:
    pieces: list[int] = []

    class Counted(SGD):
        def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
            pieces.append(len(value))
            super().update(value, grad, step, *state)

    model = Sequential(Linear(200, 300), Tanh(), Linear(300, 100), Flatten(), rng=0)
    model.parameters()["0.bias"].trainable = False
    trainer_of(model, Counted(0.1)).step(*data(features=200, outputs=100))
    assert pieces == [32768, 60_000 - 32768, 30_100]


# ---- settings that mean nothing

Refused = tuple[type[Optimizer], dict[str, Any], type[Exception], str]
SHARED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"learning_rate": -0.1}, ValueError, "expected a finite learning_rate of 0 or more, got -0.1"),
    ({"learning_rate": "0.1"}, TypeError, "expected learning_rate as a number, got '0.1'"),
    ({"weight_decay": -1}, ValueError, "expected a finite weight_decay of 0 or more, got -1"),
    ({"weight_decay": None}, TypeError, "expected weight_decay as a number, got None"),
    ({"weight_decay": np.nan}, ValueError, "expected a finite weight_decay of 0 or more, got nan"),
    ({"decays": "weights"}, TypeError, "expected decays as a table from patterns of names to factors"),
    ({"clip_norm": 0}, ValueError, "expected clip_norm above 0, got 0, which would stop training"),
    ({"clip_norm": -1.0}, ValueError, "expected a finite clip_norm of 0 or more, got -1.0"),
    ({"clip_value": 0.0}, ValueError, "expected clip_value above 0, got 0, which would stop training"),
    ({"clip_value": "1"}, TypeError, "expected clip_value as a number, got '1'"),
    ({"clipnorm": 1}, TypeError, "unexpected setting clipnorm"),
]
ADAMS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"betas": (0.9, 1.0)}, ValueError, "expected a finite beta of 0 or more and below 1, got 1.0"),
    ({"betas": (-0.1, 0.9)}, ValueError, "expected a finite beta of 0 or more and below 1, got -0.1"),
    ({"betas": 0.9}, TypeError, "expected betas as two numbers, got 0.9"),
    ({"betas": (0.9, 0.99, 0.999)}, TypeError, "expected betas as two numbers, got (0.9, 0.99, 0.999)"),
    ({"epsilon": -1}, ValueError, "expected a finite epsilon of 0 or more, got -1"),
]
BAD: list[Refused] = [
    (SGD, {"momentum": -0.1}, ValueError, "SGD: expected a finite momentum of 0 or more, got -0.1"),
    (SGD, {"nesterov": True}, ValueError, "SGD: nesterov needs a momentum above 0"),
    (Adagrad, {"epsilon": -1e-8}, ValueError, "Adagrad: expected a finite epsilon of 0 or more, got -1e-08"),
    (RMSprop, {"smoothing": 1.1}, ValueError, "RMSprop: expected a finite smoothing of 0 or more and below 1"),
    (RMSprop, {"smoothing": -0.1}, ValueError, "RMSprop: expected a finite smoothing of 0 or more and below 1"),
    (RMSprop, {"momentum": -1}, ValueError, "RMSprop: expected a finite momentum of 0 or more, got -1"),
    (RMSprop, {"epsilon": "small"}, TypeError, "RMSprop: expected epsilon as a number, got 'small'"),
    (Rprop, {"factors": (1.0, 1.2)}, ValueError, "Rprop: expected a finite the first factor"),
    (Rprop, {"factors": (0.5, 0.9)}, ValueError, "Rprop: expected a finite the second factor of 1 or more, got 0.9"),
    (Rprop, {"sizes": (1.0, 0.5)}, ValueError, "Rprop: expected a finite the largest size of 1 or more, got 0.5"),
    (Rprop, {"factors": 0.5}, TypeError, "Rprop: expected factors as two numbers, got 0.5"),
    (Rprop, {"factors": (0.5, 1.2, 3.0)}, TypeError, "Rprop: expected factors as two numbers, got (0.5, 1.2, 3.0)"),
    (Rprop, {"sizes": 1e-6}, TypeError, "Rprop: expected sizes as two numbers, got 1e-06"),
]
BAD += [(cls, given, kind, f"{cls.__name__}: {text}") for cls in OPTIMIZERS for given, kind, text in SHARED]
BAD += [(cls, given, kind, f"{cls.__name__}: {text}") for cls in (Adam, AdamW) for given, kind, text in ADAMS]


@pytest.mark.parametrize(
    ("cls", "settings", "kind", "message"),
    [pytest.param(*case, id=f"{case[0].__name__} {case[1]}") for case in BAD],
)
def test_settings_that_mean_nothing_are_refused_in_the_constructor(
    cls: Any, settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}"):
        cls(**({"learning_rate": 0.1} | settings))
