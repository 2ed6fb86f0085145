"""Locks on open files.

The kernel releases a lock when the last process that has the file open ends, so a lock cannot outlive its holder.
Some file systems have no locks (FUSE, old network file systems), and neither has Windows.
"""

from __future__ import annotations

import errno

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
