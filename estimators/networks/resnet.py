"""Residual networks as for CIFAR: three stages of blocks of two convolutions, around which the inputs are added.

References
----------
K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from .base import Group, Network, Normalisation, Slice, TensorRecord
from .layers import (
    batch_norm,
    batch_normalisation,
    channels_last,
    convolve,
    initial_tensors,
    normalised_zeros,
    one_position,
    patches_of_maps,
)
from .shapes import window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from .base import Recorder, Tensors

#: How many stages there are. From one to the next, maps halve and channels double.
N_STAGES = 3


class _Block(NamedTuple):
    """A block of two convolutions.

    Attributes
    ----------
    name : str
    stage : int
        From 0.
    is_first : bool
        Of a stage after the first one: it halves the maps, and its shortcut is not the identity.
    """

    name: str
    stage: int
    is_first: bool


@dataclass(frozen=True)
class ResNetNetwork(Network):
    """A convolution, three stages of residual blocks, global average pooling and a linear output.

    The first convolution is the ``stem``. ``block1``, ``block2``, ... each have the convolutions ``conv1`` and
    ``conv2``, and where maps halve perhaps a ``projection``. Each convolution has a ``weight`` (filters, channels,
    height, width) and batch normalisation with ``scale``, ``shift``, ``mean`` and ``variance``; the ``output`` has a
    ``weight`` (n_in, n_out) and a ``bias``.

    The units inside a block are the group ``block1.conv1``. What blocks read and add to, the residual stream, has the
    groups ``stream1`` to ``stream3``. With projections, each is the stream of a stage. With padding, a channel of the
    stream stays the same through all later stages, and the groups are the channels that begin in each stage: those of
    ``stream1`` are the first in all stages.

    Attributes
    ----------
    sample_shape : (int, int, int)
        Channels, height and width of a sample.
    streams : tuple of int
        Sizes of the groups of the stream.
    blocks : tuple of int
        Units inside each block, as many in each stage.
    n_classes : int
    shortcut : {"projection", "padding"}
        Where maps halve: a convolution of 1x1, or every second position, and zeros in the new channels (option A of
        the paper).
    init : {"uniform", "glorot"}
        How the weights begin; see `initial`.
    """

    sample_shape: tuple[int, int, int]
    streams: tuple[int, ...]
    blocks: tuple[int, ...]
    n_classes: int
    shortcut: str = "projection"
    init: str = "uniform"

    @classmethod
    def of(
        cls, sample_shape: tuple[int, int, int], depth: int, width: int, n_classes: int, shortcut: str, init: str
    ) -> Self:
        """The network of a depth, 6n+2, with `width` channels in the first stage."""
        widths = [width * 2**stage for stage in range(N_STAGES)]
        per_stage = blocks_per_stage(depth)
        new = widths if shortcut == "projection" else [widths[0], *np.diff(widths).tolist()]
        blocks = tuple(w for w in widths for _ in range(per_stage))
        return cls(sample_shape, tuple(new), blocks, n_classes, shortcut, init)

    @property
    def depth(self) -> int:
        """Layers with weights, projections not counted."""
        return 2 * len(self.blocks) + 2

    @property
    def width(self) -> int | tuple[int, ...]:
        """Channels of the first stage where the others follow from it, else the size of each group of hidden units."""
        usual = type(self).of(self.sample_shape, self.depth, max(self.streams[0], 1), self.n_classes, self.shortcut, "")
        is_usual = (self.streams, self.blocks) == (usual.streams, usual.blocks)
        return self.streams[0] if is_usual else tuple(group.size for group in self.hidden_groups)

    @cached_property
    def _blocks(self) -> list[_Block]:
        per_stage = len(self.blocks) // N_STAGES
        names = (f"block{i}" for i in range(1, len(self.blocks) + 1))
        return [_Block(n, i // per_stage, i >= per_stage and i % per_stage == 0) for i, n in enumerate(names)]

    def _sizes_at(self, stage: int) -> dict[str, int]:
        """The groups that make up the stream of a stage, and their sizes."""
        first = stage if self.shortcut == "projection" else 0
        return {f"stream{i + 1}": self.streams[i] for i in range(first, stage + 1)}

    def _stream_parts(self, stage: int) -> list[tuple[str, int]]:
        """The groups that make up the stream of a stage, and where each begins."""
        sizes = self._sizes_at(stage)
        starts = np.cumsum([0, *sizes.values()]).tolist()
        return list(zip(sizes, starts, strict=False))

    def _channels(self, stage: int) -> int:
        return sum(self._sizes_at(stage).values())

    def _map(self, stage: int) -> tuple[int, int]:
        """Height and width of the maps of a stage."""
        height, width = self.sample_shape[1:]
        return -(-height // 2**stage), -(-width // 2**stage)

    @property
    def n_features(self) -> int:  # noqa: D102
        return math.prod(self.sample_shape)

    @property
    def summary(self) -> str:  # noqa: D102
        image = "x".join(map(str, self.sample_shape))
        streams = "-".join(str(self._channels(stage)) for stage in range(N_STAGES))
        return f"{image}, ResNet-{self.depth} with {streams} channels, {self.n_classes} classes"

    @property
    def widest(self) -> int:  # noqa: D102
        sizes = [self._channels(stage) * math.prod(self._map(stage)) for stage in range(N_STAGES)]
        inner = [n * math.prod(self._map(b.stage)) for n, b in zip(self.blocks, self._blocks, strict=True)]
        return max(self.n_features, self.n_classes, *sizes, *inner)

    def make_records(self) -> list[TensorRecord]:  # noqa: D102
        records: list[TensorRecord] = []

        def convolution(layer: str, n_in: int, n_out: int, kernel_size: int, stage: int) -> None:
            shape = (n_out, n_in, *window(self.sample_shape[1:], kernel_size))
            records.append(TensorRecord(f"{layer}.weight", shape, positions=math.prod(self._map(stage))))
            kinds = {"scale": "scale", "shift": "shift", "mean": "buffer", "variance": "buffer"}
            records.extend(TensorRecord(f"{layer}.{name}", (n_out,), kind) for name, kind in kinds.items())

        convolution("stem", self.sample_shape[0], self._channels(0), 3, 0)
        for (name, stage, is_first), width in zip(self._blocks, self.blocks, strict=True):
            n_in, n_out = self._channels(stage - is_first), self._channels(stage)
            convolution(f"{name}.conv1", n_in, width, 3, stage)
            convolution(f"{name}.conv2", width, n_out, 3, stage)
            if is_first and self.shortcut == "projection":
                convolution(f"{name}.projection", n_in, n_out, 1, stage)
        n_flat = self._channels(N_STAGES - 1)
        records.append(TensorRecord("output.weight", (n_flat, self.n_classes), output_axis=1, is_output=True))
        records.append(TensorRecord("output.bias", (self.n_classes,), "bias", is_output=True))
        return records

    def make_groups(self) -> list[Group]:  # noqa: D102
        streams: dict[str, list[Slice]] = {f"stream{i + 1}": [] for i in range(N_STAGES)}
        order = ["stream1"]
        inner: dict[str, Group] = {}

        def written(layer: str, start: int = 0) -> list[Slice]:
            riders = [Slice(f"{layer}.{name}", 0, "rider", start=start) for name in _VECTORS]
            return [Slice(f"{layer}.weight", 0, "producer", start=start), *riders]

        def write_stream(layer: str, stage: int) -> None:
            for name, start in self._stream_parts(stage):
                streams[name] += written(layer, start)

        def read_stream(layer: str, stage: int, axis: int = 1) -> None:
            for name, start in self._stream_parts(stage):
                streams[name].append(Slice(f"{layer}.weight", axis, "consumer", start=start))

        write_stream("stem", 0)
        for (name, stage, is_first), width in zip(self._blocks, self.blocks, strict=True):
            first, second, projection = (f"{name}.{layer}" for layer in ("conv1", "conv2", "projection"))
            read_stream(first, stage - is_first)
            inner[first] = Group(first, width, (*written(first), Slice(f"{second}.weight", 1, "consumer")))
            order.append(first)
            if is_first:
                order.append(f"stream{stage + 1}")
            if is_first and self.shortcut == "projection":
                read_stream(projection, stage - 1)
                write_stream(projection, stage)
            write_stream(second, stage)
        read_stream("output", N_STAGES - 1, axis=0)
        sizes = dict(zip(streams, self.streams, strict=True))
        groups = inner | {n: Group(n, sizes[n], tuple(parts), is_residual=True) for n, parts in streams.items()}
        output = (Slice("output.weight", 1, "producer"), Slice("output.bias", 0, "rider"))
        return [*(groups[name] for name in order), Group("output", self.n_classes, output, is_output=True)]

    def make_normalisations(self) -> list[Normalisation]:  # noqa: D102
        layers = [record.layer for record in self.weights if not record.is_output]
        return [batch_normalisation(layer, f"{layer}.weight") for layer in layers]

    def with_widths(self, widths: Mapping[str, int]) -> Self:  # noqa: D102
        sizes = {name: widths.get(name, group.size) for name, group in self.groups.items()}
        return replace(
            self,
            streams=tuple(sizes[f"stream{i + 1}"] for i in range(N_STAGES)),
            blocks=tuple(sizes[f"{block.name}.conv1"] for block in self._blocks),
        )

    def constant_outputs(self, group: str, reader: str, tensors: Mapping[str, NDArray]) -> NDArray:  # noqa: D102
        if group in (f"{block.name}.conv1" for block in self._blocks):
            return np.maximum(normalised_zeros(tensors, group), 0)
        stage, values = 0, np.maximum(normalised_zeros(tensors, "stem"), 0)
        for block in self._blocks:
            if reader.startswith(f"{block.name}."):
                break
            shortcut = values
            if block.is_first and self.shortcut == "projection":
                shortcut = normalised_zeros(tensors, f"{block.name}.projection")
            elif block.is_first:
                shortcut = np.pad(values, (0, self._channels(block.stage) - len(values)))
            stage, values = block.stage, np.maximum(normalised_zeros(tensors, f"{block.name}.conv2") + shortcut, 0)
        start = dict(self._stream_parts(stage))[group]
        return values[start : start + self.groups[group].size]

    def fold_target(self, reader: str) -> tuple[str, int] | None:  # noqa: D102
        if reader == "output.weight":
            return "output.bias", 1
        is_padded = self.records[reader].shape[-1] > 1
        return None if is_padded else (reader.replace("weight", "mean"), -1)

    def initial(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Draw the tensors; see `prunelab.estimators.networks.layers.initial_tensors`."""
        return initial_tensors(self.records, seed, self.init)

    @property
    def is_piecewise_linear(self) -> bool:
        """In evaluation, where batch normalisation is linear."""
        return True

    def forward(  # noqa: D102
        self,
        tensors: Tensors,
        inputs: Tensor,
        *,
        training: bool = False,
        linear: bool = False,
        recorder: Recorder | None = None,
    ) -> Tensor:
        def convolution(layer: str, values: Tensor, stride: int = 1) -> Tensor:
            weight = tensors[f"{layer}.weight"]
            outputs = convolve(values, weight, None, "same", stride)
            if recorder is not None:
                patches = partial(
                    patches_of_maps, kernel_size=(weight.shape[2], weight.shape[3]), padding="same", stride=stride
                )
                outputs = recorder.layer(f"{layer}.weight", values, patches, outputs)
            if linear:
                return outputs
            normalised = batch_norm(outputs, tensors, layer, training)
            return normalised if recorder is None else recorder.normalised(layer, outputs, normalised)

        def activate(values: Tensor) -> Tensor:
            return values if linear else torch.relu_(values)

        def record_stream(values: Tensor, stage: int) -> None:
            if recorder is not None:
                parts = values.split(list(self._sizes_at(stage).values()), dim=1)
                for (name, _), part in zip(self._stream_parts(stage), parts, strict=True):
                    recorder.units(name, part)

        stream = activate(convolution("stem", channels_last(inputs.reshape(-1, *self.sample_shape))))
        record_stream(stream, 0)
        for name, stage, is_first in self._blocks:
            stride = 2 if is_first else 1
            inner = activate(convolution(f"{name}.conv1", stream, stride))
            if recorder is not None:
                recorder.units(f"{name}.conv1", inner)
            shortcut = stream
            if is_first and self.shortcut == "projection":
                shortcut = convolution(f"{name}.projection", stream, stride)
            elif is_first:
                shortcut = _padded(stream, self._channels(stage))
            stream = activate(convolution(f"{name}.conv2", inner) + shortcut)
            record_stream(stream, stage)
        pooled, weight = stream.mean((2, 3)), tensors["output.weight"]
        logits = torch.mm(pooled, weight) if linear else torch.addmm(tensors["output.bias"], pooled, weight)
        if recorder is not None:
            logits = recorder.layer("output.weight", pooled, one_position, logits)
        logits = logits.float() if logits.dtype == torch.bfloat16 else logits
        if recorder is not None:
            recorder.units("output", logits)
        return logits


_VECTORS = ("scale", "shift", "mean", "variance")


def blocks_per_stage(depth: int) -> int:
    """The n of a depth of 6n+2."""
    return (depth - 2) // (2 * N_STAGES)


def _padded(values: Tensor, channels: int) -> Tensor:
    """Every second position of maps (n, channels, height, width), and zeros in the channels that are new."""
    return functional.pad(values[:, :, ::2, ::2], (0, 0, 0, 0, 0, channels - values.shape[1]))
