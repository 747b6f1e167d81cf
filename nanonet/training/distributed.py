"""nanonet.distributed: several processes, on one machine or many, train one model, by MPI."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.checks import optional
from nanonet.training.reducer import Reducer as Reducer


class MPIReducer(Reducer):
    """Exchanges numbers by MPI between the processes that ``mpiexec -n 4 python train.py`` starts.

    Requires the extra ``nanonet[mpi]``. An exception that ends one of the processes ends them all.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm, optional
        Default: all processes.
    parts : int, optional
        Into how many parts each batch is cut, a multiple of the number of ranks, whose gradients are added up in one
        order: with as many parts, any number of ranks computes the same bits. Default: one for each rank, which is
        faster.

    Examples
    --------
    >>> from nanonet import CrossEntropy, Adam, Trainer
    >>> from nanonet.training.distributed import MPIReducer
    >>> trainer = Trainer(  # doctest: +SKIP
    ...     model, loss=CrossEntropy(), optimizer=Adam(), reducer=MPIReducer()
    ... )
    """

    def __init__(self, communicator: Any = None, *, parts: int | None = None) -> None:
        self._given = communicator
        self._connect()
        super().__init__(parts)
        if self.ranks > 1:
            end_all_by_error(self._communicator)

    def _connect(self) -> None:
        self._mpi = optional("MPIReducer", "mpi4py", "mpi", "mpi4py.MPI")
        if self._given == self._mpi.COMM_WORLD:
            self._given = None
        self._communicator = self._mpi.COMM_WORLD if self._given is None else self._given
        self.rank, self.ranks = self._communicator.Get_rank(), self._communicator.Get_size()

    def __getstate__(self) -> dict[str, Any]:
        if self._given is not None:
            raise TypeError("MPIReducer: a communicator of your own cannot be copied; make a new trainer instead")
        return {"_given": None, "parts": self.parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connect()

    def gather(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the arrays of all ranks, stacked."""
        whole = np.empty((self.ranks, *numbers.shape), numbers.dtype)
        self._communicator.Allgather(np.ascontiguousarray(numbers), whole)
        return whole

    def gather_objects(self, thing: Any) -> list[Any]:
        """Return the objects of all ranks."""
        things: list[Any] = self._communicator.allgather(thing)
        return things

    def exchange(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the rows that all ranks have for this one."""
        received = np.empty_like(numbers)
        self._communicator.Alltoall(numbers, received)
        return received

    def add_up(self, numbers: npt.NDArray[Any]) -> None:
        """Replace an array by the sum over the ranks."""
        self._communicator.Allreduce(self._mpi.IN_PLACE, numbers)

    def broadcast(self, thing: Any) -> Any:
        """Return the object of rank 0."""
        return self._communicator.bcast(thing)


FORWARDED = 0.5  # seconds in which mpiexec takes in what was written; what it has not when all end is lost


def end_all_by_error(communicator: Any) -> None:
    """Let an exception that ends this process end all of them: the others would wait for it forever."""
    shown = sys.excepthook

    def end_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        shown(kind, error, trace)
        sys.stderr.flush()
        time.sleep(FORWARDED)
        communicator.Abort(1)

    sys.excepthook = end_all
