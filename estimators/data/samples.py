"""The samples of a file of the user's own: checking, splitting and scaling them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..sequences import sequence_lengths, steps_of
from .errors import DatasetError
from .scaling import MIN_PIXELS, choose_scaling, stratified_split
from .source import PIXELS

if TYPE_CHECKING:
    from sklearn.utils import Bunch

    from .notes import Notes
    from .source import DataSource

TEST_FRACTION = 0.2
"""The part of a user's data that is set aside for testing when neither the file nor the user names a test part."""

LEAST_IMAGE_SIDE = 8
"""Sequences of at least so many features and steps are shown as images, and others as lines."""

Array = NDArray[Any]


class Part(NamedTuple):
    """X and y as they are in a file, and what to call them in messages."""

    X: Array
    y: Array
    X_name: str
    y_name: str
    path: Path


def prepare(
    parts: list[Part], source: DataSource, notes: Notes, content: str, feature_names: list[str] | None = None
) -> Bunch:
    """Check, split and scale the data of a file: one part, or the training and the test data."""
    from sklearn.utils import Bunch

    from .preprocessing import Preprocessing

    path = parts[0].path
    pairs = [_check_part(part, notes) for part in parts]
    classes = np.unique(pairs[0][1])
    if len(classes) < 2:
        raise DatasetError(f"{path} has no class but {str(classes[0])!r}: a classifier needs two of them")
    if len(pairs) == 1:
        pairs = _split(*pairs[0], source, notes, path)
    (X_train, y_train), (X_test, y_test) = pairs
    _check_parts_agree(X_train, y_train, X_test, y_test, path)

    sample_shape = X_train.shape[1:]
    rows = X_train.reshape(len(X_train), -1), X_test.reshape(len(X_test), -1)
    is_padded = any(np.isnan(X).any() for X in rows)
    if is_padded:
        notes.add("NaN at the end of sequences kept", "NaN at the end of a sample marks the end of a shorter sequence")
    given = (steps_of(X_train), steps_of(X_test)) if is_padded else rows
    scaling, largest = choose_scaling(*given, sample_shape, source.pixels, path, may_be_pixels=not is_padded)
    preprocessing = Preprocessing(scaling, largest).fit(X_train)
    if feature_names is not None:
        preprocessing.feature_names_in_ = np.array(feature_names, dtype=object)
    preprocessing.class_names_ = [str(label) for label in classes]
    scaled = [preprocessing.scale(X) for X in rows]
    if not all(np.array_equal(np.isfinite(new), np.isfinite(old)) for new, old in zip(scaled, rows, strict=True)):
        raise DatasetError(f"{path} has numbers too large or too close together to standardise: rescale them")
    is_table = scaling == "features"
    is_sequence = is_table and len(sample_shape) == 2
    done = "features standardised on the training part"
    if not is_table:
        done = f"pixels scaled from 0..{largest:g} to {PIXELS[scaling]}"
    notes.add(done, "" if source.pixels != "auto" else _why(is_table, largest))
    return Bunch(
        X_train=scaled[0],
        y_train=y_train,
        X_test=scaled[1],
        y_test=y_test,
        image_shape=_image_shape(sample_shape, not is_table, is_sequence),
        sequence_shape=sample_shape if is_sequence else None,
        feature_names=feature_names,
        feature_mean=preprocessing.mean_ if is_table else None,
        feature_scale=preprocessing.scale_ if is_table else None,
        class_names=preprocessing.class_names_,
        name=path.name,
        source=f"the file {path}, {', '.join(notes.done)}",
        assumptions=list(notes.assumptions),
        content=content,
        preprocessing=preprocessing,
    )


def _why(is_table: bool, largest: float) -> str:
    if is_table:
        return "pixels='auto': the values are features, each is standardised"
    return f"pixels='auto': the values are pixels from 0 to {largest:g}, scaled to {PIXELS['auto']}"


def _check_part(part: Part, notes: Notes) -> tuple[Array, Array]:
    """Refuse what is empty, not numeric or not finite; return X and clean labels, equally many."""
    X, path = part.X, part.path
    what = f"{part.X_name} in {path}"
    if X.dtype.kind not in "biuf":
        raise DatasetError(f"{what} holds {X.dtype} values: the features must be numbers")
    if X.ndim < 2:
        raise DatasetError(f"{what} has {X.ndim} dimension(s): it needs a row a sample and a column a feature")
    if X.size == 0:
        raise DatasetError(f"{what} is empty (shape {X.shape}): there must be samples and features")
    n_bad = X.size - np.count_nonzero(np.isfinite(X))
    if n_bad and X.ndim == 3:
        try:
            sequence_lengths(X, what)
        except ValueError as error:
            raise DatasetError(str(error)) from None
    elif n_bad:
        raise DatasetError(f"{what} has {n_bad} missing (NaN) or infinite values: fill them in or drop them")
    y = _clean_labels(part.y, f"{part.y_name} in {path}", notes)
    if len(X) != len(y):
        counts = f"{len(X)} samples in {part.X_name} but {len(y)} labels in {part.y_name}"
        raise DatasetError(f"{path} has {counts}: there must be one label a sample")
    return X, y


def _clean_labels(y: Array, what: str, notes: Notes) -> Array:
    """Return labels of shape (n_samples,) as int64 or strings."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DatasetError(f"{what} has the shape {y.shape}: give one label a sample, not one-hot rows")
    if len(y) == 0:
        raise DatasetError(f"{what} is empty: there must be at least one sample of each class")
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DatasetError(f"{what} holds bytes that are not UTF-8 text: save the labels as str") from None
    if y.dtype.kind == "b":
        return y.astype(np.str_)
    if y.dtype.kind == "U":
        return strip_labels(y, notes)
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


def strip_labels(y: Array, notes: Notes) -> Array:
    """Remove spaces around class names: they would make one class two."""
    stripped = np.strings.strip(y)
    if not np.array_equal(stripped, y):
        n_names, n_left = len(np.unique(y)), len(np.unique(stripped))
        merged = f", which makes {n_names} names {n_left}" if n_left < n_names else ""
        notes.add("spaces around class names removed", f"spaces around class names are removed{merged}")
    return stripped


def _split(X: Array, y: Array, source: DataSource, notes: Notes, path: Path) -> list[tuple[Array, Array]]:
    """Split one part into training and test data, always in the same way."""
    test = source.options.test
    fraction = TEST_FRACTION if test is None else float(test)
    classes, counts = np.unique(y, return_counts=True)
    n_test = math.ceil(fraction * len(y))
    rarest = np.argmin(counts)
    if counts[rarest] < 2:
        raise DatasetError(
            f"{path} has the class {str(classes[rarest])!r} only once: splitting off test data needs two samples of "
            "every class, so add some, leave it out, or check which labels were meant (label)"
        )
    for n, part in ((n_test, "test"), (len(y) - n_test, "training")):
        if n < len(classes):
            raise DatasetError(
                f"{path} has too few samples ({len(y)}) for its {len(classes)} classes: the {part} part would be "
                f"{n} of them and must have one for every class"
            )
    words = f"split {1 - fraction:.3g} to {fraction:.3g}"
    if all((100 * part).is_integer() for part in (round(fraction, 6), round(1 - fraction, 6))):
        words = f"split {1 - fraction:.0%} to {fraction:.0%}"
    assumed = f"test={fraction:g}: the file has no test part, so that fraction is set aside (stratified)"
    notes.add(f"{words} (stratified, seed 0)", assumed if test is None else "")
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


def _image_shape(sample_shape: tuple[int, ...], pixels: bool, is_sequence: bool) -> tuple[int, ...] | None:
    """Return the shape of one image: as it was saved, else a square if the pixels fill one, else None."""
    if is_sequence and min(sample_shape) < LEAST_IMAGE_SIDE:
        return None
    if len(sample_shape) > 1:
        return sample_shape
    n_features = math.prod(sample_shape)
    side = math.isqrt(n_features)
    return (side, side) if pixels and side * side == n_features >= MIN_PIXELS else None
