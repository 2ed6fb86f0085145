"""The parameters of the estimators, a record each, and the rules between them.

Loads neither torch nor scikit-learn, and no NumPy before a value is checked.

Validation, the command line, the lab's form, model files, runs and paths read the records, so that a parameter is
declared once. To add one:

1. `records`: a `Parameter` in the list of its kind. `record.Parameter` describes the fields; `values` has the kinds of
   values. A label gives it a field in the form, a help line an option, ``is_way=True`` several values in a sweep. A
   parameter that only some schedules use is named by them in `prunelab.estimators.schedules.catalogue`.
2. The constructor of each estimator that has it, with the same default. A test compares the two.
3. The code that uses it.

A rule between parameters ("X does not go with Y") is a sentence in `rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..messages import as_text
from .record import Parameter
from .records import RECORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DEFAULTS",
    "OF_PRUNING",
    "PARAMETERS",
    "STORED",
    "WAYS",
    "Parameter",
    "check_sparsities",
    "check_value",
    "conflicts",
    "defaults_of",
    "extreme_sparsities",
    "records_of",
    "with_present_names",
]

#: Every record by its name.
PARAMETERS: Mapping[str, Parameter] = {record.name: record for record in RECORDS}


def records_of(estimator: str) -> list[Parameter]:
    """The parameters that an estimator has."""
    return [record for record in RECORDS if estimator in record.estimators]


def defaults_of(estimator: str) -> dict[str, Any]:
    """The defaults of an estimator, as in its signature."""
    return {record.name: record.default_of(estimator) for record in records_of(estimator)}


#: The defaults of `PrunedMLPClassifier`.
DEFAULTS: Mapping[str, Any] = defaults_of("mlp")

#: Parameters that a file (a model, a run) may set: numbers, flags and names from fixed lists.
STORED = tuple(record.name for record in RECORDS if record.is_stored)

#: The parameters that define a way of pruning; experiments compare several values of them.
WAYS = tuple(record.name for record in RECORDS if record.is_way)

#: Parameters that may differ between networks pruned from the same dense training. The sparsity is given apart.
OF_PRUNING = tuple(record.name for record in RECORDS if record.kind == "pruning" and record.name != "sparsity")


def check_value(name: str, value: Any) -> None:
    """Raise ValueError, one sentence, if the parameter cannot have this value."""
    if name in PARAMETERS and not PARAMETERS[name].values.accepts(value):
        raise ValueError(f"{name} must be {PARAMETERS[name].values.description}, got {as_text(value)}")


def conflicts(parameters: Mapping[str, Any], estimator: str | None = "mlp") -> dict[str, str]:
    """What does not go together, of values each of which is possible.

    Parameters
    ----------
    parameters : mapping
    estimator : str or None
        Those that are missing are its defaults; None: none is missing.

    Returns
    -------
    dict of str to str
        A sentence for each parameter that would have to change; empty if all is well.
    """
    from .rules import conflicts_among  # loads NumPy

    return conflicts_among({**({} if estimator is None else defaults_of(estimator)), **parameters})


def with_present_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that an earlier version stored, by the names that they have now.

    Earlier versions had `density_distribution`, which only "set" and "rigl" used; its default is now part of "auto".
    """
    present = dict(parameters)
    earlier = present.pop("density_distribution", "erk")
    if earlier != "erk":
        present.setdefault("distribution", earlier)
    return present


def extreme_sparsities(sparsities: Sequence[float]) -> list[float]:
    """The largest and the smallest above 0: if both go with the other parameters, so do those between them."""
    return sorted({max(sparsities), min((value for value in sparsities if value > 0), default=0.0)})


def check_sparsities(sparsities: Sequence[float]) -> list[float]:
    """Numbers from 0 to 1, as a list of at least one; ValueError otherwise."""
    import numpy as np

    try:
        values = [float(sparsity) for sparsity in np.atleast_1d(np.asarray(sparsities, dtype=float))]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sparsities must be numbers from 0 to 1 and at least one, got {as_text(sparsities)}"
        ) from error
    wrong = [value for value in values if not 0 <= value <= 1]
    if not values or wrong:
        got = f"got {wrong[0]:g}" if wrong else "got none"
        raise ValueError(f"sparsities must be numbers from 0 to 1 and at least one, {got}")
    return values
