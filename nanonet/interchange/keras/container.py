"""Container: opens a .keras file, a zip file, or an .h5 file, and gives the model's description and weights."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nanonet.interchange.keras.weights import Guard, Named, Numbered, Weights
from nanonet.storage.archive import ALLOWED, LONGEST_PAGE, UNFOLDED, Page, page_of, refuse_bomb, refuse_twice
from nanonet.storage.disk import open_regular

CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@contextmanager
def opened(package: Any, path: Path) -> Iterator[tuple[Page, Weights]]:
    """Yield the description of a model and the place of its weights, to be read within the context."""
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        guard = Guard(package, UNFOLDED * size + ALLOWED)
        file.seek(0)
        is_zip = file.read(2) == b"PK"
        with _zipped(package, guard, file, size) if is_zip else _plain(package, guard, file) as found:
            yield found


@contextmanager
def _zipped(package: Any, guard: Guard, file: IO[bytes], size: int) -> Iterator[tuple[Page, Weights]]:
    archive = zipfile.ZipFile(file)
    listed = archive.infolist()
    refuse_twice(member.filename for member in listed)
    refuse_bomb(listed, size)
    members = {member.filename: member for member in listed}
    for name in (CONFIG, WEIGHTS):
        if name not in members:
            raise ValueError(f"it holds no {name}; expected a model that was saved whole, by model.save(path)")
    if members[CONFIG].file_size > LONGEST_PAGE:
        raise ValueError(f"its {CONFIG} is longer than {LONGEST_PAGE} bytes")
    page = page_of(archive.read(CONFIG))
    with package.File(io.BytesIO(archive.read(WEIGHTS)), "r") as weights:
        yield page, Numbered(guard, weights)


@contextmanager
def _plain(package: Any, guard: Guard, file: IO[bytes]) -> Iterator[tuple[Page, Weights]]:
    with package.File(file, "r") as whole:
        text = whole.attrs.get("model_config")
        if text is None:
            raise ValueError(
                "it describes no model; weights alone, as save_weights writes them, do not say how they are connected: "
                'save the model whole, by model.save("model.keras")'
            )
        root = guard.entry(whole, "model_weights")
        yield page_of(text), Named(guard, root)
