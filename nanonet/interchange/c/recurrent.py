"""Recurrent layers as loops over time, from a state of 0, as inference has it."""

from __future__ import annotations

from typing import Any

from nanonet.core.arrays import Shape
from nanonet.interchange.c.loops import index, loop, plus, text, under
from nanonet.interchange.c.program import Program, writes
from nanonet.layers.recurrent.gru import GRU
from nanonet.layers.recurrent.lstm import LSTM
from nanonet.layers.recurrent.recurrent import Recurrent
from nanonet.layers.recurrent.rnn import RNN


@writes(RNN, LSTM, GRU)
def _recurrent(program: Program, layer: Any, x: str, shape: Shape) -> str:
    for name in ("initial_state", "lengths"):
        if getattr(layer, name):
            raise TypeError(f"export: {layer}: expected {name}=False; the function in C takes one sequence, in full")
    if layer.output == "all":
        raise TypeError(f"export: {layer}: expected output 'sequence' or 'last'; the function in C returns one array")
    program.comment(layer)
    for level in range(layer.num_layers):
        x = _level(program, layer, x, shape[0], level)
    return x


def _level(program: Program, layer: Recurrent, x: str, times: int, level: int) -> str:
    """Write one of the layers that stand on each other, in each direction; return the name of its h."""
    size, width = layer.hidden_size, layer.directions * layer.hidden_size
    last = layer.output == "last" and level == layer.num_layers - 1
    y = program.array(width if last else times * width)
    for direction in range(layer.directions):
        start = direction * size
        if last:  # h stays where it is
            program.add(text(_pass(program, layer, x, times, (level, direction), y, start, [])))
            continue
        h = program.array(size)
        place = index(("t", times), (plus(start, _j(size)), width))
        program.add(
            text(_pass(program, layer, x, times, (level, direction), h, 0, [f"{y}[{place}] = {h}[{_j(size)}];"]))
        )
    return y


def _pass(
    program: Program, layer: Recurrent, x: str, times: int, which: tuple[int, int], h: str, first: int, after: list[str]
) -> list[str]:
    """Return the statements of one direction; h begins at an entry of its array, and after follows each time."""
    size, rows = layer.hidden_size, layer.cell.gates * layer.hidden_size
    arrays = {"h": h, "a": program.array(rows)}
    if layer.cell.has_c:
        arrays["c"] = program.array(size)
    if isinstance(layer, GRU):
        arrays["b"] = program.array(rows)
    cell = _cell(layer, arrays, size, first)
    states = [f"{h}[{plus(first, _j(size))}]", *([f"{arrays['c']}[{_j(size)}]"] if layer.cell.has_c else [])]
    turn = [*_sums(program, layer, x, times, which, arrays, first), *loop("j", size, [*cell, *after])]
    head = "for (int t = 0; t < {0}; t++)" if which[1] == 0 else "for (int t = {0} - 1; t >= 0; t--)"
    turns = turn if times == 1 else under(head.format(times), turn)
    return [*loop("j", size, [f"{' = '.join(states)} = 0.0f;"]), *turns]


def _sums(
    program: Program, layer: Recurrent, x: str, times: int, which: tuple[int, int], arrays: dict[str, str], first: int
) -> list[str]:
    """Return the loop over the gates: W_ih x + b_ih + W_hh h + b_hh, in two arrays for a GRU."""
    parameters = layer.parameters_of(*which)
    end = f"_l{which[0]}{'_reverse' * which[1]}"
    size, (rows, taken) = layer.hidden_size, parameters["weight_ih"].shape
    of_x = program.matrix("weight_ih" + end, parameters["weight_ih"])
    of_h = program.matrix("weight_hh" + end, parameters["weight_hh"])
    place = index(("g", rows))
    both = [of_x.scaled("sum", place), of_h.scaled("back", place)]
    at = index(("t", times), ("i", taken))
    gates = [
        "float sum = 0.0f, back = 0.0f;",
        *loop("i", taken, [f"sum += {of_x.entry(index(('g', rows), ('i', taken)))} * {x}[{at}];"]),
        *loop("i", size, [
            f"back += {of_h.entry(index(('g', rows), ('i', size)))} * {arrays['h']}[{plus(first, index(('i', size)))}];"
        ]),
    ]  # fmt: skip
    if isinstance(layer, GRU):
        if layer.bias:
            for i, name in enumerate(("bias_ih", "bias_hh")):
                both[i] += f" + {program.constant(name + end, parameters[name].value)}[{place}]"
        gates += [f"{arrays['a']}[{place}] = {both[0]};", f"{arrays['b']}[{place}] = {both[1]};"]
    else:
        if layer.bias:
            bias = parameters["bias_ih"].value + parameters["bias_hh"].value
            both.append(f"{program.constant('bias' + end, bias)}[{place}]")
        gates += [f"{arrays['a']}[{place}] = {' + '.join(both)};"]
    return loop("g", rows, gates) if rows > 1 else under("", gates)


def _cell(layer: Recurrent, arrays: dict[str, str], size: int, first: int) -> list[str]:
    """Return the statements that make the next entry j of the states from the sums."""
    h = f"{arrays['h']}[{plus(first, _j(size))}]"
    a = [f"{arrays['a']}[{plus(k * size, _j(size))}]" for k in range(layer.cell.gates)]
    if isinstance(layer, LSTM):
        c = f"{arrays['c']}[{_j(size)}]"
        return [
            f"const float in = {_sigmoid(a[0])};",
            f"const float forget = {_sigmoid(a[1])};",
            f"const float out = {_sigmoid(a[3])};",
            f"{c} = forget * {c} + in * tanhf({a[2]});",
            f"{h} = out * tanhf({c});",
        ]
    if isinstance(layer, GRU):
        b = [f"{arrays['b']}[{plus(k * size, _j(size))}]" for k in range(3)]
        return [
            f"const float reset = {_sigmoid(f'({a[0]} + {b[0]})')};",
            f"const float keep = {_sigmoid(f'({a[1]} + {b[1]})')};",
            f"const float fresh = tanhf({a[2]} + reset * {b[2]});",
            f"{h} = fresh + keep * ({h} - fresh);",
        ]
    assert isinstance(layer, RNN)
    return [f"{h} = {f'tanhf({a[0]})' if layer.nonlinearity == 'tanh' else f'fmaxf({a[0]}, 0.0f)'};"]


def _sigmoid(a: str) -> str:
    return f"0.5f + 0.5f * tanhf(0.5f * {a})"


def _j(size: int) -> str:
    return index(("j", size))
