"""What all screens share: the navigation bar, the footer, and updates only while the screen is visible."""

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
    """The user has switched to a screen from another one; not sent when a dialog closes."""


class LabScreenBase(Screen[None]):
    """A screen of the app. Subclasses set `NAME` and `BINDINGS`, and compose their `body`."""

    NAME = ""

    def __init__(self) -> None:
        super().__init__()
        #: The theme when the screen was last visible.
        self._theme_seen: tuple[object, ...] = ()
        self._is_composed = False

    @property
    def lab(self) -> PrunelabApp:
        """The app, with its type."""
        return cast("PrunelabApp", self.app)

    def compose(self) -> ComposeResult:
        """The navigation bar, the body, the footer."""
        yield Navigation(self.NAME)
        yield from self.body()
        yield KeyFooter()

    def body(self) -> ComposeResult:
        """The widgets between the navigation bar and the footer."""
        yield from ()

    async def on_event(self, event: events.Event) -> None:
        """Skip the restyling that Textual does whenever a screen becomes visible, which takes most of that time.

        It is needed only if the theme has changed.
        """
        if isinstance(event, events.ScreenResume):
            theme = self.app.theme, self.app.ansi_color
            event.refresh_styles, self._theme_seen = self._theme_seen != theme, theme
        await super().on_event(event)

    def on_mount(self) -> None:
        """Record that the widgets of `compose` exist."""
        self._is_composed = True

    @property
    def is_ready(self) -> bool:
        """Whether the widgets exist: not before the screen is composed, nor while the app ends."""
        return self._is_composed and self.is_attached and self.app.is_running

    def look(self) -> None:
        """Call `tick` if the screen is ready; the app's timer runs independently of screens."""
        if self.is_ready:
            self.tick()

    def on_screen_resume(self) -> None:
        """The screen is visible (again)."""
        self.tick()

    def tick(self) -> None:
        """Update the screen. Called four times a second while it is visible; must be cheap if nothing has changed."""
