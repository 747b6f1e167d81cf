"""Archive: named arrays and a page of JSON in one .npz file, written atomically."""

from __future__ import annotations

import functools
import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.storage.disk import digest_of, open_regular, write_whole
from nanonet.storage.stored_array import Entry, Stored, blocks_of, reading

PAGE = "nanonet.json"
SEAL = 64  # the hexadecimal digits of a SHA-256: the comment of the zip file, and so its last bytes
UNFOLDED = 100  # maximum compression ratio of a file: weights hardly compress, so more is a zip bomb
ALLOWED = 1 << 24  # bytes that any file may decompress to
HEADER = 1 << 14  # bytes; NumPy rejects longer array headers
LONGEST_PAGE = 1 << 26  # bytes

Page = dict[str, Any]


# ---- pages


def page_text(page: Mapping[str, Any], indent: int | None = None) -> str:
    """Return a page as JSON, or raise ValueError if it is too long to be read again."""
    text = json.dumps(page, indent=indent, allow_nan=False)
    if len(text) > LONGEST_PAGE:
        raise ValueError(f"the description of this model is {len(text)} bytes long; a file takes {LONGEST_PAGE}")
    return text


def page_of(text: bytes | bytearray | str) -> Page:
    """Parse a page from JSON."""
    if len(text) > LONGEST_PAGE:
        raise ValueError(f"its page is {len(text)} bytes long, more than {LONGEST_PAGE}")
    page = json.loads(text)
    if not isinstance(page, dict):
        raise ValueError("its page is not a table")
    return page


# ---- writing


def write_archive(path: Path, page: Mapping[str, Any], arrays: Mapping[str, Numbers]) -> None:
    """Write an .npz file with a checksum, atomically and without copying the arrays; see :func:`write_whole`."""

    def fill(file: IO[bytes]) -> None:
        _fill(file, page, arrays)
        file.write(_digest(file))  # over its placeholder

    write_whole(path, fill)


def _fill(file: IO[bytes], page: Mapping[str, Any], arrays: Mapping[str, Numbers]) -> None:
    """Write the zip file, with a placeholder for the seal; the same contents give the same bytes."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"0" * SEAL
        archive.writestr(zipfile.ZipInfo(PAGE), page_text(page, indent=1))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                _write_array(member, np.asarray(array))


def _write_array(file: IO[bytes], array: Numbers) -> None:
    """Write a .npy file, row by row."""
    header = np.lib.format.header_data_from_array_1_0(array) | {"fortran_order": False}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks_of(array, array.dtype):
        file.write(block)


def _digest(file: IO[bytes]) -> bytes:
    """Return the SHA-256 of all but the seal, leaving the file positioned at the seal."""
    size = file.seek(0, os.SEEK_END) - SEAL
    file.seek(0)
    return digest_of(file, size)


# ---- reading


def read_archive(path: Path) -> tuple[Page, dict[str, Numbers]]:
    """Return the page and the arrays of a file after verifying it; see :func:`open_archive`."""
    with open_archive(path) as (page, stored):
        return page, dict(stored)


@contextmanager
def open_archive(path: Path) -> Iterator[tuple[Page, Stored]]:
    """Open a file, verify it, and yield its page and its arrays, to be read within the context.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged, or was not written by :func:`write_archive`; it names path. Nothing is unpickled.
    """
    with open_regular(path) as file:
        yield _verified(path, file)


@contextmanager
def open_npz(path: Path) -> Iterator[tuple[Page | None, Stored]]:
    """Like :func:`open_archive`, but also for .npz files of others, which have no page and no seal."""
    problem = "not a complete .npz file of numbers, nothing was loaded"
    with open_regular(path) as file:
        with reading(path, problem):
            ours = PAGE in zipfile.ZipFile(file).NameToInfo
            found = None if ours else _contents(path, file, problem)
        yield found or _verified(path, file)


def _verified(path: Path, file: IO[bytes]) -> tuple[Page, Stored]:
    """Return the page and the arrays of an open file whose seal is checked first."""
    size = file.seek(0, os.SEEK_END)
    with reading(path, "nothing of it was loaded"):
        whole = size > SEAL and _digest(file) == file.read(SEAL)
    if not whole:
        raise ValueError(
            f"{path}: damaged, cut off, or not written by nanonet: its last {SEAL} bytes are not the SHA-256 of "
            "the rest"
        )
    problem = "not written by nanonet, nothing of it was loaded"
    with reading(path, problem):
        page, stored = _contents(path, file, problem)
        if page is None:
            raise ValueError(f"it holds no {PAGE}")
    return page, stored


def _contents(path: Path, file: IO[bytes], problem: str) -> tuple[Page | None, Stored]:
    """Return the page of an open file, if there is one, and its arrays.

    Declared sizes are checked against the size of the file before memory is allocated.
    """
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    _check_members(members, file.seek(0, os.SEEK_END))
    page, parts = None, {}
    for member in members:
        if member.filename == PAGE:
            page = page_of(archive.read(member))
        else:
            parts[member.filename.removesuffix(".npy")] = _Part(archive, member)
    return page, Stored(path, problem, file, parts)


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    refuse_twice(member.filename.removesuffix(".npy") for member in members)
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{member.filename} is compressed in a way that NumPy does not use")
        is_folded = member.compress_type != zipfile.ZIP_STORED
        if member.filename == PAGE and (is_folded or member.file_size > LONGEST_PAGE):
            raise ValueError(f"{PAGE} is compressed, or longer than {LONGEST_PAGE} bytes")
        if not is_folded and member.file_size != member.compress_size:
            raise ValueError(f"{member.filename} has two sizes")
    refuse_bomb(members, size)


def refuse_twice(names: Iterable[str]) -> None:
    """Raise ValueError if a name comes twice."""
    (name, times), *_ = Counter(names).most_common(1) or [("", 0)]
    if times > 1:
        raise ValueError(f"it holds {name} twice")


def refuse_bomb(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError if the members of a zip file of this size promise what cannot be, before memory is allocated."""
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its parts are longer than the file, or overlap")
    promised = sum(member.file_size for member in members)
    if promised > UNFOLDED * size + ALLOWED:
        raise ValueError(f"its {size} bytes would decompress to {promised}, more than {UNFOLDED} times as many")


class _Part(Entry):
    """An array in a zip file, in NumPy's format."""

    def __init__(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        self._archive, self._member, name = archive, member, member.filename
        with archive.open(member) as file:
            head = file.read(HEADER)
        try:
            dtype, shape, columns_first, self._start = _form(head[: _header_size(head)])
        except Exception as error:  # anything that Python's parser raises, including MemoryError and TokenError
            raise ValueError(f"{name}: its header cannot be read: {error}") from None
        if dtype.hasobject:
            raise ValueError(f"Object arrays cannot be loaded: {name} is a pickle, which could run anything")
        if dtype.kind not in "fiub":
            raise ValueError(f"{name}: expected numbers, got dtype {dtype}")
        super().__init__(name, dtype, shape, member.file_size - self._start, columns_first)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Yield a file positioned at the array's bytes; afterwards, check that they end there."""
        with self._archive.open(self._member) as file:
            file.read(self._start)
            yield file
            if file.read(1):  # zipfile verifies the checksum only at the end of a part
                raise ValueError(f"{self._member.filename} is longer than it says")


def _header_size(head: bytes) -> int:
    """Return the length of the header of a .npy file."""
    version = np.lib.format.read_magic(io.BytesIO(head))
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"expected .npy of version 1.0 or 2.0, got {version}")
    digits = 2 if version == (1, 0) else 4
    return 8 + digits + int.from_bytes(head[8 : 8 + digits], "little")


@functools.lru_cache(maxsize=1024)  # a deep net has many arrays of few shapes
def _form(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """Parse the header of a .npy file; return its contents and its length."""
    file = io.BytesIO(header)
    read = np.lib.format.read_array_header_1_0
    if np.lib.format.read_magic(file) == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file)
    return dtype, shape, columns_first, file.tell()
