"""Whole nets, drawn of all layers, equal the same PyTorch module in values, gradients and steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, seed, settings

from nanonet import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Layer,
    MeanSquaredError,
    Monotone,
    Optimizer,
    Reparametrised,
    RMSprop,
    Sequential,
    SpectralNorm,
    SquaredError,
    Together,
    Trainer,
    WeightNorm,
)
from nanonet.core.arrays import parts_of
from nanonet.core.chain import Chain
from nanonet.interchange.torch import from_torch, to_torch
from tests.registry import concrete

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

from tests.drawn_nets import Net, chains, nets  # noqa: E402  # which needs PyTorch
from tests.system.test_against_pytorch import LOSSES_THERE, OPTIMIZERS_THERE  # noqa: E402

pytestmark = pytest.mark.peer

SAMPLES, STEPS = 4, 5

OPTIMIZERS: list[Callable[[float], Optimizer]] = [
    lambda slope: SGD(0.02 / max(1, slope), momentum=0.9),
    lambda slope: Adam(0.01, epsilon=EPSILON),
    lambda slope: AdamW(0.01, epsilon=EPSILON, weight_decay=0.1),
    lambda slope: RMSprop(0.01, epsilon=EPSILON),
    lambda slope: Adagrad(0.05, epsilon=EPSILON),
]
"""Each for the largest entry of the first gradient, so that no net diverges."""

EPSILON = 1e-3  # far above the rounding errors of a gradient that is 0, as that of a bias below a norm


def close(ours: Any, theirs: Any, tolerance: float, what: str) -> None:
    """Compare with a tensor, relative to its largest entry, but at least to 1."""
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape, what
    atol = tolerance * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=atol, err_msg=what)


def drawn_data(net: Net, model: Sequential) -> tuple[Any, Any]:
    """Return an input and a target."""
    rng = np.random.default_rng(net.seed)
    inputs = tuple(
        rng.normal(size=(SAMPLES, *shape)) if rows is None else rng.integers(rows, size=(SAMPLES, *shape))
        for shape, rows in zip(net.inputs, net.rows, strict=True)
    )
    x = inputs if len(inputs) > 1 else inputs[0]
    target = tuple(rng.normal(size=part.shape) for part in parts_of(model(x)))
    return x, target if len(target) > 1 else target[0]


def tensors(x: Any, *, grad: bool = False) -> Any:
    """Return the same as tensors."""
    made = tuple(torch.tensor(part, requires_grad=grad and part.dtype.kind == "f") for part in parts_of(x))
    return made if isinstance(x, tuple) else made[0]


def shaken(model: Sequential, rng: np.random.Generator) -> dict[str, Any]:
    """Give parameters and buffers other numbers than those that norms start with, and return the state."""
    for name, parameter in model.parameters().items():
        if name.endswith("bias") or parameter.value.ndim == 1:
            parameter.value += rng.uniform(-0.3, 0.3, parameter.shape)
    state: dict[str, Any] = model.state_dict()
    for name, value in state.items():
        if name.endswith(("mean", "var", "scale")):
            state[name] = value + rng.uniform(0, 0.5, value.shape)
    model.load_state_dict(state)
    return state


def loss_there(losses: list[Any], y: Any, target: Any) -> Any:
    """Return the sum of the losses of all outputs."""
    total = 0
    for loss, prediction, wanted in zip(losses, parts_of(y), parts_of(target), strict=True):
        there = LOSSES_THERE[type(loss)]
        assert callable(there)
        total = total + there(loss, prediction, wanted).mean()
    return total


def backward_there(module: Any, losses: list[Any], x: Any, target: Any) -> tuple[Any, Any]:
    """Return the prediction and the loss, with gradients assigned to all parameters."""
    module.zero_grad()
    y = module(x)
    value = loss_there(losses, y, target)
    value.backward()
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return y, value


def assert_equal_to_pytorch(net: Net) -> None:
    """Compare the values and gradients of a net, and what each optimizer makes of it in a few steps."""
    model, module = net.model(), net.module()
    state = shaken(model, np.random.default_rng(net.seed))
    assert {name: value.shape for name, value in state.items()} == {
        name: tuple(value.shape) for name, value in module.state_dict().items()
    }
    start = {name: torch.tensor(value) for name, value in state.items()}
    module.load_state_dict(start)
    x, target = drawn_data(net, model)
    x_there, target_there = tensors(x, grad=True), tensors(target)
    losses: list[Any] = [SquaredError(), MeanSquaredError()][: net.outputs]
    loss = Together(*losses) if net.outputs > 1 else losses[0]

    for ours, theirs in zip(parts_of(model(x)), parts_of(module.eval()(x_there)), strict=True):
        close(ours, theirs, 1e-10, "the prediction in inference")
    y, cache = model.forward(x, training=True)
    y_there, value_there = backward_there(module.train(), losses, x_there, target_there)
    for ours, theirs in zip(parts_of(y), parts_of(y_there), strict=True):
        close(ours, theirs, 1e-10, "the prediction in training")
    value, loss_cache = loss.forward(y, *loss.check(y, target))
    close(np.asarray(value), value_there, 1e-10, "the loss")
    dx: Any = model.backward(loss.backward(loss_cache), cache)
    for ours, theirs in zip(parts_of(dx), parts_of(x_there), strict=True):
        if theirs.grad is not None:
            close(ours, theirs.grad, 1e-8, "dE/dx")
    for name, parameter in module.named_parameters():
        close(model.parameters()[name].grad, parameter.grad, 1e-8, f"dE/d{name}")

    slope = float(np.abs(model.vector.grad).max())
    for optimizer in OPTIMIZERS:
        model.load_state_dict(state)
        module.load_state_dict(start)
        assert_equal_steps(model, module, optimizer(slope), losses, x, target)


def assert_equal_steps(
    model: Sequential, module: Any, optimizer: Optimizer, losses: list[Any], x: Any, target: Any
) -> None:
    """Compare the losses of a few steps, and all numbers of the net after them."""
    trainer = Trainer(model, loss=Together(*losses) if len(losses) > 1 else losses[0], optimizer=optimizer)
    there = OPTIMIZERS_THERE[type(optimizer)]
    assert callable(there)
    optimizer_there = there(optimizer, list(module.parameters()))
    x_there, target_there = tensors(x), tensors(target)
    for step in range(STEPS):
        value = trainer.step(x, target)
        _, value_there = backward_there(module, losses, x_there, target_there)
        optimizer_there.step()
        close(np.asarray(value), value_there, 1e-8, f"{optimizer}: the loss of step {step}")
    for name, theirs in module.state_dict().items():
        close(model.state_dict()[name], theirs, 1e-8, f"{optimizer}: {name} after {STEPS} steps")


@given(nets())
@settings(max_examples=20)
def test_a_drawn_net_has_the_values_gradients_and_steps_of_the_same_module(net: Net) -> None:
    assert_equal_to_pytorch(net)


@pytest.mark.slow
@given(nets())
@settings(max_examples=300)
def test_so_have_300_nets(net: Net) -> None:
    assert_equal_to_pytorch(net)


@pytest.mark.slow
def test_every_layer_is_drawn_and_some_are_called_twice() -> None:
    drawn: Counter[str] = Counter()

    @seed(0)
    @given(nets())
    @settings(max_examples=600, database=None, phases=[Phase.generate])
    def draw(net: Net) -> None:
        every = [part for outer in net.parts for part in outer.all()]
        drawn.update({part.name for part in every})
        calls = [
            [step[1] for step in part.settings["plan"] if step[0] == "call"] for part in every if part.name == "Wired"
        ]
        drawn["called twice"] += any(len({*called}) < len(called) for called in calls)
        drawn["several inputs"] += len(net.inputs) > 1
        drawn["several outputs"] += net.outputs > 1

    draw()
    base: type[Any] = Layer
    elsewhere = {Chain, Reparametrised, Monotone, SpectralNorm, WeightNorm}  # the last in test_reparametrised.py
    wanted = {cls.__name__ for cls in concrete(base) if cls not in elsewhere}
    forgotten = {*wanted, "Wired", "called twice", "several inputs", "several outputs"} - {*+drawn}
    assert not forgotten, f"draw {', '.join(sorted(forgotten))} in tests/drawn_nets.py"


@given(chains())
@settings(max_examples=20)
def test_a_drawn_chain_goes_to_pytorch_and_back(net: Net) -> None:
    model = net.model()
    if model.parameters() or model.state_dict():
        shaken(model, np.random.default_rng(net.seed))
    module = to_torch(model, input_shape=net.inputs[0])
    x, _ = drawn_data(net, model)
    with torch.no_grad():
        close(model(x), module(tensors(x)), 1e-10, "the prediction")
    again = from_torch(module)
    if model.state_dict():  # without numbers nothing tells a module's dtype
        np.testing.assert_array_equal(again(x), model(x))
    assert list(again.state_dict()) == list(model.state_dict())
