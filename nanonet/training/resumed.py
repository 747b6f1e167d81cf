"""Resumed: what the fit of a resumed trainer goes on with, its callbacks included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from nanonet.training.epoch import Epoch
from nanonet.training.subject import Hooks, Remembering, Subject

Numbers = Mapping[str, npt.NDArray[Any]]


class Standing(NamedTuple):
    """What callbacks change from without: which parameters are trainable, and the factor of the rate; None is as it is.

    A step changes neither, so nothing but the file tells a resumed fit where they stood.
    """

    trainable: Mapping[str, bool]
    rate_factor: float | None

    @classmethod
    def of(cls, trainer: Subject) -> Standing:
        """Return where they stand."""
        parameters = trainer.tree.parameters
        return cls({name: parameter.trainable for name, parameter in parameters.items()}, trainer.rate_factor)

    def put_back(self, trainer: Subject) -> None:
        """Let them stand so again."""
        for name, trainable in self.trainable.items():
            trainer.tree.parameters[name].trainable = trainable
        if self.rate_factor is not None:
            trainer.rate_factor = self.rate_factor

    def changed(self, now: Standing) -> Standing:
        """Return what of this is otherwise now."""
        trainable = {name: value for name, value in self.trainable.items() if now.trainable[name] != value}
        return Standing(trainable, None if now.rate_factor == self.rate_factor else self.rate_factor)


class Kept:
    """What a file keeps of a callback.

    Attributes
    ----------
    name : str
    call : str or None
        Its class, and the call that made it; None in a file of format 1.
    undone : Standing
        What its ``fit_end`` changed from without, as it stood while the fit ran.
    state : mapping or None
        What its ``state_dict`` gave; None where the fit came to its end.
    """

    def __init__(self, name: str, call: str | None, undone: Standing, state: Numbers | None) -> None:
        self.name, self.call, self.undone, self.state = name, call, undone, state


class Member:
    """A callback of a fit, from its ``fit_begin`` on; before is what the file of a resumed fit kept of it."""

    def __init__(self, callback: Hooks, before: Kept | None = None) -> None:
        self.callback, self.before, self.undone = callback, before, Standing({}, None)

    def begin(self, trainer: Subject) -> None:
        """Call fit_begin; of one that goes on, what it changes from without a second time is put back."""
        standing = Standing.of(trainer)
        self.callback.fit_begin(trainer)
        if self.before is not None:
            standing.put_back(trainer)
            self.before.undone.put_back(trainer)

    def end(self, trainer: Subject) -> None:
        """Call fit_end, and note what it changes from without."""
        standing = Standing.of(trainer)
        self.callback.fit_end(trainer)
        self.undone = standing.changed(Standing.of(trainer))
        if self.before is not None:
            self.before.undone = self.undone


class Resumed:
    """What the next fit goes on with: an epoch under way, and the callbacks that took part before.

    Parameters
    ----------
    epoch : Epoch, optional
    kept : iterable of Kept
    completed : bool
        Whether the fit that was saved came to its end.
    """

    def __init__(self, epoch: Epoch | None = None, kept: Iterable[Kept] = (), completed: bool = False) -> None:
        self.epoch, self.kept, self.completed = epoch, list(kept), completed

    def members(self, callbacks: Iterable[Hooks]) -> list[Member]:
        """Return each as a member of the fit; one of the same class, made by the same call, goes on."""
        left, members = list(self.kept), []
        for callback in callbacks:
            same = [i for i, one in enumerate(left) if (one.name, one.call) == named(callback)]
            members.append(Member(callback, left.pop(same[0]) if same else None))
        return members

    def match(self, callbacks: Sequence[Remembering]) -> Iterator[tuple[Remembering, Numbers]]:
        """Yield each callback whose state was kept, with that state: the first of a class gets the first's."""
        left = [(one.name, one.state) for one in self.kept if one.state is not None]
        for callback in callbacks:
            same = [i for i, (name, _) in enumerate(left) if name == type(callback).__name__]
            if same:
                yield callback, left.pop(same[0])[1]


def named(thing: object) -> tuple[str, str]:
    """Return the class of a thing, and its text, free of addresses."""
    return type(thing).__name__, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))
