"""The named sets in idx files: genuine files are read, all others are refused with one helpful sentence."""

from __future__ import annotations

import gzip
import hashlib
import socket
import stat
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prunelab.estimators import backend
from prunelab.estimators.data import datasets, downloads, idx
from prunelab.estimators.data.datasets import DatasetError, describe_datasets, load_dataset

from .loading import assert_sound, fails

QUICK = settings(max_examples=40, deadline=None)


def idx_bytes(array: np.ndarray) -> bytes:
    """Write an idx file in memory."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@dataclass
class Tiny:
    """A fabricated data set: its registered name, the root, the folder of the files, and their contents."""

    name: str
    root: Path
    folder: Path
    files: dict[str, bytes]
    X_train: np.ndarray

    def write(self, *, suffix: str = "", skip: str = "") -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            if name != skip:
                content = gzip.compress(content, mtime=0) if suffix == ".gz" else content
                (self.folder / (name + suffix)).write_bytes(content)


def make_tiny(monkeypatch: pytest.MonkeyPatch, root: Path, verified: str) -> Tiny:
    rng = np.random.default_rng(0)
    X_train, X_test = rng.integers(0, 256, (6, 3, 2)), rng.integers(0, 256, (4, 3, 2))
    arrays = [X_train, np.arange(6) % 2, X_test, np.arange(4) % 2]
    contents = [idx_bytes(array) for array in arrays]
    hashed = [gzip.compress(content, mtime=0) if verified == "archive" else content for content in contents]
    dataset = idx.IdxDataset(
        name="tiny",
        folder="TINY",
        description="fabricated",
        download_mb=1,
        class_names=("even", "odd"),
        sha256=tuple(hashlib.sha256(content).hexdigest() for content in hashed),  # pyright: ignore[reportArgumentType]
        verified=verified,  # pyright: ignore[reportArgumentType]
        n_train=6,
        n_test=4,
        image_shape=(3, 2),
    )
    monkeypatch.setitem(datasets._IDX_DATASETS, "tiny", dataset)
    files = dict(zip([file.name for file in idx.idx_files(dataset)], contents, strict=True))
    return Tiny("tiny", root, root / "TINY" / "raw", files, X_train)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    return make_tiny(monkeypatch, tmp_path / "root", "unpacked")


@pytest.fixture
def tiny_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    return make_tiny(monkeypatch, tmp_path / "root", "archive")


def info(name: str, root: Path) -> datasets.DatasetInfo:
    return next(row for row in describe_datasets(root) if row.name == name)


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "first"), [("mnist", [5, 0, 4, 1, 9]), ("fashion-mnist", [9, 0, 0, 3, 0])])
def test_the_real_sets(name: str, first: list[int], data_root: Path) -> None:
    folder = data_root / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name]
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    data = load_dataset(name, data_root)
    assert_sound(data)
    assert data.X_train.shape == (60000, 784)
    assert data.X_test.shape == (10000, 784)
    assert data.image_shape == (28, 28)
    assert data.X_train.min() == -1
    assert data.X_train.max() == 1
    assert data.y_train[:5].tolist() == first
    assert len(data.class_names) == 10
    assert str(folder) in data.source
    assert "SHA-256 verified" in data.source
    assert info(name, data_root).state == "ready"


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_unpacked_or_packed(tiny: Tiny, suffix: str) -> None:
    tiny.write(suffix=suffix)
    data = load_dataset("tiny", tiny.root)
    assert_sound(data)
    pixels = (data.X_train.astype(np.float64) * 0.5 + 0.5) * 255
    np.testing.assert_allclose(pixels, tiny.X_train.reshape(6, 6), atol=1e-4)
    assert data.y_test.tolist() == [0, 1, 0, 1]
    assert data.class_names == ["even", "odd"]
    assert data.image_shape == (3, 2)
    assert info("tiny", tiny.root).state == "ready"


def test_verified_archives_are_read(tiny_archive: Tiny) -> None:
    tiny_archive.write(suffix=".gz")
    assert load_dataset("tiny", tiny_archive.root).X_train.shape == (6, 6)
    assert info("tiny", tiny_archive.root).state == "ready"


def test_unpacked_files_are_refused_where_only_archives_can_be_verified(tiny_archive: Tiny) -> None:
    tiny_archive.write()
    fails("tiny", "cannot be verified", ".gz", "download=True", root=tiny_archive.root)
    row = info("tiny", tiny_archive.root)
    assert row.state == "not downloaded"
    assert "cannot be verified" in row.checked


def test_missing_files_say_how_to_get_them(tiny: Tiny) -> None:
    fails(
        "tiny",
        "prunelab data tiny --download",
        "download=True",
        "PRUNELAB_DATA",
        "'digits'",
        str(tiny.folder),
        root=tiny.root,
    )
    tiny.write(skip="t10k-labels-idx1-ubyte")
    fails("tiny", "t10k-labels-idx1-ubyte is missing", root=tiny.root)
    row = info("tiny", tiny.root)
    assert row.state == "damaged"
    assert "t10k-labels-idx1-ubyte is missing" in row.checked


def change(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"truncated": content[:-1], "oversized": content + b"\0", "mislabelled": flipped, "empty": b""}[how]


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    ("how", "word", "state"),
    [
        ("truncated", "truncated", "damaged"),
        ("empty", "truncated", "damaged"),
        ("oversized", "oversized", "damaged"),
        ("mislabelled", "damaged or mislabelled", "ready"),  # not visible from the size
    ],
)
def test_damaged_idx_files_are_refused(tiny: Tiny, name: str, how: str, word: str, state: str) -> None:
    tiny.write()
    (tiny.folder / name).write_bytes(change(tiny.files[name], how))
    fails("tiny", word, name, "download=True", root=tiny.root)
    assert info("tiny", tiny.root).state == state


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("how", ["truncated", "mislabelled", "oversized", "empty"])
def test_the_content_of_archives_is_judged(tiny: Tiny, name: str, how: str) -> None:
    tiny.write(suffix=".gz")
    (tiny.folder / f"{name}.gz").write_bytes(gzip.compress(change(tiny.files[name], how)))
    fails("tiny", how, f"{name}.gz", root=tiny.root) if how != "empty" else fails("tiny", root=tiny.root)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"not gzip at all", lambda b: b[:12] + b"\xff" * 20])
def test_damaged_archives_are_refused(tiny: Tiny, damage: Callable[[bytes], bytes]) -> None:
    tiny.write(suffix=".gz")
    path = tiny.folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    fails("tiny", str(path), "download=True", root=tiny.root)
    assert info("tiny", tiny.root).state == "damaged"


def test_damaged_verified_archives_are_refused(tiny_archive: Tiny) -> None:
    tiny_archive.write(suffix=".gz")
    path = tiny_archive.folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(tiny_archive.files["t10k-labels-idx1-ubyte"]))
    fails("tiny", "damaged or mislabelled", str(path), root=tiny_archive.root)


def test_an_archive_that_unpacks_to_too_much_is_refused(tiny: Tiny) -> None:
    tiny.write(suffix=".gz")
    bomb = gzip.compress(bytes(10**6))
    (tiny.folder / "train-images-idx3-ubyte.gz").write_bytes(bomb)
    fails("tiny", "oversized", root=tiny.root)


def test_a_folder_in_the_place_of_a_file_is_refused(tiny: Tiny) -> None:
    tiny.write(skip="train-images-idx3-ubyte")
    (tiny.folder / "train-images-idx3-ubyte").mkdir()
    fails("tiny", "is not a file", root=tiny.root)


def test_files_that_may_not_be_read_are_named(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write()

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    fails("tiny", "Permission denied", "train-images-idx3-ubyte", root=tiny.root)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x0d\x01" + bytes(8),  # floats
        b"\0\0\x08\x00",  # no dimensions
        b"\0\0\x08\xff" + bytes(2000),  # 255 dimensions
        b"\0\0\x08\x03" + bytes(7),  # ends within the header
        b"\0\0\x08\x01" + bytes(4),  # empty
        b"\0\0\x08\x03" + b"\xff" * 12 + bytes(9),  # claims 2**96 bytes
        b"\0\0\x08\x01\0\0\0\x02\x01",  # one byte short
        b"\0\0\x08\x01\0\0\0\x02\x01\x01\x01",  # one byte long
    ],
)
def test_the_idx_parser_refuses_nonsense(content: bytes) -> None:
    with pytest.raises(DatasetError):
        idx.parse_idx(content, Path("file"))


@QUICK
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3)))
def test_idx_round_trip(array: np.ndarray) -> None:
    assert np.array_equal(idx.parse_idx(idx_bytes(array), Path("file")), array)


@QUICK
@given(st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_the_idx_parser_raises_nothing_but_dataset_errors(content: bytes) -> None:
    try:
        array = idx.parse_idx(content, Path("file"))
    except DatasetError:
        return
    assert idx_bytes(array) == content


# -- downloads -----------------------------------------------------------------------------------------------


def fake_torchvision(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], None]) -> None:
    """Put a class TINY into the place of torchvision's, which calls `act` with the folder of the files."""

    def tiny_class(root: Path, *, train: bool, download: bool) -> None:
        assert download
        print("noise")
        folder = Path(root, "TINY", "raw")
        folder.mkdir(parents=True)
        act(folder)

    module = SimpleNamespace(datasets=SimpleNamespace(TINY=tiny_class))
    monkeypatch.setattr(backend, "import_torchvision", lambda: module)


@pytest.mark.parametrize("verified", ["unpacked", "archive"])
def test_a_download_is_verified_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], verified: str
) -> None:
    tiny = make_tiny(monkeypatch, tmp_path / "new" / "root", verified)

    def arrive(folder: Path) -> None:
        for name, content in tiny.files.items():
            (folder / name).write_bytes(content)
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))

    fake_torchvision(monkeypatch, arrive)
    reported: list[str] = []
    data = load_dataset("tiny", tiny.root, download=True, progress=reported.append)
    assert_sound(data)
    assert "downloaded" in data.source
    assert len(reported) == 1
    assert str(tiny.folder) in reported[0]
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tiny.root.iterdir()) == ["TINY"]
    if sys.platform != "win32":
        for folder in (tiny.root.parent, tiny.root, tiny.folder.parent, tiny.folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    fake_torchvision(monkeypatch, lambda folder: pytest.fail("downloaded twice"))
    again = load_dataset("tiny", tiny.root, download=True)
    assert np.array_equal(again.X_train, data.X_train)


def test_a_download_tells_how_many_bytes_have_arrived(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    monkeypatch.setattr(downloads, "SECONDS_BETWEEN_LOOKS", 0.001)
    reported: list[int] = []

    def arrive(folder: Path) -> None:
        expected = 0
        for name, content in tiny.files.items():
            (folder / name).write_bytes(content)  # unpacked: not what came over the network
            archive = gzip.compress(content, mtime=0)
            (folder / f"{name}.gz").write_bytes(archive)
            expected += len(archive)
            while expected not in reported:
                time.sleep(0.001)

    fake_torchvision(monkeypatch, arrive)
    load_dataset("tiny", tiny.root, download=True, on_bytes=reported.append)
    assert reported == sorted(reported)


def test_a_download_replaces_damaged_files(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    tiny.write()
    (tiny.folder / "train-images-idx3-ubyte").write_bytes(b"half")

    def arrive(folder: Path) -> None:
        for name, content in tiny.files.items():
            (folder / name).write_bytes(content)

    fake_torchvision(monkeypatch, arrive)
    load_dataset("tiny", tiny.root, download=True)
    load_dataset("tiny", tiny.root)


def test_nothing_is_kept_of_a_download_that_is_not_genuine(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    def arrive(folder: Path) -> None:
        for name, content in tiny.files.items():
            (folder / name).write_bytes(change(content, "mislabelled"))

    fake_torchvision(monkeypatch, arrive)
    fails("tiny", "not the genuine ones", "'digits'", root=tiny.root, download=True)
    assert list(tiny.root.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [urllib.error.URLError("no route"), RuntimeError("Error\nin two lines:\n"), TimeoutError(), EOFError()],
)
def test_nothing_is_kept_of_a_download_that_breaks_off(
    monkeypatch: pytest.MonkeyPatch, tiny: Tiny, error: Exception
) -> None:
    def arrive(folder: Path) -> None:
        (folder / "train-images-idx3-ubyte").write_bytes(b"half")
        assert socket.getdefaulttimeout() == downloads.DOWNLOAD_TIMEOUT
        raise error

    fake_torchvision(monkeypatch, arrive)
    before = socket.getdefaulttimeout()
    fails("tiny", "could not be downloaded", str(tiny.folder), "PRUNELAB_DATA", root=tiny.root, download=True)
    assert list(tiny.root.iterdir()) == []
    assert socket.getdefaulttimeout() == before


def test_an_interrupted_download_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    def interrupt(folder: Path) -> None:
        (folder / "train-images-idx3-ubyte").write_bytes(b"half")
        raise KeyboardInterrupt

    fake_torchvision(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_dataset("tiny", tiny.root, download=True)
    assert list(tiny.root.iterdir()) == []


def test_torchvision_offline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real torchvision, whose mirrors cannot be reached."""

    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    fails("kmnist", "no connection: Temporary failure in name resolution)", "'digits'", root=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_a_root_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    tiny.root.write_text("a file where the folder should be")
    fails("tiny", "could not be downloaded", root=tiny.root, download=True)
