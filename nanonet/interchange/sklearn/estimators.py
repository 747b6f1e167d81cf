"""Estimators: nets as scikit-learn estimators, for pipelines, searches and cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Numbers
from nanonet.interchange.sklearn import bases
from nanonet.interchange.sklearn.base_estimator import Activations, Estimator, Model
from nanonet.interchange.sklearn.samples import Samples
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.loss import Loss
from nanonet.losses.regression import Hinge, SquaredError
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.trainer import Callback


class NanonetClassifier(bases.ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A net with one output for each class; the largest wins.

    A weight is exactly equivalent to repeating a sample: identical samples are merged and their weights added, and all
    batches of an epoch have the same total weight (:class:`nanonet.interchange.sklearn.samples.EvenBatches`). The
    result does not depend on the order of the samples. With equal weights, these are ordinary mini-batches of distinct
    samples.

    Parameters
    ----------
    hidden : int or sequence of int
        Sizes of the hidden layers; () for none.
    activation : Layer, class of Layer, or a sequence of them, optional
        One activation for all hidden layers, or one for each; default: ReLU.
    model : callable, optional
        Function of (features, outputs) that returns the layers, or a Sequential, instead of hidden and activation.
        Layers are initialized with random_state and get their dtype from X; a Sequential keeps its own.
    loss : Loss, optional
        Default: CrossEntropy. It and losses with ``integer_target`` get labels from 0, Hinge gets rows of -1 and 1, all
        others rows of 0 and 1, one column per class.
    optimizer : Optimizer, optional
        Default: Adam().
    epochs, batch_size : int
        As in :meth:`nanonet.Trainer.fit`.
    validation : float, optional
        Fraction of the distinct samples, stratified by class, to hold out for the validation loss.
    early_stopping : bool
        Whether to stop when the validation loss has not improved for ``patience`` epochs, and keep the best epoch's
        net; ``validation`` is 0.1 by default then.
    patience : int
    callbacks : sequence of Callback
        Copied for each fit; the copies are in ``callbacks_`` afterwards.
    class_weight : dict, "balanced" or None
        Multiplies the weights of the samples of each class.
    random_state : int, RandomState or None
        Seed for initial weights, batches and dropout. None draws a new seed, without using NumPy's global state.
    verbose : int or None
        As in :meth:`nanonet.Trainer.fit`.

    Attributes
    ----------
    model_ : Sequential
    history_ : History
    classes_, n_features_in_, feature_names_in_, n_iter_, loss_curve_, validation_loss_curve_
        As in scikit-learn.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> from nanonet.interchange.sklearn import NanonetClassifier
    >>> from sklearn.datasets import load_iris  # doctest: +SKIP
    >>> X, y = load_iris(return_X_y=True)  # doctest: +SKIP
    >>> NanonetClassifier(50, random_state=0).fit(X, y).score(X, y) > 0.95  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        activation: Activations = None,
        *,
        model: Model | None = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        epochs: int = 200,
        batch_size: int = 32,
        validation: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        callbacks: Sequence[Callback] = (),
        class_weight: Mapping[Any, float] | str | None = None,
        random_state: Any = None,
        verbose: int | None = 0,
    ) -> None:
        super().__init__(
            hidden,
            activation,
            model=model,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            validation=validation,
            early_stopping=early_stopping,
            patience=patience,
            callbacks=callbacks,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetClassifier:
        """Train a new net on X, shape (samples, features), and y, one class each."""
        X, y, weight = self._validated(X, y, sample_weight, reset=True)
        bases.check_classification_targets(y)
        self.classes_ = np.unique(y)
        self._build(self._count(), X.dtype)
        self._train(self._samples(X, y, weight))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NanonetClassifier:
        """Train for one epoch on further samples; the first call builds the net, and must be given all classes.

        The optimizer's state is kept between calls, and reset after ``fit``. ``early_stopping``, ``validation`` and
        ``callbacks`` are ignored.
        """
        if self.class_weight == "balanced":
            raise ValueError(f"{type(self).__name__}: class_weight='balanced' needs all samples; give a dict")
        first = not hasattr(self, "model_")
        X, y, weight = self._validated(X, y, sample_weight, reset=first)
        bases.check_classification_targets(y)
        self._agree_on_classes(classes, y, first)
        if first:
            self._build(self._count(), X.dtype)
        self._train_on(self._samples(X, y, weight))
        return self

    def predict(self, X: Any) -> Numbers:
        """Return the class of each sample."""
        winners = self._outputs(X).argmax(axis=1)
        chosen: Numbers = self.classes_[winners]
        return chosen

    def _has_probabilities(self) -> bool:
        loss = self._chosen_loss()
        if not hasattr(loss, "probabilities"):
            raise AttributeError(
                f"{loss}: gives no probabilities; a loss that does has a method probabilities(outputs)"
            )
        return True

    @bases.available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def predict_proba(self, X: Any) -> Array:
        """Return class probabilities, one row per sample; available if the loss has ``probabilities``."""
        each: Array = self._chosen_loss().probabilities(self._outputs(X))  # type: ignore[attr-defined]  # checked above
        rows: Array = each / each.sum(axis=1, keepdims=True)
        return rows

    def _count(self) -> int:
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__}: expected 2 classes or more, got {len(self.classes_)} class")
        return len(self.classes_)

    def _agree_on_classes(self, classes: Any, y: Numbers, first: bool) -> None:
        name = type(self).__name__
        if first and classes is None:
            raise ValueError(f"{name}: classes must be passed on the first call to partial_fit")
        known = self.classes_ if classes is None else bases.unique_labels(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"{name}: expected the classes of the first call, {self.classes_}, got {known}")
        if strangers := set(np.unique(y)) - set(known):
            raise ValueError(f"{name}: y holds {strangers!r:.60}, which are not among the classes {known}")
        self.classes_ = known

    def _samples(self, X: Array, y: Numbers, weight: Array) -> Samples:
        """Return distinct samples, with labels from 0 and class weights applied."""
        samples = Samples.distinct(X, np.searchsorted(self.classes_, y), weight)
        if self.class_weight is None:
            return samples
        each = bases.compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_[samples.target], sample_weight=samples.weight
        )
        return samples.scaled(each[samples.target])

    def _chosen_loss(self) -> Loss:
        return CrossEntropy() if self.loss is None else self.loss

    def _target(self, samples: Samples) -> Numbers:
        loss, labels = self._chosen_loss(), samples.target
        if loss.integer_target or isinstance(loss, CrossEntropy):
            return labels
        rows = np.eye(len(self.classes_), dtype=self.model_.dtype)[labels]
        return 2 * rows - 1 if isinstance(loss, Hinge) else rows


class NanonetRegressor(bases.RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A net with one output for each column of y.

    Parameters are those of :class:`NanonetClassifier` except ``class_weight``; the default loss is SquaredError, and it
    gets y as rows. Weights are equivalent to repeats here too. y is not scaled: if its values are far from 1, use
    scikit-learn's TransformedTargetRegressor.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> from nanonet.interchange.sklearn import NanonetRegressor
    >>> from nanonet import Adam
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> y = np.sin(3 * X[:, 0])
    >>> NanonetRegressor(50, optimizer=Adam(0.01), random_state=0).fit(X, y).score(X, y) > 0.99  # doctest: +SKIP
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetRegressor:
        """Train a new net on X, shape (samples, features), and y, shape (samples,) or (samples, outputs)."""
        X, y, weight = self._validated(X, y, sample_weight, reset=True, multi_output=True, y_numeric=True)
        self._start(X, y)
        self._train(Samples.distinct(X, self._rows(y), weight))
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetRegressor:
        """Train for one epoch on further samples; see :meth:`NanonetClassifier.partial_fit`."""
        first = not hasattr(self, "model_")
        X, y, weight = self._validated(X, y, sample_weight, reset=first, multi_output=True, y_numeric=True)
        if first:
            self._start(X, y)
        self._train_on(Samples.distinct(X, self._rows(y), weight))
        return self

    def predict(self, X: Any) -> Array:
        """Return a prediction of the shape of y."""
        outputs = self._outputs(X)
        return outputs[:, 0] if self._is_flat else outputs

    def _start(self, X: Array, y: Numbers) -> None:
        self._is_flat = y.ndim == 1
        self._build(self._rows(y).shape[1], X.dtype)

    def _rows(self, y: Numbers) -> Numbers:
        return y.reshape(len(y), -1)

    def _chosen_loss(self) -> Loss:
        return SquaredError() if self.loss is None else self.loss

    def _target(self, samples: Samples) -> Numbers:
        return samples.target

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's estimator tags."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
