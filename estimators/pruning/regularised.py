"""Sparsity from the objective itself: penalties that drive weights or gates to zero while the network learns.

Both schedules are told a sparsity, not the strength of a penalty. The strength follows: it rises while the network
is denser than it should be by then, and falls when it is sparser. In the end the count is made exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..backend import flushed_denormals
from ..fitting import on_device
from ..training import EpochEnded, Training
from .masks import RemovalOrder
from .pruner import Pruned
from .schedules import cubic, masked, schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
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
    pruned = controller.pruned or problem.pruner(training.parameters).prune(sparsity)
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
        batch: tuple[Tensor, Tensor],  # noqa: ARG002
    ) -> list[Mask] | None:
        if self.pruned is not None:
            return None
        weights = parameters[: self._n_prunable]
        for weight in weights:
            shrink(weight, self._rate * self.strength, self._by_unit)
        if step >= self._last:
            self.pruned = self._problem.pruner([p.cpu().numpy() for p in parameters]).prune(self._sparsity)
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
    with flushed_denormals(), torch.no_grad():
        gated = _GatedTraining(problem, sparsity)
        gated.run()
    parameters, openness = gated.result()
    pruned = _keep_the_openest(problem, openness, sparsity)
    before = masked(parameters, problem.masks(pruned))
    return problem.finish(Training(before, gated.loss_curve), pruned)


class _GatedTraining:
    """Adam on the weights and on the log-odds of their gates; the gradients of both come from that of the product."""

    def __init__(self, problem: Problem, sparsity: float):
        task = problem.task
        self._problem, self._network, self._recipe = problem, task.network, task.recipe
        self._data = on_device(problem.samples, task)
        device, self._n = self._data.inputs.device, problem.n_prunable
        self._parameters = [torch.tensor(p, device=device) for p in problem.initial.parameters]
        by_unit = problem.choices.granularity == "unit"
        # The probability that a gate is open is sigmoid(log_alpha - offset).
        self._offset = BETA * np.log(-GAMMA / ZETA)
        start = float(np.log(OPEN_AT_FIRST / (1 - OPEN_AT_FIRST)) + self._offset)
        shapes = [p.shape[1:] if by_unit else p.shape for p in self._parameters[: self._n]]
        self.log_alphas = [torch.full(shape, start, device=device) for shape in shapes]
        self._weights_optimiser = torch.optim.Adam(self._parameters, lr=self._recipe.learning_rate_init)
        self._gates_optimiser = torch.optim.Adam(self.log_alphas, lr=GATE_RATE) if self._n else None
        self._generator = torch.Generator().manual_seed(task.seed_for("prune"))
        self._shuffler = torch.Generator().manual_seed(task.seed_for("shuffle"))
        self._density, self._multiplier = 1 - sparsity, 0.0
        self.loss_curve: list[float] = []

    def run(self) -> None:
        """All epochs."""
        n, step, last = len(self._data), 0, SPARSE_AT * self._problem.n_steps
        for epoch in range(self._recipe.max_iter):
            total = torch.zeros((), device=self._data.inputs.device)
            for rows in (
                torch.randperm(n, generator=self._shuffler).to(self._data.inputs.device).split(self._recipe.batch_size)
            ):
                step += 1
                wanted = 1 - cubic(1 - self._density, step / last)
                total += self._step(rows, wanted) * len(rows)
            self.loss_curve.append(float(total) / n)
            if self._problem.on_event is not None:
                self._problem.on_event(self._epoch_ended(epoch + 1, n))

    def result(self) -> tuple[list[NDArray], list[NDArray]]:
        """The parameters with their gates as they are without noise, and the log-odds of the gates."""
        gates = [open_gates(log_alpha) for log_alpha in self.log_alphas]
        gated = [p * g for p, g in zip(self._parameters, gates, strict=False)] + self._parameters[self._n :]
        return [p.cpu().numpy() for p in gated], [a.cpu().numpy() for a in self.log_alphas]

    def _step(self, rows: Tensor, wanted: float) -> Tensor:
        inputs, targets = self._data.inputs[rows], self._data.targets[rows]
        weights = None if self._data.weights is None else self._data.weights[rows]
        noise = [torch.rand(a.shape, generator=self._generator).to(a.device) for a in self.log_alphas]
        gates, slopes = zip(*map(hard_concrete, self.log_alphas, noise), strict=True) if self._n else ((), ())
        working = [p * g for p, g in zip(self._parameters, gates, strict=False)] + self._parameters[self._n :]
        loss, gradients = self._network.loss_and_gradients(
            [p.to(inputs.dtype) for p in working], inputs, targets, weights
        )
        for index, gradient in gradients:
            gradient = gradient.float()
            parameter = self._parameters[index]
            if index < self._n:
                of_gate = gradient * parameter
                if of_gate.ndim > self.log_alphas[index].ndim:
                    of_gate = of_gate.sum(0)
                self.log_alphas[index].grad = of_gate * slopes[index] + self._constraint(index)
                gradient = gradient * gates[index]
            parameter.grad = gradient
        self._weights_optimiser.step()
        if self._gates_optimiser is not None:
            self._gates_optimiser.step()
            self._raise_multiplier(wanted)
        return loss

    def _constraint(self, index: int) -> Tensor:
        """The slope of the multiplier times the expected density of all gates."""
        probability = torch.sigmoid(self.log_alphas[index] - self._offset)
        total = sum(a.numel() for a in self.log_alphas)
        return self._multiplier * probability * (1 - probability) / total

    def _raise_multiplier(self, wanted: float) -> None:
        total = sum(a.numel() for a in self.log_alphas)
        density = sum(float(torch.sigmoid(a - self._offset).sum()) for a in self.log_alphas) / total
        self._multiplier = max(0.0, self._multiplier + MULTIPLIER_RATE * (density - wanted))

    def _epoch_ended(self, epoch: int, n: int) -> EpochEnded:
        def no_checkpoint():
            raise RuntimeError("this training cannot be interrupted and resumed")

        loss, epochs = self.loss_curve[-1], self._recipe.max_iter
        return EpochEnded("training with gates", epoch, epochs, loss, None, epoch * n, 0.0, None, no_checkpoint)


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
