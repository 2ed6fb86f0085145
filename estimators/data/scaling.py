"""What every source of data shares: the error, the split, and the scaling of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..messages import as_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Bunch


#: How pixels are scaled, and in words; the original experiment's first.
PIXELS = {"signed": "[-1, 1]", "unit": "[0, 1]", "standard": "mean 0 and standard deviation 1"}


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


def rescale_pixels(bunch: Bunch, pixels: str) -> Bunch:
    """Bring pixels from [-1, 1] to another of the `PIXELS`, in place; other features stay as they are."""
    if pixels not in PIXELS:
        raise DatasetError(f"pixels must be one of {', '.join(map(repr, PIXELS))}, got {as_text(pixels)}")
    if pixels == "signed" or bunch.get("feature_mean") is not None:
        return bunch
    low, size = (-1.0, 2.0) if pixels == "unit" else (float(bunch.X_train.mean()), float(bunch.X_train.std()))
    for X in (bunch.X_train, bunch.X_test):
        X -= np.float32(low)
        X /= np.float32(size or 1.0)
    signed = PIXELS["signed"]
    if signed in bunch.source:
        bunch.source = bunch.source.replace(signed, PIXELS[pixels])
    else:
        bunch.source += f"; pixels scaled to {PIXELS[pixels]}"
    return bunch


def one_line(error: BaseException) -> str:
    """Return an error's message on one line and without a full stop, or its type if it has none."""
    line = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else "?" for c in line) or type(error).__name__
