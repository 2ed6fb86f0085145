"""Tables of results as CSV and JSON, in the same format for all commands and exports."""

from __future__ import annotations

import csv
import io
import math
import numbers
from typing import IO, TYPE_CHECKING, Any

from ..estimators.files import json_text as _json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Spreadsheets interpret text that begins with one of these as a formula, and may execute it.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 (including full-width forms)


def json_text(value: Any) -> str:
    """Serialise to JSON: NaN is null, infinities are "inf" and "-inf"."""
    return _json_text(value, indent=2) + "\n"


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows as CSV with a header; by default, the columns are those of all rows."""
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    stream = CsvStream(text, columns)
    stream.write_header()
    for row in rows:
        stream.write(row)
    return text.getvalue()


class CsvStream:
    """Writes rows as CSV, each as soon as it is known; the header before the first one.

    Parameters
    ----------
    stream : text stream
    columns : sequence of str, optional
        By default, those of the first row.
    """

    def __init__(self, stream: IO[str], columns: Sequence[str] | None = None):
        self._stream = stream
        self._writer = csv.writer(stream, lineterminator="\n")
        self._columns = columns
        self._has_header = False

    def write_header(self) -> None:
        """Write the names of the columns."""
        self._writer.writerow([csv_cell(name) for name in self._columns or ()])
        self._has_header = True

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row; a cell without a value is empty."""
        if self._columns is None:
            self._columns = list(row)
        if not self._has_header:
            self.write_header()
        self._writer.writerow([csv_cell(row.get(name)) for name in self._columns])
        self._stream.flush()


def csv_cell(value: Any) -> Any:
    """Convert a value for CSV.

    Missing values and NaN become empty cells. Text that a spreadsheet would execute as a formula gets an apostrophe in
    front, which makes it text; numbers are unchanged.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, numbers.Number):
        return value
    text = value if isinstance(value, str) else _json_text(value)
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # csv does not quote a single \r, which would end the row
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
