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


def count_cost(
    coefs: Sequence[NDArray[np.floating]], intercepts: Sequence[NDArray[np.floating]], fit_intercept: bool
) -> Cost:
    """Count parameters and multiply-adds of a multi-layer perceptron.

    Parameters
    ----------
    coefs, intercepts : sequences of ndarray
        Zeros where pruned.
    fit_intercept : bool
        Whether the biases are parameters of the network at all.
    """
    dense_macs = sum(coef.size for coef in coefs)
    macs = sum(int(np.count_nonzero(coef)) for coef in coefs)
    biases = list(intercepts) if fit_intercept else []
    return Cost(
        parameters=dense_macs + sum(bias.size for bias in biases),
        nonzero=macs + sum(int(np.count_nonzero(bias)) for bias in biases),
        dense_macs=dense_macs,
        macs=macs,
    )
