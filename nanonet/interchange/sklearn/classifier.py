"""NanonetClassifier: a net as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Numbers
from nanonet.interchange.sklearn import bases
from nanonet.interchange.sklearn.base_estimator import Activations, Estimator, Model
from nanonet.interchange.sklearn.samples import Samples
from nanonet.interchange.sklearn.settings import FIRST_RATE, may_be_partial
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.labels import LabelsCrossEntropy
from nanonet.losses.loss import Loss
from nanonet.losses.regression import Hinge
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.trainer import Callback


class NanonetClassifier(bases.ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A net with one output for each class, of which the largest wins, or for each label of a multilabel y.

    A weight is exactly equivalent to repeating a sample: identical samples are merged and their weights added, and all
    batches of an epoch have the same total weight (:class:`nanonet.interchange.sklearn.samples.EvenBatches`). Unless
    shuffle is False, the result does not depend on the order of the samples. With equal weights, these are ordinary
    mini-batches of distinct samples.

    Sparse X becomes dense batch by batch; validation samples, and all samples for lbfgs, are dense at once.

    Parameters
    ----------
    hidden : int or sequence of int
        Sizes of the hidden layers; () for none.
    activation : Layer, class of Layer, "identity", "logistic", "relu", "tanh", or a sequence of these, optional
        One activation for all hidden layers, or one for each; default: ReLU.
    model : callable, optional
        Function of (features, outputs) that returns the layers, or a Sequential, instead of hidden and activation.
        Layers get their dtype from X; a Sequential keeps its own. Every chain that it builds without a seed, also one
        within another, draws its weights from random_state.
    loss : Loss, optional
        Default: CrossEntropy; for a multilabel y the sum of BinaryCrossEntropy over the labels. CrossEntropy and losses
        with ``integer_target`` get labels from 0, Hinge gets rows of -1 and 1, all others rows of 0 and 1, one column
        per class.
    optimizer : Optimizer, optional
        Instead of solver and learning_rate_init.
    solver : "adam", "sgd" or "lbfgs"
        ``Adam(learning_rate_init)``, ``SGD(learning_rate_init, momentum=0.9, nesterov=True)``, or SciPy's L-BFGS-B on
        all samples at once, in inference mode, with up to ``epochs`` iterations and ``max_fun`` evaluations.
    alpha : float
        As in scikit-learn adds alpha / 2 times the sum of the squared weights, without biases, to the loss; divided by
        the batch size, or for lbfgs by the total weight of the samples.
    epochs : int
    batch_size : int or "auto"
        "auto": 200. At most the number of distinct samples.
    learning_rate : "constant", "invscaling" or "adaptive"
        "invscaling" divides the rate by (t + 1)^power_t after each epoch, where t is the number of samples seen;
        "adaptive" divides it by 5 where training would stop, until it is 1e-6. They act on any optimizer, in
        scikit-learn only on "sgd".
    learning_rate_init, power_t : float
    shuffle : bool
        Whether the batches of each epoch are drawn at random; otherwise samples stay in the order in which each first
        occurs.
    validation : float, optional
        Fraction of the distinct samples, stratified by class, to hold out for the validation loss.
    early_stopping : bool
        Whether to stop when the score on the validation samples has not improved by tol for ``patience`` epochs, and
        keep the best epoch's net; ``validation`` is 0.1 by default then.
    scoring : str, callable, "loss" or None
        The score of early_stopping, as in HistGradientBoostingClassifier: a scorer; the negative validation loss; None:
        that of ``score``.
    tol : float, optional
        By how much an epoch must improve on the best one. Given, training also stops without early_stopping, when the
        loss has not improved for ``patience`` epochs, and ConvergenceWarning says if it has not stopped after
        ``epochs``. None: every epoch is run; early_stopping, "adaptive" and lbfgs use 1e-4.
    patience : int or inf
    callbacks : sequence of Callback
        Copied for each fit; the copies are in ``callbacks_`` afterwards.
    class_weight : dict, "balanced" or None
        Multiplies the weights of the samples of each class.
    random_state : int, RandomState or None
        Seed for initial weights, batches and dropout. None draws a new seed, without using NumPy's global state.
    warm_start : bool
        Whether ``fit`` continues with the net of the fit before and a new optimizer, on the same validation samples.
    verbose : int or None
        As in :meth:`nanonet.Trainer.fit`.
    max_fun : int

    Attributes
    ----------
    model_ : Sequential
    history_ : History
    classes_, n_features_in_, feature_names_in_, n_iter_, t_, loss_, loss_curve_, best_loss_, validation_scores_,
    best_validation_score_, n_layers_, n_outputs_
        As in scikit-learn.
    coefs_, intercepts_ : list of array
        Views of the numbers of the net, if all of these are those of Linear layers.
    learning_rate_ : float
        The rate after the last epoch.
    validation_loss_curve_ : list of float
        If there were validation samples.

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

    _is_multilabel = False  # until it is fitted

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        activation: Activations = None,
        *,
        model: Model | None = None,
        loss: Loss | None = None,
        optimizer: Optimizer | None = None,
        solver: str = "adam",
        alpha: float = 0.0,
        epochs: int = 200,
        batch_size: int | str = 32,
        learning_rate: str = "constant",
        learning_rate_init: float = FIRST_RATE,
        power_t: float = 0.5,
        shuffle: bool = True,
        validation: float | None = None,
        early_stopping: bool = False,
        scoring: Any = None,
        tol: float | None = None,
        patience: float = 10,
        callbacks: Sequence[Callback] = (),
        class_weight: Mapping[Any, float] | str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int | None = 0,
        max_fun: int = 15000,
    ) -> None:
        super().__init__(
            hidden,
            activation,
            model=model,
            loss=loss,
            optimizer=optimizer,
            solver=solver,
            alpha=alpha,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            shuffle=shuffle,
            validation=validation,
            early_stopping=early_stopping,
            scoring=scoring,
            tol=tol,
            patience=patience,
            callbacks=callbacks,
            random_state=random_state,
            warm_start=warm_start,
            verbose=verbose,
            max_fun=max_fun,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetClassifier:
        """Train a net on X, shape (samples, features), and y, one class each, or rows of 0 and 1, one per label.

        Parameters
        ----------
        X : array, frame or sparse matrix
        y : array
        sample_weight : array, optional
            Shape (samples,).

        Returns
        -------
        NanonetClassifier
            Itself.

        Raises
        ------
        ValueError
            If data, classes or settings do not fit.
        """
        warm = self._is_warm()
        X, y, weight = self._labelled(X, y, sample_weight, reset=not warm)
        found = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        if not warm:
            self._know(found, y)
            self._build(self._count(), X.dtype)
        elif self._is_multilabel != (y.ndim == 2) or not np.array_equal(found, self.classes_):
            raise ValueError(
                f"{type(self).__name__}: warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {self.classes_}, `y` has {found}"
            )
        self._train(self._samples(X, y, weight))
        return self

    @bases.available_if(may_be_partial)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NanonetClassifier:
        """Train for one epoch on further samples; the first call builds the net, and must be given all classes.

        The optimizer's state is kept between calls, and reset after ``fit``. ``validation`` and ``callbacks`` are
        ignored. Not available with ``early_stopping`` or lbfgs.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``.
        classes : array, optional
            All classes; needed in the first call.

        Returns
        -------
        NanonetClassifier
            Itself.

        Raises
        ------
        ValueError
            If data or classes do not fit those of the first call.
        """
        if self.class_weight == "balanced":
            raise ValueError(f"{type(self).__name__}: class_weight='balanced' needs all samples; give a dict")
        first = not hasattr(self, "model_")
        X, y, weight = self._labelled(X, y, sample_weight, reset=first)
        self._agree_on_classes(classes, y, first)
        if first:
            self._build(self._count(), X.dtype)
        self._train_on(self._samples(X, y, weight))
        return self

    def predict(self, X: Any) -> Numbers:
        """Return the class of each sample, or for each label whether it has it, 0 or 1.

        Parameters
        ----------
        X : array, frame or sparse matrix
            Shape (samples, features).

        Returns
        -------
        array
            Shape (samples,), or (samples, labels) for a multilabel y.
        """
        outputs = self._outputs(X)
        if not self._is_multilabel:
            chosen: Numbers = self.classes_[outputs.argmax(axis=1)]
            return chosen
        loss = self._chosen_loss()
        if hasattr(loss, "probabilities"):
            outputs = loss.probabilities(outputs)
        return (outputs > (0.0 if isinstance(loss, Hinge) else 0.5)).astype(int)

    def _has_probabilities(self) -> bool:
        loss = self._chosen_loss()
        if not hasattr(loss, "probabilities"):
            raise AttributeError(
                f"{loss}: gives no probabilities; a loss that does has a method probabilities(outputs)"
            )
        return True

    @bases.available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def predict_proba(self, X: Any) -> Array:
        """Return class probabilities, one row per sample; available if the loss has ``probabilities``.

        Of a multilabel y, the probability of each label.

        Parameters
        ----------
        X : array, frame or sparse matrix
            Shape (samples, features).

        Returns
        -------
        array
            Shape (samples, classes).
        """
        each: Array = self._chosen_loss().probabilities(self._outputs(X))  # type: ignore[attr-defined]  # checked above
        if self._is_multilabel:
            return each
        rows: Array = each / each.sum(axis=1, keepdims=True)
        return rows

    @bases.available_if(_has_probabilities)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of ``predict_proba``; -inf where a probability is 0.

        Parameters
        ----------
        X : array, frame or sparse matrix
            Shape (samples, features).

        Returns
        -------
        array
            Shape (samples, classes).
        """
        with np.errstate(divide="ignore"):
            logs: Array = np.log(self.predict_proba(X))
        return logs

    def _labelled(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> tuple[Any, Numbers, Array]:
        """Return X, y and weights, validated; y has two axes if and only if it is multilabel."""
        X, y, weight = self._validated(X, y, sample_weight, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = bases.column_or_1d(y, warn=True)
        bases.check_classification_targets(y)
        if y.ndim == 2:
            if (kind := bases.type_of_target(y)) != "multilabel-indicator":
                raise ValueError(
                    f"{type(self).__name__}: expected y of one class per sample, or of rows of 0 and 1, one column per "
                    f"label, got {kind} of shape {y.shape}; for several classes per sample use MultiOutputClassifier"
                )
            if self.class_weight is not None:
                raise ValueError(
                    f"{type(self).__name__}: class_weight is for one class per sample, and y is multilabel"
                )
            loss: Any = self.loss
            if isinstance(loss, CrossEntropy) or (loss is not None and loss.integer_target):
                raise ValueError(f"{type(self).__name__}: {loss} takes one class per sample; try BinaryCrossEntropy()")
            y = y.astype(int)
        return X, y, weight

    def _know(self, classes: Numbers, y: Numbers) -> None:
        self.classes_, self._is_multilabel = classes, y.ndim == 2

    def _count(self) -> int:
        if len(self.classes_) < 2 and not self._is_multilabel:
            raise ValueError(f"{type(self).__name__}: expected 2 classes or more, got {len(self.classes_)} class")
        return len(self.classes_)

    def _agree_on_classes(self, classes: Any, y: Numbers, first: bool) -> None:
        name = type(self).__name__
        if first and classes is None:
            raise ValueError(f"{name}: classes must be passed on the first call to partial_fit")
        known = self.classes_ if classes is None else bases.unique_labels(classes)
        if not first and not np.array_equal(known, self.classes_):
            raise ValueError(f"{name}: expected the classes of the first call, {self.classes_}, got {known}")
        if not first and self._is_multilabel != (y.ndim == 2):
            raise ValueError(f"{name}: expected y with {'one row' if self._is_multilabel else 'one class'} per sample")
        if y.ndim == 2 and y.shape[1] != len(known):
            raise ValueError(f"{name}: expected y with {len(known)} columns, one per label, got {y.shape[1]}")
        if y.ndim == 1 and (strangers := set(np.unique(y)) - set(known)):
            raise ValueError(f"{name}: y holds {strangers!r:.60}, which are not among the classes {known}")
        self._know(known, y)

    def _samples(self, X: Any, y: Numbers, weight: Array) -> Samples:
        """Return distinct samples, with labels from 0 and class weights applied."""
        labels = y if self._is_multilabel else np.searchsorted(self.classes_, y)
        samples = Samples.distinct(X, labels, weight, keep_order=not self.shuffle)
        if self.class_weight is None:
            return samples
        each = bases.compute_class_weight(
            self.class_weight, classes=self.classes_, y=self.classes_[samples.target], sample_weight=samples.weight
        )
        return samples.scaled(each[samples.target])

    def _chosen_loss(self) -> Loss:
        if self.loss is None:
            return LabelsCrossEntropy() if self._is_multilabel else CrossEntropy()
        assert isinstance(self.loss, Loss)  # check_settings
        return self.loss

    def _target(self, samples: Samples) -> Numbers:
        loss, labels = self._chosen_loss(), samples.target
        if not self._is_multilabel:
            if loss.integer_target or isinstance(loss, CrossEntropy):
                return labels
            labels = np.eye(len(self.classes_))[labels]
        rows = labels.astype(self.model_.dtype)
        return 2 * rows - 1 if isinstance(loss, Hinge) else rows

    def _answers(self, samples: Samples) -> Numbers:
        answers: Numbers = samples.target if self._is_multilabel else self.classes_[samples.target]
        return answers

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's estimator tags."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
