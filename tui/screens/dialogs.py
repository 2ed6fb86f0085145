"""Small questions on top of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label


class Choice(ModalScreen[str | None]):
    """Asks for one of a few answers; Escape is None.

    Parameters
    ----------
    question : str
    answers : sequence of (key, name, label)
        A letter that chooses it, what the dialog then returns, and the button's text; the first is the default.
    danger : str
        The name of an answer that destroys something.
    """

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back", show=False)]

    def __init__(self, question: str, answers: Sequence[tuple[str, str, str]], danger: str = ""):
        super().__init__()
        self._question, self._answers, self._danger = question, answers, danger

    def compose(self) -> ComposeResult:
        """The question above a row of buttons."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            with Horizontal(classes="buttons"):
                for i, (key, name, label) in enumerate(self._answers):
                    variant = "error" if name == self._danger else "primary" if i == 0 else "default"
                    yield Button(f"{label} ({key})", id=name, variant=variant)

    def on_mount(self) -> None:
        """Focus the default."""
        self.query(Button).first().focus()

    def on_key(self, event) -> None:
        """The letters and the arrow keys."""
        for key, name, _ in self._answers:
            if event.key == key:
                event.stop()
                self.dismiss(name)
        if event.key in ("left", "right"):
            event.stop()
            (self.focus_next if event.key == "right" else self.focus_previous)()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """The answer is the button."""
        self.dismiss(event.button.id)


class Prompt(ModalScreen[str | None]):
    """Asks for a line of text; Escape is None."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back", show=False)]

    def __init__(self, question: str, value: str = "", placeholder: str = ""):
        super().__init__()
        self._question, self._value, self._placeholder = question, value, placeholder

    def compose(self) -> ComposeResult:
        """The question above the line."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            field = Input(self._value, placeholder=self._placeholder)
            field.cursor_blink = False
            yield field

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter answers."""
        self.dismiss(event.value.strip())
