"""A live view of one run: progress, curves, table, layers and log."""

from __future__ import annotations

import time
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..curves import CURVE, curve_name, named_rows
from ..drawing.bars import draw_bars
from ..drawing.plotting import Series, plot_accuracy_curves, plot_curves
from ..runs import descriptions
from ..text import clean, fitted
from .picture import Picture
from .plot import Draw, Plot, as_high_as_it_is
from .results import ResultsTable
from .run_summary import heading, layer_bars, loss_curve, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..runs.view import Row, RunView, RunWatcher, TrainingCurve

#: A small panel shows one of these below its plot.
PARTS = ("table", "layers", "log")

LOG_LINES = 200


class RunPanel(Vertical, can_focus=True):
    """Shows the state of a `RunWatcher`, in as much detail as fits.

    A small panel shows the plot and one of table, layers and log; a larger one shows all of these; a very large one
    also shows the training plots, which the pruning plot otherwise replaces when its first point is finished.

    Parameters
    ----------
    welcome : str
        Markup that is shown if there is no run.
    """

    DEFAULT_CSS = """
    RunPanel { height: 1fr; width: 1fr; }
    RunPanel #welcome { padding: 1 3; height: auto; max-width: 80; }
    RunPanel #run { height: 1fr; }
    RunPanel #heading { height: auto; max-height: 6; }
    RunPanel #progress { height: 2; }
    RunPanel #parts { height: 1fr; layout: vertical; }
    RunPanel .stage { height: 1fr; layout: horizontal; }
    RunPanel #tabs { height: 1; background: $boost; link-style: none; }
    RunPanel .part { height: 7; }
    RunPanel #log { scrollbar-size-vertical: 1; }

    RunPanel.-large #parts { layout: grid; grid-size: 2 3; grid-columns: 2fr 3fr; grid-rows: 1fr 10 7; }
    RunPanel.-large .stage { column-span: 2; height: 100%; }
    RunPanel.-large #table { row-span: 2; }
    RunPanel.-large .part, RunPanel.-huge .part { height: 100%; }

    RunPanel.-huge #parts { layout: grid; grid-size: 3 2; grid-columns: 1fr; grid-rows: 3fr 2fr; }
    RunPanel.-huge .stage { height: 100%; layout: vertical; }
    RunPanel.-huge #curve { column-span: 2; }
    RunPanel.-large #tabs, RunPanel.-huge #tabs { display: none; }
    """

    def __init__(self, welcome: str, *, id: str | None = None):
        super().__init__(id=id)
        self._welcome = welcome
        self._watcher: RunWatcher | None = None
        self._size_name = ""
        self._part = PARTS[0]
        self._stage_wanted = ""
        self._drawn: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """All parts; the size determines which of them are visible."""
        yield Static(self._welcome, id="welcome")
        with Vertical(id="run"):
            yield Static(id="heading")
            yield Picture(id="progress")
            with Container(id="parts"):
                with Container(id="training", classes="stage"):
                    yield Plot(id="loss")
                    yield Plot(id="accuracy")
                with Container(id="curve", classes="stage"):
                    yield Plot(id="accuracies")
                yield Static(id="tabs")
                with Container(id="table", classes="part"):
                    yield ResultsTable()
                with Container(id="layers", classes="part"):
                    yield Plot(id="bars")
                with VerticalScroll(id="log", classes="part"):
                    yield Static(id="lines", markup=False)

    def on_mount(self) -> None:
        """Set the titles; hide run and welcome text until it is known which to show."""
        self.query_one("#run").display = self.query_one("#welcome").display = False
        names = {"training": "Training", "curve": "Pruning", "table": "Accuracy (%)", "layers": "Kept", "log": "Log"}
        for part, name in names.items():
            self.query_one(f"#{part}").border_title = name
        self.query_one("#log", VerticalScroll).anchor()  # show its end unless the user scrolls up

    # -- content ---------------------------------------------------------------------------------------------

    @property
    def is_small(self) -> bool:
        """Whether only one of `PARTS` is visible."""
        return self._size_name == "small"

    @property
    def shows_all(self) -> bool:
        """Whether everything is visible."""
        return self._size_name == "huge"

    def watch_run(self, watcher: RunWatcher | None, instead: str = "") -> None:
        """Show another run; or none, and a message instead of the welcome text."""
        self._watcher = watcher
        self.query_one("#welcome", Static).update(Content(instead) if instead else self._welcome)
        self.query_one("#run").display = watcher is not None
        self.query_one("#welcome").display = watcher is None
        self._stage_wanted = ""
        self._drawn.clear()
        self.refresh_run()

    def choose_part(self, part: str) -> None:
        """Show one of `PARTS`, if only one is visible."""
        self._part = part
        self.refresh_run()

    def next_part(self) -> None:
        """Show the next of `PARTS`."""
        self.choose_part(PARTS[(PARTS.index(self._part) + 1) % len(PARTS)])

    def toggle_stage(self) -> None:
        """Switch between the plots of training and pruning, if only one is visible."""
        self._stage_wanted = "curve" if self._stage == "training" else "training"
        self.refresh_run()

    @property
    def _stage(self) -> str:
        """The plots to show if not all of them fit."""
        if self._stage_wanted:
            return self._stage_wanted
        return "curve" if self._watcher is not None and self._watcher.view.rows else "training"

    def on_resize(self, event: events.Resize) -> None:
        """Arrange the parts for the size."""
        width, height = event.size
        name = "huge" if width >= 120 and height >= 44 else "large" if width >= 60 and height >= 28 else "small"
        if name == self._size_name:
            return
        self._size_name = name
        for other in ("small", "large", "huge"):
            self.set_class(other == name, f"-{other}")
        self.query(".stage, .part").set_class(name != "small", "panel")  # borders, if there is room
        parts, training = self.query_one("#parts"), self.query_one("#training")
        # If both plots are visible, the table is beside the pruning plot, and the training plot below.
        if name == "huge":
            parts.move_child(training, after=self.query_one("#table"))
        else:
            parts.move_child(training, before=0)
        self.refresh_run()

    def refresh_run(self) -> None:
        """Redraw what has changed."""
        if self._watcher is None or not self._size_name:
            return
        view = self._watcher.view
        for part in PARTS:
            self.query_one(f"#{part}").display = not self.is_small or part == self._part
        for stage in ("training", "curve"):
            self.query_one(f"#{stage}").display = self._size_name == "huge" or stage == self._stage
        self._draw_heading(self._watcher)
        self._draw_training(view)
        self._draw_points(view)
        self._draw_layers(view)
        self._draw_log(view)

    def _is_new(self, part: str, *state: Any) -> bool:
        """Whether a part must be redrawn because its state has changed."""
        if self._drawn.get(part) == state:
            return False
        self._drawn[part] = state
        return True

    @property
    def _ascii(self) -> bool:
        return getattr(self.app, "ascii_only", False)

    # -- parts -----------------------------------------------------------------------------------------------

    def _draw_heading(self, watcher: RunWatcher) -> None:
        content = heading(watcher, self._ascii)
        if self._is_new("heading", content):
            self.query_one("#heading", Static).update(content)
        bars = progress(watcher.view)
        plot = self.query_one("#progress", Picture)
        plot.display = watcher.is_live
        if watcher.is_live and self._is_new("progress", bars):
            plot.styles.height = len(bars)
            plot.show(as_high_as_it_is(partial(draw_bars, bars)))
        if self.is_small and self._is_new("tabs", self._part):
            self.query_one("#tabs", Static).update(_tabs(self._part))

    def _draw_training(self, view: RunView) -> None:
        curves = [curve for curve in view.curves if curve.phase == "training"]
        if not self.query_one("#training").display:
            return
        last = curves[-1] if curves else None
        state = (len(curves), len(last.loss), len(last.epoch_loss)) if last else ()
        if self._is_new("training", state):
            epochs = view.spec.parameter("max_iter")
            seed = f", seed {last.seed}" if last and len(view.spec.seeds) > 1 else ""
            self.query_one("#loss", Plot).show(_loss_plot(last, epochs, seed))
            self.query_one("#accuracy", Plot).show(_accuracy_plot(last, epochs, seed))

    def _draw_points(self, view: RunView) -> None:
        if self.query_one("#curve").display and self._is_new("curve", len(view.rows)):
            self.query_one("#accuracies", Plot).show(_pruning_plot(view))
        # Also while it is hidden: the layers shown are those of the point under its cursor.
        if self._is_new("table", len(view.rows), self.is_small):
            table = self.query_one(ResultsTable)
            table.begin(view.spec, is_transposed=self.is_small)
            table.update_rows(view.rows, self._ascii)
            self.query_one("#table").styles.height = min(len(table.rows) + 2, 7) if self.is_small else None

    def _draw_layers(self, view: RunView) -> None:
        panel = self.query_one("#layers")
        point = self.query_one(ResultsTable).point
        if not panel.display or not self._is_new("layers", point, len(view.rows)):
            return
        found = [i for i, row in enumerate(view.rows) if point in (None, (curve_name(row, view.spec), row["sparsity"]))]
        if not found:
            self.query_one("#bars", Plot).show(_nothing)
            return
        row = view.rows[found[-1]]
        name = f"{curve_name(row, view.spec)}, {100 * row['sparsity']:.10g} % removed"
        self.query_one("#bars", Plot).show(
            _layers_plot(
                row,
                name,
                view.layers[found[-1]],
                view.units[found[-1]],
                view.widths,
                {"weights": descriptions.layer_names(view.spec), "units": descriptions.unit_names(view.spec)},
            )
        )

    def _draw_log(self, view: RunView) -> None:
        if not self.query_one("#log").display or not self._is_new("log", len(view.log), view.log[-1:]):
            return
        lines = [f"{time.strftime('%H:%M:%S', time.localtime(t))} {text}" for t, text in view.log[-LOG_LINES:]]
        text = "\n".join(clean(line, self._ascii) for line in lines)
        self.query_one("#lines", Static).update(text)

    def on_results_table_point_chosen(self, event: ResultsTable.PointChosen) -> None:
        """Show the layers of another point."""
        event.stop()
        self.refresh_run()


# Drawing ------------------------------------------------------------------------------------------------


def _tabs(part: str) -> Content:
    """The names of the parts, which can be clicked."""
    names = [f"[@click=screen.part('{name}')]{' '}{name}{' '}[/]" for name in PARTS]
    names[PARTS.index(part)] = f"[reverse]{names[PARTS.index(part)]}[/reverse]"
    return Content.from_markup(" ".join(names))


def _nothing(*, width: int, ascii_only: bool, **_: int) -> str:
    return fitted("available after the first point", width, ascii_only)


def _loss_plot(curve: TrainingCurve | None, epochs: int, seed: str) -> Draw:
    x, y = loss_curve(curve.loss, curve.epoch_loss) if curve else ([], [])
    return partial(plot_curves, [Series("", x, y)], x_label="epoch", y_label="loss" + seed, x_limits=(0, epochs))


def _accuracy_plot(curve: TrainingCurve | None, epochs: int, seed: str) -> Draw:
    parts: list[tuple[str, list[tuple[float, float]]]] = []
    if curve is not None:
        parts = [("test", curve.accuracy), ("validation", curve.validation)]
    shown = [Series(name, [x for x, _ in part], [100 * y for _, y in part]) for name, part in parts if part]
    return partial(plot_curves, shown, x_label="epoch", y_label="accuracy (%)" + seed, x_limits=(0, epochs))


def _pruning_plot(view: RunView) -> Draw:
    rows = named_rows(view.rows, view.spec)
    marks = [(100 * value, f"{name} {100 * value:.0f} %") for name, value in view.knees().items()]
    return partial(plot_accuracy_curves, rows, title=None, group_by=(CURVE,), marks=marks)


def _layers_plot(
    row: Row,
    name: str,
    weights: list[list[int]],
    units: list[list[int]],
    widths: list[list[int]],
    names: Mapping[str, list[str]],
) -> Draw:
    """Bars of the weights and of the units, below or beside each other; if neither fits, only of what was pruned."""
    parts = [("weights", weights), ("units", units)]
    if row["granularity"] == "unit":
        parts.reverse()

    def draw(*, width: int, height: int, colour: bool, ascii_only: bool) -> str:
        is_tall = height > 2 * len(weights) + 2
        room = width if is_tall or width < 60 else (width - 3) // 2
        blocks = []
        for of, counts in parts:
            bars = layer_bars(counts, widths, names[of], of, is_wide=room >= 60, ascii_only=ascii_only)
            text = draw_bars(bars, width=room, colour=colour, ascii_only=ascii_only)
            blocks.append([fitted(f"{of} kept", room, ascii_only), *text.splitlines()])
        if is_tall:
            lines = blocks[0] + blocks[1]
        elif room < width:
            lines = [f"{left}   {right}" for left, right in zip_longest(*blocks, fillvalue=" " * room)]
        else:
            lines = blocks[0]
        return "\n".join([fitted(name, width, ascii_only), *lines][:height])

    return draw
