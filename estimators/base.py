"""What every pruned classifier shares: fit, predict, files, and scikit-learn's conventions.

A subclass contributes its parameters, `network_class`, `make_network` and `structure`; `engine` computes. Between fits
everything is NumPy; torch appears only while something is trained or predicted.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from . import persistence
from .backend import memory_errors
from .engine import (
    check,
    check_layers,
    check_rewinding,
    draw_seed,
    evaluator_of,
    network_for,
    prepare,
    problem_of,
    retraining_of,
    samples_of,
    start_from,
    task_of,
)
from .fitted import Fitted, OptimiserState, pruned_as_of, publish, warn_if_disconnected
from .fitting import make_pruner, prune, train_dense
from .messages import as_text
from .pruning.allocation import as_sparsity
from .pruning.pruner import Pruned
from .schedules.controls import carry_out
from .validation import check_inputs, check_labelled, classes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from .data.preprocessing import Preprocessing
    from .fitted import PrunedAs
    from .networks.base import Network
    from .pruning.allocation import Sparsity
    from .pruning.masks import Mask
    from .training.events import Event
    from .training.state import Arrays

    Listener = Callable[[Event], None]


@contextmanager
def all_or_nothing(estimator: BaseEstimator) -> Iterator[None]:
    """Leave an estimator as it was if what is done to it fails: fitted as before, or not fitted."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


class BasePrunedClassifier(ClassifierMixin, BaseEstimator):
    """Base class; see `PrunedMLPClassifier`."""

    # Set by the subclass' constructor; declared here for readers and type checkers.
    activation: str
    solver: str
    alpha: float
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    momentum: float
    max_grad_norm: float | None
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool | str
    validation_fraction: float
    random_state: Any
    verbose: bool
    warm_start: bool
    class_weight: Mapping[Any, float] | str | None
    init: str
    sparsity: Sparsity
    criterion: str
    granularity: str
    scope: str
    norm: float | str
    reduce: str
    normalize: str
    per_output: bool
    order: str
    prune_output: bool | str
    schedule: str
    control: str
    fine_tune_iter: int
    fine_tune_learning_rate: float | None
    fine_tune_schedule: str
    n_rounds: int | str
    rewind_step: int
    exclude_layers: Sequence[str]
    min_kept: float
    distribution: str
    pattern: str
    device: str
    precision: str
    memory: Any

    # Set by `fit`: by `fitted.publish`, and those that describe the data by `engine`.
    network_: Network
    tensors_: Arrays
    masks_: dict[str, Mask]
    sparsity_: float
    pruned_as_: PrunedAs
    seed_: int
    precision_: str
    loss_curve_: list[float]
    loss_: float
    n_iter_: int
    validation_scores_: list[float] | None
    fine_tune_loss_curve_: list[float]
    early_stop_step_: int | None
    optimiser_state_: OptimiserState | None
    n_layers_: int
    n_outputs_: int
    n_nonzero_: int
    effective_sparsity_: float
    dead_units_: list[int] | None  # None where the paths through the network are not known
    disconnected_units_: list[int] | None
    classes_: NDArray
    class_weight_: NDArray[np.float64] | None
    sample_shape_: tuple[int, ...]
    n_features_in_: int  # set by scikit-learn's validation
    feature_names_in_: NDArray
    preprocessing_: Preprocessing  # set by what loads the data; absent otherwise

    #: The class of the networks that `make_network` returns.
    network_class: type[Network]

    #: Whether X may have missing values, which `check_missing` looks at.
    may_have_gaps = False

    def check_missing(self, rows: NDArray[np.float32], sample_shape: tuple[int, ...]) -> None:
        """Raise ValueError for missing values (NaN) that the classifier does not take.

        Parameters
        ----------
        rows : ndarray of shape (n_samples, n_features)
        sample_shape : tuple of int
            As in `make_network`; after a fit, `sample_shape_`.
        """

    @abstractmethod
    def make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> Network:
        """Return the network that the parameters describe.

        Parameters
        ----------
        sample_shape : tuple of int
            The shape of X without its first axis.
        n_classes : int

        Raises
        ------
        ValueError
            If there is no such network for samples of this shape.
        """

    @abstractmethod
    def structure(self, network: Network) -> dict[str, Any]:
        """Return the parameters that decide which tensors a network has, with their values in this one."""

    def parameters_of(self, network: Network, tensors: Arrays) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters that make a network of these tensors, for a classifier that is made of it."""
        return self.structure(network)

    def describe_network(self, network: Network) -> dict[str, Any]:
        """Return what a model file says of a network: its plain values."""
        return asdict(network)

    def restore_network(self, saved: Mapping[str, Any]) -> Network | None:  # noqa: ARG002
        """Return the network of a description that is not one of all plain values; None for others."""
        return None

    # -- fitting -------------------------------------------------------------------------------------

    @memory_errors()
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        on_event: Listener | None = None,
    ) -> Self:
        """Train the network, prune it to `sparsity`, and retrain what is left for `fine_tune_iter` epochs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or with the shape of a sample after the first axis
            Dense and numeric.
        y : array-like of shape (n_samples,)
            Class labels: numbers or strings.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of every sample in the loss; multiplied by `class_weight`.
        on_event : callable, optional
            Called while training with its progress: the events of `prunelab.estimators.training`. An
            exception that it raises ends the fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used, or the training diverges (`TrainingDiverged`); the message
            says which and why.
        MemoryError
            If memory runs out, also that of a GPU.
        """
        with all_or_nothing(self):
            vars(self).pop("preprocessing_", None)  # it was of the data of an earlier fit
            check(self, self.sparsity)
            prepared = prepare(self, X, y, sample_weight)
            check_rewinding(self, prepared)
            check_layers(self, prepared.task.network, self.sparsity)
            model = carry_out(problem_of(self, prepared, on_event=on_event), as_sparsity(self.sparsity))
            fitted = Fitted.of(prepared.task, model, pruned_as_of(self))
            warn_if_disconnected(publish(self, fitted), self.sparsity)
        return self

    @memory_errors()
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train one pass over `X`, then prune to `sparsity`; what was removed before stays removed.

        The first call trains densely before it prunes. Later calls retrain what is left; another
        `sparsity` set between calls removes more.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        classes : array-like, optional
            All classes there will ever be; needed in the first call unless `y` holds them all.
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self
        """
        with all_or_nothing(self):
            return self._partial_fit(X, y, classes, sample_weight)

    def _partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> Self:
        check(self, self.sparsity)
        if self.schedule != "one-shot":
            raise ValueError(f"partial_fit goes with schedule='one-shot', got {as_text(self.schedule)}: use fit")
        if self.learning_rate != "constant":
            raise ValueError(
                f"partial_fit goes with learning_rate='constant', got {as_text(self.learning_rate)}: use fit"
            )
        if self.control in ("shuffle", "reinit"):
            raise ValueError(f"partial_fit goes with control='none' or 'invert', got {as_text(self.control)}: use fit")
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not go with class_weight='balanced', which depends on all the data: use a dict, such "
                "as one made of sklearn.utils.class_weight.compute_class_weight('balanced', classes=classes, y=y)"
            )
        first = not hasattr(self, "tensors_")
        X, y, shape = check_labelled(self, X, y, reset=first)
        known = classes_of(y if classes is None else classes) if first or classes is not None else self.classes_
        if first:
            self.classes_ = known
        elif not np.array_equal(known, self.classes_):
            raise ValueError(
                f"classes must be those of the first call to partial_fit, {as_text(self.classes_)}, "
                f"got {as_text(known)}"
            )
        network = network_for(self, shape)
        check_layers(self, network, self.sparsity)
        start = None if first else start_from(self, network, keep_optimiser=True)
        seed = draw_seed(self) if first else self.seed_
        earlier_losses = [] if first else self.loss_curve_
        task = task_of(self, network, len(X), seed, epochs=1, early_stopping=False)
        dense = train_dense(task, samples_of(self, X, y, sample_weight), start)
        pruned_as = pruned_as_of(self)
        if not first and self.pruned_as_ == pruned_as:
            pruned = Pruned(dense.masks or self.masks_, self.sparsity_, {})
        else:
            pruned = make_pruner(dense, pruned_as.choices).prune(as_sparsity(self.sparsity))
        fitted = replace(
            Fitted.of(task, prune(dense, pruned, replace(retraining_of(self), epochs=0)), pruned_as),
            loss_curve=[*earlier_losses, *dense.training.loss_curve],
            optimiser_state=OptimiserState(task.recipe.solver, tuple(network.trained), dense.training),
        )
        warn_if_disconnected(publish(self, fitted), self.sparsity)
        return self

    # -- predicting ----------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict the class of every sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels from `classes_`.
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return softmax(self._logits(X).astype(np.float64), axis=1)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predict the logarithms of the class probabilities; see `predict_proba`."""
        return log_softmax(self._logits(X).astype(np.float64), axis=1)

    @memory_errors()
    def _logits(self, X: ArrayLike) -> NDArray[np.float32]:
        check_is_fitted(self)
        return evaluator_of(self, check_inputs(self, X)).logits(self.network_, self.tensors_)

    # -- a smaller network -----------------------------------------------------------------------------

    def compact(self, *, round_to: int = 1) -> Self:
        """Return a fitted classifier with a smaller network and the same outputs.

        Hidden units (filters) that do not matter are taken out: those without incoming weights, whose constant output
        moves into the next layer where that is exact, and those that nothing reads. So pruning of units makes every
        layer as narrow as what it left; pruning of single weights makes it narrower only where all weights of a unit
        are gone. Of a layer that was emptied, one unit with zero weights is left.

        The classifier returned can be fitted further (``warm_start=True``, `partial_fit`) and pruned again. Its
        parameters describe the smaller network (a network without biases may have got some), and its `sparsity` is 0,
        which removes nothing more. The optimiser's memory is not kept.

        Parameters
        ----------
        round_to : int, default=1
            Widths are rounded up to multiples of it by units with zero weights, but to no more than they were: some
            processors compute with 40 units faster than with 37.

        Returns
        -------
        classifier
            Of the same class. This one is not changed.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from prunelab.estimators import PrunedMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> pruned = PrunedMLPClassifier((64,), sparsity=0.75, granularity="unit", max_iter=2, random_state=0)
        >>> pruned.fit(X / 16, y).compact().hidden_layer_sizes
        (16,)
        """
        from .compaction import compacted

        check_is_fitted(self)
        return compacted(self, round_to)

    # -- files ---------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted classifier to one safetensors file (arrays and JSON, no pickle).

        The attribute `preprocessing_` is written with it, if it is set: ``classifier.preprocessing_ =
        data.preprocessing`` after a fit on what `load_dataset` returned.

        Parameters
        ----------
        path : str or Path
            Written atomically; an existing file is replaced. The usual ending is ``.safetensors``.
        """
        check_is_fitted(self)
        persistence.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a classifier written by `save`; it predicts bit for bit as the one that was saved.

        If the file holds the preprocessing of its data, the classifier has it as `preprocessing_`, and
        ``classifier.predict(classifier.preprocessing_.transform(X))`` predicts on raw samples.

        Raises
        ------
        ModelFileError
            If the file is missing, damaged, or not one of this class.
        """
        return persistence.load(cls, path)
