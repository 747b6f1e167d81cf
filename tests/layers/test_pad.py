"""Pad: equal to PyTorch in every mode, on sequences, images and volumes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import Conv2d, Pad, Sequential, ShapeError
from nanonet.interchange.onnx import export, load
from tests.layers.test_resize import assert_equal_to_pytorch

MODES = {
    "constant": "Constant",
    "reflect": "Reflection",
    "replicate": "Replication",
    "circular": "Circular",
}


@st.composite
def paddings(draw: st.DrawFn) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Draw a mode, a padding that it allows, and a shape."""
    mode = draw(st.sampled_from(sorted(MODES)))
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    most = [{"reflect": n - 1, "circular": n}.get(mode, 5) for n in lengths]
    padding = [draw(st.integers(0, each)) for each in reversed(most) for _ in range(2)]
    return mode, tuple(padding), (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *lengths)


@pytest.mark.peer
@settings(max_examples=60, deadline=None)
@given(paddings())
def test_a_pad_is_pytorchs(drawn: tuple[Any, tuple[int, ...], tuple[int, ...]]) -> None:
    torch: Any = pytest.importorskip("torch")
    mode, padding, shape = drawn
    module = getattr(torch.nn, f"{MODES[mode]}Pad{len(padding) // 2}d")
    there = module(padding, -1.5) if mode == "constant" else module(padding)
    assert_equal_to_pytorch(Pad(padding, mode, value=-1.5 if mode == "constant" else 0.0), there, shape)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [0, 0, 1, 2, 3, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2]),
        ("replicate", [1, 1, 1, 2, 3, 3]),
        ("circular", [2, 3, 1, 2, 3, 1]),
    ],
)
def test_an_axis_goes_on_as_the_mode_says(mode: Any, expected: list[float]) -> None:
    np.testing.assert_array_equal(Sequential(Pad((2, 1), mode))([[[1.0, 2.0, 3.0]]]), [[expected]])


pad: Any = Pad


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pad(1), ValueError, "Pad: expected padding as 2, 4 or 6 ints, two for each axis, got 1"),
        (
            lambda: pad((1, 2, 3)),
            ValueError,
            "Pad: expected padding as 2, 4 or 6 ints, two for each axis, got (1, 2, 3)",
        ),
        (lambda: pad((1, -1)), ValueError, "Pad: expected padding of 0 or more, got -1"),
        (
            lambda: pad((1, 1), "edge"),
            ValueError,
            "expected mode as one of constant, reflect, replicate, circular, got",
        ),
        (lambda: pad((1, 1), "reflect", 2.0), ValueError, 'value only with mode "constant", got 2.0 with "reflect"'),
        (lambda: pad((1, 1), value=np.inf), ValueError, "Pad: expected a finite value"),
        (lambda: Sequential(Pad((3, 0), "reflect")).follow((2, 3)), ShapeError, "at most 2 of padding for 3 entries"),
        (lambda: Sequential(Pad((0, 4), "circular"))(np.ones((1, 2, 3))), ShapeError, "at most 3 of padding for 3"),
        (lambda: Sequential(Conv2d(1, 2, 3), Pad((1, 1))), ShapeError, "Pad((1, 1))"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.peer
def test_onnx_has_no_circular_pad_in_the_opset_that_is_written(tmp_path: Any) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match=r"layer 0, Pad\(.*: opset 17 has no circular Pad"):
        export(Sequential(Pad((1, 1), "circular")), tmp_path / "net.onnx", input_shape=(2, 4))


@pytest.mark.peer
@pytest.mark.parametrize(("mode", "name"), [("wrap", "circular"), ("edge", "replicate"), ("reflect", "reflect")])
def test_what_others_pad_in_a_mode_is_read(mode: str, name: str, tmp_path: Any) -> None:
    pytest.importorskip("onnxruntime")
    from tests.interchange.test_onnx import node, run, write

    pads = np.array([0, 0, 1, 0, 0, 2])
    path = write(tmp_path / "net.onnx", [node("Pad", "x", "pads", mode=mode)], ["batch", 2, 4], opset=19, pads=pads)
    (layer,) = load(path)
    assert repr(layer) == f"Pad((1, 2), mode={name!r})"
    x = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    np.testing.assert_array_equal(layer.forward(x)[0], run(path, x))
