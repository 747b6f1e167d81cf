"""LayerCheck: one layer on one sample, in one mode: its contract, its gradients, and properties of any derivative."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.checking.diagnosis import diagnose
from nanonet.checking.finite_differences import LIMIT, Comparison, Projection, Terms, compare, project
from nanonet.checking.layer_contract import checked
from nanonet.checking.view import Snapshot, named_parts
from nanonet.core.arrays import Array, Arrays, batch_size_of, each, parts_of
from nanonet.core.chain import Chain
from nanonet.core.errors import ContractError, GradientError, NonFiniteError, ShapeError
from nanonet.core.layer import Layer
from nanonet.core.objects import called
from nanonet.core.rows import may_mix
from nanonet.core.tree import Tree

ALIKE = 1e-5  # tolerance, relative to the largest entry, for exact identities such as backward's linearity
FLOOR = 1e-9  # tolerance, relative to the largest entry of grad, for gradients that are 0 up to rounding
FEW = 60  # up to so many entries of x are compared one by one in every situation
SUMS = ((1e3, -7e2), (1e-3, 7e-4))  # (a, b) in backward(a g + b h): large and small, to detect clipping or an offset


class LayerCheck:
    """The checks of one layer on one sample, with E = Σ r y."""

    def __init__(
        self,
        layer: Layer,
        x: Arrays,
        training: bool,
        rng: np.random.Generator,
        *,
        thorough: bool = True,
        fast: bool = False,
        beside: bool = False,
    ) -> None:
        self.layer, self.x, self.training, self.rng = layer, x, training, rng
        self.thorough, self.fast, self.beside = thorough, fast, beside
        self.name = called(layer)
        self.tree = Tree(layer)
        self.snapshot = Snapshot(self.tree)

    def run(self) -> list[Comparison]:
        """Return the comparisons, or raise the first error found."""
        self._contract()
        with as_gradient_error(self.name):
            self._reproduces()
            analytic = self._unchanged()
        found = [self._compared(name, place, analytic[name]) for name, place in self._places().items()]
        with as_gradient_error(self.name):
            self._linear(analytic)
            self._any_memory_order(analytic)
            self._samples_apart()
        self.snapshot.restore()
        return found

    # ---- the passes

    def _forward(self, x: Arrays, training: bool | None = None) -> tuple[Any, Any]:
        self.snapshot.restore()
        return self.layer.forward(x, training=self.training if training is None else training)

    def _backward(self, grad: Arrays, cache: Any) -> dict[str, Array]:
        """Return copies of all gradients, by name."""
        dx = self.layer.backward(grad, cache)
        gradients = {f"dE/d{name}": parameter.grad.copy() for name, parameter in self.tree.parameters.items()}
        return {name: part.copy() for name, part in named_parts("dE/dx", dx).items()} | gradients

    def _change(self) -> Array:
        """Return the change of the terms of E from their original values, for the current x and parameters."""
        return self._terms(self._forward(self.x)[0], self.y)

    def _terms(self, y: Arrays, start: Arrays) -> Array:
        """Return the terms r (y - start) of E, of all outputs in one row."""
        parts = zip(parts_of(self.r), parts_of(y), parts_of(start), strict=True)
        return np.concatenate([(r * (after - before)).ravel() for r, after, before in parts if r is not None])

    # ---- the contract

    def _contract(self) -> None:
        """Run the passes under the strict contract, which also compares both backward methods; draw r."""
        self.snapshot.restore()
        with as_gradient_error(self.name):
            view = checked(self.layer)
            view.forward(self.x, training=False)
            y, cache = view.forward(self.x, training=self.training)
            self.r = each(lambda part: self.rng.normal(size=part.shape) if part.dtype.kind == "f" else None, y)
            view.backward(self.r, cache)

    def _reproduces(self) -> None:
        for training, though in ((False, "training is False"), (self.training, "its generators are restored")):
            first, second = each(np.copy, self._forward(self.x, training)[0]), self._forward(self.x, training)[0]
            if not _equal(first, second):
                raise ContractError(f"{self.name}: forward gives two results for one input, though {though}")
        self.y, self.terms = first, Terms(self._change, np.abs(self._terms(first, each(np.zeros_like, first))))

    def _other_pass(self) -> None:
        """Run forward on another x, with the generators in another state; it must have no side effects."""
        other = each(lambda part: part * 0.5 if part.dtype.kind == "f" else part[::-1], self.x)
        self.layer.forward(other, training=self.training)

    def _unchanged(self) -> dict[str, Array]:
        """Run both passes unwrapped, check that they change no array passed in or returned; return the gradients."""
        before = each(np.copy, self.x), each(np.copy, self.r)
        self._other_pass()
        y, cache = self._forward(self.x)
        handed_out = each(np.copy, y)
        self._other_pass()
        dx = self.layer.backward(self.r, cache)
        first = None if dx is None else each(np.copy, dx)
        gradients = {f"dE/d{name}": p.grad.copy() for name, p in self.tree.parameters.items()}
        self.layer.backward(each(lambda r: 2 * r, self.r), cache)
        for what, now, then in (
            ("x", self.x, before[0]),
            ("grad", self.r, before[1]),
            ("output", y, handed_out),
            ("dE/dx", dx, first),
        ):
            if not _equal(now, then):
                raise GradientError(f"{self.name}: its passes change the {what} in place; copy it first")
        return named_parts("dE/dx", first) | gradients

    # ---- numerical derivatives

    def _places(self) -> dict[str, Array]:
        """Return the arrays that E depends on, by the name of their gradient."""
        places = {name: part for name, part in named_parts("dE/dx", self.x).items() if part.dtype.kind == "f"}
        return places | {f"dE/d{name}": p.value for name, p in self.tree.parameters.items()}

    def _compared(self, name: str, place: Array, analytic: Array) -> Comparison:
        """Compare one gradient: by entry if the check is thorough or there are few, else along random directions.

        If those differ, comparing the entries shows which is wrong, or that some are at a kink or a jump.
        """
        by_entry = self.thorough or (name in named_parts("dE/dx", self.x) and place.size <= FEW)
        found: Comparison
        if self.fast or not by_entry:
            found = project(name, place, analytic, self.terms, self.rng)
            if found.wrong is None or place.size > LIMIT:
                return self._judged(found)
        found = self._judged(compare(name, place, analytic, self.terms, self.rng))
        if place.size > LIMIT:
            self._judged(project(name, place, analytic, self.terms, self.rng))
        return found

    def _judged(self, found: Comparison) -> Comparison:
        """Return a comparison that is correct or excused by kinks, or raise GradientError."""
        if found.wrong is not None and not self._excused(found):
            hint = diagnose(found, batch_size_of(self.x), self._shares(found), self._transposed(found))
            raise GradientError(f"{self.name}: {found.message()}" + (f"\ndiagnosis: {hint}" if hint else ""))
        return found

    def _excused(self, found: Comparison) -> bool:
        """Return whether it differs only at kinks, where a sum of several slopes may lie outside its two sides."""
        return found.wrong_only_on_kinks and (isinstance(found, Projection) or self._right_beside())

    def _right_beside(self) -> bool:
        """Return whether a model is correct close to a sample at which kinks of several of its layers coincide.

        This does not excuse a single layer, whose slope at a kink must lie between the two sides.
        """
        if self.beside or len(self.tree.layers) == 1 or self.layer.integer_input:
            return False
        x = each(lambda part: part + self.rng.normal(scale=1e-2, size=part.shape), self.x)
        try:
            blame_child(self.layer, self.x, self.training, self.rng)
            LayerCheck(self.layer, x, self.training, self.rng, beside=True).run()
        except GradientError:
            return False
        return True

    def _shares(self, found: Comparison) -> Iterator[Array]:
        """Yield the gradient of each single sample, to detect one that is not summed over the batch."""
        if found.name in named_parts("dE/dx", self.x) or isinstance(found, Projection):
            return
        whole, batch = self.r, batch_size_of(self.x)
        for i in range(batch):
            alone = np.arange(batch) == i
            self.r = each(lambda r, alone=alone: r * alone.reshape(-1, *[1] * (r.ndim - 1)), whole)
            place = self._places()[found.name]
            yield compare(found.name, place, found.analytic, self.terms, self.rng).numerical
        self.r = whole

    def _transposed(self, found: Comparison) -> Iterator[tuple[str, Array]]:
        """Yield dE/dx with each square parameter transposed between the passes."""
        if found.name != "dE/dx" or isinstance(found, Projection):
            return
        for name, parameter in self.tree.parameters.items():
            if len(parameter.shape) == 2 and parameter.shape[0] == parameter.shape[1]:
                _, cache = self._forward(self.x)
                kept = parameter.value.copy()
                parameter.value = kept.T
                yield name, np.array(self.layer.backward(self.r, cache))
                parameter.value = kept

    # ---- properties of backward, without numerical derivatives

    def _linear(self, analytic: dict[str, Array]) -> None:
        """Check that backward is repeatable and linear: backward(a g + b h) = a backward(g) + b backward(h)."""
        rng = np.random.default_rng(1)
        g, h = self.r, each(lambda r: rng.normal(size=r.shape), self.r)
        self._other_pass()
        _, cache = self._forward(self.x)
        first, second = self._backward(g, cache), self._backward(h, cache)
        sums = [self._backward(each(lambda g, h, a=a, b=b: a * g + b * h, g, h), cache) for a, b in SUMS]
        self._same(self._backward(g, cache), first, "backward gives two results for one grad and cache")
        self._same(first, analytic, "backward depends on more than grad and cache: does it keep state?")
        for (a, b), found in zip(SUMS, sums, strict=True):
            expected = {name: a * first[name] + b * second[name] for name in first}
            what = "backward is not linear in grad: backward(a g + b h) is not a backward(g) + b backward(h)"
            self._same(found, expected, what, a)

    def _any_memory_order(self, analytic: dict[str, Array]) -> None:
        """Check that x and grad may have another memory order, as after a transposition or a slice."""
        self.snapshot.restore()
        y, cache = self.layer.forward(each(_scattered, self.x), training=self.training)
        what = "{} gives another result for an array in another memory order, such as a transposed one"
        self._same(named_parts("y", y), named_parts("y", self.y), what.format("forward"))
        self._same(self._backward(each(_scattered, self.r), cache), analytic, what.format("backward"))

    def _samples_apart(self) -> None:
        """Check that a layer that is said to mix no samples gives for parts of a batch what it gives for the whole."""
        size, drawn = batch_size_of(self.x), self.training and self.tree.randoms
        if size < 4 or drawn or may_mix(self.layer, training=self.training):
            return
        for rows in (slice(0, 2), slice(2, size)):
            y, _ = self._forward(each(operator.itemgetter(rows), self.x))
            part = each(operator.itemgetter(rows), self.y)
            what = "forward gives other outputs for a part of the batch, though mixes_samples is False"
            self._same(named_parts("y", y), named_parts("y", part), what)

    def _same(self, found: dict[str, Array], expected: dict[str, Array], what: str, scale: float = 1.0) -> None:
        largest = max((float(np.abs(r).max(initial=0.0)) for r in parts_of(self.r) if r is not None), default=0.0)
        floor = FLOOR * scale * largest
        for name, array in found.items():
            true = expected[name]
            allowed = ALIKE * float(np.abs(true).max(initial=0.0)) + floor
            if array.shape != true.shape or not bool((np.abs(array * 1.0 - true) <= allowed).all()):
                raise GradientError(f"{self.name}: {what} ({name})")


def _equal(one: Arrays, other: Arrays) -> bool:
    pairs = zip(parts_of(one), parts_of(other), strict=True)
    return all(a is b is None or np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def blame_child(layer: Layer, x: Arrays, training: bool, rng: np.random.Generator, path: str = "") -> None:
    """Check the layers of a chain one by one, each on its actual input, and raise the error of the wrong one."""
    if not isinstance(layer, Chain):
        return
    snapshot = Snapshot(Tree(layer))
    for i, child in enumerate(layer):
        free = copy.deepcopy(child)
        Chain(free, dtype=np.float64, rng=0)
        try:
            LayerCheck(free, x, training, rng).run()
        except GradientError as error:
            blame_child(free, x, training, rng, f"{path}{i}.")
            raise GradientError(f"layer {path}{i}, {error}") from None
        x = child.forward(x, training=training)[0]
    snapshot.restore()


@contextmanager
def as_gradient_error(name: str) -> Iterator[None]:
    """Turn errors of the strict contract into a GradientError, with a diagnosis if the pattern is known."""
    try:
        yield
    except (ContractError, ShapeError, NonFiniteError) as error:
        text, bare = str(error), name.removesuffix("()")
        if text.startswith(f"{bare}: "):  # a loss names itself without the brackets
            text = name + text.removeprefix(bare)
        patterns: dict[str, Callable[[str], bool]] = {
            "argument modified": lambda text: "writes to its argument" in text,
            "never assigned": lambda text: "never assign" in text,
            "added instead of assigned": lambda text: " adds to " in text,
            "not summed over the batch": lambda text: "sum it over the batch" in text,
            "transposed": lambda text: "transpose it?" in text,
        }
        hint = next((f"\ndiagnosis: {hint}" for hint, fits in patterns.items() if fits(text)), "")
        raise GradientError((text if name in text else f"{name}: {text}") + hint) from None
    except Exception as error:
        raise GradientError(f"{name}: its passes fail with {type(error).__name__}: {error}") from error


def _scattered(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy in column-major memory order, with gaps."""
    if array.ndim == 0:
        return array.copy()
    shape = array.shape[::-1]
    wide = np.zeros((*shape[:-1], 2 * shape[-1]), array.dtype)
    view: npt.NDArray[Any] = wide[..., ::2].T
    view[...] = array
    return view
