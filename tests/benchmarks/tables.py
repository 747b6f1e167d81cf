"""Tables: how the times of a part are printed, a row at a time, as soon as they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar


class Missable(Protocol):
    """What can be measured only where something is installed."""

    name: str

    def missing(self) -> str: ...


P = TypeVar("P", bound=Missable)


def present(peers: Sequence[P]) -> list[P]:
    """Return the peers that can be measured here, and say of the others why they cannot."""
    reasons = [peer.missing() for peer in peers]
    for peer, reason in zip(peers, reasons, strict=True):
        if reason:
            print(f"{peer.name} is left out: {reason}")
    return [peer for peer, reason in zip(peers, reasons, strict=True) if not reason]


class Table:
    """Microseconds of each row by everyone, and the ratio of each of ours to each of the others.

    Parameters
    ----------
    title : str
    names : sequence of str
        Of the columns.
    ours : sequence of str
        Those that are divided by the others; the first column by default.
    """

    def __init__(self, title: str, names: Sequence[str], ours: Sequence[str] = ()) -> None:
        self.names = names
        self.ours = [name for name in ours if name in names] or [names[0]]
        self.others = [name for name in names if name not in self.ours]
        print(f"\n{title + ', us':52}" + "".join(f"{name:>16}" for name in names), end="   ")
        print("; ".join(f"{name} / {', '.join(self.others)}" for name in self.ours))

    def row(self, name: str, times: Mapping[str, float]) -> None:
        """Print a row; where there is no time, a dash."""
        numbers = [f"{1e6 * times[column]:16.2f}" if column in times else f"{'-':>16}" for column in self.names]
        ratios = ["  ".join(_ratio(times, one, other) for other in self.others) for one in self.ours]
        print(f"{name:52}{''.join(numbers)}   {';  '.join(ratios)}", flush=True)


def _ratio(times: Mapping[str, float], one: str, other: str) -> str:
    return f"{times[one] / times[other]:.2f}" if one in times and other in times else "-"


def rounded(found: Any) -> Any:
    """Return numbers to four digits, as a file of them is read."""
    if isinstance(found, Mapping):
        return {str(name): rounded(value) for name, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [rounded(value) for value in found]
    return float(f"{found:.4g}") if isinstance(found, float) else found
