"""Run Python's garbage collector while the user is idle.

A full collection takes up to a tenth of a second in a terminal app with a hundred thousand objects. By default it runs
when many objects are created, that is, between a key press and its effect.
"""

from __future__ import annotations

import gc
import time

#: Seconds without a key press after which a collection may run.
QUIET_SECONDS = 2.0

#: Numbers of middle-generation collections after which a full one is worthwhile, and after which it is not postponed.
DUE, OVERDUE = 10, 200


class IdleCollector:
    """Replaces Python's automatic full collections; call `tick` regularly, and `end` at the end."""

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._last_input = time.monotonic()
        gc.collect()
        gc.freeze()  # modules and style sheets are permanent: exclude them from collections
        gc.set_threshold(*self._thresholds[:2], 1_000_000)

    def note_input(self) -> None:
        """Record that the user pressed a key or clicked."""
        self._last_input = time.monotonic()

    def tick(self) -> None:
        """Run a full collection if it is worthwhile and the user is idle, or if it is overdue."""
        pending = gc.get_count()[2]
        is_quiet = time.monotonic() - self._last_input >= QUIET_SECONDS
        if pending >= OVERDUE or (pending >= DUE and is_quiet):
            gc.collect()

    def end(self) -> None:
        """Restore Python's automatic collections."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()
