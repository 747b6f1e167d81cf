"""npz: a model, or arrays alone, in NumPy's own file, which NumPy alone reads again."""

from __future__ import annotations

from nanonet.storage.archive import open_npz, write_archive

write, opened = write_archive, open_npz
