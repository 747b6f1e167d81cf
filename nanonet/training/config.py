"""config: settings for the whole process, where an argument of the same name says nothing."""

from __future__ import annotations

from nanonet.core.checks import optional


class Config:
    """Settings for the whole process.

    Attributes
    ----------
    fast : bool
        Whether trainers compile what they can with numba, where their argument ``fast`` is None. False at first.

    Examples
    --------
    >>> import nanonet
    >>> nanonet.config
    Config(fast=False)
    """

    __slots__ = ("fast",)
    fast: bool

    def __init__(self) -> None:
        self.fast = False

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, expect_fast(value, "config") if name == "fast" else value)

    def __repr__(self) -> str:
        return f"Config(fast={self.fast})"


def expect_fast(fast: object, subject: str) -> bool:
    """Return fast; raise TypeError unless it is a bool, and ImportError if it is True and numba is not installed."""
    if not isinstance(fast, bool):
        raise TypeError(f"{subject}: expected fast as True or False, got {fast!r:.60}")
    if fast:
        optional(f"{subject}: fast=True", "numba", "fast", "numba")
    return fast


config = Config()
