"""Synaptic flow: what passes from the inputs to the logits through each weight or unit, without any data.

References
----------
H. Tanaka, D. Kunin, D. Yamins, S. Ganguli, "Pruning neural networks without any data by iteratively conserving
synaptic flow", NeurIPS 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .groups import entries_of_units, owners

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from ..networks.base import Network

#: Rounds in which weights or units are removed (the paper's).
ROUNDS = 100


def synaptic_flow(network: Network, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each weight, |w| times the derivative of the sum of all logits of the network of absolute weights.

    The input is all ones and the network linear, so its flow through any layer is the same sum.

    Parameters
    ----------
    network : Network
    weights : mapping of str to Tensor

    Returns
    -------
    dict of str to Tensor of float64
        Shaped as the weights.
    """
    with torch.enable_grad():
        leaves = {name: _double(weight.abs()).detach().requires_grad_() for name, weight in weights.items()}
        first = next(iter(leaves.values()))
        logits = network.forward(leaves, first.new_ones(1, network.n_features), linear=True)
        gradients = torch.autograd.grad(logits.sum(), list(leaves.values()))
    return {name: (leaf * gradient).detach() for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)}


def removal_order(
    network: Network,
    weights: Mapping[str, Tensor],
    ranked: Sequence[Sequence[str]],
    sparsities: Sequence[float],
    by_unit: bool = False,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """When SynFlow removes each weight, or unit: higher numbers later.

    `ROUNDS` rounds remove the smallest flow and recompute the remaining flow; after round k the density is
    ``(1 - sparsity) ** (k / ROUNDS)``. What is left after the last round is ordered by its flow then.

    Parameters
    ----------
    network : Network
    weights : mapping of str to Tensor
        Of the whole network.
    ranked : sequence of sequences of str
        Names of tensors, or of groups of units, together with those that they are ranked with.
    sparsities : sequence of float
        The fraction of each sequence that the rounds remove.
    by_unit : bool, default=False
        Whether to remove units, whose flow is the sum of their incoming weights'.
    masks : mapping of str to Tensor of bool, optional
        The masks of an earlier pruning; weights that it removed are ranked first.

    Returns
    -------
    dict of str to Tensor of float64
        For each name in `ranked`, shaped as its weights, or (size,).
    """
    left = {name: _double(weight.abs()).contiguous().clone() for name, weight in weights.items()}
    kind = _Units if by_unit else _Weights
    rounds = [kind(network, left, names, share, masks or {}) for names, share in zip(ranked, sparsities, strict=True)]
    for step in range(1, ROUNDS + 1):
        counts = [some.count(step) for some in rounds]
        if any(counts):
            flow = synaptic_flow(network, left)
            for some, count in zip(rounds, counts, strict=True):
                some.remove(flow, count)
    flow = synaptic_flow(network, left)
    return {name: order for some in rounds for name, order in some.ranks(flow).items()}


class _Weights:
    """Tensors that SynFlow ranks together: removes entries from them, round by round."""

    def __init__(
        self,
        network: Network,
        left: dict[str, Tensor],
        names: Sequence[str],
        sparsity: float,
        masks: Mapping[str, Tensor],
    ):
        self._network, self._weights, self._names = network, left, names
        device = next(iter(left.values())).device
        gone = [~self._flat(name, masks, torch.any).to(device) if masks else None for name in names]
        self._sizes = [self._size(name) for name in names]
        n = sum(self._sizes)
        self._n, self._n_kept = n, n - round(sparsity * n)
        self._order = torch.empty(n, dtype=torch.float64, device=device)
        self._left = torch.arange(n, device=device)
        self._is_gone = torch.zeros(n, dtype=torch.bool, device=device)  # by an earlier pruning
        if masks:
            self._is_gone = torch.cat([part for part in gone if part is not None])

    def count(self, step: int) -> int:
        """How many are removed in a round."""
        density = self._n_kept / self._n if self._n else 1.0
        wanted = max(self._n_kept, round(self._n * density ** (step / ROUNDS)))
        return max(len(self._left) - wanted, 0)

    def remove(self, flow: Mapping[str, Tensor], count: int) -> None:
        """Remove those with the smallest flow; what was removed before is first."""
        values = self._of(flow)
        values[self._is_gone] = -1.0
        smallest = _smallest(values[self._left], count)
        gone = self._left[smallest]
        first = self._n - len(self._left)
        self._order[gone] = torch.arange(first, first + count, dtype=torch.float64, device=gone.device)
        stays = torch.ones_like(self._left, dtype=torch.bool)
        stays[smallest] = False
        self._left = self._left[stays]
        removed = torch.zeros_like(self._is_gone)
        removed[gone] = True
        for name, part in zip(self._names, removed.split(self._sizes), strict=True):
            self._clear(name, part)

    def ranks(self, flow: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The order of removal; what is left is ordered by its flow."""
        left = self._left[torch.argsort(self._of(flow)[self._left], stable=True)]
        self._order[left] = torch.arange(self._n - len(left), self._n, dtype=torch.float64, device=left.device)
        return {name: self._shaped(name, part) for name, part in zip(self._names, self._order.split(self._sizes),
                                                                      strict=True)}  # fmt: skip

    def _of(self, flow: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([self._flat(name, flow, torch.sum) for name in self._names])

    def _size(self, name: str) -> int:
        return self._weights[name].numel()

    def _flat(self, name: str, arrays: Mapping[str, Tensor], reduce: Callable) -> Tensor:  # noqa: ARG002
        return arrays[name].reshape(-1)

    def _shaped(self, name: str, part: Tensor) -> Tensor:
        return part.view(self._weights[name].shape)

    def _clear(self, name: str, gone: Tensor) -> None:
        self._weights[name].view(-1)[gone] = 0


class _Units(_Weights):
    """The same for groups of units."""

    def _size(self, name: str) -> int:
        return self._network.groups[name].size

    def _flat(self, name: str, arrays: Mapping[str, Tensor], reduce: Callable) -> Tensor:
        """A figure for each unit: its incoming entries, summed, or whether there is any."""
        return reduce(entries_of_units(self._network.groups[name], arrays), dim=0)

    def _shaped(self, name: str, part: Tensor) -> Tensor:  # noqa: ARG002
        return part

    def _clear(self, name: str, gone: Tensor) -> None:
        group = self._network.groups[name]
        if not gone.any():
            return
        units = gone.cpu().numpy()
        for part in group.slices:
            if part.tensor in self._weights and part.role != "rider":
                weight = self._weights[part.tensor]
                owner = owners(part, group.size, weight.shape[part.axis])
                places = torch.from_numpy(np.flatnonzero((owner >= 0) & units[owner])).to(weight.device)
                weight.index_fill_(part.axis, places, 0)


def _double(tensor: Tensor) -> Tensor:
    """In float64, which Apple's GPUs do not have."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _smallest(values: Tensor, count: int) -> Tensor:
    """The places of the smallest values, in ascending order; of equal values, the first. Only these are sorted."""
    if count == 0:
        return torch.arange(0, device=values.device)
    places = (values <= values.kthvalue(count).values).nonzero().ravel()
    return places[torch.argsort(values[places], stable=True)[:count]]
