"""Operations that compute one value from several: pooling, means, softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .tracer import Tracer, operation
from .units import varies


@operation(
    *[
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "avg_pool1d",
        "avg_pool2d",
        "avg_pool3d",
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "_adaptive_avg_pool2d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_bilinear2d",
    ]
)
def pooled(tracer: Tracer, value: Any, *args: Any, **kwargs: Any) -> Any:
    """Each map by itself."""
    labels = tracer.labels(value)
    kernel = getattr(torch.ops.aten, tracer.name)
    found = kernel(torch.empty(labels.shape, device="meta"), *args, **kwargs)
    channels = tracer.along(labels, 1)
    outputs = [spread(channels, tuple(part.shape)) for part in (found if isinstance(found, tuple) else (found,))]
    return tuple(outputs) if isinstance(found, tuple) else outputs[0]


def spread(channels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Labels of channels as those of maps (n, channels, ...)."""
    return channels.reshape(1, -1, *(1,) * (len(shape) - 2)).expand(shape)


@operation("mean", "sum", "amax", "amin", "std", "var", "logsumexp", "max", "min")
def reduced(tracer: Tracer, value: Any, dim: Any = None, keepdim: bool = False, *_: Any, **__: Any) -> Any:
    """Over axes along which the units are the same."""
    labels = tracer.labels(value)
    if dim is None or (isinstance(dim, (list, tuple)) and not dim):
        dim = list(range(labels.ndim))
    axes = [axis % labels.ndim for axis in (dim if isinstance(dim, (list, tuple)) else [dim])]
    for axis in axes:
        if varies(labels, axis):
            tracer.fix(labels, f"{tracer.name} computes over them")
    for axis in sorted(axes, reverse=True):
        labels = labels.narrow(axis, 0, 1) if keepdim else labels.select(axis, 0)
    return (labels, labels) if tracer.name in ("max", "min") else labels


@operation(
    "softmax", "log_softmax", "_softmax", "_log_softmax", "_safe_softmax", "cumsum", "norm", "linalg_vector_norm"
)
def normalised(tracer: Tracer, value: Any, dim: int = -1, *_: Any, **__: Any) -> Tensor:
    """Along an axis along which the units are the same."""
    labels = tracer.labels(value)
    if varies(labels, dim):
        tracer.fix(labels, f"{tracer.name} computes over them")
    return labels
