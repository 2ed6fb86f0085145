"""A widget for what the plotting functions draw."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

from rich.text import Text
from textual.geometry import Region, Size
from textual.widget import Widget

#: Draws for a `width`, a `height`, with `colour` or without, `ascii_only` or not: ``partial(plot_curves, series)``.
Draw = Callable[..., str]


def as_high_as_it_is(draw: Draw) -> Draw:
    """What draws as many lines as it takes, and does not ask for a height."""
    return lambda *, height, **rest: draw(**rest)  # noqa: ARG005


SECONDS_BETWEEN_DRAWINGS = 0.25


class _Drawing(NamedTuple):
    """What was drawn for a size: its lines with escape codes, and all of it."""

    size: Size
    lines: list[str]
    text: Text


class Plot(Widget):
    """Shows text drawn for the size that the widget has; draws again, at most four times a second, when told to.

    `show` takes a function that returns lines of exactly that size. Nothing is drawn while the widget cannot be seen.
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
        """Draw this from now on, soon."""
        self._draw = draw
        if not self._is_waiting:
            self._is_waiting = True
            self.set_timer(SECONDS_BETWEEN_DRAWINGS if self._drawn else 0.01, self._draw_again)

    def _draw_again(self) -> None:
        """Draw, and have only the lines sent that have changed: over a slow connection that is felt."""
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
        """Draw, if the size or what to draw has changed."""
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
