"""Grey images as text.

Both functions are pure, as in `prunelab.tui.drawing.plotting`: they print and keep nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..text import centred, clean, fitted, paint

SHADES = " ░▒▓█"
ASCII_SHADES = " .:-=+*#%@"

LEAST_IMAGE_WIDTH = 7  # In columns: smaller images cannot be recognised.

Array = npt.NDArray[np.float64]
Limits = tuple[float, float]


def draw_image(
    pixels: npt.ArrayLike,
    *,
    width: int | None = None,
    colour: bool = True,
    ascii_only: bool = False,
    limits: Limits | None = None,
) -> list[str]:
    """Draw a grey image; high values are bright on a dark terminal.

    In colour, each character shows two pixels, one above the other, in the greys of the 256-colour palette.
    Without colour it shows blocks and shades, and in ASCII a ramp of characters; both draw with the
    foreground, so on a light terminal the image appears as a negative.

    Parameters
    ----------
    pixels : array-like of shape (height, width)
        The image; dimensions of length 1 are ignored.
    width : int, optional
        The width of the result in columns, by default one per pixel. The height follows, for characters that
        are twice as tall as wide.
    colour : bool, default=True
        Whether to use ANSI escape codes; without effect if `ascii_only`.
    ascii_only : bool, default=False
        Whether to use only ASCII characters.
    limits : tuple of (float, float), optional
        The values shown as black and as white, by default the extremes of the image.

    Returns
    -------
    list of str
        The lines, all `width` columns wide.
    """
    image = _grey_image(pixels)
    columns = image.shape[1] if width is None else width
    if columns < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    lines = max(1, round(image.shape[0] * columns / image.shape[1] / 2))
    image = _brightness(_resample(_resample(image, 2 * lines).T, columns).T, limits)
    upper, lower = image[::2], image[1::2]
    if ascii_only:
        return _ramp((upper + lower) / 2, ASCII_SHADES)
    if colour:
        return [_grey_line(above, below) for above, below in zip(upper, lower, strict=True)]
    shaded = np.array([list(line) for line in _ramp((upper + lower) / 2, SHADES)])
    shaded[upper - lower > 0.5] = "▀"
    shaded[lower - upper > 0.5] = "▄"
    return ["".join(line) for line in shaded]


def _grey_image(pixels: npt.ArrayLike) -> Array:
    """Check that pixels are one image; values that are not finite become the darkest one."""
    image = np.asarray(pixels, dtype=np.float64)
    image = image if image.ndim == 2 else np.squeeze(image)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"pixels must be one grey image of shape (height, width), got {np.shape(pixels)}")
    finite = np.isfinite(image)
    return np.where(finite, image, image[finite].min() if finite.any() else 0.0)


def _brightness(image: Array, limits: Limits | None) -> Array:
    """Scale an image to 0 to 1; a constant image becomes 0."""
    low, high = limits if limits is not None else (float(image.min()), float(image.max()))
    if not high > low:
        return np.zeros_like(image)
    return np.clip((image - low) / (high - low), 0, 1)


def _resample(image: Array, n_rows: int) -> Array:
    """Change the number of rows; each new row is the mean of the original rows that it covers."""
    old_edges, new_edges = np.arange(len(image) + 1), np.linspace(0, len(image), n_rows + 1)
    starts = np.maximum(new_edges[:-1, None], old_edges[None, :-1])
    ends = np.minimum(new_edges[1:, None], old_edges[None, 1:])
    overlap = np.maximum(ends - starts, 0)
    return overlap @ image / overlap.sum(axis=1, keepdims=True)


def _ramp(brightness: Array, characters: str) -> list[str]:
    levels = np.rint(brightness * (len(characters) - 1)).astype(int)
    return ["".join(characters[level] for level in row) for row in levels]


def _grey_line(upper: Array, lower: Array) -> str:
    """Draw two rows of pixels as one line of half blocks."""
    greys = np.array([16, *range(232, 256), 231])  # Black, the palette's 24 greys, and white.
    above, below = (greys[np.rint(row * (len(greys) - 1)).astype(int)].tolist() for row in (upper, lower))
    runs = itertools.groupby(zip(above, below, strict=True))
    return paint(((("▀" * len(list(run))), f"38;5;{top};48;5;{bottom}") for (top, bottom), run in runs), True)


def draw_gallery(
    images: Sequence[npt.ArrayLike] | npt.NDArray[Any],
    labels: Sequence[object],
    *,
    width: int,
    image_width: int | None = None,
    colour: bool = True,
    ascii_only: bool = False,
    limits: Limits | None = None,
) -> str:
    """Draw several grey images side by side, each with its caption below, in as many rows as needed.

    Parameters
    ----------
    images : sequence of array-like
        Grey images of one shape, as for `draw_image`.
    labels : sequence
        A caption for each; a long one is cut.
    width : int
        The width of the result in columns.
    image_width : int, optional
        The width of each image; by default one column per pixel, or less to fit more images into a row.
    colour, ascii_only, limits
        See `draw_image`.

    Returns
    -------
    str
        Lines of `width` columns each; a blank line separates the rows of images.
    """
    if len(images) != len(labels):
        raise ValueError(f"there must be a label for each image, got {len(labels)} for {len(images)}")
    if len(images) == 0 or width < 1:
        return fitted("no images", width, ascii_only=True)
    native = _grey_image(images[0]).shape[1]
    tile, gap, per_row = _gallery_layout(len(images), native, width, image_width)
    blocks = []
    for start in range(0, len(images), per_row):
        chosen = range(start, min(start + per_row, len(images)))
        drawn = [draw_image(images[i], width=tile, colour=colour, ascii_only=ascii_only, limits=limits) for i in chosen]
        captions = [centred(clean(labels[i], ascii_only), tile, ascii_only) for i in chosen]
        used = len(chosen) * (tile + gap) - gap
        lines = [*zip(*drawn, strict=True), captions]
        blocks.append("\n".join((" " * gap).join(line) + " " * (width - used) for line in lines))
    return f"\n{' ' * width}\n".join(blocks)


def fit_images(shape: tuple[int, int], count: int, width: int, height: int) -> tuple[int, int]:
    """Choose the width of the images of a gallery, as large as possible.

    Parameters
    ----------
    shape : tuple of (int, int)
        Height and width of an image in pixels.
    count : int
        The number of images that must fit, if they can be made small enough.
    width, height : int
        The size of `draw_gallery`'s result in columns and lines.

    Returns
    -------
    image_width, capacity : int
        The argument for `draw_gallery`, and the number of images that fit, at least one.
    """
    native = shape[1]
    least = min(native, LEAST_IMAGE_WIDTH)
    tile, capacity = least, 1
    for tile in range(max(width, least), least - 1, -1):
        lines = max(1, round(shape[0] * tile / native / 2)) + 2  # the caption, and a blank line
        capacity = (width + 1) // (tile + 1) * ((height + 1) // lines)
        if capacity >= count:
            return tile, capacity
    return tile, max(1, capacity)


def _gallery_layout(count: int, native: int, width: int, image_width: int | None) -> tuple[int, int, int]:
    """Choose the width of an image, the gap between two, and how many share a row.

    The fewest rows are used in which the images keep their width or at least twelve columns of it.
    """
    wanted = min(native if image_width is None else image_width, width)
    least = min(wanted, 12) if image_width is None else wanted
    for per_row in (math.ceil(count / rows) for rows in range(1, count + 1)):
        tile = min(wanted, (width - per_row + 1) // per_row)
        if tile < least and wanted * per_row <= width:
            return wanted, 0, per_row
        if tile >= least:
            whole = native // math.ceil(native / tile)  # The same width with a whole number of pixels per column.
            tile = whole if image_width is None and whole > 0.8 * tile else tile
            return tile, min(2, (width - per_row * tile) // max(per_row - 1, 1)), per_row
    return wanted, 0, 1
