"""Synaptic pruning: overproduction, then elimination of the synapses that are used least, while the network learns.

A model of what microglia do in a developing brain. It begins with all synapses (overproduction). On their rounds
(surveillance), microglia find synapses that have been little active and tag them, as complement proteins do; an
active synapse shows a protective signal and loses its tag. A synapse that is found tagged several times in a row is
eliminated.

References
----------
P. Huttenlocher, "Synaptic density in human frontal cortex: developmental changes and effects of aging", Brain
Research 1979 (overproduction, then elimination).
B. Stevens et al., "The Classical Complement Cascade Mediates CNS Synapse Elimination", Cell 2007 (tagging).
D. Schafer et al., "Microglia Sculpt Postnatal Neural Circuits in an Activity and Complement-Dependent Manner",
Neuron 2012 (the less active input is engulfed).
E. Lehrman et al., "CD47 Protects Synapses from Excess Microglia-Mediated Pruning during Development", Neuron 2018
(the protective signal).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .masks import RemovalOrder
from .schedules import cubic, schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..training import Batch
    from .masks import Mask
    from .schedules import Problem

#: The part of the training in which synapses are only made and used, and the part after which elimination is over.
CRITICAL_PERIOD_BEGIN, CRITICAL_PERIOD_END = 0.1, 0.75

#: Rounds of the microglia in the critical period.
SURVEILLANCE_ROUNDS = 40

#: Rounds in a row in which a synapse has to be found inactive before it is eliminated.
TAGS_TO_ELIMINATE = 3

#: How many times as many synapses are tagged as have to go: those that are protected later lose their tag.
TAGGING_EXCESS = 1.5

#: How much of a synapse's activity is remembered from one round to the next.
ACTIVITY_MEMORY = 0.7


@schedule("synaptic")
def synaptic(problem: Problem, sparsity: float) -> PrunedModel:
    """Eliminate persistently inactive synapses while training; weights only, whatever the criterion.

    The activity of a synapse is how strongly it drives its target while that fires: the mean of
    ``|w| * |activity before| * |activity behind|``, a leaky average over the rounds. The module says where the
    model comes from.
    """
    microglia = _Microglia(problem, sparsity)
    training = problem.train(problem.initial, None, "synaptic pruning", controller=microglia)
    return problem.finish(training, problem.pruned_from(microglia.masks_at_last(training.parameters)))


class _Microglia:
    def __init__(self, problem: Problem, sparsity: float):
        self._problem, self._sparsity = problem, sparsity
        first, last = CRITICAL_PERIOD_BEGIN * problem.n_steps, CRITICAL_PERIOD_END * problem.n_steps
        self._rounds = np.unique(np.linspace(first, last, SURVEILLANCE_ROUNDS).round().astype(int)).tolist()
        self._first, self._last = first, last
        shapes = [p.shape for p in problem.initial.parameters[: problem.n_prunable]]
        self._activity: list[Tensor] = []
        self._tags = [torch.zeros(shape, dtype=torch.int16) for shape in shapes]
        self._alive = [torch.ones(shape, dtype=torch.bool) for shape in shapes]
        samples = problem.samples
        counted = samples.inputs if samples.weights is None else samples.inputs[samples.weights > 0]
        self._silence = torch.from_numpy(counted.min(axis=0))

    def after_step(self, step: int, parameters: list[Tensor], batch: Batch) -> list[Mask | None] | None:
        if step not in self._rounds:
            return None
        self._observe(parameters, batch)
        progress = (step - self._first) / (self._last - self._first)
        if step == self._rounds[-1]:  # the period is over: what should be gone goes
            self._alive = [torch.from_numpy(mask) for mask in self._kept(self._sparsity)]
        else:
            self._tag(cubic(self._sparsity, progress))
            self._eliminate(cubic(self._sparsity, progress))
        masks: list[Mask | None] = [alive.numpy() for alive in self._alive]
        return masks + [None] * (len(parameters) - len(masks))

    def masks_at_last(self, parameters: list[NDArray[np.float32]]) -> list[NDArray[np.bool_]]:
        """The exact sparsity: the least active of those alive go, if there are still too many."""
        if not self._activity:  # a training too short for a single round
            self._activity = [torch.from_numpy(abs(p)) for p in parameters[: len(self._alive)]]
        return self._kept(self._sparsity)

    def _observe(self, parameters: list[Tensor], batch: Batch) -> None:
        """Take a round's activity into the leaky average."""
        inputs, _, weights = batch
        weights = torch.ones(len(inputs), device=inputs.device) if weights is None else weights
        shares = weights[:, None] / weights.sum().clamp_min(1e-30)
        working = [p.to(inputs.dtype) for p in parameters]
        outputs = [output.float().abs() for output in self._problem.task.network.layers(working, inputs)]
        before = [inputs.float() - self._silence.to(inputs.device), *outputs[:-1]]
        now = [
            parameters[layer].abs() * ((before[layer] * shares).T @ outputs[layer]) for layer in range(len(self._alive))
        ]
        if self._activity:
            now = [
                ACTIVITY_MEMORY * old + (1 - ACTIVITY_MEMORY) * new
                for old, new in zip(self._activity, now, strict=True)
            ]
        self._activity = now

    def _tag(self, sparsity: float) -> None:
        """Tag the least active; whoever is not among them loses the tags."""
        excess = min(1.0, TAGGING_EXCESS * sparsity)
        for layer, mask in enumerate(self._kept(excess)):
            inactive = ~torch.from_numpy(mask) & self._alive[layer]
            self._tags[layer] = torch.where(inactive, self._tags[layer] + 1, torch.zeros_like(self._tags[layer]))

    def _eliminate(self, sparsity: float) -> None:
        """Cut those with enough tags, the least active first, but not more than should be gone by now."""
        for layer, mask in enumerate(self._kept(sparsity)):
            self._alive[layer] &= torch.from_numpy(mask) | (self._tags[layer] < TAGS_TO_ELIMINATE)

    def _kept(self, sparsity: float) -> list[Mask]:
        activity = [a.cpu().numpy() for a in self._activity]
        alive = [mask.numpy() for mask in self._alive]
        choices = self._problem.choices
        order = RemovalOrder(activity, choices.scope, kept=alive, sort=False, output=choices.prune_output)
        return order.masks(sparsity)
