"""The app in real pseudo-terminals: painting, leaving, hanging up, and runs that outlive it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore

from .terminal import COMMAND, Terminal

#: A run that takes some seconds, most of them in training; it is stopped when it has served its purpose.
LONG = RunSpec(
    parameters={"hidden_layer_sizes": (64,), "max_iter": 2000, "n_iter_no_change": 2000, "device": "cpu"},
    sparsities=(0.0, 0.5, 0.9),
    name="marathon",
)
SHORT = RunSpec(parameters={"hidden_layer_sizes": (32,), "max_iter": 2, "device": "cpu"}, sparsities=(0.0, 0.9))


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRUNELAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRUNELAB_DATA", str(tmp_path / "data"))


@contextlib.contextmanager
def running(spec: RunSpec) -> Iterator[Run]:
    """A run with its worker, which has begun to train."""
    run = supervisor.start(RunStore(), spec)
    try:
        wait_until(lambda: any(event["type"] in ("batch", "epoch") for event in run.events()))
        yield run
    finally:
        end(run)


def end(run: Run) -> None:
    supervisor.kill(run)
    wait_until(lambda: not run.is_alive())


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_restored(sent: bytes) -> None:
    """The last word on each of the terminal's modes is how it was before."""
    for mode, at_rest in {
        "1049": "l",
        "25": "h",
        "1000": "l",
        "1003": "l",
        "1006": "l",
        "2004": "l",
        "1004": "l",
    }.items():
        words = re.findall(rf"\x1b\[\?{mode}([hl])".encode(), sent)
        assert words, f"mode {mode} was never set"
        assert words[-1].decode() == at_rest, f"mode {mode}"
    if b"\x1b[>" in sent:  # the keyboard protocol of kitty
        assert b"\x1b[<u" in sent


def test_it_paints_goes_about_and_leaves_the_terminal_as_it_was() -> None:
    with Terminal() as terminal:
        terminal.see("How much of a neural network can be deleted?")
        assert terminal.lines[0].split() == ["F2", "Lab", "F3", "Explore", "F4", "Runs", "F5", "Compare", "F6", "Data"]
        terminal.see(lambda: "Quit" in terminal.lines[-1])
        for number, words in ((6, "Data sets"), (4, "no runs"), (3, ""), (5, ""), (2, "How much")):
            terminal.go(number)
            terminal.see(lambda words=words: words.casefold() in terminal.text.casefold())
        terminal.press("?")
        terminal.see("Escape closes")
        terminal.press("\x1b")
        terminal.see("How much of")

        terminal.resize(120, 40)
        terminal.see(lambda: "Quit" in terminal.lines[39])
        terminal.see("F6 Data")
        terminal.resize(80, 24)
        terminal.see(lambda: "Quit" in terminal.lines[23])
        terminal.see("How much of")

        terminal.press("q")
        assert terminal.wait() == 0
        assert_restored(terminal.sent)
        attributes = termios.tcgetattr(terminal.child.child_fd)
        assert attributes[3] & termios.ECHO
        assert attributes[3] & termios.ICANON


@pytest.mark.slow
def test_a_run_goes_on_when_its_app_is_left_and_is_there_again() -> None:
    with running(LONG) as run:
        with Terminal() as terminal:
            terminal.see("marathon")
            terminal.see("%")
            terminal.press("q")
            terminal.see("Leave it running")
            terminal.press("\r")
            assert terminal.wait() == 0
            assert_restored(terminal.sent)
        assert run.is_alive()
        with Terminal() as terminal:
            terminal.see("marathon")
            terminal.press("q")
            terminal.see("Stop it")
            terminal.press("s")
            assert terminal.wait() == 0
        wait_until(lambda: not run.is_alive())
        assert run.state == "stopped"


@pytest.mark.slow
def test_the_first_key_runs_the_experiment() -> None:
    with Terminal(columns=100, rows=30) as terminal:
        terminal.see("Press r to see")
        terminal.press("r")
        terminal.see(lambda: RunStore().runs())
        (run,) = RunStore().runs()
        try:
            terminal.see("loss")
            terminal.see("sparsity", seconds=120)
            terminal.see(lambda: run.state == "finished", seconds=120)
            terminal.see("finished")
        finally:
            end(run)
        terminal.press("q")
        assert terminal.wait() == 0
    assert len(run.points()) == run.spec.n_points


def test_hanging_up_ends_the_app_and_not_the_run() -> None:
    with running(LONG) as run:
        with Terminal() as terminal:
            terminal.see("marathon")
            terminal.hang_up()  # which sends SIGHUP, and ends standard input
            wait_until(terminal.has_ended, 5)
        assert run.is_alive()


def test_the_end_of_standard_input_ends_the_app() -> None:
    """Where no SIGHUP comes: the terminal is not the controlling one."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    try:
        os.close(theirs)
        sent = b""
        while b"Quit" not in sent:
            sent += os.read(ours, 65536)
        os.close(ours)
        process.wait(5)
    finally:
        process.kill()
        process.wait()


def test_ctrl_z_goes_back_to_the_shell_and_fg_to_the_lab() -> None:
    with Terminal(shell=True) as terminal:
        terminal.see("How much of a neural network can be deleted?")
        for opened, seen in (("", "How much of"), ("?", "Escape closes")):
            terminal.press(opened)
            terminal.see(seen)
            terminal.press("\x1a")
            terminal.see("Stopped")
            assert_restored(terminal.sent)
            terminal.press("echo in the $((2 * 21)) shell\r")
            terminal.see("in the 42 shell")
            terminal.resize(100, 30)
            terminal.press("fg\r")
            terminal.see(lambda: "Stopped" not in terminal.text and "42" not in terminal.text)
            terminal.see(seen)
            terminal.see("F6 Data" if not opened else seen)
        terminal.press("\x1b")
        terminal.see(lambda: "Quit" in terminal.lines[29])
        terminal.press("q")
        terminal.see("shell>")
        assert_restored(terminal.sent)


def test_a_request_to_end_restores_the_terminal() -> None:
    with Terminal() as terminal:
        terminal.see("Quit")
        terminal.child.kill(signal.SIGTERM)
        terminal.wait()
        assert_restored(terminal.sent)


@pytest.mark.slow
def test_a_run_is_whole_after_its_app_was_killed() -> None:
    with Terminal() as terminal:
        terminal.see("Quit")
        run = supervisor.start(RunStore(), SHORT)
        terminal.child.kill(signal.SIGKILL)
        terminal.wait()
    wait_until(lambda: run.state == "finished")
    assert len(run.points()) == SHORT.n_points
    with Terminal("attach", "last", columns=120, rows=40) as terminal:
        terminal.see("finished")
        terminal.see("90")
        terminal.press("q")
        assert terminal.wait() == 0


def test_no_colours_where_none_are_wanted() -> None:
    with Terminal(environment={"NO_COLOR": "1"}) as terminal:
        terminal.see("Quit")
        terminal.go(6)
        terminal.see("one per class")
        terminal.press("q")
        assert terminal.wait() == 0
    codes = {
        int(code) for group in re.findall(rb"\x1b\[([\d;]*)m", terminal.sent) for code in group.split(b";") if code
    }
    assert codes <= {0, 1, 2, 3, 4, 7, 9}, codes  # bold, reverse and the like
    assert 7 in codes  # where one is, is still marked


@pytest.mark.slow
def test_only_ascii_where_that_is_wanted() -> None:
    with running(SHORT) as run:
        wait_until(lambda: run.state == "finished")
    with Terminal("--ascii", columns=120, rows=40) as terminal:
        for number, words in ((2, "finished"), (3, ""), (4, "digits"), (5, ""), (6, "one per class")):
            terminal.go(number)
            terminal.see(words)
            terminal.press("?")
            terminal.see("Escape closes")
            terminal.press("\x1b")
            terminal.see(lambda: "Escape closes" not in terminal.text)
        terminal.press("q")
        assert terminal.wait() == 0
    assert terminal.sent.isascii(), sorted({c for c in terminal.sent.decode() if not c.isascii()})
