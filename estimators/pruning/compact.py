"""A physically smaller network with the same outputs.

Masks alone save nothing: a product with zeros takes as long as any other. Units that no longer matter can be taken out
of the tensors, which does save time, memory and file size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .connectivity import connected_entries
from .groups import (
    clear_units,
    entries_of_slice,
    has_entries,
    owners,
    recurrent_tensors,
    spread_units,
    without_units,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..networks.base import Group, Network


class Compact(NamedTuple):
    """A smaller network, its tensors, and for each hidden group which units are left of the larger one."""

    network: Network
    tensors: dict[str, NDArray]
    kept: dict[str, NDArray[np.bool_]]


def compact(network: Network, tensors: Mapping[str, NDArray]) -> Compact:
    """Take out every hidden unit whose output is constant or not used.

    A unit whose incoming weights are zero has a constant output. If that is not zero it is added to a tensor of the
    layers that read it where this is exact (see `Network.fold_target`), and the unit stays otherwise. A unit is not
    used if no path leads from it to the output. Units of a residual stream go if that holds for all that write and
    read it.

    Parameters
    ----------
    network : Network
    tensors : mapping of str to ndarray
        Zeros where pruned; they are not changed.

    Returns
    -------
    Compact
        The network and the arrays passed in themselves where nothing could be taken out.
    """
    tensors = dict(tensors)
    nonzero = {record.name: tensors[record.name] != 0 for record in network.weights}
    gone = _take_out_constants(network, tensors, nonzero)
    used = connected_entries(network, nonzero, "output")
    kept = {g.name: ~gone[g.name] & has_entries(g, used, "consumer") for g in network.hidden_groups}
    for units in kept.values():
        units[: 0 if units.any() else network.smallest_group] = True  # it is zero, or nothing reads it
    if all(units.all() for units in kept.values()):
        return Compact(network, tensors, kept)
    if tensors.keys() != network.records.keys():  # constants have made a bias necessary
        network = network.with_biases()
        dtype = next(iter(tensors.values())).dtype
        others = {n: np.zeros(r.shape, dtype) for n, r in network.records.items() if n not in tensors}
        tensors = {**others, **tensors}
    smaller = without_units(network.hidden_groups, kept, network.records, tensors)
    widths = {name: int(np.count_nonzero(units)) for name, units in kept.items()}
    return Compact(network.with_widths(widths), smaller, kept)


def _take_out_constants(
    network: Network, tensors: dict[str, NDArray], nonzero: Mapping[str, NDArray[np.bool_]]
) -> dict[str, NDArray[np.bool_]]:
    """Move what units without inputs add to others into other tensors; return which units can be taken out.

    Their outgoing weights are marked as zero, so that units behind them lose their inputs in turn.
    """
    gone = {group.name: np.zeros(group.size, dtype=bool) for group in network.hidden_groups}
    is_new = True
    while is_new:
        is_new = False
        for group in network.hidden_groups:
            dead = _without_inputs(network, group, tensors, nonzero) & ~gone[group.name]
            if dead.any() and (found := _fold_constants(network, group, tensors, dead)).any():
                clear_units(group, nonzero, found, "consumer")
                gone[group.name] |= found
                is_new = True
    return gone


def _without_inputs(
    network: Network, group: Group, tensors: Mapping[str, NDArray], nonzero: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """The units of a group that nothing leads to. Those of a recurrent cell may lead to each other.

    With biases, the output of such units of a cell changes from step to step: only those that stay zero are among them.
    """
    inside = recurrent_tensors(group)
    if not inside:
        return ~has_entries(group, nonzero)
    outside = [part for part in group.of_role("producer") if part.tensor not in inside]
    moved = [entries_of_slice(part, group.size, nonzero[part.tensor]).any(axis=0) for part in outside]
    moved += [network.constant_outputs(group.name, name, tensors) != 0 for name in inside]
    return ~spread_units(group, nonzero, np.logical_or.reduce(moved))


def _fold_constants(
    network: Network, group: Group, tensors: dict[str, NDArray], dead: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Move what dead units add to layers into tensors of these; return the units for which that is exact."""
    folds, exact = [], dead.copy()
    for part in group.of_role("consumer"):
        constants = np.where(dead, network.constant_outputs(group.name, part.tensor, tensors), 0)
        if not constants.any():
            continue
        target = network.fold_target(part.tensor)
        if target is not None:
            folds.append((part, constants, *target))
        else:
            is_read = entries_of_slice(part, group.size, tensors[part.tensor] != 0).any(axis=0)
            exact &= (constants == 0) | ~is_read
    for part, constants, name, sign in folds:
        weight, output_axis = tensors[part.tensor], network.records[part.tensor].output_axis
        owner = owners(part, group.size, weight.shape[part.axis])
        factors = np.where(owner < 0, 0, np.where(exact, constants, 0)[owner]).astype(weight.dtype)
        other_axes = tuple(axis for axis in range(weight.ndim) if axis not in (part.axis, output_axis))
        summed = weight.sum(axis=other_axes)
        added = factors @ (summed if part.axis < output_axis else summed.T)
        if added.any():
            tensors[name] = tensors.get(name, 0) + np.array(sign, weight.dtype) * added
    return exact
