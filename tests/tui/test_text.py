"""Names and other text that may hold anything, in the commands and in the app."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import time
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prunelab.tui.app import PrunelabApp
from prunelab.tui.cli import main
from prunelab.tui.line_filters import ControlFilter
from prunelab.tui.output import Terminal
from prunelab.tui.text import clean, wrapped
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.pilot import Pilot

from .canned import CannedService
from .terminal import COMMAND
from .terminal import Terminal as PseudoTerminal

#: A colour and a jump, a bell, a C1 control, a right-to-left override, a name of an undecodable byte, and markup.
EVIL = "a\x1b[31m\x1b[5Ab\x07\x9b2J\u202ec\udce9[red]x[/] [@click=app.quit]"
WIDE = "日本語データ"


def controls(text: str) -> set[str]:
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n"}


@given(st.text())
def test_clean_text_is_printable_on_one_line_and_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert once.isprintable()
    assert clean(once) == once
    assert clean(text, ascii_only=True).isascii()
    if text.isprintable() and text.isascii():
        assert once == text


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 40))
def test_wrapped_text_fits_and_loses_nothing_but_blanks(text: str, width: int) -> None:
    text = clean(text)
    lines = wrapped(text, width)
    assert all(cell_len(line) <= max(width, 2) for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_tables_count_columns_of_the_terminal() -> None:
    stream = io.StringIO()
    rows = [["plain", "1"], [WIDE, "22"], ["e\u0301\u0301", "3"], [EVIL, "4"]]
    Terminal(stream, False, 80, 24, colour=False).print_table(["name", "n"], rows, left={"name"})
    lines = stream.getvalue().splitlines()
    assert len({cell_len(line) for line in lines}) == 1
    assert not controls(stream.getvalue())


def test_what_is_drawn_has_no_control_characters() -> None:
    (segment,) = ControlFilter().apply([Segment(EVIL)], Color(0, 0, 0))
    assert not controls(segment.text)
    assert "[red]x[/]" in segment.text


def prunelab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, env={**own, **environment}, timeout=60)


COMMANDS = [
    ["runs"],
    ["runs", "show", "last"],
    ["runs", "show", EVIL.replace("\udce9", "")],
    ["runs", "resume", "\x1b[2Jnone"],
    ["runs", "delete", "last"],
    ["runs", "export", "last", "-o", "/none\x1b[2J/x.csv"],
    ["attach", "\x1b[2Jnone"],
    ["data", "no\x1b[2J.csv"],
    ["sweep", "--dataset", "no\x1b[2J.csv"],
    ["sweep", "--preset", "\x1b[2J"],
    ["sweep", "--csv", "/none\x1b[2J/x.csv"],
    ["study", "\x1b[2J"],
    ["\x1b[2J"],
    ["runs", "show", "last", "\x1b[2J"],
]


def test_no_command_prints_a_control_character_of_a_name(make_run, capsys) -> None:
    name = EVIL.replace("\udce9", "")
    run = make_run("failed", reason=f"no {name}", dataset=f"/somewhere/{name}.csv", parameters={}, points=1)
    (run.path / "name").write_text(name, encoding="utf-8")
    for arguments in COMMANDS:
        with contextlib.suppress(SystemExit):
            main(arguments)
        printed = "".join(capsys.readouterr())
        assert printed
        assert not controls(printed), (arguments, printed)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_of_another_encoding_gets_readable_results(make_run, encoding) -> None:
    make_run(name=f"{WIDE} é", trained=True)
    for arguments in (["runs"], ["runs", "show", "last"]):
        result = prunelab(*arguments, PYTHONIOENCODING=encoding)
        assert b"Traceback" not in result.stderr
        text = (result.stdout + result.stderr).decode(encoding)
        assert ("sparsity" in text) == ("show" in arguments)
        assert (WIDE in text) == (encoding == "utf-8")
        assert "\\u" not in text  # no escapes, which would shift the columns


def test_the_c_locale_is_drawn_in_ascii(make_run) -> None:
    make_run(name=WIDE, trained=True)
    with PseudoTerminal(environment={"LANG": "C", "LC_ALL": "", "LC_CTYPE": ""}) as terminal:
        terminal.see("F6 Data")
        terminal.see("sparsity (% removed)")
        terminal.press("q")
        assert terminal.wait() == 0
    assert terminal.sent.isascii()


def test_the_app_shows_markup_and_controls_in_names_as_they_are(make_run) -> None:
    literal = "[red]x[/] [b]"
    run = make_run(name=literal, trained=True)
    other = make_run(name=f"{WIDE}{WIDE}", trained=True)

    async def play() -> None:
        app = PrunelabApp(run=run)
        app.service = CannedService()  # type: ignore[assignment]
        app.runs_compared, app.run_explored = [run, other], run
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            for keys in (["f4", "down"], ["d"], ["escape", "n"], ["escape", "x"], ["escape", "f5"], ["f3"], ["f2"]):
                await pilot.press(*keys)
                await until(pilot, lambda: literal in text_of(app))
                assert not controls(text_of(app))
            app.screen.notify(literal, markup=False)
            await until(pilot, lambda: text_of(app).count(literal) > 1)

    asyncio.run(play())


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, text_of(pilot.app)
        await pilot.pause(0.02)


def text_of(app: App[None]) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())
