"""What to run: a data set, a training, the ways of pruning to compare, and the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ...estimators.data.datasets import dataset_names
from ...estimators.data.source import PIXELS, DataOptions, DataSource
from ...estimators.messages import as_text
from ...estimators.parameters import DEFAULTS, check_sparsities, check_value, conflicts
from ...estimators.presets import BOTH_GRANULARITIES, ORIGINAL_SPARSITIES, WAYS, variants_of
from ...estimators.studies.catalogue import EXPERIMENTS

#: Parameters of the classifier that a run does not take: they are said in other fields, or make no sense here.
EXCLUDED = ("sparsity", "random_state", "verbose", "warm_start", *WAYS)

MAX_POINTS = 100_000

#: The version of the methods that a run is made with. 1: units are ranked across the network by raw scores, SynFlow by
#: one ranking for all sparsities, and data are sampled without regard to their classes.
METHODS = 2

#: Criteria that rank as they did in version 1.
_UNCHANGED = ("magnitude", "random")


class SpecError(ValueError):
    """A run cannot be described so; the message says why. `field` is what to mend."""

    def __init__(self, message: str, field: str = ""):
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class RunSpec:
    """An experiment: train once a seed, prune in every way to every sparsity.

    Attributes
    ----------
    dataset : str
        A name or the path of a file, as `load_dataset` takes it.
    parameters : mapping
        The classifier's parameters that differ from its defaults; those in `EXCLUDED` are not among them.
    ways : mapping of str to sequence
        Values of the parameters `WAYS`; every combination is a curve.
    sparsities : sequence of float
        From 0 to 1.
    seeds : sequence of int
        Each trains a network of its own.
    pixels : str
        How pixels are scaled; see `load_dataset`.
    options : DataOptions
        How to read a file.
    data_root : str or None
        Where the named data sets lie.
    preset : str
        The preset it came from, or nothing.
    name : str
        What the user calls it, or nothing.
    methods : int
        The version of the methods it is made with; see `METHODS`.
    """

    dataset: str = "digits"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ways: Mapping[str, Sequence[Any]] = field(default_factory=lambda: dict(BOTH_GRANULARITIES))
    sparsities: Sequence[float] = ORIGINAL_SPARSITIES
    seeds: Sequence[int] = (0,)
    pixels: str = "auto"
    options: DataOptions = field(default_factory=DataOptions)
    data_root: str | None = None
    preset: str = ""
    name: str = ""
    methods: int = METHODS

    @classmethod
    def from_preset(cls, name: str, /, **changes: Any) -> RunSpec:
        """The experiment of a preset, or of a study; KeyError if there is none of that name."""
        preset = EXPERIMENTS[name]
        fields = {
            "dataset": preset.dataset,
            "pixels": preset.pixels,
            "options": DataOptions(label_noise=preset.label_noise),
            "parameters": dict(preset.parameters),
            "ways": dict(preset.ways),
            "sparsities": tuple(preset.sparsities),
            "seeds": tuple(range(preset.seeds)),
            "preset": name,
        }
        return cls(**{**fields, **changes})

    @property
    def source(self) -> DataSource:
        """Its data set, and how to read and scale it."""
        return DataSource(self.dataset, self.data_root, self.pixels, self.options)

    @property
    def variants(self) -> list[dict[str, Any]]:
        """The ways of pruning, a mapping of parameters each, in the order in which they run."""
        return variants_of(self.ways)

    @property
    def is_outdated(self) -> bool:
        """Whether this version would compute other numbers."""
        return self.methods < METHODS and not set(all_ways(self)["criterion"]) <= set(_UNCHANGED)

    def is_like(self, other: RunSpec) -> bool:
        """Whether it computes the same, apart from the seeds."""
        if self.is_outdated != other.is_outdated:
            return False
        mine, theirs = (
            replace(spec, seeds=(), preset="", name="", data_root=None, methods=METHODS) for spec in (self, other)
        )
        return mine.to_json() == theirs.to_json()

    def with_ways(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of results with a value of each of `WAYS`, also of those that the version which wrote it lacked."""
        known = {name: values[0] for name, values in all_ways(self).items() if len(values) == 1}
        return {**known, **row}

    @property
    def points_per_seed(self) -> int:
        """Pruned networks a seed."""
        return math.prod(len(values) for values in self.ways.values()) * len(self.sparsities)

    @property
    def n_points(self) -> int:
        """Pruned networks in all."""
        return self.points_per_seed * len(self.seeds)

    def parameter(self, name: str) -> Any:
        """The value of a parameter of the training."""
        return self.parameters.get(name, DEFAULTS[name])

    def problems(self) -> dict[str, str]:
        """What cannot be: a sentence for each field or parameter with a wrong value; empty if all is well.

        Whether the data and the device exist is not looked at.
        """
        return self._wrong_values() or self._conflicts()

    def _conflicts(self) -> dict[str, str]:
        """Values that do not go together, in any of the ways of pruning."""
        found: dict[str, str] = {}
        for variant in self.variants:
            given = {**self.parameters, **variant, "sparsity": max(self.sparsities)}
            for name, sentence in conflicts(given).items():
                found.setdefault(name, sentence)
        return found

    def _wrong_values(self) -> dict[str, str]:
        found: dict[str, str] = {}
        if not self.dataset.strip():
            found["dataset"] = "dataset must be a name or the path of a file"
        if self.pixels not in PIXELS:
            found["pixels"] = f"pixels must be one of {', '.join(map(repr, PIXELS))}, got {as_text(self.pixels)}"
        found |= self.options.problems()
        for name, value in self.parameters.items():
            if name not in DEFAULTS or name in EXCLUDED:
                found[name] = f"there is no parameter {name}"
            else:
                _note(found, name, value)
        for name, values in self.ways.items():
            if name not in WAYS:
                found[name] = f"there is no way of pruning called {name}"
            elif not values:
                found[name] = f"{name} must have at least one value"
            elif len(set(map(str, values))) < len(values):
                found[name] = f"{name} must have different values, got {', '.join(map(str, values))}"
            for value in values:
                _note(found, name, value)
        try:
            check_sparsities(self.sparsities)
        except ValueError as error:
            found["sparsities"] = str(error)
        else:
            if len(set(self.sparsities)) < len(self.sparsities):
                found["sparsities"] = "sparsities must all be different"
        if not self.seeds or any(seed < 0 or seed >= 2**32 for seed in self.seeds):
            found["seeds"] = "seeds must be whole numbers from 0 to 4,294,967,295, and at least one"
        elif len(set(self.seeds)) < len(self.seeds):
            found["seeds"] = "seeds must all be different"
        if not found and self.n_points > MAX_POINTS:
            found["sparsities"] = f"{self.n_points:,} points are more than the {MAX_POINTS:,} that a run may have"
        return found

    def check(self) -> None:
        """Raise SpecError for the first problem."""
        _raise_first(self.problems())

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON knows it."""
        return {
            "dataset": self.dataset,
            "pixels": self.pixels,
            "options": self.options.to_json(),
            "parameters": {name: _to_json(value) for name, value in self.parameters.items()},
            "ways": {name: [_to_json(value) for value in values] for name, values in self.ways.items()},
            "sparsities": list(self.sparsities),
            "seeds": list(self.seeds),
            "data_root": self.data_root,
            "preset": self.preset,
            "name": self.name,
            "methods": self.methods,
        }

    @classmethod
    def from_json(cls, data: Any) -> RunSpec:
        """The inverse of `to_json`; SpecError if the data are something else.

        Values that do not go together pass: what failed because of them is to be shown.
        """
        try:
            methods = _typed(data.get("methods", 1), int)
            spec = cls(
                dataset=_typed(data["dataset"], str),
                pixels=_pixels_of(data),
                options=DataOptions.from_json(data.get("options", {})),
                parameters={name: _from_json(value) for name, value in data["parameters"].items()},
                ways=_ways_then(data["ways"], methods),
                sparsities=tuple(float(value) for value in data["sparsities"]),
                seeds=tuple(_typed(value, int) for value in data["seeds"]),
                data_root=None if data.get("data_root") is None else _typed(data["data_root"], str),
                preset=_typed(data.get("preset", ""), str),
                name=_typed(data.get("name", ""), str),
                methods=methods,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise SpecError(f"this does not describe a run: {error!r}") from error
        _raise_first(spec._wrong_values())
        return spec


def _pixels_of(data: Mapping[str, Any]) -> str:
    """How pixels are scaled; what earlier versions called "signed" is "auto"."""
    pixels = _typed(data.get("pixels", "auto"), str)
    return "auto" if pixels == "signed" and "options" not in data else pixels


def _ways_then(ways: Mapping[str, Sequence[Any]], methods: int) -> dict[str, tuple[Any, ...]]:
    """The ways of a run, as this version calls them."""
    known = {name: tuple(_from_json(value) for value in values) for name, values in ways.items()}
    if methods < 2 and "unit" in known.get("granularity", ()) and "global" in known.get("scope", ()):
        known.setdefault("normalize", ("none",))
    return known


def _raise_first(problems: Mapping[str, str]) -> None:
    for name, sentence in problems.items():
        raise SpecError(sentence, name)


def preset_of(spec: RunSpec) -> str:
    """The preset that describes the same experiment, whatever its seeds and the machine; empty if none does."""
    mine = _essence(spec)
    return next((name for name, essence in _essences().items() if essence == mine), "")


@cache
def _essences() -> dict[str, tuple[Any, ...]]:
    return {name: _essence(RunSpec.from_preset(name)) for name in EXPERIMENTS}


def _essence(spec: RunSpec) -> tuple[Any, ...]:
    parameters = {name: value for name, value in spec.parameters.items() if name not in ("device", "precision")}
    is_automatic = spec.pixels == "signed" and spec.dataset in dataset_names()
    pixels = "auto" if is_automatic else spec.pixels
    return spec.dataset, pixels, spec.options, {**DEFAULTS, **parameters}, all_ways(spec), tuple(spec.sparsities)


def all_ways(spec: RunSpec) -> dict[str, tuple[Any, ...]]:
    """The values of each of `WAYS`, also of those that a spec does not mention."""
    return {name: tuple(map(_plain, spec.ways.get(name, (DEFAULTS[name],)))) for name in WAYS}


def _plain(value: Any) -> Any:
    return math.inf if value == "inf" else value


def _note(found: dict[str, str], name: str, value: Any) -> None:
    try:
        check_value(name, value)
    except ValueError as error:
        found[name] = str(error)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value


def _to_json(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    return list(value) if isinstance(value, tuple) else value


def _from_json(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
