"""The Lab screen: a form that describes an experiment, and a live view of a run."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal

from ..keys import bindings
from ..runs import descriptions, supervisor
from ..runs.store import Run, RunError
from ..runs.view import RunWatcher, watch
from ..text import shorten
from ..widgets.field import Cycle
from ..widgets.form import RunForm
from ..widgets.navigation import Navigation
from ..widgets.run_panel import RunPanel
from ..widgets.run_summary import activity
from .base import LabScreenBase
from .dialogs import Choice, pick_from

if TYPE_CHECKING:
    from textual.binding import ActiveBinding

    from ..runs.spec import RunSpec

#: From this width on, the form and the run are side by side.
WIDE = 120

#: Ticks between two polls of a run that is not running: it may be resumed, renamed or deleted elsewhere.
TICKS_AT_REST = 8

#: Minimum columns for the label of the key `r` in the footer, and the columns that the other keys take there.
LONGEST_NAME, OTHER_KEYS = 16, 62

WELCOME = """[b]How much of a neural network can be deleted?[/b]

Press [b $text-accent]r[/] to see: the lab trains the network of the experiment "Experiments in Pruning" on \
the digits that ship with scikit-learn, deletes its weights and its units step by step, \
and draws the remaining accuracy. That takes a few seconds.

[b $text-accent]n[/] opens the form, in which every part of the experiment can be changed.
[b $text-accent]?[/] shows all keys.

A run continues if you quit or lose the connection; it is shown here when you return."""


class LabScreen(LabScreenBase):
    """A form beside the view of a run; only one of them if there is no room for both."""

    NAME = "lab"
    BINDINGS = bindings("lab")
    AUTO_FOCUS = "#panel"

    DEFAULT_CSS = """
    LabScreen #setup { padding: 0 1; border: none; }
    LabScreen.-wide #setup { width: 52; border-right: solid $primary 50%; }
    LabScreen.-wide.-ascii #setup { border-right: ascii $primary 50%; }
    LabScreen.-wide #panel { padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._form = RunForm(id="setup")
        self._panel = RunPanel(WELCOME, id="panel")
        self._run: Run | None = None
        #: The run last started here: its settings come from the form.
        self._started: Run | None = None
        self._watcher: RunWatcher | None = None
        self._has_model = self._is_editing = self._is_starting = False
        self._activity = ""
        self._ticks = 0

    def body(self) -> ComposeResult:
        """The form, then the run."""
        self.set_class(self.app.size.width >= WIDE, "-wide")  # before styles are computed
        with Horizontal():
            yield self._form
            yield self._panel

    def on_screen_resume(self) -> None:
        """Update after changes on another screen: a data set downloaded, another run chosen or deleted."""
        if self._watcher is not None and self._watcher.state == "gone" and self.lab.run_shown is self._run:
            self.lab.run_shown = None
        if self.lab.run_shown is None:
            self.lab.run_shown = self._latest_run()
            if self.lab.run_shown is None:
                self._panel.watch_run(None)
        self._form.check()
        if self.lab.run_shown is self._run:
            self.call_after_refresh(self.tick)  # draw the previous state first
        else:
            self.tick()

    def on_descendant_focus(self) -> None:
        """Enter or leave the form when it or something else is clicked."""
        if self._form.has_focus_within != self._is_editing and self.size.width >= WIDE:
            self._is_editing = self._form.has_focus_within
            self.refresh_bindings()

    def on_resize(self) -> None:
        """Show the form, the run, or both."""
        self._arrange()

    # -- the run ---------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Check whether another run is to be shown, and read new events of this one."""
        self._ticks += 1
        if self.lab.run_shown is not self._run:
            self._run, self._watcher = self.lab.run_shown, None
            if self._run is not None:
                self._is_editing = False
                self.run_worker(self._begin_watching(self._run), exclusive=True)
        watcher = self._watcher
        if watcher is None or not (watcher.is_live or self._ticks % TICKS_AT_REST == 0):
            return
        before = watcher.state
        if watcher.poll():
            self._take_news(watcher, before)

    def _look_again(self) -> None:
        """Poll a run that was not running."""
        self._ticks = -1
        self.tick()

    async def _begin_watching(self, run: Run) -> None:
        try:
            watcher = await asyncio.to_thread(watch, run)  # there may be many events
        except RunError as error:
            self._panel.watch_run(None, instead=str(error))
            return
        if not self.lab.is_running:
            return
        self._watcher = watcher
        self._arrange()
        self._panel.watch_run(watcher)
        self._take_news(watcher, "")
        if run is not self._started:
            await self._form.built.wait()
            self._form.fill(run.spec)

    def _take_news(self, watcher: RunWatcher, state_before: str) -> None:
        self._panel.refresh_run()
        has_model = bool(watcher.view.sizes) and bool(watcher.run.models())
        if watcher.state != state_before or has_model != self._has_model:
            self._has_model = has_model
            self.refresh_bindings()
        if (text := activity(watcher)) != self._activity:
            self._activity = text
            self.query_one(Navigation).show_activity(text)

    def _latest_run(self) -> Run | None:
        """A run that is running, else the newest run."""
        try:
            runs = self.lab.store.runs()
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)
            return None
        return next((run for run in runs[:50] if run.is_alive()), runs[0] if runs else None)

    # -- the form --------------------------------------------------------------------------------------------

    async def edit(self, spec: RunSpec) -> None:
        """Load an experiment into the form, and enter the form."""
        await self._form.built.wait()
        self._form.fill(spec)
        await self.action_edit()

    def _arrange(self) -> None:
        is_wide = self.size.width >= WIDE
        self.set_class(is_wide, "-wide")
        if not is_wide and self._form.has_focus_within:
            self._is_editing = True
        self._form.display = is_wide or self._is_editing
        self._panel.display = is_wide or not self._is_editing
        self.refresh_bindings()

    def _show_form(self) -> None:
        self._is_editing = True
        self._arrange()

    async def action_edit(self) -> None:
        """Enter the form."""
        await self._form.built.wait()
        self._show_form()
        self._form.focus_first()

    def on_cycle_list_wanted(self, event: Cycle.ListWanted) -> None:
        """Show the options of a field."""
        event.stop()
        pick_from(event.cycle)

    def action_watch(self) -> None:
        """Leave the form."""
        self._is_editing = False
        self._panel.display = True  # a hidden panel cannot be focused
        self.set_focus(self._panel)
        self.call_after_refresh(self._arrange)

    def on_run_form_changed(self) -> None:
        """Update the label of the key that starts a run."""
        self.refresh_bindings()

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The active bindings; the label of the key that starts a run names the experiment in the form."""
        return {key: self._named(active) for key, active in super().active_bindings.items()}

    def _named(self, active: ActiveBinding) -> ActiveBinding:
        if active.binding.action != "start" or self._form.spec is None:
            return active
        longest = max(LONGEST_NAME, self.size.width - OTHER_KEYS)
        what = shorten(descriptions.short(self._form.spec), longest, self.lab.ascii_only)
        return active._replace(binding=dataclasses.replace(active.binding, description=f"Run: {what}"))

    @property
    def _is_form_hidden(self) -> bool:
        """Whether the form is hidden and differs from the run that is shown."""
        shown = self._watcher
        return not self._form.display and shown is not None and not self._form.describes(shown.view.spec)

    # -- running ---------------------------------------------------------------------------------------------

    async def action_start(self) -> None:
        """Run the experiment in the form, if it is valid."""
        await self._form.built.wait()
        self._form.check()
        spec = self._form.spec
        if spec is None:
            self._show_form()
            self.notify(self._form.focus_wrong(), severity="error", markup=False)
            return
        if self._is_form_hidden:
            self._show_form()
            self._form.focus_first()
            self.notify("These settings differ from those of the run shown before: press F7 to run them.", markup=False)
            return
        shown = self.lab.run_shown
        if shown is None or not shown.is_alive():
            await self._launch(spec)
            return

        async def answered(answer: str | None) -> None:
            if answer == "both":
                await self._launch(spec)

        question = f"{descriptions.title(shown)} is running. Two runs share the processors: both become slower."
        self.app.push_screen(Choice(question, [("b", "back", "Back"), ("y", "both", "Run both")]), answered)

    async def _launch(self, spec: RunSpec) -> None:
        if self._is_starting:
            return
        self._is_starting = True
        try:
            run = await asyncio.to_thread(supervisor.start, self.lab.store, spec)
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        finally:
            self._is_starting = False
        self.lab.run_shown = self._started = run
        self.action_watch()
        self.tick()

    async def on_run_form_submitted(self) -> None:
        """Start the run."""
        await self.action_start()

    def action_stop(self) -> None:
        """Stop the run."""
        if self._run is not None:
            self.lab.stop_run(self._run)

    async def action_resume(self) -> None:
        """Resume an unfinished run."""
        if self._run is None:
            return
        try:
            await asyncio.to_thread(supervisor.resume, self._run)
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)
        self._look_again()

    async def action_explore(self) -> None:
        """Prune the model of the run interactively."""
        if self._run is not None:
            await self.lab.explore_run(self._run)

    # -- the panel -------------------------------------------------------------------------------------------

    def action_next_part(self) -> None:
        """Show the next part of the run."""
        self._panel.next_part()

    def action_part(self, part: str) -> None:
        """Show a part of the run."""
        self._panel.choose_part(part)

    def action_stage(self) -> None:
        """Switch between the plots of training and pruning."""
        self._panel.toggle_stage()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Whether a key has an effect now."""
        state = self._watcher.state if self._watcher is not None else ""
        is_seen = bool(state) and not (self._is_editing and self.size.width < WIDE)
        conditions = {
            "begin": self.lab.run_shown is None and not self._is_editing,
            "watch": self._is_editing,
            "stop": state == "running",
            "resume": state in ("stopped", "interrupted", "failed"),
            "explore": self._has_model and bool(state),
            "next_part": is_seen and self._panel.is_small,
            "stage": is_seen and not self._panel.shows_all,
        }
        return conditions.get(action, True)

    async def action_begin(self) -> None:
        """Run the original experiment, before the first run."""
        await self.action_start()
