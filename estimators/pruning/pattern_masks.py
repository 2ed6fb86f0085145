"""The masks of weights that are removed in a pattern; see `patterns`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .masks import Mask
    from .patterns import Blocks, NOfM


def as_matrix(array: NDArray, output_axis: int) -> NDArray:
    """The weights of a layer as a matrix (n_out, fan_in)."""
    rows = np.moveaxis(array, output_axis, 0)
    return rows.reshape(len(rows), int(np.prod(rows.shape[1:])))


def from_matrix(matrix: NDArray, shape: tuple[int, ...], output_axis: int) -> NDArray:
    """The inverse of `as_matrix`."""
    rest = shape[:output_axis] + shape[output_axis + 1 :]
    return np.ascontiguousarray(np.moveaxis(matrix.reshape(shape[output_axis], *rest), 0, output_axis))


class PatternOrder:
    """The order in which weights are removed from each M consecutive ones.

    Parameters
    ----------
    scores : sequence of ndarray
        One array a layer; low scores are removed first, ties by index.
    output_axes : sequence of int
        For each array, the axis of its units.
    pattern : NOfM
    """

    def __init__(self, scores: Sequence[NDArray[np.floating]], output_axes: Sequence[int], pattern: NOfM):
        self._pattern, self._axes = pattern, output_axes
        self._shapes = [array.shape for array in scores]
        self._ranks = [self._ranked(as_matrix(array, axis)) for array, axis in zip(scores, output_axes, strict=True)]

    def _ranked(self, matrix: NDArray[np.floating]) -> NDArray[np.int16]:
        """For each weight its place in the order of its group, (n_out, groups, m); what fills up is last."""
        n_out, fan_in = matrix.shape
        filled = np.full((n_out, -(-fan_in // self._pattern.m) * self._pattern.m), np.inf, matrix.dtype)
        filled[:, :fan_in] = matrix
        order = np.argsort(filled.reshape(n_out, -1, self._pattern.m), axis=2, kind="stable")
        ranks = np.empty(order.shape, dtype=np.int16)
        np.put_along_axis(ranks, order, np.arange(self._pattern.m, dtype=np.int16)[None, None], axis=2)
        return ranks

    def masks(self, sparsities: Sequence[float]) -> list[Mask]:
        """Masks, shaped as the scores, for a sparsity of each layer."""
        masks = []
        for ranks, shape, axis, share in zip(self._ranks, self._shapes, self._axes, sparsities, strict=True):
            n_out, n_groups, m = ranks.shape
            fan_in = int(np.prod(shape)) // max(n_out, 1)
            counts = np.full(n_groups, self._pattern.removed(share, m), dtype=np.int16)
            if fan_in % m:
                counts[-1] = self._pattern.removed(share, fan_in % m)
            kept = (ranks >= counts[:, None]).reshape(n_out, n_groups * m)[:, :fan_in]
            masks.append(from_matrix(kept, shape, axis))
        return masks


def block_scores(
    scores: NDArray[np.floating], output_axis: int, blocks: Blocks, norm: float | None
) -> NDArray[np.floating]:
    """The score of each block: the norm of its weights' scores, or their sum if `norm` is None.

    Parameters
    ----------
    scores : ndarray
        Of the weights of a layer.
    output_axis : int
    blocks : Blocks
    norm : {1, 2, inf} or None

    Returns
    -------
    ndarray, shape (blocks along the units, blocks along the inputs)
    """
    entries = _entries_of_blocks(as_matrix(scores, output_axis), blocks)
    return entries.sum(axis=0) if norm is None else np.linalg.norm(entries, ord=norm, axis=0)


def block_sizes(shape: tuple[int, ...], output_axis: int, blocks: Blocks) -> NDArray[np.intp]:
    """The number of weights of each block, in the shape of `block_scores`."""
    return _entries_of_blocks(as_matrix(np.ones(shape, dtype=bool), output_axis), blocks).sum(axis=0)


def blocks_with_entries(mask: Mask, output_axis: int, blocks: Blocks) -> Mask:
    """Which blocks have a weight that is kept, in the shape of `block_scores`."""
    return np.asarray(_entries_of_blocks(as_matrix(mask, output_axis), blocks).any(axis=0))


def mask_of_blocks(kept: Mask, shape: tuple[int, ...], output_axis: int, blocks: Blocks) -> Mask:
    """The mask of a layer's weights, in their shape, that follows from that of its blocks."""
    n_out = shape[output_axis]
    fan_in = int(np.prod(shape)) // max(n_out, 1)
    weights = kept.repeat(blocks.rows, axis=0).repeat(blocks.columns, axis=1)
    return from_matrix(weights[:n_out, :fan_in], shape, output_axis)


def _entries_of_blocks(matrix: NDArray, blocks: Blocks) -> NDArray:
    """The entries of each block along the first axis; zeros fill up those at the edges."""
    n_out, fan_in = matrix.shape
    along, across = -(-n_out // blocks.rows), -(-fan_in // blocks.columns)
    filled = np.zeros((along * blocks.rows, across * blocks.columns), matrix.dtype)
    filled[:n_out, :fan_in] = matrix
    entries = filled.reshape(along, blocks.rows, across, blocks.columns).transpose(1, 3, 0, 2)
    return entries.reshape(blocks.rows * blocks.columns, along, across)
