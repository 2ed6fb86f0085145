"""A widget for the results of the drawing functions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

from rich.text import Text
from textual.geometry import Region, Size
from textual.widget import Widget

#: A drawing function with parameters `width`, `height`, `colour`, `ascii_only`: ``partial(plot_curves, series)``.
Draw = Callable[..., str]


def as_high_as_it_is(draw: Draw) -> Draw:
    """Adapt a drawing function without a `height`, whose result has as many lines as needed."""
    return lambda *, height, **rest: draw(**rest)  # noqa: ARG005


SECONDS_BETWEEN_DRAWINGS = 0.25


class _Drawing(NamedTuple):
    """The result for a size: its lines with escape codes, and the whole text."""

    size: Size
    lines: list[str]
    text: Text


class Plot(Widget):
    """Shows text drawn for the size of the widget; redraws at most four times a second.

    `show` takes a function that returns lines of exactly that size. Nothing is drawn while the widget is not visible.
    """

    DEFAULT_CSS = """
    Plot { height: 1fr; width: 1fr; }
    """

    def __init__(self, draw: Draw | None = None, *, id: str | None = None, classes: str | None = None):
        super().__init__(id=id, classes=classes)
        self._draw = draw
        self._drawn: _Drawing | None = None
        self._is_waiting = False

    def show(self, draw: Draw) -> None:
        """Set the function that draws the content; it is called soon."""
        self._draw = draw
        if not self._is_waiting:
            self._is_waiting = True
            self.set_timer(SECONDS_BETWEEN_DRAWINGS if self._drawn else 0.01, self._draw_again)

    def _draw_again(self) -> None:
        """Draw, and send only the lines that have changed, which matters over a slow connection."""
        self._is_waiting = False
        before, self._drawn = self._drawn, None
        if before is None or before.size != self.size or self.screen not in self.app.screen_stack:
            self.refresh()
            return
        after = self._drawing()
        changed = [y for y, pair in enumerate(zip_longest(before.lines, after.lines)) if pair[0] != pair[1]]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render(self) -> Text:
        """Draw, if the content or the size has changed."""
        return self._drawing().text

    def _drawing(self) -> _Drawing:
        if self._drawn is None or self._drawn.size != self.size:
            text = self._text()
            self._drawn = _Drawing(self.size, text.split("\n"), Text.from_ansi(text, no_wrap=True, end=""))
        return self._drawn

    def _text(self) -> str:
        width, height = self.size
        if self._draw is None or not width or not height:
            return ""
        ascii_only = getattr(self.app, "ascii_only", False)
        return self._draw(width=width, height=height, colour=not self.app.no_color, ascii_only=ascii_only)
