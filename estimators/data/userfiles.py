"""The user's own data in `.npz` and `.csv` files.

Nothing in a file is executed, and no more is read than the limits of `arrays` and `tables` allow. Working on what was
read takes several times as much memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import arrays, tables
from .samples import prepare
from .scaling import DatasetError

if TYPE_CHECKING:
    from sklearn.utils import Bunch


def load_file(path: Path, names: Sequence[str]) -> Bunch:
    """Load a `.npz` or `.csv` file; see `prunelab.estimators.datasets.load_dataset`."""
    if path.is_dir():
        raise DatasetError(f"{path} is a folder: give the path of a .npz or .csv file in it")
    if not path.exists():
        *names, last = names
        raise DatasetError(
            f"there is no file {path}: check the path, or use one of the names {', '.join(names)} and {last}"
        )
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise DatasetError(f"{path} is neither a .npz nor a .csv file: save the data as one of the two")
    limit = arrays.MAX_NPZ_BYTES if suffix == ".npz" else tables.MAX_CSV_BYTES
    if path.stat().st_size > limit:
        raise DatasetError(f"{path} is too large ({limit} bytes at most): save fewer samples, or as .npz")
    if suffix == ".npz":
        return prepare(arrays.read_npz(path), [], None, path)
    return prepare(*tables.read_csv(path), path)
