"""Pruning a trained network: at once, or in rounds of pruning and retraining."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..fitting import PrunedModel, prune
from ..recalibration import recalibrated
from ..training.state import Training
from .problem import masked, schedule

if TYPE_CHECKING:
    from ..pruning.allocation import Sparsity
    from .problem import Problem


@schedule("one-shot")
def one_shot(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Train, prune once, fine-tune."""
    return prune(problem.dense(), problem.rank_dense().prune(sparsity), problem.retraining, problem.on_event)


@schedule("iterative")
def iterative(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Train, then prune and fine-tune in `n_rounds` rounds, each removing the same part of what is left.

    The rounds have absolute sparsities, so that the last one is exact.

    References
    ----------
    S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural Networks",
    NeurIPS 2015.
    """
    dense = problem.dense()
    tensors, pruned, retraining = dense.training.tensors, None, None
    before, updates, search_updates = tensors, dense.updates, dense.updates
    recipe = problem.retraining.recipe(problem.task.recipe)
    rungs = problem.rungs(sparsity)
    for i, rung in enumerate(rungs, 1):
        search_updates = updates
        pruned = problem.rank(tensors, pruned).prune(rung)
        before = masked(tensors, pruned.masks)
        if problem.retraining.recalibrate:
            before = recalibrated(problem.network, before, problem.samples.inputs, problem.task.device)
        retraining = problem.train(Training(before), pruned, f"round {i} of {len(rungs)}", recipe)
        tensors = retraining.tensors
        updates += problem.updates(retraining)
    assert pruned is not None
    return PrunedModel(tensors, pruned, before, dense.training, retraining, updates, search_updates)
