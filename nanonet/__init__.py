"""nanonet: neural networks as plain Python objects on NumPy."""

from nanonet.activations import Activation, Identity, ReLU, Sigmoid, Tanh
from nanonet.arrays import Array, Shape
from nanonet.checking import check_gradients
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
from nanonet.layers.linear import Linear
from nanonet.losses import Loss, SquaredError
from nanonet.optimizers import SGD, Optimizer, Step
from nanonet.sequential import Sequential
from nanonet.state import Buffer, Parameter, Random, Vector
from nanonet.strict import strict
from nanonet.training import Trainer

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Activation",
    "Array",
    "Buffer",
    "Constant",
    "ContractError",
    "GlorotNormal",
    "GlorotUniform",
    "GradientError",
    "HeNormal",
    "HeUniform",
    "History",
    "Identity",
    "Initializer",
    "Layer",
    "LeCunNormal",
    "Linear",
    "Loss",
    "NonFiniteError",
    "Normal",
    "Optimizer",
    "Parameter",
    "Random",
    "ReLU",
    "Sequential",
    "Shape",
    "ShapeError",
    "Sigmoid",
    "SquaredError",
    "Step",
    "Tanh",
    "Trainer",
    "Uniform",
    "Vector",
    "Zeros",
    "check_gradients",
    "strict",
]
