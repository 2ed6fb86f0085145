"""The fields of the lab's form as data: labels, valid values, and conversion from and to text."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...estimators.data.datasets import dataset_names, describe_datasets
from ...estimators.data.source import DataOptions
from ...estimators.parameters import DEFAULTS, PARAMETERS, WAYS, Parameter, defaults_of
from ...estimators.parameters.records import RECORDS
from ...estimators.parameters.values import read_whole
from ...estimators.presets import ORIGINAL_SPARSITIES, PRESETS
from ...estimators.registry import REGISTRY
from ...estimators.structures import STRUCTURES
from ...estimators.studies.catalogue import EXPERIMENTS
from ..runs.spec import RunSpec, all_ways, preset_of

MAX_SEEDS = 1000

#: The largest first seed: the maximum number of seeds must still follow it.
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
    """A field with a few values to choose from: pairs of a value and its name, and descriptions by name."""

    name: str
    label: str
    options: Sequence[tuple[Any, str]]
    notes: Mapping[str, str] = field(default_factory=dict)


Entry = TextEntry | ChoiceEntry


# Reading and writing ------------------------------------------------------------------------------------


def _sparsities(text: str) -> tuple[float, ...]:
    """Fractions; all numbers are percentages if any of them has a %."""
    unit = 100 if "%" in text else 1
    try:  # decimal arithmetic: the text of a number gives the same number
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
    seed = read_whole(text)
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"must be from 0 to {LARGEST_SEED:,}")
    return seed


def _n_seeds(text: str) -> int:
    number = read_whole(text)
    if not 1 <= number <= MAX_SEEDS:
        raise ValueError(f"must be from 1 to {MAX_SEEDS}")
    return number


# The fields ---------------------------------------------------------------------------------------------


PIXEL_OPTIONS = (("auto", "automatic"), ("signed", "-1 to 1"), ("unit", "0 to 1"), ("standard", "mean 0, dev. 1"))

_EVERY = {2: "both", 3: "all three", 4: "all four"}

#: The parameters that have a field, those of ways apart.
WITH_FIELD = tuple(record.name for record in RECORDS if record.label and not record.is_way)


def _parameter_entries(*kinds: str) -> list[Entry]:
    """A field for each parameter of these kinds that has one."""
    return [_entry(record) for record in RECORDS if record.kind in kinds and record.label]


def _entry(record: Parameter) -> Entry:
    values = record.values
    choices = record.field_choices or values.choices()
    if not choices:
        return TextEntry(record.name, record.label, values.read, values.show, record.hint)
    usual = {False: "no", True: "yes"} if values.is_flag else {}
    names = {choice: record.choice_labels.get(choice, usual.get(choice, str(choice))) for choice in choices}
    notes = {names[choice]: note for choice, note in record.notes.items()}
    if not record.is_way:
        return ChoiceEntry(record.name, record.label, list(names.items()), notes)
    each = [((choice,), name) for choice, name in names.items()]
    every = (tuple(choices), _EVERY.get(len(choices), "all of them"))
    return ChoiceEntry(record.name, record.label, [*each, every], notes)


def training_entries() -> list[Entry]:
    """The fields of the data and the training."""
    names = dataset_names()
    return [
        ChoiceEntry(
            "preset",
            "preset",
            [(name, preset.title) for name, preset in EXPERIMENTS.items()],
            {preset.title: preset.description for preset in EXPERIMENTS.values()},
        ),
        ChoiceEntry("dataset", "data", [*((name, name) for name in names), (FILE, "your own file")]),
        TextEntry("path", "path", str.strip, str, "a .npz or .csv file"),
        ChoiceEntry("pixels", "pixels", PIXEL_OPTIONS),
        ChoiceEntry("estimator", "network", [(name, entry.short) for name, entry in REGISTRY.items()]),
        *_parameter_entries("network", "training"),
        TextEntry("seed", "seed", _seed, str),
        TextEntry("n_seeds", "seeds", _n_seeds, str),
    ]


def pruning_entries() -> list[Entry]:
    """The fields of the pruning and the machine."""
    return [
        *_parameter_entries("pruning"),
        TextEntry("sparsities", "sparsities", _sparsities, _show_sparsities, "0 50 90 %"),
        *_parameter_entries("machine"),
    ]


# From and to experiments --------------------------------------------------------------------------------


def values_of(spec: RunSpec) -> dict[str, Any]:
    """The values of the fields for an experiment."""
    named = spec.dataset in dataset_names()
    values = {**STANDBY, **{name: spec.parameter(name) for name in _with_field(spec.estimator)}}
    values.update(all_ways(spec))
    return {
        **values,
        "estimator": spec.estimator,
        "dataset": spec.dataset if named else FILE,
        "pixels": spec.pixels,
        "path": "" if named else spec.dataset,
        "seed": min(spec.seeds, default=0),
        "n_seeds": len(spec.seeds),
        "sparsities": tuple(spec.sparsities),
    }


#: The fields that are there only while they make a difference.
CONDITIONAL = tuple(
    record.name for record in RECORDS if record.label and (record.matters or not record.is_of_every_run)
)


def is_used(name: str, values: Mapping[str, Any]) -> bool:
    """Whether the estimator has a parameter that makes a difference, by the values of the other fields."""
    if name not in PARAMETERS:
        return True
    record = PARAMETERS[name]
    return values["estimator"] in record.estimators and (record.matters is None or record.matters(values))


def _with_field(estimator: str) -> list[str]:
    return [name for name in WITH_FIELD if estimator in PARAMETERS[name].estimators]


def network_for(estimator: str, dataset: str) -> dict[str, Any]:
    """What the fields of the network hold when the user turns to an estimator: that of a preset with the same data."""
    presets = (preset for preset in PRESETS.values() if (preset.estimator, preset.dataset) == (estimator, dataset))
    preset = next(presets, None)
    values = {**defaults_of(estimator), **(preset.parameters if preset else {})}
    return {name: values[name] for name in _with_field(estimator) if PARAMETERS[name].kind == "network"}


def spec_of(values: Mapping[str, Any], like: RunSpec) -> RunSpec:
    """The experiment that the fields describe; what has no field is as in `like`."""
    estimator = values["estimator"]
    defaults, with_field = defaults_of(estimator), _with_field(estimator)
    kept = like.with_estimator(estimator).parameters
    parameters = {name: value for name, value in kept.items() if name not in WITH_FIELD}
    ways = {name: values.get(name, of_like) for name, of_like in all_ways(like).items()}
    used = {name: value for name, value in {**values, **ways}.items() if is_used(name, {**values, **ways})}
    parameters.update({name: used[name] for name in with_field if name in used and used[name] != defaults[name]})
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
        estimator=estimator,
    )
    return dataclasses.replace(spec, preset=preset_of(spec))


#: Replace invalid values while the others are checked.
STANDBY: Mapping[str, Any] = {
    **{name: PARAMETERS[name].default for name in WITH_FIELD},
    "path": "",
    "seed": 0,
    "n_seeds": 1,
    "sparsities": ORIGINAL_SPARSITIES,
}


def network_problem(spec: RunSpec) -> str:
    """Why the network cannot be built for a known data set, in a sentence; empty if it can, or if that is not known."""
    shapes = {info.name: info.image_shape for info in describe_datasets(spec.data_root)}
    parameters = {**defaults_of(spec.estimator), **spec.parameters}
    shape = parameters.get("sample_shape") or shapes.get(spec.dataset)
    return "" if shape is None else STRUCTURES[spec.estimator].problem(parameters, shape)


def data_problem(dataset: str, root: str | None) -> str:
    """Why these data cannot be loaded, in a sentence; empty if they can, as far as a quick check shows."""
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
