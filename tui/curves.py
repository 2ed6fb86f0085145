"""The curves of a run: their names, by the rule of `prunelab.estimators.curves`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..estimators.curves import name_of
from ..estimators.parameters import DEFAULTS, WAYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .runs.spec import RunSpec

#: The column that `named_rows` adds.
CURVE = "curve"


def curve_name(row: Mapping[str, Any], spec: RunSpec) -> str:
    """The name of a point's curve: its values of the parameters that the run compares."""
    return name_of(row, [name for name in WAYS if len(spec.ways.get(name, ())) > 1])


def curve_names(spec: RunSpec) -> list[str]:
    """The names of all curves of a run, in their order."""
    defaults = {name: DEFAULTS[name] for name in WAYS}
    return list(dict.fromkeys(curve_name({**defaults, **variant}, spec) for variant in spec.variants))


def named_rows(rows: Iterable[Mapping[str, Any]], spec: RunSpec) -> list[dict[str, Any]]:
    """Rows of a run to be drawn: with the name of their curve, and NaN if the accuracy could not be measured.

    The names are the same from the first point on, not only once a second curve has points.
    """
    return [
        {**row, CURVE: curve_name(row, spec), "accuracy": math.nan if row["accuracy"] is None else row["accuracy"]}
        for row in rows
    ]
