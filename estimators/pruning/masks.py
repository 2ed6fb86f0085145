"""From scores to boolean masks with exact counts (True = kept).

Weights or units are removed in one fixed order: by score, ties by index. So masks are deterministic, the
number removed is exactly ``round(sparsity * n)`` however many scores are equal, and the masks of one ranking are
nested: what is removed at one sparsity is removed at every higher one. (SynFlow makes a ranking for each sparsity; its
masks are exact, but not nested. See `criteria.FOR_EACH_SPARSITY`.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

#: The part of what is left that a round of pruning removes (the value of the lottery tickets' paper).
ROUND_RATE = 0.2


def output_sparsity(sparsity: float) -> float:
    """Sparsity of an output layer that is pruned at half the rate of the others.

    Where rounds that take 20 % of what is left bring the others, a round takes 10 % of the output layer: after n
    rounds ``1 - 0.8 ** n`` of the others' weights are gone, and ``1 - 0.9 ** n`` of its own (J. Frankle, M. Carbin,
    "The Lottery Ticket Hypothesis: Finding Sparse, Trainable Neural Networks", ICLR 2019, section 2). It is a function
    of the sparsity alone, whatever the rounds, so that masks stay nested and counts exact.
    """
    return 1 - (1 - sparsity) ** (math.log(1 - ROUND_RATE / 2) / math.log(1 - ROUND_RATE))


class UnrankableError(ValueError):
    """Scores have no order."""


class RemovalOrder:
    """The order in which the entries of some arrays of scores are removed.

    The first masks cost a partition, a fifth of the time of a sort. The scores are sorted when masks are asked for a
    second time; those and all further masks cost a comparison each.

    Parameters
    ----------
    scores : sequence of ndarray
        One array a layer, of any shape; high scores are kept.
    scope : {"layer", "global"}
        Ranked within each array, or all together (ties then go by layer, then by index).
    order : {"smallest", "largest"}
        Which scores go first.
    kept : sequence of ndarray of bool, optional
        Shaped as the scores: what is False was removed before and goes before everything else.
    output : {False, True, "half"}, default=True
        With "half" the last array is the output layer's: it is ranked by itself, also globally, and loses
        `output_sparsity`.
    output_axes : sequence of int, optional
        For each array, the axis of its units: rank the entries of each unit by themselves.
    min_kept : sequence of int, optional
        For each array, how many entries are kept at least: those that come last in the order are never removed.
        Where entries of several arrays are ranked together, others are removed instead, as far as there are any.
    sizes : sequence of ndarray of int, optional
        Shaped as the scores: what each entry counts towards `min_kept`, where that is not one.

    Raises
    ------
    ValueError
        If a score is NaN.
    """

    def __init__(
        self,
        scores: Sequence[NDArray[np.floating]],
        scope: str = "layer",
        order: str = "smallest",
        kept: Sequence[Mask] | None = None,
        output: bool | str = True,
        output_axes: Sequence[int] | None = None,
        min_kept: Sequence[int] | None = None,
        sizes: Sequence[NDArray[np.integer]] | None = None,
    ):
        signed = removal_scores(scores, order, kept)
        self._shapes = [array.shape for array in scores]
        self._output_axes = output_axes
        self._layers = layers_ranked_together(len(scores), scope, output)
        self._has_output = output == "half" and bool(signed)
        flat = self._flat(signed)
        if min_kept is None or not any(min_kept):
            self._groups = [_Group(group) for group in flat]
        else:
            each = zip(signed, min_kept, [None] * len(signed) if sizes is None else sizes, strict=True)
            removable = self._flat([_all_but_last(array, least, size) for array, least, size in each])
            self._groups = [_Group(group, some) for group, some in zip(flat, removable, strict=True)]

    def _flat(self, arrays: Sequence[NDArray]) -> list[NDArray]:
        """What is ranked together, each as one array."""
        if self._output_axes is not None:
            pairs = zip(arrays, self._output_axes, strict=True)
            return [unit.ravel() for array, axis in pairs for unit in np.moveaxis(array, axis, 0)]
        return [np.concatenate([arrays[layer].ravel() for layer in layers]) for layers in self._layers]

    @property
    def n_total(self) -> int:
        """Number of entries ranked."""
        return sum(len(group) for group in self._groups)

    def masks(self, sparsity: float | Sequence[float]) -> list[Mask]:
        """Masks, shaped as the scores, with exactly ``round(sparsity * n)`` False in each group ranked.

        (With `min_kept`, fewer where no more may be removed.) Several sparsities are one for each group of
        `layers_ranked_together`.
        """
        shares = sparsity_of_each(sparsity, len(self._layers), self._has_output)
        if self._output_axes is not None:
            widths = [shape[axis] for shape, axis in zip(self._shapes, self._output_axes, strict=True)]
            shares = [share for share, width in zip(shares, widths, strict=True) for _ in range(width)]
        kept = [group.mask(share) for share, group in zip(shares, self._groups, strict=True)]
        if self._output_axes is not None:
            units, masks = iter(kept), []
            for shape, axis in zip(self._shapes, self._output_axes, strict=True):
                rest = shape[:axis] + shape[axis + 1 :]
                masks.append(np.stack([next(units).reshape(rest) for _ in range(shape[axis])], axis=axis))
            return masks
        flat = np.concatenate(kept) if kept else np.ones(0, dtype=bool)
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), self._shapes, strict=False)]


class _Group:
    """Entries that are ranked together.

    Parameters
    ----------
    scores : ndarray, shape (n,)
    removable : ndarray of bool, shape (n,), optional
        Which may be removed; all of them if absent.
    """

    def __init__(self, scores: NDArray[np.floating], removable: Mask | None = None):
        self._n, self._removable = len(scores), removable
        self._scores = scores if removable is None else scores[removable]
        self._sorted: NDArray[np.floating] | None = None
        self._n_asked = 0

    def __len__(self) -> int:
        return self._n

    def mask(self, share: float) -> Mask:
        """Shape (n,), with exactly ``round(share * n)`` False, or all that may be."""
        if self._n_asked == 1:
            self._sorted = np.sort(self._scores)
        self._n_asked += 1
        kept = _keep_all_but(min(round(share * self._n), len(self._scores)), self._scores, self._sorted)
        if self._removable is None:
            return kept
        mask = np.ones(self._n, dtype=bool)
        mask[self._removable] = kept
        return mask


def removal_scores(
    scores: Sequence[NDArray[np.floating]], order: str = "smallest", kept: Sequence[Mask] | None = None
) -> list[NDArray[np.floating]]:
    """Scores of which the smallest are removed first; parameters and errors are those of `RemovalOrder`."""
    if any(np.isnan(array).any() for array in scores):
        raise UnrankableError("cannot rank what to prune: some scores are not numbers (NaN)")
    signed = [-array if order == "largest" else array for array in scores]
    if kept is not None:
        signed = [np.where(mask, array, -np.inf) for array, mask in zip(signed, kept, strict=True)]
    return signed


def layers_ranked_together(n_layers: int, scope: str, output: bool | str = True) -> list[list[int]]:
    """The groups of layers that are ranked together.

    Parameters
    ----------
    n_layers : int
        Layers that are pruned.
    scope : {"layer", "global"}
    output : {False, True, "half"}, default=True
        With "half" the last layer is the output layer, which is always ranked by itself.
    """
    layers = list(range(n_layers))
    if scope != "global" or not layers:
        return [[layer] for layer in layers]
    return [group for group in (layers[:-1], layers[-1:]) if group] if output == "half" else [layers]


def sparsity_of_each(sparsity: float | Sequence[float], n_groups: int, has_output: bool) -> list[float]:
    """The sparsity of each group; with `has_output` the last is an output layer that is pruned at half the rate."""
    if not isinstance(sparsity, (int, float)):
        return list(sparsity)
    sparsities: list[float] = [sparsity] * n_groups
    if has_output and sparsities:
        sparsities[-1] = output_sparsity(sparsity)
    return sparsities


def _keep_all_but(count: int, scores: NDArray[np.floating], in_order: NDArray[np.floating] | None) -> Mask:
    """Mask without the `count` first entries in the order of (score, index); `in_order` are the scores, if sorted."""
    if count == 0:
        return np.ones(len(scores), dtype=bool)
    threshold = np.partition(scores, count - 1)[count - 1] if in_order is None else in_order[count - 1]
    kept = scores > threshold
    surplus = len(scores) - int(np.count_nonzero(kept)) - count
    if surplus:  # more entries tie with the threshold than may go: those with the highest index stay
        kept[np.flatnonzero(scores == threshold)[-surplus:]] = True
    return kept


def _all_but_last(scores: NDArray[np.floating], least: int, sizes: NDArray[np.integer] | None) -> Mask:
    """Mask, shaped as the scores, without the last entries in the order, as many as make up at least `least`."""
    flat = scores.ravel()
    count = least
    if sizes is not None:
        from_last = np.argsort(flat, kind="stable")[::-1]
        count = int(np.searchsorted(sizes.ravel()[from_last].cumsum(), least)) + (least > 0)
    return ~_keep_all_but(max(len(flat) - count, 0), flat, None).reshape(scores.shape)
