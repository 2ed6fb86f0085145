"""Locks on open files.

The kernel releases a lock when the last process that has the file open ends, so a lock cannot outlive its holder.
Some file systems have no locks (FUSE, old network file systems), and neither has Windows.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NOT_SUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)


class PlatformError(OSError):
    """Runs cannot be computed on this platform; the message says what to use instead."""


def acquire(descriptor: int) -> bool:
    """Lock an open file for as long as the descriptor, or one inherited from it, stays open.

    Returns
    -------
    bool
        False if the file system has no locks.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    PlatformError
        If the platform has no locks.
    """
    if fcntl is None:
        raise PlatformError("computing a run needs Linux or macOS (on Windows: WSL)")
    return _flock(descriptor, fcntl.LOCK_EX)


def is_held(descriptor: int) -> bool | None:
    """Whether another process has locked an open file; None if the file system, or the platform, has no locks."""
    if fcntl is None:
        return None
    try:
        has_locks = _flock(descriptor, fcntl.LOCK_SH)
    except BlockingIOError:
        return True
    if not has_locks:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _flock(descriptor: int, operation: int) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            return False
        raise
    return True


# The heartbeat of a worker ------------------------------------------------------------------------------

#: Seconds between two signs of life: the modification time of the lock file.
SECONDS_BETWEEN_BEATS = 2.0

#: After so many seconds without one, a worker is shown as not responding.
SILENT_AFTER = 20.0

#: After so many, where there are no locks, it counts as gone.
LOST_AFTER = 120.0


class Heartbeat:
    """A thread that gives a sign of life while the process can run, whatever its other threads compute."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)
            if self._ended.wait(SECONDS_BETWEEN_BEATS):
                return


def seconds_since_beat(path: os.PathLike[str]) -> float:
    """How long ago the last sign of life was; 0 if that cannot be seen."""
    try:
        return max(0.0, time.time() - os.stat(path, follow_symlinks=False).st_mtime)
    except OSError:
        return 0.0


def process_exists(number: int) -> bool:
    """Whether there is a process with this number on this host."""
    if fcntl is None:  # there is no such question on Windows
        return False
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
