"""C: the floor for single samples, by loops of our own and by two libraries that pip brings in one package, cynn.

Its wheel does not load with a newer glibc; ``pip install --no-binary cynn cynn`` builds it.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.epoch_peers import Epochs
from tests.benchmarks.rows import Matrix, Row

SOURCE = Path(__file__).with_name("floor.c")
# Sums may be reordered, as BLAS does; -ffast-math would change how the whole process treats denormal numbers.
FLAGS = ("-O3", "-march=native", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno")


def compiler() -> str | None:
    """Return the C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


@functools.cache
def floor(real: str) -> ctypes.CDLL:
    """Return floor.c, compiled for float or double."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/floor.so"
        command = [compiler() or "cc", *FLAGS, f"-DREAL={real}", "-shared", "-fPIC", str(SOURCE), "-o", library, "-lm"]
        subprocess.run(command, check=True)
        return ctypes.CDLL(library)


@functools.cache
def library(name: str) -> ctypes.CDLL:
    """Return a library of C out of the module of cynn that holds it."""
    spec = find_spec(f"cynn.{name}")
    if spec is None or spec.origin is None:
        raise ImportError(f"cynn has no module {name}")
    return ctypes.CDLL(spec.origin)


def unloadable(name: str) -> str:
    """Return why a library cannot be loaded, or an empty string."""
    try:
        library(name)
    except (ImportError, OSError) as error:
        return str(error)
    return ""


class C(Epochs):
    """A net trained by loops of C."""

    name = "C"

    @classmethod
    def missing(cls) -> str:
        return super().missing() or ("" if compiler() else "there is no C compiler")

    @classmethod
    def can(cls, row: Row) -> bool:
        return row.batch == 1 and (row.activation, row.optimizer, row.loss) == ("sigmoid", "sgd", "squared")

    def __init__(self, row: Row, batches: int) -> None:
        self.row, self.rng = row, np.random.default_rng(0)
        self.floor = floor("double" if (self.dtype or row.dtype) == "float64" else "float")
        self.real = ctypes.c_double if (self.dtype or row.dtype) == "float64" else ctypes.c_float
        self.x, self.target = (part.astype(self.real) for part in row.data(batches))
        self.make()

    def make(self) -> None:
        """Make the net from the row's first weights."""
        sizes = self.row.sizes
        self.sizes = np.array(sizes, np.intc)
        self.vector = np.concatenate([part.ravel() for pair in self.row.start() for part in pair])
        self.outputs, self.signals = np.zeros((2, sum(sizes)), self.vector.dtype)

    def run(self, epochs: int) -> None:
        for _ in range(epochs):
            order = self.rng.permutation(len(self.x))
            self.walk(*map(at, (self.x, self.target, order)), ctypes.c_long(len(order)))

    def walk(self, *samples: Any) -> None:
        """Take a step on each of some samples in order: x, target, order and their number."""
        net = map(at, (self.vector, self.outputs, self.signals))
        self.floor.ours(at(self.sizes), len(self.sizes) - 1, *net, *samples, self.real(self.row.rate))

    def weights(self) -> list[Matrix]:
        shapes = [part.shape for pair in self.row.start() for part in pair]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(self.vector, ends), shapes, strict=False)]


class Genann(C):
    """Genann, whose sigmoid comes from a table unless it is exact."""

    name, module, dtype, exact = "Genann", "cynn", "float64", False

    @classmethod
    def missing(cls) -> str:
        return super().missing() or unloadable("genann")

    class Net(ctypes.Structure):
        """Its struct; each unit has the weight of its bias, which is subtracted, and then those of its inputs."""

        _fields_ = (
            *((name, ctypes.c_int) for name in ("inputs", "hidden_layers", "hidden", "outputs")),
            *((name, ctypes.c_void_p) for name in ("activation_hidden", "activation_output")),
            *((name, ctypes.c_int) for name in ("total_weights", "total_neurons")),
            *((name, ctypes.POINTER(ctypes.c_double)) for name in ("weight", "output", "delta")),
        )

    @classmethod
    def can(cls, row: Row) -> bool:
        return super().can(row) and len(row.sizes) == 3

    def make(self) -> None:
        self.library = library("genann")
        self.library.genann_init.restype = ctypes.POINTER(self.Net)
        inputs, hidden, outputs = self.row.sizes
        self.net = self.library.genann_init(inputs, 1, hidden, outputs)
        if self.exact:
            sigmoid = ctypes.cast(self.library.genann_act_sigmoid, ctypes.c_void_p).value
            self.net.contents.activation_hidden = self.net.contents.activation_output = sigmoid
        self.numbers = np.ctypeslib.as_array(self.net.contents.weight, (self.net.contents.total_weights,))
        self.numbers[:] = np.concatenate([np.c_[-bias, weight].ravel() for weight, bias in self.row.start()])

    def walk(self, *samples: Any) -> None:
        step, (inputs, _, outputs) = self.library.genann_train, self.row.sizes
        self.floor.walk_genann(step, self.net, *samples, inputs, outputs, ctypes.c_double(self.row.rate))

    def weights(self) -> list[Matrix]:
        found, start = [], 0
        for weight, _ in self.row.start():
            part = self.numbers[start : start + weight.size + len(weight)].reshape(len(weight), -1)
            found += [part[:, 1:], -part[:, 0]]
            start += part.size
        return found


class Fann(C):
    """FANN, whose sigmoid is one of straight pieces unless it is exact."""

    name, module, dtype, exact = "FANN", "cynn", "float32", False

    @classmethod
    def missing(cls) -> str:
        return super().missing() or unloadable("fann")

    sigmoid, linear = 3, 0  # of its enums

    class Connection(ctypes.Structure):
        """Its struct: from which unit to which; each layer has a unit more, which is its bias."""

        _fields_ = (("below", ctypes.c_uint), ("above", ctypes.c_uint), ("weight", ctypes.c_float))

    def make(self) -> None:
        self.library, sizes = library("fann"), self.row.sizes
        self.library.fann_create_standard_array.restype = ctypes.c_void_p
        self.net = ctypes.c_void_p(self.library.fann_create_standard_array(len(sizes), at(np.array(sizes, np.uintc))))
        self.library.fann_set_train_error_function(self.net, self.linear)
        self.library.fann_set_learning_rate(self.net, ctypes.c_float(self.row.rate))
        if self.exact:
            self.library.fann_set_activation_function_hidden(self.net, self.sigmoid)
            self.library.fann_set_activation_function_output(self.net, self.sigmoid)
        numbers = np.concatenate([np.c_[weight, bias].ravel() for weight, bias in self.row.start()])
        connections = self.connections()
        for connection, number in zip(connections, numbers, strict=True):
            connection.weight = number
        self.library.fann_set_weight_array(self.net, connections, len(connections))

    def connections(self) -> Any:
        """Return all connections, unit by unit."""
        connections = (self.Connection * self.library.fann_get_total_connections(self.net))()
        self.library.fann_get_connection_array(self.net, connections)
        return connections

    def walk(self, *samples: Any) -> None:
        inputs, outputs = self.row.sizes[0], self.row.sizes[-1]
        self.floor.walk_fann(self.library.fann_train, self.net, *samples, inputs, outputs)

    def weights(self) -> list[Matrix]:
        found, numbers = [], np.array([connection.weight for connection in self.connections()])
        for weight, _ in self.row.start():
            part, numbers = np.split(numbers, [weight.size + len(weight)])
            part = part.reshape(len(weight), -1)
            found += [part[:, :-1], part[:, -1]]
        return found


class ExactGenann(Genann):
    """Genann with the sigmoid itself, to be compared."""

    exact = True


class ExactFann(Fann):
    """FANN with the sigmoid itself, to be compared."""

    exact = True


def at(array: Matrix) -> ctypes.c_void_p:
    """Return where an array's numbers lie."""
    return ctypes.c_void_p(array.ctypes.data)
