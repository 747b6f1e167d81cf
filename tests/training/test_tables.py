"""Tables: what people have in pandas, polars and PyTorch goes in as it is, or the column that does not is named."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from nanonet import (
    SGD,
    BinaryCrossEntropy,
    CrossEntropy,
    Linear,
    MeanSquaredError,
    Sequential,
    ShapeError,
    SquaredError,
    Trainer,
    accuracy,
    batches,
)
from tests import ROOT
from tests.helpers import train

pandas: Any = pytest.importorskip("pandas", reason="pandas is not installed")
polars: Any = pytest.importorskip("polars", reason="polars is not installed")
torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
sparse: Any = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
pytestmark = pytest.mark.peer

COLUMNS: dict[str, list[Any]] = {
    "smokes": [True, False, True, False],
    "children": [0, 2, 1, 3],
    "weight": [61.5, 72.0, 80.0, 55.5],
}
EXPECTED = np.array([[1, 0, 61.5], [0, 2, 72], [1, 1, 80], [0, 3, 55.5]])
NULLABLE = {"smokes": "boolean", "children": "Int64", "weight": "Float64"}


def net(outputs: int = 1) -> Sequential:
    return Sequential(Linear(3, outputs), rng=0)


FRAMES: dict[str, Any] = {
    "pandas": lambda: pandas.DataFrame(COLUMNS),
    "pandas, nullable": lambda: pandas.DataFrame(COLUMNS).astype(NULLABLE),
    "pandas, small kinds": lambda: pandas.DataFrame(COLUMNS).astype({"children": "int8", "weight": "float32"}),
    "pandas, another index": lambda: pandas.DataFrame(COLUMNS, index=[7, 3, 9, 1]),
    "pandas, two columns of a name": lambda: pandas.DataFrame(COLUMNS).set_axis(["a", "a", "b"], axis=1),
    "polars": lambda: polars.DataFrame(COLUMNS),
    "PyTorch": lambda: torch.tensor(EXPECTED),
    "PyTorch, with grad": lambda: torch.tensor(EXPECTED, requires_grad=True),
    "PyTorch, a parameter": lambda: torch.nn.Parameter(torch.tensor(EXPECTED)),
    "PyTorch, bfloat16": lambda: torch.tensor(EXPECTED, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_model_takes_a_table_as_it_takes_an_array(name: str) -> None:
    table, model, target = FRAMES[name](), net(), np.ones((4, 1))
    np.testing.assert_array_equal(model(table), model(EXPECTED))
    np.testing.assert_array_equal(model.predict(table, 3), model.predict(EXPECTED, 3))
    assert model.evaluate(table, target, SquaredError()) == model.evaluate(EXPECTED, target, SquaredError())
    ours, theirs = net(), net()
    settings: dict[str, Any] = {"optimizer": SGD(1e-4), "epochs": 2, "batch_size": 3}
    train(ours, EXPECTED, target, validation=(EXPECTED, target), **settings)
    train(theirs, table, target, validation=(table, target), **settings)
    np.testing.assert_array_equal(theirs.vector.value, ours.vector.value)
    assert next(batches(table, target, 4, shuffle=False)).x.tolist() == EXPECTED.tolist()


KINDS = {
    "bool": st.booleans(),
    "boolean": st.none() | st.booleans(),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "Int64": st.none() | st.integers(-1000, 1000),
    "UInt8": st.none() | st.integers(0, 255),
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "Float64": st.none() | st.floats(-1e6, 1e6),
}


@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5), st.integers(1, 6), st.data())
@settings(max_examples=30, deadline=None)
def test_columns_of_any_kinds_become_one_array_in_which_what_is_missing_is_nan(
    kinds: list[str], rows: int, draw: st.DataObject
) -> None:
    columns = [draw.draw(st.lists(KINDS[kind], min_size=rows, max_size=rows)) for kind in kinds]
    expected = np.array([[np.nan if entry is None else float(entry) for entry in column] for column in columns]).T
    series = {f"c{i}": pandas.Series(column, dtype=kinds[i]) for i, column in enumerate(columns)}
    frames = [pandas.DataFrame(series), polars.DataFrame({f"c{i}": column for i, column in enumerate(columns)})]
    alike = Sequential(Linear(len(kinds), len(kinds), weight=np.eye(len(kinds)), bias=False), dtype=np.float64)
    for frame in frames[: 1 if any(set(column) == {None} for column in columns) else 2]:
        entered = alike.enter(frame)
        assert entered.dtype == np.float64
        np.testing.assert_array_equal(entered, expected)


def test_what_is_missing_is_refused_by_a_fit_with_its_place() -> None:
    frame = pandas.DataFrame(COLUMNS).astype(NULLABLE)
    frame.loc[2, "children"] = pandas.NA
    with pytest.raises(
        ValueError, match=r"fit: x holds nan at \(2, 1\) in float32; leave out such samples, 1 of 4, or"
    ):
        train(net(), frame, np.ones((4, 1)))


def test_the_rows_of_one_index_in_two_orders_are_refused() -> None:
    frame = pandas.DataFrame(COLUMNS)
    target = frame["children"]
    order = [2, 0, 3, 1]
    for fitted, wanted in ((frame.iloc[order], target), (frame, target.iloc[order].to_frame())):
        with pytest.raises(
            ValueError, match=r"fit: x and target have the rows of one index in different orders; write"
        ):
            train(net(), fitted, wanted)
    with pytest.raises(ValueError, match=r"fit: validation x and target"):
        train(net(), frame, target, validation=(frame[::-1], target))


def test_rows_of_other_indices_go_by_their_places() -> None:
    frame = pandas.DataFrame(COLUMNS)
    target = frame["children"]
    whole = train(net(), frame, target)["loss"]
    for index in ([5, 6, 7, 8], [0, 0, 1, 1], list("abcd")):
        assert train(net(), frame.set_axis(index), target)["loss"] == whole
    assert train(net(), frame.iloc[::-1], target.iloc[::-1])["loss"] != []


TEXT = {**COLUMNS, "city": ["Oslo", "Rome", "Oslo", "Kyiv"]}
DATES = {**COLUMNS, "born": ["2001-01-01"] * 4, "seen": ["2002-01-01"] * 4}


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            lambda: pandas.DataFrame(TEXT),
            r"column 'city' \(\w+\) of the frame is not numeric.*pandas\.get_dummies",
        ),
        (lambda: pandas.DataFrame(TEXT).astype({"city": "category"}), r"column 'city' \(category\)"),
        (
            lambda: pandas.DataFrame(DATES).astype({"born": "datetime64[ns]", "seen": "datetime64[ns]"}),
            r"columns 'born' \(datetime64\[ns\]\), 'seen' \(datetime64\[ns\]\) of the frame are not numeric",
        ),
        (
            lambda: polars.DataFrame(TEXT),
            r"column 'city' \(String\) of the frame is not numeric.*frame\.to_dummies",
        ),
        (lambda: polars.DataFrame(COLUMNS).lazy(), r"got a LazyFrame; write frame\.collect\(\)"),
        (lambda: sparse.csr_matrix(EXPECTED), r"expected an array, got a sparse csr_matrix; write x\.toarray\(\)"),
        (lambda: sparse.coo_array(EXPECTED), r"got a sparse coo_array; write x\.toarray\(\)"),
    ],
)
def test_what_is_not_numeric_is_named_with_what_to_write(frame: Any, message: str) -> None:
    for call in (
        lambda: net()(frame()),
        lambda: train(net(), frame(), np.ones((4, 1))),
        lambda: net().evaluate(frame(), np.ones((4, 1)), SquaredError()),
    ):
        with pytest.raises(TypeError, match=message):
            call()


# ---- targets

SERIES: dict[str, Any] = {
    "pandas": pandas.Series,
    "polars": lambda numbers: polars.Series(list(numbers)),
    "a frame of one column": lambda numbers: pandas.DataFrame({"y": numbers}),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_is_a_target_of_one_column(name: str) -> None:
    y = np.array([1.0, 0.0, 1.0, 1.0])
    for loss in (MeanSquaredError(), BinaryCrossEntropy()):
        ours, theirs = net(), net()
        settings: dict[str, Any] = {"loss": loss, "optimizer": SGD(1e-4), "metrics": [accuracy], "batch_size": 3}
        first = train(ours, EXPECTED, y[:, None], validation=(EXPECTED, y[:, None]), **settings)
        given = SERIES[name](y)
        second = train(theirs, pandas.DataFrame(COLUMNS), given, validation=(EXPECTED, given), **settings)
        assert dict(first) == dict(second)
        assert ours.evaluate(EXPECTED, given, loss, [accuracy]) == ours.evaluate(EXPECTED, y[:, None], loss, [accuracy])


@pytest.mark.parametrize("name", SERIES)
def test_a_series_is_a_target_of_labels(name: str) -> None:
    labels = np.array([0, 1, 1, 2])
    given = SERIES[name](labels)
    ours, theirs = net(3), net(3)
    for model, target in ((ours, labels), (theirs, given)):
        train(model, EXPECTED, target, loss=CrossEntropy(), metrics=[accuracy], batch_size=3)
    np.testing.assert_array_equal(theirs.vector.value, ours.vector.value)
    assert ours.evaluate(EXPECTED, given, CrossEntropy()) == ours.evaluate(EXPECTED, labels, CrossEntropy())


def test_nullable_labels_are_labels() -> None:
    labels = pandas.Series([0, 1, 1, 2], dtype="Int64")
    train(net(3), EXPECTED, labels, loss=CrossEntropy())


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_labels_of_text_are_told_how_to_become_numbers(name: str) -> None:
    with pytest.raises(TypeError, match=r"target: expected numbers, got a Series of dtype.*np\.unique\(series, return"):
        train(net(3), EXPECTED, SERIES[name](["a", "b", "b", "c"]), loss=CrossEntropy())


def test_an_array_is_not_reshaped_and_neither_is_a_series_by_hand_but_the_hint_works() -> None:
    y = pandas.Series([1.0, 0.0, 1.0, 1.0])
    with pytest.raises(ShapeError, match=re.escape("try target.reshape(-1, 1)")):
        train(net(), EXPECTED, y.to_numpy())
    trainer = Trainer(net(), loss=SquaredError(), optimizer=SGD(1e-4))
    with pytest.raises(ShapeError, match=re.escape("try target.to_numpy().reshape(-1, 1)")):
        trainer.step(EXPECTED, y)
    trainer.step(EXPECTED, y.to_numpy().reshape(-1, 1))


def test_weights_may_be_a_series_too() -> None:
    ours, theirs, weight = net(), net(), np.array([1, 2, 0, 4])
    train(ours, EXPECTED, EXPECTED[:, :1], sample_weight=weight, optimizer=SGD(1e-4))
    train(theirs, EXPECTED, EXPECTED[:, :1], sample_weight=pandas.Series(weight), optimizer=SGD(1e-4))
    np.testing.assert_array_equal(theirs.vector.value, ours.vector.value)


def test_a_data_loader_of_pytorch_is_an_iterable_of_batches() -> None:
    dataset = torch.utils.data.TensorDataset(torch.tensor(EXPECTED), torch.tensor(EXPECTED[:, :1]))
    loader = torch.utils.data.DataLoader(dataset, batch_size=3)
    ours, theirs = net(), net()
    first = train(
        ours, EXPECTED, EXPECTED[:, :1], validation=(EXPECTED, EXPECTED[:, :1]), batch_size=3, shuffle=False,
        optimizer=SGD(1e-5),
    )  # fmt: skip
    second = train(theirs, loader, None, validation=loader, optimizer=SGD(1e-5))
    np.testing.assert_array_equal(theirs.vector.value, ours.vector.value)
    assert second["validation_loss"] == pytest.approx(first["validation_loss"])
    with pytest.raises(TypeError, match=r"got TensorDataset and no target; batches .*\.DataLoader\(dataset, 32\)"):
        train(net(), dataset, None)


def test_none_of_these_packages_is_imported_by_a_fit() -> None:
    code = """
import sys
import numpy as np
from nanonet import SGD, Linear, Sequential, SquaredError, accuracy
model = Sequential(Linear(3, 1))
model.fit([[1, 2, 3]], [[1]], loss=SquaredError(), optimizer=SGD(0.1), epochs=1, metrics=[accuracy], verbose=0)
print(sorted({"pandas", "polars", "torch", "scipy", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
