"""Shield: defers signals while a step updates the parameters, so that a step is atomic."""

from __future__ import annotations

import importlib
import importlib.util
import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals whose Python handlers may raise: Ctrl-C, termination by a batch system, a time limit."""


# The module below signal, without the conversion to and from enums, which costs 2 us per call.
_raw: Any = importlib.import_module("_signal" if importlib.util.find_spec("_signal") else "signal")


class Shield:
    """Catches signals within a ``with`` block; while ``closed``, as initially, they are deferred until :meth:`open`.

    Only the main thread receives signals; in any other thread it does nothing.

    Attributes
    ----------
    up : bool
        Whether it catches signals: within the ``with`` block.
    closed : bool
        Whether signals are deferred.
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
            except BaseException:  # from a signal that was not yet covered
                self.__exit__()
                raise

    def __exit__(self, *raised: object) -> None:
        self.closed = True
        try:
            self._give_back()
        finally:
            self._give_back()  # the rest, if a signal reached a handler that had already been restored
            self.up = False
            self.open()

    def _give_back(self) -> None:
        while self._taken:
            number = self._taken[-1]
            now = _raw.signal(number, self._before[number])
            if now != self._take:  # another handler has been set since
                _raw.signal(number, now)
            self._taken.pop()

    def cover(self) -> None:
        """Catch the signals that have Python handlers, including handlers set since; the shield must be closed."""
        for number in SIGNALS:
            handler = _raw.getsignal(number)
            if callable(handler) and handler != self._take:
                self._before[number] = handler  # first, so that it is always restored
                self._taken.append(number)
                _raw.signal(number, self._take)

    def open(self) -> None:
        """Let signals through again, deferred ones first."""
        self.closed = False
        while self._waiting:
            number, frame = self._waiting.pop(0)
            if number in self._before:
                self._before[number](number, frame)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append((number, frame))
        if not (self.closed or _is_in_shield(frame)):
            self.open()


def _is_in_shield(frame: FrameType | None) -> bool:
    """Tell whether a signal arrived in the code above or in a function called by it; it is deferred there too."""
    return frame is not None and any(
        each is not None and each.f_code.co_filename == __file__ for each in (frame, frame.f_back)
    )
