"""Shield: lets Ctrl-C wait while a step changes numbers, so that a step is taken whole or not at all."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Shield:
    """Stands between Ctrl-C and what runs in a ``with`` block; while ``closed``, Ctrl-C waits until :meth:`open`.

    Only the main thread gets Ctrl-C at all; in another there is nothing to stand before.

    Attributes
    ----------
    up : bool
        Whether it stands: within the ``with`` block.
    closed : bool
        Whether Ctrl-C has to wait.
    """

    def __init__(self) -> None:
        self.up = self.closed = False
        self._waiting: tuple[int, FrameType | None] | None = None
        self._before: Any = None

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._take)
        self.up = True

    def __exit__(self, *raised: object) -> None:
        self.up = False
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def open(self) -> None:
        """Let Ctrl-C through again, and the one that has waited first."""
        self.closed = False
        if self._waiting is not None:
            (number, frame), self._waiting = self._waiting, None
            self._before(number, frame)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.closed:
            self._waiting = number, frame
        else:
            self._before(number, frame)
