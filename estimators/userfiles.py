"""The user's own data in `.npz` and `.csv` files: reading, checking, splitting and scaling them.

Nothing in a file is executed, and no more is read than the limits below allow. Working on what was read takes
several times as much memory.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .samples import DatasetError, one_line, scale_pixels, stratified_split

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Bunch

MAX_NPZ_BYTES = 4 * 2**30
"""The arrays of an `.npz` file may take this much memory together, and no more is read."""

MAX_CSV_BYTES = 2**30
"""A `.csv` file may have this size."""

TEST_FRACTION = 0.2
"""The part of a user's data that is set aside for testing when the file itself has no test part."""

MIN_PIXELS = 16
"""Columns of whole numbers from 0 to 255 are taken for the pixels of an image from this many on."""

LABEL_COLUMNS = ("label", "target", "class", "y")
"""What the label column of a `.csv` file may be called, by preference; else the last column is it."""

_NPZ_KEYS = (
    ("X_train", "y_train", "X_test", "y_test"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X", "y"),
    ("x", "y"),
)

Array = NDArray[Any]
Part = tuple[str, Array, str, Array]
"""X and y as they are in the file, each after what to call it in messages."""


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
    limit = MAX_NPZ_BYTES if suffix == ".npz" else MAX_CSV_BYTES
    if path.stat().st_size > limit:
        raise DatasetError(f"{path} is too large ({limit} bytes at most): save fewer samples, or as .npz")
    if suffix == ".npz":
        return _prepare(_read_npz(path), [], None, path)
    return _prepare(*_read_csv(path), path)


# Checking, splitting and scaling ------------------------------------------------------------------------


def _prepare(parts: list[Part], notes: list[str], feature_names: list[str] | None, path: Path) -> Bunch:
    """Check, split and scale the data of a file: one part, or the training and the test data."""
    from sklearn.utils import Bunch

    pairs = [_check_part(*part, path) for part in parts]
    classes = np.unique(pairs[0][1])
    if len(classes) < 2:
        raise DatasetError(f"{path} has no class but {str(classes[0])!r}: a classifier needs two of them")
    if len(pairs) == 1:
        pairs = _split(*pairs[0], path)
        notes = [*notes, f"split {1 - TEST_FRACTION:.0%} to {TEST_FRACTION:.0%} (stratified, seed 0)"]
    (X_train, y_train), (X_test, y_test) = pairs
    _check_parts_agree(X_train, y_train, X_test, y_test, path)

    sample_shape = X_train.shape[1:]
    X_train, X_test = X_train.reshape(len(X_train), -1), X_test.reshape(len(X_test), -1)
    pixels = _are_pixels(X_train, X_test)
    mean = scale = None
    if pixels:
        X_train, X_test = scale_pixels(X_train), scale_pixels(X_test)
    else:
        X_train, X_test, mean, scale = _standardise(X_train, X_test, path)
    scaling = "pixels scaled from 0..255 to [-1, 1]" if pixels else "features standardised on the training part"
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        image_shape=_image_shape(sample_shape, pixels),
        feature_names=feature_names,
        feature_mean=mean,
        feature_scale=scale,
        class_names=[str(label) for label in classes],
        name=path.name,
        source=f"the file {path}, {', '.join([*notes, scaling])}",
    )


def _check_part(X_name: str, X: Array, y_name: str, y: Array, path: Path) -> tuple[Array, Array]:
    """Refuse what is empty, not numeric or not finite; return X and clean labels, equally many."""
    what = f"{X_name} in {path}"
    if X.dtype.kind not in "biuf":
        raise DatasetError(f"{what} holds {X.dtype} values: the features must be numbers")
    if X.ndim < 2:
        raise DatasetError(f"{what} has {X.ndim} dimension(s): it needs a row a sample and a column a feature")
    if X.size == 0:
        raise DatasetError(f"{what} is empty (shape {X.shape}): there must be samples and features")
    n_bad = X.size - np.count_nonzero(np.isfinite(X))
    if n_bad:
        raise DatasetError(f"{what} has {n_bad} missing (NaN) or infinite values: fill them in or drop them")
    y = _clean_labels(y, f"{y_name} in {path}")
    if len(X) != len(y):
        counts = f"{len(X)} samples in {X_name} but {len(y)} labels in {y_name}"
        raise DatasetError(f"{path} has {counts}: there must be one label a sample")
    return X, y


def _clean_labels(y: Array, what: str) -> Array:
    """Return labels of shape (n_samples,) as int64 or strings."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DatasetError(f"{what} has the shape {y.shape}: give one label a sample, not one-hot rows")
    if len(y) == 0:
        raise DatasetError(f"{what} is empty: there must be at least one sample of each class")
    if y.dtype.kind in "bU":
        return y.astype(np.str_)
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DatasetError(f"{what} holds bytes that are not UTF-8 text: save the labels as str") from None
    if y.dtype.kind not in "iuf":
        raise DatasetError(f"{what} holds {y.dtype} values: the labels must be whole numbers or strings")
    n_bad = len(y) - np.count_nonzero(np.isfinite(y))
    if n_bad:
        raise DatasetError(f"{what} has {n_bad} missing or infinite labels: leave these samples out")
    with np.errstate(invalid="ignore"):
        whole = y.astype(np.int64)
    rounded = y.dtype.kind == "f" and np.abs(whole).max() >= 2**53
    if rounded or not np.array_equal(whole, y):
        raise DatasetError(f"{what} holds fractions or huge numbers: labels are classes, not measurements")
    return whole


def _split(X: Array, y: Array, path: Path) -> list[tuple[Array, Array]]:
    """Split one part into training and test data, always in the same way."""
    classes, counts = np.unique(y, return_counts=True)
    n_test = math.ceil(TEST_FRACTION * len(y))
    rarest = np.argmin(counts)
    if counts[rarest] < 2:
        raise DatasetError(
            f"{path} has the class {str(classes[rarest])!r} only once: splitting off test data needs two samples of "
            "every class, so add some, leave it out, or check which labels were meant"
        )
    if n_test < len(classes):
        raise DatasetError(
            f"{path} has too few samples ({len(y)}) for its {len(classes)} classes: the test part would be "
            f"{n_test} of them and must have one for every class"
        )
    return [(X[part], y[part]) for part in stratified_split(y, n_test)]


def _check_parts_agree(X_train: Array, y_train: Array, X_test: Array, y_test: Array, path: Path) -> None:
    """Refuse training and test data that do not belong together."""
    if X_train.shape[1:] != X_test.shape[1:]:
        raise DatasetError(
            f"{path} has training samples of shape {X_train.shape[1:]} and test samples of shape "
            f"{X_test.shape[1:]}: they must be alike"
        )
    if (X_train.dtype == np.uint8) != (X_test.dtype == np.uint8):
        types = f"{X_train.dtype} training and {X_test.dtype} test samples"
        raise DatasetError(f"{path} has {types}: save both as one type")
    if y_train.dtype.kind != y_test.dtype.kind:
        raise DatasetError(f"{path} mixes strings and numbers as labels: use one kind for both parts")
    unknown = np.setdiff1d(y_test, y_train)
    if len(unknown):
        raise DatasetError(f"{path} has the test label {str(unknown[0])!r}, which never occurs in training")


def _are_pixels(*arrays: Array) -> bool:
    """Tell pixels from other numbers; each array has shape (n_samples, n_features).

    Pixels are bytes, or other whole numbers from 0 to 255 in enough columns; not mere zeros and ones.
    """
    if any(X.dtype.kind not in "iu" for X in arrays) or max(X.max() for X in arrays) <= 1:
        return False
    if arrays[0].dtype == np.uint8:
        return True
    return arrays[0].shape[1] >= MIN_PIXELS and all(X.min() >= 0 and X.max() <= 255 for X in arrays)


def _image_shape(sample_shape: tuple[int, ...], pixels: bool) -> tuple[int, ...] | None:
    """Return the shape of one image: as it was saved, else a square if the pixels fill one, else None."""
    if len(sample_shape) > 1:
        return sample_shape
    n_features = math.prod(sample_shape)
    side = math.isqrt(n_features)
    return (side, side) if pixels and side * side == n_features >= MIN_PIXELS else None


def _standardise(X_train: Array, X_test: Array, path: Path) -> list[Array]:
    """Give every feature mean 0 and variance 1 on the training data; constant features become 0.

    Returns the two parts, and the means and the standard deviations that were there.
    """
    with np.errstate(all="ignore"):
        mean = X_train.mean(axis=0, dtype=np.float64)
        scale = X_train.std(axis=0, dtype=np.float64)
        # The standard deviation of a constant feature is not exactly 0, because its mean is rounded.
        constant = X_train.min(axis=0) == X_train.max(axis=0)
        scaled = []
        for X in (X_train, X_test):
            X = (X - mean) / np.where(constant, 1.0, scale)
            X[:, constant] = 0
            scaled.append(X.astype(np.float32, order="C"))
    if not all(np.isfinite(X).all() for X in scaled):
        raise DatasetError(f"{path} has numbers too large or too close together to standardise: rescale them")
    return [*scaled, mean, scale]


# .npz ---------------------------------------------------------------------------------------------------


def _read_npz(path: Path) -> list[Part]:
    """Read the arrays of a `.npz` file once their headers have been found harmless."""
    try:
        with zipfile.ZipFile(path) as archive:
            keys = _choose_keys(archive, path)
            _check_headers(archive, keys, path)
            arrays = []
            for key in keys:
                with archive.open(f"{key}.npy") as stream:
                    arrays.append(np.lib.format.read_array(stream, allow_pickle=False))
    except (DatasetError, PermissionError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes zipfile and numpy raise nearly anything
        raise DatasetError(
            f"{path} is not a sound .npz file ({one_line(error)}): save it again with numpy.savez"
        ) from error
    return [(keys[i], arrays[i], keys[i + 1], arrays[i + 1]) for i in range(0, len(keys), 2)]


def _choose_keys(archive: zipfile.ZipFile, path: Path) -> tuple[str, ...]:
    """Return the names of the arrays to use: pairs of X and y."""
    names = {member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")}
    for keys in _NPZ_KEYS:
        if names.issuperset(keys):
            return keys
    more = ", ..." if len(names) > 5 else ""
    found = f"the arrays {', '.join(map(repr, sorted(names)[:5]))}{more}" if names else "no arrays"
    raise DatasetError(f"{path} holds {found}: it needs X and y, or X_train, y_train, X_test and y_test")


def _check_headers(archive: zipfile.ZipFile, keys: tuple[str, ...], path: Path) -> None:
    """Refuse Python objects and arrays too large for memory, before anything is allocated for them."""
    total = 0
    for key in keys:
        member = archive.getinfo(f"{key}.npy")
        with archive.open(member) as stream:
            np.lib.format.read_magic(stream)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            start = stream.tell()
        if dtype.hasobject:
            raise DatasetError(
                f"{key} in {path} holds Python objects, which only the unsafe pickle can load: save plain "
                f"numbers or strings, for example {key}.astype(float) or {key}.astype(str)"
            )
        n_bytes = math.prod(shape) * max(dtype.itemsize, 1)
        total += n_bytes
        if total > MAX_NPZ_BYTES:
            raise DatasetError(
                f"{path} unpacks to more than the limit of {MAX_NPZ_BYTES} bytes: save fewer samples or a smaller type"
            )
        if start + n_bytes != member.file_size:
            raise DatasetError(
                f"{key} in {path} is truncated or damaged, its header does not match its size: save it again"
            )


# .csv ---------------------------------------------------------------------------------------------------


def _read_csv(path: Path) -> tuple[list[Part], list[str], list[str]]:
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
