"""Sparsity from the objective itself: penalties that drive weights or gates to zero while the network learns.

Both schedules take a sparsity, not the strength of a penalty. The strength follows: it rises while the network is
denser than it should be by then, and falls when it is sparser. In the end the count is made exact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..pruning.groups import along_units, entries_of_slice, entries_of_units, slices_of_output
from ..pruning.pruner import Ranking
from ..training.optimisers import Adam
from .problem import cubic, masked, schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from ..fitting import PrunedModel
    from ..networks.base import Group, Slice, TensorRecord, Tensors
    from ..pruning.allocation import Sparsity
    from ..pruning.pruner import Pruned
    from ..training.loop import Batch, Masks
    from ..training.state import Arrays
    from .problem import Problem

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
def l1(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Train with an L1 penalty on the prunable weights, by proximal steps, then remove the smallest.

    For the last quarter of the training the penalty is gone, so that it does not bias the weights that are left.
    With granularity "unit" the penalty is on the norm of each unit's incoming weights (group lasso).

    References
    ----------
    R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996; M. Yuan, Y. Lin, "Model Selection and
    Estimation in Regression with Grouped Variables", 2006; N. Parikh, S. Boyd, "Proximal Algorithms", 2014.
    """
    controller = _Shrinkage(problem, sparsity)
    training = problem.train(problem.initial, None, "training with an L1 penalty", controller=controller)
    pruned = controller.pruned or problem.rank(training.tensors).prune(sparsity)
    return problem.finish(training, pruned)


class _Shrinkage:
    """The proximal step of the penalty, after every update."""

    def __init__(self, problem: Problem, sparsity: Sparsity):
        self._problem, self._sparsity = problem, sparsity
        self._fraction = problem.allocation.fraction(sparsity)
        self._last = int(SPARSE_AT * problem.n_steps)
        self.pruned: Pruned | None = None
        self._names = problem.allocation.affected(sparsity)
        self._groups = [problem.network.groups[name] for name in self._names] if problem.is_by_unit else []
        self._rate = problem.task.recipe.learning_rate_init
        self._interval = max(1, problem.n_steps // LOOKS)
        of_groups = [part.tensor for group in self._groups for part in group.of_role("producer")]
        weights = [problem.initial.tensors[name] for name in of_groups or self._names]
        size = np.mean([np.abs(w).mean() for w in weights]) if weights else 0.0
        self.strength = float(size) / (SLOWLY * self._rate * problem.n_steps)

    def after_step(self, step: int, tensors: dict[str, Tensor], batch: Batch) -> Masks | None:  # noqa: ARG002
        if self.pruned is not None:
            return None
        if self._groups:
            for group in self._groups:
                shrink_units(group, tensors, self._rate * self.strength)
        else:
            for name in self._names:
                shrink(tensors[name], self._rate * self.strength)
        if step >= self._last:
            arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
            self.pruned = self._problem.rank(arrays).prune(self._sparsity)
            return self.pruned.masks
        if step % self._interval == 0:
            wanted = cubic(self._fraction, step / self._last)
            self.strength *= STRENGTH_FACTOR if self._removed(tensors) < wanted else 1 / STRENGTH_FACTOR
        return None

    def _removed(self, tensors: dict[str, Tensor]) -> float:
        """The part of the weights, or units, that is zero."""
        if self._groups:
            dead = [(entries_of_units(group, tensors) == 0).all(dim=0) for group in self._groups]
        else:
            dead = [tensors[name] == 0 for name in self._names]
        return sum(int(d.sum()) for d in dead) / max(sum(d.numel() for d in dead), 1)


def shrink(weight: Tensor, amount: float) -> None:
    """Move weights towards zero by `amount` and no further, in place."""
    weight.copy_(weight.sign() * (weight.abs() - amount).clamp_min(0))


def shrink_units(group: Group, tensors: Mapping[str, Tensor], amount: float) -> None:
    """Move the incoming weights of each unit towards zero, measured by their norm, in place."""
    entries = entries_of_units(group, tensors)
    norms = entries.norm(dim=0)
    factors = ((norms - amount * len(entries) ** 0.5) / norms.clamp_min(1e-30)).clamp_min(0)
    for part in group.of_role("producer"):
        tensors[part.tensor].mul_(along_units(group, part, factors, tensors[part.tensor].shape))


@schedule("l0")
def l0(problem: Problem, sparsity: Sparsity) -> PrunedModel:
    """Train weights times random gates under a constraint on how many gates are open, then keep the most open ones.

    There is a gate for each weight, or with granularity "unit" for each unit. The multiplier of the constraint is
    raised by how far the expected density is above the one wanted.

    References
    ----------
    C. Louizos, M. Welling, D. P. Kingma, "Learning Sparse Neural Networks through L0 Regularization", ICLR 2018;
    J. Gallego-Posada et al., "Controlled Sparsity via Constrained Optimization", NeurIPS 2022.
    """
    gated = GatedNetwork(problem, sparsity)
    training = problem.train(problem.initial, None, "training with gates", network=gated)
    openness = {name: np.full(shape, np.inf, np.float32) for name, shape in problem.shapes.items()}
    openness |= {name: log_alpha.cpu().numpy() for name, log_alpha in gated.log_alphas.items()}
    pruned = problem.pruned_from(Ranking(problem.allocation, openness).masks(sparsity))
    tensors = masked(gated.without_noise(training.tensors), pruned.masks)
    return problem.finish(replace(training, tensors=tensors), pruned)


class GatedNetwork:
    """A network whose weights are multiplied by random gates, which are trained beside them.

    It is trained instead of the network: the gradients of both come from that of the product, and every step of the
    weights is one of the gates, too.
    """

    def __init__(self, problem: Problem, sparsity: Sparsity):
        task = problem.task
        self._network, self._density = problem.network, 1 - problem.allocation.fraction(sparsity)
        # The probability that a gate is open is sigmoid(log_alpha - offset).
        self._offset = BETA * np.log(-GAMMA / ZETA)
        start = float(np.log(OPEN_AT_FIRST / (1 - OPEN_AT_FIRST)) + self._offset)
        gated = {name: problem.shapes[name] for name in problem.allocation.affected(sparsity)}
        self.log_alphas = {n: torch.full(shape, start, device=task.device) for n, shape in gated.items()}
        self._groups = [problem.network.groups[name] for name in gated] if problem.is_by_unit else []
        recipe = replace(task.recipe, learning_rate_init=GATE_RATE, alpha=0.0)
        self._optimiser = Adam(self.log_alphas, recipe) if self.log_alphas else None
        self._generator = torch.Generator().manual_seed(task.seed_for("prune"))
        self._multiplier = torch.zeros((), device=task.device)
        self._step, self._last = 0, SPARSE_AT * problem.n_steps

    @property
    def records(self) -> Mapping[str, TensorRecord]:
        """Those of the network."""
        return self._network.records

    @property
    def is_random(self) -> bool:
        """Whether the network draws random numbers, beside those of the gates."""
        return self._network.is_random

    @property
    def trained(self) -> list[str]:
        """Names of the tensors that the optimiser of the weights changes."""
        return self._network.trained

    def loss_and_gradients(
        self, tensors: Tensors, inputs: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Iterator[tuple[str, Tensor]]]:
        """As `Network.loss_and_gradients`, with gates drawn anew."""
        noise = {n: torch.rand(a.shape, generator=self._generator).to(a.device) for n, a in self.log_alphas.items()}
        drawn = {name: hard_concrete(log_alpha, noise[name]) for name, log_alpha in self.log_alphas.items()}
        factors = self._of_weights({name: gate for name, (gate, _) in drawn.items()}, tensors)
        gated = {name: tensors[name] * factor.to(tensors[name].dtype) for name, factor in factors.items()}
        loss, gradients = self._network.loss_and_gradients({**tensors, **gated}, inputs, targets, weights)
        return loss, self._gradients(tensors, gradients, factors, {name: slope for name, (_, slope) in drawn.items()})

    def _of_weights(self, gates: Mapping[str, Tensor], tensors: Tensors) -> dict[str, Tensor]:
        """For every gated tensor of weights, its gates in a shape that broadcasts against it."""
        if not self._groups:
            return dict(gates)
        factors: dict[str, Tensor] = {}
        for group in self._groups:
            for part in self._gated(group):
                of_group = along_units(group, part, gates[group.name], tensors[part.tensor].shape)
                of_others = factors.get(part.tensor)  # groups that share the tensor
                factors[part.tensor] = of_group if of_others is None else of_group * of_others
        return factors

    def _gated(self, group: Group) -> list[Slice]:
        """What the gate of a unit multiplies: its incoming weights, or scale and shift where it is normalised."""
        return [part for part in slices_of_output(group, self._network) if self.records[part.tensor].kind != "bias"]

    def _gradients(
        self,
        tensors: Tensors,
        gradients: Iterator[tuple[str, Tensor]],
        factors: Mapping[str, Tensor],
        slopes: Mapping[str, Tensor],
    ) -> Iterator[tuple[str, Tensor]]:
        self._step += 1
        of_products: dict[str, Tensor] = {}
        for name, gradient in gradients:
            if name not in factors:
                yield name, gradient
                continue
            of_products[name] = gradient.float() * tensors[name]
            yield name, gradient * factors[name]
        if self._optimiser is not None:
            of_gates = of_products
            if self._groups:
                of_gates = {group.name: self._of_units(group, of_products) for group in self._groups}
            self._optimiser.update({n: of_gates[n] * slopes[n] + self._constraint(n) for n in self.log_alphas})
            self._raise_multiplier(1 - cubic(1 - self._density, self._step / self._last))

    def _of_units(self, group: Group, products: Mapping[str, Tensor]) -> Tensor:
        entries = (entries_of_slice(part, group.size, products[part.tensor]) for part in self._gated(group))
        return torch.stack([some.sum(0) for some in entries]).sum(0)

    def _constraint(self, name: str) -> Tensor:
        """The slope of the multiplier times the expected density of all gates."""
        probability = torch.sigmoid(self.log_alphas[name] - self._offset)
        return self._multiplier * probability * (1 - probability) / self._n_gates

    def _raise_multiplier(self, wanted: float) -> None:
        self._multiplier = (self._multiplier + MULTIPLIER_RATE * (self.expected_density() - wanted)).clamp_min(0)

    @property
    def _n_gates(self) -> int:
        return sum(log_alpha.numel() for log_alpha in self.log_alphas.values())

    def expected_density(self) -> Tensor:
        """The part of the gates that is expected to be open; nothing waits for it."""
        still_open = [torch.sigmoid(log_alpha - self._offset).sum() for log_alpha in self.log_alphas.values()]
        return torch.stack(still_open).sum() / self._n_gates

    def without_noise(self, tensors: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """The tensors as they are used after training: times the gates without noise."""
        gates = {name: open_gates(log_alpha) for name, log_alpha in self.log_alphas.items()}
        factors = self._of_weights(gates, {name: torch.from_numpy(array) for name, array in tensors.items()})
        return {n: array * factors[n].cpu().numpy() if n in factors else array for n, array in tensors.items()}


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
