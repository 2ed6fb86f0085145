"""The line of keys at the bottom of every screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer


class KeyFooter(Footer):
    """A footer that is rebuilt only if its keys change, instead of with every change of focus."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._keys_shown: list[tuple[str, str, bool]] = []

    def bindings_changed(self, screen: Screen) -> None:
        """The bindings may have changed."""
        if _keys_of(screen) != self._keys_shown:
            super().bindings_changed(screen)

    def compose(self) -> ComposeResult:
        """Remember the keys: the bindings may change again before the footer is built."""
        self._keys_shown = _keys_of(self.screen) if self._bindings_ready else []
        yield from super().compose()


def _keys_of(screen: Screen) -> list[tuple[str, str, bool]]:
    """The keys in a footer."""
    return [
        (binding.key, binding.description, enabled)
        for _, binding, enabled, _ in screen.active_bindings.values()
        if binding.show
    ]
