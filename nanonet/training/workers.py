"""Workers: threads that share a large step, the parts of its batch and the blocks of its update."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from nanonet.core.checks import positive_int

S = TypeVar("S")
T = TypeVar("T")


class Workers:
    """A number of threads, the calling one among them; the others are started when first needed.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self.count = positive_int(count, "Trainer", "workers")
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "_pool": None, "_process": 0}

    def map(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """Return the function of each item, in order; of several errors the first in that order is raised.

        When it returns or raises, no thread is still at work.
        """
        if self.count == 1 or len(items) == 1:
            return [function(item) for item in items]
        waiting, results = deque(enumerate(items)), dict[int, T]()
        errors: dict[int, BaseException] = {}

        def work() -> None:
            with np.errstate(all="ignore"):
                while waiting and not errors:
                    try:
                        i, item = waiting.popleft()
                    except IndexError:  # another thread took the last
                        return
                    try:
                        results[i] = function(item)
                    except BaseException as error:
                        errors[i] = error

        others = [self._started().submit(work) for _ in range(min(self.count, len(items)) - 1)]
        try:
            work()
        finally:
            waiting.clear()
            wait(others)
        if errors:
            raise errors[min(errors)]
        return [results[i] for i in range(len(items))]

    def _started(self) -> ThreadPoolExecutor:
        """Return the pool; a new one in a forked process, which has the memory of its parent but not its threads."""
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.count - 1, thread_name_prefix="nanonet")
            self._process = os.getpid()
        return self._pool

    def rest(self) -> None:
        """End the threads; they are started again when needed."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None
