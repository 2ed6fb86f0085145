"""What is checked before anything is computed: parameters and data, each error one sentence."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from .backend import PRECISIONS, resolve_device
from .pruning.criteria import GRANULARITIES, NORMS, criterion_names
from .pruning.masks import ORDERS, SCOPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Estimator = TypeVar("Estimator", bound=BaseEstimator)

SOLVERS = ("adam", "sgd")
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")


def clone_with(estimator: Estimator, **parameters: Any) -> Estimator:
    """An unfitted copy of an estimator with some parameters replaced."""
    return cast("Estimator", cast("Any", clone(estimator)).set_params(**parameters))


def check_inputs(estimator: BaseEstimator, X: ArrayLike, reset: bool = False) -> NDArray[np.float32]:
    """Validate samples as scikit-learn does; with `reset`, remember what their features are."""
    return cast("Any", validate_data)(estimator, X, dtype=np.float32, order="C", reset=reset)


def check_labelled(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike, reset: bool
) -> tuple[NDArray[np.float32], NDArray]:
    """Validate samples and class labels as scikit-learn does."""
    X, y = cast("Any", validate_data)(estimator, X, y, dtype=np.float32, order="C", reset=reset)
    check_classification_targets(y)
    return cast("NDArray[np.float32]", X), cast("NDArray", y)


def check_weights(weights: ArrayLike | None, X: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Validate sample weights: one a sample, none negative."""
    if weights is None:
        return None
    return cast("Any", _check_sample_weight)(weights, X, dtype=np.float32, ensure_non_negative=True)


def classes_of(labels: ArrayLike) -> NDArray:
    """The classes among some labels, sorted; ValueError if there is only one."""
    classes = np.unique(column_or_1d(labels))
    if len(classes) < 2:
        raise ValueError(f"a classifier needs samples of at least 2 classes, got 1 class: {classes[0]!r}")
    return classes


def encode(y: NDArray, classes: NDArray) -> NDArray[np.int64]:
    """Labels as indices into `classes`; ValueError if there are others among them."""
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(f"y has labels that are not among the classes {classes}: {unknown}")
    return np.searchsorted(classes, y).astype(np.int64)


def _number(
    low: float, high: float = float("inf"), *, open_low: bool = False, open_high: bool = False, whole: bool = False
):
    """A check for a number in a range, and the words for it."""
    kind = numbers.Integral if whole else numbers.Real
    bounds = {
        (True, True): f"between {low:g} and {high:g}",
        (True, False): f"above {low:g}",
        (False, True): f"from {low:g} to below {high:g}",
        (False, False): f"from {low:g} to {high:g}",
    }[open_low, open_high]
    if high == float("inf"):
        bounds = f"above {low:g}" if open_low else f"of at least {low:g}"

    def check(value: Any) -> bool:
        if not isinstance(value, kind) or isinstance(value, (bool, np.bool_)):
            return False
        number = float(value)
        return (number > low if open_low else number >= low) and (number < high if open_high else number <= high)

    return check, f"a {'whole ' if whole else ''}number {bounds}"


def _one_of(choices: Sequence):
    words = ", ".join(dict.fromkeys(repr(choice) for choice in choices))
    return lambda value: not isinstance(value, (list, np.ndarray)) and value in choices, f"one of {words}"


def _flag():
    return lambda value: isinstance(value, (bool, np.bool_)), "True or False"


def _seed():
    def check(value: Any) -> bool:
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return int(value) >= 0
        return value is None or isinstance(value, np.random.RandomState)

    return check, "a whole number of at least 0, a RandomState or None"


def _widths():
    def check(value: Any) -> bool:
        if not isinstance(value, (list, tuple, np.ndarray)):
            return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0
        return all(isinstance(width, numbers.Integral) and int(width) > 0 for width in value)

    return check, "whole numbers above 0, such as (300, 100)"


_CHECKS = {
    "hidden_layer_sizes": _widths(),
    "activation": _one_of(ACTIVATIONS),
    "solver": _one_of(SOLVERS),
    "alpha": _number(0),
    "batch_size": _number(1, whole=True),
    "learning_rate_init": _number(0, open_low=True),
    "momentum": _number(0, 1, open_high=True),
    "max_iter": _number(1, whole=True),
    "tol": _number(float("-inf")),
    "n_iter_no_change": _number(1, whole=True),
    "early_stopping": _flag(),
    "random_state": _seed(),
    "validation_fraction": _number(0, 1, open_low=True, open_high=True),
    "verbose": (lambda value: isinstance(value, (bool, numbers.Integral)), "True, False or a whole number"),
    "warm_start": _flag(),
    "fit_intercept": _flag(),
    "sparsity": _number(0, 1),
    "granularity": _one_of(GRANULARITIES),
    "scope": _one_of(SCOPES),
    "norm": (lambda value: not isinstance(value, np.ndarray) and value in (*NORMS, "inf"), "1, 2 or inf"),
    "order": _one_of(ORDERS),
    "prune_output": _flag(),
    "fine_tune_iter": _number(0, whole=True),
    "device": (lambda value: isinstance(value, str), "a name such as 'auto', 'cpu' or 'cuda'"),
    "precision": _one_of(PRECISIONS),
}


def check_parameters(estimator: BaseEstimator, check_device: bool = True) -> None:
    """Raise ValueError, one sentence, for the first parameter with a value that cannot be.

    A device that this machine does not have counts as such unless `check_device` is False.
    """
    checks = {**_CHECKS, "criterion": _one_of(criterion_names())}
    for name, value in estimator.get_params(deep=False).items():
        if name in checks and not checks[name][0](value):
            raise ValueError(f"{name} must be {checks[name][1]}, got {value!r}")
    if check_device:
        resolve_device(estimator.get_params(deep=False)["device"])
