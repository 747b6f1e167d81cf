"""Replay: records the model every so many epochs, and writes the training as a page with a slider over its epochs."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import batch_size_of
from nanonet.core.checks import positive_int
from nanonet.inspection.replay_page import replay_page
from nanonet.inspection.trace import trace_of
from nanonet.training.history import History, whole_net
from nanonet.training.trainer import Callback, Trainer


class Replay(Callback):
    """Records the model every so many epochs; :meth:`save` writes an HTML page that replays the training.

    The page shows the curves of the history and every parameter as a heat map, blue above 0 and vermilion below, and
    for one sample the figure of the net. It is one file, which needs no network. The frames are kept in memory and in
    checkpoints, each as large as the model.

    Parameters
    ----------
    epochs : int
        Number of epochs between two frames; the first is from before training, the last from its end.
    x, target : array, optional
        One sample, shape (1, ...): the figure of a small net is drawn with its numbers, with gradients if there is a
        target.

    Examples
    --------
    >>> import tempfile
    >>> from nanonet import SGD, Linear, Sequential, SquaredError
    >>> replay = Replay(5, x=[[1]], target=[[3]])
    >>> model = Sequential(Linear(1, 1), rng=0)
    >>> data = {"x": [[0], [1]], "target": [[1], [3]]}
    >>> history = model.fit(**data, loss=SquaredError(), optimizer=SGD(0.5), epochs=12, callbacks=[replay])
    >>> replay.epochs
    [0, 5, 10, 12]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replay.save(f"{folder}/run.html")
    """

    called_first = True  # before one that puts back the best model

    def __init__(self, epochs: int = 1, *, x: Any = None, target: Any = None) -> None:
        self.every = positive_int(epochs, "Replay", "epochs")
        if x is None and target is not None:
            raise TypeError("Replay: a target needs its sample: Replay(x=..., target=...)")
        self.x, self.target = x, target
        self.epochs: list[int] = []
        self.frames: list[dict[str, npt.NDArray[Any]]] = []
        self.history: History | None = None

    def fit_begin(self, trainer: Trainer) -> None:
        """Record the model before training; go on with a trainer that was recorded before."""
        if self.history is not trainer.history:
            self.epochs, self.frames, self.history = [], [], trainer.history
        self.model, self.loss = trainer.model, trainer.stepper.loss
        if self.x is not None:
            self._check_sample()
        if not self.epochs:
            self._record(trainer)

    def state_dict(self) -> dict[str, npt.ArrayLike]:
        """Return the frames."""
        names = self.frames[0] if self.frames else ()
        arrays = {f"model/{name}": np.stack([frame[name] for frame in self.frames]) for name in names}
        return {"epochs": self.epochs, **arrays}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the frames."""
        frames = {name.removeprefix("model/"): array for name, array in state.items() if name.startswith("model/")}
        epochs = np.asarray(state.get("epochs", ()))
        here = {name: (array.dtype, (epochs.size, *array.shape)) for name, array in self.frames[0].items()}
        saved = {name: (array.dtype, array.shape) for name, array in frames.items()}
        if saved != here or not _ascending(epochs, trainer.history.epochs):
            raise ValueError(f"{self}: the frames in the checkpoint do not fit the model being trained")
        self.epochs = epochs.tolist()
        self.frames = [{name: array[k] for name, array in frames.items()} for k in range(epochs.size)]

    def epoch_end(self, trainer: Trainer) -> None:
        """Record the model, if due."""
        if trainer.epoch % self.every == 0:
            self._record(trainer)

    def fit_end(self, trainer: Trainer) -> None:
        """Record the model after the last epoch."""
        if trainer.completed and self.epochs[-1] < trainer.history.epochs:
            self._record(trainer)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page.

        Parameters
        ----------
        path : str or Path
            Ends in .html.

        Raises
        ------
        OSError
            If the file cannot be written.
        RuntimeError
            If no fit was recorded.
        ValueError
            If path does not end in .html.
        """
        if Path(path).suffix.lower() != ".html":
            raise ValueError(f"Replay.save: expected a path that ends in .html, got {os.fspath(path)!r}")
        if self.history is None:
            raise RuntimeError("Replay.save: nothing was recorded; give it to a fit: callbacks=[replay]")
        weights = {name: np.stack([frame[name] for frame in self.frames]) for name in self.model.parameters()}
        numbers = {name: self.history[name] for name in whole_net(self.history)}
        title = f"{type(self.model).__name__}: {self.history.epochs} epochs"
        page = replay_page(title, numbers, self.epochs, weights, self._figures())
        Path(path).write_text(page, encoding="utf-8")

    def _record(self, trainer: Trainer) -> None:
        self.epochs.append(trainer.history.epochs)
        self.frames.append(trainer.model.state_dict())

    def _check_sample(self) -> None:
        trace = trace_of(self.model, self.x, self.target, None if self.target is None else self.loss)
        if batch_size_of(trace.x) != 1:
            raise ValueError(f"Replay: expected x of one sample, got {batch_size_of(trace.x)}; write x[:1]")
        trace.draw()

    def _figures(self) -> list[str]:
        """Return the figure of the net in every frame, or none without a sample."""
        if self.x is None:
            return []
        twin, figures = copy.deepcopy(self.model), []
        for frame in self.frames:
            twin.load_state_dict(frame)
            trace = trace_of(twin, self.x, self.target, None if self.target is None else self.loss)
            figures.append(trace.draw().svg)
        return figures


def _ascending(epochs: npt.NDArray[Any], last: int) -> bool:
    """Tell whether these are epochs, each later than the one before and none after the last."""
    if epochs.ndim != 1 or epochs.size == 0 or epochs.dtype.kind != "i":
        return False
    return bool(epochs[0] >= 0 and epochs[-1] <= last and (epochs[1:] > epochs[:-1]).all())
