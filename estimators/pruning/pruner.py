"""One trained network, ready to be pruned to any sparsity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .criteria import FOR_EACH_SPARSITY, Model, normalization, normalized, unit_scores, weight_scores
from .groups import entries_of_units, masks_of_units
from .masks import RemovalOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..networks.base import Network
    from .evidence import Evidence
    from .masks import Mask


@dataclass(frozen=True)
class Choices:
    """What is removed, in what order. The fields are the estimator's parameters of the same names."""

    criterion: str = "magnitude"
    granularity: str = "weight"
    scope: str = "layer"
    norm: float = 2
    order: str = "smallest"
    prune_output: bool | str = False
    reduce: str = "auto"
    normalize: str = "auto"
    per_output: bool = False


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
        self._model = Model(network, tensors, choices.prune_output, seed, choices.scope, make_evidence)
        self._kept_before: dict[str, Mask] | None = None
        if masks is not None and choices.granularity == "unit":
            self._kept_before = {
                group.name: np.asarray(entries_of_units(group, masks).any(axis=0)) for group in self._model.groups
            }
        elif masks is not None:
            self._kept_before = {name: masks[name] for name in self._model.weights}
        self._ranking = None if choices.criterion in FOR_EACH_SPARSITY else self._rank(self._model)

    def _rank(self, model: Model) -> RemovalOrder:
        choices, before, axes = self._choices, self._kept_before, None
        if choices.granularity == "unit":
            scores = unit_scores(choices.criterion, model, choices.norm, choices.reduce)
            how = normalization(choices.normalize, choices.criterion, choices.scope)
            scores = normalized(scores, how, before)
        else:
            scores = weight_scores(choices.criterion, model)
            axes = [record.output_axis for record in model.records] if choices.per_output else None
        kept = None if before is None else [before[name] for name in scores]
        rest = choices.prune_output, axes
        self._names = list(scores)
        return RemovalOrder(list(scores.values()), choices.scope, choices.order, kept, *rest)

    def prune(self, sparsity: float | Sequence[float]) -> Pruned:
        """Remove the fraction `sparsity` (0 to 1) of the prunable weights or units; by layer, also one for each."""
        ranking = self._ranking or self._rank(replace(self._model, sparsity=sparsity))
        kept = dict(zip(self._names, ranking.masks(sparsity), strict=True))
        if self._kept_before is not None:  # a lower sparsity than before brings nothing back
            kept = {name: mask & self._kept_before[name] for name, mask in kept.items()}
        pruned = pruned_network(self._network, kept, self._choices.granularity)
        if self._before is not None:
            masks = {name: mask & self._before[name] for name, mask in pruned.masks.items()}
            pruned = pruned._replace(masks=masks)
        return pruned


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
