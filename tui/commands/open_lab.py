"""``prunelab`` and ``prunelab attach``: open the lab."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..exit_status import EXIT_FAILED, EXIT_USAGE
from ..streams import can_draw, print_message

if TYPE_CHECKING:
    import argparse


def open_lab(options: argparse.Namespace) -> int:
    """Open the app, if standard input and output are a terminal."""
    from ..runs import locks

    if not locks.HAS_WORKERS:
        print(
            "prunelab: the lab needs Linux, macOS or WSL; prunelab sweep, fit, study, data and runs work here "
            "(see prunelab --help)",
            file=sys.stderr,
        )
        return EXIT_USAGE
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        print(
            "prunelab: the lab needs a terminal, and standard input or output is not one; use prunelab sweep "
            "(see prunelab --help), or ssh -t to get a terminal",
            file=sys.stderr,
        )
        return EXIT_USAGE
    from ..runs.store import RunError, RunStore

    run = None
    try:
        store = RunStore()
        if options.command == "attach":
            run = store.find(options.run)
            _ = run.spec
    except RunError as error:
        print_message(f"prunelab {options.command or ''}".rstrip() + f": {error}")
        return EXIT_USAGE
    try:
        from ..app import run_app
    except ImportError as error:
        print_message(f"prunelab: the lab cannot start: {error}; install prunelab again")
        return EXIT_FAILED
    ascii_only = options.ascii or not can_draw(sys.__stderr__)  # Textual draws on standard error
    return run_app(run, data_root=options.data_root, ascii_only=ascii_only, store=store)
