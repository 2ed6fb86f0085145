"""Groups of units that a module declares itself, in a method `unit_groups`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .base import Group, Slice
from .sources import ModuleError

if TYPE_CHECKING:
    from .base import TensorRecord

_LAYOUT = ("blocks", "inner", "start")


def declared_groups(declared: Any, records: Mapping[str, TensorRecord], output_layer: str) -> list[Group]:
    """The groups that a module declares, and the classes.

    Parameters
    ----------
    declared : mapping of str to list of tuple
        For each group, where its units lie: ``(tensor, axis)``, or ``(tensor, axis, {"blocks": ..., "inner": ...,
        "start": ...})``; see `Slice`. Of weights, the axis of the outputs is what computes the units, and the other
        one what reads them.
    records : mapping of str to TensorRecord
    output_layer : str

    Raises
    ------
    ModuleError
        If it is something else, or names tensors that there are not.
    """
    if not isinstance(declared, Mapping) or not all(isinstance(name, str) and name for name in declared):
        raise ModuleError("unit_groups() must return a dict from names of groups to lists of (tensor, axis)")
    groups = []
    for name, places in declared.items():
        slices = [_slice(name, place, records) for place in places]
        sizes = {_size(name, part, records[part.tensor]) for part in slices}
        if len(sizes) != 1:
            found = ", ".join(map(str, sorted(sizes))) or "none"
            raise ModuleError(f"unit_groups() must give as many units in all places of {name!r}, got {found}")
        if {part.role for part in slices} < {"producer", "consumer"}:
            raise ModuleError(f"unit_groups() must name weights that compute the units of {name!r}, and that read them")
        groups.append(Group(name, sizes.pop(), tuple(slices)))
    outputs = [record for record in records.values() if record.is_output]
    slices = [Slice(r.name, r.output_axis, "producer" if r.kind == "weight" else "rider") for r in outputs]
    n_classes = max([record.shape[record.output_axis] for record in outputs], default=0)
    return [*groups, Group(output_layer, n_classes, tuple(slices), is_output=True)]


def _slice(group: str, place: Any, records: Mapping[str, TensorRecord]) -> Slice:
    is_place = isinstance(place, (tuple, list)) and len(place) in (2, 3)
    tensor, axis, layout = cast("tuple[Any, Any, Any]", (*place, {})[:3]) if is_place else ("", 0, {})
    record = records.get(tensor) if isinstance(tensor, str) else None
    if record is None or not isinstance(axis, int) or not 0 <= axis < len(record.shape):
        raise ModuleError(
            f"unit_groups() must name tensors of the module and their axes, such as ('conv1.weight', 0), and has "
            f"{place!r} in {group!r}"
        )
    if not isinstance(layout, Mapping) or not set(layout) <= set(_LAYOUT):
        raise ModuleError(f"unit_groups() knows {', '.join(_LAYOUT)} of a place, and has {layout!r} in {group!r}")
    role = "rider"
    if record.kind == "weight" and len(record.shape) > 1:
        role = "producer" if axis == record.output_axis else "consumer"
    return Slice(tensor, axis, role, **layout)


def _size(group: str, part: Slice, record: TensorRecord) -> int:
    """How many units there are along the axis: all that follow the start, unless others do."""
    size, rest = divmod(record.shape[part.axis] - part.start, part.blocks * part.inner)
    if rest or size < 1:
        raise ModuleError(f"unit_groups() has a place of {group!r} that does not divide the axis of {part.tensor!r}")
    return size
