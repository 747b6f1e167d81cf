"""safetensors: named arrays in the file in which users of PyTorch exchange weights, and which runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.archive import UNREADABLE, write_whole

PAGE = "nanonet"  # the key of the page among a file's metadata, which are strings
DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?"},
    **{f"{sign}{8 * size}": f"<{sign.lower()}{size}" for sign in "IU" for size in (1, 2, 4, 8)},
}


def write(path: Path, page: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a file; what stood there stands there until all of it is on the disk."""
    package = _package()
    try:
        whole = package.numpy.save(dict(arrays), {PAGE: json.dumps(page, allow_nan=False)})
    except (package.SafetensorError, KeyError) as error:
        raise ValueError(f"{path}: not written: {error}") from None
    write_whole(path, lambda file: file.write(whole))


def read(path: Path) -> tuple[dict[str, Any] | None, dict[str, npt.NDArray[Any]]]:
    """Return the page, where there is one, and the arrays of a file."""
    package = _package()
    data = path.read_bytes()
    try:
        entries = package.deserialize(data)  # refuses what overlaps, is left over, or lies outside
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        page = json.loads(header.get("__metadata__", {}).get(PAGE, "null"))
        del data, header
        if not isinstance(page, dict | None):
            raise ValueError("its page holds no table")
        return page, {name: _array(name, entry) for name, entry in entries}
    except (package.SafetensorError, *UNREADABLE) as error:
        raise ValueError(f"{path}: no whole .safetensors file of numbers, nothing was loaded: {error}") from None


def _array(name: str, entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return an array on the very bytes, in this machine's byte order; NumPy has no bfloat16, the half of a float32."""
    kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if kind == "BF16":
        halves = np.ndarray(shape, "<u2", data).astype(np.uint32)
        array: npt.NDArray[Any] = (halves << 16).view(np.float32)
    elif kind in DTYPES:
        array = np.ndarray(shape, DTYPES[kind], data)
    else:
        raise ValueError(f"{name} is of dtype {kind}, which NumPy does not have")
    return np.require(array, array.dtype.newbyteorder("="), ["W"])


def _package() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError("A .safetensors file needs safetensors: pip install 'nanonet[safetensors]'") from None
    return safetensors
