"""A line of a form: a label, a control, and an error message below it if the value is invalid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from ..text import clean, shorten

#: A cycle with more options than this shows them in a list.
FEW = 3


class Cycle(Widget, can_focus=True):
    """One of a few values: the arrow keys, and clicks on the arrows, cycle through them.

    Space, or a click elsewhere, shows a list if there are more than a few values, else selects the next one.

    Parameters
    ----------
    options : sequence of (value, name)
    label : str
        The name of what is chosen.
    notes : mapping of str to str
        The description of an option, by its name.
    """

    DEFAULT_CSS = """
    Cycle { height: 1; width: 1fr; background: $surface; color: $foreground; }
    Cycle:hover { background: $boost; }
    Cycle:focus { background: $primary; color: $text; text-style: bold; }
    Cycle:ansi { background: ansi_default; color: ansi_default; }
    Cycle:ansi:focus { text-style: reverse; }
    """

    BINDINGS: ClassVar = [
        Binding("left", "move(-1)", "previous value", show=False),
        Binding("right", "move(1)", "next value", show=False),
        Binding("space", "list", "list of values", show=False),
    ]

    index = reactive(0)
    #: Shown instead of a value that is not among the options.
    other = reactive("")

    class Changed(Message):
        """The user chose another value."""

        def __init__(self, cycle: Cycle):
            super().__init__()
            self.cycle, self.value = cycle, cycle.value

        @property
        def control(self) -> Cycle:
            """The control."""
            return self.cycle

    class ListWanted(Message):
        """The user has asked for the list of values."""

        def __init__(self, cycle: Cycle):
            super().__init__()
            self.cycle = cycle

    def __init__(self, options: Sequence[tuple[Any, str]], label: str = "", notes: Mapping[str, str] | None = None):
        super().__init__()
        self._options = list(options)
        self.label = label
        self._notes = notes or {}

    @property
    def value(self) -> Any:
        """The current value."""
        return self._options[self.index][0]

    @value.setter
    def value(self, value: Any) -> None:
        values = [option for option, _ in self._options]
        if value not in values:  # for example, from a run of another version
            values.append(value)
            words = value if isinstance(value, tuple) else (value,)
            self._options.append((value, ", ".join(map(str, words))))
        self.other = ""
        self.index = values.index(value)

    def render(self) -> Text:
        """The value between arrows."""
        ascii_only = getattr(self.app, "ascii_only", False)
        left, right = "<>" if ascii_only else "‹›"  # noqa: RUF001
        text = self.other or self._options[self.index][1]
        room = max(self.size.width - 4, 1)
        text = shorten(clean(text, ascii_only), room, ascii_only)
        return Text(f"{left} {text} {right}", no_wrap=True, end="")

    @property
    def listed(self) -> list[tuple[str, str]]:
        """The names and descriptions of all options."""
        return [(name, self._notes.get(name, "")) for _, name in self._options]

    def choose(self, index: int) -> None:
        """Choose the option at an index."""
        self.other = ""
        self.index = index
        self.post_message(self.Changed(self))

    def action_move(self, by: int) -> None:
        """Choose another value."""
        self.choose((self.index + by) % len(self._options))

    def action_list(self) -> None:
        """Show the list if there are more than a few values, else choose the next one."""
        if len(self._options) > FEW:
            self.post_message(self.ListWanted(self))
        else:
            self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """Choose the previous or the next value when an arrow is clicked."""
        if event.x < 2:
            self.action_move(-1)
        elif event.x > self.render().cell_len - 3:
            self.action_move(1)
        else:
            self.action_list()


class Field(Widget):
    """A control with its label and its error message.

    Parameters
    ----------
    name : str
    label : str
    control : Input or Cycle
    """

    DEFAULT_CSS = """
    Field { height: auto; layout: vertical; }
    Field > .label { dock: left; width: 15; height: 1; color: $text-muted; }
    Field.-focused > .label { color: $text-accent; text-style: bold; }
    Field > .error { color: $text-error; height: auto; }
    Field > Input.-textual-compact { padding: 0 2; }
    Field > Input.-wrong { color: $text-error; }
    """

    def __init__(self, name: str, label: str, control: Input | Cycle):
        super().__init__(name=name)
        self.label = label
        self.control = control
        self._error = ""

    def compose(self) -> ComposeResult:
        """The label beside the control."""
        yield Label(self.label, classes="label")
        yield self.control

    def on_descendant_focus(self) -> None:
        """Highlight the label."""
        self.add_class("-focused")

    def on_descendant_blur(self) -> None:
        """Remove the highlight."""
        self.remove_class("-focused")

    @property
    def error(self) -> str:
        """The error message, which completes the label; empty if the value is valid."""
        return self._error

    @error.setter
    def error(self, sentence: str) -> None:
        if sentence == self._error:
            return
        self._error = sentence
        self.control.set_class(bool(sentence), "-wrong")
        shown = self.query(".error")
        if not sentence:
            shown.remove()
        elif shown:
            shown.only_one(Static).update(Text(sentence))
        else:
            self.mount(Static(Text(sentence), classes="error"))


def text_input(placeholder: str = "") -> Input:
    """An input line whose cursor does not blink."""
    field = Input(placeholder=placeholder, compact=True, max_length=1000)
    field.cursor_blink = False
    return field
