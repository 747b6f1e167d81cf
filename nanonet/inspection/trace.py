"""Trace: a record with displays: a table, a figure, and the worked calculation of one gradient."""

from __future__ import annotations

import copy
from operator import itemgetter

import numpy as np

from nanonet.checking.view import View
from nanonet.core.arrays import batch_size_of, each, parts_of
from nanonet.core.chain import Chain
from nanonet.core.checks import expect
from nanonet.core.parameter import Parameter
from nanonet.inspection.drawing.figure import Figure
from nanonet.inspection.drawing.net import draw
from nanonet.inspection.explanation.explanation import Explanation, explain
from nanonet.inspection.record import LayerTrace, Record, Recorder
from nanonet.inspection.table import trace_html, trace_table
from nanonet.losses.loss import Loss


class Trace(Record):
    """Every number of one pass; created by :meth:`nanonet.Sequential.trace`.

    ``trace[0]`` and ``trace["0"]`` hold the numbers of the first layer, ``trace["1.inner.0"]`` those of a nested layer.
    A layer called a second time in the same pass has a second entry, such as "1.cell#2".

    Attributes
    ----------
    model : Chain
        The copy of the model that the pass ran on.
    x : array, or tuple of arrays
        Shape (batch, ...).
    target : array, tuple of arrays or None
    prediction : array, or tuple of arrays
        The model's output.
    grad_x : array, tuple of arrays or None
        dE/dx, of the shape of x.
    loss : Loss or None
    value : float or None
        E, the mean over the samples; gradients are those of E.
    whole : LayerTrace
        The pass of the model itself.
    layers : mapping of LayerTrace
        By name.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Sigmoid, SquaredError
    >>> model = Sequential(Linear(1, 1, weight=[[2.0]]), Sigmoid())
    >>> trace = model.trace([[0.5]], [[1.0]], SquaredError())
    >>> trace[0].output, trace["1"].output.round(4), trace["0"].gradients["weight"].round(4)
    (array([[1.]], dtype=float32), array([[0.7311]], dtype=float32), array([[-0.0264]], dtype=float32))
    >>> print(trace)
    Trace of Sequential: 1 sample, float32, E = 0.036165 (SquaredError)
    <BLANKLINE>
        x           (batch, 1)   0.50000
        dE/dx       (batch, 1)  -0.10575
    0   Linear(1, 1, weight=...)
        weight      (1, 1)       2.0000
        dE/dweight  (1, 1)      -0.026439
        bias        (1,)         0
        dE/dbias    (1,)        -0.052877
        a           (batch, 1)   1.0000
        g = dE/da   (batch, 1)  -0.052877
    1   Sigmoid()
        y           (batch, 1)   0.73106
        dE/dy       (batch, 1)  -0.26894
        t           (batch, 1)   1.0000
    """

    def sample(self, i: int) -> Trace:
        """Return the trace of one sample, with its own loss.

        Parameters
        ----------
        i : int
            Its place in the batch.

        Returns
        -------
        Trace

        Raises
        ------
        IndexError
            If there is no such sample.
        """
        if not isinstance(i, (int, np.integer)) or isinstance(i, bool):
            raise TypeError(f"trace: expected a sample's number, such as 0, got {i!r:.60}")
        count = batch_size_of(self.x)
        if not -count <= i < count:
            raise IndexError(f"trace: there is no sample {i}; it holds {count}, from 0 to {count - 1}")
        i %= count
        one = itemgetter(slice(i, i + 1))
        target = None if self.target is None else each(one, self.target)
        return trace_of(self.model, each(one, self.x), target, self.loss)

    def one_sample(self, sample: int | None, what: str) -> Trace:
        """Return the trace of the given sample; ValueError if it is None and there are several."""
        if sample is not None:
            return self.sample(sample)
        if batch_size_of(self.x) > 1:
            example = "draw(sample=0)" if what == "draw" else "sample=0"
            raise ValueError(
                f"trace: {what} shows one sample, and this trace holds {batch_size_of(self.x)}; choose one: {example}"
            )
        return self

    # ---- display

    def __str__(self) -> str:
        return trace_table(self)

    def __repr__(self) -> str:
        loss = f", E = {self.value:.5g}" if self.value is not None else ""
        return f"Trace({len(self._layers)} layers, {batch_size_of(self.x)} samples{loss})"

    def _repr_html_(self) -> str:
        return trace_html(self)

    def draw(self, sample: int | None = None) -> Figure:
        """Draw the whole net with its numbers, for one sample, and return the figure.

        Parameters
        ----------
        sample : int, optional
            Which sample, if the trace holds several.

        Returns
        -------
        Figure

        Raises
        ------
        ValueError
            If the trace holds several samples and none is chosen.

        Examples
        --------
        >>> from nanonet import Linear, Sequential, Sigmoid
        >>> figure = Sequential(Linear(2, 2), Sigmoid(), rng=0).trace([[1, 2]]).draw()
        >>> figure.svg[:4]
        '<svg'
        """
        return draw(self.one_sample(sample, "draw"))

    def explain(
        self,
        name: str,
        entry: tuple[int, ...] | int,
        *,
        learning_rate: float | None = None,
        lang: str = "en",
        sample: int | None = None,
    ) -> Explanation:
        """Return the chain rule for one entry of a parameter, line by line, in symbols and numbers of this pass.

        Parameters
        ----------
        name : str
            Of the parameter, such as "0.weight".
        entry : tuple of int
            Such as (1, 0), the weight from input 0 to output 1.
        learning_rate : float, optional
            If given, the last line is the SGD update.
        lang : {"en", "ja"}
        sample : int, optional
            Which sample, if the trace holds several.

        Returns
        -------
        Explanation

        Raises
        ------
        KeyError, IndexError
            If there is no such parameter or entry.
        ValueError
            If there was no backward pass, or the trace holds several samples and none is chosen.
        """
        return explain(self.one_sample(sample, "explain"), name, entry, learning_rate=learning_rate, lang=lang)


def trace_of(model: Chain, x: object, target: object = None, loss: Loss | None = None) -> Trace:
    """Run one pass on a copy of model, and return its trace; see :meth:`nanonet.Sequential.trace`."""
    _check_pair(target, loss)
    twin = copy.deepcopy(model)
    entered = each(np.array, twin.enter(x))
    if batch_size_of(entered) == 0:
        shapes = " and ".join(str(part.shape) for part in parts_of(entered))
        raise ValueError(f"trace: expected one sample or more, got x of shape {shapes}")
    kept = each(np.copy, entered)
    view = View(twin, live=True)
    found: list[LayerTrace] = []
    for name, layer in view.tree.layers.items():
        Recorder(name, layer, view.twins[name], found)
    value, checked = None, None
    try:
        with np.errstate(all="ignore"):
            prediction, cache = view.root.forward(entered)
            if loss is not None:
                checked, _ = loss.check(prediction, target)
                value, loss_cache = loss.forward(prediction, checked)
                view.root.backward(loss.backward(loss_cache), cache)
    except Exception as error:
        twin.raise_cause(error, entered)
    for record in found:
        own = {name: part for name, part in record.layer.owned_parts() if isinstance(part, Parameter)}
        record.parameters = {name: parameter.value.copy() for name, parameter in own.items()}
        if record.grad_output is not None:
            record.gradients = {name: parameter.grad.copy() for name, parameter in own.items()}
    layers = {record.name: record for record in found}
    return Trace(twin, kept, checked, loss, value, layers.pop(""), layers)


def _check_pair(target: object, loss: object) -> None:
    if loss is not None:
        expect(loss, Loss, "trace: expected loss")
    if (target is None) != (loss is None):
        given, missing = ("target", "a loss") if loss is None else ("loss", "a target")
        raise TypeError(f"trace: a {given} needs {missing}: trace(x, target, SquaredError())")
