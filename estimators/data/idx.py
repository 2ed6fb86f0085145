"""The named data sets in idx files: reading, verifying and downloading them.

The files are verified by SHA-256 before anything in them is believed, because torchvision takes a file that
is merely there for a good one.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .downloads import Place, download
from .errors import DatasetError, one_line

if TYPE_CHECKING:
    from sklearn.utils import Bunch

State = Literal["ready", "not downloaded", "damaged"]


@dataclass(frozen=True)
class IdxDataset:
    """A data set of four idx files, in the layout and under the names that torchvision uses.

    `sha256` is that of the training images, training labels, test images and test labels: of the unpacked
    files, or of the `.gz` archives where `verified` is "archive".
    """

    name: str
    folder: str
    description: str
    download_mb: int
    class_names: tuple[str, ...]
    sha256: tuple[str, str, str, str]
    verified: Literal["unpacked", "archive"] = "unpacked"
    n_train: int = 60_000
    n_test: int = 10_000
    image_shape: tuple[int, int] = (28, 28)


class IdxFile(NamedTuple):
    """One idx file: its name and its size in bytes when it is unpacked, and the SHA-256 that is known."""

    name: str
    size: int
    sha256: str


def idx_files(dataset: IdxDataset) -> list[IdxFile]:
    """List the four files of a data set: training images and labels, test images and labels."""
    shapes = {
        "train-images-idx3-ubyte": (dataset.n_train, *dataset.image_shape),
        "train-labels-idx1-ubyte": (dataset.n_train,),
        "t10k-images-idx3-ubyte": (dataset.n_test, *dataset.image_shape),
        "t10k-labels-idx1-ubyte": (dataset.n_test,),
    }
    return [
        IdxFile(name, 4 + 4 * len(shape) + math.prod(shape), sha256)
        for (name, shape), sha256 in zip(shapes.items(), dataset.sha256, strict=True)
    ]


def idx_folder(dataset: IdxDataset, root: Path) -> Path:
    """Return the folder under `root` that holds the files of a data set."""
    return root / dataset.folder / "raw"


def idx_state(dataset: IdxDataset, folder: Path) -> tuple[State, str]:
    """Judge the files in `folder` by existence and size alone; return the state and what it rests on."""
    files = idx_files(dataset)
    try:
        paths = [_find(dataset, file, folder) for file in files]
        missing = [path for path in paths if not path.exists()]
        if len(missing) == len(paths):
            if any((folder / file.name).exists() for file in files):
                return "not downloaded", "only unpacked files are there, and those cannot be verified"
            return "not downloaded", "no files there"
        if missing:
            return "damaged", f"{missing[0].name} is missing"
        for file, path in zip(files, paths, strict=True):
            if _unpacked_size(path) != file.size:
                return "damaged", f"{path.name} has the wrong size"
    except OSError as error:
        return "damaged", f"the files cannot be read ({error.strerror or error})"
    return "ready", "all files are there with the right sizes; the content is verified when it is loaded"


def load_idx(
    dataset: IdxDataset,
    root: Path,
    scaling: str,
    download: bool,
    progress: Callable[[str], object] | None,
    on_bytes: Callable[[int], object] | None,
) -> Bunch:
    """Load a data set from under `root`, downloading it if need be and allowed."""
    from sklearn.utils import Bunch

    from .preprocessing import Preprocessing

    folder = idx_folder(dataset, root)
    origin = ""
    try:
        arrays = [_read(dataset, file, folder) for file in idx_files(dataset)]
    except (DatasetError, OSError):
        if not download:
            raise
        arrays = _download(dataset, root, progress, on_bytes)
        origin = ", downloaded just now"
    X_train, y_train, X_test, y_test = arrays
    preprocessing = Preprocessing(scaling).fit(X_train)
    preprocessing.class_names_ = list(dataset.class_names)
    return Bunch(
        X_train=preprocessing.scale(X_train.reshape(len(X_train), -1)),
        y_train=y_train.astype(np.int64),
        X_test=preprocessing.scale(X_test.reshape(len(X_test), -1)),
        y_test=y_test.astype(np.int64),
        image_shape=dataset.image_shape,
        class_names=list(dataset.class_names),
        name=dataset.name,
        source=f"{dataset.folder}'s idx files under {folder}, SHA-256 verified{origin}",
        assumptions=[],
        content=None,
        preprocessing=preprocessing,
    )


# Reading and verifying ----------------------------------------------------------------------------------


def _find(dataset: IdxDataset, file: IdxFile, folder: Path) -> Path:
    """Return the file that would be read, unpacked or `.gz`; if there is none, the one to get.

    Where only the archives can be verified, unpacked files do not count.
    """
    suffixes = [".gz"] if dataset.verified == "archive" else ["", ".gz"]
    paths = [folder / (file.name + suffix) for suffix in suffixes]
    return next((path for path in paths if path.exists()), paths[0])


def _unpacked_size(path: Path) -> int:
    """Return the size in bytes of a file or, from its last four bytes, of what a `.gz` archive holds."""
    if path.suffix != ".gz":
        return path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little")


def _read(dataset: IdxDataset, file: IdxFile, folder: Path) -> NDArray[np.uint8]:
    """Read one file, no further than the size that is expected, verify it and return the array in it."""
    path = _find(dataset, file, folder)
    if not path.exists():
        raise DatasetError(_missing(dataset, path))

    def damaged(what: str) -> DatasetError:
        return DatasetError(f"{path} {what}: remove it and download it again {_how(dataset)}")

    def verify(sha256: str) -> None:
        if sha256 != file.sha256:
            raise damaged("is damaged or mislabelled (its SHA-256 is not that of the genuine file)")

    if not path.is_file():
        raise damaged("is not a file")
    with path.open("rb") as stream:
        if dataset.verified == "archive":
            verify(hashlib.file_digest(stream, "sha256").hexdigest())
            stream.seek(0)
        try:
            unpacked = gzip.GzipFile(fileobj=stream) if path.suffix == ".gz" else stream
            content = unpacked.read(file.size + 1)
        except EOFError:
            raise damaged("is truncated") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise damaged(f"is not a sound .gz archive ({one_line(error)})") from error
    if len(content) < file.size:
        raise damaged(f"is truncated ({len(content)} bytes instead of {file.size})")
    if len(content) > file.size:
        raise damaged(f"is oversized (more than the {file.size} bytes expected)")
    if dataset.verified == "unpacked":
        verify(hashlib.sha256(content).hexdigest())
    return parse_idx(content, path)


def parse_idx(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes, of one to three dimensions, in the content of an idx file.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, the dimensions as
    big-endian 32-bit integers, and the values in C order.
    """
    n_dimensions = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * n_dimensions
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if not 1 <= n_dimensions <= 3 or 0 in shape or len(content) != start + math.prod(shape):
        raise DatasetError(f"{path} is not a sound idx file of bytes: replace it")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# Downloading --------------------------------------------------------------------------------------------


def _download(
    dataset: IdxDataset,
    root: Path,
    progress: Callable[[str], object] | None,
    on_bytes: Callable[[int], object] | None,
) -> list[NDArray[np.uint8]]:
    """Let torchvision download a data set, verify it, put it into its place, and return its arrays."""
    place = Place(dataset.folder, dataset.download_mb, root, idx_folder(dataset, Path()))
    return download(
        place,
        lambda temporary: _run_torchvision(dataset.folder, temporary),
        lambda arrived: [_read(dataset, file, arrived) for file in idx_files(dataset)],
        _otherwise(dataset, idx_folder(dataset, root)),
        progress,
        on_bytes,
    )


def _run_torchvision(class_name: str, root: Path) -> None:
    """Download with torchvision. Its progress bar goes to standard error, and nothing to standard output."""
    from ..backend import import_torchvision

    with contextlib.redirect_stdout(sys.stderr):
        getattr(import_torchvision().datasets, class_name)(root, train=True, download=True)


# Messages -----------------------------------------------------------------------------------------------


def _how(dataset: IdxDataset) -> str:
    return f"(prunelab data {dataset.name} --download, or download=True in Python)"


def _missing(dataset: IdxDataset, path: Path) -> str:
    """Say that a file is missing and how to get it."""
    if dataset.verified == "archive" and path.with_suffix("").exists():
        return (
            f"{path.with_suffix('')} cannot be verified, because only the SHA-256 of {path.name} is known: "
            f"put the four .gz files of {dataset.folder} beside it, or download them {_how(dataset)}"
        )
    return (
        f"{dataset.folder} is not complete on this machine, {path} is missing: download it {_how(dataset)}, "
        f"{_otherwise(dataset, path.parent)}"
    )


def _otherwise(dataset: IdxDataset, folder: Path) -> str:
    """Say what can be done without a download."""
    files = ".gz files" if dataset.verified == "archive" else "idx files, unpacked or .gz,"
    return (
        f"put its four {files} into {folder}, set PRUNELAB_DATA to a folder that holds {dataset.folder}/raw, "
        "or use 'digits', which needs no download"
    )
