"""What a pruned network still costs: parameters, non-zeros, multiply-adds.

Compression counts all parameters, speed-up counts multiply-adds; the two are not interchangeable
(D. Blalock et al., "What is the state of neural network pruning?", MLSys 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .pruning.connectivity import Connectivity


@dataclass(frozen=True)
class Cost:
    """Counts for one sample through one network.

    Attributes
    ----------
    parameters : int
        Weights and biases of the unpruned network.
    nonzero : int
        Those of them that are not zero.
    dense_macs : int
        Multiply-adds of the unpruned network, biases not counted.
    macs : int
        Multiply-adds left: the non-zero weights.
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


def count_cost(connectivity: Connectivity, biases: Sequence[NDArray[np.floating]]) -> Cost:
    """Count parameters and multiply-adds of a multi-layer perceptron.

    Parameters
    ----------
    connectivity : Connectivity
        Of its weights, which have been counted for it.
    biases : sequence of ndarray
        Zeros where pruned; none if the network has no biases.
    """
    dense_macs, macs = sum(connectivity.sizes), sum(connectivity.nonzero)
    return Cost(
        parameters=dense_macs + sum(bias.size for bias in biases),
        nonzero=macs + sum(int(np.count_nonzero(bias)) for bias in biases),
        dense_macs=dense_macs,
        macs=macs,
    )
