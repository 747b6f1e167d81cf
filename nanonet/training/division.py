"""Division: the passes of a large batch cut into parts, which threads and processes share, and their gradients' sum."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Array, Arrays, Patterns, batch_size_of, shape_of
from nanonet.core.chain import Chain, checked_views
from nanonet.core.checks import expect, is_several, known
from nanonet.core.errors import ShapeError
from nanonet.core.objects import called
from nanonet.core.parameter import Buffer
from nanonet.core.rows import may_mix
from nanonet.core.tree import Tree
from nanonet.layers.linear import sharing
from nanonet.losses.loss import Loss
from nanonet.training.atomic import BLOCK, Shield
from nanonet.training.data import Batch, Dataset, Several
from nanonet.training.divergence import of_loss
from nanonet.training.parts import Outcome, joined
from nanonet.training.reducer import Ranks, Reducer
from nanonet.training.twins import Seen, Twin
from nanonet.training.workers import Workers

FEWEST, MANY = 64, 256  # samples of a part: at least so many, and so many are enough whatever the gradients cost
MOST = 8  # parts
LEAST = 250_000  # numbers that the layers compute for a part, which take some 0.4 ms
NARROW = 64  # numbers of a sample that a layer computes, or factors of each: below, threads wait for each other's calls


def parts_for(size: int, width: int, parameters: int) -> int:
    """Return into how many parts threads cut a batch: by the sizes of batch and model, never by the number of threads.

    Each part costs gradients of its own, which should be little beside what its layers compute.

    Parameters
    ----------
    size : int
        Samples of the batch.
    width : int
        Numbers that the layers compute for a sample; 0 if the batch must stay whole.
    parameters : int
    """
    if not width:
        return 1
    most = min(MOST, size // max(FEWEST, -(-LEAST // width), min(MANY, -(-parameters // width))))
    return 1 << (most.bit_length() - 1) if most > 1 else 1


class Division:
    """Runs the passes of a batch in parts, each on a twin of the layers, and adds their gradients up in one order.

    Parameters
    ----------
    model : Chain
    one : callable
        Runs the passes of a batch: (model, loss, x, target, weight, finite=True) to an Outcome.
    workers : Workers or None
    ranks : Ranks or None
    shield : Shield
        Closed from the agreement of the ranks to the end of the step, which all of them take or none.
    """

    def __init__(
        self, model: Chain, one: Callable[..., Outcome], workers: Workers | None, ranks: Ranks | None, shield: Shield
    ) -> None:
        self._model, self._one, self._ranks, self._shield = model, one, ranks, shield
        self._workers = workers or Workers(1)
        self._wide: tuple[object, int] = None, 0  # a shape, and the numbers computed for a sample of it
        self._layout: object = None
        self._twins: list[Twin] = []
        self._seen: Seen
        self._tree: Tree

    def gradients(
        self,
        model: Chain,
        loss: Loss,
        x: Arrays,
        target: Any,
        weight: npt.ArrayLike | None,
        look: object,
        *,
        whole: bool,
    ) -> Outcome:
        """Run both passes; if whole, or where samples must stay together, in one go, by each rank alike.

        The prediction of parts is there only if somebody is to look at it.
        """
        count = 1 if whole or checked_views else self._count(x, loss)
        dealt = 0
        if self._ranks is not None:
            dealt, self._ranks.dealt = self._ranks.dealt, 0
        outcome = self._in_parts(loss, x, target, weight, count, dealt, look) if count > 1 else None
        if outcome is None:
            with self._shared_products():
                outcome = self._one(model, loss, x, target, weight)
            if self._ranks is not None:
                self._shield.closed = True
                self._ranks.confirm(outcome.loss, outcome.divisor)
        return outcome

    def average(self, loss: float) -> None:
        """Replace the gradients in the vector by their mean over the ranks."""
        if self._ranks is not None:
            self._shield.closed = True
            self._ranks.agree(np.array([(loss, 1.0)] * len(self._ranks.own)))
            grad = self._model.vector.grad
            grad /= self._ranks.ranks
            self._ranks.reducer.add_up(grad)

    def _count(self, x: Arrays, loss: Loss) -> int:
        """Return into how many parts a batch is cut; 1 where its samples must stay together."""
        if self._ranks is not None:
            return self._ranks.parts
        if self._wide[0] != (shape := shape_of(x)):
            self._wide = shape, numbers_computed(self._model, shape)
        count = parts_for(batch_size_of(x), self._wide[1], self._model.vector.size)
        return 1 if count > 1 and loss.mixes_samples else count

    @contextmanager
    def _shared_products(self) -> Iterator[None]:
        """Let the threads share the large products of this one."""
        sharing[threading.get_ident()] = self._workers.map
        try:
            yield
        finally:
            sharing.pop(threading.get_ident(), None)

    def _in_parts(
        self, loss: Loss, x: Arrays, target: Any, weight: npt.ArrayLike | None, count: int, dealt: int, look: object
    ) -> Outcome | None:
        """Run both passes in parts; None if the shapes are wrong, of which an error should name those of the whole.

        If so many samples were dealt to the ranks, x holds those of this one.
        """
        own = self._ranks.own if self._ranks is not None else range(count)
        several = Several(isinstance(x, tuple), loss.several_targets)
        rows = -(-(dealt or batch_size_of(x)) // count)
        try:
            batches: dict[int, Batch] = {}
            if batch_size_of(x):
                made = Dataset(x, target, weight, several=several).batches(rows)
                batches.update(enumerate(made, own.start if dealt else 0))
            self._prepare(len(own), own.start)
            run = partial(self._run, loss=loss, batches=batches)
            items = list(zip(own, self._twins, strict=False))
            with self._shared_products() if len(own) == 1 else nullcontext():
                outcomes = self._workers.map(run, items)
        except ShapeError:
            if self._ranks is not None:
                raise
            return None
        losses = np.array([(each.loss, each.divisor) for each in outcomes])
        if self._ranks is not None:
            self._shield.closed = True
            losses = self._ranks.agree(losses)
        total = float(sum(losses[:, 1]))
        if total == 0:
            return Outcome(0.0, 0.0, None)
        portions = losses[:, 1] / total
        shares = (portions > 0).astype(np.float64) if loss.reduction == "sum" else portions
        value = float(sum(share * part for share, part in zip(shares, losses[:, 0], strict=True) if share))
        if not math.isfinite(value):
            raise of_loss(loss, value, self._model)
        self._add_up([float(share) for share in shares], own)
        self._settle_buffers(portions, own)
        return Outcome(value, total, None if look is None else self._prediction(outcomes))

    def _run(self, numbered: tuple[int, Twin], loss: Loss, batches: dict[int, Batch]) -> Outcome:
        """Run the passes of one part; the gradients of a part in which nothing counts are 0."""
        number, twin = numbered
        if number in batches:
            outcome = self._one(twin.model, loss, *batches[number], finite=False)
            if outcome.divisor:
                return outcome
        else:
            outcome = Outcome(0.0, 0.0, None)
        twin.grad[:] = 0
        return outcome

    def _prepare(self, count: int, first: int) -> None:
        """Have this many twins of the model as it is now; the first writes to the model's own gradients."""
        vector = self._model.vector
        if vector.layout is not self._layout or len(self._twins) < count or not self._seen.is_current():
            self._layout, self._tree = vector.layout, Tree(self._model)
            self._twins.clear()  # whose arrays would be there twice
            grads = [vector.grad, *(np.zeros(vector.size, vector.dtype) for _ in range(count - 1))]
            self._twins.extend(Twin(self._model, grad) for grad in grads)
            self._seen = Seen(self._tree)
        randoms = self._tree.randoms.values()
        seeds = [(random, int(random.generator.integers(2**63))) for random in randoms]
        buffers = list(self._tree.buffers.values())
        for number, twin in enumerate(self._twins[:count], first):
            twin.follow(buffers, seeds, number)

    def _add_up(self, shares: list[float], own: range) -> None:
        """Put the sum of the gradients of all parts, each weighted by its share, into the model's vector."""
        grads = [twin.grad for twin in self._twins[: len(own)]]
        spans = [slice(start, start + BLOCK) for start in range(0, grads[0].size, BLOCK)]
        if self._ranks is not None and self._ranks.reducer.parts is not None:
            everyones(grads, shares, self._ranks)
            return
        self._workers.map(partial(weighted_sum, grads, shares[own.start : own.stop]), spans)
        if self._ranks is not None:
            self._ranks.reducer.add_up(grads[0])

    def _settle_buffers(self, shares: Array, own: range) -> None:
        """Give each buffer that the parts have changed their mean."""
        buffers = list(self._tree.buffers.values())
        if not buffers:
            return
        rows = np.array([flat(twin.buffers) for twin in self._twins[: len(own)]])
        if self._ranks is not None:
            rows = self._ranks.reducer.gather(rows).reshape(len(shares), -1)
        rows = rows[shares > 0]
        if (rows == flat(buffers)).all():
            return
        place(buffers, rows[0] if (rows == rows[0]).all() else shares[shares > 0] @ rows, rows[0])

    def _prediction(self, outcomes: list[Outcome]) -> Any:
        """Return the prediction for the whole batch."""
        known = [each.prediction for each in outcomes if each.prediction is not None]
        if self._ranks is not None:
            known = [part for parts in self._ranks.reducer.gather_objects(known) for part in parts]
        return joined(known)


def numbers_computed(model: Chain, shape: Patterns) -> int:
    """Return how many numbers the layers compute for a sample of a shape; 0 if the batch must stay whole.

    It must where their shapes are unknown, where they relate samples, and where they are narrow: only one thread runs
    Python at a time, and NumPy's calls on few numbers are over before another thread has been woken.
    """
    shapes: list[Any] = [None if out is None else known(out) for *_, out in model.shapes(shape)]
    if None in shapes or may_mix(model, training=True):
        return 0
    width = sum(math.prod(part) for out in shapes for part in (out if is_several(out) else (out,)))
    narrow = width < NARROW * len(shapes) and model.vector.size < NARROW * width
    return 0 if narrow else width


def ranks_of(reducer: Reducer, model: Chain, loss: Loss) -> Ranks:
    """Return the agreement of the ranks, or raise if a batch of this model cannot be cut."""
    expect(reducer, Reducer, "Trainer: expected reducer")
    if loss.mixes_samples:
        raise ValueError(
            f"Trainer: {loss} may relate the samples of a batch, which a reducer deals to several ranks; if it does "
            f"not, say so in its class: mixes_samples = False"
        )
    for path, layer in Tree(model).layers.items():
        if layer.mixes_samples is True:
            raise ValueError(
                f"Trainer: layer {path or '(the model)'}, {called(layer)}, may relate the samples of a batch, which a "
                "reducer deals to several ranks; if it does not, say so in its class: mixes_samples = False"
            )
    return Ranks(reducer)


def weighted_sum(grads: list[Array], shares: list[float], span: slice) -> None:
    """Replace a span of the first array by the sum of all, each times its share, in their order."""
    total = grads[0][span]
    total *= shares[0]
    for grad, share in zip(grads[1:], shares[1:], strict=True):
        total += grad[span] * share


def everyones(grads: list[Array], shares: list[float], ranks: Ranks) -> None:
    """Do as weighted_sum with the arrays of all ranks: each rank adds up one piece of the vector, and all gather these.

    Entry by entry this is the same sum in the same order, whatever the number of ranks.
    """
    size, piece = grads[0].size, -(-grads[0].size // ranks.ranks)
    sent = np.zeros((ranks.ranks, len(grads), piece), grads[0].dtype)
    for i, grad in enumerate(grads):
        padded = np.zeros(ranks.ranks * piece, grad.dtype)
        padded[:size] = grad
        sent[:, i] = padded.reshape(ranks.ranks, piece)
    received = list(ranks.reducer.exchange(sent).reshape(-1, piece))
    weighted_sum(received, shares, slice(None))
    grads[0][:] = ranks.reducer.gather(received[0]).ravel()[:size]


def flat(buffers: list[Buffer]) -> npt.NDArray[np.float64]:
    """Return the numbers of buffers as one array."""
    return np.concatenate([np.asarray(buffer.value, np.float64).ravel() for buffer in buffers])


def place(buffers: list[Buffer], mean: Array, first: Array) -> None:
    """Put numbers from a flat array into buffers: a mean of floats, those of the first part for anything else."""
    start = 0
    for buffer in buffers:
        piece = slice(start, start := start + buffer.value.size)
        numbers = (mean if buffer.value.dtype.kind == "f" else first)[piece]
        buffer.value[...] = numbers.reshape(buffer.shape)
