"""The list of data sets, with their states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...estimators.data.datasets import describe_datasets
from ...estimators.data.source import DataOptions, DataSource
from ..text import clean

_STATE_STYLES = {"ready": "green", "damaged": "red"}


@dataclass
class Entry:
    """A data set in the list.

    Attributes
    ----------
    name : str
        The argument for `load_dataset`.
    title, description, state : str
        The texts in the list.
    trouble : str
        The problem in a sentence; empty if none is known.
    download_mb : int
        0 if it cannot be downloaded.
    about : dict
        The service's description; empty before it is requested.
    options : DataOptions
        The options for reading a file.
    pixels : str
        How pixels are scaled.
    """

    name: str
    title: str
    description: str
    state: str = "ready"
    trouble: str = ""
    download_mb: int = 0
    about: dict[str, Any] = field(default_factory=dict)
    options: DataOptions = field(default_factory=DataOptions)
    pixels: str = "auto"

    def source(self, root: str | None) -> DataSource:
        """The source to load; `root` is the folder of the named data sets."""
        return DataSource(self.name, root, self.pixels, self.options)

    @property
    def is_file(self) -> bool:
        """Whether it is a user's file."""
        return bool(self.source(None).paths)

    @property
    def is_table(self) -> bool:
        """Whether it is known to be tabular data."""
        return bool(self.about) and not self.about["image_shape"]


def known_entries(root: str | None, before: Sequence[Entry]) -> list[Entry]:
    """An entry for each named data set, then the files from the entries `before`.

    What is known of a data set is kept unless its state has changed.
    """
    kept = {entry.name: entry for entry in before}
    entries = []
    for info in describe_datasets(root):
        trouble = info.checked if info.state == "damaged" else ""
        entry = Entry(info.name, info.name, info.description, info.state, trouble, info.download_mb)
        earlier = kept.pop(info.name, None)
        # Loading detects more damage than the check of the file sizes.
        is_same = earlier is not None and (earlier.state == info.state or earlier.state == "damaged")
        entries.append(earlier if earlier is not None and is_same else entry)
    return [*entries, *kept.values()]


class DataList(OptionList, inherit_bindings=False):
    """The list; it leaves the page keys to the screen."""

    BINDINGS: ClassVar = [
        Binding("down", "cursor_down", "Down", show=False),
        Binding("up", "cursor_up", "Up", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "last", "Last", show=False),
        Binding("enter", "select", "Select", show=False),
    ]

    DEFAULT_CSS = """
    DataList { padding: 0; scrollbar-size-vertical: 1; }
    DataList > .option-list--option { padding: 0; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None):
        super().__init__(id=id, classes=classes)
        self._entries: Sequence[Entry] = ()
        self._width = 0

    def show_entries(self, entries: Sequence[Entry], at: int | None = None) -> None:
        """Show entries, with the cursor on a given one or unchanged."""
        self._entries, self._width = entries, self.scrollable_content_region.width
        if self._width:
            at = self.highlighted or 0 if at is None else at
            ascii_only = getattr(self.app, "ascii_only", False)
            with self.prevent(OptionList.OptionHighlighted):
                self.set_options([Option(_in_list(entry, self._width, ascii_only)) for entry in entries])
            self.highlighted = min(at, len(entries) - 1)

    def on_resize(self) -> None:
        """Align the states at the right end."""
        if self.scrollable_content_region.width != self._width:
            self.show_entries(self._entries)


def _in_list(entry: Entry, width: int, ascii_only: bool) -> Text:
    """Two lines: the title, with the state at the right end, and the description."""
    overflow = "crop" if ascii_only else "ellipsis"
    title = Text(clean(entry.title, ascii_only), style="bold")
    title.truncate(max(width - len(entry.state) - 1, 4), overflow=overflow)
    gap = " " * (width - title.cell_len - len(entry.state))
    state = Text(entry.state, style=_STATE_STYLES.get(entry.state, "dim"))
    description = Text(entry.description, style="dim")
    description.truncate(width, overflow=overflow)
    return Text.assemble(title, gap, state, "\n", description)
