"""From the values in the user's own rows to what a network takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..sequences import sequence_lengths, steps_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

SCALINGS = ("features", "signed", "unit", "standard")


class Preprocessing(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A scikit-learn transformer that scales raw samples as `load_dataset` scaled the training data.

    `load_dataset` returns it fitted, as ``data.preprocessing``. Model files that ``prunelab`` writes hold it, and a
    loaded classifier has it as ``preprocessing_``::

        classifier = PrunedMLPClassifier.load("model.safetensors")
        classifier.predict(classifier.preprocessing_.transform(pd.read_csv("table.csv")))

    The classifier itself predicts on transformed samples.

    Parameters
    ----------
    scaling : {"features", "signed", "unit", "standard"}, default="features"
        "features" gives every feature mean 0 and standard deviation 1 on the training data; constant features become 0.
        Of sequences (n_samples, steps, features), these are means over all steps, and NaN marks the steps behind the
        end of a shorter sequence.
        The others scale pixels: to [-1, 1], to [0, 1], or all together to mean 0 and standard deviation 1.
    largest : float, default=255
        The value of a white pixel. Unused for "features".

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,) of str
        The columns of the table; absent if the training data were arrays.
    sample_shape_ : tuple of int
        The shape of one sample as it was saved.
    class_names_ : list of str
        The name of each class, in the order of the classifier's `classes_`. For a file, ``class_names_[i]`` is
        ``str(classes_[i])``; for the named data sets, `classes_` are the codes 0 to 9 and these their meanings.
    mean_, scale_ : ndarray
        Of the training data: shape (n_features,), float64, for "features", with a scale of 0 where a feature is
        constant; shape (1,), float32, for pixels that were brought to [-1, 1].
    """

    feature_names_in_: NDArray[Any]
    class_names_: list[str]

    def __init__(self, scaling: str = "features", largest: float = 255):
        self.scaling = scaling
        self.largest = largest

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: ARG002
        """Learn the scale of the training data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), or DataFrame
            Finite numbers.
        y : ignored

        Returns
        -------
        self
        """
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {', '.join(map(repr, SCALINGS))}, got {self.scaling!r}")
        names = _names_of(X)
        values = _to_array(X)
        self.sample_shape_ = values.shape[1:]
        self.n_features_in_ = math.prod(self.sample_shape_)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        rows = values.reshape(len(values), -1)
        if self.scaling == "features":
            n_steps = 1
            if values.ndim == 3:
                n_steps, rows = values.shape[1], steps_of(values)
            with np.errstate(all="ignore"):
                mean = rows.mean(axis=0, dtype=np.float64)
                scale = rows.std(axis=0, dtype=np.float64)
            # The standard deviation of a constant feature is not exactly 0, because its mean is rounded.
            scale = np.where(rows.min(axis=0) == rows.max(axis=0), 0.0, scale)
            self.mean_, self.scale_ = np.tile(mean, n_steps), np.tile(scale, n_steps)
        else:
            low, size = 0.0, 1.0
            if self.scaling == "unit":
                low, size = -1.0, 2.0
            elif self.scaling == "standard":
                signed = self._signed(rows)
                low, size = float(signed.mean()), float(signed.std()) or 1.0
            self.mean_, self.scale_ = np.array([low], np.float32), np.array([size], np.float32)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Scale raw samples.

        Parameters
        ----------
        X : DataFrame, or array-like of shape (n_samples, n_features) or (n_samples, ...)
            As in the file that the classifier was trained on. Of a DataFrame, the columns `feature_names_in_` are
            used, wherever they stand; others, such as the labels, are ignored.

        Returns
        -------
        ndarray of shape (n_samples, n_features), float32

        Raises
        ------
        ValueError
            If a column is missing, the number of features or the range of the pixels is another, or a value is
            no finite number.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if names is not None and _names_of(X) is not None:
            X = _select(X, names)
        values = _to_array(X)
        if math.prod(values.shape[1:]) != self.n_features_in_:
            raise ValueError(
                f"X has samples of shape {values.shape[1:]}, but the training data had {self.sample_shape_}, "
                f"{self.n_features_in_} features"
            )
        values = values.reshape(len(values), -1)
        if len(self.sample_shape_) == 2 and self.scaling == "features":
            sequence_lengths(values.reshape(-1, *self.sample_shape_).astype(np.float64, copy=False))
        elif not np.isfinite(values).all():
            raise ValueError("X has missing (NaN) or infinite values: fill them in or leave these samples out")
        if self.scaling != "features":
            self._check_range(values)
        return self.scale(values)

    def scale(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Scale an array of shape (n_samples, n_features) that needs no checks."""
        if self.scaling == "features":
            constant = self.scale_ == 0
            with np.errstate(all="ignore"):
                scaled = (values - self.mean_) / np.where(constant, 1.0, self.scale_)
                scaled[:, constant] = np.where(np.isnan(values[:, constant]), np.nan, 0)
                return scaled.astype(np.float32, order="C")
        scaled = self._signed(values)
        scaled -= self.mean_
        scaled /= self.scale_
        return scaled

    def _signed(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map values from 0 to `largest` to [-1, 1]."""
        scaled = values.astype(np.float32, order="C")
        scaled /= np.float32(self.largest)
        scaled -= np.float32(0.5)
        scaled /= np.float32(0.5)
        return scaled

    def _check_range(self, values: NDArray[Any]) -> None:
        low, high = float(values.min(initial=0)), float(values.max(initial=0))
        is_unit = self.largest > 1 and 0 < high <= 1 and values.dtype.kind == "f" and (values % 1 != 0).any()
        if low < 0 or high > self.largest or is_unit:
            raise ValueError(
                f"X has values from {low:g} to {high:g}, but the pixels of the training data went from 0 to "
                f"{self.largest:g}: pass them as they are in the file, not scaled"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "scale_")

    # -- files -----------------------------------------------------------------------------------------------

    def to_header(self) -> dict[str, Any]:
        """What a model file holds beside `to_arrays`, as JSON."""
        names = getattr(self, "feature_names_in_", None)
        return {
            "scaling": self.scaling,
            "largest": float(self.largest),
            "sample_shape": list(self.sample_shape_),
            "feature_names": None if names is None else list(names),
            "class_names": list(self.class_names_),
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a model file holds."""
        return {"mean": self.mean_, "scale": self.scale_}

    @classmethod
    def restore(
        cls, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n_features: int, n_classes: int
    ) -> Self:
        """The inverse of `to_header` and `to_arrays`; KeyError, TypeError or ValueError if they are damaged."""
        new = cls(header["scaling"], header["largest"])
        if new.scaling not in SCALINGS or not isinstance(new.largest, (int, float)) or not 0 < new.largest < math.inf:
            raise ValueError(f"its preprocessing has scaling {new.scaling!r} and largest {new.largest!r}")
        shape = header["sample_shape"]
        if not all(type(n) is int and n > 0 for n in shape) or math.prod(shape) != n_features:
            raise ValueError(f"its preprocessing has the sample shape {shape!r}, not {n_features} features")
        new.sample_shape_, new.n_features_in_ = tuple(shape), n_features
        names = header["feature_names"]
        if names is not None:
            new.feature_names_in_ = np.array(_strings(names, n_features, "feature names"), dtype=object)
        new.class_names_ = _strings(header["class_names"], n_classes, "class names")
        if arrays.keys() != {"mean", "scale"}:
            raise ValueError("its preprocessing does not consist of a mean and a scale")
        wanted, kind = ((n_features,), np.float64) if new.scaling == "features" else ((1,), np.float32)
        for name in ("mean", "scale"):
            array = arrays[name]
            if array.shape != wanted or array.dtype != kind or not np.isfinite(array).all():
                raise ValueError(f"its preprocessing has a {name} of {array.dtype} {array.shape}, not {wanted}")
            setattr(new, f"{name}_", array)
        if (new.scale_ < 0).any() or (new.scaling != "features" and not new.scale_.all()):
            raise ValueError("its preprocessing has a scale that is not positive")
        return new


def _strings(values: Sequence[str], count: int, what: str) -> list[str]:
    if not isinstance(values, list) or len(values) != count or not all(isinstance(value, str) for value in values):
        raise ValueError(f"its preprocessing has {what} that do not fit the network")
    return values


def _names_of(X: Any) -> list[str] | None:
    """The names of the columns of a DataFrame; None of an array."""
    return [str(name).strip() for name in X.columns] if hasattr(X, "columns") else None


def _select(X: Any, names: NDArray[Any]) -> Any:
    """The columns of a DataFrame that are features, in the order of the training data."""
    places = {name: place for place, name in reversed(list(enumerate(_names_of(X) or [])))}
    missing = [name for name in names if name not in places]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"X has no column {missing[0]!r}{more}, which the network was trained on")
    return X.iloc[:, [places[name] for name in names]]


def _to_array(X: Any) -> NDArray[Any]:
    values = np.asarray(X)
    if values.dtype == object:  # columns of several types
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            raise ValueError("X has values that are not numbers") from None
    if values.dtype.kind not in "biuf":
        raise ValueError(f"X holds {values.dtype} values: samples must be numbers")
    if values.ndim < 2:
        raise ValueError(f"X has {values.ndim} dimension(s): it needs one row per sample and one column per feature")
    return values
