"""Stored: the arrays of an open file, each read lazily, piece by piece."""

from __future__ import annotations

import errno
import math
import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from nanonet.core.arrays import Numbers, Shape

Order = Literal["C", "F"]
Flag = Literal["external_loop", "buffered", "zerosize_ok"]

BLOCK = 1 << 17  # entries of an array that are buffered at a time
FLAGS: Sequence[Flag] = ("external_loop", "buffered", "zerosize_ok")

UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError),
    *(KeyError, IndexError, TypeError, ValueError, RuntimeError),  # RuntimeError: encrypted, or nested too deeply
)
"""What zipfile, json and NumPy raise for invalid files."""


@contextmanager
def reading(path: Path, problem: str) -> Iterator[None]:
    """Convert errors in reading a file to ValueError, which names path."""
    try:
        yield
    except (*UNREADABLE, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # an offset before the first byte
            raise
        raise ValueError(f"{path}: {problem}: {error}") from None


class Form(NamedTuple):
    """Dtype, in native byte order, and shape of an array, known before it is read."""

    dtype: np.dtype[Any]
    shape: Shape
    columns_first: bool = False

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


class Entry(ABC):
    """An array's location in a file, where its dtype may have another byte order.

    Raises
    ------
    ValueError
        If an array of this shape does not take as many bytes as the file says.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], shape: Shape, size: int, columns_first: bool = False) -> None:
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"{name}: {size} bytes are no array of {dtype} {shape}")
        self.dtype, self.form = dtype, Form(dtype.newbyteorder("="), shape, columns_first)

    @abstractmethod
    def open(self) -> AbstractContextManager[IO[bytes]]:
        """Yield a file positioned at its first byte."""

    def numbers(self, data: bytes) -> Numbers:
        """Decode some of its bytes."""
        return np.frombuffer(data, self.dtype)


class Stored(Mapping[str, Numbers]):
    """The arrays of an open file by name, each loaded on access.

    Parameters
    ----------
    path : Path
    problem : str
        Start of error messages about the file.
    file : binary file
        Open, and unchanged since its contents were checked, which every read verifies.
    entries : mapping
    """

    def __init__(self, path: Path, problem: str, file: IO[bytes], entries: Mapping[str, Entry]) -> None:
        self.path, self._problem, self._file, self._entries = path, problem, file, entries
        self._stamp = self._stamped()

    @property
    def forms(self) -> dict[str, Form]:
        """Dtype and shape of each array, without reading it."""
        return {name: entry.form for name, entry in self._entries.items()}

    def copy_into(self, place: Numbers, name: str) -> None:
        """Read an array into an existing one of its shape and dtype, of any memory layout.

        Raises
        ------
        ValueError
            If it is damaged, or the file has changed since it was opened. Part of place may have been written.
        """
        entry = self._entries[name]
        assert (place.dtype, place.shape) == entry.form[:2], f"{name} is {entry.form}"
        with reading(self.path, self._problem), entry.open() as file:
            order: Order = "F" if entry.form.columns_first else "C"
            with np.nditer(place, FLAGS, ["writeonly"], order=order, buffersize=BLOCK) as blocks:
                for _ in blocks:
                    size = blocks[0].size * entry.dtype.itemsize
                    data = file.read(size)
                    if len(data) < size:
                        raise ValueError(f"{name} is cut off")
                    blocks[0] = entry.numbers(data)
        if self._stamped() != self._stamp:
            raise ValueError(f"{self.path}: {self._problem}: it changed while it was read")

    def _stamped(self) -> tuple[int, int]:
        about = os.fstat(self._file.fileno())
        return about.st_size, about.st_mtime_ns

    def __getitem__(self, name: str) -> Numbers:
        form = self._entries[name].form
        with reading(self.path, self._problem):
            array: Numbers = np.empty(form.shape, form.dtype, order="F" if form.columns_first else "C")
        self.copy_into(array, name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def blocks_of(array: Numbers, dtype: np.dtype[Any]) -> Iterator[bytes]:
    """Yield the bytes of an array in C order, block by block, whatever its memory layout."""
    with np.nditer(array, FLAGS, op_dtypes=dtype, casting="equiv", order="C", buffersize=BLOCK) as blocks:
        for _ in blocks:
            yield blocks[0].tobytes()
