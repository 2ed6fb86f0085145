"""The line of keys at the bottom of every screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer


class KeyFooter(Footer):
    """A footer that is made again only if other keys are to be seen: with every move of the focus, it would be."""

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._keys_shown: list[tuple[str, str, bool]] = []

    def bindings_changed(self, screen: Screen) -> None:
        """The bindings may have changed."""
        if _keys_of(screen) != self._keys_shown:
            super().bindings_changed(screen)

    def compose(self) -> ComposeResult:
        """Remember what is shown: until it is made, the bindings may change again."""
        self._keys_shown = _keys_of(self.screen) if self._bindings_ready else []
        yield from super().compose()


def _keys_of(screen: Screen) -> list[tuple[str, str, bool]]:
    """The keys that a footer shows."""
    return [
        (binding.key, binding.description, enabled)
        for _, binding, enabled, _ in screen.active_bindings.values()
        if binding.show
    ]
