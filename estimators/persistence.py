"""Fitted classifiers as files: one safetensors file with the arrays, and JSON in its header. No pickle."""

from __future__ import annotations

import math
import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .data.preprocessing import Preprocessing
from .engine import OtherNetworkError, sample_shape_of
from .files import (
    DAMAGE,
    MAX_ARRAY_BYTES,
    float_from_json,
    natural,
    pack_arrays,
    read_file,
    unpack_arrays,
    warn_if_unverified,
    write_output,
)
from .fitted import Fitted, PrunedAs, pruned_as_of, publish
from .networks.mlp import name_tensors
from .parameters import STORED, check_value, with_present_names
from .pruning.allocation import Choices
from .registry import SCRIPT_ONLY, entry_of_class
from .validation import check_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .base import BasePrunedClassifier
    from .files import ArrayFile
    from .networks.base import Network

    Classifier = TypeVar("Classifier", bound=BasePrunedClassifier)

FORMAT = "prunelab-model"

#: The first version with a checksum, and with tensors by name. Version 1, which has neither, is still read.
VERSION = 2
_UNVERIFIED_VERSIONS = (1,)

#: Fitted attributes in the header. The second group is written for other programs that read the file: `load` derives
#: it from the arrays and the curves.
_STATED = ("sparsity_", "precision_", "seed_", "loss_curve_", "validation_scores_", "fine_tune_loss_curve_")
_DERIVED = ("n_nonzero_", "loss_", "n_iter_", "n_layers_", "n_outputs_")

_PREPROCESSING = "preprocessing."

#: Kinds of class labels that JSON and a NumPy dtype name together restore exactly.
_LABEL_KINDS = "biufU"


class ModelFileError(ValueError):
    """A file is missing, or not a model that can be loaded."""


def save(classifier: BasePrunedClassifier, path: str | os.PathLike[str]) -> None:
    """Write a fitted classifier; see `BasePrunedClassifier.save`."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot save the model to {path}: it is a directory; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot save the model to {path}: the directory {path.parent} does not exist")
    write_output(path, dumps(classifier))


def dumps(classifier: BasePrunedClassifier) -> bytes:
    """Encode a fitted classifier: the content of a model file.

    The network is written as it was fitted, and the parameters as they are now: only those in `STORED`, and
    `random_state` only if it is a number.

    Raises
    ------
    ValueError
        If the class labels are of a kind that cannot be written, or a parameter was set to an impossible value.
    """
    check_parameters(classifier, check_device=False)  # some may have been set since the fit
    labels, label_type = _labels_to_json(classifier.classes_)
    names = getattr(classifier, "feature_names_in_", None)
    parameters = classifier.get_params(deep=False)
    header = {
        "class": type(classifier).__name__,
        "parameters": {name: _to_json(parameters[name]) for name in _stored(parameters)},
        "network": {name: _to_json(value) for name, value in classifier.describe_network(classifier.network_).items()},
        "pruned_as": _pruned_as_to_json(classifier.pruned_as_),
        "classes": labels,
        "classes_type": label_type,
        "class_weights": _to_json(classifier.class_weight_),
        "n_features_in": classifier.n_features_in_,
        "sample_shape": list(classifier.sample_shape_),
        "feature_names_in": None if names is None else list(names),
        "fitted": {name: getattr(classifier, name) for name in (*_STATED, *_DERIVED)},
    }
    arrays = {f"tensors.{name}": array for name, array in classifier.tensors_.items()}
    arrays |= {f"masks.{name}": array for name, array in classifier.masks_.items()}
    preprocessing = getattr(classifier, "preprocessing_", None)
    if preprocessing is not None:
        header["preprocessing"] = preprocessing.to_header()
        arrays |= {f"{_PREPROCESSING}{name}": array for name, array in preprocessing.to_arrays().items()}
    return pack_arrays(arrays, header, FORMAT, VERSION)


def _stored(parameters: Iterable[str]) -> list[str]:
    """Those of a classifier's parameters that a file may set."""
    return [name for name in parameters if name in STORED]


def load(cls: type[Classifier], path: str | os.PathLike[str], **given: Any) -> Classifier:
    """Read a classifier of class `cls` written by `save`; see `BasePrunedClassifier.load`.

    `given` are parameters that no file holds, such as the module of a `PrunedModuleClassifier`.

    Nothing in the file is executed or names another file, and no more is allocated than the file is long.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model of this class.
    """
    file = _read(path)
    held = file.header.get("class")
    if held != cls.__name__:
        raise ModelFileError(f"{path} holds a {held}, not a {cls.__name__}")
    return _restored(cls, file, path, given)


def load_model(path: str | os.PathLike[str]) -> BasePrunedClassifier:
    """Read a classifier of whichever class the file holds.

    Parameters
    ----------
    path : str or Path
        A file that `save` wrote.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model of a class in `prunelab.estimators.registry`.
    """
    file = _read(path)
    held = file.header.get("class")
    entry = entry_of_class(held) if isinstance(held, str) else None
    if held in {entry.class_name for entry in SCRIPT_ONLY.values()}:
        raise ModelFileError(f"{path} holds a {held}, whose code no file holds: use {held}.load(path, module=...)")
    if entry is None:
        raise ModelFileError(f"{path} holds a {held}, which this version of prunelab does not have")
    return _restored(entry.load(), file, path)


def _read(path: str | os.PathLike[str]) -> ArrayFile:
    try:
        data = read_file(path, MAX_ARRAY_BYTES)
    except FileNotFoundError as error:
        raise ModelFileError(f"there is no model file {path}") from error
    except OSError as error:
        raise ModelFileError(f"{path} is not a model that can be read: {error}") from error
    try:
        return unpack_arrays(data, FORMAT, VERSION, _UNVERIFIED_VERSIONS)
    except ValueError as error:
        raise ModelFileError(f"{path} is not a model that can be read: {error}") from error


def _restored(
    cls: type[Classifier], file: ArrayFile, path: str | os.PathLike[str], given: Mapping[str, Any] | None = None
) -> Classifier:
    try:
        classifier = _restore(cls(**given or {}), file.header, file.arrays)
    except OtherNetworkError as error:
        raise ModelFileError(f"{path} cannot be loaded with this network: {error}") from error
    except DAMAGE as error:
        raise ModelFileError(f"{path} is a damaged model file: {' '.join(str(error).split())}") from error
    warn_if_unverified(file, path, "; save the model again to add one")
    return classifier


def _restore(classifier: Classifier, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Classifier:
    parameters = with_present_names(header["parameters"])
    if parameters.pop("memory", None) is not None:  # version 1 stored it as null
        raise ValueError("it names a folder for memory=, which a model file may not do")
    unknown = parameters.keys() - set(_stored(classifier.get_params(deep=False)))
    if unknown:
        raise ValueError(f"it sets {', '.join(map(repr, sorted(unknown)))}, which a model file may not do")
    # Files without this parameter are of versions that ranked units across the network by their raw scores.
    parameters.setdefault("normalize", "none")
    classifier.set_params(**{name: _from_json(value) for name, value in parameters.items()})
    check_parameters(classifier, check_device=False)
    classifier.classes_ = _labels_from_json(header["classes"], header["classes_type"])
    classifier.class_weight_ = _restore_class_weights(header.get("class_weights"), len(classifier.classes_))
    classifier.n_features_in_ = int(header["n_features_in"])
    names = header["feature_names_in"]
    if names is not None:
        if len(names) != classifier.n_features_in_ or not all(isinstance(name, str) for name in names):
            raise ValueError("its feature names do not fit its number of features")
        classifier.feature_names_in_ = np.array(names, dtype=object)
    network = _restore_network(classifier, header.get("network"))
    if header["version"] == 1:
        arrays = _with_names(arrays, has_biases="output.bias" in network.records)
    seen = tuple(map(natural, header.get("sample_shape", [classifier.n_features_in_])))
    if math.prod(seen) != classifier.n_features_in_:
        raise ValueError(f"its samples of shape {seen} do not have {classifier.n_features_in_} features")
    classifier.sample_shape_ = sample_shape_of(classifier, network, seen)
    tensors = _restore_arrays(network, arrays, "tensors", np.float32)
    masks = _restore_arrays(network, arrays, "masks", np.bool_)
    _restore_preprocessing(classifier, header.get("preprocessing"), arrays)
    if arrays:
        raise ValueError(f"it has arrays that do not belong to it: {', '.join(sorted(arrays))}")
    for name, mask in masks.items():
        if tensors[name][~mask].any():
            raise ValueError(f"{name} is not zero where its mask is False")
    pruned_as = _restore_pruned_as(classifier, header.get("pruned_as"))
    publish(classifier, _restore_fitted(network, tensors, masks, pruned_as, header["fitted"]))
    return classifier


def _restore_preprocessing(
    classifier: BasePrunedClassifier, saved: dict[str, Any] | None, arrays: dict[str, np.ndarray]
) -> None:
    """Set `preprocessing_` if the file has it, and take its arrays out of `arrays`."""
    if saved is None:
        return
    own = {name: arrays.pop(name) for name in list(arrays) if name.startswith(_PREPROCESSING)}
    own = {name.removeprefix(_PREPROCESSING): array for name, array in own.items()}
    classifier.preprocessing_ = Preprocessing.restore(saved, own, classifier.n_features_in_, len(classifier.classes_))


def _restore_arrays(network: Network, arrays: dict[str, np.ndarray], kind: str, dtype: type) -> dict[str, np.ndarray]:
    """Take the arrays of one kind, one for each tensor of the network."""
    restored = {}
    for name, record in network.records.items():
        array = restored[name] = arrays.pop(f"{kind}.{name}")
        if array.shape != record.shape or array.dtype != dtype:
            raise ValueError(f"{kind} {name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} {record.shape}")
        if dtype is np.float32 and not np.isfinite(array).all():
            raise ValueError(f"{name} has values that are not finite numbers")
    return restored


def _with_names(arrays: dict[str, np.ndarray], has_biases: bool) -> dict[str, np.ndarray]:
    """Arrays of version 1, which knew only multi-layer perceptrons, by the names they have now.

    Networks without biases had zeros in their place.
    """
    listed: dict[str, list[np.ndarray]] = {}
    for kind in ("coefs", "intercepts", "masks", "intercept_masks"):
        count = sum(name.startswith(f"{kind}.") for name in arrays)
        listed[kind] = [arrays[f"{kind}.{i}"] for i in range(count if has_biases or "intercept" not in kind else 0)]
    rest = {name: array for name, array in arrays.items() if name.partition(".")[0] not in listed}
    tensors = name_tensors(listed["coefs"], listed["intercepts"])
    masks = name_tensors(listed["masks"], listed["intercept_masks"])
    return rest | {f"tensors.{name}": a for name, a in tensors.items()} | {f"masks.{n}": a for n, a in masks.items()}


def _restore_network(classifier: BasePrunedClassifier, saved: dict[str, Any] | None) -> Network:
    """The network as it was fitted; earlier versions did not save it apart from the parameters."""
    n_features, n_classes = classifier.n_features_in_, len(classifier.classes_)
    if saved is None:
        return classifier.make_network((n_features,), n_classes)
    kind = classifier.network_class
    own = classifier.restore_network(saved)
    if own is not None:
        return own
    if saved.keys() != {field.name for field in fields(kind)}:
        raise ValueError("its description of the network is not complete")
    network = kind(**{name: _from_json(value) for name, value in saved.items()})
    for name, value in {**classifier.structure(network), "init": saved["init"]}.items():
        check_value(name, value)
    if (network.n_features, network.n_outputs) != (n_features, n_classes):
        found = f"{network.n_features} inputs and {network.n_outputs} outputs"
        raise ValueError(f"its network has {found}, not {n_features} and {n_classes}")
    return network


def _pruned_as_to_json(pruned_as: PrunedAs) -> dict[str, Any]:
    values = {**asdict(pruned_as.choices), "sparsity": pruned_as.sparsity}
    return {name: _to_json(value) for name, value in values.items()}


def _restore_pruned_as(classifier: BasePrunedClassifier, saved: dict[str, Any] | None) -> PrunedAs:
    """The inverse of `_pruned_as_to_json`; earlier versions saved the parameters only."""
    if saved is None:
        return pruned_as_of(classifier)
    values = {name: _from_json(value) for name, value in saved.items()}
    for name, value in values.items():
        check_value(name, value)
    sparsity = values.pop("sparsity")
    return PrunedAs(Choices(**values), sparsity)


def _restore_fitted(
    network: Network,
    tensors: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    pruned_as: PrunedAs,
    stated: dict[str, Any],
) -> Fitted:
    if stated["precision_"] not in ("float32", "bfloat16"):
        raise ValueError(f"precision_ is {stated['precision_']!r}")
    return Fitted(
        network=network,
        tensors=tensors,
        masks=masks,
        sparsity=float_from_json(stated["sparsity_"]),
        pruned_as=pruned_as,
        seed=natural(stated["seed_"]),
        precision=stated["precision_"],
        loss_curve=_restore_curve(stated["loss_curve_"]),
        validation_scores=_restore_curve(stated["validation_scores_"] or []),
        fine_tune_loss_curve=_restore_curve(stated["fine_tune_loss_curve_"]),
    )


def _restore_curve(curve: Any) -> list[float]:
    if not isinstance(curve, list):
        raise TypeError(f"a curve is {curve!r}")
    return [float_from_json(value) for value in curve]


def _restore_class_weights(saved: Any, n_classes: int) -> np.ndarray | None:
    """Earlier versions had no weights of classes."""
    if saved is None:
        return None
    weights = np.array([float_from_json(weight) for weight in saved])
    if weights.shape != (n_classes,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("its weights of the classes are not a number of at least 0 for each")
    return weights


def _to_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isinf(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):  # its keys are labels, which may be numbers: JSON has only strings for keys
        return {"pairs": [[_to_json(key), _to_json(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_to_json(item) for item in value]
    if isinstance(value, (str, int, float)) or value is None:
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else None  # a RandomState is not kept


def _from_json(value: Any) -> Any:
    if isinstance(value, dict) and "pairs" in value:
        return {_from_json(key): _from_json(item) for key, item in value["pairs"]}
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
    # Strings get their actual width, not the one declared in the file.
    classes = np.array(labels, dtype="U" if match[1] == "U" else type_name)
    if classes.ndim != 1 or len(labels) < 2 or not np.array_equal(np.unique(classes), classes):
        raise ValueError("its class labels are not a sorted list of at least two different ones")
    return classes
