"""The training whose checkpoint stands beside this file, as nanonet 0.1.0 wrote it in format 1.

    python -m tests.format_1.written

made it with that version; later ones write another format, and tests see that they still read this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nanonet import Adam, Callback, Dropout, EarlyStopping, Linear, Sequential, SquaredError, Tanh, Trainer

PATH = Path(__file__).with_name("run.npz")
FIT: dict[str, Any] = {"batch_size": 4, "validation": 0.2, "verbose": 0}


def data() -> tuple[Any, Any]:
    """Return x and target; five batches an epoch beside what is held out."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(25, 3)), rng.normal(size=(25, 2))


def trainer_of(seed: int = 0) -> Trainer:
    """Return a trainer with a frozen weight and a generator of a layer's own."""
    model = Sequential(Linear(3, 4), Tanh(), Dropout(0.2), Linear(4, 2), rng=seed)
    model.parameters()["0.bias"].trainable = False
    return Trainer(model, loss=SquaredError(), optimizer=Adam(0.01))


class Break(Callback):
    """What Ctrl-C does, at a step: the second of the third epoch."""

    def step_end(self, trainer: Trainer) -> None:
        """Break off."""
        if trainer.steps == 12:
            raise KeyboardInterrupt


if __name__ == "__main__":
    trainer = trainer_of()
    trainer.fit(*data(), epochs=5, callbacks=[EarlyStopping(patience=9), Break()], **FIT)
    trainer.save(PATH)
