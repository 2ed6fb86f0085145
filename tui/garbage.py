"""Python's garbage collection at moments when nobody waits for the screen.

Among the hundred thousand objects of a terminal app a full collection takes up to a tenth of a second, and by itself it
comes where most objects are made: between a key and what it brings.
"""

from __future__ import annotations

import gc
import time

#: Seconds without a key after which a collection disturbs nobody.
QUIET_SECONDS = 2.0

#: Collections of the middle generation after which a full one is worth its time, and after which it waits no longer.
DUE, OVERDUE = 10, 200


class IdleCollector:
    """Takes full collections over from Python; call `tick` now and then, and `end` in the end."""

    def __init__(self) -> None:
        self._thresholds = gc.get_threshold()
        self._last_input = time.monotonic()
        gc.collect()
        gc.freeze()  # modules and style sheets stay: no need to look at them again
        gc.set_threshold(*self._thresholds[:2], 1_000_000)

    def note_input(self) -> None:
        """The user does something."""
        self._last_input = time.monotonic()

    def tick(self) -> None:
        """Collect, if there is much to collect and nobody waits."""
        pending = gc.get_count()[2]
        is_quiet = time.monotonic() - self._last_input >= QUIET_SECONDS
        if pending >= OVERDUE or (pending >= DUE and is_quiet):
            gc.collect()

    def end(self) -> None:
        """Leave it to Python again."""
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()
