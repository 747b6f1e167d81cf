"""Reducer: what several processes, called ranks, tell each other while they train one model together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import positive_int


class Reducer(ABC):
    """How the processes that train one model exchange numbers; :class:`nanonet.distributed.MPIReducer` uses MPI.

    A subclass sets ``rank`` and ``ranks``, then calls ``super().__init__(parts)``, and writes the methods below. Each
    of them is called by all ranks at the same time.

    Parameters
    ----------
    parts : int, optional
        Into how many parts each batch is cut, a multiple of the number of ranks, whose gradients are added up in one
        order: with as many parts, any number of ranks computes the same bits. Default: one for each rank, which is
        faster.

    Attributes
    ----------
    rank, ranks : int
        The number of this process, from 0, and how many there are.
    """

    rank: int
    ranks: int

    def __init__(self, parts: int | None = None) -> None:
        if parts is not None and positive_int(parts, type(self).__name__, "parts") % self.ranks:
            raise ValueError(
                f"{type(self).__name__}: expected parts as a multiple of the number of ranks, {self.ranks}, got {parts}"
            )
        self.parts = parts

    @abstractmethod
    def gather(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the arrays of all ranks, which have one shape, stacked along a new first axis.

        Parameters
        ----------
        numbers : array

        Returns
        -------
        array
        """

    @abstractmethod
    def gather_objects(self, thing: Any) -> list[Any]:
        """Return the objects of all ranks, in their order.

        Parameters
        ----------
        thing : object
            Of any kind that can be pickled.

        Returns
        -------
        list
        """

    @abstractmethod
    def exchange(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return, for an array with one row for each rank, the rows that all ranks have for this one.

        Parameters
        ----------
        numbers : array
            Shape (ranks, ...).

        Returns
        -------
        array
            Shape (ranks, ...).
        """

    @abstractmethod
    def add_up(self, numbers: npt.NDArray[Any]) -> None:
        """Replace an array by the sum of those of all ranks, the same bits on each.

        Parameters
        ----------
        numbers : array
            Changed in place.
        """

    @abstractmethod
    def broadcast(self, thing: Any) -> Any:
        """Return the object of rank 0.

        Parameters
        ----------
        thing : object
            Counts on rank 0 only.

        Returns
        -------
        object
        """


STEP, DONE, INTERRUPTED, FAILED = range(4)


class Ranks:
    """The agreement of the ranks: before each step they tell each other that all take it, and what they computed.

    Parameters
    ----------
    reducer : Reducer
    """

    def __init__(self, reducer: Reducer) -> None:
        self.reducer = reducer
        self.rank, self.ranks = reducer.rank, reducer.ranks
        self.parts = reducer.parts or reducer.ranks
        self.own = range(self.rank * self.parts // self.ranks, (self.rank + 1) * self.parts // self.ranks)
        self.dealt = 0  # samples of the batch of which the next step gets only those of this rank
        self._told = False  # whether the others know that this rank has stopped, or it knows that another has

    def agree(self, losses: npt.NDArray[np.float64], state: int = STEP, message: str = "") -> npt.NDArray[np.float64]:
        """Return loss and divisor of every part, shape (parts, 2), or raise what another rank has met."""
        table = self.reducer.gather(np.append(losses.ravel(), state))
        states = table[:, -1].astype(int)
        if states.any() and not (states == DONE).all():
            self._told = True
            messages = self.reducer.gather_objects(message)
            self._raise_others(states, messages)
        told: npt.NDArray[np.float64] = table[:, :-1].reshape(self.parts, 2)
        return told

    def deal(self, batch: slice) -> slice:
        """Return which samples of a batch are this rank's; the next step is to get only these."""
        self.dealt = batch.stop - batch.start
        rows = -(-self.dealt // self.parts)
        start, stop = (min(batch.start + rows * part, batch.stop) for part in (self.own.start, self.own.stop))
        return slice(start, stop)

    def confirm(self, loss: float, divisor: float) -> None:
        """Go on only if every rank has computed this for the same whole batch."""
        losses = self.agree(np.array([(loss, divisor)] * len(self.own)))
        if not np.allclose(losses, losses[0], rtol=1e-3):
            raise RuntimeError(
                f"the ranks computed different losses for the same batch, from {losses[:, 0].min():g} to "
                f"{losses[:, 0].max():g}: each needs the same data in the same order"
            )

    @contextmanager
    def together(self, *, until_done: bool) -> Iterator[None]:
        """Tell the others of an error or interrupt within the block; with until_done, also when it has ended well."""
        self._told = False
        try:
            yield
        except BaseException as error:
            self.tell(error)
            raise
        if until_done and not self._told:
            self.agree(self._nothing(), DONE)

    def tell(self, error: BaseException) -> None:
        """Tell the others why this rank does not go on, unless it knows that they do not either."""
        if not self._told:
            state = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
            self.agree(self._nothing(), state, f"{type(error).__name__}: {error}")

    def _nothing(self) -> npt.NDArray[np.float64]:
        return np.zeros((len(self.own), 2))

    def _raise_others(self, states: npt.NDArray[np.int_], messages: list[str]) -> None:
        """Raise for a rank that does not go on, unless it is this one."""
        if states[self.rank] in (INTERRUPTED, FAILED):
            return
        for rank in np.flatnonzero(states == FAILED):
            raise RuntimeError(f"rank {rank} failed, so that rank {self.rank} stops too: {messages[rank]}")
        if (states == INTERRUPTED).any():
            raise KeyboardInterrupt
        others = ", ".join(str(rank) for rank in np.flatnonzero(states != states[self.rank]))
        has = "has taken all its steps, and others have" if states[self.rank] == DONE else "takes a step, and others"
        raise RuntimeError(f"rank {self.rank} {has} not (rank {others}): every rank needs the same data and arguments")
