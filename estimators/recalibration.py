"""Batch normalisation after pruning: the running statistics, measured again.

Running means and variances are those of the network before the pruning, and what is left of a heavily pruned network
puts out other values. Measuring them again recovers much of the accuracy without any training (B. Li et al., "EagleEye:
Fast Sub-net Evaluation for Efficient Neural Network Pruning", ECCV 2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .backend import as_tensor, flushed_denormals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from .networks.base import Network

#: Samples are passed through in blocks whose widest activations are at most this many numbers.
_BLOCK_ELEMENTS = 2**22


def recalibrated(
    network: Network, tensors: Mapping[str, NDArray], inputs: NDArray[np.float32], device: str
) -> dict[str, NDArray]:
    """The tensors with means and variances measured on the inputs.

    Each is the mean, or the (biased) variance, of the values that reach a normalisation in evaluation, over all
    samples and positions. The normalisations are measured in the order of a forward pass, each behind those measured
    before it.

    Parameters
    ----------
    network : Network
    tensors : mapping of str to ndarray
        They are not changed.
    inputs : ndarray of float32, shape (n, n_features)
    device : str
        Where to compute, in the precision of the inputs.

    Returns
    -------
    dict of str to ndarray
        The arrays passed in but for the running statistics. Those of removed units are zero.
    """
    measured = dict(tensors)
    on_device = {name: as_tensor(array).to(device) for name, array in tensors.items()}
    blocks = as_tensor(inputs).split(max(1, _BLOCK_ELEMENTS // network.widest))
    with flushed_denormals(), torch.no_grad():
        for normalisation in network.normalisations.values():
            meter = _Meter(normalisation.name)
            for block in blocks:
                meter.measure(network, on_device, block.to(device))
            for name, values in ((normalisation.mean, meter.mean), (normalisation.variance, meter.variance)):
                measured[name] = values.to(on_device[name].dtype).cpu().numpy()
                on_device[name] = values.to(on_device[name])
    return measured


class _Reached(Exception):  # noqa: N818 (it is not an error)
    pass


class _Meter:
    """Adds up the values that reach one normalisation, and lets the network go no further."""

    def __init__(self, name: str):
        self._name = name
        self._count = 0
        self._sum = self._squares = torch.zeros(())

    def measure(self, network: Network, tensors: Mapping[str, Tensor], inputs: Tensor) -> None:
        try:
            network.forward(tensors, inputs, recorder=self)
        except _Reached:
            return

    def layer(self, name: str, values: Tensor, patches: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:  # noqa: ARG002
        return outputs

    def normalised(self, name: str, before: Tensor, values: Tensor) -> Tensor:
        if name != self._name:
            return values
        count = before.numel() // max(before.shape[1], 1)
        axes = [axis for axis in range(before.ndim) if axis != 1]
        # In two steps: the mean square of large values with a small variance would lose it.
        variance, mean = (figure.double().cpu() for figure in torch.var_mean(before, axes, correction=0))
        self._sum = self._sum + count * mean
        self._squares = self._squares + count * (variance + mean**2)
        self._count += count
        raise _Reached

    def units(self, group: str, values: Tensor) -> None:
        pass

    @property
    def mean(self) -> Tensor:
        return self._sum / self._count

    @property
    def variance(self) -> Tensor:
        return (self._squares / self._count - self.mean**2).clamp_min(0)
