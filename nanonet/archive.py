"""Archive: named arrays and a page of JSON in one .npz file, which stands on disk whole or not at all."""

from __future__ import annotations

import errno
import glob
import hashlib
import io
import json
import math
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from nanonet.recorded import called

PAGE = "nanonet.json"
SEAL = 64  # the hexadecimal digits of a SHA-256: the comment of the zip file, and so its last bytes
CHUNK = 1 << 20  # bytes
HOUR = 3600  # seconds
UNFOLDED = 100  # how many times its own size a file may unfold to: weights hardly shrink, so more is a zip bomb
ALLOWED = 1 << 24  # bytes that any file may unfold to
HEADER = 1 << 14  # bytes; NumPy takes no header of an array that is longer

UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError),
    *(KeyError, IndexError, TypeError, ValueError, RuntimeError),  # RuntimeError: encrypted, or nested too deeply
)
"""What zipfile, json and NumPy raise where a file is no such file."""


def npz_path(path: str | os.PathLike[str], owner: object) -> Path:
    """Return path as a Path, or say that such a file is not an .npz."""
    return path_to(path, owner, ".npz")


def path_to(path: str | os.PathLike[str], owner: object, *suffixes: str, hint: str = "") -> Path:
    """Return path as a Path, or say that it does not end in one of the suffixes."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{called(owner)}: expected path as a str or Path, got {path!r:.60}")
    if Path(path).suffix not in suffixes:
        wanted = " or ".join(suffixes)
        raise ValueError(f"{called(owner)}: expected a path that ends in {wanted}, got {os.fspath(path)!r}{hint}")
    return Path(path)


def write_archive(path: Path, page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a sealed .npz file; see :func:`write_whole`."""

    def fill(file: IO[bytes]) -> None:
        _fill(file, page, arrays)
        file.write(_digest(file))  # over what keeps its place

    write_whole(path, fill)


def write_whole(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Let fill write a file beside path, bring it to the disk, and only then let it take path's place.

    A process that is killed meanwhile leaves the file beside path; the next that writes there removes such files once
    they are an hour old.

    Raises
    ------
    OSError
        If it cannot be written; it names path, and what stood there stands there still.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    beside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        _remove_leftovers(place)
        with open(beside, "w+b") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            told = f"{error.strerror}; not written, what it held before stands"
            raise OSError(error.errno, told, str(path)) from error
        raise
    with suppress(OSError):  # the file stands in its place; some file systems cannot sync a folder
        _sync_folder(place.parent)


def read_archive(path: Path) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the page and the arrays of a file, once it is known to be as it was written.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged, or no file that :func:`write_archive` wrote; it names path. Nothing in it is unpickled.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= SEAL or _digest(file) != file.read(SEAL):
            raise ValueError(
                f"{path}: damaged, cut off, or not written by nanonet: its last {SEAL} bytes are not the SHA-256 of "
                "the rest"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                page, arrays = contents(archive, size)
            if page is None:
                raise ValueError(f"it holds no {PAGE}")
            return page, arrays
        except (*UNREADABLE, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the file's first byte
                raise
            raise ValueError(f"{path}: not written by nanonet, nothing of it was loaded: {error}") from None


def _fill(file: IO[bytes], page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the zip file, with room for the seal, and the same bytes for the same contents."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"0" * SEAL
        archive.writestr(zipfile.ZipInfo(PAGE), json.dumps(page, indent=1, allow_nan=False))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def contents(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, Any] | None, dict[str, npt.NDArray[Any]]]:
    """Return the page, if there is one, and the arrays of a zip file that is size bytes long.

    What the file promises is compared with the bytes that are there before room is made for it.
    """
    members = archive.infolist()
    _check_members(members, size)
    page, arrays = None, {}
    for member in members:
        data = _unfolded(archive, member)
        if member.filename == PAGE:
            page = json.loads(data)
            if not isinstance(page, dict):
                raise ValueError(f"{PAGE} holds no table")
        else:
            arrays[member.filename.removesuffix(".npy")] = _array(data, member.filename)
    return page, arrays


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename.removesuffix(".npy") for member in members]
    if len(set(names)) < len(names):
        raise ValueError(f"it holds {next(name for name in names if names.count(name) > 1)} twice")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed in a way that NumPy does not use")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its parts are longer than the file, or lie one over another")
    promised = sum(member.file_size for member in members)
    if promised > UNFOLDED * size + ALLOWED:
        raise ValueError(f"its {size} bytes would unfold to {promised}, more than {UNFOLDED} times as many")


def _unfolded(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    """Return what a part holds, read piece by piece: zipfile itself would unfold all of it at once."""
    data = bytearray()
    with archive.open(member) as file:
        while piece := file.read(CHUNK):
            data += piece
    return data


def _array(data: bytearray, name: str) -> npt.NDArray[Any]:
    """Return the array that a .npy file holds, on the very bytes, in this machine's byte order."""
    file = io.BytesIO(data[:HEADER])
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name}: expected .npy of version 1.0 or 2.0, got {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, columns_first, dtype = read(file)
    except Exception as error:  # whatever Python's parser has to say, MemoryError and TokenError too
        raise ValueError(f"{name}: its header cannot be read: {error}") from None
    if dtype.hasobject:
        raise ValueError(f"Object arrays cannot be loaded: {name} is a pickle, which could run anything")
    start = file.tell()
    if dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected numbers, got dtype {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"{name}: {len(data) - start} bytes are no array of {dtype} {shape}")
    array: npt.NDArray[Any] = np.ndarray(shape, dtype, data, start, order="F" if columns_first else "C")
    return np.require(array, dtype.newbyteorder("="), ["A", "W"])


def _digest(file: IO[bytes]) -> bytes:
    """Return the SHA-256 of all but the seal, and stand before the seal."""
    left = file.seek(0, os.SEEK_END) - SEAL
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0:
        piece = file.read(min(CHUNK, left))
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest().encode()


def _remove_leftovers(place: Path) -> None:
    for beside in place.parent.glob(f".{glob.escape(place.name)}.*.tmp"):
        with suppress(OSError):
            if time.time() - beside.stat().st_mtime > HOUR:
                beside.unlink()


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk too."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
