"""Synaptic flow: what passes from the inputs to the logits through each weight or unit, without any data.

References
----------
H. Tanaka, D. Kunin, D. Yamins, S. Ganguli, "Pruning neural networks without any data by iteratively conserving
synaptic flow", NeurIPS 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

#: Rounds in which weights or units are removed (the paper's).
ROUNDS = 100


def synaptic_flow(weights: Sequence[Tensor]) -> list[Tensor]:
    """For each weight, |w| times the derivative of the sum of all logits of the network of absolute weights.

    The input is all ones and the network linear, so its flow through any layer is the same sum.

    Parameters
    ----------
    weights : sequence of Tensor, each (n_in, n_out)

    Returns
    -------
    list of Tensor of float64, shaped as the weights
    """
    absolute = [_double(w.abs()) for w in weights]
    before = [absolute[0].new_ones(absolute[0].shape[0])]
    for weight in absolute[:-1]:
        before.append(before[-1] @ weight)
    behind = absolute[-1].new_ones(absolute[-1].shape[1])
    flows = []
    for weight, flow_in in zip(reversed(absolute), reversed(before), strict=True):
        flows.append(flow_in[:, None] * weight * behind)
        behind = weight @ behind
    return flows[::-1]


def removal_order(
    weights: Sequence[Tensor],
    groups: Sequence[Sequence[int]],
    sparsities: Sequence[float],
    by_unit: bool = False,
    masks: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """When SynFlow removes each weight, or unit, of some layers: higher numbers later.

    `ROUNDS` rounds remove the smallest flow and compute what is left of it anew; after round k the density is
    ``(1 - sparsity) ** (k / ROUNDS)``. What is left after the last round is ordered by its flow then.

    Parameters
    ----------
    weights : sequence of Tensor, each (n_in, n_out)
        Of the whole network.
    groups : sequence of sequences of int
        The first layers, in the groups in which they are ranked.
    sparsities : sequence of float
        The fraction of each group that the rounds remove.
    by_unit : bool, default=False
        Whether to remove units, whose flow is the sum of their weights'.
    masks : sequence of Tensor of bool, optional
        What an earlier pruning left of the weights; the rest goes first.

    Returns
    -------
    list of Tensor of float64
        For each layer in `groups`, shaped as its weights, or (n_out,).
    """
    left = [_double(w.abs()).contiguous() for w in weights]
    ranked = [
        _Ranked(left, layers, sparsity, by_unit, masks) for layers, sparsity in zip(groups, sparsities, strict=True)
    ]
    for step in range(1, ROUNDS + 1):
        counts = [group.count(step) for group in ranked]
        if any(counts):
            flow = synaptic_flow(left)
            for group, count in zip(ranked, counts, strict=True):
                group.remove(flow, count)
    flow = synaptic_flow(left)
    return [order for group in ranked for order in group.ranks(flow)]


class _Ranked:
    """Layers that SynFlow ranks together: removes their weights, or units, from a list of weights, round by round."""

    def __init__(
        self,
        weights: list[Tensor],
        layers: Sequence[int],
        sparsity: float,
        by_unit: bool,
        masks: Sequence[Tensor] | None,
    ):
        self._weights, self._layers, self._by_unit = weights, layers, by_unit
        self._sizes = [weights[layer].shape[1] if by_unit else weights[layer].numel() for layer in layers]
        n = sum(self._sizes)
        self._n, self._n_kept = n, n - round(sparsity * n)
        self._order = torch.empty(n, dtype=torch.float64, device=weights[0].device)
        self._left = torch.arange(n, device=weights[0].device)
        self._is_gone = torch.zeros(n, dtype=torch.bool, device=weights[0].device)  # by an earlier pruning
        if masks is not None:
            kept = [masks[layer].to(weights[0].device) for layer in layers]
            self._is_gone = ~torch.cat([mask.any(dim=0) if by_unit else mask.reshape(-1) for mask in kept])

    def count(self, step: int) -> int:
        """How many go in a round."""
        density = self._n_kept / self._n if self._n else 1.0
        wanted = max(self._n_kept, round(self._n * density ** (step / ROUNDS)))
        return max(len(self._left) - wanted, 0)

    def remove(self, flow: Sequence[Tensor], count: int) -> None:
        """Remove those with the smallest flow; what was gone before goes first."""
        values = self._of(flow)
        values[self._is_gone] = -1.0
        go = _smallest(values[self._left], count)
        gone = self._left[go]
        first = self._n - len(self._left)
        self._order[gone] = torch.arange(first, first + count, dtype=torch.float64, device=gone.device)
        stays = torch.ones_like(self._left, dtype=torch.bool)
        stays[go] = False
        self._left = self._left[stays]
        removed = torch.zeros_like(self._is_gone)
        removed[gone] = True
        for layer, part in zip(self._layers, removed.split(self._sizes), strict=True):
            if not self._by_unit:
                self._weights[layer].view(-1)[part] = 0
                continue
            self._weights[layer][:, part] = 0
            if layer + 1 < len(self._weights):
                self._weights[layer + 1][part] = 0

    def ranks(self, flow: Sequence[Tensor]) -> list[Tensor]:
        """The order of removal, layer by layer; what is left is ordered by its flow."""
        left = self._left[torch.argsort(self._of(flow)[self._left], stable=True)]
        self._order[left] = torch.arange(self._n - len(left), self._n, dtype=torch.float64, device=left.device)
        parts = self._order.split(self._sizes)
        if self._by_unit:
            return list(parts)
        return [part.view(self._weights[layer].shape) for layer, part in zip(self._layers, parts, strict=True)]

    def _of(self, flow: Sequence[Tensor]) -> Tensor:
        return torch.cat([flow[layer].sum(dim=0) if self._by_unit else flow[layer].reshape(-1)
                          for layer in self._layers])  # fmt: skip


def _double(tensor: Tensor) -> Tensor:
    """In float64, which Apple's GPUs do not have."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def _smallest(values: Tensor, count: int) -> Tensor:
    """The places of the smallest values, in ascending order; of equal values, the first. Only these are sorted."""
    if count == 0:
        return torch.arange(0, device=values.device)
    places = (values <= values.kthvalue(count).values).nonzero().ravel()
    return places[torch.argsort(values[places], stable=True)[:count]]
