"""The data that criteria look at, and a forward pass that shows what happens in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...backend import as_tensor
from ..sampling import stratified_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from ...networks.base import Group, Network, Slice, TensorRecord

    Arrays = Mapping[str, NDArray]

#: Samples looked at. (SNIP and GraSP take a hundred in their papers; more make the estimates steadier.)
MAX_SAMPLES = 4000

_BATCH = 500


class Sample:
    """A network and a sample of its training data, on the device.

    Parameters
    ----------
    network : Network
    tensors : mapping of str to ndarray
    inputs : ndarray, shape (n, n_features)
    targets : ndarray of int64, shape (n,)
        Class indices.
    weights : ndarray, shape (n,), optional
        How much each sample counts; equally if absent.
    masks : mapping of str to ndarray of bool, optional
        What an earlier pruning left. The others are zero, and stay so.
    seed : int
        Chooses the sample, and the random vectors of estimates.
    device : str
    dtype : torch.dtype
        To compute in.
    max_samples : int
        The size of the sample; see `stratified_sample`.

    Attributes
    ----------
    tensors : dict of str to Tensor
    masks : dict of str to Tensor of bool
    inputs, targets, shares : Tensor
        The sample, and how much each of it counts; the shares sum to 1.
    silence : Tensor, shape (n_features,)
        See the function `silence`.
    """

    def __init__(
        self,
        network: Network,
        tensors: Arrays,
        inputs: NDArray[np.floating],
        targets: NDArray[np.int64],
        *,
        weights: NDArray[np.floating] | None = None,
        masks: Mapping[str, NDArray[np.bool_]] | None = None,
        seed: int = 0,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_samples: int = MAX_SAMPLES,
    ):
        self.network, self.seed = network, seed
        weights = weights if weights is not None and weights.any() else None
        self.silence = as_tensor(silence(inputs, weights)).to(device, dtype)
        rows, shares = stratified_sample(targets, weights, max_samples, seed)
        self.inputs = as_tensor(inputs[rows]).to(device, dtype)
        self.targets = as_tensor(targets[rows]).to(device)
        self.tensors = {name: as_tensor(array).to(device, dtype) for name, array in tensors.items()}
        self.masks = {name: as_tensor(mask).to(device) for name, mask in (masks or {}).items()}
        self.shares = as_tensor(shares).to(device, dtype)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the network."""
        return {record.name: self.tensors[record.name] for record in self.network.weights}

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Inputs, targets and shares, some samples at a time."""
        parts = self.inputs.split(_BATCH), self.targets.split(_BATCH), self.shares.split(_BATCH)
        yield from zip(*parts, strict=True)

    def trace(self, inputs: Tensor) -> Trace:
        """Compute the logits of some inputs, and record what happens in every layer."""
        return trace(self.network, self.tensors, inputs)


def silence(inputs: NDArray[np.floating], weights: NDArray[np.floating] | None = None) -> NDArray[np.floating]:
    """The least value of each feature, (n_features,), over the samples that count and have it.

    The activity of a feature is measured from there: the background of an image is silent.
    """
    return np.fmin.reduce(inputs if weights is None else inputs[weights > 0], axis=0)


def trace(network: Network, tensors: Mapping[str, Tensor], inputs: Tensor) -> Trace:
    """Compute the logits of some inputs, and record what happens in every layer."""
    record = Trace(network)
    with torch.enable_grad():
        record.logits = network.forward(tensors, inputs, recorder=record)
    return record


class Trace:
    """What happened in a forward pass; see `Recorder`. Everything is by the name of the weights, or of the group.

    Attributes
    ----------
    logits : Tensor, shape (n, classes)
    outputs : dict of str to Tensor, each (n, units, ...)
        Before the activation: by the name of the weights, and after a normalisation by its name.
    activities : dict of str to list of Tensor, each (n, units, ...)
        Outputs of every group of units after the activation; of a residual stream, after each addition.
    """

    logits: Tensor

    def __init__(self, network: Network):
        self._network = network
        self.outputs: dict[str, Tensor] = {}
        self.activities: dict[str, list[Tensor]] = {}
        self._n_before: dict[str, dict[str, int]] = {}  # how often groups were recorded before a layer
        self._values: dict[str, Tensor] = {}
        self._patches: dict[str, Callable[[Tensor], Tensor]] = {}
        self._probes: dict[str, Tensor] = {}

    def layer(self, name: str, values: Tensor, patches: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
        """Keep what comes in and out, and add a zero whose gradient is the error of the outputs."""
        self._values[name], self._patches[name] = values.detach(), patches
        self._n_before[name] = {group: len(states) for group, states in self.activities.items()}
        return self._probed(name, outputs)

    def normalised(self, name: str, before: Tensor, values: Tensor) -> Tensor:  # noqa: ARG002
        """Keep the outputs, and add a zero whose gradient is their error."""
        return self._probed(name, values)

    def _probed(self, place: str, values: Tensor) -> Tensor:
        self.outputs[place] = values.detach()
        self._probes[place] = torch.zeros_like(values, requires_grad=True)
        return values + self._probes[place]

    def units(self, group: str, values: Tensor) -> None:
        """Keep the outputs of the units."""
        self.activities.setdefault(group, []).append(values.detach())

    def behind(self, name: str) -> Tensor:
        """The activities of the units that a layer writes, right after it did so, (n, outputs of the layer, ...).

        All gates of a recurrent cell write its units.
        """
        groups, n_before = self._network.groups.values(), self._n_before[name]
        found = [(p.start, g.name, p.blocks) for g in groups for p in g.of_role("producer") if p.tensor == name]
        states = [
            state
            for _, group, blocks in sorted(found)
            for state in [self.activities[group][n_before.get(group, 0)]] * blocks
        ]
        return states[0] if len(states) == 1 else torch.cat(states, 1)

    def inputs(self, name: str, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What meets the weights of a layer, shape (n, positions, fan_in); of its inputs after a change, if given."""
        values = self._values[name]
        return self._patches[name](values if change is None else change(values))

    def active_inputs(self, name: str, silence: Tensor) -> Tensor:
        """The activities that meet the weights of a layer, shape (n, positions, fan_in); `silence` is of features."""
        if name in self._network.readers_of_features:
            return self.inputs(name, lambda values: values - silence.reshape(values.shape[1:]))
        return self.inputs(name, torch.abs)

    def places_of_output(self, group: Group) -> list[tuple[str, Slice]]:
        """Where `outputs` has what layers put out to a group, after a normalisation: names, and the slice of each."""
        behind = {n.weight: n.name for n in self._network.normalisations.values()}
        return [(behind.get(part.tensor, part.tensor), part) for part in group.of_role("producer")]

    def errors(self, delta: Tensor, places: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The gradients at outputs, from those at the logits: (n, units, ...) from (n, classes).

        `places` are names in `outputs`; those of the weights of every layer by default.
        """
        names = list(self._values if places is None else places)
        found = torch.autograd.grad(self.logits, [self._probes[n] for n in names], delta, retain_graph=True)
        return dict(zip(names, found, strict=True))


def by_position(values: Tensor) -> Tensor:
    """Outputs of a layer (n, units, ...) as (n, positions, units)."""
    return values.flatten(2).mT if values.ndim > 2 else values[:, None]


def as_weights(matrix: Tensor, record: TensorRecord) -> Tensor:
    """Figures of every input and unit of a layer, (fan_in, units), in the shape of its weights."""
    return matrix if record.output_axis == len(record.shape) - 1 else matrix.T.reshape(record.shape)


def arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray]:
    """Tensors as NumPy arrays."""
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
