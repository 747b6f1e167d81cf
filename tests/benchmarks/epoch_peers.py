"""Epochs: ways to go through all samples in batches, each epoch in an order that the same generator draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from tests.benchmarks import ours
from tests.benchmarks.jax_peers import flat, start_of, stepper
from tests.benchmarks.peers import Fast
from tests.benchmarks.rows import Matrix, Row


class Epochs(ABC):
    """A net in training on the samples of several batches of a row."""

    name: ClassVar[str]
    module: ClassVar[str] = "numpy"
    dtype: ClassVar[str | None] = None  # the row's, unless it has no other

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot be measured here, or an empty string."""
        return "" if find_spec(cls.module) else f"{cls.module} is not installed"

    @classmethod
    def can(cls, row: Row) -> bool:
        """Tell whether it can train a row."""
        return True

    @abstractmethod
    def __init__(self, row: Row, batches: int) -> None: ...

    @abstractmethod
    def run(self, epochs: int) -> None:
        """Go through all samples that often."""

    @abstractmethod
    def weights(self) -> list[Matrix]:
        """Return the weights and biases, in order."""


class Fit(Epochs):
    """nanonet on NumPy alone: ``Trainer.fit``, from its first checks to its history."""

    name = "fit"
    options: ClassVar[dict[str, Any]] = {}

    def __init__(self, row: Row, batches: int) -> None:
        self.trainer, self.batch = ours.trainer(row, **self.options), row.batch
        self.x, self.target = row.data(batches * row.batch)

    def run(self, epochs: int) -> None:
        self.trainer.fit(self.x, self.target, epochs=epochs, batch_size=self.batch, verbose=0)

    def weights(self) -> list[Matrix]:
        return ours.weights(self.trainer)


class FastFit(Fit):
    """The same with what the extra ``fast`` compiles."""

    name = "fit, fast"
    options: ClassVar[dict[str, Any]] = Fast.options

    @classmethod
    def missing(cls) -> str:
        return Fast.missing()


class JaxSteps(Epochs):
    """JAX in a loop of Python: a step in one jit, on a batch that NumPy gathers."""

    name, module = "JAX by the step", "jax"

    def __init__(self, row: Row, batches: int) -> None:
        import jax

        self.parameters, self.state = start_of(row)
        self.take = jax.jit(stepper(row), donate_argnums=(0, 1))
        self.rng, self.batches = np.random.default_rng(0), batches
        self.x, self.target = row.data(batches * row.batch)

    def order(self) -> Matrix:
        """Return the samples of each batch of an epoch."""
        return self.rng.permutation(len(self.x)).reshape(self.batches, -1)

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            for chosen in self.order():
                self.parameters, self.state, value = self.take(
                    self.parameters, self.state, self.x[chosen], self.target[chosen]
                )
            value.block_until_ready()

    def weights(self) -> list[Matrix]:
        return flat(self.parameters)


class JaxScan(JaxSteps):
    """JAX with the whole epoch in one jit, which gathers the batches too."""

    name = "JAX lax.scan"

    def __init__(self, row: Row, batches: int) -> None:
        import jax
        import jax.numpy as jnp

        super().__init__(row, batches)
        self.x, self.target = jnp.array(self.x), jnp.array(self.target)
        step = stepper(row)

        def epoch(parameters: Any, state: Any, x: Any, target: Any, order: Any) -> Any:
            def one(carried: Any, chosen: Any) -> Any:
                *carried, value = step(*carried, x[chosen], target[chosen])
                return tuple(carried), value

            (parameters, state), values = jax.lax.scan(one, (parameters, state), order)
            return parameters, state, values.mean()

        self.epoch = jax.jit(epoch, donate_argnums=(0, 1))

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            self.parameters, self.state, value = self.epoch(
                self.parameters, self.state, self.x, self.target, self.order()
            )
            value.block_until_ready()
