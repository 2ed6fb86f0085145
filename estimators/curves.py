"""One rule for the name, the colour and the marker of a curve, wherever it is drawn or listed.

A curve belongs to one way of pruning. Its name consists of the values in which the curves differ; what all curves share
is left out. Its place among the curves determines its colour and its marker.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any, NamedTuple

from .parameters import WAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Entries of the 256-colour palette that can be read on dark and on light backgrounds.
COLOURS = (33, 166, 28, 163, 30, 99, 160, 94)

SYMBOLS = "●○■□▲△◆◇" + string.ascii_lowercase
ASCII_SYMBOLS = "*o+x#@%&" + "".join(letter for letter in string.ascii_lowercase if letter not in "ox")

#: The shapes of the first symbols in matplotlib; each twice, filled and open.
_SHAPES = "os^D"

_LEVELS = (0, 95, 135, 175, 215, 255)


class Style(NamedTuple):
    """How a curve is drawn.

    Attributes
    ----------
    colour : int
        An entry of the 256-colour palette.
    symbol, ascii_symbol : str
        The character at its points.
    """

    colour: int
    symbol: str
    ascii_symbol: str

    @property
    def hex_colour(self) -> str:
        """The colour as ``#rrggbb``."""
        red, rest = divmod(self.colour - 16, 36)
        return "#" + "".join(f"{_LEVELS[level]:02x}" for level in (red, *divmod(rest, 6)))

    @property
    def marker(self) -> dict[str, str]:
        """The symbol as matplotlib's ``marker`` and ``fillstyle``."""
        place = SYMBOLS.index(self.symbol)
        if place >= 2 * len(_SHAPES):
            return {"marker": f"${self.symbol}$"}
        return {"marker": _SHAPES[place // 2], "fillstyle": "none" if place % 2 else "full"}


def style_of(place: int) -> Style:
    """The style of the curve at a place: no two of the first 32 curves look alike."""
    return Style(
        COLOURS[place % len(COLOURS)], SYMBOLS[place % len(SYMBOLS)], ASCII_SYMBOLS[place % len(ASCII_SYMBOLS)]
    )


def varying(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = WAYS) -> list[str]:
    """The columns in which rows differ. A column that a row lacks counts as a value of its own."""
    rows = list(rows)
    return [column for column in columns if len({str(row.get(column)) for row in rows}) > 1]


def name_of(row: Mapping[str, Any], differing: Sequence[str], columns: Sequence[str] = WAYS) -> str:
    """The name of the curve of a row.

    Parameters
    ----------
    row : mapping
        Values by column.
    differing : sequence of str
        The columns in which the curves differ.
    columns : sequence of str
        All columns that distinguish curves. If the curves do not differ, the granularity is their name, or the first
        of these.
    """
    shown = differing or (["granularity"] if "granularity" in columns else columns[:1])
    return ", ".join(value_name(column, row[column]) for column in shown if row.get(column) is not None)


def curve_names(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = WAYS) -> list[str]:
    """The name of the curve of each row."""
    differing = varying(rows, columns)
    return [name_of(row, differing, columns) for row in rows]


def value_name(column: str, value: Any) -> str:
    """A value in the name of a curve: norms are L1, L2 and L-inf."""
    return f"L{float(value):g}".replace("inf", "-inf") if column == "norm" else str(value)
