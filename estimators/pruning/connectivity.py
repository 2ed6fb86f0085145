"""Which weights and units of a network lie on a path from the input to the output.

Only the structure counts: a path is a chain of weights that are not zero, each of which reads a unit that the one
before has written. What a weight off
every path is multiplied with never depends on the input, or its product never reaches the output, so it could be
removed without changing how the logits depend on the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .groups import clear_units, entries_of_slice, has_entries, set_entries

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from ..networks.base import Network, Slice
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
    is_known : bool
        Whether the paths are known. Where they are not, every weight that is not zero counts as effective, no unit is
        counted, and `effective_sparsity` is NaN.
    """

    effective: list[int]
    nonzero: list[int]
    sizes: list[int]
    names: list[str]
    is_output: list[bool]
    dead_units: list[int]
    disconnected_units: list[int]
    is_known: bool = True

    @property
    def is_connected(self) -> bool:
        """Whether a path leads from the input to the output; if not, every input gets the same answer.

        Where the paths are not known, whether anything is left of the output layer.
        """
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
        if not self.is_known:
            return float("nan")
        return (total - sum(self.effective[i] for i in layers)) / total if total else 0.0


def connectivity(network: Network, tensors: Mapping[str, NDArray[np.floating]]) -> Connectivity:
    """Find the weights and units on a path from the input to the output.

    Parameters
    ----------
    network : Network
    tensors : mapping of str to ndarray
        Zeros where pruned.
    """
    if not network.is_connectivity_known:
        return _unknown(network, [int(np.count_nonzero(tensors[record.name])) for record in network.weights])
    groups = network.groups.values()
    nonzero = {record.name: tensors[record.name] != 0 for record in network.weights}
    reached = connected_entries(network, nonzero, "input")
    leading = connected_entries(network, nonzero, "output")
    on_path = {name: mask & leading[name] for name, mask in reached.items()}
    has_input = [has_entries(group, reached) for group in groups]
    is_on_path = [has_entries(group, on_path) for group in groups]
    return Connectivity(
        effective=[int(np.count_nonzero(mask)) for mask in on_path.values()],
        nonzero=[int(np.count_nonzero(mask)) for mask in nonzero.values()],
        sizes=[record.size for record in network.weights],
        names=[record.name for record in network.weights],
        is_output=[record.is_output for record in network.weights],
        dead_units=[int(np.count_nonzero(~units)) for units in has_input],
        disconnected_units=[
            int(np.count_nonzero(units & ~used)) for units, used in zip(has_input, is_on_path, strict=True)
        ],
    )


def connected_entries(network: Network, there: Mapping[str, Mask], end: str) -> dict[str, Mask]:
    """Which of some entries of the weights are connected to one end of the network.

    An entry is connected to the input if the unit or feature that it reads is: features are, and units that a
    connected entry writes. It is connected to the output likewise, by what it writes. What is written to a residual
    stream reaches only those that read it later, and of a recurrent cell a unit may be reached through the unit
    itself, so that units are marked until no more follow.

    Parameters
    ----------
    network : Network
    there : mapping of str to ndarray of bool
        For every tensor of weights, the entries that count.
    end : {"input", "output"}

    Returns
    -------
    dict of str to ndarray of bool
        For every tensor of weights.
    """
    groups, near, far, step = list(network.groups.values()), "producer", "consumer", 1
    if end == "output":
        groups, near, far, step = [g for g in reversed(groups) if not g.is_output], "consumer", "producer", -1
    connected = {name: mask.copy() for name, mask in there.items()}
    for group in groups:
        clear_units(group, connected, np.ones(group.size, dtype=bool), far)
    marked: dict[tuple[str, Slice], Mask] = {}
    is_new = True
    while is_new:
        is_new = False
        for group in groups:
            units = np.zeros(group.size, dtype=bool)
            for part in group.slices[::step]:
                if part.role == near:
                    units |= entries_of_slice(part, group.size, connected[part.tensor]).any(axis=0)
                elif part.role == far and (units & ~marked.get((group.name, part), False)).any():
                    set_entries(part, units, connected[part.tensor], there[part.tensor])
                    marked[group.name, part], is_new = units.copy(), True
    return connected


def _unknown(network: Network, nonzero: list[int]) -> Connectivity:
    weights = network.weights
    return Connectivity(
        effective=nonzero,
        nonzero=nonzero,
        sizes=[record.size for record in weights],
        names=[record.name for record in weights],
        is_output=[record.is_output for record in weights],
        dead_units=[],
        disconnected_units=[],
        is_known=False,
    )
