"""``prunelab fit``: train and prune one network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .common import run_safely
from .foreground import ForegroundRun
from .request import spec_of

if TYPE_CHECKING:
    import argparse


def run(options: argparse.Namespace) -> int:
    """Run a parsed ``fit`` command; returns the exit status."""
    return run_safely(_run, options)


def _run(options: argparse.Namespace) -> int:
    """A sweep of two points: the dense network and the pruned one."""
    spec = spec_of(options, several=False)
    foreground = ForegroundRun(options, spec)
    if options.save is not None:
        foreground.save_last_to(Path(options.save))
    return foreground.run(plot=False)
