"""A run that is compared with others: reads its finished points as they are written."""

from __future__ import annotations

import os
from dataclasses import replace

from . import descriptions
from .compare import Curve, assign_rows, curves_of
from .events import EventReader
from .points import Points
from .store import Run


class ComparedRun:
    """Follows only the points of a run, which is much cheaper than following all events.

    Attributes
    ----------
    run : Run
    title : str
        Its display name.
    state : str
        One of `STATES`, or "gone" if it was deleted.

    Raises
    ------
    RunError
        If the run cannot be read.
    """

    def __init__(self, run: Run):
        self.run, self.spec = run, run.spec
        self.title = descriptions.title(run)
        self.state = "running"
        self._points = Points(run.spec)
        self._curves = curves_of(run.id, self.title, self.spec)
        self._reader = EventReader(run.events_path, only="point")
        self._stamp = -1

    def may_have_changed(self) -> bool:
        """Whether `poll` may find something new; very cheap."""
        return self.state == "running" or _stamp(self.run) != self._stamp

    def poll(self) -> bool:
        """Read new points; returns whether anything has changed."""
        before = self.title, self.state
        # Read the state before the events: a run that has ended has written its last point.
        self._stamp = _stamp(self.run)
        self.state = "gone" if self._stamp < 0 else self.run.state
        self.title = self.title if self.state == "gone" else descriptions.title(self.run)
        try:
            events = self._reader.read()
        except OSError:
            events, self.state = [], "unreadable"
        rows = []
        for event in events:
            if (at := self._points.insert(event["row"])) is not None:
                rows.append(self._points.rows[at])
        assign_rows(self._curves, rows)
        return bool(rows) or (self.title, self.state) != before

    @property
    def n_rows(self) -> int:
        """The number of finished points."""
        return len(self._points.rows)

    def curves(self) -> list[Curve]:
        """Its curves, not yet named."""
        return [replace(curve, title=self.title) for curve in self._curves]


def _stamp(run: Run) -> int:
    try:
        return os.stat(run.path).st_mtime_ns
    except OSError:
        return -1
