"""The widget for drawings: it is drawn for its size, and sends only the lines that have changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from prunelab.tui.widgets.picture import Picture
from prunelab.tui.widgets.plot import Draw, Plot
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot


class PlotApp(App[None]):
    CSS = "Plot { border: solid red; padding: 1 2; }"

    def __init__(self, plot: Plot):
        super().__init__()
        self.plot = plot

    def compose(self) -> ComposeResult:
        yield self.plot


def lines_of(number: int) -> Draw:
    """A drawing whose third line alone depends on the number."""
    return lambda *, width, height, **_: "\n".join(
        f"{number if y == 2 else y}".ljust(width, ".") for y in range(height)
    )


def seen(plot: Plot) -> list[str]:
    return [strip.text for strip in plot.render_lines(Region(0, 0, *plot.outer_size))]


def try_out(plot: Plot, test: Callable[[Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    async def session() -> None:
        async with PlotApp(plot).run_test(size=(40, 12)) as pilot:
            await test(pilot)

    asyncio.run(session())


async def until(pilot: Pilot[None], condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)


def test_only_lines_that_have_changed_are_sent() -> None:
    plot = Plot(lines_of(100))
    sent: list[tuple[Region, ...]] = []

    async def test(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "100" in "".join(seen(plot)))
        before = seen(plot)
        refresh = plot.refresh

        def noted(*regions: Region, **options: Any) -> Plot:
            sent.append(regions)
            return refresh(*regions, **options)

        plot.refresh = noted
        plot.show(lines_of(200))
        await until(pilot, lambda: "200" in "".join(seen(plot)))
        after = seen(plot)
        assert [y for y in range(12) if before[y] != after[y]] == [2 + 2]  # below border and padding
        assert sent == [(Region(0, 2, plot.size.width, 1),)]
        sent.clear()
        plot.show(lines_of(200))
        await until(pilot, lambda: not plot._is_waiting)
        assert sent == []

    try_out(plot, test)


def test_another_size_is_drawn_anew() -> None:
    plot = Plot(lines_of(100))

    async def test(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "100" in "".join(seen(plot)))
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: len(seen(plot)) == 20 and "15" in "".join(seen(plot)))

    try_out(plot, test)


def test_a_picture_says_sentences_in_the_middle() -> None:
    picture = Picture()

    async def test(pilot: Pilot[None]) -> None:
        picture.show_text("One sentence, which is longer than there is room for in a line.", "Another.")
        await until(pilot, lambda: "Another." in "".join(seen(picture)))
        assert " ".join("".join(seen(picture)).replace("│", " ").split()[1:-1]).startswith("One sentence, which")

    try_out(picture, test)
