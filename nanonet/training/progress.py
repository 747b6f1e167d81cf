"""Progress: the display of a fit: a bar or one rewritten line on a terminal, lines elsewhere, or a line per epoch."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from nanonet.training.history import History, whole_net

QUIET = 2.0  # seconds before the first line, so that a short fit prints nothing


class Watched(Protocol):
    """What a display shows of a trainer; see :class:`nanonet.Trainer`."""

    history: History
    names: tuple[str, ...]
    steps: int
    epoch: int
    batch: int
    batches: int | None
    batch_loss: float
    learning_rate: float


def progress(epochs: int, verbose: int | None, before: int = 0) -> Display:
    """Return the display of a fit that is not silent.

    Parameters
    ----------
    epochs : int
        Number of epochs of the fit.
    verbose : int, bool or None
        None: print once the fit has run for 2 s; 1 or True: print from the start; 2: print a line per epoch.
    before : int
        Number of earlier epochs that are counted too.
    """
    if verbose not in (None, 1, 2):
        raise ValueError(f"fit: expected verbose of None, 0, 1 or 2, got {verbose!r}")
    if verbose == 2:
        return EpochLines(epochs, 0.0, before)
    quiet = QUIET if verbose is None else 0.0
    isatty = getattr(sys.stderr, "isatty", lambda: False)
    if not (_in_notebook() or isatty()):
        return Lines(epochs, quiet, before)
    bar = _tqdm()
    return OneLine(epochs, quiet, before) if bar is None else Bar(epochs, quiet, bar, before)


def _tqdm() -> Any:
    """Return tqdm's class for terminal or notebook, or None if it is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class Display:
    """Base of the displays: how much of a fit is done, and the current numbers."""

    called_first: ClassVar[bool] = False
    called_last: ClassVar[bool] = False
    at_every_step: ClassVar[bool] = True

    def __init__(self, epochs: int, quiet: float, before: int = 0) -> None:
        self.epochs, self.quiet, self.before = epochs, quiet, before

    def fit_begin(self, trainer: Watched) -> None:
        """Start the clock."""
        self.begun = time.monotonic()
        self.first = trainer.history.epochs  # epochs of earlier fits

    def epoch_begin(self, trainer: Watched) -> None:
        """Show nothing."""

    def step_end(self, trainer: Watched) -> None:
        """Show the progress, if due."""

    def epoch_end(self, trainer: Watched) -> None:
        """Show the epoch's numbers, if due."""

    def fit_end(self, trainer: Watched) -> None:
        """Report an interruption by Ctrl-C, since no exception does."""
        if trainer.history.interrupted:
            print(f"interrupted in epoch {trainer.epoch}, after step {trainer.steps}", file=sys.stderr, flush=True)

    def done(self, trainer: Watched, *, whole: bool) -> float:
        """Return the number of finished epochs of this fit."""
        turn = trainer.epoch - self.first
        return turn if whole else turn - 1 + (trainer.batch / trainer.batches if trainer.batches else 0)

    def numbers(self, trainer: Watched) -> dict[str, float]:
        """Return the numbers of the last finished epoch, but not those of single layers, and the learning rate."""
        named = {name: trainer.history[name][-1] for name in whole_net(trainer.names)}
        return named | {"learning_rate": trainer.learning_rate}


class Lines(Display):
    """Plain lines on stderr, fewer as time goes on; if any was printed, the last epoch is printed too."""

    pause: ClassVar[float] = 1.0  # seconds between two lines, at least
    share: ClassVar[float] = 0.05  # and this part of the time passed, so that the log of a long fit stays short

    def fit_begin(self, trainer: Watched) -> None:
        """Start the clock."""
        super().fit_begin(trainer)
        self.next_batch = self.next_epoch = self.begun + self.quiet
        self.printed, self.last = False, False

    def step_end(self, trainer: Watched) -> None:
        """Report the batch, if due."""
        if time.monotonic() >= self.next_batch:
            of = f"/{trainer.batches}" if trainer.batches else ""
            numbers = {"loss": trainer.batch_loss, "learning_rate": trainer.learning_rate}
            self._report(trainer, f", batch {trainer.batch}{of}", numbers, self.done(trainer, whole=False))

    def epoch_end(self, trainer: Watched) -> None:
        """Report the epoch, if due."""
        self.last = time.monotonic() < self.next_epoch
        if not self.last:
            self._report(trainer, "", self.numbers(trainer), self.done(trainer, whole=True))
            self.next_epoch = self.next_batch

    def fit_end(self, trainer: Watched) -> None:
        """Report the last epoch, if anything was printed before and it was not."""
        if self.printed and self.last:
            self._report(trainer, "", self.numbers(trainer), self.epochs)
        self.end()
        super().fit_end(trainer)

    def _report(self, trainer: Watched, batch: str, numbers: Mapping[str, float], done: float) -> None:
        passed = time.monotonic() - self.begun
        known = 0 < done < self.epochs
        left = f", about {duration(passed * (self.epochs - done) / done)} left" if known else ""
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        turn = trainer.epoch - self.first if batch else trainer.history.epochs - self.first
        where = f"epoch {turn + self.before}/{self.epochs + self.before}{batch}"
        self.write(f"{where}  {text}  {duration(passed)}{left}")
        self.next_batch, self.printed = time.monotonic() + max(self.pause, self.share * passed), True

    def write(self, line: str) -> None:
        """Print a line."""
        print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the display, so that what is printed next starts on a line of its own."""


class EpochLines(Lines):
    """One line per epoch, and none within an epoch."""

    step_end = Display.step_end

    def epoch_end(self, trainer: Watched) -> None:
        """Report the epoch."""
        self._report(trainer, "", self.numbers(trainer), self.done(trainer, whole=True))


class OneLine(Lines):
    """One line on a terminal, rewritten at most ten times per second."""

    pause, share = 0.1, 0.0
    shown = ""

    def write(self, line: str) -> None:
        """Print a line in place of the one before, no wider than the terminal, where it could not be rewritten."""
        line = line[: shutil.get_terminal_size().columns - 1]
        print(f"\r{line.ljust(len(self.shown))}", end="", file=sys.stderr, flush=True)
        self.shown = line

    def end(self) -> None:
        """End the line."""
        if self.shown:
            print(file=sys.stderr, flush=True)
            self.shown = ""


class Bar(Display):
    """A tqdm bar, one unit per epoch."""

    def __init__(self, epochs: int, quiet: float, tqdm: Any, before: int = 0) -> None:
        super().__init__(epochs, quiet, before)
        self.tqdm = tqdm

    def fit_begin(self, trainer: Watched) -> None:
        """Open the bar, which appears after the quiet time."""
        super().fit_begin(trainer)
        form = "{l_bar}{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]"
        total = self.epochs + self.before
        self.bar = self.tqdm(total=total, initial=self.before, delay=self.quiet, bar_format=form, leave=True)
        self.next = self.begun

    def step_end(self, trainer: Watched) -> None:
        """Advance the bar, at most ten times per second."""
        now = time.monotonic()
        if now >= self.next:
            self.next = now + 0.1
            self._move(self.done(trainer, whole=False))

    def epoch_end(self, trainer: Watched) -> None:
        """Advance the bar and show the epoch's numbers."""
        numbers = {name: f"{value:.4g}" for name, value in self.numbers(trainer).items()}
        self.bar.set_postfix(numbers, refresh=False)
        self._move(self.done(trainer, whole=True))

    def _move(self, done: float) -> None:
        self.bar.update(self.before + done - self.bar.n)

    def fit_end(self, trainer: Watched) -> None:
        """Close the bar."""
        self.bar.close()
        super().fit_end(trainer)


def duration(seconds: float) -> str:
    """Return a duration in human-readable form.

    Examples
    --------
    >>> duration(3.21), duration(75), duration(7320)
    ('3.2 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
