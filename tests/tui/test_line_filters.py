"""Terminals without colours, or with nothing but ASCII."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.tui.app import PrunelabApp
from prunelab.tui.line_filters import AsciiFilter, ColourlessFilter, to_ascii
from prunelab.tui.runs.store import RunStore
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.pilot import Pilot

BLACK = Color(0, 0, 0)


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("plain", "plain"),
        ("╭─ Keys ─╮", "+- Keys -+"),
        ("│a┃b▌", "|a|b|"),
        ("‹ auto ›", "< auto >"),  # noqa: RUF001
        ("cut…", "cut."),
        ("▁▂ ██", "__ ##"),
        ("日本", "????"),
        ("é", "?"),
    ],
)
def test_characters_become_others_that_look_like_them(text: str, ascii_text: str) -> None:
    assert to_ascii(text) == ascii_text


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_is_left_is_ascii_and_as_wide(text: str) -> None:
    assert to_ascii(text).isascii()
    assert cell_len(to_ascii(text)) == sum(cell_len(char) for char in text)


def test_the_ascii_filter_keeps_styles() -> None:
    style = Style(bold=True, color="red")
    assert AsciiFilter().apply([Segment("─", style)], BLACK) == [Segment("-", style)]


@pytest.mark.parametrize(
    ("background", "is_reverse"), [("#121212", False), ("#242f38", False), ("#0178d4", True), ("#ffffff", True)]
)
def test_what_stands_out_is_in_reverse(background: str, is_reverse: bool) -> None:
    segment = Segment("x", Style(bold=True, underline=True, color="#ffa62b", bgcolor=background))
    ((_, style, _),) = ColourlessFilter(lambda: 0x12).apply([segment], BLACK)
    assert style is not None
    assert style.color is None
    assert style.bgcolor is None
    assert style.bold
    assert style.underline
    assert bool(style.reverse) == is_reverse


def test_text_without_a_style_is_left_alone() -> None:
    assert ColourlessFilter(lambda: 0).apply([Segment("x")], BLACK) == [Segment("x")]


@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_keys_at_the_bottom_fit_into_80_columns(make_run, monkeypatch, tmp_path, ascii_only: bool) -> None:
    monkeypatch.setenv("PRUNELAB_DATA", str(tmp_path))
    make_run(trained=True)

    def footer(pilot: Pilot[None]) -> str:
        return pilot.app.screen._compositor.render_strips()[-1].text

    async def session() -> None:
        app = PrunelabApp(ascii_only=ascii_only)
        async with app.run_test(size=(80, 24)) as pilot:
            for key, shown in (("f2", "Part"), ("f3", "Sparser"), ("f4", "Filter"), ("f5", "Only"), ("f6", "Open")):
                await pilot.press(key)
                deadline = time.monotonic() + 30
                while shown not in footer(pilot) or "q Quit" not in footer(pilot):
                    assert time.monotonic() < deadline, footer(pilot)
                    await pilot.pause(0.02)
                assert footer(pilot).isascii() or not ascii_only

    asyncio.run(session())


NAME = "[/b] [red]a[b 日本"


def test_brackets_in_names_are_shown_as_they_are(make_run, monkeypatch, tmp_path) -> None:
    """Textual would take them for markup: text would be missing, or the app would end."""
    monkeypatch.setenv("PRUNELAB_DATA", str(tmp_path))
    make_run(name="another")
    run = make_run(name=NAME, trained=True)

    def text(pilot: Pilot[None]) -> str:
        return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())

    async def session() -> None:
        app = PrunelabApp(run=run)
        async with app.run_test(size=(120, 40)) as pilot:

            async def see(what: str) -> None:
                deadline = time.monotonic() + 30
                while what not in text(pilot):
                    assert time.monotonic() < deadline, text(pilot)
                    await pilot.pause(0.05)

            await see(NAME)
            await pilot.press("f4")
            await see(f"   {NAME}")
            await pilot.press("slash", "x", "left_square_bracket", "slash", "b", "right_square_bracket")
            await see("x[/b]")
            await pilot.press("escape")
            await app.compare_runs(app.store.runs())
            await see(f"{NAME}, weight")

    asyncio.run(session())


def test_brackets_in_messages_are_no_markup(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path))
    (tmp_path / "file").touch()

    async def session() -> None:
        app = PrunelabApp(RunStore(tmp_path / "file" / "[/b]"))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("r")
            deadline = time.monotonic() + 30
            while not list(app._notifications):
                assert time.monotonic() < deadline
                await pilot.pause(0.05)
            for notification in app._notifications:
                assert "[/b]" in notification.message
                assert not notification.markup

    asyncio.run(session())
