"""A table of runs: columns that fit, sorting, filtering, and selection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import cell_len

from ..text import clean, duration
from .table import GAP, Cell, Column, Table

if TYPE_CHECKING:
    from ..runs.listing import Entry


#: The state of a run whose worker is suspended.
NOT_RESPONDING = "not responding"


class Kind(NamedTuple):
    """A column of the table of runs.

    Attributes
    ----------
    key, title : str
    text : callable
        The text for a run.
    order : callable
        The sort key; None is always last.
    most : int
        The maximum width.
    is_right : bool
        Whether the column contains numbers.
    is_descending : bool
        Whether the first sort by this column is from the largest to the smallest.
    """

    key: str
    title: str
    text: Callable[[Entry], str]
    order: Callable[[Entry], Any]
    most: int = 20
    is_right: bool = False
    is_descending: bool = False


def _knees(entry: Entry) -> str:
    if not any(value is not None for value in entry.knees):
        return ""
    shown = ["-" if value is None else f"{100 * value:.0f}" for value in entry.knees]
    return "/".join(shown) if len(shown) <= 4 else "/".join([*shown[:3], ".."])


def _state(entry: Entry) -> str:
    return NOT_RESPONDING if entry.state == "running" and entry.reason else entry.state


KINDS = {
    kind.key: kind
    for kind in (
        Kind("name", "name", lambda e: e.title, lambda e: e.title.lower(), most=40),
        Kind("state", "state", _state, _state),
        Kind("data", "data", lambda e: e.dataset, lambda e: e.dataset.lower() or None),
        Kind("what", "what", lambda e: e.what, lambda e: e.what.lower() or None, most=34),
        Kind("ways", "prunes", lambda e: e.ways, lambda e: e.ways or None, most=34),
        Kind(
            "seeds",
            "seeds",
            lambda e: "" if e.spec is None else str(len(e.spec.seeds)),
            lambda e: None if e.spec is None else len(e.spec.seeds),
            is_right=True,
            is_descending=True,
        ),
        Kind(
            "points",
            "points",
            lambda e: "" if e.spec is None else f"{e.points}/{e.spec.n_points}",
            lambda e: None if e.spec is None else e.points,
            is_right=True,
            is_descending=True,
        ),
        Kind(
            "dense",
            "dense %",
            lambda e: "" if e.dense is None else f"{100 * e.dense:.2f}",
            lambda e: e.dense,
            is_right=True,
            is_descending=True,
        ),
        Kind(
            "knee",
            "knee %",
            _knees,
            lambda e: next((value for value in e.knees if value is not None), None),
            is_right=True,
            is_descending=True,
        ),
        Kind("when", "when", lambda e: _when(e.created), lambda e: e.created or None, is_descending=True),
        Kind(
            "took",
            "took",
            lambda e: duration(e.seconds),
            lambda e: e.seconds or None,
            is_right=True,
            is_descending=True,
        ),
    )
}

#: Columns that are always shown, and those that are added in this order where there is room.
NEEDED = ("name", "state", "data", "dense", "knee", "when")
OPTIONAL = ("points", "took", "what", "ways", "seeds")

#: Minimum widths, in shrink order, for terminals in which not even those fit.
SHRINKING = (("name", 18), ("knee", 8), ("data", 10), ("name", 12), ("data", 8), ("state", 7), ("name", 6))

MARK = Column("mark", "", 1)

STATE_STYLES = {
    "running": "strong",
    NOT_RESPONDING: "wrong",
    "finished": "good",
    "failed": "wrong",
    "unreadable": "wrong",
    "interrupted": "warning",
    "stopped": "warning",
}


def _when(seconds: float) -> str:
    """Format a time as briefly as possible."""
    if not seconds:
        return ""
    then = time.localtime(seconds)
    if then.tm_year != time.localtime().tm_year:
        return time.strftime("%Y-%m-%d", then)
    return time.strftime("%d %b %H:%M", then)


def arrange(natural: dict[str, int], width: int) -> dict[str, int]:
    """Choose the columns that fit, from left to right, and their widths.

    Parameters
    ----------
    natural : dict of str to int
        The preferred width of each column.
    width : int
    """
    chosen: set[str] = set(NEEDED)
    room = width - sum(natural[key] + GAP for key in NEEDED) + GAP
    for key in OPTIONAL:
        if natural[key] + GAP <= room:
            chosen.add(key)
            room -= natural[key] + GAP
    widths = {key: natural[key] for key in KINDS if key in chosen}
    for key, least in SHRINKING:
        given = max(0, min(-room, widths[key] - least))
        widths[key] -= given
        room += given
    return widths


class RunTable(Table):
    """The runs of `show_runs`, filtered by `filter_text` and sorted by `sort_key`.

    Attributes
    ----------
    selected : set of str
        The ids of the selected runs.
    """

    def __init__(self, *, id: str | None = None):
        super().__init__(id=id, fixed=2)
        self.selected: set[str] = set()
        self.sort_key, self.is_descending = "when", True
        self.filter_text = ""
        self._entries: dict[str, Entry] = {}
        self._texts: dict[str, tuple[Entry, dict[str, str]]] = {}

    # -- content ---------------------------------------------------------------------------------------------

    def show_runs(self, entries: dict[str, Entry]) -> None:
        """Show these runs."""
        self._entries = entries
        self.selected &= entries.keys()
        self.lay_out()

    def lay_out(self) -> None:
        """Filter and sort the runs, and choose the columns that fit."""
        entries = self.matching()
        texts = [self._texts_of(entry) for entry in entries]
        titles = {key: kind.title for key, kind in KINDS.items()}
        titles[self.sort_key] += f" {self._sign()}"
        natural = {key: len(title) for key, title in titles.items()}
        for row in texts:
            for key, text in row.items():
                if 2 * len(text) > natural[key]:  # no character is wider than two columns
                    natural[key] = max(natural[key], min(cell_len(text), KINDS[key].most))
        widths = arrange(natural, self.scrollable_content_region.width - MARK.width - GAP)
        columns = [Column(key, titles[key], width, KINDS[key].is_right) for key, width in widths.items()]
        self.show([MARK, *columns], [entry.id for entry in self._sorted(entries)], self._row)

    def matching(self) -> list[Entry]:
        """The runs that match the filter."""
        return [entry for entry in self._entries.values() if not self.filter_text or entry.matches(self.filter_text)]

    @property
    def n_runs(self) -> int:
        """The number of all runs, including those that do not match the filter."""
        return len(self._entries)

    @property
    def current(self) -> Entry | None:
        """The run under the cursor."""
        return None if self.cursor is None else self._entries[self.cursor]

    def chosen(self) -> list[Entry]:
        """The selected runs, in their order on the screen; if none is selected, the one under the cursor."""
        order = [*self.keys, *(name for name in self._entries if name not in set(self.keys))]
        selected = [self._entries[name] for name in order if name in self.selected]
        return selected or [entry for entry in (self.current,) if entry is not None]

    # -- selecting and sorting -------------------------------------------------------------------------------

    def toggle(self) -> None:
        """Select or deselect the run under the cursor, and move to the next one."""
        if self.cursor is not None:
            self.selected ^= {self.cursor}
            self.action_move(1)
            self.refresh()

    def toggle_all(self) -> None:
        """Select all listed runs; if they are all selected, deselect them."""
        shown = set(self.keys)
        self.selected = self.selected - shown if shown <= self.selected else self.selected | shown
        self.refresh()

    def sort_by(self, key: str) -> None:
        """Sort by a column; if it is already the sort column, reverse the order."""
        if key in KINDS:
            self.is_descending = not self.is_descending if key == self.sort_key else KINDS[key].is_descending
            self.sort_key = key
            self.lay_out()

    def sort_by_next(self) -> None:
        """Sort by the next visible column."""
        shown = [column.key for column in self._columns if column.key in KINDS]
        at = shown.index(self.sort_key) if self.sort_key in shown else -1
        self.sort_by(shown[(at + 1) % len(shown)])

    def on_table_header_clicked(self, event: Table.HeaderClicked) -> None:
        """Sort by the column whose header was clicked."""
        self.sort_by(event.column)

    # -- rows ------------------------------------------------------------------------------------------------

    def _row(self, key: str) -> Sequence[Sequence[Cell]]:
        texts = self._texts_of(self._entries[key])
        mark = Cell("*" if key in self.selected else "", "strong")
        styles = {"state": STATE_STYLES.get(texts["state"], ""), "name": "strong" if key in self.selected else ""}
        return [[mark, *(Cell(texts[c.key], styles.get(c.key, "")) for c in self._columns[1:])]]

    def _texts_of(self, entry: Entry) -> dict[str, str]:
        known = self._texts.get(entry.id)
        if known is None or known[0] is not entry:
            known = self._texts[entry.id] = entry, {key: clean(kind.text(entry)) for key, kind in KINDS.items()}
        return known[1]

    def _sorted(self, entries: Iterable[Entry]) -> list[Entry]:
        order = KINDS[self.sort_key].order
        known, unknown = [], []
        for entry in entries:
            (unknown if order(entry) is None else known).append(entry)
        return [*sorted(known, key=order, reverse=self.is_descending), *unknown]

    def _sign(self) -> str:
        if self.ascii_only:
            return "v" if self.is_descending else "^"
        return "▼" if self.is_descending else "▲"
