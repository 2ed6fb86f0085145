"""Sparsity paths: train once, prune many times."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .accounting import count_cost
from .backend import memory_errors
from .engine import check, check_layers, check_rewinding, choices_of, evaluator_of, prepare, problem_of, train
from .fitted import copy_data_attributes, fitted_clone, warn_if_disconnected
from .fitting import make_pruner, prune
from .messages import PruningWarning, warn_caller
from .parameters import OF_PRUNING, WAYS, check_sparsities, extreme_sparsities
from .presets import ORIGINAL_SPARSITIES
from .pruning.allocation import Allocation
from .pruning.connectivity import connectivity
from .schedules.catalogue import SCHEDULE_RECORDS
from .schedules.controls import carry_out
from .schedules.problem import Shared
from .training.events import PointEnded
from .validation import check_labelled, clone_with, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from .base import BasePrunedClassifier
    from .fitting import DenseModel, PrunedModel
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
        return fitted_clone(self.estimator, self.estimator, self.dense.task, self.model, sparsity=self.row["sparsity"])

    def to_dense_classifier(self) -> BasePrunedClassifier:
        """The fitted classifier before the pruning."""
        parameters = {"sparsity": 0.0, "schedule": "one-shot", "control": "none"}
        choices = choices_of(clone_with(self.estimator, **parameters))
        unpruned = prune(self.dense, make_pruner(self.dense, choices).prune(0.0))
        return fitted_clone(self.estimator, self.estimator, self.dense.task, unpruned, **parameters)


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
    """Train once, then prune to one sparsity after the other, yielding each result.

    Parameters
    ----------
    estimator : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        Its parameters define training and pruning; it is not changed.
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
        Called with the events of training.
    checkpoint : Checkpoint, optional
        From an event of the same path before its interruption: training continues from there. A checkpoint of
        another training is reported by a warning and not used.
    skip : collection of (int, float), default=()
        Points to leave out because they are known already: the number of the variant, from 0, and the sparsity.
    watch : bool, default=False
        Whether to score the test data after every epoch, for the events alone.

    The rows have the columns `COLUMNS`, and one for each other parameter in which the variants differ. ``updates``
    counts the updates of all trainings behind a network: the dense one where it is pruned from that, every round, and
    the retraining.
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
        for sparsity in extreme_sparsities(sparsities):
            check(variant, sparsity)
    trained = pruned_as[0]
    prepared = prepare(trained, X, y, sample_weight)
    for variant in pruned_as:
        check_rewinding(variant, prepared)
        check_layers(variant, prepared.task.network, max(sparsities))
        copy_data_attributes(trained, variant)
    network = prepared.task.network
    trained.precision_ = prepared.task.precision
    test = None if X_test is None or y_test is None else _Test(trained, X_test, y_test)
    monitor = None if test is None or not watch else lambda arrays: test.score_tensors(network, arrays)[0]
    dense = train(trained, prepared, on_event, checkpoint, monitor)
    _warn_of_unequal_training(dense, [variant.schedule for variant in pruned_as])
    rows, shared = _Rows(pruned_as, dense, test), Shared()
    dense_accuracy = np.nan if test is None else test.score_dense(network, dense)
    n_points = len(sparsities) * len(pruned_as)
    for v, variant in enumerate(pruned_as):
        for s, sparsity in enumerate(sparsities):
            if (v, sparsity) in skip:
                continue
            problem = problem_of(variant, prepared, dense, on_event=on_event, monitor=monitor, shared=shared)
            model = carry_out(problem, sparsity)
            connected = connectivity(network, model.tensors)
            warn_if_disconnected(connected, sparsity)
            row = rows.row(variant, sparsity, model, connected)
            if on_event is not None:
                on_event(PointEnded(row, v * len(sparsities) + s + 1, n_points))
            yield PathPoint(row, network, model, dense, variant, connected, dense_accuracy)


class _Rows:
    """Makes the rows of a path. All have the same columns, whichever variant they are of."""

    def __init__(self, variants: Sequence[BasePrunedClassifier], dense: DenseModel, test: _Test | None):
        self._dense, self._test = dense, test
        known = variants[0].get_params(deep=False)
        others = [*WAYS, *(name for name in OF_PRUNING if name in known and name not in WAYS)]
        self._varying = [name for name in others if name not in COLUMNS and len(_texts(variants, name)) > 1]
        self._has_retraining = any(variant.fine_tune_iter for variant in variants)
        self._recalibrates = any(getattr(variant, "recalibrate", False) for variant in variants)
        self._has_early_stop = dense.task.recipe.early_stopping == "measure"
        trains_again = any(variant.schedule != "one-shot" or variant.control == "reinit" for variant in variants)
        self._counts_epochs = self._has_early_stop and trains_again

    def row(
        self, variant: BasePrunedClassifier, sparsity: float, model: PrunedModel, connected: Connectivity
    ) -> dict[str, Any]:
        dense, test, network, choices = self._dense, self._test, self._dense.task.network, choices_of(variant)
        accuracy, loss = (np.nan, np.nan) if test is None else test.score(network, model, dense)
        cost = count_cost(network, model.tensors, connected)
        row = {
            "seed": dense.task.seed,
            "criterion": choices.criterion,
            "granularity": choices.granularity,
            "scope": choices.scope,
            "sparsity": sparsity,
            "achieved_sparsity": model.pruned.achieved_sparsity,
            "effective_sparsity": connected.effective_sparsity(Allocation(network, choices).weight_names),
            "accuracy": accuracy,
            "loss": loss,
            "nonzero": cost.nonzero,
            "compression": cost.compression,
            "macs": cost.macs,
            "speedup": cost.speedup,
            "dead_units": sum(connected.dead_units) if connected.is_known else np.nan,
            "disconnected_units": sum(connected.disconnected_units) if connected.is_known else np.nan,
            "test_samples": np.nan if test is None else test.n_samples,
            "updates": model.updates,
        }
        row |= {name: _text(getattr(variant, name)) for name in self._varying}
        if self._counts_epochs:
            row["epochs_to_dense"] = _epochs_to_dense(model, dense)
        if self._has_early_stop:
            row |= _early_stop(model.as_trained, network, test)
        if self._has_retraining:
            before = np.nan if test is None else test.score_tensors(network, model.tensors_before)[0]
            row["accuracy_before_fine_tuning"] = before
        if self._recalibrates:
            tensors = model.not_recalibrated
            row["accuracy_not_recalibrated"] = np.nan
            if test is not None and tensors is not None:
                row["accuracy_not_recalibrated"] = test.score_tensors(network, tensors)[0]
        return row


def _warn_of_unequal_training(dense: DenseModel, schedules: Sequence[str]) -> None:
    """Report methods that are compared after trainings of different lengths."""
    trained, epochs = len(dense.training.loss_curve), dense.task.recipe.max_iter
    longer = [name for name in dict.fromkeys(schedules) if SCHEDULE_RECORDS[name].is_trained_to_the_end]
    if trained < epochs and longer and len(longer) < len(set(schedules)):
        warn_caller(
            f"the dense training stopped after {trained} of {epochs} epochs, and {', '.join(longer)} trains for all of "
            f"them: set n_iter_no_change={epochs} to compare equal trainings (the column updates counts them)",
            PruningWarning,
        )


def _texts(variants: Sequence[BasePrunedClassifier], name: str) -> set[str]:
    """The different values of a parameter as labels."""
    return {_text(getattr(variant, name)) for variant in variants}


def _text(value: Any) -> str:
    """The value of a parameter as a label: also a norm, which may be infinite, and the names of layers."""
    if isinstance(value, (list, tuple)):
        return ",".join(value)
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    return f"{value:g}" if is_number else str(value)


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
    for name in (name for variant in variants for name in variant if name not in OF_PRUNING):
        raise ValueError(f"variants may set {', '.join(OF_PRUNING)}, got {name}")


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
    estimator : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        Its parameters define training and pruning; it is not changed, and its `sparsity` is not used.
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
        self._evaluator = evaluator_of(estimator, X)
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
