"""The table of runs with its filter, and a message if there are no runs to list."""

from __future__ import annotations

from collections.abc import Collection

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from ..runs.listing import Listing
from .run_table import RunTable
from .table import Table


class RunBrowser(Vertical):
    """The runs of a listing; `look` reads changes.

    Parameters
    ----------
    listing : Listing
    leave_out : collection of str
        The ids of runs to exclude.
    """

    DEFAULT_CSS = """
    RunBrowser #filter { display: none; }
    RunBrowser #nothing { display: none; height: 1fr; content-align: center middle; padding: 0 2; }
    RunBrowser #nothing { text-align: center; color: $text-muted; }
    RunBrowser.-filtering #filter { display: block; }
    RunBrowser.-empty #nothing { display: block; }
    RunBrowser.-empty RunTable { display: none; }
    """

    def __init__(self, listing: Listing, *, leave_out: Collection[str] = (), id: str | None = None):
        super().__init__(id=id, classes="panel")
        self._listing, self._leave_out = listing, leave_out
        self.border_title = "Runs"

    def compose(self) -> ComposeResult:
        """The filter above the table."""
        field = Input(placeholder="name, data, state, preset, network ...", id="filter", compact=True)
        field.cursor_blink = False
        yield field
        yield Static(id="nothing", markup=False)
        yield RunTable()

    @property
    def table(self) -> RunTable:
        """The table."""
        return self.query_one(RunTable)

    def on_mount(self) -> None:
        """Show the runs that are already known."""
        self._show()

    # -- changes ---------------------------------------------------------------------------------------------

    def look(self, *, fully: bool = False, seconds: float = 0.03) -> None:
        """Read changes for about the given time; the rest follows automatically."""
        if self._listing.refresh(fully=fully, seconds=seconds):
            self._show()
        if not self._listing.is_complete:
            self.set_timer(0.01, self.look)

    def show_selected(self) -> None:
        """Show the number of runs in the list, and of selected runs."""
        shown, selected, everything = len(self.table.keys), len(self.table.selected), self.table.n_runs
        parts = [f"{shown} of {everything} match" if self.table.filter_text else f"{everything} in all"]
        parts += [f"{selected} selected"] * bool(selected)
        self.border_subtitle = ", ".join(parts) if everything else ""

    def _show(self) -> None:
        self.table.show_runs({k: e for k, e in self._listing.entries.items() if k not in self._leave_out})
        self._show_message()

    def _show_message(self) -> None:
        message = ""
        if self._listing.problem:
            message = self._listing.problem
        elif not self._listing.entries and self._listing.is_complete:
            message = "No runs yet.\nThe lab (F2) starts one."
        elif not self.table.n_runs and self._listing.is_complete:
            message = "There are no other runs."
        elif not self.table.keys and self.table.filter_text:
            message = f"No run matches {self.table.filter_text!r}.\nEscape shows all of them."
        self.set_class(bool(message), "-empty")
        self.query_one("#nothing", Static).update(message)
        self.show_selected()

    # -- the filter ------------------------------------------------------------------------------------------

    @property
    def is_filtering(self) -> bool:
        """Whether the filter is visible."""
        return self.has_class("-filtering")

    def open_filter(self) -> None:
        """Focus the filter."""
        self.add_class("-filtering")
        self.query_one(Input).focus()

    def close_filter(self) -> None:
        """Clear the filter."""
        self.query_one(Input).value = ""
        self.remove_class("-filtering")
        self.table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Apply the filter while it is typed."""
        self.table.filter_text = event.value.strip()
        self.table.lay_out()
        self._show_message()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return to the table; hide an empty filter."""
        event.stop()
        if not self.table.filter_text:
            self.remove_class("-filtering")
        self.table.focus()

    def on_key(self, event: events.Key) -> None:
        """Move from the filter to the table."""
        if event.key == "down" and self.query_one(Input).has_focus:
            event.stop()
            self.table.focus()

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """Notify the screen."""
        event.table.focus()
