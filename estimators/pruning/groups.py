"""Units: their scores, their masks, and tensors without them. Everything follows from the groups of a network.

See `prunelab.estimators.networks.base` for what a group is. Arrays travel as mappings from tensor names; units as
mappings from group names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from ..networks.base import Group, Network, Slice, TensorRecord

    Mask = NDArray[np.bool_]
    Arrays = Mapping[str, NDArray]


def owners(part: Slice, size: int, length: int) -> NDArray[np.intp]:
    """The unit that owns each position of a slice's axis; -1 where no unit of the group does.

    Parameters
    ----------
    part : Slice
    size : int
        Number of units of the group.
    length : int
        Of the axis.

    Returns
    -------
    ndarray of int, shape (length,)
    """
    owner = np.full(length, -1, dtype=np.intp)
    units = np.tile(np.repeat(np.arange(size), part.inner), part.blocks)
    owner[part.start : part.start + len(units)] = units
    return owner


def entries_of_units(group: Group, arrays: Mapping[str, Any], role: str = "producer") -> Any:
    """The entries of each unit in the slices of one role, shape (entries of a unit, size).

    Parameters
    ----------
    group : Group
    arrays : mapping of str to ndarray or Tensor
    role : str

    Returns
    -------
    ndarray or Tensor
        Of the kind of the arrays.
    """
    parts = [entries_of_slice(part, group.size, arrays[part.tensor]) for part in group.of_role(role)]
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


def entries_of_slice(part: Slice, size: int, array: Any) -> Any:
    """The entries of each unit in one slice, shape (entries of a unit, size)."""
    length = part.blocks * size * part.inner
    rows = array.swapaxes(part.axis, -1)[..., part.start : part.start + length]
    n = math.prod(rows.shape[:-1])  # not -1, which a group without units leaves open
    return rows.reshape(n, part.blocks, size, part.inner).swapaxes(2, 3).reshape(n * part.blocks * part.inner, size)


def summed_by_unit(figures: Any, part: Slice, group: Group) -> Any:
    """Figures of each position of a slice's axis, (n, length), summed for each unit of the group, (n, size)."""
    length = part.blocks * group.size * part.inner
    own = figures[:, part.start : part.start + length]
    return own.reshape(len(own), part.blocks, group.size, part.inner).sum((1, 3))


def slices_of_output(group: Group, network: Network) -> list[Slice]:
    """The slices that a factor on what layers put out to the units, before the activation, multiplies.

    Scale and shift of a layer whose outputs are normalised, and the incoming weights and the bias of others: incoming
    weights times a factor are normalised to the same outputs. Where several layers write the units, those of all.
    """
    producers = group.of_role("producer")
    written = {part.tensor for part in producers}
    normalisations = [n for n in network.normalisations.values() if n.weight in written]
    behind = {name for n in normalisations for name in (n.scale, n.shift)}
    before = {name for n in normalisations for name in (n.weight, n.bias)}
    biases = {record.name for record in network.records.values() if record.kind == "bias"} - before
    riders = [part for part in group.of_role("rider") if part.tensor in behind | biases]
    return [*(part for part in producers if part.tensor not in before), *riders]


def along_units(group: Group, part: Slice, figures: Any, shape: tuple[int, ...], default: float = 1.0) -> Any:
    """A figure for each unit, spread along the axis of a slice so that it broadcasts against the tensor.

    Parameters
    ----------
    group : Group
    part : Slice
    figures : ndarray or Tensor, shape (size,)
    shape : tuple of int
        Of the tensor.
    default : float, default=1.0
        Where no unit of the group owns the position.

    Returns
    -------
    ndarray or Tensor
        Of the kind of `figures`, with as many dimensions as the tensor.
    """
    owner = owners(part, group.size, shape[part.axis])
    if part.blocks == part.inner == 1 and len(owner) == group.size:
        spread = figures
    else:
        spread = figures[owner]  # of the last unit where there is no owner
        spread[owner < 0] = default
    return spread.reshape([-1 if axis == part.axis else 1 for axis in range(len(shape))])


def along_inputs(figures: NDArray, record: TensorRecord) -> NDArray:
    """A figure for each input of a layer, (fan_in,), in a shape that broadcasts against its weights."""
    if record.output_axis == len(record.shape) - 1:
        return figures.reshape(*record.shape[:-1], 1)
    return figures.reshape(1, *record.shape[1:])


def kept_positions(
    groups: Iterable[Group], kept: Mapping[str, Mask], records: Mapping[str, TensorRecord]
) -> dict[str, dict[int, Mask]]:
    """For each tensor and axis that loses units, which positions are kept.

    Parameters
    ----------
    groups : iterable of Group
    kept : mapping of str to ndarray of bool, each (size,)
        By the group's name; a group that is missing keeps all of its units.
    records : mapping of str to TensorRecord

    Returns
    -------
    dict of str to dict of int to ndarray of bool
        By tensor, then axis. Only what loses positions is in it.
    """
    positions: dict[str, dict[int, Mask]] = {}
    for group in groups:
        mask = kept.get(group.name)
        if mask is None or mask.all():
            continue
        for part in group.slices:
            length = records[part.tensor].shape[part.axis]
            owner = owners(part, group.size, length)
            stays = np.where(owner < 0, True, mask[owner])
            of_tensor = positions.setdefault(part.tensor, {})
            of_tensor[part.axis] = of_tensor.get(part.axis, True) & stays
    return positions


def masks_of_units(
    groups: Iterable[Group], kept: Mapping[str, Mask], records: Mapping[str, TensorRecord]
) -> dict[str, Mask]:
    """The masks of all tensors, True where no removed unit owns the entry.

    Parameters and errors are those of `kept_positions`.

    Returns
    -------
    dict of str to ndarray of bool
        One mask for every tensor, in its shape.
    """
    positions = kept_positions(groups, kept, records)
    masks = {}
    for name, record in records.items():
        mask = np.ones(record.shape, dtype=bool)
        for axis, stays in positions.get(name, {}).items():
            mask &= np.expand_dims(stays, tuple(i for i in range(mask.ndim) if i != axis))
        masks[name] = mask
    return masks


def without_units(
    groups: Iterable[Group], kept: Mapping[str, Mask], records: Mapping[str, TensorRecord], arrays: Arrays
) -> dict[str, NDArray]:
    """The tensors without the entries of removed units: smaller along each axis that loses some."""
    smaller = dict(arrays)
    for name, axes in kept_positions(groups, kept, records).items():
        for axis, stays in axes.items():
            smaller[name] = np.compress(stays, smaller[name], axis=axis)
    return smaller


def with_units(network: Network, wider: Network, arrays: Arrays) -> dict[str, NDArray]:
    """The tensors of a network with zeros, or False, for the last units of each group that only a wider one has.

    The inverse of `without_units`.
    """
    sizes = {group.name: network.groups[group.name].size for group in wider.hidden_groups}
    there = {group.name: np.arange(group.size) < sizes[group.name] for group in wider.hidden_groups}
    filled = {}
    positions = kept_positions(wider.hidden_groups, there, wider.records)
    for name, record in wider.records.items():
        axes = positions.get(name, {})
        places = [axes.get(axis, np.ones(length, bool)) for axis, length in enumerate(record.shape)]
        filled[name] = np.zeros(record.shape, arrays[name].dtype)
        filled[name][np.ix_(*places)] = arrays[name]
    return filled


def has_entries(group: Group, there: Mapping[str, Mask], role: str = "producer") -> Mask:
    """Which units have an entry that is there, shape (size,)."""
    return np.asarray(entries_of_units(group, there, role).any(axis=0))


def spread_units(group: Group, there: Mapping[str, Mask], units: Mask) -> Mask:
    """Some units, and those of the group that they lead to through recurrent weights, at once or later, (size,)."""
    inside = recurrent_tensors(group)
    parts = [part for part in group.of_role("producer") if part.tensor in inside]
    rows = [np.moveaxis(there[part.tensor], part.axis, 0).reshape(part.blocks, group.size, -1) for part in parts]
    links = np.asarray(np.concatenate(rows).any(axis=0)) if rows else np.zeros((group.size, group.size), bool)
    grown = units | links[:, units].any(axis=1)  # the rows are units that read others
    while (grown != units).any():
        units, grown = grown, grown | links[:, grown].any(axis=1)
    return units


def recurrent_tensors(group: Group) -> set[str]:
    """The tensors through which the units of a group read each other."""
    written, read = ({part.tensor for part in group.of_role(role)} for role in ("producer", "consumer"))
    return written & read


def clear_units(group: Group, there: Mapping[str, Mask], units: Mask, role: str) -> None:
    """Mark the entries of some units as not there, in place."""
    for part in group.of_role(role):
        set_entries(part, units, there[part.tensor], False)


def set_entries(part: Slice, units: Mask, mask: Mask, values: Mask | bool) -> None:
    """Set the entries of some units, (size,), in one slice to those of another mask or to one value, in place."""
    if not units.any():
        return
    places: slice | Mask
    if units.all():
        places = slice(part.start, part.start + part.blocks * len(units) * part.inner)
    else:
        owner = owners(part, len(units), mask.shape[part.axis])
        places = (owner >= 0) & units[owner]
    along_axis = np.moveaxis(mask, part.axis, 0)  # a view
    along_axis[places] = values if isinstance(values, bool) else np.moveaxis(values, part.axis, 0)[places]
