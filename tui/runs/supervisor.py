"""Starting and stopping the processes that compute runs.

A worker has a pipe to the process that started it. It writes `READY` on a line when its computing begins, and, if it
fails, the reason: so that is known even where the disk can no longer be written to.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...estimators.data.errors import DatasetError
from ...estimators.files import open_regular
from . import locks
from .store import Run, RunError, RunStore

if TYPE_CHECKING:
    from .spec import RunSpec

READY = "ready"


class WorkerError(RunError):
    """A worker could not be started, or ended at once; the message says why."""


@dataclass
class Child:
    """A worker that this process started."""

    run: Run
    process: subprocess.Popen[bytes]
    pipe: int
    said: bytes = field(default=b"")
    is_closed: bool = False

    def listen(self, seconds: float | None = 0.0) -> None:
        """Read what the worker has written, after waiting for something for so long; None is for ever."""
        while not self.is_closed and select.select([self.pipe], [], [], seconds)[0]:
            data = os.read(self.pipe, 65536)
            self.said += data
            seconds = 0.0
            if not data:
                self.is_closed = True
                os.close(self.pipe)

    @property
    def is_ready(self) -> bool:
        """Whether its computing has begun."""
        return READY in self.said.decode(errors="replace").splitlines()

    @property
    def reason(self) -> str:
        """Why it failed; empty if it has not."""
        return next((line for line in self.said.decode(errors="replace").splitlines() if line != READY), "")


#: Workers that this process started. They are asked for their exit status now and then, so that none stays a zombie.
_children: list[Child] = []

#: Why the latest worker of a run failed, as far as this process knows, by the paths of the runs.
_reasons: dict[str, str] = {}


def start(store: RunStore, spec: RunSpec, memory: str | None = None) -> Run:
    """Make a run and a detached worker that computes it; RunError if that cannot be."""
    run = store.create(spec)
    spawn(run, memory=memory)
    return run


def spawn(run: Run, threads: int | None = None, memory: str | None = None) -> Child:
    """Start a worker for a run that is new, or goes on after an interruption.

    The worker has a session of its own: it survives the terminal. It inherits the lock, so that at no moment
    the run looks abandoned.

    Parameters
    ----------
    run : Run
    threads : int, optional
        The worker computes with at most so many (what the user has set stays).
    memory : str, optional
        A folder that caches trainings.

    Raises
    ------
    RunError
        If the run is running, or the process cannot be started.
    """
    if not locks.HAS_WORKERS:
        raise RunError(f"cannot start {run.id}: {locks.NO_WORKERS}")
    reap()
    try:
        lock = run.lock()
    except OSError as error:
        raise WorkerError(f"cannot start {run.id}: {error.strerror or error}") from error
    try:
        child = _launch(run, lock, threads, memory)
    except OSError as error:
        raise WorkerError(f"cannot start {run.id}: {error.strerror or error}") from error
    finally:
        os.close(lock)
    _reasons.pop(str(run.path), None)
    _children.append(child)
    return child


def _launch(run: Run, lock: int, threads: int | None, memory: str | None) -> Child:
    run.stop_path.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        log = open_regular(run.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, follow_links=False)
        stack.callback(os.close, log)
        ours, theirs = os.pipe()
        stack.callback(os.close, theirs)
        options = ["--lock", str(lock), "--report", str(theirs), *(["--memory", memory] if memory else [])]
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "prunelab.tui.runs.worker", str(run.path.absolute()), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=None if threads is None else {"OMP_NUM_THREADS": str(threads), **os.environ},
                pass_fds=[lock, theirs],
                start_new_session=True,
            )
        except OSError:
            os.close(ours)
            raise
    with contextlib.suppress(OSError):
        run.sign_lock(lock, process.pid)
    return Child(run, process, ours)


def wait_until_ready(run: Run) -> None:
    """Wait until the worker of a run has loaded its data and computes.

    Raises
    ------
    WorkerError
        If it ends before that without having done its work.
    """
    child = next((child for child in reversed(_children) if child.run.path == run.path), None)
    if child is None:
        return
    while not child.is_ready and not child.is_closed:
        child.listen(None)
    if child.is_ready:
        return
    if child.process.wait() != 0:
        reap()
        raise WorkerError(f"{run.id}: {child.reason or 'its process ended at once (see its log.txt)'}")


def resume(run: Run) -> None:
    """Go on with a run that was stopped, interrupted or failed, or lost points to damage.

    Raises
    ------
    RunError
        If there is nothing to go on with.
    """
    state, spec = run.state, run.spec  # a run that cannot be read is reported here, not in a log file
    if state == "finished" and run.read_points()[0].is_complete:
        raise RunError(f"{run.id} is finished: there is nothing to resume")
    if state == "running":
        raise RunError(f"{run.id} is running already")
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
    if not run.is_alive() or os.path.lexists(run.stop_path):
        return False
    try:
        os.close(open_regular(run.stop_path, os.O_WRONLY | os.O_CREAT, follow_links=False))
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
    """Take note of the workers that have ended, and why."""
    for child in list(_children):
        child.listen()
        if child.process.poll() is not None:
            child.listen()
            if child.reason:
                _reasons[str(child.run.path)] = child.reason
            if not child.is_closed:
                os.close(child.pipe)
            with contextlib.suppress(ValueError):  # another thread has done so
                _children.remove(child)


def reason_of(run: Run) -> str:
    """Why the latest worker of a run failed, if this process started it; empty if that is not known."""
    return _reasons.get(str(run.path), "")
