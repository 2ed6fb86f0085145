"""``prunelab sweep``: train once, prune to many sparsities."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..exit_status import UsageError
from .common import run_safely
from .foreground import ForegroundRun
from .request import check_here, from_anywhere, memory_of, spec_of

if TYPE_CHECKING:
    import argparse

    from ..runs.spec import RunSpec


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``sweep`` command; returns the exit status."""
    return run_safely(_run, options)


def _run(options: argparse.Namespace) -> int:
    """Compute the run here, or detach it."""
    spec = spec_of(options, several=True)
    if options.detach:
        return _detach(options, spec)
    foreground = ForegroundRun(options, spec)
    if options.save is not None:
        foreground.save_each_to(Path(options.save))
    return foreground.run()


def _detach(options: argparse.Namespace, spec: RunSpec) -> int:
    """Start a worker process for the run, and print the run's id."""
    from ..runs import locks, supervisor
    from ..runs.store import RunStore

    if not locks.HAS_WORKERS:
        raise UsageError(locks.NO_WORKERS)
    if options.save or options.csv or options.json:
        raise UsageError("--detach writes no files: use prunelab runs export when the run is finished")
    check_here(spec, options)
    run = supervisor.start(RunStore(), from_anywhere(spec), memory_of(options))
    supervisor.wait_until_ready(run)
    print(run.id)
    if sys.stdout.isatty():
        print(f"show it with prunelab attach {run.id}; list all runs with prunelab runs", file=sys.stderr)
    return 0
