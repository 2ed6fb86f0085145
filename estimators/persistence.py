"""Fitted classifiers as files: one safetensors file with the arrays, and JSON in its header. No pickle."""

from __future__ import annotations

import json
import numbers
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .validation import check_parameters

if TYPE_CHECKING:
    from .base import BasePrunedClassifier

    Classifier = TypeVar("Classifier", bound=BasePrunedClassifier)

FORMAT = "prunelab-model"
VERSION = 1

_LISTS = ("coefs", "intercepts", "masks", "intercept_masks")
_SCALARS = ("sparsity_", "n_nonzero_", "loss_", "n_iter_", "n_layers_", "n_outputs_", "precision_", "seed_")
_CURVES = ("loss_curve_", "validation_scores_", "fine_tune_loss_curve_")

#: Kinds of class labels that JSON and a NumPy dtype name together restore exactly.
_LABEL_KINDS = "biufU"


class ModelFileError(ValueError):
    """A file is missing, or not a model that can be loaded."""


def save(classifier: BasePrunedClassifier, path: str | Path) -> None:
    """Write a fitted classifier; see `BasePrunedClassifier.save`.

    Parameters that a file cannot hold (`memory`, a RandomState) are left at None.

    Raises
    ------
    ValueError
        If the class labels are of a kind that cannot be written.
    """
    from safetensors.numpy import save_file

    labels, label_type = _labels_to_json(classifier.classes_)
    names = getattr(classifier, "feature_names_in_", None)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "class": type(classifier).__name__,
        "parameters": _parameters_to_json(classifier),
        "classes": labels,
        "classes_type": label_type,
        "n_features_in": classifier.n_features_in_,
        "feature_names_in": None if names is None else list(names),
        "fitted": {name: getattr(classifier, name) for name in (*_SCALARS, *_CURVES)},
    }
    arrays = {
        f"{name}.{layer}": np.ascontiguousarray(array)
        for name in _LISTS
        for layer, array in enumerate(getattr(classifier, f"{name}_"))
    }
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot save the model to {path}: it is a directory; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save the model to {path}: the directory {path.parent} does not exist")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(arrays, temporary, metadata={"prunelab": json.dumps(header)})
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load(cls: type[Classifier], path: str | Path) -> Classifier:
    """Read a classifier of class `cls` written by `save`; see `BasePrunedClassifier.load`.

    Nothing in the file is executed, and no more is allocated than the file is long.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model of this class.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = _read_header(file.metadata(), cls, path)
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # also types that NumPy does not have
        raise ModelFileError(f"{path} is not a model that can be read: {error}") from error
    try:
        return _restore(cls, header, arrays)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path} is a damaged model file: {' '.join(str(error).split())}") from error


def _read_header(metadata: dict[str, str] | None, cls: type, path: Path) -> dict[str, Any]:
    try:
        header = json.loads((metadata or {})["prunelab"])
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is a safetensors file, but not a model that prunelab saved") from error
    if header.get("version") != VERSION:
        raise ModelFileError(
            f"{path} has model format {header.get('version')!r}, this prunelab reads {VERSION}: use another version"
        )
    if header.get("class") != cls.__name__:
        raise ModelFileError(f"{path} holds a {header.get('class')}, not a {cls.__name__}")
    return header


def _restore(cls: type[Classifier], header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Classifier:
    classifier = cls()
    parameters = {name: _from_json(value) for name, value in header["parameters"].items()}
    parameters["memory"] = None  # a folder that somebody else names may hold anything
    classifier.set_params(**parameters)
    check_parameters(classifier, check_device=False)
    classifier.classes_ = _labels_from_json(header["classes"], header["classes_type"])
    classifier.n_features_in_ = int(header["n_features_in"])
    names = header["feature_names_in"]
    if names is not None:
        if len(names) != classifier.n_features_in_ or not all(isinstance(name, str) for name in names):
            raise ValueError("its feature names do not fit its number of features")
        classifier.feature_names_in_ = np.array(names, dtype=object)
    _restore_fitted(classifier, header["fitted"])
    network = classifier._network()
    for name in _LISTS:
        is_weight, is_mask = name in ("coefs", "masks"), name.endswith("masks")
        sizes = list(zip(network.sizes, network.sizes[1:], strict=False))
        restored = [arrays.pop(f"{name}.{layer}") for layer in range(network.n_layers)]
        for layer, (array, size) in enumerate(zip(restored, sizes, strict=True)):
            wanted = size if is_weight else size[1:]
            if array.shape != wanted or array.dtype != (np.bool_ if is_mask else np.float32):
                raise ValueError(f"{name} {layer} is {array.dtype} {array.shape}, not {wanted}")
            if not is_mask and not np.isfinite(array).all():
                raise ValueError(f"{name} {layer} has values that are not finite numbers")
        setattr(classifier, f"{name}_", restored)
    if arrays:
        raise ValueError(f"it has arrays that do not belong to it: {', '.join(sorted(arrays))}")
    for name, masks in (("coefs_", classifier.masks_), ("intercepts_", classifier.intercept_masks_)):
        if any(array[~mask].any() for array, mask in zip(getattr(classifier, name), masks, strict=True)):
            raise ValueError(f"{name} are not zero where its masks say so")
    classifier.early_stop_step_ = None
    classifier._optimiser = None
    classifier._pruned_as = (classifier._choices(), classifier.sparsity)
    return classifier


def _restore_fitted(classifier: BasePrunedClassifier, fitted: dict[str, Any]) -> None:
    for name in _SCALARS:
        kind = str if name == "precision_" else numbers.Real if name in ("sparsity_", "loss_") else int
        if not isinstance(fitted[name], kind) or (kind is int and fitted[name] < 0):
            raise TypeError(f"{name} is {fitted[name]!r}")
        setattr(classifier, name, fitted[name])
    if classifier.precision_ not in ("float32", "bfloat16"):
        raise ValueError(f"precision_ is {classifier.precision_!r}")
    for name in _CURVES:
        curve = fitted[name]
        is_curve = isinstance(curve, list) and all(isinstance(value, numbers.Real) for value in curve)
        if not is_curve and not (name == "validation_scores_" and curve is None):
            raise TypeError(f"{name} is {curve!r}")
        setattr(classifier, name, curve)


def _parameters_to_json(classifier: BasePrunedClassifier) -> dict[str, Any]:
    parameters = classifier.get_params(deep=False)
    parameters["memory"] = None
    return {name: _to_json(value) for name, value in parameters.items()}


def _to_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isinf(value):
        return {"float": str(value)}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_to_json(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else None


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"])
    return tuple(value) if isinstance(value, list) else value


def _labels_to_json(classes: np.ndarray) -> tuple[list, str]:
    if classes.dtype == object and all(isinstance(label, str) for label in classes):
        return list(classes), "object"
    if classes.dtype.kind not in _LABEL_KINDS:
        raise ValueError(f"cannot save class labels of type {classes.dtype}: use numbers or strings")
    return classes.tolist(), classes.dtype.str


def _labels_from_json(labels: list, type_name: str) -> np.ndarray:
    match = re.fullmatch(r"[<>=|]?([biufU])\d{1,9}|(object)", type_name)
    if match is None or (match[2] and not all(isinstance(label, str) for label in labels)):
        raise ValueError("its class labels are neither numbers nor strings")
    # Strings become as wide as they are, whatever the file says.
    classes = np.array(labels, dtype="U" if match[1] == "U" else type_name)
    if classes.ndim != 1 or len(labels) < 2 or not np.array_equal(np.unique(classes), classes):
        raise ValueError("its class labels are not a sorted list of at least two different ones")
    return classes


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
