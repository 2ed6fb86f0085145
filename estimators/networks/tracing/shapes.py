"""Operations that move values or leave some out: labels are moved as the values are."""

from __future__ import annotations

from typing import Any

import torch

from .tracer import Stored, Tracer, no_unit, operation
from .units import varies

_MOVES = [
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "permute",
    "movedim",
    "squeeze",
    "unsqueeze",
    "expand",
    "select",
    "slice",
    "narrow",
    "chunk",
    "split",
    "split_with_sizes",
    "tensor_split",
    "unbind",
    "repeat",
    "roll",
    "flip",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "view_as",
    "expand_as",
    "unfold",
]


def _moves(name: str) -> Any:
    is_view = name in ("view", "_unsafe_view")  # labels that are expanded have no views
    function = torch.ops.aten.reshape if is_view else getattr(torch.ops.aten, name)

    def move(tracer: Tracer, value: Any, *args: Any, **kwargs: Any) -> Any:
        labels = [tracer.labels(part) if isinstance(part, Stored) else part for part in (value, *args)]
        return function(*labels, **kwargs)

    return move


for _name in _MOVES:
    if hasattr(torch.ops.aten, _name):
        operation(_name)(_moves(_name))


@operation("contiguous", "clone", "alias", "detach", "to", "_to_copy", "type_as", "lift_fresh_copy", "lift_fresh")
def unchanged(_: Tracer, value: Any, *__: Any, **___: Any) -> Any:
    """Copies, and changes of the precision."""
    return value


@operation("transpose", "t", "numpy_T", "mT")
def transposed(tracer: Tracer, value: Any, *axes: int) -> Any:
    """A matrix of weights stays one."""
    if isinstance(value, Stored) and len(value.shape) == 2:
        return Stored(value.name, value.shape[::-1], not value.is_transposed)
    labels = tracer.labels(value)
    return labels.transpose(*axes) if axes else labels.mT


@operation("cat", "concat")
def concatenated(tracer: Tracer, values: list[Any], dim: int = 0) -> torch.Tensor:
    """One after the other."""
    return torch.cat([tracer.labels(value) for value in values], dim)


@operation("stack")
def stacked(tracer: Tracer, values: list[Any], dim: int = 0) -> torch.Tensor:
    """Along a new axis."""
    return torch.stack([tracer.labels(value) for value in values], dim)


@operation("index_select")
def selected(tracer: Tracer, value: Any, dim: int, index: torch.Tensor) -> torch.Tensor:
    """Rows chosen by numbers that the labels do not have: they must be alike, but for the axis of the units."""
    labels = tracer.labels(value)
    tracer.fix(labels.movedim(dim, -1) if labels.ndim else labels, "they are chosen by their numbers")
    return labels.narrow(dim, 0, 1).expand(*(len(index) if axis == dim % labels.ndim else n for axis, n in
                                             enumerate(labels.shape)))  # fmt: skip


@operation("constant_pad_nd", "pad")
def padded(tracer: Tracer, value: Any, pad: list[int], *_: Any) -> torch.Tensor:
    """Around maps, whose positions have the same units; zeros in the place of units are none."""
    labels = tracer.labels(value)
    for place, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis = labels.ndim - 1 - place
        if before == after == 0:
            continue
        if not varies(labels, axis):
            shape = [n + before + after if i == axis else n for i, n in enumerate(labels.shape)]
            labels = labels.narrow(axis, 0, 1).expand(shape)
        else:
            labels = torch.constant_pad_nd(labels, [0, 0] * place + [before, after])
    return labels


@operation("sym_size", "sym_numel", "sym_stride", "sym_storage_offset", "size")
def size(_: Tracer, value: Any, *axes: int) -> Any:
    """Sizes are those of the example."""
    shape = value.shape
    return shape[axes[0]] if axes else list(shape)


@operation("sym_constrain_range", "sym_constrain_range_for_size", "_assert_scalar", "_assert_tensor_metadata",
           "_assert_async")  # fmt: skip
def checked(_: Tracer, *__: Any, **___: Any) -> None:
    """Checks compute nothing."""


@operation("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "empty_like", "new_empty")
def constant(tracer: Tracer, value: Any, *args: Any, **_: Any) -> torch.Tensor:
    """Constants."""
    sizes = args[0] if args and isinstance(args[0], (list, tuple)) else tracer.labels(value).shape
    return no_unit(torch.empty(tuple(sizes), device="meta"))
