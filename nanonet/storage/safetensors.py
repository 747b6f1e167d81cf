"""safetensors: named arrays in the format in which PyTorch users exchange weights, which executes no code.

A file consists of the length of the header in eight bytes, the header, which is JSON and gives the offsets of the
arrays, and the arrays. It is read and written here piece by piece, unlike in the package of that name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from nanonet.core.arrays import Numbers
from nanonet.storage.archive import Page, page_of, page_text
from nanonet.storage.disk import digest_of, open_regular, pieces, write_whole
from nanonet.storage.stored_array import Entry, Stored, blocks_of, reading

PAGE = "nanonet"  # the key of the page among a file's metadata, which are strings
DIGEST = "nanonet.sha256"  # the key of the SHA-256 of the whole file, with its own 64 digits set to 0
SEALED = "sealed"  # marks a page that was written with a digest; nanonet 0.1 wrote none
ZEROS = b"0" * 64
LONGEST = 100_000_000  # bytes of a header, as in the package
AXES = 64  # NumPy has no more
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?"},
    **{f"{sign}{8 * size}": f"<{sign.lower()}{size}" for sign in "IU" for size in (1, 2, 4, 8)},
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


# ---- writing


def write(path: Path, page: Mapping[str, Any], arrays: Mapping[str, Numbers]) -> None:
    """Write a file atomically, without copying the arrays; see :func:`nanonet.storage.disk.write_whole`."""
    head, dtypes = _head(path, page, arrays)

    def fill(file: IO[bytes]) -> None:
        file.write(head)
        for name, dtype in dtypes.items():
            for block in blocks_of(arrays[name], dtype):
                file.write(block)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        digest = digest_of(file, size)
        file.seek(head.index(ZEROS))
        file.write(digest)

    write_whole(path, fill)


def _head(path: Path, page: Mapping[str, Any], arrays: Mapping[str, Numbers]) -> tuple[bytes, dict[str, np.dtype[Any]]]:
    """Return everything before the arrays, and their dtypes in storage order: the widest first."""
    header: dict[str, Any] = {"__metadata__": {DIGEST: ZEROS.decode(), PAGE: page_text({**page, SEALED: True})}}
    dtypes, start = {}, 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):
        dtype = dtypes[name] = array.dtype.newbyteorder("<")
        if dtype not in NAMES or name in header:
            raise ValueError(f"{path}: not written: the format cannot hold {name} of dtype {array.dtype}")
        stop = start + array.nbytes
        header[name] = {"dtype": NAMES[dtype], "shape": array.shape, "data_offsets": (start, stop)}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    if len(text) > LONGEST:
        raise ValueError(f"{path}: not written: its header is {len(text)} bytes long; a file takes {LONGEST}")
    return len(text).to_bytes(8, "little") + text, dtypes


# ---- reading


@contextmanager
def opened(path: Path) -> Iterator[tuple[Page | None, Stored]]:
    """Open a file and yield its page, if there is one, and its arrays, to be read within the context.

    A file with a digest is verified first.
    """
    problem = "not a complete .safetensors file of numbers, nothing was loaded"
    with open_regular(path) as file:
        with reading(path, problem):
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            text = _header(file, size)
            header = json.loads(text.decode(), object_pairs_hook=_table)
            metadata = header.pop("__metadata__", {})
            _check_digest(file, size, text, metadata)
            page = page_of(metadata[PAGE]) if PAGE in metadata else None
            if page is not None and SEALED in page and DIGEST not in metadata:
                raise ValueError("it was written with a digest, which is missing")
            stored = Stored(path, problem, file, _parts(file, header, 8 + len(text), size))
        yield page, stored


def _header(file: IO[bytes], size: int) -> bytes:
    """Return the header's bytes after checking its length."""
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(size - 8, LONGEST):
        raise ValueError(f"a header of {length} bytes is impossible in a file of {size}")
    text = b"".join(pieces(file, length))
    if not text.startswith(b"{"):
        raise ValueError("its header is not a table")
    return text


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("its header has a duplicate name")
    return table


def _check_digest(file: IO[bytes], size: int, text: bytes, metadata: Any) -> None:
    """Raise ValueError for invalid metadata or a wrong digest; file is positioned after its header."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not a table of strings")
    if DIGEST not in metadata:
        return
    written = metadata[DIGEST].encode()
    if len(written) != len(ZEROS) or text.count(written) != 1:
        raise ValueError(f"its {DIGEST} is invalid")
    head = len(text).to_bytes(8, "little") + text.replace(written, ZEROS)
    if digest_of(file, size - 8 - len(text), head) != written:
        raise ValueError(
            f"damaged: its SHA-256 does not match {DIGEST} in its metadata; to change a file on purpose, remove that "
            "entry and the other one of nanonet"
        )


def _parts(file: IO[bytes], header: Mapping[str, Any], start: int, size: int) -> dict[str, _Part]:
    """Return the location of each array; together they must fill the file after the header."""
    parts = {name: _Part(file, name, table, start) for name, table in header.items()}
    end = start
    for part in sorted(parts.values(), key=lambda part: (part.start, part.size)):
        if part.start != end:
            raise ValueError("its arrays overlap, or leave a gap")
        end += part.size
    if end != size:
        raise ValueError(f"its arrays end at byte {end}, and the file at {size}")
    return parts


class _Part(Entry):
    """An array in such a file."""

    def __init__(self, file: IO[bytes], name: str, table: Any, start: int) -> None:
        match table:
            case {"dtype": str(kind), "shape": [*shape], "data_offsets": [first, last], **more} if not more:
                pass
            case _:
                raise ValueError(f"{name} is not a valid entry")
        if kind != "BF16" and kind not in DTYPES:
            raise ValueError(f"{name} is of dtype {kind}, which NumPy does not have")
        if len(shape) > AXES or not all(type(number) is int and number >= 0 for number in [*shape, first, last]):
            raise ValueError(f"{name} has an invalid shape or offsets")
        self._file, self.start, self.size = file, start + first, last - first
        self.is_half = kind == "BF16"  # NumPy has no bfloat16, the upper half of a float32
        super().__init__(name, np.dtype("<u2" if self.is_half else DTYPES[kind]), tuple(shape), self.size)
        if self.is_half:
            self.form = self.form._replace(dtype=np.dtype(np.float32))

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Yield the file, positioned at the array."""
        self._file.seek(self.start)
        yield self._file

    def numbers(self, data: bytes) -> Numbers:
        """Decode some of its bytes."""
        numbers = super().numbers(data)
        return (numbers.astype(np.uint32) << 16).view(np.float32) if self.is_half else numbers
