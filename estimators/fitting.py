"""The two steps of every fit: train a dense network, then prune it.

`sparsity_path` walks many sparsities from one dense network; `fit` is a path of length one. Both call
the functions here, which is why they agree bit for bit.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from .backend import as_tensor, flushed_denormals, prepare_forks
from .inference import Evaluator
from .messages import as_text, warn_caller
from .pruning.evidence import Evidence
from .pruning.pruner import Pruned, Pruner
from .recalibration import recalibrated
from .training.augmentation import Augmentation
from .training.loop import first_checkpoint, train
from .training.state import Data, Recipe, Training

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .cache import TrainingCache
    from .networks.base import Network
    from .pruning.allocation import Choices
    from .pruning.masks import Mask
    from .training.events import Event
    from .training.loop import Validation
    from .training.state import Arrays, Checkpoint

    Listener = Callable[[Event], None]
    Monitor = Callable[[Arrays], float]

#: Part of the key of cached trainings; raised whenever training gives other numbers than before.
_CACHE_VERSION = 2


class Samples(NamedTuple):
    """Training data: inputs (n, n_features) float32, class indices (n,), and weights (n,) or None."""

    inputs: NDArray[np.float32]
    codes: NDArray[np.int64]
    weights: NDArray[np.float32] | None = None

    def rows(self, chosen: NDArray[np.int64]) -> Samples:
        """Some of the samples."""
        return Samples(self.inputs[chosen], self.codes[chosen], None if self.weights is None else self.weights[chosen])


@dataclass(frozen=True)
class Task:
    """Everything but the data that the numbers of a dense training depend on.

    Attributes
    ----------
    network : Network
    recipe : Recipe
    seed : int
        Initial weights, shuffling and the validation split follow from it.
    validation_fraction : float
        Held out when the recipe stops early.
    device : str
        Where to compute.
    precision : {"float32", "bfloat16"}
        Of the products.
    """

    network: Network
    recipe: Recipe
    seed: int
    validation_fraction: float
    device: str
    precision: str

    def n_steps(self, n_samples: int) -> int:
        """Updates of a whole training on so many samples."""
        return self.recipe.max_iter * -(-n_samples // self.recipe.batch_size)

    def updates(self, training: Training, n_samples: int) -> int:
        """Updates that a training on so many samples made: trainings end with an epoch."""
        return len(training.loss_curve) * -(-n_samples // self.recipe.batch_size)

    def seed_for(self, purpose: str) -> int:
        """A seed of its own for each use of randomness."""
        purposes = ("start", "shuffle", "split", "prune", "fine-tune")
        return int(np.random.SeedSequence(self.seed).generate_state(len(purposes))[purposes.index(purpose)])


@dataclass(frozen=True)
class Retraining:
    """How what a pruning leaves is adapted.

    Attributes
    ----------
    epochs : int
        The estimator's `fine_tune_iter`.
    learning_rate : float or None
        The step size at first; None is that of the training.
    schedule : {"auto", "constant", "cosine", "rewind"}
        The step size afterwards: as in the training, constant, a half cosine down to zero, or the step sizes of the
        last `epochs` epochs of the training (learning-rate rewinding: A. Renda, J. Frankle, M. Carbin, "Comparing
        Rewinding and Fine-tuning in Neural Network Pruning", ICLR 2020).
    recalibrate : bool
        Whether the statistics of batch normalisation are measured again, before the retraining if there is one.
    """

    epochs: int = 0
    learning_rate: float | None = None
    schedule: str = "auto"
    recalibrate: bool = False

    def recipe(self, recipe: Recipe) -> Recipe:
        """What the recipe of the training becomes."""
        rate = recipe.learning_rate_init if self.learning_rate is None else self.learning_rate
        recipe = replace(recipe, learning_rate_init=rate, last_part=self._last_part(recipe), max_iter=self.epochs)
        if self.schedule in ("constant", "cosine"):
            recipe = replace(recipe, learning_rate=self.schedule)
        return recipe

    def _last_part(self, recipe: Recipe) -> float:
        return self.epochs / recipe.max_iter if self.schedule == "rewind" else 1.0


@dataclass(frozen=True)
class Start:
    """A network to continue from: its training so far, and the masks it has to keep."""

    training: Training
    masks: dict[str, Mask]


@dataclass(frozen=True)
class DenseModel:
    """A trained network, not (further) pruned yet, and all it takes to prune it.

    Attributes
    ----------
    task : Task
    training : Training
    samples : Samples
        What it was trained on: without those that were held out.
    masks : dict of str to ndarray of bool, optional
        What an earlier pruning left.
    validation : (Evaluator, class indices, sample weights or None), optional
        What was held out.
    """

    task: Task
    training: Training
    samples: Samples
    masks: dict[str, Mask] | None = None
    validation: Validation | None = None

    @property
    def updates(self) -> int:
        """Updates of the training."""
        return self.task.updates(self.training, len(self.samples.codes))

    @cached_property
    def evidence(self) -> Evidence:
        """What the training data show about the weights, for criteria that look at them."""
        samples, task = self.samples, self.task
        return Evidence(
            task.network,
            self.training.tensors,
            samples.inputs,
            samples.codes,
            weights=samples.weights,
            masks=self.masks,
            seed=task.seed_for("prune"),
            device=task.device,
        )


@dataclass(frozen=True)
class PrunedModel:
    """A pruned network: its tensors, its masks, and the retraining if there was any.

    `tensors_before` are the tensors before that retraining; `training` is the training that was pruned, or in which
    it was pruned. `updates` are those of all trainings behind the network, the dense one and every round included;
    `search_updates` are as many of them as it took to find the masks. `not_recalibrated` are the tensors before the
    statistics of batch normalisation were measured again, if they were.
    """

    tensors: Arrays
    pruned: Pruned
    tensors_before: Arrays
    training: Training
    fine_tuning: Training | None = None
    updates: int = 0
    search_updates: int = 0
    not_recalibrated: Arrays | None = None

    @property
    def as_trained(self) -> Training | None:
        """The training whose result this network is; None if something was removed after it."""
        training = self.fine_tuning or self.training
        same = all(np.array_equal(array, training.tensors[name]) for name, array in self.tensors.items())
        return training if same else None


def train_dense(
    task: Task,
    samples: Samples,
    start: Start | None = None,
    cache: TrainingCache | None = None,
    on_event: Listener | None = None,
    checkpoint: Checkpoint | None = None,
    monitor: Monitor | None = None,
) -> DenseModel:
    """Train a network on the samples, or fetch the same training from `cache`.

    Parameters
    ----------
    task, samples
        What to train, and on what.
    start : Start, optional
        Go on from there and hold its masks; from fresh weights if absent.
    cache : TrainingCache, optional
        Used only for trainings that start fresh.
    on_event : callable, optional
        Receives the progress events; a training from the cache has none.
    checkpoint : Checkpoint, optional
        It goes on from there. If it is of another training, there is a warning, and it begins from its start.
    monitor : callable, optional
        Told the parameters after every epoch; see `train`.
    """
    remaining, validation = hold_out(task, samples)
    cache = cache if start is None else None
    key = "" if cache is None else _key(task, samples)
    training = None if cache is None else cache.load(key, task.network)
    if training is None:
        training = _train(task, remaining, validation, start, on_event, checkpoint, monitor)
        if cache is not None:
            cache.save(key, training)
    return DenseModel(task, training, remaining, None if start is None else start.masks, validation)


def make_pruner(dense: DenseModel, choices: Choices) -> Pruner:
    """Score and rank the weights or units of a dense model."""
    task, tensors = dense.task, dense.training.tensors
    return Pruner(choices, task.network, tensors, dense.masks, task.seed_for("prune"), lambda: dense.evidence)


def prune(
    dense: DenseModel, pruned: Pruned, retraining: Retraining | None = None, on_event: Listener | None = None
) -> PrunedModel:
    """Apply masks to a dense model, and retrain what is left."""
    task, retraining = dense.task, retraining or Retraining()
    masks = pruned.masks
    tensors = {name: np.where(masks[name], array, np.float32(0)) for name, array in dense.training.tensors.items()}
    not_recalibrated = tensors if retraining.recalibrate else None
    if retraining.recalibrate and pruned.achieved_sparsity > 0:
        tensors = recalibrated(task.network, tensors, dense.samples.inputs, task.device)
    updates = dense.updates
    if retraining.epochs == 0:
        return PrunedModel(tensors, pruned, tensors, dense.training, None, updates, updates, not_recalibrated)
    with flushed_denormals():
        fine_tuning = train(
            task.network,
            Training(tensors),
            on_device(dense.samples, task),
            replace(retraining.recipe(task.recipe), early_stopping=False),
            seed=task.seed_for("fine-tune"),
            masks=masks,
            phase="fine-tuning",
            on_event=on_event,
        )
    total = updates + task.updates(fine_tuning, len(dense.samples.codes))
    return PrunedModel(
        fine_tuning.tensors, pruned, tensors, dense.training, fine_tuning, total, updates, not_recalibrated
    )


def _train(
    task: Task,
    samples: Samples,
    validation: Validation | None,
    start: Start | None,
    on_event: Listener | None,
    checkpoint: Checkpoint | None,
    monitor: Monitor | None,
) -> Training:
    if start is None:
        start = Start(Training(task.network.initial(task.seed_for("start"))), {})
    name = _name_of(task, samples)
    if checkpoint is not None and checkpoint.of not in ("", name):
        warn_caller("the checkpoint is of another training, which begins from its start instead")
        checkpoint = None
    with flushed_denormals():
        return train(
            task.network,
            start.training,
            on_device(samples, task),
            task.recipe,
            seed=task.seed_for("shuffle"),
            masks=start.masks or None,
            validation=validation,
            on_event=on_event,
            is_resumable=True,
            checkpoint=checkpoint or first_checkpoint(start.training, name),
            monitor=monitor,
        )


def hold_out(task: Task, samples: Samples) -> tuple[Samples, Validation | None]:
    """The samples to train on, and those for early stopping, if the recipe uses it."""
    if not task.recipe.early_stopping:
        return samples, None
    rows, held_out = _split(task, samples)
    kept_out = samples.rows(held_out)
    evaluator = Evaluator(kept_out.inputs, torch.device(task.device), task.precision)
    return samples.rows(rows), (evaluator, kept_out.codes, kept_out.weights)


def n_held_out(task: Task, samples: Samples) -> int:
    """How many samples `hold_out` keeps from the training."""
    return math.ceil(task.validation_fraction * len(samples.codes)) if task.recipe.early_stopping else 0


def _split(task: Task, samples: Samples) -> list[NDArray]:
    """Indices of the samples to train on and of those to hold out, stratified by class."""
    n, fraction = len(samples.codes), task.validation_fraction
    try:
        parts = train_test_split(
            np.arange(n), test_size=fraction, stratify=samples.codes, random_state=task.seed_for("split")
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping={as_text(task.recipe.early_stopping)} cannot hold out validation_fraction={fraction:g} of "
            f"{n} samples with every class on both sides: give more samples or another fraction"
        ) from error
    return [np.asarray(part) for part in parts]


def on_device(samples: Samples, task: Task) -> Data:
    """The samples as training data where and as the task computes."""
    prepare_forks()
    device = torch.device(task.device)
    weights = None if samples.weights is None else as_tensor(samples.weights).to(device)
    inputs = as_tensor(samples.inputs).to(device, getattr(torch, task.precision))
    augmentation = None
    if task.recipe.augment != "none":
        shape = getattr(task.network, "sample_shape")  # noqa: B009 (only networks of images are augmented)
        augmentation = Augmentation(shape, float(samples.inputs.min()), flips=task.recipe.augment == "crop-flip")
    return Data(inputs, as_tensor(samples.codes).to(device), weights, augmentation)


def _name_of(task: Task, samples: Samples) -> str:
    """A digest by which checkpoints of different trainings differ, wherever they are computed; quick to compute."""
    what = task.network, task.recipe, task.seed, task.validation_fraction, samples.inputs.shape
    return hashlib.sha256(repr(what).encode() + samples.codes.tobytes()).hexdigest()


def _key(task: Task, samples: Samples) -> str:
    """A digest of everything that a training from fresh weights depends on."""
    digest = hashlib.sha256(f"{_CACHE_VERSION} {torch.__version__} {task!r}".encode())
    for array in samples:
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
