"""Words: what people type who know another library, and what nanonet says to it.

Nothing else knows these words: ``teach`` lets the errors for wrong arguments, methods and names say what to write.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

from nanonet.core.layer import Layer
from nanonet.core.objects import called, hinting
from nanonet.core.parameter import State
from nanonet.layers.dropout import Dropout
from nanonet.layers.linear import Linear
from nanonet.losses.classification import CrossEntropy
from nanonet.models.sequential import Sequential
from nanonet.optimizers.optimizer import Optimizer
from nanonet.optimizers.sgd import SGD
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
    "Conv1D": "Conv1d",
    "Conv2D": "Conv2d",
    "Conv2DTranspose": "ConvTranspose2d",
    "ConstantPad2d": "Pad",
    "DataLoader": "batches",
    "Dense": "Linear",
    "ExponentialMovingAverage": "AveragedWeights",
    "Functional": "Composite",
    "Nadam": "NAdam",
    "GlobalAveragePooling2D": "GlobalAvgPool",
    "LayerNormalization": "LayerNorm",
    "MaxPooling2D": "MaxPool2d",
    "Model": "Sequential",
    "Module": "Layer",
    "ReduceLROnPlateau": "ReduceOnPlateau",
    "ReflectionPad2d": "Pad",
    "ReplicationPad2d": "Pad",
    "Swish": "SiLU",
    "UpSampling2D": "Upsample",
    "gradcheck": "check_gradients",
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "tanh": "Tanh",
    "update_bn": "estimate_statistics",
}
"""Names of other libraries, and the nearest one of nanonet."""

PACKAGES = ("callbacks", "functional", "layers", "losses", "metrics", "nn", "optim", "optimizers")

METHODS = {
    "add": "give all layers at once: Sequential(Linear(2, 3), Tanh(), ...)",
    "compile": "give loss and optimizer to fit: model.fit(x, target, loss=..., optimizer=..., epochs=...)",
    "eval": "a model has no mode: predict is inference, a training step is training",
    "get_weights": "model.state_dict() returns all numbers by name",
    "load_weights": "write model.load_state_dict(nanonet.read_arrays(path))",
    "named_parameters": "write model.parameters(), which has them by name",
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
            "minimize": "write fit, or Trainer(model, loss=..., optimizer=...).step(x, target)",
            "step": "write fit, or Trainer(model, loss=..., optimizer=...).step(x, target)",
            "zero_grad": "gradients are assigned, not added: there is nothing to reset",
        },
    ),
    (History, {"history": 'it holds the numbers itself: history["loss"]'}),
    (Sequential, METHODS),
]
"""Classes, their attributes in other libraries, and what to write."""

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
    (Dropout, "__init__", {"below 1, got": "a rate of 0.5 drops one half"}),
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
        if thing is not None and self.name in vars(thing):
            return vars(thing)[self.name]
        text = f"{owner.__name__!r} object has no attribute {self.name!r}; {self.hint}"
        raise AttributeError(text, name=self.name, obj=thing)

    def __set__(self, thing: object, value: object) -> None:
        vars(thing)[self.name] = value


def _dir(thing: object) -> list[str]:
    """Return what ``dir`` lists: not these."""
    names = object.__dir__(thing)
    return [n for n in names if n in vars(thing) or not isinstance(getattr_static(thing, n, None), Elsewhere)]


def teach() -> None:
    """Let errors say what to write instead of what another library has."""
    for owner, method, hints in ARGUMENTS:
        setattr(owner, method, hinting(getattr(owner, method), hints))
    for owner, hints in OTHERS:
        for name, hint in hints.items():
            setattr(owner, name, Elsewhere(name, hint))
        setattr(owner, "__dir__", _dir)  # noqa: B010
    setattr(Layer, "__call__", _not_called)  # noqa: B010
    for name in ARITHMETIC:
        setattr(State, name, State.__array_ufunc__)


def _not_called(layer: Layer, *arguments: Any, **keywords: Any) -> Any:
    raise TypeError(f"{called(layer)}: a layer is called in a model: Sequential({called(layer)})(x)")


def unknown_name(name: str) -> AttributeError:
    """Return the error for a name that nanonet does not have."""
    hint = f"; write nanonet.{NAMES[name]}" if name in NAMES else ""
    if name in PACKAGES:
        hint = "; all names are in nanonet itself, such as nanonet.Linear"
    return AttributeError(f"module 'nanonet' has no attribute {name!r}{hint}", name=name)
