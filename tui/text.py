"""Pieces of text with a colour and a width in columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, chop_cells, set_cell_size

from .cleaning import clean as clean  # for modules that also measure and cut text

Segment = tuple[str, str]
"""A piece of a line: the text, and the parameters of its escape code ("" for none)."""


def foreground(colour_number: int) -> str:
    """Return the parameters of the escape code for an entry of the 256-colour palette."""
    return f"38;5;{colour_number}"


def shorten(text: str, width: int, ascii_only: bool) -> str:
    """Cut text to a width in columns, with an ellipsis if something was cut."""
    if cell_len(text) <= width:
        return text
    ellipsis = ".." if ascii_only else "…"
    room = width - len(ellipsis)
    return set_cell_size(text, room).rstrip() + ellipsis if room > 0 else set_cell_size(text, max(width, 0))


def fitted(text: str, width: int, ascii_only: bool) -> str:
    """Cut or pad text to a width in columns."""
    return set_cell_size(shorten(text, width, ascii_only), max(width, 0))


def padded(text: str, width: int, *, is_right: bool = False) -> str:
    """Pad text to a width in columns, on its right side, or on its left."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if is_right else text + blanks


def wrapped(text: str, width: int) -> list[str]:
    """Break text into lines of at most a width in columns, between words; longer words are broken as well."""
    lines = [""]
    for word in text.split():
        room = width - cell_len(lines[-1]) - bool(lines[-1])
        if cell_len(word) <= room:
            lines[-1] += f" {word}" if lines[-1] else word
            continue
        *whole, rest = chop_cells(word, max(width, 2))
        lines += [*whole, rest]
    return lines if lines[0] or len(lines) == 1 else lines[1:]


def centred(text: str, width: int, ascii_only: bool) -> str:
    """Centre text in a width in columns."""
    text = shorten(text, width, ascii_only)
    return set_cell_size(" " * ((width - cell_len(text)) // 2) + text, width)


def width_of(segments: Iterable[Segment]) -> int:
    """Return the width of segments in columns."""
    return sum(cell_len(text) for text, _ in segments)


def paint(segments: Iterable[Segment], colour: bool) -> str:
    """Join segments, with their escape codes if there may be colours."""
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if colour and code else text for text, code in segments)


def paint_line(segments: list[Segment], width: int, colour: bool) -> str:
    """Join segments into a line of exactly `width` columns."""
    return paint(segments, colour) + " " * (width - width_of(segments))


def duration(seconds: float) -> str:
    """Format seconds: 42 s, 3:05, 2:10:00."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
