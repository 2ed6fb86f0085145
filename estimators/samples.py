"""What every source of data shares: the error, the split, and the scaling of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class DatasetError(ValueError):
    """A data set that cannot be loaded; the message says why and what to do about it."""


def stratified_split(y: NDArray[Any], test_size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of a stratified training and test part, always the same for the same labels."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(np.arange(len(y)), test_size=test_size, stratify=y, random_state=0)
    return np.asarray(parts[0]), np.asarray(parts[1])


def scale_pixels(X: NDArray[Any], largest: int = 255) -> NDArray[np.float32]:
    """Map pixels from 0 to `largest`, shape (n_samples, n_features), to [-1, 1]."""
    X = X.astype(np.float32, order="C")
    X /= np.float32(largest)
    X -= np.float32(0.5)
    X /= np.float32(0.5)
    return X


def one_line(error: BaseException) -> str:
    """Return an error's message on one line and without a full stop, or its type if it has none."""
    line = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else "?" for c in line) or type(error).__name__
