"""The table of cases: how many samples of each class are equal, and which are not supported, and why."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.pytorch_samples import layers, losses, optimizers
from tests.pytorch_samples.reasons import reason_for
from tests.pytorch_samples.samples import Sample

REFUSED = (TypeError, ValueError)
FUSED = ("nn.LinearCrossEntropyLoss", "nn.functional.linear_cross_entropy")


@dataclass
class Row:
    """The samples of one class or function."""

    equal: int = 0
    missing: Counter[str] = field(default_factory=Counter)

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.equal + self.missing.total()


def compare(sample: Sample) -> None:
    """Translate and compare a sample; TypeError or ValueError if nanonet refuses it, AssertionError if it differs."""
    kind = optimizers if sample.name.startswith("optim.") else losses if losses.is_loss(sample) else layers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of options that it will drop
        kind.compare(sample)


def rows(samples: Iterable[Sample]) -> dict[str, Row]:
    """Compare samples, and count them by class.

    Raises
    ------
    AssertionError
        If one differs, is refused without a reason, or is equal although there is one.
    """
    found: dict[str, Row] = {}
    for sample in samples:
        row, why = found.setdefault(sample.name, Row()), reason_for(sample)
        try:
            compare(sample)
        except REFUSED as error:
            if why is None:
                raise AssertionError(f"{sample} is refused, and reasons.py does not say why: {error}") from None
            row.missing[why] += 1
        except AssertionError as error:
            raise AssertionError(f"{sample}: {error}") from None
        else:
            if why is not None:
                raise AssertionError(f"{sample} is equal, but reasons.py says: {why}")
            row.equal += 1
    return found


def text(tables: Mapping[str, Mapping[str, Row]]) -> str:
    """Return the tables as they stand in docs/reliability.md."""
    return "\n\n".join(_part(title, table) for title, table in tables.items())


def _part(title: str, table: Mapping[str, Row]) -> str:
    total, equal = (sum(getattr(row, name) for row in table.values()) for name in ("samples", "equal"))
    whole = [f"{_short(name)} {row.samples}" for name, row in table.items() if not row.missing]
    counts = f"{total:,} samples, {equal:,} equal, {total - equal:,} not supported"
    lines = [f"**{title}**: {counts}.{_without_fused(table)}", "", f"All equal: {', '.join(whole)}.", ""]
    lines += ["| | samples | equal | not supported |", "| --- | --- | --- | --- |"]
    for name, row in table.items():
        if row.missing:
            why = "; ".join(f"{count}: {reason}" for reason, count in row.missing.items())
            lines.append(f"| {_short(name)} | {row.samples} | {row.equal} | {why} |")
    return "\n".join(lines)


def _without_fused(table: Mapping[str, Row]) -> str:
    """Return the same without the samples of one module, whose options only say how it is computed."""
    names = [name for name in table if name not in FUSED]
    if len(names) == len(table):
        return ""
    samples, equal = (sum(getattr(table[name], what) for name in names) for what in ("samples", "equal"))
    (fused,) = {*table} - {*names}
    counts = f"{samples:,}, {equal:,} and {samples - equal:,}"
    return f" Without {_short(fused)}, a Linear and a CrossEntropy in one: {counts}."


def _short(name: str) -> str:
    return name.rpartition(".")[2]
