"""TensorBoard: what its own reader finds in the files are the numbers of the history."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanonet import SGD, Callback, LayerMonitor, Linear, ReLU, Sequential, SquaredError, TensorBoard, Trainer
from nanonet.training.tensorboard import crc32c, event, record

X = np.random.default_rng(0).normal(size=(10, 3))
TARGET = X[:, :1] * X[:, 1:2]


def trainer() -> Trainer:
    model = Sequential(Linear(3, 4), ReLU(), Linear(4, 1), rng=0)
    return Trainer(model, loss=SquaredError(), optimizer=SGD(lambda step: 1 / (step + 10)))


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard's reader finds in a folder: for each name the steps and values."""
    name = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(name, reason="tensorboard is not installed").EventAccumulator(
        str(folder), size_guidance={"scalars": 0}
    )
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(each.step, each.value) for each in accumulator.Scalars(tag)] for tag in tags}


@pytest.mark.peer
def test_tensorboard_reads_the_numbers_of_every_epoch(tmp_path: Path) -> None:
    one, rates = trainer(), []

    class Rates(Callback):
        def epoch_end(self, trainer: Trainer) -> None:
            rates.append(trainer.learning_rate)

    callbacks = [TensorBoard(tmp_path / "runs" / "sgd"), LayerMonitor(X), Rates()]
    history = one.fit(X, TARGET, epochs=3, validation=0.2, callbacks=callbacks)
    found = read(tmp_path / "runs" / "sgd")
    assert found.keys() == {*history, "learning_rate"}
    for name, values in {**history, "learning_rate": rates}.items():
        assert [step for step, _ in found[name]] == [1, 2, 3]
        np.testing.assert_array_equal([value for _, value in found[name]], np.array(values, np.float32))


@pytest.mark.peer
def test_epochs_after_a_checkpoint_are_those_of_the_resumed_training(tmp_path: Path) -> None:
    first, second, folder = trainer(), trainer(), tmp_path / "run"
    first.fit(X, TARGET, epochs=2, callbacks=[TensorBoard(folder)])
    first.save(tmp_path / "run.npz")
    first.fit(X, TARGET, epochs=2, callbacks=[TensorBoard(folder)])
    second.resume(tmp_path / "run.npz")
    second.fit(-X, TARGET, epochs=1, callbacks=[TensorBoard(folder)])
    assert len(list(folder.iterdir())) == 3
    steps, losses = zip(*read(folder)["loss"], strict=True)
    assert steps == (1, 2, 3)
    assert list(losses) == pytest.approx(second.history["loss"])


@pytest.mark.peer
@given(numbers=st.dictionaries(st.text(min_size=1, max_size=300), st.floats(), max_size=9), step=st.integers(0, 2**62))
def test_an_event_is_what_protocol_buffers_read(numbers: dict[str, float], step: int) -> None:
    protobuf = pytest.importorskip("tensorboard.compat.proto.event_pb2", reason="tensorboard is not installed")
    found = protobuf.Event.FromString(event(step=step, numbers=numbers))
    assert found.step == step
    with np.errstate(over="ignore"):
        expected = {name: np.float32(number) for name, number in numbers.items()}
    read = {value.tag: value.simple_value for value in found.summary.value}
    assert read.keys() == expected.keys()
    np.testing.assert_array_equal([read[name] for name in expected], [*expected.values()])
    assert protobuf.Event.FromString(event(version="brain.Event:2")).file_version == "brain.Event:2"
    assert protobuf.Event.FromString(event(starts=True)).session_log.status == protobuf.SessionLog.START


@given(content=st.binary(max_size=300))
def test_a_record_has_the_length_of_its_content_and_a_checksum_of_both(content: bytes) -> None:
    written = record(content)
    length, checksum = struct.unpack("<QI", written[:12])
    assert (length, written[12:-4]) == (len(content), content)
    for part, masked in ((written[:8], checksum), (content, struct.unpack("<I", written[-4:])[0])):
        rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
        assert (rotated >> 17 | rotated << 15) & 0xFFFFFFFF == crc32c(part)


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_checksum_is_that_of_the_standard(content: bytes, checksum: int) -> None:
    """The examples of RFC 3720, B.4."""
    assert crc32c(content) == checksum


def test_a_folder_that_cannot_be_made_is_an_error_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one = trainer()
    with pytest.raises(OSError, match="file"):
        one.fit(X, TARGET, epochs=1, callbacks=[TensorBoard(tmp_path / "file" / "run")])
    assert one.steps == 0


def test_numbers_that_are_not_finite_are_written(tmp_path: Path) -> None:
    class Records(Callback):
        called_first = True

        def fit_begin(self, trainer: Trainer) -> None:
            trainer.names += ("odd",)

        def epoch_end(self, trainer: Trainer) -> None:
            trainer.history.record({"odd": (math.nan, math.inf, 1e300)[trainer.epoch - 1]})

    one = trainer()
    settings: dict[str, Any] = {"epochs": 3, "callbacks": [TensorBoard(tmp_path), Records()]}
    one.fit(X, TARGET, **settings)
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().count(b"odd") == 3
