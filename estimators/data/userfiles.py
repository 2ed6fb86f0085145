"""The user's own data in `.npz` and `.csv` files.

Nothing in a file is executed, and no more is read than the limits of `source` and `arrays` allow. Working on what was
read takes several times as much memory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .arrays import read_npz
from .errors import DatasetError
from .notes import Notes
from .samples import prepare
from .source import FILE_SUFFIXES
from .tables import read_table, read_test_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.utils import Bunch

    from .source import DataSource


def load_file(source: DataSource, names: Sequence[str]) -> Bunch:
    """Load a `.npz` or `.csv` file; see `prunelab.estimators.data.datasets.load_dataset`."""
    path, options, notes = Path(os.path.expanduser(source.dataset)), source.options, Notes()
    _check_path(path, names)
    test_path = Path(os.path.expanduser(options.test)) if isinstance(options.test, str) else None
    if test_path is not None:
        _check_path(test_path, names)
        if test_path.suffix.lower() != path.suffix.lower():
            raise DatasetError(f"{path} and the test file {test_path} are of different kinds: save both as one")
    if path.suffix.lower() == ".csv":
        table = read_table(path, options, notes)
        tables = [table] if test_path is None else [table, read_test_table(test_path, options, table, notes)]
        parts, contents = [table.part for table in tables], [table.content for table in tables]
        feature_names = table.feature_names
    else:
        unused = [name for name in options.for_files if name != "test"]
        if unused:
            raise DatasetError(f"{unused[0]} is for .csv files, and {path} is an .npz file: leave it out")
        parts, content = read_npz(path, notes)
        contents, feature_names = [content], None
        if options.test is not None and len(parts) > 1:
            raise DatasetError(f"{path} has a test part of its own, {parts[1].X_name}: leave test out")
        if test_path is not None:
            more, content = read_npz(test_path, notes, is_test=True)
            parts, contents = [*parts, *more], [*contents, content]
    if test_path is not None:
        notes.add(f"test samples from {test_path}")
    return prepare(parts, source, notes, "+".join(contents), feature_names)


def _check_path(path: Path, names: Sequence[str]) -> None:
    if path.is_dir():
        raise DatasetError(f"{path} is a folder: give the path of a .npz or .csv file in it")
    if not os.path.lexists(path):
        *names, last = names
        raise DatasetError(
            f"there is no file {path}: check the path, or use one of the names {', '.join(names)} and {last}"
        )
    if path.suffix.lower() not in FILE_SUFFIXES:
        raise DatasetError(f"{path} is neither a .npz nor a .csv file: save the data as one of the two")
