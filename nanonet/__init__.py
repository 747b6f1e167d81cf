"""nanonet: neural networks as plain Python objects on NumPy."""

from typing import TYPE_CHECKING

from nanonet.checking.gradients import check_gradients
from nanonet.checking.strict import strict
from nanonet.core.arrays import Array, Arrays, Shape
from nanonet.core.errors import ContractError, GradientError, NonFiniteError, ShapeError
from nanonet.core.layer import Layer
from nanonet.core.parameter import Buffer, Parameter, Random
from nanonet.core.vector import Vector
from nanonet.core.version import __version__ as __version__
from nanonet.inspection.plots import plot_decision_boundary, plot_weights
from nanonet.inspection.record import LayerTrace
from nanonet.inspection.trace import Trace
from nanonet.inspection.units import plot_units
from nanonet.layers.activations import (
    ELU,
    SELU,
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Tanh,
)
from nanonet.layers.attention import MultiHeadAttention
from nanonet.layers.batch_norm import BatchNorm
from nanonet.layers.branches import Add, Concatenate, Fork, Parallel
from nanonet.layers.clip import Clip, Hardtanh, ReLU6
from nanonet.layers.composite import Composite
from nanonet.layers.conv import Conv1d, Conv2d, ConvTranspose2d
from nanonet.layers.dropout import Dropout, Dropout2d, GaussianNoise
from nanonet.layers.embedding import Embedding
from nanonet.layers.flatten import Flatten
from nanonet.layers.gelu import GELU
from nanonet.layers.group_norm import GroupNorm, InstanceNorm
from nanonet.layers.hard import Hardshrink, Hardsigmoid, Hardswish, Softshrink
from nanonet.layers.initializers import (
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
from nanonet.layers.linear import Linear
from nanonet.layers.norm import LayerNorm, RMSNorm
from nanonet.layers.pad import Pad
from nanonet.layers.pool import AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool, MaxPool1d, MaxPool2d
from nanonet.layers.positional_encoding import PositionalEncoding
from nanonet.layers.prelu import PReLU
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.rnn import RNN
from nanonet.layers.reparametrised import Reparametrised, Rule
from nanonet.layers.reshape import Permute, Reshape
from nanonet.layers.residual import Residual
from nanonet.layers.resize import Upsample, ZeroPad2d
from nanonet.layers.rules import Monotone, SpectralNorm, WeightNorm
from nanonet.layers.smooth import CELU, LogSigmoid, Mish
from nanonet.layers.softmax import LogSoftmax, Softmax
from nanonet.layers.standardize import Standardize
from nanonet.layers.transformer import TransformerBlock
from nanonet.layers.wired import Wired
from nanonet.losses.binary import BinaryCrossEntropy
from nanonet.losses.classification import CrossEntropy
from nanonet.losses.distances import CosineEmbedding, Triplet
from nanonet.losses.divergence import KLDivergence
from nanonet.losses.gaussian import GaussianNLL
from nanonet.losses.loss import Loss
from nanonet.losses.margins import HingeEmbedding, MarginRanking, MultiMargin
from nanonet.losses.quantile import Quantile
from nanonet.losses.regression import Hinge, Huber, MeanAbsoluteError, MeanSquaredError, PoissonNLL, SquaredError
from nanonet.losses.together import Together
from nanonet.models import words
from nanonet.models.ensemble import Ensemble
from nanonet.models.files import load, read_arrays, save
from nanonet.models.least_squares import least_squares
from nanonet.models.sequential import Sequential
from nanonet.optimizers.adam import Adam, AdamW
from nanonet.optimizers.adam_variants import Adamax, NAdam, RAdam
from nanonet.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from nanonet.optimizers.lion import Lion
from nanonet.optimizers.optimizer import Optimizer, Step, weights_only
from nanonet.optimizers.rprop import Rprop
from nanonet.optimizers.schedules import (
    CosineRate,
    CosineRestartRate,
    ExponentialRate,
    InverseTimeRate,
    NoamRate,
    OneCycleRate,
    PiecewiseRate,
    PolynomialRate,
    Schedule,
    StepRate,
    WarmUp,
)
from nanonet.optimizers.sgd import SGD
from nanonet.training import distributed as distributed
from nanonet.training.allocator import tune_allocator
from nanonet.training.averaging import AveragedWeights, estimate_statistics
from nanonet.training.callbacks import Checkpoint, CSVLog, EarlyStopping, Monitor, ReduceOnPlateau
from nanonet.training.config import config
from nanonet.training.data import Batch, batches
from nanonet.training.history import History
from nanonet.training.layer_monitor import LayerMonitor
from nanonet.training.metrics.accuracy import accuracy, binary_accuracy, subset_accuracy
from nanonet.training.metrics.counts import confusion_matrix, f1, precision, recall
from nanonet.training.metrics.metric import Metric
from nanonet.training.metrics.ranking import auc
from nanonet.training.metrics.regression import mean_absolute_error, r2, root_mean_squared_error
from nanonet.training.replay import Replay
from nanonet.training.tensorboard import TensorBoard
from nanonet.training.trainer import Callback, Trainer

words.teach()

if not TYPE_CHECKING:  # type checkers report unknown names themselves

    def __getattr__(name):
        """Raise AttributeError, which says what a name of another library is called here."""
        raise words.unknown_name(name)


__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "RNN",
    "SELU",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AdaptiveAvgPool2d",
    "Add",
    "Array",
    "Arrays",
    "AveragedWeights",
    "AvgPool1d",
    "AvgPool2d",
    "Batch",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Buffer",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "Clip",
    "Composite",
    "Concatenate",
    "Constant",
    "ContractError",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CosineEmbedding",
    "CosineRate",
    "CosineRestartRate",
    "CrossEntropy",
    "Dropout",
    "Dropout2d",
    "EarlyStopping",
    "Embedding",
    "Ensemble",
    "ExponentialRate",
    "Flatten",
    "Fork",
    "GaussianNLL",
    "GaussianNoise",
    "GlobalAvgPool",
    "GlorotNormal",
    "GlorotUniform",
    "GradientError",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HeNormal",
    "HeUniform",
    "Hinge",
    "HingeEmbedding",
    "History",
    "Huber",
    "Identity",
    "Initializer",
    "InstanceNorm",
    "InverseTimeRate",
    "KLDivergence",
    "Layer",
    "LayerMonitor",
    "LayerNorm",
    "LayerTrace",
    "LeCunNormal",
    "LeakyReLU",
    "Linear",
    "Lion",
    "LogSigmoid",
    "LogSoftmax",
    "Loss",
    "MarginRanking",
    "MaxPool1d",
    "MaxPool2d",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Mish",
    "Monitor",
    "Monotone",
    "MultiHeadAttention",
    "MultiMargin",
    "NAdam",
    "NoamRate",
    "NonFiniteError",
    "Normal",
    "OneCycleRate",
    "Optimizer",
    "PReLU",
    "Pad",
    "Parallel",
    "Parameter",
    "Permute",
    "PiecewiseRate",
    "PoissonNLL",
    "PolynomialRate",
    "PositionalEncoding",
    "Quantile",
    "RAdam",
    "RMSNorm",
    "RMSprop",
    "Random",
    "ReLU",
    "ReLU6",
    "ReduceOnPlateau",
    "Reparametrised",
    "Replay",
    "Reshape",
    "Residual",
    "Rprop",
    "Rule",
    "Schedule",
    "Sequential",
    "Shape",
    "ShapeError",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softshrink",
    "Softsign",
    "SpectralNorm",
    "SquaredError",
    "Standardize",
    "Step",
    "StepRate",
    "Tanh",
    "TensorBoard",
    "Together",
    "Trace",
    "Trainer",
    "TransformerBlock",
    "Triplet",
    "Uniform",
    "Upsample",
    "Vector",
    "WarmUp",
    "WeightNorm",
    "Wired",
    "ZeroPad2d",
    "Zeros",
    "accuracy",
    "auc",
    "batches",
    "binary_accuracy",
    "check_gradients",
    "config",
    "confusion_matrix",
    "estimate_statistics",
    "f1",
    "least_squares",
    "load",
    "mean_absolute_error",
    "plot_decision_boundary",
    "plot_units",
    "plot_weights",
    "precision",
    "r2",
    "read_arrays",
    "recall",
    "root_mean_squared_error",
    "save",
    "strict",
    "subset_accuracy",
    "tune_allocator",
    "weights_only",
]
