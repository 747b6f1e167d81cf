"""JAX, as people use it: one step in one jit, its buffers donated, or a whole epoch of them in ``lax.scan``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks.peers import Peer
from tests.benchmarks.rows import BETAS, EPSILON, Matrix, Row

# JAX reads these when it is imported; the run is pinned to one core, and more threads than cores only get in each
# other's way.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def start_of(row: Row) -> tuple[Any, Any]:
    """Return the parameters that a row starts from, and Adam's state."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    parameters = [tuple(map(jnp.array, pair)) for pair in row.start()]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    return parameters, (zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), row.dtype))


def predictor(row: Row) -> Callable[..., Any]:
    """Return the net as a function of parameters and x."""
    import jax
    import jax.numpy as jnp

    activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh}[row.activation]
    last = len(row.sizes) - 2

    def predict(parameters: Any, x: Any) -> Any:
        for i, (weight, bias) in enumerate(parameters):
            x = x @ weight.T + bias
            x = activation(x) if i < last or row.ends_in_sigmoid else x
        return x

    return predict


def stepper(row: Row) -> Callable[..., Any]:
    """Return a step as a function of parameters, state, x and target, which returns parameters, state and loss."""
    import jax
    import jax.numpy as jnp

    predict = predictor(row)

    def loss(parameters: Any, x: Any, target: Any) -> Any:
        y = predict(parameters, x)
        if row.loss == "squared":
            return 0.5 * jnp.sum((y - target) ** 2) / row.batch
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(y), target[:, None], axis=1))

    def sgd(parameters: Any, state: Any, x: Any, target: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters, x, target)
        return jax.tree.map(lambda w, g: w - row.rate * g, parameters, gradient), state, value

    def adam(parameters: Any, state: Any, x: Any, target: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(parameters, x, target)
        (b1, b2), (mean, square, count) = BETAS, state
        count = count + 1
        mean = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, mean, gradient)
        square = jax.tree.map(lambda s, g: b2 * s + (1 - b2) * g * g, square, gradient)
        first, second = row.rate / (1 - b1**count), 1 / (1 - b2**count)
        moved = jax.tree.map(lambda w, m, s: w - first * m / (jnp.sqrt(s * second) + EPSILON), parameters, mean, square)
        return moved, (mean, square, count), value

    return adam if row.optimizer == "adam" else sgd


class Jax(Peer):
    """A step in one jit."""

    name, module = "JAX jit", "jax"

    def __init__(self, row: Row) -> None:
        import jax
        import jax.numpy as jnp

        self.parameters, self.state = start_of(row)
        self.x, self.target = map(jnp.array, row.data())
        self.take = jax.jit(stepper(row), donate_argnums=(0, 1))
        self.jitted = jax.jit(predictor(row))

    def step(self) -> float:
        self.parameters, self.state, value = self.take(self.parameters, self.state, self.x, self.target)
        return float(value)

    def weights(self) -> list[Matrix]:
        return flat(self.parameters)

    def predict(self) -> Any:
        return self.jitted(self.parameters, self.x).block_until_ready()


def flat(parameters: Any) -> list[Matrix]:
    """Return weights and biases, in order."""
    return [np.asarray(array) for pair in parameters for array in pair]
