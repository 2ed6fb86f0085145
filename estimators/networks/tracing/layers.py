"""Layers with weights, and normalisations."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..sources import ModuleError
from .elementwise import combined
from .reductions import spread
from .tracer import Stored, Tracer, operation


@operation("linear")
def linear(tracer: Tracer, value: Any, weight: Any, bias: Any = None) -> Tensor:
    """``x @ W.T + b`` along the last axis."""
    outputs = _multiplied(tracer, tracer.along(tracer.labels(value), -1), weight, bias)
    return outputs.expand(*value.shape[:-1], len(outputs))


@operation("addmm")
def affine(tracer: Tracer, bias: Any, value: Any, weight: Any, **_: Any) -> Tensor:
    """``b + x @ W``."""
    return linear(tracer, value, _transposed(weight), bias)


@operation("matmul", "mm", "bmm")
def product(tracer: Tracer, some: Any, other: Any) -> Tensor:
    """With weights, a linear layer; of two activations, over units that cannot be pruned."""
    if isinstance(other, Stored) and len(other.shape) == 2:
        return linear(tracer, some, _transposed(other))
    a, b = tracer.labels(some), tracer.labels(other)
    tracer.mixes = True
    reason = "a product of activations computes over them"
    if a.ndim < 2 or b.ndim < 2:
        tracer.fix(a, reason)
        tracer.fix(b, reason)
        shape = torch.matmul(torch.empty(a.shape, device="meta"), torch.empty(b.shape, device="meta")).shape
        return torch.zeros(shape, dtype=torch.int64)
    for labels, axis in ((a, -1), (b, -2)):
        if (labels != labels.narrow(axis, 0, 1)).any():
            tracer.fix(labels, reason)
    rows, columns = a.narrow(-1, 0, 1), b.narrow(-2, 0, 1)
    shape = (*torch.broadcast_shapes(rows.shape[:-2], columns.shape[:-2]), a.shape[-2], b.shape[-1])
    return combined(tracer, rows, columns).expand(shape)


def _transposed(weight: Any) -> Stored:
    if not isinstance(weight, Stored) or len(weight.shape) != 2:
        raise ModuleError("the module multiplies with weights that it computes, which cannot be pruned by units")
    return Stored(weight.name, weight.shape[::-1], not weight.is_transposed)


def _multiplied(tracer: Tracer, inputs: Tensor, weight: Any, bias: Any) -> Tensor:
    """The units of a layer that reads some and has weights (out, in)."""
    if not isinstance(weight, Stored):
        raise ModuleError("the module multiplies with weights that it computes, which cannot be pruned by units")
    into, out = (0, 1) if weight.is_transposed else (1, 0)
    outputs = tracer.units.new(weight.shape[0])
    tracer.use(weight.name, into, "consumer", inputs)
    tracer.use(weight.name, out, "producer", outputs)
    _add(tracer, bias, outputs)
    return outputs


def _add(tracer: Tracer, vector: Any, labels: Tensor) -> None:
    """A number for each unit, such as a bias."""
    if isinstance(vector, Stored):
        tracer.use(vector.name, 0, "rider", labels)
    elif vector is not None:
        tracer.fix(labels, "their biases are computed")


@operation("conv1d", "conv2d", "conv3d")
def convolution(
    tracer: Tracer,
    value: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Filters (out, in / groups, ...) on maps (n, in, ...)."""
    labels = tracer.labels(value)
    kernel = getattr(torch.nn.functional, tracer.name)
    like = [torch.empty(tuple(part.shape), device="meta") for part in (labels, weight)]
    shape = kernel(*like, None, stride, padding, dilation, groups).shape
    return spread(_filters(tracer, tracer.along(labels, 1), weight, bias, groups), tuple(shape))


def _filters(tracer: Tracer, inputs: Tensor, weight: Any, bias: Any, groups: int) -> Tensor:
    if not isinstance(weight, Stored) or weight.is_transposed:
        raise ModuleError("the module convolves with weights that it computes, which cannot be pruned by units")
    if groups == 1:
        return _multiplied(tracer, inputs, weight, bias)
    n_out = weight.shape[0]
    if groups == len(inputs):  # depthwise: a filter belongs to the channel that it reads
        outputs = inputs.repeat_interleave(n_out // groups)
        tracer.use(weight.name, 0, "rider", outputs)
        _add(tracer, bias, outputs)
        tracer.mixes = True  # a path needs both, the filter and what it reads
        return outputs
    # The groups stay, and each loses as much: the i-th channels of all of them go together.
    inputs = inputs.reshape(groups, -1)
    tracer.units.unite(inputs, inputs[:1].expand_as(inputs))
    outputs = tracer.units.new(n_out // groups).repeat(groups)
    tracer.use(weight.name, 1, "consumer", inputs[0])
    tracer.use(weight.name, 0, "producer", outputs)
    _add(tracer, bias, outputs)
    tracer.mixes = True  # a filter reads only the channels of its group
    return outputs


@operation("batch_norm", "_native_batch_norm_legit_no_training", "instance_norm")
def batch_norm(tracer: Tracer, value: Any, *vectors: Any, **_: Any) -> Tensor:
    """Scale, shift, mean and variance of each channel."""
    labels = tracer.labels(value)
    channels = tracer.along(labels, 1)
    for vector in vectors[:4]:
        if isinstance(vector, Stored):
            tracer.use(vector.name, 0, "rider", channels)
    return spread(channels, tuple(labels.shape))


@operation("layer_norm", "rms_norm")
def layer_norm(tracer: Tracer, value: Any, *_: Any, **__: Any) -> Tensor:
    """Over the last axes."""
    labels = tracer.labels(value)
    tracer.fix(labels, f"{tracer.name} computes the statistics of a sample over them")
    return labels


@operation("group_norm")
def group_norm(tracer: Tracer, value: Any, n_groups: int, weight: Any = None, bias: Any = None, *_: Any) -> Tensor:
    """Over the channels of a group, or each channel by itself."""
    labels = tracer.labels(value)
    channels = tracer.along(labels, 1)
    if n_groups != len(channels):
        tracer.fix(channels, "group_norm computes the statistics of a sample over them")
    for vector in (weight, bias):
        _add(tracer, vector, channels)
    return spread(channels, tuple(labels.shape))


@operation("embedding")
def embedding(tracer: Tracer, weight: Any, index: Any, *_: Any, **__: Any) -> Tensor:
    """Rows of a table (n, units)."""
    if not isinstance(weight, Stored) or weight.is_transposed:
        raise ModuleError("the module looks up rows of a table that it computes, which cannot be pruned by units")
    outputs = tracer.units.new(weight.shape[1])
    tracer.use(weight.name, 1, "producer", outputs)
    return outputs.expand(*tracer.labels(index).shape, weight.shape[1])


@operation("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(tracer: Tracer, value: Any, _state: Any, weights: list[Any], _has_biases: bool, n_layers: int,
              _dropout: float, _train: bool, bidirectional: bool, batch_first: bool) -> Any:  # fmt: skip
    """What recurrent layers read can be pruned, their own units cannot."""
    labels = tracer.labels(value)
    inputs = tracer.along(labels, -1)
    directions = 1 + bidirectional
    per_layer = len(weights) // (n_layers * directions)
    for direction in range(directions):
        tracer.use(weights[direction * per_layer].name, 1, "consumer", inputs)
    tracer.mixes = True
    width = directions * weights[1].shape[1] if per_layer < 5 else directions * weights[per_layer - 1].shape[0]
    outputs = torch.zeros(*labels.shape[:-1], width, dtype=torch.int64)
    n_samples = labels.shape[0 if batch_first else 1] if labels.ndim == 3 else 1
    last = torch.zeros(n_layers * directions, n_samples, math.ceil(width / directions), dtype=torch.int64)
    return (outputs, last, last) if tracer.name == "lstm" else (outputs, last)
