"""From scores to boolean masks with exact counts (True = kept).

Weights or units are removed in one fixed order: by score, ties by index. So masks are deterministic, the
number removed is exactly ``round(sparsity * n)`` however many scores are equal, and masks are nested: what
is removed at one sparsity is removed at every higher one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

SCOPES = ("layer", "global")
ORDERS = ("smallest", "largest")


class RemovalOrder:
    """The order in which the entries of some arrays of scores are removed.

    The scores are sorted once; the masks of any number of sparsities then cost a comparison each. Without
    sorting, each costs a partition, a fifth of the time of a sort: for the first masks as soon as can be.

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
    sort : bool, default=True
        Whether to sort; the masks are the same.

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
        sort: bool = True,
    ):
        if any(np.isnan(array).any() for array in scores):
            raise ValueError("cannot rank what to prune: some scores are not numbers (NaN)")
        sign = -1.0 if order == "largest" else 1.0
        flat = [array.ravel() if sign > 0 else -array.ravel() for array in scores]
        if kept is not None:
            flat = [np.where(mask.ravel(), array, -np.inf) for array, mask in zip(flat, kept, strict=True)]
        self._shapes = [array.shape for array in scores]
        if scope == "global":
            flat = [np.concatenate(flat)] if flat else []
        self._groups = [(group, np.sort(group) if sort else None) for group in flat]
        self._is_global = scope == "global"

    @property
    def n_total(self) -> int:
        """Number of entries ranked."""
        return sum(len(group) for group, _ in self._groups)

    def masks(self, sparsity: float | Sequence[float]) -> list[Mask]:
        """Masks, shaped as the scores, with exactly ``round(sparsity * n)`` False in each group ranked.

        Several sparsities are one for each group; globally there is one group.
        """
        sparsities = [sparsity] * len(self._groups) if isinstance(sparsity, (int, float)) else list(sparsity)
        pairs = zip(sparsities, self._groups, strict=True)
        kept = [_keep_all_but(round(share * len(group)), group, ranked) for share, (group, ranked) in pairs]
        if self._is_global and kept:
            ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])
            kept = np.split(kept[0], ends[:-1])
        return [mask.reshape(shape) for mask, shape in zip(kept, self._shapes, strict=True)]


def _keep_all_but(count: int, scores: NDArray[np.floating], ranked: NDArray[np.floating] | None) -> Mask:
    """Mask without the `count` first entries in the order of (score, index); `ranked` is `scores` sorted, if known."""
    if count == 0:
        return np.ones(len(scores), dtype=bool)
    threshold = np.partition(scores, count - 1)[count - 1] if ranked is None else ranked[count - 1]
    kept = scores > threshold
    surplus = len(scores) - int(np.count_nonzero(kept)) - count
    if surplus:  # more entries tie with the threshold than may go: those with the highest index stay
        kept[np.flatnonzero(scores == threshold)[-surplus:]] = True
    return kept


def weight_masks_of_units(kept_units: Sequence[Mask], n_inputs: int, n_outputs: Sequence[int]) -> list[Mask]:
    """Weight masks, each (n_in, n_out), that remove whole units.

    A removed unit loses the weights that come in and the weights that go out.

    Parameters
    ----------
    kept_units : sequence of ndarray of bool, each (n_out,)
        For the first ``len(kept_units)`` layers; the units of the others are all kept.
    n_inputs : int
        Width of the input.
    n_outputs : sequence of int
        Width of every layer, the output layer included.
    """
    units = [*kept_units, *(np.ones(width, dtype=bool) for width in n_outputs[len(kept_units) :])]
    inputs = [np.ones(n_inputs, dtype=bool), *units[:-1]]
    return [np.outer(kept_in, kept_out) for kept_in, kept_out in zip(inputs, units, strict=True)]
