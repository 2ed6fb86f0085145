"""Several runs at a time, each computed by a detached worker of its own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from . import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .store import Run

SECONDS_BETWEEN_LOOKS = 0.3


def compute(runs: Sequence[Run], jobs: int, tell: Callable[[Sequence[Run]], None]) -> None:
    """Compute runs, so many at a time, until all have ended in one way or another.

    The workers share the processors. They go on if this process ends; an interrupt stops them. Runs that are being
    computed already are waited for.

    Parameters
    ----------
    runs : sequence of Run
    jobs : int
        How many at a time.
    tell : callable
        Told now and then which runs are being computed.

    Raises
    ------
    RunError
        If a worker cannot be started; those that run go on.
    KeyboardInterrupt
        After all workers have stopped; a second interrupt ends them at once.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running = [run for run in runs if run.is_alive()]
    waiting = [run for run in runs if run not in running]
    try:
        while waiting or running:
            running = [run for run in running if run.is_alive()]
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                supervisor.spawn(run, threads)
                running.append(run)
            tell(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        _stop(running, tell)
        raise
    finally:
        supervisor.reap()


def _stop(running: Sequence[Run], tell: Callable[[Sequence[Run]], None]) -> None:
    for run in running:
        supervisor.stop(run)
    try:
        while running := [run for run in running if run.is_alive()]:
            tell(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        for run in running:
            supervisor.kill(run)
        raise
