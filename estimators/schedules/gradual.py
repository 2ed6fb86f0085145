"""Pruning at initialisation, and more and more during training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..training.state import Training
from .problem import cubic, masked, schedule

if TYPE_CHECKING:
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..pruning.allocation import Sparsity
    from ..pruning.pruner import Pruned
    from ..training.loop import Batch, Masks
    from ..training.state import Arrays
    from .problem import Problem

#: How often the gradual schedule prunes, and the parts of the training in which it begins and ends.
UPDATES, BEGIN, END = 30, 0.1, 0.75


@schedule("before-training")
def before_training(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Prune the network at initialisation, then train what is left."""
    tensors = problem.initial.tensors
    pruned = problem.rank(tensors).prune(sparsity)
    before = masked(tensors, pruned.masks)
    return problem.finish(problem.train(Training(before), pruned, "training a sparse network"), pruned, 0)


@schedule("gradual")
def gradual(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Prune more and more while training: ``s * (1 - (1 - t)^3)``, t from 0 to 1 within the middle of the training.

    References
    ----------
    M. Zhu, S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", 2017.
    """
    controller = _Gradual(problem, sparsity)
    training = problem.train(problem.initial, None, "pruning while training", controller=controller)
    return problem.finish(training, controller.final_pruning(training.tensors))


class _Gradual:
    def __init__(self, problem: Problem, sparsity: Sparsity):
        self._problem, self._sparsity = problem, sparsity
        first, last = BEGIN * problem.n_steps, END * problem.n_steps
        steps = np.unique(np.linspace(first, last, UPDATES).round().astype(int))
        self._progress = {int(step): (step - first) / (last - first) for step in steps[:-1]} | {int(steps[-1]): 1.0}
        self._pruned: Pruned | None = None
        self._is_over = False

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> Masks | None:  # noqa: ARG002
        progress = self._progress.get(step)
        if progress is None:
            return None
        self._is_over = progress == 1
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return self._prune(cubic(self._sparsity, progress), arrays).masks

    def final_pruning(self, tensors: Arrays) -> Pruned:
        """The last pruning, also of a training too short to have reached it."""
        if self._pruned is None or not self._is_over:
            return self._prune(self._sparsity, tensors)
        return self._pruned

    def _prune(self, sparsity: Sparsity, tensors: Arrays) -> Pruned:
        self._pruned = self._problem.rank(tensors, self._pruned).prune(sparsity)
        return self._pruned
