"""One trained network, ready to be pruned to any sparsity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .allocation import Allocation, Choices
from .criteria import FOR_EACH_SPARSITY, Model, is_summed, normalization, normalized, unit_scores, weight_scores
from .groups import entries_of_units, masks_of_units
from .masks import RemovalOrder, removal_scores
from .pattern_masks import PatternOrder, block_scores, block_sizes, blocks_with_entries, mask_of_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ..networks.base import Network
    from .allocation import Sparsity
    from .evidence import Evidence
    from .masks import Mask


class Pruned(NamedTuple):
    """Masks of every tensor, True where an entry was kept, and the fraction of the prunable weights or units removed.

    A removed unit loses its bias too; a removed weight leaves biases alone. `units` are the masks of the groups that
    were pruned; empty if weights were.
    """

    masks: dict[str, Mask]
    achieved_sparsity: float
    units: dict[str, Mask]

    def emptied_layers(self, network: Network) -> list[str]:
        """Names of the weights of which nothing is left."""
        return [record.name for record in network.weights if not self.masks[record.name].any()]


class Pruner:
    """Masks of one network for any sparsity; scored and ranked once, but for criteria in `FOR_EACH_SPARSITY`.

    Parameters
    ----------
    choices : Choices
    network : Network
    tensors : mapping of str to ndarray
        The trained tensors.
    masks : mapping of str to ndarray of bool, optional
        What an earlier pruning left; what it removed stays removed, and goes first.
    seed : int
        For criteria that draw random numbers.
    make_evidence : callable, optional
        For criteria that look at data; see `Model`.
    """

    def __init__(
        self,
        choices: Choices,
        network: Network,
        tensors: Mapping[str, NDArray[np.floating]],
        masks: Mapping[str, Mask] | None = None,
        seed: int = 0,
        make_evidence: Callable[[], Evidence] | None = None,
    ):
        self._choices, self._network, self._before = choices, network, masks
        self._allocation = Allocation(network, choices)
        output, excluded = choices.prune_output, choices.exclude_layers
        self._model = Model(
            network,
            tensors,
            output,
            seed,
            choices.scope,
            make_evidence,
            excluded=excluded,
            residual=choices.prune_residual,
        )
        self._kept_before: dict[str, Mask] | None = None
        if masks is not None and choices.granularity == "unit":
            self._kept_before = {
                group.name: np.asarray(entries_of_units(group, masks).any(axis=0)) for group in self._model.groups
            }
        elif masks is not None:
            self._kept_before = {name: masks[name] for name in self._model.weights}
        self._ranking = None if choices.criterion in FOR_EACH_SPARSITY else self._rank(self._model)

    def _rank(self, model: Model) -> Ranking:
        choices, before = self._choices, self._kept_before
        if choices.granularity == "unit":
            scores = unit_scores(choices.criterion, model, choices.norm, choices.reduce)
            how = normalization(choices.normalize, choices.criterion, choices.scope)
            scores = normalized(scores, how, before)
        else:
            scores = weight_scores(choices.criterion, model)
        return Ranking(self._allocation, scores, choices.order, before)

    def prune(self, sparsity: Sparsity) -> Pruned:
        """Remove the fraction `sparsity` (0 to 1) of the prunable weights or units, or that of each layer."""
        ranking = self._ranking
        if ranking is None:
            ranking = self._rank(replace(self._model, sparsity=self._allocation.fractions(sparsity)))
        kept = ranking.masks(sparsity)
        if self._kept_before is not None:  # a lower sparsity than before brings nothing back
            kept = {name: mask & self._kept_before[name] for name, mask in kept.items()}
        pruned = pruned_network(self._network, kept, self._choices.granularity)
        if self._before is not None:
            masks = {name: mask & self._before[name] for name, mask in pruned.masks.items()}
            pruned = pruned._replace(masks=masks)
        return pruned


class Ranking:
    """The order in which weights or units are removed, by their scores and in the pattern wanted.

    Parameters
    ----------
    allocation : Allocation
        How much each layer loses.
    scores : mapping of str to ndarray
        Of each weight or unit that may be pruned, by the name of the tensor or group.
    order : {"smallest", "largest"}
        Which scores are removed.
    kept : mapping of str to ndarray of bool, optional
        What an earlier pruning left; the rest is removed before everything else.
    """

    def __init__(
        self,
        allocation: Allocation,
        scores: Mapping[str, NDArray[np.floating]],
        order: str = "smallest",
        kept: Mapping[str, Mask] | None = None,
    ):
        self._allocation, choices = allocation, allocation.choices
        self._shapes = {name: array.shape for name, array in scores.items()}
        records = allocation.network.records
        axes = [] if allocation.is_by_unit else [records[name].output_axis for name in scores]
        self._axes, blocks, sizes = axes, choices.blocks, None
        ranked = list(scores.values())
        before = None if kept is None else [kept[name] for name in scores]
        if blocks is not None:
            norm = None if is_summed(choices.criterion, choices.reduce) else choices.norm
            ranked = [block_scores(array, axis, blocks, norm) for array, axis in zip(ranked, axes, strict=True)]
            sizes = [block_sizes(shape, axis, blocks) for shape, axis in zip(self._shapes.values(), axes, strict=True)]
            if before is not None:
                before = [blocks_with_entries(mask, axis, blocks) for mask, axis in zip(before, axes, strict=True)]
        self._order: RemovalOrder | PatternOrder
        if choices.n_of_m is not None:
            self._order = PatternOrder(removal_scores(ranked, order, before), axes, choices.n_of_m)
        else:
            self._order = RemovalOrder(
                ranked,
                choices.scope,
                order,
                before,
                choices.prune_output,
                axes if choices.per_output else None,
                allocation.min_kept,
                sizes,
            )

    def masks(self, sparsity: Sparsity) -> dict[str, Mask]:
        """Masks of what was scored, by name, with exactly as many removed as the sparsity asks for."""
        masks = self._order.masks(self._allocation.fractions(sparsity))
        blocks = self._allocation.choices.blocks
        if blocks is not None:
            places = zip(masks, self._shapes.values(), self._axes, strict=True)
            masks = [mask_of_blocks(mask, shape, axis, blocks) for mask, shape, axis in places]
        return dict(zip(self._shapes, masks, strict=True))


def pruned_network(network: Network, kept: Mapping[str, Mask], granularity: str) -> Pruned:
    """The masks of all tensors that follow from those of the prunable weights, or of the groups of units."""
    n_total = sum(mask.size for mask in kept.values())
    n_removed = n_total - sum(int(np.count_nonzero(mask)) for mask in kept.values())
    achieved = n_removed / n_total if n_total else 0.0
    if granularity == "unit":
        masks = masks_of_units(network.groups.values(), kept, network.records)
        return Pruned(masks, achieved, dict(kept))
    masks = {n: kept[n] if n in kept else np.ones(r.shape, dtype=bool) for n, r in network.records.items()}
    return Pruned(masks, achieved, {})
