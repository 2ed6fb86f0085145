"""Loading data: what is right arrives normalised, and what is wrong is one sentence that helps."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prunelab.estimators import backend, datasets
from prunelab.estimators.datasets import (
    DatasetError,
    data_folder,
    data_home,
    dataset_names,
    describe_datasets,
    load_dataset,
    one_per_class,
)

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
    dataset = datasets._IdxDataset(
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
    files = dict(zip([file.name for file in dataset.files], contents, strict=True))
    return Tiny("tiny", root, root / "TINY" / "raw", files, X_train)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    return make_tiny(monkeypatch, tmp_path / "root", "unpacked")


@pytest.fixture
def tiny_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    return make_tiny(monkeypatch, tmp_path / "root", "archive")


def info(name: str, root: Path) -> datasets.DatasetInfo:
    return next(row for row in describe_datasets(root) if row.name == name)


def fails(name: str | Path, *words: str, root: Path | None = None, download: bool = False) -> str:
    """Load, expect one helpful sentence that contains the words, and return it."""
    with pytest.raises(DatasetError) as caught:
        load_dataset(name, root, download=download)
    message = str(caught.value)
    assert message.isprintable()
    assert message.endswith(".")
    for word in words:
        assert word in message, message
    return message


def assert_sound(data: Any) -> None:
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.dtype == np.float32
        assert X.ndim == 2
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert np.isfinite(X).all()
        assert y.shape == (len(X),)
        assert y.dtype == np.int64 or y.dtype.kind == "U"
    assert data.X_train.shape[1] == data.X_test.shape[1]
    assert data.class_names == [str(label) for label in np.unique(data.y_train)] or data.y_train.max() < len(
        data.class_names
    )
    assert isinstance(data.source, str)


# ------------------------------------------------------------------------------------------ named sets


def test_digits_are_split_and_normalised() -> None:
    data = load_dataset()
    assert_sound(data)
    assert data.X_train.shape == (1437, 64)
    assert data.X_test.shape == (360, 64)
    assert data.X_train.min() == -1
    assert data.X_train.max() == 1
    assert data.image_shape == (8, 8)
    assert data.class_names == list("0123456789")
    assert data.name == "digits"
    assert "scikit-learn" in data.source
    counts = np.bincount(data.y_test)
    assert counts.min() >= 34
    assert counts.max() <= 38


def test_digits_are_the_same_every_time_whatever_the_global_seed() -> None:
    np.random.seed(1)  # noqa: NPY002
    first = load_dataset("digits")
    np.random.seed(2)  # noqa: NPY002
    second = load_dataset("digits")
    assert np.array_equal(first.X_train, second.X_train)
    assert np.array_equal(first.y_test, second.y_test)


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


def test_unknown_names_list_the_known_and_suggest_the_closest() -> None:
    message = fails("fashionmnist", "did you mean 'fashion-mnist'?", ".npz", ".csv")
    for name in dataset_names():
        assert name in message
    assert "did you mean" not in fails("zzz")


def test_one_per_class() -> None:
    y = np.array(["b", "a", "b", "c", "a"])
    assert one_per_class(np.zeros((5, 2)), y).tolist() == [1, 0, 3]
    with pytest.raises(ValueError, match="same length"):
        one_per_class(np.zeros((4, 2)), y)


def test_importing_and_describing_is_light() -> None:
    code = (
        "import sys; from prunelab.estimators import datasets; datasets.describe_datasets('/nowhere');"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------------------------- where data are


def test_the_root_comes_from_the_argument_then_the_environment_then_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PRUNELAB_DATA", raising=False)
    monkeypatch.delenv("PRUNELAB_HOME", raising=False)
    assert data_home().name == "prunelab"
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))
    assert data_folder() == tmp_path / "home" / "data"
    monkeypatch.setenv("PRUNELAB_DATA", str(tmp_path / "data"))
    assert data_folder() == tmp_path / "data"
    assert data_folder(tmp_path / "given") == tmp_path / "given"


def test_every_name_is_described(tmp_path: Path) -> None:
    rows = describe_datasets(tmp_path)
    assert [row.name for row in rows] == dataset_names()
    assert [row.state for row in rows] == ["ready"] + ["not downloaded"] * 3
    assert rows[1].where == str(tmp_path / "MNIST" / "raw")


# ------------------------------------------------------------------------------------------- idx files


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
    fails("tiny", "download=True", "PRUNELAB_DATA", "'digits'", str(tiny.folder), root=tiny.root)
    tiny.write(skip="t10k-labels-idx1-ubyte")
    fails("tiny", "t10k-labels-idx1-ubyte is missing", root=tiny.root)
    row = info("tiny", tiny.root)
    assert row.state == "damaged"
    assert "t10k-labels-idx1-ubyte is missing" in row.checked


def change(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return {"truncated": content[:-1], "oversized": content + b"\0", "mislabelled": flipped, "empty": b""}[
        how
    ]


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize(
    ("how", "word", "state"),
    [
        ("truncated", "truncated", "damaged"),
        ("empty", "truncated", "damaged"),
        ("oversized", "oversized", "damaged"),
        ("mislabelled", "damaged or mislabelled", "ready"),  # a look at the size cannot tell
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


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"not gzip at all", lambda b: b[:12] + b"\xff" * 20]
)
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
        datasets._parse_idx(content, Path("file"))


@QUICK
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3)))
def test_idx_round_trip(array: np.ndarray) -> None:
    assert np.array_equal(datasets._parse_idx(idx_bytes(array), Path("file")), array)


@QUICK
@given(st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_the_idx_parser_raises_nothing_but_dataset_errors(content: bytes) -> None:
    try:
        array = datasets._parse_idx(content, Path("file"))
    except DatasetError:
        return
    assert idx_bytes(array) == content


# ------------------------------------------------------------------------------------------- downloads


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
    told: list[str] = []
    data = load_dataset("tiny", tiny.root, download=True, progress=told.append)
    assert_sound(data)
    assert "downloaded" in data.source
    assert len(told) == 1
    assert str(tiny.folder) in told[0]
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in tiny.root.iterdir()) == ["TINY"]
    if sys.platform != "win32":
        for folder in (tiny.root.parent, tiny.root, tiny.folder.parent, tiny.folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    fake_torchvision(monkeypatch, lambda folder: pytest.fail("downloaded twice"))
    again = load_dataset("tiny", tiny.root, download=True)
    assert np.array_equal(again.X_train, data.X_train)


def test_a_download_replaces_damaged_files(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    tiny.write()
    (tiny.folder / "train-images-idx3-ubyte").write_bytes(b"half")

    def arrive(folder: Path) -> None:
        for name, content in tiny.files.items():
            (folder / name).write_bytes(content)

    fake_torchvision(monkeypatch, arrive)
    load_dataset("tiny", tiny.root, download=True)
    load_dataset("tiny", tiny.root)


def test_nothing_is_kept_of_a_download_that_is_not_genuine(
    monkeypatch: pytest.MonkeyPatch, tiny: Tiny
) -> None:
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
        assert socket.getdefaulttimeout() == datasets.DOWNLOAD_TIMEOUT
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
    fails("kmnist", "Temporary failure in name resolution", "'digits'", root=tmp_path, download=True)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


def test_a_root_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    tiny.root.write_text("a file where the folder should be")
    fails("tiny", "could not be downloaded", root=tiny.root, download=True)


# ---------------------------------------------------------------------------------------- npz: the good


def labels(n: int, n_classes: int = 2) -> np.ndarray:
    return np.arange(n) % n_classes


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("x", ["X", "x"])
def test_npz_with_a_test_part_of_its_own(tmp_path: Path, x: str) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (9, 5, 4), dtype=np.uint8)
    path = save(
        tmp_path / "d.npz",
        **{
            f"{x}_train": images[:6],
            "y_train": labels(6, 3),
            f"{x}_test": images[6:],
            "y_test": labels(3, 3),
        },
    )
    data = load_dataset(path)
    assert_sound(data)
    assert data.image_shape == (5, 4)
    assert data.name == "d.npz"
    assert data.class_names == ["0", "1", "2"]
    assert "pixels scaled" in data.source
    assert "split" not in data.source
    pixels = np.rint((data.X_test * 0.5 + 0.5) * 255)
    assert np.array_equal(pixels, images[6:].reshape(3, 20))


def test_npz_without_a_test_part_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(5, 3, (50, 3))
    path = save(tmp_path / "d.npz", X=X, y=labels(50).astype(str))
    data, again = load_dataset(str(path)), load_dataset(path)
    assert_sound(data)
    assert data.X_train.shape == (40, 3)
    assert data.X_test.shape == (10, 3)
    assert data.y_test.tolist().count("0") == 5
    assert data.image_shape is None
    assert np.array_equal(data.X_train, again.X_train)
    np.testing.assert_allclose(data.X_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.X_train.std(axis=0), 1, atol=1e-5)
    assert "split 80% to 20%" in data.source
    assert "standardised" in data.source


@pytest.mark.parametrize(
    ("X", "image_shape", "pixels"),
    [
        (np.full((10, 16), 200, np.uint8), (4, 4), True),
        (np.full((10, 20), 200, np.uint8), None, True),
        (np.full((10, 4), 200, np.uint8), None, True),
        (np.full((10, 16), 200), (4, 4), True),
        (np.full((10, 16), 256), None, False),
        (np.full((10, 9), 200), None, False),
        (np.ones((10, 16), np.uint8), None, False),
        (np.ones((10, 16), bool), None, False),
        (np.ones((10, 16), np.float16), None, False),
        (np.ones((10, 3, 2)), (3, 2), False),
        (np.full((10, 4, 4, 3), 9, np.uint8), (4, 4, 3), True),
        (np.asfortranarray(np.full((10, 4, 6), 9, np.uint8)), (4, 6), True),
        (np.full((10, 16), 200, ">u2"), (4, 4), True),
    ],
)
def test_what_counts_as_pixels_and_as_images(
    tmp_path: Path, X: np.ndarray, image_shape: tuple[int, ...] | None, pixels: bool
) -> None:
    data = load_dataset(save(tmp_path / "d.npz", X=X, y=labels(10)))
    assert_sound(data)
    assert data.image_shape == image_shape
    assert ("pixels scaled" in data.source) == pixels


def test_constant_features_become_zero(tmp_path: Path) -> None:
    X = np.full((1000, 2), 0.1)
    X[:, 1] = np.arange(1000)
    path = save(tmp_path / "d.npz", X_train=X, y_train=labels(1000), X_test=X + 1, y_test=labels(1000))
    data = load_dataset(path)
    assert not data.X_train[:, 0].any()
    assert not data.X_test[:, 0].any()


@pytest.mark.parametrize(
    ("y", "class_names", "kind"),
    [
        (np.array([3, 7], np.int8), ["3", "7"], "i"),
        (np.array([0, 7], np.uint64), ["0", "7"], "i"),
        (np.array([2.0, -1.0]), ["-1", "2"], "i"),
        (np.array([1, 2], np.float16), ["1", "2"], "i"),
        (np.array(["dog", "cat"]), ["cat", "dog"], "U"),
        (np.array(["é".encode(), b"cat"]), ["cat", "é"], "U"),
        (np.array([True, False]), ["False", "True"], "U"),
        (np.array([[1], [0]]), ["0", "1"], "i"),
    ],
)
def test_labels_are_whole_numbers_or_strings(
    tmp_path: Path, y: np.ndarray, class_names: list[str], kind: str
) -> None:
    data = load_dataset(save(tmp_path / "d.npz", X=np.ones((20, 2)), y=np.concatenate([y] * 10)))
    assert_sound(data)
    assert data.class_names == class_names
    assert data.y_train.dtype.kind == kind


@QUICK
@given(data=st.data())
def test_npz_round_trip(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever can be saved comes back as the same pixels with the same labels, or is refused in words."""
    n = data.draw(st.integers(1, 12))
    shape = (n, *data.draw(hnp.array_shapes(max_dims=3, max_side=5)))
    X = data.draw(hnp.arrays(data.draw(st.sampled_from([np.uint8, np.int32, np.float32, np.float64])), shape))
    y = data.draw(hnp.arrays(data.draw(st.sampled_from([np.int64, np.uint8, np.dtype("U3")])), n))
    path = save(tmp_path_factory.getbasetemp() / "round.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    if not np.isfinite(X).all():
        fails(path, "infinite")
        return
    if len(np.unique(y)) < 2:
        fails(path, "no class but")
        return
    try:
        loaded = load_dataset(path)
    except DatasetError:
        assert np.abs(X).max() > 1e30  # too large to standardise
        return
    assert_sound(loaded)
    assert np.array_equal(loaded.y_train, y)
    assert loaded.X_train.shape == (n, X[0].size)
    if "pixels scaled" in loaded.source:
        assert np.array_equal(np.rint((loaded.X_test * 0.5 + 0.5) * 255), X.reshape(n, -1))


# ----------------------------------------------------------------------------------------- npz: the bad

GOOD_X, GOOD_Y = np.arange(40.0).reshape(20, 2), labels(20)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": GOOD_X}, ["images", "X_train", "X and y"]),
        ({}, ["no arrays"]),
        ({"\x1b[2J": GOOD_X}, [r"\x1b[2J"]),  # nothing from a file may steer the terminal
        ({"X": GOOD_X, "y": GOOD_Y[:-1]}, ["20 samples", "19 labels"]),
        ({"X": np.where(GOOD_X == 3, np.nan, GOOD_X), "y": GOOD_Y}, ["X in", "1 missing (NaN) or infinite"]),
        ({"X": np.where(GOOD_X == 3, np.inf, GOOD_X), "y": GOOD_Y}, ["infinite"]),
        ({"X": GOOD_X.astype(str), "y": GOOD_Y}, ["must be numbers"]),
        ({"X": GOOD_X.astype(complex), "y": GOOD_Y}, ["must be numbers"]),
        ({"X": GOOD_X[:, 0], "y": GOOD_Y}, ["1 dimension"]),
        ({"X": np.float64(3), "y": GOOD_Y}, ["0 dimension"]),
        ({"X": GOOD_X[:0], "y": GOOD_Y[:0]}, ["empty"]),
        ({"X": GOOD_X[:, :0], "y": GOOD_Y}, ["empty"]),
        ({"X": GOOD_X, "y": GOOD_Y[:0]}, ["empty"]),
        ({"X": GOOD_X, "y": np.eye(20)}, ["one-hot"]),
        ({"X": GOOD_X, "y": np.zeros(20, int)}, ["no class but '0'", "two"]),
        ({"X": GOOD_X, "y": np.arange(20)}, ["class '0' only once"]),
        ({"X": GOOD_X, "y": labels(20, 7)}, ["too few samples (20)", "7 classes"]),
        ({"X": GOOD_X, "y": GOOD_Y / 2}, ["fractions"]),
        ({"X": GOOD_X, "y": GOOD_Y * 1e300}, ["huge"]),
        ({"X": GOOD_X, "y": GOOD_Y.astype(np.uint64) * np.uint64(2**64 - 1)}, ["huge"]),
        ({"X": GOOD_X, "y": np.where(GOOD_Y == 1, np.nan, 0)}, ["missing or infinite labels"]),
        ({"X": GOOD_X, "y": GOOD_Y.astype("datetime64[s]")}, ["whole numbers or strings"]),
        ({"X": GOOD_X, "y": np.where(GOOD_Y, b"\xff", b"a")}, ["UTF-8"]),
        ({"X": GOOD_X * 1e306, "y": GOOD_Y}, ["too large"]),
        ({"X": GOOD_X.astype(object), "y": GOOD_Y}, ["X in", "pickle", "X.astype(float)"]),
        ({"X": GOOD_X, "y": GOOD_Y.astype(object)}, ["y in", "pickle", "y.astype(str)"]),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    fails(save(tmp_path / "bad.npz", **arrays), "bad.npz", *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X_test": GOOD_X[:, :1]}, ["(2,)", "(1,)", "alike"]),
        ({"X_test": GOOD_X.astype(np.uint8)}, ["float64 training and uint8 test"]),
        ({"y_test": GOOD_Y + 1}, ["test label '2'", "never occurs in training"]),
        ({"y_test": GOOD_Y.astype(str)}, ["strings and numbers"]),
        ({"X_test": GOOD_X * 1e300}, ["too large"]),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: list[str]
) -> None:
    arrays = {"X_train": GOOD_X, "y_train": GOOD_Y, "X_test": GOOD_X, "y_test": GOOD_Y} | changes
    fails(save(tmp_path / "bad.npz", **arrays), "bad.npz", *words)


class Malicious:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("the pickle was loaded",)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    evil = np.array([Malicious()], dtype=object)
    fails(save(tmp_path / "evil.npz", X=evil, y=GOOD_Y), "pickle")
    path = tmp_path / "plain.npz"
    path.write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    fails(path, "not a sound .npz")


def write_member(path: Path, header: str, body: bytes = b"") -> Path:
    """Write an .npz file whose X has any header."""
    text = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body)
        with archive.open("y.npy", "w") as stream:
            np.save(stream, GOOD_Y)
    return path


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}", ["limit", "fewer samples"]),
        ("{'descr': '<U99999999', 'fortran_order': False, 'shape': (20,)}", ["limit"]),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (20, 3)}", ["truncated or damaged"]),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-20, -2)}", ["sound"]),
        ("{'descr': 'O', 'fortran_order': False, 'shape': (20,)}", ["pickle"]),
        ("(" * 100, ["sound"]),
        ("", ["sound"]),
    ],
)
def test_headers_are_judged_before_memory_is_taken(tmp_path: Path, header: str, words: list[str]) -> None:
    fails(write_member(tmp_path / "bomb.npz", header, bytes(320)), "bomb.npz", *words)


def test_the_limit_counts_what_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, X=np.zeros((100, 1000)), y=labels(100))
    load_dataset(path)
    monkeypatch.setattr(datasets, "MAX_NPZ_BYTES", 100 * 1000 * 8)
    assert path.stat().st_size < 10_000
    fails(path, "unpacks to more", "limit")
    monkeypatch.setattr(datasets, "MAX_NPZ_BYTES", 100)
    fails(path, "too large")


@settings(max_examples=150, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), cut=st.booleans())
def test_damaged_npz_files_raise_nothing_but_dataset_errors(
    position: float, value: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = save(tmp_path_factory.getbasetemp() / "damaged.npz", X=GOOD_X[:10, :1], y=GOOD_Y[:10])
    content = bytearray(path.read_bytes())
    place = int(position * len(content))
    content[place] = value
    path.write_bytes(content[:place] if cut else content)
    with contextlib.suppress(DatasetError):
        assert_sound(load_dataset(path))


def test_paths_that_are_no_data_files(tmp_path: Path) -> None:
    fails(tmp_path / "none.npz", "There is no file", "none.npz")
    fails(str(tmp_path / "none.csv"), "There is no file")
    (tmp_path / "folder.npz").mkdir()
    fails(tmp_path / "folder.npz", "is a folder")
    (tmp_path / "d.txt").write_text("1,2")
    fails(tmp_path / "d.txt", "neither a .npz nor a .csv")
    (tmp_path / "d.npz").write_text("1,2")
    fails(tmp_path / "d.npz", "not a sound .npz")
    np.save(tmp_path / "one.npy", GOOD_X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    fails(tmp_path / "one.npz", "numpy.savez")


# -------------------------------------------------------------------------------------------------- csv


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (["a", "b", "label"], "label"),
        (["y", "a", "b"], "y"),
        (["a", " Target", "b"], "Target"),
        (["class", "a", "y"], "class"),
        (["a", "b", "c"], "c"),
        (["0", "1", "2"], "2"),
    ],
)
def test_the_label_column_of_a_csv_file(tmp_path: Path, columns: list[str], label: str) -> None:
    place = [column.strip() for column in columns].index(label)
    rows = [[str(i * 1.5), str(-i), str(i % 7)] for i in range(20)]
    for i, row in enumerate(rows):
        row[place] = "red" if i % 2 else "blue"
    lines = [",".join(columns), *(",".join(row) for row in rows)]
    data = load_dataset(csv(tmp_path / "d.csv", "\n".join(lines)))
    assert_sound(data)
    assert data.X_train.shape == (16, 2)
    assert data.class_names == ["blue", "red"]
    assert f"column {label!r}" in data.source
    assert "standardised" in data.source


def test_csv_pixels(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).integers(0, 256, (30, 25))).assign(label=labels(30, 3))
    frame.to_csv(tmp_path / "d.CSV", index=False)
    data = load_dataset(tmp_path / "d.CSV")
    assert_sound(data)
    assert data.image_shape == (5, 5)
    assert data.y_train.dtype == np.int64
    assert "pixels scaled" in data.source
    values = np.rint((np.concatenate([data.X_train, data.X_test]) * 0.5 + 0.5) * 255)
    assert sorted(map(tuple, values.tolist())) == sorted(map(tuple, frame.to_numpy()[:, :25].tolist()))


def test_csv_booleans_and_row_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20), "b": labels(20, 3) == 1, "y": labels(20) == 1})
    frame.to_csv(tmp_path / "d.csv")
    data = load_dataset(tmp_path / "d.csv")
    assert_sound(data)
    assert data.X_train.shape == (16, 2)
    assert data.class_names == ["False", "True"]
    assert "row numbers" in data.source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["comma-separated"]),
        ("a,label\n", ["no samples"]),
        ("a;label\n1;2\n", ["single column", "commas"]),
        ("5,0.5,1\n4,0.5,0\n", ["no header line"]),
        ("a,label\nann,1,x\nbob,2,y\n", ["more cells"]),
        ("a,b,label\n1,one,x\n2,2,y\n", ["column 'b'", "not numeric", "'one'"]),
        ("a,label\n1,x\n2,\n3,y\n", ["label column 'label'", "1 empty or NA", "sample 2"]),
        ("a,label\n,x\n2,y\n", ["column 'a'", "1 empty or NA", "sample 1"]),
        ("a,label\n1,x\ninf,y\n3,x\n4,y\n", ["infinite"]),
        ("a,label\n1,x\n2,x\n", ["no class but 'x'"]),
        ("a,label\n1,0.5\n2,0.7\n", ["fractions"]),
        ('a,label\n"1,x\n', ["comma-separated"]),
    ],
)
def test_bad_csv_files_are_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    fails(csv(tmp_path / "bad.csv", text), "bad.csv", *words)


def test_csv_files_that_are_no_text_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"a,label\n\xff\xfe,\x00\n")
    fails(path, "bad.csv")
    csv(path, "a,label\n1,x\n")
    monkeypatch.setattr(datasets, "MAX_CSV_BYTES", 5)
    fails(path, "too large")


@settings(max_examples=100, deadline=None)
@given(header=st.sampled_from(["", "a,label\n", "a,b,y\n"]), body=st.text('ab,\n"1.-e \t\r', max_size=60))
def test_any_text_as_csv_raises_nothing_but_dataset_errors(
    header: str, body: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = csv(tmp_path_factory.getbasetemp() / "any.csv", header + body)
    with contextlib.suppress(DatasetError):
        assert_sound(load_dataset(path))
