"""Checkpoint files: whole or not at all, and refused with a reason that names them where they are anything else."""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanonet import SGD, Adam, Checkpoint, Dropout, Linear, Sequential, SquaredError, Tanh, Trainer
from nanonet.checking.situations import example
from nanonet.storage import archive
from tests import ROOT
from tests.helpers import Distance, Momentum, Noise, data
from tests.killed import kill_and_verify
from tests.training.test_checkpoints import other, whole

X, TARGET = data(samples=20)
SEAL = 64  # the length of a SHA-256 in hexadecimal digits, with which a file ends
EVERY = pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
"""Damages each byte of a file where the slow tests run, and some of them in any run."""
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has neither limits nor permissions of this kind")


def small(seed: int = 0) -> Trainer:
    """Return the trainer with the smallest file."""
    return Trainer(Sequential(Linear(1, 1), rng=seed), loss=SquaredError(), optimizer=SGD(0.1))


def net(*, hidden: int = 4, bias: bool = True, dtype: npt.DTypeLike = np.float32, rng: Any = 0) -> Sequential:
    layers = [Linear(3, hidden, bias=bias), Tanh(), Dropout(0.3), Linear(hidden, 2)]
    return Sequential(*layers, dtype=dtype, rng=rng)


def trainer_of(model: Sequential | None = None, **arguments: Any) -> Trainer:
    return Trainer(model or net(), loss=SquaredError(), **({"optimizer": Adam(0.01)} | arguments))


def trained(trainer: Trainer) -> Trainer:
    """Return a trainer that has something to lose: an epoch under way, and a split."""

    class Breaks(Distance):
        def update(self, prediction: Any, target: Any, weight: Any = None) -> None:
            super().update(prediction, target)
            if trainer.steps == 6:
                raise KeyboardInterrupt

    width = trainer.model.layers[0].input_shape
    assert width is not None
    x = np.resize(X, (20, *example(width, 3)))
    target = np.resize(TARGET, (20, trainer.model(x).shape[1]))
    trainer.fit(x, target, epochs=3, batch_size=5, validation=0.2, metrics=[Breaks()], verbose=0)
    return trainer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a checkpoint of :func:`trainer_of` stands, broken off in an epoch."""
    trained(trainer_of()).save(tmp_path / "run.npz")
    return tmp_path / "run.npz"


def assert_refused(
    trainer: Trainer, path: str | Path, message: str, error: type[Exception] = ValueError
) -> pytest.ExceptionInfo[Exception]:
    """See that a file is refused with its name and a reason, and that nothing in the trainer is another."""
    before = whole(trainer)
    with pytest.raises(error, match=message) as refusal:
        trainer.resume(path)
    assert str(path) in str(refusal.value)
    assert other(whole(trainer), before) == []
    return refusal


# ---- a file is what its name says


def test_numpy_reads_the_arrays_without_unpickling_anything(path: Path) -> None:
    trainer = trainer_of()
    trainer.resume(path)
    with np.load(path, allow_pickle=False) as file:
        for name, parameter in trainer.model.parameters().items():
            np.testing.assert_array_equal(file[f"parameter/{name}"], parameter.value)
            assert file[f"parameter/{name}"].dtype == np.float32
            for state in ("sum", "square_sum"):
                assert file[f"state/{state}/{name}"].shape == parameter.shape
                assert file[f"state/{state}/{name}"].any()
        np.testing.assert_array_equal(file["history/loss"], trainer.history["loss"])
        told = json.loads(file["nanonet.json"])
    assert (told["format"], told["steps"], told["optimizer"]) == (2, 6, ["Adam", "Adam(0.01)"])


def test_a_file_is_read_without_pickle(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any, **keywords: Any) -> Any:
        raise AssertionError("something is unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    later = trainer_of()
    later.resume(path)
    assert later.steps == 6


def test_the_same_training_gives_the_same_bytes_at_any_time(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained(trainer_of())
    for name, now in (("a.npz", 1e9), ("b.npz", 1.7e9)):
        with monkeypatch.context() as patch:
            patch.setattr("time.time", lambda now=now: now)
            trainer.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == path.read_bytes()
    trainer.step(X, TARGET)
    trainer.save(tmp_path / "b.npz")
    assert (tmp_path / "b.npz").read_bytes() != path.read_bytes()


def test_a_save_leaves_nothing_but_the_file(path: Path) -> None:
    for _ in range(2):
        trainer_of().save(path)
        assert list(path.parent.iterdir()) == [path]


def test_a_save_changes_nothing_in_the_trainer(tmp_path: Path) -> None:
    trainer = trained(trainer_of())
    before = whole(trainer)
    trainer.save(tmp_path / "run.npz")
    assert other(whole(trainer), before) == []


@posix
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o000])
def test_permissions_follow_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        small().save(tmp_path / "run.npz")
        (tmp_path / "plain").write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "run.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "run.npz").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("samples", [0, 1])
def test_a_checkpoint_larger_than_what_is_hashed_at_a_time_is_read_again(samples: int, tmp_path: Path) -> None:
    def make(seed: int) -> Trainer:
        return trainer_of(Sequential(Linear(3, 300), Linear(300, 700), Linear(700, 2), rng=seed))

    trainer, path, later = make(0), tmp_path / "run.npz", make(1)
    for _ in range(samples):
        trainer.step(X, TARGET)
    trainer.save(path)
    assert path.stat().st_size > 2 << 20
    later.resume(path)
    assert other(whole(later), whole(trainer)) == []


# ---- a checkpoint of another training


class Unstated(Momentum):
    """A rule whose state has another name."""

    def states(self) -> dict[str, float]:
        return {"speed": 0.0}


def test_a_checkpoint_of_another_architecture_is_refused_with_every_name_and_shape_that_differs(path: Path) -> None:
    later = trained(trainer_of(Sequential(Linear(3, 5, bias=False), Tanh(), Linear(5, 2), rng=1)))
    refusal = assert_refused(later, path, "does not fit this trainer, and nothing was changed")
    head, *lines = str(refusal.value).splitlines()
    assert head.endswith("its optimizer was Adam(0.01)")
    expected = [
        "  layer 2: nanonet.Dropout in the file, nanonet.Linear here",
        "  layer 3: only in the file",
    ]
    for kind in ("parameter/", "state/sum/", "state/square_sum/"):
        expected += [
            f"  {kind}0.weight: float32 (4, 3) in the file, float32 (5, 3) here",
            f"  {kind}0.bias: only in the file",
            f"  {kind}3.weight: only in the file",
            f"  {kind}3.bias: only in the file",
            f"  {kind}2.weight: not in the file",
            f"  {kind}2.bias: not in the file",
        ]
    assert sorted(lines) == sorted(expected)


def test_of_many_names_that_differ_twenty_are_shown_and_the_others_counted(path: Path) -> None:
    later = trainer_of(Sequential(*(Linear(3, 3) for _ in range(9)), rng=1))
    refusal = assert_refused(later, path, "does not fit this trainer")
    lines = str(refusal.value).splitlines()[1:]
    assert len(lines) == 21
    assert re.fullmatch(r"  and \d+ more", lines[-1])


def test_a_checkpoint_of_another_dtype_is_refused(path: Path) -> None:
    later = trained(trainer_of(net(dtype=np.float64)))
    assert_refused(later, path, r"parameter/0\.weight: float32 \(4, 3\) in the file, float64 \(4, 3\) here")


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.9), Unstated(0.1)], ids=str)
def test_a_checkpoint_of_another_optimizer_is_refused_with_what_it_was(optimizer: Any, path: Path) -> None:
    later = trained(trainer_of(optimizer=optimizer))
    assert_refused(
        later, path, rf"its optimizer was Adam\(0\.01\), that of this trainer is {re.escape(repr(optimizer))}"
    )


def test_state_vectors_that_differ_within_one_class_are_listed(path: Path) -> None:
    class Adam(Unstated):
        pass

    refusal = assert_refused(trained(trainer_of(optimizer=Adam(0.1))), path, r"state/speed/0\.weight: not in the file")
    assert "state/square_sum/3.bias: only in the file" in str(refusal.value)


class PerhapsNoise(Noise):
    """Noise that may own no generator."""

    def __init__(self, noisy: bool) -> None:
        if noisy:
            super().__init__()

    def forward(self, x: Any, *, training: bool = False) -> tuple[Any, Any]:
        return super().forward(x, training=training and "random" in vars(self))


def test_a_checkpoint_with_other_generators_is_refused(path: Path) -> None:
    trainer_of(Sequential(Linear(3, 4), PerhapsNoise(True), Linear(4, 2), rng=0)).save(path)
    later = trained(trainer_of(Sequential(Linear(3, 4), PerhapsNoise(False), Linear(4, 2), rng=0)))
    assert_refused(later, path, r"other generators; nothing was changed: layer/1\.random$")


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_a_checkpoint_with_generators_of_another_kind_is_refused(
    kind: type[np.random.BitGenerator], path: Path, tmp_path: Path
) -> None:
    layers = trained(trainer_of(net(rng=np.random.Generator(kind(0)))))
    assert_refused(layers, path, r"generators\.model: expected a generator of the kind")
    layers.save(tmp_path / "other.npz")
    assert_refused(
        trained(trainer_of()), tmp_path / "other.npz", r"generators\.model: expected a generator of the kind"
    )
    shuffles = trained(trainer_of(rng=np.random.Generator(kind(0))))
    assert_refused(shuffles, path, r"generators\.trainer: expected a generator of the kind")


# ---- what is no whole checkpoint


def sealed(contents: bytes) -> bytes:
    """Return a zip file with the seal that nanonet looks for: a comment of 64 bytes, the SHA-256 of the rest."""
    file = io.BytesIO(contents)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"0" * SEAL
    body = file.getvalue()[:-SEAL]
    return body + hashlib.sha256(body).hexdigest().encode()


def packed(entries: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)
    return file.getvalue()


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_page(path: Path, **changes: Any) -> bytes:
    """Return a file, sealed, whose page says something else."""
    entries = entries_of(path)
    page = json.loads(entries["nanonet.json"]) | changes
    return sealed(packed(entries | {"nanonet.json": json.dumps(page).encode()}))


def npy(array: npt.NDArray[Any], *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def test_what_these_tests_seal_by_hand_is_read(path: Path) -> None:
    """Else they would be refused for another reason than the one meant."""
    before = trainer_of()
    before.resume(path)
    path.write_bytes(with_page(path))
    later = trainer_of()
    later.resume(path)
    assert other(whole(later), whole(before)) == []


def test_a_file_in_a_newer_format_is_refused_with_what_to_do(path: Path) -> None:
    path.write_bytes(with_page(path, format=3, nanonet="7.1"))
    message = (
        r"written by nanonet 7\.1 in format 3; this is nanonet .*, which reads formats up to 2: install a newer one"
    )
    assert_refused(trained(trainer_of()), path, message)


@pytest.mark.parametrize("changes", [{"kind": "model"}, {"format": "1"}, {"format": None}], ids=str)
def test_a_file_that_holds_something_else_is_refused(changes: dict[str, Any], path: Path) -> None:
    path.write_bytes(with_page(path, **changes))
    assert_refused(trained(trainer_of()), path, "not a training checkpoint")


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Return where the smallest checkpoint stands."""
    small().save(tmp_path / "short.npz")
    return tmp_path / "short.npz"


DAMAGED = "damaged, cut off, or not written by nanonet"


def assert_all_refused(later: Trainer, path: Path, contents: Iterator[bytes], message: str) -> int:
    """See that a file is refused with each of many contents; return how many there were."""
    before, count = whole(later), 0
    for count, each in enumerate(contents, 1):
        path.write_bytes(each)
        with pytest.raises(ValueError, match=message) as refusal:
            later.resume(path)
        assert str(path) in str(refusal.value)
        if count % 100 == 0:
            assert other(whole(later), before) == []
    assert other(whole(later), before) == []
    return count


@EVERY
def test_a_file_that_is_cut_off_at_any_byte_is_refused(short: Path, every: int) -> None:
    good = short.read_bytes()
    count = assert_all_refused(small(1), short, (good[:i] for i in range(0, len(good), every)), DAMAGED)
    assert count * every >= len(good) > 1000
    short.write_bytes(good)
    small(1).resume(short)


@EVERY
def test_a_file_with_a_flipped_bit_in_any_byte_is_refused(short: Path, every: int) -> None:
    good = short.read_bytes()

    def flipped() -> Iterator[bytes]:
        for i in range(0, len(good), every):
            yield good[:i] + bytes([good[i] ^ (1 << i % 8)]) + good[i + 1 :]

    assert assert_all_refused(small(1), short, flipped(), DAMAGED) * every >= len(good)


@functools.cache
def good_bytes() -> bytes:
    """Return a checkpoint with everything in it."""
    with tempfile.TemporaryDirectory() as folder:
        trained(trainer_of()).save(Path(folder) / "run.npz")
        return (Path(folder) / "run.npz").read_bytes()


@settings(derandomize=True)
@given(st.data())
def test_a_file_with_any_damage_is_refused(tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject) -> None:
    good = good_bytes()
    damaged = bytearray(good)
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(good) - 1))
        damaged[place] ^= draw.draw(st.integers(1, 255))
    if damaged != good:
        path = tmp_path_factory.getbasetemp() / "damaged.npz"
        assert_all_refused(trainer_of(), path, iter([bytes(damaged)]), DAMAGED)


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"x" * SEAL], ids=["NUL", "newline", "64 bytes"])
def test_a_file_with_something_behind_it_is_refused(extra: bytes, short: Path) -> None:
    assert_all_refused(small(1), short, iter([short.read_bytes() + extra]), DAMAGED)


class Opens:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.place), "w")


def hostile(place: Path) -> npt.NDArray[Any]:
    array = np.empty(1, dtype=object)
    array[0] = Opens(place)
    return array


def test_the_pickle_in_these_tests_would_leave_a_trace(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", hostile(tmp_path / "trace"), allow_pickle=True)
    np.load(tmp_path / "array.npy", allow_pickle=True)[0].close()
    assert (tmp_path / "trace").exists()


PLACES = ["parameter/0.weight", "history/loss", "callback/0/best", "anything"]


@pytest.mark.parametrize("name", PLACES)
def test_a_pickle_in_a_sealed_file_is_refused_and_never_opened(name: str, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    entries = entries_of(path) | {f"{name}.npy": npy(hostile(trace), allow_pickle=True)}
    path.write_bytes(sealed(packed(entries)))
    assert_refused(trained(trainer_of()), path, "nothing of it was loaded: Object arrays cannot be loaded")
    assert not trace.exists()


@pytest.mark.parametrize("entry", ["nanonet.json", "parameter/0.weight.npy", "other.npy"])
def test_a_bare_pickle_in_a_sealed_file_is_refused_and_never_opened(entry: str, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    entries = entries_of(path) | {entry: pickle.dumps(Opens(trace))}
    path.write_bytes(sealed(packed(entries)))
    assert_refused(trained(trainer_of()), path, "not written by nanonet, nothing of it was loaded")
    assert not trace.exists()


def test_a_pickle_in_a_file_of_numpy_is_refused_and_never_opened(tmp_path: Path) -> None:
    path, trace = tmp_path / "run.npz", tmp_path / "trace"
    np.savez(path, **{"parameter/0.weight": hostile(trace)})  # type: ignore[arg-type]  # allow_pickle might be a name
    assert_refused(trained(trainer_of()), path, DAMAGED)
    path.write_bytes(pickle.dumps(Opens(trace)) + b" " * 200)
    assert_refused(trained(trainer_of()), path, DAMAGED)
    assert not trace.exists()


def test_a_file_of_numpy_is_refused(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.npz", trained(trainer_of())
    np.savez(path, **trainer.model.state_dict())  # type: ignore[arg-type]  # allow_pickle might be a name
    assert_refused(trainer, path, DAMAGED)
    path.write_bytes(sealed(path.read_bytes()))
    assert_refused(trainer, path, r"not written by nanonet, nothing of it was loaded: .*nanonet\.json")


@pytest.mark.parametrize("contents", [b"", b"PK", b"x" * 63, b"x" * 64, b"x" * 65, b"\0" * 5000], ids=len)
def test_a_file_with_nothing_of_a_checkpoint_is_refused(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    path.write_bytes(contents)
    assert_refused(trained(trainer_of()), path, DAMAGED)


def test_what_is_sealed_but_no_zip_file_is_refused(tmp_path: Path) -> None:
    path, body = tmp_path / "run.npz", b"nothing that was ever zipped"
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    assert_refused(trained(trainer_of()), path, "not written by nanonet, nothing of it was loaded")


# ---- what is no file, and no path


def test_a_missing_file_and_a_folder_are_errors_of_the_system(tmp_path: Path) -> None:
    trainer = trained(trainer_of())
    assert_refused(trainer, tmp_path / "missing.npz", "No such file", FileNotFoundError)
    assert_refused(trainer, tmp_path / "missing" / "run.npz", "No such file", FileNotFoundError)
    (tmp_path / "folder.npz").mkdir()
    assert_refused(trainer, tmp_path / "folder.npz", "directory|denied", OSError)
    before = whole(trainer)
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "folder.npz"))):
        trainer.save(tmp_path / "folder.npz")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "missing" / "run.npz"))):
        trainer.save(tmp_path / "missing" / "run.npz")
    assert other(whole(trainer), before) == []
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder.npz"]


@pytest.mark.parametrize("method", ["save", "resume"])
def test_a_path_of_another_kind_is_refused(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trained(trainer_of())
    before, call = whole(trainer), getattr(trainer, method)
    for name in ("run", "run.npy", "run.npz.bak", "run.NPZ", ".npz", "", tmp_path, "npz"):
        message = rf"Trainer\.{method}: expected a path that ends in \.npz, got {re.escape(repr(os.fspath(name)))}$"
        with pytest.raises(ValueError, match=message):
            call(name)
    for thing in (None, 3, b"run.npz", ["run.npz"], io.BytesIO()):
        with pytest.raises(TypeError, match=rf"Trainer\.{method}: expected path as a str or Path, got "):
            call(thing)
    assert other(whole(trainer), before) == []
    assert list(tmp_path.iterdir()) == []


# ---- a disk that is full


def assert_stands(path: Path, before: bytes) -> None:
    """See that a file is what it was, that it loads, and that nothing stands beside it."""
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    trainer_of(net(rng=7)).resume(path)


@pytest.mark.parametrize("place", ["os.fsync", "os.replace", "nanonet.storage.archive._write_array"])
def test_on_a_full_disk_the_checkpoint_of_before_stands(
    place: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before, trainer = path.read_bytes(), trained(trainer_of())
    state = whole(trainer)
    with monkeypatch.context() as patch:
        patch.setattr(place, no_room)
        with pytest.raises(OSError, match=r"not written, an existing file is left untouched") as full:
            trainer.save(path)
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, str(path))
    assert str(path) in str(full.value)
    assert "No space left on device" in str(full.value)
    assert other(whole(trainer), state) == []
    assert_stands(path, before)
    trainer.step(X, TARGET)
    trainer.save(path)
    assert path.read_bytes() != before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("place", ["os.fsync", "os.replace", "nanonet.storage.archive._write_array"])
def test_a_save_that_is_broken_off_leaves_the_checkpoint_of_before(
    place: str, error: type[BaseException], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*arguments: Any, **keywords: Any) -> None:
        raise error

    before, trainer = path.read_bytes(), trained(trainer_of())
    with monkeypatch.context() as patch:
        patch.setattr(place, breaks)
        with pytest.raises(error):
            trainer.save(path)
    assert_stands(path, before)


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def fsync(file: int) -> None:
        size = os.fstat(file).st_size
        calls.append("folder" if os.path.samestat(os.fstat(file), os.stat(path.parent)) else f"{size} bytes")
        real["fsync"](file)

    def replace(source: Any, target: Any) -> None:
        assert Path(source).parent == path.parent
        assert Path(target) == path
        calls.append("replace")
        real["replace"](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    trained(trainer_of()).save(path)
    assert calls == [f"{path.stat().st_size} bytes", "replace", *(["folder"] if os.name == "posix" else [])]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from tests.training.test_checkpoint_files import X, TARGET, net, trainer_of
from nanonet import Checkpoint

path, trial = Path(sys.argv[1]), Path(sys.argv[2])
trainer = trainer_of(net(rng=3))
trainer.save(trial)
size = trial.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (0, 1, 100, size // 2, size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for save in (trainer.save, lambda path: trainer.fit(X, TARGET, epochs=1, verbose=0, callbacks=[Checkpoint(path)])):
        try:
            save(path)
        except OSError as error:
            print(error.errno, error.filename, error)
        else:
            print("written")
"""


@posix
def test_where_a_file_may_grow_no_further_the_checkpoint_of_before_stands(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The kernel itself refuses to write, at one of several sizes."""
    before = path.read_bytes()
    command = [sys.executable, "-c", LIMITED, str(path), str(tmp_path_factory.mktemp("trial") / "run.npz")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    for line in lines:
        assert line.startswith(f"{errno.EFBIG} {path} ")
        assert "not written, an existing file is left untouched" in line
    assert_stands(path, before)


def test_a_full_disk_ends_a_fit_and_a_later_one_goes_on_from_the_checkpoint_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, trainer, straight = tmp_path / "run.npz", trainer_of(), trainer_of()
    straight.fit(X, TARGET, epochs=3, batch_size=5)
    saves = itertools.count(1)
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if next(saves) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match="No space left on device"):
            trainer.fit(X, TARGET, epochs=3, batch_size=5, callbacks=[Checkpoint(path, steps=2)])
    assert list(tmp_path.iterdir()) == [path]
    later = trainer_of(net(rng=8))
    later.resume(path)
    assert later.steps == 6
    later.fit(X, TARGET, epochs=2, batch_size=5, callbacks=[Checkpoint(path, steps=2)])
    assert other(whole(later), whole(straight)) == []


# ---- a process that is killed


@posix
@pytest.mark.parametrize("times", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_training_that_is_killed_at_random_moments_goes_on_each_time(tmp_path: Path, times: int) -> None:
    """The command ``python -m tests.killed`` does so 200 times."""
    summary = kill_and_verify(tmp_path, times=times)
    assert summary.kills == times
    assert times == 1 or summary.verified >= 6
    assert times == 1 or summary.steps > 20


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    trainer, link = trainer_of(), tmp_path / "link.npz"
    trainer.save(tmp_path / "real" / "run.npz")
    link.symlink_to(tmp_path / "real" / "run.npz")
    trained(trainer).save(link)
    assert link.is_symlink()
    later = trainer_of()
    later.resume(tmp_path / "real" / "run.npz")
    assert later.steps == trainer.steps


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that will hold the names under which files were written, before they took their places."""
    names: list[Path] = []
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        names.append(Path(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return names


def test_what_a_killed_save_left_is_removed_once_it_is_an_hour_old(tmp_path: Path, beside: list[Path]) -> None:
    for name in ("run.npz", "run.npz", "other.npz"):
        trainer_of().save(tmp_path / name)
    old, new, others = beside
    for left in beside:
        left.write_bytes(b"half")
    for left in (old, others):
        os.utime(left, (0, 0))
    trainer_of().save(tmp_path / "run.npz")
    assert {path.name for path in tmp_path.iterdir()} == {new.name, others.name, "run.npz", "other.npz"}


def test_a_file_beside_has_a_hidden_name_that_nobody_foresees(tmp_path: Path, beside: list[Path]) -> None:
    for _ in range(20):
        trainer_of().save(tmp_path / "run.npz")
    assert len(set(beside)) == 20
    assert all(path.name.startswith(".") for path in beside)


@posix
def test_what_stands_in_the_way_of_a_save_is_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even to one who foresees the name: a link there is not followed, and stays."""
    monkeypatch.setattr("os.urandom", bytes)
    names: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda source, target: names.append(source))
        trainer_of().save(tmp_path / "run.npz")
    names[0].unlink()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    names[0].symlink_to(precious)
    with pytest.raises(FileExistsError, match="not written, an existing file is left untouched"):
        trainer_of().save(tmp_path / "run.npz")
    assert precious.read_bytes() == b"precious"
    assert names[0].is_symlink()
    assert not (tmp_path / "run.npz").exists()


@pytest.mark.parametrize("length", [249, 255])
def test_a_name_may_be_as_long_as_the_file_system_allows(length: int, tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * (length - 4)}.npz"
    trainer_of().save(path)
    trainer_of().resume(path)
    assert list(tmp_path.iterdir()) == [path]


def test_of_saves_to_one_path_at_once_each_is_whole_and_the_last_one_stays(tmp_path: Path) -> None:
    path, trainers = tmp_path / "run.npz", [trainer_of(net(rng=i)) for i in range(4)]
    weights = {trainer.model.vector.value.tobytes() for trainer in trainers}
    trainers[0].save(path)
    going, seen = threading.Event(), []

    def write(trainer: Trainer) -> None:
        for _ in range(15):
            trainer.save(path)

    def read() -> None:
        while not going.is_set():
            later = trainer_of()
            later.resume(path)
            seen.append(later.model.vector.value.tobytes() in weights)

    with ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        try:
            list(pool.map(write, trainers))
        finally:
            going.set()
        reader.result()
    assert seen
    assert all(seen)
    assert list(tmp_path.iterdir()) == [path]


# ---- a file that does not keep still


class Shrinks(io.BytesIO):
    """A file that another process cuts off while it is read."""

    def read(self, size: int | None = -1) -> bytes:
        self.truncate(100)
        return super().read(size)


def test_a_file_that_shrinks_while_it_is_hashed_is_refused() -> None:
    with pytest.raises(ValueError, match="it changed while it was read"):
        archive._digest(Shrinks(b"x" * 5_000_000))


@posix
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe into which nobody writes, and a device without an end."""
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "zero.npz").symlink_to("/dev/zero")
    for name in ("pipe.npz", "zero.npz"):
        assert_refused(trainer_of(), tmp_path / name, "expected a regular file, got a device or a pipe")


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(22, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    trainer_of().save(tmp_path / "run.npz")
    assert calls[0] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


def test_a_path_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match=r"file/run\.npz") as caught:
        trainer_of().save(tmp_path / "file" / "run.npz")
    assert "tmp'" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize("page", [b"[1]", b'{"kind": "training", "format": 1}', b"{}", b"no json"])
def test_a_sealed_file_with_another_page_is_refused_by_its_name(page: bytes, tmp_path: Path) -> None:
    path = tmp_path / "forged.npz"
    path.write_bytes(sealed(packed({"nanonet.json": page})))
    assert_refused(trained(trainer_of()), path, r"forged\.npz: ")
