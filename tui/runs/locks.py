"""Locks on open files.

The kernel releases a lock when the last process that has the file open ends, so a lock cannot outlive its owner.
Some file systems (FUSE, old network file systems) and Windows do not support these locks.
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


#: Whether background workers are supported. Windows has neither these locks nor inherited descriptors.
HAS_WORKERS = fcntl is not None

#: The message where they are not.
NO_WORKERS = (
    "background runs need Linux, macOS or WSL; without --detach or --jobs, the commands compute in the foreground"
)


def acquire(descriptor: int) -> bool:
    """Lock an open file while the descriptor, or one inherited from it, is open.

    Returns
    -------
    bool
        False if the file system or the platform does not support locks.

    Raises
    ------
    BlockingIOError
        If another process has locked it.
    """
    if fcntl is None:
        return False
    return _flock(descriptor, fcntl.LOCK_EX)


def is_held(descriptor: int) -> bool | None:
    """Whether another process has locked an open file; None if the file system or the platform has no locks."""
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

#: Seconds between heartbeats, which update the modification time of the lock file.
SECONDS_BETWEEN_BEATS = 2.0

#: Seconds without a heartbeat after which a worker is shown as not responding.
SILENT_AFTER = 20.0

#: Seconds after which it is considered dead if locks are not supported.
LOST_AFTER = 120.0


class Heartbeat:
    """A thread that sends heartbeats while the process runs, whatever its other threads compute."""

    def __init__(self, descriptor: int, path: os.PathLike[str]):
        self._descriptor, self._path = descriptor, path
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
                beat(self._descriptor, self._path)
            if self._ended.wait(SECONDS_BETWEEN_BEATS):
                return


def beat(descriptor: int, path: os.PathLike[str]) -> None:
    """Set the modification time of an open file to the present; OSError if that fails."""
    os.utime(descriptor if os.utime in os.supports_fd else path)


def seconds_since_beat(path: os.PathLike[str]) -> float:
    """Seconds since the last heartbeat; 0 if unknown."""
    try:
        return max(0.0, time.time() - os.stat(path, follow_symlinks=False).st_mtime)
    except OSError:
        return 0.0


def process_exists(number: int) -> bool:
    """Whether a process with this number exists, or may exist, on this host."""
    if fcntl is None:  # on Windows, os.kill would end the process
        return True
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
