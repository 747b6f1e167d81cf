"""One layer beside its PyTorch module, in float64: the same state, values, gradients and buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet import Layer, Sequential, Shape


def assert_module_equal(
    layer: Layer,
    module: Any,
    shape: Shape,
    *,
    training: bool = False,
    passes: int = 1,
    x: npt.NDArray[Any] | None = None,
    tolerance: float = 1e-12,
) -> None:
    """Give both the same random state and input, and compare; gradients to 1e-10."""
    import torch

    model, rng = Sequential(layer, dtype=np.float64, rng=0), np.random.default_rng(0)
    module = module.double().train(training)
    own = {name.removeprefix("0."): value for name, value in model.state_dict().items()}
    assert list(own) == list(module.state_dict())
    if x is None:
        model.vector.value[:] = rng.normal(size=model.vector.size)
        own = {name.removeprefix("0."): value for name, value in model.state_dict().items()}
    module.load_state_dict({name: torch.tensor(value) for name, value in own.items()})
    for _ in range(passes):
        given = rng.normal(rng.normal(), rng.uniform(0.5, 3), size=shape) if x is None else x
        y, cache = model.forward(given, training=training)
        given_there = torch.tensor(given, requires_grad=given.dtype.kind == "f")
        y_there = module(given_there)
        close(y, y_there, tolerance)
        grad = rng.normal(size=y.shape)
        dx = model.backward(grad, cache)
        if y_there.requires_grad:
            module.zero_grad()
            y_there.backward(torch.tensor(grad))
        if given.dtype.kind == "f":
            close(dx, given_there.grad, 1e-10)
        for name, parameter in module.named_parameters():
            close(model.parameters()[f"0.{name}"].grad, parameter.grad, 1e-10)
    for name, value in module.state_dict().items():
        close(model.state_dict()[f"0.{name}"], value, tolerance)


def close(ours: npt.NDArray[Any], theirs: Any, tolerance: float) -> None:
    """Compare with a tensor, relative to its largest entry."""
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0)))
