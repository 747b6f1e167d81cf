"""Sequential: the chain that users build, with the methods fit, trace, summary and loss_and_grad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from nanonet.checking.layer_contract import recheck
from nanonet.core.arrays import Array, Arrays, Patterns, Shape
from nanonet.core.chain import Chain
from nanonet.core.checks import expect, is_several
from nanonet.core.errors import ContractError, ShapeError
from nanonet.core.layer import Layer
from nanonet.core.tree import Tree
from nanonet.inspection.summary import summary_of
from nanonet.inspection.trace import Trace, trace_of
from nanonet.losses.loss import Loss
from nanonet.losses.weights import nothing_counts
from nanonet.models import advice
from nanonet.models.derivatives import Derivatives
from nanonet.models.loading import load_states
from nanonet.models.sampling import sampled
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.class_weight import ClassWeights
from nanonet.training.described import described_by
from nanonet.training.history import History
from nanonet.training.metrics.evaluation import CHUNK, evaluate
from nanonet.training.metrics.named import Metrics
from nanonet.training.reducer import Reducer
from nanonet.training.step import gradients
from nanonet.training.trainer import Callback, Trainer


class Sequential(Derivatives, Chain):
    """A chain of layers, itself a layer: y = f_L(... f_2(f_1(x))).

    Building a chain initializes the layers' parameters, as views of one vector. Layers already built keep their values.

    Parameters
    ----------
    *layers : Layer
        Each must fit the next.
    dtype : dtype
        float32 or float64, for the parameters and all computations.
    rng : int, Generator or None
        The source of randomness for initial weights, shuffling and dropout: a seed makes a run reproducible. A nested
        chain draws its weights before the outer one is built: give it a seed too.

    Raises
    ------
    ShapeError
        If the shapes of two consecutive layers do not match.
    ValueError
        If a layer is used twice, or belongs to another model.

    Examples
    --------
    >>> from nanonet import Linear, Sequential, Sigmoid
    >>> model = Sequential(Linear(2, 3), Sigmoid(), Linear(3, 1), rng=0)
    >>> model
    Sequential(
      0: Linear(2, 3)
      1: Sigmoid()
      2: Linear(3, 1)
    )
    >>> model([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 1)
    """

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer | Sequential:
        """Return a layer, or for a slice a Sequential of the same layers that shares this one's vector."""
        found: Layer | Sequential = super().__getitem__(index)
        return found

    def summary(self, input_shape: Shape | None = None) -> str:
        """Return a table of each layer's input shape, output shape and parameters.

        It is a str, which a notebook shows as a table.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Without the batch axis; needed only if the first layer does not determine it.

        Returns
        -------
        str

        Examples
        --------
        >>> from nanonet import Linear, Sequential, Sigmoid
        >>> print(Sequential(Linear(2, 3), Sigmoid()).summary())
        Sequential: 2 layers, 9 parameters, float32
           layer         input       output      parameters                numbers
        0  Linear(2, 3)  (batch, 2)  (batch, 3)  weight (3, 2), bias (3,)        9
        1  Sigmoid()     (batch, 3)  (batch, 3)  -                               0
        """
        return summary_of(self, input_shape)

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        return summary_of(self)._repr_html_()

    def loss_and_grad(self, x: Any, target: Any, loss: Loss, *, training: bool = False) -> tuple[float, Array]:
        """Return the loss and a copy of the flat gradient, shape (size,), without taking a step.

        Parameters
        ----------
        x, target : array
            Shape (batch, ...), as ``fit`` takes them.
        loss : Loss
        training : bool
            Whether the pass is one of training, with dropout and the batch's own statistics.

        Returns
        -------
        loss : float
        grad : array
            In the order of ``vector.value``.

        Raises
        ------
        ShapeError
            If x does not fit the model, or target the prediction.
        ValueError
            If no sample of the batch counts.

        Examples
        --------
        >>> from nanonet import Constant, Linear, Sequential, SquaredError
        >>> model = Sequential(Linear(2, 1, weight=Constant(1.0)))
        >>> model.loss_and_grad([[1, 2]], [[1]], SquaredError())
        (2.0, array([2., 4., 2.], dtype=float32))
        """
        expect(loss, Loss, f"{type(self).__name__}.loss_and_grad: expected loss")
        entered = self.enter(x)
        try:
            outcome = gradients(self, loss, entered, target, None, training=training, finite=False)
        except Exception as error:
            self.raise_cause(error, entered, training)
        if outcome.divisor == 0:
            raise nothing_counts(f"{loss}: no sample of this batch counts")
        return outcome.loss, self.vector.grad.copy()

    @described_by(Chain.predict)
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        *,
        samples: int | None = None,
        rng: int | np.random.Generator | None = None,
    ) -> Array:
        """Return the prediction for x, shape (batch, ...); with samples, several with dropout, (samples, batch, ...).

        Parameters
        ----------
        samples : int, optional
            Predict so often, with layers that draw at random, such as Dropout, as in training, and all others as in
            inference: how far the results spread says how sure the model is (Gal and Ghahramani 2016).
        rng : int or Generator, optional
            What such layers draw from; default: copies of their own generators, so that each call gives the same.

        Returns
        -------
        array
            In the model's dtype; of a model with several outputs a tuple.

        Raises
        ------
        ValueError
            If samples are asked for, and no layer draws at random.

        Examples
        --------
        >>> from nanonet import Dropout, Linear, Sequential
        >>> model = Sequential(Linear(2, 8), Dropout(0.5), Linear(8, 1), rng=0)
        >>> model.predict([[1, 2]]).shape, model.predict([[1, 2]], samples=100).shape
        ((1, 1), (100, 1, 1))
        """
        if samples is None:
            return super().predict(x, batch_size)
        found: Array = sampled(self, x, samples, rng, batch_size)
        return found

    def trace(self, x: npt.ArrayLike, target: npt.ArrayLike | None = None, loss: Loss | None = None) -> Trace:
        """Return every number of a forward pass and, with target and loss, a backward pass, in inference mode.

        The pass runs on a copy: the model, including its gradients, is not changed.

        Parameters
        ----------
        x : array
            Shape (batch, ...), one sample or more.
        target : array, optional
            As the loss takes it.
        loss : Loss, optional
            Required with target.

        Returns
        -------
        Trace

        Raises
        ------
        ShapeError
            If x does not fit the model, or target the prediction.
        TypeError
            If only one of target and loss is given.

        Examples
        --------
        >>> from nanonet import Linear, Sequential, Sigmoid, SquaredError
        >>> model = Sequential(Linear(2, 1, weight=[[1.0, -1.0]]), Sigmoid())
        >>> trace = model.trace([[3, 3]], [[1]], SquaredError())
        >>> trace["0"].output, trace["0"].grad_output
        (array([[0.]], dtype=float32), array([[-0.125]], dtype=float32))
        """
        return trace_of(self, x, target, loss)

    def advice(self, expected: Patterns, x: Arrays) -> str:
        """Return what to try instead of an input of another shape than the expected one, or nothing."""
        is_one = isinstance(x, np.ndarray) and expected is not None and not is_several(expected)
        return advice.for_shape(expected, x) if is_one else ""

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike], *, strict: bool = True) -> Any:
        """Load what ``state_dict`` of this or another model returned, by name.

        Parameters
        ----------
        state : mapping
            Arrays by name.
        strict : bool
            Whether everything has to fit; if not, what fits is loaded, and the result, ``loaded``, ``missing``,
            ``unexpected`` and ``misfits``, names that and the rest.

        Returns
        -------
        tuple or None
            The report; None if strict.

        Raises
        ------
        ShapeError
            If strict, and names are missing or unexpected, or shapes differ; the message lists all of them, and nothing
            is changed.

        Examples
        --------
        >>> from nanonet import Linear, Sequential, Tanh
        >>> trained = Sequential(Linear(4, 8), Tanh(), Linear(8, 3), rng=0)
        >>> model = Sequential(Linear(4, 8), Tanh(), Linear(8, 2), rng=1)
        >>> found = model.load_state_dict(trained.state_dict(), strict=False)
        >>> found.loaded, found.misfits
        (('0.weight', '0.bias'), ('2.weight', '2.bias'))
        """
        loaded = load_states(Tree(self), state, strict=strict)
        return None if strict else loaded

    def freeze(self, until: int | None = None) -> None:
        """Freeze the layers before ``until``, which counts as in a slice, or all: training leaves them unchanged.

        Their buffers, such as BatchNorm's running statistics, still change in training.

        Parameters
        ----------
        until : int, optional

        Raises
        ------
        TypeError
            If until is no integer.

        Examples
        --------
        >>> from nanonet import Linear, Sequential, Tanh
        >>> model = Sequential(Linear(4, 8), Tanh(), Linear(8, 2))
        >>> model.freeze(2)
        >>> [name for name, parameter in model.parameters().items() if parameter.trainable]
        ['2.weight', '2.bias']
        >>> model.unfreeze()
        """
        if not isinstance(until, int | np.integer | None):
            raise TypeError(
                f"freeze: expected until as a number of layers, as in model[:until], got {until!r}; "
                "for one layer write model[0].freeze()"
            )
        for layer in self.layers[:until]:
            layer.freeze()
        if until is None:
            super().freeze()

    def raise_cause(self, error: Exception, x: Array, training: bool = False, *, backward: bool = True) -> Any:
        """Raise what the strict contract finds wrong in a failed pass, or else the error itself."""
        if not isinstance(error, (ContractError, ShapeError)):
            recheck(self, x, training, backward=backward)
        raise error

    @described_by(Trainer, Trainer.fit)
    def fit(
        self,
        x: Any,
        target: Any = None,
        *,
        loss: Loss,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int = 32,
        shuffle: bool = True,
        validation: float | tuple[Any, ...] | Iterable[Any] | None = None,
        steps_per_epoch: int | None = None,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: ClassWeights = None,
        metrics: Metrics = (),
        callbacks: Sequence[Callback] = (),
        rng: int | np.random.Generator | None = None,
        workers: int | None = None,
        reducer: Reducer | None = None,
        verbose: int | None = None,
        fast: bool | None = None,
    ) -> History:
        """Train with a fresh optimizer state, and return the losses of every epoch.

        It is :meth:`nanonet.Trainer.fit` of a new :class:`nanonet.Trainer`, so every such fit begins at epoch 1. Ctrl-C
        ends it after the last completed step; the history is returned, with ``interrupted`` set.

        Parameters
        ----------
        epochs : int
            Number of passes over all samples.

        Raises
        ------
        TypeError
            If loss, optimizer or epochs is missing, or not of such a kind.

        Examples
        --------
        >>> from nanonet import SGD, Linear, Sequential, SquaredError
        >>> model = Sequential(Linear(1, 1), rng=0)
        >>> history = model.fit([[0], [1]], [[1], [3]], loss=SquaredError(), optimizer=SGD(0.5), epochs=100)
        >>> model([[2.0]]).round(2)
        array([[5.]], dtype=float32)
        """
        trainer = Trainer(self, loss=loss, optimizer=optimizer, rng=rng, workers=workers, reducer=reducer, fast=fast)
        return trainer.fit(
            x,
            target,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation=validation,
            steps_per_epoch=steps_per_epoch,
            sample_weight=sample_weight,
            class_weight=class_weight,
            metrics=metrics,
            callbacks=callbacks,
            verbose=verbose,
        )

    @described_by(evaluate)
    def evaluate(
        self,
        x: Any,
        target: Any,
        loss: Loss,
        metrics: Metrics | None = None,
        *,
        batch_size: int = CHUNK,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Any:
        """Return the loss on data in inference mode, in batches; with metrics, a dict of the loss and their values.

        Examples
        --------
        >>> from nanonet import Linear, MeanSquaredError, Sequential, r2
        >>> model = Sequential(Linear(1, 1, weight=[[2.0]]))
        >>> x, target = [[0], [1], [2]], [[0], [2], [3]]
        >>> model.evaluate(x, target, MeanSquaredError(), [r2])
        {'loss': 0.3333333333333333, 'r2': 0.7857142857142857}
        """
        return evaluate(self, x, target, loss, metrics, batch_size=batch_size, sample_weight=sample_weight)


Chain.sliced_as = Sequential
