"""The finished points of a run."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .spec import RunSpec

Row = dict[str, Any]


class Points:
    """The finished points of a run, each once, in the order in which an uninterrupted run computes them.

    Attributes
    ----------
    rows : list of dict
        Rows of the table of results.
    """

    def __init__(self, spec: RunSpec):
        self._spec = spec
        self._places: list[int] = []
        self.rows: list[Row] = []

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        place = self._spec.place_of(row)
        at = bisect_left(self._places, place) if place is not None else len(self._places)
        return at < len(self._places) and self._places[at] == place

    def insert(self, row: Row) -> int | None:
        """Insert a row at its place; returns its index, or None if it is a duplicate or belongs to another run."""
        place = self._spec.place_of(row)
        if place is None or row in self:
            return None
        at = bisect_left(self._places, place)
        self._places.insert(at, place)
        self.rows.insert(at, self._spec.with_ways(row))
        return at

    @property
    def is_complete(self) -> bool:
        """Whether all points of the run are finished."""
        return len(self.rows) == self._spec.n_points

    def keys(self) -> set[tuple[int, int, float]]:
        """Seed, variant number and sparsity of every point."""
        return {self._spec.point_at(place) for place in self._places}
