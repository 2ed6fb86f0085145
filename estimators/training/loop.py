"""The training loop.

Everything random is a function of a seed and the number of the epoch, the data stay on the device, and nothing waits
for the device inside an epoch.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ..backend import as_tensor
from ..networks.base import CAST, drawn_from
from .events import BatchEnded, EpochEnded
from .optimisers import OPTIMISERS
from .state import Checkpoint, Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import Tensor

    from ..inference import Evaluator
    from ..networks.base import TensorRecord, Tensors
    from .events import Event
    from .state import Arrays, Data, Recipe

    #: An evaluator of the held-out inputs, and their class indices and sample weights.
    Validation = tuple[Evaluator, NDArray[np.int64], NDArray[np.float32] | None]

    #: The inputs, the targets and the sample weights of an update.
    Batch = tuple[Tensor, Tensor, Tensor | None]

    #: Masks by the name of their tensor; what has none is kept as a whole.
    Masks = Mapping[str, NDArray[np.bool_]]

SECONDS_BETWEEN_EVENTS = 0.1

#: Updates between two looks at the held-out data, with ``early_stopping="measure"`` (as in the lottery ticket paper);
#: a short training has at least `MIN_LOOKS`.
STEPS_BETWEEN_LOOKS, MIN_LOOKS = 100, 50


#: On a CPU, tensors of so many numbers are updated while their gradients are in the cache. Smaller ones wait for
#: others, which saves calls; on a GPU, all do.
UPDATED_TOGETHER = 2**15


class TrainingDiverged(ValueError):  # noqa: N818 (what happened is the name)
    """The loss or the weights are no longer finite numbers."""


class Trainable(Protocol):
    """What can be trained: a `Network`, or something around one."""

    @property
    def records(self) -> Mapping[str, TensorRecord]:
        """The record of every tensor."""
        ...

    @property
    def trained(self) -> list[str]:
        """Names of the tensors that the optimiser changes."""
        ...

    def loss_and_gradients(
        self, tensors: Tensors, inputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Iterator[tuple[str, Tensor]]]:
        """The loss of a batch, and its gradients, last layer first."""
        ...


class Controller(Protocol):
    """Changes a network while it is trained, as schedules that prune during training do.

    With one, a training cannot go on from a checkpoint.
    """

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> Masks | None:
        """Called after every update, on the device.

        Parameters
        ----------
        step : int
            Updates made in this training, this one included.
        tensors : dict of str to Tensor
            They may be changed in place.
        batch : (Tensor, Tensor, Tensor or None)
            The inputs, the targets and the sample weights of the update.

        Returns
        -------
        mapping of str to ndarray of bool, or None
            New masks that replace those before, or None if nothing changes. What was removed and comes back
            starts from zero, with no memory in the optimiser.
        """
        ...


def train(
    network: Trainable,
    start: Training,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    masks: Masks | None = None,
    validation: Validation | None = None,
    phase: str = "training",
    on_event: Callable[[Event], None] | None = None,
    is_resumable: bool = False,
    checkpoint: Checkpoint | None = None,
    monitor: Callable[[Arrays], float] | None = None,
    controller: Controller | None = None,
) -> Training:
    """Train with mini-batches until the epochs are over or the loss stops improving.

    Parameters
    ----------
    network : Trainable
        A `Network`; without `validation`, anything that gives a loss and its gradients.
    start : Training
        Where to start: its tensors, and its optimiser's memory if it has any. It is not changed.
    data : Data
    recipe : Recipe
    seed : int
        Of the shuffling.
    masks : mapping of str to ndarray of bool, optional
        What is False stays exactly zero.
    validation : (Evaluator, class indices, sample weights or None), optional
        With ``recipe.early_stopping`` the tensors of the best epoch on these data are returned; if that is
        "measure", the last ones are, and beside them those with the lowest loss on these data.
    phase : str
        Reported with the events.
    on_event : callable, optional
        Called with `BatchEnded` and `EpochEnded`; an exception it raises ends the training.
    is_resumable : bool, default=False
        Reported with the events: whether the caller can use their checkpoints.
    checkpoint : Checkpoint, optional
        Of the same training, which goes on from there instead of from `start`. On a CPU the result is bit
        for bit that of a training that was never interrupted.
    monitor : callable, optional
        Given the tensors after every epoch; what it returns is reported in `EpochEnded`, and used for nothing.
    controller : Controller, optional
        Changes masks or tensors after every update.

    Raises
    ------
    TrainingDiverged
        When the loss of an epoch is not finite.
    """
    checkpoint = checkpoint or first_checkpoint(start)
    report = _Reporter(phase, recipe, on_event, is_resumable, checkpoint)
    with torch.no_grad():
        return _Loop(network, checkpoint, data, recipe, seed, masks, validation, report, monitor, controller).run()


def first_checkpoint(start: Training, of: str = "") -> Checkpoint:
    """The state of a training that has not begun."""
    return Checkpoint(replace(start, loss_curve=[], validation_scores=[]), start.n_steps, epoch=0, of=of)


class _Loop:
    """One training, from its start or a checkpoint to its end."""

    def __init__(
        self,
        network: Trainable,
        begin: Checkpoint,
        data: Data,
        recipe: Recipe,
        seed: int,
        masks: Masks | None,
        validation: Validation | None,
        report: _Reporter,
        monitor: Callable[[Arrays], float] | None,
        controller: Controller | None,
    ):
        start = begin.training
        self._network, self._begin, self._data, self._recipe, self._seed = network, begin, data, recipe, seed
        self._validation, self._report, self._monitor, self._controller = validation, report, monitor, controller
        self._device = data.inputs.device
        # Copies: the arrays of `start` belong to the caller.
        self._tensors = {name: torch.tensor(start.tensors[name], device=self._device) for name in network.records}
        self._working = _in_precision(network, self._tensors, data.inputs.dtype)
        self._held = _mask_tensors(masks or {}, self._tensors)
        trained = {name: self._tensors[name] for name in network.trained}
        decayed = [name for name in network.trained if network.records[name].kind == "weight"]
        self._optimiser = OPTIMISERS[recipe.solver](trained, recipe, decayed, start.moments, start.n_steps)
        self._result = Training({}, list(start.loss_curve), list(start.validation_scores))
        self._best, self._best_step, self._best_loss = begin.best, begin.best_step, begin.best_loss
        if self._best is not None:  # files sort their tensors
            self._best = {name: self._best[name] for name in network.records}
        self._patience = _Patience(recipe)
        for cost in [-score for score in start.validation_scores] or start.loss_curve:
            self._patience.epoch_cost(cost)
        self._step_of_controller = 0
        self._updated_together = UPDATED_TOGETHER if self._device.type == "cpu" else math.inf

    def run(self) -> Training:
        """Train to the end."""
        n_steps = self._recipe.max_iter * -(-len(self._data) // self._recipe.batch_size)
        self._looks_every = max(1, min(STEPS_BETWEEN_LOOKS, n_steps // MIN_LOOKS))
        for epoch in range(self._begin.epoch, self._recipe.max_iter):
            if self._patience.is_over:
                break
            self._end_epoch(epoch, self._train_epoch(epoch))
        if not all(bool(torch.isfinite(t).all()) for t in self._tensors.values()):  # the last update may have done it
            raise TrainingDiverged(diverged("in the last step", self._recipe))
        result, optimiser = self._result, self._optimiser
        result.tensors = _arrays(self._tensors)
        if self._recipe.measures:
            result.early_stop_step, result.early_stop_tensors = self._best_step or None, self._best
        elif self._recipe.early_stopping and self._best is not None:
            result.tensors = self._best
        result.moments = [_arrays(moments) for moments in optimiser.moments]
        result.n_steps = optimiser.n_steps
        return result

    def _train_epoch(self, epoch: int) -> float:
        """Go through the batches of an epoch; return their mean loss."""
        begin, size = self._begin, self._recipe.batch_size
        skipped = begin.batch if epoch == begin.epoch else 0
        total_loss = torch.tensor(begin.total_loss if skipped else 0.0, dtype=torch.float32, device=self._device)
        self._report.begin_epoch(epoch, len(self._data), total_loss, skipped)
        batches = _shuffled(len(self._data), self._seed, begin.first_step, epoch, self._device).split(size)
        for batch, rows in enumerate(batches[skipped:], skipped + 1):
            progress = (epoch + (batch - 1) / len(batches)) / self._recipe.max_iter
            self._optimiser.learning_rate = self._recipe.rate(progress)
            with self._randomness(epoch, batch):
                total_loss.add_(self._step(rows, epoch, batch), alpha=len(rows))
            self._look(epoch * len(batches) + batch)
            self._report.batch(len(rows), partial(self._state, epoch, batch, total_loss))
        mean_loss = float(total_loss) / len(self._data)
        if not np.isfinite(mean_loss):
            raise TrainingDiverged(diverged(f"in epoch {epoch + 1}", self._recipe))
        return mean_loss

    def _randomness(self, epoch: int, batch: int) -> AbstractContextManager[None]:
        """Random numbers of the network in a step: a function of the seed and of the step alone."""
        if not getattr(self._network, "is_random", False):
            return nullcontext()
        numbers = [self._seed, self._begin.first_step, epoch, batch]
        return drawn_from(int(np.random.SeedSequence(numbers).generate_state(1)[0]), self._device)

    def _step(self, rows: Tensor, epoch: int, batch: int) -> Tensor:
        """One update; returns the loss before it."""
        data = self._data
        inputs = data.inputs[rows]
        if data.augmentation is not None:
            inputs = data.augmentation(inputs, _generator(self._seed, self._begin.first_step, epoch, batch))
        samples = inputs, data.targets[rows], None if data.weights is None else data.weights[rows]
        loss, gradients = self._network.loss_and_gradients(self._working, *samples)
        if self._recipe.max_grad_norm is not None:
            gradients = clipped(gradients, self._recipe.max_grad_norm)
        waiting: dict[str, Tensor] = {}
        for name, gradient in gradients:
            waiting[name] = gradient
            if sum(gradient.numel() for gradient in waiting.values()) >= self._updated_together:
                self._apply(waiting)
                waiting = {}
        self._apply(waiting)
        if self._controller is not None:
            self._step_of_controller += 1
            fresh = self._controller.after_step(self._step_of_controller, self._tensors, samples)
            if fresh is not None:
                self._held = _replace_masks(fresh, self._held, self._tensors, self._optimiser.moments)
            self._refresh(self._tensors)
        return loss

    def _apply(self, gradients: dict[str, Tensor]) -> None:
        self._optimiser.update({name: gradient.float() for name, gradient in gradients.items()})
        for name in gradients:
            mask = self._held.get(name)
            if mask is not None:
                self._tensors[name].mul_(mask)
        self._refresh(gradients)

    def _refresh(self, names: Iterable[str]) -> None:
        """Bring the copies in the precision of the products up to date."""
        for name in names:
            if self._working[name] is not self._tensors[name]:
                self._working[name].copy_(self._tensors[name])

    def _look(self, done: int) -> None:
        """Measure the loss on the held-out data, if that is asked for, and keep the best tensors."""
        if self._recipe.measures and self._validation is not None and done % self._looks_every == 0:
            loss = self._scores(self._validation)[1]
            if loss < self._best_loss:
                self._best, self._best_step, self._best_loss = _copied(self._tensors), done, loss

    def _end_epoch(self, epoch: int, mean_loss: float) -> None:
        result = self._result
        result.loss_curve.append(mean_loss)
        score = None
        if self._validation is not None:
            score = self._scores(self._validation)[0]
            if not self._recipe.measures and score > max(result.validation_scores, default=-1.0):
                self._best = _copied(self._tensors)
            result.validation_scores.append(score)
        self._patience.epoch_cost(mean_loss if score is None else -score)
        monitored = None if self._monitor is None else self._monitor(_arrays(self._tensors))
        if monitored is not None:
            result.monitored.append(monitored)
        self._report.end_epoch(epoch, mean_loss, score, monitored, partial(self._state, epoch + 1, 0, None))

    def _scores(self, validation: Validation) -> tuple[float, float]:
        """Accuracy and loss on held-out data."""
        evaluator, targets, weights = validation
        return evaluator.accuracy_and_loss(self._network, _arrays(self._tensors), targets, weights)  # type: ignore[arg-type]

    def _state(self, epoch: int, batch: int, total_loss: Tensor | None) -> Checkpoint:
        training = Training(
            _copied(self._tensors),
            list(self._result.loss_curve),
            list(self._result.validation_scores),
            [_copied(moments) for moments in self._optimiser.moments],
            self._optimiser.n_steps,
        )
        loss = 0.0 if total_loss is None else float(total_loss)
        best = self._best, self._best_step, self._best_loss  # never changed in place
        report = self._report
        begin, figures = self._begin, (report.samples, report.seconds)
        return Checkpoint(training, begin.first_step, epoch, batch, loss, *best, *figures, of=begin.of)


def clipped(gradients: Iterable[tuple[str, Tensor]], largest: float) -> Iterator[tuple[str, Tensor]]:
    """Gradients, scaled down together where their norm is larger; nothing waits for it."""
    found = {name: gradient.float() for name, gradient in gradients}
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in found.values()])
    factor = (largest / (torch.linalg.vector_norm(norms) + 1e-6)).clamp_max(1.0)
    return ((name, gradient * factor) for name, gradient in found.items())


def diverged(when: str, recipe: Recipe) -> str:
    """The message of `TrainingDiverged`."""
    return (
        f"training diverged {when}: the loss or the weights are no longer finite numbers; "
        f"lower learning_rate_init (now {recipe.learning_rate_init:g}) or scale the data"
    )


def _in_precision(network: Trainable, tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors that products are computed with; statistics, scales and shifts stay in float32."""
    if dtype == torch.float32:
        return tensors
    return {name: t.to(dtype) if network.records[name].kind in CAST else t for name, t in tensors.items()}


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _copied(tensors: Mapping[str, Tensor]) -> Arrays:
    return {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}


def _shuffled(n: int, seed: int, n_steps: int, epoch: int, device: torch.device) -> Tensor:
    """The order of the samples in one epoch: a function of its arguments alone, drawn on the CPU."""
    return torch.randperm(n, generator=_generator(seed, n_steps, epoch)).to(device, non_blocking=True)


def _generator(*numbers: int) -> torch.Generator:
    """A generator whose draws are a function of some numbers."""
    state = np.random.SeedSequence(numbers).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def _mask_tensors(masks: Masks, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Masks on the device, of those that remove something; applied at once."""
    held = {
        name: as_tensor(mask).to(tensors[name].device, tensors[name].dtype)
        for name, mask in masks.items()
        if not mask.all()
    }
    for name, mask in held.items():
        tensors[name].mul_(mask)
    return held


def _replace_masks(
    masks: Masks, held: dict[str, Tensor], tensors: dict[str, Tensor], moments: list[dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Apply new masks; the optimiser forgets what was removed, so that it knows nothing if it comes back."""
    fresh = _mask_tensors(masks, tensors)
    for mask_of in (fresh, held):
        for name, mask in mask_of.items():
            for moment in moments:
                if name in moment:
                    moment[name].mul_(mask)
    return fresh


class _Patience:
    """Ends the training after `n_iter_no_change` epochs in a row without an improvement by `tol`.

    A training that only measures when to stop is not ended.
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        self._best = np.inf
        self._waited = 0

    @property
    def is_over(self) -> bool:
        return self._waited >= self._recipe.n_iter_no_change and not self._recipe.measures

    def epoch_cost(self, cost: float) -> None:
        self._waited = 0 if cost <= self._best - self._recipe.tol else self._waited + 1
        self._best = min(self._best, cost)


class _Reporter:
    """Turns the loop's progress into events, at most a few a second."""

    def __init__(
        self,
        phase: str,
        recipe: Recipe,
        on_event: Callable[[Event], None] | None,
        is_resumable: bool,
        begin: Checkpoint,
    ):
        self._phase = phase
        self._recipe = recipe
        self._on_event = on_event
        self._is_resumable = is_resumable
        self._last = time.monotonic()
        self._started = self._last - begin.seconds
        self.samples = begin.samples

    @property
    def seconds(self) -> float:
        """Time this training has taken, interruptions not counted."""
        return time.monotonic() - self._started

    def begin_epoch(self, epoch: int, n: int, total_loss: Tensor, batches_done: int) -> None:
        self._epoch, self._batch, self._seen = epoch + 1, batches_done, batches_done * self._recipe.batch_size
        self._batches = -(-n // self._recipe.batch_size)
        self._total_loss = total_loss
        on_gpu = total_loss.device.type == "cuda"
        self._mailbox = torch.zeros((), pin_memory=True) if on_gpu else None
        self._posted = 0

    def batch(self, n: int, checkpoint: Callable[[], Checkpoint]) -> None:
        self._batch += 1
        self._seen += n
        self.samples += n
        now = time.monotonic()
        if self._on_event is None or now - self._last < SECONDS_BETWEEN_EVENTS:
            return
        self._last = now
        loss = self._running_loss()
        place = (self._epoch, self._recipe.max_iter, self._batch, self._batches)
        figures = (loss, self.samples, now - self._started)
        self._on_event(BatchEnded(self._phase, *place, *figures, self._is_resumable, checkpoint))

    def _running_loss(self) -> float:
        if self._mailbox is None:
            return float(self._total_loss) / self._seen
        # A GPU is asked to post the figure when it gets there; what is read is what it posted last time.
        loss = float(self._mailbox) / self._posted if self._posted else float("nan")
        self._mailbox.copy_(self._total_loss, non_blocking=True)
        self._posted = self._seen
        return loss

    def end_epoch(
        self,
        epoch: int,
        loss: float,
        score: float | None,
        monitored: float | None,
        checkpoint: Callable[[], Checkpoint],
    ) -> None:
        if self._on_event is not None:
            place = (epoch + 1, self._recipe.max_iter)
            figures = (loss, score, self.samples, self.seconds, monitored)
            self._on_event(EpochEnded(self._phase, *place, *figures, self._is_resumable, checkpoint))
