"""Train once, prune many times: sparsity paths, and the best sparsity by cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from .accounting import count_cost
from .backend import memory_errors
from .base import PruningWarning, warn_if_disconnected
from .fitting import make_pruner, prune
from .messages import as_text
from .mlp import PrunedMLPClassifier
from .parameters import TRAINED_TO_THE_END, check_sparsities
from .presets import ORIGINAL_SPARSITIES, WAYS
from .pruning.connectivity import connectivity
from .schedules.controls import carry_out
from .training.events import PointEnded
from .validation import check_inputs, check_labelled, check_parameters, check_weights, clone_with, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from .base import BasePrunedClassifier
    from .fitting import DenseModel, PrunedModel
    from .inference import Evaluator
    from .networks.base import Network
    from .pruning.connectivity import Connectivity
    from .training.events import Event
    from .training.state import Arrays, Checkpoint, Training

    Listener = Callable[[Event], None]

#: The columns of a table of results, one row a point.
COLUMNS = (
    "seed",
    "criterion",
    "granularity",
    "scope",
    "sparsity",
    "achieved_sparsity",
    "effective_sparsity",
    "accuracy",
    "loss",
    "nonzero",
    "compression",
    "macs",
    "speedup",
    "dead_units",
    "disconnected_units",
    "test_samples",
    "updates",
)

#: Parameters of the classifier that can change without another training.
PRUNING_PARAMETERS = (
    *WAYS,
    "prune_output",
    "per_output",
    "fine_tune_iter",
    "fine_tune_learning_rate",
    "n_rounds",
    "rewind_step",
    "density_distribution",
)

RULES = ("best", "one-standard-error")


@dataclass(frozen=True)
class PathPoint:
    """One pruned network of a path, its row of the table, what is connected in it, and the accuracy before pruning."""

    row: dict[str, Any]
    network: Network
    model: PrunedModel
    dense: DenseModel
    estimator: BasePrunedClassifier
    connectivity: Connectivity
    dense_accuracy: float = np.nan

    def to_classifier(self) -> BasePrunedClassifier:
        """The fitted classifier of this point, as ``fit`` with its parameters gives it."""
        classifier = clone_with(self.estimator, sparsity=self.row["sparsity"])
        copy_data_attributes(self.estimator, classifier)
        classifier._publish(self.dense.task, self.model)
        return classifier

    def to_dense_classifier(self) -> BasePrunedClassifier:
        """The fitted classifier before the pruning."""
        classifier = clone_with(self.estimator, sparsity=0.0, schedule="one-shot", control="none")
        copy_data_attributes(self.estimator, classifier)
        unpruned = make_pruner(self.dense, classifier._choices()).prune(0.0)
        classifier._publish(self.dense.task, prune(self.dense, unpruned))
        return classifier


def iter_sparsity_path(
    estimator: BasePrunedClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
    variants: Sequence[Mapping[str, Any]] = ({},),
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    on_event: Listener | None = None,
    checkpoint: Checkpoint | None = None,
    skip: Collection[tuple[int, float]] = (),
    watch: bool = False,
) -> Iterator[PathPoint]:
    """Train once, then prune to one sparsity after the other, yielding each as it is done.

    Parameters
    ----------
    estimator : PrunedMLPClassifier
        Its parameters say how to train and prune; it is not changed.
    X, y, sample_weight : array-like
        Training data.
    sparsities : sequence of float
        Each is pruned from the dense network, not from the point before it.
    variants : sequence of mappings
        Parameters of the pruning (such as ``{"granularity": "unit"}``) that replace those of `estimator`;
        all of them are pruned from the same dense network.
    X_test, y_test : array-like, optional
        For accuracy and loss, which are NaN without.
    on_event : callable, optional
        Told the progress.
    checkpoint : Checkpoint, optional
        From an event of the same path, told before it was interrupted: its training goes on from there.
    skip : collection of (int, float), default=()
        Points to leave out because they are known already: the number of the variant, from 0, and the sparsity.
    watch : bool, default=False
        Whether to score the test data after every epoch, for the events alone.

    The rows have the columns `COLUMNS`, and those of `WAYS` in which the variants differ. ``updates`` counts the
    updates of all trainings behind a network: the dense one where it is pruned from that, every round, and the
    retraining.
    With ``early_stopping="measure"`` and a schedule that trains the pruned network, they have ``epochs_to_dense``:
    after how many epochs that network first was as accurate on the held-out data as the dense one in the end, or NaN.
    With ``early_stopping="measure"`` they have ``early_stop_step``, the updates after which the loss on the
    held-out data was lowest while this network was trained, and ``early_stop_accuracy``, that on the test data then;
    NaN where the network was pruned after its training.

    Raises
    ------
    ValueError
        If a parameter, a sparsity or the data cannot be used, before anything is trained; or if a training diverges.
    MemoryError
        If memory runs out, also that of a GPU.
    """
    with memory_errors():
        yield from _points(
            estimator,
            X,
            y,
            sparsities=sparsities,
            variants=variants,
            X_test=X_test,
            y_test=y_test,
            sample_weight=sample_weight,
            on_event=on_event,
            checkpoint=checkpoint,
            skip=skip,
            watch=watch,
        )


def _points(
    estimator: BasePrunedClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sparsities: Sequence[float],
    variants: Sequence[Mapping[str, Any]],
    X_test: ArrayLike | None,
    y_test: ArrayLike | None,
    sample_weight: ArrayLike | None,
    on_event: Listener | None,
    checkpoint: Checkpoint | None,
    skip: Collection[tuple[int, float]],
    watch: bool,
) -> Iterator[PathPoint]:
    """The points of `iter_sparsity_path`."""
    sparsities = check_sparsities(sparsities)
    _check_variants(variants)
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test go together: give both or neither")
    pruned_as = [clone_with(estimator, **variant) for variant in variants]
    for variant in pruned_as:
        check_parameters(variant)
        variant._check_conflicts(max(sparsities))
    trained = pruned_as[0]
    task, samples, start = trained._prepare(X, y, sample_weight)
    for variant in pruned_as:
        variant._check_rewinding(task, samples)
        copy_data_attributes(trained, variant)
    trained.precision_ = task.precision
    test = None if X_test is None or y_test is None else _Test(trained, X_test, y_test)
    network = task.network
    monitor = None if test is None or not watch else lambda arrays: test.score_tensors(network, arrays)[0]
    dense = trained._train_dense(task, samples, start, on_event, checkpoint, monitor)
    _warn_of_unequal_training(dense, [variant.schedule for variant in pruned_as])
    points = len(sparsities) * len(pruned_as)
    tickets: dict[Any, Any] = {}
    # All rows have the same columns, whichever variant they are of.
    tells_before = any(variant.fine_tune_iter for variant in pruned_as)
    tells_early_stop = trained.early_stopping == "measure"
    trains_again = any(variant.schedule != "one-shot" or variant.control == "reinit" for variant in pruned_as)
    counts_epochs = tells_early_stop and trains_again
    varying = [name for name in WAYS if name not in COLUMNS and len({getattr(v, name) for v in pruned_as}) > 1]
    dense_accuracy = np.nan if test is None else test.score_dense(network, dense)
    for v, variant in enumerate(pruned_as):
        wanted = [(s, sparsity) for s, sparsity in enumerate(sparsities) if (v, sparsity) not in skip]
        if not wanted:
            continue
        choices = variant._choices()
        pruner = make_pruner(dense, choices) if variant.schedule == "one-shot" else None
        for s, sparsity in wanted:
            problem = variant._problem(task, lambda: (dense.samples, dense.validation), lambda: dense, on_event)
            problem.monitor, problem.memory = monitor, tickets.setdefault(problem.search, {})
            problem.pruner = pruner
            model = carry_out(problem, sparsity)
            pruned = model.pruned
            scores = (np.nan, np.nan) if test is None else test.score(network, model, dense)
            connected = connectivity(network, model.tensors)
            cost = count_cost(network, model.tensors, connected)
            warn_if_disconnected(connected, sparsity)
            row = {
                "seed": dense.task.seed,
                "criterion": choices.criterion,
                "granularity": choices.granularity,
                "scope": choices.scope,
                "sparsity": sparsity,
                "achieved_sparsity": pruned.achieved_sparsity,
                "effective_sparsity": connected.effective_sparsity(choices.prune_output),
                "accuracy": scores[0],
                "loss": scores[1],
                "nonzero": cost.nonzero,
                "compression": cost.compression,
                "macs": cost.macs,
                "speedup": cost.speedup,
                "dead_units": sum(connected.dead_units),
                "disconnected_units": sum(connected.disconnected_units),
                "test_samples": np.nan if test is None else test.n_samples,
                "updates": model.updates,
            }
            row |= {name: _text(getattr(variant, name)) for name in varying}
            if counts_epochs:
                row["epochs_to_dense"] = _epochs_to_dense(model, dense)
            if tells_early_stop:
                row |= _early_stop(model.as_trained, network, test)
            if tells_before:
                before = (np.nan, np.nan) if test is None else test.score_tensors(network, model.tensors_before)
                row["accuracy_before_fine_tuning"] = before[0]
            if on_event is not None:
                on_event(PointEnded(row, v * len(sparsities) + s + 1, points))
            yield PathPoint(row, network, model, dense, variant, connected, dense_accuracy)


def _warn_of_unequal_training(dense: DenseModel, schedules: Sequence[str]) -> None:
    """Report methods that are compared after trainings of different lengths."""
    trained, epochs = len(dense.training.loss_curve), dense.task.recipe.max_iter
    longer = [name for name in dict.fromkeys(schedules) if name in TRAINED_TO_THE_END]
    if trained < epochs and longer and len(longer) < len(set(schedules)):
        warnings.warn(
            f"the dense training stopped after {trained} of {epochs} epochs, and {', '.join(longer)} trains for all of "
            f"them: set n_iter_no_change={epochs} to compare equal trainings (the column updates counts them)",
            PruningWarning,
            stacklevel=3,
        )


def _text(value: Any) -> str:
    """A way of pruning as a label: also a norm, which may be infinite."""
    return value if isinstance(value, str) else f"{value:g}"


def _early_stop(training: Training | None, network: Network, test: _Test | None) -> dict[str, float]:
    """Where a training that was measured would have stopped, and the accuracy on the test data there."""
    if training is None or training.early_stop_tensors is None or training.early_stop_step is None:
        return {"early_stop_step": np.nan, "early_stop_accuracy": np.nan}
    accuracy = np.nan if test is None else test.score_tensors(network, training.early_stop_tensors)[0]
    return {"early_stop_step": float(training.early_stop_step), "early_stop_accuracy": accuracy}


def _epochs_to_dense(model: PrunedModel, dense: DenseModel) -> float:
    """After how many epochs a pruned network was as accurate on the held-out data as the dense one; NaN if never."""
    if model.training is dense.training:
        return float("nan")
    level = dense.training.validation_scores[-1]
    reached = (epoch for epoch, score in enumerate(model.training.validation_scores, 1) if score >= level)
    return float(next(reached, np.nan))


def _check_variants(variants: Sequence[Mapping[str, Any]]) -> None:
    """All variants share one training, so they may differ in the pruning only."""
    if not variants:
        raise ValueError("variants must have at least one way of pruning; [{}] is that of the estimator itself")
    for name in (name for variant in variants for name in variant if name not in PRUNING_PARAMETERS):
        raise ValueError(f"variants may set {', '.join(PRUNING_PARAMETERS)}, got {name}")


def copy_data_attributes(source: BasePrunedClassifier, target: BasePrunedClassifier) -> None:
    """Copy the attributes that describe the data rather than the fit."""
    for name in ("classes_", "n_features_in_", "feature_names_in_", "preprocessing_"):
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def sparsity_path(
    estimator: BasePrunedClassifier,
    X: ArrayLike,
    y: ArrayLike,
    *,
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    on_event: Listener | None = None,
) -> Bunch:
    """Train once and prune to many sparsities.

    Every point is bit for bit the network that ``estimator.set_params(sparsity=s).fit(X, y)`` gives with
    the same int `random_state`.

    Parameters
    ----------
    estimator : PrunedMLPClassifier
        Its parameters say how to train and prune; it is not changed, and its `sparsity` is not used.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    sparsities : sequence of float, default=ORIGINAL_SPARSITIES
    X_test, y_test : array-like, optional
        For accuracy and loss, which are NaN without.
    sample_weight : array-like of shape (n_samples,), optional
    on_event : callable, optional
        Told the progress: the events of `prunelab.estimators.training`.

    Returns
    -------
    Bunch
        With ``frame`` (DataFrame, one row a sparsity, columns `COLUMNS`), ``sparsities`` (ndarray),
        ``tensors``, ``masks``: for each sparsity a dict from names to arrays, and ``dead_units``,
        ``disconnected_units``: for each sparsity a list with one count a layer (see
        `prunelab.estimators.pruning.connectivity.Connectivity`).
    """
    points = list(
        iter_sparsity_path(
            estimator,
            X,
            y,
            sparsities=sparsities,
            X_test=X_test,
            y_test=y_test,
            sample_weight=sample_weight,
            on_event=on_event,
        )
    )
    return Bunch(
        frame=to_frame([point.row for point in points]),
        sparsities=np.array([point.row["sparsity"] for point in points]),
        tensors=[point.model.tensors for point in points],
        masks=[point.model.pruned.masks for point in points],
        dead_units=[point.connectivity.dead_units for point in points],
        disconnected_units=[point.connectivity.disconnected_units for point in points],
    )


def to_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of results as a DataFrame, with the columns in their order also when there are no rows."""
    extra = [name for name in (rows[0] if rows else {}) if name not in COLUMNS]
    return pd.DataFrame(list(rows), columns=[*COLUMNS, *extra])


class _Test:
    """Test data on their device; the dense network, which heads every path, is scored once."""

    def __init__(self, estimator: BasePrunedClassifier, X: ArrayLike, y: ArrayLike):
        X, y, _ = check_labelled(estimator, X, y, reset=False)
        self._codes = encode(y, estimator.classes_)
        self._evaluator: Evaluator = estimator._evaluator(X)
        self._dense: tuple[float, float] | None = None

    @property
    def n_samples(self) -> int:
        return len(self._codes)

    def score(self, network: Network, model: PrunedModel, dense: DenseModel) -> tuple[float, float]:
        """Accuracy and loss."""
        is_trained = model.fine_tuning is not None or model.training is not dense.training
        if is_trained or model.pruned.achieved_sparsity > 0:
            return self.score_tensors(network, model.tensors)
        return self._score_dense(network, model.tensors)

    def score_dense(self, network: Network, dense: DenseModel) -> float:
        """Accuracy of the dense network."""
        return self._score_dense(network, dense.training.tensors)[0]

    def _score_dense(self, network: Network, tensors: Arrays) -> tuple[float, float]:
        if self._dense is None:
            self._dense = self.score_tensors(network, tensors)
        return self._dense

    def score_tensors(self, network: Network, tensors: Arrays) -> tuple[float, float]:
        return self._evaluator.accuracy_and_loss(network, tensors, self._codes)


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
