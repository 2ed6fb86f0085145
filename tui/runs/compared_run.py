"""A run that is compared with others: its finished points, as they come."""

from __future__ import annotations

import os
from dataclasses import replace

from . import descriptions
from .compare import Curve, assign_rows, curves_of
from .events import EventReader
from .points import Points
from .store import Run


class ComparedRun:
    """Follows the points of a run; much cheaper than following all that happens in it.

    Attributes
    ----------
    run : Run
    title : str
        What it is called.
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
        """Whether `poll` may find something new; this costs next to nothing."""
        return self.state == "running" or _stamp(self.run) != self._stamp

    def poll(self) -> bool:
        """Read what is new, and return whether anything was."""
        before = self.title, self.state
        # How it stands before what it did: a run that has ended has written its last point.
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
        """How many points are done."""
        return len(self._points.rows)

    def curves(self) -> list[Curve]:
        """Its curves, without names."""
        return [replace(curve, title=self.title) for curve in self._curves]


def _stamp(run: Run) -> int:
    try:
        return os.stat(run.path).st_mtime_ns
    except OSError:
        return -1
