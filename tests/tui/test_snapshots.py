"""Every screen as a picture, at three sizes: a change of what is seen shows up as a change of these files.

They are looked at in a browser, and made again with ``python -m pytest tests/tui/test_snapshots.py --snapshot-update``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs import store
from prunelab.tui.runs.store import Run
from prunelab.tui.widgets import plot
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot

from .canned import CannedService

SIZES = [
    pytest.param((80, 24), id="80x24"),
    pytest.param((120, 40), id="120x40", marks=pytest.mark.slow),
    pytest.param((200, 60), id="200x60", marks=pytest.mark.slow),
]

#: Noon on the first of June 2026.
NOON = 1780315200.0

SPARSITIES = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)


#: Below the axis of every plot of a pruning.
PLOT = "sparsity (% removed)"


class Svg(SingleFileSnapshotExtension):
    """A file a picture."""

    file_extension = "svg"
    _write_mode = WriteMode.TEXT


class Clock:
    """A fixed time, in the time zone of Greenwich."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.now = NOON
        write = time.strftime
        patch.setattr(time, "time", lambda: self.now)
        patch.setattr(time, "localtime", lambda seconds=None: time.gmtime(self.now if seconds is None else seconds))
        patch.setattr(time, "strftime", lambda form, then=None: write(form, time.localtime() if then is None else then))


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    """Nothing of this day, this machine and these folders shall be in a picture."""
    for name in ("NO_COLOR", "PRUNELAB_DATA", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(store.Run, "size", lambda run: 123_456)
    monkeypatch.setattr(plot, "SECONDS_BETWEEN_DRAWINGS", 0.01)
    numbers = iter(range(0xA001, 0xFFFF))
    # Of the module that makes the ids only: the names of temporary files are not to change them.
    monkeypatch.setattr(store, "secrets", SimpleNamespace(token_hex=lambda n_bytes: f"{next(numbers):04x}"))
    return Clock(monkeypatch)


def wide(size: tuple[int, int], *words: str) -> tuple[str, ...]:
    """Words for which there is no room in the smallest terminal."""
    return words if size[0] > 80 else ()


def text_of(app: PrunelabApp) -> str:
    """What the terminal shows, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


class Seat:
    """Somebody in front of the app, with a camera."""

    def __init__(self, snapshot: SnapshotAssertion):
        self._snapshot = snapshot.use_extension(Svg)

    def look(
        self,
        size: tuple[int, int],
        keys: list[str],
        *words: str,
        first: Sequence[str] = (),
        compared: Sequence[Run] = (),
        **options: Any,
    ) -> None:
        """Press some keys, wait until these words can be read and nothing moves, and compare with the picture.

        The keys wait until the words `first` can be read, and longer than the pause between two drawings of a plot:
        what is behind a dialog is then as it stays.
        """

        async def session() -> str:
            app = PrunelabApp(**options)
            app.service = CannedService()  # type: ignore[assignment]
            app.runs_compared = list(compared)
            async with app.run_test(size=size) as pilot:
                if first:
                    await self._wait(pilot, lambda: all(word in text_of(app) for word in first), looks=20)
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
                await self._wait(pilot, lambda: all(word in text_of(app) for word in words))
                return app.export_screenshot(title="prunelab")

        assert asyncio.run(session()) == self._snapshot

    @staticmethod
    async def _wait(pilot: Pilot[None], condition: Callable[[], object], looks: int = 3) -> None:
        deadline = time.monotonic() + 30
        before, same = [], 0
        while same < looks:
            assert time.monotonic() < deadline, f"waited in vain:\n{text_of(pilot.app)}"  # type: ignore[arg-type]
            await pilot.pause(0.03)
            now = pilot.app.screen._compositor.render_strips()
            same = same + 1 if now == before and condition() and "no data" not in text_of(pilot.app) else 0
            before = now


@pytest.fixture
def seat(snapshot: SnapshotAssertion) -> Seat:
    return Seat(snapshot)


@pytest.fixture
def runs(make_run, clock: Clock) -> list[Run]:
    """Some runs of all kinds, the newest last."""
    made = []

    def make(days: float, *args: Any, **fields: Any) -> None:
        clock.now = NOON - 86400 * days
        made.append(make_run(*args, **{"sparsities": SPARSITIES, **fields}))

    make(400, name="a year ago", preset="original", dataset="mnist")
    make(3, "stopped", points=7)
    make(2, "failed", reason="out of memory", points=0, parameters={"hidden_layer_sizes": (20_000, 20_000)})
    make(1, "interrupted", name="lost", points=12)
    make(0.5, name="three seeds", seeds=(0, 1, 2), better=0.01)
    make(0, preset="digits", parameters={"max_iter": 5, "hidden_layer_sizes": (100, 50)}, trained=True)
    clock.now = NOON
    return made


@pytest.mark.parametrize("size", SIZES)
def test_welcome(seat: Seat, make_run, size):
    seat.look(size, [], "Press r to see")


@pytest.mark.parametrize("size", SIZES)
def test_lab(seat: Seat, runs, size):
    seat.look(size, [], "20 points in", "99 %", PLOT, run=runs[-1])


@pytest.mark.parametrize("size", SIZES)
def test_form(seat: Seat, runs, size):
    seat.look(size, ["n"], "Run (F7)", "20 pruned networks", run=runs[-1])


@pytest.mark.parametrize("size", SIZES[:2])
def test_list_of_criteria(seat: Seat, runs, size):
    keys = ["n", *["down"] * 12, "space", "w"]
    seat.look(size, keys, "all of them", "times the norm of its input", first=["20 points in"], run=runs[-1])


@pytest.mark.parametrize("size", SIZES)
def test_explore(seat: Seat, runs, size):
    seat.look(size, ["f3"], "Exact, on all 360 test samples", " 81.0 ", *wide(size, PLOT, "become wrong"))


@pytest.mark.parametrize("size", SIZES)
def test_runs(seat: Seat, runs, size):
    seat.look(size, ["f4"], "a year ago", "20 of 20 points", *wide(size, PLOT))


@pytest.mark.parametrize("size", SIZES)
def test_compare(seat: Seat, runs, size):
    seat.look(size, ["f5"], "three seeds", PLOT, compared=runs[-2:])


@pytest.mark.parametrize("size", SIZES)
def test_data(seat: Seat, make_run, size):
    seat.look(size, ["f6"], "one per class, 1 of 151", "1,465 training samples", "▀▀▀▀")


@pytest.mark.parametrize("size", SIZES)
def test_help(seat: Seat, make_run, size):
    seat.look(size, ["question_mark"], "run the experiment in the form")


@pytest.mark.parametrize("size", SIZES)
def test_quitting_while_a_run_is_running(seat: Seat, make_run, size):
    run = make_run("running", points=3, trained=True, sparsities=SPARSITIES)
    lock = run.lock()
    seat.look(size, ["q"], "is running.", "Leave it running", first=["94.99", "3/20"], run=run)
    store.os.close(lock)
