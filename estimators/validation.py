"""What is checked before anything is computed: parameters and data, each error one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from .backend import resolve_device
from .messages import as_text
from .parameters import check_value

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Estimator = TypeVar("Estimator", bound=BaseEstimator)


def clone_with(estimator: Estimator, **parameters: Any) -> Estimator:
    """An unfitted copy of an estimator with some parameters replaced."""
    return cast("Estimator", cast("Any", clone(estimator)).set_params(**parameters))


def check_inputs(estimator: BaseEstimator, X: ArrayLike, reset: bool = False) -> NDArray[np.float32]:
    """Validate samples as scikit-learn does; with `reset`, remember what their features are.

    Samples of any shape become rows, (n_samples, n_features).
    """
    rows, _ = _as_rows(X)
    return cast("Any", validate_data)(estimator, rows, dtype=np.float32, order="C", reset=reset)


def check_labelled(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, reset: bool
) -> tuple[NDArray[np.float32], NDArray, tuple[int, ...]]:
    """Validate samples and class labels as scikit-learn does; return rows, labels, and the shape of a sample."""
    rows, shape = _as_rows(X)
    rows, y = cast("Any", validate_data)(estimator, rows, y, dtype=np.float32, order="C", reset=reset)
    check_classification_targets(y)
    rows = cast("NDArray[np.float32]", rows)
    return rows, cast("NDArray", y), shape or (rows.shape[1],)


def _as_rows(X: ArrayLike) -> tuple[ArrayLike, tuple[int, ...]]:
    """Samples with more than one axis as rows, and their shape; other data as they are."""
    if getattr(X, "ndim", 2) <= 2 or not isinstance(X, np.ndarray) or len(X) == 0:
        return X, ()
    return X.reshape(len(X), -1), X.shape[1:]


def check_weights(weights: ArrayLike | None, X: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Validate sample weights: one a sample, none negative."""
    if weights is None:
        return None
    return cast("Any", _check_sample_weight)(weights, X, dtype=np.float32, ensure_non_negative=True)


def classes_of(labels: ArrayLike) -> NDArray:
    """The classes among some labels, sorted; ValueError if there is only one."""
    classes = np.unique(column_or_1d(labels))
    if len(classes) < 2:
        raise ValueError(f"a classifier needs samples of at least 2 classes, got 1 class: {as_text(classes[0])}")
    return classes


def encode(y: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """Labels as indices into `classes`; ValueError if there are others among them."""
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(f"y has labels that are not among the classes {as_text(classes)}: {as_text(unknown)}")
    return np.searchsorted(classes, y).astype(np.int64)


def check_parameters(estimator: BaseEstimator, check_device: bool = True) -> None:
    """Raise ValueError, one sentence, for the first parameter with a value that cannot be.

    A device that this machine does not have counts as such unless `check_device` is False.
    """
    parameters = estimator.get_params(deep=False)
    for name, value in parameters.items():
        check_value(name, value)
    if check_device:
        resolve_device(parameters["device"])
