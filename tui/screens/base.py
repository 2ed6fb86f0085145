"""What every screen shares: the line on top, the footer, and updates only while it can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen

from ..widgets.footer import KeyFooter
from ..widgets.navigation import Navigation

if TYPE_CHECKING:
    from ..app import PrunelabApp


class LabScreenBase(Screen[None]):
    """A screen of the app. Subclasses set `NAME` and `BINDINGS`, and compose their `body`."""

    NAME = ""

    @property
    def lab(self) -> PrunelabApp:
        """The app, by its type."""
        return cast("PrunelabApp", self.app)

    def compose(self) -> ComposeResult:
        """The line on top, the body, the footer."""
        yield Navigation(self.NAME)
        yield from self.body()
        yield KeyFooter()

    def body(self) -> ComposeResult:
        """The widgets between the line on top and the footer."""
        yield from ()

    def on_screen_resume(self) -> None:
        """The screen is seen (again)."""
        self.tick()

    def tick(self) -> None:
        """Called four times a second while the screen is seen: look for what is new. Must be cheap if nothing is."""
