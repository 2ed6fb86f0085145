"""Dynamic sparse training: sparse from the beginning, rewired while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..networks.base import CAST
from ..pruning.masks import RemovalOrder
from ..training.state import Training
from .problem import masked, schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..pruning.allocation import Sparsity
    from ..pruning.masks import Mask
    from ..training.loop import Batch, Masks
    from .problem import Problem

#: The part of the connections that is rewired at first, and the part of the training in which it is.
REWIRED, END = 0.3, 0.75

#: Steps between rewirings, at most (RigL's value); a short training has at least `MIN_REWIRINGS`.
STEPS_BETWEEN, MIN_REWIRINGS = 100, 20


@schedule("set")
def sparse_evolutionary_training(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """SET: again and again, remove the smallest weights and add as many random ones.

    References
    ----------
    D. Mocanu, E. Mocanu, P. Stone, P. Nguyen, M. Gibescu, A. Liotta, "Scalable training of artificial neural
    networks with adaptive sparse connectivity inspired by network science", Nature Communications 2018.
    """
    return _rewire(problem, sparsity, grow_by_gradient=False)


@schedule("rigl")
def rigged_lottery(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """RigL: as SET, but the weights with the largest gradients are added.

    References
    ----------
    U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML
    2020: drop fraction 0.3 with cosine decay until three quarters of the training.
    """
    return _rewire(problem, sparsity, grow_by_gradient=True)


def _rewire(problem: Problem, sparsity: Sparsity, grow_by_gradient: bool) -> PrunedModel:
    tensors = problem.initial.tensors
    rng = np.random.default_rng(problem.task.seed_for("prune"))
    kept = problem.allocation.kept(sparsity)
    masks = {name: _random_mask(rng, shape, kept[name]) for name, shape in problem.shapes.items()}
    controller = _Rewiring(problem, masks, rng, grow_by_gradient)
    begin = problem.pruned_from(controller.masks)
    start = Training(masked(tensors, begin.masks))
    training = problem.train(start, begin, "rewiring", controller=controller)
    return problem.finish(training, problem.pruned_from(controller.masks))


def _random_mask(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Mask:
    mask = np.zeros(int(np.prod(shape)), dtype=bool)
    mask[rng.permutation(len(mask))[:count]] = True
    return mask.reshape(shape)


class _Rewiring:
    """Drops the smallest weights and grows as many others, layer by layer."""

    def __init__(self, problem: Problem, masks: dict[str, Mask], rng: np.random.Generator, grow_by_gradient: bool):
        self.masks = masks
        self._network, self._rng, self._by_gradient = problem.network, rng, grow_by_gradient
        self._last = END * problem.n_steps
        self._interval = max(1, min(STEPS_BETWEEN, int(self._last / MIN_REWIRINGS)))

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> Masks | None:
        if step % self._interval or step >= self._last:
            return None
        fraction = REWIRED / 2 * (1 + np.cos(np.pi * step / self._last))
        gradients = self._gradients(tensors, batch) if self._by_gradient else {}
        for name, mask in self.masks.items():
            self.masks[name] = self._rewired(mask, tensors[name].cpu().numpy(), fraction, gradients.get(name))
        return self.masks

    def _rewired(self, mask: Mask, weights: NDArray, fraction: float, gradient: NDArray | None) -> Mask:
        alive = int(np.count_nonzero(mask))
        count = min(round(fraction * alive), mask.size - alive)
        # The smallest of those alive: what is dead counts as larger than any.
        (kept,) = RemovalOrder([np.where(mask, np.abs(weights), np.inf)]).masks(count / mask.size)
        kept &= mask
        score = self._rng.random(mask.shape) if gradient is None else np.abs(gradient)
        # What was just dropped may come back by its gradient, as in the paper, but not what is alive.
        (dead,) = RemovalOrder([np.where(kept, -np.inf, score)]).masks(1 - count / mask.size)
        return kept | dead

    def _gradients(self, tensors: dict[str, Tensor], batch: Batch) -> dict[str, NDArray]:
        records = self._network.records
        working = {n: t.to(batch[0].dtype) if records[n].kind in CAST else t.clone() for n, t in tensors.items()}
        _, gradients = self._network.loss_and_gradients(working, *batch)
        return {name: gradient.float().cpu().numpy() for name, gradient in gradients if name in self.masks}
