"""A table that draws only its visible rows: a thousand rows are as fast as ten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..text import clean, fitted, padded, shorten

GAP = 2


class Column(NamedTuple):
    """A column: its key, title and width, and whether its cells are right-aligned."""

    key: str
    title: str
    width: int
    is_right: bool = False


class Cell(NamedTuple):
    """The text of a cell, and its style: "muted", "good", "warning", "wrong", "strong" or a style of Rich."""

    text: str
    style: str | Style = ""


#: Returns the lines of the row with a key, each with a cell for every column.
RowMaker = Callable[[str], Sequence[Sequence[Cell]]]


class Table(ScrollView, can_focus=True):
    """Rows under a cursor, identified by keys. A function that is called for drawing provides their content.

    The leftmost columns are fixed when the arrow keys scroll the others.
    """

    BINDINGS: ClassVar = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
        Binding("left", "shift(-1)", "Left", show=False),
        Binding("right", "shift(1)", "Right", show=False),
    ]

    COMPONENT_CLASSES: ClassVar = {
        "table--header",
        "table--cursor",
        "table--muted",
        "table--good",
        "table--warning",
        "table--wrong",
        "table--strong",
    }

    DEFAULT_CSS = """
    Table { height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    Table > .table--header { color: $text-accent; text-style: bold; }
    Table > .table--cursor { background: $block-cursor-blurred-background; color: $block-cursor-blurred-foreground; }
    Table:focus > .table--cursor {
        background: $block-cursor-background; color: $block-cursor-foreground; text-style: $block-cursor-text-style;
    }
    Table:nocolor:focus > .table--cursor { text-style: reverse; }
    Table > .table--muted { color: $text-muted; }
    Table > .table--good { color: $text-success; }
    Table > .table--warning { color: $text-warning; }
    Table > .table--wrong { color: $text-error; }
    Table > .table--strong { text-style: bold; }
    """

    class Highlighted(Message):
        """The cursor has moved to another row, or there are no more rows."""

        def __init__(self, table: Table, key: str | None):
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    class Chosen(Message):
        """The row under the cursor was clicked."""

        def __init__(self, table: Table, key: str):
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    class HeaderClicked(Message):
        """The header of a column was clicked."""

        def __init__(self, table: Table, column: str):
            super().__init__()
            self.table, self.column = table, column

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    def __init__(self, *, id: str | None = None, fixed: int = 1, row_height: int = 1):
        super().__init__(id=id)
        self._fixed, self._row_height = fixed, row_height
        self._columns: list[Column] = []
        self._keys: list[str] = []
        self._make_row: RowMaker = lambda _: []
        self._at = 0
        self._first = fixed

    # -- content ---------------------------------------------------------------------------------------------

    def show(self, columns: Sequence[Column], keys: Sequence[str], make_row: RowMaker) -> None:
        """Show rows. The cursor stays on its row, or at its position if that row is gone."""
        before, scrolled, was_seen = self.cursor, self.scroll_offset.y, self._is_cursor_seen()
        self._columns, self._keys, self._make_row = list(columns), list(keys), make_row
        self._first = max(self._fixed, min(self._first, len(columns) - 1))
        at = self._keys.index(before) if before in self._keys else max(0, min(self._at, len(self._keys) - 1))
        moved, self._at = at - self._at, at
        self.virtual_size = Size(0, len(self._keys) * self._row_height + 1)
        if moved:
            # Rows were added or removed above: keep the visible rows at their places.
            self.scroll_to(y=scrolled + moved * self._row_height, animate=False)
            if was_seen:
                self._keep_cursor_seen()
        self.refresh()
        if self.cursor != before:
            self.post_message(self.Highlighted(self, self.cursor))

    @property
    def cursor(self) -> str | None:
        """The key of the row under the cursor; None if there are no rows."""
        return self._keys[self._at] if self._at < len(self._keys) else None

    @property
    def keys(self) -> list[str]:
        """The keys of the rows, from top to bottom."""
        return self._keys

    @property
    def is_wider(self) -> bool:
        """Whether there are more columns than fit."""
        return self._width(self._columns[self._fixed :]) > self._room()

    def move_to(self, key: str) -> None:
        """Move the cursor to a row."""
        self._move(self._keys.index(key))

    # -- keys and mouse --------------------------------------------------------------------------------------

    def action_move(self, rows: int) -> None:
        """Move the cursor up or down."""
        self._move(self._at + rows)

    def action_page(self, direction: int) -> None:
        """Move the cursor by a page."""
        self._move(self._at + direction * max(1, (self.size.height - 1) // self._row_height))

    def action_shift(self, columns: int) -> None:
        """Scroll the columns right or left."""
        last = self._fixed
        while last < len(self._columns) - 1 and self._width(self._columns[last:]) > self._room():
            last += 1
        self._first = max(self._fixed, min(self._first + columns, last))
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to a row, choose the row under the cursor, or report the column of a header."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            start = 0
            for column in self._shown_columns():
                if start <= offset.x < start + column.width + GAP:
                    self.post_message(self.HeaderClicked(self, column.key))
                start += column.width + GAP
            return
        at = (offset.y - 1 + self.scroll_offset.y) // self._row_height
        if at == self._at and self.cursor is not None:
            self.post_message(self.Chosen(self, self._keys[at]))
        elif at < len(self._keys):
            self._move(at)

    def on_resize(self) -> None:
        """Choose the columns for the new width, and keep the cursor visible."""
        self.lay_out()
        self._keep_cursor_seen()

    def lay_out(self) -> None:
        """Call `show` with the columns that fit. Subclasses whose columns depend on the width override it."""

    @property
    def ascii_only(self) -> bool:
        """Whether the app draws with ASCII characters only."""
        return getattr(self.app, "ascii_only", False)

    def _move(self, at: int) -> None:
        at = max(0, min(at, len(self._keys) - 1))
        if at != self._at:
            self._at = at
            self._keep_cursor_seen()
            self.refresh()
            self.post_message(self.Highlighted(self, self.cursor))

    def _is_cursor_seen(self) -> bool:
        top = self._at * self._row_height - self.scroll_offset.y
        return 0 <= top <= self.size.height - 1 - self._row_height

    def _keep_cursor_seen(self) -> None:
        room = self.size.height - 1
        top, end = self._at * self._row_height, (self._at + 1) * self._row_height
        if room > 0 and top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)
        elif room > 0 and end > self.scroll_offset.y + room:
            self.scroll_to(y=end - room, animate=False)

    # -- drawing ---------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draw the header or one line of a row."""
        base = self.rich_style
        if y == 0:
            style = base + self.get_component_rich_style("table--header", partial=True)
            return self._strip([Cell(column.title) for column in self._columns], style, is_plain=True)
        at, line = divmod(y - 1 + self.scroll_offset.y, self._row_height)
        if at >= len(self._keys):
            return Strip.blank(self.scrollable_content_region.width, base)
        cells = self._make_row(self._keys[at])[line]
        if at == self._at:
            return self._strip(cells, base + self.get_component_rich_style("table--cursor"), is_plain=True)
        return self._strip(cells, base, is_plain=False)

    def _strip(self, cells: Sequence[Cell], base: Style, is_plain: bool) -> Strip:
        ascii_only = self.ascii_only
        shown = dict(zip((column.key for column in self._columns), cells, strict=False))
        segments: list[Segment] = []
        for column in self._shown_columns():
            cell = shown.get(column.key, Cell(""))
            text = clean(cell.text, ascii_only)
            if column.is_right:
                text = padded(shorten(text, column.width, ascii_only), column.width, is_right=True)
            text = fitted(text, column.width, ascii_only)
            segments += [Segment(text, base if is_plain else base + self._style(cell.style)), Segment(" " * GAP, base)]
        return Strip(segments).adjust_cell_length(self.scrollable_content_region.width, base)

    def _style(self, style: str | Style) -> Style:
        if isinstance(style, Style):
            return style
        return self.get_component_rich_style(f"table--{style}", partial=True) if style else Style.null()

    def _shown_columns(self) -> list[Column]:
        """The fixed columns, and as many of the others as fit completely (at least one)."""
        shown = self._columns[: self._fixed]
        room = self._room()
        for column in self._columns[self._first :]:
            if column.width > room and len(shown) > self._fixed:
                break
            shown.append(column)
            room -= column.width + GAP
        return shown

    def _room(self) -> int:
        """The width beside the fixed columns."""
        return self.scrollable_content_region.width - sum(column.width + GAP for column in self._columns[: self._fixed])

    @staticmethod
    def _width(columns: Sequence[Column]) -> int:
        return sum(column.width + GAP for column in columns) - GAP
