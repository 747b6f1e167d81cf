"""Shield: lets signals wait while a step changes numbers, so that a step is taken whole or not at all."""

from __future__ import annotations

import inspect
import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)
"""Those whose handlers, where Python has any for them, may raise: Ctrl-C, a batch system's end, a time limit."""


# Without the enums that the signal module makes of what they take and give, which cost 2 us a call.
_set_handler: Any = inspect.unwrap(signal.signal)
_handler: Any = inspect.unwrap(signal.getsignal)


class Shield:
    """Takes signals within a ``with`` block; while ``closed``, as it is at first, they wait until :meth:`open`.

    Only the main thread gets signals at all; in another there is nothing to take.

    Attributes
    ----------
    up : bool
        Whether it takes signals: within the ``with`` block.
    closed : bool
        Whether they have to wait.
    """

    def __init__(self) -> None:
        self.up = self.closed = False
        self._waiting: list[tuple[int, FrameType | None]] = []
        self._before: dict[int, Any] = {}
        self._taken: list[int] = []

    def __enter__(self) -> None:
        self.closed = self.up = True
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            try:
                self.cover()
            except BaseException:  # of a signal that was not covered yet
                self.__exit__()
                raise

    def __exit__(self, *raised: object) -> None:
        self.closed = True
        try:
            self._give_back()
        finally:
            self._give_back()  # what is left where a signal came to a handler that had been given back already
            self.up = False
            self.open()

    def _give_back(self) -> None:
        while self._taken:
            number = self._taken[-1]
            now = _set_handler(number, self._before[number])
            if now != self._take:  # somebody has set another since
                _set_handler(number, now)
            self._taken.pop()

    def cover(self) -> None:
        """Take the signals that have handlers in Python, those too that were set since; it has to be closed."""
        for number in SIGNALS:
            handler = _handler(number)
            if callable(handler) and handler != self._take:
                self._before[number] = handler  # first, so that it is given back whatever comes
                self._taken.append(number)
                _set_handler(number, self._take)

    def open(self) -> None:
        """Let signals through again, and those first that have waited."""
        self.closed = False
        while self._waiting:
            number, frame = self._waiting.pop(0)
            if number in self._before:
                self._before[number](number, frame)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append((number, frame))
        if not (self.closed or _is_of_shields(frame)):
            self.open()


def _is_of_shields(frame: FrameType | None) -> bool:
    """Tell whether a signal came in the middle of the code above, or of a call that it makes; it waits there too."""
    return frame is not None and any(
        each is not None and each.f_code.co_filename == __file__ for each in (frame, frame.f_back)
    )
