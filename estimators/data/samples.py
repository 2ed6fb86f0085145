"""The samples of a file of the user's own: checking, splitting and scaling them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .scaling import DatasetError, scale_pixels, stratified_split

if TYPE_CHECKING:
    from sklearn.utils import Bunch

TEST_FRACTION = 0.2
"""The part of a user's data that is set aside for testing when the file itself has no test part."""

MIN_PIXELS = 16
"""Columns of whole numbers from 0 to 255 are taken for the pixels of an image from this many on."""

Array = NDArray[Any]
Part = tuple[str, Array, str, Array]
"""X and y as they are in the file, each after what to call it in messages."""


def prepare(parts: list[Part], notes: list[str], feature_names: list[str] | None, path: Path) -> Bunch:
    """Check, split and scale the data of a file: one part, or the training and the test data."""
    from sklearn.utils import Bunch

    pairs = [_check_part(*part, path) for part in parts]
    classes = np.unique(pairs[0][1])
    if len(classes) < 2:
        raise DatasetError(f"{path} has no class but {str(classes[0])!r}: a classifier needs two of them")
    if len(pairs) == 1:
        pairs = _split(*pairs[0], path)
        notes = [*notes, f"split {1 - TEST_FRACTION:.0%} to {TEST_FRACTION:.0%} (stratified, seed 0)"]
    (X_train, y_train), (X_test, y_test) = pairs
    _check_parts_agree(X_train, y_train, X_test, y_test, path)

    sample_shape = X_train.shape[1:]
    X_train, X_test = X_train.reshape(len(X_train), -1), X_test.reshape(len(X_test), -1)
    pixels = _are_pixels(X_train, X_test)
    mean = scale = None
    if pixels:
        X_train, X_test = scale_pixels(X_train), scale_pixels(X_test)
    else:
        X_train, X_test, mean, scale = _standardise(X_train, X_test, path)
    scaling = "pixels scaled from 0..255 to [-1, 1]" if pixels else "features standardised on the training part"
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        image_shape=_image_shape(sample_shape, pixels),
        feature_names=feature_names,
        feature_mean=mean,
        feature_scale=scale,
        class_names=[str(label) for label in classes],
        name=path.name,
        source=f"the file {path}, {', '.join([*notes, scaling])}",
    )


def _check_part(X_name: str, X: Array, y_name: str, y: Array, path: Path) -> tuple[Array, Array]:
    """Refuse what is empty, not numeric or not finite; return X and clean labels, equally many."""
    what = f"{X_name} in {path}"
    if X.dtype.kind not in "biuf":
        raise DatasetError(f"{what} holds {X.dtype} values: the features must be numbers")
    if X.ndim < 2:
        raise DatasetError(f"{what} has {X.ndim} dimension(s): it needs a row a sample and a column a feature")
    if X.size == 0:
        raise DatasetError(f"{what} is empty (shape {X.shape}): there must be samples and features")
    n_bad = X.size - np.count_nonzero(np.isfinite(X))
    if n_bad:
        raise DatasetError(f"{what} has {n_bad} missing (NaN) or infinite values: fill them in or drop them")
    y = _clean_labels(y, f"{y_name} in {path}")
    if len(X) != len(y):
        counts = f"{len(X)} samples in {X_name} but {len(y)} labels in {y_name}"
        raise DatasetError(f"{path} has {counts}: there must be one label a sample")
    return X, y


def _clean_labels(y: Array, what: str) -> Array:
    """Return labels of shape (n_samples,) as int64 or strings."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DatasetError(f"{what} has the shape {y.shape}: give one label a sample, not one-hot rows")
    if len(y) == 0:
        raise DatasetError(f"{what} is empty: there must be at least one sample of each class")
    if y.dtype.kind in "bU":
        return y.astype(np.str_)
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DatasetError(f"{what} holds bytes that are not UTF-8 text: save the labels as str") from None
    if y.dtype.kind not in "iuf":
        raise DatasetError(f"{what} holds {y.dtype} values: the labels must be whole numbers or strings")
    n_bad = len(y) - np.count_nonzero(np.isfinite(y))
    if n_bad:
        raise DatasetError(f"{what} has {n_bad} missing or infinite labels: leave these samples out")
    with np.errstate(invalid="ignore"):
        whole = y.astype(np.int64)
    rounded = y.dtype.kind == "f" and np.abs(whole).max() >= 2**53
    if rounded or not np.array_equal(whole, y):
        raise DatasetError(f"{what} holds fractions or huge numbers: labels are classes, not measurements")
    return whole


def _split(X: Array, y: Array, path: Path) -> list[tuple[Array, Array]]:
    """Split one part into training and test data, always in the same way."""
    classes, counts = np.unique(y, return_counts=True)
    n_test = math.ceil(TEST_FRACTION * len(y))
    rarest = np.argmin(counts)
    if counts[rarest] < 2:
        raise DatasetError(
            f"{path} has the class {str(classes[rarest])!r} only once: splitting off test data needs two samples of "
            "every class, so add some, leave it out, or check which labels were meant"
        )
    if n_test < len(classes):
        raise DatasetError(
            f"{path} has too few samples ({len(y)}) for its {len(classes)} classes: the test part would be "
            f"{n_test} of them and must have one for every class"
        )
    return [(X[part], y[part]) for part in stratified_split(y, n_test)]


def _check_parts_agree(X_train: Array, y_train: Array, X_test: Array, y_test: Array, path: Path) -> None:
    """Refuse training and test data that do not belong together."""
    if X_train.shape[1:] != X_test.shape[1:]:
        raise DatasetError(
            f"{path} has training samples of shape {X_train.shape[1:]} and test samples of shape "
            f"{X_test.shape[1:]}: they must be alike"
        )
    if (X_train.dtype == np.uint8) != (X_test.dtype == np.uint8):
        types = f"{X_train.dtype} training and {X_test.dtype} test samples"
        raise DatasetError(f"{path} has {types}: save both as one type")
    if y_train.dtype.kind != y_test.dtype.kind:
        raise DatasetError(f"{path} mixes strings and numbers as labels: use one kind for both parts")
    unknown = np.setdiff1d(y_test, y_train)
    if len(unknown):
        raise DatasetError(f"{path} has the test label {str(unknown[0])!r}, which never occurs in training")


def _are_pixels(*arrays: Array) -> bool:
    """Tell pixels from other numbers; each array has shape (n_samples, n_features).

    Pixels are bytes, or other whole numbers from 0 to 255 in enough columns; not mere zeros and ones.
    """
    if any(X.dtype.kind not in "iu" for X in arrays) or max(X.max() for X in arrays) <= 1:
        return False
    if arrays[0].dtype == np.uint8:
        return True
    return arrays[0].shape[1] >= MIN_PIXELS and all(X.min() >= 0 and X.max() <= 255 for X in arrays)


def _image_shape(sample_shape: tuple[int, ...], pixels: bool) -> tuple[int, ...] | None:
    """Return the shape of one image: as it was saved, else a square if the pixels fill one, else None."""
    if len(sample_shape) > 1:
        return sample_shape
    n_features = math.prod(sample_shape)
    side = math.isqrt(n_features)
    return (side, side) if pixels and side * side == n_features >= MIN_PIXELS else None


def _standardise(X_train: Array, X_test: Array, path: Path) -> list[Array]:
    """Give every feature mean 0 and variance 1 on the training data; constant features become 0.

    Returns the two parts, and the means and the standard deviations that were there.
    """
    with np.errstate(all="ignore"):
        mean = X_train.mean(axis=0, dtype=np.float64)
        scale = X_train.std(axis=0, dtype=np.float64)
        # The standard deviation of a constant feature is not exactly 0, because its mean is rounded.
        constant = X_train.min(axis=0) == X_train.max(axis=0)
        scaled = []
        for X in (X_train, X_test):
            X = (X - mean) / np.where(constant, 1.0, scale)
            X[:, constant] = 0
            scaled.append(X.astype(np.float32, order="C"))
    if not all(np.isfinite(X).all() for X in scaled):
        raise DatasetError(f"{path} has numbers too large or too close together to standardise: rescale them")
    return [*scaled, mean, scale]
