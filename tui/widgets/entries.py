"""The fields of the lab's form as data: what each is called, what it can hold, and how that is read and written."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...estimators.backend import PRECISIONS
from ...estimators.data.datasets import dataset_names, describe_datasets
from ...estimators.data.source import DataOptions
from ...estimators.parameters import (
    CONTROLS,
    DEFAULTS,
    DENSITY_DISTRIBUTIONS,
    FINE_TUNE_SCHEDULES,
    SCHEDULES,
    USED_BY,
)
from ...estimators.presets import ORIGINAL_SPARSITIES, WAYS
from ...estimators.pruning.criteria import GRANULARITIES, NORMALIZATIONS, NORMS, REDUCTIONS, criterion_names
from ...estimators.pruning.masks import ORDERS, SCOPES
from ...estimators.studies.catalogue import EXPERIMENTS
from .. import glossary
from ..runs.spec import RunSpec, all_ways, preset_of

MAX_SEEDS = 1000

#: As many seeds as may be follow it.
LARGEST_SEED = 2**32 - 1 - MAX_SEEDS

#: Stands for the path of a file among the names of the data sets.
FILE = "file"


@dataclass(frozen=True)
class TextEntry:
    """A field to type into."""

    name: str
    label: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    hint: str = ""


@dataclass(frozen=True)
class ChoiceEntry:
    """A field with a few values to choose from: pairs of a value and its name, and what is to be said about a name."""

    name: str
    label: str
    options: Sequence[tuple[Any, str]]
    notes: Mapping[str, str] = field(default_factory=dict)


Entry = TextEntry | ChoiceEntry


# Reading and writing ------------------------------------------------------------------------------------


def _whole(text: str) -> int:
    try:
        return int(text.replace(",", "").replace("_", ""))
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a number, such as 0.001")
    return number


def _optional_number(text: str) -> float | None:
    return _number(text) if text.strip() else None


def _show_optional(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def _widths(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    words = re.split(r"[\s,;x()-]+", text.strip(" ()"))
    if not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise ValueError("must be the widths of the hidden layers, such as 300 100, or none")
    return tuple(map(int, words))


def _show_widths(widths: Any) -> str:
    return " ".join(map(str, widths if isinstance(widths, Sequence) else [widths])) or "none"


def _sparsities(text: str) -> tuple[float, ...]:
    """Fractions; percents if there is a % among them, which then goes for all."""
    unit = 100 if "%" in text else 1
    try:  # in decimals: what is shown is read as what it was
        values = tuple(float(Decimal(word) / unit) for word in re.split(r"[\s,;%]+", text) if word)
    except (ArithmeticError, ValueError):
        raise ValueError("must be numbers, such as 0 50 90 % or 0 0.5 0.9") from None
    if not values:
        raise ValueError("must be at least one, such as 0 50 90 %")
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("must be from 0 to 1, or from 0 to 100 with % at the end")
    return values


def _show_sparsities(values: Sequence[float]) -> str:
    return " ".join(map(_show_percent, values)) + " %"


def _show_percent(value: float) -> str:
    return f"{(Decimal(repr(float(value))) * 100).normalize():f}"


def _seed(text: str) -> int:
    seed = _whole(text)
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"must be from 0 to {LARGEST_SEED:,}")
    return seed


def _n_seeds(text: str) -> int:
    number = _whole(text)
    if not 1 <= number <= MAX_SEEDS:
        raise ValueError(f"must be from 1 to {MAX_SEEDS}")
    return number


# The fields ---------------------------------------------------------------------------------------------


def _ways(values: Sequence[Any], names: Mapping[Any, str] | None = None, every: str = "both") -> list[tuple[Any, str]]:
    """Every value by itself, then all of them."""
    each = [((value,), (names or {}).get(value, str(value))) for value in values]
    return [*each, (tuple(values), every)]


PIXEL_OPTIONS = (("auto", "automatic"), ("signed", "-1 to 1"), ("unit", "0 to 1"), ("standard", "mean 0, dev. 1"))

_NO_YES = ((False, "no"), (True, "yes"))


def _way_entries() -> list[Entry]:
    """A field for each of `WAYS` that has one; the others stay as they are."""
    known = [
        ChoiceEntry("schedule", "schedule", _ways(SCHEDULES, every="all of them"), glossary.SCHEDULES),
        ChoiceEntry("criterion", "criterion", _ways(criterion_names(), every="all of them"), glossary.CRITERIA),
        ChoiceEntry("granularity", "remove", _ways(GRANULARITIES, {"weight": "weights", "unit": "units"})),
        ChoiceEntry("scope", "rank within", _ways(SCOPES, {"layer": "each layer", "global": "the network"})),
        ChoiceEntry("norm", "norm of units", _ways(NORMS, {1: "L1", 2: "L2", math.inf: "largest"}, "all three")),
        ChoiceEntry("reduce", "units scored", _ways(REDUCTIONS, every="all three"), glossary.REDUCTIONS),
        ChoiceEntry("normalize", "divided by", _ways(NORMALIZATIONS, every="all four"), glossary.NORMALIZATIONS),
        ChoiceEntry("order", "first go the", _ways(ORDERS)),
        ChoiceEntry("control", "control", _ways(CONTROLS, every="all four"), glossary.CONTROLS),
        ChoiceEntry(
            "fine_tune_schedule",
            "retraining",
            _ways(FINE_TUNE_SCHEDULES, every="all four"),
            glossary.FINE_TUNE_SCHEDULES,
        ),
    ]
    return [entry for entry in known if entry.name in WAYS]


def _rounds(text: str) -> int | str:
    return "auto" if text.strip().lower() == "auto" else _whole(text)


def training_entries() -> list[Entry]:
    """What is trained, on what, and where."""
    names = dataset_names()
    return [
        ChoiceEntry(
            "preset",
            "preset",
            [(name, preset.title) for name, preset in EXPERIMENTS.items()],
            {preset.title: preset.description for preset in EXPERIMENTS.values()},
        ),
        ChoiceEntry("dataset", "data", [*((name, name) for name in names), (FILE, "a file of yours")]),
        TextEntry("path", "path", str.strip, str, "a .npz or .csv file"),
        ChoiceEntry("pixels", "pixels", PIXEL_OPTIONS),
        TextEntry("hidden_layer_sizes", "layers", _widths, _show_widths, "300 100"),
        TextEntry("max_iter", "epochs", _whole, str),
        TextEntry("batch_size", "batch", _whole, str),
        TextEntry("learning_rate_init", "learning rate", _number, "{:g}".format),
        ChoiceEntry("fit_intercept", "biases", _NO_YES),
        TextEntry("seed", "seed", _seed, str),
        TextEntry("n_seeds", "seeds in all", _n_seeds, str),
        ChoiceEntry("device", "device", [(name, name) for name in ("auto", "cpu", "cuda", "mps")]),
    ]


def pruning_entries() -> list[Entry]:
    """How it is pruned, and how precisely that is computed."""
    return [
        *_way_entries(),
        TextEntry("sparsities", "sparsities", _sparsities, _show_sparsities, "0 50 90 %"),
        ChoiceEntry("per_output", "rank per unit", _NO_YES),
        TextEntry("fine_tune_iter", "fine-tuning", _whole, str, "epochs after pruning"),
        TextEntry("fine_tune_learning_rate", "its step size", _optional_number, _show_optional, "that of training"),
        TextEntry("n_rounds", "rounds", _rounds, str, "5, or auto"),
        TextEntry("rewind_step", "rewind to step", _whole, str),
        ChoiceEntry("density_distribution", "density", [(name, name) for name in DENSITY_DISTRIBUTIONS]),
        ChoiceEntry(
            "prune_output", "output layer", ((False, "left alone"), (True, "pruned too"), ("half", "at half the rate"))
        ),
        ChoiceEntry("precision", "precision", [(name, name) for name in PRECISIONS]),
    ]


#: Parameters of the training that have a field.
PARAMETERS = (
    "hidden_layer_sizes",
    "max_iter",
    "batch_size",
    "learning_rate_init",
    "fit_intercept",
    "per_output",
    "fine_tune_iter",
    "fine_tune_learning_rate",
    "n_rounds",
    "rewind_step",
    "density_distribution",
    "prune_output",
    "device",
    "precision",
)


# From and to experiments --------------------------------------------------------------------------------


def values_of(spec: RunSpec) -> dict[str, Any]:
    """What the fields hold for an experiment."""
    named = spec.dataset in dataset_names()
    values = {name: spec.parameter(name) for name in PARAMETERS}
    values.update(all_ways(spec))
    return {
        **values,
        "dataset": spec.dataset if named else FILE,
        "pixels": spec.pixels,
        "path": "" if named else spec.dataset,
        "seed": min(spec.seeds, default=0),
        "n_seeds": len(spec.seeds),
        "sparsities": tuple(spec.sparsities),
    }


#: Criteria for which it makes no difference, or only that of another norm, how weights make the score of a unit.
_ONE_REDUCTION = {"magnitude", "lamp", "random", "activation", "apoz", "activity"}

#: When a field makes a difference, by the values of the others.
_MATTERS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    **{name: lambda values, name=name: not set(USED_BY[name]).isdisjoint(values["schedule"]) for name in USED_BY},
    "reduce": lambda values: (
        "unit" in values["granularity"]
        and (values["reduce"] != (DEFAULTS["reduce"],) or not set(values["criterion"]) <= _ONE_REDUCTION)
    ),
    "normalize": lambda values: "unit" in values["granularity"] and "global" in values["scope"],
    "per_output": lambda values: values["granularity"] == ("weight",) and values["scope"] == ("layer",),
    "fine_tune_learning_rate": lambda values: values.get("fine_tune_iter") != 0,
    "fine_tune_schedule": lambda values: values.get("fine_tune_iter") != 0,
}

#: The fields that are there only while they make a difference.
CONDITIONAL = tuple(_MATTERS)


def is_used(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a field makes a difference, by the values of the others."""
    return name not in _MATTERS or _MATTERS[name](values)


def spec_of(values: Mapping[str, Any], like: RunSpec) -> RunSpec:
    """The experiment that the fields describe; what has no field is as in `like`."""
    parameters = {name: value for name, value in like.parameters.items() if name not in PARAMETERS}
    ways = {name: values.get(name, of_like) for name, of_like in all_ways(like).items()}
    used = {name: value for name, value in {**values, **ways}.items() if is_used(name, {**values, **ways})}
    parameters.update({name: used[name] for name in PARAMETERS if name in used and used[name] != DEFAULTS[name]})
    ways = {
        name: used[name] for name in WAYS if name in used and (name == "granularity" or used[name] != (DEFAULTS[name],))
    }
    dataset = values["path"] if values["dataset"] == FILE else values["dataset"]
    spec = RunSpec(
        dataset=dataset,
        parameters=parameters,
        ways=ways,
        sparsities=values["sparsities"],
        seeds=tuple(range(values["seed"], values["seed"] + values["n_seeds"])),
        pixels=values["pixels"],
        options=like.options if dataset == like.dataset else DataOptions(),
        data_root=like.data_root,
    )
    return dataclasses.replace(spec, preset=preset_of(spec))


#: Stand in for what cannot be read, while the rest is checked.
STANDBY: Mapping[str, Any] = {
    **{name: DEFAULTS[name] for name in PARAMETERS},
    "path": "",
    "seed": 0,
    "n_seeds": 1,
    "sparsities": ORIGINAL_SPARSITIES,
}


def data_problem(dataset: str, root: str | None) -> str:
    """Why these data cannot be loaded, in a sentence; empty if they can, as far as a quick look shows."""
    for info in describe_datasets(root):
        if info.name == dataset:
            if info.state == "not downloaded":
                return f"not on this machine: F6 downloads it ({info.download_mb} MB)"
            return "" if info.state == "ready" else f"damaged: {info.checked}"
    path = Path(os.path.expanduser(dataset))
    if not dataset:
        return "must be the path of a .npz or .csv file"
    if path.suffix.lower() not in (".npz", ".csv"):
        return "must be a .npz or .csv file"
    try:
        return "" if path.is_file() else "there is no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
