"""AveragedWeights: a callback that keeps a mean of the weights on their way; and the statistics that a mean needs."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, batch_size_of, each, is_finite
from nanonet.core.chain import Chain
from nanonet.core.checks import finite_number, positive_int
from nanonet.core.errors import NonFiniteError
from nanonet.core.parameter import Buffer
from nanonet.core.tree import Tree
from nanonet.training.atomic import Shield
from nanonet.training.trainer import Callback, Trainer


class AveragedWeights(Callback):
    """Keeps a mean of the weights that a training passes; the model itself is trained as without it.

    ::

        mean <- mean + share (weights - mean)

    Without ``decay`` the share is 1 / the number of weights so far, so that all count the same: stochastic weight
    averaging (Izmailov et al. 2018). With it the share is 1 - decay, an exponential moving average (Polyak and Juditsky
    1992); the first weights are taken as they are. The mean is in the checkpoints of a fit, and a fit that resumes
    an interrupted one goes on with it; any other begins a new one.

    Parameters
    ----------
    decay : float, optional
        From 0 to below 1.
    first_epoch : int
        The first epoch whose weights count.
    epochs, steps : int, optional
        Number of epochs, or of steps, from one to the next weights that count; default: 1 step with decay, 1 epoch
        without.

    Attributes
    ----------
    count : int
        How many weights the mean is of.

    Examples
    --------
    >>> from nanonet import SGD, AveragedWeights, Linear, Sequential, SquaredError
    >>> model, average = Sequential(Linear(1, 1), rng=0), AveragedWeights(decay=0.9)
    >>> x, target = [[0.0], [1.0]], [[1.0], [3.0]]
    >>> fitted = model.fit(x, target, loss=SquaredError(), optimizer=SGD(0.5), epochs=100, callbacks=[average])
    >>> with average.swapped(model):
    ...     print(model([[2.0]]).round(2))
    [[5.]]
    """

    def __init__(
        self,
        decay: float | None = None,
        *,
        first_epoch: int = 1,
        epochs: int | None = None,
        steps: int | None = None,
    ) -> None:
        name = type(self).__name__
        if decay is not None:
            decay = finite_number(decay, name, "decay", low=0, high=1, open_high=True)
        if epochs is not None and steps is not None:
            raise TypeError(f"{name}: expected epochs or steps, got both")
        if epochs is None and steps is None:
            epochs, steps = (1, None) if decay is None else (None, 1)
        self.decay, self.first_epoch = decay, positive_int(first_epoch, name, "first_epoch")
        self.epochs = None if epochs is None else positive_int(epochs, name, "epochs")
        self.steps = None if steps is None else positive_int(steps, name, "steps")
        self._forget()

    def _forget(self) -> None:
        self.count, self._mean = 0, dict[str, Array]()

    @property
    def at_every_step(self) -> bool:
        """Whether weights between epochs count."""
        return self.steps is not None

    @property
    def weights(self) -> dict[str, Array]:
        """The mean of each parameter by name, copied.

        Raises
        ------
        RuntimeError
            If there is none yet.
        """
        if self.count == 0:
            raise RuntimeError(f"{self}: no weights have been averaged; give it to fit: callbacks=[average]")
        return {name: mean.copy() for name, mean in self._mean.items()}

    def copy_to(self, model: Chain) -> None:
        """Give a model the averaged weights for good. Its buffers, such as BatchNorm's statistics, stay as they are.

        Parameters
        ----------
        model : Chain
            The one that was trained, or one that is built alike.

        Raises
        ------
        ValueError
            If its parameters have other names or shapes; nothing is changed.
        """
        weights, parameters = self.weights, Tree(model).parameters
        expected, got = ({name: array.shape for name, array in some.items()} for some in (weights, parameters))
        if expected != got:
            names = [name for name in expected | got if expected.get(name) != got.get(name)]
            raise ValueError(f"{self}: the averaged weights are of another model; they differ in {', '.join(names)}")
        with Shield():
            for name, mean in weights.items():
                parameters[name].value = mean

    @contextmanager
    def swapped(self, model: Chain) -> Iterator[None]:
        """Give a model the averaged weights within a ``with`` block; then its weights and buffers are put back.

        Parameters
        ----------
        model : Chain
            As for :meth:`copy_to`, which raises the errors.

        Yields
        ------
        None
        """
        states = Tree(model).states
        before = {name: state.value.copy() for name, state in states.items()}
        try:
            self.copy_to(model)
            yield
        finally:
            with Shield():
                for name, value in before.items():
                    states[name].value = value

    # ---- during a fit

    def fit_begin(self, trainer: Trainer) -> None:
        """Begin a new mean."""
        self._forget()

    def step_end(self, trainer: Trainer) -> None:
        """Let the weights count, if due."""
        if self.steps is not None and trainer.steps % self.steps == 0:
            self._follow(trainer)

    def epoch_end(self, trainer: Trainer) -> None:
        """Let the weights count, if due."""
        if self.epochs is not None and (trainer.epoch - self.first_epoch) % self.epochs == 0:
            self._follow(trainer)

    def _follow(self, trainer: Trainer) -> None:
        """Move the mean towards the weights, unless it is too early."""
        if trainer.epoch < self.first_epoch:
            return
        share = 1 / (self.count + 1) if self.decay is None else 1 - self.decay
        with Shield():  # else Ctrl-C may leave some parameters with one more weight in their mean than others
            for name, parameter in trainer.stepper.tree.parameters.items():
                if self.count == 0:
                    self._mean[name] = parameter.value.copy()
                else:
                    self._mean[name] += share * (parameter.value - self._mean[name])
            self.count += 1

    # ---- in a checkpoint

    def state_dict(self) -> dict[str, npt.ArrayLike]:
        """Return the mean, and how many weights it is of."""
        return {"count": self.count, **{f"mean/{name}": mean for name, mean in self._mean.items()}}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the mean."""
        count = state.get("count", np.empty(0))
        if count.shape or not (float(count).is_integer() and count >= 0):
            raise ValueError(f"{self}: expected a checkpoint with an integer 'count' of 0 or more, got {count!r:.60}")
        mean = {name.removeprefix("mean/"): np.array(a) for name, a in state.items() if name.startswith("mean/")}
        here = trainer.stepper.tree.parameters
        forms = {name: (parameter.value.dtype, parameter.shape) for name, parameter in here.items()} if count else {}
        if {name: (array.dtype, array.shape) for name, array in mean.items()} != forms:
            raise ValueError(f"{self}: the averaged weights in the checkpoint do not fit the model being trained")
        self.count, self._mean = int(count), mean


def estimate_statistics(model: Chain, x: Any, batch_size: int = 32) -> None:
    """Set running statistics, as of BatchNorm, to the means of those of the batches of x, as the model is now.

    Averaged weights need that: their statistics are those of no step of the training. It runs a copy of the model in
    training mode, so of the model itself nothing else changes. A layer of your own takes part if it has a ``momentum``
    by which it moves its buffers: running <- (1 - momentum) running + momentum * statistic.

    Parameters
    ----------
    model : Chain
    x : array, or tuple of arrays
        Shape (samples, ...), in the order in which they make batches.
    batch_size : int
        Best that of the training. As in PyTorch a smaller last batch counts as the others do.

    Raises
    ------
    NonFiniteError
        If a statistic would not be finite; nothing is changed.
    ValueError
        If there are no samples, or no layer has running statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import BatchNorm, Sequential, estimate_statistics
    >>> model = Sequential(BatchNorm(1))
    >>> estimate_statistics(model, np.array([[1.0], [3.0], [5.0], [9.0]]), batch_size=2)
    >>> model[0].running_mean.value, model[0].running_var.value
    (array([4.5], dtype=float32), array([5.], dtype=float32))
    """
    positive_int(batch_size, "estimate_statistics", "batch_size")
    size, twin = batch_size_of(x), copy.deepcopy(model)
    running = _running(twin)
    if not size or not running:
        what = "samples" if not size else "a layer with running statistics, such as BatchNorm"
        raise ValueError(f"estimate_statistics: expected {what}, got none")
    means = {name: np.zeros(buffer.shape) for name, buffer in running.items() if buffer.value.dtype.kind == "f"}
    for start in range(0, size, batch_size):
        piece = each(lambda part, start=start: part[start : start + batch_size], x)
        twin.forward(twin.enter(piece), training=True)
        for name, mean in means.items():
            mean += running[name].value
    broken = [name for name, mean in means.items() if not is_finite(mean)]
    if broken:
        raise NonFiniteError(f"estimate_statistics: {broken[0]} would not be finite; x or the weights are too large")
    batches, buffers = -(-size // batch_size), Tree(model).buffers
    with Shield():
        for name in running:
            buffers[name].value = means[name] / batches if name in means else np.array(batches)


def _running(model: Chain) -> dict[str, Buffer]:
    """Return the buffers of the layers that have a momentum, and let those of one batch take the place of the last."""
    tree, running = Tree(model), dict[str, Buffer]()
    for name, buffer in tree.buffers.items():
        layer: Any = tree.parents[id(buffer)]
        if hasattr(layer, "momentum"):
            layer.momentum, running[name] = 1.0, buffer
    return running
