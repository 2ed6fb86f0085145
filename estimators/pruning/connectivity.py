"""Which weights and units of a network lie on a path from the input to the output.

Only the structure counts: a path is a chain of weights that are not zero, one in each layer. What a weight off
every path is multiplied with never depends on the input, or its product never reaches the output, so it could be
removed without changing how the logits depend on the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .groups import clear_units, has_entries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from ..networks.base import Network
    from .masks import Mask


@dataclass(frozen=True)
class Connectivity:
    """Which parts of a network are on a path, layer by layer; the last layer is the output.

    Attributes
    ----------
    effective : list of int
        Weights of each layer that lie on a path from the input to the output.
    nonzero : list of int
        Weights of each layer that are not zero.
    sizes : list of int
        Weights of each layer, zeros included.
    names : list of str
        The name of each layer's tensor of weights.
    is_output : list of bool
        Whether each layer is the output layer.
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
    names: list[str]
    is_output: list[bool]
    dead_units: list[int]
    disconnected_units: list[int]

    @property
    def is_connected(self) -> bool:
        """Whether a path leads from the input to the output; if not, every input gets the same answer."""
        return any(count > 0 for count, is_output in zip(self.effective, self.is_output, strict=True) if is_output)

    @property
    def emptied_layers(self) -> list[int]:
        """Indices of the layers in which every weight is zero."""
        return [layer for layer, count in enumerate(self.nonzero) if count == 0]

    def effective_sparsity(self, prunable: Collection[str]) -> float:
        """The fraction of the prunable weights that are zero or on no path; 0 if there are none.

        Parameters
        ----------
        prunable : collection of str
            The names of the tensors that may be pruned.

        References
        ----------
        A. Vysogorets, J. Kempe, "Connectivity Matters: Neural Network Pruning Through the Lens of Effective
        Sparsity", Journal of Machine Learning Research 24 (2023), first published 2021.
        """
        layers = [i for i, name in enumerate(self.names) if name in prunable]
        total = sum(self.sizes[i] for i in layers)
        return (total - sum(self.effective[i] for i in layers)) / total if total else 0.0


def connectivity(network: Network, tensors: Mapping[str, NDArray[np.floating]]) -> Connectivity:
    """Find the weights and units on a path from the input to the output.

    Parameters
    ----------
    network : Network
    tensors : mapping of str to ndarray
        Zeros where pruned.
    """
    groups = list(network.groups.values())
    there = {record.name: tensors[record.name] != 0 for record in network.weights}
    counts = [int(np.count_nonzero(mask)) for mask in there.values()]
    reached: list[Mask] = []
    for group in groups:
        reached.append(has_entries(group, there))
        clear_units(group, there, ~reached[-1], "consumer")
    leading: list[Mask] = []
    for group in reversed(groups):
        leading.append(np.ones(group.size, dtype=bool) if group.is_output else has_entries(group, there, "consumer"))
        clear_units(group, there, ~leading[-1], "producer")
    return Connectivity(
        effective=[int(np.count_nonzero(mask)) for mask in there.values()],
        nonzero=counts,
        sizes=[record.size for record in network.weights],
        names=[record.name for record in network.weights],
        is_output=[record.is_output for record in network.weights],
        dead_units=[int(np.count_nonzero(~units)) for units in reached],
        disconnected_units=[
            int(np.count_nonzero(units & ~onwards)) for units, onwards in zip(reached, reversed(leading), strict=True)
        ],
    )
