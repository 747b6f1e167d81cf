"""nanonet: neural networks as plain Python objects on NumPy."""

from nanonet.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Clip,
    Hardtanh,
    Identity,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from nanonet.arrays import Array, Shape
from nanonet.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, Monitor, ReduceOnPlateau
from nanonet.checking import check_gradients
from nanonet.cross_entropy import BinaryCrossEntropy, CrossEntropy
from nanonet.data import Batch, batches
from nanonet.errors import ContractError, GradientError, NonFiniteError, ShapeError
from nanonet.history import History
from nanonet.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LeCunNormal,
    Normal,
    Uniform,
    Zeros,
)
from nanonet.layer import Layer
from nanonet.layers.dropout import Dropout
from nanonet.layers.flatten import Flatten
from nanonet.layers.linear import Linear
from nanonet.layers.residual import Residual
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.losses import (
    Hinge,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SquaredError,
)
from nanonet.metrics import accuracy
from nanonet.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop, Step, weights_only
from nanonet.plotting import plot_decision_boundary, plot_weights
from nanonet.saving import load, read_arrays, save
from nanonet.schedules import CosineRate, ExponentialRate, OneCycleRate, Schedule, StepRate, WarmUp
from nanonet.sequential import Sequential
from nanonet.state import Buffer, Parameter, Random
from nanonet.strict import strict
from nanonet.tracing import LayerTrace, Trace
from nanonet.training import Trainer
from nanonet.vector import Vector

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "Array",
    "Batch",
    "BinaryCrossEntropy",
    "Buffer",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Clip",
    "Constant",
    "ContractError",
    "CosineRate",
    "CrossEntropy",
    "Dropout",
    "EarlyStopping",
    "ExponentialRate",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "GradientError",
    "Hardtanh",
    "HeNormal",
    "HeUniform",
    "Hinge",
    "History",
    "Huber",
    "Identity",
    "Initializer",
    "Layer",
    "LayerTrace",
    "LeCunNormal",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Monitor",
    "NonFiniteError",
    "Normal",
    "OneCycleRate",
    "Optimizer",
    "Parameter",
    "RMSprop",
    "Random",
    "ReLU",
    "ReLU6",
    "ReduceOnPlateau",
    "Residual",
    "Rprop",
    "Schedule",
    "Sequential",
    "Shape",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "SquaredError",
    "Step",
    "StepRate",
    "Tanh",
    "Trace",
    "Trainer",
    "Uniform",
    "Vector",
    "WarmUp",
    "Zeros",
    "accuracy",
    "batches",
    "check_gradients",
    "load",
    "plot_decision_boundary",
    "plot_weights",
    "read_arrays",
    "save",
    "strict",
    "weights_only",
]
