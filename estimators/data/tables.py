"""Tables in `.csv` files."""

from __future__ import annotations

import codecs
import hashlib
import io
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import FileError, read_file
from .errors import DatasetError, one_line
from .layout import HEAD_CHARACTERS, MISSING, Layout, is_increasing
from .notes import Notes
from .samples import Array, Part
from .source import MAX_FILE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from .source import DataOptions

_CANONICAL = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_WHOLE_FLOAT = re.compile(r"-?(0|[1-9]\d{0,14})\.0+", re.ASCII)
_FRACTION = re.compile(r"[+-]?(\d+[.,]\d*|[.,]\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Table:
    """A table that was read.

    Attributes
    ----------
    part : Part
        Features and labels.
    layout : Layout
    feature_names : list of str
    content : str
        The SHA-256 of the file.
    """

    part: Part
    layout: Layout
    feature_names: list[str]
    content: str


def read_table(path: Path, options: DataOptions, notes: Notes) -> Table:
    """Read a `.csv` file into features and labels."""
    raw = _read(path)
    data = _to_utf8(raw, path)
    layout = Layout()
    layout.find(_head(data, path), options, notes, str(path))
    frame = _parse(data, layout, path)
    _check_dropped(frame, layout, options, path)
    names = [layout.names[place] for place in layout.features]
    X = _features(frame, layout, path)
    label = f"the label column {layout.names[layout.label]!r}"
    y = _labels(frame[layout.label], f"{label} of {path}")
    return Table(Part(X, y, "the feature table", label, path), layout, names, hashlib.sha256(raw).hexdigest())


def read_test_table(path: Path, options: DataOptions, train: Table, notes: Notes) -> Table:
    """Read the test samples that go with a table: its columns, read in the same way, in any order."""
    layout = train.layout
    index = [place for place, why in layout.dropped.items() if why == "row names"]
    same = replace(
        options,
        label=layout.names[layout.label],
        delimiter=layout.delimiter,
        decimal=layout.decimal,
        header=layout.has_header,
        index=layout.names[index[0]] if index else False,
    )
    table = read_table(path, same, notes)
    places = {name: place for place, name in enumerate(table.feature_names)}
    missing = [name for name in train.feature_names if name not in places]
    if missing:
        raise DatasetError(f"{path} has no column {missing[0]!r}, which the training data have")
    if len(places) > len(train.feature_names):
        extra = next(name for name in table.feature_names if name not in train.feature_names)
        raise DatasetError(f"{path} has the column {extra!r}, which the training data do not have")
    X = table.part.X[:, [places[name] for name in train.feature_names]]
    return replace(table, part=table.part._replace(X=X), feature_names=train.feature_names)


@dataclass(frozen=True)
class Preview:
    """The beginning of a table, as it would be read.

    Attributes
    ----------
    names : list of str
        Of the columns; empty if the table could not be cut into cells.
    roles : list of str
        What each column is: "feature", "label", or why it is left out; "" while that is not known.
    rows : list of list of str
    assumptions : list of str
    problem : str
        Why the table is not read so, in a sentence; empty if nothing is wrong as far as its beginning shows.
    layout : Layout
    """

    names: list[str]
    roles: list[str]
    rows: list[list[str]]
    assumptions: list[str]
    problem: str
    layout: Layout


def preview_table(path: Path, options: DataOptions, n_rows: int) -> Preview:
    """Read the beginning of a table; DatasetError only if it is no text."""
    text = _head(_to_utf8(_read(path), path), path)
    notes, layout, problem = Notes(), Layout(), ""
    try:
        options.check()
        layout.find(text, options, notes, path.name)
    except DatasetError as error:
        problem = str(error)
    names = layout.names if any(layout.names) else []
    others = "" if layout.label < 0 else "feature"  # not known yet
    roles = [layout.dropped.get(place) or ("label" if place == layout.label else others) for place in range(len(names))]
    rows = [[cell.strip() for cell in record] for record in layout.records[:n_rows]]
    return Preview(names, roles, rows, notes.assumptions, problem, layout)


# Reading ------------------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES[".csv"])
    except FileNotFoundError:
        raise DatasetError(f"there is no file {path}: check the path") from None
    except FileError as error:
        raise DatasetError(f"{error}: save fewer samples, or as .npz") from None
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror or error}): check the file and that you may read it"
        ) from error


def _to_utf8(data: bytes, path: Path) -> bytes:
    """The text of a file as UTF-8 without a byte order mark."""
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16").encode()
    except UnicodeError as error:
        raise DatasetError(f"{path} is no sound UTF-16 text ({one_line(error)}): save it as UTF-8") from error
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        raise DatasetError(f"{path} holds bytes that are no text: save it as UTF-8 text with comma-separated values")
    return data


def _head(data: bytes, path: Path) -> str:
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        return decoder.decode(data[: 4 * HEAD_CHARACTERS], final=len(data) <= 4 * HEAD_CHARACTERS)[:HEAD_CHARACTERS]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text ({one_line(error)}): save it as UTF-8") from error


def _parse(data: bytes, layout: Layout, path: Path) -> pd.DataFrame:
    """The whole table, its columns called by their places: the labels as text, all others as pandas sees them."""
    import pandas as pd

    places = range(len(layout.names))
    missing: Any = {place: sorted(MISSING) for place in places if place != layout.label}
    exact: Any = None if int(pd.__version__.partition(".")[0]) >= 3 else "round_trip"  # the default since pandas 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(data),
                sep=layout.delimiter,
                decimal=layout.decimal,
                header=0 if layout.has_header else None,
                names=list(places),
                index_col=False,
                dtype={layout.label: str},
                keep_default_na=False,
                na_values=missing,
                skipinitialspace=layout.delimiter != " ",
                float_precision=exact,
                low_memory=False,
            )
    except pd.errors.ParserWarning:
        raise DatasetError(f"{path} has more cells in a line than it has columns: make them agree") from None
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are all kinds of it
        raise DatasetError(
            f"{path} cannot be read as comma-separated values ({one_line(error)}): save it as UTF-8, one line a sample"
        ) from error


def _check_dropped(frame: pd.DataFrame, layout: Layout, options: DataOptions, path: Path) -> None:
    """Refuse what the beginning of the table promised and its rest does not keep."""
    for place, why in layout.dropped.items():
        column = frame[place]
        if why == "empty" and column.notna().any():
            raise DatasetError(f"{path} has cells in its last column, which has no name: name it in the header line")
        if why == "row names" and options.index == "auto" and not is_increasing(column.astype(str).tolist()):
            raise DatasetError(
                f"{path} has a first column without a name: decide with index=True or index=False whether it holds row "
                "names and is left out"
            )


def _features(frame: pd.DataFrame, layout: Layout, path: Path) -> Array:
    """Return the features, shape (n_samples, n_features): integers if all columns are, else floats."""
    import pandas as pd

    table = frame[layout.features]
    if len(table) == 0:
        raise DatasetError(f"{path} has a header line but no samples below it: add some")
    for place in table.columns:
        column, name = table[place], layout.names[int(place)]
        _refuse_missing(column.isna().to_numpy(), f"the column {name!r} of {path}")
        if not pd.api.types.is_numeric_dtype(column):
            bad = column[pd.to_numeric(column, errors="coerce").isna()]
            example = f" (for example {str(bad.iloc[0])[:30]!r})" if len(bad) else ""
            raise DatasetError(
                f"the column {name!r} of {path} is not numeric{example}: encode it as numbers or remove it, or name "
                "another label, delimiter or decimal mark (label, delimiter, decimal)"
            )
    integers = all(pd.api.types.is_integer_dtype(dtype) for dtype in table.dtypes)
    return table.to_numpy() if integers else table.to_numpy(dtype=np.float64)


def _labels(column: pd.Series[Any], what: str) -> Array:
    """Return the labels, shape (n_samples,): whole numbers if all are written as such, else the names."""
    names = np.array([str(cell) for cell in column], dtype=np.str_)
    stripped = np.strings.strip(names)
    _refuse_missing(stripped == "", what)
    classes = np.unique(stripped)
    for pattern in (_CANONICAL, _WHOLE_FLOAT):
        if all(pattern.fullmatch(name) and name != "-0" for name in classes):
            return stripped.astype(np.float64 if pattern is _WHOLE_FLOAT else np.int64).astype(np.int64)
    if all(_FRACTION.fullmatch(name) or _CANONICAL.fullmatch(name) for name in classes) and any(
        _FRACTION.fullmatch(name) for name in classes
    ):
        raise DatasetError(
            f"{what} holds fractions (for example {str(classes[-1])!r}): labels are classes, not measurements; name "
            "another column (label)"
        )
    return names


def _refuse_missing(missing: Array, what: str) -> None:
    if missing.any():
        raise DatasetError(
            f"{what} has {np.count_nonzero(missing)} empty or NA cells, the first in sample "
            f"{np.argmax(missing) + 1}: fill them in or leave the samples out"
        )
