"""A table of curves and their values at each sparsity, with the differences from other curves below."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.style import Style

from ...estimators.curves import style_of
from ..runs.compare import MEASURES, Curve, Difference, differences
from ..text import shorten
from .table import GAP, Cell, Column, Table

#: Minimum and maximum width of the names.
NAME_WIDTHS = (24, 60)

NUMBER_WIDTH, INTERVAL_WIDTH = 6, 7

DIGITS = {"accuracy": 2, "loss": 3}

AGAINST = "against"


@dataclass(frozen=True)
class _Row:
    """A curve, the curve that it is compared with, and its values."""

    curve: Curve
    other: Curve | None
    figures: Mapping[float, Difference]


class CurveTable(Table):
    """The curves of `show_curves`, two lines each, with the symbols of the plot."""

    def __init__(self, *, id: str | None = None):
        super().__init__(id=id, fixed=2, row_height=2)
        self._rows: dict[str, _Row] = {}
        self._places: Mapping[str, int] = {}
        self._hidden: Collection[str] = ()
        self._measure = "accuracy"
        self._name_width = NAME_WIDTHS[0]

    @property
    def has_intervals(self) -> bool:
        """Whether any difference has an interval."""
        return any(figure.half is not None for row in self._rows.values() for figure in row.figures.values())

    def show_curves(
        self,
        curves: Sequence[Curve],
        opponents: Mapping[str, Curve | None],
        places: Mapping[str, int],
        *,
        hidden: Collection[str] = (),
        measure: str = "accuracy",
    ) -> None:
        """Show these curves.

        Parameters
        ----------
        curves : sequence of Curve
        opponents : mapping of str to Curve or None
            The curve that each is compared with, by key.
        places : mapping of str to int
            The place of each curve in the plot, which determines its symbol.
        hidden : collection of str
            The keys of the curves that are not drawn.
        measure : str
            One of `MEASURES`.
        """
        self._places, self._hidden, self._measure = places, hidden, measure
        self._rows = {}
        for curve in curves:
            other = opponents.get(curve.key)
            self._rows[curve.key] = _Row(curve, other, differences(curve, other, measure))
        self.lay_out()

    def lay_out(self) -> None:
        """Show the curves, with names as wide as possible."""
        self.show(self._columns_for(self.scrollable_content_region.width), list(self._rows), self._lines)

    def _columns_for(self, width: int) -> list[Column]:
        each = NUMBER_WIDTH + self.has_intervals * INTERVAL_WIDTH
        sparsities = self._sparsities()
        least, most = NAME_WIDTHS
        wished = max((len(AGAINST) + 2 + cell_len(", ".join(row.curve.name)) for row in self._rows.values()), default=0)
        room = width - 1 - GAP - len(sparsities) * (each + GAP) - GAP
        self._name_width = max(least, min(wished, most, room))
        return [
            Column("symbol", "", 1),
            Column("name", "curve", self._name_width),
            *(Column(f"{s:g}", f"{100 * s:.5g} %".rjust(NUMBER_WIDTH), each) for s in sparsities),
        ]

    def _sparsities(self) -> list[float]:
        return sorted({sparsity for row in self._rows.values() for sparsity in row.figures})

    def _lines(self, key: str) -> list[list[Cell]]:
        row, is_hidden = self._rows[key], key in self._hidden
        figures = [row.figures.get(sparsity) for sparsity in self._sparsities()]
        name = self._short_name(row.curve, self._name_width)
        return [
            [
                Cell("") if is_hidden else self._symbol(key),
                Cell(name, "muted" if is_hidden else "strong"),
                *(Cell("") if figure is None else self._value(figure, is_hidden) for figure in figures),
            ],
            [
                Cell(""),
                Cell(("hidden, " if is_hidden else "") + self._beside(row), "muted"),
                *(Cell("") if figure is None else self._change(figure) for figure in figures),
            ],
        ]

    def _symbol(self, key: str) -> Cell:
        """The symbol of the curve in the plot."""
        style = style_of(self._places[key])
        return Cell(style.ascii_symbol if self.ascii_only else style.symbol, Style(color=f"color({style.colour})"))

    def _short_name(self, curve: Curve, width: int) -> str:
        """The name of a curve, shortened to fit: the title of the run first, the ways of pruning never."""
        first, *others = curve.name
        rest = "".join(f", {other}" for other in others)
        return shorten(first, max(width - cell_len(rest), 6), self.ascii_only) + rest

    def _beside(self, row: _Row) -> str:
        if not row.curve.rows:
            return "no points yet"
        if row.other is None:
            return "the baseline"
        start = f"{AGAINST} {self._symbol(row.other.key).text} "
        name, ways = ", ".join(row.other.name), ", ".join(row.other.name[1:])
        return start + (name if cell_len(start + name) <= self._name_width or not ways else ways)

    def _value(self, figure: Difference, is_hidden: bool) -> Cell:
        value = MEASURES[self._measure][1] * figure.mean
        digits = DIGITS[self._measure]
        return Cell(f"{value:.{digits}f}".rjust(NUMBER_WIDTH), "muted" if is_hidden else "")

    def _change(self, figure: Difference) -> Cell:
        """The difference, coloured if it is statistically significant, or if it has no interval."""
        if figure.change is None:
            return Cell("")
        factor, digits = MEASURES[self._measure][1], DIGITS[self._measure]
        change = round(factor * figure.change, digits) + 0.0
        text = f"{change:+.{digits}f}".rjust(NUMBER_WIDTH)
        if figure.half is not None:
            text += f"{'+-' if self.ascii_only else '±'}{factor * figure.half:.{digits}f}"
        if not change or (figure.half is not None and abs(figure.change) <= figure.half):
            return Cell(text)
        return Cell(text, "good" if (change > 0) == (self._measure == "accuracy") else "wrong")
