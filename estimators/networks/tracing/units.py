"""Units as numbers, and which of them belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: The label of what is no unit: features of samples, and constants.
NO_UNIT = 0


class Units:
    """Numbers of units, which are united as a graph is followed, and reasons why some cannot be pruned."""

    def __init__(self):
        self._count = 1
        self._edges: list[NDArray[np.int64]] = []
        self._fixed: list[tuple[NDArray[np.int64], str]] = [
            (np.array([NO_UNIT]), "they are combined with features of the samples or with constants")
        ]

    def new(self, n: int) -> Tensor:
        """The numbers of `n` new units."""
        self._count += n
        return torch.arange(self._count - n, self._count)

    def unite(self, some: Tensor, others: Tensor) -> None:
        """Two arrays of labels, of the same shape, are of the same units."""
        pairs = torch.stack([_short(some, others), _short(others, some)], dim=-1).reshape(-1, 2)
        pairs = torch.unique(pairs[pairs[:, 0] != pairs[:, 1]], dim=0)
        self._edges.append(pairs.numpy())

    def fix(self, labels: Tensor, reason: str) -> None:
        """Some units cannot be pruned."""
        found = np.unique(_short(labels, labels).numpy())
        self._fixed.append((found[found != NO_UNIT], reason))

    def resolve(self) -> tuple[NDArray[np.int64], dict[int, str]]:
        """For each label the number of its unit, and for those that are fixed the first reason."""
        edges = np.concatenate([*self._edges, np.empty((0, 2), np.int64)])
        graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(self._count, self._count))
        _, roots = connected_components(graph, directed=False)
        reasons: dict[int, str] = {}
        for labels, reason in [*self._fixed[1:], self._fixed[0]]:
            for root in np.unique(roots[labels]).tolist():
                reasons.setdefault(root, reason)
        return roots, reasons


def _short(labels: Tensor, other: Tensor) -> Tensor:
    """Labels without the repetitions along axes that are expanded in both."""
    for axis in range(labels.ndim):
        if labels.stride(axis) == other.stride(axis) == 0 and labels.shape[axis] > 1:
            labels, other = labels.narrow(axis, 0, 1), other.narrow(axis, 0, 1)
    return labels


def varies(labels: Tensor, axis: int) -> bool:
    """Whether labels differ along an axis."""
    if labels.shape[axis] < 2 or labels.stride(axis) == 0:
        return False
    return bool((labels != labels.narrow(axis, 0, 1)).any())
