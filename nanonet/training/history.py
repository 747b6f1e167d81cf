"""History: the losses and metrics of every epoch, and Means, from which an epoch's are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from nanonet.core.checks import optional
from nanonet.inspection.html import shortened, sparkline, table
from nanonet.inspection.plots import axes_for
from nanonet.losses.weights import nothing_counts

MANY = 5  # lines of a plot; the legend of more stands below it


class History(Mapping[str, list[float]]):
    """Lists by name, one number per epoch: "loss", and "validation_loss" if there is validation data.

    Metrics follow by their names, and what callbacks record. A name with a "/", such as "0.weight/update_ratio" of
    :class:`nanonet.LayerMonitor`, is that of a single layer: displays leave it out.

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
        """Add an epoch; a name missing from any epoch is NaN there.

        Parameters
        ----------
        numbers : mapping
            Of floats by name.
        """
        epochs = self.epochs
        for name in {**self._numbers, **numbers}:
            self._numbers.setdefault(name, [float("nan")] * epochs).append(numbers.get(name, float("nan")))

    def record(self, numbers: Mapping[str, float]) -> None:
        """Add numbers to the last epoch, as a callback may; those it has already are replaced.

        Parameters
        ----------
        numbers : mapping
            Of floats by name.

        Raises
        ------
        ValueError
            If there is no epoch yet.

        Examples
        --------
        >>> history = History()
        >>> history.append({"loss": 0.5})
        >>> history.record({"norm": 3.0})
        >>> dict(history)
        {'loss': [0.5], 'norm': [3.0]}
        """
        if not self.epochs:
            raise ValueError("History.record: there is no epoch yet; call it from epoch_end")
        for name, number in numbers.items():
            self._numbers.setdefault(name, [float("nan")] * self.epochs)[-1] = float(number)

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
        shown = {name: self._numbers[name] for name in whole_net(self)}
        numbers = ", ".join(f"{name} {values[0]:.4g} -> {values[-1]:.4g}" for name, values in shown.items())
        return f"History({self._length()}{': ' * bool(numbers)}{numbers})"

    def _length(self) -> str:
        ended = ", interrupted" if self.interrupted else f", stopped: {self.stopped}" if self.stopped else ""
        return f"{self.epochs} epoch{'s' * (self.epochs != 1)}{ended}"

    def _repr_html_(self) -> str:
        """Return the notebook representation: the loss curve, and a table of the first and last epochs."""
        names = whole_net(self)
        numbers = zip(*(self._numbers[name] for name in names), strict=True)
        rows = [[epoch, *(f"{number:.4g}" for number in row)] for epoch, row in enumerate(numbers, 1)]
        head = ["epoch", *names]
        written = table(f"History: {self._length()}", head, shortened(rows, "epochs", ends=5), right=range(len(head)))
        return f"<div>\n{sparkline('loss', self._numbers.get('loss', []))}\n{written}\n</div>"

    def to_frame(self) -> Any:
        """Return a pandas DataFrame: one row per epoch, from 1, and one column per name.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.

        Examples
        --------
        >>> history = History()
        >>> history.append({"loss": 0.5, "accuracy": 0.75})
        >>> history.to_frame()  # doctest: +SKIP
               loss  accuracy
        epoch
        1       0.5      0.75
        """
        pandas = optional("History.to_frame", "pandas", "pandas", "pandas")
        return pandas.DataFrame(self._numbers, index=pandas.RangeIndex(1, self.epochs + 1, name="epoch"))

    def plot(self, ax: Any = None, *, names: str | Iterable[str] | None = None, log: bool = False) -> Any:
        """Plot numbers against the epoch and return the matplotlib Axes; losses on the left, others on the right axis.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw on; default: a new figure. Call ``plt.show()`` or save the figure to see it.
        names : str or iterable of str, optional
            What to plot: names, or patterns such as ``"*/update_ratio"``; default: all but those of single layers.
        log : bool
            Whether the left axis is logarithmic, if any number on it is positive; numbers of 0 are not shown then.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        KeyError
            If the history has nothing of such a name.
        TypeError
            If ax is not a matplotlib Axes.
        """
        chosen = whole_net(self) if names is None else self._matching([names] if isinstance(names, str) else names)
        ax = axes_for(ax, "History.plot")
        left = [name for name in chosen if name.endswith("loss")] or chosen
        right = [name for name in chosen if name not in left]
        positive = any(value > 0 for name in left for value in self[name])
        lines, top = self._draw(ax, left, "-", 0), ax
        ax.set(xlabel="epoch", ylabel=_axis_label(left), yscale="log" if log and positive else "linear")
        if right:
            top = ax.twinx()
            lines += self._draw(top, right, "--", len(left))
            top.set_ylabel(_axis_label(right))
        place: dict[str, Any] = {"loc": "center right" if right else "best"}  # considers only one of two axes
        if len(lines) > MANY:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15), "ncols": 2}
        top.legend(lines, [line.get_label() for line in lines], **place)
        ax.xaxis.get_major_locator().set_params(integer=True)
        return ax

    def _matching(self, patterns: Iterable[str]) -> list[str]:
        """Return the names that match any of some patterns, in order of the patterns."""
        found: dict[str, None] = {}
        for pattern in patterns:
            names = [pattern] if pattern in self._numbers else [name for name in self if fnmatchcase(name, pattern)]
            found |= dict.fromkeys(names or [pattern])
        for name in found:
            self[name]  # raises a KeyError that says what there is
        return list(found)

    def _draw(self, ax: Any, names: Iterable[str], style: str, first: int) -> list[Any]:
        drawn = []
        for i, name in enumerate(names, first):
            values = self[name]
            epochs, marker = range(1, len(values) + 1), "o" if len(values) == 1 else ""
            drawn += ax.plot(epochs, values, style, marker=marker, color=f"C{i}", label=name.replace("_", " "))
        return drawn


def whole_net(names: Iterable[str]) -> list[str]:
    """Return the names of numbers of the whole net, without those of a single layer.

    Examples
    --------
    >>> whole_net(["loss", "0.weight/update_ratio"])
    ['loss']
    """
    return [name for name in names if "/" not in name]


def _axis_label(names: Iterable[str]) -> str:
    """Return what several lines have in common, as far as there is room."""
    kinds = dict.fromkeys(name.removeprefix("validation_").rpartition("/")[2] for name in names)
    label = "loss" if all(kind.endswith("loss") for kind in kinds) else ", ".join(kinds)
    return label.replace("_", " ") if len(label) < 40 else ""


class Means:
    """Weighted means of named numbers.

    Attributes
    ----------
    sums : dict
        By name, the sum of weight times value, and the sum of the weights.
    """

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, value: float, weight: float, *, is_sum: bool = False) -> None:
        """Add a value with its weight, or if it is a sum the value alone, where its weight is not 0."""
        total, weights = self.sums.get(name, (0.0, 0.0))
        if is_sum:
            self.sums[name] = total + value, float(weight > 0 or weights > 0)
        else:
            self.sums[name] = total + weight * value, weights + weight

    def values(self, what: str) -> dict[str, float]:
        """Return the means, or raise ValueError, starting with ``what``, if no sample counts."""
        if not any(weights for _, weights in self.sums.values()):
            raise nothing_counts(what)
        return {name: total / weights for name, (total, weights) in self.sums.items()}
