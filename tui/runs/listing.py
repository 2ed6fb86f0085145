"""The list of all runs, updated by reading only what has changed."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..curves import curve_names
from . import descriptions
from .store import Run, RunError
from .supervisor import reason_of

if TYPE_CHECKING:
    from .spec import RunSpec
    from .store import RunStore

#: A run that is not running changes only if it is renamed or resumed: occasional polling is sufficient.
SECONDS_BETWEEN_FULL_LOOKS = 5.0

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Entry:
    """The entry of a run in a list.

    Attributes
    ----------
    run : Run
    name : str
        The user's name for it; empty if there is none.
    state : str
        One of `STATES`, or "unreadable".
    reason : str
        Why it failed, does not respond or cannot be read.
    spec : RunSpec or None
        None if it cannot be read.
    created, seconds : float
        The time of creation, and the working time.
    points : int
        The number of finished points.
    dense : float or None
        The accuracy of the unpruned network.
    knees : list of float or None
        One per curve, in the order of the curves; None for a curve without a knee.
    """

    run: Run
    name: str
    state: str
    reason: str
    spec: RunSpec | None
    created: float
    seconds: float
    points: int
    dense: float | None
    knees: list[float | None]

    @classmethod
    def of(cls, run: Run) -> Entry:
        """Read a run."""
        name, status = run.name, run.status()
        if problem := run.problem(status):
            status |= {"state": UNREADABLE, "reason": problem}
        try:
            spec, created = run.spec, run.created
        except RunError:
            return cls(run, name, UNREADABLE, problem, None, _changed(run), 0.0, 0, None, [])
        knees = status.get("knees", {})
        return cls(
            run,
            name,
            status["state"],
            status.get("reason") or reason_of(run),
            spec,
            created,
            status.get("seconds", 0.0),
            status.get("points", 0),
            status.get("dense_accuracy"),
            [knees.get(curve) for curve in curve_names(spec)],
        )

    @property
    def id(self) -> str:
        """The name of the run directory."""
        return self.run.id

    @property
    def title(self) -> str:
        """The display name."""
        return descriptions.title(self.run, self.name)

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return "" if self.spec is None else descriptions.dataset(self.spec)

    @property
    def is_resumable(self) -> bool:
        """Whether the run can be resumed."""
        return self.spec is not None and self.state in ("stopped", "interrupted", "failed", UNREADABLE)

    @cached_property
    def what(self) -> str:
        """The preset, or the network and the number of epochs."""
        return "" if self.spec is None else descriptions.what(self.spec)

    @cached_property
    def ways(self) -> str:
        """The values that the run compares."""
        return "" if self.spec is None else descriptions.ways(self.spec)

    def matches(self, text: str) -> bool:
        """Whether every word of a text occurs in the run's description (see `_searched_text`)."""
        return all(word in self._searched_text for word in text.lower().split())

    @cached_property
    def _searched_text(self) -> str:
        preset = "" if self.spec is None else self.spec.preset
        return " ".join([self.name, self.id, self.state, self.dataset, preset, self.what, self.ways]).lower()


class Listing:
    """All runs of a store. `refresh` reads what has changed.

    Attributes
    ----------
    entries : dict of str to Entry
        By the runs' ids, the newest first.
    problem : str
        Why the runs cannot be listed; empty if they can.
    """

    def __init__(self, store: RunStore):
        self.entries: dict[str, Entry] = {}
        self.problem = ""
        self._store = store
        self._unread: list[Run] = []
        self._has_looked = False
        self._stamps: dict[str, int] = {}
        self._folder_stamp = -1
        self._next_full_look = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether every run has been read."""
        return self._has_looked and not self._unread

    def refresh(self, *, fully: bool = False, seconds: float = math.inf) -> bool:
        """Read changes, the newest runs first; returns whether there were any, or whether the list is now complete.

        Parameters
        ----------
        fully : bool
            Check all runs, not only those that are running.
        seconds : float
            Stop after this time; the next call continues.
        """
        until = time.monotonic() + seconds
        before = self.entries, self.problem, self.is_complete
        stamp = _stamp(self._store.folder)
        if fully or stamp != self._folder_stamp or time.monotonic() >= self._next_full_look:
            self._folder_stamp = stamp
            self._look_at_all()
        entries = dict(self.entries)
        for entry in self.entries.values():
            if entry.state == "running":
                entries[entry.id] = Entry.of(entry.run)
        are_new = False
        while self._unread and time.monotonic() < until:
            run = self._unread.pop()
            # Take the stamp first: a change between the two lines then causes another read.
            self._stamps[run.id] = _stamp(run.path)
            are_new |= run.id not in entries
            entries[run.id] = Entry.of(run)
        if are_new:
            newest_first = sorted(entries.values(), key=lambda entry: (entry.created, entry.id), reverse=True)
            entries = {entry.id: entry for entry in newest_first}
        self.entries = entries
        return (self.entries, self.problem, self.is_complete) != before

    def _look_at_all(self) -> None:
        try:
            runs = self._store.runs()
            self.problem = ""
        except RunError as error:
            runs, self.problem = [], str(error)
        self._has_looked = True
        there = {run.id for run in runs}
        self.entries = {name: entry for name, entry in self.entries.items() if name in there}
        self._stamps = {name: stamp for name, stamp in self._stamps.items() if name in there}
        self._unread = [run for run in reversed(runs) if self._stamps.get(run.id) != _stamp(run.path)]
        self._next_full_look = time.monotonic() + SECONDS_BETWEEN_FULL_LOOKS


def _stamp(folder: os.PathLike[str]) -> int:
    """A number that changes whenever a file in a folder is created, replaced or removed, as the status and name are."""
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


def _changed(run: Run) -> float:
    """When a file in a folder was last created or removed, in seconds since 1970; 0 if the folder is gone."""
    try:
        return os.stat(run.path).st_mtime
    except OSError:
        return 0.0
