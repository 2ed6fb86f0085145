"""What every screen shares: the line on top, the footer, and updates only while it can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from ..widgets.footer import KeyFooter
from ..widgets.navigation import Navigation

if TYPE_CHECKING:
    from ..app import PrunelabApp


class Arrived(Message, bubble=False):
    """The user has come to a screen from another one, and not only closed a dialog on top of it."""


class LabScreenBase(Screen[None]):
    """A screen of the app. Subclasses set `NAME` and `BINDINGS`, and compose their `body`."""

    NAME = ""

    def __init__(self) -> None:
        super().__init__()
        #: The theme in which it was seen last.
        self._theme_seen: tuple[object, ...] = ()
        self._is_composed = False

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
            theme = self.app.theme, self.app.ansi_color
            event.refresh_styles, self._theme_seen = self._theme_seen != theme, theme
        await super().on_event(event)

    def on_mount(self) -> None:
        """The widgets of `compose` are there from now on."""
        self._is_composed = True

    @property
    def is_ready(self) -> bool:
        """Whether the widgets are there: not before the screen is composed, nor while the app ends."""
        return self._is_composed and self.is_attached and self.app.is_running

    def look(self) -> None:
        """Call `tick`, if the screen is ready for it: timers of the app know nothing of that."""
        if self.is_ready:
            self.tick()

    def on_screen_resume(self) -> None:
        """The screen is seen (again)."""
        self.tick()

    def tick(self) -> None:
        """Called four times a second while the screen is seen: look for what is new. Must be cheap if nothing is."""
