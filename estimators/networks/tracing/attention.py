"""Scaled dot-product attention: a head is a unit."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .tracer import Tracer, operation
from .units import varies


@operation("scaled_dot_product_attention")
def attention(tracer: Tracer, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Tensor:
    """``softmax(q @ k.T / sqrt(d)) @ v`` for q, k, v of shape (..., positions, d); heads lie along an axis before.

    The entries of a head's queries, keys and values go together: the scale depends on how many they are.
    """
    tracer.mixes = True
    heads = [_of_heads(tracer, tracer.labels(part)) for part in (query, key, value)]
    queries, keys, values = heads
    for others in (keys, values):
        if others.shape[:-1] == queries.shape[:-1]:
            tracer.units.unite(queries[..., :1], others[..., :1])
        else:
            tracer.fix(queries, "their queries and keys are of different numbers")
            tracer.fix(others, "their queries and keys are of different numbers")
    positions = tracer.labels(query).shape[-2]
    return values.unsqueeze(-2).expand(*values.shape[:-1], positions, values.shape[-1])


def _of_heads(tracer: Tracer, labels: Tensor) -> Tensor:
    """Labels (..., d), the same at every position and for all entries of a head."""
    if varies(labels, labels.ndim - 2):
        tracer.units.unite(labels, labels.narrow(-2, 0, 1).expand_as(labels))
    labels = labels.select(-2, 0)
    tracer.units.unite(labels, labels[..., :1].expand_as(labels))
    return labels
