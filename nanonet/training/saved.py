"""Saved: what a Trainer does to be resumed later, in another process."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from nanonet.training.by_hand import ByHand
from nanonet.training.checkpoint import TrainingState, kept, restored, store
from nanonet.training.feed import Epoch, Splits
from nanonet.training.history import History
from nanonet.training.progress import Display
from nanonet.training.resuming import Member, Resumed


class Saved(ByHand):
    """The part of :class:`nanonet.Trainer` that writes and reads checkpoints, and what they hold beside the steps."""

    rng: np.random.Generator
    history: History
    epoch: int
    batch: int
    completed: bool
    splits: Splits
    underway: Epoch | None
    resumed: Resumed | None
    members: list[Member]
    callbacks: list[Any]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint, all that is needed to resume training in another process, to one .npz file.

        The write is atomic: a temporary file replaces path once it is complete on disk. Of the ranks of a reducer only
        the first writes. Entries are stored by name: ``parameter/``, ``buffer/`` and ``state/`` (the optimizer's),
        which parameters are frozen, the history, and the state of each generator. NumPy alone can read the file, and
        nothing is pickled.

        Settings of the optimizer and of layers, such as the rate of a Dropout, are not saved: they come from the code
        that creates the trainer.

        Parameters
        ----------
        path : str or Path
            Ends in .npz.

        Raises
        ------
        OSError
            If it cannot be written; an existing file is left untouched.
        ValueError
            If path does not end in .npz.

        Examples
        --------
        >>> import tempfile
        >>> from nanonet import Adam, Linear, Sequential, SquaredError, Trainer
        >>> def new() -> Trainer:
        ...     return Trainer(Sequential(Linear(1, 1), rng=0), loss=SquaredError(), optimizer=Adam(0.1))
        >>> trainer = new()
        >>> history = trainer.fit([[0], [1]], [[1], [3]], epochs=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trainer.save(f"{folder}/run.npz")
        ...     later = new()
        ...     later.resume(f"{folder}/run.npz")
        >>> later.steps, later.history
        (3, History(3 epochs: loss 1.845 -> 1.29))
        """
        self.stepper.refuse_torn()
        if not self.writes:
            return
        own = [member for member in self.members if not isinstance(member.callback, Display)]
        saved = (kept(member.callback, member.undone, completed=self.completed) for member in own)
        resumed = self.resumed or Resumed(kept=saved, completed=self.completed)
        state = TrainingState(self.rng, self.splits, self.history, self.epoch, self.underway, resumed)
        store(path, self.stepper, state)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Restore the state that another trainer saved; the next fit continues from there, bit for bit.

        This trainer must have been created in the same way: same dtype, same classes of layers, loss and optimizer. A
        fit interrupted mid-epoch resumes within that epoch, with the same data in the same batches and the same
        metrics, and counts it as its first; an iterable must repeat its order. Callbacks of the same classes are
        resumed as well: what a callback made by the same call has frozen, unfrozen or done to ``rate_factor`` is
        restored, and its ``fit_begin`` does not do it a second time.

        Files of format 1, written by nanonet 0.1.0, hold neither which parameters are frozen nor the layers' classes:
        this trainer's parameters stay frozen or trainable as they are.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, was written by a newer nanonet, does not fit this trainer, or has an invalid entry.
            Nothing is changed, unless the file is modified while it is read: the parameters are NaN then, so that no
            step is taken from a partial state.
        """
        with restored(path, self.stepper, self.rng) as state:
            _, self.splits, self.history, self.epoch, self.underway, self.resumed = state
            self.batch = state.underway.done if state.underway else 0
            self.completed, self.callbacks, self.members = False, [], []
