"""Archive: named arrays and a page of JSON in one .npz file, which stands on disk whole or not at all."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Mapping
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


def npz_path(path: str | os.PathLike[str], owner: object) -> Path:
    """Return path as a Path, or say that such a file is not an .npz."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{called(owner)}: expected path as a str or Path, got {path!r:.60}")
    if Path(path).suffix != ".npz":
        raise ValueError(f"{called(owner)}: expected a path that ends in .npz, got {os.fspath(path)!r}")
    return Path(path)


def write_archive(path: Path, page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file beside path, bring it to the disk, and only then let it take path's place.

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
            _fill(file, page, arrays)
            file.write(_digest(file))  # over what keeps its place
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
        if file.seek(0, os.SEEK_END) <= SEAL or _digest(file) != file.read(SEAL):
            raise ValueError(
                f"{path}: damaged, cut off, or not written by nanonet: its last {SEAL} bytes are not the SHA-256 of "
                "the rest"
            )
        try:
            with zipfile.ZipFile(file) as archive:
                return _contents(archive)
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not written by nanonet, nothing of it was loaded: {error}") from None


def _fill(file: IO[bytes], page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the zip file, with room for the seal, and the same bytes for the same contents."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"0" * SEAL
        archive.writestr(zipfile.ZipInfo(PAGE), json.dumps(page, indent=1, allow_nan=False))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)


def _contents(archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    page = json.loads(archive.read(PAGE))
    if not isinstance(page, dict):
        raise ValueError(f"{PAGE} holds no table")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in archive.namelist():
        if name != PAGE:
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    return page, arrays


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
