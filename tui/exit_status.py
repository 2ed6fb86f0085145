"""How a command ends: its exit status, and the error that is the user's to mend."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class UsageError(Exception):
    """Something the user asked for cannot be done; the message says what and why."""
