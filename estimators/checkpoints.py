"""Interrupted trainings as files: safetensors with JSON in the header, written as a whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .training import Checkpoint, Training

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "prunelab-checkpoint"
VERSION = 2

_NUMBERS = {
    "first_step": int,
    "epoch": int,
    "batch": int,
    "total_loss": float,
    "best_step": int,
    "best_loss": float,
    "samples": int,
    "seconds": float,
}


class CheckpointError(ValueError):
    """A file is missing, damaged, or not a checkpoint."""


def save_checkpoint(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint; it is on the disk when this returns, and an existing file is replaced."""
    from safetensors.numpy import save_file

    training, path = checkpoint.training, Path(path)
    groups = {"parameters": training.parameters, "best": checkpoint.best or []}
    groups |= {f"moments{i}": moments for i, moments in enumerate(training.moments)}
    arrays = {f"{name}.{i}": np.ascontiguousarray(a) for name, group in groups.items() for i, a in enumerate(group)}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "n_steps": training.n_steps,
        "loss_curve": training.loss_curve,
        "validation_scores": training.validation_scores,
        **{name: getattr(checkpoint, name) for name in _NUMBERS},
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(arrays, temporary, metadata={"prunelab": json.dumps(header)})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint written by `save_checkpoint`; CheckpointError if the file is something else."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["prunelab"])
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        if (header["format"], header["version"]) != (FORMAT, VERSION):
            raise ValueError(f"its format is {header['format']} {header['version']}")
        groups = {name: _group(arrays, name) for name in ("parameters", "best", "moments0", "moments1")}
        training = Training(
            groups["parameters"],
            [float(loss) for loss in header["loss_curve"]],
            [float(score) for score in header["validation_scores"]],
            [groups[name] for name in ("moments0", "moments1") if groups[name]],
            int(header["n_steps"]),
        )
        places = {name: kind(header[name]) for name, kind in _NUMBERS.items()}
        if any(value < 0 for name, value in places.items() if _NUMBERS[name] is int):
            raise ValueError("it is at a place that there is not")
        if not all(np.isfinite(array).all() for group in groups.values() for array in group):
            raise ValueError("it has values that are not finite numbers")
        return Checkpoint(training, best=groups["best"] or None, **places)
    except (
        SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        raise CheckpointError(f"{path} is not a checkpoint that can be read: {error}") from error


def _group(arrays: dict[str, NDArray], name: str) -> list[NDArray]:
    return [arrays[f"{name}.{i}"] for i in range(sum(key.startswith(f"{name}.") for key in arrays))]
