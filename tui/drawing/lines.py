"""Sequences as images of lines, which `prunelab.tui.drawing.images` draws as any other image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Maximum width of an image; longer sequences show the range of the steps that share a column.
MAX_COLUMNS = 80

#: Height of an image as a fraction of its width, and its limits.
_ASPECT, _LOWEST, _HIGHEST = 0.8, 8, 40

#: Brightness of the first feature's line and of the last one's, if there are several.
_FIRST, _LAST = 1.0, 0.4


def line_images(sequences: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Draw each sequence as one line a feature, bright on dark.

    Parameters
    ----------
    sequences : ndarray of shape (n, steps, features)
        NaN is left out.
    low, high : float
        The values at the bottom and at the top.

    Returns
    -------
    ndarray of float32, shape (n, height, width)
        0 where there is no line, up to 1.
    """
    n, steps, n_features = sequences.shape
    width = min(steps, MAX_COLUMNS)
    height = int(np.clip(round(_ASPECT * width), _LOWEST, _HIGHEST))
    scale = (height - 1) / (high - low) if high > low else 0.0
    rows = np.clip((high - sequences) * scale, 0, height - 1)  # NaN stays
    starts = np.linspace(0, steps, width, endpoint=False).astype(int)
    # A column reaches to the first step of the next one, so that the line has no gaps.
    following = np.concatenate([rows[:, 1:], rows[:, -1:]], axis=1)
    top, bottom = np.fmin(rows, following), np.fmax(rows, following)
    top, bottom = np.fmin.reduceat(top, starts, axis=1), np.fmax.reduceat(bottom, starts, axis=1)
    images = np.zeros((n, height, width), np.float32)
    places = np.arange(height)[:, None]
    for feature, brightness in enumerate(np.linspace(_FIRST, _LAST, n_features)):
        with np.errstate(invalid="ignore"):
            above, below = np.rint(top[:, None, :, feature]), np.rint(bottom[:, None, :, feature])
            is_line = (places >= above) & (places <= below)
        images = np.maximum(images, np.where(is_line, np.float32(brightness), 0))
    return images
