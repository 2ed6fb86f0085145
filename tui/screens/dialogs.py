"""Dialogs that ask the user a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, OptionList, Static

from ..widgets.field import Cycle

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer]):
    """Base class of dialogs: returns one answer, and only while it is the topmost screen.

    Textual's `dismiss` removes the topmost screen, whichever it is. But a key, a click or a message may reach a dialog
    that has already been answered.
    """

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer, unless the dialog has been answered."""
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()


class Choice(Dialog[str | None]):
    """Asks the user to choose one of a few answers; Escape returns None.

    Parameters
    ----------
    question : str
    answers : sequence of (key, name, label)
        The letter that chooses the answer, the value returned, and the button's label; the first answer is the default.
    danger : str
        The name of a destructive answer.
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
        """Focus the default answer."""
        self.query(Button).first().focus()

    def on_key(self, event) -> None:
        """Handle the letters and the arrow keys."""
        for key, name, _ in self._answers:
            if event.key == key:
                event.stop()
                self.dismiss(name)
        if event.key in ("left", "right"):
            event.stop()
            (self.focus_next if event.key == "right" else self.focus_previous)()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the answer of the button."""
        self.dismiss(event.button.id)


class Prompt(Dialog[str | None]):
    """Asks for a line of text; Escape returns None."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back", show=False)]

    def __init__(self, question: str, value: str = "", placeholder: str = ""):
        super().__init__()
        self._question, self._value, self._placeholder = question, value, placeholder

    def compose(self) -> ComposeResult:
        """The question above the input line."""
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False)
            field = Input(self._value, placeholder=self._placeholder)
            field.cursor_blink = False
            yield field

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the text on Enter."""
        self.dismiss(event.value.strip())


class PickOne(Dialog[int | None]):
    """Asks the user to choose one of many options; returns its index, or None on Escape.

    Parameters
    ----------
    title : str
        What the options are.
    options : sequence of (name, note)
        A note is shown while the option is under the cursor.
    index : int
        The index of the option that is under the cursor at first.
    """

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "Back", show=False)]

    DEFAULT_CSS = """
    PickOne OptionList { height: auto; border: none; padding: 0; background: $surface; scrollbar-size-vertical: 1; }
    PickOne #note { dock: bottom; height: 2; color: $text-muted; }
    """

    def __init__(self, title: str, options: Sequence[tuple[str, str]], index: int = 0):
        super().__init__()
        self._title, self._options, self._index = title, options, index

    def compose(self) -> ComposeResult:
        """The list above the note."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = "Enter selects, Escape cancels"
            yield OptionList(*(Text(name) for name, _ in self._options), compact=True)
            if any(note for _, note in self._options):
                yield Static(id="note", markup=False)

    def on_mount(self) -> None:
        """Put the cursor on the current option."""
        listed = self.query_one(OptionList)
        listed.highlighted = self._index
        listed.focus()

    def on_key(self, event: Key) -> None:
        """Move to the next option that begins with the letter."""
        listed = self.query_one(OptionList)
        if event.character is None or not event.character.isalnum():
            return
        event.stop()
        here = listed.highlighted or 0
        places = [(here + 1 + i) % len(self._options) for i in range(len(self._options))]
        wanted = event.character.lower()
        listed.highlighted = next((i for i in places if self._options[i][0].lower().startswith(wanted)), here)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the note of the option under the cursor."""
        note = self._options[event.option_index][1]
        for line in self.query("#note").results(Static):
            line.update(note[:1].upper() + note[1:])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the option on Enter or a click."""
        self.dismiss(event.option_index)


def pick_from(cycle: Cycle) -> None:
    """Let the user choose one of the options of `cycle` from a list."""

    def chosen(index: int | None) -> None:
        if index is not None:
            cycle.choose(index)

    cycle.app.push_screen(PickOne(cycle.label, cycle.listed, cycle.index), chosen)
