"""Arrays in `.npz` files."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from .samples import Part
from .scaling import DatasetError, one_line

MAX_NPZ_BYTES = 4 * 2**30
"""The arrays of an `.npz` file may take this much memory together, and no more is read."""

_NPZ_KEYS = (
    ("X_train", "y_train", "X_test", "y_test"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X", "y"),
    ("x", "y"),
)


def read_npz(path: Path) -> list[Part]:
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
