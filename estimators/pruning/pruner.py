"""One trained network, ready to be pruned to any sparsity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .criteria import FOR_EACH_SPARSITY, Model, normalization, normalized, unit_scores, weight_scores
from .masks import RemovalOrder, weight_masks_of_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

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

    def n_prunable(self, n_layers: int) -> int:
        """How many of a network's layers, counted from the first, are pruned."""
        return n_layers if self.prune_output else n_layers - 1


class Pruned(NamedTuple):
    """Masks of every layer's weights and biases, and the fraction of the prunable weights or units removed.

    True is kept. A removed unit loses its bias too; a removed weight leaves biases alone.
    """

    masks: list[Mask]
    bias_masks: list[Mask]
    achieved_sparsity: float


class Pruner:
    """Masks of one network for any sparsity; scored and ranked once, but for criteria in `FOR_EACH_SPARSITY`.

    Parameters
    ----------
    choices : Choices
    coefs : sequence of ndarray, each (n_in, n_out)
        The trained weights.
    masks : sequence of ndarray of bool, optional
        What an earlier pruning left; what it removed stays removed, and goes first.
    bias_masks : sequence of ndarray of bool, optional
        The same of the biases.
    seed : int
        For criteria that draw random numbers.
    sort : bool, default=True
        Pays with many sparsities; see `RemovalOrder`.
    make_evidence : callable, optional
        For criteria that look at data; see `Model`.
    """

    def __init__(
        self,
        choices: Choices,
        coefs: Sequence[NDArray[np.floating]],
        masks: Sequence[Mask] | None = None,
        bias_masks: Sequence[Mask] | None = None,
        seed: int = 0,
        sort: bool = True,
        make_evidence: Callable[[], Evidence] | None = None,
    ):
        self._choices = choices
        self._shapes = [coef.shape for coef in coefs]
        self._before, self._biases_before = masks, bias_masks
        n_prunable = choices.n_prunable(len(coefs))
        self._model = Model(coefs[:n_prunable], seed, choices.scope, make_evidence, output=choices.prune_output)
        before = None if masks is None else list(masks[:n_prunable])
        if choices.granularity == "unit" and before is not None:
            before = [np.any(mask, axis=0) for mask in before]
        self._kept_before = before
        self._ranking = None if choices.criterion in FOR_EACH_SPARSITY else self._rank(self._model, sort)

    def _rank(self, model: Model, sort: bool) -> RemovalOrder:
        choices, before = self._choices, self._kept_before
        if choices.granularity == "unit":
            scores = unit_scores(choices.criterion, model, choices.norm, choices.reduce)
            how = normalization(choices.normalize, choices.criterion, choices.scope)
            scores = normalized(scores, how, before)
        else:
            scores = weight_scores(choices.criterion, model)
        rest = sort, choices.prune_output, choices.per_output
        return RemovalOrder(scores, choices.scope, choices.order, before, *rest)

    def prune(self, sparsity: float | Sequence[float]) -> Pruned:
        """Remove the fraction `sparsity` (0 to 1) of the prunable weights or units; by layer, also one for each."""
        ranking = self._ranking or self._rank(replace(self._model, sparsity=sparsity), sort=False)
        kept = ranking.masks(sparsity)
        if self._kept_before is not None:  # a lower sparsity than before brings nothing back
            kept = [mask & before for mask, before in zip(kept, self._kept_before, strict=True)]
        n_total = ranking.n_total
        n_removed = n_total - sum(int(np.count_nonzero(mask)) for mask in kept)
        achieved = n_removed / n_total if n_total else 0.0
        widths = [shape[1] for shape in self._shapes]
        bias_masks = [np.ones(width, dtype=bool) for width in widths]
        if self._choices.granularity == "unit":
            masks = weight_masks_of_units(kept, self._shapes[0][0], widths)
            bias_masks[: len(kept)] = kept
        else:
            masks = [*kept, *(np.ones(shape, dtype=bool) for shape in self._shapes[len(kept) :])]
        if self._before is not None:
            masks = [mask & before for mask, before in zip(masks, self._before, strict=True)]
        if self._biases_before is not None:
            bias_masks = [mask & before for mask, before in zip(bias_masks, self._biases_before, strict=True)]
        return Pruned(masks, bias_masks, achieved)
