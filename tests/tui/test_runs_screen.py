"""The runs screen, key path by key path."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import prunelab.tui.app
import pytest
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.listing import Listing
from prunelab.tui.runs.records import read_record, write_record
from prunelab.tui.runs.schemas import Status
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import RunError, RunStore
from prunelab.tui.screens.compare import CompareScreen
from prunelab.tui.screens.dialogs import Choice, Prompt
from prunelab.tui.screens.lab import LabScreen
from prunelab.tui.screens.runs import RunsScreen
from prunelab.tui.widgets.run_table import KINDS, NEEDED, RunTable, arrange
from textual.pilot import Pilot
from textual.widgets import Input, Static

SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in [(120, 40), (200, 60)])]


class Seat:
    """Somebody in front of the runs screen: what there is to read, and keys."""

    def __init__(self, pilot: Pilot[None]):
        self.pilot = pilot
        self.app = pilot.app
        assert isinstance(self.app, PrunelabApp)
        assert isinstance(self.app.screen, RunsScreen)
        self.screen = self.app.screen

    @property
    def table(self) -> RunTable:
        return self.screen.query_one(RunTable)

    @property
    def lines(self) -> list[str]:
        """The visible table, header first."""
        return [self.table.render_line(y).text.rstrip() for y in range(self.table.size.height)]

    @property
    def rows(self) -> list[str]:
        return [line for line in self.lines[1:] if line.strip()]

    @property
    def details(self) -> str:
        return str(self.screen.query_one("#words", Static).render())

    @property
    def message(self) -> str:
        return str(self.screen.query_one("#nothing", Static).render())

    @property
    def counts(self) -> str:
        return str(self.screen.browser.border_subtitle)

    @property
    def notes(self) -> str:
        return " / ".join(note.message for note in self.app._notifications)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        field = self.app.screen.query_one(Input)
        field.value = text
        await self.pilot.pause()

    async def see(self, condition: Callable[[], Any], what: str = "") -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, what or "\n".join([*self.lines, self.details, self.notes])
            await self.pilot.pause(0.02)


class App(PrunelabApp):
    """The app, opened on the runs screen."""

    DEFAULT_MODE = "runs"
    CSS_PATH = Path(prunelab.tui.app.__file__).with_name("app.tcss")


def sit_down(
    act: Callable[[Seat], Coroutine[Any, Any, None]], size: tuple[int, int] = (120, 40), **options: Any
) -> None:
    async def main() -> None:
        app = App(**options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            seat = Seat(pilot)
            await seat.see(lambda: seat.screen._listing.is_complete)
            await act(seat)

    asyncio.run(main())


def test_the_lowest_terminals_show_runs_rather_than_details(make_run):
    make_run(name="seen")

    async def act(seat: Seat) -> None:
        await seat.see(lambda: any("seen" in row for row in seat.rows))
        assert seat.screen.query_one("#details").outer_size.height == 0
        await seat.pilot.resize_terminal(80, 24)
        await seat.see(lambda: seat.screen.query_one("#details").size.height > 3)

    sit_down(act, (60, 10))


@pytest.mark.parametrize("size", SIZES)
def test_every_run_is_listed_the_newest_first(make_run, size):
    make_run(name="older", age=7200, dataset="mnist", seeds=(0, 1))
    make_run("stopped", points=2, age=60)
    make_run("failed", name="too big", reason="out of memory", points=0, age=30)
    make_run("interrupted", name="lost", points=5)

    async def act(seat: Seat) -> None:
        assert [row.split()[0] for row in seat.rows] == ["lost", "too", "digits-" + seat.table.keys[2][-4:], "older"]
        header = seat.lines[0]
        assert all(title in header for title in ("name", "state", "data", "dense %", "knee %", "when"))
        assert all(kind.title in header for kind in KINDS.values()) == (size[0] == 200)
        assert all(len(line) <= size[0] - 4 for line in seat.lines)
        older = seat.rows[3]
        assert all(word in older for word in ("finished", "mnist", "95.05", "51/51"))
        assert "95.05" not in seat.rows[1]
        await seat.see(lambda: "interrupted: its process has ended" in seat.details)
        await seat.press("down")
        await seat.see(lambda: "failed: out of memory" in seat.details)
        assert "u resumes it" in seat.details

    sit_down(act, size)


@pytest.mark.parametrize("size", SIZES)
def test_without_runs_it_says_where_they_come_from(make_run, size):
    async def act(seat: Seat) -> None:
        assert "No runs yet" in seat.message
        assert "F2" in seat.message
        for key in ("enter", "space", "v", "e", "c", "n", "d", "u", "s", "x", "o", "i", "a", "escape", "down"):
            await seat.press(key)
            assert isinstance(seat.app.screen, RunsScreen), key

    sit_down(act, size)


def test_details_tell_what_a_run_does_and_where_it_is(make_run):
    run = make_run(parameters={"hidden_layer_sizes": (64, 32), "max_iter": 3, "alpha": 0.1}, seeds=range(5))

    async def act(seat: Seat) -> None:
        await seat.see(lambda: str(run.id) in seat.details.replace("\n", ""))
        details = " ".join(seat.details.split())
        for words in ("64-32", "3 epochs", "alpha 0.1", "weight/unit", "seed 0 to 4 (5 values)", "30 of 30 points"):
            assert words in details

    sit_down(act, (200, 60))


def test_the_curves_are_drawn_where_there_is_room(make_run):
    make_run()

    async def act(seat: Seat) -> None:
        plot = seat.screen.query_one("#details Plot")
        await seat.see(lambda: "accuracy" in plot.render().plain)
        await seat.pilot.resize_terminal(80, 24)
        await seat.see(lambda: not plot.display or not plot.size.width)
        await seat.see(lambda: len(seat.lines) < 15)
        await seat.pilot.resize_terminal(120, 40)
        await seat.see(lambda: "accuracy" in plot.render().plain)

    sit_down(act)


def test_sorting_by_keys_and_by_clicks(make_run):
    make_run(name="bb", better=0.01, age=3)
    make_run(name="aa", better=0.02, age=2)
    make_run("running", name="cc", points=0, age=1)

    async def act(seat: Seat) -> None:
        def order() -> list[str]:
            return [row.split()[0] for row in seat.rows]

        assert order() == ["cc", "aa", "bb"]
        assert "when ▼" in seat.lines[0]
        await seat.press("i")
        assert order() == ["bb", "aa", "cc"]
        assert "when ▲" in seat.lines[0]
        await seat.pilot.click(RunTable, offset=(seat.lines[0].index("name"), 0))
        await seat.see(lambda: order() == ["aa", "bb", "cc"])
        await seat.pilot.click(RunTable, offset=(seat.lines[0].index("name"), 0))
        await seat.see(lambda: order() == ["cc", "bb", "aa"])
        await seat.pilot.click(RunTable, offset=(seat.lines[0].index("dense"), 0))
        await seat.see(lambda: order() == ["aa", "bb", "cc"])
        await seat.press("i")
        assert order() == ["bb", "aa", "cc"]  # without a figure: last, either way
        seen = set()
        for _ in range(12):
            await seat.press("o")
            seen.add(seat.table.sort_key)
        assert set(NEEDED) <= seen

    sit_down(act)


def test_filtering(make_run):
    make_run(name="first try", dataset="mnist")
    make_run(name="second try")
    make_run("failed", reason="no", points=0)

    async def act(seat: Seat) -> None:
        await seat.press("slash", *"TRY")
        await seat.see(lambda: len(seat.rows) == 2)
        assert "2 of 3 match" in seat.counts
        await seat.press("space", *"mnist")
        assert [row.split()[0] for row in seat.rows] == ["first"]
        await seat.press("enter")
        assert seat.table.has_focus
        await seat.press("slash")
        await seat.type("nothing like it")
        assert "No run matches" in seat.message
        await seat.press("escape")
        assert len(seat.rows) == 3
        assert seat.table.has_focus
        await seat.press("slash")
        await seat.type("failed")
        assert len(seat.rows) == 1

    sit_down(act)


def test_selecting(make_run):
    for _ in range(3):
        make_run()

    async def act(seat: Seat) -> None:
        await seat.press("space", "down", "space")
        assert [row.startswith("*") for row in seat.rows] == [True, False, True]
        assert "2 selected" in seat.counts
        await seat.press("a")
        assert "3 selected" in seat.counts
        await seat.press("a")
        assert "selected" not in seat.counts
        await seat.press("space", "escape")
        assert not seat.table.selected

    sit_down(act)


def test_opening_a_run(make_run):
    run = make_run()

    async def act(seat: Seat) -> None:
        await seat.press("enter")
        await seat.see(lambda: isinstance(seat.app.screen, LabScreen))
        assert seat.app.run_shown.id == run.id

    sit_down(act)


def test_a_click_moves_the_cursor_and_another_one_opens(make_run):
    run = make_run(age=9)
    make_run()

    async def act(seat: Seat) -> None:
        await seat.pilot.click(RunTable, offset=(5, 2))
        await seat.see(lambda: seat.table.cursor == run.id)
        assert isinstance(seat.app.screen, RunsScreen)
        await seat.pilot.click(RunTable, offset=(5, 2))
        await seat.see(lambda: isinstance(seat.app.screen, LabScreen))
        assert seat.app.run_shown.id == run.id

    sit_down(act)


@pytest.mark.parametrize("key", ["v", "enter"])
def test_comparing_the_selected_runs(make_run, key):
    first, _, last = [make_run(age=age) for age in range(3)]

    async def act(seat: Seat) -> None:
        await seat.press("space", "end", "space", key)
        await seat.see(lambda: isinstance(seat.app.screen, CompareScreen))
        assert [run.id for run in seat.app.runs_compared] == [first.id, last.id]

    sit_down(act)


def test_exploring_needs_a_trained_network(make_run):
    make_run("failed", points=0)

    async def act(seat: Seat) -> None:
        await seat.press("e")
        await seat.see(lambda: "not trained yet" in seat.notes)
        assert isinstance(seat.app.screen, RunsScreen)

    sit_down(act)


def test_running_again_with_changes(make_run):
    make_run(dataset="mnist", parameters={"max_iter": 7})

    async def act(seat: Seat) -> None:
        given: list[RunSpec] = []

        async def edit(spec: RunSpec) -> None:
            given.append(spec)

        seat.app.edit_spec = edit
        await seat.press("c")
        assert [(spec.dataset, spec.parameters["max_iter"]) for spec in given] == [("mnist", 7)]

    sit_down(act)


def test_renaming(make_run):
    run = make_run(name="old")

    async def act(seat: Seat) -> None:
        await seat.press("n")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.type("new [name]")
        await seat.press("enter")
        await seat.see(lambda: "new [name]" in seat.rows[0])
        assert run.name == "new [name]"
        await seat.press("n", "escape")
        assert run.name == "new [name]"

    sit_down(act)


def test_deleting_asks_first(make_run):
    run, other = make_run(age=9), make_run()

    async def act(seat: Seat) -> None:
        await seat.press("d")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("enter")  # the default keeps it
        assert other.path.is_dir()
        await seat.press("d")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("d")
        await seat.see(lambda: len(seat.rows) == 1)
        assert not other.path.exists()
        assert seat.table.cursor == run.id

    sit_down(act)


def test_deleting_several_but_none_that_runs(make_run):
    make_run(age=9)
    make_run("stopped", points=1, age=5)
    alive = make_run("running", points=1)
    lock = alive.lock()

    async def act(seat: Seat) -> None:
        await seat.press("a", "delete")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("d")
        await seat.see(lambda: len(seat.rows) == 1)
        await seat.see(lambda: "is running: stop it before" in seat.notes)
        assert alive.path.is_dir()

    try:
        sit_down(act)
    finally:
        os.close(lock)


def test_a_run_that_cannot_be_read_is_listed_and_can_be_deleted(make_run):
    run = make_run()
    (run.path / "run.json").write_text("{")

    async def act(seat: Seat) -> None:
        assert "unreadable" in seat.rows[0]
        await seat.see(lambda: "damaged" in seat.details)
        for key in ("enter", "e", "c"):
            await seat.press(key)
        await seat.see(lambda: "cannot be read" in seat.notes)
        assert isinstance(seat.app.screen, RunsScreen)
        await seat.press("v", "x", "u", "s")
        assert isinstance(seat.app.screen, RunsScreen)
        await seat.press("d")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("d")
        await seat.see(lambda: "No runs yet" in seat.message)
        assert not run.path.exists()

    sit_down(act)


def test_resuming(make_run, monkeypatch):
    make_run(age=9)
    stopped = make_run("stopped", points=1)
    resumed = []
    monkeypatch.setattr(supervisor, "resume", resumed.append)

    async def act(seat: Seat) -> None:
        await seat.press("u")
        await seat.see(lambda: [run.id for run in resumed] == [stopped.id])
        await seat.press("down", "u")
        await seat.see(lambda: "nothing to resume: it is finished" in seat.notes)
        assert len(resumed) == 1

    sit_down(act)


def test_what_cannot_be_done_is_said(make_run, monkeypatch):
    make_run("stopped", points=1)

    def refuse(run: object) -> None:
        raise RunError("no [processes] left")

    monkeypatch.setattr(supervisor, "resume", refuse)

    async def act(seat: Seat) -> None:
        await seat.press("u")
        await seat.see(lambda: "no [processes] left" in seat.notes)

    sit_down(act)


def test_stopping(make_run):
    run = make_run("running", points=1)
    lock = run.lock()

    async def act(seat: Seat) -> None:
        assert "running" in seat.rows[0]
        await seat.press("s")
        assert run.stop_path.exists()
        os.close(lock)  # its worker is gone
        await seat.see(lambda: "interrupted" in seat.rows[0])
        await seat.press("s")
        await seat.see(lambda: "The run is not running" in seat.notes)

    sit_down(act)


def test_exporting(make_run, tmp_path, monkeypatch):
    make_run(name="mine")
    monkeypatch.chdir(tmp_path)

    async def act(seat: Seat) -> None:
        await seat.press("x")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("j")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        assert seat.app.screen.query_one(Input).value == str(tmp_path / "mine.json")
        await seat.press("enter")
        await seat.see(lambda: "Wrote" in seat.notes)
        assert len(json.loads((tmp_path / "mine.json").read_text())) == 6

        (tmp_path / "mine.json").write_text("precious")
        await seat.press("x", "j")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.press("enter")
        await seat.see(lambda: isinstance(seat.app.screen, Choice))
        await seat.press("k")
        assert (tmp_path / "mine.json").read_text() == "precious"

        await seat.press("x", "m")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.press("enter")
        await seat.see(lambda: "has no network" in seat.notes)

    sit_down(act)


def test_exporting_several_into_a_folder(make_run, tmp_path):
    make_run(name="one")
    make_run(name="two")

    async def act(seat: Seat) -> None:
        await seat.press("a", "x", "p")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.type(str(tmp_path / "nowhere"))
        await seat.press("enter")
        await seat.see(lambda: "is not a folder" in seat.notes)
        await seat.press("x", "p")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.type(str(tmp_path))
        await seat.press("enter")
        await seat.see(lambda: "Wrote 2 files" in seat.notes)
        assert {path.name for path in tmp_path.glob("*.svg")} == {"one.svg", "two.svg"}

    sit_down(act)


def test_runs_of_one_name_are_exported_to_files_of_their_own(make_run, tmp_path):
    runs = [make_run(name="twin"), make_run(name="twin"), make_run(name="another")]

    async def act(seat: Seat) -> None:
        await seat.press("a", "x", "c")
        await seat.see(lambda: isinstance(seat.app.screen, Prompt))
        await seat.type(str(tmp_path))
        await seat.press("enter")
        await seat.see(lambda: "Wrote 3 files" in seat.notes)
        names = {path.name for path in tmp_path.glob("*.csv")}
        assert names == {"another.csv", *(f"twin-{run.id}.csv" for run in runs[:2])}

    sit_down(act)


def test_the_last_column_is_whole_also_where_the_list_scrolls(make_run):
    for i in range(30):
        make_run(name=f"run {i:02}", age=60 * i)

    async def act(seat: Seat) -> None:
        await seat.see(lambda: len(seat.rows) > 5)
        room = seat.table.scrollable_content_region.width
        assert room < seat.table.size.width
        assert seat.lines[0].split()[-1] in ("took", "▼")
        assert all(re.search(r"(\d\d:\d\d| s)$", row) and len(row) <= room for row in seat.rows)

    sit_down(act, size=(80, 24))


def test_what_happens_elsewhere_shows_and_nothing_jumps(make_run):
    for i in range(40):
        make_run(name=f"run {i:02}", age=100 + i, points=2)
    make_run("running", name="watched", points=1)

    async def act(seat: Seat) -> None:
        await seat.press("space", *["down"] * 30)
        at, place = seat.table.cursor, seat.lines.index(next(line for line in seat.lines if "run 29" in line))
        selected = set(seat.table.selected)
        newer = make_run(name="newer")
        await seat.see(lambda: "42 in all" in seat.counts)
        assert seat.table.keys[0] == newer.id
        assert seat.table.cursor == at
        assert seat.table.selected == selected
        assert "run 29" in seat.lines[place]
        newer.delete()
        await seat.see(lambda: "41 in all" in seat.counts)
        assert seat.table.cursor == at
        assert "run 29" in seat.lines[place]

    sit_down(act, (80, 24))


def test_nothing_is_drawn_while_nothing_changes(make_run):
    make_run()

    async def act(seat: Seat) -> None:
        await seat.see(lambda: "finished" in seat.details)
        drawn = []
        original = seat.table.refresh
        seat.table.refresh = lambda *args, **kwargs: drawn.append(1) or original(*args, **kwargs)
        for _ in range(3):
            seat.screen._next_look = 0.0
            seat.screen._listing._next_full_look = 0.0
            seat.screen.tick()
        assert not drawn

    sit_down(act)


def test_ascii(make_run):
    make_run()
    make_run("failed", reason="naïve", points=0)

    async def act(seat: Seat) -> None:
        assert "when v" in seat.lines[0]
        await seat.see(lambda: "failed" in seat.details)
        assert "".join([*seat.lines, seat.details]).isascii()

    sit_down(act, ascii_only=True)


# The list behind the screen ----------------------------------------------------------------------------------


def test_the_listing_reads_the_newest_first_and_leaves_off_in_time(make_run):
    runs = [make_run() for _ in range(3)]
    listing = Listing(RunStore())
    assert not listing.refresh(seconds=0)
    assert not listing.is_complete
    assert listing.refresh()
    assert listing.is_complete
    assert list(listing.entries) == [run.id for run in reversed(runs)]


def test_the_listing_reads_again_only_what_has_changed(make_run):
    run, other = make_run(), make_run()
    listing = Listing(RunStore())
    listing.refresh()
    before = dict(listing.entries)
    assert not listing.refresh(fully=True)
    run.rename("called")
    assert listing.refresh(fully=True)
    assert listing.entries[run.id].title == "called"
    assert listing.entries[other.id] is before[other.id]


def test_the_listing_survives_damaged_files(make_run):
    run = make_run()
    status = read_record(run.path / "status.json", Status)
    write_record(run.path / "status.json", {**status, "knees": [1], "points": "many", "dense_accuracy": "x"})
    listing = Listing(RunStore())
    listing.refresh()
    entry = listing.entries[run.id]
    assert (entry.state, entry.points, entry.dense, entry.knees) == ("unreadable", 0, None, [None, None])
    assert "status.json is damaged" in entry.reason


@pytest.mark.parametrize("width", [20, 40, 74, 114, 194])
def test_columns_fit_and_the_needed_ones_stay(width):
    natural = {"name": 30, "state": 11, "data": 13, "what": 20, "ways": 20, "seeds": 5, "points": 7, "dense": 7}
    widths = arrange({**natural, "knee": 11, "when": 12, "took": 5}, width)
    assert set(NEEDED) <= widths.keys()
    if width >= 74:
        assert sum(widths.values()) + 2 * (len(widths) - 1) <= width
    assert ("what" in widths) == (width > 114)
