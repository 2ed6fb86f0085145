"""The Compare screen: the curves of several runs in one plot, and their differences at equal sparsity."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from functools import partial

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from ...estimators.studies.statistics import mean_interval
from ..drawing.axes import round_limits
from ..drawing.plotting import Series, plot_curves
from ..keys import bindings
from ..runs import descriptions
from ..runs.compare import AXES, MEASURES, Curve, drawn, named, opponents, varying_ways
from ..runs.compared_run import ComparedRun
from ..runs.store import Run, RunError
from ..widgets.curve_table import CurveTable
from ..widgets.plot import Draw, Plot
from ..widgets.table import Table
from .base import LabScreenBase
from .picker import RunPicker

SECONDS_BETWEEN_LOOKS = 1.0

NOTHING = """Nothing to compare yet.

Press a to choose runs here,
or select runs with space in the list of runs (F4) and press v."""


class CompareScreen(LabScreenBase):
    """The plot above the table of differences; `_show` updates both from the runs and the user's choices."""

    NAME = "compare"
    BINDINGS = bindings("compare")

    DEFAULT_CSS = """
    CompareScreen #warning { display: none; height: auto; padding: 0 1; color: $text-warning; }
    CompareScreen #curves { height: 1fr; margin: 0 1; }
    CompareScreen #nothing { display: none; height: 1fr; content-align: center middle; text-align: center; }
    CompareScreen #nothing { color: $text-muted; }
    CompareScreen.-empty #nothing { display: block; }
    CompareScreen.-empty #curves, CompareScreen.-empty #differences { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: dict[str, ComparedRun] = {}
        self._curves: list[Curve] = []
        self._hidden: set[str] = set()
        self._only: tuple[str, str] | None = None
        self._base_key: str | None = None
        self._is_base_alone = False
        self._measure, self._axis = "accuracy", "sparsity"
        self._next_look = 0.0

    def body(self) -> ComposeResult:
        """The warning, the plot and the table."""
        yield Static(id="warning", markup=False)
        yield Plot(id="curves")
        with Vertical(id="differences", classes="panel"):
            yield CurveTable()
        yield Static(NOTHING, id="nothing")

    @property
    def table(self) -> CurveTable:
        """The table of curves."""
        return self.query_one(CurveTable)

    def on_mount(self) -> None:
        """Focus the table."""
        self.table.focus()

    def on_screen_resume(self) -> None:
        """Load the runs, which may have changed on another screen."""
        self._take_runs()

    def on_resize(self) -> None:
        """Give the table the height that it needs, up to a half."""
        self._share_height()
        self.call_after_refresh(self._entitle)

    # -- the runs --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Read new points."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + SECONDS_BETWEEN_LOOKS
            if any(compared.may_have_changed() for compared in self._runs.values()):
                self._follow()

    def _take_runs(self) -> None:
        """Load the runs that the app compares."""
        taken: dict[str, ComparedRun] = {}
        for run in self.lab.runs_compared:
            try:
                taken[run.id] = self._runs.get(run.id) or ComparedRun(run)
            except RunError as error:
                self.notify(str(error), severity="error", markup=False)
        self._runs = taken
        self._take_curves()
        self._follow()

    def _take_curves(self) -> None:
        """Show the current curves of the runs."""
        self._curves = named([curve for compared in self._runs.values() for curve in compared.curves()])
        if not any(map(self._is_wanted, self._curves)):
            self._only = None
        self._show()

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        """Read new points in the background."""
        has_changed = False
        for compared in list(self._runs.values()):
            if compared.may_have_changed():
                has_changed |= await asyncio.to_thread(compared.poll)
        gone = [compared for compared in self._runs.values() if compared.state == "gone"]
        for compared in gone:
            self.notify(f"{compared.title} was deleted.", markup=False)
            self._drop(compared.run)
        if any(len(compared.spec.seeds) > 1 for compared in self._runs.values()):
            await asyncio.to_thread(mean_interval, (0.0, 1.0))  # the first call imports a part of scipy
        if has_changed or gone:
            self._take_curves()

    def _drop(self, run: Run) -> None:
        self._runs.pop(run.id, None)
        self.lab.runs_compared = [other for other in self.lab.runs_compared if other.id != run.id]

    # -- what is shown ---------------------------------------------------------------------------------------

    def _is_wanted(self, curve: Curve) -> bool:
        return self._only is None or str(curve.ways[self._only[0]]) == self._only[1]

    def _show(self) -> None:
        curves = self._curves
        shown = [curve for curve in curves if self._is_wanted(curve)]
        self.set_class(not curves, "-empty")
        self._warn()
        if not curves:
            self.table.show_curves([], {}, {})
            return
        base = self._base()
        places = {curve.key: place for place, curve in enumerate(curves)}
        self.table.show_curves(
            shown,
            opponents(curves, base, alone=self._is_base_alone),
            places,
            hidden=self._hidden,
            measure=self._measure,
        )
        self._entitle()
        self._share_height()
        is_drawn = {curve.key for curve in shown} - self._hidden
        self.query_one(Plot).show(drawing(curves, is_drawn, self._measure, self._axis))

    def _base(self) -> Curve:
        """The baseline curve, or the curve whose run is the baseline."""
        return next((curve for curve in self._curves if curve.key == self._base_key), self._curves[0])

    def _entitle(self) -> None:
        panel = self.query_one("#differences")
        unit = "points" if self._measure == "accuracy" else "loss"
        panel.border_title = f"{MEASURES[self._measure][0]}, and the difference in {unit} at equal sparsity"
        notes = [f"only {self._only[1]}"] if self._only else []
        notes += ["seed by seed, 95 % interval"] if self.table.has_intervals else []
        running = sum(compared.state == "running" for compared in self._runs.values())
        notes += [f"{running} running"] if running else []
        notes += ["left, right: more"] if self.table.is_wider else []
        panel.border_subtitle = "; ".join(notes)

    def _warn(self) -> None:
        data = list(dict.fromkeys(descriptions.dataset(compared.spec) for compared in self._runs.values()))
        warning = self.query_one("#warning", Static)
        warning.display = len(data) > 1
        warning.update(f"Different data ({', '.join(data)}): the figures are not comparable.")

    def _share_height(self) -> None:
        wanted = 2 + 1 + 2 * len(self.table.keys)
        self.query_one("#differences").styles.height = max(5, min(wanted, (self.size.height - 2) // 2))

    # -- keys ------------------------------------------------------------------------------------------------

    def _current(self) -> Curve | None:
        """The curve under the cursor."""
        return next((curve for curve in self._curves if curve.key == self.table.cursor), None)

    @work
    async def action_add(self) -> None:
        """Add runs."""
        chosen = await self.app.push_screen_wait(RunPicker(self.lab.store, "Compare with", list(self._runs)))
        if chosen:
            self.lab.runs_compared = [*self.lab.runs_compared, *chosen]
            self._take_runs()

    def action_remove(self) -> None:
        """Remove the run of the curve under the cursor."""
        if (curve := self._current()) is not None:
            self._drop(self._runs[curve.run].run)
            self._take_curves()

    def action_hide(self) -> None:
        """Hide or show a curve."""
        if (curve := self._current()) is not None:
            self._hidden ^= {curve.key}
            self._show()

    def on_table_chosen(self, _: Table.Chosen) -> None:
        """Hide or show the curve under the cursor when it is clicked."""
        self.action_hide()

    def action_only(self) -> None:
        """Cycle through the values that vary, showing only the curves with one of them."""
        choices: list[tuple[str, str] | None] = [None]
        for name, values in varying_ways(self._curves).items():
            choices += [(name, str(value)) for value in values]
        at = choices.index(self._only) if self._only in choices else 0
        self._only = choices[(at + 1) % len(choices)]
        self._show()

    def action_base(self) -> None:
        """Use this curve's run as the baseline; then this curve alone; then the run again."""
        if (curve := self._current()) is None:
            return
        base = self._base()
        if self._is_base_alone:
            self._is_base_alone = base.key != curve.key
        else:
            self._is_base_alone = base.run == curve.run
        self._base_key = curve.key
        self._show()

    def action_measure(self) -> None:
        """Show the other measure."""
        self._measure = _next(MEASURES, self._measure)
        self._show()

    def action_axis(self) -> None:
        """Draw against the next axis."""
        self._axis = _next(AXES, self._axis)
        self._show()

    def action_shift(self, columns: int) -> None:
        """Show higher or lower sparsities."""
        self.table.action_shift(columns)

    async def action_open(self) -> None:
        """Open the run of the curve under the cursor in the lab."""
        if (curve := self._current()) is not None:
            await self.lab.show_run(self._runs[curve.run].run)


def drawing(curves: list[Curve], is_drawn: set[str], measure: str, axis: str) -> Draw:
    """A function that draws curves without a legend, which the table provides.

    Curves that are not drawn keep their places, so that no symbol changes.
    """
    series = [_series(curve, measure, axis) if curve.key in is_drawn else Series("", [], []) for curve in curves]
    limits = _limits(series, measure)
    labels = {"x_label": AXES[axis], "y_label": MEASURES[measure][0]}
    return partial(plot_curves, series, **labels, x_limits=(0, 100), y_limits=limits)


def _series(curve: Curve, measure: str, axis: str) -> Series:
    points = drawn(curve, measure, axis)
    x, mean, low, high = (list(part) for part in zip(*points, strict=True)) if points else ([], [], [], [])
    most = 100.0 if measure == "accuracy" else math.inf
    return Series("", x, mean, [max(value, 0.0) for value in low], [min(value, most) for value in high])


def _limits(series: list[Series], measure: str) -> tuple[float, float] | None:
    """Round limits for an axis of accuracies, within 0 and 100; None (follow the data) for others."""
    values = [v for one in series for part in (one.y, one.low, one.high) for v in part or () if math.isfinite(v)]
    if measure != "accuracy" or not values:
        return None
    low, high = round_limits(min(values), max(max(values), min(values) + 1), 5)
    return max(low, 0.0), min(high, 100.0)


def _next(choices: Iterable[str], choice: str) -> str:
    names = list(choices)
    return names[(names.index(choice) + 1) % len(names)]
