"""From a classifier's parameters to what is trained and pruned.

`base`, `path`, `interactive` and `persistence` work on classifiers through the functions of this module and of
`fitted`. A classifier contributes its parameters and three names (see `BasePrunedClassifier`): `network_class`,
`make_network`, from its parameters to a network, and `structure`, back from a network to the parameters.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from .backend import PRECISIONS, DeviceError, resolve_device, resolve_precision
from .cache import cache_in
from .fitting import DenseModel, Retraining, Samples, Start, Task, hold_out, n_held_out, train_dense
from .inference import Evaluator
from .messages import as_text
from .parameters import conflicts
from .pruning.allocation import Allocation, Choices
from .pruning.catalogue import ORDERS
from .schedules.catalogue import REWINDING
from .schedules.problem import Problem, Shared
from .training.events import EpochEnded
from .training.state import Recipe, Training
from .validation import check_labelled, check_parameters, check_weights, classes_of, encode, weights_of_classes

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from .base import BasePrunedClassifier
    from .fitting import Monitor
    from .networks.base import Network
    from .pruning.allocation import Sparsity
    from .training.events import Event
    from .training.state import Checkpoint

    Listener = Callable[[Event], None]


class OtherNetworkError(ValueError):
    """A file is of another network than the one that it is loaded with."""


@dataclass(frozen=True)
class Prepared:
    """Validated training data, and what to train on them.

    Attributes
    ----------
    task : Task
    samples : Samples
    start : Start or None
        The fitted network that the training goes on from, with ``warm_start=True``.
    """

    task: Task
    samples: Samples
    start: Start | None = None


# -- parameters ------------------------------------------------------------------------------------------


def check(classifier: BasePrunedClassifier, sparsity: Sparsity) -> None:
    """Raise ValueError, one sentence, for parameters that are impossible or conflict when this much is removed."""
    check_parameters(classifier)
    for sentence in conflicts({**classifier.get_params(deep=False), "sparsity": sparsity}, None).values():
        raise ValueError(sentence)


def check_rewinding(classifier: BasePrunedClassifier, prepared: Prepared) -> None:
    """Raise ValueError if the schedule would go back to a step that the training does not have."""
    task, samples = prepared.task, prepared.samples
    n_steps = task.n_steps(len(samples.codes) - n_held_out(task, samples))
    if classifier.schedule in REWINDING and classifier.rewind_step > n_steps:
        raise ValueError(f"rewind_step={classifier.rewind_step} is beyond the {n_steps:,} steps of the training")


def check_layers(classifier: BasePrunedClassifier, network: Network, sparsity: Sparsity) -> None:
    """Raise ValueError if a parameter names a layer that the network does not have, or that is not pruned."""
    Allocation(network, choices_of(classifier)).check(sparsity)


def choices_of(classifier: BasePrunedClassifier) -> Choices:
    """What the parameters choose to remove."""
    output, least = classifier.prune_output, classifier.min_kept
    smallest, largest = ORDERS
    opposite = {smallest: largest, largest: smallest}
    return Choices(
        criterion=classifier.criterion,
        granularity=classifier.granularity,
        scope=classifier.scope,
        norm=float(classifier.norm),  # also of "inf"
        order=opposite[classifier.order] if classifier.control == "invert" else classifier.order,
        prune_output=output if isinstance(output, str) else bool(output),
        reduce=classifier.reduce,
        normalize=classifier.normalize,
        per_output=bool(classifier.per_output),
        exclude_layers=tuple(classifier.exclude_layers),
        min_kept=int(least) if isinstance(least, numbers.Integral) else float(least),
        distribution=classifier.distribution,
        pattern=classifier.pattern,
        prune_residual=bool(getattr(classifier, "prune_residual", False)),  # only of residual networks
    )


def retraining_of(classifier: BasePrunedClassifier) -> Retraining:
    """How the parameters retrain what a pruning leaves."""
    rate = classifier.fine_tune_learning_rate
    return Retraining(
        int(classifier.fine_tune_iter),
        None if rate is None else float(rate),
        classifier.fine_tune_schedule,
        bool(getattr(classifier, "recalibrate", False)),  # only of networks with batch normalisation
    )


def task_of(
    classifier: BasePrunedClassifier,
    network: Network,
    n_samples: int,
    seed: int,
    *,
    epochs: int | None = None,
    early_stopping: bool | str | None = None,
) -> Task:
    """How the parameters train a network on so many samples.

    Parameters
    ----------
    classifier : BasePrunedClassifier
    network : Network
    n_samples : int
    seed : int
    epochs : int, optional
        In the place of `max_iter`.
    early_stopping : bool or "measure", optional
        In the place of the parameter.
    """
    early_stopping = classifier.early_stopping if early_stopping is None else early_stopping
    device = resolve_device(classifier.device)
    recipe = Recipe(
        solver=classifier.solver,
        learning_rate_init=float(classifier.learning_rate_init),
        alpha=float(classifier.alpha),
        momentum=float(classifier.momentum),
        batch_size=min(int(classifier.batch_size), n_samples),
        max_iter=int(classifier.max_iter if epochs is None else epochs),
        tol=float(classifier.tol),
        n_iter_no_change=int(classifier.n_iter_no_change),
        early_stopping=early_stopping if isinstance(early_stopping, str) else bool(early_stopping),
        learning_rate=classifier.learning_rate,
        max_grad_norm=None if classifier.max_grad_norm is None else float(classifier.max_grad_norm),
        augment=getattr(classifier, "augment", "none"),  # only of images
    )
    precision = resolve_precision(classifier.precision, device, n_samples * network.dense_macs)
    fraction = float(classifier.validation_fraction) if early_stopping else 0.0
    return Task(network, recipe, seed, fraction, str(device), precision)


def draw_seed(classifier: BasePrunedClassifier) -> int:
    """The seed of a fit: `random_state`, or a number that it draws."""
    if isinstance(classifier.random_state, numbers.Integral):
        return int(classifier.random_state)
    return int(check_random_state(classifier.random_state).randint(2**31 - 1))


def listener_of(classifier: BasePrunedClassifier, on_event: Listener | None) -> Listener | None:
    """What receives the events: `on_event`, after the lines that ``verbose=True`` prints."""
    if not classifier.verbose:
        return on_event

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded):
            print(f"Epoch {event.epoch} of {event.epochs} ({event.phase}), loss = {event.loss:.8f}")
            if event.validation_score is not None:
                print(f"Validation score: {event.validation_score:f}")
        if on_event is not None:
            on_event(event)

    return listen


# -- training and pruning --------------------------------------------------------------------------------


def prepare(
    classifier: BasePrunedClassifier, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Prepared:
    """Validate the data, set the attributes that describe them, and state what to train on them."""
    goes_on = classifier.warm_start and hasattr(classifier, "tensors_")
    X, y, shape = check_labelled(classifier, X, y, reset=not goes_on)
    classes = classes_of(y)
    if goes_on and not np.array_equal(classes, classifier.classes_):
        raise ValueError(
            f"with warm_start=True the classes must stay {as_text(classifier.classes_)}, got {as_text(classes)}"
        )
    classifier.classes_ = classes
    samples = samples_of(classifier, X, y, sample_weight)
    network = network_for(classifier, shape)
    task = task_of(classifier, network, len(X), draw_seed(classifier))
    return Prepared(task, samples, start_from(classifier, network) if goes_on else None)


def network_for(classifier: BasePrunedClassifier, shape: tuple[int, ...]) -> Network:
    """The network for samples of this shape and the classes in `classes_`; sets `sample_shape_`."""
    network = classifier.make_network(shape, len(classifier.classes_))
    classifier.sample_shape_ = sample_shape_of(classifier, network, shape)
    return network


def sample_shape_of(classifier: BasePrunedClassifier, network: Network, seen: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a sample: what the network takes it for or, if it does not care, the shape in X."""
    return tuple(classifier.structure(network).get("sample_shape", seen))


def samples_of(
    classifier: BasePrunedClassifier, X: NDArray[np.float32], y: NDArray, sample_weight: ArrayLike | None
) -> Samples:
    """Validated data as samples of the classes in `classes_`; sets `class_weight_`, which multiplies the weights."""
    codes = encode(y, classifier.classes_)
    classifier.class_weight_ = weights_of_classes(classifier.class_weight, classifier.classes_, y)
    return Samples(X, codes, check_weights(sample_weight, X, _of_each(classifier.class_weight_, codes)))


def _of_each(class_weights: NDArray[np.float64] | None, codes: NDArray[np.int64]) -> NDArray[np.float64] | None:
    return None if class_weights is None else class_weights[codes]


def start_from(classifier: BasePrunedClassifier, network: Network, *, keep_optimiser: bool = False) -> Start:
    """The fitted network as a start for `network`.

    With `keep_optimiser`, the optimiser's memory is part of it, where it is of the same solver and tensors.

    Raises
    ------
    ValueError
        If the parameters that decide the shapes of the tensors differ from the fitted ones.
    """
    fitted = classifier.structure(classifier.network_)
    for name, now in classifier.structure(network).items():
        if fitted[name] != now:
            raise ValueError(
                f"{name}={as_text(now)} cannot go on from the fitted {as_text(fitted[name])}: "
                "set it back, or fit a new classifier"
            )
    # Biases may be added, which are zero at first, or given up.
    shapes = {name: record.shape for name, record in network.records.items()}
    tensors, masks = classifier.tensors_, classifier.masks_
    training = Training({n: tensors[n] if n in tensors else np.zeros(s, np.float32) for n, s in shapes.items()})
    state = classifier.optimiser_state_
    if keep_optimiser and state is not None and state.fits(classifier.solver, network):
        training.moments, training.n_steps = state.training.moments, state.training.n_steps
    return Start(training, {n: masks[n] if n in masks else np.ones(s, dtype=bool) for n, s in shapes.items()})


def train(
    classifier: BasePrunedClassifier,
    prepared: Prepared,
    on_event: Listener | None = None,
    checkpoint: Checkpoint | None = None,
    monitor: Monitor | None = None,
) -> DenseModel:
    """Train the dense network, or take it from `memory`; see `fitting.train_dense`."""
    # Without a fixed seed no two trainings are the same, and there is nothing to look up.
    memory = cache_in(classifier.memory) if isinstance(classifier.random_state, numbers.Integral) else None
    listener = listener_of(classifier, on_event)
    return train_dense(prepared.task, prepared.samples, prepared.start, memory, listener, checkpoint, monitor)


def problem_of(
    classifier: BasePrunedClassifier,
    prepared: Prepared,
    dense: DenseModel | None = None,
    *,
    on_event: Listener | None = None,
    monitor: Monitor | None = None,
    shared: Shared | None = None,
) -> Problem:
    """What the parameters train and prune, for `schedules.carry_out`.

    Parameters
    ----------
    classifier : BasePrunedClassifier
    prepared : Prepared
    dense : DenseModel, optional
        The dense network, if it has been trained; otherwise it is trained when a schedule needs it.
    on_event, monitor : callable, optional
    shared : Shared, optional
        Of the other points of a path.
    """
    if dense is None:
        trained = cache(partial(train, classifier, prepared, on_event))
        split = partial(hold_out, prepared.task, prepared.samples)
    else:
        trained, split = lambda: dense, lambda: (dense.samples, dense.validation)
    return Problem(
        prepared.task,
        split,
        choices_of(classifier),
        trained,
        schedule=classifier.schedule,
        control=classifier.control,
        retraining=retraining_of(classifier),
        n_rounds=classifier.n_rounds,
        rewind_step=int(classifier.rewind_step),
        on_event=listener_of(classifier, on_event),
        monitor=monitor,
        shared=Shared() if shared is None else shared,
    )


def model_of(
    classifier: BasePrunedClassifier, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> DenseModel:
    """A fitted classifier, with the data that it was fitted on, as a model to prune further.

    Criteria look at what `fit` trained on: without the samples that it held out, and weighted by `class_weight_`.
    """
    network, masks = classifier.network_, classifier.masks_
    X, y, _ = check_labelled(classifier, X, y, reset=False)
    codes = encode(y, classifier.classes_)
    samples = Samples(X, codes, check_weights(sample_weight, X, _of_each(classifier.class_weight_, codes)))
    training = Training(classifier.tensors_, classifier.loss_curve_, classifier.validation_scores_ or [])
    n_samples, epochs = len(samples.codes), classifier.n_iter_
    held_out = classifier.validation_scores_ is not None
    task = task_of(classifier, network, n_samples, classifier.seed_, epochs=epochs, early_stopping=held_out)
    samples, _ = hold_out(task, samples)
    removed = any(not mask.all() for mask in masks.values())
    return DenseModel(replace(task, precision=classifier.precision_), training, samples, masks if removed else None)


# -- predicting ------------------------------------------------------------------------------------------


def evaluator_of(classifier: BasePrunedClassifier, X: NDArray[np.float32]) -> Evaluator:
    """Samples ready to be predicted, on the device of the parameter or, where this is not here, on what there is.

    The precision is that of the fit. One fitted in bfloat16 predicts in float32 where the machine is slow at
    bfloat16, or where the parameter asks for it.
    """
    try:
        device = resolve_device(classifier.device)
    except DeviceError:
        device = resolve_device("auto")
    precision = classifier.precision_
    if precision == "bfloat16":
        wanted = classifier.precision if classifier.precision in PRECISIONS else "auto"
        precision = resolve_precision(wanted, device, work=float("inf"))
    return Evaluator(X, device, precision)
