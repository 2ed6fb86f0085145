"""The one training loop, and what it tells while it runs.

Everything random is a function of a seed and the number of the epoch, the data stay on the device, and
nothing waits for the device inside an epoch.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from .inference import as_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from .inference import Evaluator

    Arrays = list[NDArray[np.float32]]
    #: An evaluator of the held-out inputs, and their class indices and sample weights.
    Validation = tuple[Evaluator, NDArray[np.int64], NDArray[np.float32] | None]

SECONDS_BETWEEN_EVENTS = 0.1

#: Updates between two looks at the held-out data, with ``early_stopping="measure"`` (the lottery tickets' paper's);
#: a short training has at least `MIN_LOOKS`.
STEPS_BETWEEN_LOOKS, MIN_LOOKS = 100, 50


class TrainingDiverged(ValueError):  # noqa: N818 (what happened is the name)
    """The loss or the weights are no longer finite numbers."""


@dataclass(frozen=True)
class BatchEnded:
    """Some batches of an epoch are done; told a few times a second, not every batch.

    `loss` is the mean of the epoch so far; on a GPU it lags a little behind, because nothing waits for it.
    `seconds` and `samples` count from the start of this training. `checkpoint` returns where the training
    stands; it copies everything, so it is called only when it is wanted, and only before the event has
    been dealt with.
    """

    phase: str
    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    samples: int
    seconds: float
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is done: its mean loss, and the validation score where there is validation data.

    `monitored` is what the `monitor` of the training said of the weights; `checkpoint` is as in `BatchEnded`.
    """

    phase: str
    epoch: int
    epochs: int
    loss: float
    validation_score: float | None
    samples: int
    seconds: float
    monitored: float | None
    checkpoint: Callable[[], Checkpoint] = field(repr=False, compare=False)


@dataclass(frozen=True)
class PointEnded:
    """A point of a sparsity path is done; `row` is its row of the table."""

    row: dict
    point: int
    points: int


Event = BatchEnded | EpochEnded | PointEnded


@dataclass(frozen=True)
class Recipe:
    """How to train. The fields are the estimator's parameters of the same names, but for the last.

    `last_part` is the part of the step sizes, counted from the end, that this training goes through: 1 for all of
    them, less where a retraining repeats the last ones. (It is no part of the key of a cached training: those have
    all.)
    """

    solver: str
    learning_rate_init: float
    alpha: float
    momentum: float
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: int
    early_stopping: bool | str
    learning_rate: str = "constant"
    last_part: float = field(default=1.0, repr=False)

    @property
    def measures(self) -> bool:
        """Whether held-out data tell when to stop, but nothing stops."""
        return self.early_stopping == "measure"

    def rate(self, progress: float) -> float:
        """The step size when a part `progress`, 0 to 1, of all updates is done."""
        progress = 1 - self.last_part * (1 - progress)
        if self.learning_rate == "cosine":
            return self.learning_rate_init / 2 * (1 + math.cos(math.pi * progress))
        return self.learning_rate_init


@dataclass(frozen=True)
class Data:
    """Training data on their device, in the precision of the products."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass
class Training:
    """What a training leaves behind.

    Attributes
    ----------
    parameters : list of ndarray of float32
        Weights, then biases.
    loss_curve : list of float
        Mean loss of every epoch.
    validation_scores : list of float
        Accuracy on the validation data after every epoch; empty without validation data.
    moments : list of list of ndarray
        The optimiser's memory, for whoever continues.
    n_steps : int
        Updates the optimiser has made in its life.
    monitored : list of float
        What the monitor said after every epoch, if there was one.
    early_stop_step : int or None
        Updates after which the loss on the held-out data was lowest, if the recipe measures that.
    early_stop_parameters : list of ndarray of float32 or None
        The parameters then.
    """

    parameters: Arrays
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    moments: list[Arrays] = field(default_factory=list)
    n_steps: int = 0
    monitored: list[float] = field(default_factory=list)
    early_stop_step: int | None = None
    early_stop_parameters: Arrays | None = None


@dataclass
class Checkpoint:
    """A training that was interrupted, and all it takes to go on to the very numbers it would have reached.

    Attributes
    ----------
    training : Training
        Parameters, the optimiser's memory, and the curves so far.
    first_step : int
        Updates the optimiser had made when the training began; the shuffling depends on it.
    epoch : int
        Epochs completed.
    batch : int
        Batches of the next epoch completed.
    total_loss : float
        Sum of the losses of that epoch's samples so far (a float32 number).
    best : list of ndarray or None
        The best parameters by the held-out data, where these choose or measure.
    best_step : int
        Updates of this training they were reached after, where that is measured.
    best_loss : float
        Their loss on the held-out data, likewise.
    samples : int
        Samples trained on so far.
    seconds : float
        Time it has taken so far.
    """

    training: Training
    first_step: int
    epoch: int
    batch: int = 0
    total_loss: float = 0.0
    best: Arrays | None = None
    best_step: int = 0
    best_loss: float = math.inf
    samples: int = 0
    seconds: float = 0.0


#: The inputs, the targets and the sample weights of an update.
Batch = tuple["Tensor", "Tensor", "Tensor | None"]


class Controller(Protocol):
    """Changes a network while it is trained: what pruning during training is made of.

    With one, a training cannot go on from a checkpoint.
    """

    def after_step(
        self, step: int, parameters: list[Tensor], batch: Batch
    ) -> Sequence[NDArray[np.bool_] | None] | None:
        """Called after every update, on the device.

        Parameters
        ----------
        step : int
            Updates made in this training, this one included.
        parameters : list of Tensor
            Weights, then biases; they may be changed in place.
        batch : (Tensor, Tensor, Tensor or None)
            The inputs, the targets and the sample weights of the update.

        Returns
        -------
        sequence of ndarray of bool or None, one a parameter, or None
            New masks that replace those before, or None if nothing changes. What was removed and comes back
            starts from zero, with no memory in the optimiser.
        """
        ...


class Trainable(Protocol):
    """What can be trained: see `MLPNetwork`."""

    @property
    def n_layers(self) -> int:
        """Number of weight matrices."""
        ...

    def loss_and_gradients(
        self, parameters: Sequence[Tensor], inputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Iterator[tuple[int, Tensor]]]:
        """The loss of a batch, and its gradients, last layer first."""
        ...


def train(
    network: Trainable,
    start: Training,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    masks: Sequence[NDArray[np.bool_] | None] | None = None,
    validation: Validation | None = None,
    phase: str = "training",
    on_event: Callable[[Event], None] | None = None,
    checkpoint: Checkpoint | None = None,
    monitor: Callable[[Arrays], float] | None = None,
    controller: Controller | None = None,
) -> Training:
    """Train with mini-batches until the epochs are over or the loss stops improving.

    Parameters
    ----------
    network : Trainable
        An `MLPNetwork`; without `validation`, anything that gives a loss and its gradients.
    start : Training
        Where to start: its parameters, and its optimiser's memory if it has any. It is not changed.
    data : Data
    recipe : Recipe
    seed : int
        Of the shuffling.
    masks : sequence of ndarray of bool or None, optional
        One a parameter; what is False stays exactly zero.
    validation : (Evaluator, class indices, sample weights or None), optional
        With ``recipe.early_stopping`` the parameters of the best epoch on these data are returned; if that is
        "measure", the last ones are, and where the loss on these data was lowest is told beside them.
    phase : str
        Told with the events.
    on_event : callable, optional
        Called with `BatchEnded` and `EpochEnded`; an exception it raises ends the training.
    checkpoint : Checkpoint, optional
        Of the same training, which goes on from there instead of from `start`. On a CPU the result is bit
        for bit that of a training that was never interrupted.
    monitor : callable, optional
        Given the parameters after every epoch; what it returns is told in `EpochEnded`, and used for nothing.
    controller : Controller, optional
        Changes masks or parameters after every update.

    Raises
    ------
    TrainingDiverged
        When the loss of an epoch is not finite.
    """
    if checkpoint is None:
        checkpoint = Checkpoint(replace(start, loss_curve=[], validation_scores=[]), start.n_steps, epoch=0)
    report = _Reporter(phase, recipe, on_event, checkpoint)
    with torch.inference_mode():
        return _train(network, checkpoint, data, recipe, seed, masks, validation, report, monitor, controller)


def _train(
    network, begin: Checkpoint, data, recipe, seed, masks, validation, report: _Reporter, monitor, controller
) -> Training:
    start = begin.training
    device, dtype = data.inputs.device, data.inputs.dtype
    # Copies: the arrays of `start` belong to somebody else.
    parameters = [torch.tensor(array, device=device) for array in start.parameters]
    working = parameters if dtype == torch.float32 else [p.to(dtype) for p in parameters]
    held = _mask_tensors(masks, parameters)
    optimiser = _OPTIMISERS[recipe.solver](parameters, recipe, network.n_layers, start)
    result = Training([], list(start.loss_curve), list(start.validation_scores))
    best, best_step, best_loss = begin.best, begin.best_step, begin.best_loss
    patience = _Patience(recipe)
    for cost in [-score for score in start.validation_scores] or start.loss_curve:
        patience.epoch_cost(cost)

    def apply(indices: list[int], gradients: list[Tensor]) -> None:
        optimiser.update(indices, [gradient.float() for gradient in gradients])
        for index in indices:
            mask = held[index]
            if mask is not None:
                parameters[index].mul_(mask)
            if working is not parameters:
                working[index].copy_(parameters[index])

    def stand(epoch: int, batch: int, total_loss: Tensor | None) -> Checkpoint:
        training = Training(
            _copied(parameters),
            list(result.loss_curve),
            list(result.validation_scores),
            [_copied(moments) for moments in optimiser.moments],
            optimiser.n_steps,
        )
        loss = 0.0 if total_loss is None else float(total_loss)
        best_so_far = best, best_step, best_loss  # never changed in place
        return Checkpoint(training, begin.first_step, epoch, batch, loss, *best_so_far, report.samples, report.seconds)

    n_steps = recipe.max_iter * -(-len(data) // recipe.batch_size)
    looks_every = max(1, min(STEPS_BETWEEN_LOOKS, n_steps // MIN_LOOKS))
    step = 0
    for epoch in range(begin.epoch, recipe.max_iter):
        if patience.is_over:
            break
        skipped = begin.batch if epoch == begin.epoch else 0
        total_loss = torch.tensor(begin.total_loss if skipped else 0.0, dtype=torch.float32, device=device)
        report.begin_epoch(epoch, len(data), total_loss, skipped)
        batches = _shuffled(len(data), seed, begin.first_step, epoch, device).split(recipe.batch_size)
        for batch, rows in enumerate(batches[skipped:], skipped + 1):
            optimiser.learning_rate = recipe.rate((epoch + (batch - 1) / len(batches)) / recipe.max_iter)
            weights = None if data.weights is None else data.weights[rows]
            samples = data.inputs[rows], data.targets[rows], weights
            loss, gradients = network.loss_and_gradients(working, *samples)
            if device.type == "cpu":  # update each layer while its gradient is in the cache
                for index, gradient in gradients:
                    apply([index], [gradient])
            else:  # fewer, larger kernels
                indices, collected = zip(*gradients, strict=True)
                apply(list(indices), list(collected))
            if controller is not None:
                step += 1
                fresh = controller.after_step(step, parameters, samples)
                if fresh is not None:
                    held = _replace_masks(fresh, held, parameters, optimiser.moments)
                if working is not parameters:
                    for copy, parameter in zip(working, parameters, strict=True):
                        copy.copy_(parameter)
            total_loss.add_(loss, alpha=len(rows))
            done = epoch * len(batches) + batch
            if recipe.measures and validation is not None and done % looks_every == 0:
                held_out_loss = _score(network, validation, parameters)[1]
                if held_out_loss < best_loss:
                    best, best_step, best_loss = _copied(parameters), done, held_out_loss
            report.batch(len(rows), partial(stand, epoch, batch, total_loss))
        mean_loss = float(total_loss) / len(data)
        if not np.isfinite(mean_loss):
            raise TrainingDiverged(diverged(f"in epoch {epoch + 1}", recipe))
        result.loss_curve.append(mean_loss)
        score = None
        if validation is not None:
            score = _score(network, validation, parameters)[0]
            if not recipe.measures and score > max(result.validation_scores, default=-1.0):
                best = _copied(parameters)
            result.validation_scores.append(score)
        patience.epoch_cost(mean_loss if score is None else -score)
        monitored = None if monitor is None else monitor([p.cpu().numpy() for p in parameters])
        if monitored is not None:
            result.monitored.append(monitored)
        report.end_epoch(epoch, mean_loss, score, monitored, partial(stand, epoch + 1, 0, None))

    if not all(bool(torch.isfinite(p).all()) for p in parameters):  # the last update may have done it
        raise TrainingDiverged(diverged("in the last step", recipe))
    result.parameters = [p.cpu().numpy() for p in parameters]
    if recipe.measures:
        result.early_stop_step, result.early_stop_parameters = best_step or None, best
    elif recipe.early_stopping and best is not None:
        result.parameters = best
    result.moments = [[moment.cpu().numpy() for moment in moments] for moments in optimiser.moments]
    result.n_steps = optimiser.n_steps
    return result


def _score(network, validation: Validation, parameters: list[Tensor]) -> tuple[float, float]:
    """Accuracy and loss on held-out data."""
    evaluator, targets, weights = validation
    return evaluator.accuracy_and_loss(network, [p.cpu().numpy() for p in parameters], targets, weights)


def _copied(tensors: list[Tensor]) -> Arrays:
    return [tensor.cpu().numpy().copy() for tensor in tensors]


def diverged(when: str, recipe: Recipe) -> str:
    """What `TrainingDiverged` says."""
    return (
        f"training diverged {when}: the loss or the weights are no longer finite numbers; "
        f"lower learning_rate_init (now {recipe.learning_rate_init:g}) or scale the data"
    )


def _shuffled(n: int, seed: int, n_steps: int, epoch: int, device: torch.device) -> Tensor:
    """The order of the samples in one epoch: a function of its arguments alone, drawn on the CPU."""
    state = np.random.SeedSequence([seed, n_steps, epoch]).generate_state(2, np.uint32)
    generator = torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)
    return torch.randperm(n, generator=generator).to(device, non_blocking=True)


def _mask_tensors(masks, parameters: list[Tensor]) -> list[Tensor | None]:
    if masks is None:
        return [None] * len(parameters)
    tensors = [None if mask is None or mask.all() else as_tensor(mask) for mask in masks]
    held = [None if m is None else m.to(p.device, p.dtype) for m, p in zip(tensors, parameters, strict=True)]
    for parameter, mask in zip(parameters, held, strict=True):
        if mask is not None:
            parameter.mul_(mask)
    return held


def _replace_masks(
    masks, held: list[Tensor | None], parameters: list[Tensor], moments: list[list[Tensor]]
) -> list[Tensor | None]:
    """Apply new masks; the optimiser forgets what was removed, so that it knows nothing if it comes back."""
    fresh = _mask_tensors(masks, parameters)
    for index, (new, old) in enumerate(zip(fresh, held, strict=True)):
        for mask in (new, old):
            if mask is not None:
                for moment in moments:
                    moment[index].mul_(mask)
    return fresh


class Adam:
    """Adam (D. Kingma, J. Ba, ICLR 2015) with torch's fused kernel, one parameter or all at a time."""

    n_moments = 2

    def __init__(self, parameters: list[Tensor], recipe: Recipe, n_weights: int, start: Training):
        self._parameters = parameters
        self.learning_rate = recipe.learning_rate_init
        self._momentum = recipe.momentum
        # As in scikit-learn, the penalty is alpha/2 |w|^2 a batch, shared by its samples; biases have none.
        self._decay = [recipe.alpha / recipe.batch_size if i < n_weights else 0.0 for i in range(len(parameters))]
        self.moments = _moments(self.n_moments, parameters, start)
        self._steps = [torch.full((), float(start.n_steps), device=p.device) for p in parameters]

    @property
    def n_steps(self) -> int:
        """Updates made, those of the training before it included."""
        return int(self._steps[0])

    def update(self, indices: list[int], gradients: list[Tensor]) -> None:
        """Move some of the parameters by their gradients, in place."""
        for decay, group in _by_decay(self._decay, indices, gradients):
            adam(
                [self._parameters[i] for i, _ in group],
                [gradient for _, gradient in group],
                [self.moments[0][i] for i, _ in group],
                [self.moments[1][i] for i, _ in group],
                [],
                [self._steps[i] for i, _ in group],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.learning_rate,
                weight_decay=decay,
                eps=1e-8,
                maximize=False,
            )


class _SGD(Adam):
    """Stochastic gradient descent with Nesterov's momentum, with torch's fused kernel."""

    n_moments = 1

    def update(self, indices: list[int], gradients: list[Tensor]) -> None:
        for decay, group in _by_decay(self._decay, indices, gradients):
            sgd(
                [self._parameters[i] for i, _ in group],
                [gradient for _, gradient in group],
                [self.moments[0][i] for i, _ in group],
                fused=True,
                weight_decay=decay,
                momentum=self._momentum,
                lr=self.learning_rate,
                dampening=0.0,
                nesterov=self._momentum > 0,
                maximize=False,
            )
        for index in indices:
            self._steps[index] += 1


_OPTIMISERS = {"adam": Adam, "sgd": _SGD}


def _moments(count: int, parameters: list[Tensor], start: Training) -> list[list[Tensor]]:
    if start.moments:
        return [[torch.tensor(moment, device=p.device) for moment, p in zip(row, parameters, strict=True)]
                for row in start.moments]  # fmt: skip
    return [[torch.zeros_like(p) for p in parameters] for _ in range(count)]


def _by_decay(decays: list[float], indices: list[int], gradients: list[Tensor]):
    """Group (index, gradient) pairs by weight decay, which the kernels take as one number."""
    groups: dict[float, list[tuple[int, Tensor]]] = {}
    for index, gradient in zip(indices, gradients, strict=True):
        groups.setdefault(decays[index], []).append((index, gradient))
    return groups.items()


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

    def __init__(self, phase: str, recipe: Recipe, on_event: Callable[[Event], None] | None, begin: Checkpoint):
        self._phase = phase
        self._recipe = recipe
        self._on_event = on_event
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
        self._on_event(BatchEnded(self._phase, *place, loss, self.samples, now - self._started, checkpoint))

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
            self._on_event(EpochEnded(self._phase, *place, *figures, checkpoint))
