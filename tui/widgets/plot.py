"""A widget for what the plotting functions draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual.widget import Widget

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Draws for a width, a height, with colours or without, in ASCII or not: the pure functions over plotext.
    Draw = Callable[[int, int, bool, bool], str]

SECONDS_BETWEEN_DRAWINGS = 0.25


class Plot(Widget):
    """Shows text drawn for the size that the widget has; draws again, at most four times a second, when told to.

    `show` takes a function of width, height, colour and ascii_only that returns lines of exactly that size, such as
    one that calls `plot_curves`. Nothing is drawn while the widget cannot be seen.
    """

    DEFAULT_CSS = """
    Plot { height: 1fr; width: 1fr; }
    """

    def __init__(self, draw: Draw | None = None, *, id: str | None = None, classes: str | None = None):
        super().__init__(id=id, classes=classes)
        self._draw = draw
        self._drawn: tuple[tuple[int, int], Text] | None = None
        self._is_waiting = False

    def show(self, draw: Draw) -> None:
        """Draw this from now on, soon."""
        self._draw = draw
        if not self._is_waiting:
            self._is_waiting = True
            self.set_timer(SECONDS_BETWEEN_DRAWINGS if self._drawn else 0.01, self._draw_again)

    def _draw_again(self) -> None:
        self._is_waiting = False
        self._drawn = None
        self.refresh()

    def render(self) -> Text:
        """Draw, if the size or what to draw has changed."""
        width, height = self.size
        if self._draw is None or not width or not height:
            return Text("")
        if self._drawn is None or self._drawn[0] != (width, height):
            ascii_only = getattr(self.app, "ascii_only", False)
            text = self._draw(width, height, not self.app.no_color, ascii_only)
            self._drawn = (width, height), Text.from_ansi(text, no_wrap=True, end="")
        return self._drawn[1]
