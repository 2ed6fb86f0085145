"""The estimators' parameters: their defaults, and which values they can have.

Importing this module loads neither torch nor scikit-learn, so that a form can check what is typed into it.
"""

from __future__ import annotations

import numbers
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import PRECISIONS
from .messages import as_text
from .pruning.criteria import GRANULARITIES, NORMS, criterion_names
from .pruning.masks import ORDERS, SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SOLVERS = ("adam", "sgd")
REWINDING = ("rewind", "rewind-reinit", "rewind-shuffle")
SCHEDULES = (
    "one-shot",
    "iterative",
    "rewind",
    "rewind-reinit",
    "rewind-shuffle",
    "gradual",
    "before-training",
    "set",
    "rigl",
    "l1",
    "l0",
    "synaptic",
)
#: Parameters that only some schedules use.
USED_BY = {
    "n_rounds": ("iterative", *REWINDING),
    "rewind_step": REWINDING,
    "density_distribution": ("set", "rigl"),
}

#: Schedules that are about single weights.
OF_WEIGHTS = ("set", "rigl", "synaptic")

DENSITY_DISTRIBUTIONS = ("uniform", "erk")
INITS = ("uniform", "glorot")
LEARNING_RATES = ("constant", "cosine")
ACTIVATIONS = ("relu", "tanh", "logistic", "identity")

#: The defaults of `PrunedMLPClassifier`, as in its signature.
DEFAULTS: Mapping[str, Any] = {
    "hidden_layer_sizes": (1000, 1000, 500, 200),
    "activation": "relu",
    "solver": "adam",
    "alpha": 0.0,
    "batch_size": 100,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "momentum": 0.9,
    "max_iter": 20,
    "tol": 1e-4,
    "n_iter_no_change": 10,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "random_state": None,
    "verbose": False,
    "warm_start": False,
    "fit_intercept": False,
    "init": "uniform",
    "sparsity": 0.0,
    "criterion": "magnitude",
    "granularity": "weight",
    "scope": "layer",
    "norm": 2,
    "order": "smallest",
    "prune_output": False,
    "schedule": "one-shot",
    "fine_tune_iter": 0,
    "n_rounds": 5,
    "rewind_step": 0,
    "density_distribution": "erk",
    "device": "auto",
    "precision": "auto",
    "memory": None,
}

#: Parameters that a file (a model, a run) may set: numbers, flags and names from fixed lists. `memory` is not among
#: them, because a file that comes from elsewhere must not name a folder to read.
STORED = (
    "hidden_layer_sizes",
    "activation",
    "solver",
    "alpha",
    "batch_size",
    "learning_rate",
    "learning_rate_init",
    "momentum",
    "max_iter",
    "tol",
    "n_iter_no_change",
    "early_stopping",
    "validation_fraction",
    "random_state",
    "verbose",
    "warm_start",
    "fit_intercept",
    "init",
    "sparsity",
    "criterion",
    "granularity",
    "scope",
    "norm",
    "order",
    "prune_output",
    "schedule",
    "fine_tune_iter",
    "n_rounds",
    "rewind_step",
    "density_distribution",
    "device",
    "precision",
)


def _number(
    low: float, high: float = float("inf"), *, open_low: bool = False, open_high: bool = False, whole: bool = False
):
    """A check for a number in a range, and the words for it."""
    kind = numbers.Integral if whole else numbers.Real
    bounds = {
        (True, True): f"between {low:g} and {high:g}",
        (True, False): f"above {low:g}",
        (False, True): f"from {low:g} to below {high:g}",
        (False, False): f"from {low:g} to {high:g}",
    }[open_low, open_high]
    if high == float("inf"):
        bounds = f"above {low:g}" if open_low else f"of at least {low:g}"

    def check(value: Any) -> bool:
        if not isinstance(value, kind) or isinstance(value, (bool, np.bool_)):
            return False
        number = float(value)
        return (number > low if open_low else number >= low) and (number < high if open_high else number <= high)

    return check, f"a {'whole ' if whole else ''}number {bounds}"


def _one_of(choices: Sequence):
    words = ", ".join(dict.fromkeys(repr(choice) for choice in choices))
    return lambda value: not isinstance(value, (list, np.ndarray)) and value in choices, f"one of {words}"


def _flag(third: str = ""):
    """Yes, no, or a name for something between."""
    words = f"True, False or {third!r}" if third else "True or False"
    return (
        lambda value: value == third if third and isinstance(value, str) else isinstance(value, (bool, np.bool_)),
        words,
    )


def _seed():
    def check(value: Any) -> bool:
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return int(value) >= 0
        return value is None or isinstance(value, np.random.RandomState)

    return check, "a whole number of at least 0, a RandomState or None"


def _widths():
    def check(value: Any) -> bool:
        if not isinstance(value, (list, tuple, np.ndarray)):
            return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) > 0
        return all(isinstance(width, numbers.Integral) and int(width) > 0 for width in value)

    return check, "whole numbers above 0, such as (300, 100)"


_CHECKS = {
    "hidden_layer_sizes": _widths(),
    "activation": _one_of(ACTIVATIONS),
    "solver": _one_of(SOLVERS),
    "alpha": _number(0),
    "batch_size": _number(1, whole=True),
    "learning_rate": _one_of(LEARNING_RATES),
    "learning_rate_init": _number(0, open_low=True),
    "momentum": _number(0, 1, open_high=True),
    "max_iter": _number(1, whole=True),
    "tol": _number(float("-inf")),
    "n_iter_no_change": _number(1, whole=True),
    "early_stopping": _flag("measure"),
    "random_state": _seed(),
    "validation_fraction": _number(0, 1, open_low=True, open_high=True),
    "verbose": (lambda value: isinstance(value, (bool, numbers.Integral)), "True, False or a whole number"),
    "warm_start": _flag(),
    "fit_intercept": _flag(),
    "init": _one_of(INITS),
    "sparsity": _number(0, 1),
    "granularity": _one_of(GRANULARITIES),
    "scope": _one_of(SCOPES),
    "norm": (lambda value: not isinstance(value, np.ndarray) and value in (*NORMS, "inf"), "1, 2 or inf"),
    "order": _one_of(ORDERS),
    "prune_output": _flag("half"),
    "schedule": _one_of(SCHEDULES),
    "fine_tune_iter": _number(0, whole=True),
    "n_rounds": (
        lambda value: value == "auto" if isinstance(value, str) else _number(1, whole=True)[0](value),
        "a whole number of at least 1, or 'auto'",
    ),
    "rewind_step": _number(0, whole=True),
    "density_distribution": _one_of(DENSITY_DISTRIBUTIONS),
    "device": (
        lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", value) is not None,
        "'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'",
    ),
    "precision": _one_of(PRECISIONS),
    "memory": (
        lambda value: value is None or isinstance(value, (str, os.PathLike)) or hasattr(value, "location"),
        "a folder, a joblib.Memory or None",
    ),
}


def check_value(name: str, value: Any) -> None:
    """Raise ValueError, one sentence, if the parameter cannot have this value."""
    checks = {**_CHECKS, "criterion": _one_of(criterion_names())}
    if name in checks and not checks[name][0](value):
        raise ValueError(f"{name} must be {checks[name][1]}, got {as_text(value)}")


NOTHING_TO_PRUNE = "prune_output must be True without hidden layers: there is nothing else to prune"


def conflicts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """What does not go together, of values each of which is possible; those that are missing are the defaults.

    Returns
    -------
    dict of str to str
        A sentence for each parameter that would have to change; empty if all is well.
    """
    given = {**DEFAULTS, **parameters}
    schedule, found = given["schedule"], {}
    if given["sparsity"] > 0 and not has_prunable_layers(given):
        found["prune_output"] = NOTHING_TO_PRUNE
    if schedule == "one-shot":
        return found
    if given["warm_start"]:
        found["warm_start"] = f"warm_start goes with schedule='one-shot' only, got schedule={as_text(schedule)}"
    if given["early_stopping"] not in (False, "measure"):
        found["early_stopping"] = (
            f"early_stopping=True goes with schedule='one-shot' only, got schedule={as_text(schedule)}"
        )
    if schedule == "l0" and given["early_stopping"] == "measure":
        found["early_stopping"] = "early_stopping='measure' does not go with schedule='l0', whose gates would be noise"
    if schedule == "iterative" and given["fine_tune_iter"] < 1:
        found["fine_tune_iter"] = "fine_tune_iter must be at least 1 with schedule='iterative': it retrains every round"
    if schedule in OF_WEIGHTS and given["granularity"] != "weight":
        found["granularity"] = (
            f"granularity must be 'weight' with schedule={as_text(schedule)}, which is about single weights"
        )
    return found


def has_prunable_layers(parameters: Mapping[str, Any]) -> bool:
    """Whether the network has layers that are pruned, hidden ones or the output."""
    return bool(parameters["prune_output"]) or np.size(parameters["hidden_layer_sizes"]) > 0


def check_sparsities(sparsities: Sequence[float]) -> list[float]:
    """Numbers from 0 to 1, as a list of at least one; ValueError otherwise."""
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
