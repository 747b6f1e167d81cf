"""Ensemble: several nets of one kind, trained from different initial weights, whose spread says how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, each
from nanonet.core.checks import as_generator, expect, positive_int
from nanonet.core.layer import Layer
from nanonet.losses.loss import Loss
from nanonet.models.seeding import seeded
from nanonet.models.sequential import Sequential
from nanonet.models.side_by_side import SideBySide, is_dense, treats_entries_alike
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.history import History


class Ensemble:
    """Several nets of one kind, each trained on all data from initial weights of its own (deep ensembles).

    Where the nets agree, they are sure; far from the data they differ (Lakshminarayanan et al. 2017).

    Parameters
    ----------
    make : callable
        Called without arguments for each member; returns a :class:`Sequential`, built without ``rng``, so that each
        gets weights of its own.
    n : int
        The number of members.
    rng : int, Generator or None
        The source of all weights, and of the order of the batches.

    Raises
    ------
    TypeError
        If make returns something else.
    ValueError
        If the members are alike, since make passes the same rng to each, or differ in their layers.

    Attributes
    ----------
    models : tuple of Sequential

    Examples
    --------
    >>> from nanonet import Adam, Linear, SquaredError, Tanh
    >>> ensemble = Ensemble(lambda: Sequential(Linear(1, 10), Tanh(), Linear(10, 1)), 5, rng=0)
    >>> x = np.linspace(-1, 1, 30).reshape(-1, 1)
    >>> history = ensemble.fit(x, np.sin(3 * x), loss=SquaredError(), optimizer=Adam(0.01), epochs=100)
    >>> spread = ensemble.predict([[0.0], [3.0]]).std(axis=0)
    >>> bool(spread[1, 0] > 5 * spread[0, 0])
    True
    """

    def __init__(self, make: Callable[[], Sequential], n: int, *, rng: int | np.random.Generator | None = None) -> None:
        if not callable(make) or isinstance(make, Layer):
            raise TypeError(
                f"Ensemble: expected make as a function that returns a Sequential, got {make!r:.60}; "
                "write Ensemble(lambda: Sequential(...), 5)"
            )
        self._rng = as_generator(rng, "Ensemble")
        made = []
        for child in self._rng.spawn(positive_int(n, "Ensemble", "n")):
            with seeded(child):
                made.append(make())
            expect(made[-1], Sequential, "Ensemble: expected what make returns")
        self.models: tuple[Sequential, ...] = tuple(made)
        first, *others = self.models
        for i, other in enumerate(others, 1):
            if repr(other) != repr(first):
                raise ValueError(f"Ensemble: member {i} has other layers than member 0:\n{other!r}\n{first!r}")
            if other is first or (first.vector.size and np.array_equal(first.vector.value, other.vector.value)):
                raise ValueError(
                    f"Ensemble: member {i} has the weights of member 0; build each model anew within make, without rng"
                )

    def fit(
        self,
        x: Any,
        target: Any,
        *,
        loss: Loss,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: float | tuple[Any, ...] | None = None,
        sample_weight: npt.ArrayLike | None = None,
        verbose: int | None = None,
    ) -> History:
        """Train every member on all data, with a fresh optimizer state.

        Members that are plain chains of Linear and activations are trained at once, side by side in one model, on the
        same batches; the results are those of members trained one by one on these batches, up to rounding. All others
        are trained one after the other, and so are all with an optimizer that treats parameters unlike, by
        ``clip_norm``, ``decays`` or ``rates``, or with a loss that may relate the samples of a batch: any of your own
        whose class does not say ``mixes_samples = False``.

        Parameters
        ----------
        x, target, loss, optimizer, epochs, batch_size, shuffle, validation, sample_weight, verbose
            As for :meth:`Sequential.fit`.

        Returns
        -------
        History
            The means over the members.

        Raises
        ------
        ShapeError
            If shapes do not match.
        NonFiniteError
            If the training of a member diverges.
        """
        expect(loss, Loss, "Ensemble.fit: expected loss")
        expect(optimizer, Optimizer, "Ensemble.fit: expected optimizer")
        settings: dict[str, Any] = {
            "optimizer": optimizer,
            "epochs": epochs,
            "batch_size": batch_size,
            "shuffle": shuffle,
            "validation": validation,
            "sample_weight": sample_weight,
            "verbose": verbose,
        }
        at_once = len(self.models) > 1 and all(map(is_dense, self.models)) and treats_entries_alike(optimizer)
        if not at_once or loss.several_targets or loss.mixes_samples:
            histories = [model.fit(x, target, loss=loss, rng=self._rng, **settings) for model in self.models]
            return _mean(histories)
        whole = SideBySide(self.models)
        try:
            history = whole.model.fit(x, target, loss=whole.loss(loss), rng=self._rng, **settings)
        finally:
            whole.give_back()
        return _mean([history], share=1 / len(self.models))

    def predict(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """Return the predictions of all members, shape (members, batch, ...); their mean is that of the ensemble.

        Parameters
        ----------
        x : array
            Shape (batch, ...).
        batch_size : int, optional
            As for :meth:`Sequential.predict`.

        Returns
        -------
        array

        Raises
        ------
        ShapeError
            If x does not fit the models.

        Examples
        --------
        >>> from nanonet import Linear
        >>> ensemble = Ensemble(lambda: Sequential(Linear(2, 1)), 3, rng=0)
        >>> ensemble.predict([[1, 2], [3, 4]]).shape
        (3, 2, 1)
        """
        found: Array = each(lambda *parts: np.stack(parts), *(model.predict(x, batch_size) for model in self.models))
        return found

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[Sequential]:
        return iter(self.models)

    def __getitem__(self, index: int) -> Sequential:
        return self.models[index]

    def __repr__(self) -> str:
        return f"Ensemble of {len(self)} x {self.models[0]!r}"


def _mean(histories: list[History], share: float | None = None) -> History:
    """Return the means of several histories, or one whose numbers are sums over the members, of which each has a share.

    If one was interrupted, it ends where the shortest does.
    """
    mean, factor = History(), 1 / len(histories) if share is None else share
    for epoch in range(min(history.epochs for history in histories)):
        mean.append({name: factor * sum(history[name][epoch] for history in histories) for name in histories[0]})
    mean.interrupted = any(history.interrupted for history in histories)
    return mean
