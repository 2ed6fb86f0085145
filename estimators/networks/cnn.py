"""Convolutional networks: convolutions with pooling, then linear layers (LeNet-5 and its relatives)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from .base import Group, Network, Normalisation, Slice, TensorRecord
from .layers import (
    ACTIVATIONS,
    PIECEWISE_LINEAR,
    batch_norm,
    batch_normalisation,
    channels_last,
    convolve,
    initial_tensors,
    max_pool,
    normalised_zeros,
    one_position,
    patches_of_maps,
)
from .shapes import map_shapes, window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import Recorder, Tensors


@dataclass(frozen=True)
class CNNNetwork(Network):
    """Convolutions, each with batch normalisation (if wanted), max pooling and an activation, then linear layers.

    Its tensors are ``conv1.weight`` (filters, channels, height, width), ``conv1.bias`` (filters,), ..., and
    ``hidden1.weight`` (n_in, n_out), ``hidden1.bias``, ..., ``output.weight``, ``output.bias``. With batch
    normalisation a convolution has no bias but ``conv1.scale``, ``conv1.shift``, ``conv1.mean`` and
    ``conv1.variance``.

    Attributes
    ----------
    sample_shape : (int, int, int)
        Channels, height and width of a sample.
    channels : tuple of int
        Filters of each convolution.
    kernel_size : int
        Height and width of the filters; see `kernel_shape`.
    pooling : int
        Height and width of the windows of max pooling; 1 is none. See `pool_shape`.
    padding : {"valid", "same"}
        Whether the convolutions read their inputs only, or zeros around them, which keeps the size of the maps.
    hidden_sizes : tuple of int
        Widths of the hidden linear layers.
    n_classes : int
    activation : {"relu", "tanh", "logistic", "identity"}
    batch_norm : bool
        Whether the convolutions are normalised (S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015).
    init : {"uniform", "glorot"}
        How the tensors begin; see `initial`.
    """

    sample_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    kernel_size: int
    pooling: int
    padding: str
    hidden_sizes: tuple[int, ...]
    n_classes: int
    activation: str = "relu"
    batch_norm: bool = False
    init: str = "uniform"

    @cached_property
    def map_shapes(self) -> list[tuple[int, int]]:
        """Height and width of the maps after each convolution and its pooling.

        Raises
        ------
        ValueError
            If nothing is left of them.
        """
        return [shape for _, shape in self._map_shapes]

    @cached_property
    def _map_shapes(self) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """The shapes of each convolution's maps before and after pooling."""
        return map_shapes(self.sample_shape[1:], len(self.channels), self.kernel_size, self.pooling, self.padding)

    @property
    def kernel_shape(self) -> tuple[int, int]:
        """Height and width of the filters: `kernel_size`, but 1 across a line of pixels."""
        return window(self.sample_shape[1:], self.kernel_size)

    @property
    def pool_shape(self) -> tuple[int, int]:
        """Height and width of the windows of pooling: `pooling`, but 1 across a line of pixels."""
        return window(self.sample_shape[1:], self.pooling)

    @property
    def _convolutions(self) -> list[str]:
        return [f"conv{i}" for i in range(1, len(self.channels) + 1)]

    @property
    def _linears(self) -> list[str]:
        return [*(f"hidden{i}" for i in range(1, len(self.hidden_sizes) + 1)), "output"]

    @property
    def _flat_area(self) -> int:
        """Positions of each channel after the last convolution."""
        return int(np.prod(self.map_shapes[-1] if self.channels else self.sample_shape[1:]))

    @property
    def n_features(self) -> int:  # noqa: D102
        return int(np.prod(self.sample_shape))

    @property
    def summary(self) -> str:  # noqa: D102
        image = "x".join(map(str, self.sample_shape))
        widths = "-".join(map(str, [*self.channels, *self.hidden_sizes, self.n_classes]))
        return f"{image}, {widths} {self.activation}{' with batch norm' if self.batch_norm else ''}"

    @property
    def widest(self) -> int:  # noqa: D102
        maps = [n * int(np.prod(before)) for n, (before, _) in zip(self.channels, self._map_shapes, strict=True)]
        return max([self.n_features, self.n_classes, *maps, *self.hidden_sizes])

    def make_records(self) -> list[TensorRecord]:  # noqa: D102
        records = []
        widths = itertools.pairwise([self.sample_shape[0], *self.channels])
        for layer, (n_in, n_out), (before, _) in zip(self._convolutions, widths, self._map_shapes, strict=True):
            shape = (n_out, n_in, *self.kernel_shape)
            records.append(TensorRecord(f"{layer}.weight", shape, positions=before[0] * before[1]))
            if self.batch_norm:
                kinds = {"scale": "scale", "shift": "shift", "mean": "buffer", "variance": "buffer"}
            else:
                kinds = {"bias": "bias"}
            records += [TensorRecord(f"{layer}.{name}", (n_out,), kind) for name, kind in kinds.items()]
        n_flat = (self.channels[-1] if self.channels else self.sample_shape[0]) * self._flat_area
        widths = itertools.pairwise([n_flat, *self.hidden_sizes, self.n_classes])
        for layer, (n_in, n_out) in zip(self._linears, widths, strict=True):
            is_output = layer == "output"
            records.append(TensorRecord(f"{layer}.weight", (n_in, n_out), output_axis=1, is_output=is_output))
            records.append(TensorRecord(f"{layer}.bias", (n_out,), "bias", is_output=is_output))
        return records

    def make_groups(self) -> list[Group]:  # noqa: D102
        groups = []
        layers = [*self._convolutions, *self._linears]
        widths = [*self.channels, *self.hidden_sizes, self.n_classes]
        for layer, following, width in zip(layers, [*layers[1:], None], widths, strict=True):
            is_convolution = layer in self._convolutions
            slices = [Slice(f"{layer}.weight", 0 if is_convolution else 1, "producer")]
            vectors = ("scale", "shift", "mean", "variance") if is_convolution and self.batch_norm else ("bias",)
            slices += [Slice(f"{layer}.{name}", 0, "rider") for name in vectors]
            if following in self._convolutions:
                slices.append(Slice(f"{following}.weight", 1, "consumer"))
            elif following is not None:
                inner = self._flat_area if is_convolution else 1
                slices.append(Slice(f"{following}.weight", 0, "consumer", inner=inner))
            groups.append(Group(layer, width, tuple(slices), is_output=following is None))
        return groups

    def make_normalisations(self) -> list[Normalisation]:  # noqa: D102
        return [batch_normalisation(layer, f"{layer}.weight") for layer in self._convolutions if self.batch_norm]

    def with_widths(self, widths: Mapping[str, int]) -> Self:  # noqa: D102
        sizes = {name: widths.get(name, group.size) for name, group in self.groups.items()}
        return replace(
            self,
            channels=tuple(sizes[name] for name in self._convolutions),
            hidden_sizes=tuple(sizes[name] for name in self._linears[:-1]),
        )

    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:  # noqa: ARG002, D102
        has_bias = f"{group}.bias" in tensors
        values = tensors[f"{group}.bias"] if has_bias else normalised_zeros(tensors, group)
        return ACTIVATIONS[self.activation].of_array(values)

    def fold_target(self, reader: str) -> tuple[str, int] | None:  # noqa: D102
        layer = reader.removesuffix(".weight")
        if layer in self._convolutions:
            if self.padding != "valid" and self.kernel_size > 1:
                return None
            return (f"{layer}.mean", -1) if self.batch_norm else (f"{layer}.bias", 1)
        return f"{layer}.bias", 1

    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Draw the tensors; see `prunelab.estimators.networks.layers.initial_tensors`."""
        return initial_tensors(self.records, seed, self.init)

    @property
    def is_piecewise_linear(self) -> bool:  # noqa: D102
        return self.activation in PIECEWISE_LINEAR

    def forward(  # noqa: D102
        self,
        tensors: Tensors,
        inputs: Tensor,
        *,
        training: bool = False,
        linear: bool = False,
        recorder: Recorder | None = None,
    ) -> Tensor:
        activate = ACTIVATIONS["identity" if linear else self.activation].in_place
        patches = partial(patches_of_maps, kernel_size=self.kernel_shape, padding=self.padding)
        values = channels_last(inputs.reshape(-1, *self.sample_shape))
        for layer in self._convolutions:
            before, bias = values, None if linear else tensors.get(f"{layer}.bias")
            values = convolve(before, tensors[f"{layer}.weight"], bias, self.padding)
            if recorder is not None:
                values = recorder.layer(f"{layer}.weight", before, patches, values)
            if self.batch_norm and not linear:
                outputs, values = values, batch_norm(values, tensors, layer, training)
                if recorder is not None:
                    values = recorder.normalised(layer, outputs, values)
            if recorder is not None:
                values = activate(values)
                recorder.units(layer, values)
                values = max_pool(values, self.pool_shape)
            else:  # the same values, and fewer to activate: activations do not change their order
                values = activate(max_pool(values, self.pool_shape))
        values = values.flatten(1)
        for layer in self._linears:
            weight, before = tensors[f"{layer}.weight"], values
            values = torch.mm(before, weight) if linear else torch.addmm(tensors[f"{layer}.bias"], before, weight)
            if recorder is not None:
                values = recorder.layer(f"{layer}.weight", before, one_position, values)
            if layer != "output":
                values = activate(values)
            elif values.dtype == torch.bfloat16:
                values = values.float()
            if recorder is not None:
                recorder.units(layer, values)
        return values
