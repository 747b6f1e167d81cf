"""What both estimators share: the network, its training, and input validation."""

from __future__ import annotations

import copy
import math
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nanonet.core.arrays import Array, Numbers
from nanonet.core.errors import ShapeError, shape_text
from nanonet.core.layer import Layer
from nanonet.interchange.scipy import minimize
from nanonet.interchange.sklearn import bases
from nanonet.interchange.sklearn.convergence import Convergence, InverseScaling
from nanonet.interchange.sklearn.fitted import Fitted
from nanonet.interchange.sklearn.samples import EvenBatches, Samples, dense, is_sparse
from nanonet.interchange.sklearn.settings import (
    FIRST_RATE,
    TOLERANCE,
    batch_size_of,
    check_settings,
    new_activation,
    new_optimizer,
)
from nanonet.layers.linear import Linear
from nanonet.losses.loss import Loss
from nanonet.models.seeding import seeded
from nanonet.models.sequential import Sequential
from nanonet.optimizers.optimizer import Optimizer, weights_only
from nanonet.training.feed import generator_at
from nanonet.training.history import History
from nanonet.training.trainer import Callback, Trainer

Activation = Layer | type[Layer] | str
Activations = Activation | Sequence[Activation] | None
Model = Callable[[int, int], Sequential | Iterable[Layer]]

DTYPES = (np.float64, np.float32)  # kept; anything else is converted to the first
MOST = 2**22  # the numbers of a sparse X that are dense at once in a prediction


class Estimator(bases.ClassNamePrefixFeaturesOutMixin, bases.TransformerMixin, Fitted, bases.BaseEstimator, ABC):  # type: ignore[misc]  # untyped
    """Base of both estimators, whose docstrings describe the parameters."""

    named_losses: ClassVar[dict[str, type[Loss]]] = {}
    """The losses that scikit-learn has names for."""

    def __init__(
        self,
        hidden: int | Sequence[int] = (100,),
        activation: Activations = None,
        *,
        model: Model | None = None,
        loss: Loss | str | None = None,
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
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int | None = 0,
        max_fun: int = 15000,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.solver = solver
        self.alpha = alpha
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.shuffle = shuffle
        self.validation = validation
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.tol = tol
        self.patience = patience
        self.callbacks = callbacks
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.max_fun = max_fun

    def transform(self, X: Any) -> Array:
        """Return the outputs of the second-to-last layer, the learned features, one row per sample."""
        hidden = self._outputs_of(self.model_[:-1] if hasattr(self, "model_") else None, X)
        return hidden.reshape(len(hidden), -1)

    @property
    def _n_features_out(self) -> int:
        return self.model_[:-1](np.zeros((1, self.n_features_in_))).size  # transform may return a data frame

    def _outputs(self, X: Any) -> Array:
        """Return the net's outputs, one row per sample."""
        return self._outputs_of(getattr(self, "model_", None), X)

    def _outputs_of(self, model: Any, X: Any) -> Array:
        """Return a model's outputs, or raise NotFittedError if there is none; a sparse X becomes dense in parts."""
        bases.check_is_fitted(self, "model_")
        entered = bases.validate_data(self, X, accept_sparse="csr", dtype=DTYPES, reset=False)
        if not is_sparse(entered):
            outputs: Array = model(entered)
            return outputs
        rows = max(1, MOST // entered.shape[1])
        starts = range(0, entered.shape[0], rows)
        return np.concatenate([model(entered[start : start + rows].toarray()) for start in starts])

    # ---- data

    def _validated(self, X: Any, y: Any, sample_weight: Any, *, reset: bool, **checks: Any) -> tuple[Any, Any, Array]:
        """Return validated X, y and sample weights, without the samples of weight 0."""
        check_settings(self, self.named_losses)
        X, y = bases.validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=DTYPES, reset=reset, **checks
        )
        weight = bases.check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        counts = weight > 0
        if not counts.any():
            raise ValueError(f"{type(self).__name__}: sample_weight is 0 for all {X.shape[0]} samples")
        return X[counts], dense(y)[counts], weight[counts]

    def _is_warm(self) -> bool:
        """Return whether this fit continues an earlier one."""
        return bool(self.warm_start) and hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's estimator tags."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- the net

    def _build(self, outputs: int, dtype: Any) -> None:
        """Build the net; all randomness comes from one generator, also that of chains within it."""
        seed = self.random_state
        rng = np.random.default_rng(None if seed is None else bases.check_random_state(seed).randint(2**31))
        make = self._layers if self.model is None else self.model
        with seeded(rng):
            made = make(self.n_features_in_, outputs)
            self.model_ = made if isinstance(made, Sequential) else Sequential(*made, dtype=dtype, rng=rng)
        shape = self.model_.predict(np.zeros((1, self.n_features_in_))).shape[1:]
        if shape != (outputs,):
            raise ShapeError(
                f"{type(self).__name__}: expected model({self.n_features_in_}, {outputs}) to give a net whose output "
                f"has shape {shape_text((outputs,))}, got {shape_text(shape)}"
            )
        self._rng = rng
        self._split_from: Any = None  # the generator's state before the first split
        self.history_, self.t_ = History(), 0
        self._before, self._scores = 0, None
        self._trainer: Trainer | bytes | None = None

    def _layers(self, features: int, outputs: int) -> Iterator[Layer]:
        """Yield the layers specified by hidden and activation."""
        hidden = self.hidden if isinstance(self.hidden, Iterable) else (self.hidden,)
        sizes = [features, *hidden]
        given, name = self.activation, type(self).__name__
        activations = given if isinstance(given, (list, tuple)) else [given] * (len(sizes) - 1)
        if len(activations) != len(sizes) - 1:
            raise ValueError(
                f"{name}: expected one activation for each of the {len(sizes) - 1} hidden sizes, got {len(activations)}"
            )
        for (below, above), activation in zip(pairwise(sizes), activations, strict=True):
            yield Linear(below, above)
            yield new_activation(activation, name)
        yield Linear(sizes[-1], outputs)

    # ---- training

    def _train(self, samples: Samples) -> None:
        """Train for all epochs, holding out validation samples if requested."""
        self.callbacks_ = copy.deepcopy(list(self.callbacks))  # fit must not change the parameters
        self._before, self._trainer = self.history_.epochs, None
        if not self.early_stopping:
            self._scores = None
        if self.solver == "lbfgs":
            return self._minimize(samples)
        fraction, held, kept = self.validation, None, None
        if self.early_stopping and fraction is None:
            fraction = 0.1
        if fraction is not None:
            samples, kept = self._split(samples, fraction)
            held = dense(kept.x), self._target(kept), kept.weight
        followers = self._followers(kept)
        trainer = self._new_trainer(len(samples))
        settings = {"validation": held, "callbacks": [*self.callbacks_, *followers]}
        self._fit_on(trainer, samples, epochs=self.epochs, **settings)
        self._conclude(followers)

    def _train_on(self, samples: Samples) -> None:
        """Train for one epoch on further samples, continuing with the optimizer's state."""
        if self._trainer is None:
            self._partial = self._followers(None, partial=True)
        trainer = self._trainer if isinstance(self._trainer, Trainer) else self._new_trainer(len(samples))
        if isinstance(self._trainer, bytes):
            _unpack(self._trainer, trainer)
        self._trainer, self.history_ = trainer, trainer.history
        self._before = self.history_.epochs
        self._fit_on(trainer, samples, epochs=1, callbacks=self._partial)

    def _new_trainer(self, samples: int) -> Trainer:
        trainer = Trainer(self.model_, loss=self._chosen_loss(), optimizer=new_optimizer(self), rng=self._rng)
        trainer.history = self.history_
        return trainer

    def _fit_on(self, trainer: Trainer, samples: Samples, **settings: Any) -> None:
        size = batch_size_of(self, len(samples))
        if self.alpha:
            trainer.optimizer.weight_decay = self.alpha / size
        for follower in settings["callbacks"]:
            if isinstance(follower, InverseScaling):
                follower.samples = len(samples)
        settings |= {"verbose": self.verbose}
        epochs, target = self.history_.epochs, self._target(samples)
        try:
            if samples.is_even and not is_sparse(samples.x):
                trainer.fit(samples.x, target, batch_size=size, shuffle=bool(self.shuffle), **settings)
            else:
                weighted = Samples(samples.x, target, samples.weight)
                trainer.fit(EvenBatches(weighted, size, self._rng if self.shuffle else None), **settings)
        finally:
            self.t_ += (self.history_.epochs - epochs) * len(samples)
            self.learning_rate_ = trainer.optimizer.rate(trainer.steps) * trainer.rate_factor

    def _split(self, samples: Samples, fraction: float) -> tuple[Samples, Samples]:
        """Split off validation samples, for a warm start as in the fits before, which trained on the others."""
        if self._split_from is None:
            rng = self._rng
            self._split_from = rng.bit_generator.state
        else:
            rng = generator_at(self._rng, self._split_from)
        parts = samples.split(fraction, rng, stratified=samples.target.ndim == 1 and hasattr(self, "classes_"))
        if len(parts[1]) < 2 and self.early_stopping and self.scoring is None and not hasattr(self, "classes_"):
            raise ValueError(
                f"{type(self).__name__}: The validation set is too small: one sample has no R^2; try a larger "
                "validation, or scoring='loss'"
            )
        return parts

    def _followers(self, kept: Samples | None, *, partial: bool = False) -> list[Callback]:
        """Return the callbacks that early_stopping, tol and learning_rate ask for; a partial fit cannot stop early."""
        followers: list[Callback] = []
        adaptive = self.learning_rate == "adaptive"
        if kept is not None and self.early_stopping:
            best = -math.inf if self._scores is None else self._scores[1]
            followers.append(self._convergence(score=self._score_on(kept), best=best))
        elif adaptive or (self.tol is not None and not partial):
            best = -min(self.history_.get("loss", ()), default=math.inf)
            followers.append(self._convergence(best=best))
        if self.learning_rate == "invscaling":
            followers.append(InverseScaling(self.power_t, self.t_))
        return followers

    def _convergence(self, **settings: Any) -> Convergence:
        tol = TOLERANCE if self.tol is None else self.tol
        return Convergence(tol, self.patience, adaptive=self.learning_rate == "adaptive", **settings)

    def _score_on(self, kept: Samples) -> Callable[[], float]:
        """Return the function that scores the net on validation samples: NaN if its predictions are not finite."""
        x, y = dense(kept.x), self._answers(kept)
        weight = {} if kept.is_even else {"sample_weight": kept.weight}
        by_loss = isinstance(self.scoring, str) and self.scoring == "loss"
        scorer = None if by_loss else bases.check_scoring(self, scoring=self.scoring)
        judged: Any = type(self).__new__(type(self))  # shares the net, but x has no feature names any more
        judged.__dict__ |= {name: value for name, value in vars(self).items() if name != "feature_names_in_"}

        def score() -> float:
            loss = self.history_["validation_loss"][-1]
            if scorer is None:
                return -loss
            return float(scorer(judged, x, y, **weight)) if math.isfinite(loss) else math.nan

        return score

    def _conclude(self, followers: Sequence[Callback]) -> None:
        """Keep the scores; warn if tol asks for convergence and there was none."""
        for follower in followers:
            if isinstance(follower, Convergence) and follower.score is not None:
                earlier = [] if self._scores is None else self._scores[0]
                self._scores = earlier + follower.scores, follower.best
        if not (self.history_.stopped or self.history_.interrupted):
            self._warn_of_no_convergence(f"the {self.epochs} epochs are over")

    def _warn_of_no_convergence(self, reason: str) -> None:
        if self.tol is not None:
            warnings.warn(
                f"{type(self).__name__}: {reason} and training has not converged by tol={self.tol:g}; raise epochs or "
                "tol, or scale the data; tol=None is for a fixed number of epochs",
                bases.ConvergenceWarning,
                stacklevel=5,
            )

    def _minimize(self, samples: Samples) -> None:
        """Train with L-BFGS on all samples at once."""
        losses: list[float] = []
        result = minimize(
            self.model_,
            dense(samples.x),
            self._target(samples),
            self._chosen_loss(),
            sample_weight=None if samples.is_even else samples.weight,
            weight_decay=self.alpha / samples.weight.sum(),
            decays=weights_only,
            callback=lambda found: losses.append(float(found.fun)),
            options={
                "maxiter": self.epochs,
                "maxfun": self.max_fun,
                "gtol": TOLERANCE if self.tol is None else self.tol,
            },
        )
        for loss in losses or [result.fun]:
            self.history_.append({"loss": loss})
        self.t_ += len(losses) * len(samples)
        self.history_.stopped = str(result.message)
        if not result.success:
            self._warn_of_no_convergence(f"lbfgs ended with {result.message!r}")

    @abstractmethod
    def _chosen_loss(self) -> Loss:
        """Return the given loss, or the estimator's default."""

    @abstractmethod
    def _target(self, samples: Samples) -> Numbers:
        """Return the target as the loss takes it."""

    @abstractmethod
    def _answers(self, samples: Samples) -> Numbers:
        """Return the target as it was given to fit."""

    def __getstate__(self) -> Any:
        """Return the state for copying and pickling; a trainer becomes a checkpoint."""
        state = super().__getstate__()
        if isinstance(trainer := state.get("_trainer"), Trainer):
            state = {**state, "_trainer": _packed(trainer)}
        return state


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
