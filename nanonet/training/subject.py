"""Subject: the part of a trainer that displays and checkpoints read and set, so that they need not know its class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array
from nanonet.core.chain import Chain
from nanonet.core.loss import Loss
from nanonet.core.optimizer import Optimizer
from nanonet.core.tree import Tree
from nanonet.training.epoch import Epoch
from nanonet.training.history import History
from nanonet.training.intake import Intake
from nanonet.training.interrupts import Shield


class Hooks(Protocol):
    """The hooks that a fit calls, on a callback or a display."""

    told_last: ClassVar[bool]

    def fit_begin(self, trainer: Any) -> None:
        """Before the first epoch."""

    def epoch_begin(self, trainer: Any) -> None:
        """Before an epoch."""

    def step_end(self, trainer: Any) -> None:
        """After a step."""

    def epoch_end(self, trainer: Any) -> None:
        """After an epoch."""

    def fit_end(self, trainer: Any) -> None:
        """After the last epoch."""


class Remembering(Hooks, Protocol):
    """A callback whose state a checkpoint saves."""

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        """Return its state."""

    def fit_resumed(self, trainer: Any, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore its state."""


class Subject(Protocol):
    """A model in training, as seen by displays and checkpoints; see :class:`nanonet.Trainer`."""

    model: Chain
    loss: Loss
    optimizer: Optimizer
    rng: np.random.Generator
    tree: Tree
    intake: Intake
    shield: Shield
    history: History
    underway: Epoch | None
    steps: int
    epoch: int
    batch: int
    batches: int | None
    batch_loss: float
    learning_rate: float
    rate_factor: float
    completed: bool
    names: tuple[str, ...]
    torn: int | str
    resumed: Any
    members: list[Any]
    callbacks: list[Any]

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """Yield the optimizer's state of each parameter, by name."""

    def forget_bounds(self) -> None:
        """Discard the known bounds, because the numbers were changed elsewhere."""
