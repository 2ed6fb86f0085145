"""The line of keys at the bottom of every screen."""

from __future__ import annotations

from textual.screen import Screen
from textual.widgets import Footer


class KeyFooter(Footer):
    """A footer that is made again only if other keys are to be seen: with every move of the focus, it would be."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._keys_seen: list[tuple[str, str, bool]] = []

    def bindings_changed(self, screen: Screen) -> None:
        """The bindings may have changed."""
        if not screen.app.app_focus:
            return
        keys = [
            (binding.key, binding.description, enabled)
            for _, binding, enabled, _ in screen.active_bindings.values()
            if binding.show
        ]
        if keys != self._keys_seen:
            self._keys_seen = keys
            super().bindings_changed(screen)
