"""PyTorch: weights go to it and come from it by name, whole chains by conversion, and what cannot go is named."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from nanonet import (
    Array,
    Dropout,
    Flatten,
    Linear,
    Residual,
    Sequential,
    Tanh,
    load,
    read_arrays,
    save,
)
from nanonet.interchange.torch import from_torch, to_torch
from tests.layers import Scale, picture
from tests.test_files import PLAIN, assert_same, nets

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
nn: Any = torch.nn


def assert_close(ours: Array, theirs: Any) -> None:
    assert ours.dtype == theirs.numpy().dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-6)


def output(module: Any, x: Array) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(x.copy()))


# ---- whole chains


@settings(max_examples=200, deadline=None)
@given(nets(residual=False))
def test_a_drawn_net_goes_to_pytorch_and_back(net: tuple[Sequential, Array]) -> None:
    model, x = net
    before = picture(model)
    module = to_torch(model)
    assert {name: tuple(array.shape) for name, array in module.state_dict().items()} == {
        name: array.shape for name, array in model.state_dict().items()
    }
    assert list(module.state_dict()) == list(model.state_dict())
    assert_close(model(x), output(module, x))
    assert {name: part.requires_grad for name, part in module.named_parameters()} == {
        name: part.trainable for name, part in model.parameters().items()
    }
    again = from_torch(module)
    if model.parameters():  # without them nothing tells a module's dtype
        assert_same(again, model)
        np.testing.assert_array_equal(again(x), model(x))
    for parameter in module.parameters():
        parameter.data.fill_(7)
    assert picture(model) == before


@settings(max_examples=200, deadline=None)
@given(nets(residual=False))
def test_files_of_either_are_read_by_the_other(net: tuple[Sequential, Array]) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import load_file, save_file

    model, x = net
    module, again = to_torch(model), load_copy(model)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.safetensors", Path(folder) / "theirs.safetensors"
        save(model, ours)
        for parameter in module.parameters():
            parameter.data.zero_()
        module.load_state_dict(load_file(ours), strict=True)
        assert_close(model(x), output(module, x))
        save_file(module.state_dict(), theirs)
        again.vector.value[:] = 0
        again.load_state_dict(read_arrays(theirs))
    np.testing.assert_array_equal(again(x), model(x))


def load_copy(model: Sequential) -> Sequential:
    """Return the same model from a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "net.npz")
        return load(Path(folder) / "net.npz")


@pytest.mark.parametrize("make", PLAIN, ids=lambda make: repr(make()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_without_parameters_goes_there_and_back_with_its_settings(
    make: Callable[[], Any], dtype: Any
) -> None:
    model = Sequential(Linear(3, 4), make(), dtype=dtype, rng=0)
    module = to_torch(model)
    assert repr(from_torch(module)) == repr(model)
    x = np.random.default_rng(0).normal(0, 3, size=(50, 3)).astype(dtype)
    assert_close(model(x), output(module, x))


def test_a_module_in_training_drops_and_a_converted_one_starts_in_evaluation() -> None:
    module = to_torch(Sequential(Dropout(0.5)))
    assert not module.training
    ones = np.ones((1, 100), np.float32)
    assert_close(ones, output(module, ones))
    assert set(output(module.train(), ones).numpy().ravel().tolist()) == {0.0, 2.0}
    np.testing.assert_array_equal(from_torch(module)(ones), ones)


def test_pytorchs_own_names_of_modules_do_not_matter() -> None:
    from collections import OrderedDict

    module = nn.Sequential(OrderedDict(hidden=nn.Linear(2, 3), act=nn.Tanh(), out=nn.Linear(3, 1, bias=False)))
    module.hidden.weight.requires_grad_(False)
    model = from_torch(module)
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    assert_close(model(x), output(module, x))
    assert {name: part.trainable for name, part in model.parameters().items()} == {
        **{"0.weight": False, "0.bias": True},
        "2.weight": True,
    }


def test_one_activation_may_stand_in_two_places() -> None:
    relu = nn.ReLU()
    assert len(from_torch(nn.Sequential(nn.Linear(2, 2), relu, nn.Linear(2, 2), relu))) == 4


def test_a_chain_of_a_class_of_yours_is_a_chain() -> None:
    class Net(Sequential):
        def __init__(self) -> None:
            super().__init__(Linear(2, 2), Flatten())

    assert len(to_torch(Sequential(Net()))[0]) == 2


# ---- what cannot go


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.Conv2d(1, 2, 3), r"module 0, Conv2d\(.*: nanonet has no such layer; it has Dropout, ELU"),
        (lambda: nn.GELU(), r"module 0, GELU: expected approximate='tanh', got 'none'; NumPy has no erf"),
        (lambda: nn.Softmax(dim=1), r"module 0, Softmax: expected dim=-1, got 1; for rows dim=1 is the same"),
        (lambda: nn.LogSoftmax(dim=0), r"LogSoftmax: expected dim=-1, got 0"),
        (lambda: nn.Softplus(beta=2), r"Softplus: expected beta=1.0, got 2"),
        (lambda: nn.Flatten(2), r"Flatten: expected start_dim=1, got 2"),
        (
            lambda: nn.Sequential(nn.ReLU(), nn.Sequential(nn.PReLU())),
            r"module 0\.1\.0, PReLU\(.*: nanonet has no such",
        ),
        (lambda: nn.LazyLinear(3), "has hooks"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "ParametrizedLinear"),
        (lambda: type("Linear", (nn.Linear,), {})(2, 2), "nanonet has no such layer"),
    ],
)
def test_a_module_that_nanonet_has_not_is_named(module: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=rf"(?s)^from_torch: .*{message}"):
        from_torch(nn.Sequential(module()))


def test_hooks_are_refused() -> None:
    module = nn.Sequential(nn.Linear(2, 2))
    module.register_forward_hook(lambda *arguments: None)
    with pytest.raises(TypeError, match="has hooks, of which nanonet knows nothing"):
        from_torch(module)


def test_what_pytorch_has_not_is_named() -> None:
    for layer in (Residual(Linear(2, 2)), Scale(2), type("Tanh", (Tanh,), {})()):
        with pytest.raises(TypeError, match=r"to_torch: layer 1\.0, .*: torch.nn has no such module"):
            to_torch(Sequential(Tanh(), Sequential(layer)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_dtypes_are_refused_with_what_to_type(dtype: str) -> None:
    module = nn.Sequential(nn.Linear(2, 2)).to(getattr(torch, dtype))
    with pytest.raises(ValueError, match=rf"float32, or of float64, got {dtype}; try module\.float\(\)"):
        from_torch(module)
    with pytest.raises(ValueError, match="got float32 and float64"):
        from_torch(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))


def test_shared_weights_are_refused() -> None:
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are one parameter"):
        from_torch(nn.Sequential(linear, nn.Tanh(), linear))


def test_a_rate_that_dropout_does_not_take_is_named() -> None:
    with pytest.raises(ValueError, match=r"from_torch: module 0: Dropout: expected a finite rate"):
        from_torch(nn.Sequential(nn.Dropout(1.0)))


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(TypeError, match=r"from_torch: expected a torch\.nn\.Sequential, got Linear"):
        from_torch(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"to_torch: expected a Sequential, got Linear\(2, 2\)"):
        to_torch(Linear(2, 2))  # type: ignore[arg-type]  # that is the mistake


def test_a_state_dict_of_other_shapes_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import save_file

    model = Sequential(Linear(2, 3), Tanh(), Linear(3, 1), rng=0)
    before = picture(model)
    save_file(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"(?s)missing: 2\.weight.*unexpected: 1\."):
        model.load_state_dict(read_arrays(tmp_path / "a.safetensors"))
    assert picture(model) == before


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_state_dict_of_another_dtype_is_cast(dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    from safetensors.torch import save_file

    module, model = nn.Sequential(nn.Linear(2, 3)).to(getattr(torch, dtype)), Sequential(Linear(2, 3))
    save_file(module.state_dict(), tmp_path / "a.safetensors")
    model.load_state_dict(read_arrays(tmp_path / "a.safetensors"))
    np.testing.assert_array_equal(model.state_dict()["0.weight"], module[0].weight.detach().float().numpy())
    assert model.dtype == np.float32


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"to_torch needs PyTorch: pip install 'nanonet\[torch\]'"):
        to_torch(Sequential())
    with pytest.raises(ImportError, match=r"from_torch needs PyTorch: pip install 'nanonet\[torch\]'"):
        from_torch(None)
