"""What a pruned network still costs: parameters, non-zeros, multiply-adds.

Compression counts all parameters, speed-up counts multiply-adds; the two are not interchangeable
(D. Blalock et al., "What is the state of neural network pruning?", MLSys 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .pruning.groups import has_entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .networks.base import Network
    from .pruning.connectivity import Connectivity


@dataclass(frozen=True)
class Cost:
    """Counts for one sample through one network.

    Attributes
    ----------
    parameters : int
        Of the unpruned network: all trained tensors.
    nonzero : int
        Those of them that are not zero.
    dense_macs : int
        Multiply-adds of the unpruned network, biases not counted.
    macs : int
        Multiply-adds left: the non-zero weights times their uses.
    """

    parameters: int
    nonzero: int
    dense_macs: int
    macs: int

    @property
    def compression(self) -> float:
        """Parameters before over parameters after; inf when nothing is left."""
        return self.parameters / self.nonzero if self.nonzero else float("inf")

    @property
    def speedup(self) -> float:
        """Theoretical speed-up: multiply-adds before over after; inf when nothing is left."""
        return self.dense_macs / self.macs if self.macs else float("inf")


def count_cost(network: Network, tensors: Mapping[str, NDArray[np.floating]], connectivity: Connectivity) -> Cost:
    """Count parameters and multiply-adds.

    Parameters
    ----------
    network : Network
        Its records give how often each weight is used for one sample.
    tensors : mapping of str to ndarray
        Zeros where pruned.
    connectivity : Connectivity
        Of the network, whose weights have been counted for it.
    """
    weights = network.weights
    others = [name for name in network.trained if network.records[name].kind != "weight"]
    return Cost(
        parameters=sum(network.records[name].size for name in network.trained),
        nonzero=sum(connectivity.nonzero) + sum(int(np.count_nonzero(tensors[name])) for name in others),
        dense_macs=network.dense_macs,
        macs=sum(n * record.positions for n, record in zip(connectivity.nonzero, weights, strict=True)),
    )


def weights_left(network: Network, masks: Mapping[str, NDArray[np.bool_]]) -> list[list[int]]:
    """For every tensor of weights, how many entries were kept, of how many."""
    return [[int(np.count_nonzero(masks[record.name])), record.size] for record in network.weights]


def units_left(network: Network, tensors: Mapping[str, NDArray[np.floating]]) -> list[list[int]]:
    """For every group of units, how many have an incoming weight that is not zero, of how many."""
    there = {record.name: tensors[record.name] != 0 for record in network.weights}
    return [[int(np.count_nonzero(has_entries(group, there))), group.size] for group in network.groups.values()]
