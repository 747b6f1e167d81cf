"""TensorBoard: writes the history to an event file, a format of few fields, so that training needs no further package.

The format is that of TensorFlow's records: each has its length, its bytes, and a masked CRC-32C of both. The bytes are
an Event in the encoding of Protocol Buffers (tensorboard/compat/proto/event.proto and summary.proto).
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from nanonet.training.trainer import Callback, Trainer


class TensorBoard(Callback):
    """Writes the numbers of each epoch, and the learning rate, to an event file that TensorBoard displays.

    ``pip install tensorboard``, then ``tensorboard --logdir runs`` on any machine that sees the folder, during training
    or later. Writing it needs neither TensorBoard nor TensorFlow. A name such as "0.weight/update_ratio", which
    :class:`nanonet.LayerMonitor` records, is displayed in a group "0.weight".

    Parameters
    ----------
    folder : str or Path
        A folder for this run, such as "runs/adam"; made if it is missing. Every fit writes a new file into it, and
        TensorBoard drops what an earlier file has of the same epochs, as after a resume.

    Raises
    ------
    OSError
        If the file cannot be written, before the first step.

    Examples
    --------
    >>> TensorBoard("runs/adam")
    TensorBoard('runs/adam')
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def fit_begin(self, trainer: Trainer) -> None:
        """Create the file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.path = self.folder / f"events.out.tfevents.{time.time_ns()}.nanonet"
        with open(self.path, "xb") as file:
            file.write(record(event(version="brain.Event:2")))
            file.write(record(event(step=trainer.history.epochs + 1, starts=True)))

    def epoch_end(self, trainer: Trainer) -> None:
        """Write the epoch's numbers."""
        numbers = {name: trainer.history[name][-1] for name in trainer.names}
        with open(self.path, "ab") as file:
            file.write(record(event(step=trainer.epoch, numbers=numbers | {"learning_rate": trainer.learning_rate})))


# ---- the file


def record(content: bytes) -> bytes:
    """Return bytes as a record: length, checksum of the length, content, checksum of the content."""
    length = struct.pack("<Q", len(content))
    return length + _masked(length) + content + _masked(content)


def _masked(content: bytes) -> bytes:
    """Return a checksum rotated by 15 bits, plus a constant, so that checksums of checksums stay useful."""
    crc = crc32c(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> Iterator[int]:
    """Yield the remainder of each byte by the polynomial of Castagnoli (1993), its bits reversed."""
    for byte in range(256):
        remainder = byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
        yield remainder


TABLE = tuple(_table())


def crc32c(content: bytes) -> int:
    """Return the CRC-32C of bytes (RFC 3720, B.4).

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


# ---- one event


def event(
    *, step: int = 0, numbers: Mapping[str, float] | None = None, version: str = "", starts: bool = False
) -> bytes:
    """Return an Event: numbers by name at a step, the version of the file, or the start of a session at a step."""
    content = _key(1, FIXED_64) + struct.pack("<d", time.time()) + _key(2, VARINT) + _varint(step)
    if version:
        content += _field(3, version.encode())
    if numbers:
        content += _field(5, b"".join(_field(1, _value(*item)) for item in numbers.items()))
    if starts:
        content += _field(7, _key(1, VARINT) + _varint(1))
    return content


def _value(name: str, number: float) -> bytes:
    """Return a Summary.Value: a tag and a simple_value; what float32 cannot hold is infinity."""
    with np.errstate(over="ignore"):
        rounded = np.float32(number)
    return _field(1, name.encode()) + _key(2, FIXED_32) + struct.pack("<f", rounded)


VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5  # wire types


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _field(number: int, content: bytes) -> bytes:
    return _key(number, BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return an integer of 0 or more, seven bits a byte, the lowest first; all but the last byte have bit 7 set."""
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
