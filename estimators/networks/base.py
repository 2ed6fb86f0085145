"""What every network is: named tensors with a record each, a functional forward pass, and groups of units.

A network holds no numbers. Its tensors travel beside it as a mapping from names to arrays (NumPy in fitted
classifiers, torch while computing), so copying, pickling and comparing networks needs no special code, and masks are
mappings with the same names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    Tensors = Mapping[str, Tensor]

#: Kinds of tensors. Weights are multiplied with inputs, and are what pruning removes; the optimiser's penalty is on
#: them. Biases and shifts are added, scales multiply a whole unit, and buffers are measured instead of trained. Other
#: tensors are trained and never pruned, such as the position embeddings of a user's module.
KINDS = ("weight", "bias", "scale", "shift", "buffer", "other")

#: Kinds of tensors that are cast to the precision of the products; statistics, scales and shifts stay in float32.
CAST = ("weight", "bias", "other")


@dataclass(frozen=True)
class TensorRecord:
    """What there is to know of one tensor of a network.

    Attributes
    ----------
    name : str
    shape : tuple of int
    kind : str
        One of `KINDS`.
    output_axis : int
        For weights, the axis along which the units of the layer lie.
    positions : int
        For weights, how often each entry is used for one sample: 1 in a linear layer, the number of output positions
        in a convolution, of steps in a recurrent layer.
    is_output : bool
        Whether it belongs to the output layer, which pruning leaves alone by default.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = "weight"
    output_axis: int = 0
    positions: int = 1
    is_output: bool = False

    @property
    def input_axis(self) -> int:
        """For weights, the axis along which the units (or features, or channels) that they read lie."""
        return 1 - self.output_axis

    @property
    def layer(self) -> str:
        """For weights, the name of the layer."""
        return self.name.removesuffix(".weight")

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    @property
    def fan_in(self) -> int:
        """For weights, how many inputs a unit has."""
        return self.size // max(self.shape[self.output_axis], 1)


class Slice(NamedTuple):
    """The part of a tensor that belongs to a group of units.

    Unit ``i`` of a group of ``size`` owns the positions ``start + b * size * inner + i * inner + k`` of `axis`, for
    ``b < blocks`` and ``k < inner``.

    Attributes
    ----------
    tensor : str
    axis : int
    role : {"producer", "rider", "consumer"}
        Producers compute the unit's output (its incoming weights), riders are applied to it (bias, scale, shift,
        running mean and variance), consumers read it (the outgoing weights).
    blocks : int
        How many times the whole group is repeated along the axis: the gates of a recurrent cell.
    inner : int
        How many neighbouring positions a unit has: those of its feature map after a flatten.
    start : int
        Where the group begins: after what is concatenated before it.
    """

    tensor: str
    axis: int
    role: str
    blocks: int = 1
    inner: int = 1
    start: int = 0


@dataclass(frozen=True)
class Group:
    """Units that disappear as a whole: all entries of a unit in all slices, at once.

    Attributes
    ----------
    name : str
        Of the layer whose units they are.
    size : int
        How many units.
    slices : tuple of Slice
        In the order in which a forward pass uses them: a consumer reads what the producers before it have written.
        (In a residual stream, others write later.)
    is_output : bool
        Whether the units are the classes, which pruning leaves alone by default.
    is_residual : bool
        Whether the units are those of a residual stream, which pruning leaves alone by default, too.
    """

    name: str
    size: int
    slices: tuple[Slice, ...]
    is_output: bool = False
    is_residual: bool = False

    def of_role(self, role: str) -> tuple[Slice, ...]:
        """The slices of one role."""
        return tuple(part for part in self.slices if part.role == role)


@dataclass(frozen=True)
class Normalisation:
    """A batch normalisation, and the names of its tensors.

    Attributes
    ----------
    name : str
        Differs from the names of all tensors of weights.
    mean, variance : str
        Of the running statistics.
    scale, shift : str or None
        None where it only normalises.
    weight : str or None
        The tensor of weights whose outputs are normalised; None where something else is, such as a sum.
    bias : str or None
        The bias that is added to these outputs before, if there is one.
    """

    name: str
    mean: str
    variance: str
    scale: str | None = None
    shift: str | None = None
    weight: str | None = None
    bias: str | None = None


class Recorder(Protocol):
    """Sees what happens inside a forward pass."""

    def layer(self, name: str, values: Tensor, patches: Callable[[Tensor], Tensor], outputs: Tensor) -> Tensor:
        """Called for each layer with weights, before the activation.

        Parameters
        ----------
        name : str
            Of the layer's weights.
        values : Tensor
            The inputs of the layer, in the shape that the network uses.
        patches : callable
            From values of that shape to those that meet the weights, shape (n, positions, fan_in).
        outputs : Tensor, shape (n, units, ...)
            Before normalisation and activation.

        Returns
        -------
        Tensor
            What the network continues with instead of `outputs`.
        """
        ...

    def normalised(self, name: str, before: Tensor, values: Tensor) -> Tensor:
        """Called after each batch normalisation.

        Parameters
        ----------
        name : str
            Of the `Normalisation`.
        before, values : Tensor, shape (n, units, ...)
            What came in, and what came out.

        Returns
        -------
        Tensor
            What the network continues with instead of `values`.
        """
        ...

    def units(self, group: str, values: Tensor) -> None:
        """Called with the outputs of a group of units after the activation, shape (n, units, ...).

        A residual stream is recorded each time when something has been added to it.
        """
        ...


@dataclass(frozen=True)
class Network(ABC):
    """A network without its numbers. Implementations are frozen dataclasses of a few plain values."""

    #: Whether `forward` draws from PyTorch's own random numbers in training, which then follow from a seed.
    is_random = False

    #: Of every group, so many units stay in a smaller network, also where none is left.
    smallest_group = 0

    def check_units(self) -> None:  # noqa: B027 (most networks have nothing to check)
        """Raise ValueError, one sentence, if units cannot be pruned."""

    @property
    def is_connectivity_known(self) -> bool:
        """Whether the groups are all there is between the layers, so that they show which weights lie on a path."""
        return True

    @abstractmethod
    def make_records(self) -> list[TensorRecord]:
        """Describe the tensors, from input to output."""

    @abstractmethod
    def make_groups(self) -> list[Group]:
        """Describe the units, from input to output, those of the output layer last."""

    def make_normalisations(self) -> list[Normalisation]:
        """Describe the batch normalisations, in the order of a forward pass."""
        return []

    @abstractmethod
    def with_widths(self, widths: Mapping[str, int]) -> Self:
        """Return the same network with other numbers of units; `widths` are by group, those missing stay."""

    @abstractmethod
    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:
        """Return what weights read of each unit of a hidden group if all its incoming weights are zero, shape (size,).

        Parameters
        ----------
        group : str
        reader : str
            The tensor of weights that reads the units. (Several layers write a residual stream, and it is activated
            after each of them, so that readers at different depths see different constants.)
        tensors : mapping of str to ndarray
        """

    @abstractmethod
    def fold_target(self, reader: str) -> tuple[str, int] | None:
        """Return the tensor that takes up what constant inputs add to the outputs of a layer, and the sign.

        `reader` is the tensor of weights. None where that is not exact: through zero padding or through time. The
        tensor may be one that only `with_biases` has.
        """

    def with_biases(self) -> Self:
        """Return the same network with biases in every layer that can have them."""
        return self

    @abstractmethod
    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Draw the tensors as they are before training, on the CPU whatever the device."""

    @property
    @abstractmethod
    def is_piecewise_linear(self) -> bool:
        """Whether the logits are piecewise linear in each single weight, so that they have no second derivative."""

    @abstractmethod
    def forward(
        self,
        tensors: Tensors,
        inputs: Tensor,
        *,
        training: bool = False,
        linear: bool = False,
        recorder: Recorder | None = None,
    ) -> Tensor:
        """Compute the logits.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            In the precision to compute in. With `training`, running statistics are updated in place.
        inputs : Tensor, shape (n, n_features)
        training : bool, default=False
            Whether layers that behave differently in training, such as batch normalisation, do so.
        linear : bool, default=False
            Leave out biases, normalisations and activations, as synaptic flow does.
        recorder : Recorder, optional

        Returns
        -------
        Tensor, shape (n, classes)
            In the precision of the tensors, but at least float32.
        """

    @property
    def records(self) -> Mapping[str, TensorRecord]:
        """The record of every tensor, by name, from input to output."""
        return self._records

    @cached_property
    def _records(self) -> dict[str, TensorRecord]:
        return {record.name: record for record in self.make_records()}

    @property
    def groups(self) -> Mapping[str, Group]:
        """The groups of units, by name, from input to output."""
        return self._groups

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return {group.name: group for group in self.make_groups()}

    @property
    def normalisations(self) -> Mapping[str, Normalisation]:
        """The batch normalisations, by name, in the order of a forward pass."""
        return self._normalisations

    @cached_property
    def _normalisations(self) -> dict[str, Normalisation]:
        return {normalisation.name: normalisation for normalisation in self.make_normalisations()}

    @property
    def weights(self) -> list[TensorRecord]:
        """The records of the weights, from input to output."""
        return [record for record in self.records.values() if record.kind == "weight"]

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Number of inputs of a sample."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """A few words: the widths and the activation."""

    @property
    @abstractmethod
    def widest(self) -> int:
        """The largest number of activations that a layer has for one sample."""

    @property
    def n_outputs(self) -> int:
        """Number of logits."""
        return next(group.size for group in self.groups.values() if group.is_output)

    @property
    def widths(self) -> list[int]:
        """Number of features, then of the units of each group."""
        return [self.n_features, *(group.size for group in self.groups.values())]

    @property
    def layer_names(self) -> list[str]:
        """What the layers with weights are called; empty where their numbers are enough."""
        return [record.layer for record in self.weights]

    @property
    def layer_widths(self) -> list[list[int]]:
        """For every tensor of weights, the width of what it reads and of what it computes."""
        return [[record.shape[record.input_axis], record.shape[record.output_axis]] for record in self.weights]

    @property
    def hidden_groups(self) -> list[Group]:
        """The groups of units but those of the output layer, from input to output."""
        return [group for group in self.groups.values() if not group.is_output]

    @property
    def readers_of_features(self) -> list[str]:
        """Names of the weights that read the features of the samples."""
        return [record.name for record in self.weights[:1]]

    @property
    def trained(self) -> list[str]:
        """Names of the tensors that the optimiser changes: all but the buffers."""
        return [name for name, record in self.records.items() if record.kind != "buffer"]

    @property
    def n_weights(self) -> int:
        """Number of weights, other tensors not counted."""
        return sum(record.size for record in self.weights)

    @property
    def dense_macs(self) -> int:
        """Multiply-adds of the weights for one sample, if none is pruned."""
        return sum(record.size * record.positions for record in self.weights)

    def loss_and_gradients(
        self, tensors: Tensors, inputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, training: bool = True
    ) -> tuple[Tensor, Iterator[tuple[str, Tensor]]]:
        """Weighted mean cross-entropy, and the gradients of the trained tensors.

        Parameters
        ----------
        tensors : mapping of str to Tensor
            In the precision to compute in.
        inputs : Tensor, shape (n, n_features)
            In the same precision.
        targets : Tensor of int64, shape (n,)
            Class indices.
        weights : Tensor of float32, shape (n,), optional
            Weight of every sample; equal if absent.
        training : bool, default=True
            As in `forward`.

        Returns
        -------
        loss : Tensor, shape ()
            Float32; nothing has waited for it.
        gradients : iterator of (name, gradient)
            Last layer first, stored as the tensors are. A tensor may be changed as soon as its gradient has been
            yielded.
        """
        with torch.enable_grad():
            leaves = {name: tensors[name].detach().requires_grad_() for name in self.trained}
            logits = self.forward({**tensors, **leaves}, inputs, training=training)
            loss = mean_cross_entropy(logits, targets, weights)
            gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        stored_alike = [gradient.contiguous() for gradient in gradients]  # fused optimisers rely on it
        return loss.detach(), reversed(list(zip(leaves, stored_alike, strict=True)))


@contextmanager
def drawn_from(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Let PyTorch's own random numbers follow from a seed, and leave its generators as they were."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def mean_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of logits (n, classes) over the samples, weighted by `weights` (n,) if there are any."""
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * sample_shares(losses, weights)).sum()


def sample_shares(losses: Tensor, weights: Tensor | None) -> Tensor:
    """What each sample contributes to the mean; the shares sum to 1 (to 0, if all weights are 0)."""
    if weights is None:
        return torch.full_like(losses, 1.0 / len(losses))
    return weights / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
