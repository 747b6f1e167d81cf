"""Trainer, which runs steps and epochs, and Callback, the base of the hooks that it calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nanonet.checking.training_contract import refuse_overlooked, warn_of_frozen, warn_of_outputs, warn_of_plain_arrays
from nanonet.core.chain import Chain
from nanonet.core.checks import as_generator, expect, positive_int, true_or_false
from nanonet.core.objects import OURS, Recorded
from nanonet.losses.loss import Loss
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.atomic import on_all_ranks
from nanonet.training.checkpoint import start_alike
from nanonet.training.class_weight import ClassWeights
from nanonet.training.compiled.epoch import in_chunks
from nanonet.training.compiled.step import CompiledStepper
from nanonet.training.config import config, expect_fast
from nanonet.training.feed import Epoch, Feed, Splits, Validation
from nanonet.training.history import History
from nanonet.training.metrics.evaluation import evaluation, numbers, values
from nanonet.training.metrics.named import Metrics, by_name
from nanonet.training.progress import Display, progress
from nanonet.training.reducer import Reducer
from nanonet.training.resuming import Member, Resumed
from nanonet.training.saved import Saved
from nanonet.training.step import Stepper


class Callback(Recorded):
    """Base class of callbacks: hooks called at five points of training; override any of these methods.

    Parameters of each method
    -------------------------
    trainer : Trainer
        With ``trainer.model``, ``history``, ``epoch`` and ``batch`` (from 1), ``batch_loss``, ``learning_rate``, and
        ``trainer.stop(reason)`` to end the fit.
    state : mapping
        What ``state_dict`` returned for a checkpoint: numbers and arrays by name.

    Examples
    --------
    >>> class Every(Callback):
    ...     def __init__(self, epochs: int) -> None:
    ...         self.epochs = epochs
    ...
    ...     def epoch_end(self, trainer: "Trainer") -> None:
    ...         if trainer.epoch % self.epochs == 0:
    ...             print(trainer.epoch, trainer.history["loss"][-1])
    """

    called_first: ClassVar[bool] = False
    """Whether it is called before all other callbacks, as one that adds numbers to the history must be."""

    called_last: ClassVar[bool] = False
    """Whether it is called after all other callbacks, as one that saves their results must be."""

    @property
    def at_every_step(self) -> bool:
        """Whether ``step_end`` is to be called; by default, if it is overridden.

        A trainer that is ``fast`` then takes step by step what it would take many steps at a time.
        """
        return type(self).step_end is not Callback.step_end

    def state_dict(self) -> Mapping[str, npt.ArrayLike]:
        """Return the state to save in a checkpoint: numbers and arrays by name.

        Returns
        -------
        mapping
        """
        return {}

    def fit_resumed(self, trainer: Trainer, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """After fit_begin, when resuming from a checkpoint: restore the result of ``state_dict``."""

    def fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch of a fit.

        In the first fit of a resumed trainer, what a callback freezes, unfreezes or does to ``trainer.rate_factor``
        here is undone if a callback made by the same call was part of the saved fit, which includes its effect.
        """

    def epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch; not called when resuming mid-epoch, where only ``fit_resumed`` is."""

    def step_end(self, trainer: Trainer) -> None:
        """After each step."""

    def epoch_end(self, trainer: Trainer) -> None:
        """After an epoch, whose numbers are the last in the history."""

    def fit_end(self, trainer: Trainer) -> None:
        """After the last epoch, also if the fit was stopped or interrupted."""


class Trainer(Saved):
    """A model in training, with the optimizer's state.

    A step whose loss, gradient or updated parameters are NaN or infinite raises, and leaves the model, including
    buffers and generators, unchanged.

    Parameters
    ----------
    model : Chain
    loss : Loss
    optimizer : Optimizer
    rng : int, Generator or None
        For shuffling; None uses the model's own generator.
    micro_batch_size : int, optional
        Maximum number of samples per forward and backward pass, to save memory: larger batches are split, and the
        gradients accumulated.
    workers : int, optional
        Number of threads that share a large step: parts of its batch, if no layer relates samples, and blocks of its
        update. The results are the same bits for any number, and differ from those without it by rounding.
    reducer : Reducer, optional
        With it several processes train one model, such as :class:`nanonet.distributed.MPIReducer` by MPI: each takes
        its part of every batch. Each needs the same data and arguments.
    fast : bool, optional
        Whether to compile what can be compiled with numba, of the extra ``fast``: the update of a large model, and
        whole steps of a small chain. None: as ``nanonet.config`` says.

    Attributes
    ----------
    history : History
        The numbers of every epoch so far.
    steps, epoch, batch : int
        Steps taken so far; the current epoch, and the current batch in it, both from 1.
    batches : int or None
        Batches per epoch, if known.
    batch_loss, learning_rate : float
        Of the last step.
    rate_factor : float
        Factor on the optimizer's learning rate; ReduceOnPlateau lowers it.
    completed : bool
        Whether the last fit ran to completion, without an error or Ctrl-C.
    names : tuple of str
        The names of the numbers that this fit records in the history.
    callbacks : list of Callback
        Those of the current or last fit.

    Examples
    --------
    >>> from nanonet import SGD, Linear, Sequential, SquaredError
    >>> model = Sequential(Linear(1, 1), rng=0)
    >>> trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.5))
    >>> for _ in range(100):
    ...     loss = trainer.step([[0], [1]], [[1], [3]])
    >>> round(loss, 6), model([[2.0]]).round(2)
    (0.0, array([[5.]], dtype=float32))
    """

    def __init__(
        self,
        model: Chain,
        *,
        loss: Loss,
        optimizer: Optimizer,
        rng: int | np.random.Generator | None = None,
        micro_batch_size: int | None = None,
        workers: int | None = None,
        reducer: Reducer | None = None,
        fast: bool | None = None,
    ) -> None:
        fast = config.fast if fast is None else expect_fast(fast, "Trainer")
        kind = CompiledStepper if fast else Stepper
        self.stepper = kind(model, loss, optimizer, micro_batch_size, workers, reducer, fast)
        self.rng = model.rng if rng is None else as_generator(rng, "Trainer")
        self.history = History()
        self.names: tuple[str, ...] = ("loss",)
        self.epoch = self.batch = 0
        self.batches: int | None = None
        self.completed = False
        self.callbacks: list[Callback] = []
        self.splits: Splits = {}  # from which later fits take their validation samples
        self.underway: Epoch | None = None  # the current or interrupted epoch
        self.resumed: Resumed | None = None  # what the next fit resumes
        self.members: list[Member] = []  # the callbacks of the last fit that were started
        if self.stepper.ranks is not None:
            with self.stepper.ranks.together(until_done=True):
                start_alike(self.stepper, self.rng, self.stepper.ranks.reducer)

    def __repr__(self) -> str:
        how = f" ({self.stepper.how()})" if isinstance(self.stepper, CompiledStepper) else ""
        parts = {"model": self.model, "loss": self.loss, "optimizer": self.optimizer, "steps": self.steps}
        rows = [f"{name}: {part!r}".replace("\n", "\n  ") for name, part in parts.items()]
        return "\n  ".join(["Trainer(", *rows, f"fast: {self.stepper.fast}{how}"]) + "\n)"

    @on_all_ranks
    def fit(
        self,
        x: Any,
        target: Any = None,
        *,
        epochs: int | None = None,
        until_epoch: int | None = None,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: Validation = None,
        steps_per_epoch: int | None = None,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: ClassWeights = None,
        metrics: Metrics = (),
        callbacks: Sequence[Callback] = (),
        verbose: int | None = None,
    ) -> History:
        """Train for further epochs, continuing with the optimizer's state, and return the whole history.

        Ctrl-C ends a fit after the last completed step; the history is returned, with ``interrupted`` set.

        Parameters
        ----------
        x, target : array
            Shape (samples, ...), of equal length; frames and series of pandas and polars, and PyTorch tensors, are
            taken as arrays. Memory-mapped arrays are read and checked batch by batch. Without target, x is an iterable
            of (x, target) or (x, target, weight) batches, iterated over once per epoch.
        epochs : int
            Number of further passes over all samples.
        until_epoch : int
            Instead of epochs: how many epochs the history should have in the end, those before :meth:`resume`
            included, so that a script that is run again trains only what is missing. Nothing is done if it has them,
            or if a callback had stopped the resumed fit.
        batch_size : int
            Samples per step; the last batch of an epoch may be smaller.
        shuffle : bool
            Whether to reshuffle the samples for each epoch.
        validation : (x, target), (x, target, weight), iterable or float, optional
            Data to evaluate after each epoch, all at once or as an iterable of batches, or the fraction of the samples
            to hold out for that.
        steps_per_epoch : int, optional
            Batches per epoch, if x is an iterable: an iterator, such as a generator without end, goes on in the next
            epoch where it was; any other starts over. In an epoch that is resumed, it is where the epoch began.
        sample_weight : array, optional
            Shape (samples,), nonnegative: the weight of each sample. A batch of total weight 0 is skipped.
        class_weight : dict or "balanced", optional
            A factor on the weight of each sample in the training loss, by its label; 1 for a label that is missing.
            "balanced": samples / (classes * samples of the class), as in scikit-learn.
        metrics : sequence, or mapping from names, of metrics
            Such as :func:`nanonet.accuracy`, or ``partial(accuracy, threshold=0.5)`` if the model outputs one column of
            probabilities; a :class:`nanonet.Metric` of your own, or any function of (prediction, target). The history
            records their values on all samples of an epoch, each predicted before its step, and on the validation
            data. For a function that is not built in, all predictions of an epoch are kept in memory. It is called on
            the first batch too, to find mistakes early. Metrics with a weight are given ``sample_weight``.
        callbacks : sequence of Callback
        verbose : int, bool or None
            0 or False: never print; None: print to stderr once the fit has run for 2 s; 1 or True: from the start; 2:
            one line per epoch.

        Returns
        -------
        History

        Raises
        ------
        ShapeError
            If shapes do not match, before the first step.
        TypeError
            If not exactly one of epochs and until_epoch is given.
        ValueError
            If there are no samples or their total weight is 0, or x or target contain NaN or infinity.
        NonFiniteError
            If training diverges, with the epoch, the batch and the layer; its ``history`` holds the earlier epochs.
        """
        turns = self._turns(epochs, until_epoch)
        positive_int(batch_size, "fit", "batch_size")
        shuffle = true_or_false(shuffle, "fit", "shuffle")
        if steps_per_epoch is not None:
            positive_int(steps_per_epoch, "fit", "steps_per_epoch")
        named = {} if metrics == () else by_name(metrics)
        if isinstance(callbacks, Callback):
            raise TypeError(f"fit: expected callbacks as a list, got {callbacks!r}; write callbacks=[...]")
        given = list(callbacks)
        for callback in given:
            expect(callback, Callback, "fit: expected a callback")
        shown = [progress(turns, verbose, self.history.epochs if epochs is None else 0)] if verbose != 0 else []
        hooks: list[Callback | Display] = [*given, *(shown if self.writes else [])]
        hooks.sort(key=lambda callback: callback.called_last - callback.called_first)
        self.stepper.refuse_torn()
        if turns == 0:
            return self.history
        with self._refusable():
            tree = refuse_overlooked(self.model)
            feed = Feed(self.model, self.loss, self.rng, self.splits)
            feed.accept(x, target, sample_weight, validation)
            feed.pace(turns, steps_per_epoch, class_weight)
            warn_of_plain_arrays(tree)
            warn_of_outputs(self.model, self.loss)
            warn_of_frozen(tree)
            feed.divide(batch_size, named, shuffle=shuffle)
            self.underway = self.resumed.epoch if self.resumed else None
            if self.underway is not None:
                self.underway.agree(feed.settings)
                self.underway.measure(named)
            self.names = ("loss", *named)
            if feed.held_out is not None:
                self.names += tuple(f"validation_{name}" for name in self.names)
            self.history.interrupted, self.history.stopped = False, ""
            self.completed, self.callbacks, self.members = False, given, []
            self.stepper.bounds.forget()  # the model may have been changed since an earlier fit
            if hooks:
                (self.resumed or Resumed()).begin(self, hooks, given)
        shield, begun = self.stepper.shield, self.members
        try:
            with shield:
                try:
                    shield.open()
                    for turn in range(turns):
                        self._epoch(feed, hooks, strict=turn == 0)
                        if self.history.stopped:
                            break
                finally:
                    shield.closed = True  # so that no signal arrives between here and its end
            self.completed = True
        except KeyboardInterrupt as interrupt:
            first = interrupt.__context__  # of a signal that came before it, such as a batch system's
            if first is not None and not isinstance(first, Exception | KeyboardInterrupt):
                raise first from None
            if self.stepper.ranks is not None:
                self.stepper.ranks.tell(interrupt)
            self.history.interrupted = True
        finally:
            for member in begun:
                member.end(self)
        return self.history

    def _turns(self, epochs: int | None, until_epoch: int | None) -> int:
        """Return the number of epochs that a fit has to train."""
        if (epochs is None) == (until_epoch is None):
            given = "neither" if epochs is None else "both"
            raise TypeError(f"fit: expected epochs, or until_epoch to count those before too; got {given}")
        if until_epoch is None:
            return positive_int(epochs, "fit", "epochs")
        positive_int(until_epoch, "fit", "until_epoch")
        was_stopped = self.resumed is not None and self.resumed.completed and self.history.stopped
        return 0 if was_stopped else max(0, until_epoch - self.history.epochs)

    def stop(self, reason: str) -> None:
        """End the running fit after this epoch; the history records the reason.

        Parameters
        ----------
        reason : str
        """
        self.history.stopped = reason

    @contextmanager
    def _refusable(self) -> Iterator[None]:
        """Leave no trace of a fit that is refused within the block."""
        before, drawn, history = vars(self).copy(), self.rng.bit_generator.state, self.history
        ended = history.interrupted, history.stopped
        self.splits = dict(self.splits)
        try:
            yield
        except BaseException:
            self.rng.bit_generator.state = drawn
            history.interrupted, history.stopped = ended
            vars(self).update(before)
            raise

    def _epoch(self, feed: Feed, hooks: list[Callback | Display], *, strict: bool) -> None:
        stepper, shield, epoch = self.stepper, self.stepper.shield, self.underway
        self.epoch, self.batch, self.batches = self.history.epochs + 1, epoch.done if epoch else 0, feed.count
        if epoch is None:
            for callback in hooks:
                callback.epoch_begin(self)
            epoch = self.underway = feed.epoch()
        listeners = [callback for callback in hooks if callback.at_every_step]
        others_may_write = feed.is_stream or any(not type(each).__module__.startswith(OURS) for each in listeners)
        if self.callbacks:
            stepper.expect_changes()
        unheard = all(isinstance(each, Display) for each in listeners)
        chunks = partial(in_chunks, stepper) if isinstance(stepper, CompiledStepper) and unheard else None
        taken = feed.train(epoch, stepper, self.history, strict=strict, chunks=chunks)
        for self.batch in taken:
            self.resumed = None
            shield.open()
            for callback in listeners:
                callback.step_end(self)
            if others_may_write:
                stepper.expect_changes()
        found = epoch.means.values(f"fit: no sample of epoch {self.epoch} counts")
        if epoch.metrics:
            found |= numbers(values(epoch.metrics))
        if feed.held_out is not None:
            measures = numbers(evaluation(self.model, self.loss, feed.held_out, feed.metrics))
            found |= {f"validation_{name}": value for name, value in measures.items()}
        shield.closed = True
        self.history.append(found)
        self.underway = self.resumed = None
        shield.open()
        for callback in hooks:
            callback.epoch_end(self)
