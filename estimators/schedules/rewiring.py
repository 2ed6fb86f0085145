"""Dynamic sparse training: sparse from the beginning, rewired while training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..pruning.masks import RemovalOrder, output_sparsity
from ..training.state import Training
from .problem import masked, schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..pruning.masks import Mask
    from ..training.loop import Batch, Masks
    from .problem import Problem

#: The part of the connections that is rewired at first, and the part of the training in which it is.
REWIRED, END = 0.3, 0.75

#: Steps between rewirings, at most (RigL's value); a short training has at least `MIN_REWIRINGS`.
STEPS_BETWEEN, MIN_REWIRINGS = 100, 20


@schedule("set")
def sparse_evolutionary_training(problem: Problem, sparsity: float) -> PrunedModel:
    """SET: again and again, remove the smallest weights and add as many random ones.

    References
    ----------
    D. Mocanu, E. Mocanu, P. Stone, P. Nguyen, M. Gibescu, A. Liotta, "Scalable training of artificial neural
    networks with adaptive sparse connectivity inspired by network science", Nature Communications 2018.
    """
    return _rewire(problem, sparsity, grow_by_gradient=False)


@schedule("rigl")
def rigged_lottery(problem: Problem, sparsity: float) -> PrunedModel:
    """RigL: as SET, but the weights with the largest gradients are added.

    References
    ----------
    U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML
    2020: drop fraction 0.3 with cosine decay until three quarters of the training.
    """
    return _rewire(problem, sparsity, grow_by_gradient=True)


def _rewire(problem: Problem, sparsity: float, grow_by_gradient: bool) -> PrunedModel:
    tensors, shapes = problem.initial.tensors, list(problem.shapes.values())
    if problem.choices.prune_output == "half":
        size = int(np.prod(shapes[-1]))
        kept = kept_per_layer(shapes[:-1], sparsity, problem.density_distribution)
        kept.append(size - round(output_sparsity(sparsity) * size))
    else:
        kept = kept_per_layer(shapes, sparsity, problem.density_distribution)
    rng = np.random.default_rng(problem.task.seed_for("prune"))
    pairs = zip(problem.shapes.items(), kept, strict=True)
    controller = _Rewiring(problem, {n: _random_mask(rng, shape, k) for (n, shape), k in pairs}, rng, grow_by_gradient)
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
        kinds = ("weight", "bias")
        working = {n: t.to(batch[0].dtype) if records[n].kind in kinds else t.clone() for n, t in tensors.items()}
        _, gradients = self._network.loss_and_gradients(working, *batch)
        return {name: gradient.float().cpu().numpy() for name, gradient in gradients if name in self.masks}


def kept_per_layer(shapes: Sequence[tuple[int, ...]], sparsity: float, distribution: str) -> list[int]:
    """How many weights each layer keeps: exactly what the sparsity leaves, of each ("uniform") or together ("erk").

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the weights of each layer.
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
