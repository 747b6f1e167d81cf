"""What both estimators share: the network, its training, and input validation."""

from __future__ import annotations

import copy
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nanonet.core.arrays import Array, Numbers
from nanonet.core.checks import positive_int
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.interchange.sklearn import bases
from nanonet.interchange.sklearn.samples import EvenBatches, Samples
from nanonet.layers.activations import ReLU
from nanonet.layers.linear import Linear
from nanonet.losses.loss import Loss
from nanonet.models.sequential import Sequential
from nanonet.optimizers.adam import Adam
from nanonet.optimizers.optimizer import Optimizer
from nanonet.training.callbacks import EarlyStopping
from nanonet.training.trainer import Callback, Trainer

Activations = Layer | type[Layer] | Sequence[Layer | type[Layer]] | None
Model = Callable[[int, int], Sequential | Iterable[Layer]]

DTYPES = (np.float64, np.float32)  # kept; anything else is converted to the first


class Estimator(bases.ClassNamePrefixFeaturesOutMixin, bases.TransformerMixin, bases.BaseEstimator, ABC):  # type: ignore[misc]  # untyped
    """Base of both estimators, whose docstrings describe the parameters."""

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
        random_state: Any = None,
        verbose: int | None = 0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation = validation
        self.early_stopping = early_stopping
        self.patience = patience
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # ---- fitted attributes

    @property
    def loss_curve_(self) -> list[float]:
        """The loss of every epoch."""
        return self.history_["loss"]

    @property
    def validation_loss_curve_(self) -> list[float]:
        """The loss of every epoch on the validation samples."""
        return self.history_["validation_loss"]

    @property
    def n_iter_(self) -> int:
        """The number of epochs."""
        return len(self.loss_curve_)

    def transform(self, X: Any) -> Array:
        """Return the outputs of the second-to-last layer, the learned features, one row per sample."""
        entered = self._validated_again(X)
        hidden = self.model_[:-1](entered)
        return hidden.reshape(len(hidden), -1)

    @property
    def _n_features_out(self) -> int:
        return self.model_[:-1](np.zeros((1, self.n_features_in_))).size  # transform may return a data frame

    def _outputs(self, X: Any) -> Array:
        """Return the net's outputs, one row per sample."""
        entered = self._validated_again(X)
        return self.model_(entered)

    # ---- data

    def _validated(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, **checks: Any
    ) -> tuple[Array, Numbers, Array]:
        """Return validated X, y and sample weights, without the samples of weight 0."""
        X, y = bases.validate_data(self, X, y, dtype=DTYPES, reset=reset, **checks)
        weight = bases.check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        counts = weight > 0
        if not counts.any():
            raise ValueError(f"{type(self).__name__}: sample_weight is 0 for all {len(X)} samples")
        return X[counts], y[counts], weight[counts]

    def _validated_again(self, X: Any) -> Array:
        """Return validated X, or raise NotFittedError if there is no model."""
        bases.check_is_fitted(self, "model_")
        entered: Array = bases.validate_data(self, X, dtype=DTYPES, reset=False)
        return entered

    # ---- the net

    def _build(self, outputs: int, dtype: Any) -> None:
        """Build the net; all randomness comes from one generator."""
        seed = self.random_state
        rng = np.random.default_rng(None if seed is None else bases.check_random_state(seed).randint(2**31))
        make = self._layers if self.model is None else self.model
        made = make(self.n_features_in_, outputs)
        self.model_ = made if isinstance(made, Sequential) else Sequential(*made, dtype=dtype, rng=rng)
        shape = self.model_.predict(np.zeros((1, self.n_features_in_))).shape[1:]
        if shape != (outputs,):
            raise ShapeError(
                f"{type(self).__name__}: expected model({self.n_features_in_}, {outputs}) to give a net whose output "
                f"has shape {shape_text((outputs,))}, got {shape_text(shape)}"
            )
        self._rng = rng
        self._trainer: Trainer | bytes | None = None

    def _layers(self, features: int, outputs: int) -> Iterator[Layer]:
        """Yield the layers specified by hidden and activation."""
        hidden = self.hidden if isinstance(self.hidden, Iterable) else (self.hidden,)
        sizes = [features, *hidden]
        given = self.activation
        activations = given if isinstance(given, (list, tuple)) else [given] * (len(sizes) - 1)
        if len(activations) != len(sizes) - 1:
            raise ValueError(
                f"{type(self).__name__}: expected one activation for each of the {len(sizes) - 1} hidden sizes, "
                f"got {len(activations)}"
            )
        for (below, above), activation in zip(pairwise(sizes), activations, strict=True):
            yield Linear(below, above)
            yield _fresh(activation)
        yield Linear(sizes[-1], outputs)

    # ---- training

    def _new_trainer(self) -> Trainer:
        optimizer = Adam() if self.optimizer is None else copy.deepcopy(self.optimizer)
        return Trainer(self.model_, loss=self._chosen_loss(), optimizer=optimizer, rng=self._rng)

    def _train(self, samples: Samples) -> None:
        """Train for all epochs, holding out validation samples if requested."""
        self.callbacks_ = copy.deepcopy(list(self.callbacks))  # fit must not change the parameters
        fraction, held = self.validation, None
        if self.early_stopping:
            self.callbacks_.append(EarlyStopping(patience=self.patience))
            fraction = 0.1 if fraction is None else fraction
        if fraction is not None:
            samples, kept = samples.split(fraction, self._rng, stratified=hasattr(self, "classes_"))
            held = kept.x, self._target(kept), kept.weight
        trainer = self._new_trainer()
        self.history_ = trainer.history
        self._fit_on(trainer, samples, epochs=self.epochs, validation=held, callbacks=self.callbacks_)

    def _train_on(self, samples: Samples) -> None:
        """Train for one epoch on further samples, continuing with the optimizer's state."""
        trainer = self._trainer if isinstance(self._trainer, Trainer) else self._new_trainer()
        if isinstance(self._trainer, bytes):
            _unpack(self._trainer, trainer)
        elif self._trainer is None:
            trainer.history = getattr(self, "history_", trainer.history)
        self._trainer, self.history_ = trainer, trainer.history
        self._fit_on(trainer, samples, epochs=1)

    def _fit_on(self, trainer: Trainer, samples: Samples, **settings: Any) -> None:
        size = positive_int(self.batch_size, type(self).__name__, "batch_size")
        settings |= {"verbose": self.verbose}
        target = self._target(samples)
        if samples.is_even:
            trainer.fit(samples.x, target, batch_size=size, **settings)
        else:
            weighted = Samples(samples.x, target, samples.weight)
            trainer.fit(EvenBatches(weighted, size, self._rng), **settings)

    @abstractmethod
    def _chosen_loss(self) -> Loss:
        """Return the given loss, or the estimator's default."""

    @abstractmethod
    def _target(self, samples: Samples) -> Numbers:
        """Return the target as the loss takes it."""

    def __getstate__(self) -> Any:
        """Return the state for copying and pickling; a trainer becomes a checkpoint."""
        state = super().__getstate__()
        if isinstance(trainer := state.get("_trainer"), Trainer):
            state = {**state, "_trainer": _packed(trainer)}
        return state


def _fresh(activation: Layer | type[Layer] | None) -> Layer:
    """Return a new activation layer."""
    if activation is None:
        return ReLU()
    return activation() if isinstance(activation, type) else copy.deepcopy(activation)


def _packed(trainer: Trainer) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trainer.npz")
        trainer.save(path)
        return path.read_bytes()


def _unpack(packed: bytes, trainer: Trainer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trainer.npz")
        path.write_bytes(packed)
        trainer.resume(path)
