"""Operations that compute each value from those at the same place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .tracer import Stored, Tracer, operation
from .units import NO_UNIT, varies


@operation(
    *[
        "relu",
        "relu6",
        "gelu",
        "silu",
        "mish",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "hardswish",
        "tanh",
        "softsign",
        "tanhshrink",
        "softshrink",
        "hardshrink",
        "rrelu",
        "dropout",
        "feature_dropout",
        "native_dropout",
        "neg",
        "abs",
        "sign",
        "expm1",
        "log1p",
        "sqrt",
        "square",
        "erf",
        "sin",
        "atan",
        "floor",
        "round",
        "nan_to_num",
    ]
)
def each(tracer: Tracer, value: Any, *_: Any, **__: Any) -> Tensor:
    """A function of one value that keeps zeros."""
    return tracer.labels(value)


@operation("hardtanh", "clamp")
def clipped(tracer: Tracer, value: Any, low: Any = -1, high: Any = 1, *_: Any, **__: Any) -> Tensor:
    """A function that keeps zeros if they are in the range."""
    if (low is not None and low > 0) or (high is not None and high < 0):
        return shifted(tracer, value)
    return tracer.labels(value)


SHIFT_ZERO = """
    hardsigmoid sigmoid softplus logsigmoid log_sigmoid threshold alpha_dropout clamp_min clamp_max exp exp2 log log2
    rsqrt reciprocal cos logical_not bitwise_not isnan
""".split()  # noqa: SIM905


@operation(*SHIFT_ZERO)
def shifted(tracer: Tracer, value: Any, *_: Any, **__: Any) -> Tensor:
    """A function of one value that may turn zeros into something else."""
    labels = tracer.labels(value)
    tracer.shifted.append(labels)
    return labels


@operation("add", "sub", "rsub", "maximum", "minimum")
def summed(tracer: Tracer, some: Any, other: Any, *_: Any, **__: Any) -> Any:
    """Sums."""
    found = combined(tracer, some, other)
    if not isinstance(some, (Tensor, Stored)) or not isinstance(other, (Tensor, Stored)):
        tracer.shifted.append(found)
    return found


@operation("mul", "div", "pow", "true_divide", "atan2", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or",
           "fmod", "remainder", "floor_divide")  # fmt: skip
def multiplied(tracer: Tracer, some: Any, other: Any, *_: Any, **__: Any) -> Any:
    """Products: what reads them depends on both."""
    if _is_activation(some) and _is_activation(other):
        tracer.mixes = True
    found = combined(tracer, some, other)
    if tracer.name != "mul":
        tracer.shifted.append(found)
    return found


@operation("where")
def chosen(tracer: Tracer, condition: Any, some: Any, other: Any) -> Any:
    """One value or the other."""
    tracer.mixes = True
    found = combined(tracer, combined(tracer, some, other), condition)
    tracer.shifted.append(found)
    return found


@operation("masked_fill")
def filled(tracer: Tracer, value: Any, mask: Any, _: Any) -> Any:
    """Some values become a constant."""
    found = combined(tracer, value, mask)
    tracer.shifted.append(found)
    return found


@operation("prelu")
def leaky(tracer: Tracer, value: Any, weight: Any) -> Tensor:
    """A slope for each channel, or one for all."""
    labels, slopes = tracer.labels(value), tracer.labels(weight)
    if slopes.numel() == 1:
        return labels
    shape = [-1 if axis == 1 else 1 for axis in range(labels.ndim)]
    return combined(tracer, labels, slopes.reshape(shape))


def combined(tracer: Tracer, some: Any, other: Any) -> Any:
    """Values at the same places are of the same units, unless one of them is the same for several units.

    Parameters
    ----------
    tracer : Tracer
    some, other : Tensor of labels, Stored or number
    """
    if not isinstance(some, (Tensor, Stored)) or not isinstance(other, (Tensor, Stored)):
        if not isinstance(some, (Tensor, Stored)) and not isinstance(other, (Tensor, Stored)):
            raise TypeError("two numbers")
        return tracer.labels(some if isinstance(some, (Tensor, Stored)) else other)
    a, b = tracer.labels(some), tracer.labels(other)
    shape = torch.broadcast_shapes(a.shape, b.shape)
    a, b = (labels.reshape((1,) * (len(shape) - labels.ndim) + tuple(labels.shape)) for labels in (a, b))
    if not _is_wider(a, b) and _is_wider(b, a):
        a, b = b, a
    if _is_constant(b):
        for axis in range(len(shape)):
            if b.shape[axis] > 1 and varies(a, axis):
                tracer.fix(
                    a, "they are combined with features of the samples, or with constants, of their number", mixes=False
                )
        tracer.shifted.append(a)
        return a.expand(shape)
    if _is_wider(a, b):
        tracer.fix(b, "each is combined with several other units")
        return a.expand(shape)
    tracer.units.unite(a.expand(shape), b.expand(shape))
    return a.expand(shape)


def _is_wider(some: Tensor, other: Tensor) -> bool:
    """Whether the units of one lie along an axis along which the other is the same; constants are always narrower."""
    if _is_constant(other):
        return not _is_constant(some)
    return any(other.shape[axis] == 1 and varies(some, axis) for axis in range(some.ndim))


def _is_constant(labels: Tensor) -> bool:
    return bool((labels == NO_UNIT).all())


def _is_activation(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and not _is_constant(value)
