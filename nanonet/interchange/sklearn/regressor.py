"""NanonetRegressor: a net as a scikit-learn regressor."""

from __future__ import annotations

from typing import Any, ClassVar

from nanonet.core.arrays import Array, Numbers
from nanonet.interchange.sklearn import bases
from nanonet.interchange.sklearn.base_estimator import Estimator
from nanonet.interchange.sklearn.classifier import NanonetClassifier
from nanonet.interchange.sklearn.samples import Samples
from nanonet.interchange.sklearn.settings import may_be_partial
from nanonet.losses.loss import Loss
from nanonet.losses.regression import PoissonNLL, SquaredError
from nanonet.training.described import described_by


@described_by(NanonetClassifier)
class NanonetRegressor(bases.RegressorMixin, Estimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A net with one output for each column of y.

    Parameters are those of :class:`NanonetClassifier` except ``class_weight``. Weights are equivalent to repeats here
    too. y is not scaled: if its values are far from 1, use scikit-learn's TransformedTargetRegressor.

    Parameters
    ----------
    loss : Loss, "squared_error", "poisson" or None
        Default: SquaredError; "poisson" is PoissonNLL. It gets y as rows. If it has a method ``expected(outputs)``, as
        PoissonNLL has, predictions are what that returns for the net's outputs.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from nanonet import Adam
    >>> from nanonet.interchange.sklearn import NanonetRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> y = np.sin(3 * X[:, 0])
    >>> NanonetRegressor(50, optimizer=Adam(0.01), random_state=0).fit(X, y).score(X, y) > 0.99  # doctest: +SKIP
    True
    >>> NanonetRegressor(10, solver="lbfgs", random_state=0).fit(X, y).score(X, y) > 0.99  # doctest: +SKIP
    True
    """

    named_losses: ClassVar[dict[str, type[Loss]]] = {"squared_error": SquaredError, "poisson": PoissonNLL}

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetRegressor:
        """Train a net on X, shape (samples, features), and y, shape (samples,) or (samples, outputs).

        Parameters
        ----------
        X : array, frame or sparse matrix
        y : array
        sample_weight : array, optional
            Shape (samples,).

        Returns
        -------
        NanonetRegressor
            Itself.
        """
        warm = self._is_warm()
        X, y, weight = self._validated(X, y, sample_weight, reset=not warm, y_numeric=True)
        self._start(X, y, first=not warm)
        self._train(Samples.distinct(X, self._rows(y), weight, keep_order=not self.shuffle))
        return self

    @bases.available_if(may_be_partial)  # type: ignore[untyped-decorator]  # scikit-learn is untyped
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NanonetRegressor:
        """Train for one epoch on further samples; see :meth:`NanonetClassifier.partial_fit`.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``.

        Returns
        -------
        NanonetRegressor
            Itself.
        """
        first = not hasattr(self, "model_")
        X, y, weight = self._validated(X, y, sample_weight, reset=first, y_numeric=True)
        self._start(X, y, first=first)
        self._train_on(Samples.distinct(X, self._rows(y), weight, keep_order=not self.shuffle))
        return self

    def predict(self, X: Any) -> Array:
        """Return a prediction of the shape of y.

        Parameters
        ----------
        X : array, frame or sparse matrix
            Shape (samples, features).

        Returns
        -------
        array
            Shape (samples,) or (samples, outputs).
        """
        outputs, loss = self._outputs(X), self._chosen_loss()
        if hasattr(loss, "expected"):
            outputs = loss.expected(outputs)
        return outputs[:, 0] if self._is_flat else outputs

    def _start(self, X: Any, y: Numbers, *, first: bool) -> None:
        columns = self._rows(y).shape[1]
        if first:
            self._build(columns, X.dtype)
        elif columns != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: expected y with {self.n_outputs_} columns, as before, got shape {y.shape}"
            )
        self._is_flat = y.ndim == 1

    def _rows(self, y: Numbers) -> Numbers:
        return y.reshape(len(y), -1)

    def _chosen_loss(self) -> Loss:
        if isinstance(self.loss, str):
            return self.named_losses[self.loss]()
        return SquaredError() if self.loss is None else self.loss

    def _target(self, samples: Samples) -> Numbers:
        return samples.target

    def _answers(self, samples: Samples) -> Numbers:
        return samples.target[:, 0] if self._is_flat else samples.target

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's estimator tags."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson" or isinstance(self.loss, PoissonNLL)
        return tags
