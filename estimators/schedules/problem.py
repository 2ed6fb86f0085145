"""What a schedule is given: a training, and a pruning of it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from ..backend import flushed_denormals
from ..fitting import DenseModel, PrunedModel, Retraining, make_pruner, on_device, prune
from ..pruning.allocation import Allocation, in_each, values_of
from ..pruning.masks import ROUND_RATE, UnrankableError
from ..pruning.pruner import pruned_network
from ..training.loop import TrainingDiverged, diverged, train
from ..training.state import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ..fitting import Monitor, Samples, Task
    from ..networks.base import Network
    from ..pruning.allocation import Choices, S, Sparsity
    from ..pruning.masks import Mask
    from ..pruning.pruner import Pruned, Pruner
    from ..training.events import Event
    from ..training.loop import Controller, Validation
    from ..training.state import Arrays, Data, Recipe
    from .penalties import GatedNetwork

    Listener = Callable[[Event], None]
    Schedule = Callable[["Problem", Sparsity], PrunedModel]

    #: The choices, `n_rounds` and `rewind_step`.
    Search = tuple[Choices, int | str, int]

    #: The sparsities of the rounds, and the model after the last of them.
    Ticket = tuple[Sequence[Sparsity], PrunedModel]

SCHEDULES: dict[str, Schedule] = {}


@dataclass
class Shared:
    """What the points of a path have in common: computed for the first that needs it, and kept for the others.

    Attributes
    ----------
    choices : Choices or None
    pruner : Pruner or None
        The latest ranking of the dense network, and the choices that it follows.
    tickets, last_tickets : dict from `Problem.search` to list of (rungs, PrunedModel)
        Tickets found, each with the sparsities of the rounds that led to it; `last_tickets` are those of the last
        two rounds of the latest search.
    weights_at_step : dict of int to dict of str to ndarray
        Tensors of the dense training, by the number of updates.
    """

    choices: Choices | None = None
    pruner: Pruner | None = None
    tickets: dict[Search, list[Ticket]] = field(default_factory=dict)
    last_tickets: dict[Search, list[Ticket]] = field(default_factory=dict)
    weights_at_step: dict[int, Arrays] = field(default_factory=dict)


def schedule(name: str) -> Callable[[Schedule], Schedule]:
    """Register a function as schedule `name`."""

    def register(function: Schedule) -> Schedule:
        SCHEDULES[name] = function
        return function

    return register


@dataclass
class Problem:
    """A training, and a pruning of it.

    The fields after `dense` are the estimator's parameters of the same names, except where stated otherwise.

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
    on_event : callable, optional
    monitor : callable, optional
        Given the tensors after every epoch of the final training; see `train`.
    shared : Shared
        What other problems of the same training have computed.
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
    on_event: Listener | None = None
    monitor: Monitor | None = None
    shared: Shared = field(default_factory=Shared)

    @property
    def network(self) -> Network:
        """The network that is trained and pruned."""
        return self.task.network

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
        """The samples on the device: sent there once for all rounds."""
        return on_device(self.samples, self.task)

    @cached_property
    def initial(self) -> Training:
        """The network before training."""
        return Training(self.network.initial(self.task.seed_for("start")))

    @property
    def search(self) -> Search:
        """What the tickets found depend on, apart from the network and its training."""
        return self.choices, self.n_rounds, self.rewind_step

    @property
    def n_steps(self) -> int:
        """Updates of a whole training."""
        return self.task.n_steps(len(self.samples.codes))

    def rungs(self, sparsity: Sparsity) -> list[Sparsity]:
        """The sparsities after each of the rounds: with ``"auto"`` a round removes `ROUND_RATE` of what is left.

        With a sparsity for each layer, a layer that has reached its own stays there.
        """
        if self.n_rounds != "auto":
            return ladder(sparsity, int(self.n_rounds))
        highest = max(values_of(sparsity), default=0.0)
        rungs: list[Sparsity] = []
        while (rung := 1 - (1 - ROUND_RATE) ** (len(rungs) + 1)) < highest - 1e-9:
            rungs.append(in_each(partial(min, rung), sparsity))
        return [*rungs, sparsity]

    @cached_property
    def allocation(self) -> Allocation:
        """How much of each layer is removed."""
        return Allocation(self.network, self.choices)

    @property
    def is_by_unit(self) -> bool:
        """Whether units are pruned, not weights."""
        return self.allocation.is_by_unit

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what is ranked: of each tensor of weights, or of the units of each group."""
        return self.allocation.shapes

    def rank_dense(self) -> Pruner:
        """Score and rank the dense network, once for all points of a path."""
        shared = self.shared
        if shared.pruner is None or shared.choices != self.choices:
            shared.choices, shared.pruner = self.choices, make_pruner(self.dense(), self.choices)
        return shared.pruner

    def rank(self, tensors: Arrays, pruned: Pruned | None = None) -> Pruner:
        """Score and rank a network; what `pruned` removed stays removed."""
        masks = None if pruned is None else pruned.masks
        return make_pruner(DenseModel(self.task, Training(tensors), self.samples, masks), self.choices)

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
        with flushed_denormals(), _reported_divergence(phase, recipe):
            return train(
                network or self.network,
                start,
                self._data,
                recipe,
                seed=self.task.seed_for("shuffle"),
                masks=None if pruned is None else pruned.masks,
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
        return lambda tensors: monitor(network.without_noise(tensors))

    def pruned_from(self, kept: Mapping[str, Mask]) -> Pruned:
        """What masks of the prunable weights, or units, make of the whole network."""
        return pruned_network(self.network, kept, self.choices.granularity)

    def updates(self, training: Training) -> int:
        """Updates that a training on the samples made."""
        return self.task.updates(training, len(self.samples.codes))

    def finish(self, training: Training, pruned: Pruned, search_updates: int | None = None) -> PrunedModel:
        """A network that has been trained with its masks, fine-tuned if that is wanted.

        `search_updates` are those that the masks took before the training began; None if they were found in it.
        """
        model = prune(DenseModel(self.task, training, self.samples), pruned, self.retraining, self.on_event)
        if search_updates is None:
            return model
        return replace(model, updates=search_updates + model.updates, search_updates=search_updates)


@contextmanager
def _reported_divergence(phase: str, recipe: Recipe) -> Iterator[None]:
    """Weights that have become NaN cannot be ranked: report the divergence instead."""
    try:
        yield
    except UnrankableError as error:
        raise TrainingDiverged(diverged(f"({phase})", recipe)) from error


def ladder(sparsity: Sparsity, n_rounds: int) -> list[Sparsity]:
    """The sparsities after each round of removing the same part of what is left, the last one exactly `sparsity`."""
    parts = [i / n_rounds for i in range(1, n_rounds)]
    return [*(in_each(lambda s, part=part: 1 - (1 - s) ** part, sparsity) for part in parts), sparsity]


def masked(tensors: Mapping[str, NDArray], masks: Mapping[str, Mask]) -> Arrays:
    """Tensors with zeros where the masks are False."""
    return {name: np.where(masks[name], tensor, np.float32(0)) for name, tensor in tensors.items()}


def cubic(sparsity: S, progress: float) -> S:
    """Zhu and Gupta's sparsity when a part `progress` (0 to 1) of the pruning is over."""
    return in_each(lambda s: s * (1 - (1 - min(max(progress, 0.0), 1.0)) ** 3), sparsity)
