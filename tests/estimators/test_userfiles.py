"""The user's own files: what is right arrives split and scaled, and what is wrong is one sentence that helps."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from prunelab.estimators.data import arrays, source
from prunelab.estimators.data.datasets import DatasetError, load_dataset

from .loading import assert_sound, fails

QUICK = settings(max_examples=40, deadline=None)


# -- npz: the good -------------------------------------------------------------------------------------------


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
        (np.ones((10, 3, 2)), None, False),  # sequences
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
def test_labels_are_whole_numbers_or_strings(tmp_path: Path, y: np.ndarray, class_names: list[str], kind: str) -> None:
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
    if y.dtype.kind == "U":
        y = np.strings.strip(y)
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
        values = (loaded.X_test * 0.5 + 0.5) * loaded.preprocessing.largest
        np.testing.assert_allclose(values, X.reshape(n, -1), atol=1e-4)


# -- npz: the bad --------------------------------------------------------------------------------------------

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
        ({"X_test": GOOD_X * 1e300}, ["not on one scale"]),
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
    monkeypatch.setattr(arrays, "MAX_NPZ_BYTES", 100 * 1000 * 8)
    assert path.stat().st_size < 10_000
    fails(path, "unpacks to more", "limit")
    monkeypatch.setitem(source.MAX_FILE_BYTES, ".npz", 100)
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
    fails(tmp_path / "none.npz", "there is no file", "none.npz")
    fails(str(tmp_path / "none.csv"), "there is no file")
    (tmp_path / "folder.npz").mkdir()
    fails(tmp_path / "folder.npz", "is a folder")
    (tmp_path / "d.txt").write_text("1,2")
    fails(tmp_path / "d.txt", "neither a .npz nor a .csv")
    (tmp_path / "d.npz").write_text("1,2")
    fails(tmp_path / "d.npz", "not a sound .npz")
    np.save(tmp_path / "one.npy", GOOD_X)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    fails(tmp_path / "one.npz", "numpy.savez")


# -- csv -----------------------------------------------------------------------------------------------------


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
        ("", ["is empty"]),
        ("a,label\n", ["no samples"]),
        ("a b\n1 2\n", ["single column", "delimiter"]),
        ("5,0.5,1\n4,0.5,0\n", ["no column that must be the labels", "(label)"]),
        ("a,label\nann,1,x\nbob,2,y\n", ["without a name", "index=True"]),
        ("a,label\n1,2,3,x\n4,5,6,y\n", ["more cells in a line"]),
        ("a,b,label\n1,one,x\n2,2,y\n", ["column 'b'", "not numeric", "'one'"]),
        ("a,label\n1,x\n2,\n3,y\n", ["label column 'label'", "1 empty or NA", "sample 2"]),
        ("a,label\n,x\n2,y\n", ["column 'a'", "1 empty or NA", "sample 1"]),
        ("a,label\n1,x\ninf,y\n3,x\n4,y\n", ["infinite"]),
        ("a,label\n1,x\n2,x\n", ["no class but 'x'"]),
        ("a,label\n1,0.5\n2,0.7\n", ["fractions"]),
        ('a,label\n"1,x\n', ["quotation mark"]),
    ],
)
def test_bad_csv_files_are_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    fails(csv(tmp_path / "bad.csv", text), "bad.csv", *words)


def test_csv_files_that_are_no_text_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b"a,label\n\xff\xfe,\x00\n")
    fails(path, "bad.csv")
    csv(path, "a,label\n1,x\n")
    monkeypatch.setitem(source.MAX_FILE_BYTES, ".csv", 5)
    fails(path, "larger than the limit")


@settings(max_examples=100, deadline=None)
@given(header=st.sampled_from(["", "a,label\n", "a,b,y\n"]), body=st.text('ab,\n"1.-e \t\r', max_size=60))
def test_any_text_as_csv_raises_nothing_but_dataset_errors(
    header: str, body: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = csv(tmp_path_factory.getbasetemp() / "any.csv", header + body)
    with contextlib.suppress(DatasetError):
        assert_sound(load_dataset(path))


def test_standardised_values_can_be_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["length,always,label", *(f"{i * i},7,{i % 2}" for i in range(20))]))
    data = load_dataset(path)
    assert data.feature_names == ["length", "always"]
    values = np.vstack([data.X_train, data.X_test]) * data.feature_scale + data.feature_mean
    assert sorted(np.rint(values[:, 0]).tolist()) == [i * i for i in range(20)]
    assert np.allclose(values[:, 1], 7)
