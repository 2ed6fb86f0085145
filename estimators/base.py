"""What every pruned classifier shares: validation, fit, predict, and scikit-learn's conventions.

A subclass brings its parameters and `_make_network`. Between fits everything is NumPy; torch appears only
while something is trained or predicted.
"""

from __future__ import annotations

import numbers
import warnings
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .accounting import count_cost
from .backend import PRECISIONS, DeviceError, memory_errors, resolve_device, resolve_precision
from .cache import cache_in
from .fitting import (
    DenseModel,
    PrunedModel,
    Retraining,
    Samples,
    Start,
    Task,
    hold_out,
    make_pruner,
    n_held_out,
    prune,
    train_dense,
)
from .inference import Evaluator
from .messages import as_text
from .parameters import REWINDING, conflicts
from .pruning.connectivity import connectivity
from .pruning.masks import ORDERS
from .pruning.pruner import Choices, Pruned
from .schedules.controls import carry_out
from .schedules.problem import Problem
from .training.events import EpochEnded
from .training.state import Recipe, Training
from .validation import check_inputs, check_labelled, check_parameters, check_weights, classes_of, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    from .data.preprocessing import Preprocessing
    from .fitting import Monitor
    from .networks.base import Network
    from .pruning.connectivity import Connectivity
    from .pruning.masks import Mask
    from .training.events import Event
    from .training.loop import Validation
    from .training.state import Arrays, Checkpoint

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


class PruningWarning(UserWarning):
    """A pruning did what was asked, with a consequence worth knowing."""


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
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool | str
    validation_fraction: float
    random_state: Any
    verbose: bool
    warm_start: bool
    init: str
    sparsity: float
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
    density_distribution: str
    device: str
    precision: str
    memory: Any

    _network_class: type[Network]

    network_: Network
    tensors_: Arrays
    masks_: dict[str, Mask]
    n_features_in_: int  # set by scikit-learn's validation
    feature_names_in_: NDArray
    preprocessing_: Preprocessing  # set by what loads the data; absent otherwise

    @abstractmethod
    def _make_network(self, sample_shape: tuple[int, ...], n_classes: int) -> Network:
        """The network for samples of this shape: the features, or what X has beyond its first axis."""

    @abstractmethod
    def _structure(self, network: Network) -> dict[str, Any]:
        """The parameters that decide which tensors a network has, by name, with their values in a network."""

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
        X : array-like of shape (n_samples, n_features)
            Dense and numeric.
        y : array-like of shape (n_samples,)
            Class labels: numbers or strings.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of every sample in the loss.
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
            check_parameters(self)
            self._check_conflicts(self.sparsity)
            task, samples, start = self._prepare(X, y, sample_weight)
            self._check_rewinding(task, samples)
            problem = self._problem(
                task,
                lambda: hold_out(task, samples),
                lambda: self._train_dense(task, samples, start, on_event),
                on_event,
            )
            self._publish(task, carry_out(problem, float(self.sparsity)))
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
        check_parameters(self)
        self._check_conflicts(self.sparsity)
        if self.schedule != "one-shot":
            raise ValueError(f"partial_fit goes with schedule='one-shot', got {as_text(self.schedule)}: use fit")
        if self.learning_rate != "constant":
            raise ValueError(
                f"partial_fit goes with learning_rate='constant', got {as_text(self.learning_rate)}: use fit"
            )
        if self.control in ("shuffle", "reinit"):
            raise ValueError(f"partial_fit goes with control='none' or 'invert', got {as_text(self.control)}: use fit")
        first = not hasattr(self, "tensors_")
        X, y, shape = check_labelled(self, X, y, reset=first)
        weights = check_weights(sample_weight, X)
        known = classes_of(y if classes is None else classes) if first or classes is not None else self.classes_
        if first:
            self.classes_ = known
        elif not np.array_equal(known, self.classes_):
            raise ValueError(
                f"classes must be those of the first call to partial_fit, {as_text(self.classes_)}, "
                f"got {as_text(known)}"
            )
        network = self._make_network(shape, len(self.classes_))
        start = None if first else self._start(network, going_on=True)
        seed = self._draw_seed() if first else self.seed_
        samples = Samples(X, encode(y, self.classes_), weights)
        earlier_losses = [] if first else self.loss_curve_
        dense = train_dense(self._task(network, samples, seed, epochs=1, early_stopping=False), samples, start)
        if not first and self._pruned_as == (self._choices(), self.sparsity):
            pruned = Pruned(dense.masks or self.masks_, self.sparsity_, {})
        else:
            pruned = make_pruner(dense, self._choices()).prune(float(self.sparsity))
        self._publish(dense.task, prune(dense, pruned))
        self._optimiser = (self._optimiser_key(network), dense.training)
        self.loss_curve_ = [*earlier_losses, *dense.training.loss_curve]
        self.n_iter_ = len(self.loss_curve_)
        return self

    def _prepare(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Task, Samples, Start | None]:
        """Validate the data, and describe what to train on them."""
        goes_on = self.warm_start and hasattr(self, "tensors_")
        X, y, shape = check_labelled(self, X, y, reset=not goes_on)
        weights = check_weights(sample_weight, X)
        classes = classes_of(y)
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"with warm_start=True the classes must stay {as_text(self.classes_)}, got {as_text(classes)}"
            )
        self.classes_ = classes
        samples = Samples(X, encode(y, classes), weights)
        network = self._make_network(shape, len(classes))
        task = self._task(network, samples, self._draw_seed(), self.max_iter, self.early_stopping)
        return task, samples, self._start(network, going_on=False) if goes_on else None

    def _check_conflicts(self, sparsity: float) -> None:
        """Refuse parameters that do not go together when this much is to be removed."""
        for sentence in conflicts({**self.get_params(deep=False), "sparsity": sparsity}).values():
            raise ValueError(sentence)

    def _check_rewinding(self, task: Task, samples: Samples) -> None:
        """Refuse to go back to a step that there is not."""
        n_steps = task.n_steps(len(samples.codes) - n_held_out(task, samples))
        if self.schedule in REWINDING and self.rewind_step > n_steps:
            raise ValueError(f"rewind_step={self.rewind_step} is beyond the {n_steps:,} steps of the training")

    def _problem(
        self,
        task: Task,
        split: Callable[[], tuple[Samples, Validation | None]],
        dense: Callable[[], DenseModel],
        on_event: Listener | None,
    ) -> Problem:
        """What to train and prune, for the schedules."""
        return Problem(
            task,
            split,
            self._choices(),
            dense,
            schedule=self.schedule,
            control=self.control,
            retraining=self._retraining(),
            n_rounds=self.n_rounds,
            rewind_step=int(self.rewind_step),
            density_distribution=self.density_distribution,
            on_event=self._listener(on_event),
        )

    def _train_dense(
        self,
        task: Task,
        samples: Samples,
        start: Start | None,
        on_event: Listener | None,
        checkpoint: Checkpoint | None = None,
        monitor: Monitor | None = None,
    ) -> DenseModel:
        # Without a fixed seed no two trainings are the same, and there is nothing to look up.
        cache = cache_in(self.memory) if isinstance(self.random_state, numbers.Integral) else None
        return train_dense(task, samples, start, cache, self._listener(on_event), checkpoint, monitor)

    def _task(self, network: Network, samples: Samples, seed: int, epochs: int, early_stopping: bool | str) -> Task:
        device = resolve_device(self.device)
        n_samples = len(samples.codes)
        recipe = Recipe(
            solver=self.solver,
            learning_rate_init=float(self.learning_rate_init),
            alpha=float(self.alpha),
            momentum=float(self.momentum),
            batch_size=min(int(self.batch_size), n_samples),
            max_iter=int(epochs),
            tol=float(self.tol),
            n_iter_no_change=int(self.n_iter_no_change),
            early_stopping=early_stopping if isinstance(early_stopping, str) else bool(early_stopping),
            learning_rate=self.learning_rate,
        )
        precision = resolve_precision(self.precision, device, n_samples * network.dense_macs)
        fraction = float(self.validation_fraction) if early_stopping else 0.0
        return Task(network, recipe, seed, fraction, str(device), precision)

    def _start(self, network: Network, going_on: bool) -> Start:
        """The fitted network as a start for `network`; `going_on` keeps the optimiser's memory, if it is of use."""
        fitted = self._structure(self.network_)
        for name, now in self._structure(network).items():
            if fitted[name] != now:
                raise ValueError(
                    f"{name}={as_text(now)} cannot go on from the fitted {as_text(fitted[name])}: "
                    "set it back, or fit a new classifier"
                )
        # Biases may be added, which are zero at first, or given up.
        shapes = {name: record.shape for name, record in network.records.items()}
        tensors, masks = self.tensors_, self.masks_
        training = Training({n: tensors[n] if n in tensors else np.zeros(s, np.float32) for n, s in shapes.items()})
        if going_on and self._optimiser is not None and self._optimiser[0] == self._optimiser_key(network):
            training.moments, training.n_steps = self._optimiser[1].moments, self._optimiser[1].n_steps
        return Start(training, {n: masks[n] if n in masks else np.ones(s, dtype=bool) for n, s in shapes.items()})

    def _optimiser_key(self, network: Network) -> tuple[str, tuple[str, ...]]:
        """An optimiser's memory is of use only to the same optimiser of the same tensors."""
        return self.solver, tuple(network.trained)

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _choices(self) -> Choices:
        norm = float(self.norm)  # also of "inf"
        output = self.prune_output if isinstance(self.prune_output, str) else bool(self.prune_output)
        smallest, largest = ORDERS
        opposite = {smallest: largest, largest: smallest}
        order = opposite[self.order] if self.control == "invert" else self.order
        return Choices(
            self.criterion,
            self.granularity,
            self.scope,
            norm,
            order,
            output,
            self.reduce,
            self.normalize,
            bool(self.per_output),
        )

    def _retraining(self) -> Retraining:
        rate = self.fine_tune_learning_rate
        return Retraining(int(self.fine_tune_iter), None if rate is None else float(rate), self.fine_tune_schedule)

    def _publish(self, task: Task, model: PrunedModel) -> None:
        """Set the fitted attributes."""
        self.network_ = task.network
        self.tensors_ = model.tensors
        self.masks_ = model.pruned.masks
        self.sparsity_ = model.pruned.achieved_sparsity
        self.loss_curve_ = list(model.training.loss_curve)
        self.loss_ = self.loss_curve_[-1]
        self.validation_scores_ = list(model.training.validation_scores) or None
        self.fine_tune_loss_curve_ = [] if model.fine_tuning is None else list(model.fine_tuning.loss_curve)
        self.n_iter_ = len(self.loss_curve_)
        self.n_layers_ = len(task.network.weights) + 1
        self.n_outputs_ = len(self.classes_)
        self.precision_ = task.precision
        self.seed_ = task.seed
        trained = model.as_trained
        self.early_stop_step_ = None if trained is None else trained.early_stop_step
        self._pruned_as = (self._choices(), self.sparsity)
        self._optimiser = None  # partial_fit leaves its optimiser's memory here
        found = self._set_connectivity()
        self.n_nonzero_ = count_cost(self.network_, self.tensors_, found).nonzero
        warn_if_disconnected(found, self.sparsity)

    def _set_connectivity(self) -> Connectivity:
        """Set the fitted attributes that follow from which weights are zero."""
        found = connectivity(self.network_, self.tensors_)
        choices, _ = self._pruned_as
        self.effective_sparsity_ = found.effective_sparsity(choices.prune_output)
        self.dead_units_ = found.dead_units
        self.disconnected_units_ = found.disconnected_units
        return found

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
        return self._evaluator(check_inputs(self, X)).logits(self.network_, self.tensors_)

    def _evaluator(self, X: NDArray[np.float32]) -> Evaluator:
        """Samples ready to be predicted, on the device of the parameter or, where this is not here, on what there is.

        The precision is that of the fit. One fitted in bfloat16 predicts in float32 where the machine is slow at
        bfloat16, or where the parameter asks for it.
        """
        try:
            device = resolve_device(self.device)
        except DeviceError:
            device = resolve_device("auto")
        precision = self.precision_
        if precision == "bfloat16":
            wanted = self.precision if self.precision in PRECISIONS else "auto"
            precision = resolve_precision(wanted, device, work=float("inf"))
        return Evaluator(X, device, precision)

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
        from .persistence import save

        check_is_fitted(self)
        save(self, path)

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
        from .persistence import load

        return load(cls, path)

    def _listener(self, on_event: Listener | None) -> Listener | None:
        if not self.verbose:
            return on_event

        def listen(event: Event) -> None:
            if isinstance(event, EpochEnded):
                print(f"Epoch {event.epoch} of {event.epochs} ({event.phase}), loss = {event.loss:.8f}")
                if event.validation_score is not None:
                    print(f"Validation score: {event.validation_score:f}")
            if on_event is not None:
                on_event(event)

        return listen


def warn_if_disconnected(found: Connectivity, sparsity: float) -> None:
    """Warn when no path leads from the input to the output, and name the emptied layers if there are any."""
    if found.is_connected:
        return
    layers = ", ".join(str(layer + 1) for layer in found.emptied_layers)
    plural = "s" if len(found.emptied_layers) > 1 else ""
    did = f"removed every weight of layer{plural} {layers}" if layers else "left no path from the input to the output"
    warnings.warn(
        f"pruning to sparsity {sparsity:g} {did}: the network now gives the same answer to every input",
        PruningWarning,
        stacklevel=5,  # of who calls fit or sparsity_path, through what guards these
    )
