"""Data sets by name: the digits, what is listed, where data are looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prunelab.estimators.data.datasets import (
    DatasetError,
    data_folder,
    data_home,
    dataset_names,
    describe_datasets,
    load_dataset,
    one_per_class,
)


def test_digits_are_split_and_normalised() -> None:
    data = load_dataset()
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        assert X.dtype == np.float32
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert np.isfinite(X).all()
        assert y.shape == (len(X),)
        assert y.dtype == np.int64
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


def test_unknown_names_list_the_known_and_suggest_the_closest() -> None:
    with pytest.raises(DatasetError, match=r"^there is no data set .*[^.]$") as caught:
        load_dataset("fashionmnist")
    for words in ("did you mean 'fashion-mnist'?", ".npz", ".csv", *dataset_names()):
        assert words in str(caught.value)
    with pytest.raises(DatasetError) as caught:
        load_dataset("zzz")
    assert "did you mean" not in str(caught.value)


def test_one_per_class() -> None:
    y = np.array(["b", "a", "b", "c", "a"])
    assert one_per_class(np.zeros((5, 2)), y).tolist() == [1, 0, 3]
    with pytest.raises(ValueError, match="same length"):
        one_per_class(np.zeros((4, 2)), y)


def test_importing_and_describing_is_light() -> None:
    code = (
        "import sys; from prunelab.estimators.data import datasets; datasets.describe_datasets('/nowhere');"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
    assert [row.state for row in rows] == ["ready"] + ["not downloaded"] * 4 + ["ready"]
    assert rows[1].where == str(tmp_path / "MNIST" / "raw")
    assert max(len(row.description) for row in rows) <= 34  # or the list of data sets is too wide


# -- scaling of pixels -----------------------------------------------------------------------------------------


def test_pixels_are_scaled_as_asked():
    signed, unit, standard = (load_dataset("digits", pixels=pixels) for pixels in ("signed", "unit", "standard"))
    assert (signed.X_train.min(), signed.X_train.max()) == (-1, 1)
    assert (unit.X_train.min(), unit.X_train.max()) == (0, 1)
    for part in ("X_train", "X_test"):
        np.testing.assert_allclose(unit[part], (signed[part] + 1) / 2, atol=1e-6)
        assert unit[part].dtype == standard[part].dtype == np.float32
    assert abs(standard.X_train.mean()) < 1e-5
    assert standard.X_train.std() == pytest.approx(1, abs=1e-5)
    scaled = (signed.X_test - signed.X_train.mean()) / signed.X_train.std()
    np.testing.assert_allclose(standard.X_test, scaled, atol=1e-5)
    assert unit.source.endswith("[0, 1]")
    assert "deviation 1" in standard.source
    with pytest.raises(DatasetError, match="pixels must be one of 'auto', 'signed', 'unit', 'standard', got 'bytes'"):
        load_dataset("digits", pixels="bytes")


@pytest.mark.parametrize("pixels", ["signed", "unit", "standard"])
def test_features_are_standardised_and_never_scaled_as_pixels(tmp_path, pixels):
    rng = np.random.default_rng(0)
    X, y = rng.normal(5, 3, (60, 4)), np.arange(60) % 3
    np.savez(tmp_path / "data.npz", X=X, y=y)
    data = load_dataset(tmp_path / "data.npz")
    np.testing.assert_allclose(data.X_train.std(axis=0), 1, atol=1e-5)
    with pytest.raises(DatasetError, match="leave pixels out"):
        load_dataset(tmp_path / "data.npz", pixels=pixels)


@pytest.mark.parametrize("largest", [1, 255])
@pytest.mark.parametrize("shape", [(6, 5), (30,)])
def test_pixels_of_float_images_are_scaled_as_asked(tmp_path, largest, shape):
    X = np.random.default_rng(0).random((60, *shape)) * largest
    X[0] = 0
    X[1] = largest
    np.savez(tmp_path / "data.npz", X=X, y=np.arange(60) % 3)
    for pixels, low, high in (("signed", -1, 1), ("unit", 0, 1)):
        data = load_dataset(tmp_path / "data.npz", pixels=pixels)
        values = np.concatenate([data.X_train, data.X_test])
        assert (values.min(), values.max()) == (low, high)
    data = load_dataset(tmp_path / "data.npz", pixels="standard")
    assert data.X_train.std() == pytest.approx(1, abs=1e-4)
    assert data.X_train.std(axis=0).min() > 0.5  # one scale for all, not one for each
    automatic = load_dataset(tmp_path / "data.npz")
    assert ("pixels scaled" in automatic.source) == (len(shape) > 1)
    assert [line for line in automatic.assumptions if line.startswith("pixels='auto'")]


@pytest.mark.parametrize("kinds", [(np.float64, np.float32), (np.float32, np.float64), (np.int64, np.float64)])
@pytest.mark.parametrize("reverse", [False, True])
def test_parts_on_different_scales_are_refused(tmp_path, kinds, reverse):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    bright = rng.integers(0, 256, (60, 5, 5))
    parts = [bright.astype(kinds[0]), (bright / 255).astype(kinds[1])]
    X_train, X_test = reversed(parts) if reverse else parts
    np.savez(tmp_path / "data.npz", X_train=X_train, y_train=y, X_test=X_test, y_test=y)
    with pytest.raises(DatasetError, match="not on one scale: scale both parts alike"):
        load_dataset(tmp_path / "data.npz")
    np.savez(tmp_path / "data.npz", X_train=X_train * 10 - 3, y_train=y, X_test=X_test * 10 - 3, y_test=y)
    with pytest.raises(DatasetError, match="not on one scale: scale both parts alike"):
        load_dataset(tmp_path / "data.npz")
