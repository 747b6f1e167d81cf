"""What users write that is right is taken as it is, in a fit, under strict and in every check; what is not is named."""

from __future__ import annotations

import copy
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import (
    SGD,
    Array,
    Constant,
    ContractError,
    GradientError,
    Layer,
    Linear,
    Loss,
    NonFiniteError,
    Optimizer,
    Parameter,
    Residual,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    check_gradients,
)
from tests.helpers import Copy, Scale, data, picture, train


class Halving(Sequential):
    """A chain of half of x, which calls what it inherits."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return super().forward(x / 2, training=training)

    def backward(self, grad: Array, cache: Any) -> Array:
        return super().backward(grad, cache) / 2


def test_strict_changes_nothing_for_a_subclass_that_calls_what_it_inherits() -> None:
    x, target = data(outputs=3)
    plain, checked = (Halving(Linear(3, 4), Tanh(), Linear(4, 3), rng=0) for _ in range(2))
    expected = plain(x), plain.loss_and_grad(x, target, SquaredError())
    train(plain, x, target, epochs=2)
    with nanonet.strict():
        assert checked(x).tobytes() == expected[0].tobytes()
        value, grad = checked.loss_and_grad(x, target, SquaredError())
        assert (value, grad.tobytes()) == (expected[1][0], expected[1][1].tobytes())
        train(checked, x, target, epochs=2)
    assert picture(plain) == picture(checked)


def test_strict_blocks_may_be_left_in_another_order() -> None:
    def numbers() -> Iterator[int]:
        with nanonet.strict():
            yield from range(3)

    for _ in zip(numbers(), numbers(), strict=False):
        pass
    assert Sequential(Copy()).forward(np.ones((1, 2)))[0].flags.writeable


encoder = Sequential(Linear(3, 3), rng=0)  # another model of the same script
held = {"layer": Linear(3, 3)}
Sequential(held["layer"], rng=0)


class Encoding(Layer):
    """A layer whose attribute has the name of a global one."""

    def __init__(self) -> None:
        self.encoder = Linear(3, 3)

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.encoder.forward(x, training=training)

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.encoder.backward(grad, cache)


class Strategy(Layer):
    """A layer that keeps bound methods of its own, one of them before its parameter."""

    def __init__(self) -> None:
        self.run, self.back = self._run, self._back
        self.gain = Parameter((3,), Constant(1.5))

    def _run(self, x: Array) -> Array:
        return x * self.gain.value

    def _back(self, grad: Array, x: Array) -> Array:
        self.gain.grad = (grad * x).sum(axis=0)
        return grad * self.gain.value

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.run(x), x

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.back(grad, cache)


class Tabled(Copy):
    """A layer with a constant that is computed when it is first asked for."""

    @functools.cached_property
    def factor(self) -> float:
        return 2.0

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return x * self.factor, None

    def backward(self, grad: Array, cache: Any) -> Array:
        return grad * self.factor


class ModuleDict(dict[str, Layer]):
    def __getattr__(self, name: str) -> Layer:
        if name in self:
            return self[name]
        raise AttributeError(name)


class ModuleList(list[Layer]):
    def __init__(self, *layers: Layer) -> None:
        super().__init__(layers)


@dataclass(slots=True)
class Slotted:
    layer: Layer


@dataclass
class Node:
    """A configuration that leads back to itself."""

    name: str
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)


class Keeping(Layer):
    """One layer, kept in a container."""

    def __init__(self, kept: Any, find: Callable[[Any], Layer]) -> None:
        self.input_shape, self.kept, self.find = (3,), kept, find

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self.find(self.kept).forward(x, training=training)

    def backward(self, grad: Array, cache: Any) -> Array:
        return self.find(self.kept).backward(grad, cache)


class Configured(Scale):
    def __init__(self) -> None:
        super().__init__(3)
        self.config = Node("root")
        self.config.children.append(Node("leaf", self.config))


RIGHT: dict[str, Callable[[], Layer]] = {
    "an attribute with the name of a global model": Encoding,
    "bound methods": Strategy,
    "a cached property": Tabled,
    "a dict with attributes": lambda: Keeping(ModuleDict(a=Linear(3, 3)), lambda kept: kept.a),
    "a list with a constructor of its own": lambda: Keeping(ModuleList(Linear(3, 3)), lambda kept: kept[0]),
    "a dataclass with slots": lambda: Keeping(Slotted(Linear(3, 3)), lambda kept: kept.layer),
    "a configuration that leads back to itself": Configured,
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_layer_is_trained_checked_traced_and_copied(case: str) -> None:
    x, target = data(outputs=3)
    model = Sequential(RIGHT[case](), Linear(3, 3), rng=0)
    before = model.state_dict()
    for each in (model, copy.deepcopy(model)):
        assert train(each, x, target).epochs == 1
        each.trace(x[:2], target[:2], SquaredError())
        with nanonet.strict():
            each(x)
    assert not any(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    check_gradients(RIGHT[case](), 3)


def test_a_copied_layer_calls_its_own_methods() -> None:
    twin = copy.deepcopy(Sequential(Strategy(), rng=0))
    layer: Any = twin[0]
    layer.gain.value = np.full(3, 5.0)
    np.testing.assert_array_equal(twin(np.ones((1, 3))), [[5.0, 5.0, 5.0]])


class Slots:
    __slots__ = ("layer",)

    def __init__(self, layer: Layer) -> None:
        self.layer = layer


def built() -> Linear:
    layer = Linear(3, 3)
    Sequential(layer, rng=1)
    return layer


class ByDefault(Copy):
    def forward(self, x: Array, *, training: bool = False, _layer: Layer = encoder) -> tuple[Array, Any]:
        return _layer.forward(x)


class ByHelper(Copy):
    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, Any]:
        return self._go(x)

    def _go(self, x: Array) -> tuple[Array, Any]:
        return held["layer"].forward(x)


class ByClass(Copy):
    shared: Any = None


ByClass.shared = built()

OUT_OF_SIGHT: dict[str, Callable[[], Layer]] = {
    "an object with slots": lambda: Keeping(Slots(built()), lambda kept: kept.layer),
    "an array of objects": lambda: Keeping(np.array([built(), None], dtype=object), lambda kept: kept[0]),
    "a default argument": ByDefault,
    "a global that a helper uses": ByHelper,
    "an attribute of the class, set later": ByClass,
}


@pytest.mark.parametrize("case", OUT_OF_SIGHT)
def test_a_layer_out_of_sight_is_refused(case: str) -> None:
    with pytest.raises(ContractError, match="is not part of the model"):
        train(Sequential(OUT_OF_SIGHT[case](), Linear(3, 3), rng=0), *data(outputs=3))


def test_a_nested_layer_of_the_class_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="is a class attribute"):
        type("Shares", (Copy,), {"inner": Residual(Linear(3, 3))})


# ---- losses and optimizers


class Langevin(Optimizer):
    """w <- w - learning_rate g + noise: a rule that draws."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.draw = np.random.default_rng(0)

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * grad
        value += 0.01 * self.draw.normal(size=value.shape).astype(value.dtype)


class SlowWeights(Optimizer):
    """A state that is changed every fiftieth step."""

    def states(self) -> dict[str, float]:
        return {"slow": 0.0}

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        (slow,) = state
        value -= step.learning_rate * grad
        if step.number % 50 == 0:
            slow += 0.5 * (value - slow)


class Counting(SGD):
    def __init__(self, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.updates = self.scales = 0

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        self.updates += 1
        super().update(value, grad, step, *state)

    def scale_of(self, norm: Callable[[], float]) -> float:
        self.scales += 1
        return super().scale(norm)

    scale = scale_of


@pytest.mark.parametrize("make", [Langevin, SlowWeights])
def test_rules_that_draw_or_wait_are_taken(make: Callable[[float], Optimizer]) -> None:
    assert train(Sequential(Linear(3, 3), rng=0), *data(outputs=3), optimizer=make(0.01)).epochs == 1


def test_a_rule_is_asked_for_the_steps_of_the_fit_and_no_others() -> None:
    optimizer = Counting(0.01)
    x, target = data(samples=12, outputs=3)
    train(Sequential(Linear(3, 3), rng=0), x, target, optimizer=optimizer, epochs=2, batch_size=6)
    assert (optimizer.updates, optimizer.scales) == (4, 4)


@pytest.mark.parametrize(
    ("kind", "name"), [(SGD, "rate"), (SGD, "scale"), (SquaredError, "total"), (SquaredError, "check")]
)
def test_an_attribute_cannot_hide_a_method_of_a_loss_or_an_optimizer(kind: type[Any], name: str) -> None:
    thing: Optimizer | Loss = kind(0.1) if kind is SGD else kind()
    with pytest.raises(TypeError, match=rf"self\.{name} = \.\.\. would hide the method {name}"):
        setattr(thing, name, 1.0)


# ---- what a refused or interrupted fit leaves


class Forgets(Scale):
    def backward(self, grad: Array, cache: Any) -> Array:
        return grad * self.gain.value


def test_a_refused_fit_leaves_no_nan_in_the_gradients() -> None:
    model = Sequential(Linear(3, 3), Forgets(3), Linear(3, 3), rng=0)
    with pytest.raises(GradientError):
        train(model, *data(outputs=3))
    assert not model.vector.grad.any()


def test_an_overflow_of_a_layer_of_nanonets_own_is_no_mask() -> None:
    model = Sequential(Linear(1, 1, weight=[[-1e38]], bias=False), Tanh())
    with nanonet.strict(), np.errstate(all="ignore"), pytest.raises(NonFiniteError, match=r"layer 0, Linear"):
        model([[1e5]])


def test_numbers_written_through_the_vector_are_measured_anew() -> None:
    model = Sequential(Linear(40_000, 1, bias=False), rng=0)
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(1e19))
    x = np.zeros((1, 40_000))
    trainer.step(x, [[0.0]])
    model.vector.value[:] = 0
    model.vector.value[:2] = 3.39e38, -3.39e38
    x[0, :2] = 1
    with pytest.raises(NonFiniteError):
        trainer.step(x, [[1e18]])
    assert np.isfinite(model.vector.value).all()


class EndsTwice(SGD):
    """SGD in whose update a batch system's SIGTERM arrives, and Ctrl-C behind it."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        super().update(value, grad, step, *state)
        if step.number == 3 and value.size > 4:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

    def bounds(self, value: float, state: list[float], grad: float, step: Step) -> tuple[float, list[float]]:
        return SGD.bounds(self, value, state, grad, step)


def test_ctrl_c_behind_a_sigterm_does_not_swallow_it() -> None:
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    try:
        with pytest.raises(SystemExit, match="143"):
            train(Sequential(Linear(3, 3), rng=0), *data(outputs=3), optimizer=EndsTwice(0.01), epochs=9)
    finally:
        signal.signal(signal.SIGTERM, before)
