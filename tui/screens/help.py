"""The help: all keys, generated from the table of keys."""

from __future__ import annotations

import textwrap
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from ..keys import KEYS, TITLES, Key, key_name
from .dialogs import Dialog

#: Total width in columns, with the border.
WIDTH = 84

#: Columns for the names of the keys, and for the space around the descriptions.
NAMES, AROUND = 18, 10


class HelpScreen(Dialog[None]):
    """The keys of the current screen first, then those that work everywhere, then those of the other screens."""

    BINDINGS: ClassVar = [Binding("escape,question_mark,f1,q", "dismiss", "Close")]

    def __init__(self, here: str):
        super().__init__()
        self._here = here
        self._written_for = 0

    def compose(self) -> ComposeResult:
        """All keys in one text: a hundred widgets would take much longer to appear."""
        with VerticalScroll(classes="dialog", id="help") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Escape closes"
            yield Static(self._text())

    def on_mount(self) -> None:
        """Let the arrow keys scroll the text."""
        self.query_one("#help").focus()

    def on_resize(self) -> None:
        """Wrap the text to the new width."""
        if self._width != self._written_for:
            self.query_one(Static).update(self._text())

    @property
    def _width(self) -> int:
        return min(WIDTH, self.app.size.width * 9 // 10) - AROUND

    def _text(self) -> Text:
        self._written_for = width = self._width
        ascii_only = getattr(self.app, "ascii_only", False)
        order = [self._here, "everywhere", *(name for name in KEYS if name not in (self._here, "everywhere"))]
        text = Text()
        for name in order:
            text.append(f"{TITLES[name]}\n", style="bold")
            for key in KEYS[name]:
                text.append(_lines(key, width, ascii_only))
            text.append("\n")
        text.rstrip()
        return text


def _lines(key: Key, width: int, ascii_only: bool) -> str:
    shown = ", ".join(key_name(name, ascii_only) for name in key.key.split(","))
    lines = textwrap.wrap(key.help, max(width - NAMES, 10))
    if len(shown) >= NAMES:  # put the description on the next line
        lines.insert(0, "")
    return "".join(f"{shown if i == 0 else '':<{NAMES}}{line}\n" for i, line in enumerate(lines))
