"""What a row of X is, for networks that look at images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .messages import PruningWarning, warn_caller
from .networks.shapes import has_channels_last

if TYPE_CHECKING:
    from collections.abc import Sequence


def image_shape(sample_shape: Sequence[int] | None, seen: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of a sample.

    Parameters
    ----------
    sample_shape : sequence of int, optional
        The parameter of the classifier.
    seen : tuple of int
        The shape of a sample in X.

    Raises
    ------
    ValueError
        If they contradict each other, or channels seem to be last.
    """
    given = None if sample_shape is None else tuple(map(int, sample_shape))
    if len(seen) > 3:
        raise ValueError(f"X must have samples of 1 to 3 dimensions, got samples of shape {seen}")
    if len(seen) > 1:
        if given is not None and _with_channels(given) != _with_channels(seen):
            raise ValueError(f"X has samples of shape {seen}, and sample_shape is {given}: leave it at None")
        if given is None and has_channels_last(seen):
            raise ValueError(
                f"X has samples of shape {seen}, whose channels seem to be last: they must come first, "
                f"np.moveaxis(X, -1, 1); or set sample_shape={seen} if they do"
            )
        return _with_channels(seen)
    n_features = math.prod(seen)
    if given is not None:
        if math.prod(given) != n_features:
            raise ValueError(f"sample_shape={given} has {math.prod(given)} pixels, and X has {n_features} features")
        if has_channels_last(given):
            warn_caller(
                f"sample_shape={given} is taken for {given[0]} channels of {given[1]}x{given[2]} pixels: channels "
                "come first",
                PruningWarning,
            )
        return _with_channels(given)
    side = math.isqrt(n_features)
    if side * side == n_features:
        return 1, side, side
    warn_caller(
        f"{n_features} features are no square image, so each sample is taken for one line of pixels: set "
        "sample_shape to describe a row",
        PruningWarning,
    )
    return 1, 1, n_features


def _with_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels = shape[0] if len(shape) == 3 else 1
    return channels, shape[-2], shape[-1]
