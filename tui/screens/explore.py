"""The Explore screen: prune a trained network interactively."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from ...estimators.parameters import DEFAULTS, WAYS
from ...estimators.pruning.catalogue import GRANULARITIES, NORMS, ORDERS, SCOPES
from ...estimators.pruning.criteria import UNIT_CRITERIA, criterion_names
from ..curves import curve_name
from ..drawing.plotting import plot_accuracy_curves
from ..drawing.pruned_network import draw_classes, draw_figures, draw_pictures
from ..keys import bindings
from ..runs import descriptions
from ..runs.export import default_name
from ..runs.store import RunError
from ..service.client import Overtaken, ServiceError
from ..service.explorer import Figures, Network, gallery_of
from ..widgets.mosaic import Mosaic
from ..widgets.picture import Picture
from ..widgets.plot import Plot
from ..widgets.slider import Slider
from ..widgets.ways import Switches
from .base import LabScreenBase
from .dialogs import Choice, Prompt

if TYPE_CHECKING:
    from textual import events

    from ..runs.store import Run
    from ..service.explorer import Gallery

#: The values of every way of pruning, in the order in which the switches cycle through them.
VALUES: dict[str, list[Any]] = {
    "granularity": list(GRANULARITIES),
    "scope": list(SCOPES),
    "criterion": criterion_names(),
    "norm": list(NORMS),
    "order": list(ORDERS),
}

SWITCH_KEYS = {"granularity": "g", "scope": "s", "criterion": "c", "norm": "n", "order": "o", "seed": "e"}

VIEWS = ("figures", "images", "curve")

#: Images per request; more than a large terminal shows.
PICTURES = 40

#: Seconds without an answer after which the figures are marked as outdated.
SECONDS_UNTIL_OLD = 0.4

START_PERCENT = 50.0

NO_RUN = (
    "There is no trained network yet.",
    "Press F2 for the lab and run an experiment; its network can be explored as soon as it is trained.",
)


class ExploreScreen(LabScreenBase):
    """The figures of one pruning, updated when the slider or a switch moves.

    Attributes
    ----------
    network : Network or None
        The unpruned network; None until it is loaded.
    figures : Figures or None
        The latest figures.
    gallery : Gallery or None
        The latest gallery, which belongs to exact figures.
    """

    NAME = "explore"
    BINDINGS = bindings("explore")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide"), (160, "-very-wide")]  # noqa: RUF012 (as in Textual)
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012

    DEFAULT_CSS = """
    ExploreScreen #subject {
        height: 1; padding: 0 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis;
    }
    ExploreScreen #controls { height: auto; }
    ExploreScreen #message { display: none; }
    ExploreScreen.-empty #subject, ExploreScreen.-empty #controls, ExploreScreen.-message #panels { display: none; }
    ExploreScreen.-message #message { display: block; }
    ExploreScreen .-old { text-opacity: 50%; }

    /* Wide and tall: everything. */
    ExploreScreen #panels { layout: grid; grid-size: 2 2; grid-rows: 16 1fr; height: 1fr; }
    ExploreScreen.-very-wide #panels { grid-size: 3 2; grid-rows: 18 1fr; }
    ExploreScreen.-very-wide #images { column-span: 3; }

    /* Wide and short, or narrow and tall: the figures, and either images or curve. */
    ExploreScreen.-short #panels { grid-size: 3 1; grid-rows: 1fr; }
    ExploreScreen.-short #images { column-span: 1; }
    ExploreScreen.-narrow #images, ExploreScreen.-narrow #curve { column-span: 2; }
    ExploreScreen.-short #curve, ExploreScreen.-narrow #curve { display: none; }
    ExploreScreen.-short.-curve #images, ExploreScreen.-narrow.-curve #images { display: none; }
    ExploreScreen.-short.-curve #curve, ExploreScreen.-narrow.-curve #curve { display: block; }

    /* Narrow and short: one of the three. */
    ExploreScreen.-narrow.-short #panels { grid-size: 2 1; }
    ExploreScreen.-narrow.-short #images { display: none; }
    ExploreScreen.-narrow.-short.-images #images { display: block; }
    ExploreScreen.-narrow.-short.-images .numbers, ExploreScreen.-narrow.-short.-curve .numbers { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._run: Run | None = None
        self._seeds: list[int] = []
        self._seed = 0
        self._ways: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        #: Exact accuracies measured here, by seed, way and sparsity: they are added to the run's curves.
        self._found: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.network: Network | None = None
        self.figures: Figures | None = None
        self.gallery: Gallery | None = None
        self._n_shown = 0
        self._asked = self._answered = 0
        self._sentences: tuple[str, ...] = ()
        self._view = VIEWS[0]
        self._ticks = 0

    def body(self) -> ComposeResult:
        """The run, the slider, the switches, and the panels."""
        yield Static(id="subject", markup=False)
        with Container(id="controls"):
            yield Slider("Sparsity", id="slider")
            yield Switches(SWITCH_KEYS)
        yield Picture(id="message")
        with Container(id="panels"):
            yield Picture(id="figures", classes="panel numbers")
            yield Picture(id="classes", classes="panel numbers")
            yield Plot(id="curve", classes="panel")
            yield Mosaic(id="images", classes="panel")

    # -- the run ---------------------------------------------------------------------------------------------

    def on_arrived(self) -> None:
        """Show the requested run; by default the newest that has a network."""
        self._look_for_run()
        self._read_points_again()

    def on_screen_resume(self) -> None:
        """Read new points; do not change the run when only a dialog has been closed."""
        self._read_points_again()

    def _read_points_again(self) -> None:
        if self._run is not None:
            self.run_worker(self._read_points(self._run))

    def tick(self) -> None:
        """Wait for the first network to be trained."""
        self._ticks += 1
        if not self._seeds and self._ticks % 4 == 0:
            self._look_for_run()

    def _look_for_run(self) -> None:
        wanted = self.lab.run_explored
        try:
            if wanted is None or not wanted.path.is_dir():
                wanted = next((run for run in self.lab.store.runs() if run.models()), None)
            if wanted is None:
                if self.network is None:
                    self._show_message(*NO_RUN)
            elif self._run is None or wanted.path != self._run.path or not self._seeds:
                self._begin(wanted)
        except RunError as error:
            self._show_message(str(error))

    def _begin(self, run: Run) -> None:
        """Show another run; RunError if it cannot be read."""
        self._run, self._seeds = run, run.models()
        self.network = self.figures = self.gallery = None
        self._rows, self._found = [], {}
        spec = run.spec
        if not self._seeds:
            self._show_message(
                f"{descriptions.title(run)} has no network yet.",
                "It is saved as soon as training is finished: see F2, the lab.",
            )
            return
        self._seed = self._seeds[0]
        first = spec.variants[0] if spec.variants else {}
        self._ways = {name: _value_of(name, first.get(name, DEFAULTS[name])) for name in VALUES}
        knee = (run.status().get("knees") or {}).get(curve_name({**DEFAULTS, **first}, spec))
        self._slider.forget_typed()
        self._slider.percent = float(round(100 * knee)) if knee else START_PERCENT
        self._show_switches()
        self._show_message("Starting ...")
        self._ask()

    async def _read_points(self, run: Run) -> None:
        try:
            rows = await asyncio.to_thread(run.points)
        except RunError:  # the run has become unreadable; the screens with lists of runs give the reason
            return
        if run is self._run and rows != self._rows:
            self._rows = rows
            self._show_curve()

    # -- requests --------------------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether the figures belong to an earlier position."""
        return self._asked != self._answered

    @property
    def _slider(self) -> Slider:
        return self.query_one(Slider)

    @property
    def percent(self) -> float:
        """The position of the slider."""
        return self._slider.percent

    def _subject(self) -> dict[str, Any]:
        """The fields that identify the subject of a request."""
        assert self._run is not None
        spec = self._run.spec
        return {
            "model": str(self._run.model_path(self._seed)),
            "source": replace(spec.source, root=spec.data_root or self.lab.data_root).to_json(),
            "content": (self._run.data or {}).get("content"),
            "sparsity": round(self.percent / 100, 10),
            "ways": {name: "inf" if value == float("inf") else value for name, value in self._ways.items()},
        }

    @property
    def _is_retrained(self) -> bool:
        """Whether the run retrains after pruning, so that its points are not comparable with those measured here."""
        return self._run is not None and self._run.spec.parameter("fine_tune_iter") > 0

    def _ask(self, first: int = 0) -> None:
        """Request the figures of the current position; this overtakes earlier requests."""
        if not self._seeds:
            return
        self._asked += 1
        self.run_worker(self._follow(self._asked, {**self._subject(), "first": first, "count": PICTURES}))
        self.set_timer(SECONDS_UNTIL_OLD, partial(self._mark_outdated, self._asked))

    async def _follow(self, number: int, fields: dict[str, Any]) -> None:
        try:
            async with aclosing(self.lab.service.stream("explore.prune", group="explore", **fields)) as answers:
                async for answer in answers:
                    if number != self._asked:
                        return
                    self._take(number, answer)
        except Overtaken:
            return
        except ServiceError as error:
            if number == self._asked:
                self.network = self.figures = self.gallery = None
                self._show_message(f"This network cannot be explored: {error}.", "Press an arrow key to try again.")

    def _take(self, number: int, answer: dict[str, Any]) -> None:
        if "doing" in answer:
            self._show_message(f"{answer['doing'][0].upper()}{answer['doing'][1:]} ...")
        if "note" in answer:
            self.notify(answer["note"], severity="warning", markup=False)
        if "network" in answer:
            network = Network(**answer["network"])
            if network != self.network:
                self.network = network
                self._show_subject()
        if "gallery" in answer:
            self.gallery = gallery_of(answer["gallery"])
            self._show_pictures()
        if "figures" in answer:
            self._answered = number
            self.figures = Figures(**answer["figures"])
            self._show_figures(self.figures)

    # -- display ---------------------------------------------------------------------------------------------

    def _show_message(self, *sentences: str) -> None:
        """Show sentences in place of the panels."""
        if sentences != self._sentences:  # otherwise an idle screen would be redrawn repeatedly
            self._sentences = sentences
            self.query_one("#message", Picture).show_text(*sentences)
        self.add_class("-message")
        self.set_class(not self._seeds, "-empty")

    def _show_view(self, view: str) -> None:
        for name in VIEWS:
            self.set_class(name == view, f"-{name}")
        self._view = view

    def _show_subject(self) -> None:
        run, network = self._run, self.network
        assert run is not None
        assert network is not None
        sizes = descriptions.with_estimator(run.spec, "-".join(map(str, network.sizes)))
        schedules = {"one-shot", *run.spec.ways.get("schedule", ())}
        parts = [
            descriptions.title(run),
            f"{descriptions.dataset(run.spec)}, {sizes}",
            f"{100 * network.accuracy:.2f} % unpruned",
            f"{network.precision} on {network.device}",
        ]
        if self._is_retrained or len(schedules) > 1:
            parts.insert(3, "not retrained here")
        self.query_one("#subject", Static).update(", ".join(parts))

    def _show_switches(self) -> None:
        norm_is_idle = self._ways["granularity"] == "weight" or self._ways["criterion"] in UNIT_CRITERIA
        idle = ({"norm"} if norm_is_idle else set()) | ({"seed"} if len(self._seeds) == 1 else set())
        self.query_one(Switches).show({**self._ways, "seed": self._seed}, idle)

    def _show_figures(self, figures: Figures) -> None:
        network = self.network
        assert network is not None
        self.remove_class("-message")
        left, classes = self.query_one("#figures", Picture), self.query_one("#classes", Picture)
        left.border_title = (
            f"Estimate from {figures.n_samples:,} of {network.n_test:,}"
            if figures.is_estimate
            else f"Exact, on all {figures.n_samples:,} test samples"
        )
        left.border_subtitle = ""
        self.query("#figures, #classes").remove_class("-old")
        left.show(partial(draw_figures, network, figures))
        classes.border_title = "Accuracy by class, %"
        classes.show(partial(draw_classes, network, figures))
        if not figures.is_estimate:
            key = (self._seed, *self._ways.values(), figures.sparsity)
            row = {"seed": self._seed, "sparsity": figures.sparsity, "accuracy": figures.accuracy}
            usual = {name: DEFAULTS[name] for name in WAYS}  # the ways without a switch here
            self._found[key] = {**usual, **row, **self._ways, "schedule": "one-shot"}
        self._show_curve()

    def _show_pictures(self) -> None:
        network, gallery, panel = self.network, self.gallery, self.query_one(Mosaic)
        assert network is not None
        assert gallery is not None
        panel.border_title = f"Images at {100 * gallery.sparsity:.6g} %"
        if not network.has_images:
            panel.show_text(
                "These data are not images, so none can be drawn.",
                f"{gallery.n_broken:,} correct predictions become wrong; {gallery.n_wrong_before:,} were wrong before",
            )
            return

        def draw(**size: Any) -> str:
            text, self._n_shown = draw_pictures(network, gallery, **size)
            return text

        panel.show(draw)

    def _show_curve(self) -> None:
        run = self._run
        if run is None or self.figures is None:
            return
        plot = self.query_one("#curve", Plot)
        plot.border_title = "The run's points, and yours"
        found = [] if self._is_retrained else list(self._found.values())
        at = 100 * self.figures.sparsity
        rows = [row for row in [*self._rows, *found] if row["seed"] == self._seed and row["accuracy"] is not None]

        marks = [(at, f"{at:.6g} %")]
        plot.show(partial(plot_accuracy_curves, rows, title=None, marks=marks))

    def _mark_outdated(self, number: int) -> None:
        """Mark the figures as outdated while an answer takes long, as for the first use of a criterion."""
        if number == self._asked and self.is_waiting:
            self.query_one("#figures").border_subtitle = f"computing: {self._ways['criterion']}, {self.percent:.6g} %"
            self.query("#figures, #classes").add_class("-old")

    # -- keys ------------------------------------------------------------------------------------------------

    def on_slider_moved(self) -> None:
        """Prune to another sparsity."""
        self._ask()

    def on_key(self, event: events.Key) -> None:
        """Append a digit to the percentage being typed."""
        character, slider = event.character or "", self._slider
        if not self._seeds:
            return
        if character.isdecimal() or character in (".", ","):
            slider.type_character(character)
        elif slider.typed and event.key == "backspace":
            slider.rub_out()
        elif slider.typed and event.key == "escape":
            slider.forget_typed()
        else:
            return
        event.stop()

    def action_step(self, by: float) -> None:
        """Move the slider; if it cannot move, repeat the request after an error."""
        if self._seeds:
            before = self._slider.percent
            self._slider.step(by)
            if self.figures is None and self._slider.percent == before:
                self._ask()

    def action_go_to(self, percent: float) -> None:
        """Move the slider to a position."""
        if self._seeds:
            self._slider.go_to(percent)

    def action_take_typed(self) -> None:
        """Prune to the percentage that was typed."""
        self._slider.take_typed()

    def action_switch(self, name: str, by: int = 1) -> None:
        """Switch to the next or the previous value of a way of pruning, or to the next seed."""
        if not self._seeds:
            return
        if name == "seed":
            if len(self._seeds) == 1:
                self.notify("This run has a network for one seed only.", markup=False)
                return
            self._seed = _next(self._seeds, self._seed)
        else:
            self._ways[name] = _next(VALUES[name], self._ways[name], by)
        self._show_switches()
        self._ask()

    def action_next_view(self) -> None:
        """Cycle through figures, images and curve, if they do not fit together."""
        narrow = self.has_class("-narrow", "-short")
        self._show_view(_next(VIEWS if narrow else ("figures", "curve"), self._view))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Hide the key for views if all of them fit."""
        return action != "next_view" or self.has_class("-narrow") or self.has_class("-short")

    def on_resize(self) -> None:
        """Update the footer, which shows the key for views only if needed."""
        self.call_after_refresh(self.refresh_bindings)

    def action_more_images(self) -> None:
        """Show the next images; the first again after the last."""
        gallery = self.gallery
        if gallery is None or not gallery.pictures:
            return
        if not self.query_one(Mosaic).display:
            self._show_view("images")
            return
        following = gallery.first + max(1, self._n_shown)
        self._ask(first=following if following < gallery.n_broken + gallery.n_wrong_before + gallery.n_right else 0)

    def action_save(self) -> None:
        """Ask for a path, and write the pruned network to a model file."""
        if self._run is None or self.figures is None:
            return
        stem = Path(default_name(self._run, "model")).stem
        name = f"{stem}-{self._ways['granularity']}-{self.percent:.6g}.safetensors"
        fields = self._subject()

        def answered(path: str | None) -> None:
            if not path:
                return
            if not os.path.exists(os.path.expanduser(path)):
                self._save(path, fields)
                return

            def confirmed(answer: str | None) -> None:
                if answer == "replace":
                    self._save(path, fields)

            answers = [("b", "back", "Back"), ("r", "replace", "Replace it")]
            self.app.push_screen(Choice(f"{path} already exists.", answers, danger="replace"), confirmed)

        self.app.push_screen(Prompt("Write the pruned network to this model file:", name), answered)

    def _save(self, path: str, fields: dict[str, Any]) -> None:
        async def save() -> None:
            try:
                answer = await self.lab.service.ask("explore.save", path=path, **fields)
            except ServiceError as error:
                self.notify(str(error), severity="error", markup=False)
            else:
                self.notify(f"Written: {answer['saved']}", markup=False)

        self.run_worker(save())


def _next(values: Any, value: Any, by: int = 1) -> Any:
    """The value a number of places after this one, cyclically."""
    return values[(values.index(value) + by) % len(values)] if value in values else values[0]


def _value_of(name: str, value: Any) -> Any:
    return float(value) if name == "norm" and value == "inf" else value
