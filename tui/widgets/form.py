"""The form of the lab: the settings of an experiment, one per field."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from textual import events
from textual.binding import Binding
from textual.containers import Container, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Button, Input, Static

from ...estimators.studies.catalogue import EXPERIMENTS
from ..runs.spec import RunSpec, preset_of
from .entries import (
    CONDITIONAL,
    FILE,
    STANDBY,
    WITH_FIELD,
    ChoiceEntry,
    Entry,
    data_problem,
    is_used,
    network_for,
    network_problem,
    pruning_entries,
    spec_of,
    training_entries,
    values_of,
)
from .field import Cycle, Field, text_input

#: Fields that take the whole width.
_WIDE = ("preset", "sparsities")

#: The minimum width for two columns of fields.
TWO_COLUMNS = 64


class RunForm(VerticalScroll, can_focus=False):
    """Validates the settings at every change, and posts a message.

    Attributes
    ----------
    The experiment; None if a field is invalid.
        The experiment; None while a field is wrong.
    Set when the fields exist.
        Set when the fields are there.
    """

    DEFAULT_CSS = """
    RunForm { height: 1fr; }
    RunForm > .columns { height: auto; layout: horizontal; }
    RunForm .column { height: auto; width: 1fr; }
    RunForm .column:last-child { margin-left: 2; }
    RunForm .summary { margin: 1 0 0 0; height: auto; color: $text-muted; }
    RunForm #run { margin: 1 0 0 15; }
    RunForm.-slim > .columns { layout: vertical; }
    RunForm.-slim .column:last-child { margin: 1 0 0 0; }
    """

    BINDINGS: ClassVar = [
        Binding("down,enter", "focus_field(1)", "next field", show=False),
        Binding("up", "focus_field(-1)", "previous field", show=False),
    ]

    class Submitted(Message):
        """The button was pressed."""

    class Changed(Message):
        """The experiment has changed."""

    def __init__(self, *, id: str | None = None):
        super().__init__(id=id, classes="-slim")
        self.spec: RunSpec | None = None
        self.built = asyncio.Event()
        self._like = RunSpec.from_preset(next(iter(EXPERIMENTS)))
        self._columns = training_entries(), pruning_entries()
        self._entries: dict[str, Entry] = {entry.name: entry for column in self._columns for entry in column}
        self._fields = {name: Field(name, entry.label, _control(entry)) for name, entry in self._entries.items()}

    def on_mount(self) -> None:
        """Compose the fields after the first frame."""
        self.call_after_refresh(self._build)

    async def _build(self) -> None:
        """Two groups of fields, beside or below each other, a summary, and the button."""
        columns = [
            Vertical(*(self._fields[entry.name] for entry in column if entry.name not in _WIDE), classes="column")
            for column in self._columns
        ]
        await self.mount(
            self._fields["preset"],
            Container(*columns, classes="columns"),
            self._fields["sparsities"],
            Static(classes="summary", markup=False),
            Button("Run (F7)", id="run", variant="primary", compact=True),
        )
        self.built.set()
        self.fill(self._like)

    @property
    def _data_root(self) -> str | None:
        return getattr(self.app, "data_root", None)

    def on_resize(self, event: events.Resize) -> None:
        """Use two columns of fields if they fit."""
        self.set_class(event.size.width < TWO_COLUMNS, "-slim")

    # -- values ----------------------------------------------------------------------------------------------

    def fill(self, spec: RunSpec) -> None:
        """Set the fields to the settings of an experiment."""
        self._like = dataclasses.replace(spec, data_root=spec.data_root or self._data_root)
        with self.prevent(Input.Changed):
            self._show(values_of(spec))
        self.check()

    def _show(self, values: Mapping[str, Any]) -> None:
        for name in self._entries.keys() & values.keys():
            entry, control, value = self._entries[name], self._fields[name].control, values[name]
            if isinstance(entry, ChoiceEntry):
                cast("Cycle", control).value = value
            else:
                cast("Input", control).value = entry.show(value)

    def describes(self, spec: RunSpec) -> bool:
        """Whether the fields describe an experiment, apart from settings without a field."""
        shown = spec_of(values_of(spec), spec)
        return self.spec is not None and self.spec.is_like(shown) and self.spec.seeds == shown.seeds

    def check(self) -> None:
        """Read and validate all fields, and show the errors."""
        if not self.built.is_set():
            return
        values, problems = self._read()
        unread = set(problems)
        for name in CONDITIONAL:
            self._fields[name].display = is_used(name, values)
            if not self._fields[name].display:
                problems.pop(name, None)
                unread.discard(name)
        spec = spec_of({**STANDBY, **values}, self._like)
        for name, sentence in spec.problems().items():
            field = {"dataset": "path", "seeds": "seed"}.get(name, name)
            problems.setdefault(field, sentence.removeprefix(name).strip() if field in self._fields else sentence)
        where = "path" if values["dataset"] == FILE else "dataset"
        if sentence := data_problem(spec.dataset, spec.data_root):
            problems[where] = sentence
        if not problems and (sentence := network_problem(spec)):
            problems["channels"] = sentence
        for name, field in self._fields.items():
            field.error = problems.pop(name, "")
        self._fields["path"].display = values["dataset"] == FILE
        before, self.spec = self.spec, None if self._wrong() or problems else spec
        if self.spec != before:
            self.post_message(self.Changed())
        self._show_preset(preset_of(spec) if not unread else "")
        summary = _in_words(spec) if self.spec else ". ".join(problems.values())
        self.query_one(".summary", Static).update(summary)

    def _read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The valid values, and the errors of the others."""
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        for name, entry in self._entries.items():
            control = self._fields[name].control
            if isinstance(entry, ChoiceEntry):
                values[name] = cast("Cycle", control).value
                continue
            try:
                values[name] = entry.parse(cast("Input", control).value)
            except ValueError as error:
                problems[name] = str(error)
        return values, problems

    def _show_preset(self, preset: str) -> None:
        cycle = cast("Cycle", self._fields["preset"].control)
        if preset:
            cycle.value = preset
        else:
            cycle.other = "custom"

    def _wrong(self) -> Field | None:
        return next((field for field in self._fields.values() if field.error), None)

    # -- focus -----------------------------------------------------------------------------------------------

    def focus_first(self) -> None:
        """Focus the first field."""
        self.screen.set_focus(self._fields["preset"].control)

    def focus_wrong(self) -> str:
        """Focus the first invalid field; returns its error as a sentence."""
        field = self._wrong()
        if field is None:
            return str(self.query_one(".summary", Static).content)
        self.screen.set_focus(field.control)
        return f"{field.label}: {field.error}"

    def action_focus_field(self, by: int) -> None:
        """Focus another field."""
        (self.screen.focus_next if by > 0 else self.screen.focus_previous)("RunForm Input, RunForm Cycle, RunForm #run")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Focus the next field on Enter."""
        event.stop()
        self.action_focus_field(1)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Validate after typing."""
        event.stop()
        self.check()

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Validate after a choice; a preset fills in the other fields."""
        event.stop()
        if event.cycle is self._fields["estimator"].control:
            self._take_network(event.value)
        if event.cycle is not self._fields["preset"].control:
            self.check()
            return
        machine = {name: cast("Cycle", self._fields[name].control).value for name in ("device", "precision")}
        spec = RunSpec.from_preset(event.value)  # the field itself may already show another preset
        first = min(self.spec.seeds) if self.spec else 0
        seeds = tuple(range(first, first + len(spec.seeds)))
        self.fill(dataclasses.replace(spec, seeds=seeds, parameters={**spec.parameters, **machine}))

    def _take_network(self, estimator: str) -> None:
        """Put a network of this kind into the fields: that of a preset with the same data, or its defaults."""
        dataset = cast("Cycle", self._fields["dataset"].control).value
        with self.prevent(Input.Changed):
            self._show(network_for(estimator, dataset))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Run the experiment."""
        event.stop()
        self.post_message(self.Submitted())


def _control(entry: Entry) -> Input | Cycle:
    if isinstance(entry, ChoiceEntry):
        return Cycle(entry.options, entry.label, entry.notes)
    return text_input(entry.hint)


def _in_words(spec: RunSpec) -> str:
    """The summary of a form: the amount of work, and settings without a field."""
    counts = [
        (len(spec.seeds), "training"),
        (len(spec.variants), "curve"),
        (spec.n_points, "pruned network"),
    ]
    words = ", ".join(f"{number:,} {noun}{'s' if number > 1 else ''}" for number, noun in counts)
    words += "".join(f"; {name} {value}" for name, value in spec.parameters.items() if name not in WITH_FIELD)
    description = f"{EXPERIMENTS[spec.preset].description}.\n" if spec.preset else ""
    return description[:1].upper() + description[1:] + words
