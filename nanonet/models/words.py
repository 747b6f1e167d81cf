"""Words: what people type who know another library, and what nanonet says to it.

Nothing else knows these words: ``teach`` lets the errors for wrong arguments, methods and names say what to write.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

from nanonet.core.layer import Layer
from nanonet.core.objects import called, hinting
from nanonet.core.parameter import Parameter, State
from nanonet.layers.dropout import Dropout
from nanonet.layers.linear import Linear
from nanonet.layers.recurrent.recurrent import Recurrent
from nanonet.layers.recurrent.rnn import RNN
from nanonet.losses.classification import CrossEntropy
from nanonet.models.sequential import Sequential
from nanonet.optimizers.optimizer import Optimizer
from nanonet.optimizers.sgd import SGD
from nanonet.training.callbacks import Checkpoint, EarlyStopping
from nanonet.training.history import History
from nanonet.training.trainer import Trainer

LOSS = "such as loss=CrossEntropy() for classes, loss=SquaredError() for numbers"
ACTIVATION = "an activation is a layer of its own: Linear(4, 8), ReLU()"

LOSSES = {
    "BCELoss": "BinaryCrossEntropy",
    "BCEWithLogitsLoss": "BinaryCrossEntropy",
    "CosineEmbeddingLoss": "CosineEmbedding",
    "CrossEntropyLoss": "CrossEntropy",
    "GaussianNLLLoss": "GaussianNLL",
    "HingeEmbeddingLoss": "HingeEmbedding",
    "HuberLoss": "Huber",
    "KLDivLoss": "KLDivergence",
    "KLDivergenceLoss": "KLDivergence",
    "L1Loss": "MeanAbsoluteError",
    "MSE": "MeanSquaredError",
    "MSELoss": "MeanSquaredError",
    "MarginRankingLoss": "MarginRanking",
    "MultiMarginLoss": "MultiMargin",
    "NLLLoss": "CrossEntropy",
    "PinballLoss": "Quantile",
    "PoissonNLLLoss": "PoissonNLL",
    "SmoothL1Loss": "Huber",
    "TripletMarginLoss": "Triplet",
    "binary_crossentropy": "BinaryCrossEntropy",
    "categorical_crossentropy": "CrossEntropy",
    "cross_entropy": "CrossEntropy",
    "crossentropy": "CrossEntropy",
    "gaussian_nll": "GaussianNLL",
    "hinge": "Hinge",
    "huber": "Huber",
    "kl_divergence": "KLDivergence",
    "log_loss": "CrossEntropy",
    "mae": "MeanAbsoluteError",
    "mean_absolute_error": "MeanAbsoluteError",
    "mean_squared_error": "MeanSquaredError",
    "mse": "MeanSquaredError",
    "pinball": "Quantile",
    "poisson": "PoissonNLL",
    "quantile": "Quantile",
    "sparse_categorical_crossentropy": "CrossEntropy",
    "squared_error": "SquaredError",
    "triplet": "Triplet",
}
OPTIMIZERS = {
    "adadelta": "Adadelta",
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamax": "Adamax",
    "adamw": "AdamW",
    "lion": "Lion",
    "nadam": "NAdam",
    "radam": "RAdam",
    "rmsprop": "RMSprop",
    "rprop": "Rprop",
    "sgd": "SGD",
}
METRICS = {"acc": "accuracy", "accuracy": "accuracy", "binary_accuracy": "binary_accuracy"}

NAMES = LOSSES | {
    "AveragedModel": "AveragedWeights",
    "BatchNorm1d": "BatchNorm",
    "BatchNorm2d": "BatchNorm",
    "BatchNormalization": "BatchNorm",
    "CSVLogger": "CSVLog",
    "Conv1D": "Conv1d",
    "Conv2D": "Conv2d",
    "Conv2DTranspose": "ConvTranspose2d",
    "ConstantPad2d": "Pad",
    "CosineAnnealingLR": "CosineRate",
    "DataLoader": "batches",
    "Dense": "Linear",
    "ExponentialMovingAverage": "AveragedWeights",
    "ExponentialLR": "ExponentialRate",
    "Functional": "Composite",
    "Nadam": "NAdam",
    "GlobalAveragePooling2D": "GlobalAvgPool",
    "LayerNormalization": "LayerNorm",
    "LearningRateScheduler": "Schedule",
    "MaxPooling2D": "MaxPool2d",
    "Model": "Sequential",
    "ModelCheckpoint": "Checkpoint",
    "Module": "Layer",
    "OneCycleLR": "OneCycleRate",
    "ReduceLROnPlateau": "ReduceOnPlateau",
    "ReflectionPad2d": "Pad",
    "ReplicationPad2d": "Pad",
    "SimpleRNN": "RNN",
    "StepLR": "StepRate",
    "Swish": "SiLU",
    "UpSampling2D": "Upsample",
    "f1_score": "f1",
    "gradcheck": "check_gradients",
    "load_model": "load",
    "precision_score": "precision",
    "r2_score": "r2",
    "recall_score": "recall",
    "relu": "ReLU",
    "roc_auc_score": "auc",
    "save_model": "save",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "tanh": "Tanh",
    "update_bn": "estimate_statistics",
}
"""Names of other libraries, and the nearest one of nanonet."""

PACKAGES = ("callbacks", "functional", "layers", "losses", "metrics", "nn", "optim", "optimizers")

NOT_NEEDED = {
    "Input": "the first layer says its size: Linear(4, 8)",
    "manual_seed": "write Sequential(..., rng=0), which fixes a whole run",
    "no_grad": "model(x) keeps nothing for a backward pass",
    "tensor": "NumPy arrays are taken as they are",
    "to_categorical": "CrossEntropy takes labels from 0",
    "train_test_split": "write fit(..., validation=0.2)",
}
"""Names of other libraries that nanonet has no use for, and why."""

INTERCHANGE = {
    "NanonetClassifier": "from nanonet.interchange.sklearn import NanonetClassifier",
    "NanonetRegressor": "from nanonet.interchange.sklearn import NanonetRegressor",
    "from_torch": "from nanonet.interchange.torch import from_torch",
    "minimize": "from nanonet.interchange.scipy import minimize",
    "onnx": "from nanonet.interchange import onnx",
    "sklearn": "from nanonet.interchange.sklearn import NanonetClassifier",
    "to_torch": "from nanonet.interchange.torch import to_torch",
    "torch": "from nanonet.interchange.torch import from_torch, to_torch",
}
"""What works with other packages, and is imported by its own name."""

METHODS = {
    "append": "give all layers at once: Sequential(Linear(2, 3), Tanh(), ...)",
    "add": "give all layers at once: Sequential(Linear(2, 3), Tanh(), ...)",
    "compile": "give loss and optimizer to fit: model.fit(x, target, loss=..., optimizer=..., epochs=...)",
    "eval": "a model has no mode: predict is inference, a training step is training",
    "get_weights": "model.state_dict() returns all numbers by name",
    "load_weights": "write model.load_state_dict(nanonet.read_arrays(path))",
    "named_parameters": "write model.parameters(), which has them by name",
    "pop": "a model keeps its layers: new = Sequential(copy.deepcopy(model[:-1]), Linear(8, 2))",
    "predict_classes": "write model(x).argmax(axis=1)",
    "predict_proba": "write loss.probabilities(model(x)), such as CrossEntropy().probabilities(model(x))",
    "requires_grad_": "write model.freeze(), or model.unfreeze()",
    "save": "write nanonet.save(model, path)",
    "save_weights": "write nanonet.save(model, path)",
    "score": "write accuracy(model.predict(x), target), or use an estimator of nanonet.interchange.sklearn",
    "set_weights": "write model.load_state_dict(...)",
    "step": "write Trainer(model, loss=..., optimizer=...).step(x, target)",
    "to": "for another dtype write Sequential(*layers, dtype=np.float64); nanonet runs on the CPU",
    "train": "write model.fit(...); a model has no mode",
    "weights": "write model.parameters(), or model[0].weight.value for the numbers of one",
    "zero_grad": "gradients are assigned, not added: there is nothing to reset",
}
"""Methods of a model in other libraries, and what to write."""

OTHERS: list[tuple[type, dict[str, str]]] = [
    (
        Optimizer,
        {
            "lr": "write optimizer.learning_rate",
            "minimize": "write fit, or Trainer(model, loss=..., optimizer=...).step(x, target)",
            "step": "write fit, or Trainer(model, loss=..., optimizer=...).step(x, target)",
            "zero_grad": "gradients are assigned, not added: there is nothing to reset",
        },
    ),
    (
        History,
        {
            "history": 'it holds the numbers itself: history["loss"]',
            "loss": 'write history["loss"]',
            "val_loss": 'write history["validation_loss"]',
        },
    ),
    (Parameter, {"requires_grad": "write parameter.trainable = False, or layer.freeze() for all of a layer"}),
    (Sequential, METHODS),
]
"""Classes, their attributes in other libraries, and what to write."""

RECURRENT = {
    "'batch_first'": "the batch is always axis 0",
    "'hidden_size'": "sizes are explicit: LSTM(8, 64) reads 8 features and has a state of 64 numbers",
    "'return_sequences'": 'y is the sequence; write output="last" for the last state alone',
    "'return_state'": 'write output="all"',
    "'stateful'": "write carry=batch_size",
}
"""Parts of the errors for the arguments of the recurrent layers, and what to write."""

ARGUMENTS: list[tuple[type, str, dict[str, str]]] = [
    (
        Linear,
        "__init__",
        {
            "'activation'": ACTIVATION,
            "'out_features'": "sizes are explicit: Linear(4, 8) has 4 inputs and 8 outputs",
            "positional arguments but": ACTIVATION,
        },
    ),
    (
        CrossEntropy,
        "__init__",
        {"'weight'": "write class_weight=...", "positional arguments but": "such as class_weight=[1.0, 2.0]"},
    ),
    (
        EarlyStopping,
        "__init__",
        {
            "'min_delta'": "write margin=...",
            "'restore_best_weights'": "the best epoch's model is always restored",
        },
    ),
    (
        Checkpoint,
        "__init__",
        {"'save_best_only'": 'with monitor="validation_loss" the best epoch is kept beside the last, in run.best.npz'},
    ),
    (Dropout, "__init__", {"below 1, got": "a rate of 0.5 drops one half"}),
    *((layer, "__init__", RECURRENT) for layer in (Recurrent, RNN)),
    (
        Optimizer,
        "__init__",
        {
            "setting lr": "write learning_rate=...",
            "setting eps": "write epsilon=...",
            "setting alpha": "write smoothing=...",
            "setting rho": "write smoothing=...",
            "setting initial_accumulator_value": "write initial_sum=...",
            "setting decoupled_weight_decay": "write decoupled=True",
        },
    ),
    (
        SGD,
        "__init__",
        {
            "'lr'": "write learning_rate=...",
            "'learning_rate'": "such as SGD(0.1)",
            "positional arguments but": "parameters are not given: fit(..., optimizer=SGD(0.1)) trains the model's",
        },
    ),
    (Sequential, "__init__", {"'seed'": "write rng=0", "'random_state'": "write rng=0", "'name'": "models have none"}),
    (
        Trainer,
        "__init__",
        {
            "positional arguments but": "write Trainer(model, loss=..., optimizer=...)",
            "'loss'": LOSS,
            "'optimizer'": "such as optimizer=Adam(1e-3)",
        }
        | {f"got '{word}'": f"write loss={name}()" for word, name in LOSSES.items()}
        | {f"got '{word}'": f"write optimizer={name}(...)" for word, name in OPTIMIZERS.items()},
    ),
    (
        Sequential,
        "fit",
        {
            "positional arguments but": "all but x and target are given by name: epochs=10, batch_size=32",
            "'loss'": LOSS,
            "'optimizer'": "such as optimizer=Adam(1e-3)",
            "'epochs'": "such as epochs=10",
            "'validation_split'": "write validation=0.2",
            "'validation_data'": "write validation=(x, target)",
            "'learning_rate'": "write optimizer=Adam(learning_rate)",
            "'lr'": "write optimizer=Adam(learning_rate)",
            "'y'": "write target=...",
            "fraction between 0 and 1": "such as validation=0.2",
            "target: expected numbers, got text": "try names, target = np.unique(target, return_inverse=True)",
            "expected labels from 0": "try names, target = np.unique(target, return_inverse=True)",
            "2 classes or more": "for two classes in one column use BinaryCrossEntropy()",
        }
        | {f"got '{word}'": f"write metrics=[nanonet.{name}]" for word, name in METRICS.items()},
    ),
]
"""Functions, parts of the errors for their arguments, and what to write."""

ARITHMETIC = ("__add__", "__sub__", "__mul__", "__truediv__", "__matmul__", "__neg__", "__getitem__")
"""What a parameter, which is no array, has no use for."""


class Elsewhere:
    """An attribute that other libraries have: asking for it raises AttributeError, which says what to write instead.

    A ``__getattr__`` would make every attribute of a layer or a rule slower. A subclass may have the name itself.
    """

    def __init__(self, name: str, hint: str) -> None:
        self.name, self.hint = name, hint

    def __get__(self, thing: object, owner: type) -> Any:
        if self.name in getattr(thing, "__dict__", ()):
            return vars(thing)[self.name]
        raise self._missing(thing, owner)

    def __set__(self, thing: object, value: object) -> None:
        if not hasattr(thing, "__dict__"):
            raise self._missing(thing, type(thing))
        vars(thing)[self.name] = value

    def _missing(self, thing: object, owner: type) -> AttributeError:
        text = f"{owner.__name__!r} object has no attribute {self.name!r}; {self.hint}"
        return AttributeError(text, name=self.name, obj=thing)


def _dir(thing: object) -> list[str]:
    """Return what ``dir`` lists: not these."""
    names = object.__dir__(thing)
    own = getattr(thing, "__dict__", ())
    return [n for n in names if n in own or not isinstance(getattr_static(thing, n, None), Elsewhere)]


def teach() -> None:
    """Let errors say what to write instead of what another library has."""
    for owner, method, hints in ARGUMENTS:
        setattr(owner, method, hinting(getattr(owner, method), hints))
    for owner, hints in OTHERS:
        for name, hint in hints.items():
            setattr(owner, name, Elsewhere(name, hint))
        setattr(owner, "__dir__", _dir)  # noqa: B010
    setattr(Layer, "__call__", _not_called)  # noqa: B010
    setattr(Sequential, "__setitem__", _not_replaced)  # noqa: B010
    for name in ARITHMETIC:
        setattr(State, name, State.__array_ufunc__)


def _not_called(layer: Layer, *arguments: Any, **keywords: Any) -> Any:
    raise TypeError(f"{called(layer)}: a layer is called in a model: Sequential({called(layer)})(x)")


def _not_replaced(model: Sequential, index: int, layer: object) -> None:
    raise TypeError(
        f"{type(model).__name__}: a model keeps its layers; build another one, such as "
        "Sequential(copy.deepcopy(model[:-1]), Linear(8, 2))"
    )


def unknown_name(name: str) -> AttributeError:
    """Return the error for a name that nanonet does not have."""
    hint = f"; write nanonet.{NAMES[name]}" if name in NAMES else ""
    if name in NOT_NEEDED:
        hint = f"; {NOT_NEEDED[name]}"
    if name in INTERCHANGE:
        hint = f"; write {INTERCHANGE[name]}"
    if name in PACKAGES:
        hint = "; all names are in nanonet itself, such as nanonet.Linear"
    return AttributeError(f"module 'nanonet' has no attribute {name!r}{hint}", name=name)
