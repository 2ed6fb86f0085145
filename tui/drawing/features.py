"""Columns of tabular data as text. A pure function, as in `prunelab.tui.drawing.plotting`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from ..text import Segment, clean, fitted, paint_line, shorten, width_of

COLUMN = 10
_FIGURES = ("mean", "least", "largest")


def draw_features(
    names: Sequence[str],
    figures: Sequence[Sequence[float]],
    samples: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    width: int,
    colour: bool = True,
    ascii_only: bool = False,
) -> str:
    """Draw a line for every feature: its name, three figures, and its values for as many samples as fit.

    Parameters
    ----------
    names : sequence of str
        The names of the features.
    figures : sequence of (mean, least, largest)
        For each feature.
    samples : sequence of sequence of float
        For each feature, its values in the first samples.
    labels : sequence of str
        The classes of these samples.
    width : int
        The width of the result in columns.
    colour, ascii_only
        See `prunelab.tui.drawing.plotting`.

    Returns
    -------
    str
        A line of headings, and a line of `width` columns for each feature.
    """
    longest = max((cell_len(clean(name, ascii_only)) for name in names), default=0)
    room = min(max(longest, len("feature")), max(width - len(_FIGURES) * COLUMN, 8))
    n_samples = max(0, min(len(labels), (width - room - len(_FIGURES) * COLUMN - 2) // COLUMN))
    labels = [shorten(clean(label, ascii_only), COLUMN - 1, ascii_only) for label in labels[:n_samples]]

    def line(name: str, cells: Sequence[str], values: Sequence[str], code: str) -> str:
        text = fitted(name, room, ascii_only) + "".join(_to_the_right(cell) for cell in cells)
        rest = "  " + "".join(_to_the_right(value) for value in values) if values else ""
        return _cut([(text, code), (rest, code or "2")], width, colour)

    lines = [line("feature", _FIGURES, labels, "1")]
    for name, three, values in zip(names, figures, samples, strict=True):
        cells = [number(value) for value in three]
        lines.append(line(clean(name, ascii_only), cells, [number(value) for value in values[:n_samples]], ""))
    return "\n".join(lines)


def number(value: float) -> str:
    """Format a value in at most nine characters, ten for extremely large or small ones."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.2e}" if not 1e-3 <= abs(value) < 1e6 else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _to_the_right(text: str) -> str:
    return " " * (COLUMN - cell_len(text)) + text


def _cut(segments: list[Segment], width: int, colour: bool) -> str:
    if width_of(segments) > width:  # too narrow for the figures: the name, and as much of them as fits
        segments = [(fitted("".join(text for text, _ in segments), width, ascii_only=True), segments[0][1])]
    return paint_line(segments, width, colour)
