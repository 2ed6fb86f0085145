"""Groups of units from the labels that passed through a graph."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..base import Group, Slice

# What passes labels through operations registers itself.
from . import attention, elementwise, layers, reductions, shapes  # noqa: F401
from .tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from ..base import TensorRecord
    from .export import Graph


_CLASSES = "they are the classes"


@dataclass(frozen=True)
class FixedUnits:
    """Units that cannot be pruned.

    Attributes
    ----------
    name : str
        Of the layer that computes them.
    size : int
    reason : str
    """

    name: str
    size: int
    reason: str


@dataclass(frozen=True)
class Found:
    """The units of a module.

    Attributes
    ----------
    groups : list of Group
        Those that can be pruned, and the classes, which are last.
    fixed : list of FixedUnits
    keep_zero : set of str
        The groups whose units, if zero before activations and the like, are zero behind them.
    is_connectivity_known : bool
        Whether units meet through weights and sums alone.
    """

    groups: list[Group] = field(default_factory=list)
    fixed: list[FixedUnits] = field(default_factory=list)
    keep_zero: set[str] = field(default_factory=set)
    is_connectivity_known: bool = False


class _Axis(NamedTuple):
    """The units along an axis of a tensor, as numbers."""

    tensor: str
    axis: int
    role: str
    units: NDArray[np.int64]


def find_groups(graph: Graph, records: Mapping[str, TensorRecord], output_layer: str, example: Tensor) -> Found:
    """The groups of units of a module.

    Parameters
    ----------
    graph : Graph
    records : mapping of str to TensorRecord
    output_layer : str
        Its units are the classes.
    example : Tensor

    Raises
    ------
    ModuleError
        If the graph has an operation that is not known.
    """
    tracer = Tracer(graph, {name: record.shape for name, record in records.items()}, example)
    outputs = [use for use in tracer.uses if records[use.tensor].is_output and use.role != "consumer"]
    classes = [*(use.labels for use in outputs), tracer.output]
    for labels in classes:
        tracer.fix(labels, _CLASSES, mixes=False)
    roots, reasons = tracer.units.resolve()
    reasons |= dict.fromkeys((unit for labels in classes for unit in roots[labels.numpy()].ravel().tolist()), _CLASSES)
    axes, mixed = _axes(tracer, roots)
    for unit in mixed:
        reasons.setdefault(unit, "they lie along several axes of one tensor")
    groups, fixed = _groups(axes, reasons, roots[0])
    last = [Slice(use.tensor, use.axis, use.role) for use in outputs]
    n_classes = max([len(use.labels) for use in outputs], default=0)
    shifted = {unit for labels in tracer.shifted for unit in np.unique(roots[labels.numpy()]).tolist()}
    units_of = {(along.tensor, along.axis): along.units for along in axes}
    keep_zero = {group.name for group in groups if shifted.isdisjoint(units_of[group.slices[0][:2]].tolist())}
    is_known = not tracer.mixes and not fixed
    return Found([*groups, Group(output_layer, n_classes, tuple(last), is_output=True)], fixed, keep_zero, is_known)


def _axes(tracer: Tracer, roots: NDArray[np.int64]) -> tuple[list[_Axis], list[int]]:
    """The units along the axes of all tensors, and those that are along several."""
    axes = [_Axis(use.tensor, use.axis, use.role, roots[use.labels.numpy()]) for use in tracer.uses]
    mixed: list[int] = []
    counts = np.bincount(roots)
    for name, labels in tracer.elements.items():
        units = roots[labels.numpy()]
        if (counts[units] == 1).all():  # of its own alone
            continue
        varying = [axis for axis in range(units.ndim) if (units != np.take(units, [0], axis)).any()]
        if len(varying) == 1:
            others = tuple(0 if axis not in varying else slice(None) for axis in range(units.ndim))
            axes.append(_Axis(name, varying[0], "rider", units[others]))
        else:
            mixed += np.unique(units).tolist()
    return axes, mixed


def _groups(axes: list[_Axis], reasons: Mapping[int, str], no_unit: np.int64) -> tuple[list[Group], list[FixedUnits]]:
    """Units with the same places in the same tensors are a group, if a layer computes them."""
    places: dict[int, list[tuple[int, NDArray[np.int64]]]] = defaultdict(list)
    for number, along in enumerate(axes):
        order = np.argsort(along.units, kind="stable")
        units, starts = np.unique(along.units[order], return_index=True)
        for unit, positions in zip(units.tolist(), np.split(order, starts[1:]), strict=True):
            if unit != no_unit:
                places[unit].append((number, positions))
    alike: dict[tuple, list[int]] = defaultdict(list)
    for unit, found in places.items():
        if any(axes[number].role == "producer" for number, _ in found):
            reason = reasons.get(unit, "")
            alike[reason, *((number, len(positions)) for number, positions in found)].append(unit)
    groups, fixed, names = [], [], set()
    for (reason, *signature), units in sorted(alike.items(), key=lambda item: item[0][1][0]):
        first = next(axes[number] for number, _ in signature if axes[number].role == "producer")
        name = _name(first.tensor, names)
        numbers = {unit: dict(places[unit]) for unit in units}
        order = sorted(units, key=lambda unit: numbers[unit][signature[0][0]][0])
        slices = [_slice(axes[number], [numbers[unit][number] for unit in order]) for number, _ in signature]
        kept = tuple(part for part in slices if part is not None)
        if reason == "" and len(kept) < len(slices):
            reason = "they do not lie in the same order in all of their tensors"
        if reason == "" and not any(part.role == "consumer" for part in kept):
            reason = "no layer reads them"
        if reason == _CLASSES:
            continue
        if reason:
            fixed.append(FixedUnits(name, len(units), reason))
        else:
            groups.append(Group(name, len(units), kept))
    return groups, fixed


def _name(tensor: str, taken: set[str]) -> str:
    """The name of the layer that a tensor of weights belongs to, with a number if it is taken."""
    name = layer_of(tensor)
    names = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    found = next(candidate for candidate in names if candidate not in taken)
    taken.add(found)
    return found


def layer_of(tensor: str) -> str:
    """The name of the layer of a tensor: without the last part, such as ``.weight``."""
    return tensor.rpartition(".")[0] or tensor


def _slice(along: _Axis, positions: list[NDArray[np.int64]]) -> Slice | None:
    """The slice that these units, in this order, own along an axis; None if they lie in another order."""
    own = np.stack(positions)
    first = own[0]
    inner = next((k for k in range(1, len(first)) if first[k] != first[0] + k), len(first))
    blocks, size, start = len(first) // inner, len(own), int(first[0])
    expected = (
        start + np.arange(size)[:, None, None] * inner + np.arange(blocks)[:, None] * size * inner + np.arange(inner)
    ).reshape(size, -1)
    if expected.shape != own.shape or not np.array_equal(expected, own):
        return None
    return Slice(along.tensor, along.axis, along.role, blocks, inner, start)
