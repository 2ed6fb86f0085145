"""Terminals with less: no colours, or nothing but ASCII.

The screens draw themselves plainly where they are told to; these filters see to everything else, what Textual's own
widgets draw included.
"""

# ruff: noqa: RUF001 (characters that look like others are what this is about)

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

#: A background that differs so much from the screen's, of 255, stands for something: it becomes reverse video.
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
    """The same text, as wide, in ASCII characters that look like it."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else _ASCII.get(char) or "?" * cell_len(char) for char in text)


class AsciiFilter(LineFilter):
    """Leaves nothing but ASCII characters."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Translate some segments."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]


class ControlFilter(LineFilter):
    """Leaves no control characters: whatever a widget draws of a file's content, the terminal obeys none of it."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Take the control characters from some segments; they have no width."""
        return [
            Segment(text if text.isprintable() else _without_controls(text), style, control)
            for text, style, control in segments
        ]


def _without_controls(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))


class ColourlessFilter(LineFilter):
    """Leaves no colours: what stands out by its background is shown in reverse video.

    Parameters
    ----------
    brightness_of_screen : callable
        Returns the brightness of the screen's own background, 0 to 255.
    """

    def __init__(self, brightness_of_screen: Callable[[], int]):
        super().__init__()
        self._brightness_of_screen = brightness_of_screen

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Take the colours from some segments."""
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
    """How bright a colour is, 0 to 255."""
    return colour.monochrome.r
