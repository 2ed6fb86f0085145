"""Small questions on top of a screen."""

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
    """What every screen on top of another is: it answers once, and only while it is on top.

    Textual removes whatever is on top when a screen is dismissed, be it another screen or the last one there is. But a
    key, a click or a message may reach a dialog that has answered already.
    """

    def dismiss(self, result: Answer | None = None) -> AwaitComplete:
        """Answer, unless that has been done."""
        return super().dismiss(result) if self.is_active else AwaitComplete.nothing()


class Choice(Dialog[str | None]):
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


class Prompt(Dialog[str | None]):
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


class PickOne(Dialog[int | None]):
    """Asks for one of many: the place of what is chosen in the list; Escape is None.

    Parameters
    ----------
    title : str
        What they are.
    options : sequence of (name, note)
        What is to be said about an option is seen while it is under the cursor.
    index : int
        The place of the one under the cursor at first.
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
            box.border_subtitle = "Enter chooses, Escape goes back"
            yield OptionList(*(Text(name) for name, _ in self._options), compact=True)
            if any(note for _, note in self._options):
                yield Static(id="note", markup=False)

    def on_mount(self) -> None:
        """Begin at what is chosen already."""
        listed = self.query_one(OptionList)
        listed.highlighted = self._index
        listed.focus()

    def on_key(self, event: Key) -> None:
        """A letter goes to the next option that begins with it."""
        listed = self.query_one(OptionList)
        if event.character is None or not event.character.isalnum():
            return
        event.stop()
        here = listed.highlighted or 0
        places = [(here + 1 + i) % len(self._options) for i in range(len(self._options))]
        wanted = event.character.lower()
        listed.highlighted = next((i for i in places if self._options[i][0].lower().startswith(wanted)), here)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say what there is to be said."""
        note = self._options[event.option_index][1]
        for line in self.query("#note").results(Static):
            line.update(note[:1].upper() + note[1:])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click chooses."""
        self.dismiss(event.option_index)


def pick_from(cycle: Cycle) -> None:
    """Ask which option of `cycle` to choose, in a list of all of them."""

    def chosen(index: int | None) -> None:
        if index is not None:
            cycle.choose(index)

    cycle.app.push_screen(PickOne(cycle.label, cycle.listed, cycle.index), chosen)
