"""Data to prune on: `load_dataset` by name, or from a file of the user's own.

The names are the digits that ship with scikit-learn and three sets of 28x28 images that torchvision
knows how to download. Their files are verified by SHA-256 before anything in them is believed, because
torchvision takes a file that is merely there for a good one. The user's own data are `.npz` or `.csv`
files. Whatever goes wrong is a `DatasetError`: one sentence that says what is wrong and what to do.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import hashlib
import http.client
import io
import math
import os
import socket
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Bunch

__all__ = [
    "DatasetError",
    "DatasetInfo",
    "data_folder",
    "data_home",
    "dataset_names",
    "describe_datasets",
    "load_dataset",
    "one_per_class",
]

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

DOWNLOAD_TIMEOUT = 30.0
"""Seconds a download may stay silent before it counts as failed."""


class DatasetError(ValueError):
    """A data set that cannot be loaded; the message says why and what to do about it."""


# --------------------------------------------------------------------------------------------------------
# What there is
# --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _IdxDataset:
    """A data set of four idx files, in the layout and under the names that torchvision uses.

    `sha256` is in the order of `files`. It is that of the unpacked files, or that of the `.gz` archives
    where `verified` is "archive".
    """

    folder: str
    description: str
    download_mb: int
    class_names: tuple[str, ...]
    sha256: tuple[str, str, str, str]
    verified: Literal["unpacked", "archive"] = "unpacked"
    n_train: int = 60_000
    n_test: int = 10_000
    image_shape: tuple[int, int] = (28, 28)

    @property
    def files(self) -> tuple[_IdxFile, ...]:
        """The four files: training images, training labels, test images, test labels."""
        names_and_shapes = (
            ("train-images-idx3-ubyte", (self.n_train, *self.image_shape)),
            ("train-labels-idx1-ubyte", (self.n_train,)),
            ("t10k-images-idx3-ubyte", (self.n_test, *self.image_shape)),
            ("t10k-labels-idx1-ubyte", (self.n_test,)),
        )
        return tuple(
            _IdxFile(name, shape, digest)
            for (name, shape), digest in zip(names_and_shapes, self.sha256, strict=True)
        )


@dataclass(frozen=True)
class _IdxFile:
    """One idx file of bytes: its unpacked name, the shape of the array in it, and its SHA-256."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """The size of the unpacked file in bytes: the header and the array."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)


_DIGITS = tuple("0123456789")

_IDX_DATASETS = {
    "mnist": _IdxDataset(
        folder="MNIST",
        description="handwritten digits, the classic of the pruning literature",
        download_mb=11,
        class_names=_DIGITS,
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": _IdxDataset(
        folder="FashionMNIST",
        description="photographs of clothes, harder than MNIST",
        download_mb=30,
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    "kmnist": _IdxDataset(
        folder="KMNIST",
        description="cursive Japanese characters, the hardest of the three",
        download_mb=21,
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        verified="archive",
        sha256=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}


@dataclass(frozen=True)
class DatasetInfo:
    """What `describe_datasets` says about one data set.

    Attributes
    ----------
    name : str
        What to pass to `load_dataset`.
    description : str
        One line about what the images show.
    n_train, n_test : int
        How many images there are.
    image_shape : tuple of int
        Height and width of an image.
    n_classes : int
        How many classes there are.
    state : {"ready", "not downloaded", "damaged"}
        Whether `load_dataset` would find it.
    where : str
        The folder that was looked into.
    checked : str
        What the state rests on, and what is wrong if something is.
    download_mb : int
        About how many megabytes a download takes; 0 where none is needed.
    """

    name: str
    description: str
    n_train: int
    n_test: int
    image_shape: tuple[int, int]
    n_classes: int
    state: Literal["ready", "not downloaded", "damaged"]
    where: str
    checked: str
    download_mb: int


def dataset_names() -> list[str]:
    """List the names that `load_dataset` knows.

    Returns
    -------
    list of str
    """
    return ["digits", *_IDX_DATASETS]


def describe_datasets(root: str | os.PathLike[str] | None = None) -> list[DatasetInfo]:
    """Describe every named data set, and whether it is on this machine.

    This looks at the files' existence and sizes only, which is cheap; `load_dataset` verifies the content.

    Parameters
    ----------
    root : path-like, optional
        The folder that holds the data; see `data_folder`.

    Returns
    -------
    list of DatasetInfo
    """
    digits = DatasetInfo(
        name="digits",
        description="small handwritten digits, at hand without a download",
        n_train=1437,
        n_test=360,
        image_shape=(8, 8),
        n_classes=10,
        state="ready",
        where="inside scikit-learn",
        checked="nothing to check",
        download_mb=0,
    )
    return [digits, *(_describe_idx(name, data_folder(root)) for name in _IDX_DATASETS)]


def _describe_idx(name: str, root: Path) -> DatasetInfo:
    """Say whether the four files of a data set are there and have the right sizes."""
    dataset = _IDX_DATASETS[name]
    folder = root / dataset.folder / "raw"
    state, checked = _idx_state(dataset, folder)
    return DatasetInfo(
        name=name,
        description=dataset.description,
        n_train=dataset.n_train,
        n_test=dataset.n_test,
        image_shape=dataset.image_shape,
        n_classes=len(dataset.class_names),
        state=state,
        where=str(folder),
        checked=checked,
        download_mb=dataset.download_mb,
    )


def _idx_state(
    dataset: _IdxDataset, folder: Path
) -> tuple[Literal["ready", "not downloaded", "damaged"], str]:
    """Judge by existence and size alone; return the state and a sentence about it."""
    try:
        paths = [_find_idx(dataset, file, folder) for file in dataset.files]
        if not any(paths):
            if dataset.verified == "archive" and any((folder / file.name).exists() for file in dataset.files):
                return "not downloaded", "only unpacked files are there, and those cannot be verified"
            return "not downloaded", "no files there"
        for file, path in zip(dataset.files, paths, strict=True):
            if path is None:
                return "damaged", f"{_wanted(dataset, file)} is missing"
            if _unpacked_size(path) != file.size:
                return "damaged", f"{path.name} has the wrong size"
    except OSError as error:
        return "damaged", f"the files cannot be read ({error.strerror or error})"
    return "ready", "all files are there with the right sizes; the content is verified when it is loaded"


def _unpacked_size(path: Path) -> int:
    """Return the size in bytes of a file or, from its last four bytes, of what a `.gz` archive holds."""
    size = path.stat().st_size
    if path.suffix != ".gz":
        return size
    if size < 18:  # an empty archive is longer
        return -1
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little")


# --------------------------------------------------------------------------------------------------------
# Where the data are
# --------------------------------------------------------------------------------------------------------


def data_home() -> Path:
    """Return the folder where prunelab keeps its files.

    Returns
    -------
    pathlib.Path
        The environment variable `PRUNELAB_HOME`, else the platform's folder for user data.
    """
    home = os.environ.get("PRUNELAB_HOME")
    if home:
        return Path(os.path.expanduser(home))
    import platformdirs

    return Path(platformdirs.user_data_dir("prunelab"))


def data_folder(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds the named data sets, in torchvision's layout.

    Parameters
    ----------
    root : path-like, optional
        The folder, where the caller knows it.

    Returns
    -------
    pathlib.Path
        `root`, else the environment variable `PRUNELAB_DATA`, else the folder `data` in `data_home`. It
        need not exist.
    """
    chosen = root or os.environ.get("PRUNELAB_DATA")
    return Path(os.path.expanduser(chosen)) if chosen else data_home() / "data"


# --------------------------------------------------------------------------------------------------------
# Loading
# --------------------------------------------------------------------------------------------------------


def load_dataset(
    name: str | os.PathLike[str] = "digits",
    root: str | os.PathLike[str] | None = None,
    *,
    download: bool = False,
    progress: Callable[[str], object] | None = None,
) -> Bunch:
    """Load a data set, split into training and test data and normalised.

    Parameters
    ----------
    name : str or path-like, default="digits"
        One of `dataset_names()`, or the path of a `.npz` or `.csv` file.

        A `.npz` file holds the arrays `X_train`, `y_train`, `X_test` and `y_test` (or `x_train`, `x_test`),
        or `X` and `y` (or `x`), which are then split. A `.csv` file has a header line; its labels are in
        the column `label`, `target`, `class` or `y`, else in the last one, and all other columns are
        numbers.
    root : path-like, optional
        The folder that holds the named data sets; see `data_folder`.
    download : bool, default=False
        Download a named data set that is missing or damaged. Files that were damaged are replaced.
    progress : callable, optional
        Called with one sentence before a download starts.

    Returns
    -------
    sklearn.utils.Bunch
        With the attributes

        X_train, X_test : ndarray of shape (n_samples, n_features), float32
            Pixels are scaled to [-1, 1]. Other features are standardised on the training data.
        y_train, y_test : ndarray of shape (n_samples,)
            The codes 0 to 9 as int64 for the named data sets, else the labels in the file.
        image_shape : tuple of int, or None
            The shape of one sample; None where the data are not images.
        class_names : list of str
            The names of the classes, in the order of the sorted labels.
        name : str
            The name asked for; for a file, its name without the folder.
        source : str
            One sentence: where the data came from and what was done to them.

    Raises
    ------
    DatasetError
        The data are unknown, missing, damaged or not usable. The message says what to do.
    """
    if isinstance(name, str):
        if name == "digits":
            return _load_digits()
        if name in _IDX_DATASETS:
            return _load_idx_dataset(name, data_folder(root), download, progress)
        if not _looks_like_path(name):
            raise DatasetError(_unknown_name(name))
    return _load_file(Path(os.path.expanduser(name)))


def one_per_class(X: ArrayLike, y: ArrayLike) -> NDArray[np.intp]:
    """Find one sample of every class, to show what the data look like.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        The samples.
    y : array-like of shape (n_samples,)
        Their labels.

    Returns
    -------
    ndarray of shape (n_classes,), intp
        The index of the first sample of each class, in the order of the sorted labels.

    Raises
    ------
    ValueError
        `X` and `y` have different lengths.
    """
    if np.shape(X)[:1] != np.shape(y)[:1]:
        raise ValueError(f"X and y must have the same length, got shapes {np.shape(X)} and {np.shape(y)}.")
    return np.unique(np.asarray(y), return_index=True)[1]


def _looks_like_path(name: str) -> bool:
    separators = (os.sep, os.altsep) if os.altsep else (os.sep,)
    return any(separator in name for separator in separators) or Path(name).suffix.lower() in (".npz", ".csv")


def _unknown_name(name: str) -> str:
    names = dataset_names()
    close = difflib.get_close_matches(name.casefold(), names, n=1)
    suggestion = f" (did you mean {close[0]!r}?)" if close else ""
    return (
        f"There is no data set {name!r}{suggestion}: choose one of {', '.join(names)}, "
        "or give the path of a .npz or .csv file."
    )


def _bunch(**fields: Any) -> Bunch:
    from sklearn.utils import Bunch

    return Bunch(**fields)


def _load_digits() -> Bunch:
    """Load scikit-learn's digits; always the same stratified 1437 training and 360 test images."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, y = _centre(np.asarray(X) / 16), np.asarray(y, dtype=np.int64)
    train, test = _split(y, 360)
    return _bunch(
        X_train=X[train],
        y_train=y[train],
        X_test=X[test],
        y_test=y[test],
        image_shape=(8, 8),
        class_names=list(_DIGITS),
        name="digits",
        source="the digits that ship with scikit-learn, 360 of the 1797 set aside for testing",
    )


def _split(y: NDArray[Any], test_size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of a stratified training and test part, always the same for the same labels."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(np.arange(len(y)), test_size=test_size, stratify=y, random_state=0)
    return np.asarray(parts[0]), np.asarray(parts[1])


def _centre(X: NDArray[Any]) -> NDArray[np.float32]:
    """Map [0, 1] to [-1, 1] as float32, in place where the array is float32 already."""
    X = X.astype(np.float32, order="C", copy=False)
    X -= np.float32(0.5)
    X /= np.float32(0.5)
    return X


def _scale_pixels(X: NDArray[Any]) -> NDArray[np.float32]:
    """Map pixels 0 to 255, shape (n_samples, n_features), to [-1, 1]."""
    X = X.astype(np.float32, order="C")
    X /= np.float32(255)
    return _centre(X)


# --------------------------------------------------------------------------------------------------------
# The named data sets in idx files
# --------------------------------------------------------------------------------------------------------


def _load_idx_dataset(
    name: str, root: Path, download: bool, progress: Callable[[str], object] | None
) -> Bunch:
    """Load one of `_IDX_DATASETS` from under `root`, downloading it if need be and allowed."""
    dataset = _IDX_DATASETS[name]
    folder = root / dataset.folder / "raw"
    try:
        arrays = _read_idx_dataset(dataset, folder)
        origin = ""
    except DatasetError:
        if not download:
            raise
        arrays = _download(dataset, root, progress)
        origin = ", downloaded just now"
    X_train, y_train, X_test, y_test = arrays
    return _bunch(
        X_train=_scale_pixels(X_train.reshape(len(X_train), -1)),
        y_train=y_train.astype(np.int64),
        X_test=_scale_pixels(X_test.reshape(len(X_test), -1)),
        y_test=y_test.astype(np.int64),
        image_shape=dataset.image_shape,
        class_names=list(dataset.class_names),
        name=name,
        source=f"{dataset.folder}'s idx files under {folder}, SHA-256 verified{origin}",
    )


def _read_idx_dataset(dataset: _IdxDataset, folder: Path) -> list[NDArray[np.uint8]]:
    """Read and verify the four files in `folder`: training images and labels, test images and labels."""
    return [_read_idx_file(dataset, file, folder) for file in dataset.files]


def _find_idx(dataset: _IdxDataset, file: _IdxFile, folder: Path) -> Path | None:
    """Return the file that would be read, unpacked or `.gz`, or None if there is none.

    Where only the archives can be verified, unpacked files do not count.
    """
    unpacked, archive = folder / file.name, folder / f"{file.name}.gz"
    candidates = (archive,) if dataset.verified == "archive" else (unpacked, archive)
    return next((path for path in candidates if path.exists()), None)


def _wanted(dataset: _IdxDataset, file: _IdxFile) -> str:
    """Return the name of a file as the user should get it."""
    return f"{file.name}.gz" if dataset.verified == "archive" else file.name


def _read_idx_file(dataset: _IdxDataset, file: _IdxFile, folder: Path) -> NDArray[np.uint8]:
    """Read one file, verify its SHA-256 and return the array in it."""
    with _readable(folder):
        path = _find_idx(dataset, file, folder)
    if path is None:
        raise DatasetError(_missing_idx(dataset, file, folder))
    content = _read_sized(path, file)
    if dataset.verified == "archive":
        _verify(path, content, file)
    if path.suffix == ".gz":
        content = _gunzip(path, content, file)
    if dataset.verified == "unpacked":
        _verify(path, content, file)
    array = _parse_idx(content, path)
    if array.shape != file.shape:
        raise DatasetError(
            f"{path} holds an array of shape {array.shape} instead of {file.shape}; {_REPAIR}."
        )
    return array


_REPAIR = "delete it and download it again (download=True)"


def _missing_idx(dataset: _IdxDataset, file: _IdxFile, folder: Path) -> str:
    """Say that a file is missing and how to get it."""
    if dataset.verified == "archive" and (folder / file.name).exists():
        return (
            f"{folder / file.name} cannot be verified, because only the SHA-256 of {file.name}.gz is known: "
            f"put the four .gz files of {dataset.folder} beside it, or download them (download=True)."
        )
    return (
        f"{dataset.folder} is not complete on this machine, {folder / _wanted(dataset, file)} is missing: "
        f"download it (download=True), {_otherwise(dataset, folder)}."
    )


def _otherwise(dataset: _IdxDataset, folder: Path) -> str:
    """Say what can be done without a download."""
    files = ".gz files" if dataset.verified == "archive" else "idx files, unpacked or .gz,"
    return (
        f"put its four {files} into {folder}, set PRUNELAB_DATA to a folder that holds {dataset.folder}/raw, "
        "or use 'digits', which needs no download"
    )


def _read_sized(path: Path, file: _IdxFile) -> bytes:
    """Read a file whose size is known (unpacked) or bounded (an archive) beforehand."""
    # gzip adds a header and five bytes a block to what it cannot compress: far less than this allowance.
    limit = file.size if path.suffix != ".gz" else file.size + file.size // 100 + 1024
    with _readable(path):
        if not path.is_file():
            raise DatasetError(
                f"{path} is not a file: remove it and download the data again (download=True)."
            )
        size = path.stat().st_size
        if size > limit:
            raise DatasetError(f"{path} is oversized ({size} bytes, expected {limit} at most); {_REPAIR}.")
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    if path.suffix != ".gz":
        _check_length(path, len(content), file.size)
    return content


def _gunzip(path: Path, archive: bytes, file: _IdxFile) -> bytes:
    """Unpack an archive in memory, reading no further than the size that is expected."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as stream:
            content = stream.read(file.size + 1)
    except EOFError:
        raise DatasetError(f"{path} is truncated; {_REPAIR}.") from None
    except (OSError, zlib.error) as error:
        raise DatasetError(f"{path} is not a sound .gz archive ({_one_line(error)}); {_REPAIR}.") from error
    _check_length(path, len(content), file.size)
    return content


def _verify(path: Path, content: bytes, file: _IdxFile) -> None:
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DatasetError(
            f"{path} is damaged or mislabelled (its SHA-256 is not that of the genuine file); {_REPAIR}."
        )


def _check_length(path: Path, size: int, expected: int) -> None:
    if size < expected:
        raise DatasetError(f"{path} is truncated ({size} bytes instead of {expected}); {_REPAIR}.")
    if size > expected:
        raise DatasetError(f"{path} is oversized (more than the {expected} bytes expected); {_REPAIR}.")


def _parse_idx(content: bytes, path: Path) -> NDArray[np.uint8]:
    """Return the array of bytes in an idx file.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, the dimensions as
    big-endian 32-bit integers, and the values in C order.

    Returns
    -------
    ndarray of one to three dimensions, uint8, read-only

    Raises
    ------
    DatasetError
        The content is not that of an idx file of bytes, or is shorter or longer than its header says.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or content[3] not in (1, 2, 3):
        raise DatasetError(f"{path} is not an idx file of bytes; {_REPAIR}.")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DatasetError(f"{path} is truncated (it ends within its header); {_REPAIR}.")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if 0 in shape:
        raise DatasetError(f"{path} holds an empty array; {_REPAIR}.")
    _check_length(path, len(content), start + math.prod(shape))
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# --------------------------------------------------------------------------------------------------------
# Downloading
# --------------------------------------------------------------------------------------------------------


def _download(
    dataset: _IdxDataset, root: Path, progress: Callable[[str], object] | None
) -> list[NDArray[np.uint8]]:
    """Let torchvision download a data set, verify it, put it into its place, and return its arrays.

    The files arrive in a temporary folder beside their place and are moved only when they are verified,
    so that a download that fails or is interrupted leaves nothing behind.
    """
    folder = root / dataset.folder / "raw"
    if progress is not None:
        progress(f"Downloading {dataset.folder} (about {dataset.download_mb} MB) to {folder}.")
    try:
        _make_private(root)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            _run_torchvision(dataset.folder, Path(temporary))
            arrived = Path(temporary, dataset.folder, "raw")
            arrays = _read_idx_dataset(dataset, arrived)
            _make_private(folder)
            for path in arrived.iterdir():
                path.replace(folder / path.name)
    except DatasetError as error:
        raise DatasetError(
            f"The files that arrived for {dataset.folder} are not the genuine ones and were thrown away: try "
            f"again later, {_otherwise(dataset, folder)}."
        ) from error
    except (OSError, RuntimeError, ImportError, EOFError, http.client.HTTPException) as error:
        raise DatasetError(
            f"{dataset.folder} could not be downloaded ({_one_line(error)}): check the connection and that "
            f"{root} can be written, {_otherwise(dataset, folder)}."
        ) from error
    return arrays


def _run_torchvision(class_name: str, root: Path) -> None:
    """Download with torchvision. Its progress bar goes to standard error, and nothing to standard output."""
    from .backend import import_torchvision

    with _socket_timeout(DOWNLOAD_TIMEOUT), contextlib.redirect_stdout(sys.stderr):
        getattr(import_torchvision().datasets, class_name)(root, train=True, download=True)


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Make connections that stay silent fail, because torchvision would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _make_private(folder: Path) -> None:
    """Create a folder and the missing ones above it, open to their owner only."""
    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)


# --------------------------------------------------------------------------------------------------------
# The user's own files
# --------------------------------------------------------------------------------------------------------


@dataclass
class _Table:
    """What a file holds before it is split and scaled.

    `parts` are one or two pairs (X, y): everything, or the training and the test data. `names` say what
    to call X and y of each part in messages.
    """

    parts: list[tuple[NDArray[Any], NDArray[Any]]]
    names: list[tuple[str, str]]
    notes: list[str]


def _load_file(path: Path) -> Bunch:
    """Load the user's `.npz` or `.csv` file."""
    suffix = path.suffix.lower()
    with _readable(path):
        if path.is_dir():
            raise DatasetError(f"{path} is a folder: give the path of a .npz or .csv file in it.")
        if not path.exists():
            raise DatasetError(f"There is no file {path}: check the path, or use {_names_in_words()}.")
        if not path.is_file():
            raise DatasetError(f"{path} is not an ordinary file: give the path of a .npz or .csv file.")
        if suffix not in (".npz", ".csv"):
            raise DatasetError(f"{path} is neither a .npz nor a .csv file: save the data as one of the two.")
        table = _read_npz(path) if suffix == ".npz" else _read_csv(path)
    return _prepare(table, path)


def _names_in_words() -> str:
    *first, last = dataset_names()
    return f"one of the names {', '.join(first)} and {last}"


def _prepare(table: _Table, path: Path) -> Bunch:
    """Check, split and scale the data of a file."""
    notes = list(table.notes)
    parts = []
    for (X, y), (X_name, y_name) in zip(table.parts, table.names, strict=True):
        _check_features(X, f"{X_name} in {path}")
        y = _clean_labels(y, f"{y_name} in {path}")
        if len(X) != len(y):
            raise DatasetError(
                f"{path} has {len(X)} samples in {X_name} but {len(y)} labels in {y_name}: "
                "there must be one label a sample."
            )
        parts.append((X, y))

    classes = np.unique(parts[0][1])
    if len(classes) < 2:
        raise DatasetError(
            f"{path} has no class but {str(classes[0])!r}: a classifier needs two, so check the labels."
        )
    if len(parts) == 1:
        [(X, y)] = parts
        parts = _split_part(X, y, path)
        notes.append(f"split {1 - TEST_FRACTION:.0%} to {TEST_FRACTION:.0%} (stratified, seed 0)")
    (X_train, y_train), (X_test, y_test) = parts
    _check_parts_agree(X_train, y_train, X_test, y_test, path)

    sample_shape = X_train.shape[1:]
    X_train, X_test = X_train.reshape(len(X_train), -1), X_test.reshape(len(X_test), -1)
    pixels = _are_pixels(X_train, X_test)
    if pixels:
        X_train, X_test = _scale_pixels(X_train), _scale_pixels(X_test)
        notes.append("pixels scaled from 0..255 to [-1, 1]")
    else:
        X_train, X_test = _standardise(X_train, X_test, path)
        notes.append("features standardised on the training part")
    return _bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        image_shape=_image_shape(sample_shape, pixels),
        class_names=[str(label) for label in classes],
        name=path.name,
        source=f"the file {path}, {', '.join(notes)}",
    )


def _check_features(X: NDArray[Any], what: str) -> None:
    """Refuse what is empty, not numeric, or not finite; `X` has shape (n_samples, ...)."""
    if X.dtype.kind not in "biuf":
        raise DatasetError(f"{what} holds {X.dtype} values: the features must be numbers.")
    if X.ndim < 2:
        raise DatasetError(
            f"{what} has {X.ndim} dimension(s): it needs a row a sample and a column a feature."
        )
    if X.size == 0:
        raise DatasetError(f"{what} is empty (shape {X.shape}): there must be samples and features.")
    if X.dtype.kind == "f":
        n_bad = X.size - np.count_nonzero(np.isfinite(X))
        if n_bad:
            raise DatasetError(
                f"{what} has {n_bad} missing (NaN) or infinite values: fill them in or leave the samples out."
            )


def _clean_labels(y: NDArray[Any], what: str) -> NDArray[Any]:
    """Return labels of shape (n_samples,) as whole numbers or strings."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DatasetError(f"{what} has the shape {y.shape}: give one label a sample, not one-hot rows.")
    if len(y) == 0:
        raise DatasetError(f"{what} is empty: there must be at least one sample of each class.")
    if y.dtype.kind in "iuf":
        return _whole_numbers(y, what)
    if y.dtype.kind == "S":
        try:
            return np.char.decode(y, "utf-8")
        except UnicodeDecodeError:
            raise DatasetError(
                f"{what} holds bytes that are not UTF-8 text: save the labels as str."
            ) from None
    if y.dtype.kind in "bU":
        return y.astype(np.str_)
    raise DatasetError(f"{what} holds {y.dtype} values: the labels must be whole numbers or strings.")


def _whole_numbers(y: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Convert numeric labels; those saved as floats must still be whole numbers."""
    n_bad = len(y) - np.count_nonzero(np.isfinite(y))
    if n_bad:
        raise DatasetError(f"{what} has {n_bad} missing or infinite labels: leave these samples out.")
    if y.dtype.kind == "f":
        whole = np.all((y == np.round(y)) & (np.abs(y.astype(np.float64)) < 2**53))
    else:
        whole = np.all(y <= np.iinfo(np.int64).max)
    if not whole:
        raise DatasetError(
            f"{what} holds fractions or huge numbers: the labels must be classes, not measurements."
        )
    return y.astype(np.int64)


def _split_part(X: NDArray[Any], y: NDArray[Any], path: Path) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Split one part into training and test data, always in the same way."""
    classes, counts = np.unique(y, return_counts=True)
    n_test = math.ceil(TEST_FRACTION * len(y))
    rarest = np.argmin(counts)
    if counts[rarest] < 2:
        raise DatasetError(
            f"{path} has the class {str(classes[rarest])!r} only once: splitting off test data needs two "
            "samples of every class, so add some, leave it out, or check which labels were meant."
        )
    if n_test < len(classes):
        raise DatasetError(
            f"{path} has too few samples ({len(y)}) for its {len(classes)} classes: the test part would be "
            f"{n_test} of them and must have one for every class."
        )
    train, test = _split(y, n_test)
    return [(X[train], y[train]), (X[test], y[test])]


def _check_parts_agree(
    X_train: NDArray[Any], y_train: NDArray[Any], X_test: NDArray[Any], y_test: NDArray[Any], path: Path
) -> None:
    """Refuse training and test data that do not belong together."""
    if X_train.shape[1:] != X_test.shape[1:]:
        raise DatasetError(
            f"{path} has training samples of shape {X_train.shape[1:]} and test samples of shape "
            f"{X_test.shape[1:]}: they must be alike."
        )
    if (X_train.dtype == np.uint8) != (X_test.dtype == np.uint8):
        raise DatasetError(
            f"{path} has {X_train.dtype} training and {X_test.dtype} test samples: save both as one type."
        )
    if (y_train.dtype.kind == "U") != (y_test.dtype.kind == "U"):
        raise DatasetError(f"{path} mixes strings and numbers as labels: use one kind for both parts.")
    unknown = np.setdiff1d(y_test, y_train)
    if len(unknown):
        raise DatasetError(
            f"{path} has the test label {str(unknown[0])!r}, which never occurs in training: check the "
            "labels."
        )


def _are_pixels(*arrays: NDArray[Any]) -> bool:
    """Tell pixels from other numbers; each array has shape (n_samples, n_features).

    Pixels are bytes, or other whole numbers from 0 to 255 in enough columns; not mere zeros and ones.
    """
    if any(X.dtype.kind not in "iu" for X in arrays):
        return False
    if max(X.max() for X in arrays) <= 1:
        return False
    if all(X.dtype == np.uint8 for X in arrays):
        return True
    enough = arrays[0].shape[1] >= MIN_PIXELS
    return enough and all(X.min() >= 0 and X.max() <= 255 for X in arrays)


def _image_shape(sample_shape: tuple[int, ...], pixels: bool) -> tuple[int, ...] | None:
    """Return the shape of one image: as it was saved, else a square if the pixels fill one, else None."""
    if len(sample_shape) > 1:
        return sample_shape
    n_features = math.prod(sample_shape)
    side = math.isqrt(n_features)
    return (side, side) if pixels and n_features >= MIN_PIXELS and side * side == n_features else None


def _standardise(
    X_train: NDArray[Any], X_test: NDArray[Any], path: Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give every feature mean 0 and variance 1 on the training data; constant features become 0."""
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
        raise DatasetError(
            f"{path} has numbers too large or too close together to standardise: rescale them."
        )
    return scaled[0], scaled[1]


# ------------------------------------------------------------------------------------------------- .npz

_NPZ_KEYS = (
    ("X_train", "y_train", "X_test", "y_test"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("X", "y"),
    ("x", "y"),
)


def _read_npz(path: Path) -> _Table:
    """Read the arrays of a `.npz` file once their headers have been found harmless."""
    size = path.stat().st_size
    if size > MAX_NPZ_BYTES:
        raise DatasetError(
            f"{path} is too large ({size} bytes, {MAX_NPZ_BYTES} at most): save fewer samples."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            keys = _choose_keys(archive, path)
            _check_npz_headers(archive, keys, path)
        with np.load(path, allow_pickle=False) as arrays:
            loaded = [arrays[key] for key in keys]
    except (DatasetError, PermissionError):
        raise
    except MemoryError:
        raise DatasetError(f"{path} does not fit into this machine's memory: save fewer samples.") from None
    except Exception as error:  # a damaged file makes zipfile and numpy raise nearly anything
        raise DatasetError(
            f"{path} is not a sound .npz file ({_one_line(error)}): save it again with numpy.savez."
        ) from error
    pairs = range(0, len(keys), 2)
    return _Table(
        parts=[(loaded[i], loaded[i + 1]) for i in pairs],
        names=[(keys[i], keys[i + 1]) for i in pairs],
        notes=[],
    )


def _choose_keys(archive: zipfile.ZipFile, path: Path) -> tuple[str, ...]:
    """Return the names of the arrays to use: pairs of X and y."""
    members = archive.namelist()
    names = {member.removesuffix(".npy") for member in members if member.endswith(".npy")}
    for keys in _NPZ_KEYS:
        if names.issuperset(keys):
            return keys
    raise DatasetError(
        f"{path} holds {_some(sorted(names))}: it needs the arrays X and y, or X_train, y_train, X_test and "
        "y_test."
    )


def _check_npz_headers(archive: zipfile.ZipFile, keys: tuple[str, ...], path: Path) -> None:
    """Refuse Python objects and arrays too large for memory, before anything is allocated for them."""
    total = 0
    for key in keys:
        member = archive.getinfo(f"{key}.npy")
        with archive.open(member) as stream:
            shape, dtype = _read_npy_header(stream, key, path)
            start = stream.tell()
        if dtype.hasobject:
            raise DatasetError(
                f"{key} in {path} holds Python objects, which only the unsafe pickle can load: save plain "
                f"numbers or strings, for example {key}.astype(float) or {key}.astype(str)."
            )
        n_bytes = math.prod(shape) * max(dtype.itemsize, 1)
        total += n_bytes
        if total > MAX_NPZ_BYTES:
            raise DatasetError(
                f"{path} unpacks to more than the limit of {MAX_NPZ_BYTES} bytes: save fewer samples or a "
                "smaller type."
            )
        if start + n_bytes != member.file_size:
            raise DatasetError(
                f"{key} in {path} is truncated or damaged, its header does not match its size: save it again."
            )


def _read_npy_header(stream: Any, key: str, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read the shape and type of an array; the stream then stands at its first value."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise DatasetError(f"{key} in {path} is not a plain array: save numbers or strings.")
    return shape, dtype


# ------------------------------------------------------------------------------------------------- .csv


def _read_csv(path: Path) -> _Table:
    """Read a `.csv` file with a header line into features and labels."""
    import pandas as pd

    size = path.stat().st_size
    if size > MAX_CSV_BYTES:
        raise DatasetError(f"{path} is too large ({size} bytes, {MAX_CSV_BYTES} at most): save it as .npz.")
    try:
        with path.open("rb") as stream:
            frame = pd.read_csv(stream, low_memory=False, skipinitialspace=True)
    except ValueError as error:  # pandas' own errors and UnicodeDecodeError are all kinds of it
        raise DatasetError(
            f"{path} cannot be read as comma-separated values ({_one_line(error)}): save it again, as UTF-8, "
            "with a header line."
        ) from error
    except MemoryError:
        raise DatasetError(f"{path} does not fit into this machine's memory: save fewer samples.") from None
    notes = []
    if _has_row_numbers(frame):
        frame = frame.iloc[:, 1:]
        notes.append("its first column (row numbers) left out")
    _check_header(frame, path)
    label = _label_column(frame)
    features = frame.drop(columns=[label])
    return _Table(
        parts=[(_csv_features(features, path), _csv_labels(frame[label], path))],
        names=[("the feature table", f"the label column {label!r}")],
        notes=[f"labels from the column {label!r}", *notes],
    )


def _has_row_numbers(frame: pd.DataFrame) -> bool:
    """Recognise the index that pandas' `to_csv` puts in front: no name, and counting from 0."""
    if frame.shape[1] < 2 or frame.columns[0] != "Unnamed: 0":
        return False
    return np.array_equal(frame.iloc[:, 0].to_numpy(), np.arange(len(frame)))


def _check_header(frame: pd.DataFrame, path: Path) -> None:
    """Refuse tables without samples, without features, or without a proper header line."""
    import pandas as pd

    if len(frame) and not isinstance(frame.index, pd.RangeIndex):  # pandas took the first cells for names
        raise DatasetError(f"{path} has more cells in a line than names in its header line: make them agree.")
    names = list(frame.columns)
    if frame.shape[1] < 2:
        raise DatasetError(f"{path} has a single column: it needs features and a label, separated by commas.")
    if names != [str(i) for i in range(len(names))] and all(_is_number(name) for name in names):
        raise DatasetError(
            f"{path} has no header line, only numbers: put the names of the columns into a first line, and "
            "call that of the labels 'label'."
        )
    if len(frame) == 0:
        raise DatasetError(f"{path} has a header line but no samples below it: add some.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _label_column(frame: pd.DataFrame) -> str:
    """Return the name of the label column."""
    by_name = {str(name).strip().casefold(): name for name in reversed(frame.columns)}
    found = [by_name[name] for name in LABEL_COLUMNS if name in by_name]
    return found[0] if found else frame.columns[-1]


def _csv_features(frame: pd.DataFrame, path: Path) -> NDArray[Any]:
    """Return the features, shape (n_samples, n_features): integers if all columns are, else floats."""
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        _refuse_missing(column, f"The column {name!r} of {path}")
        if not pd.api.types.is_numeric_dtype(column):
            bad = column[pd.to_numeric(column, errors="coerce").isna()]
            example = f" (for example {bad.iloc[0]!r})" if len(bad) else ""
            raise DatasetError(
                f"The column {name!r} of {path} is not numeric{example}: encode it as numbers or remove it, "
                "because only the label may be text."
            )
    if all(pd.api.types.is_integer_dtype(dtype) for dtype in frame.dtypes):
        return frame.to_numpy()
    return frame.to_numpy(dtype=np.float64)


def _csv_labels(column: pd.Series[Any], path: Path) -> NDArray[Any]:
    """Return the labels, shape (n_samples,): numbers if all are, else strings."""
    import pandas as pd

    _refuse_missing(column, f"The label column {column.name!r} of {path}")
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=np.str_)


def _refuse_missing(column: pd.Series[Any], what: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise DatasetError(
            f"{what} has {np.count_nonzero(missing)} empty or NA cells, the first in sample "
            f"{np.argmax(missing) + 1}: fill them in or leave the samples out."
        )


# --------------------------------------------------------------------------------------------------------
# Messages
# --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into a `DatasetError`."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror or error}): check the file and that you may read it."
        ) from error


def _one_line(error: BaseException) -> str:
    """Return an error's message on one line and without a full stop, or its type if it has none."""
    line = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else "?" for c in line) or type(error).__name__


def _some(names: list[str]) -> str:
    """List a few names of arrays."""
    if not names:
        return "no arrays"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"the arrays {', '.join(map(repr, names[:5]))}{more}"
