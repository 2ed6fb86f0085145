"""The one way predictions are computed: from NumPy arrays to logits.

Units that pruning has made useless are taken out before anything is multiplied, so a pruned network is evaluated at
the cost of what is left of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .backend import as_tensor, flushed_denormals, prepare_forks
from .pruning.compact import compact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from .networks.base import Network

    #: Tensors by name.
    Arrays = Mapping[str, NDArray[np.float32]]

#: The rows of a block are limited so that its widest activations are at most this many numbers: a block takes a
#: few hundredths of a second on a CPU, so a computation by blocks can be cancelled soon.
_BLOCK_ELEMENTS = 2**21

#: Up to this many products (rows times weights) float32 networks are evaluated in float64: it takes no time
#: worth having, and a sample then gets the same probabilities alone as among others.
_FLOAT64_UP_TO = 2 * 10**8


class Evaluator:
    """Logits and scores of many networks on the same samples, which are moved to the device once.

    Parameters
    ----------
    inputs : ndarray of float32, shape (n, n_features)
    device : torch.device
    precision : {"float32", "bfloat16"}
        Of the products; sums and logits are float32.
    """

    def __init__(self, inputs: NDArray[np.float32], device: torch.device, precision: str):
        prepare_forks()
        self.device, self.precision = device, precision
        self._dtype = getattr(torch, precision)
        self._inputs = as_tensor(inputs).to(device, self._dtype)

    def logits(self, network: Network, arrays: Arrays) -> NDArray[np.float32]:
        """Logits, shape (n, classes)."""
        return self._on_device(network, arrays).cpu().numpy()

    def iter_logits(self, network: Network, arrays: Arrays) -> Iterator[NDArray[np.float32]]:
        """The same logits, some rows at a time: the caller may stop in between."""
        for block in self._blocks(network, arrays):
            yield block.cpu().numpy()

    def accuracy_and_loss(
        self,
        network: Network,
        arrays: Arrays,
        targets: NDArray[np.int64],
        weights: NDArray[np.float32] | None = None,
    ) -> tuple[float, float]:
        """Fraction predicted right and mean cross-entropy; `targets` are class indices.

        With `weights`, one a sample, both are weighted means; weights that are all zero count as equal.
        """
        if weights is not None and not weights.any():
            weights = None
        hits, losses = hits_and_losses(self.logits(network, arrays), targets)
        return float(np.average(hits, weights=weights)), float(np.average(losses, weights=weights))

    def _on_device(self, network: Network, arrays: Arrays) -> Tensor:
        blocks = list(self._blocks(network, arrays))
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def _blocks(self, network: Network, arrays: Arrays) -> Iterator[Tensor]:
        if not all(arrays[record.name].all() for record in network.weights):
            network, arrays, _ = compact(network, arrays)
        dtype = self._dtype_for(network)
        tensors = {name: as_tensor(array).to(self.device, dtype) for name, array in arrays.items()}
        for block in self._inputs.split(max(1, _BLOCK_ELEMENTS // network.widest)):
            with flushed_denormals(), torch.inference_mode():  # not while the caller has control
                logits = network.forward(tensors, block.to(dtype))
            yield logits

    def _dtype_for(self, network: Network) -> torch.dtype:
        is_small = len(self._inputs) * network.dense_macs <= _FLOAT64_UP_TO
        has_float64 = self.device.type != "mps"
        return torch.float64 if self._dtype == torch.float32 and is_small and has_float64 else self._dtype


def hits_and_losses(
    logits: NDArray[np.float32], targets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For every sample, 1 if its class has the highest logit and 0 if not, and its cross-entropy."""
    scores, classes = as_tensor(logits), as_tensor(targets)
    hits = (scores.argmax(dim=1) == classes).double().numpy()
    return hits, torch.nn.functional.cross_entropy(scores.double(), classes, reduction="none").numpy()
