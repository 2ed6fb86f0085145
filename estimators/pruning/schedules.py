"""When to prune: after training at once, in rounds, while training, or before it.

A schedule is one function from a `Problem` and a sparsity to a pruned network, registered under its name. What is
removed is the affair of the other choices (criterion, granularity, scope, order), and the sparsity reached is the
same exact one with every schedule. `controls.carry_out` runs them.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..backend import flushed_denormals
from ..fitting import DenseModel, PrunedModel, Retraining, make_pruner, on_device, prune
from ..training import Training, TrainingDiverged, diverged, train
from .masks import ROUND_RATE, RemovalOrder, UnrankableError, output_sparsity, weight_masks_of_units
from .pruner import Pruned, Pruner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import Monitor, Samples, Task
    from ..training import Batch, Controller, Data, Event, Recipe, Validation
    from .masks import Mask
    from .pruner import Choices
    from .regularised import GatedNetwork

    Listener = Callable[[Event], None]
    Arrays = list[NDArray[np.float32]]
    Schedule = Callable[["Problem", float], PrunedModel]

#: How often a gradual schedule prunes, and the parts of the training in which it begins and ends.
GRADUAL_UPDATES, GRADUAL_BEGIN, GRADUAL_END = 30, 0.1, 0.75

#: The part of a dynamic schedule's connections that is rewired at first, and the part of the training in which it is.
REWIRED, REWIRING_END = 0.3, 0.75

#: Steps between rewirings, at most (RigL's value); a short training has at least `MIN_REWIRINGS`.
REWIRING_STEPS, MIN_REWIRINGS = 100, 20


@dataclass
class Problem:
    """A training, and a pruning of it.

    The fields after `dense` are the estimator's parameters of the same names, but where something else is said.

    Attributes
    ----------
    task : Task
    split : callable
        The samples to train on, and what is held out of them (see `hold_out`); called when they are needed.
    choices : Choices
    dense : callable
        The trained network; called only by schedules that start from one.
    schedule : str
    control : str
    retraining : Retraining
        The parameters whose names begin with ``fine_tune``.
    n_rounds : int
    rewind_step : int
    density_distribution : {"uniform", "erk"}
    on_event : callable, optional
    monitor : callable, optional
        Told the parameters after every epoch of the final training; see `train`.
    memory : dict
        Shared by problems that differ only in sparsity: the tickets found so far.
    pruner : Pruner or None
        Of the trained network, if it is ranked already.
    """

    task: Task
    split: Callable[[], tuple[Samples, Validation | None]]
    choices: Choices
    dense: Callable[[], DenseModel]
    schedule: str = "one-shot"
    control: str = "none"
    retraining: Retraining = field(default_factory=Retraining)
    n_rounds: int | str = 5
    rewind_step: int = 0
    density_distribution: str = "erk"
    on_event: Listener | None = None
    monitor: Monitor | None = None
    memory: dict = field(default_factory=dict)
    pruner: Pruner | None = None

    @cached_property
    def _held(self) -> tuple[Samples, Validation | None]:
        return self.split()

    @property
    def samples(self) -> Samples:
        """What is trained on."""
        return self._held[0]

    @property
    def validation(self) -> Validation | None:
        """What is held out, if the final training is to measure when to stop."""
        return self._held[1]

    @cached_property
    def _data(self) -> Data:
        """The samples where they are trained on: sent there once for all rounds."""
        return on_device(self.samples, self.task)

    @cached_property
    def initial(self) -> Training:
        """The network before training."""
        return Training(self.task.network.initial_parameters(self.task.seed_for("start")))

    @property
    def search(self) -> tuple:
        """What the tickets found depend on, apart from the network and its training."""
        return self.choices, self.n_rounds, self.rewind_step

    @property
    def n_steps(self) -> int:
        """Updates of a whole training."""
        return self.task.n_steps(len(self.samples.codes))

    def rungs(self, sparsity: float) -> list[float]:
        """The sparsities after each of the rounds: with ``"auto"`` a round removes `ROUND_RATE` of what is left."""
        if self.n_rounds != "auto":
            return ladder(sparsity, int(self.n_rounds))
        rungs = []
        while (rung := 1 - (1 - ROUND_RATE) ** (len(rungs) + 1)) < sparsity - 1e-9:
            rungs.append(rung)
        return [*rungs, sparsity]

    @property
    def n_prunable(self) -> int:
        """Layers that are pruned."""
        return self.choices.n_prunable(self.task.network.n_layers)

    def rank(self, parameters: Arrays, pruned: Pruned | None = None) -> Pruner:
        """Score and rank a network; what `pruned` says was removed stays so."""
        masks = None if pruned is None else self.masks(pruned)
        return make_pruner(DenseModel(self.task, Training(parameters), self.samples, masks), self.choices, sort=False)

    def train(
        self,
        start: Training,
        pruned: Pruned | None,
        phase: str,
        recipe: Recipe | None = None,
        controller: Controller | None = None,
        network: GatedNetwork | None = None,
    ) -> Training:
        """Train from somewhere with masks held, by the recipe of the task or another."""
        recipe = self.task.recipe if recipe is None else recipe
        if controller is not None or network is not None:  # they count on all of its steps
            recipe = replace(recipe, n_iter_no_change=recipe.max_iter + 1)
        with flushed_denormals(), _divergence_said(phase, recipe):
            return train(
                network or self.task.network,
                start,
                self._data,
                recipe,
                seed=self.task.seed_for("shuffle"),
                masks=None if pruned is None else self.masks(pruned),
                phase=phase,
                on_event=self.on_event,
                validation=self.validation,
                controller=controller,
                monitor=self._monitor_of(network),
            )

    def _monitor_of(self, network: GatedNetwork | None) -> Monitor | None:
        monitor = self.monitor
        if monitor is None or network is None:
            return monitor
        return lambda parameters: monitor(network.without_noise(parameters))

    def masks(self, pruned: Pruned) -> list[Mask]:
        """The masks of every parameter."""
        return [*pruned.masks, *(pruned.bias_masks if self.task.network.fit_intercept else [])]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of what is removed in each layer that is pruned: its weights, or its units."""
        pairs = list(itertools.pairwise(self.task.network.sizes))[: self.n_prunable]
        return [pair[1:] for pair in pairs] if self.choices.granularity == "unit" else pairs

    def pruned_from(self, kept: list[Mask]) -> Pruned:
        """What masks of the prunable layers' weights, or units, make of the whole network."""
        sizes = self.task.network.sizes
        bias_masks = [np.ones(width, dtype=bool) for width in sizes[1:]]
        n_total = sum(mask.size for mask in kept)
        removed = n_total - sum(int(np.count_nonzero(mask)) for mask in kept)
        if self.choices.granularity == "unit":
            masks = weight_masks_of_units(kept, sizes[0], sizes[1:])
            bias_masks[: len(kept)] = kept
        else:
            masks = [*kept, *(np.ones(pair, dtype=bool) for pair in list(itertools.pairwise(sizes))[len(kept) :])]
        return Pruned(masks, bias_masks, removed / n_total if n_total else 0.0)

    def updates(self, training: Training) -> int:
        """Updates that a training on the samples made."""
        return self.task.updates(training, len(self.samples.codes))

    def finish(self, training: Training, pruned: Pruned, search_updates: int | None = None) -> PrunedModel:
        """A network that was trained as it is now, fine-tuned if that is wanted.

        `search_updates` are those that the masks took before the training began; None if they were found in it.
        """
        model = prune(DenseModel(self.task, training, self.samples), pruned, self.retraining, self.on_event)
        if search_updates is None:
            return model
        return replace(model, updates=search_updates + model.updates, search_updates=search_updates)


@contextmanager
def _divergence_said(phase: str, recipe: Recipe) -> Iterator[None]:
    """What is pruned while it diverges cannot be ranked any more, which is not what is to be told."""
    try:
        yield
    except UnrankableError as error:
        raise TrainingDiverged(diverged(f"({phase})", recipe)) from error


SCHEDULES: dict[str, Schedule] = {}


def schedule(name: str) -> Callable[[Schedule], Schedule]:
    """Register a function as schedule `name`."""

    def register(function: Schedule) -> Schedule:
        SCHEDULES[name] = function
        return function

    return register


def masked(parameters: Sequence[NDArray], masks: Sequence[Mask]) -> Arrays:
    """Parameters with zeros where the masks say so."""
    return [np.where(mask, parameter, np.float32(0)) for parameter, mask in zip(parameters, masks, strict=True)]


# After training -----------------------------------------------------------------------------------------------


@schedule("one-shot")
def one_shot(problem: Problem, sparsity: float) -> PrunedModel:
    """Train, prune once, fine-tune."""
    dense = problem.dense()
    pruner = problem.pruner or make_pruner(dense, problem.choices, sort=False)
    return prune(dense, pruner.prune(sparsity), problem.retraining, problem.on_event)


def ladder(sparsity: float, n_rounds: int) -> list[float]:
    """The sparsities after each round of removing the same part of what is left, the last one exactly `sparsity`."""
    return [1 - (1 - sparsity) ** (i / n_rounds) for i in range(1, n_rounds)] + [sparsity]


@schedule("iterative")
def iterative(problem: Problem, sparsity: float) -> PrunedModel:
    """Train, then prune and fine-tune in `n_rounds` rounds, each removing the same part of what is left.

    The rungs are absolute sparsities, so that the last one is exact.

    References
    ----------
    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural Networks",
    NeurIPS 2015.
    """
    dense = problem.dense()
    parameters, pruned, retraining = dense.training.parameters, None, None
    before, updates, search_updates = parameters, dense.updates, dense.updates
    recipe = problem.retraining.recipe(problem.task.recipe)
    rungs = problem.rungs(sparsity)
    for i, rung in enumerate(rungs, 1):
        search_updates = updates
        pruned = problem.rank(parameters, pruned).prune(rung)
        before = masked(parameters, problem.masks(pruned))
        retraining = problem.train(Training(before), pruned, f"round {i} of {len(rungs)}", recipe)
        parameters = retraining.parameters
        updates += problem.updates(retraining)
    assert pruned is not None
    return PrunedModel(parameters, pruned, before, dense.training, retraining, updates, search_updates)


@schedule("rewind")
def rewind(problem: Problem, sparsity: float) -> PrunedModel:
    """Lottery tickets: prune in `n_rounds` rounds, each time going back to the weights of step `rewind_step`.

    References
    ----------
    J. Frankle, M. Carbin, "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", ICLR 2019;
    J. Frankle, G. K. Dziugaite, D. Roy, M. Carbin, "Linear Mode Connectivity and the Lottery Ticket Hypothesis",
    ICML 2020 (rewinding to a later step).
    """
    ticket = find_ticket(problem, sparsity)
    if problem.retraining.epochs == 0:
        return ticket
    return problem.finish(ticket.training, ticket.pruned, ticket.search_updates)


def find_ticket(problem: Problem, sparsity: float) -> PrunedModel:
    """The ticket of a sparsity, trained. The search goes on from what an earlier one found on the same way."""
    rungs = problem.rungs(sparsity)
    asked: list[tuple[Sequence[float], PrunedModel]] = problem.memory.setdefault("tickets", [])
    # The end of a way may not be on the next one, but the rung before it is.
    last: list[tuple[Sequence[float], PrunedModel]] = problem.memory.setdefault("last tickets", [])
    usable = [(way, ticket) for way, ticket in (*asked, *last) if _is_beginning(way, rungs)]
    way, ticket = max(usable, key=lambda known: len(known[0]), default=((), None))
    if len(way) < len(rungs):
        for i, better in enumerate(tickets(problem, rungs[len(way) :], ticket), len(way) + 1):
            ticket = better
            last[:] = [*last[-1:], (rungs[:i], better)]
        asked.append(last[-1])  # the controls ask for it again
    assert ticket is not None
    return ticket


def _is_beginning(way: Sequence[float], rungs: Sequence[float]) -> bool:
    return len(way) <= len(rungs) and np.allclose(way, rungs[: len(way)], rtol=0, atol=1e-9)


def tickets(problem: Problem, rungs: Sequence[float], ticket: PrunedModel | None = None) -> Iterator[PrunedModel]:
    """Find a ticket at each sparsity, the one from the other; each is trained from the rewound weights.

    `parameters_before` of what is yielded are the ticket's weights before its training. With `ticket`, the search
    begins from that one instead of the dense network.
    """
    origin = weights_at_step(problem, problem.rewind_step)
    if ticket is None:
        dense = problem.dense()
        parameters, pruned, updates = dense.training.parameters, None, dense.updates
    else:
        parameters, pruned, updates = ticket.parameters, ticket.pruned, ticket.updates
    for rung in rungs:
        pruned = problem.rank(parameters, pruned).prune(rung)
        before = masked(origin, problem.masks(pruned))
        training = problem.train(Training(before), pruned, f"ticket of {100 * (1 - rung):.3g} %")
        parameters = training.parameters
        search_updates, updates = updates, updates + problem.updates(training)
        yield PrunedModel(parameters, pruned, before, training, None, updates, search_updates)


class _Reached(Exception):  # noqa: N818 (it is not an error)
    pass


class _Catch:
    """Takes the parameters at a step, and ends the training there."""

    def __init__(self, step: int):
        self._step = step
        self.parameters: Arrays = []

    def after_step(self, step: int, parameters: list[Tensor], batch: Batch) -> None:  # noqa: ARG002
        if step == self._step:
            self.parameters = [p.cpu().numpy().copy() for p in parameters]
            raise _Reached


def weights_at_step(problem: Problem, step: int) -> Arrays:
    """The parameters of the dense training after so many updates."""
    if step == 0:
        return problem.initial.parameters
    known: dict[int, Arrays] = problem.memory.setdefault("weights at step", {})
    if step not in known:
        catch = _Catch(step)
        try:
            problem.train(problem.initial, None, "rewinding", controller=catch)
        except _Reached:
            known[step] = catch.parameters
    return known[step]


# Before training ----------------------------------------------------------------------------------------------


@schedule("before-training")
def before_training(problem: Problem, sparsity: float) -> PrunedModel:
    """Prune the network as it was initialised, then train what is left."""
    parameters = problem.initial.parameters
    pruned = problem.rank(parameters).prune(sparsity)
    before = masked(parameters, problem.masks(pruned))
    return problem.finish(problem.train(Training(before), pruned, "training a sparse network"), pruned, 0)


# While training -----------------------------------------------------------------------------------------------


@schedule("gradual")
def gradual(problem: Problem, sparsity: float) -> PrunedModel:
    """Prune more and more while training: ``s * (1 - (1 - t)^3)``, t from 0 to 1 within the middle of the training.

    References
    ----------
    M. Zhu, S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017.
    """
    controller = _Gradual(problem, sparsity)
    training = problem.train(problem.initial, None, "pruning while training", controller=controller)
    return problem.finish(training, controller.pruned_at_last(training.parameters))


class _Gradual:
    def __init__(self, problem: Problem, sparsity: float):
        self._problem, self._sparsity = problem, sparsity
        first, last = GRADUAL_BEGIN * problem.n_steps, GRADUAL_END * problem.n_steps
        steps = np.unique(np.linspace(first, last, GRADUAL_UPDATES).round().astype(int))
        self._progress = {int(step): (step - first) / (last - first) for step in steps[:-1]} | {int(steps[-1]): 1.0}
        self._pruned: Pruned | None = None
        self._is_over = False

    def after_step(self, step: int, parameters: list[Tensor], batch: Batch) -> list[Mask] | None:  # noqa: ARG002
        progress = self._progress.get(step)
        if progress is None:
            return None
        self._is_over = progress == 1
        return self._prune(cubic(self._sparsity, progress), [p.cpu().numpy() for p in parameters])

    def pruned_at_last(self, parameters: Arrays) -> Pruned:
        """The final pruning, also of a training too short to have come to it."""
        if not self._is_over:
            self._prune(self._sparsity, parameters)
        assert self._pruned is not None
        return self._pruned

    def _prune(self, sparsity: float, parameters: Arrays) -> list[Mask]:
        self._pruned = self._problem.rank(parameters, self._pruned).prune(sparsity)
        return self._problem.masks(self._pruned)


def cubic(sparsity: float, progress: float) -> float:
    """Zhu and Gupta's sparsity when a part `progress` (0 to 1) of the pruning is over."""
    return sparsity * (1 - (1 - min(max(progress, 0.0), 1.0)) ** 3)


@schedule("set")
def sparse_evolutionary_training(problem: Problem, sparsity: float) -> PrunedModel:
    """SET: a sparse network from the beginning; its smallest weights go and random ones come, again and again.

    References
    ----------
    D. Mocanu, E. Mocanu, P. Stone, P. Nguyen, M. Gibescu, A. Liotta, "Scalable training of artificial neural
    networks with adaptive sparse connectivity inspired by network science", Nature Communications 2018.
    """
    return _rewire(problem, sparsity, grow_by_gradient=False)


@schedule("rigl")
def rigged_lottery(problem: Problem, sparsity: float) -> PrunedModel:
    """RigL: as SET, but those weights come whose gradient is largest.

    References
    ----------
    U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML
    2020: drop fraction 0.3 with cosine decay until three quarters of the training.
    """
    return _rewire(problem, sparsity, grow_by_gradient=True)


def _rewire(problem: Problem, sparsity: float, grow_by_gradient: bool) -> PrunedModel:
    n_prunable = problem.n_prunable
    parameters = problem.initial.parameters
    shapes = [p.shape for p in parameters[:n_prunable]]
    if problem.choices.prune_output == "half":
        size = shapes[-1][0] * shapes[-1][1]
        kept = kept_per_layer(shapes[:-1], sparsity, problem.density_distribution)
        kept.append(size - round(output_sparsity(sparsity) * size))
    else:
        kept = kept_per_layer(shapes, sparsity, problem.density_distribution)
    rng = np.random.default_rng(problem.task.seed_for("prune"))
    masks = [_random_mask(rng, p.shape, count) for p, count in zip(parameters, kept, strict=False)]
    masks += [np.ones(p.shape, dtype=bool) for p in parameters[n_prunable:]]
    controller = _Rewiring(problem, n_prunable, masks, rng, grow_by_gradient)
    start = Training(masked(parameters, masks))
    begin = problem.pruned_from(masks[:n_prunable])
    training = problem.train(start, begin, "rewiring", controller=controller)
    return problem.finish(training, problem.pruned_from(controller.masks[:n_prunable]))


def _random_mask(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Mask:
    mask = np.zeros(int(np.prod(shape)), dtype=bool)
    mask[rng.permutation(len(mask))[:count]] = True
    return mask.reshape(shape)


class _Rewiring:
    """Drops the smallest weights and grows as many others, layer by layer."""

    def __init__(
        self, problem: Problem, n_prunable: int, masks: list[Mask], rng: np.random.Generator, grow_by_gradient: bool
    ):
        self.masks = list(masks)
        self._network, self._rng, self._by_gradient = problem.task.network, rng, grow_by_gradient
        self._n_prunable, self._last = n_prunable, REWIRING_END * problem.n_steps
        self._interval = max(1, min(REWIRING_STEPS, int(self._last / MIN_REWIRINGS)))

    def after_step(self, step: int, parameters: list[Tensor], batch: Batch) -> list[Mask] | None:
        if step % self._interval or step >= self._last:
            return None
        fraction = REWIRED / 2 * (1 + np.cos(np.pi * step / self._last))
        gradients = self._gradients(parameters, batch) if self._by_gradient else [None] * self._n_prunable
        for layer in range(self._n_prunable):
            weights = parameters[layer].cpu().numpy()
            self.masks[layer] = self._rewired(self.masks[layer], weights, fraction, gradients[layer])
        return self.masks

    def _rewired(self, mask: Mask, weights: NDArray, fraction: float, gradient: NDArray | None) -> Mask:
        alive = int(np.count_nonzero(mask))
        count = min(round(fraction * alive), mask.size - alive)
        # The smallest of those alive: what is dead counts as larger than any.
        (kept,) = RemovalOrder([np.where(mask, np.abs(weights), np.inf)], sort=False).masks(count / mask.size)
        kept &= mask
        score = self._rng.random(mask.shape) if gradient is None else np.abs(gradient)
        # What was just dropped may come back by its gradient, as in the paper, but not what is alive.
        (dead,) = RemovalOrder([np.where(kept, -np.inf, score)], sort=False).masks(1 - count / mask.size)
        return kept | dead

    def _gradients(self, parameters: list[Tensor], batch: Batch) -> list[NDArray]:
        working = [p.to(batch[0].dtype) for p in parameters]
        _, gradients = self._network.loss_and_gradients(working, *batch)
        found = {index: gradient.float().cpu().numpy() for index, gradient in gradients}
        return [found[layer] for layer in range(self._n_prunable)]


def kept_per_layer(shapes: Sequence[tuple[int, ...]], sparsity: float, distribution: str) -> list[int]:
    """How many weights each layer keeps: exactly what the sparsity leaves, of each ("uniform") or together ("erk").

    Parameters
    ----------
    shapes : sequence of (n_in, n_out)
    sparsity : float
    distribution : {"uniform", "erk"}
        The same density in each layer, or Erdos-Renyi's: proportional to (n_in + n_out) / (n_in * n_out), at most
        one (D. Mocanu et al. 2018; U. Evci et al. 2020).
    """
    sizes = np.array([int(np.prod(shape)) for shape in shapes])
    if distribution == "uniform":
        return [int(size) - round(sparsity * int(size)) for size in sizes]
    total = int(sizes.sum()) - round(sparsity * int(sizes.sum()))
    wanted = np.array([sum(shape) for shape in shapes], dtype=float)
    full = np.zeros(len(sizes), dtype=bool)
    while True:
        share = np.where(full, sizes, wanted * max(total - sizes[full].sum(), 0) / max(wanted[~full].sum(), 1e-12))
        over = (share > sizes) & ~full
        if not over.any():
            break
        full |= over
    kept = np.floor(share).astype(int)
    # What rounding down has left over goes to the layers that lost most by it.
    for layer in np.argsort(kept - share, kind="stable")[: total - int(kept.sum())]:
        kept[layer] += 1
    return kept.tolist()
