"""The best sparsity by cross-validation: each fold trains once and prunes many times."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted

from .base import BasePrunedClassifier, all_or_nothing
from .messages import as_text
from .mlp import PrunedMLPClassifier
from .parameters import check_sparsities
from .path import iter_sparsity_path
from .presets import ORIGINAL_SPARSITIES
from .validation import check_inputs, check_labelled, check_weights, clone_with

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Scorer = Callable[..., float]

RULES = ("best", "one-standard-error")


class PrunedClassifierCV(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A pruned classifier whose sparsity is chosen by cross-validation.

    Each fold trains one dense network and prunes it to every sparsity; the classifier is then fitted on all
    the data with the sparsity chosen. The scores are those of ``GridSearchCV(estimator, {"sparsity": sparsities})``.

    Parameters
    ----------
    estimator : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier, default=None
        How to train and prune; a `PrunedMLPClassifier` with its defaults if None. Its own `sparsity` is not used.
    sparsities : sequence of float, default=ORIGINAL_SPARSITIES
        To choose from.
    cv : int, cross-validation generator or iterable, default=None
        As in scikit-learn: 5 stratified folds if None. Generators that keep groups together, such as ``GroupKFold()``,
        get the `groups` that are passed to `fit`.
    n_jobs : int, default=None
        Folds in parallel, as in scikit-learn.
    rule : {"best", "one-standard-error"}, default="best"
        "best" takes the highest mean score, the sparser of equals; "one-standard-error" the sparsest
        whose mean score is within one standard error of the best (L. Breiman et al., "Classification and
        Regression Trees", 1984, section 3.4.3).
    scoring : str or callable, default=None
        The metric, as in scikit-learn: accuracy if None; the name of a scorer, such as "balanced_accuracy" or
        "neg_log_loss"; or a callable ``scorer(estimator, X, y)`` that returns one number. Greater is better. A
        sparsity is chosen by one metric: lists and dicts of metrics are refused.

    Attributes
    ----------
    scores_ : ndarray of shape (n_sparsities, n_folds)
        The score on each fold's held-out part.
    sparsities_ : ndarray of shape (n_sparsities,)
        The sparsities, in the order of `scores_`.
    sparsity_ : float
        The one chosen.
    best_score_ : float
        Mean score at the sparsity chosen.
    estimator_ : BasePrunedClassifier
        Fitted on all the data with that sparsity.
    scorer_ : callable
        What `scoring` stands for.
    classes_, n_features_in_, feature_names_in_
        Of the data, as scikit-learn has them.

    See Also
    --------
    sparsity_path : All sparsities on one split of the data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from prunelab.estimators import PrunedClassifierCV, PrunedMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> estimator = PrunedMLPClassifier((64,), max_iter=5, random_state=0)
    >>> search = PrunedClassifierCV(estimator, sparsities=[0, 0.5, 0.9], cv=3, scoring="balanced_accuracy")
    >>> search.fit(X / 16, y).scores_.shape
    (3, 3)
    """

    def __init__(
        self,
        estimator: BasePrunedClassifier | None = None,
        *,
        sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
        cv: Any = None,
        n_jobs: int | None = None,
        rule: str = "best",
        scoring: str | Scorer | None = None,
    ):
        self.estimator = estimator
        self.sparsities = sparsities
        self.cv = cv
        self.n_jobs = n_jobs
        self.rule = rule
        self.scoring = scoring

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, *, groups: ArrayLike | None = None
    ) -> Self:
        """Choose the sparsity by cross-validation, then fit on all the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or with the shape of a sample
        y : array-like of shape (n_samples,)
        sample_weight : array-like of shape (n_samples,), optional
            Used in training, not in scoring.
        groups : array-like of shape (n_samples,), optional
            The group of every sample, for `cv` that keeps groups together.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; if a fold has a single class to train on; or if the metric is
            undefined on a fold.
        """
        with all_or_nothing(self):
            return self._fit(X, y, sample_weight, groups)

    def _fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, groups: ArrayLike | None) -> Self:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {as_text(self.rule)}")
        self.sparsities_ = np.array(check_sparsities(self.sparsities))
        estimator = PrunedMLPClassifier() if self.estimator is None else self.estimator
        if not isinstance(estimator, BasePrunedClassifier):
            raise ValueError(
                f"estimator must be a pruned classifier, such as PrunedMLPClassifier(), got {as_text(estimator)}"
            )
        self.scorer_ = _scorer_of(estimator, self.scoring)
        rows, y, shape = check_labelled(self, X, y, reset=True)
        X = rows.reshape(len(rows), *shape)
        weights = check_weights(sample_weight, rows)
        folds = list(cast("Any", check_cv)(self.cv, y, classifier=True).split(rows, y, groups))
        for number, (train, _) in enumerate(folds, 1):
            if len(np.unique(y[train])) < 2:
                raise ValueError(
                    f"cv leaves samples of a single class, {as_text(y[train][0])}, to train on in fold {number}: "
                    "use stratified folds, shuffle the samples, or give more of them"
                )
        columns = Parallel(n_jobs=self.n_jobs)(
            delayed(_fold_scores)(estimator, self.scorer_, X, y, weights, self.sparsities_.tolist(), train, test)
            for train, test in folds
        )
        self.scores_ = np.column_stack(cast("list[NDArray]", columns))
        chosen = _choose(self.scores_, self.sparsities_, self.rule)
        self.sparsity_ = float(self.sparsities_[chosen])
        self.best_score_ = float(self.scores_[chosen].mean())
        self.estimator_ = clone_with(estimator, sparsity=self.sparsity_).fit(X, y, weights)
        self.classes_, self.sample_shape_ = self.estimator_.classes_, self.estimator_.sample_shape_
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

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Score the classifier fitted on all the data, by the metric of `scoring`."""
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(self.scorer_(self._fitted(), check_inputs(self, X), y, **weights))

    def _fitted(self) -> BasePrunedClassifier:
        check_is_fitted(self)
        return self.estimator_


#: The same estimator, by the name it had when multi-layer perceptrons were the only networks.
PrunedMLPClassifierCV = PrunedClassifierCV


def _scorer_of(estimator: BasePrunedClassifier, scoring: Any) -> Scorer:
    """The scorer that `scoring` stands for."""
    if scoring is None or callable(scoring) or (isinstance(scoring, str) and scoring in get_scorer_names()):
        return cast("Scorer", check_scoring(estimator, scoring))
    raise ValueError(
        f"scoring must be None, one name from sklearn.metrics.get_scorer_names() or a callable, got {as_text(scoring)}"
    )


def _fold_scores(
    estimator: BasePrunedClassifier,
    scorer: Scorer,
    X: NDArray,
    y: NDArray,
    weights: NDArray | None,
    sparsities: Sequence[float],
    train: NDArray,
    test: NDArray,
) -> NDArray[np.float64]:
    """The score of every sparsity; samples of a class that is not in the training part are predicted wrong."""
    weights = None if weights is None else weights[train]
    points = iter_sparsity_path(estimator, X[train], y[train], sparsities=sparsities, sample_weight=weights)
    scores = []
    for point in points:
        score = scorer(point.to_classifier(), X[test], y[test])
        if not isinstance(score, numbers.Real) or np.isnan(score):
            raise ValueError(
                f"scoring must give one number, got {as_text(score)} at sparsity {point.row['sparsity']:g}: choose "
                "another metric, or folds that have every class"
            )
        scores.append(score)
    return np.array(scores, dtype=float)


def _choose(scores: NDArray, sparsities: NDArray, rule: str) -> int:
    """Index of the sparsity chosen; `scores` is (n_sparsities, n_folds)."""
    means = scores.mean(axis=1)
    good_enough = means.max()
    if rule == "one-standard-error" and scores.shape[1] > 1:
        good_enough -= scores[means.argmax()].std(ddof=1) / np.sqrt(scores.shape[1])
    candidates = np.flatnonzero(means >= good_enough - 1e-12)  # equal but for rounding is equal
    return int(candidates[sparsities[candidates].argmax()])
