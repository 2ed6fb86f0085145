"""A dialog for the options that describe a user's file, with the first lines of the file as they are read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Vertical
from textual.widgets import Button, Input, Static

from ...estimators.data.source import DataSource
from ..drawing.preview import draw_table
from ..service.client import Overtaken, ServiceError
from ..text import clean
from ..widgets.entries import PIXEL_OPTIONS
from ..widgets.field import Cycle, Field, text_input
from .dialogs import Dialog, pick_from

if TYPE_CHECKING:
    from ..app import PrunelabApp

#: Lines of the file in the preview.
ROWS = 5

_HEADER = (("auto", "automatic"), (True, "yes"), (False, "no"))
_DELIMITER = ((None, "automatic"), (",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe"), (" ", "space"))
_DECIMAL = ((None, "automatic"), (".", "point"), (",", "comma"))
_INDEX_WORDS = {"": "auto", "auto": "auto", "yes": True, "no": False}

#: The fields that apply to tables but not to arrays.
_OF_TABLES = ("label", "header", "delimiter", "decimal", "index")


class ReadingDialog(Dialog[DataSource | None]):
    """Asks how to read a file; Escape returns None.

    Parameters
    ----------
    source : DataSource
        The file, and the current options.
    problem : str
        Why it could not be read with these options; empty if it could.
    """

    BINDINGS: ClassVar = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("down", "move(1)", "next field", show=False),
        Binding("up", "move(-1)", "previous field", show=False),
    ]

    DEFAULT_CSS = """
    ReadingDialog .dialog { width: 96; max-width: 100%; max-height: 100%; padding: 0 1; }
    ReadingDialog .fields { layout: grid; grid-size: 2; grid-gutter: 0 2; grid-rows: auto; height: auto; }
    ReadingDialog #table { height: auto; margin-top: 1; }
    ReadingDialog #words { height: auto; max-height: 6; margin-top: 1; color: $text-muted; }
    ReadingDialog #words.-problem { color: $text-error; }
    ReadingDialog #read { margin-top: 1; }
    """

    def __init__(self, source: DataSource, problem: str = ""):
        super().__init__()
        self._source, self._problem = source, problem
        self._is_table = source.paths[0].suffix.lower() == ".csv"
        options = source.options
        self._fields = {
            "label": Field("label", "label", text_input("automatic")),
            "index": Field("index", "index", text_input("yes/no/name")),
            "header": Field("header", "header", Cycle(_HEADER, "header line")),
            "delimiter": Field("delimiter", "delimiter", Cycle(_DELIMITER, "delimiter")),
            "decimal": Field("decimal", "decimal", Cycle(_DECIMAL, "decimal mark")),
            "pixels": Field("pixels", "pixels", Cycle(PIXEL_OPTIONS, "pixels")),
            "test": Field("test", "test", text_input("0.2 or file")),
        }
        index = {True: "yes", False: "no", "auto": ""}.get(options.index, options.index)
        values = {**vars(options), "index": index, "delimiter": options.separator, "pixels": source.pixels}
        for name, field in self._fields.items():
            value = values[name]
            if isinstance(field.control, Cycle):
                field.control.value = value
            else:
                field.control.value = "" if value is None else str(value)

    def compose(self) -> ComposeResult:
        """The fields above the preview."""
        with Vertical(classes="dialog") as box:
            box.border_title = Text(clean(f"How to read {Path(self._source.dataset).name}", self._ascii_only))
            box.border_subtitle = "Enter reads the file, Escape cancels"
            names = [name for name in self._fields if self._is_table or name not in _OF_TABLES]
            yield Container(*(self._fields[name] for name in names), classes="fields")
            if self._is_table:
                yield Static(id="table", markup=False)
            yield Static(id="words", markup=False)
            yield Button("Read", id="read", variant="primary", compact=True)

    @property
    def _ascii_only(self) -> bool:
        return getattr(self.app, "ascii_only", False)

    def on_mount(self) -> None:
        """Show the preview with the current options."""
        first = self._fields["label" if self._is_table else "pixels"]
        self.set_focus(first.control)
        self._refresh()

    def _values(self) -> dict[str, Any]:
        values = {name: field.control.value for name, field in self._fields.items()}
        return {name: value.strip() if name in ("label", "index", "test") else value for name, value in values.items()}

    def read(self) -> DataSource:
        """The source that the fields describe."""
        values = self._values()
        options = replace(
            self._source.options,
            label=values["label"] or None,
            delimiter=values["delimiter"],
            decimal=values["decimal"],
            header=values["header"],
            index=_INDEX_WORDS.get(values["index"].casefold(), values["index"]),
            test=_test(values["test"]),
        )
        return replace(self._source, pixels=values["pixels"], options=options)

    # -- the preview -----------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        source = self.read()
        problems = source.options.problems()
        for name, field in self._fields.items():
            field.error = problems.get(name, "").removeprefix(name).strip()
        if problems:
            self._show_message(next(iter(problems.values())), is_problem=True)
        elif self._is_table:
            self.run_worker(partial(self._preview, source), group="preview", exclusive=True)
        else:
            self._show_message(self._problem, is_problem=True)

    async def _preview(self, source: DataSource) -> None:
        service = cast("PrunelabApp", self.app).service
        try:
            found = await service.ask("data.preview", group="data.preview", source=source.to_json(), rows=ROWS)
        except Overtaken:
            return
        except ServiceError as error:
            self._show_message(str(error), is_problem=True)
            return
        table = self.query_one("#table", Static)
        width = self.query_one(".fields").size.width
        drawn = draw_table(
            found["names"], found["roles"], found["rows"], width=width, height=ROWS + 2, ascii_only=self._ascii_only
        )
        table.update(Text("\n").join(Text(line, style="bold" if i == 0 else "") for i, line in enumerate(drawn)))
        problem = found["problem"] or (self._problem if source == self._source else "")
        assumed = f"Assumed: {'; '.join(found['assumptions'])}" if found["assumptions"] else ""
        self._show_message(problem or assumed, is_problem=bool(problem))

    def _show_message(self, words: str, *, is_problem: bool) -> None:
        line = self.query_one("#words", Static)
        line.set_class(is_problem, "-problem")
        line.update(f"{clean(words, self._ascii_only)}." if words else "")

    # -- fields and buttons ----------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Focus another field."""
        (self.focus_next if by > 0 else self.focus_previous)()

    def on_key(self, event: events.Key) -> None:
        """Read the file on Enter, from any field."""
        if event.key == "enter":
            event.stop()
            self._submit()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Read the file on Enter."""
        event.stop()
        self._submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Read the file."""
        event.stop()
        self._submit()

    def _submit(self) -> None:
        source = self.read()
        if not source.options.problems():
            self.dismiss(source)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Update the preview after typing."""
        event.stop()
        self._refresh()

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Update the preview after a choice."""
        event.stop()
        self._refresh()

    def on_cycle_list_wanted(self, event: Cycle.ListWanted) -> None:
        """Show the options of a field."""
        event.stop()
        pick_from(event.cycle)


def _test(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return str(Path(text).expanduser().absolute()) if text else None
