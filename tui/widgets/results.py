"""The table of accuracies by sparsity and curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

from ..curves import curve_name, curve_names
from .run_summary import accuracies, accuracy_in_words

if TYPE_CHECKING:
    from ..runs.spec import RunSpec
    from ..runs.view import Row

Point = tuple[str, float]

#: Widths of an accuracy for one seed, and for several with an interval.
_WIDTH, _WIDTH_OF_MEAN = 5, 13


class ResultsTable(DataTable[str]):
    """Shows points as they are finished; the cursor follows the newest one until the user moves it.

    Attributes
    ----------
    point : (curve, sparsity) or None
        The point under the cursor.
    """

    DEFAULT_CSS = """
    ResultsTable { background: transparent; height: 1fr; }
    ResultsTable > .datatable--header { background: transparent; color: $text-accent; }
    ResultsTable:ansi > .datatable--header { background: ansi_default; color: $text-accent; }
    ResultsTable:ansi > .datatable--cursor { text-style: reverse; }
    """

    class PointChosen(Message):
        """The cursor has moved to another point."""

    def __init__(self, *, id: str | None = None, classes: str | None = None):
        super().__init__(id=id, classes=classes, cell_padding=1, zebra_stripes=False)
        self.point: Point | None = None
        self._spec: RunSpec | None = None
        self._is_transposed = False
        self._follows = True
        self._newest: Point | None = None
        self._shown: dict[Point, str] = {}

    def begin(self, spec: RunSpec, *, is_transposed: bool) -> None:
        """Create an empty table for a run; if `is_transposed`, curves are rows instead of columns."""
        if spec is self._spec and is_transposed == self._is_transposed:  # identity: two runs may have equal specs
            return
        if spec is not self._spec:
            self._follows, self.point = True, None
        self._spec, self._is_transposed, self._shown = spec, is_transposed, {}
        self.clear(columns=True)
        curves = [(name, name) for name in curve_names(spec)]
        sparsities = {_key(value): f"{100 * value:.10g} %" for value in sorted(spec.sparsities)}
        across, down = (list(sparsities.items()), curves) if is_transposed else (curves, list(sparsities.items()))
        for key, label in across:
            self.add_column(label, key=key, width=max(len(label), _WIDTH if len(spec.seeds) == 1 else _WIDTH_OF_MEAN))
        for key, label in down:
            self.add_row(*[""] * len(across), label=label, key=key)

    def update_rows(self, rows: list[Row], ascii_only: bool) -> None:
        """Update the accuracies that have changed."""
        if self._spec is None:
            return
        for point, values in accuracies(rows, self._spec).items():
            text = accuracy_in_words(values, ascii_only)
            if self._has(point) and self._shown.get(point) != text:
                self._shown[point] = text
                self.update_cell(*self._keys(point), text)
        if rows:
            self._newest = curve_name(rows[-1], self._spec), rows[-1]["sparsity"]
            if self._follows and self._has(self._newest):
                self._go_to(self._newest)

    def _has(self, point: Point) -> bool:
        """Whether the table has a cell for the point; not if the events of a run do not match its spec."""
        row, column = self._keys(point)
        return row in self.rows and column in self.columns

    def _keys(self, point: Point) -> tuple[str, str]:
        curve, sparsity = point[0], _key(point[1])
        return (curve, sparsity) if self._is_transposed else (sparsity, curve)

    def _go_to(self, point: Point) -> None:
        self.point = point
        row, column = self._keys(point)
        self.move_cursor(row=self.get_row_index(row), column=self.get_column_index(column), animate=False)

    def on_data_table_cell_highlighted(self, event: DataTable.CellHighlighted) -> None:
        """Handle a move of the cursor, by the user or to the newest point."""
        event.stop()
        if event.coordinate != self.cursor_coordinate:
            return  # the cursor has moved again since
        point = self._point_at(event.coordinate)
        if point is not None and point != self.point:
            self.point, self._follows = point, point == self._newest
            self.post_message(self.PointChosen())

    def _point_at(self, coordinate: Coordinate) -> Point | None:
        row, column = self.coordinate_to_cell_key(coordinate)
        keys = (row.value, column.value) if self._is_transposed else (column.value, row.value)
        return next((point for point in self._shown if (point[0], _key(point[1])) == keys), None)


def _key(sparsity: float) -> str:
    return f"{sparsity:.12g}"
