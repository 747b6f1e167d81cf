"""Disk: the paths that users pass in, atomic writes, and reads restricted to regular files."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from nanonet.core.objects import called

PIECE = 1 << 20  # bytes that are read or written at a time
HOUR = 3600  # seconds


def npz_path(path: str | os.PathLike[str], owner: object) -> Path:
    """Return path as a Path, or raise if it does not end in .npz."""
    return path_to(path, owner, ".npz")


def path_to(path: str | os.PathLike[str], owner: object, *suffixes: str, hint: str = "") -> Path:
    """Return path as a Path, or raise if it does not end in one of the suffixes."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{called(owner)}: expected path as a str or Path, got {path!r:.60}")
    if Path(path).suffix not in suffixes:
        wanted = " or ".join(suffixes)
        raise ValueError(f"{called(owner)}: expected a path that ends in {wanted}, got {os.fspath(path)!r}{hint}")
    return Path(path)


def write_whole(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically: fill writes a temporary file next to path, which is synced and then replaces path.

    The temporary file has a unique, unpredictable name: of two concurrent writers, the later one wins, with a complete
    file. A killed process leaves its temporary file behind; later writers remove those older than an hour.

    Raises
    ------
    OSError
        If it cannot be written; it names path, and an existing file is left untouched.
    """
    place = Path(os.path.realpath(path))  # keeps a symbolic link
    beside = place.with_name(f"{_hidden(place)}{os.urandom(8).hex()}.tmp")
    try:
        _remove_leftovers(place)
        with open(beside, "x+b") as file:  # O_EXCL: never opens an existing file or link
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException as error:
        if not isinstance(error, FileExistsError):
            with suppress(OSError):
                beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = f"{error.strerror}; not written, an existing file is left untouched"
            raise OSError(error.errno, reason, str(path)) from error
        raise
    with suppress(OSError):  # the file is in place; some file systems cannot sync a folder
        _sync_folder(place.parent)


def _hidden(place: Path) -> str:
    """Return the prefix of temporary files for a path; of fixed length, since the path's own name may be very long."""
    return f".nanonet-{hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]}-"


def _remove_leftovers(place: Path) -> None:
    for beside in place.parent.glob(f"{_hidden(place)}*.tmp"):
        with suppress(OSError):
            if time.time() - beside.lstat().st_mtime > HOUR:
                beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Sync the new directory entry too."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


# ---- reading


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it is a device, a pipe or a socket, which may be endless or block; it names path.
    """
    file = open(path, "rb", opener=_at_once)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{path}: expected a regular file, got a device or a pipe; copy its output to a file first")
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # otherwise a pipe blocks until there is a writer


def read_whole(path: Path, start: int = 0, size: int | None = None) -> bytes:
    """Return the contents of a regular file, or size bytes of it."""
    with open_regular(path) as file:
        file.seek(start)
        return b"".join(pieces(file, os.fstat(file.fileno()).st_size if size is None else size))


def digest_of(file: IO[bytes], size: int, head: bytes = b"") -> bytes:
    """Return the SHA-256 of head and the next size bytes of a file, as hexadecimal digits."""
    digest = hashlib.sha256(head)
    for piece in pieces(file, size):
        digest.update(piece)
    return digest.hexdigest().encode()


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next size bytes of a file in pieces; raise ValueError if it has fewer."""
    while size > 0:
        piece = file.read(min(PIECE, size))
        if not piece:
            raise ValueError("it changed while it was read")
        yield piece
        size -= len(piece)
