"""A run computed in the process of the test."""

from __future__ import annotations

from typing import Any

from prunelab.tui.runs.store import Run
from prunelab.tui.runs.worker import Worker


def work(run: Run, **settings: Any) -> str:
    """Compute a run; returns its state. The settings are those of `Worker`."""
    worker = Worker(run, **settings)
    try:
        return worker.work()
    finally:
        worker.close()
