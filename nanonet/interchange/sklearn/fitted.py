"""Fitted: what a fitted estimator shows under scikit-learn's names; what a fit did not make is not there."""

from __future__ import annotations

from typing import Any

import numpy as np

from nanonet.core.arrays import Array
from nanonet.interchange.sklearn import bases
from nanonet.layers.linear import Linear
from nanonet.models.sequential import Sequential
from nanonet.training.history import History


class Fitted:
    """The fitted attributes, those of MLPClassifier and a few more.

    They raise AttributeError, of which NotFittedError is one, if there is nothing to return.
    """

    model_: Sequential
    history_: History
    _before = 0  # epochs before the last fit
    _scores: tuple[list[float], float] | None = None  # on validation samples, and the best of them

    def _curve(self, name: str, attribute: str) -> list[float]:
        bases.check_is_fitted(self, "history_")
        if name not in self.history_:
            raise AttributeError(f"{type(self).__name__} has no {attribute}: its last fit had no {name}")
        return self.history_[name]

    @property
    def loss_curve_(self) -> list[float]:
        """The loss of every epoch, without the penalty of alpha; with lbfgs, of every iteration, with it."""
        return self._curve("loss", "loss_curve_")

    @property
    def validation_loss_curve_(self) -> list[float]:
        """The loss of every epoch on the validation samples."""
        return self._curve("validation_loss", "validation_loss_curve_")

    @property
    def loss_(self) -> float:
        """The loss of the last epoch."""
        return self._curve("loss", "loss_")[-1]

    @property
    def best_loss_(self) -> float | None:
        """The smallest loss of any epoch; None with early_stopping, as in scikit-learn."""
        smallest = min(self._curve("loss", "best_loss_"))
        return smallest if self._scores is None else None

    @property
    def n_iter_(self) -> int:
        """The number of epochs, or of iterations of lbfgs, of the last fit or partial_fit."""
        return len(self._curve("loss", "n_iter_")) - self._before

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score of every epoch on the validation samples; None without early_stopping."""
        bases.check_is_fitted(self, "history_")
        return None if self._scores is None else self._scores[0]

    @property
    def best_validation_score_(self) -> float | None:
        """The best of them, of the epoch whose model was kept; None without early_stopping."""
        bases.check_is_fitted(self, "history_")
        return None if self._scores is None else self._scores[1]

    @property
    def coefs_(self) -> list[Array]:
        """The weights of each Linear, shape (in_features, out_features), as views of the model's."""
        return [linear.weight.value.T for linear in self._linears("coefs_")]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each Linear, as views of the model's."""
        linears = self._linears("intercepts_")
        none = (np.zeros(each.out_features, self.model_.dtype) for each in linears)
        return [zeros if each.bias is None else each.bias.value for each, zeros in zip(linears, none, strict=True)]

    @property
    def n_layers_(self) -> int:
        """The number of layers as scikit-learn counts them: the input, and one for each Linear."""
        return len(self._linears("n_layers_")) + 1

    @property
    def n_outputs_(self) -> int:
        """The number of outputs of the net; for two classes 2."""
        bases.check_is_fitted(self, "model_")
        features: Any = self.n_features_in_  # type: ignore[attr-defined]  # validate_data sets it
        outputs: int = self.model_.predict(np.zeros((1, features))).shape[1]
        return outputs

    def _linears(self, attribute: str) -> list[Linear]:
        """Return the layers with parameters if all of them are Linear."""
        bases.check_is_fitted(self, "model_")
        linears = [layer for layer in self.model_.layers if isinstance(layer, Linear)]
        if sum(part.size for layer in linears for part in layer.parameters().values()) != self.model_.vector.size:
            raise AttributeError(
                f"{type(self).__name__} has no {attribute}: not all parameters of model_ are those of a Linear; "
                "model_.state_dict() has them all"
            )
        return linears
