"""What every screen shares: the line on top, the footer, and updates only while it can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen

from ..widgets.footer import KeyFooter
from ..widgets.navigation import Navigation

if TYPE_CHECKING:
    from ..app import PrunelabApp


class LabScreenBase(Screen[None]):
    """A screen of the app. Subclasses set `NAME` and `BINDINGS`, and compose their `body`."""

    NAME = ""

    #: The theme in which it was seen last.
    _look: tuple[object, ...] = ()

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

    async def on_event(self, event: events.Event) -> None:
        """Textual computes all styles anew when a screen is seen again, the larger part of what that takes.

        Nothing but another theme changes them meanwhile.
        """
        if isinstance(event, events.ScreenResume):
            look = self.app.theme, self.app.ansi_color
            event.refresh_styles, self._look = self._look != look, look
        await super().on_event(event)

    def on_screen_resume(self) -> None:
        """The screen is seen (again)."""
        self.tick()

    def tick(self) -> None:
        """Called four times a second while the screen is seen: look for what is new. Must be cheap if nothing is."""
