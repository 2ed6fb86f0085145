"""Filters for terminals without colours or with ASCII only.

The screens avoid colours and other characters where requested; these filters handle the rest, including what Textual's
own widgets draw.
"""

# ruff: noqa: RUF001 (the table contains look-alike characters)

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

#: A background whose brightness (0 to 255) differs this much from the screen's becomes reverse video.
CONTRAST = 40

_LOOK_ALIKES = {
    "-": "─━═╌╍┄┅┈┉╴╶╸╺▔▀–—−⎯",
    "|": "│┃║╎╏┆┇┊┋╵╷╹╻▌▐▊▎▍▏▕▋▉",
    "_": "▁▂▃▄▅▆▇",
    "#": "█▓▒░■◆",
    "<": "←‹◀◂«",
    ">": "→›▶▸►»",
    "^": "↑▲△▴",
    "v": "↓▼▽▾",
    "*": "●•★✓✔",
    "o": "○□◇◯",
    ".": "…·",
    "x": "×✗✘",
    "'": "‘’",
    '"': "“”",
    " ": "\N{NO-BREAK SPACE}",
}
_BOX_DRAWING = {chr(code): "+" for code in range(0x2500, 0x2580)}
_ASCII = _BOX_DRAWING | {other: char for char, others in _LOOK_ALIKES.items() for other in others}


def to_ascii(text: str) -> str:
    """Return text of the same width in similar ASCII characters."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _ASCII.get(char) or "?" * cell_len(char) for char in text)


class AsciiFilter(LineFilter):
    """Replaces all characters outside ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Translate some segments."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


class ControlFilter(LineFilter):
    """Removes control characters: the terminal must not execute the content of a file that a widget shows."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Remove the control characters from some segments; they have no width."""
        return [
            Segment(text if text.isprintable() else _without_controls(text), style, control)
            for text, style, control in segments
        ]


def _without_controls(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))


class ColourlessFilter(LineFilter):
    """Removes colours: text that a background highlights is shown in reverse video.

    Parameters
    ----------
    brightness_of_screen : callable
        Returns the brightness of the screen's background, 0 to 255.
    """

    def __init__(self, brightness_of_screen: Callable[[], int]):
        super().__init__()
        self._brightness_of_screen = brightness_of_screen

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Remove the colours from some segments."""
        screen = self._brightness_of_screen()
        return [
            Segment(text, None if style is None else _colourless(style, screen), control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _colourless(style: Style, screen: int) -> Style:
    stands_out = False
    if style.bgcolor is not None and not style.bgcolor.is_default:
        stands_out = abs(brightness(Color.from_rich_color(style.bgcolor)) - screen) > CONTRAST
    return style.without_color + Style(reverse=True) if stands_out else style.without_color


def brightness(colour: Color) -> int:
    """The brightness of a colour, 0 to 255."""
    return colour.monochrome.r
