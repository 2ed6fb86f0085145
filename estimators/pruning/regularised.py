"""Sparsity from the objective itself: penalties that drive weights or gates to zero while the network learns.

Both schedules are told a sparsity, not the strength of a penalty. The strength follows: it rises while the network
is denser than it should be by then, and falls when it is sparser. In the end the count is made exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..training import Adam, Training
from .masks import RemovalOrder
from .pruner import Pruned
from .schedules import cubic, masked, schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..training import Batch
    from .masks import Mask
    from .schedules import Problem

#: The part of the training after which the network should be as sparse as wanted.
SPARSE_AT = 0.75

#: How often a training looks how sparse the network is, and how the strength of the L1 penalty then changes. At
#: first it would take a weight of mean size `SLOWLY` trainings to reach zero.
LOOKS, STRENGTH_FACTOR, SLOWLY = 100, 1.25, 10

#: The hard concrete distribution: temperature and ends of the stretched interval (values of the paper).
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1

#: Gates start open with this probability; their step size, and that of the multiplier of the L0 constraint.
OPEN_AT_FIRST, GATE_RATE, MULTIPLIER_RATE = 0.9, 0.05, 0.5


@schedule("l1")
def l1(problem: Problem, sparsity: float) -> PrunedModel:
    """Train with an L1 penalty on the prunable weights, by proximal steps, then prune what is smallest.

    For the last quarter of the training the penalty is gone, so that it does not bias the weights that are left.
    With granularity "unit" the penalty is on the norm of each unit's incoming weights (group lasso).

    References
    ----------
    R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996; M. Yuan, Y. Lin, "Model Selection and
    Estimation in Regression with Grouped Variables", 2006; N. Parikh, S. Boyd, "Proximal Algorithms", 2014.
    """
    controller = _Shrinkage(problem, sparsity)
    training = problem.train(problem.initial, None, "training with an L1 penalty", controller=controller)
    pruned = controller.pruned or problem.rank(training.parameters).prune(sparsity)
    return problem.finish(training, pruned)


class _Shrinkage:
    """The proximal step of the penalty, after every update."""

    def __init__(self, problem: Problem, sparsity: float):
        self._problem, self._sparsity = problem, sparsity
        self._last = int(SPARSE_AT * problem.n_steps)
        self.pruned: Pruned | None = None
        self._by_unit = problem.choices.granularity == "unit"
        self._n_prunable = problem.n_prunable
        self._rate = problem.task.recipe.learning_rate_init
        self._interval = max(1, problem.n_steps // LOOKS)
        weights = problem.initial.parameters[: self._n_prunable]
        size = np.mean([np.abs(w).mean() for w in weights]) if weights else 0.0
        self.strength = float(size) / (SLOWLY * self._rate * problem.n_steps)

    def after_step(
        self,
        step: int,
        parameters: list[Tensor],
        batch: Batch,  # noqa: ARG002
    ) -> list[Mask] | None:
        if self.pruned is not None:
            return None
        weights = parameters[: self._n_prunable]
        for weight in weights:
            shrink(weight, self._rate * self.strength, self._by_unit)
        if step >= self._last:
            self.pruned = self._problem.rank([p.cpu().numpy() for p in parameters]).prune(self._sparsity)
            return self._problem.masks(self.pruned)
        if step % self._interval == 0:
            wanted = cubic(self._sparsity, step / self._last)
            dead = [(w == 0).all(dim=0) if self._by_unit else w == 0 for w in weights]
            removed = sum(int(d.sum()) for d in dead) / max(sum(d.numel() for d in dead), 1)
            self.strength *= STRENGTH_FACTOR if removed < wanted else 1 / STRENGTH_FACTOR
        return None


def shrink(weight: Tensor, amount: float, by_unit: bool = False) -> None:
    """Move weights towards zero by `amount` and no further, in place; or the columns, measured by their norm."""
    if by_unit:
        norms = weight.norm(dim=0)
        weight.mul_(((norms - amount * weight.shape[0] ** 0.5) / norms.clamp_min(1e-30)).clamp_min(0))
    else:
        weight.copy_(weight.sign() * (weight.abs() - amount).clamp_min(0))


@schedule("l0")
def l0(problem: Problem, sparsity: float) -> PrunedModel:
    """Train weights times random gates under a constraint on how many gates are open, then keep the openest.

    A gate is one a weight, or one a unit with granularity "unit". The multiplier of the constraint is raised by how
    far the expected density is above the one wanted.

    References
    ----------
    C. Louizos, M. Welling, D. P. Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018;
    J. Gallego-Posada et al., "Controlled Sparsity via Constrained Optimization", NeurIPS 2022.
    """
    gated = GatedNetwork(problem, sparsity)
    training = problem.train(problem.initial, None, "training with gates", network=gated)
    parameters = gated.without_noise(training.parameters)
    pruned = _keep_the_openest(problem, [log_alpha.cpu().numpy() for log_alpha in gated.log_alphas], sparsity)
    return problem.finish(replace(training, parameters=masked(parameters, problem.masks(pruned))), pruned)


class GatedNetwork:
    """A network whose weights are multiplied by random gates, which learn beside them.

    To be trained in the place of the network: the gradients of both come from that of the product, and every step
    of the weights is one of the gates, too.
    """

    def __init__(self, problem: Problem, sparsity: float):
        task = problem.task
        self.n_layers = task.network.n_layers
        self._network, self._n, self._density = task.network, problem.n_prunable, 1 - sparsity
        # The probability that a gate is open is sigmoid(log_alpha - offset).
        self._offset = BETA * np.log(-GAMMA / ZETA)
        start = float(np.log(OPEN_AT_FIRST / (1 - OPEN_AT_FIRST)) + self._offset)
        self.log_alphas = [torch.full(shape, start, device=task.device) for shape in problem.shapes]
        recipe = replace(task.recipe, learning_rate_init=GATE_RATE, alpha=0.0)
        self._optimiser = Adam(self.log_alphas, recipe, 0, Training([])) if self._n else None
        self._generator = torch.Generator().manual_seed(task.seed_for("prune"))
        self._multiplier = torch.zeros((), device=task.device)
        self._step, self._last = 0, SPARSE_AT * problem.n_steps

    def loss_and_gradients(
        self, parameters: Sequence[Tensor], inputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Iterator[tuple[int, Tensor]]]:
        """As `MLPNetwork.loss_and_gradients`, with gates drawn anew."""
        noise = [torch.rand(a.shape, generator=self._generator).to(a.device) for a in self.log_alphas]
        drawn = [hard_concrete(log_alpha, uniform) for log_alpha, uniform in zip(self.log_alphas, noise, strict=True)]
        gated = [p * gate.to(p.dtype) for p, (gate, _) in zip(parameters, drawn, strict=False)]
        loss, gradients = self._network.loss_and_gradients([*gated, *parameters[self._n :]], inputs, targets, weights)
        return loss, self._gradients(parameters, gradients, drawn)

    def _gradients(
        self,
        parameters: Sequence[Tensor],
        gradients: Iterator[tuple[int, Tensor]],
        drawn: list[tuple[Tensor, Tensor]],
    ) -> Iterator[tuple[int, Tensor]]:
        self._step += 1
        of_gates = {}
        for index, gradient in gradients:
            if index >= self._n:
                yield index, gradient
                continue
            gate, slope = drawn[index]
            of_gate = gradient.float() * parameters[index]
            if of_gate.ndim > slope.ndim:  # a gate a unit
                of_gate = of_gate.sum(0)
            of_gates[index] = of_gate * slope + self._constraint(index)
            yield index, gradient * gate
        if self._optimiser is not None:
            self._optimiser.update(list(of_gates), list(of_gates.values()))
            self._raise_multiplier(1 - cubic(1 - self._density, self._step / self._last))

    def _constraint(self, index: int) -> Tensor:
        """The slope of the multiplier times the expected density of all gates."""
        probability = torch.sigmoid(self.log_alphas[index] - self._offset)
        return self._multiplier * probability * (1 - probability) / self._n_gates

    def _raise_multiplier(self, wanted: float) -> None:
        self._multiplier = (self._multiplier + MULTIPLIER_RATE * (self.expected_density() - wanted)).clamp_min(0)

    @property
    def _n_gates(self) -> int:
        return sum(log_alpha.numel() for log_alpha in self.log_alphas)

    def expected_density(self) -> Tensor:
        """The part of the gates that is expected to be open; nothing waits for it."""
        still_open = [torch.sigmoid(log_alpha - self._offset).sum() for log_alpha in self.log_alphas]
        return torch.stack(still_open).sum() / self._n_gates

    def without_noise(self, parameters: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The parameters as they are used after training: times the gates without noise."""
        gates = [open_gates(log_alpha).cpu().numpy() for log_alpha in self.log_alphas]
        return [p * gate for p, gate in zip(parameters, gates, strict=False)] + list(parameters[self._n :])


def hard_concrete(log_alpha: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Gates drawn with uniform noise, and their derivative with respect to `log_alpha`; equations 10 and 11."""
    uniform = uniform.clamp(1e-6, 1 - 1e-6)
    concrete = torch.sigmoid((torch.log(uniform) - torch.log1p(-uniform) + log_alpha) / BETA)
    stretched = concrete * (ZETA - GAMMA) + GAMMA
    inside = (stretched > 0) & (stretched < 1)
    slope = concrete * (1 - concrete) / BETA * (ZETA - GAMMA) * inside
    return stretched.clamp(0, 1), slope


def open_gates(log_alpha: Tensor) -> Tensor:
    """Gates without noise; equation 13."""
    return (torch.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def _keep_the_openest(problem: Problem, openness: list[NDArray], sparsity: float) -> Pruned:
    """Masks of the exact sparsity, by the gates."""
    kept: list[Mask] = RemovalOrder(
        openness, problem.choices.scope, sort=False, output=problem.choices.prune_output
    ).masks(sparsity)
    return problem.pruned_from(kept)
