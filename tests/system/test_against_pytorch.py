"""Values, gradients and training equal PyTorch's, class by class.

Gradients alone cannot show that a function is the right one. So each class of the package names its counterpart here,
or the reason why it has none; a class that does neither makes a test fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

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
    Array,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    BinaryCrossEntropy,
    Clip,
    Concatenate,
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
    GroupNorm,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hinge,
    HingeEmbedding,
    Huber,
    Identity,
    InstanceNorm,
    KLDivergence,
    Layer,
    LayerNorm,
    LeakyReLU,
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
    Reparametrised,
    Reshape,
    Residual,
    RMSNorm,
    RMSprop,
    Rprop,
    Sequential,
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
    Trainer,
    TransformerBlock,
    Triplet,
    Upsample,
    WeightNorm,
    Wired,
    ZeroPad2d,
)
from nanonet.core.arrays import each, parts_of
from nanonet.core.chain import Chain
from nanonet.losses.labels import LabelsCrossEntropy
from tests.registry import LAYERS, LOSSES, OPTIMIZERS, LayerCase, LossCase, OptimizerCase, concrete, params

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")

pytestmark = pytest.mark.peer
functional: Any = torch.nn.functional


class Branches(torch.nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """Several modules: on one x, or on a tuple one each."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.branches = torch.nn.ModuleList(map(module_for, layer.branches))

    def forward(self, x: Any) -> tuple[Any, ...]:
        parts = x if isinstance(x, tuple) else (x,) * len(self.branches)
        return tuple(branch(part) for branch, part in zip(self.branches, parts, strict=True))


class Joined(torch.nn.Module):  # type: ignore[misc]  # PyTorch may be missing
    """A function of several inputs."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.forward = function


LAYERS_THERE: dict[type[Layer], Callable[[Any], Any] | str] = {
    Linear: lambda layer: torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None),
    Sigmoid: lambda layer: torch.nn.Sigmoid(),
    Tanh: lambda layer: torch.nn.Tanh(),
    ReLU: lambda layer: torch.nn.ReLU(),
    Identity: lambda layer: torch.nn.Identity(),
    LeakyReLU: lambda layer: torch.nn.LeakyReLU(layer.slope),
    ELU: lambda layer: torch.nn.ELU(layer.alpha),
    SELU: lambda layer: torch.nn.SELU(),
    SiLU: lambda layer: torch.nn.SiLU(),
    Hardsigmoid: lambda layer: Joined(lambda x: functional.relu6(x + 3) / 6),  # whose slope is 1/6 in float64 too
    Hardswish: lambda layer: torch.nn.Hardswish(),
    LogSigmoid: lambda layer: torch.nn.LogSigmoid(),
    Mish: lambda layer: torch.nn.Mish(),
    CELU: lambda layer: torch.nn.CELU(layer.alpha),
    Hardshrink: lambda layer: torch.nn.Hardshrink(layer.threshold),
    Softshrink: lambda layer: torch.nn.Softshrink(layer.threshold),
    PReLU: lambda layer: torch.nn.PReLU(layer.num_parameters),
    Clip: lambda layer: torch.nn.Hardtanh(layer.low, layer.high),
    GELU: lambda layer: torch.nn.GELU(approximate="tanh" if layer.approximate else "none"),
    Softplus: lambda layer: torch.nn.Softplus(layer.beta, min(layer.threshold, 40)),
    Softsign: lambda layer: torch.nn.Softsign(),
    Softmax: lambda layer: torch.nn.Softmax(dim=-1),
    LogSoftmax: lambda layer: torch.nn.LogSoftmax(dim=-1),
    Flatten: lambda layer: torch.nn.Flatten(),
    **{kind: "compared with options drawn, in test_conv.py" for kind in (Conv1d, Conv2d, ConvTranspose2d)},
    **{kind: "compared with options drawn, in test_pool.py" for kind in (MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d)},
    **{kind: "compared with options drawn, in test_pool.py" for kind in (GlobalAvgPool, AdaptiveAvgPool2d)},
    **{kind: "compared with options drawn, in test_resize.py" for kind in (Upsample, ZeroPad2d)},
    Pad: "compared with options drawn, in test_pad.py",
    **{kind: "compared with options drawn, in test_recurrent.py" for kind in (RNN, LSTM, GRU)},
    **{kind: "compared with options drawn, in test_attention.py" for kind in (MultiHeadAttention, TransformerBlock)},
    PositionalEncoding: "PyTorch has no such module; test_attention.py has its waves",
    Dropout: "it draws other masks; compared below with the same one, and in test_dropout.py",
    Fork: Branches,
    Parallel: Branches,
    Wired: "its steps are those of a Composite; test_wired.py compares it with one",
    Concatenate: lambda layer: Joined(lambda x: torch.cat(x, dim=layer.axis)),
    Add: lambda layer: Joined(sum),
    Dropout2d: "it draws other masks; test_dropout.py has what they are",
    GaussianNoise: "PyTorch has no such module; test_dropout.py has its distribution",
    BatchNorm: "PyTorch has a module for each number of axes; test_batch_norm.py compares them",
    LayerNorm: lambda layer: torch.nn.LayerNorm(
        layer.normalized_shape, layer.eps, layer.weight is not None, layer.bias is not None
    ),
    RMSNorm: lambda layer: torch.nn.RMSNorm(layer.normalized_shape, layer.eps, layer.weight is not None),
    GroupNorm: lambda layer: torch.nn.GroupNorm(
        layer.num_groups, layer.num_channels, layer.eps, layer.weight is not None
    ),
    InstanceNorm: "PyTorch has a module for each number of axes; test_norm.py compares them",
    Embedding: lambda layer: torch.nn.Embedding(layer.num_embeddings, layer.embedding_dim, layer.padding_idx),
    Standardize: "PyTorch has no such module; test_standardize.py compares it with scikit-learn",
    Reshape: "PyTorch has no such module; test_reshape.py compares it with its reshape",
    Permute: "PyTorch has no such module; test_reshape.py compares it with its permute",
    Residual: "PyTorch has no such module; test_residual.py compares it with PyTorch's x + inner(x)",
    **{kind: "its state has other names; compared in test_reparametrised.py" for kind in (WeightNorm, SpectralNorm)},
    Reparametrised: "PyTorch registers a rule on its module; test_reparametrised.py compares both",
    Monotone: "PyTorch has no such rule; it is Softplus, which is compared above",
    Chain: lambda layer: torch.nn.Sequential(*map(module_for, layer)),
    Sequential: lambda layer: torch.nn.Sequential(*map(module_for, layer)),
}
"""A PyTorch module for a layer, numbers aside; or the reason why there is none."""

LOSSES_THERE: dict[type[Loss], Callable[[Any, Any, Any], Any] | str] = {
    SquaredError: lambda loss, y, t: 0.5 * per_sample(functional.mse_loss(y, t, reduction="none")).sum(1),
    MeanSquaredError: lambda loss, y, t: per_sample(functional.mse_loss(y, t, reduction="none")).mean(1),
    MeanAbsoluteError: lambda loss, y, t: of_outputs(loss, functional.l1_loss(y, t, reduction="none")),
    Huber: lambda loss, y, t: per_sample(functional.huber_loss(y, t, reduction="none", delta=loss.threshold)).mean(1),
    Quantile: "PyTorch has no such loss; test_beside_pytorch.py compares it with the formula",
    GaussianNLL: lambda loss, y, t: per_sample(
        functional.gaussian_nll_loss(*gaussian_arguments(loss, y, t), loss.full, loss.eps, "none")
    ).mean(1),
    KLDivergence: lambda loss, y, t: per_sample(
        functional.kl_div(y, t, reduction="none", log_target=loss.log_target)
    ).sum(1),
    **{kind: "it has several predictions; see test_beside_pytorch.py" for kind in (CosineEmbedding, Triplet)},
    PoissonNLL: lambda loss, y, t: of_outputs(
        loss, functional.poisson_nll_loss(y, t, loss.log_input, loss.full, reduction="none")
    ),
    Hinge: lambda loss, y, t: per_sample(torch.relu(1 - t * y)).sum(1),
    BinaryCrossEntropy: lambda loss, y, t: per_sample(
        functional.binary_cross_entropy_with_logits(
            y, t, as_tensor(loss.weight), pos_weight=as_tensor(loss.pos_weight), reduction="none"
        )
    ).mean(1),
    LabelsCrossEntropy: lambda loss, y, t: per_sample(
        functional.binary_cross_entropy_with_logits(y, t, reduction="none")
    ).sum(1),
    **{
        kind: "compared with options drawn, in test_margins.py" for kind in (HingeEmbedding, MarginRanking, MultiMargin)
    },
    Together: "it is a sum of others; see test_together.py",
    CrossEntropy: lambda loss, y, t: per_sample(
        functional.cross_entropy(*classes_on_1(loss, y, t), **cross_entropy_settings(loss), reduction="none")
    ).sum(1),
}
"""One number a sample, for a loss, a prediction and a target; or the reason why PyTorch has nothing like it."""


class LionThere:
    """The paper's algorithm 2 on PyTorch's tensors, since PyTorch has no Lion."""

    def __init__(self, rule: Any, parameters: Any) -> None:
        self.rule = rule
        first = {"lr": rule.learning_rate, "weight_decay": rule.weight_decay}
        groups = [each if isinstance(each, dict) else {"params": [each]} for each in parameters]
        self.param_groups = [first | group for group in groups]
        self.m: dict[Any, Any] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.param_groups:
            for theta in group["params"]:
                theta.grad = None

    def step(self) -> None:
        """Take a step, with the paper's names."""
        b1, b2 = self.rule.betas
        with torch.no_grad():
            for group in self.param_groups:
                for theta in group["params"]:
                    g, m = (-1) ** self.rule.maximize * theta.grad, self.m.get(theta, torch.zeros_like(theta))
                    c = b1 * m + (1 - b1) * g
                    theta -= group["lr"] * (torch.sign(c) + group["weight_decay"] * theta)
                    self.m[theta] = b2 * m + (1 - b2) * g


OPTIMIZERS_THERE: dict[type[Optimizer], Callable[[Any, Any], Any] | str] = {
    SGD: lambda rule, parameters: torch.optim.SGD(
        parameters,
        rule.learning_rate,
        rule.momentum,
        dampening=rule.dampening,
        nesterov=rule.nesterov,
        weight_decay=rule.weight_decay,
        maximize=rule.maximize,
    ),
    Adadelta: lambda rule, parameters: torch.optim.Adadelta(
        parameters, rule.learning_rate, rule.smoothing, rule.epsilon, rule.weight_decay, maximize=rule.maximize
    ),
    Adagrad: lambda rule, parameters: torch.optim.Adagrad(
        parameters,
        rule.learning_rate,
        eps=rule.epsilon,
        weight_decay=rule.weight_decay,
        initial_accumulator_value=rule.initial_sum,
        maximize=rule.maximize,
    ),
    RMSprop: lambda rule, parameters: torch.optim.RMSprop(
        parameters,
        rule.learning_rate,
        rule.smoothing,
        rule.epsilon,
        rule.weight_decay,
        rule.momentum,
        centered=rule.centered,
        maximize=rule.maximize,
    ),
    Adam: lambda rule, parameters: adam_there(torch.optim.Adam, rule, parameters, amsgrad=rule.amsgrad),
    AdamW: lambda rule, parameters: adam_there(torch.optim.AdamW, rule, parameters, amsgrad=rule.amsgrad),
    Adamax: lambda rule, parameters: adam_there(torch.optim.Adamax, rule, parameters),
    NAdam: lambda rule, parameters: nadam_there(rule, parameters),
    RAdam: lambda rule, parameters: adam_there(
        torch.optim.RAdam, rule, parameters, decoupled_weight_decay=rule.decay_is_decoupled
    ),
    Lion: LionThere,
    Rprop: lambda rule, parameters: torch.optim.Rprop(
        parameters, rule.learning_rate, (rule.down, rule.up), (rule.least, rule.most), maximize=rule.maximize
    ),
}
"""A PyTorch optimizer for ours and a list of parameters; or the reason why there is none."""


def adam_there(kind: Any, rule: Any, parameters: Any, **settings: Any) -> Any:
    """Return one of PyTorch's relatives of Adam, with the settings of ours that they share."""
    return kind(
        parameters, rule.learning_rate, rule.betas, rule.epsilon, rule.weight_decay, maximize=rule.maximize, **settings
    )


def nadam_there(rule: Any, parameters: Any) -> Any:
    """Return PyTorch's NAdam, whose product of momenta is float32 by default, with one of float64."""
    decay = {"momentum_decay": rule.momentum_decay, "decoupled_weight_decay": rule.decay_is_decoupled}
    there = adam_there(torch.optim.NAdam, rule, parameters, **decay)
    for group in there.param_groups:
        for theta in group["params"]:
            zeros = {name: torch.zeros_like(theta) for name in ("exp_avg", "exp_avg_sq")}
            one = torch.ones((), dtype=torch.float64)
            there.state[theta] = {"step": torch.tensor(0.0), "mu_product": one, **zeros}
    return there


def cross_entropy_settings(loss: Any) -> dict[str, Any]:
    """Return the settings of our CrossEntropy as PyTorch's."""
    ignored = {} if loss.ignore_index is None else {"ignore_index": loss.ignore_index}
    return {"label_smoothing": loss.label_smoothing, "weight": as_tensor(loss.class_weight), **ignored}


def classes_on_1(loss: Any, y: Any, t: Any) -> tuple[Any, Any]:
    """Return a prediction and its target with the classes on axis 1."""
    return torch.moveaxis(y, loss.axis, 1), torch.moveaxis(t, loss.axis, 1) if t.shape == y.shape else t


def gaussian_arguments(loss: Any, y: Any, t: Any) -> tuple[Any, Any, Any]:
    """Return mean, target and variance."""
    mean, second = y.chunk(2, -1)
    return mean, t, second.exp() if loss.log_variance else second


def of_outputs(loss: Loss, each: Any) -> Any:
    """Return the mean, or the sum, of the outputs of each sample."""
    return per_sample(each).mean(1) if loss.reduction == "mean" else per_sample(each).sum(1)


def as_tensor(array: Any) -> Any:
    """Return a setting as a tensor."""
    return None if array is None else torch.tensor(array)


def counts(loss: Loss, target: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return how much each sample counts in the mean: 1, or of its labels the sum of the weights of their classes."""
    if not isinstance(loss, CrossEntropy):
        return np.ones(len(target))
    if target.dtype.kind == "f":
        return np.full(len(target), target.size / len(target) / target.shape[loss.axis])
    of_class = np.ones(9) if loss.class_weight is None else loss.class_weight
    rows = target.reshape(len(target), -1)
    weights: npt.NDArray[Any] = (of_class[rows] * (rows != loss.ignore_index)).sum(axis=1)
    return weights


def module_for(layer: Layer) -> Any:
    """Return the counterpart of a layer, in float64."""
    there = LAYERS_THERE[type(layer)]
    assert callable(there)
    return there(layer).double()


def twin(model: Sequential) -> Any:
    """Return the counterpart of a model, with its numbers under the same names."""
    module = module_for(model)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in model.state_dict().items()})
    return module


def per_sample(each: Any) -> Any:
    """Return a tensor as rows, one a sample."""
    return each.reshape(len(each), -1)


def tensor(array: npt.NDArray[Any], *, grad: bool = False) -> Any:
    """Return a copy as a tensor."""
    return torch.tensor(array, requires_grad=grad)


def assert_equal(ours: Array | float, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=1e-10, atol=1e-10)


def with_counterpart(table: Mapping[type[Any], list[Any]], there: Mapping[type[Any], Any]) -> list[Any]:
    """Return the cases of all classes that have a counterpart."""
    return params({cls: cases for cls, cases in table.items() if callable(there.get(cls))})


@pytest.mark.parametrize(
    ("base", "there"),
    [(Layer, LAYERS_THERE), (Loss, LOSSES_THERE), (Optimizer, OPTIMIZERS_THERE)],
    ids=["layers", "losses", "optimizers"],
)
def test_every_class_names_its_counterpart_or_the_reason_why_it_has_none(
    base: type[Any], there: Mapping[type[Any], Any]
) -> None:
    forgotten = [cls.__name__ for cls in concrete(base) if not there.get(cls)]
    assert not forgotten, f"enter {', '.join(forgotten)} in tests/system/test_against_pytorch.py"


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("case", with_counterpart(LAYERS, LAYERS_THERE))
def test_a_layer_has_the_values_and_both_gradients_of_its_counterpart(case: LayerCase, training: bool) -> None:
    model = Sequential(case.make(), dtype=np.float64, rng=0)
    module = twin(model).train(training)
    x = case.x()
    inputs_there = [tensor(part, grad=part.dtype.kind == "f") for part in parts_of(x)]
    y, cache = model.forward(x, training=training)
    y_there = module(tuple(inputs_there) if isinstance(x, tuple) else inputs_there[0])
    for part, part_there in zip(parts_of(y), parts_of(y_there), strict=True):
        assert_equal(part, part_there)

    rng = np.random.default_rng(1)
    grad = each(lambda part: rng.normal(size=part.shape), y)
    dx = model.backward(grad, cache)
    torch.autograd.backward(parts_of(y_there), [tensor(part) for part in parts_of(grad)])
    for part, input_there in zip(parts_of(dx), inputs_there, strict=True):
        if input_there.requires_grad:
            assert_equal(part, input_there.grad)
    found = {name: parameter.grad for name, parameter in model.parameters().items()}
    there = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert list(found) == list(there)
    for name, parameter_grad in found.items():
        assert_equal(parameter_grad, there[name])


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("case", with_counterpart(LOSSES, LOSSES_THERE))
def test_a_loss_has_the_value_and_the_gradient_of_its_counterpart(case: LossCase, weighted: bool) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    weight = np.random.default_rng(2).uniform(0.1, 3, len(prediction)) if weighted else None
    value, cache = loss.forward(prediction, *loss.check(prediction, target, weight))
    there = LOSSES_THERE[type(loss)]
    assert callable(there)
    prediction_there = tensor(prediction, grad=True)
    each = there(loss, prediction_there, tensor(target))
    weight_there = tensor(np.ones(len(prediction)) if weight is None else weight)
    divisor = (weight_there * tensor(counts(loss, target))).sum() if loss.reduction == "mean" else 1
    value_there = (weight_there * each).sum() / divisor
    value_there.backward()
    assert_equal(value, value_there)
    assert_equal(loss(prediction, target, weight), value_there)
    assert_equal(loss.backward(cache), prediction_there.grad)


@pytest.mark.parametrize("case", with_counterpart({CrossEntropy: LOSSES[CrossEntropy]}, LOSSES_THERE))
def test_the_mean_of_cross_entropy_is_pytorchs_own(case: LossCase) -> None:
    loss, prediction, target = case.make(), case.prediction(), case.target()
    there = functional.cross_entropy(
        *classes_on_1(loss, tensor(prediction), tensor(target)), **cross_entropy_settings(loss)
    )
    assert_equal(loss(prediction, target), there)


def nets() -> list[Any]:
    """Return whole nets, each with the shape of its input."""
    cases: dict[str, tuple[Callable[[], list[Layer]], tuple[int, ...]]] = {
        "the article's 2-2-2 net": (
            lambda: [Linear(2, 2, bias=False), Sigmoid(), Linear(2, 2, bias=False), Sigmoid()],
            (2,),
        ),
        "six layers of unequal widths": (
            lambda: [
                *[Linear(3, 7), Tanh(), Linear(7, 2), ReLU(), Linear(2, 5), Sigmoid()],
                *[Linear(5, 5, bias=False), Tanh(), Linear(5, 1), Identity(), Linear(1, 4)],
            ],
            (3,),
        ),
        "chains in chains": (
            lambda: [Sequential(Linear(2, 3), Tanh()), Sequential(Sequential(Linear(3, 3), ReLU()), Linear(3, 1))],
            (2,),
        ),
        "a net on sequences": (lambda: [Linear(3, 4), Tanh(), Linear(4, 2)], (6, 3)),
    }
    return [pytest.param(*case, id=name) for name, case in cases.items()]


@pytest.mark.parametrize(("layers", "shape"), nets())
def test_a_net_has_the_loss_and_the_gradients_of_its_counterpart(
    layers: Callable[[], list[Layer]], shape: tuple[int, ...]
) -> None:
    model, rng = Sequential(*layers(), dtype=np.float64, rng=3), np.random.default_rng(4)
    module = twin(model)
    x = rng.normal(size=(5, *shape))
    target = rng.normal(size=model(x).shape)
    value, grad = model.loss_and_grad(x, target, SquaredError())
    y_there = module(tensor(x))
    value_there = 0.5 * ((y_there - tensor(target)) ** 2).sum() / len(x)
    value_there.backward()
    assert_equal(value, value_there)
    assert_equal(grad, torch.cat([parameter.grad.ravel() for parameter in module.parameters()]))


@pytest.mark.parametrize(("layers", "shape"), nets())
@pytest.mark.parametrize("case", with_counterpart(OPTIMIZERS, OPTIMIZERS_THERE))
def test_50_steps_of_an_optimizer_are_those_of_its_counterpart(
    case: OptimizerCase, layers: Callable[[], list[Layer]], shape: tuple[int, ...]
) -> None:
    model, rng, rule = Sequential(*layers(), dtype=np.float64, rng=5), np.random.default_rng(6), case.make()
    module = twin(model)
    there = OPTIMIZERS_THERE[type(rule)]
    assert callable(there)
    optimizer_there = there(rule, list(module.parameters()))
    trainer = Trainer(model, loss=SquaredError(), optimizer=rule)
    start = model.vector.value.copy()
    for _ in range(50):
        x = rng.normal(size=(4, *shape))
        target = rng.normal(size=model(x).shape)
        value = trainer.step(x, target)
        optimizer_there.zero_grad()
        value_there = 0.5 * ((module(tensor(x)) - tensor(target)) ** 2).sum() / len(x)
        value_there.backward()
        optimizer_there.step()
        assert_equal(value, value_there)
    for name, parameter in module.named_parameters():
        assert_equal(model.parameters()[name].value, parameter)
    assert np.abs(model.vector.value - start).max() > 0.01


def test_50_steps_with_a_frozen_layer_are_those_of_the_counterpart() -> None:
    model, rng = Sequential(Linear(3, 4), Tanh(), Linear(4, 4), Tanh(), Linear(4, 2), dtype=np.float64, rng=7), 8
    module = twin(model)
    for name in ("0.weight", "2.weight", "2.bias"):
        model.parameters()[name].trainable = False
        dict(module.named_parameters())[name].requires_grad_(False)
    x, target = np.random.default_rng(rng).normal(size=(6, 3)), np.random.default_rng(rng + 1).normal(size=(6, 2))
    trainer = Trainer(model, loss=SquaredError(), optimizer=SGD(0.1))
    optimizer_there = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    for _ in range(50):
        trainer.step(x, target)
        optimizer_there.zero_grad()
        (0.5 * ((module(tensor(x)) - tensor(target)) ** 2).sum() / len(x)).backward()
        optimizer_there.step()
    for name, parameter in module.named_parameters():
        assert_equal(model.parameters()[name].value, parameter)


def test_dropout_has_the_value_and_the_gradient_of_pytorch_with_the_same_mask() -> None:
    model = Sequential(Dropout(0.3), dtype=np.float64, rng=0)
    x, grad = np.random.default_rng(1).uniform(1, 2, size=(2, 50, 4))
    assert_equal(model(x), functional.dropout(tensor(x), 0.3, training=False))
    y, cache = model.forward(x, training=True)
    kept = y != 0
    assert 0 < kept.sum() < kept.size
    x_there = tensor(x, grad=True)
    y_there = x_there * tensor(kept.astype(float)) / 0.7  # what PyTorch's documentation says it computes
    y_there.backward(tensor(grad))
    assert_equal(y, y_there)
    assert_equal(model.backward(grad, cache), x_there.grad)
