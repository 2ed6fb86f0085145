"""Starting and stopping the processes that compute runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from ...estimators.data.errors import DatasetError
from .store import Run, RunError, RunStore

if TYPE_CHECKING:
    from .spec import RunSpec

#: Processes that this one started: they are asked for their exit status now and then, so that none stays a zombie.
_children: list[subprocess.Popen[bytes]] = []


def start(store: RunStore, spec: RunSpec) -> Run:
    """Make a run and a detached worker that computes it; RunError if that cannot be."""
    run = store.create(spec)
    spawn(run)
    return run


def spawn(run: Run, threads: int | None = None) -> None:
    """Start a worker for a run that is new, or goes on after an interruption.

    The worker has a session of its own: it survives the terminal. It inherits the lock, so that at no moment
    the run looks abandoned. With `threads`, it computes with at most so many (what the user has set stays).

    Raises
    ------
    RunError
        If the run is running, or the process cannot be started.
    """
    reap()
    try:
        lock = run.lock()
    except OSError as error:
        raise RunError(f"cannot start {run.id}: {error.strerror or error}") from error
    try:
        run.stop_path.unlink(missing_ok=True)
        with open(run.log_path, "ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "prunelab.tui.runs.worker", str(run.path.absolute()), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if threads is None else {"OMP_NUM_THREADS": str(threads), **os.environ},
                pass_fds=[lock],
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(f"cannot start {run.id}: {error.strerror or error}") from error
    finally:
        os.close(lock)
    _children.append(child)


def resume(run: Run) -> None:
    """Go on with a run that was stopped, interrupted or failed; RunError if there is nothing to go on with."""
    state = run.state
    if state == "finished":
        raise RunError(f"{run.id} is finished: there is nothing to resume")
    if state == "running":
        raise RunError(f"{run.id} is running already")
    spec = run.spec  # one that cannot be read is reported here, not in a log file
    if spec.is_outdated and run.points():
        raise RunError(
            f"{run.id} was begun by an earlier version, which ranked by its criterion in another way: "
            "the points to come would not compare with those that are there; run it again"
        )
    try:
        run.check_content(spec.source.content() if run.data else None)
    except DatasetError as error:
        raise RunError(str(error)) from error
    spawn(run)


def stop(run: Run) -> bool:
    """Ask a worker to finish its step and stop; returns False if it was asked before or does not run."""
    if not run.is_alive() or run.stop_path.exists():
        return False
    try:
        run.stop_path.touch(mode=0o600)
    except OSError as error:
        raise RunError(f"cannot stop {run.id}: {error.strerror or error}") from error
    return True


def kill(run: Run) -> None:
    """End a worker at once; what it finished stays. RunError if it runs on another machine."""
    holder = run.holder()
    if holder is None:
        return
    host, number = holder
    if host != socket.gethostname():
        raise RunError(f"{run.id} runs on {host}: stop it there (process {number})")
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
    reap()


def reap() -> None:
    """Take note of the workers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]
