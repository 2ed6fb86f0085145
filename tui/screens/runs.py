"""The Runs screen: list and manage all runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from textual import work
from textual.app import ComposeResult

from ..keys import bindings
from ..runs import supervisor
from ..runs.export import FORMATS, default_name, default_names, export
from ..runs.listing import Entry, Listing
from ..runs.store import Run, RunError
from ..widgets.run_browser import RunBrowser
from ..widgets.run_details import RunDetails
from ..widgets.table import Table
from .base import LabScreenBase
from .dialogs import Choice, Prompt

SECONDS_BETWEEN_LOOKS = 1.0

#: The file formats: the letter that chooses one, and the label of its button.
EXPORTS = {"csv": ("c", "CSV"), "json": ("j", "JSON"), "svg": ("p", "SVG picture"), "model": ("m", "Model")}


class RunsScreen(LabScreenBase):
    """The list of runs above the details of the one under the cursor."""

    NAME = "runs"
    BINDINGS = bindings("runs")
    VERTICAL_BREAKPOINTS = [(0, "-lowest"), (15, "-low"), (32, "-high")]  # noqa: RUF012 (as Textual declares it)

    DEFAULT_CSS = """
    RunsScreen #browser { height: 1fr; }
    RunsScreen #details { height: 7; }
    RunsScreen.-high #details { height: 45%; max-height: 28; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._listing = Listing(self.lab.store)
        self._next_look = 0.0

    def body(self) -> ComposeResult:
        """The list and the details."""
        yield RunBrowser(self._listing, id="browser")
        yield RunDetails(id="details")

    @property
    def browser(self) -> RunBrowser:
        """The list of runs."""
        return self.query_one(RunBrowser)

    def on_mount(self) -> None:
        """Focus the table."""
        self.browser.table.focus()

    def on_screen_resume(self) -> None:
        """Update the list, which may have changed on another screen."""
        self._look_now()

    def tick(self) -> None:
        """Read new runs and states."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
            self.browser.look()
            self._show_details()

    def on_table_highlighted(self, _: Table.Highlighted) -> None:
        """Show the details of the run under the cursor."""
        self._show_details()

    async def on_table_chosen(self, _: Table.Chosen) -> None:
        """Open the run under the cursor when it is clicked."""
        await self._open()

    def _show_details(self) -> None:
        self.query_one(RunDetails).show_run(self.browser.table.current)

    def _look_now(self) -> None:
        self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
        self.browser.look(fully=True)
        self._show_details()

    # -- the list --------------------------------------------------------------------------------------------

    def action_select(self) -> None:
        """Select or deselect the run under the cursor."""
        self.browser.table.toggle()
        self.browser.show_selected()

    def action_select_all(self) -> None:
        """Select all listed runs, or none."""
        self.browser.table.toggle_all()
        self.browser.show_selected()

    def action_filter(self) -> None:
        """Edit the filter."""
        self.browser.open_filter()

    def action_clear(self) -> None:
        """Close the filter; if there is none, clear the selection."""
        if self.browser.is_filtering:
            self.browser.close_filter()
        else:
            self.browser.table.selected.clear()
            self.browser.table.refresh()
            self.browser.show_selected()

    def action_sort_next(self) -> None:
        """Sort by the next column."""
        self.browser.table.sort_by_next()

    def action_sort_turn(self) -> None:
        """Reverse the order."""
        self.browser.table.sort_by(self.browser.table.sort_key)

    # -- actions that show another screen --------------------------------------------------------------------

    async def action_open(self) -> None:
        """Open the run in the lab; if several are selected, compare them."""
        if len(self.browser.table.selected) > 1:
            await self.action_compare()
        else:
            await self._open()

    async def _open(self) -> None:
        if (entry := self._readable()) is not None:
            await self.lab.show_run(entry.run)

    async def action_compare(self) -> None:
        """Compare the selected runs."""
        entries = [entry for entry in self.browser.table.chosen() if entry.spec is not None]
        if entries:
            await self.lab.compare_runs([entry.run for entry in entries])

    async def action_explore(self) -> None:
        """Prune the model of the run interactively."""
        if (entry := self._readable()) is None:
            return
        if entry.run.models():
            await self.lab.explore_run(entry.run)
        else:
            self._report("It has no network yet: it is not trained yet.")

    async def action_change(self) -> None:
        """Load the settings of the run into the lab's form."""
        if (entry := self._readable()) is not None:
            await self.lab.edit_spec(entry.run.spec)

    def _readable(self) -> Entry | None:
        """The run under the cursor; if it cannot be read, report that and return None."""
        entry = self.browser.table.current
        if entry is not None and entry.spec is None:
            self._report("This run cannot be read; d deletes it.")
            return None
        return entry

    # -- actions that change runs ----------------------------------------------------------------------------

    @work
    async def action_rename(self) -> None:
        """Ask for a name."""
        entry = self.browser.table.current
        if entry is None:
            return
        name = await self.app.push_screen_wait(Prompt(f"A name for {entry.id}", entry.name, "no name"))
        if name is not None:
            await self._do(entry.run.rename, name)

    @work
    async def action_delete(self) -> None:
        """Delete runs after confirmation."""
        entries = self.browser.table.chosen()
        if not entries:
            return
        what = (
            f"{entries[0].title} and all its files" if len(entries) == 1 else f"{len(entries)} runs and all their files"
        )
        question = Choice(f"Delete {what}?", [("k", "keep", "Keep"), ("d", "delete", "Delete")], danger="delete")
        if await self.app.push_screen_wait(question) == "delete":
            for entry in entries:
                await self._do(entry.run.delete)

    @work
    async def action_resume(self) -> None:
        """Resume unfinished runs."""
        entries = self.browser.table.chosen()
        resumable = [entry for entry in entries if entry.is_resumable]
        for entry in resumable:
            await self._do(supervisor.resume, entry.run)
        if entries and not resumable:
            they = f"it is {entries[0].state}" if len(entries) == 1 else "they are not stopped, interrupted or failed"
            self.notify(f"There is nothing to resume: {they}.", markup=False)

    def action_stop(self) -> None:
        """Ask runs to stop."""
        running = [entry for entry in self.browser.table.chosen() if entry.state == "running"]
        for entry in running:
            self.lab.stop_run(entry.run)
        if not running:
            self.notify("The run is not running.", markup=False)

    async def _do(self, change: Callable[..., object], *arguments: object) -> bool:
        """Change files in a thread, and report errors."""
        try:
            await asyncio.to_thread(change, *arguments)
        except (RunError, OSError) as error:
            self._report(str(error))
            return False
        finally:
            self._look_now()
        return True

    # -- exporting -------------------------------------------------------------------------------------------

    @work
    async def action_export(self) -> None:
        """Ask for a format and a path, then write."""
        entries = [entry for entry in self.browser.table.chosen() if entry.spec is not None]
        if not entries:
            return
        many = len(entries) > 1
        what = f"{len(entries)} runs" if many else entries[0].title
        kind = await self.app.push_screen_wait(
            Choice(f"Export {what} as", [(EXPORTS[kind][0], kind, EXPORTS[kind][1]) for kind in FORMATS])
        )
        if kind is None:
            return
        here = Path.cwd()
        asked = "The folder for the files" if many else f"The file for {FORMATS[kind]}"
        default = f"{here}{os.sep}" if many else str(here / default_name(entries[0].run, kind))
        place = await self.app.push_screen_wait(Prompt(asked, default))
        if not place:
            return
        folder = Path(place).expanduser()
        if many and not folder.is_dir():
            self._report(f"{place} is not a folder.")
            return
        names = default_names([entry.run for entry in entries], kind)
        files = [folder / name for name in names] if folder.is_dir() else [folder]
        there = [str(file) for file in files if file.exists()]
        if there:
            question = f"{there[0]} exists." if len(there) == 1 else f"{len(there)} of the files exist."
            answers = [("k", "keep", "Keep"), ("r", "replace", "Replace")]
            if await self.app.push_screen_wait(Choice(question, answers, danger="replace")) != "replace":
                return
        await self._write([entry.run for entry in entries], kind, files)

    async def _write(self, runs: list[Run], kind: str, files: list[Path]) -> None:
        written = 0
        for run, file in zip(runs, files, strict=True):
            try:
                await asyncio.to_thread(export, run, kind, file)
                written += 1
            except RunError as error:
                self._report(str(error))
        if written:
            what = str(files[0]) if len(files) == 1 else f"{written} files to {files[0].parent}"
            self.notify(f"Wrote {what}", markup=False)

    def _report(self, sentence: str) -> None:
        self.notify(sentence, severity="error", markup=False)
