"""Which values are pixels and how they are scaled, and the split into training and test data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_PIXELS = 16
"""Columns of whole numbers from 0 to 255 are taken for the pixels of an image from this many on."""

#: Pixels from 0 to 255 reach beyond this, unless their type is uint8.
_BRIGHT = 127

#: Training and test data whose sizes differ by this factor in most features are on different scales.
_SCALE_FACTOR = 50.0

#: So are data whose means differ by this many standard deviations in most features.
_SHIFT = 20.0

#: Fewer values than these have no scale of their own.
_FEW_VALUES = 20


def stratified_split(y: NDArray[Any], test_size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of a stratified training and test part, always the same for the same labels."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(np.arange(len(y)), test_size=test_size, stratify=y, random_state=0)
    return np.asarray(parts[0]), np.asarray(parts[1])


def choose_scaling(
    X_train: NDArray[Any],
    X_test: NDArray[Any],
    sample_shape: tuple[int, ...],
    pixels: str,
    path: Path,
    *,
    may_be_pixels: bool = True,
) -> tuple[str, float]:
    """Return the `scaling` and `largest` of a `Preprocessing`.

    Parameters
    ----------
    X_train, X_test : ndarray of shape (n_samples, n_features)
    sample_shape : tuple of int
        The shape of one sample in the file.
    pixels : str
        What the user asked for. "auto" takes for pixels: bytes; other whole numbers from 0 to 255 in enough columns;
        and fractions from 0 to 1 or 0 to 255 where each sample has at least two dimensions.
    may_be_pixels : bool, default=True
        Whether "auto" may take the values for pixels.

    Raises
    ------
    DatasetError
        If the parts are on different scales, or `pixels` is for pixels and these are none.
    """
    _check_scales(X_train, X_test, path)
    low = min(float(X.min()) for X in (X_train, X_test))
    high = max(float(X.max()) for X in (X_train, X_test))
    kinds = {X.dtype.kind for X in (X_train, X_test)}
    is_bytes = X_train.dtype == np.uint8
    largest = 0.0
    if low >= 0 and high <= 1:
        largest = 1.0
    elif low >= 0 and high <= 255 and (is_bytes or high > _BRIGHT):
        largest = 255.0
    if pixels != "auto":
        if not largest:
            raise DatasetError(
                f"pixels={pixels!r} is for values from 0 to 255 or from 0 to 1, but {path} has values from {low:g} to "
                f"{high:g}: leave pixels out"
            )
        return pixels, largest
    if kinds <= {"i", "u"}:
        are_pixels = largest == 255 and (is_bytes or X_train.shape[1] >= MIN_PIXELS)
    else:
        is_image = len(sample_shape) > 1 and math.prod(sample_shape) >= MIN_PIXELS
        are_pixels = bool(largest) and kinds == {"f"} and is_image
    return ("signed", largest) if are_pixels and may_be_pixels else ("features", 255.0)


def _check_scales(X_train: NDArray[Any], X_test: NDArray[Any], path: Path) -> None:
    """Refuse training and test data that were scaled differently."""
    if X_test.size < _FEW_VALUES:
        return
    highs = sorted(float(X.max()) for X in (X_train, X_test))
    are_pixels = min(X_train.min(), X_test.min()) >= 0 and highs[0] <= 1 and _BRIGHT < highs[1] <= 255
    with np.errstate(all="ignore"):
        means = [X.mean(axis=0, dtype=np.float64) for X in (X_train, X_test)]
        sizes = [np.abs(X, dtype=np.float64).mean(axis=0) for X in (X_train, X_test)]
        spread = X_train.std(axis=0, dtype=np.float64)
        varied = X_train.min(axis=0) < X_train.max(axis=0)
        shown = (sizes[0] > 0) & (sizes[1] > 0)
        ratio = float(np.median((sizes[1] / sizes[0])[shown])) if shown.any() else 1.0
        shift = float(np.median((np.abs(means[1] - means[0]) / spread)[varied])) if varied.any() else 0.0
    if are_pixels or not (1 / _SCALE_FACTOR <= ratio <= _SCALE_FACTOR) or shift > _SHIFT:
        ranges = [f"{float(X.min()):g} to {float(X.max()):g}" for X in (X_train, X_test)]
        raise DatasetError(
            f"{path} has training values from {ranges[0]} and test values from {ranges[1]}, which are not on one "
            "scale: scale both parts alike"
        )
