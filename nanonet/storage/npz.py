"""npz: a model, or only arrays, in NumPy's own file format, which NumPy alone can read."""

from __future__ import annotations

from nanonet.storage.archive import open_npz, write_archive

write, opened = write_archive, open_npz
