"""The app: five screens over the run store, themes, and the handling of terminal signals.

This process computes nothing: runs have workers (`runs.supervisor`), and the service process (`service.client`) answers
requests about models and data. So neither torch nor scikit-learn is imported here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import App, ScreenStackError
from textual.color import Color
from textual.css.query import NoMatches
from textual.dom import NoScreen
from textual.worker import WorkerFailed

from ..estimators.data.datasets import data_home
from ..estimators.files import make_private_folder
from .garbage import IdleCollector
from .input_queue import InputQueue, Passed
from .keys import KEYS, SCREENS, ScreenInfo, bindings, key_name
from .line_filters import AsciiFilter, ColourlessFilter, ControlFilter, brightness
from .runs import descriptions, supervisor
from .runs.records import RecordError, read_record, write_record
from .runs.schemas import Settings
from .runs.store import Run, RunError, RunStore
from .screens.base import Arrived, LabScreenBase
from .screens.dialogs import Choice
from .screens.lab import LabScreen
from .service.client import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.app import SystemCommand
    from textual.binding import Binding
    from textual.filter import LineFilter
    from textual.screen import Screen
    from textual.widget import AwaitMount

    from .runs.spec import RunSpec

TICK = 0.25

#: Maximum seconds between a change of screens and the first frame of the new one.
LONGEST_DELAY = 0.01

THEMES = (
    "textual-dark",
    "textual-light",
    "nord",
    "gruvbox",
    "tokyo-night",
    "solarized-light",
    "ansi-dark",
    "ansi-light",
)


def _when_needed(screen: ScreenInfo) -> Callable[[], Screen]:
    """Import a screen when it is first shown: the first frame does not wait for it."""
    return lambda: getattr(import_module(f".screens.{screen.name}", __package__), screen.class_name)()


class PrunelabApp(App[None]):
    """The lab.

    Parameters
    ----------
    store : RunStore, optional
        The folder of the run directories.
    run : Run, optional
        The run that the lab shows first; by default the one that is running, if any.
    data_root : str, optional
        The folder of the data sets.
    ascii_only : bool
        Draw with ASCII characters only.
    """

    TITLE = "prunelab"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar = {screen.name: _when_needed(screen) for screen in SCREENS}
    DEFAULT_MODE = "lab"
    BINDINGS = bindings("everywhere")

    def __init__(
        self,
        store: RunStore | None = None,
        *,
        run: Run | None = None,
        data_root: str | None = None,
        ascii_only: bool = False,
    ):
        super().__init__()
        self.store = RunStore() if store is None else store
        self.service = Service()
        self.data_root = data_root
        self.ascii_only = ascii_only
        #: The run that the lab shows.
        self.run_shown = run
        #: The run whose model the explorer shows.
        self.run_explored: Run | None = None
        #: The runs that are compared.
        self.runs_compared: list[Run] = []
        self._collector: IdleCollector | None = None
        self._input = InputQueue(self, super().on_event)
        self._settings_path = data_home() / "settings.json"
        self._plain_filters = [
            ControlFilter(),
            *([ColourlessFilter(self._brightness)] if self.no_color else []),
            *([AsciiFilter()] if ascii_only else []),
        ]

    # -- screens ---------------------------------------------------------------------------------------------

    async def action_go(self, place: str) -> None:
        """Show a screen."""
        if isinstance(self.screen, LabScreenBase):
            await self.switch_mode(place)

    def switch_mode(self, mode: str) -> AwaitMount:
        """Show another screen, and notify it."""
        is_other = mode != self.current_mode
        awaitable = super().switch_mode(mode)
        if is_other:
            self.screen_stack[0].post_message(Arrived())
        return awaitable

    def delay_update(self, delay: float = 0.05) -> None:
        """Limit the time for which Textual draws nothing when screens change: these screens are composed quickly."""
        super().delay_update(min(delay, LONGEST_DELAY))

    async def show_run(self, run: Run) -> None:
        """Show a run in the lab."""
        self.run_shown = run
        await self.switch_mode("lab")

    async def edit_spec(self, spec: RunSpec) -> None:
        """Load an experiment into the form of the lab."""
        await self.switch_mode("lab")
        if isinstance(self.screen, LabScreen):
            await self.screen.edit(spec)

    async def explore_run(self, run: Run) -> None:
        """Show the model of a run in the Explore screen."""
        self.run_explored = run
        await self.switch_mode("explore")

    async def compare_runs(self, runs: list[Run]) -> None:
        """Compare the curves of some runs."""
        self.runs_compared = runs
        await self.switch_mode("compare")

    def action_help(self) -> None:
        """Show the keys."""
        if isinstance(self.screen, LabScreenBase):
            from .screens.help import HelpScreen

            self.push_screen(HelpScreen(self.screen.NAME))

    def action_next_theme(self) -> None:
        """Switch to the next colour theme."""
        i = THEMES.index(self.theme) if self.theme in THEMES else -1
        self.theme = THEMES[(i + 1) % len(THEMES)]

    async def action_quit(self) -> None:
        """Quit; if the run that the lab shows is running, ask whether to stop it."""
        run = self.run_shown
        if run is None or not run.is_alive():
            self.exit()
            return

        def answered(answer: str | None) -> None:
            if answer is None or answer == "back":
                return
            if answer == "stop":
                self.stop_run(run)
            self.exit()

        self.push_screen(
            Choice(
                f"{descriptions.title(run)} is running.",
                [("d", "detach", "Leave it running"), ("s", "stop", "Stop it"), ("b", "back", "Back")],
            ),
            answered,
        )

    def stop_run(self, run: Run) -> None:
        """Ask a run to stop; the second time, end its process immediately."""
        try:
            if supervisor.stop(run):
                self.notify("The run stops after its current step. Press again to end it immediately.", markup=False)
            else:
                supervisor.kill(run)
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        """The entries of the palette: some of Textual's own commands, and the actions of the current screen."""
        from textual.app import SystemCommand

        for key in [*KEYS.get(getattr(screen, "NAME", ""), []), *KEYS["everywhere"]]:
            if key.action not in ("command_palette", "quit"):
                owner = screen if key in KEYS.get(getattr(screen, "NAME", ""), []) else self
                yield SystemCommand(
                    key.help[0].upper() + key.help[1:],
                    f"key {key.key.split(',')[0]}",
                    lambda action=key.action, owner=owner: self.call_later(self.run_action, action, owner),
                )
        yield from (c for c in super().get_system_commands(screen) if c.title in ("Theme", "Quit", "Screenshot"))

    # -- the terminal ----------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Restore the theme, start the timer that polls four times a second, and watch for the terminal to close."""
        with contextlib.suppress(RecordError, FileNotFoundError):
            theme = read_record(self._settings_path, Settings).get("theme")
            if theme in self.available_themes:
                self.theme = theme
        self.set_class(self.ascii_only, "-ascii")
        self.watch(self, "theme", self._keep_theme, init=False)
        if self.run_shown is None:
            with contextlib.suppress(RunError):
                self.run_shown = next((run for run in self.store.runs()[:50] if run.is_alive()), None)
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # after ctrl+z and fg
        self.set_interval(TICK, self._tick)
        self.run_worker(self._input.run(), name="input", group="input")
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGHUP, signal.SIGTERM):
                loop.add_signal_handler(number, self.exit)
            threading.Thread(target=self._watch_terminal, args=(loop,), daemon=True).start()
            self.set_timer(TICK, self._collect_when_idle)  # after the first frame

    async def on_unmount(self) -> None:
        """End the service process."""
        if self._collector is not None:
            self._collector.end()
        await self.service.close()

    def _handle_exception(self, error: Exception) -> None:
        """End with an error, except for lookups that fail while the app ends and its widgets are being removed."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        is_ending = self._exit or not self.is_running
        if not (is_ending and isinstance(cause, (NoMatches, NoScreen, ScreenStackError))):
            super()._handle_exception(error)

    async def on_event(self, event: events.Event) -> None:
        """Put input into the queue; handle other events immediately."""
        if not InputQueue.takes(event):
            await super().on_event(event)
            return
        if self._collector is not None:
            self._collector.note_input()
        self._input.put(event)

    def on_input_queue_passed(self, message: Passed) -> None:
        """All input before this message has been handled."""
        message.arrived.set()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Filters for everything drawn: no control characters, no colours with NO_COLOR, only ASCII if requested."""
        return [*super().get_line_filters(), *self._plain_filters]

    def get_key_display(self, binding: Binding) -> str:
        """The name of a key in the footer."""
        name = super().get_key_display(binding)
        return name if name.isascii() or not self.ascii_only else key_name(binding.key, ascii_only=True)

    def _brightness(self) -> int:
        return brightness(Color.parse(self.theme_variables["background"]))

    def _collect_when_idle(self) -> None:
        self._collector = IdleCollector()

    def _tick(self) -> None:
        supervisor.reap()
        if self._collector is not None:
            self._collector.tick()
        if isinstance(screen := next(reversed(self.screen_stack), None), LabScreenBase):  # no screen when the app ends
            screen.look()

    def _keep_theme(self, theme: str) -> None:
        with contextlib.suppress(OSError):
            make_private_folder(self._settings_path.parent)
            write_record(self._settings_path, {"theme": theme})

    def _watch_terminal(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the app when its terminal is closed: Textual would keep polling it at full speed."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            hangup = select.poll()
            hangup.register(sys.__stdin__.fileno(), 0)  # type: ignore[union-attr]  # only events that cannot be masked
            hangup.poll()
            loop.call_soon_threadsafe(self.exit)
            # A driver that waits for the terminal may block the exit; runs do not depend on this process.
            threading.Timer(3.0, os._exit, args=(1,)).start()


def run_app(
    run: Run | None = None, *, data_root: str | None = None, ascii_only: bool = False, store: RunStore | None = None
) -> int:
    """Open the app; returns the exit status."""
    app = PrunelabApp(store, run=run, data_root=data_root, ascii_only=ascii_only)
    app.run()
    return app.return_code or 0
