"""Which weights and units of a network lie on a path from the input to the output.

Only the structure counts: a path is a chain of weights that are not zero, one in each layer. What a weight off
every path is multiplied with never depends on the input, or its product never reaches the output, so it could be
removed without changing how the network tells inputs apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .masks import Mask


@dataclass(frozen=True)
class Connectivity:
    """How a network hangs together, layer by layer; the last layer is the output.

    Attributes
    ----------
    effective : list of int
        Weights of each layer that lie on a path from the input to the output.
    nonzero : list of int
        Weights of each layer that are not zero.
    sizes : list of int
        Weights of each layer, zeros included.
    dead_units : list of int
        Units of each layer that no path from the input leads to. Their output is the same for every sample: zero, or
        a constant where there are biases (or an activation that is not zero at zero). Weights that lead out of such a
        unit carry that constant only, which the biases of the next layer could carry as well (`compact` puts it
        there), so they count as ineffective. In the last layer: classes whose score never changes.
    disconnected_units : list of int
        Units of each layer that the input reaches, but from which no path leads to the output. In the last layer
        there are none.
    """

    effective: list[int]
    nonzero: list[int]
    sizes: list[int]
    dead_units: list[int]
    disconnected_units: list[int]

    @property
    def is_connected(self) -> bool:
        """Whether a path leads from the input to the output; if not, every input gets the same answer."""
        return self.effective[-1] > 0

    @property
    def emptied_layers(self) -> list[int]:
        """Indices of the layers in which every weight is zero."""
        return [layer for layer, count in enumerate(self.nonzero) if count == 0]

    def effective_sparsity(self, n_prunable: int) -> float:
        """The fraction of the weights of the first `n_prunable` layers that are zero or on no path; 0 of no weights.

        References
        ----------
        A. Vysogorets, J. Kempe, "Connectivity Matters: Neural Network Pruning Through the Lens of Effective
        Sparsity", Journal of Machine Learning Research 24 (2023), first published 2021.
        """
        total = sum(self.sizes[:n_prunable])
        return (total - sum(self.effective[:n_prunable])) / total if total else 0.0


def connectivity(coefs: Sequence[NDArray[np.floating]]) -> Connectivity:
    """Find what lies on a path from the input to the output.

    Parameters
    ----------
    coefs : sequence of ndarray, each (n_in, n_out)
        Weights of the layers, zeros where pruned.
    """
    nonzero = [coef != 0 for coef in coefs]
    reached, leading = reachable(nonzero)
    counts = [int(np.count_nonzero(weights)) for weights in nonzero]
    return Connectivity(
        effective=[
            count if rows.all() and columns.all() else int(np.count_nonzero(weights[rows] & columns))
            for count, weights, rows, columns in zip(counts, nonzero, reached[:-1], leading[1:], strict=True)
        ],
        nonzero=counts,
        sizes=[coef.size for coef in coefs],
        dead_units=[int(np.count_nonzero(~units)) for units in reached[1:]],
        disconnected_units=[
            int(np.count_nonzero(there & ~onwards)) for there, onwards in zip(reached[1:], leading[1:], strict=True)
        ],
    )


def reachable(nonzero: Sequence[Mask]) -> tuple[list[Mask], list[Mask]]:
    """Which units the input reaches, and from which units a path leads to the output.

    Parameters
    ----------
    nonzero : sequence of ndarray of bool, each (n_in, n_out)
        Which weights of each layer are there.

    Returns
    -------
    reached, leading : list of ndarray of bool
        For the inputs, then for the units of each layer.
    """
    reached = [np.ones(nonzero[0].shape[0], dtype=bool)]
    for weights in nonzero:
        rows = reached[-1]
        reached.append(np.any(weights if rows.all() else weights[rows], axis=0))
    leading = [np.ones(nonzero[-1].shape[1], dtype=bool)]
    for weights in reversed(nonzero):
        columns = leading[-1]
        leading.append(np.any(weights if columns.all() else weights & columns, axis=1))
    return reached, leading[::-1]
