"""Optimisers with torch's fused kernels, which update one tensor or all at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd

if TYPE_CHECKING:
    from collections.abc import Collection, ItemsView, Mapping

    from torch import Tensor

    from .state import Arrays, Recipe


class Adam:
    """Adam (D. Kingma, J. Ba, ICLR 2015).

    Parameters
    ----------
    tensors : mapping of str to Tensor
        What it updates, in place.
    recipe : Recipe
    decayed : collection of str
        The tensors with a penalty.
    moments : list of dict of str to ndarray
        The memory of an optimiser to continue; empty for a fresh start.
    n_steps : int
        Updates that optimiser has made.
    """

    n_moments = 2

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        recipe: Recipe,
        decayed: Collection[str] = (),
        moments: list[Arrays] | None = None,
        n_steps: int = 0,
    ):
        self._tensors = tensors
        self.learning_rate = recipe.learning_rate_init
        self._momentum = recipe.momentum
        # As in scikit-learn, the penalty is alpha/2 |w|^2 a batch, shared by its samples; biases have none.
        self._decay = {name: recipe.alpha / recipe.batch_size if name in decayed else 0.0 for name in tensors}
        self.moments: list[dict[str, Tensor]]
        if moments:
            self.moments = [{n: torch.tensor(row[n], device=t.device) for n, t in tensors.items()} for row in moments]
        else:
            self.moments = [{n: torch.zeros_like(t) for n, t in tensors.items()} for _ in range(self.n_moments)]
        self._steps = {n: torch.full((), float(n_steps), device=t.device) for n, t in tensors.items()}

    @property
    def n_steps(self) -> int:
        """Updates made, those of the training before it included."""
        return int(next(iter(self._steps.values()))) if self._steps else 0

    def update(self, gradients: Mapping[str, Tensor]) -> None:
        """Change some of the tensors by their gradients, in place."""
        for decay, group in self._by_decay(gradients):
            adam(
                [self._tensors[name] for name in group],
                [gradients[name] for name in group],
                [self.moments[0][name] for name in group],
                [self.moments[1][name] for name in group],
                [],
                [self._steps[name] for name in group],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.learning_rate,
                weight_decay=decay,
                eps=1e-8,
                maximize=False,
            )

    def _by_decay(self, names: Collection[str]) -> ItemsView[float, list[str]]:
        """Group tensors by their penalty, which the kernels take as one number."""
        groups: dict[float, list[str]] = {}
        for name in names:
            groups.setdefault(self._decay[name], []).append(name)
        return groups.items()


class SGD(Adam):
    """Stochastic gradient descent with Nesterov's momentum; see `Adam` for the parameters."""

    n_moments = 1

    def update(self, gradients: Mapping[str, Tensor]) -> None:
        """Change some of the tensors by their gradients, in place."""
        for decay, group in self._by_decay(gradients):
            sgd(
                [self._tensors[name] for name in group],
                [gradients[name] for name in group],
                [self.moments[0][name] for name in group],
                fused=True,
                weight_decay=decay,
                momentum=self._momentum,
                lr=self.learning_rate,
                dampening=0.0,
                nesterov=self._momentum > 0,
                maximize=False,
            )
        for name in gradients:
            self._steps[name] += 1


OPTIMISERS = {"adam": Adam, "sgd": SGD}
