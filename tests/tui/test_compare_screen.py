"""The compare screen, key path by key path."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import prunelab.tui.app
import pytest
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs.events import EventLog
from prunelab.tui.runs.records import write_record
from prunelab.tui.runs.store import Run
from prunelab.tui.screens.compare import CompareScreen
from prunelab.tui.screens.lab import LabScreen
from prunelab.tui.screens.picker import RunPicker
from prunelab.tui.widgets.curve_table import CurveTable
from prunelab.tui.widgets.plot import Plot
from textual.pilot import Pilot
from textual.widgets import Static

SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in [(120, 40), (200, 60)])]


class App(PrunelabApp):
    """The app, opened on the compare screen."""

    DEFAULT_MODE = "compare"
    CSS_PATH = Path(prunelab.tui.app.__file__).with_name("app.tcss")


class Seat:
    """Somebody in front of the compare screen: what there is to read, and keys."""

    def __init__(self, pilot: Pilot[None]):
        self.pilot = pilot
        self.app = pilot.app
        assert isinstance(self.app.screen, CompareScreen)
        self.screen = self.app.screen

    @property
    def table(self) -> CurveTable:
        return self.screen.query_one(CurveTable)

    @property
    def lines(self) -> list[str]:
        """The visible table, header first."""
        return [self.table.render_line(y).text.rstrip() for y in range(self.table.size.height)]

    @property
    def names(self) -> list[str]:
        """The first line of every curve."""
        return [line for line in self.lines[1::2] if line]

    @property
    def beside(self) -> list[str]:
        """The second line of every curve."""
        return [line for line in self.lines[2::2] if line]

    @property
    def plot(self) -> str:
        return self.screen.query_one("#curves", Plot).render().plain

    @property
    def title(self) -> str:
        panel = self.screen.query_one("#differences")
        return f"{panel.border_title} | {panel.border_subtitle}"

    @property
    def warning(self) -> str:
        widget = self.screen.query_one("#warning", Static)
        return str(widget.render()) if widget.display else ""

    @property
    def notes(self) -> str:
        return " / ".join(note.message for note in self.app._notifications)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def see(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "\n".join([self.plot, *self.lines, self.title, self.notes])
            await self.pilot.pause(0.02)


def sit_down(
    act: Callable[[Seat], Coroutine[Any, Any, None]],
    runs: list[Run],
    size: tuple[int, int] = (120, 40),
    **options: Any,
) -> None:
    async def main() -> None:
        app = App(**options)
        app.runs_compared = list(runs)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            seat = Seat(pilot)
            await seat.see(lambda: all(run.n_rows for run in seat.screen._runs.values()))
            await act(seat)

    asyncio.run(main())


WEIGHT = {"granularity": ("weight",)}


@pytest.mark.parametrize("size", SIZES)
def test_without_runs_it_says_how_to_choose_some(make_run, size):
    async def act(seat: Seat) -> None:
        assert seat.screen.query_one("#nothing").display
        for key in ("d", "space", "f", "b", "y", "x", "enter", "left", "right", "down"):
            await seat.press(key)
            assert isinstance(seat.app.screen, CompareScreen), key
        await seat.press("a")
        await seat.see(lambda: isinstance(seat.app.screen, RunPicker))
        await seat.press("escape")
        assert seat.app.screen is seat.screen

    sit_down(act, [], size)


@pytest.mark.parametrize("size", SIZES)
def test_curves_and_their_differences(make_run, size):
    runs = [make_run(name="one", seeds=(0, 1, 2)), make_run(name="two", seeds=(0, 1, 2), better=0.02)]

    async def act(seat: Seat) -> None:
        await seat.see(lambda: len(seat.table.keys) == 4)
        assert [" ".join(name.split()[:3]) for name in seat.names] == [
            "● one, weight",
            "○ one, unit",
            "■ two, weight",
            "□ two, unit",
        ]
        assert all(share in seat.lines[0] for share in ("0 %", "50 %", "90 %"))
        assert "95.10" in seat.names[0]
        assert "the base" in seat.beside[0]
        assert "against ● one, weight" in seat.beside[1]  # its own run's first curve
        assert "against ● one, weight" in seat.beside[2]  # like with like
        assert "against ○ one, unit" in seat.beside[3]
        assert seat.beside[2].count("+2.00±0.00") == 3
        assert "accuracy (%), and the difference in points" in seat.title
        assert "95 % interval" in seat.title
        # Where curves coincide, their symbols take turns.
        await seat.see(lambda: sum(symbol in seat.plot for symbol in "●○■□") >= 3)
        assert all(len(line) <= size[0] - 4 for line in seat.lines)

    sit_down(act, runs, size)


def test_one_seed_has_differences_without_intervals(make_run):
    runs = [make_run(name="one", ways=WEIGHT), make_run(name="two", ways=WEIGHT, better=-0.01)]

    async def act(seat: Seat) -> None:
        assert seat.beside[1].split()[-3:] == ["-1.00"] * 3
        assert "interval" not in seat.title

    sit_down(act, runs)


def test_other_sparsities_are_left_empty(make_run):
    runs = [
        make_run(name="one", ways=WEIGHT, sparsities=(0.0, 0.5)),
        make_run(name="two", ways=WEIGHT, sparsities=(0.5, 0.75)),
    ]

    async def act(seat: Seat) -> None:
        assert [len(name.split()) for name in seat.names] == [4, 4]  # symbol, name, two figures
        assert seat.beside[1].split()[-1:] == ["+0.00"]

    sit_down(act, runs)


def test_the_base_can_be_another_run_or_a_curve_alone(make_run):
    runs = [make_run(name="one"), make_run(name="two", better=0.02)]

    async def act(seat: Seat) -> None:
        await seat.press("down", "down", "b")
        assert "the base" in seat.beside[2]
        assert "against ■ two, weight" in seat.beside[0]
        assert "against □ two, unit" in seat.beside[1]
        assert "-2.00" in seat.beside[1]
        await seat.press("b")
        assert all("against ■ two, weight" in seat.beside[i] for i in (0, 1, 3))
        await seat.press("b")
        assert "against □ two, unit" in seat.beside[1]

    sit_down(act, runs)


def test_hiding_curves(make_run):
    async def act(seat: Seat) -> None:
        await seat.see(lambda: "○" in seat.plot)
        await seat.press("down", "space")
        await seat.see(lambda: "○" not in seat.plot and "●" in seat.plot)
        assert "hidden" in seat.beside[1]
        assert "○" not in seat.names[1]
        await seat.press("space")
        await seat.see(lambda: "○" in seat.plot)
        await seat.pilot.click(CurveTable, offset=(5, 3))  # it has the cursor
        await seat.see(lambda: "○" not in seat.plot)

    sit_down(act, [make_run()])


def test_a_filter_ends_with_its_last_curve(make_run):
    runs = [make_run(name=name, ways={"granularity": (name,)}) for name in ("weight", "unit")]

    async def act(seat: Seat) -> None:
        await seat.see(lambda: len(seat.names) == 2)
        await seat.press("f")
        await seat.see(lambda: len(seat.names) == 1)
        await seat.press("d")
        await seat.see(lambda: len(seat.names) == 1 and "only" not in seat.title)
        assert "no data" not in seat.plot

    sit_down(act, runs)


def test_showing_only_some(make_run):
    runs = [make_run(name="one"), make_run(name="two", ways={**WEIGHT, "scope": ("global",)}, better=0.05)]

    async def act(seat: Seat) -> None:
        seen = []
        for _ in range(5):
            seen.append((seat.title.rpartition("only ")[2] if "only" in seat.title else "all", len(seat.names)))
            await seat.press("f")
        assert seen == [("all", 3), ("weight", 2), ("unit", 1), ("layer", 2), ("global", 1)]
        await seat.see(lambda: "■" in seat.plot and "●" in seat.plot)  # all again, each with its own symbol

    sit_down(act, runs)


def test_measures_and_axes(make_run):
    async def act(seat: Seat) -> None:
        assert "sparsity (% removed)" in seat.plot
        await seat.press("x")
        await seat.see(lambda: "parameters removed" in seat.plot)
        await seat.press("x")
        await seat.see(lambda: "multiply-adds removed" in seat.plot)
        await seat.press("x", "y")
        await seat.see(lambda: "loss" in seat.plot and "sparsity" in seat.plot)
        assert "loss" in seat.title
        assert "0.100" in seat.names[0]
        await seat.press("y")
        await seat.see(lambda: "accuracy" in seat.plot)

    sit_down(act, [make_run()])


def test_scrolling_through_many_sparsities(make_run):
    run = make_run(sparsities=[i / 40 for i in range(40)])

    async def act(seat: Seat) -> None:
        assert "left, right: more" in seat.title
        assert "0 %" in seat.lines[0]
        await seat.press(*["right"] * 60)
        assert "97.5 %" in seat.lines[0]
        assert "weight" in seat.lines[1]
        await seat.press("left")
        assert "97.5 %" not in seat.lines[0]

    sit_down(act, [run], (80, 24))


def test_adding_and_removing_runs(make_run):
    first, second, third = (make_run(name=name, ways=WEIGHT, age=9) for name in ("one", "two", "three"))

    async def act(seat: Seat) -> None:
        await seat.press("a")
        await seat.see(lambda: isinstance(seat.app.screen, RunPicker))
        picker = seat.app.screen
        await seat.see(lambda: len(picker.browser.table.keys) == 2)  # what is compared already is left out
        await seat.press("slash", *"two")
        await seat.see(lambda: picker.browser.table.keys == [second.id])
        await seat.press("enter")
        await seat.see(lambda: picker.browser.table.has_focus)
        await seat.press("enter")
        await seat.see(lambda: len(seat.table.keys) == 2)
        assert [run.id for run in seat.app.runs_compared] == [first.id, second.id]

        await seat.press("a")
        await seat.see(lambda: isinstance(seat.app.screen, RunPicker) and seat.app.screen.browser.table.keys)
        await seat.press("space", "enter")
        await seat.see(lambda: len(seat.table.keys) == 3)
        await seat.press("a")
        await seat.see(lambda: isinstance(seat.app.screen, RunPicker))
        await seat.press("enter", "escape")

        await seat.press("home", "d")
        assert [run.id for run in seat.app.runs_compared] == [second.id, third.id]
        assert "the base" in seat.beside[0]
        await seat.press("delete", "d")
        assert seat.screen.query_one("#nothing").display

    sit_down(act, [first])


def test_opening_the_run_of_a_curve(make_run):
    runs = [make_run(name="one"), make_run(name="two")]

    async def act(seat: Seat) -> None:
        await seat.press("end", "enter")
        await seat.see(lambda: isinstance(seat.app.screen, LabScreen))
        assert seat.app.run_shown.id == runs[1].id

    sit_down(act, runs)


def test_points_of_a_running_run_come_by_themselves(make_run):
    run = make_run("running", name="live", ways=WEIGHT, points=1)
    later = make_run(name="other", ways=WEIGHT)

    async def act(seat: Seat) -> None:
        assert len(seat.names[0].split()) == 3
        log = EventLog(run.events_path)
        for row in later.points()[1:]:
            log.append({"type": "point", "t": 0, "row": row, "point": 1, "points": 6, "layers": [], "units": []})
        log.close()
        write_record(run.path / "status.json", {"state": "finished"})
        await seat.see(lambda: len(seat.names[0].split()) == 5)

    lock = run.lock()
    try:
        sit_down(act, [run, later])
    finally:
        os.close(lock)


def test_a_run_that_is_deleted_leaves_the_comparison(make_run):
    runs = [make_run(name="one"), make_run(name="two")]

    async def act(seat: Seat) -> None:
        runs[0].delete()
        await seat.see(lambda: len(seat.table.keys) == 2)
        await seat.see(lambda: "one was deleted" in seat.notes)
        assert [run.id for run in seat.app.runs_compared] == [runs[1].id]

    sit_down(act, runs)


def test_runs_without_points_and_points_without_accuracy(make_run):
    runs = [make_run(name="one", ways=WEIGHT), make_run("running", name="two", ways=WEIGHT, points=0)]
    third = make_run(name="three", ways=WEIGHT, points=2)
    log = EventLog(third.events_path)
    row = {**runs[0].points()[2], "accuracy": None, "loss": None}
    log.append({"type": "point", "t": 0, "row": row, "point": 3, "points": 3, "layers": [], "units": []})
    log.close()

    async def act(seat: Seat) -> None:
        await seat.see(lambda: len(seat.table.keys) == 3)
        assert "no points yet" in seat.beside[1]
        await seat.see(lambda: len(seat.names[2].split()) == 4)

    async def main() -> None:
        app = App()
        app.runs_compared = [*runs, third]
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await act(Seat(pilot))

    asyncio.run(main())


def test_different_data_are_said(make_run):
    runs = [make_run(name="one"), make_run(name="two", dataset="mnist")]

    async def act(seat: Seat) -> None:
        assert "Different data (digits, mnist)" in seat.warning
        await seat.press("d")
        assert seat.warning == ""

    sit_down(act, runs, (80, 24))


def test_a_run_that_cannot_be_read_is_said(make_run):
    run, broken = make_run(name="one"), make_run()
    (broken.path / "run.json").write_text("{")

    async def act(seat: Seat) -> None:
        await seat.see(lambda: "damaged" in seat.notes)
        assert len(seat.table.keys) == 2

    sit_down(act, [run, Run(broken.path)])


def test_ascii(make_run):
    runs = [make_run(name="eins", seeds=(0, 1, 2)), make_run(name="zwei", seeds=(0, 1, 2))]

    async def act(seat: Seat) -> None:
        await seat.see(lambda: "accuracy" in seat.plot)
        assert "".join([*seat.lines, seat.plot, seat.title]).isascii()
        assert "+0.00+-0.00" in seat.beside[2]

    sit_down(act, runs, ascii_only=True)


def test_resizing(make_run):
    async def act(seat: Seat) -> None:
        for width, height in [(200, 60), (80, 24), (40, 12), (20, 8), (120, 40)]:
            await seat.pilot.resize_terminal(width, height)
            await seat.see(lambda width=width: seat.app.size.width == width)
            assert all(len(line) <= width for line in seat.lines)
        await seat.see(lambda: "●" in seat.plot)

    sit_down(act, [make_run(seeds=(0, 1))])
