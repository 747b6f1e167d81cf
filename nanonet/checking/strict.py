"""strict: checks the contract in every pass within a block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nanonet.checking.layer_contract import METHODS, Seen, checked, nothing_seen
from nanonet.core.chain import Chain, checked_views


@contextmanager
def strict() -> Iterator[None]:
    """Check the contract of every layer in every pass that this thread runs within the block.

    The first batch of every ``fit`` runs like this. Other threads, which may use the same models, are not affected.
    Arguments and results are read-only, gradients are filled with NaN before ``backward`` to detect those that are
    never assigned or are added to, shapes are compared with ``output_shape``, the two backward methods are compared,
    and the first NaN or infinity is attributed to its layer.

    Returns
    -------
    context manager
        For a ``with`` statement.

    Raises
    ------
    ContractError
        (in the block) If a layer writes to an array it does not own, or changes its state in inference.
    GradientError
        If a gradient is never assigned or is added to, or the two backward methods differ.
    ShapeError
        If a shape is wrong.
    NonFiniteError
        If a layer turns finite numbers into a NaN or infinity.

    Examples
    --------
    >>> import nanonet
    >>> class Shift(nanonet.Layer):
    ...     def forward(self, x, *, training=False):
    ...         x += 1
    ...         return x, None
    ...
    ...     def backward(self, grad, cache):
    ...         return grad
    >>> with nanonet.strict():  # doctest: +ELLIPSIS
    ...     nanonet.Sequential(Shift())([[1.0]])
    Traceback (most recent call last):
    nanonet.core.errors.ContractError: layer 0, Shift(): forward writes to its argument, its parameters or buffers, ...
    """
    blocks = checked_views.setdefault(threading.get_ident(), [])
    view_of = _Block().view_of
    blocks.append(view_of)
    try:
        yield
    finally:
        blocks.remove(view_of)  # by identity: generators may leave their blocks in another order
        if not blocks:
            checked_views.pop(threading.get_ident(), None)


class _Block:
    """State shared by the calls in one strict block: the returned caches, and whether a pass is in progress."""

    def __init__(self) -> None:
        self.seen: Seen = nothing_seen()
        self._inside = False

    def view_of(self, model: Chain) -> Chain | None:
        """Return the checked view for a pass of a model; None for a nested pass, which is already checked."""
        if self._inside or "forward" in vars(model):
            return None
        view = checked(model, live=True, masks=True, seen=self.seen)
        for name in METHODS:
            vars(view)[name] = self._entering(getattr(view, name))
        return view

    def _entering(self, method: Any) -> Any:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self._inside = True
            try:
                return method(*arguments, **keywords)
            finally:
                self._inside = False

        return call
