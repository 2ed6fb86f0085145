"""Prune a fitted classifier interactively: one sparsity at a time, each measured at once.

A sparsity path computes a curve; this module computes single points of it, with details of every layer and class. The
masks and figures are those that `sparsity_path` computes.
"""

from __future__ import annotations

import copy
import numbers
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .accounting import Cost, count_cost, units_left, weights_left
from .backend import DeviceError, memory_errors, resolve_device
from .engine import check_layers, choices_of, evaluator_of, model_of, retraining_of
from .fitted import fitted_clone
from .fitting import make_pruner, prune
from .inference import hits_and_losses
from .messages import as_text
from .parameters import check_value, conflicts
from .pruning.allocation import Allocation
from .pruning.connectivity import connectivity
from .validation import check_labelled, check_parameters, clone_with, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from .base import BasePrunedClassifier
    from .fitting import PrunedModel
    from .networks.base import Network
    from .pruning.allocation import Choices
    from .pruning.connectivity import Connectivity
    from .pruning.pruner import Pruner

#: The parameters that choose what is removed. (A schedule does more: it trains.)
WAYS = ("criterion", "granularity", "scope", "norm", "order", "normalize", "reduce")

#: Rankings kept: enough to try every criterion and come back. Some take seconds to make.
_PRUNERS_KEPT = 16

#: Estimates are useful from this many products (test samples times weights) on, which take a tenth of a second.
_ESTIMATE_FROM = 4 * 10**9


@dataclass(frozen=True)
class Cut:
    """One pruning of the network.

    Attributes
    ----------
    sparsity : float
        The fraction asked for.
    achieved_sparsity : float
        The fraction of the prunable weights or units removed.
    layers, units : list of [int, int]
        For every layer, how many weights are left, and for every group of units, how many with a weight that leads to
        them; of how many.
    cost : Cost
    effective_sparsity : float
        The fraction of the prunable weights that are zero or on no path from the input to the output.
    connectivity : Connectivity
        Which weights and units of every layer lie on such a path.
    network : Network
    model : PrunedModel
    estimator : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        Its parameters describe its pruning.
    """

    sparsity: float
    achieved_sparsity: float
    layers: list[list[int]]
    units: list[list[int]]
    cost: Cost
    effective_sparsity: float
    connectivity: Connectivity
    network: Network
    model: PrunedModel
    estimator: BasePrunedClassifier


@dataclass(frozen=True)
class Scores:
    """How good a network is on test data.

    Attributes
    ----------
    accuracy, loss : float
    class_accuracy : list of float
        The part of every class that is predicted right; NaN for a class without samples.
    predictions : ndarray of int64
        Class indices, one a sample looked at.
    is_estimate : bool
        Whether only a part of the samples was looked at.
    """

    accuracy: float
    loss: float
    class_accuracy: list[float]
    predictions: NDArray[np.int64]
    is_estimate: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a pruning changes: indices of test samples.

    Attributes
    ----------
    broken : ndarray of int
        Right before the pruning and wrong after it.
    wrong_before : ndarray of int
        Wrong before it.
    right : ndarray of int
        Right before it and after it.
    n_corrected : int
        How many of those wrong before are right after it.
    """

    broken: NDArray[np.intp]
    wrong_before: NDArray[np.intp]
    right: NDArray[np.intp]
    n_corrected: int


class InteractivePruning:
    """A fitted classifier and its data, to be pruned in different ways.

    Parameters
    ----------
    classifier : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        Fitted; it is not changed. What it removed stays removed, and it is the "before" of every comparison.
    X_train, y_train : array-like
        What it was fitted on, for criteria that look at data.
    X_test, y_test : array-like
        What every pruning is measured on.
    sample_weight : array-like, optional
        The weights of the samples that it was fitted with.
    sample_size : int, default=1000
        How many test samples estimates look at.

    Attributes
    ----------
    classifier : PrunedMLPClassifier, PrunedCNNClassifier or another pruned classifier
        A copy that computes on a device that this machine has.
    before : Scores
        Of the classifier before pruning.
    sample : ndarray of int
        The test samples that estimates look at: always the same, evenly from every class.
    n_test : int
    device, precision : str
        Where and how predictions are computed.

    Raises
    ------
    ValueError
        If the data do not fit the classifier, or one of its parameters was set to an impossible value.
    """

    @memory_errors()
    def __init__(
        self,
        classifier: BasePrunedClassifier,
        X_train: ArrayLike,
        y_train: ArrayLike,
        X_test: ArrayLike,
        y_test: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        sample_size: int = 1000,
    ):
        check_parameters(classifier, check_device=False)
        self.classifier = _on_this_machine(classifier)
        self._dense = model_of(self.classifier, X_train, y_train, sample_weight)
        X, y, _ = check_labelled(self.classifier, X_test, y_test, reset=False)
        self.codes = encode(y, self.classifier.classes_)
        self.n_test = len(X)
        self._network = self.classifier.network_
        self._pruners: dict[Choices, Pruner] = {}
        self._evaluator = evaluator_of(self.classifier, X)
        self.device, self.precision = str(self._evaluator.device), self._evaluator.precision
        self.before = self._score(self._evaluator.logits(self._network, self._dense.training.tensors), self.codes)
        self.sample = _even_sample(self.codes, sample_size)
        self._sample_evaluator = evaluator_of(self.classifier, X[self.sample])
        self._sample_before = self._score(
            self._sample_evaluator.logits(self._network, self._dense.training.tensors), self.codes[self.sample]
        )

    @property
    def estimates_pay(self) -> bool:
        """Whether measuring on all test data takes so long that a person would like an estimate first."""
        return self.n_test > 2 * len(self.sample) and self.n_test * self._network.dense_macs >= _ESTIMATE_FROM

    @memory_errors()
    def prune(self, sparsity: float, **ways: Any) -> Cut:
        """Remove a fraction of the weights or units, in the classifier's own way except for `ways`.

        Nothing is retrained, whatever the classifier's schedule. With ``recalibrate=True`` the statistics of batch
        normalisation are measured again, which takes about a prediction of the training data.

        Parameters
        ----------
        sparsity : float
        **ways
            Values of `WAYS`.

        Raises
        ------
        ValueError
            If there is no such way, or a value cannot be.
        """
        if not isinstance(sparsity, numbers.Real):
            raise ValueError(f"sparsity must be a number from 0 to 1, got {as_text(sparsity)}")
        for name, value in {"sparsity": sparsity, **ways}.items():
            if name not in ("sparsity", *WAYS):
                raise ValueError(f"there is no way of pruning called {name}: there are {', '.join(WAYS)}")
            check_value(name, value)
        alone = {"schedule": "one-shot", "control": "none", "warm_start": False}
        alone |= {"fine_tune_iter": 0, "fine_tune_schedule": "auto"}
        estimator = clone_with(self.classifier, sparsity=sparsity, **alone, **ways)
        choices = choices_of(estimator)
        fitted = self.classifier.structure(self._network)
        for sentence in conflicts({**estimator.get_params(deep=False), **fitted}, None).values():
            raise ValueError(sentence)
        check_layers(estimator, self._network, sparsity)
        pruned = self._pruner(choices).prune(float(sparsity))
        model = prune(self._dense, pruned, retraining_of(estimator))
        network, tensors = self._network, model.tensors
        connected = connectivity(network, tensors)
        return Cut(
            sparsity=float(sparsity),
            achieved_sparsity=pruned.achieved_sparsity,
            layers=weights_left(network, pruned.masks),
            units=units_left(network, tensors),
            cost=count_cost(network, tensors, connected),
            effective_sparsity=connected.effective_sparsity(Allocation(network, choices).weight_names),
            connectivity=connected,
            network=network,
            model=model,
            estimator=estimator,
        )

    def scores(self, cut: Cut) -> Scores:
        """Measure on all test data."""
        *_, scores = self.iter_scores(cut)
        assert scores is not None
        return scores

    def iter_scores(self, cut: Cut) -> Iterator[Scores | None]:
        """Measure on all test data: None after each part of them, so that the caller may stop, then the scores."""
        blocks = []
        with memory_errors():
            for block in self._evaluator.iter_logits(self._network, cut.model.tensors):
                blocks.append(block)
                yield None
        yield self._score(np.concatenate(blocks), self.codes)

    @memory_errors()
    def estimate(self, cut: Cut) -> Scores:
        """Measure on the sample, and conclude to all test data.

        What the pruning changes on the sample is added to what is known of all data before the pruning, which is
        closer than the sample alone.
        """
        logits = self._sample_evaluator.logits(self._network, cut.model.tensors)
        now, before, known = self._score(logits, self.codes[self.sample]), self._sample_before, self.before
        change = np.nan_to_num(np.subtract(now.class_accuracy, before.class_accuracy))  # 0 of a class not sampled
        return Scores(
            accuracy=float(np.clip(known.accuracy + now.accuracy - before.accuracy, 0, 1)),
            loss=max(0.0, known.loss + now.loss - before.loss),
            class_accuracy=np.clip(known.class_accuracy + change, 0, 1).tolist(),
            predictions=now.predictions,
            is_estimate=True,
        )

    def outcome(self, scores: Scores) -> Outcome:
        """Sort the test samples by what a pruning changes; `scores` are exact ones."""
        was_right, is_right = self.before.predictions == self.codes, scores.predictions == self.codes
        return Outcome(
            broken=np.flatnonzero(was_right & ~is_right),
            wrong_before=np.flatnonzero(~was_right),
            right=np.flatnonzero(was_right & is_right),
            n_corrected=int(np.count_nonzero(is_right & ~was_right)),
        )

    def to_classifier(self, cut: Cut) -> BasePrunedClassifier:
        """The pruned network as a fitted classifier, to predict with or to save."""
        return fitted_clone(cut.estimator, self.classifier, self._dense.task, cut.model)

    def _pruner(self, choices: Choices) -> Pruner:
        if choices.granularity == "weight" and choices.blocks is None:
            choices = replace(choices, norm=2.0, reduce="auto", normalize="auto")  # they make no difference to weights
        pruner = self._pruners.pop(choices, None) or make_pruner(self._dense, choices)
        self._pruners[choices] = pruner  # at the end: the oldest stands first
        for oldest in list(self._pruners)[:-_PRUNERS_KEPT]:
            del self._pruners[oldest]
        return pruner

    def _score(self, logits: NDArray[np.float32], codes: NDArray[np.int64]) -> Scores:
        hits, losses = hits_and_losses(logits, codes)
        n_classes = len(self.classifier.classes_)
        totals = np.bincount(codes, minlength=n_classes)
        right = np.bincount(codes, weights=hits, minlength=n_classes)
        by_class = np.divide(right, totals, out=np.full(n_classes, np.nan), where=totals > 0)
        return Scores(float(np.mean(hits)), float(np.mean(losses)), by_class.tolist(), logits.argmax(axis=1))


def _on_this_machine(classifier: BasePrunedClassifier) -> BasePrunedClassifier:
    """A copy that computes where the classifier was fitted, or if that is not here, on what is."""
    classifier = copy.copy(classifier)
    try:
        resolve_device(classifier.device)
    except DeviceError:
        classifier.device = "auto"
    return classifier


def _even_sample(codes: NDArray[np.int64], size: int) -> NDArray[np.intp]:
    """Indices at equal distances along the samples sorted by class: of every class its share."""
    size = min(size, len(codes))
    positions = ((np.arange(size) + 0.5) * len(codes) / size).astype(np.intp)
    return np.sort(np.argsort(codes, kind="stable")[positions])
