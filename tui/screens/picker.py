"""A dialog with the list of runs, to choose some of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from ..runs.listing import Listing
from ..runs.store import Run, RunStore
from ..widgets.run_browser import RunBrowser
from ..widgets.table import Table
from .dialogs import Dialog


class RunPicker(Dialog[list[Run] | None]):
    """Asks for runs: the selected ones, else the one under the cursor; Escape returns None.

    Parameters
    ----------
    store : RunStore
    title : str
        What the runs are chosen for.
    leave_out : collection of str
        The ids of runs that cannot be chosen.
    """

    BINDINGS: ClassVar = [
        Binding("enter", "choose", "Choose", show=False),
        Binding("space", "select", "Select", show=False),
        Binding("slash", "filter", "Filter", show=False),
        Binding("o", "sort_next", "Sort", show=False),
        Binding("escape", "back", "Back", show=False),
    ]

    DEFAULT_CSS = """
    RunPicker { align: center middle; }
    RunPicker #picker { width: 90%; min-width: 78; height: 80%; background: $surface; }
    RunPicker RunBrowser { height: 1fr; }
    RunPicker #hint { height: 1; padding: 0 2; color: $text-muted; }
    """

    def __init__(self, store: RunStore, title: str, leave_out: Collection[str] = ()):
        super().__init__()
        self._store, self._title, self._leave_out = store, title, leave_out

    def compose(self) -> ComposeResult:
        """The list above the hint of its keys."""
        with Vertical(id="picker"):
            browser = RunBrowser(Listing(self._store), leave_out=self._leave_out)
            browser.border_title = self._title
            yield browser
            yield Static("Enter chooses, space selects several, / filters, Escape cancels", id="hint")

    @property
    def browser(self) -> RunBrowser:
        """The list of runs."""
        return self.query_one(RunBrowser)

    def on_mount(self) -> None:
        """Read the runs."""
        self.browser.look(fully=True)
        self.browser.table.focus()

    def action_choose(self) -> None:
        """Return the chosen runs."""
        entries = self.browser.table.chosen()
        readable = [entry.run for entry in entries if entry.spec is not None]
        if readable:
            self.dismiss(readable)
        elif entries:
            self.notify("This run cannot be read.", severity="error", markup=False)

    def on_table_chosen(self, _: Table.Chosen) -> None:
        """Choose the run under the cursor when it is clicked."""
        self.action_choose()

    def action_select(self) -> None:
        """Select or deselect the run under the cursor."""
        self.browser.table.toggle()
        self.browser.show_selected()

    def action_filter(self) -> None:
        """Edit the filter."""
        self.browser.open_filter()

    def action_sort_next(self) -> None:
        """Sort by the next column."""
        self.browser.table.sort_by_next()

    def action_back(self) -> None:
        """Close the filter, or cancel."""
        if self.browser.is_filtering:
            self.browser.close_filter()
        else:
            self.dismiss(None)
