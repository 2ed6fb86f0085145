"""Several runs at a time, each computed by a detached worker of its own."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .spec import RunSpec
    from .store import Run, RunStore

SECONDS_BETWEEN_LOOKS = 0.3


@dataclass
class Share:
    """Some seeds of an experiment: a run that is there, or one that is made when its turn comes."""

    store: RunStore
    spec: RunSpec
    run: Run | None = None

    def begun(self) -> Run:
        """The run, made if it was not there."""
        if self.run is None:
            self.run = self.store.create(self.spec)
        return self.run

    @property
    def state(self) -> str:
        """That of the run; empty if there is none yet."""
        return "" if self.run is None else self.run.state

    @property
    def n_points_done(self) -> int:
        """Points that are finished."""
        return 0 if self.run is None else self.run.status().get("points", 0)


def compute(shares: Sequence[Share], jobs: int, tell: Callable[[Sequence[Run]], None]) -> None:
    """Compute runs, so many at a time, until all have ended in one way or another.

    The workers share the processors. They go on if this process ends; an interrupt stops them. Runs that are being
    computed already are waited for.

    Parameters
    ----------
    shares : sequence of Share
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
    running = [share.begun() for share in shares if share.state == "running"]
    waiting = [share for share in shares if share.run not in running]
    try:
        while waiting or running:
            running = [run for run in running if run.is_alive()]
            while waiting and len(running) < jobs:
                run = waiting.pop(0).begun()
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
