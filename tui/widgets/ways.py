"""The ways of pruning as switches, changed by letters and clicks."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static


class Switch(Static):
    """A switch: its key and name, and below them its value.

    Parameters
    ----------
    name : str
    key : str
        The letter that selects the next value.
    action : str
        The action of the letter, which a click also performs.
    """

    DEFAULT_CSS = """
    Switch { width: auto; height: 2; padding: 0 1; }
    Switch:hover { background: $primary 30%; }
    Switch.-idle { color: $text-muted; }
    """

    def __init__(self, name: str, key: str, action: str):
        super().__init__(id=f"switch-{name}")
        self._label, self._key, self._action = name, key, action

    def show(self, value: str, *, matters: bool = True) -> None:
        """Show a value, dimmed if it has no effect at the moment."""
        self.set_class(not matters, "-idle")
        self.update(
            Content.assemble(
                (self._key, "bold $text-accent"), (f" {self._label}", "$text-muted"), "\n  ", (value, "bold" * matters)
            )
        )

    async def on_click(self) -> None:
        """Select the next value."""
        await self.run_action(self._action)


class Switches(Horizontal):
    """A row of switches.

    Parameters
    ----------
    keys : dict of str to str
        The letters, by name of the switch.
    """

    DEFAULT_CSS = """
    Switches { height: 2; }
    """

    def __init__(self, keys: dict[str, str]):
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """One switch per name."""
        for name, key in self._keys.items():
            yield Switch(name, key, f"screen.switch('{name}')")

    def show(self, values: dict[str, Any], idle: set[str]) -> None:
        """Show the values; those in `idle` have no effect at the moment."""
        for name, value in values.items():
            self.query_one(f"#switch-{name}", Switch).show(str(value), matters=name not in idle)
