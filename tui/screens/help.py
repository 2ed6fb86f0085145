"""The help: every key, made from the table of keys."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.keys import format_key
from textual.screen import ModalScreen
from textual.widgets import Static

from ..keys import KEYS, TITLES


class HelpScreen(ModalScreen[None]):
    """The keys of the screen at hand first, then those that work everywhere, then the others'."""

    BINDINGS: ClassVar = [Binding("escape,question_mark,f1,q", "dismiss", "Close")]

    def __init__(self, here: str):
        super().__init__()
        self._here = here

    def compose(self) -> ComposeResult:
        """One table a screen."""
        order = [self._here, "everywhere", *(name for name in KEYS if name not in (self._here, "everywhere"))]
        with VerticalScroll(classes="dialog", id="help") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Escape closes"
            for name in order:
                if KEYS.get(name):
                    yield Static(Text(TITLES[name], style="bold"))
                    yield Static(_table(name, getattr(self.app, "ascii_only", False)))

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#help").focus()


def _table(screen: str, ascii_only: bool) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=16, no_wrap=True)
    table.add_column()
    for key in KEYS[screen]:
        names = [
            name if ascii_only and not format_key(name).isascii() else format_key(name) for name in key.key.split(",")
        ]
        table.add_row(", ".join(names), key.help)
    table.add_row("", "")
    return table
