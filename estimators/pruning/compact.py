"""A physically smaller network with the same outputs.

Masks alone save nothing: a product with zeros takes as long as any other. Units that no longer matter can be taken out
of the tensors, which does save time, memory and file size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .groups import clear_units, has_entries, owners, without_units

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
    next layer where this is exact (see `Network.fold_target`), and the unit stays otherwise. A unit whose outgoing
    weights are zero is not used.

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
    hidden = network.hidden_groups
    tensors = dict(tensors)
    nonzero = {record.name: tensors[record.name] != 0 for record in network.weights}
    kept: dict[str, NDArray[np.bool_]] = {}
    for group in hidden:  # forward: constants, and the constants that follow from them
        alive = has_entries(group, nonzero)
        if not alive.all():
            alive |= ~_fold_constants(network, group, tensors, alive)
            clear_units(group, nonzero, ~alive, "consumer")
        kept[group.name] = alive
    for group in reversed(hidden):  # backward: unused, and those that only they used
        used = has_entries(group, nonzero, "consumer")
        kept[group.name] &= used
        clear_units(group, nonzero, ~used, "producer")
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


def _fold_constants(
    network: Network, group: Group, tensors: dict[str, NDArray], alive: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Move what dead units add to the next layer into one of its tensors; return which units can be taken out."""
    constants = np.where(alive, 0, network.constant_outputs(group.name, tensors))
    if not constants.any():
        return ~alive
    target = network.fold_target(group.name)
    if target is None:
        return ~alive & (constants == 0)
    name, sign = target
    for part in group.of_role("consumer"):
        weight, output_axis = tensors[part.tensor], network.records[part.tensor].output_axis
        owner = owners(part, group.size, weight.shape[part.axis])
        factors = np.where(owner < 0, 0, constants[owner]).astype(weight.dtype)
        other_axes = tuple(axis for axis in range(weight.ndim) if axis not in (part.axis, output_axis))
        summed = weight.sum(axis=other_axes)
        added = factors @ (summed if part.axis < output_axis else summed.T)
        if added.any():
            tensors[name] = tensors.get(name, 0) + np.array(sign, weight.dtype) * added
    return ~alive
