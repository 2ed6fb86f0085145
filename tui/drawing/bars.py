"""Labelled horizontal bars as text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

from ...estimators.curves import style_of
from ..text import clean, fitted, foreground, paint_line, shorten
from .plotting import GREY


def draw_bars(
    rows: Iterable[tuple[str, float, str]],
    *,
    width: int,
    colour: bool = True,
    ascii_only: bool = False,
) -> str:
    """Draw labelled horizontal bars, for example the remaining fraction of each layer.

    Parameters
    ----------
    rows : iterable of (label, fraction, text)
        The text before the bar, the filled fraction of the bar (0 to 1), and the text after it.
    width : int
        The width of the result in columns.
    colour : bool, default=True
        Whether to use ANSI escape codes.
    ascii_only : bool, default=False
        Whether to use only ASCII characters.

    Returns
    -------
    str
        One line of `width` columns for each row. Labels and texts are cut if the bars would become too short.
    """
    cleaned = [(clean(label, ascii_only), part, clean(text, ascii_only)) for label, part, text in rows]
    label_width = min(max((cell_len(label) for label, _, _ in cleaned), default=0), width // 3)
    text_width = min(max((cell_len(text) for _, _, text in cleaned), default=0), width // 3)
    bar_width = width - label_width - text_width - 2
    if bar_width < 3:
        return "\n".join(fitted(f"{a} {c}", width, ascii_only) for a, _, c in cleaned)
    lines = []
    for label, part, text in cleaned:
        label, text = shorten(label, label_width, ascii_only), shorten(text, text_width, ascii_only)
        filled, rest = _bar(part, bar_width, ascii_only)
        segments = [
            (set_cell_size(label, label_width) + " ", ""),
            (filled, foreground(style_of(0).colour)),
            (rest, foreground(GREY)),
            (" " * (1 + text_width - cell_len(text)) + text, ""),
        ]
        lines.append(paint_line(segments, width, colour))
    return "\n".join(lines)


def _bar(fraction: float, width: int, ascii_only: bool) -> tuple[str, str]:
    """Draw the filled and the empty part of a bar.

    Only a fraction of 0 looks empty, and only a fraction of 1 looks full.
    """
    steps = 1 if ascii_only else 2
    total = width * steps
    fraction = min(max(fraction, 0.0), 1.0) if math.isfinite(fraction) else 0.0
    units = min(max(round(fraction * total), int(fraction > 0)), total - int(fraction < 1))
    whole, half = divmod(units, steps)
    filled = ("#" if ascii_only else "━") * whole + "╸" * half
    return filled, ("." if ascii_only else "─") * (width - len(filled))
