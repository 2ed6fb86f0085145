"""Controls: is it these masks that matter, these weights, or only how many are left in each layer?

A control takes the masks that a schedule finds and changes one thing about them or about the weights, then trains as
the schedule does. Together with `carry_out`, which runs a schedule and its control, this is what fits and paths call.

References
----------
J. Frankle, G. K. Dziugaite, D. Roy, M. Carbin, "Pruning Neural Networks at Initialization: Why Are We Missing the
Mark?", ICLR 2021 (shuffling, reinitialisation, inversion); J. Su et al., "Sanity-Checking Pruning Methods: Random
Tickets can Win the Jackpot", NeurIPS 2020; Z. Liu et al., "Rethinking the Value of Network Pruning", ICLR 2019
(training pruned networks from other initial weights).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..fitting import Retraining, prune
from ..pruning.allocation import values_of
from ..training.state import Training
from . import gradual, penalties, rewiring, rounds, synaptic  # noqa: F401 (register their schedules)
from .catalogue import REWINDING, SHORT_FOR
from .problem import SCHEDULES, masked
from .tickets import weights_at_step

if TYPE_CHECKING:
    from ..fitting import PrunedModel
    from ..pruning.allocation import Sparsity
    from ..pruning.masks import Mask
    from ..pruning.pruner import Pruned
    from ..training.state import Arrays
    from .problem import Problem

#: Schedules that prune a trained network and go on from its weights.
_FROM_TRAINED = ("one-shot", "iterative")


def carry_out(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Prune according to the problem.

    With nothing to remove, all schedules and controls begin with the dense network. The control "invert" is not seen
    here: it is the other `order` of the choices.
    """
    name, control = SHORT_FOR.get(problem.schedule, (problem.schedule, problem.control))
    changes_masks_or_weights = control in ("shuffle", "reinit")
    removes_nothing = max(values_of(sparsity), default=0) == 0
    if removes_nothing and (name != "one-shot" or changes_masks_or_weights):
        whole = problem.pruned_from({name: np.ones(shape, dtype=bool) for name, shape in problem.shapes.items()})
        retraining = None if name == "iterative" else problem.retraining  # it retrains in its rounds
        return prune(problem.dense(), whole, retraining, problem.on_event)
    if not changes_masks_or_weights:
        return SCHEDULES[name](problem, sparsity)
    # What the schedule itself would retrain in the end is of no use to the control.
    search = problem if name == "iterative" else replace(problem, retraining=Retraining())
    found = SCHEDULES[name](search, sparsity)
    return _shuffle(problem, name, found) if control == "shuffle" else _initialise_anew(problem, found)


def _shuffle(problem: Problem, name: str, found: PrunedModel) -> PrunedModel:
    """As many weights in each layer, or units, as the schedule leaves, but random ones.

    A schedule that goes on from a trained network applies them to that, and retrains it once; the others train a
    network with these masks from the weights that they themselves start from.
    """
    rng = np.random.default_rng(problem.task.seed_for("fine-tune"))
    masks = found.pruned.units if problem.is_by_unit else found.pruned.masks
    pruned = problem.pruned_from({name: _shuffled(rng, masks[name]) for name in problem.shapes})
    if name in _FROM_TRAINED:
        model = prune(problem.dense(), pruned, problem.retraining, problem.on_event)
        retrained = model.updates - model.search_updates
        return replace(model, updates=found.search_updates + retrained, search_updates=found.search_updates)
    step = problem.rewind_step if problem.schedule in REWINDING else 0
    return _trained(problem, weights_at_step(problem, step), pruned, found, "control: a random mask")


def _initialise_anew(problem: Problem, found: PrunedModel) -> PrunedModel:
    """The masks that the schedule finds, trained from other initial weights."""
    task = problem.task
    other = task.network.initial(task.seed_for("fine-tune"))
    return _trained(problem, other, found.pruned, found, "control: other initial weights")


def _trained(problem: Problem, start: Arrays, pruned: Pruned, found: PrunedModel, phase: str) -> PrunedModel:
    """A whole training with these masks from some weights, then the retraining."""
    before = masked(start, pruned.masks)
    return problem.finish(problem.train(Training(before), pruned, phase), pruned, found.search_updates)


def _shuffled(rng: np.random.Generator, mask: Mask) -> Mask:
    return rng.permutation(mask.ravel()).reshape(mask.shape)
