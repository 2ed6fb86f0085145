"""A pseudo-terminal with the app in it: what is on its screen, every byte that was sent, and how it ends."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping

import pexpect
import pyte

COMMAND = [sys.executable, "-m", "prunelab.tui.cli"]

#: What xterm and its relatives send.
FUNCTION_KEYS = {2: b"\x1bOQ", 3: b"\x1bOR", 4: b"\x1bOS", 5: b"\x1b[15~", 6: b"\x1b[17~"}


class Terminal:
    """The app in a terminal of its own.

    Parameters
    ----------
    arguments : sequence of str
        Of the `prunelab` command.
    columns, rows : int
        The size of the terminal.
    environment : mapping
        What differs from that of the tests; an empty value unsets.
    shell : bool
        Whether it is started by a shell with job control, which is there when it is stopped or ends.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] = {},
        shell: bool = False,
    ):
        variables = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "", **environment}
        for name in (
            "COLUMNS",
            "LINES",
        ):  # set where the tests run beside each other, and more to go by than the terminal
            variables.pop(name, None)
        variables = {name: value for name, value in variables.items() if value}
        self._emulator = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._emulator)
        self.sent = b""
        self._has_hung_up = False
        command = ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"] if shell else [*COMMAND, *arguments]
        variables["PS1"] = "shell> "
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(rows, columns), env=variables)
        if shell:
            self.child.send(f"clear; {shlex.join([*COMMAND, *arguments])}\r")

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return list(self._emulator.display)

    @property
    def text(self) -> str:
        """All of it, words separated by one blank."""
        return " ".join(" ".join(self.lines).split())

    def look(self, seconds: float = 0.05) -> bool:
        """Read what has been sent; returns whether the other end is still open."""
        try:
            data = self.child.read_nonblocking(65536, seconds)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.sent += data
        self._stream.feed(data)
        return True

    def see(self, what: str | Callable[[], object], seconds: float = 30) -> None:
        """Wait until a text is on the screen, or a condition is met."""
        deadline = time.monotonic() + seconds
        while not (what() if callable(what) else what in self.text):
            if not self.look() or time.monotonic() > deadline:
                raise AssertionError("\n".join([f"{what} is not seen:", *self.lines]))

    def press(self, keys: str | bytes) -> None:
        """Type."""
        self.child.send(keys)

    def go(self, number: int) -> None:
        """Press a function key."""
        self.press(FUNCTION_KEYS[number])

    def resize(self, columns: int, rows: int) -> None:
        """Change the size."""
        self._emulator.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def wait(self, seconds: float = 20) -> int | None:
        """Wait for the end; returns the exit status, or None if a signal was the end."""
        deadline = time.monotonic() + seconds
        while self.look() and time.monotonic() < deadline:
            pass
        while self.child.isalive():
            assert time.monotonic() < deadline, "\n".join(["it does not end:", *self.lines])
            time.sleep(0.02)
        return self.child.exitstatus

    def hang_up(self) -> None:
        """Close the other end, as a dropped connection does: no signal but the kernel's."""
        os.close(self.child.child_fd)
        self._has_hung_up = True

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        try:
            return os.waitpid(self.child.pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True

    def close(self) -> None:
        """End the process if it is still running."""
        if not self._has_hung_up:
            self.child.close(force=True)
        elif not self.has_ended():
            os.kill(self.child.pid, signal.SIGKILL)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
