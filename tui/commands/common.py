"""What the computing commands share: error and warning messages, and checks before the work begins."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...estimators.backend import OUT_OF_MEMORY, share_processors
from ..exit_status import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UsageError
from ..runs.store import RunError
from ..runs.supervisor import WorkerError
from ..streams import print_message

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


def run_safely(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command that computes; report every error that a user can cause as one sentence on standard error."""
    share_processors()
    try:
        with warnings_as_notes():
            return command(options)
    except WorkerError as error:
        return fail(options, error, EXIT_FAILED)
    except (UsageError, RunError) as error:
        return fail(options, error, EXIT_USAGE)
    except KeyboardInterrupt:
        return fail(options, "stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except MemoryError:
        return fail(options, OUT_OF_MEMORY, EXIT_FAILED)
    except OSError as error:
        return fail(options, error, EXIT_FAILED)


def check_outputs(options: argparse.Namespace) -> None:
    """Refuse outputs that cannot be written, or that would overwrite each other."""
    places = [path for path in (options.csv, options.json) if path is not None]
    if len(places) > len(set(places)):
        what = "standard output" if places[0] == "-" else places[0]
        raise UsageError(f"--csv and --json cannot both go to {what}: name another file for one of them")
    for path in places:
        if path != "-":
            check_can_write(Path(path))


def check_can_write(path: Path) -> None:
    """Refuse a file that cannot be written, before hours of computing."""
    target = Path(os.path.realpath(path))  # follow a link
    if target.is_dir():
        raise UsageError(f"cannot write {path}: it is a directory; name a file in it")
    if not target.exists() and not target.parent.is_dir():
        raise UsageError(f"cannot write {path}: the directory {target.parent} does not exist")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise UsageError(f"cannot write {path}: permission denied")


@contextmanager
def usage_errors() -> Iterator[None]:
    """Convert ValueError to UsageError."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print each warning once, as one line on standard error."""
    seen: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in seen:
            seen.add(str(message))
            print_message(f"note: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def fail(options: argparse.Namespace, message: object, status: int) -> int:
    """Print why a command failed on standard error; returns the exit status."""
    print_message(f"prunelab {options.command}: {message}")
    return status
