"""LayerMonitor: how far a step moves each parameter, how large its gradient is, and which units are dead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.inspection.record import LayerTrace
from nanonet.inspection.trace import trace_of
from nanonet.layers.activations import Activation
from nanonet.training.trainer import Callback, Trainer


class LayerMonitor(Callback):
    """Records in the history what happens in each layer, at the last step of every epoch.

    For each parameter, such as "0.weight", with Δw what the step added to it:

    - "0.weight/update_ratio": ‖Δw‖ / ‖w‖, near 0.001 in many trainings that go well; NaN for w = 0;
    - "0.weight/gradient_norm": ‖dE/dw‖, before clipping and weight decay.

    For each activation, such as layer 1, if samples are given:

    - "1/dead_units": the share of its units, or of its channels for images, whose derivative is 0 for every sample, so
      that no error signal passes through them.

    It copies the parameters after every step, and changes nothing. It is called before all other callbacks, which can
    use these numbers: ``EarlyStopping("1/dead_units", mode="min")``, ``CSVLog``, ``TensorBoard``.

    Parameters
    ----------
    x : array, optional
        Samples as the model takes them; some hundred are enough. They pass through a copy of the model once per epoch.

    Examples
    --------
    >>> from nanonet import SGD, Linear, ReLU, Sequential, SquaredError
    >>> model = Sequential(Linear(1, 1, weight=[[1.0]]), ReLU(), Linear(1, 1, weight=[[2.0]]))
    >>> settings = {"loss": SquaredError(), "optimizer": SGD(0.125), "epochs": 1}
    >>> history = model.fit([[1.0]], [[1.0]], **settings, callbacks=[LayerMonitor([[1.0]])])
    >>> history["2.weight/gradient_norm"], history["2.weight/update_ratio"], history["1/dead_units"]
    ([1.0], [0.0625], [0.0])
    """

    called_first = True

    def __init__(self, x: Any = None) -> None:
        self.x = x

    def fit_begin(self, trainer: Trainer) -> None:
        """Announce the numbers, so that other callbacks know them."""
        self.before, self.after = trainer.model.vector.value.copy(), trainer.model.vector.value.copy()
        parameters = trainer.stepper.tree.parameters
        names = [f"{name}/{what}" for name in parameters for what in ("update_ratio", "gradient_norm")]
        trainer.names += (*names, *dict(self._dead_units(trainer)))

    def step_end(self, trainer: Trainer) -> None:
        """Keep the parameters before and after the step."""
        self.before, self.after = self.after, self.before
        np.copyto(self.after, trainer.model.vector.value)

    def epoch_end(self, trainer: Trainer) -> None:
        """Record the numbers of the epoch's last step."""
        trainer.history.record({**dict(self._steps(trainer)), **dict(self._dead_units(trainer))})

    def _steps(self, trainer: Trainer) -> Iterator[tuple[str, float]]:
        start, grad = 0, trainer.model.vector.grad
        for name, parameter in trainer.stepper.tree.parameters.items():
            part = slice(start, start + parameter.size)
            size, change = _norm(self.before[part]), _norm(self.after[part] - self.before[part])
            yield f"{name}/update_ratio", change / size if size else math.nan
            yield f"{name}/gradient_norm", _norm(grad[part])
            start = part.stop

    def _dead_units(self, trainer: Trainer) -> Iterator[tuple[str, float]]:
        if self.x is not None:
            for name, record in trace_of(trainer.model, self.x).items():
                if record.is_elementwise:
                    yield f"{name}/dead_units", dead_units(record)


def dead_units(record: LayerTrace) -> float:
    """Return the share of an activation's units, or channels of images, whose derivative is 0 for every sample."""
    layer, y = record.layer, record.output
    assert isinstance(layer, Activation)
    with np.errstate(all="ignore"):
        passes = np.broadcast_to(layer.derivative(record.input, y), y.shape) != 0
    images = y.ndim == 4  # shape (batch, channels, height, width)
    return float(np.mean(~passes.any(axis=(0, 2, 3) if images else 0)))


def _norm(numbers: Array) -> float:
    """Return the square root of the sum of squares, in float64, where those of float32 do not overflow."""
    return float(np.linalg.norm(numbers.astype(np.float64)))
