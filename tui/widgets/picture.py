"""Images, tables and sentences in the middle of a screen, redrawn immediately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.message import Message

from ..text import centred, clean, wrapped
from .plot import Plot

if TYPE_CHECKING:
    from .plot import Draw


class Picture(Plot):
    """A `Plot` for content that changes only at the user's request, and then without delay."""

    DEFAULT_CSS = """
    Picture { height: 1fr; width: 1fr; }
    """

    class Resized(Message):
        """The picture has another size than before."""

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002
        """Report the size to the screen, which may have more or fewer things to show; the plot draws itself again."""
        self.post_message(self.Resized())

    def show(self, draw: Draw) -> None:
        """Set the function that draws the content."""
        self._draw = draw
        self._draw_again()

    def show_text(self, *paragraphs: str) -> None:
        """Show sentences in the middle instead."""

        def draw(*, width: int, height: int, ascii_only: bool, **_: bool) -> str:
            lines = [line for text in paragraphs for line in (*wrapped(clean(text, ascii_only), width - 2), "")][:-1]
            above = max(0, (height - len(lines)) // 2)
            return "\n".join([""] * above + [centred(line, width, ascii_only) for line in lines[: height - above]])

        self.show(draw)
