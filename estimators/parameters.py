"""The estimators' parameters: their defaults, and which values they can have.

Importing this module loads neither torch nor scikit-learn, so that a form can check what is typed into it.
"""

from __future__ import annotations

import math
import numbers
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import PRECISIONS
from .messages import as_text
from .pruning.criteria import (
    GRANULARITIES,
    NORMALIZATIONS,
    NORMS,
    REDUCTIONS,
    SUMMED,
    criterion_names,
)
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
#: Schedules that are short for "rewind" with a control.
SHORT_FOR = {"rewind-reinit": ("rewind", "reinit"), "rewind-shuffle": ("rewind", "shuffle")}

#: Parameters that only some schedules use.
USED_BY = {
    "n_rounds": ("iterative", *REWINDING),
    "rewind_step": REWINDING,
    "density_distribution": ("set", "rigl"),
}

#: Schedules that are about single weights.
OF_WEIGHTS = ("set", "rigl", "synaptic")

#: Schedules that choose what to remove in their own way, whatever the criterion.
WITHOUT_CRITERION = ("set", "rigl", "l0", "synaptic")

#: Schedules that drive what they remove to zero, so that there is no other end of the ranking to keep.
ONE_ENDED = (*WITHOUT_CRITERION, "l1")

#: Schedules that prune while training and need all of its epochs: they are not stopped by `tol`.
TRAINED_TO_THE_END = ("gradual", "set", "rigl", "l1", "l0", "synaptic")

CONTROLS = ("none", "shuffle", "reinit", "invert")
DENSITY_DISTRIBUTIONS = ("uniform", "erk")
FINE_TUNE_SCHEDULES = ("auto", "constant", "cosine", "rewind")
INITS = ("uniform", "glorot")
LEARNING_RATES = ("constant", "cosine")
PADDINGS = ("valid", "same")
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
    "reduce": "auto",
    "normalize": "auto",
    "per_output": False,
    "order": "smallest",
    "prune_output": False,
    "schedule": "one-shot",
    "control": "none",
    "fine_tune_iter": 0,
    "fine_tune_learning_rate": None,
    "fine_tune_schedule": "auto",
    "n_rounds": 5,
    "rewind_step": 0,
    "density_distribution": "erk",
    "device": "auto",
    "precision": "auto",
    "memory": None,
}

#: Parameters of convolutional networks, which a model file may set, too.
CONVOLUTIONAL = ("channels", "kernel_size", "pooling", "padding", "batch_norm", "sample_shape")

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
    "reduce",
    "normalize",
    "per_output",
    "order",
    "prune_output",
    "schedule",
    "control",
    "fine_tune_iter",
    "fine_tune_learning_rate",
    "fine_tune_schedule",
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
        try:
            number = float(value)
        except OverflowError:
            return False
        is_inside = (number > low if open_low else number >= low) and (number < high if open_high else number <= high)
        return is_inside and math.isfinite(number)

    return check, f"a {'whole ' if whole else 'finite ' if high == float('inf') else ''}number {bounds}"


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


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


#: Wider layers are no network that a machine could hold, and overflow NumPy's arithmetic of sizes.
MAX_WIDTH = 10**9


def _widths():
    def check(value: Any) -> bool:
        if not isinstance(value, (list, tuple, np.ndarray)):
            return isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 < int(value) <= MAX_WIDTH
        return all(isinstance(width, numbers.Integral) and 0 < int(width) <= MAX_WIDTH for width in value)

    return check, f"whole numbers from 1 to {MAX_WIDTH:,}, such as (300, 100)"


def _sample_shape():
    def check(value: Any) -> bool:
        is_shape = isinstance(value, (list, tuple, np.ndarray)) and len(value) in (2, 3)
        return value is None or (is_shape and _widths()[0](value))

    return check, "None, or a height and width, or channels, height and width"


_CHECKS = {
    "hidden_layer_sizes": _widths(),
    "channels": _widths(),
    "kernel_size": _number(1, MAX_WIDTH, whole=True),
    "pooling": _number(1, MAX_WIDTH, whole=True),
    "padding": _one_of(PADDINGS),
    "batch_norm": _flag(),
    "sample_shape": _sample_shape(),
    "activation": _one_of(ACTIVATIONS),
    "solver": _one_of(SOLVERS),
    "alpha": _number(0),
    "batch_size": _number(1, whole=True),
    "learning_rate": _one_of(LEARNING_RATES),
    "learning_rate_init": _number(0, open_low=True),
    "momentum": _number(0, 1, open_high=True),
    "max_iter": _number(1, whole=True),
    "tol": (lambda value: _is_real(value) and not math.isnan(value), "a number"),  # infinite: never, or at once
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
    "reduce": _one_of(REDUCTIONS),
    "normalize": _one_of(NORMALIZATIONS),
    "per_output": _flag(),
    "order": _one_of(ORDERS),
    "prune_output": _flag("half"),
    "schedule": _one_of(SCHEDULES),
    "control": _one_of(CONTROLS),
    "fine_tune_iter": _number(0, whole=True),
    "fine_tune_learning_rate": (
        lambda value: value is None or _number(0, open_low=True)[0](value),
        "None or a number above 0",
    ),
    "fine_tune_schedule": _one_of(FINE_TUNE_SCHEDULES),
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
    found: dict[str, str] = {}
    for conflicts_of in (_schedule_conflicts, _ranking_conflicts, _control_conflicts, _retraining_conflicts):
        for name, sentence in conflicts_of(given).items():
            found.setdefault(name, sentence)
    return found


def _schedule_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
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
    return bool(parameters["prune_output"]) or _has_hidden_layers(parameters)


def _has_hidden_layers(parameters: Mapping[str, Any]) -> bool:
    return np.size(parameters["hidden_layer_sizes"]) + np.size(parameters.get("channels", ())) > 0


def _ranking_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    """Criteria that cannot rank this network, and choices that the criterion or the schedule cannot obey."""
    criterion, schedule, found = given["criterion"], given["schedule"], {}
    by_unit = given["granularity"] == "unit"
    if given["per_output"]:
        others = {
            "granularity='unit'": by_unit,
            "scope='global'": given["scope"] == "global",
            "criterion='synflow'": criterion == "synflow",
            f"schedule={as_text(schedule)}": schedule in WITHOUT_CRITERION,
        }
        wrong = [other for other, is_so in others.items() if is_so]
        if wrong:
            found["per_output"] = (
                f"per_output=True ranks the weights into each unit by themselves, and does not go with {wrong[0]}"
            )
    if schedule in WITHOUT_CRITERION:
        return found
    if criterion == "apoz":
        if _has_hidden_layers(given) and given["activation"] != "relu":
            found["criterion"] = (
                f"criterion='apoz' counts zeros, and with activation={as_text(given['activation'])} there are none: "
                "use criterion='activation' or activation='relu'"
            )
        elif by_unit and given["prune_output"]:
            found["prune_output"] = (
                "prune_output must be False with criterion='apoz' and granularity='unit': "
                "the units of the output layer are never zero"
            )
    if by_unit and given["reduce"] == "norm" and criterion in SUMMED:
        reason = "the flow through a unit is a sum" if criterion == "synflow" else "a norm would lose the signs"
        found["reduce"] = f"reduce must be 'sum' or 'auto' with criterion={as_text(criterion)}: {reason}"
    if by_unit and given["scope"] == "global" and criterion == "synflow" and given["normalize"] in ("mean", "max"):
        found["normalize"] = (
            "normalize must be 'none' or 'auto' with criterion='synflow': the flow through every layer is the same sum"
        )
    return found


def _control_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    control, schedule, found = given["control"], given["schedule"], {}
    if control == "none":
        return found
    if schedule in SHORT_FOR:
        name, its_control = SHORT_FOR[schedule]
        found["control"] = (
            f"control must be 'none' with schedule={as_text(schedule)}, which is short for schedule={as_text(name)} "
            f"with control={as_text(its_control)}"
        )
    elif control == "invert" and schedule in ONE_ENDED:
        found["control"] = (
            f"control='invert' does not go with schedule={as_text(schedule)}, which drives to zero what it removes: "
            "use control='shuffle' or 'reinit'"
        )
    elif control == "invert" and given["criterion"] == "random":
        found["control"] = "control='invert' does not go with criterion='random': its other end is random, too"
    if given["warm_start"] and control != "invert":
        found["warm_start"] = f"warm_start goes with control='none' or 'invert', got control={as_text(control)}"
    if control == "reinit" and given["early_stopping"] not in (False, "measure"):
        found["early_stopping"] = "early_stopping=True does not go with control='reinit', which trains a second time"
    return found


def _retraining_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    if given["fine_tune_schedule"] != "rewind":
        return found
    if given["fine_tune_learning_rate"] is not None:
        found["fine_tune_learning_rate"] = (
            "fine_tune_learning_rate must be None with fine_tune_schedule='rewind', which repeats the rates of training"
        )
    if given["fine_tune_iter"] > given["max_iter"]:
        found["fine_tune_iter"] = (
            f"fine_tune_iter must be at most max_iter={given['max_iter']} with fine_tune_schedule='rewind', which "
            f"repeats the last epochs' rates, got {given['fine_tune_iter']}"
        )
    return found


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
