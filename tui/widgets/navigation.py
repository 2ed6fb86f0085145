"""The line on top of every screen: where one is, where one can go, and what runs."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

#: The screens: name, title and key.
PLACES = [
    ("lab", "Lab", "F2"),
    ("explore", "Explore", "F3"),
    ("runs", "Runs", "F4"),
    ("compare", "Compare", "F5"),
    ("data", "Data", "F6"),
]


class Place(Static):
    """One entry; a click goes there."""

    def __init__(self, name: str, title: str, key: str):
        super().__init__(Text.assemble((key, "dim"), " ", title))
        self._place = name

    async def on_click(self) -> None:
        """Go there."""
        await self.app.run_action(f"app.go('{self._place}')")


class Navigation(Horizontal):
    """The names of the screens with their keys, the one at hand marked, and what runs at the right end."""

    DEFAULT_CSS = """
    Navigation { dock: top; height: 1; background: $panel; color: $foreground; }
    Place { width: auto; padding: 0 1; }
    Place:hover { background: $primary 30%; }
    Place.-here { background: $primary; color: $text; text-style: bold; }
    Navigation #activity { width: 1fr; text-align: right; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, here: str):
        super().__init__()
        self._here = here
        self._activity = Static("", id="activity", markup=False)

    def compose(self) -> ComposeResult:
        """The entries, then what runs."""
        for name, title, key in PLACES:
            yield Place(name, title, key).set_class(name == self._here, "-here")
        yield self._activity

    def show_activity(self, text: str) -> None:
        """Say what runs."""
        self._activity.update(text)
