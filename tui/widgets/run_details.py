"""The details of a run: state, settings, folder, and, if there is room, its curves."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..curves import CURVE, named_rows
from ..drawing.plotting import plot_accuracy_curves
from ..runs import descriptions
from ..runs.listing import Entry
from ..runs.store import RunError
from ..text import clean, duration
from .plot import Plot

#: Minimum size for the curves.
PLOT_WIDTH, PLOT_HEIGHT = 100, 8


def describe(entry: Entry) -> list[str]:
    """Sentences about the state of a run, its settings, and its folder."""
    spec = entry.spec
    lines = [_state(entry)]
    if spec is not None:
        lines += [
            f"{descriptions.dataset(spec)}: {descriptions.training(spec)}",
            f"prunes: {descriptions.pruning(spec)}",
        ]
    return [*lines, f"{descriptions.folder(entry.run.path)} ({descriptions.size(entry.run.size())})"]


def _state(entry: Entry) -> str:
    if entry.spec is None:
        return f"unreadable: {entry.reason} (d deletes it)"
    if entry.state == "unreadable":
        return f"unreadable: {entry.reason} (u resumes it, d deletes it)"
    points = f"{entry.points} of {entry.spec.n_points} points, {duration(entry.seconds)}"
    match entry.state:
        case "failed":
            return f"failed: {entry.reason or 'unknown reason'} ({points}; u resumes it)"
        case "interrupted":
            return f"interrupted: {entry.reason or 'its process has ended'} ({points}; u resumes it)"
        case "stopped":
            return f"stopped ({points}; u resumes it)"
        case "running":
            return f"{entry.reason or 'running'} ({points}; s stops it)"
    return f"finished ({points})"


class RunDetails(Horizontal):
    """The details of the run that `show_run` sets."""

    DEFAULT_CSS = """
    RunDetails { height: 6; }
    RunDetails VerticalScroll { width: 1fr; scrollbar-size-vertical: 1; }
    RunDetails Plot { display: none; width: 3fr; margin-left: 2; }
    RunDetails.-roomy VerticalScroll { width: 2fr; }
    RunDetails.-roomy Plot { display: block; }
    """

    def __init__(self, *, id: str | None = None):
        super().__init__(id=id, classes="panel")
        self._entry: Entry | None = None
        self._waiting = False
        self.display = False

    def compose(self) -> ComposeResult:
        """The text beside the curves."""
        with VerticalScroll(can_focus=False):
            yield Static(id="words", markup=False)
        yield Plot()

    def show_run(self, entry: Entry | None) -> None:
        """Show a run, or nothing; the curves follow when the cursor stops moving."""
        if entry is self._entry:
            return
        self.display = entry is not None
        self._entry = entry
        if not self._waiting:
            self._waiting = True
            self.set_timer(0.1, self._show)

    def on_resize(self) -> None:
        """Adapt to the size: show the curves, and space between the sentences, if there is room."""
        self._set_roomy()
        self._show_words()
        self._show_curves()

    def _show(self) -> None:
        self._waiting = False
        self._show_words()
        self._show_curves()

    def _show_words(self) -> None:
        entry = self._entry
        ascii_only = getattr(self.app, "ascii_only", False)
        self.border_title = Content("" if entry is None else clean(entry.title, ascii_only))
        between = "\n\n" if self.has_class("-roomy") else "\n"
        lines = [] if entry is None else describe(entry)
        self.query_one("#words", Static).update(clean_lines(lines, between, ascii_only))

    def _set_roomy(self) -> None:
        self.set_class(self.size.width >= PLOT_WIDTH and self.size.height >= PLOT_HEIGHT, "-roomy")

    def _show_curves(self) -> None:
        entry = self._entry
        if entry is None or not self.has_class("-roomy"):
            return
        try:
            rows = named_rows(entry.run.points(), entry.run.spec)
        except RunError:
            rows = []
        self.query_one(Plot).show(partial(plot_accuracy_curves, rows, title=None, group_by=(CURVE,)))


def clean_lines(lines: list[str], between: str, ascii_only: bool) -> str:
    """Join lines of untrusted text."""
    return between.join(clean(line, ascii_only) for line in lines)
