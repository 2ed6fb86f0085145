"""Cached trainings: a file for each, with a checksum, in a folder that only its owner can enter. No pickle."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checkpoints import decode_training, encode_training
from .files import (
    DAMAGE,
    MAX_ARRAY_BYTES,
    TEMPORARY_SUFFIX,
    make_private_folder,
    pack_arrays,
    read_file,
    replace_file,
    unpack_arrays,
)
from .messages import warn_caller

if TYPE_CHECKING:
    from .networks.base import Network
    from .training.state import Training

FORMAT = "prunelab-training"
VERSION = 1

#: Writing a training never takes longer.
_SECONDS_TO_WRITE = 3600.0

#: Folder within the one that the user names.
SUBFOLDER = "prunelab-trainings"


class TrainingCache:
    """Trainings that are kept in a folder.

    A file that is damaged is reported, and replaced when the training has been computed again. A folder that cannot
    be written is reported, too, and nothing is kept.

    Parameters
    ----------
    memory : str, path-like or joblib.Memory
        The folder, or an object whose ``location`` it is. Created when needed, for its owner only.
    """

    def __init__(self, memory: Any):
        self._folder = Path(getattr(memory, "location", memory)) / SUBFOLDER

    def path(self, key: str) -> Path:
        """The file of a training; `key` is a hexadecimal number."""
        return self._folder / f"{key}.safetensors"

    def load(self, key: str, network: Network) -> Training | None:
        """The training of a network that was saved under `key`; None if there is none that can be used."""
        path = self.path(key)
        try:
            file = unpack_arrays(read_file(path, MAX_ARRAY_BYTES, follow_links=False), FORMAT, VERSION)
            if file.header["key"] != key:
                raise ValueError("it is another training")
            training = decode_training(file.arrays, file.header)
            training.tensors = {name: training.tensors[name] for name in network.records}  # files sort them
            return training
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, *DAMAGE) as error:
            warn_caller(f"the training is computed again, because {path} cannot be used: {error}")
            return None

    def save(self, key: str, training: Training) -> None:
        """Keep a training."""
        arrays, header = encode_training(training)
        try:
            make_private_folder(self._folder)
            self._remove_leftovers()
            replace_file(self.path(key), pack_arrays(arrays, {"key": key, **header}, FORMAT, VERSION))
        except OSError as error:
            reason = error.strerror or error
            warn_caller(f"the training is not kept in memory={str(self._folder.parent)!r}: {reason}")

    def _remove_leftovers(self) -> None:
        """Remove temporary files of processes that were killed while they wrote."""
        for path in self._folder.glob(f".*{TEMPORARY_SUFFIX}"):
            with contextlib.suppress(OSError):  # another process may remove it, too
                if time.time() - path.lstat().st_mtime > _SECONDS_TO_WRITE:
                    path.unlink()


def cache_in(memory: Any) -> TrainingCache | None:
    """The cache in what an estimator's parameter `memory` names; None if that is nothing."""
    return None if getattr(memory, "location", memory) is None else TrainingCache(memory)
