"""Attended: the search for an attention that is written out in products, a softmax, and operators that move entries.

Every value on the way is described by what it is, such as the scores q kᵀ, and by a View of where its entries stand.
So attention is found however a file reshapes and transposes, and only if all of it is proven.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nanonet.core.arrays import Numbers
from nanonet.interchange.onnx.arrangement import Index, Part, View, known
from nanonet.interchange.onnx.graph import FLOATS, Graph, Input, Node
from nanonet.interchange.onnx.lengths import ONE, Length, Sizes, Unproven, computed, sizes, sliced

LARGEST_MASK = 1 << 22  # entries
HIDES = -1e30  # a score as low as this is one of a key that is not seen


@dataclass(frozen=True)
class Given:
    """A value that comes in: a sequence, or for keys that do not count a mask."""

    value: Input


@dataclass(frozen=True)
class Projected:
    """x Wᵀ + b, times a factor."""

    x: str
    length: Length
    weight: Numbers
    bias: Numbers | None = None
    factor: float = 1.0


@dataclass(frozen=True)
class Hidden:
    """Which keys are not seen: those of a mask that is given, and those of a constant (queries, keys)."""

    padding: str | None
    later: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class Scores:
    """q kᵀ, and what of it is hidden."""

    q: Projected
    k: Projected
    rows: tuple[Index, Index]
    factor: float
    hidden: Hidden | None = None
    lowest: float = 0.0


@dataclass(frozen=True)
class Weights:
    """The softmax of scores; whether it is 0 for a query that sees no key."""

    scores: Scores
    is_zeroed: bool = False


@dataclass(frozen=True)
class Mixed:
    """weights v, with the features of all heads beside each other."""

    weights: Weights
    v: Projected
    rows: Index


@dataclass(frozen=True)
class Output:
    """What is mixed, times a weight."""

    mixed: Mixed
    weight: Numbers
    bias: Numbers | None = None
    factor: float = 1.0


@dataclass
class Search:
    """The values of a graph described, as far as an attention may need them."""

    graph: Graph
    givens: dict[str, Input]
    found: dict[str, View | Sizes | Unproven] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)

    def run(self, start: Node) -> tuple[View, list[Node]] | None:
        """Return an attention that begins with a node, and all its operators; None if there is none."""
        last: tuple[View, Node] | None = None
        for node in self._after(start):
            if last is not None and last[1].outputs[0] not in node.inputs:
                continue
            view = self._ended(node)
            if view is not None:
                last = view, node
        if last is None:
            return None
        nodes = self._whole(last[1])
        return None if nodes is None or start not in nodes else (last[0], nodes)

    def _ended(self, node: Node) -> View | None:
        """Return what a node gives, if that is the output of an attention."""
        try:
            view = self.at(node.outputs[0])
        except Unproven:
            return None
        return view if isinstance(view, View) and isinstance(view.what, Output) and _is_in_order(view) else None

    def _after(self, start: Node) -> list[Node]:
        """Return the operators after a node, in the order of the file, if they may be those of an attention."""
        found, waiting = {start.place: start}, [start]
        while waiting and len(found) < MOST:
            node = waiting.pop()
            for user in self.graph.users(node.outputs[0]):
                if user.operator in OPERATORS and user.place not in found:
                    found[user.place] = user
                    waiting.append(user)
        nodes = [found[place] for place in sorted(found)]
        products = [node for node in nodes if node.operator == "Softmax"]
        return [node for node in nodes if products and node.place > products[0].place]

    def _whole(self, last: Node) -> list[Node] | None:
        """Return the operators up to the last one, if nothing else uses what is between."""
        needed, names = {last.place: last}, list(last.inputs)
        while names:
            node = self.graph.maker(name := names.pop())
            if name not in self.givens and node is not None and node.place in self.nodes and node.place not in needed:
                needed[node.place] = node
                names += node.inputs
        for node in needed.values():
            if node is last or self.graph.is_measured(node.outputs[0]):
                continue
            users = self.graph.users(node.outputs[0])
            if node.outputs[0] in self.graph.outputs or any(user.place not in needed for user in users):
                return None
        return [needed[place] for place in sorted(needed)]

    # ---- values

    def at(self, name: str, depth: int = 0) -> View | Sizes:
        """Return what a value is, or raise Unproven."""
        if name not in self.found:
            try:
                self.found[name] = self._found(name, depth)
            except Unproven as error:
                self.found[name] = error
        found = self.found[name]
        if isinstance(found, Unproven):
            raise found
        return found

    def _found(self, name: str, depth: int) -> View | Sizes:
        if name in self.givens:
            return _given(self.givens[name], self.graph.batch)
        if self.graph.is_constant(name):
            array = self.graph.constant(name)
            assert array is not None
            return array
        node = self.graph.maker(name)
        if node is None or depth > MOST or len(self.nodes) > MOST:
            raise Unproven(f"{name} is too far away")
        given = [self.at(each, depth + 1) for each in node.inputs if each]
        self.nodes[node.place] = node
        if node.operator == "Shape" and isinstance(given[0], View):
            return sizes(given[0].shape)[node.attributes.get("start", 0) : node.attributes.get("end")]
        if not any(isinstance(each, View) for each in given):
            arrays = [each for each in given if not isinstance(each, View)]
            result = computed(node.operator, node.attributes, arrays, LARGEST_MASK)
            self.graph.account(result.nbytes)
            return result
        if node.operator not in OPERATORS:
            raise Unproven(node.operator)
        view: View = OPERATORS[node.operator](node, name, *given)
        return view


MOST = 150  # operators of one attention


def _given(value: Input, batch: int | None) -> View:
    """Return a sequence (batch, time, features), or a mask (batch, keys)."""
    shape = value.shape
    axes = ("batch", "time", "feature")
    if shape is None or len(shape) not in (1, 2) or (len(shape) == 2 and value.dtype.kind != "f"):
        raise Unproven(f"{value.name} is no sequence")
    lengths = [Length(1, ("batch",)) if batch is None else Length(batch)]
    lengths += [Length(1, (f"{axes[i]} of {value.name}",)) if n is None else Length(n) for i, n in enumerate(shape, 1)]
    what = Given(value) if len(shape) == 2 else Hidden(value.name)
    dims = [() if n == ONE else (Part(axis, n),) for axis, n in zip(axes, lengths, strict=False)]
    return View(what, tuple(dims))


def _is_in_order(view: View) -> bool:
    """Return whether an output is (batch, time, features)."""
    features = Length(len(view.what.weight))
    return (
        len(view.dims) == 3
        and view.axes()[0] in (["batch"], [])
        and view.axes()[1] in (["time"], [])
        and view.is_whole(2, "feature", features)
    )


# ---- operators that move entries


def _moved(name: str) -> Any:
    def apply(node: Node, output: str, view: Any, *more: Any) -> View:
        if not isinstance(view, View) or any(isinstance(each, View) for each in more):
            raise Unproven(f"{node}: an order that is computed")
        result: View = MOVES[name](node, output, view, *more)
        return result

    return apply


def _along(node: Node, given: tuple[Any, ...]) -> list[int] | None:
    return given[0].reshape(-1).tolist() if given else node.attributes.get("axes")


def _gathered(node: Node, output: str, view: View, index: Numbers) -> View:
    if index.size != 1:
        raise Unproven("several of the features")
    axis = node.attributes["axis"] % len(view.dims)
    one = view.cut(axis, int(index.reshape(())) % known(view.shape[axis]), 1)
    return one.squeezed([axis]) if index.ndim == 0 else one


def _sliced(node: Node, output: str, view: View, *given: Any) -> View:
    index = sliced(node.attributes, len(view.dims), list(given))
    for i, each in enumerate(index):
        if each != slice(None):
            start, stop, step = each.indices(known(view.shape[i]))
            if step != 1 or stop <= start:
                raise Unproven("a slice by steps")
            view = view.cut(i, start, stop - start)
    return view


def _split(node: Node, output: str, view: View, *given: Any) -> View:
    axis = node.attributes["axis"] % len(view.dims)
    count, length = len(node.outputs), known(view.shape[axis])
    wanted = given[0].tolist() if given else [length // count] * count
    if sum(wanted) != length or len(wanted) != count:
        raise Unproven("pieces that do not add up")
    i = node.outputs.index(output)
    return view.cut(axis, sum(wanted[:i]), wanted[i])


MOVES: dict[str, Any] = {
    "Transpose": lambda node, output, view: view.transposed(node.attributes.get("perm")),
    "Reshape": lambda node, output, view, shape: view.reshaped(shape, bool(node.attributes.get("allowzero"))),
    "Unsqueeze": lambda node, output, view, *given: view.unsqueezed(_along(node, given) or ()),
    "Squeeze": lambda node, output, view, *given: view.squeezed(_along(node, given)),
    "Gather": _gathered,
    "Slice": _sliced,
    "Split": _split,
    "Identity": lambda node, output, view: view,
}


# ---- products


def _gemm(node: Node, output: str, a: Any, b: Any, *c: Any) -> View:
    if isinstance(b, View) or node.attributes["transA"]:
        raise Unproven("Gemm of two values")
    view = _matmul(node, output, a, node.attributes["alpha"] * (b.T if node.attributes["transB"] else b))
    return _add(node, output, view, node.attributes["beta"] * c[0]) if c else view


def _matmul(node: Node, output: str, a: Any, b: Any) -> View:
    if not isinstance(a, View):
        raise Unproven("a constant times a value")
    if isinstance(b, View):
        return _mixed(a, b) if isinstance(a.what, Weights) else _scores(a, b)
    if b.ndim != 2 or b.dtype not in FLOATS.values() or not a.dims:
        raise Unproven("no matrix")
    columns = a.features(a.dims[-1]).reshape(-1)
    dims = (*a.dims[:-1], () if b.shape[1] == 1 else (Part("feature", Length(b.shape[1])),))
    if len(columns) != len(b):
        raise Unproven("sizes that do not fit")
    if isinstance(a.what, Given):
        features = a.what.value.shape
        if features is None or features[1] != len(b) or a.offset:
            raise Unproven("some of the features alone")
        length = Length(1, (f"time of {a.what.value.name}",)) if features[0] is None else Length(features[0])
        return View(Projected(a.what.value.name, length, _by_column(b, columns)), dims)
    if isinstance(a.what, Mixed) and a.what.rows.size == len(b):
        return View(Output(a.what, _by_column(b, columns)), dims)
    raise Unproven("a product of something else")


def _by_column(matrix: Numbers, columns: Index) -> Numbers:
    """Return a matrix (inputs, outputs) as a weight (outputs, inputs), its inputs in their own order."""
    weight = np.empty((matrix.shape[1], len(columns)), matrix.dtype)
    weight[:, columns] = matrix.T
    return weight


def _heads(a: View, b: View) -> list[tuple[Part, Part]]:
    """Return the parts of the leading axes that are heads in two values, whose leading axes must be alike."""
    found = []
    if len(a.dims) != len(b.dims) or len(a.dims) < 3:
        raise Unproven("values of another number of axes")
    for one, two in zip(a.dims[:-2], b.dims[:-2], strict=True):
        if [part.length for part in one] != [part.length for part in two]:
            raise Unproven("leading axes that differ")
        for p, q in zip(one, two, strict=True):
            if (p.axis == "batch") != (q.axis == "batch"):
                raise Unproven("leading axes that differ")
            if p.axis == "batch" and p.stride != q.stride:
                raise Unproven("a batch in another order")
            if p.axis not in ("batch", "feature", "head") or q.axis not in ("batch", "feature"):
                raise Unproven(f"{p.axis} among the leading axes")
            if p.axis != "batch":
                found.append((p, q))
    return found


def _scores(a: View, b: View) -> View:
    q, k = a.what, b.what
    if not isinstance(q, Projected) or not isinstance(k, Projected):
        raise Unproven("a product of something else")
    heads = _heads(a, b)
    if not a.is_whole(-2, "time", q.length) or not b.is_whole(-1, "time", k.length):
        raise Unproven("no product over the features")
    rows = a.features(tuple(p for p, _ in heads), a.dims[-1]), b.features(tuple(p for _, p in heads), b.dims[-2])
    if rows[0].shape != rows[1].shape:
        raise Unproven("heads of different sizes")
    numbered, inner = [], ONE
    for part, _ in reversed(heads):
        numbered.append(Part("head", part.length, inner))
        inner = inner * part.length
    lead = _relabelled(a, iter(numbered[::-1]))
    dims = (*lead, _one_part("query", q.length), _one_part("key", k.length))
    return View(Scores(q, k, rows, q.factor * k.factor), dims)


def _mixed(a: View, b: View) -> View:
    weights, v = a.what, b.what
    if not isinstance(v, Projected):
        raise Unproven("a product of something else")
    scores = weights.scores
    if not (a.is_whole(-1, "key", scores.k.length) and a.is_whole(-2, "query", scores.q.length)):
        raise Unproven("no product over the keys")
    if not b.is_whole(-2, "time", v.length) or v.length != scores.k.length:
        raise Unproven("no product over the keys")
    heads = _heads(a, b)
    numbers = np.zeros(1, int)
    for part, _ in heads:
        numbers = (numbers[:, None] + np.arange(known(part.length)) * known(part.stride)).reshape(-1)
    count = len(scores.rows[0])
    if sorted(numbers) != list(range(count)):
        raise Unproven("some of the heads alone")
    found = b.features(tuple(p for _, p in heads), b.dims[-1])
    rows = np.empty_like(found)
    rows[numbers] = found
    size = Length(rows.shape[1])
    lead = _relabelled(a, iter([Part("feature", part.length, part.stride * size) for part, _ in heads]))
    return View(Mixed(weights, v, rows), (*lead, _one_part("time", scores.q.length), _one_part("feature", size)))


def _one_part(axis: str, length: Length) -> tuple[Part, ...]:
    return () if length == ONE else (Part(axis, length),)


def _relabelled(a: View, heads: Any) -> list[tuple[Part, ...]]:
    """Return the leading axes of a view with other parts for its heads."""
    return [tuple(part if part.axis == "batch" else next(heads) for part in dim) for dim in a.dims[:-2]]


# ---- sums, factors, the softmax and masks


def _add(node: Node, output: str, a: Any, b: Any) -> View:
    view, array = (a, b) if isinstance(a, View) else (b, a)
    if isinstance(array, View):
        raise Unproven("a sum of two values")
    what = view.what
    if isinstance(what, Scores):
        if what.hidden is not None or not np.isin(array, [0, array.min()]).all() or array.min() > HIDES:
            raise Unproven("a sum that is no mask")
        hidden = Hidden(None, _later(view, array != 0))
        return replace(view, what=replace(what, hidden=hidden, lowest=float(array.min())))
    if not isinstance(what, (Projected, Output)) or what.factor != 1 or array.size != array.shape[-1:][0]:
        raise Unproven("a sum of something else")
    rows = view.features(view.dims[-1]).reshape(-1)
    if sorted(rows) != list(range(len(what.weight))) or array.size != len(rows):
        raise Unproven("a sum with some of the features")
    bias = np.zeros(len(rows), what.weight.dtype) if what.bias is None else what.bias.copy()
    bias[rows] += array.reshape(-1)
    return replace(view, what=replace(what, bias=bias))


def _scaled(node: Node, output: str, a: Any, b: Any) -> View:
    view, number = (a, b) if isinstance(a, View) or node.operator == "Div" else (b, a)
    if not isinstance(view, View) or isinstance(number, View) or number.size != 1:
        raise Unproven("a product of two values")
    if not isinstance(view.what, (Projected, Scores)) or (isinstance(view.what, Scores) and view.what.hidden):
        raise Unproven("a factor of something else")
    factor = float(number.reshape(()))
    factor = 1 / factor if node.operator == "Div" else factor
    return replace(view, what=replace(view.what, factor=view.what.factor * factor))


def _softmax(node: Node, output: str, view: View) -> View:
    if not isinstance(view.what, Scores) or node.attributes["axis"] not in (-1, len(view.dims) - 1):
        raise Unproven("a softmax of something else")
    if not view.is_whole(-1, "key", view.what.k.length):
        raise Unproven("a softmax of something else")
    return replace(view, what=Weights(view.what))


def _where(node: Node, output: str, hidden: Any, low: Any, view: Any) -> View:
    if not isinstance(view, View) or isinstance(low, View) or low.size != 1:
        raise Unproven("a choice of something else")
    number, what = float(low.reshape(())), view.what
    seen = _hidden(view, hidden)
    if isinstance(what, Scores) and what.hidden is None and number <= HIDES:
        return replace(view, what=replace(what, hidden=seen, lowest=number))
    if isinstance(what, Weights) and number == 0 and _same(what.scores.hidden, seen):
        return replace(view, what=replace(what, is_zeroed=True))
    raise Unproven("a choice of something else")


def _hidden(view: View, hidden: Any) -> Hidden:
    """Return which keys are not seen, where they meet scores or weights."""
    if not isinstance(hidden, View):
        return Hidden(None, _later(view, hidden))
    what = hidden.what
    if not isinstance(what, Hidden) or len(hidden.dims) != len(view.dims) or len(view.dims) != 4:
        raise Unproven("no mask")
    scores = view.what if isinstance(view.what, Scores) else view.what.scores
    keys = _one_part("time", scores.k.length)
    if hidden.dims != (hidden.dims[0], (), (), keys) or hidden.dims[0] != view.dims[0]:
        raise Unproven("a mask of other axes")
    return replace(what, later=None if what.later is None else _later(view, what.later))


def _later(view: View, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a constant mask as (queries, keys)."""
    scores = view.what if isinstance(view.what, Scores) else view.what.scores
    shape = known(scores.q.length), known(scores.k.length)
    if view.dims[-2:] != (_one_part("query", scores.q.length), _one_part("key", scores.k.length)):
        raise Unproven("a mask of other axes")
    if array.ndim > len(view.dims) or array.size != np.prod(array.shape[-2:], dtype=int):
        raise Unproven("a mask of other axes")
    mask: npt.NDArray[Any] = np.broadcast_to(array.reshape(array.shape[-2:]).astype(bool), shape)
    return mask


def _same(one: Hidden | None, two: Hidden) -> bool:
    if one is None or one.padding != two.padding or (one.later is None) != (two.later is None):
        return False
    return one.later is None or bool(np.array_equal(one.later, two.later if two.later is not None else ()))


def _or(node: Node, output: str, a: Any, b: Any) -> View:
    view, array = (a, b) if isinstance(a, View) else (b, a)
    if isinstance(array, View) or not isinstance(view.what, Hidden) or view.what.later is not None:
        raise Unproven("a union of something else")
    return replace(view, what=replace(view.what, later=array))


def _cast(node: Node, output: str, view: View) -> View:
    if not isinstance(view.what, Hidden) or node.attributes["to"] != BOOL:
        raise Unproven("a cast")
    return view


def _dropped(node: Node, output: str, view: Any, *more: Any) -> View:
    if not isinstance(view, View) or any(isinstance(each, View) for each in more) or (len(more) > 1 and more[1].any()):
        raise Unproven("a Dropout in training mode")
    return view


BOOL = 9  # ONNX's number of the element type

OPERATORS: dict[str, Any] = {
    **{name: _moved(name) for name in MOVES},
    **{"MatMul": _matmul, "Gemm": _gemm, "Add": _add, "Mul": _scaled, "Div": _scaled, "Softmax": _softmax},
    **{"Where": _where, "Or": _or, "Cast": _cast, "Dropout": _dropped},
}
"""What each operator makes of values that are described."""
