"""Tables in `.csv` files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .samples import Array, Part
from .scaling import DatasetError, one_line

if TYPE_CHECKING:
    import pandas as pd

MAX_CSV_BYTES = 2**30
"""A `.csv` file may have this size."""

LABEL_COLUMNS = ("label", "target", "class", "y")
"""What the label column of a `.csv` file may be called, by preference; else the last column is it."""


def read_csv(path: Path) -> tuple[list[Part], list[str], list[str]]:
    """Read a `.csv` file with a header line into features and labels, notes, and the names of the features."""
    import pandas as pd

    try:
        with path.open("rb") as stream:
            frame = pd.read_csv(stream, low_memory=False, skipinitialspace=True)
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are all kinds of it
        raise DatasetError(
            f"{path} cannot be read as comma-separated values ({one_line(error)}): save it as UTF-8 with a header line"
        ) from error
    notes = []
    if frame.columns[0] == "Unnamed: 0" and np.array_equal(frame.iloc[:, 0], np.arange(len(frame))):
        frame = frame.iloc[:, 1:]  # the index that pandas' `to_csv` puts in front
        notes = ["its first column (row numbers) left out"]
    _check_header(frame, path)
    by_name = {str(name).strip().casefold(): name for name in reversed(frame.columns)}
    label = next((by_name[name] for name in LABEL_COLUMNS if name in by_name), frame.columns[-1])
    table = frame.drop(columns=[label])
    X, y = _csv_features(table, path), _csv_labels(frame[label], path)
    part = ("the feature table", X, f"the label column {label!r}", y)
    return [part], [f"labels from the column {label!r}", *notes], list(map(str, table.columns))


def _check_header(frame: pd.DataFrame, path: Path) -> None:
    """Refuse tables without samples, without features, or without a proper header line."""
    import pandas as pd

    if len(frame) and not isinstance(frame.index, pd.RangeIndex):  # pandas took the first cells for names
        raise DatasetError(f"{path} has more cells in a line than names in its header line: make them agree")
    names = list(frame.columns)
    if len(names) < 2:
        raise DatasetError(f"{path} has a single column: it needs features and a label, separated by commas")
    are_numbers = pd.to_numeric(frame.columns.to_series(), errors="coerce").notna().all()
    if are_numbers and names != [str(i) for i in range(len(names))]:
        raise DatasetError(f"{path} has no header line, only numbers: name the columns, that of the labels 'label'")
    if len(frame) == 0:
        raise DatasetError(f"{path} has a header line but no samples below it: add some")


def _csv_features(frame: pd.DataFrame, path: Path) -> Array:
    """Return the features, shape (n_samples, n_features): integers if all columns are, else floats."""
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        _refuse_missing(column, f"the column {name!r} of {path}")
        if not pd.api.types.is_numeric_dtype(column):
            bad = column[pd.to_numeric(column, errors="coerce").isna()]
            example = f" (for example {str(bad.iloc[0])[:30]!r})" if len(bad) else ""
            raise DatasetError(
                f"the column {name!r} of {path} is not numeric{example}: encode it as numbers or remove it"
            )
    integers = all(pd.api.types.is_integer_dtype(dtype) for dtype in frame.dtypes)
    return frame.to_numpy() if integers else frame.to_numpy(dtype=np.float64)


def _csv_labels(column: pd.Series[Any], path: Path) -> Array:
    """Return the labels, shape (n_samples,): numbers if all are, else strings."""
    import pandas as pd

    _refuse_missing(column, f"the label column {column.name!r} of {path}")
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=np.str_)


def _refuse_missing(column: pd.Series[Any], what: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise DatasetError(
            f"{what} has {np.count_nonzero(missing)} empty or NA cells, the first in sample "
            f"{np.argmax(missing) + 1}: fill them in or leave the samples out"
        )
