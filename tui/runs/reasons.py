"""Why a computation ended, as one sentence."""

from __future__ import annotations

import errno

from ...estimators.backend import OUT_OF_MEMORY, is_out_of_memory
from .store import RunError

_DISK = {
    errno.ENOSPC: "the disk is full: free space, then resume the run",
    errno.EDQUOT: "your disk quota is exceeded: free space, then resume the run",
    errno.EIO: "the disk reports an input/output error: check it, then resume the run",
    errno.EROFS: "the file system is read-only: check it, then resume the run",
}


def is_expected(error: BaseException) -> bool:
    """Whether the error's message is a sufficient explanation."""
    return isinstance(error, (ValueError, OSError, RunError)) or is_out_of_memory(error)


def reason_of(error: BaseException) -> str:
    """Explain an error in one sentence."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno in _DISK:
        return _DISK[error.errno]
    text = " ".join(str(error).split())
    return text if is_expected(error) and text else f"{type(error).__name__}: {text} (see its log.txt)"
