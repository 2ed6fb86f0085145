"""Compute several runs in parallel, each in a detached worker."""

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
    """Some seeds of an experiment: an existing run, or one that is created when it is needed."""

    store: RunStore
    spec: RunSpec
    run: Run | None = None

    def ensure_run(self) -> Run:
        """The run, created if it does not exist."""
        if self.run is None:
            self.run = self.store.create(self.spec)
        return self.run

    @property
    def state(self) -> str:
        """The state of the run; empty if it does not exist."""
        return "" if self.run is None else self.run.state

    @property
    def n_points_done(self) -> int:
        """The number of finished points."""
        return 0 if self.run is None else self.run.status().get("points", 0)


def compute(shares: Sequence[Share], jobs: int, on_poll: Callable[[Sequence[Run]], None]) -> None:
    """Compute runs, a number of them in parallel, until all have ended.

    The workers share the processors. They continue if this process ends; an interrupt stops them. The call also waits
    for runs that other workers are computing.

    Parameters
    ----------
    shares : sequence of Share
    jobs : int
        The number of runs in parallel.
    on_poll : callable
        Called several times a second with the runs that are being computed.

    Raises
    ------
    RunError
        If a worker cannot be started; running workers continue.
    KeyboardInterrupt
        After all workers have stopped; a second interrupt ends them immediately.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    running = [share.ensure_run() for share in shares if share.state == "running"]
    waiting = [share for share in shares if share.run not in running]
    try:
        while waiting or running:
            running = [run for run in running if run.is_alive()]
            while waiting and len(running) < jobs:
                run = waiting.pop(0).ensure_run()
                supervisor.spawn(run, threads)
                running.append(run)
            on_poll(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        _stop(running, on_poll)
        raise
    finally:
        supervisor.reap()


def _stop(running: Sequence[Run], on_poll: Callable[[Sequence[Run]], None]) -> None:
    for run in running:
        supervisor.stop(run)
    try:
        while running := [run for run in running if run.is_alive()]:
            on_poll(running)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        for run in running:
            supervisor.kill(run)
        raise
