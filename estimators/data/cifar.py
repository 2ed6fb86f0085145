"""CIFAR-10, from the archive that torchvision downloads.

The archive holds pickles, which can run code when they are read. So it is verified by SHA-256 before anything in it is
looked at, and what reads it makes arrays, texts, lists and dicts only. The folder of unpacked files that torchvision
leaves beside it is not read: no SHA-256 of these is known.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickle
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .downloads import Place, download
from .errors import DatasetError, one_line
from .idx import State

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.utils import Bunch

IMAGE_SHAPE = (3, 32, 32)

_ARCHIVE, _FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
_TRAINING, _TEST = tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"

#: What NumPy's arrays are made with when they are unpickled.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class CifarDataset:
    """The archive: its size and SHA-256, and how many images each of its six files has."""

    sha256: str = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    size: int = 170_498_071
    n_per_file: int = 10_000
    name: str = "cifar-10"
    description: str = "photographs in colour, 32x32"
    download_mb: int = 170
    class_names: tuple[str, ...] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return len(_TRAINING) * self.n_per_file


def cifar_state(dataset: CifarDataset, root: Path) -> tuple[State, str]:
    """Judge the archive by existence and size alone; return the state and what it rests on."""
    path = root / _ARCHIVE
    try:
        if not path.exists():
            only_unpacked = (root / _FOLDER).exists()
            return "not downloaded", f"{_ARCHIVE} is not there{', only unpacked files' if only_unpacked else ''}"
        if path.stat().st_size != dataset.size:
            return "damaged", f"{_ARCHIVE} has the wrong size"
    except OSError as error:
        return "damaged", f"the archive cannot be read ({error.strerror or error})"
    return "ready", "the archive is there with the right size; the content is verified when it is loaded"


def load_cifar(
    dataset: CifarDataset,
    root: Path,
    scaling: str,
    download_it: bool,
    progress: Callable[[str], object] | None,
    on_bytes: Callable[[int], object] | None,
) -> Bunch:
    """Load the images from under `root`, downloading the archive if need be and allowed."""
    from sklearn.utils import Bunch

    from .preprocessing import Preprocessing

    origin = ""
    try:
        X_train, y_train, X_test, y_test = _read(dataset, root)
    except (DatasetError, OSError):
        if not download_it:
            raise
        place = Place("CIFAR10", dataset.download_mb, root, Path())
        X_train, y_train, X_test, y_test = download(
            place, _run_torchvision, lambda arrived: _read(dataset, arrived), _otherwise(root), progress, on_bytes
        )
        origin = ", downloaded just now"
    preprocessing = Preprocessing(scaling).fit(X_train.reshape(-1, *IMAGE_SHAPE))
    preprocessing.class_names_ = list(dataset.class_names)
    return Bunch(
        X_train=preprocessing.scale(X_train),
        y_train=y_train,
        X_test=preprocessing.scale(X_test),
        y_test=y_test,
        image_shape=IMAGE_SHAPE,
        class_names=list(dataset.class_names),
        name=dataset.name,
        source=f"{root / _ARCHIVE}, SHA-256 verified{origin}",
        assumptions=[],
        content=None,
        preprocessing=preprocessing,
    )


def _read(dataset: CifarDataset, root: Path) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Images (n, 3072) of bytes and class indices of the training and test data, from the verified archive."""
    path = root / _ARCHIVE
    if not path.exists():
        unpacked = f"{root / _FOLDER} cannot be verified without it, " if (root / _FOLDER).exists() else ""
        raise DatasetError(
            f"CIFAR10 is not complete on this machine, {path} is missing: {unpacked}download it (prunelab data "
            f"{dataset.name} --download, or download=True in Python), {_otherwise(root)}"
        )
    if not path.is_file():
        raise DatasetError(f"{path} is not a file: remove it and download it again")
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != dataset.sha256:
            raise DatasetError(
                f"{path} is damaged or mislabelled (its SHA-256 is not that of the genuine file): remove it and "
                f"download it again (prunelab data {dataset.name} --download, or download=True in Python)"
            )
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:gz") as archive:
            parts = [_part(dataset, archive, name) for name in (*_TRAINING, _TEST)]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1]


def _part(dataset: CifarDataset, archive: tarfile.TarFile, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images and class indices in one file of the archive."""
    try:
        member = archive.extractfile(f"{_FOLDER}/{name}")
        if member is None:
            raise ValueError("it is not a file")
        return parse_batch(member.read(), dataset.n_per_file, len(dataset.class_names))
    except (KeyError, ValueError, tarfile.TarError, pickle.UnpicklingError) as error:
        raise DatasetError(f"{name} in {_ARCHIVE} is not sound ({one_line(error)}): replace the archive") from error


def parse_batch(content: bytes, n_images: int, n_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images (n, 3072) and class indices in a pickled dict of ``data`` and ``labels``.

    Raises
    ------
    ValueError
        If they are not what they should be.
    pickle.UnpicklingError
        If there is anything but arrays, numbers, texts, lists and dicts.
    """
    found = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    if not isinstance(found, dict) or not {"data", "labels"} <= found.keys():
        raise ValueError("data or labels are missing")
    images, labels = found["data"], found["labels"]
    if not isinstance(images, np.ndarray) or (images.dtype, images.shape) != (np.uint8, (n_images, 3072)):
        raise ValueError(f"data are not {n_images} images of 3x32x32 bytes")
    if not isinstance(labels, list) or len(labels) != n_images:
        raise ValueError(f"labels are not a list of {n_images}")
    if not all(type(label) is int and 0 <= label < n_classes for label in labels):
        raise ValueError(f"labels are not whole numbers from 0 to {n_classes - 1}")
    return images, np.array(labels, np.int64)


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays and what needs no class; refuses everything else."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed")
        return super().find_class(module_name, global_name)


def _run_torchvision(root: Path) -> None:
    """Download with torchvision, which verifies an MD5. Its progress bar goes to standard error."""
    from ..backend import import_torchvision

    with contextlib.redirect_stdout(sys.stderr):
        datasets = import_torchvision().datasets
        datasets.utils.download_url(datasets.CIFAR10.url, str(root), _ARCHIVE, datasets.CIFAR10.tgz_md5)


def _otherwise(root: Path) -> str:
    """What can be done without a download."""
    return (
        f"put {_ARCHIVE} into {root}, set PRUNELAB_DATA to a folder that holds it, or use 'digits', which needs no "
        "download"
    )
