"""A picture of very many small pieces in colour, such as a gallery of images."""

from __future__ import annotations

import re
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.strip import Strip

from .picture import Picture

_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


class Mosaic(Picture):
    """A `Picture` that hands its lines to the terminal as they are.

    The usual way, by way of rich's and Textual's texts, takes four times as long for thousands of pieces: so long that
    keys would have to wait.
    """

    _lines: tuple[Size, list[Strip]] | None = None

    def _draw_again(self) -> None:
        self._lines = None
        super()._draw_again()

    def render_line(self, y: int) -> Strip:
        """Draw, if what to draw or the size has changed."""
        size = self.size
        if self._lines is None or self._lines[0] != size:
            self._lines = size, [_strip(line) for line in self._text().split("\n")]
        lines = self._lines[1]
        strip = lines[y] if y < len(lines) else Strip([])
        return strip.adjust_cell_length(size.width).apply_style(self.rich_style)


def _strip(line: str) -> Strip:
    """A line with escape codes for colours, each of which replaces the one before it, as `text.paint` makes it."""
    parts = _ESCAPE.split(line)  # text, code, text, code, text
    pieces = zip(["0", *parts[1::2]], parts[::2], strict=True)
    return Strip([Segment(text, _style(code)) for code, text in pieces if text])


@lru_cache(maxsize=4096)
def _style(code: str) -> Style:
    """The style that an escape code stands for."""
    styles = [span.style for span in Text.from_ansi(f"\x1b[{code}mx").spans]
    return Style.combine([Style(), *(style for style in styles if isinstance(style, Style))])
