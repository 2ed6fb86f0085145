"""Responsiveness of the app: time to the first frame, from key to screen during training, and load at rest.

The app runs in a pseudo-terminal of 120x40 with its own data home. The first frame is complete when the navigation
bar, the body and the footer have been sent. The run that trains is the original network on the
digits, shown live in the lab; the keys open the help and switch screens. At rest, the app shows a finished run.
Needs Linux.
"""

from __future__ import annotations

import os
import pty
import re
import select
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from common import arguments, print_goal, print_machine, print_table, spread
from prunelab.tui.runs import supervisor
from prunelab.tui.runs.spec import RunSpec
from prunelab.tui.runs.store import Run, RunStore

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "prunelab.tui.cli"]
SIZE = (40, 120)
ESCAPE_CODES = re.compile(r"\x1b(\[[0-9;?<>=$]*[a-zA-Z]|\][^\x07]*\x07|[()].|[=>])")

WELCOME = "How much of a neural network"

#: Keys, the text that they bring to the screen, and their kind: the help, the Data screen, and the run again.
STEPS = [
    (b"?", "Escape closes", "help"),
    (b"?", "", ""),
    (b"\x1b[17~", "Data sets", "screen"),
    (b"\x1bOQ", "Stop", "screen"),
]


def main() -> None:
    args = arguments(__doc__, repeats=15).parse_args()
    quick = args.quick
    repeats = 2 if quick else args.repeats
    print_machine()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(PRUNELAB_HOME=home, TERM="xterm-256color", COLORTERM="truecolor")
        os.environ.pop("NO_COLOR", None)
        firsts = [first_frame() for _ in range(repeats + 1)][1:]  # the first one fills the file caches
        rest = at_rest(2 if quick else 10)
        latencies, rate = while_training(5 if quick else 40, 2 if quick else 10)

    late = {kind: statistics.quantiles(values, n=20)[-1] for kind, values in latencies.items()}
    print_table(
        ["", "median (min, max)"],
        [
            ["first frame, milliseconds", spread(firsts, 0, 1000)],
            ["from key to help while a run trains, milliseconds", spread(latencies["help"], 0, 1000)],
            ["from key to another screen, milliseconds", spread(latencies["screen"], 0, 1000)],
        ],
    )
    first = statistics.median(firsts)
    print_goal(f"the first frame is complete after {first:.2f} s", first, quick=quick, at_most=0.6)
    for kind, seconds in late.items():
        sentence = f"95 % of the keys show the {kind} within {1000 * seconds:.0f} ms"
        print_goal(sentence, 1000 * seconds, quick=quick, at_most=100)
    print_goal(f"at rest it uses {rest[0]:.2f} % of a processor", rest[0], quick=quick, at_most=1)
    print_goal(f"at rest it sends {rest[1]} bytes", rest[1], quick=quick, at_most=0)
    print_goal(f"while a run trains it sends {rate / 1000:.1f} KB/s", rate / 1000, quick=quick, at_most=20)


def first_frame() -> float:
    """Seconds from the start of the process to the first complete frame."""
    started = time.perf_counter()
    with app() as screen:
        screen.see("F6", WELCOME, "Quit")
        return time.perf_counter() - started


def at_rest(seconds: float) -> tuple[float, int]:
    """Percent of a processor, and bytes sent, while a finished run is shown."""
    run = supervisor.start(RunStore(), RunSpec(parameters={"hidden_layer_sizes": (32,), "max_iter": 2}))
    while run.is_alive():
        time.sleep(0.1)
    with app() as screen:
        screen.see("finished", "Quit")
        screen.read(3)
        before = screen.processor_seconds()
        n_bytes = screen.read(seconds)
        return 100 * (screen.processor_seconds() - before) / seconds, n_bytes


def while_training(n_rounds: int, seconds: float) -> tuple[dict[str, list[float]], float]:
    """Seconds from key to screen, for each kind of `STEPS`, and bytes per second without keys."""
    run = supervisor.start(RunStore(), RunSpec(parameters={"max_iter": 100_000, "n_iter_no_change": 100_000}))
    try:
        wait_for_training(run)
        with app() as screen:
            screen.see("Quit", "Stop")
            screen.read(3)
            n_bytes = screen.read(seconds)
            for key, brings, _ in STEPS:  # create all screens before measuring
                screen.press(key, brings)
                screen.read(3)
            latencies: dict[str, list[float]] = {"help": [], "screen": []}
            for _ in range(n_rounds):
                for key, brings, kind in STEPS:
                    screen.read(0.3)
                    latency = screen.press(key, brings)
                    if kind:
                        latencies[kind].append(latency)
        return latencies, n_bytes / seconds
    finally:
        supervisor.kill(run)


def wait_for_training(run: Run) -> None:
    while not any(event["type"] in ("batch", "epoch") for event in run.events()):
        if not run.is_alive():
            sys.exit(f"the run has ended: see {run.log_path}")
        time.sleep(0.1)


class Screen:
    """The terminal side of the app's pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int):
        self._process, self._descriptor = process, descriptor
        self._sent = b""

    def read(self, seconds: float) -> int:
        """Read for a given time; returns the number of bytes."""
        deadline, before = time.perf_counter() + seconds, len(self._sent)
        while (left := deadline - time.perf_counter()) > 0:
            self._read_some(left)
        return len(self._sent) - before

    def see(self, *words: str, since: int = 0) -> None:
        """Wait until texts have been sent."""
        deadline = time.perf_counter() + 60
        while not all(word in self._text(since) for word in words):
            self._read_some(1)
            if time.perf_counter() > deadline:
                sys.exit(f"the app never showed {words}; it sent {self._text(since)[-500:]!r}")

    def press(self, key: bytes, brings: str) -> float:
        """Seconds from a key until texts have been sent."""
        before = len(self._sent)
        started = time.perf_counter()
        os.write(self._descriptor, key)
        self.see(brings, since=before)
        return time.perf_counter() - started

    def processor_seconds(self) -> float:
        """The processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _text(self, since: int) -> str:
        return ESCAPE_CODES.sub("", self._sent[since:].decode(errors="replace"))

    def _read_some(self, seconds: float) -> None:
        if select.select([self._descriptor], [], [], seconds)[0]:
            self._sent += os.read(self._descriptor, 65536)


@contextmanager
def app() -> Iterator[Screen]:
    """The app in a pseudo-terminal; terminated at the end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, SIZE)
    process = subprocess.Popen(COMMAND, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


if __name__ == "__main__":
    main()
