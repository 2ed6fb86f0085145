"""The data screen, key path by key path."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prunelab.estimators.data.source import DataOptions
from prunelab.tui.app import PrunelabApp
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.screens.data import DataScreen
from prunelab.tui.screens.reading import ReadingDialog
from prunelab.tui.service.client import ServiceError
from prunelab.tui.widgets.data_list import DataList
from prunelab.tui.widgets.picture import Picture
from prunelab.tui.widgets.plot import Plot
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Input, Static

SIZES = [(80, 24), *(pytest.param(size, marks=pytest.mark.slow) for size in [(120, 40), (200, 60)])]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRUNELAB_DATA", str(tmp_path / "data"))


class Seat:
    """Somebody in front of the data screen: what there is to read, and keys."""

    def __init__(self, pilot: Pilot[None]):
        self.pilot = pilot
        self.screen = pilot.app.screen
        assert isinstance(self.screen, DataScreen)

    @property
    def page(self) -> str:
        box = self.screen.query_one("#page")
        return f"{box.border_title} | {box.border_subtitle}"

    @property
    def picture(self) -> str:
        return self.screen.query_one(Picture).render().plain

    @property
    def sentence(self) -> str:
        return " ".join(self.picture.split())

    @property
    def bars(self) -> list[str]:
        return self.screen.query_one("#bars", Plot).render().plain.splitlines()

    @property
    def footer(self) -> set[str]:
        return {binding.description for _, binding, enabled, _ in self.screen.active_bindings.values() if enabled}

    @property
    def messages(self) -> str:
        return " ".join(notification.message for notification in self.pilot.app._notifications)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def see(self, what: str | Callable[[], object]) -> None:
        deadline = time.monotonic() + 30
        while not (what() if callable(what) else what in self.page):
            assert time.monotonic() < deadline, f"{what} is not seen, but {self.page}; {self.messages}"
            await self.pilot.pause(0.05)


def sit_down(
    test: Callable[[Seat], Coroutine[Any, Any, None]], size: tuple[int, int] = (80, 24), **options: Any
) -> None:
    async def session() -> None:
        app = PrunelabApp(**options)
        async with app.run_test(size=size) as pilot:
            await pilot.press("f6")
            await test(Seat(pilot))

    asyncio.run(session())


@pytest.mark.parametrize("size", SIZES)
def test_looking_at_the_digits(size: tuple[int, int]) -> None:
    async def test(seat: Seat) -> None:
        await seat.see("digits, training data | one per class, 1 of 146")
        assert len(seat.screen.query_one(DataList)._options) == 6
        for line in seat.screen.query_one(Picture).render().plain.splitlines():
            assert len(line) <= size[0] - 30
        for number in range(10):
            assert str(number) in seat.picture
        assert seat.screen.query_one("#classes", VerticalScroll).border_subtitle == "1,437 training samples"
        await seat.see(lambda: len(seat.bars) == 10)
        assert seat.bars[0].split()[-1] == "142"

        await seat.press("n")
        await seat.see("one per class, 2 of 146")
        await seat.press("pageup", "p")
        await seat.see("one per class, 1 of 146")
        await seat.press("t")
        await seat.see("digits, test data | one per class, 1 of 37")
        await seat.press("right")
        await seat.see("class 0, 1 to")
        await seat.see(lambda: seat.bars[0].startswith(">0"))
        assert "#" in seat.picture
        await seat.press("7")
        await seat.see("class 7, 1 to")
        before = seat.page
        await seat.press("pagedown")
        await seat.see(lambda: seat.page != before)
        await seat.press("left")
        await seat.see("class 6, 1 to")
        await seat.press("a", "left")
        await seat.see("class 9, 1 to")
        await seat.press("right")
        await seat.see("one per class")

    sit_down(test, size)


def test_there_is_nothing_before_the_first_page_and_after_the_last() -> None:
    async def test(seat: Seat) -> None:
        await seat.see("one per class, 1 of")
        await seat.press("t", "8")
        await seat.see("class 8, 1 to 12 of 35")
        for shown in ("13 to 24", "25 to 35"):
            await seat.press("n")
            await seat.see(f"{shown} of 35")
        await seat.press("n", "p")
        await seat.see("13 to 24 of 35")
        await seat.press("p")
        await seat.see("1 to 12 of 35")
        await seat.press("p", "n")
        await seat.see("13 to 24 of 35")

    sit_down(test)


def test_another_size_shows_more_or_fewer() -> None:
    async def test(seat: Seat) -> None:
        await seat.see("one per class, 1 of")
        await seat.press("1")
        await seat.see("class 1, 1 to 12 of 146")
        await seat.pilot.resize_terminal(200, 24)
        await seat.see(lambda: "class 1" in seat.page and "1 to 12 " not in seat.page)
        await seat.pilot.resize_terminal(80, 24)
        await seat.see("class 1, 1 to 12 of 146")

    sit_down(test)


def test_ascii_only_is_ascii() -> None:
    async def test(seat: Seat) -> None:
        await seat.see("one per class, 1 of")
        await seat.see(lambda: bool(seat.bars))
        assert seat.picture.isascii()
        assert "\n".join(seat.bars).isascii()
        assert seat.picture.strip()

    sit_down(test, ascii_only=True)


def test_what_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https"):  # nothing listens there, so downloads fail as on an offline machine
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")

    async def test(seat: Seat) -> None:
        await seat.see("one per class, 1 of")
        assert "Download" not in seat.footer
        await seat.press("down")
        await seat.see("mnist")
        assert "mnist is not on this machine" in seat.sentence
        assert "Press d to download it (about 11 MB)" in seat.sentence
        assert "".join(str(tmp_path / "data").split()) in "".join(seat.sentence.split())
        assert seat.bars == [""] or not seat.bars
        assert {"Download", "Open"} <= seat.footer
        assert not seat.footer & {"Run", "Next", "Cancel"}
        await seat.press("t", "n", "3", "r", "right")  # which mean nothing here
        await seat.press("d")
        await seat.see(lambda: "no connection" in seat.sentence)
        assert "MNIST could not be downloaded" in seat.sentence
        assert "Download" in seat.footer
        await seat.press("up")
        await seat.see("one per class, 1 of")

    sit_down(test)


class FakeDownloads:
    """A service whose downloads the test controls."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.is_closed = False

    async def stream(self, op: str, **fields: Any) -> AsyncIterator[dict[str, Any]]:
        assert op == "data.download"
        assert fields["name"] == "mnist"
        while (arrived := await self.arrived.get()) is not None:
            if isinstance(arrived, Exception):
                raise arrived
            yield {"arrived": arrived}

    async def close(self) -> None:
        self.is_closed = True


def test_a_download_is_watched_and_cancelled() -> None:
    async def test(seat: Seat) -> None:
        downloads = FakeDownloads()
        seat.screen._downloads = downloads
        await seat.press("down", "d")
        downloads.arrived.put_nowait(5_500_000)
        await seat.see(lambda: "5.5 of about 11 MB" in seat.sentence)
        assert "50%" in seat.sentence
        assert "left" in seat.sentence
        assert "Cancel" in seat.footer
        assert "Download" not in seat.footer
        await seat.press("up")  # everything else goes on
        await seat.see("one per class, 1 of")
        await seat.press("down")
        await seat.see(lambda: "5.5 of about 11 MB" in seat.sentence)
        await seat.press("x")
        await seat.see(lambda: "Press d to download it" in seat.sentence)
        assert downloads.is_closed
        await seat.see(lambda: "cancelled" in seat.messages)
        assert "Cancel" not in seat.footer

    sit_down(test)


def test_a_download_that_ends_or_fails_is_reported_on_every_screen() -> None:
    async def test(seat: Seat) -> None:
        downloads = FakeDownloads()
        seat.screen._downloads = downloads
        await seat.press("down", "d", "up")
        downloads.arrived.put_nowait(ServiceError("no connection: unplugged"))
        await seat.see(lambda: "No connection: unplugged." in seat.messages)
        await seat.press("down")
        await seat.see(lambda: "No connection: unplugged." in seat.sentence)
        await seat.press("d", "up")
        downloads.arrived.put_nowait(None)
        await seat.see(lambda: "mnist is downloaded" in seat.messages)

    sit_down(test)


def test_damaged_files_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(b"half")

    async def test(seat: Seat) -> None:
        await seat.press("down")
        await seat.see(lambda: "is missing" in seat.sentence)
        assert "Press d" in seat.sentence

    sit_down(test)


def test_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "flowers.csv"
    header = ",".join([*(f"feature {i}" for i in range(50)), "label"])
    table.write_text("\n".join([header, *(",".join([*["1.5"] * 50, "ab"[i % 2]]) for i in range(30))]))
    images = tmp_path / "images.npz"
    X = np.random.default_rng(0).integers(0, 256, (90, 12, 16), dtype=np.uint8)
    np.savez(images, X=X, y=np.arange(90) % 3)
    edited: list[RunSpec] = []

    async def edit_spec(self: PrunelabApp, spec: RunSpec) -> None:
        edited.append(spec)

    monkeypatch.setattr(PrunelabApp, "edit_spec", edit_spec)

    async def open_file(seat: Seat, path: Path) -> None:
        await seat.press("o")
        await seat.see(lambda: seat.pilot.app.screen is not seat.screen)
        seat.pilot.app.screen.query_one(Input).value = str(path)
        await seat.press("enter")

    async def test(seat: Seat) -> None:
        await open_file(seat, table)
        await seat.see("flowers.csv, training data | features 1 to 18 of 50")
        assert seat.picture.split()[:4] == ["feature", "mean", "least", "largest"]
        assert "feature 17" in seat.picture
        assert len(seat.bars) == 2
        await seat.press("n")
        await seat.see("features 19 to 36 of 50")
        assert not seat.footer & {"Download", "Cancel"}

        await open_file(seat, tmp_path / "absent.npz")
        await seat.see(lambda: "There is no file" in seat.messages)
        assert "flowers.csv" in seat.page

        await open_file(seat, images)
        await seat.see("images.npz, training data | one per class, 1 of 24")
        await seat.press("r")
        await seat.see(lambda: edited)
        assert edited[0].dataset == str(images)
        assert edited[0].problems() == {}

    sit_down(test)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_an_ambiguous_file_is_read_as_the_dialog_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size) -> None:
    table = tmp_path / "flowers.csv"
    rows = [f"{i};{i % 5},5;{i % 3};{'ab'[i % 2]};" for i in range(30)]
    table.write_text("\n".join(["Id;length;count;kind;", *rows]))
    edited: list[RunSpec] = []

    async def edit_spec(self: PrunelabApp, spec: RunSpec) -> None:
        edited.append(spec)

    monkeypatch.setattr(PrunelabApp, "edit_spec", edit_spec)

    async def test(seat: Seat) -> None:
        app = seat.pilot.app

        def shown(name: str) -> str:
            return str(app.screen.query_one(name, Static).content) if app.screen.query(name) else ""

        await seat.press("o")
        await seat.see(lambda: app.screen is not seat.screen)
        app.screen.query_one(Input).value = str(table)
        await seat.press("enter")
        await seat.see(lambda: isinstance(app.screen, ReadingDialog) and "0,5" in shown("#table"))
        await seat.see(lambda: "index='Id'" in shown("#words"))
        await seat.press("enter")  # which changes nothing: the question stays
        await seat.see(lambda: isinstance(app.screen, ReadingDialog) and "index='Id'" in shown("#words"))
        await seat.press("down", "I", "d")
        await seat.see(lambda: "row names" in shown("#table"))
        names, roles, *cells = shown("#table").splitlines()
        assert names.split()[:4] == ["Id", "length", "count", "kind"]
        assert roles.split()[:5] == ["row", "names", "feature", "feature", "label"]
        assert cells[0].split()[:4] == ["0", "0,5", "0", "a"]
        assert "decimal=','" in shown("#words")
        assert all(len(line) <= app.screen.query_one("#table").size.width for line in (names, roles, *cells))
        await seat.press("enter")
        await seat.see("flowers.csv, training data | features 1 to 2 of 2")
        assert "Reading" in seat.footer
        about = str(seat.screen.query_one("#about", Static).content)
        assert "decimal" in about
        assert "label" in about
        await seat.press("e")
        await seat.see(lambda: isinstance(app.screen, ReadingDialog))
        await seat.press("down", "down", "down", "down", "right")
        await seat.see(lambda: "several columns" in shown("#words"))
        await seat.press("enter")
        await seat.see(lambda: isinstance(app.screen, ReadingDialog) and "several columns" in shown("#words"))
        await seat.press("escape", "r")
        await seat.see(lambda: edited)
        assert edited[0].options == DataOptions(index="Id")  # what could not be read is not kept

    sit_down(test, size)


def test_the_process_of_the_screen_stays_light() -> None:
    code = """
import asyncio, sys
from prunelab.tui.app import PrunelabApp
async def main():
    app = PrunelabApp()
    async with app.run_test() as pilot:
        await pilot.press("f6")
        while "of" not in str(app.screen.query_one("#page").border_subtitle):
            await pilot.pause(0.05)
asyncio.run(main())
print(sorted({"torch", "torchvision", "sklearn", "pandas", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_page_fits_the_room_that_the_text_below_it_leaves(tmp_path):
    table = tmp_path / "table.csv"
    names = [f"f{i}" for i in range(60)]
    rows = [",".join([*(str(i * j % 7) for j in range(60)), "ab"[i % 2]]) for i in range(20)]
    table.write_text("\n".join([",".join([*names, "label"]), *rows]))

    async def test(seat: Seat) -> None:
        await seat.press("o")
        await seat.see(lambda: seat.pilot.app.screen is not seat.screen)
        seat.pilot.app.screen.query_one(Input).value = str(table)
        await seat.press("enter")
        await seat.see("features 1 to 18 of 60")
        seat.screen.query_one("#about", Static).styles.height = 4
        seat.screen.query_one("#about", Static).styles.max_height = 4
        await seat.see("features 1 to 15 of 60")
        assert "f14" in seat.picture

    sit_down(test)
