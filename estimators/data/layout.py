"""What the first lines of a table show: delimiter, decimal mark, header line, label column, row names.

What they do not show beyond doubt is refused, naming the option of `DataOptions` that decides.
"""

from __future__ import annotations

import csv
import difflib
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import DatasetError, one_line

if TYPE_CHECKING:
    from .notes import Notes
    from .source import DataOptions

#: So many characters and lines are looked at.
HEAD_CHARACTERS = 2**20
HEAD_LINES = 200

#: Names of a label column, each with its plural. `y` is one where there is no `x`, which would make it a coordinate.
LABEL_COLUMNS = ("label", "labels", "target", "targets", "class", "classes")

#: What a column of row numbers is often called.
INDEX_COLUMNS = ("id", "index", "idx", "row", "rowid", "row_id", "row id", "rownames", "no", "no.", "nr", "#")

#: Cells of features that are missing values. Among class names they are names.
MISSING = frozenset(
    ["", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "-nan", "-NaN", "NAN"]
)

_CANDIDATES = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE | re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+", re.ASCII)
_BOOLEANS = frozenset(["True", "False", "TRUE", "FALSE", "true", "false"])
_WHOLE = re.compile(r"-?\d+", re.ASCII)

#: With fewer columns than these, names 0, 1, 2, ... could be the numbers of a sample.
_MANY_NAMES = 4

Records = list[list[str]]


@dataclass
class Layout:
    """How a table is built; what is not known yet has its default.

    Attributes
    ----------
    delimiter, decimal : str
    has_header : bool
    names : list of str
        Of all columns.
    label : int
        The place of the label column; -1 while it is not known.
    dropped : dict of int to str
        Places of the columns that are left out, and why.
    records : list of list of str
        The first lines, without the header line.
    """

    delimiter: str = ","
    decimal: str = "."
    has_header: bool = False
    names: list[str] = field(default_factory=list)
    label: int = -1
    dropped: dict[int, str] = field(default_factory=dict)
    records: Records = field(default_factory=list)

    @property
    def features(self) -> list[int]:
        """Places of the features."""
        return [place for place in range(len(self.names)) if place not in self.dropped and place != self.label]

    def column(self, place: int) -> list[str]:
        """The first cells of a column, without surrounding spaces; "" where a line is too short."""
        return [record[place].strip() if place < len(record) else "" for record in self.records]

    def find(self, text: str, options: DataOptions, notes: Notes, what: str) -> None:
        """Fill in everything from the beginning of a table; DatasetError where the user has to decide.

        Parameters
        ----------
        text : str
            The beginning of the table.
        options : DataOptions
        notes : Notes
            Takes the assumptions.
        what : str
            What to call the file in messages.
        """
        records = self._find_delimiter(text, options, notes, what)
        self._find_decimal(records, options, notes, what)
        self._find_header(records, options, notes, what)
        self._find_empty_column(notes)
        self._find_index(options, notes, what)
        self._find_label(options, notes, what)
        self._check_names(what)

    # -- cells -----------------------------------------------------------------------------------------------

    def _find_delimiter(self, text: str, options: DataOptions, notes: Notes, what: str) -> Records:
        if not text.strip():
            raise DatasetError(f"{what} is empty: it needs a line for each sample")
        if options.separator is not None:
            self.delimiter = options.separator
            records = _records(text, self.delimiter, what)
            if _width(records) < 2:
                raise DatasetError(
                    f"{what} has a single column with the delimiter {self.delimiter!r}: it needs features and a label; "
                    "name another delimiter"
                )
            return records
        tried = {candidate: _records(text, candidate, what) for candidate in _CANDIDATES}
        fitting = [candidate for candidate, records in tried.items() if _is_table(records)]
        if len(fitting) > 1:
            fitting = [candidate for candidate in fitting if _makes_sense(tried[candidate])] or fitting
        if len(fitting) > 1:
            found = " and ".join(map(repr, fitting))
            raise DatasetError(f"{what} could be separated by {found}: name the delimiter (delimiter)")
        if not fitting:  # perhaps a damaged line, which the reader of the whole table names
            widest = max(_CANDIDATES, key=lambda candidate: _share_of_width(tried[candidate]))
            if len(text) < HEAD_CHARACTERS and text.count('"') % 2:
                raise DatasetError(f"{what} has a quotation mark that is not closed: save the table again")
            if _share_of_width(tried[widest]) <= 0.5:
                raise DatasetError(
                    f"{what} has a single column, or no delimiter that fits all of its lines: it needs features and a "
                    "label, separated by commas, or by what delimiter names"
                )
            fitting = [widest]
        self.delimiter = fitting[0]
        if self.delimiter != ",":
            notes.add(f"cells separated by {self.delimiter!r}", f"delimiter={self.delimiter!r}: it fits all lines")
        return tried[self.delimiter]

    def _find_decimal(self, records: Records, options: DataOptions, notes: Notes, what: str) -> None:
        self.decimal = options.decimal or "."
        if options.decimal is not None or self.delimiter == ",":
            return
        body = records[1:] or records
        cells: list[str] = []
        for place in range(_width(records)):
            column = [record[place].strip() for record in body if place < len(record)]
            filled = [cell for cell in column if cell not in MISSING]
            with_comma = [cell for cell in filled if _DECIMAL_COMMA.fullmatch(cell) or _THOUSANDS.fullmatch(cell)]
            if with_comma and all(cell in with_comma or _NUMBER.fullmatch(cell) for cell in filled):
                cells += with_comma
        if not cells:
            return
        points = any("." in cell for record in body for cell in record if _NUMBER.fullmatch(cell.strip()))
        if points or all(_THOUSANDS.fullmatch(cell) for cell in cells):
            raise DatasetError(
                f"{what} has commas in numbers (for example {cells[0]!r}): name the decimal mark, decimal=',' or '.', "
                "and remove thousands separators"
            )
        self.decimal = ","
        notes.add("decimal commas", f"decimal=',': numbers such as {cells[0]!r} have a comma")

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a number, or True or False."""
        if self.decimal != ".":
            if "." in cell:
                return False
            cell = cell.replace(self.decimal, ".", 1)
        return cell in _BOOLEANS or bool(_NUMBER.fullmatch(cell))

    def is_numeric(self, place: int) -> bool:
        """Whether all cells of a column are numbers or missing values, and not all are words for missing values."""
        cells = self.column(place)
        are_words = any(cells) and all(cell in MISSING for cell in cells)
        return not are_words and all(cell in MISSING or self.is_number(cell) for cell in cells)

    # -- the header line -------------------------------------------------------------------------------------

    def _find_header(self, records: Records, options: DataOptions, notes: Notes, what: str) -> None:
        first, self.records = [cell.strip() for cell in records[0]], records[1:]
        width = _width(records)
        if isinstance(options.header, bool):
            self.has_header = options.header
        else:
            self.has_header = self._is_header(first, width, what)
            if not self.has_header:
                words = "no header line: the first line holds numbers where the others do"
                notes.add("no header line", f"header=False: {words.partition(': ')[2]}")
        if not self.has_header:
            self.records = records
            self.names = [str(place + 1) for place in range(width)]
            if any(len(record) != width for record in records[:1]):
                raise DatasetError(f"{what} has lines with different numbers of cells: make them agree")
            return
        if not self.records:
            raise DatasetError(f"{what} has a header line but no samples below it: add some")
        if len(first) == width - 1:  # R leaves out the name of the row names; others end every line with a delimiter
            is_trailing = all(len(record) < width or not record[-1].strip() for record in self.records)
            first = [*first, ""] if is_trailing else ["", *first]
        if len(first) < width:
            raise DatasetError(f"{what} has more cells in a line than names in its header line: make them agree")
        self.names = [name or f"Unnamed: {place}" for place, name in enumerate(first)]

    def _is_header(self, first: Sequence[str], width: int, what: str) -> bool:
        """Whether the first line is a header line; DatasetError if both is possible."""
        self.names = [""] * width
        shift = width - len(first)
        places = [place for place in range(width) if self.is_numeric(place) and any(self.column(place))]
        cells = {place: first[place - shift] for place in places if 0 <= place - shift < len(first)}
        if shift or not self.records or not places:
            return not all(self.is_number(cell) for cell in first)
        words = [cell for cell in cells.values() if cell not in MISSING and not self.is_number(cell)]
        if words:
            return True
        numbers = [cell for cell in cells.values() if self.is_number(cell)]
        counted = any(numbers == [str(start + i) for i in range(len(numbers))] for start in (0, 1))
        others = {place: first[place] for place in range(width) if place not in cells}
        is_new = any(cell and cell not in self.column(place) for place, cell in others.items())
        is_named = any(cell.casefold() in LABEL_COLUMNS for cell in others.values())
        if not numbers:  # empty cells only
            return True
        if is_new and any(first == [str(start + i) for i in range(width)] for start in (0, 1)):
            return True
        if counted and (len(numbers) >= _MANY_NAMES or is_named):
            return True
        if counted or is_new:
            raise DatasetError(
                f"{what} may or may not begin with a line of column names ({', '.join(map(repr, first[:4]))}, ...): "
                "decide it with header=True or header=False"
            )
        return False

    # -- columns ---------------------------------------------------------------------------------------------

    def _find_empty_column(self, notes: Notes) -> None:
        last = len(self.names) - 1
        is_nameless = not self.has_header or self.names[last] == f"Unnamed: {last}"
        if last > 1 and is_nameless and not any(self.column(last)):
            self.dropped[last] = "empty"
            notes.add("its empty last column left out", "the last column, which is empty, is left out")

    def _find_index(self, options: DataOptions, notes: Notes, what: str) -> None:
        index = options.index
        if index is False:
            return
        if index is True:
            self._drop_index(0, notes, "")
            return
        if index != "auto":
            self._drop_index(self._place_of(str(index), "index", what), notes, "")
            return
        name, cells = self.names[0], self.column(0)
        counts = len(cells) > 1 and is_increasing(cells)
        if not self.has_header:
            if counts:
                raise DatasetError(
                    f"{what} has increasing whole numbers in its first column: decide with index=True or index=False "
                    "whether they number the rows and are left out"
                )
        elif re.fullmatch(r"Unnamed: 0(\.\d+)?", name):
            if not is_increasing(cells):
                raise DatasetError(
                    f"{what} has a first column without a name: decide with index=True or index=False whether it holds "
                    "row names and is left out"
                )
            self._drop_index(0, notes, "index=True: the first column, whole numbers without a name, is left out")
        elif counts and name.casefold() in INDEX_COLUMNS and options.label != name:
            raise DatasetError(
                f"{what} numbers its rows in the column {name!r}, from which a network can learn their order: leave it "
                f"out with index={name!r}, or keep it with index=False"
            )
        elif counts and is_consecutive(cells) and options.label != name:
            notes.add("", f"index=False: the column {name!r}, which counts the rows, is a feature")

    def _drop_index(self, place: int, notes: Notes, assumed: str) -> None:
        self.dropped[place] = "row names"
        first = "its first column" if place == 0 else f"the column {self.names[place]!r}"
        notes.add(f"{first} (row numbers) left out" if assumed else f"{first} (row names) left out", assumed)

    def _find_label(self, options: DataOptions, notes: Notes, what: str) -> None:
        if options.label is not None:
            self.label = self._place_of(options.label, "label", what)
            if self.label in self.dropped:
                raise DatasetError(f"{what} has row names in the column {options.label!r}: name another label or index")
            notes.add(f"labels from the column {self.names[self.label]!r}")
            return
        kept = [place for place in range(len(self.names)) if place not in self.dropped]
        named = [place for place in kept if self.names[place].casefold() in LABEL_COLUMNS] if self.has_header else []
        names = [self.names[place].casefold() for place in kept]
        if not named and names.count("y") == 1 and "x" not in names and self.has_header:
            named = [place for place in kept if self.names[place].casefold() == "y"]
        words = [place for place in kept if not self.is_numeric(place)]
        why = "its name"
        if not named:
            named, why = words, "the only column that does not hold numbers"
            cells = [cell for place in words[:1] for cell in self.column(place)]
            if len(words) == 1 and len(cells) > 3 and len(set(cells)) > len(cells) / 2:
                named = []  # names of the samples, more likely
        if len(named) != 1:
            columns = ", ".join(repr(self.names[place]) for place in (named or kept)[:6])
            which = "several columns that could be the labels" if named else "no column that must be the labels"
            more = ", ..." if len(named or kept) > 6 else ""
            raise DatasetError(f"{what} has {which} ({columns}{more}): name the one that is (label)")
        self.label = named[0]
        name = self.names[self.label]
        notes.add(
            f"labels from the column {name!r}",
            f"label={name!r}: chosen by {why}" if why == "its name" else f"label={name!r}: {why}",
        )

    def _place_of(self, name: str, option: str, what: str) -> int:
        """The place of the column that an option names."""
        places = [place for place, known in enumerate(self.names) if known == name.strip()]
        if not places:
            places = [place for place, known in enumerate(self.names) if known.casefold() == name.strip().casefold()]
        if len(places) == 1:
            return places[0]
        if places:
            raise DatasetError(f"{what} has {len(places)} columns called {name!r}: rename one of them")
        close = difflib.get_close_matches(name, self.names, n=1)
        names = ", ".join(map(repr, self.names[:6])) + (", ..." if len(self.names) > 6 else "")
        suggestion = f" (did you mean {close[0]!r}?)" if close else ""
        raise DatasetError(f"{what} has no column {name!r} for {option}{suggestion}: its columns are {names}")

    def _check_names(self, what: str) -> None:
        kept = [name for place, name in enumerate(self.names) if place not in self.dropped]
        double = next((name for name in kept if kept.count(name) > 1), None) if len(set(kept)) < len(kept) else None
        if double is not None:
            raise DatasetError(f"{what} has several columns called {double!r}: rename them")
        if not self.features:
            raise DatasetError(f"{what} has a single column besides row names: it needs features and a label")


def is_increasing(cells: Sequence[str]) -> bool:
    """Whether these are whole numbers, each larger than the one before."""
    if not cells or not all(_WHOLE.fullmatch(cell) for cell in cells):
        return False
    return all(first < second for first, second in itertools.pairwise(map(int, cells)))


def is_consecutive(cells: Sequence[str]) -> bool:
    """Whether increasing whole numbers have no gaps."""
    return int(cells[-1]) - int(cells[0]) == len(cells) - 1


def _records(text: str, delimiter: str, what: str) -> Records:
    """The first lines of a table as cells, without empty lines."""
    is_whole = len(text) < HEAD_CHARACTERS
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter != " ", strict=False
    )
    records: Records = []
    try:
        for record in reader:
            if any(map(str.strip, record)) or len(record) > 1:
                records.append(record)
            if len(records) > HEAD_LINES:
                return records
    except csv.Error as error:
        raise DatasetError(f"{what} cannot be read as a table ({one_line(error)}): save it as UTF-8 text") from error
    return records if is_whole or len(records) < 2 else records[:-1]


def _width(records: Records) -> int:
    """The number of cells of most lines below the first."""
    widths = [len(record) for record in records[1:] or records]
    return max(set(widths), key=widths.count) if widths else 0


def _is_table(records: Records) -> bool:
    """Whether all lines have the same number of cells, at least two; the first may differ by one."""
    widths = {len(record) for record in records[1:] or records}
    if len(widths) != 1:
        return False
    (width,) = widths
    first = len(records[0])
    return min(first, width) > 1 and abs(first - width) <= 1


def _share_of_width(records: Records) -> float:
    """How many of the lines have the most common number of cells; 0 if that is one."""
    width = _width(records)
    return 0.0 if width < 2 else sum(len(record) == width for record in records) / len(records)


def _makes_sense(records: Records) -> bool:
    """Whether at most one column holds anything but numbers, with either decimal mark, or the first line only words."""
    body = records[1:] or records
    others = [column for column in zip(*body, strict=False) if not all(map(_is_any_number, column))]
    return len(others) <= 1 or not any(map(_is_any_number, records[0]))


def _is_any_number(cell: str) -> bool:
    cell = cell.strip()
    return bool(_NUMBER.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell))
