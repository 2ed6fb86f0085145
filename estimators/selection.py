"""The best sparsity by cross-validation: each fold trains once and prunes many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted

from .messages import as_text
from .mlp import PrunedMLPClassifier
from .parameters import check_sparsities
from .path import iter_sparsity_path
from .presets import ORIGINAL_SPARSITIES
from .validation import check_inputs, check_labelled, check_weights, clone_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from .base import BasePrunedClassifier

RULES = ("best", "one-standard-error")


class PrunedMLPClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A pruned classifier whose sparsity is chosen by cross-validation.

    Each fold trains one dense network and prunes it to every sparsity; the classifier is then fitted on all
    the data with the sparsity chosen.

    Parameters
    ----------
    estimator : PrunedMLPClassifier, default=None
        How to train and prune; a `PrunedMLPClassifier` with its defaults if None.
    sparsities : sequence of float, default=ORIGINAL_SPARSITIES
        To choose from.
    cv : int, cross-validation generator or iterable, default=None
        As in scikit-learn: 5 stratified folds if None.
    n_jobs : int, default=None
        Folds in parallel, as in scikit-learn.
    rule : {"best", "one-standard-error"}, default="best"
        "best" takes the highest mean accuracy, the sparser of equals; "one-standard-error" the sparsest
        whose mean accuracy is within one standard error of the best (L. Breiman et al., "Classification and
        Regression Trees", 1984, section 3.4.3).

    Attributes
    ----------
    scores_ : ndarray of shape (n_sparsities, n_folds)
        Accuracy on each fold's held-out part.
    sparsities_ : ndarray of shape (n_sparsities,)
        The sparsities, in the order of `scores_`.
    sparsity_ : float
        The one chosen.
    best_score_ : float
        Mean accuracy at the sparsity chosen.
    estimator_ : PrunedMLPClassifier
        Fitted on all the data with that sparsity.
    classes_, n_features_in_, feature_names_in_
        Of the data, as scikit-learn has them.
    """

    def __init__(
        self,
        estimator: PrunedMLPClassifier | None = None,
        *,
        sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
        cv: Any = None,
        n_jobs: int | None = None,
        rule: str = "best",
    ):
        self.estimator = estimator
        self.sparsities = sparsities
        self.cv = cv
        self.n_jobs = n_jobs
        self.rule = rule

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose the sparsity by cross-validation, then fit on all the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            Used in training, not in scoring.

        Returns
        -------
        self
        """
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {as_text(self.rule)}")
        self.sparsities_ = np.array(check_sparsities(self.sparsities))
        estimator = PrunedMLPClassifier() if self.estimator is None else self.estimator
        X, y, _ = check_labelled(self, X, y, reset=True)
        weights = check_weights(sample_weight, X)
        folds = list(cast("Any", check_cv)(self.cv, y, classifier=True).split(X, y))
        for number, (train, _) in enumerate(folds, 1):
            if len(np.unique(y[train])) < 2:
                raise ValueError(
                    f"cv leaves samples of a single class, {as_text(y[train][0])}, to train on in fold {number}: "
                    "use stratified folds, shuffle the samples, or give more of them"
                )
        columns = Parallel(n_jobs=self.n_jobs)(
            delayed(_fold_scores)(estimator, X, y, weights, self.sparsities_.tolist(), train, test)
            for train, test in folds
        )
        self.scores_ = np.column_stack(cast("list[NDArray]", columns))
        chosen = _choose(self.scores_, self.sparsities_, self.rule)
        self.sparsity_ = float(self.sparsities_[chosen])
        self.best_score_ = float(self.scores_[chosen].mean())
        self.estimator_ = clone_with(estimator, sparsity=self.sparsity_).fit(X, y, weights)
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict classes with the classifier fitted on all the data."""
        return self._fitted().predict(check_inputs(self, X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict class probabilities with the classifier fitted on all the data."""
        return self._fitted().predict_proba(check_inputs(self, X))

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict logarithms of class probabilities with the classifier fitted on all the data."""
        return self._fitted().predict_log_proba(check_inputs(self, X))

    def _fitted(self) -> PrunedMLPClassifier:
        check_is_fitted(self)
        return self.estimator_


def _fold_scores(
    estimator: BasePrunedClassifier,
    X: NDArray,
    y: NDArray,
    weights: NDArray | None,
    sparsities: Sequence[float],
    train: NDArray,
    test: NDArray,
) -> NDArray:
    """Accuracy of every sparsity; samples of a class that the fold has nothing to learn of are predicted wrong."""
    known = test[np.isin(y[test], y[train])]
    if not len(known):
        return np.zeros(len(sparsities))
    points = iter_sparsity_path(
        estimator,
        X[train],
        y[train],
        sparsities=sparsities,
        X_test=X[known],
        y_test=y[known],
        sample_weight=None if weights is None else weights[train],
    )
    n_right = [round(point.row["accuracy"] * len(known)) for point in points]
    return np.array(n_right) / len(test)


def _choose(scores: NDArray, sparsities: NDArray, rule: str) -> int:
    """Index of the sparsity chosen; `scores` is (n_sparsities, n_folds)."""
    means = scores.mean(axis=1)
    good_enough = means.max()
    if rule == "one-standard-error" and scores.shape[1] > 1:
        good_enough -= scores[means.argmax()].std(ddof=1) / np.sqrt(scores.shape[1])
    candidates = np.flatnonzero(means >= good_enough - 1e-12)  # equal but for rounding is equal
    return int(candidates[sparsities[candidates].argmax()])
