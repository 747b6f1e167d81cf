"""Every concrete class of the package with ways to make it, so that no class can escape the checks.

To enter a new class add one line to its table below: how it is made, and which shapes it takes, without the batch axis.
A class that has no line here makes a test fail which says so.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

import nanonet
from nanonet import (
    CELU,
    ELU,
    GELU,
    GRU,
    LSTM,
    RNN,
    SELU,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AdaptiveAvgPool2d,
    Add,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    BinaryCrossEntropy,
    Clip,
    Concatenate,
    Constant,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    CosineEmbedding,
    CrossEntropy,
    Dropout,
    Dropout2d,
    Embedding,
    Flatten,
    Fork,
    GaussianNLL,
    GaussianNoise,
    GlobalAvgPool,
    GlorotNormal,
    GlorotUniform,
    GroupNorm,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    HeNormal,
    HeUniform,
    Hinge,
    HingeEmbedding,
    Huber,
    Identity,
    Initializer,
    InstanceNorm,
    KLDivergence,
    Layer,
    LayerNorm,
    LeakyReLU,
    LeCunNormal,
    Linear,
    Lion,
    LogSigmoid,
    LogSoftmax,
    Loss,
    MarginRanking,
    MaxPool1d,
    MaxPool2d,
    MeanAbsoluteError,
    MeanSquaredError,
    Mish,
    Monotone,
    MultiHeadAttention,
    MultiMargin,
    NAdam,
    Normal,
    Optimizer,
    Pad,
    Parallel,
    Permute,
    PoissonNLL,
    PositionalEncoding,
    PReLU,
    Quantile,
    RAdam,
    ReLU,
    ReLU6,
    Reparametrised,
    Reshape,
    Residual,
    RMSNorm,
    RMSprop,
    Rprop,
    Rule,
    Sequential,
    Shape,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softshrink,
    Softsign,
    SpectralNorm,
    SquaredError,
    Standardize,
    Tanh,
    Together,
    TransformerBlock,
    Triplet,
    Uniform,
    Upsample,
    WeightNorm,
    Wired,
    ZeroPad2d,
    Zeros,
)
from nanonet.checking.situations import BATCH
from nanonet.core.chain import Chain
from nanonet.core.checks import is_several
from nanonet.losses.labels import LabelsCrossEntropy

T = TypeVar("T")
Draw = Callable[[np.random.Generator, Shape], npt.NDArray[Any]]
"""Draws an array of a shape, the batch axis included."""

SAMPLES = 4


def normal(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw what most layers and losses take."""
    return rng.normal(size=shape)


def below(limit: int) -> Draw:
    """Draw integers, such as rows of a table or class labels."""
    return lambda rng, shape: rng.integers(limit, size=shape)


def signs(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw -1 and 1."""
    return rng.choice([-1.0, 1.0], size=shape)


def counts(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw counts from 0."""
    return rng.poisson(2.0, size=shape).astype(float)


def unit(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw from 0 to 1."""
    return rng.uniform(size=shape)


def probabilities(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw rows that sum to 1."""
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def log_probabilities(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw logarithms of rows that sum to 1."""
    log: npt.NDArray[Any] = np.log(probabilities(rng, shape))
    return log


def nothing(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw zeros, for a loss that has no target."""
    return np.zeros(shape)


def padded(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw sequences (N, T, F), and for a shape (N, T) where they are padding: not everywhere."""
    return rng.normal(size=shape) if len(shape) > 2 else (rng.uniform(size=shape) < 0.4) & (np.arange(shape[1]) > 0)


def with_lengths(rng: np.random.Generator, shape: Shape) -> npt.NDArray[Any]:
    """Draw sequences and states, and lengths from 1 to 3, which have only the batch axis."""
    return rng.integers(1, 4, size=shape) if len(shape) == 1 else rng.normal(size=shape)


class LayerCase(NamedTuple):
    """A way to make a layer, the shape that it takes, what to draw for it, and for how many samples."""

    make: Callable[[], Layer]
    shape: Any
    draw: Draw = normal
    samples: int = SAMPLES

    def x(self, samples: int | None = None) -> Any:
        """Return an input, the same each time; for a tuple of shapes a tuple of inputs."""
        rng, samples = np.random.default_rng(7), samples or self.samples
        if is_several(self.shape):
            return tuple(self.draw(rng, (samples, *part)) for part in self.shape)
        return self.draw(rng, (samples, *self.shape))


def started(rule: Rule, shape: Shape) -> Rule:
    """Return a rule as Reparametrised starts it, with some initial weight."""
    rule.start(shape, partial(normal, np.random.default_rng(9), shape))
    return rule


class LossCase(NamedTuple):
    """A way to make a loss, the shape of its prediction, what to draw for both, and its target's shape if another."""

    make: Callable[[], Loss]
    shape: Any
    draw: Draw = normal
    draw_target: Draw = normal
    target_shape: Any = None

    def prediction(self, samples: int = SAMPLES) -> Any:
        """Return a prediction, the same each time; for a tuple of shapes a tuple."""
        rng = np.random.default_rng(7)
        if is_several(self.shape):
            return tuple(self.draw(rng, (samples, *part)) for part in self.shape)
        return self.draw(rng, (samples, *self.shape))

    def target(self, samples: int = SAMPLES) -> Any:
        """Return a target, the same each time."""
        shape = self.shape if self.target_shape is None else self.target_shape
        if is_several(shape):
            return tuple(self.draw_target(np.random.default_rng(8), (samples, *part)) for part in shape)
        return self.draw_target(np.random.default_rng(8), (samples, *shape))


class OptimizerCase(NamedTuple):
    """A way to make an optimizer, with a rate at which a small net does not diverge."""

    make: Callable[[], Optimizer]


class InitializerCase(NamedTuple):
    """A way to make an initializer, and which mean, deviation and bounds its numbers have for a shape.

    Bounds are None where there are none.
    """

    make: Callable[[], Initializer]
    mean: float
    deviation: Callable[[float, float], float]  # of fan_in and fan_out
    bound: Callable[[float, float], float] | None  # how far from the mean


# ---- the tables

LAYERS: dict[type[Layer], list[LayerCase]] = {
    Linear: [
        LayerCase(lambda: Linear(3, 2), (3,)),
        LayerCase(lambda: Linear(3, 3), (3,)),
        LayerCase(lambda: Linear(1, 4, bias=Normal(1.0)), (1,)),
        LayerCase(lambda: Linear(4, 1, bias=False), (4,)),
        LayerCase(lambda: Linear(3, 2), (5, 3)),
        LayerCase(lambda: Linear(2, 3, bias=False), (2, 4, 2)),
    ],
    Sigmoid: [LayerCase(Sigmoid, (3,)), LayerCase(Sigmoid, ()), LayerCase(Sigmoid, (2, 3, 1))],
    Tanh: [LayerCase(Tanh, (3,)), LayerCase(Tanh, ()), LayerCase(Tanh, (2, 3, 1))],
    ReLU: [LayerCase(ReLU, (3,)), LayerCase(ReLU, ()), LayerCase(ReLU, (2, 3, 1))],
    Identity: [LayerCase(Identity, (3,)), LayerCase(Identity, ()), LayerCase(Identity, (2, 3, 1))],
    LeakyReLU: [LayerCase(LeakyReLU, (3,)), LayerCase(lambda: LeakyReLU(0.3), (2, 3, 1))],
    ELU: [LayerCase(ELU, (3,)), LayerCase(lambda: ELU(0.5), (2, 3, 1))],
    SELU: [LayerCase(SELU, (3,)), LayerCase(SELU, ()), LayerCase(SELU, (2, 3, 1))],
    SiLU: [LayerCase(SiLU, (3,)), LayerCase(SiLU, ()), LayerCase(SiLU, (2, 3, 1))],
    CELU: [LayerCase(lambda: CELU(2.0), (3,)), LayerCase(lambda: CELU(0.5), (2, 3, 1))],
    LogSigmoid: [LayerCase(LogSigmoid, (3,)), LayerCase(LogSigmoid, ()), LayerCase(LogSigmoid, (2, 3, 1))],
    Mish: [LayerCase(Mish, (3,)), LayerCase(Mish, ()), LayerCase(Mish, (2, 3, 1))],
    Hardsigmoid: [LayerCase(Hardsigmoid, (3,)), LayerCase(Hardsigmoid, ()), LayerCase(Hardsigmoid, (2, 3, 1))],
    Hardswish: [LayerCase(Hardswish, (3,)), LayerCase(Hardswish, ()), LayerCase(Hardswish, (2, 3, 1))],
    Hardshrink: [LayerCase(Hardshrink, (3,)), LayerCase(lambda: Hardshrink(0.25), (2, 3, 1))],
    Softshrink: [LayerCase(Softshrink, (3,)), LayerCase(lambda: Softshrink(0.25), (2, 3, 1))],
    PReLU: [LayerCase(PReLU, (3,)), LayerCase(PReLU, ()), LayerCase(lambda: PReLU(3), (3, 2))],
    Clip: [
        LayerCase(lambda: Clip(-0.5, 0.25), (3,)),
        LayerCase(lambda: Clip(None, 0.5), ()),
        LayerCase(lambda: Clip(-0.5, math.inf), (2, 3, 1)),
        LayerCase(ReLU6, (3,)),
        LayerCase(Hardtanh, (3,)),
    ],
    GELU: [
        LayerCase(GELU, (3,)),
        LayerCase(GELU, ()),
        LayerCase(lambda: GELU(approximate=True), (3,)),
        LayerCase(lambda: GELU(approximate=True), (2, 3, 1)),
    ],
    Softplus: [
        LayerCase(Softplus, (3,)),
        LayerCase(lambda: Softplus(0.5), ()),
        LayerCase(lambda: Softplus(2.0, 1.0), (2, 3, 1)),
    ],
    Softsign: [LayerCase(Softsign, (3,)), LayerCase(Softsign, ()), LayerCase(Softsign, (2, 3, 1))],
    Softmax: [LayerCase(Softmax, (3,)), LayerCase(Softmax, (2, 4))],
    LogSoftmax: [LayerCase(LogSoftmax, (3,)), LayerCase(LogSoftmax, (2, 4))],
    Dropout: [LayerCase(Dropout, (3,)), LayerCase(lambda: Dropout(0.2), (2, 4)), LayerCase(lambda: Dropout(0), (3,))],
    Dropout2d: [LayerCase(Dropout2d, (3, 2, 2)), LayerCase(lambda: Dropout2d(0.2), (1, 3, 1))],
    GaussianNoise: [LayerCase(lambda: GaussianNoise(0.3), (3,)), LayerCase(lambda: GaussianNoise(0), (2, 4))],
    BatchNorm: [
        LayerCase(lambda: BatchNorm(3), (3,)),
        LayerCase(lambda: BatchNorm(2, 1e-2, None), (2, 5)),
        LayerCase(lambda: BatchNorm(2, momentum=0.3, affine=False), (2, 3, 2)),
        LayerCase(lambda: BatchNorm(3, track_running_stats=False), (3, 2)),
    ],
    LayerNorm: [
        LayerCase(lambda: LayerNorm(3), (3,)),
        LayerCase(lambda: LayerNorm((3, 2), 1e-2), (2, 3, 2)),
        LayerCase(lambda: LayerNorm(4, bias=False), (2, 4)),
        LayerCase(lambda: LayerNorm(4, elementwise_affine=False), (4,)),
    ],
    RMSNorm: [
        LayerCase(lambda: RMSNorm(3), (3,)),
        LayerCase(lambda: RMSNorm((3, 2), 1e-2), (2, 3, 2)),
        LayerCase(lambda: RMSNorm(4, elementwise_affine=False), (2, 4)),
    ],
    GroupNorm: [
        LayerCase(lambda: GroupNorm(2, 4), (4,)),
        LayerCase(lambda: GroupNorm(2, 4, 1e-2), (4, 3)),
        LayerCase(lambda: GroupNorm(1, 2), (2, 3, 2)),
        LayerCase(lambda: GroupNorm(3, 3, affine=False), (3, 2, 2)),
    ],
    InstanceNorm: [
        LayerCase(lambda: InstanceNorm(2), (2, 4)),
        LayerCase(lambda: InstanceNorm(3, 1e-2, affine=True), (3, 2, 2)),
    ],
    Embedding: [
        LayerCase(lambda: Embedding(5, 2), (3,), below(5)),
        LayerCase(lambda: Embedding(2, 3), (), below(2)),
        LayerCase(lambda: Embedding(4, 2, padding_idx=1), (2, 3), below(4)),
    ],
    Standardize: [
        LayerCase(lambda: Standardize(3), (3,)),
        LayerCase(lambda: Standardize((3, 1)), (2, 3, 4)),
    ],
    Reshape: [LayerCase(lambda: Reshape(3, 2), (6,)), LayerCase(lambda: Reshape(2, -1), (2, 3, 4))],
    Permute: [LayerCase(lambda: Permute(2, 1), (2, 3)), LayerCase(lambda: Permute(3, 1, 2), (2, 3, 4))],
    Flatten: [LayerCase(Flatten, (3,)), LayerCase(Flatten, (2, 3, 4))],
    Conv1d: [LayerCase(lambda: Conv1d(2, 3, 3, padding="same"), (2, 4)), LayerCase(lambda: Conv1d(1, 2, 2, 2), (1, 5))],
    Conv2d: [
        LayerCase(lambda: Conv2d(2, 2, 2), (2, 3, 4)),
        LayerCase(lambda: Conv2d(2, 4, (3, 2), (2, 1), (1, 0), (1, 2), groups=2, bias=False), (2, 3, 4)),
    ],
    ConvTranspose2d: [
        LayerCase(lambda: ConvTranspose2d(2, 2, 2), (2, 2, 3)),
        LayerCase(lambda: ConvTranspose2d(2, 4, 3, 2, 1, 1, groups=2, bias=False), (2, 2, 3)),
    ],
    MaxPool1d: [LayerCase(lambda: MaxPool1d(2), (2, 5)), LayerCase(lambda: MaxPool1d(3, 1, 1, 2), (2, 5))],
    MaxPool2d: [
        LayerCase(lambda: MaxPool2d(2), (2, 4, 5)),
        LayerCase(lambda: MaxPool2d(3, 2, 1, ceil_mode=True), (2, 4, 5)),
    ],
    AvgPool1d: [LayerCase(lambda: AvgPool1d(2), (2, 5)), LayerCase(lambda: AvgPool1d(3, 1, 1), (2, 5))],
    AvgPool2d: [
        LayerCase(lambda: AvgPool2d(2), (2, 4, 5)),
        LayerCase(lambda: AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 5)),
    ],
    GlobalAvgPool: [LayerCase(GlobalAvgPool, (3, 4)), LayerCase(GlobalAvgPool, (2, 3, 2))],
    AdaptiveAvgPool2d: [
        LayerCase(lambda: AdaptiveAvgPool2d(2), (2, 4, 4)),
        LayerCase(lambda: AdaptiveAvgPool2d((3, None)), (2, 4, 5)),
    ],
    Upsample: [
        LayerCase(lambda: Upsample(2), (2, 2, 3)),
        LayerCase(lambda: Upsample((1, 3)), (2, 2, 3)),
        LayerCase(lambda: Upsample(2, "bilinear"), (2, 2, 3)),
    ],
    Pad: [
        LayerCase(lambda: Pad((1, 2)), (2, 4)),
        LayerCase(lambda: Pad((0, 1, 2, 0), value=-1.5), (2, 2, 3)),
        LayerCase(lambda: Pad((1, 2), "reflect"), (2, 4)),
        LayerCase(lambda: Pad((1, 0, 0, 2), "replicate"), (1, 2, 3)),
        LayerCase(lambda: Pad((1, 0, 0, 2, 1, 1), "reflect"), (1, 2, 3, 2)),
    ],
    ZeroPad2d: [LayerCase(lambda: ZeroPad2d(1), (2, 2, 3)), LayerCase(lambda: ZeroPad2d((0, 1, 2, 0)), (2, 2, 3))],
    Residual: [
        LayerCase(lambda: Residual(Linear(3, 3)), (3,)),
        LayerCase(lambda: Residual(Sequential(Linear(3, 4), Tanh(), Dropout(0.3), Linear(4, 3), rng=1)), (2, 3)),
    ],
    Fork: [LayerCase(lambda: Fork(Linear(3, 2), Tanh(), Linear(3, 4)), (3,))],
    Parallel: [LayerCase(lambda: Parallel(Linear(3, 2), Tanh()), ((3,), (2, 4)))],
    Concatenate: [
        LayerCase(Concatenate, ((3,), (2,), (4,))),
        LayerCase(lambda: Concatenate(axis=1), ((3, 2), (1, 2))),
    ],
    Wired: [
        LayerCase(lambda: Wired([Linear(3, 3), Tanh()], [(0, 0), (1, 1), ("add", (0, 2))], 3), (3,)),
        LayerCase(
            lambda: Wired([], [("split", 0, (1, 2), -1), ("concatenate", (3, 1), 1)], (4, 2), inputs=2), ((3,), (2,))
        ),
    ],
    Add: [LayerCase(Add, ((3,), (3,))), LayerCase(Add, ((2, 3), (2, 3), (2, 3)))],
    RNN: [
        LayerCase(lambda: RNN(2, 3), (3, 2)),
        LayerCase(lambda: RNN(2, 2, 2, nonlinearity="relu", bias=False, bidirectional=True, output="last"), (3, 2)),
        LayerCase(lambda: RNN(2, 3, initial_state=True, lengths=True), ((3, 2), (1, 3), ()), with_lengths),
    ],
    LSTM: [
        LayerCase(lambda: LSTM(2, 3), (3, 2)),
        LayerCase(lambda: LSTM(2, 3, carry=BATCH), (3, 2), samples=BATCH),
        LayerCase(lambda: LSTM(2, 2, 2, dropout=0.3, bidirectional=True, output="last"), (3, 2)),
        LayerCase(
            lambda: LSTM(2, 2, bidirectional=True, output="all", initial_state=True, lengths=True),
            ((3, 2), (2, 2), (2, 2), ()),
            with_lengths,
        ),
    ],
    GRU: [
        LayerCase(lambda: GRU(2, 3), (3, 2)),
        LayerCase(lambda: GRU(2, 3, 2, bias=False, dropout=0.3, carry=BATCH), (3, 2), samples=BATCH),
        LayerCase(lambda: GRU(2, 2, bidirectional=True, output="last", lengths=True), ((3, 2), ()), with_lengths),
    ],
    MultiHeadAttention: [
        LayerCase(lambda: MultiHeadAttention(4, 2), (3, 4)),
        LayerCase(lambda: MultiHeadAttention(4, 1, dropout=0.3, bias=False, causal=True), (3, 4)),
        LayerCase(lambda: MultiHeadAttention(4, 2, padding_mask=True), ((3, 4), (3,)), padded),
        LayerCase(lambda: MultiHeadAttention(4, 2, inputs=2), ((3, 4), (2, 4))),
        LayerCase(
            lambda: MultiHeadAttention(4, 2, kdim=3, vdim=5, inputs=3, causal=True, padding_mask=True),
            ((3, 4), (2, 3), (2, 5), (2,)),
            padded,
        ),
    ],
    PositionalEncoding: [
        LayerCase(lambda: PositionalEncoding(3), (4, 3)),
        LayerCase(lambda: PositionalEncoding(2, 5, learned=True), (4, 2)),
        LayerCase(lambda: PositionalEncoding(2, 4, learned=Normal(1.0)), (4, 2)),
    ],
    TransformerBlock: [
        LayerCase(lambda: TransformerBlock(4, 2, 6), (3, 4)),
        LayerCase(
            lambda: TransformerBlock(4, 1, 5, dropout=0.0, activation=GELU(), norm_first=True, causal=True, bias=False),
            (3, 4),
        ),
        LayerCase(lambda: TransformerBlock(4, 2, 6, padding_mask=True), ((3, 4), (3,)), padded),
        LayerCase(lambda: TransformerBlock(4, 1, 3, activation=GELU(approximate=True)), (2, 4)),
    ],
    Reparametrised: [
        LayerCase(lambda: Reparametrised(Linear(3, 2), WeightNorm()), (3,)),
        LayerCase(lambda: Reparametrised(Linear(3, 4), SpectralNorm()), (2, 3)),
        LayerCase(lambda: Reparametrised(Linear(2, 3, bias=False), Monotone()), (2,)),
        LayerCase(lambda: Reparametrised(Conv2d(2, 3, 2), SpectralNorm()), (2, 3, 3)),
        LayerCase(lambda: Reparametrised(Embedding(5, 2), Tanh()), (3,), below(5)),
        LayerCase(lambda: Reparametrised(Reparametrised(Linear(3, 2), WeightNorm()), Tanh(), "inner.bias"), (3,)),
    ],
    WeightNorm: [
        LayerCase(lambda: started(WeightNorm(), (3, 2)), (3, 2)),
        LayerCase(lambda: started(WeightNorm(), (2, 3, 2)), (2, 3, 2)),
    ],
    SpectralNorm: [
        LayerCase(lambda: started(SpectralNorm(), (3, 2)), (3, 2)),
        LayerCase(lambda: started(SpectralNorm(), (2, 3, 2)), (2, 3, 2)),
    ],
    Monotone: [LayerCase(Monotone, (3, 2)), LayerCase(lambda: Monotone(2.0), (2, 3, 2))],
    Chain: [LayerCase(lambda: Chain(Linear(3, 4), Tanh(), rng=1), (3,))],
    Sequential: [
        LayerCase(Sequential, (3,)),
        LayerCase(lambda: Sequential(Linear(3, 4), Tanh(), Linear(4, 2), rng=1), (3,)),
        LayerCase(lambda: Sequential(Sigmoid(), Linear(2, 2), ReLU(), rng=1), (5, 2)),
        LayerCase(lambda: Sequential(Sequential(Linear(2, 3)), Sequential(), Sequential(Tanh(), Linear(3, 1))), (2,)),
    ],
}

LOSSES: dict[type[Loss], list[LossCase]] = {
    SquaredError: [LossCase(SquaredError, shape) for shape in [(3,), (1,), (), (2, 3)]],
    MeanSquaredError: [LossCase(MeanSquaredError, shape) for shape in [(3,), (1,), (), (2, 3)]],
    MeanAbsoluteError: [
        *(LossCase(MeanAbsoluteError, shape) for shape in [(3,), (1,), (), (2, 3)]),
        LossCase(lambda: MeanAbsoluteError(reduction="sum"), (3,)),
    ],
    Huber: [LossCase(Huber, (3,)), LossCase(lambda: Huber(0.4), (2, 3)), LossCase(Huber, ())],
    PoissonNLL: [
        *(LossCase(PoissonNLL, shape, draw_target=counts) for shape in [(3,), (1,), (), (2, 3)]),
        LossCase(lambda: PoissonNLL(full=True), (3,), draw_target=counts),
    ],
    Quantile: [
        LossCase(Quantile, (3,)),
        LossCase(lambda: Quantile(0.9), ()),
        LossCase(lambda: Quantile((0.1, 0.5, 0.8)), (3,), target_shape=(1,)),
        LossCase(lambda: Quantile((0.1, 0.5)), (4, 2), target_shape=(4,)),
    ],
    GaussianNLL: [
        LossCase(GaussianNLL, (4,), target_shape=(2,)),
        LossCase(lambda: GaussianNLL(full=True, eps=0.01), (3, 2), target_shape=(3, 1)),
    ],
    KLDivergence: [
        LossCase(KLDivergence, (3,), draw_target=probabilities),
        LossCase(lambda: KLDivergence(log_target=True), (2, 3), draw_target=log_probabilities),
    ],
    HingeEmbedding: [
        *(LossCase(HingeEmbedding, shape, draw_target=signs) for shape in [(3,), (1,), ()]),
        LossCase(lambda: HingeEmbedding(0.4, reduction="sum"), (2, 3), draw_target=signs),
    ],
    MultiMargin: [
        LossCase(MultiMargin, (3,), draw_target=below(3), target_shape=()),
        LossCase(
            lambda: MultiMargin(2, 0.7, class_weight=[1.0, 0.0, 2.5], reduction="sum"),
            (3,),
            draw_target=below(3),
            target_shape=(),
        ),
    ],
    Hinge: [LossCase(Hinge, shape, draw_target=signs) for shape in [(3,), (1,), ()]],
    BinaryCrossEntropy: [
        *(LossCase(BinaryCrossEntropy, shape, draw_target=unit) for shape in [(3,), (1,), ()]),
        LossCase(
            lambda: BinaryCrossEntropy(pos_weight=[2.0, 0.5, 7.0], weight=[1.0, 0.0, 3.0]), (3,), draw_target=unit
        ),
    ],
    LabelsCrossEntropy: [LossCase(LabelsCrossEntropy, shape, draw_target=unit) for shape in [(3,), (1,)]],
    CrossEntropy: [
        LossCase(CrossEntropy, (3,), draw_target=below(3), target_shape=()),
        LossCase(CrossEntropy, (4,), draw_target=probabilities),
        LossCase(lambda: CrossEntropy(label_smoothing=0.2), (3,), draw_target=below(3), target_shape=()),
        LossCase(lambda: CrossEntropy(label_smoothing=0.2), (3,), draw_target=probabilities),
        LossCase(lambda: CrossEntropy(class_weight=[1.0, 0.4, 2.5]), (3,), draw_target=below(3), target_shape=()),
        LossCase(lambda: CrossEntropy(class_weight=[1.0, 0.5, 2.5]), (3,), draw_target=probabilities),
        LossCase(
            lambda: CrossEntropy(label_smoothing=0.1, class_weight=[1.0, 0.5, 2.5]),
            (3,),
            draw_target=below(3),
            target_shape=(),
        ),
        LossCase(CrossEntropy, (5, 3), draw_target=below(3), target_shape=(5,)),
        LossCase(CrossEntropy, (5, 3), draw_target=probabilities),
        LossCase(lambda: CrossEntropy(ignore_index=2), (5, 3), draw_target=below(3), target_shape=(5,)),
        LossCase(
            lambda: CrossEntropy(axis=1, ignore_index=0, label_smoothing=0.1, class_weight=[1.0, 0.5, 2.5]),
            (3, 4, 2),
            draw_target=below(3),
            target_shape=(4, 2),
        ),
    ],
}

SEVERAL_LOSSES: dict[type[Loss], list[LossCase]] = {
    Together: [
        LossCase(lambda: Together(SquaredError(), Huber()), ((3,), (2, 2))),
        LossCase(lambda: Together(SquaredError(), MeanSquaredError(), weights=(0.5, 2.0)), ((3,), ())),
    ],
    CosineEmbedding: [
        LossCase(CosineEmbedding, ((3,), (3,)), draw_target=signs, target_shape=()),
        LossCase(lambda: CosineEmbedding(0.2, reduction="sum"), ((2,), (2,)), draw_target=signs, target_shape=()),
    ],
    MarginRanking: [
        LossCase(MarginRanking, ((3,), (3,)), draw_target=signs, target_shape=(3,)),
        LossCase(lambda: MarginRanking(0.5, reduction="sum"), ((), ()), draw_target=signs, target_shape=()),
    ],
    Triplet: [
        LossCase(Triplet, ((3,), (3,), (3,)), draw_target=nothing, target_shape=()),
        LossCase(lambda: Triplet(0.5, p=3, swap=True), ((2,), (2,), (2,)), draw_target=nothing, target_shape=()),
    ],
}

OPTIMIZERS: dict[type[Optimizer], list[OptimizerCase]] = {
    SGD: [
        OptimizerCase(lambda: SGD(0.1)),
        OptimizerCase(lambda: SGD(0.02, momentum=0.9)),
        OptimizerCase(lambda: SGD(0.02, momentum=0.9, nesterov=True)),
        OptimizerCase(lambda: SGD(0.05, momentum=0.9, dampening=0.6)),
        OptimizerCase(lambda: SGD(0.1, weight_decay=0.1)),
    ],
    Adadelta: [OptimizerCase(lambda: Adadelta(0.5, smoothing=0.8, epsilon=1e-3))],
    Adagrad: [
        OptimizerCase(Adagrad),
        OptimizerCase(lambda: Adagrad(0.1, epsilon=1e-3, weight_decay=0.1, initial_sum=0.5)),
    ],
    RMSprop: [
        OptimizerCase(RMSprop),
        OptimizerCase(lambda: RMSprop(1e-3, smoothing=0.9, epsilon=1e-6, momentum=0.9, weight_decay=0.1)),
        OptimizerCase(lambda: RMSprop(1e-3, smoothing=0.9, epsilon=1e-2, momentum=0.8, centered=True)),
    ],
    Adam: [
        OptimizerCase(Adam),
        OptimizerCase(lambda: Adam(0.01, betas=(0.8, 0.9), epsilon=1e-4, weight_decay=0.1)),
        OptimizerCase(lambda: Adam(0.01, betas=(0.8, 0.9), amsgrad=True)),
    ],
    AdamW: [OptimizerCase(AdamW), OptimizerCase(lambda: AdamW(0.01, betas=(0.8, 0.9), weight_decay=0.3))],
    Adamax: [OptimizerCase(lambda: Adamax(0.01, betas=(0.8, 0.9), epsilon=1e-4))],
    NAdam: [OptimizerCase(lambda: NAdam(0.01, betas=(0.8, 0.9), momentum_decay=0.1))],
    RAdam: [OptimizerCase(lambda: RAdam(0.01, betas=(0.8, 0.95), epsilon=1e-4))],
    Lion: [OptimizerCase(lambda: Lion(0.01, betas=(0.8, 0.9), weight_decay=0.3))],
    Rprop: [OptimizerCase(Rprop), OptimizerCase(lambda: Rprop(0.02, factors=(0.4, 1.3), sizes=(1e-4, 0.05)))],
}

INITIALIZERS: dict[type[Initializer], list[InitializerCase]] = {
    Constant: [InitializerCase(lambda: Constant(1.5), 1.5, lambda i, o: 0.0, lambda i, o: 0.0)],
    Zeros: [InitializerCase(Zeros, 0.0, lambda i, o: 0.0, lambda i, o: 0.0)],
    Uniform: [InitializerCase(lambda: Uniform(-1, 3), 1.0, lambda i, o: 4 / 12**0.5, lambda i, o: 2.0)],
    Normal: [
        InitializerCase(lambda: Normal(0.3), 0.0, lambda i, o: 0.3, None),
        InitializerCase(lambda: Normal(2.0, -5.0), -5.0, lambda i, o: 2.0, None),
    ],
    GlorotUniform: [
        InitializerCase(GlorotUniform, 0.0, lambda i, o: (2 / (i + o)) ** 0.5, lambda i, o: (6 / (i + o)) ** 0.5)
    ],
    GlorotNormal: [InitializerCase(GlorotNormal, 0.0, lambda i, o: (2 / (i + o)) ** 0.5, None)],
    HeUniform: [InitializerCase(HeUniform, 0.0, lambda i, o: (2 / i) ** 0.5, lambda i, o: (6 / i) ** 0.5)],
    HeNormal: [InitializerCase(HeNormal, 0.0, lambda i, o: (2 / i) ** 0.5, None)],
    LeCunNormal: [InitializerCase(LeCunNormal, 0.0, lambda i, o: (1 / i) ** 0.5, None)],
}

TABLES: dict[type[Any], Mapping[type[Any], list[Any]]] = {
    Layer: LAYERS,
    Loss: LOSSES | SEVERAL_LOSSES,
    Optimizer: OPTIMIZERS,
    Initializer: INITIALIZERS,
}


# ---- what there is in the package


def concrete(base: type[T]) -> list[type[T]]:
    """Return every class that a module of the package defines and that can be made, whether exported or not.

    A private class, which no user's model holds, is left to the tests of its file.
    """
    names = [module.name for module in pkgutil.walk_packages(nanonet.__path__, "nanonet.")]
    modules = [nanonet, *(importlib.import_module(name) for name in names if not name.endswith("__main__"))]
    found = {
        value: None
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value is not base and not inspect.isabstract(value)
        if value.__module__.partition(".")[0] == "nanonet" and not value.__name__.startswith("_")
    }
    return list(found)


def unregistered(base: type[Any]) -> list[str]:
    """Return the names of the concrete classes that have no entry, or an empty one."""
    table = TABLES[base]
    return [f"{cls.__module__}.{cls.__name__}" for cls in concrete(base) if not table.get(cls)]


def params(table: Mapping[type[Any], list[Any]], base: type[Any] = object) -> list[Any]:
    """Return every case of a table, or of the subclasses of base in it, for ``pytest.mark.parametrize``."""
    cases = [case for cls, entered in table.items() if issubclass(cls, base) for case in entered]
    return [pytest.param(case, id=_label(case)) for case in cases]


def _label(case: Any) -> str:
    made = " ".join(repr(case.make()).split())
    return f"{made} on {case.shape}" if hasattr(case, "shape") else made
