"""Trainings as files: safetensors with a checksum, and JSON in the header, written completely or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .files import (
    DAMAGE,
    MAX_ARRAY_BYTES,
    float_from_json,
    natural,
    pack_arrays,
    read_file,
    replace_file,
    unpack_arrays,
    warn_if_unverified,
)
from .networks.mlp import name_tensors
from .training.state import Checkpoint, Training

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .training.state import Arrays

FORMAT = "prunelab-checkpoint"

#: The first version with a checksum, and with tensors by name. Version 2, which has neither, is still read.
VERSION = 3
_UNVERIFIED_VERSIONS = (2,)

_INTEGERS = ("first_step", "epoch", "batch", "best_step", "samples")
_FLOATS = ("total_loss", "best_loss", "seconds")


class CheckpointError(ValueError):
    """A file is missing, damaged, or not a checkpoint."""


def save_checkpoint(checkpoint: Checkpoint, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint; it is on the disk when this returns, and an existing file is replaced.

    Raises
    ------
    OSError
        If it cannot be written; an existing file is unchanged.
    """
    arrays, header = encode_training(checkpoint.training)
    arrays |= _prefixed("best", checkpoint.best or {})
    header |= {name: getattr(checkpoint, name) for name in (*_INTEGERS, *_FLOATS, "of")}
    replace_file(path, pack_arrays(arrays, header, FORMAT, VERSION), sync=True)


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint written by `save_checkpoint`.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, or something else.
    """
    try:
        data = read_file(path, MAX_ARRAY_BYTES, follow_links=False)
        file = unpack_arrays(data, FORMAT, VERSION, _UNVERIFIED_VERSIONS)
        arrays = file.arrays if file.is_verified else _with_names(file.arrays)
        training = decode_training(arrays, file.header)
        fields: dict[str, Any] = {name: natural(file.header[name]) for name in _INTEGERS}
        fields |= {name: float_from_json(file.header[name]) for name in _FLOATS}
        of = file.header.get("of", "")  # absent from files of earlier versions
        if not isinstance(of, str):
            raise TypeError(f"{of!r} is not the name of a training")
        checkpoint = Checkpoint(training, best=_group(arrays, "best") or None, of=of, **fields)
    except (OSError, *DAMAGE) as error:
        raise CheckpointError(f"{path} is not a checkpoint that can be read: {error}") from error
    warn_if_unverified(file, path)
    return checkpoint


def encode_training(training: Training) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Arrays and JSON values that hold a training."""
    arrays = _prefixed("tensors", training.tensors) | _prefixed("early_stop", training.early_stop_tensors or {})
    for i, moments in enumerate(training.moments):
        arrays |= _prefixed(f"moments{i}", moments)
    header = {
        "n_steps": training.n_steps,
        "loss_curve": training.loss_curve,
        "validation_scores": training.validation_scores,
        "monitored": training.monitored,
        "early_stop_step": training.early_stop_step,
    }
    return arrays, header


def decode_training(arrays: Mapping[str, NDArray], header: Mapping[str, Any]) -> Training:
    """The training that `encode_training` encoded; one of `DAMAGE` if the values are of other types."""
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("it has values that are not finite numbers")
    step = header.get("early_stop_step")
    return Training(
        _group(arrays, "tensors"),
        loss_curve=[float_from_json(loss) for loss in header["loss_curve"]],
        validation_scores=[float_from_json(score) for score in header["validation_scores"]],
        moments=[moments for name in ("moments0", "moments1") if (moments := _group(arrays, name))],
        n_steps=natural(header["n_steps"]),
        monitored=[float_from_json(value) for value in header.get("monitored", [])],
        early_stop_step=None if step is None else natural(step),
        early_stop_tensors=_group(arrays, "early_stop") or None,
    )


def _prefixed(prefix: str, tensors: Arrays) -> Arrays:
    return {f"{prefix}.{name}": array for name, array in tensors.items()}


def _group(arrays: Mapping[str, NDArray], prefix: str) -> Arrays:
    length = len(prefix) + 1
    return {name[length:]: array for name, array in arrays.items() if name.startswith(f"{prefix}.")}


def _with_names(arrays: Arrays) -> Arrays:
    """Arrays of version 2, which knew only multi-layer perceptrons and numbered their weights, then their biases."""
    found: Arrays = {}
    for old, new in (("parameters", "tensors"), ("best", "best"), ("moments0", "moments0"), ("moments1", "moments1")):
        numbered = _group(arrays, old)
        listed = [numbered[str(i)] for i in range(len(numbered))]
        n_layers = sum(array.ndim == 2 for array in listed)
        found |= _prefixed(new, name_tensors(listed[:n_layers], listed[n_layers:]))
    return found
