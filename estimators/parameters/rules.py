"""Values of parameters that do not go together, and the sentences that explain why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..messages import as_text
from ..networks.shapes import cell_sizes
from ..pruning.allocation import PATTERN_TOLERANCE, values_of
from ..pruning.criteria import SUMMED
from ..pruning.patterns import NOfM, parse_pattern
from ..schedules.catalogue import SCHEDULE_RECORDS, SHORT_FOR

NOTHING_TO_PRUNE = "prune_output must be True without hidden layers: there is nothing else to prune"


def conflicts_among(given: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for each parameter that would have to change; `given` has all parameters of the estimator."""
    found: dict[str, str] = {}
    for conflicts_of in (
        _network_conflicts,
        _schedule_conflicts,
        _ranking_conflicts,
        _control_conflicts,
        _retraining_conflicts,
        _allocation_conflicts,
        _pattern_conflicts,
    ):
        for name, sentence in conflicts_of(given).items():
            found.setdefault(name, sentence)
    return found


def _network_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    if "hidden_size" in given:
        try:
            cell_sizes(np.atleast_1d(given["hidden_size"]).tolist(), given["n_layers"], given["bidirectional"])
        except ValueError as error:
            return {"hidden_size": str(error)}
    return {}


def _schedule_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    schedule, found = given["schedule"], {}
    if max(values_of(given["sparsity"]), default=0) > 0 and not has_prunable_layers(given):
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
    if SCHEDULE_RECORDS[schedule].of_weights and given["granularity"] != "weight":
        found["granularity"] = (
            f"granularity must be 'weight' with schedule={as_text(schedule)}, which is about single weights"
        )
    return found


def has_prunable_layers(parameters: Mapping[str, Any]) -> bool:
    """Whether the network has layers that are pruned, hidden ones or the output."""
    return bool(parameters["prune_output"]) or _has_hidden_layers(parameters)


def _has_hidden_layers(parameters: Mapping[str, Any]) -> bool:
    listed = [parameters[name] for name in ("hidden_layer_sizes", "channels") if name in parameters]
    return not listed or sum(map(np.size, listed)) > 0


def _ranking_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    """Criteria that cannot rank this network, and choices that the criterion or the schedule cannot obey."""
    criterion, schedule, found = given["criterion"], given["schedule"], {}
    has_criterion = SCHEDULE_RECORDS[schedule].has_criterion
    by_unit = given["granularity"] == "unit"
    if given["per_output"]:
        others = {
            "granularity='unit'": by_unit,
            "scope='global'": given["scope"] == "global",
            "criterion='synflow'": criterion == "synflow",
            f"schedule={as_text(schedule)}": not has_criterion,
        }
        wrong = [other for other, is_so in others.items() if is_so]
        if wrong:
            found["per_output"] = (
                f"per_output=True ranks the weights into each unit by themselves, and does not go with {wrong[0]}"
            )
    if not has_criterion:
        return found
    if criterion == "apoz":
        if "cell" in given:
            found["criterion"] = (
                f"criterion='apoz' counts zeros, and the outputs of cell={as_text(given['cell'])} are never zero: use "
                "criterion='activation'"
            )
        elif _has_hidden_layers(given) and given.get("activation", "relu") != "relu":
            found["criterion"] = (
                f"criterion='apoz' counts zeros, and with activation={as_text(given['activation'])} there are none: "
                "use criterion='activation' or activation='relu'"
            )
        elif by_unit and given["prune_output"]:
            found["prune_output"] = (
                "prune_output must be False with criterion='apoz' and granularity='unit': "
                "the units of the output layer are never zero"
            )
    if criterion == "synflow" and "cell" in given:
        found["criterion"] = (
            "criterion='synflow' follows paths of absolute weights, which have no meaning through the gates and steps "
            f"of cell={as_text(given['cell'])}: use another criterion, such as 'magnitude' or 'snip'"
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
    elif control == "invert" and SCHEDULE_RECORDS[schedule].is_one_ended:
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
    if given.get("recalibrate") and "batch_norm" in given and not given["batch_norm"]:
        found["recalibrate"] = (
            "recalibrate must be False without batch_norm=True: there are no running statistics to measure again"
        )
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


def _allocation_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    """What does not go with a sparsity for each layer, or with shares of the layers."""
    found: dict[str, str] = {}
    distribution = given["distribution"]
    if isinstance(given["sparsity"], Mapping):
        if given["scope"] == "global":
            found["sparsity"] = "sparsity must be one number with scope='global', where the ranking divides it"
        if given["prune_output"] == "half":
            found["prune_output"] = (
                "prune_output must be True or False with a sparsity for each layer, the output layer included"
            )
        if distribution != "auto":
            found["distribution"] = "distribution must be 'auto' with a sparsity for each layer"
    elif distribution != "auto" and "distribution" not in SCHEDULE_RECORDS[given["schedule"]].parameters:
        if given["scope"] == "global":
            found["distribution"] = "distribution must be 'auto' with scope='global', where the ranking decides"
        elif distribution == "erk" and given["granularity"] != "weight":
            found["distribution"] = "distribution='erk' divides weights, and goes with granularity='weight' only"
    return found


def _pattern_conflicts(given: Mapping[str, Any]) -> dict[str, str]:
    """What does not go with weights that are removed in a pattern."""
    pattern, named = parse_pattern(given["pattern"]), f"pattern={as_text(given['pattern'])}"
    if pattern is None:
        return {}
    schedule = given["schedule"]
    shuffles = schedule == "rewind-shuffle" or SCHEDULE_RECORDS[schedule].of_weights
    wrong = {
        "granularity='unit'": given["granularity"] == "unit",
        "per_output=True": bool(given["per_output"]),
        f"schedule={as_text(schedule)}": shuffles,
        "control='shuffle'": given["control"] == "shuffle",
        "criterion='synflow'": given["criterion"] == "synflow",
    }
    if isinstance(pattern, NOfM):
        wrong |= {
            "scope='global'": given["scope"] == "global",
            "min_kept": given["min_kept"] > 0,
            f"distribution={as_text(given['distribution'])}": given["distribution"] != "auto",
            "prune_output='half'": given["prune_output"] == "half",
        }
    for other, is_so in wrong.items():
        if is_so:
            return {"pattern": f"{named} does not go with {other}: the pattern decides which single weights remain"}
    if isinstance(pattern, NOfM):
        values = [value for value in values_of(given["sparsity"]) if value > 0]
        if any(abs(value - pattern.sparsity) > PATTERN_TOLERANCE for value in values):
            return {
                "sparsity": f"sparsity must be 0 or {pattern.sparsity:.6g} with {named}, which fixes what it removes"
            }
    elif given["reduce"] == "norm" and given["criterion"] in SUMMED:
        return {"reduce": f"reduce must be 'sum' or 'auto' with criterion={as_text(given['criterion'])} and {named}"}
    return {}
