"""Arrays in `.npz` files."""

from __future__ import annotations

import math
import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from .errors import DatasetError, one_line
from .samples import Part
from .source import hash_stream, open_file

if TYPE_CHECKING:
    from pathlib import Path

    from .notes import Notes

MAX_NPZ_BYTES = 4 * 2**30
"""The arrays of an `.npz` file may take this much memory together, and no more is read."""

_PAIRS = (("X", "y"), ("x", "y"), ("images", "labels"), ("data", "labels"), ("data", "target"))

Keys = tuple[str, str]


def _named(form: str) -> list[Keys]:
    return [(form.format(X), form.format(y)) for X, y in _PAIRS]


#: Names of X and y as Keras, MedMNIST and others call them: of the training part, of the test part, and without parts.
_TRAIN = [*_named("{}_train"), *_named("train_{}")]
_TEST = [*_named("{}_test"), *_named("test_{}")]
_WHOLE = _named("{}")


def read_npz(path: Path, notes: Notes, *, is_test: bool = False) -> tuple[list[Part], str]:
    """Read the arrays of a `.npz` file once their headers have been found harmless.

    Parameters
    ----------
    path : Path
    notes : Notes
    is_test : bool, default=False
        Whether only a test part is wanted.

    Returns
    -------
    list of Part
        One part, or the training and the test part.
    str
        The SHA-256 of the file.
    """
    with os.fdopen(open_file(path), "rb") as stream:
        content = hash_stream(stream, path)
        try:
            with zipfile.ZipFile(stream) as archive:
                pairs = _choose_keys(archive, path, notes, is_test)
                keys = [key for pair in pairs for key in pair]
                _check_headers(archive, keys, path)
                arrays = {}
                for key in keys:
                    with archive.open(f"{key}.npy") as member:
                        arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
        except (DatasetError, PermissionError, MemoryError):
            raise
        except Exception as error:  # a damaged file makes zipfile and numpy raise nearly anything
            raise DatasetError(
                f"{path} is not a sound .npz file ({one_line(error)}): save it again with numpy.savez"
            ) from error
    return [Part(arrays[X], arrays[y], X, y, path) for X, y in pairs], content


def _choose_keys(archive: zipfile.ZipFile, path: Path, notes: Notes, is_test: bool) -> list[Keys]:
    """Return the names of the arrays to use: pairs of X and y."""
    names = {member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")}
    if is_test:
        found = [[keys] for keys in (*_TEST, *_WHOLE) if names.issuperset(keys)]
    else:
        both = [list(pair) for pair in zip(_TRAIN, _TEST, strict=True)]
        found = [keys for keys in (*both, *([keys] for keys in (*_WHOLE, *_TRAIN))) if names.issuperset(sum(keys, ()))]
    if not found:
        more = ", ..." if len(names) > 5 else ""
        arrays = f"the arrays {', '.join(map(repr, sorted(names)[:5]))}{more}" if names else "no arrays"
        wanted = "X and y, or X_test and y_test" if is_test else "X and y, or X_train, y_train, X_test and y_test"
        raise DatasetError(f"{path} holds {arrays}: it needs {wanted}")
    unused = sorted(names.difference(*found[0]))
    if unused:
        words = f"the array{'s' if len(unused) > 1 else ''} {', '.join(map(repr, unused[:5]))} of {path.name} left out"
        notes.add(words, f"{words}; the samples are {' and '.join(' with '.join(keys) for keys in found[0])}")
    return found[0]


def _check_headers(archive: zipfile.ZipFile, keys: list[str], path: Path) -> None:
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
