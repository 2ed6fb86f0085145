"""The bar at the top of every screen: the screens, the current one marked, and the progress of a run."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Static

from ..keys import SCREENS, ScreenInfo


class Tab(Static):
    """One screen of the bar; a click shows it."""

    def __init__(self, screen: ScreenInfo):
        super().__init__(Text.assemble((screen.key.upper(), "dim"), " ", screen.title))
        self._shows = screen.name

    async def on_click(self) -> None:
        """Show the screen."""
        await self.app.run_action(f"app.go('{self._shows}')")


class Navigation(Horizontal):
    """The names of the screens with their keys, the current one marked, and the progress of a run at the right."""

    DEFAULT_CSS = """
    Navigation { dock: top; height: 1; background: $panel; color: $foreground; }
    Tab { width: auto; padding: 0 1; }
    Tab:hover { background: $primary 30%; }
    Tab.-here { background: $primary; color: $text; text-style: bold; }
    Navigation #activity { width: 1fr; text-align: right; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, here: str):
        super().__init__()
        self._here = here
        self._activity = Static("", id="activity", markup=False)

    def compose(self) -> ComposeResult:
        """The screens, then the progress."""
        for screen in SCREENS:
            yield Tab(screen).set_class(screen.name == self._here, "-here")
        yield self._activity

    def show_activity(self, text: str) -> None:
        """Show the progress of a run."""
        self._activity.update(text)
