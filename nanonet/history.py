"""History: the numbers of every epoch of a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class History(Mapping[str, list[float]]):
    """Lists by name, one number an epoch: "loss", and "validation_loss" where there is validation data.

    Examples
    --------
    >>> history = History()
    >>> history.append({"loss": 0.5})
    >>> history.append({"loss": 0.25})
    >>> history["loss"]
    [0.5, 0.25]
    >>> history
    History(2 epochs: loss 0.5 -> 0.25)
    """

    def __init__(self) -> None:
        self._numbers: dict[str, list[float]] = {}

    def append(self, numbers: Mapping[str, float]) -> None:
        """Add an epoch; a name that was not there in an earlier one gets NaN for it."""
        epochs = self.epochs
        for name in {**self._numbers, **numbers}:
            self._numbers.setdefault(name, [float("nan")] * epochs).append(numbers.get(name, float("nan")))

    @property
    def epochs(self) -> int:
        """How many epochs it holds."""
        return len(next(iter(self._numbers.values()), ()))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._numbers:
            raise KeyError(f"History has no {name!r}; it has {', '.join(map(repr, self._numbers)) or 'no epoch yet'}")
        return self._numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {values[0]:.4g} -> {values[-1]:.4g}" for name, values in self._numbers.items())
        return f"History({self.epochs} epoch{'s' * (self.epochs != 1)}{': ' * bool(told)}{told})"
