"""Exit statuses, and the error that a user can correct."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """A request that cannot be carried out; the message names the reason."""
