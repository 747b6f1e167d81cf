"""What people type by mistake is refused where they type it, with what to type instead."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nanonet
from nanonet import (
    SGD,
    Adam,
    Array,
    Constant,
    ContractError,
    Layer,
    Linear,
    NonFiniteError,
    Optimizer,
    Parameter,
    Sequential,
    SquaredError,
    Step,
    Tanh,
    Trainer,
    Zeros,
    check_gradients,
)
from tests import ROOT
from tests.helpers import Scale

X = np.random.default_rng(0).normal(size=(12, 3))


def fit(model: Sequential, optimizer: Optimizer | None = None) -> None:
    target = np.zeros((12, model(X).shape[1]))
    model.fit(X, target, loss=SquaredError(), optimizer=optimizer or SGD(0.1), epochs=1)


# ---- a parameter is not an array


@pytest.mark.parametrize(
    "use",
    [lambda p: X + p, lambda p: X @ p, lambda p: np.exp(p), lambda p: np.asarray(p), lambda p: X * p],
    ids=["+", "@", "exp", "asarray", "*"],
)
def test_a_parameter_in_arithmetic_says_where_its_numbers_are(use: Callable[[Any], object]) -> None:
    layer = Scale(3)
    Sequential(layer)
    with pytest.raises(TypeError, match=r"Scale\.gain is a Parameter; its numbers are in \.value"):
        use(layer.gain)


@pytest.mark.parametrize("trainable", ["no", Zeros(), 0, None])
def test_trainable_is_true_or_false(trainable: Any) -> None:
    with pytest.raises(TypeError, match="expected trainable as True or False"):
        Parameter(3, Zeros(), trainable)


def test_a_class_is_no_initializer() -> None:
    kind: Any = Zeros
    with pytest.raises(TypeError, match=re.escape("expected an initializer, got the class Zeros; write Zeros(...)")):
        Parameter(3, kind)


def test_freezing_a_layer_says_that_parameters_are_frozen() -> None:
    model = Sequential(Linear(3, 2))
    layer: Any = model[0]
    with pytest.raises(TypeError, match=r"Linear has no trainable; write layer\.freeze\(\)"):
        layer.trainable = False


def test_an_input_shape_is_a_tuple() -> None:
    class Five(Tanh):
        def __init__(self) -> None:
            shape: Any = 5
            self.input_shape = shape

    with pytest.raises(TypeError, match=r"Five: expected input_shape as a tuple such as \(3,\), got 5"):
        Five()


# ---- layers and rules


class Remembers(Layer):
    """Keeps what backward needs on itself, as old tutorials do."""

    def forward(self, x: Array, *, training: bool = False) -> tuple[Array, None]:
        self.x = x
        return x * x, None

    def backward(self, grad: Array, cache: None) -> Array:
        return 2 * self.x * grad


def test_a_layer_that_keeps_arrays_on_itself_is_told_of_the_cache() -> None:
    with pytest.raises(ContractError, match=r"layer 0, Remembers\(\): forward sets self\.x; return .* as the cache"):
        fit(Sequential(Remembers(), Linear(3, 1)))
    with pytest.raises(ContractError, match=r"Remembers\(\): forward sets self\.x"):
        check_gradients(Remembers(), 3)


class Normalised(Optimizer):
    """Looks at the norm of what it gets, which is a block and not the whole vector."""

    def update(self, value: Array, grad: Array, step: Step, *state: Any, **nothing: Any) -> None:
        value -= step.learning_rate * grad / np.linalg.norm(grad)


def test_a_rule_that_looks_beyond_single_entries_is_found_before_the_first_step() -> None:
    model = Sequential(Linear(3, 1), rng=0)
    before = model.vector.value.copy()
    with pytest.raises(ContractError, match=r"Normalised\(0\.1\): update is not elementwise"):
        fit(model, Normalised(0.1))
    np.testing.assert_array_equal(model.vector.value, before)


def test_states_that_are_no_dict_are_named() -> None:
    class Listed(SGD):
        def states(self) -> Any:
            return ["velocity"]

    with pytest.raises(TypeError, match=r'Listed: states must return a dict such as \{"velocity": 0\.0\}'):
        fit(Sequential(Linear(3, 1)), Listed(0.1))


def test_a_gradient_that_kept_its_axis_is_told_of_keepdims() -> None:
    class Kept(Scale):
        def backward(self, grad: Array, cache: Any) -> Array:
            self.gain.grad = (grad * cache).sum(axis=0, keepdims=True)
            return grad * self.gain.value

    with pytest.raises(ContractError, match=r"expected shape \(3,\), got \(1, 3\); leave out keepdims\?"):
        check_gradients(Kept(3))


def test_an_error_in_a_users_layer_names_the_layer_and_the_pass() -> None:
    class Fails(Tanh):
        def function(self, a: Array) -> Array:
            return a @ a

    model = Sequential(Linear(3, 3), Fails())
    with pytest.raises(ValueError, match="matmul") as raised:
        model.fit(X, X, loss=SquaredError(), optimizer=SGD(0.1), epochs=1)
    assert raised.value.__notes__ == ["in layer 1, Fails(), forward"]


# ---- a step that spoils the optimizer's state


def test_a_step_whose_squares_overflow_in_the_state_is_not_taken() -> None:
    model = Sequential(Linear(1, 1, weight=Constant(1.0), bias=False))
    trainer = Trainer(model, loss=SquaredError(), optimizer=Adam(0.1))
    with pytest.raises(NonFiniteError, match="the update of the optimizer's state is the first"):
        trainer.step([[1e10]], [[-1e11]])
    assert model.vector.value.tolist() == [1.0]
    for _ in range(100):
        trainer.step([[1.0]], [[-5.0]])
    assert model.vector.value[0] < -1


# ---- docs/how-to/mistakes.md, line by line

PAGE = (ROOT / "docs" / "how-to" / "mistakes.md").read_text(encoding="utf-8")
BEFORE = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^\| `(.+)` \| (.+) \|$", PAGE, re.MULTILINE)


CLEAR = (
    "; ",
    " expected .* got ",
    " expects .* gives ",
    " has .* but .* has ",
    " has no .* it has ",
    " holds ",
    ": leave that out",
    "is called in a model: ",
    "nothing was loaded:",
    "No such file or directory: ",
)


def answer(code: str) -> str:
    """Return what nanonet says to a line that is typed after the code of the page: an error, or else a warning."""
    assert BEFORE
    names: dict[str, Any] = {}
    exec(BEFORE[1], names)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            exec(code, names)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return f"{warned[0].category.__name__}: {warned[0].message}" if warned else "nothing"


def test_the_page_of_mistakes_has_all_of_them() -> None:
    assert len(ROWS) == len({code for code, _ in ROWS}) >= 91


@pytest.mark.parametrize(("code", "said"), ROWS, ids=[code for code, _ in ROWS])
def test_what_is_typed_by_mistake_is_answered_as_the_page_says(code: str, said: str) -> None:
    assert re.fullmatch(".*".join(map(re.escape, said.split("…"))), answer(code), re.DOTALL), answer(code)


@pytest.mark.parametrize(("code", "said"), ROWS, ids=[code for code, _ in ROWS])
def test_no_answer_is_cryptic(code: str, said: str) -> None:
    """It says what to type instead, or what was expected and what came."""
    assert re.search("|".join(CLEAR), said), said


def test_every_name_that_an_answer_mentions_exists() -> None:
    for _, said in ROWS:
        for name in re.findall(r"nanonet\.([A-Za-z_0-9]+)", said.split(";", 1)[-1]):
            assert hasattr(nanonet, name) or name == "interchange", name


def test_a_word_of_another_library_is_free_for_a_subclass_and_not_listed() -> None:
    class Headed(Sequential):
        def train(self) -> str:
            return "mine"

    model: Any = Headed(Linear(2, 2))
    model.score = 0.5
    assert (model.train(), model.score) == ("mine", 0.5)
    assert {"train", "score"} <= set(dir(model))
    assert not {"compile", "eval"} & set(dir(model))
    assert not hasattr(model, "compile")
