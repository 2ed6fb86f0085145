"""Start and stop the processes that compute runs.

A worker has a pipe to the process that started it. It writes `READY` on a line when it begins to compute, and, if it
fails, the reason, which is so known even if the disk cannot be written.
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
    """A worker could not be started, or ended immediately; the message names the reason."""


@dataclass
class Child:
    """A worker that this process started."""

    run: Run
    process: subprocess.Popen[bytes]
    pipe: int
    output: bytes = field(default=b"")
    is_closed: bool = False

    def listen(self, seconds: float | None = 0.0) -> None:
        """Read the worker's output, after waiting for the given time; None waits without limit."""
        while not self.is_closed and select.select([self.pipe], [], [], seconds)[0]:
            data = os.read(self.pipe, 65536)
            self.output += data
            seconds = 0.0
            if not data:
                self.is_closed = True
                os.close(self.pipe)

    @property
    def is_ready(self) -> bool:
        """Whether it has begun to compute."""
        return READY in self.output.decode(errors="replace").splitlines()

    @property
    def reason(self) -> str:
        """Why it failed; empty if it has not failed."""
        return next((line for line in self.output.decode(errors="replace").splitlines() if line != READY), "")


#: Workers that this process started. `reap` collects their exit statuses, so that none remains a zombie.
_children: list[Child] = []

#: Why the latest worker of a run failed, by path of the run, as far as this process knows.
_reasons: dict[str, str] = {}


def start(store: RunStore, spec: RunSpec, memory: str | None = None) -> Run:
    """Create a run and start a detached worker for it; RunError if that fails."""
    run = store.create(spec)
    spawn(run, memory=memory)
    return run


def spawn(run: Run, threads: int | None = None, memory: str | None = None) -> Child:
    """Start a worker for a run that is new, or resumed after an interruption.

    The worker has its own session, so that it survives the terminal. It inherits the lock, so that the run never
    appears abandoned.

    Parameters
    ----------
    run : Run
    threads : int, optional
        The maximum number of threads of the worker (a limit set by the user has precedence).
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
    """Wait until the worker of a run has loaded its data and begins to compute.

    Raises
    ------
    WorkerError
        If the worker ends before that without having finished.
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
        raise WorkerError(f"{run.id}: {child.reason or 'its process ended immediately (see its log.txt)'}")


def resume(run: Run) -> None:
    """Resume a run that was stopped, interrupted or failed, or lost points to damage.

    Raises
    ------
    RunError
        If there is nothing to resume.
    """
    state, spec = run.state, run.spec  # report an unreadable run here, not in its log file
    if state == "finished" and run.read_points()[0].is_complete:
        raise RunError(f"{run.id} is finished: there is nothing to resume")
    if state == "running":
        raise RunError(f"{run.id} is already running")
    if spec.is_outdated and run.points():
        raise RunError(
            f"{run.id} was started by an earlier version, in which its criterion ranked differently: "
            "new points would not be comparable with the existing ones; start a new run"
        )
    try:
        run.check_content(spec.source.content() if run.data else None)
    except DatasetError as error:
        raise RunError(str(error)) from error
    spawn(run)


def stop(run: Run) -> bool:
    """Ask a worker to stop after its current step; returns False if it was asked before or is not running."""
    if not run.is_alive() or os.path.lexists(run.stop_path):
        return False
    try:
        os.close(open_regular(run.stop_path, os.O_WRONLY | os.O_CREAT, follow_links=False))
    except OSError as error:
        raise RunError(f"cannot stop {run.id}: {error.strerror or error}") from error
    return True


def kill(run: Run) -> None:
    """End a worker immediately; its finished points are kept. RunError if it runs on another machine."""
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
    """Collect the workers that have ended, and their reasons."""
    for child in list(_children):
        child.listen()
        if child.process.poll() is not None:
            child.listen()
            if child.reason:
                _reasons[str(child.run.path)] = child.reason
            if not child.is_closed:
                os.close(child.pipe)
            with contextlib.suppress(ValueError):  # another thread has removed it
                _children.remove(child)


def reason_of(run: Run) -> str:
    """Why the latest worker of a run failed, if this process started it; empty if unknown."""
    return _reasons.get(str(run.path), "")
