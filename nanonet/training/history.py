"""History: the losses and metrics of every epoch, and Means, from which an epoch's are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanonet.inspection.html import shortened, sparkline, table
from nanonet.inspection.plots import axes_for
from nanonet.losses.loss import nothing_counts


class History(Mapping[str, list[float]]):
    """Lists by name, one number per epoch: "loss", and "validation_loss" if there is validation data.

    Examples
    --------
    >>> history = History()
    >>> history.append({"loss": 0.5})
    >>> history.append({"loss": 0.25})
    >>> history["loss"]
    [0.5, 0.25]
    >>> history
    History(2 epochs: loss 0.5 -> 0.25)

    Attributes
    ----------
    interrupted : bool
        Whether the last fit was interrupted by Ctrl-C.
    stopped : str
        Why a callback stopped the last fit; empty if none did.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, list[float]] = {}
        self.interrupted = False
        self.stopped = ""

    def append(self, numbers: Mapping[str, float]) -> None:
        """Add an epoch; a name missing from any epoch is NaN there."""
        epochs = self.epochs
        for name in {**self._numbers, **numbers}:
            self._numbers.setdefault(name, [float("nan")] * epochs).append(numbers.get(name, float("nan")))

    @property
    def epochs(self) -> int:
        """The number of epochs."""
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
        numbers = ", ".join(f"{name} {values[0]:.4g} -> {values[-1]:.4g}" for name, values in self._numbers.items())
        return f"History({self._length()}{': ' * bool(numbers)}{numbers})"

    def _length(self) -> str:
        ended = ", interrupted" if self.interrupted else f", stopped: {self.stopped}" if self.stopped else ""
        return f"{self.epochs} epoch{'s' * (self.epochs != 1)}{ended}"

    def _repr_html_(self) -> str:
        """Return the notebook representation: the loss curve, and a table of the first and last epochs."""
        numbers = zip(*self._numbers.values(), strict=True)
        rows = [[epoch, *(f"{number:.4g}" for number in row)] for epoch, row in enumerate(numbers, 1)]
        head = ["epoch", *self._numbers]
        written = table(f"History: {self._length()}", head, shortened(rows, "epochs", ends=5), right=range(len(head)))
        return f"<div>\n{sparkline('loss', self._numbers.get('loss', []))}\n{written}\n</div>"

    def plot(self, ax: Any = None, *, log: bool = False) -> Any:
        """Plot every number against the epoch and return the matplotlib Axes; metrics go on a second y axis.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw on; default: a new figure. Call ``plt.show()`` or save the figure to see it.
        log : bool
            Whether the loss axis is logarithmic, if any loss is positive; losses of 0 are not shown then.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If ax is not a matplotlib Axes.
        """
        ax = axes_for(ax, "History.plot")
        losses = {name: values for name, values in self.items() if name.endswith("loss")}
        others = {name: values for name, values in self.items() if name not in losses}
        positive = any(value > 0 for values in losses.values() for value in values)
        lines, top = _draw(ax, losses, "-", 0), ax
        ax.set(xlabel="epoch", ylabel="loss", yscale="log" if log and positive else "linear")
        if others:
            top = ax.twinx()
            lines += _draw(top, others, "--", len(losses))
            top.set_ylabel(", ".join(name for name in others if not name.startswith("validation_")))
        place = "center right" if others else "best"  # considers only one of two axes
        top.legend(lines, [line.get_label() for line in lines], loc=place)
        ax.xaxis.get_major_locator().set_params(integer=True)
        return ax


def _draw(ax: Any, numbers: Mapping[str, list[float]], style: str, first: int) -> list[Any]:
    drawn = []
    for i, (name, values) in enumerate(numbers.items(), first):
        epochs = range(1, len(values) + 1)
        marker = "o" if len(values) == 1 else ""
        drawn += ax.plot(epochs, values, style, marker=marker, color=f"C{i}", label=name.replace("_", " "))
    return drawn


class Means:
    """Weighted means of named numbers.

    Attributes
    ----------
    sums : dict
        By name, the sum of weight times value, and the sum of the weights.
    """

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, value: float, weight: float) -> None:
        """Add a value with its weight."""
        total, weights = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = total + weight * value, weights + weight

    def values(self, what: str) -> dict[str, float]:
        """Return the means, or raise ValueError, starting with ``what``, if no sample counts."""
        if not any(weights for _, weights in self.sums.values()):
            raise nothing_counts(what)
        return {name: total / weights for name, (total, weights) in self.sums.items()}
