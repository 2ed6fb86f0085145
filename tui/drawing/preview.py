"""The first lines of a table as text: the name and role of each column, and its cells."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from ..text import clean, fitted

#: The maximum width of a column.
MAX_COLUMN = 14

LABEL = "label"


def draw_table(
    names: Sequence[str],
    roles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> list[str]:
    """Draw a table: a line of names, a line of roles, and as many rows as fit.

    Columns that do not fit are dropped from the middle; the label column is always shown.

    Parameters
    ----------
    names : sequence of str
    roles : sequence of str
        The role of each column: "feature", "label", or why it is ignored.
    rows : sequence of sequence of str
    width, height : int
        The available columns and lines.
    ascii_only : bool, default=False

    Returns
    -------
    list of str
        Lines that are at most `width` columns wide.
    """
    table = [names, roles, *rows][:height]
    cells = [
        [clean(line[place] if place < len(line) else "", ascii_only) for line in table] for place in range(len(names))
    ]
    widths = [min(max(map(cell_len, column), default=0), MAX_COLUMN) for column in cells]
    label = roles.index(LABEL) if LABEL in roles else None
    dots = ".." if ascii_only else "…"
    chosen = list(range(len(names)))
    while len(chosen) > 1 and sum(widths[place] + 2 for place in chosen) + len(dots) > width:
        chosen.remove(next(place for place in reversed(chosen) if place != label))
    lines = []
    for line in range(len(table)):
        text, before = "", -1
        for place in chosen:
            text += f"{dots}  " if place != before + 1 else ""
            text += fitted(cells[place][line], widths[place], ascii_only) + "  "
            before = place
        lines.append(fitted(text + (dots if before + 1 < len(names) else ""), width, ascii_only).rstrip())
    return lines
