"""tune_allocator: large arrays that are freed stay with the process, for the next pass to use."""

from __future__ import annotations

import ctypes

from nanonet.core.checks import positive_int

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt, from malloc.h
LARGEST = 2**25  # bytes; the highest threshold that glibc takes for allocations outside the heap


def tune_allocator(keep: int = 2**28) -> None:
    """Let the C library keep freed memory, up to ``keep`` bytes, instead of giving it back to the system at once.

    By default glibc gives freed arrays of 128 KiB or more back, and each pass over a large batch faults its memory in
    anew. Models whose layers mix no samples avoid this by going in blocks; call this once, before training, for others
    that compute with large arrays: a step of a net of 64 units with ``BatchNorm`` on 10,000 samples took 0.6 of the
    time. It holds for the whole process, and cannot be undone.

    Parameters
    ----------
    keep : int
        Up to 2**31 - 1. Arrays of more than 32 MiB are given back in any case.

    Raises
    ------
    OSError
        If the C library is not glibc (as on macOS, Windows and Alpine Linux), or refuses.

    Examples
    --------
    >>> import nanonet
    >>> nanonet.tune_allocator(2**29)  # doctest: +SKIP
    """
    if positive_int(keep, "tune_allocator", "keep") >= 2**31:
        raise ValueError(f"tune_allocator: expected keep of at most 2**31 - 1, got {keep}")
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # musl has mallopt in name only
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):  # the last on Windows, which has no library of that name
        raise OSError("tune_allocator: expected glibc, whose mallopt it calls, as the C library") from None
    if not (mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, int(keep))):
        raise OSError(f"tune_allocator: mallopt refused to keep {keep} bytes")
