"""Resumed: the state that the next fit of a resumed trainer starts from, including its callbacks.

Callback and Trainer import this file, so here their type is Any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from nanonet.training.feed import Epoch
from nanonet.training.step import Stepper

State = Mapping[str, npt.NDArray[Any]]


class Adjustable(NamedTuple):
    """What callbacks may adjust: which parameters are trainable, and the rate factor (None: unchanged).

    A step changes neither, so a resumed fit can learn them only from the file.
    """

    trainable: Mapping[str, bool]
    rate_factor: float | None

    @classmethod
    def of(cls, stepper: Stepper) -> Adjustable:
        """Return the current values."""
        parameters = stepper.tree.parameters
        return cls({name: parameter.trainable for name, parameter in parameters.items()}, stepper.rate_factor)

    def restore(self, stepper: Stepper) -> None:
        """Restore these values."""
        for name, trainable in self.trainable.items():
            stepper.tree.parameters[name].trainable = trainable
        if self.rate_factor is not None:
            stepper.rate_factor = self.rate_factor

    def changed(self, now: Adjustable) -> Adjustable:
        """Return those of these values that differ now."""
        trainable = {name: value for name, value in self.trainable.items() if now.trainable[name] != value}
        return Adjustable(trainable, None if now.rate_factor == self.rate_factor else self.rate_factor)


class Kept:
    """The saved state of a callback.

    Attributes
    ----------
    name : str
    call : str or None
        Its repr, the call that made it; None in a file of format 1.
    undone : Adjustable
        The adjustable values that its ``fit_end`` changed, as they were during the fit.
    state : mapping or None
        The result of its ``state_dict``; None if the fit ran to completion.
    """

    def __init__(self, name: str, call: str | None, undone: Adjustable, state: State | None) -> None:
        self.name, self.call, self.undone, self.state = name, call, undone, state


class Member:
    """A callback of a fit, from its ``fit_begin`` on; before is its saved state, in a resumed fit."""

    def __init__(self, callback: Any, before: Kept | None = None) -> None:
        self.callback, self.before, self.undone = callback, before, Adjustable({}, None)

    def begin(self, trainer: Any) -> None:
        """Call fit_begin; for a resumed callback, undo what it adjusts a second time."""
        adjustable = Adjustable.of(trainer.stepper)
        self.callback.fit_begin(trainer)
        if self.before is not None:
            adjustable.restore(trainer.stepper)
            self.before.undone.restore(trainer.stepper)

    def end(self, trainer: Any) -> None:
        """Call fit_end, and record what it adjusts."""
        adjustable = Adjustable.of(trainer.stepper)
        self.callback.fit_end(trainer)
        self.undone = adjustable.changed(Adjustable.of(trainer.stepper))
        if self.before is not None:
            self.before.undone = self.undone


class Resumed:
    """The state that the next fit resumes: an unfinished epoch, and the callbacks of the saved fit.

    Parameters
    ----------
    epoch : Epoch, optional
    kept : iterable of Kept
    completed : bool
        Whether the saved fit ran to completion.
    """

    def __init__(self, epoch: Epoch | None = None, kept: Iterable[Kept] = (), completed: bool = False) -> None:
        self.epoch, self.kept, self.completed = epoch, list(kept), completed

    def begin(self, trainer: Any, hooks: Iterable[Any], callbacks: Iterable[Any]) -> None:
        """Begin the members of a fit; if one of them refuses it, none leaves a trace."""
        adjustable, begun = Adjustable.of(trainer.stepper), trainer.members
        try:
            for member in self._members(hooks):
                member.begin(trainer)
                begun.append(member)
            for callback, state in self._match(callbacks):
                callback.fit_resumed(trainer, state)
        except BaseException:
            for member in begun:
                member.callback.fit_end(trainer)
            adjustable.restore(trainer.stepper)
            raise

    def _members(self, callbacks: Iterable[Any]) -> list[Member]:
        """Return each as a member of the fit; one with the class and repr of a saved one resumes it."""
        left, members = list(self.kept), []
        for callback in callbacks:
            same = [i for i, one in enumerate(left) if (one.name, one.call) == described(callback)]
            members.append(Member(callback, left.pop(same[0]) if same else None))
        return members

    def _match(self, callbacks: Iterable[Any]) -> Iterator[tuple[Any, State]]:
        """Yield each callback that has a saved state, with that state, matching by class in order."""
        left = [(one.name, one.state) for one in self.kept if one.state is not None]
        for callback in callbacks:
            same = [i for i, (name, _) in enumerate(left) if name == type(callback).__name__]
            if same:
                yield callback, left.pop(same[0])[1]


def described(thing: object) -> tuple[str, str]:
    """Return the class name of an object, and its repr without addresses."""
    return type(thing).__name__, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))
