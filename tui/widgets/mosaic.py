"""A picture of very many small coloured pieces, for example a gallery of images."""

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
    """A `Picture` that passes its lines to the terminal unchanged.

    The usual way, through Rich's and Textual's texts, takes four times as long for thousands of pieces: long enough to
    delay the handling of keys.
    """

    _lines: tuple[Size, list[Strip]] | None = None

    def _draw_again(self) -> None:
        self._lines = None
        super()._draw_again()

    def render_line(self, y: int) -> Strip:
        """Draw, if the content or the size has changed."""
        size = self.size
        if self._lines is None or self._lines[0] != size:
            self._lines = size, [_strip(line) for line in self._text().split("\n")]
        lines = self._lines[1]
        strip = lines[y] if y < len(lines) else Strip([])
        return strip.adjust_cell_length(size.width).apply_style(self.rich_style)


def _strip(line: str) -> Strip:
    """Convert a line with escape codes for colours, each replacing the previous one, as `text.paint` writes it."""
    parts = _ESCAPE.split(line)  # text, code, text, code, text
    pieces = zip(["0", *parts[1::2]], parts[::2], strict=True)
    return Strip([Segment(text, _style(code)) for code, text in pieces if text])


@lru_cache(maxsize=4096)
def _style(code: str) -> Style:
    """Convert an escape code to a style."""
    styles = [span.style for span in Text.from_ansi(f"\x1b[{code}mx").spans]
    return Style.combine([Style(), *(style for style in styles if isinstance(style, Style))])
