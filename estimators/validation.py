"""What is checked before anything is computed: parameters and data, each error one sentence."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from .backend import resolve_device
from .messages import as_text
from .parameters import check_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

Estimator = TypeVar("Estimator", bound=BaseEstimator)


def clone_with(estimator: Estimator, **parameters: Any) -> Estimator:
    """An unfitted copy of an estimator with some parameters replaced."""
    return cast("Estimator", cast("Any", clone(estimator)).set_params(**parameters))


def check_inputs(estimator: BaseEstimator, X: ArrayLike, reset: bool = False) -> NDArray[np.float32]:
    """Validate samples as scikit-learn does; with `reset`, remember what their features are.

    Samples of any shape become rows, (n_samples, n_features).
    """
    return _validated(estimator, X, reset)[0][0]


def check_labelled(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, reset: bool
) -> tuple[NDArray[np.float32], NDArray, tuple[int, ...]]:
    """Validate samples and class labels as scikit-learn does; return rows, labels, and the shape of a sample."""
    (rows, labels), shape = _validated(estimator, X, reset, y)
    check_classification_targets(labels)
    return rows, labels, shape or (rows.shape[1],)


def _validated(estimator: BaseEstimator, X: ArrayLike, reset: bool, *y: ArrayLike) -> tuple[list[Any], tuple[int, ...]]:
    """Rows, and labels if there are any, and the shape of a sample that X shows."""
    rows, shape = _as_rows(X)
    if not reset:
        _check_shape(estimator, shape)
    has_gaps = getattr(estimator, "may_have_gaps", False)
    options = {"dtype": np.float32, "order": "C", "ensure_all_finite": "allow-nan" if has_gaps else True}
    found = cast("Any", validate_data)(estimator, rows, *y, reset=reset, **options)
    arrays = list(found) if y else [found]
    if has_gaps and np.isnan(arrays[0]).any():
        seen = shape or (arrays[0].shape[1],)
        cast("Any", estimator).check_missing(arrays[0], seen if reset else cast("Any", estimator).sample_shape_)
    return arrays, shape


def _as_rows(X: ArrayLike) -> tuple[ArrayLike, tuple[int, ...]]:
    """Samples with more than one axis as rows, and their shape; other data as they are."""
    if getattr(X, "ndim", 2) <= 2 or not isinstance(X, np.ndarray) or len(X) == 0:
        return X, ()
    return X.reshape(len(X), -1), X.shape[1:]


def _check_shape(estimator: BaseEstimator, shape: tuple[int, ...]) -> None:
    """Refuse images of another shape than the fitted ones, whose pixels would be taken for others.

    Rows have no shape that could differ, and neither has what was fitted on rows. A single channel may be left out.
    """
    fitted = getattr(estimator, "sample_shape_", ())
    if len(shape) > 1 and len(fitted) > 1 and _without_channel(shape) != _without_channel(fitted):
        raise ValueError(f"X has samples of shape {shape}, and the fitted ones have the shape {fitted}")


def _without_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if len(shape) == 3 and shape[0] == 1 else shape


def check_weights(
    weights: ArrayLike | None, X: NDArray[np.float32], of_classes: NDArray[np.float64] | None = None
) -> NDArray[np.float32] | None:
    """Validate sample weights: one a sample, none negative; times the weights of the samples' classes, if given."""
    check = partial(cast("Any", _check_sample_weight), X=X, ensure_non_negative=True)
    if of_classes is not None:
        weights = of_classes if weights is None else of_classes * check(weights, dtype=np.float64)
    return None if weights is None else check(weights, dtype=np.float32)


def weights_of_classes(
    class_weight: Mapping[Any, float] | str | None, classes: NDArray, y: NDArray
) -> NDArray[np.float64] | None:
    """The weight of each class, shape (n_classes,); None where `class_weight` is None.

    Raises
    ------
    ValueError
        If it names a class that is not there while it leaves out one that is, or gives no class a weight above 0.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        return compute_class_weight(class_weight, classes=classes, y=y)
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in labels]
    # A part of the data, such as a fold, may lack a class; but then all classes that are there have to be named.
    if unknown and any(label not in class_weight for label in labels):
        raise ValueError(
            f"class_weight has a weight for {as_text(unknown[0])}, which is not among the classes {as_text(classes)}"
        )
    weights = np.array([class_weight.get(label, 1.0) for label in labels], dtype=np.float64)
    if not weights.any():
        raise ValueError("class_weight must give at least one of the classes a weight above 0")
    return weights


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
