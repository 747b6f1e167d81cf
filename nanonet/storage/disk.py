"""Disk: a file is written whole or not at all, and read only where it is a regular file that keeps still."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

PIECE = 1 << 20  # bytes that are read or written at a time
HOUR = 3600  # seconds


def write_whole(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Let fill write a file beside path, bring it to the disk, and only then let it take path's place.

    The file beside it has a name that nobody can foresee and that nobody else has: of two that write to one path at
    once, the later one's file stays, whole. A process that is killed meanwhile leaves it; the next that writes there
    removes such files once they are an hour old.

    Raises
    ------
    OSError
        If it cannot be written; it names path, and what stood there stands there still.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    beside = place.with_name(f"{_hidden(place)}{os.urandom(8).hex()}.tmp")
    try:
        _remove_leftovers(place)
        with open(beside, "x+b") as file:  # O_EXCL: what has this name already, a link too, is never opened
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException as error:
        if not isinstance(error, FileExistsError):
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            told = f"{error.strerror}; not written, what it held before stands"
            raise OSError(error.errno, told, str(path)) from error
        raise
    with suppress(OSError):  # the file stands in its place; some file systems cannot sync a folder
        _sync_folder(place.parent)


def _hidden(place: Path) -> str:
    """Return how the files beside a place begin: of one length, since the place's own name may be as long as any."""
    return f".nanonet-{hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]}-"


def _remove_leftovers(place: Path) -> None:
    for beside in place.parent.glob(f"{_hidden(place)}*.tmp"):
        with suppress(OSError):
            if time.time() - beside.lstat().st_mtime > HOUR:
                beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


# ---- reading


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to be read.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it is a device, a pipe or a socket, which may have no end, or nothing to say; it names path.
    """
    file = open(path, "rb", opener=_at_once)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path}: expected a regular file, got a device or a pipe; copy what it gives into a file")
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # else a pipe waits for one who writes


def read_whole(path: Path) -> bytes:
    """Return all that a regular file holds."""
    with open_regular(path) as file:
        return b"".join(pieces(file, os.fstat(file.fileno()).st_size))


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next bytes of a file, so many, piece by piece; raise ValueError where it has fewer."""
    while size > 0:
        piece = file.read(min(PIECE, size))
        if not piece:
            raise ValueError("it changed while it was read")
        yield piece
        size -= len(piece)
