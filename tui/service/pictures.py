"""Samples of a data set as images: photographs as they are, sequences as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..drawing.lines import line_images

if TYPE_CHECKING:
    from sklearn.utils import Bunch

#: Standardised values beyond this are shown as black or white.
WIDEST = 3.0

#: Percentage of the values at either end that are drawn at the edges of the images of sequences.
_CUT = 0.5

#: Sequences from whose values the edges are computed.
_SAMPLES = 1000


class Pictures:
    """The samples of a data set as images.

    Parameters
    ----------
    bunch : Bunch
        From `load_dataset`.
    """

    def __init__(self, bunch: Bunch):
        self._image_shape, self._sequence_shape = bunch.image_shape, bunch.get("sequence_shape")
        if self._image_shape is None and self._sequence_shape is not None:
            limits = np.nanpercentile(bunch.X_train[:_SAMPLES], [_CUT, 100 - _CUT])
        else:
            limits = bunch.X_train.min(), bunch.X_train.max()
        self._low, self._high = map(float, limits)
        #: Whether the data are images or sequences.
        self.exist = self.of(bunch.X_test[:1]) is not None

    def of(self, X: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        """Images of bytes, shape (n, height, width); None if the data are neither images nor sequences.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Samples of the data set, scaled as `load_dataset` scales them.
        """
        if self._image_shape is not None:
            images = _grey(X.reshape(-1, *self._image_shape))
            return None if images is None else _to_bytes(images, max(self._low, -WIDEST), min(self._high, WIDEST))
        if self._sequence_shape is None:
            return None
        return _to_bytes(line_images(X.reshape(-1, *self._sequence_shape), self._low, self._high), 0, 1)


def _grey(images: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Images of shape (n, height, width), as the mean of the colour channels if there are any; None for other data."""
    if images.ndim == 4:
        axis = next((axis for axis in (3, 1) if images.shape[axis] in (1, 3, 4)), None)
        images = images if axis is None else images.mean(axis=axis)
    return images if images.ndim == 3 and min(images.shape[1:]) > 1 else None


def _to_bytes(images: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((np.clip(np.nan_to_num(images, nan=low), low, high) - low) * scale).astype(np.uint8)
