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

from ..networks.base import CAST
from ..pruning.allocation import in_each
from ..pruning.evidence.activity import mean_products
from ..pruning.evidence.sample import as_weights, by_position, silence, trace
from ..pruning.pruner import Ranking
from .problem import cubic, schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..pruning.allocation import Sparsity
    from ..pruning.masks import Mask
    from ..training.loop import Batch, Masks
    from .problem import Problem

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
def synaptic(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Eliminate persistently inactive synapses while training; weights only, whatever the criterion.

    The activity of a synapse is how strongly it drives its target while that fires: the mean of
    ``|w| * |activity before| * |activity behind|``, a leaky average over the rounds. The module has the sources of the
    model.
    """
    microglia = _Microglia(problem, sparsity)
    training = problem.train(problem.initial, None, "synaptic pruning", controller=microglia)
    return problem.finish(training, problem.pruned_from(microglia.final_masks(training.tensors)))


class _Microglia:
    def __init__(self, problem: Problem, sparsity: Sparsity):
        self._problem, self._sparsity = problem, sparsity
        first, last = CRITICAL_PERIOD_BEGIN * problem.n_steps, CRITICAL_PERIOD_END * problem.n_steps
        self._rounds = np.unique(np.linspace(first, last, SURVEILLANCE_ROUNDS).round().astype(int)).tolist()
        self._first, self._last = first, last
        self._activity: dict[str, Tensor] = {}
        self._tags = {name: torch.zeros(shape, dtype=torch.int16) for name, shape in problem.shapes.items()}
        self._alive = {name: torch.ones(shape, dtype=torch.bool) for name, shape in problem.shapes.items()}
        samples = problem.samples
        self._silence = torch.from_numpy(silence(samples.inputs, samples.weights))

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> Masks | None:
        if step not in self._rounds:
            return None
        self._observe(tensors, batch)
        progress = (step - self._first) / (self._last - self._first)
        if step == self._rounds[-1]:  # the period is over: remove what should be gone
            self._alive = {name: torch.from_numpy(mask) for name, mask in self._kept(self._sparsity).items()}
        else:
            self._tag(cubic(self._sparsity, progress))
            self._eliminate(cubic(self._sparsity, progress))
        return {name: alive.numpy() for name, alive in self._alive.items()}

    def final_masks(self, tensors: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.bool_]]:
        """The exact sparsity: the least active of those alive are removed, if there are still too many."""
        if not self._activity:  # a training too short for a single round
            self._activity = {name: torch.from_numpy(abs(tensors[name])) for name in self._alive}
        return self._kept(self._sparsity)

    def _observe(self, tensors: dict[str, Tensor], batch: Batch) -> None:
        """Take a round's activity into the leaky average."""
        inputs, _, weights = batch
        weights = torch.ones(len(inputs), device=inputs.device) if weights is None else weights
        shares = weights / weights.sum().clamp_min(1e-30)
        network = self._problem.network
        records = network.records
        working = {n: t.to(inputs.dtype) if records[n].kind in CAST else t for n, t in tensors.items()}
        record = trace(network, working, inputs)
        for name in self._alive:
            before = record.active_inputs(name, self._silence.to(inputs.device)).float()
            behind = by_position(record.behind(name).float().abs())
            now = tensors[name].abs() * as_weights(mean_products(before, behind, shares), records[name])
            if name in self._activity:
                now = ACTIVITY_MEMORY * self._activity[name] + (1 - ACTIVITY_MEMORY) * now
            self._activity[name] = now

    def _tag(self, sparsity: Sparsity) -> None:
        """Tag the least active synapses; the others lose their tags."""
        excess = in_each(lambda s: min(1.0, TAGGING_EXCESS * s), sparsity)
        for name, mask in self._kept(excess).items():
            inactive = ~torch.from_numpy(mask) & self._alive[name]
            self._tags[name] = torch.where(inactive, self._tags[name] + 1, torch.zeros_like(self._tags[name]))

    def _eliminate(self, sparsity: Sparsity) -> None:
        """Remove those with enough tags, the least active first, but not more than should be gone by now."""
        for name, mask in self._kept(sparsity).items():
            self._alive[name] &= torch.from_numpy(mask) | (self._tags[name] < TAGS_TO_ELIMINATE)

    def _kept(self, sparsity: Sparsity) -> dict[str, Mask]:
        activity = {name: self._activity[name].cpu().numpy() for name in self._alive}
        alive = {name: mask.numpy() for name, mask in self._alive.items()}
        return Ranking(self._problem.allocation, activity, kept=alive).masks(sparsity)
