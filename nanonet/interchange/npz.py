"""npz: a model, or arrays alone, in NumPy's own file, which NumPy alone reads again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nanonet.archive import PAGE, UNREADABLE, contents, read_archive, write_archive

write = write_archive


def read(path: Path) -> tuple[dict[str, Any] | None, dict[str, npt.NDArray[Any]]]:
    """Return the page and the arrays of a file of ours, once its seal is checked; of another's its arrays."""
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if PAGE not in archive.namelist():
                return contents(archive, len(data))
    except UNREADABLE as error:
        raise ValueError(f"{path}: no whole .npz file of numbers, nothing was loaded: {error}") from None
    del data
    return read_archive(path)
